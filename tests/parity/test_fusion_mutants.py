"""Every mistake of the fusion table is caught by a check that the genuine method passes.

``make mutants`` prints mutant -> what kills it.
"""

import mutants_fusion as mutants
import numpy as np
import pytest
import torch
from torch import nn

from mmcourse.parity import NumpyBackend, TorchBackend, parity_cases, properties
from mmcourse.parity.compare import difference
from mmcourse.torch import fusion

F = {f.name: f for f in parity_cases("fusion")}
DIMS, WIDTH = [3, 4, 2], 5


def vectors(dims=DIMS, size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, d, generator=generator, dtype=torch.float64) for d in dims]


def build(kind, dims=DIMS, width=WIDTH, seed=0, **config):
    """A method in float64 with random weights."""
    torch.manual_seed(seed)
    layer = kind(dims, width, **config).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(0, 0.7)
    return layer


def close(a, b, why):
    assert a.shape == b.shape and torch.allclose(a, b, atol=1e-9), why


# --- checks: each raises AssertionError for the mistake, and passes for the genuine method ---


def equally_loud(kind):
    layer, xs = build(kind), vectors()
    moved = (layer([1000 * xs[0], *xs[1:]]) - layer(xs)).abs().max()
    assert moved < 1e-3, f"a thousand times louder moves the output by {moved:.0f}"


def takes_unequal_widths(kind):
    layer, xs = build(kind), vectors()
    try:
        got = layer(xs)
    except RuntimeError as error:
        raise AssertionError(f"unequal widths are refused: {error}") from error
    by_hand = sum(x @ f.weight.T + f.bias for x, f in zip(xs, layer.maps, strict=True))
    close(got, (by_hand @ layer.gate.weight.T + layer.gate.bias).sigmoid(), "not the sum by hand")


def convex(kind):
    layer, (x, *_) = build(kind, [3, 3]), vectors([3, 3])
    layer.maps[1].load_state_dict(layer.maps[0].state_dict())
    close(layer([x, x]), layer.maps[0](x), "equal parts do not give themselves: the weights do not sum to 1")


def shares_survive_rescaling(kind):
    layer, xs = build(kind), vectors()
    before, shares = layer(xs), layer.shares(xs)
    with torch.no_grad():  # half the weight, and twice the map: the same model
        w = layer.alpha.softmax(0)
        v = torch.stack([w[0] / 2, w[1] + w[0] / 2, w[2]])
        for linear, factor in zip(layer.maps, w / v, strict=True):
            linear.weight.mul_(factor)
        layer.alpha.copy_(v.log())
    close(layer(xs), before, "the rescaling should change no output")
    close(layer.shares(xs), shares, "the same model has other shares: a weight was read as importance")


def mean_of_probabilities(kind):
    layer, xs = build(kind), vectors()
    parts = [head(x).softmax(-1) for head, x in zip(layer.heads, xs, strict=True)]
    want = sum(w * q for w, q in zip(layer.alpha.softmax(0), parts, strict=True))
    close(layer(xs).exp().sum(-1), torch.ones(6, dtype=torch.float64), "these are no probabilities")
    close(layer(xs).exp(), want, "not the mean of the probabilities")


def sums_to_one(kind):
    layer, xs = build(kind), vectors()
    close(layer(xs).exp().sum(-1), torch.ones(6, dtype=torch.float64), "these are no probabilities")


def bayes(kind):
    """Three cues independent given y, one-hot: each head can say its exact posterior, so the fusion is exact."""
    rng = np.random.default_rng(0)
    prior = np.array([0.7, 0.2, 0.1])
    tables = [rng.dirichlet(np.ones(4), 3) for _ in range(3)]  # p(x_m | y)
    layer = build(kind, [4, 4, 4], 3, prior=prior)
    with torch.no_grad():
        for head, table in zip(layer.heads, tables, strict=True):
            head.weight.copy_(torch.from_numpy(np.log(prior[:, None] * table)))
            head.bias.zero_()
    layer.log_prior = torch.from_numpy(np.log(prior))
    cues = [rng.integers(4, size=8) for _ in range(3)]
    joint = prior * np.prod([table[:, x].T for table, x in zip(tables, cues, strict=True)], axis=0)
    got = layer([torch.eye(4, dtype=torch.float64)[x] for x in cues]).exp()
    close(got, torch.from_numpy(joint / joint.sum(-1, keepdims=True)), "not the posterior by Bayes' rule")


def gate_sees_all(kind):
    layer, xs = build(kind, [3, 4]), vectors([3, 4])
    with torch.no_grad():
        layer.hidden[1].weight.zero_()  # now the second modality can act through the gate only
    moved = (layer([xs[0], xs[1] + 1]) - layer(xs)).abs().max()
    assert moved > 1e-6, "the gate does not see the second modality"


def full_rank(kind):
    layer, (x1, x2) = build(kind, [3, 4]), vectors([3, 4], size=1)
    form = torch.autograd.functional.jacobian(
        lambda b: torch.autograd.functional.jacobian(lambda a: layer([a, b])[0, 0], x1, create_graph=True), x2
    )
    rank = torch.linalg.matrix_rank(form.reshape(3, 4), atol=1e-9)
    assert rank == 3, f"the form has rank {rank}, a full one of 3 × 4 has 3"


def same_twice(kind):
    layer, xs = build(kind, width=16), vectors()
    close(layer(xs), layer(xs), "the same input gives something else the second time")
    again = build(kind, width=16, **{"seed": 0})
    again.load_state_dict(layer.state_dict())
    close(again(xs), layer(xs), "saved weights do not hold the hashes")


def terms_of_one_modality(kind):
    layer, xs = build(kind), vectors()
    alone = [xs[0], torch.zeros_like(xs[1]), torch.zeros_like(xs[2])]
    assert (layer(alone)[0] - layer(alone)[1]).abs().max() > 1e-6, "with the others at zero, a modality says nothing"


def equals_loop(kind):
    layer, xs = build(kind, rank=3), vectors()
    want = torch.zeros(6, WIDTH, dtype=torch.float64)
    for r in range(3):
        term = torch.ones(6, WIDTH, dtype=torch.float64)
        for x, factor in zip(xs, layer.factors, strict=True):
            term = term * (x @ factor[r, :-1] + factor[r, -1])
        want += term
    close(layer(xs), want, "not the sum over r of products")


def registered(name):
    def check(kind):
        properties.registered(TorchBackend(F[name], kind=kind), F[name])

    return check


def samples_apart(kind):
    inputs = F["concatenate"].inputs(np.random.default_rng(0))
    properties.samples_independent(TorchBackend(F["concatenate"], kind=kind).forward, inputs)


def starts_as_identity(kind):
    layer, xs = kind(DIMS, WIDTH).double(), [x.requires_grad_() for x in vectors()]
    layer(xs).sum().backward()
    assert layer.feature.weight.grad.abs().max() > 0, "at its start nothing reaches the feature's weights"
    feature = layer.feature(xs[0])
    close(layer(xs), feature / (feature.square().mean(-1, keepdim=True) + 1e-5).sqrt(), "it does not start at γ = 1")


def target_asks_every_step(kind):
    """The result has the target's length, and its first step may look at the context's last."""
    formula = F["cross-attention"]
    inputs = formula.inputs(np.random.default_rng(1))
    inputs["padding_mask"][:] = True
    weights = TorchBackend(formula).weights if kind is fusion.CrossAttention else None
    backend = TorchBackend(formula, kind=kind, weights=weights)
    layer, target, context = backend.layer, *(torch.from_numpy(inputs[k]) for k in ("target", "context"))
    got = layer(target, context)
    assert got.shape == (4, 4, WIDTH), f"the result has {got.shape[1]} steps, the target has 4: who asks whom?"
    last = context.clone()
    last[:, -1] += 1
    assert (layer(target, last)[:, 0] - got[:, 0]).abs().max() > 1e-6, "the first step cannot see the context's last"


def padding_apart(kind):
    inputs = F["cross-modal"].inputs(np.random.default_rng(0))
    pairs = {f"xs.{m}": f"padding_masks.{m}" for m in range(3)}
    properties.padding_ignored(TorchBackend(F["cross-modal"], kind=kind).forward, inputs, pairs)


def only_through_z(kind):
    torch.manual_seed(0)
    layer = kind(2, WIDTH).double()
    a, b, z = torch.randn(2, 3, WIDTH).double(), torch.randn(2, 4, WIDTH).double(), torch.randn(2, 2, WIDTH).double()
    masks = [torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool)]
    before, after = layer([a, b], z, masks), layer([a, b + 1], z, masks)
    assert (before[1] - after[1]).abs().max() > 1e-6, "z should hear of it"
    close(before[0][0], after[0][0], "one modality sees another directly")


def drops_by_sample(draw):
    drawn = draw(torch.ones(512, 3, dtype=torch.bool), 0.5, torch.Generator().manual_seed(0))
    assert len(drawn.unique(dim=0)) > 1, "the whole batch loses the same modalities"


def keeps_one(draw):
    modality_mask = torch.rand(512, 3, generator=torch.Generator().manual_seed(1)) > 0.5
    modality_mask[~modality_mask.any(1), 0] = True
    drawn = draw(modality_mask, 0.8, torch.Generator().manual_seed(0))
    assert drawn.any(1).all(), "a sample has lost everything"
    assert not (drawn & ~modality_mask).any(), "a modality that was absent has come back"


def zero_is_a_value(kind):
    layer, zeros = kind(DIMS).eval(), [torch.zeros(2, d) for d in DIMS]
    absent = torch.tensor([[True] * 3, [False, True, True]])
    with torch.no_grad():
        rows = layer(zeros, absent)[0]
    assert (rows[0] - rows[1]).abs().max() > 1e-6, "a modality that is absent looks like one that says zero"


def slows_the_leader(function):
    k = function(torch.tensor([3.0, 1.0, 1.0], dtype=torch.float64), 0.5)
    close(k, torch.tensor([1 - np.tanh(0.5 * 3), 1, 1]).double(), "not the leader is slowed down")


def leaves_the_head(function):
    torch.manual_seed(0)
    model = nn.ModuleDict({"encoders": nn.ModuleList(nn.Linear(2, 2) for _ in range(2)), "head": nn.Linear(2, 1)})
    model["head"](sum(e(torch.randn(3, 2)) for e in model["encoders"])).sum().backward()
    before = [p.grad.clone() for p in model.parameters()]
    function(model, [0.2, 1.0])
    grads = dict(zip((n for n, _ in model.named_parameters()), before, strict=True))
    for name, p in model.named_parameters():
        factor = 0.2 if name.startswith("encoders.0") else 1.0
        close(p.grad, grads[name] * factor, f"the gradient of {name} is not scaled by {factor}")


TABLE = [
    (mutants.LoudestWins, fusion.Concatenate, equally_loud),
    (mutants.OneMapForAll, fusion.SumGate, takes_unequal_widths),
    (mutants.FreeWeights, fusion.WeightedSum, convex),
    (mutants.AlphaIsImportance, fusion.WeightedSum, shares_survive_rescaling),
    (mutants.MeanOfLogits, fusion.LateMean, mean_of_probabilities),
    (mutants.LogitsAsProbabilities, fusion.LateMean, sums_to_one),
    (mutants.PriorForgotten, fusion.LateProduct, bayes),
    (mutants.PriorOnce, fusion.LateProduct, bayes),
    (mutants.BlindGate, fusion.GatedUnit, gate_sees_all),
    (mutants.CalledBilinear, fusion.Bilinear, full_rank),
    (mutants.NewHashes, fusion.CompactBilinear, same_twice),
    (mutants.WithoutOnes, fusion.TensorFusion, terms_of_one_modality),
    (mutants.WithoutOnes, fusion.TensorFusion, registered("tensor")),
    (mutants.ProductOfSums, fusion.LowRankTensorFusion, equals_loop),
    (mutants.HiddenFactors, fusion.LowRankTensorFusion, registered("low-rank tensor")),
    (mutants.MixesSamples, fusion.Concatenate, samples_apart),
    (mutants.StartsAtNothing, fusion.FiLM, starts_as_identity),
    (mutants.ScaleBeforeScale, fusion.FiLM, registered("FiLM")),
    (mutants.Swapped, fusion.CrossAttention, target_asks_every_step),
    (mutants.CausalLeftOn, fusion.CrossAttention, target_asks_every_step),
    (mutants.LastStep, fusion.CrossModalTransformer, padding_apart),
    (mutants.PaddingCounts, fusion.CrossModalTransformer, padding_apart),
    (mutants.NoBottleneck, fusion.BottleneckLayer, only_through_z),
    (mutants.batch_mask, fusion.sample_modality_mask, drops_by_sample),
    (mutants.can_lose_all, fusion.sample_modality_mask, keeps_one),
    (mutants.ZeroIsMissing, fusion.ModalityDropout, zero_is_a_value),
    (mutants.FixedNull, fusion.ModalityDropout, registered("modality dropout")),
    (mutants.inverted_ratio, fusion.ogm_coefficients, slows_the_leader),
    (mutants.head_too, mutants.encoders_only, leaves_the_head),
]
IDS = [f"{mutant.__name__}-{check.__qualname__.split('.')[0]}" for mutant, _, check in TABLE]


@pytest.mark.parametrize(("mutant", "genuine", "check"), TABLE, ids=IDS)
def test_mutant_is_killed_and_the_genuine_one_passes(mutant, genuine, check):
    check(genuine)
    with pytest.raises(AssertionError) as reason:
        check(mutant)
    assert str(reason.value), "a check says why"


# Mutants of the same weights fall to plain parity as well: what each of them would print in the parity table.
SAME_WEIGHTS = {
    "concatenate": mutants.LoudestWins,
    "weighted sum": mutants.FreeWeights,
    "late, mean": mutants.MeanOfLogits,
    "late, product": mutants.PriorForgotten,
    "gated unit of two": mutants.BlindGate,
    "low-rank tensor": mutants.ProductOfSums,
    "FiLM": mutants.StartsAtNothing,
    "cross-attention": mutants.CausalLeftOn,
    "cross-modal": mutants.LastStep,
    "modality dropout": mutants.ZeroIsMissing,
}


@pytest.mark.parametrize("name", SAME_WEIGHTS)
def test_parity_kills_too(name):
    inputs = F[name].inputs(np.random.default_rng(0))
    gaps = []
    for kind in (None, SAME_WEIGHTS[name]):
        backend = TorchBackend(F[name], kind=kind)
        array = NumpyBackend(F[name], backend.weights, backend.trainable)
        gaps.append(difference(backend.forward(inputs), array.forward(inputs)))
    assert gaps[0] < 1e-12 and gaps[1] > 1e-3, gaps


if __name__ == "__main__":
    for mutant, genuine, check in TABLE:
        try:
            check(mutant)
            said = "SURVIVED"
        except AssertionError as reason:
            said = str(reason).splitlines()[0]
        name = check.__qualname__.split(".")[0]
        print(f"{genuine.__name__:20} {mutant.__name__:22} {name:26} {said}", flush=True)
