"""The engine between Kafka and the upstream, on a virtual clock: real lanes, turns, gate, delivery and committers.

Kafka is a `MemoryLedger` for each partition, and the upstream is an object that a test scripts. Only the loop's clock
is made up, so hours pass in milliseconds.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from aiokafka import TopicPartition
from pydantic import JsonValue

from handlers.customer import Customer
from handlers.event import EventFormat
from handlers.record import CommandRecord, OutcomeKind, OutcomeRecord
from harness.builders import TOPIC, a_body, a_record
from harness.memory_ledger import MemoryLedger
from harness.virtual_time import now
from worker.commit import Committer
from worker.deduplication import DeduplicationWindow
from worker.delivery import Delivery
from worker.lanes import Lanes
from worker.lease import Lease
from worker.pacing.backoff import RetryPolicy
from worker.pacing.circuit_breaker import CircuitState
from worker.pacing.gate import Gate
from worker.pacing.rate_budget import RateBudget
from worker.partition import Outlets, Partition
from worker.telemetry.metrics import Metrics
from worker.telemetry.reports import Reports
from worker.turns import Turns
from worker.upstream.answers import Answer, NotFound, Ok, Request
from worker.watermark import Watermark

Behaviour = Callable[["Sent"], Answer | None]
"""What an upstream does with a request before it serves it: an answer of its own, or None to serve it."""

EPOCH_MS = 1_764_000_000_000
"""The wall clock when the virtual clock is at 0."""


@dataclass(frozen=True)
class Sent:
    """One request, when it was sent (virtual seconds), and the body of a PATCH."""

    at: float
    request: Request
    customer_id: str
    body: Mapping[str, object]


@dataclass
class ScriptedUpstream:
    """Customers in memory; serves every request after *latency_seconds* unless *behaviour* answers otherwise."""

    customers: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    latency_seconds: float = 0.02
    behaviour: Behaviour = lambda _: None
    journal: list[Sent] = field(default_factory=list)
    most_at_once: int = 0
    _under_way: set[str] = field(default_factory=set)

    def know(self, *numbers: int) -> None:
        """Gives customers of these numbers a record."""
        for number in numbers:
            body = a_body(number)
            self.customers[cast("str", body["id"])] = body

    async def get(self, customer_id: str) -> Answer:
        """Reads one customer."""
        return await self._serve(Sent(now(), Request.GET, customer_id, {}))

    async def patch(self, customer_id: str, body: Mapping[str, object], known: Mapping[str, object]) -> Answer:  # noqa: ARG002
        """Writes one customer."""
        return await self._serve(Sent(now(), Request.PATCH, customer_id, body))

    def requests(self, request: Request | None = None) -> list[Sent]:
        """What was sent, of one kind or of both."""
        return [sent for sent in self.journal if request in {None, sent.request}]

    async def _serve(self, sent: Sent) -> Answer:
        self.journal.append(sent)
        assert sent.customer_id not in self._under_way, "two requests of one customer at a time"
        self._under_way.add(sent.customer_id)
        self.most_at_once = max(self.most_at_once, len(self._under_way))
        try:
            answer = self.behaviour(sent)
            await asyncio.sleep(self.latency_seconds)
        finally:
            self._under_way.remove(sent.customer_id)
        if answer is not None:
            return answer
        customer = self.customers.get(sent.customer_id)
        if customer is None:
            assert sent.request is Request.GET, "a PATCH would create this customer"
            return NotFound()
        customer.update(cast("Mapping[str, JsonValue]", sent.body))
        return Ok(Customer.parse(json.dumps(customer).encode()))


@dataclass
class Engine:
    """The running engine, its upstream, and one ledger for each partition."""

    upstream: ScriptedUpstream
    gate: Gate
    lease: Lease
    delivery: Delivery
    metrics: Metrics
    partitions: list[Partition]
    ledgers: list[MemoryLedger]
    breakers: list[tuple[float, str, CircuitState]]
    delivering: asyncio.Task[None]
    committed: asyncio.Event

    def feed(self, *records: CommandRecord) -> None:
        """Records are read: each goes to its partition."""
        for record in records:
            self.partitions[record.partition].receive([record])
        self.delivery.wake()

    def send(self, *commands: tuple[int, Mapping[str, JsonValue]], partition: int = 0) -> None:
        """Publishes changes of customers by their number, at the partition's next offsets."""
        for customer, changes in commands:
            offset = self.partitions[partition].next_offset
            self.feed(a_record(offset, changes, customer=customer, partition=partition))

    def outcomes(self, partition: int = 0) -> list[OutcomeRecord]:
        """What was published, in order."""
        return [record for _, record in self.ledgers[partition].published]

    async def settled(self, *, within_seconds: float = 3_600) -> None:
        """Returns when every command is settled. TimeoutError where that takes longer (on the virtual clock)."""
        async with asyncio.timeout(within_seconds):
            while any(partition.watermark.unfinished for partition in self.partitions):
                self.committed.clear()
                await self.committed.wait()


def header(record: OutcomeRecord, name: str) -> str:
    """One header of an outcome, as text."""
    return next(value or b"" for key, value in record.headers if key == name).decode()


def fates(outcomes: Iterable[OutcomeRecord]) -> list[str]:
    """For each outcome "event", or the reason of a dead letter."""
    return [
        header(outcome, "dlq-reason") if outcome.kind == "dead_letter" else outcome.kind.value for outcome in outcomes
    ]


@asynccontextmanager
async def running_engine(
    upstream: ScriptedUpstream | None = None,
    *,
    ledgers: Sequence[MemoryLedger] | None = None,
    limit: int = 0,
    max_concurrency: int = 64,
    coalesce: bool = True,
    lease_seconds: float = float("inf"),
    max_elapsed_seconds: float = 300.0,
) -> AsyncIterator[Engine]:
    """An engine with a partition for each ledger, opened, that runs as long as the block."""
    upstream = upstream or ScriptedUpstream()
    ledgers = ledgers or [MemoryLedger()]
    metrics = Metrics()
    lease = Lease(seconds=lease_seconds)
    lease.renew(now())
    breakers: list[tuple[float, str, CircuitState]] = []
    partitions: list[Partition] = []

    def on_change(name: str, state: CircuitState, _reason: str) -> None:
        breakers.append((now(), name, state))
        if state is CircuitState.OPEN:
            for partition in partitions:
                partition.lanes.end_backoff()

    gate = Gate(
        budget=RateBudget(limit=limit, window_seconds=600), max_concurrency=max_concurrency, on_change=on_change
    )
    delivery = Delivery(
        upstream=upstream,
        gate=gate,
        lease=lease,
        turns=Turns(bulk_share=0.2),
        policy=RetryPolicy(
            initial_seconds=0.5, multiplier=1.5, max_seconds=60, max_elapsed_seconds=max_elapsed_seconds
        ),
        metrics=metrics,
        now=now,
        now_ms=lambda: EPOCH_MS + int(now() * 1_000),
        random=lambda: 0.5,
    )
    committed = asyncio.Event()

    def on_commit() -> None:
        committed.set()
        delivery.wake()

    async with asyncio.TaskGroup() as tasks:
        committing = []
        for number, ledger in enumerate(ledgers):
            partition, committer = make_partition(number, ledger, metrics, on_commit, coalesce=coalesce)
            partitions.append(partition)
            committing.append(tasks.create_task(committer.run()))
        delivery.set_partitions(tuple(partitions))
        delivering = tasks.create_task(delivery.run())
        yield Engine(
            upstream, gate, lease, delivery, metrics, partitions, list(ledgers), breakers, delivering, committed
        )
        for task in (delivering, *committing):
            task.cancel()


def make_partition(
    number: int,
    ledger: MemoryLedger,
    metrics: Metrics,
    on_commit: Callable[[], None],
    *,
    coalesce: bool = True,
    clock: Callable[[], float] = now,
) -> tuple[Partition, Committer]:
    """A partition of a fresh topic, opened, and its committer, which has yet to run."""
    watermark = Watermark(0)
    partition = Partition(
        TopicPartition(TOPIC, number),
        watermark=watermark,
        lanes=Lanes(coalesce=coalesce),
        window=DeduplicationWindow(window=10_000),
        outlets=Outlets("events", "dead letters", EventFormat(), "worker-1"),
        metrics=metrics,
        reports=Reports(now=clock, tells_events=True),
        is_misplaced=lambda _record: False,
        now_ms=lambda: EPOCH_MS + int(clock() * 1_000),
    )
    committer = Committer(
        ledger,
        watermark,
        partition=number,
        horizon=0,
        interval_seconds=0.01,
        expects_company=lambda: partition.in_flight > 1,
        wanted_horizon=partition.wanted_horizon,
        read_progress=ledger.read_progress,
        on_commit=on_commit,
    )
    partition.attach(committer)
    partition.open()
    return partition, committer


def upstream_with(*customers: int, behaviour: Behaviour = lambda _: None, latency: float = 0.02) -> ScriptedUpstream:
    """An upstream that knows these customers."""
    upstream = ScriptedUpstream(behaviour=behaviour, latency_seconds=latency)
    upstream.know(*customers)
    return upstream


def between(start: float, end: float, answer: Answer, request: Request | None = None) -> Behaviour:
    """Answers so to every request (of this kind) that is sent in these virtual seconds."""
    return lambda sent: answer if start <= sent.at < end and request in {None, sent.request} else None


def notes(engine: Engine, partition: int = 0) -> list[JsonValue]:
    """The notes of the customers in the events, in the order of publishing."""
    return [
        json.loads(outcome.value or b"")["note"]
        for outcome in engine.outcomes(partition)
        if outcome.kind is OutcomeKind.EVENT
    ]
