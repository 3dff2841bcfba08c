"""``python -m worker.demo.guard DIRECTORY``: sees to it that nothing of a demo outlives it, however it ends.

The demo holds the other end of its standard input, and its processes are in its process group. When the input
closes, since the demo is over or was killed, it removes DIRECTORY and kills the group, itself included. The group's id
cannot be anybody else's as long as the guard lives.
"""

import os
import shutil
import signal
import sys


def main() -> None:
    """Waits for the end of the input. Does not return."""
    while sys.stdin.buffer.read(4096):
        pass
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
