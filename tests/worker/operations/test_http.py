"""What the worker answers over HTTP: probes, metrics, a document for machines, the contract."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from faststream.asgi import AsgiFastStream
from prometheus_client import CollectorRegistry, Gauge

from worker.operations.http import routes
from worker.operations.status import PartitionStatus, Status
from worker.pacing.forecast import Forecast
from worker.partition import PartitionStatistics

STATISTICS = PartitionStatistics(
    partition=2,
    committable=40,
    next_offset=60,
    unfinished=7,
    held_bytes=9_000,
    lanes=5,
    in_flight=3,
    retrying=1,
    committing=1,
    commits=12,
    oldest_ms=None,
)
STATUS = Status(
    state="running",
    reason="",
    alive=True,
    ready=True,
    worker="worker-1",
    version="1.2.3",
    delivery="exactly_once",
    partitions=(PartitionStatus(STATISTICS, lag=25), PartitionStatus(replace(STATISTICS, partition=4), lag=None)),
    circuits={"get": "closed", "patch": "open"},
    held_for="",
    forecast=Forecast(requests=50.0, seconds=90.25),
    budget_remaining=321.0,
    outcomes={"event": {"": 11}, "dead_letter": {"invalid": 2}},
    requests=30,
)


def answer(
    path: str,
    status: Status = STATUS,
    *,
    registry: CollectorRegistry | None = None,
    refresh: Callable[[Status], None] = lambda _: None,
    method: str = "GET",
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a request to an application with these routes."""
    asgi_routes = routes(lambda: status, registry or CollectorRegistry(), refresh, {"asyncapi": "3.0.0", "ü": 1})
    app = AsgiFastStream(asgi_routes=asgi_routes, logger=None)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401  # ASGI says so
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, body.decode()


@pytest.mark.parametrize(
    ("alive", "reason", "expected"),
    [
        pytest.param(True, "", (200, "alive\n"), id="alive"),
        pytest.param(True, "circuit open", (200, "alive\n"), id="an open circuit is no reason to be restarted"),
        pytest.param(False, "stuck", (503, "not alive: stuck\n"), id="stuck"),
    ],
)
def test_liveness(alive: bool, reason: str, expected: tuple[int, str]) -> None:
    """The kubelet restarts what is not alive: only a restart must be able to help."""
    status, _, body = answer("/livez", replace(STATUS, alive=alive, reason=reason))

    assert (status, body) == expected


@pytest.mark.parametrize(
    ("ready", "state", "reason", "expected"),
    [
        pytest.param(True, "running", "", (200, "ready: running\n"), id="ready"),
        pytest.param(
            True,
            "running",
            "circuit open: most PATCH requests fail",
            (200, "ready: circuit open: most PATCH requests fail\n"),
            id="an open circuit stays ready and says so",
        ),
        pytest.param(False, "starting", "", (503, "not ready: starting\n"), id="starting"),
        pytest.param(False, "running", "held: 401", (503, "not ready: held: 401\n"), id="held"),
    ],
)
def test_readiness(ready: bool, state: str, reason: str, expected: tuple[int, str]) -> None:
    """A rollout must not hang on the upstream, and must stop at a fault of the deployment."""
    status, _, body = answer("/readyz", replace(STATUS, ready=ready, state=state, reason=reason))

    assert (status, body) == expected


def test_metrics_are_refreshed_when_they_are_read() -> None:
    """Gauges cost nothing while nobody looks."""
    registry = CollectorRegistry()
    gauge = Gauge("waiting", "Waiting.", registry=registry)
    status, headers, body = answer("/metrics", registry=registry, refresh=lambda now: gauge.set(now.requests))

    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=")
    assert "waiting 30.0" in body


def test_status_is_a_document_for_machines() -> None:
    """The whole document, so that a renamed field shows."""
    status, headers, body = answer("/api/status")
    document = json.loads(body)

    assert (status, headers["content-type"]) == (200, "application/json")
    first = document["partitions"][0]
    assert first["partition"] == 2
    assert (first["lag"], first["waiting"], first["in_flight"], first["retrying"], first["committed"]) == (
        25,
        7,
        3,
        1,
        40,
    )
    assert document["partitions"][1]["lag"] is None
    del document["partitions"]
    assert document == {
        "state": "running",
        "reason": "",
        "ready": True,
        "worker": "worker-1",
        "version": "1.2.3",
        "delivery": "exactly_once",
        "in_flight": 6,
        "retrying": 2,
        "waiting": 14,
        "lag_requests": 50,
        "drained_in_seconds": 90.2,
        "circuits": {"get": "closed", "patch": "open"},
        "hold": None,
        "budget_remaining": 321.0,
        "outcomes": {"event": 11, "dead_letter": {"invalid": 2}},
        "requests": 30,
    }


def test_status_of_a_worker_that_has_done_nothing_yet() -> None:
    """Every field is there from the beginning; an unlimited budget is null."""
    fresh = replace(STATUS, partitions=(), outcomes={}, budget_remaining=None, held_for="401: no")
    document = json.loads(answer("/api/status", fresh)[2])

    assert document["outcomes"] == {"event": 0, "dead_letter": {}}
    assert document["hold"] == {"reason": "401: no"}
    assert document["budget_remaining"] is None
    assert document["partitions"] == []


@pytest.mark.parametrize("path", ["/asyncapi", "/asyncapi.json"])
def test_contract_is_served_as_it_is(path: str) -> None:
    """For publishers and subscribers, and for their tools."""
    status, headers, body = answer(path)

    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {"asyncapi": "3.0.0", "ü": 1}


def test_other_paths_are_not_found() -> None:
    """Nothing else is served."""
    assert answer("/secrets")[0] == 404
    assert answer("/readyz", method="DELETE")[0] == 405
