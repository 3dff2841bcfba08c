"""The registry of faults: none is missing, each says what to do, and the docs are made from it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.errors import FAULTS, CommandRefused, Fault, Problem, Problems, Reason, Whose
from handlers.faults import markdown

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "handlers").rglob("*.py"), *(ROOT / "worker").rglob("*.py")])


def codes_used(source: Path) -> Iterator[str]:
    """Every code that *source* makes a problem of, or looks up."""
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case (
                ast.Call(func=ast.Name(id="Problem" | "Unreadable"), args=[code, *_])
                | ast.Call(func=ast.Attribute(value=ast.Name(id="problems"), attr="add"), args=[code, *_])
                | ast.Subscript(value=ast.Name(id="FAULTS"), slice=code)
            ):
                for part in ast.walk(code):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part.value
            case _:
                pass


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.relative_to(ROOT)))
def test_every_code_that_is_used_is_registered(source: Path) -> None:
    """A problem without an entry could not even be printed."""
    assert set(codes_used(source)) <= FAULTS.keys()


def test_the_search_for_codes_finds_them() -> None:
    """A guard of the test above: it would pass without finding anything."""
    used = {code for source in SOURCES for code in codes_used(source)}

    assert {
        "email_malformed",
        "value_empty",
        "response_field_missing",
        "response_created_at",
        "customer_not_found",
    } <= used


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_every_fault_says_what_it_means_and_what_to_do(fault: Fault) -> None:
    """The meaning goes on after a colon, the advice is a sentence; both fit a cell of a table."""
    assert FAULTS[fault.code] is fault
    assert fault.code == fault.code.lower().replace(" ", "_")
    assert not fault.meaning.endswith(".")
    assert fault.advice.endswith(".")
    assert "|" not in fault.meaning + fault.advice


def test_every_reason_of_a_dead_letter_has_a_fault() -> None:
    """An operator who sees a reason finds it in the table."""
    assert {fault.reason for fault in FAULTS.values()} - {None} == set(Reason)


def test_a_dead_letter_is_never_the_deployments_fault() -> None:
    """What the deployment gets wrong holds everything; no command is given up for it."""
    assert {fault.reason for fault in FAULTS.values() if fault.whose is Whose.DEPLOYMENT} == {None}


def test_the_documented_table_is_the_registry() -> None:
    """Made with: python -c "from handlers.faults import markdown; print(markdown(), end='')" > docs/errors.md."""
    assert (ROOT / "docs" / "errors.md").read_text() == markdown()


def test_a_problem_says_what_is_wrong_where_and_what_to_do() -> None:
    """In one line."""
    problem = Problem("unknown_field", "$.changes.emial", "did you mean email?")

    assert str(problem) == (
        "$.changes.emial: nobody knows this field (did you mean email?). "
        "Correct or remove it; unknown fields are never dropped silently. [unknown_field]"
    )


def test_what_a_code_means_is_said_once() -> None:
    """A hundred misspelled fields do not repeat the advice a hundred times."""
    refused = CommandRefused(
        (Problem("unknown_field", "$.a"), Problem("unknown_field", "$.b", "did you mean zip?")), command_id="t:0:1"
    )

    assert str(refused).endswith("[unknown_field]; $.b: likewise (did you mean zip?) [unknown_field]")
    assert str(refused).count("dropped silently") == 1


def test_bytes_that_cannot_be_read_come_before_what_they_say() -> None:
    """One undecodable part makes the command undecodable, whatever else is wrong."""
    problems = (Problem("key_missing", "key"), Problem("not_json", "$"))

    assert CommandRefused(problems, command_id="t:0:1").reason is Reason.UNDECODABLE
    assert CommandRefused(problems[:1], command_id="t:0:1").reason is Reason.INVALID


def test_problems_beyond_what_anybody_reads_are_counted() -> None:
    """A value of a million wrong fields costs a hundred texts."""
    problems = Problems()
    for _ in range(250):
        problems.add("unknown_field", "$.a")

    assert len(problems.found()) == 101
    assert problems.found()[-1] == Problem("more_problems", "$", "150 more")
