"""moto's S3 server in a process of its own. It checks no signature, no digest and no checksum."""

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.gateway_process import free_port

PATIENCE_S = 60


@contextlib.contextmanager
def moto_server() -> Iterator[int]:
    """Start a server, and give its port."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _answers(port):
            assert process.poll() is None, "moto ended"
            assert time.monotonic() < deadline, "moto does not answer"
            time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait(PATIENCE_S)


def reset(port: int) -> None:
    """Forget everything."""
    _ask(port, "POST", "/moto-api/reset")


def _answers(port: int) -> bool:
    try:
        return _ask(port, "GET", "/moto-api/") < 500
    except OSError:
        return False


def _ask(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()
