"""Topics of a test's own, what is published to them, and what comes out."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion

from harness.broker import Broker, unique
from harness.polling import NotInTimeError, eventually
from worker.demo.broker import PARTITIONS_OF_EVERY_TOPIC


@dataclass(frozen=True, slots=True)
class Message:
    """A record to publish; a *value* that is no bytes is sent as JSON, a *key* that is text as UTF-8."""

    key: str | bytes | None
    value: Any
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int | None = None
    """None: where Kafka's murmur2 of the key puts it."""
    timestamp_ms: int | None = None

    def key_bytes(self) -> bytes | None:
        """The key as it goes to Kafka."""
        return self.key.encode() if isinstance(self.key, str) else self.key

    def value_bytes(self) -> bytes | None:
        """The value as it goes to Kafka."""
        return self.value if self.value is None or isinstance(self.value, bytes) else json.dumps(self.value).encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record of the events or the dead-letter topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]
    raw_headers: tuple[tuple[str, bytes | None], ...]
    is_event: bool

    @property
    def customer_id(self) -> str | None:
        """The key as text."""
        return None if self.key is None else self.key.decode()

    @property
    def command_id(self) -> str:
        """The id of the command it is the outcome of."""
        return self.headers["ce_causationid" if self.is_event else "dlq-command-id"]

    @property
    def reason(self) -> str | None:
        """Why it is a dead letter; None for an event."""
        return None if self.is_event else self.headers["dlq-reason"]

    @property
    def payload(self) -> Any:  # noqa: ANN401 -- JSON of any shape: it is the test's business to look into it
        """The value, read as JSON."""
        return json.loads(self.value or b"null")


@dataclass(frozen=True, slots=True)
class Topics:
    """A command topic, an events topic, a dead-letter topic and a consumer group that no other test uses."""

    bootstrap_servers: str
    commands: str
    events: str
    dead_letter: str
    group_id: str
    partitions: int
    fetch_seconds: float = 0.0
    """How long the broker may hold a fetch although there are records: the embedded mock does."""

    @property
    def desk(self) -> str:
        """The topic of decisions about dead letters."""
        return f"{self.dead_letter}.desk"

    def environment(self) -> dict[str, str]:
        """What points a worker at these topics."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "KAFKA_GROUP_ID": self.group_id,
            "COMMANDS_TOPIC": self.commands,
            "EVENTS_TOPIC": self.events,
            "DEAD_LETTER_TOPIC": self.dead_letter,
        }

    async def publish(self, messages: Iterable[Message], *, topic: str | None = None) -> list[str]:
        """Publishes to the command topic (or *topic*), in order; the coordinates "topic:partition:offset" of each."""
        topic = topic or self.commands
        # murmur2 of the key is the default partitioner of aiokafka
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, linger_ms=5, max_request_size=20_000_000
        ) as producer:
            sent = [
                await producer.send(
                    topic,
                    key=message.key_bytes(),
                    value=message.value_bytes(),
                    headers=list(message.headers),
                    partition=message.partition,
                    timestamp_ms=message.timestamp_ms,
                )
                for message in messages
            ]
            done = [await one for one in sent]
        return [f"{one.topic}:{one.partition}:{one.offset}" for one in done]

    async def publish_in_transaction(self, messages: Iterable[Message], *, commit: bool) -> list[str]:
        """Publishes in a transaction of its own, which ends as *commit* says; the coordinates of each."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, transactional_id=unique("publisher")
        ) as producer:
            await producer.begin_transaction()
            done = [
                await producer.send_and_wait(
                    self.commands, key=message.key_bytes(), value=message.value_bytes(), headers=list(message.headers)
                )
                for message in messages
            ]
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        return [f"{one.topic}:{one.partition}:{one.offset}" for one in done]

    async def limit_events(self, largest_bytes: int) -> None:
        """Sets max.message.bytes of the events topic; returns when the broker goes by it."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            topic = ConfigResource(ConfigResourceType.TOPIC, self.events)
            wanted = {"max.message.bytes": str(largest_bytes)}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, self.events, configs=wanted)])

            async def in_force() -> bool:
                (answer,) = await admin.describe_configs([topic])
                return any(
                    (name, value) == ("max.message.bytes", str(largest_bytes))
                    for name, value, *_ in answer.resources[0][4]
                )

            await eventually(in_force, within_seconds=10, what=f"events are limited to {largest_bytes} bytes")
        finally:
            await admin.close()

    async def delete_commands(self, *, partition: int, below: int) -> None:
        """Deletes the records of a partition of the command topic, as retention would."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(self.commands, partition): RecordsToDelete(below)})
        finally:
            await admin.close()

    async def read_outcomes(
        self,
        until: int | Callable[[Sequence[Outcome]], object],
        *,
        within_seconds: float = 30,
        isolation_level: str = "read_committed",
    ) -> list[Outcome]:
        """All outcomes from the beginning of both topics, as soon as there are *until* of them, or *until* holds.

        In the order of each partition. harness.polling.NotInTimeError after *within_seconds*, saying what there was.
        """
        found: list[Outcome] = []

        def enough() -> bool:
            return len(found) >= until if isinstance(until, int) else bool(until(found))

        async with self.reader(isolation_level, self.events, self.dead_letter) as consumer:

            async def read_on() -> bool:
                if not enough():
                    for records in (await consumer.getmany(timeout_ms=100)).values():
                        found.extend(self.outcome(record) for record in records)
                return enough()

            what = f"{until} outcomes" if isinstance(until, int) else f"outcomes for which {until} holds"
            try:
                await eventually(read_on, within_seconds=within_seconds, what=what)
            except NotInTimeError as error:
                there = [f"{one.command_id} {one.reason or 'event'}" for one in found]
                error.add_note(f"{len(found)} outcomes were there: {there[:50]}")
                raise
        return found

    async def all_outcomes(
        self, *, within_seconds: float = 30, isolation_level: str = "read_committed"
    ) -> list[Outcome]:
        """All outcomes up to the end that both topics have now: for tests that count after everything is settled."""
        async with self.reader(isolation_level, self.events, self.dead_letter) as consumer:
            found: list[Outcome] = []
            ends = await consumer.end_offsets(list(consumer.assignment()))

            async def read_to_the_end() -> bool:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found.extend(self.outcome(record) for record in records)
                return all([await consumer.position(partition) >= end for partition, end in ends.items()])

            await eventually(read_to_the_end, within_seconds=within_seconds, what=f"outcomes up to {ends}")
        return found

    async def members(self) -> dict[str, str]:
        """The group's state and the id of each member: a member that rejoins has another one.

        Empty on the embedded mock, which cannot be asked.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            (answer,) = await admin.describe_consumer_groups([self.group_id])
        except IncompatibleBrokerVersion:
            return {}
        finally:
            await admin.close()
        ((_, _, state, _, _, members, *_),) = answer.groups
        return {"state": state, **{member[0]: member[1] for member in members}}

    async def committed(self) -> dict[int, int]:
        """The group's committed offset of each partition of the command topic that has one."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            # the embedded mock cannot be asked for all partitions at once
            partitions = [TopicPartition(self.commands, partition) for partition in range(self.partitions)]
            offsets = await admin.list_consumer_group_offsets(self.group_id, partitions=partitions)
        finally:
            await admin.close()
        return {partition.partition: offset.offset for partition, offset in offsets.items() if offset.offset >= 0}

    async def await_committed(self, records: int, *, within_seconds: float = 30) -> None:
        """Returns when the committed offsets add up to *records*: everything published is settled.

        For topics without gaps, that is without transactions on the command topic.
        """

        async def all_committed() -> bool:
            return sum((await self.committed()).values()) >= records

        await eventually(all_committed, within_seconds=within_seconds, what=f"{records} records committed")

    @asynccontextmanager
    async def reader(self, isolation_level: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
        async with AIOKafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            isolation_level=isolation_level,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=20_000_000,
        ) as consumer:
            partitions = [TopicPartition(topic, partition) for topic in topics for partition in range(self.partitions)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            yield consumer

    def outcome(self, record: ConsumerRecord[bytes, bytes]) -> Outcome:
        """*record* of the events or the dead-letter topic."""
        return Outcome(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers={name: (value or b"").decode(errors="replace") for name, value in record.headers},
            raw_headers=tuple(record.headers),
            is_event=record.topic == self.events,
        )


async def create_topics(
    broker: Broker,
    *,
    partitions: int,
    configs: Mapping[str, str] | None = None,
    dead_letter_configs: Mapping[str, str] | None = None,
) -> Topics:
    """Fresh topics of *partitions* partitions each; *configs* are the command topic's.

    The embedded mock creates topics by itself, always with four partitions.
    """
    name = unique("test")
    topics = Topics(
        bootstrap_servers=broker.bootstrap_servers,
        commands=f"{name}.update",
        events=f"{name}.updated",
        dead_letter=f"{name}.update.dlq",
        group_id=name,
        partitions=partitions if broker.real else PARTITIONS_OF_EVERY_TOPIC,
        fetch_seconds=0.0 if broker.real else 0.5,
    )
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        if broker.real:
            await admin.create_topics(
                [
                    NewTopic(topics.commands, partitions, 1, topic_configs=dict(configs or {})),
                    NewTopic(topics.events, partitions, 1),
                    NewTopic(topics.dead_letter, partitions, 1, topic_configs=dict(dead_letter_configs or {})),
                    NewTopic(topics.desk, 1, 1),
                ]
            )
        names = [topics.commands, topics.events, topics.dead_letter]

        async def all_there() -> bool:
            described = await admin.describe_topics(names)
            return all(len(topic["partitions"]) == topics.partitions for topic in described)

        await eventually(all_there, within_seconds=20, what=f"topics {names}")
    finally:
        await admin.close()
    return topics
