"""Errors that aiokafka keeps in futures which nobody can look at, and which asyncio then reports when they are gone.

A producer that is fenced leaves some behind each time: of its transaction, and of each batch that still waited. The
same error was raised where something waited for it, and was decided there; told once more, without a word of where it
comes from, it only frightens.
"""

import asyncio
from typing import Any

from aiokafka.errors import KafkaError


def leave_out_unretrieved(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For `loop.set_exception_handler`: everything is reported as usual, but for Kafka's errors that nobody awaited."""
    future = context.get("future")
    is_a_task = future is None or isinstance(future, asyncio.Task)
    if is_a_task or not isinstance(context.get("exception"), KafkaError):
        loop.default_exception_handler(context)
