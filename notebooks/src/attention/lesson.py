# %% [markdown]
# # Attention
# *Let each word choose which other words to attend to, build the layer at the heart of
# every transformer, and find out what its choices do and do not tell you.*
#
# {{budget}}
#
# **You will be able to**
# - compute $\text{softmax}(QK^\top/\sqrt{d_k})\,V$ by hand, with the shape of every step;
# - mask padding and the future, and test that nothing leaks;
# - write multi-head attention as a PyTorch module, and use the layers of PyTorch and Keras;
# - give attention a sense of order: sinusoids, learned vectors, rotary encoding;
# - test what an attention map does not show.
#
# **Before this:** [text](text.ipynb) (padding), [neural_networks](neural_networks.ipynb) (softmax, training), and
# matrix products.
#
# **Time to read:** 75 minutes with the five blanks, then 75 for the [exercises](exercises/attention.ipynb).
# Framework traps, gradients, memory and time are in [a second notebook](attention_deeper.ipynb).

# %%
import inspect
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.torch.attention import MultiHeadAttention as CourseAttention
from mmcourse.torch.attention import sinusoidal_positions as torch_sinusoids

# %% [markdown]
# ## 1 · A model that reads between the words

# %% [markdown]
# Two friends come out of the cinema, and both use exactly the same words:
#
# - *the film was **not bad** and the music was **very dull***
# - *the film was **very bad** and the music was **not dull***
#
# Is *bad* praise or criticism in each of them? You know at once, because you know which
# word belongs to it. The field calls this the **sentiment** of a word: positive or
# negative. The next cell trains a small classifier on 2,000 such sentences. It is told
# where the feeling words are and, in training, whether each is positive or negative.
# Nobody tells it which words belong together. Open the cell if you are curious; section 9
# comes back to its core, and then you will understand all of it.

# %% tags=["hide-input", "free"]
GOOD = "good lovely great funny bright warm".split()
BAD = "bad dull awful boring gloomy cold".split()
THINGS = "film music food talk party game".split()
MODIFIERS = ["very", "not"]
# openings of several lengths, so that counting from the left does not help
OPENINGS = ["", "well", "oh well", "well i say"]
OTHERS = "well oh i say the was and".split()
VOCABULARY = ["<pad>", *sorted({*GOOD, *BAD, *THINGS, *MODIFIERS, *OTHERS})]
LONGEST = 14


def make_sentence(g):
    """Words; positions of the two feeling words; 1 where one is positive, else 0."""
    words, asked, target = OPENINGS[g.integers(4)].split(), [], []
    for clause in range(2):
        negated, good = g.integers(2), g.integers(2)
        feeling = str(g.choice(GOOD if good else BAD))
        words += ["and"] * clause
        words += ["the", str(g.choice(THINGS)), "was", MODIFIERS[negated], feeling]
        asked.append(len(words) - 1)
        target.append(int(good != negated))
    return words, asked, target


def to_ids(words):
    """Ids of the words, padded with 0 to the longest sentence."""
    unknown = [word for word in words if word not in VOCABULARY]
    if unknown:
        raise ValueError(f"the classifier does not know {unknown}; it knows {VOCABULARY[1:]}")
    if len(words) > LONGEST:
        raise ValueError(f"expected at most {LONGEST} words, got {len(words)}")
    return [VOCABULARY.index(word) for word in words] + [0] * (LONGEST - len(words))


def make_data(count, seed, exclude=None):
    """Ids (count, 14), positions asked about (count, 2), targets (count, 2).

    No sentence of `exclude`, which is data made before, comes again.
    """
    g = np.random.default_rng(seed)
    seen = set() if exclude is None else {tuple(row) for row in exclude[0].tolist()}
    ids, asked, targets = [], [], []
    while len(ids) < count:
        words, positions, target = make_sentence(g)
        row = to_ids(words)
        if tuple(row) not in seen:
            ids.append(row)
            asked.append(positions)
            targets.append(target)
    return torch.tensor(ids), torch.tensor(asked), torch.tensor(targets)


class Classifier(nn.Module):
    """Word and position vectors → attention → a small network at each feeling word."""

    def __init__(self, attention, positions="sinusoids", width=32):
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.positions = positions
        if positions == "learned":
            self.position_embedding = nn.Embedding(LONGEST, width)
            # as large as the sinusoids
            nn.init.normal_(self.position_embedding.weight, std=0.7)
        self.attention = attention
        self.mlp = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 2))

    def embed(self, ids):
        """Ids (b, n) → word vectors with their positions (b, n, d)."""
        x = self.embedding(ids)
        if self.positions == "sinusoids":
            x = x + torch_sinusoids(*x.shape[1:]).to(x.device)
        if self.positions == "learned":
            x = x + self.position_embedding.weight
        return x

    def forward(self, ids, asked, query_ids=None, residual_ids=None, return_weights=False):
        x = self.embed(ids)  # (b, n, d)
        query = x if query_ids is None else self.embed(query_ids)
        residual = x if residual_ids is None else self.embed(residual_ids)
        y, weights = self.attention(query, x, padding_mask=ids > 0, return_weights=True)
        rows = torch.arange(len(x), device=x.device)[:, None]
        logits = self.mlp((residual + y)[rows, asked])  # (b, 2 words, 2 classes)
        return (logits, weights) if return_weights else logits


def train_classifier(classifier, data, epochs=6, seed=0, progress=False):
    """Adam on the cross-entropy of both feeling words."""
    ids, asked, targets = data
    optimizer = torch.optim.Adam(classifier.parameters(), lr=7e-3)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        losses = []
        for i in torch.randperm(len(ids), generator=generator).split(100):
            logits = classifier(ids[i], asked[i])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets[i].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if progress:
            print(f"epoch {epoch + 1}  loss {np.mean(losses):.3f}")
    return classifier.eval()


def accuracy_of(classifier, data):
    ids, asked, targets = data
    with torch.no_grad():
        return (classifier(ids, asked).argmax(-1) == targets).float().mean().item()


def classify(classifier, text):
    """Words, positions of feeling words, probability of positive, weights (heads, n, n)."""
    words = text.split()
    found = [t for t, word in enumerate(words) if word in GOOD + BAD]
    if not found:
        raise ValueError(f"write at least one feeling word: {', '.join(GOOD + BAD)}")
    asked = torch.tensor([found])
    with torch.no_grad():
        logits, weights = classifier(torch.tensor([to_ids(words)]), asked, return_weights=True)
    n = len(words)
    return words, found, logits.softmax(-1)[0, :, 1].tolist(), weights[0, :, :n, :n].numpy()


def show_sentiment(classifier, text):
    words, found, positive, _ = classify(classifier, text)
    for t, p in zip(found, positive, strict=False):
        print(f"{words[t]!r:9} → {'positive' if p > 0.5 else 'negative'} ({max(p, 1 - p):.2f})")


train_data = make_data(2000, seed=0)
test_data = make_data(1000, seed=1, exclude=train_data)
torch.manual_seed(0)
classifier = train_classifier(Classifier(CourseAttention(32, 2)), train_data, progress=True)

# %% [markdown]
# A loss of 0.693, which is $\ln 2$, is a coin toss between two classes. The classifier tosses coins for a while, and then
# finds something out, all at once. Ask it. Then write a sentence of your own: two things, each with *not* or *very* and
# a feeling word.

# %%
show_sentiment(classifier, "the film was not bad and the music was very dull")
print()
show_sentiment(classifier, "the film was very bad and the music was not dull")

# %%
my_sentence = "oh well the party was not boring and the food was not cold"
show_sentiment(classifier, my_sentence)

# %% [markdown]
# On 1,000 sentences, none of which it was trained on:

# %%
accuracy = accuracy_of(classifier, test_data)
expect_within("accuracy of the classifier", accuracy, 0.99, 0.01)

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# Inside, each word divides one unit of **attention** among the words of the sentence. From what it attends to it receives something, and
# that is added to its own vector. The classifier sees the sum: *the word's own vector + what attention brings*.
#
# Before you look: **record two guesses.** They are kept until the answers come.

# %%
where = widgets.guess(
    "“the film was not bad and …”: “bad” gives almost no attention to one of these "
    "words, and yet exchanging that word flips the answer for “bad”. Which?",
    ["film", "was", "not", "bad", "none of these"],
)

# %%
unordered = widgets.guess(
    "A model knows the words, but not their order. How often can it be right?",
    [0.5, 0.75, 1.0],
)

# %% [markdown]
# ## 3 · The idea by hand

# %% [markdown]
# **Where it comes from.** A recurrent network ([rnn](rnn.ipynb)) carries all that it has read in *one* vector: a bottleneck, the
# tighter the longer the text. Bahdanau et al. (2014, arXiv 1409.0473) let a translator go back and choose, for each word that it writes, which words of
# the source matter now. Their scores came from a small network, $w^\top\tanh(W_q q + W_k k)$, which the field calls **additive attention**
# (you will write it in the exercises); today's come from a dot product.
#
# **What you know already.** A dictionary in Python answers only to a key that fits exactly:

# %%
lexicon = {"not": "turns the next word around", "film": "is a thing"}
print(lexicon["not"])

# %% [markdown]
# Attention is a *soft* look-up: it takes **all** values, each as much as its key fits. Words become vectors, so that "fits" can be a number: the dot product.
# Here are three words with four features that we choose ourselves.

# %%
words = ["film", "not", "bad"]
features = ["thing", "negation", "opinion", "positive"]
X = np.array(
    [
        [1.0, 0.0, 0.0, 0.0],  # film
        [0.0, 1.0, 0.0, 0.0],  # not
        [0.0, 0.0, 1.0, -1.0],  # bad: an opinion, and not a positive one
    ]
)  # (3 words, 4 features)

# %% [markdown]
# ### First without learned weights
# Compare every word with every word, turn each row of scores into shares that add up to 1 (softmax), and average the words in these proportions.


# %%
def softmax(scores):
    """Along the last axis; minus the row's maximum, so that exp cannot overflow."""
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


similarity = X @ X.T  # (3, 4) @ (4, 3) → (3, 3)
shares = softmax(similarity)
print(shares.round(2))
print((shares @ X).round(2))  # (3, 3) @ (3, 4) → (3, 4)

# %% [markdown]
# Here each word attends most to **itself**: nothing resembles *bad* as much as *bad*. It
# cannot look for *not*, because their vectors have nothing in common. And what it
# receives is the whole word, wanted or not. So let a word look for something other than
# what it is.
#
# ### Queries, keys and values
# Three learned matrices make three short vectors out of each word:
#
# - a **query** says what a word looks for: it is compared with every key;
# - a **key** is the label under which a word can be found: queries are compared with it;
# - a **value** is what a word hands over to those that attend to it.

# %% tags=["hide-input"]
canvas = draw.Canvas()
word = canvas.place(draw.box("bad", note="its vector (4,)", color="gray"), x=0, y=72)
parts = [
    ("query", "What do I look for?", "blue"),
    ("key", "Under which label am I found?", "orange"),
    ("value", "What do I hand over?", "green"),
]
for i, (name, question, color) in enumerate(parts):
    product = draw.box(f"× {name} matrix", note="(4, 2)", color=color, width=140)
    product = canvas.place(product, x=200, y=i * 72)
    vector = draw.box(f"{name} (2,)", note=question, color=color, width=230)
    vector = canvas.place(vector, right_of=product, gap=44)
    canvas.arrow(word.right, product.left)
    canvas.arrow(product, vector)
draw.show(
    canvas,
    alt="The vector of a word is multiplied with three matrices and becomes a query, a key and a value.",
)

# %% [markdown]
# Training finds the three matrices. This time we write them down: opinions look for a negation (strongly) and for a thing (a little).

# %%
# each (4 features, 2)
W_Q = np.array([[0, 0], [0, 0], [3, 1], [0, 0]])  # opinions look for [negation, thing]
W_K = np.array([[0, 1], [1, 0], [0, 0], [0, 0]])  # found as [negation, thing]
W_V = np.array([[0, 2], [-1, 0], [0, 0], [0, 0]])  # hands over [turn, topic]

Q, K, V = X @ W_Q, X @ W_K, X @ W_V  # each (3, 4) @ (4, 2) → (3, 2)
print("query of bad", Q[2], "  key of not", K[1], "  value of not", V[1])

# %% [markdown]
# And this is how *bad* uses them. Its query meets the keys of all words (its own too); one softmax over **all** scores makes shares; the shares
# mix the values.

# %% tags=["hide-input"]
canvas = draw.Canvas()
raw = Q[2] @ K.T
scaled = raw / np.sqrt(2)
share = softmax(scaled)
centers = [60, 130, 200]
columns = {
    "key": 60,
    "score:\nquery · key": 196,
    "÷ √2": 282,
    "softmax": 362,
    "weight": 478,
    "value": 622,
}
for caption, x in columns.items():
    canvas.text(caption, x, 0 if "\n" in caption else 8, size=12)
canvas.text("query of bad: [3, 1]", 196, -34, bold=True)
tall = canvas.place(draw.box("one\nsoftmax\nover all", width=84, height=186), x=320, y=37)
for i, (name, y) in enumerate(zip(words, centers, strict=True)):
    key = canvas.place(draw.box(f"{name}  [{K[i, 0]:g}, {K[i, 1]:g}]", color="orange", width=120), x=0, y=y - 18)
    canvas.text(f"{raw[i]:g}", 196, y)
    canvas.text(f"{scaled[i]:.2f}", 282, y)
    canvas.arrow((124, y), (178, y))
    canvas.arrow((214, y), (258, y))
    canvas.arrow((303, y), (318, y))
    canvas.line((420, y), (420 + 90 * share[i], y), width=16, color="blue")
    canvas.text(f"{share[i]:.2f}", 440 + 90 * share[i], y)
    canvas.text("×", 550, y)
    box = draw.box(f"[{V[i, 0]:g}, {V[i, 1]:g}]", color="green", width=80)
    value = canvas.place(box, x=582, y=y - 18)
total = canvas.place(draw.box("sum [−0.73, 0.36]", color="gray"), x=545, y=252)
canvas.text("+", 622, 165)
canvas.text("+", 622, 95)
canvas.arrow((622, 222), (622, 250))
draw.show(
    canvas,
    alt="A table with one row for each of film, not and bad. The keys give the scores 1, 3 and 0 with the query of "
    "bad, divided by root 2: 0.71, 2.12 and 0. One softmax over all three makes the weights 0.18, 0.73 and 0.09, "
    "shown as bars. They multiply the values [0, 2], [-1, 0] and [0, 0]; the sum is [-0.73, 0.36].",
)

# %% [markdown]
# Now step by step, for all words at once.
#
# **Step 1: scores.** The dot product says how well a query fits a key. One row per query, one column per key. Check the framed
# 3 yourself: $3\cdot 1 + 1\cdot 0$.

# %% tags=["hide-input"]
looked_for = ["negation", "thing"]
flow = draw.row(
    draw.matrix(Q, title="Q (3, 2)", rows=words, columns=looked_for, form="g", highlight=[(2, 0), (2, 1)]),
    "@",
    draw.matrix(
        K.T,
        title="Kᵀ (2, 3)",
        rows=looked_for,
        columns=words,
        form="g",
        color="orange",
        highlight=[(0, 1), (1, 1)],
    ),
    "=",
    draw.matrix(Q @ K.T, title="scores (3, 3)", columns=words, rows=words, form="g", color="gray", highlight=[(2, 1)]),
)
draw.show(
    flow,
    alt="Q times K transposed gives scores: rows of film and not are 0; bad scores 1 with film, 3 with not. The row "
    "of bad in Q, the column of not in K transposed, and their product 3 are framed.",
)

# %% [markdown]
# **Step 2: scale.** Divide all scores by $\sqrt{d_k}$, the root of a key's width. Section 4 shows why.
#
# **Your turn (blank 1).** Write both steps for `q` (n, d_k) and `k` (m, d_k).
# <details><summary>Hint 1</summary>
#
# Each row of `q` must meet each row of `k`. `@` lets rows meet *columns*: what has to happen to `k` first?
# </details>
# <details><summary>Hint 2</summary>
#
# `.T`, `np.sqrt` and `.shape`.
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
weights = softmax(scores)  # (3, 3)
print(weights.round(2))

# %% [markdown]
# **Step 4: mix the values.** Each word receives the average of all values, in the proportions of its row.

# %%
Y = weights @ V  # (3, 3) @ (3, 2) → (3, 2)
print(Y.round(2))

# %% tags=["hide-input"]
handed = ["turn", "topic"]
flow = draw.row(
    draw.matrix(weights, title="weights (3, 3)", rows=words, columns=words, form=".2f", heat=True),
    "@",
    draw.matrix(V, title="V (3, 2)", color="green", form="g", rows=words, columns=handed),
    "=",
    draw.matrix(Y, title="output (3, 2)", form=".2f", color="gray", rows=words, columns=handed, highlight=[(2, 0)]),
)
draw.show(
    flow,
    alt="The weights times the values give the outputs. The output of bad holds -0.73 for 'turn' and 0.36 for 'topic'.",
)

# %% [markdown]
# *bad* now knows that it is turned around ($-0.73$) and that it is about a thing. One
# more matrix ($W_O$, section 7) brings these two numbers back to the width of the word.
# Added to the word's own vector, they let a small network behind it conclude "positive".
# This is the core of attention; the rest of the lesson makes it trainable, safe and fast.
#
# **Turn the knob.** Dividing scores by a *temperature* before the softmax sharpens or
# flattens the weights. Where does *bad* attend to one word only, and where to all nearly
# alike?


# %%
def show_temperature(temperature=1.0):
    shown = softmax(scores / temperature)
    alt = f"Attention weights of bad at temperature {temperature:g}: {shown[2]}"
    draw.show(draw.attention(shown, words, only=2), alt=alt)


widgets.slider(show_temperature, temperature=(0.1, 5.0, 0.1))

# %% [markdown]
# ## 4 · The formula

# %% [markdown]
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
# A softmax of scores that lie **far apart** is nearly 0 or 1, and then it hardly moves
# when a score moves. Take one row of three scores, once as it is and once eight times as
# large. Raise the first score by 0.1 and see how far the weights move.

# %%
row = np.array([0.2, 1.0, -0.5])
step = np.array([0.1, 0.0, 0.0])
for factor in (1, 8):
    before = softmax(factor * row)
    after = softmax(factor * row + step)
    moved = np.abs(after - before).sum()
    print(f"scores × {factor}: weights {before.round(3)}, they move by {moved:.4f}")

# %% [markdown]
# Scores far apart leave little to learn from. And how far apart are they? A dot product
# adds up $d_k$ products. Take queries and keys of independent numbers with mean 0 and
# variance 1. Each product then has mean 0 and variance 1, and variances of independent
# numbers add up: the sum of $d_k$ products has variance $d_k$. Measure it with such
# queries and keys, and with those that come out of `nn.Linear` as PyTorch initializes it.

# %%
g = np.random.default_rng(0)
torch.manual_seed(0)
widths, variances, scaled_variances = [4, 16, 64, 256], [], []
print("        queries and keys of variance 1    from nn.Linear")
print("d_k     variance   after scaling          after scaling")
for d_k in widths:
    query_rows = g.normal(size=(2000, d_k))
    key_rows = g.normal(size=(2000, d_k))
    raw = (query_rows * key_rows).sum(axis=1)  # 2000 dot products
    scaled = raw / np.sqrt(d_k)
    with torch.no_grad():
        inputs = torch.randn(2000, d_k)
        queries, keys = nn.Linear(d_k, d_k)(inputs), nn.Linear(d_k, d_k)(inputs.flip(0))
        initial = ((queries * keys).sum(dim=1) / math.sqrt(d_k)).var().item()
    variances.append(raw.var())
    scaled_variances.append(scaled.var())
    print(f"{d_k:4} {raw.var():10.1f} {scaled.var():13.2f} {initial:24.2f}")

# %%
per_width, after_scaling = variances[2] / 64, np.mean(scaled_variances)
expect_within("variance of a score at d_k = 64, divided by 64", per_width, 1.0, 0.15)
expect_within("variance after scaling, mean of all widths", after_scaling, 1.0, 0.1)

# %% [markdown]
# The variance grows like $d_k$; divided by the root it is the **same for every width**.
# It is 1 for independent numbers with mean 0 and variance 1, and about 0.11 with
# `nn.Linear`, whose outputs start with a variance of about 1/3 (0.14 at width 4, where
# the bias still counts). Either way a wide head starts like a narrow one. It is a
# statement about the start only: training makes queries and keys dependent. How much of
# the softmax's derivative is left without scaling is measured in
# [deeper](attention_deeper.ipynb).

# %% [markdown]
# ## 5 · Masks

# %% [markdown]
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
real = np.array([[1, 1, 1, 0]] * 3 + [[np.nan] * 4])
past = np.vstack([np.tri(3, 4), [[np.nan] * 4]])
look = {"columns": names, "rows": names, "heat": True, "form": ".0f"}
masks = draw.row(
    draw.matrix(real, title="padding", **look),
    "and",
    draw.matrix(past, title="causal", **look),
    "=",
    draw.matrix(real * past, title="both", **look),
    gap=6,
)
draw.show(
    masks,
    alt="Three tables, rows are queries and columns keys, 1 is True. The padding mask closes the column of <pad>. The "
    "causal mask is a lower triangle. Both together: the lower triangle without the last column. The row of <pad> is "
    "left empty.",
)

# %% [markdown]
# Rows are queries, columns are keys, 1 is True. Padding closes a *column*: nobody attends to it. The *row* of `<pad>` is left empty here: it is computed like the
# others, and its output is thrown away.
#
# **Your turn (blank 2).** Write the causal mask of n positions.
# <details><summary>Hint 1</summary>
#
# Row $i$ is True up to and including column $i$. Which half of a square is that?
# </details>
# <details><summary>Hint 2</summary>
#
# `np.tril`, or `np.tri` with `dtype=bool`.
# </details>


# %%
def causal_mask(n):
    """True where query i may attend to key j, that is j ≤ i: bool (n, n)."""
    # BEGIN SOLUTION
    return np.tril(np.ones((n, n), dtype=bool))
    # END SOLUTION


causal_mask = check("attention.blank.2", causal_mask)


# %%
def attention(q, k, v, mask=None):
    """Output (…, n, d_v), weights (…, n, m); mask True = this query may attend here."""
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])  # (…, n, m)
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = softmax(scores)
    return weights @ v, weights


g = np.random.default_rng(1)
x = g.normal(size=(1, 5, 4))  # a batch of one sequence with n = 5, d = 4
_, causal_weights = attention(x, x, x, causal_mask(5))
print(causal_weights[0].round(2))

# %% [markdown]
# The upper triangle is 0 and each row still sums to 1. **The leak test:** change the last
# word; no earlier output may move, not by one bit. Keep this test: in training a
# forgotten causal mask shows up as a suspiciously *good* loss and nothing else. You
# notice only when the model writes bad text, and then it is too late.

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
# Two warnings. A query with **no** open key at all gets NaN from our function (the
# formula says $0/0$; the code already fails at $-\infty - (-\infty)$). It assumes that
# this never happens; what to do if it does, and what the libraries do, is in
# [deeper](attention_deeper.ipynb). And libraries disagree about what True means. No error
# tells you; only wrong numbers do.
#
# | where | argument | True means |
# |---|---|---|
# | this course | `padding_mask` | real |
# | Keras `layers.MultiHeadAttention` | `attention_mask` | may attend |
# | PyTorch `F.scaled_dot_product_attention` | `attn_mask` | may attend |
# | PyTorch `nn.MultiheadAttention` | `key_padding_mask`, `attn_mask` | **ignore** |

# %% [markdown]
# ## 6 · Self-attention and cross-attention

# %% [markdown]
# In **self-attention** queries, keys and values all come from the same sequence: words attend to words of their own sentence. In
# **cross-attention** queries come from one sequence, keys and values from another: a caption's words attend to regions of a picture.

# %% tags=["hide-input"]
canvas = draw.Canvas()
for x0, title, source, target in (
    (0, "self-attention", "words", "words"),
    (390, "cross-attention", "words", "regions"),
):
    canvas.text(title, x0 + 165, -20, size=15)
    layer = canvas.place(draw.box("attention", color="gray", width=110, height=110), x=x0 + 220, y=5)
    for part, y, label in ((source, 32, "Q"), (target, 88, "K, V")):
        color = "blue" if part == "words" else "orange"
        canvas.place(draw.box(part, color=color, width=120), x=x0, y=y - 17)
        canvas.arrow((x0 + 124, y), (x0 + 217, y), label=label)
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

# %% [markdown]
# Which modifier is mine? Which thing am I about? A softmax row has one unit to spend:
# what goes to the modifier is missing for the thing. To ask several questions at once,
# cut the width into $h$ pieces and let each attend by itself:
#
# $$\text{head}_i = \text{Attention}(Q_i, K_i, V_i), \qquad Y = [\text{head}_1; \dots; \text{head}_h]\,W_O$$
#
# $Q_i$ is the $i$-th piece of $Q$: its columns $(i-1)\,d_k + 1$ to $i\,d_k$, with
# $d_k = d/h$; the same for $K_i$ and $V_i$. The semicolons put the heads side by side.
# **Multi-head attention** is several attentions side by side, each with its own
# projections of queries, keys and values; a last matrix $W_O$ of shape $(d, d)$ mixes
# what they found. A **head** is one of them.

# %% tags=["hide-input"]
canvas = draw.Canvas()
source = canvas.place(draw.box("x", note="(n, 32)", color="gray"), x=0, y=78)
heads = [
    canvas.place(draw.box(f"head {i + 1}", note=f"columns {16 * i + 1}–{16 * i + 16}\nof q, k and v"), x=330, y=y)
    for i, y in enumerate((20, 114))
]
for i, name in enumerate(("q_proj", "k_proj", "v_proj")):
    projection = canvas.place(draw.box(name, note="(n, 32)", color="orange"), x=140, y=i * 76)
    canvas.arrow(source.right, projection.left)
    for head in heads:
        canvas.arrow(projection.right, (head.left[0], head.left[1] + 12 * (i - 1)))
joined = canvas.place(draw.box("side by side", note="(n, 32)", color="gray"), right_of=heads, gap=50)
mixing = canvas.place(draw.box("out_proj", note="(n, 32)", color="orange"), right_of=joined, gap=40)
for head in heads:
    canvas.arrow(head.right, joined.left)
canvas.arrow(joined, mixing)
draw.show(
    canvas,
    alt="x goes through three projections. Head 1 takes columns 1 to 16 of queries, keys and values, head 2 columns 17 "
    "to 32. Their outputs are put side by side and go through the output projection.",
)

# %% [markdown]
# In code no loop over heads is needed: they become an axis of the array.
#
# **Your turn (blank 3).** Split (b, n, d) into (b, heads, n, d / heads). A head takes *neighboring* features.
# <details><summary>Hint 1</summary>
#
# Cut only the last axis first: (b, n, heads, d / heads). Which two axes are then in the wrong order?
# </details>
# <details><summary>Hint 2</summary>
#
# `reshape`, then `swapaxes`. (Reshaping straight to the end would mix words with features.)
# </details>


# %%
def split_heads(x, num_heads):
    """(b, n, d) → (b, num_heads, n, d / num_heads); for arrays and tensors."""
    b, n, d = x.shape
    # BEGIN SOLUTION
    pieces = x.reshape(b, n, num_heads, d // num_heads)
    return pieces.swapaxes(1, 2)
    # END SOLUTION


split_heads = check("attention.blank.3", split_heads)

# %% tags=["hide-input"]
canvas = draw.Canvas()
stacks = {}
for i, name in enumerate("qkv"):
    stack = draw.tensor((2, 5, 4), name, color="orange")
    stacks[name] = canvas.place(stack, x=0, y=i * 150)
maps = draw.tensor((2, 5, 5), "weights", axes=("heads", "queries", "keys"))
maps = canvas.place(maps, right_of=[stacks["q"], stacks["k"]], gap=70)
mixed = draw.tensor((2, 5, 4), "weights @ v", axes=("heads", "words", "features"), color="orange")
mixed = canvas.place(mixed, right_of=maps, gap=60, y=66)
joined = draw.tensor((5, 8), "side by side", axes=("words", "features"), color="gray")
joined = canvas.place(joined, right_of=mixed, gap=50)
canvas.arrow(stacks["q"], maps)
canvas.arrow(stacks["k"], maps)
canvas.arrow(maps, mixed)
canvas.arrow(stacks["v"], mixed)
canvas.arrow(mixed, joined)
draw.show(
    canvas,
    alt="Queries and keys, each 2 heads of 5 words and 4 features, give 5 by 5 weights for each head. The values go past the "
    "weights and are mixed by them; the two heads are joined to 5 by 8.",
)

# %% [markdown]
# **Your turn (blank 4).** Scores now have the shape (batch, heads, queries, keys). A padding mask is
# (batch, keys). Give it two axes of length 1, so that broadcasting lays it along the keys.
# <details><summary>Hint 1</summary>
#
# Which two of the four axes does the padding mask not have, and where in the shape are they?
# </details>
# <details><summary>Hint 2</summary>
#
# `None` inside square brackets makes an axis of length 1: `a[:, None]` turns (b, m) into (b, 1, m). It works in NumPy and in PyTorch.
# </details>


# %%
def key_mask(padding_mask):
    """Padding mask (b, m), True = real → (b, 1, 1, m), for scores (b, heads, n, m)."""
    # BEGIN SOLUTION
    return padding_mask[:, None, None, :]
    # END SOLUTION


key_mask = check("attention.blank.4", key_mask)

# %% [markdown]
# **Your turn (blank 5): the layer itself.** Everything is in place. There are two gaps: the four projections in `__init__` (4 lines), and the heart of `forward` (4–6
# lines), where `weights` and `mixed` are made. `context` is the other sequence of cross-attention; without it, attention is self-attention.
# <details><summary>Hint 1</summary>
#
# Each projection is a learned matrix with a bias, from d_model to d_model. In `forward`, do section 3's four steps with `q`, `k` and `v`; where does the mask come in?
# And which width belongs under the root, that of the model or that of a head?
# </details>
# <details><summary>Hint 2</summary>
#
# `nn.Linear`; then `transpose(-1, -2)`, `math.sqrt`, `masked_fill` (it fills where its mask is *True*) and `softmax(dim=...)`.
# </details>


# %%
class MultiHeadAttention(nn.Module):
    """Attention with several heads: x (b, n, d_model) → (b, n, d_model)."""

    def __init__(self, d_model: int, num_heads: int):
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"{num_heads} heads do not divide a width of {d_model}")
        self.num_heads = num_heads
        # BEGIN SOLUTION
        # BLANK: self.q_proj = ...
        # BLANK: self.k_proj = ...
        # BLANK: self.v_proj = ...
        # BLANK: self.out_proj = ...
        # in __init__: four projections
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
        mask = self.make_mask(q, k, padding_mask, causal)  # or None
        # BEGIN SOLUTION
        # BLANK: # your lines here (4–6)
        # BLANK: weights = ...  # (b, heads, n, m)
        # BLANK: mixed = ...  # (b, heads, n, d_k)
        # in forward: score, scale, mask, softmax, mix
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)  # (b, heads, n, m)
        mixed = weights @ v  # (b, heads, n, d_k)
        # END SOLUTION
        joined = mixed.transpose(1, 2).flatten(2)  # undo split_heads: (b, n, d_model)
        y = self.out_proj(joined)
        return (y, weights) if return_weights else y

    def make_mask(self, q, k, padding_mask, causal):
        """True where a query may attend to a key, for scores (b, heads, n, m)."""
        n, m = q.shape[-2], k.shape[-2]
        mask = None if padding_mask is None else key_mask(padding_mask)
        if causal:
            # on the device of q; with m > n the queries are the last n of m positions
            past = torch.ones(n, m, dtype=torch.bool, device=q.device).tril(m - n)
            mask = past if mask is None else mask & past
        return mask


MultiHeadAttention = check("attention.blank.5", MultiHeadAttention)

# %% [markdown]
# You have written the central layer of every transformer. (A model that makes the same
# causal mask again and again keeps it with `register_buffer`, which moves it to the GPU
# together with the weights. Libraries also offer *dropout* on the weights in training;
# ours leaves it out.) Does yours compute what the libraries compute?
#
# ### In PyTorch
# `nn.MultiheadAttention` packs the three projections into one matrix. The folded cell copies your weights into it.

# %% tags=["hide-input"]
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
ignored = ~padding_mask  # True = ignore
future = ~torch.ones(5, 5, dtype=torch.bool).tril()  # True = ignore
ours = mine(batch, padding_mask=padding_mask)
by_torch, _ = theirs(batch, batch, batch, key_padding_mask=ignored)
print("padding, equal:", torch.allclose(ours, by_torch, atol=1e-5))
ours_causal = mine(batch, causal=True)
by_torch, _ = theirs(batch, batch, batch, attn_mask=future)
print("causal,  equal:", torch.allclose(ours_causal, by_torch, atol=1e-5))

# %% [markdown]
# ### In Keras
# `layers.MultiHeadAttention` keeps our sense of the mask. Its kernels have an axis for the heads, and map from left to right
# (`nn.Linear` stores the transpose), which the folded cell takes care of.

# %% tags=["hide-input"]
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
print("padding, equal:", np.allclose(ours.detach(), by_keras, atol=1e-5))
by_keras = layer(inputs, inputs, use_causal_mask=True)
print("causal,  equal:", np.allclose(ours_causal.detach(), by_keras, atol=1e-5))

# %% [markdown]
# In a Keras model you would write it like this, with queries first and the sequence attended to second. `mask_zero=True` makes the padding mask from ids of 0, and
# the layers behind it hand it on by themselves. Do they? The same sentence with and without padding must give the same answer.

# %%
tokens = keras.Input((None,), dtype="int32", name="tokens")
embedded = layers.Embedding(len(VOCABULARY), 32, mask_zero=True)(tokens)
attended = layers.MultiHeadAttention(num_heads=2, key_dim=16)(embedded, embedded)
pooled = layers.GlobalAveragePooling1D()(layers.Add()([embedded, attended]))
model = keras.Model(tokens, layers.Dense(2)(pooled))
print("output", model.output_shape, " parameters", model.count_params())

short, padded = np.array([[3, 4, 5]]), np.array([[3, 4, 5, 0, 0]])
print("as if alone:", np.allclose(model(short), model(padded), atol=1e-5))

# %% [markdown]
# ## 8 · A sense of order

# %% [markdown]
# Shuffle the words. What happens to the outputs of attention?

# %%
order = [3, 0, 4, 1, 2]
for causal in (False, True):
    with torch.no_grad():
        plain = mine(batch, causal=causal)
        shuffled = mine(batch[:, order], causal=causal)
    same = torch.allclose(shuffled, plain[:, order], atol=1e-6)
    print(f"causal={causal!s:5}  the same outputs, shuffled alike: {same}")

# %% [markdown]
# Self-attention **without** a causal mask is **permutation equivariant**, which means that permuted inputs give the same outputs, permuted. Good for sets.
# Fatal for *not bad*: "which *not* is right before me?" cannot even be asked. *With* a causal mask it is not: each word sees a different set of earlier words, and from that
# deep models do learn order (Haviv et al. 2022, arXiv 2203.16634). The usual cure is a **positional encoding**: numbers that tell the
# model where in the sequence a token is. Three kinds are common.
#
# ### Sinusoids
# Vaswani et al. add to the word at position $t$ a vector of pairs of sine and cosine:
#
# $$p_{t,2i} = \sin(\omega_i t), \qquad p_{t,2i+1} = \cos(\omega_i t), \qquad \omega_i = 10000^{-2i/d}$$
#
# Each pair $i = 0, \dots, d/2-1$ is the hand of a clock: $\omega_i$ is its speed, in
# radians per position. The 10000 is the paper's choice; it makes the last hands so slow
# that no two positions of a long text look alike. *Adding* keeps the width at $d$.
# Appending the numbers works as well, and costs width.


# %%
def frequencies(d):
    """Speeds ω of the d / 2 hands, from 1 radian per position to nearly 0."""
    return 10000.0 ** (-np.arange(0, d, 2) / d)


def sinusoids(n, d):
    """Positional encoding (n, d): d / 2 pairs of sine and cosine, from fast to slow."""
    angle = np.arange(n)[:, None] * frequencies(d)  # (n, d / 2)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(n, d)


P = sinusoids(40, 32)

# %% tags=["hide-input"]
fig = plt.figure(figsize=(8.6, 5))
grid = fig.add_gridspec(2, 3, height_ratios=(1.15, 1))
heat = fig.add_subplot(grid[0, :])
shown = heat.imshow(P[:, 0::2].T, aspect="auto", cmap="cividis", vmin=-1, vmax=1)
heat.set(xlabel="position t", ylabel="pair i", title="The sine of each pair: sin(ωᵢ t)")
heat.set_yticks(range(0, 16, 5))
heat.grid(False)
fig.colorbar(shown, ax=heat, label="value", pad=0.02)


def draw_clock(axes, pair, positions, title):
    """Hands at these positions: 12 o'clock is t = 0, and they go clockwise."""
    circle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(np.sin(circle), np.cos(circle), color="#BBBBBB", linewidth=1)
    for t in positions:
        right, up = P[t, 2 * pair], P[t, 2 * pair + 1]  # sine to the right, cosine up
        axes.plot([0, right], [0, up], "-", color=plot.BLUE, linewidth=1.5)
        axes.plot(right, up, "o", color=plot.BLUE, markersize=4)
        if pair < 8:
            axes.annotate(str(t), (1.17 * right, 1.17 * up), ha="center", va="center", fontsize=8)
    axes.set(aspect="equal", xlim=(-1.35, 1.35), ylim=(-1.35, 1.35))
    axes.set_title(title, fontsize=9)
    axes.axis("off")


for column, (pair, speed) in enumerate(((0, "fast"), (3, "middle"), (8, "slow"))):
    clock = fig.add_subplot(grid[1, column])
    omega = frequencies(32)[pair]
    draw_clock(clock, pair, range(6), f"pair {pair}, {speed}:\n{omega:.2g} rad per position")
plot.show(
    fig,
    alt="Above: a heat map of the sines; the first pairs change quickly with the position, the last hardly at all. Below: three "
    "clocks with hands for positions 0 to 5. The fast hand turns by 1 radian per position, the middle one by 0.18, the slow one by 0.01.",
)

# %% [markdown]
# That has a consequence: **an offset is a rotation.** To go one position back, *every* hand turns back by its own fixed angle, no matter where it is.

# %% tags=["hide-input"]
fig, clocks = plt.subplots(1, 2, figsize=(6.4, 2.9))
for axes, t in zip(clocks, (3, 4), strict=True):
    draw_clock(axes, 0, (t, t - 1), f"from t = {t} to t = {t - 1}")
    turn = np.linspace(t - 0.12, t - 0.88, 30)
    axes.plot(0.55 * np.sin(turn), 0.55 * np.cos(turn), color=plot.ORANGE, linewidth=2)
    tip, tail = (0.55 * np.array([np.sin(a), np.cos(a)]) for a in (t - 1, t - 0.85))
    axes.annotate("", tip, tail, arrowprops={"arrowstyle": "-|>", "color": plot.ORANGE, "lw": 2})
    middle = 0.8 * np.array([np.sin(t - 0.5), np.cos(t - 0.5)])
    axes.annotate("R₋₁", middle, ha="center", va="center", color=plot.ORANGE, fontsize=10)
plot.show(
    fig,
    alt="Two clocks with two hands each. Left, the hand at t = 3 is turned back to t = 2 by the rotation R minus 1. "
    "Right, the hand at t = 4 is turned back to t = 3 by the same angle.",
)

# %% [markdown]
# The same matrix $R_k$ moves every position $k$ steps on, because each pair turns by the angle $\omega_i k$:
#
# $$\begin{pmatrix}\sin\omega(t+k)\\ \cos\omega(t+k)\end{pmatrix} =
# \begin{pmatrix}\cos\omega k & \sin\omega k\\ -\sin\omega k & \cos\omega k\end{pmatrix}
# \begin{pmatrix}\sin\omega t\\ \cos\omega t\end{pmatrix}$$
#
# The formula has columns; in our arrays a position is a *row*, so the matrix comes from the right, transposed: `P[t + k] = P[t] @ R.T`.


# %%
def rotation(k, d):
    """R (d, d), made of 2 × 2 rotations: moves every position by k."""
    R = np.zeros((d, d))
    for i, omega in enumerate(frequencies(d)):
        cos, sin = np.cos(omega * k), np.sin(omega * k)
        R[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[cos, sin], [-sin, cos]]
    return R


back = rotation(-1, 32)  # one position back
print("moves every position:", np.allclose(P[1:] @ back.T, P[:-1]))

# %% [markdown]
# So a query *can* say "the word before me": let $W_Q$ hold the rotation. A head of width 16 has room for eight pairs; take the eight fast ones. As in section 4, queries are
# `P @ W_Q` and keys `P @ W_K`. Is the rotation needed? Compare the scores of position 20 with its neighbors.

# %%
eight_pairs = np.eye(32)[:, :16]  # (32, 16): picks the eight fast pairs
choices = {
    "without a rotation": eight_pairs,
    "with R₋₁ in W_Q": back.T @ eight_pairs,
}
for name, W_Q in choices.items():
    query = P[20] @ W_Q  # (32,) @ (32, 16) → (16,)
    keys = P @ eight_pairs  # (40, 32) @ (32, 16) → (40, 16)
    scores = keys @ query  # of position 20 with all 40
    shown = "   ".join(f"{t}: {scores[t]:.2f}" for t in (19, 20, 21))
    print(f"{name:19} best match: {scores.argmax()}   {shown}")

# %% [markdown]
# Without a rotation the word before and the word after score alike, because
# $p_t \cdot p_s$ depends only on the distance, not on the side. The best match is the
# word itself, because all position vectors have the same length. A matrix in $W_Q$ can
# express "before me"; the plain dot product cannot.
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
# **Rotary positional encoding** (RoPE; Su et al. 2021, arXiv 2104.09864) adds nothing to the word: it rotates each query and each key by its own
# position. Most of today's language models use it. Put the *same* query and the *same* key at all positions, once with rotary and once with added sinusoids. Does the score depend on the
# offset alone?


# %%
def rotary(x):
    """Rotate the vector at position t of x (n, d) by t, pair by pair."""
    angle = np.arange(len(x))[:, None] * frequencies(x.shape[1])  # (n, d / 2)
    cos, sin = np.cos(angle), np.sin(angle)
    first, second = x[:, 0::2], x[:, 1::2]
    turned = np.stack([first * cos - second * sin, first * sin + second * cos], axis=-1)
    return turned.reshape(x.shape)


g = np.random.default_rng(2)
query, key = g.normal(size=(2, 32))
queries, keys = np.tile(query, (40, 1)), np.tile(key, (40, 1))  # (40, 32)
ways = {
    "rotary": rotary(queries) @ rotary(keys).T,  # (40, 40)
    "added sinusoids": (queries + P) @ (keys + P).T,
}
for name, scores in ways.items():
    for offset in (-1, 0, 1):
        diagonal = np.diag(scores, offset)  # all pairs with this offset
        low, high = diagonal.min(), diagonal.max()
        print(f"{name:16} key at {offset:+d}: scores from {low:6.2f} to {high:6.2f}")

# %% [markdown]
# With rotary encoding one offset has one score, wherever it is. With added sinusoids words and positions are mixed in the score, and it wanders. (Rotary works on queries and keys within the layer, so it is not among the
# classifiers below.)

# %% [markdown]
# ## 9 · At work

# %% [markdown]
# Back to the cinema, with **your** layer inside the classifier. Here is its core, from the folded cell at the top. By now you know every line.

# %%
print(inspect.getsource(Classifier.forward))

# %% [markdown]
# The sum `residual + y` is a **residual connection**: a word keeps its own vector, and
# attention only adds to it. (`query_ids` and `residual_ids` are for section 10.) Train
# five classifiers, *no positions* and *sinusoids* with five seeds, the others with three.
# Bold marks what a row changes against the row it is compared with (*no positions* with
# *uniform*, *sinusoids* with *no positions*, the last two with *sinusoids*):
#
# | classifier | attention | positions |
# |---|---|---|
# | uniform | all words alike; values and output projected | none |
# | no positions | **learned weights**, two heads | none |
# | sinusoids | two heads | **added, by formula** |
# | learned | two heads | added, **trained** |
# | one head | **one head** | as in *sinusoids* |
#
# Without order, what is the best that is possible? A classifier knows the word itself and
# *how many* times *not* comes. With none or two it is sure. With exactly one, it is a
# coin toss whether that *not* is its own. In the long run that is half of the sentences;
# in our 1,000 sentences we can count. A coin toss on 1,000 sentences can come out a
# little lucky, so a single run may lie slightly above.

# %%
ids, asked, targets = test_data
num_not = (ids == VOCABULARY.index("not")).sum(dim=1)  # (1000,): 0, 1 or 2
one_not = (num_not == 1).float().mean().item()
ceiling = 1 - one_not / 2
print(f"sentences with exactly one “not”: {one_not:.3f}, the ceiling: {ceiling:.3f}")
unordered.compare(0.75)


# %%
class UniformAttention(nn.Module):
    """Bag of words: all real words weigh the same. Values and output as in a layer."""

    def __init__(self, d_model):
        super().__init__()
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)

    def forward(self, x, context, padding_mask, return_weights=True):
        share = padding_mask / padding_mask.sum(dim=1, keepdim=True)  # (b, n)
        weights = share[:, None, None, :].expand(-1, 1, x.shape[1], -1)  # (b, 1, n, n)
        return self.out_proj(weights[:, 0] @ self.v_proj(context)), weights


# %% tags=["free"]
kinds = {  # name: (number of heads, positions)
    "uniform": (0, None),
    "no positions": (2, None),
    "sinusoids": (2, "sinusoids"),
    "learned": (2, "learned"),
    "one head": (1, "sinusoids"),
}
trained, reached = {}, {name: [] for name in kinds}
for name, (num_heads, positions) in kinds.items():
    for seed in range(5 if name in ("no positions", "sinusoids") else 3):
        torch.manual_seed(seed)
        layer = MultiHeadAttention(32, num_heads) if num_heads else UniformAttention(32)
        model = train_classifier(Classifier(layer, positions), train_data, seed=seed)
        trained[name, seed] = model
        reached[name].append(accuracy_of(model, test_data))
    print(f"{name:13}", *(f"{value:.3f}" for value in reached[name]))
positive = targets.float().mean().item()
print(f"majority class {max(positive, 1 - positive):.3f}")

# %% tags=["target"]
ordered, bag = np.mean(reached["sinusoids"]), np.mean(reached["no positions"])
expect_within("accuracy with sinusoids, mean of 5 seeds", ordered, 0.99, 0.01)
missing = ceiling - bag
expect_within("accuracy without positions, below its ceiling by", missing, 0.01, 0.015)

# %% tags=["free", "hide-input"]
summary = {name: mean_and_interval(values) for name, values in reached.items()}
fig = plot.bar_with_ceiling(
    [f"{name} ({len(reached[name])} seeds)" for name in summary],
    [mean for mean, _ in summary.values()],
    [ceiling, ceiling, 1.0, 1.0, 1.0],
    errors=[interval for _, interval in summary.values()],
    title="Which classifier knows what is praise?",
    chance=0.5,
)
plot.show(
    fig,
    alt="Bars with intervals over seeds: uniform and attention without positions stay just below the ceiling without order; "
    "with sinusoids, with learned positions and with one head nearly all answers are right.",
)

# %% [markdown]
# Without order attention is no better than a bag of words: the *means* of both end just
# below the ceiling that we counted; single runs lie on both sides of it. With positions
# the same layer answers nearly every question. (Uniform attention *with* positions was
# not run here, and could not do better in the long run: an average of words with added
# positions does not tell which word was where.) One head is enough *here*, where a word
# has one question to ask; nothing in this task shows what several heads are good for. Now
# look inside: choose the word that attends, and compare the two heads.

# %%
text = "the film was not bad and the music was very dull"
said, _, _, maps = classify(trained["sinusoids", 0], text)  # maps (2 heads, 11, 11)


def show_word(position=4):
    shown = maps[:, position]  # (2, 11)
    picture = draw.matrix(
        shown,
        title=f"What “{said[position]}” (word {position}) attends to",
        rows=["head 1", "head 2"],
        columns=said,
        form=".2f",
        heat=True,
    )
    alt = f"Attention weights of {said[position]!r}, word {position}, in both heads."
    draw.show(picture, alt=alt)


widgets.slider(show_word, position=(0, len(said) - 1))

# %% [markdown]
# ## 10 · Take it apart: is attention an explanation?

# %% [markdown]
# A map is tempting: "the model attended to *not*, therefore it answered so". In this
# little language we know the truth: the **right** answer depends on the feeling word and
# on its own modifier, on nothing else. So do the maps show it? For the first feeling word
# of all test sentences: how much attention goes where, in each head of each seed?

# %% tags=["free"]
first, second = asked[:, 0], asked[:, 1]  # positions of the two feeling words
rows = torch.arange(len(ids))
attended_to = [first, first - 1, second - 1]  # itself, own modifier, other modifier
print("seed  head   itself   own modifier   other modifier   all others   accuracy")
head_shares = []
for seed in range(5):
    with torch.no_grad():
        _, w = trained["sinusoids", seed](ids, asked, return_weights=True)
    row = w[rows, :, first]  # of the first feeling word: (1000, 2 heads, n)
    for head in range(2):
        shares = [row[rows, head, at].mean().item() for at in attended_to]
        head_shares.append(shares)
        itself, own, other = shares
        print(f"{seed:4}  {head + 1:4}   {itself:6.2f}   {own:12.2f}", end="   ")
        print(f"{other:14.2f}   {1 - sum(shares):10.2f}", end="   ")
        print(f"{reached['sinusoids'][seed]:8.3f}")

# %% tags=["free"]
head_shares = np.array(head_shares)  # (10 heads, 3)
misled = head_shares[:, 2] > head_shares[:, 1]
print(f"heads that give the other modifier more than the own one: {misled.sum()} of 10")
print(f"attention to itself, mean of all heads: {head_shares[:, 0].mean():.2f}")

# %% [markdown]
# The classifiers answer alike; their maps do not look alike. In our run one head of ten
# gives most of its attention to *the wrong modifier*, and three give most of theirs to
# words that decide nothing (a row must spend its unit somewhere). No answer suffers. An
# average over heads or seeds would have hidden it.
#
# To find out what an answer **depends on**, intervene: exchange one word and see whether
# the answer changes. The exchange must leave a sentence that could have been in the data,
# or else you measure how the model reacts to nonsense. So swap a word for **another of
# its kind**: a thing for a thing, *not* for *very*. **The rule, stated beforehand:** for
# each kind of word, in all 1,000 test sentences and five seeds, compare the attention
# weight (the mean of both heads) with the share of answers that change. (The mean
# suffices for the question here: no weight is negative, so where the mean of two heads is
# small, both are.)


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


swaps = {
    "itself, by its opposite": (first, opposite),
    "itself, by the same side": (first, same_side),
    "its own modifier": (first - 1, lambda word: MODIFIERS),
    "its own thing": (first - 3, lambda word: THINGS),
    "the other modifier": (second - 1, lambda word: MODIFIERS),
    "the other feeling word": (second, opposite),
}
swapped = {}
for name, (at, kind) in swaps.items():
    swapped[name] = swap(ids, at, kind, np.random.default_rng(7))


def changed_answers(model, new_ids, **others):
    """Share of answers about the first feeling word that are not those for `ids`."""
    with torch.no_grad():
        before = model(ids, asked)[:, 0].argmax(-1)
        after = model(new_ids, asked, **others)[:, 0].argmax(-1)
    return (before != after).float().mean().item()


# %% tags=["free"]
weight = {name: [] for name in swaps}
effect = {name: [] for name in swaps}
for seed in range(5):
    model = trained["sinusoids", seed]
    with torch.no_grad():
        _, w = model(ids, asked, return_weights=True)
    row = w.mean(dim=1)[rows, first]  # (b, n), mean of both heads
    for name, (at, _) in swaps.items():
        weight[name].append(row[rows, at].mean().item())
        effect[name].append(changed_answers(model, swapped[name]))

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
# The feeling word gives *itself* a few percent, and swapping it for its opposite changes practically every answer. The other modifier gets up to nearly half of the
# attention, depending on the seed, and changes nothing. Two swaps are controls: another word of the same side and another thing *should* not matter, and they do not. So it is not the swapping as such that changes answers.
#
# ### Which way does it go?
# The feeling word can reach the answer along three paths: the **residual** connection;
# its **query**, which decides what it attends to; or **keys and values**, when words
# attend to it. The weight of *bad* on *bad* speaks only of the third. Which is it, do you
# think? Record a guess.

# %%
path_guess = widgets.guess(
    "On which path does the feeling word itself reach the answer?",
    ["residual", "query", "keys and values"],
)

# %% [markdown]
# Test it: swap the word on *one* path and leave it as it was on the other two. Following a change along one path at a time is called **path patching**.

# %% tags=["free"]
print(f"{'swapped on one path only':26} residual   query   keys and values")
paths = {}
for name in ("itself, by its opposite", "its own modifier"):
    new = swapped[name]
    patches = {
        "residual": {"new_ids": ids, "residual_ids": new},
        "query": {"new_ids": ids, "query_ids": new},
        "keys and values": {"new_ids": new, "query_ids": ids, "residual_ids": ids},
    }
    for path, patch in patches.items():
        found = [changed_answers(trained["sinusoids", s], **patch) for s in range(5)]
        paths[name, path] = np.mean(found)
    residual, query, values = (paths[name, path] for path in patches)
    print(f"{name:26} {residual:8.3f} {query:7.3f} {values:17.3f}")
print("(share of answers that change, mean of 5 seeds)")

# %%
path_guess.compare("query")
by_query = paths["itself, by its opposite", "query"]
by_residual = paths["itself, by its opposite", "residual"]
by_values = paths["its own modifier", "keys and values"]
expect_within("feeling word, by its query alone", by_query, 0.92, 0.1)
expect_within("feeling word, by the residual connection alone", by_residual, 0.03, 0.1)
expect_within("modifier, by keys and values alone", by_values, 0.99, 0.02)

# %% [markdown]
# The obvious story, that the word walks past the attention through the residual connection, is wrong here: on that path alone next to nothing changes. The modifier is *read*, through keys and
# values, as the map suggests. But the feeling word works through its **query**: a good word and a bad word attend differently, and so receive something else. See how much each gives to its own
# modifier:

# %% tags=["free"]
good_ids = torch.tensor([VOCABULARY.index(word) for word in GOOD])
is_good = torch.isin(ids[rows, first], good_ids)  # (1000,)
print("attention to the own modifier, by the first feeling word")
print("seed   head 1: good   bad   head 2: good   bad")
for seed in range(5):
    with torch.no_grad():
        _, w = trained["sinusoids", seed](ids, asked, return_weights=True)
    own = w[rows, :, first, first - 1]  # (1000, 2 heads)
    of_good, of_bad = own[is_good].mean(dim=0), own[~is_good].mean(dim=0)
    heads = "   ".join(f"{of_good[h]:12.2f}  {of_bad[h]:.2f}" for h in range(2))
    print(f"{seed:4}   {heads}")

# %% [markdown]
# In some seeds it is plain to see: a head takes the modifier for one side only. In the
# others this column shows little, and the patch finds it all the same. No single map
# could: it tells **in which shares values were mixed**, for this sentence, and not how
# large they were; it does not show what the answer depends on, and least of all why the
# word attends where it does.
#
# ### Why not just delete the word?
# It is the first idea of many papers. Deleting makes sentences that the data never had. Hide
# the same words as if they were padding, and compare.

# %% tags=["free"]
print(f"{'the word':22} answers that change: swapped   hidden")
three = ["itself, by its opposite", "its own modifier", "its own thing"]
for name in [*three, "the other modifier"]:
    at, _ = swaps[name]
    hidden = ids.clone()
    hidden[rows, at] = 0
    found = [changed_answers(trained["sinusoids", seed], hidden) for seed in range(5)]
    label = name.split(",")[0]
    print(f"{label:22} {np.mean(effect[name]):28.3f} {np.mean(found):8.3f}")
    if name == "its own modifier":
        hiding = np.mean(found)
expect_within("answers changed by hiding the modifier", hiding, 0.5, 0.08)

# %% [markdown]
# Hiding the modifier changes about half of the answers, not all: the model still has to say something about a sentence of a kind that it never saw, and half of the
# time it happens to say the same. Read as an importance, that number would be wrong by a factor of two *in this task*; in another it may be off by more or less. (Where the feeling word itself is
# hidden, the network even gets the vector of `<pad>`, which is masked in every training sentence and so never learned anything.)
#
# What may you say, then? Jain and Wallace (2019, arXiv 1902.10186) built different maps
# with the same predictions; Wiegreffe and Pinter (2019, arXiv 1908.04626) answer that
# trained maps still carry information. Something of both is seen here: the right modifier
# gets more than the wrong one in most heads, and equally good classifiers have very
# different maps. (That is weaker than exchanging the map within one model, as Jain and
# Wallace did.) A map is a good place to look for an idea, and an intervention is how to
# test it.

# %% [markdown]
# ## 11 · What it costs

# %% [markdown]
# Every query meets every key: $n^2$ scores. Let a counter count the multiplications and additions of your layer.

# %%
from torch.utils.flop_counter import FlopCounterMode


def counted_work(layer, n, d):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.randn(1, n, d))
    return counter.get_total_flops()


d = 128
print("   n       counted   8nd² + 4n²d   share of the n² part   next doubling costs")
for n in (64, 256, 1024, 2048):
    work = counted_work(MultiHeadAttention(d, 4), n, d)
    formula = 8 * n * d**2 + 4 * n**2 * d
    share = 4 * n**2 * d / formula
    twice = (16 * n * d**2 + 16 * n**2 * d) / formula
    print(f"{n:4}   {work:11,}   {formula:11,}   {share:20.0%}   {twice:18.2f}×")
    assert work == formula

# %% [markdown]
# Four projections cost $8nd^2$, the scores and the mixing $4n^2d$. They are equal at $n = 2d = 256$. There, twice the length costs three times the work, and from there on the factor
# approaches four. And the number of heads?

# %%
print("heads   parameters         work   numbers in the maps")
for num_heads in (1, 2, 4):
    layer = MultiHeadAttention(d, num_heads)
    parameters = sum(p.numel() for p in layer.parameters())
    work = counted_work(layer, 256, d)
    print(f"{num_heads:5}   {parameters:10,}   {work:10,}   {num_heads * 256**2:19,}")

# %% [markdown]
# Heads share the width, so they change neither parameters nor the multiplications counted
# here (the counter leaves out the softmax); only the maps multiply, one per head. How
# maps are avoided, and what memory and time come to, is in
# [deeper](attention_deeper.ipynb).

# %% [markdown]
# ## 12 · At full size

# %% [markdown]
# Does one layer help with sentences that people wrote? A stored run on 10,662 sentences of film reviews (Pang and Lee 2005) says: not yet.

# %%
from mmcourse.datasets import results

stored = results("attention")
average = np.array(stored["average of word vectors"])  # (5 seeds, 3)
attended = np.array(stored["self-attention"])
print(f"stored run of {stored['date']}, {stored['num_test']} test sentences, 5 seeds")
for name, runs in (("average of word vectors", average), ("self-attention", attended)):
    print(f"{name:24} accuracy {runs[:, 0].mean():.3f}")
gain, interval = mean_and_interval(attended[:, 0] - average[:, 0])
print(f"attention minus average: {gain:+.3f} ± {interval:.3f}")

# %% [markdown]
# That order *can* be used does not mean that one layer learns from a few thousand
# sentences how people use it. Which of the two is to blame, the one layer or the few
# sentences, this run does not say. The whole table, and what it can and cannot say, is in
# [deeper](attention_deeper.ipynb). Lesson [bert](bert.ipynb) starts from a model that has
# read far more: 12 layers of 12 heads, among which Clark et al. (2019, arXiv 1906.04341)
# found heads that attend to the word before.

# %% [markdown]
# ## 13 · What to remember

# %% [markdown]
# - Attention is a soft look-up: score queries against keys, softmax each row, average the values.
# - Dividing by $\sqrt{d_k}$ makes the variance of scores independent of the width, at the start of training.
# - Mask before the softmax. True means *real* here and in Keras, *ignore* in `nn.MultiheadAttention`.
# - Self-attention without a causal mask and without positional encoding is a bag of words. With sinusoids, an offset is a rotation.
# - A map shows in which shares values were mixed, not how large they were, and not what
#   the answer depends on. Swap words of a kind to find out.

# %% [markdown]
# ## 14 · Check yourself

# %% [markdown]
# <details><summary>1. What are the shapes of scores and output for 7 queries and 9 keys, d_k = 16, d_v = 5?</summary>
#
# Scores (7, 9), each row a softmax over the 9 keys; output (7, 5).
# </details>
# <details><summary>2. You forget to divide by √d_k, a head is 64 wide, and queries and keys are independent, with mean 0 and variance 1. What changes at the start of training?</summary>
#
# Scores have a standard deviation of 8 instead of 1, so many rows are close to one-hot at random, and the softmax hardly reacts. (With `nn.Linear`'s first weights the variance of q and k is 1/3, and the standard deviation only 8/3.)
# </details>
# <details><summary>3. Why not mask by setting weights to 0 after the softmax?</summary>
#
# Rows no longer sum to 1. Dividing by the sum again mends that on paper; but if a score in the padding is huge, the weights of the real words have already become 0 by rounding, and nothing is left to divide.
# </details>
# <details><summary>4. Your training loss falls far below what seems possible. Which test do you run first?</summary>
#
# The leak test: change a later word and see whether an earlier output moves.
# </details>
# <details><summary>5. Positions are added as sinusoids. Why can a dot product of two of them not say “before me”?</summary>
#
# It depends only on the distance: one step before and one step after give the same score.
# A learned matrix with a rotation in it makes the difference.
# </details>
# <details><summary>6. A head puts 0.8 on a full stop. Is the full stop important?</summary>
#
# Not by that alone. Exchange it for another mark that could be there, and see whether answers change.
# </details>

# %% [markdown]
# ## 15 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/attention.ipynb): additive attention, masks that hold in every
# corner case, what each word contributes, cross-attention as a PyTorch module, and an
# encoder in Keras whose masks are wrong.
#
# **Where next:** [attention, deeper](attention_deeper.ipynb) for gradients, framework traps, memory and time; then
# [transformers](transformers.ipynb), which stack this layer. For long texts, look up *grouped-query attention* and the *KV cache*, *ALiBi*, and *sliding-window attention*; lesson
# *language_model* uses the first two. **Back to:** [rnn](rnn.ipynb), which carries the past in one vector instead.
#
# ## Sources
# Bahdanau et al. 2014, arXiv 1409.0473 · Vaswani et al. 2017, *Attention is all you need*, arXiv 1706.03762 · Su et al. 2021, *RoFormer*, arXiv 2104.09864 · Haviv et al. 2022, arXiv 2203.16634 · Pang
# and Lee 2005, *Seeing stars* (the reviews) · Clark et al. 2019, arXiv 1906.04341 · Jain and Wallace 2019, arXiv 1902.10186 · Wiegreffe and Pinter 2019, arXiv
# 1908.04626. Widely read explanations: *Dive into Deep Learning*, chapter 11; Raschka, *Build a Large Language Model (From Scratch)*, chapter 3.
