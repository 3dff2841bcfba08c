"""What goes into the topic of a round, and how much has come out of it."""

import threading
import time
from collections.abc import Sequence

from confluent_kafka import Consumer, Producer, TopicPartition

from chaos.commands import CALM, Planned, calm_command
from harness.publisher import send
from harness.topics import Message, Topics

FLUSH_SECONDS = 120
CALM_SECONDS = 0.05


class Traffic:
    """Publishes *planned* from a thread of its own, and counts committed outcomes in another; end() joins both.

    Then it goes on with a few good commands for others than the *known* customers until calm().
    """

    def __init__(self, topics: Topics, planned: Sequence[Planned], *, known: int) -> None:
        self.published = 0
        self.refused: list[str] = []
        self.outcomes = 0
        self.calm_commands = 0
        self.calm_outcomes = 0
        self.is_published = False
        self._known = known
        self._calm_keys = {calm_command(number, known).key for number in range(CALM)}
        self._calm = threading.Event()
        self._topics = topics
        self._planned = planned
        self._done = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._publish, self._count)]
        for thread in self._threads:
            thread.start()

    def calm(self) -> None:
        """Lets it publish nothing more."""
        self._calm.set()

    def end(self) -> None:
        """Stops both."""
        self._calm.set()
        self._done.set()
        for thread in self._threads:
            thread.join(30)

    def _publish(self) -> None:
        producer = Producer(
            {
                "bootstrap.servers": self._topics.bootstrap_servers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,  # keeps the order, and publishes nothing twice when the broker restarts
                "linger.ms": 5,
                "log_level": 0,
            }
        )
        begun = time.monotonic()

        def delivered(error: object, _: object) -> None:
            if error is None:
                self.published += 1
            else:
                self.refused.append(str(error))

        for one in self._planned:
            while (wait := begun + one.at_seconds - time.monotonic()) > 0 and not self._done.is_set():
                self._done.wait(min(wait, 0.05))
                producer.poll(0)
            if self._done.is_set():
                return
            send(producer, self._topics.commands, Message(one.key, one.value, one.headers), delivered)
        producer.flush(FLUSH_SECONDS)
        planned, self.is_published = self.published, True
        while not self._calm.wait(CALM_SECONDS):
            one = calm_command(self.calm_commands, self._known)
            self.calm_commands += 1
            send(producer, self._topics.commands, Message(one.key, one.value, one.headers), delivered)
        producer.flush(FLUSH_SECONDS)
        self.calm_commands = self.published - planned

    def _count(self) -> None:
        topics = (self._topics.events, self._topics.dead_letter)
        consumer = Consumer(
            {
                "bootstrap.servers": self._topics.bootstrap_servers,
                "group.id": "chaos-counter",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )
        partitions = range(self._topics.partitions)
        consumer.assign([TopicPartition(topic, number, 0) for topic in topics for number in partitions])
        while not self._done.is_set():
            for message in consumer.consume(500, 0.2):
                if message.error() is None:
                    is_calm = message.key() in self._calm_keys
                    self.calm_outcomes += is_calm
                    self.outcomes += not is_calm
        consumer.close()
