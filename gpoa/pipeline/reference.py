"""What a reference leaves behind: the labelled patches and the matcher that they make, in memory and in a file."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpoa.config import MatchingConfig
from gpoa.errors import PromptError
from gpoa.geometry import area_mean
from gpoa.matching.classifier import Matcher, fit_matcher
from gpoa.matching.prior.maps import MIDDLE, PriorReference
from gpoa.matching.prior.pixels import SIDE, to_square
from gpoa.matching.reference import Reference
from gpoa.matching.threshold import reference_threshold
from gpoa.runtime.atomic import write_atomic


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was learned of the object.

    Args:
        reference: the labelled patches of the feature model.
        segmenter_reference: the same patches as the segmenter's embedding has them.
        matcher: tokens [P, D] -> scores [P].
        threshold: the score that segments the reference best.
        digest: names the reference images and masks.
        prior: what the learned prior compares targets with; None where it is not used.
    """

    reference: Reference
    segmenter_reference: Reference
    matcher: Matcher
    threshold: float
    digest: str
    prior: PriorReference | None = None


def fit_reference(config: MatchingConfig, reference: Reference, segmenter_tokens: np.ndarray, digest: str) -> Fitted:
    """Fits the matcher and its threshold to labelled patches.

    Args:
        config: which matcher.
        reference: the labelled patches.
        segmenter_tokens: [P, 256] float32, the segmenter's embedding at the same patches.
        digest: names the reference images and masks.
    """
    matcher = fit_matcher(config, reference)
    return Fitted(
        reference=reference,
        segmenter_reference=Reference(tokens=segmenter_tokens, foreground=reference.foreground),
        matcher=matcher,
        threshold=reference_threshold(matcher(reference.tokens), reference.labels),
        digest=digest,
    )


def fit_prior_reference(
    shots: Sequence[tuple[np.ndarray, np.ndarray]], reference: Reference, cells: Sequence[np.ndarray], layers: int
) -> PriorReference:
    """Fits what the learned prior compares targets with.

    Args:
        shots: (image [H, W, 3] uint8 RGB, mask [H, W] bool) of each reference.
        reference: their labelled patches.
        cells: [4096, C] float32 of each reference: the segmenter's embedding on 64 x 64 cells.
        layers: how many layers a token joins.
    """
    shares = np.concatenate([area_mean(mask, (MIDDLE, MIDDLE)).reshape(-1) for _, mask in shots])
    segmenter = Reference(tokens=np.concatenate(cells), foreground=shares)
    squares = [to_square(image) for image, _ in shots]
    masks = [area_mean(mask, (SIDE, SIDE)) for _, mask in shots]
    return PriorReference(reference, layers, None if segmenter.labels.all() else segmenter, squares, masks)


def write_reference(path: Path, fitted: Fitted, models: dict[str, str]) -> None:
    """Writes the labelled patches and the names of the models that they come from; DataError where it cannot."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        tokens=fitted.reference.tokens,
        foreground=fitted.reference.foreground,
        segmenter_tokens=fitted.segmenter_reference.tokens,
        digest=fitted.digest,
        models=json.dumps(models),
    )
    write_atomic(path, content.getvalue())


def read_reference(path: Path, config: MatchingConfig) -> tuple[Fitted, dict[str, str]]:
    """What `write_reference` wrote, fitted anew, and the names of its models.

    Raises:
        PromptError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            reference = Reference(tokens=arrays["tokens"], foreground=arrays["foreground"])
            segmenter_tokens = arrays["segmenter_tokens"]
            digest, models = str(arrays["digest"]), json.loads(str(arrays["models"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise PromptError(f"{path}: damaged ({error}); make it again with `gpoa prompts`") from error
    return fit_reference(config, reference, segmenter_tokens, digest), models
