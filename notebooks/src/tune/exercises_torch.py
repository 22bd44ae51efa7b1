"""One trial of a search in PyTorch: train, report after each epoch, and stop when told."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, paragraph, part, right, says


# ---------------------------------------------------------------- 4
def run_trial(model, config, x, y, x_valid, y_valid, report):
    """Return the last validation loss, and whether the trial was stopped."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=config["learning_rate"], weight_decay=config["weight_decay"])
    for epoch in range(1, config["epochs"] + 1):
        model.train()
        for start in range(0, len(x), config["batch_size"]):
            rows = slice(start, start + config["batch_size"])
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            validation_loss = nn.functional.cross_entropy(model(x_valid), y_valid).item()
        if report(epoch, validation_loss):
            return validation_loss, True
    return validation_loss, False


def use_trial(probe, answer, learning_rate, weight_decay, batch_size, epochs, stop_at, x, y, x_valid, y_valid, weights):
    """What was reported, what came back, and the weights at the end; gradients start at 0.5."""
    nn = probe.nn
    hidden, features = weights["0.weight"].shape
    model = nn.Sequential(
        nn.Linear(features, hidden, bias=False),  # a bias before batch normalization has only rounding as its gradient
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, len(weights["3.weight"])),
    )
    next(probe.load_ways(model, weights))
    for parameter in model.parameters():
        parameter.grad = probe.torch.full_like(parameter, 0.5)
    config = {
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "batch_size": batch_size,
        "epochs": epochs,
    }
    seen = []

    def report(epoch, loss):
        seen.append((epoch, loss))
        return epoch == stop_at

    returned = answer(
        model, config, probe.tensor(x), probe.tensor(y), probe.tensor(x_valid), probe.tensor(y_valid), report
    )
    if not isinstance(returned, (tuple, list)) or len(returned) != 2:
        yield {"the number of values returned": 1}
        return
    yield {
        "the number of values returned": 2,
        "the number of reports": len(seen),
        "the epochs reported": np.array([int(epoch) for epoch, _ in seen]),
        "the losses reported": np.array([float(probe.array(loss)) for _, loss in seen]),
        "the loss returned": np.array(float(probe.array(returned[0]))),
        "whether the trial was stopped": np.array(bool(returned[1])),
        "the weights at the end": probe.state(model),
        "whether a reported loss is a Python float": np.array(type(seen[-1][1]) is float),
    }


def draw_trial(g, n, batch_size, epochs, stop_at, weight_decay=0.1, num_valid=6):
    """A small training and validation set of three classes; the weights of a network with batch normalization."""
    features, hidden, classes = 2, int(g.integers(3, 6)), 3
    x, x_valid = g.normal(size=(n, features)).round(2), g.normal(0.5, 1.5, (num_valid, features)).round(2)
    y, y_valid = g.permutation(np.arange(n) % classes), g.permutation(np.arange(num_valid) % classes)
    shapes = {
        "0.weight": (hidden, features),
        "1.weight": (hidden,),
        "1.bias": (hidden,),
        "3.weight": (classes, hidden),
        "3.bias": (classes,),
    }
    rate = float(g.choice([0.01, 0.03]))
    return rate, weight_decay, batch_size, epochs, stop_at, x, y, x_valid, y_valid, drawn_weights(g, shapes)


trial = exercise(
    "tune.4",
    run_trial,
    framework="torch",
    use=use_trial,
    title="A trial that reports, and stops when told",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "A search calls a function for each trial. `config` is a dict with `learning_rate`, `weight_decay`, `batch_size` and "
            "`epochs`; `model` is a new network, with batch normalization, that returns logits."
        ),
        says(
            "**Write** `run_trial(model, config, x, y, x_valid, y_valid, report)`. It trains with `torch.optim.AdamW`, with the "
            "learning rate",
            ignored=edit('lr=config["learning_rate"]', "lr=0.001"),
        ),
        says("and the weight decay of `config`,", ignored=edit(', weight_decay=config["weight_decay"]', "")),
        says("on batches of `batch_size` rows,", mistake="one batch of all rows"),
        says("in the order in which they come, also a last one that is smaller.", mistake="smaller last batch"),
        says("The loss is the cross-entropy.", mistake="takes logits"),
        says("What `.grad` held before must not count.", mistake="still in `.grad`"),
        paragraph(),
        says(
            "After **each** epoch it computes the cross-entropy on the validation rows,",
            mistake="report the training loss",
        ),
        says("in evaluation mode (batch normalization uses its stored statistics),", mistake="in training mode"),
        says("and calls `report(epoch, loss)`, with epochs counted from 1", mistake="count from 1"),
        says("and the loss as a Python float.", mistake="You reported a tensor"),
        says("Training goes on in training mode.", mistake="back to training mode"),
        says("If `report` returns True, the trial stops at once.", mistake="does not stop"),
        says("Else it ends after `epochs` epochs.", ignored=edit('range(1, config["epochs"] + 1)', "range(1, 4)")),
        says("Return two values: the last validation loss,", mistake="lowest loss"),
        says("and whether the trial was stopped.", mistake="True where `report` said so"),
        example("""
def stop_after_two(epoch, loss):
    print(f"epoch {epoch}: {loss:.3f}")
    return epoch == 2

print([stop_after_two(1, 1.098), stop_after_two(2, 1.097)])
"""),
    ],
    hints=[
        'Two loops: epochs, and inside `for start in range(0, len(x), config["batch_size"])`. `model.train()` before the inner '
        "loop, `model.eval()` after it.",
        "`with torch.no_grad():` around the validation loss, `.item()` makes it a float. Then `if report(epoch, loss): return "
        "loss, True`; after the loop `return loss, False`.",
    ],
    draw=draw_trial,
    parts=[
        part("runs to its end", weight=2, n=8, batch_size=4, epochs=between(3, 4), stop_at=0),
        part("stopped after two epochs", n=8, batch_size=4, epochs=5, stop_at=2, num_valid=4),
        part("stopped after the first", n=6, batch_size=3, epochs=between(2, 3), stop_at=1),
        part("stopped after the last", n=6, batch_size=3, epochs=2, stop_at=2),
        part("a smaller last batch", n=7, batch_size=4, epochs=between(2, 3), stop_at=0),
        part("one batch", n=6, batch_size=6, epochs=2, stop_at=0),
        part("much weight decay", n=8, batch_size=4, epochs=2, stop_at=0, weight_decay=5.0),
    ],
    own={"n": 6, "batch_size": 3, "epochs": 2, "stop_at": 0, "num_valid": 3},
    own_says="A trial of your own: learning_rate, weight_decay, batch_size, epochs, stop_at, x, y, x_valid, y_valid",
    mistakes={
        "You score in training mode, where batch normalization uses the batch: `model.eval()` before the validation loss.": edit(
            "        model.eval()\n", ""
        ),
        "After the first score you are not back to training mode: `model.train()` belongs inside the loop over epochs.": edit(
            "        model.train()\n", "", "    for epoch in", "    model.train()\n    for epoch in"
        ),
        "The trial does not stop: where `report` returns True, return at once.": edit(
            "            return validation_loss, True\n", "            pass\n"
        ),
        "You stop one epoch too late.": edit(
            "        if report(epoch, validation_loss):\n            return validation_loss, True\n",
            "        if epoch > 1 and stop:\n            return validation_loss, True\n"
            "        stop = report(epoch, validation_loss)\n",
        ),
        "You report the training loss. The validation rows decide.": edit("model(x_valid), y_valid", "model(x), y"),
        "You report the last batch's loss: the validation rows are to be scored.": edit(
            "            validation_loss = nn.functional.cross_entropy(model(x_valid), y_valid).item()",
            "            validation_loss = loss.item()",
        ),
        "Your epochs count from 0. They count from 1.": edit("report(epoch,", "report(epoch - 1,"),
        "You reported a tensor: `.item()` makes it a float.": edit("y_valid).item()", "y_valid)"),
        "You report once, at the end. Report after each epoch.": edit(
            "        if report(epoch, validation_loss):\n            return validation_loss, True\n",
            "",
            "    return validation_loss, False",
            "    return validation_loss, bool(report(epoch, validation_loss))",
        ),
        "You report after every batch. Report after each epoch.": edit(
            "            optimizer.step()\n",
            "            optimizer.step()\n"
            "            if report(epoch, loss.item()):\n                return loss.item(), True\n",
        ),
        "You train on one batch of all rows: take batches of `batch_size`.": [
            "rows = slice(0, len(x))",
            edit(
                'range(0, len(x), config["batch_size"])',
                "range(0, len(x), len(x))",
                'slice(start, start + config["batch_size"])',
                "slice(0, len(x))",
            ),
        ],
        "You leave out the smaller last batch.": edit(
            'range(0, len(x), config["batch_size"])',
            'range(0, len(x) - config["batch_size"] + 1, config["batch_size"])',
        ),
        "Gradients of the batch before, or of what was there, are still in `.grad`: `optimizer.zero_grad()`.": edit(
            "            optimizer.zero_grad()\n", ""
        ),
        "Cross-entropy takes logits: its softmax is inside, and you applied one before it.": [
            edit("model(x[rows])", "model(x[rows]).softmax(dim=1)"),
            edit("model(x[rows])", "model(x[rows]).softmax(dim=1)", "model(x_valid)", "model(x_valid).softmax(dim=1)"),
        ],
        "AdamW is asked for, not Adam: its weight decay is not part of the gradient.": edit(
            "optim.AdamW", "optim.Adam"
        ),
        "You return the lowest loss. The last one is wanted: it belongs to the weights that are there.": edit(
            "    for epoch in",
            "    lowest = float('inf')\n    for epoch in",
            "        if report(",
            "        lowest = min(lowest, validation_loss)\n        if report(",
            "return validation_loss, True",
            "return lowest, True",
            "return validation_loss, False",
            "return lowest, False",
        ),
        "The second value says whether the trial was stopped: True where `report` said so.": edit(
            "return validation_loss, True", "return validation_loss, False"
        ),
        "The second value says whether the trial was stopped. You say the opposite.": edit(
            "return validation_loss, True",
            "return validation_loss, 0",
            "return validation_loss, False",
            "return validation_loss, True",
        ),
        "You return the loss only. Two values are wanted.": edit(
            "return validation_loss, True",
            "return validation_loss",
            "return validation_loss, False",
            "return validation_loss",
        ),
    },
    praise="Any search can run this trial, and any pruner can stop it.",
)


@right(trial)
def with_loader(model, config, x, y, x_valid, y_valid, report):
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, batch_size=config["batch_size"])
    steps = torch.optim.AdamW(model.parameters(), config["learning_rate"], weight_decay=config["weight_decay"])
    stopped, epoch = False, 0
    while epoch < config["epochs"] and not stopped:
        epoch += 1
        for inputs, labels in loader:
            steps.zero_grad(set_to_none=True)
            nn.CrossEntropyLoss()(model.train()(inputs), labels).backward()
            steps.step()
        with torch.inference_mode():
            log_p = model.eval()(x_valid).log_softmax(-1)
        last = float(-log_p[torch.arange(len(y_valid)), y_valid].mean())
        stopped = bool(report(epoch, last))
    return last, stopped
