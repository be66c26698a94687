"""What is left over by nodes that are gone, and by writes that came to nothing."""

from collections.abc import Sequence

from sqlalchemy import delete, exists

from gateway.replication import garbage, modes, ops
from gateway.replication.records import Mode, Trash
from gateway.replication.scope import Scope
from gateway.state.schema import NODES, OPS, VOTES
from gateway.state.store import Transaction


def sweep(tx: Transaction, scope: Scope, begun: frozenset[str]) -> Sequence[Trash]:
    """Settle what nobody else will, and return what is to be deleted now; `begun` are the node's own ops.

    In RECONCILE nothing: what the database takes for garbage may have become the newest state of a key.
    """
    if modes.phase_of(tx, scope).mode is Mode.RECONCILE:
        return []
    ops.give_up_unknown(tx, scope, begun)
    ops.sweep(tx, scope)
    _forget_nodes(tx, scope)
    return garbage.due(tx, scope)


def _forget_nodes(tx: Transaction, scope: Scope) -> None:
    """Forget nodes that are long gone and have left nothing."""
    before = scope.rules.orphaned_before(tx.now)
    left = exists().where(OPS.c.node == NODES.c.id)
    tx.connection.execute(delete(NODES).where(NODES.c.lease_until < before, ~left))
    tx.connection.execute(delete(VOTES).where(VOTES.c.route == scope.route, VOTES.c.at < before))
