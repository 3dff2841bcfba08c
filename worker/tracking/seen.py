"""What the records of the three topics say about commands: the command itself, its event, its dead letter.

Whoever looks for one command among a million has to see at a glance that a record is about another one, so what is
sought is looked for in the raw bytes first, and only a record that holds it is decoded. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import JsonValue

from handlers.command import decode
from handlers.errors import CommandRefused
from handlers.event import event_id
from handlers.fields import SNAKE
from handlers.instants import format_instant
from handlers.record import CommandRecord, Headers
from handlers.replay import DeadLetter, NoDeadLetter, read_dead_letter

_replay_in = re.compile(r"(.+)#([1-9][0-9]{0,5})", re.DOTALL).fullmatch


class Place(NamedTuple):
    """Where a record is."""

    topic: str
    partition: int
    offset: int

    @property
    def coordinates(self) -> str:
        """``topic:partition:offset``."""
        return f"{self.topic}:{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class CommandSeen:
    """A record of the command topic, be it a good command or not.

    *fields* are those that it names, as far as the contract knows them; *event_id* is the ``ce_id`` that its event
    has, None where it gets none. *identity* is what copies of it have in common.
    """

    record: CommandRecord
    id: str
    source: str | None
    replay: int
    fields: tuple[str, ...]
    event_id: str | None
    refusal: str | None

    @property
    def place(self) -> Place:
        """Where it is."""
        return Place(self.record.topic, self.record.partition, self.record.offset)

    @property
    def identity(self) -> tuple[str | None, str] | None:
        """What copies of it have in common; None: it is the only one, whatever it says."""
        return (self.source, self.id) if self.source is not None or self.replay else None

    def is_copied_by(self, later: CommandSeen) -> bool:
        """Whether *later*, if it is near enough, is settled as a copy of this one."""
        return (
            self.identity is not None
            and self.identity == later.identity
            and (self.record.key, self.record.value) == (later.record.key, later.record.value)
        )


@dataclass(frozen=True, slots=True)
class EventSeen:
    """A record of the events topic. *command_time* is its ``ce_time``, the time of the command's record."""

    place: Place
    timestamp_ms: int
    command_id: str
    event_id: str
    command_time: str
    key: bytes | None
    value: bytes | None

    def is_of(self, command: CommandSeen) -> bool:
        """Whether it is the event of that very record: the time tells a record from another of the same id."""
        at = format_instant(max(command.record.timestamp_ms, 0))
        return self.event_id == command.event_id and self.command_time == at


@dataclass(frozen=True, slots=True)
class DeathSeen:
    """A record of the dead-letter topic that the worker wrote; *worker* is the one that did."""

    place: Place
    timestamp_ms: int
    letter: DeadLetter
    worker: str

    @property
    def id(self) -> str:
        """The command's id, with its number where it is a replay."""
        return self.letter.id

    @property
    def died(self) -> Place:
        """Where the command's record is, or was."""
        return Place(*self.letter.died[:3])

    def is_of(self, command: CommandSeen) -> bool:
        """Whether it is the dead letter of that very record, and not of one in a topic that was there before."""
        return self.letter.died == (*command.place, command.record.timestamp_ms)


class Family:
    """One command and its replays, by the id of any of them."""

    def __init__(self, command_id: str) -> None:
        match = _replay_in(command_id)
        # A publisher's own id may look like a replay's: then it stands for itself as well.
        self.ids = frozenset({command_id, match[1]} if match else {command_id})
        self._whole = tuple(one.encode() for one in self.ids)
        self._replays = tuple(one + b"#" for one in self._whole)
        self._quoted = tuple(b'"%b"' % one for one in self._whole)

    def __contains__(self, command_id: str) -> bool:
        """Whether this is the id of the command, or of a replay of it."""
        match = _replay_in(command_id)
        return command_id in self.ids or (match is not None and match[1] in self.ids)

    def may_be_in(self, headers: Headers, value: bytes | None) -> bool:
        """Whether a record with these may be about it. Quick; it may say yes where `__contains__` will say no."""
        whole, replays = self._whole, self._replays
        for _, content in headers:
            if content in whole or (content is not None and content.startswith(replays)):
                return True
        if value is None:
            return False
        for quoted in self._quoted:
            if quoted in value:
                return True
        # In JSON any character may be written otherwise.
        return b"\\" in value and b"source" in value


def read_command(record: CommandRecord) -> CommandSeen:
    """What a record of the command topic says."""
    try:
        command = decode(record)
    except CommandRefused as refused:
        id_, source, replay = refused.command_id, refused.source, refused.replay
        return CommandSeen(record, id_, source, replay, _fields_in(record.value), None, str(refused))
    names = tuple(command.changes)
    return CommandSeen(record, command.id, command.source, command.replay, names, event_id(command), None)


def read_event(record: CommandRecord) -> EventSeen:
    """What a record of the events topic says; "" for what it does not say."""
    said = _texts(record.headers)
    return EventSeen(
        Place(record.topic, record.partition, record.offset),
        record.timestamp_ms,
        said.get("ce_causationid", ""),
        said.get("ce_id", ""),
        said.get("ce_time", ""),
        record.key,
        record.value,
    )


def read_death(record: CommandRecord) -> DeathSeen | None:
    """What a record of the dead-letter topic says; None where it is no dead letter of this worker."""
    try:
        letter = read_dead_letter(record)
    except NoDeadLetter:
        return None
    place = Place(record.topic, record.partition, record.offset)
    return DeathSeen(place, record.timestamp_ms, letter, _texts(record.headers).get("dlq-worker", ""))


def changes_in(value: bytes | None) -> Mapping[str, JsonValue]:
    """The changes that a command's value asks for, those that the contract knows, by their snake_case names."""
    try:
        content: Any = json.loads(value or b"null")
    except (ValueError, RecursionError):
        return {}
    data = content.get("data", content) if isinstance(content, dict) else {}
    changes = data.get("changes") if isinstance(data, dict) else None
    return {SNAKE[name]: value for name, value in changes.items() if name in SNAKE} if isinstance(changes, dict) else {}


def _fields_in(value: bytes | None) -> tuple[str, ...]:
    return tuple(changes_in(value))


def _texts(headers: Headers) -> dict[str, str]:
    return {name: value.decode(errors="replace") for name, value in headers if value is not None}
