"""What a request to the upstream can come to, grouped by what the caller must do next.

Whatever the network or the upstream does ends in exactly one of these. None of them holds a value that may be
personal, except `Ok`, whose customer is the purpose of the request.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from handlers.customer import Customer


class Request(StrEnum):
    """The two kinds of request that a turn may send."""

    GET = "GET"
    PATCH = "PATCH"


Cause = Literal["status", "timeout", "connect", "tls", "connection_lost", "protocol", "response_too_large"]
"""Why nothing usable came back.

- `status`: a whole answer came, and it was a 5xx or a 408.
- `timeout`: the deadline passed, or the upstream fell silent. The request may have been carried out.
- `connect`: no connection came about (refused, no such name, too slow). The request was not sent.
- `tls`: a connection came about, but not to somebody whose certificate can be trusted. The request was not sent.
- `connection_lost`: the connection ended before the whole answer was there. The request may have been carried out.
- `protocol`: what came back is not HTTP. The request may have been carried out.
- `response_too_large`: the answer's body went beyond the client's bound and was dropped.
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """The upstream's account of the current rate limit window, from the `RateLimit-*` headers of an answer."""

    limit: int
    """Requests in one window, at least 1."""
    remaining: int
    """Requests left of it, 0 or more."""
    window_seconds: float
    """Length of the window."""
    reset_seconds: float
    """Time until the next window as of this answer, between 0 and *window_seconds*."""


@dataclass(frozen=True, slots=True)
class Ok:
    """The customer as the upstream holds it now; after a PATCH this is a later read and no echo of what was sent."""

    kind: ClassVar = "ok"
    status: ClassVar = 200
    customer: Customer = field(repr=False)
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class NotFound:
    """A GET's 404: nobody, or nobody this token may see, has this id. A PATCH would create a customer."""

    kind: ClassVar = "not_found"
    status: ClassVar = 404
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The upstream understood the request and refuses it (400, 409, 422 and every 4xx without a class of its own).

    *fields* are the refused fields in the API's camelCase, empty where the answer names none.
    """

    kind: ClassVar = "rejected"
    status: int
    message: str
    fields: frozenset[str] = frozenset()
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """429: nothing was done, and nothing will be for *retry_after_seconds* (1 to 3,600)."""

    kind: ClassVar = "rate_limited"
    status: ClassVar = 429
    retry_after_seconds: float
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No usable answer: 5xx, 408, or trouble on the way. A PATCH may have been carried out, wholly or in part.

    *status* is None where no status line arrived.
    """

    status: int | None
    cause: Cause
    quota: Quota | None = None

    @property
    def kind(self) -> str:
        """One word for it, as for every answer: why nothing usable came."""
        return "server_error" if self.cause == "status" else self.cause

    @property
    def may_be_the_commands_fault(self) -> bool:
        """Only a 500 can be: every poisonous request that was met upstream got a 500, never another 5xx."""
        return self.status == 500 and self.cause == "status"


@dataclass(frozen=True, slots=True)
class DeploymentFault:
    """401, 403, 407 or a redirect: token, scope or address are wrong, for every customer alike."""

    kind: ClassVar = "deployment_fault"
    status: int
    message: str
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class ContractBroken:
    """A 2xx that is not the `UpdateCustomerResponse` of the customer asked for; a PATCH has probably been applied."""

    kind: ClassVar = "contract_broken"
    status: int
    message: str
    quota: Quota | None = None


Answer = Ok | NotFound | Rejected | RateLimited | Unavailable | DeploymentFault | ContractBroken
