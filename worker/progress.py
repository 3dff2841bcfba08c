"""What a commit says about a partition beside the offset: what is settled beyond it, and how far may be acted.

Kafka keeps a short text with each committed offset (`offset.metadata.max.bytes`, 4,096 by default). Here it is
``1.<horizon>.<letter><base64>``: a version, the distance from the committed offset to the horizon in hexadecimal, and
the bits of `Watermark.completed_beyond`, as they are (b) or deflated (z), whichever is shorter.
"""

import base64
import binascii
import re
import zlib
from dataclasses import dataclass

VERSION = "1"
# Below the broker's default of 4,096 bytes, by what a longer horizon may yet need.
METADATA_LIMIT = 4080

_is_distance = re.compile("[0-9a-f]{1,16}").fullmatch


@dataclass(frozen=True, slots=True)
class Progress:
    """Bit i of *completed_beyond* stands for the committed offset + i; *horizon* counts offsets from there too."""

    completed_beyond: int
    horizon: int


class ProgressUnreadable(Exception):
    """The metadata of a committed offset is not of a form that this version knows."""

    def __init__(self, metadata: str) -> None:
        super().__init__(
            f"the commit's metadata is not readable ({len(metadata)} characters): "
            "commands that were settled beyond the committed offset are done again"
        )
        self.metadata = metadata


def encode(progress: Progress) -> str:
    """The metadata for a commit."""
    bits = progress.completed_beyond
    raw = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    packed = zlib.compress(raw, level=1)
    letter, body = ("z", packed) if len(packed) < len(raw) else ("b", raw)
    return f"{VERSION}.{progress.horizon:x}.{letter}{base64.b64encode(body).decode('ascii')}"


def decode(metadata: str) -> Progress:
    """What `encode` was given; an empty text (a commit by another program) says nothing.

    Raises:
        ProgressUnreadable: written by another version or another program.

    """
    if not metadata:
        return Progress(0, 0)
    version, _, rest = metadata.partition(".")
    horizon, _, packed = rest.partition(".")
    if version != VERSION or not _is_distance(horizon) or packed[:1] not in {"b", "z"}:
        raise ProgressUnreadable(metadata)
    try:
        body = base64.b64decode(packed[1:], validate=True)
        raw = zlib.decompress(body) if packed[0] == "z" else body
        return Progress(int.from_bytes(raw, "little"), int(horizon, 16))
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ProgressUnreadable(metadata) from error
