"""Whether a prompt record fits the image and the models in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gpoa.datasets.prompt_file import PromptRecord, refuse_outside
from gpoa.errors import PromptError
from gpoa.pipeline.agent import names_of


def check_size(image: np.ndarray, record: PromptRecord) -> None:
    """Refuses prompts of another image size.

    Args:
        image: [H, W, 3] uint8 RGB.
        record: prompts for it.

    Raises:
        PromptError: says what differs, or which point lies outside, and what to do.
    """
    size = (image.shape[0], image.shape[1])
    if record.original_size is not None and record.original_size != size:
        raise PromptError(
            f"{record.image}: prompts are for an image of {record.original_size} (H, W), this one has {size}; "
            "make them again with `gpoa prompts`"
        )
    refuse_outside(record, size)


def check_models(name: str | Path, made_by: dict[str, str] | None, in_use: dict[str, str]) -> None:
    """Refuses what other models made; a file that does not name its models (a user's own) passes.

    Args:
        name: of the file, for the message.
        made_by: role -> name of the models that made it.
        in_use: likewise, of those in use.

    Raises:
        PromptError: the two differ.
    """
    if made_by is not None and made_by != in_use:
        raise PromptError(
            f"{name}: prompts were made with {names_of(made_by)}, in use are {names_of(in_use)}; "
            "make them again with `gpoa prompts`, or choose those models"
        )
