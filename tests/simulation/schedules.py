"""Schedules made by hand, each of which goes wrong if one rule is missing, and not otherwise.

By chance such a thing happens once in thousands of schedules: a write has to land, or a node to die, at one moment.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from gateway.replication.records import Mode
from tests.simulation.faults import Hold
from tests.simulation.world import TIMING, Rules, World

Schedule = Callable[[World], Awaitable[None]]
IN_FLIGHT: Final = TIMING.hold - 2  # seconds that a write may be on its way, so that HOLD holds
SHORT_LEASES: Final = replace(TIMING, worker_lease=4.0, worker_margin=2.0)  # of workers
LONG_LEASES: Final = replace(TIMING, lease=15.0, node_lease=17.0)


async def until(world: World, holds: Callable[[], bool], at_most: float = 60.0) -> None:
    """Return when something holds, or after so many seconds."""
    end = world.loop.time() + at_most
    while not holds() and world.loop.time() < end:  # noqa: ASYNC110  whatever is waited for, in virtual time
        await asyncio.sleep(0.05)


async def until_mode(world: World, mode: Mode) -> None:
    await until(world, lambda: world.mode() is mode)


async def fail_over(world: World) -> None:
    """Take the primary away from all, and return when they do without it."""
    world.weather.down.add("P")
    await until_mode(world, Mode.FAILOVER)
    await asyncio.sleep(TIMING.poll * 2)


async def a_delete_in_an_outage(world: World) -> None:
    await world.put(0, "old")
    await fail_over(world)
    await world.delete(1)
    world.weather.down.clear()
    await until_mode(world, Mode.NORMAL)
    await world.get(2)


async def a_read_while_its_key_is_not_healed(world: World) -> None:
    await world.put(0, "old")
    await fail_over(world)
    await world.put(1, "newer")
    world.weather.down.clear()
    await until_mode(world, Mode.NORMAL)
    await world.get(2)


async def a_write_while_its_key_is_healed(world: World) -> None:
    await fail_over(world)
    await world.put(1, "staged")
    world.weather.down.clear()
    await until_mode(world, Mode.HEALING)
    await asyncio.sleep(TIMING.poll)
    await world.put(2, "newer")
    await world.get(0)


async def an_upload_that_outlives_the_outage(world: World) -> None:
    """It was begun on the fallback, and ends when the primary takes writes."""
    await fail_over(world)
    upload = asyncio.create_task(world.put(0, "staged", seconds=25))
    await asyncio.sleep(1)
    world.weather.down.clear()
    await until_mode(world, Mode.NORMAL)
    await world.put(1, "newer")
    await upload


async def an_upload_that_outlives_its_node_s_lease(world: World) -> None:
    """When it ends, the others have settled it long ago; and its node dies before it can say anything."""
    await world.put(1, "old")
    upload = asyncio.create_task(world.put(0, "late", seconds=30))
    await asyncio.sleep(1)
    node = world.nodes[0]
    node.store.cut = True
    node.clients["P"].holds.append(Hold(landing=False, dies=True))
    await upload


async def a_write_that_lands_while_its_key_is_healed(world: World) -> None:
    """It was sent before the outage, and is over while a newer state shows; then the older one would come back."""
    landing, answering = Hold(), [Hold(landing=False, answering=True) for _ in world.nodes]
    world.nodes[0].clients["P"].holds.append(landing)
    late = asyncio.create_task(world.put(0, "late"))
    sent = world.loop.time()
    await until(world, lambda: landing.reached)
    await fail_over(world)
    await world.put(1, "newer")
    for node, hold in zip(world.nodes, answering, strict=True):
        node.workers["P"].holds.append(hold)
    world.weather.down.clear()
    await until(world, lambda: any(hold.reached for hold in answering), sent + IN_FLIGHT - world.loop.time())
    landing.release()
    await late
    await world.get(1)
    for hold in answering:
        hold.release()
    await until_mode(world, Mode.NORMAL)
    await world.get(2)


async def a_healer_that_dies_with_a_write_under_way(world: World) -> None:
    await fail_over(world)
    await world.put(1, "staged")
    holds = [Hold(dies=True) for _ in world.nodes]
    for node, hold in zip(world.nodes, holds, strict=True):
        node.workers["P"].holds.append(hold)
    world.weather.down.clear()
    await until(world, lambda: any(hold.reached for hold in holds))
    sent = world.loop.time()
    for node, hold in zip(world.nodes, holds, strict=True):
        if not hold.reached:
            node.workers["P"].holds.clear()
    await until(world, lambda: world.mode() is Mode.NORMAL, IN_FLIGHT - 2)
    alive = next(number for number, node in enumerate(world.nodes) if node.alive)
    await world.put(alive, "newer")
    await asyncio.sleep(max(sent + IN_FLIGHT - world.loop.time(), 0))
    for hold in holds:
        hold.release()
    await asyncio.sleep(1)
    await world.get(alive)


async def a_write_of_which_nobody_hears(world: World) -> None:
    """The mirror is compared with the primary before it lands there."""
    await world.put(1, "old")
    await until(world, lambda: not world.database.unrest())
    hold = Hold(is_lost=True)
    world.nodes[0].clients["P"].holds.append(hold)
    await world.put(0, "late")
    await until(world, lambda: not world.database.unrest(), IN_FLIGHT)
    hold.release()


async def a_copy_of_which_nobody_hears(world: World) -> None:
    """It lands on the mirror when that holds something newer."""
    holds = [Hold(is_lost=True) for _ in world.nodes]
    for node, hold in zip(world.nodes, holds, strict=True):
        node.workers["M"].holds.append(hold)
    await world.put(0, "older")
    await until(world, lambda: any(hold.reached for hold in holds))
    sent = world.loop.time()
    for node in world.nodes:
        node.workers["M"].holds.clear()
    await world.put(1, "newer")
    await until(world, lambda: not world.database.unrest(), sent + IN_FLIGHT - world.loop.time())
    for hold in holds:
        hold.release()


async def an_outage_before_the_mirror_has_all(world: World) -> None:
    await world.put(0, "old")
    await until(world, lambda: not world.database.unrest())
    world.weather.down.add("M")
    await world.put(0, "newer")
    await fail_over(world)
    world.weather.down.discard("M")
    await asyncio.sleep(TIMING.hold + 5)
    await world.get(1)


async def a_node_that_is_cut_off_from_the_database(world: World) -> None:
    """It takes it that the primary is in use, while the others have left that."""
    await world.put(1, "old")
    for node in world.nodes[1:]:
        node.cut.add("P")
    world.nodes[0].store.cut = True
    await until(world, lambda: world.mode() is Mode.FAILOVER, 10)
    await asyncio.sleep(0.5)
    await world.put(1, "newer")
    await world.get(0)


SCHEDULES: Final[Mapping[str, tuple[Schedule, Rules]]] = {
    "an error is never an absence": (an_outage_before_the_mirror_has_all, Rules()),
    "NORMAL only when no row is left": (a_read_while_its_key_is_not_healed, Rules()),
    "a write of unknown outcome taints": (a_copy_of_which_nobody_hears, Rules()),
    "a lease that ran out taints": (a_healer_that_dies_with_a_write_under_way, Rules(timing=SHORT_LEASES)),
    "a delete is a tombstone": (a_delete_in_an_outage, Rules()),
    "only the healer writes a key with a row": (a_write_while_its_key_is_healed, Rules()),
    "the commit checks the mode": (an_upload_that_outlives_the_outage, Rules()),
    "a new row rests": (a_write_that_lands_while_its_key_is_healed, Rules()),
    "the last-chunk gate": (an_upload_that_outlives_its_node_s_lease, Rules()),
    "the sweeper waits": (a_write_of_which_nobody_hears, Rules()),
    "entering FAILOVER waits for leases": (a_node_that_is_cut_off_from_the_database, Rules(timing=LONG_LEASES)),
}
