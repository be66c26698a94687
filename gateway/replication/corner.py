"""The gateway's own corner of a bucket: what is in it and says nothing of objects must not keep the bucket there."""

from typing import Final

from gateway.storage import PRIVATE, Address, Backend, ListQuery

_PASSING: Final = (f"{PRIVATE}beacon/", f"{PRIVATE}health/")


async def clear(storage: Backend, bucket: str) -> None:
    """Delete what the gateway puts there again whenever it needs it. Raises: NoSuchBucket, and as the storage does."""
    for prefix in _PASSING:
        for info in (await storage.list_objects(bucket, ListQuery(prefix))).objects:
            await storage.delete(Address(bucket, info.key))
