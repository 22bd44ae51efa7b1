"""Diffusion and flow matching: equal in three backends, to `diffusers`' schedulers and to exact solutions; and every
mistake is noticed that is seen in public code."""

import itertools

import numpy as np
import pytest
import torch
from mutants_encoders import Mutant, mutated
from scipy.linalg import sqrtm

from mmcourse.numpy import diffusion
from mmcourse.parity import KerasBackend, NumpyBackend, TorchBackend, parity_cases
from mmcourse.parity.compare import difference
from mmcourse.torch import diffusion as torch_diffusion

CASES = [case for case in parity_cases("diffusion") if case.layer.startswith("diffusion.")]
WHY = "extra `reference`: pip install 'mmcourse[reference]'"


def backends():
    from mmcourse.keras import diffusion as keras_diffusion

    return {"numpy": diffusion, "torch": torch_diffusion, "keras": keras_diffusion}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_three_backends_agree(case):
    inputs = case.inputs(np.random.default_rng(3))
    first = TorchBackend(case)
    others = NumpyBackend(case, first.weights, first.trainable), KerasBackend(case, first, inputs)
    want = first.forward(inputs)
    for other in others:
        assert difference(other.forward(inputs), want) < 1e-10


# ---------------------------------------------------------------- schedules
@pytest.mark.parametrize("number", [10, 1000])
def test_schedules(number):
    for betas in (diffusion.linear_betas(number, 1e-4, 0.02), diffusion.cosine_betas(number)):
        bars = diffusion.alpha_bars(betas)
        assert bars.shape == (number,) and (np.diff(bars) < 0).all()
        assert 0 < bars[-1] and bars[0] < 1, "ᾱ of exactly 0 or 1 gives NaN"
    assert diffusion.alpha_bars(diffusion.linear_betas(1000))[-1] == pytest.approx(4.04e-5, rel=0.01)


def test_timesteps():
    assert diffusion.spaced_timesteps(1000, 4).tolist() == [750, 500, 250, 0]
    assert diffusion.spaced_timesteps(1000, 4, "trailing").tolist() == [999, 749, 499, 249]
    for wrong in (lambda: diffusion.spaced_timesteps(10, 11), lambda: diffusion.spaced_timesteps(10, 2, "linspace")):
        with pytest.raises(ValueError, match="expected"):
            wrong()


# ---------------------------------------------------------------- targets
def check_targets(module=diffusion):
    rng = np.random.default_rng(0)
    clean, noise = rng.normal(size=(2, 4, 3))
    for signal, level in ((0.6, 0.8), (0.3, 0.7), (0.99, 0.1)):
        x = module.add_noise(clean, noise, signal, level)
        for target in diffusion.TARGETS:
            said = module.training_target(clean, noise, signal, level, target)
            back = module.clean_and_noise(x, said, signal, level, target)
            assert np.allclose(back[0], clean) and np.allclose(back[1], noise), target


def test_three_targets_are_one():
    check_targets()
    with pytest.raises(ValueError, match="target: expected one of clean, noise, v, velocity"):
        diffusion.training_target(np.ones(2), np.ones(2), 0.6, 0.8, "epsilon")


def test_velocity_is_the_derivative_along_the_line():
    clean, noise = np.random.default_rng(1).normal(size=(2, 5))
    step = 1e-5
    along = [diffusion.add_noise(clean, noise, t, 1 - t) for t in (0.4, 0.4 + step)]
    assert np.allclose((along[1] - along[0]) / step, diffusion.training_target(clean, noise, 0.4, 0.6, "velocity"))


def check_amount(module=diffusion):
    """x has variance signal² + noise_level² times the data's, and its mean is signal · clean."""
    noise = np.random.default_rng(2).normal(size=200_000)
    x = module.add_noise(np.full_like(noise, 2.0), noise, 0.6, 0.8)
    assert abs(x.mean() - 1.2) < 0.01 and abs(x.std() - 0.8) < 0.01


def test_amount_of_noise():
    check_amount()


# ---------------------------------------------------------------- the optimal denoiser
def by_bayes(x, data, signal, level):
    """Point by point, from densities."""
    found = []
    for one in x:
        density = np.array([np.exp(-((one - signal * d) ** 2).sum() / 2 / level**2) for d in data])
        found.append((density[:, None] * data).sum(0) / density.sum())
    return np.array(found)


def check_denoiser(module=diffusion):
    rng = np.random.default_rng(3)
    data, x = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))
    for signal, level in ((0.6, 0.8), (0.2, 0.8), (0.9, 0.4)):
        assert np.allclose(module.optimal_denoiser(x, data, signal, level), by_bayes(x, data, signal, level))
    far = module.optimal_denoiser(x + 500, data, 0.9, 0.1)
    assert np.isfinite(far).all(), "exp of large numbers underflows: subtract the largest score"


def test_denoiser_is_bayes_rule():
    check_denoiser()


def test_denoiser_is_an_attention_layer():
    """softmax of scaled products plus a bias for each key: `scaled_dot_product_attention` with another scale."""
    rng = np.random.default_rng(4)
    data, x, signal, level = rng.normal(size=(6, 4)), rng.normal(size=(3, 4)), 0.7, 0.3
    keys = torch.tensor(signal * data)
    bias = -(keys**2).sum(1) / (2 * level**2)
    attended = torch.nn.functional.scaled_dot_product_attention(
        torch.tensor(x)[None], keys[None], torch.tensor(data)[None], attn_mask=bias.expand(3, -1)[None], scale=level**-2
    )
    assert np.allclose(attended[0].numpy(), diffusion.optimal_denoiser(x, data, signal, level))


def test_no_denoiser_has_a_lower_loss():
    """Its mean squared error is below that of the same function moved in any direction."""
    rng = np.random.default_rng(5)
    data = rng.normal(size=(5, 2))
    clean = data[rng.integers(5, size=20_000)]
    x = 0.6 * clean + 0.8 * rng.normal(size=clean.shape)
    best = diffusion.optimal_denoiser(x, data, 0.6, 0.8)
    loss = ((best - clean) ** 2).mean()
    for change in (0.02, -0.02, 0.02 * x, -0.02 * x, 0.05 * np.sin(3 * x)):
        assert ((best + change - clean) ** 2).mean() > loss


# ---------------------------------------------------------------- samplers
def normal_noise(x, bar, mean, variance):
    """The exact E[noise | x] for data from N(mean, variance)."""
    total = bar * variance + 1 - bar
    return (1 - bar) ** 0.5 * (x - bar**0.5 * mean) / total


def check_ddim(module=diffusion):
    """With 400 steps, noise becomes N(1.5, 0.25); and the last step gives the clean sample itself."""
    bars = np.concatenate([[1.0], diffusion.alpha_bars(diffusion.cosine_betas(400))])
    x = np.random.default_rng(6).normal(size=20_000)
    for now, following in zip(bars[:0:-1], bars[-2::-1], strict=True):
        x = module.ddim_step(x, normal_noise(x, now, 1.5, 0.25), now, following)
    assert abs(x.mean() - 1.5) < 0.02 and abs(x.std() - 0.5) < 0.02
    clean, noise = 0.7, -0.4
    noisy = 0.3**0.5 * clean + 0.7**0.5 * noise
    assert module.ddim_step(np.array(noisy), np.array(noise), 0.3, 1.0) == pytest.approx(clean)


def check_ddpm(module=diffusion):
    rng = np.random.default_rng(7)
    bars = np.concatenate([[1.0], diffusion.alpha_bars(diffusion.cosine_betas(300))])
    for step in ("ddpm", "ddim"):
        x = rng.normal(size=20_000)
        for now, following in zip(bars[:0:-1], bars[-2::-1], strict=True):
            noise, fresh = normal_noise(x, now, 1.5, 0.25), rng.normal(size=x.shape)
            if step == "ddpm":
                x = module.ddpm_step(x, noise, now, following, fresh)
            else:
                x = module.ddim_step(x, noise, now, following, 1.0, fresh)
        assert abs(x.mean() - 1.5) < 0.02 and abs(x.std() - 0.5) < 0.02, step


def test_ddim_draws_the_right_distribution():
    check_ddim()


def test_ddpm_draws_the_right_distribution():
    check_ddpm()


def test_ddim_with_eta_one_is_ddpm():
    x, noise, fresh = np.random.default_rng(8).normal(size=(3, 6))
    for now, following in ((0.2, 0.25), (0.3, 0.9), (0.5, 1.0)):
        a = diffusion.ddim_step(x, noise, now, following, 1.0, fresh)
        assert np.allclose(a, diffusion.ddpm_step(x, noise, now, following, fresh))


def check_flow(module=diffusion):
    """Exact velocities take N(0, 1) to N(1.5, 0.25), whose quantiles go to quantiles."""
    start = np.linspace(-2, 2, 9)
    x, number = start, 500
    for k in range(number):
        t, level = k / number, 1 - k / number
        variance = t**2 * 0.25 + level**2
        centered = x - t * 1.5
        clean, noise = 1.5 + t * 0.25 * centered / variance, level * centered / variance
        x = module.euler_step(x, clean - noise, t, (k + 1) / number)
    assert np.allclose(x, 1.5 + 0.5 * start, atol=0.01)


def test_euler_steps_solve_the_flow():
    check_flow()


# ---------------------------------------------------------------- diffusers
def test_equal_to_ddim_of_diffusers():
    diffusers = pytest.importorskip("diffusers", reason=WHY)
    for schedule, betas in (
        ("linear", diffusion.linear_betas(1000)),
        ("squaredcos_cap_v2", diffusion.cosine_betas(1000)),
    ):
        for spacing in ("leading", "trailing"):
            theirs = diffusers.DDIMScheduler(
                1000, beta_schedule=schedule, clip_sample=False, timestep_spacing=spacing, set_alpha_to_one=True
            )
            theirs.set_timesteps(20)
            steps = diffusion.spaced_timesteps(1000, 20, spacing)
            assert theirs.timesteps.tolist() == steps.tolist()
            bars = diffusion.alpha_bars(betas)
            rng = np.random.default_rng(9)
            x = rng.normal(size=(2, 3, 4, 4))
            for number, t in enumerate(steps):
                noise = rng.normal(size=x.shape)
                following = steps[number] - 1000 // 20  # as diffusers does, also after the last
                bar_next = bars[following] if following >= 0 else 1.0
                want = theirs.step(torch.tensor(noise), int(t), torch.tensor(x)).prev_sample.numpy()
                x = diffusion.ddim_step(x, noise, bars[t], bar_next)
                assert np.abs(x - want).max() < 1e-4 * np.abs(want).max()
                x = want


def test_equal_to_ddpm_of_diffusers():
    diffusers = pytest.importorskip("diffusers", reason=WHY)
    theirs = diffusers.DDPMScheduler(1000, clip_sample=False)
    bars = diffusion.alpha_bars(diffusion.linear_betas(1000))
    for t in (999, 500, 1):
        x, noise = np.random.default_rng(t).normal(size=(2, 1, 3, 4, 4))
        generator = torch.Generator().manual_seed(t)
        fresh = torch.randn(x.shape, generator=torch.Generator().manual_seed(t), dtype=torch.float64).numpy()
        want = theirs.step(torch.tensor(noise), t, torch.tensor(x), generator=generator).prev_sample.numpy()
        assert np.allclose(diffusion.ddpm_step(x, noise, bars[t], bars[t - 1], fresh), want, rtol=3e-4, atol=1e-5)


def test_equal_to_flow_matching_of_diffusers():
    """Their σ is our 1 − t, and their model gives noise − clean."""
    diffusers = pytest.importorskip("diffusers", reason=WHY)
    theirs = diffusers.FlowMatchEulerDiscreteScheduler()
    theirs.set_timesteps(10)
    sigmas = theirs.sigmas.numpy().astype(float)
    x = np.random.default_rng(10).normal(size=(2, 3, 4, 4)).astype(np.float32)
    for t, now, following in zip(theirs.timesteps, sigmas[:-1], sigmas[1:], strict=True):
        velocity = np.tanh(x)
        want = theirs.step(torch.tensor(-velocity), t, torch.tensor(x)).prev_sample.numpy()
        x = diffusion.euler_step(x, velocity, 1 - now, 1 - following)
        assert np.allclose(x, want, atol=1e-5)


# ---------------------------------------------------------------- guidance
def check_guidance(module=diffusion):
    free, conditional = np.random.default_rng(11).normal(size=(2, 5))
    assert np.allclose(module.guide(free, conditional, 0.0), free)
    assert np.allclose(module.guide(free, conditional, 1.0), conditional)
    assert np.allclose(module.guide(free, conditional, 3.0), 3 * conditional - 2 * free)


def test_guidance_at_its_ends():
    check_guidance()


def test_guidance_does_not_sample_the_tilted_density():
    """p(x|c) = N(1, 1), p(x) = N(0, 2), weight 4: mean 2.22 and variance 0.125, not 1.60 and 0.40."""
    moments = {}
    for number in (2000, 4000):
        x = np.random.default_rng(12).normal(size=40_000)
        x = (x - x.mean()) / x.std()
        for k in range(number):
            t = k / number

            def velocity(mean, variance, x=x, t=t):
                total = t**2 * variance + (1 - t) ** 2
                centered = x - t * mean
                return mean + t * variance * centered / total - (1 - t) * centered / total

            x = diffusion.euler_step(x, diffusion.guide(velocity(0, 2), velocity(1, 1), 4.0), t, t + 1 / number)
        moments[number] = x.mean(), x.var()
    assert moments[4000] == pytest.approx((2.22, 0.125), abs=0.01)
    assert moments[2000] == pytest.approx(moments[4000], abs=0.01)
    precision = 4 / 1 - 3 / 2  # of p(x|c)⁴ / p(x)³
    assert (4 * 1 / 1 - 3 * 0 / 2) / precision == pytest.approx(1.60) and 1 / precision == pytest.approx(0.40)


# ---------------------------------------------------------------- Fréchet distance
def check_frechet(module=diffusion):
    rng = np.random.default_rng(13)
    for size in (1, 2, 6):
        a, b = rng.normal(size=(2, 50, size)) @ rng.normal(size=(size, size)) + rng.normal(size=(2, 1, size))
        of_a, of_b = np.cov(a.T).reshape(size, size), np.cov(b.T).reshape(size, size)
        root = sqrtm(of_a @ of_b)
        want = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a + of_b - 2 * np.real(root))
        assert module.frechet_distance(a.mean(0), of_a, b.mean(0), of_b) == pytest.approx(want, rel=1e-6)
        assert module.frechet_distance(a.mean(0), of_a, a.mean(0), of_a) == pytest.approx(0, abs=1e-9)
    one = module.frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[9.0]]))
    assert one == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2)


def test_frechet_distance_equals_scipys_matrix_square_root():
    check_frechet()


# ---------------------------------------------------------------- training parts in PyTorch
def test_flow_loss_of_a_perfect_model_is_zero_for_one_picture():
    clean = torch.ones(6, 2, 3)

    def model(x, t):
        noise = (x - t[:, None, None] * clean) / (1 - t)[:, None, None]
        return clean - noise

    generator = torch.Generator().manual_seed(0)
    assert torch_diffusion.flow_matching_loss(model, clean, generator=generator) < 1e-8
    worse = torch_diffusion.flow_matching_loss(lambda x, t: -model(x, t), clean, generator=generator)
    assert worse > 1, "the other direction"


def test_average_follows_the_weights():
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 1)
    average = torch_diffusion.ExponentialAverage(model, 0.9)
    start = model.weight.detach().clone()
    want = start
    for step in range(1, 6):
        with torch.no_grad():
            model.weight += 1
        average.update(model)
        decay = min(0.9, (1 + step) / (10 + step))
        want = decay * want + (1 - decay) * model.weight.detach()
    assert torch.allclose(average.model.weight, want) and not torch.allclose(want, model.weight)
    assert not average.model.training and not average.model.weight.requires_grad


def check_straight_flow(sample=torch_diffusion.sample_flow):
    """A straight flow needs one step, and more of them end at the same place."""
    goal, start = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 0.5]])
    for steps in (1, 7):
        assert torch.allclose(sample(lambda x, t: goal - start, start, steps), goal, atol=1e-6)


def test_a_straight_flow_needs_one_step():
    check_straight_flow()


def walk(times_of):
    """A sampler of Euler steps with other times than ours."""

    def sample(velocity, x, num_steps):
        times = times_of(num_steps)
        for t, t_next in itertools.pairwise(times):
            x = x + (t_next - t) * velocity(x, x.new_full((len(x),), t))
        return x

    return sample


def test_wrong_times_of_euler_steps_are_noticed():
    check_straight_flow(walk(lambda n: [k / n for k in range(n + 1)]))
    for times_of in (lambda n: [k / max(1, n - 1) for k in range(n + 1)], lambda n: [k / n for k in range(n)]):
        with pytest.raises(AssertionError):
            check_straight_flow(walk(times_of))


# ---------------------------------------------------------------- mistakes
NUMPY = "mmcourse.numpy.diffusion"
MUTANTS = [
    Mutant(
        "variances for standard deviations",
        NUMPY,
        "return signal * clean + noise_level * noise",
        "return signal**2 * clean + noise_level**2 * noise",
        check_amount,
    ),
    Mutant(
        "v with the other sign", NUMPY, '"v": (-noise_level, signal)', '"v": (noise_level, -signal)', lambda: check_v()
    ),
    Mutant(
        "velocity turned round", NUMPY, '"velocity": (1.0, -1.0)', '"velocity": (-1.0, 1.0)', lambda: check_velocity()
    ),
    Mutant(
        "clean sample not scaled back",
        NUMPY,
        "clean = (b * x - noise_level * prediction) / determinant",
        "clean = b * x - noise_level * prediction",
        check_targets,
    ),
    Mutant("no signal in the distance", NUMPY, "centers = signal * data", "centers = data", check_denoiser),
    Mutant("noise level not squared", NUMPY, "(2 * noise_level**2)", "(2 * noise_level)", check_denoiser),
    Mutant(
        "softmax over the batch",
        NUMPY,
        "weights.sum(axis=1, keepdims=True)",
        "weights.sum(axis=0, keepdims=True)",
        check_denoiser,
    ),
    Mutant(
        "softmax that underflows",
        NUMPY,
        "np.exp(scores - scores.max(axis=1, keepdims=True))",
        "np.exp(scores)",
        check_denoiser,
    ),
    Mutant(
        "clean sample from the next step's ᾱ",
        NUMPY,
        "clean = (x - (1 - alpha_bar) ** 0.5 * noise) / alpha_bar**0.5\n    variance",
        "clean = (x - (1 - alpha_bar_next) ** 0.5 * noise) / alpha_bar_next**0.5\n    variance",
        check_ddim,
    ),
    Mutant(
        "noise as large as before",
        NUMPY,
        "(1 - alpha_bar_next - sigma**2) ** 0.5 * noise",
        "(1 - alpha_bar - sigma**2) ** 0.5 * noise",
        check_ddim,
    ),
    Mutant(
        "new noise, and the old not smaller",
        NUMPY,
        "(1 - alpha_bar_next - sigma**2) ** 0.5 * noise",
        "(1 - alpha_bar_next) ** 0.5 * noise",
        check_ddpm,
    ),
    Mutant(
        "variance for standard deviation",
        NUMPY,
        "return mean + variance**0.5 * fresh",
        "return mean + variance * fresh",
        check_ddpm,
    ),
    Mutant(
        "direction turned round",
        NUMPY,
        "return x + (t_next - t) * velocity",
        "return x - (t_next - t) * velocity",
        check_flow,
    ),
    Mutant(
        "guidance with 1 + w",
        NUMPY,
        "unconditional + weight * (conditional",
        "unconditional + (1 + weight) * (conditional",
        check_guidance,
    ),
    Mutant(
        "condition and null exchanged",
        NUMPY,
        "weight * (conditional - unconditional)",
        "weight * (unconditional - conditional)",
        check_guidance,
    ),
    Mutant(
        "no matrix square root", NUMPY, "2 * np.sqrt(inner.clip(0)).sum()", "2 * inner.clip(0).sum()", check_frechet
    ),
]


def check_v():
    """At no noise, v is the noise; with nothing but noise, it is minus the clean sample."""
    clean, noise = np.array([2.0]), np.array([3.0])
    assert diffusion.training_target(clean, noise, 1.0, 0.0, "v") == noise
    assert diffusion.training_target(clean, noise, 0.0, 1.0, "v") == -clean


def check_velocity():
    test_velocity_is_the_derivative_along_the_line()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mistakes_are_noticed(mutant):
    with mutated(mutant), pytest.raises(AssertionError), np.errstate(all="ignore"):
        mutant.check()


def test_guidance_of_a_cosine_schedule_is_finite_everywhere():
    """ᾱ is never exactly 0 or 1, so that no target divides by zero."""
    bars = diffusion.alpha_bars(diffusion.cosine_betas(1000))
    for bar in (bars[0], bars[-1]):
        x = diffusion.add_noise(np.ones(3), np.ones(3), bar**0.5, (1 - bar) ** 0.5)
        for target in ("noise", "v"):
            said = diffusion.training_target(np.ones(3), np.ones(3), bar**0.5, (1 - bar) ** 0.5, target)
            found = diffusion.clean_and_noise(x, said, bar**0.5, (1 - bar) ** 0.5, target)
            assert np.isfinite(found).all() and np.allclose(found, 1, atol=1e-4)
