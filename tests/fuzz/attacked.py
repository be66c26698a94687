"""A gateway under attack: a real process whose folder is surrounded by canaries, and a client that trusts no answer."""

import hashlib
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import HealthCheck, settings

from gateway import sigv4
from gateway.sigv4 import UNSIGNED, Credentials, Request
from tests.gateway_process import GatewayProcess

PATIENCE_S = 20.0
SECRET = "s3cr3t-that-must-never-be-told"
PROBE = b"GET /open/probe HTTP/1.1\r\nHost: probe\r\n\r\n"
LAST = PROBE.replace(b"Host:", b"Connection: close\r\nHost:")
PROBED = b"what the probe holds"
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]+")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\r\n\x00]*)")
_CODE = re.compile(r"[A-Za-z0-9]+")

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
thorough = settings(
    max_examples=EXAMPLES or 60,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """S3's code of an error, "" if it is none."""
        found = re.search(rb"<Code>(\w+)</Code>", self.body)
        return found[1].decode() if found else ""

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


@dataclass
class Attacked:
    """The process, the folder around it, and what stands in there."""

    gateway: GatewayProcess
    secure: ssl.SSLContext | None = None
    credentials: Credentials = field(default_factory=lambda: Credentials("FUZZKEY", SECRET))

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.gateway.port}"

    def connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.gateway.port), PATIENCE_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.secure.wrap_socket(plain, server_hostname="localhost") if self.secure else plain

    def ask(self, data: bytes, methods: Sequence[str] = (), *, more: bool = False) -> list[Reply]:
        """Send bytes on a new connection, and return what is answered until it ends, checked.

        Unless there may be `more`, the server is told that this is all.
        """
        with self.connect() as client:
            try:
                client.sendall(data)
                if not self.secure and not more:
                    client.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it was refused before all of it was sent
            received = everything(client) if not self.secure else until_answered(client)
        return checked(received, methods)

    def one(self, data: bytes, method: str = "GET") -> Reply:
        """Send one request, and return its only answer."""
        *interim, reply = self.ask(data, [method])
        assert all(other.status == 100 for other in interim), [*interim, reply]
        return reply

    def signed(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        payload: str = UNSIGNED,
        credentials: Credentials | None = None,
    ) -> bytes:
        """Return the head of a request with a right signature, whatever else is in it."""
        path, _, query = target.partition("?")
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        sent = [("host", self.host), ("x-amz-date", now), ("x-amz-content-sha256", payload), *headers]
        folded = {name: value for name, value in sigv4.fold(sent).items() if name not in UNSIGNABLE}
        request = Request(method, path, query, folded)
        sent.append(("authorization", sigv4.authorization(request, credentials or self.credentials, now, payload)))
        return head(method, target, sent)

    def inside(self) -> Mapping[str, str]:
        """Return what is in the folder of objects, scratch and locks apart."""
        own = self.gateway.objects / ".gw"
        return dict(_tree(self.gateway.objects, {own / "tmp", own / "lock"}))

    def outside(self) -> Mapping[str, str]:
        """Return what is around it."""
        return dict(_tree(self.gateway.folder, {self.gateway.objects, self.gateway.folder / "log"}))

    def check_log(self) -> None:
        """Nothing unexpected happened, no secret was told, and every line is one event of ours."""
        for line in self.gateway.log.split("\n"):
            if line and not line.startswith("export AWS_"):
                event = json.loads(line)
                assert event["level"] == "info", line
                assert event["event"] in {"request", "audit", "serving", "draining"}, line
        check_secrets(self.gateway.log)


UNSIGNABLE = {"connection", "transfer-encoding", "expect", "content-length"}


def check_secrets(log: str) -> None:
    assert SECRET not in log
    assert "Traceback" not in log
    assert not re.search("Signature[=:]|SignedHeaders|Credential", log)
    assert not re.search(r"[0-9a-f]{64}", log), "a signature?"


def head(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def everything(client: socket.socket) -> bytes:
    """Return what comes until the connection ends."""
    received = bytearray()
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionResetError:
        pass
    return bytes(received)


def until_answered(client: socket.socket) -> bytes:
    """Return one answer: without half a connection a client of TLS cannot say that it has said everything."""
    received = bytearray()
    while data := client.recv(65536):
        received += data
        start, found, body = bytes(received).partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", start)
        if found and not start.startswith(b"HTTP/1.1 100") and (not length or len(body) >= int(length[1])):
            break
    return bytes(received)


def checked(received: bytes, methods: Sequence[str] = ()) -> list[Reply]:
    """Return the answers in what was received. Each is held to what is promised of all answers."""
    replies: list[Reply] = []
    asked = list(methods)
    while received:
        assert not (replies and replies[-1].closes), f"more after the last answer: {received[:200]!r}"
        reply, received = _reply(received, (asked or ["GET"])[0])
        if reply.status != 100:
            asked[:1] = []
        _check(reply)
        replies.append(reply)
    return replies


def _reply(received: bytes, method: str) -> tuple[Reply, bytes]:
    start, found, rest = received.partition(b"\r\n\r\n")
    assert found, f"an answer that ends in its head: {received[:300]!r}"
    first, *lines = start.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    assert status, first
    headers: dict[str, str] = {}
    for line in lines:
        part = _FIELD.fullmatch(line)
        assert part, f"a header that is none: {line!r}"
        name = part[1].decode().lower()
        assert name not in headers, f"a header twice: {name}"
        headers[name] = part[2].decode()
    number = int(status[1])
    if method == "HEAD" or number in {100, 204, 304}:
        return Reply(number, headers, b""), rest
    if "transfer-encoding" in headers:
        assert "content-length" not in headers
        body, rest = _chunks(rest)
        return Reply(number, headers, body), rest
    size = int(headers["content-length"])
    assert len(rest) >= size, f"an answer that ends short: {received[:300]!r}"
    return Reply(number, headers, rest[:size]), rest[size:]


def _chunks(rest: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, found, rest = rest.partition(b"\r\n")
        assert found
        size = int(line, 16)
        body += rest[:size]
        assert rest[size : size + 2] == b"\r\n"
        rest = rest[size + 2 :]
        if not size:
            return body, rest


def _check(reply: Reply) -> None:
    assert reply.status != 500, reply
    assert reply.status < 500 or (reply.status == 501 and reply.code in {"NotImplemented", ""}), reply
    if reply.status == 100:
        return
    assert re.fullmatch(r"[0-9A-F]{16}", reply.headers["x-amz-request-id"])
    if reply.status >= 400 and reply.body:
        assert reply.headers["content-type"] == "application/xml"
        error = ET.fromstring(_readable(reply.body))
        assert error.tag == "Error"
        assert _CODE.fullmatch(error.findtext("Code", ""))
        assert error.findtext("RequestId") == reply.headers["x-amz-request-id"]
        assert SECRET.encode() not in reply.body


def _readable(document: bytes) -> bytes:
    """Return a document that XML 1.0 can read: control characters are written as references, as S3 writes them."""
    return re.sub(rb"&#x(?:[0-8BCEF]|1[0-9A-F]|FFF[EF]);", b"?", document)


def _tree(folder: Path, without: set[Path]) -> Iterator[tuple[str, str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if path in without:
                continue
            if entry.is_symlink():
                yield entry.path, str(path.readlink())
            elif entry.is_dir():
                yield entry.path, "folder"
                yield from _tree(path, without)
            else:
                yield entry.path, hashlib.md5(path.read_bytes()).hexdigest()


def configuration(folder: Path, **extra: Any) -> dict[str, Any]:
    """Return the configuration of a gateway that is attacked; it waits for nobody, and for no disk."""
    return {
        "backends": {"disk": {"type": "local", "path": str(folder / "objects"), "fsync": False}},
        "keys": [{"access_key": "FUZZKEY", "secret_key": SECRET, "allow": ["*"]}],
        "buckets": {"open": {"backend": "disk", "public": "read"}, "*": {"backend": "disk"}},
        "log": {"format": "json"},
        "limits": {"header_timeout": "1s", "stall_timeout": "1s", "idle_timeout": "5s", "linger": "200ms"},
        **extra,
    }


def surround(folder: Path) -> None:
    """Put around and into the folder of objects what must neither be read nor changed."""
    (folder / "canary").write_text("canary")
    (folder / "beside").mkdir()
    (folder / "beside" / "canary").write_text("canary")
    for bucket in ("open", "private"):
        (folder / "objects" / bucket).mkdir(parents=True)
    (folder / "objects" / "open" / "probe").write_bytes(PROBED)
    (folder / "objects" / "private" / "key").write_bytes(b"old")
    (folder / "objects" / "open" / "link").symlink_to("../../canary")
    (folder / "objects" / "open" / "way").symlink_to("../../beside")
    (folder / "objects" / "outside").symlink_to("../beside")
