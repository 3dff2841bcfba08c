"""The hints that an error gives: the right field, and never a personal value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.command_rows import EMAIL, PERSON, PHONE
from handlers.changes import check_changes
from handlers.errors import Problem, Problems
from handlers.fields import CAMEL, CHANGEABLE_FIELDS, RESPONSE_FIELDS, snake_case


def only_problem_of(changes: dict[str, object]) -> Problem:
    """The one problem that *changes* have."""
    problems = Problems()
    check_changes(changes, "$.changes", problems)  # type: ignore[arg-type] # JSON
    (problem,) = problems.found()
    return problem


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("emial", "email"),
        ("e-mail", "email"),
        ("E-Mail", "email"),
        ("Email", "email"),
        ("adress_line1", "address_line1"),
        ("AddressLine2", "address_line2"),
        ("address line 1", "address_line1"),
        ("VATNumber", "vat_number"),
        ("countrycode", "country_code"),
        ("tag", "tags"),
        ("notes", "note"),
        ("web_site", "website"),
    ],
)
def test_a_misspelled_field_gets_the_name_that_was_probably_meant(name: str, meant: str) -> None:
    """Case, hyphens and underscores aside."""
    assert only_problem_of({name: "x"}).detail == f"did you mean {meant}?"


@pytest.mark.parametrize("name", ["fax", "iban", "billing_email", "postal_code", "x" * 1_000, PERSON, ""])
def test_there_is_no_hint_where_nothing_is_near(name: str) -> None:
    """A wrong hint costs more than none."""
    assert only_problem_of({name: "x"}).detail == ""


@pytest.mark.parametrize("name", sorted(set(RESPONSE_FIELDS) - set(CHANGEABLE_FIELDS)))
def test_a_field_that_the_upstream_keeps_is_called_that(name: str) -> None:
    """Not misspelled, but nothing that a command can change."""
    for spelling in (name, CAMEL[name]):
        assert only_problem_of({spelling: "x"}).detail.startswith("the upstream keeps this field itself")


@pytest.mark.parametrize(
    "name", [EMAIL, PERSON, PHONE, "a" * 33, "acct_4711", "b3b7c1e2-4c2a", "", "é", "a.b", "name\n"]
)
def test_a_name_that_may_be_a_personal_value_is_not_repeated(name: str) -> None:
    """Its place among the others is told instead."""
    problem = only_problem_of({"city": "Oslo", name: "x"})

    assert problem.path == "$.changes.<name 2, not shown>"
    assert not name.strip() or name not in problem.detail


@given(st.text())
def test_a_shown_name_is_short_and_plain(name: str) -> None:
    """Letters, underscores and at most two digits in a row."""
    problems = Problems()
    check_changes({name: "x"}, "$.changes", problems)
    shown = [problem.path.removeprefix("$.changes.") for problem in problems.found() if problem.code == "unknown_field"]

    assert all(
        path == "<name 1, not shown>" or (path.isascii() and path.isidentifier() and len(path) <= 32) for path in shown
    )


@pytest.mark.parametrize("name", RESPONSE_FIELDS)
def test_the_two_spellings_of_a_field_belong_together(name: str) -> None:
    """What is made from one is the other."""
    assert snake_case(CAMEL[name]) == name


@pytest.mark.parametrize(
    ("email", "hint"),
    [
        (f"{EMAIL} ", "blanks around it"),
        ("jane@bücher.example", "only ASCII is taken; write an international domain in its xn-- form"),
        ("jane.roe", "no @ in it"),
        ("jane..roe@private.example", ""),
    ],
)
def test_a_malformed_email_gets_a_hint_without_the_address(email: str, hint: str) -> None:
    """What is wrong with it in general words."""
    assert only_problem_of({"email": email}).detail == hint
