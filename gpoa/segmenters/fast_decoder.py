"""SAM's mask decoder (Kirillov et al. 2023, arXiv:2304.02643, appendix A), arranged so that no product is made twice.

The function is the one of `segment_anything`'s PromptEncoder and MaskDecoder, term by term; only the order of linear
maps differs, so float32 results agree to rounding:

- What the first layer asks of the image (keys, queries and values of both cross-attentions, position encoding included)
  depends on the image alone and is kept with it.
- A mask prompt changes the image tokens by a map of 16 channels; its share of the first layer is a product of rank 17.
- The position encoding is added to projections, where it is a constant, not to image tokens.
- Of the last attention only the rows of the output tokens are used, and so few rows are cheaper projected back to the
  image tokens' space than the image tokens forth.
- Transposed convolutions of stride 2 are products over channels; pixels are put in order once, at the end.

Legend: `B` prompt sets, `T` tokens a set (1 for the IoU, 4 for masks, then the prompts), `N` = 64 * 64 image tokens,
`C` = 256 channels, `H` = 8 heads. Projections of image tokens are channel-major, [B, channels, N].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gpoa.geometry import to_sam_points
from gpoa.segmenters.decoder_weights import HEADS, Layer, Module, read_weights
from gpoa.types import PointPrompts, Size

if TYPE_CHECKING:
    import torch

    from gpoa.segmenters.decoder_weights import Linear

GRID = 64
"""Side of the image embedding."""
NOT_A_POINT, CORNER, FILLER = -1, 2, -2
"""Token labels beside 0 and 1: SAM's empty point, the first box corner (the second is one more), our padding."""
CPU_CHUNK = 512
"""Image tokens that a CPU upscales at a time, so that what lies between stays in its second-level cache."""


@dataclass(frozen=True, eq=False, slots=True)
class ImageSide:
    """What the decoder knows of n images before any prompt.

    Args:
        keys: [n, N, C] image tokens with the embedding of "no mask prompt" and the first layer's output bias.
        projected: [n, 384, N] their first layer's keys, values (token to image) and queries (image to token).
    """

    keys: torch.Tensor
    projected: torch.Tensor


@dataclass(frozen=True, eq=False, slots=True)
class PromptTokens:
    """Prompt sets as tokens.

    Args:
        coords: [B, K, 2] float32 (x, y) in SAM's frame; K may be 0.
        labels: [B, K] int64: 0, 1, NOT_A_POINT, CORNER, CORNER + 1 or FILLER.
        masks: [B, 256, 256] float32 mask prompts, or None.
    """

    coords: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None


def tokens_of(prompts: PointPrompts, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """A set's points and box as SAM orders them: points, then the box's corners or, without a box, one empty point.

    Args:
        prompts: the set.
        size: (H, W) of the original image.

    Returns:
        ([K, 2] float32 in SAM's frame, [K] int64 labels).
    """
    coords = [to_sam_points(prompts.point_coords, size)]
    labels = [np.asarray(prompts.point_labels, dtype=np.int64)]
    if prompts.box is not None:
        coords.append(to_sam_points(prompts.box.reshape(2, 2), size))
        labels.append(np.array([CORNER, CORNER + 1]))
    elif len(prompts.point_labels):
        coords.append(np.zeros((1, 2), np.float32))
        labels.append(np.array([NOT_A_POINT]))
    return np.concatenate(coords), np.concatenate(labels)


def stack_tokens(sets: Sequence[tuple[np.ndarray, np.ndarray]], masks: Sequence[np.ndarray | None]) -> PromptTokens:
    """Sets of up to K tokens as one batch; shorter ones are filled up, which does not change their masks.

    Args:
        sets: from `tokens_of`.
        masks: [256, 256] each, or None for all.
    """
    longest = max(len(labels) for _, labels in sets)
    coords = np.zeros((len(sets), longest, 2), np.float32)
    kinds = np.full((len(sets), longest), FILLER, np.int64)
    for row, (xy, labels) in enumerate(sets):
        coords[row, : len(labels)], kinds[row, : len(labels)] = xy, labels
    dense = None if masks[0] is None else np.stack([np.asarray(mask, dtype=np.float32) for mask in masks])
    return PromptTokens(coords, kinds, dense)


class FastDecoder:
    """The decoder as functions over the weights of `segment_anything`'s modules.

    Args:
        prompt_encoder: `segment_anything.modeling.PromptEncoder`.
        mask_decoder: `segment_anything.modeling.MaskDecoder` with a two-layer `TwoWayTransformer`.
        device: torch device.
        dtype: float32, bfloat16 or float16, of the large products and the upscaling; tokens, attention, sums and
            norms (inside, where their input is reduced) stay float32.
    """

    def __init__(
        self,
        prompt_encoder: Module,
        mask_decoder: Module,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        import torch

        self.device, self.dtype = device, getattr(torch, dtype)
        modules = (prompt_encoder.float().to(device), mask_decoder.float().to(device))
        self._weights = read_weights(*modules, self.dtype)
        self._place, self._frame = prompt_encoder.pe_layer.forward_with_coords, prompt_encoder.input_image_size

    def image_side(self, features: torch.Tensor) -> ImageSide:
        """Prepares images.

        Args:
            features: [n, 256, 64, 64] from the image encoder.
        """
        import torch

        with torch.inference_mode():
            flat = features.to(self.device, torch.float32).flatten(2)  # [n, C, N]
            first = self._weights.layers[0]
            projected = torch.baddbmm(first.constant, first.projection.expand(len(flat), -1, -1), flat)
            return ImageSide((flat.mT + self._weights.first_bias).contiguous(), projected)

    def predict(
        self, side: ImageSide, prompts: PromptTokens, owner: Sequence[int] | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One call on B sets.

        Args:
            side: of one image, or of several.
            prompts: the sets.
            owner: for each set the row of `side` that it belongs to; None where there is one image.

        Returns:
            ([B, 4, 256, 256] mask logits, [B, 4] predicted IoU), both float32 on the device. All four masks are made
            (the last three cost little), so that a mask does not depend on what else was asked for.
        """
        import torch

        with torch.inference_mode():
            keys, projected = side.keys, side.projected
            if owner is not None:
                rows = torch.as_tensor(owner, device=self.device)
                keys, projected = keys[rows], projected[rows]
            tokens, real = self._embed(prompts)
            dense = None
            if prompts.masks is not None:
                dense = self._dense(torch.from_numpy(prompts.masks).to(self.device))
                projected = torch.baddbmm(projected, self._weights.dense_projection.expand(len(dense), -1, -1), dense)
            state, keys = self._two_way(tokens, keys, projected, dense, real)
            state = self._last_attention(state, tokens, keys)
            return self._upscale(keys, state[:, 1:]), _mlp(state[:, 0], self._weights.last.iou)

    def _embed(self, prompts: PromptTokens) -> tuple[torch.Tensor, torch.Tensor | None]:
        """All tokens of the sets [B, T, C], and which of them are real [B, T] (None: all)."""
        import torch

        labels = torch.from_numpy(prompts.labels).to(self.device)
        start = self._weights.last.output_tokens.expand(len(labels), -1, -1)
        if labels.shape[1] == 0:
            return start, None
        coords = torch.from_numpy(prompts.coords).to(self.device) + 0.5  # SAM's pixel centres
        kinds = self._weights.prompts.kinds[labels.clamp(min=NOT_A_POINT) + 1]
        place = self._place(coords, self._frame).masked_fill((labels < 0)[..., None], 0.0) + kinds
        tokens = torch.cat([start, place], dim=1)
        if (prompts.labels != FILLER).all():
            return tokens, None
        real = torch.cat([labels.new_ones(start.shape[:2]), labels != FILLER], dim=1).bool()
        return tokens, real

    def _dense(self, masks: torch.Tensor) -> torch.Tensor:
        """Mask prompts [B, 256, 256] as 16 channels and a constant one at each image token [B, 17, N]."""
        import torch
        from torch.nn.functional import gelu

        count = len(masks)
        # [B, (a' b'), (a b), N]: the pixel within its 2 x 2 block, the block within its token.
        cells = masks.view(count, GRID, 2, 2, GRID, 2, 2).permute(0, 3, 6, 2, 5, 1, 4).reshape(count, 4, -1)
        for weight, bias, scale, shift, eps in self._weights.prompts.mask_convolutions:
            cells = gelu(_channel_norm(weight @ cells + bias, scale, shift, eps)).view(count, 16, -1)
        return torch.cat([cells, torch.ones_like(cells[:, :1])], dim=1)

    def _two_way(
        self,
        tokens: torch.Tensor,
        keys: torch.Tensor,
        projected: torch.Tensor,
        dense: torch.Tensor | None,
        real: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both layers: tokens [B, T, C] and image tokens [B, N, C] after them."""
        import torch
        from torch.nn.functional import layer_norm

        state, channels = tokens, keys.shape[-1]
        for number, layer in enumerate(self._weights.layers):
            if number:
                projected = self._add_product(layer.constant, layer.projection, keys.mT)
            k, v, q = (_heads(part) for part in projected.chunk(3, dim=1))  # [B or 1, H, 16, N]
            state = _token_block(state, tokens, layer, k, v, real, first=number == 0)
            answer = _image_attention(state, tokens, layer, q, real)  # [B, 128, N]
            back = layer.back
            if dense is not None and number == 0:
                answer, back = torch.cat([answer, dense], dim=1), self._weights.dense_back
            keys = self._add_product(keys, answer.mT, back)
            keys = layer_norm(keys, (channels,), *layer.keys_norm)
        return state, keys

    def _last_attention(self, state: torch.Tensor, tokens: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """The last token-to-image attention, for the IoU token and the mask tokens alone: [B, 5, C]."""
        import torch
        from torch.nn.functional import layer_norm, linear

        last = self._weights.last
        width = last.output_tokens.shape[1]
        state, tokens, count = state[:, :width], tokens[:, :width], len(state)
        q = _split(linear(state + tokens, *last.query))  # [B, H, 5, 16]
        places = torch.matmul(q, last.places).flatten(1, 2)  # [B, H * 5, N]
        queries = torch.matmul(q, last.key).flatten(1, 2)  # [B, H * 5, C]
        weights = self._add_product(places, queries, keys.mT).softmax(dim=-1)
        seen = self._product(weights, keys).view(count, HEADS, width, -1)
        answer = torch.matmul(seen, last.value).transpose(1, 2).flatten(2)
        return layer_norm(state + linear(answer, *last.out), (state.shape[-1],), *last.norm)

    def _upscale(self, keys: torch.Tensor, mask_tokens: torch.Tensor) -> torch.Tensor:
        """Mask logits [B, 4, 256, 256] of image tokens [B, N, C] and mask tokens [B, 4, C]."""
        import torch
        from torch.nn.functional import gelu, layer_norm, linear

        count, masks = mask_tokens.shape[:2]
        hyper = mask_tokens.transpose(0, 1)  # [4, B, C]
        for number, (weight, bias) in enumerate(self._weights.last.hyper):
            hyper = torch.baddbmm(bias, hyper.relu() if number else hyper, weight)
        hyper = hyper.transpose(0, 1).to(self.dtype)  # [B, 4, 32]
        first, norm, second = self._weights.last.upscaling
        chunk, parts = CPU_CHUNK if self.device == "cpu" else keys.shape[1], []
        for part in keys.split(chunk, dim=1):
            inner = linear(part.to(self.dtype), *first).view(count, -1, len(norm[0]))
            inner = gelu(layer_norm(inner, (len(norm[0]),), *norm, eps=1e-6))
            pixels = gelu(linear(inner, *second)).view(count, -1, hyper.shape[-1])
            parts.append(torch.bmm(hyper, pixels.mT))
        blocks = torch.cat(parts, dim=-1).float().view(count, masks, GRID, GRID, 2, 2, 2, 2)
        return blocks.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(count, masks, GRID * 4, GRID * 4)

    def _product(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """a @ b, both [B, ., .], in the large products' type; float32."""
        return (a.to(self.dtype) @ b.to(self.dtype)).float()

    def _add_product(self, base: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """base + a @ b; `base` and a weight may lack the batch."""
        import torch

        count = max(len(part) if part.dim() == 3 else 1 for part in (a, b))
        a, b = (part.to(self.dtype).expand(count, -1, -1) for part in (a, b))
        if self.dtype == torch.float32:
            return torch.baddbmm(base, a, b)
        return base + torch.bmm(a, b)


def _token_block(
    state: torch.Tensor,
    tokens: torch.Tensor,
    layer: Layer,
    k: torch.Tensor,
    v: torch.Tensor,
    real: torch.Tensor | None,
    first: bool,
) -> torch.Tensor:
    """Self-attention, token-to-image attention and MLP of one layer: [B, T, C]."""
    from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

    channels = (state.shape[-1],)
    asked = state if first else state + tokens
    inward = zip((asked, asked, state), layer.self_attention[:3], strict=True)
    q, own, value = (_split(linear(x, *w)) for x, w in inward)
    visible = None if real is None else real[:, None, None]  # [B, 1, 1, T]
    heard = scaled_dot_product_attention(q, own, value, attn_mask=visible).transpose(1, 2).flatten(2)
    heard = linear(heard, *layer.self_attention[3])
    state = layer_norm(heard if first else state + heard, channels, *layer.norms[0])
    q = _split(linear(state + tokens, *layer.query))  # [B, H, T, 16]
    weights = _shared_product(q, k).softmax(dim=-1)
    seen = _shared_product(weights, v.mT).transpose(1, 2).flatten(2)
    state = layer_norm(state + linear(seen, *layer.out), channels, *layer.norms[1])
    return layer_norm(state + _mlp(state, layer.mlp), channels, *layer.norms[2])


def _image_attention(
    state: torch.Tensor, tokens: torch.Tensor, layer: Layer, q: torch.Tensor, real: torch.Tensor | None
) -> torch.Tensor:
    """Image-to-token attention before its output projection: [B, 128, N].

    The softmax over tokens is written out: powers of two are cheaper than powers of e (`layer.key` holds the factor),
    and the sums come as one more row of the product with the values.
    """
    import torch
    from torch.nn.functional import linear, pad

    k, v = _split(linear(state + tokens, layer.key)), _split(linear(state, *layer.value))  # [B, H, T, 16]
    scores = _shared_product(k, q)  # [B, H, T, N]
    if real is not None:
        scores = scores.masked_fill(~real[:, None, :, None], float("-inf"))
    powers = scores.sub_(scores.amax(dim=2, keepdim=True)).exp2_()
    sums = pad(v, (0, 1), value=1.0).mT @ powers  # [B, H, 17, N]
    return torch.div(sums[:, :, :-1], sums[:, :, -1:]).flatten(1, 2)


def _shared_product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a [B, H, R, S] @ b [B or 1, H, S, N]; one `b` for all sets is not repeated."""
    if len(a) == len(b):
        return a @ b
    sets, heads, rows, _ = a.shape
    joint = a.transpose(0, 1).flatten(1, 2) @ b[0]  # [H, B * R, N]
    return joint.view(heads, sets, rows, -1).transpose(0, 1)


def _mlp(x: torch.Tensor, layers: Sequence[Linear]) -> torch.Tensor:
    """Linear layers with ReLU between."""
    from torch.nn.functional import linear

    for number, layer in enumerate(layers):
        x = linear(x.relu() if number else x, *layer)
    return x


def _channel_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    """Layer norm over the channels of [B, channels, places]; weight and bias are [channels, 1]."""
    x = x - x.mean(dim=1, keepdim=True)
    scale = (x.square().mean(dim=1, keepdim=True) + eps).rsqrt()
    return x * scale * weight + bias


def _split(x: torch.Tensor) -> torch.Tensor:
    """[B, T, channels] -> [B, H, T, channels / H]."""
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def _heads(x: torch.Tensor) -> torch.Tensor:
    """[B, channels, N] -> [B, H, channels / H, N]."""
    return x.unflatten(1, (HEADS, -1))
