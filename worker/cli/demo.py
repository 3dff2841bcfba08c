"""`demo`: all in one, on this machine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

EXAMPLES: Final = "Examples:\n  customer-sync demo\n  customer-sync demo --keep"


def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running afterwards, to try send and watch.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            writable=True,
            help="Write the picture to FILE as SVG, instead of showing it.",
        ),
    ] = None,
) -> None:
    """Watch commands become events, on this machine alone.

    An embedded broker, a simulated upstream and the real worker, with the traffic of a small firm's day. Needs no
    network and no settings, and leaves nothing behind. Without a terminal it prints plain lines.
    """
    from worker.demo.main import run_demo

    if picture is not None and not picture.absolute().parent.is_dir():
        raise typer.BadParameter("its directory does not exist", param_hint="--picture")
    raise typer.Exit(run_demo(keep=keep, film=picture))
