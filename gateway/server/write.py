"""From an Answer to what stands on the wire.

After the first byte there is no other answer: whatever fails then breaks the connection, so that the client sees a
body that ends short instead of one that is wrong.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import nullcontext
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from gateway.budget import BUDGET
from gateway.errors import InvalidArgument, S3Error
from gateway.message import Answer
from gateway.operations import xml
from gateway.server.connection import ClientGoneError
from gateway.server.exchange import HOST_ID, Exchange
from gateway.server.sendfile import send_file
from gateway.storage import PIECE, SMALL, STREAMED, Download, File

BODILESS: Final = frozenset({204, 304})

_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


async def write(exchange: Exchange, answer: Answer) -> None:
    """Write an answer. Raises: ClientGoneError, and whatever the content raises."""
    content = answer.content
    if exchange.method == "HEAD" or answer.status in BODILESS:
        _send(exchange, answer, _head(exchange, answer, _length(answer)))
    elif isinstance(content, bytes):
        await _write_whole(exchange, answer, content)
    elif isinstance(content, Download):
        await _write_download(exchange, answer, content)
    else:
        await _write_untold(exchange, answer, content)
    await exchange.connection.drain()


def _length(answer: Answer) -> int | None:
    content = answer.content
    if answer.length is not None or isinstance(content, AsyncIterator):
        return answer.length
    return content.stop - content.start if isinstance(content, Download) else len(content)


def write_error(exchange: Exchange, error: S3Error) -> None:
    """Write an error if that can still be done, else break the connection."""
    if exchange.status:
        exchange.fail(error.code)
        return
    exchange.error = error.code
    body = xml.error(error, exchange.path, exchange.request_id, HOST_ID)
    answer = Answer(error.status, {"Content-Type": "application/xml", **error.headers}, body)
    head = _head(exchange, answer, len(body))
    try:
        _send(exchange, answer, head, b"" if exchange.method == "HEAD" or error.status in BODILESS else body)
    except ClientGoneError:
        exchange.fail(error.code)


def _send(exchange: Exchange, answer: Answer, head: bytes, body: bytes = b"") -> None:
    exchange.status = exchange.status or answer.status
    exchange.connection.send(head + body)
    exchange.sent += len(body)


async def _write_whole(exchange: Exchange, answer: Answer, content: bytes) -> None:
    """Send what is in memory already; what is not small is charged until the client has taken it."""
    async with BUDGET.held(len(content)) if len(content) > SMALL else nullcontext():
        _send(exchange, answer, _head(exchange, answer, len(content)), content)
        if len(content) > SMALL:
            await exchange.connection.drain()
    if exchange.meter:
        await exchange.meter.passed(len(content))


async def _write_download(exchange: Exchange, answer: Answer, download: Download) -> None:
    content, length = download.content, download.stop - download.start
    if isinstance(content, bytes):
        await _write_whole(exchange, answer, content)
    elif isinstance(content, File) and not exchange.connection.secure:
        head = _head(exchange, answer, length)
        exchange.status = answer.status
        await send_file(exchange, head, content, length)
    else:
        chunks = _pieces(content, length) if isinstance(content, File) else content
        async with BUDGET.held(min(length, STREAMED)):
            await _write_stream(exchange, answer, length, _exactly(length, chunks))
    if exchange.sent != length:
        message = f"an answer of {length} bytes ended after {exchange.sent}"
        raise ValueError(message)


async def _write_untold(exchange: Exchange, answer: Answer, pieces: AsyncIterator[bytes]) -> None:
    """Write pieces whose number nobody knows: in chunks, or for a client of HTTP/1.0 until the connection ends."""
    exchange.closing = exchange.old
    pieces = _ending_well(exchange, pieces)
    await _write_stream(exchange, answer, None, pieces if exchange.old else _chunked(pieces))


async def _write_stream(exchange: Exchange, answer: Answer, length: int | None, chunks: AsyncIterator[bytes]) -> None:
    """Send chunks as they come; the head waits for the first, so that a failure before it can still be told."""
    async for chunk in chunks:
        _send(exchange, answer, b"" if exchange.status else _head(exchange, answer, length), chunk)
        await exchange.connection.drain()
        if exchange.meter:
            await exchange.meter.passed(len(chunk))
        del chunk  # else it is held while the next one is waited for
    if not exchange.status:
        _send(exchange, answer, _head(exchange, answer, length))


async def _ending_well(exchange: Exchange, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass pieces on; an error among them is told in the body, as S3 does, and noted as what became of the request.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
    """
    try:
        async for piece in pieces:
            yield piece
    except S3Error as error:
        if not exchange.status:
            raise
        exchange.status, exchange.error = error.status, error.code
        yield xml.continued(xml.error(error, exchange.path, exchange.request_id, HOST_ID))


async def _chunked(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        if piece:
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


async def _exactly(length: int, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Pass chunks on, but never more than was announced: the client would take the rest for its next answer."""
    async for chunk in chunks:
        length -= len(chunk)
        if length < 0:
            message = f"the content is {-length} bytes longer than announced"
            raise ValueError(message)
        yield chunk
        del chunk


async def _pieces(file: File, length: int) -> AsyncIterator[bytes]:
    """Read a file where the kernel cannot send it itself, because the bytes are to be encrypted."""
    offset, end = file.offset, file.offset + length
    while offset < end:
        piece = await asyncio.to_thread(os.pread, file.descriptor, min(PIECE, end - offset), offset)
        if not piece:
            return
        offset += len(piece)
        yield piece


def _head(exchange: Exchange, answer: Answer, length: int | None) -> bytes:
    lines = [
        _LINES[answer.status],
        f"Server: s3-gateway\r\nDate: {_date()}\r\n",
        f"x-amz-request-id: {exchange.request_id}\r\nx-amz-id-2: {HOST_ID}\r\n",
    ]
    if length is None:
        lines.append("" if exchange.old else "Transfer-Encoding: chunked\r\n")
    elif answer.status not in BODILESS:
        lines.append(f"Content-Length: {length}\r\n")
    if exchange.decide_closing():
        lines.append("Connection: close\r\n")
    elif exchange.old:
        lines.append("Connection: keep-alive\r\n")
    lines.append(_fields({**answer.headers, **exchange.cors} if exchange.cors else answer.headers))
    return "".join(lines).encode()


def _fields(headers: Mapping[str, str]) -> str:
    """Return header lines. Raises: InvalidArgument where a value could end its line and begin another."""
    for value in headers.values():
        if not value.isprintable() and any(character < " " or character == "\x7f" for character in value):
            raise InvalidArgument("A header of the answer cannot hold a control character.")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]) + "\r\n"


def _date() -> str:
    """Return the time as HTTP writes it, made once a second."""
    now = int(time.time())
    if _clock[0] != now:
        _clock[:] = [now, formatdate(now, usegmt=True)]
    return str(_clock[1])


_clock: list[int | str] = [0, ""]
