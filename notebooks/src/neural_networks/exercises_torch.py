"""A multilayer perceptron as a module, a training step, and a training judged on held-out data."""

import numpy as np
import torch
from torch import nn

from mmcourse.check import CheckFailed, call
from mmcourse.exercise import (
    Kept,
    between,
    context,
    drawn_weights,
    edit,
    example,
    exercise,
    one_of,
    part,
    right,
    says,
)


# ---------------------------------------------------------------- 3
class MLP(nn.Module):
    """Inputs (b, …) with num_features numbers each → logits (b, num_classes)."""

    def __init__(self, num_features, hidden_sizes, num_classes):
        super().__init__()
        sizes = [num_features, *hidden_sizes]
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, x):
        features = x.flatten(start_dim=1)  # (b, num_features)
        for layer in self.hidden:
            features = torch.relu(layer(features))
        logits = self.head(features)
        return logits


def use_mlp(probe, answer, num_features, hidden_sizes, num_classes, x, weights):
    """Output and gradients with copied weights."""
    model = answer(num_features, hidden_sizes, num_classes)
    for parameters in probe.load_ways(model, weights):
        logits = model(probe.tensor(x))
        yield {"the output": probe.output(logits), **probe.gradients(logits, parameters)}


def draw_mlp(g, b, shape, num_hidden, num_classes, width=0):
    num_features = int(np.prod(shape))
    hidden_sizes = [width or int(g.integers(3, 7)) for _ in range(num_hidden)]
    sizes = [num_features, *hidden_sizes]
    shapes = {}
    for k, (a, d) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        shapes |= {f"hidden.{k}.weight": (d, a), f"hidden.{k}.bias": (d,)}
    shapes |= {"head.weight": (num_classes, sizes[-1]), "head.bias": (num_classes,)}
    x = g.normal(size=(b, *shape)).round(2)
    return num_features, hidden_sizes, num_classes, x, drawn_weights(g, shapes)


mlp = exercise(
    "neural_networks.3",
    MLP,
    framework="torch",
    use=use_mlp,
    title="A multilayer perceptron as a module",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        says(
            "**Write** the class `MLP(num_features, hidden_sizes, num_classes)`, an `nn.Module`.",
            mistake="Layers in a plain list",
        ),
        says(
            "For each number in the list `hidden_sizes` it has a hidden layer of that width: linear with a bias,",
            mistake="no bias",
        ),
        says("then ReLU.", mistake="no activation function"),
        says(
            "A last linear layer gives `num_classes` logits, without an activation function.",
            mistake="softmax belongs to the loss",
        ),
        says(
            "`forward(x)` takes a mini-batch of any shape (b, …), such as pictures (b, h, w)",
            ignored=edit("x.flatten(start_dim=1)", "x"),
        ),
        says(
            "or (b, c, h, w), and flattens each sample to its `num_features` numbers.",
            ignored=edit("x.flatten(start_dim=1)", "(x.flatten(start_dim=1) if x.ndim == 3 else x)"),
        ),
        says("It returns (b, num_classes).", ignored="return logits.argmax(dim=1)"),
        says(
            "`hidden_sizes` may be empty: then the network is linear.",
            ignored=edit("[num_features, *hidden_sizes]", "[num_features, *(hidden_sizes or [num_features])]"),
        ),
        context(
            "Use `nn.Linear`. The check copies weights into your layers, whatever they are called, and compares outputs and "
            "gradients; it is simplest to create the layers in the order in which they are applied."
        ),
    ],
    hints=[
        "How many layers there are is known only in `__init__`: make them in a loop, and put them into an "
        "`nn.ModuleList`, so that the module knows their parameters.",
        "`x.flatten(start_dim=1)` keeps the samples apart. The last layer has no ReLU: logits may be negative.",
    ],
    draw=draw_mlp,
    parts=[
        part("one hidden layer", b=between(2, 4), shape=(3,), num_hidden=1, num_classes=between(2, 4)),
        part("several hidden layers", weight=2, b=between(2, 4), shape=(4,), num_hidden=one_of(2, 3), num_classes=3),
        part("hidden layers of one width", b=2, shape=(4,), num_hidden=3, num_classes=2, width=4),
        part("pictures", b=2, shape=(2, 3), num_hidden=2, num_classes=between(2, 4)),
        part("color pictures", b=2, shape=(3, 2, 2), num_hidden=1, num_classes=between(2, 4)),
        part("no hidden layer", b=2, shape=(3,), num_hidden=0, num_classes=between(2, 4)),
        part("one sample", b=1, shape=(5,), num_hidden=1, num_classes=2),
    ],
    own={"b": 1, "shape": (2,), "num_hidden": 1, "num_classes": 2},
    own_says="Sizes and an input of your own: num_features, hidden_sizes, num_classes, x",
    mistakes={
        "Layers in a plain list are hidden from the module, its parameters too: use `nn.ModuleList`.": edit(
            "nn.ModuleList(", "list("
        ),
        "There is no activation function between the layers, so all of them together are one linear layer.": edit(
            "torch.relu(layer(features))", "layer(features)"
        ),
        "The softmax belongs to the loss: `nn.CrossEntropyLoss` applies it to logits, and would apply it twice.": (
            "return logits.softmax(dim=1)"
        ),
        "You return log-probabilities. Return the logits themselves: `nn.CrossEntropyLoss` takes their log-softmax.": (
            "return logits.log_softmax(dim=1)"
        ),
        "The last layer has a ReLU, so no logit is ever negative.": "return torch.relu(logits)",
        "The activation function is not ReLU.": [
            edit("torch.relu", "torch.sigmoid"),
            edit("torch.relu", "torch.tanh"),
            edit("torch.relu", "nn.functional.gelu"),
            edit("torch.relu", "nn.functional.leaky_relu"),
            edit("torch.relu", "nn.functional.elu"),
            edit("torch.relu", "nn.functional.silu"),
        ],
        "The ReLU comes before the linear layer: apply it to what the layer gives.": edit(
            "torch.relu(layer(features))", "layer(torch.relu(features))"
        ),
        "A sample's logits depend on the other samples: you standardized over the mini-batch. Leave the inputs as they "
        "are.": [
            edit(
                "features = x.flatten(start_dim=1)",
                "features = x.flatten(start_dim=1); "
                f"features = (features - features.mean(dim=0)) / (features.std(dim=0, unbiased=False) + {small})",
            )
            for small in ("1e-5", "1e-6", "1e-8")
        ],
        "You scaled each sample's numbers before the first layer. Leave the inputs as they are.": [
            edit(
                "features = x.flatten(start_dim=1)",
                "features = nn.functional.layer_norm(x.flatten(start_dim=1), (x[0].numel(),))",
            ),
            edit("x.flatten(start_dim=1)", "nn.functional.normalize(x.flatten(start_dim=1), dim=1)"),
        ],
        "With no hidden layer there is nothing to apply a ReLU to: `hidden_sizes` may be empty, and logits may be "
        "negative.": edit("return logits", "return logits if len(self.hidden) else torch.relu(logits)"),
        "Your linear layers have no bias.": edit(
            "nn.Linear(a, b)", "nn.Linear(a, b, bias=False)", "num_classes)\n", "num_classes, bias=False)\n"
        ),
        "No gradient reaches the hidden layers: their outputs were detached.": edit(
            "torch.relu(layer(features))", "torch.relu(layer(features)).detach()"
        ),
    },
    praise="Layers that the module knows, and logits for the loss: the pattern of every network that follows.",
)


@right(mlp)
class AsSequential(nn.Module):
    """One nn.Sequential."""

    def __init__(self, num_features, hidden_sizes, num_classes):
        super().__init__()
        layers, width = [nn.Flatten()], num_features
        for size in hidden_sizes:
            layers += [nn.Linear(width, size), nn.ReLU()]
            width = size
        self.net = nn.Sequential(*layers, nn.Linear(width, num_classes))

    def forward(self, x):
        return self.net(x)


@right(mlp)
class HeadFirst(nn.Module):
    """The head is made first, and layers are attributes by number."""

    def __init__(self, num_features, hidden_sizes, num_classes):
        super().__init__()
        widths = [num_features] + list(hidden_sizes)
        self.classify = nn.Linear(widths[-1], num_classes)
        self.depth = len(hidden_sizes)
        for k in range(self.depth):
            setattr(self, f"fc{k}", nn.Linear(widths[k], widths[k + 1]))

    def forward(self, x):
        y = x.reshape(len(x), -1)
        for k in range(self.depth):
            y = getattr(self, f"fc{k}")(y).clamp(min=0)
        return self.classify(y)


# ---------------------------------------------------------------- 4
def train_step(model, optimizer, inputs, targets):
    """One optimizer step on a mini-batch; returns the loss before the step, as a float."""
    model.train()
    optimizer.zero_grad()
    logits = model(inputs)
    loss = nn.functional.cross_entropy(logits, targets)
    loss.backward()
    optimizer.step()
    return loss.item()


def use_train_step(probe, answer, optimizer, learning_rate, inputs, targets, gradients_left, weights):
    """Losses, weights and mode after a step on each mini-batch.

    The model has batch normalization and starts in eval mode; with `gradients_left`, every gradient starts at 0.5.
    """
    nn = probe.nn
    hidden, num_features = weights["0.weight"].shape
    num_classes = len(weights["3.bias"])
    model = nn.Sequential(
        nn.Linear(num_features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, num_classes)
    )
    next(probe.load_ways(model, weights))
    model.eval()
    if gradients_left:
        for parameter in model.parameters():
            parameter.grad = probe.torch.full_like(parameter, 0.5)
    kinds = {"SGD": probe.torch.optim.SGD, "Adam": probe.torch.optim.Adam}
    chosen = kinds[optimizer](model.parameters(), lr=learning_rate)
    losses = []
    for x, y in zip(probe.tensor(inputs), probe.tensor(targets), strict=True):
        loss = answer(model, chosen, x, y)
        losses.append(loss)
    yield {
        "the losses, one a step": np.array([float(probe.array(loss)) for loss in losses]),
        "the weights after the last step": probe.state(model),
        "the training mode of the model": bool(model.training),
        "the type of what is returned": type(losses[0]).__name__,
    }


def draw_steps(g, optimizer, steps, b, num_features, hidden, num_classes, left=False):
    inputs = g.normal(size=(steps, b, num_features)).round(2)
    targets = g.integers(0, num_classes, (steps, b))
    shapes = {
        "0.weight": (hidden, num_features),
        "0.bias": (hidden,),
        "1.weight": (hidden,),
        "1.bias": (hidden,),
        "3.weight": (num_classes, hidden),
        "3.bias": (num_classes,),
    }
    learning_rate = 0.3 if optimizer == "SGD" else 0.02
    return optimizer, learning_rate, inputs, targets, left, drawn_weights(g, shapes)


step = exercise(
    "neural_networks.4",
    train_step,
    framework="torch",
    use=use_train_step,
    title="One step of training",
    points=2,
    difficulty=1,
    minutes=8,
    statement=[
        context(
            "Every training loop calls one function again and again, with one mini-batch each time. The model below has a "
            "`BatchNorm1d`, a layer that behaves differently in training and in use; you need only call `model.train()`."
        ),
        says(
            "**Write** `train_step(model, optimizer, inputs, targets)`. It puts the model into training mode,",
            mistake="not in training mode",
        ),
        says("computes the cross-entropy of the model's logits,", mistake="takes logits"),
        says("averaged over the mini-batch,", mistake="added the losses up"),
        says("and takes one optimizer step", mistake="The weights do not change"),
        says("with the gradients of this mini-batch alone,", mistake="earlier mini-batches"),
        says("whatever the parameters' `.grad` held before the call.", mistake="clear the gradients too late"),
        says("Return the loss of this mini-batch before the step,", mistake="after the step"),
        says("as a Python float.", mistake="You returned a tensor"),
        example("""
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs, targets = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([0, 1])
outputs = model(inputs)  # one row of logits per example
print(f"logits {tuple(outputs.shape)}, loss before the step {nn.CrossEntropyLoss()(outputs, targets):.2f}")
"""),
        context(
            "In numbers of your own, `inputs` (steps, b, features) and `targets` (steps, b) hold one mini-batch for each "
            "step, and `gradients_left` says whether `.grad` already holds something before the first call."
        ),
    ],
    hints=[
        "Gradients add up in `.grad` until `optimizer.zero_grad()` clears them. `loss.backward()` computes them, "
        "`optimizer.step()` uses them.",
        "`nn.functional.cross_entropy(logits, targets)` includes the softmax. `loss.item()` is the number itself, without its graph.",
    ],
    draw=draw_steps,
    parts=[
        part("one step", optimizer="SGD", steps=1, b=between(3, 5), num_features=3, hidden=4, num_classes=2),
        part(
            "three steps", weight=2, optimizer="SGD", steps=3, b=4, num_features=between(2, 4), hidden=3, num_classes=3
        ),
        part("another optimizer", optimizer="Adam", steps=3, b=5, num_features=3, hidden=between(3, 5), num_classes=2),
        part(
            "gradients left from before",
            optimizer="SGD",
            steps=between(1, 2),
            b=4,
            num_features=3,
            hidden=3,
            num_classes=2,
            left=True,
        ),
    ],
    own={"optimizer": "SGD", "steps": 1, "b": 2, "num_features": 2, "hidden": 2, "num_classes": 2},
    own_says="An optimizer, a learning rate and a mini-batch of your own: optimizer, learning_rate, inputs, targets, "
    "gradients_left",
    mistakes={
        "The gradients of earlier mini-batches are still there: `optimizer.zero_grad()` before `loss.backward()`.": edit(
            "    optimizer.zero_grad()\n", ""
        ),
        "The weights do not change: `loss.backward()` computes the gradients, `optimizer.step()` uses them, and nothing "
        "may clear them in between.": [
            edit("    optimizer.step()\n", ""),
            edit("    loss.backward()\n", ""),
            edit("    optimizer.step()\n", "    optimizer.zero_grad()\n    optimizer.step()\n"),
        ],
        "The model is not in training mode: batch normalization and dropout need `model.train()`.": [
            edit("    model.train()\n", ""),
            edit("model.train()", "model.eval()"),
        ],
        "Cross-entropy takes logits: its softmax is inside, and you applied one before it.": (
            "logits = model(inputs).softmax(dim=1)"
        ),
        "You added the losses up. The mean does not depend on the size of the mini-batch.": (
            'loss = nn.functional.cross_entropy(logits, targets, reduction="sum")'
        ),
        "This is the loss after the step: keep the value that you computed before.": (
            "return nn.functional.cross_entropy(model(inputs), targets).item()"
        ),
        "You returned a tensor, which keeps the whole graph in memory: `loss.item()`.": "return loss",
        "You divided the loss by the size of the mini-batch once more: it is a mean already.": (
            "return loss.item() / len(targets)"
        ),
        "The model does not stay in training mode: leave it as `model.train()` has put it.": edit(
            "    return loss", "    model.eval()\n    return loss"
        ),
        "You returned the mean, but optimized the sum: the step is as many times too long as there are samples.": edit(
            "loss = nn.functional.cross_entropy(logits, targets)",
            'loss = nn.functional.cross_entropy(logits, targets, reduction="sum")',
            "return loss.item()",
            "return loss.item() / len(targets)",
        ),
        "You returned the sum over the mini-batch; its mean was optimized and is asked for.": (
            "return loss.item() * len(targets)"
        ),
        "Two steps were taken on one mini-batch.": edit("    optimizer.step()\n", "    optimizer.step()\n" * 2),
        "You clear the gradients too late, so those that were left before the first call enter it: "
        "`optimizer.zero_grad()` before `loss.backward()`.": edit(
            "    optimizer.zero_grad()\n",
            "",
            "    optimizer.step()\n",
            "    optimizer.step()\n    optimizer.zero_grad()\n",
        ),
    },
    praise="Clear, forward, backward, step: the heart of every loop in this course.",
)


@right(step)
def with_a_loss_module(model, optimizer, inputs, targets):
    optimizer.zero_grad(set_to_none=False)
    loss = nn.CrossEntropyLoss()(model.train()(inputs), targets)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@right(step)
def cleared_by_the_model(model, optimizer, inputs, targets):
    model.train(True)
    log_p = torch.log_softmax(model(inputs), dim=-1)
    loss = -log_p[torch.arange(len(targets)), targets].mean()
    model.zero_grad()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


# ---------------------------------------------------------------- 5
def train(inputs, targets, num_classes):
    """Train a classifier on inputs (n, 2) and targets (n,); returns the module, which gives logits (n, num_classes)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, num_classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        optimizer.step()
    return model


def use_train(probe, answer, inputs, targets, num_classes, new_inputs):
    """Logits on new inputs, and on these times 2 and times 0; the new labels stay with the judge."""
    probe.seed(0)
    model = answer(probe.tensor(inputs), probe.tensor(targets), num_classes)
    probe.is_module(model)
    model.eval()
    new = probe.tensor(new_inputs)
    with probe.torch.no_grad():
        yield {
            "the logits on new inputs": probe.output(model(new)),
            "the logits on these, doubled": probe.output(model(2 * new)),
            "the logits on as many zeros": probe.output(model(0 * new)),
        }


def draw_rings(g, num_classes, n):
    """Points on rings around 0, one ring for each class, some noise; the last value is the new labels."""

    def ring(labels):
        angle = g.uniform(0, 2 * np.pi, len(labels))
        radius = 1 + labels + g.normal(0, 0.15, len(labels))
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).round(3)

    targets = np.arange(n) % num_classes
    new_targets = g.permutation(np.arange(200) % num_classes)  # in turn, they could be told from their places alone
    return ring(targets), targets, num_classes, ring(new_targets), Kept(new_targets)


GUESSING = "The model does hardly better than guessing. Is it trained at all? A few hundred steps with Adam are enough."
NOT_ENOUGH = "The model learned something, but not enough: train longer, wider, or with another rate."
DIVERGED = "The logits hold NaN or inf: the training diverged. Is the learning rate too large?"
STRAIGHT = (
    "Your network is linear, however many layers it has, and rings cannot be separated by straight lines: put an "
    "activation function between the layers."
)
LENGTH_LOST = (
    "Your model does not see how far a point is from the center: each sample is scaled to one length. The rings differ "
    "in nothing else. Scale each feature (column), not each sample."
)
TOO_FEW_LOGITS = "A target is as large as the number of logits: does the last layer give `num_classes` of them?"
PROBABILITIES = (
    "Your model returns probabilities: it ends with a softmax. Return the logits; the loss applies the softmax."
)


def are_probabilities(rows):
    """Whether every row is a softmax's: it sums to 1, and is no one-hot vector of plain 0s and 1s."""
    are_shares = (rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=1e-4)
    return are_shares and not np.isin(rows, (0, 1)).all()


class UnitLength(nn.Module):
    """Scales each sample to length 1."""

    def forward(self, x):
        return nn.functional.normalize(x, dim=1)


def judge_train(answer, args):
    """Right on at least 0.95 of new points."""
    num_classes, labels = args[2], args[-1].value
    try:
        way = call(answer, *args, seconds=20)[0]
    except CheckFailed as failure:
        if "out of bounds" in str(failure):
            raise CheckFailed(f"{failure}\n{TOO_FEW_LOGITS}") from None
        raise
    if "problem" in way:
        raise CheckFailed(way["problem"])
    logits = np.asarray(way["the logits on new inputs"])
    if logits.shape != (len(labels), num_classes):
        raise CheckFailed(
            f"The model's logits should have shape {(len(labels), num_classes)} for {len(labels)} points, "
            f"got {logits.shape}."
        )
    if not np.isfinite(logits).all():
        raise CheckFailed(DIVERGED)
    accuracy = (logits.argmax(axis=1) == labels).mean()
    if are_probabilities(logits):
        raise CheckFailed(PROBABILITIES)
    if accuracy >= 0.95:
        return
    told = f"\nRight on {accuracy:.3f} of {len(labels)} new points; 0.95 is asked for."
    doubled = np.asarray(way["the logits on these, doubled"])
    zero = np.asarray(way["the logits on as many zeros"])
    spread = np.ptp(logits, axis=0).max()
    if np.abs(doubled - logits).max() < 1e-4 * spread:
        raise CheckFailed(LENGTH_LOST + told)
    if np.abs(doubled - 2 * logits + zero).max() < 1e-4 * spread:
        raise CheckFailed(STRAIGHT + told)
    if accuracy < 1 / num_classes + 0.2:
        raise CheckFailed(GUESSING + told)
    raise CheckFailed(NOT_ENOUGH + told)


trained = exercise(
    "neural_networks.5",
    train,
    framework="torch",
    use=use_train,
    judge=judge_train,
    title="Rings",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "Points lie on rings around the origin (0, 0), one ring for each class. Class k has radius k + 1, with noise of "
            "standard deviation 0.15. There are 200 to 360 points to train on, and 200 new ones for the check, which calls "
            "`eval()` first."
        ),
        says(
            "**Write** `train(inputs, targets, num_classes)` for tensors `inputs` (n, 2), float, and `targets` (n,), "
            "class numbers of dtype int64: it trains a network of your choice",
            ignored=edit("range(300)", "range(0)"),
        ),
        says(
            "and returns it, an `nn.Module`",
            ignored=edit("return model", "return lambda x: model(x)"),
        ),
        says("that gives logits (n, num_classes).", mistake="returns probabilities"),
        says("On new points of the same kind it must reach at least 95 % accuracy.", ignored=edit("nn.ReLU(), ", "")),
        context("It has 20 seconds; a few hundred steps take less than one."),
    ],
    hints=[
        "Two hidden layers of 32 with ReLU are enough. Without an activation function the network is linear, and no "
        "straight line separates rings.",
        "Use all points in each step: `for _ in range(300):` with Adam at a learning rate of 0.01.",
    ],
    draw=draw_rings,
    parts=[
        part("two rings", num_classes=2, n=200),
        part("three rings", weight=2, num_classes=3, n=one_of(300, 360)),
    ],
    constant={"new_inputs": "always 200 new points"},
    mistakes={
        GUESSING: edit("range(300)", "range(0)"),
        STRAIGHT: edit("nn.ReLU(), ", ""),
        LENGTH_LOST: edit("nn.Sequential(", "nn.Sequential(UnitLength(), "),
        PROBABILITIES: edit("nn.Linear(32, num_classes))", "nn.Linear(32, num_classes), nn.Softmax(dim=1))"),
        NOT_ENOUGH: edit("range(300)", "range(16)"),
        DIVERGED: edit("lr=0.01", "lr=1e30"),
    },
    praise="Trained on some points, right on others: that is all that counts.",
    seconds=20,
)


@right(trained)
def with_mini_batches(inputs, targets, num_classes):
    net = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, num_classes))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.03)
    for _ in range(60):
        for rows in torch.randperm(len(inputs)).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(inputs[rows]), targets[rows]).backward()
            optimizer.step()
    return net


class Radius(nn.Module):
    """A network that is shown the distance from zero."""

    def __init__(self, num_classes):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 32), nn.ReLU(), nn.Linear(32, num_classes))

    def forward(self, x):
        return self.net(x.norm(dim=1, keepdim=True))


@right(trained)
def by_the_radius(inputs, targets, num_classes):
    model = Radius(num_classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return model
