"""A command's way is one trace, from its publisher to its event, as a collector receives it."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from harness.commands import command
from harness.follower import follow
from harness.otlp_receiver import Receiver, Span, receiving
from harness.polling import eventually
from harness.scripted_http import Request, Wire
from harness.settling import failing, status
from harness.stage import Stage
from harness.topics import Outcome
from harness.worker_process import WorkerProcess

pytestmark = pytest.mark.partitions(1)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A collector of this test's own."""
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def worker(stage: Stage, receiver: Receiver) -> AsyncIterator[WorkerProcess]:
    """A worker that exports to it."""
    worker = await stage.start_ready_worker(**receiver.environment)
    yield worker
    worker.end()


async def customers(stage: Stage, number: int) -> list[str]:
    """New customers, healthy."""
    ids = [f"7{secrets.token_hex(7)[:7]}-0000-4000-8000-{n:012d}" for n in range(number)]
    await stage.upstream.control(customers=[{"id": one, "name": "A", "email": "a@b.test"} for one in ids], faults=[])
    return ids


def traceparent(*, sampled: bool = True) -> tuple[tuple[str, bytes], ...]:
    """The header of a publisher whose span has random ids."""
    return (("traceparent", f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-0{int(sampled)}".encode()),)


def trace_of(outcome: Outcome) -> str:
    """The id of the trace that an outcome carries on."""
    return outcome.headers["traceparent"].split("-")[1]


def named(spans: list[Span], name: str) -> Span:
    """The one span of this name."""
    (found,) = [span for span in spans if span.name == name]
    return found


@pytest.mark.usefixtures("worker")
async def test_publisher_wait_get_patch_commit_and_event_are_one_trace(stage: Stage, receiver: Receiver) -> None:
    """Each span below the one that it is a part of, and the event below the commit that published it."""
    (customer,) = await customers(stage, 1)
    publisher = TracerProvider(resource=Resource.create({"service.name": "crm"}), shutdown_on_exit=False)
    publisher.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{receiver.server.url}/v1/traces")))
    headers: dict[str, str] = {}
    with publisher.get_tracer("crm").start_as_current_span("change phone", kind=SpanKind.PRODUCER) as span:
        inject(headers)
        trace_id = f"{span.get_span_context().trace_id:032x}"
    await asyncio.to_thread(publisher.shutdown)
    async with follow(stage.topics) as follower:
        message = command(customer, [(name, value.encode()) for name, value in headers.items()], phone="1")
        (place,) = await stage.topics.publish([message])
        (event,) = await follower.of([place])
    spans = await receiver.of(trace_id, spans=7)

    topics = stage.topics
    tree = {span.name: next((one.name for one in spans if one.span_id == span.parent_id), "") for span in spans}
    assert tree == {
        "change phone": "",
        f"process {topics.commands}": "change phone",
        "wait": f"process {topics.commands}",
        "GET /customers/{id}": f"process {topics.commands}",
        "PATCH /customers/{id}": f"process {topics.commands}",
        "commit": f"process {topics.commands}",
        f"send {topics.events}": "commit",
    }
    sent = named(spans, f"send {topics.events}")
    assert event.headers["traceparent"] in {f"00-{trace_id}-{sent.span_id}-{flags}" for flags in ("01", "03")}
    assert [span.name for span in spans if span.is_error] == []
    process, wait = named(spans, f"process {topics.commands}"), named(spans, "wait")
    get, patch = named(spans, "GET /customers/{id}"), named(spans, "PATCH /customers/{id}")
    commit = named(spans, "commit")
    assert process.began == wait.began <= wait.ended <= get.began <= get.ended <= patch.began <= patch.ended
    assert patch.ended <= commit.began <= commit.ended == process.ended
    assert abs(process.ended / 1e9 - time.time()) < 60  # noqa: TID251  # spans are in wall-clock time
    assert process.attributes["messaging.message.id"] == place
    assert (patch.attributes["http.response.status_code"], patch.attributes["customer_sync.attempt"]) == (200, 1)
    assert process.resource["service.name"] == "customer-sync"


@pytest.mark.usefixtures("worker")
async def test_each_attempt_has_its_span(stage: Stage, receiver: Receiver) -> None:
    """With its number, its status, and whether it failed."""
    (customer,) = await customers(stage, 1)
    await stage.upstream.control(faults=[failing(customer, status(503), method="PATCH", first=2)])
    async with follow(stage.topics) as follower:
        (event,) = await follower.of(await stage.topics.publish([command(customer, traceparent(), phone="1")]))
    spans = await receiver.of(trace_of(event), spans=10)

    asked = [
        (
            span.attributes["http.request.method"],
            span.attributes["customer_sync.attempt"],
            span.attributes["http.response.status_code"],
            span.is_error,
        )
        for span in spans
        if span.kind == "CLIENT"
    ]
    assert asked == [
        ("GET", 1, 200, False),
        ("PATCH", 1, 503, True),
        ("GET", 2, 200, False),
        ("PATCH", 2, 503, True),
        ("GET", 3, 200, False),
        ("PATCH", 3, 200, False),
    ]


async def test_commands_applied_together_are_linked(stage: Stage, receiver: Receiver) -> None:
    """Each in its publisher's trace: the requests belong to the first, and the others link to it."""
    (customer,) = await customers(stage, 1)
    places = await stage.topics.publish(command(customer, traceparent(), phone=str(n)) for n in range(3))
    worker = await stage.start_ready_worker(**receiver.environment)
    async with follow(stage.topics) as follower:
        events = await follower.of(places)
    traces = [await receiver.of(trace_of(event), spans=6 if number == 0 else 4) for number, event in enumerate(events)]
    worker.end()

    process = [named(spans, f"process {stage.topics.commands}") for spans in traces]
    assert [one.attributes["customer_sync.folded"] for one in process] == [3, 3, 3]
    carrier = (process[0].trace_id, process[0].span_id)
    assert [one.links for one in process] == [[], [carrier], [carrier]]
    assert [[span.name for span in spans if span.kind == "CLIENT"] for spans in traces] == [
        ["GET /customers/{id}", "PATCH /customers/{id}"],
        [],
        [],
    ]


@pytest.mark.usefixtures("worker")
async def test_a_dead_letter_has_a_trace_that_says_why(stage: Stage, receiver: Receiver) -> None:
    """Also of what is no command; the dead letter keeps its publisher's header as it was."""
    header = traceparent()
    async with follow(stage.topics) as follower:
        (letter,) = await follower.of(await stage.topics.publish([command("nobody", header)]))
    spans = await receiver.of(trace_of(letter), spans=3)

    assert letter.headers["traceparent"] == header[0][1].decode()
    process = named(spans, f"process {stage.topics.commands}")
    assert (process.is_error, process.attributes["error.type"]) == (True, "invalid")
    assert named(spans, f"send {stage.topics.dead_letter}").parent_id == named(spans, "commit").span_id


@pytest.mark.usefixtures("worker")
async def test_a_publisher_that_does_not_sample_is_respected(stage: Stage, receiver: Receiver) -> None:
    """Nothing is exported, and its header is passed on as it is."""
    first, second = await customers(stage, 2)
    header = traceparent(sampled=False)
    async with follow(stage.topics) as follower:
        (event,) = await follower.of(await stage.topics.publish([command(first, header, phone="1")]))
        (sampled,) = await follower.of(await stage.topics.publish([command(second, traceparent(), phone="1")]))
    await receiver.of(trace_of(sampled), spans=6)

    assert event.headers["traceparent"] == header[0][1].decode()
    assert {span.trace_id for span in receiver.spans} == {trace_of(sampled)}


async def test_a_command_without_a_trace_begins_one_where_the_sampler_wants_it(
    stage: Stage, receiver: Receiver
) -> None:
    """The event carries it on; the line of the log names it too."""
    one, other = await customers(stage, 2)
    environment = {**receiver.environment, "OTEL_SERVICE_NAME": "sync-eu", "OTEL_RESOURCE_ATTRIBUTES": "team=crm"}
    worker = await stage.start_ready_worker(**environment)
    async with follow(stage.topics) as follower:
        (event,) = await follower.of(await stage.topics.publish([command(one, phone="1")]))
        spans = await receiver.of(trace_of(event), spans=6)
        worker.end()
        worker = await stage.start_ready_worker(**environment, OTEL_TRACES_SAMPLER="parentbased_always_off")
        (quiet,) = await follower.of(await stage.topics.publish([command(other, phone="1")]))
        worker.end()

    process = named(spans, f"process {stage.topics.commands}")
    assert (process.parent_id, process.links) == ("", [])
    assert process.resource.items() >= {"service.name": "sync-eu", "team": "crm"}.items()
    assert any(line.get("trace_id") == process.trace_id for line in stage.workers[-2].records())
    assert "traceparent" not in quiet.headers


@pytest.mark.parametrize("way", ["away", "mute", "refuses"])
async def test_a_collector_that_fails_costs_nobody_anything_but_spans(stage: Stage, way: str) -> None:
    """Commands go on, spans are dropped and counted, and the worker ends in time."""

    async def answer(_: Request, wire: Wire) -> None:
        if way == "mute":
            await wire.hang()
        elif way == "refuses":
            await wire.send(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")
        else:
            wire.abort()

    ids = await customers(stage, 40)
    async with receiving(answer) as receiver:
        worker = await stage.start_ready_worker(**receiver.environment, OTEL_BSP_MAX_QUEUE_SIZE="20")
        async with follow(stage.topics) as follower:
            for _ in range(2):
                await follower.of(await stage.topics.publish(command(one, phone="1") for one in ids))
        fates = ("failed", "dropped") if way != "mute" else ("dropped",)

        async def counted() -> bool:
            page = (await worker.get("/metrics"))[1]
            return any(re.search(rf'spans_total{{fate="{fate}"}} [1-9]', page) for fate in fates)

        await eventually(counted, within_seconds=20, what="lost spans are counted")
        began = time.monotonic()
        worker.sigterm()
        assert await worker.wait() == 0

    assert time.monotonic() - began < 8
    assert len(worker.log(last_lines=None).splitlines()) < 400
