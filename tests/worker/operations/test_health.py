"""How the group is, in one sentence."""

from dataclasses import replace

import pytest

from harness.groups import BUDGET, IDLE, a_group, a_look, a_view, held
from worker.operations.group import GroupView, put_together
from worker.operations.health import Level, health
from worker.operations.replica import Customers, Replica

PEER = replace(IDLE, worker="sync-1", partitions=(held(1),))
OWN = replace(IDLE, partitions=(held(0),))
BUSY = replace(OWN, partitions=(held(0, 1_204),))
SILENT = put_together(
    a_look(OWN, {"10.0.0.1:1": "no answer within 1 s"}, members=a_group("10.0.0.1:1"), names={"10.0.0.1:1": "sync-1"})
)


def limited(under_way: int = 0) -> Replica:
    """Everybody waits for the next window."""
    why = {"limit": 40, "under_way": under_way}
    return replace(BUSY, customers=Customers(40, 0, why, ()), budget=replace(BUDGET, left=1))


@pytest.mark.parametrize(
    ("view", "level", "name", "sentence"),
    [
        (a_view(OWN, PEER), Level.WELL, "Idle", "All caught up: nothing waits."),
        (a_view(BUSY), Level.WELL, "Working", "Working: 1,204 commands wait, settled in about 4 min 1 s."),
        (
            a_view(limited()),
            Level.WAITS,
            "Rate limit used up",
            "The rate limit is used up: 1,204 commands wait for the next window, in 3 min 10 s.",
        ),
        (a_view(limited(under_way=1)), Level.WELL, "Working", "Working: 1,204 commands wait, settled in about"),
        (
            a_view(OWN, PEER, state="PreparingRebalance"),
            Level.WAITS,
            "Rebalancing",
            "The group is rebalancing: commands wait until every partition has its owner.",
        ),
        (a_view(OWN, partitions=2), Level.WAITS, "Rebalancing", "The group is rebalancing"),
        (a_view(replace(OWN, ready=False)), Level.WAITS, "Rebalancing", "The group is rebalancing"),
        (
            a_view(replace(BUSY, circuits={"get": "closed", "patch": "half_open"}), PEER),
            Level.TROUBLE,
            "Upstream failing",
            "The upstream is failing: 1,204 commands wait, and nothing is given up.",
        ),
        (
            a_view(replace(BUSY, held_for="401: token refused", state="held", ready=False)),
            Level.TROUBLE,
            "Held",
            "Held by a fault of this deployment: the upstream refuses the token.",
        ),
        (
            a_view(OWN, replace(PEER, alive=False, reason="records have not been asked for")),
            Level.TROUBLE,
            "Stuck",
            "sync-1 is stuck: restart it.",
        ),
        (SILENT, Level.TROUBLE, "Replicas do not answer", "1 of 2 replicas does not answer."),
        (
            put_together(a_look(OWN, kafka_answers=False)),
            Level.TROUBLE,
            "Kafka does not answer",
            "Kafka does not answer: nothing is read",
        ),
        (
            put_together(a_look(replace(OWN, state="starting", ready=False), kafka_answers=False)),
            Level.WAITS,
            "Starting",
            "Starting: waiting for Kafka",
        ),
    ],
)
def test_each_state_has_its_sentence(view: GroupView, level: Level, name: str, sentence: str) -> None:
    """Its name holds no figures: it is read aloud when it changes."""
    found = health(view)

    assert (found.level, found.name) == (level, name)
    assert found.sentence.startswith(sentence)
    assert found.name.isascii()
    assert not any(character.isdigit() for character in found.name)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("401: x", "the upstream refuses the token"),
        ("403: x", "the token lacks a scope"),
        ("308: x", "the upstream’s address redirects elsewhere"),
        ("404 for 20 customers and no good answer yet", "nobody is known at the upstream’s address"),
    ],
)
def test_hold_says_what_to_mend(reason: str, words: str) -> None:
    """And quotes the upstream below."""
    found = health(a_view(replace(OWN, held_for=reason)))

    assert words in found.sentence
    assert reason in found.advice


def test_worst_comes_first() -> None:
    """A stuck replica, then a hold, then an outage; a rebalance is less than each."""
    outage = replace(BUSY, circuits={"get": "open", "patch": "closed"})
    held_too = replace(outage, held_for="401: x", ready=False)
    stuck = replace(held_too, alive=False)

    assert [health(a_view(one, partitions=9)).name for one in (stuck, held_too, outage, BUSY)] == [
        "Stuck",
        "Held",
        "Upstream failing",
        "Rebalancing",
    ]


def test_more_than_can_be_settled_is_said() -> None:
    """The forecast has no end."""
    pace = replace(IDLE.pace, commands_per_second=50)

    assert health(a_view(replace(BUSY, pace=pace))).advice == "Commands come faster than the upstream takes them."
    assert "Commands come faster" in health(a_view(replace(limited(), pace=pace))).advice
