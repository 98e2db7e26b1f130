"""From a target image to its initial prompts, with what was learned of the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gpoa.config import GpoaConfig
from gpoa.geometry import area_mean
from gpoa.graph.nodes import PromptSource
from gpoa.matching.candidates import make_candidates, to_prompts
from gpoa.matching.folder import FolderMatcher
from gpoa.matching.nearest import Matches
from gpoa.matching.prior.maps import MIDDLE
from gpoa.matching.threshold import to_score_map
from gpoa.pipeline.backbones import Backbones
from gpoa.pipeline.reference import Fitted
from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.types import CandidatePoints, PatchFeatures, PointPrompts, ScoreMap, Size

if TYPE_CHECKING:
    from gpoa.matching.prior.model import Prior

DETAIL_LIMIT = 12.0
"""Log odds of the prior are clipped here."""


@dataclass(frozen=True, eq=False)
class Prompter:
    """Makes score maps and prompt sets of targets.

    Args:
        config: matching, threshold and candidates.
        fitted: what was learned of the reference.
        backbones: the frozen models.
        prior: the trained network, where that is the method.
    """

    config: GpoaConfig
    fitted: Fitted
    backbones: Backbones
    prior: Prior | None = None

    def score_map(self, image: np.ndarray) -> ScoreMap:
        """How much each part of a target looks like the reference's foreground.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            From the prior: log odds, `values` on 64 x 64 cells; from another matcher: its scores on the patch grid.
        """
        features = self.backbones.features(image)
        if self.prior is not None and self.fitted.prior is not None:
            cells = embedding_tokens(self.backbones.embedding(image), (MIDDLE, MIDDLE))
            maps = self.fitted.prior.maps(features, cells, image)
            return prior_score_map(self.prior.logits(maps))
        scores = self.fitted.matcher(features.tokens)
        return to_score_map(scores, features.grid_size, self.config.threshold, self.fitted.threshold)

    def prompts(
        self, score_map: ScoreMap, features: PatchFeatures, matches: Matches | None = None
    ) -> tuple[CandidatePoints, PointPrompts]:
        """The points of a score map, and the set that they start as.

        Args:
            score_map: the target's scores.
            features: the target's features.
            matches: of GPOA's nearest neighbour, where that is the method.
        """
        candidates = make_candidates(score_map, features, self.config.candidates, matches)
        return candidates, to_prompts(candidates, score_map, features, self.config.candidates)

    def folder_source(self, folder: FolderMatcher | None, key: str, features: PatchFeatures) -> PromptSource | None:
        """The prompts that the reference and the other images of the folder make; None where there are none.

        Args:
            folder: what was learned of the folder.
            key: `image_digest` of the target, whose own first mask has no say.
            features: the target's features.
        """
        learned = None if folder is None else folder.fit(leave_out=key)
        if learned is None:
            return None
        matcher, threshold = learned
        score_map = to_score_map(matcher(features.tokens), features.grid_size, self.config.threshold, threshold)
        prompts = self.prompts(score_map, features)[1]
        return None if prompts.is_empty else PromptSource(prompts, score_map)


def prior_score_map(logits: np.ndarray) -> ScoreMap:
    """The prior's log odds as a score map, rounded as a prompt file rounds it.

    Args:
        logits: [256, 256] log odds over the whole image.

    Returns:
        `values` [64, 64], the largest log odds in each cell, so that nothing thin or small is averaged away; `detail`
        is the whole map.
    """
    detail = np.clip(logits, -DETAIL_LIMIT, DETAIL_LIMIT).astype(np.float16).astype(np.float32)
    step = len(detail) // MIDDLE
    values = detail.reshape(MIDDLE, step, MIDDLE, step).max(axis=(1, 3))
    return ScoreMap(values=values, threshold=0.0, scale=1.0, detail=detail)


def on_grid(score_map: ScoreMap, grid_size: Size) -> ScoreMap:
    """The prior's score map on the patch grid, where the graph's nodes live; another matcher's is there already.

    Args:
        score_map: of either kind.
        grid_size: (rows, columns) of the patches.
    """
    if score_map.detail is None:
        return score_map
    return replace(score_map, values=area_mean(score_map.detail, grid_size))
