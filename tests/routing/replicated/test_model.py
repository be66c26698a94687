"""Whatever is done to a replicated bucket in whatever mode, it is what the plainest model says, or it is refused.

MODEL_EXAMPLES says how many courses are gone through.
"""

import asyncio
import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.conditions import Conditions
from gateway.errors import NoSuchKey, PreconditionFailed, ServiceUnavailable
from gateway.replication.records import Mode
from gateway.storage import Address, ListQuery, WriteOptions
from tests.backends.given import body, completed, etag, folded, read
from tests.routing.replicated.world import BUCKET, World

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "10"))
KEYS = st.sampled_from(["a", "a/b", "a/c", "b", "é"])
VALUES = st.binary(max_size=3)
NEW = WriteOptions(conditions=Conditions(if_none_match=("*",)))


def at(key):
    return Address(BUCKET, key)


class Replication(RuleBasedStateMachine):
    """`model` is what was acknowledged. Nobody is in a hurry: what is begun ends before the next thing begins."""

    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.model: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.mode = Mode.NORMAL
        self.seen: set[Mode] = set()

    def teardown(self):
        try:
            self.runner.run(self._end())
        finally:
            self.runner.close()

    @initialize()
    def begin(self):
        self.world = World()
        self.runner.run(self.world.ready(BUCKET))

    # --- what clients do ---

    @rule(key=KEYS, value=VALUES)
    def put(self, key, value):
        self._put(key, value, self.storage.put(at(key), body(value)))

    @rule(key=KEYS, value=VALUES)
    def create(self, key, value):
        self._put_if(key, value, NEW, holds=key not in self.model)

    @rule(key=KEYS, value=VALUES, old=VALUES)
    def replace(self, key, value, old):
        options = WriteOptions(conditions=Conditions(if_match=(etag(old),)))
        self._put_if(key, value, options, holds=self.etags.get(key) == etag(old))

    @rule(key=KEYS, value=VALUES)
    def replace_what_is_there(self, key, value):
        options = WriteOptions(conditions=Conditions(if_match=(self.etags.get(key, "absent"),)))
        self._put_if(key, value, options, holds=key in self.model)

    @rule(key=KEYS)
    def delete(self, key):
        self.runner.run(self.storage.delete(at(key)))
        self.model.pop(key, None)
        self.etags.pop(key, None)

    @rule(key=KEYS, values=st.lists(VALUES, min_size=1, max_size=1))
    def upload(self, key, values):
        self._put(key, b"".join(values), completed(self.storage, at(key), list(enumerate(values, 1))))

    @rule(source=KEYS, key=KEYS)
    def copy(self, source, key):
        there = self.model.get(source)
        try:
            found = self.runner.run(self.storage.head(at(source)))
            made = self.runner.run(self.storage.copy(at(source), at(key), WriteOptions(), found.etag))
        except NoSuchKey:
            assert there is None
        except ServiceUnavailable:
            assert self.mode is not Mode.NORMAL
        else:
            assert there is not None
            self.model[key], self.etags[key] = there, made.etag

    @rule(key=KEYS)
    def get(self, key):
        try:
            found = self.runner.run(read(self.storage, at(key)))
        except NoSuchKey:
            found = None
        except ServiceUnavailable:
            assert self.mode is Mode.FAILOVER
            return
        assert found == self.model.get(key)

    @rule(prefix=st.sampled_from(["", "a", "a/"]), delimiter=st.sampled_from(["", "/"]), limit=st.integers(1, 3))
    def listing(self, prefix, delimiter, limit):
        query = ListQuery(prefix, delimiter, limit=limit)
        self.runner.run(self.world.journal.drained())
        assert self.runner.run(self._listed(query)) == folded(self.model, query)

    # --- what happens to the gateway ---

    @precondition(lambda self: self.mode is not Mode.FAILOVER)
    @rule()
    def outage(self):
        self.runner.run(self.world.fail())
        self.mode = Mode.FAILOVER

    @precondition(lambda self: self.mode is Mode.FAILOVER)
    @rule()
    def end_of_outage(self):
        self.runner.run(self.world.recover())
        self.mode = Mode.HEALING

    @rule()
    def heal_a_little(self):
        self.runner.run(self.world.heal_some(1))

    @precondition(lambda self: self.mode is Mode.HEALING)
    @rule()
    def heal_all(self):
        self.runner.run(self.world.heal())
        self.mode = self.runner.run(self.world.mode())
        assert self.mode is Mode.NORMAL

    @rule()
    def mirror(self):
        self.runner.run(self.world.mirrored())

    @rule()
    def sweep(self):
        self.runner.run(self.world.sweep())

    @rule()
    def start_anew(self):
        """The gateway ends and is started again: all it knows is what the journal knows."""
        self.runner.run(self._start_anew())

    @invariant()
    def no_mode_is_left_by_itself(self):
        if hasattr(self, "world"):
            mode = self.runner.run(self.world.mode())
            assert mode is self.mode or (self.mode is Mode.HEALING and mode is Mode.NORMAL)
            self.mode = mode

    # --- how ---

    @property
    def storage(self):
        return self.world.storage

    def _put(self, key, value, write):
        """Have a key written, which no mode is in the way of."""
        self.model[key], self.etags[key] = value, self.runner.run(write).etag

    def _put_if(self, key, value, options, *, holds):
        try:
            made = self.runner.run(self.storage.put(at(key), body(value), options))
        except (PreconditionFailed, NoSuchKey):
            assert not holds
        except ServiceUnavailable:
            assert self.mode is not Mode.NORMAL
        else:
            assert holds
            self.model[key], self.etags[key] = value, made.etag

    async def _listed(self, query):
        names = []
        while True:
            page = await self.storage.list_objects(BUCKET, query)
            names += sorted([*(info.key for info in page.objects), *page.prefixes], key=str.encode)
            if not page.last:
                return names
            query = query._replace(after=page.last)

    async def _start_anew(self):
        world = self.world
        await world.journal.drained()
        world.journal, world.member = world.node()
        await world.member.beat()
        world.storage = type(world.storage)("route", world.storages, world.journal, world.member, world.timing)
        world.storage.patience = 1

    async def _end(self):
        """Check that all comes to rest, and that both storages hold what was acknowledged then."""
        world = self.world
        if self.mode is Mode.FAILOVER:
            await world.recover()
        await world.heal()
        await world.mirrored()
        await world.sweep()
        await world.sweep()
        assert await world.mode() is Mode.NORMAL
        assert not (await world.journal.lag())["mirror"].pending
        for storage in (world.primary.inner, world.mirror.inner):
            assert {key: await read(storage, at(key)) for key in await _keys(storage)} == self.model
        assert await _keys(world.fallback.inner) == []


async def _keys(storage):
    return [info.key for info in (await storage.list_objects(BUCKET, ListQuery())).objects]


Replication.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=30,
    deadline=None,
    database=None,
    derandomize="MODEL_EXAMPLES" not in os.environ,
)
TestReplication = pytest.mark.timeout(3600)(Replication.TestCase)
