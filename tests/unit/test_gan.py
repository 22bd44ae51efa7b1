"""GAN losses: equal to their textbook forms, the best discriminator, and the spectral norm against SVD and PyTorch."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.torch import gan


def test_losses_are_the_textbook_ones():
    g = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, 7, generator=g)
    d_real, d_fake = real.sigmoid(), fake.sigmoid()
    want = -(d_real.log().mean() + (1 - d_fake).log().mean())
    for kind in ("minimax", "non-saturating"):
        assert torch.isclose(gan.discriminator_loss(real, fake, kind), want)
    assert torch.isclose(gan.generator_loss(fake, "minimax"), (1 - d_fake).log().mean())
    assert torch.isclose(gan.generator_loss(fake, "non-saturating"), -d_fake.log().mean())
    assert torch.isclose(gan.generator_loss(fake, "hinge"), -fake.mean())
    hinge = (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
    assert torch.isclose(gan.discriminator_loss(real, fake, "hinge"), hinge)
    with pytest.raises(ValueError, match="kind: expected one of minimax, non-saturating, hinge, got 'wasserstein'"):
        gan.generator_loss(fake, "wasserstein")


def test_a_discriminator_that_knows_nothing_has_loss_2_ln_2():
    zeros = torch.zeros(4)
    assert gan.discriminator_loss(zeros, zeros, "minimax").item() == pytest.approx(2 * math.log(2))
    assert gan.discriminator_loss(zeros, zeros, "hinge").item() == pytest.approx(2)


def test_minimax_gives_no_gradient_where_the_discriminator_is_sure():
    slopes = {}
    for kind in ("minimax", "non-saturating"):
        fake = torch.full((1,), -8.0, requires_grad=True)
        gan.generator_loss(fake, kind).backward()
        slopes[kind] = -fake.grad.item()
    assert 0 < slopes["minimax"] < 4e-4 and slopes["non-saturating"] > 0.999


def test_the_best_discriminator_is_p_over_p_plus_q():
    """Gradient descent on the loss ends there, and its value is 2 ln 2 − 2 JS(p, q)."""
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.1, 0.3, 0.6])
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=100)

    def loss():
        optimizer.zero_grad()
        value = (p * F.softplus(-logits) + q * F.softplus(logits)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    assert torch.allclose(logits.detach().sigmoid(), gan.optimal_discriminator(p, q), atol=1e-4)
    middle = (p + q) / 2
    js = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()) / 2
    assert loss().item() == pytest.approx(2 * math.log(2) - 2 * js.item(), abs=1e-4)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (1, 6)])
def test_spectral_norm_equals_the_svd_and_pytorch(shape):
    torch.manual_seed(1)
    weight = torch.randn(shape)
    largest = torch.linalg.svdvals(weight)[0]
    start = torch.randn(shape[0])
    assert torch.isclose(gan.largest_singular_value(weight, 500, start), largest, rtol=1e-4)
    layer = nn.Linear(shape[1], shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight)
    theirs = nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=500).eval()
    assert torch.allclose(theirs.weight, weight / largest, atol=1e-3)


def test_gradient_penalty_of_a_linear_critic():
    critic = nn.Linear(3, 1)
    value = gan.gradient_penalty(critic, torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.isclose(value, critic.weight.square().sum())
    value.backward()
    assert critic.weight.grad is not None
