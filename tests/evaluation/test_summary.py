"""Who wins, by hand."""

from __future__ import annotations

import pytest

from gpoa.evaluation.summary import best_other, complete_rows, duel, headline, summarise


def row(name: str, image: str, method: str, iou: float, status: str = "ok") -> dict:
    scores = dict.fromkeys(("dice", "boundary_iou", "hd95"), iou)
    costs = {"calls": 2, "seconds": 1.0, "encode_seconds": 0.5, "decode_seconds": 0.25}
    keys = {"class": name, "reference": "r", "image": image, "method": method, "seed": "0", "status": status}
    return {**keys, "iou": str(iou), **scores, **costs}


ROWS = [
    *(row("s/a", "1", "we", 0.9), row("s/a", "2", "we", 0.50), row("t", "1", "we", 0.2)),
    *(row("s/a", "1", "it", 0.8), row("s/a", "2", "it", 0.51), row("t", "1", "it", 0.6, "failed")),
]


def test_duel_counts_wins_ties_and_losses():
    one = duel(ROWS, "we", "it")
    assert (one.wins, one.ties, one.losses) == (1, 1, 1)
    assert one.difference == pytest.approx(((0.1 - 0.01) / 2 - 0.4) / 2)
    assert one.low <= one.difference <= one.high
    assert one.share_lost == pytest.approx(1 / 3)


def test_duel_turned_round_changes_the_sign():
    one, other = duel(ROWS, "we", "it"), duel(ROWS, "it", "we")
    assert other.difference == pytest.approx(-one.difference)
    assert (other.wins, other.losses) == (one.losses, one.wins)


def test_summary_of_a_method():
    one = summarise(ROWS, "it", ("iou", "dice"))
    assert one.means["iou"] == pytest.approx(((0.8 + 0.51) / 2 + 0.6) / 2)
    assert one.over_classes == pytest.approx(((0.8 + 0.51) / 2 + 0.6) / 2)
    assert (one.images, one.failed, one.means["calls"]) == (3, 1, 2)


def test_only_images_that_all_methods_have_are_compared():
    rows = [*ROWS, row("t", "2", "we", 0.1)]
    assert complete_rows(rows, ["we", "it"]) == ROWS
    assert complete_rows(rows, []) == []


def test_the_winner_of_each_class_is_named():
    assert best_other(ROWS, "we", ["we", "it"]) == {
        "s/a": ("it", pytest.approx(-0.045)),
        "t": ("it", pytest.approx(0.4)),
    }


def test_headline_has_a_line_a_method():
    lines = headline(ROWS, "we", ["we", "it"], {"it": "It & co"}).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| we | 0.450 (") and lines[3].startswith("| It & co | 0.627 (")
    assert "| 33 % / 33 % / 33 % |" in lines[3]
    assert len({line.count("|") for line in lines}) == 1
