"""Checkpoints of a training run: all that the next update depends on, in one file that appears whole or not at all."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpoa.errors import ModelError, one_line
from gpoa.runtime.atomic import write_atomic

FORMAT_VERSION = 1


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Writes a checkpoint under a temporary name and renames it.

    Args:
        path: the file.
        state: tensors, numbers, strings and nested dicts and lists of them.
    """
    content = io.BytesIO()
    torch.save({"format_version": FORMAT_VERSION, **state}, content)
    write_atomic(path, content.getvalue())


def load_checkpoint(path: Path, remedy: str = "train again with `gpoa train`") -> dict[str, Any]:
    """Reads a checkpoint; code in it is never executed.

    Args:
        path: the file.
        remedy: what the user can do about a bad file, the end of the error's line.

    Raises:
        ModelError: the file is missing, damaged, of another format, or holds more than plain data.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; {remedy}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path}: damaged, or not a checkpoint of gpoa ({one_line(error)[:80]}); {remedy}") from error
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise ModelError(f"{path}: checkpoint format {version}, this gpoa reads {FORMAT_VERSION}; {remedy}")
    return state


def rng_state(generator: np.random.Generator) -> dict[str, Any]:
    """The state of every source of randomness: the run's own generator and torch's; Python's and NumPy's stay
    unused."""
    return {"numpy": repr(generator.bit_generator.state), "torch": torch.get_rng_state()}


def restore_rng(generator: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Sets what `rng_state` saved."""
    import ast

    generator.bit_generator.state = ast.literal_eval(state["numpy"])
    torch.set_rng_state(state["torch"])
