"""Turns are taken: from commands to requests to outcomes, through every way the upstream can fail."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from handlers.merge import fold as folded
from handlers.record import CommandRecord
from harness.builders import a_record, customer_id
from harness.engine import (
    EPOCH_MS,
    Engine,
    Sent,
    between,
    fates,
    header,
    make_partition,
    notes,
    running_engine,
    upstream_with,
)
from harness.memory_ledger import Fault, MemoryLedger
from harness.virtual_time import now, run_virtually, settled
from worker.lanes import LaneState
from worker.upstream.answers import (
    Answer,
    ContractBroken,
    DeploymentFault,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)

GET, PATCH = Request.GET, Request.PATCH
DOWN = Unavailable(503, "status")
SERVER_ERROR = Unavailable(500, "status")
HOUR = 3_600.0


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
