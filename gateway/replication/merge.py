"""One listing out of two: what a storage lists, and what the journal knows better."""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.backends.assembly import behind
from gateway.replication.records import UNSET, Known
from gateway.storage import ListPage, ListQuery, ObjectInfo

CHUNK: Final = 1000  # how many changes are asked for at once, at most
_FEW: Final = 64  # and at least


class Change(NamedTuple):
    """A key of which the journal knows something. Without info it was deleted; UNSET: the storage may be right."""

    key: str
    info: Known


Listing = Callable[[ListQuery], Awaitable[ListPage]]
Changes = Callable[[str, bool, int], Awaitable[Sequence[Change]]]
"""Gives up to so many changes under the prefix in byte order, those after a key, or if the flag says so, from it on."""


async def merged(listing: Listing, changes: Changes, query: ListQuery) -> ListPage:
    """Return the page of a storage's `listing` as it is with `changes` applied.

    Changes of a range of keys are asked for before the storage is asked about that range, so that what is applied to
    the storage in between is seen on one side at least.
    """
    overlay = _Overlay(changes, query)
    if not query.limit or await overlay.peek() is None:
        return await listing(query)
    below = _Below(listing, query, overlay)
    items: list[_Item] = []
    while len(items) <= query.limit:
        item = await _next(overlay, below)
        if item is None:
            break
        if not item.in_doubt or await _lives(listing, changes, query, item.name):
            items.append(item)
    return _page(items, query.limit)


@dataclass(slots=True)
class _Item:
    """A key with what is known of it, or a common prefix.

    A key without info was deleted. A prefix is in doubt if all that is known of the keys under it are deletions.
    """

    name: str
    info: ObjectInfo | None = None
    is_prefix: bool = False
    in_doubt: bool = False


async def _next(overlay: "_Overlay", below: "_Below") -> _Item | None:
    """Return the next item of both that is not known to be deleted."""
    while True:
        change = await overlay.peek()
        item = await below.peek()
        if change is None and item is None:
            return None
        if item is not None and (change is None or item.name < change.name):
            below.drop()
            return item
        assert change is not None  # noqa: S101  for mypy: not both are None
        overlay.drop()
        is_both = item is not None and item.name == change.name
        if is_both:
            below.drop()
        if change.is_prefix and (is_both or not change.in_doubt):
            return change
        if change.info is not None:
            return change


async def _lives(listing: Listing, changes: Changes, query: ListQuery, prefix: str) -> bool:
    """Say whether any key under a common prefix is left, of those that the query asks for."""
    return bool((await merged(listing, changes, ListQuery(prefix, after=query.after, limit=1))).objects)


def _page(items: Sequence[_Item], limit: int) -> ListPage:
    page = items[:limit]
    return ListPage(
        [item.info for item in page if item.info is not None],
        [item.name for item in page if item.is_prefix],
        page[-1].name if len(items) > limit else "",
    )


class _Overlay:
    """The changes as items: of the keys under one common prefix, one."""

    def __init__(self, changes: Changes, query: ListQuery) -> None:
        self.read = 0  # how often changes were asked for
        self._changes, self._query = changes, query
        self._chunk = min(CHUNK, max(query.limit, _FEW))
        self._ahead: deque[Change] = deque()
        self._from, self._inclusive = max(query.after, query.prefix), query.after < query.prefix
        self._ended = False
        self._item: _Item | None = None

    async def peek(self) -> _Item | None:
        """Return the next item, None at the end."""
        while self._item is None:
            change = await self._take()
            if change is None:
                return None
            common = common_prefix(change.key, self._query)
            if change.info is UNSET:
                continue
            if not common:
                self._item = _Item(change.key, change.info)
            elif common == self._query.after:
                self._skip(common)
            else:
                self._item = await self._folded(common, change)
        return self._item

    def drop(self) -> None:
        """Go on behind the next item."""
        self._item = None

    async def _folded(self, common: str, change: Change | None) -> _Item:
        """Return the item of a common prefix, having passed by all changes under it; `change` is the first."""
        while change is not None and change.key.startswith(common) and not isinstance(change.info, ObjectInfo):
            change = await self._take()
        if change is not None and change.key.startswith(common):
            self._skip(common)
            return _Item(common, is_prefix=True)
        if change is not None:
            self._ahead.appendleft(change)
        return _Item(common, is_prefix=True, in_doubt=True)

    async def _take(self) -> Change | None:
        while not self._ahead and not self._ended:
            found = await self._changes(self._from, self._inclusive, self._chunk)
            self.read += 1
            self._ahead.extend(change for change in found if change.key.startswith(self._query.prefix))
            self._ended = len(self._ahead) < self._chunk
            if found:
                self._from, self._inclusive = found[-1].key, False
        return self._ahead.popleft() if self._ahead else None

    def _skip(self, common: str) -> None:
        """Pass by all keys under a common prefix, asking for none of them."""
        while self._ahead and self._ahead[0].key.startswith(common):
            self._ahead.popleft()
        following = behind(common)
        if not self._ahead and self._from.startswith(common):
            self._ended = self._ended or following is None
            self._from, self._inclusive = following or "", True


class _Below:
    """What the storage lists, asked anew wherever changes were read after it: these may be gone from the journal."""

    def __init__(self, listing: Listing, query: ListQuery, overlay: _Overlay) -> None:
        self._listing, self._query, self._overlay = listing, query, overlay
        self._ahead: deque[_Item] = deque()
        self._after, self._more = query.after, True
        self._read = 0

    async def peek(self) -> _Item | None:
        """Return the next item, None at the end."""
        if self._read != self._overlay.read:
            self._ahead.clear()
            self._more = True
        while not self._ahead and self._more:
            self._read = self._overlay.read
            page = await self._listing(self._query._replace(after=self._after, limit=min(self._query.limit + 1, CHUNK)))
            self._ahead.extend(_items(page))
            self._more = bool(page.last)
            if self._more and not self._ahead:
                self._after = page.last
        return self._ahead[0] if self._ahead else None

    def drop(self) -> None:
        """Go on behind the next item."""
        self._after = self._ahead.popleft().name


def _items(page: ListPage) -> Sequence[_Item]:
    keys = [_Item(info.key, info) for info in page.objects]
    prefixes = [_Item(prefix, is_prefix=True) for prefix in page.prefixes]
    return sorted([*keys, *prefixes], key=lambda item: item.name)


def common_prefix(key: str, query: ListQuery) -> str:
    """Return what a key is folded into, "" if it stands for itself."""
    at = key.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
    return key[: at + len(query.delimiter)] if at >= 0 else ""
