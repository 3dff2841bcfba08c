"""What the demo knows at one moment: the commands sent, what became of them, and what the upstream was asked. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from handlers.errors import Reason
from worker.demo.account import Outcome, Sent, outcomes_by_command
from worker.demo.traffic import Line, Scene


class Fate(Enum):
    """Where the commands of a row stand."""

    WAITING = auto()
    UNDER_WAY = auto()
    RETRYING = auto()
    HELD = auto()
    EVENT = auto()
    DEAD_LETTER = auto()


@dataclass(frozen=True, slots=True)
class Request:
    """An entry of the upstream's journal; *status* is None where it was not answered (yet)."""

    sequence: int
    method: str
    customer_id: str | None
    status: int | None
    is_over: bool

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> "Request":
        """Reads an entry of ``GET /control``."""
        is_over = entry["ended"] is not None
        return cls(entry["sequence"], entry["method"], entry["customer_id"], entry["status"], is_over)

    @property
    def failed(self) -> bool:
        """Whether the answer was a 5xx."""
        return self.status is not None and self.status >= 500


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What ``/api/status`` says; *committed* by partition."""

    retrying: int
    committed: Mapping[int, int]
    circuits: Mapping[str, str]

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "WorkerStatus":
        """Reads the worker's JSON."""
        committed = {one["partition"]: one["committed"] for one in document["partitions"]}
        return cls(document["retrying"], committed, document["circuits"])

    @property
    def open_circuits(self) -> Sequence[str]:
        """The kinds of requests that are held back."""
        return [request.upper() for request, state in self.circuits.items() if state != "closed"]


@dataclass(slots=True)
class Row:
    """One line of the traffic, with what is known of it."""

    scene: Scene
    line: Line
    after_request: int
    sent: list[Sent] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    was_complete: bool = False
    is_settled: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every command has an outcome."""
        return len(self.outcomes) >= len(self.line.commands)

    @property
    def is_folded(self) -> bool:
        """Whether commands shared their requests."""
        return len(self.line.commands) > 1 and len(self.requests) < 2 * len(self.line.commands)

    @property
    def failures(self) -> Sequence[Request]:
        """Requests that the upstream failed at."""
        return [request for request in self.requests if request.failed]


@dataclass(frozen=True, slots=True)
class Tally:
    """A scene, or a whole day, in figures."""

    commands: int
    events: int
    dead_letters: Mapping[Reason, int]
    requests: int

    @property
    def is_accounted_for(self) -> bool:
        """Whether there are as many outcomes as commands."""
        return self.events + sum(self.dead_letters.values()) == self.commands


class Day:
    """Everything that has happened so far."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        self.scene: Scene | None = None
        self.narration = ""
        self.rows: list[Row] = []
        self.worker: WorkerStatus | None = None
        self._outcomes: list[Outcome] = []
        self._requests: dict[int, Request] = {}
        self._began: dict[str, int] = {}

    @property
    def sent(self) -> list[Sent]:
        """Every command that Kafka has acknowledged."""
        return [one for row in self.rows for one in row.sent]

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """Everything that subscribers have read."""
        return self._outcomes

    @property
    def requests(self) -> int:
        """Requests sent upstream."""
        return max(self._requests, default=0)

    @property
    def requests_under_way(self) -> int:
        """Those that are not answered yet."""
        return sum(not request.is_over for request in self._requests.values())

    @property
    def journal_known_to(self) -> int:
        """The number of the upstream's last request that can be no news, as were all before it."""
        open_ones = [sequence for sequence, request in self._requests.items() if not request.is_over]
        return min(open_ones) - 1 if open_ones else self.requests

    @property
    def lag(self) -> int:
        """Commands that Kafka holds and the worker has not committed.

        Counted from what was sent: while the circuit is open the worker does not read, and cannot know.
        """
        ends: dict[int, int] = {}
        for one in self.sent:
            ends[one.partition] = max(ends.get(one.partition, 0), one.offset + 1)
        committed = self.worker.committed if self.worker else {}
        return sum(max(end - committed.get(partition, 0), 0) for partition, end in ends.items())

    @property
    def is_settled(self) -> bool:
        """Whether every command so far has its outcome, committed, and nothing is under way."""
        return all(row.is_settled for row in self.rows) and self.lag == 0

    def begin(self, scene: Scene) -> None:
        """The next scene."""
        self.scene = scene
        self.narration = scene.narration
        self._began[scene.clock] = self.requests

    def add(self, line: Line) -> Row:
        """A row for commands that are about to be sent."""
        if self.scene is None:
            raise RuntimeError("a line before its scene")
        row = Row(self.scene, line, self.requests)
        self.rows.append(row)
        return row

    def read(self, outcomes: Sequence[Outcome]) -> None:
        """A subscriber has read these."""
        self._outcomes += outcomes
        self._match()

    def asked(self, journal: Sequence[Mapping[str, Any]]) -> None:
        """The upstream's journal, from `journal_known_to` on."""
        self._requests |= {entry["sequence"]: Request.parse(entry) for entry in journal}
        self._match()
        for row in self.rows:
            if row.is_settled:
                continue
            row.requests = [
                request
                for request in self._requests.values()
                if request.sequence > row.after_request and request.customer_id == row.line.commands[0].customer_id
            ]
            # A journal asked for after the outcome came holds every request that led to it; this one may be older.
            row.is_settled = row.was_complete and all(request.is_over for request in row.requests)
            row.was_complete = row.is_complete

    def fate(self, row: Row) -> Fate:
        """Where the commands of *row* stand."""
        if row.is_complete:
            return Fate.EVENT if row.outcomes[-1].is_event else Fate.DEAD_LETTER
        if self.worker is not None and self.worker.open_circuits:
            return Fate.HELD
        if row.failures and row.requests[-1].failed:
            return Fate.RETRYING
        return Fate.UNDER_WAY if row.requests and not row.requests[-1].is_over else Fate.WAITING

    def tally(self, scene: Scene | None = None) -> Tally:
        """The figures of *scene*, or of the whole day."""
        rows = [row for row in self.rows if scene is None or row.scene is scene]
        outcomes = [outcome for row in rows for outcome in row.outcomes]
        return Tally(
            commands=sum(len(row.sent) for row in rows),
            events=sum(outcome.is_event for outcome in outcomes),
            dead_letters=Counter(outcome.reason for outcome in outcomes if outcome.reason is not None),
            requests=self.requests if scene is None else self._requests_during(scene),
        )

    def _match(self) -> None:
        """Gives the rows their outcomes; one may have come before Kafka's acknowledgement of its command."""
        found, _ = outcomes_by_command(self.sent, self._outcomes)
        for row in self.rows:
            row.outcomes = [outcome for one in row.sent for outcome in found[one.coordinates]]

    def _requests_during(self, scene: Scene) -> int:
        later = [began for clock, began in self._began.items() if clock > scene.clock]
        return min(later, default=self.requests) - self._began.get(scene.clock, self.requests)
