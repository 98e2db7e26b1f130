"""The attention of SAM's image encoders through torch's `scaled_dot_product_attention`.

SAM adds to every logit a term for the rows' distance and one for the columns' (decomposed relative positions, Li et al.
2022, arXiv:2112.01526): q.k / sqrt(C) + q.R_row + q.R_column. The library makes the matrix of all logits,
then adds, then takes the softmax, each a pass over N x N numbers. Here are two other ways to the same numbers:

    bias        the two terms as an additive mask, some query rows at a time, so that it stays small;
    appended    no mask at all: q gets its H + W terms as further entries, k the one-hot codes of its row and column,
                so that q.k has them in it and the kernels without a mask serve.

Legend: `B` images or windows, `A` heads, `H`, `W` rows and columns, `N` = H W tokens, `C` width of a head.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Form = Literal["auto", "bias", "appended"]
CPU_QUERIES = 256
"""Queries a call with a mask on a CPU. Measured on an EPYC that did other work, too, global attention of ViT-B in
float32: with 256 queries 1.3 to 1.8 times as fast as the library, with all 4096 at once 1.1 to 1.8 times, `appended`
1.0 to 2.0 times; in windows 1.1 to 1.5 times, `appended` 0.8 to 2.0 times. In bfloat16 as fast as the library to a
tenth, `appended` 0.85 times."""
LONG = 1024
"""On CUDA, from so many tokens on, `appended` is taken. Reasoned, not measured: its memory does not grow with N^2, and
flash kernels take it (they know no mask, and heads up to 256 wide; ViT-H has 80 + 64 + 64)."""


def fast_attention(encoder: torch.nn.Module, form: Form = "auto") -> torch.nn.Module:
    """Makes an image encoder's attention blocks compute by `scaled_dot_product_attention`.

    Args:
        encoder: `segment_anything`'s `ImageEncoderViT`, or the vision encoder of transformers' SAM or SAM-HQ; changed
            in place. Blocks of another make are left as they are. Weights are looked up at every call, so adapters may
            come before or after.
        form: auto takes `appended` for long sequences on CUDA and `bias` elsewhere.

    Returns:
        The same encoder. Its answers differ from before by rounding.
    """
    for module in encoder.modules():
        if getattr(module, "use_rel_pos", False) and hasattr(module, "qkv") and hasattr(module, "rel_pos_h"):
            ours = _transformers_forward if hasattr(module, "num_attention_heads") else _official_forward
            module.forward = functools.partial(ours, module, form)
    return encoder


def _official_forward(attn: Any, form: Form, x: torch.Tensor) -> torch.Tensor:
    """In place of `segment_anything`'s `Attention.forward`: [B, H, W, D] to the same."""
    if not _fits(attn, x):
        return type(attn).forward(attn, x)
    return _attend(attn, attn.num_heads, form, x)


def _transformers_forward(
    attn: Any, form: Form, hidden_states: torch.Tensor, output_attentions: bool = False
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """In place of transformers' `SamVisionAttention.forward`: [B, H, W, D] to the same, and no weights."""
    if output_attentions or not _fits(attn, hidden_states):
        return type(attn).forward(attn, hidden_states, output_attentions)
    return _attend(attn, attn.num_attention_heads, form, hidden_states), None


def _fits(attn: Any, x: torch.Tensor) -> bool:
    """Whether the tables of relative positions are for this grid; for others the library stretches them."""
    return (len(attn.rel_pos_h), len(attn.rel_pos_w)) == (2 * x.shape[1] - 1, 2 * x.shape[2] - 1)


def _attend(attn: Any, heads: int, form: Form, x: torch.Tensor) -> torch.Tensor:
    """One attention block: [B, H, W, D] to the same."""
    batch, height, width, _ = x.shape
    tokens = height * width
    q, k, v = attn.qkv(x).reshape(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)  # each [B, A, N, C]
    grid = q.reshape(batch, heads, height, width, -1)
    rows = _einsum("bahwc,hkc->bahwk", grid, _table(attn.rel_pos_h, height))  # [B, A, H, W, H]
    columns = _einsum("bahwc,wkc->bahwk", grid, _table(attn.rel_pos_w, width))  # [B, A, H, W, W]
    if form == "auto":
        form = "appended" if x.is_cuda and tokens >= LONG else "bias"
    made = (_appended if form == "appended" else _biased)(q, k, v, rows, columns, attn.scale)  # [B, A, N, C]
    return attn.proj(made.transpose(1, 2).reshape(batch, height, width, -1))


def _einsum(rule: str, q: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.einsum(rule, q, table.to(q.dtype))


def _table(positions: torch.Tensor, side: int) -> torch.Tensor:
    """Row i, column j: the embedding of the distance i - j; [2 side - 1, C] to [side, side, C]."""
    import torch

    place = torch.arange(side, device=positions.device)
    return positions[place[:, None] - place + side - 1]


def _biased(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention with the positions' terms as a mask, on a CPU some query rows at a time."""
    import torch

    height, width = rows.shape[2:4]
    step = height if q.is_cuda else max(1, CPU_QUERIES // width)
    parts = []
    for top in range(0, height, step):
        here = slice(top, top + step)
        mask = rows[:, :, here, :, :, None] + columns[:, :, here, :, None, :]  # [B, A, step, W, H, W]
        mask = mask.reshape(*q.shape[:2], -1, height * width)
        queries = q[:, :, top * width : (top + step) * width]
        parts.append(torch.nn.functional.scaled_dot_product_attention(queries, k, v, attn_mask=mask, scale=scale))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def _appended(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention with the positions' terms as further entries of q and k."""
    import torch

    height, width = rows.shape[2:4]
    channels = q.shape[-1]
    terms = torch.cat([rows, columns], dim=-1).reshape(*q.shape[:3], height + width) / scale  # q.k is scaled again
    place = torch.arange(height * width, device=q.device)
    one_hot = torch.nn.functional.one_hot
    codes = torch.cat([one_hot(place // width, height), one_hot(place % width, width)], dim=1).to(q.dtype)
    q = torch.cat([q, terms.to(q.dtype)], dim=-1)
    k = torch.cat([k, codes.expand(*k.shape[:2], -1, -1)], dim=-1)
    v = torch.nn.functional.pad(v, (0, height + width))  # flash kernels want q, k and v of one width
    return torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale)[..., :channels]
