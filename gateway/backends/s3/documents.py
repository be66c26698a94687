"""The XML that servers answer with and are asked in."""

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from xml.parsers.expat import ExpatError

import xmltodict

from gateway.checksums import ALGORITHMS, Checksum
from gateway.errors import InternalError
from gateway.storage import SMALL, Part

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
Document = Mapping[str, Any]
_UNUSED: Final = re.compile(rb"<(NextContinuationToken|StartAfter)>.*?</\1>", re.DOTALL)


async def parsed(data: bytes, lists: Collection[str] = ()) -> tuple[str, Document]:
    """Return name and content of the root. Raises InternalError for what is no XML."""
    if len(data) > SMALL:
        return await asyncio.to_thread(parse, data, lists)
    return parse(data, lists)


def parse(data: bytes, lists: Collection[str] = ()) -> tuple[str, Document]:
    """As `parsed`, in the calling thread."""
    try:
        try:
            document = _read(data, lists)
        except ExpatError:
            # Ceph writes keys that nobody needs here as they stand, even if XML cannot hold them.
            document = _read(_UNUSED.sub(b"", data), lists)
    except (ExpatError, ValueError) as error:
        raise InternalError from error
    name, content = next(iter(document.items()))
    return name.rpartition(":")[2], content if isinstance(content, dict) else {}


def _read(data: bytes, lists: Collection[str]) -> dict[str, Any]:
    return xmltodict.parse(
        data, force_list=tuple(lists), strip_whitespace=False, disable_entities=True, process_namespaces=False
    )


async def written(root: str, content: Mapping[str, Any]) -> bytes:
    """Write a document."""
    return await asyncio.to_thread(write, root, content)


def write(root: str, content: Mapping[str, Any]) -> bytes:
    """As `written`, in the calling thread."""
    return xmltodict.unparse({root: {"@xmlns": NAMESPACE, **content}}).encode()


def text(of: Document, name: str, default: str = "") -> str:
    """Return the text of a child, whatever may stand beside it."""
    value = of.get(name)
    if isinstance(value, dict):
        value = value.get("#text")
    return value if isinstance(value, str) else default


def children(of: Document, name: str) -> list[Document]:
    """Return the repeated elements of that name; it was named in `lists`."""
    return [child for child in of.get(name) or [] if isinstance(child, dict)]


def moment(of: Document, name: str) -> datetime:
    """Return a time in whole seconds, which is what Last-Modified tells. Raises InternalError."""
    try:
        return datetime.fromisoformat(text(of, name)).replace(microsecond=0)
    except ValueError as error:
        raise InternalError from error


def etag(of: Document) -> str:
    """Return an ETag without quotes."""
    return text(of, "ETag").strip('"')


def checksum(of: Document) -> Checksum | None:
    """Return the checksum that an element tells."""
    for algorithm in ALGORITHMS.values():
        value = text(of, algorithm.element)
        if value:
            return Checksum(algorithm.name, value, composite="-" in value)
    return None


def part_of(of: Document) -> Part:
    """Return a part of an upload or of an object."""
    return Part(
        int(text(of, "PartNumber", "0")),
        etag(of),
        int(text(of, "Size", "0")),
        moment(of, "LastModified") if "LastModified" in of else None,
        checksum(of),
    )
