"""Measure the making of pictures beside sharp and a plain loop over Pillow, in the same run: `make bench-images`."""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from struct import pack
from subprocess import PIPE
from typing import Any, NamedTuple

import psutil
import uvloop
from PIL import Image, ImageDraw

from gateway.images.pool import Workers
from gateway.images.spec import Limits, Made, Order, Unfit, Variant
from gateway.images.wire import Task, read_answer, write_task
from tests.gateway_process import GatewayProcess, running

ROOT = Path(__file__).resolve().parents[1]
PEER = ROOT / "benchmarks" / "sharp"
SET_UP = ROOT / ".clients" / "sharp"
PAGE = ROOT / "docs" / "images-performance.md"
WANTED = [Variant("s", 200), Variant("m", 600), Variant("l", 1200), Variant("w", 1600, format="webp")]
MEMORY = 640_000_000
TICK = 0.002
Rows = dict[str, list[float]]
Large = tuple[Callable[[Path], None], Variant]


class Spent(NamedTuple):
    """CPU milliseconds of a gateway, without its processes that decode and encode."""

    serving: float  # what answers requests
    both: float  # and what is beside it


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-images", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="to see that it works; writes no page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-images-") as name:
        text = uvloop.run(_page(Path(name), quick=options.quick))
    print(text)
    if not options.quick:
        PAGE.write_text(text, encoding="utf-8")


async def _page(folder: Path, *, quick: bool) -> str:
    photo, rounds = folder / "photo.jpg", 1 if quick else 7
    _photo(*((800, 600) if quick else (4000, 3000))).save(photo, quality=92)
    load = os.getloadavg()[0]
    jobs, (profiles, sizes) = _jobs(photo, folder, rounds), _profiles(photo, folder, rounds)
    memory = _memory(folder, dict(list(LARGE.items())[: 1 if quick else None]))
    starts = _starts(folder, rounds)
    count = 2 if quick else 20
    puts = _puts(photo, folder, min(rounds, 5), count)
    lag = await _lags(photo, seconds=2.0 * rounds)
    return TEXT.format(
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}",
        pillow=version("pillow"),
        load=f"{load:.1f}",
        count=count,
        size=f"{photo.stat().st_size / 1e6:.1f}",
        rounds=rounds,
        jobs=_table(jobs, lambda row: f"{statistics.median(row):.0f} | {min(row):.0f} | {max(row):.0f}"),
        profiles="\n".join(
            f"| {name} | {statistics.median(row):.0f} | {sizes[name] / 1000:.0f} |" for name, row in profiles.items()
        ),
        puts=_table(puts, _told_of_puts),
        lag=_table(lag, lambda row: f"{_percentile(row, 0.5):.1f} | {_percentile(row, 0.99):.1f} | {max(row):.1f}"),
        memory="\n".join(f"| {name} | {peak:.0f} | {outcome} |" for name, (peak, outcome) in memory.items()),
        starts=_table(starts, lambda row: f"{statistics.median(row):.1f}"),
    )


class Worker:
    """One worker, without the pool around it, so that what it uses can be read while it is still there."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-I", "-m", "gateway.images.worker", "0", str(MEMORY)]
        self._process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, env={})
        self._folder = folder / "made"
        self.size = 0  # of what was made last, in bytes

    def ask(self, source: Path, variants: Sequence[Variant]) -> Made | Unfit:
        task = Task(Order(source, variants, Limits(max_bytes=10**9)), self._folder, 600)
        self._process.stdin.write(write_task(task))
        self._process.stdin.flush()
        try:
            answer = read_answer(self._process.stdout.readline(), task)
            self.size = 0 if isinstance(answer, Unfit) else sum(path.stat().st_size for path in answer.files.values())
            return answer
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def spent(self, source: Path, variants: Sequence[Variant]) -> float:
        """Return the CPU milliseconds that it takes."""
        before = self._cpu()
        answer = self.ask(source, variants)
        if isinstance(answer, Unfit) or answer.failures:
            raise SystemExit(f"not made: {answer}")
        return self._cpu() - before

    def peak(self) -> float:
        """Return the most memory that was resident so far, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _cpu(self) -> float:
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text(encoding="ascii").split()[0]) for thread in threads) / 1e6


@contextmanager
def _worker(folder: Path) -> Iterator[Worker]:
    worker = Worker(folder)
    try:
        yield worker
    finally:
        worker.end()


def _jobs(photo: Path, folder: Path, rounds: int) -> Rows:
    """CPU milliseconds of a job, in turn, so that whatever else the machine does hits all alike."""
    commands = {"Pillow, as tutorials show it": [sys.executable, "-m", "benchmarks.naive", photo, folder, "4"]}
    if _set_up_peer():
        node = ["node", SET_UP / "derive.mjs", photo, folder, "4"]
        commands["sharp, each picture from the file"] = [*node, "each"]
        commands["sharp, decoded once"] = [*node, "once"]
    ours = {"**gateway**": WANTED, "gateway, `effort: small`": [each._replace(effort="small") for each in WANTED]}
    rows: Rows = {name: [] for name in ours}
    with _worker(folder) as worker:
        worker.spent(photo, WANTED)
        for _ in range(rounds):
            for name, variants in ours.items():
                rows[name].extend(worker.spent(photo, variants) for _ in range(3))
            for name, command in commands.items():
                done = subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
                rows.setdefault(name, []).extend(json.loads(done.stdout)[1:])  # the first one warms up
    return rows


def _profiles(photo: Path, folder: Path, rounds: int) -> tuple[Rows, dict[str, int]]:
    """CPU milliseconds, and how many bytes come of it."""
    rows: Rows = {name: [] for name in PROFILES}
    sizes = {}
    with _worker(folder) as worker:
        worker.spent(photo, [])
        for _ in range(rounds):
            for name, variants in PROFILES.items():
                rows[name].append(worker.spent(photo, variants))
                sizes[name] = worker.size
    return rows, sizes


def _memory(folder: Path, large: Mapping[str, Large]) -> dict[str, tuple[float, str]]:
    """The most memory that a worker had resident at the largest images that are allowed, and what came of them."""
    found = {}
    for name, (write, variant) in large.items():
        source = folder / "large"
        write(source)
        with _worker(folder) as worker:
            answer = worker.ask(source, [variant])
            outcome = answer.reason if isinstance(answer, Unfit) else ", ".join(answer.failures.values()) or "made"
            found[name] = (worker.peak(), str(outcome))
    return found


def _starts(folder: Path, rounds: int) -> Rows:
    """Milliseconds, as who waits for them sees them."""
    rows: Rows = {"a worker's start, with a tiny image": [], "a tiny image": []}
    tiny = folder / "tiny.png"
    Image.new("L", (8, 8)).save(tiny)
    for _ in range(3 * rounds):
        began = time.perf_counter()
        with _worker(folder) as worker:
            worker.ask(tiny, [])
            started = time.perf_counter()
            worker.ask(tiny, [])
            rows["a tiny image"].append((time.perf_counter() - started) * 1000)
            rows["a worker's start, with a tiny image"].append((started - began) * 1000)
    return rows


def _puts(photo: Path, folder: Path, rounds: int, count: int) -> dict[str, list[Spent]]:
    """CPU milliseconds for each photo that is written, until its variants are stored and written down."""
    rule = {"match": "in/{path*}", "key": "out/{path.stem}-{variant}.{ext}"}
    rule["variants"] = ["thumbnail_small", "thumbnail_large"]
    configurations = {"no rule": {}, "a rule, async": rule, "a rule, sync": {**rule, "mode": "sync"}}
    rows: dict[str, list[Spent]] = {name: [] for name in configurations}
    with ExitStack() as stack:
        gateways = {}
        for number, (name, said) in enumerate(configurations.items()):
            images = {"images": {"rules": [said]}} if said else {}
            state = f"sqlite:///{folder}/{number}.db"
            extra = {
                "state": state,
                "images": {"timeout": "120s"},
                "buckets": {"photos": {"backend": "disk", **images}},
            }
            gateways[name] = stack.enter_context(running(GatewayProcess(folder / str(number), extra=extra)))
            gateways[name].client().create_bucket(Bucket="photos")
        for turn in range(rounds + 1):
            for name, gateway in gateways.items():
                spent = _put(
                    gateway, photo, [f"{turn}-{number}" for number in range(count)], 2 * bool(configurations[name])
                )
                if turn:  # the first one warms up
                    rows[name].append(spent)
    return rows


def _put(gateway: GatewayProcess, photo: Path, names: Sequence[str], variants: int) -> Spent:
    client, body, before = gateway.client(), photo.read_bytes(), _spent(gateway)
    for name in names:
        client.put_object(Bucket="photos", Key=f"in/{name}.jpg", Body=body, ContentType="image/jpeg")
    for name in names:
        while len(list(gateway.objects.glob(f"photos/out/{name}-*"))) < variants:  # whoever asks the gateway costs it
            time.sleep(0.2)
    time.sleep(1)  # until it is written down that all are there
    after = _spent(gateway)
    return Spent(*((now - then) / len(names) for now, then in zip(after, before, strict=True)))


def _spent(gateway: GatewayProcess) -> Spent:
    """Return the CPU milliseconds of a gateway so far.

    Beside the workers is whoever has pictures made, unless it is the first process, which then does everything.
    """
    first = psutil.Process(gateway.process.pid)
    family = [first, *first.children(recursive=True)]
    encoders = [each for each in family if "gateway.images.worker" in each.cmdline()]
    beside = {each.ppid() for each in encoders} - {first.pid}
    spent = {each.pid: sum(each.cpu_times()[:2]) * 1000 for each in family if each not in encoders}
    return Spent(sum(time for pid, time in spent.items() if pid not in beside), sum(spent.values()))


def _told_of_puts(row: Sequence[Spent]) -> str:
    serving, both = zip(*row, strict=True)
    return f"{statistics.median(serving):.1f} | {min(serving):.1f} | {max(serving):.1f} | {statistics.median(both):.1f}"


async def _lags(photo: Path, seconds: float) -> Rows:
    """How late the event loop is, in milliseconds, idle and while two workers encode 12 MP progressively."""
    heavy = Order(photo, [Variant("a", progressive=True)])
    rows: Rows = {"idle": await _ticks(seconds)}
    async with Workers(2, timeout=120) as workers:
        tasks = [asyncio.create_task(_again_and_again(workers, heavy)) for _ in range(2)]
        await asyncio.sleep(1)
        rows["two workers busy"] = await _ticks(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return rows


async def _again_and_again(workers: Workers, order: Order) -> None:
    while True:
        async with workers.derive(order):
            pass


async def _ticks(seconds: float) -> list[float]:
    lags, end = [], time.perf_counter() + seconds
    while (before := time.perf_counter()) < end:
        await asyncio.sleep(TICK)
        lags.append((time.perf_counter() - before - TICK) * 1000)
    return lags


def _set_up_peer() -> bool:
    """Install sharp as its lock file says, if this machine has node."""
    if not shutil.which("npm"):
        print("no npm here: measured without sharp", file=sys.stderr)
        return False
    SET_UP.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "derive.mjs"):
        shutil.copy(PEER / name, SET_UP)
    if not (SET_UP / "node_modules" / "sharp").exists():
        quietly = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        subprocess.run(["npm", "ci", *quietly], cwd=SET_UP, check=True, stdout=sys.stderr)
    return True


def _photo(width: int, height: int) -> Image.Image:
    """What a decoder takes for a photo: soft light, edges, and noise of six sizes."""
    light = [Image.linear_gradient("L"), Image.radial_gradient("L"), Image.linear_gradient("L").rotate(90)]
    photo = Image.merge("RGB", [channel.resize((width, height)) for channel in light])
    draw = ImageDraw.Draw(photo)
    chance = random.Random(1)
    for _ in range(120):
        x, y, size = chance.randrange(width), chance.randrange(height), chance.randrange(width // 40, width // 8)
        color = tuple(chance.randrange(256) for _ in range(3))
        draw.ellipse((x, y, x + size, y + size * 2 // 3), fill=color)
    for octave in range(6):
        noise = Image.effect_noise((width >> octave, height >> octave), 12 * (octave + 1)).resize((width, height))
        photo = Image.blend(photo, noise.convert("RGB"), 0.08)
    return photo


def _large(width: int, height: int) -> Image.Image:
    return _photo(2000, 1500).resize((width, height))


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    _large(8000, 6250).save(path, "jpeg", exif=exif)


def _black(path: Path) -> None:
    """A PNG whose every pixel costs memory though hardly any costs bytes."""
    width, height, packer = 8000, 6250, zlib.compressobj(1)
    row = bytes(1 + 4 * width)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = b"".join(
        pack(">I", len(body)) + name + body + pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


def _table(rows: Mapping[str, Any], told: Callable[[Any], str]) -> str:
    return "\n".join(f"| {name} | {told(row)} |" for name, row in rows.items())


def _percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


PROFILES = {
    "thumbnails: 150 by 150 cut, 300, 600": [Variant("a", 150, 150, "cover"), Variant("b", 300), Variant("c", 600)],
    "JPEG 1920, progressive": [Variant("a", 1920, quality=82, progressive=True)],
    "WebP 1920": [Variant("a", 1920, format="webp")],
    **{
        f"{name} 1600, `effort: {effort}`": [Variant("a", 1600, format=name.lower(), effort=effort)]
        for name in ("WebP", "AVIF")
        for effort in ("fast", "balanced", "small")
    },
    "JPEG in full size": [Variant("a")],
    "JPEG in full size, progressive": [Variant("a", progressive=True)],
    "no variant: only checked": [],
}
SMALL, WHOLE = Variant("a", 1600), Variant("a", format="jpeg", progressive=True)
LARGE = {
    "12 MP JPEG → 1600": (lambda path: _photo(4000, 3000).save(path, "jpeg"), SMALL),
    "50 MP JPEG → 1600": (lambda path: _large(8000, 6250).save(path, "jpeg"), SMALL),
    "50 MP JPEG, turned, in full size": (_turned, WHOLE),
    "50 MP PNG with alpha → 1600": (_black, SMALL),
    "50 MP PNG with alpha → JPEG in full size": (_black, WHOLE),
    "50 MP GIF → 1600": (lambda path: _large(8000, 6250).quantize(16).save(path, "gif"), SMALL),
    "25 MP WebP → 1600": (lambda path: _large(6250, 4000).save(path, "webp", method=0), SMALL),
    "50 MP WebP → 1600": (lambda path: _large(8000, 6250).save(path, "webp", method=0), SMALL),
    "50 MP AVIF → 1600": (lambda path: _large(8000, 6250).save(path, "avif", speed=10), SMALL),
}
TEXT = """\
# What making pictures costs

Written by `make bench-images`, and measured only: {machine}, Pillow {pillow}. The load of the machine was {load} when
it began: what others do meanwhile makes all numbers larger. The photo is made up: light, edges, noise, {size} MB.

## A photo of 12 MP into JPEG of 200, 600, 1200 and WebP of 1600 pixels

CPU milliseconds of a job in one thread, everybody in turn, {rounds} rounds of three jobs each. The gateway's
number holds everything that its worker does: checks, SHA-256, answer.

| by | median | least | most |
| --- | --: | --: | --: |
{jobs}

Why the difference: it decodes once, at half the size, since JPEG can; and every picture is scaled from there. Half of
what is left is the WebP: Pillow and sharp make it by method 4, as the gateway does with `effort: small`; its own
default takes less time, for a file that is larger by what the next table tells.

## Single variants of it

CPU milliseconds of a job, median, and kB of what is made.

| variant | ms | kB |
| --- | --: | --: |
{profiles}

## A photo that is written

CPU milliseconds of the process that serves, until the photo and its two thumbnails (150 by 150, 600) are stored, and
in the last column those of [the process beside it](images.md#a-process-of-its-own), too; the processes that decode and
encode are not counted. {count} photos, one after the other, in turn; the disk syncs.

| bucket with | median | least | most | both, median |
| --- | --: | --: | --: | --: |
{puts}

## The event loop meanwhile

How late a timer of 2 ms is, in milliseconds, in the process that serves requests, while two workers encode the whole
photo progressively all the time.

| | median | 99 % | most |
| --- | --: | --: | --: |
{lag}

## Memory of a worker

The most that was resident, in MB, with `memory: 640MB`; images of `max_pixels: 50MP`.

| image | MB | outcome |
| --- | --: | --- |
{memory}

A worker that runs out of memory says so and is replaced; the original is not touched by it. A WebP needs 16 bytes a
pixel while it is decoded, others 8, and an encoder has needs of its own: more `memory:` lets such images through.

## Waiting

Milliseconds, median.

| for | ms |
| --- | --: |
{starts}
"""

if __name__ == "__main__":
    main()
