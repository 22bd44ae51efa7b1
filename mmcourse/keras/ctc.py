"""The CTC loss by the forward algorithm, and what surrounds it; `keras.ops.ctc_loss` is the fast one.

(Graves et al. 2006.) A very small number stands for log 0, since the gradient of −∞ − (−∞) is not a number.
"""

from typing import Any

from jaxtyping import Float, Int
from keras import ops

LOG_ZERO = -1e30


def ctc_loss(
    logits: Float[Any, "batch time labels"],
    labels: Int[Any, "batch length"],
    input_lengths: Int[Any, " batch"],
    label_lengths: Int[Any, " batch"],
    blank: int = 0,
) -> Float[Any, " batch"]:
    """−log p(text) in nats for each sample; infinite, without a gradient, where a text does not fit.

    logits: (b, t, v), before softmax, as `keras.ops.ctc_loss` takes them too; labels: (b, l), texts without blanks,
    what stands after `label_lengths` is padding; input_lengths, label_lengths: (b,), steps and labels of each sample.
    """
    log_probs = ops.log_softmax(logits, axis=-1)
    time = logits.shape[1]
    states = with_blanks(labels, blank)  # (b, 2 l + 1)
    number = states.shape[1]
    skip = may_skip(states, blank)
    one_hot = ops.one_hot(states, logits.shape[2], dtype=logits.dtype)  # (b, 2 l + 1, v)
    emitted = ops.matmul(log_probs, ops.transpose(one_hot, (0, 2, 1)))  # (b, t, 2 l + 1)
    log_zero = ops.full_like(emitted[:, 0], LOG_ZERO)
    alpha = ops.where(ops.arange(number) < 2, emitted[:, 0], log_zero)  # begins with a blank or the first label
    for t in range(1, time):
        step = ops.concatenate([log_zero[:, :1], alpha[:, :-1]], axis=1)
        jump = ops.concatenate([log_zero[:, :2], alpha[:, :-2]], axis=1)[:, :number]
        jump = ops.where(skip, jump, log_zero)
        new = ops.logsumexp(ops.stack([alpha, step, jump]), axis=0) + emitted[:, t]
        alpha = ops.where(ops.expand_dims(t < input_lengths, 1), new, alpha)  # what is over stays as it is
    last = ops.expand_dims(2 * label_lengths, 1)  # the last blank; the last label is before it
    in_blank = ops.take_along_axis(alpha, last, axis=1)[:, 0]
    in_label = ops.take_along_axis(alpha, ops.maximum(last - 1, 0), axis=1)[:, 0]
    in_label = ops.where(label_lengths > 0, in_label, ops.full_like(in_label, LOG_ZERO))
    losses = -ops.logaddexp(in_blank, in_label)
    return ops.where(losses < -LOG_ZERO / 2, losses, ops.full_like(losses, float("inf")))


def with_blanks(labels: Int[Any, "batch length"], blank: int = 0) -> Int[Any, "batch states"]:
    """A blank before, between and after the labels: (b, l) → (b, 2 l + 1)."""
    blanks = ops.full_like(labels, blank)
    pairs = ops.stack([blanks, labels], axis=2)  # (b, l, 2)
    flat = ops.reshape(pairs, (-1, 2 * labels.shape[1]))
    return ops.concatenate([flat, ops.full_like(labels[:, :1], blank)], axis=1)


def may_skip(states: Int[Any, "batch states"], blank: int = 0) -> Any:
    """Which states may be entered from two before: labels that differ from the label before them. bool, as `states`."""
    differs = ops.logical_and(ops.not_equal(states[:, 2:], blank), ops.not_equal(states[:, 2:], states[:, :-2]))
    return ops.concatenate([ops.zeros_like(states[:, :2], dtype="bool"), differs], axis=1)
