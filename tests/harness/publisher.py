"""Commands published by librdkafka: every codec, null keys, values and headers, and many in little time."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, Producer
from confluent_kafka import Message as Record

from harness.topics import Message

Delivered = Callable[[KafkaError | None, Record], None]

ANY_PARTITION = -1
# Published records that wait for librdkafka's thread.
_LONGEST_QUEUE = 100_000


class PublishFailedError(Exception):
    """Kafka refused a record of a test."""


def make_producer(bootstrap_servers: str, **settings: Any) -> Producer:  # noqa: ANN401 -- librdkafka's own settings
    """A producer that partitions as the contract says; *settings* with underscores instead of dots."""
    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",
            "linger.ms": 5,
            "log_level": 0,  # tests stop brokers, and their errors are told by what is not delivered
            "message.max.bytes": 20_000_000,
            "queue.buffering.max.messages": _LONGEST_QUEUE,
            "enable.idempotence": True,  # keeps the order
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
    )


async def publish(
    bootstrap_servers: str,
    topic: str,
    messages: Iterable[Message],
    **settings: Any,  # noqa: ANN401 -- librdkafka's own settings
) -> list[str]:
    """Publishes in order; the coordinates "topic:partition:offset" of each."""
    return await asyncio.to_thread(_publish, make_producer(bootstrap_servers, **settings), topic, messages)


def _publish(producer: Producer, topic: str, messages: Iterable[Message]) -> list[str]:
    coordinates: list[str] = []
    for position, message in enumerate(messages):
        coordinates.append("")

        def delivered(error: KafkaError | None, record: Record, position: int = position) -> None:
            if error is not None:
                raise PublishFailedError(str(error))
            coordinates[position] = f"{record.topic()}:{record.partition()}:{record.offset()}"

        send(producer, topic, message, delivered)
    producer.flush(60)
    if "" in coordinates:
        message_text = f"{coordinates.count('')} records were not published"
        raise PublishFailedError(message_text)
    return coordinates


def send(producer: Producer, topic: str, message: Message, delivered: Delivered) -> None:
    """Hands one record to librdkafka; waits while its queue is full."""
    while True:
        try:
            producer.produce(
                topic,
                value=message.value_bytes(),
                key=message.key_bytes(),
                headers=list(message.headers),
                on_delivery=delivered,
                partition=ANY_PARTITION if message.partition is None else message.partition,
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return
