"""A gateway with a replicated bucket, each storage behind it, and the ways to them, on which anything can happen.

One more gateway is the server of all that is far away: the buckets `primary`, `fallback` and `mirror` of it are three
storages, each with a way of its own.
"""

import asyncio
import json
import sqlite3
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

import asyncpg
import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from prometheus_client.parser import text_string_to_metric_families

from tests.behind import Behind
from tests.clients.files import hashes
from tests.faults.proxy import Fault, Remote, proxying
from tests.gateway_process import GatewayProcess, running

HASTY = (sys.executable, str(Path(__file__).with_name("hasty.py")))
PATIENCE_S = 60
ACCOUNT = {"access_key": "FARKEY", "secret_key": "far-secret-key"}
BUCKET = "media"
PLACES = ("primary", "fallback", "mirror")
MODES = ("NORMAL", "FAILOVER", "HEALING", "RECONCILE")
NOTHING: Mapping[str, str] = MappingProxyType({})
NOWHERE: Mapping[str, Behind] = MappingProxyType({})
NO_FAULTS: Mapping[str, Fault] = MappingProxyType({})
LEFTOVERS = ("key_state", "task", "op", "trash")  # the tables that are empty when all is where it belongs
HASTE = {"down_after": "0.5s", "up_after": "0.5s", "hold": "0.5s"}


@dataclass(frozen=True)
class Answer:
    """What a client was told; status 0: nothing. `reached`: there was somebody to ask."""

    status: int
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    said: Mapping[str, Any] = field(default_factory=dict)
    reached: bool = True

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def was_refused(self) -> bool:
        """Whether it is certain that nothing was done."""
        is_told = self.headers.get("x-gw-applied") == "no" and "retry-after" in self.headers
        return (self.status == 503 and is_told) or not self.reached


@dataclass(frozen=True)
class Client:
    """A client of the bucket that repeats nothing and raises nothing."""

    boto: Any

    def put(self, key: str, body: bytes, **options: Any) -> Answer:
        return self.ask("put_object", Key=key, Body=body, **options)

    def get(self, key: str) -> Answer:
        return self.ask("get_object", Key=key)

    def read(self, key: str) -> Answer:
        """Return what is there, or that nothing is: an error, as a loaded machine may cause one, tells neither."""
        answers: list[Answer] = []

        def is_told() -> bool:
            answers.append(self.get(key))
            return 0 < answers[-1].status < HTTPStatus.INTERNAL_SERVER_ERROR

        eventually(is_told, lambda: answers[-1])
        return answers[-1]

    def delete(self, key: str) -> Answer:
        return self.ask("delete_object", Key=key)

    def listing(self, **options: Any) -> set[str] | None:
        """Return the keys, None where nobody could tell."""
        answer = self.ask("list_objects_v2", **options)
        return {entry["Key"] for entry in answer.said.get("Contents", ())} if answer.ok else None

    def keys(self) -> set[str]:
        """Return the keys of as many pages as there are."""
        pages = self.boto.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return {entry["Key"] for page in pages for entry in page.get("Contents", ())}

    def ask(self, call: str, **said: Any) -> Answer:
        try:
            answer = getattr(self.boto, call)(Bucket=BUCKET, **said)
            body = answer["Body"].read() if "Body" in answer else b""
        except ClientError as error:
            answer, body = error.response, b""
        except EndpointConnectionError:
            return Answer(0, reached=False)
        except BotoCoreError:
            return Answer(0)
        about = answer["ResponseMetadata"]
        return Answer(
            about["HTTPStatusCode"], answer.get("Error", {}).get("Code", ""), about["HTTPHeaders"], body, answer
        )


@dataclass
class World:
    """All of it. `ways` lead from the first gateway to each place; `others` are those of further gateways."""

    far: GatewayProcess
    gateways: Sequence[GatewayProcess]
    ways: Mapping[str, Remote]
    others: Sequence[Mapping[str, Remote]]
    state: str
    elsewhere: Mapping[str, Behind] = field(default_factory=dict)  # places that are not of `far`

    def __post_init__(self) -> None:
        self.client = self.client_of(0)
        self._is_down: set[str] = set()

    @property
    def gateway(self) -> GatewayProcess:
        return self.gateways[0]

    def client_of(self, number: int) -> Client:
        return Client(self.gateways[number].client(read_timeout=PATIENCE_S))

    def stored(self, place: str) -> Mapping[str, str]:
        """Return what a place holds, by its own word: the SHA-256 of each object that clients may see."""
        return {key: sha256 for key, sha256 in self._files(place).items() if not key.startswith(".gw/")}

    def staged(self) -> set[str]:
        return {key for key in self._files("fallback") if key.startswith(".gw/stage/")}

    def _files(self, place: str) -> Mapping[str, str]:
        if place in self.elsewhere:
            return self.elsewhere[place].stored(place, "")
        return hashes(self.far.objects / place)

    # --- what the journal says ---

    def mode(self) -> str:
        [[mode]] = self.query("select mode from route") or [[0]]
        return MODES[mode]

    def left(self) -> Mapping[str, int]:
        """Return how much is written down of which kind, all at one moment: what was one becomes another."""
        [counts] = self.query("select " + ", ".join(f"(select count(*) from {table})" for table in LEFTOVERS))
        return dict(zip(LEFTOVERS, counts, strict=True))

    def query(self, question: str) -> list[Any]:
        if self.state.startswith("sqlite"):
            with closing(sqlite3.connect(self.state.removeprefix("sqlite:///"), timeout=PATIENCE_S)) as database:
                return database.execute(question).fetchall()
        return asyncio.run(_ask_postgres(self.state, question))

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the series of the first gateway that have these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.gateway.admin_port}/metrics", timeout=PATIENCE_S) as said:
            families = text_string_to_metric_families(said.read().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    # --- waiting ---

    def down(self, place: str = "primary") -> None:
        """Refuse connections, and reset those that are open."""
        self.ways[place].down()
        self._is_down.add(place)

    def up(self, place: str = "primary", fault: Fault | None = None) -> None:
        """Let through again what a fault does not keep."""
        self.ways[place].release()
        self.ways[place].set(fault or Fault())
        if place in self._is_down:
            self._is_down.discard(place)
            self.ways[place].up()

    def clear(self) -> None:
        """Have everything as it was in the beginning, by way of the gateway itself."""
        for place in PLACES:
            self.up(place)
        self.abort_uploads()
        for key in set(self.stored("primary")) | set(self.stored("mirror")) | self.rows():
            eventually(lambda key=key: self.client.delete(key).ok)
        self.check_settled({})

    def abort_uploads(self) -> None:
        while uploads := self.client.ask("list_multipart_uploads").said.get("Uploads"):
            for upload in uploads:
                self.client.ask("abort_multipart_upload", Key=upload["Key"], UploadId=upload["UploadId"])

    def rows(self) -> set[str]:
        """Return the keys that the primary lacks."""
        return {bytes(key).decode() for [key] in self.query("select key from key_state")}

    def await_mode(self, *modes: str) -> None:
        eventually(lambda: self.mode() in modes, lambda: f"{self.mode()}, {self.left()}")

    def fail_over(self) -> None:
        """Take the primary away, and return when the gateway does without it."""
        self.down()
        eventually(lambda: self.client.delete("nothing").ok)
        self.await_mode("FAILOVER")

    def await_baseline(self) -> None:
        """Return when the mirror is known to have everything."""
        eventually(lambda: self.query("select baseline from replica") == [("complete",)] and self.is_settled())

    def is_settled(self) -> bool:
        return self.mode() == "NORMAL" and not any(self.left().values())

    def await_settled(self) -> None:
        """Return when all is where it belongs. Nothing but a bug lets that never happen."""
        eventually(self.is_settled, lambda: f"{self.mode()}, {self.left()}\n{self.gateway.log[-3000:]}")

    def check_settled(self, expected: Mapping[str, str]) -> None:
        """Check that every place holds this and nothing else, once all is settled."""
        self.await_settled()
        assert self.stored("primary") == expected
        assert self.stored("mirror") == expected
        assert self.staged() == set()


@contextmanager
def outages(  # noqa: PLR0913  what can be different in a world
    folder: Path,
    *,
    gateways: int = 1,
    states: Sequence[str] = (),
    before: Mapping[str, bytes] | None = None,
    elsewhere: Mapping[str, Behind] = NOWHERE,
    program: Sequence[str] = HASTY,
    environment: Mapping[str, str] = NOTHING,
    timeout: str = "5s",
    faults: Mapping[str, Fault] = NO_FAULTS,
    **replication: str,
) -> Iterator[World]:
    """Start everything. `before`: what the primary holds already; `states`: one for all gateways, or one for each.

    `elsewhere`: storages of other kinds in the place of some; what has no endpoint has no way to it either. `faults`:
    what is on the ways of the first gateway from the beginning.
    """
    with ExitStack() as started:
        far = GatewayProcess(folder / "far", **ACCOUNT, extra=QUIET)
        for name in PLACES:
            (far.objects / name).mkdir()
        started.enter_context(running(far))
        for key, body in (before or {}).items():
            far.client().put_object(Bucket="primary", Key=key, Body=body)
        states = states or [f"sqlite:///{folder}/state.db"]
        for place, behind in elsewhere.items():
            _make_bucket(behind, place)
        ports = {place: _port(elsewhere[place]) if place in elsewhere else far.port for place in PLACES}
        ways = [{place: started.enter_context(proxying(ports[place])) for place in PLACES} for _ in range(gateways)]
        for place, fault in faults.items():
            ways[0][place].set(fault)
        settings = {"replication": HASTE | replication, **QUIET}
        routes = {BUCKET: ROUTE}
        found = [
            GatewayProcess(
                folder / f"gateway{number}",
                extra={
                    **settings,
                    "state": states[number % len(states)],
                    "backends": {place: _backend(way, timeout, elsewhere.get(place)) for place, way in own.items()},
                    "buckets": routes,
                },
                environment=environment,
                program=program,
            )
            for number, own in enumerate(ways)
        ]
        for gateway in found:
            started.enter_context(running(gateway))
        world = World(far, found, ways[0], ways[1:], states[-1], elsewhere)
        yield world


class Shared:
    """A world that stays for the next test, if the last one has left it in order."""

    def __init__(self, folders: pytest.TempPathFactory, **options: Any) -> None:
        self._folders, self._options = folders, options
        self._open = ExitStack()
        self._world: World | None = None

    def take(self) -> World:
        if self._world is None:
            self._world = self._open.enter_context(outages(self._folders.mktemp("world"), **self._options))
            self._world.await_baseline()
        return self._world

    @property
    def log(self) -> str:
        return self._world.gateway.log[-5000:] if self._world else ""

    @property
    def is_closed(self) -> bool:
        return self._world is None

    def close(self) -> None:
        self._world = None
        self._open.close()


QUIET = {"log": {"level": "warning", "format": "json"}}
ROUTE = {
    "backend": "primary",
    "name": "primary",
    "fallback": {"backend": "fallback", "name": "fallback"},
    "mirrors": [{"backend": "mirror", "name": "mirror"}],
}


def _make_bucket(behind: Behind, name: str) -> None:
    said = behind.settings
    if said["type"] == "local":
        (Path(said["path"]) / name).mkdir()
    elif said["type"] == "gcs":
        body = json.dumps({"name": name}).encode()
        url = "{endpoint}/storage/v1/b?project={project}".format(**said)
        asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked).close()
    else:
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
        boto3.client("s3", endpoint_url=said["endpoint"], region_name="us-east-1", **keys).create_bucket(Bucket=name)


def _port(behind: Behind) -> int:
    return int(str(behind.settings.get("endpoint", ":0")).rpartition(":")[2])


def _backend(way: Remote, timeout: str, other: Behind | None) -> Mapping[str, Any]:
    if other is not None:
        return {**other.settings, **({"endpoint": f"http://127.0.0.1:{way.port}"} if _port(other) else {})}
    return {
        "type": "s3",
        "endpoint": f"http://127.0.0.1:{way.port}",
        "dialect": "aws",
        "addressing": "path",
        "connect_timeout": "3s",
        "answer_timeout": timeout,
        "stall_timeout": timeout,
        **ACCOUNT,
    }


def eventually(holds: Callable[[], object], say: Callable[[], object] = lambda: "") -> None:
    """Return when something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, say()
        time.sleep(0.02)


def all_at_once(acts: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do things in threads of their own, and return what they return."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return [act.result() for act in [pool.submit(act) for act in acts]]


async def _ask_postgres(url: str, question: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(question)]
    finally:
        await connection.close()
