import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from gateway.images import pool
from gateway.images.pool import Workers
from gateway.images.spec import Limits, Order, Reason, Unfit, Variant, Watermark
from tests.images import makers

SMALL = [Variant("small", 60)]


@pytest.fixture
def good(tmp_path):
    source = tmp_path / "good.jpg"
    source.write_bytes(makers.jpeg())
    return Order(source, SMALL)


@pytest.fixture
def endless(tmp_path):
    """A source of which a worker waits for the first byte for ever."""
    source = tmp_path / "endless"
    os.mkfifo(source)
    return Order(source, SMALL)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "made"


def children():
    return [child for child in psutil.Process().children() if "gateway.images.worker" in " ".join(child.cmdline())]


async def until(what):
    async with asyncio.timeout(20):
        while not what():  # noqa: ASYNC110  of other processes nobody is told
            await asyncio.sleep(0.01)


async def fails(workers, order):
    with pytest.raises(Unfit) as caught:
        async with workers.derive(order):
            pass
    return caught.value


async def works(workers, order):
    async with workers.derive(order) as made:
        assert made.files["small"].stat().st_size > 0
    return made


async def test_files_are_there_as_long_as_they_are_needed(good, folder):
    async with Workers(1, folder=folder, timeout=60) as workers:
        async with workers.derive(good) as made:
            path = made.files["small"]
            assert path.is_relative_to(folder)
            assert path.exists()
        assert not path.exists()
        assert list(next(folder.iterdir()).iterdir()) == []
    assert list(folder.iterdir()) == []


async def test_nothing_is_started_before_it_is_needed_and_nothing_is_left(good):
    async with Workers(2, timeout=60) as workers:
        assert children() == []
        await works(workers, good)
        assert len(children()) == 1
        await works(workers, good)
        assert len(children()) == 1
    assert children() == []


async def test_more_orders_than_workers_wait_for_their_turn(good):
    async with Workers(2, timeout=60) as workers:
        await asyncio.gather(*(works(workers, good) for _ in range(12)))
        assert len(children()) == 2


async def test_a_worker_that_hangs_is_ended_and_the_other_one_goes_on(good, endless):
    async with Workers(2, timeout=60) as workers:
        await works(workers, good)
        (warm,) = children()
        workers._timeout = 1
        hanging = asyncio.create_task(fails(workers, endless))
        await until(lambda: len(workers._idle._queue) == 1)
        workers._timeout = 60  # of the other ones
        await asyncio.gather(*(works(workers, good) for _ in range(3)))
        failed = await hanging
        assert (failed.reason, failed.passing) == (Reason.TIMEOUT, True)
        assert len(children()) == 1
        assert warm not in children()
        await asyncio.gather(*(works(workers, good) for _ in range(4)))


async def test_a_worker_that_dies_is_replaced(good, endless):
    async with Workers(1, timeout=60) as workers:
        await works(workers, good)
        (child,) = children()
        dying = asyncio.create_task(fails(workers, endless))
        await until(lambda: not workers._idle._queue)
        child.kill()
        failed = await dying
        assert (failed.reason, failed.passing) == (Reason.KILLED, True)
        await works(workers, good)


async def test_a_worker_that_died_meanwhile_is_replaced_unseen(good):
    async with Workers(1, timeout=60) as workers:
        await works(workers, good)
        (child,) = children()
        child.kill()
        await until(lambda: workers._workers[0]._process.returncode is not None)
        await works(workers, good)


async def test_who_gives_up_leaves_no_process_and_no_file(good, endless, folder):
    async with Workers(1, timeout=60, folder=folder) as workers:
        waiting = asyncio.create_task(fails(workers, endless))
        await until(lambda: any(folder.glob("*/*")))
        (child,) = children()
        queued = asyncio.create_task(works(workers, good))
        await asyncio.sleep(0)
        queued.cancel()
        waiting.cancel()
        for task in (waiting, queued):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not child.is_running()
        assert list(folder.glob("*/*")) == []
        await works(workers, good)


async def test_who_fails_with_the_files_in_hand_leaves_none(good, folder):
    async with Workers(1, folder=folder, timeout=60) as workers:
        with pytest.raises(ZeroDivisionError):
            async with workers.derive(good):
                raise ZeroDivisionError
        assert list(folder.glob("*/*")) == []
        await works(workers, good)
        assert len(children()) == 1


async def test_a_worker_is_replaced_after_many_tasks(good, monkeypatch):
    monkeypatch.setattr(pool, "TASKS", 3)
    async with Workers(1, timeout=60) as workers:
        seen = set()
        for _ in range(4):
            await works(workers, good)
            seen |= {child.pid for child in children()}
        assert len(seen) == 2


async def test_too_little_memory_is_a_reason_and_the_next_one_is_made(tmp_path, good):
    large = tmp_path / "large.png"
    large.write_bytes(makers.black_png(5000, 5000))
    async with Workers(1, timeout=60, memory=160_000_000) as workers:
        assert (await fails(workers, Order(large, SMALL))).reason is Reason.OUT_OF_MEMORY
        await works(workers, good)


async def test_what_would_be_too_large_a_file_fails_its_variant(tmp_path):
    source = tmp_path / "noise.png"
    source.write_bytes(makers.noisy("jpeg", 700, 700, quality=95))
    order = Order(source, [Variant("large", format="png"), Variant("small", 60)])
    async with Workers(1, timeout=60, memory=640_000_000) as workers:
        await works(workers, order)
        (child,) = children()
        child.rlimit(psutil.RLIMIT_FSIZE, (100_000, 100_000))
        async with workers.derive(order) as made:
            assert made.failures == {"large": Reason.OUT_OF_SPACE}
            assert set(made.files) == {"small"}


async def test_folders_of_gateways_that_were_killed_are_removed_and_others_are_not(good, folder):
    left = folder / "images-left"
    left.mkdir(parents=True)
    (left / "0").write_bytes(b"left")
    (folder / "other").mkdir()
    async with Workers(1, folder=folder, timeout=60) as first:
        assert not left.exists()
        async with first.derive(good) as made, Workers(1, folder=folder, timeout=60):
            assert made.files["small"].exists()
    assert [path.name for path in folder.iterdir()] == ["other"]


async def test_a_source_that_is_gone_is_said(tmp_path, good):
    async with Workers(1, timeout=60) as workers:
        failed = await fails(workers, good._replace(source=tmp_path / "nothing"))
        assert (failed.reason, failed.passing) == (Reason.NOT_READ, True)
        await works(workers, good)
        assert len(children()) == 1


async def test_any_path_is_a_path(tmp_path):
    source = tmp_path / os.fsdecode(b"caf\xc3\xa9 \xff\n\"'.jpg")
    source.write_bytes(makers.jpeg())
    async with Workers(1, timeout=60) as workers:
        await works(workers, Order(source, SMALL))


async def test_paths_may_be_relative(good, monkeypatch):
    monkeypatch.chdir(good.source.parent)
    async with Workers(1, timeout=60, folder=Path("made")) as workers:
        mark = Watermark(good.source.name)
        order = Order(
            Path(good.source.name), [Variant("small", 60, watermark=mark)], watermarks={mark.image: Path(mark.image)}
        )
        made = await works(workers, order)
        assert made.failures == {}


async def test_a_worker_has_nothing_that_is_worth_to_be_stolen(good, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with Workers(1, timeout=60, nice=7, memory=640_000_000) as workers:
        await works(workers, good)
        (child,) = children()
        assert "AWS_SECRET_ACCESS_KEY" not in child.environ()
        assert child.nice() == psutil.Process().nice() + 7
        assert child.rlimit(psutil.RLIMIT_AS) == (640_000_000, 640_000_000)
        assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        proc = Path("/proc", str(child.pid))
        assert "NoNewPrivs:\t1" in await asyncio.to_thread((proc / "status").read_text)
        assert child.num_fds() == 3
        assert child.cwd() == "/"
        assert os.getsid(child.pid) == child.pid


async def test_a_worker_ends_itself_when_nobody_is_there_who_would(endless):
    async with Workers(1, timeout=60) as workers:
        workers._timeout = 0.5  # of the worker's own clock, which is twice that; nobody else waits for it
        worker = workers._workers[0]
        monkey = worker.do
        worker.do = lambda task, _: monkey(task, 60)
        assert (await fails(workers, endless)).reason is Reason.KILLED


async def test_the_server_never_loads_a_decoder():
    code = "import sys, gateway.app, gateway.cli, gateway.images.pool; sys.exit('PIL' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0


async def test_an_answer_that_is_none_is_the_end_of_who_gave_it(good, monkeypatch):
    async with Workers(1, timeout=60) as workers:
        await works(workers, good)
        (child,) = children()
        worker = workers._workers[0]
        process = worker._process
        process.stdout.feed_data(b'{"kind": "jpeg"}\n')
        assert (await fails(workers, good)).reason is Reason.KILLED
        assert not child.is_running()
        await works(workers, good)


async def test_limits_and_the_type_are_told_to_the_worker(good):
    async with Workers(1, timeout=60) as workers:
        assert (await fails(workers, good._replace(limits=Limits(max_side=100)))).reason is Reason.TOO_LONG_SIDE
        failed = await fails(workers, good._replace(declared="image/png"))
        assert (failed.reason, failed.kind, failed.passing) == (Reason.WRONG_TYPE, "jpeg", False)
        assert len(children()) == 1


KILLED = """
import asyncio, os, sys
from pathlib import Path
from gateway.images.pool import Workers
from gateway.images.spec import Order, Variant


async def main():
    async with Workers(1, timeout=60) as workers, workers.derive(Order(Path(sys.argv[1]), [Variant("small", 60)])):
        print(workers._workers[0]._process.pid, flush=True)
        os.kill(os.getpid(), 9)


asyncio.run(main())
"""


def test_a_worker_whose_gateway_was_killed_ends(good):
    command = [sys.executable, "-c", KILLED, good.source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(20)
