"""Every kind of vision transformer against transformers' own processor and forward pass; and folders that are none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gpoa.errors import ConfigError, ModelError
from gpoa.features.base import extract_many
from gpoa.features.debias import noise_basis
from gpoa.features.hf_vit import HfVit, check_image_size, load_vit
from gpoa.features.vit_kinds import KINDS, Pixels, VitKind
from gpoa.models.hf_loading import quiet_loading
from tests.features.tiny_vits import OFFICIAL, all_folders, assert_equals_library, change_config, grey_levels
from tests.segmenters.tiny_models import SIZES, assert_one_line, picture

TinyVit = Callable[[str], Path]
OTHERS = [kind for kind in OFFICIAL if not kind.startswith("dino")]  # DINO's have pages of their own


def test_every_kind_has_a_tiny_model() -> None:
    assert set(OFFICIAL) == set(KINDS)


@pytest.mark.parametrize("kind", OTHERS)
def test_equals_transformers(tiny_vit: TinyVit, kind: str) -> None:
    for folder in all_folders(tiny_vit(kind), kind):
        assert_equals_library(kind, folder, picture(SIZES[0]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", OTHERS)
def test_pixels_agree_with_the_library(tiny_vit: TinyVit, kind: str, size: tuple[int, int]) -> None:
    for folder in all_folders(tiny_vit(kind), kind):
        assert grey_levels(folder, picture(size), 64) <= 1.001


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("vit", {"vit.encoder.layer.0.attention.attention.query.weight", "vit.layernorm.bias", "classifier.weight"}),
        ("vit_mae", {"vit.embeddings.position_embeddings", "vit.layernorm.weight", "decoder.decoder_pred.bias"}),
        ("deit", {"embeddings.distillation_token", "encoder.layer.2.output.dense.bias"}),
        ("clip", {"vision_model.encoder.layers.0.self_attn.q_proj.weight", "vision_model.pre_layrnorm.bias"}),
        ("siglip", {"vision_model.embeddings.patch_embedding.weight", "vision_model.post_layernorm.bias"}),
    ],
)
def test_the_tiny_models_are_named_as_the_hubs_are(tiny_vit: TinyVit, kind: str, names: set[str]) -> None:
    from safetensors import safe_open

    with safe_open(tiny_vit(kind) / "model.safetensors", framework="numpy") as file:
        assert names <= set(file.keys())


def test_the_order_of_patches_is_not_drawn_at_random(tiny_vit: TinyVit) -> None:
    """MAE shuffles its patches, even where it drops none."""
    extractor = HfVit(tiny_vit("vit_mae"), "id", 56, (3,))
    torch.manual_seed(0)
    first = extractor.extract(picture(SIZES[0])).tokens
    torch.manual_seed(1)
    np.testing.assert_array_equal(first, extractor.extract(picture(SIZES[0])).tokens)


@pytest.mark.parametrize("kind", ["dinov2", "dinov3_vit", "vit", "siglip"])
def test_features(tiny_vit: TinyVit, kind: str) -> None:
    extractor = HfVit(tiny_vit(kind), "id", 112, (1, 3))
    image = picture(SIZES[0])
    made, side = extractor.extract(image), 112 // extractor.patch_size
    assert (made.grid_size, made.input_size, made.original_size) == ((side, side), (112, 112), SIZES[0])
    assert (made.patch_size, made.tokens.shape, made.tokens.dtype) == (112 // side, (side * side, 32), np.float32)
    np.testing.assert_array_equal(made.tokens, made.tokens.astype(np.float16))
    np.testing.assert_allclose(np.linalg.norm(made.tokens, axis=1), 1, atol=2e-3)
    np.testing.assert_array_equal(image, picture(SIZES[0]))


@pytest.mark.parametrize("kind", ["dinov2_with_registers", "clip", "ijepa"])
def test_position_directions_of_any_extractor(tiny_vit: TinyVit, kind: str) -> None:
    basis = noise_basis(HfVit(tiny_vit(kind), "id", 56, (3,)), size=40)
    np.testing.assert_allclose(basis @ basis.T, np.eye(16), atol=1e-5)


def test_model_id_names_every_setting(tiny_vit: TinyVit) -> None:
    folder = tiny_vit("dinov2")
    settings = [("a", 56, (3,)), ("b", 56, (3,)), ("a", 112, (3,)), ("a", 56, (2, 3)), ("a", 56, (3, 2))]
    assert [HfVit(folder, *setting).model_id for setting in settings] == [
        "a@56/3",  # these are keys of caches and of trained policies
        "b@56/3",
        "a@112/3",
        "a@56/2+3",
        "a@56/3+2",
    ]


@pytest.mark.parametrize(
    ("size", "patch", "near"),
    [(100, 14, "take 98 or 112"), (57, 14, "take 56 or 70"), (450, 16, "take 448 or 464"), (60, 32, "take 64$")],
)
def test_image_size_must_fit_the_patches(size: int, patch: int, near: str) -> None:
    with pytest.raises(ConfigError, match=f"--features.image-size {size} is not a multiple .* {patch}; {near}"):
        check_image_size(size, patch)


def test_the_image_size_is_checked_against_the_models_own_patches(tiny_vit: TinyVit) -> None:
    with pytest.raises(ConfigError, match="patch size 16; take 96 or 112"):
        HfVit(tiny_vit("dinov3_vit"), "id", 98, (3,))
    assert HfVit(tiny_vit("dinov2"), "id", 98, (3,)).patch_size == 14


def test_layers_must_exist(tiny_vit: TinyVit) -> None:
    with pytest.raises(ConfigError, match="--features.layers .*4.* 3 layers"):
        HfVit(tiny_vit("vit"), "id", 56, (1, 4))


def _cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


class _Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        import os

        return os.mkdir, (str(self.folder),)


def _only_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.cls_token": _Hostile(folder / "made")}, folder / "pytorch_model.bin")


def _pickle_under_our_name(folder: Path) -> None:
    torch.save({"embeddings.cls_token": _Hostile(folder / "made")}, folder / "model.safetensors")


def _own_code(folder: Path) -> None:
    """A config that names a class of its own, whose file makes a folder; the weights are cut off."""
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(folder / 'made')!r})\nclass Own: pass\n")
    change_config(folder, auto_map={"AutoConfig": "own.Own", "AutoModel": "own.Own"}, trust_remote_code=True)
    _cut(folder)


def _weights_of(tiny_vit: TinyVit, kind: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        shutil.copy(tiny_vit(kind) / "model.safetensors", folder / "model.safetensors")

    return spoil


SPOILT = {
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
    "empty": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cannot be loaded"),
    "cut off": (_cut, "cannot be loaded"),
    "another format": (lambda folder: (folder / "model.safetensors").write_bytes(b"\x10" * 64), "cannot be loaded"),
    "another width": (lambda folder: change_config(folder, hidden_size=24), "cannot be loaded"),
    "deeper": (
        lambda folder: change_config(folder, num_hidden_layers=4),
        "weights of Dinov2Model are missing, the first is encoder.layer.3",
    ),
    "pickle": (_only_pickle, "cannot be loaded"),
    "pickle in disguise": (_pickle_under_our_name, "cannot be loaded"),
    "code of its own": (_own_code, "cannot be loaded"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_unusable_weights(tiny_vit: TinyVit, tmp_path: Path, what: str) -> None:
    spoil, message = SPOILT[what]
    folder = shutil.copytree(tiny_vit("dinov2"), tmp_path / "m")
    spoil(folder)
    extractor = HfVit(folder, "id", 56, (3,))  # nothing is loaded yet
    with pytest.raises(ModelError, match=message) as raised:
        extractor.extract(picture(SIZES[0]))
    assert_one_line(raised)
    assert str(folder) in str(raised.value)
    assert not (folder / "made").exists()  # no code from a file was run


@pytest.mark.parametrize("kind", ["vit", "dinov3_vit", "clip"])
def test_weights_of_another_architecture(tiny_vit: TinyVit, tmp_path: Path, kind: str) -> None:
    folder = shutil.copytree(tiny_vit("dinov2"), tmp_path / "m")
    _weights_of(tiny_vit, kind)(folder)
    with pytest.raises(ModelError, match="cannot be loaded|not those of its config.json") as raised:
        HfVit(folder, "id", 56, (3,)).extract(picture(SIZES[0]))
    assert_one_line(raised)


def test_old_transformers(tiny_vit: TinyVit) -> None:
    kind = VitKind("FutureVitModel", Pixels((0, 0, 0), (1, 1, 1), 3))
    with pytest.raises(ModelError, match="has no FutureVitModel; run `pip install -U transformers`"):
        load_vit(tiny_vit("vit"), kind, "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has what the test wants absent")
def test_absent_device(tiny_vit: TinyVit) -> None:
    with pytest.raises(ModelError, match="cannot be put on cuda .*--models.device cpu") as raised:
        HfVit(tiny_vit("vit"), "id", 56, (3,), "cuda").extract(picture(SIZES[0]))
    assert_one_line(raised)


def test_loading_is_quiet_and_leaves_the_library_as_it_was(
    tiny_vit: TinyVit, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging as hf_logging

    before = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    with pytest.raises(RuntimeError, match="stop"), quiet_loading():
        raise RuntimeError("stop")
    load_vit(tiny_vit("clip"), KINDS["clip"], "cpu")  # a text model's weights are left over
    assert (hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def _counted(extractor: HfVit) -> list[int]:
    """How many images each call of the model has."""
    sizes: list[int] = []
    extractor._load().register_forward_pre_hook(
        lambda module, inputs, options: sizes.append(len(options["pixel_values"])), with_kwargs=True
    )
    return sizes


@pytest.mark.parametrize("kind", OFFICIAL)
def test_a_batch_is_one_call_and_gives_the_same(tiny_vit: TinyVit, kind: str) -> None:
    """To the rounding of the kept float16."""
    extractor = HfVit(tiny_vit(kind), "id", 112, (2, 3))
    sizes, images = _counted(extractor), [picture(SIZES[0]), picture(SIZES[1]), 255 - picture(SIZES[0])]
    alone = [extractor.extract(image) for image in images]
    one_by_one = extract_many(extractor, images)
    assert sizes == [1] * 6  # on a CPU
    extractor.batches.on_cpu = 2
    together = extract_many(extractor, images)
    assert sizes[6:] == [2, 1]
    assert np.abs(alone[0].tokens - alone[2].tokens).max() > 1e-2  # images differ
    for made, same, expected in zip(together, one_by_one, alone, strict=True):
        np.testing.assert_allclose(made.tokens, expected.tokens, atol=5e-4)
        np.testing.assert_array_equal(same.tokens, expected.tokens)
        assert (made.grid_size, made.original_size) == (expected.grid_size, expected.original_size)


@pytest.mark.parametrize("kind", OFFICIAL)
def test_transformers_attends_by_sdpa(tiny_vit: TinyVit, kind: str) -> None:
    """Its default; nothing asks for it, so a change there shows here."""
    assert load_vit(tiny_vit(kind), KINDS[kind], "cpu").config._attn_implementation == "sdpa"


def test_out_of_memory(tiny_vit: TinyVit, caplog: pytest.LogCaptureFixture) -> None:
    extractor = HfVit(tiny_vit("dinov2"), "id", 56, (3,))
    images, most = [picture(SIZES[0])] * 3, [1]

    def crowded(module: torch.nn.Module, inputs: tuple, options: dict) -> None:
        if len(options["pixel_values"]) > most[0]:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    extractor._load().register_forward_pre_hook(crowded, with_kwargs=True)
    extractor.batches.on_cpu = 3
    assert len(extractor.extract_many(images)) == 3
    said = [record.message for record in caplog.records]
    assert said == ["cpu: out of memory with 3 images a call; going on with fewer"]
    most[0] = 0
    with pytest.raises(ModelError, match="out of memory with one of the images alone") as raised:
        extractor.extract(images[0])
    assert_one_line(raised)


@pytest.mark.parametrize("kind", ["dinov2", "dinov3_vit", "siglip"])
def test_reduced(tiny_vit: TinyVit, kind: str) -> None:
    """bfloat16 stays near float32, and is another."""
    exact = HfVit(tiny_vit(kind), "id", 112, (2, 3)).extract(picture(SIZES[0])).tokens
    extractor = HfVit(tiny_vit(kind), "id", 112, (2, 3))
    extractor.encoder_dtype = "bfloat16"
    made = extractor.extract(picture(SIZES[0])).tokens
    assert made.dtype == np.float32
    assert 0.99 < (made * exact).sum(axis=1).min() < 0.999999
