"""Who may ask, and how often: API keys with their scopes, and the fixed window of requests each user has.

The window starts with a user's first request and is counted over all of the user's keys; requests refused with 429 do
not prolong it. The counters are in memory: a restart of the service zeroes them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RW_TOKEN: Final = "mid_" + "a" * 64
RO_TOKEN: Final = "mid_" + "b" * 64
NONE_TOKEN: Final = "mid_" + "c" * 64
_TOKEN_LENGTH: Final = 68


@dataclass(frozen=True, slots=True)
class Account:
    """What an API key stands for. *scopes* keep their order: the 403 repeats them."""

    user: str
    scopes: tuple[str, ...]


_READ_WRITE: Final = Account("user-rw", ("customers.read", "customers.write"))
_READ_ONLY: Final = Account("user-ro", ("customers.read",))
_NO_SCOPE: Final = Account("user-none", ("invoices.read",))

# The short names are those of the recordings; the service itself would refuse their form.
DEFAULT_TOKENS: Final[Mapping[str, Account]] = {
    RW_TOKEN: _READ_WRITE,
    RO_TOKEN: _READ_ONLY,
    NONE_TOKEN: _NO_SCOPE,
    "rw": _READ_WRITE,
    "ro": _READ_ONLY,
    "none": _NO_SCOPE,
}


@dataclass(frozen=True, slots=True)
class Unauthorized:
    """Why a request is refused with 401; *message* is the answer's whole body."""

    message: str


@dataclass(frozen=True, slots=True)
class Count:
    """One request counted against its user's window. *reset_seconds* is rounded up, as it is sent."""

    limit: int
    remaining: int
    reset_seconds: int
    exceeded: bool


@dataclass(slots=True)
class _Window:
    started: float
    requests: int = 0


def authenticate(authorization: str | None, tokens: Mapping[str, Account]) -> Account | Unauthorized:
    """Reads an ``Authorization`` header; the scheme counts with its case, and each refusal has its recorded text."""
    if not authorization:
        return Unauthorized("Authorization header required")
    scheme, *rest = authorization.split(" ")
    if scheme != "Bearer":
        return Unauthorized("Invalid authorization scheme")
    token = rest[0] if rest else ""
    if account := tokens.get(token):
        return account
    if not token:
        return Unauthorized("Token required")
    if token.startswith("mid_access_token_"):
        return Unauthorized("Invalid or expired access token")
    if not token.startswith("mid_") or len(token) != _TOKEN_LENGTH:
        return Unauthorized("Invalid token format")
    return Unauthorized("Invalid API key")


class RateWindows:
    """The request windows of all users. *limit* None: nothing is counted. Times in monotonic seconds."""

    def __init__(self, limit: int | None, window_seconds: float) -> None:
        self.limit = limit
        self.window_seconds = window_seconds
        self._windows: dict[str, _Window] = {}

    @property
    def policy(self) -> str:
        """The value of ``RateLimit-Policy``."""
        return f"{self.limit};w={math.ceil(self.window_seconds)}"

    def count(self, user: str, now: float) -> Count | None:
        """Counts a request of *user*; None where there is no limit."""
        if self.limit is None:
            return None
        window = self._windows.get(user)
        # The age is subtracted, not the end from now: (now + 600) - now can be more than 600, and would be sent as 601.
        if window is None or now - window.started >= self.window_seconds:
            window = self._windows[user] = _Window(now)
        window.requests += 1
        return Count(
            self.limit,
            max(0, self.limit - window.requests),
            math.ceil(self.window_seconds - (now - window.started)),
            window.requests > self.limit,
        )

    def change(self, *, limit: int | None, window_seconds: float) -> None:
        """Sets limit and window; the counters begin anew, as after the restart that a change takes."""
        self.limit = limit
        self.window_seconds = window_seconds
        self._windows.clear()

    def zero(self) -> None:
        """Forgets every request, as a restart does."""
        self._windows.clear()

    def statistics(self, now: float) -> dict[str, dict[str, float]]:
        """Requests counted and seconds left of each user's current window."""
        return {
            user: {
                "requests": window.requests,
                "resets_in_seconds": round(window.started + self.window_seconds - now, 3),
            }
            for user, window in self._windows.items()
            if now - window.started < self.window_seconds
        }
