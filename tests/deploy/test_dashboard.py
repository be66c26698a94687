"""Every panel of the dashboards shows something, and every rule finds what it asks for, over a gateway at work."""

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
from tests.gateway_process import GatewayProcess, free_port, running

DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
RULES = sorted((DEPLOY / "prometheus").glob("*.rules.yml"))
PATIENCE_S = 60
FUNCTIONS = {"sum", "rate", "increase", "changes", "count", "absent", "histogram_quantile", "vector"}
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
    backends = {
        "disk": {"type": "local", "path": str(folder / "objects")},
        "gone": {"type": "s3", "endpoint": f"http://127.0.0.1:{free_port()}", "access_key": "x", "secret_key": "y" * 8},
    }
    buckets = {"*": {"backend": "disk"}, "gone": {"backend": "gone"}}
    gateway = GatewayProcess(folder, extra={"backends": backends, "buckets": buckets})
    prometheus = Prometheus(folder, f"127.0.0.1:{gateway.admin_port}")
    with running(gateway), prometheus.running():
        gateway.client().create_bucket(Bucket="media")
        _until(prometheus, "up", gateway)
        _until(prometheus, "job:gateway_requests:rate5m > 0", gateway)
        _until(prometheus, "increase(gateway_authentication_failures_total[1m]) > 0", gateway)
        _until(prometheus, 'rate(gateway_backend_calls_total{outcome="failure"}[1m]) > 0', gateway)
        yield prometheus


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


def queries() -> Iterator[tuple[str, str]]:
    """Yield what the panels ask, with the variables as a person finds them when the page opens."""
    for path in DASHBOARDS:
        document = json.loads(path.read_text())
        asked = [
            (panel["title"], target["expr"]) for panel in document["panels"] for target in panel.get("targets", [])
        ]
        for title, expression in asked:
            filled = expression.replace("$__rate_interval", "1m")
            yield f"{path.stem}: {title}", re.sub(r"\$(job|instance|backend)", ".*", filled)


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
