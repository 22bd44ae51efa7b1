# %% [markdown]
# # Training in PyTorch
# *You write a complete training loop, line by line, and then make it one that can be killed at any step and goes on without losing a bit.*
#
# {{budget}}
#
# **You will be able to**
# - feed a network from a `Dataset` through a `DataLoader`, with your own collate function, workers and seeds;
# - write a training loop and say what each line is for: schedule, clipping, accumulation, mixed precision;
# - save a checkpoint from which a run goes on exactly, and say what is lost if a part is missing;
# - find out where the seconds go, and read the logs in TensorBoard;
# - recognize the classic mistakes by their symptoms, and read a training loop in Lightning or accelerate.
#
# **Before this:** [neural_networks](neural_networks.ipynb) (gradients, Adam, overfitting), [multimodal_data](multimodal_data.ipynb) (padding and
# masks) and [fusion](fusion.ipynb) (the data set `mood` and its ceilings).
#
# **Time to read:** 120 minutes with the five blanks, best in two sittings (the second begins with section 9), then 60 for the
# [exercises](exercises/train_pytorch.ipynb). Words in **bold** are the field's own; the [glossary](glossary.md) has the main ones in
# English and Chinese.

# %% [markdown]
# ## 1 · A first loop

# %% tags=["hide-input"]
import importlib.util
import io
import json
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset
from tqdm.auto import tqdm

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, mood, results
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.preprocess.audio import log_mel
from mmcourse.torch.encoders import (
    AudioEncoder,
    ImageEncoder,
    MultimodalClassifier,
    TextEncoder,
)
from mmcourse.torch.fusion import Concatenate
from mmcourse.training.torch import to_device

np.set_printoptions(precision=3, suppress=True)
torch.set_printoptions(precision=3, sci_mode=False)
warnings.filterwarnings("ignore", module="lightning|torchmetrics")
stored = results("train_pytorch")
sys.modules["tensorboard.compat.notf"] = type(sys)("notf")  # TensorBoard: no TensorFlow
CLASSES = load("mood", "test").classes


def interval(values):
    """'0.754 ± 0.012': mean and 95 % interval over seeds, by Student's t."""
    mean, half = mean_and_interval(values)
    return f"{mean:.3f} ± {half:.3f}"


# %% [markdown]
# A message is a face, a voice and a sentence (data set `mood`, lesson [start_here](start_here.ipynb): drawn faces, a synthetic voice,
# written sentences). The label is how the sender feels. With sarcasm, no single modality is enough. There are 6,000 messages to learn from, and the
# test set has other faces, voices and sentences.

# %%
splits = ("train", "validation", "test")
train, validation, test = (load("mood", split) for split in splits)
print(train)
labels = [CLASSES[k] for k in train.labels[:6]]
fig = plot.images(train.column("face")[:6], titles=labels)
plot.show(fig, alt="Six small drawn faces, each with the label of its message.")
for words in train.column("words")[:3]:
    print("·", words)

# %% [markdown]
# Here is a whole training. You need not understand each line yet; by section 7 you will have written it yourself. (In lines with
# "expected … ± …", ± is the tolerance of the course's own check. Elsewhere ± is a 95 % interval over five seeds, by Student's t.)

# %% tags=["free"]
torch.manual_seed(0)
encoders = {
    "face": ImageEncoder(32),
    "voice": AudioEncoder(40, 32),
    "words": TextEncoder(len(train.vocabulary), 32),
}
quick = MultimodalClassifier(encoders, Concatenate([32] * 3, 128), classes=3)
optimizer = torch.optim.AdamW(quick.parameters(), lr=3e-3)
for epoch in range(3):
    losses = []
    for batch in train.torch_loader(64, seed=0, epoch=epoch):
        loss = F.cross_entropy(quick(batch), batch["target"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch + 1}: mean loss {np.mean(losses):.3f}")

# %%
quick.eval()
with torch.no_grad():
    (everybody,) = test.torch_loader(len(test))
    probability = quick(everybody).softmax(dim=1)  # (1500, 3)
right = (probability.argmax(dim=1) == everybody["target"]).float().mean().item()
commonest = np.bincount(train.labels).argmax()
majority = (np.asarray(test.labels) == commonest).mean()
expect_within("accuracy on 1,500 new messages", right, 0.80, 0.06)
always = f"always '{CLASSES[commonest]}', the commonest in training: {majority:.3f}"
print(f"{always}; chance: {1 / 3:.3f}")

# %% [markdown]
# A few seconds, and it is right four times in five on new messages. Ask it about single ones:


# %% tags=["hide-input", "free"]
def show_message(number=0):
    fig = plot.images([test.column("face")[number]], titles=[f"message {number}"])
    plot.show(fig, alt=f"The face of test message {number}.")
    print("words:", test.column("words")[number])
    said = ", ".join(f"{name} {p:.2f}" for name, p in zip(CLASSES, probability[number].tolist()))
    print("model:", said)
    print("label:", CLASSES[test.labels[number]])


widgets.slider(show_message, number=list(range(10)))

# %% [markdown]
# This is a training loop. It is *not* what you would leave running overnight. What it lacks is this lesson.

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# You train a model for ten hours. In hour six the power fails. On the disk is a file with the model's weights, written a
# minute before. You load it and train the four hours that were left. (The loop is that of section 7: one CPU, dropout, shuffled data.)
#
# Do you end with the model that you would have had? And if not: what else should have been in the file? Think of everything that changes while a
# loop runs.

# %%
power_guess = widgets.guess(
    "How many kinds of things, beside the weights, must be in the file?",
    [0, 1, 2, 3, 4, 5],
)

# %% [markdown]
# And a second one. Before the network sees a voice, somebody must turn the sound wave into a log-mel spectrogram (lesson [audio](audio.ipynb)). Suppose the data set does that anew each time a sample is asked for.

# %%
time_guess = widgets.guess(
    "Then what share of the training time goes into preparing data?",
    ["under half", "over half"],
)

# %% [markdown]
# Sections 10 and 12 answer. On the way you meet every part of a real training loop.

# %% [markdown]
# ## 3 · A step by hand

# %% [markdown]
# The smallest training there is: one weight $w$, and a loss $(w - 3)^2$ that is smallest at 3. The gradient is the slope of the loss:
# where it is positive, a smaller $w$ is better. So step against it.


# %%
def slope(w):
    return 2 * (w - 3)  # of the loss (w - 3)²


w, rate = 0.0, 0.3
for step in range(5):
    w = w - rate * slope(w)
    print(f"step {step + 1}: w = {w:.3f}, loss = {(w - 3) ** 2:.3f}")

# %% [markdown]
# PyTorch *adds* each new gradient to the one that is already there. That is useful where one weight is used twice, and a trap in a
# loop. What are the five values of $w$ if nobody sets the gradient back to zero?

# %%
w = nn.Parameter(torch.tensor(0.0))
for step in range(5):
    loss = (w - 3) ** 2
    loss.backward()  # adds to w.grad; nobody clears it
    with torch.no_grad():
        w -= rate * w.grad
    print(f"step {step + 1}: w = {w.item():.3f}, loss = {((w - 3) ** 2).item():.3f}")

# %% [markdown]
# It runs past 3, to about 6, and swings back like a pendulum. No error, no warning: only a loss that does not settle in these five steps.
#
# So every step clears the old gradient. Here it is as a cycle, with what flows from box to box.

# %% tags=["hide-input"]
canvas = draw.Canvas()
ring = [
    ("DataLoader", "the next 64 messages", "gray", 0, 0),
    ("forward", "model(batch)", "blue", 275, 0),
    ("loss", "cross_entropy", "blue", 545, 0),
    ("zero_grad", "forget the old gradient", "orange", 545, 150),
    ("backward", "loss.backward()", "orange", 275, 150),
    ("step", "optimizer, scheduler", "green", 0, 150),
]
places = []
for name, note, color, x, y in ring:
    part = draw.box(name, note=note, color=color, width=170, height=56, bold=True)
    places.append(canvas.place(part, x=x, y=y))
labels = (
    "face (64, 3, 32, 32), …",
    "logits (64, 3)",
    "a number",
    "",
    "a .grad per weight",
    "new weights",
)
for k, text in enumerate(labels):
    here, there = places[k], places[(k + 1) % 6]
    if k in (0, 1):
        canvas.arrow(here, there)
        canvas.text(text, (here.right[0] + there.left[0]) / 2, 76, size=12)
    elif k == 4:
        canvas.arrow(here, there)
        canvas.text(text, (here.left[0] + there.right[0]) / 2, 226, size=12)
    else:
        canvas.arrow(here, there, label=text)
draw.show(
    canvas,
    alt="A cycle of six boxes: the loader gives a batch, forward gives logits (64, 3), the loss is a number, zero_grad, backward fills a grad for each weight, step changes the weights; then the next batch.",
)

# %% [markdown]
# One round is a **training step**: one mini-batch in, one change of the weights out. All the rest of this lesson adds to this cycle. (`zero_grad` may stand anywhere between a step and the next `backward`.)

# %% [markdown]
# ### The optimizer
# With one rate for all, weights with small gradients hardly move beside those with large ones. **AdamW** keeps a running mean $m$ of the
# gradient $g$ and one, $v$, of its square:
#
# $$m \leftarrow \beta_1 m + (1-\beta_1)\,g \qquad v \leftarrow \beta_2 v + (1-\beta_2)\,g^2$$
# $$w \leftarrow w - \eta\lambda w \qquad w \leftarrow w - \eta\;\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \epsilon}$$
#
# $\eta$ is the learning rate, $\lambda$ the weight decay, $t$ the number of the step, from 1; $\beta_1 = 0.9$ and $\beta_2 = 0.999$ say how much of a mean
# is kept, a small $\epsilon$ avoids dividing by 0. Both means start at 0, so they are too small at first; dividing by $1-\beta^t$ corrects that.


# %%
def adamw(w, g, m, v, t, rate, decay, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    w = w - rate * decay * w
    return w - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


rng = np.random.default_rng(0)
w, gradients = rng.normal(size=3), rng.normal(size=(4, 3)) * [1, 100, 0.01]
theirs = nn.Parameter(torch.from_numpy(w.copy()))
optimizer = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3)
m, v = np.zeros(3), np.zeros(3)
for t, g in enumerate(gradients, start=1):
    before = w
    w, m, v = adamw(w, g, m, v, t, rate=0.1, decay=0.3)
    theirs.grad = torch.from_numpy(g)
    optimizer.step()
    print(f"step {t}: gradient {g}, w {w}")
gap = np.abs(w - theirs.detach().numpy()).max()
assert gap < 1e-12
print("largest difference from torch.optim.AdamW: below 1e-12")

# %% [markdown]
# Look at a first step alone: $m/(1-\beta_1)$ is $g$, the root is $|g|$, and the quotient is ±1. *Every* weight moves by the
# full rate, however small its gradient. Keep that in mind: it is one reason for a warm-up, and it comes back in section 10.

# %%
g = np.array([1.0, 100.0, 0.01])
first, _, _ = adamw(np.zeros(3), g, 0, 0, t=1, rate=0.1, decay=0)
print("first step for gradients 1, 100 and 0.01:", first.round(4))

# %% [markdown]
# **Which weights decay?** Weight decay pulls a weight towards 0. By convention only matrices decay; biases and the
# factors of normalization layers are left alone. (0.3 is the value of the course's recipe; PyTorch's default is 0.01.) An optimizer takes **parameter groups**, each with settings of its own.


# %%
def parameter_groups(model, weight_decay=0.3):
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


for group in parameter_groups(nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))):
    print("decay", group["weight_decay"], [tuple(p.shape) for p in group["params"]])

# %% [markdown]
# ## 4 · The data: Dataset, collate, DataLoader

# %% [markdown]
# A **Dataset** answers two questions: how many samples are there, and what is sample $i$? It is a class with
# `__len__` and `__getitem__`, and here is ours. A voice and a sentence have their own length; nothing is padded yet.


# %%
class Messages(Dataset):
    """One message per index, as tensors."""

    def __init__(self, split):
        every = split.features().batch(np.arange(len(split)))  # NumPy, padded
        self.face = torch.from_numpy(every["inputs"]["face"]).permute(0, 3, 1, 2)
        self.voice = torch.from_numpy(every["inputs"]["voice"])
        self.words = torch.from_numpy(every["inputs"]["words"])
        self.num_frames = every["padding_mask"]["voice"].sum(axis=1).tolist()
        self.num_words = every["padding_mask"]["words"].sum(axis=1).tolist()
        self.target = torch.from_numpy(every["target"])

    def __len__(self):
        return len(self.target)

    def __getitem__(self, i):
        return {
            "face": self.face[i],  # (3, 32, 32)
            "voice": self.voice[i, : self.num_frames[i]],  # (frames, 40)
            "words": self.words[i, : self.num_words[i]],  # (words,)
            "target": self.target[i],
        }


messages = Messages(train)
for i in (0, 1):
    print({name: tuple(value.shape) for name, value in messages[i].items()})

# %% [markdown]
# Two messages, two lengths. `torch.stack` refuses such a list, so we say ourselves how samples become a batch: that is the
# **collate function**. It pads each sequence with zeros to the longest of the batch and keeps a **mask**, True where a value is real.
#
# Write the part that pads. `sequences` is a list of tensors $(t_i, \dots)$; give back the padded tensor $(b, t, \dots)$ and the mask $(b, t)$.
# <details><summary>Hint 1</summary>`nn.utils.rnn.pad_sequence(sequences, batch_first=True)` pads with zeros. Without `batch_first` time would come first.</details>
# <details><summary>Hint 2</summary>The mask: compare `torch.arange(t)`, a row, with the lengths as a column `(b, 1)`.</details>


# %%
def pad(sequences):
    """A list of (t_i, ...) → zero-padded (b, t, ...), mask (b, t), True = real."""
    # BEGIN SOLUTION
    padded = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(padded.shape[1]) < lengths[:, None]
    return padded, mask
    # END SOLUTION


pad = check("train_pytorch.blank.1", pad)


# %%
def collate(samples):
    """A list of messages → one batch."""
    voice, voice_mask = pad([sample["voice"] for sample in samples])
    words, words_mask = pad([sample["words"] for sample in samples])
    return {
        "inputs": {
            "face": torch.stack([sample["face"] for sample in samples]),
            "voice": voice,
            "words": words,
        },
        "padding_mask": {"voice": voice_mask, "words": words_mask},
        "target": torch.stack([sample["target"] for sample in samples]),
    }


two = collate([messages[0], messages[1]])
print("voice", tuple(two["inputs"]["voice"].shape))
print("words", two["inputs"]["words"].tolist())
print("mask ", two["padding_mask"]["words"].int().tolist())

# %% [markdown]
# The **DataLoader** does the rest: it draws an order, asks the data set for the samples of each batch, and calls the collate function.
# With `num_workers` above 0, other processes do this in advance, while the network computes.

# %% tags=["hide-input"]
canvas = draw.Canvas()
sampler = canvas.place(draw.box("sampler", note="17, 4, 250, …", color="gray", width=130), x=0, y=70)
workers = [
    canvas.place(
        draw.box(
            f"worker {k}",
            note="dataset[i] for its batch, then collate",
            width=170,
            color="blue",
        ),
        x=195,
        y=y,
    )
    for k, y in ((0, 0), (1, 130))
]
queue = canvas.place(
    draw.box(
        "finished batches",
        note="prefetch_factor = 2 per worker",
        width=150,
        color="orange",
    ),
    x=432,
    y=63,
)
loop = canvas.place(draw.box("your loop", color="green"), x=630, y=76)
for worker in workers:
    canvas.arrow(sampler, worker)
    canvas.arrow(worker, queue)
canvas.arrow(queue, loop)
canvas.text("indices", 140, 38, size=12)
canvas.text("batches", 418, 34, size=12)
draw.show(
    canvas,
    alt="The sampler hands indices to two workers; each fetches the samples of a batch and collates them; finished batches wait in a queue for the loop.",
)


# %%
def make_loader(dataset, batch_size=64, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)  # the order, and the workers' seeds
    return DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        collate_fn=collate,
        generator=generator,
        **options,
    )


loader = make_loader(messages)
validation_loader = DataLoader(Messages(validation), 500, collate_fn=collate)
test_loader = DataLoader(Messages(test), 500, collate_fn=collate)
batch = next(iter(loader))
for name, values in batch["inputs"].items():
    print(f"{name:6}{tuple(values.shape)}")
print("batches per epoch:", len(loader), "  last batch:", len(messages) % 64)

# %% [markdown]
# Shuffle the training data; test data need no shuffling. The `generator` decides the order and, with workers, their seeds. Nothing else draws from it,
# so the order does not depend on other random numbers, such as those of dropout or of the initialization.

# %%
first_labels = []
for seed in (0, 0, 1):
    torch.rand(3)  # somebody else draws: it does not matter
    first_batch = next(iter(make_loader(messages, seed=seed)))
    first_labels.append(first_batch["target"][:12].tolist())
    print("seed", seed, "- first labels:", first_labels[-1])
assert first_labels[0] == first_labels[1] != first_labels[2]

# %% [markdown]
# ### Workers and random numbers
# A data set often draws random numbers itself: a crop, some noise. With workers there is a trap. Each worker gets a *copy* of the data set, and of any
# random generator in it. Here is a small program of its own: eight samples, two workers, batches of two, and the numbers that each worker draws.

# %% tags=["free"]
program = """
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info


class Noise(Dataset):
    def __init__(self):
        self.rng = np.random.default_rng(0)

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return get_worker_info().id, self.rng.integers(1000)


def seed_worker(worker_id):
    info = get_worker_info()  # its seed: the loader's plus worker_id
    info.dataset.rng = np.random.default_rng(info.seed)


if __name__ == "__main__":
    for function in (None, seed_worker):
        generator = torch.Generator().manual_seed(0)
        options = {"worker_init_fn": function, "generator": generator}
        print("worker_init_fn:", getattr(function, "__name__", None))
        for worker, numbers in DataLoader(Noise(), 2, num_workers=2, **options):
            print("   worker", worker[0].item(), "draws", numbers.tolist())
"""
noise_file = Path(tempfile.mkdtemp()) / "noise.py"
noise_file.write_text(program)
finished = subprocess.run([sys.executable, noise_file], capture_output=True, text=True)
print(finished.stdout)
drawn = re.findall(r"draws (.*)", finished.stdout)
assert drawn[0] == drawn[1] and drawn[2] == drawn[3] and len(set(drawn[4:])) == 4

# %% [markdown]
# Without `worker_init_fn`, both workers draw the *same* numbers: your augmentation repeats itself, without an error. `worker_init_fn` runs in each worker at its start and gives it
# a seed of its own. (PyTorch seeds its own generator and the global ones of Python and NumPy in each worker; a generator *object* it cannot know.)
# Workers cost a start-up in each epoch unless `persistent_workers=True`, and memory for their copies. On Windows and macOS a worker imports your program anew, so the
# data set must be in a `.py` file, as here, and not in a notebook. Our samples lie in memory ready to use, so this lesson uses no workers; for files that must be decoded, try them.
# For a GPU, `pin_memory=True` puts each batch into memory that stays in place, from which `.to(device, non_blocking=True)` can copy while the program goes on.

# %% [markdown]
# ## 5 · The model: encoders and fusion

# %% [markdown]
# Each modality has an **encoder**, a module that turns its input into a vector of 32 numbers. The vectors are joined (fusion by concatenation, lesson [fusion](fusion.ipynb)), and a **head** makes
# three logits of them. The voice's encoder takes mean and spread (standard deviation) over the real frames *and their number*: that is how the length of a voice reaches the network. Before they are joined, each vector is brought to unit scale (`rms_norm`).

# %% tags=["hide-input"]
canvas = draw.Canvas()
rows = (
    ("face", "(64, 3, 32, 32)", "ImageEncoder", "2 convolutions", "blue"),
    ("voice", "(64, t, 40) + mask", "AudioEncoder", "mean, spread, length", "orange"),
    ("words", "(64, n) + mask", "TextEncoder", "mean of word vectors", "green"),
)
found = []
for k, (name, shape, encoder, note, color) in enumerate(rows):
    y = 78 * k
    source = canvas.place(draw.box(name, note=shape, color="gray", width=140, height=56), x=0, y=y)
    middle = canvas.place(draw.box(encoder, note=note, color=color, width=165, height=56), x=165, y=y)
    canvas.arrow(source, middle)
    found.append(middle)
joined = canvas.place(draw.box("join", note="(64, 96)", color="pink", width=84, height=56), x=411, y=78)
for place in found:
    canvas.arrow(place, joined, label="(64, 32)" if place is found[0] else "")
head = canvas.place(
    draw.box(
        "head",
        note="Linear 128, ReLU, dropout, Linear",
        color="pink",
        width=130,
        height=96,
    ),
    x=521,
    y=58,
)
canvas.arrow(joined, head)
canvas.arrow(head, (722, 106), label="(64, 3)")
draw.show(
    canvas,
    alt="Face, voice and words each go through an encoder to (64, 32); the three are concatenated to (64, 96); a head of two linear layers gives logits (64, 3).",
)


# %%
class MoodModel(nn.Module):
    def __init__(self, num_words, width=32, dropout=0.2):
        super().__init__()
        self.face = ImageEncoder(width)
        self.voice = AudioEncoder(40, width)
        self.words = TextEncoder(num_words, width)
        hidden = nn.Linear(3 * width, 128)
        rest = nn.ReLU(), nn.Dropout(dropout), nn.Linear(128, 3)
        self.head = nn.Sequential(hidden, *rest)

    def forward(self, batch):
        inputs, masks = batch["inputs"], batch["padding_mask"]
        face = self.face(inputs["face"])  # (b, 32)
        voice = self.voice(inputs["voice"], masks["voice"])  # (b, 32)
        words = self.words(inputs["words"], masks["words"])  # (b, 32)
        vectors = [F.rms_norm(v, v.shape[-1:]) for v in (face, voice, words)]
        return self.head(torch.cat(vectors, dim=1))  # (b, 3)


def build(seed=0, dropout=0.2):
    torch.manual_seed(seed)  # for the initialization
    return MoodModel(len(train.vocabulary), dropout=dropout)


model = build()
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

# %% [markdown]
# **Three checks before any training.** A model that finds all three classes equally likely loses $\ln 3 = 1.099$ per message. Each parameter gets a gradient. And the model can memorize one small
# batch. They take a second and catch many mistakes.

# %%
model, batch = build(), next(iter(make_loader(messages)))
loss = F.cross_entropy(model(batch), batch["target"])
loss.backward()
expect_within("1. first loss", loss.item(), 1.10, 0.12)
gradients = {name: p.grad for name, p in model.named_parameters()}
silent = [name for name, g in gradients.items() if g is None or not g.any()]
print("2. parameters without a gradient:", silent)

one = collate([messages[i] for i in range(32)])
model = build(dropout=0.0)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
for step in range(100):
    loss = F.cross_entropy(model(one), one["target"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
expect_within("3. loss on 32 messages after 100 steps", loss.item(), 0.0, 0.05)
assert silent == []

# %% [markdown]
# ## 6 · The learning rate: a schedule

# %% [markdown]
# In the first step Adam moves every weight by the full rate, in a direction that a single batch has chosen. That is one reason to let the rate climb first: **warm-up**. How long is found by trying; section 14 measures what it is worth. Later, small steps settle what large ones found: **decay**.
# The rule that says which step has which rate is the **learning-rate schedule**. This one climbs in a straight line, then falls along half a cosine. With $S$ steps in all, of which
# $s_0 = 0.3\,S$ warm up, step $s$, counted from 0, has the rate $\eta\,f(s)$; the very first is 0:
#
# $$f(s) = \begin{cases} s/s_0 & s < s_0 \\ \tfrac12 + \tfrac12\cos\!\big(\pi\,\tfrac{s-s_0}{S-s_0}\big) & \text{else}\end{cases}$$


# %%
def warmup_cosine(step, total, warmup=0.3):
    start = round(warmup * total)
    if step < start:
        return step / start
    return 0.5 + 0.5 * math.cos(math.pi * (step - start) / max(total - start, 1))


print("ten steps:", np.array([warmup_cosine(s, 10) for s in range(10)]))

# %% [markdown]
# (`fused=True` below updates all weights in one call, by the same formula.) In PyTorch a **scheduler** holds the optimizer and changes its rate. `LambdaLR` takes any function of the step that gives a factor. Call `scheduler.step()` once after each `optimizer.step()`:


# %%
def recipe(model, total, learning_rate=1e-2, warmup=0.3):
    """AdamW for the model, and a scheduler for `total` steps."""
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=learning_rate, fused=True)
    factor = partial(warmup_cosine, total=total, warmup=warmup)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return optimizer, scheduler


optimizer, scheduler = recipe(build(), total=10)
rates = []
for step in range(10):
    rates.append(optimizer.param_groups[0]["lr"])
    optimizer.step()  # no gradients: moves nothing
    scheduler.step()
print("rates × 1000 by LambdaLR:", 1000 * np.array(rates))
assert np.allclose(rates, [0.01 * warmup_cosine(s, 10) for s in range(10)])

# %% [markdown]
# PyTorch has the parts ready-made, too: `LinearLR` and `CosineAnnealingLR`, one after the other in `SequentialLR`. `LinearLR` may not start at 0, so it starts at a tiny share.

# %%
plain = torch.optim.AdamW(build().parameters(), lr=1e-2)
up = torch.optim.lr_scheduler.LinearLR(plain, start_factor=1e-8, total_iters=3)
down = torch.optim.lr_scheduler.CosineAnnealingLR(plain, T_max=7)
chained = torch.optim.lr_scheduler.SequentialLR(plain, [up, down], milestones=[3])
ready_made = []
for step in range(10):
    ready_made.append(plain.param_groups[0]["lr"])
    plain.step()
    chained.step()
print("rates × 1000 by SequentialLR:", 1000 * np.array(ready_made))
assert np.allclose(rates, ready_made, atol=1e-9)

# %% [markdown]
# Move the sliders. What happens to the first and to the last steps?


# %% tags=["hide-input"]
def show_schedule(peak=0.01, warmup=0.3, stop_after=1.0):
    steps = np.arange(100)
    rate = peak * np.array([warmup_cosine(s, 100, warmup) for s in steps])
    done = steps < 100 * stop_after
    fig, ax = plot.plt.subplots(figsize=(7, 3))
    ax.plot(steps, rate, color=plot.GRAY, linestyle=":")
    ax.plot(steps[done], rate[done], color=plot.BLUE, linewidth=2.5)
    ax.set(
        xlabel="step",
        ylabel="learning rate",
        ylim=(0, 0.032),
        title="How large is a step, and when?",
    )
    plot.show(
        fig,
        alt=f"The rate climbs to {peak} in {warmup:.0%} of the steps, then falls along a cosine; the run ends after {stop_after:.0%}.",
    )
    print(f"the last step has {rate[done][-1] / peak:.3f} of the peak")


widgets.slider(
    show_schedule,
    peak=[0.003, 0.01, 0.03],
    warmup=[0.0, 0.1, 0.3, 0.5],
    stop_after=[0.4, 0.6, 0.8, 1.0],
)

# %% [markdown]
# The third slider shows a trap: a run that ends before its schedule never takes the small steps. **When to step?** This schedule counts *steps*, so `scheduler.step()` belongs inside the batch loop. Others count epochs
# (`StepLR`, `ReduceLROnPlateau`) and belong after it. Called once per epoch, a schedule made for steps never gets out of its warm-up, and the whole first epoch has the rate 0: section 14 shows what that looks like.

# %% [markdown]
# ## 7 · The loop

# %% [markdown]
# Everything is there. **Write the training step**: forward, loss, forget the old gradient, backward, move the weights, and let the schedule take its step. Return the loss as a Python number.
# <details><summary>Hint 1</summary>Follow the cycle of section 3, clockwise. The loss is `F.cross_entropy(logits, batch["target"])`.</details>
# <details><summary>Hint 2</summary>Order: `logits`, `loss`, `optimizer.zero_grad()`, `loss.backward()`, `optimizer.step()`, `scheduler.step()`, `return loss.item()`.</details>


# %%
def train_step(model, batch, optimizer, scheduler):
    """One step on one batch; returns the loss, a float."""
    # BEGIN SOLUTION
    logits = model(batch)
    loss = F.cross_entropy(logits, batch["target"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return loss.item()
    # END SOLUTION


train_step = check("train_pytorch.blank.2", train_step)

# %% [markdown]
# **And the measurement.** A module has two modes: `model.train()` switches dropout on, `model.eval()` switches it off. `torch.no_grad()` is something else: it tells autograd not to keep what `backward` would need, which saves memory and time.
# Measuring wants both. Write it: mean loss and accuracy over *samples* (the last batch may be smaller). Put the model back into training mode at the end.
# <details><summary>Hint</summary>Collect the logits and the targets of all batches, `torch.cat` each of them, and compute loss and accuracy once. `.item()` makes a float of a tensor.</details>


# %%
def evaluate(model, loader):
    """Mean loss and accuracy over all samples of a loader, two floats."""
    # BEGIN SOLUTION
    model.eval()
    with torch.no_grad():
        made = [(model(batch), batch["target"]) for batch in loader]
    model.train()
    logits, target = (torch.cat(values) for values in zip(*made))
    accuracy = (logits.argmax(dim=1) == target).float().mean()
    return F.cross_entropy(logits, target).item(), accuracy.item()
    # END SOLUTION


evaluate = check("train_pytorch.blank.3", evaluate)

# %% [markdown]
# Now the loop. The bar shows where it is; after each epoch it measures on the validation set and prints a line.


# %%
def train_model(model, loader, epochs, validation_loader=None, seed=1, **settings):
    """Train; returns a list of {"loss", "val_loss", "val_accuracy"}, one per epoch."""
    total = epochs * len(loader)
    optimizer, scheduler = recipe(model, total, **settings)
    torch.manual_seed(seed)  # for dropout
    model.train()
    history = []
    with tqdm(total=total, disable=validation_loader is None) as bar:
        for epoch in range(epochs):
            losses = []
            for batch in loader:
                losses.append(train_step(model, batch, optimizer, scheduler))
                bar.update()
            entry = {"loss": np.mean(losses)}
            if validation_loader is not None:
                measured = evaluate(model, validation_loader)
                entry["val_loss"], entry["val_accuracy"] = measured
            history.append(entry)
    return history


# %% tags=["free"]
model = build()
history = train_model(model, make_loader(messages), 8, validation_loader)
for epoch, entry in enumerate(history, start=1):
    said = "  ".join(f"{name} {value:.3f}" for name, value in entry.items())
    print(f"epoch {epoch}: {said}")

# %% tags=["free", "hide-input"]
fig = plot.curves(
    {
        "training": [h["loss"] for h in history],
        "validation": [h["val_loss"] for h in history],
    },
    title="What does it learn, and does it carry over?",
    levels={"knows nothing": np.log(3)},
)
plot.show(
    fig,
    alt="Training and validation loss fall together from near 1.1 and flatten near 0.2.",
)

# %% [markdown]
# Judge it by the test set. The data of `mood` are drawn from a table that we know, so the best possible accuracy is known, too: the **ceiling**. And before you praise a network, fit a *linear* model on simple
# features: the face in 8 × 8 pixels, the voice's average and length, and which words occur.


# %% tags=["hide-input"]
def simple_features(data):
    face = F.avg_pool2d(data.face, 4).flatten(1)  # (n, 3 · 8 · 8)
    length = torch.tensor(data.num_frames)[:, None]
    means = [voice[:t].mean(dim=0) for voice, t in zip(data.voice, data.num_frames)]
    words = torch.zeros(len(data), len(train.vocabulary))
    for row, ids, n in zip(words, data.words, data.num_words):
        row[ids[:n]] = 1
    return torch.cat([face, torch.stack(means), length, words], dim=1).numpy()


linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
linear.fit(simple_features(messages), train.labels)
linear_accuracy = linear.score(simple_features(test_loader.dataset), test.labels)

# %% tags=["target"]
_, reached = evaluate(model, test_loader)
ceiling = mood.bayes_accuracy()
expect_within("test accuracy as a share of its ceiling", reached / ceiling, 0.98, 0.03)

# %% tags=["free", "hide-input"]
bars = {
    "always the commonest": (majority, None),
    "linear, simple features": (linear_accuracy, mood.additive_accuracy()),
    "your loop": (reached, ceiling),
}
fig = plot.bar_with_ceiling(
    list(bars),
    [a for a, _ in bars.values()],
    [c for _, c in bars.values()],
    chance=1 / 3,
    title="Where does the loop end up? (n = 1,500)",
)
plot.show(
    fig,
    alt="Three bars: the commonest class 0.36, a linear model at 0.75, the trained network near its ceiling of 0.93.",
)

# %%
expect_within("linear model on simple features", linear_accuracy, 0.78, 0.08)
best_sum = mood.additive_accuracy()
rest = f"network: {reached:.3f}; ceiling: {ceiling:.3f}"
print(f"best by adding up: {best_sum:.3f}; {rest}")
assert linear_accuracy < best_sum < reached

# %% [markdown]
# The marker on the linear model's bar is the best that any model can reach that only *adds up* evidence from the three modalities (lesson [fusion](fusion.ipynb)): sarcasm is beyond it. The network (one seed) is above, close to the ceiling for all models.

# %% [markdown]
# ## 8 · Clipping and accumulation

# %% [markdown]
# **Gradient clipping.** If the norm of *all* gradients together exceeds a limit $c$, all are scaled by one factor, so that the direction stays: $g \leftarrow g \cdot c / \lVert g \rVert$. It goes between `backward` and `step`.

# %%
layer = nn.Linear(4, 3)
layer.weight.grad, layer.bias.grad = torch.full((3, 4), 3.0), torch.full((3,), -4.0)
before = nn.utils.clip_grad_norm_(layer.parameters(), max_norm=1.0)  # in place
after = torch.cat([layer.weight.grad.flatten(), layer.bias.grad]).norm()
by_hand = np.sqrt(12 * 3**2 + 3 * 4**2)
print(f"norm before {before:.3f}, by hand {by_hand:.3f}; after {after:.3f}")
ratio = (layer.bias.grad[0] / layer.weight.grad[0, 0]).item()
print(f"ratio of the two kinds {ratio:.3f}, as before: -4/3")

# %% [markdown]
# Does it help *here*? AdamW divides by the size of the gradient already: were *all* gradients of a run shorter by one factor, its steps would stay the same. A single clipped spike does change $m$ and $v$. Section 14 has the measured answer. In a network whose gradients explode, clipping is what keeps plain gradient descent alive: lesson [rnn](rnn.ipynb).

# %% [markdown]
# The batch you want does not fit into memory? Then use that `backward` *adds*. **Gradient accumulation** runs several small batches, and only then takes a step.

# %% tags=["hide-input"]
canvas = draw.Canvas()
small = []
for k in range(4):
    small.append(
        canvas.place(
            draw.box("16 messages", note="forward, backward", color="blue", width=130),
            x=146 * k,
            y=0,
        )
    )
total = canvas.place(
    draw.box(
        "p.grad",
        note="adds up ¼ of each loss's gradient",
        color="orange",
        width=568,
        height=50,
    ),
    x=0,
    y=100,
)
for k, place in enumerate(small):
    x = place.center[0]
    canvas.arrow(place, (x, 97))
canvas.place(draw.box("zero_grad", color="gray", width=110, height=44), x=600, y=4)
step = canvas.place(draw.box("clip, step", color="green", width=110, height=50), x=600, y=100)
canvas.arrow(total, step)
canvas.text("once before", 655, 62, size=12)
canvas.text("once after", 655, 164, size=12)
draw.show(
    canvas,
    alt="Four small batches of 16 messages run forward and backward one after the other; their gradients add up in p.grad; zero_grad once before, clip and step once after.",
)

# %% [markdown]
# The loss is a mean, so each small loss must be weighted by its share of the big batch. With four equal parts that is ¼; with an unequal last one it is not.

# %%
model_a, big = build(dropout=0.0), collate([messages[i] for i in range(56)])
F.cross_entropy(model_a(big), big["target"]).backward()
wanted = torch.cat([p.grad.flatten() for p in model_a.parameters()])


def accumulated(weight_of):
    """The gradient of 56 messages in parts of 16, 16, 16 and 8."""
    model_a.zero_grad()
    for first in range(0, 56, 16):
        part = collate([messages[i] for i in range(first, min(first + 16, 56))])
        share = weight_of(len(part["target"]))
        (F.cross_entropy(model_a(part), part["target"]) * share).backward()
    return torch.cat([p.grad.flatten() for p in model_a.parameters()])


for name, weight_of in (
    ("no weight", lambda n: 1),
    ("¼ each", lambda n: 1 / 4),
    ("n / 56", lambda n: n / 56),
):
    gap = (accumulated(weight_of) - wanted).norm() / wanted.norm()
    print(f"{name:10} relative difference from the big batch {gap:.3f}")
assert gap < 1e-5

# %% [markdown]
# Only the true share gives the big batch's gradient. (Batch normalization would still see the small batches: accumulation cannot fix that.)

# %% [markdown]
# ## 9 · Fewer bits: mixed precision

# %% [markdown]
# A float32 number takes 32 bits. Many GPUs multiply 16-bit numbers faster, and they take half the memory. There are two 16-bit formats, and they spend their bits differently.

# %%
print(f"{'':9} {'smallest above 0':>17} {'largest':>9} {'next after 1':>13}")
for dtype in (torch.float16, torch.bfloat16, torch.float32):
    info = torch.finfo(dtype)
    smallest = info.smallest_normal * info.eps  # the smallest subnormal number
    print(f"{str(dtype)[6:]:9} {smallest:17.0e} {info.max:9.0e} {1 + info.eps:13.7f}")

# %% tags=["hide-input"]
canvas = draw.Canvas()
scale, zero = 8.2, 390  # pixels per power of ten, where 1 lies
spans = (
    ("float16", -7.2, 4.8, "orange", "11 bits of precision: 3 digits"),
    ("bfloat16", -40.0, 38.5, "blue", "8 bits of precision: 2 digits"),
    ("float32", -44.9, 38.5, "green", "24 bits of precision: 7 digits"),
)
for k, (name, low, high, color, note) in enumerate(spans):
    width = (high - low) * scale
    text = name if name == "float16" else f"{name} · {note}"
    bar = draw.box(text, color=color, width=width, height=40)
    canvas.place(bar, x=zero + low * scale, y=54 * k)
canvas.text(spans[0][4], zero + 4.8 * scale + 120, 20, size=12)
bottom = 3 * 54 + 4
canvas.line((zero - 45 * scale, bottom), (zero + 40 * scale, bottom))
for power, text in (
    (-40, "10⁻⁴⁰"),
    (-30, "10⁻³⁰"),
    (-20, "10⁻²⁰"),
    (-10, "10⁻¹⁰"),
    (0, "1"),
    (10, "10¹⁰"),
    (20, "10²⁰"),
    (30, "10³⁰"),
):
    x = zero + power * scale
    canvas.line((x, bottom - 4), (x, bottom + 4))
    canvas.text(text, x, bottom + 18, size=12)
draw.show(
    canvas,
    alt="Three bars on a scale of powers of ten: float16 covers 6e-8 to 65,504 with 3 digits, bfloat16 almost the whole range of float32 with 2 digits, float32 from 1e-45 to 3e38 with 7 digits.",
)

# %% [markdown]
# **float16** has a short range: what is smaller than about $6 \cdot 10^{-8}$ becomes 0 (**underflow**), what is larger than 65,504 becomes infinite (**overflow**). **bfloat16** keeps the range of float32 and gives up digits.
# In both, a weight can lose a small step in the rounding:

# %%
for dtype in (torch.float16, torch.bfloat16, torch.float32):
    w = torch.tensor(1.0, dtype=dtype)
    for step in range(1000):
        w = w - torch.tensor(1e-4, dtype=dtype)
    print(f"{str(dtype)[6:]:9} 1 - 1000 × 0.0001 = {w.item():.4f}")

# %% [markdown]
# So one mixes. In **mixed precision** weights, sums and losses stay in float32, and the large products run in 16 bits. Inside `torch.amp.autocast` PyTorch chooses for each operation; what it keeps in float32 is listed in its documentation, by device. The loss we compute outside, in float32:

# %%
model = build(dropout=0.0)
with torch.amp.autocast("cpu", dtype=torch.bfloat16):  # on a GPU: "cuda"
    logits = model(batch)
print("logits", logits.dtype, "  weights", model.head[0].weight.dtype)
F.cross_entropy(logits.float(), batch["target"]).backward()
print("gradients", model.head[0].weight.grad.dtype)

# %% [markdown]
# ### Gradients that vanish
# Gradients are small. Here is one product in float16 whose four weights have true gradients $10^{-6}$, $10^{-7}$, $10^{-8}$ and $10^{-9}$. (This runs on a CPU: float16 has the same range everywhere.)

# %%
scaler_guess = widgets.guess("How many of the four arrive in float16?", [1, 2, 3, 4])

# %%
inputs = torch.tensor([[1.0, 0.1, 0.01, 0.001]])


def tiny_gradients(scale):
    """Gradients of a tiny loss, in float16, with the loss multiplied by `scale`."""
    weight = nn.Parameter(torch.zeros(1, 4))
    with torch.amp.autocast("cpu", dtype=torch.float16):
        output = F.linear(inputs, weight)  # float16
    loss = (output.float() * 1e-6).sum()
    (loss * scale).backward()
    return weight.grad[0]


def show_numbers(name, values):
    print(f"{name:26}", "  ".join(f"{value:9.2e}" for value in values.tolist()))


plain = tiny_gradients(1.0)
show_numbers("true", inputs[0] * 1e-6)
show_numbers("in float16", plain)
show_numbers("loss × 65,536", tiny_gradients(65536.0))
show_numbers("  … then / 65,536", tiny_gradients(65536.0) / 65536.0)
arrived = int((plain > 0).sum())
scaler_guess.compare(arrived)
assert arrived == 2 and (tiny_gradients(65536.0) > 0).all()

# %% [markdown]
# Two are exactly 0, and the second has lost most of its digits. **Loss scaling** multiplies the *loss* by a large number before `backward`; by the chain rule every gradient is multiplied by it, and now they fit. Divide afterwards, in float32, and they are back.
#
# How large a factor? Too small, and gradients vanish; too large, and they overflow to infinity. Move the slider: these are the gradients of a model after two epochs, on one batch, as they would be stored in float16.

# %% tags=["hide-input", "free"]
settled = build(dropout=0.0)
train_model(settled, make_loader(messages), epochs=2)
settled.zero_grad()
F.cross_entropy(settled(batch), batch["target"]).backward()
real_gradients = torch.cat([p.grad.flatten() for p in settled.parameters()])
real_gradients = real_gradients[real_gradients != 0]


def show_scale(power=0):
    scaled = real_gradients.abs() * 2.0**power
    stored_16 = scaled.to(torch.float16)
    lost = (stored_16 == 0).float().mean().item()
    infinite = torch.isinf(stored_16).float().mean().item()
    fig, ax = plot.plt.subplots(figsize=(7.5, 3))
    ax.hist(scaled.log10().numpy(), bins=np.linspace(-16, 9, 80), color=plot.BLUE)
    ax.axvspan(-16, math.log10(6e-8), color=plot.ORANGE, alpha=0.25)
    ax.axvspan(math.log10(65504), 9, color=plot.ORANGE, alpha=0.25)
    top = ax.get_ylim()[1]
    ax.text(-15.7, 0.9 * top, "becomes 0")
    ax.text(5.0, 0.9 * top, "infinite")
    ax.set(
        xlim=(-16, 9),
        xlabel="size of a gradient times the scale, power of ten",
        ylabel="gradients",
    )
    ax.set_title(f"scale 2^{power}: {lost:.1%} become 0, {infinite:.1%} become infinite")
    plot.show(
        fig,
        alt=f"Histogram of the sizes of a model's gradients times 2 to the power {power}, with the ranges that float16 cannot hold shaded at both ends.",
    )
    return lost, infinite


widgets.slider(show_scale, power=[0, 4, 8, 12, 16, 20, 24])

# %% [markdown]
# Nobody knows the right factor beforehand, and gradients change during training. So a **GradScaler** looks for it: it starts high (65,536). If any gradient is not finite, it *skips the step* and halves the scale; after a number of good
# steps in a row it doubles it.
#
# **Write the decision.** `gradients` is a list of scaled arrays. Give back the gradients divided by the scale (or an empty list, if any number in them is not finite: skip the step), and the scale of the next step: half of it after a skipped step; twice as much when `num_good`, the good steps in a row with this one, is a multiple of `interval`; else unchanged.
# <details><summary>Hint</summary>First ask: `all(np.isfinite(g).all() for g in gradients)`. If not: `return [], scale / 2`.</details>


# %%
def unscale(gradients, scale, num_good, interval=4):
    """The true gradients, or an empty list, and the scale of the next step."""
    # BEGIN SOLUTION
    if not all(np.isfinite(g).all() for g in gradients):
        return [], scale / 2
    next_scale = 2 * scale if num_good % interval == 0 else scale
    return [g / scale for g in gradients], next_scale
    # END SOLUTION


unscale = check("train_pytorch.blank.4", unscale)

# %%
scale, num_good = 65536.0, 0
for step, largest in enumerate([0.4, 3.0, 1.2, 0.5, 0.3, 0.2, 0.2, 0.1], start=1):
    with np.errstate(over="ignore"):
        scaled = np.array([largest * scale, 1e-8 * scale]).astype(np.float16)
    got, next_scale = unscale([scaled.astype(np.float32)], scale, num_good + 1)
    num_good = num_good + 1 if got else 0
    said = "skipped: not finite"
    if got:
        said = f"gradients {got[0][0]:.2f} and {got[0][1]:.1e}"
    print(f"step {step}: scale {scale:6.0f}   {said}")
    scale = next_scale

# %% [markdown]
# PyTorch's does the same, with an interval of 2,000 steps. This is how a step with it is written, clipping included: *unscale before you clip*, or the limit is compared with scaled gradients. (The rate is at its peak from the first step, so here the loss rises at first. With a schedule, step it only after a step that was not skipped: section 16.)

# %% tags=["free"]
scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)  # on a GPU: "cuda"
model = build(dropout=0.0)
optimizer, scheduler = recipe(model, total=100, warmup=0.0)


def amp_step(batch, spoil=False):
    with torch.amp.autocast("cpu", dtype=torch.float16):
        logits = model(batch)
    loss = F.cross_entropy(logits.float(), batch["target"])
    optimizer.zero_grad()
    scaler.scale(loss).backward()  # loss × scale
    if spoil:
        model.head[0].bias.grad[0] = torch.inf  # an overflow
    scaler.unscale_(optimizer)  # gradients / scale, in float32
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    scaler.step(optimizer)  # skipped, if a gradient is not finite
    scaler.update()  # the next scale
    return loss.item()


for spoil in (False, True, False):
    before = nn.utils.parameters_to_vector(model.parameters()).clone()
    loss = amp_step(batch, spoil)
    after = nn.utils.parameters_to_vector(model.parameters())
    moved = (after - before).abs().max().item()
    scale = scaler.get_scale()
    print(f"loss {loss:.3f}   weights moved: {moved > 0}   scale now {scale:.0f}")
    assert (moved > 0) != spoil
assert scaler.get_scale() == 2.0**15

# %% [markdown]
# bfloat16 has the range of float32, so it needs no scaler: only `autocast`. Where the GPU has it (from NVIDIA's Ampere on), take bfloat16; on older ones float16 with a scaler. How much time it saves depends on the device, and is not measured here; the *range*, and the way to write it, are the same.

# %% [markdown]
# ## 10 · Stop and go on, stop early, keep a log

# %% [markdown]
# Now section 2. What changes while the loop runs? Count the boxes.

# %% tags=["hide-input"]
canvas = draw.Canvas()
contents = (
    ("model", "every weight (and buffers)", "blue"),
    ("optimizer", "m, v and t of each weight", "orange"),
    ("scheduler", "which rate comes next", "green"),
    ("step", "the next batch of the epoch", "pink"),
    ("random state", "the next dropout mask", "gray"),
)
boxes = []
for k, (name, note, color) in enumerate(contents):
    part = draw.box(name, note=note, color=color, width=225, height=52)
    boxes.append(canvas.place(part, x=0, y=64 * k))
canvas.frame(boxes, label="torch.save({…}, path)")
file = canvas.place(draw.box("checkpoint.pt.tmp", note="written first, whole", width=170), x=320, y=60)
named = canvas.place(
    draw.box("checkpoint.pt", note="then renamed, at once", color="green", width=170),
    x=320,
    y=190,
)
canvas.arrow((242, 145), file)
canvas.arrow(file, named, label="os.replace")
canvas.text(
    "If the power fails while the\nfile is written, the old\ncheckpoint is still there.",
    600,
    150,
    size=13,
)
draw.show(
    canvas,
    alt="Five things go into one file: model weights, optimizer moments, scheduler, step, random state; the file is written under another name and then renamed.",
)

# %% [markdown]
# A **checkpoint** is a file from which a run can go on. Modules, optimizers and schedulers each have a `state_dict()`, a dictionary of plain values. **Write the dictionary** with the keys `model`, `optimizer`, `scheduler`, `step` and `rng`. The state of PyTorch's random generator is `torch.get_rng_state()`.
# <details><summary>Hint</summary>`{"model": model.state_dict(), …, "step": step, "rng": torch.get_rng_state()}`</details>


# %%
def everything(model, optimizer, scheduler, step):
    """All that this run needs to go on exactly, a dictionary."""
    # BEGIN SOLUTION
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "step": step,
        "rng": torch.get_rng_state(),
    }
    # END SOLUTION


everything = check("train_pytorch.blank.5", everything)


# %%
def save_checkpoint(path, *parts):
    torch.save(everything(*parts), f"{path}.tmp")
    os.replace(f"{path}.tmp", path)  # all or nothing


def load_checkpoint(path, model, optimizer, scheduler, leave_out=()):
    """Put everything back (except what is left out); returns the step."""
    saved = torch.load(path, weights_only=True)
    model.load_state_dict(saved["model"])
    if "optimizer" not in leave_out:
        optimizer.load_state_dict(saved["optimizer"])
    if "scheduler" not in leave_out:
        scheduler.load_state_dict(saved["scheduler"])
    for group, rate in zip(optimizer.param_groups, scheduler.get_last_lr()):
        group["lr"] = rate  # a fresh optimizer would take one step at rate 0
    if "random state" not in leave_out:
        torch.set_rng_state(saved["rng"])
    return 32 if "place in the epoch" in leave_out else saved["step"]


# %% [markdown]
# The loop needs one more idea: the order of an epoch must be known *without playing the epochs before it*. So we seed the loader with the epoch's number, and skip the batches that are done. (They are loaded in vain; with large data, let the sampler start in the middle.)

# %%
few = make_loader(Subset(messages, range(1000)))  # 16 batches per epoch


def run(model, epochs=4, path=None, resume=False, power_fails_at=None, leave_out=()):
    """Train on the few messages, a checkpoint every 5 steps; returns {step: loss}."""
    total = epochs * len(few)
    optimizer, scheduler = recipe(model, total)
    torch.manual_seed(1)
    model.train()
    step, losses = 0, {}
    if resume:
        step = load_checkpoint(path, model, optimizer, scheduler, leave_out)
    while step < total:
        epoch, done = divmod(step, len(few))
        few.generator.manual_seed(epoch)
        for batch in islice(few, done, None):
            if step == power_fails_at:
                raise KeyboardInterrupt("the power failed")
            losses[step] = train_step(model, batch, optimizer, scheduler)
            step += 1
            if path is not None and not resume and step % 5 == 0:
                save_checkpoint(path, model, optimizer, scheduler, step)
    return losses


def weights(model):
    return nn.utils.parameters_to_vector(model.parameters()).detach()


folder = Path(tempfile.mkdtemp())
path = folder / "checkpoint.pt"
whole = build()
whole_losses = run(whole)

victim = build()
try:
    run(victim, path=path, power_fails_at=37)
except KeyboardInterrupt as accident:
    print(accident, "- files:", sorted(file.name for file in folder.iterdir()))

resumed = build(seed=99)  # a new object, other weights
resumed_losses = run(resumed, path=path, resume=True)
print(f"goes on at step {min(resumed_losses)}, ends after step {max(resumed_losses)}")
apart = (weights(whole) - weights(resumed)).abs().max().item()
print(f"largest difference of {len(weights(whole)):,} weights: {apart}")
assert torch.equal(weights(whole), weights(resumed))
assert all(whole_losses[step] == loss for step, loss in resumed_losses.items())
power_guess.compare(4)

# %% tags=["hide-input"]
tracks = {
    "never stopped": [(0, 64, "64 steps, 4 epochs")],
    "stopped": [(0, 35, "saved every 5 steps"), (37, "power fails")],
    "resumed": [(35, 64, "from the file of step 35")],
}
draw.show(
    draw.timeline(tracks, end=64, unit="step", width=520),
    alt="Three lanes over 64 steps: a run that was never stopped; one that saves every five steps and fails at step 37; one that goes on from the file of step 35 to 64.",
)

# %% [markdown]
# Two steps are done twice, and the end is the same to the last bit. Other loops have more to save: with mixed precision `scaler.state_dict()`; with early stopping its best value, epoch and weights; on a GPU `torch.cuda.get_rng_state_all()`; with workers that draw random numbers, seeds that follow from the epoch.
#
# **And if something is missing?** Leave out one thing at a time:

# %% tags=["free"]
heads = ("first loss after", "equal?", "weights differ by up to")
print(f"{'left out':20} {heads[0]:>17} {heads[1]:>7} {heads[2]:>24}")
first_step = min(resumed_losses)
outcome = {}
for missing in (
    "nothing",
    "optimizer",
    "scheduler",
    "place in the epoch",
    "random state",
):
    other = build(seed=99)
    other_losses = run(other, path=path, resume=True, leave_out=(missing,))
    equal = torch.equal(weights(other), weights(whole))
    apart = (weights(other) - weights(whole)).abs().max().item()
    first_loss = other_losses[min(other_losses)]
    outcome[missing] = equal
    said = "yes" if equal else "no"
    print(f"{missing:20} {first_loss:17.4f} {said:>7} {apart:24.3f}")
assert outcome.pop("nothing") and not any(outcome.values())

# %% [markdown]
# In this run each of the four was needed, and nothing failed without it: it just became another run. A fresh scheduler begins its warm-up again; without its place, the run starts the epoch again, at step 32; without the random state it goes on with the dropout masks of a fresh start. And the *rate* lives in the optimizer, too: that is why `load_checkpoint` sets it. Whether the *end* is worse is another question, and one run cannot answer it. But a run that cannot be repeated cannot be compared, and a bug in it cannot be played again.
#
# The optimizer is the part most often forgotten. How far does the next step move a weight, in units of the learning rate?


# %%
def next_move(leave_out):
    model = build(seed=99)
    optimizer, scheduler = recipe(model, total=64)
    step = load_checkpoint(path, model, optimizer, scheduler, leave_out)
    rate = scheduler.get_last_lr()[0]
    few.generator.manual_seed(step // 16)
    before = weights(model).clone()
    train_step(model, next(islice(few, step % 16, None)), optimizer, scheduler)
    return ((weights(model) - before).abs() / rate).numpy()


with_all, fresh = next_move(()), next_move(("optimizer",))
expect_within("mean move with the saved optimizer", with_all.mean(), 0.07, 0.05)
expect_within("mean move with a fresh one", fresh.mean(), 0.65, 0.2)
for name, moves in (("saved", with_all), ("fresh", fresh)):
    far = (moves > 0.5).mean()
    print(f"{name}: {far:.0%} of the weights move by over half the rate")
assert (fresh > 0.5).mean() > 0.5 > 0.1 > (with_all > 0.5).mean()

# %% [markdown]
# A fresh Adam takes its first step again, as in section 3, only now in the middle of the run and without warm-up. (Weights that move less have a gradient of 0 in this batch, or of the size of ε.)

# %% [markdown]
# ### Why a pickle is dangerous
# `torch.save` writes a **pickle**, and a pickle is not data but a little program: loading it can call any function. This object, harmless, asks for `print`. A malicious one would ask for something else.


# %%
class Trojan:
    def __reduce__(self):
        return print, ("  this line was printed by LOADING a file",)


buffer = io.BytesIO()
torch.save({"weight": torch.zeros(2), "extra": Trojan()}, buffer)

buffer.seek(0)
print("weights_only=False:")
torch.load(buffer, weights_only=False)  # our own file: never do this with another's

buffer.seek(0)
print("weights_only=True:")
try:
    torch.load(buffer, weights_only=True)
except Exception as error:
    print(" ", type(error).__name__, "- it refuses to call `print`")

# %% [markdown]
# `weights_only=True` (the default since PyTorch 2.6) restricts the file to tensors, plain values and a short list of allowed functions. Before 2.6 there was a hole in it (CVE-2025-32434), so keep PyTorch up to date. For weights that are passed on, and from strangers, use **safetensors**: a short header in JSON and then the numbers. There is nothing in it that could run.

# %%
from safetensors.torch import load_file, save_file

save_file(whole.state_dict(), folder / "weights.safetensors", metadata={"step": "64"})
back = build(seed=99)
back.load_state_dict(load_file(folder / "weights.safetensors"))
content = (folder / "weights.safetensors").read_bytes()
header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
print("header of one tensor:", header["head.3.bias"])
apart = (weights(back) - weights(whole)).abs().max().item()
print("largest difference of a weight:", apart)
assert torch.equal(weights(back), weights(whole))

# %% [markdown]
# ### Early stopping
# On few messages, a model of 97,000 weights overfits. **Early stopping** ends a run when the validation loss has not improved for `patience` epochs, and brings back the best epoch's weights.

# %% tags=["free"]
model = build()
few_history, best, patience = [], {"val_loss": math.inf}, 4
optimizer, scheduler = recipe(model, total=20 * len(few))
torch.manual_seed(1)
few.generator.manual_seed(0)
for epoch in range(20):
    losses = [train_step(model, batch, optimizer, scheduler) for batch in few]
    val_loss, val_accuracy = evaluate(model, validation_loader)
    few_history.append({"loss": np.mean(losses), "val_loss": val_loss})
    if val_loss < best["val_loss"]:
        state = {name: value.clone() for name, value in model.state_dict().items()}
        best = {"val_loss": val_loss, "epoch": epoch, "state": state}
    elif epoch - best["epoch"] >= patience:
        break
model.load_state_dict(best["state"])
print(f"stopped after epoch {epoch + 1}; best epoch {best['epoch'] + 1}")

# %% tags=["free", "hide-input"]
fig = plot.curves(
    {
        "training": [h["loss"] for h in few_history],
        "validation": [h["val_loss"] for h in few_history],
    },
    title="When does it begin to overfit?",
    levels={"the best, kept": best["val_loss"]},
)
plot.show(
    fig,
    alt="Training loss keeps falling while the validation loss turns up after some epochs; the lowest validation loss is kept.",
)

# %%
kept_loss, _ = evaluate(model, validation_loader)
assert kept_loss == best["val_loss"] <= few_history[-1]["val_loss"]
print("the validation loss of what was kept is the lowest of the run")

# %% [markdown]
# Note `.clone()`: a `state_dict` refers to the weights themselves, so without it the "best" weights would go on changing. And remember the slider of section 6: this run stops soon after the warm-up (6 of 20 epochs) and never takes its schedule's small steps.

# %% [markdown]
# ### TensorBoard
# A log that outlives the notebook: `SummaryWriter` writes numbers by step into a folder, and the program TensorBoard draws them in a browser, also while the run goes on.

# %%
from torch.utils.tensorboard import SummaryWriter

log_folder = tempfile.mkdtemp()
with SummaryWriter(log_folder) as writer:
    for step, loss in whole_losses.items():
        writer.add_scalar("loss/train", loss, step)
        writer.add_scalar("learning rate", 0.01 * warmup_cosine(step, 64), step)

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

logs = EventAccumulator(log_folder).Reload()
read = [event.value for event in logs.Scalars("loss/train")]
print(f"{len(read)} losses read back, curves: {', '.join(logs.Tags()['scalars'])}")
assert np.allclose(read, list(whole_losses.values()))

# %% [markdown]
# To see them: `tensorboard --logdir FOLDER` in a terminal, then open the address that it prints; in a notebook, `%load_ext tensorboard` and `%tensorboard --logdir FOLDER`. Every run in a folder of its own below `FOLDER` becomes a curve of its own.

# %% [markdown]
# ## 11 · The same result twice

# %% [markdown]
# **Reproducible** means: the same program gives the same numbers. That takes equal seeds (`torch.manual_seed` for weights and dropout, a generator for the order, `worker_init_fn`), the same versions, the same hardware, and operations that add in a fixed order.
# On a GPU some operations add in the order in which threads finish. `torch.use_deterministic_algorithms(True)` makes PyTorch choose fixed ones, or raise an error where there is none; some need the environment variable `CUBLAS_WORKSPACE_CONFIG=:4096:8`. Why the order matters at all:

# %% tags=["free"]
big, small = torch.tensor(1e8), torch.tensor(1.0)
print(
    "(1e8 + 1) - 1e8 =",
    ((big + small) - big).item(),
    "   (1e8 - 1e8) + 1 =",
    ((big - big) + small).item(),
)

first, second = build(), build()
run(first), run(second)
different = build(seed=1)
run(different)
same = (weights(first) - weights(second)).abs().max().item()
print(f"same seeds, two runs: they end {same} apart")
apart = (weights(different) - weights(first)).abs().max().item()
print(f"other initial weights: they end up to {apart:.1f} apart")
assert same == 0 < apart

# %% [markdown]
# A fixed seed makes a result repeatable. It does not make it *true*: that takes several seeds (lesson [evaluate](evaluate.ipynb)).

# %% [markdown]
# ## 12 · Where do the seconds go?

# %% [markdown]
# Measure before you speed up. Four stopwatches around the four parts of a step:


# %% tags=["free"]
def stopwatch(batches):
    """Seconds of each part over one epoch."""
    spent = Counter()
    model = build()
    optimizer, scheduler = recipe(model, total=len(few))
    start = perf_counter()

    def lap(name):
        nonlocal start
        spent[name] += perf_counter() - start
        start = perf_counter()

    for batch in batches:
        lap("data")
        loss = F.cross_entropy(model(batch), batch["target"])
        lap("forward")
        optimizer.zero_grad()
        loss.backward()
        lap("backward")
        optimizer.step()
        scheduler.step()
        lap("optimizer")
    return spent


class FromWaves(Messages):
    """The same messages, but each voice is made from its wave when it is asked for."""

    def __init__(self, split):
        super().__init__(split)
        self.waves = split.column("voice")

    def __getitem__(self, i):
        mel = log_mel(self.waves[i], 16000, n_fft=400, hop_length=160, n_mels=40)
        return super().__getitem__(i) | {"voice": torch.from_numpy(mel).float()}


thousand = train.subset(np.arange(1000))
ways = {
    "mel made each time": make_loader(FromWaves(thousand)),
    "mel made once": few,
    "batches made once": list(few),
}
stopwatch(few)  # once to warm up
times = {name: stopwatch(batches) for name, batches in ways.items()}
for name, spent in times.items():
    total = sum(spent.values())
    shares = "  ".join(f"{part} {used / total:4.0%}" for part, used in spent.items())
    print(f"{name:20}{1000 / total:6.0f} messages per second   {shares}")
spent = times["mel made each time"]
share = spent["data"] / sum(spent.values())
time_guess.compare(time_guess.options[int(share > 0.5)])

# %% [markdown]
# What your machine shows may differ, and that is the point: measure. Where "data" is large, the network waits for its batches: prepare once what is the same in every epoch, as the second row does, or try workers (which we did not measure).
# For a network on a GPU, call `torch.cuda.synchronize()` before you read the clock: its work runs in the background.
#
# Inside a part, the **profiler** lists every operation, with your own labels (`record_function`). A time *of its own* leaves out the operations that it calls:


# %% tags=["hide-input"]
@contextmanager
def no_stderr():
    """The profiler's C++ part writes to file descriptor 2."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


# %% tags=["free"]
from torch.profiler import ProfilerActivity, profile, record_function

model = build()
optimizer, scheduler = recipe(model, total=len(few))
with no_stderr(), profile(activities=[ProfilerActivity.CPU]) as profiler:
    for batch in islice(few, 5):
        with record_function("my forward"):
            loss = F.cross_entropy(model(batch), batch["target"])
        with record_function("my backward"):
            loss.backward()
        with record_function("my optimizer"):
            optimizer.step()
            optimizer.zero_grad()
rows = sorted(profiler.key_averages(), key=lambda row: -row.self_cpu_time_total)[:8]
for row in rows:
    own = row.self_cpu_time_total / 1000  # ms
    print(f"{row.key[:45]:45} {row.count:5} calls {own:8.1f} ms of its own")

# %% [markdown]
# `profiler.export_chrome_trace("trace.json")` writes a time line for a browser (Perfetto). Names that begin with `aten::` are PyTorch's own operations; a long list of tiny ones means overhead, which `torch.compile` or larger batches may reduce.

# %% [markdown]
# ## 13 · The loop, packaged: `fit`, Lightning, accelerate

# %% [markdown]
# You have written the loop; from now on you may use one. The package's `fit` is yours with the additions of this lesson (checkpoints, exact resume, early stopping, logs); its code is in `mmcourse/training/torch/train.py`. Is it the same? We give both the same list of batches, made beforehand. (Their losses will differ a little, because `fit` averages over messages and your loop over batches, and the last batch is smaller. The weights are what counts.)

# %% tags=["free"]
from mmcourse.training.torch import fit

batches = list(make_loader(Subset(messages, range(1000))))
by_hand = build(dropout=0.0)
hand_history = train_model(by_hand, batches, epochs=4)


def loss_fn(model, batch):
    """What `fit` wants of a task: mean loss, sums of metrics, number of samples."""
    logits, target = model(batch), batch["target"]
    num_right = (logits.argmax(dim=1) == target).sum()
    return F.cross_entropy(logits, target), {"accuracy": num_right}, len(target)


packaged = build(dropout=0.0)
fit_history = fit(packaged, batches, epochs=4, loss_fn=loss_fn, progress=False)
print("your loop:", [f"{h['loss']:.3f}" for h in hand_history])
print("fit:      ", [f"{h['loss']:.3f}" for h in fit_history])
apart = (weights(by_hand) - weights(packaged)).abs().max().item()
print(f"largest difference of {len(weights(by_hand)):,} weights: {apart}")
assert apart == 0

# %% [markdown]
# ### Lightning
# At work you will meet **Lightning** (PyTorch Lightning). You write *what* a step computes, in a `LightningModule`; its `Trainer` owns the loop: devices, precision, checkpoints, logging.

# %% tags=["real", "free"] needs=["lightning"]
if importlib.util.find_spec("lightning"):
    import lightning as L

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class LitMood(L.LightningModule):
        def __init__(self, total):
            super().__init__()
            self.model, self.total, self.losses = build(dropout=0.0), total, []

        def training_step(self, batch, batch_index):
            loss = F.cross_entropy(self.model(batch), batch["target"])
            self.losses.append(loss.item())
            return loss

        def configure_optimizers(self):
            optimizer, scheduler = recipe(self.model, self.total)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    lit = LitMood(total=4 * len(batches))
    quiet = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    quiet["enable_checkpointing"] = False
    trainer = L.Trainer(max_epochs=4, accelerator="cpu", **quiet)
    trainer.fit(lit, DataLoader(batches, batch_size=None))  # batches are made already
    by_epoch = np.reshape(lit.losses, (4, -1)).mean(axis=1)
    apart = (weights(by_hand) - weights(lit.model)).abs().max().item()
    print("Lightning:", by_epoch.round(3), f"  weights differ by up to {apart:.1e}")
    assert np.allclose(by_epoch, [h["loss"] for h in hand_history], rtol=1e-3)
else:
    print("Not run: `pip install lightning` brings it.")

# %% [markdown]
# The losses are yours. What would be more lines in your loop are arguments here: `precision="bf16-mixed"`, `gradient_clip_val=1.0`, `accumulate_grad_batches=4`, `devices=2`. One trap: without `"interval": "step"` it calls the scheduler once per *epoch*.
#
# ### accelerate
# **accelerate** (Hugging Face) leaves the loop yours and wraps its parts; the same code is meant to run on a CPU, on one GPU or on many. Here, on a CPU:

# %% tags=["real", "free"] needs=["accelerate"]
if importlib.util.find_spec("accelerate"):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)  # or mixed_precision="bf16" on a GPU
    model = build(dropout=0.0)
    parts = model, *recipe(model, total=4 * len(batches))
    model, optimizer, scheduler = accelerator.prepare(*parts)
    accelerate_losses = []
    for epoch in range(4):
        for batch in batches:
            loss = F.cross_entropy(model(batch), batch["target"])
            optimizer.zero_grad()
            accelerator.backward(loss)  # instead of loss.backward()
            optimizer.step()
            scheduler.step()
            accelerate_losses.append(loss.item())
    by_epoch = np.reshape(accelerate_losses, (4, -1)).mean(axis=1)
    apart = (weights(by_hand) - weights(model)).abs().max().item()
    print("accelerate:", by_epoch.round(3), f"  weights differ by up to {apart:.1e}")
    assert np.allclose(by_epoch, [h["loss"] for h in hand_history], rtol=1e-3)
else:
    print("Not run: `pip install accelerate` brings it.")

# %% [markdown]
# ## 14 · Take it apart: mistakes and their symptoms

# %% [markdown]
# None of these mistakes raises an error. What do they look like? Here is the loop with one mistake of your choice, for 64 steps on the 1,000 messages. *No eval* is a mistake in measuring and changes nothing in the loop: its curve is the healthy one.

# %%
MISTAKES = [
    "none",
    "no zero_grad",
    "no eval",
    "softmax twice",
    "labels out of step",
    "no shuffling of sorted data",
    "schedule stepped per epoch",
    "learning rate × 30",
    "learning rate / 100",
]


def losses_with(mistake, epochs=4):
    """The loss of each step on the 1,000 messages, with a mistake."""
    factor = {"learning rate × 30": 30, "learning rate / 100": 0.01}.get(mistake, 1)
    model = build()
    optimizer, scheduler = recipe(model, epochs * len(few), learning_rate=0.01 * factor)
    torch.manual_seed(1)
    few.generator.manual_seed(0)
    if mistake == "no shuffling of sorted data":
        by_class = sorted(range(1000), key=lambda i: messages.target[i])
        loader = DataLoader(Subset(messages, by_class), 64, collate_fn=collate)
    else:
        loader = few
    losses = []
    for epoch in range(epochs):
        for batch in loader:
            logits, target = model(batch), batch["target"]
            if mistake == "softmax twice":
                logits = logits.softmax(dim=1)  # cross_entropy does it again
            if mistake == "labels out of step":
                target = target.roll(1)  # each label with its neighbor's message
            loss = F.cross_entropy(logits, target)
            if mistake != "no zero_grad":
                optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if mistake != "schedule stepped per epoch":
                scheduler.step()
            losses.append(loss.item())
        if mistake == "schedule stepped per epoch":
            scheduler.step()
    return losses


# %% [markdown]
# Predict before you choose: which of them keep the loss near $\ln 3 = 1.10$? Which look almost healthy?

# %%
mistake_guess = widgets.guess(
    "How many of the eight end within 5 points of a constant answer, after 10 epochs?",
    list(range(9)),
)

# %% tags=["hide-input", "free"]
healthy = losses_with("none")


def show_mistake(mistake="no zero_grad"):
    fig = plot.curves(
        {"as it should be": healthy, mistake: np.minimum(losses_with(mistake), 4)},
        title="How does the mistake look?",
        xlabel="step",
        levels={"knows nothing": np.log(3)},
    )
    plot.show(
        fig,
        alt=f"Loss by step of the right loop, which falls to about 0.6, and of the loop with this mistake: {mistake}.",
    )


widgets.slider(show_mistake, mistake=MISTAKES[1:])

# %% [markdown]
# One run each says little. The stored table has five seeds each, two budgets (4 and 10 epochs on 1,000 messages), accuracy on the 1,500 test messages, and the mean training loss of the last epoch:

# %%
table = stored["mistakes"]
print(f"always the commonest in training: {table['majority']:.3f}\n")
print(f"{'':30}{'4 epochs':>16}{'10 epochs':>16}{'loss, last epoch':>18}")
for name in MISTAKES:
    row = table[name]
    ends = [np.mean(row[f"loss, {n} epochs"]) for n in (4, 10)]
    cells = "".join(f"{interval(row[f'{n} epochs']):>16}" for n in (4, 10))
    print(f"{name:30}{cells}{ends[0]:10.2f} → {ends[1]:.2f}")
right = table["none"]


def difference(name, budget):
    """Mean and 95 % interval of the paired difference to the right loop."""
    return mean_and_interval(np.subtract(table[name][budget], right[budget]))


ends = {name: np.mean(table[name]["10 epochs"]) for name in MISTAKES}
lost = [name for name, mean in ends.items() if mean < table["majority"] + 0.05]
mistake_guess.compare(len(lost))
print("\nwithin 5 points of a constant answer, 10 epochs:", ", ".join(lost))
low, high = difference("softmax twice", "10 epochs"), difference("no eval", "10 epochs")
print(f"softmax twice minus right: {low[0]:+.3f} ± {low[1]:.3f}")
print(f"no eval minus right: {high[0]:+.3f} ± {high[1]:.3f}")

# %% [markdown]
# Read it by groups.
# - **Nothing learned.** Four of them end at what a constant answer gets, or near it: no `zero_grad`, labels that belong to other messages, data sorted by class, a rate 30 times too high. Their losses stay near the best that a constant answer can have, the entropy of the class frequencies.
# - **Slow.** With a hundredth of the rate, and with a schedule stepped once per epoch, it learns; it is behind at both budgets, less after 10 epochs than after 4.
# - **Hidden.** *Softmax twice*: after 10 epochs five seeds show no difference in accuracy. What gives it away is the loss, which cannot fall below $\ln(1 + 2/e)$. *No eval*: measuring with dropout on costs 0.6 ± 0.3 points here. You notice it because two measurements differ.

# %% tags=["hide-input"]
twice = math.log(1 + 2 / math.e)  # the least loss that softmax twice can reach with three classes
print(f"cross-entropy of a softmax is at least {twice:.3f}")
share = np.bincount(train.labels[:1000]) / 1000
entropy = -(share * np.log(share)).sum()
print(f"a constant answer has a cross-entropy of at least {entropy:.3f}")
for name in lost:
    assert abs(np.mean(table[name]["loss, 10 epochs"]) - entropy) < 0.1
for name in ("learning rate / 100", "schedule stepped per epoch"):
    behind = [difference(name, f"{n} epochs") for n in (4, 10)]
    assert behind[0][0] < behind[1][0] and all(mean + half < 0 for mean, half in behind)
assert abs(low[0]) < low[1] and abs(high[0] + 0.006) < 5e-4 and abs(high[1] - 0.003) < 5e-4

# %% [markdown]
# | symptom | likely mistake | how to make sure |
# |---|---|---|
# | loss swings, now and then far above $\ln C$ | `zero_grad` forgotten | print the gradient's norm: it swings, far above that of one batch |
# | loss stays near $\ln C$ | labels do not belong to their samples; or the rate is far too high, or far too low | memorize one batch; plot a few samples with their labels |
# | loss jumps at the same places of every epoch | data sorted by class, not shuffled | print the classes of three batches |
# | loss cannot fall below 0.55 (three classes), accuracy is decent | softmax before `cross_entropy` | remove it: `cross_entropy` takes logits |
# | nothing moves in the first epoch, then all is slow | a schedule for steps, called once per epoch | print the learning rate |
# | two measurements of one model differ | `eval()` forgotten | measure twice |
# | training fine, validation bad | overfitting; or other preprocessing for validation | measure on the *training* set in `eval` mode |
# | loss is NaN | rate too high, log of 0, division by 0, a broken sample | `torch.autograd.set_detect_anomaly(True)`, look at that batch |
# | first loss far from $\ln C$ | logits too large (inputs not scaled, initialization), or another number of classes | section 5's first check |

# %% [markdown]
# ### What is the warm-up worth, and what is clipping?
# Three times the rate and no warm-up: five runs of 30 epochs on 1,000 messages. Say that a run *recovers* if it ends with a test accuracy of at least 0.70.

# %%
knob_guess = widgets.guess(
    "Three times the rate, no warm-up: how many of five runs recover in 30 epochs?",
    [0, 1, 2, 3, 4, 5],
)

# %% tags=["hide-input"]
knobs = stored["knobs"]
print(f"{'':32}{'10 epochs':>16}{'30 epochs':>16}")
for name in (
    "the recipe",
    "rate × 3",
    "rate × 3, no warm-up",
    "rate × 3, no warm-up, clipped",
):
    cells = "".join(f"{interval(knobs[name][f'{n} epochs']):>16}" for n in (10, 30))
    print(f"{name:32}{cells}")


def knob_gaps(first, second, n):
    return np.subtract(knobs[first][f"{n} epochs"], knobs[second][f"{n} epochs"])


print()
for n in (10, 30):
    found = " ".join(f"{a:.2f}" for a in knobs["rate × 3, no warm-up"][f"{n} epochs"])
    print(f"rate × 3, no warm-up, {n} epochs, by seed: {found}")
for n in (10, 30):
    for first, second in (
        ("rate × 3", "the recipe"),
        ("rate × 3", "rate × 3, no warm-up"),
        ("rate × 3, no warm-up, clipped", "rate × 3, no warm-up"),
    ):
        mean, half = mean_and_interval(knob_gaps(first, second, n))
        print(f"{n} epochs, {first!r} minus {second!r}: {mean:+.3f} ± {half:.3f}")

# %% tags=["hide-input"]
late = knobs["rate × 3, no warm-up"]["30 epochs"]
recovered = sum(accuracy >= 0.7 for accuracy in late)
knob_guess.compare(recovered)
assert recovered == 3 and sum(a < 0.53 for a in late) == 2
early = knob_gaps("rate × 3", "rate × 3, no warm-up", 10)
assert 0.19 < min(early) < max(early) < 0.255 and abs(early.mean() - 0.227) < 1e-3
mean, half = mean_and_interval(knob_gaps("rate × 3", "rate × 3, no warm-up", 30))
assert abs(mean) < half
for n in (10, 30):
    mean, half = mean_and_interval(knob_gaps("rate × 3, no warm-up, clipped", "rate × 3, no warm-up", n))
    assert abs(mean) < half
    mean, half = mean_and_interval(knob_gaps("rate × 3", "the recipe", n))
    assert abs(mean) < half and abs(mean) + half < 0.025
ends = [np.mean(knobs["the recipe"][f"loss, {n} epochs"]) for n in (10, 30)]
assert abs(ends[0] - 0.25) < 0.005 and abs(ends[1] - 0.005) < 0.0005

# %% [markdown]
# At this rate the warm-up is worth 23 points after 10 epochs, between 19 and 25 in each seed. After 30 epochs three of the five runs without it have recovered, and two are still below 0.53. *With* warm-up no difference larger than 2.5 points shows between three times the rate and the recipe's rate, at either budget.
#
# And clipping (to norm 1)? At neither budget do five seeds show a difference, in either direction: the intervals hold 0, and the one at 30 epochs is wide. That is not proof that it never helps. (One reason to expect little here: AdamW divides by the gradient's size, as section 8 said.)
#
# The recipe itself is *lower* at 30 epochs than at 10, with a training loss of 0.005 instead of 0.25: it overfits the 1,000 messages, as in section 10.

# %% [markdown]
# ## 15 · At work: digits that are seen and heard

# %% [markdown]
# Other data, same loop. In `avdigits` a sample is a blurred digit, handwritten by people, and the same digit spoken in noise by a *synthetic* voice. No image and no voice of the test set is in the training set.
# The voice's encoder has two convolutions over time and keeps the mean of each quarter, in order.


# %%
class Sounds(nn.Module):
    """Log-mel (b, t, 32) → (b, width)."""

    def __init__(self, width, channels=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(channels, channels, 5, stride=2, padding=2), nn.ReLU(),
            nn.Conv1d(channels, channels, 5, stride=2, padding=2), nn.ReLU(),
            nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(0.5),
            nn.Linear(4 * channels, width),
        )  # fmt: skip

    def forward(self, x):
        x = F.pad(x, (0, 0, 0, 64 - x.shape[1]))  # (b, 64, 32): zeros added, or cut
        if self.training:
            x = x + torch.randn_like(x)  # noise, in training only
        return self.net(x.transpose(1, 2))


class DigitModel(nn.Module):
    def __init__(self, *names):
        super().__init__()
        every = {"image": ImageEncoder(32, size=28, colors=1), "voice": Sounds(32)}
        self.names = names
        self.encoders = nn.ModuleDict({name: every[name] for name in names})
        hidden = nn.Linear(32 * len(names), 128)
        self.head = nn.Sequential(hidden, nn.ReLU(), nn.Linear(128, 10))

    def forward(self, batch):
        encoded = [self.encoders[name](batch["inputs"][name]) for name in self.names]
        return self.head(torch.cat(encoded, dim=1))


# %% tags=["free"]
digits, new_digits = (load("avdigits", split) for split in ("train", "test"))
torch.manual_seed(0)
digit_model = DigitModel("image", "voice")
digit_loader = digits.torch_loader(64, seed=0)
digit_history = train_model(digit_model, digit_loader, epochs=5, learning_rate=3e-3)
_, digit_accuracy = evaluate(digit_model, new_digits.torch_loader(500))
print("training loss by epoch:", [f"{h['loss']:.2f}" for h in digit_history])

# %%
expect_within("image and voice, 5 epochs, one seed", digit_accuracy, 0.87, 0.03)

# %% [markdown]
# Good? Against what? Here is a baseline without a network: the 784 pixels, and beside them the voice's average log-mel in each eighth of the clip (256 numbers), and **logistic regression** on all of that, fitted in a second.

# %%
digits_guess = widgets.guess(
    "After 20 epochs, who wins on new images and voices: network or linear model?",
    ["the network, clearly", "the linear model, clearly", "no difference shows"],
)

# %% tags=["hide-input"]
found, linear_of = stored["digits"], stored["linear"]
print(f"{'':18}{'5 epochs':>16}{'20 epochs':>16}   training loss at the end")
for name in ("image", "voice", "image + voice"):
    cells = "".join(f"{interval(found[name][f'{n} epochs']):>16}" for n in (5, 20))
    ends = [np.mean(found[name][f"loss, {n} epochs"]) for n in (5, 20)]
    print(f"{name:18}{cells}   {ends[0]:.2f} → {ends[1]:.2f}")
print()
for name in (
    "pixels",
    "8 averages",
    "pixels + 1 averages",
    "pixels + 4 averages",
    "pixels + 8 averages",
):
    print(f"linear, {name:22}{linear_of[name]:.3f}")
for name, scores in stored["order"].items():
    print(f"linear, {name:22}{interval(scores)}   eighths in random order")
print("\nnetwork (mean of five seeds) minus linear model, over the 1,000 test samples:")
for name, row in stored["paired"].items():
    for budget in ("5 epochs", "20 epochs"):
        mean, half = row[budget]
        print(f"{name:14} {budget:10}{mean:+.3f} ± {half:.3f}")

# %% tags=["hide-input"]
means = {n: mean_and_interval(found["image + voice"][f"{n} epochs"]) for n in (5, 20)}
bars = {
    "linear, pixels": (linear_of["pixels"], 0),
    "linear, pixels + 8 averages": (linear_of["pixels + 8 averages"], 0),
    "image, 20 epochs": mean_and_interval(found["image"]["20 epochs"]),
    "voice, 20 epochs": mean_and_interval(found["voice"]["20 epochs"]),
    "image + voice, 5 epochs": means[5],
    "image + voice, 20 epochs": means[20],
}
fig = plot.bar_with_ceiling(
    list(bars),
    [mean for mean, _ in bars.values()],
    [None] * len(bars),
    errors=[half for _, half in bars.values()],
    chance=0.1,
    title="Who reads and hears digits best? (n = 1,000; 5 seeds)",
)
plot.show(
    fig,
    alt="Six bars: linear on pixels and averages 0.89, the network with both modalities 0.87 after 5 epochs and 0.90 after 20, each modality alone far below.",
)
baseline = linear_of["pixels + 8 averages"]
digits_guess.compare("no difference shows")
assert means[5][0] + means[5][1] < baseline < means[20][0] + means[20][1]
assert means[20][0] - means[20][1] < baseline
few_epochs, many_epochs = (stored["paired"]["image + voice"][f"{n} epochs"] for n in (5, 20))
assert [round(100 * x, 1) for x in few_epochs] == [-2.1, 1.9]
assert abs(many_epochs[0]) < many_epochs[1]

# %% [markdown]
# After 5 epochs the linear model is ahead: its score lies above the network's interval over seeds, and the paired difference over test samples, 2.1 ± 1.9 points, just excludes 0. After 20 epochs no difference shows, either way. So *compare at two budgets*.
#
# *How* the voice is brought in matters to the linear model: beside the pixels, one average of the whole clip gives 0.74, eight in a row give 0.89, and the same eight in a random order 0.77. So it is the order in time that helps, not the larger number of features.
# On the voice alone, after 20 epochs, the linear model is 6.1 ± 2.6 points ahead of our network, whose training loss is still 0.60: this encoder, at this budget, is the weak part.
#
# For the mood of a voice it is otherwise: there the *length* of the clip says almost everything a voice can say, and the average sound almost nothing. (The sound is read by logistic regression, the length by a small decision tree.)

# %%
voice = stored["mood_voice"]
print(f"mood from a voice's average sound: {voice['average sound']:.3f}")
print(f"mood from a voice's length:        {voice['length']:.3f}")
best_possible = mood.bayes_accuracy(["voice"])
print(f"always the commonest {majority:.3f}, best possible {best_possible:.3f}")
assert round(linear_of["pixels + 1 averages"], 2) == 0.74
assert round(linear_of["pixels + 8 averages"], 2) == 0.89
assert round(np.mean(stored["order"]["pixels + 8 averages"]), 2) == 0.77
assert stored["paired"]["voice"]["20 epochs"] == [-0.0614, 0.0263]
assert abs(np.mean(found["voice"]["loss, 20 epochs"]) - 0.6) < 0.005
assert voice["average sound"] < majority + 0.05 and voice["length"] > 0.6

# %% [markdown]
# ## 16 · At full size

# %% [markdown]
# **Real people.** MNIST digits and recordings from the Free Spoken Digit Dataset: 8,000 pairs of images and voices, three speakers to learn from, two *other* speakers to test (`mmcourse data fetch` brings them once, 17 MB; then `load("avdigits", split, source="real")`). The images are blurred and the voices noisy, both less than before. Stored results:

# %%
real = stored["real"]
print(f"measured {stored['date']}: five seeds, 1,000 test pairs, chance 0.1")
print(f"{'':18}{'3 epochs':>16}{'10 epochs':>16}")
for name in ("image", "voice", "image + voice"):
    cells = [interval(real[name][f"{n} epochs"]) for n in (3, 10)]
    print(f"{name:18}{cells[0]:>16}{cells[1]:>16}")
for name in ("pixels", "8 averages", "pixels + 8 averages"):
    print(f"linear, {name:22}{real['linear'][name]:.3f}")
for n in ("3 epochs", "10 epochs"):
    better = max(max(real["image"][n]), max(real["voice"][n]))
    assert min(real["image + voice"][n]) > better + 0.1
    mean, half = mean_and_interval(real["image + voice"][n])
    assert mean - half > real["linear"]["pixels + 8 averages"]
    ahead = mean - real["linear"]["pixels + 8 averages"]
    assert round(100 * ahead) == {"3 epochs": 2, "10 epochs": 4}[n]
assert 1.96 * math.sqrt(0.89 * 0.11 / 1000) < 0.02

# %% [markdown]
# Here, too, both modalities together are far above each alone; and at both budgets the network's interval over seeds lies above the linear model, by 4 points after 10 epochs and by 2 after 3; the test samples alone make such an accuracy uncertain by ± 0.02. (There is twice the data, the images are blurred less and the voices less noisy than before: which of these matters we did not test.) Two test speakers are few: the interval over seeds says nothing about a third one.
#
# **A GPU.** The lines marked with a # at their end change. (This cell has not been run on a GPU here.)


# %% tags=["free"]
def train_on(device, loader, epochs):
    model = build().to(device)  #
    optimizer, scheduler = recipe(model, epochs * len(loader))
    has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)  #
    low = torch.bfloat16 if has_bf16 else torch.float16  #
    scaler = torch.amp.GradScaler("cuda", enabled=not has_bf16)  #
    start = perf_counter()
    for epoch in range(epochs):
        for batch in loader:
            batch = to_device(batch, device)  # every tensor in the nested dictionary
            with torch.amp.autocast("cuda", dtype=low):  #
                logits = model(batch)
            loss = F.cross_entropy(logits.float(), batch["target"])  #
            optimizer.zero_grad()
            scale = scaler.get_scale()  #
            scaler.scale(loss).backward()  #
            scaler.step(optimizer)  #
            scaler.update()  #
            if scaler.get_scale() >= scale:  # the step was not skipped
                scheduler.step()
    torch.cuda.synchronize()  # wait for the GPU before reading the clock
    return model, epochs * len(loader.dataset) / (perf_counter() - start)


if torch.cuda.is_available():
    fast = make_loader(messages, 256, pin_memory=True)
    gpu_model, speed = train_on("cuda", fast, epochs=8)
    print(f"{torch.cuda.get_device_name()}: {speed:,.0f} messages per second")
    print("test accuracy", evaluate(gpu_model.cpu(), test_loader)[1])
else:
    print("not run: no GPU here, and there is no stored run of it.")

# %% [markdown]
# Several GPUs: each holds a copy of the model, gets its own part of each batch (`DistributedSampler`), and the gradients are averaged (`DistributedDataParallel`): lesson `scale`, later in the course.

# %% [markdown]
# ## 17 · What to remember

# %% [markdown]
# 1. The cycle: batch, forward, loss, `zero_grad`, `backward`, (clip,) `step`, scheduler. Accumulate by weighting each part with its share; clip once, after unscaling.
# 2. Before training: first loss $\ln C$, a gradient everywhere, one batch memorized. `train()` to learn, `eval()` and `no_grad()` to measure.
# 3. float16 has a short range: scale the loss. bfloat16 has the range of float32. Weights and sums stay in float32.
# 4. A run is weights *and* optimizer, schedule, place in the data, random state (and a scaler, where there is one). Save all of it, under another name first; share weights as safetensors, and open no stranger's pickle.
# 5. Measure where the seconds go, compare at two budgets with several seeds, and run a linear model beside every network.

# %% [markdown]
# ## 18 · Check yourself

# %% [markdown]
# <details><summary>1. Your first loss on ten classes is 7.5. What is wrong?</summary>
#
# It should be $\ln 10 = 2.3$. Its logits are far too large (inputs not scaled, or the initialization), or it has another number of classes.
# </details>
# <details><summary>2. You accumulate four batches of 16 and one of 8. With what does each loss have to be multiplied?</summary>
#
# With its share of the 72 samples: 16/72 and 8/72.
# </details>
# <details><summary>3. Measured twice on the same data, your model has two accuracies. Why?</summary>
#
# Something random is still on: `eval()` was forgotten.
# </details>
# <details><summary>4. A gradient of 1e-9 and a loss scale of 65,536. Does it arrive in float16?</summary>
#
# $10^{-9} \cdot 65{,}536 = 6.6 \cdot 10^{-5}$, well above the smallest float16 number, $6 \cdot 10^{-8}$. It does.
# </details>
# <details><summary>5. After a restart the weights move about ten times as far in the first step as in the step before the stop. What was not saved?</summary>
#
# The optimizer: a fresh Adam's first step moves every weight with a gradient well above ε by the full rate.
# </details>
# <details><summary>6. You clip to norm 1 with a GradScaler, and nothing learns any more. What did you forget?</summary>
#
# `scaler.unscale_(optimizer)` before clipping. Without it the scaled gradients, thousands of times too long, are cut to norm 1, and the division by the scale then leaves next to nothing. (With AdamW much of this cancels; with SGD it does not.)
# </details>
# <details><summary>7. Somebody sends you `model.pt`. How do you open it?</summary>
#
# Ask for safetensors; or `torch.load(path, weights_only=True)`, with PyTorch 2.6 or newer. Never with `weights_only=False`.
# </details>

# %% tags=["hide-input"]
assert abs(math.log(10) - 2.303) < 1e-3 and 4 * 16 + 8 == 72
assert abs(1e-9 * 65536 - 6.6e-5) < 1e-6
assert 5 < fresh.mean() / with_all.mean() < 20

# %% [markdown]
# ## 19 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/train_pytorch.ipynb): the rate of a step, clipping by the common norm, the diagnosis of runs from their logs, and two tasks in PyTorch: one step from many small batches, and a run that goes on exactly. The last section is **an open challenge**: three labels in ten are wrong.
#
# **Where next:** [train_keras](train_keras.ipynb) does the same in Keras, [evaluate](evaluate.ipynb) says what a measured difference is worth, [tune](tune.ipynb) searches for settings. **Back to:** [neural_networks](neural_networks.ipynb), [fusion](fusion.ipynb).
#
# ## Sources
# - D. Kingma, J. Ba (2015), *Adam: a method for stochastic optimization*, arXiv 1412.6980.
# - I. Loshchilov, F. Hutter (2019), *Decoupled weight decay regularization*, arXiv 1711.05101: AdamW.
# - I. Loshchilov, F. Hutter (2017), *SGDR: stochastic gradient descent with warm restarts*, arXiv 1608.03983: the cosine.
# - P. Goyal et al. (2017), *Accurate, large minibatch SGD*, arXiv 1706.02677: warm-up.
# - R. Pascanu, T. Mikolov, Y. Bengio (2013), *On the difficulty of training recurrent neural networks*, arXiv 1211.5063: clipping by the norm.
# - P. Micikevicius et al. (2018), *Mixed precision training*, arXiv 1710.03740: loss scaling, weights in float32.
# - D. Kalamkar et al. (2019), *A study of bfloat16 for deep learning training*, arXiv 1905.12322.
# - L. Prechelt (1998), *Early stopping – but when?*
# - A. Paszke et al. (2019), *PyTorch: an imperative style, high-performance deep learning library*, arXiv 1912.01703.
# - V. Vielzeuf et al. (2018), *CentralNet*, arXiv 1808.07275: pairs of digits seen and heard.
# - Y. LeCun et al. (1998), *Gradient-based learning applied to document recognition*: MNIST; Z. Jackson et al., the Free Spoken Digit Dataset.
