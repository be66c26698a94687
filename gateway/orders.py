"""Orders of operators on their way into the audit log: commands are processes of their own, whose words nobody keeps.

They leave a row in the database, and one of the gateways that share it takes the row, and tells of it in its log.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

from sqlalchemy import delete, insert, select

from gateway.beside import beside
from gateway.errors import ServiceUnavailable
from gateway.server.logs import tell_audit
from gateway.sharing import Sharing
from gateway.state import Store, Transaction, open_store
from gateway.state.schema import COMMANDS

LOOKING: Final = 2.0  # seconds between two looks


async def leave(store: Store, order_id: str, said: Mapping[str, object]) -> None:
    """Leave word of an order for a gateway. Raises: ServiceUnavailable."""
    row = {"id": order_id, "said": json.dumps(said)}

    def write(tx: Transaction) -> None:
        tx.connection.execute(insert(COMMANDS), row)

    await store.run(write)


@asynccontextmanager
async def told(state: str, sharing: Sharing) -> AsyncIterator[None]:
    """Tell in the audit log of orders of which word is left in a database; it is open already."""
    async with (
        sharing.use(state, partial(open_store, state)) as store,
        sharing.use(("orders", state), partial(beside, partial(_tell_for_ever, store))),
    ):
        yield


async def _tell_for_ever(store: Store) -> None:
    """Tell of orders beside all else."""
    while True:
        with suppress(ServiceUnavailable):  # what works with the database says so already
            for said in await _take(store):
                tell_audit(**said)
        await asyncio.sleep(LOOKING)


async def _take(store: Store) -> Sequence[Mapping[str, object]]:
    """Take what nobody has told of yet, in the order in which it was ordered."""
    if not await store.glance(_is_there):
        return []
    return sorted(map(json.loads, await store.run(_delete)), key=lambda said: str(said["ordered"]))


def _is_there(tx: Transaction) -> bool:
    return tx.connection.execute(select(COMMANDS.c.id).limit(1)).first() is not None


def _delete(tx: Transaction) -> Sequence[str]:
    return tx.connection.execute(delete(COMMANDS).returning(COMMANDS.c.said)).scalars().all()
