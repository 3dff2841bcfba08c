"""What became of commands, read from the events and the dead-letter topic; shared by `send --wait` and `watch`."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from handlers.fields import SNAKE
from worker.cli.console import options_for_clients

if TYPE_CHECKING:
    from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Outcome:
    """A record of the events or the dead-letter topic, as it was found."""

    is_event: bool
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]

    @property
    def command_id(self) -> str:
        """The id of the command it is the outcome of; with its number where that was a replay."""
        if self.is_event:
            return self.headers.get("ce_causationid", "")
        replay = self.headers.get("dlq-replay", "")
        return self.headers.get("dlq-command-id", "") + (f"#{replay}" if replay else "")

    @property
    def customer_id(self) -> str:
        """The key as text; empty where there is none."""
        return (self.key or b"").decode(errors="replace")

    @property
    def reason(self) -> str:
        """`dlq-reason`; empty for an event."""
        return "" if self.is_event else self.headers.get("dlq-reason", "")

    @property
    def error(self) -> str:
        """`dlq-error`; empty for an event."""
        return "" if self.is_event else self.headers.get("dlq-error", "")

    @property
    def time(self) -> str:
        """When the record was written, ISO 8601 in UTC; empty where it has no time."""
        if self.timestamp_ms < 0:
            return ""
        moment = datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)
        return moment.isoformat(timespec="seconds").replace("+00:00", "Z")

    def named_fields(self) -> Sequence[str]:
        """The fields that a dead command names, as far as the contract knows them; no values."""
        content = self._content()
        data = content.get("data", content) if isinstance(content, dict) else {}
        changes = data.get("changes") if isinstance(data, dict) else None
        return sorted({SNAKE[name] for name in changes if name in SNAKE}) if isinstance(changes, dict) else []

    def as_json(self) -> dict[str, Any]:
        """All of it; a value that is no JSON stands as `text` or, where it is no text either, as `base64`."""
        content = self._content()
        document: dict[str, Any] = {
            "outcome": "event" if self.is_event else "dead_letter",
            "customer_id": self.customer_id,
            "command_id": self.command_id,
        }
        if not self.is_event:
            document |= {"reason": self.reason, "error": self.error}
        document |= {
            "time": self.time,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "headers": dict(self.headers),
        }
        if content is not None or self.value is None:
            return {**document, "value": content}
        try:
            return {**document, "text": self.value.decode()}
        except UnicodeDecodeError:
            return {**document, "base64": base64.b64encode(self.value).decode()}

    def _content(self) -> Any:  # noqa: ANN401  # JSON of any type
        try:
            return json.loads(self.value or b"null")
        except (ValueError, RecursionError):
            return None


class Outcomes:
    """The outcomes from a position on; see `following`."""

    def __init__(self, consumer: AIOKafkaConsumer, events_topic: str) -> None:
        self._consumer = consumer
        self._events_topic = events_topic

    async def next_batch(self, within_seconds: float) -> list[Outcome]:
        """What comes within the time, by time; nothing may have come."""
        batches = await self._consumer.getmany(timeout_ms=int(within_seconds * 1000))
        found = [self._outcome(record) for batch in batches.values() for record in batch]
        return sorted(found, key=lambda outcome: outcome.timestamp_ms)

    async def ends(self) -> dict[TopicPartition, int]:
        """Where each partition ends now, for a reader of committed records."""
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._consumer.assignment())
        return ends

    async def is_past(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether everything before *ends* has been handed out."""
        for partition, end in ends.items():
            if await self._consumer.position(partition) < end:
                return False
        return True

    def _outcome(self, record: ConsumerRecord) -> Outcome:
        return Outcome(
            is_event=record.topic == self._events_topic,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp_ms=record.timestamp,
            key=record.key,
            value=record.value,
            headers={name: (value or b"").decode(errors="replace") for name, value in record.headers},
        )


@asynccontextmanager
async def following(
    settings: Settings, partitions: Mapping[str, int], *, from_beginning: bool = False
) -> AsyncIterator[Outcomes]:
    """Reads committed outcomes of *partitions*, the number of them by topic, from now on or from the beginning.

    Belongs to no consumer group, so that nobody else's reading changes.
    """
    consumer = AIOKafkaConsumer(
        **options_for_clients(settings),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)]
        consumer.assign(assigned)
        if from_beginning:
            await consumer.seek_to_beginning(*assigned)
        else:
            await consumer.seek_to_end(*assigned)
            # seek_to_end is carried out lazily: what is sent next must come after it.
            for partition in assigned:
                await consumer.position(partition)
        yield Outcomes(consumer, settings.events_topic)
    finally:
        await consumer.stop()


def existing_partitions(found: Mapping[str, object], *, needed: Sequence[str]) -> dict[str, int]:
    """The number of partitions of each topic in *needed*. Raises `Failure` where one does not exist."""
    from worker.cli.failure import Failure
    from worker.kafka.topics import Topic

    partitions: dict[str, int] = {}
    for name in needed:
        topic = found[name]
        if not isinstance(topic, Topic):
            raise Failure(f"topic {name}: {topic}", fix="create it with `customer-sync topics create`")
        partitions[name] = topic.partitions
    return partitions
