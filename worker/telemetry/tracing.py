"""Spans of sampled commands, by OpenTelemetry: made from what was noted on the way, once the outcome is public.

A command's trace is its publisher's, continued; a command without one begins a trace, where the sampler wants it. The
ids that others see (of a trace begun here, and of the span that the event continues) are derived from the command's
record, so that an event is the same however often the work is repeated.

Of commands that shared their requests, the first one that is sampled has the spans of these requests, and the others
link to it. No span holds a value of a command or of a customer.

Imports the SDK, which takes a quarter of a second: import this module only where something is traced.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Final, NamedTuple

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.util.re import parse_env_headers
from prometheus_client import Counter

from handlers.record import CommandRecord
from worker.telemetry.reports import Report
from worker.telemetry.span_queue import SpanQueue
from worker.telemetry.trail import Exchange

Attributes = Mapping[str, str | int]
Clock = Callable[[float], int]
"""From monotonic seconds to the wall clock, nanoseconds since 1970."""

_SCOPE: Final = "customer-sync"
_RANDOM_BITS: Final = 2**64 - 1
_FOLDED: Final[Attributes] = {"customer_sync.relation": "folded"}


class Traced(NamedTuple):
    """A sampled command: its trace, its publisher's span (0 where there is none), and the span its event continues."""

    trace_id: int
    publisher_span_id: int
    event_span_id: int
    flags: int

    @property
    def traceparent(self) -> str:
        """What its event carries (W3C Trace Context)."""
        return f"00-{self.trace_id:032x}-{self.event_span_id:016x}-{self.flags:02x}"


def collector(endpoint: str, headers: str | None) -> SpanExporter:
    """Exports by OTLP over HTTP to *endpoint*, a whole address; *headers* as in OTEL_EXPORTER_OTLP_HEADERS."""
    return OTLPSpanExporter(endpoint=endpoint, headers=parse_env_headers(headers or "", liberal=True))


class Sampling:
    """The samplers of OTEL_TRACES_SAMPLER, as OpenTelemetry specifies them.

    They are asked for every command, and the SDK's own take five times as long.
    """

    def __init__(self, name: str, share: float) -> None:
        """*name* is the sampler's; *share*, 0 to 1, is for those that take one."""
        root = name.removeprefix("parentbased_")
        self._leaves_it_to_the_publisher = root != name
        # Of the trace id's 64 random bits (W3C Trace Context, section 3.2.2.3), what is below it is sampled.
        self._below = {"always_on": _RANDOM_BITS + 1, "always_off": 0}.get(root, round(share * (_RANDOM_BITS + 1)))

    def wants(self, record: CommandRecord, traceparent: str | None) -> bool:
        """Whether the command in *record* is traced."""
        if traceparent is None:
            return int.from_bytes(_derived(record)[8:16]) < self._below
        if self._leaves_it_to_the_publisher:
            return bool(int(traceparent[53:55], 16) & TraceFlags.SAMPLED)
        return int(traceparent[19:35], 16) < self._below


def resource_of(service_name: str, version: str, instance: str) -> Resource:
    """What the spans are of, unless the environment (OTEL_RESOURCE_ATTRIBUTES) says otherwise."""
    own = {"service.name": service_name, "service.version": version, "service.instance.id": instance}
    return Resource.create(own).merge(OTELResourceDetector().detect())


class Tracing:
    """Decides which commands are traced, and makes their spans."""

    def __init__(
        self,
        exporter: SpanExporter,
        sampling: Sampling,
        resource: Resource,
        *,
        largest_queue: int,
        spans: Counter,
        upstream: tuple[str, int],
        topics: tuple[str, str],
        now_ns: Callable[[], int],
    ) -> None:
        """*largest_queue* is in spans, which *spans* counts; *upstream* is host and port.

        *topics* are those of events and of dead letters; *now_ns* is the wall clock, nanoseconds since 1970.
        """
        self.samples = sampling.wants
        self._server: Attributes = {"server.address": upstream[0], "server.port": upstream[1]}
        self._events_topic, self._dead_letter_topic = topics
        self._now_ns = now_ns
        self._ids = _GivenIds()
        self._provider = TracerProvider(ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids)
        self._provider.add_span_processor(SpanQueue(exporter, largest_queue, spans))
        self._tracer = self._provider.get_tracer(_SCOPE)
        # Below that it tells of each try to reach the collector.
        logging.getLogger("opentelemetry").setLevel(logging.ERROR)

    def sampled(self, record: CommandRecord, traceparent: str | None) -> Traced | None:
        """Where the spans of the command in *record* belong; None where it is not traced.

        *traceparent* is a valid one (W3C Trace Context), or None where the publisher gave none.
        """
        if not self.samples(record, traceparent):
            return None
        derived = _derived(record)
        event_span_id = int.from_bytes(derived[16:])
        if traceparent is None:
            return Traced(int.from_bytes(derived[:16]), 0, event_span_id, TraceFlags.SAMPLED)
        trace_id, span_id, flags = traceparent[3:35], traceparent[36:52], traceparent[53:55]
        known_flags = int(flags, 16) & TraceFlags.RANDOM_TRACE_ID | TraceFlags.SAMPLED
        return Traced(int(trace_id, 16), int(span_id, 16), event_span_id, known_flags)

    def export(self, reports: Sequence[Report], committed_at: float) -> None:
        """Makes the spans of what became public, and leaves them to the exporting thread.

        *committed_at* is now, on the monotonic clock of the reports.
        """
        difference_ns = self._now_ns() - int(committed_at * 1e9)

        def clock(seconds: float) -> int:
            return difference_ns + int(seconds * 1e9)

        carriers: dict[int, SpanContext] = {}
        for report in reports:
            if report.traced is not None:
                carrier = carriers.get(id(report.trail))
                context = self._export(report, report.traced, committed_at, clock, carrier)
                if report.trail is not None:
                    carriers.setdefault(id(report.trail), context)

    async def close(self, *, within_seconds: float) -> None:
        """Exports what is left, as far as there is time; the rest is lost."""
        loop = asyncio.get_running_loop()
        closed = asyncio.Event()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # too late, the loop has ended
                loop.call_soon_threadsafe(closed.set)

        # No thread of the loop's own: at its end it would wait for that, however long it takes.
        threading.Thread(target=close, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await closed.wait()

    def _export(
        self, report: Report, traced: Traced, committed_at: float, clock: Clock, carrier: SpanContext | None
    ) -> SpanContext:
        """The spans of one command, and the context of the one that holds the others."""
        trail = report.trail
        taken_at = report.decided_at if trail is None else trail.taken_at
        received_at = taken_at if report.received_at is None else report.received_at
        reason = "" if report.death is None else report.death.reason.value
        self._ids.trace_id = traced.trace_id
        process = self._tracer.start_span(
            f"process {report.record.topic}",
            _publisher(traced),
            SpanKind.CONSUMER,
            _of_command(report, reason),
            None if carrier is None else [Link(carrier, _FOLDED)],
            start_time=clock(received_at),
        )
        within = set_span_in_context(process, Context())
        if trail is not None:
            self._ended("wait", within, received_at, taken_at, clock)
            for exchange in trail.exchanges if carrier is None else ():
                self._request(exchange, within, clock)
        commit = self._ended("commit", within, report.decided_at, committed_at, clock)
        topic = self._dead_letter_topic if reason else self._events_topic
        self._ids.span_id = traced.event_span_id
        self._ended(
            f"send {topic}",
            set_span_in_context(commit, Context()),
            report.decided_at,
            committed_at,
            clock,
            kind=SpanKind.PRODUCER,
            attributes={
                "messaging.system": "kafka",
                "messaging.operation.type": "send",
                "messaging.operation.name": "send",
                "messaging.destination.name": topic,
            },
        )
        _end(process, clock(committed_at), reason)
        return process.get_span_context()

    def _request(self, exchange: Exchange, within: Context, clock: Clock) -> None:
        attributes: dict[str, str | int] = {
            "http.request.method": exchange.request,
            "url.template": "/customers/{id}",
            "customer_sync.attempt": exchange.attempt,
            **self._server,
        }
        if exchange.status is not None:
            attributes["http.response.status_code"] = exchange.status
        error = "" if exchange.answer == "Ok" else exchange.answer
        name = f"{exchange.request} /customers/{{id}}"
        self._ended(
            name,
            within,
            exchange.began,
            exchange.ended,
            clock,
            kind=SpanKind.CLIENT,
            attributes=attributes,
            error=error,
        )

    def _ended(
        self,
        name: str,
        within: Context,
        began: float,
        ended: float,
        clock: Clock,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes | None = None,
        error: str = "",
    ) -> Span:
        span = self._tracer.start_span(name, within, kind, attributes, start_time=clock(began))
        _end(span, clock(ended), error)
        return span


class _GivenIds(IdGenerator):
    """Ids that were given for the next trace and the next span, else random ones."""

    def __init__(self) -> None:
        self.trace_id = 0
        self.span_id = 0
        self._random = RandomIdGenerator()

    def generate_trace_id(self) -> int:
        return self.trace_id or self._random.generate_trace_id()

    def generate_span_id(self) -> int:
        given, self.span_id = self.span_id, 0
        return given or self._random.generate_span_id()


def _derived(record: CommandRecord) -> bytes:
    """24 bytes that look random and are always the same for this record."""
    place = f"{record.topic}:{record.partition}:{record.offset}:{record.timestamp_ms}"
    return blake2b(place.encode(), digest_size=24).digest()


def _publisher(traced: Traced) -> Context:
    """The context of the publisher's span; empty where there is none."""
    if not traced.publisher_span_id:
        return Context()
    flags = TraceFlags(traced.flags)
    publisher = SpanContext(traced.trace_id, traced.publisher_span_id, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(publisher), Context())


def _of_command(report: Report, reason: str) -> Attributes:
    record = report.record
    attributes: dict[str, str | int] = {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.message.id": report.command_id,
        "customer_sync.outcome": "dead_letter" if reason else "event",
        "customer_sync.attempts": report.attempts,
    }
    if report.trail is not None:
        attributes["customer_sync.folded"] = report.trail.folded
    return attributes


def _end(span: Span, at_ns: int, error: str) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
    span.end(at_ns)
