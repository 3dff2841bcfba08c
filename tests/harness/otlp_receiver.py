"""A collector of traces on localhost: a real HTTP server that decodes what exporters send it (OTLP, protobuf)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from google.protobuf.text_format import MessageToString  # type: ignore[import-untyped]  # it has no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from harness.scripted_http import Request, ScriptedServer, Wire, response, serving


@dataclass(frozen=True)
class Span:
    """One span as it arrived; ids in hexadecimal, times in nanoseconds since 1970."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    began: int
    ended: int
    attributes: Mapping[str, str | int]
    links: Sequence[tuple[str, str]]
    is_error: bool
    resource: Mapping[str, str | int]


@dataclass
class Receiver:
    """Where it listens, and what it has received."""

    server: ScriptedServer
    spans: list[Span] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    """Each export as protobuf writes it for people."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What tells a worker to export here, and not to wait for more before it does."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.server.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    async def of(self, trace_id: str, *, spans: int, within_seconds: float = 15) -> list[Span]:
        """The spans of this trace in the order of their beginning, as soon as there are so many."""

        def found() -> list[Span]:
            return sorted((span for span in self.spans if span.trace_id == trace_id), key=lambda span: span.began)

        try:
            async with asyncio.timeout(within_seconds), self.server.changed:
                await self.server.changed.wait_for(lambda: len(found()) >= spans)
        except TimeoutError:
            message = f"{len(found())} of {spans} spans: {[span.name for span in self.spans]}"
            raise AssertionError(message) from None
        return found()

    async def take(self, request: Request, wire: Wire) -> None:
        """Takes one export in and says so."""
        assert (request.method, request.target) == ("POST", "/v1/traces")
        export = ExportTraceServiceRequest.FromString(request.body)
        for of_resource in export.resource_spans:
            resource = _attributes(of_resource.resource.attributes)
            for of_scope in of_resource.scope_spans:
                self.spans += [_span(span, resource) for span in of_scope.spans]
        self.exports.append(MessageToString(export, as_utf8=True))
        await wire.send(response(200, b"", {"Content-Type": "application/x-protobuf"}))
        async with self.server.changed:
            self.server.changed.notify_all()


@asynccontextmanager
async def receiving(answer: Callable[[Request, Wire], Awaitable[None]] | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port; *answer* instead makes it one that does not what it should."""
    receiver: Receiver | None = None

    async def script(request: Request, wire: Wire) -> None:
        assert receiver is not None
        await (answer or receiver.take)(request, wire)

    async with serving(script) as server:
        receiver = Receiver(server)
        yield receiver


def _span(span: ProtoSpan, resource: Mapping[str, str | int]) -> Span:
    return Span(
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        is_error=span.status.code == Status.STATUS_CODE_ERROR,
        resource=resource,
    )


def _attributes(pairs: Sequence[KeyValue]) -> Mapping[str, str | int]:
    return {
        pair.key: pair.value.string_value if pair.value.HasField("string_value") else pair.value.int_value
        for pair in pairs
    }
