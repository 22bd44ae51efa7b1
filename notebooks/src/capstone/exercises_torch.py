"""The exercises of lesson capstone in PyTorch: labels as a re-test needs them, and an ablation that changes one thing."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
def predict_labels(model, words, voice, heard, batch_size):
    """Labels int64 (n,): words (n, a), voice (n, b), NaN where not heard; heard bool (n,)."""
    was_training = model.training
    model.eval()
    known = torch.where(heard[:, None], voice, torch.zeros_like(voice))
    labels = []
    with torch.no_grad():
        for start in range(0, len(words), batch_size):
            rows = slice(start, start + batch_size)
            logits = model(words[rows], known[rows])
            labels.append(logits.argmax(dim=1))
    model.train(was_training)
    return torch.cat(labels)


def use_predict(probe, answer, a, b, classes, words, voice, heard, batch_size, training, weights):
    """The labels, how the model was called, and what is left behind."""
    torch = probe.torch
    calls = []

    class Both(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(a + b)
            self.out = torch.nn.Linear(a + b, classes)

        def forward(self, words, voice):
            calls.append((len(words), torch.is_grad_enabled()))
            return self.out(self.norm(torch.cat([words, voice], dim=1)))

    model = Both()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(probe.tensor(weights[name]))
        model.norm.running_mean.add_(0.4)
    model.train(bool(training))
    missing = np.where(np.array(heard)[:, None], np.array(voice), np.nan).astype(np.float32)
    flags = torch.as_tensor(np.array(heard, bool))
    labels = answer(model, probe.tensor(words), torch.as_tensor(missing), flags, int(batch_size))
    yield {
        "the labels": probe.output(labels),
        "the largest batch": np.array(float(max((n for n, _ in calls), default=0))),
        "whether gradients were recorded": np.array(float(any(grad for _, grad in calls))),
        "whether the mode is as it was": np.array(float(model.training == bool(training))),
    }


def draw_predict(g, n, a, b, classes, batch_size, training, missing):
    """Inputs, who was heard, and weights of a small network with batch normalization."""
    shapes = {"norm.weight": (a + b,), "norm.bias": (a + b,), "out.weight": (classes, a + b), "out.bias": (classes,)}
    words, voice = (g.normal(size=(n, k)).round(2).astype(np.float32) for k in (a, b))
    heard = np.ones(n, bool)
    if missing:
        heard[g.permutation(n)[: max(1, n // 3)]] = False
    weights = drawn_weights(g, shapes)
    weights["out.weight"] = (3 * np.asarray(weights["out.weight"])).astype(np.float32)
    weights["norm.weight"] = np.abs(weights["norm.weight"]) + np.float32(0.5)
    return a, b, classes, words, voice, heard, batch_size, training, weights


predicting = exercise(
    "capstone.4",
    predict_labels,
    framework="torch",
    use=use_predict,
    title="Labels for the re-test",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "The re-test calls your model with data that nobody has seen. `model(words, voice)` gives logits (n, classes). "
            "`words` is (n, a), `voice` (n, b); `heard` (n,) is False where there is no voice, and the voice is NaN there."
        ),
        context("**Write** `predict_labels(model, words, voice, heard, batch_size)`: labels (n,)."),
        says("The label is the class with the highest logit.", mistake="highest logit"),
        says("Where no voice was heard, the model gets zeros in its place.", mistake="NaN goes into"),
        says("Give the model at most `batch_size` samples at a time,", mistake="at a time"),
        says("the last batch, too, which may be smaller.", mistake="last batch"),
        says(
            "Use `eval()` mode, so that a sample's label does not depend on its neighbors,", mistake="in training mode"
        ),
        says("record no gradients,", mistake="Gradients were recorded"),
        says("and leave the model in the mode in which it came.", mistake="mode in which it came"),
        example("""
voice, heard = torch.tensor([[0.5, float("nan")]]).T, torch.tensor([True, False])
print(torch.where(heard[:, None], voice, torch.zeros_like(voice)).T)
"""),
    ],
    hints=[
        "`was_training = model.training`, `model.eval()`, …, `model.train(was_training)`.",
        "`for start in range(0, len(words), batch_size)`: slices may end beyond the last sample. NaN · 0 is NaN, so use "
        "`torch.where`.",
    ],
    draw=draw_predict,
    parts=[
        part(
            "a last batch that is smaller",
            weight=2,
            n=between(13, 17),
            a=4,
            b=3,
            classes=3,
            batch_size=5,
            training=True,
            missing=False,
        ),
        part(
            "voices that were not heard",
            weight=2,
            n=between(12, 20),
            a=3,
            b=between(4, 5),
            classes=between(2, 4),
            batch_size=6,
            training=False,
            missing=True,
        ),
        part("one sample", n=1, a=between(3, 5), b=4, classes=4, batch_size=3, training=False, missing=False),
        part("one batch is enough", n=9, a=5, b=4, classes=4, batch_size=between(9, 12), training=True, missing=True),
    ],
    own={"n": 3, "a": 2, "b": 2, "classes": 2, "batch_size": 2, "training": True, "missing": True},
    own_says="A model of your own",
    mistakes={
        "The label is the class with the highest logit.": "labels.append(logits.argmin(dim=1))",
        "Where no voice was heard, a NaN goes into the model: put zeros in its place.": "known = voice",
        "This gives the model everything at once; at most `batch_size` samples at a time.": edit(
            "for start in range(0, len(words), batch_size):\n            rows = slice(start, start + batch_size)",
            "for start in (0,):\n            rows = slice(None)",
        ),
        "The last batch is missing: it may be smaller than the others.": edit(
            "range(0, len(words), batch_size)", "range(0, max(1, len(words) - batch_size + 1), batch_size)"
        ),
        "The model ran in training mode: a sample's label then depends on its neighbors.": edit(
            "    model.eval()\n", ""
        ),
        "Gradients were recorded: use `torch.no_grad()`.": edit("with torch.no_grad():", "with torch.enable_grad():"),
        "The model is not in the mode in which it came.": edit("    model.train(was_training)\n", ""),
    },
    praise="The same function serves the re-test, the tests of your project, and whoever deploys it.",
)


@right(predicting)
def labels_by_split(model, words, voice, heard, batch_size):
    mode = model.training
    try:
        with torch.inference_mode():
            model.eval()
            filled = voice.masked_fill(~heard.unsqueeze(1), 0.0)
            pairs = zip(words.split(batch_size), filled.split(batch_size), strict=True)
            return torch.cat([model(a, b).max(dim=-1).indices for a, b in pairs])
    finally:
        model.train(mode)


# ---------------------------------------------------------------- 5
def one_knob(words, voice, labels, seed, steps):
    """Losses of two linear models that differ in one thing: the second one gets zeros for the voice."""
    losses = []
    for keep in (1.0, 0.0):
        torch.manual_seed(seed)
        model = nn.Linear(words.shape[1] + voice.shape[1], 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        x = torch.cat([words, keep * voice], dim=1)
        for _ in range(steps):
            rows = torch.randint(len(labels), (8,))
            loss = F.cross_entropy(model(x[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            final = F.cross_entropy(model(x), labels)
        losses.append(final.item())
    return losses[0], losses[1]


def use_knob(probe, answer, words, voice, labels, seed, steps):
    """Both losses."""
    torch = probe.torch
    targets = torch.as_tensor(np.array(labels), dtype=torch.int64)
    given = answer(probe.tensor(words), probe.tensor(voice), targets, int(seed), int(steps))
    full, without = given
    yield {"the loss with the voice": np.array(float(full)), "the loss without it": np.array(float(without))}


def draw_knob(g, n, a, b, steps):
    """Words, a voice that tells something, labels, a seed."""
    labels = g.integers(0, 2, n)
    words = (g.normal(size=(n, a)) + 0.8 * labels[:, None]).round(2).astype(np.float32)
    voice = (g.normal(size=(n, b)) - 0.8 * labels[:, None]).round(2).astype(np.float32)
    return words, voice, labels, int(g.integers(1, 1000)), steps


def fewer_inputs(words, voice, labels, seed, steps):
    """The second model gets words only."""
    losses = []
    for x in (torch.cat([words, voice], dim=1), words):
        torch.manual_seed(seed)
        model = nn.Linear(x.shape[1], 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        for _ in range(steps):
            rows = torch.randint(len(labels), (8,))
            loss = F.cross_entropy(model(x[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(F.cross_entropy(model(x), labels).item())
    return losses[0], losses[1]


knob = exercise(
    "capstone.5",
    one_knob,
    framework="torch",
    use=use_knob,
    title="One knob at a time",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "What does the voice bring? Train the same model twice, once with the voice and once without it. Nothing else may "
            "differ: same first weights, same batches in the same order."
        ),
        context(
            "**Write** `one_knob(words, voice, labels, seed, steps)`, which returns two losses: with the voice, and without. "
            "words (n, a) and voice (n, b) are floats, labels (n,) are 0 or 1."
        ),
        says("Each run begins with `torch.manual_seed(seed)`,", mistake="begins with"),
        says("then makes `nn.Linear(a + b, 2)`, which gets words and voice side by side.", mistake="side by side"),
        says("In the second run, the voice is zeros of the same shape.", mistake="never takes the voice away"),
        says(
            "Then `steps` steps: draw `rows = torch.randint(len(labels), (8,))`, cross-entropy of these rows, one step of "
            "`torch.optim.SGD` with `lr=0.5`.",
            mistake="0.5",
        ),
        says("Set the gradients to zero before each backward pass.", mistake="add up"),
        says("The loss that you return is the cross-entropy of *all* samples", mistake="all samples"),
        says("that this run's model has after the last step.", mistake="last step"),
        example("""
torch.manual_seed(7)
print(torch.randint(10, (8,)))
torch.manual_seed(7)
print(torch.randint(10, (8,)))
"""),
    ],
    hints=[
        "A loop over `keep` in (1.0, 0.0): seed, model, optimizer, `x = torch.cat([words, keep * voice], dim=1)`, steps, loss.",
        "`F.cross_entropy(model(x), labels).item()` after the loop, with `torch.no_grad()`.",
    ],
    draw=draw_knob,
    parts=[
        part("some steps", weight=2, n=between(30, 40), a=4, b=between(2, 3), steps=between(5, 9)),
        part("one step", n=between(20, 30), a=between(3, 5), b=3, steps=1),
        part("few samples", n=between(5, 7), a=3, b=2, steps=between(3, 6)),
    ],
    own={"n": 6, "a": 2, "b": 2, "steps": 3},
    own_says="Samples of your own",
    mistakes={
        "Only the first run begins with the seed: the second has other first weights and batches, so two things change.": (
            edit("torch.manual_seed(seed)", "torch.manual_seed(seed) if keep else None")
        ),
        "The voice comes first here: words and voice are side by side, the words first.": (
            "x = torch.cat([keep * voice, words], dim=1)"
        ),
        "This never takes the voice away.": "x = torch.cat([words, voice], dim=1)",
        "The learning rate is 0.5.": [
            "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
            "optimizer = torch.optim.SGD(model.parameters(), lr=0.01)",
        ],
        "Gradients add up over the steps: set them to zero.": edit("            optimizer.zero_grad()\n", ""),
        "This is the loss of the last batch: take all samples.": [
            "final = F.cross_entropy(model(x[rows]), labels[rows])",
            "losses.append(loss.item())",
        ],
        "First the loss with the voice, then the one without.": "return losses[1], losses[0]",
        "Your second model has fewer inputs, so its first weights are others: keep a + b, and give zeros.": fewer_inputs,
        "This is the loss before the last step's update.": edit("range(steps)", "range(steps - 1)"),
    },
    praise="Paired like this, the difference is the knob's own.",
)


@right(knob)
def knob_by_function(words, voice, labels, seed, steps):
    def run(heard):
        torch.manual_seed(seed)
        x = torch.hstack([words, heard])
        model = nn.Linear(x.shape[1], 2)
        for _ in range(steps):
            rows = torch.randint(len(labels), (8,))
            model.zero_grad()
            nn.CrossEntropyLoss()(model(x[rows]), labels[rows]).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= 0.5 * p.grad
        return F.cross_entropy(model(x), labels).item()

    return run(voice), run(torch.zeros_like(voice))
