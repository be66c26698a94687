"""Random writes by many clients at once, and what may be there afterwards."""

import hashlib
import itertools
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError

ABSENT = "absent"
MIB = 1024**2
SERVER_ERROR = 500


@dataclass
class Write:
    """One write of one key: it leads to `state`, a SHA-256 or ABSENT. Without `ended` nobody was told its outcome."""

    key: str
    state: str
    began: int
    ended: int | None = None


@dataclass
class History:
    """Every write that was begun, in the order of one clock for all clients."""

    writes: list[Write] = field(default_factory=list)
    clock: "itertools.count[int]" = field(default_factory=itertools.count)
    acknowledged: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def record(self, key: str, state: str, act: Callable[[], object]) -> None:
        """Carry a write out. Where the connection or the server fails, its outcome is unknown."""
        write = Write(key, state, next(self.clock))
        self.writes.append(write)
        try:
            act()
        except EndpointConnectionError:
            self.writes.remove(write)  # it never reached anyone
            return
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] < SERVER_ERROR:
                raise
            return
        except BotoCoreError:
            return
        write.ended = next(self.clock)
        self.acknowledged.release()

    def await_acknowledged(self, count: int) -> None:
        """Return when so many more writes have been acknowledged."""
        for _ in range(count):
            assert self.acknowledged.acquire(timeout=60), "the writes came to a halt"

    def allowed(self, key: str) -> set[str]:
        """Return the states that a reader may find now: what no acknowledged write has replaced for certain."""
        writes = [Write(key, ABSENT, -1, -1), *(write for write in self.writes if write.key == key)]
        last_certain = max(write.began for write in writes if write.ended is not None)
        return {write.state for write in writes if write.ended is None or write.ended >= last_certain}


@dataclass(frozen=True)
class Clients:
    """Several clients of one bucket, which share what they remember."""

    client: Any
    bucket: str
    history: History

    def write_at_random(self, seed: int, count: int = 200, threads: int = 6) -> None:
        """Make `count` writes of 25 keys: puts of many sizes, multipart uploads, deletes, overwriting each other."""
        dice, acts = random.Random(seed), [*[self._put] * 4, self._upload, self._delete]
        with ThreadPoolExecutor(threads) as pool:
            writes = [
                pool.submit(dice.choice(acts), f"folder/{dice.randrange(25)}", dice.random()) for _ in range(count)
            ]
            for write in writes:
                write.result()

    def _put(self, key: str, weight: float) -> None:
        content = _content(key, weight, int(weight**6 * 3 * MIB))
        self.history.record(key, sha256(content), lambda: self.client.put_object(**self._at(key), Body=content))

    def _upload(self, key: str, weight: float) -> None:
        content = _content(key, weight, 5 * MIB + int(weight * MIB))
        self.history.record(key, sha256(content), lambda: self._in_parts(self._at(key), content))

    def _delete(self, key: str, _weight: float) -> None:
        self.history.record(key, ABSENT, lambda: self.client.delete_object(**self._at(key)))

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": key}

    def _in_parts(self, at: dict[str, str], content: bytes) -> None:
        upload = at | {"UploadId": self.client.create_multipart_upload(**at)["UploadId"]}
        parts = []
        for number, piece in enumerate((content[: 5 * MIB], content[5 * MIB :]), 1):
            answer = self.client.upload_part(**upload, PartNumber=number, Body=piece)
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})

    def check(self) -> None:
        """Read everything back: each key in an allowed state, whole, and listed if and only if it is there."""
        found = {entry["Key"]: entry["Size"] for entry in self._listing()}
        written = {write.key for write in self.history.writes}
        assert set(found) <= written, "what nobody wrote is listed"
        for key in written:
            content = self._read(key)
            assert (key in found) == (content is not None), f"{key} is listed or there, but not both"
            assert content is None or len(content) == found[key]
            state = ABSENT if content is None else sha256(content)
            assert state in self.history.allowed(key), f"{key} is {state}, allowed: {self.history.allowed(key)}"

    def _listing(self) -> list[dict[str, Any]]:
        return self.client.list_objects_v2(Bucket=self.bucket).get("Contents", [])

    def _read(self, key: str) -> bytes | None:
        try:
            return self.client.get_object(**self._at(key))["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None


def _content(key: str, weight: float, size: int) -> bytes:
    return random.Random(f"{key}{weight}").randbytes(size)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
