"""`send`: publish a command, as any publisher would."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from worker.cli.composing import Composed, changes_from, cloudevents_headers, content_of, value_of
from worker.cli.console import kafka, options_for_clients, plain, say, say_json, usable_settings
from worker.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    from worker.cli.outcomes import Outcome
    from worker.settings import Settings

EXAMPLES: Final = """\
Examples:
  customer-sync send b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4 --set email=billing@acme.com --clear phone
  customer-sync send b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4 --changes changes.json --wait 30
  customer-sync send b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4 --raw '{"broken": '"""

_LARGEST_REQUEST_BYTES: Final = 128 * 1024 * 1024


def send(
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", help="The customer's id: a UUID in lower case.")],
    *,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Set a field. Repeatable.")
    ] = None,
    clear: Annotated[list[str] | None, typer.Option(metavar="FIELD", help="Clear a field. Repeatable.")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="ID=NAME", help="A tag of the new set, which replaces the old one. Repeatable."),
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Replace the set of tags with none.")] = False,
    changes: Annotated[
        str | None, typer.Option(metavar="JSON|FILE|-", help="The changes as a JSON object, a file, or standard input.")
    ] = None,
    raw: Annotated[
        str | None,
        typer.Option(metavar="TEXT|-", help="Send this value as it is, to see what becomes of a broken one."),
    ] = None,
    command_id: Annotated[
        str | None, typer.Option("--id", help="The command's CloudEvents id. [default: a new UUID]")
    ] = None,
    source: Annotated[str, typer.Option(help="The command's CloudEvents source.")] = "customer-sync/send",
    priority: Annotated[str | None, typer.Option(metavar="live|bulk", help="Its priority.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it expires: RFC 3339, or a span from now such as 15m.")
    ] = None,
    cloudevents: Annotated[bool, typer.Option(help="Send the CloudEvents attributes, id among them.")] = True,
    validate: Annotated[bool, typer.Option(help="Refuse here what the worker would refuse.")] = True,
    wait: Annotated[
        float | None, typer.Option(min=0.1, metavar="SECONDS", help="Wait this long for the outcome, and show it.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --wait, the whole outcome in it.")
    ] = False,
) -> None:
    """Publish one command that updates a customer.

    Its partition is that of Kafka's murmur2 of the customer's id, as the contract demands of every publisher.
    With --wait the exit code tells the outcome: 0 event, 1 dead letter, 4 none in time.
    """
    if raw is not None:
        if set_ or clear or tag or no_tags or changes is not None:
            raise typer.BadParameter("stands for the whole value: nothing else can be set", param_hint="--raw")
        value = content_of(raw, "--raw") if raw == "-" else raw.encode(errors="surrogateescape")
    else:
        value = value_of(customer, changes_from(set_ or [], clear or [], tag or [], changes, no_tags=no_tags))
    headers = cloudevents_headers(command_id or str(uuid.uuid4()), source, priority, expires) if cloudevents else []
    if not cloudevents and (command_id or priority or expires):
        raise typer.BadParameter(
            "--id, --priority and --expires are CloudEvents attributes", param_hint="--no-cloudevents"
        )
    record = Composed(customer.encode(errors="surrogateescape"), value, tuple(headers))
    settings = usable_settings()
    if validate and raw is None:
        _validate(record, settings.commands_topic)

    import asyncio

    sent, outcome = asyncio.run(_publish(settings, record, wait))
    _report(sent, outcome, as_json=as_json)
    if wait is not None and outcome is None:
        raise Failure(
            f"no outcome of command {plain(sent.command_id)} within {wait:g} seconds",
            fix="see whether a worker runs (`/readyz`), or whether the command repeats an earlier one: such a copy "
            "gets no outcome of its own",
            exit_code=ExitCode.NO_OUTCOME,
        )
    if outcome is not None and not outcome.is_event:
        raise typer.Exit(ExitCode.FAILED)


@dataclass(frozen=True, slots=True)
class _Sent:
    topic: str
    partition: int
    offset: int
    command_id: str
    customer_id: str


def _validate(record: Composed, topic: str) -> None:
    from handlers.command import decode
    from handlers.errors import CommandRefused
    from handlers.record import CommandRecord

    try:
        decode(CommandRecord(topic, 0, 0, 0, record.key, record.value, record.headers))
    except CommandRefused as refused:
        problems = "\n".join(f"  {plain(str(problem))}" for problem in refused.problems)
        raise Failure(
            f"the worker would refuse this command ({refused.reason})\n{problems}",
            fix="correct it, or send it all the same with --no-validate to see its dead letter",
        ) from refused


async def _publish(settings: Settings, record: Composed, wait_seconds: float | None) -> tuple[_Sent, Outcome | None]:
    from contextlib import AsyncExitStack

    from worker.cli.outcomes import existing_partitions, following

    outcomes_topics = [settings.events_topic, settings.dead_letter_topic] if wait_seconds is not None else []
    needed = [settings.commands_topic, *outcomes_topics]
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(kafka(settings))
        partitions = existing_partitions(await admin.topics(needed), needed=needed)
        outcomes = None
        if wait_seconds is not None:
            # Before sending, or a fast worker's outcome is missed.
            of_outcomes = {name: partitions[name] for name in outcomes_topics}
            outcomes = await stack.enter_async_context(following(settings, of_outcomes))
        sent = await _send(settings, record, partitions[settings.commands_topic])
        if outcomes is None or wait_seconds is None:
            return sent, None
        deadline = time.monotonic() + wait_seconds
        while (left := deadline - time.monotonic()) > 0:
            for outcome in await outcomes.next_batch(left):
                if outcome.command_id == sent.command_id and outcome.key == record.key:
                    return sent, outcome
        return sent, None


async def _send(settings: Settings, record: Composed, partitions: int) -> _Sent:
    from aiokafka import AIOKafkaProducer
    from aiokafka.errors import MessageSizeTooLargeError

    from worker.kafka.partitioner import partition_of

    producer = AIOKafkaProducer(
        **options_for_clients(settings), enable_idempotence=True, max_request_size=_LARGEST_REQUEST_BYTES
    )
    try:
        await producer.start()
        written = await producer.send_and_wait(
            settings.commands_topic,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
            partition=partition_of(record.key, partitions),
        )
    except MessageSizeTooLargeError as error:
        raise Failure(
            f"topic {settings.commands_topic} takes no record of {len(record.value)} bytes",
            fix="send less, or raise the topic's max.message.bytes",
        ) from error
    finally:
        await producer.stop()
    place = f"{written.topic}:{written.partition}:{written.offset}"
    return _Sent(
        written.topic,
        written.partition,
        written.offset,
        record.cloudevents_id or place,
        record.key.decode(errors="replace"),
    )


def _report(sent: _Sent, outcome: Outcome | None, *, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {
            "topic": sent.topic,
            "partition": sent.partition,
            "offset": sent.offset,
            "command_id": sent.command_id,
            "customer_id": sent.customer_id,
        }
        say_json({**document, "outcome": outcome.as_json()} if outcome is not None else document)
        return
    say(
        ("sent ", "green"),
        f"command {plain(sent.command_id)} to {sent.topic}, partition {sent.partition}, offset {sent.offset}",
    )
    if outcome is None:
        return
    place = f"{outcome.topic}, partition {outcome.partition}, offset {outcome.offset}"
    if outcome.is_event:
        say(("event ", "green"), f"in {place}: the command was applied")
    else:
        say(("dead letter ", "red"), f"in {place}: {plain(outcome.reason)}")
        say(f"    {plain(outcome.error)}")
