"""The exercises of lesson interpret in PyTorch: integrated gradients of any model, and Grad-CAM with a hook."""

import numpy as np
import torch

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
def explain_logit(model, x, baseline, target, steps):
    """Integrated gradients of the logit `target[i]` of each sample: x, baseline (b, d), target (b,) → (b, d)."""
    rows = torch.arange(len(x))
    total = torch.zeros_like(x)
    for k in range(steps):
        share = (k + 0.5) / steps
        point = (baseline + share * (x - baseline)).detach().requires_grad_()
        logits = model(point)
        chosen = logits[rows, target]
        (gradient,) = torch.autograd.grad(chosen.sum(), point)
        total = total + gradient
    return (x - baseline) * total / steps


def use_explain(probe, answer, d, hidden, classes, x, baseline, target, steps, weights):
    """The parts, and that no gradient is left in the model."""
    torch = probe.torch
    layers = torch.nn.Linear(d, hidden), torch.nn.Tanh(), torch.nn.Linear(hidden, classes)
    model = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(probe.tensor(weights[name]))
    model.eval()
    targets = torch.as_tensor(np.array(target), dtype=torch.int64)
    given = probe.tensor(x)
    parts = answer(model, given, probe.tensor(baseline), targets, int(steps))
    left = [parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in model.parameters()]
    yield {"the parts": probe.output(parts), "gradients left in the model's weights": np.array(float(sum(left)))}


def draw_explain(g, b, d, hidden, classes, steps):
    """A small network, inputs, baselines, and a class for each."""
    shapes = {"0.weight": (hidden, d), "0.bias": (hidden,), "2.weight": (classes, hidden), "2.bias": (classes,)}
    x, baseline = (g.normal(size=(b, d)).round(2).astype(np.float32) for _ in range(2))
    target = np.arange(b) % classes if b > 1 else np.array([classes - 1])
    return d, hidden, classes, x + 1, baseline, target, steps, drawn_weights(g, shapes)


parts_of = exercise(
    "interpret.4",
    explain_logit,
    framework="torch",
    use=use_explain,
    title="Integrated gradients of any model",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "`model` is an `nn.Module` in `eval()` mode, from (b, d) to logits (b, classes). `target` (b,) says which class is "
            "explained for each sample; `x` and `baseline` are (b, d)."
        ),
        context("**Write** `explain_logit(model, x, baseline, target, steps)`."),
        says("Explain the *logit*, not the probability,", mistake="This explains a probability"),
        says("of each sample's own class.", mistake="`target` is an array"),
        says(
            "Take the gradient at `steps` points between `baseline` and `x`, in the middle of equal parts,",
            mistake="begin at the baseline",
        ),
        says("average, and multiply by x minus the baseline.", mistake="minus the baseline"),
        says("Leave no gradients in the model's weights (`torch.autograd.grad` does not).", mistake="left gradients"),
        says("Return a tensor (b, d).", ignored="return ((x - baseline) * total / steps)[None]"),
        example("""
torch.manual_seed(0)
z = torch.tensor([[1.0, 2.0]], requires_grad=True)
(gradient,) = torch.autograd.grad((z ** 2).sum(), z)
print(gradient)
"""),
    ],
    hints=[
        "`logits[torch.arange(len(x)), target]` takes each sample's own class. The sum over the batch is fine: samples do not "
        "mix in `eval()` mode.",
        "In a loop: `point = (…).detach().requires_grad_()`, then `torch.autograd.grad(chosen.sum(), point)`.",
    ],
    draw=draw_explain,
    parts=[
        part("several samples", weight=2, b=between(2, 4), d=4, hidden=5, classes=3, steps=between(3, 6)),
        part("one step", b=2, d=3, hidden=4, classes=between(2, 4), steps=1),
        part("one sample", b=1, d=between(3, 5), hidden=between(4, 6), classes=2, steps=5),
    ],
    own={"b": 1, "d": 2, "hidden": 3, "classes": 2, "steps": 2},
    own_says="A model of your own",
    mistakes={
        "This explains a probability, which is flat where the model is sure: take the logit.": (
            "logits = model(point).softmax(dim=-1)"
        ),
        "This explains a logarithm of the probability, in which all classes mix: take the logit.": (
            "logits = model(point).log_softmax(dim=-1)"
        ),
        "Each sample has its own class: `target` is an array.": [
            "chosen = logits[:, target[0]]",
            "chosen = logits.max(dim=-1).values",
        ],
        "This explains the sum of all logits, not the sample's own class.": "chosen = logits.sum(dim=-1)",
        "Your points begin at the baseline: take them in the middle of equal parts.": "share = k / steps",
        "Your points end at x: take them in the middle of equal parts.": "share = (k + 1) / steps",
        "Multiply by x minus the baseline.": ["return x * total / steps", "return total / steps"],
        "This is the sum of the gradients, not their mean.": "return (x - baseline) * total",
        "You left gradients in the model's weights: the next optimizer step would use them.": edit(
            "(gradient,) = torch.autograd.grad(chosen.sum(), point)",
            "chosen.sum().backward()\n        gradient = point.grad",
        ),
    },
    praise="The same lines work for a language model's embeddings: there the baseline is a choice, too.",
)


@right(parts_of)
def one_batch(model, x, baseline, target, steps):
    shares = (torch.arange(steps) + 0.5)[:, None, None] / steps
    points = (baseline + shares * (x - baseline)).flatten(0, 1).requires_grad_()
    score = model(points).gather(1, target.repeat(steps)[:, None]).sum()
    gradient = torch.autograd.grad(score, points)[0].unflatten(0, (steps, -1))
    return (x - baseline) * gradient.mean(dim=0)


# ---------------------------------------------------------------- 5
def hooked_map(model, layer, x, target):
    """Grad-CAM with a hook: the layer's output (b, k, h, w), the logit `target` → map (b, h, w)."""
    kept = []
    handle = layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    was_training = model.training
    model.eval()
    logits = model(x)
    handle.remove()
    model.train(was_training)
    (gradients,) = torch.autograd.grad(logits[:, target].sum(), kept[0])
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept[0]).sum(dim=1).relu()
    return heat.detach()


def use_hook(probe, answer, channels, classes, x, target, training, weights):
    """The map; what is left behind."""
    torch = probe.torch
    nn = probe.torch.nn
    body = nn.Conv2d(1, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
    model = nn.Sequential(*body, nn.Conv2d(channels, channels, 2), nn.ReLU())
    model.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten()).append(nn.Linear(channels, classes))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.copy_(probe.tensor(weights[name]))
        model[1].running_mean.add_(0.3)
    model.train(bool(training))
    before = model[1].running_mean.clone()
    heat = answer(model, model[3], probe.tensor(x), int(target))
    moved = float((model[1].running_mean - before).abs().sum())
    yield {
        "the map": probe.output(heat),
        "hooks left on the layer": np.array(float(len(model[3]._forward_hooks))),
        "whether the mode is as it was": np.array(float(model.training == bool(training))),
        "the running means' change": np.array(moved),
    }


def draw_hook(g, b, side, channels, classes, target, training):
    """Pictures, a class, and weights of a small network with batch normalization."""
    shapes = {"0.weight": (channels, 1, 1, 1), "3.weight": (channels, channels, 2, 2), "3.bias": (channels,)}
    shapes |= {"7.weight": (classes, channels), "7.bias": (classes,)}
    x = g.normal(size=(b, 1, side, side)).round(2).astype(np.float32)
    return channels, classes, x, target, training, drawn_weights(g, shapes)


hook = exercise(
    "interpret.5",
    hooked_map,
    framework="torch",
    use=use_hook,
    title="Grad-CAM with a hook",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "`model` maps pictures (b, c, h, w) to logits (b, classes); `layer` is one of its convolutions. Its output is not "
            "returned by the model: a *forward hook* keeps it."
        ),
        context("**Write** `hooked_map(model, layer, x, target)`: the Grad-CAM map (b, h', w') of the class `target`."),
        says("A channel's weight is the mean of its gradients over all places;", mistake="all places"),
        says("add the channels with their weights, and apply ReLU.", mistake="ReLU is missing"),
        says("Explain the logit of the class `target`.", mistake="This is not the map"),
        says(
            "Run the model in `eval()` mode: in training mode, batch normalization would mix the samples (and learn from "
            "them).",
            mistake="eval()",
        ),
        says("Afterwards the model is in the mode that it had before,", mistake="mode that it had"),
        says("and the hook is taken off again.", mistake="hook is still"),
        says("The map is not scaled, and has no gradient.", mistake="not scaled"),
        example("""
torch.manual_seed(0)
layer, kept = nn.Conv2d(1, 2, 3), {}
handle = layer.register_forward_hook(lambda layer, given, made: kept.update(output=made))
layer(torch.zeros(1, 1, 5, 5))
handle.remove()
print(kept["output"].shape)
"""),
    ],
    hints=[
        "`was_training = model.training`, then `model.eval()`, run, `handle.remove()`, `model.train(was_training)`.",
        "`torch.autograd.grad(logits[:, target].sum(), kept[0])` gives a tuple with the gradients (b, k, h', w').",
    ],
    draw=draw_hook,
    parts=[
        part(
            "a model in training mode",
            weight=2,
            b=between(2, 3),
            side=8,
            channels=4,
            classes=3,
            target=2,
            training=True,
        ),
        part(
            "a model in eval mode", weight=2, b=3, side=between(7, 9), channels=3, classes=2, target=0, training=False
        ),
        part("one picture", b=1, side=6, channels=5, classes=between(2, 4), target=1, training=False),
    ],
    own={"b": 1, "side": 3, "channels": 2, "classes": 2, "target": 1, "training": True},
    own_says="A model of your own",
    mistakes={
        "A channel has one weight: the mean over all places of its gradients.": "weights = gradients",
        "The ReLU is missing: what speaks against the class is not 0.": "heat = (weights * kept[0]).sum(dim=1)",
        "ReLU comes after the sum over the channels.": "heat = (weights * kept[0]).relu().sum(dim=1)",
        "This is not the map of the class `target`.": [
            "(gradients,) = torch.autograd.grad(logits.max(dim=1).values.sum(), kept[0])",
            "(gradients,) = torch.autograd.grad(logits.sum(), kept[0])",
        ],
        "Explain the logit of the class `target`, not its probability.": (
            "(gradients,) = torch.autograd.grad(logits.softmax(dim=1)[:, target].sum(), kept[0])"
        ),
        "The model ran in training mode: call `model.eval()` first, or samples mix.": edit("    model.eval()\n", ""),
        "The model is not in the mode that it had before.": edit("    model.train(was_training)\n", ""),
        "Your hook is still on the layer: every later call keeps another output.": edit("    handle.remove()\n", ""),
        "The map is not scaled: leave its values as they are.": (
            "return (heat / heat.amax(dim=(1, 2), keepdim=True).clamp(min=1e-9)).detach()"
        ),
    },
    praise="Three things that people forget, and you left nothing behind.",
)


@right(hook)
def with_retained_gradient(model, layer, x, target):
    saved = {}

    def keep(_module, _inputs, output):
        output.retain_grad()
        saved["a"] = output

    mode, handle = model.training, layer.register_forward_hook(keep)
    try:
        score = model.eval()(x)[:, target].sum()
    finally:
        handle.remove()
        model.train(mode)
    score.backward()
    alpha = saved["a"].grad.flatten(2).mean(-1)
    return torch.einsum("bk,bkhw->bhw", alpha, saved["a"]).clamp(min=0).detach()


# ---------------------------------------------------------------- a blank of the lesson
def layers():
    generator = torch.Generator().manual_seed(0)
    for shape in ((2, 3, 4, 5), (1, 2, 3, 3), (3, 4, 2, 2)):
        yield torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)


@blank(
    "interpret.blank.2",
    title="Grad-CAM",
    inputs=layers,
    mistakes=[
        (
            lambda a, g: (g.mean(dim=(2, 3), keepdim=True) * a).sum(dim=1),
            "The ReLU is missing: some of your values are negative.",
        ),
        (
            lambda a, g: (g * a).sum(dim=1).relu(),
            "Average the gradients over all places first: one weight per channel.",
        ),
        (
            lambda a, g: (g.mean(dim=(2, 3), keepdim=True) * a).relu().sum(dim=1),
            "ReLU comes after the sum over the channels.",
        ),
        (
            lambda a, g: (g.relu().mean(dim=(2, 3), keepdim=True) * a).sum(dim=1).relu(),
            "No ReLU on the gradients: a channel's weight may be negative.",
        ),
        (lambda a, g: (g.sum(dim=(2, 3), keepdim=True) * a).sum(dim=1).relu(), "A mean over the places, not a sum."),
    ],
)
def grad_cam(activations, gradients):
    return (gradients.mean(dim=(2, 3), keepdim=True) * activations).sum(dim=1).relu()
