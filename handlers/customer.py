"""A customer as the upstream returned it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, JsonValue

FieldCase = Literal["snake", "camel"]


class UpdateCustomerResponse(BaseModel):
    """The value of an event: the 20 fields, all present."""


@dataclass(frozen=True, slots=True)
class Customer:
    """A checked 200 body: *body* as it was sent (camelCase, all fields), *created_at* in ISO 8601 UTC."""

    body: Mapping[str, JsonValue]
    created_at: str

    @classmethod
    def parse(cls, body: bytes, *, customer_id: str | None = None) -> Self:
        """Checks the *body* of a 2xx answer; with *customer_id* also that it is that customer's.

        Raises `ContractViolation` and nothing else.
        """
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The customer's id."""
        raise NotImplementedError

    def response(self, *, field_case: FieldCase = "snake", keep_extra_fields: bool = False) -> dict[str, JsonValue]:
        """The 20 fields of `UpdateCustomerResponse` in the contract's order, then the extra ones sorted by name."""
        raise NotImplementedError
