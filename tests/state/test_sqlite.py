import asyncio
import os
import sqlite3
import subprocess
import sys
import textwrap

import pytest
from sqlalchemy import func, insert, select

from gateway.state import StateUnavailable, StateUnknown, clock, open_store, sqlite
from gateway.state.filesystem import kind_of, refuse_remote
from gateway.state.schema import NODES
from tests.state.databases import opened


@pytest.fixture(params=["sqlite"])
def kind(request):
    return request.param


def wrote(name):
    return lambda tx: tx.connection.execute(insert(NODES), {"id": name, "lease_until": 0.0}).rowcount


def started(program, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(program), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def count(tx):
    return tx.connection.scalar(select(func.count()).select_from(NODES))


async def test_what_comes_together_is_committed_together(store, monkeypatch):
    commits = []

    def counted(self, connection, jobs, original=sqlite._Writer._commit_together):
        original(self, connection, jobs)
        commits.append(len(jobs))

    monkeypatch.setattr(sqlite._Writer, "_commit_together", counted)
    await asyncio.gather(*(store.run(wrote(f"{number}")) for number in range(1000)))
    assert sum(commits) == 1000
    assert len(commits) < 100


async def test_a_file_that_another_process_keeps_to_itself_is_unavailable(store, tmp_path):
    await store.run(lambda tx: tx.connection.exec_driver_sql("PRAGMA busy_timeout = 10"))
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailable):
        await store.run(wrote("a"))
    assert await store.read(count) == 0
    other.execute("ROLLBACK")
    other.close()
    assert await store.run(wrote("a")) == 1


async def test_a_commit_that_fails_leaves_its_outcome_unknown(store, monkeypatch):
    class Failing:
        def __init__(self, raw):
            self.raw = raw

        def __getattr__(self, name):
            return getattr(self.raw, name)

        def execute(self, statement):
            if statement == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return self.raw.execute(statement)

    original = sqlite._raw
    monkeypatch.setattr(sqlite, "_raw", lambda connection: Failing(original(connection)))
    with pytest.raises(StateUnknown):
        await store.run(wrote("a"))
    monkeypatch.setattr(sqlite, "_raw", original)
    assert await store.run(wrote("b")) == 1


async def test_a_full_disk_undoes_all_that_was_to_be_committed_together(store):
    await store.run(lambda tx: tx.connection.exec_driver_sql("PRAGMA max_page_count = 60"))
    big = [store.run(wrote(f"{number}" * 100_000)) for number in range(1, 6)]
    ends = await asyncio.gather(*big, return_exceptions=True)
    assert any(isinstance(end, StateUnavailable) for end in ends)
    assert await store.read(count) == sum(end == 1 for end in ends)
    await store.run(lambda tx: tx.connection.exec_driver_sql("PRAGMA max_page_count = 100000"))
    assert await store.run(wrote("a")) == 1


async def test_processes_share_a_file(store, tmp_path):
    program = """
        import asyncio, sys
        from sqlalchemy import insert
        from gateway.state import open_store
        from gateway.state.schema import NODES

        def wrote(name):
            return lambda tx: tx.connection.execute(insert(NODES), {"id": name, "lease_until": tx.gens(1)[0]})

        async def main():
            async with open_store(sys.argv[1]) as store:
                await asyncio.gather(*(store.run(wrote(f"{sys.argv[2]}-{n}")) for n in range(100)))

        asyncio.run(main())
        """
    url = f"sqlite:///{tmp_path}/state.db"
    running = [started(program, url, f"{number}") for number in range(3)]
    for process in running:
        await asyncio.to_thread(process.communicate)
        assert process.returncode == 0
    gens = await store.read(lambda tx: tx.connection.scalars(select(NODES.c.lease_until)).all())
    assert len(set(gens)) == 300


async def test_what_was_answered_is_there_after_a_kill(tmp_path):
    program = """
        import asyncio, sys
        from sqlalchemy import insert
        from gateway.state import open_store
        from gateway.state.schema import NODES

        async def main():
            async with open_store(sys.argv[1]) as store:
                number = 0
                while True:
                    row = {"id": f"{number}", "lease_until": 0.0}
                    await store.run(lambda tx: tx.connection.execute(insert(NODES), row).rowcount)
                    print(number, flush=True)
                    number += 1

        asyncio.run(main())
        """
    url = f"sqlite:///{tmp_path}/state.db"
    process = started(program, url)
    answered = [await asyncio.to_thread(process.stdout.readline) for _ in range(50)]
    process.kill()
    last = int([*answered, *process.stdout.read().splitlines()][-1])
    process.stdout.close()
    process.wait()
    async with open_store(url) as store:
        assert await store.read(count) >= last + 1


async def test_the_clock_goes_on_when_the_wall_clock_is_set_back(tmp_path, monkeypatch):
    async with opened("sqlite", tmp_path) as store:
        before = await store.run(lambda tx: tx.now)
    monkeypatch.setattr(clock.time, "time", lambda: 0.0)
    async with open_store(f"sqlite:///{tmp_path}/state.db") as store:
        assert before < await store.run(lambda tx: tx.now) < before + 60


async def test_the_clock_goes_on_after_a_boot(tmp_path, monkeypatch):
    async with opened("sqlite", tmp_path) as store:
        before = await store.run(lambda tx: tx.now)
    monkeypatch.setattr(sqlite, "boot", lambda: "the next")
    async with open_store(f"sqlite:///{tmp_path}/state.db") as store:
        assert before < await store.run(lambda tx: tx.now) < before + 60


def test_a_folder_of_another_machine_is_refused(tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda / ext4 rw 0 0\n"
        f"server:/x {tmp_path}/far\\040away nfs4 rw 0 0\n"
        f"/dev/vdb {tmp_path}/far\\040away/near ext4 rw 0 0\n"
        f"bucket {tmp_path}/bucket fuse.gcsfuse rw 0 0\n"
    )
    far, bucket = tmp_path / "far away", tmp_path / "bucket"
    assert kind_of(tmp_path, mounts) == "ext4"
    refuse_remote(far / "near" / "state", mounts)
    refuse_remote(tmp_path / "bucket2", mounts)
    for folder in (far, far / "x", bucket):
        with pytest.raises(OSError, match="PostgreSQL"):
            refuse_remote(folder, mounts)
    assert kind_of(tmp_path, tmp_path / "nothing") == ""


def test_a_url_of_nothing_known_is_refused():
    for url in ("", "media", "mysql://a/b", "sqlite://", "sqlite:///:memory:"):
        with pytest.raises(ValueError, match=r"sqlite|postgresql"):
            open_store(url)


async def test_a_path_may_be_relative_and_its_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with open_store("sqlite:///data/state.db") as store:
        await store.run(wrote("a"))
    assert (tmp_path / "data" / "state.db").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_that_cannot_be_written_is_told_at_once(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StateUnavailable):
        async with open_store(f"sqlite:///{tmp_path}/state.db"):
            pass


async def test_a_file_that_is_no_database_is_told_at_once(tmp_path):
    (tmp_path / "state.db").write_text("no database" * 100)
    with pytest.raises(StateUnavailable):
        async with open_store(f"sqlite:///{tmp_path}/state.db"):
            pass
