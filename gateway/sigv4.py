"""Signature Version 4 as pure functions: the same for checking a signature and for making one.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
EMPTY_SHA256: Final = hashlib.sha256().hexdigest()

# What is encoded as it should be: unreserved characters as they are, all others as %XX, and nothing else as that; a
# slash stands as such in a path only.
_ESCAPED: Final = r"%(?:[01][0-9A-F]|2[0-9A-C]|3[A-F]|40|5[B-E]|60|7[BCDF]|[89A-F][0-9A-F])"
_ENCODED_TEXT: Final = re.compile(rf"(?:[A-Za-z0-9\-._~]++|%2F|{_ESCAPED})*+")
_ENCODED_PATH: Final = re.compile(rf"(?:[A-Za-z0-9\-._~/]++|{_ESCAPED})++")
_BLANKS: Final = re.compile(r"[ \t]+")


class Request(NamedTuple):
    """What is signed of a request: path and query as they stand on the wire, headers as `fold` makes them."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


class Scope(NamedTuple):
    """What a signing key is good for: one day (YYYYMMDD), one region, one service."""

    date: str
    region: str
    service: str = "s3"

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"


def authorization(request: Request, credentials: Credentials, timestamp: str, payload: str) -> str:
    """Return the Authorization header that signs every header of `request`; host and x-amz-date must be there.

    `timestamp` is x-amz-date (20130524T000000Z), `payload` the value of x-amz-content-sha256.
    """
    scope = Scope(timestamp[:8], credentials.region)
    signed = sorted(request.headers)
    text = string_to_sign(timestamp, scope, canonical_request(request, signed, payload))
    signed_by = signature(signing_key(credentials.secret_key, scope), text)
    return (
        f"{ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={';'.join(signed)}, Signature={signed_by}"
    )


def presigned_query(request: Request, credentials: Credentials, timestamp: str, expires: int) -> str:
    """Return the query of a presigned URL, good for `expires` seconds (1 … 604800); it signs every header given.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    scope = Scope(timestamp[:8], credentials.region)
    signed = sorted(request.headers)
    parameters = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": ";".join(signed),
    }
    added = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    query = f"{request.query}&{added}" if request.query else added
    text = string_to_sign(timestamp, scope, canonical_request(request._replace(query=query), signed, UNSIGNED))
    return f"{query}&X-Amz-Signature={signature(signing_key(credentials.secret_key, scope), text)}"


def canonical_request(request: Request, signed: Sequence[str], payload: str) -> str:
    """Return the canonical request. Raises KeyError if a header of `signed` is not there."""
    headers = request.headers
    lines = "".join([f"{name}:{headers[name]}\n" for name in signed])
    path, query = canonical_uri(request.path), canonical_query(request.query)
    return f"{request.method}\n{path}\n{query}\n{lines}\n{';'.join(signed)}\n{payload}"


def string_to_sign(timestamp: str, scope: Scope, canonical: str) -> str:
    """Return the text that the signature is over."""
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(octets(canonical)).hexdigest()}"


@lru_cache(maxsize=1024)
def signing_key(secret_key: str, scope: Scope) -> bytes:
    """Return the key of a day; it is the same for all requests of that day and region."""
    key = octets("AWS4" + secret_key)
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, octets(part), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """Return the signature of a string to sign.

    It is an HMAC, of which all that depends on the key alone is kept: `hmac.digest` takes twice as long, and lets other
    threads run meanwhile, for whose turns a small request would wait.
    """
    inner, outer = _begun(key)
    inner, outer = inner.copy(), outer.copy()
    inner.update(octets(text))
    outer.update(inner.digest())
    return outer.hexdigest()


@lru_cache(maxsize=1024)
def _begun(key: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """Return both hashes of an HMAC, begun with the key, which is no longer than their block: RFC 2104."""
    block = key.ljust(hashlib.sha256().block_size, b"\0")
    return hashlib.sha256(block.translate(hmac.trans_36)), hashlib.sha256(block.translate(hmac.trans_5C))


def fold(pairs: Iterable[tuple[str, str]], *, collapse: bool = True) -> dict[str, str]:
    """Return canonical headers: lower-case names, blanks trimmed and collapsed, repeated ones joined by commas.

    Version 2 does not collapse blanks.
    """
    folded: dict[str, str] = {}
    for name, sent in pairs:
        value = sent.strip(" \t")
        if collapse and ("  " in value or "\t" in value):
            value = _BLANKS.sub(" ", value)
        lower = name.lower()
        folded[lower] = f"{folded[lower]},{value}" if lower in folded else value
    return folded


def canonical_uri(path: str) -> str:
    """Return the path encoded once, as S3 encodes: no second encoding, no dots or slashes resolved.

    However a client wrote a character (`%2b`, `%2B`), it stands there in one way: a blank, which a plus is too, as %20;
    a slash as such: the SDK for Java signs the key `a//b`, and sends it as `a/%2Fb`.
    """
    if _ENCODED_PATH.fullmatch(path):
        return path
    return quote(unquote_to_bytes(octets(path.replace("+", " "))), safe="/") or "/"


def canonical_query(query: str) -> str:
    """Return the parameters encoded anew and sorted by name and value, without X-Amz-Signature.

    A plus sign stands for a blank, a name without "=" has an empty value.
    """
    if not query:
        return ""
    pairs = []
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if parameter and name != "X-Amz-Signature":
            pairs.append((_recoded(name.replace("+", " ")), _recoded(value.replace("+", " "))))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def octets(text: str) -> bytes:
    """Return the bytes that stood on the wire: what was no UTF-8 there has been kept as surrogates."""
    return text.encode("utf-8", "surrogateescape")


def _recoded(text: str) -> str:
    if _ENCODED_TEXT.fullmatch(text):
        return text
    return quote(unquote_to_bytes(octets(text)), safe="")
