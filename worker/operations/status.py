"""The worker at one moment, for probes, the page and whoever asks over HTTP. No personal data."""

import math
from dataclasses import asdict, dataclass

from worker.pacing.forecast import Forecast
from worker.partition import PartitionStatistics


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition and how far behind it is: *lag* counts the commands that are not settled, read or not."""

    statistics: PartitionStatistics
    lag: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """What the worker is doing, and why it is not, where it is not."""

    state: str
    reason: str
    alive: bool
    ready: bool
    worker: str
    version: str
    delivery: str
    partitions: tuple[PartitionStatus, ...]
    circuits: dict[str, str]
    held_for: str
    forecast: Forecast
    budget_remaining: float | None
    outcomes: dict[str, dict[str, int]]
    requests: int

    def as_json(self) -> dict[str, object]:
        """The document of `/api/status`."""
        partitions = [
            {
                **asdict(partition.statistics),
                "lag": partition.lag,
                "waiting": partition.statistics.unfinished,
                "committed": partition.statistics.committable,
            }
            for partition in self.partitions
        ]
        return {
            "state": self.state,
            "reason": self.reason,
            "ready": self.ready,
            "worker": self.worker,
            "version": self.version,
            "delivery": self.delivery,
            "partitions": partitions,
            "in_flight": sum(partition.statistics.in_flight for partition in self.partitions),
            "retrying": sum(partition.statistics.retrying for partition in self.partitions),
            "waiting": sum(partition.statistics.unfinished for partition in self.partitions),
            "lag_requests": round(self.forecast.requests),
            "drained_in_seconds": None if math.isinf(self.forecast.seconds) else round(self.forecast.seconds, 1),
            "circuits": self.circuits,
            "hold": {"reason": self.held_for} if self.held_for else None,
            "budget_remaining": self.budget_remaining,
            "outcomes": {
                "event": self.outcomes.get("event", {}).get("", 0),
                "dead_letter": self.outcomes.get("dead_letter", {}),
            },
            "requests": self.requests,
        }
