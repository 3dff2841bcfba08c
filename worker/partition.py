"""One partition of the command topic, from its assignment to its revocation.

It takes records in (`receive`), hands out turns (`lanes`), takes verdicts back (`settle`, `retry`), and passes the
outcomes to its committer. Nothing here waits for the upstream; what waits for Kafka is `run` and `drain`.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from aiokafka import TopicPartition

from handlers.cloudevents import traceparent_in
from handlers.command import Command, Priority, decode, held_bytes
from handlers.dead_letter import dead_letter_record
from handlers.errors import CommandRefused, Problem, Reason, describe
from handlers.event import EventFormat, event_record, event_value
from handlers.record import CommandRecord
from worker.commit import Committer, Decision, Settlement
from worker.deduplication import DeduplicationWindow, Verdict, tracked
from worker.fold import Applied, Dead, Fate, Fold
from worker.headroom import Allowance, Headroom
from worker.kafka.ledger import Publication
from worker.lanes import Lanes, LaneState
from worker.telemetry.metrics import Metrics
from worker.telemetry.reports import Report, Reports
from worker.telemetry.trail import Trail
from worker.timeline import Timeline
from worker.watermark import Watermark

log = structlog.get_logger(__name__)

# How far beyond what is read the committed horizon lies, so that nobody waits for it.
HORIZON_AHEAD = 5000

# What a record that waits for its dead letter holds beside its bytes.
RECORD_OVERHEAD_BYTES = 1000


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where outcomes go and how they look."""

    events_topic: str
    dead_letter_topic: str
    event_format: EventFormat
    worker: str


@dataclass(frozen=True, slots=True)
class PartitionStatistics:
    """A partition at one moment. Bytes are held in memory; offsets are the next to read or commit."""

    partition: int
    committable: int
    next_offset: int
    unfinished: int
    held_bytes: int
    lanes: int
    in_flight: int
    retrying: int
    committing: int
    commits: int
    oldest_ms: int | None
    """When the oldest command that is not settled was published, in milliseconds since 1970."""


class Partition:
    """Owns the lanes, the watermark and the committer of one assigned partition."""

    def __init__(
        self,
        topic_partition: TopicPartition,
        *,
        watermark: Watermark,
        lanes: Lanes,
        window: DeduplicationWindow,
        outlets: Outlets,
        metrics: Metrics,
        reports: Reports,
        is_misplaced: Callable[[CommandRecord], bool],
        is_probing: Callable[[], bool] = lambda: False,
        now_ms: Callable[[], int],
    ) -> None:
        """*is_probing*: whether the upstream as a whole fails, and is only probed. *now_ms* is ms since 1970."""
        self.topic_partition = topic_partition
        self.lanes = lanes
        self.watermark = watermark
        self.held_bytes = 0
        self.next_offset = watermark.committable
        self.is_closing = False
        self.is_reading_back = True
        self.window = window
        """What it was shown so far, for whoever builds this partition anew in the same process."""
        self._outlets = outlets
        self._metrics = metrics
        self._reports = reports
        self._is_misplaced = is_misplaced
        self._is_probing = is_probing
        self._headroom = Headroom(watermark)
        self._now_ms = now_ms
        self._timeline = Timeline()
        self._committer: Committer | None = None
        self._quiet = asyncio.Event()

    def attach(self, committer: Committer) -> None:
        """Gives the partition its committer, which in turn asks the partition whether company is near."""
        self._committer = committer

    @property
    def committer(self) -> Committer:
        """The committer given by `attach`."""
        assert self._committer is not None  # noqa: S101  # wiring: attached right after construction
        return self._committer

    @property
    def in_flight(self) -> int:
        """Turns with the upstream now."""
        return self.lanes.count(LaneState.TAKEN)

    def receive(self, records: Iterable[CommandRecord]) -> None:
        """Takes records up in their order; what was seen before or settled before a restart is skipped."""
        self._reports.received(self.next_offset)
        for record in records:
            if record.offset < self.next_offset:
                continue
            self.next_offset = record.offset + 1
            self._timeline.note(record.offset, record.timestamp_ms)
            is_new = self.watermark.begin(record.offset)
            self._take_up(record, is_settled=not is_new)
        if self.next_offset + HORIZON_AHEAD // 2 > self.committer.horizon:
            self.committer.move_horizon()

    def open(self) -> None:
        """Everything a predecessor may have acted on is read: turns may be taken from now on."""
        self.is_reading_back = False

    def wanted_horizon(self) -> int:
        """The offset below which this partition would like to act before its next commit."""
        return self.next_offset + HORIZON_AHEAD

    def has_ready(self, priority: Priority) -> bool:
        """Whether a lane of this priority could take its turn now."""
        if self.is_reading_back:
            return False
        if self._allowance().is_scarce:
            # The oldest goes first, whatever its priority.
            return priority is Priority.LIVE and self.lanes.oldest() is not None
        return self.lanes.has_ready(priority)

    def take(self, priority: Priority, now_ms: int) -> Fold | None:
        """The next turn, where a commit has room for what may become of it; *now_ms* is milliseconds since 1970."""
        allowance = self._allowance()
        if not allowance.is_scarce:
            fold = self.lanes.take(priority, now_ms, most=allowance.most)
        else:
            oldest = self.lanes.oldest()
            may_begin = oldest is not None and (allowance.most > 0 or oldest == self.watermark.committable)
            fold = self.lanes.take_oldest(now_ms, most=max(allowance.most, 1)) if may_begin else None
        if fold is not None:
            fold.trail = fold.trail or self._reports.taken(fold.commands)
            self._headroom.begin(len(fold.commands), fold.commands[-1].record.offset)
        return fold

    def settle(self, fold: Fold, fates: Sequence[Fate]) -> None:
        """The first commands of *fold* are decided: their outcomes go to the committer, in order."""
        commands = fold.commands[: len(fates)]
        self.lanes.settle(fold, len(fates))
        self._headroom.end(len(fold.commands) - len(commands))
        values: dict[int, bytes] = {}
        settlements = []
        reports: list[Report] = []
        for command, fate in zip(commands, fates, strict=True):
            if isinstance(fate, Applied):
                key = id(fate.customer)
                if key not in values:
                    values[key] = event_value(fate.customer, self._outlets.event_format)
                settlements.append(self._event(command, fate, values[key], fold.trail, reports))
            else:
                letter = self._dead_letter(
                    command.record, command.id, fate, reports, trail=fold.trail, traceparent=command.traceparent
                )
                settlements.append(Settlement(command.record.offset, letter))
        self._submit(settlements, partial(self._committed, fold.customer_id, commands, reports))

    def retry(self, fold: Fold, *, due: float, now: float) -> None:
        """The same fold is tried again when *due*."""
        self.lanes.retry(fold, due=due, now=now)
        self._headroom.end(len(fold.commands))
        self.committer.tell_soon()
        self._note_quiet()

    async def drain(self) -> None:
        """Hands out no more turns, and returns when what is under way is decided and committed. Cancel to give up."""
        self.is_closing = True
        self._note_quiet()
        await self._quiet.wait()
        self.committer.tell()
        await self.committer.idle()

    def tell(self) -> None:
        """Tells what the last commit has made public."""
        self._reports.tell(self.watermark.committable)

    def statistics(self) -> PartitionStatistics:
        """Where the partition stands."""
        return PartitionStatistics(
            partition=self.topic_partition.partition,
            committable=self.watermark.committable,
            next_offset=self.next_offset,
            unfinished=self.watermark.unfinished,
            held_bytes=self.held_bytes,
            lanes=len(self.lanes),
            in_flight=self.in_flight,
            retrying=self.lanes.count(LaneState.BACKING_OFF),
            committing=self.lanes.count(LaneState.COMMITTING),
            commits=self.committer.commits,
            oldest_ms=self._timeline.time_ms(self.watermark.committable) if self.watermark.unfinished else None,
        )

    def _take_up(self, record: CommandRecord, *, is_settled: bool) -> None:
        try:
            command = decode(record)
        except CommandRefused as refusal:
            verdict = self.window.judge(tracked(refusal.identity, refusal.replay), record)
            dead = Dead(refusal.reason, str(refusal), status=None, attempts=0)
            self._settle_at_once(record, refusal.command_id, verdict, dead, is_settled=is_settled)
            return
        verdict = self.window.judge(tracked(command.identity, command.replay), record)
        if verdict is not Verdict.NEW or is_settled:
            dead = Dead(Reason.INVALID, describe([Problem("id_reused", "id")]), status=None, attempts=0)
            self._settle_at_once(record, command.id, verdict, dead, is_settled=is_settled)
            return
        if self._is_misplaced(record):
            self._metrics.misplaced.inc()
            log.warning(
                "command_on_wrong_partition",
                command=record.coordinates,
                ce_source=command.source,
                advice="publish with Kafka's murmur2 partitioner (librdkafka: partitioner=murmur2_random)",
            )
        self.held_bytes += held_bytes(command)
        self.lanes.add(command)

    def _settle_at_once(
        self, record: CommandRecord, command_id: str, verdict: Verdict, dead: Dead, *, is_settled: bool
    ) -> None:
        """Settles a record that needs no upstream: one settled before, a copy, or one that cannot be applied."""
        if is_settled:
            self._metrics.skipped.inc()
            return
        reports: list[Report] = []
        records: list[CommandRecord] = []
        letter = None
        if verdict is Verdict.REPEATED:
            self._metrics.repeated.inc()
        else:
            records.append(record)
            letter = self._dead_letter(record, command_id, dead, reports)
        size = len(record.key or b"") + len(record.value or b"") + RECORD_OVERHEAD_BYTES
        self.held_bytes += size
        self._headroom.begin(1, record.offset)
        self._submit([Settlement(record.offset, letter)], partial(self._released, size, records, reports))

    def _submit(self, settlements: Sequence[Settlement], committed: Callable[[], None]) -> None:
        self.committer.submit(Decision(settlements, committed))
        self._note_quiet()

    def _committed(self, customer_id: str, commands: Sequence[Command], reports: Sequence[Report]) -> None:
        self.held_bytes -= sum(held_bytes(command) for command in commands)
        self._headroom.end(len(commands))
        self.lanes.committed(customer_id)
        self._published([command.record for command in commands], reports)

    def _released(self, size: int, records: Sequence[CommandRecord], reports: Sequence[Report]) -> None:
        self.held_bytes -= size
        self._headroom.end(1)
        self._published(records, reports)

    def _published(self, records: Sequence[CommandRecord], reports: Sequence[Report]) -> None:
        """The outcomes of these commands are in Kafka; every dead letter among them has a report."""
        metrics, now_ms = self._metrics, self._now_ms()
        events = len(records)
        for report in reports:
            if report.death is not None:
                metrics.outcomes_of("dead_letter", report.death.reason.value).inc()
                events -= 1
        if events:
            metrics.outcomes_of("event", "").inc(events)
        for record in records:
            if record.timestamp_ms > 0:
                metrics.command_seconds.observe(max(now_ms - record.timestamp_ms, 0) / 1_000)
        committable = self.watermark.committable
        self._timeline.forget(committable)
        self._reports.committed(reports)

    def _allowance(self) -> Allowance:
        allowance = self._headroom.allowance(read_below=self.next_offset, is_probing=self._is_probing())
        self.lanes.allow(min(self.committer.horizon, allowance.below))
        return allowance

    def _note_quiet(self) -> None:
        if self.is_closing and self.in_flight == 0:
            self._quiet.set()

    def _event(
        self, command: Command, fate: Applied, value: bytes, trail: Trail | None, reports: list[Report]
    ) -> Settlement:
        """The settlement by an event; where somebody wants to know, adds to *reports*."""
        outlets = self._outlets
        report = self._reports.event(command, trail)
        if report is not None:
            reports.append(report)
        traceparent = command.traceparent if report is None else report.traceparent
        record = event_record(command, fate.customer, outlets.event_format, value=value, traceparent=traceparent)

        def instead(error: str) -> Publication:
            problem = Problem("outcome_too_large", "event", error)
            dead = Dead(Reason.TOO_LARGE, str(problem), status=None, attempts=1)
            if report is not None:
                reports.remove(report)
            return self._dead_letter(
                command.record, command.id, dead, reports, trail=trail, traceparent=command.traceparent
            )

        return Settlement(command.record.offset, (outlets.events_topic, record), instead)

    def _dead_letter(
        self,
        record: CommandRecord,
        command_id: str,
        dead: Dead,
        reports: list[Report],
        *,
        trail: Trail | None = None,
        traceparent: str | None = None,
    ) -> Publication:
        """The dead letter; adds to *reports*."""
        reports.append(
            self._reports.dead_letter(
                record,
                command_id,
                trail,
                traceparent or traceparent_in(record.headers),
                reason=dead.reason,
                error=dead.error,
                status=dead.status,
                attempts=dead.attempts,
            )
        )
        letter = dead_letter_record(
            record,
            command_id=command_id,
            reason=dead.reason,
            error=dead.error,
            status=dead.status,
            attempts=dead.attempts,
            worker=self._outlets.worker,
        )
        return self._outlets.dead_letter_topic, letter
