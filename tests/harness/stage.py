"""All that a promise is tried on: topics of its own, a simulated upstream, and as many workers as it takes."""

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

from harness.broker import Broker
from harness.reaper import Reaper
from harness.topics import Topics, create_topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess

Logs = MutableMapping[str, Callable[[], str]]


class Stage:
    """Topics, an upstream and workers that know of no others; shared by as many tests as its fixture's scope says."""

    def __init__(
        self,
        *,
        topics: Topics,
        upstream: UpstreamProcess,
        environment: Mapping[str, str],
        directory: Path,
        reaper: Reaper,
        logs: Logs,
    ) -> None:
        """*environment* is every worker's; their logs lie in *directory*, and *logs* gets a reader of each."""
        self.topics = topics
        self.upstream = upstream
        self.workers: list[WorkerProcess] = []
        self._environment = environment
        self._directory = directory
        self._reaper = reaper
        self._logs = logs

    def start_worker(self, **environment: str) -> WorkerProcess:
        """A worker of these topics and this upstream; *environment* has the last word on its settings."""
        number = len(self.workers) + 1
        worker = WorkerProcess(
            environment={
                **self._environment,
                **self.topics.environment(),
                **self.upstream.environment(),
                **environment,
            },
            log=self._directory / f"worker-{number}.log",
            reaper=self._reaper,
        )
        self.workers.append(worker)
        self._logs[f"worker {number}"] = worker.log
        return worker

    async def start_ready_worker(self, **environment: str) -> WorkerProcess:
        """As start_worker; returns when /readyz says 200."""
        worker = self.start_worker(**environment)
        await worker.wait_ready()
        return worker

    def end_workers(self) -> None:
        """Ends every worker that still runs."""
        for worker in self.workers:
            worker.end()

    def end(self) -> None:
        """Ends whatever still runs."""
        self.end_workers()
        self.upstream.end()


async def set_stage(
    broker: Broker, *, partitions: int, environment: Mapping[str, str], directory: Path, reaper: Reaper, logs: Logs
) -> Stage:
    """A stage with fresh topics of *partitions* partitions and an upstream of its own, that end with it."""
    upstream = UpstreamProcess(log=directory / "upstream.log", reaper=reaper)
    logs["the simulated upstream"] = upstream.log
    topics = await create_topics(broker, partitions=partitions)
    return Stage(
        topics=topics, upstream=upstream, environment=environment, directory=directory, reaper=reaper, logs=logs
    )
