"""The exercises of lesson generation in PyTorch: a flow-matching loss with dropped labels, a FiLM block."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
def flow_loss(model, clean, labels, noise, t, dropped, num_classes):
    """The flow-matching loss of a mini-batch: clean and noise (b, c, h, w), labels (b,), t (b,), dropped bool (b,)."""
    column = t[:, None, None, None]
    x = column * clean + (1 - column) * noise
    given = torch.where(dropped, num_classes, labels)
    velocity = model(x, t, given)
    return F.mse_loss(velocity, clean - noise)


def use_flow(probe, answer, clean, labels, noise, t, dropped, num_classes, weights):
    """The loss, and the gradients of a small model that uses all three of its inputs."""
    nn = probe.nn

    class Velocity(nn.Module):
        def __init__(self, channels, rows):
            super().__init__()
            self.mix = nn.Conv2d(channels, channels, 3, padding=1)
            self.embedding = nn.Embedding(rows, channels)
            self.clock = nn.Linear(1, channels)

        def forward(self, x, t, labels):
            by_label = self.embedding(labels) + self.clock(t[:, None])
            return self.mix(x) + by_label[:, :, None, None]

    channels = clean.shape[1]
    model = Velocity(channels, int(num_classes) + 1)
    parameters = next(probe.load_ways(model, weights))
    arrays = [probe.tensor(x) for x in (clean, labels, noise, t)]
    loss = answer(model, *arrays, probe.torch.tensor(dropped), num_classes)
    yield {"the loss": probe.output(loss), **probe.gradients(loss, parameters)}


def draw_flow(g, b, channels, side, dropped, num_classes):
    clean, noise = g.normal(size=(2, b, channels, side, side)).round(2)
    labels = g.integers(0, num_classes, b)
    t = g.uniform(0.1, 0.9, b).round(2)
    if b > 1:
        t[:2] = 0.2, 0.75  # clearly different
    mask = {"some": np.arange(b) % 3 == 1, "none": np.zeros(b, bool), "all": np.ones(b, bool)}[dropped]
    shapes = {
        "mix.weight": (channels, channels, 3, 3),
        "mix.bias": (channels,),
        "embedding.weight": (num_classes + 1, channels),
        "clock.weight": (channels, 1),
        "clock.bias": (channels,),
    }
    return clean, labels, noise, t, mask, num_classes, drawn_weights(g, shapes)


flow = exercise(
    "generation.4",
    flow_loss,
    framework="torch",
    use=use_flow,
    title="The flow-matching loss",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`model(x, t, labels)` gives the velocity of noisy pictures x (b, c, h, w) at times t (b,), given labels (b,). It knows "
            "one label more than there are classes: number `num_classes` means *no label*."
        ),
        context(
            "**Write** `flow_loss(model, clean, labels, noise, t, dropped, num_classes)`. Everything random is given: `noise` as large "
            "as `clean`, the times `t` (b,), and `dropped` (b,), which says whose label the model does not get to see."
        ),
        says("Each picture has its own time:", mistake="one time for all"),
        says("x = t · clean + (1 − t) · noise.", mistake="t = 1 is the clean picture"),
        says("Where `dropped` is true, the label becomes `num_classes`,", mistake="never dropped"),
        says("elsewhere it stays.", mistake="all or none"),
        says("The model is called with x, t and these labels.", mistake="clean picture instead of x"),
        says("Its target is the velocity from noise to picture,", mistake="velocity of the line"),
        says("forwards.", mistake="turned round"),
        says("Return the *mean* squared error over everything.", mistake="sum"),
        example("""
t = torch.tensor([0.25, 0.75])
print("so that it multiplies pictures:", tuple(t[:, None, None, None].shape))
"""),
    ],
    hints=[
        "`t[:, None, None, None]` has the shape (b, 1, 1, 1). Along the straight line, dx/dt is `clean - noise` at every t.",
        "`torch.where(dropped, num_classes, labels)` takes the number where dropped is true.",
    ],
    draw=draw_flow,
    parts=[
        part("some labels dropped", weight=2, b=between(4, 6), channels=2, side=4, dropped="some", num_classes=3),
        part("no label dropped", b=3, channels=between(1, 3), side=3, dropped="none", num_classes=between(2, 5)),
        part("all labels dropped", b=4, channels=2, side=3, dropped="all", num_classes=4),
        part("one picture", b=1, channels=3, side=4, dropped="none", num_classes=2),
    ],
    own={"b": 2, "channels": 1, "side": 2, "dropped": "some", "num_classes": 2},
    own_says="A mini-batch of your own",
    mistakes={
        "You took one time for all: each picture has its own t.": [
            "column = t.mean()",
            "column = t[0]",
        ],
        "Here t = 1 is the clean picture and t = 0 the noise: yours is the other way round.": (
            "x = column * noise + (1 - column) * clean"
        ),
        "A straight line has no square roots: t · clean + (1 − t) · noise.": (
            "x = column.sqrt() * clean + (1 - column).sqrt() * noise"
        ),
        "The labels are never dropped: then guidance would later ask for a label that was never trained.": (
            "given = labels"
        ),
        "Labels are dropped one by one; yours are all or none.": [
            "given = torch.where(dropped.any(), num_classes, labels)",
            "given = torch.where(dropped.all(), num_classes, labels)",
        ],
        "Dropped and kept labels are exchanged.": "given = torch.where(dropped, labels, num_classes)",
        "A dropped label becomes 0 in yours, which is a class of its own: `num_classes` means no label.": (
            "given = torch.where(dropped, 0, labels)"
        ),
        "The model gets the clean picture instead of x.": "velocity = model(clean, t, given)",
        "The velocity is turned round: it goes from the noise to the picture, clean − noise.": (
            "return F.mse_loss(velocity, noise - clean)"
        ),
        "The target is the velocity of the line, clean − noise.": [
            "return F.mse_loss(velocity, clean)",
            "return F.mse_loss(velocity, noise)",
            "return F.mse_loss(velocity, clean - x)",
        ],
        "This is the sum: the mean over everything is wanted.": (
            'return F.mse_loss(velocity, clean - noise, reduction="sum")'
        ),
        "This is the absolute error; the squared one is wanted, since its minimum is a mean.": (
            "return F.l1_loss(velocity, clean - noise)"
        ),
    },
    praise="Call it in a loop with new noise, times and drops each time: that is the whole training of a flow.",
)


@right(flow)
def picture_by_picture(model, clean, labels, noise, t, dropped, num_classes):
    labels = labels.clone()
    labels[dropped] = num_classes
    x = noise + t.reshape(-1, 1, 1, 1) * (clean - noise)
    wrong = model(x, t, labels) - clean + noise
    return wrong.square().mean()


# ---------------------------------------------------------------- 5
class FiLMBlock(nn.Module):
    """Two convolutions with a residual connection; a condition scales and shifts between them: (b, c, h, w) → (b, c, h, w)."""

    def __init__(self, channels, condition_dim):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(condition_dim, 2 * channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x, condition):
        gamma, beta = self.film(condition)[:, :, None, None].chunk(2, dim=1)
        features = self.conv1(x)
        h = (1 + gamma) * features + beta
        active = F.silu(h)
        return x + self.conv2(active)


def use_block(probe, answer, channels, condition_dim, x, condition, weights):
    """Whether the new block passes its input on; then output and gradients with copied weights."""
    probe.seed(0)
    block = answer(channels, condition_dim)
    probe.is_module(block)
    x, condition = probe.tensor(x), probe.tensor(condition)
    fresh = probe.output(block(x, condition))
    for parameters in probe.load_ways(block, weights):
        y = block(x, condition)
        yield {"the output": probe.output(y), **probe.gradients(y, parameters), "the output of a new block": fresh}


def draw_block(g, b, channels, condition_dim, h, w):
    x = g.normal(size=(b, channels, h, w)).round(2)
    condition = g.normal(size=(b, condition_dim)).round(2)
    shapes = {
        "conv1.weight": (channels, channels, 3, 3),
        "conv1.bias": (channels,),
        "film.weight": (2 * channels, condition_dim),
        "film.bias": (2 * channels,),
        "conv2.weight": (channels, channels, 3, 3),
        "conv2.bias": (channels,),
    }
    return channels, condition_dim, x, condition, drawn_weights(g, shapes)


block = exercise(
    "generation.5",
    FiLMBlock,
    framework="torch",
    use=use_block,
    title="A block that listens to the caption",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "So a U-Net learns of the time and of the caption: in every block, a vector `condition` (b, condition_dim) scales and "
            "shifts each channel."
        ),
        context(
            "**Write** the class `FiLMBlock(channels, condition_dim)`, an `nn.Module`, called with `x` (b, channels, h, w) and "
            "`condition`. It has, in this order, `conv1`, `film` and `conv2`."
        ),
        says("`conv1` is a 3 × 3 convolution that keeps height and width.", mistake="height and width"),
        says("`film`, a linear layer, makes 2 · channels numbers of the condition:", mistake="condition has no effect"),
        says("the first half is γ, the second half is β.", mistake="first half is γ"),
        says("Channel by channel, what comes out of `conv1` becomes (1 + γ) · h + β.", mistake="1 + γ"),
        says("Then SiLU,", mistake="SiLU is missing"),
        says("after γ and β,", mistake="before γ and β"),
        says("then `conv2`, of the same kind.", mistake="`conv2` is missing"),
        says("The input x is added at the end.", mistake="residual connection"),
        says(
            "Weights and bias of `conv2` start at 0: a new block passes on its input.",
            mistake="start at 0",
        ),
        example("""
gamma, beta = torch.arange(4.0)[None].chunk(2, dim=1)
print("γ:", gamma.tolist(), "  β:", beta.tolist())
"""),
    ],
    hints=[
        "`self.film(condition)` is (b, 2 · channels). Give it two axes of size 1, `[:, :, None, None]`, then `.chunk(2, dim=1)`.",
        "`nn.init.zeros_(self.conv2.weight)`, the same for its bias, in `__init__`. `padding=1` keeps the size.",
    ],
    draw=draw_block,
    parts=[
        part("several pictures", weight=2, b=between(2, 3), channels=2, condition_dim=3, h=4, w=4),
        part("another shape", b=2, channels=between(2, 4), condition_dim=5, h=3, w=5),
        part("one picture", b=1, channels=3, condition_dim=between(1, 4), h=4, w=3),
    ],
    own={"b": 1, "channels": 2, "condition_dim": 2, "h": 2, "w": 2},
    own_says="A batch of your own",
    mistakes={
        "The convolutions keep height and width: `padding=1`.": edit(
            "return x + self.conv2(active)", "return x[:, :, 1:, 1:] + self.conv2(active)[:, :, 1:, 1:]"
        ),
        "The condition has no effect: γ and β come from `film`.": "h = features",
        "The first half is γ, the second half is β: yours are exchanged.": (
            "gamma, beta = self.film(condition)[:, :, None, None].chunk(2, dim=1)[::-1]"
        ),
        "The scale is 1 + γ, so that γ = 0 leaves everything as it is.": "h = gamma * features + beta",
        "Only the scale is used: β is missing.": "h = (1 + gamma) * features",
        "Only the shift is used: γ is missing.": "h = features + beta",
        "SiLU is missing.": "active = h",
        "This is ReLU; SiLU is wanted.": "active = F.relu(h)",
        "SiLU comes before γ and β in yours; it comes after them.": "active = (1 + gamma) * F.silu(features) + beta",
        "`conv2` is missing.": "return x + active + 0 * self.conv2(active)",
        "x itself is not added: the residual connection is missing.": "return self.conv2(active)",
        "What is added is x after `conv1`; x itself is meant.": "return features + self.conv2(active)",
        "Weights and bias of `conv2` start at 0, so that a new block passes on its input.": edit(
            "        nn.init.zeros_(self.conv2.weight)\n        nn.init.zeros_(self.conv2.bias)\n", ""
        ),
    },
    praise="The lesson's U-Net is seven of these, with norms.",
)


@right(block)
class ByHalves(nn.Module):
    """The same with slices, and another way to start at 0."""

    def __init__(self, c, d):
        super().__init__()
        self.first = nn.Conv2d(c, c, kernel_size=3, padding="same")
        self.to_film = nn.Linear(d, 2 * c)
        self.second = nn.Conv2d(c, c, kernel_size=3, padding="same")
        for p in self.second.parameters():
            p.data.zero_()
        self.c = c

    def forward(self, x, condition):
        film = self.to_film(condition).unsqueeze(-1).unsqueeze(-1)
        h = self.first(x)
        h = h + film[:, : self.c] * h + film[:, self.c :]
        return self.second(h * torch.sigmoid(h)) + x
