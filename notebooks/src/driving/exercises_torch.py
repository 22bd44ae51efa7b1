"""The exercises of lesson driving in PyTorch: a gate that sees the weather, and points brought to a bird's-eye view."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
class GatedSum(nn.Module):
    """Logits of each sensor (b, m, c), context (b, k), mask (b, m) → fused logits (b, c)."""

    def __init__(self, num_sensors, num_classes, context_size):
        super().__init__()
        self.gate = nn.Linear(context_size, num_sensors)
        self.prior = nn.Parameter(torch.zeros(num_classes))

    def forward(self, logits, context, modality_mask):
        gates = torch.sigmoid(self.gate(context))
        kept = gates * modality_mask
        fused = (kept[:, :, None] * logits).sum(dim=1)
        return fused + self.prior


def use_gate(probe, answer, num_sensors, num_classes, context_size, logits, context, mask, weights):
    """Outputs and gradients with the same weights, and where the prior starts."""
    model = answer(num_sensors, num_classes, context_size)
    probe.is_module(model)
    start = {id(p): probe.array(p) for p in model.parameters()}
    there = probe.torch.as_tensor(np.array(mask), dtype=probe.torch.bool)
    for parameters in probe.load_ways(model, weights):
        fused = model(probe.tensor(logits), probe.tensor(context), there)
        yield {
            "the fused logits": probe.output(fused),
            **probe.gradients(fused, parameters),
            "how many numbers of `prior` start at 0": np.array(float((start[id(parameters["prior"])] == 0).sum())),
        }


def draw_gate(g, b, num_sensors, num_classes, context_size, missing):
    """Logits of sensors, a context, and who is there."""
    shapes = {"gate.weight": (num_sensors, context_size), "gate.bias": (num_sensors,), "prior": (num_classes,)}
    logits = g.normal(size=(b, num_sensors, num_classes)).round(2).astype(np.float32)
    context_ = g.normal(size=(b, context_size)).round(2).astype(np.float32)
    mask = np.ones((b, num_sensors), bool)
    if missing:
        mask[0, 0] = False
        mask[-1, -1] = False
    return num_sensors, num_classes, context_size, logits, context_, mask, drawn_weights(g, shapes)


gate = exercise(
    "driving.4",
    GatedSum,
    framework="torch",
    use=use_gate,
    title="A gate that sees the weather",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "`logits` (b, m, c) are the votes of m sensors for c classes, `context` (b, k) says what the weather is like, and "
            "`modality_mask` (b, m) is True where a sensor is there."
        ),
        context(
            "**Write** the module `GatedSum(num_sensors, num_classes, context_size)`, with `self.gate`, a linear layer from the "
            "context to one number per sensor, and `self.prior`, a parameter (c,)"
        ),
        says("that starts at 0.", mistake="starts at 0"),
        says(
            "A sensor's gate is the *sigmoid* of its number: each may be open, whatever the others are.",
            mistake="compete",
        ),
        says("It depends on each sample's own context.", mistake="own context"),
        says(
            "Multiply each sensor's logits by its gate; a sensor that is not there adds nothing,", mistake="not there"
        ),
        says("not even half.", mistake="half open"),
        says("Add up over the sensors,", mistake="mean over the sensors"),
        says("and add the prior, once.", mistake="counts once"),
        says("Return (b, c).", ignored=edit("return fused + self.prior", "return (fused + self.prior)[None]")),
        example("""
gates = torch.tensor([[1.0, 0.5]])
votes = torch.tensor([[[2.0, 0.0], [0.0, 4.0]]])
print((gates[:, :, None] * votes).sum(dim=1))
"""),
    ],
    hints=[
        "`gates = torch.sigmoid(self.gate(context))` is (b, m); multiply it by the mask.",
        "`gates[:, :, None] * logits` is (b, m, c).",
    ],
    draw=draw_gate,
    parts=[
        part("sensors missing", weight=2, b=between(2, 4), num_sensors=3, num_classes=4, context_size=2, missing=True),
        part("all sensors there", b=2, num_sensors=between(2, 4), num_classes=3, context_size=3, missing=False),
        part("one sample", b=1, num_sensors=3, num_classes=between(2, 5), context_size=between(1, 4), missing=False),
        part("one sensor, missing", b=2, num_sensors=1, num_classes=3, context_size=2, missing=True),
    ],
    own={"b": 1, "num_sensors": 2, "num_classes": 2, "context_size": 1, "missing": False},
    own_says="Two sensors of your own",
    mistakes={
        "Your gates compete: with a softmax, one sensor can only open if another closes.": (
            "gates = torch.softmax(self.gate(context), dim=1)"
        ),
        "The gates have no sigmoid.": "gates = self.gate(context)",
        "Each sample has its own context: your gates are the same for all.": (
            "gates = torch.sigmoid(self.gate(context)).mean(dim=0, keepdim=True)"
        ),
        "A sensor that is not there still votes: use the mask.": "kept = gates",
        "A missing sensor is still half open: the mask must come after the sigmoid.": (
            "kept = torch.sigmoid(self.gate(context) * modality_mask)"
        ),
        "This is the mean over the sensors: votes are to be added.": "fused = (kept[:, :, None] * logits).mean(dim=1)",
        "The gates are divided by their sum: evidence that all sensors share must add up.": (
            "fused = (kept[:, :, None] * logits).sum(dim=1) / kept.sum(dim=1, keepdim=True).clamp(min=1e-6)"
        ),
        "The prior is missing.": "return fused",
        "`prior` starts at 0: yours starts elsewhere.": edit("torch.zeros(num_classes)", "torch.randn(num_classes)"),
        "The prior counts once, not once for each sensor.": "return fused + logits.shape[1] * self.prior",
    },
    praise="With log-likelihoods as votes and the right gates, this is Bayes' rule with the weather known.",
)


@right(gate)
class ByEinsum(nn.Module):
    def __init__(self, num_sensors, num_classes, context_size):
        super().__init__()
        self.gate = nn.Linear(context_size, num_sensors)
        self.prior = nn.Parameter(torch.zeros(num_classes))

    def forward(self, logits, context, modality_mask):
        open_ = self.gate(context).sigmoid().masked_fill(~modality_mask, 0.0)
        return self.prior + torch.einsum("bm,bmc->bc", open_, logits)


# ---------------------------------------------------------------- 5
def bird_view(points, features, rows, columns, cell):
    """Points (p, 2), x ahead and y to the left, with features (p, c) → mean of each cell (c, rows, columns)."""
    row = torch.floor(points[:, 0] / cell).long()
    column = torch.floor(points[:, 1] / cell).long() + columns // 2
    inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    index = row[inside] * columns + column[inside]
    kept = features[inside]
    total = torch.zeros(rows * columns, kept.shape[1]).index_add(0, index, kept)
    count = torch.zeros(rows * columns).index_add(0, index, torch.ones(len(index)))
    mean = total / count.clamp(min=1)[:, None]
    return mean.T.reshape(-1, rows, columns)


def use_bird_view(probe, answer, points, features, rows, columns, cell):
    """The view, and its gradient with respect to the features."""
    torch = probe.torch
    given = probe.tensor(features).requires_grad_()
    view = answer(probe.tensor(points), given, int(rows), int(columns), float(cell))
    shown = probe.output(view)
    weights = torch.linspace(0.5, 1.5, view.numel()).reshape(view.shape)
    slope = torch.zeros_like(given)
    if view.requires_grad:
        (slope,) = torch.autograd.grad((view * weights).sum(), given)
    yield {"the view": shown, "the gradient of the features": probe.output(slope)}


def draw_points(g, number, channels, rows, columns, cell, where):
    """Points, several in a cell; some just to the right of the middle, some outside."""
    x = g.uniform(0.05, rows * cell - 0.05, number)
    y = g.uniform(-columns / 2 * cell, columns / 2 * cell, number)
    y[0], y[1] = -0.3 * cell, 0.3 * cell
    x[1] = x[0]
    x[2:4], y[2:4] = x[0], y[0]
    if where == "outside":
        x[4], x[5], y[6] = rows * cell + 0.5, -0.4, columns / 2 * cell + 0.7
    points = np.stack([x, y], axis=1).round(3).astype(np.float32)
    features = g.normal(1.0, 1.0, size=(number, channels)).round(2).astype(np.float32)
    return points, features, rows, columns, cell


view = exercise(
    "driving.5",
    bird_view,
    framework="torch",
    use=use_bird_view,
    title="A bird's-eye view",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "`points` (p, 2) are x (meters ahead) and y (meters to the left); `features` (p, c) comes from a network that is "
            "being trained. `columns` is even, and y = 0 is the border between the two middle columns."
        ),
        context("**Write** `bird_view(points, features, rows, columns, cell)`, a tensor (c, rows, columns)."),
        says(
            "The row is x / cell, rounded *down*; the column is y / cell, rounded down, plus columns // 2.",
            mistake="toward zero",
        ),
        says("So x chooses the row, and y the column.", mistake="x and y are exchanged"),
        says("Points outside the grid are left out, not moved to its border.", mistake="outside"),
        says("A cell holds the *mean*", mistake="sum"),
        says("of the features of all its points,", mistake="last point"),
        says("and 0 where it has none (no NaN).", ignored=edit("count.clamp(min=1)[:, None]", "count[:, None]")),
        says("The features' gradient must come through.", mistake="gradient"),
        example("""
print((torch.tensor([-0.5, 0.5])).long(), "but", torch.floor(torch.tensor([-0.5, 0.5])).long())
print(torch.zeros(3).index_add(0, torch.tensor([1, 1]), torch.tensor([2.0, 4.0])))
"""),
    ],
    hints=[
        "`index = row * columns + column` numbers the cells; `torch.zeros(rows * columns, c).index_add(0, index, features)` adds.",
        "Count in the same way with ones, divide by `count.clamp(min=1)`, then `.T.reshape(c, rows, columns)`.",
    ],
    draw=draw_points,
    parts=[
        part(
            "several points in a cell",
            weight=2,
            number=between(12, 18),
            channels=3,
            rows=4,
            columns=6,
            cell=2.0,
            where="in",
        ),
        part(
            "points outside",
            number=between(12, 16),
            channels=2,
            rows=between(3, 5),
            columns=4,
            cell=1.5,
            where="outside",
        ),
        part("one feature", number=10, channels=1, rows=6, columns=2, cell=0.5, where="outside"),
    ],
    own={"number": 5, "channels": 1, "rows": 2, "columns": 4, "cell": 1.0, "where": "in"},
    own_says="Points of your own",
    mistakes={
        "`.long()` rounds toward zero: points just right of the middle land left of it. Use `torch.floor` first.": [
            "column = (points[:, 1] / cell).long() + columns // 2",
            edit(
                "row = torch.floor(points[:, 0] / cell).long()\n    column = torch.floor(points[:, 1] / cell)",
                "row = (points[:, 0] / cell).long()\n    column = (points[:, 1] / cell)",
            ),
        ],
        "x and y are exchanged: x chooses the row.": edit(
            "row = torch.floor(points[:, 0] / cell).long()\n    column = torch.floor(points[:, 1] / cell)",
            "row = torch.floor(points[:, 1] / cell).long()\n    column = torch.floor(points[:, 0] / cell)",
        ),
        "y = 0 is the middle of the grid: add columns // 2.": edit(" + columns // 2", ""),
        "Points outside are moved to the border: leave them out.": edit(
            "inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)",
            "row, column = row.clamp(0, rows - 1), column.clamp(0, columns - 1)\n    inside = row >= 0",
        ),
        "This is the sum of a cell's points: their mean is wanted.": "mean = total",
        "This divides by all points: divide by the points of the cell.": "mean = total / len(index)",
        "A cell keeps its last point only: add them up with `index_add`.": edit(
            "total = torch.zeros(rows * columns, kept.shape[1]).index_add(0, index, kept)\n    count = torch.zeros(rows * "
            "columns).index_add(0, index, torch.ones(len(index)))\n    mean = total / count.clamp(min=1)[:, None]",
            "mean = torch.zeros(rows * columns, kept.shape[1])\n    for k in range(len(index)):\n        mean = "
            "mean.index_copy(0, index[k : k + 1], kept[k : k + 1])",
        ),
        "The gradient is lost: do not detach the features.": "kept = features[inside].detach()",
    },
    praise="PointPillars does this with what a small network says of each point, and takes the largest value.",
)


@right(view)
def by_one_hot(points, features, rows, columns, cell):
    place = torch.stack([points[:, 0].div(cell).floor(), points[:, 1].div(cell).floor() + columns // 2])
    grid = torch.zeros(features.shape[1], rows, columns)
    for i in range(rows):
        for j in range(columns):
            here = (place[0] == i) & (place[1] == j)
            if here.any():
                spot = torch.zeros(rows, columns)
                spot[i, j] = 1.0
                grid = grid + features[here].mean(dim=0)[:, None, None] * spot
    return grid
