"""Deletions, many of them by one request where they are asked for at the same time.

https://cloud.google.com/storage/docs/batch
"""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from email.parser import BytesParser
from secrets import token_hex
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

from gateway.backends.gcs.client import API, REFUSED, Client, Request
from gateway.backends.gcs.failures import Refusal, translate
from gateway.backends.gcs.names import check_read, object_path
from gateway.backends.gcs.writing import remove
from gateway.errors import InternalError, NoSuchBucket, NoSuchKey, NotImplementedByGateway, S3Error, ServiceUnavailable
from gateway.storage import Address

BATCH: Final = "/batch/storage/v1"
MOST: Final = 100  # calls of one batch
_Thing = TypeVar("_Thing")
_ID: Final = re.compile(r"<response-([0-9]{1,3})>")
_STATUS: Final = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})")


class _Wish(NamedTuple):
    at: Address
    done: asyncio.Future[None]


class Deletions:
    """Takes deletions, and sends together what is asked for within one turn of the event loop."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._wishes: list[_Wish] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        _give_up(self._wishes)

    async def delete(self, at: Address) -> None:
        """Delete an object, if it is there."""
        with suppress(NoSuchKey):
            check_read(at)
            wish = _Wish(at, asyncio.get_running_loop().create_future())
            self._wishes.append(wish)
            if len(self._wishes) == 1:
                task = asyncio.create_task(self._send())
                self._sending.add(task)
                task.add_done_callback(self._sending.discard)
            await wish.done

    async def _send(self) -> None:
        await asyncio.sleep(0)  # those that are asked for at the same time come meanwhile
        wishes, self._wishes = self._wishes, []
        try:
            await asyncio.gather(*(self._fulfil(lot) for lot in lots(wishes)))
        finally:
            _give_up(wishes)

    async def _fulfil(self, wishes: Sequence[_Wish]) -> None:
        outcomes: Sequence[S3Error | None] = [NotImplementedByGateway()] * len(wishes)
        if len(wishes) > 1:
            outcomes = await delete_together(self._client, [wish.at for wish in wishes])
        alone = []
        for wish, outcome in zip(wishes, outcomes, strict=True):
            if isinstance(outcome, NotImplementedByGateway):
                alone.append(wish)
            else:
                _settle(wish, outcome)
        await asyncio.gather(*map(self._fulfil_alone, alone))

    async def _fulfil_alone(self, wish: _Wish) -> None:
        try:
            await remove(self._client, wish.at)
        except S3Error as error:
            _settle(wish, error)
        else:
            _settle(wish, None)


def _give_up(wishes: Sequence[_Wish]) -> None:
    for wish in wishes:
        _settle(wish, ServiceUnavailable())


def _settle(wish: _Wish, outcome: S3Error | None) -> None:
    if wish.done.done():
        return  # it has its outcome, or nobody waits for that any more
    if outcome:
        wish.done.set_exception(outcome)
    else:
        wish.done.set_result(None)


def lots(things: Sequence[_Thing]) -> Iterator[Sequence[_Thing]]:
    """Cut what is to be deleted into as much as one request takes."""
    return (things[start : start + MOST] for start in range(0, len(things), MOST))


async def delete_together(client: Client, names: Sequence[Address]) -> Sequence[S3Error | None]:
    """Delete up to MOST objects by one request, and return how each failed.

    With NotImplementedByGateway if the storage, which is an emulator then, does not know how to.
    """
    if not client.knows_batches:
        return [NotImplementedByGateway()] * len(names)
    boundary = token_hex(16)
    headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
    request = Request("POST", BATCH, Address(""), headers=headers)
    try:
        async with await client.respond(request, _written(names, boundary)) as response:
            with client.translated(request):
                answers = _answers(response.headers.get("Content-Type", ""), await response.read())
    except (NoSuchBucket, NotImplementedByGateway):
        client.knows_batches = False
        return [NotImplementedByGateway()] * len(names)
    except S3Error as error:
        return [error] * len(names)
    return [_outcome(client, at, answers.get(number)) for number, at in enumerate(names)]


def _written(names: Sequence[Address], boundary: str) -> bytes:
    calls = (
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE {API}{object_path(at)} HTTP/1.1\r\n\r\n\r\n"
        for number, at in enumerate(names)
    )
    return f"{''.join(calls)}--{boundary}--\r\n".encode()


def _answers(kind: str, content: bytes) -> Mapping[int, bytes]:
    """Return the answers within an answer, by the number of what each answers."""
    message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + content)
    found = {}
    for part in message.walk():
        number, answer = _ID.fullmatch(part.get("Content-ID", "").strip()), part.get_payload(decode=True)
        if number and isinstance(answer, bytes):
            found[int(number[1])] = answer
    return found


def _outcome(client: Client, at: Address, answer: bytes | None) -> S3Error | None:
    status = _STATUS.match(answer or b"")
    if answer is None or status is None:
        return InternalError()
    if int(status[1]) < REFUSED:
        return None
    _, _, content = answer.partition(b"\r\n\r\n")
    return translate(Refusal(int(status[1]), content, at, client.name, repeatable=False))
