"""Spans of time as they are typed."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from worker.cli.spans import span_ms, span_words


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("90s", 90_000), ("15m", 900_000), ("36h", 129_600_000), ("7D ", 604_800_000)]
)
def test_span_is_a_number_and_a_unit(text: str, milliseconds: int) -> None:
    """Seconds, minutes, hours, days."""
    assert span_ms(text, "--x") == milliseconds


@pytest.mark.parametrize("text", ["", "7", "d", "0d", "-1d", "7 days", "1.5h", "7w", "999999999d", "٣d"])
def test_anything_else_is_a_usage_error(text: str) -> None:
    """It names the option and shows what a span looks like."""
    with pytest.raises(typer.BadParameter, match="must be a span of time such as") as refused:
        span_ms(text, "--x")

    assert refused.value.param_hint == "--x"


@given(st.integers(min_value=1, max_value=36_500).flatmap(lambda n: st.sampled_from([f"{n}{unit}" for unit in "smhd"])))
def test_words_of_a_span_are_the_same_span(text: str) -> None:
    """In the largest unit that is exact."""
    assert span_ms(span_words(span_ms(text, "--x")), "--x") == span_ms(text, "--x")
