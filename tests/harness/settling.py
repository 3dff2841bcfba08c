"""Commands settled on a stage: published, waited for, and their outcomes handed to the test."""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from harness.commands import command
from harness.follower import Follower, follow
from harness.polling import eventually
from harness.stage import Stage
from harness.topics import Message, Outcome
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for

CUSTOMERS = 10_000
"""So many must be generated; `harness.load` uses the first few, `new_customer` those after them."""

_FRESH = itertools.count(1000)
_DOOR_SECONDS = 1.0


def new_customer() -> str:
    """A customer that no other test touches; generated customers have the country Sweden and a phone."""
    return customer_id_for(next(_FRESH))


def failing(customer_id: str, effect: dict[str, Any], **match: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON
    """A rule of the simulated upstream for one customer."""
    return {"match": {"customer_id": customer_id, **match}, "effect": effect}


def status(code: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401 -- JSON of any shape
    """The effect of an answer with another status."""
    return {"kind": "status", "status": code, **more}


def refusal_of(*fields: str) -> dict[str, Any]:
    """The 400 that names these fields, as the service words it."""
    issues = [{"code": "custom", "path": [field], "message": "Invalid input"} for field in fields]
    return status(400, body={"success": False, "error": {"name": "ZodError", "message": json.dumps(issues)}})


async def settle(stage: Stage, *messages: Message) -> list[Outcome]:
    """Publishes, and returns each command's outcome; AssertionError where one has two."""
    async with follow(stage.topics) as follower:
        ids = await stage.topics.publish(messages)
        return await only_outcomes(follower, ids)


async def only_outcomes(follower: Follower, ids: Sequence[str]) -> list[Outcome]:
    """The outcome of each command, which must be the only one."""
    outcomes = await follower.of(ids)
    assert all(len(follower.all_of(one)) == 1 for one in ids)
    return outcomes


async def settle_as_one_fold(
    stage: Stage,
    worker: WorkerProcess,
    commands_for: Callable[[str], Sequence[Message]],
    faults_for: Callable[[str], list[dict[str, Any]]],
) -> tuple[str, list[Outcome]]:
    """Has a new customer's commands wait behind an earlier one, so that they are applied together.

    Returns the customer and the outcomes; *faults_for* the customer hold from the fold's own requests on.
    """
    for door_seconds in (_DOOR_SECONDS, 5 * _DOOR_SECONDS):
        customer = new_customer()
        slow = failing(customer, {"kind": "slow", "seconds": door_seconds}, first=1)
        await stage.upstream.control(faults=[slow])
        async with follow(stage.topics) as follower:
            await stage.topics.publish([command(customer, country="Sweden")])  # changes nothing: a GET alone

            async def door_is_shut(customer: str = customer) -> bool:
                return any(one["customer_id"] == customer for one in await stage.upstream.journal())

            await eventually(door_is_shut, within_seconds=10, what="the first command's GET is under way")
            messages = commands_for(customer)
            received = await _received(worker)
            ids = await stage.topics.publish(messages)

            async def all_wait(received: float = received, count: int = len(messages)) -> bool:
                return await _received(worker) >= received + count

            await eventually(all_wait, within_seconds=10, what="the fold's commands wait")
            journal = [one for one in await stage.upstream.journal() if one["customer_id"] == customer]
            if len(journal) == 1 and journal[0]["ended"] is None:
                await stage.upstream.control(faults=faults_for(customer))
                return customer, await only_outcomes(follower, ids)
    pytest.fail("the machine is too slow to have commands wait for each other")


async def _received(worker: WorkerProcess) -> float:
    return await worker.metric("customer_sync_commands_received_total")


async def requests_of(stage: Stage, customer_id: str) -> list[tuple[str, dict[str, Any] | None]]:
    """Method and body of every request for this customer."""
    return [(one["method"], one["body"]) for one in await stage.upstream.journal() if one["customer_id"] == customer_id]


def assert_dead(outcome: Outcome, reason: str, *, http_status: int | None, attempts: int | None = None) -> None:
    """A dead letter of this kind."""
    assert outcome.reason == reason
    assert outcome.headers["dlq-status"] == ("" if http_status is None else str(http_status))
    if attempts is not None:
        assert outcome.headers["dlq-attempts"] == str(attempts)
