"""What a commit says about a partition beside the offset: what is settled beyond it, how far may be acted, what failed.

Kafka keeps a short text with each committed offset (`offset.metadata.max.bytes`, 4,096 by default). Here it is
``2.<horizon>.<letter><base64>[.<base64>]``: a version, the distance from the committed offset to the horizon in
hexadecimal, the bits of `Watermark.completed_beyond`, and what has been tried in vain, as far as there is room for it.

The bits are written as they are (b) or as the lengths of their runs (r), whichever is shorter. Both forms shrink when
the committed offset advances, and one more completion adds two bytes to the runs at most. So it is known beforehand
how large the text can become, whatever completes in whatever order (`worker.headroom`).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

VERSION = "2"
# The broker's default.
METADATA_LIMIT = 4096
# The version, the longest horizon, the letter, and the dots between them.
_FRAME = len(f"{VERSION}.{'f' * 16}.r.")
# A completion more, and there is one more run of ones, and one of zeros before it.
BYTES_PER_COMPLETION = 2

# No worker gets so far ahead; what another program wrote must not fill this one's memory.
_LONGEST_SPAN = 1 << 27

_is_distance = re.compile("[0-9a-f]{1,16}").fullmatch
_runs = re.compile("0+|1+")


@dataclass(frozen=True, slots=True)
class Tried:
    """What a fold of commands has gone through: a successor goes on from there, and does not begin anew.

    *attempts* failed, in *elapsed_seconds* of the retry policy; the first *length* commands are tried (0 = all of
    them); *server_errors* in a row, for GET and for PATCH.
    """

    attempts: int
    elapsed_seconds: float
    length: int = 0
    server_errors: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Progress:
    """Bit i of *completed_beyond* stands for the committed offset + i; *horizon* counts offsets from there too.

    *tried* names folds by the place of their first command, counted from there as well, in rising order.
    """

    completed_beyond: int
    horizon: int
    tried: tuple[tuple[int, Tried], ...] = ()


class ProgressUnreadable(Exception):
    """The metadata of a committed offset is not of a form that this version knows."""

    def __init__(self, metadata: str) -> None:
        super().__init__(
            f"the commit's metadata is not readable ({len(metadata)} characters): "
            "commands that were settled beyond the committed offset are done again"
        )
        self.metadata = metadata


def room_bytes() -> int:
    """How many bytes the completed places may take."""
    return max(METADATA_LIMIT - _FRAME, 0) // 4 * 3


def most_bytes(completed_beyond: int, span: int) -> int:
    """The most that the runs of these bits take; *span* is how far they may yet reach, in offsets from the first."""
    stretches = (completed_beyond & ~(completed_beyond << 1)).bit_count()
    # A run of 128 or more takes a second byte, and only so many of those fit into the span.
    return BYTES_PER_COMPLETION * stretches + span // 127


def fits(completed_beyond: int) -> bool:
    """Whether these bits have room in a commit."""
    span = completed_beyond.bit_length()
    room = room_bytes()
    return span <= room * 8 or most_bytes(completed_beyond, span) <= room or len(_as_runs(completed_beyond)) <= room


def encode(progress: Progress) -> str:
    """The metadata for a commit. Of what was tried only what there is room for, that of the lowest offsets first."""
    bits = progress.completed_beyond
    length = (bits.bit_length() + 7) // 8
    letter, body = "b", b""
    if length:
        runs = _as_runs(bits) if most_bytes(bits, 0) < length else None
        letter, body = ("b", bits.to_bytes(length, "little")) if runs is None or len(runs) >= length else ("r", runs)
    text = f"{VERSION}.{progress.horizon:x}.{letter}{_base64(body)}"
    tried = _tried_bytes(progress.tried, (METADATA_LIMIT - len(text) - 1) // 4 * 3)
    return f"{text}.{_base64(tried)}" if tried else text


def decode(metadata: str) -> Progress:
    """What `encode` was given; an empty text (a commit by another program) says nothing.

    Raises:
        ProgressUnreadable: written by another version or another program.

    """
    if not metadata:
        return Progress(0, 0)
    version, horizon, packed, tried, *rest = [*metadata.split("."), "", "", ""]
    if version != VERSION or not _is_distance(horizon) or packed[:1] not in {"b", "r"} or any(rest):
        raise ProgressUnreadable(metadata)
    try:
        body = base64.b64decode(packed[1:], validate=True)
        bits = _from_runs(body) if packed[0] == "r" else int.from_bytes(body, "little")
        return Progress(bits, int(horizon, 16), tuple(_tried_in(base64.b64decode(tried, validate=True))))
    except (binascii.Error, ValueError) as error:
        raise ProgressUnreadable(metadata) from error


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _as_runs(bits: int) -> bytes:
    """The lengths of zeros and ones in turn, from the lowest bit on; it begins with zeros, be there none."""
    lengths = [len(run) for run in _runs.findall(f"{bits:b}"[::-1])]
    return _numbers_to_bytes([0, *lengths] if bits & 1 else lengths)


def _from_runs(body: bytes) -> int:
    """Raises ValueError for what `_as_runs` does not write: a number cut off, or more than any log can hold."""
    lengths = list(_numbers_in(body))
    if sum(lengths) > _LONGEST_SPAN:
        raise ValueError(lengths)
    bits, place = 0, 0
    for index, length in enumerate(lengths):
        if index % 2:
            bits |= ((1 << length) - 1) << place
        place += length
    return bits


def _tried_bytes(tried: Iterable[tuple[int, Tried]], room: int) -> bytes:
    body = bytearray()
    before = 0
    for place, fold in tried:
        get, patch = (min(errors, 15) for errors in fold.server_errors)
        tenths = round(fold.elapsed_seconds * 10)
        entry = _numbers_to_bytes([place - before, fold.attempts, tenths, fold.length, get * 16 + patch])
        if len(body) + len(entry) > room:
            break
        body += entry
        before = place
    return bytes(body)


def _tried_in(body: bytes) -> Iterator[tuple[int, Tried]]:
    numbers = list(_numbers_in(body))
    if len(numbers) % 5:
        raise ValueError(numbers)
    place = 0
    for index in range(0, len(numbers), 5):
        distance, attempts, tenths, length, errors = numbers[index : index + 5]
        place += distance
        yield place, Tried(attempts, tenths / 10, length, (errors >> 4, errors & 15))


def _numbers_to_bytes(numbers: Iterable[int]) -> bytes:
    """Seven bits to a byte, the lowest first; the eighth says that more follow (LEB128)."""
    body = bytearray()
    for number in numbers:
        rest = number
        while rest >= 128:
            body.append(rest & 127 | 128)
            rest >>= 7
        body.append(rest)
    return bytes(body)


def _numbers_in(body: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in body:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0
    if shift:
        raise ValueError(body)
