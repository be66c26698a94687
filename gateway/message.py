"""What goes into an operation and what comes out of it, free of any HTTP library."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.errors import AccessDenied
from gateway.storage import Address, Body, Download

KEY_LIMIT: Final = 1024  # bytes of UTF-8: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
ANONYMOUS_ID: Final = "65a011a29cdf8ec533ec3d1ccaae921c"  # the id under which S3 lists what nobody owns


@dataclass(frozen=True, slots=True)
class Owner:
    """A canonical user: who owns buckets and objects."""

    id: str
    display_name: str = ""


class Rights(Protocol):
    """What a key may do."""

    def allows(self, verb: str, bucket: str, key: str) -> bool:
        """Say whether `verb` (read, write, delete, list, admin) is allowed there; key "" is the bucket itself."""

    def sees(self, bucket: str) -> bool:
        """Say whether anything at all is allowed in a bucket, so that a listing may tell of it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. Without an access key: anybody."""

    owner: Owner
    rights: Rights
    access_key: str = ""

    @property
    def anonymous(self) -> bool:
        """True where nothing was signed."""
        return not self.access_key


class Headers:
    """The headers of a request, by lower-case name, in the order they came; a name may come more than once."""

    __slots__ = ("_values", "pairs")

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs
        self._values: dict[str, str] = {}
        for name, value in pairs:
            self._values.setdefault(name, value)

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a header."""
        return self._values.get(name, default)

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.pairs if key == name]

    def names(self) -> Sequence[str]:
        """Return each name once."""
        return list(self._values)

    def has_any(self, names: Collection[str]) -> bool:
        """Say whether one of these headers is there."""
        return not self._values.keys().isdisjoint(names)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> str:
        return self._values[name]


@dataclass(slots=True)
class Call:
    """One request.

    `path` and `query_string` are as the client sent them, because signatures are over those; `bucket` and `key` are
    decoded. `query` has each parameter decoded, the first of a name; a name without "=" has the value "". `form` has
    the fields of the form that a browser sent, by lower-case name, where the call came as one.
    `authorize` raises AccessDenied unless the caller may do `verb` at an address: the pipeline has asked it for the
    address of the call itself, an operation asks for whatever else it touches. `denied` are keys that were denied to a
    call that did the rest.
    """

    method: str
    path: str
    query_string: str
    headers: Headers
    bucket: str
    key: str
    query: Mapping[str, str]
    body: Body
    request_id: str
    host: str = ""
    virtual_host: bool = False  # the bucket stood in the host, not in the path
    remote: str = ""
    secure: bool = False
    operation: str = ""
    form: Mapping[str, str] | None = None
    caller: Caller | None = None
    authorize: Callable[..., Awaitable[None]] | None = None
    denied: Sequence[str] = ()
    keep_open: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def address(self) -> Address:
        """Where the call points to."""
        return Address(self.bucket, self.key)

    async def require(self, verb: str, at: Address, labels: Mapping[str, str] | None = None) -> None:
        """Raise AccessDenied unless the caller may do `verb` there; nothing is allowed before `authorize` is set.

        `labels` are those of an object that is open already, to be judged instead of what is there by now.
        """
        if self.authorize is None:
            raise AccessDenied
        await (self.authorize(verb, at) if labels is None else self.authorize(verb, at, labels))


@dataclass(slots=True)
class Answer:
    """What is to be sent. A Download's context is held by `Call.keep_open` until it is written.

    The pieces of an iterator are written as they come, as a body of untold length (Transfer-Encoding: chunked); an
    S3Error that it raises after the first, which is the declaration of an XML document, is told in the rest of it.
    `headers` names are as they are to be written; Content-Length is told from the content, or from `length` for an
    answer to HEAD.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | Download | AsyncIterator[bytes] = b""
    length: int | None = None
