"""`topics create`: the topics, configured so that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from worker.cli.console import KAFKA_SECONDS, kafka, say, say_json, usable_settings
from worker.cli.failure import ExitCode
from worker.cli.spans import span_ms, span_words

if TYPE_CHECKING:
    from worker.kafka.topics import Role, Topic, TopicPlan
    from worker.settings import Settings

EXAMPLES: Final = """\
Examples:
  customer-sync topics create --dry-run
  customer-sync topics create --partitions 12 --dead-letter-retention 14d"""


def create(
    *,
    partitions: Annotated[
        int, typer.Option(min=1, max=10_000, help="Partitions of each topic; the desk's has one.")
    ] = 6,
    replication: Annotated[
        int | None, typer.Option(min=1, max=100, help="Replicas of each partition. [default: 3, or all brokers]")
    ] = None,
    commands_retention: Annotated[
        str, typer.Option(metavar="SPAN", help="How long commands are kept: the longest outage to survive.")
    ] = "7d",
    events_retention: Annotated[
        str, typer.Option(metavar="SPAN", help="How long events are kept: the longest absence of a subscriber.")
    ] = "7d",
    dead_letter_retention: Annotated[
        str, typer.Option(metavar="SPAN", help="How long dead letters, personal data, wait to be mended.")
    ] = "30d",
    largest_command: Annotated[
        int,
        typer.Option(min=1024, metavar="BYTES", help="max.message.bytes of the commands; outcomes get 64 KiB more."),
    ] = 1_048_588,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show, and ask the brokers whether they would.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Create the topics of commands, events and dead letters where they are missing, and the desk's beside them.

    Each gets cleanup.policy=delete, since compaction would drop commands that nobody has read yet,
    min.insync.replicas=2 where there are two replicas, retention by time alone, and segments of a day at most, so
    that the retention holds. A SPAN is a number with m, h or d, such as 36h, or `forever`.

    An existing topic is compared and never changed. Exit code 1 if one of them would lose data.
    """
    import asyncio

    from worker.kafka.topics import FOR_EVER, Role, kept_after, plan

    settings = usable_settings()
    spans = {
        Role.COMMANDS: ("--commands-retention", commands_retention),
        Role.EVENTS: ("--events-retention", events_retention),
        Role.DEAD_LETTERS: ("--dead-letter-retention", dead_letter_retention),
    }
    retention_ms = {
        role: FOR_EVER if span == "forever" else span_ms(span, option) for role, (option, span) in spans.items()
    }
    # What was decided about a dead letter has to outlive it.
    retention_ms[Role.DECISIONS] = kept_after(retention_ms[Role.DEAD_LETTERS])

    def wanted(role: Role, name: str, brokers: int) -> TopicPlan:
        return plan(
            role,
            name,
            partitions=1 if role is Role.DECISIONS else partitions,
            replication=replication or min(3, brokers),
            retention_ms=retention_ms[role],
            largest_command_bytes=largest_command,
        )

    results = asyncio.run(_create(settings, wanted, dry_run=dry_run))
    if as_json:
        say_json({"dry_run": dry_run, "topics": [result.as_json() for result in results]})
    else:
        for result in results:
            _print(result, dry_run=dry_run)
    if any(result.state == "refused" or result.loses_data for result in results):
        raise typer.Exit(ExitCode.FAILED)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one topic; *notes* say how an existing one differs from the plan, or why it was refused."""

    plan: TopicPlan
    state: Literal["created", "exists", "refused"]
    notes: tuple[str, ...] = ()
    loses_data: bool = False

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "topic": self.plan.name,
            "state": self.state,
            "partitions": self.plan.partitions,
            "replication": self.plan.replication,
            "configs": dict(self.plan.configs),
            "notes": list(self.notes),
            "loses_data": self.loses_data,
        }


async def _create(settings: Settings, wanted: Callable[[Role, str, int], TopicPlan], *, dry_run: bool) -> list[Result]:
    from worker.kafka.admin import Absence
    from worker.kafka.topics import Role

    names = {
        Role.COMMANDS: settings.commands_topic,
        Role.EVENTS: settings.events_topic,
        Role.DEAD_LETTERS: settings.dead_letter_topic,
        Role.DECISIONS: settings.desk_topic,
    }
    async with kafka(settings) as admin:
        plans = {name: wanted(role, name, admin.brokers) for role, name in names.items()}
        found = await admin.topics(list(plans))
        missing = [plans[name] for name, topic in found.items() if isinstance(topic, Absence)]
        refusals = await admin.create(missing, dry_run=dry_run) if missing else {}
        created = [name for name, refusal in refusals.items() if refusal is None]
        if created and not dry_run:
            await admin.await_leaders(created, within_seconds=KAFKA_SECONDS)
    results = []
    for name, topic_plan in plans.items():
        topic, refusal = found[name], refusals.get(name)
        if not isinstance(topic, Absence):
            results.append(_existing(topic_plan, topic))
        elif refusal is None:
            results.append(Result(topic_plan, "created"))
        else:
            results.append(Result(topic_plan, "refused", (refusal,)))
    return results


def _existing(plan: TopicPlan, topic: Topic) -> Result:
    from worker.kafka.topics import Weight, concerns, differences

    serious = [concern for concern in concerns(plan.role, topic, None) if concern.weight is Weight.SERIOUS]
    notes = [f"{name} is {found}, planned {wanted}" for name, found, wanted in differences(plan, topic)]
    notes += [f"{concern.text}: {concern.advice}" for concern in serious]
    return Result(plan, "exists", tuple(notes), loses_data=bool(serious))


def _print(result: Result, *, dry_run: bool) -> None:
    plan = result.plan
    if result.state == "created":
        retention = int(plan.configs["retention.ms"])
        kept = "kept for ever" if retention < 0 else f"kept {span_words(retention)}"
        partitions = f"{plan.partitions} partition{'s' if plan.partitions > 1 else ''}"
        replicas = f"{plan.replication} replica{'s' if plan.replication > 1 else ''}"
        state = ("would be created", "cyan") if dry_run else ("created", "green")
        say(f"{plan.name}: ", state, f", {partitions}, {replicas}, {kept}")
    elif result.state == "exists":
        verdict = ("LOSES DATA", "red") if result.loses_data else ("exists, unchanged", "green")
        say(f"{plan.name}: ", verdict)
    else:
        say(f"{plan.name}: ", ("refused", "red"))
    for note in result.notes:
        say(f"    {note}")
