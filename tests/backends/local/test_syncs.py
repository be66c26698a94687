"""Who waits for a sync of the same folder shares it, and nobody is told that of one which began too early."""

import asyncio
import errno
import os
import threading
import time

import pytest

from gateway.backends.local.syncs import Syncs


class Disk:
    """A disk on which a sync lasts until it is let go."""

    def __init__(self, monkeypatch):
        self.begun, self.may_end = threading.Semaphore(0), threading.Semaphore(0)
        self.synced = []
        self.failure = None
        monkeypatch.setattr(os, "fsync", self.sync)

    def sync(self, descriptor):
        self.synced.append(os.fstat(descriptor).st_ino)
        self.begun.release()
        assert self.may_end.acquire(timeout=10)
        if self.failure:
            raise OSError(self.failure, "broken")


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


async def shared_by(syncs, number, folder):
    """Have so many wait for the sync that comes next; return them."""
    waiting = [asyncio.create_task(asyncio.to_thread(syncs.sync, folder)) for _ in range(number)]
    await asyncio.to_thread(await_askers, syncs, number)
    return waiting


def await_askers(syncs, number):
    while [turn.shared_by for turn in list(syncs._next.values())] != [number]:
        time.sleep(0.001)


async def begun_by_one(syncs, disk, folder):
    first = asyncio.create_task(asyncio.to_thread(syncs.sync, folder))
    assert await asyncio.to_thread(disk.begun.acquire, timeout=10)
    return first


async def test_those_who_come_while_a_folder_is_synced_share_the_next_sync(disk, folder):
    syncs = Syncs()
    first = await begun_by_one(syncs, disk, folder)
    others = await shared_by(syncs, 3, folder)
    disk.may_end.release()
    await first
    assert await asyncio.to_thread(disk.begun.acquire, timeout=10)
    assert not any(other.done() for other in others), "the first sync began before they asked"
    disk.may_end.release()
    await asyncio.gather(*others)
    assert len(disk.synced) == 2


async def test_a_shared_sync_that_fails_is_told_to_all_who_shared_it(disk, folder):
    syncs = Syncs()
    first = await begun_by_one(syncs, disk, folder)
    others = await shared_by(syncs, 3, folder)
    disk.may_end.release()
    await first
    disk.failure = errno.ENOSPC
    disk.may_end.release()
    for other in others:
        with pytest.raises(OSError, match=str(errno.ENOSPC)):
            await other


async def test_a_failure_is_forgotten_by_who_comes_after_it(disk, folder):
    syncs = Syncs()
    disk.failure = errno.EIO
    disk.may_end.release()
    with pytest.raises(OSError, match="broken"):
        syncs.sync(folder)
    disk.failure = None
    disk.may_end.release()
    syncs.sync(folder)
    assert syncs._next == {}


async def test_folders_are_not_taken_for_each_other(disk, folder, tmp_path):
    syncs = Syncs()
    (tmp_path / "other").mkdir()
    other = os.open(tmp_path / "other", os.O_RDONLY)
    for descriptor in (folder, other):
        disk.may_end.release()
        syncs.sync(descriptor)
    assert disk.synced == [os.fstat(folder).st_ino, os.fstat(other).st_ino]
    os.close(other)
