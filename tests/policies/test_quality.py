"""The quality head and its losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpoa.matching.mask_difference import DIFFERENCES
from gpoa.policies.batch import stack_maps
from gpoa.policies.quality import CHANGE, GainModel, MapBatch, QualityHead, quality_loss
from gpoa.search.keep_best import Judged, judge_sets, keep_best, mask_parts
from tests.episodes import make_episode


@pytest.fixture
def head() -> QualityHead:
    torch.manual_seed(0)
    return QualityHead(members=2, width=16).eval()


def _batch(shots: int = 1) -> MapBatch:
    episode = make_episode()
    parts = mask_parts(episode, episode.nodes.start)
    parts = (*parts[:2], np.repeat(parts[2], shots, axis=1), *parts[3:])
    return stack_maps([parts, parts])


def test_ranges(head: QualityHead):
    answer = head(_batch())
    assert answer.iou.shape == answer.gain.shape == (2,)
    assert float(answer.iou.min()) > 0 and float(answer.iou.max()) < 1


def test_a_repeated_shot_changes_nothing(head: QualityHead):
    """Means over shots are weighted by the mask; the 0.5 in their denominators leaves a trace."""
    torch.testing.assert_close(head(_batch(1)).iou, head(_batch(3)).iou, atol=2e-2, rtol=0)


def test_mirrored_images_get_the_same_answer(head: QualityHead):
    batch = _batch()
    mirrored = batch._replace(target=batch.target.flip(-1), reference=batch.reference.flip(-1))
    torch.testing.assert_close(head(batch).iou, head(mirrored).iou)


def test_quality_loss_by_hand():
    logits, truth = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.5, 1.0]])
    expected = (np.log(2) + np.log1p(np.exp(-2))) / 2
    assert float(quality_loss(logits, truth)) == pytest.approx(expected)


def _differences(images: int, masks: int, seed: int = 0) -> torch.Tensor:
    """Random ones; the first mask of each image has changed nothing."""
    made = torch.from_numpy(np.random.default_rng(seed).normal(size=(images, masks, len(DIFFERENCES)))).float()
    made[..., CHANGE] = made[..., CHANGE].abs().clamp(max=0.3)  # masks that overlap enough
    made[:, 0] = 0
    return made


def test_gain_model_finds_a_linear_law():
    differences, law = _differences(200, 9), torch.linspace(-0.02, 0.02, len(DIFFERENCES))
    truth = 0.5 + (differences @ law).clamp(-0.3, 0.3)
    model = GainModel()
    model.learn(differences, truth)
    fresh = _differences(50, 9, seed=1)
    error = (model(fresh) - (fresh @ law).clamp(-0.3, 0.3)).abs().mean()
    assert error < 0.3 * (fresh @ law).abs().mean()  # the penalty shrinks the law by 1 - 1 / 1.3
    assert model(fresh)[:, 0].abs().max() == 0  # the first mask gains nothing over itself


def test_gain_model_believes_nothing_of_a_far_mask():
    model, far = GainModel(), _differences(1, 2)[0]
    model.weight.fill_(0.1)
    far[1, CHANGE] = torch.tensor([0.55, 0.4])  # nineteen twentieths of both masks' area differ
    assert model(far).tolist() == [0, -1]


def test_gain_model_learns_the_same_in_parts():
    differences, truth = _differences(20, 5), torch.rand(20, 5)
    once, twice = GainModel(), GainModel()
    once.learn(differences, truth)
    twice.learn(differences[:7], truth[:7])
    twice.learn(differences[7:], truth[7:])
    torch.testing.assert_close(once.weight, twice.weight)


def test_gain_model_is_cautious_by_default():
    """Where changes hurt whatever they are, the model expects a loss of any change."""
    differences = _differences(100, 5)
    truth = torch.full((100, 5), 0.4)
    truth[:, 0] = 0.5
    model = GainModel()
    model.learn(differences, truth)
    assert float(model(differences)[:, 1:].max()) < 0


def test_judging_covers_all_outputs_once(head: QualityHead):
    episode = make_episode()
    start = episode.nodes.start
    judged = judge_sets(head, episode, [start, start, episode.nodes.with_output(start, 2)])
    assert [episode.nodes.output(one.active) for one in judged] == [0, 1, 2, 3]
    assert judged[0].gain == 0


@pytest.mark.parametrize(
    ("gains", "margin", "chosen"),
    [
        ((0.0, 0.02, 0.05), 0.03, 2),
        ((0.0, 0.02, 0.05), 0.05, 0),
        ((0.0, -0.1, -0.2), 0.0, 0),
        ((0.0, 0.04, 0.04), 0.0, 1),
    ],
)
def test_keep_best(gains: tuple, margin: float, chosen: int):
    judged = [Judged(np.zeros(1, dtype=bool), 0.5, gain) for gain in gains]
    assert keep_best(judged, margin) is judged[chosen]
