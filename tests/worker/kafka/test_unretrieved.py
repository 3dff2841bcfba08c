"""What asyncio reports of futures that nobody awaited."""

import asyncio
import gc
import logging

import pytest
from aiokafka.errors import KafkaError, ProducerFenced

from worker.kafka.unretrieved import leave_out_unretrieved


async def abandoned(error: Exception, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What is logged of a future that ended so, and is forgotten."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(leave_out_unretrieved)
    with caplog.at_level(logging.ERROR, "asyncio"):
        loop.create_future().set_exception(error)
        gc.collect()
    return [record.getMessage().splitlines()[0] for record in caplog.records]


async def test_fence_is_not_told_twice(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waited for the commit has heard it."""
    assert await abandoned(ProducerFenced(), caplog) == []


async def test_other_errors_are_reported_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    """They are mistakes of the program."""
    assert await abandoned(LookupError("a mistake"), caplog) == ["Future exception was never retrieved"]


async def test_task_that_fails_unseen_is_reported_whatever_its_error(caplog: pytest.LogCaptureFixture) -> None:
    """A part of the worker has stopped."""

    async def fail() -> None:
        raise KafkaError

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(leave_out_unretrieved)
    with caplog.at_level(logging.ERROR, "asyncio"):
        running = loop.create_task(fail())
        await asyncio.wait([running])
        del running
        gc.collect()

    assert [record.getMessage().splitlines()[0] for record in caplog.records] == ["Task exception was never retrieved"]
