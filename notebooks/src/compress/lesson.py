# %% [markdown]
# # Compress: smaller, faster, and still right?
# *A trained model is not yet a product. You take the course's model out of PyTorch, round weights to 8 bits by hand, prune it, teach a student in its place, and ask at every step what changed: the answers, the time, the bytes.*
#
# {{budget}}
#
# **You will be able to**
# - export a model to a file that runs without PyTorch, and prove that it answers the same;
# - quantize by hand, and say where the error comes from;
# - say what decides whether int8 makes a model faster or slower, and measure it;
# - train with quantization, prune, and distill a student;
# - tell a real change from noise, and choose what to ship.
#
# **Before this:** [start_here](start_here.ipynb) (the model), [train_pytorch](train_pytorch.ipynb), [evaluate](evaluate.ipynb) (McNemar's test, intervals).
#
# **Time to read:** 75 minutes with the five blanks, then 145 for the [exercises](exercises/compress.ipynb).

# %% [markdown]
# ## 1 · An answer without PyTorch
#
# The model of the first lesson, as one file. `mmcourse.onnx` needs NumPy and a small program that runs such files, called ONNX Runtime; PyTorch is not even loaded.

# %%
import sys
from pathlib import Path

import numpy as np

from mmcourse import onnx
from mmcourse.datasets import data_dir, load, mood, results

test = load("mood", "test")
small = onnx.load_trimodal()
messages = [{m: test[i][m] for m in mood.MODALITIES} for i in range(3)]
probabilities = small.probabilities(messages)
for message, p in zip(messages, probabilities):
    said = small.classes[p.argmax()]
    print(f"{said:9} {p.max():.2f}   {message['words']}")
print(f"{small.path.name}: {small.path.stat().st_size / 1e3:.0f} kB")
print("PyTorch is loaded:", "torch" in sys.modules)
assert "torch" not in sys.modules

# %% [markdown]
# The same voices and faces go in as in the first lesson, and the same probabilities come out (to the sixth digit; section 4 shows it). The file is 402 kB. Could it be 150? 30? And what would it cost?

# %% [markdown]
# ## 2 · The question
#
# **Record three guesses.** You will measure all of them.

# %%
from mmcourse import widgets

int8_time = widgets.guess(
    "All layers of this model are written as 8-bit integers instead of 32-bit floats. "
    "On a processor with fast 8-bit instructions, one message then takes …",
    ["less time", "about the same time", "more time"],
)

# %%
most_harm = widgets.guess(
    "Which of these changes the most of the model's answers?",
    [
        "8-bit weights",
        "half of all weights set to 0",
        "a face read as blue-green-red instead of red-green-blue",
    ],
)

# %%
best_teacher = widgets.guess(
    "Teacher A is trained; teacher B knows the true probabilities. Two equal students "
    "see the same 300 messages. How much better is the student of B than that of A?",
    ["no better", "about 2 points better", "about 5 points better"],
)

# %% [markdown]
# ## 3 · The ladder
#
# From notebook to product a model climbs a ladder, and on each **rung** it is another program: other code, other number formats, other libraries. So on each rung we ask the same questions.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt

from mmcourse import draw, plot

canvas = draw.Canvas()
steps = [("PyTorch", "eager", "blue"), ("torch.export", "one graph", "blue")]
steps += [("ONNX", "one file", "orange"), ("ONNX Runtime", "runs it", "orange")]
steps += [("int8", "152 kB", "green"), ("student, int8", "smaller", "green")]
placed = []
for name, note, color in steps:
    part = draw.box(name, note=note, color=color)
    if placed:
        placed.append(canvas.place(part, right_of=placed[-1], gap=20))
        canvas.arrow(placed[-2], placed[-1])
    else:
        placed.append(canvas.place(part))
below = draw.box("pre-processing", note="pixels, frames, word ids", color="gray")
prepared = canvas.place(below, below=placed[0], gap=30)
canvas.arrow(prepared, placed[0])
draw.show(
    canvas,
    alt="Six boxes with arrows: PyTorch, torch.export, ONNX, ONNX Runtime, int8, a "
    "student in int8. Below the first, pre-processing: every rung stands on it.",
)

# %% [markdown]
# - **Largest difference** of the logits: is it rounding (0.000001), or something else?
# - **Agreement**: the share of messages with the same answer as before.
# - **Accuracy**, with an interval, and whether its *change* is beyond noise. Both models answer the same messages, so we look only at messages that exactly one of them gets right, and ask how surprising their split would be for a fair coin. That is McNemar's test, from lesson [evaluate](evaluate.ipynb).
#
# **Your turn (blank 1).** Ten messages, two models.
# <details><summary>Hint</summary>
#
# `(first == second).mean()`. Only the first is right where `(first == labels) & (second != labels)`.
# </details>


# %%
def compare(labels, first, second):
    """Agreement, how many only the first gets right, how many only the second."""
    # BEGIN SOLUTION
    agreement = (first == second).mean()
    only_first = ((first == labels) & (second != labels)).sum()
    only_second = ((second == labels) & (first != labels)).sum()
    return agreement, only_first, only_second
    # END SOLUTION


from mmcourse.check import check

compare = check("compress.blank.1", compare)
ten = np.array([0, 0, 1, 2, 2, 1, 0, 2, 1, 0])
before = np.array([0, 0, 1, 2, 2, 0, 0, 2, 2, 0])
after = np.array([0, 1, 1, 2, 2, 2, 0, 2, 1, 0])
agreement, lost, won = compare(ten, before, after)
right = [(said == ten).mean() for said in (before, after)]
print(f"accuracy before {right[0]:.1f}, after {right[1]:.1f}")
print(f"agreement {agreement:.1f}; only before right: {lost}, only after: {won}")

# %% [markdown]
# The accuracy is the same, and yet three of ten answers changed: one right to wrong, one wrong to right, one wrong to wrong. **Equal accuracy is not equality.** That is why agreement has a column of its own.

# %% [markdown]
# ## 4 · Export: what tracing freezes
#
# To leave Python, a model has to become data: a list of operations and their inputs, a **graph**. `torch.export` runs the model once with *example inputs* and records what it does. This is **tracing**, and whatever is a Python value at that moment is frozen into the graph.

# %%
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.export import quiet_export


class Pairs(nn.Module):
    """Puts frames together in pairs: (batch, frames) → (batch, pairs, 2)."""

    def forward(self, x):
        fill = -x.shape[1] % 2  # 1 for an odd number of frames: a Python number
        return F.pad(x, (0, fill)).unflatten(1, (-1, 2))


def try_shape(program, *shape):
    """Whether a graph takes an input of this shape."""
    try:
        return f"works, {tuple(program(torch.zeros(*shape)).shape)}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0][:60]}"


fixed = torch.export.export(Pairs(), (torch.zeros(2, 6),)).module()
print("example (2, 6), nothing said about shapes")
for shape in ((2, 6), (3, 6), (2, 5)):
    print(f"   {shape}: {try_shape(fixed, *shape)}")

# %% [markdown]
# Traced with a batch of two, the graph takes a batch of two, forever. So we say which sizes are open (**dynamic shapes**):

# %%
batch, frames = torch.export.Dim("batch"), torch.export.Dim("frames", min=3)
shapes = ({0: batch, 1: frames},)
try:
    torch.export.export(Pairs(), (torch.zeros(2, 6),), dynamic_shapes=shapes)
except Exception as error:
    lines = str(error).splitlines()
    print(lines[0].split("!")[0])
    at = next(i for i, line in enumerate(lines) if line.startswith("Suggested"))
    print("\n".join(lines[at : at + 3]))

# %% [markdown]
# Good: it refuses, instead of freezing in silence. An even length was traced, and this graph holds for even lengths only: the error suggests `2*_frames`. Our audio encoder has exactly this line. The cure is to write it without a Python number: take every second frame, starting at 0 and at 1.


# %%
class OpenPairs(nn.Module):
    """The same, for any number of frames."""

    def forward(self, x):
        first = x[:, ::2]
        second = F.pad(x, (0, 1))[:, 1::2]  # as many, whether the number is odd or even
        return torch.stack([first, second], dim=-1)


free = torch.export.export(OpenPairs(), (torch.zeros(2, 6),), dynamic_shapes=shapes)
for shape in ((2, 6), (3, 6), (2, 5), (7, 101)):
    print(f"{shape}: {try_shape(free.module(), *shape)}")
x = torch.arange(10.0).reshape(2, 5)
assert torch.equal(Pairs()(x), OpenPairs()(x))

# %% [markdown]
# Three more things to watch. **The mode**: exported in training mode, dropout stays alive in the graph, and the same input gets different answers. **An example batch of one**: a size of 1 is taken for a constant. **Branches**: `if x.mean() > 0` depends on the data, and is refused. Here is the first:

# %%
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
ones = torch.ones(2, 4)
for mode in (True, False):
    graph = torch.export.export(net.train(mode), (ones,)).module()
    same = torch.equal(graph(ones), graph(ones))
    name = "training" if mode else "evaluation"
    print(f"exported in {name} mode: the same answer twice? {same}")

# %% [markdown]
# Now the course's own model. Batch size and lengths are open; padding masks and **presence** (which of face, voice, words a message has) are inputs, so that no caller can forget to mask; pre-processing stays outside. `to_onnx` then writes the graph in **ONNX**, a format that many programs read, with its weights inside the one file.

# %%
import tempfile

from mmcourse.evaluate import expect_within
from mmcourse.export import export_program, to_onnx
from mmcourse.pretrained import load_trimodal

eager = load_trimodal()
program = export_program(eager)
folder = Path(tempfile.mkdtemp())
to_onnx(program, folder / "model.onnx")
again = onnx.load_trimodal(folder / "model.onnx")
sizes = [1, 7, 92, 400]  # batches of several sizes, not only the example's
edges = np.cumsum([0, *sizes])
batches = []
for start, stop in zip(edges, edges[1:]):
    batches += test.subset(range(start, stop)).batches(stop - start)
labels = test.labels[: edges[-1]]


def torch_inputs(batch):
    """A NumPy batch as the PyTorch model takes it: colors first."""
    parts = ("inputs", "padding_mask")
    made = {k: {m: torch.from_numpy(v) for m, v in batch[k].items()} for k in parts}
    made["inputs"]["face"] = made["inputs"]["face"].permute(0, 3, 1, 2)
    return made


@torch.no_grad()
def by_eager(batch):
    return eager(torch_inputs(batch)).numpy()


in_torch = np.concatenate([by_eager(b) for b in batches])
in_onnx = np.concatenate([again.logits(b) for b in batches])
apart = np.abs(in_torch - in_onnx).max()
assert apart < 1e-4 and (in_torch.argmax(1) == in_onnx.argmax(1)).all()
print(f"{len(labels)} messages in batches of {sizes}: every answer the same")
expect_within("largest difference of logits, times 1,000:", 1e3 * apart, 0.0, 0.05)

# %% [markdown]
# ## 5 · Fewer bits, by hand
#
# A float has 32 bits. An 8-bit integer can be one of 256 **codes**, from −128 to 127. **Quantization** lays these codes like a ruler over the range of the numbers: the distance between two marks is the **scale** $s$, and the code that stands for 0 is the **zero point** $z$.

# %%
numbers = np.array([-0.9, -0.304, 0.0, 0.417, 1.65])
low, high = numbers.min(), numbers.max()
s = (high - low) / 255
z = round(-128 - low / s)
codes = np.clip(np.round(numbers / s) + z, -128, 127).astype(int)
back = s * (codes - z)
print(f"s = ({high} − ({low})) / 255 = {s:.4f}, z = round(−128 − ({low}) / s) = {z}")
print("numbers", numbers)
print("codes  ", codes)
print("back   ", back.round(4))
print("error  ", np.abs(back - numbers).round(4), "at most s/2 =", (s / 2).round(4))
assert (np.abs(back - numbers) <= s / 2 + 1e-12).all() and back[2] == 0

# %% tags=["hide-input"]
places = [draw.matrix(numbers[None], title="numbers", form=".3f")]
places += ["÷ s, round, + z →", draw.matrix(codes[None], title="codes, 1 byte each")]
draw.show(
    draw.column(
        draw.row(*places, gap=10),
        draw.row(
            draw.matrix(codes[None], title="codes"),
            "→ − z, × s →",
            draw.matrix(back[None], title="back again", form=".2f"),
            gap=10,
        ),
    ),
    alt="Five numbers become five codes between -128 and 127, and five numbers again, "
    "each within half a scale of what it was; 0 comes back as exactly 0.",
)

# %% [markdown]
# **Affine quantization** writes each number as a rounded multiple of the scale, moved by the zero point (Jacob et al. 2018). For $b$ bits, with codes from $q_0 = -2^{b-1}$ to $q_1 = 2^{b-1}-1$:
#
# $$s = \frac{\max - \min}{q_1 - q_0} \qquad z = \mathrm{round}(q_0 - \min / s) \qquad q = \mathrm{clip}\bigl(\mathrm{round}(x/s) + z,\ q_0,\ q_1\bigr) \qquad \hat x = s\,(q - z)$$
#
# Rounding moves a number by at most half a mark, so $|\hat x - x| \le s/2$ inside the range; outside, the number is clipped. Two details matter:
# - **0 must have an exact code.** Padding is 0, ReLU makes zeros. So the range is stretched until it holds 0.
# - **Symmetric quantization** sets $z = 0$ and $s = \max|x| / q_1$: a little coarser, but products need no correction by z. It is the usual choice for weights.
#
# **Your turn (blank 2).** The scale and the zero point of a range.
# <details><summary>Hint</summary>
#
# `first, last = -2 ** (bits - 1), 2 ** (bits - 1) - 1`. Stretch: `low = min(low, 0.0)`, `high = max(high, 0.0)`. Then the two formulas above.
# </details>


# %%
def affine_parameters(low, high, bits=8):
    """Scale and zero point of a range; 0 is in it."""
    # BEGIN SOLUTION
    first, last = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (last - first)
    return scale, round(first - low / scale)
    # END SOLUTION


affine_parameters = check("compress.blank.2", affine_parameters)

# %% [markdown]
# **Your turn (blank 3).** And the codes of an array.
# <details><summary>Hint</summary>
#
# `np.round(x / scale)` first, then add z, then `np.clip`; end with `.astype(int)`.
# </details>


# %%
def quantize(x, scale, zero_point, bits=8):
    """Codes of an array."""
    # BEGIN SOLUTION
    first, last = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return np.clip(np.round(x / scale) + zero_point, first, last).astype(int)
    # END SOLUTION


quantize = check("compress.blank.3", quantize)

# %%
heights = np.array([0.2, 0.5, 1.0])  # a range without 0
for name, low in (("as it is", 0.2), ("stretched to 0", 0.0)):
    s = (1.0 - low) / 255
    z = round(-128 - low / s)
    zero = s * (np.clip(np.round(0 / s) + z, -128, 127) - z)
    print(f"{name:15} z = {z:5}: padding of 0 comes back as {zero:.3f}")

# %% [markdown]
# Without the stretch, z lies outside the codes, and a padding of 0 comes back as 0.2. How far do 8 bits, or 3, get with real weights? **Move the slider.**

# %% tags=["hide-input"]
weights = eager.hidden.weight.detach().numpy().astype(np.float64)  # (128, 96)


def show_bits(bits=4):
    """Weights and the marks they are rounded to."""
    s, z = affine_parameters(weights.min(), weights.max(), bits)
    rounded = s * (quantize(weights, s, z, bits) - z)
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.7))
    axes[0].hist(weights.ravel(), 80, color="#0072B2")
    if bits <= 5:
        for mark in np.unique(rounded):
            axes[0].axvline(mark, color="#D55E00", linewidth=0.6)
    axes[0].set_title("weights, and where they may lie", fontsize=10)
    axes[1].hist((rounded - weights).ravel() / s, 40, color="#999999")
    axes[1].set_title("rounding error, in units of s", fontsize=10)
    for ax in axes:
        ax.set_yticks([])
    error = np.sqrt(np.square(rounded - weights).mean() / np.square(weights).mean())
    typical = np.sqrt(np.square(rounded - weights).mean()) / s
    told = f"{bits} bits, {2**bits} codes, s = {s:.4f}, relative error {error:.1%}, "
    told += f"typical error {typical:.3f} s"
    plot.show(fig, alt=f"Histograms of weights and errors: {told}.")
    print(told)


widgets.slider(show_bits, bits=(2, 8))

# %% [markdown]
# Every bit fewer about doubles $s$. As long as $s$ is small against the weights, the error is spread about evenly within ± half a mark, so its typical size (root of the mean square) is $s/\sqrt{12} \approx 0.289\,s$. At 2 bits it is not: move the slider there.

# %% [markdown]
# ## 6 · One outlier, and everybody pays
#
# One scale for a whole array (**per tensor**) is set by its largest value. One scale for each output (**per channel**) is set by the largest value of that row.

# %%
rows = np.array([[0.02, -0.01, 0.03], [2.0, -1.0, 3.0]])


def symmetric(x, axis=None):
    """Numbers after 8 bits, symmetric; a scale for all or for each row."""
    scale = np.abs(x).max(axis=axis, keepdims=True) / 127
    return scale, scale * quantize(x, scale, 0)


for name, axis in (("per tensor", None), ("per channel", 1)):
    scale, back = symmetric(rows, axis)
    print(f"{name:12} scales {scale.ravel().round(5)}")
    print(f"{'':12} first row back {back[0].round(4)} (was {rows[0]})")

# %% [markdown]
# Per tensor, the small row comes back as 0.024, 0 and 0.024: its numbers are about as small as one step between marks. Weights are known beforehand, so each row can have its own scale. **Activations** are another matter: in a matrix product, all inputs of an output are added up, so here they share one scale.
#
# Here is a model that is *exactly the same function*, and yet quantizes badly. Multiply the incoming weights of the most active hidden unit by 1,000 and divide its outgoing weights by 1,000. ReLU lets the factor through (for c > 0, relu(c·x) = c·relu(x)), so no answer changes. Then quantize the hidden activations to 8 bits, one scale for all:

# %%
from mmcourse.torch.compress import fake_quantize


@torch.no_grad()
def joined_vectors(batches):
    """What the three encoders hand to the hidden layer: (n, 96)."""
    rows = []
    for batch in map(torch_inputs, batches):
        parts = []
        for name, encoder in eager.encoders.items():
            mask = batch["padding_mask"].get(name)
            vector = encoder(batch["inputs"][name], mask)
            parts.append(F.rms_norm(vector, vector.shape[-1:], eps=1e-5))
        rows.append(torch.cat(parts, dim=-1))
    return torch.cat(rows)


train = load("mood", "train")
x_train = joined_vectors(train.subset(range(1000)).batches(250))
x_test = joined_vectors(test.batches(250))
layers = (eager.hidden.weight, eager.hidden.bias, eager.logits.weight)
w_in, bias, w_out = (w.detach() for w in layers)
loudest = (x_train @ w_in.T + bias).amax(dim=0).argmax()


def hidden(x, scale, calibration=None):
    """Hidden units, each times its scale; quantized if there are messages for it."""
    h = ((x @ w_in.T + bias) * scale).relu()
    if calibration is not None:
        s = hidden(calibration, scale).max() / 255
        h = fake_quantize(h, s, -128)  # 0 has the lowest code: nothing is below it
    return h


def head(x, scale=1.0, calibration=None):
    """Logits; what a unit is multiplied by, its outgoing weights are divided by."""
    h = hidden(x, scale, calibration)
    return h @ (w_out / scale).T + eager.logits.bias.detach()


def agreement_of(scale, calibration=None):
    """With the answers of the model as it is."""
    said = head(x_test, scale, calibration).argmax(1)
    return (said == plain).float().mean().item()


plain = head(x_test).argmax(1)
others = torch.arange(128) != loudest
codes_of = {}
for factor in (1, 10, 100, 1000):
    scale = torch.where(others, 1.0, factor)
    as_float, as_int8 = agreement_of(scale), agreement_of(scale, x_train)
    codes_of[factor] = len(hidden(x_test, scale, x_train)[:, others].unique())
    assert as_float > 0.999
    told = f"float {as_float:.3f}, 8 bits {as_int8:.3f}"
    print(f"times {factor:4}: agreement {told}; others use {codes_of[factor]} codes")
reach = hidden(x_train, scale).amax(dim=0).clamp(min=0.01)
undone = agreement_of(scale / reach, x_train)  # each unit ends at 1 at most
print(f"times 1000, then divided by each unit's reach: 8 bits {undone:.3f}")
assert codes_of[1000] == 1 < codes_of[100] < 5 < codes_of[1] and undone > 0.99

# %% [markdown]
# As floats nothing changes. With 8 bits, the one large unit takes all the codes in the end. As it is, it reaches 7.7 (section 7 prints it): times 100, a step is 7.7 × 100 / 255 ≈ 3, and the other 127 units keep a few codes; times 1,000 a step is about 30, and they all become 0. Large language models grow such **outlier** channels by themselves (Dettmers et al. 2022). The last line undoes the factor without knowing it: each unit is divided by the most that it reaches on training messages, and its outgoing weights are multiplied by that. So scale is moved between neighboring layers, a cure described by Nagel et al. 2021.

# %% [markdown]
# ## 7 · When are the ranges measured?
#
# The ranges of weights are known. Those of activations depend on the input, and there are three ways to get them:

# %% tags=["hide-input"]
canvas = draw.Canvas()
kinds = [
    ("dynamic", "each call measures\nits own input:\nneeds no data", "blue"),
    ("static", "measured once, on a\ncalibration set:\nneeds messages", "orange"),
    ("in training", "the network learns\nwith the rounding:\nneeds training", "green"),
]
previous = None
for name, note, color in kinds:
    part = draw.box(name, note=note, color=color)
    where = {"right_of": previous, "gap": 24} if previous else {}
    previous = canvas.place(part, **where)
draw.show(
    canvas,
    alt="Three ways: dynamic, each call measures its own input; static, measured once "
    "on a calibration set; in training, the network learns with rounding.",
)

# %% [markdown]
# **Dynamic quantization** measures the ranges anew in each call, and needs no data: one call of ONNX Runtime writes the file. (The shipped one was made in the same way.) But look at what "its own input" means: the whole *batch*. So in an int8 file, an answer depends a little on who else is in the batch:

# %% tags=["free"]
from onnxruntime.quantization import QuantType, quantize_dynamic

yours = folder / "yours.int8.onnx"
options = {"per_channel": True, "weight_type": QuantType.QInt8}
options["op_types_to_quantize"] = ["MatMul", "Gemm"]  # convolutions stay floats
with quiet_export():
    quantize_dynamic(folder / "model.onnx", yours, **options)
    every = folder / "every.int8.onnx"  # convolutions too; scales per tensor
    options = {"op_types_to_quantize": ["MatMul", "Gemm", "Conv"]}
    options["weight_type"] = QuantType.QUInt8
    quantize_dynamic(folder / "model.onnx", every, **options)
int8 = onnx.load_trimodal("model.int8.onnx")
mixed = next(test.batches(100))
pair = [session.logits(mixed) for session in (onnx.load_trimodal(yours), int8)]
same = (pair[0].argmax(1) == pair[1].argmax(1)).mean()
print(f"your file: {yours.stat().st_size / 1e3:.0f} kB, ", end="")
print(f"agreement with the shipped one {same:.2f}; ", end="")
print(f"all layers: {every.stat().st_size / 1e3:.0f} kB")
ten_alone = list(test.subset(range(10)).batches(1))
for name, session in (("float32", small), ("int8, dynamic", int8)):
    together = session.logits(mixed)[:10]
    alone = np.concatenate([session.logits(b) for b in ten_alone])
    apart = np.abs(together - alone).max()
    print(f"{name:14} alone or among 100: logits apart by {apart:.1e}")
    assert (apart < 1e-4) == (name == "float32")

# %% [markdown]
# This is a new property: a service that batches requests can give the same message different logits on different days. **Static quantization** does not have it. Its ranges come from a **calibration set**, and that has to look like the real inputs. Which of these do you trust?

# %% tags=["free"]
dummy = {"inputs": {}, "padding_mask": {}}  # black, silent, one unknown word
dummy["inputs"]["face"] = np.zeros((1, 32, 32, 3), np.float32)
dummy["inputs"]["voice"] = np.zeros((1, 50, 40), np.float32)
dummy["inputs"]["words"] = np.ones((1, 5), np.int64)
for name, length in (("voice", 50), ("words", 5)):
    dummy["padding_mask"][name] = np.ones((1, length), bool)
sets = {"a dummy message": joined_vectors([dummy]), "1 message": x_train[:1]}
sets |= {"10 messages": x_train[:10], "1,000 messages": x_train}
as_floats = head(x_test)
largest_error = {}
for name, chosen in sets.items():
    found = head(x_test, calibration=chosen)
    agree = (found.argmax(1) == plain).float().mean()
    largest_error[name] = (found - as_floats).abs().max().item()
    top = (chosen @ w_in.T + bias).max()
    told = f"logits off by up to {largest_error[name]:.2f}, agreement {agree:.3f}"
    print(f"{name:16} range up to {top:4.1f}, {told}")
assert largest_error["1,000 messages"] < largest_error["1 message"]

# %% [markdown]
# The range of the dummy message (what a script often feeds in, to have something) is too short, and everything beyond it is clipped: the logits are far off, though few answers change. Calibrate on many *training or validation* messages, never on the test set: its ranges would leak into the model that is tested on it.

# %% [markdown]
# ## 8 · The ladder, climbed
#
# All of it in one table, made once with one thread (stored). The function is the course's `parity_ladder`; "+/−" counts the messages that only this rung, or only the first one, gets right; p is McNemar's. The times are for one message: the median (p50) and **p99**, which one call in a hundred exceeds. Kilobytes are of the files to ship, megabytes the peak of a process that answers one message. (The eager model has the smaller file because its weights are stored as float16. The student learned for 1,500 steps from the exact probabilities of section 12, with no label; one seed.)
#
# Three rungs are new. *ONNX, reference* runs the file in the reference program of the format, written in NumPy: so a fault of the file can be told from one of the runtime. *float16 weights* stores them with 16 bits and computes with 32; *float16* also computes with 16.

# %%
from mmcourse.evaluate.ladder import Rung, ladder_table, parity_ladder

stored = results("compress")
memory = stored["memory"]
rungs = {row["name"]: row for row in stored["ladder"]["small, single messages"]}
for name, row in rungs.items():
    row["memory"] = memory[name]
print(ladder_table(list(rungs.values())))

# %% [markdown]
# How sure is a change of accuracy? The usual interval, ± 1.96 standard errors, takes the error from the split that was seen: where nobody differs, it says ± 0. Tango's *score interval* (1998) turns the question around, as Wilson's does for one share. It keeps each change $d$ under which the split would not be surprising: (wins − losses − $n\,d$), divided by the standard deviation that it would have *if the change were* $d$, lies within ± 1.96.

# %%
from mmcourse.evaluate.ladder import paired_interval

n = 1500
score = {}
print(f"{'change of accuracy against eager':45}{'usual':8}{'score':>8}")
for name in list(rungs)[4:10]:
    won, lost = rungs[name]["only_this"], rungs[name]["only_first"]
    half = 1.96 * np.sqrt(won + lost - (won - lost) ** 2 / n) / n
    low, high = score[name] = paired_interval(lost, won, n)
    told = f"{name:18}{won:3}/{lost:<3}{(won - lost) / n:+18.4f}   ± {half:.4f}"
    print(f"{told}   {low:+.4f} to {high:+.4f}")
print(f"the messages and their pre-processing alone: {memory['data alone']} MB")
same = ("torch.export", "ONNX, reference", "ONNX Runtime", "float16 weights")
assert all(rungs[name]["difference"] < 1e-5 for name in same)
assert rungs["float16"]["agreement"] == 1 and rungs["float16"]["difference"] > 1e-3
ints = ("int8, dynamic", "int8, all layers", "int8, static")
assert [round(n * (1 - rungs[name]["agreement"])) for name in ints] == [1, 3, 3]
assert all(score[name][0] < 0 < score[name][1] for name in ints)
assert round(score["float16"][1], 4) == 0.0026
assert round(score["int8, static"][0], 4) == -0.0059
assert memory["eager"] > 1.8 * memory["ONNX Runtime"]
student_row = rungs["student"]
assert (student_row["only_this"], student_row["only_first"]) == (22, 58)
assert student_row["p"] < 0.001 and round(1 - student_row["agreement"], 2) == 0.06

# %% [markdown]
# Read the table from above. Export, both programs that run the file, and 16-bit weights change the logits in the sixth digit and no answer. (The weights lose nothing, since they were rounded to float16 when the model was saved.) Arithmetic in float16 changes the third digit, and still no answer. The int8 rungs change one to three answers, too few for McNemar: three that fall to one side could not give a p below 0.25. What 1,500 messages *can* say is in the last column: a rung that changes nothing can in truth be 0.26 points better or worse, and static int8 can lose up to 0.59. **The student is another matter**: it answers 6 % of the messages differently, it alone is right on 22 and the model alone on 58, and that is not chance. Its file is a tenth of the size, and it costs two points of accuracy; whether that is a good trade is your decision.
#
# The memory: leaving PyTorch halves it, and compression hardly touches it, since most of it is programs and data, not the 97,187 numbers.
#
# **And the file?** 97,187 numbers with 8 bits would be 97 kB. The shipped file has 152, and a student with a thirteenth of the numbers has 33:

# %%
from onnx import load as load_graph
from onnx.numpy_helper import to_array

student_folder = data_dir() / "models" / "student"
parts_of = {}
for path in (int8.path, student_folder / "model.int8.onnx"):
    tensors = {t.name: to_array(t) for t in load_graph(path).graph.initializer}
    in_bytes = dict.fromkeys((np.int8, np.float32), 0)
    for value in tensors.values():
        if value.dtype.type in in_bytes:
            in_bytes[value.dtype.type] += value.nbytes
    rest = path.stat().st_size - sum(in_bytes.values())
    parts_of[path.parent.name] = [*in_bytes.values(), rest]
    told = [f"{size / 1e3:.0f} kB" for size in parts_of[path.parent.name]]
    told = f"codes {told[0]}, floats {told[1]}, the graph {told[2]}"
    print(f"{path.parent.name:11} {told}")
    floats = {k: v.nbytes for k, v in tensors.items() if v.dtype == np.float32}
    for name in sorted(floats, key=floats.get)[-2:]:
        print(f"{'':12}{name}: {floats[name] / 1e3:.0f} kB")
assert parts_of["student"][2] > 0.5 * sum(parts_of["student"])

# %% [markdown]
# Word vectors and convolutions stay floats, with four bytes a number, and the graph itself (nodes, names, shapes) takes about 20 kB: for the student, more than half of the file.
#
# **And the time?** A tenth as many calls come first and are thrown away; one thread; the table has 1,000 calls. Its p99 is set by the ten slowest, and these can be the machine's doing (it had other work as well). So we compare medians: five rounds, in which all rungs take turns, 200 calls each. ONNX Runtime as float32 is 1 in every round; in parentheses the smallest and the largest round:

# %%
base = rungs["ONNX Runtime"]["rounds"]
ratio = {}
for name, row in rungs.items():
    ratio[name] = np.divide(row["rounds"], base)
    told = f"({ratio[name].min():.2f} to {ratio[name].max():.2f})"
    print(f"{name:20}{np.median(ratio[name]):6.2f}  {told}")
assert ratio["eager"].min() > 3.5
assert ratio["int8, all layers"].min() > 1.1 and ratio["float16"].min() > 1.05
assert np.abs(ratio["int8, dynamic"] - 1).max() < 0.06
assert (ratio["student, int8"] > ratio["student"]).all()
int8_time.compare("more time")

# %% [markdown]
# (One server processor, AMD EPYC, with the fast 8-bit instructions that the guess spoke of: AVX-512 VNNI.) ONNX Runtime makes this model about four times as fast; `torch.export` alone, whose graph PyTorch still runs, takes longer than eager. **Fewer bits do not make it faster.** "int8, all layers" takes longer in every round, and so do float16 and the student's int8; the shipped file ("int8, dynamic") takes about the same time. The two int8 files differ in more than one thing: the shipped one has float convolutions, signed codes and scales per channel; the other unsigned codes and scales per tensor. Check your guess on your machine ("all layers" is the file that you wrote in section 7):

# %% tags=["free"]
live = [
    Rung("eager", by_eager),
    Rung("ONNX Runtime", small.logits, [small.path]),
    Rung("int8, dynamic", int8.logits, [int8.path]),
    Rung("int8, all layers", onnx.load_trimodal(every).logits, [every]),
]
for name in ("model.onnx", "model.int8.onnx"):
    path = student_folder / name
    kind = "student" if name == "model.onnx" else "student, int8"
    live.append(Rung(kind, onnx.load_trimodal(path).logits, [path]))
torch.set_num_threads(1)
live_rows = parity_ladder(live, batches, labels, timed=batches[0], calls=100)
print(ladder_table(live_rows))

# %%
wide = {n: {r["name"]: r for r in stored["ladder"]["wide"][n]} for n in ("1", "64")}
for n, w in wide.items():
    factors = np.divide(w["ONNX Runtime"]["rounds"], w["int8, dynamic"]["rounds"])
    assert factors.min() > 2
    told = f"{np.median(factors):.1f} ({factors.min():.1f} to {factors.max():.1f})"
    print(f"wide model, {n:>2} at a time: int8 {told} times as fast as float32")
for name, row in wide["1"].items():
    row["memory"] = memory["wide"][name]
print(ladder_table(list(wide["1"].values())))
narrow = [wide["1"][name]["rounds"] for name in ("student", "student, int8")]
assert np.less(*narrow).all()

# %% [markdown]
# The **wide model** has 2.2 million numbers: three hidden layers of 1,024 on the same 96 encoder outputs, trained for two epochs. It is wider than this task needs; it is here because nearly all its work is matrix products, as in a large model. There, int8 wins, in the same library on the same processor, and it is seen in the memory, too. (Its 16-bit weights are rounded, so they do change the logits.) Its student, 96 → 16 → 3 numbers, learned from the wide model's probabilities (one seed). It changes ten answers, and no int8 comes near its size or its time. And *its* int8 is slower than its float32: the loss and the win stand in one table.

# %% [markdown]
# **And pre-processing?** It is a rung, too: the program that serves the model reads pictures and sound with other code than the one that trained it. The *float* file, with small faults in what goes in (stored):

# %% tags=["hide-input"]
faults = stored["ladder"]["pre-processing"]
names = [row["name"] for row in faults]
changed = [100 * (1 - row["agreement"]) for row in faults]
changed_int8 = 100 * (1 - rungs["int8, dynamic"]["agreement"])
names_all = ["int8, dynamic (for comparison)", *names[1:]]
values = [changed_int8, *changed[1:]]
fig, ax = plt.subplots(figsize=(7, 3.3))
y = np.arange(len(values))[::-1]
colors = ["#009E73", *["#D55E00"] * (len(values) - 1)]
ax.barh(y, values, color=colors)
for at, value in zip(y, values):
    ax.text(value + 0.5, at, f"{value:.1f} %", va="center", fontsize=9)
ax.set_yticks(y, names_all)
ax.set_xlim(0, max(values) * 1.15)
ax.set_xlabel("answers changed, % of 1,500 test messages")
told = "; ".join(f"{n}: {v:.1f} %" for n, v in zip(names_all, values))
plot.show(fig, alt=f"Answers changed by faulty pre-processing. {told}.")

# %%
below = [row["p"] < 0.01 / 7 for row in faults[1:]]
assert sum(below) == 4
for row in faults:
    p = f"p = {row['p']:.5f}" if row["p"] >= 1e-5 else "p < 0.00001"
    told = f"{row['accuracy']:.3f}, {p}"
    print(f"{row['name']:24} agreement {row['agreement']:.3f}, accuracy {told}")

# %% [markdown]
# Seven faults were tried, so a fault counts only with p below 0.01 / 7 ≈ 0.0014; four of them pass that. None of them raises an error, and each of these four costs more than everything that int8 did. (For your second guess, section 11 sets half of the weights to 0.)

# %% [markdown]
# ## 9 · Why slower, why faster?
#
# Two explanations for why the small model gains nothing: "8-bit arithmetic is slow here", or "the additional work around it is". The second one can be counted. To quantize an input dynamically, the graph needs more **nodes** (operations): find the range, divide, round, multiply, convert back. In the float file and the three int8 files (stored):

# %%
counted = stored["nodes"]
multiply = ("Gemm", "MatMul", "MatMulInteger", "Conv", "ConvInteger")
finds = "DynamicQuantizeLinear"
print(f"{'':18}{'nodes':>6}{'products':>10}{'find a range':>14}{'time':>7}")
in_all = {}
for name, kinds_ in counted.items():
    in_all[name] = sum(kinds_.values())
    products = sum(kinds_.get(kind, 0) for kind in multiply)
    told = f"{in_all[name]:6}{products:10}{kinds_.get(finds, 0):14}"
    print(f"{name:18}{told}{np.median(ratio[name]):7.2f}")
order = sorted(in_all, key=in_all.get)
assert order == sorted(in_all, key=lambda name: np.median(ratio[name]))
assert finds not in counted["int8, static"]

# %% [markdown]
# The products are the same ten in all files, and the more nodes around them, the longer it takes. (Counted in the files; when it loads one, ONNX Runtime joins some nodes.) If these nodes are to blame, then int8 must lose for narrow layers and win for wide ones: their number stays the same, while the products grow with the square of the width. Two layers of each width, same graph (stored; medians of three rounds, the lines show the smallest and the largest):

# %% tags=["hide-input"]
by_width = stored["widths"]
widths = sorted(int(k) for k in by_width if k.isdigit())
fig, (left, ax) = plt.subplots(1, 2, figsize=(7.8, 3.2))
for key, color, name in (
    ("float ms", "#999999", "float32"),
    ("int8 ms", "#009E73", "int8"),
):
    times = [by_width[str(w)]["1"][key] for w in widths]
    left.plot(widths, times, "o-", color=color, label=name)
left.set_title("one message: milliseconds", fontsize=10, loc="left")
left.set_yscale("log")
left.legend(fontsize=8)
for batch_size, color in ((1, "#0072B2"), (64, "#D55E00")):
    found = [by_width[str(w)][str(batch_size)] for w in widths]
    middle = [f["times faster"] for f in found]
    ax.plot(widths, middle, "o-", color=color, label=f"batch of {batch_size}")
    for w, f in zip(widths, found):
        ax.plot([w, w], [f["from"], f["to"]], color=color, linewidth=1)
ax.axhline(1, color="black", linewidth=0.8)
ax.set_yscale("log", base=2)
ax.set_yticks([0.5, 1, 2, 4, 8], ["½", "1", "2", "4", "8"])
ax.set_title("float32 time / int8 time", fontsize=10, loc="left")
ax.legend(fontsize=8)
for each in (left, ax):
    each.set_xscale("log", base=2)
    each.set_xticks(widths, [str(w) for w in widths], fontsize=8)
    each.set_xlabel("width")
told = []
for w in widths:
    one, many = (by_width[str(w)][b]["times faster"] for b in ("1", "64"))
    told.append(f"width {w}: {one} and {many}")
told = "; ".join(told)
plot.show(fig, alt=f"How many times faster int8 is, batch of 1 and of 64. {told}.")

# %%
narrow, broad = by_width["32"]["1"], by_width["2048"]["1"]
assert narrow["to"] < 1 < broad["from"]
print("width 32, batch of 1: int8 takes longer in every round")
print("width 2048, batch of 1: int8 takes less time in every round")

# %% [markdown]
# That fits additional work around the products. It does not prove it: caches, and which routine the library chooses, change with the width as well. And *static* does not search for ranges, yet is the slowest file here, so that search cannot be the whole reason. For *how much* faster it can get, count what has to be moved and what has to be computed. A layer of width $d$ with a batch of $n$ reads $d^2$ weights and makes $2nd^2$ operations. With one message that is half an operation per byte of float weights, and a processor can usually do far more than that: the time is that of *reading*, and a quarter of the bytes can take a quarter of the time. With many messages the weights are read once for all of them, and the time is that of *computing*; then int8 helps only as far as the processor has instructions for it. This picture is called the **roofline model**.

# %%
head_ = f"{'width':>6}{'messages':>9}{'float bytes':>13}{'int8 bytes':>12}"
print(head_ + f"{'operations per float byte':>27}")
for d, n in ((128, 1), (1024, 1), (1024, 64)):
    print(f"{d:6}{n:9}{4 * d * d:13,}{d * d:12,}{2 * n * d * d / (4 * d * d):27.1f}")

# %% [markdown]
# The weights of width 128 (65 kB) usually stay in fast caches, so there is less to gain. And *more* than a factor of four, as at width 2,048? A cache that holds only the int8 weights could explain it for one message, but not for 64, where by this picture the time is that of computing; we do not know the reason. And *convolutions*? Section 15 measures a network that is made of them.

# %% [markdown]
# ## 10 · Fewer than 8 bits: train with the rounding
#
# At 2 bits, as we shall see, accuracy falls far. **Quantization-aware training** (QAT) puts the rounding into the training: each step computes with rounded weights, so that the loss sees them. But rounding has gradient 0 almost everywhere, and nothing would ever learn. The **straight-through estimator** (Bengio et al. 2013) is a simple repair: forward, round; backward, pretend that you did not.

# %% tags=["hide-input"]
forward = draw.row(
    draw.box("w"),
    draw.box("round to codes", color="orange"),
    draw.box("loss"),
    arrows=True,
)
backward = draw.row(
    draw.box("gradient of the loss"),
    draw.box("× 1 (clipped: × 0)", color="green"),
    draw.box("gradient of w"),
    arrows=True,
)
draw.show(
    draw.column(
        draw.label("forward: w is rounded"),
        forward,
        draw.label("backward: as if it were not"),
        backward,
        gap=12,
    ),
    alt="Forward, the weight is rounded before the loss. Backward, the gradient passes "
    "the rounding as if it were the identity, except where the weight was clipped.",
)

# %% [markdown]
# In PyTorch it is one line: `inside + (rounded - inside).detach()`. Its value is `rounded`, but the gradient sees only `inside`.
#
# **Your turn (blank 4).** Symmetric, for a tensor `w` with `bits` bits and a given `scale`. Weights beyond the range are clipped to $\pm q_1 s$ with $q_1 = 2^{b-1}-1$, and get no gradient.
# <details><summary>Hint</summary>
#
# `inside = w.clamp(-last * scale, last * scale)`; `rounded = torch.round(inside / scale) * scale`.
# </details>


# %%
def fake_quantized(w, scale, bits):
    """w rounded to symmetric codes; the gradient goes straight through."""
    # BEGIN SOLUTION
    last = 2 ** (bits - 1) - 1
    inside = w.clamp(-last * scale, last * scale)
    rounded = torch.round(inside / scale) * scale
    return inside + (rounded - inside).detach()
    # END SOLUTION


fake_quantized = check("compress.blank.4", fake_quantized)
w = torch.tensor([0.26, -0.7, 1.9], requires_grad=True)
seen = fake_quantized(w, 0.5, 3)
seen.sum().backward()
print("w       ", w.detach().numpy(), "→", seen.detach().numpy())
print("gradient", w.grad.numpy())
plain_gradient = torch.autograd.grad(torch.round(w / 0.5).sum(), w)[0]
print("gradient of torch.round alone:", plain_gradient.numpy())

# %% [markdown]
# Does QAT help, or just the additional training? That needs a control. The trained model, its weights at 2 to 8 bits; QAT for two epochs; and the **control**: the same two epochs without rounding, then quantized. Five seeds (stored). The scores are *expected* accuracies: since we know the exact posterior, each answer counts with the exact probability that it is right, which removes the noise of the labels.

# %% tags=["hide-input"]
from mmcourse.evaluate import mean_and_interval

bits_table = stored["bits"]
fig, ax = plt.subplots(figsize=(7, 3.4))
levels = [8, 6, 5, 4, 3, 2]
for kind, color in (("tensor", "#999999"), ("channel", "#0072B2")):
    line = [bits_table[f"{b} {kind}"]["expected"] for b in levels]
    ax.plot(levels, line, "o-", color=color, label=f"per {kind}, no training")
for kind, color, name in (("control", "#E69F00", "control"), ("qat", "#009E73", "QAT")):
    runs = [[r["expected"] for r in bits_table[f"{b} {kind}"]] for b in (4, 3, 2)]
    found = [mean_and_interval(values) for values in runs]
    means, halves = zip(*found)
    ax.errorbar((4, 3, 2), means, halves, fmt="s--", color=color, capsize=3, label=name)
ax.axhline(mood.bayes_accuracy(), color="black", linestyle=":", linewidth=1)
ax.text(8, mood.bayes_accuracy() + 0.008, "ceiling", fontsize=8)
ax.invert_xaxis()
ax.set_xlabel("bits per weight")
ax.set_ylabel("expected accuracy")
ax.legend(fontsize=8)
plot.show(fig, alt="Expected accuracy by bits per weight; the numbers are below.")

# %%
floats = bits_table["float"]["expected"]
runs = [r["expected"] for r in stored["unrounded"]["control"]]
mean, half = mean_and_interval(runs)
print(f"ceiling {mood.bayes_accuracy():.3f}")
print(f"floats: as trained {floats:.3f}, control not rounded {mean:.3f} ± {half:.3f}")
assert mean + half < floats
for b in levels:
    told = f"per tensor {bits_table[f'{b} tensor']['expected']:.3f}"
    told += f", per channel {bits_table[f'{b} channel']['expected']:.3f}"
    for kind in ("control", "qat"):
        if f"{b} {kind}" in bits_table:
            values = [r["expected"] for r in bits_table[f"{b} {kind}"]]
            mean, half = mean_and_interval(values)
            told += f", {kind} {mean:.3f} ± {half:.3f}"
    print(f"{b} bits: {told}")

# %%
qat_gain = {}
for b in (4, 3, 2):
    pairs = zip(bits_table[f"{b} qat"], bits_table[f"{b} control"])
    gains = [one["expected"] - other["expected"] for one, other in pairs]
    qat_gain[b] = mean_and_interval(gains)
    print(f"{b} bits: QAT minus control {qat_gain[b][0]:+.3f} ± {qat_gain[b][1]:.3f}")
assert qat_gain[2][0] - qat_gain[2][1] > 0.15
assert all(abs(qat_gain[b][0]) < qat_gain[b][1] for b in (3, 4))

# %% [markdown]
# (Means over five seeds with 95 % intervals, Student's t; each difference is taken seed by seed.)
#
# The gray and blue points are one rounding each of one trained model; QAT and control are five seeds. At 8 bits nothing happens. With 4 and 3 bits a scale per channel is enough: both kinds of training end a little *below* the untrained rounding, and QAT is not better than its control. But so does the control *before* it is rounded: most of this is the cost of the two more epochs (at rate 0.001), not of the rounding. **At 2 bits (three values per weight: −s, 0, s) everything depends on it**: rounded without training, the model loses about a fifth of its accuracy; with QAT almost nothing. And the control refutes the cheap explanation: the same two epochs *without* rounding do not help at 2 bits.

# %% [markdown]
# ## 11 · Fewer weights
#
# **Pruning** sets weights to 0, by default those with the smallest magnitude (Han et al. 2015). By hand, half of six weights:

# %%
from mmcourse.numpy.compress import keep_largest

six = np.array([[0.9, -0.1, 0.4], [0.05, -0.6, 0.2]])
keep = keep_largest(six, 0.5)
print(keep.astype(int), "\n", np.where(keep, six, 0))

# %% tags=["hide-input"]
pruned = stored["pruning"]
shares = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
fig, ax = plt.subplots(figsize=(7, 3.2))
largest = [pruned[str(k)]["magnitude"]["expected"] for k in shares]
ax.plot(range(6), largest, "o-", color="#0072B2", label="smallest weights removed")


def runs_of(share, kind):
    """Mean and interval over five seeds."""
    return mean_and_interval([r["expected"] for r in pruned[str(share)][kind]])


chance = [runs_of(k, "random") for k in shares]
ax.errorbar(
    range(6),
    [m for m, _ in chance],
    [h for _, h in chance],
    fmt="o-",
    color="#999999",
    capsize=3,
    label="random weights removed",
)
tuned = [runs_of(k, "tuned") for k in shares[2:]]
ax.errorbar(
    range(2, 6),
    [m for m, _ in tuned],
    [h for _, h in tuned],
    fmt="s--",
    color="#009E73",
    capsize=3,
    label="smallest, and two more epochs",
)
ax.set_xticks(range(6), [f"{k:.0%}" for k in shares])
ax.set_xlabel("weights set to 0")
ax.set_ylabel("expected accuracy")
ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(0, 0.85))
told = "; ".join(f"{k:.0%}: {v:.3f}" for k, v in zip(shares, largest))
plot.show(fig, alt=f"Expected accuracy by share removed, smallest first: {told}.")

# %%
print(f"{'zeros':>6}{'smallest':>10}{'random':>16}{'smallest, tuned':>18}")
for k, value in zip(shares, largest):
    told = [f"{m:.3f} ± {h:.3f}" for m, h in (runs_of(k, "random"),)]
    if "tuned" in pruned[str(k)]:
        told.append("{:.3f} ± {:.3f}".format(*runs_of(k, "tuned")))
    print(f"{k:6.0%}{value:10.3f}" + "".join(f"{cell:>17}" for cell in told))

# %%
print(f"{'':12}{'bytes':>9}{'zipped':>9}")
print(f"{'as trained':12}{pruned['bytes'][0]:9,}{pruned['bytes'][1]:9,}")
for k in (0.5, 0.9):
    size = pruned[str(k)]["bytes"]
    print(f"{k:4.0%} zeros  {size[0]:9,}{size[1]:9,}")
    assert size[0] == pruned["bytes"][0] and size[1] < pruned["bytes"][1]
for n in (64, 32, 16, 8):
    row = pruned[f"{n} units"]
    mean, half = mean_and_interval([r["expected"] for r in row["tuned"]])
    told = f"cut {row['cut']['expected']:.3f}, two more epochs {mean:.3f} ± {half:.3f}"
    print(f"{n:3} of 128 hidden units: {4 * row['numbers']:7,} bytes, {told}")
timed = stored["pruned_times"]
print("time of one message in ONNX Runtime, as trained = 1; five rounds:")
for name in ("90 % zeros", "64 units", "8 units"):
    found = np.divide(timed[name]["ms"], timed["as trained"]["ms"])
    print(f"{name:12}{np.median(found):6.2f}  ({found.min():.2f} to {found.max():.2f})")
    assert 0.94 < found.min() and found.max() < 1.01

# %% tags=["free"]
import copy

from mmcourse.torch.compress import keep_largest as keep_largest_in_torch

half = copy.deepcopy(eager)
matrices = [p for p in half.parameters() if p.ndim > 1]
everything = torch.cat([p.detach().flatten() for p in matrices])
kept = keep_largest_in_torch(everything, 0.5).split([p.numel() for p in matrices])
with torch.no_grad():
    for p, mask in zip(matrices, kept):
        p.mul_(mask.view_as(p))
    said = np.concatenate([half(torch_inputs(b)).argmax(1) for b in test.batches(250)])
changed_by = {"half of all weights set to 0": (said != plain.numpy()).mean()}
changed_by["8-bit weights"] = 1 - rungs["int8, dynamic"]["agreement"]
changed_by["face read as BGR"] = 1 - faults[1]["agreement"]
for name, share in changed_by.items():
    print(f"{name:30} changes {share:.1%} of the answers")
assert max(changed_by, key=changed_by.get) == "face read as BGR"
most_harm.compare("a face read as blue-green-red instead of red-green-blue")

# %% [markdown]
# **A zero takes as much space as any number.** The file has the same size, and an ordinary matrix product does the same work; zipping finds the zeros (or a format that stores positions, which cost bytes of their own). *Structured* pruning removes whole units, so that the matrices really become smaller. In this model most weights are elsewhere (with 8 of 128 hidden units, 340,748 of 388,748 bytes are left), so cutting hidden units saves little, in bytes and in time: look where the weights are before you cut.

# %% [markdown]
# ## 12 · Distillation: a student in its place
#
# Instead of shrinking the model, train a small one to answer like it. A label says "positive". A teacher says "positive 0.8, neutral 0.15, negative 0.05": more about this message than the label does. **Distillation** trains a small model, the **student**, on both: the labels and the probabilities of a **teacher** (Hinton et al. 2015).

# %% tags=["hide-input"]
canvas = draw.Canvas()
message_ = canvas.place(draw.box("message", color="gray"))
old = canvas.place(draw.box("teacher", note="frozen"), right_of=message_, gap=50)
soft_ = draw.box("probabilities", note="of the teacher")
soft_ = canvas.place(soft_, right_of=old, gap=40)
new = canvas.place(draw.box("student", note="learns", color="green"), below=old, gap=34)
answer_ = draw.box("probabilities", note="of the student", color="green")
answer_ = canvas.place(answer_, right_of=new, gap=40)
loss_ = canvas.place(draw.box("loss", color="orange"), right_of=soft_, gap=70)
label_ = canvas.place(draw.box("label", color="gray"), right_of=loss_, gap=60)
arrows_ = [(message_, old), (old, soft_), (message_, new), (new, answer_)]
for start_, end_ in [*arrows_, (answer_, loss_)]:
    canvas.arrow(start_, end_)
canvas.arrow(soft_, loss_, label="α")
canvas.arrow(label_, loss_, label="1 − α")
draw.show(
    canvas,
    alt="A message goes to the frozen teacher and to the student. The loss compares "
    "the student's answer with the teacher's probabilities and with the label.",
)

# %% [markdown]
# The loss has a part for the label $y$ and a part for the teacher:
#
# $$L = (1-\alpha)\,\mathrm{CE}(y, q) + \alpha\,T^2\,\mathrm{KL}\bigl(p^{(T)}\,\|\,q^{(T)}\bigr) \qquad p^{(T)} = \mathrm{softmax}(\text{teacher}/T),\quad q^{(T)} = \mathrm{softmax}(\text{student}/T)$$
#
# The **temperature** $T$ flattens both, so that small probabilities are seen. Why $T^2$?

# %%
from mmcourse.numpy.compress import distillation_loss as loss_in_numpy

teacher = np.array([[4.0, 1.0, 0.0]])
student = np.array([[1.0, 1.0, 0.0]])
steps_ = np.eye(3) * 1e-5
for temperature in (1, 2, 4, 8, 16):
    slope = []
    for step in steps_:
        given = (teacher, [0], temperature, 1.0)
        ends = [loss_in_numpy(student + k * step, *given) for k in (1, -1)]
        slope.append((ends[0] - ends[1]) / 2e-5)
    size = np.linalg.norm(slope)
    without = size / temperature**2
    print(f"T = {temperature:2}: gradient {size:.4f}, without T² {without:.4f}")

# %% [markdown]
# Without the factor, a temperature of 16 would make the gradient more than a hundred times smaller, and the labels' part would outweigh the teacher's. With it, from T = 2 on the size hardly changes in this example. Every student of this lesson learns with T = 1, and α = 1 (or 0, from labels); we trained with no other T.
#
# **Your turn (blank 5).** In PyTorch. `F.kl_div(log_q, p, reduction="batchmean")` is the KL divergence: the *student's* logarithms come first, and only "batchmean" divides by the number of messages ("mean" divides by classes as well).
# <details><summary>Hint</summary>
#
# `p = F.softmax(teacher.detach() / T, dim=-1)`; the `detach` keeps the gradient out of the teacher.
# </details>


# %%
def distillation_loss(student, teacher, labels, T=2.0, alpha=0.9):
    """(1 − α) cross-entropy + α T² KL(teacher ‖ student), mean over the messages."""
    # BEGIN SOLUTION
    hard = F.cross_entropy(student, labels)
    p = F.softmax(teacher.detach() / T, dim=-1)
    log_q = F.log_softmax(student / T, dim=-1)
    soft = F.kl_div(log_q, p, reduction="batchmean")
    return (1 - alpha) * hard + alpha * T**2 * soft
    # END SOLUTION


distillation_loss = check("compress.blank.5", distillation_loss)

# %% [markdown]
# Now a student, live: the same architecture with narrow layers, on 1,000 messages; once from labels, once from the probabilities of the trained teacher. It has a thirteenth of the numbers.

# %% tags=["free"]
from time import perf_counter

from mmcourse.pretrained import Trimodal
from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, TextEncoder


def small_student():
    """Three narrow encoders and 16 hidden units."""
    encoders = {
        "face": ImageEncoder(8, channels=(4, 8)),
        "voice": AudioEncoder(40, 8, channels=8),
        "words": TextEncoder(len(train.vocabulary), 8),
    }
    return Trimodal(encoders, hidden=16)


def count(model):
    """Numbers in a model."""
    return sum(parameter.numel() for parameter in model.parameters())


some = train.subset(range(1000))
start = perf_counter()
for kind, alpha in (("labels", 0.0), ("teacher", 1.0)):
    torch.manual_seed(0)
    pupil = small_student()
    optimizer = torch.optim.AdamW(pupil.parameters(), lr=3e-3)
    loader = some.torch_loader(batch_size=64, seed=0)
    for epoch in range(10):
        pupil.train()
        for part in loader:
            with torch.no_grad():
                target = eager(part)
            given = (target, part["target"])
            loss = distillation_loss(pupil(part), *given, T=1.0, alpha=alpha)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    pupil.eval()
    with torch.no_grad():
        said = np.concatenate([pupil(torch_inputs(b)).argmax(1) for b in batches])
    score = (said == labels).mean()
    print(f"{kind:8} accuracy {score:.3f}")
print(f"{count(pupil):,} numbers instead of {count(eager):,}", end="; ")
print(f"{perf_counter() - start:.0f} s for both")

# %% [markdown]
# One seed and 500 messages decide nothing. The stored experiment below does.
#
# **Which teacher?** In `mood` we know the truth: p(feeling | face, voice, words), exactly, from the table that the data were drawn from. So beside the trained teacher there is a *perfect* one, and we can take distillation apart. The students here are still simpler, so that hundreds can be trained: one hidden layer of 16 on 96 fixed features (principal components of the face in 16 × 16 pixels, eight time averages of the voice, and counted words; no label was used for them). They learn from n messages, with five kinds of targets:
#
# - **labels**;
# - the teacher's **answers** (its most likely class, as if it were a label), and its **probabilities**;
# - the exact **answers** (the most likely class by the table), and the exact **probabilities**.
#
# A teacher's probabilities against its answers shows what soft targets add; trained against exact shows what an exact teacher adds. (The trained teacher learned from the labels of all 6,000 messages, the n among them, so at small n it also brings in what it learned there.) Eight seeds, the same n messages for all kinds, after 300 and after 1,200 steps (stored).

# %% tags=["hide-input"]
kinds = ["labels", "teacher answers", "teacher", "exact answers", "exact"]
amounts = [100, 300, 1000, 6000]
distilled = stored["distill"]
grid = {(n, kind): distilled[f"{n} {kind}"] for n in amounts for kind in kinds}
budgets = distilled["budgets"]
colors = dict(zip(kinds, ["#999999", "#56B4E9", "#0072B2", "#E69F00", "#D55E00"]))


def gain(n, kind, other, budget=1):
    """Mean difference of two kinds of targets, seed by seed, with its interval."""
    one, two = (np.array(grid[n, k]["expected"][budget]) for k in (kind, other))
    return mean_and_interval(one - two)


fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.4), sharey=True)
for i, ax in enumerate(axes):
    for shift, kind in enumerate(kinds[1:]):
        found = [gain(n, kind, "labels", i) for n in amounts]
        at = np.arange(4) + 0.1 * (shift - 1.5)
        style = {"color": colors[kind], "capsize": 2, "markersize": 4, "label": kind}
        means, halves = zip(*found)
        ax.errorbar(at, means, halves, fmt="o", **style)
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xticks(range(4), [f"{n:,}" for n in amounts])
    ax.set_xlabel("messages")
    ax.set_title(f"{budgets[i]:,} steps", fontsize=10, loc="left")
axes[0].set_ylabel("gain over labels")
axes[0].legend(fontsize=8, loc="upper right")
plot.show(
    fig,
    alt="Gain in expected accuracy over labels, by number of messages and kind of "
    "target, after two budgets; the numbers are printed below.",
)

# %%
print(f"{'messages':>9}" + "".join(f"{kind:>17}" for kind in kinds))
for n in amounts:
    cells = [mean_and_interval(grid[n, kind]["expected"][1]) for kind in kinds]
    print(f"{n:>9}" + "".join(f"{m:9.3f} ± {h:.3f}" for m, h in cells))


# %%
pairs = [("teacher", "labels"), ("exact", "teacher")]
pairs += [("exact answers", "labels"), ("exact", "exact answers")]
pairs += [("teacher", "teacher answers")]
for i, steps in enumerate(budgets):
    print(f"{steps:,} steps{'':14}" + "".join(f"{n:>18,}" for n in amounts))
    for a, b in pairs:
        told = [gain(n, a, b, i) for n in amounts]
        cells = "".join(f"{f'{m:+.4f} ± {h:.4f}':>18}" for m, h in told)
        print(f"{f'{a} − {b}':26}{cells}")

# %% [markdown]
# Is that so only because these students are so simple? The ladder's student, which sees whole pictures and all frames, from 6,000 messages; five seeds (stored):

# %%
whole_students = stored["distill_cnn"]
for i, steps in enumerate(whole_students["budgets"]):
    three = ("labels", "teacher", "exact")
    scored = {k: whole_students[k]["expected"][i] for k in three}
    told = [f"{k} {np.mean(v):.3f}" for k, v in scored.items()]
    for one, other in (("teacher", "labels"), ("exact", "teacher")):
        differences = np.subtract(scored[one], scored[other])
        mean, half = mean_and_interval(differences)
        told.append(f"{one} − {other} {mean:+.4f} ± {half:.4f}")
        assert mean > 0 and (mean > half) == ((i, one) == (0, "teacher"))
    print(f"{steps} steps: " + ", ".join(told))

# %% tags=["hide-input"]
for n in amounts:  # what the text below says
    mean, half = gain(n, "teacher", "labels", 0)
    assert mean - half > 0
for i in (0, 1):
    mean, half = gain(300, "exact", "teacher", i)
    assert mean < 0
mean, half = gain(6000, "exact", "teacher", 1)
assert mean - half > 0
share = mean / gain(6000, "exact", "labels", 1)[0]
assert 0.1 < share < 0.3
assert gain(6000, "exact answers", "labels", 1)[0] > 0.02
assert gain(100, "exact", "teacher", 1)[0] + gain(100, "exact", "teacher", 1)[1] < 0
soft = [gain(n, "teacher", "teacher answers", i) for i in (0, 1) for n in amounts]
assert [m > h for m, h in soft] == [True] * 6 + [False, True]
best_teacher.compare("no better")
print(f"6,000 messages, 1,200 steps: {share:.0%} of the gain needs the exact teacher")

# %% [markdown]
# (Means over eight seeds, 95 % intervals by Student's t; differences are taken seed by seed. These students stay far below the model's 0.92; read the differences, not the levels. Of 40 intervals, about two would miss 0 by chance if nothing differed.)
#
# - **A teacher's probabilities are better than labels**, for every number of messages after 300 steps. After 1,200 they still are with 100, 300 and 6,000 messages; with 1,000 the interval holds 0.
# - **With up to 1,000 messages, hardly any of it needs the teacher to be exact**: at neither budget is the perfect teacher shown to be better. With 6,000 messages it is: after 1,200 steps by about a fifth of the gain, after 300 only just.
# - **What is the gain made of?** With 6,000 messages and 1,200 steps, exact answers in place of labels already give most of it: a label is a random draw, and the table's answer is not. After 300 steps that interval holds 0. What exact probabilities add to exact answers ("dark knowledge", as Hinton called it) is nothing clear after 1,200 steps, and at the edge in two of four cases after 300. For the *trained* teacher, soft targets do add: its probabilities beat its own answers in seven of eight cases, by 0.007 to 0.018; with 1,000 messages after 1,200 steps there is no difference.
# - **The ladder's student**: after 200 steps the teacher's gain over labels keeps its interval above 0; the other three intervals hold 0. How much of the gain needs an exact teacher we cannot say here (after 600 steps, both exact − teacher and teacher − labels hold 0); all are far below the shipped student (0.90).
# - One surprise: with 100 and with 300 messages, after 1,200 steps, the trained teacher is *better* than the perfect one. The exact probabilities contain zeros, which the trained teacher's never do, and it sees the actual picture and sound; we did not test which of these it is.

# %% [markdown]
# ## 13 · Which answers did the bits change?
#
# An int8 model that changes a few answers of 1,500 looks harmless. But *which*? With the exact posterior each **flip** (a changed answer) can be classed: was it near a tie (the two best classes within 0.1), and is the new answer less likely to be right by more than 0.1 (worse), or more likely (better)? Is the split of worse and better that of a fair coin (p, as in McNemar's test)? And how does the expected accuracy change? 3,000 validation and test messages, weights at 8 to 3 bits (stored):

# %%
from scipy.stats import binomtest

flips = stored["flips"]
print(f"near ties: {flips['near ties']} of {flips['messages']} messages")
head_ = f"{'':17}{'flips':>6}{'near a tie':>12}{'worse':>7}{'better':>8}"
print(head_ + f"{'p':>7}{'change of accuracy':>21}")
levels_ = ["8 bits", "6 bits", "5 bits", "4 bits", "3 bits"]
for name in (*levels_, "model.int8.onnx"):
    row = flips[name]
    told = f"{row['flips']:6}{row['near a tie']:12}{row['worse']:7}{row['better']:8}"
    fair = binomtest(row["worse"], max(1, row["worse"] + row["better"])).pvalue
    told += f"{fair:7.2f}"
    print(f"{name:17}{told}{row['change of expected accuracy']:+21.5f}")
    assert fair > 0.05
assert flips["8 bits"]["flips"] <= 3
assert abs(flips["8 bits"]["change of expected accuracy"]) < 1e-3
assert flips["3 bits"]["worse"] > 2 * flips["3 bits"]["better"]

# %% [markdown]
# At 8 bits, two or three of 3,000 answers change, and the expected accuracy changes by less than a thousandth. Not every flip lies near a tie of the truth. At 4 bits 2 flips are for the worse and 7 for the better; at 3 bits 15 and 6. Neither split is beyond chance.

# %% [markdown]
# ## 14 · In the packages
#
# ONNX Runtime's weights are your formula. From the shipped int8 file, the codes of the hidden layer, and yours from the float file:

# %%
graphs = {}
for name in ("model.onnx", "model.int8.onnx"):
    tensors = load_graph(small.path.with_name(name)).graph.initializer
    graphs[name] = {t.name: to_array(t) for t in tensors}
stem = "model.hidden.weight_Transposed"
theirs = graphs["model.int8.onnx"][f"{stem}_quantized"].T.astype(int)
w = graphs["model.onnx"]["model.hidden.weight"].astype(np.float64)  # (128, 96)
scale = np.abs(w).max(axis=1, keepdims=True) / 127
mine = quantize(w, scale, 0)
gap = np.abs(scale[:, 0] / graphs["model.int8.onnx"][f"{stem}_scale"] - 1).max()
other = (mine != theirs).sum()
print(f"codes that differ from ONNX Runtime's: {other} of {w.size}")
assert gap < 1e-6 and (mine != theirs).mean() < 0.001

# %% [markdown]
# **Keras** has both steps built in: `quantize("int8")` turns dense layers into int8 ones, and `export(format="litert")` writes a file for **LiteRT**, the runtime on phones. With the versions used here the second refuses what the first made, so LiteRT's own converter rounds the weights (`optimizations`). The head of our model in Keras, from the same weights:

# %% tags=["free"]
from mmcourse.quiet import quiet_tensorflow

quiet_tensorflow()
import contextlib
import io

import keras


def keras_head():
    """96 → 128 → 3, with our weights."""
    made = keras.Sequential(
        [
            keras.Input((96,)),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(3),
        ]
    )
    out_bias = eager.logits.bias.detach()
    made.set_weights([w.numpy() for w in (w_in.T, bias, w_out.T, out_bias)])
    return made


as_float, as_int8 = keras_head(), keras_head()
with quiet_export():
    as_int8.quantize("int8")
logits = as_float.predict(x_test.numpy(), verbose=0)
rounded = as_int8.predict(x_test.numpy(), verbose=0)
in_bytes = [sum(np.asarray(w).nbytes for w in m.weights) for m in (as_float, as_int8)]
same = (logits.argmax(1) == rounded.argmax(1)).mean()
parity = np.abs(logits - head(x_test).numpy()).max()
print(f"Keras and PyTorch apart by {parity:.1e}")
print(f"int8 in Keras: {in_bytes[0]:,} → {in_bytes[1]:,} bytes, agreement {same:.4f}")
assert parity < 1e-4 and same > 0.99

# %% tags=["real", "free"] needs=["ai_edge_litert"]
from mmcourse.runtime import how_to_install, is_installed

if is_installed("ai_edge_litert"):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    smaller = {"optimizations": [tf.lite.Optimize.DEFAULT]}  # weights as int8
    for kind, options in (("float32", {}), ("int8", smaller)):
        path = folder / f"head.{kind}.tflite"
        with contextlib.redirect_stdout(io.StringIO()), quiet_export():
            as_float.export(path, format="litert", **options)
        plain_ops = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(path), experimental_op_resolver_type=plain_ops)
        entry = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(entry, x_test.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(entry, x_test.numpy())
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        apart = np.abs(found - logits).max()
        same = (found.argmax(1) == logits.argmax(1)).mean()
        told = f"apart from Keras by {apart:.1e}, agreement {same:.4f}"
        print(f"LiteRT, {kind}: {path.stat().st_size:,} bytes, {told}")
        assert same > 0.99 and (apart < 1e-4) == (kind == "float32")
else:
    print("not run here: to install it,", how_to_install("export"))

# %% [markdown]
# **torchao** is PyTorch's own package for this: `quantize_(model, Int8WeightOnlyConfig())` replaces the weights in place. It is made for large models that are then compiled. Its int8 scale is max|w| / 127.5 instead of / 127; with that, its weights are your formula, too. On our small model, without compiling:

# %%
both = stored["torchao"]["rows"]  # one run of its own
print(ladder_table(both))
slower = both[1]["p50"] / both[0]["p50"]
print(f"torchao int8, not compiled: {slower:.1f} times as long as eager (stored)")
assert slower > 1.1

# %% [markdown]
# (The older `torch.ao.quantization` is deprecated; do not start with it.)

# %% [markdown]
# ## 15 · On photographs
#
# EfficientNet-Lite0, trained on ImageNet, on 120 crops of three photographs that come with Python packages: a network made of convolutions, 33 of 49 followed by a clip to the range from 0 to 6. Dynamic int8 (scales per tensor), and static int8 (per channel) with 30 other crops of the same photographs for calibration, in three recipes (stored; times are medians of 15 rounds, with the middle half of the rounds):

# %%
photos = stored["photos"]
print(f"{'':20}{'MB':>6}{'agreement':>11}{'times as fast as float32':>28}")
recipes = ["float", "dynamic", "static", "static, percentile", "static, with Clip"]
for kind in recipes:
    row = photos[kind]
    speed = f"{row['times faster']:.2f} ({row['from']:.2f} to {row['to']:.2f})"
    print(f"{kind:20}{row['bytes'] / 1e6:6.1f}{row['agreement']:11.3f}{speed:>28}")
for kind in recipes[2:]:
    row = photos[kind]
    ranges = f"median {row['median range']:.0f}, largest {row['largest range']:.0f}"
    print(f"{kind}: {row['clips']} clips; width of a convolution's range {ranges}")
assert photos["dynamic"]["to"] < 0.5
assert all(0.95 < photos[k]["from"] and photos[k]["to"] < 1.05 for k in recipes[2:4])
assert max(photos[k]["agreement"] for k in recipes[1:4]) < 0.6
assert photos["static, with Clip"]["agreement"] > 0.9
assert photos["static, with Clip"]["from"] > 1.1

# %% [markdown]
# As *dynamic* int8, this network of convolutions is less than half as fast; the first two static recipes take as long as float32. And with these three about half of the answers change! The first static recipe rounds what each convolution hands on *before* it is clipped: its range is as wide as 200, and of the 256 codes few are left for the part from 0 to 6 that the next layer sees. One outlier, and everybody pays. To cut the ranges at the 99.999th percentile is no cure here. To put the clips on the list of what is quantized is: the converter drops them and gives the convolution the clip's own range of 6. So 94 % of the answers stay, and *now* int8 is faster than float32. Same weights, same crops for calibration, one word in a list.
#
# (120 crops are not 120 separate images, and accuracy was not measured. For what is left, Nagel et al. 2021 give cures: scale moved between layers, training with the rounding. They were not tried here.) Without the column for agreement you would have shipped the first file.

# %% [markdown]
# ## 16 · At full size
#
# Behind our files are `torch.onnx.export(program, dynamo=True)`, inside `to_onnx`, and ONNX Runtime's `quantize_dynamic`, which made the int8 file beforehand. If the weights of a speech recognizer are on this machine (nothing is downloaded), this cell counts what the matrices of its encoder would take with 8 bits; it writes no file:

# %% tags=["free"]
from huggingface_hub import try_to_load_from_cache

hub_name = "openai/whisper-tiny.en"
needed = ("config.json", "model.safetensors")
if all(isinstance(try_to_load_from_cache(hub_name, f), str) for f in needed):
    from transformers import WhisperModel

    whisper = WhisperModel.from_pretrained(hub_name, local_files_only=True).eval()
    matrices = [p for p in whisper.encoder.parameters() if p.ndim > 1]
    numbers_ = sum(p.numel() for p in matrices)
    print(f"{4 * numbers_ / 1e6:.0f} MB as float32, {numbers_ / 1e6:.0f} MB as int8")
else:
    print(f"not run: {hub_name} is not on this machine")

# %% [markdown]
# ## 17 · What to remember
#
# - On every rung: largest difference, agreement, accuracy with an interval, McNemar, p50 and p99, bytes. Equal accuracy is not equality.
# - Tracing freezes Python values: open the shapes, use evaluation mode, and test on batches that differ from the example.
# - q = clip(round(x/s) + z): the error is at most s/2, zero must be exact, one outlier sets the scale for all.
# - int8 saved bytes in every model here, and time only in some. Measure.
# - Pre-processing is a rung of the ladder, and faults there can cost more than all compression.

# %% [markdown]
# ## 18 · Check yourself
#
# <details><summary>1. A model has the same accuracy before and after export, 0.923. Is the export right?</summary>
#
# Not shown. Look at agreement and at the largest difference of the logits: different answers can be right equally often.
# </details>
# <details><summary>2. Your ONNX file works with the example and fails with a batch of one. What happened?</summary>
#
# A size was frozen in tracing. Say which axes are open, trace with sizes that differ from 1, and test with a batch of one.
# </details>
# <details><summary>3. Numbers lie between −0.5 and 2.05, 8 bits. What are s and the largest error?</summary>
#
# s = 2.55 / 255 = 0.01; the error is at most 0.005.
# </details>
# <details><summary>4. You quantize a model of width 64 to int8, and it gets slower. A bug?</summary>
#
# Not necessarily. At width 64 and one message we measured 0.77, too (section 9); the likely reason is the additional work around the products. With 64 messages it was 1.02.
# </details>
# <details><summary>5. You set 90 % of the weights to 0 and the file has the same size. Why?</summary>
#
# A zero is stored like any number. Zip it, store positions, or remove whole units.
# </details>
# <details><summary>6. In distillation, why must the teacher be in evaluation mode and detached?</summary>
#
# With dropout its targets would be noisy. Without `detach`, gradients are computed for it, too; an optimizer that held its parameters could lower the loss by making the *teacher* answer like the student.
# </details>

# %% [markdown]
# ## 19 · Exercises and where next
#
# [The exercises](exercises/compress.ipynb): quantization per channel and the distillation loss by hand, *ship or not?*, a straight-through layer and a distillation step in PyTorch, and an open challenge: a matrix in 4 bits.
#
# **Where next:** [deploy](deploy.ipynb), which serves this file. · **Back to:** [start_here](start_here.ipynb), [train_pytorch](train_pytorch.ipynb), [evaluate](evaluate.ipynb).
#
# ## Sources
# Jacob et al. 2018, arXiv 1712.05877 (affine quantization, training with it) · Krishnamoorthi 2018, arXiv 1806.08342 (per channel, per tensor) · Nagel et al. 2021, arXiv 2106.08295 (a white paper on quantization) · Bengio et al. 2013, arXiv 1308.3432 (straight-through estimator) · Dettmers et al. 2022, arXiv 2208.07339 (outlier channels) · Hinton et al. 2015, arXiv 1503.02531 (distillation) ·
# Han et al. 2015, arXiv 1506.02626 (magnitude pruning) · Li et al. 2017, arXiv 1608.08710 (structured pruning) · McNemar 1947 (paired answers) · Tango 1998, *Statistics in Medicine* 17 (score interval of a paired difference) · Williams et al. 2009, *Roofline* · Wilson 1927 (intervals of shares).
# Photographs: china.jpg © danielbuechele, flower.jpg © vultilion, both CC BY 2.0; grace_hopper.jpg, US Navy, public domain.
