"""How the worker says that it is: state, reasons, gauges."""

import asyncio
import math
import time
from dataclasses import dataclass, field

import pytest
from aiokafka import TopicPartition
from prometheus_client import generate_latest

from harness.builders import TOPIC, a_customer, a_record, customer_id
from harness.engine import EPOCH_MS, make_partition
from harness.memory_ledger import MemoryLedger
from worker.operations.outlook import Outlook
from worker.operations.overview import LONGEST_POLL_PAUSE_SECONDS, Overview
from worker.pacing.gate import Gate
from worker.pacing.rate_budget import RateBudget
from worker.partition import Partition
from worker.telemetry.metrics import Metrics
from worker.upstream.answers import Answer, DeploymentFault, Ok, Request, Unavailable


@dataclass
class Consumer:
    """What the overview asks aiokafka's consumer for."""

    ends: dict[TopicPartition, int | None] = field(default_factory=dict)
    idle_seconds: float = 0.0

    @property
    def answered_at(self) -> float:
        """When records were last asked for with success."""
        return time.monotonic() - self.idle_seconds

    def assignment(self) -> set[TopicPartition]:
        """The partitions that the group gave."""
        return set(self.ends)

    def partitions_for_topic(self, _topic: str) -> set[int]:
        """All that there are."""
        return {0, 1, 2, 3, 4, 5}

    def last_stable_offset(self, partition: TopicPartition) -> int | None:
        """The end of the log as the last fetch saw it."""
        return self.ends[partition]

    highwater = last_stable_offset


@dataclass
class Scene:
    """An overview and all that it looks at."""

    overview: Overview
    gate: Gate
    metrics: Metrics
    partitions: dict[TopicPartition, Partition]
    consumer: Consumer

    def page(self) -> str:
        """The metrics as they are read."""
        self.overview.refresh_gauges(self.overview.status())
        return generate_latest(self.metrics.registry).decode()


def a_scene(*, limit: int = 0, is_member: bool = True, numbers: tuple[int, ...] = (0,), running: bool = True) -> Scene:
    """A worker with these partitions, each with one command that waits."""
    gate = Gate(budget=RateBudget(limit=limit, window_seconds=600), max_concurrency=4)
    metrics = Metrics()
    partitions = {}
    for number in numbers:
        partition, _ = make_partition(number, MemoryLedger(), metrics, lambda: None, clock=lambda: 0.0)
        partition.receive([a_record(0, {"note": "x"}, partition=number)])
        partitions[TopicPartition(TOPIC, number)] = partition
    consumer = Consumer(dict.fromkeys(partitions, 10))
    outlook = Outlook(
        gate=gate,
        metrics=metrics,
        consumer=lambda: consumer,
        partitions=lambda: partitions,
        topic=TOPIC,
        now=lambda: 0.0,
    )
    overview = Overview(
        worker="worker-1",
        delivery="exactly_once",
        gate=gate,
        metrics=metrics,
        consumer=lambda: consumer,
        partitions=lambda: partitions,
        outlook=outlook,
        is_member=lambda: is_member,
        now_ms=lambda: EPOCH_MS,
    )
    overview.state = "running" if running else "starting"
    return Scene(overview, gate, metrics, partitions, consumer)


def learn(gate: Gate, request: Request, answer: Answer, customers: int = 1) -> None:
    """The upstream answers so for these customers."""
    for customer in range(customers):
        pass_ = gate.enter(customer_id(customer), 0.0)
        if request is Request.PATCH:
            gate.record(pass_, Request.GET, Ok(a_customer()), 0.0)
        gate.record(pass_, request, answer, 0.0)
        gate.leave(pass_, 0.0)


def test_running_worker_is_alive_ready_and_has_nothing_to_say() -> None:
    """Everything in order."""
    status = a_scene().overview.status()

    assert (status.state, status.reason, status.alive, status.ready) == ("running", "", True, True)
    assert (status.worker, status.delivery, status.held_for) == ("worker-1", "exactly_once", "")
    assert status.circuits == {"get": "closed", "patch": "closed"}
    assert status.version


def test_worker_is_not_ready_before_it_runs() -> None:
    """Nor is it dead."""
    status = a_scene(running=False).overview.status()

    assert (status.state, status.alive, status.ready) == ("starting", True, False)


def test_worker_without_a_consumer_yet_has_a_status() -> None:
    """The probes come before Kafka has answered."""
    scene = a_scene()
    scene.overview._consumer = scene.overview._outlook._consumer = lambda: None
    status = scene.overview.status()

    assert status.alive
    assert [partition.lag for partition in status.partitions] == [None]


def test_worker_out_of_the_group_is_not_ready_and_says_so() -> None:
    """It rebalances, or Kafka does not answer."""
    status = a_scene(is_member=False).overview.status()

    assert not status.ready
    assert status.alive
    assert status.reason.startswith("no member of the group")


def test_open_circuit_stays_ready_and_says_so() -> None:
    """A rollout must not hang on the upstream."""
    scene = a_scene()
    learn(scene.gate, Request.PATCH, Unavailable(503, "status"), customers=3)
    status = scene.overview.status()

    assert status.ready
    assert status.reason == "circuit open: most PATCH requests fail; probing until the upstream is back"
    assert status.circuits == {"get": "closed", "patch": "open"}


def test_fault_of_the_deployment_is_not_ready() -> None:
    """Somebody has to mend it."""
    scene = a_scene()
    learn(scene.gate, Request.GET, DeploymentFault(401, "the token is not accepted"))
    status = scene.overview.status()

    assert (status.ready, status.alive) == (False, True)
    assert status.state == "held"
    assert status.reason == (
        "held by a fault of the deployment: 401: the token is not accepted; see UPSTREAM_TOKEN and UPSTREAM_BASE_URL"
    )
    assert status.held_for == "401: the token is not accepted"


@pytest.mark.parametrize("fault", ["poll", "progress"])
def test_stuck_worker_is_not_alive(fault: str) -> None:
    """A restart is what helps."""
    scene = a_scene()
    scene.consumer.idle_seconds = LONGEST_POLL_PAUSE_SECONDS + 1 if fault == "poll" else 0.0
    scene.overview.is_stalled = fault == "progress"
    status = scene.overview.status()

    assert not status.alive
    assert {"poll": "no request for records has succeeded", "progress": "nothing is settled"}[fault] in status.reason


def test_long_but_usual_pause_between_polls_is_no_fault() -> None:
    """A minute is long; Kafka itself would wait five."""
    scene = a_scene()
    scene.consumer.idle_seconds = LONGEST_POLL_PAUSE_SECONDS - 1

    assert scene.overview.status().alive


def test_lag_counts_the_commands_that_are_not_settled() -> None:
    """Those in memory and those still to be read; unknown where nothing was fetched yet or nothing is assigned."""
    scene = a_scene(numbers=(3, 0, 1, 2))
    zero, one, two, _ = sorted(scene.partitions)
    scene.consumer.ends = {zero: 10, one: None, two: -1}
    status = scene.overview.status()

    assert [(each.statistics.partition, each.lag) for each in status.partitions] == [
        (0, 10),
        (1, None),
        (2, 1),
        (3, None),
    ]


def test_lag_is_also_told_in_requests_and_in_time() -> None:
    """Twenty commands, of which nobody knows better than that each takes a GET and a PATCH."""
    scene = a_scene(limit=1_000, numbers=(0, 5))
    status = scene.overview.status().as_json()
    assert (status["lag_requests"], status["drained_in_seconds"]) == (40, 0)

    learn(scene.gate, Request.GET, Unavailable(503, "status"), customers=3)
    status = scene.overview.status().as_json()
    assert (status["lag_requests"], status["drained_in_seconds"]) == (40, None)


@pytest.mark.parametrize(("limit", "remaining"), [(0, None), (1_000, 1_000)])
def test_remaining_budget_is_told_where_there_is_one(limit: int, remaining: float | None) -> None:
    """A fresh process may begin with one turn."""
    assert a_scene(limit=limit).overview.status().budget_remaining == remaining


async def test_gauges_show_what_is_held_and_waits() -> None:
    """Set when they are read."""
    scene = a_scene(limit=1_000, numbers=(0, 5))
    held = sum(partition.held_bytes for partition in scene.partitions.values())
    page = scene.page()

    assert 'customer_sync_commands_waiting{partition="5"} 1.0' in page
    assert 'customer_sync_lag_commands{partition="0"} 10.0' in page
    assert "customer_sync_lag_requests 40.0" in page
    assert "customer_sync_lag_drained_timestamp_seconds 1.764e+09" in page
    assert 'customer_sync_oldest_command_age_seconds{partition="5"} 0.0' in page
    assert "customer_sync_requests_per_command 2.0" in page
    assert "customer_sync_turns_in_flight_limit 4.0" in page
    assert "customer_sync_budget_limit_requests 1000.0" in page
    assert "customer_sync_budget_window_seconds 600.0" in page
    assert "customer_sync_budget_share_ratio 1.0" in page
    assert "customer_sync_partitions 2.0" in page
    assert "customer_sync_topic_partitions 6.0" in page
    assert "customer_sync_ready 1.0" in page
    assert "customer_sync_alive 1.0" in page
    assert (
        f'customer_sync_build_info{{delivery="exactly_once",version="{scene.overview.status().version}"}} 1.0' in page
    )
    assert 'customer_sync_lanes_retrying{partition="0"} 0.0' in page
    assert f"customer_sync_held_bytes {float(held)}" in page
    assert "customer_sync_budget_remaining_requests 1000.0" in page
    assert 'customer_sync_circuit_open{request="GET"} 0.0' in page
    assert "customer_sync_held 0.0" in page
    assert math.isclose(held, 2 * next(iter(scene.partitions.values())).held_bytes)


async def test_gauges_show_what_is_wrong() -> None:
    """An alert on each of them."""
    scene = a_scene()
    learn(scene.gate, Request.GET, Unavailable(503, "status"), customers=3)
    assert 'customer_sync_circuit_open{request="GET"} 1.0' in scene.page()
    assert "customer_sync_lag_drained_timestamp_seconds +Inf" in scene.page()
    scene = a_scene()
    learn(scene.gate, Request.GET, DeploymentFault(403, "no"))

    assert "customer_sync_held 1.0" in scene.page()
    assert "customer_sync_ready 0.0" in scene.page()


async def test_age_of_the_oldest_command_is_told() -> None:
    """That of each partition, and none where nothing waits."""
    scene = a_scene()
    scene.overview._now_ms = lambda: EPOCH_MS + 90_500
    assert 'customer_sync_oldest_command_age_seconds{partition="0"} 90.5' in scene.page()

    scene.partitions[TopicPartition(TOPIC, 0)].watermark.complete(0)
    assert 'customer_sync_oldest_command_age_seconds{partition="0"} 0.0' in scene.page()


async def test_no_limit_is_no_exhausted_budget() -> None:
    """Zero would look like one."""
    page = a_scene(limit=0).page()

    assert "customer_sync_budget_remaining_requests +Inf" in page
    assert "customer_sync_budget_limit_requests +Inf" in page


async def test_gauges_show_no_lag_that_nobody_knows() -> None:
    """Zero would be taken for an answer."""
    scene = a_scene()
    scene.consumer.ends = {}

    assert "lag_commands{" not in scene.page()


async def test_partition_that_was_given_away_is_no_longer_shown() -> None:
    """Its new owner shows it: else its last lag would stand here for ever, and be added up twice."""
    scene = a_scene(numbers=(0, 5))
    scene.page()
    del scene.partitions[TopicPartition(TOPIC, 5)]
    page = scene.page()

    assert 'partition="0"' in page
    assert 'partition="5"' not in page


async def test_tasks_that_are_left_behind_show() -> None:
    """At rest always as many, or something leaks."""
    scene = a_scene()
    before = scene.page()
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(asyncio.Event().wait()) for _ in range(3)]
        during = scene.page()
        for task in waiting:
            task.cancel()

    assert "customer_sync_tasks 1.0" in before
    assert "customer_sync_tasks 4.0" in during
    assert "customer_sync_tasks 1.0" in scene.page()
