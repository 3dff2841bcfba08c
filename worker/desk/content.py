"""What is in a dead command, for people: whose it is and which fields it names, and no value. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from handlers.fields import SNAKE, shown_customer
from handlers.replay import DeadLetter


def customer_of(letter: DeadLetter) -> str:
    """The customer's id, or that there is none."""
    return shown_customer(letter.record.key)


def named_fields(letter: DeadLetter) -> list[str]:
    """The fields that the command names, as far as the contract knows them, in its spelling; no values."""
    changes = read_changes(letter)
    return sorted({SNAKE[name] for name in changes if name in SNAKE})


def read_changes(letter: DeadLetter) -> Mapping[str, Any]:
    """The changes as they stand in the command, right or wrong; empty where there are none to be seen."""
    try:
        content = json.loads(letter.record.value or b"null")
    except (ValueError, RecursionError):
        return {}
    data = content.get("data", content) if isinstance(content, dict) else {}
    changes = data.get("changes") if isinstance(data, dict) else None
    return changes if isinstance(changes, dict) else {}
