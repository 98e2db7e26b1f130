"""The table of models."""

from __future__ import annotations

import pytest

from gpoa.errors import ModelError
from gpoa.models.zoo import DEFAULTS, ZOO, DownloadSource, HubSource, PackageSource, entry_of, hub_name


def test_names() -> None:
    assert list(ZOO) == [
        "dinov2-small",
        "dinov2-base",
        "dinov2-large",
        "dinov2-giant",
        "mobile_sam",
        "sam_vit_b",
        "sam_vit_l",
        "sam_vit_h",
        "sam_vit_b_hf",
        "sam_vit_l_hf",
        "sam_vit_h_hf",
        "slimsam-50",
        "slimsam-77",
        "sam_hq_vit_b",
        "sam_hq_vit_l",
        "sam_hq_vit_h",
        "sam2.1_tiny",
        "sam2.1_small",
        "sam2.1_base_plus",
        "sam2.1_large",
        "sam3",
        "dinov2-small-registers",
        "dinov2-base-registers",
        "dinov2-large-registers",
        "dinov2-giant-registers",
        "dinov3-vits16",
        "dinov3-vitb16",
        "dinov3-vitl16",
    ]
    assert all(name in ZOO for name in DEFAULTS)


def test_hub_comes_before_the_registry_and_only_small_has_one() -> None:
    assert [type(source) for source in ZOO["dinov2-small"].sources] == [HubSource, PackageSource]
    assert [type(source) for source in ZOO["dinov2-base"].sources] == [HubSource]
    assert [type(source) for source in ZOO["mobile_sam"].sources] == [PackageSource]


def test_digests_are_complete() -> None:
    for entry in ZOO.values():
        for source in entry.sources:
            if isinstance(source, DownloadSource):
                assert len(source.sha256) == 64
                assert source.address.endswith(source.file)
            if isinstance(source, PackageSource):
                assert all(len(sha256) == 64 for _, sha256 in source.members)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dinov2-smal", "did you mean dinov2-small"),  # a typing error
        ("mobilesam", "did you mean mobile_sam"),
        ("zzz", "known models: dinov2-small, dinov2-base"),  # nothing is near
    ],
)
def test_unknown_name(name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        entry_of(name)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("google/vit-base-patch16-224", "google--vit-base-patch16-224"),
        ("google--vit-base-patch16-224", "google--vit-base-patch16-224"),
        ("dinov2-small", "dinov2-small"),
        ("/models/vit", "/models/vit"),  # a folder
        ("../vit", "../vit"),
        ("~/vit", "~/vit"),
        ("a/b/c", "a/b/c"),
    ],
)
def test_names_of_repositories(said: str, name: str) -> None:
    assert hub_name(said) == name


def test_any_vision_transformer_of_the_hub() -> None:
    entry = entry_of("facebook--vit-mae-base")
    assert (entry.name, entry.role, entry.size) == ("facebook--vit-mae-base", "features", 0)
    assert entry.sources == (
        HubSource("facebook/vit-mae-base", ("config.json", "model.safetensors", "preprocessor_config.json")),
    )
    with pytest.raises(ModelError, match="'facebook/vit-mae-base'; .* is written facebook--vit-mae-base"):
        entry_of("facebook/vit-mae-base")
