"""The facade that Python users call: fit a reference, segment an image or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpoa.config import GpoaConfig
from gpoa.datasets.options import NO_OPTIONS, MaskOptions
from gpoa.datasets.shots import ImageLike, to_pixels
from gpoa.errors import DataError
from gpoa.features.cache import EmbeddingCache
from gpoa.pipeline.folder import run_folder
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.prediction import Prediction
from gpoa.pipeline.progress import Report
from gpoa.segmenters.marks import Numbers, make_marks, mask_of_marks


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
        masks: ImageLike | Sequence[ImageLike] | None = None,
        options: MaskOptions = NO_OPTIONS,
        *,
        points: Numbers = (),
        not_points: Numbers = (),
        box: Numbers = (),
        not_box: Numbers = (),
    ) -> OneShotSegmenter:
        """Fits the matcher to the reference images and their masks, or to one image in which the object is marked.

        Args:
            references: one image or k images: paths, or [H, W, 3] uint8 RGB.
            masks: as many masks: paths, or [H, W] bool, integer or float; None where the object is marked instead.
            options: what the object is, where the masks' values do not say so.
            points, not_points: (x, y) in pixels on the object and beside it, one or several.
            box, not_box: (x0, y0, x1, y1) around an object, and regions that the mask leaves out, one or several.

        Returns:
            The segmenter itself; `pipeline.shots` holds the images and masks in use.

        Raises:
            ImageError, MaskError: a file cannot be used.
            DataError: the numbers of images and masks differ, or both or neither of masks and marks are given.
            PromptError: a mark lies outside the image, or makes an empty mask.
        """
        marks = make_marks(points, not_points, box, not_box)
        if (marks is None) == (masks is None):
            raise DataError("give either masks, or points or a box that mark the object in one reference image")
        if marks is not None:
            images = [references] if isinstance(references, (str, Path, np.ndarray)) else list(references)
            if len(images) != 1:
                raise DataError(f"points and boxes are for one reference image, but {len(images)} are given")
            references = to_pixels(images[0], self.pipeline.config.reading)
            backbones = self.pipeline.backbones
            masks = mask_of_marks(backbones.segmenter, backbones.embedding(references), marks)
        assert masks is not None, "made above"
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
