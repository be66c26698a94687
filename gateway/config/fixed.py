"""What a gateway that runs cannot change: it says what is to be restarted for."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.config.models import EVERY_OTHER, Bucket, Config

SECTIONS: Final = ("listen", "admin", "tls", "workers", "state")
# What changes how a storage is reached, not which one it is.
WAYS: Final = frozenset(
    {
        *("access_key", "secret_key", "session_token", "profile", "role", "external_id", "credentials", "ca", "fsync"),
        *("concurrency", "connections", "connect_timeout", "answer_timeout", "stall_timeout"),
    }
)


def differences(old: Config, new: Config) -> Sequence[str]:
    """Return the keys in which two configurations differ that cannot follow one another in one process."""
    before, after = _fixed(old), _fixed(new)
    return [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]


def _fixed(config: Config) -> Mapping[str, Any]:
    """Return what is fixed, by its key.

    Where the copies of a bucket are is fixed, because what is under way by the old configuration would be written
    down by the rules of the new one: a write without an intent would never come to a mirror.
    """
    fixed: dict[str, Any] = {name: getattr(config, name) for name in SECTIONS}
    for name, bucket in config.buckets.items():
        if bucket.copies:
            fixed[f"buckets.{name}"] = _places(config, name, bucket)
            fixed["replication"] = config.replication
    return fixed


def _places(config: Config, name: str, bucket: Bucket) -> object:
    places = {
        said: (where.backend, where.name, where.prefix, _storage(config, where.backend))
        for said, where in {"": bucket, **bucket.copies}.items()
    }
    return places, sorted(config.buckets) if name == EVERY_OTHER else ()


def _storage(config: Config, backend: str) -> Mapping[str, Any]:
    settings = config.backends[backend].model_dump()
    return {option: value for option, value in settings.items() if option not in WAYS}
