"""The exercises of lesson scale in PyTorch: blocks computed again in the backward pass, and replicas that stay equal."""

import numpy as np
import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
def recomputed_step(blocks, x, loss_of):
    """Forward without a graph, backward block by block: (loss, gradient of x); adds to the parameters' `.grad`."""
    entered, states = [], []
    y = x
    with torch.no_grad():
        for block in blocks:
            entered.append(y)
            states.append(torch.get_rng_state())
            y = block(y)
    y = y.detach().requires_grad_()
    loss = loss_of(y)
    loss.backward()
    gradient = y.grad
    after = torch.get_rng_state()
    for k in reversed(range(len(blocks))):
        again = entered[k].detach().requires_grad_()
        torch.set_rng_state(states[k])
        out = blocks[k](again)
        out.backward(gradient)
        gradient = again.grad
    torch.set_rng_state(after)
    return loss.detach(), gradient


def use_recompute(probe, answer, d, number, dropout, x, weights):
    """Loss, gradients, what is drawn afterwards, and how much was kept at once."""
    torch = probe.torch
    nn = torch.nn

    def new_blocks():
        blocks = nn.ModuleList()
        for _ in range(int(number)):
            blocks.append(
                nn.Sequential(nn.Linear(d, d), nn.Tanh(), nn.Dropout(float(dropout)), nn.Linear(d, d), nn.Tanh())
            )
        with torch.no_grad():
            for name, parameter in blocks.named_parameters():
                parameter.copy_(probe.tensor(weights[name]))
        return blocks.train()

    alive = [0, 0]

    class Kept:
        def __init__(self, value):
            self.value = value
            alive[0] += 1
            alive[1] = max(alive)

        def __del__(self):
            alive[0] -= 1

    def most_kept(run):
        alive[:] = [0, 0]
        with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.value):
            made = run()
        return made, alive[1]

    given = probe.tensor(x)
    blocks = new_blocks()
    _, one = most_kept(lambda: blocks[0](given))
    torch.manual_seed(3)
    (loss, gradient), most = most_kept(lambda: answer(blocks, given.clone(), lambda y: (y**2).mean()))
    later = torch.rand(2)
    yield {
        "the loss": probe.output(loss),
        "the gradient of x": probe.output(gradient),
        **{f"the gradient of {name}": probe.output(p.grad) for name, p in blocks.named_parameters()},
        "what is drawn by chance after the step": probe.output(later),
        "whether more than two blocks' activations were kept at once": np.array(float(most > 2 * one + 4)),
    }


def draw_blocks(g, b, d, number, dropout):
    """Inputs, and weights of equal blocks."""
    shapes = {}
    for k in range(number):
        for layer in (0, 3):
            shapes |= {f"{k}.{layer}.weight": (d, d), f"{k}.{layer}.bias": (d,)}
    x = g.normal(size=(b, d)).round(2).astype(np.float32)
    return d, number, dropout, x, drawn_weights(g, shapes)


def plain_step(blocks, x, loss_of):
    """The answer with one mistake."""
    y = x = x.detach().requires_grad_()
    for block in blocks:
        y = block(y)
    loss = loss_of(y)
    loss.backward()
    return loss.detach(), x.grad


again = exercise(
    "scale.4",
    recomputed_step,
    framework="torch",
    use=use_recompute,
    title="Compute it again",
    points=4,
    difficulty=3,
    minutes=35,
    statement=[
        context(
            "`blocks` is an `nn.ModuleList` in training mode, with dropout inside; `x` (b, d) goes through one after the other. "
            "`loss_of` is a function from the last output to a loss."
        ),
        context("**Write** `recomputed_step(blocks, x, loss_of)`, without `torch.utils.checkpoint`:"),
        says("run all blocks *without a graph*, and keep only what enters each;", mistake="kept at once"),
        says(
            "then go through them from the *last* to the first, run each again on what entered it, and send the gradient through.",
            mistake="from the last",
        ),
        says("The gradient that comes out of a block enters the one before.", mistake="gradient that arrives"),
        says(
            "A block must draw the *same dropout* the second time (`torch.get_rng_state`, `torch.set_rng_state`).",
            mistake="another dropout",
        ),
        says("Afterwards, random numbers go on as if nothing had been run twice.", mistake="goes back"),
        says(
            "Every parameter's `.grad` is filled, as by `backward`.",
            ignored=edit(
                "        out.backward(gradient)\n        gradient = again.grad\n",
                "        (gradient,) = torch.autograd.grad(out, again, gradient)\n",
            ),
        ),
        says("Return (loss, gradient of x).", ignored="return loss.detach(), gradient[:1]"),
        example("""
torch.manual_seed(0)
state = torch.get_rng_state()
first = torch.rand(1)
torch.set_rng_state(state)
print("the same number again:", first.item() == torch.rand(1).item())
"""),
    ],
    hints=[
        "Under `torch.no_grad()`, put `y` and `torch.get_rng_state()` into lists before each block. Then "
        "`y = y.detach().requires_grad_()` begins the backward pass: `loss_of(y).backward()` gives `y.grad`.",
        "For a block: `again = entered[k].detach().requires_grad_()`, set the state, `blocks[k](again).backward(gradient)`, and "
        "`gradient = again.grad`. Keep the state after the forward pass, and set it at the end.",
    ],
    draw=draw_blocks,
    parts=[
        part("five blocks with dropout", weight=2, b=between(3, 5), d=between(3, 5), number=5, dropout=0.4),
        part("six blocks, no dropout", b=between(2, 4), d=4, number=6, dropout=0.0),
        part("one block", b=3, d=between(2, 4), number=1, dropout=0.3),
        part("one sample", b=1, d=between(4, 6), number=4, dropout=0.5),
    ],
    own={"b": 1, "d": 2, "number": 2, "dropout": 0.5},
    own_says="Two blocks of your own",
    mistakes={
        "More is kept at once than one block's inside: run the forward pass without a graph.": plain_step,
        "The block drew another dropout the second time: set the random state that it had.": (
            edit("        torch.set_rng_state(states[k])\n", "")
        ),
        "The random state goes back: later steps would draw the same dropout again.": edit(
            "    torch.set_rng_state(after)\n", ""
        ),
        "Go from the last block to the first: each needs the gradient of what comes after it.": edit(
            "reversed(range(len(blocks)))", "range(len(blocks))"
        ),
        "Send the gradient that arrives through the block, not ones.": "out.backward(torch.ones_like(out))",
        "Each block runs again on what entered *it*, not on x.": "again = x.detach().requires_grad_()",
        "The second time, the blocks ran without dropout: leave them in training mode.": edit(
            "        out = blocks[k](again)\n", "        out = blocks[k].eval()(again)\n        blocks[k].train()\n"
        ),
    },
    praise="That is activation checkpointing: what PyTorch's own does for you, and why it needs the random state.",
)


@right(again)
def with_autograd_grad(blocks, x, loss_of):
    trail = []
    with torch.no_grad():
        y = x
        for block in blocks:
            trail.append((block, y, torch.get_rng_state()))
            y = block(y)
    leaf = y.clone().requires_grad_(True)
    loss = loss_of(leaf)
    (slope,) = torch.autograd.grad(loss, leaf)
    end = torch.get_rng_state()
    while trail:
        block, entered, state = trail.pop()
        entered = entered.clone().requires_grad_(True)
        torch.set_rng_state(state)
        torch.autograd.backward([block(entered)], [slope])
        slope = entered.grad
    torch.set_rng_state(end)
    return loss.detach(), slope


# ---------------------------------------------------------------- 5
def synchronize(models, counts, max_norm):
    """Give all replicas the gradient of the whole batch, clipped; returns its norm before that."""
    total = sum(counts)
    for parameters in zip(*[model.parameters() for model in models], strict=True):
        weighted = [p.grad * (n / total) for p, n in zip(parameters, counts, strict=True) if p.grad is not None]
        if weighted:
            whole = sum(weighted)
            for p in parameters:
                p.grad = whole.clone()
    squares = [p.grad.square().sum() for p in models[0].parameters() if p.grad is not None]
    norm = torch.stack(squares).sum().sqrt()
    factor = (max_norm / norm).clamp(max=1.0)
    for model in models:
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_(factor)
    return norm


def use_synchronize(probe, answer, d, hidden, classes, counts, second_by, max_norm, x, target, weights):
    """Gradients of all replicas after one backward pass each, and the norm."""
    torch = probe.torch
    nn = torch.nn

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(d, hidden), nn.Tanh(), nn.Linear(hidden, classes))
            self.second = nn.Linear(d, classes)
            self.unused = nn.Linear(2, 2)

        def forward(self, x, with_second):
            return self.body(x) + self.second(x) if with_second else self.body(x)

    models, start = [], 0
    for rank, number in enumerate(counts):
        model = Two()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(probe.tensor(weights[name]))
        rows = slice(start, start + int(number))
        start += int(number)
        labels = torch.as_tensor(np.array(target[rows]), dtype=torch.int64)
        logits = model(probe.tensor(x[rows]), rank < int(second_by))
        nn.functional.cross_entropy(logits, labels).backward()
        models.append(model)
    norm = answer(models, [int(n) for n in counts], float(max_norm))
    found = {"the norm": np.array(float(norm))}
    for rank, model in enumerate(models):
        for name, parameter in model.named_parameters():
            gradient = parameter.grad
            label = f"rank {rank}, the gradient of {name}"
            found[label] = np.full(1, -99.0) if gradient is None else probe.output(gradient)
    yield found


def draw_replicas(g, counts, second_by, d, hidden, classes, limit):
    """Rows for all ranks, labels, weights."""
    counts = [int(n) for n in counts]
    shapes = {"body.0.weight": (hidden, d), "body.0.bias": (hidden,), "body.2.weight": (classes, hidden)}
    shapes |= {"body.2.bias": (classes,), "second.weight": (classes, d), "second.bias": (classes,)}
    shapes |= {"unused.weight": (2, 2), "unused.bias": (2,)}
    x = g.normal(size=(sum(counts), d)).round(2).astype(np.float32)
    target = np.arange(sum(counts)) % classes
    return d, hidden, classes, counts, second_by, limit, x, g.permutation(target), drawn_weights(g, shapes)


together = exercise(
    "scale.5",
    synchronize,
    framework="torch",
    use=use_synchronize,
    title="Replicas that stay equal",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "`models` are replicas of one network, one for each rank (here they all live in one process). Each has just run "
            "`backward` on the *mean* loss of its own `counts[rank]` samples."
        ),
        context(
            "**Write** `synchronize(models, counts, max_norm)`, which does what happens between `backward` and `step`:"
        ),
        says(
            "every replica's `.grad` becomes the gradient of the mean loss over *all* samples,", mistake="mean of means"
        ),
        says("in every replica.", mistake="in every replica"),
        says(
            "Where one replica has no gradient (`None`: it did not use that layer), it counts as 0.",
            mistake="counts as 0",
        ),
        says("Where none has one, it stays `None`.", mistake="stays None"),
        says(
            "*Then* all gradients are clipped: if the norm of all of them together is above `max_norm`, they are scaled to it.",
            mistake="Clip the whole",
        ),
        says("Below it they stay.", mistake="only ever shorter"),
        says("Return the norm before clipping.", mistake="before clipping"),
        example("""
torch.manual_seed(0)
layer = nn.Linear(1, 1)
print("before backward:", layer.weight.grad)
layer(torch.ones(2, 1)).mean().backward()
print("after:", layer.weight.grad, layer.bias.grad)
"""),
    ],
    hints=[
        "`zip(*[model.parameters() for model in models])` gives the same parameter of all replicas together.",
        "The share of a rank is `counts[rank] / sum(counts)`. Leave out `None`, but do not change the shares. "
        "`nn.utils.clip_grad_norm_(model.parameters(), max_norm)` clips one replica and returns its norm.",
    ],
    draw=draw_replicas,
    parts=[
        part("unequal counts", weight=2, counts=(5, 2), second_by=2, d=3, hidden=between(3, 5), classes=3, limit=100.0),
        part(
            "three ranks, clipped",
            weight=2,
            counts=(2, 6, 3),
            second_by=3,
            d=between(3, 4),
            hidden=4,
            classes=3,
            limit=0.05,
        ),
        part(
            "a layer that one rank did not use",
            weight=2,
            counts=(3, 4),
            second_by=1,
            d=between(2, 4),
            hidden=3,
            classes=2,
            limit=100.0,
        ),
        part("a layer that nobody used", counts=(4, 3), second_by=0, d=3, hidden=between(3, 4), classes=2, limit=0.02),
        part("one rank", counts=(4,), second_by=1, d=3, hidden=3, classes=between(2, 4), limit=0.05),
    ],
    own={"counts": (2, 1), "second_by": 1, "d": 2, "hidden": 2, "classes": 2, "limit": 100.0},
    own_says="Two replicas of your own",
    mistakes={
        "This is a mean of means: a rank with few samples counts as much as one with many.": edit(
            "p.grad * (n / total)", "p.grad / len(models)"
        ),
        "This is the sum of all ranks' gradients: weight each by its share of the samples.": edit(
            "p.grad * (n / total)", "p.grad * 1.0"
        ),
        "This divides by rank 0's number: divide by everybody's.": "total = counts[0]",
        "The gradient is to be in every replica, not in the first alone.": edit(
            "for p in parameters:", "for p in parameters[:1]:"
        ),
        "A replica without a gradient counts as 0: do not average over the others alone.": edit(
            "whole = sum(weighted)",
            "whole = sum(weighted) * total / sum(n for p, n in zip(parameters, counts, strict=True) if p.grad is not None)",
        ),
        "Where nobody has a gradient it stays None: zeros would let weight decay and Adam's means move it.": edit(
            "        if weighted:\n            whole = sum(weighted)\n",
            "        if True:\n            whole = sum(weighted) if weighted else torch.zeros_like(parameters[0])\n",
        ),
        "Clip the whole gradient, after it was put together: not each rank's own.": edit(
            "    total = sum(counts)\n",
            "    for model in models:\n        nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n    total = sum(counts)\n",
        ),
        "The gradient is not clipped: its norm is above `max_norm`.": "factor = 1.0",
        "Clipping makes gradients only ever shorter: below `max_norm` they stay.": "factor = max_norm / norm",
        "The norm before clipping is wanted.": "return norm * factor",
    },
    praise="DDP does the first half for you, if your losses are divided by everybody's number.",
)


@right(together)
def by_backward_hooks_of_my_own(models, counts, max_norm):
    shares = [n / sum(counts) for n in counts]
    named = [dict(model.named_parameters()) for model in models]
    for name in named[0]:
        found = [(share, group[name].grad) for share, group in zip(shares, named, strict=True)]
        known = [(share, grad) for share, grad in found if grad is not None]
        if not known:
            continue
        mixed = torch.zeros_like(known[0][1])
        for share, grad in known:
            mixed.add_(grad, alpha=share)
        for group in named:
            group[name].grad = mixed.clone()
    norms = [nn.utils.clip_grad_norm_(model.parameters(), max_norm) for model in models]
    return norms[0]
