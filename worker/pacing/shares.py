"""This replica's share of a budget that all replicas spend together, from what every replica can see.

Weighed by what waits, because work is skewed: a replica with most of the lag gets most of the budget. A small part is
divided by partitions held, so that a replica whose commands have only just come is never without. All replicas look
at the same lags and every partition has one owner, so the shares add up to one. Pure.
"""

import math
from collections.abc import Collection, Mapping

FLOOR = 0.1


def share_of_budget(held: Collection[int], lags: Mapping[int, int]) -> float:
    """The share, 0 to 1, of the replica that holds the partitions *held*.

    *lags* maps every partition of the topic to its unsettled commands.
    """
    if not lags:
        return 1.0
    by_partitions = len(held) / len(lags.keys() | set(held))
    total = sum(lags.values())
    if not total:
        return by_partitions
    by_lag = sum(lags.get(partition, 0) for partition in held) / total
    return FLOOR * by_partitions + (1 - FLOOR) * by_lag


def replicas(held: Collection[int], partitions: int) -> int:
    """About how many replicas share a topic of so many partitions."""
    return math.ceil(partitions / len(held)) if held else max(partitions, 1)
