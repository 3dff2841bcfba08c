"""What to send upstream so that exactly the named fields change.

The upstream's PATCH is no partial update: it demands name and e-mail, deletes the tags that its body does not repeat,
and leaves other fields alone. So a body holds name, e-mail and tags, as read or as changed, and beside them only
fields that differ. Echoing more could be refused, and would undo what somebody else edits meanwhile.

Values are compared as the upstream stores them: texts character by character, "" and null apart; tags as a set of ids,
since the stored name of a tag counts and not the one that was sent.
"""

from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import JsonValue

from handlers.customer import Customer
from handlers.fields import CAMEL, SNAKE

Changes = Mapping[str, JsonValue]
"""Changed fields by their snake_case names, as in `handlers.command.Command.changes`."""


def fold(changes: Sequence[Changes]) -> dict[str, JsonValue]:
    """All *changes*, oldest first, as one: the last write of each field wins."""
    folded: dict[str, JsonValue] = {}
    for change in changes:
        folded.update(change)
    return folded


def replaced(changes: Sequence[Changes]) -> frozenset[int]:
    """Indices of those whose every field is written again by later ones: nothing of them is left in the fold."""
    written: set[str] = set()
    indices: set[int] = set()
    for index in reversed(range(len(changes))):
        if written.issuperset(changes[index]):
            indices.add(index)
        written.update(changes[index])
    return frozenset(indices)


def culprits(changes: Sequence[Changes], refused_fields: frozenset[str]) -> frozenset[int]:
    """Indices of the last writers of *refused_fields* (snake_case or camelCase).

    Empty where no command wrote any of them: then it is the customer's stored value that the upstream refuses.
    """
    sought = {SNAKE.get(name, name) for name in refused_fields}
    indices: set[int] = set()
    for index in reversed(range(len(changes))):
        if sought & changes[index].keys():
            indices.add(index)
            sought -= changes[index].keys()
    return frozenset(indices)


def patch_body(current: Customer, changes: Changes) -> dict[str, JsonValue] | None:
    """The smallest safe PATCH body (camelCase) that applies *changes*, or None where they would change nothing."""
    stored = current.body
    differing = {
        CAMEL[name]: value
        for name, value in changes.items()
        if (_tag_ids(value) != _tag_ids(stored["tags"]) if name == "tags" else value != stored[CAMEL[name]])
    }
    if not differing:
        return None
    tags = cast("JsonValue", current.tags)
    return {"name": stored["name"], "email": stored["email"], "tags": tags, **differing}


def _tag_ids(tags: JsonValue) -> set[str]:
    return {tag["id"].lower() for tag in cast("list[dict[str, str]]", tags)}
