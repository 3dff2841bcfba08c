"""The simulated upstream as an HTTP server: connections, delays and faults around the pure service.

A request is carried out when it has arrived and answered later, so that a slow answer never hides a late write. A
client that hangs up ends its request; what was carried out stays carried out, as with the real service.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs

from aiohttp import web

# aiohttp has no other way to give a low-level server's requests a body limit of their own.
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler
from pydantic import JsonValue
from pydantic_core import to_json

from worker.demo.upstream.control import Control, ControlRefused, parse_control
from worker.demo.upstream.failures import answer_of
from worker.demo.upstream.faults import Failure, Faults, Hang, Reset, Truncate
from worker.demo.upstream.journal import Entry, Journal
from worker.demo.upstream.service import Answer, Service, customer_id_in

_OPTIONS: Final = ("since", "limit", "journal", "customers")  # of GET /control
_LARGEST_BODY: Final = 64 * 1024 * 1024
_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close sends RST


class SimulatedUpstream:
    """Runs the simulated upstream inside ``async with``; *port* 0 takes a free one and keeps it.

    *rate_limit* requests of a user in *rate_window_seconds*, None: no limit and no ``RateLimit-*`` headers. Idle
    connections are closed after *idle_seconds*, unannounced, as the real service does after 60.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        rate_limit: int | None = 1000,
        rate_window_seconds: float = 600.0,
        latency_seconds: float = 0.0,
        customers: int = 0,
        idle_seconds: float = 60.0,
    ) -> None:
        self._host = host
        self._port = port
        self._latency_seconds = latency_seconds
        self._idle_seconds = idle_seconds
        self._service = Service(rate_limit, rate_window_seconds)
        self._service.customers.generate(customers)
        self._faults: Faults | None = None
        self._journal = Journal()
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listens; raises OSError where the port is taken. After ``stop`` it listens on the same port again."""
        self._server = web.Server(
            self._handle,
            request_factory=_request,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=self._idle_seconds,
        )
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._server, self._host, self._port, backlog=1024)
        self._port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuses new connections and drops those that are open. State and journal stay."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._drop_connections()
        await self._server.shutdown(timeout=1.0)
        await self._listener.wait_closed()
        self._listener = self._server = None

    def control(self, changes: Mapping[str, JsonValue]) -> None:
        """Does what ``POST /control`` does with *changes*; raises ControlRefused."""
        self._apply(parse_control(json.dumps(changes)))

    def state(self, *, customers: bool = True) -> dict[str, JsonValue]:
        """What ``GET /control`` shows, without the journal; *customers* False leaves those out too."""
        service, now = self._service, time.monotonic()
        kept = service.customers
        state: dict[str, JsonValue] = {
            "generated_customers": kept.generated,
            "customers_count": len(kept),
            "customers_created": list(kept.created),
            "tags_known": [{"id": tag_id, "name": name} for tag_id, name in kept.tags_known.items()],
            "rate_limit": service.windows.limit,
            "rate_window_seconds": service.windows.window_seconds,
            "latency_seconds": self._latency_seconds,
            "tokens": [{"user": one.user, "scopes": list(one.scopes)} for one in service.tokens.values()],
            "users": {user: dict(figures) for user, figures in service.windows.statistics(now).items()},
            "faults": [] if self._faults is None else list(self._faults.statistics()),
            "requests": self._journal.requests,
            "under_way": self._journal.under_way,
            "overlaps": self._journal.overlaps,
        }
        if customers:
            state["customers"] = list(kept.stored())
        return state

    def journal(self, since: int = 0, most: int | None = None) -> list[dict[str, JsonValue]]:
        """The journal's entries after sequence number *since*, oldest first, at most *most*."""
        return self._journal.since(since, most)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path == "/control":
            return await self._handle_control(request, query)
        if path == "/healthz":
            return web.Response(text="ok\n")
        method = request.method
        customer_id = customer_id_in(path)
        body = await request.read() if request.can_read_body else b""
        entry = self._journal.begin(time.monotonic(), method, customer_id, body)
        try:
            return await self._respond(request, entry)
        finally:
            self._journal.end(entry, time.monotonic())

    async def _respond(self, request: web.BaseRequest, entry: Entry) -> web.StreamResponse:
        delay, failure = self._latency_seconds, None
        if self._faults is not None:
            slow, failure = self._faults.pick(entry.method, entry.customer_id)
            delay += slow
        if failure is not None:
            answer = await self._fail(request, entry, failure, delay)
        else:
            answer = self._carry_out(request, entry)
            if delay:
                await asyncio.sleep(delay)
        entry.status = answer.status
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    def _carry_out(self, request: web.BaseRequest, entry: Entry) -> Answer:
        headers = request.headers
        answer = self._service.answer(
            entry.method,
            entry.customer_id,
            authorization=headers.get("Authorization"),
            content_type=headers.get("Content-Type"),
            body=entry.body,
            now=entry.started,
        )
        entry.applied = answer.applied
        entry.created = answer.created
        return answer

    async def _fail(self, request: web.BaseRequest, entry: Entry, failure: Failure, delay: float) -> Answer:
        """The failing answer; where there is none, waits until the connection is gone."""
        entry.fault = failure.kind
        carried_out = isinstance(failure, Truncate) or failure.apply
        true_answer = self._carry_out(request, entry) if carried_out else None
        await asyncio.sleep(delay)
        match failure:
            case Reset():
                _reset(request)
            case Truncate() if true_answer is not None:
                await _send_half(request, true_answer)
                entry.status = true_answer.status
            case Hang() | Truncate():
                pass
            case _:
                authorization = request.headers.get("Authorization")
                return answer_of(failure, true_answer, self._service, authorization, entry.started)
        # Ended by the cancellation that a lost connection brings.
        never: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        return await never

    async def _handle_control(self, request: web.BaseRequest, query: str) -> web.Response:
        match request.method:
            case "GET":
                return self._shown(query)
            case "POST":
                try:
                    control = parse_control(await request.read())
                except ControlRefused as refused:
                    return _json_response({"error": str(refused), "problems": list(refused.problems)}, status=400)
                self._apply(control, asking=request.protocol)
                response = web.Response(status=204)
                if control.restart:
                    response.force_close()
                return response
            case _:
                return _json_response({"error": "control takes GET and POST"}, status=405)

    def _shown(self, query: str) -> web.Response:
        asked = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
        problems: list[JsonValue] = [
            f"{name}: must be one of {', '.join(_OPTIONS)}, and a whole number"
            for name, value in asked.items()
            if name not in _OPTIONS or not value.isdecimal() or len(value) > 15
        ]
        if problems:
            return _json_response({"error": "control cannot show that", "problems": problems}, status=400)
        options = {name: int(value) for name, value in asked.items()}
        state = self.state(customers=options.get("customers", 1) != 0)
        if options.get("journal", 1) != 0:
            state["journal_first"] = self._journal.first
            state["journal"] = list(self.journal(options.get("since", 0), options.get("limit")))
        return _json_response(state)

    def _apply(self, control: Control, asking: RequestHandler | None = None) -> None:
        named = control.model_fields_set
        service = self._service
        windows = service.windows
        if "tags_known" in named:
            service.customers.replace_tags([(tag.id, tag.name) for tag in control.tags_known])
        if "customers" in named:
            service.customers.replace(control.rows())
        if "generate_customers" in named:
            service.customers.generate(control.generate_customers)
        if "rate_limit" in named or "rate_window_seconds" in named:
            windows.change(
                limit=control.rate_limit if "rate_limit" in named else windows.limit,
                window_seconds=(
                    control.rate_window_seconds if "rate_window_seconds" in named else windows.window_seconds
                ),
            )
        if "tokens" in named:
            service.tokens = control.accounts()
        if "latency_seconds" in named:
            self._latency_seconds = control.latency_seconds
        if "faults" in named:
            self._faults = Faults(control.faults) if control.faults else None
        if control.restart:
            windows.zero()
            self._drop_connections(but=asking)

    def _drop_connections(self, but: RequestHandler | None = None) -> None:
        if self._server is not None:
            for connection in self._server.connections:
                if connection is not but:
                    connection.force_close()


def _request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: "asyncio.Task[None]",
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LARGEST_BODY)


def _reset(request: web.BaseRequest) -> None:
    """Ends the request's connection with a TCP reset."""
    transport = request.transport
    if transport is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()


async def _send_half(request: web.BaseRequest, answer: Answer) -> None:
    """Sends *answer* with its whole length announced and half of its body, then closes the connection."""
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    if request.transport is not None:
        request.transport.close()


def _json_response(document: Mapping[str, JsonValue], status: int = 200) -> web.Response:
    return web.Response(status=status, body=to_json(document), headers={"Content-Type": "application/json"})
