"""What the worker answers over HTTP: probes for the kubelet, metrics for Prometheus, an overview for people."""

import html
import json
from collections.abc import Callable, Mapping
from typing import Any

from faststream.asgi import AsgiResponse, get
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from worker.operations.status import Status

Route = tuple[str, Any]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>customer-sync</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="5">
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }} th, td {{ text-align: right; padding: .25rem .75rem }}
th {{ border-bottom: 1px solid currentColor; font-weight: 600 }} td:first-child, th:first-child {{ text-align: left }}
.wide {{ overflow-x: auto }}
</style></head><body><main>
<h1>customer-sync</h1><p><strong>{sentence}</strong></p>
<div class="wide"><table><caption>Partitions of this replica</caption>
<thead><tr><th scope="col">partition</th><th scope="col">committed</th><th scope="col">lag</th>
<th scope="col">waiting</th><th scope="col">in flight</th><th scope="col">retrying</th></tr></thead>
<tbody>{partitions}</tbody></table></div>
<div class="wide"><table><caption>Outcomes since the start</caption>
<thead><tr><th scope="col">outcome</th><th scope="col">commands</th></tr></thead><tbody>{outcomes}</tbody></table></div>
<p>Requests sent upstream: {requests}. Circuits: {circuits}. Delivery: {delivery}.
Version {version}, worker {worker}.</p>
<nav><a href="/livez">livez</a> · <a href="/readyz">readyz</a> · <a href="/metrics">metrics</a> ·
<a href="/api/status">status as JSON</a> · <a href="/asyncapi">AsyncAPI</a></nav>
</main></body></html>
"""


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
    async def page(_scope: object) -> AsgiResponse:
        return AsgiResponse(_overview(status()).encode(), 200, {"content-type": "text/html; charset=utf-8"})

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
        ("/", page),
    ]


def _text(body: str, status_code: int) -> AsgiResponse:
    return AsgiResponse(body.encode(), status_code, {"content-type": "text/plain; charset=utf-8"})


def _overview(status: Status) -> str:
    outcomes = [("events", status.outcomes.get("event", {}).get("", 0))]
    outcomes += [
        (f"dead letters: {reason}", number) for reason, number in status.outcomes.get("dead_letter", {}).items()
    ]
    return _PAGE.format(
        sentence=html.escape(f"{status.state}: {status.reason}" if status.reason else status.state),
        partitions="".join(
            _row(
                p.statistics.partition,
                p.statistics.committable,
                "?" if p.lag is None else p.lag,
                p.statistics.unfinished,
                p.statistics.in_flight,
                p.statistics.retrying,
            )
            for p in status.partitions
        ),
        outcomes="".join(_row(name, number) for name, number in outcomes),
        requests=status.requests,
        circuits=html.escape(", ".join(f"{request} {state}" for request, state in status.circuits.items())),
        delivery=status.delivery,
        version=status.version,
        worker=html.escape(status.worker),
    )


def _row(*cells: object) -> str:
    return "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>"
