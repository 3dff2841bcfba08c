"""Whatever a publisher gets wrong ends in one dead letter that has all of it, and costs no upstream request."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from data.bad_commands import BAD_COMMANDS, BadCommand
from harness.commands import command
from harness.follower import follow
from harness.publisher import publish
from harness.stage import Stage
from harness.topics import Message, Outcome
from worker.demo.upstream import customer_id_for

REPLACED = ("dlq-command-id", "dlq-replay")
"""Headers of a replay, which a dead letter states anew."""


@dataclass(frozen=True, slots=True)
class Result:
    """All rows of the table, published and judged once."""

    ids: dict[str, str]
    outcomes: dict[str, list[Outcome]]
    requests: int


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def result(stage: Stage) -> AsyncIterator[Result]:
    """Every row one after another, then a good command for each partition, whose events end the wait."""
    await stage.upstream.control(generate_customers=100)
    await stage.start_ready_worker()
    rows = [Message(row.key, row.value, headers=row.headers) for row in BAD_COMMANDS]
    places = await publish(stage.topics.bootstrap_servers, stage.topics.commands, rows)
    async with follow(stage.topics) as follower:
        await follower.until(lambda outcomes: len(outcomes) >= len(rows), what=f"{len(rows)} dead letters")
        requests = (await stage.upstream.state(journal=0))["requests"]
        good = [command(customer_id_for(number), phone="1") for number in range(100)]
        await follower.of(await stage.topics.publish(good))
    by_place: dict[str, list[Outcome]] = {place: [] for place in places}
    for outcome in follower.outcomes:
        if not outcome.is_event:
            by_place[place_of(outcome)].append(outcome)
    yield Result({row.id: place for row, place in zip(BAD_COMMANDS, places, strict=True)}, by_place, requests)


def place_of(dead_letter: Outcome) -> str:
    """Where the record was that it stands for."""
    return ":".join(dead_letter.headers[f"dlq-{name}"] for name in ("topic", "partition", "offset"))


@pytest.mark.parametrize("row", BAD_COMMANDS, ids=lambda row: row.id)
def test_a_bad_command_ends_in_one_dead_letter_with_all_that_was_published(result: Result, row: BadCommand) -> None:
    """Key, value and headers byte for byte, and behind them why, by the names of the contract."""
    place = result.ids[row.id]
    (dead_letter,) = result.outcomes[place]

    assert (dead_letter.key, dead_letter.value) == (row.key, row.value)
    kept = tuple((name, value) for name, value in row.headers if name not in REPLACED)
    assert dead_letter.raw_headers[: len(kept)] == kept
    added = dict(dead_letter.raw_headers[len(kept) :])
    assert added["dlq-reason"] == row.reason.encode()
    assert (added["dlq-status"], added["dlq-attempts"]) == (b"", b"0")
    assert f"[{row.problems[0][0]}]" in dead_letter.headers["dlq-error"]
    if row.command_id is None:
        assert added["dlq-command-id"] == place.encode()


def test_bad_commands_cost_no_upstream_request(result: Result) -> None:
    """Nor does one of them hold up the good ones behind it."""
    assert len(result.ids) >= 60
    assert result.requests == 0
