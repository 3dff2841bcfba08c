"""Spans of time on the command line: 90s, 15m, 36h, 7d."""

from __future__ import annotations

import re
from typing import Final

import typer

_UNITS_MS: Final = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_LONGEST_MS: Final = 100 * 365 * _UNITS_MS["d"]


def span_ms(text: str, option: str) -> int:
    """The span in milliseconds. Raises `typer.BadParameter`, a usage error that names *option*."""
    match = re.fullmatch(r"([0-9]{1,15})([smhd])", text.strip().lower())
    milliseconds = int(match[1]) * _UNITS_MS[match[2]] if match else 0
    if not 0 < milliseconds <= _LONGEST_MS:
        raise typer.BadParameter("must be a span of time such as 90s, 15m, 36h or 7d", param_hint=option)
    return milliseconds


def span_words(milliseconds: int) -> str:
    """The span for people, in the largest unit that is exact: "7d"."""
    for unit in reversed(_UNITS_MS):
        if milliseconds % _UNITS_MS[unit] == 0:
            return f"{milliseconds // _UNITS_MS[unit]}{unit}"
    return f"{milliseconds}ms"


def rough_span(milliseconds: int) -> str:
    """How long ago, for people who only want to know roughly: "4h", or "<1s"."""
    for unit in reversed(_UNITS_MS):
        if milliseconds >= _UNITS_MS[unit]:
            return f"{milliseconds // _UNITS_MS[unit]}{unit}"
    return "<1s"
