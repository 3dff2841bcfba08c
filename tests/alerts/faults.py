"""The real fault behind each alert. What a function does, the alert of its name must notice."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from alerts.scene import Scene
from harness.broker import free_port

Fault = Callable[[Scene], Awaitable[None]]
"""Brings the fault about. It may go on for ever: it is cancelled once the alert has fired."""

DAY_MS = 86_400_000
EVERYBODY = range(100)


def _status(status: int, **more: object) -> dict[str, object]:
    return {"kind": "status", "status": status, **more}


async def all_replicas_are_killed(scene: Scene) -> None:
    """SIGKILL."""
    for worker in await scene.start_workers(2):
        worker.sigkill()


async def one_replica_is_killed(scene: Scene) -> None:
    """The other goes on."""
    first, _ = await scene.start_workers(2)
    first.sigkill()


async def a_replica_is_killed_again_and_again(scene: Scene) -> None:
    """And starts again on the same port, as a container does."""
    (worker,) = await scene.start_workers()
    port = worker.port
    while True:
        worker.sigkill()
        worker = scene.stage.start_worker(HTTP_PORT=str(port))
        worker.port = port
        await worker.wait_for_page("/livez", 200)
        await asyncio.sleep(1)


async def the_upstream_hangs_longer_than_anybody_waits(scene: Scene) -> None:
    """A timeout of five minutes, and an upstream that takes a request and never answers."""
    await scene.upstream.control(faults=[{"effect": {"kind": "hang"}}])
    await scene.start_workers(UPSTREAM_TIMEOUT_SECONDS="300")
    await scene.publish(range(3))


async def kafka_is_not_there(scene: Scene) -> None:
    """A worker whose brokers refuse connections."""
    await scene.start_workers(wait=False, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}")


async def the_process_gets_little_cpu(scene: Scene) -> None:
    """It is stopped two seconds of three."""
    (worker,) = await scene.start_workers()
    while True:
        worker.sigstop()
        await asyncio.sleep(2)
        worker.sigcont()
        await asyncio.sleep(1.2)


async def more_is_published_than_the_budget_allows(scene: Scene) -> None:
    """Ten requests in ten minutes for hundreds of commands."""
    await scene.start_workers(UPSTREAM_RATE_LIMIT="10")
    await scene.publish(range(400))


async def a_command_has_waited_for_days(scene: Scene) -> None:
    """Published four days ago; its customer's requests fail."""
    await scene.upstream.control(faults=[{"effect": _status(503)}])
    await scene.start_workers()
    await scene.publish_at(scene.now_ms() - 4 * DAY_MS)


async def retention_overtakes_the_worker(scene: Scene) -> None:
    """Nothing runs while commands are published and deleted."""
    (worker,) = await scene.start_workers()
    await scene.publish(EVERYBODY)
    await scene.topics.read_outcomes(len(EVERYBODY), within_seconds=60)
    worker.sigterm()
    await worker.wait()
    await scene.publish(EVERYBODY)
    await scene.topics.delete_commands(partition=0, below=-1)
    await scene.start_workers()


async def a_publisher_partitions_otherwise(scene: Scene) -> None:
    """One command on another partition than murmur2 says."""
    await scene.start_workers()
    await scene.publish_misplaced()


async def an_answer_is_no_customer(scene: Scene) -> None:
    """200, and a body that belongs to something else."""
    await scene.start_workers()
    await scene.publish([0])
    await scene.topics.read_outcomes(1)
    await scene.upstream.control(faults=[{"effect": {"kind": "wrong_content", "body": {"status": "fine"}}}])
    await scene.publish([1])


async def a_publisher_sends_what_is_no_command(scene: Scene) -> None:
    """Again and again."""
    await scene.start_workers()
    while True:
        await scene.publish_broken(10)
        await asyncio.sleep(1)


async def the_token_is_refused(scene: Scene) -> None:
    """401."""
    await scene.start_workers(UPSTREAM_TOKEN="mid_bad")
    await scene.publish([0])


async def the_upstream_is_down(scene: Scene) -> None:
    """503 for everybody."""
    await scene.start_workers()
    await scene.upstream.control(faults=[{"effect": _status(503)}])
    await scene.publish(range(5))


async def the_upstream_fails_now_and_then(scene: Scene) -> None:
    """One request in four gets a 502, and no customer fails twice in a row for long."""
    await scene.start_workers()
    await scene.upstream.control(faults=[{"match": {"every": 4}, "effect": _status(502)}])
    await scene.publish_for_ever(range(20))


async def the_upstream_is_slow(scene: Scene) -> None:
    """Four seconds for each answer."""
    await scene.start_workers()
    await scene.upstream.control(faults=[{"effect": {"kind": "slow", "seconds": 4}}])
    await scene.publish_for_ever(EVERYBODY)


async def somebody_else_spends_the_budget(scene: Scene) -> None:
    """429, whatever this worker has counted."""
    await scene.start_workers()
    await scene.upstream.control(faults=[{"effect": _status(429, retry_after=1)}])
    await scene.publish_for_ever(range(20))


async def a_stranger_joins_the_group(scene: Scene) -> None:
    """It gets half of the partitions."""
    await scene.start_workers()
    async with scene.stranger():
        await asyncio.Event().wait()


async def a_member_comes_and_goes(scene: Scene) -> None:
    """Each time the group rebalances twice."""
    await scene.start_workers()
    while True:
        async with scene.stranger():
            pass


async def another_producer_uses_the_transactional_ids(scene: Scene) -> None:
    """As a second deployment with the same group would."""
    await scene.start_workers()
    while True:
        await scene.fence()
        await scene.publish(EVERYBODY)
        await asyncio.sleep(1)


async def a_topic_has_too_few_replicas_in_sync(scene: Scene) -> None:
    """The topic of events wants two, and one broker is all there is."""
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.topics.bootstrap_servers)
    await admin.start()
    try:
        wanted = {"min.insync.replicas": "2"}
        topic = ConfigResource(ConfigResourceType.TOPIC, scene.topics.events, configs=wanted)
        await admin.alter_configs([topic])
    finally:
        await admin.close()
    await scene.start_workers()
    await scene.publish(EVERYBODY)


FAULTS: Mapping[str, Fault] = {
    # The longest first: they run side by side.
    "CustomerSyncStalled": the_upstream_hangs_longer_than_anybody_waits,
    "CustomerSyncCommitsFailing": a_topic_has_too_few_replicas_in_sync,
    "CustomerSyncBacklog": more_is_published_than_the_budget_allows,
    "CustomerSyncRestarting": a_replica_is_killed_again_and_again,
    "CustomerSyncUpstreamFailing": the_upstream_fails_now_and_then,
    "CustomerSyncUpstreamSlow": the_upstream_is_slow,
    "CustomerSyncCircuitOpen": the_upstream_is_down,
    "CustomerSyncLoopBlocked": the_process_gets_little_cpu,
    "CustomerSyncFenced": another_producer_uses_the_transactional_ids,
    "CustomerSyncRebalancing": a_member_comes_and_goes,
    "CustomerSyncPartitionsUnowned": a_stranger_joins_the_group,
    "CustomerSyncCommandsOld": a_command_has_waited_for_days,
    "CustomerSyncCommandsLost": retention_overtakes_the_worker,
    "CustomerSyncNotReady": kafka_is_not_there,
    "CustomerSyncRateLimited": somebody_else_spends_the_budget,
    "CustomerSyncDeadLettersOfPublishers": a_publisher_sends_what_is_no_command,
    "CustomerSyncDeadLettersToReplay": an_answer_is_no_customer,
    "CustomerSyncCommandsMisplaced": a_publisher_partitions_otherwise,
    "CustomerSyncHeld": the_token_is_refused,
    "CustomerSyncReplicaDown": one_replica_is_killed,
    "CustomerSyncDown": all_replicas_are_killed,
}
