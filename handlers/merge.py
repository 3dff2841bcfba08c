"""What to send upstream so that exactly the named fields change."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from handlers.customer import Customer

Changes = Mapping[str, JsonValue]


def fold(changes: Sequence[Changes]) -> dict[str, JsonValue]:
    """All *changes*, oldest first, as one: the last write of each field wins."""
    raise NotImplementedError


def replaced(changes: Sequence[Changes]) -> frozenset[int]:
    """Indices of those whose every field is written again by later ones."""
    raise NotImplementedError


def culprits(changes: Sequence[Changes], refused_fields: frozenset[str]) -> frozenset[int]:
    """Indices of the last writers of *refused_fields* (snake_case or camelCase); empty where nobody wrote them."""
    raise NotImplementedError


def patch_body(current: Customer, changes: Changes) -> dict[str, JsonValue] | None:
    """The smallest safe PATCH body (camelCase), or None where *changes* would change nothing."""
    raise NotImplementedError
