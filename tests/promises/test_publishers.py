"""Publishers compress, partition, copy and abort as they like; what they publish is a command or a dead letter."""

import pytest
import pytest_asyncio

from harness.commands import cloud_event, command
from harness.follower import follow
from harness.publisher import publish
from harness.raw_records import publish_with_header_name
from harness.settling import CUSTOMERS, new_customer, only_outcomes, requests_of, settle
from harness.stage import Stage
from harness.topics import Message
from harness.worker_process import WorkerProcess


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def worker(stage: Stage) -> WorkerProcess:
    """One worker for all tests."""
    await stage.upstream.control(generate_customers=CUSTOMERS)
    return await stage.start_ready_worker()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_publishers_compress_as_they_like(stage: Stage, codec: str) -> None:
    """Each codec that Kafka knows, as librdkafka writes it."""
    customers = [new_customer() for _ in range(50)]
    messages = [command(customer, note="squeeze " * 50) for customer in customers]
    ids = await publish(
        stage.topics.bootstrap_servers, stage.topics.commands, messages, compression_type=codec, linger_ms=50
    )
    async with follow(stage.topics) as follower:
        events = await only_outcomes(follower, ids)

    assert all(event.is_event for event in events)


async def test_a_record_on_the_wrong_partition_is_applied_counted_and_reported(
    stage: Stage, worker: WorkerProcess
) -> None:
    """With the publisher's ce_source, so that somebody can be told."""
    customer = new_customer()
    (right,) = await settle(stage, command(customer, phone="right"))
    partition = int(right.command_id.split(":")[1])
    before = await worker.metric("customer_sync_commands_misplaced_total")
    headers = cloud_event("misplaced", source="/billing")
    await stage.topics.publish(
        [command(customer, headers, partition=(partition + 1) % stage.topics.partitions, phone="wrong")]
    )
    async with follow(stage.topics) as follower:
        (event,) = await only_outcomes(follower, ["misplaced"])

    assert event.payload["phone"] == "wrong"
    assert await worker.metric("customer_sync_commands_misplaced_total") == before + 1
    (warning,) = [line for line in worker.records() if line["event"] == "command_on_wrong_partition"]
    assert (warning["level"], warning["ce_source"]) == ("warning", "/billing")


async def test_a_header_whose_name_is_no_utf8_stops_nothing(stage: Stage) -> None:
    """The command is applied, a bad one is a dead letter, and what comes behind them is read as ever."""
    customer = new_customer()
    (first,) = await settle(stage, command(customer, phone="1"))
    partition = int(first.command_id.split(":")[1])
    good = command(customer, [("x-before", b"1")], partition=partition, phone="2")
    bad = Message(customer, b"no JSON", headers=[("x-before", b"1")], partition=partition)
    ids = [
        await publish_with_header_name(stage.topics, good, b"x-\xff\xfe"),
        await publish_with_header_name(stage.topics, bad, b"x-\xff\xfe"),
        *await stage.topics.publish([command(customer, phone="3")]),
    ]
    async with follow(stage.topics) as follower:
        event, dead, last = await only_outcomes(follower, ids)

    assert (event.payload["phone"], last.payload["phone"]) == ("2", "3")
    assert (dead.reason, dead.value) == ("undecodable", b"no JSON")
    assert dead.raw_headers[:2] == (("x-before", b"1"), ("x-\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}", b""))


async def test_a_record_with_neither_key_nor_value_is_a_dead_letter_with_neither(stage: Stage) -> None:
    """Kafka takes such records, and so do readers of dead letters."""
    ids = await publish(stage.topics.bootstrap_servers, stage.topics.commands, [Message(None, None)])
    async with follow(stage.topics) as follower:
        (dead,) = await only_outcomes(follower, ids)

    assert dead.reason == "undecodable"
    assert (dead.key, dead.value) == (None, None)


async def test_a_copy_of_a_command_gets_no_outcome_of_its_own(stage: Stage) -> None:
    """The same source, id and bytes: settled once. The same id with other bytes may be a lost change: invalid."""
    customer = new_customer()
    headers = cloud_event("copied")
    places = await stage.topics.publish(
        [
            command(customer, headers, phone="1"),
            command(customer, headers, phone="1"),
            command(customer, headers, phone="2"),
            command(customer, phone="last"),
        ]
    )
    async with follow(stage.topics) as follower:
        await follower.of([places[-1]])
        await follower.until(lambda _: len(follower.all_of("copied")) >= 2, what="an event and a dead letter")

    reasons = {outcome.reason for outcome in follower.all_of("copied")}
    assert reasons == {None, "invalid"}
    assert len(follower.all_of("copied")) == 2


async def test_a_replay_is_a_command_of_its_own_that_happens_once(stage: Stage) -> None:
    """Its id counts the replays; the same replay again is a copy."""
    customer = new_customer()
    value = command(customer, phone="replayed").value
    headers = [("dlq-command-id", b"some.topic:0:7"), ("dlq-replay", b"2")]
    places = await stage.topics.publish(
        [
            Message(customer, value, headers=headers),
            Message(customer, value, headers=headers),
            command(customer, city="x"),
        ]
    )
    async with follow(stage.topics) as follower:
        await follower.of([places[-1]])

    (event,) = follower.all_of("some.topic:0:7#2")
    assert event.payload["phone"] == "replayed"


@pytest.mark.real_kafka
async def test_records_of_an_aborted_transaction_are_no_commands(stage: Stage) -> None:
    """Commands are read with isolation_level=read_committed."""
    customer = new_customer()
    aborted = await stage.topics.publish_in_transaction([command(customer, phone="aborted")], commit=False)
    committed = await stage.topics.publish_in_transaction([command(customer, phone="committed")], commit=True)
    async with follow(stage.topics) as follower:
        await only_outcomes(follower, committed)

    assert follower.all_of(aborted[0]) == []
    assert [body.get("phone") for _, body in await requests_of(stage, customer) if body] == ["committed"]
