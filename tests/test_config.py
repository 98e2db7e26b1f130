"""The nested config: its checks, its plain form, its digest. Default values are not repeated here; they may change."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpoa.config import (
    CandidatesConfig,
    FeaturesConfig,
    GpoaConfig,
    MatchingConfig,
    OptimizeConfig,
    SegmentConfig,
    ThresholdConfig,
    digest,
    to_dict,
)
from gpoa.errors import ConfigError


@pytest.mark.parametrize(
    ("room", "values", "said"),
    [
        (FeaturesConfig, {"image_size": 55}, "--features.image-size 55"),  # below the smallest
        (FeaturesConfig, {"layers": ()}, "--features.layers"),  # none
        (FeaturesConfig, {"layers": (0, 12)}, "--features.layers"),  # counted from 1
        (MatchingConfig, {"temperature": 0.0}, "--matching.temperature 0.0"),
        (MatchingConfig, {"temperature": math.nan}, "--matching.temperature nan"),  # nan is not above 0
        (MatchingConfig, {"ridge_lambda": -1.0}, "--matching.ridge-lambda -1.0"),
        (MatchingConfig, {"debias_components": -1}, "--matching.debias-components -1"),
        (CandidatesConfig, {"positives": 0}, "--candidates.positives 0"),
        (CandidatesConfig, {"negatives": -1}, "--candidates.negatives -1"),
        (CandidatesConfig, {"per_component": 0}, "--candidates.per-component 0"),
        (CandidatesConfig, {"positives": 5, "max_positives": 4}, "--candidates.max-positives"),
        (CandidatesConfig, {"prune_distance": 1.0}, "--candidates.prune-distance 1.0"),  # the whole image
        (CandidatesConfig, {"prune_distance": -0.1}, "--candidates.prune-distance -0.1"),
        (CandidatesConfig, {"dense_gain": 0.0}, "--candidates.dense-gain 0.0"),
        (ThresholdConfig, {"otsu_share": 1.1}, "--threshold.otsu-share 1.1"),
        (ThresholdConfig, {"presence": -1.1}, "--threshold.presence -1.1"),
        (OptimizeConfig, {"budget": 0}, "--budget 0"),
    ],
)
def test_bad_values(room: type, values: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        room(**values)


@pytest.mark.parametrize(
    ("room", "values"),
    [
        (FeaturesConfig, {"image_size": 56, "layers": (1,)}),
        (MatchingConfig, {"debias_components": 0}),  # off
        (CandidatesConfig, {"positives": 1, "negatives": 0, "per_component": 1, "max_positives": 1}),
        (CandidatesConfig, {"prune_distance": 0.0}),  # off
        (ThresholdConfig, {"otsu_share": 0.0, "presence": -1.0}),  # off
        (OptimizeConfig, {"budget": 1}),  # the start alone
    ],
)
def test_smallest_values(room: type, values: dict) -> None:
    made = room(**values)
    assert {name: getattr(made, name) for name in values} == values


def test_all_problems_in_one_line() -> None:
    with pytest.raises(ConfigError) as raised:
        CandidatesConfig(negatives=-1, per_component=0, dense_gain=-1.0)
    text = str(raised.value)
    assert all(flag in text for flag in ("negatives", "per-component", "dense-gain"))
    assert "\n" not in text


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GpoaConfig().optimize.budget = 3  # type: ignore[misc]


def test_to_dict_is_nested_and_plain() -> None:
    plain = json.loads(json.dumps(to_dict(GpoaConfig(optimize=OptimizeConfig(budget=3)))))
    sections = "reading models features matching threshold candidates graph optimize segment objects"
    assert set(plain) == set(sections.split())
    assert plain["optimize"]["budget"] == 3


def test_every_field_has_help() -> None:
    """The docstrings below the fields are the command line's help."""
    import ast
    import inspect

    import gpoa.config

    homes = [inspect.getmodule(getattr(gpoa.config, name)) for name in gpoa.config.__all__ if name.endswith("Config")]
    nodes = [node for home in dict.fromkeys(homes) for node in ast.parse(inspect.getsource(home)).body]
    assert {"ReadingConfig", "TrainConfig"} < {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    for node in nodes:
        if isinstance(node, ast.ClassDef) and node.name not in ("GpoaConfig",):
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(field, ast.AnnAssign):
                    said = isinstance(after, ast.Expr) and isinstance(getattr(after.value, "value", None), str)
                    assert said, f"{node.name}.{ast.unparse(field.target)} has no help"


def test_digest_names_values() -> None:
    assert re.fullmatch("[0-9a-f]{16}", digest(GpoaConfig()))
    assert digest(SegmentConfig(mode="joint")) == digest(SegmentConfig(mode="joint"))
    assert digest(SegmentConfig(mode="joint")) != digest(SegmentConfig(mode="components"))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest("ab", "c") != digest("a", "bc")  # parts do not run together


@given(st.integers(1, 99), st.integers(1, 99))
def test_digest_differs_with_a_nested_value(first: int, second: int) -> None:
    digests = [digest(GpoaConfig(optimize=OptimizeConfig(budget=value))) for value in (first, second)]
    assert (digests[0] == digests[1]) == (first == second)
