"""What a line of the picture says of a dead letter is what is wrong, in the words of the registry."""

import pytest

from handlers.errors import FAULTS, Fault, Problem
from worker.demo.wording import brief


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.code)
def test_place_advice_and_code_are_left_out(fault: Fault) -> None:
    """Whatever the fault, its meaning remains."""
    assert brief(str(Problem(fault.code, "$.changes.email"))) == fault.meaning


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("key: the record has no key. Use it. [key_missing]", "the record has no key"),
        ("header ce_id: wrong (1 to 2). See there. [x]", "wrong (1 to 2)"),
        ("Conflict: the customer is being merged", "Conflict: the customer is being merged"),
        ("PATCH: refused (Conflict: busy). Correct it. [upstream_rejected]", "refused (Conflict: busy)"),
        ("", ""),
    ],
)
def test_what_others_say_is_left_as_it_is(error: str, said: str) -> None:
    """The upstream's words have no place and no advice."""
    assert brief(error) == said
