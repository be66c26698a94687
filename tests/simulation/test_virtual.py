import asyncio

from tests.simulation.virtual import Life, simulate


def test_virtual_seconds_cost_nothing():
    async def world(loop):
        await asyncio.sleep(1_000_000)
        return loop.time()

    assert simulate(world) >= 1_000_000


def test_a_killed_node_takes_no_further_step_not_even_to_clean_up():
    steps = []

    async def work():
        try:
            steps.append("began")
            await asyncio.create_task(asyncio.sleep(10))
            steps.append("went on")
        finally:
            steps.append("cleaned up")

    async def world(loop):
        life = Life(loop)
        life.run(work)
        await asyncio.sleep(5)
        life.dead = True
        await asyncio.sleep(100)
        return list(steps)

    assert simulate(world) == ["began"]


def test_a_paused_node_goes_on_afterwards_with_the_tasks_it_began_itself():
    times = []

    async def inner():
        await asyncio.sleep(1)
        times.append(asyncio.get_running_loop().time())

    async def world(loop):
        life = Life(loop)

        async def work():
            await asyncio.create_task(inner())

        life.run(work)
        await asyncio.sleep(0.5)
        life.paused_until = 50.0
        await asyncio.sleep(100)
        return times

    assert simulate(world) == [50.0]
