"""Commands settled once: which records are copies of one that came before."""

import json
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.record import CommandRecord, Headers
from harness.builders import a_record, customer_id
from worker.deduplication import REWINDABLE_RECORDS, DeduplicationWindow, Identity, Verdict, identity_in, tracked

NEW, REPEATED, REUSED_ID = Verdict.NEW, Verdict.REPEATED, Verdict.REUSED_ID
BINARY: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_type", b"customer.update"),
    ("ce_source", b"/crm"),
    ("ce_id", b"17"),
)


def identity(name: str = "17") -> Identity:
    """A CloudEvents source and id."""
    return ("/crm", name)


def verdicts(window: int, *copies: tuple[int, str, str]) -> list[Verdict]:
    """What becomes of records at these offsets, with these ids and values."""
    judging = DeduplicationWindow(window=window)
    return [judging.judge(identity(name), a_record(offset, {"note": note})) for offset, name, note in copies]


def test_other_ids_are_other_commands() -> None:
    """Whatever their bytes."""
    assert verdicts(100, (0, "a", "x"), (1, "b", "x")) == [NEW, NEW]


def test_same_id_and_bytes_is_a_repeated_delivery() -> None:
    """However often."""
    assert verdicts(100, (0, "a", "x"), (1, "a", "x"), (2, "a", "x")) == [NEW, REPEATED, REPEATED]


def test_same_id_with_other_bytes_may_be_a_lost_change() -> None:
    """Compared with the first; the first itself stays good."""
    assert verdicts(100, (0, "a", "x"), (1, "a", "y"), (2, "a", "x")) == [NEW, REUSED_ID, REPEATED]


def test_same_value_for_another_customer_is_another_command() -> None:
    """The key belongs to the bytes."""
    judging = DeduplicationWindow(window=100)
    judging.judge(identity(), a_record(0, value=b"{}", customer=1))

    assert judging.judge(identity(), a_record(1, value=b"{}", customer=2)) is REUSED_ID


@pytest.mark.parametrize(("offset", "verdict"), [(10, REPEATED), (11, NEW)])
def test_window_is_counted_in_offsets(offset: int, verdict: Verdict) -> None:
    """At most so many before it; the log alone decides, so it is the same after every restart."""
    assert verdicts(10, (0, "a", "x"), (offset, "a", "x"))[1] is verdict


def test_copy_is_remembered_as_the_first_was() -> None:
    """A publisher that repeats itself every few thousand records is known as long as it does."""
    assert verdicts(10, (0, "a", "x"), (8, "a", "x"), (16, "a", "x"), (40, "a", "x")) == [NEW, REPEATED, REPEATED, NEW]


def test_when_the_first_is_forgotten_the_next_counts() -> None:
    """The earliest record of the id within the window."""
    assert verdicts(10, (0, "a", "x"), (5, "a", "y"), (11, "a", "y")) == [NEW, REUSED_ID, REPEATED]


def test_command_without_an_identity_is_always_new() -> None:
    """Without CloudEvents attributes every record is a command of its own."""
    judging = DeduplicationWindow(window=100)

    assert [judging.judge(None, a_record(0, value=b"{}")) for _ in range(2)] == [NEW, NEW]
    assert len(judging) == 0


def test_window_of_zero_is_none() -> None:
    """DEDUPLICATION_WINDOW=0 turns it off."""
    assert verdicts(0, (0, "a", "x"), (1, "a", "x")) == [NEW, NEW]


def test_window_holds_no_more_than_it_must() -> None:
    """What is too old is forgotten, also of ids that come again and again."""
    judging = DeduplicationWindow(window=10)
    for offset in range(1_000):
        judging.judge(identity(str(offset % 3)), a_record(offset))

    assert len(judging) == 11


def test_full_window_is_small() -> None:
    """Fifty partitions on one worker: two megabytes each, not ten."""
    records = [a_record(offset) for offset in range(10_000)]
    tracemalloc.start()
    try:
        judging = DeduplicationWindow(window=10_000)
        for record in records:
            judging.judge(identity(f"event-{record.offset}"), record)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(judging) == 10_000
    assert held_bytes < 2_500_000


@given(
    copies=st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc"), st.sampled_from("xy")), max_size=40),
    window=st.integers(min_value=0, max_value=12),
)
def test_window_judges_as_a_search_through_the_log_would(copies: Sequence[tuple[int, str, str]], window: int) -> None:
    """The plain definition: the earliest of the same id among the records at most so many offsets before."""
    offset, log = 0, []
    for gap, name, note in copies:
        offset += gap
        log.append((offset, name, note))
    expected = []
    for position, (at, name, note) in enumerate(log):
        earlier = [n for o, other, n in log[:position] if other == name and o >= at - window]
        expected.append(NEW if not earlier or not window else REPEATED if earlier[0] == note else REUSED_ID)

    assert verdicts(window, *log) == expected


@given(
    copies=st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc"), st.sampled_from("xy")), max_size=40),
    window=st.integers(min_value=0, max_value=12),
    cuts=st.lists(st.integers(0, 160), min_size=1, max_size=3),
)
def test_window_that_goes_back_judges_as_before(
    copies: Sequence[tuple[int, str, str]], window: int, cuts: Sequence[int]
) -> None:
    """A partition that comes back after a rebalance goes on where it was committed, with what it was shown before."""
    log = [(sum(gap for gap, _, _ in copies[: place + 1]), name, note) for place, (_, name, note) in enumerate(copies)]
    at_first = dict(zip(log, verdicts(window, *log), strict=True))
    judging = DeduplicationWindow(window=window)
    for cut in (0, *cuts):
        assert judging.rewind(cut, earliest=0)
        again = [one for one in log if one[0] >= judging.next_offset]
        judged = [judging.judge(identity(name), a_record(offset, {"note": note})) for offset, name, note in again]
        assert judged == [at_first[one] for one in again]


def test_window_that_cannot_go_back_says_so() -> None:
    """What left it long ago is gone, and it would take a copy for a new command."""
    judging = DeduplicationWindow(window=100, begins_at=1_000)
    for offset in range(1_000, 4_000):
        judging.judge(identity(str(offset)), a_record(offset, {"note": "x"}))

    assert not judging.rewind(2_999 - REWINDABLE_RECORDS + 100, earliest=0)
    assert judging.rewind(3_999 - REWINDABLE_RECORDS + 100, earliest=0)
    assert judging.judge(identity("3000"), a_record(3_100, {"note": "x"})) is REPEATED


def test_window_that_began_in_the_middle_does_not_go_back_beyond_that() -> None:
    """Unless the log has lost what was before as well."""
    judging = DeduplicationWindow(window=100, begins_at=1_000)
    judging.judge(identity(), a_record(1_000))

    assert not judging.rewind(1_050, earliest=0)
    assert judging.rewind(1_050, earliest=1_000)
    assert judging.next_offset == 1_001


@pytest.mark.parametrize(
    ("found", "replay", "expected"),
    [
        pytest.param(("/crm", "17"), 0, ("/crm", "17"), id="CloudEvents attributes"),
        pytest.param((None, "customer.update:0:5"), 0, None, id="a place in the log never comes twice"),
        pytest.param((None, "customer.update:0:5#1"), 1, (None, "customer.update:0:5#1"), id="a replay may"),
    ],
)
def test_what_can_occur_twice_is_tracked(found: Identity, replay: int, expected: Identity | None) -> None:
    """Nothing else takes room."""
    assert tracked(found, replay) == expected


def structured(**attributes: str) -> bytes:
    """An envelope around a command."""
    data = {"customer_id": customer_id(0), "changes": {"note": "x"}}
    envelope = {"specversion": "1.0", "type": "customer.update", "source": "/crm", "id": "17", "data": data}
    return json.dumps(envelope | attributes).encode()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(a_record(5, {"note": "x"}), None, id="no attributes"),
        pytest.param(a_record(5, {"note": "specversion"}), None, id="a note about them"),
        pytest.param(a_record(5, {"note": "x"}, headers=BINARY), ("/crm", "17"), id="binary mode"),
        pytest.param(a_record(5, value=structured()), ("/crm", "17"), id="structured mode"),
        pytest.param(a_record(5, value=structured(priority="soon")), ("/crm", "17"), id="a command that is refused"),
        pytest.param(
            a_record(5, value=structured().replace(b"specversion", b"vers")),
            ("/crm", "17"),
            id="an incomplete envelope",
        ),
        pytest.param(
            a_record(5, value=b'{"\\u0064ata": {}, "source": "/crm", "id": "17"}'),
            ("/crm", "17"),
            id="names in escapes",
        ),
        pytest.param(a_record(5, value=b"{", headers=BINARY), ("/crm", "17"), id="a value that cannot be read"),
        pytest.param(
            a_record(5, {"note": "x"}, headers=(("dlq-command-id", b"a:0:1"), ("dlq-replay", b"2"))),
            (None, "a:0:1#2"),
            id="a replay",
        ),
        pytest.param(a_record(5, value=b"not JSON, and no specversion at all"), None, id="no command at all"),
    ],
)
def test_identity_of_a_record_that_is_read_back(record: CommandRecord, expected: Identity | None) -> None:
    """The same that it had when it was read first, whether it was a good command or not."""
    assert identity_in(record) == expected
