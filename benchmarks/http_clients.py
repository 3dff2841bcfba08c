"""Measures HTTP client libraries at the worker's concurrency, all in one run.

    uv run --with httpx --with pyreqwest python benchmarks/http_clients.py
    uv run --with httpx --with pyreqwest python benchmarks/http_clients.py --work-us 150 aiohttp pyreqwest

A server process answers each request after a fixed latency. Each client runs in a process of its own, so that CPU
seconds and peak memory are the client's alone; the runs are interleaved over several rounds and the median counts.
A command is two requests, a GET and a PATCH. Every client does what the worker needs of it: a deadline per request,
no redirects, a body read in pieces up to a bound. `--work-us` lets the event loop's thread work that long for each
command, as the rest of the worker does. Only ratios within one run mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import multiprocessing
import resource
import statistics
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from multiprocessing.connection import Connection

DEADLINE_SECONDS = 120.0  # httpx needs more than 10 s to open 256 connections at once
BODY_BOUND_BYTES = 16 * 1024 * 1024
HEADERS = {"Authorization": "Bearer mid_benchmark", "Accept": "application/json"}
CUSTOMER_ID = "b3b7c1e2-4c2a-4e7a-9c1a-2b7c1e24c2a4"
CUSTOMER = {
    "id": CUSTOMER_ID,
    "name": "Acme",
    "email": "billing@acme.test",
    "createdAt": "2026-11-23 11:52:41.479246+00",
    "token": "",
    "invoiceCount": 12,
    "projectCount": 3,
    "tags": [{"id": "00000000-0000-4000-8000-000000000051", "name": "VIP"}],
} | dict.fromkeys(
    (
        "phone",
        "website",
        "country",
        "addressLine1",
        "addressLine2",
        "city",
        "state",
        "zip",
        "note",
        "vatNumber",
        "countryCode",
        "contact",
        *(f"enriched{number}" for number in range(23)),
    ),
    "a value of usual length",
)
PATCH = {"name": "Acme", "email": "billing@acme.test", "tags": [], "phone": "1"}
PATCH_BODY = json.dumps(PATCH).encode()


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one client."""

    requests_per_second: float
    cpu_seconds_per_1000_commands: float
    loop_seconds_per_1000_commands: float
    """CPU seconds of the event loop's thread alone: what the rest of the worker has to share with the client."""
    peak_mebibytes: float
    grown_mebibytes: float


@dataclass(frozen=True, slots=True)
class Load:
    """What one run asks of one client."""

    client: str
    port: int
    concurrency: int
    commands: int
    work_seconds: float


# --- the server: as little work as possible for an answer that looks like the upstream's -----------------------------


class DelayedAnswer(asyncio.Protocol):
    """Answers every request on a kept-alive connection after a fixed latency."""

    def __init__(self, latency_seconds: float) -> None:
        self._latency_seconds = latency_seconds
        self._received = b""
        self._transport: asyncio.Transport | None = None
        body = json.dumps(CUSTOMER).encode()
        self._answer = (
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nratelimit-policy: 1000;w=600\r\n"
            b"ratelimit-limit: 1000\r\nratelimit-remaining: 997\r\nratelimit-reset: 552\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers each whole request; a body counts as whole when its content length has come."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(rest) >= length:
            self._received = rest[length:]
            asyncio.get_running_loop().call_later(self._latency_seconds, self._write)

    def _write(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._answer)


def serve(latency_seconds: float, port_to: Connection) -> None:
    """Serves until it is killed; tells its port first."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: DelayedAnswer(latency_seconds), "127.0.0.1", 0, backlog=1024)
        port_to.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


# --- the clients -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def with_aiohttp(_: int, concurrency: int) -> AsyncIterator[Any]:
    """aiohttp: all in Python and C on the event loop."""
    import aiohttp  # noqa: PLC0415  (each client's process pays for its own library alone)

    timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=DEADLINE_SECONDS)
    connector = aiohttp.TCPConnector(limit=concurrency, keepalive_timeout=45)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
    ) as session:

        async def request(method: str, url: str, body: bytes | None) -> int:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                session.request(method, url, data=body, headers=HEADERS, allow_redirects=False) as response,
            ):
                received = bytearray()
                async for piece in response.content.iter_any():
                    received += piece
                    if len(received) > BODY_BOUND_BYTES:
                        raise ValueError
                return len(received)

        yield request


@asynccontextmanager
async def with_pyreqwest(_: int, concurrency: int) -> AsyncIterator[Any]:
    """pyreqwest: Rust's reqwest on a thread of its own; the body in pieces, so that it can be bounded."""
    client_module = importlib.import_module("pyreqwest.client")

    async with _pyreqwest_client(client_module, concurrency) as client:

        async def request(method: str, url: str, body: bytes | None) -> int:
            builder = client.request(method, url).headers(HEADERS)
            if body is not None:
                builder = builder.body_bytes(body)
            async with asyncio.timeout(DEADLINE_SECONDS), builder.build_streamed() as response:
                received = bytearray()
                while piece := await response.body_reader.read_chunk():
                    received += piece
                    if len(received) > BODY_BOUND_BYTES:
                        raise ValueError
                return len(received)

        yield request


def _pyreqwest_client(client_module: Any, concurrency: int) -> Any:  # noqa: ANN401  (libraries are loaded by name)
    return (
        client_module.ClientBuilder()
        .connect_timeout(timedelta(seconds=5))
        .read_timeout(timedelta(seconds=DEADLINE_SECONDS))
        .pool_max_idle_per_host(concurrency)
        .pool_idle_timeout(timedelta(seconds=45))
        .follow_redirects(enable=False)
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .no_proxy()
        .build()
    )


@asynccontextmanager
async def with_httpx(_: int, concurrency: int) -> AsyncIterator[Any]:
    """httpx on httpcore."""
    httpx: Any = importlib.import_module("httpx")
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=45)
    timeout = httpx.Timeout(DEADLINE_SECONDS, connect=5)
    async with httpx.AsyncClient(limits=limits, timeout=timeout, trust_env=False) as client:

        async def request(method: str, url: str, body: bytes | None) -> int:
            async with (
                asyncio.timeout(DEADLINE_SECONDS),
                client.stream(method, url, content=body, headers=HEADERS) as response,
            ):
                received = bytearray()
                async for piece in response.aiter_raw():
                    received += piece
                    if len(received) > BODY_BOUND_BYTES:
                        raise ValueError
                return len(received)

        yield request


@asynccontextmanager
async def with_upstream_client(port: int, concurrency: int) -> AsyncIterator[Any]:
    """The worker's own client, which also checks the customer that it gets."""
    from worker.upstream.answers import Ok  # noqa: PLC0415
    from worker.upstream.client import UpstreamClient  # noqa: PLC0415
    from worker.upstream.token_source import TokenSource  # noqa: PLC0415

    token = TokenSource.from_value("mid_benchmark")
    async with UpstreamClient(f"http://127.0.0.1:{port}", token, DEADLINE_SECONDS, concurrency) as client:

        async def request(_method: str, _url: str, body: bytes | None) -> int:
            answer = await (client.get(CUSTOMER_ID) if body is None else client.patch(CUSTOMER_ID, PATCH))
            if not isinstance(answer, Ok):
                raise TypeError(answer)
            return 1

        yield request


CLIENTS: dict[str, Any] = {
    "aiohttp": with_aiohttp,
    "pyreqwest": with_pyreqwest,
    "httpx": with_httpx,
    "UpstreamClient": with_upstream_client,
}
SLOW = {"httpx"}
"""Gets a twentieth of the commands."""


# --- measuring -------------------------------------------------------------------------------------------------------


def measure(load: Load, result_to: Connection) -> None:
    """Carries out *load* and sends a `Measurement`."""
    asyncio.run(_measure(load, result_to))


async def _measure(load: Load, result_to: Connection) -> None:
    async with CLIENTS[load.client](load.port, load.concurrency) as request:
        url = f"http://127.0.0.1:{load.port}/customers/{CUSTOMER_ID}"

        async def run(share: int) -> None:
            for _ in range(share):
                await request("GET", url, None)
                await request("PATCH", url, PATCH_BODY)
                worked = time.thread_time() + load.work_seconds
                while time.thread_time() < worked:
                    pass

        async def run_all(share: int) -> None:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(load.concurrency):
                    tasks.create_task(run(share))

        base_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await run_all(1)  # opens the connections
        share = max(1, load.commands // load.concurrency)
        wall, cpu, loop = time.monotonic(), time.process_time(), time.thread_time()
        await run_all(share)
        wall, cpu, loop = time.monotonic() - wall, time.process_time() - cpu, time.thread_time() - loop
        done = share * load.concurrency
        peak_kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result_to.send(
            Measurement(
                requests_per_second=2 * done / wall,
                cpu_seconds_per_1000_commands=cpu / done * 1000,
                loop_seconds_per_1000_commands=loop / done * 1000,
                peak_mebibytes=peak_kibibytes / 1024,
                grown_mebibytes=(peak_kibibytes - base_kibibytes) / 1024,
            )
        )


def run_in_process(work: Callable[..., None], *arguments: object) -> Any:  # noqa: ANN401
    """Runs *work* in a fresh process and returns the one thing it sends."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(*arguments, sending))
    process.start()
    sending.close()
    try:
        result = receiving.recv()
    finally:
        process.join()
    return result


def table(results: dict[str, list[Measurement]]) -> str:
    """Medians of all rounds, and their ratio to the first client's. CPU is for 1,000 commands."""

    def median(name: str, attribute: str) -> float:
        return float(statistics.median(getattr(measurement, attribute) for measurement in results[name]))

    lines = [
        "| client | requests/s | ratio | CPU s per 1,000 | ratio | loop's thread | ratio | peak MiB | grown by |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    first = next(iter(results))
    for name in results:
        cells = [name]
        for attribute, digits in (
            ("requests_per_second", 0),
            ("cpu_seconds_per_1000_commands", 3),
            ("loop_seconds_per_1000_commands", 3),
        ):
            value = median(name, attribute)
            cells += [f"{value:,.{digits}f}", f"{value / median(first, attribute):.2f}"]
        cells += [f"{median(name, 'peak_mebibytes'):.0f}", f"{median(name, 'grown_mebibytes'):.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Starts the server, measures each client in turn, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, default=256, help="commands in flight (%(default)s)")
    parser.add_argument("--commands", type=int, default=10_000, help="commands a run (%(default)s)")
    parser.add_argument("--latency-ms", type=float, default=20, help="the server's latency (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (%(default)s)")
    parser.add_argument("--work-us", type=float, default=0, help="Python work per command, microseconds (%(default)g)")
    parser.add_argument("clients", nargs="*", metavar="client", help=f"which of {', '.join(CLIENTS)} (all)")
    arguments = parser.parse_args()
    unknown = set(arguments.clients) - set(CLIENTS)
    if unknown:
        parser.error(f"no such client: {', '.join(sorted(unknown))}")

    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    server = context.Process(target=serve, args=(arguments.latency_ms / 1000, sending), daemon=True)
    server.start()
    port = receiving.recv()
    results: dict[str, list[Measurement]] = {}
    for round_number in range(arguments.rounds):
        for name in arguments.clients or CLIENTS:
            commands = arguments.commands // 20 if name in SLOW else arguments.commands
            print(f"round {round_number + 1}: {name}", file=sys.stderr)
            load = Load(name, port, arguments.concurrency, commands, arguments.work_us / 1e6)
            results.setdefault(name, []).append(run_in_process(measure, load))
    server.terminate()
    ceiling = 1000 * arguments.concurrency / arguments.latency_ms
    print(
        f"{arguments.concurrency} in flight, {arguments.latency_ms:g} ms latency (at most {ceiling:,.0f} requests/s), "
        f"{arguments.work_us:g} µs of other work per command, median of {arguments.rounds} rounds, "
        f"Python {sys.version.split()[0]}\n\n{table(results)}"
    )


if __name__ == "__main__":
    main()
