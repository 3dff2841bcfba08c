"""The dead letter of a command that cannot be applied: the record as it came, and headers that say why.

A replayed command that dies again carries the headers of its earlier death. Those are replaced, so that a dead letter
gives one reason; its number of replays stays, and ``dlq-command-id`` stays the id that the number counts from.
"""

import re
from typing import Final

from handlers.errors import Reason
from handlers.record import CommandRecord, Headers, OutcomeKind, OutcomeRecord

MAX_ERROR_BYTES: Final = 2048
"""Bytes of ``dlq-error``: room for some ten problems, while command and headers still fit the dead-letter topic."""

REPLAY_HEADER: Final = "dlq-replay"

DEAD_LETTER_HEADERS: Final = frozenset(
    f"dlq-{name}"
    for name in (
        *("reason", "command-id", "error", "status", "attempts", "topic", "partition", "offset", "timestamp"),
        *("worker", "replay"),
    )
)
"""What a dead letter adds to the command's own headers; other names may begin with ``dlq-`` as well."""

_is_replay_number = re.compile(b"[1-9][0-9]{0,5}").fullmatch


def dead_letter_record(
    record: CommandRecord,
    *,
    command_id: str,
    reason: Reason,
    error: str,
    status: int | None,
    attempts: int,
    worker: str,
) -> OutcomeRecord:
    """*record* whole, with headers that say why.

    *status* is the HTTP status of the upstream's last answer, None (an empty header) where there was none;
    *attempts* counts requests that were sent for it; *error* is cut at `MAX_ERROR_BYTES`.
    """
    replay = next((v for name, v in record.headers if name == REPLAY_HEADER and v and _is_replay_number(v)), None)
    if replay is not None:
        command_id = command_id.removesuffix(f"#{replay.decode()}")
    headers: Headers = (
        *((name, value) for name, value in record.headers if name not in DEAD_LETTER_HEADERS),
        ("dlq-reason", reason.encode()),
        ("dlq-command-id", command_id.encode()),
        ("dlq-error", _cut(error)),
        ("dlq-status", b"" if status is None else b"%d" % status),
        ("dlq-attempts", b"%d" % attempts),
        ("dlq-topic", record.topic.encode()),
        ("dlq-partition", b"%d" % record.partition),
        ("dlq-offset", b"%d" % record.offset),
        ("dlq-timestamp", b"%d" % record.timestamp_ms),
        ("dlq-worker", worker.encode()),
    )
    if replay is not None:
        headers += ((REPLAY_HEADER, replay),)
    return OutcomeRecord(OutcomeKind.DEAD_LETTER, record.key, record.value, headers)


def _cut(error: str) -> bytes:
    encoded = error.encode(errors="replace")
    if len(encoded) <= MAX_ERROR_BYTES:
        return encoded
    # Decoding drops a character that the cut went through.
    return encoded[: MAX_ERROR_BYTES - 3].decode(errors="ignore").encode() + "…".encode()
