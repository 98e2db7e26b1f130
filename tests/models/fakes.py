"""A tiny model for the tests of the store: one file, no network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gpoa.models.zoo import DownloadSource, ModelEntry

CONTENT = bytes(range(256)) * 400  # 102,400 bytes


def tiny_entry(
    address: str = "http://127.0.0.1:9/tiny.pth", content: bytes = CONTENT, name: str = "tiny"
) -> ModelEntry:
    """An entry of one downloaded file."""
    source = DownloadSource(address, "tiny.pth", hashlib.sha256(content).hexdigest(), len(content))
    return ModelEntry(
        name=name,
        role="segmenter",
        architecture="vit_b",
        size=len(content),
        licence="CC0",
        upstream="nobody",
        description="a tiny model",
        sources=(source,),
        files=("tiny.pth",),
    )


def install_by_hand(root: Path, content: bytes = CONTENT) -> Path:
    """Puts the tiny model's file where a user would put it, without a card."""
    folder = root / "tiny"
    folder.mkdir(parents=True)
    (folder / "tiny.pth").write_bytes(content)
    return folder
