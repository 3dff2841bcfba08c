"""Tables for people: fitted to the terminal, and as wide as they are where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

_WIDEST: Final = 1_000


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()) -> None:
    """Prints *rows* under *columns*, those in *right* aligned as numbers. What finds no room ends in an ellipsis."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else _WIDEST)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*row)
    console.print(table)
