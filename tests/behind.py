"""What a gateway may stand in front of: each kind of backend as users configure it, its server a process of its own."""

import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import boto3

from tests.clients.files import hashes
from tests.doubles.moto import moto_server
from tests.gateway_process import GatewayProcess, running

ROOT = Path(__file__).resolve().parents[1]
KEYS = {"access_key": "BEHINDKEY", "secret_key": "behind-secret-key"}


@dataclass(frozen=True)
class Behind:
    """A backend: its section of the configuration, and a way to its bytes that does not lead through the gateway.

    `stored(bucket, prefix)` gives the SHA-256 of every object whose key begins so, by the rest of its key.
    """

    kind: str
    settings: Mapping[str, Any]
    stored: Callable[[str, str], Mapping[str, str]]


@contextmanager
def behind(kind: str, folder: Path) -> Iterator[Behind]:
    """Start what a backend of this kind needs; what is kept on disk is kept in `folder`."""
    with ExitStack() as servers:
        settings, stored = KINDS[kind](folder, servers)
        yield Behind(kind, settings, stored)


def kinds(wanted: str) -> list[str]:
    """Return the kinds of that name, or those of the family: "s3" is "s3-moto" and the others."""
    found = [kind for kind in KINDS if kind == wanted or kind.startswith(f"{wanted}-")]
    if not found:
        raise ValueError(f"{wanted!r} is no kind of backend: {', '.join(KINDS)}")
    return found


_Opened = tuple[dict[str, Any], Callable[[str, str], Mapping[str, str]]]


def _local(folder: Path, _: ExitStack) -> _Opened:
    objects = folder / "objects"
    objects.mkdir(exist_ok=True)
    return {"type": "local", "path": str(objects)}, _on_disk(objects)


def _memory(_: Path, __: ExitStack) -> _Opened:
    def unseen(bucket: str, prefix: str) -> Mapping[str, str]:
        raise NotImplementedError("nothing but the gateway can look into its memory")

    return {"type": "memory"}, unseen


def _moto(_: Path, servers: ExitStack) -> _Opened:
    url = f"http://127.0.0.1:{servers.enter_context(moto_server())}"

    def stored(bucket: str, prefix: str) -> Mapping[str, str]:
        account = boto3.resource("s3", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any")
        objects = account.Bucket(bucket).objects.filter(Prefix=prefix)
        return {found.key.removeprefix(prefix): _sha256(found.get()["Body"].read()) for found in objects}

    return {"type": "s3", "endpoint": url, "dialect": "moto", **KEYS}, stored


def _gateway(folder: Path, servers: ExitStack) -> _Opened:
    upstream = GatewayProcess(folder / "upstream", **KEYS, extra={"log": {"level": "warning"}})
    servers.enter_context(running(upstream))
    account = {"type": "s3", "endpoint": upstream.endpoint, "dialect": "aws", "addressing": "path", **KEYS}
    return account, _on_disk(upstream.objects)


def _r2(folder: Path, servers: ExitStack) -> _Opened:
    account, stored = _gateway(folder, servers)
    url = _announced("tests.doubles.r2_strict", account["endpoint"], servers=servers)
    return {**account, "endpoint": url, "dialect": "r2", "region": "us-east-1"}, stored


def _generic(folder: Path, servers: ExitStack) -> _Opened:
    account, stored = _gateway(folder, servers)
    return {**account, "dialect": "generic"}, stored


def _gcs(_: Path, servers: ExitStack) -> _Opened:
    url = _announced("tests.doubles.gcs", servers=servers)
    api = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def stored(bucket: str, prefix: str) -> Mapping[str, str]:
        objects = f"{url}/storage/v1/b/{bucket}/o"
        with api.open(f"{objects}?prefix={quote(prefix, safe='')}") as answer:
            page = json.load(answer)
        assert "nextPageToken" not in page
        found = {}
        for item in page.get("items", ()):
            with api.open(f"{objects}/{quote(item['name'], safe='')}?alt=media") as answer:
                found[item["name"].removeprefix(prefix)] = _sha256(answer.read())
        return found

    return {"type": "gcs", "project": "acme", "endpoint": url}, stored


KINDS: Mapping[str, Callable[[Path, ExitStack], _Opened]] = MappingProxyType(
    {
        "local": _local,
        "memory": _memory,
        "s3-moto": _moto,
        "s3-gateway": _gateway,
        "s3-r2": _r2,
        "generic": _generic,
        "gcs": _gcs,
    }
)


def _on_disk(objects: Path) -> Callable[[str, str], Mapping[str, str]]:
    def stored(bucket: str, prefix: str) -> Mapping[str, str]:
        found = hashes(objects / bucket)
        return {key.removeprefix(prefix): sha256 for key, sha256 in found.items() if key.startswith(prefix)}

    return stored


def _announced(module: str, *arguments: str, servers: ExitStack) -> str:
    """Run a double that says on its first line at which URL it is."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    servers.callback(process.wait)
    servers.callback(process.kill)
    assert process.stdout is not None
    servers.callback(process.stdout.close)
    url = process.stdout.readline().strip()
    assert url, f"{module} does not start"
    return url


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
