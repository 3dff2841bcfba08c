"""The names of a customer's fields, in the contract's snake_case and in the upstream API's camelCase."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

FieldCase = Literal["snake", "camel"]

# RFC 9562: a version from 1 to 8 and the variant 10xx, or the nil or the max UUID. The upstream answers 500 to others.
UUID_PATTERN = (
    "[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    "|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff"
)
is_uuid = re.compile(UUID_PATTERN).fullmatch
"""Matches a UUID in the form of RFC 9562, in lower case."""

RESPONSE_FIELDS = (
    *("id", "name", "email", "phone", "website", "created_at", "country", "address_line1", "address_line2", "city"),
    *("state", "zip", "note", "vat_number", "country_code", "token", "contact", "invoice_count", "project_count"),
    "tags",
)
"""The 20 fields of an ``UpdateCustomerResponse``, in the order in which events carry them."""

CLEARABLE_FIELDS = (
    *("country", "address_line1", "address_line2", "city", "state", "zip", "phone", "website", "note", "vat_number"),
    *("country_code", "contact"),
)
"""Fields that a command may set to a text or clear with null."""

CHANGEABLE_FIELDS = ("name", "email", *CLEARABLE_FIELDS, "tags")
"""Fields that a command may name in its ``changes``."""

_CAPITAL = re.compile("(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def shown_customer(key: bytes | None) -> str:
    """The customer's id that a record's key is; where it is none it may be anything, also an e-mail address."""
    text = (key or b"").decode(errors="replace")
    return text if is_uuid(text) else "(no customer's id)" if text else "(no key)"


def camel_case(name: str) -> str:
    """``address_line1`` → ``addressLine1``."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def snake_case(name: str) -> str:
    """``addressLine1`` → ``address_line1``, ``vatIDNumber`` → ``vat_id_number``."""
    return _CAPITAL.sub("_", name).lower()


CAMEL: Mapping[str, str] = MappingProxyType({name: camel_case(name) for name in RESPONSE_FIELDS})
"""The API's name of each of the 20 fields."""

SNAKE: Mapping[str, str] = MappingProxyType(
    {spelling: name for name in CHANGEABLE_FIELDS for spelling in (name, CAMEL[name])}
)
"""The contract's name of each changeable field, from either spelling."""
