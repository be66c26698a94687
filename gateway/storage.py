"""What every storage can do. READ THIS FIRST.

Everything below the operations is a `Backend`: the leaves (a disk, a cloud) and the wrappers around them (a
router), so they stack and one contract suite (`tests/backends/contract.py`) holds for all of them.

Sizes and offsets are bytes, times are UTC, header and metadata names are lower case, ETags stand without quotes.
A backend raises `S3Error`s only; "not found" means that the storage said so, never that it could not be asked.
"""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from gateway.checksums import Checksum, Digest
from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import EntityTooLarge, IncompleteBody, InvalidRange
from gateway.hashing import Errand

PIECE: Final = 244 * 1024  # how much of a body is hashed and passed on at once: whole pages, and no more than uvloop
# reads from a socket at once (256 000 bytes), or two such reads are joined: twice the memory, and a copy of all
HELD: Final = 6 * PIECE  # what is held at most of a body of known size, from the client's socket to the storage's
UNSIZED: Final = 20 * 1024 * 1024  # and of one whose size nobody knows, which a storage may have to be told beforehand
STREAMED: Final = 3 * PIECE  # and of a body that comes from a storage and goes to a client
PRIVATE: Final = ".gw/"  # keys that begin so are the gateway's own, on every storage, and no client's
SMALL: Final = 64 * 1024  # up to here it is cheaper to do a thing at once than to hand it to a thread


class Address(NamedTuple):
    """Where an object is. With an empty key: the bucket itself."""

    bucket: str
    key: str = ""
    version: str | None = None


@dataclass(frozen=True, slots=True)
class BucketInfo:
    """What is known of a bucket. Labels are the gateway's own notes (owner, acl), never shown as metadata."""

    name: str
    created: datetime
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload, or of the object made from it."""

    number: int
    etag: str
    size: int
    modified: datetime | None = None
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a HEAD tells."""

    key: str
    size: int
    etag: str
    modified: datetime
    headers: Mapping[str, str] = field(default_factory=dict)  # content-type, ...: as the client gave them
    metadata: Mapping[str, str] = field(default_factory=dict)  # x-amz-meta-..., the prefix removed
    labels: Mapping[str, str] = field(default_factory=dict)  # the gateway's own notes: owner, acl
    checksum: Checksum | None = None
    part_count: int = 0  # 0: not from a multipart upload
    parts: Sequence[Part] = ()  # only where ReadOptions.parts asked for them
    version: str | None = None
    served_by: str = field(default="", compare=False)  # the storage that answered in place of the bucket's own
    stale: bool = field(default=False, compare=False)  # it may lack newer writes, and the bucket's owner allows that
    replication: str = field(default="", compare=False)  # whether mirrors have this state, in S3's words; "": not told
    images: str = field(default="", compare=False)  # of what was just written: what became of the variants of an image


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Which bytes are wanted, and when.

    `range`: bytes=0-9 is slice(0, 10), bytes=5- is slice(5, None), bytes=-5 is slice(-5, None). A range that holds
    no byte of the object raises InvalidRange, whatever the backend; but the last bytes of an empty one are all of it,
    as on S3 (https://github.com/apache/arrow-rs-object-store/issues/846). `part` asks for the bytes of one part
    (1 … 10000; part 1 of an object that is not multipart is the whole of it; beyond the last: InvalidPartNumber).
    `parts` asks for `ObjectInfo.parts`, which cost an extra look.
    """

    range: slice | None = None
    part: int | None = None
    conditions: Conditions = ANY_STATE
    parts: bool = False

    def span(self, size: int) -> tuple[int, int]:
        """Return which bytes [start, stop) of `size` the range holds, all of them without one. Raises: InvalidRange."""
        if self.range is None:
            return 0, size
        start, stop, _ = self.range.indices(size)
        if start >= stop and (size or self.range.start >= 0):
            raise InvalidRange.of(size)
        return start, stop


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What is stored beside the bytes, and under which condition anything is stored at all.

    `checksum` names the algorithm whose value is kept with the object, and `composite` is its type where an upload
    has parts; a declared value is checked by the Body, not here.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    conditions: Conditions = ANY_STATE
    checksum: str = "CRC64NVME"
    composite: bool = False


class Body:
    """An upload: its bytes can be read once, and what was promised of them is checked on the way.

    Iterating yields pieces of about PIECE bytes. The last of the declared bytes are held back until the length is right
    and every check has passed; a failed check raises its S3Error instead, so that a backend which stores only what was
    iterated to the end never stores a wrong body. `size` is None where the sender does not say it beforehand.
    `started` tells that bytes were taken: from then on no other backend can be tried. `failure` is what reading it has
    raised: then it is not the backend's that a write fails. `declared` are the digests, by
    algorithm, that the sender named before the first byte and that are checked: a backend may pass them on.

    A backend asks `digest` for MD5 and the checksum of its options or upload only. What else it needs it computes
    apart. Of a part it says in `kept`, before the first byte, which checksum it keeps: a part whose sender declared
    another one than that is refused.
    """

    def __init__(self, chunks: AsyncIterable[bytes], size: int | None, *, limit: int | None = None) -> None:
        self.size = size
        self.limit = limit
        self.started = False
        self.received = 0
        self.trailers: dict[str, str] = {}
        self.digest = Digest()
        self.kept = ""
        self.declared: dict[str, bytes] = {}
        self.failure: Exception | None = None
        self._chunks = chunks
        self._source: AsyncIterator[bytes]
        self._held = b""
        self._ended = False
        self._hashing: Errand[None] | None = None
        self._checks: list[Callable[[], None]] = []
        self._gates: list[Callable[[], Awaitable[None]]] = []

    @property
    def most(self) -> int:
        """How much of it is in memory at most, on its way from the client to a storage."""
        if self.size is not None:
            return min(self.size, HELD)
        return UNSIZED if self.limit is None else min(self.limit, UNSIZED)

    @property
    def raw(self) -> AsyncIterable[bytes]:
        """The chunks as they come, uncounted and unchecked, for what decodes them into another Body."""
        return self._chunks

    def through(self, passing: Callable[[AsyncIterable[bytes]], AsyncIterable[bytes]]) -> None:
        """Have the chunks pass through something, before anybody has asked for the first."""
        self._chunks = passing(self._chunks)

    def check(self, check: Callable[[], None]) -> None:
        """Have `check` called after the last byte and before the last piece is passed on; it raises an S3Error."""
        self._checks.append(check)

    def gate(self, gate: Callable[[], Awaitable[None]]) -> None:
        """Have `gate` awaited when all checks have passed, before the last piece is passed on; it raises an S3Error.

        So until a gate has returned no backend can have stored the body.
        """
        self._gates.append(gate)

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._start()
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece. Raises IncompleteBody, EntityTooLarge, or what a check raises."""
        while not self._ended:
            piece = await self._gather()
            await self._hash(piece)
            if len(piece) < PIECE:
                await self._hashed()
                await self._settle()
                self._ended = True
            held, self._held = self._held, piece
            if not held and self.size is not None and self.received < self.size:
                held, self._held = piece, b""  # more must follow
            if held:
                return held
        held, self._held = self._held, b""
        if not held:
            raise StopAsyncIteration
        return held

    async def read(self) -> bytes:
        """Return the whole body; only for what is known to be small."""
        return b"".join([piece async for piece in self])

    async def pour(self, write: Callable[[bytes], None], run: Callable[..., Awaitable[object]]) -> None:
        """Have `run` call what hashes and writes a piece, one after another: half as many turns of a thread.

        All is written before the checks are made, so it must be discarded if they fail. Raises as iterating does.
        """

        def take(piece: bytes) -> None:
            self.digest.update(piece)
            write(piece)

        self._start()
        while not self._ended:
            piece = await self._gather()
            self._ended = len(piece) < PIECE
            if piece:
                await run(take, piece)
        await self._settle()

    def _start(self) -> None:
        if self.started:
            raise RuntimeError("a body can be read once")  # what is left of it would look like a whole one
        self.started = True
        self._source = aiter(self._chunks)

    async def _gather(self) -> bytes:
        """Return small chunks as one piece, for hashing and writing. One shorter than PIECE is the last."""
        gathered: list[bytes] = []
        size = 0
        try:
            async for chunk in self._source:
                gathered.append(chunk)
                size += len(chunk)
                self._count(len(chunk))
                if size >= PIECE:
                    break
        except Exception as error:
            self.failure = error
            raise
        return gathered[0] if len(gathered) == 1 else b"".join(gathered)

    async def _hash(self, piece: bytes) -> None:
        """Hash a piece: a large one on a thread, while the next is gathered, and when the one before is through."""
        await self._hashed()
        if len(piece) > SMALL and self.digest.algorithms:
            self._hashing = Errand(self.digest.update, piece)
        else:
            self.digest.update(piece)

    async def _hashed(self) -> None:
        if self._hashing:
            await self._hashing.result()
            self._hashing = None

    def _count(self, size: int) -> None:
        self.received += size
        if self.limit is not None and self.received > self.limit:
            raise EntityTooLarge(ProposedSize=str(self.received), MaxSizeAllowed=str(self.limit))
        if self.size is not None and self.received > self.size:
            raise IncompleteBody

    async def _settle(self) -> None:
        try:
            self._check()
            for gate in self._gates:
                await gate()
        except Exception as error:
            self.failure = error
            raise

    def _check(self) -> None:
        if self.size is not None and self.received != self.size:
            raise IncompleteBody
        for check in self._checks:
            check()


class File(NamedTuple):
    """An open file whose bytes from `offset` on are wanted, for the kernel to send. Its Download closes it."""

    descriptor: int
    offset: int


class Download(NamedTuple):
    """An open object: `content` holds the bytes [start, stop) of it. Leaving its context frees what it holds."""

    info: ObjectInfo
    start: int
    stop: int
    content: bytes | File | AsyncIterator[bytes]


class ListQuery(NamedTuple):
    """Which part of a listing is wanted.

    Items, keys and common prefixes alike, come in the byte order of their UTF-8. An item is listed if it comes after
    `after`; a common prefix also if `after` lies inside it, because keys that follow are still to be told.
    """

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    limit: int = 1000


class ListPage(NamedTuple):
    """`last` is the last item of the page if more follow, to be given as the next `after`; "" ends the listing."""

    objects: Sequence[ObjectInfo]  # without headers, metadata and parts where those cost an extra look
    prefixes: Sequence[str]
    last: str = ""


class Upload(NamedTuple):
    """A multipart upload, by the object it will become and its id."""

    at: Address
    id: str


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """What was said when an upload was created."""

    upload: Upload
    initiated: datetime
    options: WriteOptions


class UploadQuery(NamedTuple):
    """As ListQuery; with `after_id`, further uploads of the key `after` itself are wanted, those after that id."""

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    after_id: str = ""
    limit: int = 1000


class UploadPage(NamedTuple):
    """Uploads in the order of key and then age. `last` and `last_id` are the next markers, "" at the end."""

    uploads: Sequence[UploadInfo]
    prefixes: Sequence[str]
    last: str = ""
    last_id: str = ""


class PartPage(NamedTuple):
    """A page of parts, by number. `last` is the last number of the page if more follow, else 0."""

    info: UploadInfo
    parts: Sequence[Part]
    last: int = 0


Check = Callable[[Download], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Completion:
    """Under which conditions an upload becomes an object: declared size and checksum are compared, if given.

    `check` is awaited with the bytes that the object would have, before anybody can see it, when all else is known to
    be right; it raises an S3Error. It may be awaited again, if the parts were not all found as they had been.
    """

    conditions: Conditions = ANY_STATE
    size: int | None = None
    checksum: Checksum | None = None
    check: Check | None = None


class Backend(Protocol):
    """One storage account.

    Every method may raise ServiceUnavailable (no answer), and NoSuchBucket where a bucket is named. A write is
    durable when it returns and nothing of it is visible before; after an error or a cancellation the old state holds
    unless the method says otherwise. Writes of one key are atomic, conditions included, among all processes.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel
    """

    @property
    def name(self) -> str:
        """The label in metrics and logs."""

    async def list_buckets(self) -> Sequence[BucketInfo]:
        """Return all buckets, by name."""

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """Return what is known of a bucket."""

    async def create_bucket(self, bucket: str, labels: Mapping[str, str]) -> None:
        """Create a bucket. Raises: BucketAlreadyExists, whoever owns it."""

    async def delete_bucket(self, bucket: str) -> None:
        """Delete a bucket that holds no object; its open uploads go with it. Raises: BucketNotEmpty."""

    def get(self, at: Address, options: ReadOptions = ReadOptions()) -> AbstractAsyncContextManager[Download]:
        """Open an object: the bytes are of one version, whatever is written meanwhile.

        Raises on entering: NoSuchKey, NotModified, PreconditionFailed, InvalidRange, InvalidPartNumber.
        """

    async def head(self, at: Address, options: ReadOptions = ReadOptions()) -> ObjectInfo:
        """Return what is known of an object. Raises as `get` does, a range apart, which is ignored."""

    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        """Store an object, replacing an earlier one at once and whole.

        Raises: PreconditionFailed, NoSuchKey (If-Match where nothing is), what the body raises. A condition is
        decided when the object becomes visible; it may be decided early too, to refuse without reading the body.
        """

    async def copy(self, source: Address, to: Address, options: WriteOptions, etag: str) -> ObjectInfo:
        """Store the bytes of `source` at `to`, with what `options` says beside them; both may be the same.

        The source must still have `etag`, else PreconditionFailed. Raises: NoSuchKey, and as `put`.
        """

    async def annotate(self, at: Address, labels: Mapping[str, str], was: Mapping[str, str] | None = None) -> None:
        """Replace the labels of an object, or of a bucket if the key is empty. Nothing else changes.

        With `was` the labels must still be these when they are replaced, else PreconditionFailed: so that what was
        decided by them is not done to what somebody else has put there meanwhile. Raises: NoSuchKey.
        """

    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        """Delete an object; that there is none is no error without a condition.

        Raises: PreconditionFailed, NoSuchKey (If-Match where nothing is).
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html
        """

    async def list_objects(self, bucket: str, query: ListQuery) -> ListPage:
        """Return a page of objects and common prefixes, never more items than `query.limit`."""

    async def create_upload(self, at: Address, options: WriteOptions = WriteOptions()) -> Upload:
        """Begin a multipart upload. Its conditions are not looked at: they belong to `complete_upload`."""

    async def put_part(self, upload: Upload, number: int, body: Body) -> Part:
        """Store part `number` (1 … 10000), replacing an earlier one of that number.

        After an error or a cancellation an earlier part still holds. The checksum algorithm is the upload's.
        Raises: NoSuchUpload, what the body raises.
        """

    async def copy_part(self, upload: Upload, number: int, source: Address, options: ReadOptions, etag: str) -> Part:
        """Store the bytes of `source` that `options.range` names (all without one) as part `number`.

        The source must still have `etag`, else PreconditionFailed. Raises: NoSuchUpload, NoSuchKey, InvalidRange.
        """

    async def list_parts(self, upload: Upload, after: int = 0, limit: int = 1000) -> PartPage:
        """Return the parts after number `after`. Raises: NoSuchUpload."""

    async def list_uploads(self, bucket: str, query: UploadQuery) -> UploadPage:
        """Return a page of open uploads and common prefixes, never more items than `query.limit`."""

    async def complete_upload(self, upload: Upload, parts: Sequence[Part], completion: Completion) -> ObjectInfo:
        """Make the object of the given parts, in the given order, at once and whole; the upload is gone then.

        Of each part the number and the etag are compared, and the checksum if it is given, as it must be where a
        composite one was asked for. After an error the upload is as before.

        Raises: NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall (a part under 5 MiB that is not the last),
        BadDigest, InvalidRequest, PreconditionFailed, NoSuchKey; NotImplementedByGateway, where there is a check, and
        the storage shows nothing of an upload before it is completed.
        """

    async def abort_upload(self, upload: Upload) -> None:
        """Give an upload up and free its parts. Raises: NoSuchUpload."""
