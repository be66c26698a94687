"""Uploads that nobody will complete any more."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from gateway.errors import NoSuchBucket, NoSuchUpload, S3Error
from gateway.storage import Backend, UploadQuery

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Expiry:
    """How old an upload may become, by bucket; None lets it live. `others` holds for the buckets that are not named."""

    named: Mapping[str, timedelta | None]
    others: timedelta | None = None


async def reap(storage: Backend, rest: Backend | None, expiry: Expiry, now: datetime) -> int:
    """Abort the uploads of a storage that are too old, and return how many they were.

    `rest` is the part of it that holds the buckets which are not named. A bucket that cannot be looked through is told
    in the log, and keeps none of the others from it.
    """
    reaped = 0
    for bucket, age in (await _ages(rest, expiry)).items():
        try:
            reaped += await _reap_bucket(storage, bucket, now - age)
        except NoSuchBucket:  # not created yet, or deleted meanwhile, its uploads with it
            continue
        except S3Error as error:
            log.warning("uploads_not_looked_through", bucket=bucket, error=error.code)
    return reaped


async def _ages(rest: Backend | None, expiry: Expiry) -> Mapping[str, timedelta]:
    """Return how old uploads may become in the buckets where they may not live for ever."""
    ages = {bucket: age for bucket, age in expiry.named.items() if age is not None}
    if rest is None or expiry.others is None:
        return ages
    try:
        found = await rest.list_buckets()
    except S3Error as error:
        log.warning("uploads_not_looked_through", backend=rest.name, error=error.code)
        return ages
    return {info.name: expiry.others for info in found if info.name not in expiry.named} | ages


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
