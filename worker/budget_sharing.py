"""This replica's share of the upstream's budget, kept up to date: by what waits in the whole group."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiokafka import AIOKafkaConsumer

from worker.kafka.consumer import OffsetReader, group_lags
from worker.kafka.errors import CommitFailed
from worker.pacing.rate_budget import RateBudget
from worker.pacing.shares import replicas, share_of_budget

# How often to look which partitions are held, and what waits in all of them.
MEMBERSHIP_SECONDS = 0.1
SHARING_SECONDS = 1.0


async def share_budget(
    budget: RateBudget,
    *,
    topic: str,
    consumer: Callable[[], AIOKafkaConsumer | None],
    is_member: Callable[[], bool],
    offsets: Callable[[], OffsetReader],
    now: Callable[[], float],
) -> None:
    """Follows what waits in *topic* and who has which partition, until cancelled. *now* is monotonic seconds."""
    held: frozenset[int] = frozenset()
    lags_due = 0.0
    while True:
        await asyncio.sleep(MEMBERSHIP_SECONDS)
        member = consumer()
        if member is None or not is_member() or budget.limit == float("inf"):
            continue
        now_held = frozenset(partition.partition for partition in member.assignment())
        total = len(member.partitions_for_topic(topic) or ())
        if now_held != held:
            held = now_held
            budget.set_share(len(held) / max(total, 1), replicas(held, total))
            budget.divide_again()
        if 0 < len(held) < total and now() >= lags_due:
            lags_due = now() + SHARING_SECONDS
            with suppress(CommitFailed):
                lags = await group_lags(member, offsets(), topic)
                budget.set_share(share_of_budget(held, lags), replicas(held, total))
