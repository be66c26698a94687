"""/status and its page: all of it from what is known already, whole, bounded, and without a secret."""

import json
import os
import urllib.request
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from gateway.server.health import Board, Reach, State
from gateway.server.page import page
from gateway.server.slate import ROOM, Slate
from gateway.server.status import MOST, Notice, Status
from tests.faults.proxy import proxying
from tests.gateway_process import GatewayProcess, running
from tests.outages.world import ACCOUNT, HASTE, HASTY, eventually

SECRETS = ("test-secret-key", ACCOUNT["secret_key"], "key-of-another")


def fetched(gateway, path="/status"):
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}{path}") as answer:
        return answer.read().decode()


def status_of(gateway):
    return json.loads(fetched(gateway))


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def outage(request, tmp_path):
    """A gateway whose bucket `media` has a fallback and a mirror, and the way to its primary."""
    far = GatewayProcess(tmp_path / "far", **ACCOUNT)
    (far.objects / "media").mkdir()
    with running(far), proxying(far.port) as way:
        there = {"type": "s3", "endpoint": f"http://127.0.0.1:{way.port}", "dialect": "aws", "addressing": "path"}
        extra = {
            "workers": request.param,
            "backends": {
                "far": {**there, **ACCOUNT},
                "spare": {"type": "local", "path": str(tmp_path / "spare")},
                "copy": {"type": "local", "path": str(tmp_path / "copy")},
            },
            "buckets": {
                "media": {"backend": "far", "fallback": "spare", "mirrors": ["copy"]},
                "logs": {"backend": "spare", "read_only": True},
            },
            "keys": [
                {"access_key": "TESTKEY", "secret_key": "test-secret-key"},
                {"access_key": "OTHER", "secret_key": "key-of-another"},
            ],
            "state": f"sqlite:///{tmp_path}/state.db",
            "replication": HASTE,
        }
        # Whoever hurries the gateway has loaded its metrics before it says that several processes share them.
        early = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if request.param > 1 else {}
        hasty = GatewayProcess(tmp_path / "gateway", extra=extra, program=HASTY, environment=early)
        with running(hasty) as gateway:
            eventually(lambda: complete(gateway), lambda: fetched(gateway))
            yield gateway, way


def complete(gateway):
    mirrors = status_of(gateway)["buckets"].get("media", {}).get("mirrors", {})
    return mirrors and mirrors["copy"]["baseline"] == "complete"


@pytest.mark.timeout(300)
def test_an_outage_is_told_and_the_gateway_stays_ready(outage):
    gateway, way = outage
    before = status_of(gateway)
    assert before["buckets"]["media"]["mode"] == "NORMAL"
    assert before["buckets"]["logs"] == {"backend": "spare", "read_only": True}
    assert before["backends"]["far"] == {
        "type": "s3",
        "reach": "reachable",
        "breakers_open": {"reads": 0, "writes": 0},
        "calls_in_flight": before["backends"]["far"]["calls_in_flight"],
    }
    way.down()
    eventually(lambda: put(gateway))
    eventually(lambda: status_of(gateway)["buckets"]["media"]["unhealed"]["objects"] == 1)
    during = status_of(gateway)
    media = during["buckets"]["media"]
    where = (media["backend"], media["fallback"])
    assert (media["mode"], media["by_order"], where) == ("FAILOVER", False, ("far", "spare"))
    assert media["since"]
    assert media["reason"]
    assert media["unhealed"]["bytes"] == 3
    eventually(lambda: sum(status_of(gateway)["backends"]["far"]["breakers_open"].values()) >= 1)
    eventually(lambda: status_of(gateway)["backends"]["far"]["reach"] == "unreachable")
    ready = json.loads(fetched(gateway, "/readyz"))
    assert (ready["ready"], ready["degraded"]) == (True, True)
    assert "FAILOVER" in fetched(gateway, "/")
    way.up()
    eventually(lambda: status_of(gateway)["buckets"]["media"]["mode"] == "NORMAL")
    eventually(lambda: not any(one["calls_in_flight"] for one in status_of(gateway)["backends"].values()))
    for told in (fetched(gateway), fetched(gateway, "/")):
        assert not any(secret in told for secret in SECRETS)
        assert str(way.port) not in told


def put(gateway):
    try:
        return gateway.client().put_object(Bucket="media", Key="key", Body=b"new")
    except Exception:  # noqa: BLE001  until the mode has changed
        return None


def test_a_slate_is_read_whole_by_another_process():
    slate = Slate()
    assert slate.read() is None
    child = os.fork()
    if not child:
        for number in range(2000):
            slate.write({"numbers": [number] * 500})
        os._exit(0)
    seen = set()
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        document = slate.read()
        seen.add(tuple(set(document["numbers"])) if document else ())
    assert all(len(numbers) <= 1 for numbers in seen)
    assert slate.read() == {"numbers": [1999] * 500}


def test_what_is_too_large_for_a_slate_leaves_what_was_there():
    slate = Slate()
    slate.write("small")
    slate.write("x" * ROOM)
    assert slate.read() == "small"


def told(board):
    return Status(board, CollectorRegistry).report()


def test_of_thousands_of_buckets_those_with_a_fallback_are_told_first_and_not_all():
    board = Board(1, ["disk"])
    buckets = {f"bucket-{number}": {"backend": "disk"} for number in range(5000)}
    Notice(board.slate).begin({"disk": "local"}, {**buckets, "z": {"backend": "disk", "fallback": "spare"}})
    report = told(board)
    assert len(report["buckets"]) == MOST
    assert next(iter(report["buckets"])) == "z"
    assert report["config"]["buckets"] == 5001
    assert len(json.dumps(report)) < ROOM


def test_before_anything_is_known_there_is_an_answer():
    board = Board(2, ["disk"])
    assert told(board)["workers"] == ["starting", "starting"]
    assert "not ready" in page(told(board))


def test_a_database_that_does_not_answer_is_told_beside_what_was_known():
    board = Board(1, ["disk"])
    board.set_state(0, State.READY)
    board.set_reach(0, "disk", Reach.REACHABLE)
    notice = Notice(board.slate)
    notice.begin({"disk": "local"}, {"media": {"backend": "disk", "fallback": "disk"}})
    notice.tell("media", report(reason="<script>"))
    notice.tell("media", None)
    media = told(board)["buckets"]["media"]
    assert (media["database"], media["mode"]) == ("does not answer", "NORMAL")
    assert "does not answer" in page(told(board))
    assert "<script>" not in page(told(board))


def test_buckets_that_were_made_in_an_outage_are_told():
    board = Board(1, ["disk"])
    notice = Notice(board.slate)
    notice.begin({"disk": "local"}, {"media": {"backend": "disk", "fallback": "disk"}})
    notice.tell("media", report(buckets=2))
    assert told(board)["buckets"]["media"]["unhealed"]["buckets"] == 2
    assert "0 deletions, 2 buckets" in page(told(board))


def report(reason="", buckets=0):
    state = SimpleNamespace(mode=SimpleNamespace(name="NORMAL"), epoch=1, since=5.0, reason=reason, pinned=False)
    return SimpleNamespace(
        state=state, healing=SimpleNamespace(objects=0, tombstones=0, bytes=0, oldest=0.0, buckets=buckets), targets={}
    )
