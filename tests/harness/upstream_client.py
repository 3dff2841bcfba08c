"""The upstream's client as tests use it: one known customer, one call, one server that follows a script."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from harness.scripted_http import Script, ScriptedServer, response, serving
from worker.upstream.answers import Answer
from worker.upstream.client import UpstreamClient
from worker.upstream.token_source import TokenSource

CUSTOMER_ID = "00000000-0000-4000-8000-000000000101"
RECORDINGS = json.loads((Path(__file__).parents[1] / "data" / "upstream-exchanges.json").read_text("utf-8"))
CUSTOMER = json.dumps(RECORDINGS["scenarios"][0]["exchanges"][0]["response"]["body"]).encode()
GOOD = response(200, CUSTOMER, {"Content-Type": "application/json"})
TOKEN = "mid_secret"

Call = Callable[[UpstreamClient], Awaitable[Answer]]


def client_of(url: str, *, timeout_seconds: float = 5.0, max_concurrency: int = 4) -> UpstreamClient:
    """A client with a fixed token."""
    return UpstreamClient(url, TokenSource.from_value(TOKEN), timeout_seconds, max_concurrency)


def get(client: UpstreamClient) -> Awaitable[Answer]:
    """Reads the recorded customer."""
    return client.get(CUSTOMER_ID)


def patch(client: UpstreamClient) -> Awaitable[Answer]:
    """Writes something to it."""
    return client.patch(CUSTOMER_ID, {"name": "Acme", "email": "c101@lab.test", "tags": []})


both_methods = pytest.mark.parametrize("call", [get, patch])


async def answer_of(script: Script, call: Call, *, timeout_seconds: float = 5.0) -> tuple[Answer, ScriptedServer]:
    """One answer from a server that follows *script*; afterwards no connection is left."""
    async with serving(script) as server:
        async with client_of(server.url, timeout_seconds=timeout_seconds) as client:
            answer = await call(client)
        await server.until(lambda: server.open_connections == 0)
    return answer, server
