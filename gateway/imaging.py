"""From a Config to what makes variants of images; imported only where a bucket wants them."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final

from sqlalchemy import make_url

from gateway.beside import beside
from gateway.config import Config
from gateway.config.images import limits_of, rules_of
from gateway.config.models import EVERY_OTHER, Bucket, Local
from gateway.errors import ServiceUnavailable
from gateway.images.checking import Checking
from gateway.images.hook import Receiver, Tell, telling_of
from gateway.images.keeper import Find, Keeper, Pictures
from gateway.images.pool import Workers
from gateway.images.queue import Queue
from gateway.images.scope import Scope
from gateway.images.telling import Telling
from gateway.images.working import Working, keep_house
from gateway.routes import timing_of
from gateway.routing.imaging import Imaging, Making
from gateway.server.bind import StartError
from gateway.sharing import Sharing
from gateway.state import Store, open_store
from gateway.storage import Backend

SHOW_UPLOADS: Final = frozenset({"gcs", "local", "memory"})  # what is uploaded in parts, before it is complete
LAST_WORDS: Final = 5.0  # seconds for what is still to be written down when the gateway ends


@asynccontextmanager
async def imaged(config: Config, storage: Backend, worker: int, sharing: Sharing) -> AsyncIterator[Backend]:
    """Put around all buckets what makes variants, and work on what waits. Raises: StartError."""
    find = finder(config)
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(_state(config, sharing))
        workers = await opened.enter_async_context(workers_of(config))
        hook = await opened.enter_async_context(_hook(config))
        queue, keeper, telling = Queue(store, scope_of(config)), Keeper(storage, workers, find), Telling(hook)
        working = Working(queue, keeper, find, telling, at_once=4 * _processes(config))
        if worker == 0:
            for pictures in _pictures(config).values():
                telling.begins(pictures)
        most = config.images.queue.max_jobs
        imaging = Imaging(storage, Making(find, queue, keeper, workers, telling, Checking(keeper, telling), most))
        try:
            async with beside(working.run, *([partial(keep_house, queue)] if worker == 0 else [])):
                yield imaging
        finally:
            with suppress(TimeoutError):
                await asyncio.wait_for(queue.drained(), LAST_WORDS)


def finder(config: Config) -> Find:
    """Return what tells what holds for the images of a bucket, if anything does."""
    pictures = _pictures(config)
    return lambda bucket: pictures.get(bucket if bucket in config.buckets else EVERY_OTHER)


@asynccontextmanager
async def _hook(config: Config) -> AsyncIterator[Tell]:
    said = config.images.webhook
    receiver = Receiver(said.url, said.secret.get_secret_value(), said.timeout, said.ca) if said else None
    async with AsyncExitStack() as opened:
        try:
            tell = await opened.enter_async_context(telling_of(receiver))
        except OSError as error:
            raise StartError(f"images.webhook.ca: cannot be read: {error}") from error
        yield tell


def scope_of(config: Config) -> Scope:
    """Return where the buckets lie whose images are worked on."""
    places = {name: _place(config, bucket) if bucket.images else None for name, bucket in config.buckets.items()}
    return Scope(places, places.pop(EVERY_OTHER, None))


def workers_of(config: Config) -> Workers:
    """Return the processes that one process of the gateway has."""
    said = config.images
    return Workers(_processes(config), nice=said.nice, timeout=said.timeout, memory=said.memory, folder=_folder(config))


def _pictures(config: Config) -> Mapping[str, Pictures]:
    return {
        name: Pictures(
            name,
            rules_of(config.images, said),
            limits_of(said),
            said.accept,
            rejects=said.on_invalid == "reject",
            shows_uploads={config.backends[backend].type for backend in _storages(bucket)} <= SHOW_UPLOADS,
            fails=said.on_error == "fail",
            hold=timing_of(config, bucket).hold,
        )
        for name, bucket in config.buckets.items()
        if (said := bucket.images)
    }


def _storages(bucket: Bucket) -> Sequence[str]:
    """Return the backends in which uploads are begun."""
    return [bucket.backend, *([bucket.fallback.backend] if bucket.fallback else [])]


def _place(config: Config, bucket: Bucket) -> str:
    """Return what tells where a bucket lies from where another one of the same name does."""
    backend = config.backends[bucket.backend]
    told = [str(getattr(backend, name, "")) for name in ("type", "endpoint", "account", "jurisdiction")]
    path = backend.path.resolve() if isinstance(backend, Local) else ""
    return sha256(json.dumps([*told, str(path), bucket.name, bucket.prefix]).encode()).hexdigest()[:16]


def _processes(config: Config) -> int:
    wanted = config.images.workers
    all_of_them = len(os.sched_getaffinity(0)) if wanted == "auto" else wanted
    return max(all_of_them // config.worker_count, 1)


def _folder(config: Config) -> Path | None:
    """Return where files lie for a while: beside the state, if that is a file; else where temporary files go."""
    url = make_url(config.state)
    return Path(url.database).parent / "images" if url.get_backend_name() == "sqlite" and url.database else None


@asynccontextmanager
async def _state(config: Config, sharing: Sharing) -> AsyncIterator[Store]:
    async with AsyncExitStack() as opened:
        try:
            store = await opened.enter_async_context(sharing.use(config.state, partial(open_store, config.state)))
        except (OSError, ServiceUnavailable, ValueError) as error:
            raise StartError(f"state: cannot be opened: {error}") from error
        yield store
