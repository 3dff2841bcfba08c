"""What commands that read topics have in common: the reader, a bar that shows how far it is, and bounds in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from worker.cli.console import KAFKA_SECONDS, kafka_failures
from worker.cli.spans import span_ms

if TYPE_CHECKING:
    from worker.kafka.reading import Progress, TopicReader
    from worker.settings import Settings


def client_options(settings: Settings) -> dict[str, str]:
    """As `Settings.kafka_client_options`, for librdkafka."""
    from worker.kafka.reading import librdkafka_options

    user, password = settings.kafka_sasl_username, settings.kafka_sasl_password
    sasl = None
    if settings.kafka_sasl_mechanism is not None and user is not None and password is not None:
        sasl = (settings.kafka_sasl_mechanism, user.get_secret_value(), password.get_secret_value())
    return librdkafka_options(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        client_id=settings.kafka_client_id,
        security_protocol=settings.kafka_security_protocol,
        sasl=sasl,
        cafile=settings.kafka_ssl_cafile,
        certfile=settings.kafka_ssl_certfile,
        keyfile=settings.kafka_ssl_keyfile,
    )


@contextmanager
def topic_reader(settings: Settings) -> Iterator[TopicReader]:
    """A reader that also tells what the worker's group has committed. Raises `Failure` for Kafka's faults."""
    from worker.kafka.reading import TopicReader

    with (
        kafka_failures(),
        TopicReader(
            client_options(settings),
            group_id=settings.kafka_group_id,
            within_seconds=KAFKA_SECONDS,
            aiokafka_options=settings.kafka_client_options(),
        ) as reader,
    ):
        yield reader


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Shows on standard error how much has been read, if that is a terminal, and leaves no trace behind."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda passed, total: bar.update(task, completed=passed, total=total)


def moment_ms(text: str, option: str) -> int:
    """A moment in milliseconds since 1970: RFC 3339, or a span before now such as 15m.

    Raises `typer.BadParameter`, a usage error that names *option*.
    """
    from handlers.instants import parse_rfc3339

    if text[-1:].isalpha() and text[:-1].isdigit():
        now_ms = time.time_ns() // 1_000_000  # noqa: TID251  # "an hour ago" is a moment of the calendar
        return now_ms - span_ms(text, option)
    moment = parse_rfc3339(text.strip())
    if moment is None:
        raise typer.BadParameter(
            "must be a moment such as 2026-11-23T11:35:00Z, or a span before now such as 90s, 15m, 36h or 7d",
            param_hint=option,
        )
    return moment
