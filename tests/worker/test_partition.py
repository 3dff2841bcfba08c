"""One partition, from records in to settlements out."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from handlers.command import Priority
from handlers.errors import Reason
from handlers.event import EventFormat
from handlers.record import CommandRecord, Headers, OutcomeKind
from harness.builders import TIMESTAMP_MS, TOPIC, a_customer, a_record, customer_id, offsets
from harness.engine import fates, header
from harness.memory_ledger import MemoryLedger
from harness.virtual_time import run_virtually, settled
from worker import progress
from worker.commit import Committer
from worker.deduplication import DeduplicationWindow
from worker.fold import Applied, Dead, Fold
from worker.lanes import Lanes
from worker.partition import HORIZON_AHEAD, Outlets, Partition
from worker.telemetry.metrics import Metrics
from worker.telemetry.reports import Reports
from worker.watermark import Watermark

LIVE = Priority.LIVE
NOW_MS = TIMESTAMP_MS + 2_500
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IDENTITY: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_type", b"customer.update"),
    ("ce_source", b"/crm"),
    ("ce_id", b"17"),
)


def a_partition(
    ledger: MemoryLedger | None = None,
    *,
    committable: int = 0,
    completed_beyond: int = 0,
    horizon: int = 1_000,
    is_open: bool = True,
    is_misplaced: Callable[[CommandRecord], bool] = lambda _: False,
    is_probing: bool = False,
) -> tuple[Partition, Committer]:
    """A partition as `Assignment` builds it, and its committer, which runs where a test lets it."""
    ledger = ledger or MemoryLedger()
    watermark = Watermark(committable, completed_beyond)
    partition = Partition(
        TopicPartition(TOPIC, 0),
        watermark=watermark,
        lanes=Lanes(coalesce=True),
        window=DeduplicationWindow(window=1_000),
        outlets=Outlets("events", "dead letters", EventFormat(), "worker-1"),
        metrics=Metrics(),
        reports=Reports(now=lambda: 0.0, tells_events=True),
        is_misplaced=is_misplaced,
        is_probing=lambda: is_probing,
        now_ms=lambda: NOW_MS,
    )
    committer = Committer(
        ledger,
        watermark,
        partition=0,
        horizon=horizon,
        interval_seconds=0,
        expects_company=lambda: False,
        wanted_horizon=partition.wanted_horizon,
        read_progress=ledger.read_progress,
        on_commit=partition.tell,
    )
    partition.attach(committer)
    if is_open:
        partition.open()
    return partition, committer


def taken(partition: Partition) -> Fold:
    """The next turn, which there must be."""
    assert partition.has_ready(LIVE)
    fold = partition.take(LIVE, now_ms=0)
    assert fold is not None
    return fold


async def committed(committer: Committer) -> None:
    """Lets the committer run until it has nothing left to do."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(committer.run())
        await committer.idle()
        running.cancel()


def test_record_becomes_a_turn_and_its_verdict_an_event() -> None:
    """Received, taken, settled, committed: and nothing of it is held any more."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive([a_record(0, {"note": "x"}, customer=1)])
        assert partition.held_bytes > 0
        fold = taken(partition)
        assert partition.in_flight == 1
        partition.settle(fold, [Applied(a_customer(1))])
        await committed(committer)

        assert [topic for topic, _ in ledger.published] == ["events"]
        assert (partition.held_bytes, partition.in_flight, len(partition.lanes)) == (0, 0, 0)
        assert ledger.committed[0] == 1

    run_virtually(scenario())


def nearly_full(monkeypatch: pytest.MonkeyPatch, *, is_probing: bool = False) -> tuple[Partition, Committer]:
    """A commit has room for three runs, and the predecessor has settled three: offsets 1, 3 and 60."""
    monkeypatch.setattr(progress, "METADATA_LIMIT", 32)
    partition, committer = a_partition(completed_beyond=1 << 1 | 1 << 3 | 1 << 60, is_probing=is_probing)
    bulk: Headers = (*IDENTITY, ("ce_priority", b"bulk"))
    partition.receive(
        [
            a_record(0, {"note": "x"}, customer=1, headers=bulk),
            *(a_record(offset, {"note": "x"}, customer=offset) for offset in range(1, 62)),
        ]
    )
    return partition, committer


def test_where_a_commit_has_no_room_the_oldest_goes_whatever_its_priority(monkeypatch: pytest.MonkeyPatch) -> None:
    """It frees the room for the others; they wait until it is committed."""

    async def scenario() -> None:
        partition, committer = nearly_full(monkeypatch)
        assert not partition.has_ready(Priority.BULK)
        oldest = taken(partition)
        assert partition.has_ready(LIVE)
        assert partition.take(LIVE, now_ms=0) is None
        partition.settle(oldest, [Applied(a_customer(1))])
        await committed(committer)

        assert offsets(oldest.commands) == [0]
        assert partition.watermark.committable == 2
        assert offsets(taken(partition).commands) == [2]
        assert partition.take(LIVE, now_ms=0) is None

    run_virtually(scenario())


def test_probe_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest may be poison; then only somebody else's command finds out that the upstream is well."""

    async def scenario() -> None:
        partition, _ = nearly_full(monkeypatch, is_probing=True)

        assert offsets(taken(partition).commands) == [2]
        assert partition.has_ready(Priority.BULK)

    run_virtually(scenario())


def test_turn_that_is_given_back_gives_its_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for again with the next try."""

    async def scenario() -> None:
        partition, _ = nearly_full(monkeypatch)
        for _ in range(3):
            fold = taken(partition)
            partition.retry(fold, due=0.0, now=0.0)

            assert offsets(fold.commands) == [0]

    run_virtually(scenario())


def test_whatever_is_settled_in_whatever_order_all_becomes_public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad commands, which ask for no room, take what there is; nothing waits for ever, and no commit says too much."""

    async def scenario() -> None:
        monkeypatch.setattr(progress, "METADATA_LIMIT", 32)
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive(
            [a_record(offset, value=b"{" if offset % 3 == 1 else None, customer=offset % 50) for offset in range(300)]
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(committer.run())
            under_way: list[Fold] = []
            while partition.watermark.unfinished:
                while partition.has_ready(LIVE) and (fold := partition.take(LIVE, now_ms=0)) is not None:
                    under_way.append(fold)
                if under_way:
                    fold = under_way.pop(len(under_way) // 2)
                    partition.settle(fold, [Applied(a_customer(1))] * len(fold.commands))
                await committer.idle()
            running.cancel()

        assert ledger.committed[0] == 300
        assert len(ledger.published) == 300
        assert max(len(metadata) for _, _, metadata in ledger.attempts) <= 32

    run_virtually(scenario())


def test_commands_of_a_fold_get_their_own_events_with_one_value() -> None:
    """Made once, however many there are; dead ones between them keep their place."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive([a_record(offset, {"note": f"{offset}"}, customer=1) for offset in range(3)])
        applied = Applied(a_customer(1, {"note": "2"}))
        partition.settle(taken(partition), [applied, Dead(Reason.REJECTED, "no", 400, 1), applied])
        await committed(committer)

        records = [record for _, record in ledger.published]
        assert [topic for topic, _ in ledger.published] == ["events", "dead letters", "events"]
        assert records[0].value is records[2].value
        assert json.loads(records[0].value or b"")["note"] == "2"
        assert [header(records[number], "ce_causationid") for number in (0, 2)] == [f"{TOPIC}:0:0", f"{TOPIC}:0:2"]
        assert header(records[1], "dlq-worker") == "worker-1"

    run_virtually(scenario())


def test_prefix_that_is_settled_puts_the_rest_back() -> None:
    """Its commands are still held."""

    async def scenario() -> None:
        partition, committer = a_partition()
        partition.receive([a_record(offset, {"note": f"{offset}"}, customer=1) for offset in range(2)])
        before = partition.held_bytes
        partition.settle(taken(partition), [Applied(a_customer(1))])
        await committed(committer)

        assert 0 < partition.held_bytes < before
        assert len(taken(partition).commands) == 1

    run_virtually(scenario())


def test_record_that_is_no_command_is_a_dead_letter_at_once() -> None:
    """With its original bytes; it waits for nobody's turn, and what it held is released."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive([a_record(0, value=b"{")])
        assert partition.held_bytes > 0
        await committed(committer)

        ((_, record),) = ledger.published
        assert (record.kind, record.value) == (OutcomeKind.DEAD_LETTER, b"{")
        assert header(record, "dlq-reason") == "undecodable"
        assert partition.held_bytes == 0
        assert partition._metrics.outcomes_by_reason() == {"dead_letter": {"undecodable": 1}}

    run_virtually(scenario())


def test_record_read_again_is_skipped() -> None:
    """After a seek, or a rebalance."""
    partition, _ = a_partition(committable=5)
    partition.receive([a_record(4), a_record(5), a_record(5), a_record(6)])

    assert partition.watermark.unfinished == 2
    assert partition.next_offset == 7


def test_record_that_was_settled_before_a_restart_is_skipped_and_remembered() -> None:
    """A copy of it that comes later is a copy all the same."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger, completed_beyond=0b10)
        partition.receive([a_record(offset, {"note": "x"}, headers=IDENTITY if offset else ()) for offset in range(3)])

        assert [command.record.offset for command in taken(partition).commands] == [0]
        await committed(committer)
        assert ledger.published == []
        assert partition.watermark.completed_beyond == 0b110

    run_virtually(scenario())


def test_repeated_command_gets_no_outcome_and_no_turn() -> None:
    """Its offset is settled; the first copy's outcome stands for both."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive([a_record(offset, {"note": "x"}, headers=IDENTITY) for offset in range(2)])
        fold = taken(partition)
        partition.settle(fold, [Applied(a_customer())])
        await committed(committer)

        assert len(fold.commands) == 1
        assert fates(record for _, record in ledger.published) == ["event"]
        assert ledger.committed[0] == 2
        assert partition.held_bytes == 0

    run_virtually(scenario())


def test_copy_of_a_bad_command_gets_no_second_dead_letter() -> None:
    """Delivered twice, it was bad once."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive([a_record(offset, value=b"{", headers=IDENTITY) for offset in range(2)])
        await committed(committer)

        assert fates(record for _, record in ledger.published) == ["undecodable"]
        assert ledger.committed[0] == 2

    run_virtually(scenario())


def test_same_id_with_other_bytes_is_refused() -> None:
    """It may be a lost change: the publisher must hear of it."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive([a_record(offset, {"note": f"{offset}"}, headers=IDENTITY) for offset in range(2)])
        await committed(committer)

        ((_, record),) = ledger.published
        assert header(record, "dlq-reason") == "invalid"
        assert "id_reused" in header(record, "dlq-error")
        assert header(record, "dlq-offset") == "1"
        assert len(taken(partition).commands) == 1

    run_virtually(scenario())


def test_command_on_the_wrong_partition_is_applied_counted_and_warned_about() -> None:
    """With its source, so that its publisher is found."""
    partition, _ = a_partition(is_misplaced=lambda record: record.offset == 1)
    with capture_logs() as logged:
        partition.receive([a_record(0), a_record(1, headers=IDENTITY, customer=1)])

    assert partition.watermark.unfinished == 2
    assert [(entry["event"], entry["command"], entry["ce_source"]) for entry in logged] == [
        ("command_on_wrong_partition", f"{TOPIC}:0:1", "/crm")
    ]


def test_nothing_is_sent_before_all_is_read_that_a_predecessor_may_have_sent() -> None:
    """What it sends first must contain at least what was sent before."""
    partition, _ = a_partition(is_open=False)
    partition.receive([a_record(0)])
    assert not partition.has_ready(LIVE)
    partition.open()

    assert taken(partition).customer_id == customer_id(0)


def test_nothing_beyond_the_committed_horizon_is_sent() -> None:
    """A successor would not know that it may have been; the next commit moves the horizon on."""

    async def scenario() -> None:
        partition, committer = a_partition(horizon=1)
        partition.receive([a_record(0, customer=0), a_record(1, customer=1)])
        assert taken(partition).customer_id == customer_id(0)
        partition.has_ready(LIVE)
        assert partition.take(LIVE, 0) is None
        await committed(committer)

        assert committer.horizon == 2 + HORIZON_AHEAD
        assert taken(partition).customer_id == customer_id(1)

    run_virtually(scenario())


def test_horizon_is_moved_long_before_it_is_reached() -> None:
    """So that nobody waits for it, and not with every batch."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger, horizon=HORIZON_AHEAD)
        partition.receive([a_record(0)])
        await settled()
        assert ledger.attempts == []
        partition.receive([a_record(HORIZON_AHEAD // 2)])
        await committed(committer)

        assert committer.horizon == HORIZON_AHEAD // 2 + 1 + HORIZON_AHEAD

    run_virtually(scenario())


def test_event_that_kafka_finds_too_large_becomes_a_dead_letter() -> None:
    """With the command's own bytes, which are smaller."""

    async def scenario() -> None:
        ledger = MemoryLedger(largest_value_bytes=1_500)
        partition, committer = a_partition(ledger)
        partition.receive([a_record(0, {"city": "Ghent"}, customer=1)])
        partition.settle(taken(partition), [Applied(a_customer(1, {"note": "x" * 5_000}))])
        with capture_logs() as log:
            await committed(committer)

        assert [(line["event"], line["reason"]) for line in log] == [("dead_letter", "too_large")]
        ((topic, record),) = ledger.published
        assert (topic, header(record, "dlq-reason")) == ("dead letters", "too_large")
        assert record.value == a_record(0, {"city": "Ghent"}, customer=1).value

    run_virtually(scenario())


def test_drain_waits_for_turns_under_way_and_their_commits() -> None:
    """And hands out no more."""

    async def scenario() -> None:
        ledger = MemoryLedger()
        partition, committer = a_partition(ledger)
        partition.receive([a_record(0, customer=0), a_record(1, customer=1)])
        first, second = taken(partition), taken(partition)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(committer.run())
            draining = tasks.create_task(partition.drain())
            await settled()
            assert partition.is_closing
            partition.settle(first, [Applied(a_customer(0))])
            await settled()
            assert not draining.done()
            partition.retry(second, due=9.0, now=0.0)
            await settled()
            assert draining.done()
            running.cancel()

        assert ledger.committed[0] == 1

    run_virtually(scenario())


def test_drain_of_a_quiet_partition_ends_at_once() -> None:
    """A rebalance costs an idle worker nothing."""

    async def scenario() -> None:
        partition, _ = a_partition()
        async with asyncio.timeout(0.1):
            await partition.drain()

    run_virtually(scenario())


def test_statistics_say_where_the_partition_stands() -> None:
    """What metrics, the page and the status show."""

    async def scenario() -> None:
        partition, committer = a_partition()
        partition.receive([a_record(offset, customer=offset) for offset in range(4)])
        partition.settle(taken(partition), [Applied(a_customer(0))])
        await committed(committer)
        partition.retry(taken(partition), due=9.0, now=0.0)
        taken(partition)
        partition.settle(taken(partition), [Applied(a_customer(3))])
        statistics = partition.statistics()

        assert (statistics.partition, statistics.committable, statistics.next_offset) == (0, 1, 4)
        assert (statistics.unfinished, statistics.lanes) == (3, 3)
        assert (statistics.in_flight, statistics.retrying, statistics.committing) == (1, 1, 1)
        assert statistics.commits == committer.commits
        assert statistics.held_bytes == partition.held_bytes

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        pytest.param(Applied(a_customer()), {"event": {"": 1}}, id="an event"),
        pytest.param(Dead(Reason.EXPIRED, "late", None, 0), {"dead_letter": {"expired": 1}}, id="a dead letter"),
        pytest.param(
            Applied(a_customer(0, {"note": "x" * 2_000})), {"dead_letter": {"too_large": 1}}, id="an event too large"
        ),
    ],
)
def test_outcomes_are_counted_once_they_are_public(fate: Applied | Dead, expected: dict[str, dict[str, int]]) -> None:
    """By kind and reason: what Kafka took, and not what was meant."""

    async def scenario() -> None:
        partition, committer = a_partition(MemoryLedger(largest_value_bytes=1_500))
        partition.receive([a_record(0)])
        partition.settle(taken(partition), [fate])
        assert partition._metrics.outcomes_by_reason() == {}
        await committed(committer)

        assert partition._metrics.outcomes_by_reason() == expected
        assert partition._metrics.settled() == 1

    run_virtually(scenario())


def test_time_that_commands_took_is_counted_from_their_publishing() -> None:
    """All of a fold, and dead letters too; not copies, which have no outcome, nor records without a time."""

    async def scenario() -> None:
        partition, committer = a_partition()
        first, second = a_record(0, customer=1), a_record(1, customer=1)
        partition.receive([first, second, a_record(2, value=b"{"), replace(a_record(3), timestamp_ms=-1)])
        partition.settle(taken(partition), [Applied(a_customer()), Applied(a_customer())])
        partition.settle(taken(partition), [Applied(a_customer())])
        await committed(committer)

        series = partition._metrics.command_seconds.of()
        assert (series.count, series.total) == (3, 3 * (NOW_MS - TIMESTAMP_MS) / 1_000)

    run_virtually(scenario())


def test_oldest_command_is_the_first_that_is_not_settled() -> None:
    """Whatever was settled beyond it; none where nothing waits."""

    async def scenario() -> None:
        partition, committer = a_partition()
        partition.receive(
            [
                replace(a_record(offset, customer=offset), timestamp_ms=TIMESTAMP_MS + 60_000 * offset)
                for offset in range(3)
            ]
        )
        folds = [taken(partition) for _ in range(3)]
        partition.settle(folds[1], [Applied(a_customer())])
        await committed(committer)
        assert partition.statistics().oldest_ms == TIMESTAMP_MS

        partition.settle(folds[0], [Applied(a_customer())])
        await committed(committer)
        assert partition.statistics().oldest_ms == TIMESTAMP_MS + 120_000

        partition.settle(folds[2], [Applied(a_customer())])
        await committed(committer)
        assert partition.statistics().oldest_ms is None

    run_virtually(scenario())


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(a_record(0, headers=(("traceparent", TRACEPARENT.encode()),)), id="an applied command"),
        pytest.param(
            a_record(0, value=b"{", headers=(("Traceparent", b"0"), ("Traceparent", TRACEPARENT.encode()))),
            id="a record that is no command",
        ),
        pytest.param(
            a_record(
                0,
                value=json.dumps(
                    {
                        "specversion": "1.0",
                        "id": "17",
                        "source": "/crm",
                        "type": "customer.update",
                        "traceparent": TRACEPARENT,
                        "data": {"customer_id": customer_id(0), "changes": {"note": "x"}},
                    }
                ).encode(),
            ),
            id="an envelope",
        ),
    ],
)
@pytest.mark.parametrize("fate", [Applied(a_customer()), Dead(Reason.EXPIRED, "late", None, 0)])
def test_the_line_of_an_outcome_names_the_trace_of_its_publisher(record: CommandRecord, fate: Applied | Dead) -> None:
    """Wherever the publisher has put it."""

    async def scenario() -> None:
        partition, committer = a_partition()
        partition.receive([record])
        if len(partition.lanes):
            partition.settle(taken(partition), [fate])
        with capture_logs() as log:
            await committed(committer)

        assert [line["trace_id"] for line in log] == [TRACEPARENT.split("-")[1]]

    run_virtually(scenario())
