"""A bucket with a fallback or mirrors, opened for a command: what is written down of it, and its storages."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
import structlog
from sqlalchemy import make_url

from gateway.app import open_backends
from gateway.config import Config
from gateway.config.models import EVERY_OTHER
from gateway.errors import S3Error, ServiceUnavailable
from gateway.replication.journal import Journal
from gateway.replication.records import new_id
from gateway.routes import is_replicated, placed, timing_of
from gateway.server.bind import StartError
from gateway.state import Store, open_store
from gateway.storage import Backend

T = TypeVar("T")
INTERRUPTED = 130


def fail(message: str, code: int = 1) -> NoReturn:
    """End the program, having said why."""
    click.echo(message, err=True)
    raise SystemExit(code)


def perform(work: Coroutine[Any, Any, T], failed: int = 1) -> T:
    """Do what a command does, without a log, and end the program if it cannot be done, with status `failed`."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    try:
        return asyncio.run(work)
    except (StartError, S3Error) as error:
        fail(f"{error.code}: {error}" if isinstance(error, S3Error) else str(error), failed)
    except KeyboardInterrupt:
        fail("interrupted", INTERRUPTED)


def entry_of(config: Config, bucket: str) -> str:
    """Return the name of the entry by which a bucket is replicated, or end the program."""
    said = config.bucket(bucket)
    if said is None:
        fail(f'{bucket}: there is no entry for it under buckets, and none for "{EVERY_OTHER}": it does not exist')
    if not is_replicated(said):
        fail(f"{bucket}: has neither a fallback nor mirrors")
    return bucket if bucket in config.buckets else EVERY_OTHER


def whole_entry(config: Config, bucket: str) -> str:
    """Likewise, where what is done would befall other buckets, too, if it is not named as they all are."""
    entry = entry_of(config, bucket)
    if entry != bucket:
        fail(f'{bucket}: belongs to buckets.{entry}, as others do; to mean them all, say "{entry}"')
    return entry


def mirrors_of(config: Config, entry: str, mirror: str | None = None) -> Sequence[str]:
    """Return the mirrors of an entry, or the one that is named, or end the program."""
    names = [each.backend for each in config.buckets[entry].mirrors]
    if not names:
        fail(f"{entry}: has no mirrors")
    if mirror is not None and mirror not in names:
        fail(f'{entry}: there is no mirror "{mirror}", there are: {", ".join(names)}')
    return names if mirror is None else [mirror]


def _find(state: str) -> None:
    """Make no file for the one who asks, which the gateway might not be able to write. Raises: StartError."""
    url = make_url(state)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise StartError(f"state: there is no {url.database} yet: the gateway makes it when it starts")


@asynccontextmanager
async def opened_state(config: Config) -> AsyncIterator[Store]:
    """Open the database. Raises: StartError."""
    _find(config.state)
    async with AsyncExitStack() as opened:
        try:
            store = await opened.enter_async_context(open_store(config.state))
        except (OSError, ServiceUnavailable, ValueError) as error:
            raise StartError(f"state: cannot be opened: {error}") from error
        yield store


def journal_of(config: Config, entry: str, store: Store) -> Journal:
    """Return the journal of an entry."""
    said = config.buckets[entry]
    targets = [mirror.backend for mirror in said.mirrors]
    fallback = said.fallback.backend if said.fallback else ""
    return Journal(store, entry, new_id(), targets, timing_of(config, said), fallback=fallback)


@asynccontextmanager
async def opened_sides(config: Config, entry: str, mirror: str) -> AsyncIterator[tuple[Backend, Backend]]:
    """Open the primary of an entry and one of its mirrors. Raises: StartError."""
    said = config.buckets[entry]
    other = next(each for each in said.mirrors if each.backend == mirror)
    async with AsyncExitStack() as opened:
        backends = await open_backends(config, (said.backend, mirror), opened)
        yield placed(entry, said, backends), placed(entry, other, backends)
