"""Small pieces of HTML. Every function that takes text escapes it; what is called `html` is taken as it is."""

from __future__ import annotations

import html as _html
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
NOTHING = "–"
_ROWS_OF_A_PAGE = 16
"""A table with more may be broken over printed pages."""
_COLUMNS_OF_A_PAGE = 9
"""A table with more is printed smaller."""


class Column(NamedTuple):
    """Head of a table column.

    Args:
        label: its text.
        numeric: right-aligned.
        hint: what the label means, shown when the pointer rests on it.
    """

    label: str
    numeric: bool = True
    hint: str = ""


class Line(NamedTuple):
    """One line of a table.

    Args:
        cells: HTML of each; the first one is the line's head.
        marked: the line is ours.
    """

    cells: Sequence[str]
    marked: bool = False


def text(value: object) -> str:
    """Any text made safe for element content and for quoted attributes; control characters become U+FFFD."""
    return _html.escape(_CONTROL.sub("\ufffd", str(value)), quote=True)


def decimal(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number with a real minus sign, or a dash for None; what rounds to zero has no sign."""
    if value is None:
        return NOTHING
    shown = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if float(shown) == 0.0:
        shown = f"{0:.{digits}f}"
    return shown.replace("-", "\u2212")


def percent(value: float | None) -> str:
    """A share as whole percent, or a dash for None."""
    return NOTHING if value is None else f"{100 * value:.0f} %"


def table(caption: str, columns: Sequence[Column], lines: Iterable[Line], note: str = "") -> str:
    """A table with its caption; a click on a head sorts it where scripts run.

    Args:
        caption, columns: as text.
        lines: as HTML.
        note: text below.
    """
    heads = "".join(f'<th scope="col"{_class(column)}{_hint(column)}>{text(column.label)}</th>' for column in columns)
    body = []
    for line in lines:
        cells = [f"<td{_class(column)}>{cell}</td>" for column, cell in zip(columns[1:], line.cells[1:], strict=True)]
        mark = ' class="ours"' if line.marked else ""
        body.append(f'<tr{mark}><th scope="row">{line.cells[0]}</th>{"".join(cells)}</tr>')
    lines_fit = " short" if len(body) <= _ROWS_OF_A_PAGE else ""
    kind = f"sortable{lines_fit}{' wide' if len(columns) > _COLUMNS_OF_A_PAGE else ''}"
    below = f'<p class="note">{text(note)}</p>' if note else ""
    return (
        f'<div class="table"><table class="{kind}"><caption>{text(caption)}</caption><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>{below}"
    )


def section(identifier: str, title: str, *html: str) -> str:
    """A section under a heading that the contents list points at; empty where it has no content."""
    content = "".join(html)
    if not content:
        return ""
    return f'<section aria-labelledby="{identifier}"><h2 id="{identifier}">{text(title)}</h2>{content}</section>'


def figure(html: str, caption: str) -> str:
    """A chart and what it shows."""
    return f"<figure>{html}<figcaption>{text(caption)}</figcaption></figure>"


def paragraph(content: str, kind: str = "") -> str:
    """A paragraph of text."""
    return f'<p class="{kind}">{text(content)}</p>' if kind else f"<p>{text(content)}</p>"


def definitions(items: Iterable[tuple[str, str]]) -> str:
    """A list of names, each with its meaning; empty without items."""
    pairs = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in items)
    return f"<dl>{pairs}</dl>" if pairs else ""


def folded(title: str, content: str) -> str:
    """Long preformatted text that opens on a click, and is open on paper."""
    return f"<details><summary>{text(title)}</summary><pre>{text(content)}</pre></details>"


def _class(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


def _hint(column: Column) -> str:
    return f' title="{text(column.hint)}"' if column.hint else ""
