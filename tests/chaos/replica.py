"""One of the workers: killed, frozen, ended and started anew, as a cluster would."""

import asyncio
import signal
from collections.abc import Mapping
from pathlib import Path

from harness.reaper import Reaper
from harness.worker_process import WorkerProcess

END_SECONDS = 40


class Replica:
    """Runs always, but for the moments in which something befalls it; whoever ends by itself is started anew."""

    def __init__(self, number: int, *, environment: Mapping[str, str], folder: Path, reaper: Reaper) -> None:
        self._name = f"replica-{number + 1}"
        self._environment = environment
        self._log = folder / f"{self._name}.log"
        self._reaper = reaper
        self._busy = asyncio.Lock()
        self.ended_by_itself: list[str] = []
        self.process = self._start()

    async def kill(self, down_seconds: float) -> None:
        """SIGKILL, and a new process after *down_seconds*."""
        async with self._busy:
            await asyncio.to_thread(self.process.sigkill)
            await asyncio.sleep(down_seconds)
            self.process = self._start()

    async def terminate(self, down_seconds: float) -> None:
        """SIGTERM, and a new process *down_seconds* after it has ended."""
        async with self._busy:
            await self._end()
            await asyncio.sleep(down_seconds)
            self.process = self._start()

    async def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after *seconds*."""
        async with self._busy:
            self.process.sigstop()
            await asyncio.sleep(seconds)
            self.process.sigcont()

    async def supervise(self) -> None:
        """Starts it anew where it has ended by itself; until cancelled."""
        while True:
            async with self._busy:
                if self.process.returncode is not None:
                    self._note(self.process.returncode)
                    self.process = self._start()
            await asyncio.sleep(0.5)

    async def end(self) -> None:
        """SIGTERM for good."""
        async with self._busy:
            await self._end()

    async def status(self) -> str:
        """What it says of itself, for whoever looks for a mistake."""
        try:
            return str(await self.process.status())
        except (ConnectionError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"

    async def _end(self) -> None:
        self.process.sigterm()
        try:
            returncode = await self.process.wait(within_seconds=END_SECONDS)
        except AssertionError:
            self.ended_by_itself.append(f"{self._name} did not end within {END_SECONDS} s of SIGTERM")
            await asyncio.to_thread(self.process.sigkill)
            return
        # A process that is not yet up has no way of its own to end.
        if returncode not in {0, -signal.SIGTERM}:
            self._note(returncode)

    def _note(self, returncode: int) -> None:
        lines = self.process.log(last_lines=3)
        self.ended_by_itself.append(f"{self._name} ended with {returncode}: {lines}")

    def _start(self) -> WorkerProcess:
        return WorkerProcess(environment=self._environment, log=self._log, reaper=self._reaper)
