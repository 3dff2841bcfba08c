"""CloudEvents 1.0 on Kafka records: the attributes of a command, from headers or from an envelope.

Sources: CloudEvents 1.0.2 (core, JSON format, Kafka protocol binding, distributed tracing), W3C Trace Context,
RFC 3339. Headers may repeat what an envelope says (Kafka binding, section 3.3.3), so they only have to agree with it.
A malformed ``traceparent`` is ignored, as W3C demands: broken tracing must not cost anybody a change.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import JsonValue

from handlers.changes import shown_name
from handlers.errors import Problems
from handlers.instants import parse_rfc3339
from handlers.record import Headers

COMMAND_TYPE: Final = "customer.update"
MAX_ATTRIBUTE_LENGTH: Final = 1024
"""Characters of an id, source or correlation id: they are held per command and repeated in headers."""

_REQUIRED: Final = ("specversion", "id", "source", "type")
_READ: Final = frozenset({*_REQUIRED, "priority", "expirytime", "correlationid", "traceparent"})

# What CloudEvents 1.0.2 (section 3.1) disallows in a String; it keeps line breaks out of logs as well.
_is_attribute_text = re.compile(
    f"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_ATTRIBUTE_LENGTH}}}",
).fullmatch
_IDS: Final = "[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_is_traceparent = re.compile(f"(?=00){_IDS}|(?!00|ff){_IDS}(?:-[!-~]{{1,200}})?").fullmatch
_is_replay_number = re.compile("[1-9][0-9]{0,5}").fullmatch


@dataclass(slots=True)
class CommandHeaders:
    """What a record's headers say about the command in it; *replay* is 0 where it is no replay."""

    attributes: dict[str, JsonValue] = field(default_factory=dict)
    content_type: str = ""
    traceparent: str | None = None
    replayed_id: str = ""
    replay: int = 0


def read_headers(headers: Headers, problems: Problems) -> CommandHeaders:
    """Sorts out *headers*; what is repeated or no proper replay is added to *problems*.

    A header with a null value counts as absent. Of several ``traceparent`` or ``content-type`` the last one counts.
    """
    found = CommandHeaders()
    replay: dict[str, JsonValue] = {}
    for original_name, value in headers:
        name = original_name.lower()
        if value is None:
            continue
        if name.startswith("ce_") and name[3:] in _READ:
            _put_once(found.attributes, name[3:], f"header {name}", value, problems)
        elif name == "content-type":
            found.content_type = value.decode(errors="replace").strip().lower()
        elif name == "traceparent":
            found.traceparent = value.decode(errors="replace")
        elif name in ("dlq-command-id", "dlq-replay"):
            _put_once(replay, name, f"header {name}", value, problems)
    if replay:
        _read_replay(replay, found, problems)
    return found


def is_envelope(document: Mapping[str, JsonValue], content_type: str) -> bool:
    """Whether *document* is a structured-mode envelope, complete or not: by its label or by what is at its top."""
    return (
        "specversion" in document
        or "data" in document
        or "data_base64" in document
        or content_type.startswith("application/cloudevents+json")
    )


def check_header_attributes(attributes: Mapping[str, JsonValue], problems: Problems, *, is_replay: bool) -> None:
    """Adds what is wrong with the *attributes* of binary mode."""
    if any(name in attributes for name in _REQUIRED):
        _check_completeness(attributes, "header ce_", problems)
    _check_values(attributes, "header ce_", problems, is_replay=is_replay)


def envelope_attributes(
    envelope: dict[str, JsonValue], from_headers: Mapping[str, JsonValue], problems: Problems, *, is_replay: bool
) -> dict[str, JsonValue]:
    """The attributes of structured mode with those of headers beside them; adds what is wrong with either.

    An attribute that is null counts as absent (JSON format, section 2.2).
    """
    attributes: dict[str, JsonValue] = {}
    for name, value in envelope.items():
        if name in _READ:
            if value is not None:
                attributes[name] = value
        elif name in ("changes", "customer_id", "customerId"):
            problems.add("unknown_field", f"$.{name}", "in an envelope the command stands under data")
        elif name not in ("data", "data_base64") and not _is_scalar(value):
            problems.add("attribute_malformed", f"$.{shown_name(name, envelope)}", "neither list nor object, 32 bits")
    _check_completeness(attributes, "$.", problems)
    _check_values(attributes, "$.", problems, is_replay=is_replay)
    for name, value in from_headers.items():
        if name not in attributes:
            _check_values({name: value}, "header ce_", problems, is_replay=is_replay)
        elif attributes[name] != value and name != "traceparent":
            problems.add("attribute_conflict", f"header ce_{name}")
    return {**from_headers, **attributes}


def attribute_text(attributes: Mapping[str, JsonValue], name: str) -> str | None:
    """The attribute *name* where it is there and well formed as an id, source or correlation id."""
    value = attributes.get(name)
    return value if isinstance(value, str) and _is_attribute_text(value) else None


def valid_traceparent(*candidates: JsonValue) -> str | None:
    """The first of *candidates* that is a traceparent of W3C Trace Context level 1 (section 3.2)."""
    for candidate in candidates:
        if isinstance(candidate, str) and _is_traceparent(candidate):
            return candidate
    return None


def traceparent_in(headers: Headers) -> str | None:
    """The traceparent among *headers*, also of a record that is no command."""
    values = (
        value.decode(errors="replace") for name, value in reversed(headers) if name.lower() == "traceparent" and value
    )
    return valid_traceparent(*values)


def _put_once(into: dict[str, JsonValue], key: str, path: str, value: bytes, problems: Problems) -> None:
    if key in into:
        problems.add("header_repeated", path)
        return
    try:
        into[key] = value.decode()
    except UnicodeDecodeError:
        into[key] = ""  # as malformed as an empty one, whatever the attribute


def _read_replay(replay: Mapping[str, JsonValue], found: CommandHeaders, problems: Problems) -> None:
    replayed_id = attribute_text(replay, "dlq-command-id")
    number = replay.get("dlq-replay")
    if replayed_id is None:
        problems.add("replay_malformed", "header dlq-command-id")
    if not isinstance(number, str) or not _is_replay_number(number):
        problems.add("replay_malformed", "header dlq-replay")
    elif replayed_id is not None:
        found.replayed_id = replayed_id
        found.replay = int(number)


def _check_completeness(attributes: Mapping[str, JsonValue], prefix: str, problems: Problems) -> None:
    for name in _REQUIRED:
        if name not in attributes:
            problems.add("attribute_missing", f"{prefix}{name}")


def _check_values(attributes: Mapping[str, JsonValue], prefix: str, problems: Problems, *, is_replay: bool) -> None:
    for name, value in attributes.items():
        code = _flaw(name, value, is_replay=is_replay)
        if code is not None:
            most = f"1 to {MAX_ATTRIBUTE_LENGTH} characters of text" if code == "attribute_malformed" else ""
            problems.add(code, f"{prefix}{name}", most)


def _flaw(name: str, value: JsonValue, *, is_replay: bool) -> str | None:
    """Code of what is wrong with an attribute that the worker reads, if anything is."""
    if name == "specversion":
        return None if value == "1.0" else "specversion_unsupported"
    if name == "type":
        return None if value == COMMAND_TYPE else "type_unsupported"
    if name == "priority":
        return None if value in ("live", "bulk") else "priority_malformed"
    if name == "expirytime":
        # A replay does not expire, and its bytes cannot be corrected.
        is_time = isinstance(value, str) and parse_rfc3339(value) is not None
        return None if is_replay or is_time else "expirytime_malformed"
    if name == "traceparent":
        return None
    return None if isinstance(value, str) and _is_attribute_text(value) else "attribute_malformed"


def _is_scalar(value: JsonValue) -> bool:
    return value is None or isinstance(value, (str, bool)) or (isinstance(value, (int, float)) and math.isfinite(value))
