"""Commands at a steady rate for hours, and what became of each: with a byte for each command, not an object.

Publisher and judge work in threads, by librdkafka. Commands are numbered: the number is the command's id, and the phone
that it gives to its customer.
"""

import threading
import time
from collections import Counter
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka import Message as Record

from harness.commands import cloud_event
from harness.publisher import make_producer, send
from harness.topics import Message, Topics
from worker.demo.upstream import customer_id_for

SOURCE: Final = "/soak"
_TICK_SECONDS = 0.01
_LONGEST_FLUSH_SECONDS = 120


class Publisher:
    """Publishes *per_second* commands until it is ended; `burst` publishes some more at once.

    Each is a CloudEvent of its own, for the customers in turn.
    """

    def __init__(self, topics: Topics, *, customers: int) -> None:
        self.per_second = 0.0
        self.published = 0
        self.failed = 0
        self.last_phones: dict[str, int] = {}
        self._topics = topics
        self._customers = [customer_id_for(number) for number in range(customers)]
        # However long the broker is away, nothing is given up.
        self._producer = make_producer(topics.bootstrap_servers, message_timeout_ms=600_000)
        self._number = 0
        self._owed = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self._thread.start()

    def burst(self, commands: int) -> None:
        """So many more, as fast as Kafka takes them."""
        self._owed += commands

    def end(self) -> None:
        """Publishes no more; returns when Kafka has all."""
        self._over.set()
        self._thread.join()

    def _publish(self) -> None:
        last = time.monotonic()
        while not self._over.is_set():
            now = time.monotonic()
            self._owed += (now - last) * self.per_second
            last = now
            while self._owed >= 1:
                self._owed -= 1
                self._send_next()
            self._producer.poll(0)
            self._over.wait(_TICK_SECONDS)
        self._producer.flush(_LONGEST_FLUSH_SECONDS)

    def _send_next(self) -> None:
        self._number += 1
        customer = self._customers[self._number % len(self._customers)]
        value = {"customer_id": customer, "changes": {"phone": str(self._number)}}
        self.last_phones[customer] = self._number
        headers = cloud_event(str(self._number), SOURCE)
        send(self._producer, self._topics.commands, Message(customer, value, headers), self._delivered)

    def _delivered(self, error: KafkaError | None, _: Record) -> None:
        self.failed += error is not None
        self.published += error is None


class Judge:
    """Follows the outcomes, as a reader of committed records sees them."""

    def __init__(self, topics: Topics) -> None:
        self.events = 0
        self.twice = 0
        self.disordered = 0
        self.dead_letters: Counter[str] = Counter()
        self.last_at = time.monotonic()
        self._topics = topics
        self._settled = bytearray()
        self._newest: dict[bytes, int] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": topics.bootstrap_servers,
                "group.id": f"{topics.group_id}.judge",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,  # it outlives restarts of the broker, and need not tell
            }
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    @property
    def outcomes(self) -> int:
        """Commands that have one."""
        return self.events + sum(self.dead_letters.values()) - self.twice

    def end(self) -> None:
        """Follows no more."""
        self._over.set()
        self._thread.join()
        self._consumer.close()

    def _follow(self) -> None:
        places = [
            TopicPartition(topic, partition, 0)
            for topic in (self._topics.events, self._topics.dead_letter)
            for partition in range(self._topics.partitions)
        ]
        self._consumer.assign(places)
        while not self._over.is_set():
            for record in self._consumer.consume(1000, timeout=0.1):
                if record.error() is None:
                    self._judge(record)

    def _judge(self, record: Record) -> None:
        headers: dict[str, bytes] = dict(record.headers() or ())  # type: ignore[arg-type]  # its stub is vaguer
        is_event = record.topic() == self._topics.events
        number = int(headers["ce_causationid" if is_event else "dlq-command-id"])
        key = record.key()
        assert isinstance(key, bytes)
        if is_event:
            self.events += 1
            self.disordered += number < self._newest.get(key, 0)
            self._newest[key] = max(number, self._newest.get(key, 0))
        else:
            self.dead_letters[headers["dlq-reason"].decode()] += 1
        self._settled.extend(bytes(max(number + 1 - len(self._settled), 0)))
        self.twice += self._settled[number]
        self._settled[number] = 1
        self.last_at = time.monotonic()


def stale(publisher: Publisher, phones: dict[str, int]) -> int:
    """Customers whose *phones* upstream are not those of their last commands."""
    return sum(phones.get(customer) != number for customer, number in publisher.last_phones.items())
