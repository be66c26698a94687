"""Signals that reach every process at once: from a terminal, or from a service manager for the whole control group."""

import os
import signal
import socket
import time

import pytest

from tests.gateway_process import PATIENCE_S, GatewayProcess, running

SIZE = 100_000


@pytest.fixture
def pair(tmp_path):
    with running(GatewayProcess(tmp_path, extra={"workers": 2, "buckets": {"*": {"backend": "disk"}}})) as process:
        process.client().create_bucket(Bucket="bucket")
        yield process


def begun_upload(gateway):
    """Return the connection of an upload of which half is sent."""
    url = gateway.client().generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "key"})
    client = socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_S)
    path = "/" + url.split("/", 3)[3]
    head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nContent-Length: {SIZE}\r\n"
    client.sendall(head.encode() + b"Expect: 100-continue\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
    client.sendall(b"x" * (SIZE // 2))
    return client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_under_way_is_finished_when_every_process_is_told_to_end(pair, number):
    with begun_upload(pair) as client:
        os.killpg(pair.process.pid, number)
        deadline = time.monotonic() + PATIENCE_S
        while pair.log.count('"draining"') < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        client.sendall(b"x" * (SIZE // 2))
        assert client.recv(10_000).startswith(b"HTTP/1.1 200 ")
    assert pair.process.wait(PATIENCE_S) == 0
    assert (pair.objects / "bucket" / "key").read_bytes() == b"x" * SIZE


def test_a_second_signal_ends_everything_at_once(pair):
    with begun_upload(pair):
        pair.process.terminate()
        while '"draining"' not in pair.log:
            time.sleep(0.01)
        pair.process.terminate()
        assert pair.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
