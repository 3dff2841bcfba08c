"""The model of Kafka that the simulation rests on does what a real Kafka does: the same histories, step by step."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias, cast

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition

from handlers.record import OutcomeKind, OutcomeRecord
from harness.polling import eventually
from harness.topics import Topics
from simulation import broker as model
from simulation.consumer import ModelConsumer
from simulation.group import Group
from simulation.process import Process
from simulation.producer import ModelAdmin, ModelProducer
from simulation.world import World
from worker.kafka.cluster import Cluster
from worker.kafka.consumer import OffsetReader
from worker.kafka.errors import CommitFailed, KafkaFault
from worker.kafka.ledger import ExactlyOnceLedger
from worker.kafka.members import announcing
from worker.kafka.subscription import HEARTBEAT_INTERVAL_MS, REBALANCE_TIMEOUT_MS, SESSION_TIMEOUT_MS

pytestmark = [pytest.mark.real_kafka, pytest.mark.partitions(4)]

PARTITIONS = 4
# Larger than what the model takes for an event, and than what the topic is limited to.
LARGEST_EVENT = model.LARGEST_EVENT + 300
Seen: TypeAlias = "tuple[list[bytes | None], tuple[int, str]]"
Consumer: TypeAlias = "AIOKafkaConsumer | ModelConsumer"


class Kafka(Protocol):
    """What both are asked for."""

    partition: TopicPartition
    events: str
    group_id: str

    def producer(self) -> AIOKafkaProducer:
        """One of the transactional id of the partition."""

    async def seen(self) -> Seen:
        """The events that a reader of committed records sees, and the committed offset with its metadata."""

    async def join(self, instance_id: str | None, listener: "Listener") -> Consumer:
        """A member of the group."""


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Counts what its member is told."""

    def __init__(self) -> None:
        self.assignments = 0

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """After a join."""
        del assigned
        self.assignments += 1

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Before one."""


class ModelKafka:
    """The simulation's."""

    partition = TopicPartition(model.TOPIC, 0)
    events = model.EVENTS
    group_id = "customer-sync"

    def __init__(self, broker: model.Broker) -> None:
        self._broker = broker

    def producer(self) -> AIOKafkaProducer:
        """See `Kafka`."""
        return ModelProducer(transactional_id="customer-sync.customer.update.0")

    async def seen(self) -> Seen:
        """See `Kafka`."""
        # Markers are written at most half a second after a commit.
        await asyncio.sleep(1)
        reader = OffsetReader(ModelAdmin(), self.group_id)
        return [outcome.record.value for outcome in self._broker.visible()], await reader.committed(self.partition)

    async def join(self, instance_id: str | None, listener: Listener) -> Consumer:
        """See `Kafka`."""
        consumer = ModelConsumer(instance_id, listener)
        consumer._coordinator.begin()
        return consumer


class RealKafka:
    """A broker."""

    def __init__(self, topics: Topics, cluster: Cluster, reader: AIOKafkaConsumer) -> None:
        self.partition = TopicPartition(topics.commands, 0)
        self.events = topics.events
        self.group_id = topics.group_id
        self._topics = topics
        self._cluster = cluster
        self._reader = reader
        self._values: list[bytes | None] = []

    def producer(self) -> AIOKafkaProducer:
        """See `Kafka`."""
        return self._cluster._make_producer(f"{self.group_id}.0")

    async def seen(self) -> Seen:
        """See `Kafka`."""
        for records in (await self._reader.getmany(timeout_ms=200)).values():
            self._values += [record.value for record in records]
        return self._values, await self._cluster.offsets().committed(self.partition)

    async def join(self, instance_id: str | None, listener: Listener) -> Consumer:
        """See `Kafka`."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._topics.bootstrap_servers,
            group_id=self.group_id,
            group_instance_id=instance_id,
            partition_assignment_strategy=[announcing(lambda: None)],
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            enable_auto_commit=False,
        )
        consumer.subscribe([self.partition.topic], listener=listener)
        await consumer.start()
        return consumer


@asynccontextmanager
async def real_kafka(topics: Topics) -> AsyncIterator[RealKafka]:
    """A broker, with topics of its own."""
    cluster = Cluster(
        {"bootstrap_servers": topics.bootstrap_servers, "client_id": "test", "security_protocol": "PLAINTEXT"},
        group_id=topics.group_id,
        exactly_once=True,
        consumer=lambda: None,
        say=print,
    )
    await cluster.connect([topics.commands, topics.events, topics.dead_letter])
    try:
        async with topics.reader("read_committed", topics.events) as reader:
            yield RealKafka(topics, cluster, reader)
    finally:
        await cluster.close()


class _Nobody:
    """Where the upstream would be: no history asks it anything."""

    def disconnect(self, _process: Process) -> None:
        """Nothing was connected."""


def on_the_model(history: Callable[[Kafka], Coroutine[Any, Any, None]]) -> None:
    """Plays *history* in a simulated process; in a thread of its own, where no other loop runs."""
    world = World(seed=1)
    broker = model.Broker(world, PARTITIONS)
    ended: list[BaseException | None] = []
    process = Process(
        "w1",
        world,
        broker,
        Group(world, broker, on_lost=lambda _: None),
        cast("Any", _Nobody()),
        main=lambda: history(ModelKafka(broker)),
        on_note=lambda _process, _what: None,
        on_exit=lambda _process, error: ended.append(error),
    )
    assert world.run(lambda: bool(ended), world.now + 3_600)
    process.loop.end()
    if ended[0] is not None:
        raise ended[0]


@dataclass
class Transactions:
    """A predecessor and a successor of one partition, and what a seed makes them do."""

    kafka: Kafka
    chance: random.Random
    ledgers: dict[str, ExactlyOnceLedger] = field(default_factory=dict)
    # Those that may go on: started, not fenced, without an open transaction.
    usable: set[str] = field(default_factory=set)
    offset: int = 0

    async def step(self) -> str:
        """What was done, and what came of it."""
        name = self.chance.choice("ab")
        does = self.chance.choice(("start", "commit", "commit", "commit", "empty", "large", "leave open", "close"))
        values = [f"{self.offset}.{number}".encode() for number in range(self.chance.randint(1, 3))]
        metadata = self.chance.choice(("", "short", "x" * 4096))
        self.offset += 1
        if name not in self.usable or does == "start":
            return f"{name} starts: {await self.outcome_of(self.start(name))}"
        ledger = self.ledgers[name]
        match does:
            case "close":
                self.usable.discard(name)
                return f"{name} closes: {await self.outcome_of(ledger.close())}"
            case "leave open":
                self.usable.discard(name)
                return f"{name} leaves open: {await self.leave_open(ledger, values)}"
            case "empty":
                values = []
            case "large":
                values.append(b"x" * 2 * LARGEST_EVENT)
            case _:
                pass
        outcome = await self.outcome_of(ledger.commit(list(map(self.event, values)), self.offset, metadata))
        if outcome != "done":
            self.usable.discard(name)
        return f"{name} {does}: {outcome}"

    async def start(self, name: str) -> None:
        """Anew, as after a restart: whoever had it before is fenced."""
        if name in self.ledgers:
            await self.ledgers[name].close()
        ledger = self.ledgers[name] = ExactlyOnceLedger(self.kafka.producer, self.kafka.group_id, self.kafka.partition)
        await ledger.start()
        self.usable.add(name)

    async def leave_open(self, ledger: ExactlyOnceLedger, values: list[bytes]) -> str:
        """As a kill in the middle of a commit does; a fenced one finds out here."""
        producer = ledger._producer
        assert producer is not None
        await producer.begin_transaction()
        sent = [await producer.send(self.kafka.events, value=value, key=b"key", headers=[]) for value in values]
        await asyncio.wait(sent)
        return "fenced" if any(one.exception() for one in sent) else "open"

    async def end(self) -> None:
        """Lets go of everything."""
        for ledger in self.ledgers.values():
            await ledger.close()

    def event(self, value: bytes) -> tuple[str, OutcomeRecord]:
        """One event."""
        return self.kafka.events, OutcomeRecord(OutcomeKind.EVENT, b"key", value, ())

    @staticmethod
    async def outcome_of(doing: Awaitable[None]) -> str:
        """What the worker hears."""
        try:
            await doing
        except KafkaFault as fault:
            return type(fault).__name__
        return "done"


@pytest.mark.parametrize("seed", range(6))
async def test_transactions_fencing_and_offsets_are_those_of_kafka(topics: Topics, seed: int) -> None:
    """Commits, aborts, what is left open, what is too large, late and early starts: the same is heard, and seen."""
    steps = 14
    expected: list[tuple[str, Seen]] = []

    async def foretell(kafka: Kafka) -> None:
        transactions = Transactions(kafka, random.Random(seed))
        expected.extend([(await transactions.step(), await kafka.seen()) for _ in range(steps)])

    await asyncio.to_thread(on_the_model, foretell)
    await topics.limit_events(LARGEST_EVENT)
    async with real_kafka(topics) as kafka:
        transactions = Transactions(kafka, random.Random(seed))
        try:
            for number, (heard, seen) in enumerate(expected):
                assert (number, await transactions.step()) == (number, heard)
                await eventually(
                    partial(is_seen, kafka, seen), within_seconds=15, what=f"{seen} after step {number}, {heard}"
                )
        finally:
            await transactions.end()


async def is_seen(kafka: Kafka, seen: Seen) -> bool:
    """Whether this, and no more, is seen; a broker that has just started needs a moment for its coordinators."""
    try:
        return (await kafka.seen()) == seen
    except CommitFailed:
        return False


async def owners(members: dict[str, Consumer]) -> dict[str, set[int]]:
    """Who has which partitions, once each has exactly one owner and that has lasted for a while."""
    before: dict[str, set[int]] = {}
    lasted = 0
    while lasted < 5:
        await asyncio.sleep(0.2)
        held = {name: {tp.partition for tp in member.assignment()} for name, member in members.items()}
        is_whole = sorted(number for numbers in held.values() for number in numbers) == list(range(PARTITIONS))
        lasted = lasted + 1 if is_whole and held == before else 0
        before = held
    return before


async def comings_and_goings(kafka: Kafka) -> list[object]:
    """Members join and leave; one with a static id is replaced, as after a restart of its container."""
    members: dict[str, Consumer] = {}
    listeners: dict[str, Listener] = {}
    facts: list[object] = []

    async def join(name: str, instance_id: str | None = None) -> None:
        listeners[name] = Listener()
        members[name] = await kafka.join(instance_id, listeners[name])
        while not listeners[name].assignments:  # noqa: ASYNC110  # there is no event
            await asyncio.sleep(0.1)

    async def note(what: str) -> dict[str, set[int]]:
        told = {name: listener.assignments for name, listener in listeners.items() if name in members}
        held = await owners(members)
        facts.append((what, {name: len(numbers) for name, numbers in held.items()}, sorted(told)))
        return held

    await join("a")
    await note("the first has all")
    await join("b")
    await note("the second has its share")
    await join("static", "the-same-id")
    before = await note("so has the third")
    told = {name: listeners[name].assignments for name in "ab"}
    await members.pop("static").stop()
    await join("static again", "the-same-id")
    after = await note("a static member comes back")
    facts.append(("to its own partitions", before["static"] == after["static again"]))
    facts.append(("and nobody is told", {name: listeners[name].assignments - told[name] for name in "ab"}))
    await members.pop("b").stop()
    await note("a member leaves, and others have its partitions")
    for member in members.values():
        await member.stop()
    return facts


async def test_members_and_their_partitions_are_those_of_kafka(topics: Topics) -> None:
    """Each partition has one owner, shares are even, and a static member that comes back disturbs nobody."""
    expected: list[object] = []

    async def foretell(kafka: Kafka) -> None:
        expected.extend(await comings_and_goings(kafka))

    await asyncio.to_thread(on_the_model, foretell)
    async with real_kafka(topics) as kafka:
        found = await comings_and_goings(kafka)

    assert _sizes(found) == _sizes(expected)


def _sizes(facts: list[object]) -> list[object]:
    """Which of two members has the odd partition more is nobody's concern."""
    return [
        (fact[0], sorted(fact[1].values()), fact[2]) if isinstance(fact, tuple) and len(fact) == 3 else fact
        for fact in facts
    ]
