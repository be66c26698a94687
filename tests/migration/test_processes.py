"""`gateway migrate` as people run it, from a disk to an S3 server, killed again and again."""

import asyncio
import json
import os
import random
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from gateway.backends.local import open_local
from gateway.backends.s3.backend import open_s3
from gateway.migration.copying import beside, is_copy_of
from gateway.storage import Address, ListQuery, WriteOptions
from tests.backends.given import NASTY, completed, keys, put, read, some
from tests.gateway_process import PATIENCE_S, GatewayProcess, running
from tests.replication.scene import MIB, parts

KILLS = 20
KEYS = [key for key in NASTY if key.count("/") < 100]  # pytest cannot remove folders that lie deeper
DESIGNS = 120
COUNT = len(KEYS) + DESIGNS + 2
SAID = WriteOptions(
    {"content-type": "image/png", "cache-control": "no-store"}, {"farbe": "blå 😀", "plain": "yes"}, {"owner": "me"}
)


class Commands:
    """Runs commands, one at a time, with a configuration of a disk "old" and an S3 server "new".

    Each test moves a bucket of its own.
    """

    bucket = ""

    def __init__(self, folder: Path, server: GatewayProcess) -> None:
        self.old, self.new, self._output = folder / "old", server.objects, folder / "output"
        self.server = {
            "endpoint": server.endpoint,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "dialect": "aws",
            "addressing": "path",
        }
        disk = {"type": "local", "path": str(self.old), "fsync": False}
        backends = {"old": disk, "new": {"type": "s3", **self.server}}
        self._config = folder / "migrate.yaml"
        self._config.write_text(yaml.safe_dump({"backends": backends, "buckets": {"*": {"backend": "old"}}}))
        self._config.chmod(0o600)
        script = [sys.executable, str(Path(__file__).parent / "forked.py")]
        self.process = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def at(self, key: str) -> Address:
        """Return where an object is, on both sides."""
        return Address(self.bucket, key)

    def begin(self, command: str, *options: str) -> int:
        """Begin a command, and return the id of its process."""
        self._output.unlink(missing_ok=True)
        said = ["migrate", command, f"old:{self.bucket}", f"new:{self.bucket}", *options, "--config", str(self._config)]
        self.process.stdin.write(json.dumps([*said, str(self._output)]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def ended(self) -> int:
        """Return the exit status."""
        return int(self.process.stdout.readline())

    def run(self, command: str, *options: str) -> tuple[int, list[str]]:
        """Return exit status and lines, without the reasons in them."""
        self.begin(command, *options)
        return self.ended(), [line.split("\t")[0] for line in self.lines()]

    def await_lines(self, count: int) -> None:
        """Return when so many lines were printed."""
        deadline = time.monotonic() + PATIENCE_S
        while len(self.lines()) < count:
            assert time.monotonic() < deadline, self.lines()
            time.sleep(0.002)

    def lines(self) -> list[str]:
        """Return what was printed so far."""
        return self._output.read_text().splitlines() if self._output.exists() else []


@pytest.fixture(scope="module")
def all_commands(tmp_path_factory):
    folder = tmp_path_factory.mktemp("migration")
    with running(GatewayProcess(folder / "server")) as server:
        commands = Commands(folder, server)
        with commands.process:
            yield commands


@pytest.fixture
def commands(all_commands):
    all_commands.bucket = f"bucket-{secrets.token_hex(4)}"
    return all_commands


def work(commands, do):
    """Do something with the disk and the server."""

    async def done():
        async with open_local("old", commands.old, fsync=False) as old, open_s3("new", **commands.server) as new:
            return await do(commands, old, new)

    return asyncio.run(done())


async def fill(commands, old, _):
    """Store objects of all kinds."""
    await old.create_bucket(commands.bucket, {})
    for number, key in enumerate(KEYS):
        await put(old, commands.at(key), some(number), SAID if number % 2 else WriteOptions())
    for number in range(DESIGNS):
        await put(old, commands.at(f"designs/{number}.png"), some(1000 * number), SAID)
    await put(old, commands.at("large"), some(5 * MIB), WriteOptions(checksum="SHA256"))
    await completed(old, commands.at("of parts"), parts([5 * MIB, 5 * MIB + 7, 3]), SAID)


async def check_copies(commands, old, new):
    """Assert that the server has what the disk has, to the last byte and header."""
    names = await keys(old, commands.bucket, ListQuery())
    assert await keys(new, commands.bucket, ListQuery()) == names
    for name in names:
        one, other = await old.head(commands.at(name)), await new.head(commands.at(name))
        assert is_copy_of(other, one)
        assert (one.etag, one.checksum, beside(one)) == (other.etag, other.checksum, beside(other))
        assert await read(old, commands.at(name)) == await read(new, commands.at(name))


def tree(folder):
    """Return all files in a folder, to the nanosecond."""
    paths = [Path(place, name) for place, _, names in os.walk(folder) for name in names]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_killed_again_and_again_it_copies_all_and_nothing_twice(commands):
    chance = random.Random(8)
    work(commands, fill)
    copied = []
    for _ in range(KILLS):
        child = commands.begin("copy", "--jobs", "3")
        commands.await_lines(chance.randrange(8))
        time.sleep(chance.random() / 50)  # anywhere in the next keys
        os.kill(child, signal.SIGKILL)
        assert commands.ended() == -signal.SIGKILL
        copied += commands.lines()
    assert 0 < len(copied) < COUNT
    status, lines = commands.run("copy")
    copied += lines[:-1]
    assert status == 0
    assert {line[:2] for line in copied} == {"+ "}
    assert len(copied) == len(set(copied))  # a key that was done was not copied again
    work(commands, check_copies)
    assert commands.run("verify", "--level", "L2")[0] == 0
    before = tree(commands.new)
    assert commands.run("copy") == (0, [f"{COUNT} keys, {COUNT} there already, 0 B"])
    assert tree(commands.new) == before


def test_a_dry_run_leaves_both_sides_as_they_are(commands):
    work(commands, fill)
    before = tree(commands.old), tree(commands.new)
    status, lines = commands.run("copy", "--dry-run")
    assert (status, len(lines)) == (0, COUNT + 1)
    assert lines[-1].startswith(f"{COUNT} keys, {COUNT} to be copied, ")
    assert (tree(commands.old), tree(commands.new)) == before
    assert commands.run("copy", "--prefix", "designs/1")[0] == 0
    before = tree(commands.old), tree(commands.new)
    assert commands.run("delete-source", "--dry-run", "--min-age", "0s")[0] == 1
    assert commands.run("verify", "--level", "L0")[0] == 1
    assert (tree(commands.old), tree(commands.new)) == before


async def change(commands, old, new):
    """Write to both sides what a copy is not to hide, and return what is to stay at the old one then."""
    await put(old, commands.at("designs/1.png"), b"changed at its source", SAID)
    await put(old, commands.at("designs/2.png"), some(2000), WriteOptions(metadata={"changed": "yes"}))
    await put(old, commands.at("never copied"), b"new")
    await put(new, commands.at("designs/3.png"), b"a client's own", SAID)
    await new.delete(commands.at("designs/4.png"))
    return {"designs/1.png", "designs/2.png", "designs/3.png", "designs/4.png", "never copied"}


def test_only_what_was_copied_as_it_is_and_is_old_enough_is_deleted_from_the_source(commands):
    work(commands, fill)
    assert commands.run("copy")[0] == 0
    before = tree(commands.old)
    status, lines = commands.run("delete-source", "--yes")
    assert (status, {line[:2] for line in lines[:-1]}) == (1, {"~ "})  # all of it is younger than a day
    assert commands.run("delete-source", "--min-age", "0s")[0] == 1  # nobody is there to be asked
    assert tree(commands.old) == before

    stays = work(commands, change)
    status, lines = commands.run("delete-source", "--min-age", "0s", "--yes")
    assert status == 1
    assert {line[2:] for line in lines if line.startswith("~ ")} == stays
    assert sum(line.startswith("- ") for line in lines) == COUNT + 1 - len(stays)
    assert set(work(commands, listed)) == stays

    assert commands.run("copy")[0] == 1  # somebody's own object is in the way
    assert commands.run("verify", "--prefix", "designs/1.png")[0] == 0
    assert work(commands, overwritten) == b"a client's own"


async def listed(commands, old, _):
    return await keys(old, commands.bucket, ListQuery())


async def overwritten(commands, _, new):
    return await read(new, commands.at("designs/3.png"))
