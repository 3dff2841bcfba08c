"""What a whole HTTP answer means: status, headers and body in, one `Answer` out. Pure.

The table below is the contract's; where the contract is silent the decision stands beside it:

| status | answer |
|---|---|
| 200 with the customer that was asked for | Ok |
| 200 with anything else, any other 2xx | ContractBroken: a 201 says that a customer was created, a 204 shows none |
| 3xx, 401, 403, 407 | DeploymentFault; 407 comes from a proxy that nobody configured |
| 404 of a GET | NotFound |
| 408 | Unavailable: the upstream gave up waiting for the request |
| 429 | RateLimited |
| every other 4xx, also the 404 of a PATCH | Rejected: the customer was there a moment ago, the next GET finds out |
| 5xx | Unavailable |
| anything else | Unavailable, `protocol`: no status that HTTP knows |
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from handlers.customer import Customer
from handlers.errors import ContractViolation
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    Ok,
    Quota,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)
from worker.upstream.rate_limit_headers import quota_from, retry_after_seconds
from worker.upstream.safe_text import LIMIT_CHARACTERS, is_name, safe_text


@dataclass(frozen=True, slots=True)
class Sent:
    """The request, as far as it matters for its answer."""

    request: Request
    customer_id: str
    token: str = field(repr=False)
    body: Mapping[str, object] = field(repr=False)
    """What a PATCH carried; empty for a GET."""
    known: Mapping[str, object] = field(default_factory=dict, repr=False)
    """The customer as it was read before; empty for a GET."""

    def values(self) -> Iterator[str]:
        """Every text that an answer may repeat, as far as it is known: what was sent, and what is stored."""
        yield self.token
        yield from _texts(self.body.values())
        yield from _texts(self.known.values())


@dataclass(frozen=True, slots=True)
class Received:
    """A whole answer. *headers* must find a name in whatever case it was sent."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    ends_with_connection: bool = False
    """Neither a length nor chunks said where the body ends, so that a lost connection looks like its end."""


def interpret(sent: Sent, received: Received) -> Answer:
    """The one answer that *received* is to *sent*. Never raises, whatever the body holds."""
    quota = quota_from(received.headers)
    match received.status:
        case 200:
            return _customer(sent, received, quota)
        case status if 200 < status < 300:
            return ContractBroken(status, "only a 200 carries a customer", quota)
        case status if 300 <= status < 400:
            return DeploymentFault(status, _redirect(received.headers), quota)
        case 401 | 403 | 407 as status:
            return DeploymentFault(status, _reason(sent, received), quota)
        case 404 if sent.request is Request.GET:
            return NotFound(quota)
        case 408:
            return Unavailable(408, "status", quota)
        case 429:
            return RateLimited(retry_after_seconds(received.headers), quota)
        case status if 400 <= status < 500:
            return _rejected(sent, received, quota)
        case status if 500 <= status < 600:
            return Unavailable(status, "status", quota)
        case _:
            return Unavailable(None, "protocol", quota)


def _customer(sent: Sent, received: Received, quota: Quota | None) -> Answer:
    if "content-encoding" in received.headers and received.headers["content-encoding"].lower() != "identity":
        return ContractBroken(200, "the body is compressed although the request ruled that out", quota)
    try:
        return Ok(Customer.parse(received.body, customer_id=sent.customer_id), quota)
    except ContractViolation as violation:
        if received.ends_with_connection and not received.body.rstrip().endswith(b"}"):
            return Unavailable(None, "connection_lost", quota)
        return ContractBroken(200, safe_text(str(violation), sent.values()), quota)


def _redirect(headers: Mapping[str, str]) -> str:
    """Names the host alone: the rest of an address may carry anything."""
    try:
        host = urlsplit(headers.get("location", "")).hostname
    except ValueError:  # brackets that are no IPv6 address
        host = None
    return f"redirects to {safe_text(host)}, which is not followed" if host else "redirects, which is not followed"


def _rejected(sent: Sent, received: Received, quota: Quota | None) -> Rejected:
    if sent.request is Request.GET:
        # What it says can only be about the customer, and of that nothing is known yet that could be taken out.
        return Rejected(received.status, _no_reason(received), frozenset(), quota)
    issues = list(_zod_issues(received.body))
    if not issues:
        return Rejected(received.status, _reason(sent, received), frozenset(), quota)
    values = list(sent.values())
    message = "; ".join(f"{issue.place}: {safe_text(issue.message, values) or 'refused'}" for issue in issues)
    fields = frozenset(issue.field for issue in issues if issue.field is not None)
    return Rejected(received.status, _bounded(message), fields, quota)


def _reason(sent: Sent, received: Received) -> str:
    """The upstream's own words, as far as they can be shown: `{"error", "description"}` or plain text."""
    document = _json(received.body)
    match document:
        case {"error": str(error), "description": str(description)}:
            text = f"{error}: {description}"
        case {"error": str(error)}:
            text = error
        case None if "html" not in received.headers.get("content-type", "") and not received.body.startswith(b"<"):
            text = received.body.decode("utf-8", "replace")
        case _:
            text = ""
    return safe_text(text, sent.values()) or _no_reason(received)


def _no_reason(received: Received) -> str:
    return f"no reason that can be shown ({len(received.body)} bytes)"


@dataclass(frozen=True, slots=True)
class _Issue:
    """One entry of a ZodError: where and why."""

    field: str | None
    """The body's field, in camelCase; None where the body as a whole is refused."""
    place: str
    message: str


def _zod_issues(body: bytes) -> Iterator[_Issue]:
    """The issues of `{"success": false, "error": {"name": "ZodError", "message": "<JSON array in a string>"}}`."""
    match _json(body):
        case {"error": {"message": str(message)}}:
            issues = _json(message.encode("utf-8", "replace"))
        case _:
            return
    if not isinstance(issues, list):
        return
    for issue in issues:
        match issue:
            case {"path": list(path), "message": str(text)}:
                names = [
                    str(step) for step in path if isinstance(step, int) or (isinstance(step, str) and is_name(step))
                ]
                field = path[0] if path and isinstance(path[0], str) and is_name(path[0]) else None
                yield _Issue(field, ".".join(names) or "the body", text)
            case _:
                continue


def _json(body: bytes) -> object:
    """The document in *body*; None where there is none, and for JSON's own null."""
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, a number of absurd length; nested without end
        return None
    return document


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        match value:
            case str():
                yield value
            case Mapping():
                yield from _texts(value.values())
            case list() | tuple():
                yield from _texts(value)
            case _:
                continue


def _bounded(text: str) -> str:
    return text if len(text) <= LIMIT_CHARACTERS else text[: LIMIT_CHARACTERS - 1] + "…"
