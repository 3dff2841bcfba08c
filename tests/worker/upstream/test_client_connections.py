"""Connections and deadlines: kept, bounded, dropped in time, and one call is at most one request."""

import asyncio
import gc
import socket
from collections.abc import Awaitable
from pathlib import Path

import pytest

from harness.scripted_http import Request, Wire, response, saying, serving
from harness.upstream_client import (
    CUSTOMER_ID,
    GOOD,
    Call,
    answer_of,
    both_methods,
    client_of,
    get,
    patch,
)
from worker.upstream import client as client_module
from worker.upstream.answers import Answer, DeploymentFault, Ok, Unavailable


class TestConnections:
    """Kept, bounded, dropped in time; and one call is one request."""

    async def test_one_connection_serves_many_requests(self) -> None:
        """Also after answers that are refusals."""
        answers = iter([GOOD, response(500, b"{}"), response(404, b"no"), response(204), GOOD])

        async def script(_: Request, wire: Wire) -> None:
            await wire.send(next(answers))

        async with serving(script) as server, client_of(server.url) as client:
            for _ in range(5):
                await get(client)

        assert server.connections == 1

    async def test_there_are_no_more_connections_than_allowed(self) -> None:
        """Who finds none free waits for one."""
        release = asyncio.Event()

        async def script(_: Request, wire: Wire) -> None:
            await release.wait()
            await wire.send(GOOD)

        async with (
            serving(script) as server,
            client_of(server.url, max_concurrency=3) as client,
            asyncio.TaskGroup() as tasks,
        ):
            calls = [tasks.create_task(client.get(CUSTOMER_ID)) for _ in range(12)]
            await server.until(lambda: len(server.requests) == 3)
            release.set()

        assert all(isinstance(call.result(), Ok) for call in calls)
        assert server.connections == 3

    async def test_an_idle_connection_is_dropped_first_by_the_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The upstream drops it after 60 s, perhaps just when the next request is under way."""
        assert client_module.KEEP_IDLE_SECONDS < 60
        monkeypatch.setattr(client_module, "KEEP_IDLE_SECONDS", 0.1)
        async with serving(saying(GOOD)) as server, client_of(server.url) as client:
            await get(client)
            await server.until(lambda: server.open_connections == 0)

    async def test_a_connection_that_the_server_dropped_while_idle_is_replaced(self) -> None:
        """A closed connection is noticed before it is used."""

        async def script(_: Request, wire: Wire) -> None:
            await wire.send(GOOD)
            wire.end()

        async with serving(script) as server, client_of(server.url) as client:
            for _ in range(3):
                answer = await get(client)
                await server.until(lambda: server.open_connections == 0)

                assert isinstance(answer, Ok)

    @both_methods
    async def test_a_kept_connection_that_dies_upon_the_request_costs_one_request(self, call: Call) -> None:
        """The library sends nothing twice: neither a PATCH, nor a GET that the budget would not know of."""

        async def script(_: Request, wire: Wire) -> None:
            if len(server.requests) == 1:
                await wire.send(GOOD)
            else:
                wire.close()

        async with serving(script) as server, client_of(server.url) as client:
            first = await call(client)
            second = await call(client)

        assert isinstance(first, Ok)
        assert second == Unavailable(None, "connection_lost")
        assert [request.connection for request in server.requests] == [1, 1]

    @both_methods
    async def test_a_new_connection_that_dies_upon_the_request_costs_one_request(self, call: Call) -> None:
        """A restarting upstream drops what it was asked."""

        async def script(_: Request, wire: Wire) -> None:
            wire.abort()

        answer, server = await answer_of(script, call)

        assert answer == Unavailable(None, "connection_lost")
        assert len(server.requests) == 1

    async def test_a_second_answer_to_one_request_is_nobodys(self) -> None:
        """Left in the connection it would be taken for the answer to the next request."""
        stranger = response(404, b"Customer not found")

        async def script(request: Request, wire: Wire) -> None:
            await wire.send(GOOD + stranger if request.connection == 1 else GOOD)

        async with serving(script) as server, client_of(server.url) as client:
            answers = [await get(client) for _ in range(3)]

        assert all(isinstance(answer, Ok) for answer in answers)
        assert server.connections == 2

    @both_methods
    async def test_a_cancelled_request_takes_its_connection_along(self, call: Call) -> None:
        """Its late answer must not become the answer to another request."""
        asked = asyncio.Event()

        async def script(request: Request, wire: Wire) -> None:
            if request.connection == 1:
                asked.set()
                await wire.hang()
            else:
                await wire.send(GOOD)

        async with serving(script) as server, client_of(server.url, max_concurrency=1) as client:
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(_awaited(call(client)))
                await asked.wait()
                task.cancel()
            answer = await call(client)

        assert isinstance(answer, Ok)
        assert [request.connection for request in server.requests] == [1, 2]


async def _awaited(answer: Awaitable[Answer]) -> Answer:
    return await answer


class TestDeadlines:
    """A request ends in time, whatever it waits for."""

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param("silence", id="no answer at all"),
            pytest.param("half a head", id="an answer that stops in its head"),
            pytest.param("half a body", id="an answer that stops in its body"),
            pytest.param("trickle", id="an answer that never ends"),
        ],
    )
    @both_methods
    async def test_a_slow_answer_is_given_up(self, script: str, call: Call) -> None:
        """Whether nothing comes any more, or always a little."""

        async def slow(_: Request, wire: Wire) -> None:
            if script == "half a head":
                await wire.send(GOOD[:20])
            elif script == "half a body":
                await wire.send(GOOD[:-20])
            elif script == "trickle":
                while True:
                    await wire.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                    await asyncio.sleep(0.02)
            await wire.hang()

        async with asyncio.timeout(3):
            answer, _ = await answer_of(slow, call, timeout_seconds=0.5)

        assert answer == Unavailable(None, "timeout")

    async def test_a_silent_connection_is_given_up_before_the_deadline(self) -> None:
        """Silence has a limit of its own."""

        async def silence(_: Request, wire: Wire) -> None:
            await wire.hang()

        started = asyncio.get_running_loop().time()
        answer, _ = await answer_of(silence, get, timeout_seconds=2.0)

        assert answer == Unavailable(None, "timeout")
        assert asyncio.get_running_loop().time() - started < 1.95

    async def test_a_host_that_does_not_accept_connections_is_given_up_sooner(self) -> None:
        """The time to connect is a part of the deadline; nothing was sent, and the answer says so."""
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            address = deaf.getsockname()
            queue = [socket.socket() for _ in range(4)]  # fills the queue that nobody empties
            for waiting in queue:
                waiting.setblocking(False)
                waiting.connect_ex(address)
            async with client_of(f"http://127.0.0.1:{address[1]}", timeout_seconds=1.0) as client:
                started = asyncio.get_running_loop().time()
                answer = await get(client)
                took = asyncio.get_running_loop().time() - started
            for waiting in queue:
                waiting.close()

        assert answer == Unavailable(None, "connect")
        assert took < 0.95

    async def test_a_handshake_that_never_ends_is_given_up_sooner(self) -> None:
        """Whoever accepts connections and speaks no TLS: the time to connect covers the handshake."""

        async def deaf(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await released.wait()
            writer.close()

        released = asyncio.Event()
        async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with client_of(f"https://127.0.0.1:{port}", timeout_seconds=0.6) as client:
                answer = await get(client)
            released.set()

        assert answer == Unavailable(None, "connect")

    async def test_a_refused_connection_is_known_at_once(self) -> None:
        """Nobody listens."""
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            async with client_of(f"http://127.0.0.1:{unused.getsockname()[1]}") as client:
                answer = await get(client)

        assert answer == Unavailable(None, "connect")

    async def test_waiting_for_a_free_connection_counts(self) -> None:
        """Otherwise a request could wait for ever behind slow ones."""

        async def silence(_: Request, wire: Wire) -> None:
            await wire.hang()

        async with (
            serving(silence) as server,
            client_of(server.url, timeout_seconds=0.5, max_concurrency=1) as client,
            asyncio.TaskGroup() as tasks,
        ):
            calls = [tasks.create_task(client.get(CUSTOMER_ID)) for _ in range(2)]

        assert [call.result() for call in calls] == [Unavailable(None, "timeout"), Unavailable(None, "connect")]
        assert len(server.requests) == 1


async def test_nothing_leaks_over_a_thousand_requests_that_go_wrong() -> None:
    """Connections, files and tasks are as few afterwards as before, whatever went wrong in between."""
    odd = [
        GOOD,
        response(500, b"{}"),
        GOOD[:-5],
        b"SSH-2.0\r\n",
        b"",
        response(301, b"", {"Location": "http://127.0.0.1:9/"}),
        response(401, b"x" * 100_000),
        response(200, b"", {"Content-Length": "999999999"}),
    ]

    async def script(_: Request, wire: Wire) -> None:
        raw = odd[len(server.requests) % len(odd)]
        if len(server.requests) % 50 == 0:
            await wire.hang()
        await wire.send(raw)
        if raw is not GOOD:
            wire.close()

    def open_files() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0

    answers: list[Answer] = []
    async with serving(script) as server:
        async with client_of(server.url, timeout_seconds=0.5, max_concurrency=16) as client:
            await get(client)
            tasks_before, files_before = len(asyncio.all_tasks()), open_files()

            async def many() -> None:
                for _ in range(63):
                    answers.append(await get(client))
                    answers.append(await patch(client))

            async with asyncio.TaskGroup() as tasks:
                for _ in range(8):
                    tasks.create_task(many())
            await server.until(lambda: server.open_connections <= 16)

            assert len(answers) == 1_008
            assert {type(answer) for answer in answers} == {Ok, Unavailable, DeploymentFault}
            # The client's 16 idle connections have two ends, both in this process; one task serves each.
            assert open_files() <= files_before + 2 * 16
            assert len(asyncio.all_tasks()) <= tasks_before + 16
        await server.until(lambda: server.open_connections == 0)
