"""Which Kafka the tests run on: the best that can be had here, or the one asked for."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.broker import Broker, BrokerMissingError, await_answer
from harness.docker_broker import DockerBroker
from harness.java_broker import JavaBroker
from harness.mock_broker import MockBroker
from harness.reaper import Reaper


@dataclass(slots=True)
class ExternalBroker:
    """Somebody's Kafka, named by KAFKA_BOOTSTRAP_SERVERS: used, never stopped."""

    bootstrap_servers: str
    kind: str = field(default="external", init=False)
    real: bool = field(default=True, init=False)
    can_restart: bool = field(default=False, init=False)

    def describe(self) -> str:
        """For people: what it is and where."""
        return f"the Kafka of KAFKA_BOOTSTRAP_SERVERS, {self.bootstrap_servers}"

    def is_up(self) -> bool:
        """Whether it runs."""
        return True

    def stop(self, *, gracefully: bool = True) -> None:
        """It is not ours: RuntimeError."""
        message = f"not ours to stop (gracefully={gracefully}): {self.describe()}"
        raise RuntimeError(message)

    def start(self) -> None:
        """It is not ours: RuntimeError."""
        message = f"not ours to start: {self.describe()}"
        raise RuntimeError(message)

    def close(self) -> None:
        """Leaves it alone."""


KINDS: dict[str, Callable[[Reaper], Broker]] = {"docker": DockerBroker, "java": JavaBroker, "mock": MockBroker}


@dataclass(frozen=True, slots=True)
class Choice:
    """The broker, and why each better kind could not be had."""

    broker: Broker
    missing: tuple[str, ...] = ()


def choose(reaper: Reaper) -> Choice:
    """The broker of TEST_BROKER (docker, java or mock) or KAFKA_BOOTSTRAP_SERVERS; else the first kind that works.

    A broker that was asked for and cannot be had is an error, never a reason to take another one.
    """
    asked_for = os.environ.get("TEST_BROKER", "")
    bootstrap_servers = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
    if asked_for and asked_for not in KINDS:
        message = f"TEST_BROKER={asked_for}: choose one of {', '.join(KINDS)}"
        raise BrokerMissingError(message)
    if asked_for:
        return Choice(KINDS[asked_for](reaper))
    if bootstrap_servers:
        await_answer(bootstrap_servers, within_seconds=20)
        return Choice(ExternalBroker(bootstrap_servers))
    missing: list[str] = []
    for start in KINDS.values():
        try:
            return Choice(start(reaper), tuple(missing))
        except BrokerMissingError as error:
            missing.append(str(error))
    message = "; ".join(missing)
    raise BrokerMissingError(message)
