"""The table of models."""

from __future__ import annotations

import pytest

from gpoa.errors import ModelError
from gpoa.models.zoo import DEFAULTS, ZOO, DownloadSource, HubSource, PackageSource, entry_of


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
