"""Points in time as the formats of the contract write them, as milliseconds since 1970 (UTC).

Fractions are cut off at milliseconds, as JavaScript's Date does.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

_DATE_AND_TIME: Final = r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{1,30})?"
_is_rfc3339 = re.compile(rf"{_DATE_AND_TIME}(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_is_database_time = re.compile(rf"{_DATE_AND_TIME}(?:[Zz]|[+-]\d\d(?::\d\d){{0,2}})", re.ASCII).fullmatch

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_FIRST: Final = -62_135_596_800_000  # ISO 8601 needs an agreement for years before 1 and after 9999
_LAST: Final = 253_402_300_799_999


def parse_rfc3339(text: str) -> int | None:
    """Milliseconds of a time as in RFC 3339 section 5.6 (a blank for the T allowed), or None where it is none."""
    if not _is_rfc3339(text):
        return None
    if text[17:19] == "60":  # a leap second; in Unix time it is the first second after it
        before = _milliseconds(f"{text[:17]}59{text[19:]}")
        return None if before is None else before + 1_000
    return _milliseconds(text)


@lru_cache(maxsize=1024)  # the answer to a PATCH repeats what the answer to the GET before it said
def parse_database_time(text: str) -> int | None:
    """Milliseconds of ``2026-11-23 11:35:36.39042+00`` (PostgreSQL) or of RFC 3339, or None where it is neither.

    The offset may lack its minutes, or have seconds (local mean time of old dates). It may not be missing:
    such a text says no point in time.
    """
    return _milliseconds(text) if _is_database_time(text) else None


@lru_cache(maxsize=1024)
def format_instant(milliseconds: int) -> str:
    """``2024-05-01T12:34:56.789Z``. What lies before the year 1 or after 9999 becomes the nearest that does not."""
    instant = _EPOCH + timedelta(milliseconds=min(max(milliseconds, _FIRST), _LAST))
    return instant.isoformat(timespec="milliseconds")[:-6] + "Z"


def _milliseconds(text: str) -> int | None:
    try:
        return (datetime.fromisoformat(text.upper()) - _EPOCH) // _MILLISECOND
    except ValueError:  # no such day, hour or offset
        return None
