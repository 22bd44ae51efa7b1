# %% [markdown]
# # Fusion, deeper
# *The rest of the family by hand, the same numbers in three backends, and one model trained in PyTorch and Keras side by side.*
#
# {{budget}}
#
# **You will be able to**
# - write the sum gate, low-rank and compact bilinear pooling, and a bottleneck layer;
# - say why modality dropout is drawn by sample, and when a gradient is modulated;
# - prove that one formula is the same in NumPy, PyTorch and Keras, and name the defaults that differ.
#
# **Before this:** [fusion](fusion.ipynb). **Time to read:** 30 minutes.

# %% tags=["hide-input"]
import keras
import numpy as np
import torch
from torch import nn

from mmcourse import plot
from mmcourse.datasets import load
from mmcourse.evaluate import expect_within
from mmcourse.keras import encoders as keras_encoders
from mmcourse.keras import fusion as keras_fusion
from mmcourse.numpy import fusion
from mmcourse.parity import compare as compare_backends
from mmcourse.parity import copy_weights, parity_cases
from mmcourse.torch import encoders
from mmcourse.torch import fusion as torch_fusion

np.set_printoptions(precision=3, suppress=True)
torch.set_num_threads(1)
rng = np.random.default_rng(9)
dims, width = [3, 2, 4], 5


def drawn(*shape):
    return rng.normal(size=shape).round(1)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def compare(name, mine, *args, **options):
    """The largest difference from the package's version."""
    gap = np.abs(mine - getattr(fusion, name)(*args, **options)).max()
    assert gap < 1e-4
    print(f"shape {np.shape(mine)}, difference from fusion.{name} below 0.0001")


xs = [drawn(2, d) for d in dims]  # face, voice, words
maps = {f"maps.{m}.w": drawn(d, width) for m, d in enumerate(dims)}

# %% [markdown]
# ## 1 · A gate that is none
# The **sum gate** $\sigma(W_g \sum_m f_m(x_m) + b_g)$ with $f_m(x) = W_m x + b_m$ is often called a gate. It multiplies nothing: it adds, then applies a nonlinear function. That comes *after* the sum, so with a linear layer behind it, it can interact. (Each modality has its own map:
# widths 3 and 2 cannot be added.)

# %%
p = maps | {f"maps.{m}.b": drawn(width) for m in range(3)}
p |= {"gate.w": drawn(width, width), "gate.b": drawn(width)}
total = sum(xs[m] @ p[f"maps.{m}.w"] + p[f"maps.{m}.b"] for m in range(3))
gate = 1 / (1 + np.exp(-(total @ p["gate.w"] + p["gate.b"])))
compare("sum_gate", gate, xs, p)

# %% [markdown]
# ## 2 · Bilinear pooling
# The full form $z_k = x_1^\top W_k x_2$ has a weight for every pair of entries and every output.

# %%
two, W = xs[:2], drawn(3, 2, width)
z = np.einsum("bi,ijk,bj->bk", two[0], W, two[1])
compare("bilinear", z, two, {"w": W})

# %% [markdown]
# **Low-rank bilinear pooling** (Kim et al. 2017) is $P^\top(\tanh(U^\top x_1) \odot \tanh(V^\top x_2)) + b$. Because of the tanh it is not the full form with fewer weights, but another function.

# %%
U, V, P, bias = drawn(3, 4), drawn(2, 4), drawn(4, width), drawn(width)
h = (np.tanh(two[0] @ U) * np.tanh(two[1] @ V)) @ P + bias
compare(
    "low_rank_bilinear",
    h,
    two,
    {"maps.0.w": U, "maps.1.w": V, "out.w": P, "out.b": bias},
)

# %% [markdown]
# **Compact bilinear pooling** (Fukui et al. 2016) has no weights. Each vector is scattered over $D$ places with random signs (a count sketch), and the product of two Fourier transforms is the transform of their circular convolution, which *is* a count sketch of all pairs.
# Then a signed square root and length 1. How good an estimate is it? For sketches without these last two steps, the dot product of two sketches should be near the dot product of the full outer products:

# %%
sketch = {}
for m in range(2):
    sketch[f"sketch_{m}"] = fusion.count_sketch_matrix(dims[m], 8, rng)
spectra = [np.fft.rfft(two[m] @ sketch[f"sketch_{m}"]) for m in range(2)]
z = np.fft.irfft(spectra[0] * spectra[1], n=8)
z = z / np.sqrt((z**2).mean(axis=1, keepdims=True))  # the size of the inputs drops out
z = z / np.sqrt(np.abs(z) + 1e-3)  # signed square root, softened at 0
z = z / np.linalg.norm(z, axis=1, keepdims=True)
compare("compact_bilinear", z, two, sketch)

# %%
rng = np.random.default_rng(0)
a, b = rng.normal(size=(2, 2, 16))  # two samples, two modalities
exact = (a[0] @ b[0]) * (a[1] @ b[1])  # of the outer products a0⊗a1 and b0⊗b1
for places in (16, 256, 4096):
    found = []
    for _ in range(1000):
        s = [fusion.count_sketch_matrix(16, places, rng) for _ in range(2)]
        spectrum = [np.fft.rfft(x[0] @ s[0]) * np.fft.rfft(x[1] @ s[1]) for x in (a, b)]
        sketches = [np.fft.irfft(f, n=places) for f in spectrum]
        found.append(sketches[0] @ sketches[1])
    print(
        f"{places:5} places: {np.mean(found):7.2f}, spread {np.std(found):6.2f}",
        end="  ",
    )
    print(f"(exact {exact:.2f})")

# %% [markdown]
# Right on average, and the spread shrinks with the number of places. The sketch is drawn *once and for all* and saved with the weights: draw new hashes at every step, and the same input gives the layer behind other numbers each time.
#
# ## 3 · A bottleneck layer
# Each modality attends to its own steps and the shared tokens $z$, nothing else; the new $z$ is the mean of what the modalities made of it (Nagrani et al. 2021; here one head and no feed-forward part).

# %%
rng = np.random.default_rng(1)
streams, z = [drawn(1, 3, 4), drawn(1, 2, 4)], drawn(1, 1, 4)  # words, face, one token
parts = ("q_proj", "k_proj", "v_proj")
p = {f"0.{m}.{part}.w": drawn(4, 4) for m in range(2) for part in parts}
made = []
for m, x in enumerate(streams):
    s = np.concatenate([x, z], axis=1)  # own steps and the token
    unit = s / np.sqrt((s**2).mean(axis=-1, keepdims=True))
    Q, K, V = (unit @ p[f"0.{m}.{part}.w"] for part in parts)
    s = s + softmax(Q @ K.swapaxes(1, 2) / 2) @ V
    made.append(s[:, -1:])
new_z = np.mean(made, axis=0)
masks = [np.ones(x.shape[:2], bool) for x in streams]
theirs = fusion.bottleneck_layer(streams, z, masks, p, "0")[1]
print(
    "new token",
    new_z[0, 0],
    " largest difference",
    np.abs(new_z - theirs).max().round(4),
)

# %% [markdown]
# ## 4 · Modality dropout and null tokens
# Modality dropout is drawn *per sample*. Drawn per batch, a whole step would train one pattern only. And zero is a value: the learned null token says "nobody" instead.

# %%
rng = np.random.default_rng(2)
null = {f"null.{m}": drawn(d) for m, d in enumerate(dims)}
there = np.array([[True, False, True], [True, True, True]])
dropped = fusion.modality_dropout(xs, null, there)
by_hand = [np.where(there[:, [m]], xs[m], null[f"null.{m}"]) for m in range(3)]
print("voice of sample 0:", dropped[1][0], "= null token:", null["null.1"])
assert all(np.allclose(a, b) for a, b in zip(dropped, by_hand, strict=True))

# %% [markdown]
# **Gradient modulation** (Peng et al. 2022) slows the encoder of a modality that is ahead: $k_u = 1 - \tanh(\alpha \rho_u)$ if $\rho_u > 1$, else 1, where $\rho_u$ is its confidence over the mean of the others'. Mind the jump at 1:

# %%
for ahead in (0.99, 1.0, 1.0001, 1.5, 3.0):
    k = fusion.ogm_coefficients(np.array([ahead, 1.0]), alpha=0.5)
    print(f"ratio {ahead:6}: factors {k}")

# %% [markdown]
# A ratio of 1.0001 halves the gradient, and 0.9999 leaves it alone. (Lesson [sentiment](sentiment.ipynb) measures whether it helps.)
#
# ## 5 · Parity
# The package has every method in NumPy, PyTorch and Keras. With the same weights, the largest relative difference among the three, of outputs and after five steps of gradient descent:

# %% tags=["free"]
slow = (
    "absent",
    "cross-modal",
    "bottleneck",
    "entropy",
    "modulation",
)  # ten seconds more
for case in parity_cases("fusion"):
    if not any(word in case.name for word in slow):
        reports = compare_backends(case)
        assert not any(report.faults() for report in reports)
        worst = max(report.forward for report in reports)
        steps = f"{reports[1].sgd:.0e}".replace("nan", "no weights")
        print(f"{case.name:28} output {worst:.0e}   five steps {steps}")

# %% [markdown]
# ## 6 · End to end, in both frameworks
# Encoders and a gated unit together, from the same weights, on the same 2,000 messages of `mood` in the same order. One default must be made equal: Adam's ε is 1e-7 in Keras and 1e-8 in PyTorch. Expect one line to the eye, not to the last digit: float32 sums differ in
# order, and each step builds on the one before.


# %%
def build(encoders, fusion, num_words):
    parts = {
        "face": encoders.ImageEncoder(16),
        "voice": encoders.AudioEncoder(40, 16),
        "words": encoders.TextEncoder(num_words, 16),
    }
    fuse = fusion.GatedUnit([16] * 3, 16)
    return encoders.MultimodalClassifier(parts, fuse, classes=3)


train = load("mood", "train")
subset = train.subset(np.arange(2000))
feed = subset.torch_loader(64, seed=0, fixed_length=True)
feed_keras = subset.tf_dataset(64, seed=0, fixed_length=True)

# %% tags=["free"]
torch.manual_seed(0)
ours = build(encoders, torch_fusion, len(train.vocabulary))
theirs = build(keras_encoders, keras_fusion, len(train.vocabulary))
theirs(next(iter(subset.tf_dataset(64, fixed_length=True)))[0])  # makes the weights
copy_weights(ours, theirs)
adam = torch.optim.Adam(ours.parameters(), lr=3e-3)
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
theirs.compile(keras.optimizers.Adam(3e-3, epsilon=1e-8), loss_of)
torch_losses, keras_losses = [], []
for _ in range(4):
    for batch in feed:
        loss = nn.functional.cross_entropy(ours(batch), batch["target"])
        adam.zero_grad()
        loss.backward()
        adam.step()
        torch_losses.append(loss.item())
    keras_losses += [float(theirs.train_on_batch(x, y)) for x, y in feed_keras]
fig = plot.curves(
    {"PyTorch": torch_losses, "Keras": keras_losses},
    title="Do both learn the same?",
    xlabel="step",
    levels={"knows nothing": np.log(3)},
)
plot.show(fig, alt="Two loss curves on each other that fall from 1.1 to about 0.55.")

# %% tags=["target"]
gap = np.abs(np.subtract(torch_losses, keras_losses))
expect_within("largest gap in the first ten steps", gap[:10].max(), 0, 0.002)
expect_within("largest gap in 128 steps", gap.max(), 0, 0.1)
expect_within("loss of the last 32 steps", np.mean(keras_losses[-32:]), 0.57, 0.08)

# %% [markdown]
# ## 7 · What to remember
# - Where is the nonlinear function? After the sum, the layer interacts; before it, modality by modality, it only adds.
# - A low-rank form is not always the full form with fewer weights: with a tanh inside it is another function.
# - Random sketches are part of the model: draw once, save.
# - Equal formulas still need equal ε, equal order and equal starts before two frameworks draw one line.
#
# ## Sources
# J.-H. Kim et al. 2017, arXiv 1610.04325 · A. Fukui et al. 2016, arXiv 1606.01847 · A. Nagrani et al. 2021, arXiv 2107.00135 · N. Neverova et al. 2016, arXiv 1501.00102 · X. Peng et al. 2022, *Balanced multimodal learning via on-the-fly gradient modulation*, arXiv 2203.15332 · J. Arevalo et al. 2017, arXiv 1702.01992.
