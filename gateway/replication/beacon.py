"""Beacons: objects on fallback and mirrors that say how far the journal has got, should its database ever forget it."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import structlog

from gateway.errors import NoSuchBucket, NoSuchKey, S3Error
from gateway.replication.echo import Echo, own_name
from gateway.replication.journal import Journal
from gateway.replication.outcome import name_of
from gateway.replication.records import Lineage, Mode
from gateway.storage import PRIVATE, Address, Backend, Body
from gateway.transfer import bytes_of

log = structlog.get_logger()
EVERY: Final = 30.0  # seconds between two beacons
SOON: Final = 2.0  # seconds between two looks, while it is not known whether the database can be trusted
PATIENCE: Final = 5.0  # seconds for which the start waits for storages
ANCHORS: Final = 3  # buckets in which beacons are, of each storage
AT_ONCE: Final = 16
Buckets = Callable[[Backend], Awaitable[Sequence[str]]]


class _Sight(NamedTuple):
    """What a storage says: beacons, by their buckets; `failure` is why it does not say all."""

    beacons: Mapping[str, Lineage]
    failure: str = ""


class Beacon:
    """Looks at the beacons of a route and has its journal compare them; has them say what is to be known one day.

    `copies` are the mirrors; `buckets` names the buckets of the route on a storage.
    """

    def __init__(
        self,
        journal: Journal,
        fallback: Backend | None,
        copies: Sequence[Backend],
        buckets: Buckets,
        echo: Echo | None = None,
    ) -> None:
        self._journal, self._fallback, self._buckets, self._echo = journal, fallback, buckets, echo
        self._storages = [*([fallback] if fallback else []), *copies]
        self._key = f"{PRIVATE}beacon/{own_name(journal.route)}"
        self._sights: Sequence[_Sight] = ()
        self._cleared = -1  # the epoch since which nothing has come into the echo
        self._mode = Mode.NORMAL
        self.certain = asyncio.Event()  # the database was compared, and is the one that the storages know

    async def run(self, *, first: bool) -> None:
        """Compare until it is certain; one process of a gateway goes on with that, and keeps the beacons alight.

        The others only go on to have the echo told what it lacks of their own writes.
        """
        while True:
            await asyncio.sleep(EVERY if self.certain.is_set() else SOON)
            if first or not self.certain.is_set():
                await self.round(first=first)
            else:
                await self.settle()

    async def round(self, *, first: bool = True, patience: float | None = None) -> None:
        """Compare once, and have said what is new."""
        try:
            await self.compare(patience)
            if first and self.certain.is_set() and self._mode is not Mode.RECONCILE:
                await self._light()
        except S3Error as error:
            log.warning("beacon_failed", route=self._journal.route, error=name_of(error))

    async def settle(self) -> None:
        """Have the echo told what it lacks."""
        try:
            if self._echo:
                await self._echo.settle()
        except S3Error as error:
            log.warning("beacon_failed", route=self._journal.route, error=name_of(error))

    async def compare(self, patience: float | None = None, *, mend: bool = True) -> Mode:
        """Look at the beacons, have the journal decide whether it can be trusted, and return the mode.

        Without a fallback, what it lacks is mended by walking through the mirrors anew, if it is to be mended.

        Raises: ServiceUnavailable, where the database does not answer.
        """
        self._sights = await asyncio.gather(*(self._look(storage, patience) for storage in self._storages))
        seen, doubt, leftovers = self.seen(), "", ""
        if self._fallback and self._sights[0].failure:
            doubt = f"{self._fallback.name} does not say whether there was another database: {self._sights[0].failure}"
        elif self._fallback and not seen:
            leftovers = await self._find_leftovers(self._fallback)
        mode = await self._journal.past.meet(seen, doubt, leftovers)
        if mend and mode is Mode.RECONCILE and not self._fallback:  # nothing but what the mirrors have is in doubt
            mode = await self._journal.past.reconciled(seen, 0, "the mirrors are walked through anew")
            log.warning("database_replaced", route=self._journal.route)
        self._tell(mode)
        if mode is not Mode.RECONCILE and (seen or not doubt):
            self.certain.set()
        return mode

    def seen(self) -> Sequence[Lineage]:
        """Return what the beacons said when they were last looked at, those of the fallback first."""
        return [beacon for sight in self._sights for beacon in sight.beacons.values()]

    @property
    def floor(self) -> int:
        """The gen up to which the echo is over, by the word of who keeps it."""
        beacons = self._sights[0].beacons.values() if self._fallback and self._sights else ()
        return max((beacon.floor for beacon in beacons), default=0)

    def _tell(self, mode: Mode) -> None:
        if mode is Mode.RECONCILE and self._mode is not mode:
            log.error("database_not_trusted", route=self._journal.route, see="gateway mirror status")
        self._mode = mode

    # --- looking ---

    async def _look(self, storage: Backend, patience: float | None) -> _Sight:
        beacons: dict[str, Lineage] = {}
        try:
            async with asyncio.timeout(patience):
                for bucket in await self._places(storage):
                    if beacon := await self._read(storage, bucket):
                        beacons[bucket] = beacon
        except TimeoutError:
            return _Sight(beacons, "no answer in time")
        except S3Error as error:
            return _Sight(beacons, name_of(error))
        return _Sight(beacons)

    async def _places(self, storage: Backend) -> Sequence[str]:
        """Return the buckets to look into: all, until it is certain what they say."""
        names = sorted(await self._buckets(storage))
        return names[:ANCHORS] if self.certain.is_set() else names

    async def _read(self, storage: Backend, bucket: str) -> Lineage | None:
        try:
            async with storage.get(Address(bucket, self._key)) as download:
                return Lineage(**json.loads(await bytes_of(download)))
        except (NoSuchKey, NoSuchBucket):
            return None
        except (TypeError, ValueError):
            log.warning("beacon_unreadable", storage=storage.name, bucket=bucket)
            return None

    async def _find_leftovers(self, fallback: Backend) -> str:
        """Say what is on the fallback, if anything is that a database must have known of."""
        if self._echo and not self.certain.is_set():
            for bucket in await self._buckets(fallback):
                if await self._echo.is_any(bucket):
                    return (
                        f"{fallback.name} holds objects that wait for the primary, of which the database knows nothing"
                    )
        return ""

    # --- saying ---

    async def _light(self) -> None:
        if self._echo:
            await self._echo.settle()
        lineage = await self._journal.past.light()
        if lineage is None:
            return
        for storage, sight in zip(self._storages, self._sights, strict=True):
            if storage is self._fallback or not sight.failure:  # a mirror that does not answer is told the next time
                await self._write(storage, sight, lineage)
        if self._echo and self._fallback and lineage.floor == lineage.gen:
            await self._clear(self._echo, self._fallback, lineage.floor)

    async def _write(self, storage: Backend, sight: _Sight, lineage: Lineage) -> None:
        """Have a storage say it, where it does not. Raises: S3Error, if that is the fallback."""
        data = json.dumps(lineage._asdict()).encode()
        try:
            for bucket in sorted(await self._buckets(storage))[:ANCHORS]:
                if sight.beacons.get(bucket) != lineage:
                    await self._put(storage, Address(bucket, self._key), data)
        except S3Error as error:
            if storage is self._fallback:
                raise
            log.info("beacon_not_written", storage=storage.name, error=name_of(error))

    async def _put(self, storage: Backend, at: Address, data: bytes) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield data

        with suppress(NoSuchBucket):  # nothing of the route has ever been there
            await storage.put(at, Body(chunks(), len(data)))

    async def _clear(self, echo: Echo, fallback: Backend, floor: int) -> None:
        """Clear the echo away, once after each outage; the beacon on the fallback says already that it is over."""
        epoch = (await self._journal.state()).epoch
        if epoch != self._cleared:
            for bucket in await self._buckets(fallback):
                await echo.clear(bucket, floor)
            self._cleared = epoch
