"""Figures, what was promised of each, and one table of them at the end.

A *promise* that is not kept makes the run fail. A *bar* is a goal of speed or of size: it is shown beside the figure,
and never fails the run, since it depends on the machine and on what else that does.
"""

import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from harness.broker import Broker
from harness.broker_choice import choose
from harness.reaper import Reaper
from harness.stage import Stage, set_stage


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: *what* was measured, the *value* as it is shown, and what it should be."""

    what: str
    value: str
    should_be: str
    is_good: bool
    is_promise: bool


def promised_none(what: str, number: int) -> Figure:
    """Something that must never happen, and how often it did."""
    return Figure(what, str(number), "0", is_good=number == 0, is_promise=True)


def at_most(what: str, values: Sequence[float], bar: float, unit: str) -> Figure:
    """The median of some measurements, all of which are shown, and the most that it should be."""
    middle = median(values) if values else math.inf
    shown = f"{middle:.2f} {unit}" + (f" ({', '.join(f'{one:.2f}' for one in sorted(values))})" if values[1:] else "")
    return Figure(what, shown, f"≤ {bar:g} {unit}", is_good=middle <= bar, is_promise=False)


def at_least(what: str, values: Sequence[float], bar: float, unit: str) -> Figure:
    """The same for what should be large; the smallest of them counts."""
    smallest = min(values, default=-math.inf)
    shown = f"{smallest:.2f} {unit}" + (f" ({', '.join(f'{one:.2f}' for one in sorted(values))})" if values[1:] else "")
    return Figure(what, shown, f"≥ {bar:g} {unit}", is_good=smallest >= bar, is_promise=False)


def told(what: str, value: str) -> Figure:
    """What helps to read the others."""
    return Figure(what, value, "", is_good=True, is_promise=False)


def report(title: str, figures: Sequence[Figure]) -> int:
    """Prints the table; the exit code: 1 where a promise was broken."""
    table = Table(title=title, caption=machine())
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("should be", justify="right")
    for figure in figures:
        style = None if figure.is_good else "bold red" if figure.is_promise else "yellow"
        missed = "" if figure.is_good else " BROKEN" if figure.is_promise else " missed"
        table.add_row(figure.what, figure.value + missed, figure.should_be, style=style)
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return int(any(figure.is_promise and not figure.is_good for figure in figures))


def machine() -> str:
    """What it was measured on, and when."""
    today = time.strftime("%Y-%m-%d", time.gmtime())
    load = os.getloadavg()[0]
    return (
        f"{today}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores, load average {load:.1f} at the end"
    )


def say(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Workshop:
    """A real Kafka, a folder, and stages to measure on; all ends with the block that `workshop` gives it to."""

    broker: Broker
    reaper: Reaper
    folder: Path
    _stages: list[Stage] = field(default_factory=list)

    async def stage(self, *, partitions: int, name: str) -> Stage:
        """Fresh topics and an upstream; workers' logs lie in the folder of this *name*."""
        directory = self.folder / name
        directory.mkdir()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        stage = await set_stage(
            self.broker,
            partitions=partitions,
            environment=inherited,
            directory=directory,
            reaper=self.reaper,
            logs={},
        )
        self._stages.append(stage)
        return stage

    def end(self) -> None:
        """Ends what still runs."""
        for stage in self._stages:
            stage.end()


@contextmanager
def workshop(*, keep_in: Path | None = None) -> Iterator[Workshop]:
    """A workshop; its files are kept only *keep_in*. SystemExit where there is no real Kafka."""
    reaper = Reaper()
    broker = choose(reaper).broker
    with TemporaryDirectory(prefix="measure-") as temporary:
        folder = keep_in or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        shop = Workshop(broker, reaper, folder)
        try:
            if not broker.real:
                say(f"this needs a real Kafka, and this is {broker.describe()}")
                raise SystemExit(2)
            say(f"on {broker.describe()}; load average {os.getloadavg()[0]:.1f} before it begins")
            yield shop
        finally:
            shop.end()
            broker.close()
            reaper.close()
