"""Fixtures of the feature models' tests."""

from tests.features.tiny_vits import tiny_vit

__all__ = ["tiny_vit"]
