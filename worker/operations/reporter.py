"""What this replica says of itself: gathered from its parts when somebody asks, and in short notes all the time."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence

from aiokafka import TopicPartition

from worker.operations.history import Broken, History
from worker.operations.latency import Distribution, RecentLatencies, distributions
from worker.operations.outlook import Outlook
from worker.operations.overview import Overview
from worker.operations.replica import FORMAT, Budget, HeldPartition, Pace, Replica, Shown
from worker.operations.status import Status
from worker.operations.survey import obstacles, survey
from worker.pacing.circuit_breaker import CircuitState
from worker.pacing.gate import Gate
from worker.partition import Partition
from worker.telemetry.metrics import Metrics
from worker.telemetry.recent import Recent
from worker.upstream.answers import Request

NOTE_SECONDS = 5.0
"""Half a step of the history."""


class Reporter:
    """Keeps this replica's last hour, and writes its report."""

    def __init__(
        self,
        *,
        overview: Overview,
        outlook: Outlook,
        gate: Gate,
        metrics: Metrics,
        recent: Recent,
        partitions: Callable[[], Mapping[TopicPartition, Partition]],
        is_member: Callable[[], bool],
        settings: Sequence[Shown],
        now: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        """*now* is monotonic seconds, *now_ms* milliseconds since 1970."""
        self._overview = overview
        self._outlook = outlook
        self._gate = gate
        self._metrics = metrics
        self._recent = recent
        self._partitions = partitions
        self._is_member = is_member
        self._settings = tuple(settings)
        self._now = now
        self._now_ms = now_ms
        self._began = now()
        self._history = History()
        self._latencies = RecentLatencies()

    async def run(self) -> None:
        """Takes a note every few seconds, until cancelled."""
        while True:
            self.note()
            await asyncio.sleep(NOTE_SECONDS)

    def note(self) -> None:
        """How things stand now. Also called when a breaker opens: it may be closed again before the next note."""
        outcomes = self._metrics.outcomes_by_reason()
        supply = self._outlook.supply()
        lags = [self._outlook.lag(topic_partition) for topic_partition in self._partitions()]
        self._history.observe(
            self._now_ms(),
            lag=sum(lag for lag in lags if lag is not None),
            budget_left=None if supply.remaining == math.inf else int(supply.remaining),
            broken=self._broken(),
            events=sum(outcomes.get("event", {}).values()),
            dead_letters=sum(outcomes.get("dead_letter", {}).values()),
        )
        now = self._now()
        if self._latencies.is_due(now):
            self._latencies.note(self._distributions(), now)

    async def report(self) -> Replica:
        """This replica at this moment."""
        found = obstacles(self._gate, may_work=self._is_member(), now=self._now())
        customers = await survey(lambda: list(self._partitions().values()), found, self._now)
        # From here on nothing waits: it is all of one moment.
        status = self._overview.status()
        pace = self._outlook.experience
        return Replica(
            format=FORMAT,
            worker=status.worker,
            version=status.version,
            at_ms=self._now_ms(),
            up_seconds=self._now() - self._began,
            state=status.state,
            reason=status.reason,
            alive=status.alive,
            ready=status.ready,
            delivery=status.delivery,
            held_for=status.held_for,
            circuits=status.circuits,
            partitions=_held(status),
            customers=customers,
            budget=self._budget(),
            pace=Pace(
                pace.requests_per_command,
                pace.commands_per_second,
                None if pace.requests_per_second == math.inf else pace.requests_per_second,
            ),
            outcomes={kind: _happened(by_reason) for kind, by_reason in status.outcomes.items()},
            requests=self._requests(),
            latencies=self._latencies.lately(self._distributions()),
            hour=self._history.hour(),
            dead_letters=tuple(self._recent.dead_letters),
            rebalances=tuple(self._recent.rebalances),
            settings=self._settings,
        )

    def _broken(self) -> Broken:
        broken = Broken(0)
        for request, flag in ((Request.GET, Broken.GET), (Request.PATCH, Broken.PATCH)):
            if self._gate.circuit(request) is not CircuitState.CLOSED:
                broken |= flag
        return broken | Broken.HOLD if self._gate.held_for else broken

    def _budget(self) -> Budget | None:
        supply = self._outlook.supply()
        if supply.limit == math.inf:
            return None
        share = self._gate.budget.share
        return Budget(supply.limit, supply.remaining, supply.window_seconds, supply.resets_in_seconds, share)

    def _requests(self) -> dict[str, dict[str, int]]:
        totals: dict[str, dict[str, int]] = {}
        for family in self._metrics.requests.collect():
            for sample in family.samples:
                if sample.name.endswith("_total") and sample.value:
                    totals.setdefault(sample.labels["request"], {})[sample.labels["answer"]] = int(sample.value)
        return totals

    def _distributions(self) -> dict[str, Distribution]:
        return distributions(self._metrics.request_seconds)


def _held(status: Status) -> tuple[HeldPartition, ...]:
    return tuple(
        HeldPartition(
            partition=statistics.partition,
            lag=partition.lag,
            committed=statistics.committable,
            waiting=statistics.unfinished,
            in_flight=statistics.in_flight,
            retrying=statistics.retrying,
        )
        for partition in status.partitions
        for statistics in [partition.statistics]
    )


def _happened(by_reason: Mapping[str, int]) -> dict[str, int]:
    return {reason: number for reason, number in by_reason.items() if number}
