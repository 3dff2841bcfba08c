"""Faults on demand, over real HTTP: each kind, and which requests a rule hits."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from harness.polling import eventually
from harness.upstream_driver import ID, NEW, OTHER, UpstreamDriver
from worker.demo.upstream import RW_TOKEN


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504, 599])
async def test_a_status_fault_answers_instead_of_the_service(client: UpstreamDriver, status: int) -> None:
    """Nothing is applied."""
    await client.fault({"kind": "status", "status": status})

    assert (await client.patch()).status == status

    assert await client.name() == "Customer 0"


@pytest.mark.parametrize(
    "effect",
    [
        {"kind": "status", "status": 500, "apply": True},
        {"kind": "status", "status": 503, "apply": True},
        {"kind": "wrong_content"},
    ],
)
async def test_apply_then_fail(client: UpstreamDriver, effect: dict[str, Any]) -> None:
    """The write has happened although the answer does not say so; the journal does."""
    await client.fault(effect, method="PATCH")
    await client.patch()

    entry = client.upstream.journal()[-1]

    assert (entry["applied"], entry["fault"], entry["body"]) == (True, effect["kind"], NEW)
    assert await client.name() == "New"


@pytest.mark.parametrize("apply", [False, True])
async def test_a_reset_ends_the_connection_without_an_answer(client: UpstreamDriver, apply: bool) -> None:
    """A TCP RST, before or after the write."""
    await client.fault({"kind": "reset", "apply": apply})

    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    body = json.dumps(NEW)
    head = [f"PATCH /customers/{ID} HTTP/1.1", "Host: x", f"Authorization: Bearer {RW_TOKEN}"]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    writer.write("\r\n".join([*head, "", body]).encode())
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    writer.close()

    assert client.upstream.journal()[-1]["status"] is None
    assert await client.name() == ("New" if apply else "Customer 0")


@pytest.mark.parametrize("apply", [False, True])
async def test_a_hanging_request_lasts_until_its_client_hangs_up(client: UpstreamDriver, apply: bool) -> None:
    """Then it is no longer under way."""
    await client.fault({"kind": "hang", "apply": apply})

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.patch()

    await eventually(client.is_idle, within_seconds=5, what="the request has ended")
    entry = client.upstream.journal()[-1]
    assert (entry["status"], entry["applied"], entry["fault"]) == (None, apply, "hang")
    assert entry["ended"] is not None
    assert await client.name() == ("New" if apply else "Customer 0")


async def test_a_truncated_answer_promises_more_than_it_brings(client: UpstreamDriver) -> None:
    """The request was carried out."""
    await client.fault({"kind": "truncate"}, method="PATCH")

    with pytest.raises(aiohttp.ClientPayloadError):
        await client.patch()

    assert await client.name() == "New"


async def test_wrong_content_is_no_customer(client: UpstreamDriver) -> None:
    """JSON or a text of one's own."""
    await client.fault({"kind": "wrong_content"})
    answer = await client.get()
    assert (answer.status, await answer.json()) == (200, {"ok": True})

    await client.fault({"kind": "wrong_content", "text": "<html>", "content_type": "text/html"})
    answer = await client.get()
    assert (answer.status, answer.content_type, await answer.text()) == (200, "text/html", "<html>")


async def test_a_slow_answer_is_late_and_then_true(client: UpstreamDriver) -> None:
    """Slow rules and the latency of everything add up; the write is not late."""
    slow = {"effect": {"kind": "slow", "seconds": 0.02, "jitter_seconds": 0.01}}
    await client.control(latency_seconds=0.03, faults=[slow, slow])

    answer = await client.patch()

    entry = client.upstream.journal()[-1]
    assert answer.status == 200
    assert isinstance(entry["started"], float)
    assert isinstance(entry["ended"], float)
    assert 0.07 <= entry["ended"] - entry["started"] < 2
    assert entry["fault"] is None


async def test_a_slow_rule_lets_the_next_one_decide(client: UpstreamDriver) -> None:
    """Late, and then a failure."""
    await client.control(
        faults=[{"effect": {"kind": "slow", "seconds": 0.02}}, {"effect": {"kind": "status", "status": 503}}]
    )

    assert (await client.get()).status == 503
    entry = client.upstream.journal()[-1]
    assert float(str(entry["ended"])) - float(str(entry["started"])) >= 0.02


async def test_a_429_and_a_redirect_carry_their_headers(client: UpstreamDriver) -> None:
    """Retry-After only where it is named: a client must get along without."""
    await client.control(rate_limit=1000)
    await client.fault({"kind": "status", "status": 429, "retry_after": 7})
    told = await client.get()
    await client.fault({"kind": "status", "status": 429})
    untold = await client.get()
    await client.fault({"kind": "status", "status": 302, "location": "https://elsewhere.test/"})
    moved = await client.get()

    assert (told.headers["Retry-After"], told.headers["RateLimit-Reset"]) == ("7", "7")
    assert {"Retry-After", "RateLimit-Reset"}.isdisjoint(untold.headers)
    assert (moved.status, moved.headers["Location"]) == (302, "https://elsewhere.test/")


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        pytest.param({}, "xxxxxxxx", id="everything"),
        pytest.param({"method": "GET"}, "x.x.x.x.", id="a method"),
        pytest.param({"customer_id": OTHER}, "..xx..xx", id="a customer"),
        pytest.param({"customer_id": [ID, OTHER]}, "xxxxxxxx", id="several customers"),
        pytest.param({"first": 3}, "xxx.....", id="the first three"),
        pytest.param({"every": 3}, "..x..x..", id="each third"),
        pytest.param({"every": 2, "method": "GET"}, "..x...x.", id="each second GET"),
        pytest.param({"probability": 0.0}, "........", id="never"),
        pytest.param({"probability": 0.5, "seed": 7}, "xx.x.xx.", id="by chance, the same each time"),
    ],
)
async def test_a_rule_hits_what_it_matches(client: UpstreamDriver, match: dict[str, Any], expected: str) -> None:
    """Eight requests: GET and PATCH of two customers, twice; x marks a hit."""
    await client.fault({"kind": "status", "status": 503}, **match)

    statuses = [
        (await ask(customer_id)).status for customer_id in (ID, OTHER, ID, OTHER) for ask in (client.get, client.patch)
    ]

    assert "".join("x" if status == 503 else "." for status in statuses) == expected
    [rule] = (await client.shown("?journal=0"))["faults"]
    assert rule["match"] == match
    assert rule["hit"] == expected.count("x")


async def test_what_the_service_itself_answers_counts_and_what_is_before_it_does_not(client: UpstreamDriver) -> None:
    """500, 404 and 403 carry the figures; 401, 3xx and a proxy's 502 to 504 do not."""
    await client.control(rate_limit=1000)
    remaining = []
    for status in (500, 404, 403, 401, 302, 502, 503, 504):
        await client.fault({"kind": "status", "status": status})
        remaining.append((await client.get()).headers.get("RateLimit-Remaining"))

    assert remaining == ["999", "998", "997", None, None, None, None, None]
    assert (await client.shown())["users"]["user-rw"]["requests"] == 3
