"""A dead command as a text that somebody can correct, and the command in that text. Pure."""

import json
from typing import Final

from handlers.command import Command, decode
from handlers.errors import CommandRefused, Problem
from handlers.fields import is_uuid
from handlers.record import CommandRecord
from handlers.replay import DeadLetter
from worker.desk.content import read_changes

_COMMENT: Final = "#"


class NotCorrected(Exception):
    """The text holds no command that the worker would take; *problems* says all that is wrong."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def text_of(letter: DeadLetter, notes: tuple[str, ...]) -> str:
    """The changes as JSON, below *notes* as comments; what cannot be read as JSON stands there as a comment too."""
    key = (letter.record.key or b"").decode(errors="replace")
    changes = dict(read_changes(letter))
    lines = [f"{letter.id} died as {letter.reason}: {letter.error}", *notes]
    lines.append("Lines that begin with # are left out. An empty text changes nothing.")
    if not changes:
        lines.append(f"The command was: {(letter.record.value or b'').decode(errors='replace')}")
    comments = [f"{_COMMENT} {line}" for text in lines for line in text.splitlines()]
    document = {"customer_id": key if is_uuid(key) else "", "changes": changes}
    return "\n".join([*comments, json.dumps(document, indent=2, ensure_ascii=False), ""])


def corrected(letter: DeadLetter, text: str) -> Command | None:
    """The command in *text*, as the worker would read its replay; None for an empty text. Raises `NotCorrected`."""
    body = "\n".join(line for line in text.splitlines() if not line.startswith(_COMMENT)).strip()
    if not body:
        return None
    try:
        document = json.loads(body)
        customer_id, changes = document["customer_id"], document["changes"]
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise NotCorrected((f"the text is no JSON{where}",)) from error
    except (KeyError, TypeError) as error:
        raise NotCorrected(("the text has to be an object of customer_id and changes",)) from error
    if not isinstance(customer_id, str) or not isinstance(changes, dict):
        raise NotCorrected(("customer_id has to be a text, changes an object",))
    try:
        return decode(CommandRecord(*letter.died, *letter.replayed_with(customer_id, changes)))
    except CommandRefused as refused:
        raise NotCorrected(tuple(_told(problem) for problem in refused.problems)) from refused


def _told(problem: Problem) -> str:
    return str(problem)
