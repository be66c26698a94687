"""Every metric: its name, its labels, what it tells. Label values come from closed sets, never from a client."""

import platform
from importlib.metadata import version
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

REQUESTS: Final = Counter("gateway_requests", "Requests answered.", ["operation", "status"])
SECONDS: Final = Histogram(
    "gateway_request_seconds",
    "From the end of a request's headers to the last byte of its answer.",
    ["operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
RECEIVED: Final = Counter("gateway_received_bytes", "Bytes of request bodies, as they came in.", ["operation"])
SENT: Final = Counter("gateway_sent_bytes", "Bytes of answers, without their headers.", ["operation"])
IN_FLIGHT: Final = Gauge("gateway_requests_in_flight", "Requests being answered.", multiprocess_mode="livesum")
CONNECTIONS: Final = Gauge("gateway_connections", "Open connections of clients.", multiprocess_mode="livesum")
REFUSED: Final = Counter("gateway_authentication_failures", "Requests whose sender was not believed.", ["reason"])
BUILD: Final = Gauge(
    "gateway_build_info", "Always 1; the labels tell what runs.", ["version", "python"], multiprocess_mode="max"
)

__all__ = ["BUILD", "CONNECTIONS", "IN_FLIGHT", "RECEIVED", "REFUSED", "REGISTRY", "REQUESTS", "SECONDS", "SENT"]


def set_build() -> None:
    """Tell what runs; once per process."""
    BUILD.labels(version("s3-gateway"), platform.python_version()).set(1)
