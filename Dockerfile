# The gateway in an image: an ordinary user, a root that may be read-only, no compiler and no pip beside it.
# `make image-test` builds and runs it; docs/deployment.md says how it is used.
ARG PYTHON=docker.io/library/python:3.11-slim-bookworm

FROM ${PYTHON} AS build
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
# The environment that stays has no pip: that of the one beside it fills it, with wheels that are locked by their hashes.
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --only-binary=:all: --require-hashes -r requirements/build.txt \
    && python3 -m venv --without-pip /opt/gateway \
    && /opt/build/bin/pip --python /opt/gateway/bin/python install \
        --no-cache-dir --only-binary=:all: --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/build/bin/pip --python /opt/gateway/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="S3 Gateway" \
      org.opencontainers.image.description="One S3 endpoint in front of every storage a team has." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 65532 gateway \
    && useradd --uid 65532 --gid gateway --no-create-home --home-dir /var/lib/gateway --shell /usr/sbin/nologin gateway \
    && install --directory --owner gateway --group gateway --mode 0750 /var/lib/gateway
COPY --from=build /opt/gateway /opt/gateway
COPY LICENSE /usr/share/doc/gateway/
COPY deploy/image.yaml /etc/gateway/config.yaml
ENV PATH=/opt/gateway/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /var/lib/gateway
VOLUME /var/lib/gateway
EXPOSE 9000 9001
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s CMD \
    ["python", "-Ic", "from urllib.request import urlopen; urlopen('http://127.0.0.1:9001/livez', timeout=4)"]
ENTRYPOINT ["gateway"]
CMD ["serve", "--config", "/etc/gateway/config.yaml"]
