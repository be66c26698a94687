"""What is counted of the calls of a replicated bucket."""

import pytest
from prometheus_client import REGISTRY

from gateway.errors import NoSuchKey, ServiceUnavailable
from gateway.replication.breaker import IN_A_ROW, SUCCESSES
from gateway.replication.records import Baseline
from gateway.routing.breaking import Breaking
from gateway.storage import Address, Body
from tests.routing.replicated.world import AT, BUCKET, Fault, Faulty, World


class Counted:
    """How much counters have grown since."""

    def __init__(self):
        self.before = {}

    def __call__(self, name, **labels):
        return (REGISTRY.get_sample_value(name, labels) or 0) - self.before.get((name, *sorted(labels.items())), 0)

    def begin(self, name, **labels):
        self.before[name, *sorted(labels.items())] = REGISTRY.get_sample_value(name, labels) or 0


@pytest.fixture
def counted():
    counted = Counted()
    for source in ("primary", "fallback", "mirror", "stale_mirror"):
        counted.begin("gateway_reads_served_total", route="route", **{"from": source})
    for reason in ("not_current", "no_answer"):
        counted.begin("gateway_reads_refused_total", route="route", reason=reason)
    for result in ("done", "again", "failed"):
        counted.begin("gateway_heal_objects_total", route="route", result=result)
    for result in ("copied", "deleted", "noop", "again", "failed"):
        counted.begin("gateway_mirror_objects_total", route="route", target="mirror", result=result)
    return counted


def served(counted, source):
    return counted("gateway_reads_served_total", route="route", **{"from": source})


async def put(world, at=AT, content=b"abc"):
    async def chunks():
        yield content

    await world.storage.put(at, Body(chunks(), len(content)))


async def test_reads_are_counted_by_where_they_were_served(counted):
    world = await World().ready(BUCKET)
    await put(world)
    await world.storage.head(AT)
    await world.mirrored()
    await world.fail()
    await world.storage.head(AT)
    await put(world, Address(BUCKET, "other"))
    await world.storage.head(Address(BUCKET, "other"))
    assert [served(counted, source) for source in ("primary", "mirror", "fallback")] == [1, 1, 1]


async def test_stale_reads_are_counted_apart(counted):
    world = await World(stale_reads=True).ready(BUCKET)
    await put(world)
    await world.mirrored()
    await world.journal.set_baseline("mirror", Baseline.INVALID)
    await world.fail()
    await world.storage.head(AT)
    assert served(counted, "stale_mirror") == 1


async def test_reads_that_nobody_can_answer_are_counted_by_reason(counted):
    world = await World().ready(BUCKET)
    await put(world)
    await world.fail()
    with pytest.raises(ServiceUnavailable):
        await world.storage.head(AT)
    await world.turn(2)
    with pytest.raises(ServiceUnavailable):
        await world.storage.head(AT)
    assert counted("gateway_reads_refused_total", route="route", reason="not_current") == 1
    assert counted("gateway_reads_refused_total", route="route", reason="no_answer") == 1


async def test_absence_is_no_refusal(counted):
    world = await World().ready(BUCKET)
    with pytest.raises(NoSuchKey):
        await world.storage.head(AT)
    assert counted("gateway_reads_refused_total", route="route", reason="no_answer") == 0


async def test_what_workers_do_is_counted_by_how_it_ends(counted):
    world = await World().ready(BUCKET)
    await world.fail()
    await put(world)
    await world.recover()
    world.mirror.fails(Fault.REFUSES)
    await world.mirrored()
    world.mirror.works()
    await world.heal()
    await world.mirrored()
    assert counted("gateway_heal_objects_total", route="route", result="done") == 1
    assert counted("gateway_mirror_objects_total", route="route", target="mirror", result="copied") == 1
    assert counted("gateway_mirror_objects_total", route="route", target="mirror", result="failed") >= 1


async def test_a_breaker_is_counted_while_it_is_open():
    inner = Faulty("breaks")
    storage = Breaking(inner, "node")

    def told(name, **labels):
        return REGISTRY.get_sample_value(name, {"backend": "breaks", "calls": "reads", **labels})

    assert told("gateway_breakers_open") == 0
    inner.fails(Fault.REFUSES)
    for _ in range(IN_A_ROW):
        with pytest.raises(ServiceUnavailable):
            await storage.list_buckets()
    assert told("gateway_breakers_open") == 1
    assert told("gateway_breaker_transitions_total", to="open") == 1
    inner.works()
    for _ in range(SUCCESSES):
        await storage._try(storage.reads, storage._read)
    assert told("gateway_breakers_open") == 0
    assert told("gateway_breaker_transitions_total", to="closed") == 1
