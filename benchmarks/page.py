"""`python -m benchmarks.page`: the CPU time of a worker at 50 commands a second, with and without a viewer of its page.

Both are measured in turns, so that what else the machine does meanwhile concerns them alike.
"""

import asyncio
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from harness.broker_choice import choose
from harness.load import load
from harness.reaper import Reaper
from harness.stage import set_stage

PER_SECOND = 50
ROUNDS = 2
SECONDS = 40.0
WARM_UP_SECONDS = 8.0


async def main() -> None:
    """Prints a line for each measurement, and what a viewer adds."""
    reaper = Reaper()
    broker = choose(reaper).broker
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with tempfile.TemporaryDirectory() as directory:
        stage = await set_stage(
            broker, partitions=12, environment=environment, directory=Path(directory), reaper=reaper, logs={}
        )
        try:
            await stage.upstream.control(generate_customers=1_000, latency_seconds=0.02)
            worker = await stage.start_ready_worker()
            async with load(stage.topics, customers=1_000, per_second=PER_SECOND, seed=1):
                await asyncio.sleep(WARM_UP_SECONDS)
                without, with_viewer = [], []
                for _ in range(ROUNDS):
                    without.append(await _measured(worker.pid))
                    print(f"no viewer:  {without[-1]:.2f} % of a core")
                    async with asyncio.TaskGroup() as tasks:
                        viewer = tasks.create_task(_look(worker.port))
                        with_viewer.append(await _measured(worker.pid))
                        viewer.cancel()
                    print(f"one viewer: {with_viewer[-1]:.2f} % of a core")
            print(f"a viewer adds {(sum(with_viewer) - sum(without)) / ROUNDS:+.2f} % of a core")
        finally:
            stage.end()
            broker.close()
            reaper.close()


async def _measured(pid: int) -> float:
    """The process's CPU time in the next while, in percent of a core."""
    used, began = _cpu_seconds(pid), time.monotonic()
    await asyncio.sleep(SECONDS)
    return (_cpu_seconds(pid) - used) / (time.monotonic() - began) * 100


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _look(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        writer.write(f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        while await reader.read(65_536):
            pass


if __name__ == "__main__":
    asyncio.run(main())
