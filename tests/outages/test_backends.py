"""The same with storages of other kinds: what one of them says in its own way is understood all the same."""

import os
from contextlib import ExitStack

import pytest

from tests.behind import behind
from tests.faults.history import sha256
from tests.outages.record import Record
from tests.outages.world import eventually, outages


@pytest.mark.parametrize(
    "kinds",
    [
        {"mirror": "gcs"},
        pytest.param({"primary": "gcs", "mirror": "s3-moto"}, marks=pytest.mark.faults),
        pytest.param({"primary": "s3-moto", "fallback": "gcs"}, marks=pytest.mark.faults),
    ],
    ids=lambda kinds: " ".join(f"{place}={kind}" for place, kind in kinds.items()),
)
def test_an_outage_in_front_of_other_storages_loses_nothing(tmp_path, kinds):
    record = Record()
    with ExitStack() as opened:
        elsewhere = {}
        for place, kind in kinds.items():
            (tmp_path / place).mkdir()
            elsewhere[place] = opened.enter_context(behind(kind, tmp_path / place))
        world = opened.enter_context(outages(tmp_path, elsewhere=elsewhere))
        world.await_baseline()
        bodies = {f"key {number}": os.urandom(number * 1000) for number in range(20)}
        for key, body in bodies.items():
            eventually(lambda key=key, body=body: record.put(world.client, key, body).ok)
        world.await_settled()
        world.fail_over()
        assert {key: record.get(world.client, key).body for key in bodies} == bodies
        assert record.put(world.client, "key 1", b"in the outage").ok
        assert record.put(world.client, "new", b"in the outage").ok
        assert record.delete(world.client, "key 2").ok
        assert world.client.listing() == set(bodies) - {"key 2"} | {"new"}
        world.up()
        expected = bodies | {"key 1": b"in the outage", "new": b"in the outage"}
        del expected["key 2"]
        world.check_settled({key: sha256(body) for key, body in expected.items()})
        for key in bodies:
            record.get(world.client, key)
        record.check()
