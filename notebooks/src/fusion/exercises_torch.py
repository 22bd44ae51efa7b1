"""Low-rank tensor fusion in PyTorch that works with a missing modality."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 5
class LowRankFusion(nn.Module):
    """Vectors of several modalities and a mask (b, M) → (b, width)."""

    def __init__(self, dims, rank, width):
        super().__init__()
        starts = [torch.randn(rank, d + 1, width) / (d + 1) ** 0.5 for d in dims]
        self.factors = nn.ParameterList(nn.Parameter(start) for start in starts)

    def forward(self, xs, there):
        product = 1.0
        for m, x in enumerate(xs):
            here = there[:, m, None]  # (b, 1)
            kept = torch.where(here, x, 0.0)
            ones = torch.ones(len(x), 1)
            with_one = torch.cat([kept, ones], dim=1)  # (b, d + 1)
            mapped = torch.einsum("bi,rik->brk", with_one, self.factors[m])
            product = product * mapped  # (b, rank, width)
        return product.sum(dim=1)


def use_fusion(probe, answer, dims, rank, width, x, there, weights):
    """Output and gradients with copied weights; what an absent modality holds is NaN in the second half."""
    model = answer(list(dims), rank, width)
    xs = [probe.tensor(part) for part in np.split(x, np.cumsum(dims)[:-1], axis=1)]
    mask = probe.tensor(there)
    noise = [probe.torch.where(mask[:, m, None], part, float("nan")) for m, part in enumerate(xs)]
    for parameters in probe.load_ways(model, weights):
        y = model(xs, mask)
        found = {"the output": probe.output(y), **probe.gradients(y, parameters)}
        found["the output where absent modalities hold NaN"] = probe.output(model(noise, mask))
        yield found


def draw_fusion(g, b, num_modalities, rank, missing):
    dims = [int(d) for d in g.permutation([2, 3, 4, 5])[:num_modalities]]  # all different: one way to copy weights
    width = int(g.integers(2, 4))
    x = g.normal(size=(b, sum(dims))).round(2)
    there = np.ones((b, num_modalities), bool)
    if missing == "one":
        there[np.arange(b), g.integers(0, num_modalities, b)] = False
    if missing == "all":
        there[0] = False
    shapes = {f"factors.{m}": (rank, d + 1, width) for m, d in enumerate(dims)}
    return tuple(dims), rank, width, x, there, drawn_weights(g, shapes)


class PlainList(LowRankFusion):
    """Factors that nobody registers."""

    def __init__(self, dims, rank, width):
        super().__init__(dims, rank, width)
        del self.factors
        self.factors = [nn.Parameter(torch.randn(rank, d + 1, width)) for d in dims]


fusion_module = exercise(
    "fusion.5",
    LowRankFusion,
    framework="torch",
    use=use_fusion,
    title="Low-rank fusion with a missing modality",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            r"Low-rank tensor fusion is $h = \sum_r \bigodot_m W_m^{(r)} [x_m; 1]$: map each vector, with a 1 behind it, by $R$ "
            "maps, multiply over the modalities, and sum over $r$ last."
        ),
        says(
            "**Write** the class `LowRankFusion(dims, rank, width)`, an `nn.Module` for any number of modalities of widths "
            "`dims`. Each has one `nn.Parameter` of shape `(rank, d + 1, width)`, without other parameters,",
            mistake="in a plain list",
        ),
        says("the row of the 1 being the last.", mistake="in front"),
        says(
            "`forward(xs, there)` takes a list of tensors (b, d_m) and a bool mask (b, M), True where a modality is there, "
            "and returns (b, width).",
            mistake="the sum over r is missing",
        ),
        says(
            "An absent modality counts as zeros, *before* the 1 is appended, so that the terms without it stay;",
            mistake="of its 1",
        ),
        says("whatever its vector holds must not matter, not even NaN.", mistake="NaN"),
        says("Each sample has its own mask.", mistake="in the whole batch"),
        context(
            "The check copies weights into your parameters, compares outputs and gradients, and does it again with NaN in "
            "the vectors that are absent."
        ),
        example("""
x = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
there = torch.tensor([[True, False], [True, True]])
print("multiplied by 0:", (x * there).tolist())
print("chosen by where:", torch.where(there, x, 0.0).tolist())
"""),
    ],
    hints=[
        "An `nn.ParameterList` registers what a plain list hides. 0 · NaN is NaN, so a mask is applied with `torch.where`.",
        "For modality m: `x = torch.where(there[:, m, None], x, 0.0)`, append ones, then "
        '`torch.einsum("bi,rik->brk", x, self.factors[m])`. Multiply over m, and sum over axis 1 at the end.',
    ],
    draw=draw_fusion,
    parts=[
        part("everybody there", weight=2, b=between(2, 4), num_modalities=3, rank=between(2, 4), missing=""),
        part("one modality missing in each sample", weight=2, b=4, num_modalities=3, rank=2, missing="one"),
        part("two modalities", b=between(2, 4), num_modalities=2, rank=3, missing="one"),
        part("one sample, rank 1", b=1, num_modalities=3, rank=1, missing="one"),
        part("nothing there in one sample", b=3, num_modalities=4, rank=2, missing="all"),
    ],
    own={"b": 2, "num_modalities": 2, "rank": 2, "missing": "one"},
    own_says="Sizes, vectors and masks of your own: dims, rank, width, all vectors side by side, there",
    mistakes={
        "Factors in a plain list are hidden from the module: use an `nn.ParameterList`.": PlainList,
        "Your 1 is in front of each vector. It comes last, [x; 1], and so does its row in the factors.": (
            "with_one = torch.cat([ones, kept], dim=1)"
        ),
        "You summed over r before multiplying. A product of sums is not a sum of products: sum last.": edit(
            "product = product * mapped  # (b, rank, width)",
            "product = product * mapped.sum(dim=1)",
            "return product.sum(dim=1)",
            "return product",
        ),
        "You return (b, rank, width): the sum over r is missing.": "return product",
        "You took the mean over r. The formula sums.": "return product.mean(dim=1)",
        "You added the modalities. Within one r their maps are multiplied.": edit(
            "product * mapped", "product + mapped", "product = 1.0", "product = 0.0"
        ),
        "The mask has no effect on your output: an absent modality counts as zeros.": (
            edit("here, x, 0.0", "here | True, x, 0.0")
        ),
        "An absent modality is robbed of its 1, so every term is gone. Zeros go in before the 1 is appended.": (
            "mapped = torch.einsum('bi,rik->brk', with_one, self.factors[m]) * here[:, None]"
        ),
        "You left the absent modality out of the product (factor 1). It counts as zeros with its 1, which gives the last row "
        "of its factor.": (
            "mapped = torch.where(here[:, None], torch.einsum('bi,rik->brk', with_one, self.factors[m]), 1.0)"
        ),
        "NaN comes through: 0 · NaN is NaN. Choose with `torch.where` instead of multiplying by the mask.": (
            edit("torch.where(here, x, 0.0)", "x * here")
        ),
        "You drop a modality in the whole batch as soon as it is missing in one sample. Each sample has its own mask.": edit(
            "here = there[:, m, None]  # (b, 1)", "here = there[:, m].all().expand(len(x), 1)"
        ),
    },
    praise="Now a broken camera costs you the face, and nothing else.",
)


@right(fusion_module)
class ByLoops(nn.Module):
    """Rank by rank, with a ParameterDict."""

    def __init__(self, dims, rank, width):
        super().__init__()
        self.maps = nn.ParameterDict(
            {str(m): nn.Parameter(torch.zeros(rank, d + 1, width)) for m, d in enumerate(dims)}
        )

    def forward(self, xs, there):
        total = 0
        for r in range(self.maps["0"].shape[0]):
            factors = []
            for m, x in enumerate(xs):
                w = self.maps[str(m)][r]
                factors.append(x.masked_fill(~there[:, m : m + 1], 0.0) @ w[:-1] + w[-1])
            total = total + torch.stack(factors).prod(dim=0)
        return total
