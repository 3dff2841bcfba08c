"""A command: what a publisher asked for, checked before anything is sent anywhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

from handlers.record import CommandRecord


class Priority(StrEnum):
    """How urgent a command is: the CloudEvents extension attribute ``priority``."""

    LIVE = "live"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Command:
    """One checked command. *changes* is in snake_case; its ``tags`` is a list of ``{"id", "name"}``."""

    id: str
    source: str | None
    customer_id: str
    changes: Mapping[str, JsonValue]
    priority: Priority
    expires_at_ms: int | None
    traceparent: str | None
    correlation_id: str | None
    replay: int
    record: CommandRecord

    @property
    def identity(self) -> tuple[str | None, str]:
        """CloudEvents ``source`` and the command's id: what deduplication goes by.

        Without CloudEvents attributes the source is None and the id the record's place, so no two are equal,
        replays of one dead letter aside.
        """
        return (self.source, self.id)


def decode(record: CommandRecord) -> Command:
    """The command in *record*. Raises `CommandRefused` with all problems at once, and nothing else."""
    raise NotImplementedError


def held_bytes(command: Command) -> int:
    """Roughly the bytes of memory that *command* and its record hold."""
    raise NotImplementedError
