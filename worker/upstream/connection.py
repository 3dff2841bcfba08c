"""One kept-alive HTTP/1.1 connection: one request at a time, each answered by exactly one answer or error.

llhttp (through httptools) parses; here is what happens around it. An answer ends where its length or its last chunk
says, or, where neither is announced, with the connection. Interim answers (1xx) are skipped. Bytes that no request
asked for, a second answer to one request among them, end the connection: they would be taken for the answer to the
next request.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from worker.upstream.interpretation import Received

if TYPE_CHECKING:
    from collections.abc import Callable

LARGEST_HEAD_BYTES: Final = 16 * 1024
"""Of a status line and its fields; as much as Node.js takes."""


class ConnectionLost(Exception):
    """The connection ended before the whole answer was there."""


class NoHTTP(Exception):
    """What came back is not HTTP."""


class BodyTooLarge(Exception):
    """A 200 whose body goes beyond its bound."""


class TimedOut(Exception):
    """The answer was not there in time, or nothing at all came for too long."""


class Connection(asyncio.Protocol):
    """A connection of a pool. `ask` sends one request; afterwards `is_reusable` says whether it may send another.

    *bound_of* gives the bytes of body that are read for a status; of a 200 beyond it nothing counts, any other is cut
    off there.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_bound_of",
        "_has_head",
        "_head_bytes",
        "_headers",
        "_is_framed",
        "_is_spoilt",
        "_loop",
        "_parser",
        "_room",
        "_status",
        "_transport",
        "_unfinished_bytes",
        "closed",
        "deadline",
        "heard_at",
    )

    def __init__(self, bound_of: Callable[[int], int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._bound_of = bound_of
        self._transport: asyncio.Transport | None = None
        self._parser = HttpResponseParser(self)
        self._answer: asyncio.Future[Received] | None = None
        self._is_spoilt = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.deadline = 0.0
        """When the answer must be whole, in the loop's time."""
        self.heard_at = 0.0
        """When the last byte was sent or came, in the loop's time."""
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._begin()

    @property
    def is_reusable(self) -> bool:
        """Whether the last answer was read to its end and the other side keeps the connection."""
        transport = self._transport
        return not self._is_spoilt and transport is not None and not transport.is_closing()

    async def ask(self, request: bytes, deadline: float) -> Received:
        """Sends *request* and returns the whole answer; *deadline*, in the loop's time, is for `check` to keep.

        Raises ConnectionLost, NoHTTP, BodyTooLarge or TimedOut. A request that ends in any other way than with its
        whole answer takes its connection along.
        """
        if self._transport is None or not self.is_reusable:
            raise ConnectionLost
        self._answer = self._loop.create_future()
        self._begin()
        self.deadline = deadline
        self.heard_at = self._loop.time()
        self._transport.write(request)
        try:
            return await self._answer
        except BaseException:
            self.abort()
            raise
        finally:
            self._answer = None

    def check(self, now: float, silence_seconds: float) -> None:
        """Gives the request under way up where its time is over, or where it was silent for too long."""
        if self._answer is not None and (now >= self.deadline or now >= self.heard_at + silence_seconds):
            self._fail(TimedOut())

    def abort(self) -> None:
        """Ends the connection at once."""
        self._is_spoilt = True
        if self._transport is not None:
            self._transport.abort()

    # --- called by asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection has come about."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # this protocol is used for streams alone
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        self.heard_at = self._loop.time()
        if self._is_answered:
            self.abort()
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._fail(NoHTTP())
        if not self._has_head:
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > LARGEST_HEAD_BYTES:
                self._fail(NoHTTP())

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is over, from whatever side."""
        if self._has_head and not self._is_framed and error is None:
            self._complete()
        self._fail(ConnectionLost())
        if not self.closed.done():
            self.closed.set_result(None)

    # --- called by the parser; what is raised in here would only come out as a parser's error ---

    def on_message_begin(self) -> None:
        """An answer begins."""
        if self._is_answered:
            self._is_spoilt = True
            self._begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head; of repeated ones the first counts."""
        self._head_bytes += len(name) + len(value) + 4  # a colon, a blank, the end of the line
        self._headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """The head is there."""
        if self._head_bytes > LARGEST_HEAD_BYTES:
            self._fail(NoHTTP())
        self._status = self._parser.get_status_code()
        if self._status < 200:
            return
        length = self._headers.get("content-length")
        self._is_framed = length is not None or "transfer-encoding" in self._headers
        self._room = self._bound_of(self._status)
        self._has_head = True
        if length is not None and int(length) > self._room and self._status == 200:
            self._fail(BodyTooLarge())

    def on_body(self, piece: bytes) -> None:
        """Some of the body is there."""
        if self._is_answered:
            return
        self._room -= len(piece)
        if self._room >= 0:
            self._body.append(piece)
            return
        self._is_spoilt = True
        if self._status == 200:
            self._fail(BodyTooLarge())
        else:
            self._body.append(piece[: self._room])
            self._complete()

    def on_message_complete(self) -> None:
        """The answer is whole."""
        if not self._has_head:  # interim
            self._begin()
            return
        if not self._parser.should_keep_alive() or self._is_sending:
            self._is_spoilt = True
        self._complete()

    @property
    def _is_sending(self) -> bool:
        """Whether the answer came before the whole request was out."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    @property
    def _is_answered(self) -> bool:
        """Whether no request waits for anything that comes now."""
        return self._answer is None or self._answer.done()

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(
                Received(self._status, self._headers, b"".join(self._body), ends_with_connection=not self._is_framed)
            )

    def _begin(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._head_bytes = 0
        self._unfinished_bytes = 0
        self._has_head = False
        self._is_framed = True
        self._room = 0

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
