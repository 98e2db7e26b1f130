"""The 72 numbers that a policy sees of a bubble state. Training and inference build them with the same function.

The project that this follows shows its policy eight statistics of the prompts and the mean features of the positives
and of the negatives, 32 principal components each (refitted on the test set). Feature channels do not carry over to
other classes and models, so these 64 are relational numbers here; the eight statistics are the same, with cosine
distances.

| numbers | names | what |
|---|---|---|
| 0 to 5 | `feature_positive`, `feature_negative`, `feature_cross`, `physical_positive`, `physical_negative`, `physical_cross` | mean distance of all pairs within the positives, within the negatives, across; cosine distance of the patch tokens, in [0, 2]; distance in the image, share of its diagonal; 0 where there is no pair |
| 6, 7 | `positives`, `negatives` | points of the set / 48 |
| 8 to 39 | `<kind>_<rank>_log_odds`, `<kind>_<rank>_<error or logit>` | the four candidates of each kind of action, in the order of the actions: log odds / 10 of the prior there, and for additions the root of the mean error around it, for removals the mask's logit / 10 there; 0 where there is no candidate |
| 40 | `prior_area` | mean of the prior p over the image |
| 41 | `prior_sureness` | mean of abs(2 p - 1) |
| 42 | `prior_parts` | log(1 + connected parts of p > .5) / 5 |
| 43 | `prior_largest` | share of the largest part in p > .5 |
| 44 | `prior_contrast` | 1 - cosine of the mean tokens where p > .5 and elsewhere |
| 45 | `dense` | 1 where the set has a dense prompt |
| 46 | `area` | share of the image that the mask covers |
| 47 | `predicted_iou` | SAM's own estimate |
| 48 | `stability` | area at logit +1 / area at logit -1 |
| 49 | `expected_iou` | IoU with the truth that p expects |
| 50, 51 | `precision`, `recall` | mean p inside of the mask; share of p inside of it |
| 52 | `outside` | mean p outside of the mask |
| 53 | `parts` | log(1 + connected parts of the mask) / 5 |
| 54 | `contrast` | as `prior_contrast`, of the mask |
| 55 | `logit_spread` | mean abs(logit) / 10 |
| 56 | `disagreement` | mean abs(p - mask) |
| 57 | `remaining` | share of the horizon that is left |
| 58, 59, 60 | `expected_change`, `predicted_change`, `area_change` | what the last action changed of 49, 47, 46 |
| 61, 62 | `iou_previous`, `iou_start` | IoU of the mask with the one before, and with the first |
| 63 | `below_best` | best expected IoU so far minus the current one |
| 64 to 67 | `last_<kind>` | 1 for the kind of the last action |
| 68 to 71 | `legal_<kind>` | share of the kind's candidates that exist |
"""  # noqa: E501 - a table

from __future__ import annotations

import numpy as np
from scipy import ndimage

from gpoa.envs.bubble_episode import LIMIT, BubbleEpisode, BubbleState, Look
from gpoa.envs.bubble_places import CANDIDATES, Kind

NUMBERS = (
    *(f"{space}_{pair}" for space in ("feature", "physical") for pair in ("positive", "negative", "cross")),
    *("positives", "negatives"),
    *(
        f"{kind.name.lower()}_{rank}_{number}"
        for kind in Kind
        for rank in range(CANDIDATES)
        for number in ("log_odds", "error" if kind.adds else "logit")
    ),
    *("prior_area", "prior_sureness", "prior_parts", "prior_largest", "prior_contrast", "dense"),
    *("area", "predicted_iou", "stability", "expected_iou", "precision", "recall", "outside", "parts", "contrast"),
    *("logit_spread", "disagreement", "remaining"),
    *("expected_change", "predicted_change", "area_change", "iou_previous", "iou_start", "below_best"),
    *(f"last_{kind.name.lower()}" for kind in Kind),
    *(f"legal_{kind.name.lower()}" for kind in Kind),
)
"""What each of the 72 is called."""
RANGE = 10.0
"""Numbers are clipped to +- this."""
PARTS_SCALE = 5.0
LOGIT_SCALE = 10.0
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def observe_bubble(episode: BubbleEpisode, state: BubbleState) -> np.ndarray:
    """The observation of a state.

    Returns:
        [72] float32 in [-10, 10], in the order of `NUMBERS`, not scaled yet.
    """
    places = episode.places(state)
    parts = [
        _statistics(episode, state),
        places.numbers.reshape(-1),
        _of_prior(episode),
        _of_mask(episode, state.look),
        _of_change(episode, state),
        [float(state.kind == kind) for kind in Kind],
        places.legal.mean(axis=1),
    ]
    numbers = np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])
    return np.clip(numbers, -RANGE, RANGE)


def _statistics(episode: BubbleEpisode, state: BubbleState) -> list[float]:
    """Mean distances of the points' pairs, and how many points there are."""
    tokens = episode.point_tokens(state)
    xy = state.xy / np.hypot(*episode.image.original_size)
    feature = np.clip(1 - tokens @ tokens.T, 0, 2)
    physical = np.sqrt(((xy[:, None] - xy[None]) ** 2).sum(axis=-1))
    positive, negative = state.labels == 1, state.labels == 0
    pairs = ((positive, positive), (negative, negative), (positive, negative))
    means = [_mean_distance(matrix, *pair) for matrix in (feature, physical) for pair in pairs]
    return [*means, positive.sum() / LIMIT, negative.sum() / LIMIT]


def _mean_distance(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> float:
    """Mean over all pairs of two groups of points, a point with itself left out; 0 where there is no pair."""
    block = matrix[np.ix_(rows, columns)]
    same = rows is columns
    pairs = block.size - (len(block) if same else 0)
    total = block.sum() - (np.trace(block) if same else 0)
    return float(total / pairs) if pairs else 0.0


def _of_prior(episode: BubbleEpisode) -> list[float]:
    """What the prior says of the image; the same in every state."""
    if episode.prior_numbers is None:
        values = episode.cells[episode.inside]
        labelled, count = ndimage.label(episode.cells > 0.5, EIGHT_NEIGHBOURS)
        sizes = np.bincount(labelled.reshape(-1))[1:]
        largest = float(sizes.max() / sizes.sum()) if count else 0.0
        sureness = float(np.abs(2 * values - 1).mean())
        contrast = _contrast(episode, episode.cells)
        dense = float(episode.image.start.mask_prompt is not None)
        episode.prior_numbers = [float(values.mean()), sureness, _parts(count), largest, contrast, dense]
    return episode.prior_numbers


def _of_mask(episode: BubbleEpisode, look: Look) -> list[float]:
    """What the segmenter and the prior say of the current mask."""
    prior, covered = episode.cells[episode.inside], look.cells[episode.inside]
    shared, area, total = float((prior * covered).sum()), float(covered.sum()), float(prior.sum())
    outside = len(covered) - area
    return [
        area / len(covered),
        look.predicted_iou,
        look.stability,
        look.expected_iou,
        shared / area if area else 0.0,
        shared / total if total else 0.0,
        (total - shared) / outside if outside > 0 else 0.0,
        _parts(ndimage.label(look.cells > 0.5, EIGHT_NEIGHBOURS)[1]),
        _contrast(episode, look.cells),
        float(np.abs(look.logits[episode.inside].astype(np.float32)).mean()) / LOGIT_SCALE,
        float(np.abs(prior - covered).mean()),
    ]


def _of_change(episode: BubbleEpisode, state: BubbleState) -> list[float]:
    """What is left, and what the last action changed."""
    look, before, count = state.look, state.previous, int(episode.inside.sum())
    return [
        1 - state.step / episode.horizon,
        look.expected_iou - before.expected_iou,
        look.predicted_iou - before.predicted_iou,
        float((look.cells - before.cells).sum()) / count,
        _overlap(look.cells, before.cells),
        _overlap(look.cells, state.first.cells),
        state.best - look.expected_iou,
    ]


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Soft IoU of two coverages; 1 where both are empty."""
    union = float(np.maximum(one, other).sum())
    return float(np.minimum(one, other).sum()) / union if union else 1.0


def _contrast(episode: BubbleEpisode, cells: np.ndarray) -> float:
    """1 - cosine of the mean tokens inside and outside of a coverage; 0 where one of the two is empty."""
    inside = cells[tuple(episode.patch_cells.T)] > 0.5
    if not inside.any() or inside.all():
        return 0.0
    tokens = episode.image.tokens
    weights = np.stack([inside / inside.sum(), ~inside / (~inside).sum()]).astype(np.float32)
    one, other = weights @ tokens
    return float(1 - one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-6))


def _parts(count: int) -> float:
    """A number of connected parts on a short scale."""
    return float(np.log1p(count)) / PARTS_SCALE
