"""What all parts of the journal have in common: functions of a transaction, run in one."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from gateway import metrics
from gateway.replication.scope import Scope
from gateway.state.store import Store, Transaction

T = TypeVar("T")
P = ParamSpec("P")


class Part:
    """Asks a database about one route, and tells it of it.

    Every method may raise StateUnavailable (it was certainly not done) or StateUnknown (nobody knows), both
    ServiceUnavailable. After a cancellation nobody knows either.
    """

    def __init__(self, store: Store, scope: Scope) -> None:
        self._store, self._scope = store, scope

    async def _run(self, work: Callable[Concatenate[Transaction, Scope, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        with metrics.STATE_SECONDS.time():
            return await self._store.run(lambda tx: work(tx, self._scope, *args, **kwargs))

    async def _read(
        self, work: Callable[Concatenate[Transaction, Scope, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._store.read(lambda tx: work(tx, self._scope, *args, **kwargs))
