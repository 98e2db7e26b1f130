"""How long a click in `gpoa app` takes from the request to the mask's PNG, on images of several sizes.

Prints for each size the seconds until the image is ready for clicks (reading, preview, encoder), and the median and
the slowest of the clicks after the first: wall clock, and the processor's time, which another program on the machine
does not lengthen. The images are rendered; their content does not change the time.

    python scripts/benchmark_app.py
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from gpoa.app.engine import Engine
from gpoa.app.guard import LOOPBACK, TOKEN_HEADER, new_token
from gpoa.app.server import make_app
from gpoa.app.studio import Studio
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.image import ImagePipeline

SIZES = ((400, 600), (1365, 2048), (4000, 6000), (10_000, 20_000))
BASE = "http://127.0.0.1:7860"


def main() -> int:
    """Measures and prints; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clicks", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, size in enumerate(SIZES):
            draw(root / "images" / f"{number}.png", size)
        studio = Studio(root, Engine(lambda: ImagePipeline(cache=EmbeddingCache(None))))
        studio.open("images")
        token = new_token()
        headers = {TOKEN_HEADER: token}
        page = TestClient(make_app(studio, token, LOOPBACK), BASE, cookies={"gpoa": token}, headers=headers)
        with studio.engine.for_person():
            pass  # the models are loaded before the clock starts
        for number, size in enumerate(SIZES):
            measure(page, number, size, args.clicks)
        studio.shut_down()
    return 0


def draw(path: Path, size: tuple[int, int]) -> None:
    """An image of (H, W) with some bright ellipses."""
    path.parent.mkdir(exist_ok=True)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    pixels = np.full(size, 60, dtype=np.uint8)
    for part in range(6):
        middle = ((0.2 + 0.3 * (part % 3)) * size[1], (0.3 + 0.4 * (part // 3)) * size[0])
        inside = ((x - middle[0]) / (0.1 * size[1])) ** 2 + ((y - middle[1]) / (0.15 * size[0])) ** 2 < 1
        pixels[inside] = 150 + 15 * part
    Image.fromarray(pixels).convert("RGB").save(path, compress_level=1)


def measure(page: TestClient, index: int, size: tuple[int, int], clicks: int) -> None:
    """Opens an image and clicks on it; prints a line."""

    def step(what: str, **payload: object) -> None:
        answer = page.post(f"/api/images/{index}/{what}", json={"window": "one", **payload})
        assert answer.status_code == 200, answer.text

    began = time.perf_counter()
    step("edit/open")
    step("ready")
    ready = time.perf_counter() - began
    scale = min(1.0, 2048 / max(size))
    wall, processor = [], []
    for number in range(clicks + 1):
        x, y = (0.2 + 0.3 * (number % 3)) * size[1] * scale, (0.3 + 0.4 * (number // 3 % 2)) * size[0] * scale
        start, spent = time.perf_counter(), time.process_time()
        step("edit/click", x=x, y=y, label=1)
        wall.append(1000 * (time.perf_counter() - start))
        processor.append(1000 * (time.process_time() - spent))
    wall, processor = wall[1:], processor[1:]
    print(
        f"{size[1]:>6} x {size[0]:<6} ready {ready:6.2f} s   click {np.median(wall):6.0f} ms (slowest {max(wall):.0f})"
        f"   processor {np.median(processor):6.0f} ms",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
