"""A convolution that pads as Keras does, and a network for pictures of any size, as PyTorch modules."""

import torch
from torch import nn

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, one_of, part, right, says


# ---------------------------------------------------------------- 4
class SameConv(nn.Module):
    """Pictures (b, c, h, w) → (b, o, ⌈h/s⌉, ⌈w/s⌉), padded as Keras pads for "same"."""

    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride)
        self.kernel_size = kernel_size
        self.stride = stride

    def sides(self, size):
        out = -(-size // self.stride)  # ⌈size / stride⌉
        total = max((out - 1) * self.stride + self.kernel_size - size, 0)
        before = total // 2
        return before, total - before

    def forward(self, x):
        top, bottom = self.sides(x.shape[2])
        left, right = self.sides(x.shape[3])
        padded = nn.functional.pad(x, (left, right, top, bottom))
        return self.conv(padded)


def use_same_conv(probe, answer, in_channels, out_channels, kernel_size, stride, x, weights):
    """Output and gradients with copied weights."""
    model = answer(in_channels, out_channels, kernel_size, stride)
    for parameters in probe.load_ways(model, weights):
        maps = model(probe.tensor(x))
        yield {"the maps": probe.output(maps), **probe.gradients(maps, parameters)}


def draw_same_conv(g, b, h, w, kernel_size, stride, c=None):
    c, o = c or int(g.integers(1, 4)), int(g.integers(1, 4))
    x = g.normal(size=(b, c, h, w)).round(2)
    weights = drawn_weights(g, {"conv.weight": (o, c, kernel_size, kernel_size), "conv.bias": (o,)})
    return c, o, kernel_size, stride, x, weights


same_conv = exercise(
    "cnn.4",
    SameConv,
    framework="torch",
    use=use_same_conv,
    title="Pad as Keras does",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            'A network was trained in Keras, with `padding="same"` and strides. To run its weights in PyTorch you need the '
            'same padding, and PyTorch refuses `padding="same"` with a stride.'
        ),
        says(
            "**Write** the class `SameConv(in_channels, out_channels, kernel_size, stride)`, an `nn.Module` that convolves "
            "pictures (b, c, h, w) with a square kernel and a bias.",
            mistake="no bias",
        ),
        says(
            "Its output has the size ⌈h/stride⌉ × ⌈w/stride⌉, rounded **up**.",
            mistake="number of outputs is rounded down",
        ),
        says(
            "Along an axis of n pixels with o outputs, the padding needed in all is (o − 1) · stride + kernel_size − n,",
            mistake="on both sides whatever the size",
        ),
        says(
            "but never below 0: where a stride is larger than its kernel, pixels at the end are left out.",
            mistake="Negative padding cuts",
        ),
        says(
            "Half of it, rounded down, goes before the first pixel, the rest after the last;",
            mistake="odd zero goes before the first",
        ),
        says("height and width are counted each by itself.", mistake="the height's padding"),
        says("The padding is of zeros.", mistake="border's own values"),
        context("The check copies weights into your layer, whatever it is called, and compares outputs and gradients."),
        example("""
row = torch.arange(6.0).reshape(1, 1, 1, 6)  # six pixels, stride 2, kernel 3
out = 3
total = (out - 1) * 2 + 3 - 6
print("padding in all", total, " before", total // 2, " after", total - total // 2)
print("padded", nn.functional.pad(row, (0, 1, 0, 0))[0, 0, 0].tolist())
"""),
        context("So the kernel's middle meets the pixels 1, 3 and 5, as in the lesson."),
    ],
    hints=[
        "The size of a picture is known only in `forward`. What does a small function need to give (before, after) for one "
        "axis?",
        "`nn.functional.pad(x, (left, right, top, bottom))` begins with the **last** axis. The convolution itself gets no "
        "padding.",
    ],
    draw=draw_same_conv,
    parts=[
        part("even sizes, stride 2", weight=2, b=2, h=6, w=4, kernel_size=3, stride=2),
        part("odd sizes, stride 2", b=1, h=5, w=7, kernel_size=3, stride=2),
        part("one even, one odd", b=2, h=6, w=5, kernel_size=one_of(3, 5), stride=2),
        part("even kernels", b=1, h=between(4, 7), w=between(4, 7), kernel_size=one_of(2, 4), stride=one_of(1, 2)),
        part("no stride", b=2, h=between(3, 6), w=between(3, 6), kernel_size=one_of(3, 5), stride=1),
        part("a stride larger than the kernel", b=1, h=5, w=8, kernel_size=1, stride=3),
        part("a stride of 3", b=1, h=between(5, 8), w=between(5, 8), kernel_size=one_of(3, 5), stride=3),
    ],
    own={"b": 1, "h": 4, "w": 6, "kernel_size": 3, "stride": 2, "c": 1},
    own_says="Sizes and pictures of your own: in_channels, out_channels, kernel_size, stride, x",
    mistakes={
        "The odd zero goes before the first pixel in your layer, as with half a kernel on both sides whatever the size: "
        "Keras puts the smaller half there, and with a stride it pads less.": [
            "before = total - total // 2",
            edit("return before, total - before", "return self.kernel_size // 2, self.kernel_size // 2"),
        ],
        "All of the padding goes behind the last pixel: half of it, rounded down, belongs before the first.": (
            "before = 0 * total"
        ),
        "All of the padding goes before the first pixel: only half of it, rounded down, belongs there.": "before = total",
        "Negative padding cuts pixels off at the front. Where nothing is needed, the padding is 0.": (
            "total = (out - 1) * self.stride + self.kernel_size - size"
        ),
        "The number of outputs is rounded down: Keras rounds up, ⌈h/stride⌉.": "out = max(size // self.stride, 1)",
        "You exchanged the sides: `nn.functional.pad` takes the last axis first, (left, right, top, bottom).": edit(
            "(left, right, top, bottom)", "(top, bottom, left, right)"
        ),
        "You used the height's padding for the width, too. Each axis is counted by itself.": (
            "left, right = self.sides(x.shape[2])"
        ),
        "You used the width's padding for the height, too. Each axis is counted by itself.": (
            "top, bottom = self.sides(x.shape[3])"
        ),
        "You padded with the border's own values: Keras pads with zeros.": edit(
            "(left, right, top, bottom))", "(left, right, top, bottom), mode='replicate')"
        ),
        "Nothing is padded.": "padded = x",
        "Your convolution has no bias.": edit("kernel_size, stride)\n", "kernel_size, stride, bias=False)\n"),
        "Your convolution does not use the stride.": edit("kernel_size, stride)\n", "kernel_size)\n"),
        "There is an activation function behind your convolution: return the maps as they are.": (
            edit("return self.conv(padded)", "return self.conv(padded).relu()")
        ),
    },
    praise="Now weights from Keras give Keras's numbers. The pretrained network of the lesson is padded just so.",
)


@right(same_conv)
class SameByLayers(nn.Module):
    """A subclass of nothing but modules, padding as a layer made in forward."""

    def __init__(self, in_channels, out_channels, kernel_size, stride):
        super().__init__()
        self.layer = nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=0)

    def forward(self, x):
        k, s = self.layer.kernel_size[0], self.layer.stride[0]
        pads = []
        for n in (x.size(3), x.size(2)):
            needed = k - s if n % s == 0 else k - n % s
            needed = max(needed, 0)
            pads += [needed // 2, (needed + 1) // 2]
        return self.layer(nn.ZeroPad2d(tuple(pads))(x))


# ---------------------------------------------------------------- 5
class Cnn(nn.Module):
    """Pictures (b, in_channels, h, w) of any size → logits (b, num_classes)."""

    def __init__(self, in_channels, channels, num_classes):
        super().__init__()
        sizes = [in_channels, *channels]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, x):
        for number, conv in enumerate(self.convs):
            if number > 0:
                x = nn.functional.max_pool2d(x, 2)
            x = torch.relu(conv(x))
        features = x.amax(dim=(2, 3))  # (b, channels[-1])
        logits = self.head(features)
        return logits


def use_cnn(probe, answer, in_channels, channels, num_classes, x, weights):
    """Output and gradients with copied weights."""
    model = answer(in_channels, channels, num_classes)
    for parameters in probe.load_ways(model, weights):
        logits = model(probe.tensor(x))
        yield {"the output": probe.output(logits), **probe.gradients(logits, parameters)}


def draw_cnn(g, b, h, w, depth, in_channels=1, width=0):
    channels = [width or int(g.integers(2, 6)) for _ in range(depth)]
    num_classes = int(g.integers(2, 5))
    x = g.normal(size=(b, in_channels, h, w)).round(2)
    sizes, shapes = [in_channels, *channels], {}
    for k, (a, d) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        shapes |= {f"convs.{k}.weight": (d, a, 3, 3), f"convs.{k}.bias": (d,)}
    shapes |= {"head.weight": (num_classes, sizes[-1]), "head.bias": (num_classes,)}
    return in_channels, channels, num_classes, x, drawn_weights(g, shapes)


cnn = exercise(
    "cnn.5",
    Cnn,
    framework="torch",
    use=use_cnn,
    title="A network for pictures of any size",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        says(
            "**Write** the class `Cnn(in_channels, channels, num_classes)`, an `nn.Module`, for pictures "
            "(b, in_channels, h, w).",
            mistake="in a plain list",
        ),
        says(
            "For each number in the list `channels` it has a 3 × 3 convolution with that many output channels and a bias,",
            mistake="no bias",
        ),
        says("padded with zeros so that the size stays,", mistake="maps shrink"),
        says("then ReLU.", mistake="no activation function"),
        says("*Between* two convolutions there is max pooling with 2 × 2 windows,", mistake="average pooling"),
        says("so none before the first", mistake="before the first convolution"),
        says("and none behind the last.", mistake="behind the last convolution"),
        says("Then a global **maximum** over all positions,", mistake="global mean"),
        says("and one linear layer gives `num_classes` logits.", mistake="softmax belongs to the loss"),
        says("Height and width may be anything that survives the pooling.", ignored="features = x[:, :, 0, 0]"),
        context(
            "Use `nn.Conv2d` and `nn.Linear`. The check copies weights into your layers, whatever they are called; it is "
            "simplest to create the layers in the order in which they are applied."
        ),
    ],
    hints=[
        "Which layers are there once, and which once per number of `channels`? The first group goes into `nn.ModuleList`.",
        "In `forward`, `enumerate` tells whether a convolution is the first one. `x.amax(dim=(2, 3))` is a global maximum.",
    ],
    draw=draw_cnn,
    parts=[
        part("two convolutions", weight=2, b=2, h=8, w=8, depth=2),
        part("three convolutions", b=2, h=8, w=8, depth=3),
        part("convolutions of one width", b=1, h=8, w=8, depth=3, width=3),
        part("color pictures", b=2, h=4, w=6, depth=2, in_channels=3),
        part("odd sizes", b=2, h=between(5, 7), w=7, depth=2),
        part("a single convolution", b=2, h=between(3, 5), w=4, depth=1),
        part("one picture", b=1, h=4, w=4, depth=2),
    ],
    own={"b": 1, "h": 4, "w": 4, "depth": 2},
    own_says="Sizes and pictures of your own: in_channels, channels, num_classes, x",
    mistakes={
        "Convolutions in a plain list are hidden from the module, their parameters too: use `nn.ModuleList`.": edit(
            "nn.ModuleList(", "list("
        ),
        "There is no activation function behind the convolutions.": edit("x = torch.relu(conv(x))", "x = conv(x)"),
        "Your maps shrink with each convolution: pad by 1 so that the size stays.": edit(", padding=1)", ")"),
        "You use average pooling between the convolutions: take the maximum.": edit("max_pool2d", "avg_pool2d"),
        "There is no pooling between the convolutions.": edit("if number > 0:", "if number < 0:"),
        "There is pooling before the first convolution: only *between* two of them.": edit(
            "if number > 0:", "if number >= 0:"
        ),
        "There is pooling behind the last convolution, where none belongs: sizes that are odd lose a row, and the "
        "statement has it only between two.": ("features = nn.functional.max_pool2d(x, 2).amax(dim=(2, 3))"),
        "You took the global mean: the statement says the maximum over all positions.": "features = x.mean(dim=(2, 3))",
        "The softmax belongs to the loss: `nn.CrossEntropyLoss` applies it to logits, and would apply it twice.": (
            "return logits.softmax(dim=1)"
        ),
        "You return log-probabilities. Return the logits themselves.": "return logits.log_softmax(dim=1)",
        "The logits pass a ReLU, so none is ever negative.": "return torch.relu(logits)",
        "Your convolutions have no bias.": edit("padding=1)", "padding=1, bias=False)"),
        "No gradient reaches the convolutions: the features were detached.": ("features = x.amax(dim=(2, 3)).detach()"),
    },
    praise="The same weights for any size of picture: that is what global pooling buys.",
)


@right(cnn)
class AsSequential(nn.Module):
    """One nn.Sequential."""

    def __init__(self, in_channels, channels, num_classes):
        super().__init__()
        layers, width = [], in_channels
        for number, size in enumerate(channels):
            layers += [nn.MaxPool2d(2)] if number else []
            layers += [nn.Conv2d(width, size, kernel_size=3, padding="same"), nn.ReLU()]
            width = size
        self.net = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(width, num_classes))

    def forward(self, x):
        return self.net(x)
