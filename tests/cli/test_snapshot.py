"""`gateway snapshot` as people and programs run it."""

import asyncio
import gzip
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.route import journal_of
from gateway.cli.snapshot.bucket import SETTLING
from gateway.config import load
from gateway.replication.journal import Journal
from gateway.replication.records import Baseline
from gateway.snapshots.signing import Signer
from gateway.state import open_store
from gateway.storage import Address
from tests.cli.test_mirror import started
from tests.gateway_process import until

BUCKETS = {
    "media": {"backend": "disk", "mirrors": ["backup"], "failover": "manual"},
    "plain": {"backend": "disk"},
    "*": {"backend": "disk"},
}
STORE = ("--store", "vault:snapshots")


class Ran:
    """Runs commands in this process: to start one costs a second."""

    def __init__(self, folder):
        self.folder, self.key = folder, folder / "snapshot-key"
        self.kept = folder / "vault" / "snapshots" / ".gw" / "snapshot" / "plain"

    def __call__(self, command, bucket, *arguments):
        words = ["snapshot", command, bucket, *arguments, *(STORE if bucket == "plain" else ())]
        return CliRunner().invoke(main, [*words, "--config", str(self.folder / "config.yaml")])

    def create(self, bucket="plain", *arguments):
        done = self("create", bucket, *arguments)
        assert done.exit_code == 0, done.stderr
        return done.stdout.strip()

    def write(self, key, data):
        path = self.folder / "disk" / "plain" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@pytest.fixture
def run(tmp_path):
    """A bucket on a disk, of which snapshots are kept on another; nobody serves it."""
    names = ("disk", "vault", "backup")
    config = {
        "backends": {name: {"type": "local", "path": str(tmp_path / name)} for name in names},
        "buckets": BUCKETS,
        "keys": [],
        "state": f"sqlite:///{tmp_path}/state.db",
        "snapshots": {"key": str(tmp_path / "snapshot-key")},
        "log": {"audit": False},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "vault" / "snapshots").mkdir(parents=True)
    run = Ran(tmp_path)
    run.write("old", b"old")
    run.write("a/b", b"b")
    return run


def test_a_snapshot_is_taken_listed_compared_and_deleted(run):
    identity = run.create()
    assert re.fullmatch(r"\d{8}T\d{6}Z-[0-9a-f]{6}", identity)
    [listed] = json.loads(run("list", "plain", "--json").stdout)
    assert (listed["id"], listed["backend"], listed["objects"], listed["bytes"]) == (identity, "disk", 2, 4)
    assert identity in run("list", "plain").stdout
    same = run("verify", "plain", identity, "--all")
    assert (same.exit_code, same.stdout) == (0, "= a/b\n= old\n")
    assert run("delete", "plain", identity).exit_code == 0
    assert ([*run.kept.glob("*")], run("list", "plain").stdout) == ([], "")


def test_what_is_lost_is_told_by_the_exit_status(run):
    run.create()
    (run.folder / "disk" / "plain" / "old").unlink()
    run.write("a/b", b"other")
    run.write("more", b"")
    done = run("verify", "plain")
    assert (done.exit_code, done.stdout) == (1, "* a/b\tlost\n+ more\n- old\tlost\n")
    assert "2 of the snapshot lost" in done.stderr


def test_where_clients_would_see_it_nothing_is_kept(run):
    for store in ("disk:plain", "disk:anything"):
        done = run("create", "media", "--store", store)
        assert (done.exit_code, "clients see all of it" in done.stderr) == (1, True)


def told(run, tell):
    """Tell the journal of "media" something."""
    config = load(run.folder / "config.yaml")

    async def work():
        async with open_store(config.state) as store:
            await tell(journal_of(config, "media", store))

    asyncio.run(work())


def test_a_mirror_that_does_not_hold_all_is_not_described(run):
    told(run, lambda journal: journal.set_baseline("backup", Baseline.RUNNING))
    done = run("create", "media")
    assert done.exit_code == 1
    assert "its baseline is running, so it does not hold the whole of media" in done.stderr


@pytest.mark.parametrize("pending", [False, True])
def test_the_window_begins_before_it_was_asked_what_the_mirror_lacks(run, monkeypatch, pending):
    """What is written after that question may be missing on the mirror, and what was settled just before it, too."""
    told(run, lambda journal: journal.set_baseline("backup", Baseline.COMPLETE))
    if pending:
        told(run, lambda journal: journal.mark("backup", [Address("media", "key")]))
    (run.folder / "backup" / "media").mkdir(parents=True)
    asked, writing = [], Journal.writing

    async def noted(journal):
        asked.append(datetime.now(UTC))
        return await writing(journal)

    monkeypatch.setattr(Journal, "writing", noted)
    run.create("media")
    [listed] = json.loads(run("list", "media", "--json").stdout)
    assert datetime.fromisoformat(listed["window"][0]) <= asked[0] - timedelta(seconds=SETTLING if pending else 0)


def test_a_manifest_that_is_not_what_was_signed_is_refused_by_all(run):
    identity = run.create()
    [file] = run.kept.glob("*")
    data = file.read_bytes()
    file.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    done = run("verify", "plain", identity)
    assert (done.exit_code, "not those that were signed" in done.stderr) == (1, True)
    file.write_bytes(data[:30] + bytes([data[30] ^ 1]) + data[31:])
    assert run("list", "plain").exit_code == 2
    assert run("verify", "plain").exit_code == 1


def test_without_its_key_nothing_is_believed_and_none_is_made(run):
    identity = run.create()
    assert run.key.stat().st_mode & 0o777 == 0o600
    text = run.key.read_text()
    run.key.unlink()
    done = run("verify", "plain", identity)
    assert (done.exit_code, "snapshots.key" in done.stderr, run.key.exists()) == (1, True, False)
    run.create()
    assert run.key.read_text() != text
    assert run("verify", "plain", identity).exit_code == 1
    run.key.write_text(run.key.read_text() + text)
    assert run("verify", "plain", identity).exit_code == 0


@pytest.mark.parametrize(("mode", "status"), [(0o644, 1), (0o660, 1), (0o640, 0), (0o400, 0)])
def test_a_key_that_others_can_read_is_not_used(run, mode, status):
    run.create()
    run.key.chmod(mode)
    done = run("create", "plain")
    assert (done.exit_code, "chmod 600" in done.stderr) == (status, bool(status))


@pytest.mark.parametrize("text", ["", "\n", "abcd\n", "g" * 64, "é"])
def test_what_is_no_key_is_not_used(run, text):
    run.create()
    run.key.write_text(text)
    assert run("create", "plain").exit_code == 1


def test_prometheus_is_told_when_one_was_taken(run):
    file = run.folder / "snapshot.prom"
    run.create("plain", "--metrics", str(file))
    assert 'gateway_snapshot_objects{bucket="plain"} 2.0' in file.read_text()
    before = file.read_text()
    run.key.write_text("")
    assert run("create", "plain", "--metrics", str(file)).exit_code == 1
    assert file.read_text() == before


def test_only_a_part_of_a_bucket_is_described(run):
    run.create("plain", "--prefix", "a/")
    assert run("verify", "plain", "--all").stdout == "= a/b\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "*"], "name one bucket"),
        (["create", "media", "--of", "vault"], "neither its backend nor a mirror is vault"),
        (["create", "media", "--store", "nowhere:b"], "there is no backend nowhere"),
        (["create", "media", "--store", "vault"], "expected BACKEND:BUCKET"),
        (["create", "media"], "there is no"),
        (["verify", "plain", "20260101T000000Z-abcdef"], "There is no such snapshot"),
        (["verify", "plain"], "There is no snapshot of plain"),
        (["delete", "plain", "../old"], "is no id of a snapshot"),
    ],
)
def test_what_is_not_there_is_told(run, arguments, said):
    run("delete", "plain", run.create())
    done = run(*arguments)
    assert done.exit_code > 0
    assert said in done.stderr


# --- having it again ---


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_there_is_restored_into_a_bucket_that_is_made_for_it(run):
    identity = run.create()
    dry = run("restore", "plain", identity, "--to", "backup:again", "--dry-run")
    assert (dry.exit_code, "2 restored; nothing was written" in dry.stderr) == (0, True)
    assert not (run.folder / "backup" / "again").exists()
    done = run("restore", "plain", identity, "--to", "backup:again")
    assert (done.exit_code, done.stdout) == (0, "")
    assert files(run.folder / "backup" / "again") == {"old": b"old", "a/b": b"b"}
    again = run("restore", "plain", identity, "--to", "backup:again")
    assert (again.exit_code, "It is not empty" in again.stderr) == (1, True)


def test_what_is_lost_is_named_and_the_rest_is_restored(run):
    identity = run.create()
    run.write("old", b"new")
    done = run("restore", "plain", identity, "--to", "backup:again")
    assert (done.exit_code, done.stdout) == (1, "- old\tlost\n")
    assert files(run.folder / "backup" / "again") == {"a/b": b"b"}


def test_a_drill_that_passes_leaves_a_report_and_nothing_else(run):
    identity = run.create()
    (run.folder / "backup" / "scratch").mkdir(parents=True)
    file = run.folder / "drill.prom"
    done = run("drill", "plain", "--to", "backup:scratch", "--metrics", str(file))
    assert done.exit_code == 0, done.output
    assert re.search(r"^drill +passed$", done.stdout, re.MULTILINE)
    assert files(run.folder / "backup" / "scratch") == {}
    [listed] = json.loads(run("list", "plain", "--json").stdout)
    told = listed["drill"]
    assert (told["snapshot"], told["result"], told["objects"], told["to"]) == (identity, "passed", 2, "backup:scratch")
    assert told["rto_seconds"] > 0
    assert 'gateway_restore_drill_failures{bucket="plain"} 0.0' in file.read_text()
    assert 'gateway_restore_drill_last_success_timestamp_seconds{bucket="plain"}' in file.read_text()
    assert re.search(r" passed$", run("list", "plain").stdout, re.MULTILINE)


def test_a_drill_that_fails_says_so_everywhere(run):
    run.create()
    run.write("old", b"new")
    file = run.folder / "drill.prom"
    (run.folder / "backup" / "scratch").mkdir(parents=True)
    done = run("drill", "plain", "--to", "backup:scratch", "--metrics", str(file))
    assert done.exit_code == 1
    assert done.stdout.startswith("- old\tlost\n! old\tit was not restored\n")
    assert json.loads(run("list", "plain", "--json").stdout)[0]["drill"]["failures"] == 1
    assert 'gateway_restore_drill_failures{bucket="plain"} 1.0' in file.read_text()
    assert "last_success_timestamp_seconds{" not in file.read_text()
    assert files(run.folder / "backup" / "scratch") == {}


@pytest.mark.parametrize("arguments", [["--sample", "x"], ["--sample", "0%"], ["--sample", "101%"]])
def test_a_sample_is_a_part(run, arguments):
    run.create()
    assert run("drill", "plain", "--to", "backup:scratch", *arguments).exit_code == 2


def test_a_drill_does_not_show_clients_what_they_may_not_see(run):
    run.create()
    done = run("drill", "plain", "--to", "disk:scratch")
    assert (done.exit_code, "clients see all of it" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "damage", ["a byte", "a line dropped", "lines swapped", "the signature", "another's signature"]
)
def test_a_manifest_that_somebody_has_changed_is_restored_by_no_command(run, damage):
    identity = run.create()
    [file] = run.kept.glob("*")
    file.write_bytes(damaged(file.read_bytes(), damage))
    for words in (["verify", "plain", identity], ["restore", "plain", identity], ["drill", "plain", identity]):
        to = [] if words[0] == "verify" else ["--to", "backup:again"]
        done = run(*words, *to)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("Untrusted")
    assert not (run.folder / "backup" / "again").exists()


def damaged(data, damage):
    if damage == "a byte":
        return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]
    head, signature, *entries = gzip.decompress(data).splitlines(keepends=True)
    if damage == "a line dropped":
        entries = entries[1:]
    if damage == "lines swapped":
        entries.reverse()
    if damage == "the signature":
        signature = signature.replace(b'"hmac-sha256":"', b'"hmac-sha256":"0')
    if damage == "another's signature":
        _, signature, _ = Signer([b"x" * 32]).sign(json.loads(head)).split(b"\n")
        signature += b"\n"
    return gzip.compress(head + signature, mtime=0) + gzip.compress(b"".join(entries), 6, mtime=0)


# --- killed ---


def ended_by(ending, run, point, *words):
    """Run a command that is sent a signal where it calls something the second time, and return its exit status."""
    program = """
import os, signal, sys
from importlib import import_module
name, _, path = sys.argv.pop(1).partition(":")
owner, (*between, last) = import_module(name), path.split(".")
for part in between:
    owner = getattr(owner, part)
inner, calls = getattr(owner, last), []
def dying(*arguments, **options):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), int(os.environ["ENDING"]))
    return inner(*arguments, **options)
setattr(owner, last, dying)
from gateway.cli import main
main()
"""
    command = [sys.executable, "-c", program, point, "snapshot", *words, *STORE]
    config = ["--config", str(run.folder / "config.yaml")]
    environment = {**os.environ, "ENDING": str(int(ending))}
    return subprocess.run([*command, *config], capture_output=True, check=False, env=environment).returncode


def killed(run, point, *words):
    assert ended_by(signal.SIGKILL, run, point, *words) == -signal.SIGKILL


@pytest.mark.parametrize("point", ["gateway.snapshots.taking:state", "gateway.storage:Body.__anext__"])
def test_one_that_is_killed_while_it_is_taken_is_not_there(run, point):
    killed(run, point, "create", "plain")
    assert run("list", "plain", "--json").stdout == "[]\n"
    run("delete", "plain", run.create())
    assert run("verify", "plain").exit_code == 1


def test_a_restore_that_is_killed_is_not_taken_for_one_that_is_over_and_goes_on(run):
    run.write("c", b"c" * 1000)
    identity = run.create()
    killed(run, "gateway.migration.copying:Carriage.run", "restore", "plain", identity, "--to", "backup:again")
    assert (run.folder / "backup" / "again" / ".gw" / "restoring").exists()
    done = run("restore", "plain", identity, "--to", "backup:again")
    assert done.exit_code == 0, done.stderr
    assert files(run.folder / "backup" / "again") == {"old": b"old", "a/b": b"b", "c": b"c" * 1000}


def test_a_drill_that_is_killed_is_none_and_the_next_one_clears_it_away(run):
    identity = run.create()
    (run.folder / "backup" / "scratch").mkdir(parents=True)
    killed(run, "gateway.snapshots.drilling:read_through", "drill", "plain", identity, "--to", "backup:scratch")
    assert json.loads(run("list", "plain", "--json").stdout)[0]["drill"] is None
    assert len(files(run.folder / "backup" / "scratch")) == 2
    assert run("drill", "plain", identity, "--to", "backup:scratch").exit_code == 0
    assert files(run.folder / "backup" / "scratch") == {}


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_drill_that_is_told_to_end_clears_away_what_it_has_restored(run, ending):
    identity = run.create()
    (run.folder / "backup" / "scratch").mkdir(parents=True)
    words = ("drill", "plain", identity, "--to", "backup:scratch")
    assert ended_by(ending, run, "gateway.snapshots.drilling:read_through", *words) == 130
    assert files(run.folder / "backup" / "scratch") == {}
    assert json.loads(run("list", "plain", "--json").stdout)[0]["drill"] is None


# --- beside a gateway that serves ---


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "disk").symlink_to(folder / "objects")
    with started(folder, buckets=BUCKETS, snapshots={"key": str(folder / "snapshot-key")}) as process:
        run = Ran(folder)
        run.process, run.client = process, process.client()
        yield run


@pytest.fixture
def in_step(serving):
    """Wait until the mirror of "media" holds all that it should."""

    def in_step():
        words = ["mirror", "status", "media", "--json", "--config", str(serving.folder / "config.yaml")]
        told = json.loads(CliRunner().invoke(main, words).stdout)[0]["mirrors"][0]
        return (told["baseline"], told["pending"]) == ("complete", 0)

    until(in_step)
    return lambda: until(in_step)


def test_what_went_since_is_told_and_whether_it_is_kept(serving, in_step):
    serving.client.put_object(Bucket="media", Key="old", Body=b"old")
    serving.client.put_object(Bucket="media", Key="a/b", Body=b"b", ContentType="image/png")
    in_step()
    serving.create("media")
    serving.client.put_object(Bucket="media", Key="old", Body=b"new")
    serving.client.delete_object(Bucket="media", Key="a/b")
    serving.client.put_object(Bucket="media", Key="more", Body=b"")
    in_step()
    done = serving("verify", "media", "--level", "L2")
    assert (done.exit_code, done.stdout) == (0, "- a/b\tkept\n+ more\n* old\tkept\n")


def test_clients_see_nothing_of_it(serving, in_step):
    serving.create("media", "--of", "disk")
    listed = serving.client.list_objects_v2(Bucket="media").get("Contents", [])
    assert [each["Key"] for each in listed if each["Key"].startswith(".gw")] == []


def test_it_is_in_the_audit_log_who_took_and_who_deleted(serving, in_step):
    serving("delete", "media", serving.create("media"))
    until(lambda: '"operation":"snapshot delete"' in serving.process.log)
    assert '"operation":"snapshot create"' in serving.process.log
