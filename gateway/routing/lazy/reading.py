"""Reads of a bucket that moves: what clients have written, then what is not dead, wherever it is."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Final, TypeVar

from prometheus_client import Counter

from gateway import metrics
from gateway.backends.assembly import span
from gateway.errors import NoSuchKey, NoSuchVersion
from gateway.migration.copying import is_migrated
from gateway.routing.lazy.buckets import Buckets
from gateway.routing.lazy.moving import ABOUT_IT, of_old, unmarked
from gateway.storage import Address, Backend, Download, ObjectInfo, ReadOptions

Found = TypeVar("Found", ObjectInfo, Download)
ROUNDS: Final = 3  # how often it is looked again for what is another while it is looked for
NEW, OLD, BURIED = "new", "old", "tombstone"


class Reading(Buckets):
    """HEAD and GET."""

    @asynccontextmanager
    async def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AsyncIterator[Download]:
        async with AsyncExitStack() as opened:

            async def ask(storage: Backend) -> Download:
                await opened.aclose()
                return await opened.enter_async_context(storage.get(at, options))

            yield await self._read(at, options, ask)

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        return await self._read(at, replace(options, range=None), lambda storage: storage.head(at, options))

    async def _read(self, at: Address, options: ReadOptions, ask: Callable[[Backend], Awaitable[Found]]) -> Found:
        """Ask where the key's state is. What is said of an object that may be a dead copy is checked again."""
        if at.version not in {None, "null"}:
            raise NoSuchVersion(Key=at.key, VersionId=str(at.version))
        await self.prepare(at.bucket)
        for left in reversed(range(ROUNDS)):
            try:
                return await self._ask(at, ask)
            except ABOUT_IT:
                if not left:
                    raise
            seen = await self.look(at, ReadOptions(parts=options.part is not None))
            if seen.info is None:
                raise NoSuchKey(Key=at.key)
            options.conditions.check_read(seen.info)
            span(seen.info.size, seen.info.parts, options)
        raise AssertionError

    async def _ask(self, at: Address, ask: Callable[[Backend], Awaitable[Found]]) -> Found:
        """As `look`, of what is asked for itself."""
        found = await _asked(self.new, ask)
        if found and not is_migrated(_info(found)):
            return self._count(found, NEW)
        if await self.is_buried(at):
            _reads(self.name, BURIED).inc()
            return await self._ask_again(at, ask)
        if found:
            return self._count(_shown(found, unmarked(_info(found))), NEW)
        with of_old():
            found = await ask(self.old)
        self._want(at, found)
        return self._count(_shown(found, replace(_info(found), served_by=self.old.name)), OLD)

    async def _ask_again(self, at: Address, ask: Callable[[Backend], Awaitable[Found]]) -> Found:
        """Ask the new storage alone, which clients may have written meanwhile. Raises: NoSuchKey."""
        found = await _asked(self.new, ask)
        if found is None or self._is_hidden(_info(found)):
            raise NoSuchKey(Key=at.key)
        return found

    def _is_hidden(self, info: ObjectInfo) -> bool:
        """Say whether what the new storage has of a buried key is dead, too."""
        return is_migrated(info)

    def _want(self, at: Address, found: ObjectInfo | Download) -> None:
        """Have a key copied whose bytes were asked for."""
        if isinstance(found, Download):
            self.wanted(at)

    def _count(self, found: Found, source: str) -> Found:
        _reads(self.name, source).inc()
        return found


async def _asked(storage: Backend, ask: Callable[[Backend], Awaitable[Found]]) -> Found | None:
    try:
        return await ask(storage)
    except NoSuchKey:
        return None


def _info(found: ObjectInfo | Download) -> ObjectInfo:
    return found.info if isinstance(found, Download) else found


def _shown(found: Found, info: ObjectInfo) -> Found:
    return found._replace(info=info) if isinstance(found, Download) else info


@cache
def _reads(route: str, source: str) -> Counter:
    return metrics.LAZY_READS.labels(route, source)  # looking labels up costs more than counting
