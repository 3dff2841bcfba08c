"""Looking at brokers and topics: what is seen, what is not changed, and how trouble is told."""

import logging
import socket
import ssl
from io import BytesIO

import pytest
from aiokafka.protocol.metadata import MetadataRequest_v5

from harness.broker import Broker, unique
from harness.mock_broker import MockBroker
from harness.reaper import Reaper
from harness.topics import Topics
from worker.kafka.admin import Absence, Group, connect, murmurs, refusal_of_transactions
from worker.kafka.errors import KafkaRefused, KafkaUnreachable
from worker.kafka.protocol import MetadataRequest8, TopicsRequest, operations
from worker.kafka.topics import Role, Topic, differences, plan


def options(bootstrap_servers: str, **more: object) -> dict[str, object]:
    """What `Settings.kafka_client_options` gives."""
    return {"bootstrap_servers": bootstrap_servers, "client_id": "test", **more}


class TestTrouble:
    """One clear reason, and nothing of aiokafka's log."""

    @pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:9092"])
    async def test_no_broker_is_unreachable(self, address: str, caplog: pytest.LogCaptureFixture) -> None:
        """The address is named, with the reason that aiokafka told only its log."""
        with murmurs() as heard, pytest.raises(KafkaUnreachable) as trouble:
            async with connect(options(address), heard, within_seconds=5):
                pass

        assert address in str(trouble.value)
        assert "Unable to bootstrap" not in str(trouble.value)
        assert not caplog.records

    async def test_silent_broker_costs_no_more_than_the_deadline(self) -> None:
        """A firewall that drops, or another service's port: it accepts and never answers."""
        with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
            port = silent.getsockname()[1]
            with murmurs() as heard, pytest.raises(KafkaUnreachable, match="no answer in time"):
                async with connect(options(f"127.0.0.1:{port}"), heard, within_seconds=0.3):
                    pass

    @pytest.mark.broker
    async def test_tls_to_a_broker_without_is_unreachable(self, broker: Broker) -> None:
        """The most usual wrong KAFKA_SECURITY_PROTOCOL."""
        context = ssl.create_default_context()
        secure = options(broker.bootstrap_servers, security_protocol="SSL", ssl_context=context)

        with murmurs() as heard, pytest.raises(KafkaUnreachable, match="KAFKA_SECURITY_PROTOCOL"):
            async with connect(secure, heard, within_seconds=2):
                pass

    def test_log_of_aiokafka_is_as_before_afterwards(self) -> None:
        """A worker in the same process goes on logging."""
        log = logging.getLogger("aiokafka")
        before = (log.propagate, list(log.handlers))

        with murmurs():
            assert not log.propagate

        assert (log.propagate, log.handlers) == before


class TestLooking:
    """What the brokers tell."""

    @pytest.mark.real_kafka
    async def test_topic_is_described_whole(self, topics: Topics) -> None:
        """Partitions, replicas, configuration, permissions."""
        with murmurs() as heard:
            async with connect(options(topics.bootstrap_servers), heard, within_seconds=10) as admin:
                found = await admin.topics([topics.commands, f"{topics.commands}.typo"])

        topic = found[topics.commands]
        assert isinstance(topic, Topic)
        assert (topic.partitions, topic.replication, topic.leaderless) == (topics.partitions, 1, 0)
        assert topic.configs is not None
        assert topic.configs["cleanup.policy"] == "delete"
        assert topic.may is not None
        assert {"READ", "WRITE", "DESCRIBE"} <= topic.may
        assert found[f"{topics.commands}.typo"] is Absence.MISSING

    @pytest.mark.real_kafka
    async def test_group_that_never_was_is_dead(self, broker: Broker) -> None:
        """Asking does not make it."""
        with murmurs() as heard:
            async with connect(options(broker.bootstrap_servers), heard, within_seconds=20) as admin:
                group = await admin.group(unique("group"))

        assert group == Group("Dead", 0, group.may)
        assert group.may is not None
        assert "READ" in group.may

    @pytest.mark.real_kafka
    async def test_transactions_of_a_real_kafka_are_available(self, broker: Broker) -> None:
        """A producer that starts is all it takes."""
        with murmurs():
            transactional_id = f"{unique('group')}.check"

            assert (
                await refusal_of_transactions(options(broker.bootstrap_servers), transactional_id, within_seconds=20)
                is None
            )


class TestCreating:
    """Topics as planned, or the reason why not."""

    @pytest.mark.real_kafka
    async def test_created_topic_is_as_planned_and_has_leaders(self, broker: Broker) -> None:
        """Whoever starts next can use it at once."""
        name = unique("planned")
        wanted = plan(
            Role.DEAD_LETTERS,
            name,
            partitions=3,
            replication=1,
            retention_ms=3_600_000,
            largest_command_bytes=2_000_000,
        )

        with murmurs() as heard:
            async with connect(options(broker.bootstrap_servers), heard, within_seconds=10) as admin:
                assert await admin.create([wanted], dry_run=False) == {name: None}
                await admin.await_leaders([name], within_seconds=10)
                topic = (await admin.topics([name]))[name]

        assert isinstance(topic, Topic)
        assert topic.leaderless == 0
        assert list(differences(wanted, topic)) == []

    @pytest.mark.real_kafka
    async def test_refusal_is_the_brokers_own(self, broker: Broker) -> None:
        """More replicas than brokers."""
        name = unique("refused")
        wanted = plan(
            Role.EVENTS, name, partitions=1, replication=9, retention_ms=3_600_000, largest_command_bytes=2_000_000
        )

        with murmurs() as heard:
            async with connect(options(broker.bootstrap_servers), heard, within_seconds=10) as admin:
                refusals = await admin.create([wanted], dry_run=False)

        assert "replication" in str(refusals[name]).lower()

    @pytest.mark.real_kafka
    async def test_leaders_that_never_come_are_refused_in_time(self, broker: Broker) -> None:
        """A topic that was not created has none."""
        with murmurs() as heard:
            async with connect(options(broker.bootstrap_servers), heard, within_seconds=10) as admin:
                with pytest.raises(KafkaRefused, match="no leaders after"):
                    await admin.await_leaders([unique("nothing")], within_seconds=0.3)

    async def test_broker_that_creates_no_topics_is_told(self, reaper: Reaper) -> None:
        """The embedded broker of the demo names no controller, and aiokafka would stumble over that."""
        wanted = plan(
            Role.EVENTS, "t", partitions=1, replication=1, retention_ms=3_600_000, largest_command_bytes=2_000_000
        )
        mock = MockBroker(reaper)

        with murmurs() as heard:
            async with connect(options(mock.bootstrap_servers), heard, within_seconds=10) as admin:
                group = await admin.group("g")
                with pytest.raises(KafkaRefused, match="create no topics"):
                    await admin.create([wanted], dry_run=False)
        mock.close()

        assert group == Group("unknown", 0, None)


class TestProtocol:
    """Requests that aiokafka has in older versions only."""

    @pytest.mark.parametrize("version", [MetadataRequest8, MetadataRequest_v5])
    def test_asking_for_a_topic_never_creates_it(self, version: type[MetadataRequest8]) -> None:
        """Brokers with auto.create.topics.enable would make one with their defaults."""
        request = TopicsRequest(["t"]).build(version)

        decoded = version.decode(BytesIO(request.encode()))

        assert decoded.topics == ["t"]
        assert decoded.allow_auto_topic_creation is False

    def test_operations_are_read_from_their_bits(self) -> None:
        """READ is 3, WRITE 4, DESCRIBE 8; a broker that does not tell sends the smallest number."""
        assert operations(1 << 3 | 1 << 8) == frozenset({"READ", "DESCRIBE"})
        assert operations(0) == frozenset()
        assert operations(-(2**31)) is None
        assert operations(None) is None
