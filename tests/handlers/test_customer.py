"""A customer as the upstream sends it: strict where subscribers rely on it, tolerant where the upstream varies."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.command_rows import EMAIL, PERSON
from handlers.customer import Customer, UpdateCustomerResponse
from handlers.errors import FAULTS, ContractViolation, Reason
from handlers.fields import CAMEL, CLEARABLE_FIELDS, RESPONSE_FIELDS

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "upstream-exchanges.json").read_text())
BODIES: list[dict[str, Any]] = [
    exchange["response"]["body"]
    for scenario in RECORDED["scenarios"]
    for exchange in scenario["exchanges"]
    if exchange["response"]["status"] == 200
]
FULL = BODIES[0]


def encoded(body: object) -> bytes:
    """As the upstream encodes it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def violation_of(body: object, customer_id: str | None = None) -> ContractViolation:
    """What is raised for *body*, given as bytes or as what JSON is made from."""
    with pytest.raises(ContractViolation) as violation:
        Customer.parse(body if isinstance(body, bytes) else encoded(body), customer_id=customer_id)
    return violation.value


def found(violation: ContractViolation) -> list[tuple[str, str]]:
    """Code and path of each problem."""
    return [(problem.code, problem.path) for problem in violation.problems]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body["name"].strip() or "no name")
def test_every_recorded_customer_is_read(body: dict[str, Any]) -> None:
    """The 20 fields come out as they came in, but for the time, and nothing else comes out."""
    customer = Customer.parse(encoded(body), customer_id=body["id"])

    response = customer.response()
    assert tuple(response) == RESPONSE_FIELDS
    assert {CAMEL[name]: value for name, value in response.items() if name != "created_at"} == {
        name: value for name, value in body.items() if name in CAMEL.values() and name != "createdAt"
    }
    seconds, fraction = body["createdAt"].removesuffix("+00").split(".")
    assert response["created_at"] == f"{seconds.replace(' ', 'T')}.{fraction[:3]}Z"
    assert UpdateCustomerResponse.model_validate(response).model_dump() == response


def test_the_response_can_have_the_apis_own_names() -> None:
    """The same 20 fields in the same order, the time normalised in them too."""
    response = Customer.parse(encoded(FULL)).response(field_case="camel")

    assert tuple(response) == tuple(CAMEL.values())
    assert response["createdAt"] == "2026-11-23T11:52:41.479Z"


def test_extra_fields_follow_the_case_and_stand_last_in_order() -> None:
    """Only on request, and never in the place of a promised field."""
    body = {"zeta": 1, **FULL, "ceoNAME": {"firstName": "x"}, "created_at": "a field of its own", "address_line1": "x"}
    customer = Customer.parse(encoded(body))

    snake = list(customer.response(keep_extra_fields=True).items())[20:]
    camel = list(customer.response(field_case="camel", keep_extra_fields=True))[20:]
    assert dict(snake)["ceo_name"] in (None, {"firstName": "x"})
    assert [name for name, _ in snake] == sorted(name for name, _ in snake)
    assert not {"created_at", "address_line1"} & {name for name, _ in snake}
    assert customer.response(keep_extra_fields=True).items() >= customer.response().items()
    assert {"linkedin_url", "zeta"} <= {name for name, _ in snake}
    assert camel == sorted(body.keys() - CAMEL.values())


def test_a_tag_has_its_id_and_name_alone() -> None:
    """Whatever a newer upstream adds to tags."""
    tags = [{"name": "VIP", "color": "red", "id": "00000000-0000-4000-8000-000000000051"}]
    customer = Customer.parse(encoded({**FULL, "tags": tags}))

    assert customer.response(keep_extra_fields=True)["tags"] == [
        {"id": "00000000-0000-4000-8000-000000000051", "name": "VIP"}
    ]


@pytest.mark.parametrize("count", [0, 12, 12.5, -1, 2**53])
def test_counts_are_numbers(count: float) -> None:
    """Integers were recorded; the documentation says number."""
    assert Customer.parse(encoded({**FULL, "invoiceCount": count})).response()["invoice_count"] == count


@pytest.mark.parametrize("name", RESPONSE_FIELDS)
def test_a_missing_field_breaks_the_contract(name: str) -> None:
    """All 20 are always there, null included."""
    body = {key: value for key, value in FULL.items() if key != CAMEL[name]}

    assert found(violation_of(body)) == [("response_field_missing", f"$.{CAMEL[name]}")]


@pytest.mark.parametrize("name", RESPONSE_FIELDS)
def test_a_field_of_another_type_breaks_the_contract(name: str) -> None:
    """true is neither a text nor a number, although Python takes it for a 1."""
    assert found(violation_of({**FULL, CAMEL[name]: True})) == [("response_wrong_type", f"$.{CAMEL[name]}")]


@pytest.mark.parametrize("name", RESPONSE_FIELDS)
def test_null_is_taken_exactly_where_the_upstream_sends_it(name: str) -> None:
    """A recorded exchange decides: the fields that can be cleared, and no other."""
    body = {**FULL, CAMEL[name]: None}
    recorded_as_null = any(sent[CAMEL[name]] is None for sent in BODIES)

    assert recorded_as_null == (name in CLEARABLE_FIELDS)
    if recorded_as_null:
        assert Customer.parse(encoded(body)).response()[name] is None
    else:
        assert found(violation_of(body)) == [("response_wrong_type", f"$.{CAMEL[name]}")]


@pytest.mark.parametrize(
    ("tags", "path"),
    [
        pytest.param([None], "$.tags[0]", id="null for a tag"),
        pytest.param([{"id": "a", "name": "b"}, "VIP"], "$.tags[1]", id="a text for a tag"),
        pytest.param([{"id": 1, "name": "b"}], "$.tags[0].id", id="a number for its id"),
        pytest.param([{"id": "a", "name": None}], "$.tags[0].name", id="null for its name"),
        pytest.param({"id": "a", "name": "b"}, "$.tags", id="an object for the list"),
    ],
)
def test_tags_are_objects_with_id_and_name(tags: object, path: str) -> None:
    """Merge sends them back as they are read: half a tag would be refused or lost."""
    assert found(violation_of({**FULL, "tags": tags})) == [("response_wrong_type", path)]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "response_not_json", id="nothing"),
        pytest.param(b"Customer not found", "response_not_json", id="plain text"),
        pytest.param(b"<html>", "response_not_json", id="a page of a proxy"),
        pytest.param(encoded(FULL)[:-1], "response_not_json", id="cut off"),
        pytest.param(encoded(FULL) + b"}", "response_not_json", id="more than one document"),
        pytest.param(b"\xff", "response_not_json", id="not UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + encoded(FULL), "response_not_json", id="a byte order mark"),
        pytest.param(b"[" * 100_000, "response_not_json", id="endless lists"),
        pytest.param(encoded({**FULL, "invoiceCount": float("nan")}), "response_not_json", id="NaN"),
        pytest.param(encoded({**FULL, "extra": float("inf")}), "response_not_json", id="Infinity where nobody looks"),
        pytest.param(encoded(FULL).replace(b":12,", b":1e999,"), "response_not_json", id="a number beyond a double"),
        pytest.param(
            encoded(FULL).replace(b":12,", b":" + b"9" * 5_000 + b","), "response_not_json", id="5,000 digits"
        ),
        pytest.param(b"[]", "response_wrong_type", id="a list"),
        pytest.param(b"null", "response_wrong_type", id="null"),
        pytest.param(json.dumps({**FULL, "note": "\ud800"}).encode(), "response_text", id="half a surrogate pair"),
        pytest.param(
            json.dumps({**FULL, "extra": ["\udfff"]}).encode(), "response_text", id="half a pair in an extra field"
        ),
    ],
)
def test_what_is_no_json_object_breaks_the_contract(body: bytes, code: str) -> None:
    """Nothing that could not be published as JSON in UTF-8 gets further than this."""
    assert found(violation_of(body)) == [(code, "$")]


@pytest.mark.parametrize(
    "created_at", ["", "yesterday", "2026-11-23 11:35:36.39042", "2026-02-30 11:35:36+00", "infinity"]
)
def test_a_time_that_is_none_breaks_the_contract(created_at: str) -> None:
    """Subscribers are promised ISO 8601 in UTC; guessing an offset would publish a wrong time."""
    assert found(violation_of({**FULL, "createdAt": created_at})) == [("response_created_at", "$.createdAt")]


def test_an_answer_about_another_customer_breaks_the_contract() -> None:
    """A cache in between could hand one customer's data to the subscribers of another."""
    assert found(violation_of(FULL, customer_id="00000000-0000-4000-8000-000000000102")) == [
        ("response_of_another", "$.id")
    ]


def test_all_that_is_wrong_is_told_at_once_without_a_value() -> None:
    """Paths and what to do; the answer is personal through and through."""
    body = {**FULL, "name": None, "email": [EMAIL], "phone": 46701234567, "tags": [{"id": PERSON}], "createdAt": PERSON}
    del body["token"]
    violation = violation_of(body)

    assert found(violation) == [
        ("response_wrong_type", "$.name"),
        ("response_wrong_type", "$.email"),
        ("response_field_missing", "$.token"),
        ("response_wrong_type", "$.phone"),
        ("response_field_missing", "$.tags[0].name"),
        ("response_created_at", "$.createdAt"),
    ]
    told = f"{violation} {violation.problems!r} {violation.__context__!r} {violation.__cause__!r}"
    assert not [value for value in (EMAIL, PERSON, "46701234567", "Acme") if value in told]
    assert {FAULTS[code].reason for code, _ in found(violation)} == {Reason.CONTRACT}


def test_an_undecodable_answer_leaves_nothing_in_the_traceback() -> None:
    """The standard library's error would carry the whole answer along."""
    violation = violation_of(f'{{"email": "{EMAIL}"'.encode())

    assert violation.__context__ is None


@given(st.binary(max_size=100))
def test_no_bytes_raise_anything_but_a_violation(body: bytes) -> None:
    """Whatever answers under the base URL."""
    violation_of(body)


@given(
    st.sampled_from(sorted(FULL)),
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=4),
)
def test_what_is_read_can_be_published(name: str, value: object) -> None:
    """Either the answer is refused, or its response is what the model of the contract says and can be encoded."""
    body = deepcopy(FULL)
    body[name] = value
    try:
        response = Customer.parse(encoded(body)).response(keep_extra_fields=True)
    except ContractViolation as violation:
        assert name in CAMEL.values() or violation.problems[0].path == "$"  # noqa: PT017 -- either answer is right
        return
    json.dumps(response, ensure_ascii=False, allow_nan=False).encode()
    UpdateCustomerResponse.model_validate(response)
