"""What one replica says of itself to its peers and to programs: the document of `/api/replica`. No personal data."""

from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from worker.operations.history import Hour
from worker.operations.latency import Distribution
from worker.telemetry.recent import DeadLetters, Rebalance

FORMAT: Final = 1
"""Raised when peers of the version before could no longer read it; what is only added does not matter to them."""


@dataclass(frozen=True, slots=True)
class HeldPartition:
    """A partition that this replica has; *lag* is None where it is not known."""

    partition: int
    lag: int | None
    committed: int
    waiting: int
    in_flight: int
    retrying: int


@dataclass(frozen=True, slots=True)
class WaitingCustomer:
    """One of those with most waiting commands; *customer* is shortened.

    *why* is a key of `WHY`; *attempts* failed so far, and the next is due in so many seconds, where one is.
    *oldest_ms*: when the first of the commands was published.
    """

    customer: str
    partition: int
    commands: int
    why: str
    attempts: int
    due_in_seconds: float | None
    oldest_ms: int


@dataclass(frozen=True, slots=True)
class Customers:
    """Those who wait: how many, since when, for which reasons, and who has most waiting commands."""

    waiting: int
    oldest_ms: int | None
    why: dict[str, int]
    longest: tuple[WaitingCustomer, ...]


WHY: Final = {
    "under_way": "request under way",
    "committing": "outcome being written to Kafka",
    "retrying": "to be tried again",
    "held": "held by a fault of the deployment",
    "outage": "the upstream is failing",
    "limit": "rate limit used up",
    "bulk": "bulk, spread over the window",
    "group": "no place in the group at present",
    "taking_over": "partition is being taken over",
    "turn": "its turn comes next",
}
"""Why a customer waits."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The upstream's limit as this replica knows it: *left* for all replicas together, and its own *share*, 0 to 1."""

    limit: float
    left: float
    window_seconds: float
    resets_in_seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class Pace:
    """What a command costs and how fast things go; *requests_per_second* is None where no work has waited yet."""

    requests_per_command: float
    commands_per_second: float
    requests_per_second: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting; secrets are masked."""

    variable: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica at one moment (*at_ms*, milliseconds since 1970); *outcomes* and *requests* since its start."""

    format: int
    worker: str
    version: str
    at_ms: int
    up_seconds: float
    state: str
    reason: str
    alive: bool
    ready: bool
    delivery: str
    held_for: str
    circuits: dict[str, str]
    partitions: tuple[HeldPartition, ...]
    customers: Customers
    budget: Budget | None
    pace: Pace
    outcomes: dict[str, dict[str, int]]
    requests: dict[str, dict[str, int]]
    latencies: dict[str, Distribution]
    hour: Hour
    dead_letters: tuple[DeadLetters, ...]
    rebalances: tuple[Rebalance, ...]
    settings: tuple[Shown, ...]


class ReplicaUnreadable(Exception):
    """What a peer answered is no such document, or one of a version that this one cannot read."""


_REPLICA: Final = TypeAdapter(Replica)


def to_json(replica: Replica) -> bytes:
    """The document."""
    return _REPLICA.dump_json(replica)


def from_json(document: bytes) -> Replica:
    """What a peer said. Raises ReplicaUnreadable."""
    try:
        replica = _REPLICA.validate_json(document)
    except ValidationError as error:
        raise ReplicaUnreadable("answers in another format: it runs another version") from error
    if replica.format != FORMAT:
        raise ReplicaUnreadable(f"answers in format {replica.format}, not {FORMAT}: it runs another version")
    return replica
