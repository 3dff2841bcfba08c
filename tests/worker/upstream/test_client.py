"""The client on the wire: what it sends, and what becomes of everything a network and a server can do to it."""

import asyncio
import gc
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.scripted_http import Request, Script, ScriptedServer, Wire, response, saying, serving
from worker.upstream import client as client_module
from worker.upstream.answers import Answer, Cause, ContractBroken, DeploymentFault, Ok, Rejected, Unavailable
from worker.upstream.client import UpstreamClient
from worker.upstream.token_source import TokenSource

CUSTOMER_ID = "00000000-0000-4000-8000-000000000101"
RECORDINGS = json.loads((Path(__file__).parents[2] / "data" / "upstream-exchanges.json").read_text("utf-8"))
CUSTOMER = json.dumps(RECORDINGS["scenarios"][0]["exchanges"][0]["response"]["body"]).encode()
GOOD = response(200, CUSTOMER, {"Content-Type": "application/json"})
TOKEN = "mid_secret"
TLS = Path(__file__).parents[2] / "data" / "tls"

Call = Callable[[UpstreamClient], Awaitable[Answer]]


def client_of(url: str, *, timeout_seconds: float = 5.0, max_concurrency: int = 4) -> UpstreamClient:
    """A client with a fixed token."""
    return UpstreamClient(url, TokenSource.from_value(TOKEN), timeout_seconds, max_concurrency)


def get(client: UpstreamClient) -> Awaitable[Answer]:
    """Reads the recorded customer."""
    return client.get(CUSTOMER_ID)


def patch(client: UpstreamClient) -> Awaitable[Answer]:
    """Writes something to it."""
    return client.patch(CUSTOMER_ID, {"name": "Acme", "email": "c101@lab.test", "tags": []})


both_methods = pytest.mark.parametrize("call", [get, patch])


async def answer_of(script: Script, call: Call, *, timeout_seconds: float = 5.0) -> tuple[Answer, ScriptedServer]:
    """One answer from a server that follows *script*; afterwards no connection is left."""
    async with serving(script) as server:
        async with client_of(server.url, timeout_seconds=timeout_seconds) as client:
            answer = await call(client)
        await server.until(lambda: server.open_connections == 0)
    return answer, server


class TestWhatIsSent:
    """The requests as the server sees them."""

    async def test_a_get_carries_the_token_and_asks_for_plain_json(self) -> None:
        """No cookies, no compression, no body."""
        answer, server = await answer_of(saying(GOOD), get)

        assert isinstance(answer, Ok)
        (request,) = server.requests
        assert (request.method, request.target, request.body) == ("GET", f"/customers/{CUSTOMER_ID}", b"")
        assert request.headers == {
            "host": server.url.removeprefix("http://"),
            "authorization": f"Bearer {TOKEN}",
            "accept": "application/json",
            "accept-encoding": "identity",
            "user-agent": "customer-sync",
        }

    async def test_a_patch_carries_its_body_as_json(self) -> None:
        """With the content type without which the upstream takes the body for empty."""
        body: dict[str, object] = {"name": "Åse", "email": "c101@lab.test", "tags": [], "note": None}
        _, server = await answer_of(saying(GOOD), lambda client: client.patch(CUSTOMER_ID, body))

        (request,) = server.requests
        assert request.method == "PATCH"
        assert request.headers["content-type"] == "application/json"
        assert json.loads(request.body) == body

    @pytest.mark.parametrize("path", ["", "/", "/api/v1", "/api/v1/", "/a%20b/"])
    async def test_the_base_url_may_have_a_path(self, path: str) -> None:
        """With or without its last slash."""
        async with serving(saying(GOOD)) as server, client_of(server.url + path) as client:
            await get(client)

        assert server.requests[0].target == f"{path.rstrip('/')}/customers/{CUSTOMER_ID}"

    @pytest.mark.parametrize(
        "base_url",
        [
            "",
            "api.example",
            "ftp://api.example",
            "http://",
            "http://[::1",
            "http://api.example:99999",
            "http://api..example",
            "http://api example",
            "http://ann:secret@api.example",
            "http://api.example/?page=1",
            "http://api.example/#top",
        ],
    )
    def test_a_base_url_that_cannot_be_meant_is_refused(self, base_url: str) -> None:
        """Before anything is sent, and without repeating what may be a password."""
        with pytest.raises(ValueError, match="the upstream's base URL") as refused:
            client_of(base_url)

        assert "secret" not in str(refused.value)

    @pytest.mark.parametrize(
        "customer_id",
        ["", "not-a-uuid", CUSTOMER_ID.upper().replace("8", "A"), f"{CUSTOMER_ID}/", f"{CUSTOMER_ID}\n", "../invoices"],
    )
    async def test_an_id_that_is_no_uuid_never_leaves(self, customer_id: str) -> None:
        """The upstream answers it with the same 500 as an outage; here it is a programming error."""
        async with serving(saying(GOOD)) as server, client_of(server.url) as client:
            with pytest.raises(ValueError, match="UUID in lower case"):
                await client.get(customer_id)
            with pytest.raises(ValueError, match="UUID in lower case"):
                await client.patch(customer_id, {})

        assert server.connections == 0

    async def test_a_body_that_is_no_json_never_leaves(self) -> None:
        """NaN has no place in JSON."""
        async with serving(saying(GOOD)) as server, client_of(server.url) as client:
            with pytest.raises(ValueError, match="JSON compliant"):
                await client.patch(CUSTOMER_ID, {"name": float("nan")})

        assert server.connections == 0

    async def test_a_corrected_token_is_sent_from_the_next_request_on(self, tmp_path: Path) -> None:
        """The token is asked for anew each time."""
        now = 0.0
        file = tmp_path / "token"
        file.write_text("mid_first")
        token = TokenSource.from_file(file, lambda: now)
        async with serving(saying(GOOD)) as server, UpstreamClient(server.url, token, 5.0, 1) as client:
            await get(client)
            file.write_text("mid_other")
            now += 1
            await get(client)

        assert [request.headers["authorization"] for request in server.requests] == [
            "Bearer mid_first",
            "Bearer mid_other",
        ]

    async def test_a_cookie_is_not_kept(self) -> None:
        """A load balancer's cookie would tie this worker to one of its servers."""
        cookie = response(200, CUSTOMER, {"Set-Cookie": "sticky=1; Path=/"})
        async with serving(saying(cookie)) as server, client_of(server.url) as client:
            await get(client)
            await get(client)

        assert "cookie" not in server.requests[1].headers

    async def test_the_token_shows_in_no_representation(self) -> None:
        """Whoever logs the client logs no secret."""
        assert TOKEN not in repr(client_of("http://127.0.0.1:9"))

    async def test_outside_its_context_it_says_so(self) -> None:
        """A programming error is no answer."""
        with pytest.raises(RuntimeError, match="outside its"):
            await get(client_of("http://127.0.0.1:9"))


class TestWhereTheTokenGoes:
    """To the configured host, whatever anybody else wants."""

    @both_methods
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_a_redirect_to_another_host_is_not_followed(self, status: int, call: Call) -> None:
        """The other host sees not even a connection, least of all the token."""
        async with serving(saying(GOOD)) as other:
            redirect = response(status, b"", {"Location": f"{other.url}/customers/{CUSTOMER_ID}"})
            answer, server = await answer_of(saying(redirect), call)

        assert isinstance(answer, DeploymentFault)
        assert len(server.requests) == 1
        assert other.connections == 0

    async def test_a_proxy_of_the_environment_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """HTTP_PROXY is often set in clusters for others; it would see the token in clear."""
        async with serving(saying(GOOD)) as proxy:
            for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url)
            answer, server = await answer_of(saying(GOOD), get)

        assert isinstance(answer, Ok)
        assert len(server.requests) == 1
        assert proxy.connections == 0

    async def test_tls_is_spoken_or_nothing_is_sent(self) -> None:
        """An https address where plain HTTP is spoken."""
        heard = b""

        async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal heard
            heard = await reader.read(65_536)
            writer.write(response(400, b"speak plainly"))
            writer.close()

        async with (
            await asyncio.start_server(plain, "127.0.0.1", 0) as server,
            client_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client,
        ):
            answer = await get(client)

        assert answer == Unavailable(None, "tls")
        assert heard
        assert TOKEN.encode() not in heard

    @pytest.mark.parametrize(
        ("host", "trusted", "expected"),
        [
            pytest.param("localhost", True, "Ok", id="trusted"),
            pytest.param("localhost", False, "Unavailable tls", id="unknown authority"),
            pytest.param("127.0.0.1", True, "Unavailable tls", id="another name than the certificate's"),
        ],
    )
    async def test_certificates_are_checked_against_the_systems_authorities(
        self, host: str, trusted: bool, expected: str
    ) -> None:
        """In a process of its own: `SSL_CERT_FILE` names the authorities when the program starts."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(GOOD)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            port = server.sockets[0].getsockname()[1]
            environment = dict(os.environ)  # noqa: TID251  (of a process that the test starts)
            environment["SSL_CERT_FILE"] = str(TLS / "localhost.pem") if trusted else os.devnull
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                "import asyncio, sys\n"
                "from worker.upstream.client import UpstreamClient\n"
                "from worker.upstream.token_source import TokenSource\n"
                "async def main():\n"
                "    async with UpstreamClient(sys.argv[1], TokenSource.from_value('t'), 5.0, 1) as client:\n"
                "        answer = await client.get(sys.argv[2])\n"
                "        print(type(answer).__name__, getattr(answer, 'cause', ''))\n"
                "asyncio.run(main())\n",
                f"https://{host}:{port}",
                CUSTOMER_ID,
                env=environment,
                stdout=subprocess.PIPE,
            )
            output, _ = await process.communicate()

        assert output.decode().strip() == expected


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
        ("script", "at_most_seconds"),
        [
            pytest.param("silence", 0.45, id="no answer at all"),
            pytest.param("half a head", 0.45, id="an answer that stops in its head"),
            pytest.param("half a body", 0.45, id="an answer that stops in its body"),
            pytest.param("trickle", 0.7, id="an answer that never ends"),
        ],
    )
    @both_methods
    async def test_a_slow_answer_is_given_up(self, script: str, at_most_seconds: float, call: Call) -> None:
        """Silence counts as dead before the deadline does; an answer that trickles meets the deadline."""

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

        started = asyncio.get_running_loop().time()
        async with serving(slow) as server, client_of(server.url, timeout_seconds=0.5) as client:
            answer = await call(client)
            took = asyncio.get_running_loop().time() - started
            await server.until(lambda: server.open_connections == 0)

        assert answer == Unavailable(None, "timeout")
        assert took < at_most_seconds + 0.5  # other processes share the machine

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


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A 200 in chunks."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end


CLOSING_HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


class TestWhatComesBack:
    """Bytes that HTTP allows, and bytes that it does not."""

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(chunked(CUSTOMER[:100], CUSTOMER[100:]), id="in chunks"),
            pytest.param(CLOSING_HEAD + CUSTOMER, id="ended by the connection"),
            pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + GOOD, id="after an interim answer"),
            pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(CUSTOMER), CUSTOMER), id="HTTP/1.0"),
            pytest.param(response(200, CUSTOMER, {"Content-Type": "text/html"}), id="under another content type"),
        ],
    )
    async def test_every_way_to_send_the_customer_is_ok(self, raw: bytes) -> None:
        """What counts is what is in the body."""
        answer, _ = await answer_of(ending(raw), get)

        assert isinstance(answer, Ok)

    @pytest.mark.parametrize(
        ("raw", "cause"),
        [
            pytest.param(b"", "connection_lost", id="nothing"),
            pytest.param(b"HTTP/1.1 200", "connection_lost", id="half a status line"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "connection_lost", id="half a head"),
            pytest.param(GOOD[:-20], "connection_lost", id="half a body"),
            pytest.param(response(503, b"half", {"Content-Length": "9"}), "connection_lost", id="half an error"),
            pytest.param(chunked(CUSTOMER, end=b""), "connection_lost", id="no last chunk"),
            pytest.param(CLOSING_HEAD + CUSTOMER[:-20], "connection_lost", id="half a body without its length"),
            pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol", id="an odd chunk"),
            pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "protocol", id="another protocol"),
            pytest.param(b"\x15\x03\x01\x00\x02\x02\x16" * 9 + b"\r\n", "protocol", id="TLS"),
            pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", "protocol", id="a status that is no number"),
            pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "protocol", id="a negative length"),
            pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "protocol", id="an endless header"),
            pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", "protocol", id="endless headers"),
            pytest.param(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "protocol", id="two lengths"
            ),
        ],
    )
    @both_methods
    async def test_what_is_no_whole_answer_is_unavailable(self, raw: bytes, cause: Cause, call: Call) -> None:
        """Nothing of it counts, not even its status; a PATCH may have been carried out."""
        answer, server = await answer_of(ending(raw), call)

        assert answer == Unavailable(None, cause)
        assert len(server.requests) == 1

    async def test_a_compressed_answer_is_not_decompressed(self) -> None:
        """A small body cannot swell into a large one."""
        answer, _ = await answer_of(saying(response(200, b"\x1f\x8b", {"Content-Encoding": "gzip"})), get)

        assert isinstance(answer, ContractBroken)

    async def test_a_body_announced_as_too_large_is_not_read(self) -> None:
        """One byte beyond the bound is too much."""
        size = client_module.LARGEST_CUSTOMER_BYTES + 1
        answer, _ = await answer_of(saying(response(200, b"", {"Content-Length": str(size)})), get)

        assert answer == Unavailable(None, "response_too_large")

    async def test_a_body_without_end_is_read_up_to_the_bound(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The connection is cut there; what the server could send is bounded by buffers, not by its patience."""
        bound = 1024 * 1024
        monkeypatch.setattr(client_module, "LARGEST_CUSTOMER_BYTES", bound)
        written = 0

        async def endless(_: Request, wire: Wire) -> None:
            nonlocal written
            await wire.send(CLOSING_HEAD)
            while True:
                await wire.send(b"x" * 65_536)
                written += 65_536

        answer, _ = await answer_of(endless, get)

        assert answer == Unavailable(None, "response_too_large")
        assert written < bound + 8 * 1024 * 1024  # what the kernel's socket buffers take

    async def test_a_large_customer_is_ok(self) -> None:
        """The upstream stores a note of 8 MiB."""
        large = json.dumps(json.loads(CUSTOMER) | {"note": "n" * 8 * 1024 * 1024}).encode()
        answer, _ = await answer_of(saying(response(200, large)), get)

        assert isinstance(answer, Ok)

    async def test_of_a_large_error_page_the_status_is_enough(self) -> None:
        """A refused token is a refused token, also on a page of a megabyte."""
        answer, _ = await answer_of(saying(response(401, b"no entry " * 120_000)), get)

        assert isinstance(answer, DeploymentFault)
        assert answer.message.startswith("no entry no entry")

    async def test_an_answer_before_the_whole_request_was_read_counts(self) -> None:
        """A gateway may refuse a large body by its length."""
        done = asyncio.Event()

        async def impatient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(response(413, b"too large", {"Connection": "close"}))
            await writer.drain()
            while await reader.read(65_536):  # a clean end: the client gets to read the answer
                pass
            writer.close()
            done.set()

        async with await asyncio.start_server(impatient, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with client_of(f"http://127.0.0.1:{port}") as client:
                answer = await client.patch(CUSTOMER_ID, {"note": "n" * 8 * 1024 * 1024})
            await done.wait()

        assert answer == Rejected(413, "too large")


def ending(raw: bytes) -> Script:
    """Writes *raw* and closes the connection."""

    async def script(_: Request, wire: Wire) -> None:
        await wire.send(raw)
        wire.end()

    return script


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
