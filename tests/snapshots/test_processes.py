"""A snapshot is taken while clients write, and restored: each object is one that was there within its window."""

import json
import subprocess
import threading
import time
from datetime import datetime
from itertools import count

import pytest

from tests.cli.test_mirror import started
from tests.gateway_process import GATEWAY, until

KEYS = [f"designs/{number}.svg" for number in range(8)]
BUCKETS = {"media": {"backend": "disk", "mirrors": ["backup"], "failover": "manual"}, "*": {"backend": "disk"}}


class Writer(threading.Thread):
    """Writes and deletes its keys, over and over, and knows since when at the earliest each state was there."""

    def __init__(self, client, keys):
        super().__init__()
        self.client, self.keys, self.over = client, keys, threading.Event()
        self.states = {key: [(0.0, None)] for key in keys}  # since when it may be so, and what: None is absence

    def run(self):
        for number in count():
            for key in self.keys:
                if self.over.is_set():
                    return
                began, data = time.time(), None if number % 5 == 4 else b"%d of %b" % (number, key.encode())
                if data is None:
                    self.client.delete_object(Bucket="media", Key=key)
                else:
                    self.client.put_object(Bucket="media", Key=key, Body=data)
                self.states[key].append((began, data, time.time()))

    def possible(self, key, since, until_):
        """Return all states that the key can have had in a window: each holds until the next one is certain."""
        states = self.states[key]
        ends = [later[2] for later in states[1:]] + [float("inf")]
        return {state[1] for state, end in zip(states, ends, strict=True) if state[0] <= until_ and end >= since}


def command(process, *words):
    config = ["--config", str(process.folder / "config.yaml")]
    return subprocess.run([GATEWAY, "snapshot", *words, *config], capture_output=True, text=True, check=False)


@pytest.fixture
def serving(tmp_path):
    extra = {"buckets": BUCKETS, "snapshots": {"key": str(tmp_path / "snapshot-key")}}
    with started(tmp_path, **extra) as process:
        process.client().put_object(Bucket="media", Key="still", Body=b"there")
        until(lambda: is_complete(process))
        yield process


def is_complete(process):
    words = [GATEWAY, "mirror", "status", "media", "--json", "--config", str(process.folder / "config.yaml")]
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    return told[0]["mirrors"][0]["baseline"] == "complete"


def test_each_object_of_a_snapshot_is_restored_in_a_state_that_it_had_within_the_window(serving):
    writers = [Writer(serving.client(), KEYS[half::2]) for half in range(2)]
    for writer in writers:
        writer.start()
    until(lambda: all(len(writer.states[key]) > 6 for writer in writers for key in writer.keys))
    taken = command(serving, "create", "media")
    written = {key: len(writer.states[key]) for writer in writers for key in writer.keys}
    until(lambda: all(len(writer.states[key]) > written[key] + 5 for writer in writers for key in writer.keys))
    for writer in writers:
        writer.over.set()
        writer.join()
    assert taken.returncode == 0, taken.stderr
    until(lambda: command(serving, "verify", "media").returncode == 0)
    (serving.folder / "vault" / "scratch").mkdir(parents=True)
    drilled = command(serving, "drill", "media", "--to", "vault:scratch")
    assert drilled.returncode == 0, drilled.stdout + drilled.stderr
    assert not [path for path in (serving.folder / "vault" / "scratch").rglob("*") if path.is_file()]
    restored = command(serving, "restore", "media", taken.stdout.strip(), "--to", "vault:again")
    assert restored.returncode == 0, restored.stdout + restored.stderr
    [listed] = json.loads(command(serving, "list", "media", "--json").stdout)
    assert listed["drill"]["outcomes"].get("kept"), "states that were replaced since are among them"
    since, until_ = (datetime.fromisoformat(moment).timestamp() for moment in listed["window"])
    for writer in writers:
        for key in writer.keys:
            path = serving.folder / "vault" / "again" / key
            held = path.read_bytes() if path.exists() else None
            assert held in writer.possible(key, since, until_), key
    assert (serving.folder / "vault" / "again" / "still").read_bytes() == b"there"
