"""Merging: exactly the named fields change, with the smallest request that does it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from handlers.customer import Customer
from handlers.fields import CAMEL, CHANGEABLE_FIELDS, CLEARABLE_FIELDS
from handlers.merge import culprits, fold, patch_body, replaced

TAG_NAMES = {f"00000000-0000-4000-8000-00000000005{n}": name for n, name in enumerate(["VIP", "Late", "VIP", "Ö"])}
STORED: dict[str, Any] = {
    **{CAMEL[name]: f"stored {name}" for name in CLEARABLE_FIELDS},
    "id": "3f0c1d52-7a1e-4c55-9d0a-6b1f2a7c9e10",
    "name": "Acme",
    "email": "billing@acme.test",
    "createdAt": "2026-11-23 11:35:36.39042+00",
    "token": "signed",
    "invoiceCount": 3,
    "projectCount": 1,
    "tags": [{"id": tag_id, "name": TAG_NAMES[tag_id]} for tag_id in list(TAG_NAMES)[:2]],
    "billingEmail": "old@acme.test",
}
VIP, LATE, OTHER, _ = TAG_NAMES


def customer(**others: object) -> Customer:
    """The stored customer with *others* in place of its fields."""
    return Customer({**STORED, **others}, "2026-11-23T11:35:36.390Z")  # type: ignore[dict-item] # made up of JSON


def tagged(*tag_ids: str) -> list[dict[str, str]]:
    """Tags by their ids, with the names that the upstream has stored."""
    return [{"id": tag_id, "name": TAG_NAMES[tag_id]} for tag_id in tag_ids]


NEEDED = {"name": "Acme", "email": "billing@acme.test", "tags": tagged(VIP, LATE)}


@pytest.mark.parametrize(
    ("changes", "beside"),
    [
        pytest.param({"city": "Oslo"}, {"city": "Oslo"}, id="one field"),
        pytest.param(
            {"address_line1": "x", "vat_number": None}, {"addressLine1": "x", "vatNumber": None}, id="camelCase"
        ),
        pytest.param({"name": "New"}, {"name": "New"}, id="a name"),
        pytest.param({"email": "Billing@acme.test"}, {"email": "Billing@acme.test"}, id="an e-mail's case"),
        pytest.param({"phone": ""}, {"phone": ""}, id="an empty text, which is stored"),
        pytest.param({"phone": None}, {"phone": None}, id="a field cleared"),
        pytest.param({"city": "stored city", "zip": "1"}, {"zip": "1"}, id="what is as it should be stays out"),
        pytest.param({"tags": []}, {"tags": []}, id="all tags removed"),
        pytest.param({"tags": tagged(LATE, OTHER)}, {"tags": tagged(LATE, OTHER)}, id="one tag for another"),
        pytest.param({"note": "stored note "}, {"note": "stored note "}, id="a blank at the end"),
        pytest.param({"note": "o\u0308"}, {"note": "o\u0308"}, id="a character composed otherwise"),
    ],
)
def test_the_body_is_name_email_tags_and_what_differs(changes: dict[str, Any], beside: dict[str, Any]) -> None:
    """Left-out tags would be deleted; anything more could be refused or undo somebody's edit."""
    assert patch_body(customer(), changes) == {**NEEDED, **beside}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"city": "stored city"}, id="the stored text"),
        pytest.param({"name": "Acme", "email": "billing@acme.test"}, id="the stored name and e-mail"),
        pytest.param({"tags": tagged(VIP, LATE)}, id="the stored tags"),
        pytest.param({"tags": tagged(LATE, VIP)}, id="the stored tags in another order"),
        pytest.param(
            {"tags": [{"id": VIP, "name": "x"}, {"id": LATE, "name": ""}]}, id="the stored tags by other names"
        ),
    ],
)
def test_a_change_that_changes_nothing_needs_no_request(changes: dict[str, Any]) -> None:
    """As the upstream stores: tags are a set, and their stored names count."""
    assert patch_body(customer(), changes) is None


def test_null_and_an_empty_text_are_two_things() -> None:
    """The upstream stores them apart."""
    assert patch_body(customer(phone=None), {"phone": ""}) is not None
    assert patch_body(customer(phone=""), {"phone": None}) is not None
    assert patch_body(customer(phone=None), {"phone": None}) is None


def test_tags_are_sent_back_with_id_and_name_alone() -> None:
    """Whatever else a newer upstream tells of a tag."""
    current = customer(tags=[{"id": VIP, "name": "VIP", "color": "red"}])

    assert patch_body(current, {"city": "Oslo"}) == {**NEEDED, "tags": tagged(VIP), "city": "Oslo"}


class WithoutCounts(Mapping[str, JsonValue]):
    """The stored customer, but whoever looks at a count, at the token, or at all of it, fails the test."""

    def __getitem__(self, name: str) -> JsonValue:
        assert name not in {"invoiceCount", "projectCount", "token"}
        value: JsonValue = STORED[name]
        return value

    def __iter__(self) -> Iterator[str]:
        pytest.fail("reads every field")

    def __len__(self) -> int:
        return len(STORED)


@pytest.mark.parametrize("name", CHANGEABLE_FIELDS)
def test_counts_and_token_are_never_read(name: str) -> None:
    """They change by themselves: comparing or echoing them would never come to rest."""
    changes: dict[str, JsonValue] = {name: [] if name == "tags" else "x@y.test"}

    body = patch_body(Customer(WithoutCounts(), ""), changes)

    assert body is not None
    assert body.keys() == {"name", "email", "tags", CAMEL[name]}


# Every field has its turn above; four that are drawn at random find what depends on several at once.
DRAWN = ("phone", "note", "address_line1", "country_code")
texts = st.sampled_from(["", "a", "A", "ö", " ", "Acme", "x@y.test"])
tag_lists = st.lists(st.sampled_from(list(TAG_NAMES)), unique=True, max_size=4)
sent_tags = tag_lists.flatmap(
    lambda ids: st.tuples(*(st.fixed_dictionaries({"id": st.just(tag_id), "name": texts}) for tag_id in ids)).map(list)
)
changes_of_commands = st.fixed_dictionaries(
    {},
    optional={
        "name": texts.filter(str.strip),
        "email": st.sampled_from(["a@b.test", "A@b.test"]),
        "tags": sent_tags,
        **dict.fromkeys(DRAWN, st.none() | texts),
    },
).filter(bool)
sequences: st.SearchStrategy[list[dict[str, Any]]] = st.lists(changes_of_commands, min_size=1, max_size=6)
stored_customers = st.fixed_dictionaries(
    {
        "name": texts,
        "email": st.sampled_from(["a@b.test", "A@b.test", "c@d.test"]),
        "tags": tag_lists.map(sorted).map(lambda ids: tagged(*ids)),
        **{CAMEL[name]: st.none() | texts for name in DRAWN},
    }
).map(lambda fields: {**STORED, **fields})


def patched(stored: dict[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """What the upstream stores after a PATCH with *body*: a model of what was recorded of it."""
    assert isinstance(body["name"], str)
    assert isinstance(body["email"], str)
    tag_ids = [tag["id"] for tag in body.get("tags", [])]
    assert all(isinstance(tag["name"], str) for tag in body.get("tags", []))
    assert len(set(tag_ids)) == len(tag_ids)
    writable = {CAMEL[name] for name in CHANGEABLE_FIELDS} | {"billingEmail"}
    written = {name: value for name, value in body.items() if name in writable}
    return {**stored, **written, "tags": tagged(*sorted(tag_ids))}


def with_named_fields_changed(stored: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a publisher means: the named fields as given, everything else untouched."""
    meant = {**stored, **{CAMEL[name]: value for name, value in changes.items() if name != "tags"}}
    if "tags" in changes:
        meant["tags"] = tagged(*sorted(tag["id"] for tag in changes["tags"]))
    return meant


def applied(stored: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored after the worker's one PATCH, or none."""
    body = patch_body(Customer(stored, ""), changes)
    return stored if body is None else patched(stored, body)


@given(stored_customers, changes_of_commands)
def test_after_the_patch_exactly_the_named_fields_have_changed(stored: dict[str, Any], changes: dict[str, Any]) -> None:
    """Tags included, for any customer and any changes."""
    assert applied(stored, changes) == with_named_fields_changed(stored, changes)


@given(stored_customers, changes_of_commands)
def test_there_is_a_request_only_where_something_differs(stored: dict[str, Any], changes: dict[str, Any]) -> None:
    """And after it there is none: merging comes to rest."""
    body = patch_body(Customer(stored, ""), changes)

    assert (body is None) == (with_named_fields_changed(stored, changes) == stored)
    assert patch_body(Customer(applied(stored, changes), ""), changes) is None


@given(stored_customers, changes_of_commands)
def test_a_body_holds_nothing_that_was_neither_needed_nor_named(
    stored: dict[str, Any], changes: dict[str, Any]
) -> None:
    """Every field more widens the window in which somebody else's edit is lost."""
    body = patch_body(Customer(stored, ""), changes) or {}

    assert body.keys() <= {"name", "email", "tags"} | {CAMEL[name] for name in changes}


@given(stored_customers, sequences)
def test_a_fold_does_what_its_commands_do_one_by_one(stored: dict[str, Any], sequence: list[dict[str, Any]]) -> None:
    """Last write wins, field by field."""
    one_by_one = stored
    for changes in sequence:
        one_by_one = applied(one_by_one, changes)

    assert applied(stored, fold(sequence)) == one_by_one


@given(sequences)
def test_a_replaced_command_leaves_no_trace_in_the_fold(sequence: list[dict[str, Any]]) -> None:
    """And each that is not replaced does: it is the last writer of some field."""
    gone = replaced(sequence)
    left = [index for index in range(len(sequence)) if index not in gone]

    assert fold([sequence[index] for index in left]) == fold(sequence)
    assert set(left) == culprits(sequence, frozenset(CHANGEABLE_FIELDS))


@given(sequences, st.frozensets(st.sampled_from([*CHANGEABLE_FIELDS, *CAMEL.values(), "unheard_of"])))
def test_culprits_are_the_last_writers_of_what_was_refused(
    sequence: Sequence[Mapping[str, Any]], refused: frozenset[str]
) -> None:
    """In either spelling, and nobody else."""
    last_writers = {
        max(writers)
        for name in CHANGEABLE_FIELDS
        if {name, CAMEL[name]} & refused
        and (writers := [index for index, changes in enumerate(sequence) if name in changes])
    }

    assert culprits(sequence, refused) == last_writers


def test_nobody_is_the_culprit_where_the_stored_value_is_refused() -> None:
    """The body repeats the stored e-mail, which today's rules may refuse."""
    assert culprits([{"city": "Oslo"}], frozenset({"email"})) == frozenset()
