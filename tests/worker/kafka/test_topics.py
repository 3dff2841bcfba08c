"""What the topics must be: plans, differences, and what would lose data."""

from collections.abc import Mapping

import pytest

from worker.kafka.topics import (
    DAY_MS,
    FOR_EVER,
    LARGEST_COMMAND_BYTES,
    ROOM_BYTES,
    Role,
    Topic,
    Weight,
    concerns,
    differences,
    plan,
)


def planned(role: Role = Role.COMMANDS, *, replication: int = 3, retention_ms: int = 7 * DAY_MS) -> Mapping[str, str]:
    """The configuration that *role* gets."""
    topic = plan(
        role,
        "t",
        partitions=6,
        replication=replication,
        retention_ms=retention_ms,
        largest_command_bytes=LARGEST_COMMAND_BYTES,
    )
    return topic.configs


def existing(configs: Mapping[str, str] | None = None, *, replication: int = 3, leaderless: int = 0) -> Topic:
    """A topic as planned, except for *configs*."""
    return Topic("t", 6, replication, {**planned(), **(configs or {})}, None, leaderless)


def found(role: Role, topic: Topic, commands: Topic | None = None) -> list[tuple[Weight, str]]:
    """The concerns, by weight and the setting they are about."""
    return [(concern.weight, concern.text.split(" is ")[0]) for concern in concerns(role, topic, commands)]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("replication", [2, 3])
def test_topic_as_planned_is_of_no_concern(role: Role, replication: int) -> None:
    """What `topics create` makes, `check` finds good."""
    commands = Topic("c", 6, replication, planned(replication=replication), None)
    topic = Topic("t", 6, replication, planned(role, replication=replication), None)

    assert list(concerns(role, topic, commands)) == []


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_compaction_loses_data_in_every_topic(role: Role, policy: str) -> None:
    """A compacted topic keeps one record of a customer; every command needs its own."""
    assert found(role, existing({"cleanup.policy": policy})) == [(Weight.SERIOUS, "cleanup.policy")]


@pytest.mark.parametrize(
    ("role", "configs", "expected"),
    [
        pytest.param(
            Role.COMMANDS,
            {"unclean.leader.election.enable": "true"},
            [(Weight.SERIOUS, "unclean.leader.election.enable")],
            id="a replica that lags may become leader",
        ),
        pytest.param(
            Role.COMMANDS,
            {"min.insync.replicas": "4"},
            [(Weight.SERIOUS, "min.insync.replicas")],
            id="more in-sync replicas are needed than there are",
        ),
        pytest.param(
            Role.COMMANDS,
            {"min.insync.replicas": "1"},
            [(Weight.NOTABLE, "min.insync.replicas")],
            id="one replica alone may acknowledge",
        ),
        pytest.param(
            Role.COMMANDS, {"retention.ms": "3600000"}, [(Weight.NOTABLE, "retention.ms")], id="commands live an hour"
        ),
        pytest.param(Role.COMMANDS, {"retention.ms": "-1"}, [], id="commands are kept for ever"),
        pytest.param(
            Role.DEAD_LETTERS,
            {"retention.ms": "-1"},
            [(Weight.NOTABLE, "retention.ms")],
            id="personal data is kept for ever",
        ),
        pytest.param(
            Role.COMMANDS, {"retention.bytes": "1000"}, [(Weight.NOTABLE, "retention.bytes")], id="a burst pushes out"
        ),
    ],
)
def test_configuration_is_weighed(role: Role, configs: Mapping[str, str], expected: list[tuple[Weight, str]]) -> None:
    """Serious is what loses data or stops the worker; the rest an operator may want so."""
    assert found(role, existing(configs)) == expected


@pytest.mark.parametrize(("role", "weight"), [(Role.DEAD_LETTERS, Weight.SERIOUS), (Role.EVENTS, Weight.NOTABLE)])
def test_outcome_needs_more_room_than_its_command(role: Role, weight: Weight) -> None:
    """A dead letter that does not fit stops its partition; an event that does not fit becomes a dead letter."""
    commands = existing({"max.message.bytes": "5000000"})

    assert found(role, existing({"max.message.bytes": "5000000"}), commands) == [(weight, "max.message.bytes")]
    assert found(role, existing({"max.message.bytes": str(5_000_000 + ROOM_BYTES)}), commands) == []


def test_lost_leaders_and_lone_replicas_are_found_without_the_configuration() -> None:
    """Who may not describe configurations still sees what the metadata says."""
    topic = Topic("t", 6, 1, None, None, leaderless=2)

    assert [(concern.weight, concern.text) for concern in concerns(Role.COMMANDS, topic, None)] == [
        (Weight.SERIOUS, "2 of 6 partitions have no leader"),
        (Weight.NOTABLE, "has one replica: a lost disk loses it"),
    ]


def test_serious_concerns_come_first() -> None:
    """The reader of a long list acts on its head."""
    topic = existing({"retention.bytes": "1", "cleanup.policy": "compact"}, replication=1)

    weights = [concern.weight for concern in concerns(Role.COMMANDS, topic, None)]

    assert weights == sorted(weights, reverse=True)
    assert weights[0] is Weight.SERIOUS


@pytest.mark.parametrize(
    ("retention_ms", "segment_ms"),
    [(30 * DAY_MS, str(DAY_MS)), (3_600_000, "3600000"), (FOR_EVER, None)],
)
def test_segments_close_in_time_for_the_retention(retention_ms: int, segment_ms: str | None) -> None:
    """Kafka deletes whole closed segments: with its default of a week, an hour's retention would be a week's."""
    assert planned(Role.DEAD_LETTERS, retention_ms=retention_ms).get("segment.ms") == segment_ms


def test_differences_name_what_was_found_and_what_was_wanted() -> None:
    """An existing topic is never changed, so its operator has to be told."""
    wanted = plan(
        Role.COMMANDS, "t", partitions=6, replication=3, retention_ms=7 * DAY_MS, largest_command_bytes=1_000_000
    )
    topic = Topic("t", 3, 1, {**wanted.configs, "retention.ms": "1", "compression.type": "zstd"}, None)

    assert list(differences(wanted, topic)) == [
        ("partitions", "3", "6"),
        ("replication", "1", "3"),
        ("retention.ms", "1", str(7 * DAY_MS)),
    ]
