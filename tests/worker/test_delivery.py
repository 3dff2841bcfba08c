"""Turns are taken: from commands to requests to outcomes, through every way the upstream can fail."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from handlers.merge import fold as folded
from handlers.record import CommandRecord, OutcomeKind
from harness.builders import a_record, customer_id
from harness.engine import (
    EPOCH_MS,
    Behaviour,
    Engine,
    ScriptedUpstream,
    Sent,
    fates,
    header,
    make_partition,
    running_engine,
)
from harness.memory_ledger import Fault, MemoryLedger
from harness.virtual_time import now, run_virtually, settled
from worker.lanes import LaneState
from worker.pacing.circuit_breaker import CircuitState
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    NotFound,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)

GET, PATCH = Request.GET, Request.PATCH
DOWN = Unavailable(503, "status")
SERVER_ERROR = Unavailable(500, "status")
HOUR = 3_600.0


def upstream_with(*customers: int, behaviour: Behaviour = lambda _: None, latency: float = 0.02) -> ScriptedUpstream:
    """An upstream that knows these customers."""
    upstream = ScriptedUpstream(behaviour=behaviour, latency_seconds=latency)
    upstream.know(*customers)
    return upstream


def between(start: float, end: float, answer: Answer, request: Request | None = None) -> Behaviour:
    """Answers so to every request (of this kind) that is sent in these virtual seconds."""
    return lambda sent: answer if start <= sent.at < end and request in {None, sent.request} else None


def notes(engine: Engine, partition: int = 0) -> list[JsonValue]:
    """The notes of the customers in the events, in the order of publishing."""
    return [
        json.loads(outcome.value or b"")["note"]
        for outcome in engine.outcomes(partition)
        if outcome.kind is OutcomeKind.EVENT
    ]


def test_command_becomes_an_event() -> None:
    """One GET, one PATCH of name, e-mail, tags and what changes, one event, one committed offset."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1)) as engine:
            engine.send((1, {"note": "new"}))
            await engine.settled()

            assert [(sent.request, dict(sent.body)) for sent in engine.upstream.journal] == [
                (GET, {}),
                (PATCH, {"name": "Acme", "email": "billing@acme.example", "tags": [], "note": "new"}),
            ]
            assert fates(engine.outcomes()) == ["event"]
            assert notes(engine) == ["new"]
            assert engine.ledgers[0].committed[0] == 1

    run_virtually(scenario())


def test_change_that_changes_nothing_costs_no_patch() -> None:
    """The event holds the customer as just read."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1)) as engine:
            engine.send((1, {"note": None}))
            await engine.settled()

            assert [sent.request for sent in engine.upstream.journal] == [GET]
            assert fates(engine.outcomes()) == ["event"]

    run_virtually(scenario())


def test_waiting_commands_share_their_requests() -> None:
    """One GET and one PATCH; each command gets its own event, in order, with the same payload."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1)) as engine:
            engine.feed(*(a_record(offset, {"note": f"{offset}"}, customer=1) for offset in range(5)))
            await engine.settled()

            assert [sent.request for sent in engine.upstream.journal] == [GET, PATCH]
            assert notes(engine) == ["4"] * 5
            assert [header(outcome, "ce_causationid") for outcome in engine.outcomes()] == [
                f"customer.update:0:{offset}" for offset in range(5)
            ]

    run_virtually(scenario())


def test_customers_do_not_wait_for_each_other() -> None:
    """Within one partition, up to UPSTREAM_MAX_CONCURRENCY at once."""

    async def scenario() -> None:
        async with running_engine(upstream_with(*range(10)), max_concurrency=4) as engine:
            engine.send(*((customer, {"note": "x"}) for customer in range(10)))
            await engine.settled()

            assert engine.upstream.most_at_once == 4
            assert len(engine.outcomes()) == 10

    run_virtually(scenario())


def test_next_change_is_sent_after_the_commit_of_the_one_before() -> None:
    """However long the commit takes; what comes meanwhile folds."""

    async def scenario() -> None:
        committed_at: list[float] = []
        ledger = MemoryLedger([Fault.NONE, Fault.FAILED, Fault.FAILED], on_attempt=lambda: committed_at.append(now()))
        async with running_engine(upstream_with(1), ledgers=[ledger]) as engine:
            await settled()  # the first commit sets the horizon
            engine.send((1, {"note": "first"}))
            await asyncio.sleep(0.1)
            engine.send((1, {"note": "second"}), (1, {"note": "third"}))
            await engine.settled()

            second_get = engine.upstream.requests(GET)[1]
            assert second_get.at >= committed_at[3]
            assert [sent.body["note"] for sent in engine.upstream.requests(PATCH)] == ["first", "third"]
            assert notes(engine) == ["first", "third", "third"]

    run_virtually(scenario())


def test_unknown_customer_is_never_written() -> None:
    """A PATCH would create it."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1)) as engine:
            engine.send((1, {"note": "x"}))
            await engine.settled()
            engine.send((2, {"note": "x"}), (2, {"city": "Ghent"}))
            await engine.settled()

            assert fates(engine.outcomes()) == ["event", "unknown_customer", "unknown_customer"]
            assert len(engine.upstream.requests(PATCH)) == 1

    run_virtually(scenario())


def test_answer_that_is_no_customer_is_a_dead_letter() -> None:
    """After a PATCH it has probably been applied, but there is nothing to publish."""

    async def scenario() -> None:
        broken = ContractBroken(200, "$.id: missing")
        upstream = upstream_with(1, behaviour=between(0, HOUR, broken, PATCH))
        async with running_engine(upstream) as engine:
            engine.send((1, {"note": "x"}))
            await engine.settled()

            assert fates(engine.outcomes()) == ["contract"]

    run_virtually(scenario())


def test_refused_fold_costs_only_the_bad_command() -> None:
    """By the field that the 400 names."""

    def refuse_bad_mail(sent: Sent) -> Answer | None:
        return Rejected(400, "no", frozenset({"email"})) if sent.body.get("email") == "bad@x.example" else None

    async def scenario() -> None:
        async with running_engine(upstream_with(1, behaviour=refuse_bad_mail)) as engine:
            engine.feed(
                a_record(0, {"note": "a"}, customer=1),
                a_record(1, {"email": "bad@x.example"}, customer=1),
                a_record(2, {"city": "Ghent"}, customer=1),
            )
            await engine.settled()

            assert fates(engine.outcomes()) == ["event", "rejected", "event"]
            assert len(engine.upstream.requests(PATCH)) == 2
            assert engine.upstream.customers[customer_id(1)]["email"] == "billing@acme.example"

    run_virtually(scenario())


def test_one_customer_in_trouble_delays_nobody() -> None:
    """A retry gives its slot back; attempts go by the policy."""

    def trouble(sent: Sent) -> Answer | None:
        return DOWN if sent.customer_id == customer_id(0) and sent.at < 60 else None

    async def scenario() -> None:
        async with running_engine(upstream_with(*range(4), behaviour=trouble), max_concurrency=1) as engine:
            engine.send((0, {"note": "trouble"}))
            await asyncio.sleep(0.1)
            for _ in range(60):
                engine.send((1, {"note": f"at {now()}"}))
                await asyncio.sleep(1.0)
            at_its_end = [sent.at for sent in engine.upstream.requests() if sent.customer_id == customer_id(0)]
            await engine.settled()

            assert len(notes(engine)) == 61
            waits = [later - earlier for earlier, later in pairwise(at_its_end)]
            assert waits[:3] == pytest.approx([0.525, 0.7875, 1.18], abs=0.1)
            others = [sent.at for sent in engine.upstream.requests(PATCH) if sent.customer_id == customer_id(1)]
            assert all(later - earlier < 1.1 for earlier, later in pairwise(others))

    run_virtually(scenario())


def test_exhausted_policy_ends_in_a_dead_letter() -> None:
    """One customer alone, five minutes of 503s: with its status and its attempts."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1, behaviour=between(0, HOUR, DOWN))) as engine:
            engine.send((1, {"note": "x"}))
            await engine.settled()

            assert fates(engine.outcomes()) == ["retries_exhausted"]
            assert header(engine.outcomes()[0], "dlq-status") == "503"
            assert int(header(engine.outcomes()[0], "dlq-attempts")) == len(engine.upstream.journal)
            assert 300 <= now() <= 370

    run_virtually(scenario())


def test_429_is_waited_for_and_is_no_attempt() -> None:
    """However often it comes: nothing is dead-lettered for it, and nobody else sends meanwhile."""

    def limited(sent: Sent) -> Answer | None:
        return RateLimited(100.0) if sent.at < 3_000 else None

    async def scenario() -> None:
        async with running_engine(upstream_with(1, 2, behaviour=limited), limit=1_000) as engine:
            engine.send((1, {"note": "x"}), (2, {"note": "x"}))
            await engine.settled()

            assert fates(engine.outcomes()) == ["event", "event"]
            assert len(engine.upstream.journal) <= 30 + 4
            assert engine.gate.is_open

    run_virtually(scenario())


def test_429_between_the_two_requests_reads_again() -> None:
    """The customer may have changed meanwhile."""

    async def scenario() -> None:
        upstream = upstream_with(1, behaviour=between(0, 10, RateLimited(50.0), PATCH))
        async with running_engine(upstream, limit=1_000) as engine:
            engine.send((1, {"note": "x"}))
            await engine.settled()

            assert [sent.request for sent in upstream.journal] == [GET, PATCH, GET, PATCH]
            assert fates(engine.outcomes()) == ["event"]

    run_virtually(scenario())


def test_429_keeps_other_turns_from_their_writes() -> None:
    """They were granted before it, and would meet it too."""

    def limited(sent: Sent) -> Answer | None:
        return RateLimited(50.0) if sent.customer_id == customer_id(3) and sent.at < 10 else None

    async def scenario() -> None:
        async with running_engine(upstream_with(1, 2, 3, behaviour=limited, latency=1.0), limit=1_000) as engine:
            engine.send((1, {"note": "x"}))
            await engine.settled()
            engine.send((3, {"note": "x"}))
            await asyncio.sleep(0.5)
            engine.send((2, {"note": "x"}))
            await engine.settled()

            assert [sent.at >= 50 for sent in engine.upstream.requests(PATCH)] == [False, True, True]
            assert fates(engine.outcomes()) == ["event"] * 3

    run_virtually(scenario())


@pytest.mark.parametrize("status", [401, 403, 302])
def test_fault_of_the_deployment_holds_everything_until_it_is_mended(status: int) -> None:
    """Ten minutes: nothing is dead-lettered, the upstream is spared, and work goes on within three seconds."""

    async def scenario() -> None:
        upstream = upstream_with(*range(30), behaviour=between(0, 600, DeploymentFault(status, "no")))
        async with running_engine(upstream) as engine:
            engine.send(*((customer, {"note": "x"}) for customer in range(30)))
            await asyncio.sleep(599)

            assert engine.gate.held_for == f"{status}: no"
            assert engine.outcomes() == []
            assert len(upstream.journal) < 30 + 300
            await engine.settled(within_seconds=4)
            assert fates(engine.outcomes()) == ["event"] * 30

    run_virtually(scenario())


def test_mended_token_is_used_at_once() -> None:
    """Who corrects it does not wait."""

    async def scenario() -> None:
        upstream = upstream_with(1, behaviour=between(0, 60, DeploymentFault(401, "no")))
        async with running_engine(upstream) as engine:
            engine.send((1, {"note": "x"}))
            await asyncio.sleep(60.01)
            engine.gate.probe_now(now())
            engine.delivery.wake()
            await engine.settled(within_seconds=0.1)

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("failing", "answer"),
    [
        pytest.param(None, DOWN, id="503s of everything"),
        pytest.param(None, Unavailable(None, "connect"), id="no connection"),
        pytest.param(PATCH, SERVER_ERROR, id="a database failover: reads work, every write is a 500"),
    ],
)
def test_outage_dead_letters_nothing(failing: Request | None, answer: Answer) -> None:
    """Ten minutes: the circuit opens, probes are few, and the first event follows within three seconds."""

    async def scenario() -> None:
        upstream = upstream_with(*range(50), behaviour=between(10, 610, answer, failing))
        async with running_engine(upstream) as engine:
            for customer in range(50):
                engine.send((customer, {"note": "x"}))
                await asyncio.sleep(0.5)
            during = len(upstream.journal)
            await asyncio.sleep(610 - now())

            assert set(fates(engine.outcomes())) == {"event"}
            assert len(upstream.journal) - during < 2 * 600
            before = len(engine.outcomes())
            await asyncio.sleep(3)
            assert len(engine.outcomes()) > before
            await engine.settled(within_seconds=60)
            assert fates(engine.outcomes()) == ["event"] * 50
            assert engine.gate.is_open

    run_virtually(scenario())


def test_poisonous_command_is_found_while_others_succeed() -> None:
    """Five 500s; its customer goes on, and nobody else is concerned."""

    def poison(sent: Sent) -> Answer | None:
        return SERVER_ERROR if sent.body.get("city") == "poison" else None

    async def scenario() -> None:
        async with running_engine(upstream_with(1, 2, 3, behaviour=poison)) as engine:
            engine.send((1, {"city": "poison"}))
            for number in range(100):
                engine.send((2, {"note": f"{number}"}))
                await asyncio.sleep(0.1)
            engine.send((1, {"note": "after"}))
            await engine.settled()

            dead = [outcome for outcome in engine.outcomes() if outcome.kind is OutcomeKind.DEAD_LETTER]
            assert fates(dead) == ["retries_exhausted"]
            assert header(dead[0], "dlq-attempts") == "5"
            assert engine.upstream.customers[customer_id(1)]["note"] == "after"
            assert engine.breakers == []

    run_virtually(scenario())


def test_short_outage_with_few_customers_is_no_poison() -> None:
    """One success just after the first failure, and then nobody's for ten seconds: that is an outage."""

    def outage(sent: Sent) -> Answer | None:
        if sent.request is GET or sent.at > 10:
            return None
        return SERVER_ERROR if sent.customer_id == customer_id(1) or sent.at > 0.5 else None

    async def scenario() -> None:
        async with running_engine(upstream_with(1, 2, behaviour=outage)) as engine:
            engine.send((1, {"note": "x"}))
            await asyncio.sleep(0.1)
            engine.send((2, {"note": "x"}))
            await asyncio.sleep(0.5)
            engine.send((2, {"note": "y"}))
            await engine.settled()

            assert fates(engine.outcomes()) == ["event"] * 3

    run_virtually(scenario())


def test_three_poisonous_commands_in_a_quiet_hour_block_nobody_for_ever() -> None:
    """They open the circuit; the next good command is the probe that closes it."""

    def poison(sent: Sent) -> Answer | None:
        return SERVER_ERROR if sent.body.get("city") == "poison" else None

    async def scenario() -> None:
        async with running_engine(upstream_with(*range(10), behaviour=poison)) as engine:
            engine.send(*((customer, {"city": "poison"}) for customer in range(3)))
            await asyncio.sleep(600)
            assert engine.gate.circuit(PATCH) is not CircuitState.CLOSED
            assert engine.outcomes() == []
            for number in range(30):
                engine.send((5, {"note": f"{number}"}))
                await asyncio.sleep(10)
            await engine.settled()

            assert Counter(fates(engine.outcomes())) == {"event": 30, "retries_exhausted": 3}

    run_virtually(scenario())


def test_unknown_customer_is_settled_while_writes_fail() -> None:
    """Its 404 says all there is to say; asked again and again it would spend the whole budget."""

    def failover(sent: Sent) -> Answer | None:
        return SERVER_ERROR if sent.request is PATCH and sent.at < 300 else None

    async def scenario() -> None:
        async with running_engine(upstream_with(*range(4), behaviour=failover)) as engine:
            engine.send(*((customer, {"note": "x"}) for customer in range(3)))
            await asyncio.sleep(10)
            engine.send((99, {"note": "x"}))
            await asyncio.sleep(20)

            assert fates(engine.outcomes()) == ["unknown_customer"]
            asked = [sent for sent in engine.upstream.journal if sent.customer_id == customer_id(99)]
            assert len(asked) == 1

    run_virtually(scenario())


def test_strangers_from_the_start_hold_everything() -> None:
    """A wrong address, or another team's token: nothing is dead-lettered, and it is over with the first good answer."""

    async def scenario() -> None:
        upstream = upstream_with(*range(40), behaviour=between(0, 600, NotFound()))
        async with running_engine(upstream) as engine:
            engine.send(*((customer, {"note": "x"}) for customer in range(40)))
            await asyncio.sleep(600)

            assert engine.outcomes() == []
            assert "no good answer yet" in engine.gate.held_for
            assert len(upstream.journal) < 40 + 600
            await engine.settled(within_seconds=5)
            assert fates(engine.outcomes()) == ["event"] * 40

    run_virtually(scenario())


def test_few_strangers_at_the_start_are_asked_again_before_they_count() -> None:
    """Then they are unknown customers, as they would be later."""

    async def scenario() -> None:
        async with running_engine(upstream_with()) as engine:
            engine.send(*((customer, {"note": "x"}) for customer in range(5)))
            await engine.settled()

            assert fates(engine.outcomes()) == ["unknown_customer"] * 5
            assert len(engine.upstream.journal) == 10
            assert now() == pytest.approx(2.0, abs=0.2)

    run_virtually(scenario())


def test_command_that_expired_costs_no_request() -> None:
    """It is a dead letter of its own; the others of its customer go on."""

    async def scenario() -> None:
        expirytime = [("expirytime", "2025-11-24T16:00:00Z")]  # at the epoch of the virtual clock
        envelope = {"specversion": "1.0", "type": "customer.update", "source": "/crm", **dict(expirytime)}
        bodies = [
            {**envelope, "id": str(number), "data": {"customer_id": customer_id(number), "changes": {"note": "x"}}}
            for number in (1, 2)
        ]
        assert EPOCH_MS == 1_764_000_000_000
        async with running_engine(upstream_with(1, 2)) as engine:
            engine.feed(
                *(
                    a_record(
                        offset,
                        customer=offset + 1,
                        value=json.dumps(body).encode(),
                        headers=(("content-type", b"application/cloudevents+json"),),
                    )
                    for offset, body in enumerate(bodies)
                )
            )
            await engine.settled()

            assert fates(engine.outcomes()) == ["expired", "expired"]
            assert engine.upstream.journal == []

    run_virtually(scenario())


def test_many_expired_commands_do_not_hold_up_the_loop() -> None:
    """Heartbeats run in it: an import that expired during an outage must not cost the membership."""

    def expired(offset: int) -> CommandRecord:
        body = {"specversion": "1.0", "type": "customer.update", "source": "/crm", "id": f"{offset}"}
        data = {"customer_id": customer_id(offset), "changes": {"note": "x"}}
        value = json.dumps({**body, "expirytime": "2025-01-01T00:00:00Z", "data": data}).encode()
        return a_record(offset, customer=offset, value=value)

    async def scenario() -> None:
        async with running_engine() as engine:
            await settled()
            lanes = engine.partitions[0].lanes
            begin_turns = engine.delivery._begin_turns
            at_once: list[int] = []

            def watched(under_way: asyncio.TaskGroup) -> float | None:
                ready = lanes.count(LaneState.READY)
                due = begin_turns(under_way)
                at_once.append(ready - lanes.count(LaneState.READY))
                return due

            engine.delivery._begin_turns = watched  # type: ignore[method-assign]  # nothing else shows one step
            engine.feed(*(expired(offset) for offset in range(1_000)))
            await engine.settled()

            assert 0 < max(at_once) <= 100
            assert fates(engine.outcomes()) == ["expired"] * 1_000
            assert now() < 1.0

    run_virtually(scenario())


def test_bad_record_becomes_a_dead_letter_without_a_request() -> None:
    """Beside good ones of the same batch."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1)) as engine:
            engine.feed(a_record(0, value=b"{"), a_record(1, {"note": "x"}, customer=1))
            await engine.settled()

            assert sorted(fates(engine.outcomes())) == ["event", "undecodable"]
            assert len(engine.upstream.journal) == 2

    run_virtually(scenario())


def test_turn_of_a_closing_partition_goes_no_further_than_its_read() -> None:
    """What is not begun the successor does; draining waits for what is under way."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1, 2, latency=1.0), max_concurrency=1) as engine:
            engine.send((1, {"note": "x"}), (2, {"note": "x"}))
            await asyncio.sleep(0.5)
            async with asyncio.timeout(1.0):
                await engine.partitions[0].drain()

            assert [sent.request for sent in engine.upstream.journal] == [GET]
            assert engine.outcomes() == []
            await asyncio.sleep(60)
            assert len(engine.upstream.journal) == 1

    run_virtually(scenario())


def test_drain_commits_what_is_under_way() -> None:
    """A PATCH that was sent is settled."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1, latency=1.0)) as engine:
            engine.send((1, {"note": "x"}))
            await asyncio.sleep(1.5)
            async with asyncio.timeout(1.0):
                await engine.partitions[0].drain()

            assert fates(engine.outcomes()) == ["event"]
            assert engine.ledgers[0].committed[0] == 1

    run_virtually(scenario())


@pytest.mark.parametrize(
    ("lease_seconds", "sent"),
    [
        pytest.param(5.0, [GET, PATCH], id="valid throughout"),
        pytest.param(1.5, [GET], id="over before the write"),
        pytest.param(0.5, [], id="over before the read"),
    ],
)
def test_worker_that_the_group_may_have_given_up_sends_nothing(lease_seconds: float, sent: list[Request]) -> None:
    """Checked immediately before each request; with the next heartbeat work goes on."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1, latency=1.0), lease_seconds=lease_seconds) as engine:
            await asyncio.sleep(0.6)
            engine.send((1, {"note": "x"}))
            await asyncio.sleep(60)

            assert [request.request for request in engine.upstream.journal] == sent
            for _ in range(3):
                engine.lease.renew(now())
                engine.delivery.wake()
                await asyncio.sleep(1.1)
            engine.lease.renew(now() + 60)
            engine.delivery.wake()
            await engine.settled()
            assert fates(engine.outcomes()) == ["event"]

    run_virtually(scenario())


def test_worker_that_was_frozen_before_the_first_step_of_a_turn_sends_nothing() -> None:
    """The turn had begun; its first request had not."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1), lease_seconds=5.0) as engine:
            await settled()
            engine.send((1, {"note": "x"}))
            engine.delivery._begin_turns = freeze(engine)  # type: ignore[assignment, method-assign]  # the freeze of a moment
            await asyncio.sleep(10)

            assert engine.upstream.journal == []

    def freeze(engine: Engine) -> Callable[[asyncio.TaskGroup], float | None]:
        begin_turns = engine.delivery._begin_turns

        def begun_and_frozen(under_way: asyncio.TaskGroup) -> float | None:
            due = begin_turns(under_way)
            engine.delivery._now = lambda: now() + 60
            return due

        return begun_and_frozen

    run_virtually(scenario())


def test_two_partitions_never_have_requests_of_one_customer_at_once() -> None:
    """Publishers that partition differently put one customer on two: two writers at once lose each other's tags."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1), ledgers=[MemoryLedger(), MemoryLedger()]) as engine:
            for number in range(20):
                engine.send((1, {"note": f"{number}"}), partition=number % 2)
                await asyncio.sleep(0.01)
            await engine.settled()

            assert len(engine.outcomes(0)) + len(engine.outcomes(1)) == 20

    run_virtually(scenario())


def test_partition_built_anew_waits_for_the_requests_of_the_one_before() -> None:
    """It was fenced, or taken away and given back, while a PATCH was still on its way."""

    async def scenario() -> None:
        async with running_engine(upstream_with(1, latency=5.0)) as engine:
            engine.send((1, {"note": "x"}))
            await asyncio.sleep(6.0)
            engine.partitions[0].is_closing = True
            anew, committer = make_partition(0, MemoryLedger(), engine.metrics, engine.delivery.wake)
            engine.partitions[0] = anew
            engine.delivery.set_partitions((anew,))
            async with asyncio.TaskGroup() as tasks:
                committing = tasks.create_task(committer.run())
                engine.send((1, {"note": "x"}))
                await asyncio.sleep(30)
                committing.cancel()

            assert [sent.request for sent in engine.upstream.journal] == [GET, PATCH, GET]
            assert engine.upstream.journal[2].at >= 10.0

    run_virtually(scenario())


def test_turns_that_are_cut_short_leave_nothing_taken() -> None:
    """Neither slots nor budget nor half-open breakers."""

    async def scenario() -> None:
        async with running_engine(upstream_with(*range(5), latency=100.0), limit=1_000) as engine:
            engine.send(*((customer, {"note": "x"}) for customer in range(5)))
            await asyncio.sleep(1.0)
            assert engine.gate.under_way == 1, "a fresh process asks with one turn"
            engine.delivering.cancel()
            await settled()

            assert engine.gate.under_way == 0
            assert engine.gate.admit(now())

    run_virtually(scenario())


def test_idle_engine_does_nothing() -> None:
    """No timers run where nobody waits for time: not with an open circuit either, when no lane is ready."""

    async def scenario() -> None:
        async with running_engine(upstream_with(*range(3), behaviour=between(0, 100, DOWN, PATCH))) as engine:
            engine.send(*((customer, {"note": "x"}) for customer in range(3)))
            await asyncio.sleep(50)
            assert not engine.gate.is_open
            engine.delivery.set_partitions(())
            looked = 0

            def look() -> float:
                nonlocal looked
                looked += 1
                return asyncio.get_running_loop().time()

            engine.delivery._now = look
            await asyncio.sleep(HOUR)
            assert looked < 10

    run_virtually(scenario())


@dataclass(frozen=True)
class Life:
    """What happens: commands (customer, kind, pause after it), troubles of 5 s each, faults of commits."""

    commands: list[tuple[int, str, float]]
    troubles: list[Answer | None]
    faults: list[Fault]
    coalesce: bool

    def change(self, position: int) -> Mapping[str, JsonValue]:
        """What the command at *position* asks for: a field in turn, and a value that says its kind."""
        return {("city", "note", "zip")[position % 3]: f"{self.commands[position][1]} {position}"}

    def answer(self, sent: Sent) -> Answer | None:
        """The upstream's trouble of the moment, else what the kinds of the values ask for."""
        spell = int(sent.at / 5)
        if spell < len(self.troubles) and self.troubles[spell] is not None:
            return self.troubles[spell]
        kinds = {name: str(value).split()[0] for name, value in sent.body.items() if value}
        named = frozenset(name for name, kind in kinds.items() if kind == "named")
        if named or "silent" in kinds.values():
            return Rejected(400, "no", named)
        return SERVER_ERROR if "poison" in kinds.values() else None


lives = st.builds(
    Life,
    commands=st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=4),
            st.sampled_from(["good", "good", "good", "named", "silent", "poison"]),
            st.sampled_from([0.0, 0.0, 0.03, 1.0, 20.0]),
        ),
        min_size=1,
        max_size=25,
    ),
    troubles=st.lists(
        st.sampled_from([None, None, DOWN, SERVER_ERROR, RateLimited(3.0), DeploymentFault(401, "no")]), max_size=12
    ),
    faults=st.lists(st.sampled_from([fault for fault in Fault if fault is not Fault.LOST]), max_size=6),
    coalesce=st.booleans(),
)


async def lived(life: Life) -> Engine:
    """The engine at the end, when everything is settled."""
    upstream = upstream_with(*range(6), behaviour=life.answer)
    async with running_engine(upstream, ledgers=[MemoryLedger(life.faults)], coalesce=life.coalesce) as engine:
        for position, (customer, _, pause) in enumerate(life.commands):
            engine.send((customer, life.change(position)))
            await asyncio.sleep(pause)
        async with asyncio.timeout(3 * HOUR):
            while engine.partitions[0].watermark.unfinished:  # it sends in between
                # Somebody else's traffic: it tells poison from an outage.
                engine.send((5, {"note": f"at {now()}"}))
                await asyncio.sleep(1.0)
    return engine


@settings(max_examples=60)
@given(life=lives)
def test_every_command_has_one_outcome_in_order_whatever_happens(life: Life) -> None:
    """Good ones are applied, bad ones die for their own reason, and the customer holds what the events say."""
    engine = run_virtually(lived(life))
    published = engine.outcomes()
    offsets = [
        int(header(outcome, "ce_causationid" if fate == "event" else "dlq-command-id").split(":")[2])
        for outcome, fate in zip(published, fates(published), strict=True)
    ]
    fate_of = dict(zip(offsets, fates(published), strict=True))

    assert sorted(offsets) == list(range(engine.partitions[0].next_offset))
    for customer in range(6):
        of_customer = [
            offset
            for offset, outcome in zip(offsets, published, strict=True)
            if outcome.key == customer_id(customer).encode()
        ]
        assert of_customer == sorted(of_customer)
    for position, (_, kind, _) in enumerate(life.commands):
        reasons = {"good": set(), "poison": {"retries_exhausted"}}.get(kind, {"rejected"})
        assert fate_of[position] in {"event", *reasons}
    for customer in range(5):
        applied = [
            life.change(position)
            for position, command in enumerate(life.commands)
            if command[0] == customer and fate_of[position] == "event"
        ]
        assert folded(applied).items() <= engine.upstream.customers[customer_id(customer)].items()
