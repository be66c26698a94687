"""Buckets that move themselves: there while either storage has one that nobody deleted."""

from collections.abc import Mapping, Sequence

from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket
from gateway.routing.lazy.listing import Listing
from gateway.storage import Address, BucketInfo, ListQuery


class Buckets(Listing):
    """List, look at, create and delete buckets."""

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return await self.new.list_buckets()

    async def head_bucket(self, bucket: str) -> BucketInfo:
        await self.prepare(bucket)
        return await self.new.head_bucket(bucket)

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        """As `Backend.create_bucket`. One that only the old storage has exists."""
        try:
            await self.prepare(bucket)
        except NoSuchBucket:
            await self.new.create_bucket(bucket, labels)
        else:
            raise BucketAlreadyExists(BucketName=bucket)

    async def delete_bucket(self, bucket: str) -> None:
        """As `Backend.delete_bucket`. Copies that nobody sees any more keep a bucket, until the migration has ended."""
        await self.prepare(bucket)
        if (await self.list_objects(bucket, ListQuery(limit=1))).objects:
            raise BucketNotEmpty(BucketName=bucket)
        await self.bury(Address(bucket))
        self._prepared.discard(bucket)
        await self.new.delete_bucket(bucket)
