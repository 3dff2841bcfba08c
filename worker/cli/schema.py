"""`schema`: what goes in and what comes out, for editors, code generators and catalogues."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from worker.cli.console import complain, usable_settings
from worker.cli.failure import Failure

if TYPE_CHECKING:
    from worker.settings import Settings

EXAMPLES: Final = """\
Examples:
  customer-sync schema event > customer-updated.schema.json
  customer-sync schema --output schemas"""


class Kind(StrEnum):
    """What there is a schema of."""

    COMMAND = "command"
    EVENT = "event"
    DEAD_LETTER = "dead-letter"
    ASYNCAPI = "asyncapi"


def schema(
    kind: Annotated[
        Kind | None, typer.Argument(help="command and event: JSON Schema of the value; dead-letter: of the headers.")
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write files into this folder: all kinds, or the one named.")
    ] = None,
) -> None:
    """Print JSON Schemas and the AsyncAPI document.

    JSON Schema is of 2020-12, AsyncAPI of 3.0. Names of topics and fields are those of the settings in effect.
    """
    if kind is None and output is None:
        raise typer.BadParameter("name one, or a folder with --output", param_hint="KIND")
    settings = usable_settings()
    documents = {chosen: _document(chosen, settings) for chosen in ([kind] if kind is not None else Kind)}
    if output is None:
        for document in documents.values():
            typer.echo(document)
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        for chosen, document in documents.items():
            path = output / (f"{chosen}.json" if chosen is Kind.ASYNCAPI else f"{chosen}.schema.json")
            path.write_text(f"{document}\n", encoding="utf-8")
            complain(f"wrote {path}")
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}", fix="choose another folder with --output") from error


def _document(kind: Kind, settings: Settings) -> str:
    return json.dumps(_made(kind, settings), indent=2, ensure_ascii=False)


def _made(kind: Kind, settings: Settings) -> dict[str, Any]:
    from importlib.metadata import version

    from handlers.schema import command_schema, response_schema
    from worker.operations.asyncapi import asyncapi_document, dead_letter_headers

    match kind:
        case Kind.COMMAND:
            return command_schema()
        case Kind.EVENT:
            return response_schema(settings.event_field_case)
        case Kind.DEAD_LETTER:
            dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Headers of a dead letter"}
            return {**dialect, **dead_letter_headers()}
        case Kind.ASYNCAPI:
            return asyncapi_document(
                version=version("customer-sync"),
                commands_topic=settings.commands_topic,
                events_topic=settings.events_topic,
                dead_letter_topic=settings.dead_letter_topic,
                field_case=settings.event_field_case,
            )
