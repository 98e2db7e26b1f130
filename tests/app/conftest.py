"""A folder of red squares, and a page on it whose models are stand-ins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

import gpoa.pipeline.image
from gpoa.app.engine import Engine
from gpoa.app.guard import LOOPBACK, TOKEN_HEADER
from gpoa.app.server import make_app
from gpoa.app.studio import Studio
from gpoa.config import GpoaConfig, MatchingConfig, OptimizeConfig
from gpoa.pipeline.image import ImagePipeline
from tests.fake_backbones import FakeBackbones
from tests.red_squares import save_square

TOKEN = "the-token-of-this-test"
BASE = "http://127.0.0.1:7860"
CONFIG = GpoaConfig(optimize=OptimizeConfig(strategy="none"), matching=MatchingConfig(method="ridge"))


class Page:
    """What the browser's page does over HTTP.

    Args:
        studio: behind the server.
        window: its name.
    """

    def __init__(self, studio: Studio, window: str = "one") -> None:
        self.studio, self.window = studio, window
        app = make_app(studio, TOKEN, LOOPBACK)
        self.client = TestClient(app, BASE, cookies={"gpoa": TOKEN}, headers={TOKEN_HEADER: TOKEN, "origin": BASE})

    def get(self, url: str):
        return self.client.get(url)

    def post(self, url: str, **payload):
        return self.client.post(url, json={"window": self.window, **payload})

    def edit(self, index: int, what: str, **payload):
        return self.post(f"/api/images/{index}/edit/{what}", **payload)

    def state(self) -> dict:
        answer = self.get("/api/state")
        assert answer.status_code == 200
        return answer.json()

    def images(self) -> dict[str, dict]:
        return {one["name"]: one for one in self.state()["changed"]}

    def wait_for_run(self) -> dict:
        for _ in range(600):
            job = self.state()["job"]
            if job["state"] in ("done", "cancelled", "failed"):
                return job
            time.sleep(0.02)
        raise AssertionError(f"the run does not end: {job}")

    def make_example(self, index: int = 0) -> None:
        """Clicks into the square of an image of `tests.red_squares` and accepts."""
        assert self.edit(index, "open").status_code == 200
        assert self.edit(index, "click", x=5 + 15 * index + 14, y=29, label=1).status_code == 200
        assert self.edit(index, "accept").status_code == 200


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """images/t0.png to t3.png of 60 x 90, a red square each, further right in each."""
    for number in range(4):
        save_square(tmp_path / "images" / f"t{number}.png", 5 + 15 * number)
    return tmp_path / "images"


@pytest.fixture
def make_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Page]]:
    """Opens a folder, given with its root and output where they differ from the folder's parent and the default."""
    monkeypatch.setattr(gpoa.pipeline.image, "Backbones", FakeBackbones)
    studios: list[Studio] = []

    def make(root: Path, path: str | None = "images", output: Path | None = None, patience: float = 0.0) -> Page:
        studio = Studio(root, Engine(lambda: ImagePipeline(CONFIG), patience), output)
        studios.append(studio)
        if path is not None:
            studio.open(path)
        return Page(studio)

    yield make
    for studio in studios:
        studio.shut_down()


@pytest.fixture
def page(images: Path, make_page: Callable[..., Page]) -> Page:
    """A page on the four images."""
    return make_page(images.parent)


def truth(number: int) -> np.ndarray:
    """[60, 90] bool: the square of image `t<number>`."""
    mask = np.zeros((60, 90), dtype=bool)
    mask[20:40, 5 + 15 * number : 35 + 15 * number] = True
    return mask
