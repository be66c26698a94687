"""Listings of a replicated bucket: what a storage lists, with what is known to be newer."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from gateway.errors import S3Error
from gateway.replication.copier import unstamped
from gateway.replication.merge import Change, merged
from gateway.replication.records import UNSET, Baseline, Dirty, Known, Mode
from gateway.routing.replicated.answers import not_current, unanswered
from gateway.routing.replicated.route import NO_ANSWER, Route
from gateway.storage import Address, ListPage, ListQuery

Below = Callable[[ListQuery], Awaitable[ListPage]]


class Listing(Route):
    """ListObjects."""

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        look = await self.look(Address(bucket))
        try:
            if look.is_new:
                return await self._list_with_rows(_nothing, bucket, query)
            if look.mode is Mode.FAILOVER:
                return await self._list_mirrors(bucket, query)
            if look.mode is Mode.NORMAL:
                return await self.primary.list_objects(bucket, query)
            return await self._list_with_rows(partial(self.primary.list_objects, bucket), bucket, query)
        except NO_ANSWER as error:
            raise unanswered(error) from error

    async def _list_with_rows(self, listing: Below, bucket: str, query: ListQuery) -> ListPage:
        async def changes(after: str, inclusive: bool, limit: int) -> Sequence[Change]:  # noqa: FBT001  see Changes
            return await self._rows(bucket, query.prefix, (after, inclusive, limit))

        return await merged(listing, changes, query)

    async def _list_mirrors(self, bucket: str, query: ListQuery) -> ListPage:
        """Ask the mirrors that have been given everything, one after another."""
        for name in self.mirrors:
            if (await self.journal.replica(name)).baseline is Baseline.COMPLETE:
                try:
                    return await self._list_mirror(name, bucket, query)
                except S3Error:
                    continue
        raise not_current()

    async def _list_mirror(self, name: str, bucket: str, query: ListQuery) -> ListPage:
        async def listing(part: ListQuery) -> ListPage:
            page = await self.mirrors[name].list_objects(bucket, part)
            return page._replace(objects=[unstamped(info) for info in page.objects])

        async def changes(after: str, inclusive: bool, limit: int) -> Sequence[Change]:  # noqa: FBT001  see Changes
            return await self._all_changes(name, bucket, query.prefix, (after, inclusive, limit))

        return await merged(listing, changes, query)

    async def _rows(self, bucket: str, prefix: str, span: tuple[str, bool, int]) -> Sequence[Change]:
        after, inclusive, limit = span
        rows = await self.journal.rows(bucket, prefix, after, limit, inclusive=inclusive)
        return [Change(row.at.key, row.info and replace(row.info, parts=())) for row in rows]

    async def _all_changes(
        self, target: str, bucket: str, prefix: str, span: tuple[str, bool, int]
    ) -> Sequence[Change]:
        """Return what is newer than a mirror: rows, and what it lacks of writes that the primary still got."""
        after, inclusive, limit = span
        rows = await self._rows(bucket, prefix, span)
        dirty = await self.journal.dirty_keys(bucket, prefix, after, limit, inclusive=inclusive)
        found = {entry.key: Change(entry.key, _lacking(entry, target)) for entry in dirty}
        found |= {change.key: change for change in rows}
        return [found[key] for key in sorted(found)][:limit]  # behind the last of a full one the other may have gaps


async def _nothing(_: ListQuery) -> ListPage:
    """List what the primary has of a bucket that it lacks."""
    return ListPage([], [])


def _lacking(entry: Dirty, target: str) -> Known:
    """Return what a mirror should hold, as far as it is known to hold something else."""
    return entry.info if entry.certain and target in entry.targets else UNSET
