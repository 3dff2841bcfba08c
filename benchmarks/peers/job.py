"""The job itself, as somebody would write it without this project: read, merge, write, tell.

Shared by the peers in Python. Nothing here checks, retries, folds or survives a failure: the peers are measured on
good days alone.
"""

import json
import os
from typing import Any

import aiohttp

ENVIRONMENT = os.environ
IN_FLIGHT = int(ENVIRONMENT["UPSTREAM_MAX_CONCURRENCY"])

Headers = list[tuple[str, bytes]]


def make_session() -> aiohttp.ClientSession:
    """One pool of connections."""
    return aiohttp.ClientSession(
        base_url=ENVIRONMENT["UPSTREAM_BASE_URL"],
        headers={"Authorization": f"Bearer {ENVIRONMENT['UPSTREAM_TOKEN']}"},
        connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
    )


async def apply(session: aiohttp.ClientSession, command: dict[str, Any]) -> dict[str, Any]:
    """GET, merge, PATCH; the customer as it is afterwards."""
    path = f"/customers/{command['customer_id']}"
    async with session.get(path) as response:
        response.raise_for_status()
        customer = await response.json()
    body = {name: customer[name] for name in ("name", "email", "tags")} | command["changes"]
    async with session.patch(path, json=body) as response:
        response.raise_for_status()
        updated: dict[str, Any] = await response.json()
    return updated


def event_of(topic: str, partition: int, offset: int, customer: dict[str, Any]) -> tuple[bytes, Headers]:
    """Value and headers of the event."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_type", b"customer.updated"),
        ("ce_source", b"peer"),
        ("ce_id", f"{topic}-{partition}-{offset}".encode()),
        ("ce_subject", customer["id"].encode()),
        ("ce_causationid", f"{topic}:{partition}:{offset}".encode()),
        ("content-type", b"application/json"),
    ]
    return json.dumps(customer).encode(), headers
