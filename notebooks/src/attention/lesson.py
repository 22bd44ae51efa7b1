# %% [markdown]
# # Attention
# *Let each word choose which other words to listen to, build the layer that every transformer is made of, and
# find out what its choices do and do not tell you.*
#
# {{budget}}
#
# **You will be able to**
# - compute $\text{softmax}(QK^\top/\sqrt{d_k})\,V$ by hand, with the shape of every step;
# - mask padding and the future;
# - write multi-head attention as a PyTorch module, and use the layers of PyTorch and Keras;
# - give attention a sense of order: sinusoids, learned vectors, rotary encoding;
# - test what an attention map does not show.
#
# **Before this:** [text](text.ipynb) (padding), the lesson *neural_networks* (softmax, training), and
# matrix products.
#
# **Time to read:** 60 minutes, then 50 for the [exercises](exercises/attention.ipynb). Framework traps, gradients,
# memory and time are in [a second notebook](attention_deeper.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.evaluate import expect_within, mean_and_interval

# %% [markdown]
# ## 1 · A model that reads you
# Two friends come out of the cinema, and both use exactly the same words:
#
# - *the film was **not bad** and the music was **very dull***
# - *the film was **very bad** and the music was **not dull***
#
# Was *bad* meant well? You know at once, because you know which word turns it around. The next cell trains a small
# model on 2,000 such sentences. It is shown **only the answers**: for each feeling word, meant well or not. Nobody
# tells it which words belong together. Open the cell if you are curious; you will understand all of it by the end.
# %% tags=["hide-input", "free"]
from mmcourse.torch.attention import MultiHeadAttention as CourseAttention
from mmcourse.torch.attention import sinusoidal_positions as torch_sinusoids

GOOD = "good lovely great funny bright warm".split()
BAD = "bad dull awful boring gloomy cold".split()
THINGS = "film music food talk party game".split()
MODIFIERS = ["very", "not"]
OPENINGS = ["", "well", "oh well", "well i say"]  # so that counting from the left does not help
VOCABULARY = ["<pad>", *sorted({*GOOD, *BAD, *THINGS, *MODIFIERS, *"well oh i say the was and".split()})]
LONGEST = 14


def make_sentence(g):
    """Words; positions of the two feeling words; whether each is meant well (1) or not (0)."""
    words, asked, target = OPENINGS[g.integers(4)].split(), [], []
    for clause in range(2):
        negated, good = g.integers(2), g.integers(2)
        feeling = str(g.choice(GOOD if good else BAD))
        words += ["and"] * clause + ["the", str(g.choice(THINGS)), "was", MODIFIERS[negated], feeling]
        asked.append(len(words) - 1)
        target.append(int(good != negated))
    return words, asked, target


def to_ids(words):
    unknown = [word for word in words if word not in VOCABULARY]
    if unknown:
        raise ValueError(f"the model does not know {unknown}; it knows {VOCABULARY[1:]}")
    return [VOCABULARY.index(word) for word in words] + [0] * (LONGEST - len(words))


def make_data(count, seed):
    """Ids (count, 14), asked positions (count, 2), targets (count, 2)."""
    g = np.random.default_rng(seed)
    sentences = [make_sentence(g) for _ in range(count)]
    ids = torch.tensor([to_ids(words) for words, _, _ in sentences])
    return ids, torch.tensor([s[1] for s in sentences]), torch.tensor([s[2] for s in sentences])


class Reader(nn.Module):
    """Word vectors and positions → one attention layer → a small network at each feeling word."""

    def __init__(self, attention, positions="sinusoids", width=32):
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.positions = positions
        if positions == "learned":
            self.position_embedding = nn.Embedding(LONGEST, width)
            nn.init.normal_(self.position_embedding.weight, std=0.7)  # as large as the sinusoids
        self.attention = attention
        self.mlp = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 2))

    def forward(self, ids, asked, return_weights=False):
        x = self.embedding(ids)  # (b, n, d)
        if self.positions == "sinusoids":
            x = x + torch_sinusoids(*x.shape[1:])
        if self.positions == "learned":
            x = x + self.position_embedding.weight
        y, weights = self.attention(x, padding_mask=ids > 0, return_weights=True)
        rows = torch.arange(len(x))[:, None]
        logits = self.mlp((x + y)[rows, asked])  # (b, 2, 2): two questions, two classes
        return (logits, weights) if return_weights else logits


def train_reader(reader, data, epochs=6, seed=0, progress=False):
    """Adam on the cross-entropy of both questions."""
    ids, asked, target = data
    optimizer = torch.optim.Adam(reader.parameters(), lr=7e-3)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        losses = []
        for i in torch.randperm(len(ids), generator=generator).split(100):
            logits = reader(ids[i], asked[i])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), target[i].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if progress:
            print(f"epoch {epoch + 1}  loss {np.mean(losses):.3f}")
    return reader.eval()


def accuracy_of(reader, data):
    ids, asked, target = data
    with torch.no_grad():
        return (reader(ids, asked).argmax(-1) == target).float().mean().item()


def attend(reader, text):
    """Words, positions of the feeling words, probability of "meant well" for each, weights (heads, n, n)."""
    words = text.split()
    found = [t for t, word in enumerate(words) if word in GOOD + BAD]
    if not found:
        raise ValueError(f"write at least one feeling word: {', '.join(GOOD + BAD)}")
    asked = torch.tensor([found + found[:1]])[:, :2]
    with torch.no_grad():
        logits, weights = reader(torch.tensor([to_ids(words)]), asked, return_weights=True)
    n = len(words)
    return words, found[:2], logits.softmax(-1)[0, :, 1].tolist(), weights[0, :, :n, :n].numpy()


def say(reader, text):
    words, found, well, _ = attend(reader, text)
    for t, p in zip(found, well, strict=False):
        print(f"{words[t]!r} is meant {'well' if p > 0.5 else 'ill'} ({max(p, 1 - p):.2f} sure)")


train_data, test_data = make_data(2000, seed=0), make_data(1000, seed=1)
torch.manual_seed(0)
reader = train_reader(Reader(CourseAttention(32, 2)), train_data, progress=True)

# %% [markdown]
# Ask it. Then write a sentence of your own: two things, each with *not* or *very* and a feeling word.

# %%
say(reader, "the film was not bad and the music was very dull")
print()
say(reader, "the film was very bad and the music was not dull")

# %%
my_sentence = "oh well the party was not boring and the food was not cold"
say(reader, my_sentence)

# %% [markdown]
# On 1,000 sentences that it has never seen:

# %%
expect_within("accuracy of the reader", accuracy_of(reader, test_data), 0.99, 0.01)

# %% [markdown]
# ## 2 · The question
# Inside, each word gives every word of the sentence a share of its attention; the shares add up to 1. Before you look:
# **record two guesses.** They are kept until the answers come.

# %%
where = widgets.guess(
    "“the film was not bad and …”: on which word does the answer for “bad” depend, "
    "although “bad” gives it almost no attention?",
    ["film", "was", "not", "bad", "none of these"],
)

# %%
unordered = widgets.guess(
    "A model knows the words, but not their order. How often can it be right?",
    [0.5, 0.75, 1.0],
)

# %% [markdown]
# ## 3 · The idea by hand
# Every word carries a vector. Three learned matrices make three short vectors out of it:
#
# - a **query** says what a word looks for: it is compared with every key;
# - a **key** says what a word offers to be found by: queries are compared with it;
# - a **value** is what a word hands over to whoever attends to it.

# %% tags=["hide-input"]
canvas = draw.Canvas()
word = canvas.place(draw.box("bad", note="its vector, (d,)", color="gray"), x=0, y=72)
parts = [
    ("W_Q", "query (d_k,)", "What do I look for?", "blue"),
    ("W_K", "key (d_k,)", "What am I found by?", "orange"),
    ("W_V", "value (d_v,)", "What do I hand over?", "green"),
]
for i, (matrix_name, name, question, color) in enumerate(parts):
    weight = canvas.place(draw.box(f"× {matrix_name}", color=color), x=190, y=i * 72 + 6)
    vector = canvas.place(draw.box(name, note=question, color=color, width=190), x=330, y=i * 72)
    canvas.arrow(word, weight)
    canvas.arrow(weight, vector)
draw.show(canvas, alt="The vector of a word is multiplied with three matrices and becomes a query, a key and a value.")

# %% [markdown]
# And this is how one word uses them. Its query meets the keys of all words (its own too); the results become shares; the shares
# mix the values.

# %% tags=["hide-input"]
canvas = draw.Canvas()
query = canvas.place(draw.box("query\nof bad", color="blue"), x=0, y=66)
columns = {"film": 0, "not": 66, "bad": 132}
output = None
for name, y in columns.items():
    key = canvas.place(draw.box(f"key of {name}", color="orange", width=120), x=140, y=y)
    share = canvas.place(
        draw.box(f"weight {({'film': 0.18, 'not': 0.73, 'bad': 0.09})[name]:.2f}", width=110), x=330, y=y
    )
    value = canvas.place(draw.box(f"value of {name}", color="green", width=130), x=490, y=y)
    canvas.arrow(query, key)
    canvas.arrow(key, share)
    canvas.arrow(share, value)
    if output is None:
        output = canvas.place(draw.box("sum", color="gray"), x=670, y=70)
    canvas.arrow(value, output)
for caption, x in (("dot product", 105), ("softmax", 295), ("multiply", 465), ("add", 648)):
    canvas.text(caption, x, -18, size=12)
draw.show(
    canvas,
    alt="The query of 'bad' is compared with the keys of film, not and bad. The weights, here 0.18, 0.73 and 0.09, "
    "multiply the three values, which are added up.",
)

# %% [markdown]
# Three words with two numbers each. We choose the numbers ourselves this time. First number: "turns things around".
# Second number: "is a thing". Only *bad* looks for something: strongly for a turner, a little for a thing.

# %%
words = ["film", "not", "bad"]
Q = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 1.0]])  # (3 words, d_k = 2)
K = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])  # (3 words, d_k = 2)
V = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])  # (3 words, d_v = 2)

# %% [markdown]
# **Step 1: scores.** The dot product says how well a query fits a key. One row per query, one column per key. Check the framed
# 3 yourself: $3\cdot 1 + 1\cdot 0$.

# %% tags=["hide-input"]
flow = draw.row(
    draw.matrix(Q, title="Q (3, 2)", rows=words),
    "@",
    draw.matrix(K.T, title="Kᵀ (2, 3)", columns=words, color="orange"),
    "=",
    draw.matrix(Q @ K.T, title="scores (3, 3)", columns=words, rows=words, color="gray", highlight=[(2, 1)]),
)
draw.show(
    flow, alt="Q times K transposed gives scores: rows of film and not are 0; bad scores 1 with film, 3 with not."
)

# %% [markdown]
# **Step 2: scale.** Divide all scores by $\sqrt{d_k}$, the root of a key's width. Section 4 measures why.
#
# **Your turn (blank 1).** Write both steps for `q` (n, d_k) and `k` (m, d_k).
# <details><summary>Hint</summary>
#
# `k.T` is (d_k, m), and `@` multiplies matrices. The width of a key is `k.shape[1]`.
# </details>


# %%
def scaled_scores(q, k):
    """q (n, d_k) and k (m, d_k) → scores (n, m), divided by the root of d_k."""
    # BEGIN SOLUTION
    scores = q @ k.T  # (n, d_k) @ (d_k, m) → (n, m)
    return scores / np.sqrt(k.shape[1])
    # END SOLUTION


scaled_scores = check("attention.blank.1", scaled_scores)

# %%
scores = scaled_scores(Q, K)
print(scores.shape)
print(scores.round(2))

# %% [markdown]
# **Step 3: softmax along each row.** The result is one **attention weight** for each pair: how much of a word's value goes into
# another word's output. Each row sums to 1. (*film* and *not* look for nothing: what will their rows be?)


# %%
def softmax(scores):
    """Along the last axis; minus the row's maximum, so that exp cannot overflow."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


weights = softmax(scores)  # (3, 3)
print(weights.round(2))

# %% [markdown]
# **Step 4: mix the values.** Each word receives the average of all values, in the proportions of its row.

# %%
Y = weights @ V  # (3, 3) @ (3, 2) → (3, 2)
print(Y.round(2))

# %% tags=["hide-input"]
flow = draw.row(
    draw.matrix(weights, title="weights (3, 3)", rows=words, columns=words, form=".2f", heat=True),
    "@",
    draw.matrix(V, title="V (3, 2)", color="green", rows=words),
    "=",
    draw.matrix(Y, title="output (3, 2)", form=".2f", color="gray", rows=words, highlight=[(2, 0)]),
)
draw.show(flow, alt="The weights times the values give the outputs. The output of bad holds 0.73 'turned around'.")

# %% [markdown]
# *bad* now carries "I am turned around" in its own vector, and a small network behind it can conclude "meant well". That
# is all of attention.
#
# **Turn the knob.** Dividing scores by a *temperature* before the softmax sharpens or flattens the weights. Where does *bad*
# listen to one word only, and where to all alike?


# %%
def show_temperature(temperature=1.0):
    shown = softmax(scores / temperature)
    alt = f"Attention weights of bad at temperature {temperature:g}: {shown[2]}"
    draw.show(draw.attention(shown, words, only=2), alt=alt)


widgets.slider(show_temperature, temperature=(0.1, 5.0, 0.1))

# %% [markdown]
# ## 4 · The formula
# Let $X$ hold one vector per word, shape $(n, d)$. With learned matrices $W_Q, W_K$ of shape $(d, d_k)$ and $W_V$ of shape
# $(d, d_v)$,
#
# $$Q = XW_Q,\quad K = XW_K,\quad V = XW_V,\qquad
# \text{Attention}(Q, K, V) = \text{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# where $d_k$ is the width of a query and a key, $d_v$ that of a value, and the softmax runs along each row. The field calls it
# **scaled dot-product attention**: a weighted average of values, with weights from scaled dot products (Vaswani et al.
# 2017, arXiv 1706.03762). PyTorch has it as one function:

# %%
import torch.nn.functional as F

q, k, v = (torch.tensor(a)[None] for a in (Q, K, V))  # a batch of one: (1, 3, 2)
by_torch = F.scaled_dot_product_attention(q, k, v)
print("the same as by hand:", np.allclose(by_torch[0], Y))

# %% [markdown]
# ### Why divide by $\sqrt{d_k}$?
# Take queries and keys of independent numbers with mean 0 and variance 1. A dot product adds up $d_k$ products of variance
# 1, so its variance should be $d_k$. Then wide keys make large scores, large scores a softmax that is nearly 0 or 1, and there
# its derivative $\partial w_i/\partial s_j = w_i(\delta_{ij} - w_j)$ is small. Does it vanish? Measure both.


# %%
def derivative_size(scores):
    """Mean size (Frobenius norm) of ∂weights/∂scores over rows of scores (rows, m)."""
    w = softmax(scores)  # (rows, m)
    diagonal = w[:, :, None] * np.eye(w.shape[1])
    jacobian = diagonal - w[:, :, None] * w[:, None, :]  # (rows, m, m)
    return np.sqrt((jacobian**2).sum(axis=(1, 2))).mean()


g = np.random.default_rng(0)
widths, left = [4, 16, 64, 256, 1024], []
print("d_k   variance   after scaling   derivative left without scaling")
for d_k in widths:
    query_rows = g.normal(size=(1000, d_k))
    key_rows = g.normal(size=(1000, 10, d_k))  # 10 keys per query
    raw = np.einsum("rd,rmd->rm", query_rows, key_rows)  # (1000, 10)
    scaled = raw / np.sqrt(d_k)
    left.append(derivative_size(raw) / derivative_size(scaled))
    print(f"{d_k:4}   {raw.var():8.1f}   {scaled.var():13.2f}   {left[-1]:31.0%}")

# %%
expect_within("derivative left at d_k = 64 without scaling", left[2], 0.47, 0.04)
expect_within("derivative left at d_k = 1024 without scaling", left[4], 0.13, 0.04)

# %% [markdown]
# The variance is $d_k$, and scaling brings it back to 1. The derivative fades but does not vanish: at a head's usual width of 64,
# a little less than half of it is left, at 1,024 about an eighth. So scaling gives every width the same start. It is
# a statement about the start only: training makes queries and keys dependent.
#
# ## 5 · Masks
# Some positions must not be attended to. A **mask** is a table of True and False, one for each pair of query and key; where it is False, the score
# becomes $-\infty$ *before* the softmax, and $e^{-\infty} = 0$.
#
# Two reasons to mask:
# - **Padding** is what fills short sequences of a batch up to a common length (lesson [text](text.ipynb)). Our `padding_mask` is True where a
#   word is **real**.
# - A model that writes must not see the words it is to predict. A **causal mask** lets each position attend only to itself and to
#   earlier positions.

# %% tags=["hide-input"]
names = ["i", "say", "so", "pad"]
real = np.array([[1, 1, 1, 0]] * 4)
past = np.tri(4, dtype=int)
look = {"columns": names, "heat": True}
masks = draw.row(
    draw.matrix(real, title="padding", rows=names, **look),
    "and",
    draw.matrix(past, title="causal", **look),
    "=",
    draw.matrix(real & past, title="both", **look),
    gap=14,
)
draw.show(
    masks,
    alt="Rows are queries, columns keys. The padding mask closes the column of <pad>. The causal mask is a lower "
    "triangle. Both together: the lower triangle without the last column.",
)

# %% [markdown]
# Rows are queries, columns are keys. Padding closes a *column*: nobody attends to it.
#
# **Your turn (blank 2).** Write the causal mask of n positions.
# <details><summary>Hint</summary>
#
# `np.ones((n, n), dtype=bool)` is all True; `np.tril` keeps the lower triangle with the diagonal.
# </details>


# %%
def causal_mask(n):
    """True where query i may attend to key j, that is j ≤ i: bool (n, n)."""
    # BEGIN SOLUTION
    return np.tril(np.ones((n, n), dtype=bool))
    # END SOLUTION


causal_mask = check("attention.blank.2", causal_mask)

# %% [markdown]
# **Your turn (blank 3).** With several heads (section 7) scores have the shape (batch, heads, queries, keys). A padding mask is
# (batch, keys). Give it two axes of length 1, so that broadcasting lays it along the keys.
# <details><summary>Hint</summary>
#
# `None` inside square brackets makes an axis of length 1: `a[:, None]` turns (b, m) into (b, 1, m). It works in NumPy and in PyTorch.
# </details>


# %%
def key_mask(padding_mask):
    """Padding mask (b, m), True = real → (b, 1, 1, m), for scores (b, heads, n, m)."""
    # BEGIN SOLUTION
    return padding_mask[:, None, None, :]
    # END SOLUTION


key_mask = check("attention.blank.3", key_mask)


# %%
def attention(q, k, v, mask=None):
    """Output (…, n, d_v), weights (…, n, m); mask True = this query may attend here."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])  # (…, n, m)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = softmax(scores)
    return weights @ v, weights


x = g.normal(size=(1, 5, 4))  # a batch of one sequence with n = 5, d = 4
_, causal_weights = attention(x, x, x, causal_mask(5))
print(causal_weights[0].round(2))

# %% [markdown]
# The upper triangle is 0 and each row still sums to 1. **The leak test:** change the last word; no earlier output may move, not
# by one bit. Keep this test: a forgotten causal mask shows up as a suspiciously *good* loss and nothing else.

# %%
changed = x.copy()
changed[:, -1] = 9.0
for name, mask in (("with the mask", causal_mask(5)), ("without it", None)):
    before, _ = attention(x, x, x, mask)
    after, _ = attention(changed, changed, changed, mask)
    unchanged = np.array_equal(before[:, :-1], after[:, :-1])
    print(f"{name:13}  earlier outputs unchanged: {unchanged}")

# %% [markdown]
# The same for padding: the real words of a padded sequence must get what they would get alone.

# %%
is_real = np.array([[True, True, True, False, False]])  # the last two are padding
padded, _ = attention(x, x, x, is_real[:, None, :])
alone, _ = attention(x[:, :3], x[:, :3], x[:, :3])
leaky, _ = attention(x, x, x)
print("with the mask, as if alone:", np.allclose(padded[:, :3], alone))
print("without it,    as if alone:", np.allclose(leaky[:, :3], alone))

# %% [markdown]
# Libraries disagree about what True means. No error tells you; only wrong numbers do
# ([deeper](attention_deeper.ipynb) shows it).
#
# | where | argument | True means |
# |---|---|---|
# | this course | `padding_mask` | real |
# | Keras `layers.MultiHeadAttention` | `attention_mask` | may attend |
# | PyTorch `F.scaled_dot_product_attention` | `attn_mask` | may attend |
# | PyTorch `nn.MultiheadAttention` | `key_padding_mask`, `attn_mask` | **ignore** |
#
# ## 6 · Self-attention and cross-attention
# In **self-attention** queries, keys and values all come from the same sequence: words attend to words of their own sentence. In
# **cross-attention** queries come from one sequence, keys and values from another: a caption's words attend to regions of a picture.

# %% tags=["hide-input"]
canvas = draw.Canvas()


def attention_box(x, title, source, target):
    canvas.text(title, x + 160, -20, size=15)
    layer = canvas.place(draw.box("attention", color="gray", width=110, height=84), x=x + 210, y=14)
    if target is None:
        sources = [(draw.box(source, color="blue", width=120, height=84), 14)] * 2
    else:
        upper = draw.box(source, color="blue", width=120)
        lower = draw.box(target, color="orange", width=120)
        sources = [(upper, 14), (lower, 64)]
    for (part, y), at, label in zip(sources, (34, 80), ("Q", "K, V"), strict=True):
        canvas.place(part, x=x, y=y)
        canvas.arrow((x + 124, at), (layer.left[0] - 3, at), label=label)


attention_box(0, "self-attention", "words", None)
attention_box(390, "cross-attention", "words", "regions")
draw.show(
    canvas,
    alt="Self-attention: Q, K and V all come from the words. Cross-attention: Q comes from the words, K and V from "
    "the picture regions.",
)

# %% [markdown]
# Nothing in the formula changes; only the number of keys does. The weights are (queries, keys), and need not be square.

# %%
caption = g.normal(size=(1, 4, 8))  # 4 words as queries
regions = g.normal(size=(1, 9, 8))  # 9 regions as keys and values
mixed, cross_weights = attention(caption, regions, regions)
print("output", mixed.shape, " weights", cross_weights.shape)

# %% [markdown]
# ## 7 · Multi-head attention
# A softmax row has one unit to spend, and one query asks one question. Which modifier is mine? Which thing am I about? To ask several
# questions at once, cut the width into $h$ pieces and let each attend by itself:
#
# $$\text{head}_i = \text{Attention}(Q_i, K_i, V_i), \qquad Y = [\text{head}_1; \dots; \text{head}_h]\,W_O$$
#
# **Multi-head attention** is several attentions side by side, each with its own projections of queries, keys and values; a last matrix
# $W_O$ mixes what they found. A **head** is one of them; with $h$ heads its width is $d_k = d/h$.

# %% tags=["hide-input"]
canvas = draw.Canvas()
source = canvas.place(draw.box("x", note="(b, n, 32)", color="gray"), x=0, y=62)
projections = canvas.place(draw.box("q_proj\nk_proj\nv_proj", color="blue"), x=110, y=46)
num_heads = [
    canvas.place(draw.box(f"head {i + 1}", note="(b, n, 16)", color="orange"), x=300, y=i * 96 + 14) for i in range(2)
]
joined = canvas.place(draw.box("side by side", note="(b, n, 32)", color="gray"), x=430, y=62)
mixing = canvas.place(draw.box("out_proj", note="(b, n, 32)", color="blue"), x=600, y=62)
canvas.arrow(source, projections)
for head in num_heads:
    canvas.arrow(projections, head)
    canvas.arrow(head, joined)
canvas.arrow(joined, mixing)
canvas.text("split", 250, 84, size=12)
draw.show(
    canvas,
    alt="x goes through three projections, is split into two heads of width 16, which attend separately; their "
    "outputs are put side by side and go through the output projection.",
)

# %% [markdown]
# The heads share the width, so their number changes neither the count of parameters nor the work. In code no loop is needed:
# heads become an axis of the array.
#
# **Your turn (blank 4).** Split (b, n, d) into (b, heads, n, d / heads). A head takes *neighboring* features.
# <details><summary>Hint</summary>
#
# Two steps: `reshape` to (b, n, num_heads, d // num_heads), then `swapaxes(1, 2)`. Reshaping straight to the end would mix words with
# features.
# </details>


# %%
def split_heads(x, num_heads):
    """(b, n, d) → (b, num_heads, n, d / num_heads); for arrays and tensors."""
    b, n, d = x.shape
    # BEGIN SOLUTION
    pieces = x.reshape(b, n, num_heads, d // num_heads)
    return pieces.swapaxes(1, 2)
    # END SOLUTION


split_heads = check("attention.blank.4", split_heads)

# %% tags=["hide-input"]
pieces = draw.row(
    draw.tensor((5, 8), "x", axes=("words", "features"), color="gray"),
    draw.tensor((2, 5, 4), "split_heads(x, 2)", axes=("num_heads", "words", "features"), color="orange"),
    draw.tensor((2, 5, 5), "weights", axes=("num_heads", "queries", "keys")),
    draw.tensor((5, 8), "output", axes=("words", "features"), color="gray"),
    arrows=True,
    gap=44,
)
draw.show(
    pieces,
    alt="One sequence of 5 words and 8 features becomes 2 heads of 4 features; each head has its own 5 by 5 "
    "weights; the outputs are joined to 5 by 8.",
)

# %% [markdown]
# **Your turn (blank 5): the layer itself.** Everything is in place. Write the four projections and the heart of `forward`.
# `context` is the other sequence of cross-attention; without it, attention is self-attention.
# <details><summary>Hint 1</summary>
#
# `nn.Linear(d_model, d_model)` is a learned matrix with a bias. Name the four `q_proj`, `k_proj`, `v_proj` and `out_proj`.
# </details>
# <details><summary>Hint 2</summary>
#
# Scores: `q @ k.transpose(-1, -2)`, divided by the root of a *head's* width, `q.shape[-1]`. Masking:
# `scores.masked_fill(~mask, float("-inf"))`, if there is a mask. Then `softmax(dim=-1)`.
# </details>


# %%
class MultiHeadAttention(nn.Module):
    """Attention with several heads: x (b, n, d_model) → (b, n, d_model)."""

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        # BEGIN SOLUTION
        # BLANK: self.q_proj = ...
        # BLANK: self.k_proj = ...
        # BLANK: self.v_proj = ...
        # BLANK: self.out_proj = ...
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)
        # END SOLUTION

    def forward(
        self,
        x,
        context=None,
        padding_mask=None,
        causal=False,
        return_weights=False,
    ):
        context = x if context is None else context
        q = split_heads(self.q_proj(x), self.num_heads)  # (b, heads, n, d_k)
        k = split_heads(self.k_proj(context), self.num_heads)  # (b, heads, m, d_k)
        v = split_heads(self.v_proj(context), self.num_heads)  # (b, heads, m, d_k)
        mask = self.make_mask(x.shape[1], context.shape[1], padding_mask, causal)
        # BEGIN SOLUTION
        # BLANK: weights = ...  # (b, heads, n, m)
        # BLANK: mixed = ...  # (b, heads, n, d_k)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)  # (b, heads, n, m)
        mixed = weights @ v  # (b, heads, n, d_k)
        # END SOLUTION
        joined = mixed.transpose(1, 2).flatten(2)  # (b, n, d_model)
        y = self.out_proj(joined)
        return (y, weights) if return_weights else y

    def make_mask(self, n, m, padding_mask, causal):
        """True where a query may attend to a key, for scores (b, heads, n, m)."""
        mask = None if padding_mask is None else key_mask(padding_mask)
        if causal:
            past = torch.ones(n, m, dtype=torch.bool).tril()
            mask = past if mask is None else mask & past
        return mask


MultiHeadAttention = check("attention.blank.5", MultiHeadAttention)

# %% [markdown]
# You have written the central layer of every transformer. Does it compute what the libraries compute?
#
# ### In PyTorch
# `nn.MultiheadAttention` packs the three projections into one matrix. Copy your weights, and compare on a padded batch.

# %%
torch.manual_seed(0)
mine = MultiHeadAttention(d_model=32, num_heads=2)
batch = torch.randn(2, 5, 32)
padding_mask = torch.tensor([[True] * 5, [True, True, True, False, False]])

theirs = nn.MultiheadAttention(32, num_heads=2, batch_first=True)
with torch.no_grad():
    projections = [mine.q_proj, mine.k_proj, mine.v_proj]
    theirs.in_proj_weight.copy_(torch.cat([p.weight for p in projections]))
    theirs.in_proj_bias.copy_(torch.cat([p.bias for p in projections]))
    theirs.out_proj.load_state_dict(mine.out_proj.state_dict())

# %%
ours = mine(batch, padding_mask=padding_mask)
ignored = ~padding_mask  # True = ignore
by_torch, _ = theirs(batch, batch, batch, key_padding_mask=ignored)
print("equal:", torch.allclose(ours, by_torch, atol=1e-5))

# %% [markdown]
# ### In Keras
# `layers.MultiHeadAttention` keeps our sense of the mask. Its kernels have an axis for the heads, and map from left to right
# (`nn.Linear` stores the transpose).

# %%
import keras
from keras import layers

layer = layers.MultiHeadAttention(num_heads=2, key_dim=16)
layer.build((None, 5, 32), (None, 5, 32))
keras_weights = []
for projection in projections:
    keras_weights.append(projection.weight.detach().numpy().T.reshape(32, 2, 16))
    keras_weights.append(projection.bias.detach().numpy().reshape(2, 16))
keras_weights.append(mine.out_proj.weight.detach().numpy().T.reshape(2, 16, 32))
keras_weights.append(mine.out_proj.bias.detach().numpy())
layer.set_weights(keras_weights)

# %%
inputs = batch.numpy()
by_keras = layer(inputs, inputs, attention_mask=padding_mask[:, None, :].numpy())
print("equal:", np.allclose(ours.detach(), by_keras, atol=1e-5))

# %% [markdown]
# In a Keras model you would write it like this, with queries first and the sequence attended to second:

# %%
tokens = keras.Input((None,), dtype="int32", name="tokens")
embedded = layers.Embedding(len(VOCABULARY), 32, mask_zero=True)(tokens)
attended = layers.MultiHeadAttention(num_heads=2, key_dim=16)(embedded, embedded)
pooled = layers.GlobalAveragePooling1D()(layers.Add()([embedded, attended]))
model = keras.Model(tokens, layers.Dense(2)(pooled))
print("output", model.output_shape, " parameters", model.count_params())

# %% [markdown]
# `mask_zero=True` makes the padding mask from ids of 0, and the layers behind hand it on by themselves.
#
# ## 8 · A sense of order
# Shuffle the words. What happens to the outputs of attention?

# %%
order = [3, 0, 4, 1, 2]
with torch.no_grad():
    plain, shuffled = mine(batch), mine(batch[:, order])
same = torch.allclose(shuffled, plain[:, order], atol=1e-6)
print("the same outputs, shuffled alike:", same)

# %% [markdown]
# The field says: attention is **permutation equivariant**, which means that permuted inputs give the same outputs, permuted. Good for sets.
# Fatal for *not bad*: "which *not* stands before me?" cannot even be asked. The cure is a **positional encoding**: numbers that tell the
# model where in the sequence a token is. Three kinds are common.
#
# ### Sinusoids
# Vaswani et al. add to the word at position $t$ a vector of pairs of sine and cosine:
#
# $$p_{t,2i} = \sin(\omega_i t), \qquad p_{t,2i+1} = \cos(\omega_i t), \qquad \omega_i = 10000^{-2i/d}$$


# %%
def sinusoids(n, d):
    """Positional encoding (n, d): d / 2 pairs of sine and cosine, from fast to slow."""
    t = np.arange(n)[:, None]  # (n, 1)
    frequency = 10000.0 ** (-np.arange(0, d, 2) / d)  # (d / 2,)
    angle = t * frequency  # (n, d / 2)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(n, d)


P = sinusoids(40, 32)

# %% tags=["hide-input"]
fig, (heat, clocks) = plt.subplots(1, 2, figsize=(8.6, 3), width_ratios=(1.9, 1))
shown = heat.imshow(P.T, aspect="auto", cmap="cividis", vmin=-1, vmax=1)
heat.set(xlabel="position t", ylabel="feature of the vector", title="What is added at position t")
heat.grid(False)
fig.colorbar(shown, ax=heat, label="value", pad=0.02)
circle = np.linspace(0, 2 * np.pi, 200)
for pair, color in ((0, plot.BLUE), (2, plot.ORANGE)):
    radius = 1 + 0.5 * (pair > 0)
    sines, cosines = radius * P[:6, 2 * pair], radius * P[:6, 2 * pair + 1]
    clocks.plot(radius * np.cos(circle), radius * np.sin(circle), color="#CCCCCC", linewidth=1)
    clocks.plot(cosines, sines, "o-", color=color, markersize=4, linewidth=1)
    for t in range(6):
        clocks.annotate(str(t), (1.13 * cosines[t], 1.13 * sines[t]), ha="center", va="center", fontsize=8, color=color)
clocks.set(aspect="equal", xlim=(-1.9, 1.9), ylim=(-1.9, 1.9), title="Two pairs, t = 0 to 5")
clocks.axis("off")
plot.show(
    fig,
    alt="Left: a heat map of the encoding; upper features change quickly with the position, lower ones slowly. Right: a fast "
    "pair and a slower one as points on circles; each step turns a point by the same angle.",
)

# %% [markdown]
# Each pair is a hand of a clock: fast at the top, slow at the bottom. And that has a consequence: **an offset is a rotation.** The same
# matrix $R_k$ moves *every* position $k$ steps on, $p_{t+k} = R_k\,p_t$, because each pair turns by the angle $\omega_i k$:
#
# $$\begin{pmatrix}\sin\omega(t+k)\\ \cos\omega(t+k)\end{pmatrix} =
# \begin{pmatrix}\cos\omega k & \sin\omega k\\ -\sin\omega k & \cos\omega k\end{pmatrix}
# \begin{pmatrix}\sin\omega t\\ \cos\omega t\end{pmatrix}$$


# %%
def rotation(k, d):
    """The matrix (d, d) that moves every position by k: 2 × 2 rotations."""
    R = np.zeros((d, d))
    for i in range(d // 2):
        angle = k * 10000.0 ** (-2 * i / d)
        turn = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
        R[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = turn
    return R


back = rotation(-1, 32)  # one step to the left
print("moves every position:", np.allclose(P[1:] @ back.T, P[:-1]))

# %% [markdown]
# So a query *can* say "the word before me": let $W_Q$ hold $R_{-1}$. Is the rotation needed? Without it the score of two positions is
# $p_t \cdot p_s$, which is symmetric. Compare the scores of position 20 with its neighbors.

# %%
choices = {"without a rotation": np.eye(32), "with R₋₁ in the query": back}
for name, matrix in choices.items():
    row = P @ (matrix @ P[20])  # scores of position 20 with all positions
    neighbors = f"19: {row[19]:.2f}   21: {row[21]:.2f}"
    print(f"{name:22} best match: {row.argmax()}   {neighbors}")

# %% [markdown]
# Without it, the word before and the word after score alike, and the best match is the word itself. The learned matrices are what makes
# "before me" expressible; the dot product alone does not.
#
# ### Learned, and rotary
# A **learned positional encoding** is a table with one trained vector for each position, `nn.Embedding(longest, d)`, added to the word.
# It needs no formula, but has nothing beyond its last row:

# %%
table = nn.Embedding(40, 32)
try:
    table(torch.tensor([40]))
except IndexError as error:
    print("position 40:", error)

# %% [markdown]
# **Rotary positional encoding** (RoPE; Su et al. 2021, arXiv 2104.09864) adds nothing: it rotates each query and each key by its own
# position, so that their dot product depends only on the offset. Most of today's language models use it.


# %%
def rotary(x):
    """Rotate the vector at position t of x (n, d) by t, pair by pair."""
    n, d = x.shape
    return np.stack([rotation(t, d) @ x[t] for t in range(n)])


query, key = g.normal(size=(2, 32))
queries = rotary(np.tile(query, (40, 1)))  # the same query at every position
keys = rotary(np.tile(key, (40, 1)))
scores = queries @ keys.T  # (40, 40)
for offset in (-1, 0, 1):
    diagonal = np.diag(scores, offset)
    spread = diagonal.max() - diagonal.min()
    everywhere = spread < 1e-9
    print(f"key at {offset:+d}: {diagonal[0]:6.2f}, the same everywhere: {everywhere}")

# %% [markdown]
# Unlike sinusoids without a rotation, −1 and +1 give different scores: the query and the key differ, and the direction counts.
#
# ## 9 · At work
# Back to the cinema, with **your** layer inside the reader. Four readers, five seeds each; they differ in one thing:
#
# | reader | attention | positions |
# |---|---|---|
# | average | all words alike | none |
# | no positions | two heads | none |
# | sinusoids | two heads | added, by formula |
# | learned | two heads | added, trained |
#
# Without order, what is the best that is possible? A reader knows its own word and *how many* times *not* comes. With none or two it is sure.
# With exactly one, it is a coin toss whether that *not* is its own.

# %%
cases = [(0, 0), (0, 1), (1, 0), (1, 1)]  # is "not" before the first, the second?
sure = [1.0 if first == second else 0.5 for first, second in cases]
ceiling = np.mean(sure)
unordered.compare(float(ceiling))


# %%
class AverageAttention(nn.Module):
    """Bag of words: every real word gets the same weight."""

    def forward(self, x, padding_mask, return_weights=True):
        share = padding_mask / padding_mask.sum(dim=1, keepdim=True)  # (b, n)
        weights = share[:, None, None, :].expand(-1, 1, x.shape[1], -1)  # (b, 1, n, n)
        return weights[:, 0] @ x, weights


# %% tags=["free"]
kinds = {
    "average": None,
    "no positions": None,
    "sinusoids": "sinusoids",
    "learned": "learned",
}
readers, reached = {}, {name: [] for name in kinds}
for name, positions in kinds.items():
    for seed in range(5):
        torch.manual_seed(seed)
        layer = AverageAttention() if name == "average" else MultiHeadAttention(32, 2)
        model = train_reader(Reader(layer, positions), train_data, seed=seed)
        readers[name, seed] = model
        reached[name].append(accuracy_of(model, test_data))
    print(f"{name:13}", *(f"{value:.3f}" for value in reached[name]))
meant_well = test_data[2].float().mean().item()
majority = max(meant_well, 1 - meant_well)
print(f"majority class {majority:.3f}")

# %% tags=["target"]
ordered, bag = np.mean(reached["sinusoids"]), np.mean(reached["no positions"])
expect_within("accuracy with sinusoids, mean of 5 seeds", ordered, 0.99, 0.01)
expect_within("accuracy without positions, mean of 5 seeds", bag, 0.74, 0.03)

# %% tags=["free", "hide-input"]
summary = {name: mean_and_interval(values) for name, values in reached.items()}
fig = plot.bar_with_ceiling(
    [f"{name} (5 seeds)" for name in summary],
    [mean for mean, _ in summary.values()],
    [ceiling, ceiling, 1.0, 1.0],
    errors=[interval for _, interval in summary.values()],
    title="Which reader knows what was meant?",
    chance=0.5,
)
plot.show(
    fig,
    alt="Bars with intervals over five seeds: average and attention without positions reach about 0.74 of 0.75; with "
    "sinusoids or learned positions about 1.00 of 1.00.",
)

# %% [markdown]
# Without order attention is no better than a bag of words, and both stay at the ceiling that we computed. With positions the same layer answers
# every question. Now look inside: choose the word that attends, and compare the two heads.

# %%
text = "the film was not bad and the music was very dull"
said, _, _, maps = attend(readers["sinusoids", 0], text)


def show_word(position=4, head="mean"):
    shown = maps.mean(axis=0) if head == "mean" else maps[int(head) - 1]  # (n, n)
    alt = f"Attention weights of {said[position]!r} (position {position}), {head}."
    draw.show(draw.attention(shown, said, only=position), alt=alt)


widgets.slider(show_word, position=(0, len(said) - 1), head=["mean", "1", "2"])

# %% [markdown]
# Count it on all test sentences: how much of its attention does a feeling word give to each position, seen from itself?

# %% tags=["free"]
ids, asked, target = test_data
rows = torch.arange(len(ids))
offsets = range(-4, 2)
by_seed = []
for seed in range(5):
    with torch.no_grad():
        _, w = readers["sinusoids", seed](ids, asked, return_weights=True)
    row = w.mean(dim=1)[rows, asked[:, 0]]  # (b, n): first feeling word, mean of heads
    by_seed.append([row[rows, asked[:, 0] + o].mean().item() for o in offsets])
    shares = [f"{o:+d}: {by_seed[-1][i]:.2f}" for i, o in enumerate(offsets)]
    print(f"seed {seed}  ", "   ".join(shares))

# %%
one_before = offsets.index(-1)
mean_share = np.mean(by_seed, axis=0)
before_me = mean_share[one_before]
expect_within("attention to the word before, mean of 5 seeds", before_me, 0.5, 0.2)
print(
    "every seed attends to it more than to the word after:",
    all(shares[one_before] > 2 * shares[-1] for shares in by_seed),
)

# %% [markdown]
# Nobody told the readers where to look. On average about half of the attention goes one word back, to *not* or *very*; how much it is differs from seed to seed,
# although all of them give the same answers.
#
# ### Real sentences
# Does attention help with sentences that people wrote? The cell shows a stored run on 10,662 sentences of film reviews (Pang and Lee 2005): about
# 8,500 to train on, the test set apart. Averages of word vectors and one layer of attention are trained at equal budgets, and the epoch is
# chosen on validation sentences.

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
    runs = np.array(stored[name])  # (seeds, 3)
    mean, interval = mean_and_interval(runs[:, 0])
    negated, spread = mean_and_interval(runs[:, 1])
    print(f"{name:32} {mean:.3f} ± {interval:.3f}", end="  ")
    print(f"with a negation {negated:.3f} ± {spread:.3f}")

# %%
average = np.array(stored["average of word vectors"])
attended = np.array(stored["self-attention"])
for column, which in ((0, "all sentences"), (1, "sentences with a negation")):
    gain, interval = mean_and_interval(attended[:, column] - average[:, column])
    print(f"attention minus average, {which}: {gain:+.3f} ± {interval:.3f} (paired)")
    assert abs(gain) < interval

# %% [markdown]
# An honest result: on these sentences one layer of attention, trained from nothing, does not beat an average of word vectors. Both
# intervals of the paired difference reach zero, among the sentences with a negation too, although *there* order should matter. Knowing
# that order *can* be used does not make 8,500 sentences enough to learn how people use it; lesson [bert](bert.ipynb) starts
# from a model that has read more.
#
# ## 10 · Take it apart: is attention an explanation?
# A map is tempting: "the model looked at *not*, therefore it answered so". To find out what an answer **depends on**, intervene: exchange one
# word and see whether the answer changes. The exchange must leave a sentence that could have been in the data, or else you measure how the
# model reacts to nonsense. So swap a word for **another of its kind**: a thing for a thing, *not* for *very*.
#
# In this little language we know the truth: an answer depends on the feeling word and on its own modifier, on nothing else. **The rule, stated
# beforehand:** for each kind of word, in all 1,000 test sentences and five seeds, compare the
# attention weight (the mean of both heads) with the share of answers that change.


# %%
def swap(ids, positions, replace, g):
    """Ids in which the word at positions (b,) is replaced by another of its kind."""
    changed = ids.clone()
    for row, position in enumerate(positions.tolist()):
        word = VOCABULARY[ids[row, position]]
        choices = [other for other in replace(word) if other != word]
        changed[row, position] = VOCABULARY.index(str(g.choice(choices)))
    return changed


def opposite(word):
    return BAD if word in GOOD else GOOD


def same_side(word):
    return GOOD if word in GOOD else BAD


first, second = asked[:, 0], asked[:, 1]  # we ask about the first feeling word
swaps = {
    "itself, by its opposite": (first, opposite),
    "itself, by the same side": (first, same_side),
    "its own modifier": (first - 1, lambda word: MODIFIERS),
    "its own thing": (first - 3, lambda word: THINGS),
    "the other modifier": (second - 1, lambda word: MODIFIERS),
    "the other feeling word": (second, opposite),
}

# %% tags=["free"]
swapped = {}
for name, (at, kind) in swaps.items():
    swapped[name] = swap(ids, at, kind, np.random.default_rng(7))
weight = {name: [] for name in swaps}
effect = {name: [] for name in swaps}
for seed in range(5):
    model = readers["sinusoids", seed]
    with torch.no_grad():
        before, w = model(ids, asked, return_weights=True)
        row = w.mean(dim=1)[rows, first]  # (b, n)
        for name, (at, _) in swaps.items():
            after = model(swapped[name], asked)
            differs = before[:, 0].argmax(-1) != after[:, 0].argmax(-1)
            weight[name].append(row[rows, at].mean().item())
            effect[name].append(differs.float().mean().item())

print(f"{'the word swapped':26} attention weight   answers that change")
for name in swaps:
    w, e = np.array(weight[name]), np.array(effect[name])
    print(f"{name:26} {w.mean():.2f} ({w.min():.2f}–{w.max():.2f})", end="     ")
    print(f"{e.mean():.3f} ({e.min():.3f}–{e.max():.3f})")
print("(mean and range of 5 seeds)")

# %%
where.compare("bad")
own_weight = np.mean(weight["itself, by its opposite"])
own_effect = np.mean(effect["itself, by its opposite"])
other_effect = np.mean(effect["the other modifier"])
expect_within("attention of the feeling word to itself", own_weight, 0.05, 0.05)
expect_within("answers changed by its opposite", own_effect, 0.99, 0.01)
expect_within("answers changed by the other modifier", other_effect, 0.0, 0.02)

# %% [markdown]
# The feeling word gives *itself* a few percent, and swapping it for its opposite changes practically every answer: its information arrives
# through the sum $x + y$ in the reader, past the attention. The other modifier gets more attention on average, and changes nothing. The map shows **where values were taken from**. It does
# not show what the answer depends on. Two swaps are controls: another word of the same side and another thing *should* not
# matter. They change nothing, so it is not the swapping as such that changes answers.
#
# ### Why not just delete the word?
# It is the first idea of many papers, and of this course's first edition. Deleting makes sentences that the data never had. Hide
# the same words as if they were padding, and compare.

# %% tags=["free"]
print(f"{'the word':22} answers that change: swapped   hidden")
for name in list(swaps)[:1] + list(swaps)[2:5]:
    at, _ = swaps[name]
    hidden = ids.clone()
    hidden[rows, at] = 0
    found = []
    for seed in range(5):
        with torch.no_grad():
            before = readers["sinusoids", seed](ids, asked)[:, 0].argmax(-1)
            after = readers["sinusoids", seed](hidden, asked)[:, 0].argmax(-1)
        found.append((before != after).float().mean().item())
    label = name.split(",")[0]
    print(f"{label:22} {np.mean(effect[name]):28.3f} {np.mean(found):8.3f}")
    if name == "its own modifier":
        hiding = np.mean(found)
expect_within("answers changed by hiding the modifier", hiding, 0.5, 0.08)

# %% [markdown]
# Hiding the modifier changes about half of the answers, not all: the model still has to say something about a sentence it never saw, and half of the
# time it happens to say the same. Read as an importance, that number would be wrong by a factor of two.
#
# What may you say, then? Jain and Wallace (2019, arXiv 1902.10186) built different maps with the same predictions; Wiegreffe and Pinter (2019,
# arXiv 1908.04626) answer that trained maps still carry information. Both hold here: on average the right modifier gets the largest weight, and the ranges in the first table show how
# far the maps of equally good readers differ. A
# map is a good place to look for an idea, and an intervention is how to test it.
#
# ### What it costs
# Every query meets every key: $n^2$ scores. Let a counter count the multiplications and additions of your layer.

# %%
from torch.utils.flop_counter import FlopCounterMode

d = 128
layer = MultiHeadAttention(d, 4)
print("   n   counted      8nd² + 4n²d   share of the n² part")
for n in (64, 256, 1024):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.randn(1, n, d))
    formula = 8 * n * d**2 + 4 * n**2 * d
    share = 4 * n**2 * d / formula
    print(f"{n:4}   {counter.get_total_flops():11,}  {formula:11,}   {share:.0%}")
    assert counter.get_total_flops() == formula

# %% [markdown]
# Four projections cost $8nd^2$, the scores and the mixing $4n^2d$. They are equal at $n = 2d$; beyond, twice the length means four times the work. Memory and time, and how
# they can be saved, are in [deeper](attention_deeper.ipynb).
#
# ## 11 · At full size
# A trained BERT has 12 layers of 12 heads. Clark et al. (2019, arXiv 1906.04341) found heads that attend to the word before, as ours does, and many that
# park their attention on `[SEP]`, a token that says nothing. The cell looks for both where the weights are on this machine; it downloads nothing, and
# this course has not run it on a machine that had them.

# %% tags=["free"]
from huggingface_hub import try_to_load_from_cache

if isinstance(try_to_load_from_cache("bert-base-uncased", "model.safetensors"), str):
    from transformers import AutoTokenizer, BertModel

    options = {"local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased", **options)
    options["attn_implementation"] = "eager"
    bert = BertModel.from_pretrained("bert-base-uncased", **options).eval()
    text = "the film was not bad and the music was very dull"
    encoded = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        maps = torch.stack(bert(**encoded, output_attentions=True).attentions)[:, 0]
    before = maps.diagonal(-1, 2, 3).mean(-1)  # (12 layers, 12 heads)
    print(f"most attention to the word before: {before.max():.2f}")
    print(f"share of all attention on [SEP]: {maps[..., -1].mean():.2f}")
else:
    print("not run: bert-base-uncased is not on this machine")

# %% [markdown]
# ## 12 · What to remember
# - Attention is a soft look-up: score queries against keys, softmax each row, average the values.
# - Scaling by $\sqrt{d_k}$ keeps the variance of scores at 1 for every width, at the start of training.
# - Mask before the softmax. True means *real* here and in Keras, *ignore* in `nn.MultiheadAttention`.
# - Without positional encoding, attention is a bag of words. With sinusoids, an offset is a rotation.
# - A map shows where values were taken from, not what the answer depends on. Swap words of a kind to find out.
#
# ## 13 · Check yourself
# <details><summary>1. What are the shapes of scores and output for 7 queries and 9 keys, d_k = 16, d_v = 5?</summary>
#
# Scores (7, 9), each row a softmax over the 9 keys; output (7, 5).
# </details>
# <details><summary>2. You forget to divide by √d_k, and a head is 64 wide. What changes at the start of training?</summary>
#
# Scores have a standard deviation of 8, so rows are close to one-hot at random, and a little less than half of the softmax's derivative is left.
# </details>
# <details><summary>3. Why not mask by setting weights to 0 after the softmax?</summary>
#
# Rows would no longer sum to 1: how much is lost depends on what the padding happened to hold.
# </details>
# <details><summary>4. Your training loss falls far below what seems possible. Which test do you run first?</summary>
#
# The leak test: change a later word and see whether an earlier output moves.
# </details>
# <details><summary>5. Positions are added as sinusoids. Why can a dot product of two of them not say “before me”?</summary>
#
# It is symmetric: one step before and one step after give the same score. A learned matrix with a rotation in it makes the difference.
# </details>
# <details><summary>6. A head puts 0.8 on a full stop. Is the full stop important?</summary>
#
# Not by that alone. Exchange it for another mark that could be there, and see whether answers change.
# </details>
#
# ## 14 · Exercises and where next
# [The exercises](exercises/attention.ipynb): attention in four lines, masks that hold in every corner, which word really mattered, and
# multi-head attention as modules of your own.
#
# **Where next:** [attention, deeper](attention_deeper.ipynb) for gradients, framework traps, memory and time; then
# [transformers](transformers.ipynb), which stack this layer. **Back to:** [rnn](rnn.ipynb), which carries the past in one vector instead.
#
# ## Sources
# Vaswani et al. 2017, *Attention is all you need*, arXiv 1706.03762 · Su et al. 2021, *RoFormer*, arXiv 2104.09864 · Pang and Lee 2005, *Seeing
# stars* (the reviews) · Clark et al. 2019, arXiv 1906.04341 · Jain and Wallace 2019, arXiv 1902.10186 · Wiegreffe and Pinter 2019, arXiv
# 1908.04626. Widely read explanations: *Dive into Deep Learning*, chapter 11; Raschka, *Build a Large Language Model (From Scratch)*, chapter 3.
