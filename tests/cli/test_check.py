"""`gateway check` as people and programs run it."""

import json
import signal
import subprocess
import urllib.request

import pytest

from tests.cli.test_commands import gateway
from tests.doubles.moto import moto_server
from tests.gateway_process import GATEWAY, PATIENCE_S, free_port

SECRET = "a-secret-nobody-may-see"


@pytest.fixture
def configured(tmp_path):
    (tmp_path / "objects" / "media").mkdir(parents=True)

    def write(**backends):
        file = tmp_path / "c.yaml"
        said = {"disk": {"type": "local", "path": "objects"}, **backends}
        buckets = {"media": {"backend": "disk"}, **{f"{name}-bucket": {"backend": name} for name in backends}}
        file.write_text(json.dumps({"admin": "off", "backends": said, "buckets": buckets}))
        file.chmod(0o600)
        return tmp_path

    return write


def far(port, **more):
    return {
        "type": "s3",
        "endpoint": f"http://127.0.0.1:{port}",
        "access_key": "AKFAR",
        "secret_key": SECRET,
        "connect_timeout": "1s",
        **more,
    }


def asked(port, method):
    """Ask moto about the bucket; it wants no signature."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/far-bucket", method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def test_what_can_be_done_is_a_table(configured):
    folder = configured()
    done = gateway("check", "-c", "c.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.split("  ") for line in done.stdout.splitlines()]
    assert ["CAPABILITY", "DISK"] in [[cell.strip() for cell in line if cell] for line in lines]
    assert ["if-match", "yes"] in [[cell.strip() for cell in line if cell] for line in lines]
    assert list((folder / "objects" / "media").iterdir()) == []


def test_a_backend_that_is_not_there_is_told_with_its_place_and_the_others_are_tried(configured):
    port = free_port()
    folder = configured(far=far(port))
    done = gateway("check", "-c", "c.yaml", folder=folder)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("backends.far: reached: ")
    assert str(port) in line
    assert "put, get, head, delete" in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_offline_asks_nobody_anything(configured):
    folder = configured(far=far(free_port()))
    done = gateway("check", "--offline", "-c", "c.yaml", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "CAPABILITY" not in done.stdout
    assert ["far", "s3"] in [line.split() for line in done.stdout.splitlines()]
    assert not (folder / "objects" / ".gw").exists()


def test_the_result_is_a_document_for_programs(configured):
    folder = configured(far=far(free_port()))
    done = gateway("check", "--json", "-c", "c.yaml", folder=folder)
    told = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert (told["healthy"], len(told["problems"])) == (False, 1)
    assert told["backends"]["disk"]["checks"]["if-match"] == {"result": "yes", "reason": "", "problem": False}
    assert told["backends"]["disk"]["bucket"] == "media"
    assert SECRET not in done.stdout


def test_a_dialect_that_says_too_much_is_a_problem_and_the_right_one_is_none(configured):
    with moto_server() as port:
        folder = configured(far=far(port, dialect="aws", addressing="path"))
        asked(port, "PUT")
        done = gateway("check", "-c", "c.yaml", folder=folder)
        assert done.returncode == 1
        assert 'backends.far: checksum CRC32: the dialect "aws" says yes, the server no' in done.stderr
        configured(far=far(port, dialect="generic"))
        done = gateway("check", "-c", "c.yaml", folder=folder)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def interruptible():
    """Have what is started take a SIGINT: in the background of a shell all ignore it, and so do those they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_it_finds_nothing_of_it_left(configured, number):
    with moto_server() as port:
        folder = configured(far=far(port, dialect="generic"))
        asked(port, "PUT")
        process = subprocess.Popen(
            [GATEWAY, "check", "-c", "c.yaml"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while b"<Key>" not in asked(port, "GET"):
            assert process.poll() is None, "it was through before anybody could interrupt it"
        process.send_signal(number)
        _, told = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, told) == (130, b"interrupted; what was written is removed\n")
        assert b"<Key>" not in asked(port, "GET")
