# %% [markdown]
# # Attention, deeper
# *Gradients derived and checked, the traps of both frameworks shown on purpose, what attention costs in memory and time, and a
# result that is not the one hoped for.*
#
# {{budget}}
#
# **You will be able to**
# - derive and check the gradient of attention;
# - recognize four silent mistakes with masks, weights and dropout;
# - compute attention block by block, and say why that saves memory and not work;
# - say what a few seeds and a few hundred sentences can show, and what they cannot.
#
# **Before this:** [attention](attention.ipynb). **Time to read:** 35 minutes.

# %%
import timeit

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mmcourse import draw, plot
from mmcourse.evaluate import expect_within, mean_and_interval

g = np.random.default_rng(0)

# %% [markdown]
# ## 1 · The gradient of attention

# %% [markdown]
# Write $S = QK^\top/\sqrt{d_k}$ (n, m), $W = \text{softmax}(S)$ (n, m), $Y = WV$ (n, d_v), and let $\bar Y$ (n, d_v) be the gradient of a loss with respect to $Y$. Go
# backwards, one step at a time.
#
# **Mixing.** A product $Y = WV$ changes by $dY = dW\,V + W\,dV$, and the loss by $\sum \bar Y \odot dY$. Collect what stands beside $dW$ and $dV$; shapes leave only one way to transpose:
#
# $$\bar W = \bar Y V^\top\ \ (n, d_v)(d_v, m), \qquad \bar V = W^\top \bar Y\ \ (m, n)(n, d_v)$$
#
# **Softmax.** In one row, $w_k = e^{s_k}/\sum_l e^{s_l}$, so $\partial w_k/\partial s_j = w_k(\delta_{kj} - w_j)$, where $\delta_{kj}$ is 1 if $k = j$ and 0 otherwise. Therefore
#
# $$\bar s_j = \sum_k \bar w_k\, w_k (\delta_{kj} - w_j) = w_j\Big(\bar w_j - \sum_k w_k \bar w_k\Big)$$
#
# **Scores.** $S = QK^\top/\sqrt{d_k}$ is a product again: $\ \bar Q = \bar S K/\sqrt{d_k}\ $ (n, m)(m, d_k) and $\ \bar K = \bar S^\top Q/\sqrt{d_k}\ $ (m, n)(n, d_k).


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
# ### How much of the derivative does scaling save?
# The lesson showed one row whose weights hardly moved. Here is the whole derivative of a row, the **Jacobian** $\partial w_k/\partial s_j$ (m, m), and its size: the root of the sum
# of its squares (the *Frobenius norm*). Compare the size without scaling with that after scaling, for queries and keys of variance 1, and of variance 1/3, as `nn.Linear`
# gives them at the start.


# %%
def derivative_size(scores):
    """Mean size of ∂weights/∂scores over rows of scores (rows, m)."""
    w = softmax(scores)  # (rows, m)
    diagonal = w[:, :, None] * np.eye(w.shape[1])
    jacobian = diagonal - w[:, :, None] * w[:, None, :]  # (rows, m, m)
    return np.sqrt((jacobian**2).sum(axis=(1, 2))).mean()


g = np.random.default_rng(1)
left = {}
print("d_k    derivative left without scaling")
print("       variance 1   variance 1/3")
for d_k in (4, 16, 64, 256, 1024):
    query_rows = g.normal(size=(1000, 1, d_k))
    key_rows = g.normal(size=(1000, 10, d_k))  # 10 keys per query
    raw = (query_rows * key_rows).sum(axis=2)  # (1000, 10)
    for variance in (1, 1 / 3):
        scores = variance * raw  # queries and keys each times the root of the variance
        scaled = scores / np.sqrt(d_k)
        left[d_k, variance] = derivative_size(scores) / derivative_size(scaled)
    print(f"{d_k:4}   {left[d_k, 1]:10.0%}   {left[d_k, 1 / 3]:12.0%}")

# %%
expect_within("left at d_k = 64, variance 1", left[64, 1], 0.47, 0.04)
expect_within("left at d_k = 1024, variance 1", left[1024, 1], 0.13, 0.04)
expect_within("left at d_k = 64, variance 1/3", left[64, 1 / 3], 1.02, 0.06)

# %% [markdown]
# The derivative fades, it does not vanish; and heads of 64 with the first weights of PyTorch lose nothing at all. Scaling matters where widths are large, or where queries and keys have
# variance 1, after a layer normalization with other first weights, for example.

# %% [markdown]
# ## 2 · Four silent mistakes

# %% [markdown]
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
scores = x @ x.transpose(-1, -2) / x.shape[-1] ** 0.5  # as the lesson's layer does it
scores = scores.masked_fill(~empty[:, None, :], float("-inf"))
by_lesson = scores.softmax(dim=-1) @ x
for name, y in (
    ("the layer of your lesson", by_lesson.numpy()),
    ("nn.MultiheadAttention", by_torch.detach().numpy()),
    ("F.scaled_dot_product_attention", by_function.numpy()),
    ("keras.layers.MultiHeadAttention", by_keras),
    ("mmcourse.numpy.attention", by_course),
):
    print(f"{name:32} finite: {np.isfinite(y).all()!s:5}  zeros: {not y[0].any()}")

# %% [markdown]
# The layer that you wrote and PyTorch's module return NaN: it reaches the loss, and after a training step every weight that led to it. The function, in this version of PyTorch, returns zeros. Keras stays finite because it adds a large negative number
# instead of $-\infty$: an empty row then spreads over the padding. The course's own package returns zeros: no information, no message. In PyTorch, give such rows one open key (a
# `[CLS]` token, say), or fill the output: `y.masked_fill(~mask.any(-1, keepdim=True), 0)` helps the output, but not always the gradient. Filling with `torch.finfo(dtype).min` instead of $-\infty$, and with 0 again after the softmax, helps both.
# (A fixed $-10^9$ is no such number: in half precision it becomes $-\infty$.)

# %%
scores = torch.zeros(1, 3, requires_grad=True)
closed = torch.ones(1, 3, dtype=torch.bool)
weights = scores.masked_fill(closed, float("-inf")).softmax(-1)  # NaN
filled = weights.masked_fill(closed.all(-1, keepdim=True), 0)  # looks repaired
filled.sum().backward()
print("output", filled.detach().numpy(), " gradient", scores.grad.numpy())

# %% [markdown]
# Here `masked_fill` is on the way in too, and gives the masked scores a gradient of exactly 0. Leave that out (add $-\infty$ instead of filling), and the NaN comes back through the softmax:

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
# ### Dropout that never stops
# Attention layers can apply **dropout** to the *weights*: in training some are set to 0 and the others scaled up, so that no word can be relied on alone. `nn.MultiheadAttention(dropout=...)`, Keras's layer and
# the course's switch it off in evaluation. The *function* takes `dropout_p` and knows nothing of `model.eval()`:

# %%
layer = nn.MultiheadAttention(8, num_heads=2, dropout=0.5, batch_first=True).eval()
twice = [layer(x, x, x)[0] for _ in range(2)]
print("module in evaluation, twice the same:  ", torch.equal(*twice))

twice = [F.scaled_dot_product_attention(x, x, x, dropout_p=0.5) for _ in range(2)]
print("function with dropout_p, twice the same:", torch.equal(*twice))

# %% [markdown]
# In a module of your own write `dropout_p=self.p if self.training else 0.0`. And in training the rows of dropped weights no longer sum to 1; on average they do.

# %% [markdown]
# ## 3 · Memory

# %% [markdown]
# Written out, attention keeps the whole (n, n) map for the backward pass. But the softmax can be computed **block by block**: keep a running maximum and a running
# sum, and correct what you have whenever the maximum grows (Rabe and Staats 2021, arXiv 2112.05682).

# %% tags=["hide-input"]
canvas = draw.Canvas()
keys = draw.tokens(["keys 1, 2", "keys 3, 4", "key 5"], title="one block after the other", highlight=[1])
keys = canvas.place(keys, x=170, y=0)
scores_place = canvas.place(draw.box("scores of this block", note="(n, 2)"), below=keys, gap=36)
step = draw.box(
    "1. maximum grew? multiply what is kept by\nexp(old maximum − new maximum)\n2. add this block", color="gray"
)
step = canvas.place(step, below=scores_place, gap=36)
kept = []
for text, note, x in (
    ("maximum", "(n, 1)", 0),
    ("sum of exponentials", "(n, 1)", 120),
    ("weighted sum of values", "(n, d_v)", 315),
):
    kept.append(canvas.place(draw.box(text, note=note, color="green"), x=x + 20, y=280))
frame = canvas.frame(kept, color="green")
result = canvas.place(draw.box("output = weighted sum / sum", color="gray"), below=frame, gap=40)
canvas.arrow(keys, scores_place)
canvas.arrow(scores_place, step)
canvas.arrow(step.bottom, (step.bottom[0], frame.top[1]))
canvas.arrow(frame.bottom, result.top, label="after the last block")
canvas.arrow(frame.right, (keys.right[0] + 6, keys.right[1]), bend=-110, label="next block")
draw.show(
    canvas,
    alt="A loop over blocks of two keys. For each block: its scores; if the maximum grew, what is there is scaled down; then "
    "the maximum, the sum of exponentials and the weighted sum of values take in the block. After the last block the "
    "weighted sum is divided by the sum.",
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
# Does it save memory? Ask NumPy for the most that it held at one time.

# %% tags=["free"]
import tracemalloc


def peak_megabytes(function, *arrays):
    tracemalloc.start()
    function(*arrays)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


for n in (500, 1000, 2000):
    long = g.normal(size=(3, n, 32))  # q, k and v
    whole = peak_megabytes(lambda q, k, v: forward(q, k, v)[0], *long)
    blocks = peak_megabytes(lambda q, k, v: blockwise(q, k, v, size=50), *long)
    print(f"n = {n:4}   whole map {whole:6.1f} MiB   blocks of 50 {blocks:5.1f} MiB")
factor = whole / blocks
expect_within("whole map at n = 2000 against blocks of 50: factor", factor, 25, 15)

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
    print(f"{name:17} MiB", *(f"{value:8.2f}" for value in memory[name]))
a, b = (function(*qkv) for function in ways.values())
print("equal outputs:", torch.allclose(a, b, atol=1e-5))
grown = {name: values[-1] / values[-2] for name, values in memory.items()}
in_full, by_kernel = grown["written out"], grown["PyTorch's kernel"]
expect_within("memory from n = 512 to 1024, written out: factor", in_full, 3.7, 0.3)
expect_within("the same with PyTorch's kernel: factor", by_kernel, 2.0, 0.1)

# %% tags=["free", "hide-input"]
for name in ways:
    print(f"{name:17} ms", *(f"{value:8.1f}" for value in seconds[name]))
fig, axes = plt.subplots(figsize=(6, 3.4))
lowest = memory["PyTorch's kernel"][0]
for (name, values), marker in zip(memory.items(), ("o", "s"), strict=True):
    axes.loglog(lengths, values, marker=marker, label=name)
start = np.array([lengths[0], lengths[-1]])
axes.loglog(start, 0.6 * lowest * start / start[0], ":", color="gray", label="slope 1: twice the length, twice as much")
axes.loglog(start, 0.6 * lowest * (start / start[0]) ** 2, "--", color="gray", label="slope 2: four times as much")
axes.set(xlabel="length n", ylabel="MiB", title="Kept for the backward pass")
axes.set_xticks(lengths, [str(n) for n in lengths])
axes.minorticks_off()
axes.legend(fontsize=8)
plot.show(
    fig,
    alt="Memory against sequence length on two logarithmic axes: attention written out rises with slope 2 for long sequences, "
    "PyTorch's kernel with slope 1.",
)

# %% [markdown]
# The outputs are equal, and memory grows in a straight line instead of with the square. The *multiplications* are the same, $4n^2d$ in the forward pass, and yet the kernel is faster
# for long sequences even on a processor: the map is never written to slow memory and read back, and that is where much of the time goes. But a kernel that never makes the map cannot show it
# to you. The course has not measured either on a GPU.

# %% [markdown]
# ## 4 · Real sentences

# %% [markdown]
# The lesson quotes one line of this stored run on 10,662 sentences of film reviews (Pang and Lee 2005): about 8,500 to train on, the test set apart. Averages of word vectors and
# one layer of attention get the same number of epochs with the same optimizer, five seeds each, and the epoch that counts is chosen on validation sentences.

# %%
from mmcourse.datasets import results

stored = results("attention")
print(f"stored run of {stored['date']} ({stored['made_with']}): ", end="")
print(f"{stored['num_test']} sentences, {stored['num_negated']} with a negation")
print(f"{'majority class':32} {stored['majority'][0]:.3f}")
bag = stored["TF-IDF and logistic regression"][0]
print(f"{'TF-IDF and logistic regression':32} {bag[0]:.3f}", end="          ")
print(f"with a negation {bag[1]:.3f}")
for name in ("average of word vectors", "self-attention"):
    runs = np.array(stored[name])  # (5 seeds, 3)
    mean, interval = mean_and_interval(runs[:, 0])
    negated, spread = mean_and_interval(runs[:, 1])
    print(f"{name:32} {mean:.3f} ± {interval:.3f}", end="  ")
    print(f"with a negation {negated:.3f} ± {spread:.3f}")

# %%
average = np.array(stored["average of word vectors"])
attended = np.array(stored["self-attention"])
for column, which in ((0, "all sentences"), (1, "sentences with a negation")):
    gain, interval = mean_and_interval(attended[:, column] - average[:, column])
    print(f"attention minus average, {which}: {gain:+.3f} ± {interval:.3f} (5 seeds)")
sentences = stored["num_negated"]
by_chance = 1.96 * np.sqrt(0.75 * 0.25 / sentences)
print(f"an accuracy near 0.75 on {sentences} sentences is known to ± {by_chance:.3f}")

# %% [markdown]
# No gain shows, not even among sentences with a negation, where order should matter. Mind what the intervals mean: they tell how much *another training seed* would change, not how much *other test sentences*
# would, and the last line says that the second is larger. Why there is no gain this run cannot tell: too few sentences, a layer too small, or a recipe that suits averages. Lesson
# [bert](bert.ipynb) changes the first of these.

# %% [markdown]
# ## 5 · Check yourself

# %% [markdown]
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
# Rabe and Staats 2021, arXiv 2112.05682 · Dao et al. 2022, *FlashAttention*, arXiv 2205.14135 · Srivastava et al. 2014 (dropout) · Pang and Lee 2005, *Seeing stars* · Vaswani et al.
# 2017, arXiv 1706.03762.
