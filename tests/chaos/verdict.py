"""Whether the promises were kept, decided from the evidence alone. Pure, and shares no code with the engine.

A command says in its header `chaos-kind` what it is; everything else is read off the topics and the journal. In each
customer every value of every field is written by one command only, so that a value names its command.

Three things are no breach, and are counted beside. docs/delivery.md names the first; the others follow from a 500 that
was applied in part, which the upstream was recorded to do, and a reader should weigh their number:

- a request that overlaps one which was never answered: its client gave it up by its timeout, was killed, or was
  frozen, while the server still held it;
- a field that goes back from a value which was never confirmed, while the upstream has answered the customer with 500
  five times and more since its last 200: it was written in part, the fold was taken apart, and the suspect left out;
- `retries_exhausted` for a command of such a customer.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.evidence import Evidence, Record, records_by_partition

INITIAL: Final = -1
SUSPICIOUS_500S: Final = 5
_CAMEL: Final = {"address_line1": "addressLine1", "vat_number": "vatNumber", "country_code": "countryCode"}
_ECHOED: Final = {"name", "email", "tags"}
# Dead letters that need no turn: their order among the others is not promised.
_AT_ONCE: Final = {"undecodable", "invalid"}


@dataclass(frozen=True, slots=True)
class Breach:
    """A promise that was not kept: which, and the facts."""

    promise: str
    facts: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """*figures* says how much was looked at, and how often a documented exception was met."""

    breaches: Sequence[Breach]
    figures: Mapping[str, int]


@dataclass(slots=True)
class Told:
    """One command of the topic, as the judge understands it."""

    record: Record
    kind: str
    customer_id: str
    command_id: str
    changes: Mapping[str, Any]
    is_copy: bool = False
    outcomes: list[str] = field(default_factory=list)

    @property
    def number(self) -> int:
        """Its offset: commands of one customer are on one partition."""
        return self.record.offset

    def __str__(self) -> str:
        return f"{self.kind} {self.record.partition}:{self.record.offset} of {self.customer_id[-4:]}"


def judge(evidence: Evidence) -> Verdict:
    """All breaches there are."""
    return _Trial(evidence).verdict()


class _Trial:
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._journal: Sequence[Mapping[str, Any]] = evidence.upstream["journal"]
        self._breaches: list[Breach] = []
        self._figures: Counter[str] = Counter()
        self._told = list(_told(evidence))
        self._by_place = {told.record.place: told for told in self._told}
        self._by_id: dict[str, list[Told]] = defaultdict(list)
        for told in self._told:
            self._by_id[told.command_id].append(told)
        self._initial = {one["id"]: one for one in evidence.initial}
        # (customer, field, value) -> the offset of the command that writes it
        self._numbers: dict[tuple[str, str, str], int] = {}
        for customer in evidence.initial:
            for name, value in customer.items():
                self._numbers[customer["id"], name, _canonical(value)] = INITIAL
        for told in self._told:
            for name, value in told.changes.items():
                self._numbers.setdefault((told.customer_id, name, _canonical(value)), told.number)
        self._named = {(told.customer_id, name) for told in self._told for name in told.changes}
        self._refusals = Counter(one["customer_id"] for one in self._journal if one["status"] == 500)
        self._gone_back: set[tuple[str, str]] = set()

    def verdict(self) -> Verdict:
        if self._evidence.upstream["journal_first"] > 1:
            self._breach("evidence", "the journal has lost its first entries: nothing can be said")
        if len(self._told) != self._evidence.published:
            self._breach("evidence", f"{len(self._told)} commands are there, {self._evidence.published} were published")
        self._judge_overlaps()
        self._judge_writes()
        self._judge_created()
        self._judge_events()
        self._judge_dead_letters()
        self._judge_counts()
        self._judge_end()
        self._figures["commands"] = len(self._told)
        self._figures["copies"] = sum(told.is_copy for told in self._told)
        self._figures["events"] = len(self._evidence.events)
        self._figures["dead letters"] = len(self._evidence.dead_letters)
        self._figures["requests"] = len(self._journal)
        return Verdict(self._breaches, dict(self._figures))

    def _breach(self, promise: str, facts: str) -> None:
        self._breaches.append(Breach(promise, facts))

    # The upstream

    def _judge_overlaps(self) -> None:
        under_way: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for request in self._journal:
            customer_id, started = request["customer_id"], request["started"]
            others = [one for one in under_way[customer_id] if one["ended"] is None or one["ended"] > started]
            for other in others:
                if other["status"] is None:
                    self._figures["overlaps with a request given up"] += 1
                else:
                    self._breach("one request at a time", f"{_show(request)} began during {_show(other)}")
            under_way[customer_id] = [*others, request]

    def _judge_writes(self) -> None:
        """Each PATCH that was carried out, in the order of their arrival: the state of each field only moves on."""
        newest: dict[tuple[str, str], int] = {}
        unconfirmed: set[tuple[str, str]] = set()
        refusals_in_a_row: Counter[str] = Counter()
        for request in self._journal:
            customer_id, body = request["customer_id"], request["body"]
            if request["method"] != "PATCH" or not isinstance(body, dict):
                continue
            if "tags" not in body:
                self._breach("tags kept", f"{_show(request)} names no tags, which deletes them")
            for name, number in self._written(request):
                place = (customer_id, name)
                before = newest.get(place, INITIAL)
                if number < before:
                    is_excused = place in unconfirmed and refusals_in_a_row[customer_id] >= SUSPICIOUS_500S
                    self._judge_step_back(request, name, before, number, is_excused=is_excused)
                if number != before:
                    unconfirmed.add(place)
                if request["status"] == 200:
                    unconfirmed.discard(place)
                newest[place] = number
            if request["status"] == 200:
                del refusals_in_a_row[customer_id]
            elif request["status"] == 500:
                refusals_in_a_row[customer_id] += 1

    def _written(self, request: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
        """The fields that a PATCH has written, each with the number of the command whose value it is."""
        if not request["applied"]:
            return
        for name, value in request["body"].items():
            place = (request["customer_id"], name)
            number = self._numbers.get((*place, _canonical(value)))
            if name not in _ECHOED and place not in self._named:
                self._breach("nobody surprised", f"{_show(request)} writes {name}, which no command names")
            elif number is None:
                promise = "tags kept" if name == "tags" else "nobody surprised"
                self._breach(promise, f"{_show(request)} writes a {name} that nobody asked for: {value!r}")
            else:
                yield name, number

    def _judge_step_back(
        self, request: Mapping[str, Any], name: str, before: int, number: int, *, is_excused: bool
    ) -> None:
        self._gone_back.add((request["customer_id"], name))
        if is_excused:
            self._figures["steps back from a refused value"] += 1
        else:
            self._breach("never back", f"{_show(request)} puts {name} from that of {before} back to that of {number}")

    def _judge_created(self) -> None:
        created = set(self._evidence.upstream["customers_created"])
        created |= {one["customer_id"] for one in self._journal if one["created"]}
        for customer_id in sorted(created):
            self._breach("nothing created", customer_id)
        for one in self._journal:
            if one["method"] == "PATCH" and one["customer_id"] not in self._initial:
                self._breach("nothing created", f"{_show(one)}: nobody knows this customer")

    def _judge_end(self) -> None:
        """What was reported as applied is there in the end, or something newer."""
        applied: dict[tuple[str, str], int] = {}
        for told in self._told:
            if "event" in told.outcomes:
                for name in told.changes:
                    place = (told.customer_id, name)
                    applied[place] = max(applied.get(place, INITIAL), told.number)
        stored = {**self._initial, **{one["id"]: one for one in self._evidence.upstream["customers"]}}
        for (customer_id, name), number in applied.items():
            if customer_id not in stored or (customer_id, name) in self._gone_back:
                continue
            value = stored[customer_id].get(name)
            found = self._numbers.get((customer_id, name, _canonical(value)), INITIAL)
            if found < number:
                self._breach(
                    "nothing lost", f"{name} of {customer_id[-4:]} ends as that of {found}; {number} had its event"
                )

    # The topics

    def _judge_events(self) -> None:
        latest: dict[str, int] = {}
        for event in records_by_partition(self._evidence.events):
            same = self._by_id.get(event.header("ce_causationid"), [])
            told = next((one for one in same if not one.is_copy), None)
            if told is None:
                self._breach("exactly one outcome", f"an event for nobody: {event.header('ce_causationid')}")
                continue
            told.outcomes.append("event")
            if event.key != told.customer_id.encode():
                self._breach("the event's form", f"{told}: key {event.key!r}")
            before = latest.get(told.customer_id, INITIAL)
            if told.number < before:
                self._breach("order", f"the event of {told} came after that of {before}")
            latest[told.customer_id] = max(before, told.number)
            self._judge_payload(told, event)

    def _judge_payload(self, told: Told, event: Record) -> None:
        payload = json.loads(event.value or b"{}")
        if payload.get("id") != told.customer_id:
            self._breach("the event's form", f"{told}: is about {payload.get('id')}")
        for name in told.changes:
            if (told.customer_id, name) in self._gone_back:
                continue
            value = payload.get(_snake(name))
            number = self._numbers.get((told.customer_id, name, _canonical(value)), INITIAL)
            if number < told.number:
                self._breach("nothing lost", f"the event of {told} shows {name} as that of {number}")

    def _judge_dead_letters(self) -> None:
        latest: dict[str, int] = {}
        for letter in records_by_partition(self._evidence.dead_letters):
            place = (int(letter.header("dlq-partition") or -1), int(letter.header("dlq-offset") or -1))
            told = self._by_place.get(place)
            if told is None:
                self._breach("exactly one outcome", f"a dead letter for nobody: {place}")
                continue
            reason = letter.header("dlq-reason")
            told.outcomes.append(reason)
            if (letter.key, letter.value) != (told.record.key, told.record.value):
                self._breach("the dead letter's form", f"{told}: key or value were touched")
            if reason in _AT_ONCE:
                continue
            before = latest.get(told.customer_id, INITIAL)
            if told.number < before:
                self._breach("order", f"the dead letter of {told} came after that of {before}")
            latest[told.customer_id] = max(before, told.number)

    def _judge_counts(self) -> None:
        latest_tags = {told.customer_id: told.number for told in self._told if "tags" in told.changes}
        for told in self._told:
            if told.is_copy:
                if told.outcomes:
                    self._breach("settled once", f"the copy {told} has outcomes of its own: {told.outcomes}")
            elif not told.outcomes:
                self._breach("nothing lost", f"{told} has no outcome")
            elif len(told.outcomes) > 1:
                self._breach("exactly one outcome", f"{told} has {told.outcomes}")
            else:
                # What is poisonous is the tags: where a later command sets others, nothing of it may be left.
                is_replaced = latest_tags.get(told.customer_id, INITIAL) > told.number
                self._judge_reason(told, told.outcomes[0], is_replaced=is_replaced)

    def _judge_reason(self, told: Told, outcome: str, *, is_replaced: bool) -> None:
        allowed = {"retries_exhausted" if told.kind == "poison" else told.kind}
        if is_replaced and told.kind == "poison":
            allowed.add("event")
        if outcome in allowed:
            return
        if outcome == "retries_exhausted" and self._refusals[told.customer_id] >= SUSPICIOUS_500S:
            self._figures["given up after five 500s"] += 1
            return
        self._breach("the right outcome", f"{told} ended as {outcome}")


def _told(evidence: Evidence) -> Iterator[Told]:
    first: dict[tuple[int, str, str], Record] = {}
    for record in records_by_partition(evidence.commands):
        kind = record.header("chaos-kind")
        source, command_id, document = record.header("ce_source"), record.header("ce_id"), _document(record.value)
        if "specversion" in document:
            source, command_id, document = document["source"], document["id"], document.get("data", {})
        told = Told(
            record,
            kind,
            customer_id=(record.key or b"").decode(errors="replace"),
            command_id=command_id or f"{evidence.commands_topic}:{record.partition}:{record.offset}",
            changes={} if kind in {"invalid", "undecodable", "expired"} else _changes(document),
        )
        if command_id:
            original = first.setdefault((record.partition, source, command_id), record)
            told.is_copy = original is not record and (original.key, original.value) == (record.key, record.value)
            if original is not record and not told.is_copy:
                # Another command under an id that is taken: refused, and never sent.
                told.kind, told.changes = "invalid", {}
        yield told


def _document(value: bytes | None) -> Mapping[str, Any]:
    try:
        document = json.loads(value or b"")
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _changes(document: Mapping[str, Any]) -> dict[str, Any]:
    return {_CAMEL.get(name, name): value for name, value in document.get("changes", {}).items()}


def _snake(name: str) -> str:
    return next((snake for snake, camel in _CAMEL.items() if camel == name), name)


def _canonical(value: object) -> str:
    """The same for equal values; of tags only the ids count, in any order."""
    if isinstance(value, list):
        value = sorted(str(tag["id"]) if isinstance(tag, dict) and "id" in tag else json.dumps(tag) for tag in value)
    return json.dumps(value, sort_keys=True)


def _show(request: Mapping[str, Any]) -> str:
    ended = "…" if request["ended"] is None else f"{request['ended']:.3f}"
    return (
        f"{request['method']} {request['sequence']} of {(request['customer_id'] or 'nobody')[-4:]} "
        f"({request['started']:.3f}–{ended}, {request['status']})"
    )
