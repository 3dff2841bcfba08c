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


@dataclass(frozen=True, slots=True)
class Wire:
    """The server's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, raw: bytes) -> None:
        """Sends *raw* as it is; waits where the client does not take it."""
        self.writer.write(raw)
        await self.writer.drain()

    def end(self) -> None:
        """Sends nothing more, and waits for the client to end the connection, as a server does that closes cleanly."""
        self.writer.write_eof()

    def close(self) -> None:
        """Ends the connection for both directions."""
        self.writer.close()

    def abort(self) -> None:
        """Ends the connection as a killed server's kernel does."""
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Says nothing until the client has ended the connection."""
        while await self.reader.read(65_536):
            pass


Script = Callable[[Request, Wire], Awaitable[None]]
"""Answers one request on its connection, and keeps the connection unless it ends it."""


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
                await self.script(request, Wire(reader, writer))
        except ConnectionError:
            pass
        finally:
            writer.close()
            try:
                with suppress(ConnectionError):
                    await writer.wait_closed()
            finally:
                self.open_connections -= 1
            await self._tell()

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


def saying(raw: bytes) -> Script:
    """Answers every request with *raw* and keeps the connection."""

    async def script(_: Request, wire: Wire) -> None:
        await wire.send(raw)

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
