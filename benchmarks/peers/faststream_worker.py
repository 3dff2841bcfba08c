"""A peer: FastStream as its documentation shows it, one subscriber that publishes what it returns in other words.

Commands of one partition come one after the other, which keeps the order and is slow; `max_workers` would give up the
order.
"""

import asyncio

from faststream import AckPolicy, Context, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from job import ENVIRONMENT, apply, event_of, make_session

broker = KafkaBroker(ENVIRONMENT["KAFKA_BOOTSTRAP_SERVERS"], logger=None)
app = FastStream(broker, logger=None)


@broker.subscriber(
    ENVIRONMENT["COMMANDS_TOPIC"],
    group_id=ENVIRONMENT["KAFKA_GROUP_ID"],
    auto_offset_reset="earliest",
    isolation_level="read_committed",
    ack_policy=AckPolicy.REJECT_ON_ERROR,
)
async def on_command(command: dict, message: KafkaMessage, session=Context()) -> None:  # noqa: ANN001, B008
    """One command."""
    record = message.raw_message
    customer = await apply(session, command)
    value, headers = event_of(record.topic, record.partition, record.offset, customer)
    await broker.publish(
        value,
        ENVIRONMENT["EVENTS_TOPIC"],
        key=record.key,
        headers={name: content.decode() for name, content in headers},
    )


async def main() -> None:
    """Works until it is ended."""
    async with make_session() as session:
        app.context.set_global("session", session)
        await app.run()


if __name__ == "__main__":
    asyncio.run(main())
