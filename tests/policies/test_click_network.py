"""The network of the learned click agents."""

from __future__ import annotations

import pytest
import torch

from gpoa.policies.click_network import ClickInputs, ClickNetwork, SpatialAttention

KINDS = ("relational", "implicit", "explicit")


def _inputs(count: int = 2, seed: int = 0) -> ClickInputs:
    draw = torch.Generator().manual_seed(seed)
    return ClickInputs(
        torch.randn(count, 5, 64, 64, generator=draw),
        torch.randn(count, 256, 256, generator=draw),
        torch.randn(count, 256, 256, generator=draw),
        torch.randn(count, 256, 64, 64, generator=draw),
    )


def _trained_looking(kind: str) -> ClickNetwork:
    """With heads that are not zero."""
    torch.manual_seed(1)
    network = ClickNetwork(kind, 5, (0, 1), width=8).eval()
    for head in (network.gains, network.residual):
        torch.nn.init.normal_(head.weight)
    return network


@pytest.mark.parametrize("kind", KINDS)
def test_shapes(kind: str) -> None:
    said = _trained_looking(kind)(_inputs())
    assert said.gains.shape == (2, 2, 64, 64) and said.belief.shape == (2, 256, 256)


@pytest.mark.parametrize("kind", KINDS)
def test_changing_one_sample_leaves_the_others_bit_equal(kind: str) -> None:
    network, inputs = _trained_looking(kind).train(), _inputs(3)
    before = network(inputs)
    changed = ClickInputs(*(part.clone() for part in inputs))
    for part in changed:
        part[1] += 1
    after = network(changed)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[0], new[0]) and torch.equal(old[2], new[2])
        assert not torch.equal(old[1], new[1])


def test_attention_reaches_across_the_image() -> None:
    torch.manual_seed(0)
    attention, x = SpatialAttention(8).eval(), torch.randn(1, 8, 64, 64)
    changed = x.clone()
    changed[0, :4, 60, 60] += 5.0
    far = (attention(changed) - attention(x))[0, :, 2, 2]
    assert far.abs().max() > 1e-5


def test_the_implicit_kind_does_not_see_the_prior() -> None:
    network, inputs = _trained_looking("implicit"), _inputs()
    other = inputs._replace(prior=inputs.prior + 3, maps=inputs.maps.clone())
    other.maps[:, :2] = 9.0
    for old, new in zip(network(inputs), network(other), strict=True):
        assert torch.equal(old, new)
    assert not torch.equal(_trained_looking("explicit")(inputs).belief, _trained_looking("explicit")(other).belief)


def test_untrained_it_mixes_prior_and_mask_and_expects_no_gain() -> None:
    inputs = _inputs()
    said = ClickNetwork("relational", 5, (0, 1), width=8)(inputs)
    assert torch.equal(said.gains, torch.zeros(2, 2, 64, 64))
    assert torch.allclose(said.belief, 0.7 * inputs.prior + 0.3 * inputs.mask.clamp(-10, 10))
