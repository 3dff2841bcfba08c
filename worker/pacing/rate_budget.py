"""How many requests may still go out in the upstream's present window.

The upstream counts a fixed window that begins with the user's first request, over all of the user's tokens and all
replicas, and says in every answer where it stands (`RateLimit-Limit`, `-Remaining`, `-Reset`). So the truth is in
the answers; between two answers the budget subtracts what it has granted and not yet seen answered. A refusal (429)
closes it until the time the upstream names.

Pure: `now` is monotonic seconds.
"""

import math

# Two answers of one window give ends that differ by rounding; a greater distance is another window.
SAME_WINDOW_SECONDS = 2.0


class RateBudget:
    """The requests left in the window, by what the upstream says and what is under way."""

    __slots__ = (
        "_blocked_until",
        "_configured",
        "_limit",
        "_outstanding",
        "_remaining",
        "_reset_at",
        "_window_seconds",
    )

    def __init__(self, *, limit: int, window_seconds: float) -> None:
        """*limit* requests in *window_seconds*; 0 = none, until the upstream names one."""
        self._configured: float = limit or math.inf
        self._limit: float = self._configured
        self._window_seconds = window_seconds
        self._remaining: float = self._limit
        self._reset_at = -math.inf
        self._blocked_until = -math.inf
        self._outstanding = 0

    @property
    def limit(self) -> float:
        """Requests in one window; infinite where nobody limits."""
        return self._limit

    def remaining(self, now: float) -> float:
        """Requests that may still be granted in this window."""
        if now < self._blocked_until:
            return 0
        self._roll(now)
        return max(self._remaining - self._outstanding, 0)

    def reset_seconds(self, now: float) -> float:
        """Seconds until requests are granted again or the window ends, whichever is told; 0 where unknown."""
        return max(self._blocked_until - now, self._reset_at - now, 0.0)

    def grant(self, requests: int, now: float) -> bool:
        """Takes *requests* out of the budget, all or none; each must later be answered or given back."""
        if self.remaining(now) < requests:
            return False
        if self._reset_at == -math.inf and self._limit != math.inf:
            self._reset_at = now + self._window_seconds
        self._outstanding += requests
        return True

    def retry_at(self, now: float) -> float:
        """The earliest moment at which a refused grant can succeed by time alone."""
        if now < self._blocked_until:
            return self._blocked_until
        return max(now, self._reset_at)

    def give_back(self, requests: int) -> None:
        """Returns granted requests that were never sent."""
        self._outstanding -= requests

    def answered(self, now: float) -> None:
        """One granted request was sent and its answer said nothing of the budget (a timeout, a broken connection)."""
        self._outstanding -= 1
        self._roll(now)
        self._remaining -= 1

    def observed(self, *, limit: int, remaining: int, reset_seconds: float, now: float) -> None:
        """One granted request was answered with the upstream's own figures."""
        self._outstanding -= 1
        self._limit = min(self._configured, limit)
        reset_at = now + reset_seconds
        withheld = max(limit - self._limit, 0)
        told = max(remaining - withheld, 0)
        if abs(reset_at - self._reset_at) <= SAME_WINDOW_SECONDS:
            self._remaining = min(self._remaining, told)
        else:
            self._remaining = told
            self._reset_at = reset_at

    def refused(self, retry_after_seconds: float, now: float) -> None:
        """One granted request met a 429: nothing more goes out until the time it named."""
        self._outstanding -= 1
        self._remaining = 0
        self._blocked_until = max(self._blocked_until, now + retry_after_seconds)
        self._reset_at = max(self._reset_at, self._blocked_until)

    def _roll(self, now: float) -> None:
        if now >= self._reset_at and self._reset_at != -math.inf:
            self._remaining = self._limit
            self._reset_at = -math.inf

    def __repr__(self) -> str:
        return f"<RateBudget {self._remaining - self._outstanding:g} of {self._limit:g}>"
