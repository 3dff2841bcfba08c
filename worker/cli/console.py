"""What commands print, and the settings and connections that they have in common.

Results go to standard output, everything else to standard error. Colours appear on a terminal only, and never with
NO_COLOR. Text that others have chosen (ids, errors, payloads) is stripped of control characters before a terminal
sees it: an id must not be able to move its cursor.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from worker.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    from rich.console import Console

    from worker.kafka.admin import Admin
    from worker.settings import Settings

KAFKA_SECONDS: Final = 10.0
"""How long a command waits for Kafka at each step."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


Part = str | tuple[str, str]
"""Text, or text and its style."""


def say(*parts: Part) -> None:
    """A line of the result."""
    _print(parts, stderr=False)


def say_json(document: object) -> None:
    """A result for scripts, on one line."""
    print(json.dumps(document), flush=True)


def complain(*parts: Part) -> None:
    """A line on standard error."""
    _print(parts, stderr=True)


def plain(text: str) -> str:
    """*text* without control characters and without marks that reverse the direction of reading."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def usable_settings(*, token_required: bool = False) -> Settings:
    """The settings; their warnings go to standard error. Raises `Failure` with every fault there is."""
    from worker.settings import SettingsInvalid, load_settings, settings_warnings

    try:
        settings = load_settings(token_required=token_required)
    except SettingsInvalid as invalid:
        raise Failure(
            "the settings cannot be used\n" + "\n".join(f"  {fault}" for fault in invalid.faults),
            fix="correct these environment variables; `customer-sync config --help` describes all of them",
            exit_code=ExitCode.USAGE,
        ) from invalid
    for warning in settings_warnings(settings):
        complain(("warning: ", "yellow"), warning)
    return settings


@contextmanager
def kafka_failures() -> Iterator[None]:
    """Raises `Failure` for every fault that Kafka has inside."""
    from aiokafka.errors import KafkaError

    from worker.kafka.errors import KafkaRefused, KafkaUnreachable

    try:
        yield
    except KafkaUnreachable as unreachable:
        raise Failure(str(unreachable), exit_code=ExitCode.NO_KAFKA) from unreachable
    except KafkaRefused as refused:
        raise Failure(str(refused), fix="`customer-sync check` shows what this user may do") from refused
    except KafkaError as error:
        raise Failure(f"Kafka: {plain(str(error)) or type(error).__name__}") from error


@asynccontextmanager
async def kafka(settings: Settings) -> AsyncIterator[Admin]:
    """A connection to the brokers, with aiokafka's own log silenced. Raises `Failure` where there is none."""
    from worker.kafka.admin import connect, murmurs

    with kafka_failures(), murmurs() as heard:
        async with connect(settings.kafka_client_options(), heard, within_seconds=KAFKA_SECONDS) as admin:
            yield admin


def options_for_clients(settings: Settings) -> dict[str, Any]:
    """As `Settings.kafka_client_options`, with deadlines for somebody who waits at a prompt."""
    return {**settings.kafka_client_options(), "request_timeout_ms": int(KAFKA_SECONDS * 1000)}


def _print(parts: tuple[Part, ...], *, stderr: bool) -> None:
    from rich.text import Text

    _console(stderr=stderr).print(Text.assemble(*parts))


@cache
def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
