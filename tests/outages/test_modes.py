"""What holds in every mode."""

import pytest

from tests.faults.history import sha256
from tests.faults.proxy import Fault
from tests.outages.world import World, all_at_once, eventually


def enter(world: World, mode: str) -> None:
    """Have a mode, and keep it: a key that cannot be healed keeps HEALING."""
    if mode == "NORMAL":
        return
    world.fail_over()
    if mode == "HEALING":
        assert world.client.put("waits", b"waits").ok
        world.down("fallback")
        world.up()
        world.await_mode("HEALING")


def create_at_once(world: World, key: str) -> None:
    """Have eight clients create a key; where all are told to try again, one does."""
    bodies = [f"client {number}".encode() for number in range(8)]
    answers = all_at_once([lambda body=body: world.client.put(key, body, IfNoneMatch="*") for body in bodies])
    assert {answer.status for answer in answers} <= {200, 409, 412, 503}, answers
    won = [body for body, answer in zip(bodies, answers, strict=True) if answer.ok]
    assert len(won) <= 1
    if not won:
        eventually(lambda: world.client.put(key, b"again", IfNoneMatch="*").ok)
    eventually(lambda: world.client.get(key).body == (won or [b"again"])[0])
    eventually(lambda: world.client.put(key, b"late", IfNoneMatch="*").status == 412)


@pytest.mark.parametrize("mode", ["NORMAL", "FAILOVER", pytest.param("HEALING", marks=pytest.mark.faults)])
def test_of_clients_that_create_a_key_at_once_exactly_one_succeeds(world, mode):
    enter(world, mode)
    for key in ("first", "second", "third"):
        create_at_once(world, key)


def model(keys: set[str], prefix: str, delimiter: str) -> list[str]:
    found = set()
    for key in keys:
        if key.startswith(prefix):
            head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key[len(prefix) :], "", "")
            found.add(prefix + head + cut)
    return sorted(found, key=str.encode)


def pages(world: World, **query):
    token = {}
    while True:
        answer = world.client.ask("list_objects_v2", **query, **token)
        if not answer.ok:
            assert answer.status == 503
            continue
        names = [entry["Key"] for entry in answer.said.get("Contents", ())]
        names += [entry["Prefix"] for entry in answer.said.get("CommonPrefixes", ())]
        yield sorted(names, key=str.encode)
        if not answer.said["IsTruncated"]:
            return
        token = {"ContinuationToken": answer.said["NextContinuationToken"]}


def check_listings(world: World, keys: set[str]) -> None:
    for prefix, delimiter, limit in (("", "", 2), ("", "/", 1), ("a/", "/", 3), ("", "/", 1000), ("gone/", "", 1)):
        found = [item for page in pages(world, Prefix=prefix, Delimiter=delimiter, MaxKeys=limit) for item in page]
        assert found == model(keys, prefix, delimiter), (prefix, delimiter, limit, world.mode())


def test_listings_say_the_same_in_every_mode_and_across_their_changes(world):
    before = {"a/1", "a/2", "a/b/1", "b", "gone/1", "gone/2", "z", "é"}
    for key in before:
        assert world.client.put(key, b"old").ok
    world.await_settled()
    check_listings(world, before)
    across = pages(world, MaxKeys=1)
    assert next(across) == ["a/1"]

    world.fail_over()
    assert next(across) == ["a/2"]
    for key in ("gone/1", "gone/2", "a/1"):
        assert world.client.delete(key).ok
    for key in ("a/3", "new/1", "z"):
        assert world.client.put(key, b"new").ok
    now = before - {"gone/1", "gone/2", "a/1"} | {"a/3", "new/1"}
    check_listings(world, now)
    assert next(across) == ["a/3"]

    world.up(fault=Fault(delay=0.1))
    world.await_mode("HEALING", "NORMAL")
    assert next(across) == ["a/b/1"]
    world.up()
    check_listings(world, now)
    assert next(across) == ["b"]
    world.await_settled()
    assert [item for page in across for item in page] == ["new/1", "z", "é"]
    check_listings(world, now)
    world.check_settled({key: sha256(b"old" if key in before - {"z"} else b"new") for key in now})
