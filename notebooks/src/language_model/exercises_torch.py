"""The exercises of lesson language_model in PyTorch: a gated feed-forward block, the loss of packed documents."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
class GatedBlock(nn.Module):
    """x + SwiGLU(RMSNorm(x)): (b, n, dim) → (b, n, dim)."""

    def __init__(self, dim, hidden, eps):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x):
        mean_square = x.square().mean(dim=-1, keepdim=True)
        root = torch.sqrt(mean_square + self.eps)
        h = x / root * self.weight
        opened = F.silu(self.gate(h))
        y = self.down(opened * self.up(h))
        return x + y


def use_block(probe, answer, dim, hidden, eps, x, weights):
    """The output and the gradients, with copied weights; gate and up are told apart by their names."""
    module = answer(dim, hidden, eps)
    probe.is_module(module)
    for parameters in probe.load_ways(module, weights):
        y = module(probe.tensor(x))
        yield {"the output": probe.output(y), **probe.gradients(y.square().sum(), parameters)}


def draw_block(g, b, n, dim, hidden, eps):
    """Vectors whose mean is not 0, and weights."""
    x = g.normal(0.8, 1, size=(b, n, dim)).round(2).astype(np.float32)
    shapes = {"weight": (dim,), "gate.weight": (hidden, dim), "up.weight": (hidden, dim), "down.weight": (dim, hidden)}
    weights = drawn_weights(g, shapes)
    weights["weight"] = (1 + weights["weight"]).astype(np.float32)
    return dim, hidden, float(eps), x, weights


block = exercise(
    "language_model.4",
    GatedBlock,
    framework="torch",
    use=use_block,
    title="Half a block of Llama",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            r"$$y = x + W_\mathrm{down}\bigl(\mathrm{silu}(W_\mathrm{gate} h) \odot W_\mathrm{up} h\bigr), \qquad h = \mathrm{RMSNorm}(x)$$"
        ),
        context(
            "**Write** the class `GatedBlock(dim, hidden, eps)`, an `nn.Module` that maps x (b, n, dim) to (b, n, dim)."
        ),
        says(
            "It has a parameter `weight` (dim,) for the norm, all ones at first: h = x / √(mean of squares + eps) · weight.",
            mistake="weight of the norm",
        ),
        says("The mean of x is not subtracted,", mistake="subtract the mean"),
        says("eps is inside the root.", mistake="inside the root"),
        says("Three `nn.Linear` without bias, called `gate`, `up` and `down`;", mistake="exchanged"),
        says("silu (not a sigmoid, not ReLU) goes over what `gate` makes,", mistake="silu(z)"),
        says(
            "its result is multiplied with what `up` makes, and `down` brings it back to dim.", mistake="not multiplied"
        ),
        says("At the end x itself is added.", mistake="residual connection is missing"),
        says("Both read h, not x.", mistake="x itself"),
        example("""
z = torch.tensor([-2.0, 0.0, 2.0])
print("silu:", F.silu(z).numpy().round(3), "  sigmoid:", torch.sigmoid(z).numpy().round(3))
"""),
    ],
    hints=[
        "`x.square().mean(dim=-1, keepdim=True)` is the mean of squares of each vector: (b, n, 1).",
        "`h = x / torch.sqrt(mean_square + self.eps) * self.weight`; then one line for the gate, one for the product.",
    ],
    draw=draw_block,
    parts=[
        part("several texts", weight=2, b=2, n=between(3, 4), dim=between(4, 6), hidden=between(7, 9), eps=1e-6),
        part("one vector", b=1, n=1, dim=4, hidden=between(5, 6), eps=1e-6),
        part("as wide inside as outside", b=2, n=3, dim=5, hidden=5, eps=1e-6),
        part("a large eps", weight=2, b=1, n=3, dim=4, hidden=6, eps=0.5),
    ],
    own={"b": 1, "n": 1, "dim": 2, "hidden": 2, "eps": 1e-6},
    own_says="A vector of your own",
    mistakes={
        "You subtract the mean: RMSNorm does not.": edit(
            "mean_square = x.square().mean(dim=-1, keepdim=True)\n"
            "        root = torch.sqrt(mean_square + self.eps)\n"
            "        h = x / root * self.weight",
            "c = x - x.mean(dim=-1, keepdim=True)\n"
            "        root = torch.sqrt(c.square().mean(dim=-1, keepdim=True) + self.eps)\n"
            "        h = c / root * self.weight",
        ),
        "eps belongs inside the root, beside the mean of squares.": "root = torch.sqrt(mean_square) + self.eps",
        "The weight of the norm is missing.": "h = x / root",
        "Gate and up are exchanged: silu goes over what `gate` makes.": [
            "y = self.down(F.silu(self.up(h)) * self.gate(h))"
        ],
        "silu is meant: silu(z) = z · sigmoid(z).": [
            "opened = torch.sigmoid(self.gate(h))",
            "opened = F.relu(self.gate(h))",
            "opened = F.gelu(self.gate(h))",
        ],
        "The gate is not multiplied with what `up` makes.": "y = self.down(opened + self.up(h))",
        "The residual connection is missing: add x.": "return y",
        "Your layers read x itself: they read h, the normalized x.": "h = x",
        "You add the normalized x: the residual stream stays as it is.": "return h + y",
    },
    praise="With causal attention before it, this is the block of most of today's open language models.",
)


@right(block)
class ByLibrary(nn.Module):
    """The same with PyTorch's own norm."""

    def __init__(self, d, m, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(d)), eps
        self.gate, self.up = nn.Linear(d, m, False), nn.Linear(d, m, False)
        self.down = nn.Linear(m, d, False)

    def forward(self, x):
        h = F.rms_norm(x, x.shape[-1:], self.weight, self.eps)
        z = self.gate(h)
        return x + self.down(z * z.sigmoid() * self.up(h))


# ---------------------------------------------------------------- 5
def packed_loss(logits, ids, document):
    """Mean cross-entropy of the next token, never across two documents; document −1 is padding."""
    predicted = logits[:, :-1]
    targets = ids[:, 1:]
    same = document[:, 1:] == document[:, :-1]
    real = document[:, 1:] >= 0
    nats = F.cross_entropy(predicted.transpose(1, 2), targets, reduction="none")
    kept = same & real
    return nats[kept].mean()


def use_packed(probe, answer, logits, ids, document):
    """The loss and the gradient of the logits."""
    logits = probe.tensor(logits).requires_grad_()
    integers = [probe.torch.as_tensor(np.array(x), dtype=probe.torch.int64) for x in (ids, document)]
    loss = answer(logits, *integers)
    found = {"the loss": probe.output(loss)}
    (loss + 0 * logits.sum()).backward()
    found["the gradient of the logits"] = probe.array(logits.grad)
    yield found


def draw_packed(g, b, n, size, kind):
    """Rows with documents of different length, one after the other."""
    document = np.zeros((b, n), int)
    number = 0
    for row in document:
        at = 0
        while at < n:
            length = n if kind == "one document" else int(g.integers(2, 5))
            row[at : at + length] = number
            at, number = at + length, number + 1
    if kind == "padded":
        document[0, n - 4 :] = -1
        document[-1, n - 1 :] = -1
        document[-1, n - 2] = document[-1, n - 3]
    ids = g.integers(1, size, (b, n))
    ids[document < 0] = 0
    logits = (2 * g.normal(size=(b, n, size))).round(2).astype(np.float32)
    return logits, ids, document


def mean_of_rows(logits, ids, document):
    """The answer with one mistake."""
    kept = (document[:, 1:] == document[:, :-1]) & (document[:, 1:] >= 0)
    nats = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    return ((nats * kept).sum(dim=1) / kept.sum(dim=1)).mean()


def not_shifted(logits, ids, document):
    """The answer with one mistake."""
    nats = F.cross_entropy(logits.transpose(1, 2), ids, reduction="none")
    return nats[document >= 0].mean()


def shifted_twice(logits, ids, document):
    """The answer with one mistake."""
    kept = (document[:, 2:] == document[:, :-2]) & (document[:, 2:] >= 0)
    nats = F.cross_entropy(logits[:, :-2].transpose(1, 2), ids[:, 2:], reduction="none")
    return nats[kept].sum() / kept.sum().clamp(min=1)


packed = exercise(
    "language_model.5",
    packed_loss,
    framework="torch",
    use=use_packed,
    title="The loss of packed documents",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "To waste nothing, several documents stand one after the other in a row. `logits` (b, n, v) and `ids` (b, n) are not "
            "shifted yet: `logits[:, t]` comes from `ids[:, : t + 1]`. `document` (b, n) says to which document each token belongs; "
            "−1 is padding at the end of a row."
        ),
        says(
            "**Write** `packed_loss(logits, ids, document)`. Position t predicts the token at t + 1.", mistake="Shift"
        ),
        says(
            "The first token of a document is not predicted from the document before it.",
            mistake="across two documents",
        ),
        says("Padding is not predicted either.", mistake="Padding"),
        says("The loss is the cross-entropy of the logits (natural logarithm),", mistake="takes logits"),
        says(
            "averaged over all tokens that are predicted in the whole batch, not over rows first.",
            mistake="mean of the rows",
        ),
        says("Return a tensor with a gradient.", ignored="return nats[kept].mean().detach() + 0 * nats.sum().detach()"),
        example("""
document = torch.tensor([[0, 0, 0, 1, 1, -1]])
print("predicted are the tokens at 1, 2 and 4:", (document[:, 1:] == document[:, :-1]).tolist())
"""),
    ],
    hints=[
        "`document[:, 1:] == document[:, :-1]` is True where a token and the one before it belong together. What about two −1 in a row?",
        '`F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")` gives (b, n − 1); index it with the mask, then take the mean.',
    ],
    draw=draw_packed,
    parts=[
        part("several documents", weight=2, b=2, n=between(8, 10), size=between(5, 7), kind="several"),
        part("padding at the end", weight=2, b=3, n=between(8, 9), size=5, kind="padded"),
        part("one document in a row", b=2, n=5, size=4, kind="one document"),
        part("as many kinds of tokens as positions", b=1, n=6, size=5, kind="several"),
    ],
    own={"b": 1, "n": 5, "size": 3, "kind": "several"},
    own_says="A row of your own",
    mistakes={
        "Shift by one: position t predicts the token at t + 1. Yours predicts what it reads.": [
            not_shifted,
            "targets = ids[:, :-1]",
        ],
        "You shift by two: position t predicts the token at t + 1.": shifted_twice,
        "You predict the first token of a document across two documents: leave it out.": "kept = real",
        "Padding is predicted, too: leave out where `document` is −1.": "kept = same",
        "`F.cross_entropy` takes logits: it applies log_softmax itself.": "predicted = logits[:, :-1].softmax(dim=-1)",
        "This is the mean of the rows' means: take the mean over all tokens at once.": mean_of_rows,
        "This is the sum: take the mean.": "return nats[kept].sum()",
        "You divide by the number of all positions, not of those that are predicted.": "return (nats * kept).mean()",
        "These are bits: the natural logarithm is wanted.": "return nats[kept].mean() / np.log(2)",
    },
    praise="The attention needs the same care: a token may see its own document only.",
)


@right(packed)
def by_ignoring(logits, ids, document):
    labels = torch.where((document[:, 1:] == document[:, :-1]) & (document[:, 1:] >= 0), ids[:, 1:], -100)
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten(), ignore_index=-100)
