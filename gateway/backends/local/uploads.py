"""Multipart uploads: a folder for each, with what was said at its beginning and a file for every part."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

from gateway.backends.assembly import fold_uploads, new_upload_id
from gateway.backends.local.kernel import FOLDER, READ, names_in, open_beneath
from gateway.backends.local.locks import bucket_lock, key_lock
from gateway.backends.local.names import place
from gateway.backends.local.root import ABSENT, Root
from gateway.backends.local.scratch import Temp
from gateway.errors import NoSuchUpload
from gateway.storage import Address, Upload, UploadInfo, UploadPage, UploadQuery, WriteOptions

BEGINNING: Final = b"upload.json"
OBJECT: Final = b"object"  # what was made of the parts, on its way to its place
COMPLETING: Final = b"completing"  # with this and without OBJECT the upload is complete
_ID: Final = re.compile(r"[0-9a-f]{16,128}")


def create(root: Root, at: Address, options: WriteOptions) -> Upload:
    """Begin an upload."""
    place(at.key)
    root.check_bucket(at.bucket)
    upload = Upload(at, new_upload_id())
    name = upload.id.encode()
    os.mkdir(name, 0o700, dir_fd=root.scratch.descriptor)
    try:
        _write_beginning(root, name, at.key, options)
        with root.locks.hold((), shared=[bucket_lock(at.bucket)]):
            root.check_bucket(at.bucket)
            uploads = root.make_folders(b".gw/uploads", at.bucket.encode())
            try:
                os.rename(name, name, src_dir_fd=root.scratch.descriptor, dst_dir_fd=uploads)
                root.settle(uploads)
            finally:
                os.close(uploads)
    finally:
        root.scratch.drop(name)
    return upload


def look(root: Root, upload: Upload) -> UploadInfo:
    """Return what was said when an upload was created. Raises: NoSuchUpload, NoSuchBucket."""
    with opened(root, upload) as folder:
        return read_beginning(folder, upload)


def list_uploads(root: Root, bucket: str, query: UploadQuery) -> UploadPage:
    """Return a page of the open uploads of a bucket. Every one of them is looked at."""
    root.check_bucket(bucket)
    return fold_uploads(_all(root, bucket), query)


def abort(root: Root, upload: Upload) -> None:
    """Remove an upload with all its parts."""
    with root.locks.hold([key_lock(*upload.at[:2])], shared=[bucket_lock(upload.at.bucket)]):
        look(root, upload)
        taken = take(root, upload)
    root.scratch.drop(taken)


def take(root: Root, upload: Upload) -> bytes:
    """Take the folder of an upload away, so that nobody sees it any more; return its name in the scratch folder."""
    with root.folder(_bucket(upload.at.bucket)) as uploads:
        taken = root.scratch.take(uploads, upload.id.encode())
        root.settle(uploads)
    return taken


@contextmanager
def opened(root: Root, upload: Upload) -> Iterator[int]:
    """Open the folder of an upload. Raises: NoSuchUpload, NoSuchBucket."""
    root.check_bucket(upload.at.bucket)
    if not _ID.fullmatch(upload.id):
        raise NoSuchUpload(UploadId=upload.id)
    try:
        folder = root.open(b"%b/%b" % (_bucket(upload.at.bucket), upload.id.encode()), FOLDER)
    except OSError as error:
        if error.errno not in ABSENT:
            raise
        raise NoSuchUpload(UploadId=upload.id) from None
    try:
        if is_complete(folder):
            raise NoSuchUpload(UploadId=upload.id)
        yield folder
    finally:
        os.close(folder)


def check_current(root: Root, upload: Upload, folder: int) -> None:
    """Raise NoSuchUpload if the open folder was taken away: what was read in it may be half of what was there."""
    with opened(root, upload) as current:
        if not os.path.samestat(os.fstat(current), os.fstat(folder)):
            raise NoSuchUpload(UploadId=upload.id)


def is_complete(folder: int) -> bool:
    """Say whether the object was made and only the rest of its upload was left behind."""
    return exists(folder, COMPLETING) and not exists(folder, OBJECT)


def exists(folder: int, name: bytes) -> bool:
    """Say whether an open folder has an entry of that name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def read_beginning(folder: int, upload: Upload) -> UploadInfo:
    """Return what was said when the upload in an open folder was created. Raises: NoSuchUpload, if it has vanished."""
    said = beginning(folder)
    if not said or said["key"] != upload.at.key:
        raise NoSuchUpload(UploadId=upload.id)
    return _info(upload, said)


def beginning(folder: int) -> Mapping[str, Any]:
    """Return what was written when the upload in an open folder was created, nothing if it has vanished."""
    try:
        descriptor = open_beneath(folder, BEGINNING, READ)
    except FileNotFoundError:
        return {}
    with os.fdopen(descriptor, "rb") as file:
        said: dict[str, Any] = json.load(file)
    return said


def _bucket(bucket: str) -> bytes:
    return b".gw/uploads/%b" % bucket.encode()


def _write_beginning(root: Root, name: bytes, key: str, options: WriteOptions) -> None:
    said = {
        "key": key,
        "initiated": datetime.now(UTC).isoformat(),
        "headers": dict(options.headers),
        "metadata": dict(options.metadata),
        "labels": dict(options.labels),
        "checksum": options.checksum,
        "composite": options.composite,
    }
    temp = Temp(root.scratch)
    folder = open_beneath(root.scratch.descriptor, name, FOLDER)
    try:
        temp.open()
        temp.write(json.dumps(said).encode())
        root.settle(temp.descriptor)
        temp.move(folder, BEGINNING)
        root.settle(folder)
    finally:
        temp.discard()
        os.close(folder)


def _info(upload: Upload, said: Mapping[str, Any]) -> UploadInfo:
    options = WriteOptions(
        headers=said["headers"],
        metadata=said["metadata"],
        labels=said["labels"],
        checksum=said["checksum"],
        composite=said["composite"],
    )
    return UploadInfo(upload, datetime.fromisoformat(said["initiated"]), options)


def _all(root: Root, bucket: str) -> Iterator[UploadInfo]:
    try:
        folder = root.open(_bucket(bucket), FOLDER)
    except FileNotFoundError:
        return
    try:
        for name in filter(_ID.fullmatch, names_in(folder)):
            with suppress(FileNotFoundError, NotADirectoryError):
                upload = open_beneath(folder, os.fsencode(name), FOLDER)
                try:
                    said = {} if is_complete(upload) else beginning(upload)
                    if said:
                        yield _info(Upload(Address(bucket, said["key"]), name), said)
                finally:
                    os.close(upload)
    finally:
        os.close(folder)
