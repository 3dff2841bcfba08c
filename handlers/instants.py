"""Points in time as the formats of the contract write them, as milliseconds since 1970 (UTC).

Whole numbers instead of `datetime` with zones: faster, and nothing overflows at the ends of the calendar.
Fractions are cut off at milliseconds, as JavaScript's Date does.
"""

import re
from datetime import date, datetime, timedelta
from typing import Final

_DATE_AND_TIME: Final = r"(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d{1,30}))?"
_OFFSET: Final = r"([+-])([01]\d|2[0-3])"
_rfc3339 = re.compile(f"{_DATE_AND_TIME}(?:[Zz]|{_OFFSET}:([0-5]\\d)())", re.ASCII).fullmatch
_database = re.compile(f"{_DATE_AND_TIME}(?:[Zz]|{_OFFSET}(?::?([0-5]\\d)(?::([0-5]\\d))?)?)", re.ASCII).fullmatch

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 -- all instants here are UTC
_EPOCH_DAY: Final = _EPOCH.toordinal()
_FIRST: Final = -62_135_596_800_000  # ISO 8601 needs an agreement for years before 1 and after 9999
_LAST: Final = 253_402_300_799_999


def parse_rfc3339(text: str) -> int | None:
    """Milliseconds of a time as in RFC 3339 section 5.6 (a blank for the T allowed), or None where it is none."""
    return _milliseconds(_rfc3339(text))


def parse_database_time(text: str) -> int | None:
    """Milliseconds of ``2026-11-23 11:35:36.39042+00`` (PostgreSQL) or of RFC 3339, or None where it is neither.

    The offset may lack its minutes, or have seconds (local mean time of old dates). It may not be missing:
    such a text says no point in time.
    """
    return _milliseconds(_database(text))


def format_instant(milliseconds: int) -> str:
    """``2024-05-01T12:34:56.789Z``. What lies before the year 1 or after 9999 becomes the nearest that does not."""
    within = min(max(milliseconds, _FIRST), _LAST)
    return (_EPOCH + timedelta(milliseconds=within)).isoformat(timespec="milliseconds") + "Z"


def _milliseconds(match: re.Match[str] | None) -> int | None:
    if match is None:
        return None
    year, month, day, hours, minutes, seconds, fraction, sign, *offset = match.groups()
    try:
        days = date(int(year), int(month), int(day)).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    total = days * 86_400 + int(hours) * 3_600 + int(minutes) * 60 + int(seconds)
    if sign:
        ahead = sum(int(part or 0) * unit for part, unit in zip(offset, (3_600, 60, 1), strict=True))
        total += ahead if sign == "-" else -ahead
    return total * 1_000 + int((fraction or "0").ljust(3, "0")[:3])
