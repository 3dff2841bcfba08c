"""A command: what a publisher asked for, checked before anything is sent anywhere.

`decode` is on the hot path. It reads a record in one pass, collects everything that is wrong in a fixed order (key,
headers, envelope, command) and only then decides: a publisher learns of all mistakes from one dead letter.
"""

import base64
import binascii
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from handlers.changes import add_unknown_field, check_changes, is_object
from handlers.cloudevents import (
    CommandHeaders,
    attribute_text,
    check_header_attributes,
    envelope_attributes,
    is_envelope,
    read_headers,
    valid_traceparent,
)
from handlers.errors import CommandRefused, Problems
from handlers.fields import is_uuid
from handlers.instants import parse_rfc3339
from handlers.record import CommandRecord
from handlers.strict_json import Unreadable, read


class Priority(StrEnum):
    """How urgent a command is: the CloudEvents extension attribute ``priority``."""

    LIVE = "live"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Command:
    """One checked command.

    *changes* is in snake_case; its ``tags`` is a list of ``{"id", "name"}`` with ids in lower case. *expires_at_ms* is
    in milliseconds since 1970 (UTC). *replay* is 0, or the number of this replay of a dead letter.
    """

    id: str
    source: str | None
    customer_id: str
    changes: Mapping[str, JsonValue]
    priority: Priority
    expires_at_ms: int | None
    traceparent: str | None
    correlation_id: str | None
    replay: int
    record: CommandRecord

    @property
    def identity(self) -> tuple[str | None, str]:
        """CloudEvents ``source`` and the command's id: what deduplication goes by.

        Without CloudEvents attributes the source is None and the id the record's place, so no two are equal,
        replays of one dead letter aside.
        """
        return (self.source, self.id)


def decode(record: CommandRecord) -> Command:
    """The command in *record*. Raises `CommandRefused` with all problems at once, and nothing else."""
    problems = Problems()
    key = _customer_of_key(record.key, problems)
    headers = read_headers(record.headers, problems) if record.headers else _NO_HEADERS
    attributes, body, path = _open(record.value, headers, problems)
    customer_id, changes = None, _NO_CHANGES
    if body is not None:
        customer_id = _customer_of_body(body, path, problems)
        if key is not None and customer_id is not None and key != customer_id:
            problems.add("customer_id_differs", f"{path}.customer_id")
        changes = _changes_of_body(body, path, problems)

    source, command_id = _identity(attributes, headers, record)
    if problems or key is None:
        raise CommandRefused(
            problems.found(),
            command_id=command_id,
            source=source,
            customer_id=key or customer_id,
            replay=headers.replay,
        )
    return Command(
        command_id,
        source,
        key,
        changes,
        _priority(attributes, headers),
        _expires_at_ms(attributes, headers),
        valid_traceparent(headers.traceparent, attributes.get("traceparent")),
        attribute_text(attributes, "correlationid"),
        headers.replay,
        record,
    )


def identity_of(record: CommandRecord) -> tuple[tuple[str | None, str], int]:
    """The identity and the replay number of what is in *record*, as `decode` finds them, a good command or not.

    Reads no further than that takes: of most records the headers alone.
    """
    problems = Problems()
    headers = read_headers(record.headers, problems) if record.headers else _NO_HEADERS
    attributes: Mapping[str, JsonValue] = headers.attributes
    if _may_be_envelope(record.value or b"") or headers.content_type.startswith("application/cloudevents"):
        attributes, _, _ = _open(record.value, headers, problems)
    return _identity(attributes, headers, record), headers.replay


def held_bytes(command: Command) -> int:
    """Bytes of memory that *command* and its record hold, estimated from what CPython says of the larger parts."""
    size_of = sys.getsizeof
    record = command.record
    held = _HELD_BY_EVERY_COMMAND + size_of(record.value) + size_of(command.changes)
    for name, content in record.headers:
        held += _HELD_BY_EVERY_HEADER + len(name) + len(content or b"")
    for value in command.changes.values():
        held += size_of(value) if value is not None else 0
        if isinstance(value, list):
            held += sum(_HELD_BY_EVERY_TAG + sum(map(size_of, tag.values())) for tag in value if isinstance(tag, dict))
    return held


# What tells an envelope, or an escape that may hide it: no name in an envelope needs one.
_may_be_envelope = re.compile(rb'specversion|"data|\\u00[2-7]').search
_NO_HEADERS = CommandHeaders()
_NO_CHANGES: Mapping[str, JsonValue] = {}
# Measured with tracemalloc, which a test repeats.
_HELD_BY_EVERY_COMMAND = 500
_HELD_BY_EVERY_HEADER = 170
_HELD_BY_EVERY_TAG = 190


def _customer_of_key(key: bytes | None, problems: Problems) -> str | None:
    if not key:
        problems.add("key_missing", "key")
        return None
    try:
        customer_id = key.decode()
    except UnicodeDecodeError:
        problems.add("key_not_utf8", "key")
        return None
    if not is_uuid(customer_id):
        problems.add("key_malformed", "key")
        return None
    return customer_id


def _open(
    value: bytes | None, headers: CommandHeaders, problems: Problems
) -> tuple[Mapping[str, JsonValue], dict[str, JsonValue] | None, str]:
    """The CloudEvents attributes, the command's JSON object where there is one, and the path of that object."""
    is_replay = headers.replay > 0
    if value is None:
        problems.add("value_missing", "$")
        document = None
    else:
        document = _read_object(value, "$", problems)
    if document is not None and is_envelope(document, headers.content_type):
        attributes = envelope_attributes(document, headers.attributes, problems, is_replay=is_replay)
        return attributes, *_data(document, problems)
    if headers.attributes:
        check_header_attributes(headers.attributes, problems, is_replay=is_replay)
    return headers.attributes, document, "$"


def _read_object(value: bytes, path: str, problems: Problems) -> dict[str, JsonValue] | None:
    try:
        document = read(value)
    except Unreadable as unreadable:
        problems.add(unreadable.code, path, unreadable.detail)
        return None
    return document if is_object(document, path, problems) else None


def _data(envelope: Mapping[str, JsonValue], problems: Problems) -> tuple[dict[str, JsonValue] | None, str]:
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if data is not None and encoded is not None:
        problems.add("data_twice", "$.data_base64")
        return None, "$"
    if data is not None:
        return data if is_object(data, "$.data", problems) else None, "$.data"
    if encoded is None:
        problems.add("data_missing", "$.data")
        return None, "$"
    try:
        value = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else None
    except (binascii.Error, ValueError):
        value = None
    if value is None:
        problems.add("base64_malformed", "$.data_base64")
        return None, "$"
    return _read_object(value, "$.data_base64", problems), "$.data_base64"


def _customer_of_body(body: Mapping[str, JsonValue], path: str, problems: Problems) -> str | None:
    spellings = [name for name in ("customer_id", "customerId") if name in body]
    if not spellings:
        problems.add("customer_id_missing", f"{path}.customer_id")
        return None
    if len(spellings) == 2:
        problems.add("spelled_twice", f"{path}.customer_id", "as customer_id and as customerId")
    known = None
    for name in spellings:
        value = body[name]
        if isinstance(value, str) and is_uuid(value):
            known = value
        else:
            problems.add("customer_id_malformed", f"{path}.{name}")
    return known


def _changes_of_body(body: dict[str, JsonValue], path: str, problems: Problems) -> Mapping[str, JsonValue]:
    changes = _NO_CHANGES
    if "changes" in body:
        changes = check_changes(body["changes"], f"{path}.changes", problems)
    else:
        problems.add("changes_missing", f"{path}.changes")
    if len(body) > 2 or problems:
        for name in body:
            if name not in _BODY_FIELDS:
                add_unknown_field(name, body, path, problems, known=_BODY_FIELDS)
    return changes


_BODY_FIELDS = ("customer_id", "changes", "customerId")


def _identity(
    attributes: Mapping[str, JsonValue], headers: CommandHeaders, record: CommandRecord
) -> tuple[str | None, str]:
    """Source and id. An id without a source (or the reverse) identifies nothing, so both count or neither."""
    source = attribute_text(attributes, "source") if attributes else None
    event_id = attribute_text(attributes, "id") if source is not None else None
    if headers.replay:
        return (source if event_id is not None else None), f"{headers.replayed_id}#{headers.replay}"
    return (source, event_id) if event_id is not None else (None, record.coordinates)


def _priority(attributes: Mapping[str, JsonValue], headers: CommandHeaders) -> Priority:
    return Priority.BULK if headers.replay or attributes.get("priority") == "bulk" else Priority.LIVE


def _expires_at_ms(attributes: Mapping[str, JsonValue], headers: CommandHeaders) -> int | None:
    expirytime = attributes.get("expirytime")
    if headers.replay or not isinstance(expirytime, str):
        return None
    return parse_rfc3339(expirytime)
