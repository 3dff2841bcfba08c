"""What is sent to those who look."""

import asyncio
import json
from typing import Any

from harness.virtual_time import run_virtually
from worker.operations.live import LOOK_SECONDS, MOST_VIEWERS, Live, Look
from worker.operations.page.markup import Html


class Viewer:
    """One browser's end of the stream."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """Says nothing until it goes."""
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:  # noqa: ANN401  # ASGI says so
        """Something comes."""
        self.sent.append(message)

    @property
    def status(self) -> int:
        """Of the answer."""
        return int(self.sent[0]["status"])

    @property
    def looks(self) -> list[dict[str, Any]]:
        """The data of the events that came."""
        bodies = [message.get("body", b"").decode() for message in self.sent[1:]]
        lines = [line for body in bodies for line in body.splitlines()]
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


class Sights:
    """What there is to be seen, one look after another."""

    def __init__(self, *looks: dict[str, str]) -> None:
        self._looks = list(looks)
        self.asked = 0

    async def __call__(self) -> Look:
        """The next, and the last for ever."""
        self.asked += 1
        parts = self._looks[min(self.asked, len(self._looks)) - 1]
        return "Idle", "well", {name: Html(part) for name, part in parts.items()}


SCOPE = {"type": "http", "method": "GET", "path": "/api/live"}


def test_only_what_has_changed_is_sent() -> None:
    """All of it at first."""

    async def scenario() -> tuple[Viewer, int]:
        live = Live(Sights({"a": "1", "b": "1"}, {"a": "1", "b": "2"}, {"a": "3", "b": "2"}), {"x-test": "yes"})
        viewer = Viewer()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(live(SCOPE, viewer.receive, viewer.send))
            await asyncio.sleep(2.5 * LOOK_SECONDS)
            viewers = live.viewers
            viewer.gone.set()
        assert live.viewers == 0
        return viewer, viewers

    viewer, viewers = run_virtually(scenario())

    assert viewers == 1
    assert viewer.status == 200
    headers = dict(viewer.sent[0]["headers"])
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"x-test"] == b"yes"
    assert [look["parts"] for look in viewer.looks] == [{"a": "1", "b": "1"}, {"b": "2"}, {"a": "3"}]
    assert {(look["title"], look["level"]) for look in viewer.looks} == {("Idle", "well")}


def test_stream_ends_when_the_worker_does() -> None:
    """A server waits for its answers to be over."""

    async def scenario() -> Viewer:
        live = Live(Sights({}), {})
        viewer = Viewer()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(live(SCOPE, viewer.receive, viewer.send))
            await asyncio.sleep(1)
            live.end()
        return viewer

    viewer = run_virtually(scenario())

    assert viewer.sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def test_nobody_is_looked_for_when_nobody_looks() -> None:
    """It costs nothing then."""

    async def scenario() -> int:
        sights = Sights({})
        live = Live(sights, {})
        viewer = Viewer()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(live(SCOPE, viewer.receive, viewer.send))
            await asyncio.sleep(0.1)
            viewer.gone.set()
        await asyncio.sleep(100)
        return sights.asked

    assert run_virtually(scenario()) == 1


def test_viewers_are_bounded() -> None:
    """Whoever comes too late is told."""

    async def scenario() -> Viewer:
        live = Live(Sights({}), {})
        viewers = [Viewer() for _ in range(MOST_VIEWERS + 1)]
        async with asyncio.TaskGroup() as tasks:
            for viewer in viewers:
                tasks.create_task(live(SCOPE, viewer.receive, viewer.send))
            await asyncio.sleep(1)
            live.end()
        return viewers[-1]

    late = run_virtually(scenario())

    assert late.status == 503
    assert b"20 people look already" in late.sent[1]["body"]


def test_stream_is_only_to_be_read() -> None:
    """No other method means anything."""

    async def scenario() -> Viewer:
        viewer = Viewer()
        await Live(Sights({}), {})({**SCOPE, "method": "POST"}, viewer.receive, viewer.send)
        return viewer

    assert run_virtually(scenario()).status == 405
