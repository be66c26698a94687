"""Copies, made inside the storage: only what nobody knows of their bytes makes those be read, and none is sent back.

https://cloud.google.com/storage/docs/json_api/v1/objects/rewrite
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.names import check_write, object_path
from gateway.backends.gcs.reading import ATTEMPTS, body_of, look, open_object
from gateway.backends.gcs.resources import Found, Identity, describe, found, identified
from gateway.backends.gcs.sending import CRC32C, Tracked
from gateway.backends.gcs.writing import expected
from gateway.checksums import MD5, Checksum
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import ConditionalRequestConflict, NoSuchKey, PreconditionFailed, ServiceUnavailable
from gateway.storage import Address, ObjectInfo, ReadOptions, WriteOptions
from gateway.transfer import room_at_once


class Source(NamedTuple):
    """What is to be copied, as it was found with the ETag that was asked for."""

    at: Address
    found: Found

    @property
    def has_md5(self) -> bool:
        """Whether the storage itself knows what S3 calls these bytes, and will of a copy."""
        return "md5Hash" in self.found.resource


async def copy(client: Client, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
    """Store the bytes of another object. Of parts a copy tells nothing, but without an MD5 it keeps its ETag."""
    check_write(to)
    there = await look_for(client, source, etag)
    checksum = _checksum(there, options.checksum) or (await _digests(client, there, options.checksum))[0]
    identity = Identity(there.found.identity.crc32c, "" if there.has_md5 else etag, _noted(checksum))
    return (await _rewrite(client, there, to, _described(describe(options), identity), options.conditions)).info


async def copy_as_part(client: Client, source: Source, to: Address, algorithm: str) -> Found:
    """Store the bytes of another object as a part, whose ETag is their MD5."""
    checksum, etag = _checksum(source, algorithm), ""
    if checksum is None or not source.has_md5:
        checksum, etag = await _digests(client, source, algorithm)
    identity = Identity(source.found.identity.crc32c, "" if source.has_md5 else etag, _noted(checksum))
    return await _rewrite(client, source, to, _described({"metadata": {}}, identity), ANY_STATE)


async def look_for(client: Client, at: Address, etag: str) -> Source:
    """Return the object, which must have this ETag. Raises: PreconditionFailed, NoSuchKey."""
    there = await look(client, at)
    if there.info.etag != etag:
        raise PreconditionFailed
    return Source(at, there)


def _checksum(source: Source, algorithm: str) -> Checksum | None:
    """Return the checksum of all the bytes, if that is known."""
    if algorithm == CRC32C:
        return Checksum(CRC32C, source.found.identity.crc32c)
    known = source.found.info.checksum
    return known if known and not known.composite and known.algorithm == algorithm else None


async def _digests(client: Client, source: Source, algorithm: str) -> tuple[Checksum, str]:
    """Read the bytes, and return their checksum and their MD5 as an ETag."""
    pinned = ReadOptions(conditions=Conditions(if_match=(source.found.info.etag,)))
    async with open_object(client, source.at, pinned) as download:
        body = body_of(download)
        tracked = Tracked(body, algorithm)
        body.digest.want(MD5)
        with room_at_once(download):
            async for _ in tracked:
                pass
    if tracked.crc32c != source.found.identity.crc32c:
        raise ServiceUnavailable
    return tracked.checksum, body.digest[MD5].hex()


def _noted(checksum: Checksum) -> Checksum | None:
    """Return what is to stand beside the bytes; a CRC32C the storage knows by itself."""
    return checksum if checksum.algorithm != CRC32C else None


def _described(resource: Mapping[str, Any], identity: Identity) -> Mapping[str, Any]:
    return identified(resource, identity) if identity.etag or identity.checksum else resource


async def _rewrite(
    client: Client, source: Source, to: Address, content: Mapping[str, Any], conditions: Conditions
) -> Found:
    url = f"{API}{object_path(source.at)}/rewriteTo{object_path(to)}"
    for _ in range(ATTEMPTS):
        over = await expected(client, to, conditions)
        query = {"sourceGeneration": source.found.generation} | ({"ifGenerationMatch": over} if over else {})
        try:
            return found(await _through(client, Request("POST", url, to, query, content, again=True, slow=True)))
        except PreconditionFailed:
            continue
        except NoSuchKey:  # the source has changed, to another ETag or by what stands beside it
            source = await look_for(client, source.at, source.found.info.etag)
    raise ConditionalRequestConflict


async def _through(client: Client, request: Request) -> Mapping[str, Any]:
    """Ask until all is copied."""
    token: dict[str, str] = {}
    while True:
        answer = await client.ask(request._replace(query={**request.query, **token}))
        if answer.get("done"):
            resource: Mapping[str, Any] = answer["resource"]
            return resource
        token = {"rewriteToken": answer["rewriteToken"]}
