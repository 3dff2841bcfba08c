"""The judge is proven: an honest history is acquitted, and every planted bug is found."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from chaos.evidence import Evidence, Record
from chaos.verdict import judge

ANNA, BERT, NOBODY = (f"c4a05000-0000-4000-8000-{number:012d}" for number in (1, 2, 3))
TOPIC = "customer.update"
VIP = {"id": "7a900000-0000-4000-8000-000000000001", "name": "VIP"}
INITIAL = [
    {"id": customer, "name": "Nn", "email": "n@n.test", "phone": "0", "note": None, "tags": [VIP]}
    for customer in (ANNA, BERT)
]
COMMANDS: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("event", ANNA, {"phone": "1"}, "first"),
    ("event", ANNA, {"phone": "2", "note": "two"}, None),
    ("event", ANNA, {"phone": "1"}, "first"),
    ("event", BERT, {"phone": "3"}, None),
    ("unknown_customer", NOBODY, {"phone": "4"}, None),
    ("event", ANNA, {"phone": "5", "tags": []}, None),
    ("event", BERT, {"note": "six"}, None),
]
COPY = 2


class History:
    """What an honest worker does with COMMANDS, one after the other; a test then plants a bug in it."""

    def __init__(self) -> None:
        self.commands: list[Record] = []
        self.events: list[Record] = []
        self.dead_letters: list[Record] = []
        self.journal: list[dict[str, Any]] = []
        self.created: list[str] = []
        self.rows = {one["id"]: dict(one) for one in INITIAL}
        for offset, (kind, customer, changes, command_id) in enumerate(COMMANDS):
            self.commands.append(_command(offset, kind, customer, changes, command_id))
            if offset == COPY:
                continue
            self.request("GET", customer, 200 if customer in self.rows else 404)
            if customer in self.rows:
                self.patch(customer, changes)
                self.event(offset)
            else:
                self.dead_letter(offset, kind)

    def evidence(self) -> Evidence:
        upstream = {
            "journal": self.journal,
            "journal_first": 1,
            "customers": list(self.rows.values()),
            "customers_created": self.created,
        }
        return Evidence(TOPIC, len(COMMANDS), self.commands, self.events, self.dead_letters, INITIAL, upstream)

    def request(self, method: str, customer: str, status: int | None, body: Mapping[str, Any] | None = None) -> None:
        number = len(self.journal) + 1
        self.journal.append(
            {
                "sequence": number,
                "started": float(number),
                "ended": number + 0.5,
                "method": method,
                "customer_id": customer,
                "status": status,
                "body": body,
                "applied": method == "PATCH",
                "created": False,
            }
        )

    def patch(self, customer: str, changes: Mapping[str, Any], status: int | None = 200) -> None:
        row = self.rows[customer]
        body = {"name": row["name"], "email": row["email"], "tags": row["tags"], **changes}
        self.request("PATCH", customer, status, body)
        row.update(body)

    def event(self, offset: int) -> None:
        _, customer, _, command_id = COMMANDS[offset]
        self.event_of(customer, command_id or f"{TOPIC}:0:{offset}")

    def event_of(self, customer: str, command_id: str) -> None:
        value = json.dumps(self.rows[customer]).encode()
        headers = (("ce_causationid", command_id.encode()),)
        self.events.append(Record(0, 10 * len(self.events), customer.encode(), value, headers))

    def dead_letter(self, offset: int, reason: str) -> None:
        command = self.commands[offset]
        headers = (
            *command.headers,
            ("dlq-reason", reason.encode()),
            ("dlq-partition", b"0"),
            ("dlq-offset", b"%d" % offset),
        )
        place = 10 * len(self.dead_letters)
        self.dead_letters.append(Record(0, place, command.key, command.value, headers))


def _command(offset: int, kind: str, customer: str, changes: Mapping[str, Any], command_id: str | None) -> Record:
    headers = [("chaos-kind", kind.encode())]
    if command_id:
        headers += [("ce_id", command_id.encode()), ("ce_source", b"/test")]
    value = json.dumps({"customer_id": customer, "changes": changes}).encode()
    return Record(0, offset, customer.encode(), value, tuple(headers))


def _loses_an_outcome(history: History) -> None:
    del history.events[1]


def _publishes_twice(history: History) -> None:
    history.events.append(replace(history.events[-1], offset=900))


def _settles_a_copy(history: History) -> None:
    history.dead_letter(COPY, "invalid")


def _mixes_up_the_order(history: History) -> None:
    first, second, *others = history.events
    history.events[:] = [replace(first, offset=second.offset), replace(second, offset=first.offset), *others]


def _asks_twice_at_once(history: History) -> None:
    history.journal[1]["ended"] = history.journal[2]["started"] + 0.1


def _goes_back_in_time(history: History) -> None:
    """A successor repeats an old command alone, and then the newer one: only the journal shows it."""
    newest = {name: history.rows[ANNA][name] for name in ("phone", "tags")}
    history.patch(ANNA, {"phone": "2"})
    history.patch(ANNA, newest)


def _creates_a_customer(history: History) -> None:
    history.request("PATCH", NOBODY, 200, {"name": "N", "email": "n@n.test", "tags": [], "phone": "4"})
    history.journal[-1]["created"] = True
    history.created.append(NOBODY)


def _deletes_the_tags(history: History) -> None:
    del history.journal[1]["body"]["tags"]


def _overwrites_a_field_nobody_named(history: History) -> None:
    history.journal[1]["body"]["city"] = "Lund"


def _writes_a_value_nobody_asked_for(history: History) -> None:
    history.journal[1]["body"]["phone"] = "999"


def _touches_a_dead_letter(history: History) -> None:
    history.dead_letters[0] = replace(history.dead_letters[0], value=b"{}")


def _gives_the_wrong_reason(history: History) -> None:
    history.dead_letters.clear()
    history.dead_letter(4, "retries_exhausted")


def _reports_what_was_not_done(history: History) -> None:
    """The last change of a customer is skipped, its event shows the state before."""
    last = next(one for one in reversed(history.journal) if one["method"] == "PATCH")
    history.journal.remove(last)
    history.rows[BERT]["note"] = None
    history.events.pop()
    history.event(6)


def _forgets_what_was_done(history: History) -> None:
    history.rows[BERT]["note"] = None


def _speaks_of_a_command_that_never_was(history: History) -> None:
    history.events[0] = replace(history.events[0], headers=(("ce_causationid", b"nobody's"),))


def _publishes_less(history: History) -> None:
    history.commands.pop()
    history.events.pop()


EIGHT = {
    "nothing lost": _loses_an_outcome,
    "exactly one outcome": _publishes_twice,
    "settled once": _settles_a_copy,
    "order": _mixes_up_the_order,
    "one request at a time": _asks_twice_at_once,
    "never back": _goes_back_in_time,
    "nothing created": _creates_a_customer,
    "tags kept": _deletes_the_tags,
}
OTHERS = [
    pytest.param("nobody surprised", _overwrites_a_field_nobody_named, id="a field that no command names"),
    pytest.param("nobody surprised", _writes_a_value_nobody_asked_for, id="a value that nobody asked for"),
    pytest.param("the dead letter's form", _touches_a_dead_letter, id="a dead letter that is not the command"),
    pytest.param("the right outcome", _gives_the_wrong_reason, id="a wrong reason"),
    pytest.param("nothing lost", _reports_what_was_not_done, id="an event without its change"),
    pytest.param("nothing lost", _forgets_what_was_done, id="an end without the change"),
    pytest.param("exactly one outcome", _speaks_of_a_command_that_never_was, id="an event for nobody"),
    pytest.param("evidence", _publishes_less, id="less in the topic than was published"),
]


def test_an_honest_history_is_acquitted() -> None:
    """No breach, and no exception was needed; every record was looked at."""
    verdict = judge(History().evidence())

    assert verdict.breaches == []
    assert verdict.figures == {"commands": 7, "copies": 1, "events": 5, "dead letters": 1, "requests": 11}


@pytest.mark.parametrize(("promise", "plant"), [*(pytest.param(*one, id=one[0]) for one in EIGHT.items()), *OTHERS])
def test_a_planted_bug_is_found(promise: str, plant: Callable[[History], None]) -> None:
    """By the promise that it breaks."""
    history = History()
    plant(history)

    verdict = judge(history.evidence())

    assert promise in {breach.promise for breach in verdict.breaches}


def test_an_overlap_with_a_request_that_was_given_up_is_counted_and_no_breach() -> None:
    """The server still held it: its client had timed out, was killed or frozen."""
    history = History()
    history.journal[1] |= {"status": None, "ended": history.journal[2]["started"] + 0.1}

    verdict = judge(history.evidence())

    assert verdict.breaches == []
    assert verdict.figures["overlaps with a request given up"] == 1


@pytest.mark.parametrize(("refusals", "excused"), [(5, True), (4, False)])
def test_a_step_back_is_excused_only_from_a_value_that_the_upstream_refused_often(
    refusals: int, *, excused: bool
) -> None:
    """A 500 may have been applied in part; after five of them the fold is taken apart, and its suspect left out."""
    history = History()
    history.commands.append(_command(7, "poison", ANNA, {"phone": "7", "tags": [NOBODY]}, None))
    for _ in range(refusals):
        history.patch(ANNA, {"phone": "7"}, status=500)
    history.patch(ANNA, {"phone": "5"})
    history.dead_letter(7, "retries_exhausted")

    verdict = judge(replace(history.evidence(), published=8))

    assert ("never back" in {breach.promise for breach in verdict.breaches}) is not excused


def test_a_step_back_from_a_value_of_unknown_fate_is_a_breach() -> None:
    """A timeout or a kill is no reason: the repetition must contain at least what was sent before."""
    history = History()
    history.commands.append(_command(7, "event", ANNA, {"phone": "7"}, None))
    history.patch(ANNA, {"phone": "7"}, status=None)
    history.patch(ANNA, {"phone": "5"})

    verdict = judge(replace(history.evidence(), published=8))

    assert "never back" in {breach.promise for breach in verdict.breaches}


@pytest.mark.parametrize(("later", "allowed"), [({"tags": [VIP]}, True), ({"note": "eight"}, False)])
def test_a_poison_may_be_applied_only_where_a_later_command_takes_its_place(
    later: dict[str, Any], *, allowed: bool
) -> None:
    """Both are applied as one then, and nothing poisonous is left; its other fields count."""
    history = History()
    history.commands.append(_command(7, "poison", ANNA, {"phone": "7", "tags": [{"id": NOBODY}]}, None))
    history.commands.append(_command(8, "event", ANNA, later, None))
    history.patch(ANNA, {"phone": "7", "tags": [VIP], **later})
    for offset in (7, 8):
        history.event_of(ANNA, f"{TOPIC}:0:{offset}")

    verdict = judge(replace(history.evidence(), published=9))

    assert ("the right outcome" in {breach.promise for breach in verdict.breaches}) is not allowed
