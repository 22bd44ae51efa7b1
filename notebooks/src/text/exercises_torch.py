"""A weighted mean of word vectors as a PyTorch module, and the check of the lesson's masked mean."""

import numpy as np
import torch
from torch import nn

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, edit, exercise, part, right, says


# ---------------------------------------------------------------- 3
class WeightedMeanClassifier(nn.Module):
    """Token ids, weights and a mask, each (b, n) → scores (b, num_classes)."""

    def __init__(self, num_tokens, width, num_classes):
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, width)
        self.out = nn.Linear(width, num_classes)

    def forward(self, ids, weights, padding_mask):
        vectors = self.embedding(ids)  # (b, n, width)
        kept = weights * padding_mask  # (b, n), padding weighs nothing
        total = (kept[:, :, None] * vectors).sum(dim=1)  # (b, width)
        mass = kept.sum(dim=1, keepdim=True)  # (b, 1)
        mean = total / mass.masked_fill(mass == 0, 1)
        return self.out(mean)


def use_classifier(probe, answer, num_tokens, width, num_classes, ids, weights, padding_mask, parameters):
    """Output and gradients with copied parameters."""
    model = answer(num_tokens, width, num_classes)
    for loaded in probe.load_ways(model, parameters):
        scores = model(probe.tensor(ids), probe.tensor(weights), probe.tensor(padding_mask))
        yield {"the output": probe.output(scores), **probe.gradients(scores, loaded)}


def draw_batch(g, b, n, width, num_classes, padding):
    """Padding holds any id and any weight; `padding` is none, on the right, on the left, or a first sample of nothing else."""
    num_tokens = 7
    ids = g.integers(0, num_tokens, (b, n))
    weights = g.uniform(0.5, 3.0, (b, n)).round(2)
    lengths = g.integers(1, n, (b, 1)) if padding else [[n]] * b
    padding_mask = np.arange(n) < np.asarray(lengths)  # (b, n)
    if padding == "left":
        padding_mask = padding_mask[:, ::-1].copy()
    if padding == "all":
        padding_mask[0] = False
    shapes = {"embedding.weight": (num_tokens, width), "out.weight": (num_classes, width), "out.bias": (num_classes,)}
    return num_tokens, width, num_classes, ids, weights, padding_mask, drawn_weights(g, shapes)


weighted = exercise(
    "text.3",
    WeightedMeanClassifier,
    framework="torch",
    use=use_classifier,
    title="A weighted mean of word vectors in PyTorch",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "The lesson's network averages word vectors, and *the* counts as much as *boring*. Let each token count as "
            "much as its weight says, for example its idf."
        ),
        says(
            "**Write** the class `WeightedMeanClassifier(num_tokens, width, num_classes)`, an `nn.Module` with an "
            "embedding of `num_tokens` vectors of that width,",
            mistake="Layers in a plain list",
        ),
        says(
            "and one linear layer with a bias from `width` to `num_classes`. Their names are yours.",
            mistake="Your linear layer has no bias",
        ),
        says(
            "`forward(ids, weights, padding_mask)` takes three arrays (b, n) and returns scores (b, num_classes),",
            ignored=edit("return self.out(mean)", "return self.out(mean).argmax(dim=1)"),
        ),
        says("without a softmax.", mistake="softmax belongs to the loss"),
        says("Each token's vector is multiplied by its weight;", mistake="Your weights have no effect"),
        says("the products are added up,", mistake="largest value"),
        says("and the sum is divided by the sum of the weights", mistake="divided by the number of tokens"),
        says("of the real tokens;", mistake="The weights of padding are still in the divisor"),
        says(
            "`padding_mask` is True where a token is **real**. Padding may hold any id and any weight, and counts "
            "nowhere.",
            mistake="The mask has no effect",
        ),
        says(
            "A sample with nothing but padding has a mean of zeros, and neither its scores nor a gradient may be NaN.",
            mistake="became NaN",
        ),
        context("The check copies weights into your layers and compares outputs and gradients."),
    ],
    hints=[
        "Multiply weights by the mask *first*. Which two things do you then make of the product?",
        "`kept = weights * padding_mask`; `kept[:, :, None]` can be multiplied with the vectors. Put 1 where the sum of "
        "weights is 0 (`masked_fill`), then divide.",
    ],
    draw=draw_batch,
    parts=[
        part("no padding", b=2, n=3, width=between(2, 4), num_classes=between(2, 4), padding=""),
        part("padding", weight=2, b=3, n=between(3, 5), width=3, num_classes=2, padding="right"),
        part("padding on the left", b=2, n=4, width=between(2, 4), num_classes=3, padding="left"),
        part("a sample of nothing but padding", b=3, n=3, width=2, num_classes=between(2, 4), padding="all"),
        part("one token", b=1, n=1, width=3, num_classes=2, padding=""),
    ],
    constant={"num_tokens": "the ids decide which rows are used"},
    mistakes={
        "Layers in a plain list are hidden from the module, its parameters too: make them attributes.": edit(
            "self.embedding = nn.Embedding(num_tokens, width)",
            "self.layers = [nn.Embedding(num_tokens, width), nn.Linear(width, num_classes)]",
            "self.out = nn.Linear(width, num_classes)",
            "pass",
            "self.embedding(ids)",
            "self.layers[0](ids)",
            "self.out(mean)",
            "self.layers[1](mean)",
        ),
        "Your linear layer has no bias.": edit(
            "nn.Linear(width, num_classes)", "nn.Linear(width, num_classes, bias=False)"
        ),
        "The softmax belongs to the loss: `nn.CrossEntropyLoss` applies it to scores.": (
            "return self.out(mean).softmax(dim=1)"
        ),
        "Your weights have no effect: every real token counts the same.": "kept = padding_mask.float()",
        "You took the largest value of each feature (max pooling). Add the products up.": (
            "mean = (kept[:, :, None] * vectors).max(dim=1).values"
        ),
        "You divided by the number of tokens. Divide by the sum of their weights.": (
            "mass = padding_mask.sum(dim=1, keepdim=True)"
        ),
        "You divided by the number of positions. Divide by the sum of the weights of the real tokens.": (
            "mean = (kept[:, :, None] * vectors).mean(dim=1)"
        ),
        "The weights of padding are still in the divisor: add up the weights of the real tokens only.": (
            "mass = weights.sum(dim=1, keepdim=True)"
        ),
        "The vectors of padding are still in the sum: multiply by the mask there as well.": (
            "total = (weights[:, :, None] * vectors).sum(dim=1)"
        ),
        "The mask has no effect: padding counts like a token.": "kept = weights",
        "Your mask is upside down: True is real.": "kept = weights * ~padding_mask",
        "You took ids of 0 for padding. Only the mask says what is padding.": "kept = weights * (ids != 0)",
        "This is the weighted sum: divide it by the sum of the weights.": "mean = total",
        "A sample of nothing but padding became NaN (0 divided by 0). Its mean should be zeros.": "mean = total / mass",
        "One mean for the whole batch: each sample is divided by its own sum.": "mass = kept.sum()",
    },
    praise="With idf as weights this is TF-IDF times a table of word vectors, a baseline that is hard to beat.",
)


@right(weighted)
class ByProduct(nn.Module):
    """Shares first, then one matrix product per sample; other names, another order of layers."""

    def __init__(self, num_tokens, width, num_classes):
        super().__init__()
        self.head = nn.Linear(width, num_classes)
        self.table = nn.Embedding(num_tokens, width)

    def forward(self, ids, weights, padding_mask):
        kept = torch.where(padding_mask, weights, 0.0)
        shares = kept / kept.sum(dim=1, keepdim=True).clamp(min=1e-9)  # (b, n)
        return self.head((shares[:, None] @ self.table(ids))[:, 0])


# ---------------------------------------------------------------- blanks of the lesson
def draw_means():
    g = torch.Generator().manual_seed(0)
    masks = ([[True, True, False], [True, False, False]], [[True]], [[False, True, True, False]])
    found = []
    for mask, width in zip(masks, (2, 3, 4), strict=True):
        mask = torch.tensor(mask)
        found.append((torch.randn(*mask.shape, width, generator=g), mask))
    return found


@blank(
    "text.blank.5",
    title="The mean of real tokens",
    inputs=draw_means,
    mistakes=[
        (lambda vectors, mask: vectors.mean(dim=1), "Padding counts too: the mask has no effect."),
        (
            lambda vectors, mask: (vectors * mask[:, :, None]).mean(dim=1),
            "Padding adds nothing now, but you still divide by the whole length: divide by the number of real tokens.",
        ),
        (
            lambda vectors, mask: (vectors * mask[:, :, None]).sum(dim=1),
            "This is the sum of the real tokens: divide by their number.",
        ),
        (
            lambda vectors, mask: vectors.sum(dim=1) / mask.sum(dim=1, keepdim=True),
            "You divide by the number of real tokens, but padding is still in the sum.",
        ),
        (
            lambda vectors, mask: (vectors * ~mask[:, :, None]).sum(dim=1) / (~mask).sum(dim=1, keepdim=True).clamp(1),
            "This is the mean of the padding: True is a real token.",
        ),
        (
            lambda vectors, mask: vectors[mask].mean(dim=0, keepdim=True).expand(len(vectors), -1),
            "One mean for the whole batch: each sentence needs its own.",
        ),
    ],
    what="The mean",
    atol=1e-5,
)
def masked_mean(vectors, mask):
    real = vectors * mask[:, :, None]  # (b, n, d), padding is 0
    total = real.sum(dim=1)  # (b, d)
    return total / mask.sum(dim=1, keepdim=True)
