"""The processes of the demo: an embedded broker, a simulated upstream, the real worker, and a guard over them all.

They have a process group of their own, so that Ctrl-C reaches the demo alone, which ends them in good order: the
worker first, while it can still commit. Should the demo be killed instead, its guard ends them.
"""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NoReturn

import worker
from worker.demo.broker import ANNOUNCEMENT
from worker.demo.upstream import RW_TOKEN
from worker.settings import SECRETS, Settings, variable_of

_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 2.0
_LATENCY_SECONDS: Final = 0.04
_WHERE_WORKER_IS_IMPORTED_FROM: Final = Path(worker.__path__[0]).parent
_LINES_OF_LOG: Final = 12


class PartFailed(Exception):
    """A process of the demo did not start, or ended by itself; its notes are what it said last."""

    def __init__(self, part: str, what: str, last_words: Sequence[str]) -> None:
        super().__init__(f"the {part} {what}")
        for line in last_words:
            self.add_note(line)


class Stage:
    """Where everything listens, once it is started; see `stage`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parts: dict[str, Process] = {}
        self._guard: Process | None = None
        self.bootstrap_servers = ""
        self.upstream_url = ""
        self.worker_url = ""

    async def start(self) -> None:
        """Starts everything; returns when broker and upstream listen. Raises a group of `PartFailed`."""
        self._guard = await self._spawn("guard", "worker.demo.guard", str(self._directory), stdin=PIPE)
        upstream_port, worker_port = _free_ports(2)
        self.upstream_url = f"http://127.0.0.1:{upstream_port}"
        self.worker_url = f"http://127.0.0.1:{worker_port}"
        async with asyncio.TaskGroup() as starting:
            options = ("--port", str(upstream_port), "--latency", str(_LATENCY_SECONDS))
            starting.create_task(self._announced("simulated upstream", "worker.demo.upstream", *options))
            announced = await self._announced("embedded broker", "worker.demo.broker")
            self.bootstrap_servers = announced.removeprefix(ANNOUNCEMENT)
            await self._start_worker(worker_port)

    async def _start_worker(self, port: int) -> None:
        """As its operators do, with the environment alone."""
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "UPSTREAM_BASE_URL": self.upstream_url,
            "UPSTREAM_TOKEN": RW_TOKEN,
            "DELIVERY": "at_least_once",  # the embedded broker does not apply what a transaction commits
            "RETRY_INITIAL_SECONDS": "0.2",  # nobody wants to watch the real pauses
            "RETRY_MAX_SECONDS": "2",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(port),
            "SHUTDOWN_GRACE_SECONDS": "4",
            "UPSTREAM_TIMEOUT_SECONDS": "3",
        }
        self._parts["worker"] = await self._spawn("worker", "worker", "run", settings=settings)

    def describe(self) -> str:
        """Where everything listens."""
        return f"Kafka on {self.bootstrap_servers}, upstream on {self.upstream_url}, worker on {self.worker_url}"

    async def watch(self) -> None:
        """Raises a group of `PartFailed` as soon as one of the processes ends."""
        async with asyncio.TaskGroup() as watching:
            for part, process in self._parts.items():
                watching.create_task(self._watch(part, process))

    async def end(self) -> None:
        """Ends everything, the worker first; what does not end in time is killed."""
        for name in ("worker", "simulated upstream", "embedded broker"):
            part = self._parts.get(name)
            if part is not None:
                await _end(part)
        self.kill()
        if self._guard is not None:
            await self._guard.wait()
        # What ends before there is a guard has no other to tidy up after it.
        shutil.rmtree(self._directory, ignore_errors=True)

    def kill(self) -> None:
        """Ends everything at once: the guard kills the group, itself included."""
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()

    def log_of(self, part: str) -> Path:
        """What the process has written; gone when the demo is over."""
        return self._directory / f"{part.replace(' ', '-')}.log"

    def last_words_of(self, part: str) -> Sequence[str]:
        """The end of its log."""
        return self.log_of(part).read_text(errors="replace").splitlines()[-_LINES_OF_LOG:]

    async def _watch(self, part: str, process: Process) -> NoReturn:
        raise PartFailed(part, f"ended by itself (exit code {await process.wait()})", self.last_words_of(part))

    async def _announced(self, part: str, module: str, *arguments: str) -> str:
        """Starts a process and returns the line by which it says where it listens."""
        process = self._parts[part] = await self._spawn(part, module, *arguments, stdout=PIPE)
        line = b""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                line = await process.stdout.readline() if process.stdout is not None else b""
        if not line:
            raise PartFailed(part, "did not start", self.last_words_of(part))
        return line.decode().strip()

    async def _spawn(
        self,
        part: str,
        module: str,
        *arguments: str,
        stdin: int = DEVNULL,
        stdout: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> Process:
        with self.log_of(part).open("wb") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                *arguments,
                stdin=stdin,
                stdout=log if stdout is None else stdout,
                stderr=log,
                env={**_inherited(), **(settings or {})},
                cwd=_WHERE_WORKER_IS_IMPORTED_FROM,
                process_group=0 if self._guard is None else self._guard.pid,
            )


async def _end(part: Process) -> None:
    with suppress(ProcessLookupError):
        part.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await part.wait()
    except TimeoutError:
        part.kill()
        await part.wait()


@asynccontextmanager
async def stage() -> AsyncIterator[Stage]:
    """A stage to be started. However this ends, nothing of it stays."""
    built = Stage(Path(tempfile.mkdtemp(prefix="customer-sync-demo-")))
    try:
        yield built
    finally:
        await built.end()


def _inherited() -> dict[str, str]:
    """The environment without settings of the project: somebody's real Kafka or upstream must not be meant."""
    own = {variable_of(name) for name in Settings.model_fields} | {f"{variable_of(name)}_FILE" for name in SECRETS}
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251  # handed on, not read
        if name.upper() not in own and not name.startswith("OTEL_")
    }


def _free_ports(number: int) -> list[int]:
    """So many different ports of 127.0.0.1 that nothing listens on."""
    with ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(number)]
        for probe in found:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in found]
