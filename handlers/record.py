"""What the handlers are given and what they give back: Kafka records as plain values.

Nothing here knows a client library; the worker translates at its edge. A header's value may be
null in Kafka, so it may be `None` here: a dead letter has to carry it on as it came.
"""

from dataclasses import dataclass
from enum import StrEnum

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class CommandRecord:
    """One record of the command topic, as Kafka delivered it.

    *timestamp_ms* is the record's own time in milliseconds since 1970 (UTC), -1 where it has none.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def coordinates(self) -> str:
        """Where the record is: ``topic:partition:offset``; unique within one Kafka cluster."""
        return f"{self.topic}:{self.partition}:{self.offset}"


class OutcomeKind(StrEnum):
    """What a command ended in; the worker maps it to a topic."""

    EVENT = "event"
    DEAD_LETTER = "dead_letter"


@dataclass(frozen=True, slots=True)
class OutcomeRecord:
    """The record to publish for one command."""

    kind: OutcomeKind
    key: bytes | None
    value: bytes | None
    headers: Headers
