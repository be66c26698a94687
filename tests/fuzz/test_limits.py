"""What strangers can make grow is limited: connections, memory, descriptors, files on their way."""

import os
import resource
import socket
import subprocess
import time

import psutil
import pytest

from tests.fuzz.attacked import LAST, PROBE, PROBED, Attacked, configuration, everything, head, surround
from tests.gateway_process import GATEWAY, PATIENCE_S, GatewayProcess

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


def test_idle_and_slow_clients_do_not_stop_a_normal_one(attacked, process):
    """Idle ones, slow with their headers, slow with their bodies, and slow to read what they asked for."""
    big = attacked.signed("PUT", "/open/big", [("content-length", str(64 * MIB))])
    with attacked.connect() as client:
        client.sendall(big + bytes(64 * MIB))
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
    before = process.memory_info().rss
    clients = [attacked.connect() for _ in range(1000)]
    try:
        for client in clients[:100]:
            client.sendall(b"GET /open/probe HTTP/1.1\r\nHo")
        for client in clients[100:200]:
            client.sendall(attacked.signed("PUT", "/private/slow", [("content-length", "1000000")]) + b"slow")
        for client in clients[200:300]:
            client.sendall(b"GET /open/big HTTP/1.1\r\nHost: a\r\n\r\n")
        started = time.monotonic()
        for number in range(20):
            clients[number].send(b"s")
            assert [reply.body for reply in attacked.ask(PROBE)] == [PROBED]
        assert time.monotonic() - started < 10
        assert grown(process, before) < 100 * MIB
    finally:
        for client in clients:
            client.close()
    settled(lambda: temporary(attacked) == [])
    assert attacked.one(attacked.signed("DELETE", "/open/big")).status == 204


@pytest.mark.parametrize("cut", [0, 1, 70_000, 900_000])
def test_clients_that_break_off_leave_nothing_open(attacked, process, cut):
    """Neither descriptors nor files: also if they break off with a reset."""
    for number in range(40):
        client = attacked.connect()
        client.sendall(attacked.signed("PUT", "/private/broken", [("content-length", "1000000")]) + bytes(cut))
        if number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    assert not (attacked.gateway.objects / "private" / "broken").exists()


def test_downloads_that_break_off_leave_nothing_open(attacked, process):
    data = bytes(8 * MIB)
    assert attacked.one(attacked.signed("PUT", "/open/long", [("content-length", str(len(data)))]) + data).status == 200
    for number in range(40):
        client = attacked.connect()
        client.sendall(head("GET", "/open/long", [("Host", "a")]))
        if number % 4:
            client.recv(100_000)
        if number % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
    assert attacked.one(attacked.signed("DELETE", "/open/long")).status == 204


def test_a_flood_of_headers_and_bodies_costs_little_memory(attacked, process):
    before = process.memory_info().rss
    for part in (b"x" * 1000, b"a: b\r\n" * 100, b"\r\n" * 100, b"1;" + b"x" * 1000):
        with attacked.connect() as client:
            start = b"PUT /open/x HTTP/1.1\r\nHost: a\r\n" + (
                b"Transfer-Encoding: chunked\r\n\r\n" if part[:1] == b"1" else b""
            )
            client.sendall(start)
            send_until_stuck(client, part, 4 * MIB)
    assert grown(process, before) < 24 * MIB


def test_more_files_may_be_open_than_a_shell_allows_at_first(tmp_path):
    """Else a thousand idle connections are enough to keep all others out."""
    site = GatewayProcess(tmp_path, extra=configuration(tmp_path))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        site.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert resource.prlimit(site.process.pid, resource.RLIMIT_NOFILE)[0] == hard
    finally:
        site.kill()


def test_connections_beyond_the_limit_are_told_so_and_leave_room_for_files(tmp_path):
    """Where the system gives few descriptors, they are not all spent on connections."""
    site = GatewayProcess(tmp_path, extra=configuration(tmp_path))
    surround(tmp_path)
    command = f"ulimit -n 128; exec {GATEWAY} serve --config {tmp_path}/config.yaml 2> {tmp_path}/log"
    process = subprocess.Popen(["sh", "-c", command], stdout=subprocess.DEVNULL)
    attacked, clients = Attacked(site), []
    try:
        settled(site.ready)
        clients.append(attacked.connect())
        clients += [attacked.connect() for _ in range(200)]
        told = clients[-1].recv(1000)
        assert told.startswith(b"HTTP/1.1 503 ")
        clients[0].sendall(LAST)
        assert PROBED in everything(clients[0])
    finally:
        for client in clients:
            client.close()
        process.kill()
        process.wait()
