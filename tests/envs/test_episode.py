"""The rules of the decision process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpoa.envs.episode import Feedback
from gpoa.envs.observation import observe
from gpoa.envs.rewards import POTENTIALS
from gpoa.graph.nodes import NodeKind
from tests.episodes import CONFIG, decode, make_episode, make_truth


def test_stop_is_legal_at_once_and_ends():
    episode = make_episode()
    state = episode.start()
    assert episode.legal(state)[episode.stop]
    stopped = episode.step(state, episode.stop)
    assert episode.ended(stopped) and stopped.stopped
    with pytest.raises(ValueError, match="not legal"):
        episode.step(stopped, episode.stop)


def test_no_immediate_undo():
    episode = make_episode()
    state = episode.step(episode.start(), 0)
    assert not episode.legal(state)[0]
    with pytest.raises(ValueError, match="action 0 is not legal"):
        episode.step(state, 0)
    assert episode.legal(episode.step(state, 1))[0]


def test_a_set_never_gets_empty():
    episode = make_episode()
    active = episode.nodes.start.copy()
    active[1:3] = False
    active[episode.nodes.kind == NodeKind.DENSE] = False
    state = replace(episode.start(), active=active)
    assert not episode.legal(state)[0]  # the last positive, with neither a dense prompt nor the box
    assert episode.legal(state)[3]  # a negative may go


def test_what_changes_nothing_is_illegal():
    episode = make_episode()
    outputs = np.flatnonzero(episode.nodes.kind == NodeKind.OUTPUT)
    assert episode.legal(episode.start())[outputs].tolist() == [False, True, True, True]


def test_points_alone_can_be_forbidden():
    episode = make_episode(config=replace(CONFIG, single_points=False))
    assert not episode.legal(episode.start())[:6].any()


def test_horizon_ends():
    episode = make_episode(config=replace(CONFIG, horizon=2))
    state = episode.step(episode.step(episode.start(), 0), 1)
    assert episode.ended(state) and not state.stopped


def test_each_set_is_decoded_once_with_all_outputs():
    calls = []

    def counting(sets):
        calls.append(len(sets))
        return decode(sets)

    episode = make_episode(answer=counting)
    state = episode.start()
    output = int(np.flatnonzero(episode.nodes.kind == NodeKind.OUTPUT)[1])
    for active in (state.active, episode.step(state, output).active, state.active):
        episode.feedback(active)
    assert (calls, episode.decoder_calls) == ([1], 1)
    episode.feedback(episode.step(state, 0).active)
    assert calls == [1, 1]


def test_first_mask_does_not_differ_from_itself():
    from gpoa.matching.mask_difference import DIFFERENCES

    episode = make_episode()
    differences = episode.feedback(episode.nodes.start).differences
    changes = [place for place, name in enumerate(DIFFERENCES) if not name.startswith("first_")]
    assert np.abs(differences[0, changes]).max() == 0
    assert np.abs(differences[1, changes]).max() > 0


def test_larger_mask_adds_and_smaller_removes():
    from gpoa.matching.mask_difference import DIFFERENCES

    differences = make_episode().feedback(make_episode().nodes.start).differences
    added, removed = DIFFERENCES.index("added"), DIFFERENCES.index("removed")
    assert differences[1, added] > 0 == differences[1, removed]
    assert differences[2, removed] > 0 == differences[2, added]


@pytest.mark.parametrize("reward", list(POTENTIALS))
def test_closed_cycle_earns_nothing(reward: str):
    """Toggling a, b, a, b comes back to the start; the rewards of the four steps sum to zero."""
    episode = make_episode(make_truth(), reward=reward)
    potential, state, total = POTENTIALS[reward], episode.start(), 0.0
    for action in (0, 3, 0, 3):
        after = episode.step(state, action)
        total += potential(episode, after) - potential(episode, state)
        state = after
    np.testing.assert_array_equal(state.active, episode.nodes.start)
    assert total == pytest.approx(0, abs=1e-12)


def test_training_and_inference_see_the_same_bits():
    trained, served = make_episode(make_truth()), make_episode()
    for actions in ((), (0,), (8, 3)):
        left, right = trained.start(), served.start()
        for action in actions:
            left, right = trained.step(left, action), served.step(right, action)
        one, two = observe(trained, left), observe(served, right)
        for name in ("features", "support", "image_maps", "maps", "reference_maps", "scalars", "differences", "legal"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)


def test_no_truth_at_inference():
    episode = make_episode()
    assert episode.feedback(episode.nodes.start).truth is None
    with pytest.raises(ValueError, match="needs ground truth"):
        POTENTIALS["iou"](episode, episode.start())


def test_one_mask_of_an_answer() -> None:
    logits = np.arange(4.0)[:, None, None] * np.ones((4, 256, 256))
    played = Feedback(logits.astype(np.float32), (), np.zeros((4, 1)))
    assert played.logits_of(2)[0, 0] == 2
    with pytest.raises(ValueError, match="with `compare` only"):
        played.truth_of(2)
    trained = Feedback(None, (), np.zeros((4, 1)), np.array([0.25, 0.5, 0.75, 1.0], dtype=np.float32))
    assert trained.truth_of(2) == 0.75
    with pytest.raises(ValueError, match="keeps no logits"):
        trained.logits_of(2)
