"""The keys of the gateway's own in a bucket of somebody else: they are there for nobody but us."""

from typing import Final

from gateway.errors import AccessDenied

OWN: Final = ".gw/self/"  # the rest of `.gw/` belongs to what stands around a backend
NOTE: Final = f"{OWN}bucket"  # the labels of the bucket
BEHIND: Final = ".gw/self0"  # the first key after all of them


def check(key: str) -> None:
    """Raise AccessDenied for a key of our own."""
    if key.startswith(OWN):
        raise AccessDenied


def may_follow(prefix: str, after: str) -> bool:
    """Say whether keys of our own can stand after `after` in a listing of `prefix`."""
    return after < BEHIND and (OWN.startswith(prefix) or prefix.startswith(OWN))
