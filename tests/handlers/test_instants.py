"""Points in time: what is read as one, and how it is written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.instants import format_instant, parse_database_time, parse_rfc3339


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        pytest.param("2026-11-23 11:35:36.39042+00", "2026-11-23T11:35:36.390Z", id="as the upstream sends it"),
        pytest.param("2026-11-23 11:35:36+00", "2026-11-23T11:35:36.000Z", id="trailing zeros dropped, dot and all"),
        pytest.param("2026-11-23 11:35:36.9+00", "2026-11-23T11:35:36.900Z", id="one digit"),
        pytest.param("2026-11-23 11:35:36.999999+00", "2026-11-23T11:35:36.999Z", id="cut off, never rounded up"),
        pytest.param("2026-11-23 11:35:36.39042+05:30", "2026-11-23T06:05:36.390Z", id="an offset with minutes"),
        pytest.param("2026-11-23 01:35:36-11", "2026-11-23T12:35:36.000Z", id="an offset without minutes"),
        pytest.param("1891-01-01 00:00:00+00:09:21", "1890-12-31T23:50:39.000Z", id="local mean time"),
        pytest.param("2024-05-01T12:34:56.789Z", "2024-05-01T12:34:56.789Z", id="ISO 8601 already"),
        pytest.param("2024-02-29t00:00:00z", "2024-02-29T00:00:00.000Z", id="lower case, on a leap day"),
    ],
)
def test_database_text_becomes_iso_8601(text: str, iso: str) -> None:
    """UTC with milliseconds, whatever the offset and the digits."""
    milliseconds = parse_database_time(text)

    assert milliseconds is not None
    assert format_instant(milliseconds) == iso


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("2026-11-23 11:35:36.39042", id="no offset: no point in time"),
        pytest.param("2026-11-23", id="a date"),
        pytest.param("2026-02-29 11:35:36+00", id="a day that does not exist"),
        pytest.param("2026-11-23 24:00:00+00", id="the hour 24"),
        pytest.param("2026-11-23 11:60:00+00", id="the minute 60"),
        pytest.param("2026-11-23 11:35:36+24:00", id="an offset of a day"),
        pytest.param("0000-01-01 00:00:00+00", id="the year 0"),
        pytest.param("12026-11-23 11:35:36+00", id="a year of five digits"),
        pytest.param("infinity", id="PostgreSQL's infinity"),
        pytest.param("2026-11-23 11:35:36+00 BC", id="before Christ"),
        pytest.param("2026-11-23 11:35:36,5+00", id="a decimal comma"),
        pytest.param("٢٠٢٦-11-23 11:35:36+00", id="digits of another script"),
        pytest.param("2026-11-23 11:35:36+00\n", id="a line break at the end"),
        pytest.param("1795433736390", id="milliseconds"),
    ],
)
def test_what_is_no_point_in_time_is_told_apart(text: str) -> None:
    """None, never an exception and never a guess."""
    assert parse_database_time(text) is None
    assert parse_rfc3339(text) is None


@pytest.mark.parametrize("text", ["2026-11-23 11:35:36+00", "2026-11-23 11:35:36+00:00:30"])
def test_rfc_3339_wants_hours_and_minutes_of_the_offset(text: str) -> None:
    """What a database writes is not always RFC 3339."""
    assert parse_database_time(text) is not None
    assert parse_rfc3339(text) is None


def test_a_leap_second_is_the_second_after_it() -> None:
    """RFC 3339 allows 23:59:60; Unix time has no such second."""
    assert parse_rfc3339("2016-12-31T23:59:60.5Z") == parse_rfc3339("2017-01-01T00:00:00.5Z")


@given(
    st.datetimes(timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))),
)
def test_any_time_with_its_offset_is_read_to_the_millisecond(moment: datetime) -> None:
    """Also at the ends of the calendar, where converting a datetime to UTC would overflow."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)

    assert parse_rfc3339(moment.isoformat()) == (moment - epoch) // timedelta(milliseconds=1)


@given(st.datetimes(timezones=st.just(UTC)))
def test_what_is_written_is_read_back(moment: datetime) -> None:
    """Milliseconds are what both sides keep."""
    written = format_instant((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1))

    assert written == moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert format_instant(parse_rfc3339(written) or 0) == written


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_timestamp_that_kafka_can_carry_can_be_written(milliseconds: int) -> None:
    """A publisher may set any 64-bit number as its record's time."""
    assert len(format_instant(milliseconds)) == len("2024-05-01T12:34:56.789Z")
