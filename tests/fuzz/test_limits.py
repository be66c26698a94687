"""What strangers can make grow is limited: connections, memory, descriptors, files on their way."""

import os
import time

import psutil
import pytest

from tests.fuzz.attacked import PROBE, PROBED
from tests.gateway_process import PATIENCE_S

MIB = 1024 * 1024
BAD = b"GET /private/key HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def process(attacked):
    """The process of the gateway; after the attack it holds no more than before, and serves."""
    process = psutil.Process(attacked.gateway.process.pid)
    attacked.ask(PROBE)
    before = process.num_fds()
    yield process
    settled(lambda: process.num_fds() <= before)
    settled(lambda: temporary(attacked) == [])
    assert [reply.body for reply in attacked.ask(PROBE)] == [PROBED]


def settled(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def temporary(attacked):
    """Return the files on their way."""
    return [file for _, _, files in os.walk(attacked.gateway.objects / ".gw" / "tmp") for file in files]


def grown(process, before):
    return process.memory_info().rss - before


def send_until_stuck(client, data, most):
    """Send the same again and again, until the server takes no more for a while; return how much it took."""
    client.settimeout(0.5)
    sent = 0
    try:
        while sent < most:
            sent += client.send(data)
    except (TimeoutError, ConnectionError):
        pass
    return sent


@pytest.mark.parametrize(
    "request_", [PROBE, BAD, BAD.replace(b"GET", b"PUT"), b"OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n"]
)
def test_a_client_that_never_reads_its_answers_costs_little(attacked, process, request_):
    before = process.memory_info().rss
    with attacked.connect() as client:
        taken = send_until_stuck(client, request_ * 1000, 6 * MIB)
        assert grown(process, before) < 24 * MIB
    assert taken < 6 * MIB
