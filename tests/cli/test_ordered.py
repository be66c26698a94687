"""What operators order by commands is in the audit log of the gateway, with who, what and what became of it."""

import json
import urllib.request

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.ordered import who
from tests.gateway_process import GatewayProcess, running, until

FIELDS = ["time", "level", "event", "operation", "bucket", "options", "by", "ordered", "error", "result"]
RULES = [{"match": "in/{name}.png", "key": "out/{name}-{variant}.{ext}", "variants": ["thumbnail_small"]}]


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gateway")
    extra = {
        "backends": {name: {"type": "local", "path": str(folder / name)} for name in ("disk", "spare", "backup")},
        "buckets": {
            "media": {"backend": "disk", "fallback": "spare", "mirrors": ["backup"], "failover": "manual"},
            "photos": {"backend": "disk", "images": {"rules": RULES}},
        },
        "state": f"sqlite:///{folder}/state.db",
        "log": {"format": "json", "level": "error"},
    }
    for name in ("disk/media", "disk/photos", "spare/media"):
        (folder / name).mkdir(parents=True)
    with running(GatewayProcess(folder, extra=extra)) as process:
        yield process


def audited(serving):
    events = [json.loads(line) for line in serving.log.splitlines() if line.startswith("{")]
    return [event for event in events if event["event"] == "audit"]


@pytest.fixture
def told(serving):
    """What the audit log tells of that a test has ordered, when it is as much as is expected."""
    before = len(audited(serving))

    def told(many):
        return until(lambda: len(found := audited(serving)[before:]) >= many and found)

    return told


@pytest.fixture
def run(serving):
    def run(*arguments):
        return CliRunner().invoke(main, [*arguments, "--config", str(serving.folder / "config.yaml")])

    return run


def test_orders_are_told_with_who_gave_them_and_how_they_ended(run, told):
    said = [
        ("mirror pause", "media", "mirror=backup"),
        ("mirror resume", "media", "mirror=backup"),
        ("mirror retry", "media", ""),
        ("mirror repair", "media", "--level=L2"),
        ("journal rebuild", "media", ""),
        ("images rebuild", "photos", "--prefix=in/ --force"),
        ("images prune", "photos", ""),
    ]
    words = [
        ("mirror", "pause", "media", "backup"),
        ("mirror", "resume", "media", "backup"),
        ("mirror", "retry", "media"),
        ("mirror", "repair", "media", "--level", "L2"),
        ("journal", "rebuild", "media"),
        ("images", "rebuild", "photos", "--prefix", "in/", "--force"),
        ("images", "prune", "photos"),
    ]
    for each in words:
        assert run(*each).exit_code == 0, each
    events = told(len(said))
    assert [(event["operation"], event["bucket"], event["options"]) for event in events] == said
    for event in events:
        assert list(event) == FIELDS
        assert (event["level"], event["error"], event["result"]) == ("info", "", "done")
        assert event["by"].startswith(f"{who()}@")
        assert event["ordered"] <= event["time"]


def test_orders_that_fail_are_told_too(run, told):
    assert run("failover", "media", "--to", "fallback", "--reason", "a drill").exit_code == 0
    assert run("failover", "media", "--back").exit_code == 1, "the mode is being changed"
    until(lambda: run("failover", "media", "--back").exit_code == 0)
    until(lambda: len(told(3)) > 2 and told(3)[-1]["result"] == "done")
    first, *failed, last = told(3)
    assert (first["operation"], first["options"]) == ("failover", "--to=fallback --reason=a drill")
    assert {(event["options"], event["error"], event["result"]) for event in failed} == {
        ("--back", "ServiceUnavailable", "failed")
    }
    assert (last["options"], last["error"], last["result"]) == ("--back", "", "done")


def test_what_could_be_done_in_part_only_is_told_as_failed(serving, run, told):
    hidden = serving.folder / "disk" / "photos" / "in"
    hidden.mkdir()
    (hidden / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n, and then nothing of a picture")
    assert run("images", "rebuild", "photos").exit_code == 1
    (hidden / "broken.png").unlink()
    [event] = told(1)
    assert (event["operation"], event["error"], event["result"]) == ("images rebuild", "status 1", "failed")


def test_what_only_looks_is_not_told(run, told):
    for each in (
        ("mirror", "status", "media"),
        ("mirror", "verify", "media"),
        ("journal", "rebuild", "media", "--dry-run"),
        ("images", "rebuild", "photos", "--dry-run"),
        ("images", "prune", "photos", "--dry-run"),
        ("mirror", "retry", "media"),
    ):
        assert run(*each).exit_code == 0, each
    assert [event["operation"] for event in told(1)] == ["mirror retry"]


def test_who_has_the_backends_examined_is_told(serving, told):
    request = urllib.request.Request(f"http://127.0.0.1:{serving.admin_port}/check", method="POST")
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 202
    [event] = told(1)
    assert list(event) == ["time", "level", "event", "operation", "remote", "status", "result"]
    assert (event["operation"], event["remote"], event["status"], event["result"]) == (
        "check",
        "127.0.0.1",
        202,
        "done",
    )


def test_without_an_audit_log_nobody_leaves_word(tmp_path):
    extra = {
        "backends": {name: {"type": "local", "path": str(tmp_path / name)} for name in ("disk", "backup")},
        "buckets": {"media": {"backend": "disk", "mirrors": ["backup"]}},
        "state": f"sqlite:///{tmp_path}/state.db",
        "log": {"format": "json", "audit": False},
    }
    (tmp_path / "disk" / "media").mkdir(parents=True)
    with running(GatewayProcess(tmp_path, extra=extra)) as process:
        arguments = ["mirror", "retry", "media", "--config", str(process.folder / "config.yaml")]
        assert CliRunner().invoke(main, arguments).exit_code == 0
    assert '"audit"' not in process.log


def test_who_ends_a_move_is_told_where_nothing_else_needs_a_database(tmp_path):
    extra = {
        "backends": {name: {"type": "local", "path": str(tmp_path / name)} for name in ("new", "old")},
        "buckets": {"media": {"backend": "new", "migrate_from": "old", "read_only": True}},
        "state": f"sqlite:///{tmp_path}/state.db",
        "log": {"format": "json", "level": "error"},
    }
    for name in ("new/media", "old/media"):
        (tmp_path / name).mkdir(parents=True)
    with running(GatewayProcess(tmp_path, extra=extra)) as process:
        arguments = ["migrate", "finish", "media", "--config", str(process.folder / "config.yaml")]
        assert CliRunner().invoke(main, arguments).exit_code == 0
        [event] = until(lambda: audited(process))
    assert (event["operation"], event["bucket"], event["result"]) == ("migrate finish", "media", "done")
