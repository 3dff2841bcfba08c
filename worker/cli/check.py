"""`check`: whether everything is there that the worker needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Final

import typer

from worker.cli.console import plain, say, say_json
from worker.cli.failure import ExitCode
from worker.cli.verdict import Mark, Verdict

EXAMPLES: Final = """\
Examples:
  customer-sync check
  customer-sync check --no-upstream --json | jq '.verdicts[] | select(.mark == "failed")'"""

_STYLES: Final = {Mark.OK: "green", Mark.WARNING: "yellow", Mark.FAILED: "red", Mark.SKIPPED: "dim"}
_MARK_WIDTH: Final = max(len(mark) for mark in Mark) + 2


def check(
    *,
    upstream: Annotated[bool, typer.Option(help="Ask the upstream too: costs two requests of its rate limit.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check settings, Kafka, topics, upstream and clock.

    Prints a verdict a line, and what to do about a bad one. Nothing is changed anywhere. Exit code 1 if a verdict
    is `failed`; `warning` and `skipped` do not count.
    """
    import asyncio

    verdicts = asyncio.run(_collect(upstream=upstream, show=not as_json))
    good = all(verdict.mark is not Mark.FAILED for verdict in verdicts)
    if as_json:
        say_json({"ok": good, "verdicts": [asdict(verdict) for verdict in verdicts]})
    if not good:
        raise typer.Exit(ExitCode.FAILED)


async def _collect(*, upstream: bool, show: bool) -> list[Verdict]:
    verdicts = []
    async for verdict in _all_verdicts(upstream=upstream):
        verdicts.append(verdict)
        if show:
            say((f"{verdict.mark:<{_MARK_WIDTH}}", _STYLES[verdict.mark]), f"{verdict.subject}: {plain(verdict.text)}")
            if verdict.fix:
                say(f"{'':<{_MARK_WIDTH}}  fix: {verdict.fix}")
    return verdicts


async def _all_verdicts(*, upstream: bool) -> AsyncIterator[Verdict]:
    from worker.settings import SettingsInvalid, load_settings, settings_warnings

    try:
        settings = load_settings(token_required=upstream)
    except SettingsInvalid as invalid:
        for fault in invalid.faults:
            yield Verdict("settings", Mark.FAILED, str(fault))
        yield Verdict("everything else", Mark.SKIPPED, "cannot be checked without settings")
        return
    count = len(settings.model_fields_set)
    yield Verdict("settings", Mark.OK, f"{count} given, the others at their defaults; `customer-sync config` shows all")
    for warning in settings_warnings(settings):
        yield Verdict("settings", Mark.WARNING, warning)

    from worker.cli.check_kafka import kafka_verdicts

    async for verdict in kafka_verdicts(settings):
        yield verdict
    if not upstream:
        yield Verdict("upstream", Mark.SKIPPED, "not asked, because of --no-upstream")
        return

    from worker.cli.check_upstream import upstream_verdicts

    async for verdict in upstream_verdicts(settings):
        yield verdict
