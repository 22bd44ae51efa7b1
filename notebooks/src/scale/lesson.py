# %% [markdown]
# # Scale: beyond one process
# *You train one model in many ways: in pieces, in two processes, with its weights cut in two, with a worker killed on the way. Each time you show that the result is the same to 1e-12. Only then do you ask what it costs.*
#
# {{budget}}
#
# **You will be able to**
# - predict the bytes of a training run, and compare them with the measured peak;
# - split a batch over steps and processes without changing its gradient, and find the bug that so many libraries had;
# - trade memory for time by recomputing activations;
# - read data larger than memory, and resume at the very sample where you stopped;
# - launch several processes from a notebook, with a timeout, and say when one machine is no longer enough.
#
# **Before this:** [train_pytorch](train_pytorch.ipynb) (accumulation, mixed precision, checkpoints),
# [multimodal_data](multimodal_data.ipynb) (loaders and masks).
#
# **Time to read:** 90 minutes with the four blanks, then 125 for the [exercises](exercises/scale.ipynb).

# %%
import inspect
import sys
import tempfile
import time
import tracemalloc
import warnings
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import psutil
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F
from torch.profiler import record_function

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import lesson_dir, load, results
from mmcourse.evaluate import mean_and_interval
from mmcourse.runtime import is_installed
from mmcourse.training.scale import batches, cost, launch, memory, stream

torch.set_num_threads(1)
stored = results("scale")

# %% [markdown]
# ## 1 · Two processes, one result
#
# The trimodal model of the first lesson (face, voice, words), untrained, in float64: five steps over 297 messages, in batches of 64. The last batch has 41, an *odd* number, on purpose. First in one process. The training loop is in `scale_train.py` beside this notebook, since several processes will import it.

# %%
sys.path.insert(0, str(lesson_dir("scale")))
import scale_train

scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)
scale_train.save_data(folder, load("mood", "train").subset(range(297)))
data = scale_train.load_data(folder)
model = scale_train.new_model()
scale_train.train(model, data)
one_process = scale_train.weights_of(model)
num_weights = sum(p.numel() for p in model.parameters())
with torch.no_grad():
    before = F.cross_entropy(scale_train.new_model()(data), data["target"])
    after = F.cross_entropy(model(data), data["target"])
print(f"{num_weights:,} weights, one process: loss {before:.3f} → {after:.3f}")

# %% [markdown]
# Now **two processes**, each with half of every batch. `torchrun` starts them, and while they run, one of them will be killed. (About 20 seconds.)

# %% tags=["free"]
started = time.perf_counter()
script = scale_train.__file__
launched = launch.torchrun(script, [folder], processes=2, restarts=1, timeout=300)
report = launched.result
print(f"{report['processes']} processes, {time.perf_counter() - started:.0f} s")


# %%
def compare(name, weights=None):
    """Largest difference between these weights and those of the one process."""
    weights = weights or load_file(folder / f"{name}.safetensors")
    gap = scale_train.largest_difference(one_process, weights)
    told = "at most 1e-12" if gap <= 1e-12 else f"{gap:.0e}"
    print(f"{name:28} largest difference of a weight: {told}")
    return gap


assert compare("exact") <= 1e-12

# %% [markdown]
# Same weights. That is the rule of this lesson: **first the equality, then the speed.** With float64 and a tiny model, *without dropout and batch normalization* (they would break it; switch them off in such a test), an equality can be shown on two cores in seconds. Widely used libraries had a gradient that was subtly wrong (section 5 names them).

# %% [markdown]
# ## 2 · The question
#
# **Record three guesses.**

# %%
odd_batch = widgets.guess(
    "Two processes have 21 and 20 messages. Each computes the mean loss of its own "
    "messages, and the two gradients are averaged. Compared with one process:",
    ["the same", "a little different", "very different"],
)

# %%
adam_bytes = widgets.guess(
    "A model has 1 GB of weights in float32. How many GB does training with Adam "
    "need, with all that it keeps per weight?",
    [1, 2, 4, 8],
)

# %%
kept_part = widgets.guess(
    "Sixteen equal blocks in a row. You keep only what enters each block, and compute "
    "the rest again in the backward pass. By how much do a step's operations grow?",
    ["by about a third", "they double", "they become four times as many"],
)

# %% [markdown]
# ## 3 · Where do the bytes go?
#
# Training holds four things in memory, though not all at the same moment:

# %% tags=["hide-input"]
canvas = draw.Canvas()
parts = [("weights", "P numbers", "blue"), ("gradients", "P numbers", "orange")]
parts += [("Adam's two means", "2 P numbers", "green")]
parts += [("activations", "batch × what each\nsample leaves behind", "pink")]
placed = []
for name, note, color in parts:
    made = draw.box(name, note=note, color=color, height=68)
    if placed:
        placed.append(canvas.place(made, right_of=placed[-1], gap=16))
    else:
        placed.append(canvas.place(made))
canvas.frame(placed[:3], label="4 P numbers, whatever the batch", padding=10)
draw.show(
    canvas,
    alt="Four boxes: weights P numbers, gradients P, Adam's two means 2 P, together "
    "4 P whatever the batch; activations grow with the batch.",
)

# %% [markdown]
# **Activations** are what the forward pass keeps for the backward pass. A linear layer keeps its input, because the gradient of its weights is (input)ᵀ · (gradient of the output). By hand, for a network of two layers, 3 → 4 → 4 with ReLU, and a batch of 5:

# %%
num_weights = (3 * 4 + 4) + (4 * 4 + 4)
kept = 5 * 3 + 5 * 4 + 5 * 4  # the input, and what comes out of each ReLU
print("weights:", num_weights, "numbers")
print("weights, gradients, Adam:", 4 * num_weights * 4, "bytes in float32")
print("activations:", kept, "numbers,", 4 * kept, "bytes")

# %% [markdown]
# In general, with $P$ weights, batch size $b$ and $a$ numbers kept per sample, all of 4 bytes:
#
# $$\text{bytes} = \underbrace{4P}_{\text{weights}} + \underbrace{4P}_{\text{gradients}} + \underbrace{8P}_{\text{Adam}} + \underbrace{4\,b\,a}_{\text{activations}}$$
#
# **Your turn (blank 1).** Write the sum.
# <details><summary>Hint</summary>
#
# 16 bytes per weight, and 4 for each number that a sample leaves behind.
# </details>


# %%
def bytes_of_training(num_weights, batch, kept_per_sample):
    """Bytes of a training run in float32 with Adam."""
    # BEGIN SOLUTION
    fixed = 4 * num_weights + 4 * num_weights + 8 * num_weights
    return fixed + 4 * batch * kept_per_sample
    # END SOLUTION


bytes_of_training = check("scale.blank.1", bytes_of_training)
adam_bytes.compare(bytes_of_training(1, 0, 0) // 4)

# %% [markdown]
# Does PyTorch agree? `memory.saved_bytes` asks it what the forward pass keeps, and `memory.peak_bytes` reads the **peak memory** off the allocator: the most that was held at any moment of two training steps, from an empty start.


# %%
def network(width, layers=8):
    """Linear and ReLU in turn."""
    parts = []
    for _ in range(layers):
        parts += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*parts)


def two_steps(width, x, loss_of=lambda y: y.square().mean()):
    """A function that makes a network and trains it for two steps, with named parts."""

    def run():
        net = network(width)
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(2):
            optimizer.zero_grad()
            with record_function("forward"):
                loss = loss_of(net(x))
            with record_function("backward"):
                loss.backward()
            optimizer.step()
        with record_function("end"):  # only a mark
            return

    return run


torch.manual_seed(0)
net, x = network(256), torch.randn(64, 256)
saved = memory.saved_bytes(lambda: net(x).square().mean(), net)
print("kept, by hand:", 4 * 64 * 256 * 9, "bytes; PyTorch says", saved)

# %% tags=["free"]
two_steps(64, torch.randn(8, 64))()  # the first step ever loads libraries
print("width  batch   the sum   larger of two   measured peak")
for width, batch in ((256, 16), (256, 1024), (512, 64), (512, 4096)):
    given = torch.randn(batch, width)
    num_weights = sum(p.numel() for p in network(width).parameters())
    predicted = bytes_of_training(num_weights, batch, 8 * width)
    in_adam = 16 * num_weights + 2 * 4 * width**2
    in_backward = 12 * num_weights + (8 + 4) * 4 * batch * width
    measured = memory.peak_bytes(two_steps(width, given))
    told = f"{predicted / 1e6:7.1f} MB {max(in_adam, in_backward) / 1e6:12.1f} MB"
    print(f"{width:5}  {batch:5} {told} {measured / 1e6:12.1f} MB")
    assert 0.75 < measured / predicted < 1.3
    assert abs(measured / max(in_adam, in_backward) - 1) < 0.02

# %% tags=["hide-input", "free"]
fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.3), layout="constrained", sharey=True)
told = []
for ax, width, batch in ((axes[0], 256, 16), (axes[1], 256, 1024)):
    run = two_steps(width, torch.randn(batch, width))
    levels, marks = memory.memory_levels(run)
    begin = [place for place, name in marks if name == "forward"][-1]  # the second step
    end = marks[-1][0]
    in_mb = np.array(levels[begin : end + 1]) / 1e6
    ax.step(range(len(in_mb)), in_mb, where="post")
    ax.set_ylim(0, 29)
    parts = []
    for place, name in marks:
        if begin <= place < end:
            parts.append((place - begin, "Adam's step" if "Adam" in name else name))
            ax.axvline(place - begin, color="gray", linestyle=":", linewidth=1)
            at, told_part = place - begin + 3, parts[-1][1]
            ax.text(at, 28.5, told_part, fontsize=8, rotation=90, va="top")
    ax.set_title(f"batch of {batch}", loc="left", fontsize=10.5, fontweight="normal")
    ax.set_xlabel("allocations and releases")
    at_peak = [name for place, name in parts if place <= in_mb.argmax()][-1]
    told.append(f"batch of {batch}: peak {in_mb.max():.1f} MB, in: {at_peak}")
axes[0].set_ylabel("MB held")
fig.suptitle("Second step, width 256", x=0.01, ha="left", fontsize=11)
plot.show(fig, alt="Memory over one training step: " + "; ".join(told) + ".")
assert "Adam" in told[0] and "backward" in told[1]
other = memory.peak_bytes(two_steps(256, torch.randn(1024, 256), torch.sum)) / 1e6
print(f"batch of 1024, with the sum as the loss: peak {other:.1f} MB")
assert other < in_mb.max() - 1

# %% [markdown]
# The input itself was there before and is not counted, so each of the eight layers keeps its output: $a = 8 \cdot \text{width}$. The sum is right to about a quarter, because there are two high moments, and neither is the sum. *Adam's step* holds 16 bytes per weight, and two arrays of a layer's size while it works on that layer. The *start of the backward pass* holds the weights and Adam's means only (12 bytes: `zero_grad` has let the gradients go), all activations, and for a moment four arrays of the output's size, for the gradient of the squared loss: with the sum as the loss they are not needed, and the peak is lower. The larger of the two fits all four.
#
# **Move the sliders**: a model of 7 billion weights on a card of 80 GB. Which of the knobs bring it below the line?

# %% tags=["hide-input"]


def show_budget(weights="float32", optimizer="adam", batch_per_process=8, processes=1):
    """The budget of a language model of 7 billion weights, 32 layers of width 4096."""
    half = weights == "bfloat16"
    kept = 32 * 2048 * 4096 * 17 * batch_per_process  # about 17 numbers in each
    kept *= 2 if half else 4
    options = {"master": half, "shards": processes}
    budget = memory.training_bytes(7 * 10**9, kept, optimizer, weights, **options)
    names = ["parameters", "gradients", "optimizer", "activations"]
    values = [getattr(budget, name) / 1e9 for name in names]
    fig, ax = plt.subplots(figsize=(7, 1.9))
    left = 0.0
    for name, value, color in zip(names, values, plot.COLORS):
        ax.barh(0, value, left=left, color=color, label=f"{name} {value:.0f}")
        left += value
    ax.axvline(80, color="black", linestyle=":")
    ax.text(80, 0.62, " 80 GB", fontsize=9, va="bottom")
    ax.set_yticks([])
    ax.set_ylim(-0.6, 0.9)
    ax.set_xlabel(f"GB per process; in all {left:.0f}")
    ax.legend(fontsize=8, ncol=4, loc="upper center", bbox_to_anchor=(0.5, 1.35))
    told = ", ".join(f"{n} {v:.0f}" for n, v in zip(names, values))
    plot.show(fig, alt=f"Gigabytes per process: {told}.")


widgets.slider(
    show_budget,
    weights=["float32", "bfloat16"],
    optimizer=["sgd", "momentum", "adam"],
    batch_per_process=[1, 2, 4, 8],
    processes=[1, 2, 4, 8, 16],
)

# %%
for told, options in {
    "as it is: float32, Adam, batch 8, one process": {},
    "SGD without momentum": {"optimizer": "sgd"},
    "weights in bfloat16": {"weights": "bfloat16"},
    "a batch of 1": {"batch": 1},
    "16 processes": {"shards": 16},
    "16 processes and a batch of 1": {"shards": 16, "batch": 1},
}.items():
    half = options.get("weights") == "bfloat16"
    batch = options.pop("batch", 8)
    kept = 32 * 2048 * 4096 * 17 * batch * (2 if half else 4)
    needed = memory.training_bytes(7 * 10**9, kept, master=half, **options).total / 1e9
    print(f"{told:46} {needed:4.0f} GB")
    assert (needed < 80) == (told == "16 processes and a batch of 1")

# %% [markdown]
# None of them alone. And two surprises. Weights in bfloat16 do not help with what Adam holds: 16-bit weights need a float32 **master copy** (section 8), so 16 bytes per weight stay 16. And cutting over processes, each with a batch of its own, helps with everything *but* the activations. (About 17 numbers per position, layer and unit of width: Korthikanti et al. 2022 count 34 bytes in 16 bits, attention scores not included. Here 2,048 positions.)
#
# ### And the seconds?
# A processor can multiply only as fast as numbers arrive. **Arithmetic intensity** is the number of operations per byte moved. For $(b \times n)\cdot(n \times n)$ it is about $2bn^2 / 4(n^2 + 2bn)$: small where the batch is small.

# %% tags=["free"]
print("batch   operations per byte   µs per sample")
weight = torch.randn(512, 512)
per_sample = []
for batch in (1, 8, 64, 512):
    given = torch.randn(batch, 512)
    intensity = 2 * batch * 512**2 / (4 * (512**2 + 2 * batch * 512))
    times = []
    for _ in range(40):  # the first ones warm up; the shortest counts
        begin = time.perf_counter()
        given @ weight
        times.append(time.perf_counter() - begin)
    per_sample.append(1e6 * min(times) / batch)
    print(f"{batch:5} {intensity:16.1f} {per_sample[-1]:18.2f}")
assert per_sample[2] < per_sample[0]

# %% [markdown]
# One sample alone costs more than one of 64: one reason is that its weights are fetched for a single product. So one wants large batches, which are split when they do not fit. Which operation takes the time, the profiler of [train_pytorch](train_pytorch.ipynb) says. (On a GPU, time only after `torch.cuda.synchronize()`: its work is queued, and the clock would stop too early.)

# %% [markdown]
# ## 4 · The mean of means is not the mean
#
# A batch that does not fit is split: into **micro-batches** one after the other (**gradient accumulation**), or over processes. Five numbers, the loss $(w - x)^2$, at $w = 0$; the gradient of one sample is $-2x$:

# %%
samples = np.array([1.0, 2.0, 3.0, 10.0, 20.0])
gradient = -2 * samples
whole = gradient.mean()
first, second = gradient[:3].mean(), gradient[3:].mean()
print("whole batch:", whole)
print("parts of 3 and 2:", first, "and", second)
print("mean of the means:", (first + second) / 2)
print("3/5 and 2/5 of them:", 3 / 5 * first + 2 / 5 * second)
assert np.isclose(3 / 5 * first + 2 / 5 * second, whole)

# %% tags=["hide-input"]
canvas = draw.Canvas()
one = canvas.place(draw.box("part 1", note="3 samples: mean −4", color="blue"))
made = draw.box("part 2", note="2 samples: mean −30", color="blue")
two = canvas.place(made, below=one)
total = canvas.place(
    draw.box("gradient", note="−14.4, as in one batch", color="green"),
    right_of=[one, two],
    gap=130,
)
canvas.arrow(one, total, label="× 3/5")
canvas.arrow(two, total, label="× 2/5")
draw.show(
    canvas,
    alt="Part 1 with three samples and mean minus 4 is multiplied by three fifths, "
    "part 2 with two samples and mean minus 30 by two fifths; the sum is minus 14.4.",
)

# %% [markdown]
# With $n_k$ samples in part $k$ and $N$ in all:
#
# $$g = \sum_k \frac{n_k}{N}\, g_k \qquad g_k:\ \text{gradient of part } k\text{'s mean loss}$$
#
# If the loss is a mean over *tokens*, then $n_k$ counts the tokens that are not masked, not the sequences.
#
# **Your turn (blank 2).** `gradients` is (k, d), `counts` (k,).
# <details><summary>Hint</summary>
#
# Turn `counts` into an array, divide by its sum, and multiply each row of `gradients` by its share.
# </details>


# %%
def combine(gradients, counts):
    """The gradient of the whole batch, (d,)."""
    # BEGIN SOLUTION
    counts = np.asarray(counts, dtype=float)
    shares = counts / counts.sum()  # (k,)
    return (shares[:, None] * gradients).sum(axis=0)
    # END SOLUTION


combine = check("scale.blank.2", combine)

# %%
parts = np.array([[first], [second]])
print("combined:", combine(parts, [3, 2]), "package:", batches.combine(parts, [3, 2]))

# %% [markdown]
# Now the real model. Each batch in three micro-batches (the 41 become 14, 14 and 13), for five steps of AdamW. In the loop, the loss of a part is its *sum* divided by everybody's number:

# %%
print(inspect.getsource(scale_train.loss_of))

# %%
accumulated = scale_train.new_model()
scale_train.train(accumulated, data, micros=3)
weights = scale_train.weights_of(accumulated)
assert compare("accumulated in three", weights) <= 1e-12

# %% [markdown]
# **Accumulation ≡ big batch.** (Not with batch normalization, where each part has its own mean and variance, nor with dropout drawn otherwise.)

# %% [markdown]
# ## 5 · Several processes
#
# **Data parallel** training: every process has the whole model and its own share of each batch. After the backward pass the gradients are averaged over processes, an operation called **all-reduce**; then each takes the same step, so that the models stay equal. PyTorch's `DistributedDataParallel` (**DDP**) does this while the backward pass still runs (Li et al. 2020). The number of a process is its **rank**, how many there are the **world size**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
ranks = []
for rank, number in ((0, 21), (1, 20)):
    made = draw.box(f"rank {rank}: {number} messages", note="own copy of the model")
    place = canvas.place(made, y=rank * 110)
    back = canvas.place(draw.box("gradient", color="orange"), right_of=place, gap=50)
    canvas.arrow(place, back)
    ranks.append(back)
made = draw.box("all-reduce", note="add, divide by 2", color="green")
middle = canvas.place(made, right_of=ranks, gap=70)
for rank, back in enumerate(ranks):
    canvas.arrow(back, middle)
    made = draw.box("same step")
    step = canvas.place(made, right_of=middle, gap=70, y=(-55, 55)[rank])
    canvas.arrow(middle, step)
draw.show(
    canvas,
    alt="Two ranks with 21 and 20 messages and a copy of the model each compute a "
    "gradient; all-reduce averages the two; both take the same step.",
)

# %% [markdown]
# Here is the whole training function of a script (`dist` is `torch.distributed`; `take` takes rows out of a batch):

# %%
print(inspect.getsource(scale_train.train_ddp))

# %% [markdown]
# Around it, a script of yours has three lines more: `dist.init_process_group("gloo")` first, then `rank, world = dist.get_rank(), dist.get_world_size()`, and `dist.destroy_process_group()` at the end (for restarts, `join_group` in `scale_train.py` instead of the first two). To accumulate, put all micro-batches but the last under `with parallel.no_sync():`, so that gradients are exchanged once.
#
# DDP divides by the number of *processes*. So the loss is multiplied by the world size and divided by everybody's number of samples (`* world / len(rows)`). What if it is not? The launch of section 1 trained four ways:

# %%
print("AdamW, rate 0.003, five steps:")
gaps = {name: compare(name) for name in ("exact", "no_sync", "mean of means", "sum")}
assert max(gaps["exact"], gaps["no_sync"]) <= 1e-12
assert 1e-5 < gaps["mean of means"] < gaps["sum"]
odd_batch.compare("a little different")

# %% [markdown]
# - *exact*: divided by everybody's number. **DDP ≡ one process.**
# - *no_sync*: three micro-batches in each of two processes; gradients are exchanged only at the last (`model.no_sync()` before).
# - *mean of means*: each process divides by its own number. Here that is wrong in one step of five only, the odd one, with 21 and 20.
# - *sum*: no division at all, so the gradient of a batch of 64 is 32 times too large.
#
# Would a loss curve have shown it? Both processes simulated in one, with AdamW and with plain SGD:

# %%


def halves(rows):
    """As in the launch: every second row."""
    return rows[::2], rows[1::2]


def uneven(rows):
    """50 and 14 rows; 27 and 14 in the last batch."""
    return rows[:-14], rows[-14:]


def five_steps(way, make_optimizer, parts_of=halves, factor=1):
    """The loss on all 297 messages after the epoch, two ranks in one process."""
    played = scale_train.new_model()
    optimizer = make_optimizer(played.parameters())
    for step in range(5):
        whole_batch, number = scale_train.rows_of(step, 297)
        for rows in parts_of(whole_batch):
            part = scale_train.take(data, rows)
            loss = scale_train.loss_of(played(part), part["target"], number, 2, way)
            (factor * loss / 2).backward()  # all-reduce divides by two
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        return F.cross_entropy(played(data), data["target"]).item()


def adamw(parameters):
    """As in the launch."""
    return torch.optim.AdamW(parameters, lr=3e-3)


def sgd(parameters):
    """Plain gradient descent."""
    return torch.optim.SGD(parameters, lr=0.1)


ends = {}
for name, make_optimizer in (("AdamW", adamw), ("SGD", sgd)):
    for told, way, options in (
        ("exact", "exact", {}),
        ("mean of means", "mean of means", {}),
        ("the same, 50 and 14", "mean of means", {"parts_of": uneven}),
        ("sum", "sum", {}),
        ("exact × 32", "exact", {"factor": 32}),
    ):
        ends[name, told] = five_steps(way, make_optimizer, **options)
        print(f"{name:6} {told:20} loss afterwards {ends[name, told]:.6g}")
for name in ("AdamW", "SGD"):
    assert abs(ends[name, "mean of means"] - ends[name, "exact"]) < 0.001
    assert abs(ends[name, "the same, 50 and 14"] - ends[name, "exact"]) > 0.01
assert ends["AdamW", "the same, 50 and 14"] < ends["AdamW", "exact"]
assert abs(ends["AdamW", "sum"] - ends["AdamW", "exact"]) < 0.05
assert abs(ends["AdamW", "exact × 32"] - ends["AdamW", "exact"]) < 1e-3
assert abs(ends["AdamW", "sum"] - ends["AdamW", "exact"]) > 0.005
assert min(ends["SGD", "sum"], ends["SGD", "exact × 32"]) > 5

# %% [markdown]
# In five steps of this model, with one seed and one rate for each optimizer:
#
# - The *mean of means* moves the loss by less than 0.001, which no curve would show; here only the last step has unequal parts. With parts of 50 and 14 it is off by more than 0.01, and with AdamW it is *lower* than the exact one: a wrong gradient can look like progress.
# - The *sum* makes SGD diverge, as the exact gradient × 32 does. AdamW divides by the gradient's own size, so × 32 in *every* step changes almost nothing; the sum is × 32 in four steps and × 20.5 in the last, and the loss is only a little higher.
#
# So without the exact run beside it, a loss need not tell.
#
# The mean of means was reported in fairseq, PyTorch, transformers (twice, in 2019 and 2024) and torchtune (issues under *Sources*).
#
# ### The data of each process
# `DistributedSampler` gives each rank its rows. Two traps:

# %%
from torch.utils.data import DistributedSampler

sampler = DistributedSampler(range(297), num_replicas=2, rank=0, seed=0)
epoch_0, epoch_1 = list(sampler), list(sampler)
print("second epoch in the same order:", epoch_0 == epoch_1)
sampler.set_epoch(1)
print("after set_epoch(1):", epoch_0 == list(sampler))

rows = []
for rank in (0, 1):
    rows += list(DistributedSampler(range(297), 2, rank, shuffle=False))
twice = [row for row in set(rows) if rows.count(row) > 1]
print(f"297 samples became {len(rows)}; counted twice: {twice}")
assert epoch_0 == epoch_1 and len(rows) == 298 and twice == [0]

# %% [markdown]
# Without `set_epoch` every epoch has the same order. And 297 does not divide by 2, so one sample is given twice: one of 298 in training, but a wrong count in a *measurement*. For validation, let each rank count its own rows and right answers (`rank::world`, no padding), and add the counts.
#
# ### Killed, and the same result
# At the end of the launch, rank 1 killed itself before step 3 (`SIGKILL`, as a machine that loses power). `torchrun` noticed, ended the others, and started all of them again (`--max-restarts=1`): an **elastic restart**. They read the last checkpoint, of weights *and* Adam's means *and* the step, and went on:

# %%
print("restarts:", report["restarts"], "· went on at step", report["resumed at step"])
same = report["pid of rank 0"] == report["pid of rank 0, later"]
print("rank 0 is", "the same process" if same else "another process than before")
assert compare("killed") <= 1e-12 and report["restarts"] == 1 and not same

# %% [markdown]
# Equal weights alone do not show that it went on: a run begun anew at step 0 ends with the same. "Step 3" does. And are Adam's means needed? In one process, stopped after three steps and gone on with them or without:

# %%
for kept in (True, False):
    begun = scale_train.new_model()
    three_batches = scale_train.take(data, torch.arange(3 * scale_train.BATCH))
    optimizer = scale_train.train(begun, three_batches)
    scale_train.train(begun, data, start=3, optimizer=optimizer if kept else None)
    name = "with Adam's means" if kept else "without Adam's means"
    gap = compare(name, scale_train.weights_of(begun))
    assert (gap <= 1e-12) == kept and (kept or gap > 1e-6)

# %% [markdown]
# Rank 0 writes the file, and all others wait at a **barrier**: nobody goes on before it is complete. Without the barrier, a rank may be a step ahead of the file.
#
# ### A launch that always ends
# In a notebook a hanging launch is worse than a failed one. Here one hangs on purpose: rank 1 sleeps for ten minutes, and the launch has 8 seconds.

# %% tags=["free"]
asleep = folder / "asleep.py"
asleep.write_text(
    "import os, sys, time\n"
    "rank = os.environ['RANK']\n"
    "open(f'{sys.argv[1]}/pid {rank}', 'w').write(str(os.getpid()))\n"
    "time.sleep(600 if rank == '1' else 0)\n"
)
begin = time.perf_counter()
hung = launch.torchrun(asleep, [folder], processes=2, timeout=8)
took = time.perf_counter() - begin
try:
    hung.result
except RuntimeError as error:
    print(f"after {took:.0f} s: RuntimeError: {error}")
pids = [int(path.read_text()) for path in folder.glob("pid *")]
time.sleep(0.5)
left = []
for pid in pids:
    if psutil.pid_exists(pid):
        left.append(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
print(f"{len(pids)} workers had started; {sum(left)} still run")
assert hung.code == 124 and took < 30 and not any(left)

# %% [markdown]
# `launch.torchrun` runs this command:

# %%
print("torchrun", " ".join(launch.torchrun_arguments(processes=2, restarts=1)))
print("           scale_train.py FOLDER")

# %% [markdown]
# `127.0.0.1:0` is this machine and any free port; the backend is **gloo**, which needs no GPU (on GPUs: **nccl**); each process gets one thread; and after the timeout the launcher and all that it started are ended. On 8 GPUs, which was not run, you change four things: `--nproc-per-node=8`, the backend `nccl`, a mesh of `"cuda"` in `shard` (section 6), and model and data go to each rank's GPU.

# %% [markdown]
# ## 6 · Who holds what: FSDP
#
# In DDP every process holds all 4 P numbers. While a layer runs, the others' weights lie idle. **FSDP** (fully sharded data parallel; Zhao et al. 2023, and ZeRO, Rajbhandari et al. 2019) cuts every weight along its first axis. Each process keeps its **shard**, with its gradients and its Adam means. A layer is *gathered* when it runs and let go again; gradients are summed and cut at once (**reduce-scatter**).

# %% tags=["hide-input"]
canvas = draw.Canvas()
left = []
for rank in (0, 1):
    made = draw.box(f"rank {rank}", note="its half of every weight", color="blue")
    left.append(canvas.place(made, y=rank * 90))
whole_layer = canvas.place(
    draw.box("layer, whole", note="for its own forward\nor backward", color="green"),
    right_of=left,
    gap=110,
)
for place in left:
    canvas.arrow(place, whole_layer, label="gather")
for rank in (0, 1):
    note = f"own Adam step on rank {rank}"
    made = draw.box("half of the gradient", note=note, color="orange")
    place = canvas.place(made, right_of=whole_layer, gap=130, y=(-45, 45)[rank])
    canvas.arrow(whole_layer, place, label="scatter")
draw.show(
    canvas,
    alt="Two ranks hold half of every weight each. A layer is gathered for its forward "
    "or backward pass; each rank gets half of the summed gradient and takes its own "
    "Adam step.",
)

# %% [markdown]
# Two lines make it so (the second version of the interface, `fully_shard`): the inner modules first, then the whole.

# %%
print(inspect.getsource(scale_train.shard))

# %%
held = report["numbers held by rank 0"]
total = sum(p.numel() for p in model.parameters())
print(f"rank 0 holds {held} of {total} numbers")
rounded_up = sum(-(-p.shape[0] // 2) * p[0].numel() for p in model.parameters())
assert held == 48_674 == rounded_up and compare("fsdp") <= 1e-12

# %% [markdown]
# **FSDP ≡ DDP ≡ one process.** A little more than half, because an axis of odd length cannot be halved: rank 0's part is rounded up.
#
# One trap: the **gradient norm** for clipping must be everybody's. A shard's own norm is too small, so that each rank would clip by another factor:

# %%
own = report["gradient norm, rank 0's shard"]
everybody = report["gradient norm, all"]
print(f"norm of rank 0's shard {own:.3f}, of the whole gradient {everybody:.3f}")
part = scale_train.take(data, torch.arange(scale_train.BATCH))
fresh = scale_train.new_model()
scale_train.loss_of(fresh(part), part["target"], scale_train.BATCH, 1).backward()
grads = [p.grad for p in fresh.parameters()]
print(f"in one process {float(torch.nn.utils.get_total_norm(grads)):.3f}")
assert np.isclose(everybody, float(torch.nn.utils.get_total_norm(grads)), rtol=1e-12)

# %% [markdown]
# A checkpoint of sharded weights is written by *all* ranks, each its own part (**distributed checkpoint**). It was saved by two processes. Load it in one. (Its index is a pickle, so load only what you or your colleagues saved.)

# %%
import torch.distributed.checkpoint as dcp

empty = {name: torch.zeros_like(p) for name, p in model.state_dict().items()}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "assuming the intent is to load in one process"
    dcp.load({"model": empty}, checkpoint_id=folder / "sharded", no_dist=True)
print(len(list((folder / "sharded").glob("*.distcp"))), "files, one from each rank")
assert compare("saved by 2, loaded by 1", empty) <= 1e-12

# %% [markdown]
# ## 7 · Compute it again: activation checkpointing
#
# **Activation checkpointing** keeps only what *enters* each segment of layers, and runs the segment again when its gradient is due (Chen et al. 2016).

# %% tags=["hide-input"]
canvas = draw.Canvas()
row_of = []
for i in range(4):
    color = "blue" if i % 2 == 0 else "gray"
    note = "kept" if i % 2 == 0 else "forgotten"
    made = draw.box(f"layer {i + 1}", note=f"input {note}", color=color)
    if row_of:
        row_of.append(canvas.place(made, right_of=row_of[-1], gap=34))
        canvas.arrow(row_of[-2], row_of[-1])
    else:
        row_of.append(canvas.place(made))
canvas.frame(row_of[:2], label="segment 1", padding=9)
canvas.frame(row_of[2:], label="segment 2: run again first", padding=9)
draw.show(
    canvas,
    alt="Four layers in two segments. The inputs of layers 1 and 3 are kept, those of "
    "2 and 4 forgotten. In the backward pass segment 2 is run again first.",
)

# %% [markdown]
# With $L$ equal layers in segments of $s$, there are $L/s$ inputs to keep, and one segment at a time is whole: $L/s + s$ instead of $L$, least at $s = \sqrt L$. The price is a second forward pass. A backward pass costs about two forwards, so in *operations* the step becomes $(1+1+2)/(1+2) = 4/3$ as long.
#
# By hand it is an `autograd.Function`: the forward pass keeps the input and the state of the random numbers, the backward pass runs the block again.

# %%
print(inspect.getsource(memory._Recompute))

# %% [markdown]
# PyTorch's own is `torch.utils.checkpoint.checkpoint(block, x, use_reentrant=False)`. Sixteen blocks, *with dropout*, in float64 and with an odd batch:

# %%
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

torch.manual_seed(0)
blocks = nn.Sequential()
for _ in range(16):
    inner = nn.Linear(128, 128), nn.GELU(), nn.Dropout(0.5), nn.Linear(128, 128)
    blocks.append(nn.Sequential(*inner))
blocks = blocks.double()
given = torch.randn(257, 128, dtype=torch.float64)


def forward(segment=None, how=memory.recompute):
    """The loss; segments of blocks are recomputed unless `segment` is None."""
    torch.manual_seed(1)  # the same dropout in each comparison
    y = given
    if segment is None:
        return blocks(y).square().mean()
    for start in range(0, 16, segment):
        y = how(blocks[start : start + segment], y)
    return y.square().mean()


def gradients(segment=None, how=memory.recompute):
    """All gradients, as one vector."""
    blocks.zero_grad()
    forward(segment, how).backward()
    return torch.cat([p.grad.flatten() for p in blocks.parameters()])


plain = gradients()
library = gradients(4, partial(checkpoint, use_reentrant=False))
no_random_state = {"use_reentrant": False, "preserve_rng_state": False}
forgotten = gradients(4, partial(checkpoint, **no_random_state))
for name, found in (("recompute, segments of 4", gradients(4)), ("PyTorch's", library)):
    gap = float((found - plain).abs().max() / plain.abs().max())
    assert gap <= 1e-12
    print(f"{name:26} relative difference: at most 1e-12")
gap = float((forgotten - plain).norm() / plain.norm())
print(f"{'without the random state':26} relative difference: {gap:.2f}")
assert gap > 0.02

# %% [markdown]
# **Checkpointing ≡ plain**, dropout included, because the state of the random numbers is kept and set again. Switch that off (`preserve_rng_state=False`) and the second forward draws *another* dropout: the gradient belongs to a network that never ran.

# %% tags=["free"]
segments = [None, 16, 8, 4, 2, 1]
gradients()  # gradients exist from here on, so that only activations are new
blocks.zero_grad(set_to_none=False)
peaks = []
for segment in segments:
    peaks.append(memory.peak_bytes(lambda s=segment: forward(s).backward()) / 1e6)
rounds = []
for _ in range(25):  # in turn, so that a busy moment hits all alike
    times = []
    for segment in segments:
        begin = time.perf_counter()
        forward(segment).backward()
        times.append(time.perf_counter() - begin)
    rounds.append(times)
seconds = np.min(rounds, axis=0)
for segment, peak, second in zip(segments, peaks, seconds):
    name = "all kept" if segment is None else f"segments of {segment}"
    print(f"{name:15} peak {peak:5.1f} MB, time × {second / seconds[0]:.2f}")
one_input = 8 * given.numel() / 1e6  # MB; a block keeps about four such arrays
inside = peaks[0] / 16 / one_input
print(f"a block keeps {inside:.1f} times its input; L/s + {inside:.1f} s predicts:")
told = [(16 / s + inside * s) * one_input for s in segments[1:]]
print("  ".join(f"{s}: {m:.1f} MB" for s, m in zip(segments[1:], told)))
assert segments[1:][np.argmin(told)] == segments[np.argmin(peaks)] == 2
assert min(peaks) < 0.45 * peaks[0]


# %%
def one_step(segment=None):
    """Forward and backward, recomputed by PyTorch's own."""
    how = partial(checkpoint, use_reentrant=False)
    forward(segment, how).backward()


plain_flops = cost.torch_flops(one_step)
for segment in (4, 1):
    with set_checkpoint_early_stop(False):  # else the last layers are left out
        again_flops = cost.torch_flops(lambda s=segment: one_step(s))
    grown = again_flops / plain_flops
    print(f"segments of {segment}: {grown:.3f} times the operations")
    assert abs(grown - 4 / 3) < 0.02
kept_part.compare("by about a third")

# %% tags=["hide-input", "free"]
fig, axes = plt.subplots(1, 2, figsize=(7.4, 2.9))
names = ["all\nkept"] + [str(s) for s in segments[1:]]
ratios = [s / seconds[0] for s in seconds]
for ax, values, title, form in (
    (axes[0], peaks, "Peak of the activations, MB", "{:.1f}"),
    (axes[1], ratios, "Time of a step, relative", "{:.2f}"),
):
    ax.bar(range(len(values)), values)
    for i, value in enumerate(values):
        ax.text(i, value, form.format(value), ha="center", va="bottom", fontsize=9)
    ax.set_xticks(range(len(values)), names)
    ax.set_xlabel("blocks in a segment")
    ax.set_title(title, loc="left", fontsize=10.5, fontweight="normal")
    ax.margins(y=0.15)
told = "; ".join(f"{n}: {p:.1f} MB".replace("\n", " ") for n, p in zip(names, peaks))
plot.show(fig, alt=f"Peak memory by segment length: {told}.")

# %% [markdown]
# In operations, a step grows by a third: that is the answer to the guess. By the clock it is more (a soft measure: other programs share the processor). Is it the dropout? Its random numbers are drawn in a forward pass only, and are not among the operations counted. The same blocks with dropout and without:

# %% tags=["free"]
for name, with_dropout in (("with dropout", True), ("without", False)):
    blocks.train(with_dropout)
    rounds = []
    for _ in range(25):
        times = []
        for segment, backward in ((None, False), (None, True), (4, True)):
            begin = time.perf_counter()
            loss = forward(segment)
            if backward:
                loss.backward()
            times.append(time.perf_counter() - begin)
        rounds.append(times)
    first, whole_step, again = np.min(rounds, axis=0)
    told = f"the forward pass is {first / whole_step:.2f} of a step"
    print(f"{name:12}: {told}; recomputed, a step takes × {again / whole_step:.2f}")
blocks = blocks.train()

# %% [markdown]
# Mostly: the forward pass is a larger part of a step with dropout, and a step takes about one forward pass longer.
#
# Memory: one segment of all 16 saves almost nothing, since everything is there at once when it is run again. Segments of 2 save most here, not of $\sqrt{16} = 4$: the formula counts one array per layer, but our block keeps about four inside, and $L/s + c\,s$ with $c \approx 4$ is least at 2 (the line under the table).

# %% [markdown]
# ## 8 · Mixed precision
#
# [train_pytorch](train_pytorch.ipynb) has autocast and the `GradScaler`. Here is why some things must stay in float32. Sixteen bits can be spent on *range* or on *digits*:

# %%
print(f"{'':10}{'largest':>10}{'smallest':>10}{'gap above 1':>24}")
for kind in (torch.float32, torch.bfloat16, torch.float16):
    info = torch.finfo(kind)
    name = str(kind).split(".")[1]
    smallest = info.smallest_normal * info.eps
    print(f"{name:10}{info.max:10.1e}{smallest:10.1e}{info.eps:24.1e}")

# %% [markdown]
# ### Range: a gradient that vanishes, and loss scaling
# float16 ends at about $6 \cdot 10^{-8}$. A gradient of $10^{-8}$ becomes 0 (**underflow**). **Loss scaling**: multiply the loss by a large number, and divide the gradient by it later, in float32.


# %%
def gradient_in_float16(scale):
    """Gradient of loss = 1e-4 · (x · w) with x = 1e-4, which is 1e-8."""
    x = torch.tensor(1e-4, dtype=torch.float16)
    w = torch.ones((), dtype=torch.float16, requires_grad=True)
    loss = (x * w) * (1e-4 * scale)
    loss.backward()
    return w.grad.float().item() / scale


for scale in (1, 1024, 65536):
    print(f"scale {scale:6}: gradient {gradient_in_float16(scale):.2e}")
assert gradient_in_float16(1) == 0 and abs(gradient_in_float16(1024) / 1e-8 - 1) < 0.02

# %% [markdown]
# bfloat16 has float32's range and needs no scaling. Two orders matter in the loop: *unscale before you clip*, and skip the step if a gradient is infinite.
#
# ### Digits: sums and small steps
# What must stay in float32?

# %%
ones = torch.tensor(0.0, dtype=torch.bfloat16)
for _ in range(1000):
    ones += 1
print("a thousand ones, added in bfloat16:", ones.item())
weight = torch.tensor(1.0, dtype=torch.bfloat16)
print("1 + 0.001 in bfloat16:", (weight + 0.001).item())
print("exp(12) in float16:", torch.tensor(12.0, dtype=torch.float16).exp().item())
assert ones.item() == 256 and (weight + 0.001).item() == 1

# %% [markdown]
# - **Sums** (losses, means, norms, the denominator of a softmax): bfloat16 has 8 digits of binary; at 256 the next number is 258, and adding 1 changes nothing.
# - **Weights**: a step of 0.001 on a weight of 1 is lost. So either the weights stay in float32 and are cast to 16 bits for each product, which is what autocast does; or 16-bit weights go with a float32 **master copy** in the optimizer.
# - **Exponentials** in float16: subtract the largest value first, or stay in float32.
#
# Does it matter for a result? A small network on the vectors of `mood`, five seeds, two learning rates, two budgets (stored):

# %% tags=["hide-input"]
precision = stored["precision"]
ways = ["float32", "bfloat16 by autocast", "bfloat16 throughout"]
rates = ["0.0001", "0.001"]
cells, labels = [], []
for way in ways:
    row = []
    for rate in rates:
        for epochs in ("4", "16"):
            row.append(np.mean(precision["accuracy"][f"{way}, {rate}"][epochs]))
    cells.append(row)
columns = [f"rate {rate}\n{e} epochs" for rate in rates for e in (4, 16)]
fig = plot.matrix(cells, "Test accuracy, mean of five seeds", ways, columns, form=".3f")
told = "; ".join(f"{w}: {np.round(r, 3).tolist()}" for w, r in zip(ways, cells))
plot.show(fig, alt=f"Accuracy by kind of number, rate and epochs. {told}.")

# %%
table = precision["accuracy"]
for rate in rates:
    for epochs in ("4", "16"):
        base = np.array(table[f"float32, {rate}"][epochs])
        for way in ways[1:]:
            found = np.array(table[f"{way}, {rate}"][epochs])
            gain, half = mean_and_interval(found - base)
            told = f"{gain:+.3f} ± {half:.3f}"
            print(f"rate {rate}, {epochs} epochs: {way} − float32: {told}")
            if "autocast" in way or rate == "0.001":
                assert abs(gain) <= half
            else:
                assert gain + half < 0

# %% [markdown]
# - **Autocast costs nothing that five seeds can show** (at rate 0.001 and 16 epochs, a loss of 0.8 points is not excluded).
# - **bfloat16 throughout** is clearly behind at the small rate, most of all at the small budget, and not at the large rate.
#
# Is it that small steps are lost on larger weights? Or do Adam's means need the digits? Once more in float32, with only one of the two rounded to bfloat16 after every step (stored):

# %%
digits = stored["digits"]
for rate in rates:
    for epochs in ("4", "16"):
        base = np.array(table[f"float32, {rate}"][epochs])
        told = []
        for part in ("weights", "means"):
            found = np.array(digits["accuracy"][f"{part}, {rate}"][epochs])
            gain, half = mean_and_interval(found - base)
            told.append(f"{part} {gain:+.3f} ± {half:.3f}")
            if part == "weights" and rate == "0.0001":
                throughout = np.array(table[f"bfloat16 throughout, {rate}"][epochs])
                assert gain + half < 0 and gain < np.mean(throughout - base) / 2
            else:
                assert abs(gain) <= half
        print(f"rate {rate}, {epochs} epochs, − float32: {', '.join(told)}")
    share = np.mean(digits["undone"][rate])
    print(f"    in the last epoch rounding undoes {share:.0%} of all steps of a weight")

# %% [markdown]
# It is the weights: rounding them costs more than half of what bfloat16 throughout loses, and rounding the means nothing that five seeds show. At the small rate most steps of a weight leave it where it was. At the large one still close to half do, and the accuracy does not show it: whether bfloat16 falls behind depends on rate and budget. (What else the rest comes from was not separated.)

# %% [markdown]
# ## 9 · `torch.compile`
#
# `torch.compile(model)` records the operations of a call as a **graph** and makes faster code from it. The graph holds for inputs like those that it saw; **guards** check that before each call, and if one fails, it is **recompiled**. How often? We count, with a backend of our own that compiles nothing. Batch sizes as at the end of an epoch:

# %%
import torch._dynamo

torch._dynamo.reset()
graphs = []


def counting(graph, inputs):
    """A backend that only counts."""
    graphs.append(graph)
    return graph.forward


torch.manual_seed(0)
small = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 3)).double()
watched = torch.compile(small, backend=counting)
numbers = torch.randn(64, 32, dtype=torch.float64)
for size in (64, 64, 41, 64, 41, 37, 1):
    watched(numbers[:size])
    print(f"batch of {size}: {len(graphs)} graph(s) so far")
assert len(graphs) == 3

# %% [markdown]
# The first batch gives a graph for exactly 64; the odd last batch a second one, which also serves 37 without compiling again. A batch of *one* is compiled anew: PyTorch treats the size 1 as a constant. Equality, with the same steps of the compiler but without its C++ (`aot_eager`), on the odd batch:

# %%
traced = torch.compile(small, backend="aot_eager")
ends = []
for run in (small, traced):
    small.zero_grad()
    run(numbers[:41]).square().mean().backward()
    ends.append(torch.cat([p.grad.flatten() for p in small.parameters()]))
gap = float((ends[0] - ends[1]).abs().max())
assert gap <= 1e-12
print("compiled and eager: largest difference at most 1e-12")

# %% [markdown]
# And with the usual backend, which writes C++ and needs a compiler on the machine (stored, one CPU core, four layers of 128 in float64):

# %%
found = stored["compile"]
print(f"batch of {found['batch']}, {found['steps']} steps of each, in turn")
for name in ("eager", "compiled"):
    one_row = found[name]
    first, later = one_row["first step, s"], one_row["later step, ms"]
    print(f"{name:9} first step {first:6.2f} s, later ones {later:.2f} ms (median)")
print("relative difference of gradients: at most 1e-12")
assert found["largest difference"] <= 1e-12
assert found["compiled"]["first step, s"] > 1

# %% [markdown]
# **Compiled ≡ eager.** In this one run on a busy machine the later steps are slower, so it never pays off. Elsewhere, (seconds of the first step) / (seconds saved in each later one) steps must follow before it does: measure your own.

# %% [markdown]
# ## 10 · Data larger than memory
#
# Put the samples into **shards**: files of a few hundred to a few thousand samples that are read from beginning to end. Inside memory there is only a **shuffle buffer**: each sample that is read goes in, and one drawn by chance comes out.

# %% tags=["hide-input"]
canvas = draw.Canvas()
shards_drawn = []
for i in range(4):
    color = "blue" if i % 2 == 0 else "orange"
    place = canvas.place(draw.box(f"shard {i}", color=color), y=i * 52)
    shards_drawn.append(place)
readers = []
for rank, color in ((0, "blue"), (1, "orange")):
    made = draw.box(f"rank {rank}", note="its own shards", color=color)
    place = canvas.place(made, right_of=shards_drawn, gap=90, y=(-52, 52)[rank])
    readers.append(place)
for i, place in enumerate(shards_drawn):
    canvas.arrow(place, readers[i % 2])
for rank, place in enumerate(readers):
    made = draw.box("buffer", note="shuffles", color="green")
    pool = canvas.place(made, right_of=place)
    batch_box = canvas.place(draw.box("batches"), right_of=pool)
    canvas.arrow(place, pool)
    canvas.arrow(pool, batch_box)
draw.show(
    canvas,
    alt="Four shards. Shards 0 and 2 go to rank 0, 1 and 3 to rank 1. Each rank has a "
    "buffer that shuffles, and gives batches.",
)

# %% [markdown]
# **WebDataset** is such a format, and a simple one: a tar file, with the files of a sample side by side. We write two sets of faces and voices from `mood`, one ten times as large as the other:

# %%
source = load("mood", "train")
columns = source.features().columns


def samples_of(number):
    """Samples as dicts: a key, a face, a voice, a label."""
    face, voice = columns["face"], columns["voice"]
    for i in range(number):
        yield {
            "key": f"{i:06d}",
            "face": face.store[face.index[i]],  # (32, 32, 3)
            "voice": voice.store[voice.index[i]].astype(np.float16),  # (126, 40)
            "target": int(source.labels[i]),
        }


for name, number in (("small", 300), ("large", 3000)):
    stream.write_tar_shards(samples_of(number), folder / name, per_shard=150)
    size = sum(path.stat().st_size for path in (folder / name).iterdir()) / 1e6
    print(f"{name}: {number} samples, {number // 150} shards, {size:.0f} MB")

# %% [markdown]
# ### Flat memory
# Read both, batch by batch, and look at the most that Python and NumPy held at once:


# %%
def read_all(shards):
    """Keys in order, the peak of Python's memory, growth of the process; in MB."""
    reader = stream.ShardStream(shards, 50, buffer=100)
    process = psutil.Process()
    before = largest = process.memory_info().rss
    keys = []
    tracemalloc.start()
    for batch in reader:
        keys += [sample["key"] for sample in batch]
        largest = max(largest, process.memory_info().rss)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return keys, peak, (largest - before) / 1e6


small_set = stream.TarShards(folder / "small")
large_set = stream.TarShards(folder / "large")
keys_small, peak_small, grown_small = read_all(small_set)
keys_large, peak_large, grown_large = read_all(large_set)
flat = peak_large < 1.3 * peak_small and peak_large < 10
said = "flat" if flat else "grows"
print(f"{len(keys_large) // len(keys_small)} times the samples, memory {said}")
assert flat and sorted(keys_large) == [f"{i:06d}" for i in range(3000)]

# %% tags=["free"]
print(f"peak: small set {peak_small:.1f} MB, large set {peak_large:.1f} MB")
print(f"the process grew by {grown_small:.1f} MB, then by {grown_large:.1f} MB")

# %% [markdown]
# Ten times the samples, the same memory: what is there at once is the buffer, one batch and one sample.
#
# ### How well is it shuffled?
# The order is a mixture of two draws: the shards, and the buffer. How much of the order on disk is left? The **rank correlation** between place on disk and place in the epoch is 1 if nothing is shuffled, and near 0 if everything is. And of how many of the 20 shards are the samples of one batch?

# %% tags=["hide-input"]


def how_mixed(buffer, shuffle_shards):
    """Size of the rank correlation; different shards in a batch of 64. Five seeds."""
    order, mixed = [], []
    for seed in range(5):
        lengths = [150] * 20 if shuffle_shards else [3000]
        keys = list(stream.read_order(lengths, seed=seed, buffer=buffer))
        places = np.array([shard * 150 + row for shard, row in keys])
        order.append(abs(spearmanr(places, range(len(places))).statistic))
        whole_batches = (places // 150)[: 46 * 64].reshape(46, 64)
        mixed.append(np.mean([len(set(row)) for row in whole_batches]))
    return np.mean(order), np.mean(mixed)


buffers = [0, 30, 100, 300, 1000, 3000]
fig, axes = plt.subplots(1, 2, figsize=(7.6, 3.1), layout="constrained")
in_order = np.array([how_mixed(buffer, False) for buffer in buffers]).T
in_shuffled = np.array([how_mixed(buffer, True) for buffer in buffers]).T
for ax, values, label in (
    (axes[0], in_order[0], "shards in order"),
    (axes[0], in_shuffled[0], "shards shuffled"),
    (axes[1], in_shuffled[1], "in either case"),
):
    ax.plot(range(len(buffers)), values, marker="o", label=label)
for ax in axes:
    ax.set_xticks(range(len(buffers)), buffers)
    ax.set_xlabel("samples in the buffer, of 3,000")
    ax.legend(fontsize=9)
axes[0].set_ylim(-0.1, 1.1)
axes[1].set_ylim(0, 21)
axes[0].set_title("Correlation with the order on disk", loc="left", fontsize=10.5)
axes[1].set_title("Different shards in a batch of 64", loc="left", fontsize=10.5)
rows = zip(buffers, in_order[0], in_shuffled[0], in_shuffled[1])
told = "; ".join(f"{b}: {a:.2f}, {c:.2f}, {d:.1f}" for b, a, c, d in rows)
plot.show(
    fig,
    alt="By size of the buffer: correlation with shards in order, then shuffled, "
    f"and different shards in a batch. {told}.",
)

# %%
for buffer in (0, 100, 300, 1000, 3000):
    i = buffers.index(buffer)
    told = f"{in_order[0, i]:.2f} with shards in order,"
    told += f" {in_shuffled[0, i]:.2f} with shards shuffled"
    print(f"buffer {buffer:5}: {told}; {in_shuffled[1, i]:4.1f} shards in a batch")
assert in_order[0, 0] > 0.999 and in_order[0, 2] > 0.95 and in_order[0, -1] < 0.1
assert max(in_shuffled[0]) < 0.3 and in_shuffled[1, 0] < 2 and in_shuffled[1, -1] > 18
assert np.abs(in_order[1] - in_shuffled[1]).max() < 0.5

# %% [markdown]
# A buffer of 100 leaves almost all of the order of 3,000. Shuffled shards alone take the correlation down, and yet a batch then comes from one or two shards: the correlation does not see that. If a shard holds one speaker, a batch has few of them, until the buffer is much larger than a shard. Hence shuffle once, well, **before you write the shards**.
#
# ### Each shard to one reader
# With several processes, and in each several loader workers, every shard must go to exactly one of them. Forget the workers, and each of them reads all that its rank has: every sample comes as often as there are workers, and nothing complains.
#
# **Your turn (blank 3).** `order` is the shuffled list of shards, the same everywhere.
# <details><summary>Hint</summary>
#
# `order[rank::world]` is what this process reads. Its workers divide *that* in the same way.
# </details>


# %%
def shards_of(order, rank, world, worker, workers):
    """The shards that this worker of this process reads, as a list."""
    # BEGIN SOLUTION
    mine = order[rank::world]
    return list(mine[worker::workers])
    # END SOLUTION


shards_of = check("scale.blank.3", shards_of)

# %%
order = list(range(21))
owners = {}
for rank in (0, 1):
    for worker in (0, 1, 2):
        owners[rank, worker] = shards_of(order, rank, 2, worker, 3)
        print(f"rank {rank}, worker {worker}: {owners[rank, worker]}")
given_once = sorted(sum(owners.values(), []))
print("each shard once:", given_once == order)
forgotten_workers = []
for rank in (0, 1):
    mine = sum(len(owners[rank, worker]) for worker in (0, 1, 2))
    print(f"rank {rank}: {mine} shards of 150, {-(-mine * 150 // 64)} batches of 64")
    for worker in (0, 1, 2):  # each believes that it is alone: worker 0 of 1
        forgotten_workers += shards_of(order, rank, 2, 0, 1)
times_read = {forgotten_workers.count(shard) for shard in order}
print("workers forgotten: every shard is read", *times_read, "times")
assert times_read == {3}

# %% [markdown]
# Rank 0 has two batches left when rank 1 has none: **it waits for a gradient that never comes** (not run here). So give every rank the same number of *batches*: equal shards, their number a multiple of ranks × workers, or let every rank stop at the smallest number of batches.
#
# ### Stop and resume at the very sample
# The order is computed from (seed, epoch, rank, worker), so a place in a stream is three numbers. They mean nothing with other shards, batches, buffer or readers, so those are saved too and compared. To resume, compute the order again, skip what was given, *and put into the buffer what waited there*:

# %%
reader = stream.ShardStream(stream.TarShards(folder / "large"), 64, buffer=300, seed=3)
running = iter(reader)
for _ in range(17):
    next(running)
state = reader.state_dict()
print("state:", state)
rest = [sample["key"] for batch in running for sample in batch]

again = stream.ShardStream(stream.TarShards(folder / "large"), 64, buffer=300)
again.load_state_dict(state)
resumed = [sample["key"] for batch in again for sample in batch]
said = "the same" if resumed == rest else "others"
print(f"{len(rest)} samples left; a new stream gives {said}, in the same order")
print("in the last batch:", len(rest) % 64)
assert resumed == rest and len(rest) == 3000 - 17 * 64
other = stream.ShardStream(stream.TarShards(folder / "large"), 64, buffer=100)
try:
    other.load_state_dict(state)
except ValueError as error:
    print("refused:", error)

# %% [markdown]
# ### Other readers, other formats
# The `webdataset` package reads the same files; **Parquet**, the format of tables, has **row groups**, which are shards inside one file; and a **memory-mapped** array lets the system load what is touched. Same stream, same order:

# %% tags=["real"] needs=["webdataset", "pyarrow"]
shards = stream.TarShards(folder / "large")
if is_installed("webdataset"):
    import webdataset

    paths = [str(path) for path in shards.paths[:2]]
    theirs = webdataset.WebDataset(paths, shardshuffle=False).decode()
    ours = [sample for i in (0, 1) for sample in shards.read(i)]
    pairs = list(zip(ours, theirs))
    equal = all((a["face"] == b["face.npy"]).all() for a, b in pairs)
    print(f"webdataset: {len(pairs)} samples, equal to ours: {equal}")
else:
    print("webdataset is not installed: not compared here")
if is_installed("pyarrow"):
    import pyarrow

    held, whole_pool = [], pyarrow.default_memory_pool()
    pools = [pyarrow.proxy_memory_pool(whole_pool) for _ in range(2)]
    for number, pool in zip((300, 3000), pools):
        pyarrow.set_memory_pool(pool)  # it records the most that Arrow holds
        stream.write_parquet(samples_of(number), folder / f"{number}.parquet", 150)
        groups = stream.ParquetShards(folder / f"{number}.parquet")
        keys, peak, _ = read_all(groups)
        held.append((peak, pool.max_memory() / 1e6))
    pyarrow.set_memory_pool(whole_pool)
    print("Parquet: same order:", keys == keys_large)
    (peak, arrow), (peak_10, arrow_10) = held
    flat = peak_10 < 1.3 * peak and 0 < arrow_10 < 1.3 * arrow
    print("10 times the samples, memory", "flat" if flat else "grows")
    table_stream = stream.ShardStream(groups, 50, buffer=100)
    running = iter(table_stream)
    for _ in range(17):
        next(running)
    again = stream.ShardStream(groups, 50, buffer=100)
    again.load_state_dict(table_stream.state_dict())
    rest = [sample["key"] for batch in running for sample in batch]
    resumed = [sample["key"] for batch in again for sample in batch]
    print("resumed after 17 batches: same rest:", resumed == rest == keys[17 * 50 :])
    assert flat and resumed == rest
else:
    print("pyarrow is not installed: not compared here")
np.save(folder / "faces.npy", np.stack([s["face"] for s in samples_of(3000)]))
mapped = np.load(folder / "faces.npy", mmap_mode="r")
blocks_of_rows = stream.ArrayShards({"face": mapped}, 150)
array_stream = stream.ShardStream(blocks_of_rows, 50, buffer=100)
keys = [sample["key"] for batch in array_stream for sample in batch]
print("memory-mapped: same order:", keys == keys_large)

# %% [markdown]
# ## 11 · What does it cost?
#
# Count operations first. A linear layer (n_in → n_out) does one multiplication and one addition for each weight and sample: $2\,b\,n_{in} n_{out}$ **FLOPs** (floating-point operations). The backward pass does it twice more: for the gradient of the weights, and of the input.
#
# **Your turn (blank 4).**
# <details><summary>Hint</summary>
#
# Forward and backward are three products of the same size, each of 2 operations per weight and sample.
# </details>


# %%
def linear_flops(batch, n_in, n_out):
    """Operations of a training step of a linear layer, forward and backward."""
    # BEGIN SOLUTION
    forward = 2 * batch * n_in * n_out
    return 3 * forward
    # END SOLUTION


linear_flops = check("scale.blank.4", linear_flops)

# %% [markdown]
# For a transformer with $N$ weights and $D$ tokens that gives $6ND$ (Kaplan et al. 2020; without embeddings and attention scores). For the trimodal model, layer by layer, beside PyTorch's own counter (layers that read the data need no gradient of their input: two products, not three):

# %%
one_batch = scale_train.take(data, torch.arange(64))
first_layers = ("encoders.face.convolutions.0", "encoders.voice.frames")
ours = cost.training_flops(model, lambda: model(one_batch), first_layers)
target = one_batch["target"]
theirs = cost.torch_flops(lambda: F.cross_entropy(model(one_batch), target).backward())
six = cost.transformer_flops(sum(p.numel() for p in model.parameters()), 64)
print(f"counted by us: {ours:,}   by PyTorch: {theirs:,}")
print(f"6 · weights · samples: {six:,.0f}, {ours / six:.1f} times too few")
assert ours == theirs

# %% [markdown]
# Exactly equal. $6ND$ is far off here, because a convolution uses each weight at many places, and an embedding is not multiplied at all. Use it for transformers.
#
# ### Energy, and an honest ± factor
# Where the processor has an energy counter (Linux, `/sys/class/powercap`), read it. Elsewhere it is an estimate, and an estimate says how far off it may be. Twelve printed digits prove nothing: a tool may multiply a constant power by the time.

# %% tags=["free"]
with cost.EnergyMeter() as meter:
    scale_train.train(scale_train.new_model(), data)
print(meter.report())
carbon = cost.emissions(meter.energy, 400, grid_factor=2)
print("CO₂ on a grid of 400 g per kWh:", carbon)

# %% [markdown]
# And a large one: 7 billion weights, 10¹² tokens, on cards that could do 10¹⁵ operations a second and reach 40 % of that, at about 1 kW each with hosts and cooling, and 2 dollars an hour. Each number has its own factor, and factors multiply (the worst case):

# %%
flops = cost.Estimate(cost.transformer_flops(7e9, 1e12), 1.2, "FLOP")
seconds_ = flops * cost.Estimate(1 / (0.4 * 1e15), 1.5, "s")
hours = cost.Estimate(seconds_.value / 3600, seconds_.factor, "card hours")
print("compute:", flops)
print("time:", hours)
print("energy:", hours * cost.Estimate(1.0, 1.4, "kWh"))
print("money:", hours * cost.Estimate(2.0, 1.5, "dollars"))

# %% [markdown]
# The brackets follow from factors that we assumed. Report a run like this: operations (counted how), hardware and hours, energy (measured or estimated, with the factor), grid, and what was *not* counted: failed runs, searches, the making of the machines (Strubell et al. 2019; Lacoste et al. 2019).

# %% [markdown]
# ## 12 · In Keras
#
# `tf.distribute.MirroredStrategy` is Keras's data parallel training on one machine with TensorFlow: everything inside `strategy.scope()` is mirrored. Without two GPUs, cut one CPU into two logical devices, before TensorFlow starts:
#
# ```python
# cpu = tf.config.list_physical_devices("CPU")[0]
# tf.config.set_logical_device_configuration(
#     cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
# strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
# with strategy.scope():
#     model = ...
#     model.compile(...)
# model.fit(data)
# ```
#
# `scale_keras.py` ran this against one device, in float64 (stored):

# %%
in_keras = stored["keras"]
print("Keras", in_keras["keras"], "and TensorFlow", in_keras["tensorflow"])
for name, found in in_keras.items():
    if isinstance(found, float):
        told = "at most 1e-12" if found <= 1e-12 else f"{found:.0e}"
        print(f"{name:36} largest difference {told}")
print("loop, odd batch, losses by sample:")
print("   ", in_keras["loop, odd batch, losses by sample"].split(":  ")[-1].strip())
print("keras.distribution has a file for:", end=" ")
print(", ".join(in_keras["keras.distribution has a file for"]))
print("that of TensorFlow begins with:", in_keras["keras.distribution on TensorFlow"])
print("functions in it that do nothing:", end=" ")
print(", ".join(in_keras["of it unfinished on TensorFlow"]))

# %%
right = ("fit, even batches", "loop, odd batch, divided by all")
for name in (*right, "accumulation, 20 + 20"):
    assert in_keras[name] <= 1e-12
for name in ("fit, odd last batch", "accumulation, 21 + 20"):
    assert in_keras[name] > 1e-6
assert "21 and 20" in in_keras["loop, odd batch, losses by sample"]
assert "DO NOT USE" in in_keras["keras.distribution on TensorFlow"]

# %% [markdown]
# - **Two logical CPUs ≡ one**, as long as batches are even.
# - With an odd last batch, `fit` runs, and averages 21 and 20 alike: the mean of means again. So does `gradient_accumulation_steps`. Use `drop_remainder=True`, or sum losses and divide by everybody's number in a step of your own, which is exact.
# - It **crashes** where vectors of unequal length are added: `strategy.reduce("SUM", losses, axis=None)` on losses by sample, 21 and 20. Reduce to one number in each replica first.
# - `keras.distribution`, the newer interface (`DataParallel`, `ModelParallel`), is whole **on the JAX backend only**: for PyTorch there is no file, and that of TensorFlow is unfinished and warns against itself. (Read from the source; JAX was not run here.)

# %% [markdown]
# ## 13 · Where you outgrow one machine
#
# By a sign that you measure; the numbers below are rules of thumb. Whatever comes next, the equality must still hold, and there must be a way back.
#
# | sign to measure | first, on one machine | next engine | equality that must still hold | way back |
# |---|---|---|---|---|
# | weights + Adam + activations > memory | bf16, checkpointing, accumulation | FSDP2 by `torchrun` | FSDP ≡ DDP ≡ one process, float64, odd batch | save as one file: 2 processes → 1 |
# | an epoch takes more than a day | profile, loader, `compile` | several nodes: `torchrun` + Slurm or Kubernetes | same weights with 1 node and with 2 | `--nnodes=1`, resume |
# | data > disk, or the loader takes > 30 % of a step | shards, Parquet, more workers | object storage with WebDataset; Ray Data | each sample once; exact resume | same shards in a local folder |
# | more than 50 trials to run | Optuna in two processes | Ray Tune, Dask | same trial, same score by seed | the objective is a plain function |
# | slow answers at 70 % load | batching, ONNX, int8 | several replicas; Ray Serve, KServe, Triton | same answers for the same inputs | the model is one file |
# | more than one team, or audits | one repository | Kubernetes, a model registry | cards, hashes and seeds agree | run from the repository |
#
# (Serving is the subject of lesson *deploy*.)
#
# ### Ray, for real
# **Ray** runs Python functions and objects (**actors**) in other processes and on other machines. In `scale_ray.py` two actors each compute the gradient of their half of a batch, for a small network; the caller combines the two with $n_k/N$ and takes the step. A second run kills one actor before step 3. The weights lie with the caller, so a new actor takes over (stored; the tests of the course run it):

# %%
ray_report = stored["ray"]
print("Ray", ray_report["ray"])
for name in ("two actors", "one killed"):
    one_run = ray_report[name]
    worst = max(one_run["largest difference by step"])
    told = "at most 1e-12" if worst <= 1e-12 else f"{worst:.0e}"
    print(f"{name}: {one_run['actors lost']} lost, from one process {told}")
    assert worst <= 1e-12
print("Ray Data gives the same batches:", ray_report["same batches"])

# %% [markdown]
# ### The launch file of a cluster
# On several nodes one `torchrun` starts on each, and they meet at the first one's address. `launch.render_slurm` writes the file for **Slurm**, `launch.render_kubernetes` that for **Kubernetes** (an indexed Job, and a headless Service that gives its pods names):

# %%
job = launch.Job(nodes=2, processes=8)
print(launch.render_slurm(job))

# %% [markdown]
# A **dry run** checks without a cluster: the shell syntax, the fields, nodes × processes = GPUs, and the endpoint.

# %%
text = launch.render_slurm(job)
print("Slurm:", launch.check_slurm(text, job) or "nothing wrong")
manifest = launch.render_kubernetes(job)
print("Kubernetes:", launch.check_kubernetes(manifest, job) or "nothing wrong")
broken = text.replace('"$HEAD:29500"', "localhost:29500")
broken = broken.replace("#SBATCH --nodes=2", "#SBATCH --nodes=1")
for fault in launch.check_slurm(broken, job):
    print("broken:", fault)

# %% [markdown]
# ## 14 · At full size
#
# The script, with the changes of section 5, on a machine with 8 GPUs, and Ray on a cluster. Nothing in this section was run for this course; the equalities above were, on two CPU cores.
#
# ```bash
# torchrun --nproc-per-node=8 scale_train.py /data/run       # with the changes of section 5
# sbatch course.sbatch                                       # section 13
# ray start --head; python scale_ray.py /data/run            # ray.init("auto")
# ```
#
# In Hugging Face's `accelerate` the loop keeps its form (`prepare`, `backward`); its `gradient_accumulation_steps` divides by *steps*, so with unequal parts give it the sum of losses over everybody's number, as here:
#
# ```python
# accelerator = Accelerator(gradient_accumulation_steps=4, mixed_precision="bf16")
# model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
# # loss_sum(model, batch): the summed loss; number: samples of all processes in this step
# for batch in loader:
#     with accelerator.accumulate(model):
#         accelerator.backward(loss_sum(model, batch) * 4 * world / number)
#         optimizer.step(); optimizer.zero_grad()
# ```

# %% [markdown]
# ## 15 · What to remember
#
# - First the equality (float64, a few steps, an odd last batch), then the speed.
# - Training with Adam holds 16 bytes per weight; activations grow with the batch, and are what recomputing saves.
# - Parts of a batch are weighted by $n_k/N$. The mean of means is wrong, quietly.
# - Every shard to exactly one reader; order from seed, epoch, rank and worker; then a place in a stream is three numbers.
# - An energy figure without "measured" or a ± factor is not a figure.

# %% [markdown]
# ## 16 · Check yourself
#
# <details><summary>1. A model has 3 GB of weights in float32. It does not fit on a card of 24 GB with Adam, though 3 is much less than 24. Why?</summary>
#
# Weights, gradients and Adam's two means are 12 GB; the rest is activations. Try a smaller batch with accumulation, or recompute.
# </details>
# <details><summary>2. Your loss differs in the fourth digit between one and two GPUs. A colleague says: floating-point noise. How do you find out?</summary>
#
# Run both in float64 for five steps with an odd last batch, without dropout and batch normalization. Noise falls below 1e-12; a wrong weight does not.
# </details>
# <details><summary>3. You train with checkpointing and dropout, and gradient checks fail only in training mode. What is missing?</summary>
#
# The random state: the second forward must draw the same dropout (`preserve_rng_state=True`).
# </details>
# <details><summary>4. Eight loader workers, four shards. What happens?</summary>
#
# Four workers have nothing to read. And if shards are split by rank only, all eight read the same samples.
# </details>
# <details><summary>5. The run hangs at the end of each epoch on two GPUs, never on one. What do you look at first?</summary>
#
# The number of batches on each rank: one has more, and waits in the all-reduce.
# </details>
# <details><summary>6. A tool says: 0.000417365912 kWh. Do you report it?</summary>
#
# Only after you know whether a counter was read. If it is a constant times the time, say so and give a factor.
# </details>

# %% [markdown]
# ## 17 · Exercises and where next
#
# [The exercises](exercises/scale.ipynb): gradients of unequal shards, a stream resumed exactly, *does it fit?*, two in PyTorch (recompute a block; synchronize replicas), and an open challenge: which activations to keep under a budget of bytes.
#
# **Where next:** lesson *compress*. · **Back to:** [train_pytorch](train_pytorch.ipynb), [multimodal_data](multimodal_data.ipynb), [interpret](interpret.ipynb).
#
# ## Sources
# Li et al. 2020, arXiv 2006.15704 (PyTorch distributed data parallel) · Zhao et al. 2023, arXiv 2304.11277 (FSDP) · Rajbhandari et al. 2019, arXiv 1910.02054 (ZeRO) · Chen et al. 2016, arXiv 1604.06174 (recomputation, sublinear memory) · Micikevicius et al. 2017, arXiv 1710.03740 (mixed precision, loss scaling) · Korthikanti et al. 2022, arXiv 2205.05198 (bytes of activations) · Kaplan et al. 2020, arXiv 2001.08361 (6ND) · Strubell et al. 2019, arXiv 1906.02243; Lacoste et al. 2019, arXiv 1910.09700 (energy and CO₂).
# Mean of means in libraries: pytorch/pytorch #67253, huggingface/transformers #608 and #34191, facebookresearch/fairseq #494, pytorch/torchtune #1875. Random state and checkpointing: allenai/OLMo #702. Duplicates in validation: pytorch/pytorch #25162.
