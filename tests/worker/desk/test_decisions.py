"""Decisions: what the desk remembers about dead letters."""

import json
from dataclasses import replace

import pytest

from handlers.record import CommandRecord
from handlers.replay import Place
from worker.desk.decisions import Action, Decision, Decisions, DecisionUnreadable, read_decision

DIED = Place("customer.update", 3, 42, 1_000)
PLACED = Place("customer.update", 3, 99, 2_000)
REPLAYED = Decision(DIED, DIED, Action.REPLAYED, "order-17", 5, "ana", replay=1, placed=PLACED)
DISCARDED = Decision(DIED, DIED, Action.DISCARDED, "order-17", 6, "ana", note="customer has left")


def record(value: bytes | None) -> CommandRecord:
    """A record of the desk's topic."""
    return CommandRecord("customer.update.dlq.desk", 0, 0, 0, b"", value)


@pytest.mark.parametrize(
    "decision",
    [
        REPLAYED,
        DISCARDED,
        replace(REPLAYED, action=Action.IN_PART, fields=("city", "phone"), forced=True),
        Decision(DIED, DIED, Action.SUPERSEDED, "ü", 7, "ana", fields=("city",)),
    ],
    ids=lambda decision: decision.action,
)
def test_decision_comes_back_as_it_was_written(decision: Decision) -> None:
    """Through the bytes of its record."""
    assert read_decision(record(decision.value())) == decision


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"{",
        b"[]",
        b'{"version": 1}',
        json.dumps(json.loads(REPLAYED.value()) | {"version": 2}).encode(),
        json.dumps(json.loads(REPLAYED.value()) | {"action": "sold"}).encode(),
        json.dumps(json.loads(REPLAYED.value()) | {"died": ["t", 1]}).encode(),
    ],
)
def test_decision_that_cannot_be_read_is_not_passed_over(value: bytes | None) -> None:
    """What was decided already might be replayed once more."""
    with pytest.raises(DecisionUnreadable, match="desk:0:0"):
        read_decision(record(value))


def test_dead_letter_is_open_until_something_is_decided_about_it() -> None:
    """The latest decision counts."""
    decisions = Decisions([DISCARDED])
    assert decisions.about(DIED) == DISCARDED
    assert decisions.about(PLACED) is None

    decisions.add(REPLAYED)

    assert decisions.about(DIED) == REPLAYED
    assert len(decisions) == 1


def test_dead_letter_of_a_recreated_topic_is_another_one() -> None:
    """Offsets begin anew there; times do not."""
    assert Decisions([REPLAYED]).about(DIED._replace(timestamp_ms=5_000)) is None


@pytest.mark.parametrize(
    ("decision", "keeps"),
    [
        (REPLAYED, True),
        (replace(REPLAYED, action=Action.IN_PART), True),
        (replace(REPLAYED, forced=True), False),
        (replace(REPLAYED, action=Action.EDITED), False),
        (replace(REPLAYED, action=Action.FOUND), False),
    ],
)
def test_only_replays_that_were_held_to_newer_commands_keep_their_age(decision: Decision, keeps: bool) -> None:
    """All others may have written what is newer than anything else."""
    assert decision.keeps_its_age is keeps
