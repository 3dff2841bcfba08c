"""The consumer group's coordinator: members, generations, session timeouts, eager rebalances, static members."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from aiokafka.errors import UnknownMemberIdError

from simulation.broker import Broker, Reply
from simulation.world import World
from worker.kafka.subscription import REBALANCE_TIMEOUT_MS, SESSION_TIMEOUT_MS

SESSION_SECONDS = SESSION_TIMEOUT_MS / 1000
REBALANCE_SECONDS = REBALANCE_TIMEOUT_MS / 1000


class Holder(Protocol):
    """The process behind a member."""

    name: str


@dataclass(frozen=True, slots=True)
class Joined:
    """What a member is told when a rebalance is complete."""

    member_id: str
    generation: int
    partitions: tuple[int, ...]


@dataclass(eq=False, slots=True)
class Member:
    """A member as the coordinator knows it."""

    id: str
    instance_id: str | None
    holder: Holder
    expires_at: float
    joining: Reply | None = None
    partitions: tuple[int, ...] = ()


class Group:
    """Gives each partition to one member at a time, as far as the members heed what they are told."""

    def __init__(self, world: World, broker: Broker, *, on_lost: Callable[[Holder], None]) -> None:
        """*on_lost* is told whose partitions others may be given from now on, without its having agreed."""
        self._world = world
        self._broker = broker
        self._on_lost = on_lost
        self._members: dict[str, Member] = {}
        self._numbers = count(1)
        self._generation = 0
        self._is_preparing = False
        self._round = 0
        self.owners: dict[int, Holder] = {}

    def join(self, member_id: str, instance_id: str | None, holder: Holder, reply: Reply) -> None:
        """Joins, and answers when the rebalance is complete."""
        member = self._members.get(member_id)
        if member_id and member is None:
            raise UnknownMemberIdError
        if member is None:
            member, is_replaced = self._admit(instance_id, holder)
            if is_replaced and not self._is_preparing:
                # A static member that comes back finds its partitions as it left them: no rebalance.
                self._hand_over(member, reply)
                return
        member.joining = reply
        if not self._is_preparing:
            self._prepare()
        self._complete_if_all_joined()

    def heartbeat(self, member_id: str, generation: int, reply: Reply) -> None:
        """Answers "ok" or "rebalancing"."""
        member = self._members.get(member_id)
        if member is None or generation != self._generation:
            raise UnknownMemberIdError
        self._renew(member)
        reply("rebalancing" if self._is_preparing else "ok")

    def leave(self, member_id: str, reply: Reply) -> None:
        """Takes the member out at once."""
        member = self._members.pop(member_id, None)
        reply(None)
        if member is not None and not self._is_preparing:
            self._prepare()
        self._complete_if_all_joined()

    def rebalance(self) -> None:
        """Begins a rebalance for no reason of ours."""
        if self._members and not self._is_preparing:
            self._prepare()

    def survive_outage(self, until: float) -> None:
        """A broker that comes back gives every member a full session."""
        for member in self._members.values():
            member.expires_at = max(member.expires_at, until + SESSION_SECONDS)

    def _admit(self, instance_id: str | None, holder: Holder) -> tuple[Member, bool]:
        known = next((m for m in self._members.values() if instance_id and m.instance_id == instance_id), None)
        member = Member(f"member-{next(self._numbers)}", instance_id, holder, self._world.now + SESSION_SECONDS)
        if known is not None:
            del self._members[known.id]
            self._on_lost(known.holder)
            member.partitions = known.partitions
        self._members[member.id] = member
        self._watch(member)
        return member, known is not None

    def _hand_over(self, member: Member, reply: Reply) -> None:
        for number in member.partitions:
            self.owners[number] = member.holder
        reply(Joined(member.id, self._generation, member.partitions))

    def _prepare(self) -> None:
        self._is_preparing = True
        self._round += 1
        number = self._round
        is_first = self._generation == 0
        if is_first:
            self._world.after(self._world.between(0.1, 3), lambda: self._complete_if_due(number))
        self._world.after(REBALANCE_SECONDS, lambda: self._complete_if_due(number))

    def _complete_if_due(self, number: int) -> None:
        if self._is_preparing and self._round == number:
            for member in [member for member in self._members.values() if member.joining is None]:
                self._expel(member)
            self._complete()

    def _complete_if_all_joined(self) -> None:
        if self._generation and self._is_preparing and all(member.joining for member in self._members.values()):
            self._complete()

    def _complete(self) -> None:
        self._is_preparing = False
        self._round += 1
        self._generation += 1
        self._assign()
        self._world.note("group", f"generation {self._generation}: {self._shares()}")
        for member in self._members.values():
            self._renew(member)
            reply, member.joining = member.joining, None
            if reply is not None:
                reply(Joined(member.id, self._generation, member.partitions))

    def _assign(self) -> None:
        members = list(self._members.values())
        if not members:
            return
        number_of_partitions = len(self._broker.partitions)
        least, larger_shares = divmod(number_of_partitions, len(members))
        given: dict[str, list[int]] = {member.id: [] for member in members}
        rest = []
        is_sticky = self._world.likely(0.7)
        for number in range(number_of_partitions):
            before = next((member for member in members if number in member.partitions), None)
            size = len(given[before.id]) if before is not None else number_of_partitions
            if is_sticky and before is not None and size < least + (larger_shares > 0):
                given[before.id].append(number)
                larger_shares -= size == least
            else:
                rest.append(number)
        self._world.random.shuffle(members)
        for number in rest:
            given[min(members, key=lambda member: len(given[member.id])).id].append(number)
        for member in members:
            member.partitions = tuple(given[member.id])
            for number in member.partitions:
                self.owners[number] = member.holder

    def _shares(self) -> str:
        return " ".join(f"{member.holder.name}={list(member.partitions)}" for member in self._members.values())

    def _renew(self, member: Member) -> None:
        member.expires_at = max(member.expires_at, self._world.now + SESSION_SECONDS)

    def _watch(self, member: Member) -> None:
        self._world.at(member.expires_at, lambda: self._expire(member))

    def _expire(self, member: Member) -> None:
        if self._members.get(member.id) is not member:
            return
        if member.expires_at > self._world.now:
            self._watch(member)
        elif member.joining is not None:
            # Whoever waits in a join is alive for the coordinator, as long as the rebalance takes.
            member.expires_at = self._world.now + SESSION_SECONDS
            self._watch(member)
        else:
            self._expel(member)
            if not self._is_preparing:
                self._prepare()
            self._complete_if_all_joined()

    def _expel(self, member: Member) -> None:
        self._world.note("group", f"{member.holder.name} is expelled")
        del self._members[member.id]
        self._on_lost(member.holder)
