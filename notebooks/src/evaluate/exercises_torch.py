"""An evaluation loop in PyTorch that is right to the last batch."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, in_turn, part, right, says


def evaluate_model(model, batches):
    """Mean cross-entropy and accuracy over all samples of all batches, as two floats."""
    was_training = model.training
    model.eval()
    total_loss, num_right, num_samples = 0.0, 0, 0
    with torch.no_grad():
        for inputs, targets in batches:
            logits = model(inputs)
            loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
            total_loss += loss.item()
            num_right += (logits.argmax(dim=1) == targets).sum().item()
            num_samples += len(targets)
    model.train(was_training)
    return total_loss / num_samples, num_right / num_samples


def use_evaluate(probe, answer, sizes, training, inputs, targets, weights, statistics):
    """What comes back, and what was done to a model with batch normalization and dropout on the way."""
    nn, torch = probe.nn, probe.torch
    hidden, num_features = weights["0.weight"].shape
    num_classes = len(weights["4.bias"])
    seen = []

    class Watched(nn.Sequential):
        def forward(self, x):
            out = super().forward(x)
            seen.append((bool(self.training), bool(out.requires_grad)))
            return out

    model = Watched(
        nn.Linear(num_features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, num_classes),
    )
    next(probe.load_ways(model, weights))
    with torch.no_grad():
        model[1].running_mean.copy_(probe.tensor(statistics[0]))
        model[1].running_var.copy_(probe.tensor(statistics[1]))
    model.train(bool(training))
    probe.seed(0)
    parts, start = [], 0
    for size in sizes:
        rows = slice(start, start + size)
        parts.append((probe.tensor(inputs[rows]), probe.tensor(targets[rows])))
        start += size
    result = answer(model, iter(parts))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise probe.Problem("Two values were expected, the mean loss and the accuracy.")
    yield {
        "the mean loss": np.array(float(probe.array(result[0]))),
        "the accuracy": np.array(float(probe.array(result[1]))),
        "the types of the two values": " and ".join(type(value).__name__ for value in result),
        "whether the model was in training mode": any(t for t, _ in seen),
        "whether a graph for the backward pass was kept": any(g for _, g in seen),
        "the mode of the model afterwards": "training" if model.training else "evaluation",
        "the weights and statistics afterwards": probe.state(model),
    }


def draw_batches(g, sizes, num_features, hidden, num_classes, training):
    """Batches of these sizes, the last one hard: its targets are mostly wrong for the model."""
    sizes = [int(g.integers(low, high + 1)) for low, high in sizes]
    n = sum(sizes)
    inputs = g.normal(size=(n, num_features)).round(2)
    targets = g.integers(0, num_classes, n)
    shapes = {
        "0.weight": (hidden, num_features),
        "0.bias": (hidden,),
        "1.weight": (hidden,),
        "1.bias": (hidden,),
        "4.weight": (num_classes, hidden),
        "4.bias": (num_classes,),
    }
    statistics = np.stack([g.normal(0, 0.5, hidden), g.uniform(0.5, 2, hidden)]).round(2)
    return sizes, bool(training), inputs, targets, drawn_weights(g, shapes), statistics


def mean_of_means(model, batches):
    """Each batch counts alike, whatever its size."""
    was_training = model.training
    model.eval()
    losses, shares = [], []
    with torch.no_grad():
        for inputs, targets in batches:
            logits = model(inputs)
            losses.append(nn.functional.cross_entropy(logits, targets).item())
            shares.append((logits.argmax(dim=1) == targets).float().mean().item())
    model.train(was_training)
    return float(np.mean(losses)), float(np.mean(shares))


def as_if_full(model, batches):
    """Every batch is taken for as large as the first."""
    was_training = model.training
    model.eval()
    total_loss, num_right, count, size = 0.0, 0, 0, None
    with torch.no_grad():
        for inputs, targets in batches:
            size = size or len(targets)
            logits = model(inputs)
            total_loss += nn.functional.cross_entropy(logits, targets, reduction="sum").item()
            num_right += (logits.argmax(dim=1) == targets).sum().item()
            count += 1
    model.train(was_training)
    return total_loss / (count * size), num_right / (count * size)


loop = exercise(
    "evaluate.4",
    evaluate_model,
    framework="torch",
    use=use_evaluate,
    title="An evaluation loop",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        context(
            "The number in every table comes from a loop like this one. Its bugs raise no error; they only make the number a "
            "little wrong. The model below has a `BatchNorm1d` and a `Dropout`."
        ),
        says(
            "**Write** `evaluate_model(model, batches)`. `batches` gives pairs `(inputs, targets)`, all of them,",
            mistake="only the last batch",
        ),
        says(
            "and can be gone through once only, as a generator.",
            ignored=edit(
                "    with torch.no_grad():\n",
                "    num_batches = sum(1 for batch in batches)\n    with torch.no_grad():\n",
                "total_loss / num_samples, num_right / num_samples",
                "total_loss / max(num_samples, 1), num_right / max(num_samples, 1)",
            ),
        ),
        says("The model is in evaluation mode while it predicts,", mistake="not in evaluation mode"),
        says("no graph for a backward pass is kept,", mistake="keeps a graph"),
        says("and afterwards the model is in the mode in which it came.", mistake="stays in evaluation mode"),
        says(
            "Return two numbers: the cross-entropy of the logits, as the mean over all *samples*,",
            mistake="mean of the batch means",
        ),
        says("and the accuracy, the share of right answers from 0 to 1,", mistake="in percent"),
        says("also over all samples; the last batch may be smaller.", mistake="as large as the first"),
        says("Both are Python floats.", mistake="You returned tensors"),
        example("""
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3, 2))
targets = torch.tensor([0, 1, 1])
batches = [(torch.randn(2, 2), targets[:2]), (torch.randn(1, 2), targets[2:])]
print("samples per batch:", [len(targets) for inputs, targets in batches])
"""),
        context(
            "In numbers of your own, `sizes` are those of the batches, cut from `inputs` and `targets` in order; `training` says "
            "in which mode the model comes, and `statistics` are the stored mean and variance of its batch normalization."
        ),
    ],
    hints=[
        '`nn.functional.cross_entropy(logits, targets, reduction="sum")` gives the sum over a batch; count the samples too, '
        "and divide once, at the end.",
        "`model.training` tells the mode, `model.eval()` and `model.train(was_training)` set it; `with torch.no_grad():` keeps "
        "no graph.",
    ],
    draw=draw_batches,
    parts=[
        part(
            "a smaller last batch",
            weight=2,
            sizes=[(5, 6), (5, 6), (2, 3)],
            num_features=3,
            hidden=4,
            num_classes=between(2, 4),
            training=True,
        ),
        part(
            "a model in evaluation mode",
            sizes=[(4, 6), (2, 3)],
            num_features=between(2, 4),
            hidden=3,
            num_classes=3,
            training=False,
        ),
        part("equal batches", sizes=[(4, 4), (4, 4)], num_features=2, hidden=3, num_classes=2, training=True),
        part(
            "one batch",
            sizes=[(6, 9)],
            num_features=3,
            hidden=between(3, 5),
            num_classes=2,
            training=in_turn(True, False),
        ),
        part(
            "one sample in the last batch",
            sizes=[(6, 8), (1, 1)],
            num_features=3,
            hidden=3,
            num_classes=3,
            training=False,
        ),
    ],
    own={"sizes": [(3, 3), (2, 2)], "num_features": 2, "hidden": 2, "num_classes": 2, "training": True},
    own_says="Batches of your own: sizes, training, inputs, targets, weights, statistics",
    mistakes={
        "The model is not in evaluation mode: dropout and batch normalization need `model.eval()`.": edit(
            "    model.eval()\n", ""
        ),
        "The loop keeps a graph for a backward pass that never comes: `with torch.no_grad():`.": edit(
            "torch.no_grad()", "torch.enable_grad()"
        ),
        "The model stays in evaluation mode, so training goes on without dropout: put it back into the mode in which it "
        "came.": edit("    model.train(was_training)\n", ""),
        "The model is always in training mode afterwards: put it back into the mode in which it came.": edit(
            "model.train(was_training)", "model.train()"
        ),
        "You took the mean of the batch means, so a sample of a small last batch counts more. Add up over samples, and divide "
        "once.": [
            mean_of_means,
            lambda model, batches: (mean_of_means(model, kept := list(batches))[0], evaluate_model(model, kept)[1]),
        ],
        "Your accuracy is the mean of the batches' accuracies. Count the right answers, and divide once by all samples.": (
            lambda model, batches: (evaluate_model(model, kept := list(batches))[0], mean_of_means(model, kept)[1])
        ),
        "You took every batch for as large as the first. The last one may be smaller: count `len(targets)`.": as_if_full,
        'You added up the *means* of the batches and divided by all samples: `reduction="sum"`.': edit(
            ', reduction="sum"', ""
        ),
        "Your loss is the sum over samples: divide by their number.": "return total_loss, num_right / num_samples",
        "Your accuracy is the number of right answers: divide by the number of samples.": (
            "return total_loss / num_samples, float(num_right)"
        ),
        "Your accuracy is in percent; a share from 0 to 1 is wanted.": (
            "return total_loss / num_samples, 100 * num_right / num_samples"
        ),
        "The two values are exchanged: first the loss, then the accuracy.": (
            "return num_right / num_samples, total_loss / num_samples"
        ),
        "Cross-entropy takes logits: its softmax is inside, and you applied one before it.": (
            "logits = model(inputs).softmax(dim=1)"
        ),
        "You returned tensors: take `.item()`, or divide plain numbers.": (
            "return torch.tensor(total_loss / num_samples), torch.tensor(num_right / num_samples)"
        ),
        "This is the result of only the last batch: add up over all of them.": edit(
            "        for inputs, targets in batches:\n",
            "        for inputs, targets in batches:\n            total_loss, num_right, num_samples = 0.0, 0, 0\n",
        ),
    },
    praise="Sums over samples, one division at the end, and the model is left as it came.",
)


@right(loop)
def collected_first(model, batches):
    """All logits first, then one call."""
    before = model.training
    with torch.inference_mode():
        model.train(False)
        pairs = [(model(inputs), targets) for inputs, targets in batches]
    model.train(before)
    logits = torch.cat([z for z, _ in pairs])
    targets = torch.cat([t for _, t in pairs])
    loss = nn.functional.cross_entropy(logits, targets)
    return float(loss), float((logits.argmax(dim=-1) == targets).double().mean())


@right(loop)
def weighted_means(model, batches):
    """The mean of each batch times its size."""
    mode, total, right_answers, n = model.training, 0.0, 0.0, 0
    model.eval()
    for inputs, targets in batches:
        with torch.no_grad():
            z = model(inputs)
        total += nn.CrossEntropyLoss()(z, targets).item() * len(targets)
        right_answers += (z.max(dim=1).indices == targets).float().mean().item() * len(targets)
        n += len(targets)
    model.train() if mode else model.eval()
    return total / n, right_answers / n
