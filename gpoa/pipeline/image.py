"""The stages of one image, wired together.

    reference + mask --fit--> matcher
    target --initial_prompts--> PromptRecord --optimize--> PromptRecord --segment--> mask

`gpoa.pipeline.folder` runs these stages over folders, `gpoa.pipeline.one_shot` is what Python users call. Legend: sizes
are (H, W), points are (x, y).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpoa.config import LEARNED, GpoaConfig, SegmentConfig, StrategyName, digest
from gpoa.datasets.options import NO_OPTIONS, MaskOptions
from gpoa.datasets.pages import reading_parts
from gpoa.datasets.prompt_file import PromptRecord
from gpoa.datasets.shots import ImageLike, load_shot, to_pixels, zip_shots
from gpoa.envs.episode import PromptEpisode
from gpoa.errors import DataError
from gpoa.features.cache import EmbeddingCache, image_digest
from gpoa.geometry import logits_to_patches
from gpoa.matching.folder import FolderMatcher
from gpoa.matching.nearest import forward_matches
from gpoa.matching.presence import presence, sureness
from gpoa.matching.prior.maps import MIDDLE
from gpoa.matching.reference import make_reference
from gpoa.models.store import find_prior
from gpoa.pipeline.agent import Agent, open_episode
from gpoa.pipeline.backbones import Backbones
from gpoa.pipeline.bubble import Sb3Agent
from gpoa.pipeline.prediction import Prediction
from gpoa.pipeline.prior_choice import choose_with_prior, take_prior
from gpoa.pipeline.prompting import Prompter, on_grid
from gpoa.pipeline.record_checks import check_models, check_size
from gpoa.pipeline.reference import Fitted, fit_prior_reference, fit_reference, read_reference, write_reference
from gpoa.search.judges import Evidence, make_judge
from gpoa.search.strategies import Optimized, Search, Trial, optimize
from gpoa.segmenters.base import upscale_logits
from gpoa.segmenters.choosing import decode_chosen, decode_masks
from gpoa.segmenters.components import component_prompts
from gpoa.segmenters.embedding_tokens import embedding_tokens
from gpoa.types import PointPrompts, ScoreMap

if TYPE_CHECKING:
    from gpoa.matching.prior.model import Prior

EMPTY = PointPrompts(np.empty((0, 2), dtype=np.float32), np.empty(0, dtype=np.int64))


class ImagePipeline:
    """All stages for one image at a time, after one or more references.

    Args:
        config: every choice; the default is the measured best.
        cache: embedding cache; default: the user's.

    Raises:
        ModelError: a model is unknown, or missing and cannot be fetched.
        ConfigError: the device does not exist.
    """

    def __init__(self, config: GpoaConfig | None = None, cache: EmbeddingCache | None = None) -> None:
        self.config = config or GpoaConfig()
        self.backbones = Backbones(self.config, cache)
        self.agent = Agent(self.config, self.backbones.ids)
        self.sb3_agent = Sb3Agent(self.config, self.backbones.ids)
        self.shots: list[tuple[np.ndarray, np.ndarray]] = []
        self._fitted: Fitted | None = None
        self._folder: FolderMatcher | None = None
        self._prior: Prior | None = None
        self._prior_digest: str | None = None

    @property
    def fitted(self) -> Fitted:
        """What `fit` learned.

        Raises:
            DataError: `fit` was not called.
        """
        if self._fitted is None:
            raise DataError("no reference yet: call fit(reference, mask) first")
        return self._fitted

    @property
    def is_fitted(self) -> bool:
        """Whether a reference is known."""
        return self._fitted is not None

    @property
    def prompter(self) -> Prompter:
        """Score maps and prompt sets from what `fit` learned.

        Raises:
            DataError: `fit` was not called.
        """
        return Prompter(self.config, self.fitted, self.backbones, self.prior)

    @property
    def prior(self) -> Prior | None:
        """The trained prior, loaded once; None where another matcher is chosen.

        Raises:
            ModelError: there is none, or it does not fit this version.
        """
        if self.config.matching.method != "prior":
            return None
        if self._prior is None:
            from gpoa.matching.prior.model import load_prior

            path = find_prior(self.config.matching.prior)
            self._prior, self._prior_digest = load_prior(path), digest(path.read_bytes().hex())
        return self._prior

    @property
    def strategy(self) -> StrategyName:
        """The strategy in use: what `auto` stands for here.

        Raises:
            ModelError: a policy that the user named cannot be used.
        """
        if self.config.optimize.strategy == "auto" and self.config.matching.method == "prior":
            posterior = self._fitted is not None and self.config.segment == SegmentConfig()
            return "posterior" if posterior else "none"
        return self.agent.strategy(has_reference=self._fitted is not None)

    def fit(
        self,
        references: ImageLike | Sequence[ImageLike],
        masks: ImageLike | Sequence[ImageLike],
        options: MaskOptions = NO_OPTIONS,
    ) -> ImagePipeline:
        """Fits the matcher to the reference images and their masks.

        Args:
            references: one image or k images: paths, or [H, W, 3] uint8 RGB.
            masks: as many masks: paths, or [H, W] bool, integer or float.
            options: what the object is, where the masks' values do not say so.

        Returns:
            The pipeline itself.

        Raises:
            ImageError, MaskError: a file cannot be used.
            DataError: the numbers of images and masks differ.
        """
        reading = self.config.reading
        shots = [load_shot(image, mask, options, reading) for image, mask in zip_shots(references, masks)]
        pairs = [(self.backbones.features(image), mask) for image, mask in shots]
        grid = pairs[0][0].grid_size
        tokens = np.concatenate([embedding_tokens(self.backbones.embedding(image), grid) for image, _ in shots])
        self.shots = shots
        names = [image_digest(image) + image_digest(mask[..., None]) for image, mask in shots]
        fitted = fit_reference(self.config.matching, make_reference(pairs), tokens, digest(names))
        if self.prior is not None:
            cells = [embedding_tokens(self.backbones.embedding(image), (MIDDLE, MIDDLE)) for image, _ in shots]
            layers = self.backbones.joined_layers
            fitted = replace(fitted, prior=fit_prior_reference(shots, fitted.reference, cells, layers))
        self._fitted, self._folder = fitted, None
        return self

    def save_reference(self, path: Path) -> None:
        """Writes the labelled patches, so that `gpoa optimize` runs without the reference images."""
        write_reference(path, self.fitted, self.backbones.ids)

    def load_reference(self, path: Path) -> ImagePipeline:
        """Learns from labelled patches that `save_reference` wrote.

        Raises:
            PromptError: the file is damaged, or was made by other models than the ones in use.
        """
        fitted, models = read_reference(path, self.config.matching)
        check_models(path, models, self.backbones.ids)
        self._fitted, self._folder = fitted, None
        return self

    def predict(self, image: ImageLike) -> Prediction:
        """Segments one image.

        Args:
            image: a path, or [H, W, 3] uint8 RGB.

        Returns:
            The mask, and how it came about.

        Raises:
            ImageError: the image cannot be read.
            DataError: `fit` was not called.
        """
        name = "array" if isinstance(image, np.ndarray) else Path(image).name
        pixels = to_pixels(image, self.config.reading)
        initial = self.initial_prompts(pixels, name)
        optimized, search = self.optimize(pixels, initial)
        return Prediction(self.segment(pixels, optimized, search), initial, optimized, search)

    def first_mask(self, image: np.ndarray, record: PromptRecord) -> np.ndarray:
        """The mask of an initial set on the patch grid: [P] float32, the share of each patch that it covers."""
        features, embedding = self.backbones.features(image), self.backbones.embedding(image)
        if record.prompts.is_empty:
            return np.zeros(len(features.tokens), dtype=np.float32)
        logits = decode_chosen(self.backbones.segmenter, embedding, [record.prompts]).low_res_logits[0, 0]
        size = (image.shape[0], image.shape[1])
        return logits_to_patches(logits, size, features.grid_size).reshape(-1)

    def learn_folder(self, first_masks: Sequence[tuple[np.ndarray, np.ndarray]]) -> ImagePipeline:
        """Learns from first masks of other images of the folder, for the learned strategies; see
        `gpoa.matching.folder`.

        Args:
            first_masks: (image [H, W, 3] uint8 RGB, what `first_mask` returned for it); masks that cover nothing are
                passed over.

        Returns:
            The pipeline itself.

        Raises:
            DataError: `fit` was not called.
        """
        known = {
            image_digest(image): (self.backbones.features(image).tokens, mask)
            for image, mask in first_masks
            if mask.max() > 0
        }
        graph, penalty = self.config.graph, self.config.matching.ridge_lambda
        self._folder = FolderMatcher(self.fitted.reference, known, graph.folder_trust, penalty)
        return self

    def initial_prompts(self, image: np.ndarray, name: str, score_map: ScoreMap | None = None) -> PromptRecord:
        """From a target to its initial prompt set.

        Args:
            image: [H, W, 3] uint8 RGB.
            name: the image's file name.
            score_map: of the image, where it is known already.

        Returns:
            The record; its status is "absent", without prompts, where nothing looks like the object.
        """
        fitted, config = self.fitted, self.config
        features = self.backbones.features(image)
        score_map = score_map or self.prompter.score_map(image)
        matches = None
        if config.matching.method == "nearest":
            matches = forward_matches(fitted.reference, features.tokens, config.matching.cycle_check)
        candidates, prompts = self.prompter.prompts(score_map, features, matches)
        similarity = presence(fitted.reference, features.tokens)
        alike = similarity >= config.threshold.presence
        # A similarity alone misses grey copies of colour images and tiny objects, of which the prior may be sure.
        present = not prompts.is_empty and (alike or sureness(score_map) >= config.threshold.sureness)
        return PromptRecord(
            image=name,
            original_size=(image.shape[0], image.shape[1]),
            prompts=prompts if present else EMPTY,
            score_map=score_map,
            patch_index=candidates.patch_index if present else None,
            scores=candidates.scores if present else None,
            status="ok" if present else "absent",
            provenance={
                "models": self.backbones.ids,
                "digest": self.prompt_digest(),
                "stage": "initial",
                "presence": round(similarity, 4),
            },
        )

    def optimize(self, image: np.ndarray, record: PromptRecord) -> tuple[PromptRecord, Optimized | None]:
        """Improves a prompt set without ground truth.

        Args:
            image: [H, W, 3] uint8 RGB.
            record: initial prompts, ours or a user's own.

        Returns:
            (the improved record, all trials); the record unchanged and None where the object is absent.

        Raises:
            PromptError: the prompts do not fit the image or the models in use.
        """
        self.check_record(image, record)
        if record.status == "absent" or record.prompts.is_empty:
            return replace(record, status="absent", confidence=0.0), None
        settings = self.config.optimize
        if self.strategy in LEARNED:
            return self._optimize_by_agent(image, record)
        if self.strategy in ("prior", "posterior", "sb3"):
            return self._by_prior(image, record)
        embedding = self.backbones.embedding(image)
        judge = make_judge(settings.judge, self._evidence(image, record))
        search = Search(lambda sets: decode_chosen(self.backbones.segmenter, embedding, sets), judge, settings.budget)
        rng = np.random.default_rng(settings.seed)
        result = optimize(self.strategy, record.prompts, search, rng, settings.margin)
        facts = {
            "judge": settings.judge,
            "decoder_calls": len(result.trials),
            "start_score": round(result.trials[0].score, 5),
        }
        return self._improved(record, result.best, facts), result

    def _improved(self, record: PromptRecord, best: Trial, facts: dict[str, Any]) -> PromptRecord:
        """The record with the prompts of a trial, and with how they came about."""
        how = {"stage": "optimized", "strategy": self.strategy, "choice": best.name, **facts}
        return replace(
            record,
            prompts=best.prompts,
            patch_index=None,
            scores=None,
            confidence=best.score,
            provenance={**record.provenance, **how},
        )

    def _by_prior(self, image: np.ndarray, record: PromptRecord) -> tuple[PromptRecord, Optimized]:
        """The prior's own mask, the one that it makes together with the segmenter, or the best that an agent visits."""
        score_map = record.score_map if record.score_map is not None else self.prompter.score_map(image)
        ways = {"prior": take_prior, "posterior": choose_with_prior, "sb3": self.sb3_agent.improve}
        result, facts = ways[self.strategy](self.backbones, self.config, image, record, score_map)
        return self._improved(record, result.best, facts), result

    def _optimize_by_agent(self, image: np.ndarray, record: PromptRecord) -> tuple[PromptRecord, Optimized]:
        """Improves a prompt set with the trained policy and its quality head."""
        result, facts = self.agent.improve(self.open_episode(image, record), self.strategy)
        facts["folder_images"] = 0 if self._folder is None else len(self._folder)
        return self._improved(record, result.best, facts), result

    def open_episode(
        self, image: np.ndarray, record: PromptRecord, compare: Callable[[np.ndarray], float] | None = None
    ) -> PromptEpisode:
        """The image as a decision process for the agent; see `gpoa.pipeline.agent.open_episode`.

        Raises:
            DataError: `fit` was not called.
        """
        return open_episode(self.backbones, self.prompter, self._folder, image, record, compare)

    def segment(self, image: np.ndarray, record: PromptRecord, search: Optimized | None = None) -> np.ndarray:
        """From prompts to a mask.

        Args:
            image: [H, W, 3] uint8 RGB.
            record: prompts, ours or a user's own.
            search: the outcome of `optimize` on the same image, whose last mask need not be decoded again.

        Returns:
            [H, W] bool at the image's original size; all False where the object is absent.

        Raises:
            PromptError: the prompts do not fit the image or the models in use.
        """
        self.check_record(image, record)
        size = (image.shape[0], image.shape[1])
        if record.status == "absent" or record.prompts.is_empty:
            return np.zeros(size, dtype=bool)
        embedding = self.backbones.embedding(image)
        joint = self.config.segment.mode == "joint"
        if search is not None and joint and self.config.segment.multimask == "single":
            return upscale_logits(search.best.logits, embedding.input_size, size) > 0
        sets = [record.prompts] if joint else component_prompts(record.prompts, record.score_map, size)
        mask = np.zeros(size, dtype=bool)
        for logits in decode_masks(self.backbones.segmenter, embedding, sets, self.config.segment.multimask):
            mask |= upscale_logits(logits, embedding.input_size, size) > 0
        return mask

    def prompt_digest(self) -> str:
        """Names everything that shapes the initial prompts of an image."""
        config = self.config
        parts = [self.fitted.digest, self.backbones.ids, config.matching, config.threshold, config.candidates]
        return digest(*parts, self._prior_digest, *reading_parts(config.reading))

    def run_digest(self) -> str:
        """Names everything that shapes the mask of an image."""
        config = self.config
        parts = [self.prompt_digest(), config.optimize, config.segment, config.models.precision]
        if self.strategy in LEARNED:
            _ = self.agent.policy  # loaded before the first image, so that a wrong one is refused at once
            parts += [config.graph, self.agent.digest]
        return digest(*parts, *([self.sb3_agent.digest] if self.strategy == "sb3" else []))

    def check_record(self, image: np.ndarray, record: PromptRecord) -> None:
        """Refuses prompts of another image size, or made by other models than the ones in use.

        Raises:
            PromptError: says what differs, or which point lies outside, and what to do.
        """
        check_size(image, record)
        check_models(record.image, record.provenance.get("models"), self.backbones.ids)

    def _evidence(self, image: np.ndarray, record: PromptRecord) -> Evidence:
        """What the judge may look at; without a score map (a user's own file) the dense part is flat."""
        features = self.backbones.features(image)
        score_map = record.score_map
        if score_map is None and self._fitted is not None:
            score_map = self.prompter.score_map(image)
        if score_map is not None:
            score_map = on_grid(score_map, features.grid_size)
        reference = None if self._fitted is None else self._fitted.reference
        return Evidence(score_map=score_map, features=features, reference=reference)
