"""What the rows of bad commands are made of."""

import json
from dataclasses import dataclass, field

CUSTOMER = "3f0c1d52-7a1e-4c55-9d0a-6b1f2a7c9e10"
OTHER_CUSTOMER = "9a4e7b60-1c2d-4e3f-8a5b-0c6d7e8f9a01"
TAG = "e7a9c1a2-0b3d-4f5e-9c7a-1b2c3d4e5f60"
OTHER_TAG = "c4d5e6f7-8a9b-4c0d-8e1f-2a3b4c5d6e7f"

EMAIL = "jane.roe@private.example"
PHONE = "+46701234567"
PERSON = "Jane Roe"
STREET = "Hidden Street 17"

PERSONAL = (EMAIL, PHONE, PERSON, STREET, "jane", "Hidden", CUSTOMER, OTHER_CUSTOMER, TAG, OTHER_TAG)
"""What no error text may contain. (The id of a customer has headers of its own, and identifies a person as well.)"""

Header = tuple[str, bytes | None]
Found = tuple[str, str]
"""Code and path of a problem."""


@dataclass(frozen=True)
class BadCommand:
    """One row. *command_id* is None where the id is the record's place; *customer_id* is what is still known of it."""

    id: str
    value: bytes | None
    problems: tuple[Found, ...]
    reason: str = "invalid"
    key: bytes | None = CUSTOMER.encode()
    headers: tuple[Header, ...] = ()
    command_id: str | None = None
    customer_id: str | None = field(default=CUSTOMER)


def command(changes: object, **others: object) -> bytes:
    """A plain command's value with *changes*."""
    return json.dumps({"customer_id": CUSTOMER, "changes": changes, **others}).encode()


GOOD = command({"email": EMAIL})


def binary_headers(event_id: str, **replacing: bytes | None) -> tuple[Header, ...]:
    """The headers of a good command in binary mode, with *replacing* in them; None makes a null header."""
    attributes = {
        "specversion": b"1.0",
        "id": event_id.encode(),
        "source": b"/crm",
        "type": b"customer.update",
        **replacing,
    }
    return tuple((f"ce_{name}", value) for name, value in attributes.items())


STRUCTURED: tuple[Header, ...] = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def envelope(event_id: str, **replacing: object) -> dict[str, object]:
    """A good structured-mode envelope, with *replacing* in it; a value of ... takes an attribute out."""
    attributes = {
        "specversion": "1.0",
        "id": event_id,
        "source": "/crm",
        "type": "customer.update",
        "data": {"customer_id": CUSTOMER, "changes": {"email": EMAIL}},
        **replacing,
    }
    return {name: value for name, value in attributes.items() if value is not ...}
