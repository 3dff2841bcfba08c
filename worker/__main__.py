"""The command `customer-sync`; `python -m worker` is the same."""

from __future__ import annotations

import sys


def main() -> None:
    """Runs the command line and exits. Expected failures end in two lines, without a traceback."""
    from worker.cli.app import app
    from worker.cli.failure import ExitCode, Failure

    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # they are text files here
    try:
        app(prog_name="customer-sync")
    except Failure as failure:
        from worker.cli.console import complain

        complain(("error: ", "red"), failure.error)
        if failure.fix:
            complain(("fix: ", "green"), failure.fix)
        sys.exit(failure.exit_code)
    except Exception:  # noqa: BLE001  # the outermost place: nothing is swallowed, a bug only gets its own exit code
        sys.excepthook(*sys.exc_info())
        sys.exit(ExitCode.BUG)


if __name__ == "__main__":
    main()
