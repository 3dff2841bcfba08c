"""`demo`: all in one, on this machine alone."""

from __future__ import annotations

from typing import Annotated, Final

import typer

EXAMPLES: Final = "Examples:\n  customer-sync demo\n  customer-sync demo --keep"


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running afterwards, to try send and watch.")
    ] = False,
) -> None:
    """Watch commands become events, on this machine alone.

    An embedded broker, a simulated upstream and the real worker, with the traffic of a small firm's day. Needs no
    network and no settings, and leaves nothing behind. Without a terminal it prints plain lines.
    """
    from worker.demo.main import run_demo

    raise typer.Exit(run_demo(keep=keep))
