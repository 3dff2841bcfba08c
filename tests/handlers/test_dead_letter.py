"""Dead letters: the record as it came, and why it could not be applied."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bad_commands import BAD_COMMANDS, BadCommand
from data.command_rows import CUSTOMER
from handlers.command import decode
from handlers.dead_letter import MAX_ERROR_BYTES, dead_letter_record
from handlers.errors import CommandRefused, Reason
from handlers.record import CommandRecord, Headers, OutcomeKind, OutcomeRecord

RECORD = CommandRecord(
    "customer.update",
    3,
    42,
    1_795_433_736_390,
    CUSTOMER.encode(),
    b"\x00 as it came",
    (("b", b"1"), ("a", None), ("b", b"2"), ("dlq-note-of-the-publisher", b"\xff"), ("ce_id", b"")),
)


def dead_letter(record: CommandRecord = RECORD, **others: Any) -> OutcomeRecord:  # noqa: ANN401 -- any argument
    """A dead letter with *others* in place of its usual arguments."""
    arguments: dict[str, Any] = {
        "command_id": "order-17",
        "reason": Reason.REJECTED,
        "error": "email: refused",
        "status": 400,
        "attempts": 2,
        "worker": "worker-1",
    }
    return dead_letter_record(record, **(arguments | others))


def test_a_dead_letter_is_the_record_untouched_and_the_reason_after_it() -> None:
    """Headers in their order, repeated ones and null ones too; then ours in a fixed order."""
    assert dead_letter() == OutcomeRecord(
        OutcomeKind.DEAD_LETTER,
        RECORD.key,
        RECORD.value,
        (
            *RECORD.headers,
            ("dlq-reason", b"rejected"),
            ("dlq-command-id", b"order-17"),
            ("dlq-error", b"email: refused"),
            ("dlq-status", b"400"),
            ("dlq-attempts", b"2"),
            ("dlq-topic", b"customer.update"),
            ("dlq-partition", b"3"),
            ("dlq-offset", b"42"),
            ("dlq-timestamp", b"1795433736390"),
            ("dlq-worker", b"worker-1"),
        ),
    )


@pytest.mark.parametrize("row", BAD_COMMANDS, ids=lambda row: row.id)
def test_every_bad_command_fits_into_a_dead_letter(row: BadCommand) -> None:
    """Key, value and headers as they came, whatever they are."""
    record = CommandRecord("customer.update", 3, 42, -1, row.key, row.value, row.headers)
    with pytest.raises(CommandRefused) as refused:
        decode(record)
    letter = dead_letter(record, reason=refused.value.reason, error=str(refused.value), status=None)

    came = tuple(header for header in row.headers if not header[0].startswith("dlq-"))
    assert (letter.key, letter.value) == (row.key, row.value)
    assert letter.headers[: len(came)] == came
    assert all(name.startswith("dlq-") for name, _ in letter.headers[len(came) :])
    assert dict(letter.headers)["dlq-reason"] == row.reason.encode()


def test_without_an_answer_the_status_is_empty() -> None:
    """The header is there all the same: readers may rely on its being there."""
    assert dict(dead_letter(status=None).headers)["dlq-status"] == b""


def test_a_missing_key_and_value_stay_missing() -> None:
    """A tombstone must not become an empty text."""
    letter = dead_letter(replace(RECORD, key=None, value=None))

    assert (letter.key, letter.value) == (None, None)


class TestASecondDeath:
    """A replayed dead letter that dies again."""

    first: Headers = dead_letter().headers
    replayed = replace(RECORD, offset=77, headers=(*first, ("dlq-command-id", b"order-17"), ("dlq-replay", b"1")))

    def test_gives_one_reason(self) -> None:
        """The one of this death, with this death's facts."""
        letter = dead_letter(self.replayed, command_id="order-17#1", reason=Reason.EXPIRED)
        names = [name for name, _ in letter.headers if name.startswith("dlq-") and "publisher" not in name]

        assert len(names) == len(set(names)) == 11
        assert dict(letter.headers)["dlq-reason"] == b"expired"
        assert dict(letter.headers)["dlq-offset"] == b"77"

    def test_keeps_the_publishers_headers_and_the_number_of_replays(self) -> None:
        """The number counts from the id beside it: the next replay is order-17#2."""
        letter = dead_letter(self.replayed, command_id="order-17#1")

        assert letter.headers[: len(RECORD.headers)] == RECORD.headers
        assert dict(letter.headers)["dlq-command-id"] == b"order-17"
        assert letter.headers[-1] == ("dlq-replay", b"1")

    def test_drops_a_number_of_replays_that_is_none(self) -> None:
        """Carried on, it would make each further replay invalid."""
        letter = dead_letter(replace(RECORD, headers=(("dlq-replay", b"one"), ("dlq-command-id", b"order-17"))))

        assert "dlq-replay" not in dict(letter.headers)


@given(st.text(min_size=1), st.integers(0, 4 * MAX_ERROR_BYTES))
def test_an_error_is_bounded_and_stays_text(part: str, length: int) -> None:
    """A long message must not make the dead letter too large, nor be cut within a character."""
    error = (part * length)[:length]
    told = dict(dead_letter(error=error).headers)["dlq-error"] or b""

    assert len(told) <= MAX_ERROR_BYTES
    text = told.decode()
    replaced = error.encode(errors="replace").decode()
    assert text == replaced or (text.endswith("…") and replaced.startswith(text[:-1]))
    assert len(told) > MAX_ERROR_BYTES - 8 or text == replaced
