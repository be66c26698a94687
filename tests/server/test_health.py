"""What readiness asks of a storage, and what it makes of the answers."""

import subprocess
import sys
import time

import pytest

from gateway.backends.memory import Memory
from gateway.errors import CredentialsRefused, ServiceUnavailable, SlowDown
from gateway.routing.observe import Observe
from gateway.routing.wrapper import Wrapper
from gateway.server.health import Board, Lookout, Reach, State, Watched
from gateway.storage import Address, ListQuery
from tests.backends.given import put

ASKED = "from gateway.server.health import NO_BUCKET; print(NO_BUCKET)"


class Answering(Wrapper):
    """Answers as it is told to, and counts the questions."""

    error = None
    asked = 0

    async def list_objects(self, bucket, query):
        self.asked += 1
        if self.error:
            raise self.error
        return await self.inner.list_objects(bucket, query)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set on."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

        perf_counter = staticmethod(time.perf_counter)

    clock = Clock()
    for module in ("gateway.server.health", "gateway.routing.observe"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


class Site:
    """Some storages, and what one worker knows of them."""

    def __init__(self, *names, worker=0, workers=1):
        self.storages = {name: Answering(Memory(name)) for name in names}
        self.watched = {name: Watched(Observe(storage)) for name, storage in self.storages.items()}
        self.board = Board(workers, list(names))
        for number in range(workers):
            self.board.set_state(number, State.READY)
        self.lookout = Lookout(self.watched, self.board, worker)

    def due(self):
        return [name for name in self.watched if self.lookout._is_to_be_asked(name)]

    def ready(self):
        return self.board.report()[0]


def test_no_stranger_can_take_the_bucket_that_readiness_looks_for_and_make_gateways_unready():
    asked = {subprocess.check_output([sys.executable, "-c", ASKED], text=True) for _ in range(2)}
    assert len(asked) == 2


def test_who_answers_no_requests_does_not_say_whether_they_are_answered():
    board = Board(1, ["memory"], beside=1)
    board.set_state(1, State.READY)
    board.set_reach(1, "memory", Reach.REACHABLE)
    assert board.report()[0] is False
    board.set_state(0, State.READY)
    board.set_reach(0, "memory", Reach.REACHABLE)
    board.set_state(1, State.DRAINING)
    assert board.report() == (
        True,
        {"ready": True, "degraded": False, "workers": ["ready"], "backends": {"memory": "reachable"}},
    )


@pytest.mark.parametrize("error", [None, CredentialsRefused(), SlowDown()])
async def test_a_storage_that_says_no_is_reached(error):
    site = Site("memory")
    site.storages["memory"].error = error
    assert not site.ready()
    await site.lookout.look()
    assert site.ready()


async def test_one_storage_of_several_that_does_not_answer_degrades_and_does_not_kill():
    site = Site("up", "down")
    site.storages["down"].error = ServiceUnavailable()
    await site.lookout.look()
    ready, detail = site.board.report()
    assert (ready, detail["degraded"]) == (True, True)
    assert detail["backends"] == {"up": "reachable", "down": "unreachable"}
    site.storages["up"].error = ServiceUnavailable()
    await site.lookout.look()
    assert not site.ready()


async def test_a_quiet_storage_is_asked_rarely_and_by_the_first_worker(clock):
    first, second = Site("memory"), Site("memory", worker=1, workers=2)
    await first.lookout.look()
    await second.lookout.look()
    clock.now += 29
    assert first.due() == second.due() == []
    clock.now += 2
    assert (first.due(), second.due()) == (["memory"], [])


async def test_traffic_tells_that_a_storage_is_there(clock):
    site = Site("memory")
    await site.lookout.look()
    storage = site.watched["memory"].backend
    await storage.create_bucket("bucket", {})
    for _ in range(10):
        clock.now += 20
        await put(storage, Address("bucket", "key"))
        assert site.due() == []
    assert site.storages["memory"].asked == 1


async def test_a_storage_that_failed_is_asked_soon_by_whoever_saw_it(clock):
    site = Site("memory", worker=1, workers=2)
    await site.lookout.look()
    site.storages["memory"].error = ServiceUnavailable()
    clock.now += 6
    with pytest.raises(ServiceUnavailable):
        await site.watched["memory"].backend.list_objects("bucket", ListQuery())
    assert site.due() == ["memory"]
    await site.lookout.look()
    assert site.board.reach(1, "memory") is Reach.UNREACHABLE
    assert site.due() == []
    clock.now += 6
    assert site.due() == ["memory"]


async def test_a_storage_that_answers_again_is_reached_without_being_asked(clock):
    site = Site("memory")
    site.storages["memory"].error = ServiceUnavailable()
    await site.lookout.look()
    clock.now += 1
    await site.watched["memory"].backend.list_buckets()
    assert site.due() == []
    assert site.ready()


async def test_backends_that_come_and_go_while_serving_never_make_the_gateway_unready():
    site = Site("one")
    await site.lookout.look()
    one, two = site.watched["one"], Watched(Observe(Answering(Memory("two"))))
    site.board.add(["one", "two"])
    assert site.board.report() == (
        True,
        {"ready": True, "degraded": False, "workers": ["ready"], "backends": {"one": "reachable"}},
    )
    await site.lookout.watch({"one": one, "two": two})
    assert site.board.report()[1]["backends"] == {"one": "reachable", "two": "reachable"}
    await site.lookout.watch({"two": two})
    assert site.board.report()[1]["backends"] == {"two": "reachable"}
    assert (site.storages["one"].asked, two.backend.inner.asked) == (1, 1)


async def test_a_worker_that_ended_leaves_nothing_behind_for_the_one_after_it():
    site = Site("one", "two")
    await site.lookout.look()
    site.board.set_state(0, State.GONE)
    site.board.set_state(0, State.READY)
    assert site.board.report()[1]["backends"] == {}
