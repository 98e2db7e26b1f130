"""How well predicted objects agree with true ones, one class, no matter how the objects are numbered.

Legend: `P` predicted objects, `T` true objects. Label images are [H, W] integers, 0 background.

Two scores that are both called AP in the literature have different names here:

    detection_accuracy   TP / (TP + FP + FN) of objects matched at an IoU threshold (Caicedo et al. 2019; StarDist
                         and Cellpose print it as "AP"). Needs no confidences
    coco_ap              area under the precision-recall curve over objects ranked by confidence (Lin et al. 2014)

Conventions: without objects on both sides every score is 1, without objects on one side 0; segmentation quality (0/0)
is 0 where objects exist and none matches. A pair matches for the panoptic quality at IoU > 0.5 and for the detection
accuracy at IoU >= threshold, each object at most once, so that the number of pairs is the largest possible.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize, sparse

from gpoa.errors import ModelError

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""IoU 0.50, 0.55, ... 0.95."""
INSTANCE_METRICS = ("pq", "sq", "rq", "detection_accuracy_50", "detection_accuracy_75", "detection_accuracy_50_95")
"""What `InstanceScores.values` gives, in this order; higher is better, all in [0, 1]."""
CONVENTIONS = {
    "instances_none": "every object score is 1 without objects on both sides, 0 without objects on one side",
    "pq": "panoptic quality of one class (Kirillov et al. 2019): sum of the IoU of the pairs with IoU > 0.5, divided "
    "by TP + FP/2 + FN/2; equals sq * rq",
    "detection_accuracy": "TP / (TP + FP + FN) at IoU >= threshold, often printed as AP; not COCO's average precision",
}
"""The conventions for files that report scores."""

Truth = np.ndarray | Iterable[np.ndarray]
"""True objects: a label image [H, W], or one [H, W] bool mask each, which may overlap."""


@dataclass(frozen=True)
class InstanceScores:
    """The counts of one image or of several together (`pool`), and the scores that follow from them.

    Args:
        n_predicted: predicted objects.
        n_true: true objects.
        matched: pairs with IoU > 0.5.
        iou_sum: sum of their IoU.
        hits: pairs at each of `THRESHOLDS`.
    """

    n_predicted: int
    n_true: int
    matched: int
    iou_sum: float
    hits: tuple[int, ...]

    @property
    def sq(self) -> float:
        """Segmentation quality: mean IoU of the matched pairs (Kirillov et al. 2019, equation 2)."""
        return self._share(self.iou_sum, self.matched)

    @property
    def rq(self) -> float:
        """Recognition quality: F1 of the objects (ibid.)."""
        return self._share(2 * self.matched, self.n_predicted + self.n_true)

    @property
    def pq(self) -> float:
        """Panoptic quality of one class: segmentation quality times recognition quality (ibid., equation 1)."""
        return self._share(2 * self.iou_sum, self.n_predicted + self.n_true)

    def detection_accuracy(self, threshold: float) -> float:
        """TP / (TP + FP + FN) at one of `THRESHOLDS`.

        Raises:
            ValueError: another threshold.
        """
        if threshold not in THRESHOLDS:
            raise ValueError(f"threshold: expected one of {THRESHOLDS}, got {threshold}")
        hits = self.hits[THRESHOLDS.index(threshold)]
        return self._share(hits, self.n_predicted + self.n_true - hits)

    def values(self) -> dict[str, float]:
        """The scores under the names of `INSTANCE_METRICS`."""
        each = [self.detection_accuracy(threshold) for threshold in THRESHOLDS]
        found = (self.pq, self.sq, self.rq, each[0], each[THRESHOLDS.index(0.75)], float(np.mean(each)))
        return dict(zip(INSTANCE_METRICS, found, strict=True))

    def _share(self, part: float, whole: float) -> float:
        """part / whole; 0/0 is 1 where there is no object at all, else 0."""
        if whole > 0:
            return float(part / whole)
        return 1.0 if self.n_predicted + self.n_true == 0 else 0.0


def score_instances(prediction: np.ndarray, truth: Truth) -> InstanceScores:
    """Compares the objects of one image.

    Args:
        prediction: [H, W] integer label image, 0 background; every other value is one object, connected or not.
        truth: likewise, or one [H, W] bool mask for each object.

    Returns:
        The counts and scores.

    Raises:
        ValueError: the sizes differ, or a label image is not of integers >= 0.
    """
    return score_ious(instance_ious(prediction, truth))


def score_ious(ious: np.ndarray) -> InstanceScores:
    """The counts that follow from the IoU of every pair of objects.

    Args:
        ious: [P, T] float in [0, 1].
    """
    gains = np.where(ious > 0.5, ious, 0.0)
    pairs = optimize.linear_sum_assignment(gains, maximize=True)
    paired = gains[pairs]
    hits = tuple(_largest_matching(ious >= threshold) for threshold in THRESHOLDS)
    return InstanceScores(ious.shape[0], ious.shape[1], int((paired > 0).sum()), float(paired.sum()), hits)


def pool(scores: Iterable[InstanceScores]) -> InstanceScores:
    """The counts of several images together, so that every object weighs the same, as Kirillov et al. 2019 do.

    Args:
        scores: of any number of images; none gives counts of 0.
    """
    scores = list(scores)
    hits = tuple(sum(score.hits[place] for score in scores) for place in range(len(THRESHOLDS)))
    n_predicted, n_true, matched = (
        sum(getattr(score, name) for score in scores) for name in ("n_predicted", "n_true", "matched")
    )
    return InstanceScores(n_predicted, n_true, matched, float(sum(score.iou_sum for score in scores)), hits)


def instance_ious(prediction: np.ndarray, truth: Truth) -> np.ndarray:
    """IoU of every predicted with every true object.

    Args:
        prediction: as in `score_instances`.
        truth: likewise.

    Returns:
        [P, T] float64 in [0, 1]; objects by ascending label, or in the order of the masks.

    Raises:
        ValueError: as `score_instances`.
    """
    labels, n_predicted = compact(prediction)
    if isinstance(truth, np.ndarray) and truth.ndim == 2:
        true, n_true = compact(truth)
        _same_size(labels, true)
        pairs = np.bincount((labels * (n_true + 1) + true).reshape(-1), minlength=(n_predicted + 1) * (n_true + 1))
        table = pairs.reshape(n_predicted + 1, n_true + 1)
        overlap, areas, true_areas = table[1:, 1:], table[1:].sum(axis=1), table[:, 1:].sum(axis=0)
    else:
        columns, areas = [], np.bincount(labels.reshape(-1), minlength=n_predicted + 1)[1:]
        for mask in truth:
            _same_size(labels, mask)
            columns.append(np.bincount(labels[np.asarray(mask, dtype=bool)], minlength=n_predicted + 1))
        table = np.stack(columns, axis=1) if columns else np.zeros((n_predicted + 1, 0), dtype=np.int64)
        overlap, true_areas = table[1:], table.sum(axis=0)
    union = areas[:, None] + true_areas[None, :] - overlap
    return overlap / np.maximum(union, 1)  # a true mask without a pixel overlaps nothing


def components(mask: np.ndarray) -> np.ndarray:
    """The connected components of a mask as objects; pixels that touch at a corner are connected.

    Args:
        mask: [H, W] bool.

    Returns:
        [H, W] int32 label image, numbered from 1.
    """
    return ndimage.label(mask, structure=np.ones((3, 3)))[0].astype(np.int32, copy=False)


def compact(labels: np.ndarray) -> tuple[np.ndarray, int]:
    """Renumbers the objects of a label image 1, 2, ... without gaps.

    Args:
        labels: [H, W] integer or bool, 0 background.

    Returns:
        [H, W] int64, and the number of objects.

    Raises:
        ValueError: the values are no integers, or one is negative.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise ValueError(f"labels: expected [H, W] integer, got {labels.shape} {labels.dtype}")
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels: must be 0 (background) or above, got {labels.min()}")
    largest = int(labels.max(initial=0))
    if largest < 1 << 20:  # a table of the numbers is many times faster than sorting the pixels
        used = np.bincount(labels.reshape(-1), minlength=largest + 1) > 0
        used[0] = False
        return np.where(used, np.cumsum(used), 0)[labels.astype(np.int64)], int(used.sum())
    values, places = np.unique(labels, return_inverse=True)
    places = places.reshape(labels.shape).astype(np.int64)
    return (places, len(values) - 1) if values[0] == 0 else (places + 1, len(values))


def coco_ap(
    predictions: Sequence[np.ndarray], truths: Sequence[np.ndarray], scores: Sequence[Sequence[float]]
) -> dict[str, float]:
    """COCO's average precision of masks, one class, all sizes, all objects of an image counted (Lin et al. 2014).

    Args:
        predictions: for each image an [H, W] integer label image.
        truths: likewise.
        scores: for each image the confidence of every predicted object, by ascending label.

    Returns:
        `coco_ap` (mean over IoU 0.50 to 0.95), `coco_ap_50`, `coco_ap_75`, in [0, 1]; NaN without any true object.

    Raises:
        ModelError: pycocotools is not installed.
        ValueError: the numbers of images, or of objects and scores, differ.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ModelError("COCO average precision needs pycocotools: pip install pycocotools") from error
    truth, images, annotations, found = COCO(), [], [], []
    for number, (prediction, true, values) in enumerate(zip(predictions, truths, scores, strict=True), start=1):
        images.append({"id": number, "height": true.shape[0], "width": true.shape[1]})
        annotations += _coco_entries(true, number)
        entries = _coco_entries(prediction, number)
        found += [{**entry, "score": float(score)} for entry, score in zip(entries, values, strict=True)]
    names = ("coco_ap", "coco_ap_50", "coco_ap_75")
    if not annotations or not found:
        return dict.fromkeys(names, 0.0 if annotations else float("nan"))
    annotations = [{**entry, "id": number} for number, entry in enumerate(annotations, start=1)]
    categories = [{"id": 1, "name": "object"}]
    truth.dataset = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "segm")
        judge.params.maxDets = [len(found)]
        judge.params.areaRng, judge.params.areaRngLbl = [[0, float("inf")]], ["all"]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, 0, 0, 0]  # [10 thresholds, 101 recalls]
    return dict(zip(names, map(float, (precision.mean(), precision[0].mean(), precision[5].mean())), strict=True))


def _coco_entries(labels: np.ndarray, image: int) -> list[dict]:
    """One COCO annotation for each object, by ascending label."""
    from pycocotools import mask as coding

    labels, count = compact(labels)
    entries = []
    for place, box in enumerate(ndimage.find_objects(labels, count), start=1):
        rle = coding.encode(np.asfortranarray(labels == place, dtype=np.uint8))
        top, left = box[0].start, box[1].start
        bounds = [left, top, box[1].stop - left, box[0].stop - top]
        entry = {"image_id": image, "category_id": 1, "segmentation": rle, "bbox": bounds, "iscrowd": 0}
        entries.append({**entry, "area": int(coding.area(rle))})
    return entries


def _largest_matching(possible: np.ndarray) -> int:
    """How many pairs of a [P, T] bool table can be matched at most, each row and column once."""
    if not possible.any():
        return 0
    return int((sparse.csgraph.maximum_bipartite_matching(sparse.csr_array(possible)) >= 0).sum())


def _same_size(prediction: np.ndarray, truth: np.ndarray) -> None:
    """Refuses two sizes."""
    if prediction.shape != np.shape(truth):
        raise ValueError(f"prediction is {prediction.shape} but truth is {np.shape(truth)} (H, W)")
