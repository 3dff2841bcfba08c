"""What was asked of the upstream, in order, with the moments at which each request began and ended.

Whoever judges the worker reads it: two requests of one customer that overlap, a PATCH without its GET, a customer
created. It is bounded in entries and bytes; the oldest go first. It never holds a credential.
"""

import sys
from collections import Counter, deque
from itertools import islice
from typing import Final

from pydantic import JsonValue
from pydantic_core import from_json

_LONGEST: Final = 200_000
_MOST_BYTES: Final = 64 * 1024 * 1024


class Entry:
    """One request; *started* and *ended* in monotonic seconds.

    *ended* is None while the request is under way. *status* is None until it is answered, and stays so where it never
    was: the client hung up, or a fault took the connection.
    """

    __slots__ = (
        "applied",
        "body",
        "created",
        "customer_id",
        "ended",
        "fault",
        "method",
        "sequence",
        "started",
        "status",
    )

    def __init__(self, sequence: int, started: float, method: str, customer_id: str | None, body: bytes) -> None:
        self.sequence = sequence
        self.started = started
        self.ended: float | None = None
        # Entries are kept by the hundred thousand, and most repeat the methods and ids of others.
        self.method = sys.intern(method)
        self.customer_id = None if customer_id is None else sys.intern(customer_id)
        self.body = body
        self.status: int | None = None
        self.applied = False
        self.created = False
        self.fault: str | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """The entry as ``GET /control`` shows it; a body that is no JSON is shown as text."""
        return {
            "sequence": self.sequence,
            "started": self.started,
            "ended": self.ended,
            "method": self.method,
            "customer_id": self.customer_id,
            "status": self.status,
            "body": _readable(self.body),
            "applied": self.applied,
            "created": self.created,
            "fault": self.fault,
        }


class Journal:
    """Begins and ends entries.

    *overlaps* counts requests that began while another one of the same customer was under way.
    """

    def __init__(self, longest: int = _LONGEST, most_bytes: int = _MOST_BYTES) -> None:
        self.requests = 0
        self.overlaps = 0
        self._longest = longest
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: deque[Entry] = deque()
        self._under_way: Counter[str | None] = Counter()

    @property
    def first(self) -> int:
        """Sequence number of the oldest entry that is kept, or that the next request will get."""
        return self._entries[0].sequence if self._entries else self.requests + 1

    @property
    def under_way(self) -> int:
        """Requests begun and not ended."""
        return self._under_way.total()

    def begin(self, now: float, method: str, customer_id: str | None, body: bytes) -> Entry:
        """Writes down a request that begins."""
        self.requests += 1
        entry = Entry(self.requests, now, method, customer_id, body)
        under_way = self._under_way
        if customer_id in under_way and customer_id is not None:
            self.overlaps += 1
        under_way[customer_id] += 1
        entries = self._entries
        entries.append(entry)
        self._bytes += len(body)
        while len(entries) > self._longest or (self._bytes > self._most_bytes and len(entries) > 1):
            self._bytes -= len(entries.popleft().body)
        return entry

    def end(self, entry: Entry, now: float) -> None:
        """Writes down that *entry* was answered or has lost its client."""
        entry.ended = now
        left = self._under_way[entry.customer_id] - 1
        if left:
            self._under_way[entry.customer_id] = left
        else:
            del self._under_way[entry.customer_id]

    def since(self, sequence: int = 0, most: int | None = None) -> list[dict[str, JsonValue]]:
        """The kept entries after *sequence*, oldest first, at most *most*."""
        skipped = max(0, sequence + 1 - self.first)
        stop = None if most is None else skipped + most
        return [entry.as_json() for entry in islice(self._entries, skipped, stop)]


def _readable(body: bytes) -> JsonValue:
    if not body:
        return None
    try:
        document: JsonValue = from_json(body)
    except ValueError:  # so are lone surrogates, which the answer could not carry
        return body.decode(errors="replace")
    return document
