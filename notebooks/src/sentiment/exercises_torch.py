"""Attention over modalities in PyTorch, where each sample lacks something else."""

import math

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import context, drawn_weights, edit, example, exercise, in_turn, one_of, part, right, says


class AttentionFusion(nn.Module):
    """Modality vectors x (b, M, d), with gaps → logits (b, C)."""

    def __init__(self, num_modalities, width, num_classes):
        super().__init__()
        self.kind = nn.Parameter(torch.zeros(num_modalities, width))
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x, modality_mask):
        there = modality_mask[:, :, None]  # (b, M, 1)
        x = x.masked_fill(~there, 0)  # anything may stand for what is absent
        tokens = x + self.kind  # (b, M, d)
        q, k, v = self.q_proj(tokens), self.k_proj(tokens), self.v_proj(tokens)
        scores = q @ k.transpose(1, 2) / math.sqrt(x.shape[-1])  # (b, M, M)
        scores = scores.masked_fill(~modality_mask[:, None, :], -1e9)
        weights = scores.softmax(dim=-1)
        mixed = tokens + weights @ v
        total = mixed.masked_fill(~there, 0).sum(dim=1)  # (b, d)
        count = there.sum(dim=1).clamp(min=1)
        return self.head(total / count)


def use_fusion(probe, answer, num_modalities, width, num_classes, x, modality_mask, weights):
    """Logits and gradients with copied weights."""
    model = answer(num_modalities, width, num_classes)
    for parameters in probe.load_ways(model, weights):
        out = model(probe.tensor(x), probe.tensor(modality_mask))
        yield {"the output": probe.output(out), **probe.gradients(out, parameters)}


def draw_fusion(g, b, num_modalities, width, num_classes, gaps, fill=0.0):
    """Vectors, and who is there: "none" missing, "some" missing, or "all" missing in the first sample."""
    x = g.normal(size=(b, num_modalities, width)).round(2)
    modality_mask = np.ones((b, num_modalities), bool)
    if gaps:
        modality_mask = g.random((b, num_modalities)) < 0.6
        modality_mask[:, 0] |= ~modality_mask.any(axis=1)
        modality_mask[-1] = np.arange(num_modalities) == num_modalities - 1  # only the last one
    if gaps == "all":
        modality_mask[0] = False
    x[~modality_mask] = fill
    shapes = {"kind": (num_modalities, width)}
    for name in ("q_proj", "k_proj", "v_proj"):
        shapes |= {f"{name}.weight": (width, width), f"{name}.bias": (width,)}
    shapes |= {"head.weight": (num_classes, width), "head.bias": (num_classes,)}
    return num_modalities, width, num_classes, x, modality_mask, drawn_weights(g, shapes)


class AcrossSamples(AttentionFusion):
    """For each modality, the samples of the batch attend to one another."""

    def forward(self, x, modality_mask):
        there = modality_mask[:, :, None]
        tokens = (x.masked_fill(~there, 0) + self.kind).transpose(0, 1)  # (M, b, d)
        q, k, v = self.q_proj(tokens), self.k_proj(tokens), self.v_proj(tokens)
        scores = q @ k.transpose(1, 2) / math.sqrt(x.shape[-1])  # (M, b, b)
        scores = scores.masked_fill(~modality_mask.T[:, None, :], -1e9)
        mixed = (tokens + scores.softmax(dim=-1) @ v).transpose(0, 1)
        total = mixed.masked_fill(~there, 0).sum(dim=1)
        return self.head(total / there.sum(dim=1).clamp(min=1))


class FirstForAll(AttentionFusion):
    """The gaps of the first sample for the whole batch."""

    def forward(self, x, modality_mask):
        x = x.masked_fill(~modality_mask[:, :, None], 0)
        return super().forward(x, modality_mask[:1].expand(len(x), -1))


class NothingToSay(AttentionFusion):
    """Logits of 0 for a sample with nothing there."""

    def forward(self, x, modality_mask):
        return super().forward(x, modality_mask) * modality_mask.any(dim=1, keepdim=True)


class OneLayer(AttentionFusion):
    """Queries, keys and values from one layer."""

    def __init__(self, num_modalities, width, num_classes):
        super().__init__(num_modalities, width, num_classes)
        del self.k_proj, self.v_proj


MASKING = "scores.masked_fill(~modality_mask[:, None, :], -1e9)"

fusion = exercise(
    "sentiment.5",
    AttentionFusion,
    framework="torch",
    use=use_fusion,
    title="Attention over modalities, with gaps",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "Each encoder gave one vector per message. Some messages came without a face, some without a voice, and one came "
            "with nothing at all. Fuse what is there."
        ),
        says(
            "**Write** the class `AttentionFusion(num_modalities, width, num_classes)`, an `nn.Module` with",
            mistake="the same layer",
        ),
        says(
            "a parameter of shape `(num_modalities, width)`, the mark of each modality's kind, added to its vector;",
            mistake="The marks of the kinds",
        ),
        context(
            "three `nn.Linear(width, width)` for queries, keys and values; and `nn.Linear(width, num_classes)` as head."
        ),
        says(
            "`forward(x, modality_mask)` takes `x` (b, M, width) and `modality_mask` bool (b, M), True where a modality is there,",
            mistake="upside down",
        ),
        says(
            "and returns logits (b, num_classes).",
            ignored=edit("self.head(total / count)", "self.head(total / count)[:, None]"),
        ),
        context("One head of attention: in each sample, the modalities attend to one another, never the samples."),
        says("Samples do not see one another,", mistake="Samples attend to one another"),
        says("and each has its own gaps.", mistake="gaps of the first sample"),
        says("The scores are divided by the root of `width`;", mistake="not divided"),
        says("nobody attends to an absent modality;", mistake="attended to"),
        says("what attention brings is *added* to each token (a residual connection).", mistake="residual connection"),
        says(
            "Then take the mean over the modalities that are there, and apply the head.",
            mistake="divide by the number of all",
        ),
        says(
            "What stands in `x` for an absent modality means nothing: it may be 0, 1e9 or NaN.",
            mistake="NaN times 0",
        ),
        says(
            "With nothing there the mean is a vector of zeros, so the logits are the head's bias.",
            mistake="logits of 0",
        ),
        says("Neither outputs nor gradients may be NaN then.", mistake="gradients become NaN"),
        example("""
torch.manual_seed(0)
x = torch.randn(2, 3, 4)  # 2 messages, 3 modalities, width 4
modality_mask = torch.tensor([[True, True, False], [False, False, False]])
print("modalities per message:", modality_mask.sum(dim=1).tolist())
"""),
    ],
    hints=[
        "Write the shape behind every line: scores are (b, M, M), and their columns are the keys. Put zeros where nothing is "
        "before you compute anything: `x.masked_fill(~modality_mask[:, :, None], 0)`.",
        "A *finite* very low number, such as -1e9, in the columns of absent modalities: then a row with nothing to attend to is "
        "no 0 / 0. For the mean, sum what is there and divide by `count.clamp(min=1)`.",
    ],
    draw=draw_fusion,
    parts=[
        part("everything there", b=3, num_modalities=3, width=4, num_classes=3, gaps=""),
        part(
            "gaps",
            weight=2,
            b=one_of(3, 4),
            num_modalities=in_turn(3, 2, 4),
            width=in_turn(5, 6),
            num_classes=in_turn(2, 3),
            gaps="some",
        ),
        part(
            "anything in the place of the absent",
            b=3,
            num_modalities=3,
            width=5,
            num_classes=3,
            gaps="some",
            fill=in_turn(float("nan"), 1e9),
        ),
        part("one message with nothing there", b=3, num_modalities=3, width=4, num_classes=in_turn(2, 3), gaps="all"),
        part("one message alone", b=1, num_modalities=3, width=4, num_classes=3, gaps="some"),
    ],
    own={"b": 2, "num_modalities": 2, "width": 3, "num_classes": 2, "gaps": "some"},
    own_says="Vectors of your own, who is there, and weights",
    mistakes={
        "Samples attend to one another: the answer to a message depends on its neighbors in the batch. In each sample, the "
        "modalities should attend to one another.": AcrossSamples,
        "You take the gaps of the first sample for the whole batch.": FirstForAll,
        "Queries, keys and values come from the same layer: three layers are wanted.": OneLayer,
        "The marks of the kinds are not used: add them to the vectors.": "tokens = x",
        "The scores are not divided by the root of the width.": edit(" / math.sqrt(x.shape[-1])", ""),
        "The scores are divided by the width itself, not by its root.": edit("math.sqrt(x.shape[-1])", "x.shape[-1]"),
        "An absent modality is attended to: mask its *column* of the scores before the softmax.": [
            edit(MASKING, "scores"),
            edit("[:, None, :], -1e9", "[:, :, None], -1e9"),
        ],
        "Your mask is upside down: True means there.": edit(
            MASKING, "scores.masked_fill(modality_mask[:, None, :], -1e9)"
        ),
        "You multiplied the scores with the mask. A score of 0 still gets a weight: e to the 0 is 1.": edit(
            MASKING, "scores * modality_mask[:, None, :]"
        ),
        "The softmax goes over the queries: each row of the weights should sum to 1.": edit(
            "softmax(dim=-1)", "softmax(dim=-2)"
        ),
        "The residual connection is missing: add what attention brings to the tokens.": "mixed = weights @ v",
        "You divide by the number of all modalities: divide by how many are there.": "count = x.shape[1]",
        "Absent modalities are in the sum: leave their rows out before you take the mean.": "total = mixed.sum(dim=1)",
        "You took absent vectors out by multiplying with the mask, but NaN times 0 is NaN: `masked_fill`.": "x = x * there",
        "With nothing there you divide 0 by 0: count at least 1.": edit(".clamp(min=1)", ""),
        "With nothing there your gradients become NaN: a row of the softmax is all −∞. Use a finite low number.": edit(
            "-1e9", "-torch.inf"
        ),
        "With nothing there you give logits of 0. The mean is a vector of zeros, so the head's bias is left.": NothingToSay,
    },
    praise="One model for every set of gaps, and a message with nothing gets the same answer, whoever sends it.",
)


@right(fusion)
class ByFunction(nn.Module):
    """The framework's own attention, with an additive mask."""

    def __init__(self, num_modalities, width, num_classes):
        super().__init__()
        self.marks = nn.Parameter(torch.randn(num_modalities, width))
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, num_classes)

    def forward(self, x, modality_mask):
        real = modality_mask.unsqueeze(-1)
        t = torch.where(real, x, torch.zeros_like(x)) + self.marks
        low = torch.zeros(modality_mask.shape).masked_fill(~modality_mask, -1e9)[:, None]
        brought = nn.functional.scaled_dot_product_attention(self.to_q(t), self.to_k(t), self.to_v(t), attn_mask=low)
        summed = torch.where(real, t + brought, torch.zeros_like(t)).sum(1)
        return self.out(summed / real.sum(1).clamp_min(1))
