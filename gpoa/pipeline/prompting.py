"""From a target's features to its initial prompts, with what was learned of the reference."""

from __future__ import annotations

from dataclasses import dataclass

from gpoa.config import GpoaConfig
from gpoa.graph.nodes import PromptSource
from gpoa.matching.candidates import make_candidates, to_prompts
from gpoa.matching.folder import FolderMatcher
from gpoa.matching.nearest import Matches
from gpoa.matching.threshold import to_score_map
from gpoa.pipeline.reference import Fitted
from gpoa.types import CandidatePoints, PatchFeatures, PointPrompts, ScoreMap


@dataclass(frozen=True, eq=False)
class Prompter:
    """Makes score maps and prompt sets of targets.

    Args:
        config: matching, threshold and candidates.
        fitted: what was learned of the reference.
    """

    config: GpoaConfig
    fitted: Fitted

    def score_map(self, features: PatchFeatures) -> ScoreMap:
        """The matcher's scores of a target."""
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
