"""What a row of the table of operations is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.message import Answer, Call
from gateway.operations.demands import refuse_demands
from gateway.operations.presigned import with_carried
from gateway.operations.service import Service

Function = Callable[[Service, Call], Awaitable[Answer]]


class Scope(StrEnum):
    """What a path points to."""

    SERVICE = "SERVICE"
    BUCKET = "BUCKET"
    OBJECT = "OBJECT"


NOTHING: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of S3: which calls it answers, which right it takes, what it does.

    `verb` is the right on the address of the call; where it is empty the operation asks itself, for what it touches:
    the prefix of a listing, each key of a DeleteObjects. `subresources` must all be asked for, `optional` ones may be,
    no others. `needs` are further parameters, or headers (x-amz-...), without which it is another operation.
    """

    name: str
    method: str
    scope: Scope
    subresources: frozenset[str]
    verb: str
    function: Function
    optional: frozenset[str] = NOTHING
    needs: frozenset[str] = NOTHING

    @property
    def copies(self) -> bool:
        """True where the bytes come from a storage: room is taken for these then, not for a body that nobody reads."""
        return "x-amz-copy-source" in self.needs

    async def run(self, service: Service, call: Call) -> Answer:
        """Carry the call out, unless its headers ask for what is not done here."""
        if call.method != "OPTIONS":  # else the URL is that of a request to come, which is not what is asked for yet
            call.headers = with_carried(call.headers, call.query)
            await refuse_demands(service, call)
        return await self.function(service, call)


def words(text: str) -> frozenset[str]:
    """Return the words of a text as a set: how rows write their subresources."""
    return frozenset(text.split())
