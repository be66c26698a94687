"""What every storage is tried with, through the gateway's own backend: as clients will use it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hashlib import md5
from types import MappingProxyType
from typing import Final

from gateway.checksums import ALGORITHMS
from gateway.conditions import Conditions
from gateway.doctor.findings import Lacking, explain
from gateway.doctor.ground import Ground, body_of
from gateway.errors import NoSuchKey, PreconditionFailed, S3Error
from gateway.storage import Completion, ListQuery, ReadOptions, WriteOptions

Probe = Callable[[Ground], Awaitable[None]]  # raises Lacking, or what the storage answers

PATIENCE: Final = 30.0  # seconds for one thing
MIB: Final = 1024 * 1024
SMALLEST_PART: Final = 5 * MIB
KEY_LIMIT: Final = 1024  # bytes
UNICODE: Final = "\u00e9 \u65e5\u672c \U0001f600"
OTHER_ETAG: Final = "0" * 32
ABSENT: Final = Conditions(if_none_match=("*",))


async def objects(ground: Ground) -> None:
    """Put, get, head and delete an object."""
    data = b"an object"
    options = WriteOptions(headers={"content-type": "text/plain"})
    stored = await ground.put("object", data, options)
    if await ground.read("object") != data:
        raise Lacking("other bytes came back than were stored")
    info = await ground.backend.head(ground.at("object"))
    if (info.size, info.etag, dict(info.headers)) != (len(data), stored.etag, dict(options.headers)):
        raise Lacking("what stands beside the bytes does not come back as it was stored")
    if stored.etag != md5(data, usedforsecurity=False).hexdigest():
        raise Lacking("the ETag is not the MD5 of what was stored")
    await ground.backend.delete(ground.at("object"))
    try:
        await ground.backend.head(ground.at("object"))
    except NoSuchKey:
        return
    raise Lacking("an object is still there after it was deleted")


async def ranges(ground: Ground) -> None:
    """Read some bytes of an object."""
    await ground.put("range", b"0123456789")
    for wanted, expected in ((slice(2, 5), b"234"), (slice(7, None), b"789"), (slice(-3, None), b"789")):
        if await ground.read("range", ReadOptions(range=wanted)) != expected:
            raise Lacking("a range holds other bytes than it should")


async def names(ground: Ground) -> None:
    """Use keys of any letters and of full length."""
    room = KEY_LIMIT - len(ground.prefix.encode())
    long = ("x" * 99 + "/") * (room // 100) + "y" * (room % 100)
    for name in (UNICODE, "a b+c%2F&?#", long):
        await ground.put(name, b"named")
        if await ground.read(name) != b"named":
            raise Lacking("another object is there under a key than was stored")


async def metadata(ground: Ground) -> None:
    """Keep user metadata of any letters."""
    said = {"plain": "a value", "letters": UNICODE}
    await ground.put("metadata", b"", WriteOptions(metadata=said))
    if dict((await ground.backend.head(ground.at("metadata"))).metadata) != said:
        raise Lacking("metadata does not come back as it was stored")


async def listing(ground: Ground) -> None:
    """List keys in the order of their bytes, folded at a delimiter, after any of them."""
    inside = ["B", "a", "a/b", "a/c", "b", "\u00e9", "\uff5e", "\U0001f600"]
    for name in inside:
        await ground.put(f"list/{name}", b"")
    prefix = f"{ground.prefix}list/"

    async def listed(delimiter: str, after: str = "") -> list[str]:
        page = await ground.backend.list_objects(ground.bucket, ListQuery(prefix, delimiter, after))
        found = [*(info.key for info in page.objects), *page.prefixes]
        return [name.removeprefix(prefix) for name in sorted(found, key=str.encode)]

    page = await ground.backend.list_objects(ground.bucket, ListQuery(prefix))
    if [info.key.removeprefix(prefix) for info in page.objects] != inside:
        raise Lacking("keys are not listed completely in the order of their bytes")
    if await listed("/") != ["B", "a", "a/", "b", "\u00e9", "\uff5e", "\U0001f600"]:
        raise Lacking("keys are not folded at a delimiter")
    if await listed("", f"{prefix}a/b") != inside[3:]:
        raise Lacking("a listing does not begin after the key that was named")


async def uploads(ground: Ground) -> None:
    """Make an object of two parts; it stays there for what is tried next."""
    upload = await ground.upload("parts")
    data = (bytes(SMALLEST_PART), b"end")
    parts = [await ground.backend.put_part(upload, n, body_of(piece)) for n, piece in enumerate(data, start=1)]
    made = await ground.backend.complete_upload(upload, parts, Completion())
    if made.size != SMALLEST_PART + 3 or await ground.read("parts", ReadOptions(range=slice(-4, None))) != b"\0end":
        raise Lacking("an object made of parts is not what its parts are")


async def unequal_parts(ground: Ground) -> None:
    """Make an object of parts of several sizes."""
    upload = await ground.upload("unequal")
    sizes = (SMALLEST_PART, SMALLEST_PART + 1, 1)
    parts = [await ground.backend.put_part(upload, n, body_of(bytes(size))) for n, size in enumerate(sizes, start=1)]
    await ground.backend.complete_upload(upload, parts, Completion())


async def part_reads(ground: Ground) -> None:
    """Read one part of an object."""
    if await ground.read("parts", ReadOptions(part=2)) != b"end":
        raise Lacking("a part holds other bytes than it should")


async def absent(ground: Ground) -> None:
    """Write only where nothing is."""
    await ground.put("absent", b"first", WriteOptions(conditions=ABSENT))
    await refused(ground.put("absent", b"second", WriteOptions(conditions=ABSENT)))


async def match(ground: Ground) -> None:
    """Write only over what was read."""
    info = await ground.put("match", b"first")
    await refused(ground.put("match", b"second", matching(OTHER_ETAG)))
    await ground.put("match", b"third", matching(info.etag))
    await refused(ground.put("nothing", b"fourth", matching(info.etag)))


async def completion(ground: Ground) -> None:
    """Complete an upload only where nothing is."""
    await ground.put("completion", b"first")
    upload = await ground.upload("completion")
    part = await ground.backend.put_part(upload, 1, body_of(b"second"))
    await refused(ground.backend.complete_upload(upload, [part], Completion(ABSENT)))


async def deletion(ground: Ground) -> None:
    """Delete only what was read."""
    info = await ground.put("deletion", b"first")
    await refused(ground.backend.delete(ground.at("deletion"), Conditions(if_match=(OTHER_ETAG,))))
    await ground.backend.delete(ground.at("deletion"), Conditions(if_match=(info.etag,)))


async def copies(ground: Ground) -> None:
    """Copy one version of an object."""
    info = await ground.put("source", b"copied")
    await refused(ground.backend.copy(ground.at("source"), ground.at("copy"), WriteOptions(), OTHER_ETAG))
    await ground.backend.copy(ground.at("source"), ground.at("copy"), WriteOptions(), info.etag)
    if await ground.read("copy") != b"copied":
        raise Lacking("a copy holds other bytes than its source")


def checksum(algorithm: str) -> Probe:
    """Return what tries to have a checksum kept."""

    async def probe(ground: Ground) -> None:
        stored = await ground.put(algorithm, b"checked", WriteOptions(checksum=algorithm))
        found = (await ground.backend.head(ground.at(algorithm))).checksum
        if found is None or found.algorithm != algorithm or found != stored.checksum:
            raise Lacking("it is not kept")

    return probe


def matching(etag: str) -> WriteOptions:
    """Return the options of a write over what has that ETag."""
    return WriteOptions(conditions=Conditions(if_match=(etag,)))


async def refused(call: Awaitable[object]) -> None:
    """Raise Lacking unless a call is refused because of its condition."""
    try:
        await call
    except (PreconditionFailed, NoSuchKey):
        return
    except S3Error as error:
        if error.code == "ConditionalRequestConflict":
            return
        raise
    raise Lacking("the condition is dropped: what it forbids was done")


async def outcome(call: Awaitable[object]) -> str:
    """Return why something cannot be done, "" if it can."""
    try:
        async with asyncio.timeout(PATIENCE):
            await call
    except Lacking as error:
        return str(error)
    except (S3Error, TimeoutError) as error:
        return explain(error) or type(error).__name__
    return ""


BASIC: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        "put, get, head, delete": objects,
        "ranges": ranges,
        "keys": names,
        "metadata": metadata,
        "listing": listing,
        "uploads": uploads,
    }
)
# What a server that speaks S3 may lack: for those it is asked of the server itself, see `spoken`.
FURTHER: Final[Mapping[str, Probe]] = MappingProxyType(
    {
        "if-none-match: *": absent,
        "if-match": match,
        "conditional completion": completion,
        "conditional delete": deletion,
        "copy": copies,
        "parts of any size": unequal_parts,
        "partNumber": part_reads,
        **{f"checksum {name}": checksum(name) for name in ALGORITHMS},
    }
)
