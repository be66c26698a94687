# One command each; everything a fresh machine lacks is set up first, into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help

.PHONY: help
help:  ## say what there is
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

.PHONY: setup
setup: $(VENV)/.installed  ## set up .venv, nothing else

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: serve
serve: setup  ## run the gateway on its embedded default (objects in ./data)
	@$(BIN)/gateway serve $(ARGS)

.PHONY: test
test: setup  ## run the tests
	$(BIN)/pytest -n auto $(ARGS)

.PHONY: fuzz
fuzz: setup  ## attack a gateway for some minutes, and look for examples that break a promise (FUZZ_EXAMPLES=n of each)
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-3000} $(BIN)/pytest --timeout 3600 tests/fuzz $(ARGS)
	FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-3000} $(BIN)/pytest --timeout 3600 -m hypothesis --ignore tests/fuzz $(ARGS)

.PHONY: simulate
simulate: setup  ## run many schedules of failures in virtual time (SIMULATION_SCHEDULES=n of each kind)
	SIMULATION_SCHEDULES=$${SIMULATION_SCHEDULES:-1000} MODEL_EXAMPLES=$${MODEL_EXAMPLES:-1000} \
		$(BIN)/pytest -n auto tests/simulation tests/routing/replicated/test_model.py $(ARGS)

.PHONY: faults
faults: setup  ## cut connections to storages at thousands of places (FAULT_CUTS=n), go through every kind of outage
	FAULT_CUTS=$${FAULT_CUTS:-5000} $(BIN)/pytest -n auto --timeout 3600 tests/faults/test_cuts.py $(ARGS)
	OUTAGE_WRITES=$${OUTAGE_WRITES:-1000} OUTAGE_DEATHS=$${OUTAGE_DEATHS:-3} OUTAGE_SECONDS=$${OUTAGE_SECONDS:-300} \
		$(BIN)/pytest -m 'faults or not faults' --timeout 3600 tests/outages tests/test_demo.py $(ARGS)

.PHONY: test-clients
test-clients: setup  ## set up the real clients in .clients and run their tests (BACKEND=local, s3, gcs)
	$(BIN)/python -m tests.clients.setup
	GATEWAY_CLIENTS=required GATEWAY_BACKEND=$(or $(BACKEND),local) $(BIN)/pytest -m clients -n 2 tests/clients $(ARGS)

.PHONY: test-ceph
test-ceph: setup  ## run the tests over a real Ceph (apt-get install --no-install-recommends radosgw ceph-mon ceph-osd)
	GATEWAY_CEPH=required $(BIN)/pytest -m ceph tests/ceph $(ARGS)

.PHONY: test-deploy
test-deploy: setup  ## set up Helm, promtool, hadolint … in .clients and test what deploys and watches the gateway
	$(BIN)/python -m tests.deploy.setup
	GATEWAY_DEPLOY=required $(BIN)/pytest -m deploy tests/deploy $(ARGS)

.PHONY: image-test
image-test: setup  ## build the image from Debian's packages and run it (root; apt-get install buildah debootstrap)
	$(BIN)/python -m tests.deploy.setup
	GATEWAY_DEPLOY=required GATEWAY_IMAGE=required $(BIN)/pytest -m deploy tests/deploy/test_image.py $(ARGS)

.PHONY: docs
docs: setup  ## write what is made from others: docs/metrics.md, docs/sizing.md, deploy/kubernetes, the schema of the chart
	$(BIN)/python -m tests.deploy.setup
	$(BIN)/python -m tests.deploy.metrics_page
	$(BIN)/python -m tests.deploy.manifests
	$(BIN)/python -m tests.deploy.sizing_page
	$(BIN)/python -m tests.deploy.values_schema

.PHONY: pictures
pictures: setup  ## have a gateway make the pictures of docs/images.md
	$(BIN)/python -m tests.images.pictures

.PHONY: check
check: setup  ## formatting, lint, types, layers, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/test_docs_*.py

.PHONY: bench
bench: setup  ## measure speed and memory beside rclone, write docs/performance.md
	$(BIN)/python -m tests.clients.setup rclone
	$(BIN)/python -m benchmarks.run $(ARGS)
	$(BIN)/python -m tests.deploy.sizing_page

.PHONY: bench-replication
bench-replication: setup  ## measure what fallback and mirrors cost, write docs/replication-performance.md
	$(BIN)/python -m benchmarks.replication $(ARGS)

.PHONY: bench-images
bench-images: setup  ## measure the making of pictures beside sharp (with npm) and Pillow, write docs/images-performance.md
	$(BIN)/python -m benchmarks.images $(ARGS)

.PHONY: s3-tests
s3-tests: setup  ## run a checkout of ceph/s3-tests: make s3-tests SUITE=dir
	$(BIN)/python -m tests.conformance.run $(SUITE) $(ARGS)

.PHONY: format
format: setup  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: setup  ## renew the locked dependencies (needs uv)
	uv pip compile requirements/build.in --upgrade --generate-hashes --universal --python-version 3.11 -q -o requirements/build.txt
	uv pip compile pyproject.toml --upgrade --generate-hashes --universal --python-version 3.11 -q -o requirements/runtime.txt
	uv pip compile pyproject.toml --upgrade --group dev --extra otel --generate-hashes --universal --python-version 3.11 -q -o requirements/dev.txt

.PHONY: lock-clients
lock-clients:  ## renew the locked clients of the tests (needs uv, npm and go)
	@for client in requirements/clients/*.in; do \
		UV_CUSTOM_COMPILE_COMMAND="make lock-clients" uv pip compile $$client --upgrade --generate-hashes --universal \
			--python-version 3.11 -q -o $${client%.in}.txt $$(grep -q no-deps $$client && echo --no-deps); done
	cd tests/clients/js && npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --save-exact \
		@aws-sdk/client-s3@latest @aws-sdk/lib-storage@latest @aws-sdk/s3-request-presigner@latest \
		aws-sdk@latest minio@latest
	cd tests/clients/go && go get -u && go mod tidy

.PHONY: clean
clean:  ## remove what make set up
	rm -rf $(VENV) .clients .ruff_cache .mypy_cache .import_linter_cache .hypothesis
