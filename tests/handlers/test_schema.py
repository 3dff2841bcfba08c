"""The published schemas say what the code does, as far as a schema can."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it has no types of its own

from data.bad_commands import BAD_COMMANDS, BadCommand
from data.command_rows import CUSTOMER, TAG
from data.good_commands import plain
from handlers.customer import Customer
from handlers.fields import CAMEL, CHANGEABLE_FIELDS, CLEARABLE_FIELDS, RESPONSE_FIELDS, FieldCase
from handlers.schema import command_schema, response_schema
from handlers.strict_json import read

SAYABLE = {
    *(
        "customer_id_missing",
        "customer_id_malformed",
        "wrong_type",
        "unknown_field",
        "changes_missing",
        "changes_empty",
    ),
    *("null_not_allowed", "name_blank", "email_malformed", "tag_incomplete"),
}
"""Codes of problems that a JSON Schema can express."""

WITHOUT_ENVELOPE = [
    row
    for row in BAD_COMMANDS
    if not row.headers and row.value is not None and {code for code, _ in row.problems} <= SAYABLE
]


@pytest.mark.parametrize("row", WITHOUT_ENVELOPE, ids=lambda row: row.id)
def test_what_decoding_refuses_the_schema_refuses(row: BadCommand) -> None:
    """Or a publisher's editor would call a command good that ends in a dead letter."""
    assert row.value is not None
    assert not Draft202012Validator(command_schema()).is_valid(read(row.value))


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(plain(), id="the usual"),
        pytest.param({"customerId": CUSTOMER, "changes": {"vatNumber": None}}, id="camelCase"),
        pytest.param(plain({"tags": [], "name": "N", "email": "o'hara@x.ie"}), id="no tags"),
        pytest.param(plain({"tags": [{"id": TAG, "name": ""}]}), id="a tag"),
        pytest.param(plain(dict.fromkeys(CLEARABLE_FIELDS)), id="all cleared"),
    ],
)
def test_what_decoding_takes_the_schema_takes(command: dict[str, Any]) -> None:
    """And it is a valid schema itself."""
    Draft202012Validator.check_schema(command_schema())
    assert Draft202012Validator(command_schema()).is_valid(command)


def test_every_field_is_there_in_both_spellings() -> None:
    """Nothing that a command may name is missing, and nothing else is there."""
    fields = command_schema()["properties"]["changes"]["properties"]

    assert fields.keys() == {*CHANGEABLE_FIELDS, *(CAMEL[name] for name in CHANGEABLE_FIELDS)}


@pytest.mark.parametrize("field_case", ["snake", "camel"])
def test_an_event_fits_the_schema_of_its_case(field_case: FieldCase) -> None:
    """All 20 fields are required, and each has its type."""
    body = {
        **dict.fromkeys(CAMEL.values(), "x"),
        "createdAt": "2026-11-23 11:35:36+00",
        "invoiceCount": 1,
        "projectCount": 0.5,
        "tags": [{"id": TAG, "name": "VIP"}],
        "phone": None,
    }
    response = Customer.parse(json.dumps(body).encode()).response(field_case=field_case)
    schema = response_schema(field_case)

    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(response)
    assert list(schema["properties"]) == schema["required"] == list(response)
    assert len(schema["required"]) == len(RESPONSE_FIELDS)
    assert not validator.is_valid({**response, "email": None})
