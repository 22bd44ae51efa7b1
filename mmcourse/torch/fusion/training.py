"""What keeps a fused model from leaning on one modality. See `mmcourse.torch.fusion` for the conventions."""

import torch
from torch import nn


def sample_modality_mask(present, rate, generator=None):
    """Which modalities stay in training, bool (b, M): each drops out with probability `rate`, by sample, never all."""
    draws = torch.rand(2, *present.shape, generator=generator, device=present.device)
    keep = present & (draws[0] >= rate)
    saved = nn.functional.one_hot((present * draws[1]).argmax(1), present.shape[1]).bool()
    return torch.where(keep.any(1, keepdim=True), keep, saved & present)


class ModalityDropout(nn.Module):
    """A learned null token stands where a modality is absent or, in training, dropped (Neverova et al. 2016).

    xs: list of (b, d_m) or (b, t_m, d_m), present: bool (b, M) or None → list as xs. arXiv 1501.00102; their null is 0.
    """

    def __init__(self, dims, rate=0.3):
        super().__init__()
        self.rate = rate
        self.null = nn.ParameterList(nn.Parameter(torch.randn(d) / 10) for d in dims)

    def forward(self, xs, present=None, generator=None):
        if present is None:
            present = torch.ones(len(xs[0]), len(xs), dtype=torch.bool, device=xs[0].device)
        if self.training:
            present = sample_modality_mask(present, self.rate, generator)
        there = [present[:, m].view(-1, *[1] * (x.ndim - 1)) for m, x in enumerate(xs)]
        return [torch.where(t, x, null) for t, x, null in zip(there, xs, self.null, strict=True)]


def confidence(logits, labels):
    """How sure each modality alone is of the right class: its softmax there, summed. logits (M, b, C) → (M,)."""
    return logits.softmax(-1)[:, torch.arange(len(labels)), labels].sum(1)


def modulation(scores, alpha=0.5):
    """k_u = 1 − tanh(αρ_u) where ρ_u > 1, else 1; ρ_u = score of u over the mean of the others' (arXiv 2203.15332)."""
    ratio = scores * (len(scores) - 1) / (scores.sum() - scores)
    return torch.where(ratio > 1, 1 - torch.tanh(alpha * ratio), 1.0)


@torch.no_grad()
def modulate_gradients(encoders, coefficients):
    """After `backward`, scale the gradients of each modality's encoder; the head is not among them, and stays."""
    for encoder, k in zip(encoders, coefficients, strict=True):
        for parameter in encoder.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(k)
