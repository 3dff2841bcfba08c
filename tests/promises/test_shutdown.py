"""How a worker ends: by SIGTERM without loss or delay, by a second one at once, by a fatal error with a clear line."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.broker import Broker, free_port
from harness.commands import command
from harness.follower import follow
from harness.judging import lost, repeated
from harness.load import load
from harness.reaper import Reaper
from harness.settling import CUSTOMERS, new_customer, settle
from harness.stage import Stage
from harness.topics import create_topics
from harness.upstream_process import UpstreamProcess


@pytest.fixture(autouse=True)
def _no_worker_is_left(stage: Stage) -> Iterator[None]:
    yield
    stage.end_workers()


@pytest.mark.real_kafka
async def test_sigterm_finishes_what_is_under_way_and_hands_over_quickly(stage: Stage) -> None:
    """Requests under way are finished and committed, the group is left, and a peer has it all within seconds."""
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0.3)
    async with follow(stage.topics) as follower:
        async with load(stage.topics, customers=50, per_second=50, seed=1) as commands:
            first = await stage.start_ready_worker()
            await first.settles_more()
            peer = await stage.start_ready_worker()
            await peer.settles_more()
            await first.settles_more()

            first.sigterm()
            begun = time.monotonic()
            exit_code = await first.wait()
            seconds = time.monotonic() - begun
            await peer.settles_more()
            taken_over = time.monotonic() - begun
        await follower.of(commands.command_ids)

    print(f"ended {seconds:.2f} s after SIGTERM, the peer settled the next command {taken_over:.2f} s after it")
    assert exit_code == 0
    assert seconds < 8
    assert taken_over < 9  # a session that has to time out takes ten
    outcomes = await stage.topics.all_outcomes()
    assert lost(commands.published, outcomes) == []
    assert repeated(outcomes) == {}
    journal = await stage.upstream.journal()
    assert [one for one in journal if one["status"] is None] == []
    assert [line["event"] for line in first.records()][-1] == "stopped"


async def test_a_request_that_hangs_does_not_outlast_the_grace_period(stage: Stage) -> None:
    """What is not finished by then is the successor's work."""
    await stage.upstream.control(generate_customers=CUSTOMERS, faults=[{"effect": {"kind": "hang"}}])
    worker = await stage.start_ready_worker(SHUTDOWN_GRACE_SECONDS="4", UPSTREAM_TIMEOUT_SECONDS="60")
    ids = await stage.topics.publish([command(new_customer(), phone="1")])
    await stage.upstream.is_asked()

    worker.sigterm()
    begun = time.monotonic()
    assert await worker.wait() == 0
    seconds = time.monotonic() - begun

    assert seconds < 7
    await stage.upstream.control(faults=[])
    await stage.start_ready_worker()
    async with follow(stage.topics) as follower:
        (outcome,) = await follower.of(ids)
    assert outcome.is_event


async def test_a_second_sigterm_cuts_it_short(stage: Stage) -> None:
    """Whoever is in a hurry gets it, and nothing is lost by it."""
    await stage.upstream.control(generate_customers=CUSTOMERS, faults=[{"effect": {"kind": "hang"}}])
    worker = await stage.start_ready_worker(SHUTDOWN_GRACE_SECONDS="60", UPSTREAM_TIMEOUT_SECONDS="60")
    ids = await stage.topics.publish([command(new_customer(), phone="1")])
    await stage.upstream.is_asked()

    worker.sigterm()
    await worker.says("stopping")
    worker.sigterm()
    begun = time.monotonic()
    assert await worker.wait() == 0

    assert time.monotonic() - begun < 15
    await stage.upstream.control(faults=[])
    await stage.start_ready_worker()
    async with follow(stage.topics) as follower:
        (outcome,) = await follower.of(ids)
    assert outcome.is_event


async def test_a_worker_that_has_just_begun_ends_by_sigterm_as_well(stage: Stage) -> None:
    """Before it has a partition, before it has found Kafka."""
    nowhere = stage.start_worker(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")
    await nowhere.wait_for_page("/livez", 200)
    nowhere.sigterm()
    begun = time.monotonic()
    assert await nowhere.wait() == 0
    assert time.monotonic() - begun < 15

    young = stage.start_worker()
    await young.wait_for_page("/livez", 200)
    young.sigterm()
    assert await young.wait() == 0


@pytest.mark.parametrize(
    ("settings", "exit_code", "words"),
    [
        pytest.param({"COMMANDS_TOPIC": "not.there"}, 1, ["not.there", "topics create"], id="no command topic"),
        pytest.param({"DEAD_LETTER_TOPIC": "not.there"}, 1, ["not.there", "topics create"], id="no dead-letter topic"),
        pytest.param({"UPSTREAM_TOKEN": ""}, 2, ["UPSTREAM_TOKEN"], id="no token"),
        pytest.param(
            {"UPSTREAM_TOKEN": "", "UPSTREAM_TOKEN_FILE": "/not/there"}, 2, ["UPSTREAM_TOKEN_FILE"], id="no file"
        ),
        pytest.param(
            {"UPSTREAM_BASE_URL": "nowhere", "COALESCE": "perhaps"}, 2, ["UPSTREAM_BASE_URL", "COALESCE"], id="settings"
        ),
        pytest.param({"HTTP_PORT": "1", "HTTP_HOST": "192.0.2.1"}, 1, ["HTTP_PORT"], id="an address that is not ours"),
    ],
)
async def test_a_fatal_error_ends_the_process_with_one_clear_line(
    stage: Stage, settings: dict[str, str], exit_code: int, words: list[str]
) -> None:
    """What is wrong and what to do, a code that scripts can tell apart, and no traceback."""
    worker = stage.start_worker(**settings)

    assert await worker.wait(within_seconds=20) == exit_code
    log = worker.log()
    assert all(word in log for word in words)
    assert "Traceback" not in log


async def test_a_port_that_is_taken_ends_the_process_with_one_clear_line(stage: Stage) -> None:
    """Two workers on one host, most often."""
    await stage.upstream.control(generate_customers=CUSTOMERS, faults=[])
    first = await stage.start_ready_worker()
    second = stage.start_worker(HTTP_PORT=str(first.port))

    assert await second.wait(within_seconds=20) == 1
    assert "HTTP_PORT" in second.log()
    assert "Traceback" not in second.log()
    await settle(stage, command(new_customer(), phone="1"))


@pytest.mark.chaos
async def test_without_kafka_the_process_ends_after_a_minute(stage: Stage) -> None:
    """Whoever runs it starts it again."""
    worker = stage.start_worker(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")

    assert await worker.wait(within_seconds=90) == 3
    assert "KAFKA_BOOTSTRAP_SERVERS" in worker.log()
    assert "Traceback" not in worker.log()


@pytest.mark.chaos
@pytest.mark.real_kafka
async def test_a_worker_without_kafka_ends_within_its_grace_period(stage: Stage, broker: Broker) -> None:
    """Nobody answers its commit, nobody its farewell: it goes all the same."""
    if not broker.can_restart:
        pytest.skip(f"cannot be stopped: {broker.describe()}")
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0.05)
    worker = await stage.start_ready_worker(SHUTDOWN_GRACE_SECONDS="15")
    async with load(stage.topics, customers=50, per_second=50, seed=1):
        await worker.settles_more()
        await asyncio.to_thread(broker.stop, gracefully=False)
        worker.sigterm()
        begun = time.monotonic()
        exit_code = await worker.wait(within_seconds=60)
        seconds = time.monotonic() - begun
        await asyncio.to_thread(broker.start)

    assert exit_code == 0
    assert seconds < 20
    assert "Traceback" not in worker.log()


@pytest.mark.real_kafka
async def test_a_dead_letter_that_kafka_refuses_as_well_ends_the_process(
    broker: Broker,
    upstream: UpstreamProcess,
    reaper: Reaper,
    worker_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """Nothing may be committed for a command that has no outcome: the worker stops, and says what to do."""
    topics = await create_topics(broker, partitions=1, dead_letter_configs={"max.message.bytes": "2000"})
    stage = Stage(
        topics=topics,
        upstream=upstream,
        environment=worker_environment,
        directory=tmp_path,
        reaper=reaper,
        logs={},
    )
    await upstream.control(generate_customers=CUSTOMERS)
    worker = await stage.start_ready_worker()
    await settle(stage, command(new_customer(), phone="1"))
    ids = await topics.publish([command(new_customer(), nobody_knows="x" * 5_000)])

    assert await worker.wait() == 1
    fatal = worker.records()[-1]
    assert fatal["event"] == "fatal"
    assert "max.message.bytes" in fatal["error"]
    assert "Traceback" not in worker.log()
    assert [one for one in await topics.all_outcomes() if one.command_id in ids] == []
    assert await topics.committed() == {0: 1}
