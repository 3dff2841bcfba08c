"""Promise 4: no request that is not needed, none when the upstream says wait, none beyond its limit."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from harness.commands import ENTERPRISE, LATE, VIP, command, full_customer
from harness.follower import follow
from harness.polling import eventually
from harness.settling import (
    CUSTOMERS,
    failing,
    new_customer,
    only_outcomes,
    requests_of,
    settle,
    settle_as_one_fold,
    status,
)
from harness.stage import Stage
from harness.topics import Topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(stage: Stage) -> WorkerProcess:
    """One worker, whose retries end almost at once."""
    await stage.upstream.control(generate_customers=CUSTOMERS)
    return await stage.start_ready_worker(RETRY_MAX_ELAPSED_SECONDS="0.5")


@pytest.fixture(autouse=True)
async def _healthy(stage: Stage, worker: WorkerProcess) -> None:
    await stage.upstream.control(faults=[], latency_seconds=0)
    assert worker.returncode is None


async def test_the_waiting_commands_of_a_customer_cost_one_get_and_one_patch(
    stage: Stage, worker: WorkerProcess
) -> None:
    """However many they are."""
    fields = ("phone", "note", "city", "contact")
    customer, events = await settle_as_one_fold(
        stage,
        worker,
        lambda customer: [command(customer, changes={field: str(turn)}) for turn in range(50) for field in fields],
        lambda _: [],
    )

    assert len(events) == 200
    _, *requests = await requests_of(stage, customer)
    assert [method for method, _ in requests] == ["GET", "PATCH"]
    written = requests[1][1] or {}
    assert {field: written[field] for field in fields} == dict.fromkeys(fields, "49")


async def test_commands_that_cancel_out_cost_no_patch(stage: Stage, worker: WorkerProcess) -> None:
    """The fold is compared with the customer as it is, not command by command."""
    customer, events = await settle_as_one_fold(
        stage,
        worker,
        lambda customer: [command(customer, country="Norway"), command(customer, country="Sweden")],
        lambda _: [],
    )

    assert {event.payload["country"] for event in events} == {"Sweden"}
    assert [method for method, _ in await requests_of(stage, customer)] == ["GET", "GET"]


async def test_a_change_that_changes_nothing_costs_no_patch(stage: Stage) -> None:
    """Compared as the upstream stores it: tags as a set of ids, whatever order and names they are given."""
    customer = "0a0b0c0d-0000-4000-8000-000000000001"
    await stage.upstream.control(customers=[full_customer(customer, "same", note=None, tags=[VIP, LATE])])
    same: list[dict[str, Any]] = [
        {"name": "Name same"},
        {"note": None},
        {"phone": "+46 8 same", "vat_number": "SE-same"},
        {"tags": [{**LATE, "name": "whatever"}, {**VIP, "id": VIP["id"].upper()}]},
    ]
    events = await settle(stage, *(command(customer, changes=changes) for changes in same))
    before = [method for method, _ in await requests_of(stage, customer)]
    (changed,) = await settle(stage, command(customer, note="", tags=[ENTERPRISE]))
    await stage.upstream.control(generate_customers=CUSTOMERS)

    assert all(event.is_event for event in events)
    assert set(before) == {"GET"}
    assert (changed.payload["note"], changed.payload["tags"]) == ("", [ENTERPRISE])


async def test_retry_after_is_obeyed_by_the_whole_process_and_is_no_attempt(stage: Stage) -> None:
    """One customer meets a 429: until its time is over nobody sends. Retries would have ended long before."""
    refused, *others = [new_customer() for _ in range(20)]
    await stage.upstream.control(faults=[failing(refused, status(429, retry_after=2), first=2)])
    async with follow(stage.topics) as follower:
        first = await stage.topics.publish([command(refused, phone="1")])

        async def is_refused() -> bool:
            return any(one["status"] == 429 for one in await stage.upstream.journal())

        await eventually(is_refused, within_seconds=10, what="a refusal")
        ids = await stage.topics.publish(command(one, phone="1") for one in others)
        events = await only_outcomes(follower, first + ids)

    assert all(event.is_event for event in events)
    journal = await stage.upstream.journal()
    refusals = [one["ended"] for one in journal if one["customer_id"] == refused and one["status"] == 429]
    assert len(refusals) == 2
    for moment in refusals:
        assert not [one for one in journal if moment + 0.05 < one["started"] < moment + 1.95]


@pytest.mark.partitions(4)
async def test_one_worker_keeps_the_limit_without_ever_being_refused(
    topics: Topics, upstream: UpstreamProcess, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Three windows full of work: no 429, and the budget is used."""
    limit, window_seconds = 60, 3
    customers = [new_customer() for _ in range(70)]
    await upstream.control(
        generate_customers=CUSTOMERS, rate_limit=limit, rate_window_seconds=window_seconds, latency_seconds=0.01
    )
    await topics.publish(command(customer, phone="1") for customer in customers)
    settings = {"UPSTREAM_RATE_LIMIT": str(limit), "UPSTREAM_RATE_WINDOW_SECONDS": str(window_seconds)}
    await start_worker(**settings).wait_ready()
    await topics.read_outcomes(len(customers), within_seconds=60)

    journal = await upstream.journal()
    assert [one["status"] for one in journal] == [200] * (2 * len(customers))
    seconds = journal[-1]["started"] - journal[0]["started"]
    print(f"{len(journal)} requests in {seconds:.1f} s under a limit of {limit} in {window_seconds} s, none refused")
    windows = itertools.groupby(journal, lambda one: int((one["started"] - journal[0]["started"]) / window_seconds))
    assert max(len(list(requests)) for _, requests in windows) <= limit
    assert seconds < 4 * window_seconds
