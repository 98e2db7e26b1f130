"""Several classes in one run: one pipeline a class on the same frozen models, and a label image of all.

What `run_classes` writes below its output folder:

    labels/<stem>.png                             a palette picture: 0 background, else the class's number
    optimized_prompts/class_<number>/<stem>.json  prompts and confidence of each class
    overlays/<stem>.jpg  contact_sheet.jpg        one colour a class
    run.json                                      `classes`: number -> name
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gpoa.config import GpoaConfig, digest, to_dict
from gpoa.datasets.image_io import image_size
from gpoa.datasets.pages import load_sample
from gpoa.datasets.prompt_file import PromptRecord, read_prompts, write_prompts
from gpoa.datasets.shots import ImageLike, to_pixels
from gpoa.errors import ConfigError, DataError, GpoaError
from gpoa.features.cache import EmbeddingCache
from gpoa.matching.competition import compete, label_image
from gpoa.pipeline.closing import close_run
from gpoa.pipeline.image import ImagePipeline
from gpoa.pipeline.outputs import file_digest, open_targets, overlay_path, save_picture
from gpoa.pipeline.progress import Item, Report, process
from gpoa.pipeline.prompting import prior_score_map
from gpoa.runtime.atomic import write_atomic
from gpoa.types import Sample, ScoreMap
from gpoa.viewer.overlays import class_color, draw_overlay

MOST_CLASSES = 255
Shots = Sequence[tuple[ImageLike, ImageLike]]
"""Images and masks of one class."""


@dataclass(frozen=True, eq=False)
class ClassPrediction:
    """What `ClassSegmenter.predict` returns for one image.

    Args:
        labels: [H, W] uint8 at the image's original size: 0 background, else the class's number from 1.
        records: one prompt record a class, with its confidence.
    """

    labels: np.ndarray
    records: tuple[PromptRecord, ...]


class ClassSegmenter:
    """Segments images into several classes after one labelled example, or more, of each.

        segmenter = ClassSegmenter().fit({"cat": [("cat.png", "cat_mask.png")], "dog": [("dog.png", "dog_mask.png")]})
        labels = segmenter.predict("target.png").labels      # [H, W] uint8, 1 cat, 2 dog

    Args:
        config: every choice; the matcher must be the prior, whose probabilities the classes compete by.
        cache: embedding cache; default: the user's.

    Raises:
        ConfigError: another matcher, or the device does not exist.
        ModelError: a model is unknown, or missing and cannot be fetched.
    """

    def __init__(self, config: GpoaConfig | None = None, cache: EmbeddingCache | None = None) -> None:
        self.config = config or GpoaConfig()
        if self.config.matching.method != "prior":
            method = self.config.matching.method
            raise ConfigError(f"--matching.method {method}: classes compete by the prior's probabilities; leave it out")
        self._first = ImagePipeline(self.config, cache)
        self.pipelines: dict[str, ImagePipeline] = {}

    def fit(self, shots: Mapping[str, Shots]) -> ClassSegmenter:
        """Fits every class to its labelled examples.

        Args:
            shots: name -> pairs of image (path or [H, W, 3] uint8 RGB) and mask (path, or [H, W] bool).

        Returns:
            The segmenter itself.

        Raises:
            ImageError, MaskError: a file cannot be used.
            ConfigError: no class, or more than 255.
        """
        if not 1 <= len(shots) <= MOST_CLASSES:
            raise ConfigError(f"{len(shots)} classes; 1 to {MOST_CLASSES} are possible")
        self.pipelines = {}
        for name, pairs in shots.items():
            pipeline = ImagePipeline(self.config, self._first.backbones.cache)
            pipeline.backbones = self._first.backbones  # one copy of the models, and of the image that is at hand
            images, masks = zip(*pairs, strict=True)
            self.pipelines[name] = pipeline.fit(list(images), list(masks))
        return self

    @property
    def classes(self) -> dict[int, str]:
        """Number -> name."""
        return dict(enumerate(self.pipelines, start=1))

    def predict(self, image: ImageLike) -> ClassPrediction:
        """Segments one image.

        Args:
            image: a path, or [H, W, 3] uint8 RGB.

        Raises:
            ImageError: the image cannot be read.
            DataError: `fit` was not called.
        """
        if not self.pipelines:
            raise DataError("no reference yet: call fit({name: [(image, mask)]}) first")
        name = "array" if isinstance(image, np.ndarray) else Path(image).name
        pixels = to_pixels(image, self.config.reading)
        masks, records = [], []
        maps = self._score_maps(pixels)
        for pipeline, score_map in zip(self.pipelines.values(), maps, strict=True):
            record, search = pipeline.optimize(pixels, pipeline.initial_prompts(pixels, name, score_map))
            masks.append(pipeline.segment(pixels, record, search))
            records.append(record)
        details = np.stack([one.detail for one in maps if one.detail is not None])
        return ClassPrediction(label_image(masks, details), tuple(records))

    def _score_maps(self, pixels: np.ndarray) -> list[ScoreMap]:
        """The log odds of each class against everything else, the other classes included."""
        alone = [pipeline.prompter.score_map(pixels).detail for pipeline in self.pipelines.values()]
        return [prior_score_map(one) for one in compete(np.stack([one for one in alone if one is not None]))]

    def run_digest(self) -> str:
        """Names everything that shapes the label image of an image."""
        return digest(*self.pipelines, *(pipeline.run_digest() for pipeline in self.pipelines.values()))


def run_classes(segmenter: ClassSegmenter, targets: Any, output: Path, command: str = "") -> Report:
    """Segments a folder into classes; what an earlier run of the same settings did is kept.

    Args:
        segmenter: fitted.
        targets: a file, a folder, or several.
        output: receives what the module's docstring lists.
        command: recorded in `run.json`.

    Returns:
        What became of each image.

    Raises:
        DataError: no targets, or the folder cannot be written.
    """
    found = open_targets(targets, segmenter.config.reading, output)
    samples = found.samples
    run = segmenter.run_digest()

    def work(sample: Sample) -> Item:
        made_from = {"run": run, "image": file_digest(sample.image_path)}
        kept = _kept(segmenter, sample, output, made_from)
        return kept if kept is not None else _segment_one(segmenter, sample, output, made_from)

    report = process(samples, work, "gpoa run", len(samples), notes=found.notes)
    shots = [(image, mask.astype(np.uint8) * number) for number, pipeline in enumerate(segmenter.pipelines.values(), 1)
             for image, mask in pipeline.shots]  # fmt: skip
    facts = {"config": to_dict(segmenter.config), "run_digest": run, "classes": segmenter.classes}
    close_run(output, samples, report, None, shots, {"command": command, **facts})
    return report


def _segment_one(segmenter: ClassSegmenter, sample: Sample, output: Path, made_from: dict[str, str]) -> Item:
    """Segments one image and writes its files, the prompts of the last class last: they say that all is there."""
    image = load_sample(sample, segmenter.config.reading)
    found = segmenter.predict(image)
    save_palette(output / "labels" / f"{sample.stem}.png", found.labels)
    save_picture(draw_overlay(image, found.labels), overlay_path(output, sample))
    for number, record in enumerate(found.records, start=1):
        done = {**record.provenance, "made_from": made_from}
        named = replace(record, image=sample.image_path.name, provenance=done)
        write_prompts(_prompt_path(output, number, sample), named)
    return _item(sample, "ok", found.records)


def _kept(segmenter: ClassSegmenter, sample: Sample, output: Path, made_from: dict[str, str]) -> Item | None:
    """What an earlier run of the same settings made of an image; None where it has to be done."""
    labels = output / "labels" / f"{sample.stem}.png"
    if not labels.is_file() or not overlay_path(output, sample).is_file():
        return None
    try:
        records = [read_prompts(_prompt_path(output, number, sample)) for number in segmenter.classes]
        if any(one.provenance.get("made_from") != made_from for one in records):
            return None
        return _item(sample, "kept", records) if image_size(labels) == records[0].original_size else None
    except GpoaError:
        return None


def _item(sample: Sample, status: str, records: Sequence[PromptRecord]) -> Item:
    """The line of an image: the mean confidence of the classes that are there."""
    there = [record.confidence for record in records if record.status == "ok" and record.confidence]
    confidence = float(np.mean(there)) if there else 0.0
    return Item(sample.stem, status if there or status == "kept" else "absent", confidence)


def _prompt_path(output: Path, number: int, sample: Sample) -> Path:
    """Where the prompts of a class are."""
    return output / "optimized_prompts" / f"class_{number}" / f"{sample.stem}.json"


def save_palette(path: Path, labels: np.ndarray) -> None:
    """Writes class numbers as a palette PNG, in the colours of the overlays, atomically.

    Args:
        path: the file.
        labels: [H, W] uint8, 0 background.
    """
    picture = Image.fromarray(labels)
    colors = [(0, 0, 0), *(class_color(number) for number in range(1, 256))]
    picture.putpalette([value for color in colors for value in color])
    content = io.BytesIO()
    picture.save(content, format="PNG")
    write_atomic(path, content.getvalue())
