"""What was decided about dead letters: the records of the desk's own topic, and the index over them.

A dead letter is open until a decision about it is recorded. The decision names the dead letter by the place of the
command's record that died, which no other dead letter has, and a replay's decision says where the replay is. So a
replay that dies again leads back to the command it began with, whatever was changed on the way.

Pure.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from handlers.record import CommandRecord
from handlers.replay import DeadLetter, Place

_VERSION: Final = 1


class Action(StrEnum):
    """What was done with a dead letter."""

    REPLAYED = "replayed"
    IN_PART = "replayed_in_part"
    EDITED = "edited"
    FOUND = "replayed_elsewhere"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about one dead letter.

    *died* is the place of the command's record that died, *origin* that of the first record of this command.
    *replay* and *placed* are number and place of the replay, 0 and None where there is none; *fields* are those that
    it left out. *forced*: it was not held to what later commands had set. *note* is why it was discarded.
    """

    died: Place
    origin: Place
    action: Action
    command_id: str
    at_ms: int
    by: str
    replay: int = 0
    placed: Place | None = None
    fields: tuple[str, ...] = ()
    forced: bool = False
    note: str = ""

    @property
    def keeps_its_age(self) -> bool:
        """Whether the replay writes nothing that the command would not have left in its own time.

        Such a replay counts as old as its command; any other is as new as its place on the topic.
        """
        return self.action in {Action.REPLAYED, Action.IN_PART} and not self.forced

    def key(self) -> bytes:
        """The key of its record."""
        return self.died.coordinates.encode()

    def value(self) -> bytes:
        """The value of its record."""
        document: dict[str, Any] = {
            "version": _VERSION,
            "action": self.action,
            "command_id": self.command_id,
            "died": list(self.died),
            "origin": list(self.origin),
            "at_ms": self.at_ms,
            "by": self.by,
        }
        if self.placed is not None:
            document |= {"replay": self.replay, "placed": list(self.placed)}
        if self.fields:
            document["fields"] = list(self.fields)
        if self.forced:
            document["forced"] = True
        if self.note:
            document["note"] = self.note
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class DecisionUnreadable(Exception):
    """A record of the desk's topic that this version cannot read: going on could replay what was decided already."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} is no decision that this version can read")
        self.place = place


def read_decision(record: CommandRecord) -> Decision:
    """The decision in *record*, one of the desk's topic. Raises `DecisionUnreadable`."""
    try:
        document = json.loads(record.value or b"")
        if document["version"] != _VERSION:
            raise DecisionUnreadable(record.coordinates)
        placed = document.get("placed")
        return Decision(
            died=_place(document["died"]),
            origin=_place(document["origin"]),
            action=Action(document["action"]),
            command_id=document["command_id"],
            at_ms=document["at_ms"],
            by=document["by"],
            replay=document.get("replay", 0),
            placed=None if placed is None else _place(placed),
            fields=tuple(document.get("fields", ())),
            forced=document.get("forced", False),
            note=document.get("note", ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DecisionUnreadable(record.coordinates) from error


class Decisions:
    """All decisions, by what they are about and by where they put a replay. The latest about a dead letter counts."""

    def __init__(self, decisions: Iterable[Decision] = ()) -> None:
        self._by_death: dict[Place, Decision] = {}
        self._by_placed: dict[tuple[str, int, int], Decision] = {}
        for decision in decisions:
            self.add(decision)

    def add(self, decision: Decision) -> None:
        """Takes one more, in the order of the topic."""
        self._by_death[decision.died] = decision
        if decision.placed is not None:
            self._by_placed[decision.placed[:3]] = decision

    def about(self, died: Place) -> Decision | None:
        """The latest decision about the dead letter of the record at *died*; None while it is open."""
        return self._by_death.get(died)

    def that_placed(self, place: tuple[str, int, int], replay: int) -> Decision | None:
        """The decision that put replay number *replay* at *place* (topic, partition, offset), if one did."""
        decision = self._by_placed.get(place)
        return decision if decision is not None and decision.replay == replay else None

    def origin(self, letter: DeadLetter) -> Place | None:
        """The first record of the command that died; None: it died as a replay that nobody recorded."""
        if letter.replay == 0:
            return letter.died
        decision = self.that_placed(letter.died[:3], letter.replay)
        return None if decision is None else decision.origin

    def __len__(self) -> int:
        return len(self._by_death)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._by_death.values())


def _place(parts: list[Any]) -> Place:
    topic, partition, offset, timestamp_ms = parts
    return Place(str(topic), int(partition), int(offset), int(timestamp_ms))
