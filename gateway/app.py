"""The only module that knows every class: from a Config to what answers requests."""

import asyncio
import hashlib
import importlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from socket import socket
from typing import Any, Final

import structlog

from gateway.auth.keys import Grants, Key
from gateway.auth.policy import Policy
from gateway.auth.verify import Verifier
from gateway.backends.registry import BACKENDS
from gateway.config import Config
from gateway.config.keyfile import kept_key
from gateway.config.models import EVERY_OTHER, Bucket, KeyFile, Local
from gateway.doctor.examine import Patient, as_json, examine
from gateway.errors import S3Error
from gateway.message import Owner
from gateway.operations.service import Service
from gateway.routes import replicated_routes
from gateway.routing.observe import Observe
from gateway.routing.place import Place
from gateway.routing.private import Private
from gateway.routing.readonly import ReadOnly
from gateway.routing.reaper import Expiry, reap
from gateway.routing.rename import Rename
from gateway.routing.router import Router
from gateway.server import logs
from gateway.server.access import access_log
from gateway.server.bind import StartError
from gateway.server.health import NO_BUCKET, Board, Watched
from gateway.server.launch import Launch
from gateway.server.limits import Limits
from gateway.server.observe import Observer
from gateway.server.parse import Parser
from gateway.server.process import Gateway, Plan
from gateway.server.serve import Pipeline
from gateway.server.tls import Certificate
from gateway.storage import Backend

OWNER: Final = Owner(hashlib.sha256(b"s3-gateway").hexdigest(), "gateway")  # whoever no key says otherwise
REAPING: Final = 3600.0
FREE: Final = frozenset({"local", "memory"})  # backends that may be asked often whether they are there
NOTHING_PRIVATE: Final = frozenset({"local", "memory"})  # backends in whose buckets the gateway keeps nothing

log = structlog.get_logger()


def run(config: Config, sockets: Sequence[socket], admin: Sequence[socket], shared: str) -> int:
    """Serve on bound sockets until told to end; return the exit code. Raises: StartError, KeyFileError.

    `shared` is the folder where the metrics of several workers meet.
    """
    logs.configure(config.log.format, config.log.level)
    plan = Plan(
        build=partial(build, config),
        board=Board(config.worker_count, list(config.backends)),
        sockets=sockets,
        certificate=Certificate(config.tls.certificate, config.tls.key) if config.tls else None,
        limits=Limits(**config.limits.model_dump()),
        drain=config.drain,
        examine=partial(examined, config),
    )
    return Launch(plan, admin, shared).run()


@asynccontextmanager
async def build(config: Config, worker: int = 0) -> AsyncIterator[Gateway]:
    """Open the backends and put around them what a request passes; the first worker also does what is done once."""
    async with AsyncExitStack() as opened:
        opened_backends = await open_backends(config, opened)
        backends = {name: Observe(backend) for name, backend in opened_backends.items()}
        shown = {name: _shown(config, name, backend) for name, backend in backends.items()}
        replicated = await opened.enter_async_context(replicated_routes(config, backends, worker))
        routes = {name: shown[bucket.backend] for name, bucket in config.buckets.items()} | {**replicated}
        storage = _routed(routes)
        if has_images(config):
            imaging = importlib.import_module("gateway.imaging")
            storage = await opened.enter_async_context(imaging.imaged(config, storage, worker))
        storage = _protected(config, storage)
        service = Service(storage, config.region, _keeps_acls(config))
        policy = Policy(storage, public=_is_public(config), keeps_acls=_keeps_acls(config))
        verifier = Verifier(keys_of(config), config.region, sigv2=config.auth.sigv2)
        pipeline = Pipeline(Parser(config.domain), verifier, policy, service)
        if worker == 0:
            reaping = _reap(storage, routes.get(EVERY_OTHER), _expiry(config))
            await opened.enter_async_context(_running(reaping))
        observer = Observer(pipeline, access_log(config.log.format, config.log.level))
        yield Gateway(observer, {name: _watched(config, backend) for name, backend in backends.items()})


async def open_backends(config: Config, opened: AsyncExitStack) -> Mapping[str, Backend]:
    """Open every backend; `opened` closes them. Raises: StartError."""
    backends: dict[str, Backend] = {}
    for name, backend in config.backends.items():
        try:
            opening = BACKENDS[backend.type](name, **backend.model_dump(exclude={"type"}))
            backends[name] = await opened.enter_async_context(opening)
        except (OSError, S3Error) as error:
            raise StartError(f"backends.{name}: cannot be opened: {error}") from error
    return backends


async def examined(config: Config) -> dict[str, Any]:
    """Try what the backends can do, and return what was found out."""
    return as_json(await examine(patients(config)))


def patients(config: Config) -> Sequence[Patient]:
    """Return the backends as they are examined: opened anew, and written to only where clients may write."""
    found = []
    for name, backend in config.backends.items():
        ours = [
            (said.name or bucket, said)
            for bucket, said in config.buckets.items()
            if said.backend == name and (said.name or bucket) != EVERY_OTHER
        ]
        found.append(
            Patient(
                name,
                backend.type,
                partial(BACKENDS[backend.type], name, **backend.model_dump(exclude={"type"})),
                backend.path if isinstance(backend, Local) else None,
                written={bucket: said.prefix for bucket, said in ours if not said.read_only},
                read=sorted({bucket for bucket, said in ours if said.read_only}),
            )
        )
    return found


def keys_of(config: Config) -> Mapping[str, Key]:
    """Return the keys that are accepted, by access key. Raises: KeyFileError."""
    if isinstance(config.keys, KeyFile):
        access_key, secret_key = kept_key(config.keys.file)
        return {access_key: Key(access_key, secret_key, OWNER, Grants.parse(["*"]))}
    return {
        key.access_key: Key(
            key.access_key,
            key.secret_key.get_secret_value(),
            Owner(key.owner.id, key.owner.display_name) if key.owner else OWNER,
            Grants.parse(key.allow),
        )
        for key in config.keys
    }


def _routed(routes: Mapping[str, Backend]) -> Backend:
    named = {name: storage for name, storage in routes.items() if name != EVERY_OTHER}
    return Router(named, routes.get(EVERY_OTHER))


def _protected(config: Config, storage: Backend) -> Backend:
    if not any(bucket.read_only for bucket in config.buckets.values()):
        return storage
    return ReadOnly(storage, _are(config, lambda bucket: bucket.read_only))


def has_images(config: Config) -> bool:
    """Say whether anything is made of images: if not, nothing that makes it is so much as imported."""
    return any(bucket.images for bucket in config.buckets.values())


def _shown(config: Config, name: str, backend: Backend) -> Backend:
    """Return a backend as clients see it: its buckets under their names here, the gateway's own keys hidden."""
    places = {
        bucket: Place(said.name or bucket, said.prefix)
        for bucket, said in config.buckets.items()
        if said.backend == name and (said.name or said.prefix)
    }
    storage = Rename(backend, places) if places else backend
    return Private(storage) if hides_own_keys(config, name) else storage


def hides_own_keys(config: Config, backend: str) -> bool:
    """Say whether the gateway keeps keys of its own in the buckets of a backend."""
    has_prefix = any(said.prefix for said in config.buckets.values() if said.backend == backend)
    return has_prefix or config.backends[backend].type not in NOTHING_PRIVATE


def _watched(config: Config, backend: Observe) -> Watched:
    """Say how to ask whether a backend is there: by a bucket that our credentials are good for, if one is named."""
    if config.backends[backend.name].type in FREE:
        return Watched(backend, every=2, again=1)
    named = (said.name or name for name, said in config.buckets.items() if said.backend == backend.name)
    return Watched(backend, next((name for name in named if name != EVERY_OTHER), NO_BUCKET))


def _are(config: Config, said: Callable[[Bucket], bool]) -> Callable[[str], bool]:
    """Return what tells of a bucket, by its name, whether something is said of it."""
    answers = {name: said(bucket) for name, bucket in config.buckets.items()}
    otherwise = answers.get(EVERY_OTHER, False)
    return lambda name: answers.get(name, otherwise)


def _is_public(config: Config) -> Callable[[str], bool]:
    return _are(config, lambda bucket: bucket.public == "read")


def _keeps_acls(config: Config) -> Callable[[str], bool]:
    return _are(config, lambda bucket: bucket.acls == "canned")


def _expiry(config: Config) -> Expiry:
    ages = {name: config.expire_uploads(bucket) for name, bucket in config.buckets.items()}
    named = {name: None if age is None else timedelta(seconds=age) for name, age in ages.items()}
    return Expiry(named, named.pop(EVERY_OTHER, None))


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have something done beside all else."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _reap(storage: Backend, rest: Backend | None, expiry: Expiry) -> None:
    """Give up, now and every hour, the uploads that nobody completed."""
    while True:
        if reaped := await reap(storage, rest, expiry, datetime.now(UTC)):
            log.info("uploads_expired", count=reaped)
        await asyncio.sleep(REAPING)
