"""A collector of traces as OpenTelemetry's exporters know them: OTLP over HTTP, on loopback."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_S: Final = 30


@dataclass(frozen=True)
class ToldSpan:
    """A span as it was told."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Any]
    links: list[str]
    """The ids of the spans that it names."""
    trace_state: str
    process: int


@dataclass
class TraceCollector:
    """The spans that were told so far."""

    url: str
    spans: list[ToldSpan] = field(default_factory=list)

    def named(self, name: str) -> list[ToldSpan]:
        return [span for span in self.spans if span.name == name]

    def children(self, parent: ToldSpan) -> list[ToldSpan]:
        """List the spans below one, in the order in which they began."""
        found = [span for span in self.spans if span.parent_id == parent.span_id]
        return sorted(found, key=lambda span: (span.start, span.end))

    def wait_for(self, name: str, count: int) -> list[ToldSpan]:
        """Wait until so many spans of a name were told."""
        deadline = time.monotonic() + WAIT_S
        while len(self.named(name)) < count:
            assert time.monotonic() < deadline, sorted(span.name for span in self.spans)
            time.sleep(0.02)
        return self.named(name)


@contextmanager
def trace_collector() -> Iterator[TraceCollector]:
    """Listen for traces."""
    collector = TraceCollector("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert "/v1/traces" == self.path
            collector.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so.
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _spans(request: ExportTraceServiceRequest) -> Iterator[ToldSpan]:
    for resource in request.resource_spans:
        about = {pair.key: _value(pair.value) for pair in resource.resource.attributes}
        assert "farebox" == about["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield ToldSpan(
                    name=span.name,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes={pair.key: _value(pair.value) for pair in span.attributes},
                    links=[link.span_id.hex() for link in span.links],
                    trace_state=span.trace_state,
                    process=about["process.pid"],
                )


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
