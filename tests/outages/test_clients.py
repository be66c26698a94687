"""Clients break off what they send: no storage is blamed, nothing half is seen, nothing is left behind."""

import http.client
import os
from urllib.parse import urlsplit

import pytest

from tests.faults.history import sha256
from tests.outages.world import BUCKET, World, eventually

COUNT = int(os.environ.get("OUTAGE_WRITES", "60"))


def break_off(world: World, key: str) -> None:
    """Send half of a body, and go."""
    signed = world.gateway.client(signature_version="s3v4").generate_presigned_url
    target = urlsplit(signed("put_object", Params={"Bucket": BUCKET, "Key": key}))
    connection = http.client.HTTPConnection("127.0.0.1", world.gateway.port, timeout=30)
    connection.putrequest("PUT", f"{target.path}?{target.query}")
    connection.putheader("Content-Length", "200000")
    connection.endheaders()
    connection.send(bytes(100_000))
    connection.close()


@pytest.mark.parametrize("mode", ["NORMAL", pytest.param("FAILOVER", marks=pytest.mark.faults)])
def test_clients_that_go_in_the_middle_of_a_body_leave_nothing_and_blame_no_storage(world, mode):
    assert world.client.put("key 0", b"old").ok
    world.await_settled()
    if mode == "FAILOVER":
        world.fail_over()
    for number in range(COUNT):
        break_off(world, f"key {number}")
    assert world.client.put("after", b"value").ok
    assert world.mode() == mode
    eventually(lambda: not world.left()["op"], world.left)
    assert world.client.listing() == {"key 0", "after"}
    assert world.client.get("key 0").body == b"old"
    if mode == "FAILOVER":
        world.up()
    world.check_settled({"key 0": sha256(b"old"), "after": sha256(b"value")})
