"""What `/readyz` says when something other than the upstream is wrong."""

from collections.abc import Callable

import pytest

from harness.broker import Broker
from harness.worker_process import WorkerProcess


@pytest.mark.real_kafka
async def test_worker_that_kafka_does_not_answer_is_not_ready(
    broker: Broker, start_worker: Callable[..., WorkerProcess]
) -> None:
    """Its session has run out: its partitions may be somebody else's. It lives, and is ready again with Kafka."""
    if not broker.can_restart:
        pytest.skip(f"{broker.describe()} is not ours to stop")
    worker = start_worker()
    await worker.wait_ready()
    broker.stop()
    body = await worker.wait_for_page("/readyz", 503)
    alive, _ = await worker.get("/livez")
    broker.start()
    await worker.wait_ready(within_seconds=60)

    assert "Kafka does not answer" in body
    assert alive == 200
