"""Calls as the edge would make them, from what a client sends."""

from collections.abc import AsyncIterator, Iterable
from urllib.parse import parse_qsl, unquote

from gateway.auth.keys import Grants, Key
from gateway.message import Call, Headers, Owner
from gateway.storage import Body

ACCESS = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = {ACCESS: Key(ACCESS, SECRET, Owner("owner-id", "owner"), Grants.parse(["*"]))}


async def chunks(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def call(method: str, target: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", **more) -> Call:
    """`target` is path and query as on the wire; the bucket is the first of the path unless `bucket` is given."""
    path, _, query = target.partition("?")
    pairs = [(name.lower(), value) for name, value in headers]
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    if "bucket" in more:
        bucket, key, more["virtual_host"] = more.pop("bucket"), unquote(path)[1:], True
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        parameters.setdefault(name, value)
    size = more.pop("size", len(body))
    pieces = more.pop("pieces", [body] if body else [])
    return Call(
        method,
        path,
        query,
        Headers(pairs),
        bucket,
        key,
        parameters,
        Body(chunks(pieces), size, limit=2**40),
        "request-id",
        host=dict(pairs).get("host", ""),
        **more,
    )
