"""The formulas of a training run: learning rate by step, which parameters decay, clipping, precision."""

import math

import torch


def warmup_cosine(step, total, warmup=0.3):
    """Factor of the learning rate at a step: up to 1 in a straight line, then down to 0 along a cosine.

    Linear warm-up: Goyal et al. 2017, arXiv 1706.02677. Cosine: Loshchilov & Hutter 2017, arXiv 1608.03983.
    """
    start = round(warmup * total)
    if step < start:
        return step / start
    return 0.5 + 0.5 * math.cos(math.pi * (step - start) / max(total - start, 1))


def param_groups_weight_decay(model, weight_decay):
    """Parameters for AdamW, by name: matrices, kernels and embeddings decay; biases, gains and other vectors do not."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups = {"decay": [n for n in named if n[1].ndim >= 2], "no_decay": [n for n in named if n[1].ndim < 2]}
    decay = {"decay": weight_decay, "no_decay": 0.0}
    return [{"name": name, "params": group, "weight_decay": decay[name]} for name, group in groups.items() if group]


def clip_gradients(parameters, largest):
    """Shorten all gradients by one factor, so that their common norm is at most `largest`; returns the norm before.

    Pascanu et al. 2013, arXiv 1211.5063.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    for gradient in gradients:
        gradient.mul_(largest / norm.clamp(min=largest))
    return norm


def autocast_dtype(amp, device):
    """The dtype of autocast or None. "auto": what an NVIDIA GPU is fast in, nothing elsewhere. Or a name, or False."""
    if amp == "auto" and device.type == "cuda":
        with torch.cuda.device(device):
            # Emulation is slower than float16: a T4 (Colab's free GPU) has no bfloat16 of its own.
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        amp = "bfloat16" if native else "float16"
    elif amp == "auto":
        amp = False
    if amp is False:
        return None
    if not isinstance(amp, str) or amp not in ("bfloat16", "float16"):
        raise ValueError(f'amp: expected "auto", "bfloat16", "float16" or False, got {amp!r}')
    return getattr(torch, amp)
