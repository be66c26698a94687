"""The head of an answer: what stands there, or that it is none.

Only what can be understood in one way is taken for a head: else the end of its body would be a guess.
https://www.rfc-editor.org/rfc/rfc9112.html#name-message-body-length
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

_HEAD: Final = re.compile(
    rb"HTTP/1\.[01] [1-5][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?\r\n"
    rb"(?:[A-Za-z0-9!#$%&'*+.^_`|~-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
_LENGTH: Final = re.compile(r"[0-9]{1,19}")
_SWITCHED: Final = "101"  # to another protocol, which nobody asked for
_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


class Head(NamedTuple):
    """What is said before a body of `length` bytes, or of chunks, or (`length` is None) up to the connection's end."""

    status: int
    headers: Mapping[str, str]  # by lower-case name; of those of one name the first
    length: int | None
    chunked: bool
    last: bool  # the connection ends with this answer


def parse(head: bytes) -> Head:
    """Read a head, with the empty line behind it. Raises ValueError."""
    if not _HEAD.fullmatch(head):
        raise ValueError("no head")
    status, *lines = head[:-4].decode("utf-8", "surrogateescape").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        name = name.lower()
        if name not in headers:
            headers[name] = value.strip(" \t")
        elif name in _FRAMING:
            raise ValueError("framed twice")
    if status[9:12] == _SWITCHED:
        raise ValueError("an answer to something else")
    length = _length(headers)
    options = headers.get("connection", "").lower()
    last = "close" in options or (status.startswith("HTTP/1.0") and "keep-alive" not in options)
    return Head(int(status[9:12]), headers, length, "transfer-encoding" in headers, last)


def _length(headers: Mapping[str, str]) -> int | None:
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if coding is not None and (length is not None or coding.lower() != "chunked"):
        raise ValueError("framed in an unknown way")
    if length is None:
        return None
    if not _LENGTH.fullmatch(length):
        raise ValueError("no length")
    return int(length)
