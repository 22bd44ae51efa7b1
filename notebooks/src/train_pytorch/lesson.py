# %% [markdown]
# # Training in PyTorch
# *You write the training loop yourself, line by line, and then make it one that survives a power cut without losing a bit.*
#
# {{budget}}
#
# **You will be able to**
# - write a complete training loop and say what each line is for;
# - choose learning rate, warm-up, decay, clipping and averaging, and measure what each is worth;
# - stop a run, go on, and prove that the result is the same to the last bit;
# - recognize the classic mistakes by their symptoms.
#
# **Before this:** [Start here](start_here.ipynb), [Fusion](fusion.ipynb).
#
# **Time to read:** 50 minutes, then 30 for the [exercises](exercises/train_pytorch.ipynb).

# %%
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mmcourse import plot
from mmcourse.datasets import load, mood, results
from mmcourse.evaluate import expect_within
from mmcourse.training.torch import evaluate, fit, predict, warmup_cosine

train, validation, test = (load("mood", split) for split in ("train", "validation", "test"))
train, validation, test

# %% [markdown]
# ## 1 · The question
# You train a model for ten hours. In hour six the power fails. On the disk is a file with the model's weights, written a
# minute before. You load it and train the four hours that were left.
#
# **Predict:** do you end with the model that you would have had? If not, what else should have been in the file? Write your
# list down. Section 6 stops a run for real and compares.

# %% [markdown]
# ## 2 · The idea by hand
# The smallest training there is: one weight $w$, and a loss that is smallest at 3. The gradient is the slope of the loss:
# where it is positive, a smaller $w$ is better. So step against it.


# %%
def slope(w):
    return 2 * (w - 3)  # of the loss (w - 3)²


w, rate = 0.0, 0.3
for step in range(5):
    w = w - rate * slope(w)
    print(f"step {step + 1}: w = {w:.3f}, loss = {(w - 3) ** 2:.3f}")

# %% [markdown]
# PyTorch *adds* each new gradient to the one that is there. That is useful where one weight is used twice, and a trap in a
# loop. **Predict** the five values of $w$ if nobody sets the gradient back to zero.

# %%
w, gradient = 0.0, 0.0
for step in range(5):
    gradient = gradient + slope(w)  # what `backward` does
    w = w - rate * gradient
    print(f"step {step + 1}: w = {w:.3f}, loss = {(w - 3) ** 2:.3f}")

# %% [markdown]
# It runs past 3 as far as 6 and swings back, like a pendulum. No error, no warning: only a loss that does not settle.
# You will meet a forgotten `zero_grad` again with a real model.
#
# ## 3 · The formula
# A plain step is too simple for a network: gradients of different weights can differ a thousandfold. **AdamW** (Loshchilov and
# Hutter 2019, arXiv 1711.05101) keeps a running mean $m$ of the gradient $g$ and one, $v$, of its square:
#
# $$w \leftarrow w - \eta\lambda w \qquad m \leftarrow \beta_1 m + (1-\beta_1)\,g \qquad v \leftarrow \beta_2 v + (1-\beta_2)\,g^2$$
# $$w \leftarrow w - \eta\;\frac{m/(1-\beta_1^t)}{\sqrt{v/(1-\beta_2^t)} + \epsilon}$$
#
# $\eta$ is the learning rate, $\lambda$ the weight decay, $t$ the number of the step, from 1; $\beta_1$ and $\beta_2$ say how much of a mean
# is kept, a small $\epsilon$ avoids dividing by 0. Both means start at 0, too low at first: dividing by $1-\beta^t$ corrects that.


# %%
def adamw(w, g, m, v, t, rate, decay, beta1=0.9, beta2=0.999, eps=1e-8):
    w = w - rate * decay * w
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return w - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v


rng = np.random.default_rng(0)
w, gradients = rng.normal(size=3), rng.normal(size=(4, 3)) * [1, 100, 0.01]
theirs = nn.Parameter(torch.from_numpy(w.copy()))
optimizer = torch.optim.AdamW([theirs], lr=0.1, weight_decay=0.3)
m, v = np.zeros(3), np.zeros(3)
for t, g in enumerate(gradients, start=1):
    w, m, v = adamw(w, g, m, v, t, rate=0.1, decay=0.3)
    theirs.grad = torch.from_numpy(g)
    optimizer.step()
assert np.abs(w - theirs.detach().numpy()).max() < 1e-12
print("your AdamW and PyTorch's:", w.round(4))

# %% [markdown]
# Look at the first step alone: $m/(1-\beta_1)$ is $g$, the root is $|g|$, and the quotient is ±1. *Every* weight moves by the
# full rate, however small its gradient. Keep that in mind: it comes back in section 6.

# %%
first, _, _ = adamw(np.zeros(3), np.array([1.0, 100.0, 0.01]), 0, 0, t=1, rate=0.1, decay=0)
print("first step for gradients 1, 100 and 0.01:", first.round(4))

# %% [markdown]
# **The schedule.** The rate climbs from 0 in a straight line (Goyal et al. 2017, arXiv 1706.02677), then falls along half a
# cosine (Loshchilov and Hutter 2017, arXiv 1608.03983). With $S$ steps in all and $s_0 = 0.3\,S$ of them to warm up, step $s$,
# counted from 0, has the rate $\eta\,f(s)$:
#
# $$f(s) = \begin{cases} s/s_0 & s < s_0 \\ \tfrac12 + \tfrac12\cos\!\big(\pi\,\tfrac{s-s_0}{S-s_0}\big) & \text{else}\end{cases}$$

# %%
total = 10 * 94  # ten epochs of 94 batches
steps = np.arange(total)
start = round(0.3 * total)
by_hand = np.where(steps < start, steps / start, 0.5 + 0.5 * np.cos(np.pi * (steps - start) / (total - start)))
assert np.allclose(by_hand, [warmup_cosine(s, total) for s in steps])
print("step 0, 141, 282, 611, 939:", by_hand[[0, 141, 282, 611, 939]].round(3))

# %%
fig = plot.curves(
    {"rate": 0.01 * by_hand}, title="How large is a step, and when?", x=steps, xlabel="step", ylabel="learning rate"
)
plot.show(
    fig, alt="The learning rate climbs in a straight line to 0.01 at step 282, then falls along a cosine to zero."
)

# %% [markdown]
# **Which weights decay.** Decay pulls a weight towards 0. For a matrix that means "use this input less". A bias or a gain
# at 0 means nothing of the sort, so those are left alone. AdamW takes groups, and `param_groups_weight_decay` names them.

# %%
from mmcourse.training.torch import param_groups_weight_decay

layer = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3))
for group in param_groups_weight_decay(layer, weight_decay=0.3):
    print(f"{group['name']:9}{group['weight_decay']}  {[name for name, _ in group['params']]}")

# %% [markdown]
# **Clipping** (Pascanu et al. 2013, arXiv 1211.5063). If the length of *all* gradients together, $\lVert g \rVert$, exceeds a
# limit $c$, all are shortened by one factor, so that the direction stays: $g \leftarrow g \cdot c / \max(\lVert g \rVert, c)$.

# %%
from mmcourse.training.torch import clip_gradients

layer[0].weight.grad, layer[0].bias.grad = torch.full((3, 4), 3.0), torch.full((3,), -4.0)
norm = clip_gradients(layer.parameters(), 1.0)
print(f"length before {norm:.3f}, by hand {np.sqrt(12 * 3**2 + 3 * 4**2):.3f}")
print(f"ratio of the two kinds: {(layer[0].bias.grad[0] / layer[0].weight.grad[0, 0]):.3f}, as before -4/3")

# %% [markdown]
# **Averaging.** Where the weights of late steps tremble around one place, their mean is closer to it. Polyak and Juditsky (1992)
# take the plain mean of all steps. Training usually takes a mean that forgets the early ones, the **EMA** (exponential moving
# average): $\bar w \leftarrow d\,\bar w + (1-d)\,w$ after each step, $d$ just below 1. A number that trembles around 3:

# %%
trembling = 3 + rng.normal(size=400)
mean = trembling[0]
for value in trembling:
    mean = 0.98 * mean + 0.02 * value
print(f"last value off by {abs(trembling[-1] - 3):.2f}, running mean by {abs(mean - 3):.2f}")
assert abs(mean - 3) < 0.3

# %% [markdown]
# ## 4 · The same with a library
# Now a network. **Data**: 6,000 messages, each with a face, a voice and words (lesson [multimodal_data](multimodal_data.ipynb) has the
# masks). The **loader** shuffles them anew in each epoch, by seed and epoch number: the order of epoch 3 can be had again
# without playing epochs 1 and 2. That will matter.

# %%
loader = train.torch_loader(batch_size=64, seed=0)
batch = next(iter(loader))
for name in train.modalities:
    print(f"{name:6}{tuple(batch['inputs'][name].shape)}")
print("batches an epoch:", len(loader))

# %% [markdown]
# **Encoders** turn each modality into 32 numbers: convolutions for the face, statistics over time for the voice, mean of word
# vectors for the words. **Fusion** joins them; the head gives three logits. All parts are from the package by now.

# %%
from mmcourse.torch.encoders import AudioEncoder, ImageEncoder, MultimodalClassifier, TextEncoder
from mmcourse.torch.fusion import Concatenate, ModalityDropout

names = ("face", "voice", "words")


def build(*names, seed=0, dropout=0.0):
    torch.manual_seed(seed)
    every = {"face": ImageEncoder(32), "voice": AudioEncoder(40, 32), "words": TextEncoder(len(train.vocabulary), 32)}
    drop = ModalityDropout([32] * len(names), dropout) if dropout else None
    return MultimodalClassifier({n: every[n] for n in names}, Concatenate([32] * len(names), 128), 3, drop)


model = build(*names)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters")

# %% [markdown]
# Check before you train. An ignorant model loses $\ln 3 = 1.099$ a message, and each parameter gets a gradient. Both take a
# second and catch most wiring mistakes.

# %%
logits = model(batch)  # (64, 3)
loss = nn.functional.cross_entropy(logits, batch["target"])
loss.backward()
expect_within("first loss", loss.item(), 1.10, 0.08)
assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


# %% [markdown]
# ## 5 · At work
# **The loop, line by line.** Seven things happen to each batch, in this order. Read it until nothing in it is a mystery; all
# the rest of the lesson only adds to it.


# %%
from mmcourse.torch.losses import cross_entropy  # the formula of lesson start_here; equals nn.functional's


def loop(model, batches, total, learning_rate=1e-2, weight_decay=0.3, optimizer=None, first=0):
    if optimizer is None:
        optimizer = torch.optim.AdamW(param_groups_weight_decay(model, weight_decay), fused=True)
    model.train()  # dropout on
    losses = []
    for step, batch in enumerate(batches, start=first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * warmup_cosine(step, total)  # 1 the rate of this step
        logits = model(batch)  # 2 forward
        loss = cross_entropy(logits, batch["target"])  # 3 how wrong
        optimizer.zero_grad()  # 4 forget the gradient before
        loss.backward()  # 5 the new one
        optimizer.step()  # 6 move
        losses.append(loss.item())  # 7 remember
    return losses


# %% [markdown]
# `fused=True` updates all parameters in one go instead of one after the other: the same formula, sooner. Try the loop on 1,000
# messages, four epochs: 64 steps, a second or two.

# %%
few = train.subset(np.arange(1000))
every = [batch for epoch in range(4) for batch in few.torch_loader(64, seed=0, epoch=epoch)]
model = build(*names)
losses = loop(model, every, total=64)
expect_within("mean loss of the last epoch", np.mean(losses[-16:]), 0.5, 0.2)

# %% [markdown]
# The same, packaged: `fit` is this loop with a progress bar, a measurement after each epoch, and what section 6 adds.
# Its code is 140 lines, in `mmcourse/torch/train.py`; read it from the bottom.

# %%
packaged = build(*names)
history = fit(packaged, few.torch_loader(64, seed=0), epochs=4, progress=False)
by_epoch = np.reshape(losses, (4, 16)) @ ([64] * 15 + [40]) / 1000  # the last batch of an epoch is smaller
assert np.allclose(by_epoch, [h["loss"] for h in history], rtol=1e-6)
assert all(torch.equal(a, b) for a, b in zip(model.parameters(), packaged.parameters(), strict=True))
print("your loop and fit: the same four losses, and every weight equal to the last bit")

# %% [markdown]
# Now all 6,000 messages, ten epochs, 940 steps. The bar shows loss, accuracy and samples a second.

# %% tags=["free"]
model = build(*names)
history = fit(model, loader, epochs=10, validation=validation.torch_loader(500))

# %% tags=["free"]
fig = plot.curves(
    {"training": [h["loss"] for h in history], "validation": [h["val_loss"] for h in history]},
    title="What does it learn, and does it carry over?",
    levels={"knows nothing": np.log(3)},
)
plot.show(
    fig,
    alt="Training and validation loss fall together from below 1.1; validation flattens near 0.24 while training goes on.",
)

# %% [markdown]
# The lines part near the end: what training gains there is learned by heart. Only the **test set** counts, with sentences,
# voices and faces that the model never met.


# %%
def test_accuracy(model):
    return float((predict(model, test.torch_loader(500)).argmax(axis=1) == test.labels).mean())


ceiling = {"all three": mood.bayes_accuracy(names)} | {name: mood.bayes_accuracy([name]) for name in names}
reached = {"all three": test_accuracy(model)}

# %% tags=["target"]
commonest = np.bincount(test.labels).max() / len(test)  # who always names the commonest feeling
expect_within(
    "trimodal test accuracy as a share of its ceiling", reached["all three"] / ceiling["all three"], 0.995, 0.015
)

# %% [markdown]
# **Each alone**, same recipe. Their ceilings are near 0.68, so more training cannot help beyond that.

# %% tags=["free"]
for name in names:
    single = build(name)
    fit(single, loader, epochs=5 if name == "face" else 10, progress=False)  # the face learns sooner
    reached[name] = test_accuracy(single)
fig = plot.bar_with_ceiling(list(reached), list(reached.values()), list(ceiling.values()), chance=commonest)
plot.show(fig, alt="Four bars that almost touch their ceilings: all three near 0.92 of 0.93, each alone near 0.67.")

# %%
for name in names:
    expect_within(f"share of its ceiling: {name}", reached[name] / ceiling[name], 0.99, 0.02)

# %% [markdown]
# ### Other data, and two short cuts
# The same functions on **digits**, handwritten by people and spoken by synthetic voices. No image, no recording and no voice of
# the test set is in training. `AudioEncoder` keeps mean and spread of what it hears, and the clip's length, but no order. Is that
# enough? Stored figures (`make results train_pytorch`): linear models on the average sound, over the whole clip or over stretches
# of it.

# %%
stored = results("train_pytorch")
mood_voice, linear = stored["mood_voice"], stored["linear"]
print("a mood's voice:", mood_voice, f"commonest feeling {commonest:.3f}")
print("a digit's voice:", {f"{n} averages": linear[f"{n} averages"] for n in (1, 4, 8)})

# %% [markdown]
# For a mood the average sound says next to nothing and the length of the clip nearly all; statistics over time are enough. For a
# digit, averages of eighths say more than one average: order counts. So here the encoder has convolutions over time, and the mean
# of each quarter. Noise and dropout, in training only, make it harder to know the training voices by heart.

# %%
digits, unseen = (load("avdigits", split) for split in ("train", "test"))


class Sounds(nn.Module):
    """Log-mel (b, t, 32) → (b, width)."""

    def __init__(self, width, channels=32):
        super().__init__()
        first, second = (nn.Conv1d(channels, channels, 5, stride=2, padding=2) for _ in range(2))
        quarters = nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(0.5)
        self.net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), *quarters, nn.Linear(4 * channels, width))

    def forward(self, x, padding_mask=None):
        x = nn.functional.pad(x, (0, 0, 0, 64 - x.shape[1]))  # (b, 64, 32): zeros added, or cut
        if self.training:
            x = x + torch.randn_like(x)
        return self.net(x.transpose(1, 2))


# %%
def build_digits(*names):
    torch.manual_seed(0)
    every = {"image": ImageEncoder(32, size=28, colors=1), "voice": Sounds(32)}
    return MultimodalClassifier({n: every[n] for n in names}, Concatenate([32] * len(names), 128), 10)


# %% [markdown]
# **Predict** whether both are better than the image alone, and by how much.


# %% tags=["free"]
def learn_digits(model, data, test):
    fit(model, data.torch_loader(64, seed=0), epochs=5, learning_rate=3e-3, progress=False)
    return float((predict(model, test.torch_loader(500)).argmax(axis=1) == test.labels).mean())


trials = ["image"], ["voice"], ["image", "voice"]
read = {" + ".join(n): learn_digits(build_digits(*n), digits, unseen) for n in trials}
print({name: round(value, 3) for name, value in read.items()})

# %% [markdown]
# Now two short cuts without encoders. The one that looks natural: flatten the pixels, take the sound wave, put both side by side,
# one network on top. And an old one: the log-mel of lesson [audio](audio.ipynb), averaged over each eighth of the clip, beside the
# pixels, and a *linear* model. **Predict** an order of all.

# %%
from mmcourse.preprocess.audio import log_mel


def raw(data):
    """Pixels (n, 784), the first 6,000 numbers of the wave (n, 6000), log-mel averaged over eighths (n, 256)."""
    clips = data.column("voice")  # every clip once (`store`), and which one each sample plays (`index`)
    waves, eighths = np.zeros((len(clips.store), 6000), np.float32), []
    for wave, clip in zip(waves, clips.store, strict=True):
        wave[: len(clip)] = clip[:6000]
        mel = log_mel(clip, 8000, n_fft=256, hop_length=128, n_mels=32, top_db=80)  # (t, 32)
        eighths.append(np.concatenate([part.mean(axis=0) for part in np.array_split(mel, 8)]))
    pixels = data.features()["image"].reshape(len(data), -1)
    return pixels, waves[clips.index], np.array(eighths, np.float32)[clips.index]


known, new = raw(digits), raw(unseen)
for name, x in zip(["pixels  ", "wave    ", "averages"], known, strict=True):
    print(name, x.shape, f"typical size {np.sqrt((x**2).mean()):.2f}")


# %%
class Flat(nn.Module):
    def __init__(self, width):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 10))

    def forward(self, batch):
        return self.net(batch["inputs"]["x"])


def flat_accuracy(parts, unseen_parts):
    x, x_unseen = (torch.from_numpy(np.concatenate(p, axis=1)) for p in (parts, unseen_parts))
    y = torch.from_numpy(digits.labels)
    model = Flat(x.shape[1])  # fit takes any list of batches
    batches = [{"inputs": {"x": a}, "target": b} for a, b in zip(x.split(64), y.split(64), strict=True)]
    fit(model, batches, epochs=5, learning_rate=3e-3, progress=False)
    return float((predict(model, [{"inputs": {"x": x_unseen}}]).argmax(axis=1) == unseen.labels).mean())


# %% tags=["free"]
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

read["pixels alone, flat"] = flat_accuracy(known[:1], new[:1])
read["wave alone, flat"] = flat_accuracy(known[1:2], new[1:2])
read["pixels, wave, flat"] = flat_accuracy(known[:2], new[:2])
both, both_new = (np.concatenate([x[0], x[2]], axis=1) for x in (known, new))
baseline = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)).fit(both, digits.labels)
read["pixels, averages, linear"] = baseline.score(both_new, unseen.labels)

# %% tags=["free"]
title, bars = "Does hearing help to read digits?", list(read.values())
fig = plot.bar_with_ceiling(list(read), bars, [None] * len(read), title=title, chance=0.1)
plot.show(
    fig,
    alt="Seven accuracies: the linear model on pixels and averages is best, then both with encoders; pixels beside a wave "
    "are far below pixels alone; a wave alone is near chance.",
)

# %%
expect_within(
    "gain of both, with encoders, over the better one",
    read["image + voice"] - max(read["image"], read["voice"]),
    0.12,
    0.05,
)
expect_within(
    "pixels beside a wave, against pixels alone", read["pixels, wave, flat"] - read["pixels alone, flat"], -0.14, 0.06
)
expect_within("a wave alone, unseen voices", read["wave alone, flat"], 0.15, 0.08)
expect_within("linear, pixels and averages", read["pixels, averages, linear"], 0.893, 0.02)
assert read["pixels, averages, linear"] > read["image + voice"]

# %% [markdown]
# A raw wave beside the pixels made the flat network *worse*; on voices not heard in training the wave alone is near chance. Both with
# encoders are far above. But a *linear* model on pixels and 256 averages, fitted in a second, is ahead of them. (The networks had
# five epochs. What more of them bring is yours to try: `epochs` in `learn_digits`.) So the moral is not "encoders first". It is this:
# bring each modality into a form from which this much data can be learned, by encoders or by hand, and run a linear model on simple
# features beside every network.

# %% [markdown]
# ## 6 · Take it apart
# To turn many knobs in little time, take 1,000 messages only. The ceiling stays 0.93, but a model of 97,000 weights can now learn
# its training set by heart. **Predict** which knob matters most: rate, warm-up, clipping, decay or averaging. Each setting trains
# once, for ten epochs: remember both numbers.


# %%
def trial(dropout=0.0, **options):
    model = build(*names, dropout=dropout)
    watch = validation.torch_loader(500)
    return model, fit(model, few.torch_loader(64, seed=0), progress=False, validation=watch, **{"epochs": 10} | options)


# %% tags=["free"]
from tqdm.auto import tqdm

knobs = {
    "the recipe": {},
    "rate × 3": {"learning_rate": 3e-2},
    "no warm-up": {"warmup": 0.0},
    "rate × 3, no warm-up": {"learning_rate": 3e-2, "warmup": 0.0},
    "the same, clipped": {"learning_rate": 3e-2, "warmup": 0.0, "clip": 1.0},
    "no weight decay": {"weight_decay": 0.0},
    "EMA 0.98": {"ema": 0.98},
    "modality dropout": {"dropout": 0.2},
}
runs = {name: trial(**options) for name, options in tqdm(knobs.items())}
last = {name: history[-1] for name, (_, history) in runs.items()}
for name, h in last.items():
    print(f"{name:22}train {h['accuracy']:.3f}   validation {h['val_accuracy']:.3f}, loss {h['val_loss']:.3f}")

# %% tags=["free"]
fig = plot.curves(
    {name: [h["val_accuracy"] for h in runs[name][1]] for name in ("the recipe", "rate × 3", "rate × 3, no warm-up")},
    title="What is warm-up worth in ten epochs?",
    ylabel="validation accuracy",
    levels={"joint ceiling": ceiling["all three"]},
)
plot.show(
    fig, alt="With warm-up both rates reach about 0.74; at three times the rate without warm-up it stays near 0.5."
)

# %%
gap = last["rate × 3"]["val_accuracy"] - last["rate × 3, no warm-up"]["val_accuracy"]
expect_within("what warm-up is worth at three times the rate, in ten epochs", gap, 0.2, 0.15)
assert last["modality dropout"]["accuracy"] < last["the recipe"]["accuracy"] - 0.03
assert max(last[name]["val_loss"] for name in ("EMA 0.98", "modality dropout")) < last["the recipe"]["val_loss"] - 0.05

# %% [markdown]
# In ten epochs, one change costs most: a high rate *without* a warm-up. In the first steps every weight moves by the full rate, in a
# direction that one batch has chosen. Whether that is the end of the run or a detour, ten epochs cannot say: give
# `trial(learning_rate=3e-2, warmup=0.0)` thirty and look (`trial` passes `epochs` on). Nor does one seed say whether clipping helps.
# (One thing you know from section 3: AdamW divides by the gradient's size, so short gradients alone do not make its steps short.)
# All else is within a few points, and with 1,500 validation messages two may be luck. In this one run, dropout and averaging lower
# the validation *loss*, which also counts how sure a wrong answer was.

# %% [markdown]
# ### Early stopping
# Look at the recipe's two losses on the few messages. **Predict** at which epoch you would stop. `patience=3` stops after three
# epochs without a lower validation loss and puts the best epoch's weights back.

# %% tags=["free"]
stopped, short = trial(patience=3)
full = runs["the recipe"][1]
lines = {"training": [h["loss"] for h in full], "validation": [h["val_loss"] for h in full]}
lowest = 1 + np.argmin([h["val_loss"] for h in short])
print("stopped after epoch", len(short), "- lowest validation loss in epoch", lowest)
best = {"the best, kept": min(h["val_loss"] for h in short)}
fig = plot.curves(lines, title="When does it begin to learn by heart?", levels=best)
plot.show(fig, alt="Training loss falls to about 0.2 while validation loss turns up after a few epochs.")

# %%
assert len(short) < 10 and evaluate(stopped, validation.torch_loader(500))["val_loss"] < last["the recipe"]["val_loss"]
print("stopped early, with a lower validation loss than at the end")

# %% [markdown]
# One trap: the schedule was made for 10 epochs, so a run that stops early never gets to its small steps. A shorter schedule is
# another thing to try.
#
# ### The power cut
# Now section 1. A small run with dropout in the model, first undisturbed. Then the same, writing a checkpoint every 5 steps,
# until something pulls the plug in the middle of step 38.


# %%
from itertools import count


def small_run(model, **options):
    return fit(model, few.torch_loader(64, seed=0), epochs=4, seed=1, progress=False, **options)


def plug_pulled(after):
    calls = count(1)

    def before_forward(*_):
        if next(calls) > after:
            raise KeyboardInterrupt("the power failed")

    return before_forward


folder = Path(tempfile.mkdtemp()) / "run"
whole = build(*names, dropout=0.2)
small_run(whole)
victim = build(*names, dropout=0.2)
victim.register_forward_pre_hook(plug_pulled(after=37))
try:
    small_run(victim, folder=folder, save_every=5)
except KeyboardInterrupt as accident:
    print(accident, "- files:", sorted(f.name for f in folder.iterdir() if f.is_file()))

# %% [markdown]
# What is in that file?

# %%
import shutil

from mmcourse.training.torch import checkpoint

cut = shutil.copy(folder / "last.safetensors", folder.parent / "cut.safetensors")
tensors, metadata = checkpoint.read_checkpoint(cut)
for kind in ("model", "optimizer", "rng", "epoch_rng"):
    held = checkpoint.strip_prefix(tensors, kind)
    print(f"{kind:13}{len(held):3} tensors, for instance {sorted(held)[-1]}")
print({name: metadata[name] for name in ("step", "epoch", "batch", "num_samples")})

# %% [markdown]
# Compare with your list: the optimizer's two running means, its step count (which also fixes the rate), the place in the epoch
# (which fixes the next batch), and the state of the random numbers (which fixes the next dropout). Now go on, with a *new*
# model object from another seed, in the same folder.

# %%
resumed = build(*names, seed=99, dropout=0.2)
small_run(resumed, folder=folder, save_every=5, resume=True)
assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
print("resumed run equals the undisturbed one: every bit of", sum(p.numel() for p in whole.parameters()), "weights")

# %% [markdown]
# The tests do this with `SIGKILL` (the system ends the program at once), at random steps and in the middle of writing the checkpoint. It works because a file is
# written under another name, forced onto the disk, and only then renamed: at every moment there is one whole checkpoint.
# It is made of numbers and JSON (`safetensors`); loading it cannot run anybody's code, as unpickling can.
#
# ### With the weights alone
# The file of section 1 had nothing but weights. Load them, make a fresh AdamW, take the right batch and the right rate.
# **Predict** how far a weight moves in the next step, in units of the rate: with the saved optimizer, and with the fresh one.


# %%
def moved(complete):
    model = build(*names, seed=99, dropout=0.2)
    checkpoint.load_weights(model, cut)
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.3), fused=True)
    if complete:
        checkpoint.set_optimizer_tensors(optimizer, checkpoint.strip_prefix(tensors, "optimizer"))
    before = nn.utils.parameters_to_vector(model.parameters())
    torch.manual_seed(0)
    loop(model, every[35:36], total=64, optimizer=optimizer, first=35)
    step = nn.utils.parameters_to_vector(model.parameters()) - before
    return (step.abs() / (0.01 * warmup_cosine(35, 64))).detach().numpy()


with_all, fresh = moved(True), moved(False)
expect_within("mean move with the saved optimizer", with_all.mean(), 0.07, 0.05)
expect_within("mean move with a fresh one", fresh.mean(), 0.7, 0.1)
expect_within("share of weights that a fresh one moves by the full rate", (fresh > 0.9).mean(), 0.67, 0.1)

# %% tags=["free"]
fig, ax = plot.plt.subplots()
for values, color, height, name in (
    (with_all, plot.BLUE, 0.6, "all saved"),
    (fresh, plot.ORANGE, 0.9, "weights alone"),
):
    ax.hist(
        values, bins=np.linspace(0, 1.3, 40), weights=np.full(len(values), 100 / len(values)), color=color, alpha=0.6
    )
    ax.text(values.mean(), height, name, color=color, transform=ax.get_xaxis_transform(), fontweight="bold")
fig.suptitle("How far does the next step move each weight?", x=0.01, ha="left", fontweight="bold")
ax.set(xlabel="move, in units of the learning rate", ylabel="% of the weights")
plot.show(
    fig,
    alt="With the saved optimizer most weights move a small part of the rate; with a fresh one two in three move by the full rate.",
)

# %% [markdown]
# The fresh Adam moves two weights in three by the full rate, as at the very first step, only now without warm-up. (The rest
# hardly move: behind a ReLU that is 0 in the whole batch there is no gradient.) Nobody notices that
# in a log of ten hours, and the end may even be as good (not tested here). But it is another run: it cannot be compared, and a bug in it
# cannot be played again.
#
# ### Logs
# `fit` has written the loss of every step, before and after the cut, into files for TensorBoard, a viewer of training
# logs. Read them back:

# %%
import logging

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

logging.getLogger("tensorboard").setLevel(logging.ERROR)  # it would remark that the run was restarted
logs = EventAccumulator(str(folder / "tensorboard")).Reload()
assert len(logs.Scalars("step/loss")) == 64
print("64 steps logged;", ", ".join(logs.Tags()["scalars"]))

# %% [markdown]
# The same logs in a browser: `tensorboard --logdir` with your run's folder.
#
# ### Mistakes and their symptoms
# **Forgotten `zero_grad`.** The hand example said: no error, a loss that does not settle.


# %% tags=["free"]
def loop_of(forgetful):
    model = build(*names)
    optimizer = torch.optim.AdamW(param_groups_weight_decay(model, 0.3), fused=True)
    if forgetful:
        model.zero_grad()
        optimizer.zero_grad = lambda: None
    return loop(model, every, total=64, optimizer=optimizer)


right, forgetful = loop_of(False), loop_of(True)
fig = plot.curves(
    {"as it should be": right, "no zero_grad": forgetful},
    title="How does a forgotten zero_grad look?",
    xlabel="step",
    levels={"knows nothing": np.log(3)},
)
plot.show(
    fig,
    alt="The right loop's loss falls to 0.6; without zero_grad it swings around the loss of knowing nothing.",
)

# %%
assert np.mean(forgetful[-16:]) > np.mean(right[-16:]) + 0.05
print("without zero_grad the last epoch's loss is clearly higher, and nothing was reported")

# %% [markdown]
# **Forgotten `eval`.** Dropout is for training. Whoever measures with it on gets another answer each time, and a worse one.
# `predict` and `evaluate` call `eval()` themselves; here it is done wrongly by hand.

# %%
everybody = next(iter(test.torch_loader(1500)))


def by_hand_accuracy(model):
    with torch.no_grad():
        return (model(everybody).argmax(1) == everybody["target"]).float().mean().item()


torch.manual_seed(0)
in_training = [by_hand_accuracy(whole.train()) for _ in range(2)]
in_evaluation = [by_hand_accuracy(whole.eval()) for _ in range(2)]
assert in_training[0] != in_training[1] and in_evaluation[0] == in_evaluation[1] > max(in_training)
print("train mode: two answers, both too low; eval mode: one answer")

# %% [markdown]
# **A loss that is not a number.** One broken file in six thousand is enough. The worst a program can do is to go on, and to
# write the spoilt model over the good one. `fit` stops, and names the step and a way out.

# %%
spoilt = [{**batch, "inputs": {**batch["inputs"]}} for batch in every[:10]]
spoilt[3]["inputs"]["face"] /= 0  # infinite
try:
    fit(build(*names), spoilt, epochs=1, progress=False)
except FloatingPointError as error:
    print(error)

# %% [markdown]
# ### Fewer bits
# Many GPUs multiply 16-bit numbers several times faster than 32-bit ones. **float16** has a small range: tiny gradients become 0,
# so the loss is multiplied by a large number before `backward` and the gradients divided after. **bfloat16** keeps the range and
# has fewer digits.

# %%
for dtype in (torch.float16, torch.bfloat16):
    tiny, near_one = torch.tensor([1e-8, 1.001]).to(dtype).tolist()
    print(
        f"{str(dtype)[6:]:9} 1e-8 → {tiny:.1e}   1.001 → {near_one:.4f}   1e-8 · 65536 → {(torch.tensor(1e-8 * 65536).to(dtype)):.1e}"
    )

# %% [markdown]
# `torch.autocast` runs the large products in 16 bits and keeps sums, losses and weights in 32. `fit` uses it where the device
# has it: `amp="auto"`. Here:

# %% tags=["free"]
from mmcourse.runtime import device
from mmcourse.training.torch import autocast_dtype

print("device", device(), "- autocast to", autocast_dtype("auto", torch.device(device())))

# %% [markdown]
# ## 7 · At full size
# On a GPU the same call with wider encoders, `compile=True` (PyTorch writes one GPU program for many operations: a minute to
# start, meant for long runs) and `channels_last=True` (the order in memory that its convolutions want).

# %% tags=["free"]
if profile == "gpu":  # noqa: F821 — the set-up cell defines it
    wide = {"face": ImageEncoder(256, channels=(64, 128)), "voice": AudioEncoder(40, 256, channels=128)}
    wide["words"] = TextEncoder(len(train.vocabulary), 256)
    large = MultimodalClassifier(wide, Concatenate([256] * 3, 1024), 3).to(device())
    fit(large, train.torch_loader(256, seed=0, fixed_length=True), learning_rate=2e-3, compile=True, channels_last=True)
    print("test accuracy", test_accuracy(large))
else:
    print("No GPU here, so this did not run. It would have shown a wider model's accuracy and samples a second.")

# %% [markdown]
# Real digits: MNIST images and recordings of six people, no speaker in two splits. `mmcourse data fetch` brings them once.

# %% tags=["free"]
from mmcourse.datasets import sources

if missing := [source.name for source in sources() if source.name != "reviews" and not source.present()]:
    print(
        f"Not run: {', '.join(missing)} not fetched yet. It would have shown image, voice and both on real recordings."
    )
else:
    real = [load("avdigits", split, source="real") for split in ("train", "test")]
    print(
        {
            " + ".join(n): round(learn_digits(build_digits(*n), *real), 3)
            for n in (["image"], ["voice"], ["image", "voice"])
        }
    )

# %% [markdown]
# ## 8 · What to remember
# - Rate, forward, loss, `zero_grad`, `backward`, `step`: know the symptom of each that is missing.
# - A high rate without warm-up costs epochs. Let it climb, then fall; decay matrices, leave biases alone.
# - First loss $\ln C$, gradients everywhere, then train. Judge by unseen data against a ceiling.
# - A run is more than its weights: optimizer, step, place in the data, random numbers. Save all of it, atomically.
# - Joined raw, a second modality can be worse than none. And run a linear model on simple features before you trust a network.
#
# ## 9 · Check yourself
# <details><summary>Your first loss on ten classes is 7.5. What is wrong?</summary>
# It should be ln 10 = 2.3. The untrained model is sure of nonsense: logits far too large, or labels that do not fit.</details>
# <details><summary>Why does clipping use one factor for all gradients?</summary>
# The direction is what the gradient knows. Cutting each one for itself would turn it.</details>
# <details><summary>Measured twice, your model has two accuracies. Why?</summary>
# Something random is still on: `eval()` was forgotten.</details>
# <details><summary>After a restart the weights move ten times as far as before. What was not saved?</summary>
# The optimizer: a fresh Adam's first step moves every weight by the full rate.</details>
#
# ## 10 · Exercises
# Three tasks in [the exercise notebook](exercises/train_pytorch.ipynb): a schedule, clipping, and the diagnosis of runs from
# their logs.
#
# ## Sources
# Loshchilov and Hutter 2019, *Decoupled weight decay*, arXiv 1711.05101 · Kingma and Ba 2015, *Adam*, arXiv 1412.6980 · Loshchilov
# and Hutter 2017, *SGDR*, arXiv 1608.03983 · Goyal et al. 2017, arXiv 1706.02677 · Pascanu et al. 2013, arXiv 1211.5063 · Polyak
# and Juditsky 1992, *Acceleration of stochastic approximation by averaging* · Micikevicius et al. 2018, *Mixed precision training*,
# arXiv 1710.03740 · Neverova et al. 2016, arXiv 1501.00102.
