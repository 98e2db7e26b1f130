"""The frame of a report: one HTML file that loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import gpoa
from gpoa.report.charts import DEFINITIONS
from gpoa.report.html import section, text

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class PagePart(NamedTuple):
    """A section: its id, heading and content."""

    identifier: str
    title: str
    html: str


def render_page(title: str, lead: str, parts: Sequence[PagePart]) -> str:
    """The page as text.

    Args:
        title: as text.
        lead: HTML below the heading.
        parts: sections in their order; those without content are left out.
    """
    parts = [part for part in parts if part.html]
    files = resources.files("gpoa.report")
    style, script = (files.joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    contents = "".join(f'<li><a href="#{part.identifier}">{text(part.title)}</a></li>' for part in parts)
    body = "\n".join(section(part.identifier, part.title, part.html) for part in parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="gpoa {gpoa.__version__}">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{DEFINITIONS}\n"
        f"<header><h1>{text(title)}</h1>{lead}</header>\n"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n<main>\n{body}\n</main>\n'
        f"<script>\n{script}</script>\n</body>\n</html>\n"
    )
