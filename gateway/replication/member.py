"""This node's part in a route: its lease, the mode it may rely on, and its vote."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from gateway.errors import ServiceUnavailable
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import Mode, Standing, Timing, Vote
from gateway.storage import Address

log = structlog.get_logger()
OVER: Final = -1.0


class Member:
    """Keeps the node's lease alive, and knows the mode for as long as that is certain.

    `vote` tells what this node has seen of the primary; one without it does not count, neither for nor against, since
    what it sees is not what clients do. Without `automatic` only the operator changes the mode.
    """

    def __init__(
        self, journal: Journal, vote: Callable[[], Vote] | None, timing: Timing, *, automatic: bool = True
    ) -> None:
        self._journal, self._vote, self._timing, self._automatic = journal, vote, timing, automatic
        self._standing = Standing(Mode.NORMAL, 0, OVER, OVER)
        self._mode_until = self._node_until = OVER
        self.term = 0  # of the lease: another one where it may have been over in between

    @property
    def mode(self) -> Mode | None:
        """The mode, while nobody can have left it; None where the journal has to be asked.

        Only NORMAL is ever certain: whoever leaves it waits until every node's lease of it is over.
        """
        normal = self._standing.mode is Mode.NORMAL and self._now() < min(self._mode_until, self._node_until)
        return Mode.NORMAL if normal else None

    @property
    def alive(self) -> bool:
        """Whether this node's lease holds: what it has begun is taken to be under way, not abandoned."""
        return self._now() < self._node_until

    async def may_write(self, at: Address, term: int) -> bool:
        """Say whether the primary may be written at this address by a client's request that began in `term`.

        It is asked when all but the last bytes are there: the mode may have changed since the request began, and if
        the lease was over in between, others may have settled what it intended.
        """
        if term != self.term or not self.alive:
            return False
        if self.mode is Mode.NORMAL:
            return True
        look = await self._journal.look(at)
        is_open = look.mode in {Mode.NORMAL, Mode.HEALING}
        return is_open and look.row is None and not look.is_new and self.alive

    async def run(self) -> None:
        """Renew lease and vote for ever."""
        while True:
            await self.beat()
            await asyncio.sleep(self._timing.poll)

    async def beat(self) -> None:
        """Renew lease and vote once. Where the journal cannot be asked, what was certain runs out by itself."""
        asked = self._now()
        try:
            standing = await self._journal.beat(self._vote() if self._vote else None, automatic=self._automatic)
        except ServiceUnavailable as error:
            log.warning("journal_unreachable", error=name_of(error))
            return
        if standing.mode is not self._standing.mode:
            log.warning("mode", mode=standing.mode.name, epoch=standing.epoch)
        self._standing = standing
        self.term += not self.alive
        self._mode_until, self._node_until = asked + standing.mode_for, asked + standing.node_for

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
