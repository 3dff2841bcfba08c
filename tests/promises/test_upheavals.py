"""What a worker knows beyond its own life: attempts outlast it, and what was deleted unread is said."""

from collections.abc import Iterator

import pytest

from harness.commands import command
from harness.follower import follow
from harness.polling import NotInTimeError, eventually
from harness.settling import CUSTOMERS, assert_dead, failing, new_customer, settle, status
from harness.stage import Stage
from harness.worker_process import WorkerProcess
from worker.back_pressure import CUSTOMERS_TO_PROBE_WITH

pytestmark = [pytest.mark.real_kafka, pytest.mark.partitions(1)]

POLICY_SECONDS = 6.0
LIFE_SECONDS = 2.0
MOST_LIVES = 12


@pytest.fixture(autouse=True)
def _no_worker_is_left(stage: Stage) -> Iterator[None]:
    yield
    stage.end_workers()


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
async def test_a_poison_command_ends_although_its_worker_is_killed_again_and_again(stage: Stage, delivery: str) -> None:
    """No life lasts as long as the retry policy; its time and its attempts are added up over all of them."""
    poisoned = new_customer()
    await stage.upstream.control(
        generate_customers=CUSTOMERS, latency_seconds=0, faults=[failing(poisoned, status(503), method="PATCH")]
    )
    attempts_of_a_life = []
    async with follow(stage.topics) as follower:
        (poison_id,) = await stage.topics.publish([command(poisoned, phone="1")])
        for _ in range(MOST_LIVES):
            worker = await stage.start_ready_worker(
                DELIVERY=delivery,
                KAFKA_GROUP_INSTANCE_ID="the-only-one",
                RETRY_INITIAL_SECONDS="0.2",
                RETRY_MAX_SECONDS="0.4",
                RETRY_MAX_ELAPSED_SECONDS=str(POLICY_SECONDS),
            )
            try:
                (dead,) = await follower.of([poison_id], within_seconds=LIFE_SECONDS)
            except NotInTimeError:
                attempts_of_a_life.append(await worker.metric("customer_sync_retries_total"))
                worker.sigkill()
            else:
                break
        else:
            pytest.fail(f"the command still lives after {MOST_LIVES} lives with {attempts_of_a_life} attempts")

    assert_dead(dead, "retries_exhausted", http_status=503)
    assert int(dead.headers["dlq-attempts"]) > 1.5 * max(attempts_of_a_life)


async def test_retention_that_overtakes_a_running_worker_is_said_loudly(stage: Stage) -> None:
    """Reading was paused for too long: what was deleted meanwhile is counted, and it goes on with what there is."""
    await stage.upstream.control(generate_customers=CUSTOMERS, latency_seconds=0)
    worker = await stage.start_ready_worker(UPSTREAM_TIMEOUT_SECONDS="1")
    await settle(stage, command(new_customer(), phone="proven"))
    await stage.upstream.control(faults=[{"match": {}, "effect": status(401)}])
    await stage.topics.publish(command(new_customer(), phone="1") for _ in range(CUSTOMERS_TO_PROBE_WITH))
    held = await worker.says("breaker")
    await eventually(
        lambda: _has_received(worker, 1 + CUSTOMERS_TO_PROBE_WITH), within_seconds=20, what="reading has paused"
    )
    unread = await stage.topics.publish(command(new_customer(), phone="1") for _ in range(200))
    first_unread = int(unread[0].rpartition(":")[2])
    await stage.topics.delete_commands(partition=0, below=first_unread + 150)
    await stage.upstream.control(faults=[])
    lost = await worker.says("commands_lost_to_retention")
    (last,) = await settle(stage, command(new_customer(), phone="last"))

    assert held["state"] == "open"
    assert (lost["expected"], lost["earliest"], lost["missing_offsets"]) == (first_unread, first_unread + 150, 150)
    assert await worker.metric("customer_sync_commands_lost_to_retention_total") == 150
    assert last.reason is None


async def _has_received(worker: WorkerProcess, records: int) -> bool:
    """And reads no more: nothing was received since the one before."""
    return await worker.metric("customer_sync_commands_received_total") == records
