"""The database of a gateway is lost, or set back in time, in the middle of an outage: nothing acknowledged is."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.history import sha256
from tests.gateway_process import GATEWAY
from tests.outages.world import BUCKET, eventually, outages

pytestmark = pytest.mark.timeout(600)
MARKS = ("", "-wal", "-shm")


def file_of(world):
    return Path(world.state.removeprefix("sqlite:///"))


def lose(world):
    for mark in MARKS:
        Path(f"{file_of(world)}{mark}").unlink(missing_ok=True)


def rebuild(world, *options):
    command = [str(GATEWAY), "journal", "rebuild", BUCKET, "--config", str(world.gateway.folder / "config.yaml")]
    return subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=60)


def refused(answer):
    return answer.status == 503 and answer.headers.get("x-gw-reason") == "reconcile"


@pytest.fixture
def outage(tmp_path):
    """A gateway in an outage, which began when there were objects already."""
    with outages(tmp_path, hold="2s") as world:
        world.await_baseline()
        for key in ("kept", "overwritten", "deleted"):
            assert world.client.put(key, b"before").ok
        world.await_settled()
        world.fail_over()
        yield world


def write(world):
    """Write and delete through the gateway, and return what there must be in the end."""
    bodies = {f"new {number}": os.urandom(1000 + number) for number in range(20)}
    for key, body in bodies.items():
        assert world.client.put(key, b"first").ok
        assert world.client.put(key, body, Metadata={"number": key}, ContentType="text/x-number").ok
    assert world.client.put("overwritten", b"after").ok
    assert world.client.delete("deleted").status == 204
    assert world.client.put("passing", b"passing").ok
    assert world.client.delete("passing").status == 204
    uploaded = upload(world, "of parts")
    return bodies | {"overwritten": b"after", "kept": b"before", "of parts": uploaded}


def upload(world, key):
    body = os.urandom(5 * 1024 * 1024)
    begun = world.client.ask("create_multipart_upload", Key=key).said["UploadId"]
    parts = []
    for number, data in ((1, body), (2, b"end")):
        part = world.client.ask("upload_part", Key=key, UploadId=begun, PartNumber=number, Body=data)
        parts.append({"PartNumber": number, "ETag": part.said["ETag"]})
    assert world.client.ask("complete_multipart_upload", Key=key, UploadId=begun, MultipartUpload={"Parts": parts}).ok
    return body + b"end"


def check(world, expected):
    for key, body in expected.items():
        answer = world.client.read(key)  # the primary may have to be noticed first
        assert answer.body == body, key
        if key.startswith("new"):
            assert answer.said["Metadata"] == {"number": key}
            assert answer.said["ContentType"] == "text/x-number"
    assert world.client.get("deleted").status == 404
    world.check_settled({key: sha256(body) for key, body in expected.items()})
    eventually(lambda: not echoes(world))


def echoes(world):
    return [key for key in world._files("fallback") if key.startswith(".gw/echo/")]


@pytest.mark.parametrize("primary_is_back", [False, pytest.param(True, marks=pytest.mark.faults)])
def test_a_lost_database_is_rebuilt_from_the_fallback(outage, primary_is_back):
    world = outage
    expected = write(world)
    world.gateway.kill()
    lose(world)
    if primary_is_back:
        world.up()
    world.gateway.start()
    assert refused(world.client.put("kept", b"not to be written"))
    assert refused(world.client.delete("kept"))
    assert refused(world.client.get("kept"))
    assert refused(world.client.get("deleted"))
    assert "database_not_trusted" in world.gateway.log
    told = rebuild(world, "--dry-run")
    assert told.returncode == 0, told.stderr
    assert refused(world.client.get("kept"))
    told = rebuild(world)
    assert told.returncode == 0, told.stderr
    assert "HEALING" in told.stdout
    eventually(lambda: world.client.get("overwritten").body == b"after")
    assert world.client.get("deleted").status == 404
    world.up()
    check(world, expected)
    told = rebuild(world)
    assert told.returncode == 0
    assert "Nothing has to be rebuilt" in told.stdout


@pytest.mark.faults
def test_a_database_that_was_set_back_is_rebuilt_from_the_fallback(outage):
    world = outage
    for key in ("kept", "healed"):
        assert world.client.put(key, b"healed").ok
    assert world.client.delete("made again").status == 204
    world.gateway.kill()
    backup = world.gateway.folder / "backup"
    for mark in MARKS:
        if Path(f"{file_of(world)}{mark}").exists():
            shutil.copy(f"{file_of(world)}{mark}", f"{backup}{mark}")
    world.gateway.start()
    world.up()
    world.await_settled()
    assert world.client.put("healed", b"newer").ok
    assert world.client.put("made again", b"newer").ok
    world.await_settled()
    world.fail_over()
    expected = write(world) | {"healed": b"newer", "made again": b"newer", "kept": b"healed"}
    world.gateway.kill()
    lose(world)
    for mark in MARKS:
        if Path(f"{backup}{mark}").exists():
            shutil.copy(f"{backup}{mark}", f"{file_of(world)}{mark}")
    world.gateway.start()
    assert refused(world.client.put("kept", b"not to be written"))
    told = rebuild(world)
    assert told.returncode == 0, told.stderr
    world.up()
    check(world, expected)


@pytest.mark.faults
def test_a_gateway_that_was_never_here_starts_without_ado(tmp_path):
    with outages(tmp_path) as world:
        world.await_baseline()
        assert world.client.put("key", b"value").ok
        assert world.mode() == "NORMAL"
        eventually(lambda: f".gw/beacon/{BUCKET}" in world._files("fallback"))
        assert f".gw/beacon/{BUCKET}" in world._files("mirror")
        world.gateway.kill()
        world.gateway.start()
        assert world.client.read("key").body == b"value"
        assert "database_not_trusted" not in world.gateway.log
