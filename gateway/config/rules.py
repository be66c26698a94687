"""What must hold between the parts of a configuration."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from gateway.config.models import EVERY_OTHER, Bucket, Config, Memory
from gateway.config.read import Place


def broken_rules(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield what does not fit together, with its place."""
    known = ", ".join(config.backends)
    for name, bucket in config.buckets.items():
        if bucket.backend not in config.backends:
            yield ("buckets", name, "backend"), f'there is no backend "{bucket.backend}", there are: {known}'
    yield from _overlaps(config)
    yield from _every_other(config)
    if config.worker_count > 1:
        for name, backend in config.backends.items():
            if isinstance(backend, Memory):
                yield ("backends", name, "type"), "memory is not shared by several workers, set workers: 1"
    if config.admin is not None and config.admin.port and config.admin.port == config.listen.port:
        yield ("admin",), f"port {config.admin.port} is that of listen already"


class _Lying(NamedTuple):
    """Where the keys of a bucket lie."""

    name: str
    bucket: Bucket
    backend: object  # by its settings: the same ones under two names are the same storage
    upstream: str

    @property
    def place(self) -> Place:
        """The key that says so."""
        said = "prefix" if self.bucket.prefix else "name" if self.bucket.name else "backend"
        return ("buckets", self.name, said)


def _lying(config: Config) -> list[_Lying]:
    return [
        _Lying(name, bucket, config.backends.get(bucket.backend), bucket.name or name)
        for name, bucket in config.buckets.items()
        if name != EVERY_OTHER
    ]


def _overlaps(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield pairs of buckets of which one shows what the other holds: a right to one would be a right to both."""
    for one, other in combinations(_lying(config), 2):
        prefixes = one.bucket.prefix, other.bucket.prefix
        same = one.backend is not None and one.backend == other.backend and one.upstream == other.upstream
        if same and (prefixes[0].startswith(prefixes[1]) or prefixes[1].startswith(prefixes[0])):
            dotted = ".".join(map(str, one.place))
            yield other.place, f'shows keys of "{other.upstream}" in backend {other.bucket.backend} that {dotted} shows'


def _every_other(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield what "*" would show beside the bucket that it is shown by."""
    every_other = config.buckets.get(EVERY_OTHER)
    if every_other is None:
        return
    for option in ("name", "prefix"):
        if getattr(every_other, option):
            yield ("buckets", EVERY_OTHER, option), "is for one bucket, these are many"
    for lying in _lying(config):
        same = lying.backend is not None and lying.backend == config.backends.get(every_other.backend)
        if same and lying.upstream not in config.buckets:
            told = f'the bucket "{lying.upstream}" of backend {lying.bucket.backend} can be reached under its own name'
            yield lying.place, f'{told} by buckets.* too: give that another backend, or "{lying.upstream}" an entry'
