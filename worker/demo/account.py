"""Accounting: what became of every command that was sent, and whether the upstream holds exactly that. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from handlers.errors import Reason
from handlers.fields import CAMEL, CHANGEABLE_FIELDS
from handlers.record import Headers
from worker.demo.traffic import Firm, Planned


@dataclass(frozen=True, slots=True)
class Sent:
    """A command that Kafka has acknowledged."""

    command: Planned
    topic: str
    partition: int
    offset: int

    @property
    def coordinates(self) -> str:
        """Where it stands: ``topic:partition:offset``."""
        return f"{self.topic}:{self.partition}:{self.offset}"

    @property
    def reference(self) -> str:
        """What its event calls it."""
        return self.command.id or self.coordinates


@dataclass(frozen=True, slots=True)
class Outcome:
    """An event or a dead letter, as a subscriber reads it."""

    is_event: bool
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def reference(self) -> str:
        """The command it is about: an event names its id, a dead letter where it stood."""
        if self.is_event:
            return self.header("ce_causationid")
        return ":".join(self.header(f"dlq-{name}") for name in ("topic", "partition", "offset"))

    @property
    def reason(self) -> Reason | None:
        """Why it is a dead letter; None for an event."""
        return None if self.is_event else Reason(self.header("dlq-reason"))

    @property
    def error(self) -> str:
        """What a dead letter says is wrong."""
        return self.header("dlq-error")

    def header(self, name: str) -> str:
        """The last header of this name as text; empty where there is none."""
        values = [value for found, value in self.headers if found == name and value]
        return values[-1].decode(errors="replace") if values else ""


class Flaw(StrEnum):
    """What must not be."""

    MISSING = "without an outcome"
    REPEATED = "with more than one outcome"
    UNASKED = "an outcome that no command asked for"
    UNEXPECTED = "another outcome than expected"
    ALTERED = "a dead letter that is not its command"
    OUT_OF_ORDER = "an event before that of an earlier command"
    DIFFERENT = "a customer who is not as the commands left them"
    CREATED = "a customer created"
    CROWDED = "a request while another one of the customer was under way"


@dataclass(frozen=True, slots=True)
class Finding:
    """A flaw, and where it is."""

    flaw: Flaw
    where: str

    def __str__(self) -> str:
        return f"{self.where}: {self.flaw}"


def outcomes_by_command(
    sent: Iterable[Sent], outcomes: Iterable[Outcome]
) -> tuple[dict[str, list[Outcome]], list[Outcome]]:
    """The outcomes of each command, by its coordinates; and those of no command."""
    found: dict[str, list[Outcome]] = {one.coordinates: [] for one in sent}
    coordinates = {one.reference: one.coordinates for one in sent} | {place: place for place in found}
    unasked = []
    for outcome in outcomes:
        place = coordinates.get(outcome.reference)
        if place is None:
            unasked.append(outcome)
        else:
            found[place].append(outcome)
    return found, unasked


def audit(sent: Sequence[Sent], outcomes: Sequence[Outcome]) -> list[Finding]:
    """Everything that is wrong between the commands and their outcomes; empty when each has the one it must have."""
    found, unasked = outcomes_by_command(sent, outcomes)
    findings = [
        Finding(Flaw.UNASKED, f"{'event' if one.is_event else 'dead letter'} about {one.reference or '?'}")
        for one in unasked
    ]
    for one in sent:
        results = found[one.coordinates]
        if not results:
            findings.append(Finding(Flaw.MISSING, one.coordinates))
        if len(results) > 1:
            findings.append(Finding(Flaw.REPEATED, one.coordinates))
        for result in results:
            if result.reason is not one.command.becomes:
                got = f"{result.reason or 'event'} instead of {one.command.becomes or 'event'}"
                findings.append(Finding(Flaw.UNEXPECTED, f"{one.coordinates} ({got})"))
            if not result.is_event and not _is_whole(one.command, result):
                findings.append(Finding(Flaw.ALTERED, one.coordinates))
    return findings + _out_of_order(sent, found)


def audit_upstream(
    firms: Sequence[Firm], sent: Sequence[Sent], outcomes: Sequence[Outcome], state: Mapping[str, Any]
) -> list[Finding]:
    """Whether the upstream (*state* is its ``GET /control``) holds what the events stand for, and nothing else."""
    findings = [Finding(Flaw.CREATED, customer_id) for customer_id in state["customers_created"]]
    if state["overlaps"]:
        findings.append(Finding(Flaw.CROWDED, f"{state['overlaps']} times"))
    found, _ = outcomes_by_command(sent, outcomes)
    applied = [one for one in sent if any(outcome.is_event for outcome in found[one.coordinates])]
    held = {customer["id"]: customer for customer in state["customers"]}
    for firm in firms:
        wanted: dict[str, Any] = {CAMEL[name]: None for name in CHANGEABLE_FIELDS} | firm.as_json()
        for one in sorted(applied, key=lambda one: one.offset):
            if one.command.customer_id == firm.id:
                wanted |= {CAMEL[name]: value for name, value in (one.command.changes or {}).items()}
        differing = [name for name, value in wanted.items() if _as_stored(held[firm.id][name]) != _as_stored(value)]
        if differing:
            findings.append(Finding(Flaw.DIFFERENT, f"{firm.name} ({', '.join(differing)})"))
    return findings


def _is_whole(command: Planned, letter: Outcome) -> bool:
    own = tuple((name, value) for name, value in letter.headers if not name.startswith("dlq-"))
    return (letter.key, letter.value, own) == (command.key, command.value, command.headers)


def _out_of_order(sent: Sequence[Sent], found: Mapping[str, Sequence[Outcome]]) -> list[Finding]:
    """One customer's commands are on one partition, as are its events: both must rise together."""
    last: dict[str, int] = defaultdict(lambda: -1)
    findings = []
    for one in sorted(sent, key=lambda one: (one.partition, one.offset)):
        for event in (outcome for outcome in found[one.coordinates] if outcome.is_event):
            if event.offset < last[one.command.customer_id]:
                findings.append(Finding(Flaw.OUT_OF_ORDER, one.coordinates))
            last[one.command.customer_id] = max(last[one.command.customer_id], event.offset)
    return findings


def _as_stored(value: object) -> object:
    """Tags have no order upstream."""
    return sorted(tag["id"] for tag in value) if isinstance(value, list) else value
