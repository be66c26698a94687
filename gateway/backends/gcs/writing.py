"""Writes of objects: put, annotate, delete, each over the generation that its conditions were decided on."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.backends.assembly import check_labels
from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.names import check_read, check_write, object_path
from gateway.backends.gcs.reading import ATTEMPTS, look
from gateway.backends.gcs.resources import (
    FIELDS,
    IDENTITY,
    LABELS,
    Found,
    Identity,
    describe,
    found,
    identified,
    labels_written,
)
from gateway.backends.gcs.resumable import Steps, send_steps
from gateway.backends.gcs.sending import CRC32C, Draft, Tracked, Whole, send_stream, send_whole
from gateway.conditions import Conditions
from gateway.errors import ConditionalRequestConflict, InternalError, NoSuchKey, PreconditionFailed
from gateway.storage import PIECE, Address, Body, ObjectInfo, WriteOptions

ABSENT: Final = "0"
ANY: Final = ""


async def put(client: Client, at: Address, body: Body, options: WriteOptions) -> ObjectInfo:
    """Store an object."""
    check_write(at)
    draft = Draft(at, describe(options), options.checksum)
    return (await store(client, draft, body, options.conditions)).info


async def store(client: Client, draft: Draft, body: Body, conditions: Conditions) -> Found:
    """Store a body, of whatever length."""
    draft = draft._replace(over=await expected(client, draft.at, conditions))
    tracked = Tracked(body, draft.algorithm)
    if body.size is not None and body.size > PIECE:
        return await _once(client, draft, tracked, conditions)
    if body.size is not None:
        return await _repeatedly(client, draft, Whole(tracked), conditions)
    steps = Steps(tracked)
    first = await steps.next()
    if steps.ended:
        return await _repeatedly(client, draft, Whole(tracked, first), conditions)
    return await _once(client, draft, tracked, conditions, (first, steps))


async def expected(client: Client, at: Address, conditions: Conditions) -> str:
    """Return over which generation conditions allow to write. Raises: PreconditionFailed, NoSuchKey."""
    if not conditions:
        return ANY
    there = await find(client, at)
    conditions.check_write(at.key, there.info if there else None)
    return there.generation if there else ABSENT


async def find(client: Client, at: Address) -> Found | None:
    """Return an object as it is found, if it is."""
    try:
        return await look(client, at)
    except NoSuchKey:
        return None


async def _repeatedly(client: Client, draft: Draft, whole: Whole, conditions: Conditions) -> Found:
    for _ in range(ATTEMPTS):
        try:
            return found(await send_whole(client, draft, whole))
        except PreconditionFailed:
            draft = draft._replace(over=await expected(client, draft.at, conditions))
    raise ConditionalRequestConflict


async def _once(
    client: Client, draft: Draft, tracked: Tracked, conditions: Conditions, begun: tuple[bytes, Steps] | None = None
) -> Found:
    """Store what cannot be sent again. Its end tells the checksum, which is added then."""
    try:
        if begun:
            resource = await send_steps(client, draft, *begun)
        else:
            resource = await send_stream(client, draft, tracked, tracked.body.size or 0)
    except PreconditionFailed as error:
        await expected(client, draft.at, conditions)
        raise ConditionalRequestConflict from error
    if resource.get("crc32c") != tracked.crc32c:
        await _take_back(client, draft.at, resource)
        raise InternalError("What the storage received is not what was sent.")
    if draft.algorithm == CRC32C:
        return found(resource)
    identity = Identity(tracked.crc32c, checksum=tracked.checksum)
    return found(await _identify(client, draft.at, resource, identity))


async def _take_back(client: Client, at: Address, resource: Mapping[str, Any]) -> None:
    query = {"ifGenerationMatch": resource["generation"]}
    await client.ask(Request("DELETE", API + object_path(at), at, query, again=True))


async def _identify(client: Client, at: Address, resource: Mapping[str, Any], identity: Identity) -> Mapping[str, Any]:
    """Add to an object what is known now; until then it is known by its MD5 and CRC32C, which are right as well."""
    query = {"ifGenerationMatch": resource["generation"], "fields": FIELDS}
    content = {"metadata": {IDENTITY: identity.written()}}
    try:
        return await client.ask(Request("PATCH", API + object_path(at), at, query, content, again=True))
    except (PreconditionFailed, NoSuchKey):  # it has been replaced or deleted already
        return identified({"metadata": {}, **resource}, identity)


async def annotate(client: Client, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
    """Replace the labels of an object."""
    check_read(at)
    content = {"metadata": {LABELS: labels_written(labels) if labels else None}}
    for _ in range(ATTEMPTS):
        query = {"fields": "generation", **(await _while_labelled(client, at, was) if was is not None else {})}
        try:
            await client.ask(Request("PATCH", API + object_path(at), at, query, content, again=was is None))
        except PreconditionFailed:
            continue
        return
    raise ConditionalRequestConflict


async def _while_labelled(client: Client, at: Address, was: Mapping[str, str]) -> Mapping[str, str]:
    """Return which state of an object has these labels. Raises: PreconditionFailed."""
    there = await look(client, at)
    check_labels(there.info.labels, was)
    return {"ifGenerationMatch": there.generation, "ifMetagenerationMatch": there.resource["metageneration"]}


async def delete_if(client: Client, at: Address, conditions: Conditions) -> None:
    """Delete an object that is as the conditions say."""
    for _ in range(ATTEMPTS):
        there = await find(client, at)
        conditions.check_write(at.key, there.info if there else None)
        if there is None:
            return
        try:
            await remove(client, at, there.generation)
        except (PreconditionFailed, NoSuchKey):
            continue
        return
    raise ConditionalRequestConflict


async def remove(client: Client, at: Address, generation: str = ANY) -> None:
    """Delete an object of any name, that generation if one is given. Raises: PreconditionFailed, NoSuchKey."""
    query = {"ifGenerationMatch": generation} if generation else {}
    await client.ask(Request("DELETE", API + object_path(at), at, query))
