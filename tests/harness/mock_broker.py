"""The demo's embedded broker, librdkafka's mock cluster, for tests on machines that have nothing better.

What it lacks of Apache Kafka stands in `worker.demo.broker`; and it cannot be restarted.
"""

import os
import sys
import tempfile
from pathlib import Path

from harness.broker import await_answer
from harness.polling import wait_until
from harness.process import ManagedProcess
from harness.reaper import Reaper
from worker.demo.broker import ANNOUNCEMENT


class MockBroker:
    """The embedded broker that needs nothing but Python."""

    kind = "mock"
    real = False
    can_restart = False

    def __init__(self, reaper: Reaper) -> None:
        file, name = tempfile.mkstemp(prefix="customer-sync-mock-")
        os.close(file)
        self._process = ManagedProcess([sys.executable, "-m", "worker.demo.broker"], log=Path(name), reaper=reaper)
        with self._process.starting():
            said = wait_until(
                lambda: [line for line in self._process.output().splitlines() if line.startswith(ANNOUNCEMENT)],
                within_seconds=20,
                what="the embedded mock says where it listens",
            )
            self.bootstrap_servers = said[0].removeprefix(ANNOUNCEMENT)
            await_answer(self.bootstrap_servers, within_seconds=10)

    def describe(self) -> str:
        """For people: what it is and where."""
        return f"the embedded mock of librdkafka, on {self.bootstrap_servers}"

    def is_up(self) -> bool:
        """Whether it runs."""
        return self._process.returncode is None

    def stop(self, *, gracefully: bool = True) -> None:
        """It would forget everything: RuntimeError."""
        message = f"the embedded mock cannot be stopped (gracefully={gracefully}) and started again"
        raise RuntimeError(message)

    def start(self) -> None:
        """It never stopped: RuntimeError."""
        message = "the embedded mock cannot be started again"
        raise RuntimeError(message)

    def close(self) -> None:
        """Ends it for good and removes its data."""
        self._process.kill()
        self._process.log.unlink()
