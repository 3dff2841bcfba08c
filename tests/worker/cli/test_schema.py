"""`schema`: what publishers and subscribers generate code from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.fields import CAMEL, CHANGEABLE_FIELDS, RESPONSE_FIELDS
from harness.command_line import CommandLine


@pytest.mark.parametrize("kind", ["command", "event", "dead-letter"])
def test_schema_is_one_json_document_of_its_dialect(customer_sync: CommandLine, kind: str) -> None:
    """It can be redirected into a file as it is."""
    finished = customer_sync("schema", kind)

    assert finished.exit_code == 0
    assert json.loads(finished.output)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_event_has_the_names_that_are_in_effect(customer_sync: CommandLine) -> None:
    """EVENT_FIELD_CASE decides what subscribers get."""
    snake = json.loads(customer_sync("schema", "event").output)
    customer_sync.give(EVENT_FIELD_CASE="camel")
    camel = json.loads(customer_sync("schema", "event").output)

    assert set(snake["required"]) == set(RESPONSE_FIELDS)
    assert set(camel["required"]) == set(CAMEL.values())


def test_command_knows_every_changeable_field(customer_sync: CommandLine) -> None:
    """In both spellings, and no others."""
    changes = json.loads(customer_sync("schema", "command").output)["properties"]["changes"]

    assert set(changes["properties"]) == {*CHANGEABLE_FIELDS, *(CAMEL[name] for name in CHANGEABLE_FIELDS)}


def test_asyncapi_names_the_topics_in_effect_and_resolves(customer_sync: CommandLine) -> None:
    """A reference that leads nowhere breaks every generator."""
    customer_sync.give(COMMANDS_TOPIC="acme.commands")

    document = json.loads(customer_sync("schema", "asyncapi").output)

    assert document["asyncapi"] == "3.0.0"
    assert {channel["address"] for channel in document["channels"].values()} == {
        "acme.commands",
        "customer.updated",
        "customer.update.dlq",
    }
    for reference in references(document):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]


def test_all_of_them_go_into_a_folder(customer_sync: CommandLine, tmp_path: Path) -> None:
    """For a catalogue or a repository of schemas."""
    finished = customer_sync("schema", "--output", str(tmp_path / "new" / "schemas"))

    assert finished.exit_code == 0
    written = sorted((tmp_path / "new" / "schemas").iterdir())
    assert [path.name for path in written] == [
        "asyncapi.json",
        "command.schema.json",
        "dead-letter.schema.json",
        "event.schema.json",
    ]
    assert all(json.loads(path.read_text()) for path in written)


def test_folder_that_cannot_be_written_is_a_failure(customer_sync: CommandLine, tmp_path: Path) -> None:
    """Not a traceback."""
    (tmp_path / "file").write_text("")

    finished = customer_sync("schema", "--output", str(tmp_path / "file"))

    assert finished.exit_code == 1
    assert "File exists" in finished.errors


def test_nothing_chosen_is_a_usage_error(customer_sync: CommandLine) -> None:
    """Four documents in a row would be no document."""
    assert customer_sync("schema").exit_code == 2


def references(document: object) -> Iterator[str]:
    """Every `$ref` in *document* except those within a JSON Schema, which has its own root."""
    if isinstance(document, dict):
        if "schemaFormat" in document:
            return
        if isinstance(document.get("$ref"), str):
            yield document["$ref"]
        for value in document.values():
            yield from references(value)
    elif isinstance(document, list):
        for value in document:
            yield from references(value)
