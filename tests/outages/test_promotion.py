"""The primary is lost for good: a mirror takes its place, and what was written meanwhile comes there from the fallback.

These are the steps of docs/disaster-recovery.md.
"""

import pytest
import yaml

from tests.clients.files import hashes
from tests.outages.world import BUCKET, eventually, outages

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def world(tmp_path):
    with outages(tmp_path) as world:
        world.await_baseline()
        yield world


def promote(gateway, new_mirror) -> None:
    """Say in the configuration that the mirror is the primary, and the storage that was found for it the mirror."""
    file = gateway.folder / "config.yaml"
    config = yaml.safe_load(file.read_text())
    bucket = config["buckets"][BUCKET]
    bucket["backend"], bucket["name"] = "mirror", "mirror"
    config["backends"]["fresh"] = {"type": "local", "path": str(new_mirror)}
    bucket["mirrors"] = ["fresh"]
    file.write_text(yaml.safe_dump(config))


def test_a_mirror_takes_the_place_of_a_primary_that_is_lost(world, tmp_path):
    client, gateway = world.client, world.gateway
    for key in ("kept", "replaced", "deleted"):
        assert client.put(key, b"before").ok
    world.await_settled()
    world.fail_over()
    for key in ("replaced", "new"):
        eventually(lambda key=key: client.put(key, b"during").ok)
    eventually(lambda: client.delete("deleted").ok)
    assert gateway.stop() == 0
    promote(gateway, tmp_path / "fresh")
    gateway.start()
    eventually(lambda: world.mode() == "NORMAL", lambda: gateway.log[-3000:])
    expected = {"kept": b"before", "replaced": b"during", "new": b"during"}
    assert {key: client.read(key).body for key in expected} == expected
    assert client.get("deleted").status == 404
    assert client.listing() == set(expected)
    assert set(world.stored("mirror")) == set(expected)
    eventually(lambda: world.staged() == set())
    eventually(lambda: visible(tmp_path / "fresh" / BUCKET) == world.stored("mirror"))


def visible(folder):
    return {key: sha256 for key, sha256 in hashes(folder).items() if not key.startswith(".gw/")}
