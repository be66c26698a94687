"""What the journal is told of a database that was lost or set back, and of what was brought back."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gateway.replication import lineage, rebuilding
from gateway.replication.part import Part
from gateway.replication.records import Lineage, Mode, Row
from gateway.storage import Address

NOTHING: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})


class Past(Part):
    """Whether the database of one route is the one that its storages know."""

    async def meet(self, seen: Sequence[Lineage], doubt: str = "", leftovers: str = "") -> Mode:
        """Compare the database with beacons, and return the mode: RECONCILE, if it has forgotten something."""
        return await self._run(lineage.meet, seen, doubt, leftovers)

    async def light(self) -> Lineage | None:
        """Count up if anything has happened, and return what beacons are to say; None if the database is in doubt."""
        return await self._run(lineage.light)

    async def restore(self, rows: Sequence[Row]) -> None:
        """Have rows again, in place of those that are there; in RECONCILE only."""
        await self._run(rebuilding.restore, rows)

    async def forget(self, ats: Sequence[Address]) -> None:
        """Remove rows that are over; in RECONCILE only."""
        await self._run(rebuilding.forget, ats)

    async def scrap(self, bucket: str, staged: Sequence[str]) -> None:
        """Have staged objects deleted that no row points to; in RECONCILE only."""
        await self._run(rebuilding.scrap, bucket, staged)

    async def reconciled(
        self, seen: Sequence[Lineage], floor: int, reason: str, lacking: Mapping[str, Mapping[str, str]] = NOTHING
    ) -> Mode:
        """Leave RECONCILE: from now on this database is the one that the beacons tell of; mirrors are walked anew.

        Up to the gen `floor` all that the echo says is over. `lacking` are buckets that the primary lacks, with labels.
        """
        return await self._run(rebuilding.end, seen, floor, reason, lacking=lacking)
