"""Calls and services as the pipeline hands them to an operation, without a socket."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, unquote

import xmltodict

from gateway.backends.memory import Memory
from gateway.cors import Cors
from gateway.errors import AccessDenied
from gateway.message import ANONYMOUS_ID, Answer, Call, Caller, Headers, Owner
from gateway.operations.service import Service
from gateway.storage import Address, Backend, Body

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Everything:
    def allows(self, verb: str, bucket: str, key: str) -> bool:
        return True

    def sees(self, bucket: str) -> bool:
        return True


class Nothing:
    def allows(self, verb: str, bucket: str, key: str) -> bool:
        return False

    def sees(self, bucket: str) -> bool:
        return False


ALICE = Caller(Owner("alice-id", "Alice"), Everything(), "AKALICE")
BOB = Caller(Owner("bob-id", "Bob"), Everything(), "AKBOB")
ANYBODY = Caller(Owner(ANONYMOUS_ID), Nothing())

Authorize = Callable[..., Awaitable[None]]


async def allow(verb: str, address: Address, labels: Mapping[str, str] | None = None) -> None:
    """Allow whatever is asked."""


def denying(*keys: str, asked: list[tuple[str, Address]] | None = None) -> Authorize:
    """Return an `authorize` that refuses these keys and notes what it was asked."""

    async def authorize(verb: str, address: Address, _labels: Mapping[str, str] | None = None) -> None:
        if asked is not None:
            asked.append((verb, address))
        if address.key in keys:
            raise AccessDenied

    return authorize


def body(data: bytes, *, size: bool = True, pieces: int = 1) -> Body:
    """Return an upload of `data` that comes in `pieces` chunks; without `size` its length is not said beforehand."""

    async def chunks() -> AsyncIterator[bytes]:
        step = max(1, -(-len(data) // pieces))
        for start in range(0, len(data), step):
            yield data[start : start + step]

    return Body(chunks(), len(data) if size else None)


def call(  # noqa: PLR0913 - a request has that many parts
    method: str,
    target: str,
    data: bytes | Body = b"",
    *,
    headers: Mapping[str, str] | None = None,
    caller: Caller = ALICE,
    authorize: Authorize = allow,
) -> Call:
    """Return the call of `GET /bucket/key?query`, path-style and percent-encoded as on the wire."""
    path, _, query = target.partition("?")
    bucket, _, key = path.removeprefix("/").partition("/")
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(name, value)
    return Call(
        method=method,
        path=path,
        query_string=query,
        headers=Headers([(name.lower(), value) for name, value in (headers or {}).items()]),
        bucket=unquote(bucket),
        key=unquote(key),
        query=parameters,
        body=data if isinstance(data, Body) else body(data),
        request_id="REQUEST",
        host="127.0.0.1:9000",
        caller=caller,
        authorize=authorize,
    )


def service(
    storage: Backend | None = None,
    *,
    region: str = "us-east-1",
    acls: Collection[str] = (),
    cors: Mapping[str, Cors] | None = None,
) -> Service:
    """Return a service on memory; buckets named in `acls` keep ACLs ("*": all of them), those in `cors` have rules."""
    return Service(storage or Memory(), region, lambda bucket: bucket in acls or "*" in acls, (cors or {}).get)


async def bucket(of: Service, name: str = "bucket", keys: Collection[str] = (), owner: str = "alice-id") -> Service:
    """Make a bucket that holds these keys, each with its own name as content."""
    await of.storage.create_bucket(name, {"owner": owner})
    for key in keys:
        await of.storage.put(Address(name, key), body(key.encode()))
    return of


def parsed(answer: Answer, *lists: str) -> dict:
    """Return the document of an answer, below its root; elements named in `lists` come as lists."""
    assert isinstance(answer.content, bytes)
    (root,) = xmltodict.parse(answer.content, force_list=lists, strip_whitespace=False).values()
    return {name: value for name, value in (root or {}).items() if not name.startswith(("@", "#"))}
