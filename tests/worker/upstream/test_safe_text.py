"""What of an upstream's text may be shown: why, but nobody's data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.upstream.safe_text import LIMIT_CHARACTERS, REMOVED, safe_text

KNOWN_TEXTS = [
    "Customer not found",
    "Malformed JSON in request body",
    "Authorization header required",
    "Invalid authorization scheme",
    "Invalid token format",
    "Invalid API key",
    "Rate limit exceeded",
    "404 Not Found",
    "Internal Server Error",
    "Invalid email address",
    "Invalid input: expected string, received undefined",
    "Forbidden: Insufficient permissions. Required scopes: customers.write. Your scopes: customers.read",
]


@pytest.mark.parametrize("text", KNOWN_TEXTS)
def test_what_the_upstream_was_recorded_to_say_stays_whole(text: str) -> None:
    """The known reasons name nobody, and an operator needs every word of them."""
    assert safe_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("ann.o'hara@acme.test is taken", f"{REMOVED} is taken", id="an e-mail address"),
        pytest.param("taken: billing@bücher.example!", f"taken: {REMOVED}", id="an address that is no ASCII"),
        pytest.param("call +46 (8) 123-45 67 first", f"call {REMOVED} first", id="a phone number"),
        pytest.param("zip 11122 unknown", f"zip {REMOVED} unknown", id="a zip code"),
        pytest.param("VAT SE556677 unknown", f"VAT SE{REMOVED} unknown", id="a VAT number"),
        pytest.param('the value "Street 1" is odd', f"the value {REMOVED} is odd", id="a quotation"),
        pytest.param('the value "Street 1 and so', f"the value {REMOVED}", id="a quotation cut off"),
        pytest.param("value 'Ann Smith' refused", f"value {REMOVED} refused", id="single quotes"),
        pytest.param("it doesn't match, isn't it", "it doesn't match, isn't it", id="an apostrophe is no quotation"),
        pytest.param("key mid_0123456789abcdef is old", f"key {REMOVED} is old", id="a token"),
        pytest.param("sent Bearer garbage", f"sent {REMOVED}", id="credentials"),
        pytest.param("a\r\nb\t\x00c \u202ed", "a b c d", id="line breaks and invisible characters"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_what_looks_personal_or_secret_is_removed(text: str, shown: str) -> None:
    """Forms that personal data and secrets have go, whoever put them there."""
    assert safe_text(text) == shown


@pytest.mark.parametrize(
    ("sent", "text", "shown"),
    [
        pytest.param("Storgatan", "no road STORGATAN here", f"no road {REMOVED} here", id="in any case"),
        pytest.param("Storgatan", "no Storgatanvägen", f"no {REMOVED}vägen", id="long: also within a word"),
        pytest.param("An", "An cannot", f"{REMOVED} cannot", id="short: only as a word"),
        pytest.param("two\nlines", "about two lines", f"about {REMOVED}", id="with its line break"),
        pytest.param("(a|b)*", "what of (a|b)*?", f"what of {REMOVED}?", id="that looks like a pattern"),
        pytest.param("", "stays", "stays", id="empty"),
        pytest.param("Dear Ann, thank you for all", "no: Dear Ann, thank you… (cut)", f"no: {REMOVED}", id="cut short"),
        pytest.param("Jane van der Roe-Smith", "Jane is busy", f"{REMOVED} is busy", id="a name in part"),
        pytest.param("Jane van der Roe-Smith", "ask mrs roe-smith", f"ask mrs {REMOVED}", id="its other end"),
        pytest.param("Анна Каренина", "нет: Каренина", f"нет: {REMOVED}", id="in another script"),
        pytest.param("is late in paying", "he is late", "he is late", id="words that everybody uses"),
        pytest.param("n" * 9_000_000, f"no: {'n' * 3_000}", f"no: {REMOVED}", id="without end"),
    ],
)
def test_what_was_sent_is_removed_wherever_it_is_repeated(sent: str, text: str, shown: str) -> None:
    """A value of the request needs no suspicious form to be taken out."""
    assert safe_text(text, [sent]) == shown


def test_the_longest_value_goes_first() -> None:
    """A value that contains another leaves no remainder behind."""
    assert safe_text("Ann Smith refused", ["Ann", "Ann Smith"]) == f"{REMOVED} refused"


@given(text=st.text(max_size=5_000), sent=st.lists(st.text(max_size=40), max_size=5))
def test_the_result_is_one_short_line_without_what_was_sent(text: str, sent: list[str]) -> None:
    """Whatever comes in: bounded, printable on one line, and no long value of the request in it."""
    shown = safe_text(" ".join([text, *sent]), sent)

    assert len(shown) <= LIMIT_CHARACTERS
    assert len(shown.splitlines()) <= 1
    for value in sent:
        normal = " ".join(value.split())
        assert len(normal) < 6 or normal in REMOVED * 2 or normal not in shown


def test_a_text_without_end_costs_no_time() -> None:
    """Only as much is looked at as could be shown."""
    assert len(safe_text("ha " * 10_000_000)) == LIMIT_CHARACTERS
