"""What the real service's schema says about a PATCH body: every issue at once, worded and ordered as it words them.

The service checks bodies with Zod 4 and sends ``JSON.stringify(issues, null, 2)`` inside its 400. The texts, the order
of the keys and the order of the fields here are those of the recorded answers; fields nobody recorded follow the same
schema.
"""

import json
import re
from typing import Final, TypeAlias

from pydantic import JsonValue

Issue: TypeAlias = dict[str, JsonValue]
Path: TypeAlias = list[JsonValue]

_EMAIL_PATTERN: Final = (
    r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"
)
_UUID_PATTERN: Final = (
    r"^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}"
    r"|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$"
)
# JavaScript's $ without the m flag is the end of the text; Python's also matches before a last newline.
_EMAIL: Final = re.compile(_EMAIL_PATTERN[:-1] + r"\Z")
_UUID: Final = re.compile(_UUID_PATTERN[:-1] + r"\Z")

# In the order of the schema, which is the order of the issues.
NULLABLE_TEXTS: Final = (
    "country",
    "addressLine1",
    "addressLine2",
    "city",
    "state",
    "zip",
    "phone",
    "website",
    "note",
    "vatNumber",
    "countryCode",
    "contact",
)
WRITABLE: Final = ("name", "email", "billingEmail", *NULLABLE_TEXTS)


def _refuse_constant(constant: str) -> JsonValue:
    raise ValueError(f"{constant} is no JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


class _Undefined:
    """A key that is not there; JSON has no value for it."""


_UNDEFINED: Final = _Undefined()


class MalformedJSON(ValueError):
    """The body is no JSON document."""


def parse_json(body: bytes) -> JsonValue:
    """Reads *body* as ``JSON.parse`` of its decoded text does; raises MalformedJSON."""
    try:
        # Undecodable bytes and a byte order mark go the way they go in a fetch body's text().
        document: JsonValue = _DECODER.decode(body.decode(errors="replace").removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise MalformedJSON from error
    return document


def is_email(text: str) -> bool:
    """Whether *text* passes the service's e-mail rule (ASCII, a dotted domain)."""
    return _EMAIL.match(text) is not None


def is_uuid(text: str) -> bool:
    """Whether *text* is a UUID of RFC 9562 as the service's schema understands it."""
    return _UUID.match(text) is not None


def issues(body: JsonValue) -> list[Issue]:
    """Everything that is wrong with a PATCH *body*; empty when it is accepted."""
    if not isinstance(body, dict):
        return [_wrong_type("object", body, [])]
    found: list[Issue] = []
    if "id" in body:
        found += _uuid_issues(body["id"], ["id"])
    found += _text_issues(body.get("name", _UNDEFINED), ["name"])
    email = body.get("email", _UNDEFINED)
    if isinstance(email, str):
        if not is_email(email):
            found.append(_wrong_format("email", _EMAIL_PATTERN, ["email"], "Invalid email address"))
    else:
        found.append(_wrong_type("string", email, ["email"]))
    found += _billing_email_issues(body.get("billingEmail"))
    for field in NULLABLE_TEXTS:
        value = body.get(field)
        if value is not None and not isinstance(value, str):
            found.append(_wrong_type("string", value, [field]))
    if "tags" in body:
        found += _tags_issues(body["tags"])
    return found


def zod_error(found: list[Issue]) -> bytes:
    """The 400's body for *found*."""
    message = json.dumps(found, indent=2, ensure_ascii=False)
    error = {"success": False, "error": {"name": "ZodError", "message": message}}
    return json.dumps(error, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")


def _tags_issues(tags: JsonValue) -> list[Issue]:
    if not isinstance(tags, list):
        return [_wrong_type("array", tags, ["tags"])]
    found: list[Issue] = []
    for index, tag in enumerate(tags):
        at: Path = ["tags", index]
        if isinstance(tag, dict):
            found += _uuid_issues(tag.get("id", _UNDEFINED), [*at, "id"])
            found += _text_issues(tag.get("name", _UNDEFINED), [*at, "name"])
        else:
            found.append(_wrong_type("object", tag, at))
    return found


def _text_issues(value: JsonValue | _Undefined, path: Path) -> list[Issue]:
    return [] if isinstance(value, str) else [_wrong_type("string", value, path)]


def _uuid_issues(value: JsonValue | _Undefined, path: Path) -> list[Issue]:
    if not isinstance(value, str):
        return [_wrong_type("string", value, path)]
    return [] if is_uuid(value) else [_wrong_format("uuid", _UUID_PATTERN, path, "Invalid UUID")]


def _billing_email_issues(value: JsonValue) -> list[Issue]:
    if value is None:
        return []
    if not isinstance(value, str):
        return [_wrong_type("string", value, ["billingEmail"])]
    addresses = [address.strip() for address in value.split(",") if address.strip()]
    distinct = len({address.lower() for address in addresses}) == len(addresses)
    if distinct and all(_is_billing_email(address) for address in addresses):
        return []
    return [{"code": "custom", "path": ["billingEmail"], "message": "All billing emails must be valid and unique"}]


def _is_billing_email(address: str) -> bool:
    """The looser rule of billing addresses: one @, a dotted domain, no blanks."""
    local, at, domain = address.partition("@")
    return (
        bool(at)
        and 0 < len(local) <= 64
        and "@" not in domain
        and len(address) <= 254
        and not re.search(r"\s", address)
        and 0 < domain.rfind(".") < len(domain) - 1
    )


def _wrong_type(expected: str, value: JsonValue | _Undefined, path: Path) -> Issue:
    return {
        "expected": expected,
        "code": "invalid_type",
        "path": path,
        "message": f"Invalid input: expected {expected}, received {_type_name(value)}",
    }


def _wrong_format(name: str, pattern: str, path: Path, message: str) -> Issue:
    return {
        "origin": "string",
        "code": "invalid_format",
        "format": name,
        "pattern": f"/{pattern}/",
        "path": path,
        "message": message,
    }


def _type_name(value: JsonValue | _Undefined) -> str:
    match value:
        case _Undefined():
            return "undefined"
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
