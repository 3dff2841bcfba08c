"""What is served of the group, and under which rules."""

import asyncio
import json
import re
from typing import Any

import pytest
from faststream.asgi import AsgiFastStream

from harness.groups import IDLE, a_busy_view
from worker.operations.group import GroupView
from worker.operations.page import assets
from worker.operations.replica import Replica
from worker.operations.site import Site


async def view() -> GroupView:
    """A group with something in every part."""
    return a_busy_view()


async def report() -> Replica:
    """A replica that is well."""
    return IDLE


def answer(path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    app = AsgiFastStream(asgi_routes=Site(view, report).routes(), logger=None)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:  # noqa: ANN401  # ASGI says so
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    asyncio.run(app(scope, receive, send))
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/api/group", "application/json"),
        ("/api/replica", "application/json"),
        (assets.STYLE.path, "text/css; charset=utf-8"),
        (assets.SCRIPT.path, "text/javascript; charset=utf-8"),
        (assets.ICON.path, "image/svg+xml"),
    ],
)
def test_everything_is_served_under_a_strict_policy(path: str, content_type: str) -> None:
    """Nothing from elsewhere, nothing inline, in nobody's frame."""
    status, headers, _ = answer(path)

    assert (status, headers["content-type"]) == (200, content_type)
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff"


def test_page_names_its_assets_by_their_content() -> None:
    """They may be kept for ever; the page may not be kept at all."""
    _, headers, body = answer("/")
    named = re.findall(rb'"(/assets/[^"]+)"', body)

    assert headers["cache-control"] == "no-store"
    assert sorted(path.decode() for path in named) == sorted(asset.path for asset in assets.ASSETS)
    assert "immutable" in answer(assets.STYLE.path)[1]["cache-control"]


def test_documents_are_those_of_the_page() -> None:
    """For programs."""
    assert json.loads(answer("/api/group")[2])["here"] == "sync-0"
    assert json.loads(answer("/api/replica")[2])["worker"] == IDLE.worker


@pytest.mark.parametrize("path", ["/", "/api/group", "/api/replica", "/api/live"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(path: str, method: str) -> None:
    """It is only to be read."""
    assert answer(path, method)[0] == 405
