"""What the processes of a gateway have in common."""

from dataclasses import dataclass, field

from gateway.images.bell import Bell
from gateway.rates import Ledger
from gateway.server.status import Notice


@dataclass(frozen=True, slots=True)
class Common:
    """It is made before they are forked."""

    workers: int = 1  # so many of them
    ledger: Ledger = field(default_factory=Ledger)  # who has asked for how much
    notice: Notice | None = None  # told how replicated buckets do
    bell: Bell | None = None  # wakes the process that makes variants, where that is none of the workers

    def serves(self, number: int) -> bool:
        """Say whether the process of this number answers clients."""
        return number < self.workers
