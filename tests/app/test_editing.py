"""Clicks, strokes, undo on hand-made masks."""

from __future__ import annotations

import numpy as np
import pytest

from gpoa.app.editing import Edit, core_of, draw_stroke, enlarge, merge_at
from gpoa.errors import DataError


class Scripted:
    """Answers click after click with the next of its masks."""

    def __init__(self, answers: list[np.ndarray]) -> None:
        self.answers, self.clicks = answers, []

    def click(self, x: float, y: float, label: int = 1) -> np.ndarray:
        self.clicks.append((x, y, label))
        return self.answers.pop(0)

    def undo(self) -> bool:
        return bool(self.clicks and self.clicks.pop())


def _box(x0: int, x1: int, size: tuple[int, int] = (20, 40)) -> np.ndarray:
    """[h, w] bool: columns x0 to x1 of rows 5 to 15."""
    mask = np.zeros(size, dtype=bool)
    mask[5:15, x0:x1] = True
    return mask


def _edit(start: np.ndarray, *answers: np.ndarray) -> tuple[Edit, list[Scripted]]:
    """An edit, and what it was given to answer clicks, in turn."""
    left, opened = list(answers), []
    return Edit(start, lambda: (opened.append(Scripted(left)), opened[-1])[1]), opened


NOTHING = np.zeros((20, 40), dtype=bool)


def test_from_nothing_the_answer_is_the_mask() -> None:
    edit, opened = _edit(NOTHING, _box(0, 30), _box(2, 8))
    edit.click(5, 10, 1)
    assert (edit.mask == _box(0, 30)).all()
    edit.click(20, 10, 0)  # the segmenter thinks again, also far from the click
    assert (edit.mask == _box(2, 8)).all() and edit.points == [(5, 10, 1), (20, 10, 0)]
    assert [one.clicks for one in opened] == [[(5, 10, 1), (20, 10, 0)]]


def test_a_mask_of_one_piece_stands_for_a_click_on_its_middle() -> None:
    edit, opened = _edit(_box(2, 14), _box(2, 20), _box(2, 8))
    edit.click(12, 10, 0)
    assert (edit.mask == _box(2, 8)).all() and edit.points == [(12, 10, 0)]
    (x, y, label), mine = opened[0].clicks
    assert label == 1 and 3 <= x <= 9 and 6 <= y <= 13 and mine == (12, 10, 0)  # in the mask, away from the click
    edit.undo()
    assert (edit.mask == _box(2, 14)).all()


def test_of_several_pieces_a_click_changes_its_place_only() -> None:
    start = _box(2, 8) | _box(20, 26)
    edit, _ = _edit(start, _box(12, 16), _box(19, 27))
    edit.click(13, 10, 1)  # the segmenter sees one thing under the click and knows of no other
    assert (edit.mask == (start | _box(12, 16))).all()
    edit.click(22, 10, 0)
    assert (edit.mask == (_box(2, 8) | _box(12, 16))).all()


def test_an_earlier_click_is_not_overruled() -> None:
    """A thing under a click that holds an earlier one of the other kind is asked for again, without that."""
    edit, opened = _edit(_box(2, 8) | _box(20, 26), _box(12, 16), _box(12, 30), _box(19, 27))
    edit.click(13, 10, 1)
    edit.click(22, 10, 0)
    assert opened[1].clicks == [(22, 10, 1), (13, 10, 0)]
    assert (edit.mask == (_box(2, 8) | _box(12, 16))).all()


def test_a_click_after_a_stroke_keeps_the_stroke() -> None:
    edit, _ = _edit(NOTHING, _box(2, 8), _box(20, 26))
    edit.click(5, 10, 1)
    edit.stroke([(35, 2)], 1.5, True)
    edit.click(22, 10, 1)
    assert edit.mask[2, 35] and edit.mask[10, 5] and edit.mask[10, 22]


def test_clear_begins_anew() -> None:
    edit, opened = _edit(_box(2, 8), _box(20, 26))
    edit.clear()
    assert not edit.mask.any()
    edit.click(22, 10, 1)
    assert (edit.mask == _box(20, 26)).all() and edit.points == [(22, 10, 1)]
    assert opened[0].clicks == [(22, 10, 1)]  # nothing of the old mask
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
    before, thing = _box(2, 8), _box(12, 16) | _box(30, 34)
    assert (merge_at(before, thing, (13, 10), 1) == (before | _box(12, 16))).all()
    assert (merge_at(before, thing, (11, 10), 1) == (before | _box(12, 16))).all()  # a pixel beside it
    assert (merge_at(before, thing, (22, 10), 1) == before).all()  # nothing near
    assert not merge_at(before, _box(0, 10), (5, 10), 0).any()


def test_the_core_of_a_mask() -> None:
    assert core_of(NOTHING, (0, 0), 1) is None and core_of(_box(2, 8) | _box(20, 26), (0, 0), 1) is None
    x, y, label = core_of(_box(0, 11), (30, 2), 1)
    assert 4 <= x <= 6 and label == 1 and 8 <= y <= 11
    assert core_of(_box(2, 4), (2, 10), 0) is not None  # above and below the click
    large = np.zeros((1500, 3000), dtype=bool)
    large[300:900, 1000:2000] = True
    x, y, _ = core_of(large, (0, 0), 1)
    assert 1250 <= x <= 1750 and abs(y - 600) < 25


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
