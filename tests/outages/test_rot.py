"""Objects of a mirror go bad on the disk that it is, and nothing but their bytes tells of that."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from click.testing import CliRunner

from gateway.cli import main
from tests.behind import behind
from tests.outages.world import BUCKET, eventually, outages


@contextmanager
def unnoticed(file) -> Iterator[None]:
    """Have a file change while the time at which it did so stays what it was, as a disk that fails leaves it."""
    was = file.stat()
    yield
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))


def flip(file):
    """Let one bit be another."""
    with unnoticed(file), file.open("r+b") as content:
        content.seek(file.stat().st_size // 2)
        [byte] = content.read(1)
        content.seek(-1, os.SEEK_CUR)
        content.write(bytes([byte ^ 1]))


def truncate(file):
    """Let the second half be gone."""
    with unnoticed(file):
        os.truncate(file, file.stat().st_size // 2)


def run(world, *arguments):
    """Run a command in this process: to start one costs a second."""
    done = CliRunner().invoke(main, ["mirror", *arguments, "--config", str(world.gateway.folder / "config.yaml")])
    return done.exit_code, done.stdout.splitlines()


def test_objects_that_went_bad_on_the_disk_of_a_mirror_are_found_and_mended_from_the_primary(tmp_path):
    (tmp_path / "behind").mkdir()
    with behind("local", tmp_path / "behind") as mirror, outages(tmp_path, elsewhere={"mirror": mirror}) as world:
        world.await_baseline()
        for key in ("flipped", "truncated", "whole"):
            assert world.client.put(key, os.urandom(100_000)).ok
        world.await_settled()
        kept, copied = world.stored("primary"), world.metric("gateway_mirror_objects_total", result="copied")
        assert run(world, "verify", BUCKET, "--level", "L2") == (0, [])

        flip(tmp_path / "behind" / "objects" / "mirror" / "flipped")
        truncate(tmp_path / "behind" / "objects" / "mirror" / "truncated")
        assert run(world, "verify", BUCKET, "--level", "L1") == (1, ["* truncated\tsize"])
        found = ["* flipped\tbytes", "* truncated\tsize"]
        assert run(world, "verify", BUCKET, "--level", "L2") == (1, found)
        assert world.stored("mirror") != kept

        assert run(world, "repair", BUCKET, "--level", "L2") == (0, found)
        world.check_settled(kept)
        assert run(world, "verify", BUCKET, "--level", "L2") == (0, [])
        eventually(lambda: world.metric("gateway_mirror_objects_total", result="copied") == copied + len(found))
