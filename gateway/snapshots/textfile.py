"""What jobs tell Prometheus: a file for the textfile collector of its node exporter.

https://github.com/prometheus/node_exporter#textfile-collector
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile
from prometheus_client.parser import text_string_to_metric_families

SNAPSHOT_SUCCESS: Final = "gateway_snapshot_last_success_timestamp_seconds"
SNAPSHOT_OBJECTS: Final = "gateway_snapshot_objects"
SNAPSHOT_BYTES: Final = "gateway_snapshot_bytes"
DRILL_SUCCESS: Final = "gateway_restore_drill_last_success_timestamp_seconds"
DRILL_SECONDS: Final = "gateway_restore_drill_rto_seconds"
DRILL_FAILURES: Final = "gateway_restore_drill_failures"
METRICS: Final[Mapping[str, str]] = {
    SNAPSHOT_SUCCESS: "When the last snapshot was taken.",
    SNAPSHOT_OBJECTS: "How many objects it names.",
    SNAPSHOT_BYTES: "How many bytes these have.",
    DRILL_SUCCESS: "When the last rehearsal of a restore ended that found everything.",
    DRILL_SECONDS: "How long the last one took to restore what it restored.",
    DRILL_FAILURES: "How many objects the last one did not bring back as they were.",
}
_LABEL: Final = "bucket"


def tell(file: Path, bucket: str, values: Mapping[str, float]) -> None:
    """Have a file tell these values of a bucket, beside all that it told before. Raises: OSError, ValueError."""
    registry = CollectorRegistry()
    gauges = {name: Gauge(name, help_, [_LABEL], registry=registry) for name, help_ in METRICS.items()}
    for family in text_string_to_metric_families(file.read_text("utf-8") if file.exists() else ""):
        for sample in family.samples:
            if sample.name in gauges:
                gauges[sample.name].labels(**sample.labels).set(sample.value)
    for name, value in values.items():
        gauges[name].labels(bucket).set(value)
    write_to_textfile(str(file), registry)
