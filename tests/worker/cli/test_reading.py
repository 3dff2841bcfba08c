"""Bounds in time as they are given at a prompt."""

import time

import pytest
import typer

from worker.cli.reading import moment_ms


class TestMoments:
    """--since and --until."""

    def test_moment_of_the_calendar(self) -> None:
        """RFC 3339, with any offset."""
        assert moment_ms("2026-11-23T12:35:36.5+01:00", "--since") == 1_795_433_736_500

    def test_span_is_before_now(self) -> None:
        """An hour ago."""
        before = time.time_ns() // 1_000_000  # noqa: TID251

        moment = moment_ms("1h", "--since")

        assert 0 <= moment + 3_600_000 - before < 60_000

    @pytest.mark.parametrize("text", ["", "yesterday", "2026-11-23", "0s", "1 hour", "2026-11-23T12:35:36"])
    def test_anything_else_is_a_usage_error_that_names_the_option(self, text: str) -> None:
        """With examples of what is meant."""
        with pytest.raises(typer.BadParameter, match="such as") as refusal:
            moment_ms(text, "--until")

        assert refusal.value.param_hint == "--until"
