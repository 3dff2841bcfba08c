"""The consumer as FastStream and aiokafka 0.14 run it: polling, heartbeats, and the listener of rebalances.

Followed closely where the worker leans on it: a rebalance calls `on_partitions_revoked` while heartbeats go on, stops
them for the join, and begins new ones only after `on_partitions_assigned`; a member that was expelled finds its member
id reset before it is revoked; each assignment forgets pauses; records can be handed over that were read before a seek.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, UnknownMemberIdError

from simulation.broker import TOPIC, Record
from simulation.group import Joined
from simulation.process import Process, current

HEARTBEAT_SECONDS = 0.5
BACKOFF_SECONDS = 0.1


class Listener(Protocol):
    """As aiokafka's ConsumerRebalanceListener."""

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """After a join."""

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Before a join."""


def never_reset(_strategy: object) -> None:
    """Nothing is ever deleted from the log, so no position is ever out of its range."""


@dataclass(slots=True)
class Place:
    """One assigned partition: the next offset to read, once it is known."""

    position: int | None = None
    is_paused: bool = False
    await_reset: Callable[[object], None] = never_reset


class Subscription:
    """What the worker looks up in aiokafka's subscription state."""

    def __init__(self, now: Callable[[], float], place_of: Callable[[TopicPartition], Place]) -> None:
        self._now = now
        # aiokafka keeps a partition's state in the assignment of the subscription of its subscription state.
        self.subscription = self.assignment = self
        self.state_value = place_of
        self.is_asking = False
        self.asked_at = now()

    @property
    def fetcher_idle_time(self) -> float:
        """Seconds since records were last asked for; 0 while somebody waits for them."""
        return 0.0 if self.is_asking else self._now() - self.asked_at


class Coordinator:
    """The member's side of the group protocol."""

    def __init__(
        self, consumer: "ModelConsumer", process: Process, instance_id: str | None, listener: Listener
    ) -> None:
        self._consumer = consumer
        self._process = process
        self._listener = listener
        self._group_instance_id = instance_id
        self._rejoin = asyncio.Event()
        self._rejoin.set()
        self._closing = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self.member_id = ""
        self.generation = -1

    def begin(self) -> None:
        """Joins the group, and stays in it."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Lets what is under way end, and leaves the group."""
        self._closing.set()
        self._rejoin.set()
        if self._running is not None:
            await self._running
        await self._stop_beating()
        if self.member_id and self._group_instance_id is None:
            member_id, group = self.member_id, self._process.group
            try:
                await self._process.link.ask(lambda reply: group.leave(member_id, reply))
            except KafkaError:
                self._process.note("leave", "unheard")

    async def _run(self) -> None:
        is_prepared = False
        revoked: tuple[TopicPartition, ...] = ()
        while not self._closing.is_set():
            if not is_prepared:
                self._process.note("revoke" if revoked else "first", str([tp.partition for tp in revoked]))
                await self._call(self._listener.on_partitions_revoked, revoked)
                is_prepared = True
            await self._stop_beating()
            joined = await self._join()
            if joined is None:
                continue
            assigned = tuple(TopicPartition(TOPIC, number) for number in joined.partitions)
            self._consumer.assign(assigned)
            await self._call(self._listener.on_partitions_assigned, assigned)
            revoked, is_prepared = assigned, False
            self._beating = asyncio.get_running_loop().create_task(self._beat())
            await self._rejoin.wait()

    async def _call(
        self, callback: Callable[[Collection[TopicPartition]], Awaitable[None]], partitions: tuple[TopicPartition, ...]
    ) -> None:
        """As aiokafka: what a callback raises is logged, and swallowed."""
        try:
            await callback(partitions)
        except Exception as error:  # noqa: BLE001  # that is the point
            self._process.note("swallowed", repr(error))

    async def _join(self) -> Joined | None:
        member_id, instance_id, process = self.member_id, self._group_instance_id, self._process
        process.note("join", member_id)
        try:
            joined: Joined = await process.link.ask(
                lambda reply: process.group.join(member_id, instance_id, process, reply)
            )
        except UnknownMemberIdError:
            self.reset_generation()
            return None
        except KafkaError:
            await asyncio.sleep(BACKOFF_SECONDS)
            return None
        self.member_id, self.generation = joined.member_id, joined.generation
        self._rejoin.clear()
        if self._closing.is_set():
            self._rejoin.set()
        return joined

    async def _beat(self) -> None:
        wait = HEARTBEAT_SECONDS
        while self.member_id:
            await asyncio.sleep(wait)
            wait = HEARTBEAT_SECONDS if await self._do_heartbeat() else BACKOFF_SECONDS

    async def _stop_beating(self) -> None:
        beating, self._beating = self._beating, None
        if beating is not None:
            beating.cancel()
            await asyncio.wait([beating])

    async def _do_heartbeat(self) -> bool:
        member_id, generation, process = self.member_id, self.generation, self._process
        process.note("beat", "")
        try:
            answer = await process.link.ask(lambda reply: process.group.heartbeat(member_id, generation, reply))
        except UnknownMemberIdError:
            self.reset_generation()
            return False
        except KafkaError:
            return False
        if answer == "rebalancing":
            self._rejoin.set()
        return True

    def reset_generation(self) -> None:
        """The coordinator does not know this member any more."""
        self.member_id, self.generation = "", -1
        self._rejoin.set()


class ModelConsumer:
    """As AIOKafkaConsumer, for what the worker asks of it."""

    def __init__(self, instance_id: str | None, listener: Listener) -> None:
        self._process = current()
        self._places: dict[TopicPartition, Place] = {}
        self._changed = asyncio.Event()
        self._fetching: set[asyncio.Task[None]] = set()
        self._subscription = Subscription(lambda: self._process.world.now, self._place)
        self._coordinator = Coordinator(self, self._process, instance_id, listener)
        self._process.broker.when_written.append(self._wake_from_outside)
        self._most = self._process.world.random.choice((1, 3, 10, 50, 1000))

    def assign(self, partitions: tuple[TopicPartition, ...]) -> None:
        """A new assignment: nothing is paused, and positions are yet to be looked up."""
        self._places = {partition: Place() for partition in partitions}
        places = self._places
        looking = asyncio.get_running_loop().create_task(self._look_up(places))
        self._fetching.add(looking)
        looking.add_done_callback(self._fetching.discard)

    async def _look_up(self, places: dict[TopicPartition, Place]) -> None:
        broker = self._process.broker
        committed: dict[TopicPartition, tuple[int, str]] | None = None
        while committed is None:
            try:
                committed = await self._process.link.ask(lambda reply: reply(broker.read_offsets(None)))
            except KafkaError:
                await asyncio.sleep(BACKOFF_SECONDS)
        for partition, place in places.items():
            if place.position is None:
                place.position = committed.get(partition, (0, ""))[0]
        self._changed.set()

    def assignment(self) -> set[TopicPartition]:
        """The partitions assigned now."""
        return set(self._places)

    def paused(self) -> set[TopicPartition]:
        """Those of them that are paused."""
        return {partition for partition, place in self._places.items() if place.is_paused}

    def pause(self, *partitions: TopicPartition) -> None:
        """No more records of these."""
        for partition in partitions:
            self._place(partition).is_paused = True

    def resume(self, *partitions: TopicPartition) -> None:
        """Records of these again."""
        for partition in partitions:
            self._place(partition).is_paused = False
        self._changed.set()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Reads on from *offset*."""
        self._place(partition).position = offset
        self._changed.set()

    async def position(self, partition: TopicPartition) -> int:
        """The next offset to be read."""
        while True:
            position = self._place(partition).position
            if position is not None:
                return position
            await asyncio.sleep(0.005)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Nothing is ever deleted."""
        await self._process.link.ask(lambda reply: reply(None))
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the next records go."""
        broker = self._process.broker
        ends: dict[TopicPartition, int] = await self._process.link.ask(
            lambda reply: reply({partition: broker.end(partition) for partition in partitions})
        )
        return ends

    def partitions_for_topic(self, _topic: str) -> set[int]:
        """All of them."""
        return {partition.partition for partition in self._process.broker.partitions}

    def last_stable_offset(self, partition: TopicPartition) -> int:
        """The same: no publisher has a transaction open."""
        return self.highwater(partition)

    def highwater(self, partition: TopicPartition) -> int:
        """The end of the log."""
        return self._process.broker.end(partition)

    async def getmany(self) -> list[Record]:
        """The next records, of one partition or of several, as they happen to be there."""
        self._subscription.is_asking = True
        try:
            while True:
                self._changed.clear()
                if any(self._is_readable(partition) for partition in self._places):
                    await asyncio.sleep(self._process.world.between(0.0003, 0.01))
                    records = self._take()
                    if records:
                        return records
                else:
                    await self._changed.wait()
        finally:
            self._subscription.is_asking = False
            self._subscription.asked_at = self._process.world.now

    async def stop(self) -> None:
        """Leaves the group, if that is how it is set."""
        await self._coordinator.close()
        for looking in self._fetching:
            looking.cancel()

    def _take(self) -> list[Record]:
        world, link = self._process.world, self._process.link
        if link.back_at > world.now:
            # Nothing comes; what is asked again later is asked by the same call.
            asyncio.get_running_loop().call_later(link.back_at - world.now, self._changed.set)
            return []
        records: list[Record] = []
        for partition in [partition for partition in self._places if self._is_readable(partition)]:
            if records and world.likely(0.5):
                continue
            place = self._places[partition]
            most = world.random.randint(1, self._most)
            found = self._process.broker.read(partition, place.position or 0, most)
            place.position = found[-1].offset + 1 if found else self._process.broker.end(partition)
            records += found
        return records

    def _is_readable(self, partition: TopicPartition) -> bool:
        place = self._places[partition]
        is_known = place.position is not None and not place.is_paused
        return is_known and (place.position or 0) < self._process.broker.end(partition)

    def _place(self, partition: TopicPartition) -> Place:
        place = self._places.get(partition)
        if place is None:
            raise IllegalStateError(f"{partition} is not assigned")
        return place

    def _wake_from_outside(self) -> None:
        loop = self._process.loop
        if not loop.is_closed():
            loop.call_soon(self._changed.set)


class ModelSubscriber:
    """As FastStream's subscriber: the consumer, while there is one."""

    consumer: ModelConsumer | None = None


class ModelBroker:
    """As FastStream's broker with one subscriber: a poll loop that awaits the handler before it polls again."""

    def __init__(
        self,
        subscriber: ModelSubscriber,
        instance_id: str | None,
        listener: Listener,
        receive: Callable[[tuple[Record, ...]], Awaitable[None]],
    ) -> None:
        self._process = current()
        self._subscriber = subscriber
        self._instance_id = instance_id
        self._listener = listener
        self._receive = receive
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Finds a broker, and begins to consume."""
        await self._process.link.ask(lambda reply: reply(None))
        consumer = self._subscriber.consumer = ModelConsumer(self._instance_id, self._listener)
        consumer._coordinator.begin()
        self._polling = asyncio.get_running_loop().create_task(self._poll(consumer))

    async def stop(self) -> None:
        """Ends polling and leaves."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        consumer = self._subscriber.consumer
        if consumer is not None:
            await consumer.stop()
            self._subscriber.consumer = None

    async def _poll(self, consumer: ModelConsumer) -> None:
        world = self._process.world
        while True:
            records = await consumer.getmany()
            if world.likely(0.2):
                await asyncio.sleep(world.between(0, 0.02))
            await self._receive(tuple(records))


def subscribe(
    _options: object,
    *,
    topic: str,
    group_id: str,
    group_instance_id: str | None,
    listener: Listener,
    receive: Callable[[Any], Awaitable[None]],
    address: Callable[[], str | None],
) -> tuple[ModelBroker, ModelSubscriber]:
    """As `worker.kafka.subscription.subscribe`."""
    assert (topic, group_id, address()) == (TOPIC, "customer-sync", None)
    subscriber = ModelSubscriber()
    return ModelBroker(subscriber, group_instance_id, listener, receive), subscriber
