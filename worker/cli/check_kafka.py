"""The verdicts of `check` about Kafka: brokers, topics, group, transactions. Nothing is created or changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

from worker.cli.console import KAFKA_SECONDS
from worker.cli.spans import span_words
from worker.cli.verdict import Mark, Verdict
from worker.kafka.admin import Absence, Admin, connect, murmurs, refusal_of_transactions
from worker.kafka.errors import KafkaRefused, KafkaUnreachable
from worker.kafka.topics import NEEDED_OPERATIONS, Role, Topic, Weight, concerns

if TYPE_CHECKING:
    from worker.settings import Settings

_MARKS: Final = {Weight.SERIOUS: Mark.FAILED, Weight.NOTABLE: Mark.WARNING}


async def kafka_verdicts(settings: Settings) -> AsyncIterator[Verdict]:
    """Every verdict about Kafka; one that fails ends them where nothing more can be found out."""
    try:
        with murmurs() as heard:
            options = settings.kafka_client_options()
            async with connect(options, heard, within_seconds=KAFKA_SECONDS) as admin:
                brokers = f"{admin.brokers} broker{'s' if admin.brokers != 1 else ''}"
                yield Verdict("kafka", Mark.OK, f"{brokers} at {settings.kafka_bootstrap_servers}")
                async for verdict in _topics(admin, settings):
                    yield verdict
                yield await _group(admin, settings)
                yield await _transactions(settings)
    except KafkaUnreachable as unreachable:
        yield Verdict("kafka", Mark.FAILED, str(unreachable))
    except KafkaRefused as refused:
        yield Verdict("kafka", Mark.FAILED, str(refused), "correct KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_* or the ACLs")


async def _topics(admin: Admin, settings: Settings) -> AsyncIterator[Verdict]:
    names = {
        Role.COMMANDS: settings.commands_topic,
        Role.EVENTS: settings.events_topic,
        Role.DEAD_LETTERS: settings.dead_letter_topic,
    }
    found = await admin.topics(list(names.values()))
    commands = found[settings.commands_topic]
    for role, name in names.items():
        topic = found[name]
        if isinstance(topic, Absence):
            fix = "customer-sync topics create" if topic is Absence.MISSING else _allow(NEEDED_OPERATIONS[role], name)
            yield Verdict(f"topic {name}", Mark.FAILED, str(topic), fix)
            continue
        for verdict in _topic(role, topic, commands if isinstance(commands, Topic) else None):
            yield verdict


def _topic(role: Role, topic: Topic, commands: Topic | None) -> Iterator[Verdict]:
    subject = f"topic {topic.name}"
    found = list(concerns(role, topic, commands))
    if not any(concern.weight is Weight.SERIOUS for concern in found):
        yield Verdict(subject, Mark.OK, f"{role}: {_summary(topic)}")
    for concern in found:
        yield Verdict(subject, _MARKS[concern.weight], concern.text, concern.advice)
    if topic.configs is None:
        text = "its configuration is not shown to this user: cleanup.policy and retention are not checked"
        yield Verdict(subject, Mark.SKIPPED, text, _allow(frozenset({"DESCRIBE_CONFIGS"}), topic.name))
    missing = NEEDED_OPERATIONS[role] - topic.may if topic.may is not None else frozenset()
    if missing:
        text = f"this user may not {' or '.join(sorted(missing))}"
        yield Verdict(subject, Mark.FAILED, text, _allow(missing, topic.name))


def _summary(topic: Topic) -> str:
    parts = [
        f"{topic.partitions} partition{'s' if topic.partitions != 1 else ''}",
        f"{topic.replication} replica{'s' if topic.replication != 1 else ''}",
    ]
    if topic.configs is not None:
        retention_ms = int(topic.configs.get("retention.ms", "-1"))
        parts.append("kept for ever" if retention_ms < 0 else f"kept {span_words(retention_ms)}")
    return ", ".join(parts)


async def _group(admin: Admin, settings: Settings) -> Verdict:
    name = settings.kafka_group_id
    try:
        group = await admin.group(name)
    except KafkaRefused as refused:
        text = str(refused).removeprefix(f"group {name}: ")
        return Verdict(f"group {name}", Mark.FAILED, text, f"allow DESCRIBE and READ on the group {name}")
    if group.state == "unknown":
        return Verdict(f"group {name}", Mark.SKIPPED, "the broker does not tell")
    if group.may is not None and "READ" not in group.may:
        return Verdict(f"group {name}", Mark.FAILED, "this user may not READ", f"allow READ on the group {name}")
    members = f"{group.members} member{'s' if group.members != 1 else ''}"
    state = "has not been used yet" if group.state == "Dead" else f"{members}, {group.state}"
    return Verdict(f"group {name}", Mark.OK, state)


async def _transactions(settings: Settings) -> Verdict:
    if settings.delivery != "exactly_once":
        return Verdict("transactions", Mark.SKIPPED, f"not needed with DELIVERY={settings.delivery}")
    # The worker's own ids begin with the group's name as well, so that one prefixed ACL covers all.
    refusal = await refusal_of_transactions(
        settings.kafka_client_options(), f"{settings.kafka_group_id}.check", within_seconds=KAFKA_SECONDS
    )
    if refusal is None:
        return Verdict("transactions", Mark.OK, "available")
    fix = f"allow WRITE on transactional ids that begin with {settings.kafka_group_id}., or set DELIVERY=at_least_once"
    return Verdict("transactions", Mark.FAILED, refusal, fix)


def _allow(operations: frozenset[str], topic: str) -> str:
    return f"allow {' and '.join(sorted(operations))} on the topic {topic}"
