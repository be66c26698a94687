"""The gateway's own corner of a bucket: what is in it and says nothing of objects must not keep the bucket there."""

import asyncio
from typing import Final

from gateway.storage import PRIVATE, Address, Backend, ListQuery

AT_ONCE: Final = 16  # deletes
_PASSING: Final = (f"{PRIVATE}beacon/", f"{PRIVATE}health/")


async def clear(storage: Backend, bucket: str) -> None:
    """Delete what the gateway puts there again whenever it needs it. Raises: NoSuchBucket, and as the storage does."""
    for prefix in _PASSING:
        for info in (await storage.list_objects(bucket, ListQuery(prefix))).objects:
            await storage.delete(Address(bucket, info.key))


async def remove(storage: Backend, bucket: str, prefix: str) -> None:
    """Delete all objects whose keys begin so. Raises: NoSuchBucket, and as the storage does."""
    query = ListQuery(prefix, limit=AT_ONCE)
    while True:
        page = await storage.list_objects(bucket, query)
        await asyncio.gather(*(storage.delete(Address(bucket, info.key)) for info in page.objects))
        if not page.last:
            return
        query = query._replace(after=page.last)
