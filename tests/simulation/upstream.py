"""The upstream: customers, what a PATCH really does to them, the rate limit, and everything that can go wrong.

The rules are those of the recorded exchanges: a PATCH creates an id it does not know and deletes tags it does not
name; a 400 writes nothing; a 500 may have written a part; a request whose client has gone is carried out all the same.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, cast

from pydantic import JsonValue

from handlers.customer import Customer
from simulation.process import Process, current
from simulation.world import World
from worker.upstream.answers import (
    Answer,
    Cause,
    DeploymentFault,
    NotFound,
    Ok,
    Quota,
    RateLimited,
    Rejected,
    Request,
    Unavailable,
)

Row = dict[str, JsonValue]


@dataclass(eq=False, slots=True)
class Call:
    """One request, from its sending to the end of the server's work on it."""

    process: Process
    request: Request
    customer_id: str
    body: Row
    sent_at: float
    is_connected: bool = True
    # What the docs name as possible befell it on its way: a freeze, a loss of the partition.
    is_excused: bool = False
    # Its client gets no 2xx, whatever is done.
    is_failing: bool = False
    is_confirmed: bool = False


class Observer(Protocol):
    """Who watches what arrives."""

    def sent(self, call: Call) -> None:
        """A worker has just sent it."""

    def arrived(self, call: Call, others: list[Call]) -> None:
        """The server begins with it, while *others* of the same customer are under way."""

    def written(self, call: Call, before: Row | None, after: Row) -> None:
        """A PATCH has changed the customer, or created it."""

    def limited(self, call: Call) -> None:
        """It was refused for the limit."""

    def told_to_wait(self, call: Call, until: float) -> None:
        """The worker knows that it was, and for how long."""


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which requests of some kinds fail in one way."""

    until: float
    mode: str
    requests: frozenset[Request]


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely a request fails by itself, how long it takes, and what a client is told."""

    failing: float
    slowest_seconds: float
    names_quota: bool
    limit: int
    window_seconds: float


@dataclass(slots=True)
class Window:
    """The upstream's fixed window: begun by a request, ended by time."""

    ends_at: float = 0.0
    used: int = 0


@dataclass(slots=True)
class Fate:
    """What becomes of one request: whether it is carried out, and what its client gets, if anything."""

    is_done: bool = True
    answer: Answer | None = None
    is_answered: bool = True


class Upstream:
    """The server."""

    def __init__(self, world: World, rows: dict[str, Row], weather: Weather, observer: Observer) -> None:
        self._world = world
        self._weather = weather
        self._observer = observer
        self._under_way: list[Call] = []
        self._window = Window()
        self.rows = rows
        self.spells: list[Spell] = []
        self.server_errors: dict[str, int] = {}
        self.requests = 0

    async def ask(self, request: Request, customer_id: str, body: Row, timeout_seconds: float) -> Answer:
        """One request of the process that runs now."""
        process = current()
        call = Call(process, request, customer_id, body, self._world.now)
        process.note(request.value, customer_id[-3:])
        self._observer.sent(call)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._world.after(self._travel(), lambda: self._arrive(call, future))
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await future
            if isinstance(answer, RateLimited):
                self._observer.told_to_wait(call, self._world.now + answer.retry_after_seconds)
            return answer
        except TimeoutError:
            return Unavailable(None, "timeout")
        finally:
            call.is_connected = False

    def disconnect(self, process: Process) -> None:
        """The process has ended: its connections are gone, and what it asked for may still be done."""
        for call in self._under_way:
            if call.process is process:
                call.is_connected = False

    def excuse(self, process: object) -> None:
        """What this process has on the wire now may overlap with its successor's: that is documented."""
        for call in self._under_way:
            if call.process is process:
                call.is_excused = True

    def _travel(self) -> float:
        return self._world.between(0.0005, self._weather.slowest_seconds)

    def _arrive(self, call: Call, future: asyncio.Future[Answer]) -> None:
        self.requests += 1
        others = [other for other in self._under_way if other.customer_id == call.customer_id]
        self._observer.arrived(call, others)
        self._under_way.append(call)
        fate = self._fate(call)
        call.is_failing = fate.answer is not None or not fate.is_answered
        takes = self._travel()
        if not fate.is_answered:
            # Done at some time, or never; its client has long gone then.
            if fate.is_done:
                self._world.after(self._world.between(0, 30), lambda: self._carry_out(call))
            self._world.after(60, lambda: self._end(call))
            return

        def serve() -> None:
            answer = self._carry_out(call) if fate.is_done else None
            self._end(call)
            self._world.answer(future, self._travel(), fate.answer or answer)

        self._world.after(takes, serve)

    def _end(self, call: Call) -> None:
        if call in self._under_way:
            self._under_way.remove(call)

    def _fate(self, call: Call) -> Fate:
        world = self._world
        refusal = self._count(call)
        if refusal is not None:
            return Fate(is_done=False, answer=refusal)
        self.spells = [spell for spell in self.spells if spell.until > world.now]
        mode = next((spell.mode for spell in self.spells if call.request in spell.requests), None)
        if mode is None:
            if not world.likely(self._weather.failing):
                return Fate()
            mode = world.random.choice(("500", "503", "reset", "hang"))
        is_done = call.request is Request.PATCH and world.likely(0.4)
        if mode == "hang":
            return Fate(is_done=is_done, is_answered=False)
        if mode == "401":
            return Fate(is_done=False, answer=DeploymentFault(401, "token refused"))
        if mode == "500":
            self._note_server_error(call)
        return Fate(is_done=is_done, answer=_failure(mode, self._quota()))

    def _count(self, call: Call) -> RateLimited | None:
        limit = self._weather.limit
        if not limit:
            return None
        window = self._window
        if self._world.now >= window.ends_at:
            window.ends_at = self._world.now + self._weather.window_seconds
            window.used = 0
        if window.used >= limit:
            self._observer.limited(call)
            return RateLimited(max(window.ends_at - self._world.now, 1.0))
        window.used += 1
        return None

    def _quota(self) -> Quota | None:
        weather = self._weather
        if not weather.limit or not weather.names_quota:
            return None
        left = max(self._window.ends_at - self._world.now, 0.0)
        return Quota(weather.limit, weather.limit - self._window.used, weather.window_seconds, left)

    def _carry_out(self, call: Call) -> Answer:
        row = self.rows.get(call.customer_id)
        if call.request is Request.GET:
            return NotFound(self._quota()) if row is None else self._ok(row)
        note = str(call.body.get("note"))
        if str(call.body.get("email")).endswith("@refused.example"):
            return Rejected(400, "email: malformed", frozenset({"email"}), self._quota())
        if note.startswith("refused"):
            return Rejected(422, "no", frozenset(), self._quota())
        if note.startswith("poison-none"):
            self._note_server_error(call)
            return Unavailable(500, "status", self._quota())
        is_partial = note.startswith("poison-part")
        call.is_confirmed = not (call.is_failing or is_partial)
        changed = {name: value for name, value in call.body.items() if not (is_partial and name == "note")}
        after: Row = {**(row or {"id": call.customer_id}), "tags": [], **changed}
        self.rows[call.customer_id] = after
        self._observer.written(call, row, after)
        if is_partial:
            self._note_server_error(call)
            return Unavailable(500, "status", self._quota())
        return self._ok(after)

    def _note_server_error(self, call: Call) -> None:
        self.server_errors[call.customer_id] = self.server_errors.get(call.customer_id, 0) + 1

    def _ok(self, row: Row) -> Ok:
        return Ok(Customer.parse(json.dumps(row).encode()), self._quota())


def _failure(mode: str, quota: Quota | None) -> Answer:
    if mode in {"500", "503"}:
        return Unavailable(int(mode), "status", quota)
    cause: Cause = "connect" if mode == "connect" else "connection_lost"
    return Unavailable(None, cause)


class ModelClient:
    """As `worker.upstream.client.UpstreamClient`."""

    def __init__(self, _base_url: str, _token: object, timeout_seconds: float, _max_concurrency: int) -> None:
        self._timeout_seconds = timeout_seconds
        self._upstream = current().upstream

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, customer_id: str) -> Answer:
        """Reads one customer."""
        return await self._upstream.ask(Request.GET, customer_id, {}, self._timeout_seconds)

    async def patch(self, customer_id: str, body: Mapping[str, object], known: Mapping[str, object]) -> Answer:  # noqa: ARG002
        """Writes one customer."""
        copied = cast("Row", json.loads(json.dumps(body)))
        return await self._upstream.ask(Request.PATCH, customer_id, copied, self._timeout_seconds)
