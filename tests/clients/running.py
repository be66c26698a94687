"""The gateway as its users run it, and the clients as theirs do: processes that know each other by settings alone."""

import hashlib
import json
import shlex
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from tests.behind import Behind
from tests.clients.setup import Environment
from tests.gateway_process import free_port

REGION = "us-east-1"
ACCESS_KEY = "CLIENTSEXAMPLEKEY"
TIMEOUT_S = 60
OWN = ".gw/"  # keys of the gateway's own, which no client sees
SECRET_KEY = "clients/example+secret/0123456789abcdefg"

_File = IO[bytes] | int


@dataclass(frozen=True)
class Endpoint:
    """A running gateway: where it is, whom to trust, and what it stands in front of."""

    scheme: str
    host: str
    authority: Path
    storage: Behind

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}"

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    def environment(self) -> dict[str, str]:
        """What a user exports for any client that reads AWS's variables."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def stored(self, bucket: str, folder: str = "") -> Mapping[str, str]:
        """Hash all in a folder, asking the storage itself: both halves of a client may share a mistake."""
        found = self.storage.stored(bucket, folder)
        return {key: sha256 for key, sha256 in found.items() if not key.startswith(OWN)}

    def sha256(self, bucket: str, key: str) -> str:
        """Hash what is stored under one key."""
        return self.stored(bucket, key)[""]

    def sha256_at(self, url: str) -> str:
        """Hash what a program that knows no S3 gets from `url`."""
        with urllib.request.urlopen(url, context=ssl.create_default_context(cafile=self.authority)) as answer:
            return hashlib.file_digest(answer, "sha256").hexdigest()


@dataclass(frozen=True)
class Client:
    """A program of a client's environment, run with nothing of ours around it but what its settings say."""

    endpoint: Endpoint
    environment: Environment
    home: Path
    program: tuple[str, ...]
    settings: dict[str, str]

    @property
    def folder(self) -> Path:
        return self.environment.folder

    def __call__(self, *arguments: object, stdin: Path | None = None, stdout: Path | None = None) -> str:
        """Run the program, which has to succeed; return its standard output."""
        with ExitStack() as files:
            source = files.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
            target = files.enter_context(stdout.open("wb")) if stdout else subprocess.PIPE
            done = self._run(arguments, source, target)
        if done.returncode != 0:
            said = f"{done.stdout}\n{done.stderr}"
            pytest.fail(f"{shlex.join(done.args)}\nended with status {done.returncode}\n{said}", pytrace=False)
        return done.stdout

    def fails(self, *arguments: object) -> str:
        """Run the program, which has to fail; return all it said."""
        done = self._run(arguments, subprocess.DEVNULL, subprocess.PIPE)
        assert done.returncode != 0, done
        return f"{done.stdout}\n{done.stderr}"

    def _run(self, arguments: Iterable[object], stdin: _File, stdout: _File) -> subprocess.CompletedProcess[str]:
        command = [str(self.environment.bin / self.program[0]), *self.program[1:], *map(str, arguments)]
        path = f"{self.environment.bin}:/usr/local/bin:/usr/bin:/bin"
        clean = {"PATH": path, "HOME": str(self.home), "TMPDIR": str(self.home), "LANG": "C.UTF-8", "TERM": "dumb"}
        options = {
            "cwd": self.home,
            "env": {**clean, **self.endpoint.environment(), **self.settings},
            "stdin": stdin,
            "stdout": stdout,
            "stderr": subprocess.PIPE,
            "text": True,
        }
        try:
            return subprocess.run(command, check=False, timeout=TIMEOUT_S, **options)
        except subprocess.TimeoutExpired as late:
            said = f"{late.stdout}\n{late.stderr}"
            pytest.fail(f"{shlex.join(command)}\nran longer than {TIMEOUT_S} s\n{said}", pytrace=False)


@contextmanager
def serving(folder: Path, tls: dict[str, str] | None, authority: Path, storage: Behind) -> Iterator[Endpoint]:
    """Run a gateway in `folder`; at the end it has to stop when told to, and to have met nothing unexpected."""
    host, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    config = {
        "listen": host,
        "admin": admin,
        "region": REGION,
        "domain": "s3.test",
        "workers": 1 if storage.kind == "memory" else 2,
        "keys": [{"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "allow": ["*"]}],
        "backends": {storage.kind: dict(storage.settings)},
        "buckets": {"*": {"backend": storage.kind}},
        **({"tls": tls} if tls else {}),
    }
    file = folder / "config.yaml"
    file.touch(mode=0o600)
    file.write_text(json.dumps(config))  # JSON is YAML
    with _process(folder, f"http://{admin}/readyz"):
        yield Endpoint("https" if tls else "http", host, authority, storage)


@contextmanager
def _process(folder: Path, ready: str) -> Iterator[None]:
    log = folder / "gateway.log"
    command = [Path(sys.executable).with_name("gateway"), "serve", "--config", folder / "config.yaml"]
    with log.open("wb") as output:
        gateway = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        _await_answer(ready, gateway, log)
        yield
        gateway.send_signal(signal.SIGTERM)
        assert gateway.wait(30) == 0, log.read_text()
    finally:
        gateway.kill()
        gateway.wait()
    unexpected = [line for line in log.read_text().splitlines() if "Traceback" in line or "InternalError" in line]
    assert not unexpected, "\n".join(unexpected)


def _await_answer(url: str, gateway: subprocess.Popen, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and gateway.poll() is None:
        try:
            direct.open(url, timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the gateway does not serve (status {gateway.poll()}):\n{log.read_text()}")
