"""From what stands on the wire to a Call: where the bucket is, what is decoded, what is refused at once.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final
from urllib.parse import unquote_plus

from aiohttp.http import RawRequestMessage

from gateway.errors import InvalidURI, KeyTooLongError, RequestHeaderSectionTooLarge, S3Error
from gateway.message import KEY_LIMIT, Call, Headers
from gateway.server.exchange import Exchange
from gateway.storage import Body

_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class Parser:
    """Makes Calls.

    `domains` are the names under which buckets are addressed as hosts, `proxies` those who are believed when they say
    for whom they ask.
    """

    def __init__(self, domains: Sequence[str] = (), proxies: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._proxies = tuple(proxies)
        self._suffixes = tuple("." + domain.lower().rstrip(".") for domain in domains)

    def __call__(self, exchange: Exchange) -> Call:
        """Return what is asked for. Raises: InvalidURI, KeyTooLongError, RequestHeaderSectionTooLarge."""
        request = exchange.request
        if isinstance(request, S3Error):
            raise request
        headers = Headers(_header_pairs(request, exchange.connection.limits.headers))
        target, host = request.path, headers.get("host")
        if not target.startswith("/") and (absolute := _ABSOLUTE.match(target)):
            host, target = absolute.groups()
        path, _, query_string = target.partition("?")
        hosted = self._bucket_of(host) if self._suffixes else ""
        bucket, key = (hosted, _decoded(path[1:])) if hosted else _split(path)
        if len(key) > KEY_LIMIT // 4 and len(key.encode()) > KEY_LIMIT:
            raise KeyTooLongError(Size=str(len(key.encode())), MaxSizeAllowed=str(KEY_LIMIT))
        return Call(
            method=request.method,
            path=path or "/",
            query_string=query_string,
            headers=headers,
            bucket=bucket,
            key=key,
            query=_query(query_string) if query_string else {},
            body=Body(exchange.body(), _declared_size(request, headers)),
            request_id=exchange.request_id,
            host=host,
            virtual_host=bool(hosted),
            remote=self._client(exchange, headers) if self._proxies else exchange.connection.remote,
            secure=exchange.connection.secure,
        )

    def _client(self, exchange: Exchange, headers: Headers) -> str:
        """Return the address of who asks: the last one in X-Forwarded-For that is not a proxy's, as far as known.

        Whoever stands before the first address that nobody vouches for may have made up what is further left.
        """
        client = exchange.connection.remote
        claimed = ",".join(headers.all("x-forwarded-for")).split(",")
        while claimed and self._is_proxy(client):
            said = _address(claimed.pop())
            if not said:
                break
            client = said
        return client

    def _is_proxy(self, client: str) -> bool:
        address = ip_address(client) if client else None
        return any(address in network for network in self._proxies)

    def _bucket_of(self, host: str) -> str:
        """Return the bucket that stands in a host, "" if none does."""
        name = host.lower()
        if not name.endswith("]"):
            name = name.rpartition(":")[0] or name
        name = name.rstrip(".")
        return next((name.removesuffix(suffix) for suffix in self._suffixes if name.endswith(suffix)), "")


def _address(text: str) -> str:
    """Return an address as it is always written, "" where it is none."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def _header_pairs(request: RawRequestMessage, limit: int) -> list[tuple[str, str]]:
    """Return the headers as text, whatever their bytes are: without one that cannot be encoded again."""
    raw = request.raw_headers
    if sum([len(name) + len(value) + 4 for name, value in raw]) > limit:
        raise RequestHeaderSectionTooLarge(MaxSizeAllowed=str(limit))
    try:
        return [(name.decode().lower(), value.decode()) for name, value in raw]
    except UnicodeDecodeError:
        return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw]


def _declared_size(request: RawRequestMessage, headers: Headers) -> int | None:
    declared = headers.get("content-length")
    return None if request.chunked or not declared else int(declared)


def _split(path: str) -> tuple[str, str]:
    bucket, _, key = path[1:].partition("/")
    return _decoded(bucket), _decoded(key)


def _query(query_string: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for parameter in query_string.split("&"):
        name, _, value = parameter.partition("=")
        if parameter:
            query.setdefault(_decoded(name), _decoded(value))
    return query


def _decoded(text: str) -> str:
    """Decode a part of a URI. Raises: InvalidURI where an escape is broken or the bytes are no UTF-8.

    A plus stands for a blank in a path, too: S3 reads it so, its console links to keys so, and clients write %2B for a
    plus. https://github.com/aws/aws-sdk-ruby/issues/654
    """
    if text.isascii() and "%" not in text and "+" not in text:
        return text
    if _BROKEN_ESCAPE.search(text):
        raise InvalidURI
    try:
        decoded = unquote_plus(text, errors="strict")
        decoded.encode()
    except UnicodeError as error:
        raise InvalidURI from error
    return decoded
