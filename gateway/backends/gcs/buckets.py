"""Buckets, and the small object of our own that holds the labels of each."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from gateway.backends.gcs import own
from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.failures import credentials_refused
from gateway.backends.gcs.listing import list_objects
from gateway.backends.gcs.names import LABELS, OWN, bucket_path
from gateway.backends.gcs.own import each
from gateway.backends.gcs.resources import moment
from gateway.backends.gcs.writing import remove
from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket, NoSuchKey
from gateway.storage import Address, BucketInfo, ListQuery

FIELDS: Final = "name,timeCreated"


class Account(NamedTuple):
    """Where buckets are made, and of which kind; "" leaves it to the storage."""

    project: str = ""
    location: str = ""
    storage_class: str = ""


async def list_buckets(client: Client, account: Account) -> Sequence[BucketInfo]:
    """Return all buckets of the project, by name."""
    resources = [resource async for resource in _all(client, account)]

    async def labelled(resource: Mapping[str, Any]) -> BucketInfo | None:
        try:
            return _info(resource, await _labels(client, resource["name"]))
        except NoSuchBucket:
            return None  # deleted just now

    infos = await each(labelled, resources)
    return sorted((info for info in infos if info), key=lambda info: info.name)


async def head_bucket(client: Client, bucket: str) -> BucketInfo:
    """Return what is known of a bucket."""
    resource, labels = await asyncio.gather(_look(client, bucket), _labels(client, bucket))
    return _info(resource, labels)


async def create_bucket(client: Client, account: Account, bucket: str, labels: Mapping[str, str]) -> None:
    """Create a bucket. Raises: BucketAlreadyExists, InvalidBucketName."""
    content = {"name": bucket, "location": account.location, "storageClass": account.storage_class}
    query = {"project": await _project(client, account), "fields": FIELDS}
    request = Request("POST", f"{API}/b", Address(bucket), query, {n: v for n, v in content.items() if v})
    await client.ask(request)
    if labels:
        await _write_labels(client, bucket, labels)


async def label_bucket(client: Client, bucket: str, labels: Mapping[str, str]) -> None:
    """Replace the labels of a bucket."""
    await _look(client, bucket)
    if labels:
        await _write_labels(client, bucket, labels)
    else:
        with suppress(NoSuchKey):
            await remove(client, Address(bucket, LABELS))


async def delete_bucket(client: Client, bucket: str) -> None:
    """Delete a bucket in which nothing but our own corner is left. Raises: BucketNotEmpty."""
    page = await list_objects(client, bucket, ListQuery(limit=1))
    if page.objects:
        raise BucketNotEmpty(BucketName=bucket)
    labels = await _labels(client, bucket)
    await own.remove_all(client, bucket, OWN)
    try:
        await client.ask(Request("DELETE", API + bucket_path(bucket), Address(bucket)))
    except BucketAlreadyExists:  # a conflict: an object came meanwhile
        if labels:
            await _write_labels(client, bucket, labels)
        raise BucketNotEmpty(BucketName=bucket) from None


async def _all(client: Client, account: Account) -> AsyncIterator[Mapping[str, Any]]:
    project = await _project(client, account)
    query = {"project": project, "fields": f"items({FIELDS}),nextPageToken", "maxResults": "1000"}
    while True:
        answer = await client.ask(Request("GET", f"{API}/b", Address(""), query))
        for resource in answer.get("items", ()):
            yield resource
        if "nextPageToken" not in answer:
            return
        query = {**query, "pageToken": answer["nextPageToken"]}


async def _look(client: Client, bucket: str) -> Mapping[str, Any]:
    return await client.ask(Request("GET", API + bucket_path(bucket), Address(bucket), {"fields": FIELDS}))


async def _labels(client: Client, bucket: str) -> Mapping[str, str]:
    try:
        content = await client.read(Address(bucket, LABELS))
    except NoSuchKey:
        return {}
    labels = json.loads(content)
    return {str(name): str(value) for name, value in labels.items()}


async def _write_labels(client: Client, bucket: str, labels: Mapping[str, str]) -> None:
    await own.write(client, Address(bucket, LABELS), json.dumps(dict(labels)).encode())


async def _project(client: Client, account: Account) -> str:
    if found := account.project or await client.project():
        return found
    raise credentials_refused(client.name, "no project is known, whose buckets could be listed or made", "project")


def _info(resource: Mapping[str, Any], labels: Mapping[str, str]) -> BucketInfo:
    return BucketInfo(resource["name"], moment(resource["timeCreated"]), labels)
