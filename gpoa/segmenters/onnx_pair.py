"""Any SAM in two ONNX files, an image encoder and a prompt decoder, as its project exports them.

Three faces of decoders are known by the names of their inputs:

- *official* (`segment_anything`'s export; RepViT-SAM, MobileSAM, SAM-HQ): `point_coords`, `point_labels`, `mask_input`,
  `has_mask_input`, `orig_im_size` -> `iou_predictions`, `low_res_masks`.
- *points* (EdgeSAM): `point_coords`, `point_labels` -> `scores`, `masks`; there is no mask prompt, one that is given
  is left out.
- *stretched* (EfficientSAM): `batched_point_coords`, `batched_point_labels`, `orig_im_size` -> `iou_predictions` and,
  as the output of rank 4, the low-resolution masks. The graphs normalise and stretch the image themselves; they take no
  mask prompt either, and keep the first six points (a box counts for two).

A decoder that gives one mask was exported to choose it (the single mask where there are many points, else the best of
three); that mask then stands for all that are asked for. Of three masks, the best stands for the single one.

Legend: `K` points, `M` masks a set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.geometry import to_sam_points
from gpoa.segmenters.onnx_session import open_session
from gpoa.segmenters.segmenter import Encoder, Job
from gpoa.segmenters.stretched import masks_to_padded
from gpoa.types import ImageEmbedding, PointPrompts

if TYPE_CHECKING:
    import onnxruntime
    import torch

Face = Literal["official", "points", "stretched"]
_PROMPT_INPUTS: dict[Face, tuple[str, ...]] = {
    "official": ("point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"),
    "points": ("point_coords", "point_labels"),
    "stretched": ("batched_point_coords", "batched_point_labels", "orig_im_size"),
}
_EMBEDDING = "image_embeddings"
_NATIVE = "native"
"""Name in `ImageEmbedding.extras` of a stretched embedding."""


class Sessions(NamedTuple):
    """Both halves, opened and found to fit each other, and the decoder's face."""

    folder: Path
    encoder: onnxruntime.InferenceSession
    decoder: onnxruntime.InferenceSession
    face: Face


@dataclass(frozen=True)
class OnnxPair:
    """A promptable segmenter from a folder with two ONNX files.

    Further outputs of the encoder that the decoder takes, and an embedding that is not in SAM's padded frame, are in
    the `extras` of its embeddings.

    Args:
        folder: holds two `.onnx` files, one with `encoder` and one with `decoder` in its name.
    """

    folder: Path
    encoder_bytes = None
    reduces_decoder = False

    def load(self, device: str, encoder_dtype: str) -> Sessions:
        """Opens both halves; ONNX Runtime's CUDA provider is used where it is installed and asked for.

        Raises:
            ModelError: there is no such pair, or its halves do not fit each other.
        """
        paths = pair_of(self.folder)
        if paths is None:
            raise ModelError(f"{self.folder}: needs two .onnx files, one with encoder and one with decoder in its name")
        encoder, decoder = (open_session(path, device) for path in paths)
        _check_fit(encoder, decoder, *paths)
        return Sessions(self.folder, encoder, decoder, _face(decoder, paths[1]))

    def encoder(self, model: Sessions, device: str, dtype: str) -> Encoder:
        """The image encoder; its graph takes pixels of the CPU."""
        forward = partial(_encode, model)
        if model.face == "stretched":
            return Encoder(forward, "cpu", frame=_plain_pixels, stretched=_NATIVE)
        return Encoder(forward, "cpu")

    def decoder(self, model: Sessions, device: str, dtype: str) -> OnnxDecoder:
        """The decoder."""
        return OnnxDecoder(model)


class OnnxDecoder:
    """The decoder of an ONNX pair, one prompt set a call.

    Args:
        sessions: the pair.
    """

    def __init__(self, sessions: Sessions) -> None:
        self.sessions, self.batch_size = sessions, 1

    def group(self, job: Job) -> int:
        """No set shares a call."""
        return job.image

    def call(self, batch: Sequence[Job], wanted: slice) -> tuple[np.ndarray, np.ndarray]:
        """One decoder call; see `gpoa.segmenters.segmenter.Decoder`."""
        embedding, (folder, _, decoder, face) = batch[0].embedding, self.sessions
        feed = _prompt_arrays(batch[0].prompts, embedding, face)
        feed[_EMBEDDING] = embedding.extras.get(_NATIVE, embedding.features).cpu().numpy()
        for entry in decoder.get_inputs():
            if entry.name in embedding.extras:
                feed[entry.name] = embedding.extras[entry.name].cpu().numpy()
        kinds = {entry.name: np.int64 if "int64" in entry.type else np.float32 for entry in decoder.get_inputs()}
        made = _run(decoder, {name: feed[name].astype(kinds[name]) for name in kinds}, f"{folder}: the decoder")
        masks, scores = _outputs(made, face)
        masks, scores = _four(masks.reshape(-1, *masks.shape[-2:]), scores.reshape(-1))
        masks, scores = masks[None, wanted].astype(np.float32), scores[None, wanted].astype(np.float32)
        return masks_to_padded(masks, embedding.original_size) if face == "stretched" else masks, scores


def _plain_pixels(image: np.ndarray) -> np.ndarray:
    """An image as EfficientSAM's graph takes it: [1, 3, H, W] float32 from 0 to 1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], dtype=np.float32) / 255


def _encode(sessions: Sessions, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """One run of the encoder: the embedding as `features` (or `native`), and what else the decoder takes."""
    import torch

    encoder, taken = sessions.encoder, {entry.name for entry in sessions.decoder.get_inputs()}
    made = _run(encoder, {encoder.get_inputs()[0].name: pixels.numpy()}, f"{sessions.folder}: the encoder")
    own = _NATIVE if sessions.face == "stretched" else "features"
    maps = {own: made.pop(_embedding_name(encoder)), **{name: made[name] for name in made if name in taken}}
    return {name: torch.from_numpy(value) for name, value in maps.items()}


def _run(session: onnxruntime.InferenceSession, feed: dict[str, np.ndarray], said: str) -> dict[str, np.ndarray]:
    """The outputs of one run by name; ModelError, which `said` begins, where the graph refuses its inputs."""
    names = [output.name for output in session.get_outputs()]
    try:
        return dict(zip(names, session.run(None, feed), strict=True))
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in feed.items())
        raise ModelError(f"{said} cannot be run on {shapes} ({one_line(error)})") from error


def pair_of(folder: Path) -> tuple[Path, Path] | None:
    """(encoder, decoder) of a folder, or None where it does not hold exactly one of each."""
    found = [
        sorted(path for path in Path(folder).glob("*.onnx") if half in path.name.lower())
        for half in ("encoder", "decoder")
    ]
    return (found[0][0], found[1][0]) if [len(paths) for paths in found] == [1, 1] else None


def _face(decoder, path: Path) -> Face:
    """Which of the known faces a decoder has."""
    names = {entry.name for entry in decoder.get_inputs()}
    for face, wanted in _PROMPT_INPUTS.items():
        if names >= set(wanted):
            return face
    raise ModelError(f"{path}: takes {', '.join(sorted(names))}; none of the SAM exports that gpoa knows does")


def _check_fit(encoder, decoder, encoder_path: Path, decoder_path: Path) -> None:
    """Raises ModelError where the decoder cannot work with what the encoder gives."""
    if len(encoder.get_inputs()) != 1 or len(encoder.get_inputs()[0].shape) != 4:
        shown = ", ".join(f"{entry.name} {entry.shape}" for entry in encoder.get_inputs())
        raise ModelError(f"{encoder_path}: takes {shown}; expected one input [1, 3, 1024, 1024]")
    inputs = {entry.name: entry.shape for entry in decoder.get_inputs()}
    face = _face(decoder, decoder_path)
    outputs = {entry.name: entry.shape for entry in encoder.get_outputs()}
    outputs[_EMBEDDING] = outputs.pop(_embedding_name(encoder))
    for name in inputs.keys() - set(_PROMPT_INPUTS[face]):
        if name not in outputs:
            raise ModelError(
                f"{decoder_path}: takes {name}, which {encoder_path.name} does not give; they are not "
                f"halves of one model"
            )
        if not _agree(outputs[name], inputs[name]):
            raise ModelError(
                f"{decoder_path}: takes {name} {inputs[name]}, but {encoder_path.name} gives {outputs[name]}; they are "
                f"not halves of one model"
            )


def _embedding_name(encoder) -> str:
    """The encoder's output that is the image embedding: by its usual name, else the first."""
    names = [entry.name for entry in encoder.get_outputs()]
    return _EMBEDDING if _EMBEDDING in names else names[0]


def _agree(given: Sequence, taken: Sequence) -> bool:
    """True unless two shapes differ in rank or in a known number (a name or None may be any number)."""
    both_known = [(a, b) for a, b in zip(given, taken, strict=False) if isinstance(a, int) and isinstance(b, int)]
    return not given or not taken or (len(given) == len(taken) and all(a == b for a, b in both_known))


def _prompt_arrays(prompt: PointPrompts, embedding: ImageEmbedding, face: Face) -> dict[str, np.ndarray]:
    """A prompt set as the inputs of a face, but for the element types. A box is two points with the labels 2 and 3."""
    size = embedding.original_size
    points, labels = [np.asarray(prompt.point_coords, np.float32).reshape(-1, 2)], [np.asarray(prompt.point_labels)]
    if prompt.box is not None:
        points.append(np.asarray(prompt.box, np.float32).reshape(2, 2))
        labels.append(np.array([2, 3]))
    xy, label = np.concatenate(points), np.concatenate(labels).astype(np.float32)
    if face == "stretched":
        return {
            "batched_point_coords": xy[None, None],
            "batched_point_labels": label[None, None],
            "orig_im_size": np.array(size, np.float32),
        }
    coords = to_sam_points(xy, size)
    if face == "points":
        return {"point_coords": coords[None], "point_labels": label[None]}
    if prompt.box is None:
        # The export leaves to its caller the "no point" that SAM adds where there is no box.
        coords, label = np.vstack([coords, np.zeros((1, 2), np.float32)]), np.append(label, np.float32(-1))
    mask = prompt.mask_prompt
    return {
        "point_coords": coords[None],
        "point_labels": label[None],
        "mask_input": np.zeros((1, 1, 256, 256), np.float32) if mask is None else np.asarray(mask)[None, None],
        "has_mask_input": np.array([mask is not None]),
        "orig_im_size": np.array(size, np.float32),
    }


def _outputs(made: dict[str, np.ndarray], face: Face) -> tuple[np.ndarray, np.ndarray]:
    """Low-resolution masks and scores among a decoder's outputs."""
    if face == "points":
        return made["masks"], made["scores"]
    if "low_res_masks" in made:
        return made["low_res_masks"], made["iou_predictions"]
    low = [value for name, value in made.items() if value.ndim == 4 and name != "masks"]
    if not low or "iou_predictions" not in made:
        raise ModelError(f"the decoder gives {', '.join(made)}; low_res_masks and iou_predictions are needed")
    return low[-1], made["iou_predictions"]


def _four(masks: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Four masks, the single one first, from the one, three or four that a decoder gives."""
    if len(masks) == 1:
        return np.repeat(masks, 4, axis=0), np.repeat(scores, 4)
    if len(masks) == 3:
        best = int(scores.argmax())
        return np.concatenate([masks[best : best + 1], masks]), np.concatenate([scores[best : best + 1], scores])
    if len(masks) != 4:
        raise ModelError(f"the decoder gives {len(masks)} masks a prompt; SAM gives 1, 3 or 4")
    return masks, scores
