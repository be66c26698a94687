"""A storage is asked for as much at once as it bears."""

import pytest
from prometheus_client import REGISTRY

from gateway.replication import window as module
from gateway.replication.healer import Healer
from gateway.replication.records import Mode
from gateway.replication.window import AT_ONCE, Window
from gateway.storage import Address
from tests.replication.scene import BUCKET


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set on."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(module, "_now", lambda: Clock.now)
    return Clock


def complain(window, clock, times):
    for _ in range(times):
        clock.now += 1
        window.complains()


def test_each_complaint_halves_it_and_one_is_always_left(clock):
    window, sizes = Window(), []
    for _ in range(7):
        complain(window, clock, 1)
        sizes.append(window.size)
    assert sizes == [16, 8, 4, 2, 1, 1, 1]


def test_those_who_fail_together_complain_once(clock):
    window = Window()
    for _ in range(AT_ONCE):
        window.complains()
    assert window.size == AT_ONCE // 2


def test_each_second_without_a_complaint_gives_one_back_and_never_too_many(clock):
    window = Window()
    complain(window, clock, 2)
    for _ in range(24):
        clock.now += 0.125
        window.bears()
    assert window.size == 11
    for _ in range(100):
        clock.now += 1
        window.bears()
    assert window.size == AT_ONCE


def test_time_in_which_nothing_was_asked_proves_nothing(clock):
    window = Window()
    complain(window, clock, 2)
    clock.now += 3600
    window.bears()
    assert window.size == 9


def test_what_was_heard_last_is_what_is_in_doubt(clock):
    window = Window()
    assert not window.in_doubt
    window.complains()
    assert window.in_doubt
    window.bears()
    assert not window.in_doubt


def test_it_is_told_and_taken_back(clock):
    labels = {"route": "windowed", "target": "r2"}
    old, new = Window(10, route="windowed", target="r2"), Window(20, route="windowed", target="r2")
    old.close()
    complain(new, clock, 1)
    assert REGISTRY.get_sample_value("gateway_copying_at_once", labels) == 10
    assert REGISTRY.get_sample_value("gateway_copying_halved_total", labels) == 1
    new.close()
    assert REGISTRY.get_sample_value("gateway_copying_at_once", labels) == 0


async def test_a_mirror_is_given_as_many_keys_at_once(scene, clock):
    for number in range(10):
        await scene.put(at=Address(BUCKET, f"key {number}"))
    window = Window(4)
    mirroring = scene.worker(window=window)
    assert await mirroring.round() == 4
    window.complains()
    assert await mirroring.round() == 2


async def test_a_primary_is_given_as_many_keys_at_once(scene, clock):
    await scene.fail_over()
    for number in range(10):
        await scene.put_on_fallback(at=Address(BUCKET, f"key {number}"))
    await scene.turn(Mode.HEALING)
    scene.store.later(scene.timing.hold + 1)
    window = Window(4)
    healer = Healer(scene.journal, scene.primary, scene.fallback, scene.timing, window=window)
    assert await healer.round() == 4
    window.complains()
    assert await healer.round() == 2
