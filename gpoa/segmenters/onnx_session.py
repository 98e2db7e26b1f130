"""ONNX graphs on ONNX Runtime."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from gpoa.errors import ModelError, one_line

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)


def open_session(path: Path, device: str = "cpu") -> onnxruntime.InferenceSession:
    """Loads a graph.

    Args:
        path: the `.onnx` file.
        device: torch device; the CUDA provider is used where it is installed and asked for.

    Raises:
        ModelError: the file is missing or damaged.
    """
    import onnxruntime
    import torch

    wanted = ["CUDAExecutionProvider"] if device.startswith("cuda") else []
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()] + ["CPUExecutionProvider"]
    if wanted and len(providers) == 1:
        logger.warning(
            "%s runs on the CPU: this onnxruntime has no CUDA provider (pip install onnxruntime-gpu)", path.name
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # so OMP_NUM_THREADS counts for both
    # Its threads would spin between images and take the cores from torch.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what goes wrong is raised as well
    try:
        return onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        raise ModelError(f"{path}: cannot be loaded ({one_line(error)})") from error
