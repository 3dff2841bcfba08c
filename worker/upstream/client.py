"""GET and PATCH of one customer over kept-alive connections; each request ends in exactly one `Answer`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from worker.upstream.answers import Answer
    from worker.upstream.token_source import TokenSource


class UpstreamClient:
    """The upstream's customers. One call is at most one request on the wire: nothing is retried in here.

    Use it as an asynchronous context manager. *timeout_seconds* bounds a whole request, from taking a connection
    to the last byte of the answer.
    """

    def __init__(self, base_url: str, token: TokenSource, timeout_seconds: float, max_concurrency: int) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        """Opens the connection pool."""
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection."""
        raise NotImplementedError

    async def get(self, customer_id: str) -> Answer:
        """Reads one customer. Raises ValueError where *customer_id* is no UUID in lower case (before any request)."""
        raise NotImplementedError

    async def patch(self, customer_id: str, body: Mapping[str, object]) -> Answer:
        """Writes *body*, the camelCase JSON object, to one customer. Raises ValueError as `get` does."""
        raise NotImplementedError
