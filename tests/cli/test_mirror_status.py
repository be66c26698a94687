"""What `gateway mirror status` shows of a route that is not as it should be."""

from gateway.cli.mirror.status import _document, _Known, _lines
from gateway.config import Config
from gateway.replication.records import Baseline, Dead, Healing, Lag, Mode, Replica, RouteState
from gateway.replication.reporting import Report, Target
from gateway.storage import Address

CONFIG = Config.model_validate(
    {
        "backends": {name: {"type": "local", "path": name} for name in ("disk", "spare", "backup")},
        "buckets": {"media": {"backend": "disk", "fallback": "spare", "mirrors": ["backup"]}},
    }
)
DOWN = RouteState(Mode.FAILOVER, 3, 725.0, "by order of root", pinned=True)
DEAD = Dead(Address("media", "a\nb"), "backup", "AccessDenied", 0.0)


def known(state=DOWN, buckets=0, **targets):
    return _Known(Report(state, Healing(1, 2, 1536, 700.0, buckets), targets), {"backup": [DEAD]})


def test_an_outage_is_told_with_all_that_waits():
    told = known(
        backup=Target(Replica(Baseline.RUNNING, braked=True), Lag(7, 2048, 65.0, 1)),
        former=Target(Replica(), Lag(1)),
    )
    lines = list(_lines(CONFIG, "media", told))
    assert lines[0] == "media: FAILOVER for 12 min, by order, until told otherwise"
    rows = [" ".join(line.split()) for line in lines]
    assert "writes go to spare" in rows
    assert "disk lacks 1 object (1.5 KiB), 2 deletions, the oldest for 11 min" in rows
    assert "backup running 7 2.0 KiB 1 min 1 deletes wait for `resume`" in rows
    assert "former none 1 0 B 0 s 0 no longer configured" in rows
    assert "media/a\\nb AccessDenied" in rows


def test_programs_are_told_the_same():
    told = _document(CONFIG, "media", known(backup=Target(Replica(Baseline.INVALID), Lag(7, 2048, 65.0, 1))))
    assert (told["mode"], told["since"], told["pinned"]) == ("FAILOVER", 725.0, True)
    assert told["unhealed"] == {"objects": 1, "tombstones": 2, "bytes": 1536, "oldest": 700.0, "buckets": 0}
    (mirror,) = told["mirrors"]
    assert (mirror["baseline"], mirror["pending"], mirror["braked"]) == ("invalid", 7, False)
    assert mirror["dead_keys"] == [{"bucket": "media", "key": "a\nb", "error": "AccessDenied"}]


def test_a_mirror_that_lacks_more_than_is_written_down_is_told():
    rows = [
        " ".join(line.split())
        for line in _lines(CONFIG, "media", known(backup=Target(Replica(overflowed=True), Lag(7, 0, 65.0))))
    ]
    assert "backup none 7 0 B 1 min 0 lacks more than is counted" in rows


def test_buckets_that_the_primary_lacks_are_told_first():
    rows = [" ".join(line.split()) for line in _lines(CONFIG, "media", known(buckets=2))]
    assert "disk lacks 2 buckets made in the outage, 1 object (1.5 KiB), 2 deletions, the oldest for 11 min" in rows
    assert _document(CONFIG, "media", known(buckets=2))["unhealed"]["buckets"] == 2


def test_while_healing_both_are_written():
    lines = list(_lines(CONFIG, "media", known(DOWN._replace(mode=Mode.HEALING))))
    assert "writes go to  disk, but to spare for what disk still lacks" in lines
