"""The control endpoint's JSON: checked as a whole, then put into force as a whole.

What is named replaces what was; what is not named stays. Where anything is wrong nothing changes.
"""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from worker.demo.upstream.access import Account
from worker.demo.upstream.customers import canonical_id
from worker.demo.upstream.faults import Rule, Seconds


def _checked_id(text: str) -> str:
    if canonical_id(text) is None:
        raise ValueError("an id is a UUID")
    return text


_Id = Annotated[str, AfterValidator(_checked_id)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Tag(_Strict):
    """A tag that exists."""

    id: _Id
    name: str


class GivenCustomer(BaseModel):
    """A customer in the form of an answer. What is left out is empty.

    Unknown keys are kept and other types are not checked, so that a test can hold what the service never sends.
    """

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    id: _Id
    tags: tuple[Tag, ...] = ()


class GivenAccount(_Strict):
    """Whose a token is and what it may do. Without *user* it is a user of its own."""

    user: str | None = None
    scopes: tuple[str, ...]


class Control(_Strict):
    """Everything that ``POST /control`` can replace; ``model_fields_set`` says what was named."""

    customers: tuple[GivenCustomer, ...] = ()
    generate_customers: int = Field(default=0, ge=0, le=10_000_000)
    tags_known: tuple[Tag, ...] = ()
    rate_limit: int | None = Field(default=None, ge=0)
    rate_window_seconds: float = Field(default=600.0, gt=0, le=86_400, allow_inf_nan=False)
    tokens: dict[str, GivenAccount | tuple[str, ...]] = {}
    latency_seconds: Seconds = 0.0
    faults: tuple[Rule, ...] = ()
    restart: bool = False

    @field_validator("customers", "tags_known")
    @classmethod
    def _each_once(
        cls, given: tuple[GivenCustomer, ...] | tuple[Tag, ...]
    ) -> tuple[GivenCustomer, ...] | tuple[Tag, ...]:
        if len({canonical_id(one.id) for one in given}) < len(given):
            raise ValueError("an id is named twice")
        return given

    def accounts(self) -> dict[str, Account]:
        """The tokens as the service keeps them."""
        accounts = {}
        for number, (token, given) in enumerate(self.tokens.items(), start=1):
            user = given.user if isinstance(given, GivenAccount) else None
            scopes = given.scopes if isinstance(given, GivenAccount) else given
            accounts[token] = Account(user or f"user-{number}", scopes)
        return accounts

    def rows(self) -> list[Mapping[str, JsonValue]]:
        """The customers as the store takes them."""
        return [customer.model_dump(exclude_unset=True, mode="json") for customer in self.customers]


class ControlRefused(Exception):
    """The control JSON cannot be put into force; *problems* says each fault as ``path: what is wrong``."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("control refused, nothing was changed: " + "; ".join(problems))
        self.problems: Final = problems


def parse_control(body: bytes | str) -> Control:
    """Reads the body of ``POST /control``; raises ControlRefused with all problems."""
    try:
        return Control.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        raise ControlRefused(
            tuple(f"{'.'.join(('$', *map(str, problem['loc'])))}: {problem['msg']}" for problem in problems)
        ) from error
