"""`dlq list`: what is open, counted and shown, and nothing that is personal."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from handlers.errors import Reason
from handlers.record import CommandRecord
from handlers.replay import DeadLetter, Place
from harness.builders import a_record, customer_id
from harness.command_line import CommandLine
from harness.desk_letters import a_letter, publish_decisions, publish_letters
from harness.topics import Message, Topics
from worker.desk.decisions import Action, Decision

SECRET = "Geheimstraße"


def letters() -> list[DeadLetter]:
    """Five, of three reasons and two customers; the last one has a key that is a person's address."""
    of_topic = [a_record(number, {"city": SECRET, "phone": None}, customer=number % 2) for number in range(4)]
    nameless = CommandRecord("customer.update", 0, 4, 0, b"anna@example.com", b"{")
    return [
        *(
            a_letter(record, error=f"not found {record.offset}", died_at_ms=1_000 + record.offset)
            for record in of_topic[:3]
        ),
        a_letter(of_topic[3], reason=Reason.REJECTED, error="no", died_at_ms=1_003),
        a_letter(nameless, reason=Reason.UNDECODABLE, died_at_ms=1_004),
    ]


def listed(output: str) -> list[dict[str, Any]]:
    """The rows of --json."""
    return [json.loads(line) for line in output.splitlines()]


def commands(rows: Sequence[dict[str, Any]]) -> list[int]:
    """The offsets of the commands, in order."""
    return sorted(int(row["command"].rsplit(":", 1)[1]) for row in rows)


async def test_open_dead_letters_are_counted_by_reason_and_the_latest_shown(
    on_topics: CommandLine, topics: Topics
) -> None:
    """Counts first; a customer, a command and its fields in each row."""
    await publish_letters(topics, letters())

    finished = await on_topics.along("dlq", "list", "--limit", "2")

    assert finished.exit_code == 0, finished.errors
    assert [line.split() for line in finished.output.splitlines()[1:5]] == [
        ["undecodable", "1"],
        ["unknown_customer", "3"],
        ["rejected", "1"],
        ["together", "5"],
    ]
    rows = finished.output.splitlines()[7:]
    assert "(no customer's id)" in rows[0]
    assert customer_id(1) in rows[1]
    assert "city, phone" in rows[1]
    assert "and 3 earlier ones" in finished.output


async def test_nothing_personal_is_shown(on_topics: CommandLine, topics: Topics) -> None:
    """Neither values nor keys that are no ids, as text or as JSON."""
    await publish_letters(topics, letters())

    for options in ((), ("--json",)):
        finished = await on_topics.along("dlq", "list", *options)
        assert SECRET not in finished.output + finished.errors
        assert "anna" not in finished.output + finished.errors


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(["--reason", "rejected"], [3], id="a reason"),
        pytest.param(["--reason", "rejected", "--reason", "undecodable"], [3, 4], id="two reasons"),
        pytest.param(["--customer", customer_id(1)], [1, 3], id="a customer"),
        pytest.param(["--text", "FOUND 2"], [2], id="a text in the error"),
        pytest.param(["--text", "geheim"], [0, 1, 2, 3], id="a text in the command"),
        pytest.param(["--since", "1970-01-01T00:00:01.002Z"], [2, 3, 4], id="from a time on"),
        pytest.param(["--until", "1970-01-01T00:00:01.002Z"], [0, 1], id="until a time"),
        pytest.param(["--age", "1d"], [], id="young ones"),
    ],
)
async def test_filters_have_all_to_hold(
    on_topics: CommandLine, topics: Topics, options: list[str], expected: list[int]
) -> None:
    """Each by itself here."""
    await publish_letters(topics, letters())

    finished = await on_topics.along("dlq", "list", "--json", *options)

    assert commands(listed(finished.output)) == expected


async def test_decided_ones_are_left_out_unless_all_are_asked_for(on_topics: CommandLine, topics: Topics) -> None:
    """With --all it is said what became of each."""
    found = letters()
    replayed = Place(topics.commands, 0, 77, 5)
    await publish_letters(topics, found)
    await publish_decisions(
        topics,
        [
            Decision(found[0].died, found[0].died, Action.DISCARDED, "x", 0, "ana", note="gone"),
            Decision(found[1].died, found[1].died, Action.REPLAYED, "x", 0, "ana", 1, replayed),
            Decision(found[2].died, found[2].died, Action.SUPERSEDED, "x", 0, "ana"),
        ],
    )

    assert commands(listed((await on_topics.along("dlq", "list", "--json")).output)) == [3, 4]
    everything = listed((await on_topics.along("dlq", "list", "--json", "--all")).output)

    assert {int(row["command"][-1]): row["state"] for row in everything} == {
        0: "discarded",
        1: "waiting",
        2: "superseded",
        3: "open",
        4: "open",
    }


async def test_replay_that_died_again_is_open_itself(on_topics: CommandLine, topics: Topics) -> None:
    """The first dead letter is closed by its replay, whatever became of that."""
    first = letters()[0]
    again = CommandRecord(topics.commands, 0, 77, 5, *first.replayed())
    second = a_letter(again, command_id=f"{first.command_id}#1")
    await publish_letters(topics, [first, second])
    await publish_decisions(
        topics, [Decision(first.died, first.died, Action.REPLAYED, first.command_id, 0, "ana", 1, second.died)]
    )

    rows = listed((await on_topics.along("dlq", "list", "--json", "--all")).output)

    assert {(row["replay"], row["state"]) for row in rows} == {(0, "died again"), (1, "open")}


async def test_no_dead_letters_are_no_failure(on_topics: CommandLine) -> None:
    """Nothing to do."""
    finished = await on_topics.along("dlq", "list")

    assert (finished.exit_code, finished.output) == (0, "no open dead letters\n")


async def test_other_records_are_left_out_and_counted(on_topics: CommandLine, topics: Topics) -> None:
    """Somebody else may write to the topic."""
    await topics.publish([Message("key", {"a": 1})], topic=topics.dead_letter)

    finished = await on_topics.along("dlq", "list")

    assert finished.output == "no open dead letters\n"
    assert "1 records" in finished.errors


def test_age_and_since_contradict_each_other(customer_sync: CommandLine) -> None:
    """A usage error, before anything is read."""
    finished = customer_sync("dlq", "list", "--age", "2h", "--since", "1h")

    assert finished.exit_code == 2
    assert "--age" in finished.errors
