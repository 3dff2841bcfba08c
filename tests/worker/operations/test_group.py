"""The whole group as one."""

import json
import math
from dataclasses import replace

import pytest

from harness.groups import BUDGET, IDLE, NOW_MS, a_busy_view, a_group, a_look, a_view, held, waits
from worker.operations.group import Silent, drain_order, put_together, to_json
from worker.operations.latency import Distribution
from worker.operations.replica import Customers, Shown
from worker.telemetry.recent import DeadLetters, Rebalance

PEER = replace(IDLE, worker="sync-1")


def test_partitions_are_shown_whoever_has_them() -> None:
    """Also those that nobody has, with the lag that Kafka tells."""
    own = replace(IDLE, partitions=(held(2, 7, waiting=3),))
    view = put_together(
        a_look(own, {"10.0.0.1:1": replace(PEER, partitions=(held(0, 5),))}, partitions=4, lags={1: 9, 2: 99})
    )

    assert [(one.partition, one.replica, one.lag, one.waiting) for one in view.partitions] == [
        (0, "sync-1", 5, 0),
        (1, "", 9, None),
        (2, "sync-0", 7, 3),
        (3, "", None, None),
    ]
    assert view.lag == 21


def test_member_that_does_not_answer_is_shown_with_its_partitions() -> None:
    """By the name it had, or by its address; Kafka tells what waits there."""
    members = a_group("10.0.0.1:1", "10.0.0.2:2", None, partitions={"10.0.0.1:1": (1,), "10.0.0.2:2": (3,)})
    view = put_together(
        a_look(
            answers={"10.0.0.1:1": "no answer within 1 s", "10.0.0.2:2": "cannot be reached"},
            members=members,
            names={"10.0.0.1:1": "sync-1"},
            partitions=4,
            lags={1: 8},
        )
    )

    assert view.silent == (
        Silent("sync-1", "no answer within 1 s", (1,)),
        Silent("10.0.0.2:2", "cannot be reached", (3,)),
        Silent("sync-2", "has not said where it answers", ()),
    )
    assert [(one.replica, one.lag) for one in view.partitions] == [
        ("", None),
        ("sync-1", 8),
        ("", None),
        ("10.0.0.2:2", None),
    ]


def test_replica_that_answers_twice_is_shown_once() -> None:
    """Its address has changed a moment ago."""
    assert [one.worker for one in a_view(IDLE, PEER, PEER, IDLE).replicas] == ["sync-0", "sync-1"]


def test_own_replica_is_the_one_that_looked() -> None:
    """Whatever the order of names."""
    assert a_view(PEER, IDLE).own is PEER


def test_budget_is_that_of_whoever_knows_of_least() -> None:
    """The others have not asked since."""
    one = replace(IDLE, budget=BUDGET)
    view = a_view(one, replace(PEER, budget=replace(BUDGET, left=17)))

    assert view.budget is not None
    assert view.budget.left == 17
    assert a_view().budget is None


def test_worst_state_of_each_circuit_is_shown() -> None:
    """One replica that probes says that the upstream fails."""
    one = replace(IDLE, circuits={"get": "half_open", "patch": "closed"})
    other = replace(PEER, circuits={"get": "open", "patch": "closed"})

    assert a_view(one, other).circuits == {"get": "open", "patch": "closed"}


def test_customers_of_all_replicas_are_ranked_together() -> None:
    """The ten with most commands; those who wait longer first."""
    one = replace(
        IDLE,
        customers=Customers(20, NOW_MS - 5, {"turn": 20}, tuple(waits(f"a{number}", number) for number in range(9))),
    )
    other = replace(
        PEER,
        customers=Customers(
            3, NOW_MS - 9, {"turn": 1, "limit": 2}, (waits("b", 99), waits("c", 8, oldest_ms=NOW_MS - 999_999))
        ),
    )
    found = a_view(one, other).customers

    assert (found.waiting, found.oldest_ms, found.why) == (23, NOW_MS - 9, {"turn": 21, "limit": 2})
    assert [one.customer for one in found.longest] == ["b", "c", *(f"a{number}" for number in range(8, 0, -1))]


def test_counts_and_latencies_add_up() -> None:
    """Of everybody since they have started."""
    one = replace(
        IDLE,
        outcomes={"event": {"": 3}, "dead_letter": {"invalid": 1}},
        requests={"GET": {"Ok": 5}},
        latencies={"GET": Distribution((0.1,), (2, 0))},
    )
    view = a_view(one, replace(one, worker="sync-1", outcomes={"dead_letter": {"invalid": 2, "expired": 1}}))

    assert view.outcomes == {"event": {"": 3}, "dead_letter": {"invalid": 3, "expired": 1}}
    assert view.requests == {"GET": {"Ok": 10}}
    assert view.latencies == {"GET": Distribution((0.1,), (4, 0))}


def test_same_fault_of_several_replicas_is_one_row() -> None:
    """Named by the latest."""
    early = DeadLetters("invalid", "no @", 2, 1, "t:0:1", None, 0)
    late = DeadLetters("invalid", "no @", 3, 9, "t:1:1", None, 0)
    view = a_view(replace(IDLE, dead_letters=(early,)), replace(PEER, dead_letters=(late,)))

    assert view.dead_letters == (replace(late, commands=5),)


def test_latest_rebalances_come_first() -> None:
    """With whom they concerned."""
    one = replace(IDLE, rebalances=(Rebalance(1, "assigned", (0,)), Rebalance(3, "revoked", (0,))))
    view = a_view(one, replace(PEER, rebalances=(Rebalance(2, "assigned", (0,)),)))

    assert [(happened.replica, happened.rebalance.at_ms) for happened in view.rebalances] == [
        ("sync-0", 3),
        ("sync-1", 2),
        ("sync-0", 1),
    ]


def test_settings_that_differ_are_named() -> None:
    """Other than those that must."""

    def with_settings(replica: str, limit: str, port: str) -> object:
        settings = (Shown("UPSTREAM_RATE_LIMIT", limit, "environment"), Shown("HTTP_PORT", port, "environment"))
        return replace(IDLE, worker=replica, settings=settings)

    view = a_view(with_settings("a", "500", "1"), with_settings("b", "1000", "2"))  # type: ignore[arg-type]

    assert view.differing == {"UPSTREAM_RATE_LIMIT": {"a": "500", "b": "1000"}}


def test_partition_with_less_lag_is_empty_sooner() -> None:
    """The partitions of a replica take turns."""
    assert [drain_order([5, 100, 20], lag) for lag in (5, 20, 100)] == [15, 45, 125]


def test_time_to_drain_follows_the_pace_and_the_budget() -> None:
    """Two requests a command, ten a second; then whole windows."""
    quick = replace(IDLE, partitions=(held(0, 100), held(1, 10)))
    view = a_view(quick)
    assert view.drained_in_seconds == pytest.approx(22)
    assert [one.drained_in_seconds for one in view.partitions] == pytest.approx([22, 4])

    limited = replace(quick, partitions=(held(0, 1_000),), budget=replace(BUDGET, left=0))
    assert a_view(limited).drained_in_seconds == pytest.approx(BUDGET.resets_in_seconds + 600 + 100)


@pytest.mark.parametrize(
    "broken", [{"held_for": "401: no"}, {"circuits": {"get": "open", "patch": "closed"}}], ids=["held", "outage"]
)
def test_nothing_is_drained_while_nothing_is_sent(broken: dict[str, object]) -> None:
    """But what has no lag is empty all the same."""
    view = a_view(replace(IDLE, partitions=(held(0, 3), held(1, 0)), **broken))  # type: ignore[arg-type]

    assert view.drained_in_seconds == math.inf
    assert [one.drained_in_seconds for one in view.partitions] == [math.inf, 0]


def test_document_is_json() -> None:
    """What is infinite is null in it."""
    document = json.loads(to_json(a_busy_view()))

    assert document["here"] == "sync-0"
    assert [partition["lag"] for partition in document["partitions"]] == [40, 5, 0, None]
    stuck = json.loads(to_json(a_view(replace(IDLE, partitions=(held(0, 3),), held_for="401: no"))))
    assert stuck["drained_in_seconds"] is None
