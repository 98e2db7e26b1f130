"""Prompt files: what one stage hands to the next, and what a user may write by hand.

`<stem>.json` is one object. Only `point_coords` and `point_labels` are required of a file written by hand:

    image              name of the image file
    original_size      [H, W]
    point_coords       [[x, y], ...] original pixels, integer values at pixel centres
    point_labels       [1 or 0, ...]
    box                [x0, y0, x1, y1] original pixels, or null
    mask_prompt        name of the array file beside it that holds `mask_prompt`, or null
    mask_output        which of SAM's four masks: 0 the single one (default), 1 to 3 those of `multimask_output`; 4 the
                       mask prompt itself, without SAM
    patch_index        row-major patch of each point
    scores             score-map logit at each point
    confidence         expected quality in [0, 1], or null
    status             "ok" or "absent"
    provenance         models, digest of the config, reference, strategy

`<stem>.npz` beside it holds `mask_prompt` [256, 256] float16 and `score_map` [rows, columns] float32 with its
`threshold` and `scale`, and, from the learned prior, `detail` [256, 256] float16 log odds over the whole image.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.errors import PromptError, one_line
from gpoa.runtime.atomic import encode_json, write_atomic
from gpoa.types import DENSE_OUTPUT, PointPrompts, ScoreMap, Size


@dataclass(frozen=True, eq=False)
class PromptRecord:
    """Everything that a prompt file holds.

    Args:
        image: name of the image file.
        original_size: (H, W), or None where a file written by hand does not say.
        prompts: the prompt set.
        score_map: the target's score map, or None.
        patch_index: [K] int64, or None.
        scores: [K] float32, or None.
        confidence: expected quality in [0, 1], or None.
        status: "ok", or "absent" where the object was not found.
        provenance: plain values that say where the file comes from.
    """

    image: str
    original_size: Size | None
    prompts: PointPrompts
    score_map: ScoreMap | None = None
    patch_index: np.ndarray | None = None
    scores: np.ndarray | None = None
    confidence: float | None = None
    status: str = "ok"
    provenance: dict[str, Any] = field(default_factory=dict)


def write_prompts(path: Path, record: PromptRecord) -> None:
    """Writes a record as `<stem>.json` and `<stem>.npz`, each atomically, the json last.

    Args:
        path: the json file; its folder is made.
        record: what to write.

    Raises:
        DataError: the folder cannot be written.
    """
    arrays: dict[str, Any] = _arrays(record)
    array_path = path.with_name(path.name[: -len(".json")] + ".npz")
    if arrays:
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_atomic(array_path, content.getvalue())
    write_atomic(path, encode_json(_plain(record, array_path.name), indent=1))


def _arrays(record: PromptRecord) -> dict[str, np.ndarray]:
    """What goes into the npz file."""
    arrays: dict[str, np.ndarray] = {}
    if record.prompts.mask_prompt is not None:
        arrays["mask_prompt"] = record.prompts.mask_prompt.astype(np.float16)
    if record.score_map is not None:
        arrays["score_map"] = record.score_map.values
        arrays["threshold"] = np.float32(record.score_map.threshold)
        arrays["scale"] = np.float32(record.score_map.scale)
        if record.score_map.detail is not None:
            arrays["detail"] = record.score_map.detail.astype(np.float16)
    return arrays


def _plain(record: PromptRecord, array_name: str) -> dict[str, Any]:
    """What goes into the json file."""
    prompts = record.prompts
    return {
        "image": record.image,
        "original_size": None if record.original_size is None else list(record.original_size),
        "point_coords": [[round(float(x), 3), round(float(y), 3)] for x, y in prompts.point_coords],
        "point_labels": [int(label) for label in prompts.point_labels],
        "box": None if prompts.box is None else [round(float(value), 3) for value in prompts.box],
        "mask_prompt": None if prompts.mask_prompt is None else array_name,
        "mask_output": int(prompts.mask_output),
        "arrays": array_name if record.score_map is not None or prompts.mask_prompt is not None else None,
        "patch_index": None if record.patch_index is None else [int(index) for index in record.patch_index],
        "scores": None if record.scores is None else [round(float(score), 5) for score in record.scores],
        "confidence": None if record.confidence is None else round(float(record.confidence), 5),
        "status": record.status,
        "provenance": record.provenance,
    }


def read_prompts(path: Path) -> PromptRecord:
    """Reads a prompt file, ours or one written by hand.

    Args:
        path: the json file.

    Returns:
        The record.

    Raises:
        PromptError: the file is missing, is no JSON object, a value is missing or of the wrong shape, or a point lies
            outside the image whose size the file states.
    """
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors write a byte-order mark
    except FileNotFoundError as error:
        raise PromptError(f"{path}: no such prompt file; make it with `gpoa prompts`") from error
    except (OSError, ValueError, RecursionError) as error:
        raise PromptError(
            f"{path}: cannot be read as JSON ({one_line(error)}); make it again with `gpoa prompts`"
        ) from error
    try:
        record = _parse(plain, Path(path).parent)
    except (LookupError, TypeError, ValueError, OverflowError, OSError) as error:
        reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else one_line(error)
        raise PromptError(f"{path}: not a prompt file ({reason}); see gpoa/datasets/prompt_file.py") from error
    if record.original_size is not None:
        refuse_outside(record, record.original_size, str(path))
    return record


def refuse_outside(record: PromptRecord, size: Size, name: str = "") -> None:
    """Refuses prompts with a point outside the image.

    Args:
        record: the prompts.
        size: (H, W) of the image.
        name: of the file, for the message; default: the image's.

    Raises:
        PromptError: names the first such point.
    """
    height, width = size
    coords = record.prompts.point_coords
    # Pixel centres are integers, so the image ends half a pixel beyond the last; a user may count from corners.
    outside = np.flatnonzero(((coords < -0.5) | (coords > (width, height))).any(axis=1))
    if outside.size:
        x, y = coords[outside[0]].tolist()
        raise PromptError(
            f"{name or record.image or 'prompts'}: point {outside[0] + 1} (x {x:g}, y {y:g}) lies outside the image of "
            f"{width}x{height} (width x height); point_coords are [x, y] in the image's own pixels"
        )


def _parse(plain: dict[str, Any], folder: Path) -> PromptRecord:
    """Checks plain values and turns them into a record."""
    if not isinstance(plain, dict):
        raise ValueError("the file holds no JSON object")
    coords = _points(plain["point_coords"])
    labels = _labels(plain["point_labels"], len(coords))
    score_map, mask_prompt = _read_arrays(plain, folder)
    if plain.get("mask_output") == DENSE_OUTPUT and mask_prompt is None:
        raise ValueError("mask_output 4 is the mask prompt itself, but there is none")
    prompts = PointPrompts(
        point_coords=coords,
        point_labels=labels,
        box=_box(plain.get("box")),
        mask_prompt=mask_prompt,
        mask_output=_output(plain.get("mask_output", 0)),
    )
    confidence, status = plain.get("confidence"), plain.get("status", "ok")
    if status not in ("ok", "absent"):
        raise ValueError(f"status {status!r} is neither 'ok' nor 'absent'")
    return PromptRecord(
        image=str(plain.get("image", "")),
        original_size=_size(plain.get("original_size")),
        prompts=prompts,
        score_map=score_map,
        patch_index=_optional(plain, "patch_index", np.int64, len(coords)),
        scores=_optional(plain, "scores", np.float32, len(coords)),
        confidence=None if confidence is None else float(confidence),
        status=status,
        provenance=dict(plain.get("provenance") or {}),
    )


def _points(values: Any) -> np.ndarray:
    """[K, 2] float32, finite."""
    coords = np.asarray(values, dtype=np.float32)
    if coords.size == 0:
        return np.empty((0, 2), dtype=np.float32)
    if coords.ndim != 2 or coords.shape[1] != 2:
        raise ValueError(f"point_coords must be a list of [x, y], not an array of shape {coords.shape}")
    if not np.isfinite(coords).all():
        raise ValueError("point_coords must be finite")
    return coords


def _labels(values: Any, count: int) -> np.ndarray:
    """[K] int64 of 1 and 0."""
    labels = np.asarray(values)
    if labels.shape != (count,):
        raise ValueError(f"{count} point_coords but point_labels of shape {labels.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("point_labels must be 1 or 0")
    return labels.astype(np.int64)


def _box(values: Any) -> np.ndarray | None:
    """[4] float32 (x0, y0, x1, y1) with x0 < x1 and y0 < y1."""
    if values is None:
        return None
    box = np.asarray(values, dtype=np.float32)
    if box.shape != (4,) or not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError("box must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    return box


def _output(value: Any) -> int:
    """0 to 4."""
    if value not in (0, 1, 2, 3, DENSE_OUTPUT):
        raise ValueError(f"mask_output {value!r} must be 0, 1, 2, 3 or 4")
    return int(value)


def _size(values: Any) -> Size | None:
    """(H, W), both positive."""
    if values is None:
        return None
    height, width = (int(value) for value in values)
    if height < 1 or width < 1:
        raise ValueError(f"original_size {[height, width]} must be positive")
    return height, width


def _optional(plain: dict[str, Any], name: str, dtype: type, count: int) -> np.ndarray | None:
    """One value for each point, where the file has them."""
    if plain.get(name) is None:
        return None
    values: np.ndarray = np.asarray(plain[name], dtype=dtype)
    if values.shape != (count,):
        raise ValueError(f"{count} points but {name} of shape {values.shape}")
    return values


def _read_arrays(plain: dict[str, Any], folder: Path) -> tuple[ScoreMap | None, np.ndarray | None]:
    """The score map and the mask prompt from the array file beside the json file."""
    name = plain.get("arrays") or plain.get("mask_prompt")
    if name is None:
        return None, None
    if Path(name).name != name:
        raise ValueError(f"array file {name!r} must lie beside the prompt file")
    score_map = mask_prompt = None
    arrays = _load_arrays(folder / name)
    if "score_map" in arrays:
        detail = arrays["detail"].astype(np.float32) if "detail" in arrays else None
        if detail is not None and (detail.shape != (256, 256) or not np.isfinite(detail).all()):
            raise ValueError(f"detail must be finite and (256, 256), not {detail.shape}")
        score_map = ScoreMap(arrays["score_map"], float(arrays["threshold"]), float(arrays["scale"]), detail)
        if score_map.values.ndim != 2 or not np.isfinite(score_map.values).all() or not score_map.scale > 0:
            raise ValueError("score_map must be a finite [rows, columns] array with a positive scale")
    if plain.get("mask_prompt") is not None:
        mask_prompt = arrays["mask_prompt"].astype(np.float32)
        if mask_prompt.shape != (256, 256) or not np.isfinite(mask_prompt).all():
            raise ValueError(f"mask_prompt must be finite and (256, 256), not {mask_prompt.shape}")
    return score_map, mask_prompt


def _load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file.

    Raises:
        OSError: the file is missing.
        ValueError: it is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except OSError:
        raise
    except Exception as error:  # NumPy's reader raises many kinds for damaged bytes
        raise ValueError(f"{path.name} is damaged: {one_line(error)}") from error
