"""Two storages in memory, a bucket that moves from one to the other, and what is written down of it in a file."""

from contextlib import asynccontextmanager

from gateway.backends.memory import Memory
from gateway.errors import NoSuchBucket, NoSuchKey, S3Error, ServiceUnavailable
from gateway.migration.copying import Copier
from gateway.migration.tombs import Tombs
from gateway.replication.records import Timing
from gateway.replication.rules import Rules
from gateway.replication.scope import Scope
from gateway.routing.lazy import Lazy, Storages
from gateway.routing.wrapper import Wrapper
from gateway.storage import Address, ListPage
from tests.backends.given import body, put, read

BUCKET = "media"
KEY = Address(BUCKET, "designs/42.png")
HOLD = 5.0


class Storage(Wrapper):
    """A storage that can be down, and of which each call is noted. `before` is awaited before a call of that name."""

    def __init__(self, name):
        super().__init__(Memory(name))
        self.down = False
        self.calls = []
        self.before = {}

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if name.startswith("_") or not callable(found):
            return found
        if name == "get":
            return lambda *args: self._opened(found, *args)

        async def called(*args):
            await self._noted(name)
            return await found(*args)

        return called

    def _opened(self, found, *args):
        return _Opening(self, found(*args))

    async def _noted(self, name):
        self.calls.append(name)
        if hook := self.before.pop(name, None):
            await hook()
        if self.down:
            raise ServiceUnavailable


class _Opening:
    def __init__(self, storage, inner):
        self._storage, self._inner = storage, inner

    async def __aenter__(self):
        await self._storage._noted("get")
        return await self._inner.__aenter__()

    async def __aexit__(self, *failure):
        return await self._inner.__aexit__(*failure)


class EveryBucket(Wrapper):
    """An old storage that has every bucket; those that nobody made are empty."""

    async def list_objects(self, bucket, query):
        try:
            return await self.inner.list_objects(bucket, query)
        except NoSuchBucket:
            return ListPage([], [])

    @asynccontextmanager
    async def get(self, at, *args):
        await self.head(at)
        async with self.inner.get(at, *args) as download:
            yield download

    async def head(self, at, *args):
        try:
            return await self.inner.head(at, *args)
        except NoSuchBucket:
            raise NoSuchKey(Key=at.key) from None


def tombs_in(store, node="node"):
    return Tombs(store, Scope("route", node, (), "", Rules(Timing())))


class World:
    """`wanted` are the keys that are to be copied; `copy` does that."""

    def __init__(self, store):
        self.new, self.old = Storage("new"), Storage("old")
        self.wanted = []
        self.store, self.tombs = store, tombs_in(store)
        self.storage = self.gateway()

    def gateway(self, kind=Lazy):
        """Another gateway in front of the same."""
        return kind("route", Storages(self.new, self.old, self.wanted.append), self.tombs, HOLD)

    async def ready(self, **objects):
        """Have objects in the old storage."""
        await self.old.inner.create_bucket(BUCKET, {"owner": "me"})
        await self.new.inner.create_bucket(BUCKET, {"owner": "me"})
        for key, data in objects.items():
            await self.put_old(Address(BUCKET, key), data)
        return self

    async def put_old(self, at, data=b"old", **options):
        await put(self.old.inner, at, data, **options)

    async def copy(self, at=KEY):
        return await Copier(self.old.inner, self.new.inner).copy(at, at)

    async def seen(self, at=KEY):
        """What a client reads, None if there is nothing."""
        try:
            return await read(self.storage, at)
        except NoSuchKey:
            return None


async def failed(call):
    """The code of the error that a call ends with, "" if it ends well."""
    try:
        await call
    except S3Error as error:
        return error.code
    return ""


__all__ = ["BUCKET", "HOLD", "KEY", "EveryBucket", "Storage", "World", "body", "failed", "tombs_in"]
