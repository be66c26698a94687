"""What clients did and were told, and whether all of it can be true of one register per key."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import count
from math import inf
from typing import NamedTuple

from tests.faults.history import sha256
from tests.outages.world import BUCKET, Answer, Client, World, eventually
from tests.simulation.linear import Operation, is_linearizable

NUMBERS = count()
CLIENTS = 5


class Listed(NamedTuple):
    keys: frozenset[str]
    began: float
    ended: float


@dataclass
class Record:
    """Operations by key, of one clock for all clients. What was certainly not done is left out.

    `folder` is where clients write under load. With `mixed`, they do so by copies, uploads, conditional writes and
    deletes of many, too.
    """

    mixed: bool = False
    folder: str = "load"
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

    def create(self, client: Client, key: str, body: bytes) -> Answer:
        """Write a key if nothing is there."""
        began = time.monotonic()
        answer = client.put(key, body, IfNoneMatch="*")
        if answer.status == HTTPStatus.PRECONDITION_FAILED:
            self.operations[key].append(Operation("found", None, None, began, time.monotonic(), ok=True))
        if answer.status in {HTTPStatus.PRECONDITION_FAILED, HTTPStatus.CONFLICT}:
            return answer
        return self._wrote(answer, "create", key, sha256(body), began)

    def upload(self, client: Client, key: str, body: bytes) -> Answer:
        """Write a key in parts."""
        begun = client.ask("create_multipart_upload", Key=key)
        at = {"Key": key, "UploadId": begun.said.get("UploadId")}
        sent = client.ask("upload_part", **at, PartNumber=1, Body=body) if begun.ok else begun
        if not sent.ok:
            return sent
        began = time.monotonic()
        parts = {"Parts": [{"PartNumber": 1, "ETag": sent.said["ETag"]}]}
        answer = client.ask("complete_multipart_upload", **at, MultipartUpload=parts)
        return self._wrote(answer, "put", key, sha256(body), began)

    def copy(self, client: Client, key: str, body: bytes) -> Answer:
        """Write a key by a copy of another one, which is written for that."""
        source = f"{key}.source"
        written = self.put(client, source, body)
        if not written.ok:
            return written
        began = time.monotonic()
        of = {"CopySource": {"Bucket": BUCKET, "Key": source}, "CopySourceIfMatch": written.said["ETag"]}
        answer = client.ask("copy_object", Key=key, **of)
        if answer.status == HTTPStatus.PRECONDITION_FAILED:  # somebody else has written the source since
            return answer
        return self._wrote(answer, "put", key, sha256(body), began)

    def delete_many(self, client: Client, keys: Sequence[str]) -> Answer:
        began = time.monotonic()
        answer = client.ask("delete_objects", Delete={"Objects": [{"Key": key} for key in keys]})
        deleted = {entry["Key"] for entry in answer.said.get("Deleted", ())}
        for key in keys:
            failed = answer.ok and key not in deleted
            of_key = replace(answer, status=HTTPStatus.INTERNAL_SERVER_ERROR) if failed else answer
            self._wrote(of_key, "delete", key, None, began)
        return answer

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
        writes = [each for each in self.operations[key] if each.is_write]
        return max(writes, key=lambda each: each.ended).value if writes else None

    def check(self) -> None:
        """Check that nothing was lost, nothing came back, nothing stale was read, and listings told the same."""
        for key, operations in self.operations.items():
            assert is_linearizable(_telling(operations)), "\n".join([key, *map(str, sorted(operations, key=_began))])
        for listed in self.listings:
            for key, operations in self.operations.items():
                must = _certain(operations, listed)
                assert must is None or must == (key in listed.keys), f"{key} {must}: {listed} {operations}"

    def end(self, world: World, clients: Sequence[Client]) -> None:
        """Check what there is when all is over and has come to rest."""
        world.await_settled()
        world.abort_uploads()
        for client in clients:
            for key in list(self.operations):
                eventually(lambda key=key, client=client: self.get(client, key).status in {200, 404})
        self.check()
        assert world.stored("primary") == world.stored("mirror")
        for client in clients:
            eventually(lambda client=client: client.keys() == set(world.stored("primary")))
        eventually(lambda: world.staged() == set(), world.staged)

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
                    answer = act(client, dice, keys)
                    time.sleep(0.005 if answer is None or answer.reached else 0.1)
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

    def _act(self, client: Client, dice: random.Random, keys: int) -> Answer | None:
        if dice.random() < 0.05:
            return self.listing(client)
        return self._act_on_keys(client, dice, keys)

    def _act_on_keys(self, client: Client, dice: random.Random, keys: int) -> Answer:
        key, chance = f"{self.folder}/{dice.randrange(keys)}", dice.random()
        if self.mixed and dice.random() < 0.3:
            return self._act_otherwise(client, dice, key, keys)
        if chance < 0.4:
            return self.put(client, key, content(dice, 200_000 if chance < 0.02 else 500))
        if chance < 0.55:
            return self.delete(client, key)
        return self.get(client, key)

    def _act_otherwise(self, client: Client, dice: random.Random, key: str, keys: int) -> Answer:
        body = content(dice, dice.choice((500, 100_000)))
        match dice.randrange(4):
            case 0:
                return self.upload(client, key, body)
            case 1:
                return self.copy(client, key, body)
            case 2:
                return self.delete_many(client, sorted({key, f"{self.folder}/{dice.randrange(keys)}"}))
        created = f"{key}.created"  # where nothing else is done: all of it has to be looked at
        match dice.randrange(3):
            case 0:
                return self.delete(client, created)
            case 1:
                return self.get(client, created)
        return self.create(client, created, body)


def content(dice: random.Random, size: int) -> bytes:
    """Return what nobody ever wrote before."""
    return f"{next(NUMBERS)} ".encode() + dice.randbytes(size)


def _telling(operations: Sequence[Operation]) -> Sequence[Operation]:
    """Leave out what has no effect on whether there is an order: writes of unknown outcome that nobody saw."""
    if any(each.kind in {"create", "found"} for each in operations):
        return operations  # what became of these tells of others, too
    seen = {each.result for each in operations if each.kind == "get"}
    return [each for each in operations if each.ok or each.value in seen]


def _began(operation: Operation) -> float:
    return operation.began


def _certain(operations: Sequence[Operation], listed: Listed) -> bool | None:
    """Say whether a key was there throughout a listing, None if that is not certain."""
    writes = [each for each in operations if each.is_write and each.began < listed.ended]
    if not writes:
        return False
    if not all(each.ok for each in writes):
        return None
    newest = max(writes, key=_began)
    if any(each.ended > min(listed.began, newest.began) and each is not newest for each in writes):
        return None
    return newest.kind != "delete" if newest.ended <= listed.began else None
