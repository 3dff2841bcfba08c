"""Windows, restarts and connections of the simulated upstream, over real HTTP."""

import asyncio
import io
import json
from collections.abc import Awaitable

import aiohttp
import pytest

from harness.polling import eventually
from harness.upstream_driver import ID, NEW, UpstreamDriver
from worker.demo.upstream import RO_TOKEN, RW_TOKEN, SimulatedUpstream


async def test_the_window_is_the_users_over_all_tokens(client: UpstreamDriver) -> None:
    """Two tokens of one user share it; another user has his own."""
    scopes = ["customers.read"]
    await client.control(
        rate_limit=2,
        rate_window_seconds=60,
        tokens={"t1": {"user": "u", "scopes": scopes}, "t2": {"user": "u", "scopes": scopes}, "t3": scopes},
    )

    statuses = [(await client.get(token=token)).status for token in ("t1", "t2", "t2", "t1", "t3", RO_TOKEN)]

    assert statuses == [200, 200, 429, 429, 200, 401]


async def test_without_a_limit_there_are_no_figures(client: UpstreamDriver) -> None:
    """A worker that sees none is not held back."""
    assert not [name for name in (await client.get()).headers if name.lower().startswith("ratelimit")]


async def test_a_restart_drops_connections_and_counters_and_keeps_customers(client: UpstreamDriver) -> None:
    """Requests in flight end without an answer; what they wrote stays."""
    await client.control(rate_limit=2)
    await client.get()
    await client.fault({"kind": "hang", "apply": True}, method="PATCH")

    async def is_under_way() -> bool:
        return not await client.is_idle()

    async with asyncio.TaskGroup() as tasks:
        in_flight = tasks.create_task(refused(client.patch()))
        await eventually(is_under_way, within_seconds=5, what="the PATCH is under way")
        await client.control(restart=True)
    await client.control(faults=[])
    answer = await client.get()

    assert isinstance(in_flight.result(), aiohttp.ClientConnectionError)
    assert answer.headers["RateLimit-Remaining"] == "1"
    assert (await answer.json())["name"] == "New"


async def test_a_stopped_upstream_refuses_connections_until_it_is_started(client: UpstreamDriver) -> None:
    """On the same port."""
    await client.patch()
    await client.upstream.stop()
    assert isinstance(await refused(client.get()), aiohttp.ClientConnectorError)

    await client.upstream.start()

    assert await client.name() == "New"


async def test_an_idle_connection_is_closed_unannounced() -> None:
    """After 60 s by default; no header promises it."""
    async with SimulatedUpstream(idle_seconds=0.05) as upstream:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(upstream.url.rpartition(":")[2]))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()  # to the end of the connection
        writer.close()
        await writer.wait_closed()

    assert b"200 OK" in answer
    assert b"keep-alive" not in answer.lower()


async def test_header_names_come_in_two_spellings(client: UpstreamDriver) -> None:
    """In lower case where the service throws its answer, which a client must not notice."""
    await client.control(rate_limit=10)

    returned = await client.get()
    thrown = await client.get("11111111-1111-4111-8111-111111111111")

    assert b"RateLimit-Remaining" in dict(returned.raw_headers)
    assert b"ratelimit-remaining" in dict(thrown.raw_headers)


async def test_a_note_of_many_megabytes_is_taken(client: UpstreamDriver) -> None:
    """No limit was met."""
    headers = {"Authorization": f"Bearer {RW_TOKEN}"}
    headers |= {"Content-Type": "application/json"}
    body = io.BytesIO(json.dumps({**NEW, "note": "n" * (8 * 1024 * 1024)}).encode())
    async with client.session.patch(f"/customers/{ID}", data=body, headers=headers) as answer:
        assert len((await answer.json())["note"]) == 8 * 1024 * 1024


async def refused(asking: Awaitable[object]) -> Exception:
    """The error that *asking* ends with."""
    with pytest.raises(aiohttp.ClientError) as caught:
        await asking
    return caught.value
