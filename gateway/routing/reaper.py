"""Uploads that nobody will complete any more."""

from contextlib import suppress
from datetime import datetime, timedelta

from gateway.errors import NoSuchBucket, NoSuchUpload
from gateway.storage import Backend, UploadQuery


async def reap(storage: Backend, older_than: timedelta, now: datetime) -> int:
    """Abort the uploads of all buckets that began longer ago than that, and return how many they were."""
    reaped = 0
    for bucket in await storage.list_buckets():
        with suppress(NoSuchBucket):  # deleted meanwhile, its uploads with it
            reaped += await _reap_bucket(storage, bucket.name, now - older_than)
    return reaped


async def _reap_bucket(storage: Backend, bucket: str, before: datetime) -> int:
    reaped, query = 0, UploadQuery()
    while True:
        page = await storage.list_uploads(bucket, query)
        for info in page.uploads:
            if info.initiated < before:
                with suppress(NoSuchUpload):  # completed or aborted meanwhile
                    await storage.abort_upload(info.upload)
                    reaped += 1
        if not page.last:
            return reaped
        query = query._replace(after=page.last, after_id=page.last_id)
