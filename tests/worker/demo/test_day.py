"""What the demo tells of a day follows from what Kafka, the worker and the upstream say, in whatever order it comes."""

from typing import Any

import pytest

from handlers.errors import Reason
from worker.demo.account import Outcome, Sent
from worker.demo.day import Day, Fate, Row, WorkerStatus
from worker.demo.traffic import DAY, Line, Planned, Scene
from worker.demo.wording import told

KEY = b"ca5e0000-0000-4000-8000-000000000001"
ONE = Line("Acme", "phone", (Planned(KEY, b"{}", changes={}),))
TWELVE = Line("Acme", "phone", tuple(Planned(KEY, b"{}", changes={}) for _ in range(12)))
SCENE = Scene("09:00", "a scene", "It begins.", (ONE,))


def begun(line: Line = ONE) -> tuple[Day, Row]:
    """A day whose only row has been sent."""
    day = Day((SCENE,))
    day.begin(SCENE)
    row = day.add(line)
    row.sent += [Sent(command, "commands", 2, offset) for offset, command in enumerate(line.commands)]
    return day, row


def entry(sequence: int, status: int | None, *, method: str = "GET", customer: str = KEY.decode()) -> dict[str, Any]:
    """A request of the upstream's journal; without *status* it is under way."""
    ended = None if status is None else 2.0
    return {"sequence": sequence, "method": method, "customer_id": customer, "status": status, "ended": ended}


def event(offset: int = 0) -> Outcome:
    """The event of the command at *offset*."""
    return Outcome(True, 0, offset, KEY, b"{}", (("ce_causationid", b"commands:2:%d" % offset),))


def dead_letter(reason: Reason) -> Outcome:
    """The dead letter of the first command."""
    place = {
        "topic": b"commands",
        "partition": b"2",
        "offset": b"0",
        "reason": reason.encode(),
        "error": b"key: why. Do.",
    }
    return Outcome(False, 0, 0, KEY, b"{}", tuple((f"dlq-{name}", value) for name, value in place.items()))


def status(*, committed: int = 0, get: str = "closed") -> WorkerStatus:
    """What a worker says that has committed the partition so far."""
    return WorkerStatus(0, {2: committed}, {"get": get, "patch": "closed"})


def test_a_command_waits_in_kafka_until_its_customer_is_asked_about() -> None:
    """Requests about others do not count."""
    day, row = begun()
    day.asked([entry(1, 200, customer="another")])

    assert day.fate(row) is Fate.WAITING


@pytest.mark.parametrize(
    ("journal", "fate"),
    [
        ([entry(1, None)], Fate.UNDER_WAY),
        ([entry(1, 503)], Fate.RETRYING),
        ([entry(1, 503), entry(2, None)], Fate.UNDER_WAY),
        ([entry(1, 503), entry(2, 200), entry(3, 500, method="PATCH")], Fate.RETRYING),
    ],
    ids=["under way", "failed", "tried again", "failed later"],
)
def test_what_the_upstream_answered_last_decides(journal: list[dict[str, Any]], fate: Fate) -> None:
    """A 5xx means that it is tried again."""
    day, row = begun()
    day.asked(journal)

    assert day.fate(row) is fate


def test_while_the_circuit_is_open_commands_wait_for_the_upstream() -> None:
    """Whatever its own requests were answered."""
    day, row = begun()
    day.asked([entry(1, 503)])
    day.worker = status(get="half_open")

    assert day.fate(row) is Fate.HELD


def test_requests_before_a_command_was_sent_are_not_its_own() -> None:
    """Two commands of one customer, one after the other."""
    day, first = begun()
    day.asked([entry(1, 200), entry(2, 200, method="PATCH")])
    second = day.add(ONE)
    day.asked([entry(3, 200)])

    assert [request.sequence for request in second.requests] == [3]
    assert day.requests == 3
    assert first.after_request == 0


def test_a_row_is_settled_only_by_a_journal_asked_for_after_its_outcome() -> None:
    """An older answer may lack the last request, and the count of requests would be too low for ever."""
    day, row = begun()
    day.asked([entry(1, 200)])
    day.read([event()])
    day.asked([entry(1, 200)])
    settled_early = row.is_settled
    day.asked([entry(2, 200, method="PATCH")])

    assert not settled_early
    assert row.is_settled
    assert told(day, row).detail == "GET, PATCH"


def test_the_journal_is_read_again_from_the_first_request_under_way() -> None:
    """Its answer is news."""
    day, _ = begun()
    day.asked([entry(1, 200), entry(2, None), entry(3, 200)])
    known_to = day.journal_known_to
    day.asked([entry(2, 200)])

    assert known_to == 1
    assert day.journal_known_to == 3


def test_the_day_is_settled_when_the_worker_has_committed() -> None:
    """An outcome without its commit could come again."""
    day, _ = begun()
    day.read([event()])
    day.asked([entry(1, 200)])
    day.asked([])
    before = day.is_settled
    day.worker = status(committed=1)

    assert not before
    assert day.lag == 0
    assert day.is_settled


def test_an_outcome_may_come_before_kafka_has_acknowledged_its_command() -> None:
    """The subscriber can be faster than the publisher."""
    day = Day((SCENE,))
    day.begin(SCENE)
    row = day.add(ONE)
    day.read([event()])
    row.sent.append(Sent(ONE.commands[0], "commands", 2, 0))
    day.asked([])

    assert day.fate(row) is Fate.EVENT


def test_a_burst_counts_its_events_and_its_requests() -> None:
    """Twelve commands that took part in two requests were folded."""
    day, row = begun(TWELVE)
    day.asked([entry(1, 200), entry(2, None, method="PATCH")])
    day.read([event(0)])
    under_way = told(day, row)
    day.asked([entry(2, 200, method="PATCH")])
    day.read([event(offset) for offset in range(1, 12)])
    day.asked([])
    done = told(day, row)

    assert (under_way.word, under_way.detail) == ("with the upstream", "1 of 12")
    assert (done.word, done.detail) == ("12 events", "folded: 2 requests")


def test_a_dead_letter_tells_its_reason_and_what_is_wrong() -> None:
    """Without the place and the advice, for which a line has no room."""
    day, row = begun()
    day.read([dead_letter(Reason.INVALID)])
    now = told(day, row)

    assert (now.fate, now.word, now.detail) == (Fate.DEAD_LETTER, "invalid", "why")


def test_figures_are_counted_by_scene() -> None:
    """Requests belong to the scene that was on."""
    first, second = DAY[:2]
    day = Day(DAY)
    day.begin(first)
    day.add(ONE).sent.append(Sent(ONE.commands[0], "commands", 2, 0))
    day.read([event()])
    day.asked([entry(1, 200), entry(2, 200)])
    day.begin(second)
    day.asked([entry(3, 200)])

    assert (day.tally(first).events, day.tally(first).requests) == (1, 2)
    assert (day.tally(second).commands, day.tally(second).requests) == (0, 1)
    assert (day.tally().commands, day.tally().requests) == (1, 3)
