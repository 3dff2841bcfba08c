"""What comes out of a worker, read as it comes by a reader of committed records."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

from harness.polling import NotInTimeError, eventually
from harness.topics import Outcome, Topics


class Follower:
    """Reads on in both outcome topics whenever it is asked whether something has arrived."""

    def __init__(self, topics: Topics, consumer: AIOKafkaConsumer) -> None:
        self.outcomes: list[Outcome] = []
        """All that has arrived, in the order of each partition."""
        self.arrived: dict[str, float] = {}
        """Monotonic seconds at which the first outcome of each command was seen."""
        self._topics = topics
        self._consumer = consumer
        self._by_command: dict[str, list[Outcome]] = {}

    async def until(
        self, fact: Callable[[Sequence[Outcome]], object], *, what: str, within_seconds: float = 30
    ) -> list[Outcome]:
        """All outcomes so far, as soon as *fact* holds of them; NotInTimeError names *what* was waited for."""

        async def holds() -> bool:
            if not fact(self.outcomes):
                await self._read()
            return bool(fact(self.outcomes))

        try:
            await eventually(holds, within_seconds=within_seconds, what=what)
        except NotInTimeError as error:
            error.add_note(f"there were {Counter(one.reason or 'event' for one in self.outcomes)}")
            raise
        return self.outcomes

    async def of(self, command_ids: Iterable[str], *, within_seconds: float = 30) -> list[Outcome]:
        """The first outcome of each command, in the order of *command_ids*, as soon as each has one."""
        wanted = list(command_ids)
        missing = set(wanted)

        def answered(_: Sequence[Outcome]) -> bool:
            missing.difference_update([one for one in missing if one in self._by_command])
            return not missing

        try:
            await self.until(answered, what=f"an outcome of {len(wanted)} commands", within_seconds=within_seconds)
        except NotInTimeError as error:
            error.add_note(f"{len(missing)} without an outcome: {sorted(missing)[:20]}")
            raise
        return [self._by_command[command_id][0] for command_id in wanted]

    def all_of(self, command_id: str) -> list[Outcome]:
        """Every outcome of this command that has arrived."""
        return self._by_command.get(command_id, [])

    async def _read(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=50)
        now = time.monotonic()
        for records in batches.values():
            for outcome in map(self._topics.outcome, records):
                self.outcomes.append(outcome)
                self.arrived.setdefault(outcome.command_id, now)
                self._by_command.setdefault(outcome.command_id, []).append(outcome)


@asynccontextmanager
async def follow(topics: Topics, *, isolation_level: str = "read_committed") -> AsyncIterator[Follower]:
    """A follower of *topics* from their beginning."""
    async with topics.reader(isolation_level, topics.events, topics.dead_letter) as consumer:
        yield Follower(topics, consumer)


@asynccontextmanager
async def reading(follower: Follower) -> AsyncIterator[None]:
    """Reads on all the time, so that outcomes are seen when they arrive."""
    over = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follower.until(lambda _: over.is_set(), what="the load is over", within_seconds=86_400))
        try:
            yield
        finally:
            over.set()
