"""What the worker answers over HTTP: probes for the kubelet, metrics for Prometheus, the contract."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from faststream.asgi import AsgiResponse, get
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from worker.operations.status import Status

Route = tuple[str, Any]


def routes(
    status: Callable[[], Status],
    registry: CollectorRegistry,
    refresh: Callable[[Status], None],
    asyncapi: Mapping[str, Any],
) -> list[Route]:
    """The worker's HTTP routes; *refresh* sets the gauges from a status before they are read.

    *asyncapi* is served as it is: FastStream's own page loads its scripts from another host, and knows no headers.
    """
    contract = json.dumps(asyncapi, indent=2, ensure_ascii=False).encode()

    @get(include_in_schema=False)
    async def livez(_scope: object) -> AsgiResponse:
        now = status()
        return _text("alive\n" if now.alive else f"not alive: {now.reason}\n", 200 if now.alive else 503)

    @get(include_in_schema=False)
    async def readyz(_scope: object) -> AsgiResponse:
        now = status()
        word = "ready" if now.ready else "not ready"
        return _text(f"{word}: {now.reason or now.state}\n", 200 if now.ready else 503)

    @get(include_in_schema=False)
    async def metrics(_scope: object) -> AsgiResponse:
        refresh(status())
        return AsgiResponse(generate_latest(registry), 200, {"content-type": CONTENT_TYPE_LATEST})

    @get(include_in_schema=False)
    async def api_status(_scope: object) -> AsgiResponse:
        return AsgiResponse(json.dumps(status().as_json()).encode(), 200, {"content-type": "application/json"})

    @get(include_in_schema=False)
    async def asyncapi_document(_scope: object) -> AsgiResponse:
        return AsgiResponse(contract, 200, {"content-type": "application/json"})

    return [
        ("/livez", livez),
        ("/readyz", readyz),
        ("/metrics", metrics),
        ("/api/status", api_status),
        ("/asyncapi", asyncapi_document),
        ("/asyncapi.json", asyncapi_document),
    ]


def _text(body: str, status_code: int) -> AsgiResponse:
    return AsgiResponse(body.encode(), status_code, {"content-type": "text/plain; charset=utf-8"})
