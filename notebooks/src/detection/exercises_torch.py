"""The loss of matched queries and the head of a grid detector, and a blank of the lesson, in PyTorch."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, one_of, part, right, says


# ---------------------------------------------------------------- 4
def matched_losses(logits, boxes, labels, targets, matched, no_object_weight):
    """The class loss of all queries and the L1 loss of matched ones, of one picture."""
    found = matched >= 0
    wanted = torch.full_like(matched, logits.shape[1] - 1)
    wanted[found] = labels[matched[found]]
    weight = torch.where(found, 1.0, no_object_weight)
    nats = F.cross_entropy(logits, wanted, reduction="none")
    class_loss = (weight * nats).sum() / weight.sum()
    distance = (boxes[found] - targets[matched[found]]).abs().sum(dim=1)
    l1_loss = distance.sum() / max(len(distance), 1)
    return class_loss, l1_loss


def use_losses(probe, answer, logits, boxes, labels, targets, matched, no_object_weight):
    """Both losses, and the gradients of logits and boxes."""
    logits = probe.tensor(logits).requires_grad_()
    boxes = probe.tensor(boxes).requires_grad_()
    integers = [probe.torch.as_tensor(np.array(x), dtype=probe.torch.int64) for x in (labels, matched)]
    class_loss, l1_loss = answer(logits, boxes, integers[0], probe.tensor(targets), integers[1], no_object_weight)
    found = {"the class loss": probe.output(class_loss), "the L1 loss": probe.output(l1_loss)}
    total = class_loss + 5 * l1_loss + 0 * logits.sum() + 0 * boxes.sum()
    total.backward()
    found["the gradient of the logits"] = probe.array(logits.grad)
    found["the gradient of the boxes"] = probe.array(boxes.grad)
    yield found


def draw_matched(g, q, m, num_classes, light, matches):
    logits = g.normal(size=(q, num_classes + 1)).round(2).astype(np.float32)
    boxes = g.uniform(0.1, 0.9, (q, 4)).round(2).astype(np.float32)
    labels = g.integers(0, num_classes, m)
    labels[0] = g.integers(1, num_classes)
    targets = g.uniform(0.1, 0.9, (m, 4)).round(2).astype(np.float32)
    matched = np.full(q, -1)
    n = min(matches, m)
    matched[g.permutation(q)[:n]] = g.permutation(m)[:n]
    return logits, boxes, labels, targets, matched, float(light)


losses = exercise(
    "detection.4",
    matched_losses,
    framework="torch",
    use=use_losses,
    title="The loss of matched queries",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "One picture: `logits` (q, classes + 1), the last class is “nothing”; `boxes` (q, 4); `labels` (m,) and `targets` "
            "(m, 4) of its objects; `matched` (q,), for each query the number of its object, or −1."
        ),
        says(
            "**Write** `matched_losses(logits, boxes, labels, targets, matched, no_object_weight)`. A matched query is to say "
            "the class of *its* object,",
            mistake="class of its object",
        ),
        says("every other one the last class.", mistake="last class"),
        says(
            "The class loss is the weighted mean of the cross-entropies, with weight 1 for matched queries",
            mistake="no weight",
        ),
        says("and `no_object_weight` for the others;", mistake="wrong way round"),
        says("a weighted mean divides by the *sum of the weights*.", mistake="sum of the weights"),
        says("The L1 loss takes matched queries only:", mistake="not matched"),
        says("the sum of the four absolute differences between box and target,", mistake="sum of four"),
        says("averaged over the matched queries,", mistake="number of matched queries"),
        says("and 0 if there are none.", mistake="0 / 0"),
        says("Return both as tensors with gradients: class loss, L1 loss.", mistake="other way"),
        example("""
matched = torch.tensor([-1, 1, 0])
print("query 1 learns object 1, query 2 object 0, query 0 nothing; weights with 0.1:", [0.1, 1.0, 1.0])
"""),
    ],
    hints=[
        "`found = matched >= 0`. Fill a tensor of classes with the last one, then set `wanted[found]`. Which objects do the "
        "found queries have?",
        'Use `F.cross_entropy(logits, wanted, reduction="none")` and `torch.where(found, 1.0, no_object_weight)`. For L1, '
        "`boxes[found] - targets[matched[found]]`.",
    ],
    draw=draw_matched,
    parts=[
        part("two objects", weight=2, q=5, m=2, num_classes=3, light=one_of(0.1, 0.3), matches=2),
        part("three objects", weight=2, q=between(5, 6), m=3, num_classes=4, light=0.4, matches=3),
        part("an object that nobody has found", q=4, m=3, num_classes=3, light=0.2, matches=2),
        part("every query matched", q=2, m=2, num_classes=3, light=0.1, matches=2),
        part("no query matched", q=3, m=1, num_classes=2, light=0.3, matches=0),
    ],
    own={"q": 3, "m": 1, "num_classes": 2, "light": 0.5, "matches": 1},
    own_says="A picture of your own",
    mistakes={
        "Each matched query learns the class of its object: take `labels[matched[found]]`, not the labels in their order.": (
            "wanted[found] = labels[: int(found.sum())]"
        ),
        "“Nothing” is the last class, not the first.": "wanted = torch.zeros_like(matched)",
        "There is no weight in your class loss: a query without an object counts less.": (
            "weight = torch.ones(len(matched))"
        ),
        "The weights are the wrong way round: 1 is for matched queries.": (
            "weight = torch.where(found, no_object_weight, 1.0)"
        ),
        "A weighted mean divides by the sum of the weights, not by the number of queries.": (
            "class_loss = (weight * nats).mean()"
        ),
        "Cross-entropy takes logits: you applied softmax before.": (
            'nats = F.cross_entropy(logits.softmax(dim=1), wanted, reduction="none")'
        ),
        "A query that is not matched has no box to learn: index −1 takes the last object.": (
            "distance = (boxes - targets[matched]).abs().sum(dim=1)"
        ),
        "L1 is the sum of four absolute differences per box, not their mean.": (
            "distance = (boxes[found] - targets[matched[found]]).abs().mean(dim=1)"
        ),
        "Squared differences are not L1: take absolute ones.": (
            "distance = (boxes[found] - targets[matched[found]]).square().sum(dim=1)"
        ),
        "The L1 loss is averaged over the number of matched queries.": [
            "l1_loss = distance.sum() / len(matched)",
            "l1_loss = distance.sum()",
        ],
        "Without a matched query this is 0 / 0, NaN: the L1 loss is 0 then.": "l1_loss = distance.mean()",
        "The two losses are returned the other way round: class loss first.": "return l1_loss, class_loss",
    },
    praise="With the GIoU of exercise 1 beside it, this is the loss of DETR.",
)


@right(losses)
def by_loop(logits, boxes, labels, targets, matched, no_object_weight):
    log_p = logits.log_softmax(dim=1)
    top, bottom, distances = 0.0, 0.0, []
    for i, one in enumerate(matched.tolist()):
        weight = no_object_weight if one < 0 else 1.0
        wanted = logits.shape[1] - 1 if one < 0 else int(labels[one])
        top = top - weight * log_p[i, wanted]
        bottom += weight
        if one >= 0:
            distances.append((boxes[i] - targets[one]).abs().sum())
    l1 = sum(distances) / len(distances) if distances else boxes.sum() * 0
    return top / bottom, l1


# ---------------------------------------------------------------- 5
class GridHead(nn.Module):
    """Features (b, side · side, dim) → logits (b, side · side, num_classes + 1), boxes (b, side · side, 4)."""

    def __init__(self, dim, num_classes, side):
        super().__init__()
        self.side = side
        self.to_class = nn.Linear(dim, num_classes + 1)
        self.to_box = nn.Linear(dim, 4)

    def forward(self, features):
        index = torch.arange(self.side * self.side)
        row = index // self.side
        column = index % self.side
        middle = torch.stack([column, row], dim=1) + 0.5
        raw = self.to_box(features)
        center = (middle + raw[..., :2]) / self.side
        size = 0.25 * raw[..., 2:].exp()
        return self.to_class(features), torch.cat([center, size], dim=-1)


def use_head(probe, answer, dim, num_classes, side, features, weights):
    """Logits and boxes, and the gradients of the weights."""
    module = answer(dim, num_classes, side)
    probe.is_module(module)
    for parameters in probe.load_ways(module, weights):
        logits, boxes = module(probe.tensor(features))
        found = {"the logits": probe.output(logits), "the boxes": probe.output(boxes)}
        total = logits.square().mean() + boxes.square().sum()
        yield {**found, **probe.gradients(total, parameters)}


def draw_head(g, b, dim, num_classes, side):
    shapes = {
        "to_class.weight": (num_classes + 1, dim),
        "to_class.bias": (num_classes + 1,),
        "to_box.weight": (4, dim),
        "to_box.bias": (4,),
    }
    features = g.normal(size=(b, side * side, dim)).round(2).astype(np.float32)
    return dim, num_classes, side, features, drawn_weights(g, shapes)


head = exercise(
    "detection.5",
    GridHead,
    framework="torch",
    use=use_head,
    title="The head of a grid detector",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "Each cell of a grid is a query. Cells come row by row: cell 1 is to the *right* of cell 0. The picture goes from 0 "
            "to 1 in x and in y."
        ),
        context(
            "**Write** the class `GridHead(dim, num_classes, side)`, an `nn.Module`, for `features` (b, side · side, dim)."
        ),
        says(
            "One linear layer, `to_class`, gives logits for all classes and for “nothing”, another, `to_box`, four raw "
            "numbers.",
            ignored=edit("return self.to_class(features),", "return self.to_class(features).relu(),"),
        ),
        says(
            "The first two move the box's center from the middle of its own cell, in x and y,", mistake="exchanged rows"
        ),
        says("(its middle, not its corner),", mistake="corner of the cell"),
        says("counted in cells: 1 is the width of a cell, a side-th of the picture.", mistake="counted in cells"),
        says("Width and height are 0.25 times the exponential of the last two.", mistake="exponential"),
        says("Return logits and boxes: center x, center y, width, height.", mistake="corners of the box"),
        example("""
side = 4
print("middle of cell 1 of a 4 × 4 grid: x", (1 + 0.5) / side, " y", (0 + 0.5) / side)
"""),
    ],
    hints=[
        "Which row and which column has cell i? Integer division and remainder by `side` say it; x belongs to the column.",
        "`torch.stack([column, row], dim=1) + 0.5` are the middles in cells, (side · side, 2). Add the raw numbers, then divide "
        "by `side`.",
    ],
    draw=draw_head,
    parts=[
        part("a grid of 3 × 3", weight=2, b=2, dim=between(4, 6), num_classes=3, side=3),
        part("a grid of 4 × 4", weight=2, b=1, dim=5, num_classes=between(1, 4), side=4),
        part("one cell", b=between(2, 3), dim=4, num_classes=2, side=1),
    ],
    own={"b": 1, "dim": 2, "num_classes": 1, "side": 2},
    own_says="A head of your own",
    mistakes={
        "You exchanged rows and columns: x belongs to the column.": (
            "middle = torch.stack([row, column], dim=1) + 0.5"
        ),
        "This is the corner of the cell: its middle is half a cell further.": (
            "middle = torch.stack([column, row], dim=1)"
        ),
        "The raw numbers are counted in cells: divide them by `side`, too.": (
            "center = middle / self.side + raw[..., :2]"
        ),
        "The center does not move: add the first two raw numbers.": "center = middle / self.side + 0 * raw[..., :2]",
        "The box does not know its cell: add the cell's middle.": "center = raw[..., :2] / self.side",
        "Width and height need the exponential, so that they are never negative.": "size = 0.25 * raw[..., 2:]",
        "The factor 0.25 of width and height is missing.": "size = raw[..., 2:].exp()",
        "These are the corners of the box: give center, width and height.": (
            "return self.to_class(features), torch.cat([center - size / 2, center + size / 2], dim=-1)"
        ),
        "These are the other way round: logits first.": (
            "return torch.cat([center, size], dim=-1), self.to_class(features)"
        ),
    },
    praise="Each query begins at home. That is why this detector learns in seconds.",
)


@right(head)
class ByGrid(nn.Module):
    """The middles made once, by meshgrid."""

    def __init__(self, d, c, n):
        super().__init__()
        middle = (torch.arange(n) + 0.5) / n
        y, x = torch.meshgrid(middle, middle, indexing="ij")
        self.register_buffer("home", torch.stack([x, y], dim=-1).reshape(n * n, 2), persistent=False)
        self.to_class, self.to_box, self.n = nn.Linear(d, c + 1), nn.Linear(d, 4), n

    def forward(self, z):
        moved, grown = self.to_box(z).split(2, dim=-1)
        return self.to_class(z), torch.cat([self.home + moved / self.n, grown.exp() / 4], dim=-1)


# ---------------------------------------------------------------- the lesson's blank
def matched_batches():
    g = torch.Generator().manual_seed(0)
    for q, m, pairs in (
        (4, 2, [[-1, 1, -1, 0], [0, -1, -1, -1]]),
        (3, 3, [[2, 0, 1], [-1, 2, 0], [-1, -1, 1]]),
        (2, 1, [[-1, -1]]),
    ):
        labels = torch.randint(0, 6, (len(pairs), m), generator=g)
        yield labels, torch.tensor(pairs).reshape(len(pairs), q), 6


def classes_of(labels, matched, nothing, *, fill=None, in_order=False):
    index = matched.clamp(min=0)
    if in_order:
        index = torch.cumsum((matched >= 0).int(), dim=1).clamp(min=1).long() - 1
    found = labels.gather(1, index.clamp(max=labels.shape[1] - 1))
    return torch.where(matched >= 0, found, nothing if fill is None else fill)


@blank(
    "detection.blank.3",
    title="What each query is to say",
    inputs=matched_batches,
    mistakes=[
        (
            lambda labels, matched, nothing: labels.gather(1, matched.clamp(min=0)),
            "A query without an object says nothing: correct those rows.",
        ),
        (lambda *a: classes_of(*a, fill=0), "“Nothing” is the class `nothing`, not 0."),
        (
            lambda *a: classes_of(*a, in_order=True),
            "The matching is lost: each query gets the label of *its* object, `matched` says which.",
        ),
        (
            lambda labels, matched, nothing: torch.where(matched >= 0, matched, nothing),
            "`matched` is the number of an object, not its class.",
        ),
    ],
)
def wanted_classes(labels, matched, nothing):
    return classes_of(labels, matched, nothing)
