"""Every type of storage by its name in the configuration: adding a backend is a line here."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from types import MappingProxyType
from typing import Any, Final

from gateway.backends.local import open_local
from gateway.backends.memory import open_memory
from gateway.storage import Backend

Opener = Callable[..., AbstractAsyncContextManager[Backend]]  # its name, then the options of its type by keyword


def _later(module: str, function: str) -> Opener:
    """Return an opener whose module is imported when it is used: the libraries of clouds take time and memory."""

    def opened(name: str, **settings: Any) -> AbstractAsyncContextManager[Backend]:
        opener: Opener = getattr(import_module(module), function)
        return opener(name, **settings)

    return opened


BACKENDS: Final[Mapping[str, Opener]] = MappingProxyType(
    {
        "gcs": _later("gateway.backends.gcs", "open_gcs"),
        "local": lambda name, path, fsync: open_local(name, path, fsync=fsync),
        "memory": open_memory,
        "r2": _later("gateway.backends.s3.backend", "open_r2"),
        "s3": _later("gateway.backends.s3.backend", "open_s3"),
    },
)
