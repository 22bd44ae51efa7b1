"""The CTC loss by the forward algorithm, and what surrounds it; `torch.nn.functional.ctc_loss` is the fast one.

(Graves et al. 2006.) Written so that autograd finds the gradient: a very small number stands for log 0, since the
gradient of −∞ − (−∞) is not a number.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

LOG_ZERO = -1e30


def ctc_loss(
    logits: Float[Tensor, "batch time labels"],
    labels: Int[Tensor, "batch length"],
    input_lengths: Int[Tensor, " batch"],
    label_lengths: Int[Tensor, " batch"],
    blank: int = 0,
) -> Float[Tensor, " batch"]:
    """−log p(text) in nats for each sample; infinite, without a gradient, where a text does not fit.

    Parameters
    ----------
    logits : (b, t, v), before softmax; PyTorch's own function takes log-probabilities (t, b, v)
    labels : (b, l), texts without blanks; what stands after `label_lengths` is padding
    input_lengths, label_lengths : time steps and labels of each sample
    """
    log_probs = logits.log_softmax(dim=-1)
    batch, _, _ = logits.shape
    states = with_blanks(labels, blank)  # (b, 2 l + 1)
    skip = may_skip(states, blank)
    emitted = log_probs.gather(2, states[:, None].expand(-1, logits.shape[1], -1))  # (b, t, 2 l + 1)
    start = torch.arange(states.shape[1]) < 2  # a path begins with a blank or with the first label
    log_zero = torch.full_like(emitted[:, 0], LOG_ZERO)
    alpha = torch.where(start.to(logits.device), emitted[:, 0], log_zero)
    for t in range(1, logits.shape[1]):
        step = torch.cat([log_zero[:, :1], alpha[:, :-1]], dim=1)
        jump = torch.cat([log_zero[:, :2], alpha[:, :-2]], dim=1)[:, : states.shape[1]]
        jump = torch.where(skip, jump, log_zero)
        new = torch.logsumexp(torch.stack([alpha, step, jump]), dim=0) + emitted[:, t]
        alpha = torch.where((t < input_lengths)[:, None], new, alpha)  # what is over stays as it is
    last = (2 * label_lengths)[:, None]  # the last blank; the last label is before it
    in_blank = alpha.gather(1, last)[:, 0]
    in_label = alpha.gather(1, (last - 1).clamp(min=0))[:, 0]
    in_label = torch.where(label_lengths > 0, in_label, torch.full_like(in_label, LOG_ZERO))
    losses = -torch.logaddexp(in_blank, in_label)
    return torch.where(losses < -LOG_ZERO / 2, losses, torch.full_like(losses, torch.inf))


def with_blanks(labels: Int[Tensor, "batch length"], blank: int = 0) -> Int[Tensor, "batch states"]:
    """A blank before, between and after the labels: (b, l) → (b, 2 l + 1)."""
    states = labels.new_full((labels.shape[0], 2 * labels.shape[1] + 1), blank)
    states[:, 1::2] = labels
    return states


def may_skip(states: Int[Tensor, "batch states"], blank: int = 0) -> Tensor:
    """Which states may be entered from two before: labels that differ from the label before them. bool, as `states`."""
    differs = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return torch.cat([torch.zeros_like(states[:, :2], dtype=torch.bool), differs], dim=1)[:, : states.shape[1]]
