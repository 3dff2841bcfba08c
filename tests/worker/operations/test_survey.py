"""Who waits, and why."""

import asyncio
from typing import cast

import pytest
from aiokafka import TopicPartition

from handlers.command import Priority
from harness.builders import TIMESTAMP_MS, TOPIC, a_command
from worker.lanes import Lanes
from worker.operations import survey as surveying
from worker.operations.replica import WHY, Customers
from worker.operations.survey import Obstacles, obstacles, survey
from worker.pacing.gate import Gate
from worker.pacing.rate_budget import RateBudget
from worker.partition import Partition

NOTHING = Obstacles("", "")


class APartition:
    """As much of a partition as is looked at."""

    def __init__(self, number: int = 0) -> None:
        self.topic_partition = TopicPartition(TOPIC, number)
        self.lanes = Lanes(coalesce=False)
        self.is_reading_back = False


def look(*partitions: APartition, found: Obstacles = NOTHING, now: float = 0.0) -> Customers:
    """What is seen of them."""
    given = cast("tuple[Partition, ...]", partitions)
    return asyncio.run(survey(lambda: given, found, lambda: now))


def test_those_with_most_commands_come_first() -> None:
    """Of all partitions, at most ten; those who wait longer before others."""
    one, other = APartition(0), APartition(1)
    for customer in range(12):
        for offset in range(customer + 1):
            (one if customer % 2 else other).lanes.add(a_command(100 * customer + offset, customer=customer))
    found = look(one, other)

    assert [waiting.commands for waiting in found.longest] == list(range(12, 2, -1))
    assert (found.waiting, found.oldest_ms, found.why) == (12, TIMESTAMP_MS, {"turn": 12})
    assert found.longest[0].customer == "0000…0011"
    assert [waiting.partition for waiting in found.longest][:2] == [0, 1]


def test_each_state_has_its_reason() -> None:
    """Under way, to be tried again, being committed, ready."""
    partition = APartition()
    for customer in range(4):
        partition.lanes.add(a_command(customer, customer=customer))
        partition.lanes.add(a_command(10 + customer, customer=customer))
    taken = [partition.lanes.take(Priority.LIVE, 0) for _ in range(3)]
    assert taken[1] is not None
    assert taken[2] is not None
    taken[1].attempts = 2
    partition.lanes.retry(taken[1], due=7.5, now=0)
    partition.lanes.settle(taken[2], 1)
    found = look(partition, now=5.0)

    assert found.why == {"under_way": 1, "retrying": 1, "committing": 1, "turn": 1}
    by_why = {waiting.why: waiting for waiting in found.longest}
    assert (by_why["retrying"].attempts, by_why["retrying"].due_in_seconds) == (2, 2.5)
    assert (by_why["committing"].commands, by_why["under_way"].commands) == (1, 2)
    assert by_why["turn"].due_in_seconds is None


def test_lane_whose_last_commands_are_being_committed_is_counted() -> None:
    """While Kafka does not answer that may be all of them; there is nothing left to rank."""
    partition = APartition()
    partition.lanes.add(a_command(0))
    fold = partition.lanes.take(Priority.LIVE, 0)
    assert fold is not None
    partition.lanes.settle(fold, 1)
    found = look(partition)

    assert (found.waiting, found.oldest_ms, found.why, found.longest) == (1, None, {"committing": 1}, ())


def test_what_holds_everybody_up_is_the_reason_of_all_that_are_ready() -> None:
    """Live and bulk ones may have different ones."""
    partition = APartition()
    partition.lanes.add(a_command(0, customer=0))
    partition.lanes.add(a_command(1, customer=1, priority=Priority.BULK))

    assert look(partition, found=Obstacles("", "bulk")).why == {"turn": 1, "bulk": 1}
    assert look(partition, found=Obstacles("limit", "limit")).why == {"limit": 2}
    partition.is_reading_back = True
    assert look(partition).why == {"taking_over": 2}


def test_obstacles_are_those_of_the_gate() -> None:
    """The worst comes first; each has its words."""
    gate = Gate(budget=RateBudget(limit=1_000, window_seconds=600), max_concurrency=4)
    assert obstacles(gate, may_work=True, now=0.0) == NOTHING
    assert obstacles(gate, may_work=False, now=0.0) == Obstacles("group", "group")
    gate.budget.grant(2, 0.0)
    gate.budget.refused(60, 0.0)
    assert obstacles(gate, may_work=True, now=1.0) == Obstacles("limit", "limit")
    assert {"group", "held", "outage", "limit", "bulk", "turn", "under_way", "retrying"} <= set(WHY)


def test_a_look_at_many_lanes_lets_others_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats run in the same loop."""
    monkeypatch.setattr(surveying, "LANES_AT_ONCE", 10)
    partition = APartition()
    for customer in range(100):
        partition.lanes.add(a_command(customer, customer=customer))
    turns = 0

    async def scenario() -> Customers:
        nonlocal turns

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            counting = tasks.create_task(other())
            found = await survey(lambda: cast("list[Partition]", [partition]), NOTHING, lambda: 0.0)
            counting.cancel()
        return found

    assert asyncio.run(scenario()).waiting == 100
    assert turns >= 9
