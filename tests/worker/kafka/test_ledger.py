"""What a ledger writes is whole or not there, and whoever has lost its partition writes nothing more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition

from handlers.record import OutcomeKind, OutcomeRecord
from harness.topics import Topics
from worker.kafka.cluster import Cluster
from worker.kafka.errors import CommitFailed, OutcomeTooLarge, PartitionLost
from worker.kafka.ledger import Ledger, Publication

pytestmark = [pytest.mark.real_kafka, pytest.mark.partitions(1)]


@asynccontextmanager
async def cluster_of(topics: Topics) -> AsyncIterator[Cluster]:
    """What makes the ledgers of a worker that delivers exactly once."""
    cluster = Cluster(
        {"bootstrap_servers": topics.bootstrap_servers, "client_id": "test", "security_protocol": "PLAINTEXT"},
        group_id=topics.group_id,
        exactly_once=True,
        consumer=lambda: None,
        say=print,
    )
    await cluster.connect([topics.commands, topics.events, topics.dead_letter])
    try:
        yield cluster
    finally:
        await cluster.close()


def partition_of(topics: Topics) -> TopicPartition:
    """The only one."""
    return TopicPartition(topics.commands, 0)


def event(topics: Topics, value: bytes) -> Publication:
    """An event with just enough headers to be read back."""
    return topics.events, OutcomeRecord(OutcomeKind.EVENT, b"key", value, (("ce_causationid", b"id"),))


async def values(topics: Topics) -> list[bytes | None]:
    """What a reader of committed records sees."""
    return [outcome.value for outcome in await topics.all_outcomes()]


async def test_outcomes_and_offset_are_written_as_one(topics: Topics) -> None:
    """The next offset to read, with its metadata, and all outcomes."""
    async with cluster_of(topics) as cluster:
        ledger = cluster.ledger(partition_of(topics))
        await ledger.start()
        await ledger.commit([event(topics, b"1"), event(topics, b"2")], 7, "note")
        await ledger.start()  # completes what the broker may still be writing, as each successor does
        await ledger.close()

        assert await cluster.offsets().committed(partition_of(topics)) == (7, "note")
    assert await values(topics) == [b"1", b"2"]


async def test_an_outcome_that_is_refused_leaves_nothing_behind_and_the_next_commit_works(topics: Topics) -> None:
    """The refused batch was counted by the client; the broker would never have taken another one."""
    await topics.limit_events(1_000)
    async with cluster_of(topics) as cluster:
        ledger = cluster.ledger(partition_of(topics))
        await ledger.start()
        await ledger.commit([event(topics, b"before")], 1, "")
        for _ in range(2):
            with pytest.raises(OutcomeTooLarge):
                await ledger.commit([event(topics, b"small"), event(topics, b"large" * 1_000)], 2, "")
            with pytest.raises(CommitFailed, match="not started again"):
                await ledger.commit([event(topics, b"unasked")], 2, "")
            await ledger.start()
        await ledger.commit([event(topics, b"after")], 3, "")
        await ledger.commit([event(topics, b"at last")], 4, "")
        await ledger.close()

        assert await cluster.offsets().committed(partition_of(topics)) == (4, "")
    assert await values(topics) == [b"before", b"after", b"at last"]


async def test_a_ledger_is_fenced_by_the_start_of_its_successor(topics: Topics) -> None:
    """It learns of it with its next commit, of which nothing is written."""
    async with cluster_of(topics) as cluster:
        first, second = cluster.ledger(partition_of(topics)), cluster.ledger(partition_of(topics))
        await first.start()
        await first.commit([event(topics, b"first")], 1, "")
        await second.start()
        with pytest.raises(PartitionLost):
            await first.commit([event(topics, b"too late")], 2, "")
        await second.commit([event(topics, b"second")], 2, "")
        await first.close()
        await second.close()

    assert await values(topics) == [b"first", b"second"]


async def test_a_fenced_ledger_can_be_closed_at_any_moment(topics: Topics) -> None:
    """Also in the middle of the commit that finds it out."""

    async def commit_and_be_cut_short(ledger: Ledger, after_turns: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            committing = tasks.create_task(ledger.commit([event(topics, b"too late")], 9, ""))
            for _ in range(after_turns):
                await asyncio.sleep(0)
            committing.cancel()

    async with cluster_of(topics) as cluster:
        for turns in range(0, 60, 6):
            first, second = cluster.ledger(partition_of(topics)), cluster.ledger(partition_of(topics))
            await first.start()
            await first.commit([event(topics, b"first")], 1, "")
            await second.start()
            try:
                await commit_and_be_cut_short(first, turns * turns)
            except* PartitionLost:
                pass
            await first.close()
            await second.close()

    assert b"too late" not in await values(topics)
