"""What a PATCH really does to a customer, beyond the recorded scenarios."""

import json
import re

import pytest
from pydantic import JsonValue

from worker.demo.upstream.customers import Customers, Unreadable, canonical_id, customer_id_for

ID = "00000000-0000-4000-8000-000000000101"
VIP_ID = "00000000-0000-4000-8000-000000000051"
VIP: JsonValue = {"id": VIP_ID, "name": "VIP"}
LATE: JsonValue = {"id": "00000000-0000-4000-8000-000000000053", "name": "Late"}
FOREIGN: JsonValue = {"id": "00000000-0000-4000-8000-0000000000f1", "name": "Foreign"}
GOOD: dict[str, JsonValue] = {"name": "N", "email": "n@x.test"}


def holding(**fields: JsonValue) -> Customers:
    """A store with one customer."""
    customers = Customers()
    customers.replace([{"id": ID, "name": "Old", "email": "old@x.test", **fields}])
    return customers


def row(customers: Customers, customer_id: str = ID) -> dict[str, JsonValue]:
    """The customer as a GET shows it."""
    body = customers.read(customer_id)
    assert body is not None
    shown: dict[str, JsonValue] = json.loads(body)
    return shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ID, ID),
        ("B3B7C1E2-4C2A-4E7A-9C1A-2B7C1E24C2A4", "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"),
        ("{b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4}", "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"),
        ("b3b7c1e24c2a4e7a9c1a2b7c1e24c2a4", "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"),
        ("b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a", None),
        ("not-a-uuid", None),
        ("", None),
        ("{}", None),
    ],
)
def test_an_id_is_read_as_the_database_reads_it(text: str, expected: str | None) -> None:
    """Upper case, braces and missing hyphens are one id; what it refuses is a 500."""
    assert canonical_id(text) == expected


@pytest.mark.parametrize("text", ["a\0b", "a\ud800b"])
def test_what_the_database_cannot_store_writes_nothing(text: str) -> None:
    """U+0000 and lone surrogates."""
    customers = holding()
    before = customers.read(ID)

    written = customers.write(ID, {**GOOD, "note": text}, 0.0)

    assert (written.body, written.applied) == (None, False)
    assert customers.read(ID) == before


@pytest.mark.parametrize("tags", [[FOREIGN], [LATE, LATE], [VIP, VIP], [LATE, FOREIGN]])
def test_refused_tags_leave_the_old_ones_and_the_new_fields(tags: list[JsonValue]) -> None:
    """500 does not mean that nothing was applied."""
    customers = holding(tags=[VIP])

    written = customers.write(ID, {**GOOD, "tags": tags, "phone": "1"}, 0.0)

    assert (written.body, written.applied) == (None, True)
    assert (row(customers)["name"], row(customers)["phone"], row(customers)["tags"]) == ("N", "1", [VIP])


def test_a_tag_that_a_given_customer_carries_exists() -> None:
    """Also where the list of known tags does not name it: in a database it could not be otherwise."""
    customers = holding(tags=[FOREIGN])
    customers.write(ID, GOOD, 0.0)
    assert row(customers)["tags"] == []

    customers.write(ID, {**GOOD, "tags": [FOREIGN]}, 0.0)

    assert row(customers)["tags"] == [FOREIGN]


def test_a_renamed_tag_is_shown_with_its_new_name() -> None:
    """The stored name counts."""
    customers = holding(tags=[VIP])

    customers.replace_tags([(VIP_ID, "Very important")])

    assert row(customers)["tags"] == [{"id": VIP_ID, "name": "Very important"}]


def test_a_stored_email_that_is_malformed_fails_every_read_until_a_patch_mends_it() -> None:
    """The service checks its own answers."""
    customers = holding(email="nonsense")
    with pytest.raises(Unreadable):
        customers.read(ID)

    assert customers.write(ID, GOOD, 0.0).body is not None

    assert row(customers)["email"] == "n@x.test"


def test_the_first_patch_signs_a_token_and_later_ones_keep_it() -> None:
    """A customer that a PATCH made has none before its second PATCH."""
    customers = Customers()
    customers.write(ID, GOOD, 0.0)
    assert row(customers)["token"] == ""

    customers.write(ID, GOOD, 0.0)
    first = row(customers)["token"]
    customers.write(ID, {**GOOD, "token": "mine"}, 0.0)

    assert row(customers)["token"] == first
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", str(first))


def test_a_created_customer_is_told() -> None:
    """So that a test can show that nothing was created."""
    customers = holding()
    assert not customers.write(ID, GOOD, 0.0).created

    written = customers.write(customer_id_for(0), GOOD, 59.5)

    assert written.created
    assert customers.created == [customer_id_for(0)]
    assert row(customers, customer_id_for(0))["createdAt"] == "2026-01-01 00:00:59.5+00"


def test_generated_customers_are_made_when_they_are_asked_for() -> None:
    """A hundred thousand cost nothing; a PATCH keeps its customer, and generating anew forgets it."""
    customers = Customers()
    customers.generate(100_000)
    assert (len(customers), customers.stored()) == (100_000, [])
    assert customers.read(customer_id_for(100_000)) is None
    before = row(customers, customer_id_for(99_999))
    assert before["name"] == "Customer 99999"

    customers.write(customer_id_for(99_999), {**GOOD, "tags": before["tags"]}, 0.0)

    changed = {field for field, value in row(customers, customer_id_for(99_999)).items() if value != before[field]}
    assert changed == {"name", "email", "token"}
    assert (len(customers), customers.created) == (100_000, [])
    customers.generate(100_000)
    assert row(customers, customer_id_for(99_999)) == before


def test_customers_given_replace_all_others() -> None:
    """Generated and created ones too."""
    customers = holding()
    customers.generate(3)

    customers.replace([])

    assert (len(customers), customers.read(ID), customers.read(customer_id_for(0))) == (0, None, None)
