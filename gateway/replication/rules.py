"""The rules of the protocol that are a matter of time or number, one method each.

HOLD (`Timing.hold`) is the longest time after which a storage may still apply a write whose answer was lost.
"""

import random
from typing import Final

from gateway.replication.records import Mode, Outcome, Timing

SUPERSEDED: Final = 60.0  # seconds; twice the time between two beacons


class Rules:
    """What the transactions ask before they decide."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing

    # --- modes ---

    def barrier(self, left: Mode, now: float) -> float:
        """When a change of mode takes effect: nodes act by NORMAL without asking, until their leases are over."""
        return now + self.timing.lease + self.timing.drift if left is Mode.NORMAL else now

    def is_open(self, mode: Mode, effective: float, now: float) -> bool:
        """Whether what is on the fallback may become the newest state."""
        return mode in {Mode.FAILOVER, Mode.HEALING} and effective <= now

    def may_return(self, *, rows_left: bool) -> bool:
        """Whether HEALING is over: while the primary lacks one key, it does not answer for that."""
        return not rows_left

    def is_majority(self, votes: int, live: int) -> bool:
        """Whether so many of the live nodes may change the mode; one with a broken network must not."""
        return votes * 2 > live

    # --- writes of our own: a heal or a mirroring ---

    def rest(self, now: float) -> float:
        """Until when a new row is tainted: clients' writes that passed their gate before it may still land."""
        return now + self.timing.hold

    def doubt(self, now: float) -> float:
        """Until when a key is tainted by a write of ours whose outcome is unknown: it may land so much later."""
        return now + self.timing.hold

    def takeover(self, now: float) -> float:
        """Until when a key is tainted whose lease ran out: its worker may have written and said nothing."""
        return now + self.timing.hold

    def clobbers(self, outcome: Outcome) -> bool:
        """Whether a worker that has lost its lease taints the key: its write may have hit what a later one wrote."""
        return outcome is not Outcome.REFUSED

    def is_current(self, claimed: int, gen: int) -> bool:
        """Whether what was written is still the newest state."""
        return claimed == gen

    def counts(self, taint_until: float, claimed: float) -> bool:
        """Whether a write is the last word: it began after whatever tainted the key could land.

        It is the time of the claim that is compared: a write sent before the end of the taint may be overtaken by an
        old one, however late its answer comes.
        """
        return taint_until <= claimed

    # --- leftovers ---

    def orphaned_before(self, now: float) -> float:
        """When the lease of an op's node must have ended, or the op been given up, for others to settle it."""
        return now - self.timing.hold

    def forgotten_before(self, now: float) -> float:
        """When an op must have begun to be given up if its node does not know of it."""
        return now - self.timing.node_lease * 6

    def trash_due(self, now: float) -> float:
        """When an object that is needed no more may be deleted: who looked at its row may still be reading."""
        return now + self.timing.hold

    def superseded_due(self, now: float) -> float:
        """When a staged object may be deleted that a newer one has replaced: its write is over, it has been current.

        Until then whoever looked at its row has begun to read it, and a database that was set back by less than the
        beacons notice still has it. A key that is written all the time leaves no more behind than it did in that time.
        """
        return now + min(self.timing.hold, SUPERSEDED)

    def settled_before(self, now: float) -> float:
        """When the primary must last have been asked to delete a bucket for it to have done so by now, or never."""
        return now - self.timing.hold

    def absent_before(self, now: float) -> float:
        """When the primary must last have been asked to make a bucket that it lacks, for it to be forgotten."""
        return now - self.timing.hold - 3600.0

    # --- deletes of mirrors ---

    def is_another_hour(self, since: float, now: float) -> bool:
        """Whether deletes are counted anew."""
        return now - since >= 3600.0  # noqa: PLR2004  seconds

    def are_too_many(self, deletes: int, keys: int) -> bool:
        """Whether so many deletes in an hour, after which so many keys are left, look like an accident."""
        return deletes > max(1000, (keys + deletes) // 20)

    # --- retries ---

    def again(self, attempts: int, now: float) -> float:
        """When to try again after so many failures: at any moment of a time that doubles with each.

        Keys that have failed together are not tried together again.
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        most = min(self.timing.backoff * 2 ** min(attempts, 30), self.timing.backoff_limit)
        return now + random.uniform(0.0, most)  # noqa: S311  spreads retries, keeps no secret

    def is_hopeless(self, failures: int, failing_since: float, now: float) -> bool:
        """Whether a task is given up, until somebody revives it or writes the key."""
        return failures >= self.timing.dead_failures and now - failing_since >= self.timing.dead_after
