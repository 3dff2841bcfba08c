"""What a commit's metadata says: read back as it was written, or said to be unreadable."""

import base64
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.progress import METADATA_LIMIT_BYTES, ProgressUnreadable, decode, encode


def test_nothing_beyond_costs_nothing() -> None:
    """A partition that is settled in order commits its offset alone."""
    assert encode(0) == ""
    assert decode("") == 0


def test_short_bits_are_packed_as_they_are() -> None:
    """Version 1, plain bits, base64: the form is fixed, since the successor may be another release."""
    assert encode(0b1010) == "1bCg=="


def test_long_runs_are_compressed() -> None:
    """One customer that retries for minutes leaves a run of a hundred thousand completions behind it."""
    bits = ((1 << 100_000) - 1) << 1
    metadata = encode(bits)

    assert metadata.startswith("1z")
    assert len(metadata) < METADATA_LIMIT_BYTES / 10
    assert decode(metadata) == bits


@given(bits=st.integers(min_value=0, max_value=2**2_000))
def test_bits_come_back_as_they_were(bits: int) -> None:
    """Whatever was settled in whatever order."""
    metadata = encode(bits)

    assert decode(metadata) == bits
    assert metadata.isascii()


@given(
    bits=st.lists(st.integers(min_value=0, max_value=60_000), max_size=20).map(
        lambda positions: sum(1 << position for position in set(positions))
    )
)
def test_few_completions_far_apart_stay_small(bits: int) -> None:
    """The size goes with what is to be told, not with the distance alone."""
    metadata = encode(bits)

    assert decode(metadata) == bits
    assert len(metadata) < 400


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param("2bCg==", id="of a later version"),
        pytest.param("1xCg==", id="of a packing that nobody knows"),
        pytest.param("1", id="cut off before the packing"),
        pytest.param("1b***", id="no base64"),
        pytest.param("1bCg", id="cut off within the base64"),
        pytest.param("1bCgö=", id="not ASCII"),
        pytest.param("1zCg==", id="not compressed as it says"),
        pytest.param("1z" + base64.b64encode(zlib.compress(b"x" * 50)[:-3]).decode(), id="cut off and rounded up"),
        pytest.param("written by another program", id="of another program"),
    ],
)
def test_what_another_program_wrote_is_unreadable_and_not_guessed(metadata: str) -> None:
    """Skipping commands by mistake would lose them; doing them again is harmless."""
    with pytest.raises(ProgressUnreadable) as caught:
        decode(metadata)

    assert caught.value.metadata == metadata


def test_unreadable_metadata_is_not_repeated_at_length() -> None:
    """Four kilobytes of somebody else's text are no use in a log."""
    with pytest.raises(ProgressUnreadable, match=r"4000 characters, starting 'zzzzzzzz'\): .* done again"):
        decode("z" * 4_000)


@given(metadata=st.text(max_size=40) | st.binary(max_size=60).map(lambda raw: "1z" + base64.b64encode(raw).decode()))
def test_whatever_is_found_is_bits_or_unreadable(metadata: str) -> None:
    """No text makes an assignment fail."""
    with suppress(ProgressUnreadable):
        assert decode(metadata) >= 0
