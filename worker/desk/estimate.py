"""What a replay will cost, before it is made. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.desk.replaying import Decided
from worker.desk.verdicts import Replay

# A turn is one GET and at most one PATCH.
_REQUESTS_A_TURN = 2


@dataclass(frozen=True, slots=True)
class Estimate:
    """*requests* where a customer's replays fold into one turn, as they do when they wait together; *at_most* if not.

    *budget_seconds* is how long the upstream's rate limit makes `at_most` take if nothing else is asked; 0 = no limit.
    """

    commands: int
    customers: int
    requests: int
    at_most: int
    budget_seconds: float


def estimate(decided: Sequence[Decided], *, coalesce: bool, rate_limit: int, window_seconds: float) -> Estimate:
    """The estimate for all that may be replayed; *rate_limit* in requests a window, 0 = none."""
    going = [one for one, verdict in decided if isinstance(verdict, Replay) and one.command is not None]
    customers = len({one.letter.record.key for one in going})
    at_most = len(going) * _REQUESTS_A_TURN
    requests = customers * _REQUESTS_A_TURN if coalesce else at_most
    seconds = requests / rate_limit * window_seconds if rate_limit else 0.0
    return Estimate(len(going), customers, requests, at_most, seconds)
