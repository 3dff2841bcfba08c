"""The simulated upstream without its network: a request in, the answer the real service was recorded to give.

The order of the checks is the service's: credentials (401, uncounted), the user's window (429), the route (404), the
scope (403), the body (400), and only then the customer. The errors come in four forms, told apart by their content
types.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote

from worker.demo.upstream.access import DEFAULT_TOKENS, Account, Count, RateWindows, Unauthorized, authenticate
from worker.demo.upstream.customers import Customers, Unreadable, canonical_id
from worker.demo.upstream.validation import MalformedJSON, issues, parse_json, zod_error

_JSON: Final = "application/json"
_OCTETS: Final = "application/octet-stream"
_TEXT: Final = "text/plain; charset=UTF-8"
_JSON_TYPE: Final = re.compile(r"application/([a-z.-]+\+)?json(;\s*[a-zA-Z0-9-]+=[^;]+)*\Z")
_INTERNAL_ERROR: Final = b'{"error":"Internal Server Error"}'
_ROUTE: Final = "/customers/"
_SCOPES: Final = MappingProxyType({"GET": "customers.read", "PATCH": "customers.write"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, and whether a PATCH changed (*applied*) or made (*created*) a customer, whatever the status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    applied: bool = False
    created: bool = False


def customer_id_in(path: str) -> str | None:
    """The customer id of a request path without its query, as it was sent but decoded; None on any other route."""
    segment = path.removeprefix(_ROUTE)
    if not segment or "/" in segment or not path.startswith(_ROUTE):
        return None
    return unquote(segment)


class Service:
    """Keys, windows and customers behind ``GET`` and ``PATCH /customers/{id}``. *now*: monotonic seconds throughout."""

    def __init__(self, rate_limit: int | None, rate_window_seconds: float) -> None:
        self.tokens: dict[str, Account] = dict(DEFAULT_TOKENS)
        self.windows = RateWindows(rate_limit, rate_window_seconds)
        self.customers = Customers()

    def answer(
        self,
        method: str,
        customer_id: str | None,
        *,
        authorization: str | None,
        content_type: str | None,
        body: bytes,
        now: float,
    ) -> Answer:
        """Carries out one request. *customer_id* as ``customer_id_in`` gives it."""
        admitted = self.admit(authorization, now)
        if isinstance(admitted, Answer):
            return admitted
        account, count = admitted
        scope = _SCOPES.get(method)
        if customer_id is None or scope is None:
            return Answer(404, self.headers(_TEXT, count), b"404 Not Found")
        if scope not in account.scopes:
            return Answer(403, self.headers(_JSON, count), _forbidden(scope, account))
        if method == "GET":
            return self._get(customer_id, count)
        return self._patch(customer_id, content_type, body, count, now)

    def admit(self, authorization: str | None, now: float) -> tuple[Account, Count | None] | Answer:
        """Authenticates and counts a request; an Answer where that ends it (401, 429)."""
        account = authenticate(authorization, self.tokens)
        if isinstance(account, Unauthorized):
            return Answer(401, {"content-type": _OCTETS}, account.message.encode())
        count = self.windows.count(account.user, now)
        if count is not None and count.exceeded:
            headers = {**self.headers(_TEXT, count), "Retry-After": str(count.reset_seconds)}
            return Answer(429, headers, b"Rate limit exceeded")
        return account, count

    def headers(self, content_type: str, count: Count | None) -> dict[str, str]:
        """Content type and the figures of the limit, spelled as the service spells them.

        Names come in capitals, but in lower case on answers that the service throws rather than returns (plain text as
        ``application/octet-stream``). A client must not care; this shows whether it does.
        """
        if count is None:
            return {"content-type": content_type}
        if content_type == _OCTETS:
            return {
                "ratelimit-limit": str(count.limit),
                "ratelimit-policy": self.windows.policy,
                "ratelimit-remaining": str(count.remaining),
                "ratelimit-reset": str(count.reset_seconds),
                "content-type": content_type,
            }
        return {
            "Content-Type": content_type,
            "RateLimit-Policy": self.windows.policy,
            "RateLimit-Limit": str(count.limit),
            "RateLimit-Remaining": str(count.remaining),
            "RateLimit-Reset": str(count.reset_seconds),
        }

    def _get(self, customer_id: str, count: Count | None) -> Answer:
        known_id = canonical_id(customer_id)
        if known_id is None:
            return self._internal_error(count)
        try:
            body = self.customers.read(known_id)
        except Unreadable:
            return self._internal_error(count)
        if body is None:
            return Answer(404, self.headers(_OCTETS, count), b"Customer not found")
        return Answer(200, self.headers(_JSON, count), body)

    def _patch(
        self, customer_id: str, content_type: str | None, body: bytes, count: Count | None, now: float
    ) -> Answer:
        try:
            document = parse_json(body) if _is_json(content_type) else {}
        except MalformedJSON:
            return Answer(400, self.headers(_OCTETS, count), b"Malformed JSON in request body")
        if found := issues(document):
            return Answer(400, self.headers(_JSON, count), zod_error(found))
        known_id = canonical_id(customer_id)
        if known_id is None or not isinstance(document, dict):
            return self._internal_error(count)
        written = self.customers.write(known_id, document, now)
        if written.body is None:
            return self._internal_error(count, applied=written.applied, created=written.created)
        return Answer(200, self.headers(_JSON, count), written.body, written.applied, written.created)

    def _internal_error(self, count: Count | None, *, applied: bool = False, created: bool = False) -> Answer:
        return Answer(500, self.headers(_JSON, count), _INTERNAL_ERROR, applied, created)


def _is_json(content_type: str | None) -> bool:
    """Whether the service parses a body of this type; of any other it sees ``{}``."""
    return content_type is not None and _JSON_TYPE.match(content_type) is not None


def _forbidden(scope: str, account: Account) -> bytes:
    held = ", ".join(account.scopes)
    description = f"Insufficient permissions. Required scopes: {scope}. Your scopes: {held}"
    return json.dumps({"error": "Forbidden", "description": description}, separators=(",", ":")).encode()
