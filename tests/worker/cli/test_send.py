"""`send`: a command as any publisher would publish it."""

import asyncio
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from handlers.command import Command, decode
from handlers.record import CommandRecord
from harness.broker import Broker
from harness.command_line import CommandLine, Finished
from harness.polling import eventually
from harness.topics import Message, Topics
from worker.kafka.partitioner import partition_of

CUSTOMER = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
TAG = "e7a9c1a2-0000-4000-8000-000000000001"
NOWHERE = "127.0.0.1:1"


async def published(topics: Topics) -> list[ConsumerRecord[bytes, bytes]]:
    """Everything on the command topic."""
    records: list[ConsumerRecord[bytes, bytes]] = []
    async with AIOKafkaConsumer(bootstrap_servers=topics.bootstrap_servers, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(topics.commands, number) for number in range(topics.partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)

        async def read() -> bool:
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                records.extend(batch)
            return len(records) >= int(sum(ends.values()))

        await eventually(read, within_seconds=20, what="all commands are read")
    return records


def as_command(record: ConsumerRecord[bytes, bytes]) -> Command:
    """The record as the worker would read it."""
    return decode(
        CommandRecord(
            record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers
        )
    )


class TestPublishing:
    """What arrives at the command topic."""

    async def test_options_become_one_valid_command(self, on_topics: CommandLine, topics: Topics) -> None:
        """Set, clear and tag; with CloudEvents attributes; on the partition of Kafka's murmur2."""
        finished = await on_topics.along(
            *("send", CUSTOMER, "--set", "email=billing@acme.com", "--set", "note=", "--clear", "phone"),
            *("--tag", f"{TAG}=VIP", "--priority", "bulk", "--expires", "15m", "--json"),
        )

        assert finished.exit_code == 0, finished.errors
        (record,) = await published(topics)
        command = as_command(record)
        told = json.loads(finished.output)
        assert command.changes == {
            "email": "billing@acme.com",
            "note": "",
            "phone": None,
            "tags": [{"id": TAG, "name": "VIP"}],
        }
        assert command.priority == "bulk"
        assert command.expires_at_ms is not None
        assert 0 < command.expires_at_ms - record.timestamp <= 15 * 60_000
        assert (command.id, command.source) == (told["command_id"], "customer-sync/send")
        assert (record.topic, record.partition, record.offset) == (told["topic"], told["partition"], told["offset"])
        assert record.partition == partition_of(CUSTOMER.encode(), topics.partitions)

    async def test_id_source_and_expiry_are_taken_as_given(self, on_topics: CommandLine, topics: Topics) -> None:
        """Whoever repeats a command on purpose needs to say the id."""
        await on_topics.along(
            *("send", CUSTOMER, "--clear", "note", "--id", "order-4711", "--source", "//crm/orders"),
            *("--expires", "2999-01-01T00:00:00Z"),
        )

        (record,) = await published(topics)
        command = as_command(record)
        assert command.identity == ("//crm/orders", "order-4711")
        assert command.expires_at_ms == 32_472_144_000_000

    async def test_without_cloudevents_the_id_is_the_records_place(
        self, on_topics: CommandLine, topics: Topics
    ) -> None:
        """That is what the outcome will carry, so it is what is told."""
        finished = await on_topics.along("send", CUSTOMER, "--clear", "note", "--no-cloudevents", "--json")

        (record,) = await published(topics)
        assert record.headers == ()
        assert json.loads(finished.output)["command_id"] == f"{record.topic}:{record.partition}:{record.offset}"

    @pytest.mark.parametrize(
        "document", ['{"vatNumber": "DE1"}', "FILE", "-"], ids=["as text", "as a file", "from standard input"]
    )
    async def test_changes_come_as_json(
        self,
        on_topics: CommandLine,
        topics: Topics,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        document: str,
    ) -> None:
        """For values that are awkward to quote; options add to them."""
        (tmp_path / "changes.json").write_text('{"vatNumber": "DE1"}')
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"vatNumber": "DE1"}')))
        argument = str(tmp_path / "changes.json") if document == "FILE" else document

        finished = await on_topics.along("send", CUSTOMER, "--changes", argument, "--no-tags")

        assert finished.exit_code == 0, finished.errors
        (record,) = await published(topics)
        assert as_command(record).changes == {"vat_number": "DE1", "tags": []}

    async def test_raw_value_is_sent_as_it_is(self, on_topics: CommandLine, topics: Topics) -> None:
        """To try what becomes of a broken one; nothing is validated."""
        finished = await on_topics.along("send", CUSTOMER, "--raw", '{"broken": ')

        assert finished.exit_code == 0, finished.errors
        (record,) = await published(topics)
        assert (record.key, record.value) == (CUSTOMER.encode(), b'{"broken": ')

    async def test_refused_command_is_sent_with_no_validate(self, on_topics: CommandLine, topics: Topics) -> None:
        """A publisher's tests want to see the dead letter."""
        finished = await on_topics.along("send", CUSTOMER, "--set", "emial=x", "--no-validate")

        assert finished.exit_code == 0, finished.errors
        (record,) = await published(topics)
        assert json.loads(record.value or b"")["changes"] == {"emial": "x"}

    @pytest.mark.real_kafka
    async def test_topic_that_does_not_exist_is_not_created(self, on_topics: CommandLine, topics: Topics) -> None:
        """Brokers that create topics on request would make one with their defaults."""
        on_topics.give(COMMANDS_TOPIC=f"{topics.commands}.typo")

        finished = await on_topics.along("send", CUSTOMER, "--clear", "note")

        assert finished.exit_code == 1
        assert f"error: topic {topics.commands}.typo: does not exist" in finished.errors
        assert "customer-sync topics create" in finished.errors

    @pytest.mark.real_kafka
    async def test_record_too_large_for_the_topic_is_a_failure(self, on_topics: CommandLine, tmp_path: Path) -> None:
        """The broker decides; the message says what to do."""
        (tmp_path / "changes.json").write_text(json.dumps({"note": "x" * 3_000_000}))

        finished = await on_topics.along("send", CUSTOMER, "--changes", str(tmp_path / "changes.json"))

        assert finished.exit_code == 1
        assert "max.message.bytes" in finished.errors


class TestWaiting:
    """`--wait` shows what became of the command, and ends with a code that says it."""

    async def sent_and_answered(
        self, on_topics: CommandLine, topics: Topics, topic: str, headers: Mapping[str, str], *options: str
    ) -> Finished:
        """Sends with `--wait`; then, as the worker would, publishes an outcome with *headers*."""

        async def answer() -> None:
            async def is_published() -> bool:
                return len(await published(topics)) == 1

            await eventually(is_published, within_seconds=20, what="the command is published")
            outcome = [(name, value.encode()) for name, value in headers.items()]
            unrelated = [("ce_causationid", b"another"), ("dlq-command-id", b"another")]
            await topics.publish([Message(CUSTOMER, {}, unrelated), Message(CUSTOMER, {}, outcome)], topic=topic)

        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(
                on_topics.along("send", CUSTOMER, "--clear", "note", "--id", "c-1", "--wait", "20", *options)
            )
            tasks.create_task(answer())
        return sending.result()

    async def test_event_is_success(self, on_topics: CommandLine, topics: Topics) -> None:
        """The command was applied."""
        finished = await self.sent_and_answered(on_topics, topics, topics.events, {"ce_causationid": "c-1"})

        assert finished.exit_code == 0, finished.errors
        assert "event in" in finished.output

    async def test_dead_letter_is_failure(self, on_topics: CommandLine, topics: Topics) -> None:
        """With its reason, and the whole outcome in JSON."""
        headers = {"dlq-command-id": "c-1", "dlq-reason": "rejected", "dlq-error": "status 409"}
        finished = await self.sent_and_answered(on_topics, topics, topics.dead_letter, headers, "--json")

        assert finished.exit_code == 1
        outcome: dict[str, Any] = json.loads(finished.output)["outcome"]
        assert (outcome["outcome"], outcome["reason"], outcome["error"]) == ("dead_letter", "rejected", "status 409")

    async def test_no_outcome_in_time_has_a_code_of_its_own(self, on_topics: CommandLine) -> None:
        """Neither success nor failure: nobody knows yet."""
        finished = await on_topics.along("send", CUSTOMER, "--clear", "note", "--wait", "0.2")

        assert finished.exit_code == 4
        assert "sent command" in finished.output
        assert "within 0.2 seconds" in finished.errors


class TestRefusal:
    """What is refused before anything is sent: no Kafka is asked."""

    @pytest.fixture(autouse=True)
    def _nowhere(self, customer_sync: CommandLine) -> None:
        customer_sync.give(KAFKA_BOOTSTRAP_SERVERS=NOWHERE)

    def test_all_problems_are_named_as_the_worker_names_them(self, customer_sync: CommandLine) -> None:
        """And no value is repeated: it may be personal."""
        finished = customer_sync("send", CUSTOMER, "--set", "emial=me@home.org", "--set", "email=not an address")

        assert finished.exit_code == 1
        assert "$.changes.emial" in finished.errors
        assert "did you mean email?" in finished.errors
        assert "$.changes.email" in finished.errors
        assert "me@home.org" not in finished.errors
        assert "not an address" not in finished.errors

    @pytest.mark.parametrize(
        "arguments",
        [
            pytest.param((), id="nothing to change"),
            pytest.param(("--set", "email"), id="no value"),
            pytest.param(("--set", "=x"), id="no field"),
            pytest.param(("--set", "note=x", "--clear", "note"), id="set and cleared"),
            pytest.param(("--set", "note=x", "--changes", '{"note": "y"}'), id="set twice"),
            pytest.param(("--tag", "VIP"), id="a tag without id"),
            pytest.param(("--tag", f"{TAG}=VIP", "--no-tags"), id="tags and none"),
            pytest.param(("--changes", "{"), id="changes that are no JSON"),
            pytest.param(("--changes", "/nowhere.json"), id="changes in no file"),
            pytest.param(("--clear", "note", "--wait", "0"), id="no time to wait"),
            pytest.param(("--raw", "x", "--clear", "note"), id="raw and more"),
            pytest.param(("--clear", "note", "--no-cloudevents", "--id", "1"), id="an id with nowhere to go"),
        ],
    )
    def test_misuse_is_a_usage_error(self, customer_sync: CommandLine, arguments: tuple[str, ...]) -> None:
        """Exit code 2, before settings, validation or Kafka."""
        finished = customer_sync("send", CUSTOMER, *arguments)

        assert finished.exit_code == 2, finished.errors
        assert "Traceback" not in finished.errors

    def test_kafka_that_is_not_there_is_told_in_one_line(self, customer_sync: CommandLine) -> None:
        """The address, and where it is set; none of the client library's log."""
        finished = customer_sync("send", CUSTOMER, "--clear", "note")

        assert finished.exit_code == 3
        assert finished.errors.count("\n") == 1
        assert NOWHERE in finished.errors
        assert "KAFKA_BOOTSTRAP_SERVERS" in finished.errors


@pytest.mark.real_kafka
async def test_two_publishers_agree_on_the_partition(on_topics: CommandLine, topics: Topics, broker: Broker) -> None:
    """The CLI and a librdkafka client with the contract's partitioner put one customer on one partition."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "partitioner": "murmur2_random"})
    producer.produce(topics.commands, key=CUSTOMER.encode(), value=b"{}")
    assert producer.flush(20) == 0
    await on_topics.along("send", CUSTOMER, "--clear", "note")

    first, second = await published(topics)

    assert first.partition == second.partition
