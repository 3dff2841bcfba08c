"""The dead letter of a command that cannot be applied."""

from handlers.errors import Reason
from handlers.record import CommandRecord, OutcomeRecord


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
    """*record* whole, with headers that say why. *status* is the upstream's last HTTP status, if it answered."""
    raise NotImplementedError
