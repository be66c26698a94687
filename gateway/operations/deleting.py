"""DeleteObjects."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import (
    AccessDenied,
    InvalidRequest,
    KeyTooLongError,
    MalformedXML,
    NoSuchBucket,
    NoSuchVersion,
    NotImplementedByGateway,
    S3Error,
)
from gateway.message import KEY_LIMIT, Answer, Call
from gateway.operations import xml
from gateway.operations.checksumming import verify_body
from gateway.operations.headers import require_conditions
from gateway.operations.listing import NULL_VERSION
from gateway.operations.service import Service
from gateway.storage import Address

LIMIT: Final = 1000
_DOCUMENT_LIMIT: Final = 4 * xml.LIMIT  # a thousand keys of full length with their elements, some of them escaped
_AT_ONCE: Final = 16  # deletions under way at the same time
_ELSEWHERE: Final = {"Size", "LastModifiedTime"}  # conditions of directory buckets


class Wish(NamedTuple):
    """An object to be deleted, as the document names it."""

    key: str
    version: str | None
    conditions: Conditions
    understood: bool

    @property
    def named(self) -> dict[str, object]:
        """How the answer names it."""
        return {"Key": self.key, "VersionId": self.version}


async def delete_objects(service: Service, call: Call) -> Answer:
    """Delete up to a thousand objects; what fails is told key by key, in the order of the request.

    The body must carry a checksum of any kind.
    Raises: InvalidRequest (no checksum), BadDigest, MalformedXML, NoSuchBucket.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
    """
    if verify_body(call) is None and "content-md5" not in call.headers:
        raise InvalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
    document = await xml.read(call.body, "Delete", lists=("Object",), limit=_DOCUMENT_LIMIT)
    wishes = [_wish(entry) for entry in xml.children(document, "Object")]
    if not 1 <= len(wishes) <= LIMIT:
        raise MalformedXML
    quiet = xml.text(document, "Quiet", "false").strip().lower() == "true"
    outcomes = list(zip(wishes, await _delete_all(service, call, wishes), strict=True))
    call.denied = [wish.key for wish, failure in outcomes if isinstance(failure, AccessDenied)]
    content = {
        "Deleted": [wish.named for wish, failure in outcomes if failure is None and not quiet],
        "Error": [
            {**wish.named, "Code": failure.code, "Message": str(failure)}
            for wish, failure in outcomes
            if failure is not None
        ],
    }
    return xml.answer("DeleteResult", content)


def _wish(entry: Mapping[str, Any]) -> Wish:
    key = xml.text(entry, "Key")
    if not key:
        raise MalformedXML
    etag = xml.text(entry, "ETag", "").strip().strip('"')
    conditions = Conditions(if_match=(etag,)) if etag else ANY_STATE
    return Wish(key, xml.text(entry, "VersionId", "") or None, conditions, not entry.keys() & _ELSEWHERE)


async def _delete_all(service: Service, call: Call, wishes: Sequence[Wish]) -> Sequence[S3Error | None]:
    """Return for each wish how it failed. Raises NoSuchBucket."""
    failures: list[S3Error | None] = [None] * len(wishes)
    pending = iter(enumerate(wishes))

    async def work() -> None:
        for index, wish in pending:
            failures[index] = await _delete(service, call, wish)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(_AT_ONCE, len(wishes))):
            tasks.create_task(work())
    for failure in failures:
        if isinstance(failure, NoSuchBucket):
            raise failure
    return failures


async def _delete(service: Service, call: Call, wish: Wish) -> S3Error | None:
    at = Address(call.bucket, wish.key)
    try:
        await call.require("delete", at)
        await require_conditions(call, at, wish.conditions)
        _check(wish)
        await service.storage.delete(at, wish.conditions)
    except S3Error as failure:
        return failure
    return None


def _check(wish: Wish) -> None:
    if len(wish.key.encode()) > KEY_LIMIT:
        raise KeyTooLongError
    if wish.version not in {None, NULL_VERSION}:
        raise NoSuchVersion
    if not wish.understood:
        raise NotImplementedByGateway
