"""DINOv3, whose weights need a licence to be accepted: tiny models in its layout, and the real ones where they are."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from gpoa.errors import ModelError
from gpoa.features.hf_vit import HfVit
from gpoa.models import store
from gpoa.models.zoo import ZOO, HubSource
from tests.features.tiny_vits import all_folders, assert_equals_library, change_config, grey_levels, json_of
from tests.segmenters.tiny_models import SIZES, assert_one_line, picture

TinyVit = Callable[[str], Path]


@pytest.mark.parametrize("size", SIZES)
def test_equals_transformers(tiny_vit: TinyVit, size: tuple[int, int]) -> None:
    for folder in all_folders(tiny_vit("dinov3_vit"), "dinov3_vit"):
        assert_equals_library("dinov3_vit", folder, picture(size))


@pytest.mark.parametrize("size", [*SIZES, (600, 400)])
def test_pixels_agree_with_the_library(tiny_vit: TinyVit, size: tuple[int, int]) -> None:
    """The library rescales first and resizes unrounded values; ours are whole grey levels."""
    for folder in all_folders(tiny_vit("dinov3_vit"), "dinov3_vit"):
        assert grey_levels(folder, picture(size), 112) <= 1.001


def test_layout(tiny_vit: TinyVit) -> None:
    from safetensors import safe_open

    folder = tiny_vit("dinov3_vit")
    with safe_open(folder / "model.safetensors", framework="numpy") as file:
        names = set(file.keys())
    assert {"embeddings.register_tokens", "layer.0.attention.q_proj.weight", "layer.2.mlp.up_proj.weight"} <= names
    assert {"layer.1.layer_scale1.lambda1", "norm.weight"} <= names
    assert "layer.0.attention.k_proj.bias" not in names  # keys have none
    extractor = HfVit(folder, "id", 64, (3,))
    assert (extractor.patch_size, extractor.shape.prefix) == (16, 5)


def test_registers_are_counted_as_the_config_says(tiny_vit: TinyVit, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(tiny_vit("dinov3_vit"), tmp_path / "m")
    change_config(folder, num_register_tokens=2)
    assert json_of(folder)["model_type"] == "dinov3_vit"
    assert HfVit(folder, "id", 64, (3,)).shape.prefix == 3
    with pytest.raises(ModelError, match="cannot be loaded"):  # the weights have four
        HfVit(folder, "id", 64, (3,)).extract(picture(SIZES[0]))


@pytest.mark.parametrize("shape", ["vits16", "vitb16", "vitl16"])
def test_cards(shape: str) -> None:
    entry = ZOO[f"dinov3-{shape}"]
    assert (entry.role, entry.architecture, entry.licence) == ("features", "dinov3_vit", "DINOv3 licence (gated)")
    assert entry.upstream == f"facebook/dinov3-{shape}-pretrain-lvd1689m"
    assert isinstance(entry.sources[0], HubSource)
    assert "gated" in entry.description


def test_gated_without_access(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise type("GatedRepoError", (Exception,), {})("403 Client Error.\nAccess to this model is restricted")

    hub = types.ModuleType("huggingface_hub")
    answer = types.SimpleNamespace(sha="c0ffee")
    hub.HfApi = lambda: types.SimpleNamespace(model_info=lambda repository, timeout: answer)
    hub.snapshot_download = refuse
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    address = "https://huggingface.co/facebook/dinov3-vits16-pretrain-lvd1689m"
    with pytest.raises(ModelError, match=f"is gated: accept its licence at {address}") as raised:
        store.ensure("dinov3-vits16", tmp_path, progress=False)
    assert "hf auth login" in str(raised.value)
    assert_one_line(raised)
    assert not (tmp_path / "dinov3-vits16").exists()


@pytest.mark.parametrize(("kind", "right"), [("dinov3_vit", True), ("dinov2", False), ("vit", False)])
def test_files_given_by_hand_are_checked(tiny_vit: TinyVit, tmp_path: Path, kind: str, right: bool) -> None:
    if right:
        folder = store.fetch("dinov3-vits16", tmp_path, tiny_vit(kind), progress=False)
        assert sorted(path.name for path in folder.iterdir()) == [
            "card.json",
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
        ]
        assert HfVit(folder, "id", 64, (3,)).extract(picture(SIZES[0])).tokens.shape == (16, 16)
        return
    with pytest.raises(ModelError, match=f"config.json: is of a '{kind}' model, not of dinov3_vit"):
        store.fetch("dinov3-vits16", tmp_path, tiny_vit(kind), progress=False)
