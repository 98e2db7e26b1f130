"""Small pieces of HTML."""

from __future__ import annotations

import pytest

from gpoa.report.html import Column, Line, decimal, definitions, percent, section, table, text


@pytest.mark.parametrize(
    ("value", "digits", "sign", "shown"),
    [
        (0.1234, 3, False, "0.123"),
        (0.05, 3, True, "+0.050"),
        (-0.05, 3, True, "−0.050"),  # a real minus
        (-0.0001, 3, True, "0.000"),  # no sign on what rounds to zero
        (None, 3, False, "–"),
    ],
)
def test_decimal(value: float | None, digits: int, sign: bool, shown: str) -> None:
    assert decimal(value, digits, sign) == shown


def test_percent_and_text() -> None:
    assert (percent(0.333), percent(None)) == ("33 %", "–")
    assert text("<a b=\"c\" d='e'>&\x00\n") == "&lt;a b=&quot;c&quot; d=&#x27;e&#x27;&gt;&amp;\ufffd\n"


def test_table_has_caption_and_scopes() -> None:
    html = table("c<", [Column("a", False), Column("b", hint="h")], [Line(["x", "1"], True)])
    assert "<caption>c&lt;</caption>" in html and '<th scope="col" class="number" title="h">b</th>' in html
    assert '<tr class="ours"><th scope="row">x</th><td class="number">1</td></tr>' in html


def test_a_line_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        table("c", [Column("a"), Column("b")], [Line(["x"])])


def test_nothing_makes_no_section() -> None:
    assert section("i", "t", definitions([])) == ""
