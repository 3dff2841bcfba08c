"""GET and PATCH of one customer over kept-alive connections; each request ends in exactly one `Answer`.

HTTP/1.1 is spoken by `connection` and `pool` on httptools' parser: client libraries take most of a worker's CPU time
(docs/decisions/0001-http-client.md). What the worker needs is little:

- One call is at most one request on the wire. The budget counts requests and the policy counts attempts: neither may
  miss one.
- The token goes to the configured host alone: no redirect is followed, no proxy is taken from the environment.
- The body is read up to a bound and never decompressed, so that no answer can fill the memory.
- Idle connections are dropped before the upstream drops them (after 60 s, unannounced).
- A request that ends early, by its deadline or by cancellation, closes its connection: the late answer to it
  can never be taken for the answer to another request.
"""

from __future__ import annotations

import json
import re
import ssl
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from yarl import URL

from worker.upstream.answers import Answer, Request, Unavailable
from worker.upstream.connection import BodyTooLarge, ConnectionLost, NoHTTP, TimedOut
from worker.upstream.interpretation import Sent, interpret
from worker.upstream.pool import NotConnected, NotTrusted, Pool

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from worker.upstream.token_source import TokenSource

LARGEST_CUSTOMER_BYTES: Final = 16 * 1024 * 1024
"""Bound of a 200's body. The upstream stores a note of 8 MiB without complaint."""
LARGEST_ERROR_BYTES: Final = 64 * 1024
"""Bound of what is read of any other body; the status says enough, the rest is dropped with its connection."""
KEEP_IDLE_SECONDS: Final = 45.0
"""The upstream closes idle connections after 60 s."""
CONNECT_SHARE: Final = 0.5
"""Share of a request's time in which a connection must come about, name resolution and TLS included."""
SILENCE_SHARE: Final = 0.8
"""Share of a request's time after which a connection without a single new byte counts as dead."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class UpstreamClient:
    """The upstream's customers. Nothing the network or the upstream does raises; nothing is retried in here.

    Use it as an asynchronous context manager. *base_url* is http or https, with a path in front of `/customers` or
    without; ValueError where it is anything else. *timeout_seconds* bounds a whole request, from waiting for one of
    *max_concurrency* connections to the last byte of the answer.
    """

    def __init__(self, base_url: str, token: TokenSource, timeout_seconds: float, max_concurrency: int) -> None:
        self._url = _checked_base(base_url)
        self._target = f"{self._url.raw_path.rstrip('/')}/customers/"
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._max_concurrency = max_concurrency
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        """Opens the connection pool; connects nowhere yet."""
        self._pool = Pool(
            self._url.raw_host or "",
            self._url.port or 0,
            _trusting_the_system() if self._url.scheme == "https" else None,
            most=self._max_concurrency,
            connect_seconds=CONNECT_SHARE * self._timeout_seconds,
            timeout_seconds=self._timeout_seconds,
            silence_seconds=SILENCE_SHARE * self._timeout_seconds,
            keep_idle_seconds=KEEP_IDLE_SECONDS,
            bound_of=lambda status: LARGEST_CUSTOMER_BYTES if status == 200 else LARGEST_ERROR_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection."""
        if self._pool is not None:
            await self._pool.close()

    async def get(self, customer_id: str) -> Answer:
        """Reads one customer. Raises ValueError where *customer_id* is no UUID in lower case (before any request)."""
        return await self._request(Request.GET, customer_id, {}, {})

    async def patch(
        self, customer_id: str, body: Mapping[str, object], known: Mapping[str, object] = MappingProxyType({})
    ) -> Answer:
        """Writes *body*, the camelCase JSON object, to one customer. Raises ValueError as `get` does.

        No answer repeats a value of *body* or of *known*, the customer as it was read.
        """
        return await self._request(Request.PATCH, customer_id, body, known)

    async def _request(
        self, request: Request, customer_id: str, body: Mapping[str, object], known: Mapping[str, object]
    ) -> Answer:
        if _UUID.fullmatch(customer_id) is None:
            raise ValueError("a customer's id is a UUID in lower case; the upstream answers any other with 500")
        if self._pool is None:
            raise RuntimeError("UpstreamClient is used outside its `async with`")
        sent = Sent(request, customer_id, self._token.current(), body, known)
        try:
            received = await self._pool.ask(self._on_the_wire(sent))
        except NotConnected:
            return Unavailable(None, "connect")
        except NotTrusted:
            return Unavailable(None, "tls")
        except TimedOut:
            return Unavailable(None, "timeout")
        except ConnectionLost:
            return Unavailable(None, "connection_lost")
        except NoHTTP:
            return Unavailable(None, "protocol")
        except BodyTooLarge:
            return Unavailable(None, "response_too_large")
        return interpret(sent, received)

    def _on_the_wire(self, sent: Sent) -> bytes:
        head = (
            f"{sent.request} {self._target}{sent.customer_id} HTTP/1.1\r\n"
            f"Host: {self._url.host_port_subcomponent}\r\n"
            f"Authorization: Bearer {sent.token}\r\n"
            "Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: customer-sync\r\n"
        )
        if sent.request is Request.GET:
            return f"{head}\r\n".encode("ascii")
        body = _encode(sent.body)  # ASCII: everything else is escaped
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode("ascii")

    def __repr__(self) -> str:
        return f"UpstreamClient({str(self._url)!r}, token={self._token!r})"


def _trusting_the_system() -> ssl.SSLContext:
    """Trusts the authorities of OpenSSL's paths and of `SSL_CERT_FILE`."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _checked_base(base_url: str) -> URL:
    """*base_url*, read. Raises ValueError where the token must not be sent there."""
    try:
        url = URL(base_url.strip())
        port = url.port
        (url.raw_host or "").encode("idna")  # what name resolution does: an empty or endless label is refused here
    except ValueError as error:
        raise ValueError("the upstream's base URL cannot be read") from error
    if url.scheme not in {"http", "https"} or not url.host or " " in url.host or port is None:
        raise ValueError("the upstream's base URL needs http:// or https:// and a host")
    if url.user is not None or url.password is not None:
        raise ValueError("the upstream's base URL must not hold credentials: they would end up in logs")
    if url.raw_query_string or url.raw_fragment:
        raise ValueError("the upstream's base URL must not hold a query or a fragment")
    return url
