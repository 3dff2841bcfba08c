"""Reading topics without a group: which records, within which bounds, and how trouble is told."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from harness.broker import Broker, unique
from harness.polling import eventually
from harness.raw_records import publish_with_header_name
from harness.topics import Message, Topics
from worker.kafka.errors import KafkaRefused, KafkaUnreachable
from worker.kafka.reading import Range, Record, TopicReader, librdkafka_options


def reader_of(
    bootstrap_servers: str, *, group_id: str = "none", within_seconds: float = 20, protocol: str = "PLAINTEXT"
) -> TopicReader:
    """A reader that asks about no particular group."""
    options = librdkafka_options(bootstrap_servers=bootstrap_servers, client_id="test", security_protocol=protocol)
    return TopicReader(
        options,
        group_id=group_id,
        within_seconds=within_seconds,
        aiokafka_options={"bootstrap_servers": bootstrap_servers, "client_id": "test"},
    )


@pytest.fixture
def reader(topics: Topics) -> Iterator[TopicReader]:
    """A reader of the test's topics, which asks about its group."""
    with reader_of(topics.bootstrap_servers, group_id=topics.group_id) as reader:
        yield reader


def everything(reader: TopicReader, topic: str) -> list[Record]:
    """All that the topic holds."""
    return [record for batch in reader.read(reader.ranges(topic)) for record in batch]


async def commit(topics: Topics, partition: int, offset: int, metadata: str) -> None:
    """Commits for the test's group, as a worker does."""
    async with AIOKafkaConsumer(
        bootstrap_servers=topics.bootstrap_servers, group_id=topics.group_id, enable_auto_commit=False
    ) as consumer:
        consumer.assign([TopicPartition(topics.commands, partition)])
        await consumer.commit({TopicPartition(topics.commands, partition): OffsetAndMetadata(offset, metadata)})


class TestRecords:
    """What is handed out."""

    async def test_every_part_of_a_record_is_as_it_was_published(self, topics: Topics, reader: TopicReader) -> None:
        """Nulls stay nulls, and headers keep their order."""
        headers = (("b", b"1"), ("a", b"2"), ("b", None))
        await topics.publish(
            [
                Message("key", {"a": 1}, headers=headers, partition=2, timestamp_ms=1_700_000_000_123),
                Message(None, b"", partition=2, timestamp_ms=1_700_000_000_124),
                Message("gone", None, partition=2, timestamp_ms=1_700_000_000_125),
            ]
        )

        assert everything(reader, topics.commands) == [
            (topics.commands, 2, 0, 1_700_000_000_123, b"key", b'{"a": 1}', headers),
            (topics.commands, 2, 1, 1_700_000_000_124, None, b"", ()),
            (topics.commands, 2, 2, 1_700_000_000_125, b"gone", None, ()),
        ]

    @pytest.mark.partitions(3)
    async def test_records_of_all_partitions_come_in_the_order_of_each(
        self, topics: Topics, reader: TopicReader
    ) -> None:
        """Several batches, none of them lost and none twice."""
        published = 1_000
        await topics.publish([Message(f"{number % 7}", number, partition=number % 3) for number in range(published)])

        records = everything(reader, topics.commands)

        assert len(records) == published
        for partition in range(3):
            offsets = [record.offset for record in records if record.partition == partition]
            assert offsets == list(range(len(offsets)))

    @pytest.mark.real_kafka
    async def test_only_committed_records_are_read(self, topics: Topics, reader: TopicReader) -> None:
        """Also where the partition ends with an aborted transaction and its marker."""
        await topics.publish_in_transaction([Message("a", 1, partition=0), Message("a", 2, partition=0)], commit=True)
        await topics.publish_in_transaction([Message("a", 3, partition=0)], commit=False)

        await eventually(
            lambda: asyncio.to_thread(lambda: reader.ranges(topics.commands)[0].end == 5),
            within_seconds=10,
            what="the markers of both transactions are written",
        )

        assert [record.value for record in everything(reader, topics.commands)] == [b"1", b"2"]

    @pytest.mark.real_kafka
    async def test_header_name_that_is_no_utf8_hides_no_record(self, topics: Topics, reader: TopicReader) -> None:
        """Kafka takes any bytes as a header's name."""
        await publish_with_header_name(topics, Message("a", 1, headers=[("ce_id", b"x")]), b"caf\xe9")
        await topics.publish([Message("a", 2, partition=0)])

        records = everything(reader, topics.commands)

        assert [record.value for record in records] == [b"1", b"2"]
        assert records[0].headers == (("ce_id", b"x"), ("caf\N{REPLACEMENT CHARACTER}", b""))

    async def test_with_a_key_only_its_records_come(self, topics: Topics, reader: TopicReader) -> None:
        """Whichever partition they are in."""
        await topics.publish([Message(f"{number % 5}", number, partition=number % 2) for number in range(50)])

        batches = list(reader.read(reader.ranges(topics.commands), key=b"3"))

        assert sorted(int(record.value or b"") for batch in batches for record in batch) == list(range(3, 50, 5))


class TestBounds:
    """From where, and up to where."""

    async def test_what_comes_after_the_question_is_not_read(self, topics: Topics, reader: TopicReader) -> None:
        """A busy topic has an end all the same."""
        await topics.publish([Message("a", 1, partition=0)])
        ranges = reader.ranges(topics.commands)
        await topics.publish([Message("a", 2, partition=0), Message("b", 3, partition=1)])

        assert [record.value for batch in reader.read(ranges) for record in batch] == [b"1"]

    async def test_range_of_offsets_is_read_alone(self, topics: Topics, reader: TopicReader) -> None:
        """One record can be looked up; a range of nothing holds nothing."""
        await topics.publish([Message("a", number, partition=1) for number in range(10)])

        batches = list(reader.read([Range(topics.commands, 1, 4, 6), Range(topics.commands, 0, 0, 0)]))

        assert [record.value for batch in batches for record in batch] == [b"4", b"5"]

    @pytest.mark.real_kafka
    @pytest.mark.parametrize(
        ("since_ms", "until_ms", "expected"),
        [
            pytest.param(1_700_000_002_000, None, [2, 3, 4], id="since"),
            pytest.param(None, 1_700_000_002_000, [0, 1], id="until, which it does not include"),
            pytest.param(1_700_000_001_500, 1_700_000_003_500, [2, 3], id="both"),
            pytest.param(1_700_000_005_000, None, [], id="after the last record"),
            pytest.param(None, 1_700_000_005_000, [0, 1, 2, 3, 4], id="until after the last record"),
            pytest.param(1_700_000_003_000, 1_700_000_001_000, [], id="the wrong way round"),
        ],
    )
    async def test_bounds_in_time(
        self, topics: Topics, reader: TopicReader, since_ms: int | None, until_ms: int | None, expected: list[int]
    ) -> None:
        """By the records' own times; partitions without any are empty."""
        times = [1_700_000_000_000 + 1_000 * number for number in range(5)]
        await topics.publish(
            [Message("a", number, partition=0, timestamp_ms=time) for number, time in enumerate(times)]
        )

        ranges = reader.ranges(topics.commands, since_ms=since_ms, until_ms=until_ms)

        assert [int(record.value or b"") for batch in reader.read(ranges) for record in batch] == expected

    @pytest.mark.real_kafka
    async def test_progress_ends_with_everything_passed(self, topics: Topics, reader: TopicReader) -> None:
        """Offsets are counted, for those of markers hold no record."""
        await topics.publish_in_transaction([Message("a", number, partition=0) for number in range(300)], commit=True)
        await eventually(
            lambda: asyncio.to_thread(lambda: reader.ranges(topics.commands)[0].end == 301),
            within_seconds=10,
            what="the transaction's marker is written",
        )
        told: list[tuple[int, int]] = []

        list(reader.read(reader.ranges(topics.commands), progress=lambda passed, total: told.append((passed, total))))

        assert told == sorted(told)
        assert told[-1] == (301, 301)

    async def test_reader_reads_again_after_it_was_left_in_the_middle(
        self, topics: Topics, reader: TopicReader
    ) -> None:
        """Nothing of the first reading is seen in the second."""
        await topics.publish([Message("a", number, partition=0) for number in range(500)])
        ranges = reader.ranges(topics.commands)
        for _ in reader.read(ranges):
            break

        assert [record.offset for batch in reader.read(ranges) for record in batch] == list(range(500))


class TestCommitted:
    """What a group has committed, looked at from outside."""

    async def test_partitions_that_were_never_committed_are_left_out(self, topics: Topics, reader: TopicReader) -> None:
        """A group that never was has committed nothing."""
        assert reader.committed(topics.commands) == {}

    @pytest.mark.real_kafka
    async def test_offset_comes_with_its_metadata(self, topics: Topics, reader: TopicReader) -> None:
        """The worker writes there what it has settled out of order."""
        await topics.publish([Message("a", number, partition=1) for number in range(3)])
        for length in range(1, 40):  # the binding of librdkafka reads on behind texts of some lengths
            await commit(topics, 1, 2, "m" * length)

            assert reader.committed(topics.commands) == {1: (2, "m" * length)}


class TestTrouble:
    """One clear reason, and nothing on standard error."""

    @pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:9092"])
    def test_no_broker_is_unreachable(self, address: str, capfd: pytest.CaptureFixture[str]) -> None:
        """The address is named."""
        with reader_of(address, within_seconds=1) as reader, pytest.raises(KafkaUnreachable) as trouble:
            reader.ranges("any")

        assert address in str(trouble.value)
        assert "in state" not in str(trouble.value)
        assert capfd.readouterr() == ("", "")

    def test_silent_broker_costs_no_more_than_the_deadline(self) -> None:
        """A firewall that drops, or another service's port: it accepts and never answers."""
        with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            with reader_of(address, within_seconds=0.3) as reader, pytest.raises(KafkaUnreachable, match="no answer"):
                reader.ranges("any")

    @pytest.mark.broker
    def test_tls_to_a_broker_without_is_unreachable(self, broker: Broker) -> None:
        """The most usual wrong KAFKA_SECURITY_PROTOCOL."""
        reader = reader_of(broker.bootstrap_servers, within_seconds=2, protocol="SSL")

        with reader, pytest.raises(KafkaUnreachable, match="KAFKA_SECURITY_PROTOCOL"):
            reader.ranges("any")

    @pytest.mark.real_kafka
    def test_missing_topic_is_named_and_not_created(self, broker: Broker) -> None:
        """With the command that creates it."""
        name = unique("missing")
        with reader_of(broker.bootstrap_servers) as reader:
            for _ in range(2):
                with pytest.raises(KafkaRefused, match=f"topic {name} does not exist; .*topics create"):
                    reader.ranges(name)

    @pytest.mark.real_kafka
    async def test_broker_that_goes_while_it_is_read_is_unreachable(self, topics: Topics, broker: Broker) -> None:
        """The reader does not wait for ever."""
        if not broker.can_restart:
            pytest.skip("not ours to stop")
        await topics.publish([Message("a", number, partition=0) for number in range(10)])
        with reader_of(broker.bootstrap_servers, within_seconds=3) as reader:
            ranges = reader.ranges(topics.commands)
            broker.stop(gracefully=False)

            with pytest.raises(KafkaUnreachable):
                list(reader.read(ranges))


class TestSecurity:
    """The worker's own settings, in librdkafka's words."""

    def test_user_and_authorities_are_handed_on(self, tmp_path: Path) -> None:
        """A certificate's file may hold its key."""
        options = librdkafka_options(
            bootstrap_servers="kafka:9093",
            client_id="name",
            security_protocol="SASL_SSL",
            sasl=("SCRAM-SHA-512", "user", "password"),
            cafile=tmp_path / "ca.pem",
            certfile=tmp_path / "both.pem",
        )

        assert options == {
            "bootstrap.servers": "kafka:9093",
            "client.id": "name",
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "user",
            "sasl.password": "password",
            "ssl.ca.location": str(tmp_path / "ca.pem"),
            "ssl.certificate.location": str(tmp_path / "both.pem"),
            "ssl.key.location": str(tmp_path / "both.pem"),
        }
