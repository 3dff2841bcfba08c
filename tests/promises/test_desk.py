"""The dead-letter desk, in mid-work and in numbers: what is replayed happens once, and looking stays cheap."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from handlers.errors import Reason
from handlers.record import CommandRecord
from harness.commands import command
from harness.desk_letters import a_letter, publish_letters, wall_clock_ms
from harness.polling import eventually
from harness.topics import Message, Outcome, Topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess
from worker.demo.upstream import customer_id_for

pytestmark = [pytest.mark.real_kafka, pytest.mark.partitions(4)]

REASONS = list(Reason)
FIELDS = ("phone", "city", "zip", "note")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command line ended, in how much time and memory."""

    exit_code: int
    output: str
    seconds: float
    peak_mib: float


@pytest.fixture
def desk(worker_environment: dict[str, str], topics: Topics) -> Callable[..., Ran]:
    """Runs `customer-sync dlq …` as a process of its own; it is killed after *kill_after* seconds."""

    def run(*arguments: str, kill_after: float | None = None) -> Ran:
        begun = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "dlq", *arguments],
            env=worker_environment | topics.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if kill_after is not None:
            try:
                process.wait(kill_after)
            except subprocess.TimeoutExpired:
                process.kill()
        assert process.stdout is not None
        output = process.stdout.read()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0) if process.returncode is None else (0, 0, None)
        exit_code = process.returncode if usage is None else os.waitstatus_to_exitcode(status)
        process.returncode = exit_code
        return Ran(exit_code, output, time.monotonic() - begun, usage.ru_maxrss / 1024 if usage else 0.0)

    return run


async def publish_dead(topics: Topics, number: int) -> None:
    """Commands of all reasons to die of, four a customer, and their dead letters; the group is behind all of them."""
    messages = [
        Message(customer_id_for(index // 4), b"{")
        if REASONS[index % len(REASONS)] is Reason.UNDECODABLE
        else command(customer_id_for(index // 4), changes={FIELDS[index % 4]: str(index)})
        for index in range(number)
    ]
    places = [place.rsplit(":", 2) for place in await topics.publish(messages)]
    now_ms = wall_clock_ms()
    letters = [
        a_letter(
            CommandRecord(topic, int(partition), int(offset), now_ms, one.key_bytes(), one.value_bytes()),
            reason=REASONS[index % len(REASONS)],
            died_at_ms=now_ms,
        )
        for index, (one, (topic, partition, offset)) in enumerate(zip(messages, places, strict=True))
    ]
    await publish_letters(topics, letters)
    async with AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers, group_id=topics.group_id, enable_auto_commit=False
    ) as consumer:
        partitions = [TopicPartition(topics.commands, one) for one in range(topics.partitions)]
        consumer.assign(partitions)
        await consumer.commit({one: (end, "") for one, end in (await consumer.end_offsets(partitions)).items()})


async def test_replays_under_kills_happen_exactly_once(
    request: pytest.FixtureRequest,
    topics: Topics,
    upstream: UpstreamProcess,
    start_worker: Callable[..., WorkerProcess],
    desk: Callable[..., Ran],
) -> None:
    """The desk and the worker are killed again and again: in the end each dead letter has one outcome more."""
    number, kills = request.config.getoption("--dead-letters") // 100, request.config.getoption("--kills")
    chance = random.Random(request.config.getoption("--seed"))
    await upstream.control(generate_customers=number)
    await publish_dead(topics, number)
    settings = {"KAFKA_GROUP_INSTANCE_ID": "worker-1"}
    worker = start_worker(**settings)
    killed = 0
    for _ in range(kills):
        ran = await asyncio.to_thread(
            desk, "replay", "--all", "--force", "--yes", kill_after=0.4 + 1.6 * chance.random()
        )
        killed += ran.exit_code == -9
        worker.sigkill()
        worker = start_worker(**settings)
    last = await asyncio.to_thread(desk, "replay", "--all", "--force", "--yes")
    assert last.exit_code == 0, last.output

    async def all_replayed() -> list[Outcome] | None:
        replays = [one for one in await topics.all_outcomes() if one.is_event or "dlq-replay" in one.headers]
        return replays if len({one.command_id.partition("#")[0] for one in replays}) == number else None

    replays = await eventually(all_replayed, within_seconds=240, what="every dead letter has an outcome more") or []
    # What dies again is replayed again by the next call; each of these replays is one of its own.
    counted = Counter(
        (one.command_id.partition("#")[0], one.headers.get("dlq-replay", one.command_id.partition("#")[2]))
        for one in replays
    )
    events = sum(one.is_event for one in replays)
    print(
        f"\n{number} dead letters of {len(REASONS)} reasons, desk killed {killed} times, worker {kills} times: "
        f"{len(counted)} replays with an outcome, {events} applied, {len(replays) - events} dead again, "
        f"{sum(count > 1 for count in counted.values())} with more than one"
    )
    assert set(counted.values()) == {1}


async def test_listing_many_dead_letters_takes_seconds_and_no_more_memory(
    request: pytest.FixtureRequest, topics: Topics, desk: Callable[..., Ran]
) -> None:
    """A hundredth of them, and then all: the time grows, the memory does not."""
    number: int = request.config.getoption("--dead-letters")
    sizes: Sequence[int] = (number // 100, number - number // 100)
    ran = []
    for size in sizes:
        await publish_dead(topics, size)
        ran.append(await asyncio.to_thread(desk, "list"))
    few, many = ran

    print(
        f"\ndlq list: {sizes[0]:,} dead letters in {few.seconds:.1f} s and {few.peak_mib:.0f} MiB, "
        f"{number:,} in {many.seconds:.1f} s and {many.peak_mib:.0f} MiB"
    )
    assert (few.exit_code, many.exit_code) == (0, 0), many.output
    assert f"{number:,}" in many.output
    assert many.peak_mib < few.peak_mib + 64
