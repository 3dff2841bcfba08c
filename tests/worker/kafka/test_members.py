"""How the members of the group find each other."""

import socket
from collections.abc import Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

from harness.broker import Broker
from harness.polling import eventually
from harness.topics import Topics
from harness.worker_process import WorkerProcess
from worker.kafka.members import Group, GroupReader, announced, announcing, own_address

TOPIC = "customer.update"


def metadata_of(address: str | None, *, had: list[int] | None = None) -> ConsumerProtocolMemberMetadata:
    """What a member tells the group that answers at *address*, and *had* these partitions before."""
    assignor = announcing(lambda: address)
    if had is not None:
        assignor.on_assignment(ConsumerProtocolMemberAssignment(0, [(TOPIC, had)], b""))
        assignor.on_generation_assignment(7)
    return assignor.metadata([TOPIC])


@pytest.mark.parametrize("had", [None, [], [0, 3]])
@pytest.mark.parametrize("address", ["10.1.2.3:8080", "[fd00::17]:80"])
def test_address_is_read_back_whatever_the_member_had_before(address: str, had: list[int] | None) -> None:
    """A first join says nothing of earlier partitions."""
    assert announced(metadata_of(address, had=had).user_data) == address


@pytest.mark.parametrize("had", [None, [], [0, 3]])
def test_member_that_knows_of_no_announcement_reads_what_the_member_had(had: list[int] | None) -> None:
    """In a rolling update the leader may be of the version before."""
    read = StickyPartitionAssignor.parse_member_metadata(metadata_of("10.1.2.3:8080", had=had))

    assert [partition.partition for partition in read.partitions] == (had or [])
    assert read.generation == (-1 if had is None else 7)


def test_member_without_an_address_says_what_it_always_said() -> None:
    """Its host could not be found out: it takes part all the same."""
    assert metadata_of(None).user_data == b""
    assert announced(metadata_of(None, had=[1]).user_data) is None


@pytest.mark.parametrize(
    "address",
    [
        "kafka.example:80",
        "169.254.169.254:80",
        "[fe80::1]:80",
        "224.0.0.1:80",
        "0.0.0.0:80",
        "10.1.2.3",
        "10.1.2.3:0",
        "10.1.2.3:65536",
        "10.1.2.3:80/../x",
        "",
    ],
)
def test_address_that_is_no_host_of_ours_is_not_asked(address: str) -> None:
    """Whoever may join the group could announce anything."""
    assert announced(metadata_of(address).user_data) is None


@pytest.mark.parametrize("user_data", [None, b"", b"\x00", b"\xff" * 40, b"\x00\x00\x00\x00\x00\x00\x00\x01"])
def test_anything_else_is_no_announcement(user_data: bytes | None) -> None:
    """Members of other programs, and of the version before."""
    assert announced(user_data) is None


def test_two_consumers_of_one_process_remember_apart() -> None:
    """aiokafka keeps what an assignor remembers on its class."""
    one, other = announcing(lambda: "10.0.0.1:1"), announcing(lambda: "10.0.0.2:2")
    one.on_assignment(ConsumerProtocolMemberAssignment(0, [(TOPIC, [5])], b""))

    assert other.member_assignment is None


def test_a_consumer_remembers_nothing_of_others_that_use_the_assignor_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would claim their partitions in its first join."""
    monkeypatch.setattr(StickyPartitionAssignor, "member_assignment", [(TOPIC, 3)])
    monkeypatch.setattr(StickyPartitionAssignor, "generation", 7)

    assert announcing(lambda: None).metadata([TOPIC]).user_data == b""


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1")])
async def test_own_address_is_the_one_that_peers_reach(host: str, expected: str) -> None:
    """The one it listens on, or the one on the way to Kafka."""
    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]

        assert await own_address(listener, "127.0.0.1:9092,elsewhere:9092") == f"{expected}:{port}"


async def test_own_address_may_stay_unknown() -> None:
    """No name, no address; the worker works without."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        assert await own_address(listener, "no-such-host.invalid:9092") is None


async def the_group(broker: Broker, topics: Topics, members: int) -> Group:
    """The group, once it is stable with so many members, all of which have said where they answer."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        reader = GroupReader(admin, topics.group_id, topics.commands)

        async def complete() -> Group | None:
            group = await reader.group()
            is_complete = group is not None and group.is_stable and len(group.members) == members
            return group if is_complete else None

        found = await eventually(complete, within_seconds=30, what=f"a stable group of {members}")
        assert found
        return found
    finally:
        await admin.close()


@pytest.mark.real_kafka
async def test_group_tells_where_its_members_answer(
    broker: Broker, topics: Topics, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Each with its partitions."""
    workers = [start_worker(), start_worker()]
    for worker in workers:
        await worker.wait_ready()
    group = await the_group(broker, topics, 2)

    assert {member.address for member in group.members} == {f"127.0.0.1:{worker.port}" for worker in workers}
    assert sorted(number for member in group.members for number in member.partitions) == [0, 1, 2, 3]


@pytest.mark.real_kafka
async def test_static_member_comes_back_elsewhere_without_a_rebalance(
    broker: Broker, topics: Topics, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Another pod under the same name has another address: the group learns it, and nobody else notices."""
    stays = start_worker(KAFKA_GROUP_INSTANCE_ID="sync-0")
    await stays.wait_ready()
    killed = start_worker(KAFKA_GROUP_INSTANCE_ID="sync-1")
    await killed.wait_ready()
    before = await the_group(broker, topics, 2)
    rebalances = await stays.metric("customer_sync_rebalances_total")
    killed.sigkill()
    successor = start_worker(KAFKA_GROUP_INSTANCE_ID="sync-1")
    await successor.wait_ready()
    after = await the_group(broker, topics, 2)

    assert successor.port != killed.port
    assert {member.address for member in after.members} == {f"127.0.0.1:{worker.port}" for worker in (stays, successor)}
    assert {member.partitions for member in after.members} == {member.partitions for member in before.members}
    assert await stays.metric("customer_sync_rebalances_total") == rebalances
