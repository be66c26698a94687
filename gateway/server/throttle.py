"""Who asks for too much is told to slow down before anything is done for him, or waits a moment for his bytes."""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway import metrics
from gateway.errors import SlowDown
from gateway.message import Call, Caller
from gateway.rates import Ledger
from gateway.server.exchange import Exchange

BURST: Final = 1.0  # seconds' worth that may come at once
ROUNDING: Final = 1e-6
REFUSED: Final = 4.0  # seconds' worth of bytes that are on their way, with which no further request begins


@dataclass(frozen=True, slots=True)
class Rate:
    """Requests and bytes a second; 0 is as many as may come."""

    requests: float = 0
    bytes: float = 0

    def __bool__(self) -> bool:
        return self.requests > 0 or self.bytes > 0


@dataclass(frozen=True, slots=True)
class Throttle:
    """How much may be asked for: in all by so many requests at once, and by each client and each key a second."""

    ledger: Ledger
    requests: int = 0
    client: Rate = Rate()
    key: Rate = Rate()
    keys: Mapping[str, Rate] = field(default_factory=dict)  # by access key, instead of `key`
    under_way: set[Exchange] = field(default_factory=set)

    def admit(self, exchange: Exchange, call: Call) -> None:
        """Let a request in, before anybody knows whose it is. Raises: SlowDown."""
        if self.requests:
            if len(self.under_way) >= self.requests:
                raise _refusal("requests", 1)
            self.under_way.add(exchange)
            call.keep_open.callback(self.under_way.discard, exchange)
        if self.client:
            self._hold(exchange, self.client, "client", network(call.remote))

    def charge(self, exchange: Exchange, caller: Caller) -> None:
        """Let a request in that is known to be of a key. Raises: SlowDown."""
        rate = self.keys.get(caller.access_key, self.key)
        if rate and caller.access_key:
            self._hold(exchange, rate, "key", caller.access_key)

    def _hold(self, exchange: Exchange, rate: Rate, kind: str, name: str) -> None:
        now = time.monotonic()
        if rate.requests:
            name_there = f"{kind} requests {name}"
            each = 1 / rate.requests
            wait = self.ledger.ahead(name_there, now) + each - max(BURST, each)
            if wait > ROUNDING:
                raise _refusal(f"{kind}_rate", wait)
            self.ledger.take(name_there, each, now)
        if rate.bytes:
            name_there = f"{kind} bytes {name}"
            ahead = self.ledger.ahead(name_there, now)
            if ahead >= REFUSED:
                raise _refusal(f"{kind}_bandwidth", ahead - BURST)
            others = exchange.meter.rates if isinstance(exchange.meter, Meter) else {}
            exchange.meter = Meter(self.ledger, {**others, name_there: rate.bytes})


@dataclass(frozen=True, slots=True)
class Meter:
    """Has the bytes of a request pass no faster than each of some rates allows, given by name."""

    ledger: Ledger
    rates: Mapping[str, float]

    @property
    def at_once(self) -> int:
        """How many bytes are best sent at once: a quarter of a second's."""
        return max(16 * 1024, int(min(self.rates.values()) / 4))

    def count(self, size: int) -> float:
        """Note that bytes have passed, and return for how many seconds none should follow."""
        now = time.monotonic()
        ahead = max([self.ledger.take(name, size / rate, now) for name, rate in self.rates.items()])
        return max(0.0, ahead - BURST)

    async def passed(self, size: int) -> None:
        """Note that bytes have passed, and return when more may."""
        if wait := self.count(size):
            await asyncio.sleep(wait)


def network(address: str) -> str:
    """Return what is held to the limits of one client: an address, or as much of one of IPv6 as one client is given."""
    return ":".join(_groups(address)[:4]) if ":" in address else address


def _groups(address: str) -> list[str]:
    """Return the groups of an IPv6 address, written out."""
    head, gap, tail = address.partition("::")
    before, after = [group for group in head.split(":") if group], [group for group in tail.split(":") if group]
    return [*before, *["0"] * (8 - len(before) - len(after)), *after] if gap else before


def _refusal(limit: str, wait: float) -> SlowDown:
    metrics.LIMITED.labels(limit).inc()
    error = SlowDown()
    error.headers = {"Retry-After": str(max(1, math.ceil(wait)))}
    return error
