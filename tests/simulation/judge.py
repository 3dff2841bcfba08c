"""Whether a life kept the promises, from what readers and the upstream saw alone; shares no code with the engine.

What the worker's documentation names as possible is no breach: a request that was on the wire when its process was
frozen or lost its partition; a PATCH that lands after its client gave up, and what it disturbs; values that were
written with a 500, or by a worker that then crashed, when the commands behind them meet a 500 and are tried apart; a
command that expired after a crash.
"""

import json
from collections import defaultdict
from collections.abc import Sequence

from simulation.broker import EVENTS, Broker, Outcome
from simulation.commands import FIELDS, Sent
from simulation.group import Group
from simulation.process import Process
from simulation.upstream import Call, Row, Upstream
from simulation.world import World

# Outcomes that need no turn: their order among the others is not promised.
_AT_ONCE = {"invalid", "undecodable"}


class Judge:
    """Watches the upstream during the life, and the topics at its end."""

    def __init__(self, world: World, deduplication_window: int) -> None:
        self._world = world
        self._commands: list[Sent] = []
        self._window = deduplication_window
        self.group: Group | None = None
        self.upstream: Upstream | None = None
        self.broker: Broker | None = None
        self.is_stormy = False
        self.breaches: list[str] = []
        self.limited_calls: list[Call] = []
        self._told_to_wait: dict[Process, float] = {}
        self._numbers: dict[tuple[str, str, str], set[int]] = defaultdict(set)
        self._tentative: set[tuple[str, str, str]] = set()
        self._unconfirmed: set[tuple[str, str, str]] = set()
        self._written_by: dict[tuple[str, str, str], Process] = {}
        self._disturbed: set[str] = set()
        self._last_sent: dict[str, Call] = {}
        # The records behind each command id that must have an outcome: more than one where copies lie far apart.
        self._originals: dict[str, list[Sent]] = defaultdict(list)
        self._judged = 0
        self._partition_of: dict[str, int] = {}

    @property
    def expected(self) -> int:
        """How many outcomes a reader must see in all, of the commands published so far."""
        if self._judged < len(self._commands):
            for sent in self._commands[self._judged :]:
                if self._kind(sent) != "copy":
                    self._originals[sent.command_id].append(sent)
            self._judged = len(self._commands)
        return sum(map(len, self._originals.values()))

    def published(self, sent: Sent) -> None:
        """One more command is in the log."""
        self._commands.append(sent)
        self._partition_of[sent.customer_id] = sent.partition
        for field, value in sent.changes.items():
            place = (sent.customer_id, field, json.dumps(value))
            self._numbers[place].add(sent.number)
            if sent.expires_at is not None:
                self._tentative.add(place)

    def sent(self, call: Call) -> None:
        """See `upstream.Observer`."""
        self._last_sent[call.customer_id] = call
        if call.sent_at < self._told_to_wait.get(call.process, 0) - 0.001:
            self._breach(f"in spite of a 429: {_show(call)} by {call.process.name}")
        assert self.group is not None
        owner = self.group.owners.get(self._partition_of[call.customer_id])
        if owner is not call.process:
            name = owner.name if owner is not None else "nobody"
            self._breach(f"no right to send: {call.process.name} sent {_show(call)}, the partition is with {name}")

    def arrived(self, call: Call, others: list[Call]) -> None:
        """See `upstream.Observer`."""
        for other in others:
            if other.is_connected and not other.is_excused and not call.is_excused and call.is_connected:
                self._breach(
                    f"overlap: {_show(call)} of {call.process.name} during {_show(other)} of {other.process.name}"
                )

    def limited(self, call: Call) -> None:
        """See `upstream.Observer`."""
        self.limited_calls.append(call)

    def told_to_wait(self, call: Call, until: float) -> None:
        """See `upstream.Observer`."""
        self._told_to_wait[call.process] = until

    def judge_budget(self, starts: int, requests: int, *, names_quota: bool) -> None:
        """A start, a rebalance or a delay may cost one or the other request too many; more, where no header tells."""
        tolerated = 2 * starts + 0.03 * requests if names_quota else 5 * starts + 0.3 * requests
        if len(self.limited_calls) > tolerated:
            self._breach(f"budget: {len(self.limited_calls)} of {requests} requests over the limit, {starts} starts")

    def written(self, call: Call, before: Row | None, after: Row) -> None:
        """See `upstream.Observer`."""
        customer = call.customer_id
        if before is None:
            self._breach(f"created: {_show(call)}")
            return
        if "tags" not in call.body:
            self._breach(f"tags deleted: {_show(call)}")
        if self._last_sent.get(customer) is not call:
            # It lands after its customer's next request was sent: late, and its client has given it up.
            if call.is_connected and not call.is_excused:
                self._breach(f"late, yet awaited: {_show(call)}")
            self._disturbed.add(customer)
        for field in FIELDS:
            if before[field] != after[field]:
                self._judge_write(call, field, json.dumps(before[field]), json.dumps(after[field]))

    def judge_outcomes(self, visible: Sequence[Outcome]) -> None:
        """What a read_committed reader saw, at the end."""
        assert self.expected
        by_place = {(sent.partition, sent.offset): sent for sent in self._commands}
        counted: dict[Sent, int] = defaultdict(int)
        latest: dict[str, Sent] = {}
        applied: dict[tuple[str, str], int] = defaultdict(int)
        for outcome in visible:
            headers = {name: value or b"" for name, value in outcome.record.headers}
            if outcome.topic == EVENTS:
                same = self._originals.get(headers["ce_causationid"].decode(), [])
                # Where an id was used anew outside the window, its outcomes come in the order of its records.
                command = next((sent for sent in same if not counted[sent]), same[-1] if same else None)
                reason = "event"
            else:
                command = by_place.get((int(headers["dlq-partition"]), int(headers["dlq-offset"])))
                reason = headers["dlq-reason"].decode()
            if command is None:
                self._breach(f"an outcome for nobody: {headers}")
                continue
            counted[command] += 1
            self._judge_reason(command, reason)
            if reason == "event":
                self._judge_payload(command, json.loads(outcome.record.value or b"{}"))
                for field in command.changes:
                    place = (command.customer_id, field)
                    applied[place] = max(applied[place], command.number)
            if reason not in _AT_ONCE:
                before = latest.get(command.customer_id)
                if before is not None and command.offset < before.offset:
                    self._breach(f"order: {command} came out after {before}")
                latest[command.customer_id] = command
        wanted = {sent for same in self._originals.values() for sent in same}
        for command in self._commands:
            if counted[command] != (command in wanted):
                what = "lost" if not counted[command] else "twice"
                self._breach(f"{what}: {command} has {counted[command]} outcomes")
        self._judge_final(applied)

    def _judge_write(self, call: Call, field: str, old: str, new: str) -> None:
        customer = call.customer_id
        old_place, new_place = (customer, field, old), (customer, field, new)
        olds = self._numbers.get(old_place) or {0}
        news = self._numbers.get(new_place) or {0}
        assert self.upstream is not None
        had_server_errors = customer in self.upstream.server_errors
        is_documented = (
            customer in self._disturbed
            or old_place in self._tentative
            or (had_server_errors and (old_place in self._unconfirmed or self._is_left_over(old_place, olds, call)))
        )
        if max(news) < min(olds) and not is_documented:
            self._breach(f"moved back: {_show(call)} put {field} from {old} to {new}")
        self._written_by[new_place] = call.process
        if not call.is_confirmed:
            self._unconfirmed.add(new_place)

    def _is_left_over(self, place: tuple[str, str, str], numbers: set[int], call: Call) -> bool:
        """Whether another process wrote it and ended unheard: its successor does it again, and perhaps apart."""
        return self._written_by.get(place) is not call.process and not self._is_public(numbers)

    def _is_public(self, numbers: set[int]) -> bool:
        """Whether one of these commands has its event."""
        assert self.broker is not None
        ids = {sent.command_id for sent in self._commands if sent.number in numbers}
        return any(
            outcome.topic == EVENTS and (dict(outcome.record.headers)["ce_causationid"] or b"").decode() in ids
            for outcome in self.broker.decided()
        )

    def _judge_reason(self, command: Sent, reason: str) -> None:
        if reason not in self._allowed(command):
            self._breach(f"surprise: {command} ended as {reason}")

    def _allowed(self, command: Sent) -> set[str]:
        kind = self._kind(command)
        if kind in {"undecodable", "invalid", "reused"}:
            # The bytes of a reused id may be no command at all.
            return {"undecodable"} if command.value.startswith(b"{{") else {"invalid"}
        assert self.upstream is not None
        allowed = {"unknown_customer"} if kind == "unknown" else {"event"}
        is_large = any(sent.kind == "large" and sent.customer_id == command.customer_id for sent in self._commands)
        if is_large and kind != "unknown":
            allowed.add("too_large")
        if command.expires_at is not None:
            allowed.add("expired")
        if self.is_stormy or command.customer_id in self.upstream.server_errors:
            allowed.add("retries_exhausted")
        if kind.startswith("refused"):
            allowed.add("rejected")
        field = {"refused": "email", "refused unnamed": "note", "poison-none": "note", "poison-part": "note"}.get(kind)
        is_replaced = any(
            field in sent.changes and sent.number > command.number and sent.customer_id == command.customer_id
            for sent in self._commands
        )
        if field is not None and not is_replaced:
            allowed -= {"event", "too_large"}
        return allowed

    def _kind(self, sent: Sent) -> str:
        """What the record is by the rules, wherever it happened to fall: a copy counts only within the window."""
        if sent.identity is None:
            return sent.kind
        earlier = [
            other
            for other in self._commands
            if other.identity == sent.identity
            and other.partition == sent.partition
            and sent.offset - self._window <= other.offset < sent.offset
        ]
        if not earlier:
            original = next(other for other in self._commands if other.identity == sent.identity)
            return original.kind
        first = min(earlier, key=lambda other: other.offset)
        return "copy" if first.value == sent.value else "reused"

    def _judge_payload(self, command: Sent, payload: Row) -> None:
        customer = command.customer_id
        if customer in self._disturbed:
            return
        for field in command.changes:
            found = json.dumps(payload[field])
            numbers = self._numbers.get((customer, field, found)) or {0}
            if max(numbers) < command.number and self._kind(command) == command.kind:
                self._breach(f"event without its change: {command} has {field} {found}")

    def _judge_final(self, applied: dict[tuple[str, str], int]) -> None:
        assert self.upstream is not None
        for (customer, field), number in applied.items():
            found = json.dumps(self.upstream.rows[customer][field])
            numbers = self._numbers.get((customer, field, found)) or {0}
            if max(numbers) < number and customer not in self._disturbed:
                self._breach(f"lost update: {field} of {customer[-3:]} ends as {found}, command {number} was applied")

    def _breach(self, what: str) -> None:
        self._world.note("JUDGE", what)
        self.breaches.append(what)


def _show(call: Call) -> str:
    return f"{call.request} {call.customer_id[-3:]} sent at {call.sent_at:.3f}"
