"""How long a worker takes to start, and what its end costs those who wait: `make restarts`.

    make restarts                          everything
    make restarts ARGS="--only starts"     from nothing to ready; also: kills, rolling
    make restarts ARGS="--keep .artifacts/restarts"    keep the workers' logs

Three replicas on six partitions of a real Kafka, with static ids as in a cluster.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.figures import Figure, Workshop, at_most, promised_none, report, say, told, workshop
from harness.commands import cloud_event
from harness.follower import Follower, follow, reading
from harness.judging import lost, moved_back, out_of_order, repeated
from harness.load import Load, Published, load
from harness.polling import eventually
from harness.publisher import publish
from harness.stage import Stage
from harness.topics import Message, Topics
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for

REPLICAS = 3
PARTITIONS = 6
DEDUPLICATION_WINDOW = 10_000
CUSTOMERS = 2_000
LATENCY_SECONDS = 0.02
DOWN_SECONDS = 0.3
STEADY_SECONDS = 2.0
TIMES = 3
PATCH_REPEATED = "PATCH repeated"


def main() -> int:
    """Measures what was asked for, and prints it."""
    parser = argparse.ArgumentParser(
        prog="make restarts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--light", type=float, default=60, help="commands a second during kills (%(default)s)")
    parser.add_argument("--load", type=float, default=200, help="the same in rolling restarts (%(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the logs are kept")
    options = parser.parse_args()
    figures: list[Figure] = []
    with workshop(keep_in=options.keep) as shop:
        for part in options.only:
            say(f"{part} …")
            figures += asyncio.run(PARTS[part](shop, options))
    return report("make restarts", figures)


async def starts(shop: Workshop, _options: argparse.Namespace) -> list[Figure]:
    """From the command to ready, and to all partitions in work: on an empty topic, and with a full window of ids."""
    figures = []
    for what, commands, bar in (("an empty topic", 0, 2.0), ("full windows", DEDUPLICATION_WINDOW, 4.0)):
        stage = await shop.stage(partitions=PARTITIONS, name=f"starts-{commands}")
        if commands:
            await _publish_settled(stage.topics, commands)
        ready, working = [], []
        for _ in range(TIMES):
            begun = time.monotonic()
            worker = stage.start_worker()
            await worker.wait_ready()
            ready.append(time.monotonic() - begun)
            await _works_on_all(worker)
            working.append(time.monotonic() - begun)
            say(f"  {what}: ready after {ready[-1]:.2f} s, all partitions in work after {working[-1]:.2f} s")
            worker.sigterm()
            await worker.wait()
        figures += [
            at_most(f"start to ready, {what}", ready, bar, "s"),
            at_most(f"start to all partitions in work, {what}", working, bar, "s"),
        ]
        stage.end()
    return figures


async def kills(shop: Workshop, options: argparse.Namespace) -> list[Figure]:
    """SIGKILL of each of three replicas, back after a moment: how long its partitions stand still."""
    stage = await shop.stage(partitions=PARTITIONS, name="kills")
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=LATENCY_SECONDS)
    gaps = []
    light = load(stage.topics, customers=CUSTOMERS, per_second=options.light, seed=1)
    async with follow(stage.topics) as follower:
        async with reading(follower), light as commands:
            replicas = await _replicas(stage)
            for number in range(TIMES):
                await asyncio.sleep(STEADY_SECONDS)
                held = await _partitions_of(replicas[number])
                killed_at = time.monotonic()
                replicas[number].sigkill()
                await asyncio.sleep(max(killed_at + DOWN_SECONDS - time.monotonic(), 0))
                replicas[number] = stage.start_worker(KAFKA_GROUP_INSTANCE_ID=f"replica-{number}")
                gaps.append(await _first_after(follower, commands, held, killed_at) - killed_at)
                say(f"  replica {number} held {sorted(held)}: first new event {gaps[-1]:.2f} s after SIGKILL")
                await replicas[number].wait_ready()
        await follower.of(commands.command_ids)
    figures = [
        at_most("SIGKILL to the first new event of its partitions", gaps, 2.0, "s"),
        told("longest time from command to outcome meanwhile", f"{max(_delays(follower, commands.published)):.2f} s"),
    ]
    counted = _Counted()
    await counted.add(stage, commands)
    # A change whose outcome was not public yet is made again: that is what was promised of a kill.
    return figures + counted.figures("SIGKILL", PATCH_REPEATED)


async def rolling(shop: Workshop, options: argparse.Namespace) -> list[Figure]:
    """SIGTERM of each replica in turn, and a new process of its name as soon as it is gone, under load."""
    counted = _Counted()
    longest = []
    for turn in range(TIMES):
        stage = await shop.stage(partitions=PARTITIONS, name=f"rolling-{turn}")
        await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=LATENCY_SECONDS)
        steady = load(stage.topics, customers=CUSTOMERS, per_second=options.load, seed=turn)
        async with follow(stage.topics) as follower:
            async with reading(follower), steady as commands:
                replicas = await _replicas(stage)
                await asyncio.sleep(STEADY_SECONDS)
                steady_from = time.monotonic()
                for number, replica in enumerate(replicas):
                    begun = time.monotonic()
                    replica.sigterm()
                    await replica.wait()
                    gone = time.monotonic() - begun
                    replicas[number] = await stage.start_ready_worker(KAFKA_GROUP_INSTANCE_ID=f"replica-{number}")
                    await _settles(replicas[number])
                    say(f"  replica {number} gone after {gone:.2f} s, replaced after {time.monotonic() - begun:.2f} s")
                await asyncio.sleep(STEADY_SECONDS)
            await follower.of(commands.command_ids, within_seconds=60)
        rolled = [one for one in commands.published if one.sent_at >= steady_from]
        longest.append(max(_delays(follower, rolled)))
        say(f"  longest time from command to outcome: {longest[-1]:.2f} s")
        await counted.add(stage, commands)
        stage.end()
    slowest = at_most("rolling restart: longest time from command to outcome", longest, 3.0, "s")
    return [slowest, *counted.figures("rolling restart")]


PARTS: dict[str, Callable[[Workshop, argparse.Namespace], Coroutine[None, None, list[Figure]]]] = {
    "starts": starts,
    "kills": kills,
    "rolling": rolling,
}


async def _publish_settled(topics: Topics, commands: int) -> None:
    """So many commands with an id on each partition, and the group's offsets behind them."""
    numbers = range(commands * topics.partitions)
    customers = [customer_id_for(number % CUSTOMERS) for number in range(CUSTOMERS)]
    await publish(
        topics.bootstrap_servers,
        topics.commands,
        (
            Message(
                customers[number % CUSTOMERS],
                {"customer_id": customers[number % CUSTOMERS], "changes": {"phone": str(number), "city": "Malmö"}},
                headers=cloud_event(f"command-{number}"),
                partition=number % topics.partitions,
            )
            for number in numbers
        ),
    )
    async with AIOKafkaConsumer(bootstrap_servers=topics.bootstrap_servers, group_id=topics.group_id) as consumer:
        places = [TopicPartition(topics.commands, partition) for partition in range(topics.partitions)]
        consumer.assign(places)
        await consumer.commit(await consumer.end_offsets(places))


async def _replicas(stage: Stage) -> list[WorkerProcess]:
    """Three that share the partitions, and settle."""
    replicas = [stage.start_worker(KAFKA_GROUP_INSTANCE_ID=f"replica-{number}") for number in range(REPLICAS)]
    for replica in replicas:
        await replica.wait_ready()

    async def shared() -> bool:
        return all([len(await _partitions_of(replica)) == PARTITIONS // REPLICAS for replica in replicas])

    await eventually(shared, within_seconds=60, what="every replica has its partitions")
    for replica in replicas:
        await _settles(replica)
    return replicas


async def _partitions_of(worker: WorkerProcess) -> set[int]:
    return {partition["partition"] for partition in (await worker.status())["partitions"]}


async def _works_on_all(worker: WorkerProcess) -> None:
    async def all_there() -> bool:
        return len(await _partitions_of(worker)) == PARTITIONS

    await eventually(all_there, within_seconds=60, what="all partitions are in work")


async def _settles(worker: WorkerProcess) -> None:
    await worker.settles_more(within_seconds=60)


async def _first_after(follower: Follower, commands: Load, partitions: set[int], killed_at: float) -> float:
    """When the first event arrived of a command that was published after *killed_at* to one of *partitions*."""

    async def arrived() -> float:
        moments = [
            follower.arrived[one.command_id]
            for one in list(commands.published)
            if one.sent_at > killed_at and one.position[0] in partitions and one.command_id in follower.arrived
        ]
        return min(moments, default=0.0)

    return await eventually(arrived, within_seconds=60, what="an event of the killed replica's partitions")


def _delays(follower: Follower, published: Sequence[Published]) -> list[float]:
    return [follower.arrived[one.command_id] - one.sent_at for one in published]


@dataclass(slots=True)
class _Counted:
    """What was promised, counted over several stages."""

    commands: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    async def add(self, stage: Stage, commands: Load) -> None:
        outcomes = await stage.topics.all_outcomes()
        state = await stage.upstream.state(customers=0)
        self.commands += len(commands.published)
        self.broken.update(
            {
                "lost": len(lost(commands.published, outcomes)),
                "settled twice": len(repeated(outcomes)),
                "out of order": len(out_of_order(outcomes)),
                "customers moved back": moved_back(state["journal"]),
                "requests overlapping": state["overlaps"],
                PATCH_REPEATED: repeated_patches(state["journal"]),
            }
        )

    def figures(self, what: str, *leave_out: str) -> list[Figure]:
        """A line for each promise."""
        promises = [
            promised_none(f"{what}: {name}", self.broken[name]) for name in self.broken if name not in leave_out
        ]
        return [told(f"{what}: commands", str(self.commands)), *promises]


def repeated_patches(journal: Sequence[dict[str, Any]]) -> int:
    """How many PATCH requests asked for a change that had been made before; each command's phone is new."""
    seen: set[tuple[str, str]] = set()
    times = 0
    for request in journal:
        phone = (request["body"] or {}).get("phone")
        if phone is not None:
            times += (request["customer_id"], phone) in seen
            seen.add((request["customer_id"], phone))
    return times


if __name__ == "__main__":
    sys.exit(main())
