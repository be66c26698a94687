"""What the tests of the local disk share."""

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from gateway.backends.local import kernel, locks, open_local

MEMORY = Path("/dev/shm")  # a file system without a disk behind it: trees of a thousand folders go in no time


@pytest.fixture
def root(tmp_path):
    """A folder to be a root; removed by a program that minds no depth of folders."""
    parent = tempfile.mkdtemp(dir=MEMORY if os.access(MEMORY, os.W_OK) else tmp_path)
    yield Path(parent, "root")
    subprocess.run(["rm", "-rf", "--", parent], check=True)


@pytest.fixture
def disk(tmp_path):
    """A root on whatever file system temporary files are."""
    return tmp_path / "root"


@pytest.fixture
async def storage(root):
    async with open_local("local", root, fsync=False) as storage:
        yield storage


def refuse(number):
    """Return a function that fails as the operating system does."""

    def function(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    return function


@pytest.fixture
def without_attributes(monkeypatch):
    """A file system that keeps no extended attributes."""
    for name in ("getxattr", "setxattr", "removexattr"):
        monkeypatch.setattr(os, name, refuse(errno.ENOTSUP))


@pytest.fixture
def without_openat2(monkeypatch):
    """A kernel that opens a file only in the folder that it is in."""
    monkeypatch.setattr(kernel, "has_openat2", lambda: False)


@pytest.fixture
def without_help(monkeypatch, without_attributes):
    """A system that keeps and locks and copies as little as POSIX asks for."""
    monkeypatch.setattr(locks, "_SET_AND_WAIT", None)
    monkeypatch.setattr(os, "copy_file_range", refuse(errno.ENOSYS))
