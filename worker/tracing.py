"""The tracing that the settings ask for, if they do."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from worker.settings import Settings
from worker.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from worker.telemetry.tracing import Tracing


def tracing_of(settings: Settings, *, worker: str, metrics: Metrics) -> Tracing | None:
    """Tracing for this *worker*; None where nothing is traced, and then nothing of OpenTelemetry is imported."""
    endpoint = settings.otel_exporter_otlp_traces_endpoint
    if endpoint is None and settings.otel_exporter_otlp_endpoint is not None:
        endpoint = f"{settings.otel_exporter_otlp_endpoint}/v1/traces"
    if endpoint is None or not settings.is_traced:
        return None
    from worker.telemetry import tracing

    headers = settings.otel_exporter_otlp_headers
    upstream = urlsplit(settings.upstream_base_url)
    return tracing.Tracing(
        tracing.collector(endpoint, None if headers is None else headers.get_secret_value()),
        tracing.Sampling(settings.otel_traces_sampler, settings.otel_traces_sampler_arg),
        tracing.resource_of(settings.otel_service_name, version("customer-sync"), worker),
        largest_queue=settings.otel_bsp_max_queue_size,
        spans=metrics.spans,
        upstream=(upstream.hostname or "", upstream.port or (443 if upstream.scheme == "https" else 80)),
        topics=(settings.events_topic, settings.dead_letter_topic),
        now_ns=time.time_ns,  # noqa: TID251  # spans are told in wall-clock time
    )
