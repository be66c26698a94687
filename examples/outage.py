"""Kills a storage under load, and proves by checksums that nothing is lost and nothing comes back.

    .venv/bin/python examples/outage.py [--seconds 20]

Two gateways run in a temporary folder: one plays the cloud, the other stands before it with a fallback and a mirror on
disk. docs/demo.md says what is to be seen.
"""

import argparse
import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

GATEWAY = [sys.executable, "-m", "gateway", "serve", "--config"]
BUCKET = "media"
PUTS = 0.7  # of all writes; the others delete
KEYS = 200
CLIENTS = 4
CLOUD = """
listen: 127.0.0.1:{cloud}
admin: 127.0.0.1:{cloud_admin}
keys: [{{access_key: CLOUDKEY, secret_key: cloud-secret}}]
backends: {{disk: {{type: local, path: {folder}/cloud}}}}
log: {{level: error}}
"""
GATEWAY_SETTINGS = """
listen: 127.0.0.1:{gateway}
admin: 127.0.0.1:{admin}
keys: [{{access_key: DEMOKEY, secret_key: demo-secret}}]
state: sqlite:///{folder}/state.db
replication: {{down_after: 2s, up_after: 3s, hold: 1s}}
backends:
  cloud: {{type: s3, endpoint: "http://127.0.0.1:{cloud}", access_key: CLOUDKEY, secret_key: cloud-secret}}
  fallback: {{type: local, path: {folder}/fallback}}
  mirror: {{type: local, path: {folder}/mirror}}
buckets:
  media: {{backend: cloud, fallback: fallback, mirrors: [mirror]}}
log: {{level: error}}
"""


class Demo:
    """The two gateways, their clients, and what these have been promised."""

    def __init__(self, folder: Path) -> None:
        names = ("cloud", "cloud_admin", "gateway", "admin")
        self.folder, self.ports = folder, dict(zip(names, _free_ports(len(names)), strict=True))
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.promised: dict[str, str | None] = {}  # by key: the SHA-256 of what was acknowledged last; None: deleted
        self.open: dict[str, set[str | None]] = {}  # by key: what nobody was told the outcome of
        self.answers: Counter[str] = Counter()

    def start(self, name: str, settings: str) -> None:
        """Start a gateway, and return when it is ready."""
        file = self.folder / f"{name}.yaml"
        file.write_text(settings.format(folder=self.folder, **self.ports))
        file.chmod(0o600)
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen([*GATEWAY, str(file)], stdout=log, stderr=log)
        _wait(lambda: self._is_up(name), f"{name} does not start: see {self.folder}/{name}.log")

    def _is_up(self, name: str) -> bool:
        if self.running[name].poll() is not None:
            raise SystemExit(f"{name} has ended: see {self.folder}/{name}.log")
        return _accepts(self.ports[name])

    def kill(self, name: str) -> None:
        """End it as a power cut would."""
        self.running[name].kill()
        self.running.pop(name).wait()

    def client(self) -> "boto3.client":
        """Return a client that repeats nothing by itself, so that every answer is seen."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.ports['gateway']}",
            aws_access_key_id="DEMOKEY",
            aws_secret_access_key="demo-secret",
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}),
        )

    def work(self, number: int, stop: threading.Event) -> None:
        """Write and delete keys of one's own, and read each back, until told to stop."""
        dice, client = random.Random(number), self.client()
        while not stop.is_set():
            key = f"{number}/{dice.randrange(KEYS // CLIENTS)}"
            body = os.urandom(dice.randrange(1, 20_000)) if dice.random() < PUTS else None
            self.write(client, key, body)
            self.check(client, key)
            time.sleep(0.01)

    def write(self, client: "boto3.client", key: str, body: bytes | None) -> None:
        """Put a key, or delete it, and keep in mind what was promised."""
        state = None if body is None else hashlib.sha256(body).hexdigest()
        try:
            if body is None:
                client.delete_object(Bucket=BUCKET, Key=key)
            else:
                client.put_object(Bucket=BUCKET, Key=key, Body=body)
        except (ClientError, BotoCoreError) as error:
            said = getattr(error, "response", {}).get("ResponseMetadata", {}).get("HTTPHeaders", {})
            if said.get("x-gw-applied") == "no":
                self.answers["refused, certainly not done"] += 1
                return
            self.answers["outcome unknown"] += 1
            self.open.setdefault(key, set()).add(state)
            return
        self.answers["acknowledged"] += 1
        self.promised[key] = state
        self.open.pop(key, None)

    def check(self, client: "boto3.client", key: str) -> bool:
        """Read a key: what is found was promised, or nobody knows. Return whether anything was told."""
        try:
            found = hashlib.sha256(client.get_object(Bucket=BUCKET, Key=key)["Body"].read()).hexdigest()
        except client.exceptions.NoSuchKey:
            found = None
        except (ClientError, BotoCoreError):
            self.answers["read refused, for now"] += 1
            return False
        allowed = {self.promised.get(key), *self.open.get(key, ())}
        if found not in allowed:
            raise SystemExit(f"{key} is {found}, promised was {allowed}")
        self.answers["read, and as promised"] += 1
        return True

    def tell(self, what: str) -> None:
        """Print what is going on, and what clients were told since the last time."""
        told = ", ".join(f"{count} {answer}" for answer, count in sorted(self.answers.items()))
        self.answers.clear()
        print(f"{time.strftime('%H:%M:%S')}  {what:<40} {told}", flush=True)

    def mode(self) -> str:
        """Return the mode of the bucket, as the metrics tell it."""
        return _mode(self.ports["admin"])


def run(demo: Demo, seconds: float) -> None:
    """Go through an outage."""
    demo.start("cloud", CLOUD)
    demo.start("gateway", GATEWAY_SETTINGS)
    client = demo.client()
    _wait(lambda: _does(lambda: client.create_bucket(Bucket=BUCKET)), "the bucket cannot be created")
    stop = threading.Event()
    clients = [threading.Thread(target=_or_die, args=(demo, number, stop)) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    try:
        time.sleep(seconds / 4)
        demo.tell("all is well")
        demo.kill("cloud")
        _wait(lambda: demo.mode() == "FAILOVER", "the outage is not noticed")
        demo.tell("the cloud was killed: FAILOVER")
        time.sleep(seconds / 2)
        demo.tell("without the cloud")
        demo.start("cloud", CLOUD)
        _wait(lambda: demo.mode() == "NORMAL", "the cloud is not healed")
        demo.tell("the cloud is back, and healed: NORMAL")
        time.sleep(seconds / 4)
        demo.tell("all is well again")
    finally:
        stop.set()
        for thread in clients:
            thread.join()
    prove(demo, client)


def prove(demo: Demo, client: "boto3.client") -> None:
    """Compare what is there with what was promised: through the gateway, in the cloud, on the mirror."""
    for key in demo.promised:
        _wait(lambda key=key: demo.check(client, key), f"{key} cannot be read")
    kept = {key: state for key, state in demo.promised.items() if state and key not in demo.open}
    gone = {key for key, state in demo.promised.items() if state is None and key not in demo.open}
    for place in ("cloud", "mirror"):
        _wait(lambda place=place: _holds(demo.folder / place / BUCKET, kept, gone), f"{place} lacks something")
    print(f"{len(kept)} objects are in the cloud and on the mirror, each with the SHA-256 that was acknowledged")
    print(f"{len(gone)} deleted keys are absent from both")


def _holds(folder: Path, kept: dict[str, str], gone: set[str]) -> bool:
    found = {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file()
    }
    return kept.items() <= found.items() and not gone & found.keys()


def _mode(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    modes = [line for line in said.splitlines() if line.startswith("gateway_route_mode{") and line.endswith(" 1.0")]
    return modes[0].split('mode="')[1].split('"')[0] if modes else ""


def _or_die(demo: Demo, number: int, stop: threading.Event) -> None:
    try:
        demo.work(number, stop)
    except BaseException as error:  # noqa: BLE001  a promise was broken: nothing else matters any more
        print(error, file=sys.stderr, flush=True)
        os._exit(1)


def _does(act: Callable[[], object]) -> bool:
    try:
        act()
    except (ClientError, BotoCoreError):
        return False
    return True


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait(holds: Callable[[], bool], otherwise: str, patience: float = 120) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(otherwise)
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def main() -> None:
    """Run it in a folder that goes away if all went well."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--seconds", type=float, default=20, help="for how long clients work, waiting excluded")
    folder = Path(tempfile.mkdtemp(prefix="gateway-demo-"))
    demo = Demo(folder)
    try:
        run(demo, arguments.parse_args().seconds)
        shutil.rmtree(folder)
    finally:
        for name in list(demo.running):
            demo.kill(name)


if __name__ == "__main__":
    main()
