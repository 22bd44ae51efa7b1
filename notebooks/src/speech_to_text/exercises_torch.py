"""The exercises of lesson speech_to_text in PyTorch: a loss with the right lengths, a layer that padding cannot change."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
def sequence_loss(logits, num_frames, labels, num_labels):
    """CTC loss per word of the samples that fit, and how many do not fit."""
    steps = (num_frames + 3) // 4
    log_probs = logits.log_softmax(dim=-1).transpose(0, 1)
    options = {"reduction": "none", "zero_infinity": True}
    nats = F.ctc_loss(log_probs, labels, steps, num_labels, blank=0, **options)
    fits = nats != 0
    words = num_labels[fits].sum()
    loss = nats.sum() / words
    return loss, int((~fits).sum())


def with_nan(logits, num_frames, labels, num_labels):
    """The answer with one mistake."""
    log_probs = logits.log_softmax(dim=-1).transpose(0, 1)
    nats = F.ctc_loss(log_probs, labels, (num_frames + 3) // 4, num_labels, reduction="none")
    fits = torch.isfinite(nats)
    return nats[fits].sum() / num_labels[fits].sum(), int((~fits).sum())


def use_loss(probe, answer, logits, num_frames, labels, num_labels):
    """The loss, the count and the gradient of the logits."""
    logits = probe.tensor(logits).requires_grad_()
    integers = [probe.torch.as_tensor(np.array(x), dtype=probe.torch.int64) for x in (num_frames, labels, num_labels)]
    loss, count = answer(logits, *integers)
    found = {"the loss": probe.output(loss), "the number of samples that do not fit": np.array(int(count))}
    (loss + 0 * logits.sum()).backward()
    found["the gradient of the logits"] = probe.array(logits.grad)
    yield found


def draw_batch(g, b, frames, size, kind):
    """Logits for every fourth frame, and texts."""
    num_frames = g.integers(frames - 6, frames - 1, b)
    num_frames[g.integers(b)] = frames
    most = {"fit": 2, "too long": 3, "repeated": 3}[kind]
    labels = np.stack([g.permutation(np.arange(1, size))[:most] for _ in range(b)])
    num_labels = g.integers(1, most + 1, b)
    if b > 1:
        num_labels[:2] = most, 1
    if kind == "too long":  # the second sample has two steps for three words
        num_labels[1], num_frames[1] = 3, int(g.integers(5, 9))
    if kind == "repeated":  # three equal words need five steps; it has four
        labels[1], num_labels[1], num_frames[1] = labels[1, 0], 3, int(g.integers(13, 17))
    steps = (frames + 3) // 4
    logits = g.normal(size=(b, steps, size)).round(2).astype(np.float32) * 2
    logits[..., -1] += 1.0
    return logits, num_frames, labels, num_labels


loss = exercise(
    "speech_to_text.4",
    sequence_loss,
    framework="torch",
    use=use_loss,
    title="A loss with the right lengths",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "A network halves the time twice: frames (b, 4 t) → `logits` (b, t, v). `num_frames` (b,) says how many frames of "
            "each sample are real, *before* the network; `labels` (b, l) are the words, and `num_labels` (b,) says how many of "
            "them are real. The blank is label 0."
        ),
        context("**Write** `sequence_loss(logits, num_frames, labels, num_labels)` with `F.ctc_loss`."),
        says("`F.ctc_loss` takes log-probabilities, with time as the first dimension.", mistake="apply log_softmax"),
        says("The input lengths are *time steps of the logits*: a fourth of the frames,", mistake="not frames"),
        says("rounded up.", mistake="rounded up"),
        says("A sample that does not fit has an infinite loss: leave it out,", mistake="still in the sum"),
        says("its words as well,", mistake="its words"),
        says("so that the gradient is 0 for it, not NaN.", mistake="NaN"),
        says(
            "The loss is the sum over the other samples divided by the number of all their words.",
            mistake="all their words",
        ),
        says(
            "Return the loss, a tensor with a gradient, and how many samples did not fit, a number.",
            mistake="other way",
        ),
        example("""
print("17 frames make", (17 + 3) // 4, "time steps")
"""),
    ],
    hints=[
        'Use `reduction="none"`: it gives one loss per sample, infinite where no path exists. With `zero_infinity=True` it is '
        "exactly 0 there, which no other loss is.",
        "So `fits = nats != 0`. The number of words is `num_labels[fits].sum()`.",
    ],
    draw=draw_batch,
    parts=[
        part("all fit", weight=2, b=between(2, 3), frames=34, size=5, kind="fit"),
        part("a text that is too long", weight=2, b=3, frames=33, size=6, kind="too long"),
        part("the same word three times", b=3, frames=between(33, 36), size=5, kind="repeated"),
        part("one sample", b=1, frames=25, size=4, kind="fit"),
    ],
    own={"b": 1, "frames": 13, "size": 3, "kind": "fit"},
    own_says="A batch of your own",
    mistakes={
        "`F.ctc_loss` takes log-probabilities: apply log_softmax to the logits.": (
            "log_probs = logits.transpose(0, 1)"
        ),
        "These are probabilities: log_softmax is wanted, not softmax.": (
            "log_probs = logits.softmax(dim=-1).transpose(0, 1)"
        ),
        "The input lengths count time steps of the logits, not frames: all steps of padding count in yours.": (
            "steps = torch.full_like(num_frames, logits.shape[1])"
        ),
        "The number of steps is rounded up: (n + 3) // 4.": "steps = num_frames // 4",
        "The infinite loss of a sample that does not fit is still in the sum.": edit(
            '"zero_infinity": True', '"zero_infinity": False'
        ),
        "The loss is right, its gradient is NaN: 0 times an infinite loss. Use `zero_infinity=True`.": with_nan,
        "A sample that is left out leaves its words out, too.": "words = num_labels.sum()",
        "Divide the sum by the number of all their words: yours is the mean over samples of something else.": [
            "loss = (nats / num_labels)[fits].mean()",
            "loss = nats[fits].mean()",
        ],
        "This is the sum: divide by the number of words.": "loss = nats.sum()",
        "The blank is label 0, not the last.": edit("blank=0", "blank=logits.shape[-1] - 1"),
        "This counts the samples that fit; those that do not are wanted.": "return loss, int(fits.sum())",
        "The two are returned the other way round: loss first.": "return int((~fits).sum()), loss",
    },
    praise="Now `zero_infinity` hides nothing: you know how many samples teach nothing.",
)


@right(loss)
def one_by_one(logits, num_frames, labels, num_labels):
    total, words, dropped = logits.sum() * 0, 0, 0
    for z, n, row, count in zip(logits, num_frames.tolist(), labels, num_labels.tolist(), strict=True):
        steps = -(-n // 4)
        nats = F.ctc_loss(F.log_softmax(z[:steps], 1), row[:count], (steps,), (count,), reduction="sum")
        if torch.isinf(nats):
            dropped += 1
        else:
            total, words = total + nats, words + count
    return total / words, dropped


# ---------------------------------------------------------------- 5
class HalfTime(nn.Module):
    """A convolution with stride 2 that padding cannot change: (b, t, in_dim), lengths (b,) → (b, ⌈t / 2⌉, dim), lengths."""

    def __init__(self, in_dim, dim, kernel_size):
        super().__init__()
        self.conv = nn.Conv1d(in_dim, dim, kernel_size, stride=2, padding=kernel_size // 2)

    def forward(self, x, lengths):
        before = torch.arange(x.shape[1]) < lengths[:, None]
        x = torch.where(before[..., None], x, 0.0)
        y = F.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        halved = (lengths + 1) // 2
        after = torch.arange(y.shape[1]) < halved[:, None]
        return torch.where(after[..., None], y, 0.0), halved


def use_half(probe, answer, in_dim, dim, kernel_size, x, lengths, weights):
    """The output, the lengths, and the gradients of the weights."""
    module = answer(in_dim, dim, kernel_size)
    probe.is_module(module)
    for parameters in probe.load_ways(module, weights):
        y, halved = module(probe.tensor(x), probe.torch.as_tensor(np.array(lengths), dtype=probe.torch.int64))
        yield {
            "the output": probe.output(y),
            "the lengths": np.array(halved.tolist()),
            **probe.gradients(y.square().sum(), parameters),
        }


def draw_half(g, b, t, in_dim, dim, kernel_size):
    lengths = g.integers(max(1, t // 2), t, b) if t > 1 else np.ones(b, int)
    lengths[g.integers(b)] = t
    if b > 1:
        odd = t // 2 + 1 - (t // 2) % 2
        lengths[(int(np.argmax(lengths)) + 1) % b] = max(1, min(t - 1, odd))
    x = g.normal(size=(b, t, in_dim)).round(2).astype(np.float32)  # the padding is not zero
    weights = drawn_weights(g, {"conv.weight": (dim, in_dim, kernel_size), "conv.bias": (dim,)})
    return in_dim, dim, kernel_size, x, lengths, weights


half = exercise(
    "speech_to_text.5",
    HalfTime,
    framework="torch",
    use=use_half,
    title="A layer that padding cannot change",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "In a batch, short recordings are padded to the longest. What stands there must not change what is heard."
        ),
        context(
            "**Write** the class `HalfTime(in_dim, dim, kernel_size)`, an `nn.Module`. It is called with `x` (b, t, in_dim) and "
            "`lengths` (b,), how many frames of each sample are real."
        ),
        says("First set the frames after each length to 0:", mistake="into the convolution"),
        says("they may hold anything.", mistake="into the convolution"),
        says("Then one `nn.Conv1d`, `conv`, along *time*, with stride 2", mistake="stride"),
        says("and kernel_size // 2 zeros on both sides.", mistake="zeros on both sides"),
        says("Then GELU.", mistake="GELU is missing"),
        says("A length n becomes n / 2, rounded up.", mistake="rounded up"),
        says("Set the output after the new lengths to 0 as well (a bias alone would not be).", mistake="output after"),
        says("Return the output (b, ⌈t / 2⌉, dim) and the new lengths.", mistake="other way"),
        example("""
lengths = torch.tensor([3, 5])
print(torch.arange(5) < lengths[:, None])
"""),
    ],
    hints=[
        "`nn.Conv1d` wants (b, channels, time): transpose before it and after it.",
        "`torch.where(mask[..., None], x, 0.0)` with the mask of the example; for the output a mask of the new lengths.",
    ],
    draw=draw_half,
    parts=[
        part(
            "samples of different length", weight=2, b=between(2, 3), t=between(8, 10), in_dim=3, dim=4, kernel_size=5
        ),
        part("a short kernel", b=2, t=9, in_dim=between(2, 4), dim=3, kernel_size=3),
        part("one sample, nothing padded", b=1, t=between(6, 7), in_dim=3, dim=between(2, 5), kernel_size=5),
        part("one frame", b=2, t=1, in_dim=2, dim=3, kernel_size=3),
    ],
    own={"b": 2, "t": 6, "in_dim": 2, "dim": 2, "kernel_size": 3},
    own_says="A batch of your own",
    mistakes={
        "What stands in the padding goes into the convolution: set it to 0 first.": (
            "x = torch.where(before[..., None], x, x)"
        ),
        "The output after the new lengths is not 0.": "return y, halved",
        "The stride is 2: every second frame.": edit("stride=2", "stride=1"),
        "There are kernel_size // 2 zeros on both sides: `padding=kernel_size // 2`.": edit(
            ", padding=kernel_size // 2", ""
        ),
        "GELU is missing.": "y = self.conv(x.transpose(1, 2)).transpose(1, 2)",
        "This is ReLU; GELU is wanted.": "y = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)",
        "A length is rounded up: (n + 1) // 2.": "halved = lengths // 2",
        "The lengths are the old ones: they are halved, too.": "halved = lengths",
        "The two are returned the other way round: output first.": (
            "return halved, torch.where(after[..., None], y, 0.0)"
        ),
    },
    praise="So a batch says what each sample says alone; the lesson's recognizer has two of these.",
)


@right(half)
class ByMultiplying(nn.Module):
    """The same with masks of 0 and 1, and zeros added by hand."""

    def __init__(self, i, o, k):
        super().__init__()
        self.conv, self.k = nn.Conv1d(i, o, k, 2), k

    def real(self, z, n):
        return (torch.arange(z.shape[-1])[None] < n[:, None])[:, None].to(z.dtype) * z

    def forward(self, x, n):
        z = self.real(x.mT, n)
        z = F.gelu(self.conv(F.pad(z, (self.k // 2, self.k // 2))))
        m = torch.div(n + 1, 2, rounding_mode="floor")
        return self.real(z, m).mT, m
