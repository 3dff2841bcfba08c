"""The accounting of the demo finds whatever is lost, twice, wrong, altered or out of order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from handlers.dead_letter import dead_letter_record
from handlers.errors import Reason
from handlers.record import CommandRecord
from worker.demo.account import Flaw, Outcome, Sent, audit, audit_upstream
from worker.demo.traffic import TAGS, Firm, Planned

FIRM = Firm("ca5e0000-0000-4000-8000-000000000001", "Acme", {"email": "a@acme.example", "tags": [TAGS["VIP"]]})
KEY = FIRM.id.encode()
PHONE = Planned(KEY, b"{1}", changes={"phone": "1"})
NAMED = Planned(KEY, b"{2}", (("ce_id", b"order-1"),), id="order-1", changes={"phone": "2"})
BROKEN = Planned(KEY, b"{3", (("x", None),), becomes=Reason.UNDECODABLE)
SENT = [Sent(command, "commands", 0, offset) for offset, command in enumerate((PHONE, NAMED, BROKEN))]


def event(sent: Sent, offset: int) -> Outcome:
    """As the worker publishes it, as far as the accounting reads it."""
    return Outcome(True, 0, offset, KEY, b"{}", (("ce_causationid", sent.reference.encode()),))


def dead_letter(sent: Sent, reason: Reason) -> Outcome:
    """As the worker publishes it."""
    command = sent.command
    record = CommandRecord(sent.topic, sent.partition, sent.offset, 0, command.key, command.value, command.headers)
    letter = dead_letter_record(
        record, command_id=sent.reference, reason=reason, error="why", status=None, attempts=0, worker="w"
    )
    return Outcome(False, 0, 0, letter.key, letter.value, letter.headers)


FIRST, SECOND = event(SENT[0], 0), event(SENT[1], 1)
LETTER = dead_letter(SENT[2], Reason.UNDECODABLE)
ALL = [FIRST, SECOND, LETTER]


def flaws(outcomes: Sequence[Outcome]) -> list[Flaw]:
    """What the audit finds."""
    return [finding.flaw for finding in audit(SENT, outcomes)]


def test_a_day_without_a_flaw_has_no_findings() -> None:
    """Each command has the one outcome that it must have."""
    assert flaws(ALL) == []


@pytest.mark.parametrize("lost", ALL, ids=["event", "event of a CloudEvent", "dead letter"])
def test_a_lost_outcome_is_found(lost: Outcome) -> None:
    """Planted loss: one outcome is not there."""
    assert flaws([outcome for outcome in ALL if outcome is not lost]) == [Flaw.MISSING]


@pytest.mark.parametrize("again", ALL, ids=["event", "event of a CloudEvent", "dead letter"])
def test_an_outcome_that_came_twice_is_found(again: Outcome) -> None:
    """Planted duplicate: one outcome is there twice."""
    assert Flaw.REPEATED in flaws([*ALL, replace(again, offset=9)])


def test_an_event_beside_a_dead_letter_is_found() -> None:
    """Two outcomes of different kinds are no less wrong."""
    assert set(flaws([*ALL, event(SENT[2], 2)])) == {Flaw.REPEATED, Flaw.UNEXPECTED}


def test_an_outcome_of_no_command_is_found() -> None:
    """What nobody asked for is named."""
    stranger = replace(FIRST, headers=(("ce_causationid", b"commands:0:77"),))

    (finding,) = audit(SENT, [*ALL, stranger])

    assert str(finding) == "event about commands:0:77: an outcome that no command asked for"


@pytest.mark.parametrize(
    "outcomes",
    [
        pytest.param([FIRST, SECOND, dead_letter(SENT[2], Reason.INVALID)], id="another reason"),
        pytest.param([FIRST, dead_letter(SENT[1], Reason.INVALID), LETTER], id="dead letter instead of event"),
        pytest.param([FIRST, SECOND, event(SENT[2], 2)], id="event instead of dead letter"),
    ],
)
def test_another_outcome_than_expected_is_found(outcomes: Sequence[Outcome]) -> None:
    """One outcome each is not enough: it must be the right one."""
    assert flaws(outcomes) == [Flaw.UNEXPECTED]


@pytest.mark.parametrize(
    "altered",
    [
        replace(LETTER, value=b"{4"),
        replace(LETTER, key=b"another"),
        replace(LETTER, headers=LETTER.headers[1:]),
    ],
    ids=["value", "key", "headers"],
)
def test_a_dead_letter_that_is_not_its_command_is_found(altered: Outcome) -> None:
    """Key, value and headers have to come back as they were sent."""
    assert flaws([FIRST, SECOND, altered]) == [Flaw.ALTERED]


def test_events_in_another_order_than_their_commands_are_found() -> None:
    """The events of one customer rise with its commands."""
    assert flaws([replace(FIRST, offset=1), replace(SECOND, offset=0), LETTER]) == [Flaw.OUT_OF_ORDER]


def state(**changed: Any) -> Mapping[str, Any]:  # noqa: ANN401  # JSON of any shape
    """The upstream after the day, with the customer's fields *changed*."""
    fields = ("country", "addressLine1", "addressLine2", "city", "state", "zip", "website", "note", "vatNumber")
    customer = {
        **FIRM.as_json(),
        **dict.fromkeys((*fields, "countryCode", "contact")),
        "phone": "2",
        "invoiceCount": 3,
        **changed,
    }
    return {"customers": [customer], "customers_created": [], "overlaps": 0}


def test_an_upstream_as_the_events_tell_has_no_findings() -> None:
    """The later of two changes counts, and what no command names stays."""
    assert audit_upstream([FIRM], SENT, ALL, state()) == []


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(state(phone="1"), id="moved back in time"),
        pytest.param(state(tags=[]), id="tags lost"),
        pytest.param(state(city="Cork"), id="a field that nobody named"),
    ],
)
def test_a_customer_that_is_not_as_the_commands_left_it_is_found(found: Mapping[str, Any]) -> None:
    """The upstream's own data are looked at, not what the worker says of them."""
    assert [finding.flaw for finding in audit_upstream([FIRM], SENT, ALL, found)] == [Flaw.DIFFERENT]


def test_customers_created_and_requests_that_overlapped_are_found() -> None:
    """As the upstream's journal counts them."""
    found = {**state(), "customers_created": ["x"], "overlaps": 2}

    assert [finding.flaw for finding in audit_upstream([FIRM], SENT, ALL, found)] == [Flaw.CREATED, Flaw.CROWDED]
