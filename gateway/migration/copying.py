"""One object, copied into the storage that takes the place of its own: a copy that tells what it is a copy of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from hashlib import sha256
from typing import Final, NamedTuple

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import EntityTooSmall, InvalidPart, NoSuchKey, PreconditionFailed
from gateway.replication.copier import MIGRATED, Carriage, Carried, Gate, lasting
from gateway.storage import Address, Backend, ObjectInfo

_NOTHING: Final = Conditions(if_none_match=("*",))  # is there


class State(NamedTuple):
    """A state of an object as its storage tells it. It is another when anything that a client can see is another."""

    etag: str
    size: int
    modified: datetime
    beside: str  # a digest of headers, metadata and labels


class Outcome(StrEnum):
    """What became of a key."""

    COPIED = "copied"
    SAME = "same"  # a copy of this very state was there already
    TAKEN = "taken"  # something else is there, or no longer what was seen there, and it stays
    GONE = "gone"  # nothing is there to be copied


class Copied(NamedTuple):
    """What became of a key; `lost` names what the target tells otherwise than the source: "etag", "checksum"."""

    outcome: Outcome
    size: int = 0
    lost: Sequence[str] = ()


def is_migrated(info: ObjectInfo) -> bool:
    """Say whether an object is a copy that a migration has made. What a client writes over it is none any more."""
    return MIGRATED in info.labels


def state_of(info: ObjectInfo) -> State:
    """Return the state of an object that was asked for by HEAD or GET; a listing does not tell enough."""
    digest = sha256(json.dumps(beside(info), sort_keys=True).encode()).hexdigest()
    return State(info.etag, info.size, info.modified, digest[:32])


def beside(info: ObjectInfo) -> Sequence[Mapping[str, str]]:
    """Return what a copy has beside the bytes, as its source: headers, metadata, labels."""
    return dict(info.headers), dict(info.metadata), lasting(info.labels)


def origin_of(copy: ObjectInfo) -> State | None:
    """Return what a copy was made of; None if it tells nothing of that."""
    try:
        said = json.loads(copy.labels[MIGRATED])
        return State(said["e"], said["n"], datetime.fromisoformat(said["m"]), said["d"])
    except (KeyError, TypeError, ValueError):
        return None


def is_copy_of(copy: ObjectInfo, source: ObjectInfo) -> bool:
    """Say whether a migration has made this copy of just this state of its source. Both were asked for by HEAD."""
    return copy.size == source.size and origin_of(copy) == state_of(source)


def stamped(source: ObjectInfo) -> Mapping[str, str]:
    """Return the labels of a copy: those of its source, and which state of it this is."""
    state = state_of(source)
    stamp = {"e": state.etag, "n": state.size, "m": state.modified.isoformat(), "d": state.beside}
    return {**lasting(source.labels), MIGRATED: json.dumps(stamp, separators=(",", ":"))}


async def _open() -> None:
    """Let everything pass."""


@dataclass(frozen=True, slots=True)
class Copier:
    """Copies objects from `source` to `target`, and never over what it was not told of.

    That is held by conditions of the target's own (If-None-Match, If-Match). A target that knows none raises
    NotImplementedByGateway; with `exclusive`, which says that nobody else writes the key meanwhile, it is looked at
    just before the object is there instead.
    """

    source: Backend
    target: Backend
    exclusive: bool = False

    async def copy(self, at: Address, to: Address, over: ObjectInfo | None = None, gate: Gate = _open) -> Copied:
        """Store what is `at` in the source under `to` in the target, if nothing is there, or still only `over`.

        It is there whole, with headers, metadata, labels and checksum, of the same parts, or not at all. `gate` is
        awaited before the last bytes go, and raises if they must not. Another try is always safe. Raises: what the
        storages and the gate raise.
        """
        conditions = Conditions(if_match=(over.etag,)) if over else _NOTHING
        if self.exclusive:
            gate, conditions = partial(self._look, to, conditions, gate), ANY_STATE
        carriage = Carriage(self.source, at, self.target, to, gate, labels=stamped, conditions=conditions)
        try:
            source, made = await carried(carriage)
        except (NoSuchKey, PreconditionFailed):
            return Copied(await self._hindrance(at, to))
        return Copied(Outcome.COPIED, source.size, _lost(source, made))

    async def _look(self, to: Address, conditions: Conditions, gate: Gate) -> None:
        """Do what the target itself cannot. Raises: NoSuchKey, PreconditionFailed, and what the gate raises."""
        conditions.check_write(to.key, await found(self.target, to))
        await gate()

    async def _hindrance(self, at: Address, to: Address) -> Outcome:
        """Return why nothing was stored; a try whose answer was lost may have stored it."""
        source, held = await found(self.source, at), await found(self.target, to)
        if source is None:
            return Outcome.GONE
        return Outcome.SAME if held and is_copy_of(held, source) else Outcome.TAKEN


async def found(storage: Backend, at: Address) -> ObjectInfo | None:
    """Return what is there, None if nothing is."""
    try:
        return await storage.head(at)
    except NoSuchKey:
        return None


async def carried(carriage: Carriage) -> Carried:
    """Carry an object; of equal parts, if the target takes none of such sizes as the source's."""
    try:
        return await carriage.run()
    except (EntityTooSmall, InvalidPart):
        return await replace(carriage, equal=True).run()


def _lost(source: ObjectInfo, made: ObjectInfo) -> Sequence[str]:
    lost = {"etag": made.etag != source.etag, "checksum": source.checksum not in {None, made.checksum}}
    return tuple(name for name, is_lost in lost.items() if is_lost)
