"""What a commit's metadata says: read back as it was written, or said to be unreadable."""

import base64
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.progress import METADATA_LIMIT, Progress, ProgressUnreadable, decode, encode


def deflated(raw: bytes) -> str:
    """The packing that says it is deflated, around *raw*."""
    return "1.0.z" + base64.b64encode(raw).decode()


def test_commit_without_metadata_says_nothing() -> None:
    """Another program, or an operator who reset the group's offsets, wrote it."""
    assert decode("") == Progress(0, 0)


def test_short_bits_are_packed_as_they_are() -> None:
    """The form is fixed, since the successor may be another release: version, horizon, packing, base64."""
    assert encode(Progress(0b1010, 5_000)) == "1.1388.bCg=="
    assert encode(Progress(0, 0)) == "1.0.b"


def test_long_runs_are_deflated() -> None:
    """One customer that retries for minutes leaves a run of a hundred thousand completions behind it."""
    progress = Progress(((1 << 100_000) - 1) << 1, 5_000)
    metadata = encode(progress)

    assert metadata.startswith("1.1388.z")
    assert len(metadata) < METADATA_LIMIT / 10
    assert decode(metadata) == progress


@given(bits=st.integers(min_value=0, max_value=2**2_000), horizon=st.integers(min_value=0, max_value=2**63))
def test_progress_comes_back_as_it_was(bits: int, horizon: int) -> None:
    """Whatever was settled in whatever order."""
    metadata = encode(Progress(bits, horizon))

    assert decode(metadata) == Progress(bits, horizon)
    assert metadata.isascii()


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
        pytest.param("2.0.bCg==", id="of a later version"),
        pytest.param("1.0.xCg==", id="of a packing that nobody knows"),
        pytest.param("1.0.", id="cut off before the packing"),
        pytest.param("1.0", id="cut off within the horizon"),
        pytest.param("1", id="cut off before the horizon"),
        pytest.param("1.0.b***", id="no base64"),
        pytest.param("1.0.bCg", id="cut off within the base64"),
        pytest.param("1.0.bCgö=", id="not ASCII"),
        pytest.param("1..bCg==", id="no horizon"),
        pytest.param("1.xyz.bCg==", id="a horizon that is no number"),
        pytest.param("1.-5.bCg==", id="a horizon before the commit"),
        pytest.param(deflated(b"\x0a"), id="not deflated as it says"),
        pytest.param(deflated(zlib.compress(b"x" * 50)[:-3]), id="deflated and cut off"),
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


@given(metadata=st.text(max_size=40) | st.binary(max_size=60).map(deflated))
def test_whatever_is_found_is_progress_or_unreadable(metadata: str) -> None:
    """No text makes an assignment fail."""
    with suppress(ProgressUnreadable):
        progress = decode(metadata)
        assert progress.completed_beyond >= 0
        assert progress.horizon >= 0
