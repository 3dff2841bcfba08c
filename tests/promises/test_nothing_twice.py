"""Promise 2: a reader of committed records sees one outcome for each command, whatever happens meanwhile."""

import pytest

from harness.follower import follow
from harness.judging import lost, out_of_order, repeated
from harness.kill_run import Aftermath
from harness.load import load
from harness.stage import Stage

pytestmark = pytest.mark.real_kafka

CUSTOMERS = 60


def test_sigkill_in_mid_work_publishes_nothing_twice(kill_run: Aftermath) -> None:
    """What a killed worker had not committed does not exist; where the broker has no transactions, it may repeat."""
    if kill_run.delivery == "at_least_once":
        pytest.skip("promised for exactly_once alone")

    assert repeated(kill_run.outcomes) == {}


async def test_a_frozen_worker_neither_publishes_nor_commits_when_it_wakes(stage: Stage) -> None:
    """Its partitions have a new owner by then, whose transactional ids fence it off."""
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0.02)
    async with follow(stage.topics) as follower:
        frozen = await stage.start_ready_worker()
        async with load(stage.topics, customers=CUSTOMERS, per_second=150, seed=1) as commands:
            await follower.until(lambda outcomes: len(outcomes) > 20, what="outcomes of the first worker")
            frozen.sigstop()
            successor = await stage.start_ready_worker()
            await successor.settles_more()
            frozen.sigcont()
            await successor.settles_more()
        await follower.of(commands.command_ids, within_seconds=60)

    outcomes = await stage.topics.all_outcomes()
    assert repeated(outcomes) == {}
    assert lost(commands.published, outcomes) == []
    assert out_of_order(outcomes) == []
    assert (await stage.upstream.state(journal=0))["overlaps"] == 0
    frozen.sigterm()
    assert await frozen.wait() == 0
