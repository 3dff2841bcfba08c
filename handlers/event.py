"""The event of an applied command: CloudEvents 1.0 in binary mode.

Byte for byte the same for the same command and the same answer, however often the work is repeated: the id comes from
the command, the time from the command's record, and fields and headers have a fixed order.
"""

import uuid
from dataclasses import dataclass

from pydantic_core import to_json

from handlers.command import Command
from handlers.customer import Customer
from handlers.fields import FieldCase
from handlers.instants import format_instant
from handlers.record import OutcomeKind, OutcomeRecord

EVENT_TYPE = "customer.updated"

_EVENT_IDS = uuid.uuid5(uuid.NAMESPACE_DNS, EVENT_TYPE)


@dataclass(frozen=True, slots=True)
class EventFormat:
    """How events are written; *source* is their ``ce_source``."""

    field_case: FieldCase = "snake"
    keep_extra_fields: bool = False
    source: str = "customer-sync"


def event_value(customer: Customer, event_format: EventFormat) -> bytes:
    """The event's value: compact JSON in UTF-8. One value serves all commands of a fold."""
    fields = customer.response(field_case=event_format.field_case, keep_extra_fields=event_format.keep_extra_fields)
    return to_json(fields)


def event_id(command: Command) -> str:
    """The event's ``ce_id``, a UUID of version 5 over the command's source, id and number of replays."""
    source = "" if command.source is None else command.source
    # The length keeps source and id apart, whatever characters they contain.
    return str(uuid.uuid5(_EVENT_IDS, f"{len(source)}:{source}:{command.id}:{command.replay}"))


def event_record(
    command: Command,
    customer: Customer,
    event_format: EventFormat,
    *,
    value: bytes | None = None,
    traceparent: str | None = None,
) -> OutcomeRecord:
    """The event of *command*; pass *value* from `event_value` where several commands share one answer.

    Its ``traceparent`` is that of the command, or *traceparent*, which continues it.
    """
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", EVENT_TYPE.encode()),
        ("ce_source", event_format.source.encode()),
        ("ce_id", event_id(command).encode()),
        ("ce_subject", command.customer_id.encode()),
        # A record without a timestamp has -1.
        ("ce_time", format_instant(max(command.record.timestamp_ms, 0)).encode()),
        ("ce_causationid", command.id.encode()),
    ]
    if command.correlation_id is not None:
        headers.append(("ce_correlationid", command.correlation_id.encode()))
    headers.append(("content-type", b"application/json"))
    continued = traceparent or command.traceparent
    if continued is not None:
        headers.append(("traceparent", continued.encode()))
    return OutcomeRecord(
        OutcomeKind.EVENT,
        command.customer_id.encode(),
        event_value(customer, event_format) if value is None else value,
        tuple(headers),
    )
