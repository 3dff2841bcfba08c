"""Looks at the brokers, topics and the group, and creates topics. It changes nothing unless told to.

aiokafka tells its log, not its caller, why a broker cannot be reached. So whoever uses this module for people wraps
it in `murmurs`: nothing of that log is printed, and the last of it is named in `KafkaUnreachable`.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    NotCoordinatorForGroupError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest

from worker.kafka.errors import KafkaRefused, KafkaUnreachable
from worker.kafka.protocol import GroupRequest, TopicsRequest, operations
from worker.kafka.topics import Topic, TopicPlan

_NO_ERROR: Final = 0
_UNKNOWN_TOPIC: Final = 3
_TOPIC_AUTHORIZATION_FAILED: Final = 29
_ALREADY_EXISTS: Final = 36
_BETWEEN_LOOKS_SECONDS: Final = 0.05
_LOG: Final = logging.getLogger("aiokafka")

_NO_ENTRY: Final = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
_NO_COORDINATOR: Final = (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)
_NO_ANSWER: Final = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError, TimeoutError, OSError)


class Absence(StrEnum):
    """Why there is nothing to say about a topic."""

    MISSING = "does not exist"
    HIDDEN = "this user may not see it, if it exists"


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group: "Empty" or "Dead" without members; *may* as for topics."""

    state: str
    members: int
    may: frozenset[str] | None


class Murmurs(logging.Handler):
    """Keeps the last warning of aiokafka instead of printing any."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._last: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Takes the place of printing."""
        self._last = record

    @property
    def error(self) -> Exception | None:
        """The exception that the last warning was about."""
        arguments = self._last.args if self._last is not None else None
        last = arguments[-1] if isinstance(arguments, tuple) and arguments else None
        return last if isinstance(last, Exception) else None


@contextmanager
def murmurs() -> Iterator[Murmurs]:
    """Silences aiokafka's log while inside, and listens to it."""
    heard, propagated = Murmurs(), _LOG.propagate
    _LOG.addHandler(heard)
    _LOG.propagate = False
    try:
        yield heard
    finally:
        _LOG.removeHandler(heard)
        _LOG.propagate = propagated


class Admin:
    """A connection to the brokers; see `connect`. Every method raises `KafkaUnreachable` and `KafkaRefused`."""

    def __init__(
        self,
        client: Any,  # noqa: ANN401  # aiokafka is untyped
        bootstrap_servers: str,
        heard: Murmurs,
        within_seconds: float,
    ) -> None:
        self._client = client
        self._bootstrap_servers = bootstrap_servers
        self._heard = heard
        self._within_seconds = within_seconds

    @property
    def brokers(self) -> int:
        """How many brokers the cluster has."""
        return len(self._client._client.cluster.brokers())  # noqa: SLF001  # aiokafka hides what it knows

    async def topics(self, names: Sequence[str]) -> dict[str, Topic | Absence]:
        """The topics with these names; one that does not exist is not created by asking."""
        async with self._asking():
            answer = await self._client._send_request(TopicsRequest(list(names)))  # noqa: SLF001  # a request of our own
        found: dict[str, Topic | Absence] = {}
        for described in answer.to_object()["topics"]:
            code, name = described["error_code"], described["topic"]
            if code == _UNKNOWN_TOPIC:
                found[name] = Absence.MISSING
            elif code == _TOPIC_AUTHORIZATION_FAILED:
                found[name] = Absence.HIDDEN
            elif not described["partitions"]:
                raise KafkaRefused(f"topic {name}: {_meaning(code)}")
            else:
                partitions = described["partitions"]
                found[name] = Topic(
                    name=name,
                    partitions=len(partitions),
                    replication=min(len(partition["replicas"]) for partition in partitions),
                    configs=await self._configs(name),
                    may=operations(described.get("authorized_operations")),
                    leaderless=sum(partition["leader"] < 0 for partition in partitions),
                )
        return found

    async def _configs(self, topic: str) -> Mapping[str, str] | None:
        try:
            async with self._asking():
                (answer,) = await self._client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        except IncompatibleBrokerVersion:
            return None
        ((code, _message, _type, _name, entries),) = answer.resources
        return {entry[0]: entry[1] for entry in entries if entry[1] is not None} if code == _NO_ERROR else None

    async def group(self, name: str) -> Group:
        """The consumer group; one that never existed is "Dead"."""
        try:
            async with self._asking(), asyncio.timeout(self._within_seconds):
                # A young cluster is still making the topic of the offsets, and electing its coordinators.
                while (described := await self._described_group(name)) is None:  # noqa: ASYNC110
                    await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        except IncompatibleBrokerVersion:
            return Group("unknown", 0, None)
        except KafkaError as error:
            raise KafkaRefused(f"group {name}: {_words(error)}") from error
        if described["error_code"] == GroupAuthorizationFailedError.errno:
            raise KafkaRefused(f"group {name}: this user may not see it")
        if described["error_code"] != _NO_ERROR:
            raise KafkaRefused(f"group {name}: {_meaning(described['error_code'])}")
        return Group(described["state"], len(described["members"]), operations(described["authorized_operations"]))

    async def _described_group(self, name: str) -> Any:  # noqa: ANN401  # aiokafka is untyped
        """The coordinator's answer about the group; None where there is no coordinator at the moment."""
        try:
            coordinator = await self._client.find_coordinator(name)
        except GroupAuthorizationFailedError as error:
            return {"error_code": error.errno}
        except _NO_COORDINATOR:
            return None
        answer = await self._client._send_request(GroupRequest(name), coordinator)  # noqa: SLF001  # as above
        (described,) = answer.to_object()["groups"]
        return None if for_code(described["error_code"]) in _NO_COORDINATOR else described

    async def committed(self, name: str, topic: str, partitions: Sequence[int]) -> dict[int, tuple[int, str]]:
        """What the group *name* has committed of *topic*, by partition: the next offset to read, and the metadata.

        Partitions that it never committed are left out.
        """
        try:
            async with self._asking(), asyncio.timeout(self._within_seconds):
                while (found := await self._committed(name, topic, partitions)) is None:  # noqa: ASYNC110  # as `group`
                    await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        except KafkaError as error:
            raise KafkaRefused(f"group {name}: {_words(error)}; allow DESCRIBE on it") from error
        return found

    async def _committed(self, name: str, topic: str, partitions: Sequence[int]) -> dict[int, tuple[int, str]] | None:
        """The committed offsets; None where there is no coordinator at the moment."""
        try:
            coordinator = await self._client.find_coordinator(name)
        except _NO_COORDINATOR:
            return None
        # aiokafka's own method takes an answer that is an error as a whole for one without any offsets.
        request = OffsetFetchRequest(name, [(topic, list(partitions))])
        answer = (await self._client._send_request(request, coordinator)).to_object()  # noqa: SLF001  # as above
        found = [one for topic in answer["topics"] for one in topic["partitions"]]
        for code in (answer.get("error_code", _NO_ERROR), *(one["error_code"] for one in found)):
            if for_code(code) in _NO_COORDINATOR:
                return None
            if code != _NO_ERROR:
                raise for_code(code)(_meaning(code))
        return {one["partition"]: (one["offset"], one["metadata"] or "") for one in found if one["offset"] >= 0}

    async def create(self, plans: Sequence[TopicPlan], *, dry_run: bool) -> dict[str, str | None]:
        """Creates the topics, or only asks whether it could; by name: None, or why not.

        An existing topic stays as it is. Topics take a moment until all brokers know them: see `await_leaders`.
        """
        new = [
            NewTopic(topic.name, topic.partitions, topic.replication, topic_configs=dict(topic.configs))
            for topic in plans
        ]
        try:
            async with self._asking():
                await self._await_controller()
                answer = await self._client.create_topics(new, validate_only=dry_run)
        except IncompatibleBrokerVersion as error:
            raise KafkaRefused("the broker creates no topics on request") from error
        return {
            name: None if code in {_NO_ERROR, _ALREADY_EXISTS} else message or _meaning(code)
            for name, code, message in answer.topic_errors
        }

    async def _await_controller(self) -> None:
        # aiokafka stumbles over a cluster that names no controller: the embedded broker never does.
        client = self._client._client  # noqa: SLF001  # as above
        if client.cluster.controller is None:
            await client.force_metadata_update()
        if client.cluster.controller is None:
            raise KafkaRefused("the brokers name no controller, so they create no topics on request")

    async def await_leaders(self, names: Sequence[str], *, within_seconds: float) -> None:
        """Returns when every partition of the topics has a leader. Raises `KafkaRefused` when time runs out."""
        try:
            async with asyncio.timeout(within_seconds):
                while not all(_is_led(topic) for topic in (await self.topics(names)).values()):  # noqa: ASYNC110
                    await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        except TimeoutError as error:
            raise KafkaRefused(f"the new topics have no leaders after {within_seconds:g} seconds") from error

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            yield
        except _NO_ANSWER as error:
            raise _unreachable(self._bootstrap_servers, self._heard, error) from error


@asynccontextmanager
async def connect(options: Mapping[str, Any], heard: Murmurs, *, within_seconds: float) -> AsyncIterator[Admin]:
    """Connects with the *options* of `Settings.kafka_client_options`; each step has *within_seconds*.

    Raises `KafkaUnreachable` where no broker answers, `KafkaRefused` where one refuses the user.
    """
    servers = options["bootstrap_servers"]
    client = AIOKafkaAdminClient(**options, request_timeout_ms=int(within_seconds * 1000))
    try:
        try:
            async with asyncio.timeout(within_seconds):
                await client.start()
        except _NO_ANSWER as error:
            raise _unreachable(servers, heard, error) from error
        yield Admin(client, servers, heard, within_seconds)
    finally:
        await client.close()


async def refusal_of_transactions(
    options: Mapping[str, Any], transactional_id: str, *, within_seconds: float
) -> str | None:
    """Why there are no transactions for this id, or None. Starts a producer with it, and sends nothing."""
    producer = AIOKafkaProducer(
        **options, transactional_id=transactional_id, request_timeout_ms=int(within_seconds * 1000)
    )
    try:
        async with asyncio.timeout(within_seconds):
            await producer.start()
    except TransactionalIdAuthorizationFailed:
        return f"this user may not write with the transactional id {transactional_id}"
    except TimeoutError:
        return "no transaction coordinator answers"
    except KafkaError as error:
        return _words(error)
    finally:
        await producer.stop()
    return None


def _unreachable(servers: str, heard: Murmurs, error: Exception) -> KafkaUnreachable | KafkaRefused:
    cause = heard.error or error
    if isinstance(cause, _NO_ENTRY):
        return KafkaRefused(f"Kafka at {servers} refuses the user: {_words(cause)}")
    if isinstance(cause, TimeoutError | RequestTimedOutError):
        return KafkaUnreachable(servers, "no answer in time")
    return KafkaUnreachable(servers, _words(cause))


def _is_led(topic: Topic | Absence) -> bool:
    return isinstance(topic, Topic) and not topic.leaderless


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).partition("\n")[0]
    # "[Error 33] UnsupportedSaslMechanismError: <AIOKafkaConnection host=… port=…>" says more without its object.
    text = re.sub(r"^\[Error \d+\] |: <.*>$", "", text)
    return text or type(error).__name__


def _meaning(code: int) -> str:
    error = for_code(code)
    return str(getattr(error, "description", "") or error.__name__)
