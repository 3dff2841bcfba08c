"""The promise that nobody is surprised, held against what the upstream really does with a PATCH.

Random customers, random changes: each change goes the worker's way (read, merge, send) over HTTP. Afterwards the
upstream holds the old customers with the named fields changed and everything else as it was; nothing was created.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.customer import Customer
from handlers.fields import CAMEL, CLEARABLE_FIELDS
from handlers.merge import fold, patch_body
from worker.demo.upstream import RW_TOKEN, SimulatedUpstream, customer_id_for

Fields = dict[str, Any]

UNKNOWN = customer_id_for(9)
IDS = (customer_id_for(0), customer_id_for(1))
TAGS: list[Fields] = [{"id": f"00000000-0000-4000-8000-00000000007{n}", "name": f"Tag {n}"} for n in range(4)]

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
emails = st.sampled_from(["a@x.test", "B@x.test", "o'hara@x.ie", "b+c@d.example"])
tag_sets = st.lists(st.sampled_from(range(len(TAGS))), unique=True).map(lambda chosen: [TAGS[n] for n in chosen])
values: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "email": emails,
    "tags": tag_sets,
    **dict.fromkeys(CLEARABLE_FIELDS, st.none() | texts),
}
changes = st.fixed_dictionaries({}, optional=values)
folds = st.tuples(st.sampled_from((*IDS, UNKNOWN)), st.lists(changes, min_size=1, max_size=3))
unread = st.fixed_dictionaries(
    {
        "invoiceCount": st.integers(0, 99),
        "projectCount": st.integers(0, 99),
        "token": st.sampled_from(["", "signed.by.upstream"]),
        "billingEmail": st.none() | emails,
        "industry": st.none() | texts,
    }
)


@st.composite
def customers(draw: st.DrawFn, customer_id: str) -> Fields:
    """A customer in the form of an answer, every writable field and some others at random."""
    fields = draw(st.fixed_dictionaries(values))
    return {"id": customer_id, **{CAMEL[name]: value for name, value in fields.items()}, **draw(unread)}


@dataclass
class Lab:
    """One simulated upstream for all examples, its loop turned only while an example asks it something."""

    runner: asyncio.Runner
    upstream: SimulatedUpstream
    session: aiohttp.ClientSession

    def update(self, customer_id: str, change: Fields) -> None:
        """The worker's way: GET, merge, PATCH; nothing where GET finds nobody or nothing differs."""
        self.runner.run(self._update(customer_id, change))

    def held(self) -> dict[str, Fields]:
        """All customers the upstream holds, by id."""
        stored: Any = self.upstream.state()["customers"]
        return {one["id"]: one for one in stored}

    async def _update(self, customer_id: str, change: Fields) -> None:
        path = f"/customers/{customer_id}"
        async with self.session.get(path) as answer:
            if answer.status == 404:
                return
            current = Customer.parse(await answer.read())
        body = patch_body(current, change)
        if body is not None:
            async with self.session.patch(path, json=body) as answer:
                assert answer.status == 200, await answer.text()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A Lab without a rate limit."""
    with asyncio.Runner() as runner:
        upstream = SimulatedUpstream(rate_limit=None)

        async def start() -> aiohttp.ClientSession:
            await upstream.start()
            return aiohttp.ClientSession(upstream.url, headers={"Authorization": f"Bearer {RW_TOKEN}"})

        session = runner.run(start())
        yield Lab(runner, upstream, session)
        runner.run(session.close())
        runner.run(upstream.stop())


@given(before=st.tuples(*map(customers, IDS)), sequence=st.lists(folds, min_size=1, max_size=5))
def test_exactly_the_named_fields_change_and_nobody_is_created(
    lab: Lab, before: tuple[Fields, ...], sequence: list[tuple[str, list[Fields]]]
) -> None:
    """Whatever the sequence of folds, one for a customer that nobody knows among them."""
    lab.upstream.control({"customers": list(before), "tags_known": [*TAGS]})
    expected = {customer_id: dict(one) for customer_id, one in lab.held().items()}

    for customer_id, commands in sequence:
        change = fold(commands)
        lab.update(customer_id, change)
        expected.get(customer_id, {}).update({CAMEL[name]: value for name, value in change.items()})

    held = lab.held()
    for customer_id, customer in expected.items():
        customer["tags"] = sorted(customer["tags"], key=lambda tag: tag["id"])
        if customer["token"] == "":  # the first PATCH has the upstream sign one
            customer["token"] = held[customer_id]["token"]
    assert json.dumps(held, sort_keys=True) == json.dumps(expected, sort_keys=True)
    assert lab.upstream.state()["customers_created"] == []
