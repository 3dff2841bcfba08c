"""A firm's day in short: commands for a number of customers, some of them bad, at a steady rate."""

import asyncio
import json
import random
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from confluent_kafka import KafkaError
from confluent_kafka import Message as Record

from harness.publisher import make_producer, send
from harness.topics import Message, Topics
from worker.demo.upstream import customer_id_for

NOT_FOUND_FROM = 900_000
"""Customers from this number on exist nowhere, as long as fewer are generated."""


class Kind(StrEnum):
    """What becomes of a command, if all goes well."""

    EVENT = "event"
    UNDECODABLE = "undecodable"
    UNKNOWN_CUSTOMER = "unknown_customer"


@dataclass(frozen=True, slots=True)
class Published:
    """A command that Kafka has taken; *number* counts those of its customer and is its new phone.

    *sent_at* is in monotonic seconds, before it was handed to Kafka's client.
    """

    command_id: str
    customer_id: str
    number: int
    kind: Kind
    sent_at: float

    @property
    def position(self) -> tuple[int, int]:
        """Its partition and offset."""
        _, partition, offset = self.command_id.rsplit(":", 2)
        return int(partition), int(offset)


@dataclass(slots=True)
class Load:
    """What was published so far; complete once the load has ended."""

    published: list[Published] = field(default_factory=list)

    @property
    def command_ids(self) -> list[str]:
        """The ids of all commands."""
        return [one.command_id for one in self.published]

    def last_numbers(self) -> dict[str, int]:
        """The phone that each customer must have in the end."""
        return {one.customer_id: one.number for one in self.published if one.kind is Kind.EVENT}


@asynccontextmanager
async def load(topics: Topics, *, customers: int, per_second: float, seed: int) -> AsyncIterator[Load]:
    """Publishes from a thread of its own until the block ends; a tenth of the commands is bad."""
    done = threading.Event()
    result = Load()
    publish = partial(_publish, topics, result, done, customers=customers, per_second=per_second, seed=seed)
    publishing = asyncio.get_running_loop().run_in_executor(None, publish)
    try:
        yield result
    finally:
        done.set()
        await publishing


def _publish(
    topics: Topics, result: Load, done: threading.Event, *, customers: int, per_second: float, seed: int
) -> None:
    chance = random.Random(seed)
    producer = make_producer(topics.bootstrap_servers)
    numbers: dict[str, int] = {}
    begun = time.monotonic()
    count = 0
    while not done.is_set():
        while count < (time.monotonic() - begun) * per_second:
            count += 1
            customer_id, kind = _choose(chance, customers)
            number = numbers[customer_id] = numbers.get(customer_id, 0) + 1

            sent = (customer_id, number, kind, time.monotonic())

            def delivered(error: KafkaError | None, record: Record, sent: tuple[str, int, Kind, float] = sent) -> None:
                if error is None:
                    command_id = f"{record.topic()}:{record.partition()}:{record.offset()}"
                    result.published.append(Published(command_id, *sent))

            value = json.dumps({"customer_id": customer_id, "changes": {"phone": str(number)}}).encode()
            if kind is Kind.UNDECODABLE:
                value = value[:-1]
            send(producer, topics.commands, Message(customer_id, value), delivered)
        done.wait(0.01)
        producer.poll(0)
    producer.flush(60)


def _choose(chance: random.Random, customers: int) -> tuple[str, Kind]:
    luck = chance.random()
    if luck < 0.05:
        return customer_id_for(NOT_FOUND_FROM + chance.randrange(customers)), Kind.UNKNOWN_CUSTOMER
    # Few customers get most of the commands, so that some wait together and others come alone.
    customer_id = customer_id_for(int(customers * chance.random() ** 2))
    return customer_id, Kind.UNDECODABLE if luck < 0.1 else Kind.EVENT
