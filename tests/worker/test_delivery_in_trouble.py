"""Turns while the upstream fails in every way that it can: nothing is lost to an outage, and poison costs itself."""

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from handlers.record import OutcomeKind
from harness.builders import customer_id
from harness.engine import (
    Sent,
    between,
    fates,
    header,
    notes,
    running_engine,
    upstream_with,
)
from harness.virtual_time import now, run_virtually
from worker.pacing.circuit_breaker import CircuitState
from worker.upstream.answers import (
    Answer,
    DeploymentFault,
    NotFound,
    RateLimited,
    Request,
    Unavailable,
)

GET, PATCH = Request.GET, Request.PATCH
DOWN = Unavailable(503, "status")
SERVER_ERROR = Unavailable(500, "status")
HOUR = 3_600.0


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
