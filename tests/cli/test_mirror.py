"""`gateway mirror` and `gateway failover` as people and programs run them, beside a gateway that serves."""

import json
import urllib.request

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from gateway.cli import main
from tests.cli.test_commands import gateway
from tests.gateway_process import GatewayProcess, running, until

BUCKETS = {
    "media": {"backend": "disk", "fallback": "spare", "mirrors": ["backup"], "failover": "manual"},
    "plain": {"backend": "disk"},
    "*": {"backend": "disk", "mirrors": ["backup", "vault"], "failover": "manual"},
}


def started(folder, **extra):
    backends = {name: {"type": "local", "path": str(folder / name)} for name in ("objects", "spare", "backup", "vault")}
    backends["disk"] = backends.pop("objects")
    process = GatewayProcess(
        folder,
        extra={
            "backends": backends,
            "buckets": BUCKETS,
            "state": f"sqlite:///{folder}/state.db",
            "replication": {"hold": "0s"},
            **extra,
        },
    )
    for name in ("objects", "spare"):
        (folder / name / "media").mkdir(parents=True)
    return running(process)


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    with started(tmp_path_factory.mktemp("gateway")) as process:
        process.client().put_object(Bucket="media", Key="old", Body=b"old")
        yield process


@pytest.fixture
def run(serving):
    """Run a command in this process: to start one costs a second."""

    def run(*arguments):
        done = CliRunner().invoke(main, [*arguments, "--config", str(serving.folder / "config.yaml")])
        done.returncode = done.exit_code
        return done

    return run


@pytest.fixture
def in_step(run, serving):
    """Have the mirror of "media" hold all that it should."""
    run("failover", "media", "--back")
    run("mirror", "resume", "media", "backup")
    return until(lambda: status(run) if is_in_step(status(run)) else None)


def status(run, bucket="media"):
    done = run("mirror", "status", bucket, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)[0]


def is_in_step(told):
    mirror = told["mirrors"][0]
    return (told["mode"], mirror["baseline"], mirror["pending"]) == ("NORMAL", "complete", 0)


def lines(done):
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def test_status_tells_mode_and_mirrors(in_step, run):
    assert (in_step["bucket"], in_step["primary"], in_step["fallback"]) == ("media", "disk", "spare")
    assert in_step["unhealed"] == {"objects": 0, "tombstones": 0, "bytes": 0, "oldest": 0.0, "buckets": 0}
    (mirror,) = in_step["mirrors"]
    assert (mirror["backend"], mirror["paused"], mirror["dead"], mirror["dead_keys"]) == ("backup", False, 0, [])
    told = run("mirror", "status").stdout
    assert "media: NORMAL" in told
    assert ["backup", "complete", "0", "0", "B", "no", "0"] in [line.split() for line in told.splitlines()]
    assert "*: NORMAL" in told


def test_a_mirror_that_holds_all_is_the_same(in_step, run):
    done = run("mirror", "verify", "media", "--level", "L2")
    assert (done.returncode, done.stdout) == (0, "")
    assert "the same" in done.stderr
    assert lines(run("mirror", "verify", "media", "--all", "--prefix", "ol")) == ["= old"]


def test_differences_are_told_and_repaired(in_step, run, serving):
    backup = serving.folder / "backup" / "media"
    (backup / "old").unlink()
    (backup / "extra\x1b[31m").write_text("nobody knows")
    done = run("mirror", "verify", "media")
    assert done.returncode == 1
    assert lines(done) == ["- extra\\x1b[31m", "+ old"]
    done = run("mirror", "repair", "media")
    assert done.returncode == 1
    assert "1 key will be copied" in done.stderr
    until((backup / "old").exists)
    (backup / "extra\x1b[31m").unlink()
    until(lambda: run("mirror", "verify", "media").returncode == 0)


def test_while_a_mirror_is_paused_nothing_is_written_there_and_nothing_is_forgotten(in_step, run, serving):
    assert run("mirror", "pause", "media", "backup").returncode == 0
    serving.client().put_object(Bucket="media", Key="new", Body=b"new")
    told = until(lambda: status(run) if status(run)["mirrors"][0]["pending"] else None)
    assert told["mirrors"][0]["paused"]
    assert "paused" in run("mirror", "status", "media").stdout
    assert not (serving.folder / "backup" / "media" / "new").exists()
    assert run("mirror", "resume", "media", "backup").returncode == 0
    until((serving.folder / "backup" / "media" / "new").exists)


def test_a_key_that_waits_is_not_told_to_be_the_same(in_step, run, serving):
    run("mirror", "pause", "media", "backup")
    serving.client().put_object(Bucket="media", Key="waits", Body=b"new")
    done = run("mirror", "verify", "media", "--wait", "0s")
    assert done.returncode == 2
    assert lines(done) == ["~ waits"]


def test_what_was_given_up_is_tried_again(in_step, run):
    done = run("mirror", "retry", "media")
    assert (done.returncode, done.stdout) == (0, "backup: 0 keys are tried again\n")


def test_writes_go_to_the_fallback_by_order_and_come_back(in_step, run, serving):
    s3 = serving.client()
    done = run("failover", "media", "--to", "fallback", "--reason", "moving the rack")
    assert done.returncode == 0
    assert done.stdout.startswith("media: FAILOVER. ")
    told = until(lambda: status(run) if status(run)["mode"] == "FAILOVER" else None)
    assert (told["reason"], told["pinned"]) == ("moving the rack", True)
    until(lambda: put(s3, "outage"))
    assert not (serving.objects / "media" / "outage").exists()
    assert status(run)["unhealed"]["objects"] == 1
    assert "disk lacks" in run("mirror", "status", "media").stdout
    done = run("failover", "media", "--back")
    assert done.stdout.startswith("media: HEALING. ")
    until((serving.objects / "media" / "outage").exists)
    until(lambda: status(run)["mode"] == "NORMAL")
    assert not status(run)["pinned"]


def put(s3, key):
    """Return whether the object was stored; while the mode changes, it is not."""
    try:
        return s3.put_object(Bucket="media", Key=key, Body=b"x")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ServiceUnavailable":
            raise


def test_metrics_tell_of_the_mirror(in_step, serving):
    with urllib.request.urlopen(f"http://127.0.0.1:{serving.admin_port}/metrics") as answer:
        found = answer.read().decode()
    assert 'gateway_route_mode{mode="' in found
    assert 'gateway_mirror_baseline_complete{route="media",target="backup"} ' in found
    assert 'gateway_state_up{route="media"} 1.0' in found
    assert 'gateway_mirror_objects_total{result="copied",route="media",target="backup"} ' in found


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mirror", "status", "plain"], 1, "plain: has neither a fallback nor mirrors"),
        (["mirror", "pause", "media", "disk"], 1, 'media: there is no mirror "disk", there are: backup'),
        (
            ["mirror", "pause", "else", "vault"],
            1,
            'else: belongs to buckets.*, as others do; to mean them all, say "*"',
        ),
        (["mirror", "verify", "else"], 2, "else: has several mirrors, say which: --mirror backup, --mirror vault"),
        (["mirror", "verify", "*"], 1, "one bucket can be compared at a time"),
        (["failover", "*", "--to", "fallback"], 1, "*: has no fallback"),
        (["mirror", "verify", "else", "--mirror", "vault"], 2, "NoSuchBucket: The specified bucket does not exist"),
    ],
)
def test_what_cannot_be_done_is_said(run, arguments, code, message):
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"{message}\n")


def test_a_way_has_to_be_said(run):
    assert run("failover", "media").returncode == 2
    assert run("failover", "media", "--back", "--to", "fallback").returncode == 2


def test_no_database_is_made_for_the_one_who_asks(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "backends: {one: {type: local, path: one}, two: {type: local, path: two}}\n"
        "buckets: {media: {backend: one, mirrors: [two]}}\n"
    )
    done = gateway("mirror", "status", "--config", "c.yaml", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("state: there is no data/.gw/state.db yet")
    assert not (tmp_path / "data").exists()


def test_several_workers_tell_one_truth(tmp_path):
    with started(tmp_path, workers=2) as process:

        def told():
            with urllib.request.urlopen(f"http://127.0.0.1:{process.admin_port}/metrics") as answer:
                return answer.read().decode().splitlines()

        wanted = {
            'gateway_route_mode{mode="NORMAL",route="media"} 1.0',
            'gateway_route_mode{mode="FAILOVER",route="media"} 0.0',
            'gateway_state_up{route="media"} 1.0',
            'gateway_breakers_open{backend="backup",calls="reads"} 0.0',
        }
        until(lambda: wanted <= set(told()))
