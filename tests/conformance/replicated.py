"""A gateway whose every bucket has a fallback and a mirror, in the mode in which it is to be tested."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from botocore.exceptions import ClientError

from tests.gateway_process import GATEWAY, GatewayProcess, running

ACCOUNT = {"access_key": "FARKEY", "secret_key": "far-secret-key"}
OWNER = {"access_key": "BEFOREKEY", "secret_key": "before-secret-key"}  # of what is there before the suite
PROGRAM = (sys.executable, str(Path(__file__).with_name("unbraked.py")))
BEFORE = "traffic-before"
PATIENCE_S = 60
_QUIET = {"log": {"level": "warning"}}


@contextmanager
def replicated(mode: str, folder: Path, config: Mapping[str, Any]) -> Iterator[GatewayProcess]:
    """Start a gateway, have it serve some requests in NORMAL, and bring it to a mode, in which it stays."""
    with ExitStack() as started:
        primary, go_on = MODES[mode](folder, started)
        settings = {
            **config,
            **_QUIET,
            "keys": [*config["keys"], {**OWNER, "owner": {"id": "somebody", "display_name": "else"}, "allow": ["*"]}],
            "state": f"sqlite:///{folder}/state.db",
            "replication": {"down_after": "1s", "up_after": "1s", "hold": "1s"},
            "backends": {"primary": primary, "fallback": _disk(folder, "fallback"), "mirror": _disk(folder, "mirror")},
            "buckets": {
                "*": {**config["buckets"]["*"], "backend": "primary", "fallback": "fallback", "mirrors": ["mirror"]}
            },
        }
        gateway = started.enter_context(running(GatewayProcess(folder, **OWNER, extra=settings, program=PROGRAM)))
        client = gateway.client()
        client.create_bucket(Bucket=BEFORE)
        for number in range(20):
            client.put_object(Bucket=BEFORE, Key=str(number), Body=b"before")
        go_on(gateway)
        yield gateway


_Started = tuple[Mapping[str, Any], Callable[[GatewayProcess], None]]


def _normal(folder: Path, _: ExitStack) -> _Started:
    return _disk(folder, "primary"), lambda _: None


def _failover(folder: Path, started: ExitStack) -> _Started:
    """Kill the server that the primary is."""
    far = started.enter_context(running(GatewayProcess(folder / "far", **ACCOUNT, extra=_QUIET)))
    account = {"type": "s3", "endpoint": far.endpoint, "dialect": "aws", "addressing": "path", **ACCOUNT}

    def kill(gateway: GatewayProcess) -> None:
        far.kill()
        _eventually(lambda: gateway.client().put_object(Bucket=BEFORE, Key="0", Body=b"after"))

    return account, kill


def _healing(folder: Path, _: ExitStack) -> _Started:
    """Leave one object that can never be healed: its bucket has vanished from the primary."""

    def fail_over_and_back(gateway: GatewayProcess) -> None:
        order = [GATEWAY, "failover", "*", "--config", folder / "config.yaml"]
        subprocess.run([*order, "--to", "fallback"], check=True)
        _eventually(lambda: gateway.client().put_object(Bucket=BEFORE, Key="stuck", Body=b"stuck"))
        shutil.rmtree(folder / "primary" / BEFORE)
        subprocess.run([*order, "--back"], check=True)

    return _disk(folder, "primary"), fail_over_and_back


def _disk(folder: Path, name: str) -> Mapping[str, Any]:
    (folder / name).mkdir(exist_ok=True)
    return {"type": "local", "path": str(folder / name)}


def _eventually(act: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            act()
        except ClientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


MODES: Mapping[str, Callable[[Path, ExitStack], _Started]] = MappingProxyType(
    {"replicated-normal": _normal, "replicated-failover": _failover, "replicated-healing": _healing}
)
