"""Spans of requests and of the calls of backends that they make, for who wants them: without, nothing is loaded.

Where the spans go is said by the variables of OpenTelemetry's own, OTEL_EXPORTER_OTLP_ENDPOINT first of all:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

import os
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

_NOTHING: Final[Mapping[str, str]] = {}


class Span:
    """One that has begun. Until `leave`, what is begun in the same task or below it becomes part of it."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Any) -> None:
        from opentelemetry import context, trace  # noqa: PLC0415  only where traces are wanted

        self._span = span
        self._token: Any = context.attach(trace.set_span_in_context(span))

    def leave(self) -> None:
        """Let what is begun from now on be part of what was there before."""
        from opentelemetry import context  # noqa: PLC0415

        if self._token is not None:
            context.detach(self._token)
            self._token = None

    def end(self, told: Mapping[str, str | int], *, failed: str = "", name: str = "") -> None:
        """End it; `failed` says why, `name` what it was, `told` what else there is to tell."""
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        if name:
            self._span.update_name(name)
        if failed:
            self._span.set_status(StatusCode.ERROR)
            self._span.set_attribute("error.type", failed)
        self._span.set_attributes(told)
        self.leave()
        self._span.end()


class Tracing:
    """Makes spans and sends them away, between `begin` and `end`, which are for one process."""

    def __init__(self) -> None:
        self.on = False
        self._provider: Any = None
        self._tracer: Any = None

    def begin(self) -> None:
        """Load what is needed, and send away from now on. Raises: ImportError."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        name, release = os.environ.get("OTEL_SERVICE_NAME", "s3-gateway"), version("s3-gateway")
        self._provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": release}))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("gateway", release)
        self.on = True

    def end(self) -> None:
        """Send away what is left. It may take seconds, for as long as the process may be blocked."""
        self.on = False
        self._provider.shutdown()

    def request(self, headers: Mapping[str, str]) -> Span:
        """Begin the span of a request, as a part of what its `traceparent` names, if there is one."""
        from opentelemetry.trace import SpanKind  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        carried = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        context = TraceContextTextMapPropagator().extract(carried)
        return Span(self._tracer.start_span("request", context, SpanKind.SERVER))

    def call(self, backend: str, operation: str) -> Span | None:
        """Begin the span of a call of a backend that is made for a request; what is done beside all has none."""
        from opentelemetry.trace import SpanKind, get_current_span  # noqa: PLC0415

        if not get_current_span().get_span_context().is_valid:
            return None
        told = {"gateway.backend": backend, "gateway.operation": operation}
        return Span(self._tracer.start_span(f"{backend} {operation}", None, SpanKind.CLIENT, told))

    def carried(self) -> Mapping[str, str]:
        """Return the headers that tell who is asked of which span that is a part."""
        if not self.on:
            return _NOTHING
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(headers)
        return headers


TRACING: Final = Tracing()
