"""A worker under load that is killed again and again, and what came of it."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.follower import follow
from harness.judging import lost, moved_back, out_of_order, repeated
from harness.load import Load, load
from harness.stage import Stage
from harness.topics import Outcome

CUSTOMERS = 60
COMMANDS_PER_SECOND = 150
LATENCY_SECONDS = 0.01
LONGEST_LIFE_SECONDS = 1.5
SETTLE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What was published, what came out for readers of committed records, and what the upstream saw."""

    delivery: str
    kills: int
    seed: int
    seconds: float
    load: Load
    outcomes: Sequence[Outcome]
    state: Mapping[str, Any]

    def phones(self) -> dict[str, int]:
        """The number that each customer has as its phone in the end, where a command gave it one."""
        return {one["id"]: int(one["phone"]) for one in self.state["customers"] if one["phone"].isdecimal()}

    def report(self) -> str:
        """The figures, in a line."""
        return (
            f"{self.kills} kills, seed {self.seed}, {self.delivery}: {len(self.load.published)} commands in "
            f"{self.seconds:.0f} s, {len(lost(self.load.published, self.outcomes))} lost, "
            f"{len(repeated(self.outcomes))} with more than one outcome, "
            f"{len(out_of_order(self.outcomes))} out of order, {self.state['overlaps']} requests overlapping, "
            f"{moved_back(self.state['journal'])} times a customer moved back, "
            f"{len(self.state['customers_created'])} created"
        )


async def run_with_kills(stage: Stage, *, delivery: str, kills: int, seed: int) -> Aftermath:
    """Kills the worker *kills* times at moments drawn from *seed*, each time in mid-work, and lets the last one end.

    The worker has a static id, as in a cluster: its successor need not wait for the session of the dead one to end.
    """
    chance = random.Random(seed)
    begun = time.monotonic()
    settings = {"DELIVERY": delivery, "KAFKA_GROUP_INSTANCE_ID": "worker-1"}
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=LATENCY_SECONDS)
    async with follow(stage.topics) as follower:
        async with load(stage.topics, customers=CUSTOMERS, per_second=COMMANDS_PER_SECOND, seed=seed) as commands:
            worker = stage.start_worker(**settings)
            for _ in range(kills):
                await worker.settles_more(within_seconds=60)
                await asyncio.sleep(LONGEST_LIFE_SECONDS * chance.random())
                worker.sigkill()
                worker = stage.start_worker(**settings)
            await worker.settles_more(within_seconds=60)
        await follower.of(commands.command_ids, within_seconds=SETTLE_SECONDS)
    worker.sigterm()
    await worker.wait()
    return Aftermath(
        delivery=delivery,
        kills=kills,
        seed=seed,
        seconds=time.monotonic() - begun,
        load=commands,
        outcomes=await stage.topics.all_outcomes(),
        state=await stage.upstream.state(),
    )
