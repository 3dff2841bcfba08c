"""Waiting for facts: asked again and again until they hold, never longer than a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

INTERVAL_SECONDS = 0.02

Fact = TypeVar("Fact")


class NotInTimeError(AssertionError):
    """What a test waited for did not come about before its deadline."""


def wait_until(fact: Callable[[], Fact], *, within_seconds: float, what: str) -> Fact:
    """The first truthy answer of *fact*; NotInTimeError names *what* was waited for, and the last answer."""
    deadline = time.monotonic() + within_seconds
    while not (answer := fact()):
        if time.monotonic() >= deadline:
            raise NotInTimeError(_message(what, within_seconds, answer))
        time.sleep(INTERVAL_SECONDS)
    return answer


async def eventually(fact: Callable[[], Awaitable[Fact]], *, within_seconds: float, what: str) -> Fact:
    """As wait_until, for a *fact* that is awaited; a question under way at the deadline is cut short."""
    answer = None
    try:
        async with asyncio.timeout(within_seconds):
            while not (answer := await fact()):  # noqa: ASYNC110 -- the facts are those of other processes
                await asyncio.sleep(INTERVAL_SECONDS)
            return answer
    except TimeoutError:
        raise NotInTimeError(_message(what, within_seconds, answer)) from None


def _message(what: str, within_seconds: float, answer: object) -> str:
    return f"not within {within_seconds} s: {what} (last answer: {answer!r})"
