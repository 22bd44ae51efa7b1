# %% [markdown]
# # Sentiment, deeper
# *Three questions behind the lesson: what braking a modality does under Adam, whether synergy can be measured from data, and why a wrong line of code ran for so long.*
#
# {{budget}}
#
# **You will be able to**
# - compute the coefficients of gradient modulation, and say why Adam ignores a constant one;
# - estimate redundancy and synergy from the vectors of trained encoders, and compare with the truth;
# - say what equal widths hide.
#
# **Before this:** [sentiment](sentiment.ipynb). **Time to read:** 25 minutes.

# %%
import numpy as np
import torch
from torch import nn

from mmcourse import ceilings, plot, widgets
from mmcourse.datasets import load, mood, results
from mmcourse.torch import fusion

np.set_printoptions(precision=3, suppress=True)
torch.set_num_threads(1)
stored = results("sentiment")
names = ["face", "voice", "words"]

# %% [markdown]
# ## 1 · Gradient modulation

# %% [markdown]
# Peng et al. (2022) slow down the modality that is ahead. $s_u$ says how sure modality $u$ alone is of the right class, summed over a mini-batch, and $\alpha$ how hard to brake. The gradient of encoder $u$, not of the head, is multiplied by
#
# $$k_u = 1 - \tanh(\alpha \rho_u) \text{ if } \rho_u > 1, \text{ else } 1 \qquad \rho_u = \frac{s_u}{\text{mean of the others' } s}$$
#
# (The paper has two modalities; the mean is the course's form for more.) By hand, with $\alpha = 0.5$:

# %%
sure = torch.tensor([40.0, 38.0, 24.0])  # summed over a batch: face, voice, words
others = (sure.sum() - sure) / 2
print("ratios", (sure / others).numpy())
print("k     ", fusion.ogm_coefficients(sure, alpha=0.5).numpy())

# %%
brake_guess = widgets.guess(
    "A modality is hardly ahead, ρ = 1.0001. How much of its gradient is left?",
    ["1.00", "0.98", "0.54"],
)

# %%
for ratio in (0.9999, 1.0, 1.0001, 1.1, 2.0):
    k = fusion.ogm_coefficients(torch.tensor([ratio, 1.0]), alpha=0.5)[0].item()
    print(f"ρ = {ratio:<7} k = {k:.3f}")
brake_guess.compare("0.54")

# %% [markdown]
# The function jumps at 1: from no brake to nearly half. So "the ratios were close to 1" is no reason why it did nothing in the lesson's five epochs. What were they?

# %%
# (seed, epoch, modality)
ratios = np.array([run["ratios"] for run in stored["speed"]["nothing"]])
for m, name in enumerate(names):
    print(f"{name:6} mean ratio by epoch {ratios[:, :, m].mean(axis=0)}")
print("from", ratios.min().round(2), "to", ratios.max().round(2))

# %% [markdown]
# One reason that can be checked: **Adam** divides each gradient by its own running size. Multiply all gradients of a weight by a constant $k$, and the steps stay the same.


# %%
def steps(optimizer_class, k):
    """A weight after three steps with gradients 1, −0.5 and 2, each times k."""
    w = torch.zeros(1, requires_grad=True)
    optimizer = optimizer_class([w], lr=0.1)
    for gradient in (1.0, -0.5, 2.0):
        w.grad = torch.tensor([k * gradient])
        optimizer.step()
    return w.item()


for optimizer_class in (torch.optim.SGD, torch.optim.Adam):
    reached = [round(steps(optimizer_class, k), 4) for k in (1.0, 0.5, 0.1)]
    print(f"{optimizer_class.__name__:5}", reached)
assert abs(steps(torch.optim.Adam, 1.0) - steps(torch.optim.Adam, 0.1)) < 1e-5

# %% [markdown]
# The paper uses SGD, where $k$ does slow a modality down. A $k$ that changes from batch to batch is not a constant, and what that does under Adam is not tested here. So this is a possible reason, not a proof.
#
# ## 2 · Synergy, measured from data

# %% [markdown]
# The lesson reads synergy off the table. Without a table one can estimate it. Group each encoder's vectors of unseen messages into four clusters, count labels and clusters for two modalities, and decompose what the pair says about the label, in bits (after Liang et al. 2023; the decomposition is that of Bertschinger et al. 2014, one of several). First three encoders, each trained alone with a head of its own:

# %% tags=["hide-input"]
from torch.nn.functional import cross_entropy

from mmcourse.torch import encoders

train, validation, test = (load("mood", split) for split in ("train", "validation", "test"))
make = {
    "face": lambda: encoders.ImageEncoder(32),
    "voice": lambda: encoders.AudioEncoder(40, 32),
    "words": lambda: encoders.TextEncoder(len(train.vocabulary), 32),
}


def trained_encoder(name, epochs=4):
    """An encoder that learned the feeling from its modality alone."""
    torch.manual_seed(0)
    encoder, head = make[name](), nn.Linear(32, 3)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(epochs):
        for batch in train.torch_loader(64, seed=0):
            optimizer.zero_grad()
            vectors = encoder(batch["inputs"][name], batch["padding_mask"].get(name))
            cross_entropy(head(vectors), batch["target"]).backward()
            optimizer.step()
    return encoder


# %% tags=["free"]
unseen = [batch for split in (validation, test) for batch in split.torch_loader(500)]
labels = np.concatenate([batch["target"] for batch in unseen])
vectors = {}
for name in names:
    encoder = trained_encoder(name)
    with torch.no_grad():
        parts = [
            encoder(b["inputs"][name], b["padding_mask"].get(name))  # (500, 32)
            for b in unseen
        ]
    vectors[name] = torch.cat(parts).numpy()
    print(name, vectors[name].shape)

# %% tags=["free"]
from itertools import combinations

from sklearn.cluster import KMeans

cluster = {}
for name in names:
    spread = vectors[name].std(axis=0).clip(1e-3)
    scaled = (vectors[name] - vectors[name].mean(axis=0)) / spread
    cluster[name] = KMeans(4, n_init=5, random_state=0).fit_predict(scaled)


def found_in_data(first, second):
    """Redundant, only first, only second, synergy: bits, from counts."""
    counts = np.zeros((3, 4, 4))
    np.add.at(counts, (labels, cluster[first], cluster[second]), 1)
    return list(ceilings.decompose(counts / counts.sum()).values())


pairs = list(combinations(names, 2))
estimated = np.array([found_in_data(*pair) for pair in pairs])
true_bits = np.array([list(mood.information(pair).values()) for pair in pairs])
fig = plot.matrix(
    np.vstack([estimated, true_bits]),
    "What do two modalities say about the feeling, in bits?",
    [f"{a} + {b}, {how}" for how in ("from data", "from the table") for a, b in pairs],
    ["redundant", "only first", "only second", "synergy"],
)
plot.show(
    fig,
    alt="Bits of redundancy, unique information and synergy for three pairs, from data "
    "and from the table; face and words have the most synergy.",
)

# %%
assert true_bits[:, 3].argmax() == pairs.index(("face", "words"))
print("most synergy, from the table:", pairs[int(true_bits[:, 3].argmax())])

# From the table, if all that is kept of a face or of words is the likeliest feeling:
face_says = np.eye(3)[mood.JOINT.sum(axis=(2, 3)).argmax(axis=0)]
words_say = np.eye(3)[mood.JOINT.sum(axis=(1, 2)).argmax(axis=0)]
answers_only = np.einsum("yfw,fa,wb->yab", mood.JOINT.sum(axis=2), face_says, words_say)
kept = ceilings.decompose(answers_only)["synergy"]
print(f"synergy of face and words {true_bits[1, 3]:.2f} bits;", end=" ")
print(f"of their single answers {kept:.2f}")
assert kept < true_bits[1, 3] / 2

# %% [markdown]
# What an encoder misreads counts as noise, and synergy suffers first, since it needs both to be right. And vectors keep what an *answer* throws away: take each model's single answer instead of clusters, and a smirk looks like a frown (alone, both speak for "negative"); more than half of the synergy is gone. That is also why stacking reads *probabilities* and not answers.
#
# ## 3 · What equal widths hide

# %% [markdown]
# The skeleton of the lesson gave all three extractors 32 numbers. Give them widths that suit them, and the very same line stops, though only when data arrive:

# %%
text, audio, image = torch.randn(8, 64), torch.randn(8, 32), torch.randn(8, 128)
try:
    weights = (text @ image.T).softmax(dim=-1)  # as Attention()([text, audio, image])
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# A product of text and image needs equal widths; making them equal silenced the only complaint. A test that would have caught it needs two lines: the output for one message must not change when another message joins the batch.
#
# ## Sources
# X. Peng and others (2022), *Balanced multimodal learning via on-the-fly gradient modulation*, arXiv 2203.15332 · N. Bertschinger and others (2014), *Quantifying unique information*, arXiv 1311.2852 · P. P. Liang and others (2023), *Quantifying and modeling multimodal interactions*, arXiv 2302.12247.
