"""`watch`: follow what becomes of commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer

from handlers.fields import shown_customer
from worker.cli.console import Part, complain, kafka, plain, say, say_json, usable_settings

if TYPE_CHECKING:
    from worker.cli.outcomes import Outcome
    from worker.settings import Settings

EXAMPLES: Final = """\
Examples:
  customer-sync watch
  customer-sync watch --from-beginning --no-follow --json | jq -r 'select(.outcome == "dead_letter") | .reason'"""

_LOOK_EVERY_SECONDS: Final = 0.5


def watch(
    *,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with what is there already.")] = False,
    follow: Annotated[bool, typer.Option(help="Wait for more; --no-follow ends at the end of what is there.")] = True,
    count: Annotated[int | None, typer.Option(min=1, help="End after this many outcomes.")] = None,
    customer: Annotated[str | None, typer.Option(metavar="ID", help="Only this customer's outcomes.")] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show payloads too: they hold personal data.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line, with payloads: they hold personal data.")
    ] = False,
) -> None:
    """Follow events and dead letters until Ctrl-C.

    Shows committed records only, as subscribers see them. Without --reveal or --json no personal data appears:
    ids, reasons, errors and the names of fields only.
    """
    import asyncio

    asyncio.run(
        _watch(
            usable_settings(),
            from_beginning=from_beginning,
            follow=follow,
            count=count,
            customer=customer,
            show=_show_json if as_json else _show_payload if reveal else _show,
        )
    )


async def _watch(
    settings: Settings,
    *,
    from_beginning: bool,
    follow: bool,
    count: int | None,
    customer: str | None,
    show: Callable[[Outcome], None],
) -> None:
    from worker.cli.outcomes import existing_partitions, following

    topics = [settings.events_topic, settings.dead_letter_topic]
    async with kafka(settings) as admin:
        partitions = existing_partitions(await admin.topics(topics), needed=topics)
        async with following(settings, partitions, from_beginning=from_beginning) as outcomes:
            complain((f"watching {' and '.join(topics)}; Ctrl-C ends", "dim"))
            ends = None if follow else await outcomes.ends()
            shown = 0
            while ends is None or not await outcomes.is_past(ends):
                for outcome in await outcomes.next_batch(_LOOK_EVERY_SECONDS):
                    if customer is not None and outcome.customer_id != customer:
                        continue
                    show(outcome)
                    shown += 1
                    if shown == count:
                        return


def _show(outcome: Outcome) -> None:
    customer = shown_customer(outcome.key)
    start: tuple[Part, ...] = ((f"{outcome.time:<20}  ", "dim"),)
    if outcome.is_event:
        say(*start, ("event        ", "green"), f"{customer:<36}  ", (f"command {plain(outcome.command_id)}", "dim"))
        return
    fields = ", ".join(outcome.named_fields())
    say(*start, ("dead letter  ", "red"), f"{customer:<36}  ", (f"command {plain(outcome.command_id)}", "dim"))
    say(f"    {plain(outcome.reason)}: {plain(outcome.error)}")
    if fields:
        say((f"    fields: {fields}", "dim"))


def _show_payload(outcome: Outcome) -> None:
    _show(outcome)
    document = outcome.as_json()
    payload = document["value"] if "value" in document else document.get("text") or document.get("base64")
    say(f"    {plain(json.dumps(payload, ensure_ascii=False))}")


def _show_json(outcome: Outcome) -> None:
    say_json(outcome.as_json())
