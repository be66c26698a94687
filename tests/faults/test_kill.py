"""The real process, killed while it writes: what was acknowledged is there, whole, and nothing else is."""

import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.faults.history import Clients, History
from tests.gateway_process import GatewayProcess, running

BUCKET = "photos"
PATIENCE_S = 30


@pytest.mark.parametrize("acknowledged", [5, 60, 140])
def test_a_killed_gateway_has_every_acknowledged_write_and_nothing_half_written(tmp_path: Path, acknowledged: int):
    history, gateway = History(), GatewayProcess(tmp_path)
    with running(gateway):
        gateway.client().create_bucket(Bucket=BUCKET)
        writing = _in_background(lambda: Clients(gateway.client(), BUCKET, history).write_at_random(acknowledged))
        history.await_acknowledged(acknowledged)
        gateway.kill()
        writing.join(PATIENCE_S)
        assert any(write.ended is None for write in history.writes)

        gateway.start()
        Clients(gateway.client(), BUCKET, history).check()
        _give_up_open_uploads(gateway)
        assert _files(gateway) == _listed(gateway)


def test_a_killed_worker_loses_no_acknowledged_write_and_is_replaced(tmp_path: Path):
    history, gateway = History(), GatewayProcess(tmp_path, extra={"workers": 2})
    with running(gateway):
        gateway.client().create_bucket(Bucket=BUCKET)
        writing = _in_background(lambda: Clients(gateway.client(), BUCKET, history).write_at_random(7))
        history.await_acknowledged(40)
        before = _children(gateway)
        os.kill(_serving(gateway), signal.SIGKILL)
        history.await_acknowledged(80)
        writing.join(PATIENCE_S)

        Clients(gateway.client(), BUCKET, history).check()
        _eventually(lambda: len(_children(gateway)) == len(before) and _children(gateway) != before)
        assert gateway.stop() == 0


def test_sigterm_loses_no_acknowledged_write(tmp_path: Path):
    history, gateway = History(), GatewayProcess(tmp_path)
    with running(gateway):
        gateway.client().create_bucket(Bucket=BUCKET)
        writing = _in_background(lambda: Clients(gateway.client(), BUCKET, history).write_at_random(3))
        history.await_acknowledged(50)
        assert gateway.stop() == 0
        writing.join(PATIENCE_S)

        gateway.start()
        Clients(gateway.client(), BUCKET, history).check()


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_lets_an_upload_in_flight_finish_and_refuses_new_connections(tmp_path: Path, workers: int):
    gateway, content = GatewayProcess(tmp_path, extra={"workers": workers}), os.urandom(4 * 1024**2)
    with running(gateway):
        gateway.client().create_bucket(Bucket=BUCKET)
        upload = _half_an_upload(gateway, content)
        gateway.process.terminate()
        _eventually(lambda: not _accepts(gateway))
        upload.send(content[len(content) // 2 :])
        assert upload.getresponse().status == 200
        upload.close()
        assert gateway.process.wait(PATIENCE_S) == 0

        gateway.start()
        assert gateway.client().get_object(Bucket=BUCKET, Key="large")["Body"].read() == content


def _half_an_upload(gateway: GatewayProcess, content: bytes) -> http.client.HTTPConnection:
    """Send half a body, once the gateway has said that it wants it."""
    url = gateway.client(signature_version="s3v4").generate_presigned_url(
        "put_object", Params={"Bucket": BUCKET, "Key": "large"}
    )
    target = urlsplit(url)
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE_S)
    connection.putrequest("PUT", f"{target.path}?{target.query}")
    connection.putheader("Content-Length", str(len(content)))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert b"100 Continue" in connection.sock.recv(1000)
    connection.send(content[: len(content) // 2])
    return connection


def _in_background(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _accepts(gateway: GatewayProcess) -> bool:
    try:
        socket.create_connection(("127.0.0.1", gateway.port), timeout=1).close()
    except OSError:
        return False
    return True


def _children(gateway: GatewayProcess) -> set[int]:
    return {child.pid for child in psutil.Process(gateway.process.pid).children()}


def _serving(gateway: GatewayProcess) -> int:
    """Return a process that has a connection of a client."""
    for child in psutil.Process(gateway.process.pid).children():
        if gateway.port in {connection.laddr.port for connection in child.net_connections() if connection.raddr}:
            return child.pid
    raise AssertionError("no process serves anyone")


def _give_up_open_uploads(gateway: GatewayProcess) -> None:
    client = gateway.client()
    for upload in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])


def _listed(gateway: GatewayProcess) -> set[str]:
    return {entry["Key"] for entry in gateway.client().list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def _files(gateway: GatewayProcess) -> set[str]:
    """Return the files of the bucket, and those that only an unfinished write may need."""
    bucket, own = gateway.objects / BUCKET, gateway.objects / ".gw"
    files = {str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file()}
    unfinished = [path for name in ("tmp", "uploads") for path in (own / name).rglob("*") if path.is_file()]
    return files | {str(path) for path in unfinished}
