"""The facade that Python users call: fit a reference, segment an image or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpoa.config import GpoaConfig
from gpoa.datasets.options import NO_OPTIONS, MaskOptions
from gpoa.datasets.shots import ImageLike
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.folder import run_folder
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.prediction import Prediction
from gpoa.pipeline.progress import Report


class OneShotSegmenter:
    """Segments images after one labelled example.

        segmenter = OneShotSegmenter().fit("reference.png", "reference_mask.png")
        mask = segmenter.predict("target.png").mask                # [H, W] bool
        segmenter.predict_folder("targets/", "output/")

    Args:
        config: every choice; the default is the measured best.
        cache: embedding cache; default: the user's.

    Attributes:
        pipeline: the stages one by one, for whoever wants only some of them.

    Raises:
        ModelError: a model is unknown, or missing and cannot be fetched.
        ConfigError: the device does not exist.
    """

    def __init__(self, config: GpoaConfig | None = None, cache: EmbeddingCache | None = None) -> None:
        self.pipeline = ImagePipeline(config, cache)

    def fit(
        self,
        references: ImageLike | Sequence[ImageLike],
        masks: ImageLike | Sequence[ImageLike],
        options: MaskOptions = NO_OPTIONS,
    ) -> OneShotSegmenter:
        """Fits the matcher to the reference images and their masks.

        Args:
            references: one image or k images: paths, or [H, W, 3] uint8 RGB.
            masks: as many masks: paths, or [H, W] bool, integer or float.
            options: what the object is, where the masks' values do not say so.

        Returns:
            The segmenter itself.

        Raises:
            ImageError, MaskError: a file cannot be used.
            DataError: the numbers of images and masks differ.
        """
        self.pipeline.fit(references, masks, options)
        return self

    def predict(self, image: ImageLike) -> Prediction:
        """Segments one image; see `ImagePipeline.predict`.

        Args:
            image: a path, or [H, W, 3] uint8 RGB.

        Returns:
            The mask, and how it came about.

        Raises:
            ImageError: the image cannot be read.
            DataError: `fit` was not called.
        """
        return self.pipeline.predict(image)

    def predict_folder(self, targets: str | Path | Sequence[str | Path], output: str | Path) -> Report:
        """Segments a folder and writes everything below `output`; see `gpoa.pipeline.folder.run_folder`.

        Args:
            targets: a file, a folder, or several.
            output: receives masks, overlays, prompt files, the contact sheet and `run.json`.

        Returns:
            What became of each image.

        Raises:
            DataError: no targets, the folder cannot be written, or `fit` was not called.
        """
        return run_folder(self.pipeline, targets, Path(output))
