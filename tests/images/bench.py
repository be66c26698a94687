"""A bucket with images, on a storage of which something fails when it is told so."""

import asyncio
from contextlib import asynccontextmanager

import yaml

from gateway.backends.memory import Memory
from gateway.conditions import Conditions
from gateway.config import parse
from gateway.errors import NotImplementedByGateway
from gateway.imaging import imaged
from gateway.routing.wrapper import Wrapper
from gateway.sharing import Sharing
from gateway.storage import Address, Body, ListQuery, WriteOptions
from gateway.transfer import bytes_of

RULE = {
    "match": "in/{path*}",
    "key": "out/{variant}/{path.stem}.{ext}",
    "variants": {"small": {"width": 20}, "webp": {"width": 30, "format": "webp"}},
}
AT = Address("media", "in/x.jpg")
SMALL, WEBP = Address("media", "out/small/x.jpg"), Address("media", "out/webp/x.webp")
BOTH = {"in/x.jpg", "out/small/x.jpg", "out/webp/x.webp"}
PATIENCE_S = 30


def config_of(folder, top=None, rules=(RULE,), backend=None, **said):
    document = {
        "backends": {"disk": backend or {"type": "local", "path": str(folder / "objects")}},
        "state": f"sqlite:///{folder}/state.db",
        "images": {"workers": 1, **(top or {})},
        "buckets": {"media": {"backend": "disk", "images": {"rules": list(rules), **said}}},
    }
    return parse(yaml.safe_dump(document), "c.yaml", {})


class Failing(Wrapper):
    """A storage of which something fails when it is told so."""

    def __init__(self, inner):
        super().__init__(inner)
        self.failures = {}
        self.writes = []
        self.knows_conditions = True
        self.before_put = None

    async def _check(self, what, at):
        if error := self.failures.get((what, at.key)):
            raise error

    async def put(self, at, body, options=WriteOptions()):
        if self.before_put:
            await self.before_put(at)
        await self._check("put", at)
        if options.conditions and not self.knows_conditions:
            raise NotImplementedByGateway
        stored = await self.inner.put(at, body, options)
        self.writes.append(at.key)
        await self._check("answer", at)
        return stored

    async def head(self, at, options=None):
        await self._check("head", at)
        return await self.inner.head(at)

    async def delete(self, at, conditions=None):
        if conditions and not self.knows_conditions:
            raise NotImplementedByGateway
        await self.inner.delete(at, conditions or Conditions())


class Bench:
    """A bucket with images."""

    def __init__(self, storage, shown):
        self.storage, self.shown = storage, shown

    async def put(self, data, at=AT, storage=None, **options):
        return await (storage or self.shown).put(at, Body(chunks(data), len(data)), WriteOptions(**options))

    async def keys(self):
        page = await self.storage.list_objects("media", ListQuery())
        return {info.key for info in page.objects}

    async def read(self, at):
        async with self.storage.get(at) as download:
            return await bytes_of(download)

    async def until(self, keys, fresh=None):
        """Wait until there are just these keys, and variants of this state of the original."""
        async with asyncio.timeout(PATIENCE_S):
            while await self.keys() != keys or not await self._are_of(fresh):  # noqa: ASYNC110  a storage tells nobody
                await asyncio.sleep(0.01)

    async def _are_of(self, etag):
        if etag is None:
            return True
        infos = [await self.storage.head(at) for at in (SMALL, WEBP)]
        return {info.metadata["gw-source-etag"] for info in infos} == {etag}


@asynccontextmanager
async def bench_of(folder, storage=None, **said):
    if storage is None:
        storage = Failing(Memory())
        await storage.create_bucket("media", {})
    async with imaged(config_of(folder, **said), storage, 0, Sharing()) as shown:
        yield Bench(storage, shown)


async def chunks(data):
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]
