"""A proxy in front of an S3 server that refuses what Cloudflare R2 refuses, and asks for equal parts.

https://developers.cloudflare.com/r2/api/s3/api/ and https://developers.cloudflare.com/r2/objects/multipart-objects/
"""

import asyncio
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, web
from yarl import URL

REFUSED_HEADERS = re.compile(
    r"x-amz-(tagging|acl$|grant-|object-lock|website-redirect|request-payer|expected-bucket-owner|mfa|checksum-"
    r"|server-side-encryption(?!-customer)|trailer|decoded-content-length).*|expect"
)
REFUSED_QUERIES = {"tagging", "acl", "attributes", "policy", "versioning", "versions", "torrent", "retention"}
DESTINATION = "cf-copy-destination-"
BACKLOG = 1024  # connections made at the same time: of more than wait here, the system drops some for a second or more
HOP = {"connection", "transfer-encoding", "keep-alive"}


class R2Strict:
    """The proxy; `sizes` are those of the parts that were stored, by upload."""

    def __init__(self, upstream: str, session: ClientSession) -> None:
        self._upstream, self._session = upstream, session
        self.sizes: dict[str, dict[int, int]] = defaultdict(dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read() if request.method == "POST" else None
        refusal = self._refusal(request, body or b"")
        if refusal:
            status, code = refusal
            answer = web.Response(status=status, text=f"<Error><Code>{code}</Code><Message>R2</Message></Error>")
            answer.force_close()
            return answer
        async with self._forwarded(request, body) as response:
            if response.status == 200 and request.method == "PUT" and "uploadId" in request.query:
                self.sizes[request.query["uploadId"]][int(request.query["partNumber"])] = request.content_length or 0
            return await self._passed_on(request, response)

    def _refusal(self, request: web.Request, body: bytes) -> tuple[int, str] | None:
        headers, query = {name.lower(): value for name, value in request.headers.items()}, request.query
        copies = "x-amz-copy-source" in headers
        conditions = {"if-match", "if-none-match"} & headers.keys()
        pins = any(name.startswith("x-amz-copy-source-if") for name in headers)
        odd = any(REFUSED_HEADERS.fullmatch(name) for name in headers if name != "x-amz-checksum-mode")
        framed = headers.get("x-amz-content-sha256", "").startswith("STREAMING")
        completes = request.method == "POST" and "uploadId" in query
        refusals = {
            (501, "NotImplemented"): odd
            or framed
            or bool(REFUSED_QUERIES & query.keys())
            or (bool(conditions) and (copies or request.method == "DELETE"))
            or (pins and "partNumber" in query),
            (411, "MissingContentLength"): request.method == "PUT" and "transfer-encoding" in headers,
            (400, "InvalidObjectName"): not unicodedata.is_normalized(
                "NFC", unquote(request.raw_path.partition("?")[0])
            ),
            (400, "InvalidPart"): completes and not self._equal(query["uploadId"], body),
        }
        return next((refusal for refusal, holds in refusals.items() if holds), None)

    def _equal(self, upload: str, body: bytes) -> bool:
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        sizes = [self.sizes[upload].get(number, 0) for number in numbers]
        return not sizes or (len(set(sizes[:-1])) <= 1 and all(sizes[-1] <= size for size in sizes))

    def _forwarded(self, request: web.Request, body: bytes | None):
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP]
        headers += [
            (name.lower().removeprefix(DESTINATION), value)
            for name, value in request.headers.items()
            if name.lower().startswith(DESTINATION)
        ]
        has_body = request.method == "PUT" and request.content_length
        return self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=headers,
            data=request.content.iter_any() if has_body else body or None,
            allow_redirects=False,
        )

    async def _passed_on(self, request: web.Request, response: ClientResponse) -> web.StreamResponse:
        answer = web.StreamResponse(status=response.status, reason=response.reason)
        for name, value in response.headers.items():
            if name.lower() not in HOP:
                answer.headers.add(name, value)
        await answer.prepare(request)
        if request.method != "HEAD":
            async for piece in response.content.iter_any():
                await answer.write(piece)
        await answer.write_eof()
        return answer


@asynccontextmanager
async def r2_strict(upstream: str) -> AsyncIterator[int]:
    """Serve in front of `upstream`, and give the port."""
    timeout = ClientTimeout(total=None)
    skipped = ("Content-Type", "Accept", "Accept-Encoding", "User-Agent")
    async with ClientSession(auto_decompress=False, timeout=timeout, skip_auto_headers=skipped) as session:
        proxy = R2Strict(upstream, session)

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            try:
                return await proxy.handle(request)
            except (ClientError, OSError):
                if request.transport:
                    request.transport.abort()
                raise web.HTTPBadGateway from None

        runner = web.ServerRunner(web.Server(handler), handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG)
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()


async def _main(upstream: str) -> None:
    async with r2_strict(upstream) as port:
        sys.stdout.write(f"http://127.0.0.1:{port}\n")
        sys.stdout.flush()
        await asyncio.sleep(1e9)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
