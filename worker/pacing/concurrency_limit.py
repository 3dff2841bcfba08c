"""How many turns may be under way at once: additive increase, multiplicative decrease (AIMD).

Failures that speak of overload (timeouts, 5xx, lost connections) cut the limit by a tenth, at most once for each
round trip of the slowest; answers raise it, by one for each full round, and only while it is really used, so that a
quiet time does not raise it blindly (Netflix/concurrency-limits). Pure.
"""

DECREASE = 0.9


class ConcurrencyLimit:
    """A limit between 1 and *most*."""

    __slots__ = ("_limit", "_most", "_not_before")

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._not_before = 0.0

    @property
    def limit(self) -> int:
        """Turns that may be under way at once."""
        return max(int(self._limit), 1)

    def succeeded(self, under_way: int) -> None:
        """A request was answered while so many turns were under way."""
        if under_way * 2 >= self._limit:
            self._limit = min(self._limit + 1 / self._limit, self._most)

    def overloaded(self, now: float, spent_seconds: float) -> None:
        """A request that was sent *spent_seconds* ago failed as under overload."""
        if now >= self._not_before:
            self._limit = max(self._limit * DECREASE, 1.0)
            self._not_before = now + spent_seconds
