"""A test run leaves nothing behind, however it ends."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from harness.broker import free_port
from harness.polling import wait_until

SERVER = """
import socket, sys

server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()
"""
RUN = f"""
import sys
from pathlib import Path
from harness.process import ManagedProcess
from harness.reaper import Reaper

port, directory, log = sys.argv[1:]
reaper = Reaper()
reaper.watch("directory", directory)
process = ManagedProcess([sys.executable, "-c", {SERVER!r}, port], log=Path(log), reaper=reaper)
process.wait(600)
"""


def accepts(port: int) -> bool:
    """Whether a process listens on *port*."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_what_a_killed_run_has_started_is_ended(tmp_path: Path) -> None:
    """SIGKILL of the tests themselves: their processes and directories go all the same."""
    port = free_port()
    directory = tmp_path / "data"
    directory.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(port), str(directory), str(tmp_path / "log")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as run:
        wait_until(lambda: accepts(port), within_seconds=20, what="the process has started")

        run.kill()

    wait_until(lambda: not accepts(port) and not directory.exists(), within_seconds=20, what="nothing is left")
