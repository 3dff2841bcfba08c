"""JSON Schemas (2020-12) of what goes in and what comes out, made from the tables that the code itself goes by.

A schema cannot say everything: that key and customer id agree, that a field is not in both spellings, that no tag
repeats. `handlers.command.decode` decides; the schemas are for publishers' editors and subscribers' code generators.
"""

from typing import Any

from handlers.changes import EMAIL_PATTERN
from handlers.customer import UpdateCustomerResponse
from handlers.fields import CAMEL, CHANGEABLE_FIELDS, UUID_PATTERN, FieldCase

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def command_schema() -> dict[str, Any]:
    """The schema of a command's value: plain JSON, or ``data`` of a CloudEvents envelope."""
    fields = {spelling: _field_schema(name) for name in CHANGEABLE_FIELDS for spelling in (name, CAMEL[name])}
    customer_id = {"type": "string", "pattern": _whole(UUID_PATTERN), "description": "The same as the record's key."}
    return {
        "$schema": _DIALECT,
        "title": "UpdateCustomerCommand",
        "description": "What is left out stays as it is; null clears. Names in snake_case or in camelCase, not both.",
        "type": "object",
        "properties": {
            "customer_id": customer_id,
            "customerId": customer_id,
            "changes": {"type": "object", "properties": fields, "additionalProperties": False, "minProperties": 1},
        },
        "required": ["changes"],
        "oneOf": [{"required": ["customer_id"]}, {"required": ["customerId"]}],
        "additionalProperties": False,
    }


def response_schema(field_case: FieldCase = "snake") -> dict[str, Any]:
    """The schema of an event's value."""
    schema = UpdateCustomerResponse.model_json_schema()
    if field_case == "camel":
        schema["properties"] = {CAMEL[name]: value for name, value in schema["properties"].items()}
        schema["required"] = [CAMEL[name] for name in schema["required"]]
    return {"$schema": _DIALECT, **schema}


def _field_schema(name: str) -> dict[str, Any]:
    if name == "name":
        return {"type": "string", "pattern": r"\S"}
    if name == "email":
        return {"type": "string", "pattern": _whole(EMAIL_PATTERN)}
    if name == "tags":
        tag = {
            "type": "object",
            "properties": {"id": {"type": "string", "format": "uuid"}, "name": {"type": "string"}},
            "required": ["id", "name"],
            "additionalProperties": False,
        }
        return {"type": "array", "items": tag, "uniqueItems": True, "description": "Replaces the whole set."}
    return {"type": ["string", "null"]}


def _whole(pattern: str) -> str:
    # Some engines let "$" match before a line break at the end, against ECMA-262 that the standard refers to.
    return f"^(?:{pattern})$(?!\\n)"
