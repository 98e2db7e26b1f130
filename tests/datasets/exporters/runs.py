"""Output folders as `gpoa run` leaves them, without running it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SIZE = (40, 60)


def objects() -> np.ndarray:
    """Two neighbours that share a border, one with a hole, one of two parts, one of a single pixel."""
    ids = np.zeros(SIZE, dtype=np.uint16)
    ids[5:20, 5:20] = 1
    ids[5:20, 20:30] = 2
    ids[9:14, 9:13] = 0
    ids[25:30, 5:12] = ids[33:38, 8:20] = 3
    ids[39, 59] = 4
    return ids


def photograph(path: Path) -> Path:
    """An image file of the size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 90, dtype=np.uint8)).save(path)
    return path


def instances_run(root: Path) -> Path:
    """Two images, the second without objects."""
    items = []
    for stem, ids in (("a", objects()), ("b", np.zeros(SIZE, np.uint16))):
        path = photograph(root / "images" / f"{stem}.png")
        (root / "out" / "labels").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(root / "out" / "labels" / f"{stem}.tif", ids)
        items.append({"stem": stem, "status": "ok", "confidence": 0.75, "path": str(path), "page": None})
    (root / "out" / "run.json").write_text(json.dumps({"images": items}))
    return root / "out"


def classes_run(root: Path) -> Path:
    """One image of two classes."""
    out = root / "out"
    (out / "labels").mkdir(parents=True)
    Image.fromarray(np.minimum(objects(), 2).astype(np.uint8)).save(out / "labels" / "a.png")
    photograph(root / "images" / "a.png")
    item = {"stem": "a", "path": str(root / "images" / "a.png")}
    for number, confidence in ((1, 0.9), (2, 0.5)):
        (out / "optimized_prompts" / f"class_{number}").mkdir(parents=True)
        record = json.dumps({"confidence": confidence})
        (out / "optimized_prompts" / f"class_{number}" / "a.json").write_text(record)
    (out / "run.json").write_text(json.dumps({"classes": {"1": "cat", "2": "dog & cow"}, "images": [item]}))
    return out


def masks_run(root: Path) -> Path:
    """One mask, in a subfolder, without run.json."""
    (root / "out" / "masks" / "sub").mkdir(parents=True)
    Image.fromarray((objects() > 0).astype(np.uint8) * 255).save(root / "out" / "masks" / "sub" / "a.png")
    return root / "out"
