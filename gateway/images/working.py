"""Does the jobs of the queue, a few at once; every gateway that shares the database does."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from gateway import metrics
from gateway.errors import NoSuchBucket, S3Error, ServiceUnavailable
from gateway.images.keeper import MEANT, Find, Keeper, Result
from gateway.images.queue import LEASE, Job, Queue
from gateway.images.telling import Telling
from gateway.replication.outcome import name_of

IDLE: Final = 1.0  # seconds after which it is looked again for work of others
HOUSEKEEPING: Final = 5.0
TRIES: Final = 4  # of what may have been the machine's fault, such as an image that took too long
FIRST_PAUSE: Final = 1.0  # seconds, twice as long each time
LONGEST_PAUSE: Final = 300.0

log = structlog.get_logger()


class Working:
    """Takes jobs on and does them."""

    def __init__(self, queue: Queue, keeper: Keeper, find: Find, telling: Telling, *, at_once: int) -> None:
        self._queue, self._keeper, self._find, self._telling = queue, keeper, find, telling
        self._at_once = at_once
        self._doing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work for ever; what is being done when this is cancelled is taken over by others."""
        try:
            while True:
                await self._round()
        finally:
            for task in self._doing:
                task.cancel()
            await asyncio.gather(*self._doing, return_exceptions=True)

    async def _round(self) -> None:
        self._queue.news.clear()
        try:
            jobs = await self._queue.take(self._at_once - len(self._doing))
        except ServiceUnavailable as error:
            log.warning("image_jobs_not_taken", error=name_of(error))
            jobs = []
        for job in jobs:
            task = asyncio.create_task(self.do(job))
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)
        if len(self._doing) >= self._at_once:
            while len(self._doing) > self._at_once // 2:  # some are taken on together, for what it costs to ask
                await asyncio.wait(self._doing, return_when=asyncio.FIRST_COMPLETED)
        elif not jobs:
            await self._news()

    async def _news(self) -> None:
        try:
            async with asyncio.timeout(IDLE):
                await self._queue.news.wait()
        except TimeoutError:
            return

    async def do(self, job: Job) -> None:
        """Do one job, and tell the queue how it ended."""
        try:
            async with self._held(job):
                await self._do(job)
        except ServiceUnavailable as error:  # of the database: the job is taken over when its lease is over
            log.warning("image_not_recorded", bucket=job.at.bucket, key=job.at.key, error=name_of(error))

    async def _do(self, job: Job) -> None:
        pictures = self._find(job.at.bucket)
        if pictures is None:
            self._queue.done(job)
            return
        began = time.perf_counter()
        try:
            result = await self._keeper.keep(job.at)
        except NoSuchBucket:
            self._queue.done(job)
            return
        except Exception as error:  # whatever it was: it is tried again
            if not isinstance(error, S3Error):
                log.exception("image_failed", bucket=job.at.bucket, key=job.at.key)
            self._telling.failed(job.at, name_of(error), job.attempts)
            metrics.IMAGE_JOBS.labels(pictures.entry, "failed", "backend").inc()
            await self._queue.retry(job, name_of(error), pause(job.attempts))
            return
        self._telling.tell(pictures, job.at, result, time.perf_counter() - began)
        await self._close(job, result)

    async def _close(self, job: Job, result: Result) -> None:
        if not result.reason or result.unfit in MEANT:
            self._queue.done(job)
        elif result.passing and job.attempts + 1 < TRIES:
            await self._queue.retry(job, result.reason, pause(job.attempts))
        else:
            await self._queue.fail(job, result.reason)

    @asynccontextmanager
    async def _held(self, job: Job) -> AsyncIterator[None]:
        async def renew() -> None:
            while True:
                await asyncio.sleep(LEASE / 3)
                try:
                    await self._queue.renew(job)
                except ServiceUnavailable:
                    continue

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()


def pause(attempts: int) -> float:
    """Return how many seconds are waited before the next attempt."""
    return float(min(FIRST_PAUSE * 2 ** min(attempts, 20), LONGEST_PAUSE))


async def keep_house(queue: Queue) -> None:
    """Sweep and measure for ever; one process of a gateway is enough for that."""
    while True:
        try:
            await queue.sweep()
            waiting = await queue.waiting()
        except ServiceUnavailable as error:
            log.warning("image_jobs_not_measured", error=name_of(error))
        else:
            metrics.IMAGE_QUEUE.labels("waiting").set(waiting.jobs)
            metrics.IMAGE_QUEUE.labels("failed").set(waiting.failed)
            metrics.IMAGE_OLDEST.set(waiting.oldest)
        await asyncio.sleep(HOUSEKEEPING)
