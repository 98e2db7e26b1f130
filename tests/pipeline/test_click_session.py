"""Clicks by a person and by the program, with a segmenter that draws discs."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from gpoa.config import GpoaConfig
from gpoa.errors import ConfigError, DataError
from gpoa.pipeline.click_session import ClickSession
from tests.fake_backbones import FakeBackbones, FakeSegmenter

IMAGE = np.zeros((100, 200, 3), dtype=np.uint8)


def _session(**options: object) -> ClickSession:
    return ClickSession(IMAGE, models=FakeBackbones(GpoaConfig()), feed_back=False, **options)


def _square(top: int, left: int, side: int = 40) -> np.ndarray:
    map_ = np.full((100, 200), 0.05, dtype=np.float32)
    map_[top : top + side, left : left + side] = 0.9
    return map_


def test_a_click_makes_a_mask_around_it() -> None:
    session = _session()
    assert not session.mask.any()
    mask = session.click(50, 40)
    assert mask.shape == (100, 200) and mask.dtype == bool
    assert mask[40, 50] and not mask[40, 120]
    rows, columns = np.nonzero(mask)
    assert (rows.mean(), columns.mean()) == pytest.approx((40, 50), abs=1)


def test_undo_restores_the_mask_bit_for_bit() -> None:
    session = _session()
    before = session.click(50, 40)
    session.click(150, 60)
    assert session.mask[60, 150] and len(session.clicks) == 2
    assert session.undo() and np.array_equal(session.mask, before)
    assert session.undo() and not session.mask.any()
    assert not session.undo()


def test_a_returned_mask_is_a_copy() -> None:
    session = _session()
    session.click(50, 40)[:] = True
    assert not session.mask.all()


def test_the_prior_makes_the_first_mask_and_the_suggestion() -> None:
    session = _session(prior=_square(30, 120))
    assert session.mask[50, 140] and not session.mask[50, 60]
    assert session.suggest() is None  # prior and mask agree
    session.click(30, 50)
    other = _session(start=np.zeros((100, 200), dtype=bool), prior=_square(30, 120))
    x, y, label = other.suggest() or (0, 0, -1)
    assert label == 1 and abs(x - 139.5) <= 2 and abs(y - 49.5) <= 2


def test_what_the_prior_does_not_know_is_suggested_as_negative() -> None:
    start = np.zeros((100, 200), dtype=bool)
    start[30:70, 120:160] = True
    start[20:80, 10:70] = True
    x, y, label = _session(prior=_square(30, 120), start=start).suggest() or (0, 0, -1)
    assert label == 0 and abs(x - 39.5) <= 2 and abs(y - 49.5) <= 2


def test_suggestions_keep_away_from_earlier_clicks() -> None:
    session = _session(prior=_square(30, 120), start=np.zeros((100, 200), dtype=bool))
    seen = set()
    for _ in range(4):
        suggestion = session.suggest()
        if suggestion is None:
            break
        assert suggestion[:2] not in seen
        seen.add(suggestion[:2])
        session.click(*suggestion)
    assert seen


def test_without_prior_sams_other_masks_are_asked() -> None:
    class Undecided(FakeSegmenter):
        """Its second mask is a larger disc of which it is surer."""

        def decode(self, embedding, prompts, multimask_output=False, all_outputs=False):  # type: ignore[no-untyped-def]
            made = super().decode(embedding, prompts, multimask_output, all_outputs)
            y, x = np.mgrid[0:256, 0:256]
            made.low_res_logits[:, 2:, (y - 60) ** 2 + (x - 180) ** 2 < 400] = 9.0
            made.iou_predictions[:] = [0.5, 0.95, 0.9, 0.9]
            return made

    models = FakeBackbones(GpoaConfig())
    models.segmenter = Undecided()
    session = ClickSession(IMAGE, models=models)
    x, y, label = session.suggest() or (0, 0, -1)  # nothing is known: from the grid
    assert label == 1
    session.click(30, 30)
    x, y, label = session.suggest() or (0, 0, -1)
    assert label == 1 and abs(x - 180 * 200 / 256) < 3 and abs(y - 60 * 200 / 256) < 3


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ClickSession(IMAGE), ConfigError, "either segmenter= or models="),
        (lambda: _session(start=np.zeros((5, 5), dtype=bool)), DataError, r"\(100, 200\) is expected"),
        (lambda: _session(prior=np.full((10, 10), 3.0)), ValueError, "probabilities"),
        (lambda: _session().click(200, 10), ValueError, "outside the image of 200 x 100"),
        (lambda: _session().click(20, 10, 2), ValueError, "label 2"),
    ],
)
def test_mistakes_are_named(call, error: type[Exception], text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error, match=text):
        call()


def test_no_truth_goes_in() -> None:
    names = set(inspect.signature(ClickSession).parameters) | set(inspect.signature(ClickSession.suggest).parameters)
    assert not {name for name in names if "truth" in name or "target_mask" in name}
