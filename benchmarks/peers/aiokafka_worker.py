"""A peer: an aiokafka loop that groups each batch by key. Keys run side by side, the commands of one key in a row.

The next batch is fetched when this one is settled, so that offsets can be committed in order: the usual way.
"""

import asyncio
import json
from collections import defaultdict

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from job import ENVIRONMENT, IN_FLIGHT, apply, event_of, make_session

BATCH = 4 * IN_FLIGHT


async def main() -> None:
    """Works until it is ended."""
    servers = ENVIRONMENT["KAFKA_BOOTSTRAP_SERVERS"]
    consumer = AIOKafkaConsumer(
        ENVIRONMENT["COMMANDS_TOPIC"],
        bootstrap_servers=servers,
        group_id=ENVIRONMENT["KAFKA_GROUP_ID"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    async with make_session() as session, AIOKafkaProducer(bootstrap_servers=servers) as producer, consumer:
        slots = asyncio.Semaphore(IN_FLIGHT)
        while True:
            batches = await consumer.getmany(timeout_ms=1000, max_records=BATCH)
            by_key: dict[bytes, list[ConsumerRecord]] = defaultdict(list)
            for records in batches.values():
                for record in records:
                    by_key[record.key].append(record)
            async with asyncio.TaskGroup() as tasks:
                for records in by_key.values():
                    tasks.create_task(settle(session, producer, slots, records))
            if batches:
                await consumer.commit()


async def settle(
    session: aiohttp.ClientSession, producer: AIOKafkaProducer, slots: asyncio.Semaphore, records: list[ConsumerRecord]
) -> None:
    """The commands of one customer, one after the other."""
    async with slots:
        for record in records:
            customer = await apply(session, json.loads(record.value))
            value, headers = event_of(record.topic, record.partition, record.offset, customer)
            await producer.send_and_wait(ENVIRONMENT["EVENTS_TOPIC"], value, key=record.key, headers=headers)


if __name__ == "__main__":
    asyncio.run(main())
