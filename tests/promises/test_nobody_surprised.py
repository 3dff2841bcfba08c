"""Promise 5: what a command does not name keeps its value, tags survive, and nothing is created."""

import random
from typing import Any

import pytest
import pytest_asyncio

from harness.commands import ENTERPRISE, LATE, VIP, command, full_customer
from harness.settling import settle
from harness.stage import Stage
from harness.worker_process import WorkerProcess

CAMEL = {
    "address_line1": "addressLine1",
    "address_line2": "addressLine2",
    "vat_number": "vatNumber",
    "country_code": "countryCode",
}
CLEARABLE = (
    *("country", "address_line1", "address_line2", "city", "state", "zip", "phone", "website", "note", "vat_number"),
    *("country_code", "contact"),
)
KEPT_BY_UPSTREAM = {"token", "tags"}
"""`token` is made by the first PATCH; tags are compared apart, as sets."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def worker(stage: Stage) -> WorkerProcess:
    """One worker, after its first good answer, so that a 404 is what it looks like."""
    first = customer_id(0)
    await stage.upstream.control(customers=[full_customer(first, "0")])
    worker = await stage.start_ready_worker()
    await settle(stage, command(first, phone="proven"))
    return worker


def customer_id(number: int) -> str:
    """The id of one of this file's customers."""
    return f"ab000000-0000-4000-8000-{number:012d}"


def differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The fields that are not what they were, with their new values."""
    return {name: after[name] for name in after if after[name] != before[name] and name not in KEPT_BY_UPSTREAM}


async def stored(stage: Stage) -> dict[str, dict[str, Any]]:
    """The upstream's customers by id."""
    return {one["id"]: one for one in (await stage.upstream.state(journal=0))["customers"]}


@pytest.mark.parametrize("field", ["name", "email", *CLEARABLE])
async def test_only_the_named_field_changes(stage: Stage, field: str) -> None:
    """One customer has it set and another has it cleared; all else stays as it was, tags too."""
    setting, clearing = customer_id(1), customer_id(2)
    await stage.upstream.control(customers=[full_customer(setting, "1"), full_customer(clearing, "2")])
    before = await stored(stage)
    new = "new@people.test" if field == "email" else "new"
    value: str | None = None if field in CLEARABLE else "2" + new
    events = await settle(stage, command(setting, changes={field: new}), command(clearing, changes={field: value}))

    after = await stored(stage)
    name = CAMEL.get(field, field)
    assert differing(before[setting], after[setting]) == {name: new}
    assert differing(before[clearing], after[clearing]) == {name: value}
    assert [after[one]["tags"] for one in (setting, clearing)] == [[VIP, LATE]] * 2
    assert [event.payload[field] for event in events] == [new, value]


async def test_tags_are_replaced_as_a_set_and_nothing_else_changes(stage: Stage) -> None:
    """To others, to none, and back to some."""
    customer = customer_id(3)
    await stage.upstream.control(customers=[full_customer(customer, "3")])
    before = await stored(stage)
    for tags in ([ENTERPRISE], [], [VIP, ENTERPRISE, LATE]):
        (event,) = await settle(stage, command(customer, tags=tags))
        assert event.payload["tags"] == tags
        assert (await stored(stage))[customer]["tags"] == tags

    assert differing(before[customer], (await stored(stage))[customer]) == {}


async def test_customers_that_the_upstream_does_not_know_are_not_created(stage: Stage) -> None:
    """Each of their commands is a dead letter, whatever it would have changed."""
    strangers = [customer_id(900 + number) for number in range(5)]
    commands = [command(one, name="N", email="e@people.test", tags=[VIP]) for one in strangers * 2]
    before = len(await stored(stage))
    outcomes = await settle(stage, *commands)

    assert {outcome.reason for outcome in outcomes} == {"unknown_customer"}
    state = await stage.upstream.state(since=0)
    assert state["customers_created"] == []
    assert len(state["customers"]) == before
    assert {one["method"] for one in state["journal"] if one["customer_id"] in strangers} == {"GET"}


async def test_any_changes_of_any_customers_change_what_they_name(stage: Stage, pytestconfig: pytest.Config) -> None:
    """Some hundred commands drawn from the seed, interleaved and folded as it comes."""
    seed = pytestconfig.getoption("--seed")
    chance = random.Random(seed)
    customers = [full_customer(customer_id(number), str(number)) for number in range(10, 30)]
    await stage.upstream.control(customers=customers)
    expected = await stored(stage)
    messages = []
    for _ in range(300):
        customer = chance.choice(customers)["id"]
        changes: dict[str, Any] = {
            field: chance.choice([None, "", f"{field} {chance.random():.3f}", "å\N{SNOWMAN}"])
            for field in chance.sample(CLEARABLE, chance.randrange(4))
        }
        if not changes or chance.random() < 0.3:
            changes["tags"] = sorted(chance.sample([VIP, ENTERPRISE, LATE], chance.randrange(4)), key=lambda t: t["id"])
        messages.append(command(customer, changes=changes))
        expected[customer].update({CAMEL.get(field, field): value for field, value in changes.items()})
    outcomes = await settle(stage, *messages)

    assert [one.reason for one in outcomes if not one.is_event] == [], f"seed {seed}"
    after = await stored(stage)
    assert [one for one in after if differing(expected[one], after[one])] == [], f"seed {seed}"
    assert {one: after[one]["tags"] for one in after} == {one: expected[one]["tags"] for one in after}, f"seed {seed}"
