"""What the journal says and is told of mirrors that lack more than is written down."""

from gateway.replication import overflow
from gateway.replication.part import Part
from gateway.replication.records import Overflow


class Excess(Part):
    """What the mirrors of one route lack beyond that."""

    async def find(self, target: str) -> Overflow | None:
        """Return what is known of a target; None: all that it lacks is written down."""
        return await self._read(overflow.find, target)

    async def begin(self, target: str) -> None:
        """Write down no more of what a target lacks; it has to be compared whole."""
        await self._run(overflow.begin, target)

    async def end(self, target: str) -> None:
        """Write it down again."""
        await self._run(overflow.end, target)

    async def complete(self, target: str, *, deletes: bool) -> bool:
        """Say that a target has all there is, unwritten `deletes` too, and learn whether that holds."""
        return await self._run(overflow.complete, target, deletes=deletes)
