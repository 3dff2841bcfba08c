"""``python -m worker.demo.guard DIRECTORY``: sees to it that nothing of a demo outlives it, however it ends.

The demo holds the other end of its standard input, and its processes are in its process group. When the input
closes, since the demo is over or was killed, it kills the group, itself included, and leaves DIRECTORY to a sweeper in
a session of its own: as long as one of them lives, files may come back. The group's id cannot be anybody else's as
long as the guard lives.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SWEEP_SECONDS = 10.0
SWEEP_AGAIN_SECONDS = 0.05


def main() -> None:
    """Waits for the end of the input. Does not return."""
    while sys.stdin.buffer.read(4096):
        pass
    subprocess.Popen(
        [sys.executable, "-m", "worker.demo.guard", "--sweep", sys.argv[1]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.killpg(os.getpgrp(), signal.SIGKILL)


def sweep(directory: Path) -> None:
    """Removes *directory*, again until it stays away, for some seconds at most."""
    end = time.monotonic() + SWEEP_SECONDS
    while directory.exists() and time.monotonic() < end:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(SWEEP_AGAIN_SECONDS)  # noqa: TID251  # nobody tells when the last process has let go


if __name__ == "__main__":
    if sys.argv[1] == "--sweep":
        sweep(Path(sys.argv[2]))
    else:
        main()
