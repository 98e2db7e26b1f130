"""Parameters in ONNX graphs.

An ONNX export keeps the names of most parameters. What it renames is found again through the graph: a linear layer's
weight is an anonymous, transposed operand of the MatMul node that carries the layer's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpoa.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import onnx


def load_graph(graph: Path) -> onnx.ModelProto:
    """Reads an ONNX file; ModelError where it is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(str(graph))
    except (DecodeError, OSError, ValueError) as error:
        raise ModelError(f"{graph}: not an ONNX model ({error})") from error


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Name -> value of every stored tensor."""
    from onnx.numpy_helper import to_array

    return {tensor.name: to_array(tensor) for tensor in model.graph.initializer}


def linear_weights(model: onnx.ModelProto, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Layer -> [out, in] weight of the linear layers whose weight the export made anonymous (and transposed)."""
    import numpy as np

    found = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1].startswith("onnx::") and node.input[1] in values:
            layer = node.name.removesuffix("/MatMul").strip("/").replace("/", ".")
            found[layer] = np.ascontiguousarray(values[node.input[1]].T)
    return found


def operand(model: onnx.ModelProto, values: dict[str, np.ndarray], node_name: str) -> np.ndarray:
    """The one stored operand of a node; KeyError where there is none."""
    for node in model.graph.node:
        if node.name == node_name:
            for name in node.input:
                if name in values:
                    return values[name]
    raise KeyError(node_name)
