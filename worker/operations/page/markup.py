"""HTML that is put together from parts: whatever is not markup already is escaped where it is put in."""

from collections.abc import Iterable
from html import escape
from typing import LiteralString


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def html(template: LiteralString, /, **parts: object) -> Html:
    """*template* with its `{names}` replaced; a part that is None is left out.

    Only code writes templates, so only parts can hold what came from outside.
    """
    return Html(template.format_map({name: _safe(part) for name, part in parts.items()}))


def together(parts: Iterable[Html]) -> Html:
    """One after another."""
    return Html("".join(parts))


def _safe(part: object) -> str:
    if isinstance(part, Html):
        return part
    return "" if part is None else escape(str(part))
