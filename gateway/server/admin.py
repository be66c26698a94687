"""The admin port: metrics and health, never on the S3 port, where a bucket may be called "metrics"."""

import json
import math
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from gateway.server.checkup import Checkup, Examine
from gateway.server.health import Board

NO_STORE: Final = {"Cache-Control": "no-store"}


@asynccontextmanager
async def admin_server(
    sockets: Sequence[socket.socket], board: Board, shared: str = "", examine: Examine | None = None
) -> AsyncIterator[None]:
    """Serve /metrics, /livez, /readyz and /check.

    `shared` is the folder in which several workers keep their metrics, `examine` what looks at the backends.
    """
    checkup = Checkup(examine) if examine else None

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/check" and checkup:
            return _check(request, checkup)
        if request.method not in {"GET", "HEAD"}:
            return web.Response(status=405, headers={"Allow": "GET, HEAD"})
        match request.path:
            case "/livez":
                return _json(200, {"live": True})
            case "/readyz":
                ready, detail = board.report()
                return _json(200 if ready else 503, detail)
            case "/metrics":
                return web.Response(
                    body=generate_latest(_registry(shared)), headers={"Content-Type": CONTENT_TYPE_LATEST, **NO_STORE}
                )
        return _json(404, {"known": ["/check", "/livez", "/metrics", "/readyz"]})

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


def _check(request: web.BaseRequest, checkup: Checkup) -> web.Response:
    """Tell the last result; only a POST has the backends examined, which no web page can make a browser send."""
    if request.method in {"GET", "HEAD"}:
        return _json(200, checkup.report())
    if request.method != "POST":
        return web.Response(status=405, headers={"Allow": "GET, HEAD, POST"})
    if "Origin" in request.headers:
        return _json(403, {"error": "not for web pages"})
    wait = checkup.begin()
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
