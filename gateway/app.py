"""The only module that knows every class: from a Config to what answers requests."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any, Final

import structlog

from gateway import metrics
from gateway.auth.keys import Grants, Key
from gateway.auth.policy import Policy
from gateway.auth.verify import Verifier
from gateway.backends.registry import BACKENDS
from gateway.beside import beside
from gateway.budget import BUDGET
from gateway.config import Config, models
from gateway.config.cors import compiled
from gateway.config.follow import Follow
from gateway.config.keyfile import kept_key
from gateway.config.models import EVERY_OTHER, Bucket, KeyFile, Local
from gateway.config.models import Backend as BackendSettings
from gateway.cors import Cors
from gateway.doctor.examine import Patient, as_json, examine
from gateway.errors import S3Error
from gateway.images.bell import Bell
from gateway.message import Owner
from gateway.operations.service import Service
from gateway.rates import Ledger
from gateway.routing.at_most import AtMost
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
from gateway.server.common import Common
from gateway.server.health import NO_BUCKET, Board, Watched
from gateway.server.launch import Launch
from gateway.server.limits import Limits
from gateway.server.observe import Observer
from gateway.server.parse import Parser
from gateway.server.process import Plan
from gateway.server.relay import Unchanging, begin_reloads
from gateway.server.serve import Pipeline
from gateway.server.status import Notice
from gateway.server.succession import Gateway
from gateway.server.throttle import Rate, Throttle
from gateway.server.tls import Certificate
from gateway.sharing import Sharing
from gateway.storage import Backend
from gateway.tracing import TRACING

OWNER: Final = Owner(hashlib.sha256(b"s3-gateway").hexdigest(), "gateway")  # whoever no key says otherwise
REAPING: Final = 3600.0
FREE: Final = frozenset({"local", "memory"})  # backends that may be asked often whether they are there
NOTHING_PRIVATE: Final = frozenset({"local", "memory"})  # backends in whose buckets the gateway keeps nothing
_COMMAND: Final = 1  # counts as a worker, not the first: what is done once is the gateway's

log = structlog.get_logger()


def run(  # noqa: PLR0913  all that the command line has prepared
    config: Config,
    sockets: Sequence[socket],
    admin: Sequence[socket],
    *,
    shared: str,
    file: Path | None,
    ready: Callable[[], None],
) -> int:
    """Serve on bound sockets until told to end; return the exit code. Raises: StartError, KeyFileError.

    `shared` is the folder where the metrics of several workers meet, `file` what the configuration follows; each worker
    calls `ready` when it serves.
    """
    bell = Bell(config.worker_count) if config.images_beside else None
    beside_workers = ("images",) if bell else ()
    board = Board(config.worker_count, config.backends, len(beside_workers))
    common = Common(board.workers, Ledger(), Notice(board.slate), bell)

    def take(taken: Config) -> None:
        logs.configure(taken.log.format, taken.log.level, audit=taken.log.audit)
        board.add(taken.backends)

    take(config)
    begin_reloads()
    plan = Plan(
        build=partial(_serving, Sharing(), common),
        source=Follow(file, config, take) if file else Unchanging(config),
        board=board,
        sockets=sockets,
        beside=beside_workers,
        certificate=Certificate(config.tls.certificate, config.tls.key) if config.tls else None,
        ready=ready,
        examine=examined,
    )
    if config.keeps_state:
        import gateway.imaging  # noqa: F401, PLC0415  once for all processes, which share its memory
    return Launch(plan, admin, shared).run()


@asynccontextmanager
async def _serving(sharing: Sharing, common: Common, config: Config, worker: int) -> AsyncIterator[Gateway]:
    """Build a gateway, and from then on log as its configuration says, and tell of it."""
    async with AsyncExitStack() as opened:
        if config.traces:
            await opened.enter_async_context(sharing.use("traces", _traced))
        gateway = await opened.enter_async_context(build(config, worker, sharing, common))
        if worker == 0:
            await opened.enter_async_context(_ordered(config, sharing))
        logs.configure(config.log.format, config.log.level, audit=config.log.audit)
        if common.serves(worker):  # elsewhere are only the bodies of what is done beside all, which wait for no room
            BUDGET.set_limit(config.body_memory)
            metrics.BODY_MEMORY_LIMIT.set(config.body_memory)
        if worker == 0 and common.notice:
            common.notice.begin({name: backend.type for name, backend in config.backends.items()}, _places(config))
        yield gateway


@asynccontextmanager
async def _traced() -> AsyncIterator[None]:
    """Make traces. Raises: StartError."""
    try:
        TRACING.begin()
    except ImportError as error:
        raise StartError("traces: need what `pip install s3-gateway[otel]` installs") from error
    try:
        yield
    finally:
        TRACING.on = False
        await asyncio.to_thread(TRACING.end)


@asynccontextmanager
async def build(
    config: Config, worker: int = 0, sharing: Sharing | None = None, common: Common | None = None
) -> AsyncIterator[Gateway]:
    """Open the backends and put around them what a request passes; the first worker also does what is done once.

    What other gateways of this process have open already is shared with them. Raises: StartError, KeyFileError.
    """
    async with AsyncExitStack() as opened:
        sharing, common = sharing or Sharing(), common or Common()
        backends = await _observed(config, sharing, opened)
        replicated = await opened.enter_async_context(_replicated(config, backends, worker, sharing, common))
        routes = _routes(config, backends, replicated)
        imaged = await opened.enter_async_context(_imaged(config, _routed(routes), worker, sharing, common.bell))
        storage = _protected(config, imaged)
        service = Service(storage, config.region, _keeps_acls(config), _cors(config))
        policy = Policy(storage, public=_is_public(config), keeps_acls=_keeps_acls(config))
        verifier = Verifier(keys_of(config), config.region, sigv2=config.auth.sigv2)
        parser, throttle = Parser(config.domain, config.trusted_proxies), _throttle(config, common.ledger)
        pipeline = Pipeline(parser, verifier, policy, service, throttle)
        if worker == 0:
            said = ("reaping", frozenset(config.buckets.items()), frozenset(config.backends.items()), config.uploads)
            reaping = partial(_reap, storage, routes.get(EVERY_OTHER), _expiry(config))
            await opened.enter_async_context(sharing.use(said, partial(beside, reaping)))
        observer = Observer(pipeline, access_log(config.log.format, config.log.level, audit=config.log.audit))
        watched = {name: _watched(config, backend) for name, backend in backends.items()}
        limits = Limits(**config.limits.model_dump(exclude={"requests", "memory", "client", "key"}))
        yield Gateway(observer, watched, limits, config.drain)


@asynccontextmanager
async def opened_storage(config: Config) -> AsyncIterator[Backend]:
    """Open all buckets for a command, as clients see them; nothing is made of what is written. Raises: StartError."""
    async with AsyncExitStack() as opened:
        sharing = Sharing()
        backends = await _observed(config, sharing, opened)
        replicated = await opened.enter_async_context(
            _replicated(config, backends, _COMMAND, sharing, Common(workers=0))
        )
        yield _protected(config, _routed(_routes(config, backends, replicated)))


def _routes(
    config: Config, backends: Mapping[str, Observe], replicated: Mapping[str, Backend]
) -> Mapping[str, Backend]:
    """Return what stands behind each entry of `buckets`."""
    shown = {name: _shown(config, name, backend) for name, backend in backends.items()}
    return {name: shown[bucket.backend] for name, bucket in config.buckets.items()} | {**replicated}


async def _observed(config: Config, sharing: Sharing, opened: AsyncExitStack) -> Mapping[str, Observe]:
    """Open what is not open yet; `opened` closes what nobody else uses. Raises: StartError."""
    backends: dict[str, Observe] = {}
    for name, settings in config.backends.items():
        shared = sharing.use((name, settings), partial(_opened, name, settings))
        backends[name] = await opened.enter_async_context(shared)
    return backends


@asynccontextmanager
async def _opened(name: str, settings: BackendSettings) -> AsyncIterator[Observe]:
    async with AsyncExitStack() as opened:
        backend = await open_backend(name, settings, opened)
        yield Observe(AtMost(backend, settings.concurrency) if settings.concurrency else backend)


async def open_backends(config: Config, names: Iterable[str], opened: AsyncExitStack) -> Mapping[str, Backend]:
    """Open these backends; `opened` closes them. Raises: StartError."""
    return {name: await open_backend(name, config.backends[name], opened) for name in dict.fromkeys(names)}


async def open_backend(name: str, settings: BackendSettings, opened: AsyncExitStack) -> Backend:
    """Open a backend; `opened` closes it. Raises: StartError."""
    try:
        return await opened.enter_async_context(BACKENDS[settings.type](name, **_options(settings)))
    except (OSError, S3Error) as error:
        raise StartError(f"backends.{name}: cannot be opened: {error}") from error


def _options(settings: BackendSettings) -> dict[str, Any]:
    """Return what a storage of a type is opened with."""
    return settings.model_dump(exclude={"type", "concurrency"})


def _throttle(config: Config, ledger: Ledger) -> Throttle | None:
    """Return what holds clients to limits of requests and bytes, if there are any."""
    said = config.limits
    listed = () if isinstance(config.keys, KeyFile) else config.keys
    keys = {key.access_key: _rate(key.limits) for key in listed if key.limits}
    throttle = Throttle(ledger, said.requests or 0, _rate(said.client), _rate(said.key), keys)
    return None if throttle == Throttle(ledger) else throttle


def _rate(said: models.Rate) -> Rate:
    return Rate(said.rate or 0, said.bandwidth or 0)


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
                partial(BACKENDS[backend.type], name, **_options(backend)),
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


def _replicated(
    config: Config, backends: Mapping[str, Backend], worker: int, sharing: Sharing, common: Common
) -> AbstractAsyncContextManager[Mapping[str, Backend]]:
    if not any(bucket.elsewhere for bucket in config.buckets.values()):
        return nullcontext({})
    from gateway.routes import replicated_routes  # noqa: PLC0415  the libraries of databases take time and memory

    told = {"tell": common.notice.tell} if common.notice else {}
    return replicated_routes(
        config, backends, worker, sharing, ledger=common.ledger, votes=common.serves(worker), **told
    )


def _ordered(config: Config, sharing: Sharing) -> AbstractAsyncContextManager[None]:
    """Tell in the audit log of what is ordered by commands, where there is a database for them to leave word in."""
    if not (config.log.audit and config.keeps_state):
        return nullcontext()
    from gateway.orders import told  # noqa: PLC0415  likewise

    return told(config.state, sharing)


def _places(config: Config) -> Mapping[str, Mapping[str, object]]:
    """Return where each bucket lies, as whoever runs the gateway is told."""
    return {
        name: {
            "backend": said.backend,
            **({"fallback": said.fallback.backend} if said.fallback else {}),
            **({"mirrored_to": [mirror.backend for mirror in said.mirrors]} if said.mirrors else {}),
            **({"migrated_from": said.migrate_from.backend} if said.migrate_from else {}),
            **({"read_only": True} if said.read_only else {}),
        }
        for name, said in config.buckets.items()
    }


def _routed(routes: Mapping[str, Backend]) -> Backend:
    named = {name: storage for name, storage in routes.items() if name != EVERY_OTHER}
    return Router(named, routes.get(EVERY_OTHER))


def _protected(config: Config, storage: Backend) -> Backend:
    if not any(bucket.read_only for bucket in config.buckets.values()):
        return storage
    return ReadOnly(storage, _are(config, lambda bucket: bucket.read_only))


def _imaged(
    config: Config, storage: Backend, worker: int, sharing: Sharing, bell: Bell | None
) -> AbstractAsyncContextManager[Backend]:
    if not any(bucket.images for bucket in config.buckets.values()):
        return nullcontext(storage)
    from gateway.imaging import imaged  # noqa: PLC0415  likewise

    return imaged(config, storage, worker, sharing, bell)


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


def _cors(config: Config) -> Callable[[str], Cors | None]:
    rules = {name: compiled(bucket.cors) for name, bucket in config.buckets.items()}
    otherwise = rules.get(EVERY_OTHER)
    return lambda name: rules.get(name, otherwise)


def _expiry(config: Config) -> Expiry:
    ages = {name: config.expire_uploads(bucket) for name, bucket in config.buckets.items()}
    named = {name: None if age is None else timedelta(seconds=age) for name, age in ages.items()}
    return Expiry(named, named.pop(EVERY_OTHER, None))


async def _reap(storage: Backend, rest: Backend | None, expiry: Expiry) -> None:
    """Give up, now and every hour, beside all else, the uploads that nobody completed."""
    while True:
        if reaped := await reap(storage, rest, expiry, datetime.now(UTC)):
            log.info("uploads_expired", count=reaped)
        await asyncio.sleep(REAPING)
