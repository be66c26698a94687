"""Two buckets, read side by side in the order of their keys."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from gateway.storage import PRIVATE, Backend, ListQuery, ObjectInfo

BEHIND_PRIVATE = f"{PRIVATE}\U0010ffff"


class Keyed(Protocol):
    """What has a key."""

    @property
    def key(self) -> str: ...


Item = TypeVar("Item")
One = TypeVar("One", bound=Keyed)
Other = TypeVar("Other", bound=Keyed)


class Pair(NamedTuple):
    """What two storages list under one key; at least one of them does."""

    key: str
    source: ObjectInfo | None
    copy: ObjectInfo | None


async def side_by_side(bucket: str, source: Backend, copy: Backend, prefix: str = "") -> AsyncIterator[Pair]:
    """Give all keys of both, but for the gateway's own. Memory: a page of each. Raises: what listing raises."""
    async for one, other in paired(listed(source, bucket, prefix), listed(copy, bucket, prefix)):
        named = one or other
        assert named  # noqa: S101  for the type checker: not both are None
        yield Pair(named.key, one, other)


async def paired(
    left: AsyncIterator[One], right: AsyncIterator[Other]
) -> AsyncIterator[tuple[One | None, Other | None]]:
    """Give what two have under each key, both being in order; not both are None."""
    one, other = await anext(left, None), await anext(right, None)
    while one or other:
        if other is None or (one and _order(one.key) < _order(other.key)):
            yield one, None
            one = await anext(left, None)
        elif one is None or _order(other.key) < _order(one.key):
            yield None, other
            other = await anext(right, None)
        else:
            yield one, other
            one, other = await anext(left, None), await anext(right, None)


async def listed(backend: Backend, bucket: str, prefix: str = "") -> AsyncIterator[ObjectInfo]:
    """Give all objects of a bucket, in order, but for the gateway's own. Raises: what listing raises."""
    query = ListQuery(prefix)
    while True:
        page = await backend.list_objects(bucket, query)
        for info in page.objects:
            if not info.key.startswith(PRIVATE):
                yield info
        if not page.last:
            return
        query = query._replace(after=BEHIND_PRIVATE if page.last.startswith(PRIVATE) else page.last)


async def batches(items: AsyncIterable[Item], many: int) -> AsyncIterator[Sequence[Item]]:
    """Give items so many at once; at the end those that are left, be it none."""
    batch: list[Item] = []
    async for item in items:
        batch.append(item)
        if len(batch) == many:
            yield batch
            batch = []
    yield batch


def _order(key: str) -> bytes:
    return key.encode()
