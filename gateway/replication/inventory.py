"""What the journal says and is told of buckets themselves."""

from collections.abc import Mapping, Sequence

from gateway.replication import buckets
from gateway.replication.part import Part
from gateway.replication.records import Intent, Recorded


class Inventory(Part):
    """The buckets of one route."""

    async def find(self, bucket: str) -> Recorded | None:
        """Return what is written down of a bucket."""
        return await self._read(buckets.find, bucket)

    async def every(self) -> tuple[Mapping[str, Recorded], bool]:
        """Return all that is written down, by name, and whether all that the primary has is."""
        return await self._read(buckets.every)

    # --- buckets of the primary ---

    async def know(self, names: Sequence[str], *, all_: bool = False) -> None:
        """Write down buckets that the primary has; `all_`: and that it has no others."""
        wanted = [*names, buckets.ALL] if all_ else names
        missing = await self._read(buckets.missing, wanted)
        if missing:
            await self._run(buckets.know, missing)
        if all_:
            await self.remain(names)

    async def remain(self, names: Sequence[str]) -> None:
        """Say that the primary has buckets, by its own word: none is going any more that was to go a while ago."""
        await self._run(buckets.remain, names)

    async def intend(self, bucket: str) -> Intent:
        """Write down that the primary may have a bucket, before it is asked to make it; not if it is a new one."""
        return await self._run(buckets.intend, bucket)

    async def withdraw(self, intent: Intent) -> None:
        """Take that back, the primary having certainly refused."""
        if intent.is_first:
            await self._run(buckets.withdraw, intent)

    async def leave(self, bucket: str) -> Intent:
        """Write down that the primary may have a bucket no more, before it is asked to delete it."""
        return await self._run(buckets.leave, bucket)

    async def stay(self, intent: Intent) -> None:
        """Take that back, the primary having certainly refused."""
        await self._run(buckets.stay, intent)

    async def left(self, intent: Intent) -> None:
        """Say that the primary has deleted a bucket, and have the fallback's deleted."""
        await self._run(buckets.left, intent)

    async def fade(self, names: Sequence[str]) -> None:
        """Forget buckets that the primary was found to lack, those that it may yet get excepted."""
        if names:
            await self._run(buckets.fade, names)

    # --- new ones ---

    async def homeless(self) -> Sequence[str]:
        """Return buckets of which nothing is written down although the primary lacks what was written there."""
        return await self._read(buckets.homeless)

    async def adopt(self, bucket: str, labels: Mapping[str, str]) -> None:
        """Take a bucket that the primary lacks for a new one."""
        await self._run(buckets.adopt, bucket, labels)

    async def make(self, bucket: str, labels: Mapping[str, str]) -> None:
        """Make a bucket that the primary certainly lacks, in FAILOVER.

        Raises: BucketAlreadyExists, also where it only may exist; ServiceUnavailable, in other modes, or if it is not
        known which buckets there are.
        """
        await self._run(buckets.make, bucket, labels)

    async def label(self, bucket: str, labels: Mapping[str, str], was: Mapping[str, str] | None) -> None:
        """Replace the labels of a new bucket. Raises: PreconditionFailed, NoSuchBucket, ServiceUnavailable."""
        await self._run(buckets.label, bucket, labels, was)

    async def drop(self, bucket: str) -> bool:
        """Delete a new bucket; False: not yet, something is left to be done for it on a mirror.

        Raises: BucketNotEmpty, NoSuchBucket; ServiceUnavailable, if it is not new, or on its way to the primary.
        """
        return await self._run(buckets.drop, bucket)

    async def claim(self, limit: int) -> Sequence[Recorded]:
        """Take new buckets that are to be made at the primary; none unless HEALING."""
        if not await self._read(buckets.lacking):
            return []
        return await self._run(buckets.claim, limit)

    async def healed(self, made: Recorded) -> bool:
        """Say that the primary has a bucket as it was claimed, and learn whether that is all."""
        return await self._run(buckets.healed, made)

    async def again(self, made: Recorded, after: float) -> None:
        """Say that a bucket could not be made; it is claimed again in so many seconds."""
        await self._run(buckets.again, made, after)
