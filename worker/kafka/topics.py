"""What the topics must be, and what about an existing one would lose data or stop the worker.

Commands must all be read, in order, once: a topic that compacts drops all but a customer's last one. Dead letters
hold personal data: how long they are kept is a decision, and it holds only if segments are closed in time, since
Kafka deletes whole segments. A dead letter is its command and a few headers more, so its topic needs more room.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DAY_MS: Final = 86_400_000
FOR_EVER: Final = -1
LARGEST_COMMAND_BYTES: Final = 1_048_588
"""Kafka's default `max.message.bytes`."""
ROOM_BYTES: Final = 65_536
"""What an outcome may be larger than its command: the headers that say why, or a customer's other fields."""


class Role(StrEnum):
    """What a topic is there for."""

    COMMANDS = "commands"
    EVENTS = "events"
    DEAD_LETTERS = "dead letters"
    DECISIONS = "decisions about dead letters"


RETENTION_MS: Final[Mapping[Role, int]] = {
    Role.COMMANDS: 7 * DAY_MS,
    Role.EVENTS: 7 * DAY_MS,
    Role.DEAD_LETTERS: 30 * DAY_MS,
    Role.DECISIONS: 37 * DAY_MS,
}
"""How long each is kept unless told otherwise.

Commands: longer than any outage that is to be survived without loss. Events: longer than a subscriber stays away.
Dead letters: time to mend and replay them, and no longer, since they hold personal data. Decisions about them: longer
than they are, or a dead letter that was replayed would seem open again.
"""

NEEDED_OPERATIONS: Final[Mapping[Role, frozenset[str]]] = {
    Role.COMMANDS: frozenset({"DESCRIBE", "READ"}),
    Role.EVENTS: frozenset({"DESCRIBE", "WRITE"}),
    Role.DEAD_LETTERS: frozenset({"DESCRIBE", "WRITE"}),
    Role.DECISIONS: frozenset(),
}
"""What the worker's user must be allowed."""

_LOST_BY_COMPACTION: Final = {
    Role.COMMANDS: "all but the last waiting command of a customer are lost",
    Role.EVENTS: "subscribers that lag miss all but a customer's last event",
    Role.DEAD_LETTERS: "all but a customer's last dead letter are lost",
    Role.DECISIONS: "who has replayed what, and when, is lost",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """An existing topic. *configs* and *may* are None where the brokers do not show them to this user."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str] | None
    may: frozenset[str] | None
    leaderless: int = 0


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic as it should be created."""

    role: Role
    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]


class Weight(StrEnum):
    """How much a concern weighs: serious ones lose commands or outcomes, or stop the worker."""

    SERIOUS = "serious"
    NOTABLE = "notable"


@dataclass(frozen=True, slots=True)
class Concern:
    """Something about a topic that an operator should know."""

    weight: Weight
    text: str
    advice: str


def plan(
    role: Role, name: str, *, partitions: int, replication: int, retention_ms: int, largest_command_bytes: int
) -> TopicPlan:
    """The topic *name* as the worker wants it; *retention_ms* may be `FOR_EVER`."""
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": str(retention_ms),
        "retention.bytes": "-1",
        "min.insync.replicas": str(min(2, replication)),
        "max.message.bytes": str(largest_command_bytes + (0 if role is Role.COMMANDS else ROOM_BYTES)),
    }
    if retention_ms != FOR_EVER:
        configs["segment.ms"] = str(min(DAY_MS, retention_ms))
    return TopicPlan(role, name, partitions, replication, configs)


def kept_after(dead_letters_ms: int) -> int:
    """How long decisions are kept where dead letters are kept so long: Kafka deletes whole segments, late."""
    return FOR_EVER if dead_letters_ms == FOR_EVER else dead_letters_ms + 7 * DAY_MS


def differences(wanted: TopicPlan, found: Topic) -> Iterator[tuple[str, str, str]]:
    """What is otherwise than planned, as (name, found, wanted); nothing about what cannot be seen."""
    if found.partitions != wanted.partitions:
        yield "partitions", str(found.partitions), str(wanted.partitions)
    if found.replication != wanted.replication:
        yield "replication", str(found.replication), str(wanted.replication)
    for name, value in wanted.configs.items():
        if found.configs is not None and found.configs.get(name, value) != value:
            yield name, found.configs[name], value


def concerns(role: Role, topic: Topic, commands: Topic | None) -> Iterator[Concern]:
    """What is wrong with *topic*, the serious first; *commands* is the command topic, to compare sizes with."""
    yield from sorted(_all_concerns(role, topic, commands), key=lambda concern: concern.weight is not Weight.SERIOUS)


def _all_concerns(role: Role, topic: Topic, commands: Topic | None) -> Iterator[Concern]:
    if topic.leaderless:
        text = f"{topic.leaderless} of {topic.partitions} partitions have no leader"
        yield Concern(Weight.SERIOUS, text, "mend the brokers")
    if topic.replication == 1:
        yield Concern(Weight.NOTABLE, "has one replica: a lost disk loses it", "use 3 replicas outside of development")
    if topic.configs is None:
        return
    configs = topic.configs
    if "compact" in configs.get("cleanup.policy", ""):
        lost = f"cleanup.policy is {configs['cleanup.policy']}: {_LOST_BY_COMPACTION[role]}"
        yield Concern(Weight.SERIOUS, lost, "set cleanup.policy=delete")
    if configs.get("unclean.leader.election.enable") == "true":
        lost = "unclean.leader.election.enable is true: a failover can lose acknowledged records"
        yield Concern(Weight.SERIOUS, lost, "set unclean.leader.election.enable=false")
    yield from _concerns_about_replicas(topic, configs)
    yield from _concerns_about_retention(role, configs)
    if role in {Role.EVENTS, Role.DEAD_LETTERS} and commands is not None and commands.configs is not None:
        yield from _concerns_about_room(role, configs, commands.configs)


def _concerns_about_replicas(topic: Topic, configs: Mapping[str, str]) -> Iterator[Concern]:
    least = _number(configs, "min.insync.replicas")
    if least is None:
        return
    if least > topic.replication:
        text = f"min.insync.replicas is {least} with {topic.replication} replicas: nothing can be written"
        yield Concern(Weight.SERIOUS, text, f"set min.insync.replicas={min(2, topic.replication)}")
    elif least == 1 < topic.replication:
        text = f"min.insync.replicas is 1 with {topic.replication} replicas: a failover can lose acknowledged records"
        yield Concern(Weight.NOTABLE, text, "set min.insync.replicas=2")


def _concerns_about_retention(role: Role, configs: Mapping[str, str]) -> Iterator[Concern]:
    retention_ms = _number(configs, "retention.ms")
    if retention_ms is not None and 0 <= retention_ms < DAY_MS:
        text = f"retention.ms is {retention_ms}: what waits for {retention_ms / 3_600_000:.1f} hours is lost"
        yield Concern(Weight.NOTABLE, text, f"set retention.ms={RETENTION_MS[role]}")
    if retention_ms == FOR_EVER and role is Role.DEAD_LETTERS:
        text = "retention.ms is -1: personal data is kept for ever"
        yield Concern(Weight.NOTABLE, text, f"set retention.ms={RETENTION_MS[role]}, or know why not")
    retention_bytes = _number(configs, "retention.bytes")
    if retention_bytes is not None and retention_bytes >= 0 and role is not Role.EVENTS:
        text = f"retention.bytes is {retention_bytes}: a burst can push out what nobody has read"
        yield Concern(Weight.NOTABLE, text, "set retention.bytes=-1")


def _concerns_about_room(role: Role, configs: Mapping[str, str], of_commands: Mapping[str, str]) -> Iterator[Concern]:
    room, largest = _number(configs, "max.message.bytes"), _number(of_commands, "max.message.bytes")
    if room is None or largest is None or room >= largest + ROOM_BYTES:
        return
    text = f"max.message.bytes is {room}, commands may have {largest}: "
    consequence = {
        Role.EVENTS: "the event of a very large command does not fit, and the command becomes a dead letter",
        Role.DEAD_LETTERS: "a very large dead letter does not fit, and the partition stops",
    }[role]
    weight = Weight.SERIOUS if role is Role.DEAD_LETTERS else Weight.NOTABLE
    yield Concern(weight, text + consequence, f"set max.message.bytes={largest + ROOM_BYTES}")


def _number(configs: Mapping[str, str], name: str) -> int | None:
    value = configs.get(name)
    return int(value) if value is not None else None
