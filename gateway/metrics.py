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
BODY_MEMORY: Final = Gauge(
    "gateway_body_memory_bytes",
    "What bodies may take of the memory at most, of all those that are on their way.",
    multiprocess_mode="livesum",
)
BODY_MEMORY_LIMIT: Final = Gauge(
    "gateway_body_memory_limit_bytes",
    "How much that may be; then new ones wait.",
    multiprocess_mode="livesum",
)
LIMITED: Final = Counter(
    "gateway_limited",
    "What was told to slow down, by what: connections, requests, memory, state, backend (its concurrency), and client "
    "or key, each with _rate or _bandwidth.",
    ["limit"],
)
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
BACKEND_IN_FLIGHT: Final = Gauge(
    "gateway_backend_calls_in_flight",
    "Calls of backends that have not ended; a download has when it is through.",
    ["backend"],
    multiprocess_mode="livesum",
)
BUILD: Final = Gauge(
    "gateway_build_info", "Always 1; the labels tell what runs.", ["version", "python"], multiprocess_mode="max"
)
RELOADS: Final = Counter(
    "gateway_config_reloads",
    "Configurations that were looked at while running; each worker counts those that it could not open.",
    ["result"],
)
RELOADED: Final = Gauge(
    "gateway_config_last_reload_successful",
    "1 if the last configuration that was there to be taken is in force, also after the start.",
    multiprocess_mode="livemostrecent",
)

# --- buckets with a fallback or mirrors; what needs a question to the database is told by one process of a gateway ---

ROUTE_MODE: Final = Gauge(
    "gateway_route_mode", "1 for the mode that a bucket is in.", ["route", "mode"], multiprocess_mode="livemax"
)
MODE_CHANGES: Final = Counter("gateway_route_mode_changes", "Changes of a bucket's mode.", ["route"])
UNHEALED: Final = Gauge(
    "gateway_unhealed_objects",
    "Keys whose newest state the primary lacks, objects and deletions.",
    ["route", "state"],
    multiprocess_mode="livemax",
)
UNHEALED_BUCKETS: Final = Gauge(
    "gateway_unhealed_buckets",
    "Buckets that were made in an outage, and that the primary lacks.",
    ["route"],
    multiprocess_mode="livemax",
)
UNHEALED_BYTES: Final = Gauge(
    "gateway_unhealed_bytes", "Their bytes on the fallback.", ["route"], multiprocess_mode="livemax"
)
UNHEALED_OLDEST: Final = Gauge(
    "gateway_unhealed_oldest_seconds", "Since when the first of them is there.", ["route"], multiprocess_mode="livemax"
)
PENDING: Final = Gauge(
    "gateway_mirror_pending_objects",
    "Keys that a mirror may lack.",
    ["route", "target"],
    multiprocess_mode="livemax",
)
PENDING_BYTES: Final = Gauge(
    "gateway_mirror_pending_bytes",
    "Their bytes, as far as they are known.",
    ["route", "target"],
    multiprocess_mode="livemax",
)
PENDING_OLDEST: Final = Gauge(
    "gateway_mirror_oldest_pending_seconds",
    "How far a mirror is behind: since when the first of them waits, 0 if none does.",
    ["route", "target"],
    multiprocess_mode="livemax",
)
DEAD: Final = Gauge(
    "gateway_mirror_dead_objects",
    "Keys that are tried no more until somebody says so.",
    ["route", "target"],
    multiprocess_mode="livemax",
)
BASELINE: Final = Gauge(
    "gateway_mirror_baseline_complete",
    "1 when a mirror was given all that was there before it was one.",
    ["route", "target"],
    multiprocess_mode="livemax",
)
PAUSED: Final = Gauge(
    "gateway_mirror_paused", "1 while nobody works for a mirror.", ["route", "target"], multiprocess_mode="livemax"
)
BRAKED: Final = Gauge(
    "gateway_mirror_delete_brake",
    "1 while nothing is deleted from a mirror, because too much was at once.",
    ["route", "target"],
    multiprocess_mode="livemax",
)
OVERFLOWED: Final = Gauge(
    "gateway_mirror_overflowed",
    "1 while a mirror lacks so much that no more of it is written down: it is compared whole when it is back.",
    ["route", "target"],
    multiprocess_mode="livemax",
)
HEALED: Final = Counter("gateway_heal_objects", "Keys brought back to the primary.", ["route", "result"])
MIRRORED: Final = Counter(
    "gateway_mirror_objects", "Keys looked at for a mirror, by what was done.", ["route", "target", "result"]
)
COPYING: Final = Gauge(
    "gateway_copying_at_once",
    "Keys that all workers together may bring to a storage at once: it is found out what that bears.",
    ["route", "target"],
    multiprocess_mode="livesum",
)
COPYING_HALVED: Final = Counter(
    "gateway_copying_halved",
    "How often that was halved, because the storage was too busy or did not answer.",
    ["route", "target"],
)
COPYING_WAITED: Final = Counter(
    "gateway_copying_waited_seconds",
    "How long keys have waited because a storage is asked no faster than it is to be.",
    ["route", "target"],
)
READS: Final = Counter("gateway_reads_served", "Reads that found something, by where.", ["route", "from"])
READS_REFUSED: Final = Counter("gateway_reads_refused", "Reads that nobody could answer.", ["route", "reason"])
LAZY_READS: Final = Counter(
    "gateway_lazy_reads", "Reads of buckets that move from an old storage, by what told of the key.", ["bucket", "from"]
)
LAZY_COPIES: Final = Counter(
    "gateway_lazy_copies",
    "Keys to be copied from an old storage because they were read, by what became of it.",
    ["bucket", "result"],
)
LAZY_BYTES: Final = Counter("gateway_lazy_copied_bytes", "Bytes so copied.", ["bucket"])
BREAKERS: Final = Gauge(
    "gateway_breakers_open",
    "Breakers that hold calls back; each worker has two for each storage of a bucket.",
    ["backend", "calls"],
    multiprocess_mode="livesum",
)
BREAKER_CHANGES: Final = Counter(
    "gateway_breaker_transitions", "How often a breaker opened or closed.", ["backend", "calls", "to"]
)
STATE_UP: Final = Gauge(
    "gateway_state_up", "1 while the database answers for a bucket.", ["route"], multiprocess_mode="livemax"
)
STATE_SECONDS: Final = Histogram(
    "gateway_state_commit_seconds", "From a transaction's being asked for to its end.", buckets=_TIMES
)

# --- images ---

IMAGE_JOBS: Final = Counter(
    "gateway_image_jobs",
    "Images that were looked at, by what is there of their variants now, and why something is missing.",
    ["bucket", "outcome", "reason"],
)
IMAGE_VARIANTS: Final = Counter(
    "gateway_image_variants", "Variants of images, by what became of them.", ["bucket", "result"]
)
IMAGE_SECONDS: Final = Histogram(
    "gateway_image_seconds", "From taking an image on to its variants being stored.", ["bucket"], buckets=_TIMES
)
IMAGE_SAVED: Final = Counter(
    "gateway_image_saved_bytes", "How much smaller variants are than the images they were made of.", ["bucket"]
)
IMAGE_DUPLICATES: Final = Counter(
    "gateway_image_duplicates", "Images with the bytes of another one that this process has seen.", ["bucket"]
)
IMAGE_KILLS: Final = Counter("gateway_image_kills", "Processes that were ended by an image, or died of it.", ["reason"])
IMAGE_REFUSED: Final = Counter(
    "gateway_image_refused",
    "Writes that were refused for what they are, or because too much waited.",
    ["bucket", "reason"],
)
IMAGE_HOOKS: Final = Counter(
    "gateway_image_hooks", "What the receiver of the webhook was to be told, by what came of it.", ["result"]
)
IMAGE_QUEUE: Final = Gauge(
    "gateway_image_queue_jobs",
    "Images that wait in the database, or were given up.",
    ["state"],
    multiprocess_mode="livemax",
)
IMAGE_OLDEST: Final = Gauge(
    "gateway_image_queue_oldest_seconds",
    "Since when the first of them waits, 0 if none does.",
    multiprocess_mode="livemax",
)

__all__ = [
    "BACKEND_CALLS",
    "BACKEND_IN_FLIGHT",
    "BACKEND_RECEIVED",
    "BACKEND_SECONDS",
    "BACKEND_SENT",
    "BASELINE",
    "BODY_MEMORY",
    "BODY_MEMORY_LIMIT",
    "BRAKED",
    "BREAKERS",
    "BREAKER_CHANGES",
    "BUILD",
    "CONNECTIONS",
    "COPYING",
    "COPYING_HALVED",
    "COPYING_WAITED",
    "DEAD",
    "HEALED",
    "IMAGE_DUPLICATES",
    "IMAGE_HOOKS",
    "IMAGE_JOBS",
    "IMAGE_KILLS",
    "IMAGE_OLDEST",
    "IMAGE_QUEUE",
    "IMAGE_REFUSED",
    "IMAGE_SAVED",
    "IMAGE_SECONDS",
    "IMAGE_VARIANTS",
    "IN_FLIGHT",
    "LAZY_BYTES",
    "LAZY_COPIES",
    "LAZY_READS",
    "LIMITED",
    "MIRRORED",
    "MODE_CHANGES",
    "OVERFLOWED",
    "PAUSED",
    "PENDING",
    "PENDING_BYTES",
    "PENDING_OLDEST",
    "READS",
    "READS_REFUSED",
    "RECEIVED",
    "REFUSED",
    "REGISTRY",
    "RELOADED",
    "RELOADS",
    "REQUESTS",
    "ROUTE_MODE",
    "SECONDS",
    "SENT",
    "STATE_SECONDS",
    "STATE_UP",
    "UNHEALED",
    "UNHEALED_BUCKETS",
    "UNHEALED_BYTES",
    "UNHEALED_OLDEST",
]


def set_build() -> None:
    """Tell what runs; once per process."""
    BUILD.labels(version("s3-gateway"), platform.python_version()).set(1)
