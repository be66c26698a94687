"""Every panel of the dashboards shows something, and every rule finds what it asks for, over a gateway at work.

It has gone through an outage before it is asked: a bucket was written to its fallback and healed, and a mirror read.
"""

import contextlib
import itertools
import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from tests.deploy.tools import DEPLOY, program
from tests.faults.proxy import Remote, proxying
from tests.gateway_process import GatewayProcess, free_port, running
from tests.outages.world import ACCOUNT, HASTE, HASTY

DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
RULES = sorted((DEPLOY / "prometheus").glob("*.rules.yml"))
PATIENCE_S = 60
REPLICATED = ("kept", "bare")
OUTAGE = (
    'job_route_mode:gateway_route_mode:max{route="kept", mode="FAILOVER"} == 1',
    'job_route:gateway_unhealed_objects:max{route="kept"} > 0',
    "sum by (backend) (gateway_breakers_open) > 0",
    'gateway_reads_served_total{route="kept", from="mirror"} > 0',
    'gateway_reads_served_total{route="kept", from="fallback"} > 0',
    'gateway_reads_refused_total{route="bare", reason="not_current"} > 0',
    'ALERTS{alertname="GatewayFailover", alertstate="firing"}',
)
AFTERWARDS = (
    'job_route_mode:gateway_route_mode:max{route="kept", mode="NORMAL"} == 1',
    'job_route_mode:gateway_route_mode:max{route="bare", mode="NORMAL"} == 1',
    'job_route:gateway_unhealed_objects:max{route="kept"} == 0',
)
FUNCTIONS = {"sum", "max", "min", "rate", "increase", "changes", "count", "absent", "histogram_quantile", "vector"}
WORDS = {"by", "on", "or", "and", "group_left", "label_values"}
NAME = re.compile(r"\b[a-z][a-z0-9_:]*\b")
LABELS = re.compile(r"\{[^}]*\}|\b(?:by|on|group_left) *\([^)]*\)")


class Prometheus:
    """A Prometheus that scrapes a gateway every second, and computes the rules as often."""

    def __init__(self, folder: Path, target: str) -> None:
        self.port = free_port()
        self._folder = folder
        document = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
        document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        document["rule_files"] = [str(path) for path in RULES]
        document["scrape_configs"][0]["static_configs"] = [{"targets": [target]}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(document))

    @contextlib.contextmanager
    def running(self) -> Iterator["Prometheus"]:
        command = [program("prometheus"), f"--config.file={self._folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self._folder / 'tsdb'}", f"--web.listen-address=127.0.0.1:{self.port}"]
        with (
            (self._folder / "prometheus.log").open("wb") as log,
            subprocess.Popen(command, stdout=log, stderr=log) as process,
        ):
            try:
                yield self
            finally:
                process.kill()

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Return the result of a query now: its series."""
        parameters = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/query?{parameters}", timeout=30) as answer:
            result = json.load(answer)["data"]["result"]
        return [one for one in result if isinstance(one, dict)]

    def labels(self, name: str) -> set[str]:
        """Return the labels that the series of a metric have."""
        return set().union(*(series["metric"] for series in self.ask(name)))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory) -> Iterator[Prometheus]:
    program("prometheus")  # before a gateway is started for nothing
    folder = tmp_path_factory.mktemp("scraped")
    far = GatewayProcess(folder / "far", **ACCOUNT)
    with running(far), proxying(far.port) as way:
        gateway = GatewayProcess(folder, extra=_configuration(folder, way), program=HASTY)
        prometheus = Prometheus(folder, f"127.0.0.1:{gateway.admin_port}")
        with running(gateway), prometheus.running():
            for bucket in ("media", *REPLICATED):
                gateway.client().create_bucket(Bucket=bucket)
            _until(prometheus, "up", gateway)
            _go_through_an_outage(prometheus, gateway, way)
            _until(prometheus, "job:gateway_requests:rate5m > 0", gateway)
            _until(prometheus, "increase(gateway_authentication_failures_total[1m]) > 0", gateway)
            _until(prometheus, 'rate(gateway_backend_calls_total{outcome="failure"}[1m]) > 0', gateway)
            yield prometheus


def _configuration(folder: Path, way: Remote) -> dict[str, Any]:
    backends = {
        "disk": {"type": "local", "path": str(folder / "objects")},
        "spare": {"type": "local", "path": str(folder / "spare")},
        "copy": {"type": "local", "path": str(folder / "copy")},
        "far": {"type": "s3", "endpoint": f"http://127.0.0.1:{way.port}", "dialect": "aws", "addressing": "path"},
        "gone": {"type": "s3", "endpoint": f"http://127.0.0.1:{free_port()}", "access_key": "x", "secret_key": "y" * 8},
    }
    backends["far"] |= ACCOUNT
    for name in ("spare", "copy"):
        (folder / name).mkdir()
    buckets = {
        "*": {"backend": "disk"},
        "gone": {"backend": "gone"},
        "kept": {"backend": "far", "fallback": "spare", "mirrors": ["copy"]},
        "bare": {"backend": "far", "fallback": "spare"},
    }
    state = f"sqlite:///{folder}/state.db"
    return {"backends": backends, "buckets": buckets, "state": state, "replication": HASTE}


def _go_through_an_outage(prometheus: Prometheus, gateway: GatewayProcess, way: Remote) -> None:
    """Have it seen by Prometheus from its beginning to its end."""
    _until(prometheus, 'gateway_mirror_baseline_complete{route="kept"} == 1', gateway)
    for key in ("old", "older"):
        for bucket in REPLICATED:
            gateway.client().put_object(Bucket=bucket, Key=key, Body=b"from before")
    _until(prometheus, 'gateway_mirror_pending_objects{route="kept"} == 0', gateway)
    _until(prometheus, 'gateway_reads_served_total{route="kept", from="primary"} > 0', gateway)
    way.down()
    for query in OUTAGE:
        _until(prometheus, query, gateway)
    way.up()
    _until(prometheus, 'gateway_heal_objects_total{result="done"} > 0', gateway)
    for query in AFTERWARDS:
        _until(prometheus, query, gateway)


def _until(prometheus: Prometheus, query: str, gateway: GatewayProcess) -> None:
    """Have the gateway answer requests until Prometheus knows an answer, too."""
    for _ in _tries():
        _work(gateway)
        with contextlib.suppress(OSError):
            if prometheus.ask(query):
                return
    pytest.fail(f"{query} has no answer")


def _tries() -> Iterator[int]:
    """Count as long as there is patience, five times a second."""
    deadline = time.monotonic() + PATIENCE_S
    for number in itertools.count():
        if time.monotonic() > deadline:
            return
        yield number
        time.sleep(0.2)


def _work(gateway: GatewayProcess) -> None:
    """Send one of each: what is there, what is not, what fails, and what is signed by nobody we know."""
    client = gateway.client()
    client.put_object(Bucket="media", Key="a", Body=b"a" * 10_000)
    client.get_object(Bucket="media", Key="a")["Body"].read()
    client.head_object(Bucket="media", Key="a")
    stranger = GatewayProcess(gateway.folder / "stranger", access_key="NOBODY")
    stranger.port = gateway.port
    for call in (client.get_object, stranger.client().get_object):
        for bucket in ("media", "gone"):
            with contextlib.suppress(ClientError):
                call(Bucket=bucket, Key="missing")
    for bucket in REPLICATED:
        for call, said in ((client.put_object, {"Key": "new", "Body": b"x"}), (client.get_object, {"Key": "new"})):
            with contextlib.suppress(ClientError):
                call(Bucket=bucket, **said)
        with contextlib.suppress(ClientError):
            client.get_object(Bucket=bucket, Key="old")["Body"].read()


def queries() -> Iterator[tuple[str, str]]:
    """Yield what the panels ask, with the variables as a person finds them when the page opens."""
    for path in DASHBOARDS:
        document = json.loads(path.read_text())
        asked = [
            (panel["title"], target["expr"]) for panel in document["panels"] for target in panel.get("targets", [])
        ]
        for title, expression in asked:
            filled = expression.replace("$__rate_interval", "1m")
            yield f"{path.stem}: {title}", re.sub(r"\$(job|instance|backend|route|target)", ".*", filled)


def expressions() -> Iterator[tuple[str, str]]:
    """Yield everything that is asked of Prometheus anywhere."""
    yield from queries()
    for path in DASHBOARDS:
        for variable in json.loads(path.read_text())["templating"]["list"]:
            if variable["type"] == "query":
                yield f"{path.stem}: ${variable['name']}", variable["query"]["query"]
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in group["rules"])


@pytest.mark.parametrize(("panel", "query"), list(queries()))
def test_every_panel_shows_something(prometheus: Prometheus, panel: str, query: str):
    series = prometheus.ask(query)
    assert series, query
    assert all(one["value"][1] != "NaN" for one in series) or "histogram_quantile" in query


@pytest.mark.parametrize(("asker", "expression"), list(expressions()))
def test_every_expression_names_metrics_and_labels_that_there_are(prometheus: Prometheus, asker: str, expression: str):
    metrics = names(expression)
    assert metrics
    for metric in metrics:
        assert prometheus.ask(metric), metric
    known = set().union(*(prometheus.labels(metric) for metric in metrics))
    assert labels(expression) <= known


def names(expression: str) -> set[str]:
    """Return the metrics that an expression names."""
    bare = LABELS.sub("", re.sub(r"\[[^\]]*\]", "", expression))
    if bare.startswith("label_values("):
        bare = bare.split(",")[0]
    return set(NAME.findall(bare)) - FUNCTIONS - WORDS


def labels(expression: str) -> set[str]:
    """Return the labels that an expression names."""
    found: set[str] = set()
    for part in LABELS.findall(expression):
        found |= (
            set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", part))
            if part[0] == "{"
            else set(re.findall(r"\w+", part.partition("(")[2]))
        )
    if asked := re.search(r"label_values\(.*, *(\w+)\)", expression):
        found.add(asked[1])
    return found


def test_a_metric_or_label_that_is_not_there_is_noticed(prometheus: Prometheus):
    assert names('sum by (job) (rate(gateway_nothing_total{bucket="a"}[5m]))') == {"gateway_nothing_total"}
    assert labels('sum by (job) (rate(gateway_nothing_total{bucket="a"}[5m]))') == {"job", "bucket"}
    assert not prometheus.ask("gateway_nothing_total")
    assert "bucket" not in prometheus.labels("gateway_requests_total")


def test_an_outage_shows_and_so_does_its_end(prometheus: Prometheus):
    mode = 'job_route_mode:gateway_route_mode:max{route="kept", mode="FAILOVER"}'
    assert prometheus.ask(f"max_over_time({mode}[10m]) == 1")
    assert prometheus.ask(f"{mode} == 0")
    assert not prometheus.ask('ALERTS{alertname="GatewayFailover"}')


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_can_be_imported_beside_others(path: Path):
    document = json.loads(path.read_text())
    assert document["uid"]
    assert document["title"]
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["description"] for panel in panels if panel["type"] != "row")
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels if panel["type"] != "row")
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in panels]
    taken = [(x + i, y + j) for x, y, w, h in places for i in range(w) for j in range(h)]
    assert len(taken) == len(set(taken)), "panels overlap"
    assert max(x for x, _ in taken) == 23
