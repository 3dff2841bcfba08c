"""Server-sent events: while somebody looks, what has changed on the page is sent to them, and to nobody else."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from worker.operations.page import assets
from worker.operations.page.markup import Html

Look = tuple[str, str, Mapping[str, Html]]
"""The title, the level of health, and the parts of the page."""

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

LOOK_SECONDS = 2.0
MOST_VIEWERS = 20


class Live:
    """The ASGI application of the stream. Everybody who looks is sent the same looks, made once."""

    def __init__(self, look: Callable[[], Awaitable[Look]], headers: Mapping[str, str]) -> None:
        """*look* is called every two seconds for each viewer, and should answer them all with one look."""
        self._look = look
        self._headers = headers
        self._ending = asyncio.Event()
        self.viewers = 0

    def end(self) -> None:
        """Ends every stream: a server waits for its answers to be over before it ends."""
        self._ending.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One viewer, until they go."""
        if scope["method"] != "GET":
            await _refuse(send, 405, "only to be read\n")
            return
        if self.viewers >= MOST_VIEWERS:
            await _refuse(send, 503, f"{MOST_VIEWERS} people look already; the page is up to date when it is loaded\n")
            return
        headers = {**self._headers, "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
        await send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
        self.viewers += 1
        try:
            async with asyncio.TaskGroup() as tasks:
                sending = tasks.create_task(self._send(send))
                over = {tasks.create_task(_gone(receive)), tasks.create_task(self._ending.wait())}
                await asyncio.wait({sending, *over}, return_when=asyncio.FIRST_COMPLETED)
                for task in (sending, *over):
                    task.cancel()
        finally:
            self.viewers -= 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        sent: dict[str, Html] = {}
        # A browser that has lost the connection comes back this soon.
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        while True:
            title, level, parts = await self._look()
            changed = {name: part for name, part in parts.items() if sent.get(name) != part}
            sent.update(changed)
            data = json.dumps({"assets": assets.VERSION, "title": title, "level": level, "parts": changed})
            event = f"event: look\ndata: {data}\n\n".encode()
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(LOOK_SECONDS)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, status: int, words: str) -> None:
    headers = {"content-type": "text/plain; charset=utf-8"}
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": words.encode(), "more_body": False})


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
