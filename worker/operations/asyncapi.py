"""The contract with publishers and subscribers as an AsyncAPI 3.0 document, headers included.

Made from the schemas and the registry that the code itself goes by. FastStream's own document knows topics and
payload types only; what publishers ask for are the headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from handlers.faults import Reason
from handlers.fields import UUID_PATTERN, FieldCase
from handlers.schema import command_schema, response_schema

_TEXT: Final[Mapping[str, Any]] = {"type": "string"}
_NUMBER: Final[Mapping[str, Any]] = {"type": "string", "pattern": "^-?[0-9]+$"}
_MOMENT: Final[Mapping[str, Any]] = {"type": "string", "format": "date-time"}
_TRACEPARENT: Final[Mapping[str, Any]] = {"type": "string", "description": "W3C Trace Context; carried on."}


def asyncapi_document(
    *,
    version: str,
    commands_topic: str,
    events_topic: str,
    dead_letter_topic: str,
    field_case: FieldCase = "snake",
) -> dict[str, Any]:
    """The document for these topics; *version* is the worker's."""
    key = {"type": "string", "pattern": f"^(?:{UUID_PATTERN})$", "description": "The customer's id."}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "customer-sync",
            "version": version,
            "description": "Applies customer-update commands to Midday and publishes what became of each.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "commands": _channel(commands_topic, "command", "Read with isolation_level=read_committed."),
            "events": _channel(events_topic, "event", "One for each command that was applied, in order per customer."),
            "deadLetters": _channel(dead_letter_topic, "deadLetter", "One for each command that cannot be applied."),
        },
        "operations": {
            "receiveCommands": _operation("receive", "commands", "command"),
            "sendEvents": _operation("send", "events", "event"),
            "sendDeadLetters": _operation("send", "deadLetters", "deadLetter"),
        },
        "components": {
            "messages": {
                "command": _message("UpdateCustomerCommand", command_headers(), command_schema(), key),
                "event": _message("UpdateCustomerResponse", event_headers(), response_schema(field_case), key),
                "deadLetter": {
                    "name": "DeadLetter",
                    "summary": "The command's key, value and headers as they were, and headers that say why.",
                    "headers": dead_letter_headers(),
                    "payload": {"description": "The bytes of the command, whatever they are."},
                    "bindings": {"kafka": {"key": {"description": "The key of the command, if it had one."}}},
                },
            }
        },
    }


def command_headers() -> dict[str, Any]:
    """The Kafka headers of a command in CloudEvents' binary mode: the first four come all or not at all."""
    required = {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {**_TEXT, "description": "The command's id; with ce_source it makes a repeated command known."},
        "ce_source": {"type": "string", "format": "uri-reference"},
        "ce_type": {"const": "customer.update"},
    }
    optional = {
        "ce_priority": {"enum": ["live", "bulk"], "default": "live"},
        "ce_expirytime": {**_MOMENT, "description": "A command not begun by then becomes a dead letter `expired`."},
        "ce_correlationid": _TEXT,
        "traceparent": _TRACEPARENT,
    }
    return {
        "type": "object",
        "properties": {**required, **optional},
        "dependentRequired": {name: [other for other in required if other != name] for name in required},
    }


def event_headers() -> dict[str, Any]:
    """The Kafka headers of an event: CloudEvents 1.0 in binary mode."""
    return _headers(
        {
            "ce_specversion": {"const": "1.0"},
            "ce_type": {"const": "customer.updated"},
            "ce_source": _TEXT,
            "ce_id": {**_TEXT, "description": "The same however often the work is repeated."},
            "ce_subject": {**_TEXT, "description": "The customer's id."},
            "ce_time": {**_MOMENT, "description": "The time of the command's record."},
            "ce_causationid": {**_TEXT, "description": "The command's id."},
            "content-type": {"const": "application/json"},
        },
        {"ce_correlationid": _TEXT, "traceparent": _TRACEPARENT},
    )


def dead_letter_headers() -> dict[str, Any]:
    """The Kafka headers of a dead letter, beside those of the command."""
    return _headers(
        {
            "dlq-reason": {"enum": [reason.value for reason in Reason]},
            "dlq-command-id": _TEXT,
            "dlq-error": {**_TEXT, "description": "What is wrong, where, and what to do; no personal values."},
            "dlq-status": {"type": "string", "pattern": "^([0-9]{3})?$", "description": "The upstream's last status."},
            "dlq-attempts": {**_NUMBER, "description": "Requests that were sent for it."},
            "dlq-topic": _TEXT,
            "dlq-partition": _NUMBER,
            "dlq-offset": _NUMBER,
            "dlq-timestamp": {**_NUMBER, "description": "Of the command's record, milliseconds since 1970."},
            "dlq-worker": _TEXT,
        },
        {"dlq-replay": {**_NUMBER, "description": "How many times it had been replayed."}},
    )


def _headers(required: Mapping[str, Any], optional: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {**required, **optional}, "required": list(required)}


def _channel(topic: str, message: str, description: str) -> dict[str, Any]:
    return {
        "address": topic,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": topic}},
    }


def _operation(action: str, channel: str, message: str) -> dict[str, Any]:
    messages: Sequence[Mapping[str, str]] = [{"$ref": f"#/channels/{channel}/messages/{message}"}]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": messages}


def _message(
    name: str, headers: Mapping[str, Any], payload: Mapping[str, Any], key: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "contentType": "application/json",
        "headers": headers,
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": payload,
        },
        "bindings": {"kafka": {"key": key}},
    }
