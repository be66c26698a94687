"""The parts of an upload: a file for each, in the upload's folder.

The file ends with what is known of the part, so that one rename replaces the bytes and what is known of them at once.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.backends.assembly import page_of_parts
from gateway.backends.local import records
from gateway.backends.local.kernel import READ, names_in, open_beneath
from gateway.backends.local.root import Root
from gateway.backends.local.scratch import Temp
from gateway.backends.local.uploads import check_current, opened, read_beginning
from gateway.checksums import Checksum
from gateway.errors import NoSuchUpload
from gateway.storage import Part, PartPage, Upload

_TRAILER: Final = 256  # bytes, whatever the checksum


def store(root: Root, upload: Upload, temp: Temp, part: Part) -> Part:
    """Put a part in its place, for good. Raises: NoSuchUpload."""
    temp.write(_trailer(part))
    root.settle(temp.descriptor)
    modified = records.moment(os.fstat(temp.descriptor).st_mtime_ns)
    with opened(root, upload) as folder:
        try:
            temp.move(folder, _name(part.number))
        except FileNotFoundError:
            raise NoSuchUpload(UploadId=upload.id) from None
        root.settle(folder)
    return replace(part, modified=modified)


def page(root: Root, upload: Upload, after: int, limit: int) -> PartPage:
    """Return the parts after number `after`. Raises: NoSuchUpload."""
    with opened(root, upload) as folder:
        info = read_beginning(folder, upload)
        wanted = [number for number in _numbers(folder) if number > after][: limit + 1]
        stored = [part for number in wanted if (part := read(folder, number))]
        check_current(root, upload, folder)
    return page_of_parts(info, stored, after, limit)


def read(folder: int, number: int) -> Part | None:
    """Return what is known of a part, None if there is none."""
    try:
        descriptor = open_file(folder, number)
    except FileNotFoundError:
        return None
    try:
        return describe(descriptor, number)
    finally:
        os.close(descriptor)


def open_file(folder: int, number: int) -> int:
    """Open the file of a part: its bytes come first."""
    return open_beneath(folder, _name(number), READ)


def describe(descriptor: int, number: int) -> Part:
    """Return what is known of the part in an open file."""
    stat = os.fstat(descriptor)
    size = stat.st_size - _TRAILER
    etag, algorithm, value = json.loads(os.pread(descriptor, _TRAILER, size))
    return Part(number, etag, size, records.moment(stat.st_mtime_ns), Checksum(algorithm, value))


def _numbers(folder: int) -> Sequence[int]:
    return sorted(int(name) for name in names_in(folder) if name.isdecimal())


def _name(number: int) -> bytes:
    return b"%05d" % number


def _trailer(part: Part) -> bytes:
    known = [part.etag, *([part.checksum.algorithm, part.checksum.value] if part.checksum else [None, None])]
    return json.dumps(known).encode().ljust(_TRAILER)
