"""Every metric: its name, its labels, what it tells. Label values come from closed sets, never from a client."""

import platform
from importlib.metadata import version
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

_TIMES: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # seconds

REQUESTS: Final = Counter("gateway_requests", "Requests answered.", ["operation", "status"])
SECONDS: Final = Histogram(
    "gateway_request_seconds",
    "From the end of a request's headers to the last byte of its answer.",
    ["operation"],
    buckets=_TIMES,
)
RECEIVED: Final = Counter("gateway_received_bytes", "Bytes of request bodies, as they came in.", ["operation"])
SENT: Final = Counter("gateway_sent_bytes", "Bytes of answers, without their headers.", ["operation"])
IN_FLIGHT: Final = Gauge("gateway_requests_in_flight", "Requests being answered.", multiprocess_mode="livesum")
CONNECTIONS: Final = Gauge("gateway_connections", "Open connections of clients.", multiprocess_mode="livesum")
REFUSED: Final = Counter("gateway_authentication_failures", "Requests whose sender was not believed.", ["reason"])
BACKEND_SECONDS: Final = Histogram(
    "gateway_backend_seconds",
    "From a call of a backend to its answer; of a download, until its first byte can be sent.",
    ["backend", "operation"],
    buckets=_TIMES,
)
BACKEND_CALLS: Final = Counter(
    "gateway_backend_calls",
    "Calls of backends that ended; a download counts when it is through, as a failure if it broke off.",
    ["backend", "operation", "outcome"],
)
BACKEND_SENT: Final = Counter(
    "gateway_backend_sent_bytes", "Bytes of bodies on their way to a backend.", ["backend", "operation"]
)
BACKEND_RECEIVED: Final = Counter(
    "gateway_backend_received_bytes", "Bytes of objects that came from a backend.", ["backend", "operation"]
)
BUILD: Final = Gauge(
    "gateway_build_info", "Always 1; the labels tell what runs.", ["version", "python"], multiprocess_mode="max"
)

__all__ = [
    "BACKEND_CALLS",
    "BACKEND_RECEIVED",
    "BACKEND_SECONDS",
    "BACKEND_SENT",
    "BUILD",
    "CONNECTIONS",
    "IN_FLIGHT",
    "RECEIVED",
    "REFUSED",
    "REGISTRY",
    "REQUESTS",
    "SECONDS",
    "SENT",
]


def set_build() -> None:
    """Tell what runs; once per process."""
    BUILD.labels(version("s3-gateway"), platform.python_version()).set(1)
