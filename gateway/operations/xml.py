"""The XML that S3 speaks: read with limits, written fast.

xmltodict reads, with checks around it of what it leaves to its callers. Writing is own code: a page of a thousand keys
has to cost little.
"""

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from xml.parsers import expat

import xmltodict

from gateway.errors import MalformedXML, MaxMessageLengthExceeded, MissingRequestBodyError, S3Error
from gateway.message import Answer
from gateway.storage import SMALL, Body

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
LIMIT: Final = 1024 * 1024  # bytes of a document, unless an operation needs more
DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_DEPTH: Final = 16  # S3's own deepest document has 8 levels
_SPECIAL: Final = re.compile('[&<>"\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]')
_UNREADABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NAMED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#xA;", "\t": "&#x9;"}


class Written(str):
    """Elements that are written already, by `element` or with `escaped` text: for what a page has a thousand of."""

    __slots__ = ()


def document(root: str, content: Mapping[str, object]) -> bytes:
    """Write a document in S3's namespace.

    Values are str, int, bool, None (left out), dicts, and lists for repeated elements, or Written in place of all of
    them; as in xmltodict, "@name" is an attribute and "#text" the text beside it. A character that XML 1.0 cannot
    carry is written as a character reference, which is what S3 does; who lists such keys asks for `encoding-type=url`.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html#API_ListObjectsV2_RequestSyntax
    """
    return _text(root, {"@xmlns": NAMESPACE, **content})


def bare(root: str, content: Mapping[str, object]) -> bytes:
    """Write a document without a namespace, as S3 gives a PostResponse."""
    return _text(root, content)


def element(name: str, value: object) -> Written:
    """Write an element, or several, as `document` does."""
    written: list[str] = []
    _write(written, name, value)
    return Written("".join(written))


def escaped(text: str) -> str:
    """Return text as it stands in an element."""
    return _SPECIAL.sub(_reference, text) if _SPECIAL.search(text) else text


def answer(root: str, content: Mapping[str, object]) -> Answer:
    """Return the answer 200 that holds this document."""
    return Answer(headers={"Content-Type": "application/xml"}, content=document(root, content))


def error(error: S3Error, call_path: str, request_id: str, host_id: str) -> bytes:
    """Write the body of an error, which S3 gives without a namespace.

    https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#RESTErrorResponses
    """
    told = {"Code": error.code, "Message": str(error), **error.fields}
    return _text("Error", {**told, "Resource": call_path, "RequestId": request_id, "HostId": host_id})


def continued(document: bytes) -> bytes:
    """Return a document without its declaration, for an answer that began with that."""
    return document.removeprefix(DECLARATION.encode())


def timestamp(moment: datetime) -> str:
    """Write a UTC time as S3 does, in whole seconds so that listings agree with Last-Modified."""
    return f"{moment.isoformat(timespec='seconds')[:19]}.000Z"


def carries(text: str) -> bool:
    """Say whether XML 1.0 can hold every character of a text."""
    return not _UNREADABLE.search(text)


async def read(body: Body, root: str, lists: Collection[str] = (), limit: int = LIMIT) -> dict[str, Any]:
    """Read a document of at most `limit` bytes: elements with children become dicts, others their text as it stands.

    Elements named in `lists` come as lists, also if there is one; any other may stand once. Attributes are ignored. The
    body is read to its end, so that its checks are made.
    Raises: MissingRequestBodyError, MaxMessageLengthExceeded, MalformedXML (also for any DTD).
    """
    data = await _bytes(body, limit)
    if not data.strip():
        raise MissingRequestBodyError
    if len(data) > SMALL:
        return await asyncio.to_thread(_parse, data, root, lists)
    return _parse(data, root, lists)


def text(of: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """Return the text of a child. Raises MalformedXML where it has children itself, or is absent without a default."""
    value = of.get(name, default)
    if not isinstance(value, str):
        raise MalformedXML
    return value


def children(of: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the repeated elements of that name. Raises MalformedXML where one holds text instead of elements."""
    found = of.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise MalformedXML
    return found


def _text(root: str, content: Mapping[str, object]) -> bytes:
    written = [DECLARATION]
    _write(written, root, content)
    return "".join(written).encode()


def _write(written: list[str], name: str, value: object) -> None:
    if isinstance(value, Written):
        written.append(value)
    elif isinstance(value, str):
        written.append(f"<{name}>{escaped(value)}</{name}>")
    elif isinstance(value, dict):
        attributes = "".join(f' {key[1:]}="{escaped(one)}"' for key, one in value.items() if key[0] == "@")
        written.append(f"<{name}{attributes}>{escaped(value.get('#text', ''))}")
        for key, one in value.items():
            if key[0] not in "@#":
                _write(written, key, one)
        written.append(f"</{name}>")
    elif isinstance(value, list):
        for one in value:
            _write(written, name, one)
    elif value is not None:
        written.append(f"<{name}>{str(value).lower()}</{name}>")


def _reference(found: re.Match[str]) -> str:
    character = found[0]
    return _NAMED.get(character) or ("\ufffd" if "\ud800" <= character <= "\udfff" else f"&#x{ord(character):X};")


async def _bytes(body: Body, limit: int) -> bytes:
    if body.size is not None and body.size > limit:
        raise MaxMessageLengthExceeded(MaxMessageLengthBytes=str(limit))
    pieces, size = [], 0
    async for piece in body:
        size += len(piece)
        if size > limit:
            raise MaxMessageLengthExceeded(MaxMessageLengthBytes=str(limit))
        pieces.append(piece)
    return b"".join(pieces)


def _parse(data: bytes, root: str, lists: Collection[str]) -> dict[str, Any]:
    try:
        text = data.decode("utf-8-sig")
        _bound(text)
        found = xmltodict.parse(
            text,
            process_namespaces=True,
            namespaces={NAMESPACE: None},
            xml_attribs=False,
            force_list=lists,
            strip_whitespace=False,
            disable_entities=True,
        )
    except (expat.ExpatError, UnicodeDecodeError) as problem:
        raise MalformedXML from problem
    if root not in found:
        raise MalformedXML
    content = found[root]
    return _children(content if isinstance(content, dict) else {"#text": content}, lists)


def _bound(text: str) -> None:
    """Raise MalformedXML for a DTD, and for elements deeper in each other than S3 has any, before they cost memory."""
    parser = expat.ParserCreate("utf-8")  # whatever the declaration says: the text is decoded already
    depth = 0

    def refuse(*_: object) -> None:
        raise MalformedXML

    def start(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEPTH:
            raise MalformedXML

    def end(_: str) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler, parser.StartElementHandler, parser.EndElementHandler = refuse, start, end
    parser.Parse(text, True)


def _children(of: Mapping[str, Any], lists: Collection[str]) -> dict[str, Any]:
    """Return the elements within one, if they are of S3's namespace, and only white space stands between them."""
    found: dict[str, Any] = {}
    for name, value in of.items():
        if name == "#text":
            if value and value.strip():
                raise MalformedXML
        elif ":" in name or isinstance(value, list) is not (name in lists):
            raise MalformedXML
        elif isinstance(value, list):
            found[name] = [_content(one, lists) for one in value]
        else:
            found[name] = _content(value, lists)
    return found


def _content(value: Any, lists: Collection[str]) -> str | dict[str, Any]:
    return _children(value, lists) if isinstance(value, dict) else value or ""
