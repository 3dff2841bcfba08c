"""What comes back on the wire: bytes that HTTP allows, and bytes that it does not."""

import asyncio
import gzip
import json

import pytest

from harness.scripted_http import Request, Script, Wire, response, saying
from harness.upstream_client import (
    CUSTOMER,
    CUSTOMER_ID,
    GOOD,
    Call,
    answer_of,
    both_methods,
    client_of,
    get,
)
from worker.upstream import client as client_module
from worker.upstream.answers import Cause, ContractBroken, DeploymentFault, Ok, Rejected, Unavailable


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
        """A small body cannot swell into one beyond all bounds."""
        bomb = gzip.compress(b" " * 2 * client_module.LARGEST_CUSTOMER_BYTES)
        answer, _ = await answer_of(saying(response(200, bomb, {"Content-Encoding": "gzip"})), get)

        assert isinstance(answer, ContractBroken)

    @pytest.mark.parametrize(
        "raw", [pytest.param(response(200, b"<p>"), id="by its length"), pytest.param(chunked(b"<p>"), id="in chunks")]
    )
    async def test_a_whole_body_that_is_no_customer_breaks_the_contract(self, raw: bytes) -> None:
        """It was not cut short: its end was announced, and came."""
        answer, _ = await answer_of(saying(raw), get)

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
