"""Makes a text of the upstream fit for logs, metrics and dead letters: short, on one line, quiet about people.

A refusal may quote what was refused, and nobody knows in which words. So what was sent is taken out wherever it
appears, and beyond that everything that has the form of something personal or secret: quotations, e-mail addresses,
runs of digits (phone and VAT numbers, zip codes), credentials. What is left says why. Taking out too much costs
a moment of an operator's time; too little costs a person's privacy.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT_CHARACTERS = 500
REMOVED = "[removed]"

_LONGEST_LOOK = 4_000
"""Characters of a text, and of a sent value, that are looked at."""
_TELLING = 12
"""Where this many characters of a sent value appear, the rest of the line may be more of it."""

_LONGEST_NAME = 80
"""Characters of a name or an address line; anything longer is prose, whose words are everybody's."""

_CAPITALISED = re.compile(r"(?<!\w)(?=[^\W\d_]{3})(?![a-zß-öø-ÿ])\w[\w’'-]*\w")
_UNPRINTABLE_OR_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")
_PERSONAL = re.compile(
    r"""
      \b(?:Bearer|Basic)\s+\S{6,}                               # credentials
    | "[^"]*"? | “[^”]*”? | «[^»]*»? | `[^`]*`?                 # quotations, also those cut off
    | (?<!\w)'[^']*(?:'(?!\w)|$)                                # and these, but not the apostrophe of "doesn't"
    | \S*@\S*                                                   # e-mail addresses
    | \+?\d[\d\s()./-]{3,}\d                                    # phone numbers, dates, zip codes, long numbers
    | \b(?=[A-Za-z0-9_+/=.-]*\d)[A-Za-z0-9_+/=.-]{16,}          # tokens, UUIDs
    """,
    re.VERBOSE,
)
_CODE_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,39}")
"""What a field's name or a permission looks like: `addressLine1`, `customers.write`."""


def safe_text(text: str, sent: Iterable[str] = (), limit: int = LIMIT_CHARACTERS) -> str:
    """*text* on one line, at most *limit* characters, without any of *sent* and anything that looks personal.

    *sent* are the values of the request and of the customer, the token among them; of a short one, such as a name, each
    capitalised word goes too. The result is empty where *text* is.
    """
    line = _one_line(text[:_LONGEST_LOOK])
    values = {_one_line(value[: _LONGEST_LOOK + 1]) for value in sent}
    values |= {word for value in values if len(value) <= _LONGEST_NAME for word in _CAPITALISED.findall(value)}
    # The longest first: a value that contains another leaves no remainder behind.
    for value in sorted(values, key=len, reverse=True):
        line = _without(line, value)
    line = _PERSONAL.sub(REMOVED, line)
    return line if len(line) <= limit else line[: limit - 1] + "…"


def is_name(text: str) -> bool:
    """Whether *text* can only be the name of a field, and may be shown."""
    return _CODE_WORDS.fullmatch(text) is not None


def _one_line(text: str) -> str:
    return _UNPRINTABLE_OR_BLANK.sub(" ", text).strip()


def _without(line: str, value: str) -> str:
    if not value or value[:_TELLING].casefold() not in line.casefold():
        return line
    line = re.sub(_pattern_of(value), REMOVED, line, flags=re.IGNORECASE)
    if len(value) <= _TELLING:
        return line
    return re.sub(re.escape(value[:_TELLING]) + ".*", REMOVED, line, flags=re.IGNORECASE)  # repeated in part


def _pattern_of(value: str) -> str:
    """Long values count anywhere, short ones as words of their own: a contact "An" is no part of "cannot"."""
    escaped = re.escape(value)
    if len(value) >= 6:
        return escaped
    before = r"(?<!\w)" if value[0].isalnum() else ""
    after = r"(?!\w)" if value[-1].isalnum() else ""
    return f"{before}{escaped}{after}"
