"""What the tests of the local disk share."""

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from gateway.backends.local import open_local

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
