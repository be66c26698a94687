"""Two buckets, read side by side in the order of their keys."""

from collections.abc import AsyncIterator
from typing import NamedTuple

from gateway.storage import PRIVATE, Backend, ListQuery, ObjectInfo

BEHIND_PRIVATE = f"{PRIVATE}\U0010ffff"


class Pair(NamedTuple):
    """What two storages list under one key; at least one of them does."""

    key: str
    source: ObjectInfo | None
    copy: ObjectInfo | None


async def side_by_side(bucket: str, source: Backend, copy: Backend, prefix: str = "") -> AsyncIterator[Pair]:
    """Give all keys of both, but for the gateway's own. Memory: a page of each. Raises: what listing raises."""
    left, right = _listed(source, bucket, prefix), _listed(copy, bucket, prefix)
    one, other = await anext(left, None), await anext(right, None)
    while one or other:
        if other is None or (one and _order(one.key) < _order(other.key)):
            assert one  # noqa: S101  for the type checker: not both are None
            yield Pair(one.key, one, None)
            one = await anext(left, None)
        elif one is None or _order(other.key) < _order(one.key):
            yield Pair(other.key, None, other)
            other = await anext(right, None)
        else:
            yield Pair(one.key, one, other)
            one, other = await anext(left, None), await anext(right, None)


async def _listed(backend: Backend, bucket: str, prefix: str) -> AsyncIterator[ObjectInfo]:
    query = ListQuery(prefix)
    while True:
        page = await backend.list_objects(bucket, query)
        for info in page.objects:
            if not info.key.startswith(PRIVATE):
                yield info
        if not page.last:
            return
        query = query._replace(after=BEHIND_PRIVATE if page.last.startswith(PRIVATE) else page.last)


def _order(key: str) -> bytes:
    return key.encode()
