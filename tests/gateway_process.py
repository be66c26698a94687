"""The gateway as a user runs it: a process of its own, a configuration file, real sockets."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config

GATEWAY = Path(sys.executable).parent / "gateway"
PATIENCE_S = 30
_UNGIVEN = range(15_000, 32_768)  # below what Linux gives out by itself


@dataclass
class GatewayProcess:
    """A gateway that can be killed and started again on the same folder and port.

    `folder` holds its objects, its configuration and its log. `extra` is laid over the configuration.
    """

    folder: Path
    access_key: str = "TESTKEY"
    secret_key: str = "test-secret-key"
    extra: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    program: Sequence[str] = (str(GATEWAY),)

    def __post_init__(self) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self.objects.mkdir(parents=True, exist_ok=True)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.config()))
        (self.folder / "config.yaml").chmod(0o600)

    @property
    def objects(self) -> Path:
        return self.folder / "objects"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def config(self) -> dict[str, Any]:
        return {
            "listen": f"127.0.0.1:{self.port}",
            "admin": f"127.0.0.1:{self.admin_port}",
            "workers": 1,
            "keys": [{"access_key": self.access_key, "secret_key": self.secret_key, "allow": ["*"]}],
            "backends": {"disk": {"type": "local", "path": str(self.objects)}},
            "buckets": {"*": {"backend": "disk"}},
            **self.extra,
        }

    def start(self) -> None:
        """Start the process, and return when it is ready to serve."""
        command = [*self.program, "serve", "--config", str(self.folder / "config.yaml")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, **self.environment}
            )
        deadline = time.monotonic() + PATIENCE_S
        while not self.ready():
            assert self.process.poll() is None, f"the gateway ended:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, f"the gateway is not ready:\n{self.log[-3000:]}"
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would, its workers with it."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        """Ask it to end, and return its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def client(self, **config: Any) -> Any:
        """Return a boto3 client that never repeats a request by itself."""
        options = Config(**{"retries": {"total_max_attempts": 1}, "max_pool_connections": 50, **config})
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name="us-east-1",
            config=options,
        )

    def ready(self) -> bool:
        """Say whether it serves."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=PATIENCE_S) as answer:
                return answer.status == 200
        except (OSError, urllib.error.URLError):
            return False


def until(found: Callable[[], Any], patience: float = PATIENCE_S) -> Any:
    """Return what is found as soon as it is anything."""
    deadline = time.monotonic() + patience
    while not (answer := found()):
        assert time.monotonic() < deadline, "it was waited for in vain"
        time.sleep(0.05)
    return answer


@contextlib.contextmanager
def running(gateway: GatewayProcess) -> Iterator[GatewayProcess]:
    """Start a gateway, and leave nothing of it running."""
    gateway.start()
    try:
        yield gateway
    finally:
        if gateway.process.poll() is None:
            gateway.kill()


def free_port() -> int:
    """Return a port that nobody listens on now, and that the system gives to nobody who asks for any port.

    A test to whom it gave the port of a server that is gone would be asked what was meant for that one.
    """
    while True:
        port = secrets.choice(_UNGIVEN)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that ended do not matter
            probe.bind(("127.0.0.1", port))
            return port
