"""Commands and customers as tests need them: everything that a test does not name is plausible and plain."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from handlers.command import Command, Priority
from handlers.customer import Customer
from handlers.record import CommandRecord, Headers

TOPIC = "customer.update"
TIMESTAMP_MS = 1_764_000_000_000


def customer_id(number: int) -> str:
    """The id of customer *number*."""
    return f"00000000-0000-4000-8000-{number:012d}"


def a_command(
    offset: int,
    changes: Mapping[str, JsonValue] | None = None,
    *,
    customer: int = 0,
    priority: Priority = Priority.LIVE,
    expires_at_ms: int | None = None,
    partition: int = 0,
) -> Command:
    """A checked command; *changes* by default name its offset, so that no two are alike."""
    changes = changes if changes is not None else {"note": f"as of {offset}"}
    return Command(
        id=f"{TOPIC}:{partition}:{offset}",
        source=None,
        customer_id=customer_id(customer),
        changes=changes,
        priority=priority,
        expires_at_ms=expires_at_ms,
        traceparent=None,
        correlation_id=None,
        replay=0,
        record=a_record(offset, changes, customer=customer, partition=partition),
    )


def a_record(
    offset: int,
    changes: Mapping[str, JsonValue] | None = None,
    *,
    customer: int = 0,
    partition: int = 0,
    value: bytes | None = None,
    headers: Headers = (),
) -> CommandRecord:
    """The record of a command, or of *value* where that is no command."""
    key = customer_id(customer)
    if value is None:
        changes = changes if changes is not None else {"note": f"as of {offset}"}
        value = json.dumps({"customer_id": key, "changes": dict(changes)}).encode()
    return CommandRecord(TOPIC, partition, offset, TIMESTAMP_MS, key.encode(), value, headers)


def a_body(customer: int = 0, fields: Mapping[str, JsonValue] | None = None) -> dict[str, JsonValue]:
    """The upstream's JSON for a customer: the 20 fields in camelCase, *fields* replaced."""
    return {
        "id": customer_id(customer),
        "name": "Acme",
        "email": "billing@acme.example",
        "phone": None,
        "website": None,
        "createdAt": "2026-11-23 11:35:36.39042+00",
        "country": None,
        "addressLine1": None,
        "addressLine2": None,
        "city": None,
        "state": None,
        "zip": None,
        "note": None,
        "vatNumber": None,
        "countryCode": None,
        "token": "",
        "contact": None,
        "invoiceCount": 0,
        "projectCount": 0,
        "tags": [],
        **(fields or {}),
    }


def a_customer(customer: int = 0, fields: Mapping[str, JsonValue] | None = None) -> Customer:
    """A customer as the upstream returned it."""
    return Customer.parse(json.dumps(a_body(customer, fields)).encode())


def offsets(commands: Sequence[Command]) -> list[int]:
    """Which commands these are."""
    return [command.record.offset for command in commands]
