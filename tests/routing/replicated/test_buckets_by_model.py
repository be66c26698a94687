"""Buckets and what is in them, made, deleted and healed in any order, against a model that is always right."""

import asyncio
from contextlib import suppress

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.errors import BucketAlreadyExists, BucketNotEmpty, NoSuchBucket, NoSuchKey, ServiceUnavailable
from gateway.replication.records import Mode
from gateway.storage import Address, ListQuery
from tests.backends.given import put, read
from tests.routing.replicated.world import World

NAMES = st.sampled_from(["old", "first", "second"])
KEYS = st.sampled_from(["a", "b"])


class Buckets(RuleBasedStateMachine):
    """What is refused changes nothing; what is answered is what the model says."""

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model: dict[str, dict[str, bytes]] = {"old": {}}
        self.number = 0
        self.world = World()
        self.run(self.begin())

    async def begin(self):
        await self.world.ready("old")
        await self.world.journal.buckets.know(["old"], all_=True)

    def run(self, work):
        return self.loop.run_until_complete(work)

    def teardown(self):
        if self.mode() is Mode.FAILOVER:
            self.run(self.world.recover())
        self.run(self.settle())
        found = self.run(self.stored())
        assert found == self.model
        assert self.mode() is Mode.NORMAL
        self.loop.close()

    async def settle(self):
        await self.world.mirrored()
        await self.world.heal()

    async def stored(self):
        """Return what the primary holds."""
        primary, found = self.world.primary.inner, {}
        for info in await primary.list_buckets():
            page = await primary.list_objects(info.name, ListQuery())
            keys = [entry.key for entry in page.objects]
            found[info.name] = {key: await read(primary, Address(info.name, key)) for key in keys}
        return found

    def mode(self):
        return self.run(self.world.mode())

    def expect(self, work, *errors):
        """Say whether something was done, which it must not be if an error is expected; 503 is always allowed."""
        try:
            self.run(work)
        except (ServiceUnavailable, *errors):
            return False
        assert not errors
        return True

    # --- clients ---

    @rule(bucket=NAMES)
    def create(self, bucket):
        errors = [BucketAlreadyExists] if bucket in self.model else []
        if self.expect(self.world.storage.create_bucket(bucket, {}), *errors):
            self.model[bucket] = {}

    @rule(bucket=NAMES)
    def delete_bucket(self, bucket):
        self.run(self.world.mirrored())
        deleting = self.world.storage.delete_bucket(bucket)
        if bucket not in self.model:
            self.expect(deleting, NoSuchBucket)
        elif self.model[bucket]:
            self.expect(deleting, BucketNotEmpty)
        else:
            with suppress(BucketNotEmpty, ServiceUnavailable):  # the primary may not have heard yet of deletions
                self.run(deleting)
                del self.model[bucket]

    @rule(bucket=NAMES, key=KEYS)
    def put(self, bucket, key):
        self.number += 1
        data = b"%d" % self.number
        errors = [] if bucket in self.model else [NoSuchBucket]
        if self.expect(put(self.world.storage, Address(bucket, key), data), *errors):
            self.model[bucket][key] = data

    @rule(bucket=NAMES, key=KEYS)
    def delete(self, bucket, key):
        errors = [] if bucket in self.model else [NoSuchBucket]
        if self.expect(self.world.storage.delete(Address(bucket, key)), *errors):
            self.model[bucket].pop(key, None)

    # --- fate ---

    @precondition(lambda self: self.mode() is not Mode.FAILOVER)
    @rule()
    def fail(self):
        self.run(self.world.fail())

    @precondition(lambda self: self.mode() is Mode.FAILOVER)
    @rule()
    def recover(self):
        self.run(self.world.recover())

    @precondition(lambda self: self.mode() is Mode.HEALING)
    @rule()
    def heal(self):
        self.run(self.world.heal_some(1))
        self.run(self.world.member.beat())

    @rule()
    def tidy(self):
        self.run(self.world.mirrored())
        self.run(self.world.sweep())

    # --- what clients see ---

    @invariant()
    def what_is_told_is_so(self):
        storage = self.world.storage
        names = [info.name for info in self.run(storage.list_buckets())]
        assert set(names) == set(self.model)
        for bucket in ("old", "first", "second"):
            assert self.seen(storage.list_objects(bucket, ListQuery()), bucket) in (
                None,
                sorted(self.model.get(bucket, ())),
            )
            for key in ("a", "b"):
                told = self.told(Address(bucket, key))
                assert told in (None, self.model.get(bucket, {}).get(key, b"absent"))

    def seen(self, listing, bucket):
        try:
            return [info.key for info in self.run(listing).objects]
        except ServiceUnavailable:
            return None
        except NoSuchBucket:
            assert bucket not in self.model
            return []

    def told(self, at):
        try:
            return self.run(read(self.world.storage, at))
        except ServiceUnavailable:
            return None
        except NoSuchBucket:
            assert at.bucket not in self.model
        except NoSuchKey:
            assert at.bucket in self.model
        return b"absent"


TestBuckets = Buckets.TestCase
TestBuckets.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
