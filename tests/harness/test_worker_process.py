"""The real worker on a real broker and a real HTTP server, as the other tests start it."""

from collections.abc import Callable

import pytest

from harness.topics import Message, Topics
from harness.upstream_process import UpstreamProcess
from harness.worker_process import WorkerProcess

CUSTOMER = "5eed0000-0000-4000-8000-000000000000"
PHONE = {"customer_id": CUSTOMER, "changes": {"phone": "+49 30 123456"}}

StartWorker = Callable[..., WorkerProcess]


async def test_a_command_becomes_an_event(topics: Topics, upstream: UpstreamProcess, start_worker: StartWorker) -> None:
    """All parts of the harness together; a command that cannot be read becomes a dead letter."""
    await upstream.control(generate_customers=1)
    worker = start_worker()
    await worker.wait_ready()

    await topics.publish([Message(CUSTOMER, PHONE), Message(CUSTOMER, b"no JSON")])
    outcomes = await topics.read_outcomes(2)
    await topics.await_committed(2)

    event, dead_letter = sorted(outcomes, key=lambda one: one.is_event, reverse=True)
    assert event.payload["phone"] == "+49 30 123456"
    assert dead_letter.reason == "undecodable"
    assert [request["method"] for request in await upstream.journal()] == ["GET", "PATCH"]
    assert (await worker.status())["state"] == "running"


async def test_an_upstream_that_was_killed_refuses_connections_until_it_is_started(upstream: UpstreamProcess) -> None:
    """Outages are real ones."""
    upstream.kill()
    with pytest.raises(OSError, match="refused"):
        await upstream.state()
    upstream.start()

    assert (await upstream.state())["requests"] == 0


async def test_a_worker_ends_by_sigterm_with_0_and_by_sigkill_with_minus_9(start_worker: StartWorker) -> None:
    """Signals are real ones."""
    first = start_worker()
    await first.wait_ready()
    first.sigterm()
    assert await first.wait() == 0

    second = start_worker()
    await second.wait_ready()
    assert second.sigkill() == -9


@pytest.mark.usefixtures("topics")
async def test_waiting_for_a_worker_that_ends_says_what_it_wrote(start_worker: StartWorker) -> None:
    """Nobody has to look for a log file."""
    worker = start_worker(UPSTREAM_BASE_URL="nowhere")

    with pytest.raises(AssertionError, match="the worker ended with") as failure:
        await worker.wait_ready()
    assert "UPSTREAM_BASE_URL" in "\n".join(failure.value.__notes__)
