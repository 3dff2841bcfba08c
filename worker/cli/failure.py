"""How a command ends other than well: what to print, and the exit code that scripts go by."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's end means. 130, Ctrl-C, comes from typer."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_KAFKA = 3
    NO_OUTCOME = 4
    NOT_FOUND = 5
    NO_UPSTREAM = 6
    BUG = 70


MEANINGS = {
    ExitCode.OK: "all went well",
    ExitCode.FAILED: "a verdict is bad, or what was asked for failed",
    ExitCode.USAGE: "the command line or the settings cannot be used",
    ExitCode.NO_KAFKA: "Kafka cannot be reached",
    ExitCode.NO_OUTCOME: "there is no outcome yet, or none came within the time given",
    ExitCode.NOT_FOUND: "what was asked about is not there",
    ExitCode.NO_UPSTREAM: "the upstream does not answer, or not as it should",
    ExitCode.BUG: "a bug: please report it with its traceback",
}


class Failure(Exception):
    """Ends the command: *error* says what is wrong and where, *fix* what to do. Both are printed, no traceback is."""

    def __init__(self, error: str, *, fix: str = "", exit_code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(error)
        self.error = error
        self.fix = fix
        self.exit_code = exit_code
