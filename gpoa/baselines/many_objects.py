"""The peers of instance mode: classical watersheds, the watershed on our prior, SAM's automatic masks filtered by it.

    watershed-otsu, -adaptive, -canny   a classical mask, split by the watershed on its distance transform
    watershed-prior                     ours without the segmenter
    automatic                           SAM's automatic mask generation (Kirillov et al. 2023, appendix D; 32 x 32
                                        points, the library's thresholds), masks with a mean prior above one half

Cellpose and StarDist are not run here: their weights cannot be had offline. Who has them scores their label images with
`gpoa evaluate --instances`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from gpoa.baselines.classical import adaptive_masks, canny_masks, otsu_masks, to_grey
from gpoa.instances.decoding import cell_outlines, logits_to_grid
from gpoa.instances.fusion import paint, suppress
from gpoa.instances.objects import Found, Objects, none_found
from gpoa.instances.seeds import find_seeds
from gpoa.instances.sizes import SizeRange
from gpoa.pipeline.instances import InstanceSegmenter
from gpoa.types import PointPrompts

POINTS = 32
"""Points a side of the automatic generator's grid."""
LEAST_IOU, LEAST_STABILITY, SAME_BOX = 0.88, 0.95, 0.7
"""segment_anything's defaults: predicted IoU, stability, box IoU of its suppression."""
BATCH = 64

Predict = Callable[[np.ndarray], Objects]
"""[H, W, 3] uint8 RGB -> its objects."""


def ours(segmenter: InstanceSegmenter) -> Predict:
    """Instance mode as it runs."""
    return segmenter.segment


def prior_watershed(segmenter: InstanceSegmenter) -> Predict:
    """The same without the segmenter: the watershed on the prior."""
    return segmenter.with_settings(replace(segmenter.settings, decoder=False)).segment


def classical(readings: Callable[[np.ndarray], tuple[np.ndarray, ...]]) -> Callable[[InstanceSegmenter], Predict]:
    """A classical mask and the watershed on it; the reference chooses bright or dark, and gives the size range.

    Args:
        readings: grey image [H, W] uint8 -> the masks of every way to read it.
    """

    def fit(segmenter: InstanceSegmenter) -> Predict:
        def overlap(number: int) -> float:
            pairs = [(readings(to_grey(image))[number], mask) for image, mask in segmenter.shots]
            return float(np.mean([(one & mask).sum() / max(1, (one | mask).sum()) for one, mask in pairs]))

        count = len(readings(to_grey(segmenter.shots[0][0])))
        chosen = max(range(count), key=overlap)
        return lambda image: split_mask(readings(to_grey(image))[chosen], segmenter.sizes)

    return fit


def split_mask(mask: np.ndarray, sizes: SizeRange) -> Objects:
    """The watershed on the distance transform of a mask; parts of less than half the least usual diameter are dropped.

    Args:
        mask: [H, W] bool.
        sizes: of the reference's objects, in pixels.
    """
    size = (mask.shape[0], mask.shape[1])
    seeds = find_seeds(mask.astype(np.float32), sizes.median)
    least = np.pi / 4 * (sizes.low / 2) ** 2
    found = [
        Found(one.window, one.mask, 1.0, (float(seeds.xy[one.seed, 0]), float(seeds.xy[one.seed, 1])), "cell")
        for one in cell_outlines(seeds)
    ]
    found = [one for one in found if one.area >= least]
    return paint(found, size) if found else none_found(size)


def automatic(segmenter: InstanceSegmenter) -> Predict:
    """SAM's automatic masks of which the prior says that they are the object."""

    def predict(image: np.ndarray) -> Objects:
        size = (image.shape[0], image.shape[1])
        probability = segmenter.probability(image)
        found = [
            one for one in _suppress_boxes(_automatic_masks(segmenter, image))
            if probability[one.window][one.mask].mean() > 0.5
        ]  # fmt: skip
        calls = POINTS * POINTS
        return paint(suppress(found, 0.0), size, calls) if found else none_found(size, calls)

    return predict


def _automatic_masks(segmenter: InstanceSegmenter, image: np.ndarray) -> Iterator[Found]:
    """The masks of a grid of points that pass the generator's filters."""
    backbones = segmenter.pipeline.backbones
    embedding, (height, width) = backbones.embedding(image), image.shape[:2]
    steps = (np.arange(POINTS) + 0.5) / POINTS
    points = np.stack(np.meshgrid(steps * width, steps * height), axis=-1).reshape(-1, 2).astype(np.float32)
    one = np.ones(1, dtype=np.int64)
    for begin in range(0, len(points), BATCH):
        part = points[begin : begin + BATCH]
        answer = backbones.segmenter.decode(
            embedding, [PointPrompts(point[None], one) for point in part], multimask_output=True
        )
        for point, masks, ious in zip(part, answer.low_res_logits, answer.iou_predictions, strict=True):
            for logits, iou in zip(masks, ious, strict=True):
                stability = (logits > 1).sum() / max(1, (logits > -1).sum())
                if iou <= LEAST_IOU or stability < LEAST_STABILITY:
                    continue
                found = logits_to_grid(logits, embedding.original_size, (height, width))
                if found is not None:
                    yield Found(*found, float(np.clip(iou, 0, 1)), (float(point[0]), float(point[1])), "sam")


def _suppress_boxes(found: Iterator[Found]) -> list[Found]:
    """Non-maximum suppression of boxes, as the generator does it."""
    ordered = sorted(found, key=lambda one: -one.score)
    boxes = np.array(
        [[o.window[0].start, o.window[1].start, o.window[0].stop, o.window[1].stop] for o in ordered], dtype=float
    ).reshape(-1, 4)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    for place, box in enumerate(boxes):
        others = boxes[kept]
        sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
        shared = np.clip(sides, 0, None).prod(axis=1)
        if not (shared > SAME_BOX * (areas[place] + areas[kept] - shared)).any():
            kept.append(place)
    return [ordered[place] for place in kept]


METHODS: dict[str, Callable[[InstanceSegmenter], Predict]] = {
    "gpoa": ours,
    "watershed-prior": prior_watershed,
    "watershed-otsu": classical(otsu_masks),
    "watershed-adaptive": classical(adaptive_masks),
    "watershed-canny": classical(canny_masks),
    "automatic": automatic,
}
"""Name -> what makes the objects of an image, from a fitted segmenter."""
