"""A command's record made from what is typed at a prompt: what `send` publishes, and what `plan` looks at."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from worker.cli.console import plain
from worker.cli.spans import span_ms


@dataclass(frozen=True, slots=True)
class Composed:
    """A record to publish."""

    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...]

    @property
    def cloudevents_id(self) -> str | None:
        """The id that it carries; None where its place will be its id."""
        return next((value.decode() for name, value in self.headers if name == "ce_id"), None)


def changes_from(
    assignments: list[str], cleared: list[str], tags: list[str], document: str | None, *, no_tags: bool
) -> dict[str, Any]:
    """The changes of --set, --clear, --tag, --no-tags and --changes together; each field once."""
    changes: dict[str, Any] = {}
    if document is not None:
        changes = _document(document)
    given: list[tuple[str, Any]] = []
    for assignment in assignments:
        field, separator, value = assignment.partition("=")
        if not separator or not field:
            raise typer.BadParameter("must be FIELD=VALUE", param_hint="--set")
        given.append((field, value))
    given += [(field, None) for field in cleared]
    if tags or no_tags:
        if tags and no_tags:
            raise typer.BadParameter("contradicts --tag", param_hint="--no-tags")
        given.append(("tags", [_tag(tag) for tag in tags]))
    for field, value in given:
        if field in changes:
            raise typer.BadParameter(
                f"names {plain(field)} a second time", param_hint="--set, --clear, --tag, --changes"
            )
        changes[field] = value
    if not given and document is None:
        raise typer.BadParameter("nothing to change", param_hint="--set, --clear, --tag, --changes or --raw")
    return changes


def _document(text: str) -> dict[str, Any]:
    content = text.encode(errors="surrogateescape") if text.lstrip().startswith("{") else content_of(text, "--changes")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        # The decoder's own words hold no content, only the place.
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise typer.BadParameter(f"is not JSON{where}", param_hint="--changes") from error
    if not isinstance(document, dict):
        raise typer.BadParameter("must be a JSON object of fields and values", param_hint="--changes")
    return document


def content_of(name: str, option: str) -> bytes:
    """The file *name*, or standard input for `-`."""
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file name"
        raise typer.BadParameter(f"the file cannot be read ({reason})", param_hint=option) from error


def _tag(text: str) -> dict[str, str]:
    tag_id, separator, name = text.partition("=")
    if not separator:
        raise typer.BadParameter("must be ID=NAME", param_hint="--tag")
    return {"id": tag_id, "name": name}


def value_of(customer: str, changes: dict[str, Any]) -> bytes:
    """The value of a command."""
    return json.dumps({"customer_id": customer, "changes": changes}).encode()


def cloudevents_headers(
    command_id: str, source: str, priority: str | None, expires: str | None
) -> list[tuple[str, bytes]]:
    """The headers of CloudEvents' binary mode; *expires* is RFC 3339, or a span from now."""
    attributes = {"specversion": "1.0", "id": command_id, "source": source, "type": "customer.update"}
    if priority is not None:
        attributes["priority"] = priority
    if expires is not None:
        attributes["expirytime"] = (
            _moment_after(expires) if expires[-1:].isalpha() and expires[:-1].isdigit() else expires
        )
    headers = [(f"ce_{name}", value.encode(errors="surrogateescape")) for name, value in attributes.items()]
    return [*headers, ("content-type", b"application/json")]


def _moment_after(span: str) -> str:
    from handlers.instants import format_instant

    now_ms = time.time_ns() // 1_000_000  # noqa: TID251  # an expiry is a moment of the calendar
    return format_instant(now_ms + span_ms(span, "--expires"))
