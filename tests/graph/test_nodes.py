"""Which nodes there are, and what a toggle does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpoa.graph.nodes import NodeKind, PromptNodes
from gpoa.matching.candidates import to_box, to_mask_prompt
from tests.episodes import CONFIG, SIZE, make_features, make_folder_source, make_nodes, make_prompts


@pytest.fixture
def nodes() -> PromptNodes:
    return make_nodes()


def _of(nodes: PromptNodes, kind: NodeKind) -> np.ndarray:
    return np.flatnonzero(nodes.kind == kind)


def test_kinds_and_their_numbers(nodes: PromptNodes):
    counts = [len(_of(nodes, kind)) for kind in NodeKind]
    # 3 + 3 points, 3 levels, the box, groups {2, 1} of each label, 4 outputs.
    assert counts == [3, 3, 3, 1, 4, 4, 0]


def test_start_is_the_initial_set(nodes: PromptNodes):
    given, made = make_prompts(make_features()), nodes.to_prompts(nodes.start)
    np.testing.assert_array_equal(made.point_coords, given.point_coords)
    np.testing.assert_array_equal(made.point_labels, given.point_labels)
    assert made.mask_prompt is nodes.dense_prompts[1] and made.box is None and made.mask_output == 0
    np.testing.assert_array_equal(made.mask_prompt, given.mask_prompt)


def test_start_without_a_dense_prompt():
    nodes = make_nodes(dense=False)
    assert nodes.to_prompts(nodes.start).mask_prompt is None
    assert len(_of(nodes, NodeKind.DENSE)) == 3
    assert len(_of(make_nodes(replace(CONFIG, always_dense=False), dense=False), NodeKind.DENSE)) == 0


def test_a_point_flips(nodes: PromptNodes):
    after = nodes.toggle(nodes.start, 0)
    assert not after[0] and nodes.start[0]
    np.testing.assert_array_equal(nodes.toggle(after, 0), nodes.start)


def test_dense_prompts_exclude_each_other(nodes: PromptNodes):
    low, middle, high = _of(nodes, NodeKind.DENSE)
    after = nodes.toggle(nodes.start, high)
    assert after[high] and not after[middle] and not after[low]
    assert nodes.to_prompts(nodes.toggle(after, high)).mask_prompt is None


def test_an_output_replaces_the_other(nodes: PromptNodes):
    outputs = _of(nodes, NodeKind.OUTPUT)
    after = nodes.toggle(nodes.start, outputs[2])
    assert after[outputs].tolist() == [False, False, True, False]
    np.testing.assert_array_equal(nodes.toggle(after, outputs[2]), after)
    assert nodes.to_prompts(after).mask_output == 2
    assert nodes.prompt_key(after) == nodes.prompt_key(nodes.start)


def test_a_group_flips_its_members(nodes: PromptNodes):
    group = _of(nodes, NodeKind.GROUP)[0]
    members = np.flatnonzero(nodes.members[group])
    assert members.tolist() == [0, 1]
    off = nodes.toggle(nodes.start, group)
    assert not off[members].any() and not off[group]
    half = nodes.toggle(off, 0)
    assert nodes.toggle(half, group)[members].all()  # half on counts as off


def test_supports_are_weights(nodes: PromptNodes):
    sums = nodes.support.sum(axis=1)
    np.testing.assert_allclose(sums[nodes.kind != NodeKind.OUTPUT], 1, rtol=1e-5)
    assert nodes.support[0, 27] == 1
    lower, _, upper = (np.count_nonzero(nodes.support[node]) for node in _of(nodes, NodeKind.DENSE))
    assert (lower, upper) == (36, 16)  # |y|, |x| <= 2.5 and <= 1.5


def test_no_points_at_all():
    empty = replace(
        make_prompts(make_features()), point_coords=np.zeros((0, 2), np.float32), point_labels=np.zeros(0, int)
    )
    from gpoa.graph.nodes import PromptSource, build_nodes
    from tests.episodes import make_score_map

    nodes = build_nodes(PromptSource(empty, make_score_map()), CONFIG, 4.0, SIZE)
    assert [len(_of(nodes, kind)) for kind in NodeKind] == [0, 0, 3, 1, 0, 4, 0]


def test_the_folder_replaces_the_whole_set():
    nodes = make_nodes(folder=True)
    assert [len(_of(nodes, kind)) for kind in NodeKind] == [6, 6, 6, 2, 8, 4, 1]
    folder = _of(nodes, NodeKind.FOLDER)[0]
    on = nodes.toggle(nodes.toggle(nodes.start, 0), folder)  # whatever was changed before
    assert on[folder] and nodes.from_folder[on & (nodes.kind <= NodeKind.BOX)].all()
    source, made = make_folder_source(), nodes.to_prompts(on)
    np.testing.assert_array_equal(made.point_coords, source.prompts.point_coords)
    assert made.mask_prompt is None  # this source gives no dense prompt
    np.testing.assert_array_equal(nodes.toggle(on, folder), nodes.start)
    dense_nodes = _of(nodes, NodeKind.DENSE)
    level = next(node for node in dense_nodes if nodes.from_folder[node] and nodes.level[node] == 0)
    dense = nodes.to_prompts(nodes.toggle(on, level)).mask_prompt
    np.testing.assert_array_equal(dense, to_mask_prompt(source.score_map, SIZE, 4.0))
    box = next(node for node in _of(nodes, NodeKind.BOX) if nodes.from_folder[node])
    np.testing.assert_array_equal(nodes.to_prompts(nodes.toggle(on, box)).box, to_box(source.score_map, SIZE))


def test_only_one_side_can_be_reached():
    nodes = make_nodes(folder=True)
    free = (nodes.kind == NodeKind.FOLDER) | (nodes.kind == NodeKind.OUTPUT)
    np.testing.assert_array_equal(nodes.reachable(nodes.start), ~nodes.from_folder | free)
    on = nodes.toggle(nodes.start, _of(nodes, NodeKind.FOLDER)[0])
    np.testing.assert_array_equal(nodes.reachable(on), nodes.from_folder | free)


def test_the_folder_does_not_change_what_the_reference_says():
    alone, both = make_nodes(), make_nodes(folder=True)
    one, two = alone.to_prompts(alone.start), both.to_prompts(both.start)
    np.testing.assert_array_equal(one.point_coords, two.point_coords)
    np.testing.assert_array_equal(one.mask_prompt, two.mask_prompt)
    np.testing.assert_allclose(both.support.sum(axis=1)[both.kind != NodeKind.OUTPUT], 1, rtol=1e-5)
