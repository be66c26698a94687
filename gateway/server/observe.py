"""What is noted of every request, once, whatever happens: the access log and the metrics."""

import time
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from typing import NamedTuple

from prometheus_client import Counter, Histogram

from gateway import metrics
from gateway.server.access import Access
from gateway.server.audit import AUTHENTICATION
from gateway.server.exchange import Exchange
from gateway.tracing import TRACING, Span


class Observer:
    """Has `handle` answer requests, and notes what became of them."""

    def __init__(self, handle: Callable[[Exchange], Awaitable[None]], access: Access | None) -> None:
        self._handle = handle
        self._access = access

    async def __call__(self, exchange: Exchange) -> None:
        """Answer a request."""
        started = time.perf_counter()
        span = TRACING.request(exchange.headers) if TRACING.on else None
        try:
            await self._handle(exchange)
        finally:
            seconds = time.perf_counter() - started
            _count(exchange, seconds)
            if self._access:
                self._access(exchange, seconds)
            if span:
                _end(span, exchange)


def _end(span: Span, exchange: Exchange) -> None:
    call = exchange.call
    told: dict[str, str | int] = {
        "http.request.method": exchange.method,
        "http.response.status_code": exchange.status,
        "gateway.request_id": exchange.request_id,
        "aws.s3.bucket": call.bucket if call else "",
        "aws.s3.key": call.key if call else "",
    }
    failed = exchange.error if exchange.error and not _is_answered(exchange.status) else ""
    span.end(told, failed=failed, name=exchange.operation)


def _is_answered(status: int) -> bool:
    """Say whether an answer is no failure of ours."""
    return 0 < status < HTTPStatus.INTERNAL_SERVER_ERROR


class _Series(NamedTuple):
    """The metrics of one operation, found once: looking labels up costs more than counting."""

    seconds: Histogram
    received: Counter
    sent: Counter


@cache
def _series(operation: str) -> _Series:
    return _Series(
        metrics.SECONDS.labels(operation), metrics.RECEIVED.labels(operation), metrics.SENT.labels(operation)
    )


@cache
def _requests(operation: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(operation, status)


def _count(exchange: Exchange, seconds: float) -> None:
    operation = exchange.operation
    series = _series(operation)
    series.seconds.observe(seconds)
    _requests(operation, exchange.status).inc()
    if exchange.payload.total_bytes:
        series.received.inc(exchange.payload.total_bytes)
    if exchange.sent:
        series.sent.inc(exchange.sent)
    if exchange.error in AUTHENTICATION:
        metrics.REFUSED.labels(exchange.error).inc()
