"""Tables: a caption says what is counted, the first cell of a row is its header, figures stand in columns.

Roles are written out, because a narrow screen shows some tables as stacked cells, and browsers then no longer take
them for tables.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from worker.operations.page.markup import Html, html, together

STACKED: Final = "stacked"
"""A narrow screen shows each row as a block, each cell under the name of its column."""


class Column(NamedTuple):
    """A column; *css_class*: "n" for figures, "wide" for text, "spare" for what a narrow screen has no room for."""

    name: str
    css_class: str = ""


def table(
    caption: str, columns: Sequence[Column], rows: Iterable[Sequence[object]], css_class: str = "", *, empty: str = ""
) -> Html:
    """The table, or the words *empty* where it has no rows."""
    body = together(_row(columns, cells) for cells in rows)
    if not body and empty:
        return nothing(empty)
    head = together(
        html('<th scope="col" role="columnheader" class="{css}">{name}</th>', css=column.css_class, name=column.name)
        for column in columns
    )
    return html(
        '<table role="table" class="{css_class}"><caption>{caption}</caption>'
        '<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody></table>',
        css_class=css_class,
        caption=caption,
        head=head,
        body=body,
    )


def nothing(words: str) -> Html:
    """Stands where a table would have no rows."""
    return html('<p class="nothing">{words}</p>', words=words)


def code(text: str) -> Html:
    """A name as it is written in commands and logs; it may be broken where its parts meet."""
    return html("<code>{text}</code>", text=breakable(text))


def breakable(name: str) -> Html:
    """A long name that may be broken where its parts meet."""
    return Html("<wbr>".join(html("{part}", part=part) for part in re.split(r"(?<=[._:])(?=.)", name)))


def _row(columns: Sequence[Column], cells: Sequence[object]) -> Html:
    first, *others = zip(columns, cells, strict=True)
    return html(
        '<tr role="row"><th scope="row" role="rowheader" class="{css}">{cell}</th>{others}</tr>',
        css=first[0].css_class,
        cell=first[1],
        others=together(
            html(
                '<td role="cell" class="{css}" data-column="{name}">{cell}</td>',
                css=column.css_class,
                name=column.name,
                cell=cell,
            )
            for column, cell in others
        ),
    )
