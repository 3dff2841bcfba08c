"""Commands settled once: which records are copies of one that came before.

A record is a copy where the partition holds a record of the same identity at most `window` offsets before it. That
depends on the log alone, so it is the same after every restart: the window is rebuilt by reading back, or by going
back where the same process goes on with the partition after a rebalance. A copy with
the same key and value is repeated delivery and is settled in silence; with other bytes it may be a lost change, and
is refused. Identities and bytes are kept as 64-bit hashes. Pure.
"""

import hashlib
from collections import deque
from enum import Enum, auto

from handlers.command import identity_of
from handlers.record import CommandRecord

Identity = tuple[str | None, str]

# So far a window goes back: a partition that comes back after a rebalance had as many commands unfinished, at most.
REWINDABLE_RECORDS = 1_000


class Verdict(Enum):
    """What a record is beside those before it."""

    NEW = auto()
    REPEATED = auto()
    REUSED_ID = auto()


class DeduplicationWindow:
    """The identities seen in the last *window* offsets of one partition, in some 200 bytes each."""

    __slots__ = ("_earliest", "_known_from", "_later", "_left", "_names", "_offsets", "_window", "next_offset")

    def __init__(self, *, window: int, begins_at: int = 0) -> None:
        """*window* in offsets; 0 = nothing is a copy. *begins_at*: the offset of the first record that it is shown."""
        self._window = window
        self._known_from = begins_at
        self.next_offset = begins_at
        """The offset after the last record that it was shown."""
        # By identity: the content of its earliest record in the window, and of the others where there are any.
        self._earliest: dict[int, int] = {}
        self._later: dict[int, deque[int]] = {}
        self._names: deque[int] = deque()
        self._offsets: deque[int] = deque()
        # What left the window last, with its content: rewind() brings it back.
        self._left: deque[tuple[int, int, int]] = deque(maxlen=REWINDABLE_RECORDS)

    def judge(self, identity: Identity | None, record: CommandRecord) -> Verdict:
        """Compares *record* with those before it, and remembers it. None: it has no identity but its place."""
        self.next_offset = record.offset + 1
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

    def rewind(self, offset: int, *, earliest: int) -> bool:
        """Makes it what it was before it was shown *offset*; *earliest* is the first offset that the log still has.

        False where it no longer knows all of the window that ends there: then it is of no more use.
        """
        begin = max(offset - self._window, earliest)
        if self._known_from > begin:
            return False
        while self._offsets and self._offsets[-1] >= offset:
            self._offsets.pop()
            self._forget_latest(self._names.pop())
        while self._left and self._left[-1][0] >= begin:
            place, name, content = self._left.pop()
            if place < offset:
                self._bring_back(place, name, content)
        self.next_offset = min(self.next_offset, offset)
        return True

    def _forget_before(self, offset: int) -> None:
        while self._offsets and self._offsets[0] < offset:
            if len(self._left) == REWINDABLE_RECORDS:
                self._known_from = self._left[0][0] + 1
            name = self._names.popleft()
            self._left.append((self._offsets.popleft(), name, self._earliest[name]))
            later = self._later.get(name)
            if later is None:
                del self._earliest[name]
                continue
            self._earliest[name] = later.popleft()
            if not later:
                del self._later[name]

    def _forget_latest(self, name: int) -> None:
        later = self._later.get(name)
        if later is None:
            del self._earliest[name]
            return
        later.pop()
        if not later:
            del self._later[name]

    def _bring_back(self, offset: int, name: int, content: int) -> None:
        if name in self._earliest:
            self._later.setdefault(name, deque()).appendleft(self._earliest[name])
        self._earliest[name] = content
        self._offsets.appendleft(offset)
        self._names.appendleft(name)


def tracked(identity: Identity, replay: int) -> Identity | None:
    """*identity*, where it can occur twice: a CloudEvents source and id, or a replay's number."""
    return identity if identity[0] is not None or replay else None


def identity_in(record: CommandRecord) -> Identity | None:
    """The identity of a record that is read back, whether it was a good command or not."""
    return tracked(*identity_of(record))


def _hash(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
