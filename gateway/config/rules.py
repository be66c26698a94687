"""What must hold between the parts of a configuration."""

from collections.abc import Iterator

from gateway.config.models import Config, Memory
from gateway.config.read import Place


def broken_rules(config: Config) -> Iterator[tuple[Place, str]]:
    """Yield what does not fit together, with its place."""
    known = ", ".join(config.backends)
    for name, bucket in config.buckets.items():
        if bucket.backend not in config.backends:
            yield ("buckets", name, "backend"), f'there is no backend "{bucket.backend}", there are: {known}'
    if config.worker_count > 1:
        for name, backend in config.backends.items():
            if isinstance(backend, Memory):
                yield ("backends", name, "type"), "memory is not shared by several workers, set workers: 1"
    if config.admin is not None and config.admin.port and config.admin.port == config.listen.port:
        yield ("admin",), f"port {config.admin.port} is that of listen already"
