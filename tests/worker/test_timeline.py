"""How old what waits is."""

from hypothesis import given
from hypothesis import strategies as st

from worker.timeline import ACCURACY_MS, Timeline


def test_time_of_a_record_is_known_to_the_second() -> None:
    """Those published within a second share a mark."""
    timeline = Timeline()
    for offset, time_ms in enumerate([1_000, 1_400, 1_999, 2_000, 9_000]):
        timeline.note(offset, time_ms)

    assert [timeline.time_ms(offset) for offset in range(5)] == [1_000, 1_000, 1_000, 2_000, 9_000]
    assert len(timeline) == 3


def test_record_without_a_time_has_no_age() -> None:
    """Nor has one that was never noted."""
    timeline = Timeline()
    assert timeline.time_ms(7) is None
    timeline.note(7, -1)
    timeline.note(8, 5_000)

    assert (timeline.time_ms(7), timeline.time_ms(8)) == (None, 5_000)


@given(
    times=st.lists(st.integers(0, 20_000), min_size=1, max_size=50),
    gaps=st.lists(st.integers(1, 3), min_size=50, max_size=50),
    forgotten=st.integers(0, 50),
)
def test_times_are_right_whatever_clocks_publishers_have(times: list[int], gaps: list[int], forgotten: int) -> None:
    """To the second, with offsets left out, and also after what is settled is forgotten."""
    timeline, published, offset = Timeline(), {}, 0
    for time_ms, gap in zip(times, gaps, strict=False):
        offset += gap
        timeline.note(offset, time_ms)
        published[offset] = time_ms
    below = sorted(published)[min(forgotten, len(published) - 1)]
    timeline.forget(below)

    for offset, time_ms in published.items():
        if offset >= below:
            found = timeline.time_ms(offset)
            assert found is not None
            assert 0 <= time_ms - found < ACCURACY_MS


def test_what_is_settled_takes_no_room() -> None:
    """One mark stays: it may be that of what follows."""
    timeline = Timeline()
    for offset in range(100):
        timeline.note(offset, offset * ACCURACY_MS)
        timeline.forget(offset)

    assert len(timeline) == 1
