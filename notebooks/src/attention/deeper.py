# %% [markdown]
# # Attention, deeper
# *Gradients checked by hand, the traps of both frameworks shown on purpose, and what attention costs in memory and time.*
#
# {{budget}}
#
# **You will be able to**
# - derive and check the gradient of attention;
# - recognize three silent mistakes with masks;
# - compute attention block by block, and say why that saves memory and not work.
#
# **Before this:** [attention](attention.ipynb). **Time to read:** 25 minutes.

# %%
import timeit

import keras
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import draw, plot
from mmcourse.evaluate import expect_within

g = np.random.default_rng(0)

# %% [markdown]
# ## 1 · The gradient of attention
# Write $S = QK^\top/\sqrt{d_k}$, $W = \text{softmax}(S)$, $Y = WV$, and let $\bar Y$ be the gradient of a loss with respect to $Y$. Backwards through the three steps:
#
# $$\bar V = W^\top \bar Y,\qquad \bar W = \bar Y V^\top,\qquad
# \bar S_{ij} = W_{ij}\Big(\bar W_{ij} - \sum_k W_{ik}\bar W_{ik}\Big),\qquad
# \bar Q = \bar S K/\sqrt{d_k},\quad \bar K = \bar S^\top Q/\sqrt{d_k}$$


# %%
def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def forward(q, k, v):
    weights = softmax(q @ k.T / np.sqrt(k.shape[1]))  # (n, m)
    return weights @ v, weights


def backward(dy, q, k, v, weights):
    """Gradients of q, k and v from that of the output, dy (n, d_v)."""
    dv = weights.T @ dy  # (m, d_v)
    dw = dy @ v.T  # (n, m)
    ds = weights * (dw - (weights * dw).sum(axis=1, keepdims=True))  # (n, m)
    scale = 1 / np.sqrt(k.shape[1])
    return ds @ k * scale, ds.T @ q * scale, dv


q, k, v = g.normal(size=(3, 4)), g.normal(size=(5, 4)), g.normal(size=(5, 2))
y, weights = forward(q, k, v)
dy = g.normal(size=y.shape)
gradients = backward(dy, q, k, v, weights)

# %% [markdown]
# A **finite-difference gradient check** changes one number a little and compares the change of the loss with the formula. Here for every number of q, k and v;
# and PyTorch's autograd as a second witness.

# %%
step, worst = 1e-6, 0.0
for array, gradient in zip((q, k, v), gradients, strict=True):
    for at in np.ndindex(array.shape):
        kept = array[at]
        array[at] = kept + step
        up = (forward(q, k, v)[0] * dy).sum()
        array[at] = kept - step
        down = (forward(q, k, v)[0] * dy).sum()
        array[at] = kept
        worst = max(worst, abs((up - down) / (2 * step) - gradient[at]))
print("largest difference from finite differences below 1e-8:", worst < 1e-8)

tensors = [torch.tensor(a, requires_grad=True) for a in (q, k, v)]
out = F.scaled_dot_product_attention(*(t[None] for t in tensors))[0]
out.backward(torch.tensor(dy))
agree = [np.allclose(t.grad, d) for t, d in zip(tensors, gradients, strict=True)]
print("PyTorch's autograd agrees:", all(agree))

# %% [markdown]
# ## 2 · Three silent mistakes
# ### True the wrong way round
# `nn.MultiheadAttention` takes `key_padding_mask` with True = **ignore**, the opposite of this course, of Keras and of `F.scaled_dot_product_attention`. Hand
# it a mask as it is. Will there be an error?

# %%
torch.manual_seed(0)
layer = nn.MultiheadAttention(8, num_heads=2, batch_first=True)
x = torch.randn(2, 5, 8)
padding_mask = torch.tensor([[True] * 3 + [False] * 2, [True] * 4 + [False]])

right, _ = layer(x, x, x, key_padding_mask=~padding_mask)
wrong, _ = layer(x, x, x, key_padding_mask=padding_mask)
print("finite:", torch.isfinite(wrong).all().item())
print("equal: ", torch.allclose(right, wrong))

# %% [markdown]
# No error, no warning, plausible numbers. The test that finds it: the real words of a padded sequence must get what they would get alone.

# %%
alone, _ = layer(x[:1, :3], x[:1, :3], x[:1, :3])
for name, y in (("right", right), ("wrong", wrong)):
    print(f"{name}: as if alone:", torch.allclose(y[:1, :3], alone, atol=1e-6))

# %% [markdown]
# ### A row with nothing to attend to
# One message in the batch has no text at all: every key is padding. Then the softmax divides 0 by 0.

# %%
from mmcourse.numpy.attention import scaled_dot_product_attention as course_attention

empty = torch.tensor([[False] * 5, [True] * 5])
by_torch, _ = layer(x, x, x, key_padding_mask=~empty)
by_function = F.scaled_dot_product_attention(x, x, x, attn_mask=empty[:, None, :])
keras_layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
inputs = x.numpy()
keys_open = empty[:, None, :].numpy()  # (b, 1, m)
by_keras = np.array(keras_layer(inputs, inputs, attention_mask=keys_open))
by_course, _ = course_attention(inputs, inputs, inputs, empty.numpy())
for name, y in (
    ("nn.MultiheadAttention", by_torch.detach().numpy()),
    ("F.scaled_dot_product_attention", by_function.numpy()),
    ("keras.layers.MultiHeadAttention", by_keras),
    ("this course", by_course),
):
    print(f"{name:32} finite: {np.isfinite(y).all()!s:5}  zeros: {not y[0].any()}")

# %% [markdown]
# The module returns NaN: it reaches the loss, and after a training step every weight that led to it. The function, in this version of PyTorch, returns zeros. Keras stays finite because it adds a large negative number
# instead of $-\infty$: an empty row then spreads over the padding. The course returns zeros: no information, no message. In PyTorch, give such rows one open key (a
# `[CLS]` token, say), or fill the output: `y.masked_fill(~mask.any(-1, keepdim=True), 0)` helps the output, but not always the gradient.

# %%
scores = torch.zeros(1, 3, requires_grad=True)
closed = torch.ones(1, 3, dtype=torch.bool)
weights = scores.masked_fill(closed, float("-inf")).softmax(-1)  # NaN
filled = weights.masked_fill(closed.all(-1, keepdim=True), 0)  # looks repaired
filled.sum().backward()
print("output", filled.detach().numpy(), " gradient", scores.grad.numpy())

# %% [markdown]
# Here `masked_fill` stands on the way in too, and gives the masked scores a gradient of exactly 0. Leave that out (add $-\infty$ instead of filling), and the NaN comes back through the softmax:

# %%
scores = torch.zeros(1, 3, requires_grad=True)
added = scores + torch.full((1, 3), float("-inf"))
filled = added.softmax(-1).masked_fill(closed.all(-1, keepdim=True), 0)
filled.sum().backward()
print("output", filled.detach().numpy(), " gradient", scores.grad.numpy())

# %% [markdown]
# ### Weights that are averages
# `need_weights=True` returns the mean over heads unless you say otherwise. Two sharp heads that attend to different words look like one undecided head.

# %%
_, mean = layer(x, x, x)
_, each = layer(x, x, x, average_attn_weights=False)
print("mean over heads", tuple(mean.shape), " each head", tuple(each.shape))
same = torch.allclose(mean, each.mean(dim=1), atol=1e-6)
print("the first is the mean of the second:", same)

# %% [markdown]
# ## 3 · Memory
# Written out, attention keeps the whole (n, n) map for the backward pass. But the softmax can be computed **block by block**: keep a running maximum and a running
# sum, and correct what you have whenever the maximum grows (Rabe and Staats 2021, arXiv 2112.05682).

# %% tags=["hide-input"]
blocks = draw.column(
    draw.tokens(["keys 1–2", "keys 3–4", "keys 5"], title="the keys, two at a time", highlight=[1]),
    draw.row(
        draw.box("maximum so far", note="(n, 1)"),
        draw.box("sum of exponentials so far", note="(n, 1)", color="orange"),
        draw.box("weighted sum of values so far", note="(n, d_v)", color="green"),
        gap=14,
    ),
    draw.box("output = weighted sum / sum", color="gray"),
    arrows=True,
)
draw.show(
    blocks, alt="Blocks of two keys update three running quantities; at the end the weighted sum is divided by the sum."
)


# %%
def blockwise(q, k, v, size=2):
    """Attention that never holds more than `size` columns of the map."""
    top = np.full((len(q), 1), -np.inf)  # the maximum so far
    total = np.zeros((len(q), 1))  # sum of exponentials so far
    mixed = np.zeros((len(q), v.shape[1]))  # weighted sum of values so far
    for start in range(0, len(k), size):
        block = slice(start, start + size)
        scores = q @ k[block].T / np.sqrt(k.shape[1])  # (n, size)
        higher = np.maximum(top, scores.max(axis=1, keepdims=True))
        correct = np.exp(top - higher)
        e = np.exp(scores - higher)
        total = total * correct + e.sum(axis=1, keepdims=True)
        mixed = mixed * correct + e @ v[block]
        top = higher
    return mixed / total


same = np.allclose(blockwise(q, k, v), forward(q, k, v)[0])
print("equal, without ever holding the whole map:", same)

# %% [markdown]
# FlashAttention does this in a GPU's fast memory (Dao et al. 2022, arXiv 2205.14135); `F.scaled_dot_product_attention` chooses such a kernel by itself. Count the bytes that
# autograd keeps for the backward pass.


# %%
def written_out(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return scores.softmax(-1) @ v


def bytes_kept(function, *tensors):
    """Bytes that autograd keeps for the backward pass of one call."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function(*tensors)
    return sum(storages.values()), result


ways = {"written out": written_out, "PyTorch's kernel": F.scaled_dot_product_attention}
lengths = [64, 128, 256, 512, 1024]
memory = {name: [] for name in ways}
seconds = {name: [] for name in ways}
for n in lengths:
    qkv = [torch.randn(1, 4, n, 32, requires_grad=True) for _ in range(3)]
    for name, function in ways.items():
        memory[name].append(bytes_kept(function, *qkv)[0] / 2**20)

        def both_passes(function=function, qkv=qkv):
            function(*qkv).sum().backward()

        seconds[name].append(1000 * min(timeit.repeat(both_passes, number=1, repeat=3)))

# %%
for name in ways:
    print(f"{name:17} MB", *(f"{value:8.2f}" for value in memory[name]))
a, b = (function(*qkv) for function in ways.values())
print("equal outputs:", torch.allclose(a, b, atol=1e-5))
grown = {name: values[-1] / values[-2] for name, values in memory.items()}
in_full, by_kernel = grown["written out"], grown["PyTorch's kernel"]
expect_within("memory from n = 512 to 1024, written out: factor", in_full, 3.7, 0.3)
expect_within("the same with PyTorch's kernel: factor", by_kernel, 2.0, 0.1)

# %% tags=["free", "hide-input"]
for name in ways:
    print(f"{name:17} ms", *(f"{value:8.1f}" for value in seconds[name]))
fig = plot.curves(
    memory, title="How much memory is kept for the backward pass?", x=lengths, xlabel="length n", ylabel="MB"
)
plot.show(
    fig,
    alt="Memory against sequence length: attention written out grows with the square of the length, PyTorch's kernel in a straight line close to zero.",
)

# %% [markdown]
# The outputs are equal, and memory grows in a straight line instead of with the square. The *work* is still $4n^2d$. And a kernel that never makes the map cannot show it to you.
#
# ### On a GPU
# The same two functions at length 16,384. Written out, four heads make four maps of 16,384² numbers.

# %% tags=["free"]
from mmcourse import runtime

if runtime.profile() == "gpu":
    for name, function in ways.items():
        shape = (3, 1, 4, 16_384, 32)
        long = torch.randn(shape, device="cuda", requires_grad=True)
        torch.cuda.reset_peak_memory_stats()
        function(*long).sum().backward()
        print(f"{name:17} peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GB")
else:
    print("not run: no GPU here, and there is no stored run on one.")
    map_size = 4 * 16_384**2 * 4 / 2**30
    print(f"Written out, one copy of the maps takes {map_size:.0f} GB.")

# %% [markdown]
# ## 4 · Check yourself
# <details><summary>1. Why does the gradient of the scores in a row sum to zero?</summary>
#
# Adding the same number to all scores of a row changes no weight, so the derivative in that direction is zero.
# </details>
# <details><summary>2. Which test tells a wrong mask from a right one without looking at any weight?</summary>
#
# Compare a padded sequence with the same sequence alone; and change a later word under a causal mask.
# </details>
# <details><summary>3. Block-by-block attention is faster on a GPU although it multiplies as much. Why can that be?</summary>
#
# It moves less memory: the map is never written to the slow memory and read back.
# </details>
#
# **Back to** [attention](attention.ipynb) · **on to** [transformers](transformers.ipynb)
#
# ## Sources
# Rabe and Staats 2021, arXiv 2112.05682 · Dao et al. 2022, *FlashAttention*, arXiv 2205.14135 · Vaswani et al. 2017, arXiv 1706.03762.
