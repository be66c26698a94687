"""Listings of a bucket that moves: both storages in one, without what is dead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.migration.copying import is_migrated
from gateway.routing.lazy.moving import Moving, of_old
from gateway.storage import Address, ListPage, ListQuery, ObjectInfo

CHUNK: Final = 1000  # how many items both are asked for at once, at most


@dataclass(frozen=True, slots=True)
class _Item:
    """A key with what is listed of it, or a common prefix."""

    name: str
    info: ObjectInfo | None = None
    is_new: bool = False  # the new storage lists it


class Listing(Moving):
    """ListObjects."""

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        await self.prepare(bucket)
        if not query.limit:
            return await self.new.list_objects(bucket, query)
        items: list[_Item] = []
        stretch = query._replace(limit=min(query.limit + 1, CHUNK))
        while len(items) <= query.limit:
            found, last = await self._stretch(bucket, stretch)
            items += await self._living(bucket, query, found)
            if not last:
                break
            stretch = stretch._replace(after=last)
        return _page(items, query.limit)

    async def _stretch(self, bucket: str, query: ListQuery) -> tuple[Sequence[_Item], str]:
        """Return what either lists, as far as both have told, and where that ends, "" at the end of both.

        The new one is asked first: nothing ever goes from the old one.
        """
        new = await self.new.list_objects(bucket, query)
        with of_old():
            old = await self.old.list_objects(bucket, query)
        found = {item.name: item for item in (*_items(old), *_items(new, is_new=True))}
        last = min((page.last for page in (new, old) if page.last), default="")
        return [found[name] for name in sorted(found) if not last or name <= last], last

    async def _living(self, bucket: str, query: ListQuery, items: Sequence[_Item]) -> Sequence[_Item]:
        """Leave out what is dead. What is buried is asked for after what the new storage lists, as `look` does."""
        keys = [item.name for item in items if item.info]
        prefixes = [item.name for item in items if not item.info]
        buried = await self.tombs.among(bucket, keys, prefixes)
        doubtful = [item.name for item in items if item.name in buried and item.info and item.is_new]
        own = await self._together.each(lambda key: self._is_own(Address(bucket, key)), doubtful)
        living = {key for key, is_own in zip(doubtful, own, strict=True) if is_own}
        living |= {prefix for prefix in buried.intersection(prefixes) if await self._lives(bucket, prefix, query.after)}
        return [item for item in items if item.name not in buried or item.name in living]

    async def _is_own(self, at: Address) -> bool:
        """Say whether a client has written a buried key since."""
        info = await self.look_new(at)
        return info is not None and not is_migrated(info)

    async def _lives(self, bucket: str, prefix: str, after: str) -> bool:
        """Say whether any key under a common prefix is left, of those that are asked for."""
        query = ListQuery(prefix, after=after if after.startswith(prefix) else "", limit=CHUNK)
        while True:
            found, last = await self._stretch(bucket, query)
            if await self._living(bucket, query, found):
                return True
            if not last:
                return False
            query = query._replace(after=last)


def _items(page: ListPage, *, is_new: bool = False) -> Sequence[_Item]:
    return [
        *(_Item(info.key, info, is_new) for info in page.objects),
        *(_Item(prefix, is_new=is_new) for prefix in page.prefixes),
    ]


def _page(items: Sequence[_Item], limit: int) -> ListPage:
    page = items[:limit]
    return ListPage(
        [item.info for item in page if item.info],
        [item.name for item in page if not item.info],
        page[-1].name if len(items) > limit else "",
    )
