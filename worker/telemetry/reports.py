"""What became of each command, told once it is public: one line of the log, and spans where the command is traced.

A report is begun when the command is decided and told when that is committed, so whatever is told is true: a worker
that loses its partition in between tells nothing, and its successor tells it.

Where nobody listens (the log begins above INFO, and nothing is traced), events have no reports, nothing is noted on
the way, and only dead letters that need somebody's attention are told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from handlers.command import Command
from handlers.faults import Reason
from handlers.record import CommandRecord
from worker.telemetry.logging import info_together
from worker.telemetry.recent import Recent
from worker.telemetry.trail import Arrivals, Trail

if TYPE_CHECKING:
    from worker.telemetry.tracing import Traced, Tracing

log = structlog.get_logger(__name__)

# Whoever runs the worker has to act on these; the others are a publisher's.
NEEDS_ATTENTION = frozenset({Reason.RETRIES_EXHAUSTED, Reason.CONTRACT, Reason.TOO_LARGE})


@dataclass(slots=True)
class Death:
    """Why a command became a dead letter, as its headers say."""

    reason: Reason
    error: str
    status: int | None


@dataclass(slots=True)
class Report:
    """One command and what became of it; times are monotonic seconds. An event has no *death*.

    *traceparent* is what the event carries: the publisher's, or where the command is *traced* its own.
    """

    command_id: str
    record: CommandRecord
    traceparent: str | None
    traced: Traced | None
    attempts: int
    received_at: float | None
    decided_at: float
    trail: Trail | None
    death: Death | None = None


class Reports:
    """Makes and tells the reports of one partition."""

    def __init__(
        self,
        *,
        now: Callable[[], float],
        tells_events: bool,
        tracing: Tracing | None = None,
        recent: Recent | None = None,
    ) -> None:
        """*now* is monotonic seconds; *tells_events* says whether the log has a line for what went well.

        *recent* is told of the dead letters.
        """
        self._now = now
        self._recent = recent
        self._tells_events = tells_events
        self._tracing = tracing
        self._listens = tells_events or tracing is not None
        self._arrivals = Arrivals()
        self._public: list[Report] = []

    def received(self, first_offset: int) -> None:
        """A batch came, whose first record has this offset or a later one."""
        if self._listens:
            self._arrivals.note(first_offset, self._now())

    def taken(self, commands: Sequence[Command]) -> Trail | None:
        """A turn of *commands* begins: where to note what they meet, if anybody wants to know."""
        if not self._tells_events:
            tracing = self._tracing
            if tracing is None or not any(tracing.samples(one.record, one.traceparent) for one in commands):
                return None
        return Trail(self._now(), len(commands))

    def event(self, command: Command, trail: Trail | None) -> Report | None:
        """The command is applied; None where nobody wants to know."""
        if trail is None:
            return None
        record, traceparent = command.record, command.traceparent
        traced = None if self._tracing is None else self._tracing.sampled(record, traceparent)
        if traced is not None:
            traceparent = traced.traceparent
        elif not self._tells_events:
            return None
        received_at = self._arrivals.of(record.offset)
        attempts = trail.exchanges[-1].attempt if trail.exchanges else 0
        return Report(command.id, record, traceparent, traced, attempts, received_at, self._now(), trail)

    def dead_letter(
        self,
        record: CommandRecord,
        command_id: str,
        trail: Trail | None,
        traceparent: str | None,
        *,
        reason: Reason,
        error: str,
        status: int | None,
        attempts: int,
    ) -> Report:
        """The command cannot be applied; without *trail* where it never had a turn."""
        traced = None if self._tracing is None else self._tracing.sampled(record, traceparent)
        if traced is not None:
            traceparent = traced.traceparent
        received_at = self._arrivals.of(record.offset)
        death = Death(reason, error, status)
        return Report(command_id, record, traceparent, traced, attempts, received_at, self._now(), trail, death)

    def committed(self, reports: Sequence[Report]) -> None:
        """What *reports* say is public now; the next `tell` tells it."""
        self._public += reports

    def tell(self, committable: int) -> None:
        """Tells what became public, with one write; everything below the offset *committable* is settled."""
        reports, self._public = self._public, []
        if reports:
            now = self._now()
            self._log(reports, now)
            if self._tracing is not None:
                self._tracing.export(reports, now)
        self._arrivals.forget(committable)

    def _log(self, reports: Sequence[Report], now: float) -> None:
        if self._tells_events:
            info_together("applied", [_line(report, now) for report in reports if report.death is None])
        for report in reports:
            if report.death is not None:
                level = logging.WARNING if report.death.reason in NEEDS_ATTENTION else logging.INFO
                log.log(level, "dead_letter", **_line(report, now))
                if self._recent is not None:
                    self._recent.dead_letter(
                        reason=report.death.reason.value,
                        command=report.record.coordinates,
                        status=report.death.status,
                        attempts=report.attempts,
                        error=report.death.error,
                    )


def _line(report: Report, committed_at: float) -> dict[str, object]:
    """The line of the log. What is not known is left out."""
    record, trail, death = report.record, report.trail, report.death
    facts: dict[str, object] = {
        "command": report.command_id,
        "partition": record.partition,
        "offset": record.offset,
        "attempts": report.attempts,
    }
    if death is not None:
        facts |= {"reason": death.reason.value, "error": death.error, "status": death.status}
    if trail is not None:
        facts["requests"] = len(trail.exchanges)
        facts["folded"] = trail.folded
    if report.received_at is not None:
        begun_at = report.decided_at if trail is None else trail.taken_at
        facts["waited_ms"] = _milliseconds(begun_at - report.received_at)
        facts["upstream_ms"] = _milliseconds(report.decided_at - begun_at)
        facts["commit_ms"] = _milliseconds(committed_at - report.decided_at)
    if report.traceparent is not None:
        facts["trace_id"] = report.traceparent[3:35]
    return facts


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
