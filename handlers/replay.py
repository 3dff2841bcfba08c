"""A dead letter read back, and what is published to try its command once more.

A replay is the command's record as it was, with two headers more: the command's id, and the number of this replay. The
worker gives it the identity ``<id>#<number>``, so that a replay which is sent twice happens once.

A replay *with other changes* (some fields left out, or corrected by a person) is a record of its own making. It keeps
what identifies the command and what traces it, and states the changes in the plainest form there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pydantic import JsonValue
from pydantic_core import to_json

from handlers.cloudevents import COMMAND_TYPE
from handlers.command import decode
from handlers.dead_letter import DEAD_LETTER_HEADERS, REPLAY_HEADER
from handlers.errors import CommandRefused
from handlers.record import CommandRecord, Headers

LAST_REPLAY: Final = 999_999
"""The highest number that the worker takes for one."""

_NEEDED: Final = ("dlq-reason", "dlq-command-id", "dlq-topic", "dlq-partition", "dlq-offset")


class Place(NamedTuple):
    """Where a record is, and its time (milliseconds since 1970, -1 for none): a recreated topic repeats offsets."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def coordinates(self) -> str:
        """``topic:partition:offset``."""
        return f"{self.topic}:{self.partition}:{self.offset}"


class NoDeadLetter(Exception):
    """A record that lacks what every dead letter of this worker says; *missing* names the headers."""

    def __init__(self, place: str, missing: tuple[str, ...]) -> None:
        super().__init__(f"{place} is no dead letter of this worker: {', '.join(missing)} missing or no number")
        self.place = place
        self.missing = missing


class Outgoing(NamedTuple):
    """A record to publish on the command topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What a record of the dead-letter topic says.

    *died* is where the command's record is on the command topic; *replay* the number of the replay that died, 0 where
    it was the command itself. *status* is None where the upstream did not answer.
    """

    record: CommandRecord
    died: Place
    command_id: str
    reason: str
    error: str
    status: int | None
    attempts: int
    replay: int

    @property
    def id(self) -> str:
        """The command's id, with the number of the replay that died."""
        return f"{self.command_id}#{self.replay}" if self.replay else self.command_id

    @property
    def next_command(self) -> CommandRecord:
        """The next replay, as the worker would read it; its place is that of the record that died."""
        return CommandRecord(*self.died, *self.replayed())

    @property
    def headers(self) -> Headers:
        """The headers that the publisher gave the command."""
        return tuple(header for header in self.record.headers if header[0] not in DEAD_LETTER_HEADERS)

    @property
    def next_replay(self) -> int:
        """The number of the next replay."""
        return self.replay + 1

    def replayed(self) -> Outgoing:
        """The command once more, byte by byte."""
        return Outgoing(self.record.key, self.record.value, self.headers + self._replay_headers(self.next_replay))

    def replayed_with(self, customer_id: str, changes: Mapping[str, JsonValue]) -> Outgoing:
        """The command once more with other *changes* (by their snake_case names)."""
        headers = tuple((name, value) for name, value in self.headers if name.lower() not in _RESTATED)
        value = to_json({"customer_id": customer_id, "changes": dict(changes)})
        headers += (*self._attributes(), ("content-type", b"application/json"))
        return Outgoing(customer_id.encode(), value, headers + self._replay_headers(self.next_replay))

    def _attributes(self) -> Headers:
        """What identifies and traces the command, in CloudEvents' binary mode, wherever it was said before."""
        try:
            command = decode(self.next_command)
        except CommandRefused as refused:
            source, correlation_id, traceparent = refused.source, None, None
        else:
            source, correlation_id, traceparent = command.source, command.correlation_id, command.traceparent
        attributes: list[tuple[str, bytes]] = []
        if source is not None:
            named = {"specversion": "1.0", "id": self.command_id, "source": source, "type": COMMAND_TYPE}
            attributes += [(f"ce_{name}", value.encode()) for name, value in named.items()]
        if correlation_id is not None:
            attributes.append(("ce_correlationid", correlation_id.encode()))
        if traceparent is not None:
            attributes.append(("traceparent", traceparent.encode()))
        return tuple(attributes)

    def _replay_headers(self, number: int) -> Headers:
        return (("dlq-command-id", self.command_id.encode()), (REPLAY_HEADER, b"%d" % number))


# All that `_attributes` states anew, and what would say something else about the new value.
_RESTATED: Final = frozenset(
    {"content-type", "traceparent"}
    | {f"ce_{name}" for name in ("specversion", "id", "source", "type", "priority", "expirytime", "correlationid")}
    | {"ce_traceparent", "ce_datacontenttype"}
)


def read_dead_letter(record: CommandRecord) -> DeadLetter:
    """The dead letter in *record*, one of the dead-letter topic. Raises `NoDeadLetter`."""
    said = {name: value for name, value in record.headers if value is not None and name in DEAD_LETTER_HEADERS}
    try:
        return DeadLetter(
            record,
            Place(
                said["dlq-topic"].decode(),
                int(said["dlq-partition"]),
                int(said["dlq-offset"]),
                int(said.get("dlq-timestamp", b"-1")),
            ),
            said["dlq-command-id"].decode(),
            said["dlq-reason"].decode(),
            said.get("dlq-error", b"").decode(errors="replace"),
            int(said.get("dlq-status") or 0) or None,
            int(said.get("dlq-attempts") or 0),
            int(said.get(REPLAY_HEADER) or 0),
        )
    except (KeyError, ValueError):
        missing = tuple(name for name in _NEEDED if name not in said)
    raise NoDeadLetter(record.coordinates, missing or _NEEDED)
