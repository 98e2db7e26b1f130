"""How an image becomes objects (`gpoa run --instances`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpoa.config.names import check


@dataclass(frozen=True)
class ObjectsConfig:
    """How objects are told apart."""

    fusion: Literal["nms", "average", "union"] = "nms"
    """What becomes of outlines that overlap. nms: the best ones are kept; average: a mean weighted by a Gaussian around
    each seed; union: they are one object."""
    sigma: float = 0.1
    """average: deviation of the Gaussian, as a share of the longest side of what is seen at once (14 px of 140)."""
    negatives: int = 3
    """Negative points of each object's decoder call: so many of the nearest other seeds."""
    box: bool = True
    """Give each decoder call the box around the seed's watershed cell as well."""
    decoder: bool = True
    """Ask the segmenter for each object; without, objects are the watershed on the prior."""
    tile: int | None = None
    """Side in pixels of the windows in which images are seen; default: sixteen times the median diameter of the
    reference's objects."""
    reference_tiles: int = 3
    """At most so many windows of each reference teach what the object is."""

    def __post_init__(self) -> None:
        check(
            (self.sigma > 0, f"--objects.sigma {self.sigma}: above 0"),
            (self.negatives >= 0, f"--objects.negatives {self.negatives}: 0 or more"),
            (self.tile is None or self.tile >= 64, f"--objects.tile {self.tile}: at least 64 pixels"),
            (self.reference_tiles >= 1, f"--objects.reference-tiles {self.reference_tiles}: at least 1"),
        )
