"""The command topic as FastStream consumes it: batches of untouched records, committed by nobody but the ledgers."""

import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.subscriber.usecase import BatchSubscriber
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from worker.kafka.consumer import PatientConsumer
from worker.kafka.header_names import read_any_header_name
from worker.kafka.members import announcing

# What peers notice (a rebalance, a member that left), they notice at a heartbeat.
HEARTBEAT_INTERVAL_MS = 500
SESSION_TIMEOUT_MS = 10_000
REBALANCE_TIMEOUT_MS = 30_000
# A topic that was given more partitions is noticed this soon.
METADATA_MAX_AGE_MS = 30_000
BATCH_RECORDS = 1000

Records = tuple[ConsumerRecord[bytes | None, bytes | None], ...]


def subscribe(
    options: dict[str, Any],
    *,
    topic: str,
    group_id: str,
    group_instance_id: str | None,
    listener: ConsumerRebalanceListener,
    receive: Callable[[Records], Awaitable[None]],
    address: Callable[[], str | None],
) -> tuple[KafkaBroker, BatchSubscriber]:
    """A broker with one batch subscriber that hands every batch to *receive*, which must return at once.

    *options* are those of every aiokafka client (`Settings.kafka_client_options`); *address* is where this member
    answers HTTP, told to the group at each join. The records are not decoded here: FastStream would fail a whole
    batch for one bad header or body.
    """
    read_any_header_name()
    broker = _PatientBroker(
        options["bootstrap_servers"],
        client_id=options["client_id"],
        security=_security(options),
        consumer_only=True,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        allow_auto_create_topics=False,
        apply_types=False,
        logger=_logger(),
    )
    subscriber = broker.subscriber(
        topic,
        batch=True,
        group_id=group_id,
        group_instance_id=group_instance_id,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        partition_assignment_strategy=[announcing(address)],
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        max_records=BATCH_RECORDS,
        listener=listener,
        parser=_untouched,
        decoder=_as_it_came,
        title="commands",
        description="Customer-update commands, keyed by the customer's id.",
    )

    @subscriber
    async def on_batch(records: Records) -> None:
        await receive(records)

    return broker, subscriber


class _PatientBroker(KafkaBroker):
    """FastStream's broker, which makes consumers of our kind."""

    async def _connect(self) -> Callable[..., AIOKafkaConsumer]:
        usual = await super()._connect()
        assert isinstance(usual, partial)  # noqa: S101  # FastStream 0.7
        builder = partial(PatientConsumer, **usual.keywords)
        self.config.broker_config.builder = builder
        return builder


async def _untouched(records: Records) -> KafkaMessage:
    return KafkaMessage(body=b"", raw_message=records, headers={}, consumer=_NoAcknowledgement())


async def _as_it_came(message: KafkaMessage) -> Records:
    records: Records = message.raw_message
    return records


def _logger() -> logging.Logger:
    """FastStream's own words, less its two lines for every batch."""
    logger = logging.getLogger("worker.faststream")
    logger.setLevel(logging.ERROR)
    return logger


class _NoAcknowledgement:
    """Stands where FastStream would commit: offsets are committed with their outcomes alone."""

    async def commit(self) -> None:
        """Nothing."""

    def seek(self, *_: object) -> None:
        """Nothing."""


def _security(options: dict[str, Any]) -> BaseSecurity:
    context: ssl.SSLContext | None = options.get("ssl_context")
    mechanism = options.get("sasl_mechanism")
    if mechanism is None:
        return BaseSecurity(ssl_context=context, use_ssl=context is not None)
    kind = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}[mechanism]
    return kind(
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        ssl_context=context,
        use_ssl=context is not None,
    )
