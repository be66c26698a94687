"""A disk is full: what cannot be kept is refused, what was acknowledged stays, and all goes on when there is room."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.behind import Behind
from tests.clients.files import hashes
from tests.faults.history import sha256
from tests.outages.world import eventually, outages

MIB = 1024 * 1024


@contextmanager
def disk(folder: Path, size: int = 4 * MIB) -> Iterator[Path]:
    """Mount a small disk."""
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    mounted = subprocess.run(mounting, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("nothing may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> Path:
    """Leave no room, but in the file that is returned."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler


def test_a_full_fallback_refuses_what_it_cannot_keep_and_takes_it_when_there_is_room(tmp_path):
    with disk(tmp_path / "disk") as small:
        there = Behind("local", {"type": "local", "path": str(small)}, lambda bucket, _: hashes(small / bucket))
        with outages(tmp_path, elsewhere={"fallback": there}) as world:
            world.await_baseline()
            kept = os.urandom(100_000)
            assert world.client.put("old", b"old").ok
            world.await_settled()
            world.fail_over()
            assert world.client.put("kept", kept).ok
            filler = fill(small)
            for key in ("kept", "old", "new"):
                assert world.client.put(key, os.urandom(100_000)).was_refused
            assert world.client.read("kept").body == kept
            assert world.client.read("old").body == b"old"
            assert world.client.read("new").status == 404
            assert world.client.delete("old").ok
            filler.unlink()
            eventually(lambda: world.client.put("new", b"new").ok)
            world.up()
            world.check_settled({"kept": sha256(kept), "new": sha256(b"new")})


def test_a_full_disk_of_the_state_refuses_writes_and_harms_nothing(tmp_path):
    with (
        disk(tmp_path / "disk") as small,
        outages(tmp_path, states=[f"sqlite:///{small}/state.db"]) as world,
    ):
        world.await_baseline()
        bodies = {"old": b"old"}
        assert world.client.put("old", b"old").ok
        world.await_settled()
        world.down("mirror")
        filler = fill(small)
        refused = 0
        for number in range(300):
            key, body = f"key {number}", os.urandom(100)
            answer = world.client.put(key, body, Metadata={"filling": "x" * 1500})
            assert answer.ok or answer.status >= 500
            if answer.ok:
                bodies[key] = body
            refused += answer.was_refused
            assert answer.ok or answer.was_refused
        assert refused
        filler.unlink()
        world.up("mirror")
        eventually(lambda: world.client.put("after", b"after").ok)
        bodies["after"] = b"after"
        world.check_settled({key: sha256(body) for key, body in bodies.items()})
