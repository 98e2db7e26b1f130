"""Prompt files: there and back, written by hand, and damaged in every way."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.datasets.prompt_file import PromptRecord, read_prompts, refuse_outside, write_prompts
from gpoa.errors import PromptError
from gpoa.types import PointPrompts, ScoreMap

HAND = {"point_coords": [[10, 20.5], [3, 4]], "point_labels": [1, 0]}


def _record() -> PromptRecord:
    rng = np.random.default_rng(0)
    return PromptRecord(
        image="kühe 1.png",
        original_size=(30, 50),
        prompts=PointPrompts(
            point_coords=np.array([[10.125, 20.5], [49, 29]], np.float32),
            point_labels=np.array([1, 0]),
            box=np.array([0, 1.5, 50, 30], np.float32),
            mask_prompt=rng.normal(0, 5, (256, 256)).astype(np.float16).astype(np.float32),
            mask_output=2,
        ),
        score_map=ScoreMap(rng.normal(size=(3, 5)).astype(np.float32), 0.25, 1.5),
        patch_index=np.array([7, 14]),
        scores=np.array([2.5, -1.25], np.float32),
        confidence=0.75,
        status="absent",
        provenance={"models": ["a", "b"], "digest": "0123"},
    )


@pytest.mark.parametrize("value", [4, -1, "1", None])
def test_output_out_of_range(tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**HAND, "mask_output": value}))
    with pytest.raises(PromptError, match="mask_output"):
        read_prompts(tmp_path / "a.json")


def test_round_trip(tmp_path: Path) -> None:
    record, path = _record(), tmp_path / "new" / "kühe 1.json"
    write_prompts(path, record)
    found = read_prompts(path)
    assert sorted(file.name for file in path.parent.iterdir()) == ["kühe 1.json", "kühe 1.npz"]
    for name in ("image", "original_size", "confidence", "status", "provenance"):
        assert getattr(found, name) == getattr(record, name), name
    for name in ("point_coords", "point_labels", "box", "mask_prompt"):
        expected = getattr(record.prompts, name)
        np.testing.assert_array_equal(getattr(found.prompts, name), expected, strict=True)
    assert found.prompts.mask_output == 2
    np.testing.assert_array_equal(found.score_map.values, record.score_map.values, strict=True)
    assert (found.score_map.threshold, found.score_map.scale) == (0.25, 1.5)
    np.testing.assert_array_equal(found.patch_index, record.patch_index)
    np.testing.assert_array_equal(found.scores, record.scores)


@pytest.mark.parametrize(
    ("mask_prompt", "score_map", "files"),
    [
        (False, False, ["a.json"]),
        (True, False, ["a.json", "a.npz"]),
        (False, True, ["a.json", "a.npz"]),  # the map alone: no mask prompt comes back
    ],
)
def test_parts_may_be_absent(tmp_path: Path, mask_prompt: bool, score_map: bool, files: list[str]) -> None:
    full = _record()
    prompts = full.prompts if mask_prompt else replace(full.prompts, mask_prompt=None)
    record = replace(full, prompts=replace(prompts, box=None), score_map=full.score_map if score_map else None)
    write_prompts(tmp_path / "a.json", record)
    assert sorted(file.name for file in tmp_path.iterdir()) == files
    found = read_prompts(tmp_path / "a.json")
    assert (found.prompts.mask_prompt is not None, found.score_map is not None) == (mask_prompt, score_map)
    assert found.prompts.box is None


def test_a_set_without_points(tmp_path: Path) -> None:
    empty = PointPrompts(np.empty((0, 2), np.float32), np.empty(0, np.int64))
    write_prompts(tmp_path / "a.json", PromptRecord("a.png", None, empty, status="absent"))
    found = read_prompts(tmp_path / "a.json")
    assert found.prompts.is_empty
    assert found.prompts.point_coords.shape == (0, 2)
    assert (found.original_size, found.status) == (None, "absent")


@given(st.lists(st.tuples(st.integers(0, 4_000_000), st.integers(0, 4_000_000)), max_size=4))
def test_coordinates_survive_to_a_thousandth(thousandths: list[tuple[int, int]]) -> None:
    import tempfile

    xy = (np.array(thousandths, np.float64).reshape(-1, 2) / 1000).astype(np.float32)
    prompts = PointPrompts(xy, np.ones(len(xy), np.int64))
    with tempfile.TemporaryDirectory() as folder:
        write_prompts(Path(folder) / "a.json", PromptRecord("a.png", (4001, 4001), prompts))
        found = read_prompts(Path(folder) / "a.json").prompts.point_coords
    np.testing.assert_allclose(found, xy, atol=1e-3)


def test_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(HAND))
    found = read_prompts(tmp_path / "a.json")
    assert found.prompts.point_coords.tolist() == [[10, 20.5], [3, 4]]
    assert found.prompts.point_coords.dtype == np.float32
    assert found.prompts.point_labels.tolist() == [1, 0]
    assert found.prompts.box is None and found.prompts.mask_prompt is None and found.score_map is None
    assert (found.original_size, found.confidence, found.status, found.provenance) == (None, None, "ok", {})


def test_mask_prompt_by_hand(tmp_path: Path) -> None:
    """`mask_prompt` alone names the array file; `arrays` is ours."""
    np.savez(tmp_path / "mine.npz", mask_prompt=np.full((256, 256), 2.0))
    (tmp_path / "a.json").write_text(json.dumps({**HAND, "mask_prompt": "mine.npz"}))
    assert (read_prompts(tmp_path / "a.json").prompts.mask_prompt == 2.0).all()


def _assert_refused(path: Path, said: str | None = None) -> None:
    with pytest.raises(PromptError, match=said) as raised:
        read_prompts(path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",  # empty
        b'{"point_coords": [[1',  # cut off
        b"point_coords: []",  # YAML
        b"\xff\xfe{}",  # not UTF-8
        b"[]",  # no object
        b"null",
        b"3",
        b"[" * 100_000,
    ],
    ids=["empty", "cut", "yaml", "bytes", "list", "null", "number", "deep"],
)
def test_not_an_object(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    _assert_refused(tmp_path / "a.json")


def test_missing_file(tmp_path: Path) -> None:
    _assert_refused(tmp_path / "a.json", "no such prompt file")
    (tmp_path / "b.json").mkdir()
    _assert_refused(tmp_path / "b.json")


@pytest.mark.parametrize("name", ["point_coords", "point_labels"])
def test_missing_key(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({key: value for key, value in HAND.items() if key != name}))
    _assert_refused(tmp_path / "a.json", f"'{name}' is missing")


@pytest.mark.parametrize(
    "changed",
    [
        {"point_labels": [1, 2]},  # no such label
        {"point_labels": [1, -1]},  # SAM's padding label
        {"point_labels": [1]},  # fewer than points
        {"point_labels": ["yes", "no"]},
        {"point_labels": None},
        {"point_labels": [1, 0.7]},
        {"point_coords": [[1, 2, 3]]},  # a third coordinate
        {"point_coords": [[1, 2], [3]]},  # ragged
        {"point_coords": [[1, 2], ["a", "b"]]},
        {"point_coords": [[1, float("nan")], [3, 4]]},
        {"point_coords": [[1, float("inf")], [3, 4]]},
        {"point_coords": "here"},
        {"point_coords": [1, 2, 3, 4]},
        {"point_coords": [[1, 2, 3, 4]]},
        {"point_coords": [[10**400, 1], [3, 4]]},
        {"box": [1, 2, 3]},
        {"box": "all"},
        {"box": [[1, 2], [3, 4]]},
        {"box": [float("nan")] * 4},
        {"box": [9, 9, 1, 1]},
        {"original_size": 5},
        {"original_size": [30]},
        {"original_size": ["a", "b"]},
        {"original_size": [float("inf"), 5]},
        {"original_size": [0, -5]},
        {"patch_index": ["a", "b"]},
        {"patch_index": [1, 2, 3]},
        {"scores": [0.5]},
        {"confidence": "high"},
        {"status": "lost"},
        {"provenance": [1, 2]},
    ],
    ids=lambda changed: str(changed)[:50],
)
def test_wrong_values(tmp_path: Path, changed: dict[str, Any]) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**HAND, **changed}))
    _assert_refused(tmp_path / "a.json")


def _npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


MASK = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float16)
GOOD = _npz(mask_prompt=MASK, score_map=np.zeros((3, 5), np.float32), threshold=0.0, scale=1.0)
SCRAMBLED = GOOD[:200] + b"\xff" * 60 + GOOD[260:]


def test_the_good_array_file(tmp_path: Path) -> None:
    """The files below differ from this one only by their damage."""
    (tmp_path / "a.npz").write_bytes(GOOD)
    (tmp_path / "a.json").write_text(json.dumps({**HAND, "mask_prompt": "a.npz"}))
    np.testing.assert_array_equal(read_prompts(tmp_path / "a.json").prompts.mask_prompt, MASK)


@pytest.mark.parametrize(
    "content",
    [
        None,  # missing
        b"",
        GOOD[: len(GOOD) // 2],  # cut off
        GOOD[:-20],
        b"not an array",
        SCRAMBLED,
        _npy(MASK),  # one array, no archive
        _npz(mask_prompt=np.array([object()])),  # would need pickle
        _npz(mask_prompt=MASK[:, :-1]),  # another shape
        _npz(mask_prompt=MASK[None]),
        _npz(other=MASK),  # no mask prompt
        _npz(mask_prompt=np.full((256, 256), "a")),  # no numbers
        _npz(mask_prompt=MASK, score_map=np.zeros((3, 5))),  # no threshold
        _npz(mask_prompt=MASK, score_map=np.zeros((3, 5)), threshold="a", scale=1.0),
        _npz(mask_prompt=np.full((256, 256), np.nan)),
        _npz(mask_prompt=MASK, score_map=np.zeros(15), threshold=0.0, scale=1.0),
        _npz(mask_prompt=MASK, score_map=np.zeros((3, 5)), threshold=0.0, scale=0.0),
    ],
    ids=[
        "missing",
        "empty",
        "half",
        "almost",
        "text",
        "scrambled",
        "npy",
        "pickle",
        "narrow",
        "deep",
        "other",
        "words",
        "no-threshold",
        "threshold-a",
        "nan",
        "flat-map",
        "scale-0",
    ],
)
def test_damaged_array_file(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.npz").write_bytes(content)
    (tmp_path / "a.json").write_text(json.dumps({**HAND, "mask_prompt": "a.npz"}))
    _assert_refused(tmp_path / "a.json", "not a prompt file")


@pytest.mark.parametrize("key", ["mask_prompt", "arrays"])
@pytest.mark.parametrize(
    "name", ["../a.npz", "in/../../a.npz", "{folder}/a.npz", "..", "./a.npz", "a\0.npz", 5, True, ["a.npz"]]
)
def test_array_file_elsewhere(tmp_path: Path, key: str, name: Any) -> None:
    """Only a plain name beside the prompt file is opened, even where the file exists and is good."""
    (tmp_path / "in").mkdir()
    for folder in (tmp_path, tmp_path / "in"):
        (folder / "a.npz").write_bytes(GOOD)
    name = name.format(folder=tmp_path) if isinstance(name, str) else name
    (tmp_path / "in" / "a.json").write_text(json.dumps({**HAND, key: name}))
    _assert_refused(tmp_path / "in" / "a.json", "not a prompt file")


def test_byte_order_mark(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"point_coords": [[1, 2]], "point_labels": [1]}')
    assert read_prompts(path).prompts.point_coords.tolist() == [[1, 2]]


@pytest.mark.parametrize("point", [[640, 481], [-1, 0], [5000, 10]])
def test_points_outside_the_image_are_refused(tmp_path: Path, point: list) -> None:
    """One line that names the point; its border is inside."""
    path = tmp_path / "a.json"
    text = '{"original_size": [480, 640], "point_coords": [[640, 480], %s], "point_labels": [1, 0]}'
    path.write_text(text % point)
    with pytest.raises(PromptError, match=r"a.json: point 2 .* outside the image of 640x480") as info:
        read_prompts(path)
    assert "\n" not in str(info.value)
    path.write_text(text % [0, 0])
    record = read_prompts(path)
    with pytest.raises(PromptError, match="x.jpg: point 1 "):
        refuse_outside(record, (480, 600), "x.jpg")
