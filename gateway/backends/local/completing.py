"""From the parts of an upload to its object, so that after a crash there is either the one or the other."""

import logging
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from gateway.backends.assembly import Assembled, assemble
from gateway.backends.local import parts, uploads, writing
from gateway.backends.local.copying import STEP, copied
from gateway.backends.local.kernel import FOLDER, names_in, open_beneath
from gateway.backends.local.locks import bucket_lock, key_lock
from gateway.backends.local.root import Root
from gateway.backends.local.scratch import Temp
from gateway.conditions import Conditions
from gateway.errors import InvalidPart, NoSuchUpload
from gateway.storage import Address, Completion, Download, File, ObjectInfo, Part, Upload, UploadInfo

log = logging.getLogger(__name__)


class Assembly(Temp):
    """The file in which the parts of an upload are put together.

    It goes to its place by way of the upload's folder, where a mark says so first. So the one rename that makes the
    object seen is the same that completes the upload.
    """

    def __init__(self, root: Root, upload: Upload) -> None:
        super().__init__(root.scratch)
        self._root, self._upload = root, upload
        self._info: UploadInfo
        self._made: Assembled
        self._claimed: Sequence[Part] = ()

    def plan(self, claimed: Sequence[Part], completion: Completion) -> None:
        """Decide what is to be made. Raises as `Backend.complete_upload` does, conditions apart."""
        with uploads.opened(self._root, self._upload) as folder:
            self._info = uploads.read_beginning(folder, self._upload)
            stored = [part for claim in claimed if (part := parts.read(folder, claim.number))]
            uploads.check_current(self._root, self._upload, folder)
        self._claimed = claimed
        self._made = assemble({part.number: part for part in stored}, self._info, claimed, completion)
        writing.check(self._root, self._upload.at, completion.conditions)
        self.open()

    def steps(self) -> Generator[None, None, None]:
        """Put the parts together; a step takes no longer than a thread may be busy."""
        done = 0
        with uploads.opened(self._root, self._upload) as folder:
            for claim, part in zip(self._claimed, self._made.parts, strict=True):
                for size in self._copy_part(folder, claim, part):
                    done += size
                    if done >= STEP:
                        yield
                        done = 0

    def _copy_part(self, folder: int, claim: Part, part: Part) -> Iterator[int]:
        try:
            source = parts.open_file(folder, claim.number)
        except FileNotFoundError:
            raise NoSuchUpload(UploadId=self._upload.id) from None
        try:
            there = parts.describe(source, claim.number)
            if (there.etag, there.size) != (part.etag, part.size):  # replaced since it was looked at
                raise InvalidPart(UploadId=self._upload.id, PartNumber=str(claim.number), ETag=claim.etag)
            yield from copied(source, self, range(part.size))
        finally:
            os.close(source)

    def download(self) -> Download:
        """Return what the parts became, which nobody else sees yet."""
        info = self._draft().info
        return Download(info, 0, info.size, File(self.descriptor, 0))

    def finish(self, conditions: Conditions) -> ObjectInfo:
        """Put the object in its place, for good; the upload is gone then."""
        info = writing.store(self._root, self._upload.at, self._draft(), conditions)
        try:
            self._root.scratch.drop(uploads.take(self._root, self._upload))
        except OSError:
            log.warning("upload_left_behind", exc_info=True)  # it is marked as complete: the next start removes it
        return info

    def move(self, folder: int, name: bytes) -> None:
        """Put the object in its place, which completes the upload. The caller holds the lock of the object."""
        with uploads.opened(self._root, self._upload) as upload:
            os.rename(self.name, uploads.OBJECT, src_dir_fd=self.scratch.descriptor, dst_dir_fd=upload)
            try:
                self._mark(upload)
                os.rename(uploads.OBJECT, name, src_dir_fd=upload, dst_dir_fd=folder)
            except BaseException:
                unmark(self._root, upload)
                os.rename(uploads.OBJECT, self.name, src_dir_fd=upload, dst_dir_fd=self.scratch.descriptor)
                raise
        self.name = b""

    def _mark(self, upload: int) -> None:
        os.close(os.open(uploads.COMPLETING, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=upload))
        self._root.settle(upload)

    def _draft(self) -> writing.Draft:
        said, made = self._info.options, self._made
        info = writing.describe(self._upload.at.key, made.size, said, made.etag, made.checksum)
        return writing.Draft(self, replace(info, part_count=len(made.parts)), made.parts)


def unmark(root: Root, upload: int) -> None:
    """Open an upload again that was about to be completed: the mark goes first, and for good."""
    with suppress(FileNotFoundError):
        os.unlink(uploads.COMPLETING, dir_fd=upload)
    root.settle(upload)


def clean(root: Root) -> None:
    """Bring to an end what processes that died left between an upload and its object."""
    with root.folder(b".gw/uploads") as folder:
        buckets = names_in(folder)
    for bucket in buckets:
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            root.folder(b".gw/uploads/" + os.fsencode(bucket)) as folder,
        ):
            for name in names_in(folder):
                _clean(root, bucket, folder, name)


def _clean(root: Root, bucket: str, folder: int, name: str) -> None:
    with suppress(FileNotFoundError, NotADirectoryError):
        upload = open_beneath(folder, os.fsencode(name), FOLDER)
        try:
            if uploads.exists(upload, uploads.COMPLETING):
                at = Address(bucket, uploads.beginning(upload).get("key", ""))
                with root.locks.hold([key_lock(bucket, at.key)], shared=[bucket_lock(bucket)]):
                    _settle(root, Upload(at, name), upload)
        finally:
            os.close(upload)


def _settle(root: Root, upload: Upload, folder: int) -> None:
    if not uploads.exists(folder, uploads.COMPLETING):
        return
    if uploads.exists(folder, uploads.OBJECT):
        unmark(root, folder)
        os.unlink(uploads.OBJECT, dir_fd=folder)
    else:
        root.scratch.drop(uploads.take(root, upload))
