"""One step from many small batches, a run that goes on exactly, and the blanks of the lesson, in PyTorch."""

import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from mmcourse.check import CheckFailed
from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, one_of, part, right, says


# ---------------------------------------------------------------- 4
def accumulated_step(model, optimizer, parts, max_norm):
    """One optimizer step with the gradient of all parts together; returns the mean loss of all samples, a float."""
    num_samples = sum(len(target) for _, target in parts)
    total = 0.0
    optimizer.zero_grad()
    for x, target in parts:
        share = len(target) / num_samples
        loss = nn.functional.cross_entropy(model(x), target)
        (loss * share).backward()
        total += loss.item() * share
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    optimizer.step()
    return total


def use_accumulation(probe, answer, max_norm, x, y, sizes, gradients_left, weights):
    """The loss and the weights after each of two steps; with `gradients_left`, every gradient starts at 0.5."""
    nn = probe.nn
    model = nn.Sequential(nn.Linear(x.shape[1], len(weights["0.bias"])), nn.Tanh())
    model.append(nn.Linear(len(weights["0.bias"]), len(weights["2.bias"])))
    next(probe.load_ways(model, weights))
    if gradients_left:
        for parameter in model.parameters():
            parameter.grad = probe.torch.full_like(parameter, 0.5)
    optimizer = probe.torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    parts = list(zip(probe.tensor(x).split(sizes), probe.tensor(y).split(sizes), strict=True))
    found = {}
    for number in ("first", "second"):
        loss = answer(model, optimizer, parts, max_norm)
        found[f"the loss of the {number} step"] = np.array(float(probe.array(loss)))
        found[f"the weights after the {number} step"] = probe.state(model)
    found["the type of the loss"] = type(loss).__name__
    yield found


def draw_parts(g, sizes, max_norm, left=False):
    d, hidden, num_classes = (int(g.integers(*limits)) for limits in ((2, 5), (2, 5), (2, 4)))
    n = sum(sizes)
    shapes = {"0.weight": (hidden, d), "0.bias": (hidden,), "2.weight": (num_classes, hidden), "2.bias": (num_classes,)}
    y = g.integers(0, num_classes, n)
    y[:2] = 0, 1
    return max_norm, g.normal(size=(n, d)), y, list(sizes), left, drawn_weights(g, shapes)


accumulation = exercise(
    "train_pytorch.4",
    accumulated_step,
    framework="torch",
    use=use_accumulation,
    title="One step from many small batches",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "The batch that you want does not fit into memory. You get it in parts: `parts` is a list of pairs `(x, "
            "target)`, the inputs (n, d) and the classes (n,). Parts may have different sizes, and nothing in the model "
            "looks at more than one sample."
        ),
        says(
            "**Write** `accumulated_step(model, optimizer, parts, max_norm)`, which takes **one** optimizer step,",
            mistake="a step for each part",
        ),
        says("with the gradient of the mean cross-entropy over *all* samples of all parts,", mistake="Sizes differ"),
        says("as if they were one big batch.", mistake="Only the last part counts"),
        says("What `.grad` held before must not count.", mistake="from before"),
        says(
            "Before the step, clip: if the norm of the whole gradient exceeds `max_norm`, scale it to that norm,",
            mistake="not clipped",
        ),
        says("the norm of all parts' gradients together, not of each part's.", mistake="after every part"),
        says("A shorter gradient stays as it is.", mistake="scaled up"),
        says("Return the mean loss over all samples, from before the step,", mistake="sum of the parts' losses"),
        says("as a Python float.", mistake="You returned a tensor"),
        context("Call `model` on one part at a time: that is the point."),
        example("""
torch.manual_seed(0)
model = nn.Linear(2, 3)
parts = [(torch.randn(4, 2), torch.tensor([0, 1, 2, 0])), (torch.randn(2, 2), torch.tensor([1, 1]))]
for x, target in parts:
    print(len(target), "samples, mean loss", round(nn.functional.cross_entropy(model(x), target).item(), 3))
"""),
    ],
    hints=[
        "`backward` adds to `.grad`. So `zero_grad` comes once, before the loop over the parts; clipping and `step` come "
        "once, after it.",
        "A part of n samples counts n / N, with N the samples of all parts: `(loss * len(target) / N).backward()`. The sum "
        "of these weighted losses is the mean over all.",
    ],
    draw=draw_parts,
    parts=[
        part("parts of different sizes", weight=2, sizes=[4, 4, 2], max_norm=0.05),
        part("equal parts", sizes=[3, 3, 3], max_norm=0.04),
        part("one part", sizes=[5], max_norm=0.05),
        part("gradients shorter than the limit", sizes=[5, 1], max_norm=50.0),
        part("gradients left from before", sizes=[3, 2, 1], max_norm=20.0, left=True),
    ],
    own={"sizes": [3, 1], "max_norm": 0.1},
    own_says="Parts of your own: max_norm, x, y, sizes, gradients_left",
    mistakes={
        "You take a step for each part: `step` comes once, after all of them.": edit(
            "        total += loss.item() * share\n",
            "        total += loss.item() * share\n        optimizer.step()\n",
            "    optimizer.step()\n    return",
            "    return",
        ),
        "Sizes differ: a part of n samples counts n / N, not one part in so many.": [
            edit("(loss * share)", "(loss / len(parts))"),
            edit("share = len(target) / num_samples", "share = 1 / len(parts)"),
        ],
        "You add up the mean losses of the parts. Weight each by its share of the samples.": [
            edit("(loss * share)", "(loss)"),
            edit("share = len(target) / num_samples", "share = 1"),
        ],
        "That is the gradient of the summed loss. The mean over all samples is wanted.": [
            edit("(loss * share)", "(loss * len(target))"),
            edit("share = len(target) / num_samples", "share = len(target)"),
        ],
        "Only the last part counts: `zero_grad` comes once, before the loop.": edit(
            "    optimizer.zero_grad()\n    for",
            "    for",
            "        (loss * share).backward()\n",
            "        optimizer.zero_grad()\n        (loss * share).backward()\n",
        ),
        "Gradients from before are still in it: call `zero_grad` first.": edit("    optimizer.zero_grad()\n", ""),
        "The gradient is not clipped: between the last `backward` and `step`, `nn.utils.clip_grad_norm_`.": [
            edit("    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n", ""),
            edit(
                "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n    optimizer.step()\n",
                "    optimizer.step()\n    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
            ),
        ],
        "You clip after every part. Clip once, when the gradient is complete.": edit(
            "        total += loss.item() * share\n",
            "        total += loss.item() * share\n        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
        ),
        "Short gradients are scaled up to the limit. Leave them as they are.": edit(
            "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
            "    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()\n"
            "    for p in model.parameters():\n        p.grad *= max_norm / norm\n",
        ),
        "Each parameter was clipped by itself, which turns the direction. Clip them together.": edit(
            "    nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n",
            "    for p in model.parameters():\n        nn.utils.clip_grad_norm_([p], max_norm)\n",
        ),
        "Single numbers were cut. It is the norm of the whole gradient that is limited.": edit(
            "clip_grad_norm_(model", "clip_grad_value_(model"
        ),
        "You returned the sum of the parts' losses. The mean over all samples is wanted.": edit(
            "loss.item() * share", "loss.item()"
        ),
        "You returned the mean of the parts' losses. Weight each by its number of samples.": edit(
            "loss.item() * share", "loss.item() / len(parts)"
        ),
        "You returned the loss of the last part only.": edit("total += loss.item() * share", "total = loss.item()"),
        "You returned a tensor: `loss.item()` is the number itself.": edit(
            "loss.item() * share", "loss.detach() * share"
        ),
        "No step was taken: call `optimizer.step()`.": edit("    optimizer.step()\n", ""),
    },
    praise="A batch of any size, in the memory of a small one.",
)


@right(accumulation)
def by_sums(model, optimizer, parts, max_norm):
    n = sum(len(y) for _, y in parts)
    optimizer.zero_grad(set_to_none=True)
    sums = []
    for x, y in parts:
        loss = nn.functional.nll_loss(model(x).log_softmax(-1), y, reduction="sum")
        loss.backward()
        sums.append(float(loss.detach()))
    norm = torch.stack([(p.grad / n).square().sum() for p in model.parameters()]).sum().sqrt()
    for p in model.parameters():
        p.grad /= n
        if norm > max_norm:
            p.grad *= max_norm / (norm + 1e-6)
    optimizer.step()
    return sum(sums) / n


# ---------------------------------------------------------------- 5
def train_part(model, optimizer, scheduler, batches, state=None, stop=None):
    """Train from a state up to batch `stop`; returns the losses, a list of floats, and the state from which to go on."""
    first = 0
    if state is not None:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        torch.set_rng_state(state["rng"])
        first = state["step"]
    last = len(batches) if stop is None else stop
    losses = []
    for x, target in batches[first:last]:
        loss = nn.functional.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "rng": torch.get_rng_state(),
        "step": last,
    }
    return losses, state


def use_stop_and_go(probe, answer, x, y, stop, dropout, weights):
    """A whole run, and one that stops, is written to a file, read again, and goes on with other objects."""
    import io

    torch, nn = probe.torch, probe.nn
    batches = list(zip(probe.tensor(x), probe.tensor(y), strict=True))

    def make(start):
        model = nn.Sequential(nn.Linear(x.shape[2], len(weights["0.bias"])), nn.Tanh(), nn.Dropout(dropout))
        model.append(nn.Linear(len(weights["0.bias"]), len(weights["3.bias"])))
        if start:
            next(probe.load_ways(model, weights))
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.8**step)
        return model, optimizer, scheduler

    def results(made):
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            raise probe.Problem("Return two things: the list of losses and the state.")
        losses, state = made
        return np.array([float(probe.array(loss)) for loss in losses]), state

    probe.seed(1)
    whole = make(True)
    losses, _ = results(answer(*whole, batches))
    found = {"the losses of a whole run": losses, "the weights after a whole run": probe.state(whole[0])}

    probe.seed(1)
    made = answer(*make(True), batches, None, stop)
    found["the losses up to the stop"], state = results(made)
    file = io.BytesIO()
    try:
        torch.save(state, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
    except Exception as error:
        words = f"The state cannot be saved and read with `weights_only=True`: {type(error).__name__}."
        raise probe.Problem(words) from None
    probe.seed(99)
    other = make(False)
    losses, _ = results(answer(*other, batches, state))
    found["the losses after going on"] = losses
    found["the weights after going on"] = probe.state(other[0])
    found["the type of a loss"] = type(made[0][0]).__name__ if len(made[0]) else "float"
    yield found


def draw_run(g, num_batches, stop, dropout):
    d, hidden, num_classes, b = (int(g.integers(*limits)) for limits in ((2, 4), (5, 8), (2, 4), (3, 5)))
    shapes = {"0.weight": (hidden, d), "0.bias": (hidden,), "3.weight": (num_classes, hidden), "3.bias": (num_classes,)}
    y = g.integers(0, num_classes, (num_batches, b))
    y[:, 0], y[:, 1] = 0, 1
    return g.normal(size=(num_batches, b, d)), y, stop, dropout, drawn_weights(g, shapes)


going_on = exercise(
    "train_pytorch.5",
    train_part,
    framework="torch",
    use=use_stop_and_go,
    title="A run that goes on exactly",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "`batches` is a list of pairs `(x, target)`. The optimizer has momentum, the scheduler counts steps, and the "
            "model, in training mode, may have dropout."
        ),
        says(
            "**Write** `train_part(model, optimizer, scheduler, batches, state=None, stop=None)`. It trains on the batches "
            "in their order, one step for each, with the cross-entropy,",
            mistake="Old gradients",
        ),
        says("and calls the scheduler once after each step.", mistake="schedule never moves"),
        says(
            "Without a state it begins with the first batch; it ends before batch number `stop` (counted from 0), or "
            "after the last one.",
            mistake="ignore `stop`",
        ),
        says("It returns the list of the losses of this call, each from before its step,", mistake="every loss twice"),
        says("as Python floats,", mistake="You returned tensors"),
        says(
            "and a **state**: a dictionary that `torch.save` can write and `torch.load` can read with `weights_only=True`.",
            mistake="put the objects themselves",
        ),
        says(
            "Given that state, a call with *new* objects (other weights, a fresh optimizer and scheduler, other random "
            "numbers) goes on as if nothing had happened:",
            mistake="weights are not those",
        ),
        says("from the next batch,", mistake="starts again with the first batch"),
        says("with the optimizer's moments,", mistake="fresh optimizer"),
        says("at the right place of the schedule,", mistake="schedule starts again"),
        says("and with the dropout masks that the whole run would have drawn.", mistake="dropout masks"),
        example("""
torch.manual_seed(0)
optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(2))])
print(sorted(optimizer.state_dict()), "  random state:", tuple(torch.get_rng_state().shape))
"""),
    ],
    hints=[
        "Modules, optimizers and schedulers each have `state_dict()` and `load_state_dict(…)`. The random state has "
        "`torch.get_rng_state()` and `torch.set_rng_state(…)`.",
        "The loop runs over `batches[first:last]`. Restore everything before it, the random state last; build the state "
        "after it, with the number of the next batch.",
    ],
    draw=draw_run,
    parts=[
        part("stopped in the middle", weight=2, num_batches=6, stop=between(2, 3), dropout=0.5),
        part("without dropout", num_batches=5, stop=2, dropout=0.0),
        part("stopped before the first step", num_batches=4, stop=0, dropout=0.5),
        part("stopped after the last step", num_batches=3, stop=3, dropout=one_of(0.2, 0.6)),
    ],
    own={"num_batches": 2, "stop": 1, "dropout": 0.5},
    own_says="A run of your own: x, y, stop, dropout",
    mistakes={
        "Going on starts again with the first batch: keep the number of the next one.": edit(
            '        first = state["step"]\n', ""
        ),
        "Going on begins with a fresh optimizer: save and load its `state_dict`.": edit(
            '        optimizer.load_state_dict(state["optimizer"])\n', ""
        ),
        "The schedule starts again: save and load the scheduler's `state_dict`.": edit(
            '        scheduler.load_state_dict(state["scheduler"])\n', ""
        ),
        "The dropout masks are others: save and set the state of the random generator.": edit(
            '        torch.set_rng_state(state["rng"])\n', ""
        ),
        "The weights are not those at the stop: load the model's `state_dict`.": edit(
            '        model.load_state_dict(state["model"])\n', ""
        ),
        "The schedule never moves: call `scheduler.step()` after each step.": edit("        scheduler.step()\n", ""),
        "Old gradients are left: call `zero_grad` before `backward`.": edit("        optimizer.zero_grad()\n", ""),
        "You ignore `stop`: end before that batch.": edit(
            "last = len(batches) if stop is None else stop", "last = len(batches)"
        ),
        "You go one batch too far: end *before* batch number `stop`.": edit(
            "last = len(batches) if stop is None else stop",
            "last = len(batches) if stop is None else min(stop + 1, len(batches))",
        ),
        "Going on leaves out a batch: the state's number is that of the *next* one.": edit(
            '"step": last,', '"step": last + 1,'
        ),
        "Going on repeats the last batch: the state's number is that of the *next* one.": edit(
            '"step": last,', '"step": max(last - 1, 0),'
        ),
        "Your list holds every loss twice.": edit("losses.append(loss.item())", "losses += [loss.item()] * 2"),
        "You returned tensors: `loss.item()` is the number itself.": edit(
            "losses.append(loss.item())", "losses.append(loss.detach())"
        ),
        "You put the objects themselves into the state. Put their `state_dict()` in: plain values.": edit(
            '"scheduler": scheduler.state_dict(),',
            '"scheduler": scheduler.state_dict(), "object": scheduler,',
        ),
        "The random state was set before the loop in every call: only going on sets it.": edit(
            "    first = 0\n", "    first = 0\n    torch.manual_seed(0)\n"
        ),
    },
    praise="Killed at any step, it ends where it would have ended.",
)


@right(going_on)
def with_one_loop(model, optimizer, scheduler, batches, state=None, stop=None):
    step = 0
    if state:
        for thing, kept in zip((model, optimizer, scheduler), state["kept"], strict=True):
            thing.load_state_dict(kept)
        step = state["next"]
        torch.random.set_rng_state(state["random"])
    losses = []
    while step < len(batches) and step != stop:
        x, y = batches[step]
        optimizer.zero_grad(set_to_none=True)
        loss = -model(x).log_softmax(-1).gather(-1, y[:, None]).mean()
        loss.backward()
        optimizer.step()
        scheduler.step()
        losses.append(float(loss.detach()))
        step += 1
    kept = [thing.state_dict() for thing in (model, optimizer, scheduler)]
    return losses, {"kept": kept, "next": step, "random": torch.random.get_rng_state()}


# ---------------------------------------------------------------- blank 1
def judge_pad(answer, reference):
    """Padded tensors and masks of sequences of words and of frames."""
    g = torch.Generator().manual_seed(0)
    cases = [
        [torch.tensor([5, 2, 7]), torch.tensor([3])],
        [torch.randn(2, 3, generator=g), torch.randn(4, 3, generator=g), torch.randn(1, 3, generator=g)],
        [torch.tensor([1, 2])],
    ]
    for sequences in cases:
        made = answer([sequence.clone() for sequence in sequences])
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            raise CheckFailed("Return two tensors: the padded sequences and the mask.")
        padded, mask = made
        want, wanted = reference(sequences)
        if not isinstance(padded, torch.Tensor) or not isinstance(mask, torch.Tensor):
            raise CheckFailed("Both results are tensors.")
        if padded.shape != want.shape and padded.shape[:2] == want.shape[:2][::-1]:
            raise CheckFailed("Time comes first in yours: give `pad_sequence` `batch_first=True`.")
        if padded.shape != want.shape:
            raise CheckFailed(f"The padded tensor is {tuple(padded.shape)}, expected {tuple(want.shape)}.")
        if padded.dtype != want.dtype:
            raise CheckFailed(f"The padded tensor has {padded.dtype}; the sequences have {want.dtype}.")
        if not torch.equal(padded, want):
            raise CheckFailed("The values differ: each sequence from the left, then zeros.")
        if mask.shape != wanted.shape:
            raise CheckFailed(f"The mask is {tuple(mask.shape)}, expected {tuple(wanted.shape)}: one value per step.")
        if mask.dtype != torch.bool:
            raise CheckFailed("The mask holds numbers; make it bool: a comparison does.")
        if torch.equal(mask, ~wanted) and not torch.equal(mask, wanted):
            raise CheckFailed("Your mask is True at padding. It is True where a value is real.")
        if not torch.equal(mask, wanted):
            raise CheckFailed("The mask is wrong: True for the first t steps of a sequence of length t.")


def pad_with(sequences, *, first=True, value=0.0, change=lambda mask: mask, side=None):
    padded = nn.utils.rnn.pad_sequence(sequences, batch_first=first, padding_value=value)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    steps = padded.shape[1] if first else padded.shape[0]
    return padded, change(torch.arange(steps) < lengths[:, None])


@blank(
    "train_pytorch.blank.1",
    title="Pad a batch, and its mask",
    judge=judge_pad,
    mistakes=[
        (lambda sequences: pad_with(sequences, first=False), "Time comes first"),
        (lambda sequences: pad_with(sequences, value=-1.0), "then zeros"),
        (lambda sequences: pad_with(sequences, change=torch.logical_not), "True at padding"),
        (lambda sequences: pad_with(sequences, change=torch.Tensor.int), "make it bool"),
        (lambda sequences: pad_with(sequences)[0], "Return two tensors"),
        (lambda sequences: pad_with(sequences, change=torch.ones_like), "The mask is wrong"),
    ],
)
def pad(sequences):
    padded = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    return padded, mask


# ---------------------------------------------------------------- blanks 2 and 3
class Small(nn.Module):
    """A model of the blanks' checks: batch["x"] → logits, with dropout."""

    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))

    def forward(self, batch):
        return self.net(batch["x"])


def small_batches(sizes):
    g = torch.Generator().manual_seed(1)
    return [{"x": torch.randn(n, 4, generator=g), "target": torch.randint(0, 3, (n,), generator=g)} for n in sizes]


def after_three_steps(step):
    """Losses, weights and the last rate after three updates."""
    model = Small()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.5**k)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own, where the optimizer makes no step: our message says it
        losses = [step(model, batch, optimizer, scheduler) for batch in small_batches((5, 5, 5))]
    return losses, nn.utils.parameters_to_vector(model.parameters()).detach(), optimizer.param_groups[0]["lr"]


def judge_step(answer, reference):
    """Losses are numbers, weights and rate move as with the course's step."""
    losses, weights, rate = after_three_steps(answer)
    want, wanted, right_rate = after_three_steps(reference)
    start = nn.utils.parameters_to_vector(Small().parameters()).detach()
    if any(not isinstance(loss, float) for loss in losses):
        raise CheckFailed("Return the loss as a number: `loss.item()`.")
    if abs(losses[0] - want[0]) > 1e-5:
        raise CheckFailed(f"The first loss is {losses[0]:.4f}, expected {want[0]:.4f}: cross-entropy of the logits.")
    if torch.equal(weights, start):
        raise CheckFailed("The weights do not change: `loss.backward()`, then `optimizer.step()`.")
    if abs(rate - right_rate) > 1e-9:
        raise CheckFailed(
            "The learning rate is not that of the schedule: call `scheduler.step()` once, after the step."
        )
    if not torch.allclose(weights, wanted, atol=1e-5):
        raise CheckFailed("The second step went elsewhere: old gradients are left, or the order is another.")


def step_with(model, batch, optimizer, scheduler, *, zero="before", step=True, rates=1, number=True, soft=False):
    logits = model(batch)
    loss = cross_entropy(logits.softmax(dim=1) if soft else logits, batch["target"])
    if zero == "before":
        optimizer.zero_grad()
    loss.backward()
    if zero == "after":
        optimizer.zero_grad()
    if step:
        optimizer.step()
    for _ in range(rates):
        scheduler.step()
    return loss.item() if number else loss


@blank(
    "train_pytorch.blank.2",
    title="One training step",
    judge=judge_step,
    mistakes=[
        (lambda *a: step_with(*a, zero=None), "old gradients are left"),
        (lambda *a: step_with(*a, zero="after"), "The weights do not change"),
        (lambda *a: step_with(*a, step=False), "The weights do not change"),
        (lambda *a: step_with(*a, rates=0), "learning rate is not that of the schedule"),
        (lambda *a: step_with(*a, rates=2), "learning rate is not that of the schedule"),
        (lambda *a: step_with(*a, number=False), "Return the loss as a number"),
        (lambda *a: step_with(*a, soft=True), "cross-entropy of the logits"),
    ],
)
def train_step(model, batch, optimizer, scheduler):
    logits = model(batch)
    loss = cross_entropy(logits, batch["target"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return loss.item()


def judge_evaluate(answer, reference):
    """Two floats over samples, dropout off, no graph, training mode afterwards."""
    batches = small_batches((5, 5, 2))
    seen = []
    model = Small(dropout=0.5)
    model.register_forward_hook(lambda module, given, out: seen.append((module.training, out.requires_grad)))
    made = answer(model, batches)
    if not isinstance(made, (tuple, list)) or len(made) != 2:
        raise CheckFailed("Return two numbers: the mean loss and the accuracy.")
    if any(training for training, _ in seen):
        raise CheckFailed("Dropout was on: call `model.eval()` first.")
    if any(graph for _, graph in seen):
        raise CheckFailed("Autograd kept a graph: measure under `torch.no_grad()`.")
    if not all(isinstance(value, float) for value in made):
        raise CheckFailed("Return Python floats: `.item()` of the sums.")
    if not model.training:
        raise CheckFailed("The model is left in evaluation mode: call `model.train()` at the end.")
    for name, value, wanted in zip(("loss", "accuracy"), made, reference(Small(dropout=0.5), batches), strict=True):
        if abs(value - wanted) > 1e-5:
            raise CheckFailed(
                f"The {name} is {value:.4f}, expected {wanted:.4f}: add up over samples and divide by their number "
                "(batches may differ in size)."
            )


def evaluate_with(model, loader, *, mode=True, grad=False, back=True, by_batch=False, number=True):
    if mode:
        model.eval()
    losses, rights, sizes = [], [], []
    with torch.set_grad_enabled(grad):
        for batch in loader:
            logits, target = model(batch), batch["target"]
            losses.append(cross_entropy(logits, target))
            rights.append((logits.argmax(dim=1) == target).float().mean())
            sizes.append(float(len(target)))
    if back:
        model.train()
    weight = torch.ones(len(sizes)) if by_batch else torch.tensor(sizes)
    made = [(torch.stack(values) * weight).sum() / weight.sum() for values in (losses, rights)]
    return tuple(value.item() for value in made) if number else tuple(made)


@blank(
    "train_pytorch.blank.3",
    title="Measure a model",
    judge=judge_evaluate,
    mistakes=[
        (lambda *a: evaluate_with(*a, mode=False), "Dropout was on"),
        (lambda *a: evaluate_with(*a, grad=True), "Autograd kept a graph"),
        (lambda *a: evaluate_with(*a, back=False), "left in evaluation mode"),
        (lambda *a: evaluate_with(*a, by_batch=True), "add up over samples"),
        (lambda *a: evaluate_with(*a, number=False), "Return Python floats"),
        (lambda *a: evaluate_with(*a)[0], "Return two numbers"),
    ],
)
def evaluate(model, loader):
    model.eval()
    loss_sum, num_right, num_samples = 0.0, 0, 0
    with torch.no_grad():
        for batch in loader:
            logits, target = model(batch), batch["target"]
            loss_sum += cross_entropy(logits, target).item() * len(target)
            num_right += (logits.argmax(dim=1) == target).sum().item()
            num_samples += len(target)
    model.train()
    return loss_sum / num_samples, num_right / num_samples


# ---------------------------------------------------------------- blank 5
def judge_everything(answer, reference):
    """The five entries, each equal to the course's."""
    model = Small(dropout=0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.5**k)
    for batch in small_batches((5, 5)):
        train_step(model, batch, optimizer, scheduler)
    made, wanted = answer(model, optimizer, scheduler, 7), reference(model, optimizer, scheduler, 7)
    if not isinstance(made, dict):
        raise CheckFailed("Return a dictionary.")
    if missing := [name for name in wanted if name not in made]:
        raise CheckFailed(f"The dictionary lacks {', '.join(missing)}.")
    if made["step"] != 7:
        raise CheckFailed(f'`"step"` is {made["step"]!r}; it is the number that was handed over.')
    for name in ("model", "optimizer", "scheduler"):
        if not isinstance(made[name], dict):
            raise CheckFailed(f'`"{name}"` is the object itself. Put its `state_dict()` in: plain values.')
        if sorted(made[name]) != sorted(wanted[name]):
            raise CheckFailed(f'`"{name}"` is not the state of the {name}.')
    if not isinstance(made["rng"], torch.Tensor) or not torch.equal(made["rng"], wanted["rng"]):
        raise CheckFailed('`"rng"` is the state of the random generator: `torch.get_rng_state()`.')


def everything_but(*a, **changed):
    return {**everything(*a), **changed}


@blank(
    "train_pytorch.blank.5",
    title="What a checkpoint holds",
    judge=judge_everything,
    mistakes=[
        (lambda *a: everything_but(*a, model=a[0]), "the object itself"),
        (lambda *a: everything_but(*a, optimizer=a[0].state_dict()), "not the state of the optimizer"),
        (lambda *a: everything_but(*a, rng=torch.initial_seed()), "state of the random generator"),
        (lambda *a: everything_but(*a, step=0), "handed over"),
        (lambda *a: {"model": a[0].state_dict()}, "lacks"),
    ],
)
def everything(model, optimizer, scheduler, step):
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "step": step,
        "rng": torch.get_rng_state(),
    }
