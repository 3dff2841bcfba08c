"""What the worker would do with a command that it took up now, by the worker's own functions; sends a GET at most.

The worker may come to another end all the same: others edit the customer meanwhile, commands that wait are applied
before this one or together with it, and what the upstream says to the PATCH nobody knows before it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, assert_never

from pydantic import JsonValue

from handlers.command import Command, decode
from handlers.customer import Customer
from handlers.errors import CommandRefused
from handlers.merge import patch_body
from handlers.record import CommandRecord
from worker.fold import Dead, Fold, Retry, Settled
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    Ok,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)


@dataclass(frozen=True, slots=True)
class Apply:
    """It would be applied: *body* is that of the PATCH, None where nothing would have to change."""

    command: Command
    customer: Customer
    body: Mapping[str, JsonValue] | None

    def differs(self, field: str) -> bool:
        """Whether the command asks for another value of *field* (snake_case) than the customer has."""
        return patch_body(self.customer, {field: self.command.changes[field]}) is not None

    @property
    def requests(self) -> int:
        """What it would cost of the upstream's limit."""
        return 1 if self.body is None else 2


@dataclass(frozen=True, slots=True)
class Refuse:
    """It would become a dead letter with this reason and this error, after so many requests."""

    reason: str
    error: str
    status: int | None
    requests: int


@dataclass(frozen=True, slots=True)
class Wait:
    """The worker would neither apply nor refuse it now; *answer* is what it waits about."""

    answer: RateLimited | Unavailable | DeploymentFault


Plan = Apply | Refuse | Wait


class Reads(Protocol):
    """What a plan needs of the upstream client: it has no way to write."""

    async def get(self, customer_id: str) -> Answer:
        """Reads one customer."""


async def plan_of(record: CommandRecord, upstream: Reads, *, now_ms: int) -> Plan:
    """What would become of *record*, taken up at *now_ms* (milliseconds since 1970)."""
    try:
        command = decode(record)
    except CommandRefused as refused:
        return Refuse(refused.reason, str(refused), None, requests=0)
    fold = Fold([command])
    fold.expire(now_ms)
    if not fold.changes():
        return _refusal(fold.decided(), requests=0)
    answer = await upstream.get(command.customer_id)
    match answer:
        case Ok(customer=customer):
            return Apply(command, customer, patch_body(customer, fold.changes()))
        case NotFound():
            return _refusal(fold.not_found(), requests=1)
        case ContractBroken():
            return _refusal(fold.contract_broken(answer), requests=1)
        case Rejected():
            return _refusal(fold.rejected(answer, Request.GET), requests=1)
        case RateLimited() | Unavailable() | DeploymentFault():
            return Wait(answer)
    assert_never(answer)


def _refusal(verdict: Settled | Retry, *, requests: int) -> Refuse:
    """The dead letter of a fold of one command."""
    match verdict:
        case Settled(fates=[Dead() as dead]):
            return Refuse(dead.reason, dead.error, dead.status, requests)
        case _:
            raise AssertionError(verdict)
