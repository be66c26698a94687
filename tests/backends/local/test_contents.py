"""A folder that changes while it is read shows at least what was in it all the time."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.backends.local import contents, listing, open_local
from gateway.storage import Address, ListQuery
from tests.backends.given import put


class Moving:
    """Scans of a folder in which one entry moves past the scan, as often as `times` says."""

    def __init__(self, name: str, times: int) -> None:
        self.name, self.times, self.scans = name, times, 0

    @contextmanager
    def scandir(self, folder: int) -> Iterator[Iterator["os.DirEntry[str]"]]:
        is_there = os.access(self.name, os.F_OK, dir_fd=folder)
        self.scans += is_there
        with SCANDIR(folder) as entries:
            yield self._moving(folder, entries) if is_there and self.scans <= self.times else entries

    def _moving(self, folder: int, entries: Iterator["os.DirEntry[str]"]) -> Iterator["os.DirEntry[str]"]:
        yield from (entry for entry in entries if entry.name != self.name)
        os.rename(self.name, f"{self.name}.moved", src_dir_fd=folder, dst_dir_fd=folder)
        os.rename(f"{self.name}.moved", self.name, src_dir_fd=folder, dst_dir_fd=folder)


SCANDIR = os.scandir


@pytest.fixture
def folder(tmp_path):
    for name in "abc":
        (tmp_path / name).touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("times", [0, 1, 2])
def test_an_entry_that_moves_while_a_folder_is_read_is_there(folder, monkeypatch, times):
    moving = Moving("b", times)
    monkeypatch.setattr(contents.os, "scandir", moving.scandir)
    assert list(contents.read(folder).natural.start_at(b"")) == [b"a", b"b", b"c"]
    assert moving.scans == times + 1


def test_a_folder_that_never_rests_is_not_read_for_ever(folder, monkeypatch):
    moving = Moving("b", 1000)
    monkeypatch.setattr(contents.os, "scandir", moving.scandir)
    contents.read(folder)
    assert moving.scans == contents._READINGS


async def test_a_prefix_whose_only_object_moves_is_listed(tmp_path, monkeypatch):
    async with open_local("disk", tmp_path / "root") as storage:
        await storage.create_bucket("bucket", {})
        await put(storage, Address("bucket", "folder/key"), b"")
        monkeypatch.setattr(listing.os, "scandir", Moving("key", 1).scandir)
        page = await storage.list_objects("bucket", ListQuery(delimiter="/"))
        assert page.prefixes == ["folder/"]


@pytest.mark.parametrize("by", ["file", "link", "nothing"])
async def test_a_folder_that_is_replaced_just_before_it_is_looked_into_is_no_failure(tmp_path, monkeypatch, by):
    looked = listing.Walk._glance
    folder = tmp_path / "root" / "bucket" / "folder"

    def glance(walk, entry):
        shutil.rmtree(folder)
        if by == "file":
            folder.write_bytes(b"")
        elif by == "link":
            folder.symlink_to(tmp_path)
        return looked(walk, entry)

    async with open_local("disk", tmp_path / "root") as storage:
        await storage.create_bucket("bucket", {})
        await put(storage, Address("bucket", "folder/key"), b"")
        monkeypatch.setattr(listing.Walk, "_glance", glance)
        assert (await storage.list_objects("bucket", ListQuery(delimiter="/"))).prefixes == []
