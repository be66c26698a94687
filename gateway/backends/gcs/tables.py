"""The parts that an object was made of: in its metadata where they fit, else in an object of our own beside it."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from gateway.backends.gcs.client import Client
from gateway.backends.gcs.names import TABLES
from gateway.backends.gcs.resources import Found, Identity
from gateway.checksums import Checksum
from gateway.errors import NoSuchKey
from gateway.storage import Address, Part

ROOM: Final = 4096  # bytes of metadata for an identity; the storage has 8 KiB for all of it


def runs(sizes: Iterable[int]) -> Sequence[Sequence[int]]:
    """Return sizes, each with how often it comes in a row: most uploads have parts of one size, and a last one."""
    return [[size, len(list(same))] for size, same in groupby(sizes)]


def table(bucket: str, upload: str) -> Address:
    """Return where the parts of an object stand that do not fit into its metadata."""
    return Address(bucket, f"{TABLES}{upload}")


def written(identity: Identity) -> bytes:
    """Return the content of a table."""
    return json.dumps({"sizes": identity.sizes, "sums": identity.sums}).encode()


async def parts_of(client: Client, at: Address, there: Found) -> Sequence[Part]:
    """Return the parts of an object; none if it was not made of parts, or its table was deleted by others."""
    identity = there.identity
    if identity.has_table:
        try:
            content = await client.read(table(at.bucket, identity.upload))
        except NoSuchKey:
            return ()
        said = json.loads(content)
        identity = identity._replace(sizes=said["sizes"], sums=said["sums"])
    try:
        sizes = [int(size) for size, count in identity.sizes for _ in range(count)]
    except (TypeError, ValueError):
        return ()
    if len(sizes) != identity.part_count or sum(sizes) != there.info.size:
        return ()
    algorithm = identity.checksum.algorithm if identity.checksum else ""
    sums = [Checksum(algorithm, value) for value in identity.sums] if algorithm else []
    checksums: Sequence[Checksum | None] = sums if len(sums) == len(sizes) else [None] * len(sizes)
    return [
        Part(number, "", size, checksum=checksum)
        for number, (size, checksum) in enumerate(zip(sizes, checksums, strict=True), start=1)
    ]
