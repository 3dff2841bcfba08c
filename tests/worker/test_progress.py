"""What a commit's metadata says: read back as it was written, or said to be unreadable."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.progress import METADATA_LIMIT, Progress, ProgressUnreadable, Tried, decode, encode, fits, room_bytes

tried = st.builds(
    Tried,
    attempts=st.integers(min_value=0, max_value=10_000),
    elapsed_seconds=st.integers(min_value=0, max_value=10_000).map(lambda tenths: tenths / 10),
    length=st.integers(min_value=0, max_value=500),
    server_errors=st.tuples(st.integers(min_value=0, max_value=15), st.integers(min_value=0, max_value=15)),
)
tries = st.dictionaries(st.integers(min_value=0, max_value=2**40), tried).map(
    lambda found: tuple(sorted(found.items()))
)


def packed(form: str, raw: bytes) -> str:
    """A commit's metadata with *raw* in the named form."""
    return f"2.0.{form}{base64.b64encode(raw).decode()}"


def test_commit_without_metadata_says_nothing() -> None:
    """Another program, or an operator who reset the group's offsets, wrote it."""
    assert decode("") == Progress(0, 0)


def test_short_bits_are_packed_as_they_are() -> None:
    """The form is fixed, since the successor may be another release: version, horizon, packing, base64."""
    assert encode(Progress(0b1010, 5_000)) == "2.1388.bCg=="
    assert encode(Progress(0, 0)) == "2.0.b"
    assert encode(Progress(0, 0, ((7, Tried(3, 2.5, 4, (0, 2))),))) == "2.0.b.BwMZBAI="


def test_long_runs_are_written_as_their_lengths() -> None:
    """One customer that retries for minutes leaves a run of a hundred thousand completions behind it."""
    progress = Progress(((1 << 100_000) - 1) << 1, 5_000)
    metadata = encode(progress)

    assert metadata == "2.1388.rAaCNBg=="
    assert decode(metadata) == progress


@given(
    bits=st.integers(min_value=0, max_value=2**2_000), horizon=st.integers(min_value=0, max_value=2**63), found=tries
)
def test_progress_comes_back_as_it_was(bits: int, horizon: int, found: tuple[tuple[int, Tried], ...]) -> None:
    """Whatever was settled in whatever order, and whatever was tried in vain."""
    metadata = encode(Progress(bits, horizon, found))

    assert decode(metadata) == Progress(bits, horizon, found)
    assert metadata.isascii()


@given(lengths=st.lists(st.integers(min_value=1, max_value=5_000), max_size=40), found=tries)
def test_runs_come_back_as_they_were(lengths: list[int], found: tuple[tuple[int, Tried], ...]) -> None:
    """Also those of a partition that is far ahead of its oldest command."""
    bits = int("".join(str(index % 2) * length for index, length in enumerate(lengths))[::-1] or "0", 2)

    assert decode(encode(Progress(bits, 5_000, found))) == Progress(bits, 5_000, found)


@given(bits=st.integers(min_value=0, max_value=2**24_000), horizon=st.integers(min_value=0, max_value=2**63))
def test_what_was_tried_is_left_out_before_completions_and_completions_never(bits: int, horizon: int) -> None:
    """A poison command that begins anew costs requests; a completion that is forgotten costs a second outcome."""
    many = tuple((place, Tried(20, 299.9, 500, (5, 5))) for place in range(0, 100_000, 100))
    metadata = encode(Progress(bits, horizon, many))
    found = decode(metadata)

    assert fits(bits)
    assert len(metadata) <= METADATA_LIMIT
    assert (found.completed_beyond, found.horizon) == (bits, horizon)
    assert found.tried == many[: len(found.tried)]


def test_of_what_was_tried_there_is_as_much_as_there_is_room_for() -> None:
    """The oldest first: they hold the partition back."""
    many = tuple((place, Tried(20, 290.0, 0, (0, 5))) for place in range(0, 100_000, 100))
    metadata = encode(Progress(0b1010, 5_000, many))

    assert METADATA_LIMIT - 12 < len(metadata) <= METADATA_LIMIT
    assert len(decode(metadata).tried) > 500


def test_long_rows_of_server_errors_count_as_fifteen() -> None:
    """Five are enough to suspect a command."""
    progress = Progress(0, 0, ((0, Tried(40, 1.0, 0, (16, 99))),))

    assert decode(encode(progress)).tried == ((0, Tried(40, 1.0, 0, (15, 15))),)


def test_runs_fill_the_room_to_the_last_byte() -> None:
    """One more, and they have none."""
    runs = "1" * 8 + "0" * 9

    assert room_bytes() == 2 * 1_527
    assert fits(int(runs * 1_527, 2))
    assert not fits(int(runs * 1_528, 2))


def test_half_of_ten_thousand_at_random_have_room() -> None:
    """As bits; and a long way behind one old command has room as runs."""
    alternating = int("10" * (room_bytes() * 4), 2)

    assert fits(alternating)
    assert not fits(alternating << 2)
    assert fits((1 << 10_000_000) - 2)


@given(positions=st.sets(st.integers(min_value=0, max_value=60_000), max_size=20))
def test_few_completions_far_apart_stay_small(positions: set[int]) -> None:
    """The size goes with what is to be told, not with the distance alone."""
    progress = Progress(sum(1 << position for position in positions), 5_000)
    metadata = encode(progress)

    assert decode(metadata) == progress
    assert len(metadata) < METADATA_LIMIT / 10


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param("1.0.bCg==", id="of an earlier version"),
        pytest.param("3.0.bCg==", id="of a later version"),
        pytest.param("2.0.xCg==", id="of a form that nobody knows"),
        pytest.param("2.0.", id="cut off before the form"),
        pytest.param("2.0", id="cut off within the horizon"),
        pytest.param("2", id="cut off before the horizon"),
        pytest.param("2.0.b***", id="no base64"),
        pytest.param("2.0.bCg", id="cut off within the base64"),
        pytest.param("2.0.bCgö=", id="not ASCII"),
        pytest.param("2..bCg==", id="no horizon"),
        pytest.param("2.xyz.bCg==", id="a horizon that is no number"),
        pytest.param("2.-5.bCg==", id="a horizon before the commit"),
        pytest.param(packed("r", b"\x80"), id="a run that is cut off"),
        pytest.param(packed("r", b"\xff\xff\xff\xff\x7f\x01"), id="more offsets than any log has"),
        pytest.param("2.0.bCg==.AQ==", id="of what was tried not all"),
        pytest.param("2.0.bCg==.***", id="of what was tried no base64"),
        pytest.param("2.0.bCg==.AQEBAQE=.AQ==", id="with a part too many"),
        pytest.param("written by another program", id="of another program"),
    ],
)
def test_what_another_program_wrote_is_unreadable_and_not_guessed(metadata: str) -> None:
    """Skipping commands by mistake would lose them; doing them again is harmless."""
    with pytest.raises(ProgressUnreadable) as caught:
        decode(metadata)

    assert caught.value.metadata == metadata


def test_unreadable_metadata_is_not_repeated() -> None:
    """Four kilobytes of somebody else's text are no use in a log."""
    with pytest.raises(ProgressUnreadable, match=r"\(4000 characters\): .* done again$"):
        decode("z" * 4_000)


@given(
    metadata=st.text(max_size=40)
    | st.binary(max_size=60).map(lambda raw: packed("b", raw))
    | st.binary(max_size=60).map(lambda raw: packed("r", raw))
    | st.binary(max_size=60).map(lambda raw: f"2.0.b.{base64.b64encode(raw).decode()}")
)
def test_whatever_is_found_is_progress_or_unreadable(metadata: str) -> None:
    """No text makes an assignment fail."""
    with suppress(ProgressUnreadable):
        progress = decode(metadata)
        assert progress.completed_beyond >= 0
        assert progress.horizon >= 0
