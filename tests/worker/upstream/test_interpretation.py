"""From status, headers and body to one answer: the contract's table, and what lies outside of it."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    Ok,
    Quota,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)
from worker.upstream.interpretation import Received, Sent, interpret

CUSTOMER_ID = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
TOKEN = "mid_secret"
CUSTOMER: dict[str, object] = {
    "id": CUSTOMER_ID,
    "name": "Acme",
    "email": "billing@acme.test",
    "phone": None,
    "website": None,
    "createdAt": "2026-11-23 11:52:41.479246+00",
    "country": None,
    "addressLine1": "Street 1",
    "addressLine2": None,
    "city": None,
    "state": None,
    "zip": None,
    "note": None,
    "vatNumber": None,
    "countryCode": None,
    "token": "",
    "contact": None,
    "invoiceCount": 0,
    "projectCount": 0,
    "tags": [],
}
QUOTA_HEADERS = {
    "ratelimit-policy": "1000;w=600",
    "ratelimit-limit": "1000",
    "ratelimit-remaining": "997",
    "ratelimit-reset": "552",
}
QUOTA = Quota(limit=1000, remaining=997, window_seconds=600.0, reset_seconds=552.0)


def answer_to(
    request: Request,
    status: int,
    body: bytes | object = b"",
    headers: Mapping[str, str] | None = None,
    sent: Mapping[str, object] | None = None,
    *,
    ends_with_connection: bool = False,
) -> Answer:
    """Interprets one answer; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    received = Received(status, headers or {}, content, ends_with_connection)
    return interpret(Sent(request, CUSTOMER_ID, TOKEN, sent or {}), received)


def zod(*issues: object) -> dict[str, object]:
    """A refusal as the upstream words it."""
    return {"success": False, "error": {"name": "ZodError", "message": json.dumps(issues, indent=2)}}


def test_a_200_with_the_customer_is_ok() -> None:
    """The answer holds the customer and the account of the rate limit."""
    answer = answer_to(Request.GET, 200, CUSTOMER, QUOTA_HEADERS)

    assert isinstance(answer, Ok)
    assert answer.customer.id == CUSTOMER_ID
    assert answer.quota == QUOTA


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (404, NotFound(QUOTA)),
        (408, Unavailable(408, "status", QUOTA)),
        (429, RateLimited(552.0, QUOTA)),
        (500, Unavailable(500, "status", QUOTA)),
        (502, Unavailable(502, "status", QUOTA)),
        (503, Unavailable(503, "status", QUOTA)),
        (504, Unavailable(504, "status", QUOTA)),
        (599, Unavailable(599, "status", QUOTA)),
        (101, Unavailable(None, "protocol", QUOTA)),
        (999, Unavailable(None, "protocol", QUOTA)),
    ],
)
def test_these_statuses_need_no_body(status: int, expected: Answer) -> None:
    """The status and the headers say all; even a body that looks like a customer changes nothing."""
    assert answer_to(Request.GET, status, CUSTOMER, QUOTA_HEADERS) == expected


@pytest.mark.parametrize("status", [400, 402, 404, 405, 409, 410, 413, 415, 422, 431, 451, 499])
def test_every_other_4xx_rejects_the_request(status: int) -> None:
    """The 404 of a PATCH too: the GET before it found the customer, so the next GET will tell."""
    answer = answer_to(Request.PATCH, status, b"because", QUOTA_HEADERS)

    assert answer == Rejected(status, "because", frozenset(), QUOTA)


@pytest.mark.parametrize("status", [401, 403, 407])
def test_refused_credentials_are_a_fault_of_the_deployment(status: int) -> None:
    """The upstream's reason is for the operator who mends it."""
    answer = answer_to(Request.GET, status, {"error": "Forbidden", "description": "Required scopes: customers.read"})

    assert answer == DeploymentFault(status, "Forbidden: Required scopes: customers.read")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        pytest.param(
            "https://login.example/?user=ann@acme.test",
            "redirects to login.example, which is not followed",
            id="to a host",
        ),
        pytest.param("/customers/", "redirects, which is not followed", id="within the host"),
        pytest.param("https://[::1", "redirects, which is not followed", id="to no address"),
        pytest.param(None, "redirects, which is not followed", id="to nowhere"),
    ],
)
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_a_fault_of_the_deployment(status: int, location: str | None, message: str) -> None:
    """The API redirects nobody: the base URL is wrong. Only the host of the new address is shown."""
    answer = answer_to(Request.GET, status, b"", {} if location is None else {"location": location})

    assert answer == DeploymentFault(status, message)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>Welcome, Ann Smith</html>", id="a web page"),
        pytest.param(b"\xff\xfe{}", id="no UTF-8"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(CUSTOMER | {"name": 7}, id="a field of another type"),
        pytest.param({key: CUSTOMER[key] for key in CUSTOMER if key != "tags"}, id="a field missing"),
        pytest.param(CUSTOMER | {"id": CUSTOMER_ID.replace("b3", "c4")}, id="another customer"),
    ],
)
def test_a_200_that_is_not_the_customer_breaks_the_contract(body: object) -> None:
    """And says so without showing what it was."""
    answer = answer_to(Request.PATCH, 200, body, QUOTA_HEADERS)

    assert isinstance(answer, ContractBroken)
    assert answer.quota == QUOTA
    assert "Ann" not in answer.message


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 226])
def test_any_other_2xx_breaks_the_contract(status: int) -> None:
    """A 201 above all: it would say that a customer was created."""
    assert answer_to(Request.PATCH, status, CUSTOMER) == ContractBroken(status, "only a 200 carries a customer")


def test_a_compressed_body_breaks_the_contract() -> None:
    """The request ruled it out; nothing is decompressed, so nothing can swell."""
    assert isinstance(answer_to(Request.GET, 200, b"\x1f\x8b", {"content-encoding": "gzip"}), ContractBroken)
    assert isinstance(answer_to(Request.GET, 200, CUSTOMER, {"content-encoding": "Identity"}), Ok)


def test_a_body_that_a_lost_connection_may_have_cut_is_no_broken_contract() -> None:
    """Without a length a cut body looks whole; a command must not become a dead letter for that."""
    cut = json.dumps(CUSTOMER).encode()[:-20]

    assert answer_to(Request.GET, 200, cut, ends_with_connection=True) == Unavailable(None, "connection_lost")
    assert isinstance(answer_to(Request.GET, 200, {"a": 1}, ends_with_connection=True), ContractBroken)
    assert isinstance(answer_to(Request.GET, 200, CUSTOMER, ends_with_connection=True), Ok)


def test_a_zod_error_names_the_refused_fields() -> None:
    """Fields are the first steps of the paths, in the API's camelCase; the message says where exactly."""
    answer = answer_to(
        Request.PATCH,
        400,
        zod(
            {"code": "invalid_type", "path": ["addressLine1"], "message": "Invalid input: expected string"},
            {"code": "invalid_type", "path": ["tags", 0, "name"], "message": "Required"},
            {"code": "invalid_type", "path": ["tags", 1, "name"], "message": ""},
        ),
    )

    assert answer == Rejected(
        400,
        "addressLine1: Invalid input: expected string; tags.0.name: Required; tags.1.name: refused",
        frozenset({"addressLine1", "tags"}),
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(zod({"path": [], "message": "expected object"}), "the body: expected object", id="no field"),
        pytest.param(zod({"path": ["an odd name"], "message": "odd"}), "the body: odd", id="a path that is no name"),
        pytest.param(zod(), "no reason that can be shown (66 bytes)", id="no issues"),
        pytest.param(zod(7, {"path": "email"}), "no reason that can be shown (109 bytes)", id="issues of another form"),
        pytest.param({"error": {"name": "ZodError", "message": "["}}, None, id="issues that are no JSON"),
        pytest.param({"error": {"name": "ZodError"}}, None, id="no message"),
        pytest.param({"error": "Conflict"}, "Conflict", id="an error text"),
        pytest.param({"error": "Conflict", "description": "busy"}, "Conflict: busy", id="with its description"),
        pytest.param(["error"], None, id="a list"),
        pytest.param(b"Malformed JSON in request body", "Malformed JSON in request body", id="plain text"),
        pytest.param(b"", "no reason that can be shown (0 bytes)", id="nothing"),
        pytest.param(b"<!doctype html>Dear Ann", None, id="a web page"),
        pytest.param(b"[" * 60_000, None, id="nested without end"),
        pytest.param(b"\xff\xfe\x00", None, id="no text"),
    ],
)
def test_every_other_refusal_names_no_field(body: object, message: str | None) -> None:
    """An error body in no known shape is still a refusal, with whatever reason can be shown."""
    answer = answer_to(Request.PATCH, 400, body)

    assert isinstance(answer, Rejected)
    assert answer.fields == frozenset()
    assert message is None or answer.message == message
    assert "Ann" not in answer.message


def test_a_refusal_repeats_nothing_that_was_sent() -> None:
    """Neither a value of the body, however deep, nor the token, in whatever shape the refusal comes."""
    sent = {"name": "Quux", "phone": None, "tags": [{"id": "7", "name": "Zebra"}]}
    echo = f"Quux and zebra and {TOKEN}"
    for body in (
        echo.encode(),
        {"error": echo},
        {"error": "x", "description": echo},
        zod({"path": [], "message": echo}),
    ):
        answer = answer_to(Request.PATCH, 400, body, sent=sent)

        assert isinstance(answer, Rejected)
        assert "and" in answer.message
        assert not any(value in answer.message.lower() for value in ("quux", "zebra", TOKEN))


def test_a_refusal_repeats_nothing_that_is_stored() -> None:
    """What was read before the PATCH is known, and goes in whatever words it comes, also in fields of a newer API."""
    known = {"name": "Quux Corp", "tags": [{"id": "7", "name": "Zebra"}], "financeContact": "Wilma Flint", "note": None}
    for said in ("Quux Corp owes", "zebra owes", "ask Wilma", "Flint, Wilma owes"):
        answer = interpret(
            Sent(Request.PATCH, CUSTOMER_ID, TOKEN, {"city": "Ghent"}, known), Received(409, {}, said.encode())
        )

        assert isinstance(answer, Rejected)
        assert not any(word in answer.message.lower() for word in ("quux", "zebra", "wilma", "flint"))


@pytest.mark.parametrize(
    "body", [b"Wilma Flint is odd", {"error": "Wilma Flint"}, zod({"path": [], "message": "Wilma"})]
)
def test_a_refused_read_tells_its_status_alone(body: object) -> None:
    """It can only speak of the customer, of whom nothing is known yet that could be taken out."""
    answer = answer_to(Request.GET, 409, body)

    assert isinstance(answer, Rejected)
    assert answer.message.startswith("no reason that can be shown")


def test_a_refusal_is_short_however_many_issues_it_has() -> None:
    """It ends up in a header of a dead letter."""
    answer = answer_to(Request.PATCH, 400, zod(*({"path": [f"f{n}"], "message": "wrong"} for n in range(1_000))))

    assert isinstance(answer, Rejected)
    assert len(answer.message) == 500
    assert len(answer.fields) == 1_000


@given(
    request=st.sampled_from(Request),
    status=st.integers(100, 999),
    body=st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), st.lists, max_leaves=5).map(json.dumps).map(str.encode),
)
def test_no_answer_raises(request: Request, status: int, body: bytes) -> None:
    """Whatever comes back is one of the answers, and only a 200 can be Ok."""
    answer = answer_to(request, status, body)

    assert isinstance(answer, Answer)
    assert not isinstance(answer, Ok)


def test_only_a_500_may_be_the_commands_fault() -> None:
    """Poison was met as 500 alone; 502, 503, 504 and trouble on the way are an outage."""
    assert Unavailable(500, "status").may_be_the_commands_fault
    assert not Unavailable(503, "status").may_be_the_commands_fault
    assert not Unavailable(None, "timeout").may_be_the_commands_fault


def test_no_representation_shows_personal_data_or_secrets() -> None:
    """Tracebacks and careless log lines print representations."""
    sent = Sent(Request.PATCH, CUSTOMER_ID, TOKEN, CUSTOMER)
    received = Received(200, {}, json.dumps(CUSTOMER).encode())
    shown = f"{sent!r} {received!r} {interpret(sent, received)!r}"

    assert "Ok(" in shown
    assert not any(value in shown for value in (TOKEN, "Acme", "billing@", "Street"))
