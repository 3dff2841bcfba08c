"""Where a partition goes on after its predecessor, and how it is drained."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from harness.virtual_time import now, run_virtually
from worker.assignment import _drain_or_lose, _say_gap, _starting_point
from worker.progress import Progress, Tried, encode
from worker.telemetry.metrics import Metrics

PARTITION = TopicPartition("customer.update", 3)


def starting_point(
    committed: int, metadata: str = "", *, start: int = 0, end: int = 1_000
) -> tuple[tuple[int, Progress], list[str]]:
    """The offset and progress to go on with, and what was logged."""
    with capture_logs() as logged:
        found = _starting_point(PARTITION, committed, metadata, start, end)
    return found, [f"{entry['log_level']} {entry['event']}" for entry in logged]


def test_partition_goes_on_where_its_predecessor_committed() -> None:
    """With what was settled beyond, and how far it may have acted."""
    progress = Progress(0b1010, 5_000)

    assert starting_point(400, encode(progress)) == ((400, progress), [])


def test_fresh_group_begins_with_the_first_record() -> None:
    """Whatever retention has left of the topic."""
    assert starting_point(-1, start=70) == ((70, Progress(0, 0)), [])


@pytest.mark.parametrize("committed", [0, 1_000])
def test_both_ends_of_the_log_are_good_places(committed: int) -> None:
    """Nothing read yet, and everything."""
    assert starting_point(committed) == ((committed, Progress(0, 0)), [])


def test_retention_that_overtook_the_worker_is_said_loudly() -> None:
    """Commands were deleted unread: a gap is never silent."""
    metrics = Metrics()
    with capture_logs() as logged:
        _say_gap(PARTITION, 400, 450, metrics)
        _say_gap(PARTITION, 450, 450, metrics)
        _say_gap(PARTITION, -1, 450, metrics)

    assert _starting_point(PARTITION, 400, "", 450, 1_000) == (450, Progress(0, 0))
    assert [(one["log_level"], one["missing_offsets"], one["partition"]) for one in logged] == [("error", 50, 3)]
    assert metrics.registry.get_sample_value("customer_sync_commands_lost_to_retention_total") == 50


@pytest.mark.parametrize(
    ("bits", "horizon", "expected"),
    [
        pytest.param(1 << 60 | 1 << 10, 200, (450, Progress(1 << 10, 150)), id="settled beyond the gap"),
        pytest.param(0b111 << 50, 200, (453, Progress(0, 147)), id="settled right behind the gap"),
        pytest.param(1 << 10, 20, (450, Progress(0, 0)), id="nothing beyond the gap"),
    ],
)
def test_retention_takes_back_nothing_that_was_settled(bits: int, horizon: int, expected: tuple[int, Progress]) -> None:
    """What the predecessor settled, or may have sent, behind the gap is still so: else it would be done twice."""
    found, _ = starting_point(400, encode(Progress(bits, horizon)), start=450)

    assert found == expected


def test_retention_takes_back_no_attempt() -> None:
    """What was tried in vain behind the gap is not begun anew; what was deleted is nobody's concern."""
    first, last = Tried(1, 0.5), Tried(4, 3.0, 2, (0, 4))
    found, _ = starting_point(400, encode(Progress(0b111 << 50, 0, ((0, first), (60, last)))), start=450)

    assert found == (453, Progress(0, 0, ((7, last),)))


def test_topic_that_was_recreated_is_read_from_its_beginning() -> None:
    """What was committed belongs to another log."""
    assert starting_point(1_001, encode(Progress(0b10, 7))) == ((0, Progress(0, 0)), ["error committed_beyond_end"])


def test_unreadable_metadata_costs_repeated_work_and_no_command() -> None:
    """Said loudly, and never a crash."""
    assert starting_point(400, "another program's") == ((400, Progress(0, 0)), ["warning progress_unreadable"])


class Draining:
    """A partition as `_drain_or_lose` sees it."""

    def __init__(self, drain: Callable[[], Awaitable[None]]) -> None:
        self.drain = drain


@pytest.mark.parametrize(
    ("drain_seconds", "lost_after_seconds", "ended_at"),
    [pytest.param(3.0, 10.0, 3.0, id="drained"), pytest.param(10.0, 3.0, 3.0, id="lost first")],
)
def test_drain_ends_when_all_is_committed_or_the_partition_is_lost(
    drain_seconds: float, lost_after_seconds: float, ended_at: float
) -> None:
    """A partition that somebody else has must not hold up the others of the rebalance."""

    async def scenario() -> None:
        async with asyncio.TaskGroup() as tasks:
            owning = tasks.create_task(asyncio.sleep(lost_after_seconds))
            partition = Draining(lambda: asyncio.sleep(drain_seconds))
            await _drain_or_lose(partition, owning)  # type: ignore[arg-type]  # it drains, and that is all

            assert now() == ended_at
            owning.cancel()

    run_virtually(scenario())
