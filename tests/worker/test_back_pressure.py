"""Which partitions read on, by the memory that waiting commands hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.back_pressure import CUSTOMERS_TO_PROBE_WITH, BackPressure

MIB = 1024 * 1024
NOBODY: frozenset[int] = frozenset()


def pressure() -> BackPressure:
    """The default bounds: 32 MiB a partition, 64 MiB a process."""
    return BackPressure(partition_bytes=32 * MIB, process_bytes=64 * MIB)


def paused(
    held: dict[int, int],
    before: frozenset[int] = NOBODY,
    *,
    upstream_is_asked: bool = True,
    customers: int = CUSTOMERS_TO_PROBE_WITH,
) -> frozenset[int]:
    """Those that should be paused, by MiB held."""
    sizes = {partition: size * MIB for partition, size in held.items()}
    return pressure().paused(sizes, before, upstream_is_asked=upstream_is_asked, customers=customers)


def test_nothing_held_nothing_paused() -> None:
    """Also with no partition at all."""
    assert paused({0: 0, 1: 0}) == NOBODY
    assert paused({}) == NOBODY


@pytest.mark.parametrize(("size", "is_paused"), [(31, False), (32, True), (40, True)])
def test_partition_stops_at_its_bound(size: int, is_paused: bool) -> None:
    """The others read on."""
    assert paused({0: size, 1: 1}) == (frozenset({0}) if is_paused else NOBODY)


@pytest.mark.parametrize(("size", "is_paused"), [(31, True), (17, True), (16, False), (0, False)])
def test_partition_goes_on_below_half_of_its_bound(size: int, is_paused: bool) -> None:
    """So that it does not flicker."""
    assert paused({0: size}, frozenset({0})) == (frozenset({0}) if is_paused else NOBODY)


def test_full_process_stops_all_that_hold_anything() -> None:
    """Else fifty partitions would each fill their share after a few had taken all of it."""
    held = {0: 30, 1: 30, 2: 3, 3: 1, 4: 0}

    assert paused(held) == {0, 1, 2, 3}
    assert paused(held | {0: 20}, frozenset(range(4))) == {0, 1}


def test_partition_with_nothing_waiting_always_reads() -> None:
    """Else one hot partition would starve all others of a full process."""
    held = dict.fromkeys(range(50), 2) | {50: 0}

    assert 50 not in paused(held, frozenset(held))


def test_bounds_hold_whatever_is_read_next() -> None:
    """Fifty partitions stay within the process bound, but for what one batch of each adds."""
    held = dict.fromkeys(range(50), 0)
    before = NOBODY
    for _ in range(100):
        before = paused(held, before)
        held = {partition: size + (partition not in before) for partition, size in held.items()}

    assert sum(held.values()) <= 64 + 50


@pytest.mark.parametrize("before", [NOBODY, frozenset({0})])
def test_open_circuit_reads_on_until_there_is_enough_to_probe_with(before: frozenset[int]) -> None:
    """The customers in sight may all be poisoned: somebody else must come into view, or nothing ever closes it."""
    few, enough = CUSTOMERS_TO_PROBE_WITH - 1, CUSTOMERS_TO_PROBE_WITH

    assert paused({0: 40, 1: 0}, before, upstream_is_asked=False, customers=few) == NOBODY
    assert paused({0: 1, 1: 0}, before, upstream_is_asked=False, customers=enough) == {0}


def test_memory_is_bounded_also_while_there_is_little_to_probe_with() -> None:
    """One customer may have published all there is."""
    assert paused({0: 63}, upstream_is_asked=False, customers=1) == NOBODY
    assert paused({0: 64}, upstream_is_asked=False, customers=1) == {0}
    assert paused({0: 50, 1: 15, 2: 0}, upstream_is_asked=False, customers=1) == {0, 1}


def test_open_circuit_reads_no_backlog() -> None:
    """Nothing would be sent for it."""
    assert paused({0: 1, 1: 20}, upstream_is_asked=False) == {0, 1}


def test_partition_alone_has_the_process_to_itself() -> None:
    """Its even share is the whole."""
    alone = BackPressure(partition_bytes=100, process_bytes=100)

    assert alone.paused({0: 99}, NOBODY, upstream_is_asked=True, customers=1) == NOBODY
    assert alone.paused({0: 50}, frozenset({0}), upstream_is_asked=True, customers=1) == NOBODY
    assert alone.paused({0: 51}, frozenset({0}), upstream_is_asked=True, customers=1) == {0}


@given(
    held=st.dictionaries(st.integers(0, 9), st.integers(0, 80), max_size=10),
    before=st.frozensets(st.integers(0, 12)),
    upstream_is_asked=st.booleans(),
    customers=st.integers(CUSTOMERS_TO_PROBE_WITH - 2, CUSTOMERS_TO_PROBE_WITH + 2),
)
def test_pausing_follows_from_what_is_held(
    held: dict[int, int], before: frozenset[int], upstream_is_asked: bool, customers: int
) -> None:
    """Only partitions held; more held is never paused less; pausing settles at once."""
    first = paused(held, before, upstream_is_asked=upstream_is_asked, customers=customers)

    assert first <= held.keys()
    assert all(held[partition] > 0 for partition in first)
    assert paused(held, first, upstream_is_asked=upstream_is_asked, customers=customers) == first
    assert paused(held, NOBODY, upstream_is_asked=upstream_is_asked, customers=customers) <= first | before
    assert all(
        partition in first
        for partition, size in held.items()
        for other in first
        if size >= held[other] and (partition in before) >= (other in before)
    )
