"""How well three replicas use a small budget together: `make budget`.

    make budget                                three fresh seeds
    make budget ARGS="--seeds 7 8 --only few"  also: skewed, edits

The budget is 200 requests in 10 seconds, the upstream the simulated one, whose journal is judged. *skewed*: few of
1,000 customers have most of 5,000 live commands that wait. *few*: the same, on two of six partitions. *edits*: live
edits behind 10,000 customers of a bulk import.
"""

import argparse
import asyncio
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Workshop, at_least, at_most, promised_none, report, say, told, workshop
from harness.commands import cloud_event, command
from harness.follower import Follower, follow, reading
from harness.judging import repeated
from harness.publisher import publish
from harness.stage import Stage
from harness.topics import Message
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for
from worker.kafka.partitioner import partition_of

REPLICAS = 3
PARTITIONS = 6
FEW_PARTITIONS = 2
LIMIT = 200
WINDOW_SECONDS = 10.0
LATENCY_SECONDS = 0.03
COMMANDS = 5_000
CUSTOMERS = 1_000
ZIPF_EXPONENT = 1.1
BULK_CUSTOMERS = 10_000
EDITS = 8
LONGEST_SECONDS = 300.0


def main() -> int:
    """Measures what was asked for, and prints it."""
    parser = argparse.ArgumentParser(
        prog="make budget", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    fresh = [secrets.randbelow(1_000_000) for _ in range(3)]
    parser.add_argument("--seeds", nargs="+", type=int, default=fresh, metavar="SEED", help="three fresh ones")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the logs are kept")
    options = parser.parse_args()
    figures = []
    with workshop(keep_in=options.keep) as shop:
        for part in options.only:
            figures += asyncio.run(PARTS[part](shop, options.seeds))
    return report(f"make budget, seeds {', '.join(map(str, options.seeds))}", figures)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a backlog cost: the share of the budget used, 0 to 1, and the rest as counted."""

    share_used: float
    refused: int
    refused_later: int
    commands_per_request: float


async def skewed(shop: Workshop, seeds: Sequence[int]) -> list[Figure]:
    """A backlog on all partitions."""
    return _spending("skewed", [await _settle_backlog(shop, "skewed", seed, PARTITIONS) for seed in seeds])


async def few(shop: Workshop, seeds: Sequence[int]) -> list[Figure]:
    """The same on few of them: most replicas have nothing to do."""
    name = f"on {FEW_PARTITIONS} of {PARTITIONS} partitions"
    return _spending(name, [await _settle_backlog(shop, "few", seed, FEW_PARTITIONS) for seed in seeds])


async def edits(shop: Workshop, seeds: Sequence[int]) -> list[Figure]:
    """Live edits behind a bulk import, half of them of customers that the import changes too."""
    longest, refused = [], 0
    for seed in seeds:
        chance = random.Random(seed)
        stage = await _stage(shop, f"edits-{seed}", BULK_CUSTOMERS + EDITS)
        await publish(
            stage.topics.bootstrap_servers,
            stage.topics.commands,
            (
                command(customer_id_for(number), cloud_event(f"bulk-{number}", priority="bulk"), note="imported")
                for number in range(BULK_CUSTOMERS)
            ),
        )
        async with follow(stage.topics) as follower, reading(follower):
            replicas = await _start(stage)
            await asyncio.sleep(2 * WINDOW_SECONDS * (1 + chance.random()))
            delays = [await _edit(stage, follower, chance, number) for number in range(EDITS)]
        longest.append(max(delays))
        refused += sum(one["status"] == 429 for one in await stage.upstream.journal())
        say(f"  edits, seed {seed}: {', '.join(f'{one:.2f}' for one in delays)} s")
        await _end(stage, replicas)
    return [
        at_most("live edit behind a bulk import: longest time to its event", [max(longest)], WINDOW_SECONDS, "s"),
        told("  longest of each seed", ", ".join(f"{one:.2f} s" for one in longest)),
        promised_none("  429 answers", refused),
    ]


PARTS: dict[str, Callable[[Workshop, Sequence[int]], Coroutine[None, None, list[Figure]]]] = {
    "skewed": skewed,
    "few": few,
    "edits": edits,
}


async def _settle_backlog(shop: Workshop, name: str, seed: int, partitions: int) -> Spent:
    stage = await _stage(shop, f"{name}-{seed}", 20 * CUSTOMERS)
    chance = random.Random(seed)
    own = [
        customer
        for number in range(20 * CUSTOMERS)
        if partition_of((customer := customer_id_for(number)).encode(), PARTITIONS) < partitions
    ]
    customers = chance.sample(own, CUSTOMERS)
    weights = list(accumulate(1 / rank**ZIPF_EXPONENT for rank in range(1, CUSTOMERS + 1)))
    # Each has one at least, so that what coalescing saves does not depend on who is left out.
    chosen = customers + chance.choices(customers, cum_weights=weights, k=COMMANDS - CUSTOMERS)
    chance.shuffle(chosen)
    messages = [command(customer, phone=str(number)) for number, customer in enumerate(chosen)]
    ids = await publish(stage.topics.bootstrap_servers, stage.topics.commands, messages)
    began = time.monotonic()
    async with follow(stage.topics) as follower:
        replicas = await _start(stage)
        up = time.monotonic()
        await follower.of(ids, within_seconds=LONGEST_SECONDS)
    journal = await stage.upstream.journal()
    refusals = [one["started"] for one in journal if one["status"] == 429]
    spent = Spent(
        share_used=share_used(journal),
        refused=len(refusals),
        refused_later=sum(at > up + 1 for at in refusals),
        commands_per_request=len(ids) / len(journal),
    )
    assert not repeated(await stage.topics.all_outcomes())
    say(
        f"  {name}, seed {seed}: {time.monotonic() - began:.0f} s, {spent.share_used:.1%} used,"
        f" {spent.refused} times 429 ({spent.refused_later} later), {spent.commands_per_request:.2f} commands each;"
        f" requests in each window: {', '.join(map(str, _windows(journal).values()))}"
    )
    await _end(stage, replicas)
    return spent


def share_used(journal: Sequence[dict[str, Any]]) -> float:
    """The part of the budget that was used from the second window on, as long as there was enough to do.

    The pauses between windows count: what is spent later than it could be is lost. The last window ends with the work,
    and is left out.
    """
    starts = list(_windows(journal))
    counted = [one for one in journal if starts[1] <= one["started"] < starts[-1] and one["status"] != 429]
    return len(counted) / ((starts[-1] - starts[1]) / WINDOW_SECONDS * LIMIT)


def _windows(journal: Sequence[dict[str, Any]]) -> dict[float, int]:
    """Requests of each window, by when its first one came: the upstream's windows begin so."""
    windows: dict[float, int] = {}
    start = float("-inf")
    for one in journal:
        if one["started"] >= start + WINDOW_SECONDS:
            start = one["started"]
            windows[start] = 0
        windows[start] += one["status"] != 429
    return windows


def _spending(what: str, spent: Sequence[Spent]) -> list[Figure]:
    return [
        at_least(f"{what}: share of the budget used", [100 * one.share_used for one in spent], 95, "%"),
        at_least(f"{what}: commands settled for each request", [one.commands_per_request for one in spent], 2.0, ""),
        promised_none(f"{what}: 429 after the first second", sum(one.refused_later for one in spent)),
        told(f"{what}: 429 in all", str(sum(one.refused for one in spent))),
    ]


async def _stage(shop: Workshop, name: str, customers: int) -> Stage:
    stage = await shop.stage(partitions=PARTITIONS, name=name)
    await stage.upstream.control(
        generate_customers=customers,
        latency_seconds=LATENCY_SECONDS,
        rate_limit=LIMIT,
        rate_window_seconds=WINDOW_SECONDS,
    )
    return stage


async def _start(stage: Stage) -> list[WorkerProcess]:
    settings = {"UPSTREAM_RATE_LIMIT": str(LIMIT), "UPSTREAM_RATE_WINDOW_SECONDS": str(int(WINDOW_SECONDS))}
    replicas = [stage.start_worker(**settings) for _ in range(REPLICAS)]
    for replica in replicas:
        await replica.wait_ready(within_seconds=60)
    return replicas


async def _edit(stage: Stage, follower: Follower, chance: random.Random, number: int) -> float:
    """Seconds from a live edit to its event."""
    await asyncio.sleep(WINDOW_SECONDS / 2 * (0.5 + chance.random()))
    customer = chance.randrange(BULK_CUSTOMERS // 2, BULK_CUSTOMERS) if number % 2 else BULK_CUSTOMERS + number
    sent_at = time.monotonic()
    edit: Message = command(customer_id_for(customer), cloud_event(f"edit-{number}"), phone=str(number))
    await stage.topics.publish([edit])
    async with asyncio.timeout(LONGEST_SECONDS):
        while f"edit-{number}" not in follower.arrived:  # noqa: ASYNC110 -- another task reads
            await asyncio.sleep(0.02)
    return follower.arrived[f"edit-{number}"] - sent_at


async def _end(stage: Stage, replicas: Sequence[WorkerProcess]) -> None:
    assert Counter(replica.returncode for replica in replicas) == {None: REPLICAS}
    await asyncio.to_thread(stage.end)


if __name__ == "__main__":
    sys.exit(main())
