"""Every type of storage by its name in the configuration: adding a backend is a line here."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Final

from gateway.backends.gcs import open_gcs
from gateway.backends.local import open_local
from gateway.backends.memory import open_memory
from gateway.backends.s3 import open_r2, open_s3
from gateway.storage import Backend

Opener = Callable[..., AbstractAsyncContextManager[Backend]]  # its name, then the options of its type by keyword

BACKENDS: Final[Mapping[str, Opener]] = MappingProxyType(
    {
        "gcs": open_gcs,
        "local": lambda name, path, fsync: open_local(name, path, fsync=fsync),
        "memory": open_memory,
        "r2": open_r2,
        "s3": open_s3,
    },
)
