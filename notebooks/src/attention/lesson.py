# %% [markdown]
# # Attention
# *Let each word choose which other words to look at, and then read its choices off a map.*
#
# {{budget}}
#
# **You will be able to**
# - compute $\text{softmax}(QK^\top/\sqrt{d_k})\,V$ by hand, and say what each letter is for;
# - show by measurement why the scores are divided by $\sqrt{d_k}$;
# - mask padding and the future, in three libraries that disagree about what True means;
# - give attention a sense of order, and say what it costs in a long sequence;
# - read an attention map, and say what it does not show.
#
# **Before this:** lessons [start_here](start_here.ipynb) and [text](text.ipynb); matrix products and the softmax.
#
# **Time to read:** 50 minutes, then 30 for the [exercises](exercises/attention.ipynb).

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from mmcourse import plot
from mmcourse.evaluate import expect_within

# %% [markdown]
# ## 1 · The question
# Two friends come out of the cinema. Count the words in what they say: each word comes exactly as often in both.

# %%
says_a = "the film was not bad and the music was very dull".split()
says_b = "the film was very bad and the music was not dull".split()
assert sorted(says_a) == sorted(says_b)

fig, ax = plt.subplots(figsize=(7.6, 1.3))
for row, said in enumerate((says_a, says_b)):
    for i, word in enumerate(said):
        colour = {"bad": plot.ORANGE, "dull": plot.ORANGE}.get(word, "#444444")
        ax.text(i, -row, word, color=plot.BLUE if said[i - 1] == "not" else colour, ha="center", fontsize=12)
ax.set(xlim=(-0.5, 10.5), ylim=(-1.4, 0.6))
ax.axis("off")
fig.suptitle("Same words. What was good? (blue: meant well, orange: meant ill)", x=0.01, ha="left", fontweight="bold")
plot.show(
    fig,
    alt="Two sentences of the same words. In the first, 'not bad' is meant well and 'very dull' ill; in the second, "
    "'very bad' is meant ill and 'not dull' well.",
)

# %% [markdown]
# A model that averages word vectors, as the encoder of lesson [start_here](start_here.ipynb) did, gets the same vector from both friends. Say that
# each feeling word has *not* or *very* by the toss of a coin. **Predict:** asked whether one of the two is meant well, how often
# can such a model be right? Keep your number; section 5 measures it.

# %%
from mmcourse.torch.encoders import WordsEncoder

known = sorted(set(says_a))
ids = torch.tensor([[known.index(word) for word in said] for said in (says_a, says_b)])  # (2, 11)
a, b = WordsEncoder(vocabulary=len(known), width=8)(ids)  # each (8,)
print("the same vector for both:", torch.allclose(a, b, atol=1e-6))

# %% [markdown]
# ## 2 · The idea by hand
# Three words. Each one carries three small vectors:
#
# - a **query**: what am I looking for?
# - a **key**: what do I offer, to be found by?
# - a **value**: what do I say to whoever finds me?
#
# We choose them ourselves this time. First number: "turns things around". Second: "is a thing".

# %%
words = ["film", "not", "bad"]
K = np.array([[0.0, 2.0], [2.0, 0.0], [0.0, 0.0]])  # (3 words, d_k = 2) film is a thing, not turns around
Q = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 1.0]])  # (3, 2) only bad is looking: for a turner, a little for a thing
V = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])  # (3, d_v = 2) each says what it is

# %% [markdown]
# **Step 1, scores.** How well does each query fit each key? Multiply and add: the dot product. Row: who looks. Column: who is
# looked at. Check the 6 yourself: $3\cdot 2 + 1\cdot 0$.
#
# **Step 2, scale.** Divide by $\sqrt{d_k} = \sqrt 2$. Why, comes in section 3.

# %%
scores = Q @ K.T  # (3, 2) @ (2, 3) → (3, 3)
scaled = scores / np.sqrt(2)  # (3, 3)
print(scores, scaled.round(2), sep="\n\n")

# %% [markdown]
# **Step 3, softmax along each row.** Each word has one unit of attention to spend, and the weights say where it goes.
# **Predict** the rows of *film* and *not*, whose scores are all zero.

# %%
e = np.exp(scaled)
weights = e / e.sum(axis=1, keepdims=True)  # (3, 3), rows sum to 1
fig = plot.matrix(
    weights, "Which word looks at which?", words, words, xlabel="is looked at", ylabel="looks", limits=(0, 1)
)
plot.show(fig, alt="Attention weights: film and not spread evenly, a third on each word; bad puts 0.93 on not.")

# %% [markdown]
# Words that look for nothing in particular spread evenly. *bad* found its turner: 0.93 on *not*.
#
# **Step 4, mix the values.** Each word receives the average of what all words say, in those proportions.

# %%
Y = weights @ V  # (3, 3) @ (3, 2) → (3, 2)
for word, y in zip(words, Y.round(2), strict=True):
    print(f"{word:5} now knows: turned around {y[0]:.2f}, thing {y[1]:.2f}")

# %% [markdown]
# That is all of attention. *bad* now carries "turned around 0.93" in its own vector, and any small network after it can
# conclude "meant well".
#
# ## 3 · The formula
# Let $X$ hold one vector a word, $(n, d)$. Three learned matrices make queries, keys and values, $Q = XW_Q$, $K = XW_K$,
# $V = XW_V$, and
#
# $$\text{Attention}(Q, K, V) = \text{softmax}\!\left(\frac{QK^\top}{\sqrt{d_k}}\right) V$$
#
# with $d_k$ the width of a key, and the softmax along each row (Vaswani et al. 2017, arXiv 1706.03762).
#
# The cell writes it out. After it we import the course's version, which gives the same and has a backward pass.


# %%
def attention(q, k, v, keep=None):
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])  # (…, n, m)
    if keep is not None:
        scores = np.where(keep, scores, -np.inf)  # e^−∞ = 0: nobody looks there
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))  # minus the maximum, or e^x overflows
    weights = e / e.sum(axis=-1, keepdims=True)
    return weights @ v, weights


assert np.allclose(attention(Q, K, V)[0], Y)

# %%
from mmcourse.numpy.attention import scaled_dot_product_attention, scaled_dot_product_attention_backward

g = np.random.default_rng(0)
q, k, v = g.normal(size=(3, 2, 5, 4))  # three times (b = 2, n = 5, d = 4)
y, cache = scaled_dot_product_attention(q, k, v)
print(y.shape, cache["weights"].shape, "the same:", np.allclose(y, attention(q, k, v)[0]))

# %% [markdown]
# ### Why $\sqrt{d_k}$?
# Take queries and keys whose numbers are independent, with mean 0 and variance 1. Then $q\cdot k = \sum_i q_i k_i$ adds
# up $d_k$ terms of variance 1, so its variance should be $d_k$. **Predict** the variance after dividing by $\sqrt{d_k}$; then measure.

# %%
for d in (1, 4, 16, 64, 256):
    qs, ks = g.normal(size=(2, 20_000, d))
    dots = (qs * ks).sum(axis=1)
    print(f"d_k = {d:3}  variance {dots.var():6.1f}  after dividing {(dots / np.sqrt(d)).var():.2f}")
    assert abs(dots.var() / d - 1) < 0.05

# %% [markdown]
# So at $d_k = 256$ scores are spread with a standard deviation of 16, and dividing by 16 brings them back to 1. Why care?
# Because learning goes through the softmax's slope, $\partial w_i/\partial s_j = w_i(\delta_{ij} - w_j)$. When one weight is
# nearly 1 and the rest nearly 0, every such product is nearly 0.


# %%
def slope(scores):
    """Mean size (Frobenius norm) of the softmax's Jacobian diag(w) − w wᵀ over rows of scores (r, m)."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    w = e / e.sum(axis=1, keepdims=True)
    jacobian = w[:, :, None] * np.eye(w.shape[1]) - w[:, :, None] * w[:, None]  # (r, m, m)
    return np.sqrt((jacobian**2).sum(axis=(1, 2))).mean()


slopes = {"divided by √d_k": [], "not divided": []}
for d in (4, 16, 64, 256, 1024):
    raw = np.einsum("rd,rmd->rm", g.normal(size=(500, d)), g.normal(size=(500, 10, d)))  # 10 keys a query
    slopes["divided by √d_k"].append(slope(raw / np.sqrt(d)))
    slopes["not divided"].append(slope(raw))

# %%
fig = plot.curves(
    slopes,
    title="How much slope does the softmax leave to learn from?",
    x=np.log2([4, 16, 64, 256, 1024]),
    xlabel="log₂ of the key's width d_k",
    ylabel="size of ∂weights/∂scores",
)
plot.show(
    fig,
    alt="Two curves against the width of a key. With the division the softmax's slope stays level; without it the slope "
    "falls towards zero as keys get wider.",
)
left = slopes["not divided"][-1] / slopes["divided by √d_k"][-1]
print(f"share of the slope that is left at d_k = 1024 without the division: {left:.2f}")

# %% [markdown]
# Without the division a wide model starts out with its choices already made, at random, and barely moves. The factor is
# right *at the start*; once training has made queries and keys dependent, nothing promises variance 1.
#
# ### Backwards
# The gradient goes the same way in reverse. To trust it, nudge one number of $q$ and compare: the course checks every
# formula so, in three libraries.

# %%
dy = g.normal(size=y.shape)
dq, dk, dv = scaled_dot_product_attention_backward(dy, cache)
nudge = np.zeros_like(q)
nudge[1, 2, 3] = 1e-6
up, down = ((scaled_dot_product_attention(q + s * nudge, k, v)[0] * dy).sum() for s in (1, -1))
print(f"by nudging {(up - down) / 2e-6:.5f}, by formula {dq[1, 2, 3]:.5f}")

# %% [markdown]
# ### Masks: what may be looked at
# Sentences in a batch differ in length, so the short ones are filled up with padding. Nobody may look at it. Our
# `padding_mask` is True where a word is **real**.

# %%
padding_mask = np.array([[True, True, True, False, False], [True] * 5])  # (b, m): the first has 3 words
y_masked, masked = scaled_dot_product_attention(q, k, v, padding_mask)
print(masked["weights"][0].round(2))

# %% [markdown]
# The last two columns are 0, and rows still sum to 1: the mask goes in *before* the softmax. The proof: the padded
# sentence gives what it gives alone, without padding.

# %%
alone, _ = scaled_dot_product_attention(q[:1, :3], k[:1, :3], v[:1, :3])
assert np.allclose(y_masked[:1, :3], alone)
assert not np.allclose(y[:1, :3], alone)
print("with the mask: as if alone. Without: padding leaks in")

# %% [markdown]
# A model that writes must not see the future, or training would show it the answer. The **causal** mask lets word $i$ look
# at words up to $i$.
#
# **The leak test:** change the last word, and no earlier output may move, not by one bit. Keep this test: a forgotten
# causal mask shows as a suspiciously *good* loss, and nothing else.

# %%
y_causal, causal = scaled_dot_product_attention(q, k, v, causal=True)
print(causal["weights"][1].round(2))

# %%
k_new, v_new = k.copy(), v.copy()
k_new[:, -1], v_new[:, -1] = 9.0, -9.0
for is_causal in (True, False):
    before = scaled_dot_product_attention(q, k, v, causal=is_causal)[0][:, :-1]
    after = scaled_dot_product_attention(q, k_new, v_new, causal=is_causal)[0][:, :-1]
    print(f"causal={is_causal!s:5} earlier outputs unchanged: {np.array_equal(before, after)}")

# %% [markdown]
# And a word with *nothing* to look at, say, in a batch where one message has no text? Our short version takes −∞ from −∞.
# The course's version answers with zeros: no information, no message.

# %%
nothing = np.array([[False] * 5, [True] * 5])
with np.errstate(invalid="ignore"):
    ours = attention(q, k, v, keep=nothing[:, None])[0]
theirs, _ = scaled_dot_product_attention(q, k, v, nothing)
print("short version:", ours[0, 0], "  course:", theirs[0, 0])

# %% [markdown]
# ### Several heads
# One softmax row mostly picks *one* place. To look for two things at once, cut the width into $h$ parts, attend in each
# part by itself, join the results and mix them with a last matrix $W_O$:
#
# $$\text{head}_i = \text{Attention}(Q_i, K_i, V_i), \qquad Y = [\text{head}_1; \dots; \text{head}_h]\,W_O$$
#
# The heads share the width, so the number of weights, $4(d^2 + d)$, does not depend on how many there are.

# %%
from mmcourse.numpy.attention import join_heads, multi_head_attention, split_heads

d, heads = 8, 2
p = {f"{name}.w": g.normal(size=(d, d)) / np.sqrt(d) for name in ("query", "key", "value", "output")}
p |= {f"{name}.b": g.normal(size=d) for name in ("query", "key", "value", "output")}
x = g.normal(size=(2, 5, d))  # (b, n, d)
y_heads, cache_heads = multi_head_attention(x, None, p, heads)
print(y_heads.shape, cache_heads["weights"].shape)  # (b, n, d) and (b, heads, n, n): a map for each head

# %%
Qh, Kh, Vh = (split_heads(x @ p[f"{n}.w"] + p[f"{n}.b"], heads) for n in ("query", "key", "value"))
print(x.shape, "→", Qh.shape)  # (b, n, d) → (b, heads, n, d / heads)
by_hand = join_heads(attention(Qh, Kh, Vh)[0]) @ p["output.w"] + p["output.b"]
assert np.allclose(by_hand, y_heads)
assert sum(w.size for w in p.values()) == 4 * (d * d + d)

# %% [markdown]
# ### Attention knows no order
# Shuffle the words. **Predict** what happens to the outputs.

# %%
order = [3, 0, 4, 1, 2]
shuffled, _ = multi_head_attention(x[:, order], None, p, heads)
assert np.allclose(shuffled, y_heads[:, order])
print("shuffled words in, the same outputs out, shuffled alike")

# %% [markdown]
# That is **permutation equivariance**. Good for a set; fatal for *not bad*, as it means that "which *not* stands before
# me?" cannot even be asked. The cure is to add each place's own vector to its word. Vaswani et al. use waves:
#
# $$p_{t,2i} = \sin\frac{t}{10000^{2i/d}}, \qquad p_{t,2i+1} = \cos\frac{t}{10000^{2i/d}}$$

# %%
from mmcourse.numpy.attention import sinusoidal_positions

places = sinusoidal_positions(40, 32)  # (t, d)
fig, ax = plt.subplots(figsize=(7, 3))
shown = ax.imshow(places.T, aspect="auto", cmap="cividis", vmin=-1, vmax=1)
ax.set(xlabel="place t in the sentence", ylabel="number in the vector")
ax.grid(False)
fig.colorbar(shown, ax=ax, label="value", pad=0.01)
fig.suptitle("What is added to the word at place t?", x=0.01, ha="left", fontsize=12, weight="bold")
plot.show(
    fig,
    alt="A heat map of position vectors: the upper numbers swing quickly from place to place, the lower ones ever more "
    "slowly, like the hands of a clock.",
)

# %% [markdown]
# Read a column as a clock with many hands: fast ones on top, slow ones below. And one property makes it useful: the dot
# product of two places depends only on how far apart they are. "The word before me" is the same question everywhere.

# %%
dots = places @ places.T  # (40, 40)
for apart in (0, 1, 2, 5):
    diagonal = np.diag(dots, apart)
    assert np.allclose(diagonal, diagonal[0])
    print(f"{apart} apart: {diagonal[0]:.2f}, wherever they stand")

# %% [markdown]
# ## 4 · The same in PyTorch and Keras
# Both rooms of the package hold the same functions. Give the same weights to each, and to the frameworks' own layers, and
# all must agree. The padded batch from above is the test.

# %%
from mmcourse.numpy import conventions
from mmcourse.torch import attention as torch_attention

ours, _ = multi_head_attention(x, None, p, heads, padding_mask)
x_t, mask_t = torch.tensor(x), torch.tensor(padding_mask)
room = torch_attention.MultiHeadAttention(d, heads).double()
room.load_state_dict({n.replace(".w", ".weight").replace(".b", ".bias"): torch.tensor(w.T) for n, w in p.items()})
assert np.allclose(ours, room(x_t, padding_mask=mask_t).detach(), atol=1e-10)
print("our NumPy and our PyTorch agree to ten decimals")

# %% [markdown]
# PyTorch's own layer packs three matrices into one, which `torch_attention` does. And mind its `key_padding_mask`: True means
# **ignore**. **Predict** what happens if you hand it our mask as it is: an error, a warning, or nothing?

# %%
layer = torch.nn.MultiheadAttention(d, heads, batch_first=True).double()
layer.load_state_dict({n: torch.tensor(w) for n, w in conventions.torch_attention(p).items()})
right, _ = layer(x_t, x_t, x_t, key_padding_mask=torch.tensor(conventions.key_padding_mask(padding_mask)))
wrong, _ = layer(x_t[:1], x_t[:1], x_t[:1], key_padding_mask=mask_t[:1])
assert np.allclose(ours, right.detach(), atol=1e-10) and not np.allclose(ours[:1], wrong.detach(), atol=0.01)
print("the wrong sense: no error, no warning, only wrong numbers; finite:", torch.isfinite(wrong).all().item())

# %% [markdown]
# Keras keeps our sense (True is real) but wants the mask as (b, n, m), and its kernels as (d, heads, d / heads).

# %%
import keras

keras_layer = keras.layers.MultiHeadAttention(heads, key_dim=d // heads, dtype="float64")
keras_layer.build(x.shape, x.shape)
keras_layer.set_weights(conventions.keras_attention(p, heads))
by_keras = np.array(keras_layer(x, x, attention_mask=padding_mask[:, None].repeat(5, axis=1)))
assert np.allclose(ours, by_keras, atol=1e-6)  # Keras keeps 1/√d_k as a float32
from mmcourse.keras import attention as keras_attention
from mmcourse.parity import copy_weights

keras_room = keras_attention.MultiHeadAttention(d, heads, dtype="float64")
keras_room.build(x.shape)
copy_weights(room, keras_room)
by_room = np.array(keras_room(x, padding_mask=padding_mask))
assert np.allclose(ours, by_room, atol=1e-10)
print("NumPy, PyTorch, Keras, and both frameworks' own layers: equal")

# %% tags=["free"]
for name, theirs in (("nn.MultiheadAttention", right.detach()), ("keras.layers", by_keras), ("our Keras", by_room)):
    print(f"{name:22} largest difference {np.abs(ours - np.array(theirs)).max():.0e}")

# %% [markdown]
# They part ways where a row has nothing to look at. One empty message in a batch, and one layer's output is NaN; after a training
# step, so is every weight that led to it.

# %%
empty = np.array([[False] * 5, [True] * 5])
by_torch = layer(x_t, x_t, x_t, key_padding_mask=~torch.tensor(empty))[0].detach()
by_keras_layer = np.array(keras_layer(x, x, attention_mask=empty[:, None].repeat(5, axis=1)))
print("our three rooms       finite:", np.isfinite(multi_head_attention(x, None, p, heads, empty)[0]).all())
print("nn.MultiheadAttention finite:", torch.isfinite(by_torch).all().item())
print("keras.layers          finite:", np.isfinite(by_keras_layer).all())

# %% [markdown]
# ## 5 · At work
# Back to the cinema. A generator of our own makes such sentences: two things, each with *not* or *very* and a feeling word,
# after an opening of 0 to 3 words so that counting places from the left does not help. Sentences
# become ids, filled up with 0 to fourteen places, and each feeling word is one question: meant well or not?

# %%
GOOD, BAD = "good lovely great funny bright warm".split(), "bad dull awful boring gloomy cold".split()
THINGS, OPENINGS = "film music food talk party game".split(), ["", "well", "oh well", "well i say"]


def sentence(g):
    """Words, the places of the two feeling words, and whether each is meant well."""
    words, places, meant = OPENINGS[g.integers(4)].split(), [], []
    for clause in range(2):
        turned, kind = g.integers(2), g.integers(2)
        feeling = str(g.choice(GOOD if kind else BAD))
        words += ["and"] * clause + ["the", str(g.choice(THINGS)), "was", ("very", "not")[turned], feeling]
        places.append(len(words) - 1)
        meant.append(int(kind != turned))
    return words, places, meant


print(*sentence(np.random.default_rng(3)), sep="\n")

# %%
vocabulary = ["<pad>", *sorted({*GOOD, *BAD, *THINGS, *"well oh i say the was not very and".split()})]


def batches(count, seed, size=50):
    sentences = [sentence(np.random.default_rng([seed, i])) for i in range(count)]
    ids = torch.zeros(count, 14, dtype=torch.long)
    for row, (words, _, _) in zip(ids, sentences, strict=True):
        row[: len(words)] = torch.tensor([vocabulary.index(word) for word in words])
    asked, label = (torch.tensor([s[i] for s in sentences]) for i in (1, 2))  # (count, 2)
    parts = zip(ids.split(size), asked.split(size), label.split(size), strict=True)
    return [{"inputs": {"words": i, "asked": a}, "target": m.flatten()} for i, a, m in parts]


train, test = batches(3000, seed=0), batches(1000, seed=1)
first = train[0]["inputs"]
print(len(train), "batches;", first["words"].shape, "words,", first["asked"].shape, "questions")

# %% [markdown]
# The model: word vectors, plus places or not, one head of attention, and a small network at each word in question.

# %%
from torch import nn


class Reader(nn.Module):
    def __init__(self, width=32, places=True):
        super().__init__()
        self.words, self.places = nn.Embedding(len(vocabulary), width), places
        nn.init.normal_(self.words.weight, std=0.3)  # no louder than the places
        self.attention = torch_attention.MultiHeadAttention(width, heads=1)
        self.hidden, self.out = nn.Linear(width, 32), nn.Linear(32, 2)

    def forward(self, batch, return_weights=False):
        ids, asked = batch["inputs"]["words"], batch["inputs"]["asked"]  # (b, n), (b, 2)
        x = self.words(ids)  # (b, n, d)
        if self.places:
            x = x + torch_attention.sinusoidal_positions(*x.shape[1:])
        y, weights = self.attention(x, padding_mask=ids > 0, return_weights=True)
        here = torch.arange(len(x))[:, None], asked  # the two places asked about
        logits = self.out(self.hidden((x + y)[here]).relu()).flatten(0, 1)  # (b, 2, d) → (2b, 2)
        return (logits, weights[:, 0]) if return_weights else logits  # weights: (b, n, n)


# %% [markdown]
# **Without places**, what is the best that is possible? The model knows its own word and *how many* times *not* comes. With
# two or none it is sure. With one, it is a coin toss whether that *not* is its own. Half of the sentences have exactly one.

# %%
turns = [(0, 0), (0, 1), (1, 0), (1, 1)]  # not before the first word? before the second? equally likely
ceiling = np.mean([1.0 if first == second else 0.5 for first, second in turns])
print("ceiling without places:", ceiling)

# %% tags=["free"]
from mmcourse.training.torch import fit, predict

answer = np.concatenate([batch["target"] for batch in test])
readers, reached = {}, {"without places": [], "with places": []}
for seed in range(3):
    for name, places_on in (("without places", False), ("with places", True)):
        torch.manual_seed(seed)
        readers[name, seed] = Reader(places=places_on)
        fit(readers[name, seed], train, epochs=10, progress=False)
        reached[name].append((predict(readers[name, seed], test).argmax(axis=1) == answer).mean())
print({name: np.round(values, 3) for name, values in reached.items()})

# %% tags=["target"]
expect_within("accuracy with places, worst of 3 seeds", min(reached["with places"]), 0.98, 0.02)
expect_within("accuracy without places, worst of 3 seeds", min(reached["without places"]), 0.74, 0.03)

# %% tags=["free"]
fig = plot.against_ceiling(
    list(reached),
    [np.mean(values) for values in reached.values()],
    [ceiling, 1.0],
    title="Can the model tell which word is turned around?",
    chance=0.5,
)
plot.show(
    fig,
    alt="Two bars. Without places the accuracy is about 0.75 of a ceiling of 0.75; with places it is 1.00 of 1.00.",
)

# %% [markdown]
# Did you predict 0.75? With places the same network answers every question. Now **read its map**. First in numbers: of the
# attention that a feeling word spends, how much goes to its own *not* or *very*, and how much to the other word's? Then
# the first friend's sentence, read by the most decided of the three readers.


# %%
def look(reader, said):
    """The attention map (n, n) of one sentence."""
    ids = torch.tensor([[vocabulary.index(word) for word in said]])
    with torch.no_grad():
        inputs = {"words": ids, "asked": torch.zeros(1, 2, dtype=torch.long)}
        return reader({"inputs": inputs}, return_weights=True)[1][0].numpy()


# %% tags=["free"]
together = {name: torch.cat([batch["inputs"][name] for batch in test]) for name in ("words", "asked")}
own = {}
for seed in range(3):
    with torch.no_grad():
        weights = readers["with places", seed]({"inputs": together}, return_weights=True)[1]  # (b, n, n)
    rows = weights[torch.arange(len(weights))[:, None], together["asked"]]  # (b, 2, n): what the feeling words look at
    own[seed] = rows.gather(2, together["asked"][..., None] - 1).mean().item()  # the word before oneself
    other = rows.gather(2, together["asked"].flip(1)[..., None] - 1).mean().item()  # before the other feeling word
    print(f"seed {seed}: accuracy {reached['with places'][seed]:.3f}, own {own[seed]:.2f}, other's {other:.2f}")
    assert own[seed] > other + 0.1

# %% tags=["free"]
fig = plot.matrix(
    look(readers["with places", max(own, key=own.get)], says_a)[[4, 10]],
    "Where do the two feeling words look?",
    ["bad", "dull"],
    [f"{word}\n{t}" for t, word in enumerate(says_a)],
    limits=(0, 1),
)
plot.show(
    fig,
    alt="Two rows of attention weights: 'bad' looks mainly at the 'not' before it, 'dull' mainly at the 'very' before it.",
)

# %% [markdown]
# Nobody told it to look one word back. It found "the word before me" because nothing else answers the question. It is a
# *soft* look-up all the same: part of the weight stays with other words.
#
# ### Real sentences of the course
# Some of the sentences of `mood` (lesson [start_here](start_here.ipynb)) have *not*: "The dinner was not awful at all." A model
# that adds up word votes can never get both *not awful* and *not lovely* right. Does one layer of attention repair it?

# %%
from mmcourse.datasets import load


def spoken(split):
    """Each different sentence of mood once, with what its words claim to feel."""
    ds = load("mood", split)
    _, first = np.unique(np.array(list(ds.column("words"))), return_index=True)
    label = [ds.classes.index(cue) for cue in ds.meta["words_cue"][first]]
    words = torch.tensor(ds.features()["words"][first])  # (n, t)
    return {"inputs": {"words": words}, "target": torch.tensor(label)}, ds.vocabulary


(heard, mood_words), (unheard, _) = spoken("train"), spoken("test")
print(len(heard["target"]), "sentences to learn from,", len(unheard["target"]), "others to test")


# %%
class Votes(nn.Module):
    """Each word votes; with attention, after a look around."""

    def __init__(self, attend, width=32):
        super().__init__()
        self.words, self.votes = nn.Embedding(len(mood_words), width), nn.Linear(width, 3)
        nn.init.normal_(self.words.weight, std=0.5)
        self.attention = torch_attention.MultiHeadAttention(width, heads=1) if attend else None

    def forward(self, batch, return_weights=False):
        ids = batch["inputs"]["words"]  # (b, n)
        x, real, weights = self.words(ids), ids > 0, None
        if self.attention is not None:
            y, weights = self.attention(x, padding_mask=real, return_weights=True)
            x = x + y
        votes = (self.votes(x) * real[..., None]).sum(1) / real.sum(1, keepdim=True)  # (b, n, 3) → (b, 3)
        return (votes, weights[:, 0]) if return_weights else votes


# %% tags=["free"]
order = torch.randperm(len(heard["target"]), generator=torch.Generator().manual_seed(0)).split(64)
chunks = [{"inputs": {"words": heard["inputs"]["words"][i]}, "target": heard["target"][i]} for i in order]
has_not = (unheard["inputs"]["words"] == mood_words.index("not")).any(1).numpy()
voters, right_on = {}, {}
for attend in (False, True):
    for seed in range(3):
        torch.manual_seed(seed)
        voters[attend, seed] = Votes(attend)
        fit(voters[attend, seed], chunks, epochs=20, weight_decay=0.01, progress=False)
        correct = predict(voters[attend, seed], [unheard]).argmax(1) == unheard["target"].numpy()
        right_on[attend, seed] = correct.mean(), correct[has_not].mean()
        print(
            f"attention {attend!s:5}  all {right_on[attend, seed][0]:.3f}  with 'not' {right_on[attend, seed][1]:.3f}"
        )

# %%
for attend, target, width in ((False, 0.50, 0.08), (True, 0.97, 0.03)):
    worst = min(right_on[attend, seed][1] for seed in range(3))
    expect_within(f"accuracy on sentences with 'not', attention {attend}, worst of 3 seeds", worst, target, width)

# %% [markdown]
# Adding votes gets half of the *not* sentences right, like a coin; its accuracy over all sentences hid that. With attention
# nearly all are right. Has it understood *not*? Keep your answer.
#
# ## 6 · Take it apart
# ### What the weights do not show
# Three voters, equal in what they get right. **Predict:** do they look at the same words? Here is the row of *awful* in
# one sentence, for each of the three.

# %% tags=["free"]
said = "the film was not awful at all".split()
sample = {"inputs": {"words": torch.tensor([[mood_words.index(word) for word in said]])}}
with torch.no_grad():
    rows = np.stack([voters[True, seed](sample, return_weights=True)[1][0, 4].numpy() for seed in range(3)])
fig = plot.matrix(
    rows, "Where does 'awful' look, in three equally good models?", [f"seed {s}" for s in range(3)], said, limits=(0, 1)
)
plot.show(
    fig, alt="The attention row of the word awful in three trained models: each puts its weight on different words."
)

# %% [markdown]
# Equal answers, different maps. A map shows where *this* model looked, not where one must look.
#
# And a weight says how much of a value is *taken*, not how much it *matters*: a value may be nearly nothing to the next layer.
# Jain and Wallace (2019, arXiv 1902.10186) built different maps with the same predictions; Wiegreffe and Pinter (2019, arXiv
# 1908.04626) answer that trained maps still carry information; Kobayashi et al. (2020, arXiv 2004.10102) weigh by the value's size.
#
# To know what matters, **intervene**: take a word away (make it padding, which nobody sees) and count the answers that change.
# **Predict** it for *not*, in models that get nearly all of these sentences right.

# %% tags=["free"]
felt_not = torch.tensor(has_not) & (unheard["target"] != 1)  # (n,): the sentences with feeling and "not"
rows = unheard["inputs"]["words"][felt_not]  # (r, n)


def changed(voter, word):
    """Share of answers that change without the word, among sentences that have it."""
    gone = rows == mood_words.index(word)
    with torch.no_grad():
        before, after = (voter({"inputs": {"words": w}}).argmax(1) for w in (rows, rows.masked_fill(gone, 0)))
    return (before != after)[gone.any(1)].float().mean().item()


taken = ["not", "at", "all", "was", "the"]
shares = np.array([[changed(voters[True, seed], word) for word in taken] for seed in range(3)])
fig = plot.matrix(
    shares, "How many answers change when a word goes?", [f"seed {s}" for s in range(3)], taken, limits=(0, 1)
)
plot.show(
    fig,
    alt="Share of changed answers for three models and five words: taking 'not' away changes about a third; 'at', 'all' "
    "or 'was' change as many or more, depending on the seed.",
)

# %%
expect_within("answers that change without 'not', most of 3 seeds", shares[:, 0].max(), 0.3, 0.2)
endings = [mood_words.index(word) for word in ("all", "bit")]
assert torch.isin(rows, torch.tensor(endings)).any(1).all()
print("every one of these sentences also has 'at all' or 'one bit'")

# %% [markdown]
# A reader would change *every* answer. The models did not learn what *not* means: in this small grammar other words give the
# turn away, and the test sentences share the grammar, so an accuracy near 1 could not show it. Compare both figures, seed by
# seed: much weight and much effect need not go together. (The cinema sentences of section 5 were built without such a giveaway.)

# %% [markdown]
# ### What it costs
# Every word looks at every word: $n^2$ scores. Both products, $QK^\top$ and weights times $V$, take $2 n^2 d$ operations,
# so $4 n^2 d$ in all heads together. A counter confirms it exactly.

# %%
from torch.utils.flop_counter import FlopCounterMode

qkv = torch.randn(3, 1, 4, 512, 32)  # three times (b, heads, n, d / heads), so n = 512 and d = 4 · 32
with FlopCounterMode(display=False) as counter:
    torch_attention.scaled_dot_product_attention(*qkv)
print(f"counted {counter.get_total_flops():,}; 4n²d = {4 * 512**2 * 128:,}")

# %% [markdown]
# Twice the length, four times the work. Memory too: for the backward pass the map is kept. But must it be? The softmax can
# be computed **block by block**: keep a running maximum and a running sum, and correct what you have when the maximum grows.


# %%
def blockwise(q, k, v, size=2):
    """Attention that never holds more than `size` columns of the map."""
    top = np.full((*q.shape[:-1], 1), -np.inf)
    total, y = 0.0, 0.0
    for start in range(0, k.shape[-2], size):
        scores = q @ k[..., start : start + size, :].swapaxes(-1, -2) / np.sqrt(q.shape[-1])
        higher = np.maximum(top, scores.max(axis=-1, keepdims=True))
        e, shrink = np.exp(scores - higher), np.exp(top - higher)
        total = total * shrink + e.sum(axis=-1, keepdims=True)
        y = y * shrink + e @ v[..., start : start + size, :]
        top = higher
    return y / total


assert np.allclose(blockwise(q, k, v), attention(q, k, v)[0])
print("equal, without ever holding the whole map")

# %% [markdown]
# (Rabe and Staats 2021, arXiv 2112.05682; FlashAttention does it in a GPU's fast memory: Dao et al. 2022, arXiv 2205.14135.)
# PyTorch has it as `F.scaled_dot_product_attention`. **Predict** how the memory kept for the backward pass grows in each.

# %%
import timeit
from itertools import product

import torch.nn.functional as F


def kept(function, *tensors):
    """Bytes that autograd keeps for the backward pass."""
    storages = {}

    def pack(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = function(*tensors)
    return sum(storages.values()), result


lengths, memory, seconds = [64, 128, 256, 512, 1024], {}, {}
ways = {"written out": lambda *t: torch_attention.scaled_dot_product_attention(*t)[0]}
ways["memory-efficient"] = F.scaled_dot_product_attention
for n, (name, function) in product(lengths, ways.items()):
    qkv = [torch.randn(1, 4, n, 32, requires_grad=True) for _ in range(3)]
    memory.setdefault(name, []).append(kept(function, *qkv)[0] / 2**20)
    times = timeit.repeat(lambda: function(*qkv).sum().backward(), number=1, repeat=3)  # noqa: B023
    seconds.setdefault(name, []).append(1000 * min(times))

# %% tags=["free"]
print("n        ", *(f"{n:>7}" for n in lengths))
for name in ways:
    print(f"{name:17} MB", *(f"{m:7.2f}" for m in memory[name]), " ms", *(f"{s:6.1f}" for s in seconds[name]))
fig = plot.curves(
    memory, title="How much memory is kept for the backward pass?", x=lengths, xlabel="length n", ylabel="MB"
)
plot.show(
    fig,
    alt="Memory against sequence length: attention written out grows with the square of the length, the memory-efficient "
    "kernel in a straight line close to zero.",
)

# %%
a, b = (function(*qkv) for function in ways.values())
assert torch.allclose(a, b, atol=1e-5)
grown = {name: m[-1] / m[-2] for name, m in memory.items()}
assert grown["written out"] > 3.4 and abs(grown["memory-efficient"] - 2) < 0.1
print("equal outputs; from n = 512 to 1024 one needs more than 3.4 times the memory, the other twice")

# %% [markdown]
# The same numbers come out, and memory grows in a straight line. The *work* is still $4n^2d$: the efficient kernel is
# faster because it moves less memory, not because it multiplies less. And it never makes the map, so it cannot show it to you.
#
# ## 7 · At full size
# A trained BERT has 144 heads. Clark et al. (2019, arXiv 1906.04341) found some that look at the word before, as ours does, and
# many that park their attention on `[SEP]`, a place where nothing is said. The cell looks for both if the weights are on this machine.
#
# With a GPU, the same two functions at length 16,384. Written out, four heads make four maps of 16,384² numbers.

# %% tags=["free"]
from huggingface_hub import try_to_load_from_cache

if not isinstance(try_to_load_from_cache("bert-base-uncased", "model.safetensors"), str):
    print(
        "not run: bert-base-uncased is not on this machine (nothing is downloaded here). It would have printed the head"
    )
    print("that looks most at the word before, and the share of all attention that goes to [SEP].")
else:
    from transformers import AutoTokenizer, BertModel

    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased", local_files_only=True)
    options = {"local_files_only": True, "attn_implementation": "eager"}
    bert = BertModel.from_pretrained("bert-base-uncased", **options).eval()
    with torch.no_grad():
        maps = torch.stack(bert(**tokenizer(" ".join(says_a), return_tensors="pt"), output_attentions=True).attentions)
    before = maps[:, 0].diagonal(-1, 2, 3).mean(-1)  # (12 layers, 12 heads)
    print(
        "looks at the word before:",
        f"{before.max():.2f}, head (layer, head)",
        np.argwhere(before == before.max()).tolist(),
    )
    print(f"share of all attention on [SEP]: {maps[..., -1].mean():.2f}")

# %% tags=["free"]
if profile == "gpu":  # noqa: F821 — the set-up cell defines it
    for name, function in ways.items():
        long = [torch.randn(1, 4, 16_384, 32, device="cuda", requires_grad=True) for _ in range(3)]
        torch.cuda.reset_peak_memory_stats()
        function(*long).sum().backward()
        print(f"{name:17} peak {torch.cuda.max_memory_allocated() / 2**30:.2f} GB")
else:
    print("not run: no GPU here. It would have printed the peak memory of both ways at n = 16,384;")
    print(f"written out, the map alone takes {4 * 16_384**2 * 4 / 2**30:.0f} GB.")

# %% [markdown]
# ## 8 · What to remember
# - Attention is a soft look-up: score queries against keys, softmax each row, average the values.
# - Divide by $\sqrt{d_k}$: dot products have variance $d_k$, and a saturated softmax does not learn.
# - Mask before the softmax. True means *real* here and in Keras, *ignore* in `nn.MultiheadAttention`.
# - Without places it cannot tell orders apart; add them. It costs $n^2$ work; memory need not.
# - A map shows where a model looked, not why it answered. Intervene to find out.

# %% [markdown]
# ## 9 · Check yourself
# <details><summary>1. What are the shapes of scores and output for 7 queries and 9 keys, d_k = 16, d_v = 5?</summary>
#
# Scores (7, 9), each row a softmax over the 9 keys; output (7, 5).
# </details>
# <details><summary>2. You forget to divide by √d_k and your keys are 64 wide. What do the first attention rows look like?</summary>
#
# Scores have a standard deviation of 8, so nearly all weight falls on one key, at random, and little gradient flows.
# </details>
# <details><summary>3. Why not mask by setting weights to 0 after the softmax?</summary>
#
# Rows would no longer sum to 1: how much is lost depends on what the padding happened to hold.
# </details>
# <details><summary>4. Your training loss falls far below what seems possible. Which test do you run first?</summary>
#
# The leak test: change a later word and see whether an earlier output moves.
# </details>
# <details><summary>5. A head puts 0.8 on a full stop. Is the full stop important?</summary>
#
# Not by that alone: its value may be nearly nothing to the next layer. Take it away and see.
# </details>
#
# ## 10 · Exercises
# [Three exercises](exercises/attention.ipynb): attention in four lines, masks that hold in every corner, and which word
# really mattered.
#
# ## Sources
# Vaswani et al. 2017, *Attention is all you need*, arXiv 1706.03762 · Rabe and Staats 2021, arXiv 2112.05682 · Dao et al. 2022,
# *FlashAttention*, arXiv 2205.14135 · Clark et al. 2019, arXiv 1906.04341 · Jain and Wallace 2019, arXiv 1902.10186 ·
# Wiegreffe and Pinter 2019, arXiv 1908.04626 · Kobayashi et al. 2020, arXiv 2004.10102.
