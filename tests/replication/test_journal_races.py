"""What two nodes say of a key at once, where the database lets both go on."""

import asyncio

from sqlalchemy.util import await_only

from gateway.replication.records import Kind, Mode, Outcome
from tests.replication.given import KEY, TIMING, committed, failed_over, info, journal
from tests.state.databases import WITHOUT, opened
from tests.state.timed import Timed

pytestmark = WITHOUT
OTHER = "b026324c6904b2a9cb4b88d6d61c81d1"


class HeldUp:
    """A store whose transactions, when they take numbers, are held up until something else is done or waits too."""

    def __init__(self, inner, meanwhile):
        self.inner, self.meanwhile = inner, meanwhile

    async def run(self, work):
        return await self.inner.run(lambda tx: work(_Transaction(tx, self.meanwhile)))

    def __getattr__(self, name):
        return getattr(self.inner, name)


class _Transaction:
    def __init__(self, inner, meanwhile):
        self._inner, self._meanwhile = inner, meanwhile

    def gens(self, count):
        await_only(asyncio.wait([self._meanwhile()], timeout=0.3))
        return self._inner.gens(count)

    def __getattr__(self, name):
        return getattr(self._inner, name)


async def test_what_is_written_while_the_state_before_it_is_healed_is_not_lost(tmp_path):
    async with opened("postgresql", tmp_path) as inner:
        store = Timed(inner)
        here = await failed_over(store)
        await committed(here)
        await here.turn(Mode.HEALING, "a test")
        store.later(TIMING.hold + 1)
        [claim] = await here.claim_rows(1)
        healed = []

        def heal():
            healed.append(asyncio.create_task(here.healed(claim, Outcome.APPLIED)))
            return healed[0]

        other = journal(HeldUp(store, heal), "two")
        op = await here.begin(KEY, Kind.PUT, on_fallback=True)
        newest = await other.commit(op, info(etag=OTHER))
        await asyncio.wait(healed)
        assert (await here.look(KEY)).row == newest
