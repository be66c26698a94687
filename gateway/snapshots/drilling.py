"""A restore rehearsed: into a corner of another storage, read back to the last byte, measured, and cleared away."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from gateway.errors import NoSuchBucket, NoSuchKey, NoSuchUpload, S3Error
from gateway.replication import corner
from gateway.replication.echo import own_name
from gateway.replication.outcome import name_of
from gateway.snapshots.finding import Past
from gateway.snapshots.manifest import Entry, Head, Manifest
from gateway.snapshots.proving import Proof
from gateway.snapshots.restoring import AT_ONCE, Outcome, Restore, Result
from gateway.storage import PRIVATE, Address, Backend, ObjectInfo, UploadQuery
from gateway.transfer import read_through

FORMAT: Final = "s3-gateway-drill/1"
PASSED: Final = "passed"
FAILED: Final = "failed"
_LEAST: Final = 10  # objects that are chosen of few, about, however small a part is asked for
_LONGEST: Final = 1024  # bytes of a key
Tell = Callable[[Result], None]


class Sample(NamedTuple):
    """Which objects: those whose keys begin so, and of these about such a part; another one for another seed."""

    prefix: str
    part: float
    seed: str

    def holds(self, entry: Entry, of: int) -> bool:
        """Say whether an object is among them, of so many."""
        digest = sha256(f"{self.seed}\0{entry.key}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < max(self.part, _LEAST / of) * 2**64


@dataclass
class Report:
    """What a rehearsal has found: of how many objects, and the bytes of those that came back; times in seconds."""

    head: Head
    to: str
    sample: Sample
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    objects: int = 0
    bytes: int = 0
    failures: int = 0
    restoring: float = 0.0
    reading: float = 0.0
    problem: str = ""

    @property
    def result(self) -> str:
        """Whether all was had again that was to be, and anything was."""
        is_empty = not self.objects and self.head.objects > 0
        return FAILED if self.failures or self.problem or is_empty else PASSED

    @property
    def age(self) -> float:
        """How old the oldest state was that could have been had: what would have been lost, had all else been."""
        return (self.began - self.head.since).total_seconds()

    @property
    def rate(self) -> float:
        """Bytes restored in a second."""
        return self.bytes / self.restoring if self.restoring else 0.0

    @property
    def whole(self) -> float:
        """How long all of the snapshot would take, if the rest of it is like this."""
        objects = self.head.objects / self.objects if self.objects else 1.0
        return self.restoring * max(objects, self.head.bytes / self.bytes if self.bytes else 1.0)

    def document(self) -> Mapping[str, Any]:
        """Return it as it is signed."""
        return {
            "format": FORMAT,
            "snapshot": self.head.id,
            "bucket": self.head.subject.bucket,
            "backend": self.head.subject.backend,
            "to": self.to,
            "began": self.began.isoformat(),
            "result": self.result,
            "problem": self.problem,
            "prefix": self.sample.prefix,
            "sample": self.sample.part,
            "seed": self.sample.seed,
            "objects": self.objects,
            "bytes": self.bytes,
            "outcomes": {outcome.name.lower(): count for outcome, count in self.outcomes.items()},
            "failures": self.failures,
            "rpo_seconds": self.age,
            "rto_seconds": self.restoring,
            "rto_seconds_of_all": self.whole,
            "verify_seconds": self.reading,
            "bytes_per_second": self.rate,
        }


class Drill:
    """Restores a snapshot, or a sample of it, under `.gw/drill/` of a bucket, one at a time."""

    def __init__(self, storage: Backend, target: Backend, bucket: str, tell: Tell) -> None:
        self._storage, self._target, self._bucket, self._tell = storage, target, bucket, tell
        self._corner = ""

    async def run(self, manifest: Manifest, report: Report, elapsed: float) -> None:
        """Fill in a report. `elapsed` seconds were spent on reading the manifest. Nothing stays, whatever happens.

        Raises: S3Error, where the corner cannot be cleared before anything is restored.
        """
        self._corner = f"{PRIVATE}drill/{own_name(report.head.subject.bucket)}/"
        await self._clear()  # what one that was killed has left
        try:
            await self._rehearse(manifest, report, elapsed)
        finally:
            try:
                await self._clear()
            except S3Error as error:
                report.problem = f"{self._corner} of {self._bucket} could not be cleared: {name_of(error)}"

    async def _rehearse(self, manifest: Manifest, report: Report, elapsed: float) -> None:
        past = Past(self._storage, report.head.subject.bucket, report.head.since)
        restore = Restore(past, self._target, self._bucket, self._named)
        began, sample, count = time.monotonic(), report.sample, max(1, report.head.objects)
        async for result in restore.run(manifest, sample.prefix, lambda entry: sample.holds(entry, count)):
            report.outcomes[result.outcome] += 1
            if result.outcome not in {Outcome.RESTORED, Outcome.KEPT}:
                self._tell(result)
        report.restoring, began = elapsed + time.monotonic() - began, time.monotonic()
        for batch in manifest.batches(AT_ONCE, sample.prefix):
            chosen = [entry for entry in batch if sample.holds(entry, count)]
            wrong = await asyncio.gather(*(self._check(past, entry) for entry in chosen))
            for entry, why in zip(chosen, wrong, strict=True):
                self._count(report, entry, why)
        report.reading = time.monotonic() - began

    def _count(self, report: Report, entry: Entry, why: str) -> None:
        report.objects += 1
        if why:
            report.failures += 1
            self._tell(Result(Outcome.FAILED, entry.key, why=why))
        else:
            report.bytes += entry.info.size

    async def _check(self, past: Past, entry: Entry) -> str:
        """Read an object back, and return what is wrong with it."""
        at, proof = Address(self._bucket, self._named(entry.key)), Proof(entry.info)
        try:
            info = await read_through(self._target, at, proof.update)
            proven = proof.verdict
            if proven is None:
                proven = await self._is_as_in_source(past, entry, at)
        except NoSuchKey:
            return "it was not restored"
        except S3Error as error:
            return name_of(error)
        return _difference(info, entry.info) if proven else "its bytes are not what they were"

    async def _is_as_in_source(self, past: Past, entry: Entry, at: Address) -> bool:
        """Compare the bytes with those of the storage, where nothing was written down that tells them."""
        source = await past.find(entry)
        if source is None:
            return False
        digests = sha256(), sha256()
        await read_through(past.storage, source, digests[0].update)
        await read_through(self._target, at, digests[1].update)
        return digests[0].digest() == digests[1].digest()

    def _named(self, key: str) -> str:
        name = self._corner + key
        if len(name.encode()) <= _LONGEST:
            return name
        return f"{self._corner}~{sha256(key.encode()).hexdigest()}"

    async def _clear(self) -> None:
        with suppress(NoSuchBucket):
            await corner.remove(self._target, self._bucket, self._corner)
            for upload in (await self._target.list_uploads(self._bucket, UploadQuery(self._corner))).uploads:
                with suppress(NoSuchUpload):
                    await self._target.abort_upload(upload.upload)


def _difference(found: ObjectInfo, wanted: ObjectInfo) -> str:
    for name in ("headers", "metadata", "labels"):
        if getattr(found, name) != getattr(wanted, name):
            return f"its {name} are not what they were"
    return ""
