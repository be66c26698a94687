"""What bytes are, by how they begin, and how large a picture they claim to be; nothing is decoded for it."""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from gateway.images.spec import CONTENT_TYPES, Reason, Size, Unfit

HEAD: Final = 1024  # bytes that `kind_of` looks at
MOST_SCANS: Final = 64  # of a JPEG; encoders write 10, and decoding one costs as much as the whole picture

_GENERIC: Final = frozenset({"", "application/octet-stream", "binary/octet-stream", "image/*"})
_ALIASES: Final[Mapping[str, str]] = MappingProxyType(
    {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "image/x-png": "image/png", "image/apng": "image/png"}
)
_SIGNATURES: Final = (  # the first five are decoded, the others are only known by name
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"RIFF....WEBP", "webp"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"BM....\0\0\0\0", "bmp"),
    (b"8BPS", "psd"),
    (b"\0\0\x01\0", "ico"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"\xff\x0a", "jxl"),
    (b"%!PS", "eps"),
)
_KNOWN: Final = tuple(
    (re.compile(re.escape(begin).replace(rb"\.\.\.\.", rb"[\s\S]{4}")), kind) for begin, kind in _SIGNATURES
)
_SVG: Final = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|!DOCTYPE svg|svg)[\s\S]*?<svg[\s>]|\s*<svg[\s>]", re.IGNORECASE
)
_HEIF: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MARKER: Final = re.compile(
    rb"\xff([^\x00\x01\xd0-\xd7\xff])"
)  # those without a length that stand within scans left out
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF: the header of a JPEG's picture
_SCAN: Final = 0xDA
_END: Final = 0xD9


def kind_of(head: bytes) -> str:
    """Return the kind of what begins with these bytes, "" if it is none that we know."""
    if head[4:8] == b"ftyp":
        return _brand(head)
    for begin, kind in _KNOWN:
        if begin.match(head):
            return kind
    return "svg" if _SVG.match(head[:HEAD]) else ""


def check_type(kind: str, declared: str) -> None:
    """Raise Unfit if a Content-Type promises something else than the kind that was found."""
    said = declared.partition(";")[0].strip().lower()
    if said not in _GENERIC and _ALIASES.get(said, said) != CONTENT_TYPES[kind]:
        raise Unfit(Reason.WRONG_TYPE, kind)


def size_of(kind: str, data: bytes) -> Size | None:
    """Return the size that an image's header claims; None where only a parser of the whole can tell. Raises: Unfit."""
    read = _SIZES.get(kind)
    if read is None:
        return None
    try:
        return read(data)
    except (IndexError, ValueError) as error:
        raise Unfit(Reason.BROKEN, kind) from error


def scans_of(data: bytes) -> int:
    """Count the scans of a JPEG as its decoder will meet them, up to one more than there may be.

    What follows the end of the picture does not count: cameras put films there.
    """
    scans = 0
    for marker, _ in _segments(data):
        scans += marker == _SCAN
        if scans > MOST_SCANS:
            break
    return scans


def _brand(head: bytes) -> str:
    """Return the kind of an ISO base media file, by the brands that it names."""
    stop = min(int.from_bytes(head[:4], "big"), HEAD)
    brands = {head[8:12], *(head[start : start + 4] for start in range(16, stop, 4))}
    if brands & {b"avif", b"avis"}:
        return "avif"
    return "heic" if brands & _HEIF else ""


def _jpeg(data: bytes) -> Size:
    for marker, start in _segments(data):
        if marker in _FRAMES:
            return Size(_big(data, start + 5, 2), _big(data, start + 3, 2))
        if marker == _SCAN:
            break
    raise ValueError("no header before the first scan")


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Go through a JPEG's markers as its decoder does: each one and where what it says begins, length first."""
    position = 2
    while found := _MARKER.search(data, position):
        marker, start = found[1][0], found.end()
        yield marker, start
        if marker == _END:
            return
        position = start + int.from_bytes(data[start : start + 2], "big")


def _png(data: bytes) -> Size:
    return Size(_big(data, 16, 4), _big(data, 20, 4))


def _gif(data: bytes) -> Size:
    return Size(_little(data, 6, 2), _little(data, 8, 2))


def _webp(data: bytes) -> Size:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return Size(_little(data, 24, 3) + 1, _little(data, 27, 3) + 1)
    if chunk == b"VP8L":
        bits = _little(data, 21, 4)
        return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if chunk == b"VP8 ":
        return Size(_little(data, 26, 2) & 0x3FFF, _little(data, 28, 2) & 0x3FFF)
    raise ValueError("no picture")


def _big(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(_exactly(data, start, size), "big")


def _little(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(_exactly(data, start, size), "little")


def _exactly(data: bytes, start: int, size: int) -> bytes:
    found = data[start : start + size]
    if len(found) < size:
        raise ValueError("cut off")
    return found


_SIZES: Final[Mapping[str, Callable[[bytes], Size]]] = MappingProxyType(
    {"jpeg": _jpeg, "png": _png, "gif": _gif, "webp": _webp}
)
