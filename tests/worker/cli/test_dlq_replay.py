"""`dlq replay`: dead letters go back to the worker, and no customer moves back in time."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from harness.builders import customer_id
from harness.command_line import CommandLine
from harness.commands import command
from harness.polling import eventually
from harness.topics import Message, Topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for

pytestmark = [pytest.mark.real_kafka, pytest.mark.partitions(2)]

UNKNOWN = customer_id_for(5)
Settle = Callable[..., Awaitable[None]]


@pytest.fixture
async def worker(start_worker: Callable[..., WorkerProcess], upstream: UpstreamProcess) -> WorkerProcess:
    """A worker whose upstream knows the first five customers."""
    await upstream.control(generate_customers=5)
    running = start_worker(COMMIT_INTERVAL_MS="0")
    await running.wait_ready()
    return running


@pytest.fixture
async def settle(worker: WorkerProcess, topics: Topics) -> Settle:
    """Publishes commands and waits until so many outcomes are there in all."""
    assert worker.returncode is None

    async def publish(*messages: Message, outcomes: int) -> None:
        await topics.publish(messages)
        await topics.read_outcomes(outcomes, within_seconds=60)

    return publish


async def rows(command_line: CommandLine) -> list[dict[str, Any]]:
    """All dead letters and their states."""
    finished = await command_line.along("dlq", "list", "--all", "--json")
    return [json.loads(line) for line in finished.output.splitlines()]


async def stored(upstream: UpstreamProcess, customer: str) -> dict[str, Any]:
    """The customer as the upstream has it."""
    return next(one for one in (await upstream.state())["customers"] if one["id"] == customer)


async def test_replay_is_applied_once_the_cause_is_gone(
    on_topics: CommandLine, topics: Topics, upstream: UpstreamProcess, settle: Settle
) -> None:
    """Counted first, recorded, and seen to be applied."""
    await settle(command(customer_id_for(0), city="Ghent"), command(UNKNOWN, city="Ghent"), outcomes=2)
    await upstream.control(generate_customers=10)

    looked = await on_topics.along("dlq", "replay", "--all", "--dry-run")
    finished = await on_topics.along("dlq", "replay", "--reason", "unknown_customer", "--yes")
    outcomes = await topics.read_outcomes(3)

    assert "1 command of 1 customer, about 2 requests" in looked.output
    assert finished.exit_code == 0, finished.errors
    assert "replayed 1 command" in finished.output
    assert [one.command_id.endswith("#1") for one in outcomes if one.customer_id == UNKNOWN and one.is_event] == [True]
    assert (await stored(upstream, UNKNOWN))["city"] == "Ghent"

    async def applied() -> bool:
        return [row["state"] for row in await rows(on_topics)] == ["applied"]

    await eventually(applied, within_seconds=20, what="the replay is seen to be applied")
    assert "nothing to replay" in (await on_topics.along("dlq", "replay", "--all", "--yes")).output


async def test_fields_that_later_commands_have_set_are_left_out(
    on_topics: CommandLine, topics: Topics, upstream: UpstreamProcess, settle: Settle
) -> None:
    """What is left is what the command would have left in its own time."""
    await settle(command(UNKNOWN, city="old", phone="1"), command(UNKNOWN, note="old"), outcomes=2)
    await upstream.control(generate_customers=10)
    await settle(command(UNKNOWN, city="new", note="new"), outcomes=3)

    async def replayed() -> bool:
        finished = await on_topics.along("dlq", "replay", "--all", "--yes")
        return "1 of them in part, 1 superseded" in finished.output

    await eventually(replayed, within_seconds=20, what="what came later is settled, and the rest replayed")
    await topics.read_outcomes(4)

    customer = await stored(upstream, UNKNOWN)
    assert (customer["city"], customer["note"], customer["phone"]) == ("new", "new", "1")
    assert sorted(row["state"] for row in await rows(on_topics))[1] == "superseded"


async def test_replay_that_dies_again_is_open_again(on_topics: CommandLine, topics: Topics, settle: Settle) -> None:
    """With the next number, from the same command."""
    await settle(command(UNKNOWN, city="Ghent"), outcomes=1)
    await on_topics.along("dlq", "replay", "--all", "--yes")
    await topics.read_outcomes(2)

    found = {row["replay"]: row["state"] for row in await rows(on_topics)}
    again = await on_topics.along("dlq", "replay", "--all", "--yes")
    last = (await topics.read_outcomes(3))[-1]

    assert found == {0: "died again", 1: "open"}
    assert "replayed 1 command" in again.output
    assert last.headers["dlq-replay"] == "2"


async def test_what_the_worker_would_refuse_again_is_held_back(on_topics: CommandLine, settle: Settle) -> None:
    """It says so, and what to do; nothing closed is a failure."""
    await settle(Message(customer_id(1), b"{"), outcomes=1)

    finished = await on_topics.along("dlq", "replay", "--all", "--yes")

    assert finished.exit_code == 1
    assert "the worker would refuse it again" in finished.output
    assert "dlq edit" in finished.output


@pytest.mark.parametrize(
    ("arguments", "exit_code", "complaint"),
    [
        pytest.param(["replay"], 2, "--all", id="neither ids nor filters"),
        pytest.param(["replay", "nobody"], 1, "no dead letter has the id or place nobody", id="no such id"),
    ],
)
async def test_what_is_not_clear_is_not_done(
    on_topics: CommandLine, arguments: list[str], exit_code: int, complaint: str
) -> None:
    """Before anything is written."""
    finished = await on_topics.along("dlq", *arguments)

    assert finished.exit_code == exit_code
    assert complaint in finished.errors


async def test_nobody_is_asked_where_nobody_can_answer(on_topics: CommandLine, settle: Settle) -> None:
    """A script has to say --yes."""
    await settle(command(UNKNOWN, city="Ghent"), outcomes=1)

    finished = await on_topics.along("dlq", "replay", "--all")

    assert finished.exit_code == 2
    assert "--yes" in finished.errors
