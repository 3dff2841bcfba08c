"""Real processes: started, signalled, waited for, their output kept in a file."""

import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.reaper import Reaper


class ManagedProcess:
    """A process of the tests; standard output and errors go to the file *log*.

    It leads a session of its own, so that Ctrl-C ends the tests, which end it in their turn.
    """

    def __init__(
        self, command: Sequence[str], *, log: Path, reaper: Reaper, environment: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self._reaper = reaper
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        reaper.watch("process", self.pid)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; the negative number of the signal that killed it."""
        return self._process.poll()

    def send_signal(self, number: signal.Signals) -> None:
        """Sends a signal; without effect once the process is over."""
        self._process.send_signal(number)

    def wait(self, within_seconds: float) -> int:
        """The process's exit code; subprocess.TimeoutExpired after *within_seconds*."""
        returncode = self._process.wait(timeout=within_seconds)
        self._reaper.forget("process", self.pid)
        return returncode

    def end(self, *, grace_seconds: float = 10) -> int:
        """Ends it, by SIGTERM if that is enough, and returns its exit code."""
        if self.returncode is None:
            self.send_signal(signal.SIGCONT)
            self.send_signal(signal.SIGTERM)
        try:
            return self.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """SIGKILL: no goodbye. Returns its exit code, -9."""
        self.send_signal(signal.SIGKILL)
        return self.wait(10)

    @contextmanager
    def starting(self) -> Iterator[None]:
        """While it starts: where that fails, it is killed, and the failure shows what it wrote."""
        try:
            yield
        except AssertionError as failure:
            self.kill()
            failure.add_note(self.output(last_lines=50))
            raise

    def output(self, *, last_lines: int | None = None) -> str:
        """What it has written so far."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return text if last_lines is None else "\n".join(text.splitlines()[-last_lines:])
