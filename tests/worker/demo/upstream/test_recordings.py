"""Every recorded scenario, replayed over HTTP: the simulated upstream answers as the real one did."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from worker.demo.upstream import NONE_TOKEN, RO_TOKEN, RW_TOKEN, SimulatedUpstream

RECORDED = json.loads((Path(__file__).parents[3] / "data" / "upstream-exchanges.json").read_text("utf-8"))
TOKENS = {"rw": RW_TOKEN, "ro": RO_TOKEN, "none": NONE_TOKEN}
REDACTED_TOKEN = "signed.jwt.redacted"
SIGNED_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
DATABASE_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d*[1-9])?\+00")


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The scenarios that were answered as recorded; says at the end how many they are."""
    replayed: list[str] = []
    yield replayed
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{len(replayed)} of {len(RECORDED['scenarios'])} scenarios answered as recorded")


@pytest.fixture
async def upstream() -> AsyncIterator[SimulatedUpstream]:
    """A simulated upstream of the test's own."""
    async with SimulatedUpstream() as running:
        yield running


@pytest.mark.parametrize("scenario", [pytest.param(one, id=one["name"]) for one in RECORDED["scenarios"]])
async def test_a_recorded_scenario_is_answered_as_recorded(
    scenario: dict[str, Any], upstream: SimulatedUpstream, tally: list[str]
) -> None:
    """Status, the headers that matter and the body of each exchange, in order, from the recorded customers on."""
    state = {
        "customers": scenario["customers_before"],
        "tags_known": RECORDED["tags_known"],
        "rate_limit": scenario.get("rate_limit", 1000),
    }
    async with aiohttp.ClientSession(upstream.url) as session:
        async with session.post("/control", json=state) as answer:
            assert answer.status == 204
        used: dict[str, int] = {}
        for exchange in scenario["exchanges"]:
            await replay(session, exchange, used)
    tally.append(scenario["name"])


async def replay(session: aiohttp.ClientSession, exchange: dict[str, Any], used: dict[str, int]) -> None:
    """Sends one recorded request and compares; *used* is how far each token's recorded figures are from ours."""
    request, recorded = exchange["request"], exchange["response"]
    headers = {}
    if request["token"] is not None:
        headers["Authorization"] = f"Bearer {TOKENS[request['token']]}"
    if "authorization" in request:
        headers["Authorization"] = request["authorization"]
    data = None
    if "content_type" in request:
        headers["Content-Type"] = request["content_type"]
        data = request["body_text"] if "body_text" in request else json.dumps(request["body"])
    async with session.request(request["method"], request["path"], headers=headers, data=data) as answer:
        text = await answer.text("utf-8")

    assert answer.status == recorded["status"]
    ours = {name.lower(): value for name, value in answer.headers.items()}
    figures = {name: ours.pop(name) for name in ("ratelimit-remaining", "ratelimit-reset") if name in ours}
    theirs = dict(recorded["headers"])
    recorded_figures = {name: theirs.pop(name) for name in ("ratelimit-remaining", "ratelimit-reset") if name in theirs}
    if "retry-after" in theirs:
        assert theirs.pop("retry-after") == recorded_figures["ratelimit-reset"]
        assert ours.pop("retry-after") == figures["ratelimit-reset"]
    assert {name: ours.get(name) for name in theirs} == theirs
    assert "retry-after" not in ours
    assert figures.keys() == recorded_figures.keys()
    if figures:
        remaining = int(figures["ratelimit-remaining"])
        offset = remaining - int(recorded_figures["ratelimit-remaining"])
        assert used.setdefault(request["token"], offset) == offset  # each counted request costs exactly one
        assert 590 <= int(figures["ratelimit-reset"]) <= 600
    if "body_text" in recorded:
        assert text == recorded["body_text"]
    else:
        assert_same_body(json.loads(text), recorded["body"])


def assert_same_body(ours: dict[str, Any], recorded: dict[str, Any]) -> None:
    """The same keys in the same order and the same values, a signed token and the time of creation aside."""
    assert list(ours) == list(recorded)
    expected = dict(recorded)
    if recorded.get("token") == REDACTED_TOKEN:
        assert SIGNED_TOKEN.fullmatch(ours["token"])
        expected["token"] = ours["token"]
    if recorded.get("name") == "X" and recorded.get("id", "").endswith("900"):  # created by the scenario itself
        assert DATABASE_TIME.fullmatch(ours["createdAt"])
        expected["createdAt"] = ours["createdAt"]
    assert ours == expected
