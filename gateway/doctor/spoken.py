"""What a server that speaks S3 is tried with, beside its dialect: whether it does what it is taken to do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from gateway.backends.dialects import COPY_PIN, Dialect
from gateway.backends.s3.client import Ask, Client
from gateway.backends.s3.feed import Feed
from gateway.checksums import ALGORITHMS, Checksum
from gateway.doctor.common import OTHER_ETAG, PATIENCE, SMALLEST_PART, outcome, refused
from gateway.doctor.findings import Diagnosis, Lacking, Result, explain
from gateway.doctor.ground import Ground, body_of
from gateway.errors import S3Error, ServiceUnavailable
from gateway.storage import Upload

SKEW: Final = 300.0  # seconds; S3 refuses requests from 900 on
SKEW_TOLD: Final = 5.0  # seconds
DATA: Final = b"spoken"


async def compare(server: "Server", diagnosis: Diagnosis) -> None:
    """Compare what a server does with what its dialect says of it."""
    if await outcome(server.put("s-plain")):
        return  # it takes nothing at all
    for each in CAPABILITIES:
        reason = await outcome(each.probe(server))
        _judge(each, server.dialect, reason, diagnosis)
    reason = await outcome(tags(server))
    diagnosis.add("tags", Result.NO if reason else Result.YES, reason or "the gateway does not use them")
    await _compare_clocks(server, diagnosis)


def _judge(capability: "Capability", dialect: Dialect, reason: str, diagnosis: Diagnosis) -> None:
    """Note what a server lacks for a `reason`, or does where there is none."""
    if capability.claimed(dialect):
        said = f'the dialect "{dialect.name}" says yes, the server no: {reason}' if reason else ""
        diagnosis.add(capability.name, Result.NO if reason else Result.YES, said, problem=bool(reason))
        return
    why = reason or f'the server can, but the dialect "{dialect.name}" does not say so'
    result = Result.EMULATED if capability.instead else Result.NO
    diagnosis.add(capability.name, result, f"{capability.instead or 'refused with 501'} ({why})")


async def _compare_clocks(server: "Server", diagnosis: Diagnosis) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            ahead = await clock(server)
    except (Lacking, S3Error, TimeoutError) as error:
        diagnosis.add("clock", Result.UNTRIED, explain(error))
        return
    told = f"the server's is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}"
    late = abs(ahead) > SKEW
    diagnosis.add("clock", Result.NO if late else Result.YES, told if abs(ahead) > SKEW_TOLD else "", problem=late)


class Server(NamedTuple):
    """A server, asked as it is, without what the gateway does about its dialect."""

    client: Client
    dialect: Dialect
    ground: Ground

    async def ask(
        self, method: str, name: str, headers: Mapping[str, str] | None = None, body: bytes | Feed = b"", **query: str
    ) -> Mapping[str, str]:
        """Return the headers that answer."""
        at = self.ground.at(name)
        sent = dict(headers or {})
        if body:
            sent.setdefault("content-length", str(len(body)) if isinstance(body, bytes) else str(body.body.size))
        answer, _ = await self.client.fetch(Ask(method, at.bucket, at.key, query, sent, body))
        return answer

    async def put(self, name: str, headers: Mapping[str, str] | None = None) -> str:
        """Store an object, and return its ETag as conditions of writes have it."""
        etag = (await self.ask("PUT", name, headers, DATA)).get("etag", "")
        return etag.strip('"') if self.dialect.bare_etags else etag

    def tag(self, etag: str) -> str:
        """Return an ETag as conditions of writes have it."""
        return etag if self.dialect.bare_etags else f'"{etag}"'

    async def upload(self, name: str) -> str:
        """Begin an upload, and return its id."""
        at = self.ground.at(name)
        document = await self.client.document(Ask("POST", at.bucket, at.key, {"uploads": ""}))
        upload = str(document.get("UploadId", ""))
        self.ground.uploads.append(Upload(at, upload))
        return upload

    async def complete(self, name: str, upload: str, parts: list[str], headers: Mapping[str, str]) -> None:
        """Complete an upload of parts with these ETags."""
        listed = "".join(
            f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in enumerate(parts, 1)
        )
        data = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        at = self.ground.at(name)
        said = {"content-type": "application/xml", **headers}
        await self.client.document(Ask("POST", at.bucket, at.key, {"uploadId": upload}, said, data, long=True))


class Capability(NamedTuple):
    """Something that a server may do. `claimed`: the dialect says that it does; `instead`: what is done if not."""

    name: str
    probe: Callable[[Server], Awaitable[None]]
    claimed: Callable[[Dialect], bool]
    instead: str = ""


async def absent(server: Server) -> None:
    """Write only where nothing is."""
    await server.put("s-absent", {"if-none-match": "*"})
    await refused(server.put("s-absent", {"if-none-match": "*"}))


async def match(server: Server) -> None:
    """Write only over what was read."""
    etag = await server.put("s-match")
    await refused(server.put("s-match", {"if-match": server.tag(OTHER_ETAG)}))
    await server.put("s-match", {"if-match": etag})
    try:
        await refused(server.put("s-nothing", {"if-match": etag}))
    except Lacking as error:
        raise Lacking("where there is nothing, it is dropped") from error


async def completion(server: Server) -> None:
    """Complete an upload only where nothing is."""
    await server.put("s-completion")
    upload = await server.upload("s-completion")
    etag = (await server.ask("PUT", "s-completion", None, DATA, uploadId=upload, partNumber="1"))["etag"]
    await refused(server.complete("s-completion", upload, [etag], {"if-none-match": "*"}))


async def deletion(server: Server) -> None:
    """Delete only what was read."""
    etag = await server.put("s-deletion")
    await refused(server.ask("DELETE", "s-deletion", {"if-match": server.tag(OTHER_ETAG)}))
    await server.ask("DELETE", "s-deletion", {"if-match": etag})


async def copies(server: Server) -> None:
    """Copy one version of an object."""
    etag = (await server.ask("PUT", "s-source", None, DATA))["etag"]
    pins = server.dialect.copy_pins or (COPY_PIN,)
    await refused(_copied(server, dict.fromkeys(pins, f'"{OTHER_ETAG}"')))
    await _copied(server, dict.fromkeys(pins, etag))


async def destinations(server: Server) -> None:
    """Copy only where nothing is."""
    await server.put("s-source")
    await server.put("s-copied")
    await refused(_copied(server, {f"{server.dialect.copy_conditions or ''}if-none-match": "*"}, "s-copied"))


async def part_copies(server: Server) -> None:
    """Copy one version of an object as a part."""
    await server.put("s-source")
    upload = await server.upload("s-part-copy")
    pin = {COPY_PIN: f'"{OTHER_ETAG}"'}
    await refused(_copied(server, pin, "s-part-copy", uploadId=upload, partNumber="1"))


async def unequal_parts(server: Server) -> None:
    """Make an object of parts of several sizes."""
    upload = await server.upload("s-unequal")
    etags = []
    for number, size in enumerate((SMALLEST_PART, SMALLEST_PART + 1, 1), start=1):
        feed = Feed(body_of(bytes(size)))
        answer = await server.ask("PUT", "s-unequal", None, feed, uploadId=upload, partNumber=str(number))
        etags.append(answer["etag"])
    await server.complete("s-unequal", upload, etags, {})


async def part_reads(server: Server) -> None:
    """Look at one part of an object, which `common.uploads` made."""
    answer = await server.ask("HEAD", "parts", partNumber="2")
    if answer.get("content-length") != "3":
        raise Lacking("the whole object is told instead of its part")


async def trailers(server: Server) -> None:
    """Send a checksum behind the body."""
    body = body_of(DATA)
    body.digest.want("CRC32")
    header = ALGORITHMS["CRC32"].header
    said = {"x-amz-trailer": header, "x-amz-decoded-content-length": str(len(DATA)), "content-encoding": "aws-chunked"}
    at = server.ground.at("s-trailer")
    await server.client.fetch(Ask("PUT", at.bucket, at.key, {}, said, Feed(body, "CRC32")))
    if await server.ground.read("s-trailer") != DATA:
        raise Lacking("the framing is stored with the body")


def checksum(algorithm: str) -> Callable[[Server], Awaitable[None]]:
    """Return what tries to have a checksum kept and compared."""

    async def probe(server: Server) -> None:
        body = body_of(DATA)
        body.digest.want(algorithm)
        await body.read()
        right = body.digest.checksum(algorithm)
        name = f"s-{algorithm}"
        await server.put(name, {right.header: right.value})
        told = await server.ask("HEAD", name, {"x-amz-checksum-mode": "ENABLED"})
        if told.get(right.header) != right.value:
            raise Lacking("it is not kept")
        wrong = Checksum.of(algorithm, bytes(len(body.digest[algorithm])))
        try:
            await server.put(f"{name}-wrong", {wrong.header: wrong.value})
        except ServiceUnavailable:
            raise
        except S3Error:
            return
        raise Lacking("a wrong one is taken")

    return probe


async def tags(server: Server) -> None:
    """Tag an object, of which the gateway makes no use."""
    await server.put("s-tags", {"x-amz-tagging": "a=b"})
    at = server.ground.at("s-tags")
    document: Mapping[str, Any] = await server.client.document(Ask("GET", at.bucket, at.key, {"tagging": ""}))
    if not document.get("TagSet"):
        raise Lacking("they are not kept")


async def clock(server: Server) -> float:
    """Return by how many seconds the clock of the server is ahead of ours. Raises: Lacking."""
    answer, _ = await server.client.fetch(Ask("HEAD", server.ground.bucket))
    try:
        return (parsedate_to_datetime(answer.get("date", "")) - datetime.now(UTC)).total_seconds()
    except ValueError as error:
        raise Lacking("it tells no time") from error


async def _copied(server: Server, headers: Mapping[str, str], name: str = "s-copy", **query: str) -> None:
    source = server.ground.at("s-source")
    said = {"x-amz-copy-source": f"/{source.bucket}/{quote(source.key, safe='/-_.~')}", **headers}
    at = server.ground.at(name)
    await server.client.document(Ask("PUT", at.bucket, at.key, query, said))


def _keeps(algorithm: str) -> Callable[[Dialect], bool]:
    return lambda dialect: algorithm in dialect.checksums


READ_AND_WRITTEN: Final = "read and written"
IN_METADATA: Final = "kept as metadata if it is known before the body"
CAPABILITIES: Final = (
    Capability("if-none-match: *", absent, lambda dialect: "if-none-match" in dialect.write_conditions),
    Capability("if-match", match, lambda dialect: "if-match" in dialect.write_conditions),
    Capability("conditional completion", completion, lambda dialect: dialect.completion_conditions),
    Capability("conditional delete", deletion, lambda dialect: dialect.delete_conditions),
    Capability("copy", copies, lambda dialect: bool(dialect.copy_pins), READ_AND_WRITTEN),
    Capability("conditional copy", destinations, lambda dialect: dialect.copy_conditions is not None),
    Capability("part copy", part_copies, lambda dialect: dialect.pins_part_copies, READ_AND_WRITTEN),
    Capability("parts of any size", unequal_parts, lambda dialect: not dialect.equal_parts),
    Capability("partNumber", part_reads, lambda dialect: dialect.part_reads),
    *(Capability(f"checksum {name}", checksum(name), _keeps(name), IN_METADATA) for name in ALGORITHMS),
    Capability(
        "trailers", trailers, lambda dialect: dialect.trailers, "checksums are sent before the body or not kept"
    ),
)
