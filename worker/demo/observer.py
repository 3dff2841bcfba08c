"""Drives and watches from outside, as publishers, subscribers and operators do: over Kafka and HTTP alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from worker.demo.account import Outcome, Sent
from worker.demo.broker import PARTITIONS_OF_EVERY_TOPIC
from worker.demo.day import Day, Row, WorkerStatus
from worker.demo.stage import Stage
from worker.demo.traffic import FIRMS, TAGS
from worker.kafka.admin import murmurs
from worker.kafka.partitioner import partition_of
from worker.settings import Settings

_LOOK_EVERY_SECONDS: Final = 0.1
_HTTP_SECONDS: Final = 5.0


def _topic(setting: str) -> str:
    return str(Settings.model_fields[setting].default)


COMMANDS: Final = _topic("commands_topic")
EVENTS: Final = _topic("events_topic")
DEAD_LETTERS: Final = _topic("dead_letter_topic")


class Observer:
    """Publishes commands, reads outcomes, and asks worker and upstream how they are; see `observer`."""

    def __init__(
        self, stage: Stage, day: Day, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, http: ClientSession
    ) -> None:
        self._stage = stage
        self._day = day
        self._producer = producer
        self._consumer = consumer
        self._http = http
        self._looked = asyncio.Event()
        self._read_to: dict[TopicPartition, int] = {}

    async def publish(self, row: Row) -> None:
        """Sends the commands of *row*, in their order, and notes where Kafka has put them."""
        acknowledged = [
            await self._producer.send(
                COMMANDS,
                value=command.value,
                key=command.key,
                headers=list(command.headers),
                partition=partition_of(command.key, PARTITIONS_OF_EVERY_TOPIC),
            )
            for command in row.line.commands
        ]
        for command, future in zip(row.line.commands, acknowledged, strict=True):
            metadata = await future
            row.sent.append(Sent(command, metadata.topic, metadata.partition, metadata.offset))

    async def control(self, **changes: object) -> None:
        """Changes the simulated upstream."""
        async with self._http.post(f"{self._stage.upstream_url}/control", json=changes) as response:
            response.raise_for_status()

    async def follow(self, heed: Callable[[Sequence[Outcome]], None]) -> None:
        """Reads events and dead letters until cancelled, and passes them on."""
        while True:
            batches = await self._consumer.getmany(timeout_ms=200)
            if batches:
                heed([_outcome(record) for batch in batches.values() for record in batch])
                self._read_to |= {partition: batch[-1].offset + 1 for partition, batch in batches.items()}

    async def look(self) -> None:
        """Asks worker and upstream several times a second until cancelled; one that does not answer is asked again."""
        while True:
            try:
                await self._look_at_upstream()
                self._day.worker = WorkerStatus.parse(await self._get(f"{self._stage.worker_url}/api/status"))
            except (ClientError, TimeoutError):
                self._day.worker = None
            self._looked.set()
            await asyncio.sleep(_LOOK_EVERY_SECONDS)

    async def until_settled(self) -> None:
        """Returns when every command has its outcome, and the worker has committed it."""
        while not self._day.is_settled:
            self._looked.clear()
            await self._looked.wait()

    async def upstream_state(self) -> Mapping[str, Any]:
        """What the upstream holds now."""
        return await self._get(f"{self._stage.upstream_url}/control?journal=0")

    async def until_all_is_read(self) -> None:
        """Returns when everything that is published by now has been passed on."""
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        while any(self._read_to.get(partition, 0) < end for partition, end in ends.items()):
            self._looked.clear()
            await self._looked.wait()

    async def _look_at_upstream(self) -> None:
        since = self._day.journal_known_to
        state = await self._get(f"{self._stage.upstream_url}/control?customers=0&since={since}")
        self._day.asked(state["journal"])

    async def _get(self, url: str) -> Mapping[str, Any]:
        async with self._http.get(url) as response:
            response.raise_for_status()
            document: Mapping[str, Any] = await response.json()
            return document


@asynccontextmanager
async def observer(stage: Stage, day: Day) -> AsyncIterator[Observer]:
    """Connects to *stage*, creates the topics, and fills the upstream with the day's customers."""
    servers = {"bootstrap_servers": stage.bootstrap_servers}
    consumer = AIOKafkaConsumer(**servers, auto_offset_reset="earliest", isolation_level="read_committed")
    with murmurs():
        async with (
            ClientSession(timeout=ClientTimeout(total=_HTTP_SECONDS)) as http,
            AIOKafkaProducer(**servers) as producer,
            consumer,
        ):
            # The embedded broker creates a topic when it is first asked about.
            for topic in (COMMANDS, EVENTS, DEAD_LETTERS):
                await producer.partitions_for(topic)
            consumer.assign(
                [
                    TopicPartition(topic, partition)
                    for topic in (EVENTS, DEAD_LETTERS)
                    for partition in range(PARTITIONS_OF_EVERY_TOPIC)
                ]
            )
            built = Observer(stage, day, producer, consumer, http)
            await built.control(tags_known=list(TAGS.values()), customers=[firm.as_json() for firm in FIRMS])
            yield built


def _outcome(record: ConsumerRecord) -> Outcome:
    return Outcome(
        is_event=record.topic == EVENTS,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
