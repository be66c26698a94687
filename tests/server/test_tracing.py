"""One trace goes from a client through two gateways, a span for each request and for each call of a backend."""

import gzip
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from botocore.exceptions import ClientError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.gateway_process import GatewayProcess, running

KEYS = {"access_key": "FARKEY", "secret_key": "far-secret-key"}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector:
    """Takes spans by OTLP over HTTP."""

    def __init__(self):
        self.spans = []

    @contextmanager
    def listening(self):
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                data = gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data
                collector.take(ExportTraceServiceRequest.FromString(data))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()

    def take(self, request):
        for resource in request.resource_spans:
            service = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            for scope in resource.scope_spans:
                self.spans += [(service, span) for span in scope.spans]

    def of(self, service, name, parent=None):
        found = [span for sender, span in self.spans if (sender, span.name) == (service, name)]
        return next((span for span in found if parent in {None, span.parent_span_id}), None)

    def wait_for(self, service, name, parent=None):
        deadline = time.monotonic() + 30
        while (span := self.of(service, name, parent)) is None:
            assert time.monotonic() < deadline, [(sender, span.name) for sender, span in self.spans]
            time.sleep(0.02)
        return span


@pytest.fixture
def collector():
    return Collector()


@pytest.fixture
def gateway(tmp_path, collector):
    """A gateway, before another one as its storage."""
    with collector.listening() as url:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "100", "NO_PROXY": "127.0.0.1"}
        named = [{**environment, "OTEL_SERVICE_NAME": name} for name in ("near", "far")]
        far = GatewayProcess(tmp_path / "far", **KEYS, extra={"traces": True}, environment=named[1])
        with running(far):
            there = {"type": "s3", "endpoint": far.endpoint, "dialect": "aws", "addressing": "path", **KEYS}
            extra = {"traces": True, "backends": {"far": there}, "buckets": {"*": {"backend": "far"}}}
            with running(GatewayProcess(tmp_path / "near", extra=extra, environment=named[0])) as near:
                yield near


def traced(gateway):
    """A client whose requests are part of a trace."""
    client = gateway.client()

    def name_parent(request, **_):
        request.headers["traceparent"] = f"00-{TRACE}-{PARENT}-01"

    client.meta.events.register("before-send.s3", name_parent)
    return client


def attributes(span):
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_trace_goes_through_two_gateways(gateway, collector):
    client = traced(gateway)
    client.create_bucket(Bucket="media")
    client.put_object(Bucket="media", Key="a/b", Body=b"bytes")
    answer = client.get_object(Bucket="media", Key="a/b")
    assert answer["Body"].read() == b"bytes"
    for operation, call in (("PutObject", "put"), ("GetObject", "get")):
        parent = bytes.fromhex(PARENT)
        for sender, name in (("near", operation), ("near", f"far {call}"), ("far", operation), ("far", f"disk {call}")):
            span = collector.wait_for(sender, name, parent)
            assert span.trace_id.hex() == TRACE
            parent = span.span_id
    told = attributes(collector.of("near", "GetObject"))
    assert told == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "gateway.request_id": answer["ResponseMetadata"]["RequestId"],
        "aws.s3.bucket": "media",
        "aws.s3.key": "a/b",
    }
    assert attributes(collector.of("near", "far get"))["gateway.outcome"] == "ok"


def test_a_request_without_a_trace_begins_one_and_what_is_not_there_is_no_failure(gateway, collector):
    with pytest.raises(ClientError, match="NoSuchBucket"):
        gateway.client().get_object(Bucket="missing", Key="a")
    span = collector.wait_for("near", "GetObject")
    assert not span.parent_span_id
    assert span.status.code == 0
    assert attributes(span)["http.response.status_code"] == 404


def test_what_was_not_sent_yet_is_sent_when_the_gateway_ends(tmp_path, collector):
    with collector.listening() as url:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "60000", "NO_PROXY": "127.0.0.1"}
        process = GatewayProcess(tmp_path, extra={"traces": True, "workers": 2}, environment=environment)
        with running(process):
            process.client().list_buckets()
            assert process.stop() == 0
        assert collector.of("s3-gateway", "ListBuckets")
