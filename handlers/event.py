"""The event of an applied command."""

from dataclasses import dataclass

from handlers.command import Command
from handlers.customer import Customer, FieldCase
from handlers.record import OutcomeRecord


@dataclass(frozen=True, slots=True)
class EventFormat:
    """How events are written: *source* is their ``ce_source``."""

    field_case: FieldCase = "snake"
    keep_extra_fields: bool = False
    source: str = "customer-sync"


def event_value(customer: Customer, event_format: EventFormat) -> bytes:
    """The event's value; one value serves all commands of a fold."""
    raise NotImplementedError


def event_record(
    command: Command, customer: Customer, event_format: EventFormat, *, value: bytes | None = None
) -> OutcomeRecord:
    """The event of *command*. Pass *value* from `event_value` where several commands share one answer."""
    raise NotImplementedError
