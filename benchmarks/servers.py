"""The servers under load: the gateway and its peer, each a process of its own on a folder of its own."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import load
from benchmarks.signing import ACCESS_KEY, SECRET_KEY, Target

ROOT = Path(__file__).resolve().parent.parent
GATEWAY = Path(sys.executable).parent / "gateway"
RCLONE = ROOT / ".clients" / "rclone" / "bin" / "rclone"
PATIENCE_S = 30


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `first_answer` is the seconds from its start to its first answer."""

    name: str
    pid: int
    target: Target
    first_answer: float


@contextmanager
def gateway(objects: Path, *, fsync: bool, workers: int) -> Iterator[Server]:
    """Run the gateway on local disk."""
    objects.mkdir(parents=True, exist_ok=True)
    disk = {"type": "local", "path": str(objects), "fsync": fsync}
    with _gateway("gateway" if fsync else "gateway, fsync: false", objects, disk, workers) as server:
        yield server


@contextmanager
def rclone(objects: Path) -> Iterator[Server]:
    """Run `rclone serve s3` on local disk, with its defaults."""
    port = free_port()
    objects.mkdir(parents=True, exist_ok=True)
    command = [str(RCLONE), "--config", str(objects.with_suffix(".conf")), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", str(objects)]
    with _running("rclone", command, Target(port), objects.with_suffix(".log")) as server:
        yield server


@contextmanager
def sink(place: Path, bucket: str) -> Iterator[Server]:
    """Run the server that stands for a storage which speaks S3."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.sink", str(port), bucket]
    with _running("sink", command, Target(port), place.with_suffix(".log")) as server:
        yield server


@contextmanager
def gateway_before(place: Path, storage: Server) -> Iterator[Server]:
    """Run the gateway, one process, in front of a storage."""
    account = {
        "type": "s3",
        "endpoint": storage.target.url,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "dialect": "aws",
        "addressing": "path",
    }
    with _gateway("gateway", place, account, workers=1) as server:
        yield server


@contextmanager
def rclone_before(place: Path, storage: Server) -> Iterator[Server]:
    """Run `rclone serve s3` in front of a storage, with its defaults."""
    port = free_port()
    account = {
        "type": "s3",
        "provider": "Other",
        "endpoint": storage.target.url,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
        "force_path_style": "true",
        "server_side_encryption": "aws:kms",  # as the sink says: no ETag is a hash
    }
    lines = ["[storage]", *(f"{name} = {value}" for name, value in account.items())]
    file = place.with_suffix(".conf")
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    command = [str(RCLONE), "--config", str(file), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "storage:"]
    with _running("rclone", command, Target(port), place.with_suffix(".log")) as server:
        yield server


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def version(command: Sequence[str | Path]) -> str:
    """Return the first line that a program says of its version."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0].strip()


@contextmanager
def _gateway(name: str, place: Path, backend: Mapping[str, object], workers: int) -> Iterator[Server]:
    port = free_port()
    config = {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{free_port()}",
        "workers": workers,
        "keys": [{"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "allow": ["*"]}],
        "backends": {"storage": dict(backend)},
        "buckets": {"*": {"backend": "storage"}},
    }
    file = place.with_suffix(".yaml")
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [str(GATEWAY), "serve", "--config", str(file)]
    with _running(name, command, Target(port), place.with_suffix(".log")) as server:
        yield server


@contextmanager
def _running(name: str, command: list[str], target: Target, log: Path) -> Iterator[Server]:
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=ROOT)
    try:
        _await_answer(process, target, log)
        yield Server(name, process.pid, target, time.perf_counter() - began)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE_S)


def _await_answer(process: subprocess.Popen[bytes], target: Target, log: Path) -> None:
    """Ask for the list of buckets until it is given."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            asyncio.run(load.run(target.port, [target.sign("GET", "/")]))
        except (OSError, load.UnexpectedAnswerError):
            time.sleep(0.005)
        else:
            return
    message = f"{process.args!r} gave no answer: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)
