"""What every importer hands out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Shape(NamedTuple):
    """One object of an image.

    Args:
        label: the name of its class, or its number as text where the file names none.
        mask: [H, W] bool.
    """

    label: str
    mask: np.ndarray
