"""The one segmenter: an image encoder and a prompt decoder, loaded on first use, and around them the only way to embed
images and to answer prompts. A backend says how its weights load, how its encoder wants an image, and how its decoder
is called.

Legend: `B` images or prompt sets of one call, `M` masks a set.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np

from gpoa.geometry import LOW_RES_SIDE, sam_input_size
from gpoa.runtime.memory import Batches, give_memory_back, if_it_fits, upload
from gpoa.runtime.precision import reduced
from gpoa.segmenters.preprocess import preprocess
from gpoa.segmenters.stretched import features_to_padded
from gpoa.types import ImageEmbedding, MaskPrediction, PointPrompts

if TYPE_CHECKING:
    import torch

DecoderType = Literal["float32", "bfloat16", "float16", "auto"]
"""What a decoder's large products are made in; auto measures, see `gpoa.segmenters.sam_decoder.type_for`."""
VIT_BYTES = 640 << 20
"""What a ViT of SAM needs for one image on CUDA. Reasoned from its largest tensors, not measured; where it is too
little, `gpoa.runtime.memory.Batches` halves the batch."""


@dataclass(frozen=True)
class Encoder:
    """A loaded image encoder.

    Args:
        forward: [B, 3, side, side] float32 on the device -> maps [B, ...] by name: those that the decoder needs, and
            `features` [B, 256, 64, 64] in SAM's padded frame, unless `stretched` names the map that it is made of.
        device: where `forward` takes its pixels.
        dtype: of its large products (torch's autocast); float32 where `forward` sees to its types itself.
        frame: [H, W, 3] uint8 RGB -> [1, 3, side, side] float32; by default SAM's padded square.
        stretched: the name of the coarsest map of an encoder that sees the image stretched to a square.
    """

    forward: Callable[[torch.Tensor], dict[str, torch.Tensor]]
    device: str
    dtype: str = "float32"
    frame: Callable[[np.ndarray], np.ndarray] = lambda image: preprocess(image)[0]
    stretched: str | None = None


class Job(NamedTuple):
    """One prompt set on its way: the number of its image, its place among that image's sets, and what is asked."""

    image: int
    place: int
    embedding: ImageEmbedding
    prompts: PointPrompts


class Decoder(Protocol):
    """A loaded prompt decoder.

    Attributes:
        batch_size: prompt sets a call; halved where the device's memory does not hold so many.
    """

    batch_size: int

    def group(self, job: Job) -> Hashable:
        """Jobs with equal answers may share a call."""
        ...

    def call(self, batch: Sequence[Job], wanted: slice) -> tuple[np.ndarray, np.ndarray]:
        """One call: the wanted of four masks, the single one first, [B, M, 256, 256] float32 in SAM's padded frame, and
        their predicted IoU [B, M]."""
        ...


class Backend(Protocol):
    """What tells one segmenter from another; it holds no weights.

    Attributes:
        encoder_bytes: what one image needs on CUDA; None for an encoder that takes one image a call, in float32.
        reduces_decoder: whether its decoder follows `PromptableSegmenter.dtype`.
    """

    @property
    def encoder_bytes(self) -> int | None: ...

    @property
    def reduces_decoder(self) -> bool: ...

    def load(self, device: str, encoder_dtype: str) -> Any:
        """What both halves are made of; ModelError where it cannot be used."""
        ...

    def encoder(self, model: Any, device: str, dtype: str) -> Encoder:
        """The image encoder of what `load` gave."""
        ...

    def decoder(self, model: Any, device: str, dtype: DecoderType) -> Decoder:
        """The decoder of what `load` gave."""
        ...


class PromptableSegmenter:
    """A frozen promptable segmenter, its weights loaded on first use: with cached embeddings no encoder is needed.

    Args:
        backend: which one.
        model_id: names the weights; used as a cache key.
        device: torch device.

    Attributes:
        dtype: of the decoder's large products: float32, bfloat16, float16 or auto; None where it knows float32 only.
        encoder_dtype: of the encoder, see `gpoa.runtime.precision`; None where it knows float32 only. Set both before
            the first image.
        batches: how many images share a call of the encoder; None where each has its own.
    """

    def __init__(self, backend: Backend, model_id: str, device: str = "cpu") -> None:
        self.backend, self.model_id, self.device = backend, model_id, device
        size = backend.encoder_bytes
        self.dtype: DecoderType | None = "float32" if backend.reduces_decoder else None
        self.encoder_dtype: str | None = None if size is None else "float32"
        self.batches = None if size is None else Batches(device, size)
        self._model: Any = None
        self._encoder: Encoder | None = None
        self._decoder: Decoder | None = None
        self._said_full = False

    @property
    def model(self) -> Any:
        """What the backend loads for both halves, loaded once.

        Raises:
            ModelError: it is missing, damaged or another model's.
        """
        if self._model is None:
            self._model = self.backend.load(self.device, self.encoder_dtype or "float32")
        return self._model

    @property
    def encoder(self) -> Encoder:
        """The image encoder, made once; see `model`."""
        if self._encoder is None:
            self._encoder = self.backend.encoder(self.model, self.device, self.encoder_dtype or "float32")
        return self._encoder

    @property
    def decoder(self) -> Decoder:
        """The prompt decoder, made once; see `model`."""
        if self._decoder is None:
            self._decoder = self.backend.decoder(self.model, self.device, self.dtype or "float32")
        return self._decoder

    def encode(self, image: np.ndarray) -> ImageEmbedding:
        """Runs the image encoder.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            The embedding, rounded to float16 (so that a cached copy is bit-equal); further maps that the decoder needs
            are in `extras`.
        """
        return self.encode_many([image])[0]

    def encode_many(self, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
        """Runs the image encoder on images of any sizes, on CUDA as many together as its memory holds; see `encode`.

        Raises:
            ModelError: the weights cannot be used, or the device's memory does not hold one image.
        """
        call = functools.partial(_embed, self.encoder)  # loaded before the free memory is asked for
        if self.batches is None:
            return [call([image])[0] for image in images]
        return self.batches.run(images, call)

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PointPrompts],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> MaskPrediction:
        """Answers B prompt sets on one image.

        Args:
            embedding: from `encode`.
            prompts: B prompt sets.
            multimask_output: three masks a set instead of one.
            all_outputs: all four masks a set, the single one first.

        Returns:
            low_res_logits [B, M, 256, 256] in SAM's padded frame and iou_predictions [B, M], M being 1, 3 or 4.

        Raises:
            ModelError: the weights cannot be used, or the device's memory does not hold one prompt set.
        """
        return self.decode_many([embedding], [prompts], multimask_output, all_outputs)[0]

    def decode_many(
        self,
        embeddings: Sequence[ImageEmbedding],
        prompts: Sequence[Sequence[PointPrompts]],
        multimask_output: bool = False,
        all_outputs: bool = False,
    ) -> list[MaskPrediction]:
        """Answers prompt sets on many images, in common calls where the decoder takes them; see `decode`.

        Args:
            embeddings: one an image.
            prompts: the sets of each image.
            multimask_output, all_outputs: as in `decode`.

        Returns:
            One prediction an image.

        Raises:
            ValueError: there are not as many embeddings as lists of sets.
            ModelError: as in `decode`.
        """
        wanted = slice(0, 4) if all_outputs else slice(1, 4) if multimask_output else slice(0, 1)
        jobs: list[Job] = []
        answers: list[MaskPrediction] = []
        for image, (embedding, sets) in enumerate(zip(embeddings, prompts, strict=True)):
            jobs += [Job(image, place, embedding, one) for place, one in enumerate(sets)]
            shape = (len(sets), wanted.stop - wanted.start)
            masks = np.empty((*shape, LOW_RES_SIDE, LOW_RES_SIDE), dtype=np.float32)
            answers.append(MaskPrediction(masks, np.empty(shape, dtype=np.float32)))
        for batch in batches_of([self.decoder.group(job) for job in jobs], self.decoder.batch_size):
            self._answer([jobs[index] for index in batch], wanted, answers)
        return answers

    def _answer(self, batch: Sequence[Job], wanted: slice, answers: Sequence[MaskPrediction]) -> None:
        """Decodes a batch into `answers`, in smaller calls where it does not fit into the device's memory."""
        done, decoder = 0, self.decoder
        while done < len(batch):
            part = batch[done : done + decoder.batch_size]
            made = if_it_fits(functools.partial(decoder.call, part, wanted), len(part), self.device, "one prompt set")
            if made is None:  # only here, with the error gone, are the failed call's tensors free
                give_memory_back(self.device, len(part), "prompt sets", say_so=not self._said_full)
                self._said_full, decoder.batch_size = True, len(part) // 2
                continue
            for job, masks, iou in zip(part, *made, strict=True):
                answers[job.image].low_res_logits[job.place] = masks
                answers[job.image].iou_predictions[job.place] = iou
            done += len(part)


def batches_of(groups: Sequence[Hashable], size: int) -> list[list[int]]:
    """Indices of equal entries, at most `size` together."""
    same: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        same.setdefault(group, []).append(index)
    return [some[i : i + size] for some in same.values() for i in range(0, len(some), size)]


def _embed(encoder: Encoder, images: Sequence[np.ndarray]) -> list[ImageEmbedding]:
    """One encoder call."""
    import torch

    pixels = np.concatenate([encoder.frame(image) for image in images])
    with torch.inference_mode(), reduced(encoder.device, encoder.dtype):
        maps = encoder.forward(upload(pixels, encoder.device))
    maps = {name: value.half().cpu().float() for name, value in maps.items()}
    made = []
    for i, image in enumerate(images):
        size = (image.shape[0], image.shape[1])
        extras = {name: value[i : i + 1] for name, value in maps.items()}
        if encoder.stretched is None:
            features = extras.pop("features")
        else:
            features = features_to_padded(extras[encoder.stretched], size).half().float()
        made.append(ImageEmbedding(features, input_size=sam_input_size(size), original_size=size, extras=extras))
    return made
