"""Checksums of S3: how they are computed, written, put together from parts.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
"""

import hashlib
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol

from awscrt import checksums as crt


class Hash(Protocol):
    """A running hash, as hashlib has them."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc:
    """A running CRC with the face of hashlib; its digest is big-endian, as S3 writes it."""

    def __init__(self, function: Callable[[bytes, int], int], width: int) -> None:
        self._function, self._width, self._value = function, width, 0

    def update(self, data: bytes, /) -> None:
        """Go on over `data`."""
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        """Return the CRC of all bytes so far."""
        return self._value.to_bytes(self._width, "big")


class XxHash:
    """A running xxHash with the face of hashlib; its digest is big-endian, as S3 writes it."""

    def __init__(self, running: crt.XXHash) -> None:
        self._running = running

    def update(self, data: bytes, /) -> None:
        """Go on over `data`."""
        self._running.update(data)

    def digest(self) -> bytes:
        """Return the hash of all bytes so far."""
        return bytes(self._running.finalize())


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One of S3's checksum algorithms: `combine` tells the CRC of two pieces from theirs, where that can be."""

    name: str
    width: int
    new: Callable[[], Hash]
    combine: Callable[[int, int, int], int] | None = None
    composite: bool = True  # can stand for an object of parts as a checksum of checksums

    @property
    def header(self) -> str:
        """The header and trailer that carries it."""
        return f"x-amz-checksum-{self.name.lower()}"

    @property
    def element(self) -> str:
        """The XML element that carries it."""
        return f"Checksum{self.name}"


_md5: Final = partial(hashlib.md5, usedforsecurity=False)
_sha1: Final = partial(hashlib.sha1, usedforsecurity=False)
MD5: Final = "MD5"  # of which ETags are made, too
DEFAULT: Final = "CRC64NVME"  # what S3 stores for an object whose sender names none
ALGORITHMS: Final[Mapping[str, Algorithm]] = MappingProxyType(
    {
        a.name: a
        for a in (
            Algorithm("CRC32", 4, lambda: Crc(zlib.crc32, 4), crt.combine_crc32),
            Algorithm("CRC32C", 4, lambda: Crc(crt.crc32c, 4), crt.combine_crc32c),
            Algorithm("CRC64NVME", 8, lambda: Crc(crt.crc64nvme, 8), crt.combine_crc64nvme, composite=False),
            Algorithm("SHA1", 20, _sha1),
            Algorithm("SHA256", 32, hashlib.sha256),
            Algorithm("SHA512", 64, hashlib.sha512),
            Algorithm(MD5, 16, _md5),
            Algorithm("XXHASH64", 8, lambda: XxHash(crt.XXHash.new_xxhash64())),
            Algorithm("XXHASH3", 8, lambda: XxHash(crt.XXHash.new_xxhash3_64())),
            Algorithm("XXHASH128", 16, lambda: XxHash(crt.XXHash.new_xxhash3_128())),
        )
    },
)


@dataclass(frozen=True, slots=True)
class Checksum:
    """A checksum as S3 writes it: base64, with "-N" behind it when it was made of the checksums of N parts."""

    algorithm: str
    value: str
    composite: bool = False

    @property
    def type(self) -> str:
        """The value of x-amz-checksum-type."""
        return "COMPOSITE" if self.composite else "FULL_OBJECT"

    @property
    def header(self) -> str:
        """The header that carries it."""
        return ALGORITHMS[self.algorithm].header

    @property
    def raw(self) -> bytes:
        """The bytes behind the base64."""
        return b64decode(self.value.partition("-")[0])

    @classmethod
    def of(cls, algorithm: str, digest: bytes) -> "Checksum":
        """Return the checksum of a whole body from its digest."""
        return cls(algorithm, b64encode(digest).decode())


class Digest:
    """The hashes wanted of one body, computed in one pass."""

    def __init__(self) -> None:
        self._hashes: dict[str, Hash] = {}

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms asked for, that of the ETag among them."""
        return tuple(self._hashes)

    def want(self, algorithm: str) -> None:
        """Ask for an algorithm, before the first byte."""
        if algorithm not in self._hashes:
            self._hashes[algorithm] = ALGORITHMS[algorithm].new()

    def update(self, data: bytes) -> None:
        """Go on over `data`, in the calling thread."""
        for running in self._hashes.values():
            running.update(data)

    def __getitem__(self, algorithm: str) -> bytes:
        """Return the digest of all bytes so far, for an algorithm that was asked for."""
        return self._hashes[algorithm].digest()

    def checksum(self, algorithm: str) -> Checksum:
        """Return the same as S3 writes it."""
        return Checksum.of(algorithm, self[algorithm])


def decode(algorithm: str, value: str) -> bytes | None:
    """Return the digest that base64 `value` stands for, or None if it is not one of this algorithm."""
    try:
        digest = b64decode(value, validate=True)
    except (Base64Error, ValueError):
        return None
    return digest if len(digest) == ALGORITHMS[algorithm].width else None


def composite(checksums: Sequence[Checksum]) -> Checksum:
    """Return the checksum of the parts' checksums, which S3 calls COMPOSITE."""
    algorithm = checksums[0].algorithm
    running = ALGORITHMS[algorithm].new()
    for checksum in checksums:
        running.update(checksum.raw)
    return Checksum(algorithm, f"{b64encode(running.digest()).decode()}-{len(checksums)}", composite=True)


def combine(parts: Sequence[tuple[Checksum, int]]) -> Checksum:
    """Return the checksum of the whole from those of its parts and their sizes: FULL_OBJECT, CRCs only."""
    algorithm = ALGORITHMS[parts[0][0].algorithm]
    if algorithm.combine is None:
        message = f"{algorithm.name} of a whole cannot be told from its parts"
        raise ValueError(message)
    value = 0
    for checksum, size in parts:
        value = algorithm.combine(value, int.from_bytes(checksum.raw, "big"), size)
    return Checksum.of(algorithm.name, value.to_bytes(algorithm.width, "big"))


def multipart_etag(etags: Sequence[str]) -> str:
    """Return S3's ETag of an object made of parts: the MD5 of their MD5s, and how many they are."""
    digest = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in etags), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(etags)}"
