"""What can be configured: each key with its type, its default and what it means; checked once, then fixed.

`docs/configuration.md` says the same for users, and a test compares the two.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    Tag,
    field_validator,
    model_validator,
)

from gateway.auth.keys import Grants
from gateway.backends.s3.endpoint import endpoint_of
from gateway.config.cors import CorsRules
from gateway.config.images import BucketImages, Images
from gateway.config.machine import available_memory
from gateway.config.section import Section
from gateway.config.units import Address, Bytes, Endpoint, MemorySize, Seconds, Secret, Workers
from gateway.storage import PRIVATE

DATA = Path("data")
EVERY_OTHER: Final = "*"  # the name of the entry for all buckets without one
SHARED: Final = frozenset({"r2", "s3"})  # backends that list the uploads of other programs, too
LONGEST_PREFIX: Final = 512  # bytes; it takes from the 1024 of a key


class Tls(Section):
    """What the S3 API is encrypted with."""

    certificate: Path
    key: Path


class Identity(Section):
    """Who a key acts as."""

    id: str = Field(min_length=1)
    display_name: str = ""


class Rate(Section):
    """How much may be asked for in a second."""

    rate: float | None = Field(None, gt=0)
    bandwidth: Bytes | None = Field(None, ge=1024)


class Key(Section):
    """An access key and what may be done with it."""

    access_key: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")
    secret_key: SecretStr = Field(min_length=8)
    allow: tuple[str, ...] = ("*",)
    owner: Identity | None = None
    limits: Rate | None = None

    @field_validator("allow", mode="before")
    @classmethod
    def _read_one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("allow")
    @classmethod
    def _check_grants(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Grants.parse(value)
        return value


class KeyFile(Section):
    """A key that is made at the first start and kept in a file."""

    file: Path


class Storage(Section):
    """What holds for a backend of any type."""

    concurrency: int | None = Field(None, ge=4)


class Local(Storage):
    """Files on a disk of this machine."""

    type: Literal["local"]
    path: Path
    fsync: bool = True


class Memory(Storage):
    """Objects that are gone when the process ends."""

    type: Literal["memory"]


class S3Account(Storage):
    """How requests of an account are signed and sent. Without keys, the AWS default chain finds credentials."""

    region: str | None = Field(None, pattern=r"^[a-z0-9-]+$")
    access_key: str | None = Field(None, min_length=1)
    secret_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = Field(None, min_length=1)
    connections: int = Field(256, ge=1)
    connect_timeout: Seconds = Field(3.0, gt=0)
    answer_timeout: Seconds = Field(30.0, gt=0)
    stall_timeout: Seconds = Field(30.0, gt=0)

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key belong together")
        if self.access_key and self.profile:
            raise ValueError("either access_key or profile, not both")
        return self


class S3(S3Account):
    """AWS S3, or another server that speaks S3."""

    type: Literal["s3"]
    endpoint: str | None = None
    role: str | None = Field(None, pattern=r"^arn:[a-z-]+:iam::[0-9]+:role/.+$")
    external_id: str | None = Field(None, min_length=2)
    dialect: Literal["auto", "aws", "r2", "minio", "ceph", "gcs", "b2", "moto", "generic"] = "auto"
    addressing: Literal["auto", "path", "virtual"] = "auto"
    ca: Path | None = None

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str | None) -> str | None:
        return _checked_endpoint(value)


class R2(S3Account):
    """Cloudflare R2."""

    type: Literal["r2"]
    account: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    jurisdiction: Literal["eu", "fedramp", "us"] | None = None


class Gcs(Storage):
    """A project of Google Cloud Storage. Without a file, credentials are found as Google's own libraries find them."""

    type: Literal["gcs"]
    project: str | None = Field(None, min_length=1)
    credentials: Path | None = None
    endpoint: str | None = None
    location: str | None = Field(None, min_length=1)
    storage_class: Literal["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"] | None = None
    connect_timeout: Seconds = Field(3.0, gt=0)
    answer_timeout: Seconds = Field(30.0, gt=0)
    stall_timeout: Seconds = Field(30.0, gt=0)

    @field_validator("endpoint")
    @classmethod
    def _check_endpoint(cls, value: str | None) -> str | None:
        return _checked_endpoint(value)


class Elsewhere(Section):
    """Where the objects of a bucket lie at one of the backends."""

    backend: str
    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$")
    prefix: str = ""

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, value: str) -> str:
        if value.startswith("/"):
            raise ValueError('expected a prefix such as media/, without a "/" at its beginning')
        if value.startswith(".gw") or PRIVATE.startswith(value or "-"):
            raise ValueError(f"what begins with {PRIVATE} is the gateway's own")
        if len(value.encode()) > LONGEST_PREFIX or not value.isprintable():
            raise ValueError(f"expected at most {LONGEST_PREFIX} bytes, and no control characters")
        return value


def _named(value: object) -> object:
    return {"backend": value} if isinstance(value, str) else value


class Copying(Section):
    """How fast what a storage lacks is brought there."""

    rate: float | None = Field(None, gt=0)
    bandwidth: Bytes | None = Field(None, ge=256 * 1024)
    concurrency: int = Field(32, ge=1, le=512)


class Mirror(Elsewhere):
    """Where a bucket's objects are kept in step, and what becomes of those that are replaced or deleted there."""

    mode: Literal["async", "sync"] = "async"
    protect: Seconds = Field(30 * 86400.0, ge=0)
    max_lag: Seconds | None = Field(None, gt=0)
    on_lag: Literal["alert", "throttle", "reject"] = "alert"
    max_pending: int = Field(2_000_000, ge=10_000)
    limits: Copying = Copying()


class Origin(Elsewhere):
    """Where the objects of a bucket come from: they are read there, and copied, and nothing is written there."""

    limits: Copying = Copying()


class Bucket(Elsewhere):
    """What holds for a bucket, or with the name "*" for every bucket without an entry of its own."""

    fallback: Annotated[Elsewhere, BeforeValidator(_named)] | None = None
    mirrors: tuple[Annotated[Mirror, BeforeValidator(_named)], ...] = ()
    failover: Literal["auto", "manual"] = "auto"
    healing: Copying = Copying()
    migrate_from: Annotated[Origin, BeforeValidator(_named)] | None = None
    stale_reads: bool = False
    replication_status: bool = False
    read_only: bool = False
    expire_uploads: Seconds | None = Field(None, gt=0)
    public: Literal["read"] | None = None
    acls: Literal["disabled", "canned"] = "disabled"
    cors: CorsRules = ()
    images: BucketImages | None = None

    @property
    def copies(self) -> Mapping[str, Elsewhere]:
        """Where else its objects are, by the key that says so."""
        mirrors = {f"mirrors[{index}]": mirror for index, mirror in enumerate(self.mirrors)}
        return ({"fallback": self.fallback} if self.fallback else {}) | mirrors

    @property
    def elsewhere(self) -> Mapping[str, Elsewhere]:
        """Where else its objects are or come from, by the key that says so: what the database is needed for."""
        return {**self.copies, **({"migrate_from": self.migrate_from} if self.migrate_from else {})}


class Replication(Section):
    """When a backend is taken to be down, and what is expected of writes whose answer was lost."""

    down_after: Seconds = Field(10.0, ge=0)
    up_after: Seconds = Field(60.0, ge=0)
    hold: Seconds | None = Field(None, ge=0)
    echo_deletes: bool | None = None


class Auth(Section):
    """What is accepted as proof."""

    sigv2: bool = True


class Snapshots(Section):
    """What snapshots are signed with: a key that is made with the first of them and kept in a file."""

    key: Path = DATA / ".gw" / "snapshot-key"


class Uploads(Section):
    """What happens to multipart uploads that nobody completes."""

    expire: Seconds = Field(7 * 86400.0, gt=0)


class Limits(Section):
    """How much of the server one client may use."""

    request_line: Bytes = Field(16 * 1024, ge=4096, le=1024 * 1024)
    headers: Bytes = Field(16 * 1024, ge=4096, le=1024 * 1024)
    header_count: int = Field(100, ge=20, le=1000)
    header_timeout: Seconds = Field(15.0, gt=0)
    idle_timeout: Seconds = Field(75.0, gt=0)
    stall_timeout: Seconds = Field(30.0, gt=0)
    body_rate: Bytes = Field(256, ge=0)
    unread: Bytes = Field(1024 * 1024, ge=0)
    linger: Seconds = Field(1.0, gt=0)
    connections: int = Field(10_000, ge=1)
    requests: int | None = Field(None, ge=1)
    memory: MemorySize = "auto"
    client: Rate = Rate()
    key: Rate = Rate()


class Log(Section):
    """What is written to standard error."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"
    audit: bool = True


def _checked_endpoint(value: str | None) -> str | None:
    if value is not None:
        endpoint_of(value, virtual=False)
    return value


def _kind(value: object) -> str:
    return "file" if isinstance(value, (Mapping, KeyFile)) else "list"


Keys = Annotated[
    Annotated[tuple[Key, ...], Tag("list")] | Annotated[KeyFile, Tag("file")],
    Discriminator(_kind),
]
Backend = Annotated[Gcs | Local | Memory | R2 | S3, Field(discriminator="type")]


class Config(Section):
    """The whole of it. Without a file, this is the embedded default."""

    listen: Address = Endpoint("127.0.0.1", 9000)
    admin: Address | None = Endpoint("127.0.0.1", 9001)
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]+$")
    domain: tuple[str, ...] = ()
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    tls: Tls | None = None
    workers: Workers = 1
    drain: Seconds = Field(30.0, ge=0)
    keys: Keys = KeyFile(file=DATA / ".gw" / "keys")
    auth: Auth = Auth()
    backends: Mapping[str, Backend] = Field({"disk": Local(type="local", path=DATA)}, min_length=1)
    buckets: Mapping[str, Bucket]
    state: str = Field("sqlite:///data/.gw/state.db", pattern=r"^(sqlite:///.+|postgresql://.+)$")
    replication: Replication = Replication()
    images: Images = Images()
    snapshots: Snapshots = Snapshots()
    uploads: Uploads = Uploads()
    limits: Limits = Limits()
    log: Log = Log()
    traces: bool = False

    @property
    def worker_count(self) -> int:
        """How many processes are wanted: with `auto`, one for each processor this process may use."""
        return len(os.sched_getaffinity(0)) if self.workers == "auto" else self.workers

    @property
    def images_beside(self) -> bool:
        """Whether a process beside the workers makes the variants for which no client waits.

        What a storage has in memory is there for one process only.
        """
        later = any(bucket.images and bucket.images.makes_later for bucket in self.buckets.values())
        return later and not any(isinstance(backend, Memory) for backend in self.backends.values())

    @property
    def is_one_process(self) -> bool:
        """Whether one process does everything."""
        return self.worker_count == 1 and not self.images_beside

    @property
    def keeps_state(self) -> bool:
        """Whether anything is written down in the database."""
        return any(bucket.elsewhere or bucket.images for bucket in self.buckets.values())

    @property
    def body_memory(self) -> int:
        """How many bytes the bodies of one worker may take: with `auto`, all of them half of what there is."""
        said = self.limits.memory
        return (available_memory() // 2 if said == "auto" else said) // self.worker_count

    def bucket(self, name: str) -> Bucket | None:
        """Return what is configured for a bucket, if anything is."""
        return self.buckets.get(name) or self.buckets.get(EVERY_OTHER)

    def expire_uploads(self, bucket: Bucket) -> float | None:
        """Return how old an upload in a bucket may become, in seconds; None where that is not for us to end."""
        if bucket.read_only or bucket.expire_uploads is not None:
            return None if bucket.read_only else bucket.expire_uploads
        return None if self.backends[bucket.backend].type in SHARED else self.uploads.expire

    @model_validator(mode="before")
    @classmethod
    def _default_buckets(cls, data: Any) -> Any:
        """Send every bucket to the backend, where there is but one."""
        if isinstance(data, dict) and "buckets" not in data:
            backends = data.get("backends", {"disk": None})
            if isinstance(backends, Mapping) and len(backends) == 1:
                return {**data, "buckets": {"*": {"backend": next(iter(backends))}}}
        return data

    @field_validator("domain", "trusted_proxies", mode="before")
    @classmethod
    def _read_one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("admin", mode="before")
    @classmethod
    def _read_off(cls, value: object) -> object:
        return None if value is False or value == "off" else value

    @field_validator("keys")
    @classmethod
    def _refuse_duplicates(cls, keys: tuple[Key, ...] | KeyFile) -> tuple[Key, ...] | KeyFile:
        counted = Counter(key.access_key for key in keys) if isinstance(keys, tuple) else Counter[str]()
        if doubled := [name for name, times in counted.items() if times > 1]:
            raise ValueError(f"access key {doubled[0]} is there more than once")
        return keys
