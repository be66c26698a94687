"""The gateway in front of a storage that speaks S3, beside a peer in front of the same: a sink that costs nothing."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import processes, servers
from benchmarks.load import Outcome
from benchmarks.processes import Memory
from benchmarks.scenarios import BUCKET, GIB, KIB, MIB, Sample, Scenario, of_objects, send
from benchmarks.servers import Server

STREAMS = 50
FEWER = 0.1  # of the requests that a disk is asked: the peer lists the whole folder whenever it has written to it
UNSIGNED = "UNSIGNED-PAYLOAD"
ALONE = "GET 1 KiB, one at a time"
LONELY = f"/{BUCKET}/alone"


@dataclass(slots=True)
class Measured:
    """Everything measured, by what it was and by server; the sink itself was asked too, for its time alone."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    streams: dict[str, dict[str, tuple[Outcome, Memory]]] = field(default_factory=dict)

    def latency(self, server: str) -> float | None:
        """Return the median of the seconds of a request that nothing else is asked beside."""
        rounds = self.samples.get(ALONE, {}).get(server)
        return median(sample.latency for sample in rounds) if rounds else None


def measure(folder: Path, *, rounds: int, share: float, large: int, stream: int) -> Measured:
    """Ask gateway and peer in turn; `large` is the size of what is called a large object, `stream` of a stream."""
    measured = Measured()
    with _servers(folder) as (sink, *compared):
        send(sink, [sink.target.sign("PUT", LONELY, block=bytes(KIB))])
        for scenario in [*of_objects([KIB, MIB], share * FEWER), *_large(large), _alone(share)]:
            print(f"S3: {scenario.name}", file=sys.stderr)
            asked = [*compared, sink] if scenario.name == ALONE else compared
            by_server = measured.samples.setdefault(scenario.name, {})
            for number in range(rounds):
                for server in asked:
                    by_server.setdefault(server.name, []).append(scenario.run(server, number))
        for way in ("uploads", "downloads"):
            name = f"{STREAMS} parallel {way} of {stream // MIB} MiB"
            print(f"S3: {name}", file=sys.stderr)
            measured.streams[name] = {server.name: _streams(server, way, stream) for server in compared}
    return measured


@contextmanager
def _servers(folder: Path) -> Iterator[Sequence[Server]]:
    with (
        servers.sink(folder / "sink", BUCKET) as sink,
        servers.gateway_before(folder / "front", sink) as gateway,
        servers.rclone_before(folder / "peer", sink) as peer,
    ):
        yield sink, gateway, peer


def _large(size: int) -> list[Scenario]:
    """One large object up, its hash unsigned, and down again."""
    name, block = f"{size // MIB} MiB" if size < GIB else f"{size // GIB} GiB", os.urandom(MIB)
    path = f"/{BUCKET}/large"
    return [
        Scenario(f"PUT {name}", lambda server, _: [server.target.sign_upload(path, block, size // MIB, UNSIGNED)]),
        Scenario(f"GET {name}", lambda server, _: [server.target.sign("GET", path)]),
    ]


def _alone(share: float) -> Scenario:
    """The way there and back, with nothing else asked."""
    count = max(2, int(1000 * share))
    return Scenario(ALONE, lambda server, _: [server.target.sign("GET", LONELY)] * count, connections=1)


def _streams(server: Server, way: str, size: int) -> tuple[Outcome, Memory]:
    """Send or fetch many large objects at once, and return what was held at most."""
    paths = [f"/{BUCKET}/streams/{number}" for number in range(STREAMS)]
    block = os.urandom(MIB)
    if way == "uploads":
        asked = [server.target.sign_upload(path, block, size // MIB, UNSIGNED) for path in paths]
    else:
        asked = [server.target.sign("GET", path) for path in paths]
    processes.forget_peak(server.pid)
    outcome = send(server, asked, STREAMS)
    return outcome, processes.memory(server.pid)
