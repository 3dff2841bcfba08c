"""Measures `customer-sync trace` on a million commands with their outcomes, on a real broker: `make bench-trace`.

    make bench-trace
    make bench-trace ARGS="--commands 200000"

The three topics are filled as publishers and workers fill them (CloudEvents headers, events in transactions, one dead
letter in a hundred), with the commands spread over a day. Each question is a process of its own, so its time includes
starting Python and connecting, and its peak memory is its own. Ends with 1 where a bar is missed.
"""

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition

from handlers.command import Command, decode
from handlers.customer import Customer
from handlers.dead_letter import dead_letter_record
from handlers.errors import Reason
from handlers.event import EventFormat, event_record
from handlers.record import CommandRecord, OutcomeRecord
from handlers.replay import Outgoing
from harness.broker import Broker
from harness.broker_choice import choose
from harness.commands import full_customer
from harness.publisher import make_producer
from harness.reaper import Reaper
from harness.topics import Topics, create_topics
from worker.kafka.reading import TopicReader, librdkafka_options

PARTITIONS = 6
CUSTOMERS = 20_000
SPREAD_MS = 24 * 3_600_000
ONE_DIES_OF = 100
LARGEST_TRANSACTION = 2_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, within how many seconds and MiB it must be answered, and what the exit code must be."""

    title: str
    arguments: tuple[str, ...]
    bar_seconds: float
    code: int = 0
    bar_mebibytes: float = 200.0


def main() -> int:
    """Fills, asks, prints."""
    parser = argparse.ArgumentParser(description="Measures `customer-sync trace`.")
    parser.add_argument("--commands", type=int, default=1_000_000)
    options = parser.parse_args()
    reaper = Reaper()
    choice = choose(reaper)
    try:
        if not choice.broker.real:
            print(f"a benchmark needs a real Kafka, and this is {choice.broker.describe()}")
            return 2
        return _measure(choice.broker, options.commands)
    finally:
        choice.broker.close()
        reaper.close()


def _measure(broker: Broker, number: int) -> int:
    topics = asyncio.run(create_topics(broker, partitions=PARTITIONS))
    began = time.monotonic()
    _publish_commands(topics, number, since_ms=time.time_ns() // 1_000_000 - SPREAD_MS)
    recent, dead = _publish_outcomes(topics)
    _commit(topics)
    print(f"{number:,} commands and their outcomes were published in {time.monotonic() - began:.0f} s")
    print(f"on {broker.describe()}; load average {os.getloadavg()[0]:.1f}\n")
    questions = [
        Question("by id, within the last hour", (recent.id, "--since", "1h"), 10),
        Question("by id, without bounds", (recent.id,), 60),
        Question("by the id of a dead letter", (dead.id,), 60, code=1),
        Question("by place", (recent.record.coordinates,), 10),
        Question("by customer", (recent.customer_id,), 60),
        Question("never seen", ("never-seen",), 60, code=5),
    ]
    print(f"| {'asked':30} | seconds | bar | peak MiB |\n|{'-' * 32}|--------:|----:|---------:|")
    missed = [question.title for question in questions if _ask(question, topics)]
    return int(bool(missed))


def _ask(question: Question, topics: Topics) -> bool:
    """Asks in a process of its own; whether a bar was missed."""
    environment = {"PATH": os.environ["PATH"], **topics.environment()}
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "trace", *question.arguments, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = process.stdout.read(), process.stderr.read()  # type: ignore[union-attr]  # both are pipes
    _, status, usage = os.wait4(process.pid, 0)
    seconds, mebibytes = time.monotonic() - began, usage.ru_maxrss / 1024
    print(f"| {question.title:30} | {seconds:7.2f} | {question.bar_seconds:3.0f} | {mebibytes:8.0f} |", flush=True)
    code = os.waitstatus_to_exitcode(status)
    if code != question.code:
        print(f"ended with {code}, not {question.code}: {output.decode()[:500]} {errors.decode()[-2000:]}")
    return code != question.code or seconds > question.bar_seconds or mebibytes > question.bar_mebibytes


def _publish_commands(topics: Topics, number: int, *, since_ms: int) -> None:
    chance = random.Random(1)
    customers = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(CUSTOMERS)]
    producer = make_producer(topics.bootstrap_servers, linger_ms=50)
    for position in range(number):
        customer = chance.choice(customers)
        changes = {"note": f"{position} {'x' * 80}", "phone": None, "city": f"City {position}", "zip": f"{position:08}"}
        attributes = {"specversion": "1.0", "source": "/crm/billing", "type": "customer.update"}
        attributes["id"] = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
        value = json.dumps({"customer_id": customer, "changes": changes}).encode()
        timestamp_ms = since_ms + position * SPREAD_MS // number
        _produce(
            producer,
            topics.commands,
            Outgoing(customer.encode(), value, tuple(headers)),
            timestamp_ms,
        )
    producer.flush(120)


def _publish_outcomes(topics: Topics) -> tuple[Command, Command]:
    """An outcome for each command; returns the latest that was applied, and the latest that died."""
    producer = make_producer(topics.bootstrap_servers, linger_ms=50, transactional_id=f"{topics.group_id}.bench")
    producer.init_transactions(30)
    producer.begin_transaction()
    customer = Customer.parse(json.dumps(_a_customer()).encode())
    event_format = EventFormat()
    applied: Command | None = None
    died: Command | None = None
    with _reader(topics) as reader:
        records = (record for batch in reader.read(reader.ranges(topics.commands)) for record in batch)
        for position, record in enumerate(records, start=1):
            command = decode(CommandRecord(*record))
            settled_ms = record.timestamp_ms + 700
            if position % ONE_DIES_OF:
                applied = _later(applied, command)
                outcome = event_record(command, customer, event_format)
                _produce(producer, topics.events, outcome, settled_ms)
            else:
                died = _later(died, command)
                _produce(producer, topics.dead_letter, _dead_letter(command), settled_ms)
            if position % LARGEST_TRANSACTION == 0:
                producer.commit_transaction(60)
                producer.begin_transaction()
    producer.commit_transaction(60)
    if applied is None or died is None:
        message = "there must be more commands"
        raise ValueError(message)
    return applied, died


def _later(known: Command | None, command: Command) -> Command:
    return command if known is None or known.record.timestamp_ms <= command.record.timestamp_ms else known


def _dead_letter(command: Command) -> OutcomeRecord:
    return dead_letter_record(
        command.record,
        command_id=command.id,
        reason=Reason.REJECTED,
        error="the upstream refuses it",
        status=400,
        attempts=1,
        worker="bench",
    )


def _a_customer() -> dict[str, object]:
    customer = full_customer(str(uuid.UUID(int=0)), "bench")
    return customer | {"createdAt": "2026-01-01T00:00:00Z", "token": "t" * 100, "invoiceCount": 1, "projectCount": 1}


def _produce(producer: Producer, topic: str, record: OutcomeRecord | Outgoing, timestamp_ms: int) -> None:
    while True:
        try:
            producer.produce(topic, record.value, record.key, headers=list(record.headers), timestamp=timestamp_ms)
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return


def _reader(topics: Topics) -> TopicReader:
    options = librdkafka_options(
        bootstrap_servers=topics.bootstrap_servers, client_id="bench", security_protocol="PLAINTEXT"
    )
    return TopicReader(
        options,
        group_id=topics.group_id,
        within_seconds=30,
        aiokafka_options={"bootstrap_servers": topics.bootstrap_servers, "client_id": "bench"},
    )


def _commit(topics: Topics) -> None:
    """Says for the group that everything is settled."""
    with _reader(topics) as reader:
        ends = [TopicPartition(one.topic, one.partition, one.end) for one in reader.ranges(topics.commands)]
    consumer = Consumer({"bootstrap.servers": topics.bootstrap_servers, "group.id": topics.group_id})
    consumer.assign(ends)
    consumer.commit(offsets=ends, asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    sys.exit(main())
