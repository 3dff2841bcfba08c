"""Dead letters as lines of JSON: nothing is lost on the way out and back in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.record import CommandRecord
from worker.desk.exchange import LineUnreadable, from_lines, to_line

RECORDS = st.builds(
    CommandRecord,
    st.text(),
    st.integers(0, 2**31),
    st.integers(0, 2**63),
    st.integers(-1, 2**53),
    st.none() | st.binary(),
    st.none() | st.binary() | st.text().map(str.encode),
    st.lists(st.tuples(st.text(), st.none() | st.binary())).map(tuple),
)


@given(records=st.lists(RECORDS))
def test_whatever_a_record_holds_comes_back(records: list[CommandRecord]) -> None:
    """Byte by byte, also where it is no text."""
    lines = [to_line(record) for record in records]

    assert all("\n" not in line for line in lines)
    assert [_parts(one) for one in from_lines(iter(lines))] == [_parts(one) for one in records]


def test_text_stands_as_text() -> None:
    """An export is also read by people and by jq."""
    line = to_line(CommandRecord("t", 0, 1, 2, b"key", b"\xff", (("name", "ö".encode()),)))

    assert json.loads(line)["key"] == "key"
    assert json.loads(line)["value"] == {"base64": "/w=="}
    assert json.loads(line)["headers"] == [["name", "ö"]]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        pytest.param("{", "no JSON", id="no JSON"),
        pytest.param("[]", "no object", id="no object"),
        pytest.param('{"topic": "t"}', "no object with topic, partition", id="a field is missing"),
        pytest.param(to_line(CommandRecord("t", 0, 1, 2, b"k", None)).replace('"k"', "7"), "another form", id="a key"),
        pytest.param(
            to_line(CommandRecord("t", 0, 1, 2, b"\xff", None)).replace("/w==", "!"), "another form", id="no base64"
        ),
    ],
)
def test_a_line_of_something_else_is_named(line: str, why: str) -> None:
    """By its number, with what is wrong."""
    with pytest.raises(LineUnreadable, match=f"line 3: .*{why}"):
        list(from_lines(iter([to_line(CommandRecord("t", 0, 1, 2, b"k", None)), "", line])))


def _parts(record: CommandRecord) -> tuple[object, ...]:
    return (
        *(record.topic, record.partition, record.offset, record.timestamp_ms),
        *(record.key, record.value, tuple(record.headers)),
    )
