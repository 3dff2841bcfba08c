"""Figures in words, short enough for a table: numbers, spans of time, points in time, identifiers."""

import math
from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_SHORT_ID = 4


def number(value: float | None) -> str:
    """`1,204`; a dash where it is not known."""
    return "–" if value is None else f"{value:,.0f}"


def count(value: int, noun: str, plural: str = "") -> str:
    """`1 command`, `1,204 commands`."""
    return f"{number(value)} {noun if value == 1 else plural or noun + 's'}"


def span(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`: two units at most; a dash where it is unknown or endless."""
    if seconds is None or math.isinf(seconds):
        return "–"
    if seconds < 1:
        return "0 s" if seconds <= 0 else "under 1 s"
    whole = round(seconds)
    if whole >= 3_600:
        # Nobody needs the seconds of hours.
        whole = round(whole / 60) * 60
    parts = []
    for size, unit in _UNITS:
        amount, whole = divmod(whole, size)
        if amount:
            parts.append(f"{amount} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def milliseconds(seconds: float | None) -> str:
    """`0.8 ms`, `24 ms`, `1.25 s`."""
    if seconds is None:
        return "–"
    if seconds >= 1:
        return f"{seconds:.3g} s"
    return f"{seconds * 1000:.2g} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def clock(at_ms: int, *, seconds: bool = True) -> str:
    """The time of day in UTC, `14:03:22` or `14:03`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S" if seconds else "%H:%M")


def moment(at_ms: int) -> str:
    """The point in time as machines read it."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).isoformat().replace("+00:00", "Z")


def shortened(identifier: str) -> str:
    """`5eed…0001`: enough to find a customer that one has, too little to name one that one has not."""
    if len(identifier) <= 2 * _SHORT_ID + 1:
        return identifier
    return f"{identifier[:_SHORT_ID]}…{identifier[-_SHORT_ID:]}"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
