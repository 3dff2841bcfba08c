"""`make chaos`: kills, freezes and restarts workers and Kafka under load, round after round, and has each round judged.

    make chaos                         20 rounds of the seed 1, or those of them that were not done yet
    make chaos ROUNDS=200              go on to 200
    make chaos SEED=fresh ROUNDS=1     one that nobody has seen yet
    make chaos ONLY=1.17               that round again, whatever the history says

Ends with 1 where a promise was broken; what is needed to look into it lies in .artifacts/chaos/.
"""

import argparse
import asyncio
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from chaos.history import Entry, History, commit, total
from chaos.plan import Fault, Plan, draw
from chaos.round import Result, Round
from harness.broker import Broker
from harness.broker_choice import choose
from harness.reaper import Reaper

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / ".artifacts"


def main() -> int:
    """See the module."""
    options = _parser().parse_args()
    console = Console(stderr=True)
    history = History(options.history)
    seeds = _seeds(options, history)
    entries: list[Entry] = []
    reaper = Reaper()
    broker = choose(reaper).broker
    try:
        if not (broker.real and broker.can_restart):
            console.print(f"chaos needs a Kafka of its own, and this is {broker.describe()}")
            return 2
        console.print(f"{len(seeds)} rounds on {broker.describe()}, {len(history.done())} in the history")
        with _progress(console) as progress:
            task = progress.add_task("", total=len(seeds), what="")
            for seed in seeds:
                entry = _carry_out(seed, options.commands, broker=broker, reaper=reaper, progress=progress, task=task)
                history.add(entry)
                entries.append(entry)
                progress.advance(task)
                _report(console, entry)
    except KeyboardInterrupt:
        console.print("stopped; the same call goes on where this one ended")
    finally:
        broker.close()
        reaper.close()
    out = Console(width=None if sys.stdout.isatty() else 120)
    out.print(_table(entries))
    out.print("this run:", _words(entries))
    out.print("history: ", _words(history.entries))
    return int(any(entry.breaches for entry in entries))


def _carry_out(seed: str, commands: int, *, broker: Broker, reaper: Reaper, progress: Progress, task: TaskID) -> Entry:
    plan = draw(seed, commands)
    folder = ARTIFACTS / "chaos" / seed
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def say(what: str) -> None:
        progress.update(task, what=f"{seed}: {what}")

    began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    round_ = Round(plan, broker=broker, reaper=reaper, folder=folder, say=say)
    result = asyncio.run(round_.run())
    if not result.breaches and not result.notes:
        shutil.rmtree(folder)
    return _entry(plan, result, began, folder)


def _entry(plan: Plan, result: Result, began: str, folder: Path) -> Entry:
    figures = dict(result.figures)
    return Entry(
        seed=plan.seed,
        commit=commit(ROOT),
        began=began,
        commands=figures.pop("commands", 0),
        copies=figures.pop("copies", 0),
        outcomes=figures.pop("events", 0) + figures.pop("dead letters", 0),
        requests=figures.pop("requests", 0),
        kills=plan.count(Fault.KILL),
        freezes=plan.count(Fault.FREEZE),
        terminations=plan.count(Fault.TERMINATE),
        broker_restarts=plan.count(Fault.BROKER_STOP, Fault.BROKER_KILL),
        upstream_bursts=plan.count(Fault.UPSTREAM),
        is_static=plan.is_static,
        seconds=round(result.seconds, 1),
        settle_seconds=round(result.settle_seconds, 1),
        exceptions=figures,
        breaches=result.breaches,
        notes=result.notes,
        folder=str(folder) if result.breaches or result.notes else "",
    )


def _seeds(options: argparse.Namespace, history: History) -> list[str]:
    if options.only:
        return [options.only]
    seed = secrets.token_hex(4) if options.seed == "fresh" else options.seed
    done = history.done()
    return [name for number in range(1, options.rounds + 1) if (name := f"{seed}.{number}") not in done]


def _report(console: Console, entry: Entry) -> None:
    for note in entry.notes:
        console.print(f"{entry.seed}: {note}", markup=False)
    if not entry.breaches:
        return
    console.print(f"BREACH in round {entry.seed} at {entry.commit}:", style="bold red")
    for breach in entry.breaches[:20]:
        console.print(f"  {breach['promise']}: {breach['facts']}", markup=False)
    console.print(f"  logs and evidence: {entry.folder}\n  again: make chaos ONLY={entry.seed}", markup=False)


def _table(entries: Sequence[Entry]) -> Table:
    table = Table(title="make chaos")
    for name in ("round", "members"):
        table.add_column(name)
    numbers = ("commands", "outcomes", "kills", "freezes", "SIGTERM", "broker", "upstream", "settled", "breaches")
    for name in numbers:
        table.add_column(name, justify="right")
    for entry in entries:
        table.add_row(
            entry.seed,
            "static" if entry.is_static else "dynamic",
            *(str(number) for number in (entry.commands, entry.outcomes, entry.kills, entry.freezes)),
            *(str(number) for number in (entry.terminations, entry.broker_restarts, entry.upstream_bursts)),
            f"{entry.settle_seconds:.1f} s",
            str(len(entry.breaches)),
            style="red" if entry.breaches else None,
        )
    return table


def _words(entries: Sequence[Entry]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in total(entries).items())


def _progress(console: Console) -> Progress:
    columns = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", markup=False),
    )
    return Progress(*columns, console=console)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="of the seed, those in the history among them")
    parser.add_argument("--seed", default="1", help="of everything that is left to chance; `fresh` for a new one")
    parser.add_argument("--only", default="", metavar="SEED.ROUND", help="one round, also where it was done")
    parser.add_argument("--commands", type=int, default=1000, help="in each round (%(default)s)")
    parser.add_argument("--history", type=Path, default=ARTIFACTS / "chaos.jsonl", help="%(default)s")
    return parser


if __name__ == "__main__":
    sys.exit(main())
