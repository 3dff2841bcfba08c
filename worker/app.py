"""The worker as a whole: what it is made of, how it starts, and how it ends.

This is the only place that wires the parts and the only one that reads the clock for them.
"""

import asyncio
import os
import random
import signal
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from faststream.asgi import AsgiFastStream

from handlers.event import EventFormat
from worker.assignment import Assignment
from worker.back_pressure import BackPressure
from worker.budget_sharing import share_budget
from worker.deduplication import DeduplicationWindow
from worker.delivery import Delivery
from worker.effective_settings import effective_settings
from worker.intake import Intake
from worker.kafka.cluster import Cluster
from worker.kafka.consumer import is_misplaced, leave_on_stop
from worker.kafka.errors import KafkaFault, KafkaUnreachable
from worker.kafka.ledger import CLOSE_SECONDS
from worker.kafka.measured_ledger import measured
from worker.kafka.members import own_address
from worker.kafka.subscription import REBALANCE_TIMEOUT_MS, SESSION_TIMEOUT_MS, subscribe
from worker.kafka.unretrieved import leave_out_unretrieved
from worker.lanes import Lanes, LaneState
from worker.lease import Lease
from worker.memory import spare_the_collector
from worker.operations.assembly import Operations
from worker.operations.asyncapi import asyncapi_document
from worker.operations.replica import Shown
from worker.operations.server import AddressUnusable, listen, make_server
from worker.operations.watchdog import ProgressWatchdog, task_stacks
from worker.pacing.backoff import RetryPolicy
from worker.pacing.circuit_breaker import CircuitState
from worker.pacing.gate import Gate
from worker.pacing.rate_budget import RateBudget
from worker.partition import Outlets, Partition
from worker.progress import Tried
from worker.settings import Settings
from worker.telemetry.logging import configure_logging, sum_up
from worker.telemetry.metrics import Metrics
from worker.telemetry.recent import Recent
from worker.telemetry.reports import Reports
from worker.tracing import tracing_of
from worker.turns import Turns
from worker.upstream.client import UpstreamClient
from worker.upstream.token_source import TokenSource, TokenUnusable
from worker.watermark import Watermark

log = structlog.get_logger(__name__)

# What is left of the grace period, once the ledgers are closed, for leaving the group and closing connections.
LEAVING_SECONDS = 3.0
LAST_SPANS_SECONDS = 1.0
HOUSEKEEPING_SECONDS = 0.5
# Longer than any one request or commit takes.
STALLED_SECONDS = 120.0


async def run(settings: Settings) -> int:
    """Runs the worker until SIGTERM, SIGINT or a fatal error. Returns the exit code: 0, 1, or 3 without Kafka."""
    configure_logging(settings.log_level, settings.log_format)
    spare_the_collector()
    exit_code = 0
    try:
        await Worker(settings).run()
    except* KafkaUnreachable as unreachable:
        exit_code = _fatal(unreachable, 3)
    except* (KafkaFault, TokenUnusable, AddressUnusable) as fault:
        exit_code = _fatal(fault, 1)
    return exit_code


def _fatal(group: BaseExceptionGroup[BaseException], exit_code: int) -> int:
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    log.critical("fatal", error=str(leaf), exit_code=exit_code)
    return exit_code


class Worker:
    """One replica: its parts, and its life from start to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._name = settings.kafka_group_instance_id or f"{socket.gethostname()}-{os.getpid()}"
        self._metrics = Metrics()
        self._tracing = tracing_of(settings, worker=self._name, metrics=self._metrics)
        self._recent = Recent(_now_ms)
        self._token = _token_source(settings)
        self._token_version = self._token.version
        self._gate = Gate(
            budget=RateBudget(limit=settings.upstream_rate_limit, window_seconds=settings.upstream_rate_window_seconds),
            max_concurrency=settings.upstream_max_concurrency,
            on_change=self._on_breaker,
        )
        self._upstream = UpstreamClient(
            settings.upstream_base_url,
            self._token,
            settings.upstream_timeout_seconds,
            settings.upstream_max_concurrency,
        )
        self._lease = Lease(seconds=SESSION_TIMEOUT_MS / 1000)
        self._delivery = self._make_delivery()
        self._intake = Intake(
            back_pressure=BackPressure(
                partition_bytes=settings.read_ahead_bytes, process_bytes=settings.read_ahead_bytes_of_process
            ),
            delivery=self._delivery,
            gate=self._gate,
            metrics=self._metrics,
            consumer=self._consumer,
        )
        self._outlets = Outlets(
            events_topic=settings.events_topic,
            dead_letter_topic=settings.dead_letter_topic,
            event_format=EventFormat(
                field_case=settings.event_field_case, keep_extra_fields=settings.event_extra_fields == "keep"
            ),
            worker=self._name,
        )
        options = settings.kafka_client_options()
        self._cluster = Cluster(
            options,
            group_id=settings.kafka_group_id,
            exactly_once=settings.delivery == "exactly_once",
            consumer=self._consumer,
            say=lambda why: log.warning("kafka_not_reached", why=why),
        )
        self._assignment = Assignment(
            consumer=self._consumer,
            instance_id=settings.kafka_group_instance_id,
            make_ledger=measured(self._cluster.ledger, self._metrics, time.monotonic),
            make_partition=self._make_partition,
            read_back=self._cluster.read_back,
            offsets=self._cluster.offsets,
            intake=self._intake,
            delivery=self._delivery,
            lease=self._lease,
            metrics=self._metrics,
            commit_interval_seconds=settings.commit_interval_ms / 1000,
            deduplication_window=settings.deduplication_window,
            drain_seconds=min(settings.upstream_timeout_seconds + 1, REBALANCE_TIMEOUT_MS / 2000),
            now=time.monotonic,
            recent=self._recent,
        )
        self._address: str | None = None
        self._broker, self._subscriber = subscribe(
            options,
            topic=settings.commands_topic,
            group_id=settings.kafka_group_id,
            group_instance_id=settings.kafka_group_instance_id,
            listener=self._assignment,
            receive=self._intake.receive,
            address=lambda: self._address,
        )
        self._operations = Operations(
            worker=self._name,
            delivery=settings.delivery,
            group_id=settings.kafka_group_id,
            topic=settings.commands_topic,
            settings=[Shown(*setting) for setting in effective_settings(settings)],
            gate=self._gate,
            metrics=self._metrics,
            recent=self._recent,
            cluster=self._cluster,
            consumer=self._consumer,
            partitions=lambda: self._assignment.partitions,
            is_member=lambda: self._assignment.is_member and self._lease.is_valid(time.monotonic()),
            address=lambda: self._address,
            now=time.monotonic,
            now_ms=_now_ms,
        )
        self._overview = self._operations.overview
        self._watchdog = ProgressWatchdog(patience_seconds=STALLED_SECONDS)
        self._stopping = asyncio.Event()
        self._cut_short = asyncio.Event()

    async def run(self) -> None:
        """Starts, works until told to stop, drains, leaves. Raises an exception group where something fatal ends it."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(leave_out_unretrieved)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        listener = listen(self._settings.http_host, self._settings.http_port)
        async with self._upstream, asyncio.TaskGroup() as tasks:
            server = make_server(self._asgi())
            serving = tasks.create_task(server.serve([listener]))
            background = [
                tasks.create_task(self._delivery.run()),
                tasks.create_task(self._keep_house()),
                tasks.create_task(
                    share_budget(
                        self._gate.budget,
                        topic=self._settings.commands_topic,
                        consumer=self._consumer,
                        is_member=lambda: self._assignment.is_member,
                        offsets=self._cluster.offsets,
                        now=time.monotonic,
                    )
                ),
                tasks.create_task(self._operations.run()),
            ]
            try:
                await self._work(tasks, listener)
            finally:
                for task in background:
                    task.cancel()
                await self._disconnect()
                if self._tracing is not None:
                    await self._tracing.close(within_seconds=LAST_SPANS_SECONDS)
                self._operations.end()
                server.should_exit = True
            await serving
        log.info("stopped", worker=self._name)

    async def _work(self, tasks: asyncio.TaskGroup, listener: socket.socket) -> None:
        """From the first connection to the last commit."""
        connecting = tasks.create_task(self._connect(tasks, listener))
        stopping = tasks.create_task(self._stopping.wait())
        await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            self._overview.state = "running"
            log.info("running", worker=self._name, delivery=self._settings.delivery)
            await stopping
        connecting.cancel()
        self._overview.state = "stopping"
        await self._drain(tasks)

    async def _connect(self, tasks: asyncio.TaskGroup, listener: socket.socket) -> None:
        settings = self._settings
        await self._cluster.connect([settings.commands_topic, settings.events_topic, settings.dead_letter_topic])
        self._address = await own_address(listener, settings.kafka_bootstrap_servers)
        self._assignment.begin(tasks)
        await self._cluster.reach(self._broker.start)

    async def _drain(self, tasks: asyncio.TaskGroup) -> None:
        """Finishes what is under way, unless the grace period or a second signal ends it first."""
        grace_seconds = max(
            self._settings.shutdown_grace_seconds - CLOSE_SECONDS - LEAVING_SECONDS - LAST_SPANS_SECONDS, 0
        )
        draining = tasks.create_task(self._assignment.drain(grace_seconds))
        cutting = tasks.create_task(self._cut_short.wait())
        await asyncio.wait({draining, cutting}, return_when=asyncio.FIRST_COMPLETED)
        for task in (draining, cutting):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _disconnect(self) -> None:
        """Leaves the group and lets go of Kafka, which may not answer any more."""
        consumer = self._consumer()
        if consumer is not None:
            leave_on_stop(consumer)
        try:
            async with asyncio.timeout(LEAVING_SECONDS):
                await self._broker.stop()
                await self._cluster.close()
        except TimeoutError:
            log.warning("group_not_left", advice="Kafka did not answer; the partitions move when the session ends")

    async def _keep_house(self) -> None:
        """Looks twice a second at what nobody reports: the token's file, reading that may go on, the loop's delay."""
        while True:
            due = time.monotonic() + HOUSEKEEPING_SECONDS
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            self._metrics.loop_delay.observe(max(time.monotonic() - due, 0))
            self._token.current()
            if self._token.version != self._token_version:
                self._token_version = self._token.version
                self._gate.probe_now(time.monotonic())
            self._watch_progress()
            sum_up(time.monotonic())
            self._intake.regulate()
            self._delivery.wake()

    def _watch_progress(self) -> None:
        now = time.monotonic()
        partitions = self._assignment.partitions.values()
        waiting = (LaneState.READY, LaneState.TAKEN, LaneState.COMMITTING)
        stalled = self._watchdog.is_stalled(
            settled=sum(partition.committer.settled for partition in partitions),
            work_waits=any(partition.lanes.count(state) for partition in partitions for state in waiting),
            may_work=self._lease.is_valid(now) and self._gate.is_open and self._gate.admits_bulk(now),
            now=now,
        )
        if stalled and not self._overview.is_stalled:
            log.error("progress_stalled", patience_seconds=STALLED_SECONDS, tasks=task_stacks())
        self._overview.is_stalled = stalled

    def _on_signal(self, number: int) -> None:
        if self._stopping.is_set():
            log.warning("stopping_now", signal=signal.Signals(number).name)
            self._cut_short.set()
            return
        log.info("stopping", signal=signal.Signals(number).name, grace_seconds=self._settings.shutdown_grace_seconds)
        self._stopping.set()

    def _on_breaker(self, breaker: str, state: CircuitState, reason: str) -> None:
        log.log(30 if state is CircuitState.OPEN else 20, "breaker", breaker=breaker, state=state.value, reason=reason)
        if state is CircuitState.OPEN:
            for partition in self._assignment.partitions.values():
                partition.lanes.end_backoff()
        self._intake.regulate()
        self._delivery.wake()
        self._operations.breaker_moved()

    def _consumer(self) -> AIOKafkaConsumer | None:
        return self._subscriber.consumer

    def _make_delivery(self) -> Delivery:
        settings = self._settings
        return Delivery(
            upstream=self._upstream,
            gate=self._gate,
            lease=self._lease,
            turns=Turns(bulk_share=settings.bulk_share),
            policy=RetryPolicy(
                initial_seconds=settings.retry_initial_seconds,
                multiplier=settings.retry_multiplier,
                max_seconds=settings.retry_max_seconds,
                max_elapsed_seconds=settings.retry_max_elapsed_seconds,
            ),
            metrics=self._metrics,
            now=time.monotonic,
            now_ms=_now_ms,
            random=random.random,
        )

    def _make_partition(
        self,
        topic_partition: TopicPartition,
        watermark: Watermark,
        window: DeduplicationWindow,
        fold_below: int,
        tried: Mapping[int, Tried],
    ) -> Partition:
        return Partition(
            topic_partition,
            watermark=watermark,
            lanes=Lanes(coalesce=self._settings.coalesce, fold_below=fold_below, tried=tried),
            window=window,
            outlets=self._outlets,
            metrics=self._metrics,
            reports=Reports(
                now=time.monotonic,
                tells_events=self._settings.log_level in ("DEBUG", "INFO"),
                tracing=self._tracing,
                recent=self._recent,
            ),
            is_misplaced=lambda record: is_misplaced(record, self._consumer()),
            is_probing=lambda: not self._gate.is_open,
            now_ms=_now_ms,
        )

    def _asgi(self) -> AsgiFastStream:
        settings = self._settings
        contract = asyncapi_document(
            version=version("customer-sync"),
            commands_topic=settings.commands_topic,
            events_topic=settings.events_topic,
            dead_letter_topic=settings.dead_letter_topic,
            field_case=settings.event_field_case,
        )
        return AsgiFastStream(self._broker, asgi_routes=self._operations.routes(contract), logger=None)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000  # noqa: TID251  # records and expirytime are of wall-clock time


def _token_source(settings: Settings) -> TokenSource:
    if settings.upstream_token_file is not None:
        return TokenSource.from_file(settings.upstream_token_file, time.monotonic)
    if settings.upstream_token is None:
        raise TokenUnusable("UPSTREAM_TOKEN", "is not set; set it, or UPSTREAM_TOKEN_FILE")
    return TokenSource.from_value(settings.upstream_token.get_secret_value())
