"""Looks at the whole group while somebody wants to see it, at most once in two seconds however many look."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer

from worker.kafka.consumer import OffsetReader, group_lags
from worker.kafka.errors import CommitFailed
from worker.kafka.members import Group, GroupReader
from worker.operations.group import GroupView, Look, put_together
from worker.operations.peers import Answer, ask_peers
from worker.operations.replica import Replica

log = structlog.get_logger(__name__)

FRESH_SECONDS = 1.9
"""A little less than the two seconds after which viewers ask again, so that they get a new look then."""
KAFKA_SECONDS = 1.0
"""How long Kafka may take to tell of the group: what is shown then is what the replicas know."""


class Kafka(Protocol):
    """What a look needs of Kafka."""

    def group_reader(self, topic: str) -> GroupReader | None:
        """Tells the members; None before the first connection."""

    def offsets(self) -> OffsetReader:
        """Tells the committed offsets."""


class Watcher:
    """Makes the looks. Everybody who asks while one is under way gets that one."""

    def __init__(
        self,
        *,
        report: Callable[[], Awaitable[Replica]],
        kafka: Kafka,
        consumer: Callable[[], AIOKafkaConsumer | None],
        address: Callable[[], str | None],
        group_id: str,
        topic: str,
        now: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """*report* is this replica's, *address* where it answers; *now* in monotonic seconds, *now_ms* since 1970."""
        self._report = report
        self._kafka = kafka
        self._consumer = consumer
        self._address = address
        self._group_id = group_id
        self._topic = topic
        self._now = now
        self._now_ms = now_ms
        self._looking = asyncio.Lock()
        self._seen: tuple[float, GroupView] | None = None
        # While the group rebalances, its coordinator tells no addresses: those it told before count on.
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}

    async def view(self) -> GroupView:
        """The group, seen less than two seconds ago."""
        async with self._looking:
            if self._seen is None or self._now() - self._seen[0] >= FRESH_SECONDS:
                began = self._now()
                self._seen = (began, await self._look())
            return self._seen[1]

    async def _look(self) -> GroupView:
        own = await self._report()
        kafka_answers, group = await self._group()
        members = group.members if group is not None else ()
        addresses = {member.address for member in members if member.address is not None} - {self._address()}
        answers = await ask_peers(addresses)
        for address, answer in answers.items():
            if isinstance(answer, Replica):
                self._names[address] = answer.worker
        partitions = self._partitions(own, answers)
        told = {
            held.partition for one in (own, *answers.values()) if isinstance(one, Replica) for held in one.partitions
        }
        lags: Mapping[int, int] = {}
        if kafka_answers and len(told) < partitions:
            kafka_answers, lags = await self._lags()
        return put_together(
            Look(
                at_ms=self._now_ms(),
                group_id=self._group_id,
                topic=self._topic,
                kafka_answers=kafka_answers,
                group=group,
                own=own,
                answers=answers,
                names=self._names,
                partitions=partitions,
                lags=lags,
            )
        )

    async def _group(self) -> tuple[bool, Group | None]:
        """Whether Kafka answers, and what it says."""
        reader = self._kafka.group_reader(self._topic)
        if reader is None:
            return False, None
        try:
            async with asyncio.timeout(KAFKA_SECONDS):
                group = await reader.group()
        except (TimeoutError, CommitFailed) as error:
            log.debug("group_not_seen", error=str(error))
            return False, None
        if group is None:
            return True, None
        known = {member.member_id: member.address for member in group.members if member.address is not None}
        self._addresses = {
            member.member_id: address
            for member in group.members
            if (address := known.get(member.member_id) or self._addresses.get(member.member_id)) is not None
        }
        return True, group.known_by(self._addresses)

    async def _lags(self) -> tuple[bool, Mapping[int, int]]:
        consumer = self._consumer()
        if consumer is None:
            return True, {}
        try:
            async with asyncio.timeout(KAFKA_SECONDS):
                return True, await group_lags(consumer, self._kafka.offsets(), self._topic)
        except (TimeoutError, CommitFailed) as error:
            log.debug("group_not_seen", error=str(error))
            return False, {}

    def _partitions(self, own: Replica, answers: Mapping[str, Answer]) -> int:
        """How many there are, as far as anybody knows."""
        consumer = self._consumer()
        known = [len(consumer.partitions_for_topic(self._topic) or ()) if consumer is not None else 0]
        for one in (own, *answers.values()):
            if isinstance(one, Replica):
                known += [held.partition + 1 for held in one.partitions]
        return max(known)
