"""Every mistake of the table gets its own answer, and none gives a personal value away."""

from collections import Counter

import pytest

from data.bad_commands import BAD_COMMANDS, PERSONAL, BadCommand
from handlers.command import decode
from handlers.errors import FAULTS, CommandRefused, Reason
from handlers.record import CommandRecord

every_row = pytest.mark.parametrize("row", BAD_COMMANDS, ids=lambda row: row.id)


def refusal_of(row: BadCommand) -> CommandRefused:
    """What `decode` raises for the row as the record that Kafka would deliver."""
    with pytest.raises(CommandRefused) as refused:
        decode(CommandRecord("customer.update", 3, 42, 1_795_433_736_390, row.key, row.value, row.headers))
    return refused.value


@every_row
def test_a_bad_command_is_refused_with_all_its_problems_in_order(row: BadCommand) -> None:
    """Reason, problems, and what is still known of command and customer, so that the dead letter has it."""
    refused = refusal_of(row)

    assert [(problem.code, problem.path) for problem in refused.problems] == list(row.problems)
    assert refused.reason == row.reason
    assert refused.command_id == (row.command_id or "customer.update:3:42")
    assert refused.customer_id == row.customer_id


@every_row
def test_an_error_text_repeats_no_personal_value(row: BadCommand) -> None:
    """Neither the text, nor what a traceback would keep of the cause, holds a value of the command."""
    refused = refusal_of(row)

    told = f"{refused} {refused.problems!r} {refused.__cause__!r} {refused.__context__!r}"
    assert not [value for value in PERSONAL if value.lower() in told.lower().replace(str(refused.customer_id), "")]


@every_row
def test_an_error_text_names_each_problem_and_what_to_do(row: BadCommand) -> None:
    """Each path and code is there, and the advice of each code once."""
    refused = refusal_of(row)

    text = str(refused)
    assert all(f"{path}: " in text and f"[{code}]" in text for code, path in row.problems)
    assert all(text.count(FAULTS[code].advice) == 1 for code, _ in row.problems)
    assert "\n" not in text


def test_the_table_has_every_code_that_a_publisher_can_cause_alone() -> None:
    """A rule without a row is a rule that nobody tried."""
    tried = {code for row in BAD_COMMANDS for code, _ in row.problems}
    registered = {code for code, fault in FAULTS.items() if fault.reason in (Reason.UNDECODABLE, Reason.INVALID)}

    # Whether an id was used before is for the worker to know.
    assert tried == registered - {"id_reused"}


def test_no_two_rows_are_the_same_command() -> None:
    """Published to one partition, none is taken for a copy of another."""
    identities = Counter(row.command_id for row in BAD_COMMANDS if row.command_id is not None)

    assert identities.most_common(1)[0][1] == 1
    assert Counter(row.id for row in BAD_COMMANDS).most_common(1)[0][1] == 1
