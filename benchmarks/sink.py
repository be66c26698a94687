"""A server that speaks as much S3 as a gateway in front of it asks for, and costs next to nothing.

It keeps no bytes, only how many an object has: what is put is thrown away, what is got are zeros. No signature is
checked and nothing is hashed; it says instead that all is encrypted with a key of KMS, so that no ETag is a hash.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
"""

import asyncio
import re
import sys
from bisect import bisect_right, insort
from typing import Final, cast
from urllib.parse import parse_qsl, unquote

import uvloop

BUFFER: Final = 256 * 1024
ZEROS: Final = memoryview(bytes(BUFFER))
ETAG: Final = '"00000000000000000000000000000000"'
DATE: Final = "Sat, 21 Nov 2026 09:00:00 GMT"
TIMESTAMP: Final = "2026-11-21T09:00:00.000Z"
COMMON: Final = (
    f"Server: sink\r\nDate: {DATE}\r\nETag: {ETAG}\r\nLast-Modified: {DATE}\r\nAccept-Ranges: bytes\r\n"
    "x-amz-request-id: 4442587FB7D0A2F9\r\nx-amz-server-side-encryption: aws:kms\r\n"
)
PAGE: Final = 1000
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
_DECODED: Final = re.compile(rb"\r\nx-amz-decoded-content-length: *([0-9]+)", re.IGNORECASE)
_SOURCE: Final = re.compile(rb"\r\nx-amz-copy-source: */?([^\r]+)", re.IGNORECASE)
_RANGE: Final = re.compile(rb"\r\nrange: *bytes=([0-9]+)-([0-9]*)", re.IGNORECASE)


class Objects:
    """Sizes of objects, by bucket/key. Open uploads are kept alike, by bucket/key?part."""

    def __init__(self, bucket: str) -> None:
        self.bucket = bucket
        self._sizes: dict[str, int] = {}
        self._keys: list[str] = []  # of the bucket, in order
        self._parts: dict[str, dict[str, int]] = {}

    def size(self, name: str) -> int | None:
        """Return how many bytes an object has, None if there is none."""
        return self._sizes.get(name)

    def put(self, name: str, size: int) -> None:
        """Note an object."""
        if name not in self._sizes and name.startswith(f"{self.bucket}/"):
            insort(self._keys, name.removeprefix(f"{self.bucket}/"))
        self._sizes[name] = size

    def put_part(self, name: str, number: str, size: int) -> None:
        """Note a part."""
        self._parts.setdefault(name, {})[number] = size

    def complete(self, name: str) -> None:
        """Make an object of the parts."""
        self.put(name, sum(self._parts.pop(name, {}).values()))

    def delete(self, name: str) -> None:
        """Forget an object."""
        if self._sizes.pop(name, None) is not None:
            self._keys.remove(name.removeprefix(f"{self.bucket}/"))

    def page(self, query: dict[str, str]) -> str:
        """Return a page of a listing as XML; the token of the next one is the last item of this."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = unquote(query.get("continuation-token") or query.get("start-after") or "")
        limit = int(query.get("max-keys", PAGE))
        items: dict[str, str] = {}
        for key in self._keys[bisect_right(self._keys, max(after, prefix[:-1])) :]:
            end = key.find(delimiter, len(prefix)) + 1 if delimiter else 0
            folded = key[:end] if end else key
            if not key.startswith(prefix) or (end and folded == after):
                continue
            if len(items) == limit and folded not in items:
                break
            items[folded] = _prefix(folded) if end else _contents(key, self._sizes[f"{self.bucket}/{key}"])
        else:
            return _listing(prefix, items, "")
        return _listing(prefix, items, list(items)[-1])


class Sink(asyncio.BufferedProtocol):
    """One connection: requests are answered one after another."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._buffer = memoryview(bytearray(BUFFER))
        self._head = b""
        self._incoming = 0  # bytes of a body still to come in
        self._outgoing = 0  # bytes of a body still to be sent
        self._paused = False
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # the protocol's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._incoming:
            taken = min(self._incoming, nbytes)
            self._incoming -= taken
            rest = bytes(self._buffer[taken:nbytes])
        else:
            rest, taken = bytes(self._buffer[:nbytes]), 0
        if not self._incoming and taken:
            self._transport.write(self._answer)
        if rest:
            self._read_head(rest)

    def _read_head(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        head, rest = self._head[:end], self._head[end + 4 :]
        self._head = b""
        length = _LENGTH.search(head)
        self._incoming = max(0, int(length[1]) - len(rest)) if length else 0
        self._answer = self._answered(head)
        if b"\r\nexpect: 100-continue" in head.lower():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._incoming:
            self._transport.write(self._answer)
            self._send_zeros()

    def _answered(self, head: bytes) -> bytes:
        """Do what a request asks for, and return the answer, of a GET its head."""
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        path, _, parameters = target.partition("?")
        name = unquote(path).strip("/")
        query = dict(parse_qsl(parameters, keep_blank_values=True))
        if not name or ("/" not in name and method != "DELETE"):
            return self._about_bucket(method, name, query)
        if method in {"GET", "HEAD"}:
            return self._read(method, name, head)
        if method == "DELETE":
            self._objects.delete(name)
            return _empty("204 No Content")
        if method == "POST":
            return self._about_upload(name, query)
        return self._written(name, query, head)

    def _about_bucket(self, method: str, name: str, query: dict[str, str]) -> bytes:
        if method != "GET":
            return _empty("200 OK")
        if not name:
            entry = f"<Bucket><Name>{self._objects.bucket}</Name><CreationDate>{TIMESTAMP}</CreationDate></Bucket>"
            return _xml(f"<ListAllMyBucketsResult><Buckets>{entry}</Buckets></ListAllMyBucketsResult>")
        return _xml(self._objects.page(query))

    def _read(self, method: str, name: str, head: bytes) -> bytes:
        size = self._objects.size(name)
        if size is None:
            error = "" if method == "HEAD" else "<Error><Code>NoSuchKey</Code></Error>"
            return f"HTTP/1.1 404 Not Found\r\n{COMMON}Content-Length: {len(error)}\r\n\r\n{error}".encode()
        wanted = _RANGE.search(head)
        start, stop = (int(wanted[1]), int(wanted[2] or size - 1) + 1) if wanted else (0, size)
        status = f"206 Partial Content\r\nContent-Range: bytes {start}-{stop - 1}/{size}" if wanted else "200 OK"
        self._outgoing = 0 if method == "HEAD" else stop - start
        return (
            f"HTTP/1.1 {status}\r\n{COMMON}Content-Type: binary/octet-stream\r\nContent-Length: {stop - start}\r\n\r\n"
        ).encode()

    def _about_upload(self, name: str, query: dict[str, str]) -> bytes:
        if "uploads" in query:
            return _xml("<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
        self._objects.complete(name)
        return _xml(f'<CompleteMultipartUploadResult><ETag>{ETAG[:-1]}-2"</ETag></CompleteMultipartUploadResult>')

    def _written(self, name: str, query: dict[str, str], head: bytes) -> bytes:
        if source := _SOURCE.search(head):
            self._objects.put(name, self._objects.size(unquote(source[1].decode())) or 0)
            return _xml(
                f"<CopyObjectResult><ETag>{ETAG}</ETag><LastModified>{TIMESTAMP}</LastModified></CopyObjectResult>"
            )
        length = _DECODED.search(head) or _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if "partNumber" in query:
            self._objects.put_part(name, query["partNumber"], size)
        else:
            self._objects.put(name, size)
        return _empty("200 OK")

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send_zeros()

    def _send_zeros(self) -> None:
        while self._outgoing and not self._paused:
            size = min(self._outgoing, BUFFER)
            self._outgoing -= size
            self._transport.write(ZEROS[:size])


def _empty(status: str) -> bytes:
    length = "" if status.startswith("204") else "Content-Length: 0\r\n"
    return f"HTTP/1.1 {status}\r\n{COMMON}{length}\r\n".encode()


def _xml(content: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\n{COMMON}Content-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n"
    return (head + content).encode()


def _contents(key: str, size: int) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>{TIMESTAMP}</LastModified><ETag>{ETAG}</ETag>"
        f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _prefix(prefix: str) -> str:
    return f"<CommonPrefixes><Prefix>{prefix}</Prefix></CommonPrefixes>"


def _listing(prefix: str, items: dict[str, str], last: str) -> str:
    token = f"<NextContinuationToken>{last}</NextContinuationToken>" if last else ""
    return (
        f"<ListBucketResult><Prefix>{prefix}</Prefix><MaxKeys>{PAGE}</MaxKeys><KeyCount>{len(items)}</KeyCount>"
        f"<IsTruncated>{'true' if last else 'false'}</IsTruncated>{token}{''.join(items.values())}</ListBucketResult>"
    )


async def _serve(port: int, bucket: str) -> None:
    objects = Objects(bucket)
    server = await asyncio.get_running_loop().create_server(lambda: Sink(objects), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2]))
