"""GET and PATCH of one customer over kept-alive connections; each request ends in exactly one `Answer`.

The library is aiohttp (docs/decisions/0001-http-client.md). What it does not promise by itself is arranged here:

- One call is at most one request on the wire. aiohttp sends a GET again when its connection dies; a middleware
  hides that error from it. The budget counts requests and the policy counts attempts: neither may miss one.
- The token goes to the configured host alone: no redirect is followed, no proxy is taken from the environment.
- The body is read in pieces up to a bound and never decompressed, so that no answer can fill the memory.
- Idle connections are dropped before the upstream drops them (after 60 s, unannounced).
- A request that ends early, by its deadline or by cancellation, closes its connection: the late answer to it
  can never be taken for the answer to another request.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from typing import TYPE_CHECKING, Final, Self

import aiohttp
from yarl import URL

from worker.upstream.answers import Answer, Request, Unavailable
from worker.upstream.interpretation import Received, Sent, interpret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from worker.upstream.token_source import TokenSource

LARGEST_CUSTOMER_BYTES: Final = 16 * 1024 * 1024
"""Bound of a 200's body. The upstream stores a note of 8 MiB without complaint."""
LARGEST_ERROR_BYTES: Final = 64 * 1024
"""Bound of what is read of any other body; the status says enough, the rest is dropped with its connection."""
LARGEST_PIECE_BYTES: Final = 1024 * 1024
"""A larger request is written in pieces, between which other requests have their turn."""
KEEP_IDLE_SECONDS: Final = 45.0
"""The upstream closes idle connections after 60 s."""
CONNECT_SHARE: Final = 0.5
"""Share of a request's time in which a connection must come about, name resolution and TLS included."""
SILENCE_SHARE: Final = 0.8
"""Share of a request's time after which a connection without a single new byte counts as dead."""

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class _ConnectionLost(aiohttp.ClientError):
    """A connection that ended before the answer's head; not one of the errors that aiohttp repeats a GET for."""


class _TooLarge(Exception):
    """A 200 whose body goes beyond its bound."""


async def _send_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _ConnectionLost from error


class UpstreamClient:
    """The upstream's customers. Nothing the network or the upstream does raises; nothing is retried in here.

    Use it as an asynchronous context manager. *base_url* is http or https, with a path in front of `/customers` or
    without; ValueError where it is anything else. *timeout_seconds* bounds a whole request, from waiting for one of
    *max_concurrency* connections to the last byte of the answer.
    """

    def __init__(self, base_url: str, token: TokenSource, timeout_seconds: float, max_concurrency: int) -> None:
        self._base = _checked_base(base_url)
        self._customers = f"{self._base.raw_path.rstrip('/')}/customers/"
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._max_concurrency = max_concurrency
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Opens the connection pool; connects nowhere yet."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._max_concurrency, keepalive_timeout=KEEP_IDLE_SECONDS),
            timeout=aiohttp.ClientTimeout(
                total=None,  # the deadline of each request bounds all of it
                connect=CONNECT_SHARE * self._timeout_seconds,
                sock_read=SILENCE_SHARE * self._timeout_seconds,
            ),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "customer-sync"},
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_send_once,),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()

    async def get(self, customer_id: str) -> Answer:
        """Reads one customer. Raises ValueError where *customer_id* is no UUID in lower case (before any request)."""
        return await self._request(Request.GET, customer_id, {})

    async def patch(self, customer_id: str, body: Mapping[str, object]) -> Answer:
        """Writes *body*, the camelCase JSON object, to one customer. Raises ValueError as `get` does."""
        return await self._request(Request.PATCH, customer_id, body)

    async def _request(self, request: Request, customer_id: str, body: Mapping[str, object]) -> Answer:
        if _UUID.fullmatch(customer_id) is None:
            raise ValueError("a customer's id is a UUID in lower case; the upstream answers any other with 500")
        sent = Sent(request, customer_id, self._token.current(), body)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                received = await self._exchange(sent)
        except aiohttp.ConnectionTimeoutError:
            return Unavailable(None, "connect")
        except TimeoutError:
            return Unavailable(None, "timeout")
        except (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError):
            return Unavailable(None, "tls")
        except aiohttp.ClientConnectorError:
            return Unavailable(None, "connect")
        except aiohttp.ClientResponseError:
            return Unavailable(None, "protocol")
        except (aiohttp.ClientError, OSError):
            return Unavailable(None, "connection_lost")
        except _TooLarge:
            return Unavailable(None, "response_too_large")
        return interpret(sent, received)

    async def _exchange(self, sent: Sent) -> Received:
        """One request, one answer; the connection is kept only where the answer was read to its end."""
        if self._session is None:
            raise RuntimeError("UpstreamClient is used outside its `async with`")
        headers = {"Authorization": f"Bearer {sent.token}"}
        data: bytes | io.BytesIO | None = None
        if sent.request is Request.PATCH:
            headers["Content-Type"] = "application/json"
            data = _encode(sent.body).encode()
            if len(data) > LARGEST_PIECE_BYTES:
                data = io.BytesIO(data)
        url = self._base.with_path(self._customers + sent.customer_id, encoded=True)
        async with self._session.request(
            sent.request, url, headers=headers, data=data, allow_redirects=False
        ) as response:
            return Received(
                status=response.status,
                headers=response.headers,
                body=await _bounded_body(response),
                ends_with_connection="Content-Length" not in response.headers
                and "Transfer-Encoding" not in response.headers,
            )

    def __repr__(self) -> str:
        return f"UpstreamClient({str(self._base)!r}, token={self._token!r})"


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    """The body up to its bound. Raises _TooLarge for a 200 beyond it, cuts any other short."""
    bound = LARGEST_CUSTOMER_BYTES if response.status == 200 else LARGEST_ERROR_BYTES
    body = bytearray()
    if (response.content_length or 0) <= bound or response.status != 200:
        while piece := await response.content.readany():
            body += piece
            if len(body) > bound:
                break
        else:
            return bytes(body)
    if response.status == 200:
        raise _TooLarge
    return bytes(body[:bound])


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
