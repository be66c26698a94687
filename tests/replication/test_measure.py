"""The gauges say what the journal says, and one of them that it says nothing."""

from prometheus_client import REGISTRY

from gateway import metrics
from gateway.replication.measure import Measure
from gateway.replication.records import Baseline, Kind, Mode, Outcome
from gateway.state.store import StateUnavailable
from tests.replication.given import KEY, committed, failed_over, info, journal, settled


def value(name, **labels):
    return REGISTRY.get_sample_value(f"gateway_{name}", labels)


async def test_a_route_without_history_is_normal_and_nothing_is_lacking(store):
    await Measure(journal(store, route="quiet")).round()
    assert [value("route_mode", route="quiet", mode=mode.name) for mode in Mode] == [1, 0, 0, 0]
    assert value("unhealed_objects", route="quiet", state="object") == 0
    assert value("mirror_pending_objects", route="quiet", target="copy") == 0
    assert value("mirror_baseline_complete", route="quiet", target="copy") == 0
    assert value("mirror_paused", route="quiet", target="copy") == 0
    assert value("route_mode_changes_total", route="quiet") == 0
    assert value("state_up", route="quiet") == 1


def test_a_gateway_without_replicated_buckets_says_nothing_of_a_database():
    [told] = metrics.STATE_UP.collect()
    assert all(sample.labels for sample in told.samples)


async def test_what_the_primary_lacks_is_told_with_its_age(store):
    here = await failed_over(store, route="down")
    await committed(here)
    await here.bury([KEY._replace(key="other")])
    store.later(100)
    await Measure(here).round()
    assert [value("route_mode", route="down", mode=mode.name) for mode in Mode] == [0, 1, 0, 0]
    assert value("unhealed_objects", route="down", state="object") == 1
    assert value("unhealed_objects", route="down", state="deleted") == 1
    assert value("unhealed_bytes", route="down") == 3
    assert 100 <= value("unhealed_oldest_seconds", route="down") < 110


async def test_buckets_that_the_primary_lacks_are_told(store):
    here = await failed_over(store, route="buckets")
    await here.buckets.know([], all_=True)
    await here.buckets.make("new", {})
    await Measure(here).round()
    assert value("unhealed_buckets", route="buckets") == 1


async def test_what_a_mirror_lacks_is_told_with_its_age(store):
    here = journal(store, route="behind")
    op = await here.begin(KEY, Kind.PUT)
    await settled(here, (op, Outcome.APPLIED, info()))
    await here.set_baseline("copy", Baseline.COMPLETE)
    await here.pause("vault")
    store.later(100)
    await Measure(here).round()
    for target in ("copy", "vault"):
        assert value("mirror_pending_objects", route="behind", target=target) == 1
        assert value("mirror_pending_bytes", route="behind", target=target) == 3
        assert 100 <= value("mirror_oldest_pending_seconds", route="behind", target=target) < 110
        assert value("mirror_dead_objects", route="behind", target=target) == 0
    assert value("mirror_baseline_complete", route="behind", target="copy") == 1
    assert value("mirror_paused", route="behind", target="vault") == 1
    assert value("mirror_overflowed", route="behind", target="copy") == 0
    await here.excess.begin("copy")
    await Measure(here).round()
    assert value("mirror_overflowed", route="behind", target="copy") == 1


async def test_changes_of_the_mode_are_counted_from_when_it_is_first_looked_at(store):
    here = await failed_over(store, route="changing")
    measure = Measure(here)
    await measure.round()
    before = value("route_mode_changes_total", route="changing")
    await here.turn(Mode.HEALING, "a test")
    await here.turn(Mode.FAILOVER, "a test")
    await measure.round()
    assert value("route_mode_changes_total", route="changing") == before + 2


async def test_a_database_that_does_not_answer_is_told_and_the_other_gauges_stay(store):
    measure = Measure(await failed_over(store, route="lost"))
    await measure.round()

    class Lost:
        async def read(self, work):
            raise StateUnavailable

    measure._journal._store = Lost()
    await measure.round()
    assert value("state_up", route="lost") == 0
    assert value("route_mode", route="lost", mode="FAILOVER") == 1


async def test_commits_are_timed(store):
    before = value("state_commit_seconds_count")
    await journal(store).pause("copy")
    assert value("state_commit_seconds_count") == before + 1
