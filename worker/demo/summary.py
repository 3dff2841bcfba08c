"""The end of the demo: the day in figures, what was checked, and what to try next."""

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.demo.account import Finding, Flaw
from worker.demo.day import Day, Tally
from worker.demo.stage import Stage
from worker.demo.traffic import AURORA, FIRMS

_CHECKS: Final = (
    ((Flaw.MISSING, Flaw.REPEATED, Flaw.UNASKED), "every command has one outcome: none is missing, none came twice"),
    ((Flaw.UNEXPECTED,), "every outcome is the one it should be"),
    ((Flaw.ALTERED,), "every dead letter holds its command, byte for byte"),
    ((Flaw.OUT_OF_ORDER,), "each customer's events came in the order of the commands"),
    (
        (Flaw.DIFFERENT, Flaw.CREATED),
        f"all {len(FIRMS)} customers are upstream as the commands left them; nobody was created",
    ),
    ((Flaw.CROWDED,), "no customer ever had two requests under way"),
)


def print_summary(
    console: Console, day: Day, findings: Sequence[Finding], *, first_event_seconds: float | None, seconds: float
) -> None:
    """The figures of the day and the verdict on it; *findings* is empty where all is well."""
    tally = day.tally()
    console.print()
    console.print(_table(day, tally))
    reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(tally.dead_letters.items()))
    if reasons:
        _say(console, " dead letters: ", reasons, "dim")
    console.print()
    good, bad = ("ok", "NO") if console.options.ascii_only else ("✓", "✗")
    for flaws, claim in _CHECKS:
        broken = [finding for finding in findings if finding.flaw in flaws]
        _say(console, f" {bad if broken else good} ", claim, "red" if broken else "green")
        for finding in broken:
            _say(console, "     ", str(finding), "red")
    first = f"first event {first_event_seconds:.1f} s after the start, " if first_event_seconds is not None else ""
    _say(console, "   ", f"{first}{seconds:.1f} s in all", "dim")


def print_next(console: Console, program: str) -> None:
    """What to try next."""
    console.print()
    for command, meaning in (
        ("demo --keep", "to publish commands yourself"),
        ("--help", "for everything else; see also README.md"),
    ):
        console.print(Text.assemble("   ", (f"{program} {command}", "cyan"), f"  {meaning}"), soft_wrap=True)


def print_invitation(console: Console, stage: Stage, program: str) -> None:
    """How to join in from a second terminal while everything keeps running."""
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": stage.bootstrap_servers,
        "UPSTREAM_BASE_URL": stage.upstream_url,
        "UPSTREAM_TOKEN": "rw",  # the short name of the one that the worker has
        "DELIVERY": "at_least_once",
    }
    console.print("\n Everything keeps running until Ctrl-C. In a second terminal:\n")
    for name, value in settings.items():
        console.print(Text(f"export {name}={value}", "cyan"), soft_wrap=True)
    console.print("\n and then, one after the other:\n")
    for command in (
        "check",
        f"send {AURORA.id} --set city=Galway --wait 10",
        f"send {AURORA.id} --raw '{{\"changes\": ' --wait 10",
        "watch --from-beginning",
    ):
        console.print(Text(f"{program} {command}", "cyan"), soft_wrap=True)
    console.print()
    for what, where in (
        ("worker  ", f"{stage.worker_url}  its log: {stage.log_of('worker')}"),
        ("upstream", f"{stage.upstream_url}/control  its customers, faults and requests"),
    ):
        console.print(Text.assemble((f" {what}  ", "dim"), where), soft_wrap=True)
    console.print()


def _say(console: Console, start: str, text: str, style: str) -> None:
    """A line that begins in *style*; on a terminal its further lines stand below its text."""
    lines = textwrap.wrap(text, max(console.width - len(start), 20)) if console.is_terminal else [text]
    for number, line in enumerate(lines):
        console.print(Text.assemble((start if number == 0 else " " * len(start), style), line), soft_wrap=True)


def _table(day: Day, total: Tally) -> Table:
    table = Table(box=None, padding=(0, 0, 0, 2), header_style="dim")
    table.add_column("", no_wrap=True)
    for heading in ("sent", "events", "dead letters", "requests", "per command"):
        table.add_column(heading, justify="right", no_wrap=True)
    for scene in day.scenes:
        table.add_row(f"{scene.clock}  {scene.title}", *_figures(day.tally(scene)))
    table.add_row("all", *_figures(total), style="bold")
    return table


def _figures(tally: Tally) -> Sequence[str]:
    return (
        str(tally.commands),
        str(tally.events),
        str(sum(tally.dead_letters.values())),
        str(tally.requests),
        f"{tally.requests / tally.commands:.1f}" if tally.commands else "",
    )
