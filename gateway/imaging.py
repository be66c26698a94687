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

from gateway.beside import Work, beside
from gateway.config import Config
from gateway.config.images import limits_of, rules_of
from gateway.config.models import EVERY_OTHER, Bucket, Local
from gateway.errors import ServiceUnavailable
from gateway.images.bell import Bell
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
async def imaged(
    config: Config, storage: Backend, worker: int, sharing: Sharing, bell: Bell | None = None
) -> AsyncIterator[Backend]:
    """Put around all buckets what makes variants, and work on what waits, here or where there is a `bell` for it.

    Raises: StartError.
    """
    find, count = finder(config), share_of(config, worker, bell)
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(_state(config, sharing))
        workers = await opened.enter_async_context(workers_of(config, count))
        hook = await opened.enter_async_context(_hook(config))
        queue = Queue(store, scope_of(config), bell.ring if bell else None)
        keeper, telling = Keeper(storage, workers, find), Telling(hook)
        background: list[Work] = []
        if works_here(config, worker, bell):
            background.append(Working(queue, keeper, find, telling, at_once=4 * count).run)
        if bell and bell.is_for(worker):
            opened.enter_context(bell.answered(queue.news.set))
        if worker == 0:
            background.append(partial(keep_house, queue))
            for pictures in _pictures(config).values():
                telling.begins(pictures)
        most = config.images.queue.max_jobs
        imaging = Imaging(storage, Making(find, queue, keeper, workers, telling, Checking(keeper, telling), most))
        try:
            async with beside(*background):
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


def workers_of(config: Config, count: int | None = None) -> Workers:
    """Return the processes that one process of the gateway has, so many if it is said."""
    said, count = config.images, count or _each(config)
    return Workers(count, nice=said.nice, timeout=said.timeout, memory=said.memory, folder=_folder(config))


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


def works_here(config: Config, worker: int, bell: Bell | None) -> bool:
    """Say whether it is this process that makes what no client waits for.

    The one beside the workers does, if there is one, and if by the configuration of now there would be one.
    """
    is_beside = bell is not None and bell.is_for(worker)
    return is_beside == (bell is not None and config.images_beside)


def share_of(config: Config, worker: int, bell: Bell | None) -> int:
    """Return how many of the processes that decode are this one's: half are the clients', if any waits for pictures."""
    if bell is None or not config.images_beside:
        return _each(config)
    wait = any(bucket.images and bucket.images.keeps_clients for bucket in config.buckets.values())
    later = max(_all(config) // 2, 1) if wait else _all(config)
    return later if bell.is_for(worker) else _each(config, later)


def _each(config: Config, taken: int = 0) -> int:
    return max((_all(config) - taken) // config.worker_count, 1)


def _all(config: Config) -> int:
    wanted = config.images.workers
    return len(os.sched_getaffinity(0)) if wanted == "auto" else wanted


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
