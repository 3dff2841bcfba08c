"""Connections to one host: opened when none is free, kept while they are used, dropped before the host drops them.

One look around, some times in every request's time, serves all deadlines and all idle connections, instead of
timers for each request: a request may end that much late, and costs nothing.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Final

import aiohappyeyeballs

from worker.upstream.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.upstream.interpretation import Received

LOOKS_IN_A_TIMEOUT: Final = 40
HAPPY_EYEBALLS_SECONDS: Final = 0.25
"""RFC 8305 section 8: how long one address is tried before the next is tried beside it."""
RESOLVED_SECONDS: Final = 10.0
"""How long addresses are kept: a spike opens hundreds of connections and should ask for them once."""


class NotConnected(Exception):
    """No connection came about in time, or none was free in time: nothing was sent."""


class NotTrusted(Exception):
    """A connection came about, but not to somebody whose certificate can be trusted: nothing was sent."""


class Pool:
    """At most *most* connections to *host*:*port*, over TLS where there is a *context*. All times in seconds."""

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        most: int,
        connect_seconds: float,
        timeout_seconds: float,
        silence_seconds: float,
        keep_idle_seconds: float,
        bound_of: Callable[[int], int],
    ) -> None:
        """*silence_seconds*: how long a request waits for a next byte; *bound_of*: see `Connection`."""
        self._loop = asyncio.get_running_loop()
        self._host = host
        self._port = port
        self._context = context
        self._slots = asyncio.Semaphore(most)
        self._connect_seconds = connect_seconds
        self._timeout_seconds = timeout_seconds
        self._silence_seconds = silence_seconds
        self._keep_idle_seconds = keep_idle_seconds
        self._bound_of = bound_of
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._resolving = asyncio.Lock()
        self._addresses: Sequence[aiohappyeyeballs.AddrInfoType] = ()
        self._resolved_until = 0.0
        self._timer = self._loop.call_later(timeout_seconds / LOOKS_IN_A_TIMEOUT, self._look_around)

    async def ask(self, request: bytes) -> Received:
        """Sends *request* over one connection and returns its answer.

        Raises NotConnected, NotTrusted, and what `Connection.ask` raises.
        """
        deadline = self._loop.time() + self._timeout_seconds
        connection = self._idle_connection() if not self._slots.locked() else None
        if connection is not None:
            await self._slots.acquire()  # does not wait
        else:
            connection = await self._connected()
        try:
            return await connection.ask(request, deadline)
        finally:
            self._slots.release()
            if connection.is_reusable:
                self._idle.append(connection)
            else:
                connection.abort()

    async def close(self) -> None:
        """Ends every connection, also those that are used."""
        self._timer.cancel()
        connections = list(self._connections)
        for connection in connections:
            connection.abort()
        if connections:
            await asyncio.wait([connection.closed for connection in connections], timeout=1.0)

    def _idle_connection(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable:
                return connection
        return None

    async def _connected(self) -> Connection:
        """A connection, and the slot for it."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._slots.acquire()
                try:
                    return self._idle_connection() or await self._connect()
                except BaseException:
                    self._slots.release()
                    raise
        except ssl.SSLError as error:
            raise NotTrusted from error
        except OSError as error:  # TimeoutError and a name that is not known among them
            raise NotConnected from error

    async def _connect(self) -> Connection:
        sock = await aiohappyeyeballs.start_connection(
            await self._resolve(), happy_eyeballs_delay=HAPPY_EYEBALLS_SECONDS
        )
        _, connection = await self._loop.create_connection(
            lambda: Connection(self._bound_of),
            sock=sock,
            ssl=self._context,
            server_hostname=self._host if self._context is not None else None,
        )
        self._connections.add(connection)
        connection.closed.add_done_callback(lambda _: self._connections.discard(connection))
        return connection

    async def _resolve(self) -> Sequence[aiohappyeyeballs.AddrInfoType]:
        async with self._resolving:
            if self._loop.time() >= self._resolved_until:
                self._addresses = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                self._resolved_until = self._loop.time() + RESOLVED_SECONDS
            return self._addresses

    def _look_around(self) -> None:
        now = self._loop.time()
        for connection in list(self._connections):
            connection.check(now, self._silence_seconds)
        # The least recently used are at the front.
        while self._idle and (not self._idle[0].is_reusable or self._idle[0].heard_at + self._keep_idle_seconds <= now):
            self._idle.pop(0).abort()
        self._timer = self._loop.call_later(self._timeout_seconds / LOOKS_IN_A_TIMEOUT, self._look_around)
