"""The protocol with one rule switched off: each is worth its cost only if something goes wrong without it."""

from collections.abc import Mapping
from typing import Final

from gateway.conditions import Conditions
from gateway.errors import ServiceUnavailable
from gateway.replication.journal import Journal
from gateway.replication.lease import Lease
from gateway.replication.member import Member
from gateway.replication.mirroring import Mirroring
from gateway.replication.records import Claim, Kind, Look, Mode, Op, Outcome
from gateway.replication.rules import Rules as Numbers
from gateway.routing.replicated import Replicated
from gateway.storage import Address, ObjectInfo
from tests.simulation.world import Rules


def _journal(**overridden: object) -> type[Journal]:
    """Return a journal, some of whose rules of time and number are other ones."""
    numbers = type("Rules", (Numbers,), overridden)
    return type("Journal", (Journal,), {"rules": lambda _, timing: numbers(timing)})


class _AnyMirrorAnswers(Replicated):
    def clean(self, look: Look) -> list[str]:
        return list(self.mirrors)


class _HealsDirectly(Replicated):
    def is_on_fallback(self, look: Look) -> bool:
        return look.mode is Mode.FAILOVER


class _IntendsAfterwards(Replicated):
    async def _intend(self, at: Address, kind: Kind) -> Op | None:
        return None

    def _settle(self, op: Op | None, outcome: Outcome, info: ObjectInfo | None) -> None:
        """Nothing was written down, so nothing is settled."""


class _ForgetsDeletes(Replicated):
    async def _bury(self, at: Address, conditions: Conditions, look: Look) -> None:
        """Only say that it is done."""


class _NoGate(Member):
    async def may_write(self, at: Address, term: int) -> bool:
        return True


class _NoGateForRows(Member):
    async def may_write(self, at: Address, term: int) -> bool:
        look = await self._journal.look(at)
        return look.mode is not Mode.FAILOVER and self.alive and term == self.term


class _ErrorIsAbsence(Mirroring):
    async def _follow_primary(self, claim: Claim, lease: Lease) -> None:
        try:
            await super()._follow_primary(claim, lease)
        except ServiceUnavailable:
            await self._delete(claim.at, lease)


RULES: Final[Mapping[str, Rules]] = {
    "a mirror answers only for a clean key": Rules(replicated=_AnyMirrorAnswers),
    "an error is never an absence": Rules(mirroring=_ErrorIsAbsence),
    "NORMAL only when no row is left": Rules(journal=_journal(may_return=lambda self, *, rows_left: True)),
    "the intent is committed before the first byte": Rules(replicated=_IntendsAfterwards),
    "a key is clean only at an unchanged generation": Rules(journal=_journal(is_current=lambda self, old, new: True)),
    "a write of unknown outcome taints": Rules(journal=_journal(doubt=lambda self, now: 0.0)),
    "a lease that ran out taints": Rules(journal=_journal(takeover=lambda self, now: 0.0)),
    "a delete is a tombstone": Rules(replicated=_ForgetsDeletes),
    "only the healer writes a key with a row": Rules(replicated=_HealsDirectly, member=_NoGateForRows),
    "the commit checks the mode": Rules(journal=_journal(is_open=lambda self, mode, effective, now: True)),
    "a new row rests": Rules(journal=_journal(rest=lambda self, now: 0.0)),
    "the last-chunk gate": Rules(member=_NoGate),
    "the sweeper waits": Rules(journal=_journal(orphaned_before=lambda self, now: now)),
    "entering FAILOVER waits for leases": Rules(journal=_journal(barrier=lambda self, left, now: now)),
}
