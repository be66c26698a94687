"""The protocol of a bucket that moves with one rule switched off."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from gateway.conditions import ANY_STATE, Conditions
from gateway.errors import NoSuchKey
from gateway.migration.copying import Copied, Copier, Outcome, is_migrated
from gateway.migration.copying import stamped as marked
from gateway.migration.tombs import Hold, Tombs
from gateway.replication.copier import Carriage
from gateway.routing.lazy import Lazy
from gateway.routing.lazy.moving import Seen
from gateway.routing.lazy.reading import Found
from gateway.storage import Address, Backend, Body, ObjectInfo, WriteOptions
from tests.simulation.moving import Rules


class _NoTombs(Lazy):
    async def is_buried(self, at: Address) -> bool:
        return False


class _Overwrites(Copier):
    async def copy(self, at: Address, to: Address, *_: object, **__: object) -> Copied:
        async def gate() -> None:
            pass

        await Carriage(self.source, at, self.target, to, gate, labels=marked).run()
        return Copied(Outcome.COPIED)


class _ShowsDeadCopies(Lazy):
    def _is_hidden(self, info: ObjectInfo) -> bool:
        return False


class _DeletesFirst(Lazy):
    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self.new.delete(at)
        await self.bury(at)


class _AsksBefore(Lazy):
    async def _ask(self, at: Address, ask: Callable[[Backend], Awaitable[Found]]) -> Found:
        buried = await self.is_buried(at)
        seen = await self.look_new(at)
        if seen and not (buried and is_migrated(seen)):
            return await ask(self.new)
        if buried:
            raise NoSuchKey(Key=at.key)
        found = await ask(self.old)
        self._want(at, found)
        return found


class _PutBuries(Lazy):
    async def put(self, at: Address, body: Body, options: WriteOptions = WriteOptions()) -> ObjectInfo:
        await self.bury(at)
        return await super().put(at, body, options)


class _DeletesBlindly(Lazy):
    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self.bury(at)
        await self.new.delete(at)


class _LooksOnce(Lazy):
    async def _ask_again(self, at: Address, _: Callable[[Backend], Awaitable[Found]]) -> Found:
        raise NoSuchKey(Key=at.key)


class _LooksAfterwards(Lazy):
    async def delete(self, at: Address, conditions: Conditions = ANY_STATE) -> None:
        await self.bury(at)
        if Seen(await self.look_new(at)).is_own:
            await self.new.delete(at)


class _HoldsNothing(Tombs):
    async def hold(self, at: Address, seconds: float) -> Hold | None:
        return Hold(at, "", await self.is_buried(at))

    async def let_go(self, hold: Hold, *, buried: bool) -> bool:
        return True


RULES: Final[Mapping[str, Rules]] = {
    "a delete is written down": Rules(_NoTombs),
    "a copy replaces nothing": Rules(copier=_Overwrites),
    "a dead copy is not shown": Rules(_ShowsDeadCopies),
    "a key is buried before it is deleted": Rules(_DeletesFirst),
    "whether it is buried is asked last": Rules(_AsksBefore),
    "a write buries nothing first": Rules(_PutBuries),
    "a delete has one effect": Rules(_DeletesBlindly),
    "a buried key is looked for again": Rules(_LooksOnce),
    "a delete looks first": Rules(_LooksAfterwards),
    "who decides holds the key": Rules(tombs=_HoldsNothing),
}

BY_HAND: Final = frozenset({"a buried key is looked for again", "a delete looks first"})  # chance needs thousands
