"""Sees to it that a test run leaves nothing behind, even one that was killed.

Started as a process of its own: it reads from its standard input what the run has started and ended, and when that
closes, since the run is over in whatever way, it kills and removes what is left.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path


class Reaper:
    """What the run has started: processes and directories by name, containers by id."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the tests, which then clean up themselves
            text=True,
        )

    def watch(self, kind: str, name: object) -> None:
        """From now on *name* ends with the run; *kind* is "process", "container" or "directory"."""
        self._tell(f"+ {kind} {name}")

    def forget(self, kind: str, name: object) -> None:
        """The test has ended *name* itself."""
        self._tell(f"- {kind} {name}")

    def close(self) -> None:
        """Ends whatever is still there, and itself."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def main() -> None:
    """Reads until the run is over, then ends what is left of it, the last thing first."""
    left: dict[tuple[str, str], None] = {}
    for line in sys.stdin:
        sign, kind, name = line.rstrip("\n").split(" ", 2)
        if sign == "+":
            left[kind, name] = None
        else:
            left.pop((kind, name), None)
    for kind, name in reversed(left):
        _end(kind, name)


def _end(kind: str, name: str) -> None:
    if kind == "process":
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(name), signal.SIGKILL)
    elif kind == "directory":
        shutil.rmtree(name, ignore_errors=True)
    else:
        import docker  # takes a while, and is seldom needed here
        from docker.errors import NotFound

        with contextlib.suppress(NotFound):
            docker.from_env().containers.get(name).remove(force=True, v=True)


if __name__ == "__main__":
    main()
