"""What every Kafka of the tests has in common, whatever it runs on."""

import logging
import socket
import uuid
from collections.abc import Mapping
from typing import Protocol

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from harness.polling import wait_until

KAFKA_VERSION = "4.1.0"

# librdkafka complains on standard error about every address that does not answer yet.
_SILENT = logging.getLogger("harness.broker")
_SILENT.disabled = True


class BrokerMissingError(Exception):
    """This kind of broker cannot be had here; the message says why."""


class Broker(Protocol):
    """A Kafka of one node that the tests may use."""

    kind: str
    """"external", "docker", "java" or "mock"."""
    bootstrap_servers: str
    real: bool
    """Apache Kafka with all of its semantics, not an imitation."""
    can_restart: bool

    def describe(self) -> str:
        """For people: what it is and where."""

    def is_up(self) -> bool:
        """Whether it runs."""

    def stop(self, *, gracefully: bool = True) -> None:
        """Takes it down, by SIGKILL unless *gracefully*; address and data stay for the next start()."""

    def start(self) -> None:
        """Brings it up again, with the data it had; returns when it answers."""

    def close(self) -> None:
        """Ends it for good and removes its data."""


def node_settings(*, listeners: str, advertised: str, controller: str) -> Mapping[str, str]:
    """The server properties of a single node that serves tests: quick, small, the same wherever it runs.

    *listeners* and *advertised* name the listeners CLIENTS and BROKER, *controller* is "host:port" of the third.
    Kafka talks to itself over BROKER, so that CLIENTS may be advertised under an address that only the host knows.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": listeners,
        "advertised.listeners": advertised,
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "BROKER",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",  # tests of lost workers need not wait six seconds
        "broker.session.timeout.ms": "4000",  # a killed broker is taken back after this time, not after nine seconds
        "broker.heartbeat.interval.ms": "500",
        "auto.create.topics.enable": "false",
        "log.flush.interval.messages": "9223372036854775807",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.enable": "false",
    }


def await_answer(bootstrap_servers: str, *, within_seconds: float) -> None:
    """Returns as soon as the broker answers; harness.polling.NotInTimeError otherwise."""
    client = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0}, logger=_SILENT)

    def answers() -> bool:
        try:
            return bool(client.list_topics(timeout=0.5).brokers)
        except KafkaException:
            return False

    wait_until(answers, within_seconds=within_seconds, what=f"Kafka answers on {bootstrap_servers}")


def leave_out_unless_real(broker: Broker) -> None:
    """Skips the test where *broker* only imitates Apache Kafka; the last lines of the run count such tests."""
    if not broker.real:
        pytest.skip(f"needs a real Apache Kafka, and this is {broker.describe()}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}.{uuid.uuid4().hex[:12]}"
