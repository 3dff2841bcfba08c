"""Runs `customer-sync` in the tests' own process, so that a hundred runs take seconds; test_main.py runs real ones."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from worker.__main__ import main
from worker.settings import Settings, variable_of


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command ended and what it wrote."""

    exit_code: int
    output: str
    errors: str


class CommandLine:
    """`customer_sync("send", …)` runs a command to its end; `give(NAME=…)` sets its environment beforehand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd
        for name in Settings.model_fields:
            monkeypatch.delenv(variable_of(name), raising=False)
        monkeypatch.setenv("COLUMNS", "100")

    def give(self, **variables: str | Path) -> None:
        """Sets environment variables."""
        for variable, value in variables.items():
            self._monkeypatch.setenv(variable, str(value))

    def __call__(self, *arguments: str) -> Finished:
        """Runs the command and waits for its end."""
        self._monkeypatch.setattr(sys, "argv", ["customer-sync", *arguments])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        written = self._capfd.readouterr()
        return Finished(int(end.value.code or 0), written.out, written.err)

    async def along(self, *arguments: str) -> Finished:
        """Runs the command beside the test's own event loop."""
        return await asyncio.to_thread(self, *arguments)
