"""`plan`: what a command would do, before anybody publishes it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import JsonValue

from worker.cli.composing import changes_from, cloudevents_headers, content_of, value_of
from worker.cli.console import plain, say, say_json, usable_settings
from worker.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    from handlers.record import CommandRecord
    from worker.cli.planning import Apply, Plan
    from worker.settings import Settings

EXAMPLES: Final = """\
Examples:
  customer-sync plan b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4 --set email=billing@acme.com --clear phone
  customer-sync plan --record command.json --reveal
  jq -c '.commands[0]' export.json | customer-sync plan --record -"""

_HIDDEN: Final = "(hidden)"
_WIDTH: Final = 15


def plan(
    customer: Annotated[
        str | None, typer.Argument(metavar="[CUSTOMER]", help="The customer's id. [default: that of --record]")
    ] = None,
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
    record: Annotated[
        str | None,
        typer.Option(metavar="FILE|-", help="A whole value, as it would be published: plain or an envelope."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Its expirytime: RFC 3339, or a span from now such as 15m.")
    ] = None,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show values too: they are personal data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; values only with --reveal.")] = False,
) -> None:
    """Show what a command would do; send nothing but the GET.

    Goes the worker's own way up to the PATCH: the customer as it is, which fields would change, what the PATCH would
    hold, or the reason and the error of its dead letter. Costs one request of the upstream's limit, if the command can
    be read at all. Commands that wait are not looked at. Needs no Kafka. Exit codes: 0 it would be applied, 1 it would
    be a dead letter, 6 the upstream has to be waited for.
    """
    if record is not None:
        if set_ or clear or tag or no_tags or changes is not None:
            raise typer.BadParameter("stands for the whole value: nothing else can be set", param_hint="--record")
        value = content_of(record, "--record")
        key = customer if customer is not None else _customer_in(value)
    elif customer is None:
        raise typer.BadParameter("is needed, or --record", param_hint="CUSTOMER")
    else:
        value = value_of(customer, changes_from(set_ or [], clear or [], tag or [], changes, no_tags=no_tags))
        key = customer
    headers = [] if expires is None else cloudevents_headers("plan", "customer-sync/plan", None, expires)
    settings = usable_settings(token_required=True)

    import asyncio

    from handlers.record import CommandRecord

    key_bytes = key.encode(errors="surrogateescape")
    planned = asyncio.run(
        _plan(CommandRecord(settings.commands_topic, 0, 0, -1, key_bytes, value, tuple(headers)), settings)
    )
    _report(planned, settings, reveal=reveal, as_json=as_json)


async def _plan(record: CommandRecord, settings: Settings) -> Plan:
    from worker.cli.check_upstream import token_source
    from worker.cli.planning import plan_of
    from worker.upstream.client import UpstreamClient
    from worker.upstream.token_source import TokenUnusable

    try:
        token = token_source(settings)
    except TokenUnusable as unusable:
        raise Failure(str(unusable), fix="correct UPSTREAM_TOKEN or UPSTREAM_TOKEN_FILE") from unusable
    async with UpstreamClient(settings.upstream_base_url, token, settings.upstream_timeout_seconds, 1) as upstream:
        now_ms = time.time_ns() // 1_000_000  # noqa: TID251  # an expiry is a moment of the calendar
        return await plan_of(record, upstream, now_ms=now_ms)


def _customer_in(value: bytes) -> str:
    """Whose command the value says it is; "" where it says nothing, which `decode` then refuses."""
    try:
        document = json.loads(value)
    except (ValueError, RecursionError):
        return ""
    body = document.get("data", document) if isinstance(document, dict) else {}
    named = body.get("customer_id", body.get("customerId")) if isinstance(body, dict) else None
    return named if isinstance(named, str) else ""


def _report(planned: Plan, settings: Settings, *, reveal: bool, as_json: bool) -> None:
    from worker.cli.planning import Apply, Refuse, Wait

    match planned:
        case Apply():
            if as_json:
                say_json(_as_json(planned, reveal=reveal))
            else:
                _show(planned, reveal=reveal)
        case Refuse(reason=reason, error=error, status=status, requests=requests):
            if as_json:
                say_json(
                    {"verdict": "refuse", "reason": reason, "error": error, "status": status, "requests": requests}
                )
            else:
                say((f"{'refuse':<{_WIDTH}}", "red"), f"{reason}, after {_count(requests)}")
                say(f"{'error':<{_WIDTH}}{plain(error)}")
            raise typer.Exit(ExitCode.FAILED)
        case Wait(answer=answer):
            from worker.cli.check_upstream import verdict_on_get

            verdict = verdict_on_get(answer, settings)
            if as_json:
                say_json({"verdict": "wait", "error": verdict.text, "status": answer.status, "requests": 1})
            raise Failure(
                f"the worker would wait: {plain(verdict.text)}", fix=verdict.fix, exit_code=ExitCode.NO_UPSTREAM
            )


def _show(planned: Apply, *, reveal: bool) -> None:
    say((f"{'customer':<{_WIDTH}}", "dim"), plain(planned.customer.id))
    for field, now, then, differs in _fields(planned):
        if differs:
            say((f"{field:<{_WIDTH}}", "yellow"), f"{_text(now, reveal=reveal)} → {_text(then, reveal=reveal)}")
        else:
            say((f"{field:<{_WIDTH}}", "dim"), f"{_text(now, reveal=reveal)}, as it is already")
    if planned.body is None:
        say((f"{'apply':<{_WIDTH}}", "green"), "nothing would change: one GET, no PATCH, and an event")
        return
    steps = f"GET, PATCH with {', '.join(planned.body)}: {_count(planned.requests)}, and an event"
    say((f"{'apply':<{_WIDTH}}", "green"), steps)
    if reveal:
        say(f"{'body':<{_WIDTH}}{plain(json.dumps(planned.body, ensure_ascii=False))}")


def _as_json(planned: Apply, *, reveal: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for field, now, then, differs in _fields(planned):
        fields[field] = {"differs": differs, "now": now, "then": then} if reveal else {"differs": differs}
    document: dict[str, Any] = {
        "verdict": "apply",
        "customer_id": planned.customer.id,
        "requests": planned.requests,
        "fields": fields,
        "patch": None if planned.body is None else list(planned.body),
    }
    return {**document, "body": planned.body} if reveal else document


def _fields(planned: Apply) -> Iterator[tuple[str, JsonValue, JsonValue, bool]]:
    """Each field that the command names: its value now and then, and whether that is a difference to the upstream."""
    from handlers.fields import CAMEL

    for field, then in planned.command.changes.items():
        now: Any = planned.customer.tags if field == "tags" else planned.customer.body[CAMEL[field]]
        yield field, now, then, planned.differs(field)


def _text(value: JsonValue, *, reveal: bool) -> str:
    if reveal or value is None:
        return plain(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list):
        return f"{len(value)} tag{'s' if len(value) != 1 else ''}"
    return _HIDDEN


def _count(requests: int) -> str:
    return f"{requests} request{'s' if requests != 1 else ''}"
