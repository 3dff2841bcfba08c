"""Commands settled once: which records are copies of one that came before.

A record is a copy where the partition holds a record of the same identity at most `window` offsets before it. That
depends on the log alone, so it is the same after every restart: the window is rebuilt by reading back. A copy with
the same key and value is repeated delivery and is settled in silence; with other bytes it may be a lost change, and
is refused. Identities and bytes are kept as 64-bit hashes. Pure.
"""

import hashlib
from collections import deque
from enum import Enum, auto

from handlers.command import identity_of
from handlers.record import CommandRecord

Identity = tuple[str | None, str]


class Verdict(Enum):
    """What a record is beside those before it."""

    NEW = auto()
    REPEATED = auto()
    REUSED_ID = auto()


class DeduplicationWindow:
    """The identities seen in the last *window* offsets of one partition, in some 200 bytes each."""

    __slots__ = ("_earliest", "_later", "_names", "_offsets", "_window")

    def __init__(self, *, window: int) -> None:
        """*window* in offsets; 0 = nothing is a copy."""
        self._window = window
        # By identity: the content of its earliest record in the window, and of the others where there are any.
        self._earliest: dict[int, int] = {}
        self._later: dict[int, deque[int]] = {}
        self._names: deque[int] = deque()
        self._offsets: deque[int] = deque()

    def judge(self, identity: Identity | None, record: CommandRecord) -> Verdict:
        """Compares *record* with those before it, and remembers it. None: it has no identity but its place."""
        if identity is None or not self._window:
            return Verdict.NEW
        self._forget_before(record.offset - self._window)
        name = _hash(repr(identity).encode("utf-8", "surrogatepass"))
        content = _hash((record.key or b"") + b"\0" + (record.value or b""))
        self._names.append(name)
        self._offsets.append(record.offset)
        earliest = self._earliest.get(name)
        if earliest is None:
            self._earliest[name] = content
            return Verdict.NEW
        self._later.setdefault(name, deque()).append(content)
        return Verdict.REPEATED if earliest == content else Verdict.REUSED_ID

    def __len__(self) -> int:
        return len(self._names)

    def _forget_before(self, offset: int) -> None:
        while self._offsets and self._offsets[0] < offset:
            self._offsets.popleft()
            name = self._names.popleft()
            later = self._later.get(name)
            if later is None:
                del self._earliest[name]
                continue
            self._earliest[name] = later.popleft()
            if not later:
                del self._later[name]


def tracked(identity: Identity, replay: int) -> Identity | None:
    """*identity*, where it can occur twice: a CloudEvents source and id, or a replay's number."""
    return identity if identity[0] is not None or replay else None


def identity_in(record: CommandRecord) -> Identity | None:
    """The identity of a record that is read back, whether it was a good command or not."""
    return tracked(*identity_of(record))


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
