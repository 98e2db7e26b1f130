"""SAM's prompt encoder and mask decoder in torch, shared by every backend of the first SAM family.

Legend: `B` prompt sets, `M` masks a set.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gpoa.models.sam_modules import build_decoder_modules
from gpoa.runtime.machine import fastest_type
from gpoa.segmenters.fast_decoder import FastDecoder, ImageSide, PromptTokens, stack_tokens, tokens_of
from gpoa.segmenters.segmenter import DecoderType, Job

if TYPE_CHECKING:
    import torch

GPU_BATCH, GPU_IMAGES, CPU_IMAGES = 64, 32, 4
"""Prompt sets a call of a GPU, and images (10 MB each) whose share of the work is kept."""
PAD_TO = 8
"""With padding, sets share a call when their numbers of tokens round up to the same multiple."""


class SamDecoder:
    """Decodes prompt sets of SAM's first family; sets of several images may share a call.

    Args:
        prompt_encoder: `segment_anything.modeling.PromptEncoder`.
        mask_decoder: `segment_anything.modeling.MaskDecoder`.
        device: torch device.
        dtype: of the large products. float32 gives the masks of `SamPredictor` to rounding; see `fast_decoder`.
        pad: sets of similar size share a call, the shorter ones filled up with tokens that nothing attends to; by
            default on GPUs only.

    Attributes:
        batch_size: prompt sets a call.
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
        self._sides: dict[int, tuple[weakref.ref, int, ImageSide]] = {}

    def group(self, job: Job) -> tuple[int, int, bool]:
        """Sets share a call that have one number of tokens (with padding: nearly), all with a mask prompt or none."""
        length = len(tokens_of(job.prompts, job.embedding.original_size)[1])
        if self.pad:
            length = -(-length // PAD_TO)
        return job.image if self.batch_size == 1 else 0, length, job.prompts.mask_prompt is None

    def call(self, batch: Sequence[Job], wanted: slice) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call; all four masks cost what one costs.

        Args:
            batch: B prompt sets of one group.
            wanted: which of the four masks, the single one first.

        Returns:
            Masks [B, M, 256, 256] and their predicted IoU [B, M], float32.
        """
        import torch

        tokens = [tokens_of(job.prompts, job.embedding.original_size) for job in batch]
        prompts = stack_tokens(tokens, [job.prompts.mask_prompt for job in batch])
        features = {job.image: job.embedding.features for job in batch}
        try:
            sides = [self._side(one) for one in features.values()]
            side, owner = sides[0], None
            if len(sides) > 1:
                side = ImageSide(torch.cat([one.keys for one in sides]), torch.cat([one.projected for one in sides]))
                owner = [list(features).index(job.image) for job in batch]
            masks, iou = self.core.predict(side, prompts, owner)
        except torch.cuda.OutOfMemoryError:
            self._sides.clear()
            raise
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
        On a CPU the faster of float32 and bfloat16 (`gpoa.runtime.machine.fastest_type`); on CUDA float16, which keeps
        three bits more than bfloat16; elsewhere float32.
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
