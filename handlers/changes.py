"""What a command wants changed: every rule about one field, and all that is broken at once.

A text is refused for what the upstream is known to refuse or to answer with 500: a 500 there looks like an outage,
may have been applied in part, and costs retries. The rules were recorded from the running service.
"""

import difflib
import re
from typing import Final, TypeGuard

from pydantic import JsonValue

from handlers.errors import Problems
from handlers.fields import CAMEL, CHANGEABLE_FIELDS, RESPONSE_FIELDS, SNAKE, is_uuid, snake_case
from handlers.strict_json import RepeatingObject

# The upstream's own rule, from the answer it gave to a malformed address. JavaScript's `$` is Python's `\Z`.
EMAIL_PATTERN: Final = r"(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}"
_is_email = re.compile(EMAIL_PATTERN).fullmatch

_NOT_CLEARABLE = frozenset({"name", "email", "tags"})
_KEPT_BY_UPSTREAM = frozenset(RESPONSE_FIELDS) - frozenset(CHANGEABLE_FIELDS)

# A name that a person would type for a field. Anything else may be a phone number, an address or a secret.
_is_showable_name = re.compile("(?=.{1,32}$)[A-Za-z_](?:[A-Za-z_]|[0-9](?![0-9]{2}))*").fullmatch

_KINDS = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list", type(None): "null"}


def check_changes(raw: JsonValue, path: str, problems: Problems) -> dict[str, JsonValue]:
    """The changes in *raw* by their snake_case names; what is wrong with them is added to *problems*."""
    changes: dict[str, JsonValue] = {}
    if not is_object(raw, path, problems):
        return changes
    if not raw:
        problems.add("changes_empty", path)
    for name, value in raw.items():
        field = SNAKE.get(name)
        if field is None:
            add_unknown_field(name, raw, path, problems, known=CHANGEABLE_FIELDS)
            continue
        if field in changes:
            problems.add("spelled_twice", f"{path}.{field}", f"as {field} and as {CAMEL[field]}")
        if type(value) is str and field != "tags":
            changes[field] = value
            _check_text(field, value, f"{path}.{name}", problems)
        elif field == "tags" and type(value) is list:
            changes[field] = _check_tags(value, f"{path}.{name}", problems)
        elif value is None and field not in _NOT_CLEARABLE:
            changes[field] = None
        else:
            changes[field] = None
            _refuse_kind(field, value, f"{path}.{name}", problems)
    return changes


def is_object(value: JsonValue, path: str, problems: Problems) -> TypeGuard[dict[str, JsonValue]]:
    """Whether *value* is a JSON object; what speaks against it, or repeats in it, is added to *problems*."""
    if type(value) is dict:
        return True
    if isinstance(value, RepeatingObject):
        for name in value.repeated:
            problems.add("name_repeated", path if problems.is_full else f"{path}.{shown_name(name, value)}")
        return True
    problems.add("wrong_type", path, f"an object is needed, this is {kind(value)}")
    return False


def add_unknown_field(
    name: str, siblings: dict[str, JsonValue], path: str, problems: Problems, *, known: tuple[str, ...]
) -> None:
    """Adds that nobody knows *name*, with the name that was probably meant."""
    if problems.is_full:
        problems.add("unknown_field", path)
        return
    problems.add("unknown_field", f"{path}.{shown_name(name, siblings)}", _hint(name, known))


def shown_name(name: str, siblings: dict[str, JsonValue]) -> str:
    """*name* where it looks like the name of a field, else its place: a name may be a personal value as well."""
    if _is_showable_name(name):
        return name
    return f"<name {list(siblings).index(name) + 1}, not shown>"


def kind(value: JsonValue) -> str:
    """What *value* is, in a word for people."""
    return _KINDS.get(type(value), "an object")


def text_flaws(text: str) -> tuple[str, ...]:
    """Codes of what the upstream's database cannot store in *text*."""
    flaws: tuple[str, ...] = ("text_nul",) if "\0" in text else ()
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            flaws += ("text_lone_surrogate",)
    return flaws


def _check_text(field: str, text: str, path: str, problems: Problems) -> None:
    flaws = text_flaws(text)
    for code in flaws:
        problems.add(code, path)
    if field == "name" and not text.strip():
        problems.add("name_blank", path)
    elif field == "email" and not flaws and not _is_email(text):
        problems.add("email_malformed", path, _email_hint(text))


def _refuse_kind(field: str, value: JsonValue, path: str, problems: Problems) -> None:
    if value is None:
        problems.add("null_not_allowed", path)
        return
    needed = {"tags": "a list", "name": "a text", "email": "a text"}.get(field, "a text or null")
    problems.add("wrong_type", path, f"{needed} is needed, this is {kind(value)}")


def _check_tags(raw: list[JsonValue], path: str, problems: Problems) -> JsonValue:
    tags: list[JsonValue] = []
    ids: set[str] = set()
    for position, item in enumerate(raw):
        place = f"{path}[{position}]"
        if not is_object(item, place, problems):
            continue
        for name in item:
            if name not in ("id", "name"):
                add_unknown_field(name, item, place, problems, known=("id", "name"))
        tag_id = _text_of_tag(item, "id", place, problems)
        tag_name = _text_of_tag(item, "name", place, problems)
        if tag_id is not None:
            # The database compares UUIDs without case, so two spellings are one tag.
            tag_id = tag_id.lower()
            if not is_uuid(tag_id):
                problems.add("tag_id_malformed", f"{place}.id")
            elif tag_id in ids:
                problems.add("tag_repeated", f"{place}.id")
            ids.add(tag_id)
        for code in text_flaws(tag_name or ""):
            problems.add(code, f"{place}.name")
        tags.append({"id": tag_id, "name": tag_name})
    return tags


def _text_of_tag(item: dict[str, JsonValue], name: str, place: str, problems: Problems) -> str | None:
    if name not in item:
        problems.add("tag_incomplete", f"{place}.{name}")
        return None
    value = item[name]
    if not isinstance(value, str):
        problems.add("wrong_type", f"{place}.{name}", f"a text is needed, this is {kind(value)}")
        return None
    return value


def _email_hint(text: str) -> str:
    if text != text.strip():
        return "blanks around it"
    if not text.isascii():
        return "only ASCII is taken; write an international domain in its xn-- form"
    if "@" not in text:
        return "no @ in it"
    return ""


def _hint(name: str, known: tuple[str, ...]) -> str:
    plain = snake_case(name[:32].replace("-", "_").replace(" ", "_"))
    if plain in _KEPT_BY_UPSTREAM:
        return "the upstream keeps this field itself, no command can change it"
    squeezed = {candidate.replace("_", ""): candidate for candidate in known}
    close = difflib.get_close_matches(plain.replace("_", ""), squeezed, n=1, cutoff=0.7)
    return f"did you mean {squeezed[close[0]]}?" if close else ""
