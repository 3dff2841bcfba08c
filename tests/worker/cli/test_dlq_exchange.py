"""`dlq export` and `dlq import`: dead letters leave their topic for a file, and come back from it."""

import json
from pathlib import Path

import pytest

from handlers.errors import Reason
from handlers.record import CommandRecord
from handlers.replay import DeadLetter
from harness.builders import customer_id
from harness.command_line import CommandLine
from harness.desk_letters import a_letter, publish_letters
from harness.topics import Topics
from worker.desk.exchange import to_line

SECRET = "Geheimstraße"


def letters(topics: Topics, count: int) -> list[DeadLetter]:
    """Dead letters of as many commands, one without bytes that are text."""
    values = [b"\xff", *(json.dumps({"changes": {"city": SECRET}}).encode() for _ in range(count - 1))]
    return [
        a_letter(
            CommandRecord(topics.commands, 0, offset, 1_000 + offset, customer_id(offset).encode(), value),
            reason=Reason.REJECTED,
            error="city: refused",
            died_at_ms=2_000,
        )
        for offset, value in enumerate(values)
    ]


@pytest.mark.real_kafka
@pytest.mark.partitions(1)
async def test_what_is_exported_can_be_brought_back(on_topics: CommandLine, topics: Topics, tmp_path: Path) -> None:
    """What is there already is left out, so that an import may be repeated; what is missing comes, byte by byte."""
    here, lost = letters(topics, 3)[:2], letters(topics, 3)[2:]
    await publish_letters(topics, here)
    file = tmp_path / "letters.jsonl"

    exported = await on_topics.along("dlq", "export", "--reveal", "--into", str(file))
    with file.open("a", encoding="utf-8") as lines:
        print(to_line(lost[0].record), file=lines)
    first = await on_topics.along("dlq", "import", str(file))
    second = await on_topics.along("dlq", "import", str(file))
    listed = await on_topics.along("dlq", "list", "--json")

    assert exported.exit_code == 0, exported.errors
    assert "exported 2" in exported.errors
    assert file.stat().st_mode & 0o077 == 0
    assert first.output == "imported 1, 2 were there already\n", first.errors
    assert second.output == "imported 0, 3 were there already\n", second.errors
    assert len(listed.output.splitlines()) == 3
    again = await on_topics.along("dlq", "export", "--reveal")
    values = [json.loads(line)["value"] for line in again.output.splitlines()]
    assert {"base64": "/w=="} in values
    assert values.count(json.dumps({"changes": {"city": SECRET}})) == 2


def test_an_export_is_no_accident(customer_sync: CommandLine) -> None:
    """It holds personal data."""
    finished = customer_sync("dlq", "export", "--all")

    assert finished.exit_code == 2
    assert "--reveal" in finished.errors


def test_nothing_of_an_unreadable_file_is_imported(customer_sync: CommandLine, tmp_path: Path) -> None:
    """And the line is named."""
    file = tmp_path / "letters.jsonl"
    file.write_text("{}\n")

    for name, said in ((str(file), "line 1"), (str(tmp_path / "none"), "cannot be read")):
        finished = customer_sync("dlq", "import", name)
        assert finished.exit_code == 2
        assert said in finished.errors
