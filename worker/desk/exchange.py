"""Dead letters as lines of JSON, to be kept elsewhere and brought back: each is the whole record, byte by byte.

Bytes that are UTF-8 stand as text, others as ``{"base64": ...}``. A line says where its record was; brought back, it
gets a place of its own.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, Final

from handlers.record import CommandRecord

_FIELDS: Final = ("topic", "partition", "offset", "timestamp_ms", "key", "value", "headers")


class LineUnreadable(Exception):
    """A line that no export has written; *number* counts from 1."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(f"line {number}: {why}")
        self.number = number
        self.why = why


def to_line(record: CommandRecord) -> str:
    """*record* as one line of JSON, without its line break."""
    return json.dumps(
        {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "key": _text(record.key),
            "value": _text(record.value),
            "headers": [[name, _text(value)] for name, value in record.headers],
        },
        ensure_ascii=False,
    )


def from_lines(lines: Iterator[str]) -> Iterator[CommandRecord]:
    """The records in *lines*; blank lines are left out. Raises `LineUnreadable` at the first that is none."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _record(line, number)


def _record(line: str, number: int) -> CommandRecord:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise LineUnreadable(number, "is no JSON") from error
    if not isinstance(found, dict) or set(found) != set(_FIELDS):
        raise LineUnreadable(number, f"is no object with {', '.join(_FIELDS)}, and nothing else")
    try:
        return CommandRecord(
            str(found["topic"]),
            int(found["partition"]),
            int(found["offset"]),
            int(found["timestamp_ms"]),
            _bytes(found["key"]),
            _bytes(found["value"]),
            tuple((str(name), _bytes(value)) for name, value in found["headers"]),
        )
    except (TypeError, ValueError, binascii.Error) as error:
        raise LineUnreadable(number, "has a key, a value, a header or a number of another form") from error


def _text(value: bytes | None) -> str | dict[str, str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _bytes(value: Any) -> bytes | None:  # noqa: ANN401  # JSON of any shape
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"], validate=True)
    raise ValueError
