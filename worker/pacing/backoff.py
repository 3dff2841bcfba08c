"""How long a failed attempt waits before the next, and when attempts end.

The policy is the one that the upstream's official client publishes: 500 ms first wait, factor 1.5, 60 s longest
wait, 300 s in all. tenacity computes the waits and the end; time and chance come in as numbers.
"""

from collections.abc import Callable

from tenacity import RetryCallState, stop_after_delay, wait_exponential
from tenacity.asyncio import AsyncRetrying

# The share of a wait that chance may add, so that customers who failed together do not come back together.
JITTER = 0.1


class RetryPolicy:
    """Exponential backoff with an end, as data: nothing here waits."""

    __slots__ = ("_longest_seconds", "_stop", "_template", "_wait")

    def __init__(
        self, *, initial_seconds: float, multiplier: float, max_seconds: float, max_elapsed_seconds: float
    ) -> None:
        """Waits *initial_seconds* × *multiplier*ⁿ, at most *max_seconds*; ends after *max_elapsed_seconds* in all."""
        self._wait = wait_exponential(multiplier=initial_seconds, exp_base=multiplier, max=max_seconds)
        self._stop = stop_after_delay(max_elapsed_seconds)
        self._longest_seconds = max_seconds
        self._template = AsyncRetrying(wait=self._wait, stop=self._stop)

    def wait_seconds(self, attempts: int, elapsed_seconds: float, random: Callable[[], float]) -> float | None:
        """Seconds to wait after *attempts* failed ones (>= 1), or None when the policy is exhausted.

        *elapsed_seconds* is what this work has spent on requests and backoff so far; time spent waiting for the
        budget or an open circuit is not the command's fault and is not in it.
        """
        state = RetryCallState(self._template, None, (), {})
        state.attempt_number = attempts
        # tenacity has looked at the clock; all that counts here is what the caller says.
        state.start_time = 0.0
        state.outcome_timestamp = elapsed_seconds
        if self._stop(state):
            return None
        wait: float = self._wait(state)
        return min(wait * (1 + JITTER * random()), self._longest_seconds)
