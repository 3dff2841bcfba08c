"""librdkafka's mock cluster in a process of its own: produces, fetches and balances groups, but is no Apache Kafka.

It creates each topic with four partitions when it is first asked about, accepts transactional offset commits without
applying them, keeps everything in memory and cannot be restarted.
"""

import os
import sys
import tempfile
from pathlib import Path

from harness.broker import await_answer
from harness.polling import wait_until
from harness.process import ManagedProcess
from harness.reaper import Reaper

PARTITIONS_OF_EVERY_TOPIC = 4
CLUSTER = Path(__file__).with_name("mock_cluster.py")


class MockBroker:
    """The embedded broker that needs nothing but Python."""

    kind = "mock"
    real = False
    can_restart = False

    def __init__(self, reaper: Reaper) -> None:
        file, name = tempfile.mkstemp(prefix="customer-sync-mock-")
        os.close(file)
        self._process = ManagedProcess([sys.executable, str(CLUSTER)], log=Path(name), reaper=reaper)
        prefix = "listening on "
        said = wait_until(
            lambda: [line for line in self._process.output().splitlines() if line.startswith(prefix)],
            within_seconds=20,
            what="the embedded mock says where it listens",
        )
        self.bootstrap_servers = said[0].removeprefix(prefix)
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
