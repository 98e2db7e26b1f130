"""Where in an image a word is meant: the similarity of CLIP's patches to a text, as a map of probabilities.

After CLIP Surgery (Li et al. 2023, arXiv:2304.05653): CLIP's last layers mix the patches so that background answers to
every word. Beside the model's own path a second one is kept through the last layers, in which the values attend to each
other (v-v attention) and the feed-forward parts are left out; from the similarity to the word the mean similarity to
other texts is taken away. What differs: six layers by default whatever the depth, and the map is a sigmoid of the
standardised similarity, since its scale says nothing about whether the object is there at all.

The map is a prior like that of a reference image: `ClickSession(image, prior=map)`, `gpoa click --text`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpoa.errors import ModelError, one_line
from gpoa.features.vit_kinds import BICUBIC, Pixels
from gpoa.models.hf_loading import import_transformers, load_pretrained

MEAN, STD = (0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)
"""CLIP's, of each channel."""
TEMPLATES = ("a photo of {}.", "a close-up of {}.", "an image of {}.")
OTHERS = ("", "background", "an object", "a texture")
"""Texts whose similarity is taken away."""
SURGERY_LAYERS = 6
SHARPNESS, LEVEL = 2.0, 1.0
"""The probability is one half where the similarity is so many standard deviations above its mean, and this steep."""


class TextMap:
    """A CLIP of transformers and one word.

    Args:
        model: a `CLIPModel`.
        tokenizer: texts -> `input_ids` and `attention_mask` as tensors (`return_tensors="pt"`).
        word: names the object.
        side: of the model's square input in pixels; a multiple of its patch size.
    """

    def __init__(self, model: Any, tokenizer: Any, word: str, side: int = 448) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.patch = int(model.config.vision_config.patch_size)
        self.side = max(1, side // self.patch) * self.patch
        self.wanted = self._texts([template.format(word) for template in TEMPLATES]).mean(dim=0)
        self.others = self._texts(list(OTHERS)).mean(dim=0)

    @classmethod
    def load(cls, folder: Path, word: str, device: str = "cpu") -> TextMap:
        """Reads a model folder (config, safetensors weights and the tokenizer's files).

        Raises:
            ModelError: there is none, or it is no CLIP.
        """
        if not (folder / "config.json").is_file():
            raise ModelError(f"--clip {folder}: no model there; give a folder with a CLIP of transformers")
        model = load_pretrained("CLIPModel", folder, device)
        try:
            tokenizer = import_transformers().AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"--clip {folder}: its tokenizer cannot be read ({one_line(error)[:80]})") from error
        return cls(model, tokenizer, word)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The word's map of an image.

        Args:
            image: [H, W, 3] uint8 RGB.

        Returns:
            [rows, columns] float32 in [0, 1] over the whole image, one value a patch.
        """
        import torch

        pixels = torch.from_numpy(Pixels(MEAN, STD, BICUBIC).to_input(image, self.side)).to(self.model.device)
        with torch.inference_mode():
            patches = self.patches(pixels)
            near = (patches @ (self.wanted - self.others)).float().cpu().numpy()
        rows = self.side // self.patch
        standard = (near - near.mean()) / max(float(near.std()), 1e-6)
        return (1 / (1 + np.exp(-SHARPNESS * (standard - LEVEL)))).reshape(rows, rows).astype(np.float32)

    def patches(self, pixels: Any, layers: int = SURGERY_LAYERS) -> Any:
        """Patch tokens in the space of the texts.

        Args:
            pixels: [1, 3, side, side] float32.
            layers: how many of the last layers are operated on; with 0 they are the model's own.

        Returns:
            [patches, D] of unit length.
        """
        from torch.nn.functional import normalize

        vision = self.model.vision_model
        hidden = vision.pre_layrnorm(vision.embeddings(pixels, interpolate_pos_encoding=True))
        blocks = list(vision.encoder.layers)
        surgery = hidden
        for number, block in enumerate(blocks):
            operated = number >= len(blocks) - layers
            if operated:
                surgery = surgery + _values_attend(block.self_attn, block.layer_norm1(hidden))
            answer = block(hidden, attention_mask=None)
            hidden = answer[0] if isinstance(answer, tuple) else answer
            surgery = surgery if operated else hidden
        tokens = vision.post_layernorm(surgery[:, 1:])
        return normalize(self.model.visual_projection(tokens)[0], dim=-1)

    def _texts(self, texts: Sequence[str]) -> Any:
        """[T, D] of unit length."""
        import torch
        from torch.nn.functional import normalize

        inputs = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        with torch.inference_mode():
            said = self.model.get_text_features(**{name: value.to(self.model.device) for name, value in inputs.items()})
        return normalize(getattr(said, "pooler_output", said), dim=-1)


def _values_attend(attention: Any, hidden: Any) -> Any:
    """Attention in which the values are queries and keys as well: [1, T, W] -> [1, T, W]."""
    import torch

    batch, count, width = hidden.shape
    values = attention.v_proj(hidden).view(batch, count, attention.num_heads, -1).transpose(1, 2)
    weights = torch.softmax(values @ values.transpose(-1, -2) * values.shape[-1] ** -0.5, dim=-1)
    return attention.out_proj((weights @ values).transpose(1, 2).reshape(batch, count, width))
