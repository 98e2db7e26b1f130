"""SAM's prompt encoder and mask decoder in torch, shared by every backend of the first SAM family.

Legend: `B` prompt sets, `M` masks a set.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from gpoa.geometry import LOW_RES_SIDE
from gpoa.models.sam_modules import build_decoder_modules
from gpoa.runtime.machine import fastest_type
from gpoa.runtime.memory import give_memory_back, if_it_fits
from gpoa.segmenters.fast_decoder import FastDecoder, ImageSide, PromptTokens, stack_tokens, tokens_of
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

if TYPE_CHECKING:
    import torch

DecoderType = Literal["float32", "bfloat16", "float16", "auto"]
"""What the large products are made in; auto measures, see `type_for`."""
GPU_BATCH, GPU_IMAGES, CPU_IMAGES = 64, 32, 4
"""Prompt sets a call of a GPU, and images (10 MB each) whose share of the work is kept."""
PAD_TO = 8
"""With padding, sets share a call when their numbers of tokens round up to the same multiple."""


class _Job(NamedTuple):
    """One prompt set on its way: its image, its place among that image's sets, and its tokens."""

    image: int
    place: int
    tokens: tuple[np.ndarray, np.ndarray]
    mask: np.ndarray | None


class SamDecoder:
    """Decodes prompt sets from image embeddings.

    Args:
        prompt_encoder: `segment_anything.modeling.PromptEncoder`.
        mask_decoder: `segment_anything.modeling.MaskDecoder`.
        device: torch device.
        dtype: of the large products. float32 gives the masks of `SamPredictor` to rounding; see `fast_decoder`.
        pad: sets of similar size share a call, the shorter ones filled up with tokens that nothing attends to; by
            default on GPUs only.
    """

    def __init__(
        self,
        prompt_encoder: torch.nn.Module,
        mask_decoder: torch.nn.Module,
        device: str = "cpu",
        dtype: DecoderType = "float32",
        pad: bool | None = None,
    ) -> None:
        self.prompt_encoder = prompt_encoder.eval().to(device)
        self.mask_decoder = mask_decoder.eval().to(device)
        self.device, self.on_cpu = device, device == "cpu"
        self.dtype = type_for(self.prompt_encoder, self.mask_decoder, device) if dtype == "auto" else dtype
        self.pad = not self.on_cpu if pad is None else pad
        # Sets share a call on a GPU; on a CPU larger batches are slower a set (measured, DESIGN 6).
        self.batch_size = 1 if self.on_cpu else GPU_BATCH
        self.core = FastDecoder(self.prompt_encoder, self.mask_decoder, device, self.dtype)
        self._warned = False
        self._sides: dict[int, tuple[weakref.ref, int, ImageSide]] = {}

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image.

        Args:
            embedding: from the backend's `encode`.
            prompts: B prompt sets.
            multimask_output: three masks a set instead of one.
            all_outputs: all four masks a set, the single one first; they cost one call like any.

        Returns:
            low_res_logits [B, M, 256, 256] and iou_predictions [B, M], M being 1, 3 or 4.

        Raises:
            ModelError: the GPU's memory does not hold one prompt set.
        """
        return self.decode_many([embedding], [prompts], multimask_output, all_outputs)[0]

    def decode_many(
        self,
        embeddings: Sequence[ImageEmbedding],
        prompts: Sequence[Sequence[PointPrompts]],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> list[MaskPrediction]:
        """Answers prompt sets on many images; on a GPU, sets of several images share a call.

        Args:
            embeddings: one an image.
            prompts: the sets of each image.
            multimask_output, all_outputs: as in `decode`.

        Returns:
            One prediction an image.

        Raises:
            ValueError: there are not as many embeddings as lists of sets.
            ModelError: the GPU's memory does not hold one prompt set.
        """
        wanted = slice(0, 4) if all_outputs else slice(1, 4) if multimask_output else slice(0, 1)
        count = wanted.stop - wanted.start
        jobs: list[_Job] = []
        answers: list[MaskPrediction] = []
        for image, (embedding, sets) in enumerate(zip(embeddings, prompts, strict=True)):
            for place, one in enumerate(sets):
                jobs.append(_Job(image, place, tokens_of(one, embedding.original_size), one.mask_prompt))
            shape = (len(sets), count)
            masks = np.empty((*shape, LOW_RES_SIDE, LOW_RES_SIDE), dtype=np.float32)
            answers.append(MaskPrediction(masks, np.empty(shape, dtype=np.float32)))
        for batch in self._batches(jobs):
            self._answer(embeddings, batch, wanted, answers)
        return answers

    def _batches(self, jobs: Sequence[_Job]) -> list[list[_Job]]:
        """Sets that share a call: of one number of tokens (with padding: nearly), all with a mask prompt or none."""
        groups: dict[tuple, list[_Job]] = {}
        for job in jobs:
            length = len(job.tokens[1])
            if self.pad:
                length = -(-length // PAD_TO)
            image = job.image if self.batch_size == 1 else 0
            groups.setdefault((image, length, job.mask is None), []).append(job)
        size = self.batch_size
        return [group[i : i + size] for group in groups.values() for i in range(0, len(group), size)]

    def _answer(
        self,
        embeddings: Sequence[ImageEmbedding],
        batch: Sequence[_Job],
        wanted: slice,
        answers: Sequence[MaskPrediction],
    ) -> None:
        """Decodes a batch into `answers`, in smaller calls where it does not fit into the GPU's memory."""
        done = 0
        while done < len(batch):
            part = batch[done : done + self.batch_size]
            call = functools.partial(self._call, embeddings, part, wanted)
            made = if_it_fits(call, len(part), self.device, "one prompt set")
            if made is None:
                self._sides.clear()
                give_memory_back(self.device, len(part), "prompt sets", say_so=not self._warned)
                self._warned, self.batch_size = True, len(part) // 2
                continue
            for job, masks, iou in zip(part, *made, strict=True):
                answers[job.image].low_res_logits[job.place] = masks
                answers[job.image].iou_predictions[job.place] = iou
            done += len(part)

    def _call(
        self, embeddings: Sequence[ImageEmbedding], batch: Sequence[_Job], wanted: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call: masks [B, M, 256, 256] and their predicted IoU [B, M]."""
        import torch

        prompts = stack_tokens([job.tokens for job in batch], [job.mask for job in batch])
        images = sorted({job.image for job in batch})
        sides = [self._side(embeddings[image].features) for image in images]
        side, owner = sides[0], None
        if len(sides) > 1:
            side = ImageSide(torch.cat([one.keys for one in sides]), torch.cat([one.projected for one in sides]))
            owner = [images.index(job.image) for job in batch]
        masks, iou = self.core.predict(side, prompts, owner)
        return masks[:, wanted].cpu().numpy(), iou[:, wanted].cpu().numpy()

    def _side(self, features: torch.Tensor) -> ImageSide:
        """What the decoder prepares once an image; that of the latest images is kept."""
        version = 0 if features.is_inference() else features._version  # counts changes in place
        known = self._sides.pop(id(features), None)
        if known is None or known[0]() is not features or known[1] != version:
            known = weakref.ref(features), version, self.core.image_side(features)
        self._sides[id(features)] = known  # last: the latest one
        while len(self._sides) > (CPU_IMAGES if self.on_cpu else GPU_IMAGES):
            del self._sides[next(iter(self._sides))]
        return known[2]


def type_for(prompt_encoder: torch.nn.Module, mask_decoder: torch.nn.Module, device: str) -> str:
    """What `auto` stands for on a device.

    Reduced types change masks a little (`scripts/benchmark_decoder.py` measures how much): float32 is the default.

    Returns:
        On a CPU the faster of float32 and bfloat16 (`gpoa.runtime.machine.fastest_type`); on CUDA float16, which keeps three
        bits more than bfloat16; elsewhere float32.
    """
    if device != "cpu":
        return "float16" if device.startswith("cuda") else "float32"
    return fastest_type(
        "SAM's decoder", lambda name: _call_of(FastDecoder(prompt_encoder, mask_decoder, device, name))
    )


def _call_of(core: FastDecoder) -> Callable[[], object]:
    """A call on one prompt set with a mask prompt."""
    import torch

    side = core.image_side(torch.zeros(1, 256, 64, 64))
    points, mask = (np.zeros((1, 16, 2), np.float32), np.ones((1, 16), np.int64)), np.zeros((1, 256, 256), np.float32)
    return lambda: core.predict(side, PromptTokens(*points, mask))


def build_sam_decoder(
    state: dict[str, torch.Tensor], device: str = "cpu", dtype: DecoderType = "float32"
) -> SamDecoder:
    """Builds the decoder that all SAM sizes and MobileSAM share.

    Args:
        state: weights, keys `prompt_encoder.*` and `mask_decoder.*`.
        device: torch device.
        dtype: see `SamDecoder`.

    Returns:
        The decoder, every weight loaded (strict).
    """
    prompt_encoder, mask_decoder = build_decoder_modules(state)
    return SamDecoder(prompt_encoder, mask_decoder, device, dtype)
