"""Every answer recorded from the real upstream, sent once more by a real server, becomes the right typed answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness.scripted_http import response, saying, serving
from worker.upstream.answers import (
    Answer,
    DeploymentFault,
    NotFound,
    Ok,
    Quota,
    RateLimited,
    Rejected,
    Unavailable,
)
from worker.upstream.client import UpstreamClient
from worker.upstream.token_source import TokenSource

RECORDINGS = json.loads((Path(__file__).parents[2] / "data" / "upstream-exchanges.json").read_text("utf-8"))
EXCHANGES = [
    pytest.param(exchange, id=f"{scenario['name']}, {number}")
    for scenario in RECORDINGS["scenarios"]
    for number, exchange in enumerate(scenario["exchanges"], start=1)
    if exchange["request"]["method"] in {"GET", "PATCH"}
]
SOME_ID = "00000000-0000-4000-8000-000000000101"


def body_of(recorded: dict[str, Any]) -> bytes:
    """The recorded body's bytes."""
    if "body_text" in recorded:
        return str(recorded["body_text"]).encode()
    return json.dumps(recorded["body"], ensure_ascii=False).encode()


async def answer_to(exchange: dict[str, Any]) -> Answer:
    """Asks a server that answers as recorded."""
    recorded = exchange["response"]
    raw = response(recorded["status"], body_of(recorded), recorded["headers"])

    # A PATCH of an unknown customer answers with the new one; a malformed id never leaves the client.
    customer_id = recorded["body"]["id"] if recorded["status"] == 200 else SOME_ID
    async with (
        serving(saying(raw)) as server,
        UpstreamClient(server.url, TokenSource.from_value("mid_secret"), 5.0, 2) as client,
    ):
        if exchange["request"]["method"] == "GET":
            return await client.get(customer_id)
        return await client.patch(customer_id, {})


@pytest.mark.parametrize("exchange", EXCHANGES)
async def test_a_recorded_answer_has_its_kind(exchange: dict[str, Any]) -> None:
    """Status by status, with the rate limit's account wherever it was sent."""
    recorded = exchange["response"]
    answer = await answer_to(exchange)

    kinds: dict[int, type[Answer]] = {
        200: Ok,
        400: Rejected,
        401: DeploymentFault,
        403: DeploymentFault,
        404: NotFound,
        429: RateLimited,
        500: Unavailable,
    }
    assert type(answer) is kinds[recorded["status"]]
    headers = recorded["headers"]
    expected = (
        Quota(
            limit=int(headers["ratelimit-limit"]),
            remaining=int(headers["ratelimit-remaining"]),
            window_seconds=600.0,
            reset_seconds=float(headers["ratelimit-reset"]),
        )
        if "ratelimit-limit" in headers
        else None
    )
    assert answer.quota == expected


async def answer_recorded_as(scenario: str, number: int = 1) -> Answer:
    """The answer to exchange *number* of *scenario*."""
    found = next(entry for entry in RECORDINGS["scenarios"] if entry["name"].startswith(scenario))
    return await answer_to(found["exchanges"][number - 1])


async def test_the_customer_is_as_recorded() -> None:
    """Nothing is lost on the way; the promised fields come out in snake_case."""
    answer = await answer_recorded_as("read a customer")

    assert isinstance(answer, Ok)
    customer = answer.customer.response()
    assert customer["address_line1"] == "Street 1"
    assert customer["invoice_count"] == 12


@pytest.mark.parametrize(
    ("scenario", "number", "fields", "message"),
    [
        (
            "name and email are required",
            1,
            {"name", "email"},
            "; ".join(f"{field}: Invalid input: expected string, received undefined" for field in ("name", "email")),
        ),
        ("tags: null is refused", 1, {"tags"}, "tags: Invalid input: expected array, received null"),
        (
            "tags: name is required",
            1,
            {"tags"},
            "tags.0.name: Invalid input: expected string, received undefined",
        ),
        ("e-mail is checked", 1, {"email"}, "email: Invalid email address"),
        (
            "wrong types are all reported at once",
            1,
            {"name", "email", "phone", "tags"},
            "; ".join(
                [f"{field}: Invalid input: expected string, received number" for field in ("name", "email", "phone")]
                + ["tags: Invalid input: expected array, received string"]
            ),
        ),
        ("a body that is an array", 1, set(), "the body: Invalid input: expected object, received array"),
        ("malformed JSON, no body", 1, set(), "Malformed JSON in request body"),
    ],
)
async def test_a_refusal_says_which_fields_and_why(scenario: str, number: int, fields: set[str], message: str) -> None:
    """All four shapes of error body, in words for people and names for the worker."""
    answer = await answer_recorded_as(scenario, number)

    assert answer == Rejected(400, message, frozenset(fields), answer.quota)


async def test_a_missing_scope_is_named() -> None:
    """The operator needs to know which permission the token lacks."""
    answer = await answer_recorded_as("a token without the scope")

    assert isinstance(answer, DeploymentFault)
    assert answer.message == (
        "Forbidden: Insufficient permissions. Required scopes: customers.write. Your scopes: customers.read"
    )


async def test_the_limit_says_how_long_to_wait() -> None:
    """As long as `Retry-After` says."""
    answer = await answer_recorded_as("rate limit", 4)

    assert isinstance(answer, RateLimited)
    assert answer.retry_after_seconds == 600.0
    assert answer.quota == Quota(limit=3, remaining=0, window_seconds=600.0, reset_seconds=600.0)


async def test_a_500_may_be_the_commands_own_fault() -> None:
    """An unknown tag and an outage look the same."""
    answer = await answer_recorded_as("tags: an unknown tag")

    assert isinstance(answer, Unavailable)
    assert answer.may_be_the_commands_fault
