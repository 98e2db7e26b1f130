"""How images are read and become features: files, models, tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gpoa.config.names import PrecisionName, check


@dataclass(frozen=True)
class ReadingConfig:
    """How image files become 8-bit RGB."""

    pages: tuple[str, ...] = ("all",)
    """Of stacks and animations: all; first; max (maximum projection); or numbers from 0 and ranges of them: 0 3 5-9."""
    channels: tuple[int, ...] = ()
    """Channels, from 0, shown as grey (one) or red, green, blue (two, three); default: grey, or the first three."""
    intensity: Literal["image", "run"] = "image"
    """What becomes black and white in images of more than 8 bits. image: the smallest and largest value of each,
    without outliers and nodata; run: those of all reference and target images of `gpoa run` together."""
    window: tuple[float, ...] = ()
    """These two values (or two for each channel) become black and white in images of more than 8 bits."""

    def __post_init__(self) -> None:
        words, window = " ".join(self.pages), " ".join(f"{value:g}" for value in self.window)
        pairs = zip(self.window[::2], self.window[1::2], strict=False)  # an odd number is refused below
        check(
            (bool(re.fullmatch(r"all|first|max|\d+(-\d+)?( \d+(-\d+)?)*", words)), f"--pages {words}: see its help"),
            (len(self.channels) <= 3 and min(self.channels, default=0) >= 0, "--channels: up to three numbers from 0"),
            (all(black < white for black, white in pairs), f"--reading.window {window}: black first"),
            (len(self.window) % 2 == 0, f"--reading.window {window}: two values a channel, black and white"),
        )


@dataclass(frozen=True)
class ModelsConfig:
    """Which frozen models are used, and where they run."""

    features: str = "dinov2-small"
    """Feature model: a name from `gpoa models list`; a local folder or a Hugging Face repository (owner/name) with a
    vision transformer in the transformers format; or "segmenter", which reuses the segmenter's image embedding."""
    segmenter: str = "mobile_sam"
    """Segmentation model: a name from `gpoa models list`."""
    device: str = "auto"
    """Device: auto (CUDA if available, else CPU), cpu, cuda, cuda:1, mps."""
    precision: PrecisionName = "float32"
    """Precision of the mask decoder. float32 reproduces the model's original masks; bfloat16 (recent CPUs, GPUs) and
    float16 (GPUs) can be faster and change masks slightly; auto times them on first use and remembers the fastest."""
    encoder_precision: PrecisionName = "float32"
    """Precision of the image encoders. bfloat16 and float16 (GPUs) change features and masks slightly; auto: bfloat16
    on CUDA, the faster of float32 and bfloat16 (timed on first use) on recent CPUs, float32 elsewhere."""
    checkpoints: str | None = None
    """Folder with the model weights; default: $GPOA_CHECKPOINTS, else ./checkpoints if it exists, else the user's
    cache."""


@dataclass(frozen=True)
class FeaturesConfig:
    """How images become patch tokens."""

    image_size: int = 448
    """Input size of the feature model, in pixels (square); a multiple of its patch size."""
    layers: tuple[int, ...] = (9, 12)
    """Transformer layers whose tokens are concatenated, counted from 1 (DINOv2 S and B have 12, L has 24, g has 40)."""
    tiles: int | None = None
    """For small objects in large images: split each image into n x n tiles, each resized to the model's input size, at
    n^2 times the cost. Default: the whole image at once, as the bundled policy was trained."""

    def __post_init__(self) -> None:
        if self.tiles == 1:  # one name for one behaviour, or a policy trained with the one would refuse the other
            object.__setattr__(self, "tiles", None)
        check(
            (self.tiles is None or 1 <= self.tiles <= 8, f"--features.tiles {self.tiles}: from 1 to 8"),
            (self.image_size >= 56, f"--features.image-size {self.image_size}: at least 56 is needed"),
            (bool(self.layers) and min(self.layers) >= 1, "--features.layers: one or more layers, counted from 1"),
        )
