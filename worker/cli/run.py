"""`run`: the worker itself."""

from __future__ import annotations

from typing import Final

import typer

from worker.cli.console import usable_settings

EXAMPLES: Final = """\
Example:
  UPSTREAM_TOKEN_FILE=/run/secrets/token KAFKA_BOOTSTRAP_SERVERS=kafka:9092 customer-sync run"""


def run() -> None:
    """Run the worker until SIGTERM or Ctrl-C.

    The first signal lets it finish what is under way, a second one cuts that short. Logs go to standard error.
    Probes, metrics and an overview are served on HTTP_PORT.
    """
    settings = usable_settings(token_required=True)

    import asyncio

    from worker import app

    raise typer.Exit(asyncio.run(app.run(settings)))
