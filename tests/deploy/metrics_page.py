"""Write docs/metrics.md from what the code and the rules say: `python -m tests.deploy.metrics_page`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

from gateway import metrics
from gateway.operations.table import PREFLIGHT, SUPPORTED
from gateway.routing.observe import AMBIGUOUS, CLIENT_ERROR, FAILURE, OK, THROTTLE, Observe
from gateway.server.audit import AUTHENTICATION

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "gateway.rules.yml"

OUTCOMES = {
    OK: "it did what it was asked",
    CLIENT_ERROR: "what the client asked for cannot be had, or it went away",
    THROTTLE: "the backend asked for patience",
    FAILURE: "it did not answer, broke off or refused the gateway's credentials",
    AMBIGUOUS: "nobody knows whether a write happened",
}

TOP = """\
# Metrics

Written by `make docs` from `gateway/metrics.py` and `deploy/prometheus/`; do not edit.

`GET /metrics` on the [admin port](configuration.md#the-server) tells them in Prometheus's text format, those of all
workers added up. Nothing that a client chose is a label: no bucket, no key, no address, no access key id. These stand
in the access log.

```sh
curl -s http://127.0.0.1:9001/metrics | grep ^gateway_
```

`deploy/prometheus/prometheus.yml` scrapes them, as the job `gateway`, which the rules beside it expect;
`deploy/grafana` has two dashboards to import, one of requests and backends, one of fallback and mirrors. A test has all
of it ask a real Prometheus that scrapes a gateway at work, through an outage and its end: every panel shows something,
and no rule asks for a metric or a label that is not there.

## What is measured

| metric | type | labels | tells |
| --- | --- | --- | --- |
"""

LABELS = """
A counter ends in `_total`; a histogram is `_bucket`, `_sum` and `_count`, and its buckets end at {bounds} seconds.
Where one process does everything (one worker, no [process beside it](images.md#a-process-of-its-own)) there are also
the `process_*` and `python_*` metrics of [prometheus_client](https://prometheus.github.io/client_python/collector/):
processor time, memory, descriptors. With several there are none of those: ask the container or the unit.

## Labels

| label | values |
| --- | --- |
| `operation` of requests | S3's name of it: {operations}; a [refused](operations.md#refused) one; or `Unsupported` |
| `operation` of backends | {calls} |
| `status` | the HTTP status of the answer |
| `backend` | its name in the configuration |
| `outcome` | {outcomes} |
| `reason` | {reasons} |

## Recorded

What dashboards and alerts ask for often, computed once by `deploy/prometheus/gateway.rules.yml`:

| name | is |
| --- | --- |
"""

ALERTS = """
## Alerts

Each is tested by `promtool test rules` in `deploy/prometheus/tests/`.

| alert | severity | when | what to do |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Return what the page has to say."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    recorded = (f"| `{rule['record']}` | `{_cell(rule['expr'])}` |" for rule in rules if "record" in rule)
    alerts = (_alert(rule) for rule in rules if "alert" in rule)
    return (
        TOP + "\n".join(_metric(metric) for metric in described()) + "\n" + _labels() + "\n".join(recorded) + "\n"
        + ALERTS + "\n".join(alerts) + "\n"
    )  # fmt: skip


def described() -> Iterator[MetricWrapperBase]:
    """Yield the metrics in the order of the module."""
    yield from (value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase))


def _metric(metric: MetricWrapperBase) -> str:
    [told] = metric.describe()
    name = f"{told.name}_total" if told.type == "counter" else told.name
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)
    return f"| `{name}` | {told.type} | {labels} | {told.documentation} |"


def _labels() -> str:
    [bounds, *others] = {tuple(metric._upper_bounds) for metric in described() if isinstance(metric, Histogram)}
    assert not others, "the page says that all histograms have the same buckets"
    return LABELS.format(
        bounds=", ".join(f"{bound:g}" for bound in bounds[:-1]),
        operations=_listed(row.name for row in (*SUPPORTED, PREFLIGHT)),
        calls=_listed(name for name in vars(Observe) if not name.startswith("_") and name != "note"),
        reasons=_listed(AUTHENTICATION),
        outcomes="; ".join(f"`{outcome}`: {told}" for outcome, told in OUTCOMES.items()),
    )


def _listed(names: Iterator[str] | frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _alert(rule: dict[str, Any]) -> str:
    patience = f", for {rule['for']}" if "for" in rule else ""
    expression = f"`{_cell(rule['expr'])}`{patience}"
    advice = rule["annotations"]["description"]
    return f"| {rule['alert']} | {rule['labels']['severity']} | {expression} | {advice} |"


def _cell(expression: str) -> str:
    return re.sub(r"\s+", " ", expression).strip().replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
