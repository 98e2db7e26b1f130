"""Which name and which folder is run by what."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

from gpoa.errors import ModelError
from gpoa.models import sources, store
from gpoa.models.zoo import ZOO, HubSource
from gpoa.segmenters.hf_sam import HfSam
from gpoa.segmenters.mobile_sam import MobileSam
from gpoa.segmenters.onnx_pair import OnnxPair
from gpoa.segmenters.registry import SEGMENTERS, builder_of, is_segmenter_folder
from gpoa.segmenters.sam import Sam
from gpoa.segmenters.sam2 import SAM2, Sam2
from gpoa.segmenters.sam3 import SAM3
from gpoa.segmenters.sam_hq import SamHq


def test_names_are_those_of_the_zoo() -> None:
    assert set(SEGMENTERS) == {name for name, entry in ZOO.items() if entry.role == "segmenter"}


@pytest.mark.parametrize(
    "name", [name for name in SEGMENTERS if not name.startswith("sam_vit") or name.endswith("_hf")]
)
def test_every_name_builds_without_loading(tmp_path: Path, name: str) -> None:
    segmenter = SEGMENTERS[name](tmp_path, "the-id", "cpu")
    kinds = {"mobile_sam": MobileSam, "sam": HfSam, "sam_hq": SamHq, "sam2": Sam2, "sam3": Sam2}
    assert type(segmenter.backend) is kinds[ZOO[name].architecture]
    assert segmenter.model_id == "the-id"
    if isinstance(segmenter.backend, Sam2):
        assert segmenter.backend.family is (SAM3 if name == "sam3" else SAM2)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("sam", HfSam),
        ("sam_hq", SamHq),
        ("sam2", Sam2),
        ("sam2_video", Sam2),
        ("sam3_video", Sam2),
        ("sam3_tracker", Sam2),
    ],
)
def test_folder_of_transformers(tmp_path: Path, kind: str, wanted: type) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    backend = builder_of(tmp_path)(tmp_path, "id", "cpu").backend
    assert type(backend) is wanted
    if wanted is Sam2:
        assert kind in backend.family.kinds


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (("encoder.onnx", "decoder.safetensors", "decoder.onnx"), MobileSam),  # an installed mobile_sam
        (("edge_sam_encoder.onnx", "edge_sam_decoder.onnx"), OnnxPair),
        (("sam_hq_vit_l.pth",), SamHq),
        (("sam_vit_b_01ec64.pth",), Sam),
    ],
)
def test_folder_of_files(tmp_path: Path, files: tuple[str, ...], wanted: type) -> None:
    for name in files:
        (tmp_path / name).write_bytes(b"")
    backend = builder_of(tmp_path)(tmp_path, "id", "cpu").backend
    assert type(backend) is wanted
    if wanted is Sam:
        assert backend.architecture == "vit_b"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no segmenter is recognised"),
        ({"weights.pth": ""}, "no segmenter is recognised"),
        ({"vit_b.pth": "", "vit_l.pth": ""}, "no segmenter is recognised"),  # which of them?
        ({"encoder.onnx": ""}, "no segmenter is recognised"),
        ({"config.json": '{"model_type": "dinov2"}'}, "is of a 'dinov2' model; a segmenter is one of sam, sam_hq"),
        ({"config.json": "{"}, "config.json: damaged"),
        ({"config.json": "[1]"}, "config.json: damaged"),
    ],
)
def test_unknown_folder(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=message) as raised:
        builder_of(tmp_path)
    assert "\n" not in str(raised.value)


def test_is_segmenter_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_segmenter_folder(str(tmp_path))
    assert not is_segmenter_folder(str(tmp_path / "absent"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mobile_sam").mkdir()
    assert not is_segmenter_folder("mobile_sam")  # a known name is never a folder


def _fake_hub(monkeypatch: pytest.MonkeyPatch, fill) -> None:
    module = types.ModuleType("huggingface_hub")
    answer = types.SimpleNamespace(sha="c0ffee")
    module.HfApi = lambda: types.SimpleNamespace(model_info=lambda repository, timeout: answer)
    module.snapshot_download = fill
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def test_gated_without_access(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's own exception, whatever HTTP library it is made with."""
    GatedRepoError = type("GatedRepoError", (Exception,), {})

    def refuse(*_: object, **__: object) -> None:
        raise GatedRepoError("403 Client Error.\nAccess to model facebook/sam3 is restricted")

    _fake_hub(monkeypatch, refuse)
    with pytest.raises(
        ModelError, match=r"facebook/sam3 is gated: accept its licence at https://.*/facebook/sam3"
    ) as raised:
        store.fetch("sam3", tmp_path, progress=False)
    assert "hf auth login" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "sam3").exists()


@pytest.mark.parametrize(
    ("name", "kind", "right"),
    [
        ("slimsam-77", "sam", True),
        ("slimsam-77", "sam_hq", False),
        ("slimsam-77", "sam2_video", False),
        ("sam_hq_vit_l", "sam_hq", True),
        ("sam_hq_vit_l", "sam", False),
        ("sam2.1_tiny", "sam2_video", True),
        ("sam2.1_tiny", "sam2", True),
        ("sam2.1_tiny", "sam3_video", False),
        ("sam3", "sam3_video", True),
        ("dinov2-small", "dinov2", True),
        ("dinov2-small", "sam", False),
    ],
)
def test_what_the_hub_gives_is_checked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, kind: str, right: bool
) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    def fill(repository: str, revision: str, local_dir: Path, **_: object) -> None:
        (Path(local_dir) / "config.json").write_text(json.dumps({"model_type": kind}))
        save_file({"x": np.ones(2, np.float32)}, Path(local_dir) / "model.safetensors")

    _fake_hub(monkeypatch, fill)
    source = next(source for source in ZOO[name].sources if isinstance(source, HubSource))
    if right:
        assert source.repository in sources.obtain(ZOO[name], source, tmp_path, tmp_path / "partial").source
        return
    with pytest.raises(ModelError, match=f"config.json: is of a '{kind}' model, not of"):
        sources.obtain(ZOO[name], source, tmp_path, tmp_path / "partial")
