"""gpoa: one reference image with its mask and a folder of targets in, a mask for every target out.

Importing this package is light; torch and the models are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"
__all__ = ["ClassSegmenter", "GpoaConfig", "OneShotSegmenter", "__version__"]

if TYPE_CHECKING:
    from gpoa.config import GpoaConfig
    from gpoa.pipeline.classes import ClassSegmenter
    from gpoa.pipeline.one_shot import OneShotSegmenter

_HOMES = {
    "ClassSegmenter": "gpoa.pipeline.classes",
    "OneShotSegmenter": "gpoa.pipeline.one_shot",
    "GpoaConfig": "gpoa.config",
}


def __getattr__(name: str) -> Any:
    """Loads a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gpoa' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
