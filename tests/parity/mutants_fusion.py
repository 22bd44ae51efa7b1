"""Each mistake of the fusion table as code: short, plausible, wrong. `test_fusion_mutants` shows what kills it."""

import math

import torch
from torch import nn

from mmcourse.torch import fusion
from mmcourse.torch.fusion.products import append_one, elementwise_product
from mmcourse.torch.fusion.sums import apply, linears, rms_norm
from mmcourse.torch.masks import masked, real_steps


class LoudestWins(fusion.Concatenate):
    """Early fusion without bringing the modalities to one scale."""

    def forward(self, xs, modality_mask=None):
        return self.out(torch.cat(masked(xs, modality_mask), -1)).relu()


class OneMapForAll(fusion.SumGate):
    """The f of the textbook formula taken to be one map."""

    def __init__(self, dims, width):
        super().__init__(dims, width)
        self.maps = nn.ModuleList([self.maps[0]] * len(dims))


class FreeWeights(fusion.WeightedSum):
    """α used as it is."""

    def parts(self, xs, modality_mask=None):
        return self.alpha[:, None] * torch.stack(apply(self.maps, masked(xs, modality_mask)), 1)


class AlphaIsImportance(fusion.WeightedSum):
    """α read as how much a modality matters."""

    def shares(self, xs, modality_mask=None):
        return self.alpha.softmax(0)


class MeanOfLogits(fusion.LateMean):
    """Logits averaged, and the softmax of that called the mean of the probabilities."""

    def forward(self, xs, modality_mask=None):
        return torch.stack(apply(self.heads, masked(xs, modality_mask))).mean(0).log_softmax(-1)


class LogitsAsProbabilities(fusion.LateMean):
    """Averaged logits handed out as if they were log-probabilities."""

    def forward(self, xs, modality_mask=None):
        return torch.stack(apply(self.heads, masked(xs, modality_mask))).mean(0)


class PriorForgotten(fusion.LateProduct):
    """Posteriors multiplied, the prior in each of them."""

    def forward(self, xs, modality_mask=None):
        return sum(y.log_softmax(-1) for y in apply(self.heads, xs)).log_softmax(-1)


class PriorOnce(fusion.LateProduct):
    """The prior divided out once, however many modalities there are."""

    def forward(self, xs, modality_mask=None):
        return (sum(y.log_softmax(-1) for y in apply(self.heads, xs)) - self.log_prior).log_softmax(-1)


class BlindGate(fusion.GatedUnit):
    """A gate that looks at the first modality only."""

    def forward(self, xs, modality_mask=None):
        h = [y.tanh() for y in apply(self.hidden, xs)]
        z = self.gates[0](torch.cat([xs[0], torch.zeros_like(xs[1])], -1)).sigmoid()
        return z * h[0] + (1 - z) * h[1]


class CalledBilinear(fusion.Bilinear):
    """The low-rank form (here of rank 2) called the full one."""

    def __init__(self, dims, width):
        super().__init__(dims, width)
        del self.w
        self.maps, self.out = linears(dims, 2, bias=False), nn.Linear(2, width, bias=False)

    def forward(self, xs, modality_mask=None):
        return self.out(elementwise_product(apply(self.maps, xs)))


class NewHashes(fusion.CompactBilinear):
    """Sketches drawn at every step."""

    def forward(self, xs, modality_mask=None):
        fresh = fusion.CompactBilinear(self.dims, self.width, seed=int(torch.randint(1 << 30, ())))
        return fresh.to(xs[0].dtype)(xs, modality_mask)


class WithoutOnes(fusion.TensorFusion):
    """The outer product without the 1s."""

    def __init__(self, dims, width):
        super().__init__(dims, width)
        self.out = nn.Linear(math.prod(dims), width)

    def forward(self, xs, modality_mask=None):
        tensor, *rest = masked(xs, modality_mask)
        for x in rest:
            tensor = torch.einsum("bi,bj->bij", tensor, x).flatten(1)
        return self.out(tensor)


class ProductOfSums(fusion.LowRankTensorFusion):
    """Summed over the rank before the product."""

    def forward(self, xs, modality_mask=None):
        pairs = zip(append_one(masked(xs, modality_mask)), self.factors, strict=True)
        return elementwise_product(torch.einsum("bi,rik->bk", x, w) for x, w in pairs)


class HiddenFactors(fusion.LowRankTensorFusion):
    """Factors in a plain list: they work, and no optimizer ever hears of them."""

    def __init__(self, dims, width, rank=4):
        super().__init__(dims, width, rank)
        factors = [factor.detach().requires_grad_() for factor in self.factors]
        del self.factors
        self.factors = factors


class MixesSamples(fusion.Concatenate):
    """A three-way product whose einsum forgets that two of its axes are the same batch."""

    def forward(self, xs, modality_mask=None):
        a, b, c = (nn.functional.pad(x, (0, 4 - x.shape[-1])) for x in xs)
        return torch.einsum("bd,cd,bd->bcd", a, b, c)


class StartsAtNothing(fusion.FiLM):
    """γ = Wc + b with a start of 0: the feature is wiped out, and its gradient too."""

    def forward(self, xs, modality_mask=None):
        features, c = rms_norm(self.feature(xs[0])), torch.cat(xs[1:], -1)
        return self.gamma(c) * features + self.beta(c)


class ScaleBeforeScale(fusion.FiLM):
    """A normalization with its own scale and shift just before γ and β."""

    def __init__(self, dims, width, target=0):
        super().__init__(dims, width, target)
        self.norm = nn.LayerNorm(width)

    def forward(self, xs, modality_mask=None):
        features, c = self.norm(self.feature(xs[0])), torch.cat(xs[1:], -1)
        return (1 + self.gamma(c)) * features + self.beta(c)


class Swapped(fusion.CrossAttention):
    """The context asks and the target answers."""

    def __init__(self, dims, width):
        super().__init__(dims[::-1], width)

    def forward(self, target, context, padding_mask=None):
        return super().forward(context, target)


class CausalLeftOn(fusion.CrossAttention):
    """The mask of a language model, between sequences whose clocks have nothing to do with each other."""

    def forward(self, target, context, padding_mask=None):
        q, k, v = self.q_proj(target), self.k_proj(context), self.v_proj(context)
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        later = torch.ones_like(scores, dtype=torch.bool).triu(1)
        return scores.masked_fill(later, -1e30).softmax(-1) @ v


class LastStep(fusion.CrossModalTransformer):
    """The last step of a padded sequence taken for its summary."""

    def forward(self, xs, padding_masks, modality_mask=None):
        xs, masks = real_steps(xs, padding_masks, modality_mask)
        steps = apply(self.maps, xs)
        for (m, n), pair in zip(self.order, self.pairs, strict=True):
            steps[m] = steps[m] + pair(xs[m], xs[n], masks[n])
        return self.out(torch.cat([s[:, -1] for s in steps], -1)).relu()


class PaddingCounts(fusion.CrossModalTransformer):
    """A mean over all steps, padding included."""

    def forward(self, xs, padding_masks, modality_mask=None):
        return super().forward(xs, [torch.ones_like(mask) for mask in padding_masks], modality_mask)


class NoBottleneck(fusion.BottleneckLayer):
    """Every modality attends to all tokens of all others, beside z."""

    def forward(self, streams, z, masks):
        everything, keep = torch.cat([*streams, z], 1), torch.cat([*masks, masks[0].new_ones(z.shape[:2])], 1)
        after = [x + a(rms_norm(x), rms_norm(everything), keep) for a, x in zip(self, streams, strict=True)]
        return after, z + self[0](rms_norm(z), rms_norm(everything), keep)


def batch_mask(modality_mask, rate, generator=None):
    """One draw for the whole batch."""
    row = fusion.sample_modality_mask(modality_mask[:1], rate, generator)
    return modality_mask & row


def can_lose_all(modality_mask, rate, generator=None):
    """Independent draws, and nobody looks whether anything is left."""
    return modality_mask & (torch.rand(modality_mask.shape, generator=generator) >= rate)


class ZeroIsMissing(fusion.ModalityDropout):
    """Zeros where a modality is absent: also what a modality that is there may say."""

    def forward(self, xs, modality_mask=None, generator=None):
        return masked(xs, modality_mask)


class FixedNull(fusion.ModalityDropout):
    """Null tokens in a plain list: never learned."""

    def __init__(self, dims, rate=0.3):
        super().__init__(dims, rate)
        null = [token.detach() for token in self.null]
        del self.null
        self.null = null


def inverted_ratio(scores, alpha=0.5):
    """The others' score over one's own: the one that lags is slowed down."""
    ratio = (scores.sum() - scores) / (len(scores) - 1) / scores
    return torch.where(ratio > 1, 1 - torch.tanh(alpha * ratio), 1.0)


@torch.no_grad()
def head_too(model, coefficients):
    """Every gradient scaled, the shared head's among them."""
    for encoder, k in zip(model["encoders"], coefficients, strict=True):
        for parameter in [*encoder.parameters(), *model["head"].parameters()]:
            parameter.grad.mul_(k)


@torch.no_grad()
def encoders_only(model, coefficients):
    """The genuine one, in the form of its mutant."""
    fusion.modulate_gradients(model["encoders"], coefficients)
