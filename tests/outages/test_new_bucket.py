"""Buckets that are made in an outage, by gateways that are killed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.clients.files import hashes
from tests.faults.proxy import Remote, proxying
from tests.gateway_process import GatewayProcess, running
from tests.outages.world import ACCOUNT, HASTE, HASTY, QUIET, eventually

BEFORE = "before"
NEW = "made-in-the-outage"


@dataclass(frozen=True)
class World:
    """A gateway for buckets of any name: the primary is another one, fallback and mirror are disks."""

    far: GatewayProcess
    gateway: GatewayProcess
    way: Remote

    def client(self) -> Any:
        return self.gateway.client(read_timeout=60)

    def query(self, question: str) -> list[Any]:
        with closing(sqlite3.connect(self.gateway.folder / "state.db", timeout=60)) as database:
            return database.execute(question).fetchall()

    def done(self, call: str, **said: Any) -> bool:
        """Have something done, and say whether it was."""
        try:
            getattr(self.client(), call)(**said)
        except (ClientError, EndpointConnectionError):
            return False
        return True

    def fail_over(self) -> None:
        """Return when the gateway does without the primary."""
        self.way.down()
        eventually(lambda: self.done("put_object", Bucket=BEFORE, Key="outage", Body=b"outage"))

    def come_back(self) -> None:
        """Let the primary come back, and return when it has everything."""
        self.way.release()
        self.way.up()
        eventually(lambda: self.query("select mode from route") == [(0,)], lambda: self.gateway.log[-3000:])
        assert self.query("select count(*) from key_state") == [(0,)]


@contextmanager
def worlds(folder: Path) -> Iterator[World]:
    far = GatewayProcess(folder / "far", **ACCOUNT, extra=QUIET)
    own = folder / "gateway"
    disks = {name: {"type": "local", "path": str(folder / name)} for name in ("fallback", "mirror")}
    for name in disks:
        (folder / name).mkdir()
    with running(far), proxying(far.port) as way:
        primary = {
            "type": "s3",
            "endpoint": f"http://127.0.0.1:{way.port}",
            "dialect": "aws",
            "addressing": "path",
            **ACCOUNT,
        }
        settings = {
            "state": f"sqlite:///{own}/state.db",
            "replication": HASTE,
            "backends": {"primary": primary, **disks},
            "buckets": {"*": {"backend": "primary", "fallback": "fallback", "mirrors": ["mirror"]}},
        }
        with running(GatewayProcess(own, extra={**settings, **QUIET}, program=HASTY)) as gateway:
            world = World(far, gateway, way)
            world.client().create_bucket(Bucket=BEFORE)
            eventually(lambda: world.query("select name from bucket where name = ''"))
            yield world


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_bucket_made_in_an_outage_survives_kills_and_gets_to_the_primary_with_all_that_is_in_it(tmp_path):
    with worlds(tmp_path) as world:
        world.fail_over()
        world.client().create_bucket(Bucket=NEW)
        world.gateway.kill()
        world.gateway.start()
        client = world.client()
        for number in range(10):
            client.put_object(Bucket=NEW, Key=f"{number}", Body=b"%d" % number, IfNoneMatch="*")
        client.delete_object(Bucket=NEW, Key="0")
        world.gateway.kill()
        world.gateway.start()
        found = client.list_objects_v2(Bucket=NEW)["Contents"]
        assert [entry["Key"] for entry in found] == [f"{number}" for number in range(1, 10)]
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == [BEFORE, NEW]
        world.way.release()
        world.way.up()
        world.gateway.kill()  # while it heals, or before
        world.gateway.start()
        world.come_back()
        stored = hashes(world.far.objects / NEW)
        assert {key for key in stored if not key.startswith(".gw/")} == {f"{number}" for number in range(1, 10)}
        assert client.get_object(Bucket=NEW, Key="7")["Body"].read() == b"7"
        client.put_object(Bucket=NEW, Key="7", Body=b"newer")
        assert world.far.client().get_object(Bucket=NEW, Key="7")["Body"].read() == b"newer"


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_bucket_made_and_deleted_in_an_outage_never_gets_to_the_primary(tmp_path):
    with worlds(tmp_path) as world:
        world.fail_over()
        client = world.client()
        client.create_bucket(Bucket=NEW)
        client.put_object(Bucket=NEW, Key="key", Body=b"data")
        with pytest.raises(ClientError, match="BucketNotEmpty"):
            client.delete_bucket(Bucket=NEW)
        client.delete_object(Bucket=NEW, Key="key")
        client.delete_bucket(Bucket=NEW)
        world.gateway.kill()
        world.gateway.start()
        with pytest.raises(ClientError, match="NoSuchBucket"):
            client.put_object(Bucket=NEW, Key="key", Body=b"data")
        world.come_back()
        assert [bucket["Name"] for bucket in client.list_buckets()["Buckets"]] == [BEFORE]
        assert not (world.far.objects / NEW).exists()
        eventually(lambda: not (tmp_path / "fallback" / NEW).exists())
