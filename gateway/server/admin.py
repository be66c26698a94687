"""The admin port: metrics and health, never on the S3 port, where a bucket may be called "metrics"."""

import json
import math
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.server.audit import DONE, FAILED
from gateway.server.checkup import Checkup, Examine
from gateway.server.health import Board
from gateway.server.logs import tell_audit
from gateway.server.page import HEADERS, page
from gateway.server.status import Status

NO_STORE: Final = {"Cache-Control": "no-store"}


@asynccontextmanager
async def admin_server(
    sockets: Sequence[socket.socket], board: Board, shared: str = "", examine: Examine | None = None
) -> AsyncIterator[None]:
    """Serve /metrics, /livez, /readyz, /status, /check and, for people, a page at /.

    `shared` is the folder in which several workers keep their metrics, `examine` what looks at the backends.
    """
    checkup = Checkup(examine) if examine else None
    status = Status(board, partial(_registry, shared))

    answers: Mapping[str, Callable[[], web.Response]] = {
        "/": lambda: web.Response(text=page(status.report()), content_type="text/html", headers=HEADERS),
        "/livez": lambda: _json(200, {"live": True}),
        "/metrics": lambda: _metrics(shared),
        "/readyz": lambda: _readiness(board),
        "/status": lambda: _json(200, status.report()),
    }

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/check" and checkup:
            return _check(request, checkup)
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        if asked := answers.get(request.path):
            return asked()
        return _json(404, {"known": sorted([*answers, "/check"])})

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        for sock in sockets:
            await web.SockSite(runner, sock).start()
        yield
    finally:
        if checkup:
            await checkup.close()
        await runner.cleanup()


def _readiness(board: Board) -> web.Response:
    ready, detail = board.report()
    return _json(200 if ready else 503, detail)


def _metrics(shared: str) -> web.Response:
    return web.Response(
        body=generate_latest(_registry(shared)), headers={"Content-Type": CONTENT_TYPE_LATEST, **NO_STORE}
    )


def _check(request: web.BaseRequest, checkup: Checkup) -> web.Response:
    """Tell the last result; only a POST has the backends examined, which no web page can make a browser send."""
    if request.method in {"GET", "HEAD"}:
        return _json(200, checkup.report())
    if request.method != "POST":
        return web.Response(status=405, headers={"Allow": "GET, HEAD, POST"})
    if "Origin" in request.headers:
        return _json(403, {"error": "not for web pages"})
    wait = checkup.begin()
    tell_audit(
        operation="check", remote=request.remote or "", status=429 if wait else 202, result=FAILED if wait else DONE
    )
    answer = _json(429 if wait else 202, checkup.report())
    if wait:
        answer.headers["Retry-After"] = str(math.ceil(wait))
    return answer


def _json(status: int, detail: object) -> web.Response:
    return web.Response(
        status=status, text=json.dumps(detail) + "\n", content_type="application/json", headers=NO_STORE
    )


def _registry(shared: str) -> CollectorRegistry:
    if not shared:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=shared)  # type: ignore[no-untyped-call]  # missing in prometheus_client
    return registry
