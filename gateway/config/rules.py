"""What must hold between the parts of a configuration."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from gateway.backends.dialects import AWS, DIALECTS, Dialect, dialect_of
from gateway.backends.s3.endpoint import aws_url, endpoint_of
from gateway.config.images import broken_images
from gateway.config.models import EVERY_OTHER, R2, S3, Bucket, Config, Elsewhere, Memory
from gateway.config.read import Place


def broken_rules(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield what does not fit together, with its place."""
    known = ", ".join(config.backends)
    for name, bucket in config.buckets.items():
        for where, elsewhere in _places(name, bucket):
            if elsewhere.backend not in config.backends:
                yield (*where, "backend"), f'there is no backend "{elsewhere.backend}", there are: {known}'
        yield from _copies(config, name, bucket)
        yield from _moves(config, name, bucket)
        if bucket.images:
            place = ("buckets", name, "images")
            yield from (((*place, *where), told) for where, told in broken_images(config.images, bucket.images))
            if bucket.read_only:
                yield place, "nothing is written to a bucket that is read_only, no variants either"
    yield from _overlaps(config)
    yield from _every_other(config)
    if config.worker_count > 1:
        for name, backend in config.backends.items():
            if isinstance(backend, Memory):
                yield ("backends", name, "type"), "memory is not shared by several workers, set workers: 1"
    if config.admin is not None and config.admin.port and config.admin.port == config.listen.port:
        yield ("admin",), f"port {config.admin.port} is that of listen already"


def _places(name: str, bucket: Bucket) -> Iterator[tuple[Place, Elsewhere]]:
    """Yield where the objects of a bucket are, with what says so."""
    yield from _kept(name, bucket)
    if bucket.migrate_from:
        yield ("buckets", name, "migrate_from"), bucket.migrate_from


def _kept(name: str, bucket: Bucket) -> Iterator[tuple[Place, Elsewhere]]:
    """Yield where what clients write is kept."""
    yield ("buckets", name), bucket
    if bucket.fallback:
        yield ("buckets", name, "fallback"), bucket.fallback
    for index, mirror in enumerate(bucket.mirrors):
        yield ("buckets", name, "mirrors", index), mirror


def _copies(config: Config, name: str, bucket: Bucket) -> Iterator[tuple[Place, str]]:
    """Yield what cannot be a copy of a bucket."""
    seen: dict[Place, object] = {}
    for where, elsewhere in _kept(name, bucket):
        backend = config.backends.get(elsewhere.backend)
        if isinstance(backend, Memory) and len(where) > len(("buckets", name)):
            yield (*where, "backend"), "memory keeps nothing, so nothing can be kept there"
        for other, said in seen.items():
            if backend is not None and backend == said:
                dotted = ".".join(map(str, other))
                yield (*where, "backend"), f"is the storage of {dotted}: what fails there fails for both"
        seen[where] = backend


def _moves(config: Config, name: str, bucket: Bucket) -> Iterator[tuple[Place, str]]:
    """Yield what a bucket cannot be while it moves."""
    origin, place = bucket.migrate_from, ("buckets", name, "migrate_from")
    if origin is None:
        return
    if name == EVERY_OTHER:
        yield place, "is for one bucket, these are many"
    said = {"fallback": bucket.fallback, "mirrors": bucket.mirrors, "images": bucket.images}
    for option in [option for option, value in said.items() if value]:
        yield ("buckets", name, option), "goes together with migrate_from only when that has ended"
    if bucket.acls != "disabled":
        yield ("buckets", name, "acls"), "goes together with migrate_from only when that has ended"
    new, old = config.backends.get(bucket.backend), config.backends.get(origin.backend)
    for where, backend in ((("buckets", name), new), (place, old)):
        if isinstance(backend, Memory):
            yield (*where, "backend"), "memory keeps nothing, so nothing can be kept there or come from there"
    same = new is not None and new == old and (bucket.name or name) == (origin.name or name)
    if same and _nested(bucket.prefix, origin.prefix):
        yield place, "is where the objects of this bucket are to be"
    if isinstance(new, (S3, R2)) and not _decides(new):
        told = f"the storage there ({_dialect(new).name}) writes under no conditions, or not all that it may be given"
        yield ("buckets", name, "backend"), f"{told}: a copy could replace what a client has written meanwhile"


def _decides(backend: S3 | R2) -> bool:
    """Say whether a storage decides by itself whether anything is replaced, whatever is written."""
    dialect = _dialect(backend)
    return {"if-match", "if-none-match"} <= dialect.write_conditions and dialect.completion_conditions


def _dialect(backend: S3 | R2) -> Dialect:
    if isinstance(backend, R2):
        return DIALECTS["r2"]
    return dialect_of(endpoint_of(backend.endpoint or aws_url(AWS.region), virtual=False).host, backend.dialect)


class _Lying(NamedTuple):
    """Where the keys of a bucket lie."""

    name: str
    said: Place
    where: Elsewhere
    backend: object  # by its settings: the same ones under two names are the same storage
    upstream: str

    @property
    def place(self) -> Place:
        """The key that says so."""
        return (*self.said, "prefix" if self.where.prefix else "name" if self.where.name else "backend")


def _lying(config: Config) -> list[_Lying]:
    return [
        _Lying(name, said, where, config.backends.get(where.backend), where.name or name)
        for name, bucket in config.buckets.items()
        if name != EVERY_OTHER
        for said, where in _places(name, bucket)
    ]


def _overlaps(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield pairs of buckets of which one shows what the other holds: a right to one would be a right to both."""
    for one, other in combinations(_lying(config), 2):
        prefixes = one.where.prefix, other.where.prefix
        same = one.backend is not None and one.backend == other.backend and one.upstream == other.upstream
        if one.name != other.name and same and _nested(*prefixes):
            dotted = ".".join(map(str, one.place))
            yield other.place, f'shows keys of "{other.upstream}" in backend {other.where.backend} that {dotted} shows'


def _nested(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def _every_other(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield what "*" would show beside the bucket that it is shown by."""
    every_other = config.buckets.get(EVERY_OTHER)
    if every_other is None:
        return
    for said, where in _places(EVERY_OTHER, every_other):
        for option in ("name", "prefix"):
            if getattr(where, option):
                yield (*said, option), "is for one bucket, these are many"
    storages = [config.backends.get(where.backend) for _, where in _places(EVERY_OTHER, every_other)]
    for lying in _lying(config):
        same = lying.backend is not None and lying.backend in storages
        if same and lying.upstream not in config.buckets:
            told = f'the bucket "{lying.upstream}" of backend {lying.where.backend} can be reached under its own name'
            yield lying.place, f'{told} by buckets.* too: give that another backend, or "{lying.upstream}" an entry'
