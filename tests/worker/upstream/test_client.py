"""What the client sends, and where the token goes."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from harness.scripted_http import response, saying, serving
from harness.upstream_client import (
    CUSTOMER,
    CUSTOMER_ID,
    GOOD,
    TOKEN,
    Call,
    answer_of,
    both_methods,
    client_of,
    get,
)
from worker.upstream.answers import DeploymentFault, Ok, Unavailable
from worker.upstream.client import UpstreamClient
from worker.upstream.token_source import TokenSource

TLS = Path(__file__).parents[2] / "data" / "tls"


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
