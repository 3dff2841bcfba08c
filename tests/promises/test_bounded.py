"""Promise 6: memory stays flat whatever the backlog is."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.broker import Broker
from harness.commands import command
from harness.polling import eventually
from harness.publisher import publish
from harness.reaper import Reaper
from harness.stage import Stage
from harness.topics import Message, create_topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for

MIB = 1024 * 1024
BYTES_OF_A_COMMAND = 300
CUSTOMERS = 100_000


@dataclass(frozen=True, slots=True)
class Held:
    """A worker that has read as far as it will while nothing is settled."""

    backlog: int
    waiting: int
    counted_bytes: int
    peak_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.backlog} commands wait, {self.waiting} of them in memory, counted {self.counted_bytes / MIB:.1f} "
            f"MiB, peak of the process {self.peak_bytes / MIB:.1f} MiB"
        )


@pytest.mark.real_kafka
async def test_ten_times_the_backlog_takes_no_more_memory(  # noqa: PLR0917 -- pytest passes fixtures by name
    broker: Broker,
    upstream: UpstreamProcess,
    reaper: Reaper,
    worker_environment: dict[str, str],
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    """Commands of 300 bytes on one partition, an upstream that does not answer, everything at its default."""
    most = pytestconfig.getoption("--waiting")
    await upstream.control(generate_customers=CUSTOMERS, faults=[{"effect": {"kind": "hang"}}])
    results = []
    for backlog in (most // 10, most):
        stage = Stage(
            topics=await create_topics(broker, partitions=1),
            upstream=upstream,
            environment=worker_environment,
            directory=tmp_path,
            reaper=reaper,
            logs={},
        )
        await publish(stage.topics.bootstrap_servers, stage.topics.commands, commands(backlog))
        worker = await stage.start_ready_worker(UPSTREAM_TIMEOUT_SECONDS="300")
        results.append(await read_as_far_as_it_will(worker, backlog))
        worker.sigkill()
        print(results[-1])

    few, many = results
    growth = many.peak_bytes / few.peak_bytes - 1
    print(f"ten times the backlog: {growth:+.1%} memory")
    assert many.waiting < most
    assert growth <= 0.10


def commands(number: int) -> Iterator[Message]:
    """So many, each of 300 bytes, for as many customers as there are."""
    for index in range(number):
        customer = customer_id_for(index % CUSTOMERS)
        bare = command(customer, note="").value_bytes() or b""
        yield command(customer, note="n" * (BYTES_OF_A_COMMAND - len(bare)))


async def read_as_far_as_it_will(worker: WorkerProcess, backlog: int) -> Held:
    """Returns when the worker has not read on for a while."""
    seen: list[int] = []

    async def stands_still() -> bool:
        (partition,) = (await worker.status())["partitions"] or [{"next_offset": 0}]
        seen.append(partition["next_offset"])
        return seen[-1] > 0 and seen[-100:].count(seen[-1]) == 100

    await eventually(stands_still, within_seconds=120, what="the worker reads no further")
    (partition,) = (await worker.status())["partitions"]
    return Held(backlog, partition["waiting"], partition["held_bytes"], peak_bytes(worker.pid))


def peak_bytes(pid: int) -> int:
    """The most memory that the process has ever had in use; where the system does not tell, what it has now."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        (peak,) = [line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:")]
        return int(peak.split()[1]) * 1024
    now = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True, text=True)
    return int(now.stdout) * 1024
