"""What the worker changes about aiokafka's consumer."""

from aiokafka import AIOKafkaConsumer

from worker.kafka.consumer import leave_on_stop


async def test_a_consumer_that_has_not_started_may_be_told_to_leave() -> None:
    """A worker that is stopped while it starts has no group yet: that is no error."""
    consumer = AIOKafkaConsumer()

    leave_on_stop(consumer)
    await consumer.stop()
