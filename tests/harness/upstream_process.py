"""The simulated upstream in a process of its own, and its control endpoint."""

import asyncio
import json
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.broker import free_port
from harness.polling import eventually, wait_until
from harness.process import ManagedProcess
from harness.reaper import Reaper
from worker.demo.upstream import RW_TOKEN


class UpstreamControl:
    """The control endpoint of a simulated upstream at *url*."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def control(self, **state: Any) -> None:  # noqa: ANN401 -- JSON of any shape
        """POST /control: replaces the parts of its state that are named."""
        await asyncio.to_thread(_call, f"{self.url}/control", state)

    async def state(self, **query: Any) -> dict[str, Any]:  # noqa: ANN401 -- as control
        """GET /control: its state and the journal of requests; *query* as since=…, limit=…, customers=0."""
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        answer: dict[str, Any] = await asyncio.to_thread(_call, f"{self.url}/control?{asked}")
        return answer

    async def is_asked(self, *, within_seconds: float = 30) -> None:
        """Returns when a request is under way."""

        async def asked() -> bool:
            return bool((await self.state(journal=0, customers=0))["under_way"])

        await eventually(asked, within_seconds=within_seconds, what="a request is under way")

    async def journal(self, *, since: int = 0) -> list[dict[str, Any]]:
        """The requests it has received, after number *since*."""
        journal: list[dict[str, Any]] = (await self.state(since=since, customers=0))["journal"]
        return journal

    def answers(self) -> bool:
        """Whether it can be asked."""
        try:
            _call(f"{self.url}/healthz")
        except OSError:
            return False
        return True


class UpstreamProcess(UpstreamControl):
    """`python -m worker.demo.upstream` on a port that it keeps through kill() and start()."""

    token = RW_TOKEN

    def __init__(self, *, log: Path, reaper: Reaper) -> None:
        self._log_file = log
        self._reaper = reaper
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.start()

    def environment(self) -> dict[str, str]:
        """What points a worker at it, with retries that suit a test."""
        return {
            "UPSTREAM_BASE_URL": self.url,
            "UPSTREAM_TOKEN": self.token,
            "UPSTREAM_RATE_LIMIT": "0",
            "RETRY_INITIAL_SECONDS": "0.05",
            "RETRY_MAX_SECONDS": "0.5",
        }

    def start(self) -> None:
        """Starts it (anew: without customers, without limit); returns when it answers."""
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--rate-limit", "none"]
        self._process = ManagedProcess(
            [sys.executable, "-m", "worker.demo.upstream", *options], log=self._log_file, reaper=self._reaper
        )

        def answers() -> bool:
            if self._process.returncode is not None:
                message = f"the simulated upstream ended with {self._process.returncode}"
                raise AssertionError(message)
            return self.answers()

        with self._process.starting():
            wait_until(answers, within_seconds=20, what="the simulated upstream answers")

    def log(self) -> str:
        """What it has written so far."""
        return self._process.output()

    def kill(self) -> None:
        """Kills it: connections are refused until start()."""
        self._process.kill()

    def end(self) -> None:
        """Ends it for good."""
        self._process.end()


def _call(url: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 -- JSON of any shape
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as response:
        text = response.read()
    return json.loads(text) if text and "json" in response.headers["content-type"] else None
