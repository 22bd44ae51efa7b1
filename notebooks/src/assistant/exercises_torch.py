"""The exercises of lesson assistant in PyTorch: a masked mean of embeddings, and a loss over hypotheses."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
class MeanOfWords(nn.Module):
    """Ids (b, l), 0 after the end → logits (b, num_intents)."""

    def __init__(self, num_words, width, num_intents):
        super().__init__()
        self.embedding = nn.Embedding(num_words, width)
        self.to_intent = nn.Linear(width, num_intents)

    def forward(self, ids):
        mask = (ids > 0).float()[..., None]
        vectors = self.embedding(ids)
        total = (vectors * mask).sum(dim=1)
        count = mask.sum(dim=1).clamp(min=1)
        mean = total / count
        logits = self.to_intent(mean)
        return logits


def use_mean(probe, answer, num_words, width, num_intents, ids, weights):
    """Output and gradients with copied weights."""
    torch = probe.torch
    model = answer(num_words, width, num_intents)
    for parameters in probe.load_ways(model, weights):
        logits = model(torch.as_tensor(np.array(ids), dtype=torch.int64))
        yield {"the logits": probe.output(logits), **probe.gradients(logits, parameters)}


def draw_mean(g, b, length, num_words, width, num_intents, kind):
    """Sentences of different length."""
    ids = g.integers(1, num_words, size=(b, length))
    lengths = np.full(b, length) if kind == "full" else g.integers(1, length, size=b)
    if kind == "empty":
        lengths[0] = 0
    for row, n in zip(ids, lengths, strict=True):
        row[n:] = 0
    shapes = {
        "embedding.weight": (num_words, width),
        "to_intent.weight": (num_intents, width),
        "to_intent.bias": (num_intents,),
    }
    return num_words, width, num_intents, ids, drawn_weights(g, shapes)


class WithPaddingIdx(nn.Module):
    """Trusts the layer's padding_idx instead of a mask."""

    def __init__(self, num_words, width, num_intents):
        super().__init__()
        self.embedding = nn.Embedding(num_words, width, padding_idx=0)
        self.to_intent = nn.Linear(width, num_intents)

    def forward(self, ids):
        count = (ids > 0).sum(dim=1, keepdim=True).clamp(min=1)
        return self.to_intent(self.embedding(ids).sum(dim=1) / count)


mean_model = exercise(
    "assistant.4",
    MeanOfWords,
    framework="torch",
    use=use_mean,
    title="A mean that leaves the padding out",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`ids` (b, l) are the words of b sentences as whole numbers from 1 on, 0 after the end of the shorter ones."
        ),
        context("**Write** the class `MeanOfWords(num_words, width, num_intents)`, an `nn.Module`."),
        says(
            "It has an `nn.Embedding` of `num_words` vectors of size `width`,",
            ignored=edit("vectors * mask", "vectors.tanh() * mask"),
        ),
        says("and a linear layer to `num_intents` logits.", mistake="softmax belongs"),
        says("`forward(ids)` takes the *mean* of the vectors of each sentence,", mistake="a sum"),
        says("over its real words only: the padding has no say in the sum,", mistake="before you sum"),
        says("nor in the number that you divide by.", mistake="divide by the number of its own words"),
        says("A sentence without words has mean 0, not NaN.", ignored="count = mask.sum(dim=1)"),
        says("It returns logits (b, num_intents).", mistake="softmax belongs"),
        example("""
ids = torch.tensor([[3, 1, 0], [2, 0, 0]])
print("real words:", (ids > 0).int().tolist(), "counts:", (ids > 0).sum(dim=1).tolist())
"""),
    ],
    hints=[
        "`mask = (ids > 0).float()[..., None]` is (b, l, 1): multiply the vectors with it, and sum over dim 1.",
        "`count = mask.sum(dim=1).clamp(min=1)`.",
    ],
    draw=draw_mean,
    parts=[
        part(
            "sentences of different length",
            weight=2,
            b=between(2, 4),
            length=5,
            num_words=8,
            width=4,
            num_intents=3,
            kind="any",
        ),
        part(
            "no padding at all", b=3, length=between(2, 4), num_words=between(5, 7), width=3, num_intents=2, kind="full"
        ),
        part(
            "a sentence without words",
            b=between(2, 3),
            length=4,
            num_words=6,
            width=between(2, 5),
            num_intents=4,
            kind="empty",
        ),
        part("one sentence", b=1, length=6, num_words=9, width=3, num_intents=between(2, 4), kind="any"),
    ],
    own={"b": 3, "length": 5, "num_words": 20, "width": 2, "num_intents": 2, "kind": "any"},
    own_says="Sizes and a sentence of your own: num_words, width, num_intents, ids",
    mistakes={
        "The padding takes part in your mean: its vectors are added, and its places are counted.": [
            "mean = vectors.mean(dim=1)",
        ],
        "The padding's vectors are added: multiply with the mask before you sum.": "total = vectors.sum(dim=1)",
        "`padding_idx` makes the vector of 0 zero only when the layer is made: here weights were loaded. Use the mask.": (
            WithPaddingIdx
        ),
        "The padding is left out of the sum, but not of the count: divide by the number of its own words.": (
            "count = torch.full_like(mask.sum(dim=1), ids.shape[1])"
        ),
        "This is a sum of vectors: divide by the number of words.": "mean = total",
        "This is the largest value, not the mean.": "mean = (vectors * mask - 1e9 * (1 - mask)).amax(dim=1) * (mask.sum(dim=1) > 0)",
        "The softmax belongs to the loss: return logits.": [
            "return logits.softmax(dim=-1)",
            "return logits.log_softmax(dim=-1)",
        ],
    },
    praise="The same two lines pool any padded sequence.",
)


@right(mean_model)
class WithIndexing(nn.Module):
    def __init__(self, num_words, width, num_intents):
        super().__init__()
        self.table = nn.Embedding(num_words, width)
        self.head = nn.Linear(width, num_intents)

    def forward(self, ids):
        rows = []
        for row in ids:
            real = row[row != 0]
            if len(real):
                rows.append(self.table(real).mean(dim=0))
            else:
                rows.append(torch.zeros(self.table.embedding_dim))
        return self.head(torch.stack(rows))


# ---------------------------------------------------------------- 5
def hypotheses_loss(logits, scores, labels):
    """−log p(label | sound), marginalized: logits (b, n, k), scores (b, n), labels (b,) → scalar."""
    log_weights = scores.log_softmax(dim=1)
    log_p = logits.log_softmax(dim=2)
    index = labels[:, None, None].expand(-1, logits.shape[1], 1)
    of_label = log_p.gather(2, index)[..., 0]
    joint = log_weights + of_label
    losses = -joint.logsumexp(dim=1)
    return losses.mean()


def use_loss(probe, answer, logits, scores, labels):
    """The loss and the gradients of both inputs."""
    torch = probe.torch
    x = probe.tensor(logits).clone().requires_grad_()
    s = probe.tensor(scores).clone().requires_grad_()
    loss = answer(x, s, torch.as_tensor(np.array(labels), dtype=torch.int64))
    by_x, by_s = torch.autograd.grad(loss, [x, s], allow_unused=True)
    zeros = torch.zeros_like
    yield {
        "the loss": probe.output(loss),
        "the gradient of the logits": probe.output(zeros(x) if by_x is None else by_x),
        "the gradient of the scores": probe.output(zeros(s) if by_s is None else by_s),
    }


def draw_loss(g, b, n, k, shift):
    """Logits of n hypotheses each, their scores, and the labels."""
    logits = (g.normal(size=(b, n, k)) * 2).round(2).astype(np.float32)
    scores = (g.normal(size=(b, n)) * 1.5 + shift).round(2).astype(np.float32)
    return logits, scores, np.arange(b) % k if b > 1 else np.array([k - 1])


def draw_unlikely(g, b, n, k):
    """Every hypothesis is sure of another intent: p(label | h) is e^−800 at most, 0 in float32 and float64.

    They lie 40 apart, so one hypothesis has all the say: rounding at −800 shows in no gradient.
    """
    logits, scores, labels = draw_loss(g, b, n, k, 0)
    for row, label in zip(logits, labels, strict=True):
        row[:, label] = -400 - 40 * g.permutation(n)
        row[:, (label + 1 + int(g.integers(k - 1))) % k] = 400
    return logits, scores, labels


loss_over = exercise(
    "assistant.5",
    hypotheses_loss,
    framework="torch",
    use=use_loss,
    title="A loss over hypotheses",
    points=4,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "A recognizer gives n hypotheses of each sentence. `scores` (b, n) are their log-probabilities up to a constant; a "
            "model gave `logits` (b, n, k), k intents for each hypothesis. `labels` (b,) are the true intents."
        ),
        context("**Write** `hypotheses_loss(logits, scores, labels)`, so that all hypotheses train the model:"),
        context(r"$$L = -\frac1b \sum_i \log \sum_h p(h \mid x_i)\; p(y_i \mid h)$$"),
        says("p(h | x) is the softmax of the scores over the hypotheses,", mistake="scores are not normalized"),
        says("not the same for each,", mistake="count alike"),
        says("and not only the best one.", mistake="only the best"),
        says("p(y | h) is the softmax of the logits over the intents.", ignored="log_p = logits"),
        says("The logarithm stands *outside* the sum over hypotheses.", mistake="outside"),
        says(
            "Nothing overflows, even with scores of −2,000,",
            ignored=edit(
                "losses = -joint.logsumexp(dim=1)",
                "losses = -(scores.exp() * of_label.exp()).sum(dim=1).log() + scores.exp().sum(dim=1).log()",
            ),
        ),
        says(
            "and no probability becomes 0 before its logarithm, even with logits of ±400: stay with logarithms.",
            mistake="stay with logarithms",
        ),
        says("Return the mean over the batch, a scalar.", mistake="mean over the batch"),
        example("""
log_weights = torch.tensor([[0.6, 0.4]]).log()
log_p = torch.tensor([[0.9, 0.2]]).log()
print("−log(0.6 · 0.9 + 0.4 · 0.2) =", -(log_weights + log_p).logsumexp(dim=1))
"""),
    ],
    hints=[
        "`scores.log_softmax(dim=1)` (b, n) plus the log-probability of the label (b, n), then `logsumexp` over dim 1.",
        "`log_p.gather(2, index)[..., 0]` with `index = labels[:, None, None].expand(-1, n, 1)` takes each sentence's own label.",
    ],
    draw=draw_loss,
    parts=[
        part("several sentences", weight=2, b=between(3, 4), n=between(3, 5), k=3, shift=between(-3, 2)),
        part("scores of −2,000", b=2, n=3, k=4, shift=-2000),
        part("logits of ±400", draw=draw_unlikely, b=between(2, 3), n=between(2, 4), k=between(3, 4)),
        part("one hypothesis", b=between(2, 3), n=1, k=between(3, 5), shift=-1),
        part("one sentence", b=1, n=4, k=between(2, 4), shift=0),
    ],
    own={"b": 1, "n": 2, "k": 2, "shift": 0},
    own_says="Logits, scores and a label of your own",
    mistakes={
        "Your scores are not normalized: take their log-softmax over the hypotheses.": "log_weights = scores",
        "Hypotheses count alike in your loss: weight each by its probability.": (
            "log_weights = torch.zeros_like(scores).log_softmax(dim=1)"
        ),
        "This trains on only the best hypothesis: all of them have a say.": (
            "losses = -of_label.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0]"
        ),
        "You averaged the losses of the hypotheses: the logarithm stands outside the sum.": (
            "losses = -(log_weights.exp() * of_label).sum(dim=1)"
        ),
        "exp(−800) is 0, and the logarithm of 0 is −∞: stay with logarithms, and let `logsumexp` add.": [
            "losses = -(log_weights.exp() * of_label.exp()).sum(dim=1).log()",
            "losses = -(log_weights.double().exp() * of_label.double().exp()).sum(dim=1).log()",
            "losses = -(joint.exp().sum(dim=1) + 1e-9).log()",
            "losses = -joint.exp().sum(dim=1).clamp(min=1e-30).log()",
        ],
        "The mean over the batch is wanted, not the sum.": "return losses.sum()",
    },
    praise="A hypothesis that explains the label gets a larger gradient: the model learns from the doubt.",
)


@right(loss_over)
def with_cross_entropy(logits, scores, labels):
    b, n, k = logits.shape
    nats = F.cross_entropy(logits.reshape(-1, k), labels.repeat_interleave(n), reduction="none").view(b, n)
    return (torch.logsumexp(scores, dim=1) - torch.logsumexp(scores - nats, dim=1)).mean()
