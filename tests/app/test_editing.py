"""Clicks, strokes, undo on hand-made masks."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.app.editing import Edit, draw_stroke, enlarge, merge_at
from gpoa.errors import DataError


class Scripted:
    """Answers click after click with the next of its masks."""

    def __init__(self, *answers: np.ndarray) -> None:
        self.answers, self.clicks = list(answers), []

    def click(self, x: float, y: float, label: int = 1) -> np.ndarray:
        self.clicks.append((x, y, label))
        return self.answers[len(self.clicks) - 1]

    def undo(self) -> bool:
        return bool(self.clicks and self.clicks.pop())


def _box(x0: int, x1: int, size: tuple[int, int] = (20, 40)) -> np.ndarray:
    """[h, w] bool: columns x0 to x1 of rows 5 to 15."""
    mask = np.zeros(size, dtype=bool)
    mask[5:15, x0:x1] = True
    return mask


def _edit(start: np.ndarray, *answers: np.ndarray) -> tuple[Edit, list[np.ndarray]]:
    """An edit, and the masks with which a clicker was asked for."""
    begun: list[np.ndarray] = []
    clicker = Scripted(*answers)
    return Edit(start, lambda mask: (begun.append(mask), clicker)[1]), begun


NOTHING = np.zeros((20, 40), dtype=bool)


def test_from_nothing_the_answer_is_the_mask() -> None:
    edit, begun = _edit(NOTHING, _box(0, 30), _box(2, 8))
    edit.click(5, 10, 1)
    assert (edit.mask == _box(0, 30)).all()
    edit.click(20, 10, 0)  # the segmenter thinks again, also far from the click
    assert (edit.mask == _box(2, 8)).all() and edit.points == [(5, 10, 1), (20, 10, 0)]
    assert len(begun) == 1 and not begun[0].any()


def test_a_click_on_a_mask_that_was_there_changes_its_place_only() -> None:
    start = _box(2, 8) | _box(20, 26)
    edit, _ = _edit(start, _box(12, 16))  # the segmenter forgets both objects
    edit.click(13, 10, 1)
    assert (edit.mask == (start | _box(12, 16))).all()
    edit, _ = _edit(start, NOTHING)
    edit.click(22, 10, 0)
    assert (edit.mask == _box(2, 8)).all()


def test_a_click_after_a_stroke_keeps_the_stroke() -> None:
    edit, begun = _edit(NOTHING, _box(2, 8), _box(20, 26))
    edit.click(5, 10, 1)
    edit.stroke([(35, 2)], 1.5, True)
    edit.click(22, 10, 1)
    assert edit.mask[2, 35] and edit.mask[10, 5] and edit.mask[10, 22]
    assert len(begun) == 2 and begun[1][2, 35]  # what answers clicks has seen the stroke


def test_clear_begins_anew() -> None:
    edit, begun = _edit(_box(2, 8), _box(20, 26))
    edit.clear()
    assert not edit.mask.any()
    edit.click(22, 10, 1)
    assert (edit.mask == _box(20, 26)).all() and edit.points == [(22, 10, 1)] and not begun[0].any()
    assert edit.undo() and edit.undo() and (edit.mask == _box(2, 8)).all() and not edit.undo()
    assert edit.redo() and edit.redo() and (edit.mask == _box(20, 26)).all() and not edit.redo()


def test_a_new_step_ends_redo() -> None:
    edit, _ = _edit(NOTHING)
    edit.stroke([(5, 5)], 2, True)
    edit.undo()
    edit.stroke([(9, 9)], 2, True)
    assert not edit.can_redo and not edit.redo() and edit.count("stroke") == 1


@pytest.mark.parametrize("point", [(-1, 5), (40, 5), (5, 20), (float("nan"), 5)])
def test_clicks_outside_are_refused(point: tuple[float, float]) -> None:
    edit, _ = _edit(NOTHING, NOTHING)
    with pytest.raises(DataError, match="outside"):
        edit.click(*point, 1)


def test_merge_takes_the_part_that_is_near_the_click() -> None:
    before, answer = _box(2, 8), _box(2, 8) | _box(12, 16) | _box(30, 34)
    assert (merge_at(before, answer, (13, 10), 1) == (before | _box(12, 16))).all()
    assert (merge_at(before, answer, (11, 10), 1) == (before | _box(12, 16))).all()  # a pixel beside it
    assert (merge_at(before, answer, (22, 10), 1) == before).all()  # nothing near
    assert (merge_at(before, answer, (5, 10), 0) == before).all()  # nothing is taken away by a click that adds


def test_stroke_is_round_and_as_wide_as_the_brush() -> None:
    drawn = draw_stroke((40, 60), [(10, 20), (50, 20)], 5)
    assert drawn[20, 10:51].all() and drawn[16:25, 30].all() and not drawn[13, 30] and not drawn[27, 30]
    assert not drawn[16, 5] and drawn[20, 6]  # a round end
    assert draw_stroke((40, 60), [(10, 20)], 5).sum() == pytest.approx(np.pi * 25, rel=0.25)


def test_at_full_size_only_what_changed_is_new() -> None:
    before = np.zeros((40, 80), dtype=bool)
    before[11:29, 5:15] = True  # an outline that the preview cannot hold
    before[12, 10] = False
    edit, _ = _edit(enlarge(before, (20, 40)))
    edit.stroke([(30, 10)], 4, True)
    full = edit.full_mask((40, 80), before)
    assert (full[:, :40] == before[:, :40]).all() and full[20, 60]
    edit.clear()
    assert not edit.full_mask((40, 80), before).any()
