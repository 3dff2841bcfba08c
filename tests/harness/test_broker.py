"""The broker of the tests is what the tests take it for."""

import pytest
from aiokafka import AIOKafkaProducer

from harness.broker import Broker, await_answer
from harness.topics import Message, Topics

CUSTOMER = "5eed0000-0000-4000-8000-000000000001"


async def publish_events(topics: Topics, *names: str) -> None:
    """Publishes what a worker would."""
    await topics.publish(
        [Message(CUSTOMER, {}, headers=[("ce_causationid", name.encode())]) for name in names], topic=topics.events
    )


async def test_what_is_published_is_read_back_in_order(topics: Topics) -> None:
    """Records come back by partition and offset, with their headers."""
    coordinates = await topics.publish([Message(CUSTOMER, {"number": n}) for n in range(3)])
    await publish_events(topics, "one", "two")

    outcomes = await topics.read_outcomes(2)
    assert [outcome.command_id for outcome in outcomes] == ["one", "two"]
    assert all(outcome.is_event and outcome.customer_id == CUSTOMER for outcome in outcomes)
    assert [one.rsplit(":", 1)[1] for one in coordinates] == ["0", "1", "2"]


async def test_waiting_for_outcomes_that_do_not_come_says_what_was_there(topics: Topics) -> None:
    """A failure names what was found, so that it can be understood without a second run."""
    await publish_events(topics, "one")

    with pytest.raises(AssertionError, match="2 outcomes") as failure:
        await topics.read_outcomes(2, within_seconds=1)
    assert failure.value.__notes__ == ["1 outcomes were there: ['one event']"]


@pytest.mark.partitions(1)
@pytest.mark.real_kafka
async def test_a_test_may_ask_for_its_number_of_partitions(topics: Topics) -> None:
    """Customers of one partition are what the order per customer is tested on."""
    coordinates = await topics.publish([Message(f"customer {n}", {}) for n in range(4)])

    assert [one.split(":", 1)[1] for one in coordinates] == ["0:0", "0:1", "0:2", "0:3"]


@pytest.mark.real_kafka
async def test_an_aborted_transaction_is_not_read(topics: Topics) -> None:
    """Transactions are real: a reader of what is committed does not see what was aborted."""
    producer = AIOKafkaProducer(bootstrap_servers=topics.bootstrap_servers, transactional_id=topics.group_id)
    async with producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topics.events, b"{}", headers=[("ce_causationid", b"aborted")])
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topics.events, b"{}", headers=[("ce_causationid", b"committed")])

    assert [one.command_id for one in await topics.all_outcomes()] == ["committed"]
    everything = await topics.all_outcomes(isolation_level="read_uncommitted")
    assert sorted(one.command_id for one in everything) == ["aborted", "committed"]


@pytest.mark.real_kafka
@pytest.mark.parametrize("gracefully", [pytest.param(True, id="stopped"), pytest.param(False, id="killed")])
async def test_a_restarted_broker_has_its_address_and_data(broker: Broker, topics: Topics, *, gracefully: bool) -> None:
    """Tests of broker restarts need the same broker back."""
    if not broker.can_restart:
        pytest.skip(f"not ours to restart: {broker.describe()}")
    await publish_events(topics, "before")

    broker.stop(gracefully=gracefully)
    with pytest.raises(AssertionError, match="Kafka answers"):
        await_answer(broker.bootstrap_servers, within_seconds=0.5)
    broker.start()
    await publish_events(topics, "after")

    assert [one.command_id for one in await topics.read_outcomes(2)] == ["before", "after"]
