"""Finds a worker that lives and does nothing."""

import asyncio

import pytest

from harness.virtual_time import run_virtually
from worker.operations.watchdog import ProgressWatchdog, task_stacks


def watch(watchdog: ProgressWatchdog, now: float, *, settled: int = 5, waits: bool = True, may: bool = True) -> bool:
    """Whether it is stalled at that moment."""
    return watchdog.is_stalled(settled=settled, work_waits=waits, may_work=may, now=now)


def test_work_that_nothing_excuses_and_nobody_settles_is_a_stall() -> None:
    """After as much patience as it has."""
    watchdog = ProgressWatchdog(patience_seconds=30)

    assert [watch(watchdog, now) for now in (0.0, 15.0, 30.0, 30.1, 99.0)] == [False, False, False, True, True]


@pytest.mark.parametrize(
    "excuse",
    [
        pytest.param({"settled": 6}, id="something was settled"),
        pytest.param({"waits": False}, id="nothing waits"),
        pytest.param({"may": False}, id="a circuit is open, or Kafka does not answer"),
    ],
)
def test_every_excuse_starts_the_patience_anew(excuse: dict[str, int]) -> None:
    """For however short a moment it held."""
    watchdog = ProgressWatchdog(patience_seconds=30)
    settled = excuse.get("settled", 5)
    watch(watchdog, 0.0)
    assert not watchdog.is_stalled(
        settled=settled, work_waits=bool(excuse.get("waits", True)), may_work=bool(excuse.get("may", True)), now=29.0
    )

    assert not watch(watchdog, 59.0, settled=settled)
    assert watch(watchdog, 59.1, settled=settled)


def test_stall_ends_with_the_next_settlement() -> None:
    """The worker recovered before anybody restarted it."""
    watchdog = ProgressWatchdog(patience_seconds=30)
    watch(watchdog, 0.0)
    assert watch(watchdog, 31.0)

    assert not watch(watchdog, 32.0, settled=6)


def test_first_look_is_no_stall() -> None:
    """Whatever the clock says when a process starts."""
    assert not watch(ProgressWatchdog(patience_seconds=30), 1e9, settled=0)


def test_stacks_show_where_tasks_stand_and_no_values() -> None:
    """They are written to the log."""

    async def stuck_in_the_middle() -> None:
        secret = "jane.roe@private.example"  # noqa: F841  # a local variable, as of a task that handles a command
        await asyncio.Event().wait()

    async def scenario() -> list[str]:
        async with asyncio.TaskGroup() as tasks:
            stuck = tasks.create_task(stuck_in_the_middle())
            await asyncio.sleep(0)
            stacks = task_stacks()
            stuck.cancel()
        return stacks

    stacks = "".join(run_virtually(scenario()))
    assert "stuck_in_the_middle" in stacks
    assert "line" in stacks
