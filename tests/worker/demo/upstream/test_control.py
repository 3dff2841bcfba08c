"""The control endpoint: state replaced and shown, mistakes refused, the journal."""

import asyncio
import json
import time

import pytest

from harness.upstream_driver import ID, NEW, OTHER, UpstreamDriver
from worker.demo.upstream import RW_TOKEN, ControlRefused


async def test_control_replaces_what_it_names_and_nothing_else(client: UpstreamDriver) -> None:
    """Customers in the form of the recordings; what they lack is empty."""
    await client.control(rate_limit=5)
    await client.control(customers=[{"id": ID, "name": "Given", "email": "g@x.test", "future": 1}])

    shown = await client.shown()

    [customer] = shown["customers"]
    assert (customer["name"], customer["phone"], customer["tags"], customer["future"]) == ("Given", None, [], 1)
    assert len(customer) == 43 + 1
    assert (shown["generated_customers"], shown["rate_limit"], len(shown["tags_known"])) == (0, 5, 3)
    await client.control(rate_limit=None, tags_known=[])
    shown = await client.shown()
    assert (len(shown["customers"]), shown["rate_limit"], shown["tags_known"]) == (1, None, [])


@pytest.mark.parametrize(
    ("control", "problem"),
    [
        pytest.param("{", "Invalid JSON", id="no JSON"),
        pytest.param("[]", "$: Input should be an object", id="an array"),
        pytest.param('{"customer": []}', "$.customer: Extra inputs are not permitted", id="an unknown name"),
        pytest.param('{"rate_limit": "3"}', "$.rate_limit: Input should be a valid integer", id="a text for a number"),
        pytest.param('{"rate_limit": -1}', "$.rate_limit", id="a negative limit"),
        pytest.param('{"rate_window_seconds": 0}', "$.rate_window_seconds", id="a window of no length"),
        pytest.param('{"customers": [{"id": "x"}]}', "$.customers.0.id: Value error, an id is a UUID", id="no UUID"),
        pytest.param(
            json.dumps({"customers": [{"id": ID}, {"id": ID.upper()}]}),
            "$.customers: Value error, an id is named twice",
            id="one customer twice",
        ),
        pytest.param('{"tokens": {"t": {"user": "u"}}}', "scopes: Field required", id="a token without scopes"),
        pytest.param('{"faults": [{"effect": {"kind": "explode"}}]}', "$.faults.0.effect", id="an unknown effect"),
        pytest.param('{"faults": [{"effect": {"kind": "status"}}]}', "status: Field required", id="status without one"),
        pytest.param(
            '{"faults": [{"match": {"first": 1, "every": 2}, "effect": {"kind": "hang"}}]}',
            "name at most one of first, every, probability",
            id="two choices",
        ),
        pytest.param(
            '{"faults": [{"effect": {"kind": "wrong_content", "text": "", "body": 1}}]}',
            "name at most one of body, text",
            id="two bodies",
        ),
    ],
)
async def test_control_that_is_wrong_is_refused_and_changes_nothing(
    client: UpstreamDriver, control: str, problem: str
) -> None:
    """With 400 and every problem, by its path."""
    async with client.session.post("/control", data=control) as answer:
        refusal = await answer.json()

    assert answer.status == 400
    assert any(problem in one for one in refusal["problems"]), refusal
    assert refusal["error"].startswith("control refused, nothing was changed: ")
    assert await client.name() == "Customer 0"


async def test_all_problems_of_a_control_are_told_at_once(client: UpstreamDriver) -> None:
    """And what is right beside them does not happen either."""
    with pytest.raises(ControlRefused) as refused_control:
        client.upstream.control({"customers": [], "rate_limit": "x", "latency_seconds": -1, "unheard": 1})

    assert len(refused_control.value.problems) == 3
    assert await client.name() == "Customer 0"


@pytest.mark.parametrize("query", ["?since=x", "?since=-1", "?limit=", "?until=1"])
async def test_a_view_that_does_not_exist_is_refused(client: UpstreamDriver, query: str) -> None:
    """By its name."""
    async with client.session.get(f"/control{query}") as answer:
        assert answer.status == 400
        assert (await answer.json())["problems"][0].startswith(query[1:].partition("=")[0])


async def test_other_ways_to_control_are_refused(client: UpstreamDriver) -> None:
    """There are GET and POST."""
    async with client.session.delete("/control") as answer:
        assert answer.status == 405


async def test_the_journal_tells_the_requests_in_order(client: UpstreamDriver) -> None:
    """Customers, moments, bodies and what became of each; no credentials."""
    await client.get()
    await client.patch()
    await client.patch("11111111-1111-4111-8111-111111111111")
    await client.get("not-a-uuid")

    shown = await client.shown()

    told = [
        (one["method"], one["customer_id"], one["status"], one["applied"], one["created"]) for one in shown["journal"]
    ]
    assert told == [
        ("GET", ID, 200, False, False),
        ("PATCH", ID, 200, True, False),
        ("PATCH", "11111111-1111-4111-8111-111111111111", 200, True, True),
        ("GET", "not-a-uuid", 500, False, False),
    ]
    assert [one["sequence"] for one in shown["journal"]] == [1, 2, 3, 4]
    assert all(one["started"] <= one["ended"] <= time.monotonic() for one in shown["journal"])
    assert shown["journal"][1]["body"] == NEW
    assert shown["customers_created"] == ["11111111-1111-4111-8111-111111111111"]
    assert shown["overlaps"] == 0
    assert RW_TOKEN not in json.dumps(shown)
    assert [one["sequence"] for one in (await client.shown("?since=2&limit=1"))["journal"]] == [3]
    assert {"journal", "customers"}.isdisjoint(await client.shown("?journal=0&customers=0"))


async def test_two_requests_of_one_customer_at_a_time_are_told(client: UpstreamDriver) -> None:
    """The sign that a worker broke its promise."""
    await client.control(latency_seconds=0.05)

    async with asyncio.TaskGroup() as tasks:
        for customer_id in (ID, ID, OTHER):
            tasks.create_task(client.get(customer_id))

    assert client.upstream.state()["overlaps"] == 1
