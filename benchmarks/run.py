"""Measure the gateway beside a peer, under the same load in the same run: `make bench`, or ARGS="--full"."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from benchmarks import cloud, processes, scenarios, servers
from benchmarks.load import UnexpectedAnswerError
from benchmarks.report import OURS, PEER, Results, Setting, page
from benchmarks.scenarios import BUCKET, GIB, KIB, MIB
from benchmarks.servers import Server
from benchmarks.signing import Target

NAMES = ("synced", "rclone", "unsynced")
SIZES = (KIB, 64 * KIB, MIB, 64 * MIB)
PAGE = servers.ROOT / "docs" / "performance.md"


def main() -> None:
    """Run what the options ask for, print the report and, unless it was a quick look, write the page."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir) as name:
        folder = Path(name)
        with _servers(folder, options) as up:
            results = _measure(up, options)
            results.starts = _starts(folder, options)
        results.cloud = cloud.measure(
            folder, rounds=options.rounds, share=options.share, large=options.large, stream=options.upload
        )
    text = page(results)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes, to see that it works")
    parser.add_argument("--full", action="store_true", help="streams of 1 GiB and a folder of 10^6 keys too")
    parser.add_argument("--rounds", type=int, help="how often each server is asked, in turn")
    parser.add_argument("--workers", type=int, default=1, help="processes of the gateway")
    parser.add_argument("--dir", type=Path, help="where the servers keep their objects (needs 45 GB with --full)")
    parser.add_argument("--out", type=Path, help=f"the page to write (default: {PAGE.name}, none with --quick)")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.share = 0.01 if options.quick else 1.0
    options.sizes = SIZES[:3] if options.quick else SIZES
    options.folders = [2_000] if options.quick else [100_000, *([1_000_000] if options.full else [])]
    options.upload = 4 * MIB if options.quick else GIB if options.full else 64 * MIB
    options.large = 64 * MIB if options.quick else GIB
    options.part = 5 * MIB if options.quick else 16 * MIB
    options.parts = 3 if options.quick else 64
    options.out = options.out or (None if options.quick else PAGE)
    return options


@contextmanager
def _servers(folder: Path, options: argparse.Namespace) -> Iterator[list[Server]]:
    for name in NAMES:
        scenarios.fill(folder / name, options.folders)
    with ExitStack() as stack:
        yield [stack.enter_context(opened) for opened in _openers(folder, options)]


def _openers(folder: Path, options: argparse.Namespace) -> list[AbstractContextManager[Server]]:
    synced, peer, unsynced = (folder / name for name in NAMES)
    return [
        servers.gateway(synced, fsync=True, workers=options.workers),
        servers.rclone(peer),
        servers.gateway(unsynced, fsync=False, workers=options.workers),
    ]


def _measure(up: Sequence[Server], options: argparse.Namespace) -> Results:
    for server in up:
        _refuses_wrong_signature(server)
    results = Results(_setting(up, options))
    results.after_start = {server.name: processes.memory(server.pid) for server in up}
    _ask_in_turn(results, up, scenarios.of_objects(options.sizes, options.share), options.rounds)
    results.after_load = {server.name: processes.memory(server.pid) for server in up}
    compared = [server for server in up if server.name in {OURS, PEER}]
    for keys in options.folders:
        _list(results, compared, keys, options)
    uploads = f"20 parallel uploads of {options.upload // MIB} MiB"
    results.uploads[uploads] = {server.name: scenarios.parallel_uploads(server, options.upload) for server in up}
    completing = f"CompleteMultipartUpload of {options.parts} parts of {options.part // MIB} MiB"
    results.completes[completing] = {
        server.name: scenarios.complete(server, options.part, options.parts) for server in up
    }
    return results


def _ask_in_turn(results: Results, up: Sequence[Server], asked: Sequence[scenarios.Scenario], rounds: int) -> None:
    """Interleave the servers, so that whatever else the machine does hits them alike."""
    for scenario in asked:
        print(scenario.name, file=sys.stderr)
        by_server = results.samples.setdefault(scenario.name, {})
        for number in range(rounds):
            for server in up:
                if scenario.writes or server.name in {OURS, PEER}:
                    by_server.setdefault(server.name, []).append(scenario.run(server, number))


def _list(results: Results, up: Sequence[Server], keys: int, options: argparse.Namespace) -> None:
    scenario = scenarios.listing(keys, pages=2 if options.quick else 10)
    print(scenario.name, file=sys.stderr)
    results.first_pages[scenario.name] = {server.name: scenarios.first_page(server, keys) for server in up}
    _ask_in_turn(results, up, [scenario], min(options.rounds, 3))


def _starts(folder: Path, options: argparse.Namespace) -> dict[str, list[float]]:
    """Start each server a few times more, on an empty folder."""
    starts: dict[str, list[float]] = {}
    for number in range(options.rounds):
        for opened in _openers(folder / f"start-{number}", options)[:2]:
            with opened as server:
                starts.setdefault(server.name, []).append(server.first_answer)
    return starts


def _setting(up: Sequence[Server], options: argparse.Namespace) -> Setting:
    peer = next(server for server in up if server.name == PEER)
    return Setting(
        command=_command(options),
        load=os.getloadavg()[0],
        versions={
            "gateway": servers.version([servers.GATEWAY, "--version"]).split()[-1],
            "rclone": servers.version([servers.RCLONE, "version"]).split()[-1],
        },
        workers=options.workers,
        rounds=options.rounds,
        peer_checks_payload=not _succeeds(
            lambda: scenarios.send(peer, [peer.target.sign_upload(f"/{BUCKET}/wrong", b"x" * KIB, 1, "0" * 64)])
        ),
    )


def _command(options: argparse.Namespace) -> str:
    """Return what has to be typed to measure the same again."""
    words = [f"--{name}" for name in ("quick", "full") if getattr(options, name)]
    words += [f"--{name} {getattr(options, name)}" for name in ("rounds", "workers")]
    return f'make bench ARGS="{" ".join(words)}"'


def _refuses_wrong_signature(server: Server) -> None:
    forged = Target(server.target.port, "another-secret").sign("GET", "/")
    if _succeeds(lambda: scenarios.send(server, [forged])):
        message = f"{server.name} checks no signature: there is nothing to compare"
        raise RuntimeError(message)


def _succeeds(act: Callable[[], object]) -> bool:
    try:
        act()
    except UnexpectedAnswerError:
        return False
    return True


if __name__ == "__main__":
    main()
