"""A customer as the upstream returned it, and the response that subscribers are promised.

Every 2xx answer passes through `Customer.parse`, which checks the 20 promised fields by hand: strict about types,
null only where the upstream was seen to send one, indifferent to what a newer upstream adds. `UpdateCustomerResponse`
states the same for schemas and docs; a test holds the two together.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, NoReturn, Self, cast

from pydantic import BaseModel, ConfigDict, JsonValue, WithJsonSchema

from handlers.errors import ContractViolation, Problem
from handlers.fields import CAMEL, CLEARABLE_FIELDS, FieldCase, snake_case
from handlers.instants import format_instant, parse_database_time

Number = Annotated[int | float, WithJsonSchema({"type": "number"})]


class Tag(BaseModel):
    """A tag of a customer; its name is what the upstream has stored for its id."""

    model_config = ConfigDict(strict=True)

    id: str
    name: str


class UpdateCustomerResponse(BaseModel):
    """The customer as the upstream returned it after the command was applied."""

    model_config = ConfigDict(strict=True)

    id: str
    name: str
    email: str
    phone: str | None
    website: str | None
    created_at: str
    country: str | None
    address_line1: str | None
    address_line2: str | None
    city: str | None
    state: str | None
    zip: str | None
    note: str | None
    vat_number: str | None
    country_code: str | None
    token: str
    contact: str | None
    invoice_count: Number
    project_count: Number
    tags: list[Tag]


@dataclass(frozen=True, slots=True)
class Customer:
    """A checked customer: *body* as it was sent (camelCase, all fields), *created_at* in ISO 8601 UTC."""

    body: Mapping[str, JsonValue]
    created_at: str

    @classmethod
    def parse(cls, body: bytes, *, customer_id: str | None = None) -> Self:
        """The customer in the *body* of a 2xx answer; with *customer_id*, only if it is that one.

        Raises `ContractViolation` and nothing else.
        """
        fields = _read_object(body)
        get = fields.get
        problems = [_misfit(fields, name) for name in _TEXTS if type(get(name)) is not str]
        for name in _TEXTS_OR_NULL:
            value = get(name, _MISSING)
            if value is not None and type(value) is not str:
                problems.append(_misfit(fields, name))
        problems += [_misfit(fields, name) for name in _NUMBERS if type(get(name)) not in (int, float)]
        problems += _misfits_of_tags(fields)
        created_at = get("createdAt")
        milliseconds = parse_database_time(created_at) if isinstance(created_at, str) else 0
        if milliseconds is None:
            problems.append(Problem("response_created_at", "$.createdAt"))
        elif customer_id is not None and not problems and get("id") != customer_id:
            problems.append(Problem("response_of_another", "$.id"))
        if milliseconds is None or problems:
            raise ContractViolation(tuple(problems))
        return cls(fields, format_instant(milliseconds))

    @property
    def id(self) -> str:
        """The customer's id."""
        return cast("str", self.body["id"])

    @property
    def tags(self) -> list[dict[str, str]]:
        """The customer's tags, each with its ``id`` and ``name`` and nothing else."""
        tags = cast("list[dict[str, str]]", self.body["tags"])
        return [{"id": tag["id"], "name": tag["name"]} for tag in tags]

    def response(self, *, field_case: FieldCase = "snake", keep_extra_fields: bool = False) -> dict[str, JsonValue]:
        """The 20 fields of `UpdateCustomerResponse` in the contract's order, then extra ones sorted by name."""
        camel = field_case == "camel"
        response = {(in_camel if camel else name): self.body[in_camel] for name, in_camel in CAMEL.items()}
        response["createdAt" if camel else "created_at"] = self.created_at
        response["tags"] = cast("JsonValue", self.tags)
        if keep_extra_fields:
            extra = {(name if camel else _snake_case(name)): name for name in sorted(self.body.keys() - _NAMES)}
            # A future "created_at" beside "createdAt" must not take a promised field's place.
            response |= {name: self.body[extra[name]] for name in sorted(extra.keys() - response.keys())}
        return response


_MISSING = object()
_NAMES = frozenset(CAMEL.values())
_TEXTS = ("id", "name", "email", "createdAt", "token")
_TEXTS_OR_NULL = tuple(CAMEL[name] for name in CLEARABLE_FIELDS)
_NUMBERS = ("invoiceCount", "projectCount")

_snake_case = lru_cache(maxsize=256)(snake_case)
_may_hold_lone_surrogate = re.compile(r"\\u[dD][89a-fA-F]").search


class _NotFiniteError(ValueError):
    pass


def _finite(literal: str) -> float:
    number = float(literal)
    if not math.isfinite(number):
        raise _NotFiniteError
    return number


def _refuse_constant(_: str) -> NoReturn:
    raise _NotFiniteError


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant)


def _read_object(body: bytes) -> dict[str, JsonValue]:
    # Raised outside the handler: the decoder's own error holds the whole answer, and every traceback would keep it.
    try:
        text = body.decode()
        fields: JsonValue = _DECODER.decode(text)
        if _may_hold_lone_surrogate(text):
            json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        problem = Problem("response_text", "$")
    except (ValueError, RecursionError):
        problem = Problem("response_not_json", "$")
    else:
        if isinstance(fields, dict):
            return fields
        problem = Problem("response_wrong_type", "$")
    raise ContractViolation((problem,))


def _misfit(fields: Mapping[str, object], name: str, path: str = "$") -> Problem:
    return Problem("response_wrong_type" if name in fields else "response_field_missing", f"{path}.{name}")


def _misfits_of_tags(fields: Mapping[str, JsonValue]) -> list[Problem]:
    tags = fields.get("tags")
    if not isinstance(tags, list):
        return [_misfit(fields, "tags")]
    misfits: list[Problem] = []
    for position, tag in enumerate(tags):
        path = f"$.tags[{position}]"
        if isinstance(tag, dict):
            misfits += [_misfit(tag, name, path) for name in ("id", "name") if type(tag.get(name)) is not str]
        else:
            misfits.append(Problem("response_wrong_type", path))
    return misfits
