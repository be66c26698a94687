"""What the journal says and is told of mirrors that lack more than is written down."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from gateway import metrics
from gateway.replication import overflow
from gateway.replication.records import Overflow
from gateway.replication.scope import Scope
from gateway.state.store import Store, Transaction

T = TypeVar("T")
P = ParamSpec("P")


class Excess:
    """A part of the journal: its methods raise as those of that do."""

    def __init__(self, store: Store, scope: Scope) -> None:
        self._store, self._scope = store, scope

    async def find(self, target: str) -> Overflow | None:
        """Return what is known of a target; None: all that it lacks is written down."""
        return await self._store.read(lambda tx: overflow.find(tx, self._scope, target))

    async def begin(self, target: str) -> None:
        """Write down no more of what a target lacks; it has to be compared whole."""
        await self._run(overflow.begin, target)

    async def end(self, target: str) -> None:
        """Write it down again."""
        await self._run(overflow.end, target)

    async def complete(self, target: str, *, deletes: bool) -> bool:
        """Say that a target has all there is, unwritten `deletes` too, and learn whether that holds."""
        return await self._run(overflow.complete, target, deletes=deletes)

    async def _run(self, work: Callable[Concatenate[Transaction, Scope, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with metrics.STATE_SECONDS.time():
            return await self._store.run(lambda tx: work(tx, self._scope, *args, **kwargs))
