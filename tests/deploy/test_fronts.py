"""Behind nginx and Caddy, as deploy/ configures them, everything that is signed arrives as it was signed."""

import contextlib
import hashlib
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from tests.deploy.tools import DEPLOY, program
from tests.gateway_process import GatewayProcess, free_port, running

PATIENCE_S = 30
KEYS = [
    "plain",
    "a/b c+d&e=f?g#h",
    "ü/ö/ß €",
    "100%25",
    "a//b",
    "a/./b",
    "a/../b",
    "tilde~(bracket)'quote'",
    "end/",
    "a%2Fb",
]
NGINX = """
pid {folder}/nginx.pid;
error_log {folder}/error.log;
user root;
daemon off;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {site}
}}
"""


@dataclass
class Front:
    """A proxy before a gateway."""

    name: str
    port: int
    gateway: GatewayProcess

    def client(self, **config: Any) -> Any:
        """Return a client that never repeats a request, and waits for nothing that the gateway has not said."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=self.gateway.access_key,
            aws_secret_access_key=self.gateway.secret_key,
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **config),
        )

    def in_flight(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.gateway.admin_port}/metrics", timeout=10) as answer:
            return int(float(re.search(r"^gateway_requests_in_flight (\S+)$", answer.read().decode(), re.MULTILINE)[1]))


def _nginx(folder: Path, port: int, upstream: int) -> list[str]:
    site = (DEPLOY / "nginx" / "gateway.conf").read_text()
    for there, here in (
        ("server 127.0.0.1:9000", f"server 127.0.0.1:{upstream}"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{port};"),
        ("    ssl_certificate /etc/nginx/tls/s3.crt;\n", ""),
        ("    ssl_certificate_key /etc/nginx/tls/s3.key;\n", ""),
        ("/var/log/nginx/s3.log", f"{folder}/access.log"),
    ):
        assert there in site
        site = site.replace(there, here)
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, site=site))
    return [program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def _caddy(folder: Path, port: int, upstream: int) -> list[str]:
    site = (DEPLOY / "caddy" / "Caddyfile").read_text()
    for there, here in (
        ("s3.example.com {", f"http://127.0.0.1:{port} {{"),
        ("127.0.0.1:9000", f"127.0.0.1:{upstream}"),
    ):
        assert there in site
        site = site.replace(there, here)
    (folder / "Caddyfile").write_text(f"{{\n\tadmin off\n}}\n{site}")
    return [program("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


@pytest.fixture(scope="module", params=[_nginx, _caddy], ids=["nginx", "caddy"])
def front(request, tmp_path_factory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    gateway, port = GatewayProcess(folder / "gateway"), free_port()
    command = request.param(folder, port, gateway.port)
    with (
        running(gateway),
        (folder / "front.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder)}) as process,
    ):
        try:
            _wait(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
            front = Front(request.param.__name__, port, gateway)
            front.client().create_bucket(Bucket="media")
            yield front
        finally:
            process.terminate()


def _wait(happened: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(OSError):
            if happened():
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("key", KEYS)
def test_keys_of_any_letters_arrive_as_they_are(front: Front, key: str):
    client = front.client()
    client.put_object(Bucket="media", Key=key, Body=key.encode())
    assert client.get_object(Bucket="media", Key=key)["Body"].read() == key.encode()
    direct = front.gateway.client().list_objects_v2(Bucket="media")
    assert key in [one["Key"] for one in direct["Contents"]]
    client.delete_object(Bucket="media", Key=key)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("key", KEYS)
def test_presigned_urls_are_served(front: Front, version: str, key: str):
    front.gateway.client().put_object(Bucket="media", Key=key, Body=b"presigned")
    client = front.client(signature_version=version)
    url = client.generate_presigned_url("get_object", Params={"Bucket": "media", "Key": key})
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == b"presigned"
    front.gateway.client().delete_object(Bucket="media", Key=key)


def test_metadata_of_any_name_arrives(front: Front):
    metadata = {"under_score": "a", "dot.ted": "b", "dash-ed": "c"}
    client = front.client()
    client.put_object(Bucket="media", Key="labelled", Body=b"", Metadata=metadata)
    arrived = front.gateway.client().head_object(Bucket="media", Key="labelled")["Metadata"]
    assert arrived == metadata
    returned = client.head_object(Bucket="media", Key="labelled")["Metadata"]
    if front.name == "_caddy":  # writes the names of headers in its own way, which the page says
        returned = {name.lower(): value for name, value in returned.items()}
    assert returned == metadata


def test_a_large_object_goes_through_in_both_directions(front: Front):
    body = hashlib.sha256(b"seed").digest() * (20 * 1024 * 1024 // 32)
    client = front.client()
    client.put_object(Bucket="media", Key="large", Body=body, ChecksumAlgorithm="SHA256")
    assert client.get_object(Bucket="media", Key="large")["Body"].read() == body


def test_an_upload_reaches_the_gateway_while_it_is_sent(front: Front):
    url = urlsplit(front.client().generate_presigned_url("put_object", Params={"Bucket": "media", "Key": "slow"}))
    head = f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 2000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) as sock:
        sock.sendall(head.encode() + bytes(1_000_000))
        _wait(lambda: front.in_flight() == 1)
        sock.sendall(bytes(1_000_000))
        assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    assert front.client().head_object(Bucket="media", Key="slow")["ContentLength"] == 2_000_000


def test_the_log_of_nginx_holds_no_signature(front: Front):
    log = Path(front.gateway.folder).parent / "access.log"
    if front.name != "_nginx":
        pytest.skip("Caddy writes no access log unless told to")
    front.client().generate_presigned_url("get_object", Params={"Bucket": "media", "Key": "large"})
    assert "/media/large" in log.read_text()
    assert "Signature" not in log.read_text()
