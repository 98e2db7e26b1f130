"""The official checkpoint files: damaged, foreign and hostile ones. ViT-B itself is replaced by something tiny."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import segment_anything
import torch

from gpoa.errors import ModelError
from gpoa.segmenters.registry import SEGMENTERS
from gpoa.segmenters.sam import Sam
from gpoa.segmenters.segmenter import PromptableSegmenter
from gpoa.types import PointPrompts
from tests.segmenters.builders import embedding_of, random_sam


@pytest.fixture(autouse=True)
def tiny_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", lambda: torch.nn.Linear(2, 3))


def _saved(value: object) -> bytes:
    content = io.BytesIO()
    torch.save(value, content)
    return content.getvalue()


GOOD = _saved(torch.nn.Linear(2, 3).state_dict())
POINT = PointPrompts(np.array([[1, 2]], np.float32), np.array([1]))


def _calls(checkpoint: Path) -> list[Callable[[], object]]:
    """Both ways to the weights."""
    image, embedding = np.zeros((3, 5, 3), np.uint8), embedding_of((3, 5), (614, 1024))
    return [
        lambda: PromptableSegmenter(Sam(checkpoint, "vit_b"), "tiny").encode(image),
        lambda: PromptableSegmenter(Sam(checkpoint, "vit_b"), "tiny").decode(embedding, [POINT]),
    ]


@pytest.mark.parametrize(
    "content",
    [
        None,  # missing
        b"",  # an interrupted download
        b"not found",  # a page instead of a file
        GOOD[: len(GOOD) // 2],  # cut off
        GOOD[:-10],  # the end is missing
        _saved({}),  # no weights
        _saved({"weight": torch.zeros(1)}),  # weights of another model
        _saved([1, 2]),  # no state dict
        _saved(torch.zeros(2)),
    ],
    ids=["missing", "empty", "text", "half", "almost", "no-keys", "foreign", "list", "tensor"],
)
def test_unusable_files(tmp_path: Path, content: bytes | None) -> None:
    checkpoint = tmp_path / "sam.pth"
    if content is not None:
        checkpoint.write_bytes(content)
    for call in _calls(checkpoint):
        with pytest.raises(ModelError, match="not a SAM vit_b checkpoint .*gpoa models fetch") as raised:
            call()
        assert str(checkpoint) in str(raised.value)
        assert "\n" not in str(raised.value)


class _Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


# torch's zip format, a bare pickle
@pytest.mark.parametrize("dump", [_saved, lambda value: pickle.dumps(value, protocol=2)])
def test_code_in_a_file_is_never_run(tmp_path: Path, dump: Callable[[object], bytes]) -> None:
    checkpoint, made = tmp_path / "sam.pth", tmp_path / "made"
    checkpoint.write_bytes(dump({"weight": _Hostile(made)}))
    for call in _calls(checkpoint):
        with pytest.raises(ModelError, match="not a SAM vit_b checkpoint") as raised:
            call()
        assert "\n" not in str(raised.value)
        assert not made.exists()
    with contextlib.suppress(RuntimeError):  # the bare pickle is read, then found to be no checkpoint
        torch.load(checkpoint, weights_only=False)
    assert made.exists()  # the file is hostile indeed


def test_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "sam.pth"
    checkpoint.write_bytes(_saved({k: v * 0 + 0.5 for k, v in random_sam().state_dict().items()}))
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", lambda: _copy_of_random_sam())
    sam = PromptableSegmenter(Sam(checkpoint, "vit_b"), "tiny-id")
    image = np.zeros((30, 50, 3), np.uint8)
    embedding = sam.encode(image)
    assert (embedding.original_size, embedding.input_size) == ((30, 50), (614, 1024))
    assert embedding.features.shape == (1, 256, 64, 64)
    assert (embedding.features == 0.5).all()  # the file's values, not the initial ones
    assert sam.decode(embedding, [POINT]).low_res_logits.shape == (1, 1, 256, 256)
    assert sam.model_id == "tiny-id"


def test_embeddings_are_rounded_to_half_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "sam.pth"
    checkpoint.write_bytes(_saved(random_sam().state_dict()))
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", lambda: _copy_of_random_sam())
    features = PromptableSegmenter(Sam(checkpoint, "vit_b"), "tiny").encode(np.zeros((30, 50, 3), np.uint8)).features
    assert features.dtype == torch.float32
    assert torch.equal(features, features.half().float())
    assert not torch.equal(features, random_sam().image_encoder.features)


def _copy_of_random_sam() -> torch.nn.Module:
    import copy

    return copy.deepcopy(random_sam())


def test_folder_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        SEGMENTERS["sam_vit_b"](tmp_path, "id", "cpu")


@pytest.mark.parametrize("name", ["sam_vit_b", "sam_vit_l", "sam_vit_h"])
def test_registry_names_the_architecture(tmp_path: Path, name: str) -> None:
    (tmp_path / "any.pth").write_bytes(b"")
    segmenter = SEGMENTERS[name](tmp_path, "the-id", "cpu")
    assert isinstance(segmenter.backend, Sam)
    assert f"sam_{segmenter.backend.architecture}" == name
    assert (segmenter.backend.checkpoint, segmenter.model_id) == (tmp_path / "any.pth", "the-id")


def test_adapter_beside_the_checkpoint_changes_the_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A pair of rank 1 on q of the only block; without the file the output is another."""
    from safetensors.torch import save_file
    from segment_anything.modeling import ImageEncoderViT

    def build() -> torch.nn.Module:
        model = copy.deepcopy(random_sam())
        shape = {"embed_dim": 8, "depth": 1, "num_heads": 2, "window_size": 0}
        model.image_encoder = ImageEncoderViT(**shape, img_size=1024, patch_size=16, out_chans=256, use_rel_pos=True)
        return model

    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", build)
    torch.manual_seed(0)
    torch.save(build().state_dict(), tmp_path / "sam_vit_b.pth")
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    plain = PromptableSegmenter(Sam(tmp_path / "sam_vit_b.pth", "vit_b"), "tiny").encode(image).features
    adapter = {"w_a_000": torch.ones(1, 8), "w_b_000": torch.ones(8, 1), "w_a_001": torch.ones(1, 8)}
    save_file({**adapter, "w_b_001": torch.ones(8, 1)}, tmp_path / "lora.safetensors")
    adapted = PromptableSegmenter(Sam(tmp_path / "sam_vit_b.pth", "vit_b"), "tiny").encode(image).features
    assert (plain - adapted).abs().max() > 1e-3
    (tmp_path / "lora.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="lora.safetensors"):
        PromptableSegmenter(Sam(tmp_path / "sam_vit_b.pth", "vit_b"), "tiny").encode(image)
