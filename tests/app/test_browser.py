"""The page in a headless Chromium: from a folder to an export by what a person clicks and presses."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from PIL import Image

from gpoa.app.guard import LOOPBACK
from gpoa.app.server import make_app
from gpoa.app.serving import bind
from gpoa.datasets.mask_io import load_mask
from tests.app.conftest import TOKEN, Page

pytestmark = pytest.mark.browser
SIZES = [(1280, 800), (800, 1000)]
COUNT, SIDE, PATIENT = 5, (400, 600), 120_000


@pytest.fixture
def address(tmp_path: Path, make_page: Callable[..., Page]) -> Iterator[str]:
    """A real server on a folder that holds the folder of images; yields its address with the token."""
    (tmp_path / "pictures").mkdir()
    for number in range(COUNT):
        image = np.full((*SIDE, 3), (30, 130, 60), dtype=np.uint8)
        image[120:280, 60 + 70 * number : 220 + 70 * number] = (220, 30, 30)
        Image.fromarray(image).save(tmp_path / "pictures" / f"p{number}.png")
    studio = make_page(tmp_path, None).studio
    listening = bind("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(studio, TOKEN, LOOPBACK), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/?token={TOKEN}"
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A headless Chromium, the system's own."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason='no playwright: pip install "gpoa[test]"')
    with playwright_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=4 * PATIENT)
        yield started
        started.close()


@pytest.fixture
def tab(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A tab of some size that fails the test if a script fails or anything is asked of another server; it
    is closed before the server."""
    width, height = getattr(request, "param", SIZES[0])
    page = browser.new_page(viewport={"width": width, "height": height})
    page.set_default_timeout(PATIENT)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    ours = lambda url: "//127.0.0.1:" in url or url.startswith("blob:")  # noqa: E731
    page.on("request", lambda one: None if ours(one.url) else wrong.append(one.url))
    yield page
    page.close()
    assert wrong == []


def _click_image(tab: Any, x: float, y: float, **how: Any) -> None:
    """Clicks on a place of the image, given in shares of its width and height, and waits for the mask."""
    box = tab.locator("#canvas").bounding_box()
    scale = min((box["width"] - 32) / SIDE[1], (box["height"] - 32) / SIDE[0])  # as the page fits it, with its margin
    left = box["x"] + (box["width"] - SIDE[1] * scale) / 2
    top = box["y"] + (box["height"] - SIDE[0] * scale) / 2
    with tab.expect_response("**/edit/*"):
        tab.mouse.click(left + x * SIDE[1] * scale, top + y * SIDE[0] * scale, **how)


def _is_in_sight(tab: Any, selector: str) -> bool:
    """Whether an element lies inside the window."""
    box, size = tab.locator(selector).bounding_box(), tab.viewport_size
    fits_across = box["x"] >= 0 and box["x"] + box["width"] <= size["width"]
    return fits_across and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


def _wait_until(tab: Any, expression: str) -> None:
    """Waits for a JavaScript expression; the page's policy forbids what Playwright has for that."""
    deadline = time.monotonic() + PATIENT / 1000
    while not tab.evaluate(expression):
        assert time.monotonic() < deadline, expression
        tab.wait_for_timeout(50)


def _wait_for_editor(tab: Any) -> None:
    tab.wait_for_selector("#view-editor:not([hidden])")
    tab.wait_for_selector("#accept:enabled")
    tab.wait_for_selector("#busy", state="hidden")


@pytest.mark.parametrize("tab", SIZES, indirect=True, ids=lambda size: f"{size[0]}x{size[1]}")
def test_from_a_folder_to_an_export(tab: Any, address: str, tmp_path: Path) -> None:
    output = tmp_path / "pictures-gpoa"
    tab.goto(address)
    tab.get_by_role("button", name="pictures 5 images").click()
    tab.click("#open-here")
    tab.wait_for_selector(".tile img")
    assert tab.inner_text("#guide-title") == "Show one example" and "token" not in tab.url

    tab.click(".tile[data-index='0']")
    _wait_for_editor(tab)
    for part in ("#accept", "#tools", "#undo", "#next", "#canvas"):
        assert _is_in_sight(tab, part), part
    _click_image(tab, 0.23, 0.5)
    _click_image(tab, 0.9, 0.9, button="right")  # not the object
    tab.wait_for_selector("#undo:enabled")
    tab.click("#accept")
    tab.get_by_role("button", name="Segment the other 4 images").click()
    tab.get_by_role("button", name="Check the least sure").click()

    _wait_for_editor(tab)
    title = tab.inner_text("#editor-title")
    assert title in {f"p{number}" for number in range(1, COUNT)} and "1 of 4" in tab.inner_text("#position")
    tab.keyboard.press("b")
    _click_image(tab, 0.05, 0.1)  # a dab of the brush
    tab.wait_for_selector("#undo:enabled")
    tab.keyboard.press(" ")
    _wait_until(tab, f"document.querySelector('#editor-title').textContent !== '{title}'")
    _wait_for_editor(tab)
    assert load_mask(output / "masks" / f"{title}.png")[40, 30]
    tab.keyboard.press("Escape")

    tab.get_by_role("button", name="Learn and segment 3 images again").click()
    tab.get_by_role("button", name="Check the least sure").wait_for()
    assert tab.get_by_role("button", name="Accepted (2)").is_visible()
    tab.get_by_role("button", name="Export…").click()
    tab.get_by_role("button", name="Write COCO").click()
    tab.wait_for_selector(".result:not([hidden])")
    coco = json.loads((output / "export" / "coco" / "annotations.json").read_text())
    assert [one["file_name"] for one in coco["images"]] == [f"p{number}.png" for number in range(COUNT)]
    assert "gpoa run --reference" in tab.inner_text("#command")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_by_keyboard_alone(tab: Any, address: str, tmp_path: Path) -> None:
    press = tab.keyboard.press
    tab.goto(address)
    tab.wait_for_selector("#folders button")
    _tab_to(tab, "#folders button")
    press("Enter")
    tab.wait_for_selector("#open-here")
    _tab_to(tab, "#open-here")
    press("Enter")
    tab.wait_for_selector(".tile")
    _tab_to(tab, ".tile")
    press("ArrowRight")
    press("Enter")
    _wait_for_editor(tab)
    assert tab.inner_text("#editor-title") == "p1"
    with tab.expect_response("**/edit/click"):
        press("ArrowLeft")  # the cross appears in the middle of the canvas
        press("Enter")
    tab.wait_for_selector("#undo:enabled")
    with tab.expect_response("**/edit/undo"):
        press("z")
    with tab.expect_response("**/edit/redo"):
        press("Shift+Z")
    press(" ")
    tab.wait_for_selector("#guide-actions .primary")
    assert tab.evaluate("document.activeElement.textContent") == "Segment the other 4 images"
    press("Enter")
    tab.get_by_role("button", name="Check the least sure").wait_for()
    _tab_to(tab, "#guide-actions .primary")
    press("Enter")
    _wait_for_editor(tab)
    first = tab.inner_text("#editor-title")
    press("n")
    _wait_until(tab, f"document.querySelector('#editor-title').textContent !== '{first}'")
    press("p")
    _wait_until(tab, f"document.querySelector('#editor-title').textContent === '{first}'")
    _wait_for_editor(tab)
    press("x")  # not in this image
    deadline = time.monotonic() + 60
    path = tmp_path / "pictures-gpoa" / "accepted" / f"{first}.json"
    while not path.is_file() and time.monotonic() < deadline:
        tab.wait_for_timeout(50)
    assert json.loads(path.read_text())["absent"]


def _tab_to(tab: Any, selector: str) -> None:
    """Presses the tab key until an element has the focus, which must be seen."""
    for _ in range(40):
        tab.keyboard.press("Tab")
        if tab.evaluate(f"document.activeElement.matches({json.dumps(selector)})"):
            assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"the tab key does not reach {selector}")


def test_zoom_shows_the_images_own_pixels(tab: Any, address: str, tmp_path: Path) -> None:
    large = np.zeros((3000, 4500, 3), dtype=np.uint8)
    large[1499:1501] = 255  # a line that a preview of 2048 pixels blurs
    Image.fromarray(large).save(tmp_path / "pictures" / "p0.png", compress_level=1)
    tab.goto(address)
    tab.click("#folders button")
    tab.click("#open-here")
    tab.click(".tile[data-index='0']")
    _wait_for_editor(tab)
    box = tab.locator("#canvas").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    with tab.expect_response("**/region?**"):
        for _ in range(8):
            tab.mouse.wheel(0, -300)
    strip = "canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2 - 40, 1, 80).data"
    _wait_until(tab, f"Math.max(...{strip}.filter((value, place) => place % 4 < 3)) > 250")
