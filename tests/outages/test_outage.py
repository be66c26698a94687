"""The primary is gone for a while: what was acknowledged is there, what was deleted stays away, at every moment."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.history import sha256
from tests.outages.record import Record
from tests.outages.world import World, all_at_once

COUNT = int(os.environ.get("OUTAGE_WRITES", "60"))


@contextmanager
def polled(world: World, key: str) -> Iterator[set[bytes | int]]:
    """Read a key all the time; what was found is a body or a status."""
    found: set[bytes | int] = set()
    stop = threading.Event()

    def poll() -> None:
        while not stop.is_set():
            answer = world.client.get(key)
            found.add(answer.body if answer.ok else answer.status)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(60)


def test_after_a_few_refusals_writes_go_on_without_the_primary_and_are_there_when_it_is_back(world):
    bodies = {f"key {number}": os.urandom(1 + number * 100) for number in range(COUNT)}
    world.down()
    refused: list[float] = []  # when it was asked
    accepted: list[float] = []  # when it was answered

    def write(share: int) -> None:
        for key in list(bodies)[share::4]:
            while True:
                began = time.monotonic()
                answer = world.client.put(key, bodies[key])
                if answer.ok:
                    accepted.append(time.monotonic())
                    break
                assert answer.was_refused, answer
                refused.append(began)

    all_at_once([lambda share=share: write(share) for share in range(4)])
    assert refused
    assert max(refused) < min(accepted)
    assert {key: world.client.read(key).body for key in bodies} == bodies
    assert world.client.listing() == set(bodies)
    assert world.stored("primary") == {}

    world.up()
    world.check_settled({key: sha256(body) for key, body in bodies.items()})
    assert {key: world.client.read(key).body for key in list(bodies)[::10]} == {
        key: bodies[key] for key in list(bodies)[::10]
    }


def test_what_is_deleted_in_an_outage_is_absent_at_every_moment_from_then_on(world):
    world.client.put("deleted", b"old")
    world.client.put("kept", b"kept")
    world.await_settled()
    world.fail_over()
    assert world.client.delete("deleted").status == 204
    with polled(world, "deleted") as found:
        assert world.client.listing() == {"kept"}
        assert "deleted" in world.stored("primary")
        world.up()
        world.check_settled({"kept": sha256(b"kept")})
    assert found == {404}


def test_of_what_was_written_in_an_outage_only_the_last_state_is_ever_seen_again(world):
    record = Record()
    record.put(world.client, "key", b"before")
    world.await_settled()
    world.fail_over()
    record.put(world.client, "key", b"first")
    record.delete(world.client, "key")
    record.put(world.client, "key", b"last")
    with polled(world, "key") as found:
        world.up()
        world.check_settled({"key": sha256(b"last")})
    assert found == {b"last"}
    record.get(world.client, "key")
    record.check()
