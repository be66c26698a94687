"""Where an object can be read, and how it is shown from there."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from gateway.backends.assembly import span
from gateway.errors import NotModified, PreconditionFailed, ServiceUnavailable
from gateway.replication.copier import unstamped, was_changed
from gateway.replication.records import Status
from gateway.storage import Address, Backend, Download, ObjectInfo, ReadOptions

_ALL: Final = ReadOptions()


class Place(Protocol):
    """A storage that holds the wanted state of one object."""

    async def head(self, options: ReadOptions) -> ObjectInfo:
        """As `Backend.head`."""

    def get(self, options: ReadOptions) -> AbstractAsyncContextManager[Download]:
        """As `Backend.get`."""


@dataclass(frozen=True, slots=True)
class Own:
    """The object itself, in the storage that it belongs to."""

    storage: Backend
    at: Address

    async def head(self, options: ReadOptions) -> ObjectInfo:
        return await self.storage.head(self.at, options)

    def get(self, options: ReadOptions) -> AbstractAsyncContextManager[Download]:
        return self.storage.get(self.at, options)


@dataclass(frozen=True, slots=True)
class Asked:
    """As `Own`, with what `status` says of it: asked afterwards, so that what it says holds for what was found."""

    own: Own
    status: Callable[[], Awaitable[str]]

    async def head(self, options: ReadOptions) -> ObjectInfo:
        info = await self.own.head(options)
        return replace(info, replication=await self.status())

    @asynccontextmanager
    async def get(self, options: ReadOptions) -> AsyncIterator[Download]:
        async with self.own.get(options) as download:
            yield download._replace(info=replace(download.info, replication=await self.status()))


@dataclass(frozen=True, slots=True)
class Copy:
    """A mirror's copy, shown as what it is a copy of: conditions are about that."""

    storage: Backend
    at: Address
    stale: bool = False

    async def head(self, options: ReadOptions) -> ObjectInfo:
        info = await self.storage.head(self.at, replace(options, conditions=_ALL.conditions))
        shown = self._shown(info)
        options.conditions.check_read(shown)
        return shown

    @asynccontextmanager
    async def get(self, options: ReadOptions) -> AsyncIterator[Download]:
        if options.conditions:
            await self.head(replace(options, range=None, part=None))
        async with self.storage.get(self.at, replace(options, conditions=_ALL.conditions)) as download:
            shown = self._shown(download.info)
            try:
                options.conditions.check_read(shown)
            except (NotModified, PreconditionFailed):  # it was replaced just now
                raise ServiceUnavailable from None
            yield download._replace(info=shown)

    def _shown(self, info: ObjectInfo) -> ObjectInfo:
        """Show it as the original. Raises ServiceUnavailable where somebody else has changed it there."""
        if was_changed(info):
            raise ServiceUnavailable
        return replace(unstamped(info), served_by=self.storage.name, stale=self.stale, replication=Status.REPLICA.value)


@dataclass(frozen=True, slots=True)
class Staged:
    """An object on the fallback, shown as what the journal says of it: its key there is one of ours."""

    storage: Backend
    at: Address
    info: ObjectInfo
    status: str = ""

    async def head(self, options: ReadOptions) -> ObjectInfo:
        options.conditions.check_read(self.info)
        span(self.info.size, self.info.parts, replace(options, range=None))
        return self._shown(options)

    @asynccontextmanager
    async def get(self, options: ReadOptions) -> AsyncIterator[Download]:
        options.conditions.check_read(self.info)
        start, stop = span(self.info.size, self.info.parts, options)
        is_all = (start, stop) == (0, self.info.size)
        inner = _ALL if is_all else ReadOptions(range=slice(start, stop))
        async with self.storage.get(self.at, inner) as download:
            yield Download(self._shown(options), start, stop, download.content)

    def _shown(self, options: ReadOptions) -> ObjectInfo:
        parts = self.info.parts if options.parts else ()
        return replace(self.info, parts=parts, served_by=self.storage.name, replication=self.status)
