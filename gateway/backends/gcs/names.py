"""Which names there are in a bucket: those of clients, and our own corner `.gw/self/`."""

import re
from typing import Final
from urllib.parse import quote

from gateway.errors import AccessDenied, InvalidArgument, NoSuchKey
from gateway.storage import Address

OWN: Final = ".gw/self/"
BEHIND_OWN: Final = ".gw/self0"  # the first name that is not ours any more
LABELS: Final = f"{OWN}bucket"
UPLOADS: Final = f"{OWN}uploads/"
PARTS: Final = f"{OWN}parts/"
TABLES: Final = f"{OWN}tables/"
_LINE_ENDS: Final = re.compile(r"[\r\n]")
_ACME: Final = ".well-known/acme-challenge/"


def can_hold(key: str) -> bool:
    """Say whether Google Cloud Storage takes such a name. https://cloud.google.com/storage/docs/objects#naming."""
    return key not in {".", ".."} and not has_line_end(key) and not key.startswith(_ACME)


def has_line_end(text: str) -> bool:
    """Say whether there is what no name has."""
    return _LINE_ENDS.search(text) is not None


def check_read(at: Address) -> None:
    """Raise AccessDenied for what is ours, NoSuchKey for what cannot be there."""
    if at.key.startswith(OWN):
        raise AccessDenied
    if not can_hold(at.key):
        raise NoSuchKey(Key=at.key)


def check_write(at: Address) -> None:
    """Raise AccessDenied for what is ours, InvalidArgument for a name that cannot be stored."""
    if at.key.startswith(OWN):
        raise AccessDenied
    if not can_hold(at.key):
        raise InvalidArgument(
            'Google Cloud Storage holds no key that is "." or "..", has a line break, or begins with ' + _ACME,
            ArgumentName="Key",
            ArgumentValue=at.key,
        )


def from_there(after: str) -> str:
    """Return where a listing begins whose items come behind `after`, or are it: without line breaks, as names are."""
    if found := _LINE_ENDS.search(after):
        return after[: found.start()] + chr(ord(found[0]) + 1)
    return after


def bucket_path(bucket: str) -> str:
    """Return the path of a bucket."""
    return f"/b/{quote(bucket, safe='')}"


def object_path(at: Address) -> str:
    """Return the path of an object; a slash in its key is encoded, so that the key is one segment."""
    return f"{bucket_path(at.bucket)}/o/{quote(at.key, safe='')}"
