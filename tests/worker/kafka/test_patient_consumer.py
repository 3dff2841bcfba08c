"""Reading that leaves others their turn."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from worker.kafka.consumer import PatientConsumer

PARTITION = TopicPartition("customer.update", 0)


async def test_others_have_their_turn_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that are fetched come at once: heartbeats must not wait until the last of them is handed on."""

    async def fetched(*_: Any, **__: Any) -> dict[TopicPartition, list[bytes]]:  # noqa: ANN401 -- as aiokafka has it
        return {PARTITION: [b"a record"]}

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", fetched)
    consumer = PatientConsumer(bootstrap_servers="localhost:1")
    turns = 0

    async def heartbeat() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(heartbeat())
        for _ in range(10):
            assert await consumer.getmany()
        beating.cancel()
    await consumer.stop()

    assert turns >= 10
