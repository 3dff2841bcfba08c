"""Promise 1: every command ends in an event or a dead letter, whatever happens meanwhile."""

import asyncio
from collections.abc import Iterator

import pytest

from harness.broker import Broker
from harness.commands import command
from harness.follower import follow
from harness.judging import lost, out_of_order, repeated, surprises
from harness.kill_run import Aftermath
from harness.load import load
from harness.stage import Stage
from worker.demo.upstream import customer_id_for

pytestmark = pytest.mark.real_kafka

CUSTOMERS = 60


@pytest.fixture(autouse=True)
def _no_worker_is_left(stage: Stage) -> Iterator[None]:
    yield
    stage.end_workers()


def test_sigkill_in_mid_work_loses_nothing(kill_run: Aftermath) -> None:
    """Each command has the outcome that its kind calls for, and each customer has its last change."""
    assert kill_run.load.published
    assert lost(kill_run.load.published, kill_run.outcomes) == []
    assert surprises(kill_run.load.published, kill_run.outcomes) == []
    assert kill_run.phones() == kill_run.load.last_numbers()


async def test_workers_that_come_and_go_lose_nothing_and_repeat_nothing(stage: Stage) -> None:
    """Partitions change hands in mid-work: to a second worker, back after SIGTERM of the first, to a third."""
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0.02)
    async with follow(stage.topics) as follower:
        async with load(stage.topics, customers=CUSTOMERS, per_second=150, seed=1) as commands:
            first = stage.start_worker()
            await first.settles_more()
            second = stage.start_worker()
            await second.settles_more()
            first.sigterm()
            third = stage.start_worker()
            await third.settles_more()
            await second.settles_more()
        await follower.of(commands.command_ids)

    outcomes = await stage.topics.all_outcomes()
    assert lost(commands.published, outcomes) == []
    assert repeated(outcomes) == {}
    assert surprises(commands.published, outcomes) == []
    assert await first.wait() == 0


async def test_a_broker_that_is_killed_and_comes_back_loses_nothing_and_repeats_nothing(
    stage: Stage, broker: Broker
) -> None:
    """In mid-transaction, with all that the broker has not yet written to disk."""
    if not broker.can_restart:
        pytest.skip(f"cannot be restarted: {broker.describe()}")
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0.02)
    worker = await stage.start_ready_worker()
    async with follow(stage.topics) as follower:
        async with load(stage.topics, customers=CUSTOMERS, per_second=100, seed=3) as commands:
            await worker.settles_more()
            await asyncio.to_thread(broker.stop, gracefully=False)
            await asyncio.to_thread(broker.start)
            await worker.settles_more(within_seconds=90)
        await follower.of(commands.command_ids, within_seconds=90)

    outcomes = await stage.topics.all_outcomes()
    assert lost(commands.published, outcomes) == []
    assert repeated(outcomes) == {}
    assert out_of_order(outcomes) == []
    assert worker.returncode is None


async def test_a_rough_upstream_loses_nothing(stage: Stage) -> None:
    """Requests that fail before, while and after they are carried out; connections that end in mid-answer."""
    customers = [customer_id_for(number) for number in range(CUSTOMERS)]
    rough = [
        {"kind": "status", "status": 500, "apply": True},
        {"kind": "status", "status": 503},
        {"kind": "reset", "apply": True},
        {"kind": "reset"},
        {"kind": "truncate"},
        {"kind": "slow", "seconds": 0.1, "jitter_seconds": 0.1},
    ]
    faults = [{"match": {"probability": 0.07, "seed": n}, "effect": effect} for n, effect in enumerate(rough)]
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0, faults=faults)
    await stage.start_ready_worker(COALESCE="false")
    async with follow(stage.topics) as follower:
        ids = await stage.topics.publish(
            command(customer, phone=str(turn)) for turn in range(8) for customer in customers
        )
        outcomes = await follower.of(ids, within_seconds=60)

    assert [one.reason for one in outcomes if not one.is_event] == []
    assert {one["phone"] for one in (await stage.upstream.state(journal=0))["customers"]} == {"7"}
