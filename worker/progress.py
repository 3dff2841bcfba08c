"""What a commit says about a partition beside the offset: what is settled beyond it.

Kafka keeps a short text with each committed offset (`offset.metadata.max.bytes`, 4,096 by default). It holds a
version, a letter for the packing, and the bits of `Watermark.completed_beyond` in base64.
"""

import base64
import binascii
import zlib

VERSION = "1"
METADATA_LIMIT_BYTES = 4096


class ProgressUnreadable(Exception):
    """The metadata of a committed offset is not of a form that this version knows."""

    def __init__(self, metadata: str) -> None:
        super().__init__(
            f"the commit's metadata is not readable ({len(metadata)} characters, starting {metadata[:8]!r}): "
            "commands settled beyond the committed offset are done again"
        )
        self.metadata = metadata


def encode(completed_beyond: int) -> str:
    """The metadata for a commit; empty when nothing is settled beyond it."""
    if not completed_beyond:
        return ""
    raw = completed_beyond.to_bytes((completed_beyond.bit_length() + 7) // 8, "little")
    packed = zlib.compress(raw, level=1)
    letter, body = ("z", packed) if len(packed) < len(raw) else ("b", raw)
    return VERSION + letter + base64.b64encode(body).decode("ascii")


def decode(metadata: str) -> int:
    """The bits that `encode` was given.

    Raises:
        ProgressUnreadable: written by another version or another program.

    """
    if not metadata:
        return 0
    version, letter, body = metadata[:1], metadata[1:2], metadata[2:]
    if version != VERSION or letter not in {"z", "b"}:
        raise ProgressUnreadable(metadata)
    try:
        raw = base64.b64decode(body, validate=True)
        return int.from_bytes(zlib.decompress(raw) if letter == "z" else raw, "little")
    except (binascii.Error, ValueError, zlib.error) as error:
        raise ProgressUnreadable(metadata) from error
