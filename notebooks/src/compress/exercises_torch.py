"""The exercises of lesson compress in PyTorch: a layer with quantized weights, a distillation step; two blanks."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
class QuantizedLinear(nn.Module):
    """A linear layer that computes with rounded weights, and learns as if they were not."""

    def __init__(self, num_inputs, num_outputs, bits):
        super().__init__()
        self.linear = nn.Linear(num_inputs, num_outputs)
        self.bits = bits

    def forward(self, x):
        weight = self.linear.weight
        largest = weight.detach().abs().amax(dim=1, keepdim=True)
        levels = 2 ** (self.bits - 1) - 1
        scale = largest / levels
        rounded = torch.round(weight / scale) * scale
        seen = weight + (rounded - weight).detach()
        bias = self.linear.bias
        return F.linear(x, seen, bias)


def use_layer(probe, answer, num_inputs, num_outputs, bits, x, weights):
    """The output, the gradients, and the weights themselves afterwards."""
    layer = answer(int(num_inputs), int(num_outputs), int(bits))
    plain = {name.split(".")[-1]: value for name, value in weights.items()}
    own = probe.is_module(layer) is None and {name for name, _ in layer.named_parameters()} == set(plain)
    for found in probe.load_ways(layer, plain if own else weights):  # parameters of its own do as well
        parameters = {name: found[name.split(".")[-1] if own else name] for name in weights}
        given = probe.tensor(x)
        output = layer(given)
        yield {"the output": probe.output(output), **probe.gradients(output, parameters)}


def draw_layer(g, b, num_inputs, num_outputs, bits):
    """Inputs and weights; the rows of the weight matrix differ in size."""
    weights = drawn_weights(g, {"linear.weight": (num_outputs, num_inputs), "linear.bias": (num_outputs,)})
    sizes = np.linspace(0.4, 2.5, num_outputs)[:, None].astype(np.float32)
    weights["linear.weight"] = weights["linear.weight"] * sizes
    return num_inputs, num_outputs, bits, g.normal(size=(b, num_inputs)).round(2).astype(np.float32), weights


layer = exercise(
    "compress.4",
    QuantizedLinear,
    framework="torch",
    use=use_layer,
    title="A layer that trains with rounding",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "**Write** the module `QuantizedLinear(num_inputs, num_outputs, bits)`, as quantization-aware training has it."
        ),
        says("It has the parameters of one `nn.Linear`, with a bias.", mistake="The bias"),
        says(
            "In `forward`, the weights are rounded: $s \\cdot \\mathrm{round}(w / s)$,", mistake="The weights are not"
        ),
        says("to the nearest, symmetric, no zero point,", mistake="to the nearest"),
        says("with $s = \\max|w| / (2^{b-1} - 1)$,", mistake="number of codes"),
        says("a scale for each output (each row of the weight).", mistake="one scale for all weights"),
        says("`bits` says how many codes there are.", mistake="Use `bits`"),
        says("The gradient goes straight through the rounding to the weights,", mistake="No gradient reaches"),
        says("and not through the scale.", mistake="not through the scale"),
        says("Inputs and outputs are not rounded.", mistake="Inputs"),
        example("""
w = torch.tensor([0.3, -1.2], requires_grad=True)
rounded = torch.round(w)
seen = w + (rounded - w).detach()
seen.sum().backward()
print(seen.detach(), w.grad)
"""),
    ],
    hints=[
        "`weight.detach().abs().amax(dim=1, keepdim=True)` is (outputs, 1).",
        "`seen = weight + (rounded - weight).detach()`: its value is `rounded`, its gradient that of `weight`. Then "
        "`F.linear(x, seen, bias)`.",
    ],
    draw=draw_layer,
    parts=[
        part("a few bits", weight=2, b=3, num_inputs=between(4, 6), num_outputs=3, bits=3),
        part("more bits", weight=2, b=between(2, 4), num_inputs=5, num_outputs=between(2, 4), bits=between(4, 6)),
        part("one output", b=2, num_inputs=4, num_outputs=1, bits=2),
        part("one sample", b=1, num_inputs=3, num_outputs=4, bits=between(2, 4)),
    ],
    own={"b": 1, "num_inputs": 2, "num_outputs": 2, "bits": 3},
    own_says="A layer of your own",
    mistakes={
        "No gradient reaches the weights: rounding has gradient 0. Let it go straight through.": [
            "seen = torch.round(weight / scale) * scale",
        ],
        "The gradient goes straight through to the weights, but not through the scale.": edit(
            "largest = weight.detach().abs().amax(dim=1, keepdim=True)\n"
            "        levels = 2 ** (self.bits - 1) - 1\n"
            "        scale = largest / levels\n"
            "        rounded = torch.round(weight / scale) * scale\n"
            "        seen = weight + (rounded - weight).detach()",
            "largest = weight.abs().amax(dim=1, keepdim=True)\n"
            "        levels = 2 ** (self.bits - 1) - 1\n"
            "        scale = largest / levels\n"
            "        steps = weight / scale\n"
            "        seen = (steps + (torch.round(steps) - steps).detach()) * scale\n"
            "        seen = seen + 0 * weight + (torch.round(steps) - steps).detach() * (scale - scale.detach())",
        ),
        "The weights are not rounded.": "seen = weight",
        "This is one scale for all weights: each output (row) has its own.": ("largest = weight.detach().abs().max()"),
        "The largest weight of each output: rows, not columns.": (
            "largest = weight.detach().abs().amax(dim=0, keepdim=True)"
        ),
        "Take the largest magnitude, not the largest value.": "largest = weight.detach().amax(dim=1, keepdim=True)",
        "Symmetric: divide by 2^(b−1) − 1, not by another number of codes.": [
            "levels = 2 ** (self.bits - 1)",
            "levels = 2**self.bits - 1",
        ],
        "Use `bits`: it is not always 8.": "levels = 127",
        "Round to the nearest, do not cut off.": [
            "rounded = torch.trunc(weight / scale) * scale",
            "rounded = torch.floor(weight / scale) * scale",
        ],
        "These are codes: multiply by the scale again.": "rounded = torch.round(weight / scale)",
        "The bias is missing.": "bias = None",
        "Inputs and outputs are not rounded.": [
            "return F.linear(torch.round(x), seen, bias)",
            "return torch.round(F.linear(x, seen, bias))",
        ],
    },
    praise="Put it in the place of each nn.Linear, train as usual, and round for good at the end.",
)


@right(layer)
class WithFunction(nn.Module):
    class Round(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            return value.round()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    def __init__(self, num_inputs, num_outputs, bits):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_outputs, num_inputs))
        self.bias = nn.Parameter(torch.empty(num_outputs))
        self.levels = 2**bits // 2 - 1

    def forward(self, x):
        s = self.weight.data.abs().max(dim=1).values[:, None] / self.levels
        return x @ (self.Round.apply(self.weight / s) * s).T + self.bias


# ---------------------------------------------------------------- 5
def distillation_step(student, teacher, optimizer, x, labels, temperature, alpha):
    """One step of distillation; the loss before it, as a number."""
    teacher.eval()
    with torch.no_grad():
        target = teacher(x)
    logits = student(x)
    p = F.softmax(target / temperature, dim=-1)
    log_q = F.log_softmax(logits / temperature, dim=-1)
    soft = F.kl_div(log_q, p, reduction="batchmean")
    hard = F.cross_entropy(logits, labels)
    loss = (1 - alpha) * hard + alpha * temperature**2 * soft
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def use_step(probe, answer, d, classes, x, labels, temperature, alpha, weights):
    """The loss, the student afterwards, and what is left in the teacher."""
    torch = probe.torch
    nn = probe.torch.nn
    student = nn.Linear(d, classes)
    teacher = nn.Sequential(nn.BatchNorm1d(d), nn.Linear(d, classes))
    with torch.no_grad():
        student.weight.copy_(probe.tensor(weights["student.weight"]))
        student.bias.copy_(probe.tensor(weights["student.bias"]))
        teacher[1].weight.copy_(probe.tensor(weights["teacher.weight"]))
        teacher[1].bias.copy_(probe.tensor(weights["teacher.bias"]))
        teacher[0].running_mean.add_(0.5)
        teacher[0].running_var.mul_(2.0)
    teacher.train()
    both = [*student.parameters(), *teacher.parameters()]
    optimizer = torch.optim.SGD(both, lr=0.5)
    for parameter in student.parameters():
        parameter.grad = torch.full_like(parameter, 0.3)
    before = teacher[1].weight.detach().clone()
    given = torch.as_tensor(np.array(labels), dtype=torch.int64)
    loss = answer(student, teacher, optimizer, probe.tensor(x), given, float(temperature), float(alpha))
    yield {
        "the loss": np.array(float(loss.detach() if torch.is_tensor(loss) else loss)),
        "the student's weights after the step": probe.array(student.weight),
        "the student's bias after the step": probe.array(student.bias),
        "the change of the teacher's weights": np.array(float((teacher[1].weight.detach() - before).abs().sum())),
        "whether the loss is a plain number": np.array(float(isinstance(loss, float))),
    }


def draw_step(g, b, d, classes, temperature, alpha):
    """A batch, labels of different classes, and weights."""
    shapes = {f"{name}.weight": (classes, d) for name in ("student", "teacher")}
    shapes |= {f"{name}.bias": (classes,) for name in ("student", "teacher")}
    weights = drawn_weights(g, shapes)
    weights["teacher.weight"] = weights["teacher.weight"] * 2
    labels = (np.arange(b) + int(g.integers(classes))) % classes
    return d, classes, g.normal(size=(b, d)).round(2).astype(np.float32), labels, temperature, alpha, weights


step = exercise(
    "compress.5",
    distillation_step,
    framework="torch",
    use=use_step,
    title="One step of distillation",
    points=3,
    difficulty=2,
    minutes=30,
    statement=[
        context(
            "`student` and `teacher` are modules from (b, d) to logits (b, C). **Write** `distillation_step(student, teacher, "
            "optimizer, x, labels, temperature, alpha)`: one training step of the student."
        ),
        says("The teacher runs in `eval()` mode,", mistake="eval()"),
        says("and no gradient reaches it: it must not learn.", mistake="teacher has changed"),
        says(
            "The loss is (1 − α) cross-entropy of the student's logits with the labels",
            mistake="labels' part",
        ),
        says("+ α T² KL(teacher ‖ student),", mistake="T² is missing"),
        says("the logits of both divided by the temperature,", mistake="Both"),
        says("summed over the classes, mean over the batch,", mistake="divides by the classes"),
        says("with the teacher's probabilities as the target (mind the order in `F.kl_div`).", mistake="order"),
        says("Clear old gradients, compute new ones,", mistake="Old gradients"),
        says("and step.", mistake="did not step"),
        says("Return the loss as a plain number.", mistake="plain number"),
        example("""
q, p = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
print("KL(p ‖ q):", F.kl_div(q.log(), p, reduction="batchmean").item())
"""),
    ],
    hints=[
        "`with torch.no_grad(): target = teacher(x)`, after `teacher.eval()`.",
        "`F.kl_div(log_q, p, reduction='batchmean')`: the student's log-probabilities, then the teacher's probabilities.",
    ],
    draw=draw_step,
    parts=[
        part("a batch", weight=2, b=between(4, 6), d=4, classes=3, temperature=2.0, alpha=0.6),
        part("a high temperature", weight=2, b=5, d=between(3, 5), classes=between(3, 4), temperature=4.0, alpha=0.8),
        part("temperature 1", b=4, d=3, classes=3, temperature=1.0, alpha=0.5),
        part("the teacher alone", b=between(3, 5), d=3, classes=4, temperature=3.0, alpha=1.0),
        part("the labels alone", b=4, d=3, classes=2, temperature=2.0, alpha=0.0),
    ],
    own={"b": 2, "d": 2, "classes": 2, "temperature": 2.0, "alpha": 0.5},
    own_says="A step of your own",
    mistakes={
        "The teacher ran in training mode: call `teacher.eval()` first, or its targets depend on the batch.": edit(
            "    teacher.eval()\n", ""
        ),
        "The teacher has changed: no gradient may reach it.": edit(
            "    with torch.no_grad():\n        target = teacher(x)\n", "    target = teacher(x)\n"
        ),
        "T² is missing.": edit(" * temperature**2", ""),
        "The factor is T², not T.": edit("temperature**2", "temperature"),
        "The order is the other one: `F.kl_div` takes the student's log-probabilities, then the teacher's "
        "probabilities.": ("soft = F.kl_div(p.log(), log_q.exp(), reduction='batchmean')"),
        "This mean divides by the classes as well: take `reduction='batchmean'`.": (
            "soft = F.kl_div(log_q, p, reduction='mean')"
        ),
        "This is a sum over the batch: take `reduction='batchmean'`.": "soft = F.kl_div(log_q, p, reduction='sum')",
        "`F.kl_div` wants the student's *logarithms*.": "log_q = F.softmax(logits / temperature, dim=-1)",
        "Both are divided by the temperature, the teacher's logits and the student's.": [
            "p = F.softmax(target, dim=-1)",
            "log_q = F.log_softmax(logits, dim=-1)",
        ],
        "The labels' part takes the student's logits as they are.": [
            "hard = F.cross_entropy(logits / temperature, labels)",
            "hard = F.cross_entropy(logits.softmax(dim=-1), labels)",
        ],
        "The parts of α and 1 − α are exchanged.": ("loss = alpha * hard + (1 - alpha) * temperature**2 * soft"),
        "Old gradients were still there: clear them with `optimizer.zero_grad()` before `backward`.": edit(
            "    optimizer.zero_grad()\n", ""
        ),
        "You did not step: the student's weights are as before.": edit("    optimizer.step()\n", ""),
        "Return the loss as a plain number: `loss.item()`.": "return loss",
    },
    praise="The optimizer held the teacher's weights, too, and still they did not move.",
)


@right(step)
def with_detach(student, teacher, optimizer, x, labels, temperature, alpha):
    goal = teacher.eval()(x).detach().div(temperature).softmax(1)
    out = student(x)
    log_q = out.div(temperature).log_softmax(1)
    kl = (goal * (goal.log() - log_q)).sum(1).mean()
    total = alpha * temperature**2 * kl - (1 - alpha) * out.log_softmax(1)[torch.arange(len(x)), labels].mean()
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    optimizer.step()
    return float(total.detach())


# ---------------------------------------------------------------- blanks of the lesson
def tensors():
    generator = torch.Generator().manual_seed(0)
    for scale, bits in ((0.5, 3), (0.02, 8), (0.3, 4), (1.0, 2)):
        yield torch.randn(40, generator=generator) * 2, scale, bits


def rounded_with(w, scale, bits, clip=True, levels=0, through=True, cut=torch.round):
    last = 2 ** (bits - 1) - 1 + levels
    inside = w.clamp(-last * scale, last * scale) if clip else w
    rounded = cut(inside / scale) * scale
    return inside + (rounded - inside).detach() if through else rounded


def same_rounding(theirs, ours):
    """Compares values and gradients on several tensors."""
    from mmcourse.check import CheckFailed

    for w, scale, bits in tensors():
        one, two = (w.clone().requires_grad_() for _ in range(2))
        found, wanted = theirs(one, scale, bits), ours(two, scale, bits)
        if not isinstance(found, torch.Tensor) or found.shape != wanted.shape:
            raise CheckFailed("Return a tensor of the shape of `w`.")
        if not torch.allclose(found, wanted, atol=1e-6):
            last = 2 ** (bits - 1) - 1
            if found.abs().max() > last * scale + 1e-6:
                raise CheckFailed("Clip: the largest code is 2^(bits − 1) − 1.")
            raise CheckFailed("These are not the nearest codes times the scale.")
        if not found.requires_grad:
            raise CheckFailed("No gradient reaches `w` at all.")
        weights = torch.arange(1.0, w.numel() + 1)
        (gradient,) = torch.autograd.grad((found * weights).sum(), one, allow_unused=True)
        (expected,) = torch.autograd.grad((wanted * weights).sum(), two)
        if gradient is None or not gradient.abs().sum():
            raise CheckFailed("The gradient is 0: let it go straight through the rounding.")
        if not torch.allclose(gradient, expected):
            raise CheckFailed("Where `w` was clipped, the gradient is 0; elsewhere it goes straight through.")


@blank(
    "compress.blank.4",
    title="Straight through",
    judge=same_rounding,
    mistakes=[
        (lambda w, s, b: rounded_with(w, s, b, clip=False), "Clip: the largest code"),
        (lambda w, s, b: rounded_with(w, s, b, levels=1), "Clip: the largest code"),
        (lambda w, s, b: rounded_with(w, s, b, through=False), "The gradient is 0"),
        (lambda w, s, b: rounded_with(w, s, b, cut=torch.trunc), "not the nearest codes"),
        (lambda w, s, b: w + (rounded_with(w, s, b) - w).detach(), "Where `w` was clipped"),
        (lambda w, s, b: rounded_with(w, s, b).detach(), "No gradient reaches"),
        (lambda w, s, b: w, "Clip: the largest code"),
    ],
)
def fake_quantized(w, scale, bits):
    return rounded_with(w, scale, bits)


def batches():
    generator = torch.Generator().manual_seed(1)
    for b, classes, temperature, alpha in ((4, 3, 2.0, 0.9), (3, 5, 4.0, 0.4), (1, 3, 3.0, 1.0), (5, 2, 1.5, 0.2)):
        student, teacher = (torch.randn(b, classes, generator=generator) * k for k in (1.5, 3.0))
        yield student, teacher, torch.arange(b) % classes, temperature, alpha


def kd(student, teacher, labels, T=2.0, alpha=0.9, square=2, reduction="batchmean", swap=False, hot=(True, True)):
    p = F.softmax(teacher / (T if hot[0] else 1), dim=-1)
    log_q = F.log_softmax(student / (T if hot[1] else 1), dim=-1)
    soft = F.kl_div(p.log(), log_q.exp(), reduction=reduction) if swap else F.kl_div(log_q, p, reduction=reduction)
    return (1 - alpha) * F.cross_entropy(student, labels) + alpha * T**square * soft


@blank(
    "compress.blank.5",
    title="The distillation loss",
    inputs=batches,
    mistakes=[
        (lambda *a: kd(*a, square=0), "T² is missing."),
        (lambda *a: kd(*a, square=1), "The factor is T², not T."),
        (lambda *a: kd(*a, reduction="mean"), "This mean divides by the classes as well: “batchmean”."),
        (lambda *a: kd(*a, swap=True), "The KL divergence is the other way round."),
        (lambda *a: kd(*a, hot=(False, True)), "Divide the teacher's logits by T as well."),
        (lambda *a: kd(*a, hot=(True, False)), "Divide the student's logits by T as well."),
        (
            lambda s, t, y, T=2.0, alpha=0.9: kd(s, t, y, T, 1 - alpha),
            "α belongs to the teacher's part, 1 − α to the labels'.",
        ),
    ],
)
def distillation_loss(student, teacher, labels, T=2.0, alpha=0.9):
    return kd(student, teacher.detach(), labels, T, alpha)
