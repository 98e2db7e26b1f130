"""The weights of SAM's decoder, with everything folded that does not depend on the input.

Legend: `C` = 256 channels, `H` = 8 heads, `N` = 64 * 64 image tokens. Weights are [out, in] unless said otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    Linear = tuple[torch.Tensor, torch.Tensor]
    """(weight [out, in], bias [out])."""

HEADS = 8
Module = Any
"""A torch module; torch itself declares each of its attributes as a tensor or a module, whatever it is."""


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """One two-way attention block.

    Args:
        self_attention: q, k, v, out.
        query: of token to image, scaled.
        out: of token to image, with the bias of its values.
        mlp: two layers.
        key: of image to token, scaled, for powers of two; without its bias, which moves all tokens' scores of a pixel
            alike.
        value: of image to token.
        norms: norm1 to norm3.
        projection: [384, C] keys, values (token to image) and queries (image to token) of the image tokens.
        constant: [1, 384, N] what the position encoding and the biases add to those.
        back: [128, C] output projection of image to token, [in, out]; its bias is added elsewhere.
        keys_norm: norm4, its bias with the next layer's output bias.
    """

    self_attention: tuple[Linear, ...]
    query: Linear
    out: Linear
    mlp: tuple[Linear, ...]
    key: torch.Tensor
    value: Linear
    norms: tuple[Linear, ...]
    projection: torch.Tensor
    constant: torch.Tensor
    back: torch.Tensor
    keys_norm: Linear


@dataclass(frozen=True, eq=False, slots=True)
class PromptWeights:
    """What embeds prompts.

    Args:
        kinds: [5, C] embeddings of the empty point, of points labelled 0 and 1, and of both box corners.
        image_places: [C, N] position encoding of the image tokens.
        no_mask: [C] added to image tokens without a mask prompt.
        mask_convolutions: (weight [out, 4 * in], bias, norm weight, norm bias, norm epsilon) twice.
        lift: [C, 17] a mask prompt's 16 channels -> image tokens, instead of `no_mask`; the last column is constant.
    """

    kinds: torch.Tensor
    image_places: torch.Tensor
    no_mask: torch.Tensor
    mask_convolutions: tuple[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], ...]
    lift: torch.Tensor


@dataclass(frozen=True, eq=False, slots=True)
class LastWeights:
    """The last token-to-image attention and what comes after it.

    Args:
        query: scaled.
        key: [H, 16, C].
        value: [H, C, 16].
        places: [H, 16, N] keys of the position encoding.
        out: with the bias of the values.
        norm: its layer norm.
        upscaling: first transposed convolution, layer norm, second transposed convolution, as linear layers.
        hyper: the four mask networks by level, (weight [4, in, out], bias [4, 1, out]).
        iou: the network of the predicted IoU.
        output_tokens: [1, 5, C].
    """

    query: Linear
    key: torch.Tensor
    value: torch.Tensor
    places: torch.Tensor
    out: Linear
    norm: Linear
    upscaling: tuple[Linear, ...]
    hyper: tuple[Linear, ...]
    iou: tuple[Linear, ...]
    output_tokens: torch.Tensor


@dataclass(frozen=True, eq=False, slots=True)
class DecoderWeights:
    """All of it.

    Args:
        prompts: what embeds prompts.
        layers: both two-way blocks; the first one's constant includes that there is no mask prompt.
        first_bias: [C] added to the image's features: no mask prompt, and the first block's output bias.
        dense_projection: [1, 384, 17] what a mask prompt adds to the first block's projections.
        dense_back: [145, C] the first block's `back` above `lift`, transposed.
        last: the rest.
    """

    prompts: PromptWeights
    layers: tuple[Layer, Layer]
    first_bias: torch.Tensor
    dense_projection: torch.Tensor
    dense_back: torch.Tensor
    last: LastWeights


def read_weights(prompt_encoder: Module, mask_decoder: Module, dtype: torch.dtype) -> DecoderWeights:
    """Folds the weights of `segment_anything`'s modules.

    Args:
        prompt_encoder: PromptEncoder, float32.
        mask_decoder: MaskDecoder, float32.
        dtype: of the weights of the large products.

    Returns:
        The weights, on the modules' device.
    """
    import torch

    with torch.no_grad():
        prompts = _read_prompts(prompt_encoder)
        first, second = mask_decoder.transformer.layers
        biases = [block.cross_attn_image_to_token.out_proj.bias for block in (first, second)]
        one = _read_layer(first, prompts.image_places, biases[1])
        two = _read_layer(second, prompts.image_places, torch.zeros_like(biases[1]))
        # The second block's image tokens come with its output bias, which the projections must not see.
        two = replace(two, constant=two.constant - (two.projection @ biases[1])[:, None])
        one = replace(one, constant=one.constant + (one.projection @ prompts.no_mask)[:, None])
        return DecoderWeights(
            prompts=prompts,
            # The first projection is made once an image, in float32.
            layers=(
                replace(one, back=one.back.to(dtype)),
                replace(two, back=two.back.to(dtype), projection=two.projection.to(dtype)),
            ),
            first_bias=prompts.no_mask + biases[0],
            dense_projection=(one.projection @ prompts.lift)[None],
            dense_back=torch.cat([one.back, prompts.lift.T]).to(dtype),
            last=_read_last(mask_decoder, prompts.image_places, dtype),
        )


def _read_prompts(module: Module) -> PromptWeights:
    """What embeds prompts."""
    import torch

    first, first_norm, _, second, second_norm, _, out = module.mask_downscaling
    no_mask = module.no_mask_embed.weight[0]
    return PromptWeights(
        kinds=torch.cat([module.not_a_point_embed.weight, *(part.weight for part in module.point_embeddings)]),
        image_places=module.get_dense_pe().flatten(2)[0],
        no_mask=no_mask,
        mask_convolutions=tuple(
            (conv.weight.flatten(1), conv.bias[:, None], norm.weight[:, None], norm.bias[:, None], norm.eps)
            for conv, norm in ((first, first_norm), (second, second_norm))
        ),
        lift=torch.cat([out.weight.flatten(1), (out.bias - no_mask)[:, None]], dim=1),
    )


def _read_layer(block: Module, places: torch.Tensor, next_bias: torch.Tensor) -> Layer:
    """One two-way block; `next_bias` [C] goes into what its image tokens are normalised to."""
    import torch

    own, ask, tell = block.self_attn, block.cross_attn_token_to_image, block.cross_attn_image_to_token
    query = tell.q_proj
    return Layer(
        self_attention=_pairs([own.q_proj, own.k_proj, own.v_proj, own.out_proj]),
        query=_scaled(ask.q_proj),
        out=_with_value_bias(ask),
        mlp=_pairs([block.mlp.lin1, block.mlp.lin2]),
        key=_scaled(tell.k_proj)[0] * math.log2(math.e),
        value=_pair(tell.v_proj),
        norms=_pairs([block.norm1, block.norm2, block.norm3]),
        projection=torch.cat([ask.k_proj.weight, ask.v_proj.weight, query.weight]),
        # The keys' bias moves all pixels' scores of a token alike; the values' bias is in `out`.
        constant=torch.cat(
            [
                ask.k_proj.weight @ places,
                places.new_zeros(len(ask.v_proj.weight), places.shape[1]),
                query.weight @ places + query.bias[:, None],
            ]
        )[None],
        back=tell.out_proj.weight.T.contiguous(),
        keys_norm=(block.norm4.weight, block.norm4.bias + next_bias),
    )


def _read_last(module: Module, places: torch.Tensor, dtype: torch.dtype) -> LastWeights:
    """The last attention, the upscaling and the small networks."""
    import torch

    attention = module.transformer.final_attn_token_to_image
    first, norm, _, second, _ = module.output_upscaling
    upscaling = (_as_linear(first), _pair(norm), _as_linear(second))
    stacks = zip(*(_pairs(mlp.layers) for mlp in module.output_hypernetworks_mlps), strict=True)
    return LastWeights(
        query=_scaled(attention.q_proj),
        key=attention.k_proj.weight.unflatten(0, (HEADS, -1)),
        value=attention.v_proj.weight.unflatten(0, (HEADS, -1)).mT.contiguous(),
        places=(attention.k_proj.weight @ places).unflatten(0, (HEADS, -1)),
        out=_with_value_bias(attention),
        norm=_pair(module.transformer.norm_final_attn),
        upscaling=tuple((weight.to(dtype), bias.to(dtype)) for weight, bias in upscaling),
        hyper=tuple(
            (torch.stack([weight.T for weight, _ in level]), torch.stack([bias[None] for _, bias in level]))
            for level in stacks
        ),
        iou=_pairs(module.iou_prediction_head.layers),
        output_tokens=torch.cat([module.iou_token.weight, module.mask_tokens.weight])[None],
    )


def _pair(module: Module) -> Linear:
    """Weight and bias of a layer."""
    return module.weight.detach(), module.bias.detach()


def _pairs(modules: Iterable[Module]) -> tuple[Linear, ...]:
    """Weights and biases of layers."""
    return tuple(_pair(module) for module in modules)


def _scaled(module: Module) -> Linear:
    """A query or key projection, divided by the root of a head's width as attention asks for."""
    scale = (len(module.weight) // HEADS) ** -0.5
    return module.weight * scale, module.bias * scale


def _with_value_bias(attention: Module) -> Linear:
    """An attention's output projection with its values' bias: attention weights sum to one."""
    out = attention.out_proj
    return out.weight.detach(), out.bias + out.weight @ attention.v_proj.bias


def _as_linear(convolution: Module) -> Linear:
    """A transposed 2 x 2 convolution of stride 2 as [(row, column, out), in]."""
    weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()  # from [in, out, row, column]
    return weight, convolution.bias.repeat(4)
