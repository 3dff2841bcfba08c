"""Spans that wait for the collector: so many at most, what is beyond that is dropped, and each is counted."""

from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import Counter

_LARGEST_EXPORT: Final = 512


class SpanQueue(BatchSpanProcessor):
    """The SDK's queue and exporting thread. Its own bound is never met: what it drops it does not count."""

    def __init__(self, exporter: SpanExporter, largest: int, spans: Counter) -> None:
        """*largest* is in spans; *spans* has one label, what became of them: exported, failed or dropped."""
        self._counted = _CountingExporter(exporter, spans)
        super().__init__(self._counted, max_queue_size=largest, max_export_batch_size=min(largest, _LARGEST_EXPORT))
        self._largest = largest
        self._added = 0
        self._dropped = spans.labels("dropped")

    def on_end(self, span: ReadableSpan) -> None:
        """Takes a span in, or drops it; never waits."""
        if self._added - self._counted.taken >= self._largest:
            self._dropped.inc()
            return
        self._added += 1
        super().on_end(span)


class _CountingExporter(SpanExporter):
    """Counts what it is given, in the exporting thread, and what became of it."""

    def __init__(self, exporter: SpanExporter, spans: Counter) -> None:
        self._exporter = exporter
        self._spans = spans
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = self._exporter.export(spans)
        self._spans.labels("exported" if result is SpanExportResult.SUCCESS else "failed").inc(len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
