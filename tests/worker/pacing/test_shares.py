"""This replica's share of a budget that all replicas spend together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.pacing.shares import FLOOR, replicas, share_of_budget


def test_share_goes_with_what_waits() -> None:
    """Work is skewed: who has most of it gets most of the budget, but for the floor."""
    lags = {0: 900, 1: 100}

    assert share_of_budget([0], lags) == pytest.approx(0.1 * 0.5 + 0.9 * 0.9)


def test_replica_without_waiting_commands_keeps_a_part() -> None:
    """One whose commands have only just come must be able to begin."""
    assert share_of_budget([1], {0: 900, 1: 0}) == pytest.approx(FLOOR / 2)


def test_where_nothing_waits_partitions_count() -> None:
    """Everybody is as likely to be next."""
    assert share_of_budget([1, 2], {0: 0, 1: 0, 2: 0}) == pytest.approx(2 / 3)


def test_where_nothing_is_known_all_is_ones_own() -> None:
    """A topic whose lags nobody can tell has one replica as far as this one knows."""
    assert share_of_budget([0], {}) == 1.0


def test_partition_of_unknown_lag_counts_as_empty() -> None:
    """It has just been added to the topic: the share is still a part of the whole."""
    assert share_of_budget([0, 7], {0: 5}) == pytest.approx(1.0)
    assert share_of_budget([7], {0: 5}) == pytest.approx(FLOOR / 2)


@given(data=st.data(), lags=st.dictionaries(st.integers(0, 20), st.integers(0, 10**9), min_size=1))
def test_shares_of_all_replicas_add_up_to_one(data: st.DataObject, lags: dict[int, int]) -> None:
    """Without a word between them: all see the same lags, and every partition has one owner."""
    owners = {partition: data.draw(st.integers(0, 3)) for partition in lags}
    shares = [
        share_of_budget([partition for partition, owner in owners.items() if owner == replica], lags)
        for replica in range(4)
    ]

    assert sum(shares) == pytest.approx(1.0)
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.parametrize(
    ("held", "partitions", "expected"),
    [
        pytest.param([0], 1, 1, id="alone"),
        pytest.param([0, 1], 6, 3, id="an even part"),
        pytest.param([0, 1], 5, 3, id="rounded up"),
        pytest.param([], 6, 6, id="nothing held: as many as there can be"),
        pytest.param([], 0, 1, id="a topic not yet known"),
    ],
)
def test_number_of_replicas_is_estimated_from_partitions_held(held: list[int], partitions: int, expected: int) -> None:
    """Nobody tells how many there are; assignments are even."""
    assert replicas(held, partitions) == expected
