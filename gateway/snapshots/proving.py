"""Whether bytes are those of an object, by what was written down of it when it was stored."""

from collections.abc import AsyncIterable, AsyncIterator, Sequence

from gateway.checksums import ALGORITHMS, MD5, Checksum, Hash, composite, multipart_etag
from gateway.errors import InternalError
from gateway.storage import Address, Backend, Body, ObjectInfo
from gateway.transfer import read_through


class Proof:
    """Hashes the bytes of an object as they come, by the algorithm that something is written down of.

    That is its checksum; without one, or with one of checksums of parts that nobody knows, its ETag. Where an ETag is
    no MD5, as that of encrypted objects, it proves nothing.
    https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
    """

    def __init__(self, info: ObjectInfo) -> None:
        sizes = [part.size for part in info.parts]
        by_parts = bool(sizes) and sum(sizes) == info.size
        checksum = info.checksum if info.checksum and (by_parts or not info.checksum.composite) else None
        self._info, self._checksum = info, checksum
        self._sizes = sizes if by_parts and (checksum is None or checksum.composite) else [info.size]
        self._new = ALGORITHMS[checksum.algorithm if checksum else MD5].new
        self._hashes: list[Hash] = [self._new()]
        self._room = self._sizes[0]
        self._received = 0

    def update(self, data: bytes) -> None:
        """Go on over `data`."""
        self._received += len(data)
        while data:
            if not self._room and len(self._hashes) < len(self._sizes):
                self._room = self._sizes[len(self._hashes)]
                self._hashes.append(self._new())
            taken = data[: self._room] if self._room else data
            self._hashes[-1].update(taken)
            self._room = max(0, self._room - len(taken))
            data = data[len(taken) :]

    @property
    def verdict(self) -> bool | None:
        """Whether they are the object's, all of them; None where nothing can tell."""
        if self._received != self._info.size:
            return False
        digests = [running.digest() for running in self._hashes]
        if self._checksum:
            return _checksum_of(self._checksum, digests) == self._checksum
        hexes = [digest.hex() for digest in digests]
        return True if self._info.etag in {hexes[0], multipart_etag(hexes)} else None


def prove(info: ObjectInfo, body: Body) -> None:
    """Have a body refused whose bytes are not those of an object, as far as anything can tell."""
    proof = Proof(info)

    async def passing(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        async for chunk in chunks:
            proof.update(chunk)
            yield chunk

    def compare() -> None:
        if proof.verdict is False:
            raise InternalError("The bytes that were read are not those that the snapshot names.")

    body.through(passing)
    body.check(compare)


async def read_back(storage: Backend, at: Address, info: ObjectInfo) -> bool | None:
    """Read all bytes that lie somewhere, and say whether they are those of an object. Raises: S3Error."""
    proof = Proof(info)
    await read_through(storage, at, proof.update)
    return proof.verdict


def _checksum_of(like: Checksum, digests: Sequence[bytes]) -> Checksum:
    checksums = [Checksum.of(like.algorithm, digest) for digest in digests]
    return composite(checksums) if like.composite else checksums[0]
