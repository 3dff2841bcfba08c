"""The page for people on call and its documents: `/`, `/api/group`, `/api/replica`, `/api/live`; all to be read."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from faststream.asgi import AsgiResponse, get

from worker.operations import group, replica
from worker.operations.group import GroupView
from worker.operations.health import health
from worker.operations.live import Live, Look
from worker.operations.page import assets
from worker.operations.page.document import document, live_parts
from worker.operations.page.markup import Html
from worker.operations.replica import Replica

Route = tuple[str, Any]

HEADERS: Final = {
    # Nothing from anywhere else, nothing inline, nowhere to send anything to, in nobody's frame.
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types page"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_FOREVER: Final = {**HEADERS, "cache-control": "public, max-age=31536000, immutable"}


class Site:
    """What is served of the group."""

    def __init__(self, view: Callable[[], Awaitable[GroupView]], report: Callable[[], Awaitable[Replica]]) -> None:
        """*view* is the group's, *report* this replica's own."""
        self._view = view
        self._report = report
        self._made: tuple[GroupView, dict[str, Html]] | None = None
        self._live = Live(self._look, HEADERS)

    def end(self) -> None:
        """Ends the streams, so that the server can end."""
        self._live.end()

    def routes(self) -> list[Route]:
        """Every path with what answers it."""

        @get(include_in_schema=False)
        async def page(_scope: object) -> AsgiResponse:
            view = await self._view()
            return _answer(document(view, self._parts(view)).encode(), "text/html; charset=utf-8")

        @get(include_in_schema=False)
        async def api_group(_scope: object) -> AsgiResponse:
            return _answer(group.to_json(await self._view()), "application/json")

        @get(include_in_schema=False)
        async def api_replica(_scope: object) -> AsgiResponse:
            return _answer(replica.to_json(await self._report()), "application/json")

        return [
            ("/", page),
            ("/api/group", api_group),
            ("/api/replica", api_replica),
            ("/api/live", self._live),
            *((asset.path, _served(asset)) for asset in assets.ASSETS),
        ]

    async def _look(self) -> Look:
        view = await self._view()
        found = health(view)
        return f"{found.name} · customer-sync", found.level, self._parts(view)

    def _parts(self, view: GroupView) -> dict[str, Html]:
        """Made once for everybody who looks at this view."""
        if self._made is None or self._made[0] is not view:
            self._made = (view, live_parts(view))
        return self._made[1]


def _served(asset: assets.Asset) -> Any:  # noqa: ANN401  # one of FastStream's handlers
    @get(include_in_schema=False)
    async def serve(_scope: object) -> AsgiResponse:
        return AsgiResponse(asset.content, 200, {**_FOREVER, "content-type": asset.content_type})

    return serve


def _answer(body: bytes, content_type: str) -> AsgiResponse:
    return AsgiResponse(body, 200, {**HEADERS, "content-type": content_type})
