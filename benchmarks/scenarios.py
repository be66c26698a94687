"""What is measured: the requests of each kind, how many of them, and what has to be there before."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import boto3
import uvloop
from botocore.config import Config

from benchmarks import load, processes
from benchmarks.servers import Server
from benchmarks.signing import ACCESS_KEY, REGION, SECRET_KEY, Request

KIB, MIB, GIB = 1024, 1024**2, 1024**3
BUCKET = "bench"
NAMES = {KIB: "1 KiB", 64 * KIB: "64 KiB", MIB: "1 MiB", 64 * MIB: "64 MiB"}
COUNTS = {KIB: 3000, 64 * KIB: 1500, MIB: 300, 64 * MIB: 8}  # about a second each


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one scenario against one server."""

    outcome: load.Outcome
    cpu: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.outcome.requests / self.outcome.seconds

    @property
    def throughput(self) -> float:
        """Bytes of bodies per second, both directions."""
        return (self.outcome.sent + self.outcome.received) / self.outcome.seconds

    @property
    def cpu_per_request(self) -> float:
        """Seconds of the server's CPU."""
        return self.cpu / self.outcome.requests

    @property
    def latency(self) -> float:
        """Seconds, the median of the requests."""
        return median(self.outcome.latencies)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`requests(server, round)` are sent over `connections`."""

    name: str
    requests: Callable[[Server, int], Sequence[Request]]
    writes: bool = False
    connections: int = 8

    def run(self, server: Server, number: int) -> Sample:
        """Measure one round."""
        requests = self.requests(server, number)
        began = processes.cpu_seconds(server.pid)
        outcome = send(server, requests, self.connections)
        return Sample(outcome, processes.cpu_seconds(server.pid) - began)


def send(server: Server, requests: Sequence[Request], connections: int = 8) -> load.Outcome:
    """Send requests to a server."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(load.run(server.target.port, requests, connections))


def of_objects(sizes: Sequence[int], share: float) -> list[Scenario]:
    """PUT, GET, HEAD and DELETE; `share` scales how many requests each has."""
    scenarios = []
    for size in sizes:
        count = max(2, int(COUNTS[size] * share))
        put, get = _puts(size, count), _of_each("GET", size, count)
        scenarios += [Scenario(f"PUT {NAMES[size]}", put, writes=True), Scenario(f"GET {NAMES[size]}", get)]
    count = max(2, int(COUNTS[KIB] * share))
    head, delete = _of_each("HEAD", KIB, count), _of_each("DELETE", KIB, count)  # of what the first scenario has put
    scenarios += [
        Scenario("HEAD", head),
        Scenario("DELETE", delete, writes=True),
    ]
    return scenarios


def listing(keys: int, pages: int) -> Scenario:
    """Pages of 1000 keys, at places spread over one folder of `keys` keys, one at a time."""

    def requests(server: Server, number: int) -> list[Request]:
        starts = [((step * 7919 + number * 104729) % max(1, keys - 1000)) for step in range(pages)]
        return [server.target.sign("GET", f"/{BUCKET}", _page(folder_of(keys), start)) for start in starts]

    return Scenario(f"list 1000 of {keys:,} keys", requests, connections=1)


def fill(objects: Path, folders: Sequence[int]) -> None:
    """Make the bucket, with a folder of as many files as each of `folders` says, where a server is to find it.

    Before it starts: a peer that remembers folders would not see what comes behind its back.
    """
    for keys in folders:
        place = objects / BUCKET / folder_of(keys)
        place.mkdir(parents=True)
        for number in range(keys):
            os.close(os.open(place / _name(number), os.O_CREAT | os.O_WRONLY, 0o644))
    (objects / BUCKET).mkdir(parents=True, exist_ok=True)


def folder_of(keys: int) -> str:
    """Name the folder of so many keys."""
    return f"of-{keys}"


def first_page(server: Server, keys: int) -> float:
    """Return the seconds that the first page of a folder takes, and see that the next ones are right."""
    folder = folder_of(keys)
    first = send(server, [server.target.sign("GET", f"/{BUCKET}", _page(folder, 0))]).seconds
    page = _client(server).list_objects_v2(Bucket=BUCKET, Prefix=f"{folder}/", StartAfter=f"{folder}/{_name(7)}")
    if [item["Key"] for item in page["Contents"]] != [f"{folder}/{_name(number)}" for number in range(8, 1008)]:
        message = f"{server.name} does not list what is there"
        raise RuntimeError(message)
    return first


def parallel_uploads(server: Server, size: int, count: int = 20) -> tuple[load.Outcome, processes.Memory]:
    """Upload `count` objects of `size` bytes at once and return what was held at most."""
    block = os.urandom(MIB)
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(block)
    sha256 = digest.hexdigest()
    paths = [f"/{BUCKET}/large-{number}" for number in range(count)]
    uploads = [server.target.sign_upload(path, block, size // MIB, sha256) for path in paths]
    processes.forget_peak(server.pid)
    outcome = send(server, uploads, count)
    held = processes.memory(server.pid)
    send(server, [server.target.sign("DELETE", path) for path in paths])
    return outcome, held


def complete(server: Server, size: int = 16 * MIB, count: int = 64) -> Sample:
    """Upload `count` parts of `size` bytes, and measure the CompleteMultipartUpload alone."""
    path = f"/{BUCKET}/multipart"
    upload = _client(server).create_multipart_upload(Bucket=BUCKET, Key="multipart")["UploadId"]
    block = os.urandom(size)
    etag = hashlib.md5(block, usedforsecurity=False).hexdigest()
    queries = [{"partNumber": str(number), "uploadId": upload} for number in range(1, count + 1)]
    # One after another: a peer that writes parts in order is not to be made to hold those that come early.
    send(server, [server.target.sign("PUT", path, query, block) for query in queries], connections=1)
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number in range(1, count + 1)
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
    began = processes.cpu_seconds(server.pid)
    outcome = send(server, [server.target.sign("POST", path, {"uploadId": upload}, body)])
    sample = Sample(outcome, processes.cpu_seconds(server.pid) - began)
    send(server, [server.target.sign("DELETE", path)])
    return sample


def _client(server: Server) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server.target.port}",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=300),
    )


def _puts(size: int, count: int) -> Callable[[Server, int], list[Request]]:
    """Return new objects for each round."""
    block = os.urandom(size)
    return lambda server, number: [
        server.target.sign("PUT", f"/{BUCKET}/{size}/{number}/{key}", block=block) for key in range(count)
    ]


def _of_each(method: str, size: int, count: int) -> Callable[[Server, int], list[Request]]:
    return lambda server, number: [
        server.target.sign(method, f"/{BUCKET}/{size}/{number}/{key}") for key in range(count)
    ]


def _name(number: int) -> str:
    return f"{number:08d}.jpg"


def _page(folder: str, start: int) -> dict[str, str]:
    after = f"{folder}/{_name(start)}" if start else f"{folder}/"
    return {"list-type": "2", "max-keys": "1000", "prefix": f"{folder}/", "delimiter": "/", "start-after": after}
