"""What clients did and were told, and whether all of it can be true of one register per key."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import NamedTuple

from tests.faults.history import sha256
from tests.outages.world import Answer, Client, eventually
from tests.simulation.linear import Operation, is_linearizable

NUMBERS = count()
CLIENTS = 5


class Listed(NamedTuple):
    keys: frozenset[str]
    began: float
    ended: float


@dataclass
class Record:
    """Operations by key, of one clock for all clients. What was certainly not done is left out."""

    operations: dict[str, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    listings: list[Listed] = field(default_factory=list)
    acknowledged: int = 0

    def was_there(self, key: str, body: bytes) -> None:
        """Take it that a key was written before all else."""
        self.operations[key].append(Operation("put", sha256(body), None, 0.0, 0.0, ok=True))

    def put(self, client: Client, key: str, body: bytes) -> Answer:
        began = time.monotonic()
        return self._wrote(client.put(key, body), "put", key, sha256(body), began)

    def delete(self, client: Client, key: str) -> Answer:
        began = time.monotonic()
        return self._wrote(client.delete(key), "delete", key, None, began)

    def get(self, client: Client, key: str) -> Answer:
        began = time.monotonic()
        answer = client.get(key)
        assert answer.ok or answer.status == 404 or answer.status >= 500 or answer.status == 0, answer
        if answer.ok or answer.status == 404:
            found = sha256(answer.body) if answer.ok else None
            self.operations[key].append(Operation("get", None, found, began, time.monotonic(), ok=True))
        return answer

    def listing(self, client: Client) -> None:
        began = time.monotonic()
        keys = client.listing()
        if keys is not None:
            self.listings.append(Listed(frozenset(keys), began, time.monotonic()))

    def state(self, key: str) -> str | None:
        """Return what a key holds, by the last write; only where it was acknowledged and none overlapped it."""
        writes = [each for each in self.operations[key] if each.kind != "get"]
        return max(writes, key=lambda each: each.ended).value if writes else None

    def check(self) -> None:
        """Check that nothing was lost, nothing came back, nothing stale was read, and listings told the same."""
        for key, operations in self.operations.items():
            assert is_linearizable(_telling(operations)), "\n".join([key, *map(str, sorted(operations, key=_began))])
        for listed in self.listings:
            for key, operations in self.operations.items():
                must = _certain(operations, listed)
                assert must is None or must == (key in listed.keys), f"{key} {must}: {listed} {operations}"

    def _wrote(self, answer: Answer, kind: str, key: str, value: str | None, began: float) -> Answer:
        assert answer.ok or answer.status >= 500 or answer.status == 0, answer
        if answer.was_refused:
            return answer
        ended = time.monotonic() if answer.ok else inf
        self.operations[key].append(Operation(kind, value, None, began, ended, ok=answer.ok))
        self.acknowledged += answer.ok
        return answer

    # --- many clients ---

    @contextmanager
    def under_load(
        self, clients: Sequence[Client], keys: int = 12, seed: int = 1, *, lists: bool = True
    ) -> Iterator[None]:
        """Have clients write, read and list meanwhile."""
        act = self._act if lists else self._act_on_keys
        stop = threading.Event()
        failures: list[BaseException] = []

        def work(number: int) -> None:
            dice, client = random.Random(seed * 1000 + number), clients[number % len(clients)]
            try:
                while not stop.is_set():
                    act(client, dice, keys)
                    time.sleep(0.005)
            except BaseException as error:
                failures.append(error)
                raise

        working = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(CLIENTS)]
        for thread in working:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in working:
                thread.join(60)
        assert not failures, failures

    def await_acknowledged(self, more: int) -> None:
        goal = self.acknowledged + more
        eventually(lambda: self.acknowledged >= goal, lambda: f"{goal - self.acknowledged} of {more} writes missing")

    def _act(self, client: Client, dice: random.Random, keys: int) -> None:
        if dice.random() < 0.05:
            self.listing(client)
        else:
            self._act_on_keys(client, dice, keys)

    def _act_on_keys(self, client: Client, dice: random.Random, keys: int) -> None:
        key, chance = f"load/{dice.randrange(keys)}", dice.random()
        if chance < 0.4:
            self.put(client, key, content(dice, 200_000 if chance < 0.02 else 500))
        elif chance < 0.55:
            self.delete(client, key)
        else:
            self.get(client, key)


def content(dice: random.Random, size: int) -> bytes:
    """Return what nobody ever wrote before."""
    return f"{next(NUMBERS)} ".encode() + dice.randbytes(size)


def _telling(operations: Sequence[Operation]) -> Sequence[Operation]:
    """Leave out what has no effect on whether there is an order: writes of unknown outcome that nobody saw."""
    seen = {each.result for each in operations if each.kind == "get"}
    return [each for each in operations if each.ok or each.value in seen]


def _began(operation: Operation) -> float:
    return operation.began


def _certain(operations: Sequence[Operation], listed: Listed) -> bool | None:
    """Say whether a key was there throughout a listing, None if that is not certain."""
    writes = [each for each in operations if each.kind != "get" and each.began < listed.ended]
    if not writes:
        return False
    if not all(each.ok for each in writes):
        return None
    newest = max(writes, key=_began)
    if any(each.ended > min(listed.began, newest.began) and each is not newest for each in writes):
        return None
    return newest.kind == "put" if newest.ended <= listed.began else None
