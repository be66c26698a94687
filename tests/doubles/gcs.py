"""Google Cloud Storage's JSON API in the memory of a server: as strict as the real one, and it fails on order.

Unknown parameters and fields are refused, so that nothing is taken for done that the storage would not do.
https://cloud.google.com/storage/docs/json_api/v1
"""

import asyncio
import gzip
import hashlib
import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.parser import BytesParser
from functools import cached_property
from secrets import token_hex
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from awscrt import checksums as crt

STEP = 256 * 1024
SOURCES = 32
CALLS = 100
CALL = re.compile(rb"DELETE (/storage/v1/[^ \r\n]+) HTTP/1\.1\r\n")
FIELDS = ("contentType", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage")
WRITABLE = {*FIELDS, "name", "metadata", "md5Hash", "crc32c"}
KNOWN = {*WRITABLE, "generation", "metageneration", "size", "timeCreated", "updated", "componentCount", "bucket"}
PRECONDITIONS = {"ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"}
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class RefusedError(Exception):
    """An error as the storage tells it."""

    def __init__(self, status: int, message: str, reason: str = "invalid") -> None:
        super().__init__(message)
        self.status, self.message, self.reason = status, message, reason

    def answer(self) -> web.Response:
        entry = {"message": self.message, "domain": "global", "reason": self.reason}
        content = {"error": {"code": self.status, "message": self.message, "errors": [entry]}}
        return web.json_response(content, status=self.status)


@dataclass
class Fault:
    """What is to go wrong with the requests whose method and decoded path and query contain these.

    `status` is answered instead of doing it; `lost`: it is done, and the connection cut; `stall`: it is not answered;
    `cut_after`: the connection is cut behind so many bytes of the answer; `unread`: cut after so many of the request.
    The first `skips` such requests are spared.
    """

    method: str = ""
    path: str = ""
    status: int = 0
    reason: str = "backendError"
    lost: bool = False
    stall: bool = False
    cut_after: int | None = None
    unread: int | None = None
    skips: int = 0
    times: int = 1

    def takes(self, request: "web.Request | Inner") -> bool:
        """Say whether it is the turn of this request."""
        if not self.times or self.method not in request.method or self.path not in unquote(request.raw_path):
            return False
        if self.skips:
            self.skips -= 1
            return False
        self.times -= 1
        return True


@dataclass
class Blob:
    name: str
    data: bytes
    resource: dict[str, Any]
    generation: int
    metageneration: int = 1
    components: int = 0
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    def told(self) -> dict[str, Any]:
        told = {
            **self.resource,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "size": str(len(self.data)),
            "crc32c": self.crc32c,
            "timeCreated": moment(self.created),
            "updated": moment(self.updated),
        }
        return told | ({"componentCount": self.components} if self.components else {"md5Hash": self.md5})

    @cached_property
    def crc32c(self) -> str:
        return crc32c(self.data)

    @cached_property
    def md5(self) -> str:
        return md5(self.data)


@dataclass
class Bucket:
    name: str
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    blobs: dict[str, Blob] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        return {"name": self.name, "timeCreated": moment(self.created)}


@dataclass
class Session:
    bucket: str
    resource: dict[str, Any]
    query: Mapping[str, str]
    data: bytearray = field(default_factory=bytearray)
    done: dict[str, Any] | None = None


@dataclass
class Inner:
    """A request within another."""

    method: str
    raw_path: str
    headers: Mapping[str, str]

    @property
    def query(self) -> Mapping[str, str]:
        return dict(parse_qsl(self.raw_path.partition("?")[2], strict_parsing="?" in self.raw_path))


class Gcs:
    """The storage. `keeps` is how many bytes of a step it persists at most; `tokens` are those it accepts, if set."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.sessions: dict[str, Session] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.tokens: set[str] | None = None
        self.token_life = 3600
        self.tokens_given = 0
        self.rewrite_step = 2 * 1024 * 1024
        self.keeps: int | None = None
        self.url = ""
        self._generation = 1_700_000_000_000_000

    @asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator["Gcs"]:
        """Serve on a port of this machine."""
        app = web.Application(handler_args={"read_bufsize": STEP})
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", port)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield self
        finally:
            await runner.cleanup()

    def blob(self, bucket: str, name: str) -> Blob:
        """Return what is stored, for tests to look at or to change."""
        return self.buckets[bucket].blobs[name]

    def write(self, bucket: str, name: str, data: bytes, **resource: Any) -> Blob:
        """Store an object as other programs do."""
        return self._store(bucket, {"name": name, **resource}, data, {})

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(f"{request.method} {unquote(request.raw_path)}")
        fault = next((fault for fault in self.faults if fault.takes(request)), Fault())
        if fault.stall:
            await asyncio.sleep(3600)
        if fault.unread is not None:
            await request.content.read(fault.unread)
            return _cut(request)
        if fault.status:
            return RefusedError(fault.status, "out of order", fault.reason).answer()
        try:
            response = await self._answer(request)
        except RefusedError as error:
            return error.answer()
        if fault.lost:
            return _cut(request)
        if fault.cut_after is not None:
            return await _send_some(request, response, fault.cut_after)
        return response

    async def _answer(self, request: "web.Request | Inner") -> web.Response:
        path = request.raw_path.partition("?")[0]
        if path == "/token":
            return await self._give_token(request)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens is not None and bearer not in self.tokens:
            raise RefusedError(401, "Invalid Credentials", "authError")
        for method, pattern, answer in self._routes():
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                return await answer(request, *map(unquote, found.groups()))
        raise RefusedError(404, f"Not Found: {request.method} {path}", "notFound")

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        bucket, one, api = "/b/([^/]+)", "/b/([^/]+)/o/([^/]+)", "/storage/v1"
        return [
            ("GET", f"{api}/b", self._list_buckets),
            ("POST", f"{api}/b", self._create_bucket),
            ("GET", f"{api}{bucket}", self._get_bucket),
            ("DELETE", f"{api}{bucket}", self._delete_bucket),
            ("GET", f"{api}{bucket}/o", self._list),
            ("GET", f"{api}{one}", self._get),
            ("PATCH", f"{api}{one}", self._patch),
            ("DELETE", f"{api}{one}", self._delete),
            ("POST", f"{api}{one}/compose", self._compose),
            ("POST", f"{api}{one}/rewriteTo{one}", self._rewrite),
            ("POST", f"/upload{api}{bucket}/o", self._upload),
            ("PUT", "/session/([0-9a-f]+)", self._continue),
            ("DELETE", "/session/([0-9a-f]+)", self._cancel),
            ("POST", "/batch/storage/v1", self._batch),
        ]

    # --- buckets ---

    async def _list_buckets(self, request: web.Request) -> web.Response:
        query = _query(request, {"project", "maxResults", "pageToken", "fields"}, {"project"})
        names = sorted(name for name in self.buckets if name > query.get("pageToken", ""))
        most = int(query.get("maxResults", "1000"))
        answer: dict[str, Any] = {"items": [self.buckets[name].told() for name in names[:most]]}
        if len(names) > most:
            answer["nextPageToken"] = names[most - 1]
        return _json(answer, query)

    async def _create_bucket(self, request: web.Request) -> web.Response:
        query = _query(request, {"project", "fields"}, {"project"})
        content = _known(await request.json(), {"name", "location", "storageClass"})
        if not BUCKET_NAME.fullmatch(content["name"]):
            raise RefusedError(400, f"Invalid bucket name: '{content['name']}'")
        if content["name"] in self.buckets:
            raise RefusedError(409, "Your previous request to create the named bucket succeeded.", "conflict")
        bucket = self.buckets[content["name"]] = Bucket(content["name"])
        return _json(bucket.told(), query)

    async def _get_bucket(self, request: web.Request, name: str) -> web.Response:
        return _json(self._bucket(name).told(), _query(request, {"fields"}))

    async def _delete_bucket(self, request: web.Request, name: str) -> web.Response:
        _query(request, set())
        if self._bucket(name).blobs:
            raise RefusedError(409, "The bucket you tried to delete is not empty.", "conflict")
        del self.buckets[name]
        return web.Response(status=204)

    def _bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise RefusedError(404, "The specified bucket does not exist.", "notFound")
        return self.buckets[name]

    # --- objects ---

    async def _list(self, request: web.Request, name: str) -> web.Response:
        allowed = {"prefix", "delimiter", "startOffset", "endOffset", "maxResults", "pageToken", "fields"}
        query = _query(request, allowed)
        bucket = self._bucket(name)
        most = int(query.get("maxResults", "1000"))
        if not 1 <= most <= 1000:
            raise RefusedError(400, "Invalid maxResults")
        behind = b64decode(query["pageToken"]).decode() if "pageToken" in query else ""
        token, items = "", []
        prefixes = []
        for key in sorted(bucket.blobs):
            common = _common(key, query)
            if not _is_listed(key, query) or key <= behind or (common and common <= behind):
                continue
            if common in prefixes:
                continue
            if len(items) + len(prefixes) == most:
                return _json({"items": items, "prefixes": prefixes, "nextPageToken": token}, query)
            if common:
                prefixes.append(common)
            else:
                items.append(bucket.blobs[key].told())
            token = b64encode((common or key).encode()).decode()
        return _json({"items": items, "prefixes": prefixes}, query)

    async def _get(self, request: web.Request, bucket: str, name: str) -> web.Response:
        query = _query(request, {"alt", "generation", "fields", *PRECONDITIONS})
        blob = self._blob(bucket, name, query.get("generation"))
        _check(blob, query)
        return self._media(request, blob) if query.get("alt") == "media" else _json(blob.told(), query)

    def _media(self, request: web.Request, blob: Blob) -> web.Response:
        data, encoding = blob.data, blob.resource.get("contentEncoding", "")
        headers = {"Content-Type": blob.resource.get("contentType", "application/octet-stream")}
        headers["X-Goog-Generation"] = str(blob.generation)
        if encoding == "gzip" and "gzip" not in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=gzip.decompress(data), headers=headers)
        if encoding:
            headers["Content-Encoding"] = encoding
        wanted = request.headers.get("Range")
        if wanted is None:
            return web.Response(body=data, headers=headers)
        first, last = (int(end) for end in wanted.removeprefix("bytes=").split("-"))
        if first >= len(data):
            raise RefusedError(416, "The requested range cannot be satisfied.", "requestedRangeNotSatisfiable")
        headers["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
        return web.Response(status=206, body=data[first : last + 1], headers=headers)

    async def _patch(self, request: web.Request, bucket: str, name: str) -> web.Response:
        query = _query(request, {"fields", *PRECONDITIONS})
        content = _known(await request.json(), {*FIELDS, "metadata"})
        blob = self._blob(bucket, name)
        _check(blob, query)
        metadata = {**blob.resource.get("metadata", {}), **content.get("metadata", {})}
        content["metadata"] = {name: value for name, value in metadata.items() if value is not None}
        _check_metadata(content)
        changed = Blob(blob.name, blob.data, {**blob.resource, **content}, blob.generation, blob.metageneration + 1)
        changed.components, changed.created = blob.components, blob.created
        self.buckets[bucket].blobs[name] = changed
        return _json(changed.told(), query)

    async def _delete(self, request: web.Request, bucket: str, name: str) -> web.Response:
        query = _query(request, PRECONDITIONS)
        _check(self._blob(bucket, name), query)
        del self.buckets[bucket].blobs[name]
        return web.Response(status=204)

    async def _batch(self, request: web.Request) -> web.Response:
        kind = request.headers["Content-Type"]
        message = BytesParser().parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + await _read(request))
        calls = message.get_payload()
        if message.get_content_type() != "multipart/mixed" or not isinstance(calls, list) or len(calls) > CALLS:
            raise RefusedError(400, "The batch request is malformed or has too many calls.")
        boundary, answers = f"batch_{token_hex(8)}", []
        for call in calls:
            answer = await self._answer_inner(call, request.headers)
            head = f"--{boundary}\r\nContent-Type: application/http\r\n"
            named = f"Content-ID: <response-{call['Content-ID'].strip('<>')}>\r\n\r\n" if call["Content-ID"] else "\r\n"
            status = f"HTTP/1.1 {answer.status} {answer.reason}\r\nContent-Length: {len(answer.body or b'')}\r\n\r\n"
            answers.append((head + named + status).encode() + (answer.body or b"") + b"\r\n")
        content = b"".join(answers) + f"--{boundary}--\r\n".encode()
        return web.Response(body=content, headers={"Content-Type": f"multipart/mixed; boundary={boundary}"})

    async def _answer_inner(self, call: Message, headers: Mapping[str, str]) -> web.Response:
        line = CALL.match(call.get_payload(decode=True) or b"")
        if call.get_content_type() != "application/http" or line is None:
            raise RefusedError(400, "The batch request has a part that is no call.")
        inner = Inner("DELETE", line[1].decode(), {"Authorization": headers.get("Authorization", "")})
        self.requests.append(f"inner DELETE {unquote(inner.raw_path)}")
        fault = next((fault for fault in self.faults if fault.takes(inner)), Fault())
        if fault.status:
            return RefusedError(fault.status, "out of order", fault.reason).answer()
        try:
            return await self._answer(inner)
        except RefusedError as error:
            return error.answer()

    async def _compose(self, request: web.Request, bucket: str, name: str) -> web.Response:
        query = _query(request, {"fields", *PRECONDITIONS})
        content = _known(await request.json(), {"sourceObjects", "destination"})
        sources = [_known(source, {"name", "objectPreconditions"}) for source in content["sourceObjects"]]
        if not 1 <= len(sources) <= SOURCES:
            raise RefusedError(400, f"The number of source components provided ({len(sources)}) exceeds {SOURCES}")
        blobs = [self._blob(bucket, source["name"]) for source in sources]
        for blob, source in zip(blobs, sources, strict=True):
            _check(blob, _known(source.get("objectPreconditions", {}), {"ifGenerationMatch"}))
        data = b"".join(blob.data for blob in blobs)
        made = self._store(bucket, {**content["destination"], "name": name}, data, query)
        made.components = sum(max(blob.components, 1) for blob in blobs)
        return _json(made.told(), query)

    async def _rewrite(self, request: web.Request, *names: str) -> web.Response:
        query = _query(request, {"fields", "sourceGeneration", "rewriteToken", *PRECONDITIONS})
        source_bucket, source, bucket, name = names
        content = await request.json()
        blob = self._blob(source_bucket, source, query.get("sourceGeneration"))
        done = int(query.get("rewriteToken", "0")) + self.rewrite_step
        if done < len(blob.data):
            _check(self._bucket(bucket).blobs.get(name), query)
            return web.json_response({"done": False, "rewriteToken": str(done)})
        made = self._store(bucket, {**content, "name": name}, blob.data, query)
        made.components = blob.components
        return web.json_response({"done": True, "resource": made.told()})

    def _blob(self, bucket: str, name: str, generation: str | None = None) -> Blob:
        blob = self._bucket(bucket).blobs.get(name)
        if blob is None or (generation and generation != str(blob.generation)):
            raise RefusedError(404, f"No such object: {bucket}/{name}", "notFound")
        return blob

    def _store(self, bucket: str, resource: Mapping[str, Any], data: bytes, query: Mapping[str, str]) -> Blob:
        resource = dict(_known(resource, WRITABLE))
        name, blobs = resource.pop("name"), self._bucket(bucket).blobs
        _check_name(name)
        _check_metadata(resource)
        _check(blobs.get(name), query)
        hashes = {name: resource.pop(name) for name in ("md5Hash", "crc32c") if name in resource}
        self._generation += 1
        blob = Blob(name, bytes(data), resource, self._generation)
        if hashes.get("md5Hash", blob.md5) != blob.md5 or hashes.get("crc32c", blob.crc32c) != blob.crc32c:
            raise RefusedError(400, "Provided hash doesn't match calculated hash.")
        blobs[name] = blob
        return blob

    # --- uploads ---

    async def _upload(self, request: web.Request, bucket: str) -> web.Response:
        query = _query(request, {"uploadType", "name", "fields", *PRECONDITIONS}, {"uploadType"})
        if query["uploadType"] == "resumable":
            self._bucket(bucket)
            content = _known(await request.json(), WRITABLE)
            session = token_hex(16)
            self.sessions[session] = Session(bucket, {**content, "name": query.get("name", content.get("name"))}, query)
            return web.Response(headers={"Location": f"{self.url}/session/{session}"})
        if query["uploadType"] != "multipart":
            raise RefusedError(400, "Invalid uploadType")
        resource, data = _related(request, await _read(request))
        return _json(self._store(bucket, resource, data, query).told(), query)

    async def _continue(self, request: web.Request, name: str) -> web.Response:
        session = self.sessions.get(name)
        if session is None:
            raise RefusedError(404, "No such session", "notFound")
        found = CONTENT_RANGE.fullmatch(request.headers.get("Content-Range", ""))
        if found is None:
            raise RefusedError(400, "Failed to parse Content-Range header.")
        data = await _read(request)
        if session.done is None:
            self._receive(request, session, found, data)
        if session.done is not None:
            return _json(session.done, session.query)
        span = {"Range": f"bytes=0-{len(session.data) - 1}"} if session.data else {}
        return web.Response(status=308, headers=span)

    def _receive(self, request: web.Request, session: Session, found: re.Match[str], data: bytes) -> None:
        first, last, total = found.groups()
        if first is not None:
            if int(first) != len(session.data) or int(last) - int(first) + 1 != len(data):
                raise RefusedError(400, "Bytes are missing or come twice.")
            if total == "*" and len(data) % STEP:
                raise RefusedError(400, "A step that is not the last is no multiple of 256 KiB.")
            keep, self.keeps = self.keeps, None
            session.data += data[:keep]
        if total == "*" or int(total) != len(session.data):
            return
        hashes = dict(h.strip().split("=", 1) for h in request.headers.get("X-Goog-Hash", "").split(",") if h)
        checked = {"crc32c": hashes["crc32c"]} if "crc32c" in hashes else {}
        resource = {**session.resource, **checked}
        session.done = self._store(session.bucket, resource, bytes(session.data), session.query).told()

    async def _cancel(self, request: web.Request, name: str) -> web.Response:
        return web.Response(status=499 if self.sessions.pop(name, None) else 404)

    async def _give_token(self, request: web.Request) -> web.Response:
        content = await request.post()
        if content.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" or not content.get("assertion"):
            raise RefusedError(400, "invalid_grant")
        self.tokens_given += 1
        token = f"token-{self.tokens_given}"
        self.tokens = {*(self.tokens or ()), token}
        return web.json_response({"access_token": token, "expires_in": self.token_life, "token_type": "Bearer"})


def md5(data: bytes) -> str:
    return b64encode(hashlib.md5(data).digest()).decode()


def crc32c(data: bytes) -> str:
    return b64encode(crt.crc32c(data).to_bytes(4, "big")).decode()


def moment(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _query(request: web.Request, allowed: set[str], needed: set[str] = frozenset()) -> dict[str, str]:
    query = dict(request.query)
    if len(query) != len(request.query) or not needed <= set(query) <= allowed:
        raise RefusedError(400, f"Unknown or missing parameter: {sorted(set(query) ^ needed)}")
    return query


def _known(content: Any, allowed: set[str]) -> dict[str, Any]:
    if not isinstance(content, dict) or not set(content) <= allowed:
        raise RefusedError(400, f"Unknown name in {content!r}")
    return content


def _check(blob: Blob | None, query: Mapping[str, str]) -> None:
    generation, metageneration = (blob.generation, blob.metageneration) if blob else (0, 0)
    held = {"Generation": generation, "Metageneration": metageneration}
    for what, value in held.items():
        if f"if{what}Match" in query and int(query[f"if{what}Match"]) != value:
            raise RefusedError(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")
        if f"if{what}NotMatch" in query and int(query[f"if{what}NotMatch"]) == value:
            raise RefusedError(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")


def _check_name(name: str) -> None:
    wrong = name in {"", ".", ".."} or "\n" in name or "\r" in name or name.startswith(".well-known/acme-challenge/")
    if wrong or len(name.encode()) > 1024:
        raise RefusedError(400, "Invalid argument: the name of the object.")


def _check_metadata(resource: Mapping[str, Any]) -> None:
    metadata = resource.get("metadata", {})
    if not all(isinstance(text, str) for entry in metadata.items() for text in entry):
        raise RefusedError(400, "Metadata must be strings.")
    if sum(len(name.encode()) + len(value.encode()) for name, value in metadata.items()) > 8192:
        raise RefusedError(400, "The metadata is too large.")


def _common(key: str, query: Mapping[str, str]) -> str:
    delimiter, prefix = query.get("delimiter", ""), query.get("prefix", "")
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return key[: at + len(delimiter)] if at >= 0 else ""


def _is_listed(key: str, query: Mapping[str, str]) -> bool:
    if not key.startswith(query.get("prefix", "")) or key < query.get("startOffset", ""):
        return False
    return "endOffset" not in query or key < query["endOffset"]


def _json(content: Mapping[str, Any], query: Mapping[str, str]) -> web.Response:
    return web.json_response(_project(content, query["fields"]) if "fields" in query else content)


def _project(content: Mapping[str, Any], fields: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in re.findall(r"(\w+)(?:\(([^()]*)\))?", fields):
        if name not in {*KNOWN, "items", "prefixes", "nextPageToken"}:
            raise RefusedError(400, f"Invalid field selection {name}")
        if content.get(name):
            found[name] = [_project(item, inner) for item in content[name]] if inner else content[name]
    return found


def _related(request: web.Request, content: bytes) -> tuple[dict[str, Any], bytes]:
    kind, _, boundary = request.headers["Content-Type"].partition("; boundary=")
    start, end = f"--{boundary}\r\n".encode(), f"\r\n--{boundary}--\r\n".encode()
    if kind != "multipart/related" or not content.startswith(start) or not content.endswith(end):
        raise RefusedError(400, "Malformed multipart body.")
    second = content.index(b"\r\n" + start, len(start))
    head, _, resource = content[len(start) : second].partition(b"\r\n\r\n")
    data = content.index(b"\r\n\r\n", second + 2) + 4
    kind = content[second + 2 + len(start) : data - 4].decode()
    if not head.startswith(b"Content-Type: application/json") or not kind.startswith("Content-Type: "):
        raise RefusedError(400, "Malformed multipart body.")
    found = _known(json.loads(resource), WRITABLE)
    found.setdefault("contentType", kind.removeprefix("Content-Type: "))
    return found, content[data : -len(end)]


async def _read(request: web.Request) -> bytes:
    content = bytearray()
    async for chunk in request.content.iter_any():
        content += chunk
    if len(content) != request.content_length:
        raise RefusedError(411, "Length Required")
    return bytes(content)


def _cut(request: web.Request) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _send_some(request: web.Request, whole: web.Response, size: int) -> web.StreamResponse:
    body = whole.body
    assert isinstance(body, bytes)
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[:size])
    return _cut(request)


async def _main() -> None:
    async with Gcs().running() as fake:
        sys.stdout.write(f"{fake.url}\n")
        sys.stdout.flush()
        await asyncio.sleep(1e9)


if __name__ == "__main__":
    asyncio.run(_main())
