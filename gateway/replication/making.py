"""Has a bucket on a storage."""

from collections.abc import Mapping

from gateway.errors import BucketAlreadyExists
from gateway.storage import Address, Backend


async def have(storage: Backend, bucket: str, labels: Mapping[str, str]) -> None:
    """Have a bucket with these labels."""
    try:
        await storage.create_bucket(bucket, labels)
    except BucketAlreadyExists:
        await storage.annotate(Address(bucket), labels)
