"""A bucket moves while it is used, as people run it: a slow old storage, one that is away, a gateway that is killed."""

import contextlib
import json
import subprocess

import pytest
import yaml
from botocore.exceptions import ClientError
from click.testing import CliRunner

from gateway.cli import main
from tests.faults.proxy import Fault, proxying
from tests.gateway_process import GATEWAY, PATIENCE_S, GatewayProcess, running, until

BUCKET = "media"
KEYS = [f"designs/{number}.png" for number in range(12)]
DATA = b"old" * 200_000
SLOW = Fault(delay=0.05)
KEY = {"access_key": "LAZYKEY", "secret_key": "lazy-secret-key"}


class Move:
    """A gateway whose bucket comes from another one, which is reached through a proxy."""

    def __init__(self, folder, upstream, proxy):
        self.proxy = proxy
        old = {
            "type": "s3",
            "endpoint": f"http://127.0.0.1:{proxy.port}",
            "dialect": "aws",
            "addressing": "path",
            **KEY,
        }
        self.gateway = GatewayProcess(
            folder,
            **KEY,
            extra={
                "backends": {"disk": {"type": "local", "path": str(folder / "objects")}, "old": old},
                "buckets": {BUCKET: {"backend": "disk", "migrate_from": "old"}},
                "state": f"sqlite:///{folder}/state.db",
            },
        )
        self.s3 = self.gateway.client()
        self.upstream = upstream

    def get(self, key):
        """What a client reads: bytes, or the status."""
        try:
            return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"]

    def put(self, key, data):
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)

    def delete(self, key):
        self.s3.delete_object(Bucket=BUCKET, Key=key)

    def listed(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": 3})
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def is_copied(self, key):
        return (self.gateway.objects / BUCKET / key).exists()

    def configured(self, **said):
        """Start it anew with another bucket."""
        if self.gateway.process.poll() is None:
            self.gateway.stop()
        config = {**self.gateway.config(), "buckets": {BUCKET: {"backend": "disk", **said}}}
        (self.gateway.folder / "config.yaml").write_text(yaml.safe_dump(config))
        self.gateway.start()

    def command(self, name, *options):
        """Run `gateway migrate`; return its exit status and what it said."""
        said = [str(GATEWAY), "migrate", name, BUCKET, *options, "--config", str(self.gateway.folder / "config.yaml")]
        done = subprocess.run(said, capture_output=True, text=True, timeout=PATIENCE_S * 4, check=False)
        return done.returncode, done.stdout


@pytest.fixture
def move(tmp_path):
    upstream = GatewayProcess(tmp_path / "upstream", **KEY)
    with running(upstream), proxying(upstream.port) as proxy:
        client = upstream.client()
        client.create_bucket(Bucket=BUCKET)
        for key in KEYS:
            client.put_object(Bucket=BUCKET, Key=key, Body=DATA)
        moved = Move(tmp_path / "gateway", upstream, proxy)
        with running(moved.gateway):
            yield moved


def test_what_is_deleted_stays_away_what_is_written_stays_and_the_old_storage_is_needed_no_more(move):
    before, during, after, written, killed, away, *rest = KEYS
    move.delete(before)
    move.proxy.set(SLOW)
    assert move.get(during) == DATA
    move.delete(during)
    assert move.get(written) == DATA
    move.put(written, b"new")
    move.proxy.set(Fault())
    assert move.get(after) == DATA
    until(lambda: move.is_copied(after))
    move.delete(after)
    _kill_while_it_copies(move, killed)
    _do_without_the_old_storage(move, written, away, rest[0])
    gone = {before, during, after, rest[0]}
    expected = {key: 404 if key in gone else DATA for key in KEYS} | {written: b"new"}
    assert {key: move.get(key) for key in KEYS} == expected
    assert move.listed() == sorted(set(KEYS) - gone)
    _finish(move, len(gone))
    move.proxy.down()
    assert {key: move.get(key) for key in KEYS} == expected
    assert move.listed() == sorted(set(KEYS) - gone)
    move.proxy.up()
    held = move.upstream.client()
    assert all(held.get_object(Bucket=BUCKET, Key=key)["Body"].read() == DATA for key in KEYS)


def _kill_while_it_copies(move, key):
    move.proxy.set(SLOW)
    with contextlib.suppress(ClientError):
        move.get(key)
    move.gateway.kill()
    move.proxy.set(Fault())
    move.gateway.start()


def _do_without_the_old_storage(move, written, away, deleted):
    move.proxy.down()
    assert move.get(written) == b"new"
    assert move.get(away) == 503
    assert move.get("never-was") == 503
    move.delete(deleted)
    assert move.get(deleted) == 404
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        move.listed()
    move.proxy.up()


def _finish(move, gone):
    assert move.command("finish")[0] == 1
    move.configured(migrate_from="old", read_only=True)
    status, said = move.command("status", "--json")
    left = json.loads(said)
    assert (status, left["keys"], left["buried"]) == (0, 0, gone)
    assert move.command("finish")[0] == 0
    move.configured()


@pytest.mark.parametrize("name", ["status", "finish"])
def test_a_bucket_that_does_not_move_is_told_so(name):
    done = CliRunner().invoke(main, ["migrate", name, BUCKET])
    assert (done.exit_code, done.output) == (2, f"{BUCKET}: has no migrate_from\n")
