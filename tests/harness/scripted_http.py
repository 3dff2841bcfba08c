"""An HTTP server on localhost that does on the wire exactly what a test tells it, also what no real server should."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

BLANK_LINE = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it arrived; *connection* counts connections from 1, header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    connection: int


Script = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]
"""Answers one request by writing to its connection; closing the writer ends the connection."""


@dataclass(slots=True)
class ScriptedServer:
    """A running server: where it is, what it was asked, and how many connections it has."""

    script: Script
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, fact: Callable[[], bool]) -> None:
        """Waits at most 5 s until *fact* about this server holds."""
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(fact)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads requests off one connection until one side ends it."""
        self.connections += 1
        self.open_connections += 1
        connection = self.connections
        try:
            while not writer.is_closing() and (request := await _read_request(reader, connection)) is not None:
                self.requests.append(request)
                await self._tell()
                await self.script(request, writer)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open_connections -= 1
            await self._tell()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[ScriptedServer]:
    """Serves *script* on a free port; at the end whatever connection is left is cut."""
    scripted = ScriptedServer(script)
    tasks: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as connections:

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.append(connections.create_task(scripted.serve(reader, writer)))

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        scripted.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield scripted
        finally:
            server.close()
            for task in tasks:
                task.cancel()


def response(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with its length, unless *headers* say otherwise."""
    fields = {"Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Said So\r\n{head}\r\n".encode("latin-1") + body


def saying(answer: bytes) -> Script:
    """Answers every request with the same bytes and keeps the connection."""

    async def script(_: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return script


async def _read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = (await reader.readuntil(BLANK_LINE)).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body, connection)
