"""The real pipeline on a real socket, over objects in memory, and clients that speak HTTP by hand."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway.app import OWNER
from gateway.auth.keys import Grants, Key
from gateway.auth.policy import Policy
from gateway.auth.verify import Verifier
from gateway.backends.memory import Memory
from gateway.cors import Cors
from gateway.operations.service import Service
from gateway.server.bind import bind
from gateway.server.exchange import Exchange
from gateway.server.limits import Limits
from gateway.server.listener import Listener
from gateway.server.observe import Observer
from gateway.server.parse import Parser
from gateway.server.serve import Pipeline
from gateway.server.throttle import Throttle
from gateway.storage import Address, Backend, Body

ACCESS_KEY, SECRET_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
PATIENCE = 20.0


@dataclass
class Reply:
    """One answer, as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Site:
    """A gateway that listens. Objects of the bucket `open` may be read by anybody."""

    listener: Listener
    storage: Backend
    port: int
    ended: asyncio.Queue[Exchange]  # what was answered, in the order in which it ended
    secure: ssl.SSLContext | None = None

    clients: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.secure, limit=2**26)
        self.clients.append(writer)
        return reader, writer

    async def end(self) -> Exchange:
        """Return the next request that was answered or given up."""
        return await asyncio.wait_for(self.ended.get(), PATIENCE)

    async def ask(self, request: bytes) -> bytes:
        """Send something on a new connection, and return everything that comes until the connection ends."""
        reader, writer = await self.connect()
        writer.write(request)
        return await asyncio.wait_for(reader.read(), PATIENCE)

    async def put(self, key: str, data: bytes, bucket: str = "open") -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        await self.storage.put(Address(bucket, key), Body(chunks(), len(data)))

    async def read(self, key: str, bucket: str = "open") -> bytes:
        async with self.storage.get(Address(bucket, key)) as download:
            return (
                download.content
                if isinstance(download.content, bytes)
                else b"".join([chunk async for chunk in download.content])
            )

    def signed(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the head of a request that is signed, its body apart."""
        request = AWSRequest(method, f"http://127.0.0.1:{self.port}{path}", dict(headers or {}))
        Unsigned(Credentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1").add_auth(request)
        sent = {"Host": f"127.0.0.1:{self.port}", **dict(request.headers.items())}
        return head(f"{method} {path} HTTP/1.1", sent)


class Unsigned(S3SigV4Auth):
    """A signature that says nothing of the body."""

    def payload(self, request: AWSRequest) -> str:
        return "UNSIGNED-PAYLOAD"


def head(line: str, headers: Mapping[str, str]) -> bytes:
    return (line + "\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode()


async def receive(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Reply:
    """Return the next answer of a connection."""
    async with asyncio.timeout(PATIENCE):
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
        if bodiless or status in {100, 204, 304}:
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, await _chunks(reader))
        return Reply(status, headers, await reader.readexactly(int(headers["content-length"])))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


def parsed(data: bytes) -> list[Reply]:
    """Return the answers in what came until a connection ended."""

    async def all_of() -> list[Reply]:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        replies = []
        while not reader.at_eof():
            replies.append(await receive(reader))
        return replies

    with asyncio.Runner() as runner:
        return runner.run(all_of())


@asynccontextmanager
async def serving(  # noqa: PLR0913  what a site may have, by name
    storage: Backend | None = None,
    limits: Limits | None = None,
    domains: Sequence[str] = (),
    context: ssl.SSLContext | None = None,
    *,
    throttle: Throttle | None = None,
    proxies: Sequence[IPv4Network] = (),
    cors: Mapping[str, Cors] | None = None,
) -> AsyncIterator[Site]:
    """Serve on a free port until the context ends, and drain then."""
    backend = storage or Memory()
    await backend.create_bucket("open", {})
    key = Key(ACCESS_KEY, SECRET_KEY, OWNER, Grants.parse(["*"]))
    pipeline = Pipeline(
        Parser(domains, proxies),
        Verifier({ACCESS_KEY: key}, "us-east-1"),
        Policy(backend, public=lambda bucket: bucket == "open", keeps_acls=lambda _: False),
        Service(backend, "us-east-1", cors=(cors or {}).get),
        throttle,
    )
    ended: asyncio.Queue[Exchange] = asyncio.Queue()
    observer = Observer(pipeline, lambda exchange, _seconds: ended.put_nowait(exchange))
    listener = Listener(observer, limits or Limits())
    sockets = bind("listen", "127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    await listener.start(sockets, context)
    site = Site(listener, backend, port, ended)
    try:
        yield site
    finally:
        for writer in site.clients:
            writer.close()
        await listener.drain(1)
