"""An upstream for benchmarks: as little work as possible for answers that look like the upstream's.

    python benchmarks/upstream.py --port 8081 --latency-ms 20

The simulated upstream of the demo costs as much CPU per request as the worker itself and would be what is measured
on a small machine. This one answers every GET and PATCH of a customer after a fixed latency, keeps each customer's
phone (the number of the command that wrote it), and watches what must never happen: two requests of one customer at
a time, and a customer that moves back to an older number. `GET /statistics` tells; `POST /reset?latency_ms=50` begins
anew. Spans that are exported to `/v1/traces` are taken and forgotten.
"""

import argparse
import asyncio
import gc
import json
from collections import deque
from dataclasses import asdict, dataclass, field
from urllib.parse import parse_qs

CUSTOMER = {
    "id": "%s",
    "name": "Acme",
    "email": "billing@acme.test",
    "phone": "%s",
    "createdAt": "2026-11-23 11:52:41.%s+00",
    "token": "",
    "invoiceCount": 12,
    "projectCount": 3,
    "tags": [{"id": "00000000-0000-4000-8000-000000000051", "name": "VIP"}],
} | dict.fromkeys(
    (
        *("website", "country", "addressLine1", "addressLine2", "city", "state", "zip", "note", "vatNumber"),
        *("countryCode", "contact"),
        *(f"enriched{number}" for number in range(23)),
    ),
    "a value of usual length",
)
_BODY = json.dumps(CUSTOMER).encode()
_FAILURE = b"HTTP/1.1 %d Failed\r\ncontent-length: 0\r\n\r\n"
_CUT_OFF = b""
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


@dataclass(slots=True)
class Statistics:
    """What was asked since the last reset."""

    gets: int = 0
    patches: int = 0
    overlaps: int = 0
    moved_back: int = 0
    phones: dict[str, int] = field(default_factory=dict)


class Upstream:
    """The customers, the latency, and the answers that wait for it."""

    def __init__(self, latency_seconds: float) -> None:
        self.latency_seconds = latency_seconds
        self.statistics = Statistics()
        self.failing_every = 0
        self.failing_with = 0
        self._asked = 0
        self._under_way: set[bytes] = set()
        self._due: deque[tuple[float, Connection, bytes, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def request(self, connection: "Connection", method: bytes, customer: bytes, body: bytes) -> None:
        """Carries one request out and answers it later; all wait equally long, so one timer serves all."""
        statistics = self.statistics
        if customer in self._under_way:
            statistics.overlaps += 1
        self._under_way.add(customer)
        self._asked += 1
        fails = self.failing_every and not self._asked % self.failing_every
        if fails and self.failing_with:
            self._answer_later(connection, customer, _FAILURE % self.failing_with)
            return
        customer_id = customer.decode()
        if method == b"PATCH":
            statistics.patches += 1
            number = int(json.loads(body)["phone"])
            statistics.moved_back += number < statistics.phones.get(customer_id, -1)
            statistics.phones[customer_id] = number
        else:
            statistics.gets += 1
        answer = _BODY % (customer, b"%d" % statistics.phones.get(customer_id, 0), customer[-6:])
        self._answer_later(connection, customer, _CUT_OFF if fails else _HEAD % (len(answer), answer))

    def _answer_later(self, connection: "Connection", customer: bytes, answer: bytes) -> None:
        due = self._loop.time() + self.latency_seconds
        self._due.append((due, connection, customer, answer))
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._answer)

    def _answer(self) -> None:
        now = self._loop.time()
        while self._due and self._due[0][0] <= now + 0.0002:
            _, connection, customer, answer = self._due.popleft()
            self._under_way.discard(customer)
            connection.write(answer)
        self._timer = self._loop.call_at(self._due[0][0], self._answer) if self._due else None


class Connection(asyncio.Protocol):
    """One kept-alive connection; no pipelining."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the connection to answer on."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hands on each whole request; a body counts as whole when its content length has come."""
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        head, body = received[:end], received[end + 4 :]
        method, path, _ = head.split(b" ", 2)
        if method != b"GET":
            lower = head.lower()
            at = lower.find(b"content-length:")
            if at >= 0 and len(body) < int(lower[at + 15 :].split(b"\r", 1)[0]):
                return
        self._received = b""
        if path.startswith(b"/customers/"):
            self._upstream.request(self, method, path[11:], body)
        elif path == b"/v1/traces":
            self.write(_HEAD % (0, b""))
        else:
            self._control(path.decode())

    def write(self, answer: bytes) -> None:
        """Answers, if anybody still listens; nothing to write cuts the connection off."""
        if self._transport is None or self._transport.is_closing():
            return
        if answer:
            self._transport.write(answer)
        else:
            self._transport.abort()

    def _control(self, path: str) -> None:
        path, _, query = path.partition("?")
        if path == "/reset":
            self._upstream.statistics = Statistics()
            self._upstream.latency_seconds = float(parse_qs(query)["latency_ms"][0]) / 1000
        if path == "/fail":
            asked = parse_qs(query)
            self._upstream.failing_every, self._upstream.failing_with = int(asked["every"][0]), int(asked["status"][0])
        body = json.dumps(asdict(self._upstream.statistics)).encode()
        self.write(_HEAD % (len(body), body))


async def serve(port: int, latency_seconds: float) -> None:
    """Serves until it is killed."""
    upstream = Upstream(latency_seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(upstream), "127.0.0.1", port, backlog=1024)
    gc.freeze()
    await server.serve_forever()


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--latency-ms", type=float, default=20)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.latency_ms / 1000))


if __name__ == "__main__":
    main()
