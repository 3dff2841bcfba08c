"""Reads JSON from publishers as RFC 8259 has it, where the standard library is lenient or can be led astray.

UTF-8 alone, no byte order mark, no NaN, bounded nesting; a name that an object repeats is not lost. Numbers of any
length are read in linear time: one beyond 64 bits becomes an infinity, which JSON cannot express otherwise.
"""

import json
import math
import re
from typing import NoReturn

from pydantic import JsonValue

MAX_DEPTH = 32
"""Levels of nesting that are read; a command in a CloudEvents envelope has five."""

# A string, closed or not (so that each quote is looked at once), or a bracket.
_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)


class Unreadable(Exception):
    """Bytes that are no JSON text; *code* is the registry's, *detail* says where and never repeats a value."""

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(code, detail)


class RepeatingObject(dict[str, JsonValue]):
    """A JSON object with a name that occurs more than once; it holds the last value of each."""

    def __init__(self, pairs: list[tuple[str, JsonValue]]) -> None:
        super().__init__(pairs)
        seen: set[str] = set()
        self.repeated: dict[str, None] = {}
        for name, _ in pairs:
            if name in seen:
                self.repeated[name] = None
            seen.add(name)


def read(value: bytes) -> JsonValue:
    """The JSON document in *value*. Raises `Unreadable`."""
    if not value:
        raise Unreadable("value_empty")
    # Raised outside the handlers: a decoder's own error holds the whole document, and every traceback would keep it.
    try:
        return _parse(value.decode())
    except UnicodeDecodeError as error:
        code, detail = "not_utf8", f"from byte {error.start} on"
    except json.JSONDecodeError as error:
        code, detail = "not_json", f"from character {error.pos} on"
    except _NotANumberError as error:
        code, detail = "not_json", f"{error} is no number"
    raise Unreadable(code, detail)


def _parse(text: str) -> JsonValue:
    if text[0] == "\ufeff":
        raise Unreadable("byte_order_mark")
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(text):
        raise Unreadable("too_deep", f"more than {MAX_DEPTH} levels")
    document: JsonValue = _DECODER.decode(text)
    return document


class _NotANumberError(ValueError):
    pass


def _is_too_deep(text: str) -> bool:
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        found = match[0]
        if found in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif found in "]}":
            depth -= 1
    return False


def _object(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else RepeatingObject(pairs)


def _integer(digits: str) -> float:
    # int() refuses more than 4,300 digits and takes quadratic time up to there.
    if len(digits) <= 20:
        number = int(digits)
        if -(2**63) <= number < 2**64:
            return number
    return math.inf


def _constant(name: str) -> NoReturn:
    raise _NotANumberError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)
