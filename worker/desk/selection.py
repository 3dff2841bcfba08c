"""Which dead letters are meant: by id or place, reason, time of death, customer, or a text in them. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from handlers.replay import DeadLetter


@dataclass(frozen=True, slots=True)
class Selection:
    """What a dead letter has to be to be meant; what is left empty excludes none.

    *ids* are command ids (with or without the number of a replay), or places of the command or of the dead letter.
    *since_ms* and *until_ms* (exclusive) bound the time of death. *text* is looked for in the error, the id and the
    command itself, in whatever case.
    """

    ids: frozenset[str] = field(default_factory=frozenset)
    reasons: frozenset[str] = field(default_factory=frozenset)
    since_ms: int | None = None
    until_ms: int | None = None
    customer: str = ""
    text: str = ""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is excluded."""
        return self == EVERYTHING

    def matches(self, letter: DeadLetter) -> bool:
        """Whether *letter* is meant."""
        record = letter.record
        if self.reasons and letter.reason not in self.reasons:
            return False
        if self.customer and (record.key or b"").decode(errors="replace") != self.customer:
            return False
        if self.since_ms is not None and record.timestamp_ms < self.since_ms:
            return False
        if self.until_ms is not None and record.timestamp_ms >= self.until_ms:
            return False
        if self.ids and self.ids.isdisjoint(names(letter)):
            return False
        return not self.text or self._is_in(letter)

    def missing(self, letters: Iterable[DeadLetter]) -> list[str]:
        """The ids that none of *letters* has."""
        found = {name for letter in letters for name in names(letter)}
        return sorted(self.ids - found)

    def _is_in(self, letter: DeadLetter) -> bool:
        text = self.text.lower()
        if text in letter.error.lower() or text in letter.id.lower():
            return True
        return text in (letter.record.value or b"").decode(errors="replace").lower()


EVERYTHING: Final = Selection()


def names(letter: DeadLetter) -> tuple[str, ...]:
    """All that a dead letter can be asked for by."""
    return letter.id, letter.command_id, letter.died.coordinates, letter.record.coordinates
