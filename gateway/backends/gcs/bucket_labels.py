"""The labels of a bucket: a small object of our own in it, written only where there are any."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from gateway.backends.assembly import check_labels
from gateway.backends.gcs import own
from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.names import LABELS, bucket_path
from gateway.backends.gcs.reading import ATTEMPTS, look_inside
from gateway.backends.gcs.writing import ABSENT, ANY, remove
from gateway.errors import ConditionalRequestConflict, NoSuchKey, PreconditionFailed
from gateway.storage import Address

FIELDS: Final = "name,timeCreated"


async def look(client: Client, bucket: str) -> Mapping[str, Any]:
    """Return what the storage says of a bucket. Raises: NoSuchBucket."""
    return await client.ask(Request("GET", API + bucket_path(bucket), Address(bucket), {"fields": FIELDS}))


async def read(client: Client, bucket: str) -> Mapping[str, str]:
    """Return the labels of a bucket."""
    try:
        return _labels(await client.read(Address(bucket, LABELS)))
    except NoSuchKey:
        return {}


async def annotate(client: Client, bucket: str, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
    """Replace the labels of a bucket, if they still are as they were. Raises: PreconditionFailed, NoSuchBucket."""
    await look(client, bucket)
    for _ in range(ATTEMPTS):
        over = await _while_labelled(client, bucket, was) if was is not None else ANY
        try:
            await replace(client, bucket, labels, over)
        except PreconditionFailed:
            continue
        return
    raise ConditionalRequestConflict


async def replace(client: Client, bucket: str, labels: Mapping[str, str], over: str = ANY) -> None:
    """Replace the labels of a bucket, over one generation of them if one is given."""
    at = Address(bucket, LABELS)
    if labels:
        await own.write(client, at, json.dumps(dict(labels)).encode(), over=over)
    elif over != ABSENT:
        with suppress(NoSuchKey):
            await remove(client, at, over)


async def _while_labelled(client: Client, bucket: str, was: Mapping[str, str]) -> str:
    """Return over which generation of the labels they are these. Raises: PreconditionFailed."""
    at = Address(bucket, LABELS)
    for _ in range(ATTEMPTS):
        try:
            generation = (await look_inside(client, at)).generation
        except NoSuchKey:
            check_labels({}, was)
            return ABSENT
        with suppress(NoSuchKey):  # replaced since it was looked at
            check_labels(_labels(await client.read(at, generation)), was)
            return generation
    raise ConditionalRequestConflict


def _labels(content: bytes) -> Mapping[str, str]:
    try:
        labels = json.loads(content)
    except ValueError:
        return {}  # not of our writing
    return {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}
