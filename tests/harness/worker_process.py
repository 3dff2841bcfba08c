"""The worker as its operators run it: a process of its own, told what to do by its environment."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.broker import free_port
from harness.polling import eventually
from harness.process import ManagedProcess
from harness.reaper import Reaper


class WorkerProcess:
    """`python -m worker run` with *environment* and nothing else of ours; its HTTP side on a free port."""

    def __init__(self, *, environment: Mapping[str, str], log: Path, reaper: Reaper) -> None:
        self.port = free_port()
        self.environment = {"HTTP_HOST": "127.0.0.1", "HTTP_PORT": str(self.port), **environment}
        self._process = ManagedProcess(
            [sys.executable, "-m", "worker", "run"], log=log, reaper=reaper, environment=self.environment
        )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; -9 after SIGKILL."""
        return self._process.returncode

    def log(self, *, last_lines: int | None = None) -> str:
        """What it has written so far."""
        return self._process.output(last_lines=last_lines)

    def records(self) -> list[dict[str, Any]]:
        """What it has logged so far, line by line; lines that are no JSON are left out."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{") and line.endswith("}")]

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of one of its pages; ConnectionError while nobody answers."""
        return await asyncio.to_thread(_get, f"http://127.0.0.1:{self.port}{path}")

    async def status(self) -> dict[str, Any]:
        """/api/status."""
        status, body = await self.get("/api/status")
        if status != 200:
            message = f"/api/status answered {status}: {body}"
            raise AssertionError(message)
        state: dict[str, Any] = json.loads(body)
        return state

    async def metric(self, name: str) -> float:
        """The sum of all samples of this name on /metrics; 0 where there is none."""
        _, text = await self.get("/metrics")
        lines = [line for line in text.splitlines() if re.match(rf"{re.escape(name)}[ {{]", line)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    async def says(self, event: str, *, within_seconds: float = 30) -> dict[str, Any]:
        """The first line of its log with this event, as soon as there is one."""

        async def said() -> dict[str, Any] | None:
            return next((line for line in self.records() if line.get("event") == event), None)

        return await eventually(said, within_seconds=within_seconds, what=f"the worker says {event}") or {}

    async def settles_more(self, *, within_seconds: float = 30) -> None:
        """Returns when it is ready and has settled more commands than it had by then."""
        await self.wait_ready(within_seconds=within_seconds)
        before = await self._settled()

        async def more() -> bool:
            return await self._settled() > before

        await eventually(more, within_seconds=within_seconds, what="the worker settles commands")

    async def _settled(self) -> int:
        outcomes = (await self.status())["outcomes"]
        return int(outcomes["event"] + sum(outcomes["dead_letter"].values()))

    async def wait_ready(self, *, within_seconds: float = 30) -> None:
        """Returns when /readyz says 200; AssertionError when the process ends instead."""
        await self.wait_for_page("/readyz", 200, within_seconds=within_seconds)

    async def wait_for_page(self, path: str, status: int, *, within_seconds: float = 30) -> str:
        """The body of *path* as soon as it is answered with *status*; AssertionError when the process ends instead."""
        last: tuple[int, str] | None = None

        async def answered() -> bool:
            nonlocal last
            if self.returncode is not None:
                message = f"the worker ended with {self.returncode}"
                raise AssertionError(message)
            try:
                last = await self.get(path)
            except ConnectionError:
                return False
            return last[0] == status

        try:
            await eventually(answered, within_seconds=within_seconds, what=f"{path} answers {status}")
        except AssertionError as error:
            error.add_note(f"last answer: {last}")
            error.add_note(self.log(last_lines=40))
            raise
        return last[1] if last else ""

    def sigkill(self) -> int:
        """Kills it on the spot; returns -9."""
        return self._process.kill()

    def sigterm(self) -> None:
        """Asks it to end; wait() tells how it went."""
        self._process.send_signal(signal.SIGTERM)

    def sigstop(self) -> None:
        """Freezes it."""
        self._process.send_signal(signal.SIGSTOP)

    def sigcont(self) -> None:
        """Thaws it."""
        self._process.send_signal(signal.SIGCONT)

    async def wait(self, *, within_seconds: float = 30) -> int:
        """Its exit code, once it has ended."""
        try:
            return await asyncio.to_thread(self._process.wait, within_seconds)
        except subprocess.TimeoutExpired as error:
            message = f"the worker still runs after {within_seconds} s"
            raise AssertionError(message) from error

    def end(self) -> int:
        """For the end of a test: SIGTERM, then SIGKILL after some seconds; its exit code."""
        return self._process.end(grace_seconds=10)


def _get(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except (urllib.error.URLError, TimeoutError) as error:
        raise ConnectionError(str(error)) from error
