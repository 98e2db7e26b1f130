"""The report's page: its parts, its numbers, and names that want to break it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gpoa.errors import DataError
from gpoa.report.report import UNSCORED, Group, render_report, write_report
from tests.report.report_builders import Page, make_case, make_report, make_rows

PARTS = ["headline", "losses", "distributions", "classes", "agent", "calibration", "gallery", "time"]
APPENDIX = ["conventions", "methods", "reproduce", "notes", "config", "cards"]
NASTY = "<b>\"'&amp;</td></script><script>alert(1)</script>é漢\u202e"


@pytest.fixture(scope="module")
def source() -> str:
    return render_report(make_report())


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def test_parts_are_there_once_and_in_order(page: Page) -> None:
    assert page.ids[:3] == ["striped", "hatched", "dotted"]
    assert page.ids[3:] == [*PARTS, *APPENDIX]
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert links == [f"#{identifier}" for identifier in [*PARTS, *APPENDIX]]
    for words in ("card text", '"calls": 24', "counts as 1", "gpoa benchmark", "a note", "Source: s"):
        assert words in page.text


def test_page_is_well_formed(source: str, page: Page) -> None:
    assert source.startswith('<!DOCTYPE html>\n<html lang="en">') and "<title>Test</title>" in source
    assert page.stack == []
    assert source.count("<table") == source.count("<caption>")
    assert not re.search(r"<th(?! scope=)[ >]", source)
    assert source.count('role="img"') == source.count('role="img" aria-label="')


def test_nothing_is_loaded_from_elsewhere(source: str, page: Page) -> None:
    places = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href", "action", "srcset")]
    assert places and all(value.startswith(("#", "data:")) for value in places)
    assert set(re.findall(r"url\(([^)]*)\)", source)) <= {"#striped", "#hatched", "#dotted"}
    assert "@import" not in source and "http:" not in source and "https:" not in source


def test_headline_numbers(page: Page) -> None:
    table = page.tables["Everything (2 classes)"]
    assert [row[0] for row in table] == ["Method", "Ours", "Other", "Start"]  # by mean IoU
    assert [row[2] for row in table[1:]] == ["0.850", "0.815", "0.600"]
    assert table[1][3:6] == ["–", "–", "–"]
    assert [row[3].split()[0] for row in table[2:]] == ["+0.035", "+0.250"]
    assert [row[4:6] for row in table[2:]] == [["2 / 0 / 1", "33 %"]] * 2
    assert table[0][6:] == ["Dice", "HD95, px", "Decoder calls", "Seconds"]  # no boundary IoU in the rows
    assert table[1][6:] == ["0.850", "3.0", "4.0", "2.00"]
    # One image: resampling it gives itself.
    assert page.tables["Only b (1 class)"][2][2:6] == ["0.900", "+0.100 +0.100 to +0.100", "1 / 0 / 0", "0 %"]


def test_who_wins_on_which_class(page: Page) -> None:
    table = page.tables["Mean IoU for each class; the best is bold"]
    assert table[0] == ["Class", "Images", "Ours", "Start", "Other", "Margin"]
    assert table[1] == ["one/a", "2", "0.700", "0.700", "0.730", "+0.030"]
    assert table[2] == ["two/b", "1", "1.000", "0.500", "0.900", "+0.100"]
    assert "Classes won, of 2: " in page.text and "Other +0.030" in page.text and "Ours +0.100" in page.text


def test_where_we_lose(page: Page) -> None:
    table = page.tables["Where we lose, and to whom"]
    assert table[1] == ["Other", "1", "33 %", "−0.360", "1 of 2", "one/a (+0.030)"]
    assert table[2] == ["Start", "1", "33 %", "−0.100", "0 of 2", "–"]
    assert "On 1 of 3 images (33 %) at least one other method is better" in page.text
    assert "The best of all on these images: Other (1)." in page.text


def test_before_and_after(page: Page) -> None:
    assert "Mean change over 3 images +0.167, median +0.100; 2 better, 0 equal (within 0.02), 1 worse; " in page.text
    assert "from −0.100 to +0.500." in page.text


def test_confidence_table(page: Page) -> None:
    # The confidence is the IoU less .1 everywhere. Kept: 1, .9, .8.
    assert page.tables["Confidence against true IoU"][1:] == [
        ["Ours", "3", "+1.00", "0.100", "−0.100", "0.900", "0.900"]
    ]


def test_time_breakdown(page: Page) -> None:
    table = page.tables["Time and decoder calls, mean over images"]
    assert table[1] == ["Ours", "3", "1.000", "0.500", "0.500", "2.000", "2.000", "4.0"]


def test_without_ground_truth() -> None:
    source = render_report(make_report(truth=False))
    page = Page(source)
    assert UNSCORED in page.text
    assert page.ids[3:] == ["found", "gallery", "time", *APPENDIX]
    table = page.tables["Images of each method"]
    assert table[1] == ["Ours", "3", "3", "0", "0", "0.700", "0.700", "0.250", "4.0", "2.00"]
    assert [row[0] for row in page.tables["Least confident first: 3 of 3 images"][1:]] == ["2", "1", "3"]
    rest = page.text.replace(UNSCORED, "")
    assert "IoU" not in rest and "truth" not in rest and "false positive" not in rest


def test_names_are_escaped_everywhere() -> None:
    rows = [
        {**row, "class": row["class"] + NASTY, "reference": NASTY, "image": row["image"] + NASTY,
         "method": row["method"] + NASTY, "seed": NASTY}
        for row in make_rows()
    ]  # fmt: skip
    report = make_report(
        title=NASTY,
        rows=[*rows, {**rows[0], "seed": 2}],
        ours="ours" + NASTY,
        start="start" + NASTY,
        methods={"other" + NASTY: {"title": NASTY, "description": NASTY, "source": NASTY}},
        groups=(Group(NASTY, ("one/a" + NASTY, "two/b" + NASTY)),),
        cases=(make_case(("one/a" + NASTY, NASTY, "1" + NASTY)),),
        config={NASTY: [NASTY]},
        cards={NASTY: NASTY},
        conventions={NASTY: NASTY},
        command=NASTY,
        environment={NASTY: NASTY},
        notes=(NASTY,),
    )
    source = render_report(report)
    page = Page(source)
    assert source.count("<script>") == 1 and '<b>"' not in source
    assert page.stack == [] and page.ids[3:] == [*PARTS, *APPENDIX]
    assert page.text.count(NASTY) >= 15
    assert page.tables["Where we lose, and to whom"][1][5] == f"one/a{NASTY} (+0.030)"


def test_names_that_are_no_unicode_are_written(tmp_path: Path) -> None:
    report = make_report(notes=("caf\udce9\x00",))  # an undecodable file name, and a control character
    path = write_report(report, tmp_path / "new" / "report.html")
    assert path == tmp_path / "new" / "report.html"
    assert "caf\\udce9\ufffd" in path.read_text("utf-8")


def test_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_report(make_report(), tmp_path / "file" / "report.html")


def test_one_method_alone() -> None:
    rows = [row for row in make_rows() if row["method"] == "ours"]
    page = Page(render_report(make_report(rows=rows, start=None, groups=(), cases=(), config={}, cards={}, notes=())))
    assert page.ids[3:] == [*(p for p in PARTS if p not in ("losses", "agent", "gallery")), *APPENDIX[:3]]
    assert page.tables["All classes (2 classes)"][0][2:4] == ["Mean IoU", "Dice"]  # nothing to compare with
    assert page.tables["All classes (2 classes)"][1][2:4] == ["0.850", "0.850"]
    assert "best other method" not in page.text and "before the agent, " not in page.text


def test_failed_and_missing_images() -> None:
    rows = make_rows()
    failed = {k: rows[0][k] for k in ("class", "reference", "image", "method", "seed")} | {"status": "failed"}
    gone = [row for row in rows[1:] if (row["method"], row["image"]) != ("other", "3")]
    unknown = {**failed, "class": "three/c", "image": "4", "status": "ok", "confidence": 0.5}
    page = Page(render_report(make_report(rows=[failed, *gone, unknown], groups=(), cases=())))
    table = page.tables["All classes (2 classes)"]
    ours = next(row for row in table if row[0] == "Ours")
    assert ours[1:3] == ["3 (1 failed)", "0.650"]  # (0 + .6) / 2 and 1
    other = next(row for row in table if row[0] == "Other")
    assert other[1:3] == ["2", "0.730"]
    assert other[3].startswith("−0.430") and other[4] == "0 / 0 / 2"  # on the two images that both have
    assert "1 images have no ground truth and are not scored." in page.text
    assert "Other has no row for 1 of the 3 scored images." in page.text


def test_seeds_are_averaged_for_each_image() -> None:
    again = [{**row, "seed": 1, "iou": row["iou"] - 0.2} for row in make_rows() if row["method"] == "ours"]
    page = Page(render_report(make_report(rows=[*make_rows(), *again], groups=(), cases=())))
    ours = next(row for row in page.tables["All classes (2 classes)"] if row[0] == "Ours")
    assert ours[1:3] == ["3", "0.750"]
    assert "on the 3 images that all seeds have: 0.850 (seed 0), 0.650 (seed 1)." in page.text


def test_empty_group_and_lack_of_ours() -> None:
    page = Page(render_report(make_report(groups=(Group("Nothing", ("no/such",)),))))
    assert (
        "Nothing (0 classes): no image was scored." in page.text and "Ours has no scored image in Nothing." in page.text
    )
    with pytest.raises(ValueError, match=r"no row of \['absent'\]"):
        make_report(ours="absent")
