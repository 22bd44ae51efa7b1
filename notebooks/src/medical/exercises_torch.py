"""The exercises of lesson medical in PyTorch: an encoder for records with gaps, and one step of private training."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
class RecordEncoder(nn.Module):
    """Records (b, fields) with NaN → features (b, width)."""

    def __init__(self, mean, std, width):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean))
        self.register_buffer("std", torch.as_tensor(std))
        self.instead = nn.Parameter(torch.zeros(len(mean)))
        self.hidden = nn.Linear(2 * len(mean), width)

    def forward(self, record):
        there = ~torch.isnan(record)
        standard = (record - self.mean) / self.std
        filled = torch.where(there, standard, self.instead)
        both = torch.cat([filled, there.to(filled.dtype)], dim=1)
        return self.hidden(both).relu()


def use_encoder(probe, answer, mean, std, width, record, weights):
    """Output, gradients, which numbers are buffers, and where `instead` starts."""
    model = answer(probe.tensor(mean), probe.tensor(std), width)
    probe.is_module(model)
    start = {id(p): probe.array(p) for p in model.parameters()}
    for parameters in probe.load_ways(model, weights):
        features = model(probe.tensor(record))
        yield {
            "the features": probe.output(features),
            **probe.gradients(features, parameters),
            "how many numbers are trained": np.array(float(sum(p.numel() for p in model.parameters()))),
            "how many numbers are buffers": np.array(float(sum(b.numel() for b in model.buffers()))),
            "how many numbers of `instead` start at 0": np.array(float((start[id(parameters["instead"])] == 0).sum())),
        }


def draw_encoder(g, b, fields, width, gaps):
    """Records with gaps, the training part's means and spreads, and weights."""
    mean, std = g.normal(3, 2, fields).round(2).astype(np.float32), (1 + g.random(fields)).round(2).astype(np.float32)
    record = (mean + std * g.normal(size=(b, fields))).round(2).astype(np.float32)
    if gaps == "some":
        record[g.random((b, fields)) < 0.4] = np.nan
        record[0, 0] = np.nan
        record[-1, -1] = 2.0
    if gaps == "all":
        record[:] = np.nan
    shapes = {"instead": (fields,), "hidden.weight": (width, 2 * fields), "hidden.bias": (width,)}
    return mean, std, width, record, drawn_weights(g, shapes)


encoder = exercise(
    "medical.4",
    RecordEncoder,
    framework="torch",
    use=use_encoder,
    title="A record with gaps",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "**Write** the module `RecordEncoder(mean, std, width)`. `mean` and `std` (fields,) are of the training part."
        ),
        context("`forward(record)` takes records (b, fields) with NaN in the gaps, and gives (b, width)."),
        says("Standardize: subtract `mean`,", mistake="Subtract the mean"),
        says("divide by `std`.", mistake="Divide by `std`"),
        says(
            "In each gap stands a *learned* number of that field, `instead` (fields,),",
            mistake="learned",
        ),
        says("which starts at 0.", mistake="starts at 0"),
        says("Append a flag for each field: 1 where there is a number, 0 in a gap.", mistake="yours are the other way"),
        says("One linear layer from 2 · fields to `width`, then ReLU.", mistake="ReLU"),
        says("`mean` and `std` are saved with the model and are not trained: buffers.", mistake="not saved"),
        example("""
record = torch.tensor([[39.0, float("nan")]])
print(torch.isnan(record), torch.where(torch.isnan(record), torch.tensor([7.0, 8.0]), record))
"""),
    ],
    hints=[
        '`self.register_buffer("mean", mean)`; `self.instead = nn.Parameter(torch.zeros(len(mean)))`.',
        "`torch.where(there, standard, self.instead)` puts each field's own number into its gaps.",
    ],
    draw=draw_encoder,
    parts=[
        part("some gaps", weight=2, b=between(3, 5), fields=between(3, 5), width=6, gaps="some"),
        part("no gaps", b=between(2, 4), fields=3, width=between(4, 6), gaps="none"),
        part("nothing is there", b=2, fields=4, width=5, gaps="all"),
        part("one patient", b=1, fields=between(2, 4), width=5, gaps="some"),
    ],
    own={"b": 1, "fields": 2, "width": 2, "gaps": "none"},
    own_says="A record of your own",
    mistakes={
        "Subtract the mean of each field.": "standard = record / self.std",
        "Divide by `std`, too.": "standard = record - self.mean",
        "The number in a gap is learned: `instead`, not always 0.": (
            "filled = torch.where(there, standard, torch.zeros_like(self.instead))"
        ),
        "`instead` starts at 0, the mean of each field: yours starts elsewhere.": edit(
            "nn.Parameter(torch.zeros(len(mean)))", "nn.Parameter(torch.randn(len(mean)))"
        ),
        "What stands in a gap replaces the standardized number; yours is standardized once more.": (
            "filled = (torch.where(there, record, self.instead) - self.mean) / self.std"
        ),
        "A flag is 1 where there is a number, 0 in a gap; yours are the other way round.": (
            "both = torch.cat([filled, (~there).to(filled.dtype)], dim=1)"
        ),
        "The flags come after the numbers: yours come first.": (
            "both = torch.cat([there.to(filled.dtype), filled], dim=1)"
        ),
        "The ReLU at the end is missing.": "return self.hidden(both)",
        "`mean` and `std` are to be buffers: yours are not saved with the model.": edit(
            'self.register_buffer("mean", torch.as_tensor(mean))\n        self.register_buffer("std", torch.as_tensor(std))',
            "self.mean, self.std = torch.as_tensor(mean), torch.as_tensor(std)",
        ),
        "`mean` and `std` are to be buffers, not parameters: they would be trained.": edit(
            'self.register_buffer("mean", torch.as_tensor(mean))\n        self.register_buffer("std", torch.as_tensor(std))',
            "self.mean = nn.Parameter(torch.as_tensor(mean))\n        self.std = nn.Parameter(torch.as_tensor(std))",
        ),
    },
    praise="Whoever loads your model cannot lose its means, and a gap has a voice of its own.",
)


@right(encoder)
class ByMask(nn.Module):
    def __init__(self, mean, std, width):
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("std", std.clone())
        self.instead = nn.Parameter(torch.zeros_like(mean))
        self.hidden = nn.Linear(mean.numel() * 2, width)

    def forward(self, record):
        gap = record.isnan()
        z = torch.nan_to_num((record - self.mean) / self.std, nan=0.0).masked_fill(gap, 0.0)
        z = z + gap.to(z.dtype) * self.instead
        return torch.relu(self.hidden(torch.hstack([z, 1 - gap.to(z.dtype)])))


# ---------------------------------------------------------------- 5
def private_gradient(gradients, clip, noise):
    """Gradients of single patients (b, d) → the gradient that may be used (d,); `noise` (d,) is standard normal × σ."""
    size = gradients.norm(dim=1, keepdim=True)
    factor = (clip / size.clamp(min=1e-12)).clamp(max=1.0)
    clipped = gradients * factor
    total = clipped.sum(dim=0) + clip * noise
    return total / len(gradients)


def use_private(probe, answer, gradients, clip, noise):
    """The gradient."""
    given = probe.tensor(gradients)
    yield {"the gradient": probe.output(answer(given, float(clip), probe.tensor(noise)))}


def draw_private(g, b, d, clip, kind):
    """Gradients of which some are long, some short, one perhaps 0."""
    gradients = g.normal(size=(b, d)).astype(np.float32)
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)
    if kind == "mixed":
        sizes = np.where(np.arange(b) % 2 == 0, 3.0, 0.3)
    else:
        sizes = np.full(b, 4.0 if kind == "long" else 0.4)
    gradients *= (clip * sizes[:, None] * (0.9 + 0.2 * g.random((b, 1)))).astype(np.float32)
    if kind == "zero":
        gradients[0] = 0
    return gradients.round(4), clip, g.normal(size=d).round(3).astype(np.float32)


private = exercise(
    "medical.5",
    private_gradient,
    framework="torch",
    use=use_private,
    title="One step of private training",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`gradients` (b, d) has the gradient of each single patient. Differential privacy (Abadi et al. 2016) uses only this "
            "of them: `private_gradient(gradients, clip, noise)`, a tensor (d,)."
        ),
        says(
            "Clip *each patient's* gradient: if it is longer than `clip`, it is shortened to that length;",
            mistake="not their sum",
        ),
        says("a shorter one stays as it is.", mistake="shorter one"),
        says("The length is the Euclidean norm, over all d numbers.", mistake="sum of sizes"),
        says(
            "A gradient of zeros stays zero (no NaN).",
            ignored="factor = clip / size if (size > clip).all() else (clip / size).clamp(max=1.0) * (size / size)",
        ),
        says("Add them up, and add `clip` × `noise` once,", mistake="added once"),
        says("then divide by the number of patients.", mistake="Divide by the number"),
        example("""
g = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
print("lengths", g.norm(dim=1), "→ clipped at 1:", torch.tensor([[0.6, 0.8], [0.3, 0.4]]))
"""),
    ],
    hints=[
        "The factor of each patient is min(1, clip / length): `(clip / size.clamp(min=1e-12)).clamp(max=1.0)`.",
        "`(clipped.sum(dim=0) + clip * noise) / len(gradients)`.",
    ],
    draw=draw_private,
    parts=[
        part("long and short gradients", weight=2, b=between(4, 6), d=between(3, 5), clip=0.5, kind="mixed"),
        part("all of them long", b=3, d=4, clip=between(1, 2), kind="long"),
        part("all of them short", b=between(3, 4), d=3, clip=2.0, kind="short"),
        part("a gradient of zeros", b=3, d=between(2, 4), clip=1.5, kind="zero"),
        part("one patient", b=1, d=3, clip=0.5, kind="long"),
    ],
    own={"b": 2, "d": 2, "clip": 0.5, "kind": "mixed"},
    own_says="Gradients of your own",
    mistakes={
        "Clip each patient's gradient, not their sum.": edit(
            "clipped = gradients * factor\n    total = clipped.sum(dim=0)",
            "clipped = gradients.sum(dim=0)\n    total = clipped * (clip / clipped.norm()).clamp(max=1.0)",
        ),
        "Nothing is clipped: one patient could decide alone.": "clipped = gradients",
        "A shorter one stays as it is: yours are all stretched to the length `clip`.": (
            "factor = clip / size.clamp(min=1e-12)"
        ),
        "This clips each number by itself: the Euclidean length of the whole gradient counts.": (
            "clipped = gradients.clamp(-clip, clip)"
        ),
        "This is not the Euclidean length, but the sum of sizes.": "size = gradients.abs().sum(dim=1, keepdim=True)",
        "The noise is missing.": "total = clipped.sum(dim=0)",
        "The noise is to be multiplied by `clip`: it hides a gradient of that length.": "total = clipped.sum(dim=0) + noise",
        "Your noise is too large: it is added once to the sum, and divided with it.": [
            "total = (clipped + clip * noise).sum(dim=0)",
            "return clipped.mean(dim=0) + clip * noise",
        ],
        "Divide by the number of patients.": "return total",
    },
    praise="One patient can move this by clip / b at most, and the noise hides just that.",
)


@right(private)
def by_loop(gradients, clip, noise):
    total = clip * noise
    for row in gradients:
        length = float(row.pow(2).sum().sqrt())
        total = total + (row if length <= clip else row * (clip / length))
    return total / gradients.shape[0]
