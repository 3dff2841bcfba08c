"""`dlq show` and `dlq discard`: one dead letter and its story, and those that are given up."""

import json
from pathlib import Path

import pytest

from handlers.errors import Reason
from handlers.record import CommandRecord
from harness.builders import customer_id
from harness.command_line import CommandLine
from harness.commands import command
from harness.desk_letters import a_letter, publish_letters
from harness.topics import Topics

pytestmark = [pytest.mark.real_kafka, pytest.mark.partitions(1)]

SECRET = "Geheimstraße"


@pytest.fixture
async def letter_id(topics: Topics) -> str:
    """A dead letter on its topic, its command on the command topic, and a later command of the same customer."""
    published = command(customer_id(1), city=SECRET, phone="1")
    (place,) = await topics.publish([published])
    async with topics.reader("read_committed", topics.commands) as consumer:
        record = await consumer.getone()
    dead = CommandRecord(topics.commands, 0, 0, record.timestamp, record.key, record.value)
    await publish_letters(topics, [a_letter(dead, reason=Reason.REJECTED, error="city: refused", died_at_ms=1_000)])
    await topics.publish([command(customer_id(1), city="Bruges"), command(customer_id(2), city="Bruges")])
    return place


async def test_show_tells_why_it_died_and_what_came_after(on_topics: CommandLine, letter_id: str) -> None:
    """The reason with its advice, the later command with its fields, and what a replay would do."""
    shown = await on_topics.along("dlq", "show", letter_id)

    assert shown.exit_code == 0, shown.errors
    for text in (
        "rejected",
        "city: refused",
        "publisher has to act",
        "city, phone",
        "1 command for this customer",
    ):
        assert text in shown.output
    assert "is held back: later commands that set the same fields still wait" in shown.output
    assert SECRET not in shown.output


async def test_values_are_shown_to_those_who_ask_for_them(on_topics: CommandLine, letter_id: str) -> None:
    """As text and as JSON."""
    revealed = await on_topics.along("dlq", "show", letter_id, "--reveal")
    document = json.loads((await on_topics.along("dlq", "show", letter_id, "--json")).output)

    assert "Geheim" in revealed.output
    assert "Geheim" not in json.dumps(document)
    assert [one["fields"] for one in document["later"]] == [["city"]]
    assert document["state"] == "open"


async def test_discarded_ones_are_closed_with_the_reason(on_topics: CommandLine, letter_id: str) -> None:
    """`list` leaves them out, `show` tells who and why, and `replay` passes them over."""
    discarded = await on_topics.along("dlq", "discard", letter_id, "--reason", "customer has left", "--yes")
    listed = await on_topics.along("dlq", "list")
    shown = await on_topics.along("dlq", "show", letter_id)
    replayed = await on_topics.along("dlq", "replay", "--all", "--yes")

    assert discarded.exit_code == 0, discarded.errors
    assert "discarded 1" in discarded.output
    assert listed.output == "no open dead letters\n"
    assert "customer has left" in shown.output
    assert "nothing to replay" in replayed.output


async def test_what_is_not_there_is_neither_shown_nor_discarded(on_topics: CommandLine) -> None:
    """And where to look is said."""
    for arguments in (("show", "nobody"), ("discard", "nobody", "--reason", "x", "--yes")):
        finished = await on_topics.along("dlq", *arguments)
        assert finished.exit_code == 1
        assert "dlq list --all" in finished.errors


def test_discarding_needs_a_reason(customer_sync: CommandLine) -> None:
    """Somebody will ask."""
    finished = customer_sync("dlq", "discard", "crm-1")

    assert finished.exit_code == 2
    assert "--reason" in finished.errors


async def test_edited_command_is_checked_and_replayed(
    on_topics: CommandLine, letter_id: str, topics: Topics, tmp_path: Path
) -> None:
    """What the editor leaves behind is what the worker gets, under the command's own id."""
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\nsed -i \'s/"phone": "1"/"note": "by hand"/; /"city"/d\' "$1"\n')
    script.chmod(0o755)
    on_topics.give(VISUAL=script)

    finished = await on_topics.along("dlq", "edit", letter_id, "--yes")

    assert finished.exit_code == 0, finished.errors + finished.output
    async with topics.reader("read_committed", topics.commands) as consumer:
        records = [await consumer.getone() for _ in range(4)]
    assert json.loads(records[-1].value)["changes"] == {"note": "by hand"}
    assert dict(records[-1].headers)["dlq-command-id"].decode() == letter_id
    shown = await on_topics.along("dlq", "show", letter_id)
    assert "edited" in shown.output


async def test_edit_that_the_worker_would_refuse_is_not_sent(
    on_topics: CommandLine, letter_id: str, tmp_path: Path
) -> None:
    """All problems are shown; with nobody to ask it ends there."""
    script = tmp_path / "editor"
    script.write_text('#!/bin/sh\nsed -i \'s/"phone"/"fone"/\' "$1"\n')
    script.chmod(0o755)
    on_topics.give(VISUAL=script)

    finished = await on_topics.along("dlq", "edit", letter_id, "--yes")

    assert finished.exit_code == 1
    assert "unknown_field" in finished.errors
    assert "1 command" not in finished.output
