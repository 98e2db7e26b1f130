"""Sources fill a folder, or say why they cannot."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from gpoa.errors import ModelError
from gpoa.models import sources
from gpoa.models.zoo import ZOO, HubSource

DINOV2 = ZOO["dinov2-small"]
HUB = HubSource("facebook/dinov2-small", ("config.json", "model.safetensors"))


def _dinov2_folder(folder: Path, model_type: str = "dinov2") -> Path:
    """A folder that looks like a transformers DINOv2, with one small tensor."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    save_file({"layernorm.weight": np.ones(4, dtype=np.float32)}, folder / "model.safetensors")
    return folder


def _fake_hub(monkeypatch: pytest.MonkeyPatch, fill) -> None:
    """Replaces huggingface_hub."""
    module = types.ModuleType("huggingface_hub")

    class HfApi:
        def model_info(self, repository: str, timeout: float) -> types.SimpleNamespace:
            assert timeout <= 5
            return types.SimpleNamespace(sha="c0ffee")

    module.HfApi = HfApi
    module.snapshot_download = fill
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fill(repository: str, revision: str, local_dir: Path, allow_patterns: list[str], **_: object) -> None:
        assert (repository, revision) == ("facebook/dinov2-small", "c0ffee")
        _dinov2_folder(Path(local_dir))
        (Path(local_dir) / ".cache" / "huggingface").mkdir(parents=True)

    _fake_hub(monkeypatch, fill)
    origin = sources.obtain(DINOV2, HUB, tmp_path, tmp_path / "partial")
    assert origin.source == "Hugging Face hub facebook/dinov2-small, commit c0ffee"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_hub_that_breaks_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fill(*_: object, **__: object) -> None:
        raise ConnectionError("no route\nto host")

    _fake_hub(monkeypatch, fill)
    with pytest.raises(ModelError, match=r"the hub cannot be reached \(no route to host\)"):
        sources.obtain(DINOV2, HUB, tmp_path, tmp_path / "partial")


def test_hub_offline_is_obeyed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        sources.obtain(DINOV2, HUB, tmp_path, tmp_path / "partial")


def test_local_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    origin = sources.obtain_local(DINOV2, _dinov2_folder(tmp_path / "in"), tmp_path / "out")
    assert origin.source.startswith("local path")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json", "model.safetensors"]


def test_local_folder_of_another_model(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="config.json: is of a 'vit' model"):
        sources.obtain_local(DINOV2, _dinov2_folder(tmp_path / "in", "vit"), tmp_path / "out")


def test_local_folder_with_truncated_weights(tmp_path: Path) -> None:
    folder = _dinov2_folder(tmp_path / "in")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="model.safetensors: damaged"):
        sources.obtain_local(DINOV2, folder, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("dinov2-small", ["config.json"], "holds no model.safetensors"),  # half a model
        ("mobile_sam", ["encoder.onnx"], "holds no decoder.onnx"),  # the decoder is missing
        ("sam_vit_b", ["other.pth"], "holds no sam_vit_b_01ec64.pth"),  # another file
    ],
)
def test_incomplete_local_folder(tmp_path: Path, name: str, files: list[str], message: str) -> None:
    (tmp_path / "out").mkdir()
    for file in files:
        (tmp_path / file).write_text("{}")
    with pytest.raises(ModelError, match=message):
        sources.obtain_local(ZOO[name], tmp_path, tmp_path / "out")


def test_one_file_for_a_model_of_several(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("x")
    with pytest.raises(ModelError, match="not one file"):
        sources.obtain_local(DINOV2, tmp_path / "model.safetensors", tmp_path)


@pytest.mark.weights
def test_mobile_sam_from_a_folder_of_graphs(weights_root: Path, tmp_path: Path) -> None:
    from gpoa.models.card import sha256_of

    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for file, name in (("encoder.onnx", "encoder.onnx"), ("decoder.onnx", "sam.onnx")):
        (tmp_path / "in" / name).symlink_to((weights_root / "mobile_sam" / file).resolve())
    sources.obtain_local(ZOO["mobile_sam"], tmp_path / "in", tmp_path / "out")
    for file in ZOO["mobile_sam"].files:
        assert sha256_of(tmp_path / "out" / file) == sha256_of(weights_root / "mobile_sam" / file)
