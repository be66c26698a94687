"""Thousands who hold connections and ask for nothing, or ever so slowly, keep nobody from his bytes."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import psutil
import pytest

from tests.cli.test_serve import waited_for
from tests.gateway_process import PATIENCE_S, GatewayProcess, running

IDLE, SLOW, DRIBBLING, TAKING = 5000, 200, 50, 50
LARGE = b"x" * 8_000_000
SLOWEST = 2.0  # seconds for one request of a client who asks as usual; alone, one takes some milliseconds
MOST = 250_000_000  # bytes of memory
LIMITS = {"header_timeout": "4s", "stall_timeout": "4s", "idle_timeout": "60s"}


@contextmanager
def descriptors() -> Iterator[None]:
    """Have room for so many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * IDLE:
        pytest.skip("there are too few file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(port, count, first=b""):
    """Return so many connections on each of which something was sent."""
    made = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
        client.sendall(first)
        client.setblocking(False)
        made.append(client)
    return made


def left(connections):
    """Return how many connections have not ended."""
    return sum(not _ended(client) for client in connections)


def _ended(client):
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def dribble(connections, done):
    while not done.wait(0.5):
        for client in connections:
            with suppress(OSError):
                client.send(b"x")


def asked(client, seconds):
    """Ask as usual for a while, and return how long each request took."""
    times, end = [], time.monotonic() + seconds
    calls = (
        lambda: client.put_object(Bucket="bucket", Key="own", Body=b"own"),
        lambda: client.get_object(Bucket="bucket", Key="own"),
        lambda: client.list_objects_v2(Bucket="bucket"),
    )
    while time.monotonic() < end:
        for call in calls:
            began = time.monotonic()
            call()
            times.append(time.monotonic() - began)
    return times


@pytest.mark.slow
def test_a_client_is_served_among_thousands_that_are_idle_and_hundreds_that_are_slow(tmp_path):
    buckets = {"*": {"backend": "disk"}, "public": {"backend": "disk", "public": "read"}}
    extra = {"limits": LIMITS, "buckets": buckets}
    with descriptors(), running(GatewayProcess(tmp_path, extra=extra)) as gateway:
        client, done = gateway.client(), Event()
        client.create_bucket(Bucket="bucket")
        client.create_bucket(Bucket="public")
        client.put_object(Bucket="public", Key="large", Body=LARGE)
        path = "/" + client.generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "slow"}).split("/", 3)[3]
        upload = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nContent-Length: 1000000\r\n\r\n".encode()

        idle = connected(gateway.port, IDLE)
        slow = connected(gateway.port, SLOW, b"GET /bucket/key HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        slow += connected(gateway.port, DRIBBLING, upload)
        taking = connected(gateway.port, TAKING, b"GET /public/large HTTP/1.1\r\nHost: a\r\n\r\n" * 4)
        dribbling = Thread(target=dribble, args=(slow, done))
        dribbling.start()
        try:
            times = asked(client, 6.0)
            memory = psutil.Process(gateway.process.pid).memory_info().rss
            waited_for(lambda: not left(slow))  # who is slow is let go
            waited_for(lambda: not left(taking))
            assert left(idle) == IDLE  # who is idle stays for as long as he may
        finally:
            done.set()
            dribbling.join()
            for connection in [*idle, *slow, *taking]:
                connection.close()
        assert len(times) > 30
        assert max(times) < SLOWEST
        assert memory < MOST
        assert "Traceback" not in gateway.log
