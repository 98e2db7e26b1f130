"""The report in a real browser: what the eye would look for, in the pixels of a headless Chromium."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gpoa.report.cases import EXTRA_COLOR, MISSED_COLOR
from gpoa.report.report import render_report, write_report
from gpoa.viewer.overlays import NEGATIVE_COLOR, POSITIVE_COLOR
from tests.report.report_builders import Page, make_report
from tests.report.test_report import APPENDIX, PARTS

WIDTH, HEIGHT = 1366, 5000
MARGIN = 90  # the page is 1220 wide, in the middle
BLUE = (0, 114, 178)
pytestmark = pytest.mark.browser


def _run(chromium: str, tmp_path: Path, page: Path, *flags: str) -> str:
    """Standard output of a headless run."""
    command = [
        chromium,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--hide-scrollbars", "--force-device-scale-factor=1", f"--user-data-dir={tmp_path / 'profile'}"),
        *flags,
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return write_report(make_report(), tmp_path / "report <&> é.html")


def _where(pixels: np.ndarray, color: tuple[int, int, int], tolerance: int = 3) -> np.ndarray:
    """[N, 2] (y, x) of all pixels of a colour."""
    return np.argwhere((abs(pixels.astype(int) - color) <= tolerance).all(axis=2))


def test_what_a_reader_sees(chromium: str, tmp_path: Path, page: Path) -> None:
    shot = tmp_path / "shot.png"
    _run(chromium, tmp_path, page, f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={shot}")
    pixels = np.asarray(Image.open(shot).convert("RGB"))
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert (pixels[:, :MARGIN] == 255).all() and (pixels[:, -MARGIN:] == 255).all()  # nothing runs over the edge
    ink = (pixels < 128).all(axis=2)
    assert ink[:80].any() and 0.005 < ink[:3000].mean() < 0.2  # a heading at the top, then text, not a black page
    blue = _where(pixels, BLUE)
    top = blue[blue[:, 0] < 260]  # the rule over the key figures spans the page
    assert np.ptp(top[:, 1]) > 900
    assert len(_where(pixels, (255, 255, 255))) > 0.6 * WIDTH * HEIGHT
    # The striped legend of lost images, the stripes of the error map: exact colours, in stripes.
    assert len(_where(pixels, EXTRA_COLOR)) > 300 and len(_where(pixels, (230, 159, 0))) > 300
    # Prompts: a green disc and, in another shape, a vermillion cross; both below the charts, in the gallery.
    green = _where(pixels, POSITIVE_COLOR)
    assert len(green) > 500 and green[:, 0].max() > 2000
    assert NEGATIVE_COLOR == EXTRA_COLOR and MISSED_COLOR == BLUE  # the palette has no other: shapes and stripes tell


def test_scripts_run_under_the_policy_and_nothing_is_lost(chromium: str, tmp_path: Path, page: Path) -> None:
    shown = _run(chromium, tmp_path, page, "--dump-dom")
    for identifier in (*PARTS, *APPENDIX):
        assert f'id="{identifier}"' in shown
    heads = re.findall(r"<thead><tr>.*?</thead>", shown)
    assert heads and all("sorts" in head and 'tabindex="0"' in head for head in heads)


def test_a_click_on_a_head_sorts(chromium: str, tmp_path: Path, page: Path) -> None:
    heads = 'document.querySelectorAll("#headline ~ .table")[0].querySelectorAll("thead th")'
    for clicks, order in ((1, ["0.850", "0.815", "0.600"]), (2, ["0.600", "0.815", "0.850"])):
        script = f"<script>for (let i = 0; i < {clicks}; i++) {heads}[2].click();</script></body>"
        page.write_text(render_report(make_report()).replace("</body>", script), "utf-8")
        table = Page(_run(chromium, tmp_path, page, "--dump-dom")).tables["Everything (2 classes)"]
        assert [row[2] for row in table[1:]] == order


def test_prints_on_pages(chromium: str, tmp_path: Path, page: Path) -> None:
    pdf = tmp_path / "report.pdf"
    _run(chromium, tmp_path, page, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    data = pdf.read_bytes()
    assert data.startswith(b"%PDF") and len(data) > 20_000
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", data)) <= 12
