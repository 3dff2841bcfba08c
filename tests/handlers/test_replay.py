"""Replays: what a dead letter says, and the record that tries its command once more."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.command_rows import CUSTOMER
from handlers.command import Priority, decode
from handlers.dead_letter import dead_letter_record
from handlers.errors import Reason
from handlers.record import CommandRecord, Headers
from handlers.replay import DeadLetter, NoDeadLetter, Place, read_dead_letter

VALUE = json.dumps({"customer_id": CUSTOMER, "changes": {"city": "Ghent", "phone": None}}).encode()
CLOUD_EVENT: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"order-17"),
    ("ce_source", b"/orders"),
    ("ce_type", b"customer.update"),
    ("ce_priority", b"live"),
    ("ce_expirytime", b"2020-01-01T00:00:00Z"),
    ("ce_correlationid", b"case-4"),
    ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ("content-type", b"application/json"),
    ("team", b"orders"),
    ("dlq-note-of-the-publisher", None),
)


def record(value: bytes | None = VALUE, headers: Headers = (), key: bytes | None = CUSTOMER.encode()) -> CommandRecord:
    """A record of the command topic."""
    return CommandRecord("customer.update", 3, 42, 1_795_433_736_390, key, value, headers)


def dead(command: CommandRecord, *, command_id: str = "order-17", error: str = "no") -> DeadLetter:
    """The dead letter of *command*, read back from its topic."""
    outcome = dead_letter_record(
        command,
        command_id=command_id,
        reason=Reason.REJECTED,
        error=error,
        status=400,
        attempts=2,
        worker="worker-1",
    )
    return read_dead_letter(
        CommandRecord("customer.update.dlq", 0, 7, 1_795_433_737_000, outcome.key, outcome.value, outcome.headers)
    )


def test_dead_letter_says_what_the_worker_wrote_into_it() -> None:
    """Every header comes back with its type."""
    letter = dead(record())

    assert letter.died == Place("customer.update", 3, 42, 1_795_433_736_390)
    assert letter.died.coordinates == "customer.update:3:42"
    assert (letter.command_id, letter.reason, letter.error) == ("order-17", "rejected", "no")
    assert (letter.status, letter.attempts, letter.replay, letter.id) == (400, 2, 0, "order-17")


def test_replay_is_the_original_record_with_two_headers_more() -> None:
    """Key, value, and all headers of the publisher in their order; what the worker had added is gone."""
    replayed = dead(record(headers=CLOUD_EVENT)).replayed()

    assert replayed == (
        CUSTOMER.encode(),
        VALUE,
        (*CLOUD_EVENT, ("dlq-command-id", b"order-17"), ("dlq-replay", b"1")),
    )


@given(key=st.none() | st.binary(), value=st.none() | st.binary())
def test_replay_keeps_what_is_no_text(key: bytes | None, value: bytes | None) -> None:
    """Whatever was published comes back as it was."""
    replayed = dead(record(value, key=key)).replayed()

    assert (replayed.key, replayed.value) == (key, value)


def test_replay_that_dies_again_counts_on_from_the_first_id() -> None:
    """`order-17`, `order-17#1`, `order-17#2`: not `order-17#1#1`."""
    first = dead(record(headers=CLOUD_EVENT))
    again = dead(record(*first.replayed()[1:]), command_id="order-17#1")

    assert (again.id, again.next_replay) == ("order-17#1", 2)
    assert again.replayed().headers == (*CLOUD_EVENT, ("dlq-command-id", b"order-17"), ("dlq-replay", b"2"))
    assert decode(again.next_command).id == "order-17#2"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(CLOUD_EVENT, id="binary mode"),
        pytest.param((("content-type", b"application/cloudevents+json"), ("team", b"orders")), id="structured mode"),
        pytest.param((("team", b"orders"),), id="no CloudEvent"),
    ],
)
def test_replay_with_other_changes_keeps_who_it_is(headers: Headers) -> None:
    """Source, correlation and trace are the same as with the original record, whatever form that had."""
    value = VALUE
    if headers[0][1] == b"application/cloudevents+json":
        attributes = {name.removeprefix("ce_"): (text or b"").decode() for name, text in CLOUD_EVENT[:7]}
        traced = {"traceparent": (CLOUD_EVENT[7][1] or b"").decode()}
        value = json.dumps({**attributes, **traced, "data": json.loads(VALUE)}).encode()
    letter = dead(record(value, headers))
    whole = decode(letter.next_command)

    changed = decode(CommandRecord(*letter.died, *letter.replayed_with(CUSTOMER, {"city": "Bruges"})))

    assert changed.changes == {"city": "Bruges"}
    for name in ("id", "source", "customer_id", "traceparent", "correlation_id", "replay"):
        assert getattr(changed, name) == getattr(whole, name), name
    assert (changed.priority, changed.expires_at_ms) == (Priority.BULK, None)
    assert ("team", b"orders") in changed.record.headers


def test_replay_with_other_changes_mends_what_was_wrong_with_the_envelope() -> None:
    """Broken attributes and a missing key would be refused again however good the changes are."""
    broken: Headers = (("ce_id", b"order-17"), ("ce_priority", b"urgent"), ("content-type", b"application/json"))
    letter = dead(record(b"{", broken, key=None), command_id="customer.update:3:42")

    command = decode(CommandRecord(*letter.died, *letter.replayed_with(CUSTOMER, {"city": "Bruges"})))

    assert (command.id, command.source, command.customer_id) == ("customer.update:3:42#1", None, CUSTOMER)


@pytest.mark.parametrize(
    ("headers", "missing"),
    [
        pytest.param((), "dlq-reason, dlq-command-id, dlq-topic, dlq-partition, dlq-offset", id="somebody else's"),
        pytest.param((("dlq-reason", None),), "dlq-reason", id="null"),
    ],
)
def test_record_that_is_no_dead_letter_is_told_apart(headers: Headers, missing: str) -> None:
    """Other programs may write to the topic as well."""
    with pytest.raises(NoDeadLetter, match=missing):
        read_dead_letter(record(headers=headers))


def test_numbers_that_are_none_make_no_dead_letter() -> None:
    """They would be written to the wrong place."""
    letter = dead(record())
    headers = tuple(
        ("dlq-offset", b"many") if name == "dlq-offset" else (name, value) for name, value in letter.record.headers
    )

    with pytest.raises(NoDeadLetter):
        read_dead_letter(record(headers=headers))
