"""Buckets, and the small object of our own that holds the labels of each."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.backends.gcs import bucket_labels, own
from gateway.backends.gcs.bucket_labels import FIELDS, look
from gateway.backends.gcs.client import API, Client, Request
from gateway.backends.gcs.failures import credentials_refused
from gateway.backends.gcs.listing import list_objects
from gateway.backends.gcs.names import OWN, bucket_path
from gateway.backends.gcs.own import each
from gateway.backends.gcs.resources import moment
from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket
from gateway.storage import Address, BucketInfo, ListQuery


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
            return _info(resource, await bucket_labels.read(client, resource["name"]))
        except NoSuchBucket:
            return None  # deleted just now

    infos = await each(client, labelled, resources)
    return sorted((info for info in infos if info), key=lambda info: info.name)


async def head_bucket(client: Client, bucket: str) -> BucketInfo:
    """Return what is known of a bucket."""
    resource, labels = await asyncio.gather(look(client, bucket), bucket_labels.read(client, bucket))
    return _info(resource, labels)


async def create_bucket(client: Client, account: Account, bucket: str, labels: Mapping[str, str]) -> None:
    """Create a bucket. Raises: BucketAlreadyExists, InvalidBucketName."""
    content = {"name": bucket, "location": account.location, "storageClass": account.storage_class}
    query = {"project": await _project(client, account), "fields": FIELDS}
    request = Request("POST", f"{API}/b", Address(bucket), query, {n: v for n, v in content.items() if v})
    await client.ask(request)
    if labels:
        await bucket_labels.replace(client, bucket, labels)


async def delete_bucket(client: Client, bucket: str) -> None:
    """Delete a bucket in which nothing but our own corner is left. Raises: BucketNotEmpty."""
    page = await list_objects(client, bucket, ListQuery(limit=1))
    if page.objects:
        raise BucketNotEmpty(BucketName=bucket)
    labels = await bucket_labels.read(client, bucket)
    await own.remove_all(client, bucket, OWN)
    try:
        await client.ask(Request("DELETE", API + bucket_path(bucket), Address(bucket)))
    except BucketAlreadyExists:  # a conflict: an object came meanwhile
        if labels:
            await bucket_labels.replace(client, bucket, labels)
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


async def _project(client: Client, account: Account) -> str:
    if found := account.project or await client.project():
        return found
    raise credentials_refused(client.name, "no project is known, whose buckets could be listed or made", "project")


def _info(resource: Mapping[str, Any], labels: Mapping[str, str]) -> BucketInfo:
    return BucketInfo(resource["name"], moment(resource["timeCreated"]), labels)
