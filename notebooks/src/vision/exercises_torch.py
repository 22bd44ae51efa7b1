"""The bottleneck block, a step that trains only the head, and the lesson's residual block, in PyTorch."""

import numpy as np
import torch
from torch import nn

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, one_of, part, right, says
from mmcourse.exercise.verdict import CheckFailed


# ---------------------------------------------------------------- 3
class Bottleneck(nn.Module):
    """Maps (b, in_channels, h, w) → (b, out_channels, h / stride, w / stride)."""

    def __init__(self, in_channels, middle, out_channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, middle, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x):
        change = torch.relu(self.norm1(self.conv1(x)))
        change = torch.relu(self.norm2(self.conv2(change)))
        change = self.norm3(self.conv3(change))
        return torch.relu(self.shortcut(x) + change)


def use_bottleneck(probe, answer, in_channels, middle, out_channels, stride, x, weights):
    """Output and gradients in training mode, then the output in eval mode, with copied weights."""
    module = answer(in_channels, middle, out_channels, stride)
    probe.is_module(module)
    for parameters in probe.load_ways(module, weights):
        for layer in module.modules():
            if isinstance(layer, probe.nn.BatchNorm2d):
                layer.reset_running_stats()
        module.train()
        maps = probe.tensor(x)
        before = maps.clone()
        out = module(maps)
        found = {"the output in training mode": probe.output(out), **probe.gradients(out, parameters)}
        module.eval()
        found["the output in eval mode"] = probe.output(module(before))
        found["whether the input was changed"] = not probe.torch.equal(maps, before)
        yield found


def draw_bottleneck(g, in_channels, middle, out_channels, stride, b=3, side=4):
    shapes = {"conv1.weight": (middle, in_channels, 1, 1), "conv2.weight": (middle, middle, 3, 3)}
    shapes["conv3.weight"] = (out_channels, middle, 1, 1)
    for name, channels in (("norm1", middle), ("norm2", middle), ("norm3", out_channels)):
        shapes |= {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}
    if stride != 1 or in_channels != out_channels:
        shapes["shortcut.0.weight"] = (out_channels, in_channels, 1, 1)
        shapes |= {"shortcut.1.weight": (out_channels,), "shortcut.1.bias": (out_channels,)}
    weights = drawn_weights(g, shapes)
    for name in list(weights):
        if name.endswith(".weight") and weights[name].ndim == 1:
            weights[name] = (1 + weights[name]).astype(np.float32)
    x = g.normal(0.3, 1, size=(b, in_channels, side, side)).round(2).astype(np.float32)
    return in_channels, middle, out_channels, stride, x, weights


bottleneck = exercise(
    "vision.3",
    Bottleneck,
    framework="torch",
    use=use_bottleneck,
    title="The block of ResNet-50",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "Fifty layers of full 3×3 convolutions would be expensive. The **bottleneck block** first makes the channels fewer, "
            "convolves there, and makes them more again."
        ),
        context("**Write** the class `Bottleneck(in_channels, middle, out_channels, stride)`, an `nn.Module`."),
        says(
            "Its branch has three convolutions without bias: 1×1 to `middle` channels, 3×3 with padding 1, and 1×1 to "
            "`out_channels`,",
            ignored=edit("middle, middle, 3, stride, padding=1, bias=False", "middle, middle, 3, stride, padding=1"),
        ),
        says("each followed by batch normalization,", mistake="The last convolution has no batch normalization"),
        says("and the first two also by ReLU.", mistake="There is a ReLU inside the branch too many"),
        says("The *3×3* convolution has the `stride`.", mistake="The stride is in the wrong convolution"),
        says("The shortcut adds the input to the branch,", mistake="Nothing is added"),
        says(
            "as it is where shapes allow it (`stride` 1, and as many channels in as out);",
            mistake="The shortcut has weights although",
        ),
        says(
            "else through a 1×1 convolution without bias, with the stride, and a batch normalization.",
            mistake="The shortcut's batch normalization is missing",
        ),
        says("The last ReLU comes *after* the sum.", mistake="The last ReLU comes before the sum"),
        example("""
x = torch.zeros(2, 64, 8, 8)
print("in", tuple(x.shape), "  out, for middle 16, 128 channels out, stride 2:", (2, 128, 4, 4))
print("3×3 on 64 channels:", 9 * 64 * 64, "weights;  1×1, 3×3, 1×1 through 16:", 64 * 16 + 9 * 16 * 16 + 16 * 64)
"""),
    ],
    hints=[
        "Start from the lesson's `StageBlock`: which convolution is new, and where do ReLU and stride go?",
        "Make `self.shortcut = nn.Identity()` first, and replace it by `nn.Sequential(nn.Conv2d(…, 1, stride, bias=False), "
        "nn.BatchNorm2d(…))` if a shape changes. Then `forward` needs no `if`.",
    ],
    draw=draw_bottleneck,
    parts=[
        part("shapes that stay", weight=2, in_channels=4, middle=2, out_channels=4, stride=1),
        part("more channels", weight=2, in_channels=between(2, 3), middle=2, out_channels=4, stride=1),
        part("a stride", weight=2, in_channels=3, middle=2, out_channels=4, stride=2),
        part("a stride, as many channels", in_channels=4, middle=3, out_channels=4, stride=2),
        part("one picture", in_channels=2, middle=1, out_channels=2, stride=one_of(1, 2), b=1),
    ],
    own={"in_channels": 2, "middle": 1, "out_channels": 2, "stride": 1, "b": 1, "side": 2},
    own_says="A block of your own: in_channels, middle, out_channels, stride, maps, weights",
    mistakes={
        "The last ReLU comes before the sum: put it after it, so that the branch may subtract.": (
            "return self.shortcut(x) + torch.relu(change)"
        ),
        "The last ReLU is missing.": "return self.shortcut(x) + change",
        "There is a ReLU inside the branch too many: the third convolution and its normalization have none.": edit(
            "change = self.norm3(self.conv3(change))", "change = torch.relu(self.norm3(self.conv3(change)))"
        ),
        "Nothing is added: the shortcut is missing in `forward`.": "return torch.relu(change)",
        "A ReLU of the branch is missing: the first two convolutions have one each.": [
            edit("torch.relu(self.norm1(self.conv1(x)))", "self.norm1(self.conv1(x))"),
            edit("torch.relu(self.norm2(self.conv2(change)))", "self.norm2(self.conv2(change))"),
        ],
        "ReLU comes before the normalization: the order is convolution, normalization, ReLU.": edit(
            "torch.relu(self.norm1(self.conv1(x)))",
            "self.norm1(torch.relu(self.conv1(x)))",
            "torch.relu(self.norm2(self.conv2(change)))",
            "self.norm2(torch.relu(self.conv2(change)))",
        ),
        "The stride is in the wrong convolution: the 3×3 one has it.": edit(
            "self.conv1 = nn.Conv2d(in_channels, middle, 1, bias=False)",
            "self.conv1 = nn.Conv2d(in_channels, middle, 1, stride, bias=False)",
            "self.conv2 = nn.Conv2d(middle, middle, 3, stride, padding=1, bias=False)",
            "self.conv2 = nn.Conv2d(middle, middle, 3, padding=1, bias=False)",
        ),
        "The last convolution has no batch normalization.": edit(
            "self.norm3 = nn.BatchNorm2d(out_channels)", "self.norm3 = nn.Identity()"
        ),
        "The shortcut's batch normalization is missing.": edit(
            "1, stride, bias=False), nn.BatchNorm2d(out_channels)", "1, stride, bias=False)"
        ),
        "The shortcut has weights although the shapes stay: there the input itself is added.": edit(
            "if stride != 1 or in_channels != out_channels:", "if True:"
        ),
        "With a stride the shapes differ even where the channels do not: the shortcut needs its convolution there, too.": edit(
            "if stride != 1 or in_channels != out_channels:", "if in_channels != out_channels:"
        ),
    },
    praise="The block of ResNet-50, 101 and 152. In their first version the stride was in the first convolution; this is the better one.",
)


@right(bottleneck)
class AsSequential(nn.Module):
    """The branch as one nn.Sequential."""

    def __init__(self, a, m, c, s):
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(a, m, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU(),
            nn.Conv2d(m, m, 3, s, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU(),
            nn.Conv2d(m, c, 1, bias=False), nn.BatchNorm2d(c),
        )  # fmt: skip
        self.project = None
        if s != 1 or a != c:
            self.project = nn.Sequential(nn.Conv2d(a, c, 1, s, bias=False), nn.BatchNorm2d(c))

    def forward(self, x):
        around = x if self.project is None else self.project(x)
        return (around + self.branch(x)).clamp(min=0)


# ---------------------------------------------------------------- 4
def head_step(backbone, head, optimizer, inputs, targets):
    """One step that trains the head and leaves the backbone exactly as it is; returns the loss as a float."""
    backbone.eval()
    head.train()
    with torch.no_grad():
        features = backbone(inputs)
    logits = head(features)
    loss = nn.functional.cross_entropy(logits, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def use_head_step(probe, answer, whole, inputs, targets, body, top, averages):
    """Losses and weights after a step on each mini-batch.

    The backbone has batch normalization and starts in training mode, the head has one and starts in eval mode. With
    `whole`, the optimizer holds the backbone's weights, too.
    """
    nn = probe.nn
    hidden, num_features = body["0.weight"].shape
    backbone = nn.Sequential(nn.Linear(num_features, hidden), nn.BatchNorm1d(hidden), nn.ReLU())
    head = nn.Sequential(nn.BatchNorm1d(hidden), nn.Linear(hidden, len(top["1.bias"])))
    next(probe.load_ways(backbone, body))
    next(probe.load_ways(head, top))
    with probe.torch.no_grad():
        backbone[1].running_mean.copy_(probe.tensor(averages[0]))
        backbone[1].running_var.copy_(probe.tensor(averages[1]))
    backbone.train()
    head.eval()
    parameters = [*head.parameters(), *(backbone.parameters() if whole else ())]
    optimizer = probe.torch.optim.SGD(parameters, lr=0.1)
    losses, floats = [], True
    for x, y in zip(probe.tensor(inputs), probe.tensor(targets), strict=True):
        loss = answer(backbone, head, optimizer, x, y)
        floats &= isinstance(loss, float)
        losses.append(probe.array(loss))
    yield {
        "the losses": np.array(losses, dtype=np.float64),
        "the head": probe.state(head),
        "the backbone and its running averages": probe.state(backbone),
        "whether a gradient reached the backbone": any(p.grad is not None for p in backbone.parameters()),
        "whether each loss is a float": floats,
    }


def draw_head_step(g, whole, steps, b, num_classes, hidden):
    num_features = 3
    inputs = g.normal(size=(steps, b, num_features)).round(2).astype(np.float32)
    targets = g.integers(0, num_classes, (steps, b))
    body = drawn_weights(
        g, {"0.weight": (hidden, num_features), "0.bias": (hidden,), "1.weight": (hidden,), "1.bias": (hidden,)}
    )
    body["1.weight"] = body["1.weight"] + np.float32(1)
    top = drawn_weights(
        g, {"0.weight": (hidden,), "0.bias": (hidden,), "1.weight": (num_classes, hidden), "1.bias": (num_classes,)}
    )
    top["0.weight"] = top["0.weight"] + np.float32(1)
    averages = np.stack([g.normal(size=hidden), g.uniform(0.5, 2, hidden)]).round(2).astype(np.float32)
    return whole, inputs, targets, body, top, averages


stepping = exercise(
    "vision.4",
    head_step,
    framework="torch",
    use=use_head_step,
    title="Frozen means frozen",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A pretrained backbone and a new head. Only the head is to be trained. Both have batch normalization, and nobody knows "
            "in which mode they come to you."
        ),
        says(
            "**Write** `head_step(backbone, head, optimizer, inputs, targets)`: one step of the optimizer on the cross-entropy of "
            "`head(backbone(inputs))`.",
            ignored=edit("    optimizer.step()\n", ""),
        ),
        says("The head is in training mode,", mistake="The head is not in training mode"),
        says(
            "the backbone in eval mode: its running averages are used, and stay as they are.",
            mistake="The backbone is in training mode",
        ),
        says(
            "No gradient is computed for the backbone, even if its weights are in the optimizer.",
            mistake="A gradient reaches the backbone",
        ),
        says("Gradients of an earlier step do not count.", mistake="Gradients of earlier steps are added up"),
        says("Return the loss *before* the step,", mistake="This is the loss after the step"),
        says("as a Python float.", ignored="return loss.detach()"),
        example("""
torch.manual_seed(0)
body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
print("averages before", body[1].running_mean.tolist())
body(torch.randn(8, 3))  # nobody asked for training, but a new module is in training mode
print("averages after ", [round(v, 3) for v in body[1].running_mean.tolist()])
"""),
    ],
    hints=[
        "Which two calls set the modes? Under which `with` does PyTorch record no gradient?",
        "`backbone.eval()`, `head.train()`, features under `torch.no_grad()`; then the five lines of every training step. "
        "`loss.item()` is a float.",
    ],
    draw=draw_head_step,
    parts=[
        part(
            "several steps",
            weight=2,
            whole=False,
            steps=between(2, 3),
            b=between(4, 6),
            num_classes=between(2, 3),
            hidden=4,
        ),
        part("the optimizer holds both", weight=2, whole=True, steps=2, b=4, num_classes=3, hidden=3),
        part("one step", whole=one_of(False, True), steps=1, b=3, num_classes=2, hidden=5),
    ],
    own={"whole": False, "steps": 1, "b": 2, "num_classes": 2, "hidden": 2},
    own_says="A step of your own: whole, inputs, targets, the weights of backbone and head, the averages",
    atol=1e-4,
    mistakes={
        "The backbone is in training mode: its running averages move, and its features depend on the batch.": [
            edit("    backbone.eval()\n", ""),
            edit("backbone.eval()", "backbone.train()"),
        ],
        "A gradient reaches the backbone: compute its features under `torch.no_grad()`.": [
            edit("with torch.no_grad():\n        features = backbone(inputs)", "features = backbone(inputs)")
        ],
        "The head is not in training mode.": [edit("    head.train()\n", ""), edit("head.train()", "head.eval()")],
        "Gradients of earlier steps are added up: call `optimizer.zero_grad()`.": edit(
            "    optimizer.zero_grad()\n", ""
        ),
        "The head learns nothing: its logits are computed under `torch.no_grad()` or detached.": edit(
            "    optimizer.step()\n", "    optimizer.zero_grad()\n    optimizer.step()\n"
        ),
        "This is the loss after the step.": "return nn.functional.cross_entropy(head(features), targets).item()",
        "The cross-entropy gets probabilities. It takes logits.": edit(
            "(logits, targets)", "(logits.softmax(dim=1), targets)"
        ),
        "This is the sum over the mini-batch: the usual loss is its mean.": edit(
            "(logits, targets)", '(logits, targets, reduction="sum")'
        ),
    },
    praise="Not one number of the backbone has changed, running averages included.",
)


@right(stepping)
def with_inference_mode(backbone, head, optimizer, inputs, targets):
    modules = backbone.train(False), head.train(True)
    with torch.inference_mode():
        features = modules[0](inputs)
    optimizer.zero_grad(set_to_none=True)
    loss = nn.CrossEntropyLoss()(head(features.clone()), targets)
    loss.backward()
    optimizer.step()
    return float(loss)


# ---------------------------------------------------------------- a blank of the lesson
class LessonBlock(nn.Module):
    """relu(x + f(x)); f is Conv, BN, ReLU, Conv, BN."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        return (x + self.change(x)).relu()

    def change(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))


class NoSkip(LessonBlock):
    def forward(self, x):
        return self.change(x).relu()


class ReluBeforeSum(LessonBlock):
    def forward(self, x):
        return x + self.change(x).relu()


class TwoRelus(LessonBlock):
    def forward(self, x):
        return (x + self.change(x).relu()).relu()


class NoLastRelu(LessonBlock):
    def forward(self, x):
        return x + self.change(x)


class NoInnerRelu(LessonBlock):
    def change(self, x):
        return self.norm2(self.conv2(self.norm1(self.conv1(x))))


class NormedSkip(LessonBlock):
    def forward(self, x):
        return (self.norm2(x + self.conv2(self.norm1(self.conv1(x)).relu()))).relu()


BLOCK_MISTAKES = (
    (NoSkip, "The input is not added: the sum is x + f(x)."),
    (TwoRelus, "There are two ReLUs at the end: the branch ends with its second normalization, without one."),
    (ReluBeforeSum, "The last ReLU comes before the sum: put it after it."),
    (NoLastRelu, "The ReLU after the sum is missing."),
    (NoInnerRelu, "There is no ReLU between the two convolutions."),
    (NormedSkip, "The sum goes through the second normalization: add x after it."),
)


def judge_block(answer, reference):
    """Same parameters; same output and gradients with copied weights, in training mode."""
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        raise CheckFailed("Expected a class that inherits from `nn.Module`.")
    torch.manual_seed(0)
    right_one, made = reference(3), answer(3)
    want = {name: tuple(value.shape) for name, value in right_one.named_parameters()}
    have = {name: tuple(value.shape) for name, value in made.named_parameters()}
    if have != want:
        raise CheckFailed(f"Its parameters are {have}; expected {want}. Leave `__init__` as it is.")
    x = torch.randn(4, 3, 5, 5)
    given = x.clone()
    made.load_state_dict(right_one.state_dict())
    y, wanted = made(given), right_one(x)
    if not torch.equal(given, x):
        raise CheckFailed("The input was changed in place: write `x + change`, not `x += change`.")
    if not isinstance(y, torch.Tensor) or y.shape != wanted.shape:
        raise CheckFailed(f"Expected a tensor of the shape of the input, {tuple(wanted.shape)}.")
    if not torch.allclose(y, wanted, atol=1e-5):
        for kind, message in BLOCK_MISTAKES:
            other = kind(3)
            other.load_state_dict(answer(3).state_dict() | dict(right_one.named_parameters()), strict=False)
            if torch.allclose(y, other(x), atol=1e-5):
                raise CheckFailed(message)
        raise CheckFailed("The output is not relu(x + f(x)), with f as Conv, BN, ReLU, Conv, BN.")
    wanted.square().sum().backward()
    y.square().sum().backward()
    for name, parameter in right_one.named_parameters():
        gradient = dict(made.named_parameters())[name].grad
        if gradient is None or not torch.allclose(gradient, parameter.grad, atol=1e-3):
            raise CheckFailed(f"The output is right, but the gradient does not reach `{name}`. Is something detached?")


@blank(
    "vision.blank.3",
    title="The residual block",
    value=True,
    judge=judge_block,
    mistakes=[(lambda kind=kind: kind, message) for kind, message in BLOCK_MISTAKES],
)
def residual_block():
    return LessonBlock
