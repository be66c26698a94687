"""How a key becomes the path of a file, and back: natural wherever a file can bear that name.

A segment of a key is the name of its file or folder, unless no file can be called so (empty, ".", "..", with a NUL
in it, too long) or the name is one of ours. Such a segment gets a name that begins with ".%":

    .%            the folder of an empty segment
    .%d<segment>  a folder      with "%" written %25 and NUL written %00
    .%f<segment>  a file
    .%c<piece>    the folder in which a long segment goes on
    .%a<segment>  a file that stands aside, because a folder has its natural name

A name is ours only if writing its key gives that name again; any other file is no object.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from gateway.errors import InvalidURI, KeyTooLongError

RESERVED: Final = b".%"
ASIDE: Final = b".%a"
_EMPTY_FOLDER: Final = b".%"
_FOLDER: Final = b".%d"
_FILE: Final = b".%f"
_CONTINUED: Final = b".%c"
_MARK: Final = len(_FOLDER)
LONGEST_KEY: Final = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
LONGEST_NAME: Final = 250  # with a mark before it, it still is within the 255 bytes that a file system gives


class Place(NamedTuple):
    """Where a key's file is: a folder in the bucket ("" for the bucket's own), and its name there.

    With `aside` set the file is there instead, if `name` is not a regular file.
    """

    folder: bytes
    name: bytes
    aside: bytes = b""

    @property
    def names(self) -> Sequence[bytes]:
        """The names in the order in which they hold good."""
        return (self.name, self.aside) if self.aside else (self.name,)


@lru_cache(maxsize=2048)
def place(key: str) -> Place:
    """Return where the file of `key` is. Raises: KeyTooLongError, InvalidURI (not Unicode)."""
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        raise InvalidURI from None
    if len(encoded) > LONGEST_KEY:
        raise KeyTooLongError(Size=str(len(encoded)), MaxSizeAllowed=str(LONGEST_KEY))
    parent, slash, segment = encoded.rpartition(b"/")
    continued, segment = _pieces(segment)
    above = [folder(parent)] if slash else []
    inside = b"/".join([*above, *continued])
    if _is_natural(segment):
        return Place(inside, segment, ASIDE + segment)
    return Place(inside, _FILE + _escape(segment))


def folder(prefix: bytes) -> bytes:
    """Return the folder in which all keys lie that begin with `prefix` and a slash."""
    path: list[bytes] = []
    for segment in prefix.split(b"/"):
        continued, rest = _pieces(segment)
        path += [*continued, rest if _is_natural(rest) else _FOLDER + _escape(rest) if rest else _EMPTY_FOLDER]
    return b"/".join(path)


def piece(name: bytes, *, is_folder: bool) -> bytes | None:
    """Return what a file or folder of that name adds to the key, or None if nothing in it is an object.

    A folder adds a slash too, unless it is one in which a long segment goes on.
    """
    if not name.startswith(RESERVED):
        return (name + b"/" if is_folder else name) if _is_natural(name) and _is_unicode(name) else None
    if is_folder:
        return _piece_of_folder(name)
    mark, rest = name[:_MARK], name[_MARK:]
    if mark == ASIDE:
        return rest if _is_natural(rest) and _is_unicode(rest) else None
    return _unescape(rest) if mark == _FILE else None


def goes_on(name: bytes) -> bool:
    """Say whether this is the folder in which a long segment goes on."""
    return name.startswith(_CONTINUED)


def is_continued(path: bytes) -> bool:
    """Say whether a long segment goes on in this folder, so that only a whole key tells if its name is ours."""
    return _CONTINUED in path


def key_of(path: Sequence[bytes]) -> str | None:
    """Return the key of a file from the folders above it and its name."""
    *folders, name = path
    pieces = [*(piece(part, is_folder=True) for part in folders), piece(name, is_folder=False)]
    known = [part for part in pieces if part is not None]
    return b"".join(known).decode() if len(known) == len(pieces) else None


def _piece_of_folder(name: bytes) -> bytes | None:
    if name == _EMPTY_FOLDER:
        return b"/"
    mark, rest = name[:_MARK], name[_MARK:]
    if mark == _CONTINUED:
        known = _unescape(rest, natural=True)
        return known or None
    known = _unescape(rest) if mark == _FOLDER else None
    return known + b"/" if known else None


def _is_natural(segment: bytes) -> bool:
    return (
        0 < len(segment) <= LONGEST_NAME
        and not segment.startswith(RESERVED)
        and segment not in {b".", b".."}
        and b"\0" not in segment
    )


def _is_unicode(name: bytes) -> bool:
    if name.isascii():
        return True
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _escape(segment: bytes) -> bytes:
    return segment.replace(b"%", b"%25").replace(b"\0", b"%00")


def _unescape(name: bytes, *, natural: bool = False) -> bytes | None:
    """Return what was escaped, or None if `name` is not what `_escape` would have made of it."""
    segment = name.replace(b"%00", b"\0").replace(b"%25", b"%")
    is_ours = _escape(segment) == name and len(name) <= LONGEST_NAME and _is_unicode(segment)
    return segment if is_ours and (natural or not _is_natural(segment)) else None


def _pieces(segment: bytes) -> tuple[Sequence[bytes], bytes]:
    """Return the folders in which a segment goes on, and what is left of it for the last name."""
    continued: list[bytes] = []
    while not _is_natural(segment) and len(_escape(segment)) > LONGEST_NAME:
        cut = _cut(segment.decode())
        continued.append(_CONTINUED + _escape(segment[:cut]))
        segment = segment[cut:]
    return continued, segment


def _cut(segment: str) -> int:
    """Return how many bytes of a long segment go into one name, without cutting a character."""
    size = escaped = 0
    for character in segment:
        encoded = character.encode()
        escaped += len(_escape(encoded))
        if escaped > LONGEST_NAME:
            break
        size += len(encoded)
    return size
