"""Which commands are traced, with which ids, and what becomes of spans that nobody takes."""

import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from handlers.command import decode
from handlers.faults import Reason
from harness.builders import a_record
from worker.telemetry.metrics import Metrics
from worker.telemetry.reports import Report, Reports
from worker.telemetry.tracing import Sampling, Tracing
from worker.telemetry.trail import Exchange

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
EPOCH_NS = 1_764_000_000 * 10**9


def a_tracing(
    sampler: str = "parentbased_always_on",
    share: float = 1.0,
    *,
    exporter: SpanExporter | None = None,
    metrics: Metrics | None = None,
    largest_queue: int = 100,
) -> Tracing:
    """Tracing that exports to *exporter*."""
    return Tracing(
        exporter or InMemorySpanExporter(),
        Sampling(sampler, share),
        Resource.create({}),
        largest_queue=largest_queue,
        spans=(metrics or Metrics()).spans,
        upstream=("upstream", 443),
        topics=("events", "dead letters"),
        now_ns=lambda: EPOCH_NS,
    )


def reported(tracing: Tracing, *offsets: int, reason: Reason | None = None) -> Sequence[Report]:
    """Reports of commands that were applied together, or of dead letters."""
    reports = Reports(now=lambda: 1.0, tells_events=False, tracing=tracing)
    reports.received(0)
    trail = reports.taken([decode(a_record(offset)) for offset in offsets])
    if trail is None:
        return []
    trail.exchanges.append(Exchange("GET", "Ok", 200, 1, 1.0, 1.0))
    if reason is not None:
        return [
            reports.dead_letter(a_record(n), "id", trail, None, reason=reason, error="", status=None, attempts=1)
            for n in offsets
        ]
    found = [reports.event(decode(a_record(offset)), trail) for offset in offsets]
    return [report for report in found if report is not None]


@pytest.mark.parametrize(
    ("sampler", "flags", "expected"),
    [
        ("parentbased_always_on", "01", True),
        ("parentbased_always_on", "00", False),
        ("parentbased_always_on", None, True),
        ("parentbased_always_off", "01", True),
        ("parentbased_always_off", "00", False),
        ("parentbased_always_off", None, False),
        ("parentbased_traceidratio", "01", True),
        ("parentbased_traceidratio", "00", False),
        ("parentbased_traceidratio", None, False),
        ("always_on", "00", True),
        ("always_off", "01", False),
        ("traceidratio", "01", False),
    ],
)
def test_the_sampler_decides_and_a_parent_based_one_leaves_it_to_the_publisher(
    sampler: str, flags: str | None, expected: bool
) -> None:
    """The share is 0 here."""
    traceparent = None if flags is None else f"00-{TRACE}-{SPAN}-{flags}"

    assert (a_tracing(sampler, 0.0).sampled(a_record(1), traceparent) is not None) is expected


@given(st.data())
def test_it_samples_as_the_sdks_own_samplers_do(data: st.DataObject) -> None:
    """Also at the edges of a share."""
    share = data.draw(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.5, 1.0]))
    root_name, root = data.draw(
        st.sampled_from(
            [("always_on", ALWAYS_ON), ("always_off", ALWAYS_OFF), ("traceidratio", TraceIdRatioBased(share))]
        )
    )
    bound = round(share * 2**64)
    low_bits = st.integers(0, 2**64 - 1) | st.integers(max(bound - 2, 0), min(bound + 2, 2**64 - 1))
    trace_id = data.draw(st.integers(1, 2**64 - 1)) << 64 | data.draw(low_bits)
    flags = data.draw(st.integers(0, 255))
    publisher = NonRecordingSpan(SpanContext(trace_id, 7, is_remote=True, trace_flags=TraceFlags(flags)))
    context = set_span_in_context(publisher, Context())

    for name, sampler in ((root_name, root), (f"parentbased_{root_name}", ParentBased(root))):
        wanted = sampler.should_sample(context, trace_id, "process").decision is Decision.RECORD_AND_SAMPLE
        traceparent = f"00-{trace_id:032x}-{7:016x}-{flags:02x}"
        assert Sampling(name, share).wants(a_record(1), traceparent) is wanted


def test_a_share_of_the_commands_without_a_trace_is_traced() -> None:
    """One in ten, whichever they are."""
    tracing = a_tracing("parentbased_traceidratio", 0.1)
    sampled = sum(tracing.sampled(a_record(offset), None) is not None for offset in range(10_000))

    assert 850 < sampled < 1_150


def test_ids_that_others_see_are_the_same_in_every_worker_and_no_two_commands_share_them() -> None:
    """So that an event is the same, byte for byte, however often the work is repeated."""
    first, second = a_tracing(), a_tracing()
    traceparents = [
        [traced.traceparent for n in range(500) if (traced := tracing.sampled(a_record(n), None)) is not None]
        for tracing in (first, second)
    ]

    assert traceparents[0] == traceparents[1]
    assert len({one[3:35] for one in traceparents[0]}) == len({one[36:52] for one in traceparents[0]}) == 500


def test_the_event_stays_in_its_publishers_trace() -> None:
    """With another span's id, and with its flags as far as W3C gives them a meaning."""
    traced = a_tracing().sampled(a_record(1), f"00-{TRACE}-{SPAN}-ff")

    assert traced is not None
    version, trace, span, flags = traced.traceparent.split("-")
    assert (version, trace, flags) == ("00", TRACE, "03")
    assert span != SPAN


def test_commands_that_are_not_sampled_have_no_report_where_only_traces_are_wanted() -> None:
    """They cost the decision and no more."""
    assert reported(a_tracing("parentbased_always_off"), 1, 2) == []
    assert len(reported(a_tracing(), 1, 2)) == 2


def test_spans_beyond_what_the_queue_holds_are_dropped_and_counted() -> None:
    """Whoever settles commands never waits for a collector; what was dropped and what failed can be seen."""
    metrics = Metrics()
    blocked, entered = threading.Event(), threading.Event()

    class Stuck(SpanExporter):
        """Answers when it is let go, and then fails."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:  # noqa: ARG002
            entered.set()
            blocked.wait(10)
            return SpanExportResult.FAILURE

        def shutdown(self) -> None:
            pass

    tracing = a_tracing(exporter=Stuck(), metrics=metrics, largest_queue=10)
    tracing.export(reported(tracing, *range(3)), 1.0)  # 5 + 4 + 4 spans: the queue is full, which wakes the exporter
    assert entered.wait(10)
    tracing.export(reported(tracing, *range(3)), 1.0)

    def count(outcome: str) -> float | None:
        return metrics.registry.get_sample_value("customer_sync_spans_total", {"fate": outcome})

    assert count("dropped") == 26 - 20
    blocked.set()
    tracing._provider.shutdown()
    assert count("failed") == 20


def test_nothing_of_opentelemetry_is_imported_where_nothing_is_traced() -> None:
    """It takes a quarter of a second and some memory, which only those pay who want it."""
    program = """
import sys
import worker.app
from worker.settings import load_settings
from worker.telemetry.metrics import Metrics
from worker.tracing import tracing_of
assert tracing_of(load_settings(), worker="w", metrics=Metrics()) is None
print(*[name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.trace", "google"))])
"""
    for environment in (
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
    ):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"UPSTREAM_TOKEN": "x", **environment},
            capture_output=True,
            check=True,
            text=True,
        )
        assert done.stdout.strip() == ""
