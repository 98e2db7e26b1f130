"""Models of the library transformers from a folder: quietly, whole, and without running code that lies beside the
weights."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gpoa.errors import ModelError, one_line

if TYPE_CHECKING:
    import torch


@functools.cache
def import_transformers() -> ModuleType:
    """The library transformers, kept from a torchvision that does not load.

    It imports torchvision wherever one is installed, and a torchvision of another build than torch (the one on PyPI
    beside a CPU-only torch) fails at that. Nothing here needs it: such a one is hidden while the process lives.
    """
    try:
        import torchvision  # noqa: F401
    except Exception:  # RuntimeError, OSError or ImportError, as the mismatch has it
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        # What import and find_spec take for "not installed".
        sys.modules["torchvision"] = None  # type: ignore[assignment]
    import transformers
    from transformers.utils import import_utils

    if sys.modules.get("torchvision") is None:  # torch_geometric may have had transformers look for it before
        for known in vars(import_utils).values():
            getattr(known, "cache_clear", int)()
    return transformers


def load_pretrained(
    class_name: str, folder: Path, device: str, dispensable: tuple[str, ...] = (), **build: Any
) -> torch.nn.Module:
    """Loads a model.

    Args:
        class_name: the class of transformers.
        folder: holds `config.json` and safetensors weights (other formats are refused: they may hold code).
        device: torch device.
        dispensable: endings of names of weights that may be missing.
        build: further arguments of the class.

    Returns:
        The model in evaluation mode, float32.

    Raises:
        ModelError: the weights are damaged, incomplete or another model's, the installed transformers is too old, or
            the device is missing.
    """
    transformers = import_transformers()
    built = getattr(transformers, class_name, None)
    if built is None:
        said = f"transformers {transformers.__version__} has no {class_name}"
        raise ModelError(f"{folder}: {said}; run `pip install -U transformers`")
    try:
        with quiet_loading():
            model, report = built.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True, **build
            )
        model = model.float().eval()
    except Exception as error:  # transformers raises many kinds for a damaged file
        raise ModelError(
            f"{folder}: cannot be loaded as {class_name} ({one_line(error)}); run `gpoa models fetch`"
        ) from error
    missing = sorted(name for name in report["missing_keys"] if not name.endswith(dispensable))
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} weights of {class_name} are missing, the first is {missing[0]}; the "
            f"weights are not those of its config.json"
        )
    return to_device(model, device, folder)


def to_device(model: torch.nn.Module, device: str, origin: Path) -> torch.nn.Module:
    """Moves a model; ModelError where the device is not on this machine."""
    try:
        return model.to(device)
    except Exception as error:  # RuntimeError, AssertionError or an accelerator's own kind
        raise ModelError(
            f"{origin}: cannot be put on {device} ({one_line(error)}); take --models.device cpu"
        ) from error


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Keeps transformers' progress bar and its report about unused weights off the terminal while a model loads."""
    hf_logging = import_transformers().utils.logging
    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        hf_logging.set_verbosity(level)
        if bars:
            hf_logging.enable_progress_bar()
