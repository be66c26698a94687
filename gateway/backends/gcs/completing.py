"""From the parts of an upload to its object, in one step that only one completion can take.

The empty object that stands for the upload is one of the sources, by its generation: once it is gone, nothing is made
any more. And the object is made over the version that was looked at: once it is made, it is not made again.
https://cloud.google.com/storage/docs/json_api/v1/objects/compose
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from secrets import token_hex
from typing import Any, Final

from gateway.backends.assembly import Assembled, assemble
from gateway.backends.gcs import own, tables, uploads
from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.names import object_path
from gateway.backends.gcs.reading import ATTEMPTS, chunks_of
from gateway.backends.gcs.resources import FIELDS, Found, Identity, beside, found, identified
from gateway.backends.gcs.uploads import Marker, StoredPart
from gateway.backends.gcs.writing import ABSENT, find
from gateway.checksums import Checksum, combine
from gateway.errors import ConditionalRequestConflict, InvalidPart, NoSuchKey, NoSuchUpload, PreconditionFailed
from gateway.storage import Address, Check, Completion, Download, ObjectInfo, Part, Upload

SOURCES: Final = 32  # of one compose: https://cloud.google.com/storage/quotas#objects


async def complete_upload(
    client: Client, upload: Upload, claimed: Sequence[Part], completion: Completion
) -> ObjectInfo:
    """Make the object of the given parts."""
    for _ in range(ATTEMPTS):
        marker = await uploads.marker_of(client, upload)
        stored = await uploads.parts_of(client, marker.info)
        there = await _destination(client, upload)
        try:
            made = assemble({n: each.part for n, each in stored.items()}, marker.info, claimed, completion)
        except InvalidPart:
            await uploads.marker_of(client, upload)  # else the upload ended, and its parts with it
            await _destination(client, upload)
            raise
        completion.conditions.check_write(upload.at.key, there.info if there else None)
        plan = _Plan(marker, [stored[part.number] for part in claimed], made, there.generation if there else ABSENT)
        if completion.check and not await _is_checked(client, plan, completion.check):
            continue
        info = await _compose(client, plan)
        if info:
            await uploads.clean(client, upload)
            return info
    raise ConditionalRequestConflict


async def _destination(client: Client, upload: Upload) -> Found | None:
    """Return what lies where the object is to be. Raises NoSuchUpload if it is the object of this upload."""
    there = await find(client, upload.at)
    if there and there.identity.upload == upload.id:
        await uploads.clean(client, upload)
        raise NoSuchUpload(UploadId=upload.id)
    return there


async def _is_checked(client: Client, plan: "_Plan", check: Check) -> bool:
    """Have the parts looked at that the object is to be made of; return False if one is not there any more."""

    async def chunks() -> AsyncIterator[bytes]:
        for part in plan.parts:
            async for chunk in chunks_of(client, plan.at.bucket, part.found):
                yield chunk

    size, said = sum(each.part.size for each in plan.parts), plan.marker.info.options
    info = ObjectInfo(
        plan.at.key,
        size,
        plan.identity.etag,
        plan.marker.info.initiated,
        headers=said.headers,
        metadata=said.metadata,
        labels=said.labels,
        part_count=len(plan.parts),
    )
    try:
        await check(Download(info, 0, size, chunks()))
    except NoSuchKey:
        return False
    return True


class _Plan:
    """What is to be made, of what, and over which generation."""

    def __init__(self, marker: Marker, parts: Sequence[StoredPart], made: Assembled, over: str) -> None:
        self.marker, self.parts, self.over = marker, parts, over
        self.upload = marker.info.upload
        self.at = self.upload.at
        self.identity = _identity(self.upload, parts, made)

    @property
    def resource(self) -> Mapping[str, Any]:
        """What is to stand beside the bytes."""
        return identified(beside(self.marker.found.resource), self.identity)


def _identity(upload: Upload, parts: Sequence[StoredPart], made: Assembled) -> Identity:
    crcs = [(Checksum("CRC32C", each.found.resource["crc32c"]), each.part.size) for each in parts]
    sums = [part.checksum.value for part in made.parts if part.checksum]
    sizes = tables.runs(part.size for part in made.parts)
    identity = Identity(combine(crcs).value, made.etag, made.checksum, upload.id, len(parts), sizes, sums)
    return identity._replace(has_table=len(identity.written()) > tables.ROOM)


async def _compose(client: Client, plan: _Plan) -> ObjectInfo | None:
    """Make the object; return None if the upload or what is to be replaced has changed since it was looked at."""
    between: list[Address] = []
    try:
        if plan.identity.has_table:
            await own.write(client, tables.table(plan.at.bucket, plan.upload.id), tables.written(plan.identity))
        sources = await _narrow(client, plan, between)
        resource = await _made(client, plan.at, [_source(plan.marker.found), *sources], plan.resource, plan.over)
    except (PreconditionFailed, NoSuchKey):
        await own.remove_each(client, between)
        return None
    return found(resource).info


async def _narrow(client: Client, plan: _Plan, between: list[Address]) -> Sequence[Mapping[str, Any]]:
    """Return few enough sources for one step, putting as many as that together into objects of their own before."""
    sources = [_source(each.found) for each in plan.parts]
    while len(sources) >= SOURCES:
        groups = [sources[start : start + SOURCES] for start in range(0, len(sources), SOURCES)]

        async def put_together(group: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
            at = Address(plan.at.bucket, f"{uploads.part_prefix(plan.upload)}between-{token_hex(16)}")
            between.append(at)
            return _source(found(await _made(client, at, group, {}, ABSENT)))

        sources = await own.each(client, put_together, groups)
    return sources


async def _made(
    client: Client, at: Address, sources: Sequence[Mapping[str, Any]], resource: Mapping[str, Any], over: str
) -> Mapping[str, Any]:
    content = {"sourceObjects": sources, "destination": resource}
    query = {"ifGenerationMatch": over, "fields": FIELDS}
    return await client.ask(Request("POST", f"{API}{object_path(at)}/compose", at, query, content, slow=True))


def _source(there: Found) -> Mapping[str, Any]:
    return {"name": there.info.key, "objectPreconditions": {"ifGenerationMatch": there.generation}}
