"""One image's mask with the learned prior: its own, or fused with the segmenter's."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpoa.config import GpoaConfig
from gpoa.datasets.prompt_file import PromptRecord
from gpoa.errors import PromptError
from gpoa.pipeline.backbones import Backbones
from gpoa.search.posterior import choose_by_posterior, prior_itself, prompt_sets
from gpoa.search.strategies import Optimized
from gpoa.types import ScoreMap


def take_prior(
    backbones: Backbones, config: GpoaConfig, image: np.ndarray, record: PromptRecord, score_map: ScoreMap
) -> tuple[Optimized, dict[str, Any]]:
    """The prior's own mask, without the segmenter.

    Args:
        backbones: as in `choose_with_prior`; not used.
        config: likewise.
        image: [H, W, 3] uint8 RGB.
        record: the initial prompts.
        score_map: of the image, by the prior.

    Returns:
        (the one trial, facts for the record's provenance).

    Raises:
        PromptError: the score map is not the prior's.
    """
    _check_detail(record, score_map)
    own = prior_itself(record.prompts, score_map, (image.shape[0], image.shape[1]))
    return Optimized(own, [own]), {"decoder_calls": 0}


def choose_with_prior(
    backbones: Backbones, config: GpoaConfig, image: np.ndarray, record: PromptRecord, score_map: ScoreMap
) -> tuple[Optimized, dict[str, Any]]:
    """Decodes the initial set, and more of the fixed list as the budget allows, and fuses its masks with the prior.

    Args:
        backbones: the models in use.
        config: every choice.
        image: [H, W, 3] uint8 RGB.
        record: the initial prompts.
        score_map: of the image, by the prior.

    Returns:
        (all trials, facts for the record's provenance).

    Raises:
        PromptError: the score map is not the prior's.
    """
    _check_detail(record, score_map)
    size = (image.shape[0], image.shape[1])
    embedding = backbones.embedding(image)
    result = choose_by_posterior(
        prompt_sets(record.prompts, score_map, size, config.candidates.prior_gain),
        lambda sets: backbones.segmenter.decode(embedding, sets, all_outputs=True),
        score_map,
        size,
        config.optimize.posterior_budget,
    )
    facts = {
        "decoder_calls": sum(trial.prompts.mask_output == 0 for trial in result.trials),
        "start_score": round(result.trials[0].score, 5),
    }
    return result, facts


def _check_detail(record: PromptRecord, score_map: ScoreMap) -> None:
    """Refuses a score map that another matcher made."""
    if score_map.detail is None:
        raise PromptError(
            f"{record.image}: these prompts were not made with the prior; make them again with `gpoa prompts`, or "
            "choose another --optimize.strategy"
        )
