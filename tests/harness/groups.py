"""Replicas and groups as tests of the page need them: whatever a test does not name is well and idle."""

from collections.abc import Mapping
from dataclasses import replace

from worker.kafka.members import Group, Member
from worker.operations.group import GroupView, Look, put_together
from worker.operations.history import Hour, step_of
from worker.operations.latency import Distribution
from worker.operations.peers import Answer
from worker.operations.replica import FORMAT, Budget, Customers, HeldPartition, Pace, Replica, Shown, WaitingCustomer
from worker.telemetry.recent import DeadLetters, Rebalance

NOW_MS = 1_764_000_000_000
NOBODY = Customers(waiting=0, oldest_ms=None, why={}, longest=())
BUDGET = Budget(limit=1_000, left=433, window_seconds=600, resets_in_seconds=190, share=1)

IDLE = Replica(
    format=FORMAT,
    worker="sync-0",
    version="1.2.3",
    at_ms=NOW_MS,
    up_seconds=3_700,
    state="running",
    reason="",
    alive=True,
    ready=True,
    delivery="exactly_once",
    held_for="",
    circuits={"get": "closed", "patch": "closed"},
    partitions=(),
    customers=NOBODY,
    budget=None,
    pace=Pace(requests_per_command=2, commands_per_second=0, requests_per_second=10),
    outcomes={},
    requests={},
    latencies={},
    hour=Hour(0),
    dead_letters=(),
    rebalances=(),
    settings=(),
)
"""A replica with which all is well, and that has nothing to do."""


def held(partition: int, lag: int | None = 0, **figures: int) -> HeldPartition:
    """A partition that a replica has, with so many unsettled commands."""
    return HeldPartition(partition, lag, committed=0, **{"waiting": 0, "in_flight": 0, "retrying": 0, **figures})


def waits(customer: str = "5eed…0001", commands: int = 1, why: str = "turn", **more: float | None) -> WaitingCustomer:
    """A customer that waits."""
    given = {"attempts": 0, "due_in_seconds": None, "oldest_ms": NOW_MS - 90_000, **more}
    return WaitingCustomer(customer, partition=0, commands=commands, why=why, **given)  # type: ignore[arg-type]


def a_look(
    own: Replica = IDLE,
    answers: Mapping[str, Answer] | None = None,
    *,
    members: Group | None = None,
    lags: Mapping[int, int] | None = None,
    partitions: int = 0,
    kafka_answers: bool = True,
    names: Mapping[str, str] | None = None,
) -> Look:
    """What a replica has seen of the group."""
    return Look(
        at_ms=NOW_MS,
        group_id="customer-sync",
        topic="customer.update",
        kafka_answers=kafka_answers,
        group=members,
        own=own,
        answers=answers or {},
        names=names or {},
        partitions=partitions,
        lags=lags or {},
    )


def a_group(
    *addresses: str | None, state: str = "Stable", partitions: Mapping[str, tuple[int, ...]] | None = None
) -> Group:
    """A group whose members answer at these addresses, and have these partitions."""
    ids = [f"sync-{index}-00000000-0000-4000-8000-00000000000{index}" for index in range(len(addresses))]
    return Group(
        state,
        tuple(
            Member(member_id, address, (partitions or {}).get(address or "", ()))
            for member_id, address in zip(ids, addresses, strict=True)
        ),
    )


def a_view(own: Replica = IDLE, *peers: Replica, state: str = "Stable", **more: object) -> GroupView:
    """A group in which everybody answers."""
    answers = {f"10.0.0.{index}:8080": peer for index, peer in enumerate(peers, start=1)}
    return put_together(a_look(own, answers, members=a_group(*answers, state=state), **more))  # type: ignore[arg-type]


def a_busy_view() -> GroupView:
    """Two replicas with something in every part of the page."""
    hour = Hour(
        step_of(NOW_MS) - 4,
        lag=(10, 20, None, 45),
        budget_left=(900, 700, None, 433),
        broken=(0, 1, None, 0),
        events=(5, 6, None, 7),
        dead_letters=(0, 1, None, 0),
    )
    busy = replace(
        IDLE,
        partitions=(held(0, 40, waiting=30, in_flight=2, retrying=1), held(1, 5, waiting=5)),
        customers=Customers(
            7,
            NOW_MS - 125_000,
            {"turn": 5, "retrying": 2},
            (waits(commands=23), waits("5eed…0002", 4, "retrying", attempts=2, due_in_seconds=3.0)),
        ),
        budget=BUDGET,
        outcomes={"event": {"": 1_204}, "dead_letter": {"invalid": 3, "rejected": 1}},
        requests={"GET": {"Ok": 800, "Unavailable": 2}, "PATCH": {"Ok": 640, "Rejected": 1}},
        latencies={"GET": Distribution((0.05, 0.1, 0.2), (0, 10, 0, 0))},
        hour=hour,
        dead_letters=(
            DeadLetters("rejected", "refused [rejected]", 1, NOW_MS - 5_000, "customer.update:1:17", 400, 2),
            DeadLetters("invalid", "no @ [email_malformed]", 3, NOW_MS - 9_000, "customer.update:0:4", None, 0),
        ),
        rebalances=(Rebalance(NOW_MS - 60_000, "assigned", (0, 1)),),
        settings=(
            Shown("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092", "environment"),
            Shown("UPSTREAM_TOKEN", "******", "file"),
            Shown("HTTP_PORT", "8080", "default"),
        ),
    )
    peer = replace(IDLE, worker="sync-1", partitions=(held(2, 0),), budget=replace(BUDGET, left=600))
    return a_view(busy, peer, partitions=4)
