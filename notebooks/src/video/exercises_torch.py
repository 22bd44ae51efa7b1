"""The exercises of lesson video in PyTorch: space then time, and attention along time that knows the order."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
class SpaceThenTime(nn.Module):
    """(2+1)D: films (b, t, in_channels, h, w) → (b, t, out_channels, ⌈h / 2⌉, ⌈w / 2⌉)."""

    def __init__(self, in_channels, mid, out_channels):
        super().__init__()
        self.space = nn.Conv3d(in_channels, mid, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.time = nn.Conv3d(mid, out_channels, (3, 1, 1), stride=(1, 1, 1), padding=(1, 0, 0))

    def forward(self, x):
        x = x.transpose(1, 2)
        h = self.space(x)
        seen = F.relu(h)
        y = self.time(seen)
        return y.transpose(1, 2)


def use_block(probe, answer, in_channels, mid, out_channels, x, weights):
    """The output and the gradients of the weights."""
    module = answer(in_channels, mid, out_channels)
    probe.is_module(module)
    for parameters in probe.load_ways(module, weights):
        y = module(probe.tensor(x))
        yield {"the output": probe.output(y), **probe.gradients(y.square(), parameters)}


def draw_block(g, b, t, in_channels, mid, out_channels, h, w):
    shapes = {
        "space.weight": (mid, in_channels, 1, 3, 3),
        "space.bias": (mid,),
        "time.weight": (out_channels, mid, 3, 1, 1),
        "time.bias": (out_channels,),
    }
    x = g.normal(size=(b, t, in_channels, h, w)).round(2).astype(np.float32)
    return in_channels, mid, out_channels, x, drawn_weights(g, shapes)


block = exercise(
    "video.4",
    SpaceThenTime,
    framework="torch",
    use=use_block,
    title="Space, then time",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "The course's loader gives films as (b, t, c, h, w): frames first, channels within each frame. `nn.Conv3d` takes "
            "(b, c, t, h, w)."
        ),
        context(
            "**Write** the class `SpaceThenTime(in_channels, mid, out_channels)`, an `nn.Module` with two `nn.Conv3d`."
        ),
        says(
            "It takes `x` (b, t, in_channels, h, w): change places of two axes, do not reshape.", mistake="You reshape"
        ),
        says(
            "`space`, from in_channels to mid channels: a kernel of 1 × 3 × 3, a stride of 2 in height and width,",
            mistake="stride of 2 in height",
        ),
        says("of 1 in time,", mistake="stride in time"),
        says("and one row of zeros on each side in height and width only.", mistake="frames of zeros"),
        says("Then ReLU.", mistake="ReLU between"),
        says("`time`, from mid to out_channels: a kernel of 3 × 1 × 1,", mistake="looks at one frame"),
        says("with a frame of zeros at either end, so that no frame is lost,", mistake="Frames are lost"),
        says("and nothing after it.", mistake="after the second"),
        says("Return frames first again: (b, t, out_channels, ⌈h / 2⌉, ⌈w / 2⌉).", mistake="frames first"),
        example("""
layer = nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1))
print("weights:", tuple(layer.weight.shape))
"""),
    ],
    hints=[
        "`x.transpose(1, 2)` before the first convolution and after the second.",
        "`nn.Conv3d(in_channels, mid, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))`, then `nn.Conv3d(mid, out_channels, "
        "(3, 1, 1), padding=(1, 0, 0))`.",
    ],
    draw=draw_block,
    parts=[
        part(
            "several films", weight=2, b=between(2, 3), t=between(5, 6), in_channels=3, mid=4, out_channels=5, h=6, w=8
        ),
        part("odd sizes", b=2, t=4, in_channels=2, mid=between(3, 5), out_channels=3, h=5, w=7),
        part("one film", b=1, t=between(3, 5), in_channels=3, mid=2, out_channels=between(2, 4), h=4, w=4),
        part("as many frames as channels", b=2, t=3, in_channels=3, mid=3, out_channels=3, h=4, w=6),
        part("one frame", b=2, t=1, in_channels=2, mid=3, out_channels=2, h=4, w=4),
    ],
    own={"b": 1, "t": 3, "in_channels": 1, "mid": 1, "out_channels": 1, "h": 2, "w": 3},
    own_says="A film of your own",
    mistakes={
        "You reshape (b, t, c, …) to (b, c, t, …): that mixes frames and channels. Let the two axes change places.": (
            "x = x.reshape(x.shape[0], x.shape[2], x.shape[1], *x.shape[3:])"
        ),
        "Frames first: the output is (b, t, out_channels, …).": "return y",
        "The output is reshaped to frames first; let the two axes change places.": (
            "return y.reshape(y.shape[0], y.shape[2], y.shape[1], *y.shape[3:])"
        ),
        "The stride of 2 in height and width is missing.": edit("stride=(1, 2, 2)", "stride=(1, 1, 1)"),
        "There is a stride in time: each frame is wanted.": [
            edit("stride=(1, 2, 2)", "stride=(2, 2, 2)"),
            edit("stride=(1, 1, 1)", "stride=(2, 1, 1)"),
        ],
        "The first convolution adds frames of zeros: its zeros are in height and width only.": edit(
            "padding=(0, 1, 1)", "padding=(1, 1, 1)"
        ),
        "The first convolution has no zeros around height and width.": edit("padding=(0, 1, 1)", "padding=(0, 0, 0)"),
        "Frames are lost at the ends: the second convolution needs a frame of zeros at either end.": edit(
            "padding=(1, 0, 0)", "padding=(0, 0, 0)"
        ),
        "The ReLU between the two is missing.": "seen = h",
        "This is GELU; ReLU is wanted.": "seen = F.gelu(h)",
        "Nothing comes after the second convolution: no ReLU there.": "y = F.relu(self.time(seen))",
        "The second convolution looks at one frame only: its middle weight alone.": (
            "y = F.conv3d(seen, self.time.weight[:, :, 1:2], self.time.bias)"
        ),
    },
    praise="With a batch norm behind each convolution, this is a block of R(2+1)D.",
)


@right(block)
class FrameByFrame(nn.Module):
    """The same with a 2-D convolution of all frames, and a 1-D one of all positions."""

    def __init__(self, i, m, o):
        super().__init__()
        self.space = nn.Conv3d(i, m, (1, 3, 3))
        self.time = nn.Conv3d(m, o, (3, 1, 1))

    def forward(self, x):
        b, t = x.shape[:2]
        frames = F.conv2d(x.flatten(0, 1), self.space.weight[:, :, 0], self.space.bias, 2, 1).relu()
        m, h, w = frames.shape[1:]
        rows = frames.view(b, t, m, h * w).permute(0, 3, 2, 1).reshape(b * h * w, m, t)
        y = F.conv1d(rows, self.time.weight[..., 0, 0], self.time.bias, padding=1)
        return y.view(b, h, w, -1, t).permute(0, 4, 3, 1, 2)


# ---------------------------------------------------------------- 5
class FrameAttention(nn.Module):
    """Attention along time with positions: (b, t, n, dim) → (b, t, n, dim)."""

    def __init__(self, dim, num_heads, max_frames):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(max_frames, dim))
        self.attention = nn.MultiheadAttention(dim, num_heads, batch_first=True)

    def forward(self, x):
        b, t, n, d = x.shape
        h = x + self.positions[:t, None]
        rows = h.transpose(1, 2).reshape(b * n, t, d)
        y, _ = self.attention(rows, rows, rows)
        y = y.reshape(b, n, t, d).transpose(1, 2)
        return h + y


def use_attention(probe, answer, dim, num_heads, max_frames, x, order, weights):
    """The output, what it makes of the frames in another order, and gradients."""
    module = answer(dim, num_heads, max_frames)
    probe.is_module(module)
    for parameters in probe.load_ways(module, weights):
        y = module(probe.tensor(x))
        other = module(probe.tensor(np.ascontiguousarray(x[:, order])))
        slopes = probe.gradients(y.square(), parameters)
        for name, slope in slopes.items():
            if name.endswith("in_proj_bias"):  # a bias of all keys changes nothing: its gradient is only rounding
                slope[dim : 2 * dim] = 0
        yield {
            "the output": probe.output(y),
            "the output for the frames in another order": probe.output(other),
            **slopes,
        }


def draw_attention(g, b, t, n, dim, num_heads, max_frames):
    weights = drawn_weights(
        g,
        {
            "positions": (max_frames, dim),
            "attention.in_proj_weight": (3 * dim, dim),
            "attention.in_proj_bias": (3 * dim,),
            "attention.out_proj.weight": (dim, dim),
            "attention.out_proj.bias": (dim,),
        },
    )
    weights["positions"] = weights["positions"] * 3
    x = g.normal(size=(b, t, n, dim)).round(2).astype(np.float32)
    order = np.roll(np.arange(t), 1)
    return dim, num_heads, max_frames, x, order, weights


attention = exercise(
    "video.5",
    FrameAttention,
    framework="torch",
    use=use_attention,
    title="Attention that knows the order",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context("`x` (b, t, n, dim) holds n positions of each of t frames of b films."),
        context(
            "**Write** the class `FrameAttention(dim, num_heads, max_frames)`, an `nn.Module` with one parameter `positions` "
            "(max_frames, dim) and one `nn.MultiheadAttention`, `attention`, with `batch_first=True`."
        ),
        says("First add to each frame its row of `positions`, the same for all places in it:", mistake="order is lost"),
        says("frame 0 gets row 0. A film may have fewer frames than max_frames.", mistake="first rows"),
        says("Then each place attends to the same place in all frames", mistake="within each frame"),
        says("of the same film: let two axes change places before you reshape.", mistake="mixes frames and places"),
        says("It also attends to its own frame, and to frames that come later.", mistake="later"),
        says("Bring the result back to (b, t, n, dim)", mistake="back"),
        says("and add what went into the attention, positions included.", mistake="positions included; yours"),
        example("""
positions = torch.arange(6.0).reshape(3, 2)
print("for frames 0 and 1, any place:", tuple(positions[:2, None].shape))
"""),
    ],
    hints=[
        "`h = x + self.positions[:t, None]`: (t, 1, dim) is added at every place. Rows for the attention: (b·n, t, dim).",
        "`h.transpose(1, 2).reshape(b * n, t, d)`; and back: `y.reshape(b, n, t, d).transpose(1, 2)`.",
    ],
    draw=draw_attention,
    parts=[
        part("several films", weight=2, b=2, t=between(4, 5), n=3, dim=4, num_heads=2, max_frames=5),
        part(
            "fewer frames than positions",
            weight=2,
            b=2,
            t=3,
            n=2,
            dim=between(3, 4),
            num_heads=1,
            max_frames=between(5, 7),
        ),
        part("as many frames as places", b=2, t=4, n=4, dim=4, num_heads=2, max_frames=4),
        part("one place", b=between(1, 2), t=4, n=1, dim=6, num_heads=3, max_frames=6),
        part("one frame", b=2, t=1, n=3, dim=4, num_heads=2, max_frames=4),
    ],
    own={"b": 1, "t": 3, "n": 2, "dim": 2, "num_heads": 1, "max_frames": 3},
    own_says="Frames of your own",
    mistakes={
        "Without positions the order is lost: add each frame its row.": "h = x + 0 * self.positions[:t, None]",
        "A film of t frames gets the first rows of `positions`, frame 0 row 0.": (
            "h = x + self.positions[self.positions.shape[0] - t :, None]"
        ),
        "Two axes must change places before you reshape: yours mixes frames and places.": (
            "rows = h.reshape(b * n, t, d)"
        ),
        "On the way back the two axes must change places again.": "y = y.reshape(b, t, n, d)",
        "The places attend to each other within each frame: attention along time is wanted.": (
            lambda dim, num_heads, max_frames: _within_frames(dim, num_heads, max_frames)
        ),
        "Every place of every frame attends to all others: only the same place is wanted.": (
            lambda dim, num_heads, max_frames: _all_to_all(dim, num_heads, max_frames)
        ),
        "Add what went into the attention; nothing is added in yours.": "return y",
        "Add what went into the attention, positions included; yours adds x alone.": "return x + y",
        "A frame may look at frames that come later, too: no causal mask.": (
            "y, _ = self.attention(rows, rows, rows, attn_mask=torch.ones(t, t).triu(1).bool())"
        ),
        "Queries and keys have positions, and so have the values: all three are the same rows.": (
            "y, _ = self.attention(rows, rows, x.transpose(1, 2).reshape(b * n, t, d))"
        ),
        "`batch_first=True` is missing: yours attends among places.": edit(", batch_first=True", ""),
    },
    praise="Half of a TimeSformer block; the other half attends within each frame.",
)


class _Other(FrameAttention):
    def shape(self, h):
        return h.flatten(0, 1)

    def forward(self, x):
        h = x + self.positions[: x.shape[1], None]
        rows = self.shape(h)
        y, _ = self.attention(rows, rows, rows)
        return h + y.reshape(h.shape)


def _within_frames(dim, num_heads, max_frames):
    return _Other(dim, num_heads, max_frames)


class _Joint(_Other):
    def shape(self, h):
        return h.flatten(1, 2)


def _all_to_all(dim, num_heads, max_frames):
    return _Joint(dim, num_heads, max_frames)


@right(attention)
class PlaceByPlace(nn.Module):
    """The same, one place after the other."""

    def __init__(self, d, heads, most):
        super().__init__()
        self.positions = nn.Parameter(torch.randn(most, d))
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)

    def forward(self, x):
        where = self.positions[: x.size(1)]
        made = []
        for p in range(x.size(2)):
            h = x[:, :, p] + where
            made.append(h + self.attention(h, h, h, need_weights=False)[0])
        return torch.stack(made, 2)


# ---------------------------------------------------------------- the lesson's blanks
def films_and_kernels():
    g = torch.Generator().manual_seed(0)
    sizes = (((2, 3, 5, 6, 5), (4, 3, 3, 3, 2)), ((1, 1, 3, 4, 4), (2, 1, 3, 2, 2)), ((1, 2, 4, 3, 3), (2, 2, 1, 3, 3)))
    for size, kernel in sizes:
        yield torch.randn(size, generator=g), torch.randn(kernel, generator=g)
    yield torch.randn(1, 1, 6, 3, 3, generator=g), torch.randn(1, 1, 2, 3, 3, generator=g)


def conv3d_with(x, w, still=False, dim=2):
    kt, frames = w.shape[2], []
    for i in range(x.shape[2] - kt + 1):
        parts = [F.conv2d(x[:, :, i if still else i + k], w[:, :, k]) for k in range(kt)]
        frames.append(sum(parts))
    return torch.stack(frames, dim=dim)


@blank(
    "video.blank.3",
    title="A 3-D convolution",
    inputs=films_and_kernels,
    mistakes=[
        (
            lambda x, w: conv3d_with(x, w.flip(2)),
            "Your kernel runs backwards in time: frame i + k meets kernel k.",
        ),
        (
            lambda x, w: conv3d_with(x, w, still=True),
            "All of your kernels look at the same frame: kernel k looks at frame i + k.",
        ),
        (
            lambda x, w: F.conv2d(x[:, :, 0], w[:, :, 0])[:, :, None].repeat(1, 1, x.shape[2] - w.shape[2] + 1, 1, 1),
            "This is one frame, again and again.",
        ),
        (lambda x, w: conv3d_with(x, w, dim=1), "The frames belong on axis 2, behind the channels."),
        (lambda x, w: conv3d_with(x, w) / w.shape[2], "The parts are added up, not averaged."),
    ],
)
def conv3d(x, w):
    return conv3d_with(x, w)


def batches_of_tokens():
    g = torch.Generator().manual_seed(1)
    for size in ((2, 3, 4, 2), (1, 2, 3, 1), (2, 3, 3, 2), (3, 1, 2, 2)):
        yield (torch.randn(size, generator=g),)


@blank(
    "video.blank.4",
    title="Rows along time",
    inputs=batches_of_tokens,
    mistakes=[
        (
            lambda x: x.reshape(x.shape[0] * x.shape[2], x.shape[1], x.shape[3]),
            "`reshape` alone mixes frames and positions: let the two axes change places first.",
        ),
        (
            lambda x: x.permute(2, 0, 1, 3).reshape(-1, x.shape[1], x.shape[3]),
            "Your rows are sorted by position, then film: film first.",
        ),
        (
            lambda x: x.reshape(x.shape[0] * x.shape[1], x.shape[2], x.shape[3]),
            "These are rows of one frame each: along time is wanted.",
        ),
    ],
)
def to_rows(x):
    b, t, n, d = x.shape
    return x.transpose(1, 2).reshape(b * n, t, d)
