# %% [markdown]
# # Word vectors
# *In an hour you will have taught a program that scarlet is a red, from nothing but 6,000 captions.*
#
# {{budget}}
#
# **You will be able to**
# - cut English and Chinese into subwords by byte-pair encoding, and say why no word is unknown then;
# - derive the gradients of skip-gram with negative sampling, and check them;
# - train word vectors in NumPy and in PyTorch;
# - read neighbors and analogies, and say when they are luck;
# - say what the vectors know: counts, squeezed.
#
# **Before this:** [Text](text.ipynb).
#
# **Time to read:** 40 minutes, then 7 for the [exercise](exercises/word_vectors.ipynb).

# %%
from collections import Counter

import numpy as np

from mmcourse import plot
from mmcourse.datasets import load
from mmcourse.evaluate import expect_within
from mmcourse.preprocess import text

scenes = load("scenes", "train")
captions, chinese = list(scenes.column("words")), list(scenes.meta["caption_zh"])
len(captions)

# %% [markdown]
# ## 1 · The question
# `scenes` holds drawings of colored shapes, each with a caption in English and, in words of its own, one in
# Chinese. Here are three short ones.

# %%
short = sorted(range(300), key=lambda i: len(captions[i]))[:3]
for i in short:
    print(captions[i], "|", chinese[i])

# %% [markdown]
# Take the pictures away. A program sees the captions only, as strings, and nobody tells it what a color is.
# **Predict:** can it find out that *scarlet* is to *red* as *azure* is to *blue*? What in the captions could tell it?
#
# ## 2 · The idea by hand
# ### Byte-pair encoding: words from pieces
# A list of whole words has no place for "redder" or "starfish". **Byte-pair encoding** (Sennrich et al. 2016) starts from single characters and
# joins the commonest pair of neighbors, again and again.

# %%
words = Counter({"red": 5, "redder": 2, "bed": 3, "reddish": 1})


def pairs_of(spelled):
    """How often two pieces are neighbors, a word counted as often as it occurs."""
    found = Counter()
    for pieces, count in spelled.items():
        for pair in zip(pieces, pieces[1:], strict=False):
            found[pair] += count
    return found


spelled = {tuple(word): count for word, count in words.items()}
pairs_of(spelled).most_common(3)

# %% [markdown]
# *ed* comes 11 times: join it wherever it occurs, and count again. `merge` replaces a pair in one word.

# %%
from mmcourse.preprocess import bpe

for _ in range(3):
    ((a, b), times) = pairs_of(spelled).most_common(1)[0]
    spelled = {bpe.merge_pair(pieces, (a, b), a + b): count for pieces, count in spelled.items()}
    print(f"{a} + {b}, {times} times:", [" ".join(pieces) for pieces in spelled])

# %% [markdown]
# After three steps *red* is one piece and *reddish* is *redd i s h*: a new word of known characters is not unknown, only cut finer. The list of joins *is* the
# tokenizer. (After NFKC we merge characters; large models merge bytes, where not even a new emoji is unknown.)
#
# ## 3 · The formula
# ### Skip-gram: a word is the company it keeps
# In a bag, *red* and *scarlet* are as different as *red* and *the*. Give each word a vector instead and let it *guess its neighbors*. For
# "a tiny red star", within a window of two:

# %%
from mmcourse.preprocess import word2vec

sentence = "a tiny red star".split()
centers, contexts = word2vec.skip_gram_pairs([range(4)], window=2)
print([f"{sentence[c]}→{sentence[o]}" for c, o in zip(centers, contexts, strict=True)])

# %% [markdown]
# Each word has two vectors, $v$ as center and $u$ as context. For each true pair draw $K$ random words, the **negatives**, and learn to tell
# them apart (Mikolov et al. 2013). $u^\top v$ multiplies the two vectors number by number and adds up; $\sigma(x) = 1/(1 + e^{-x})$
# makes a probability of it; $\partial\ell/\partial v$ is the gradient: how the loss moves when $v$ does.
#
# $$\ell = -\log\sigma(u_o^\top v) - \sum_{k=1}^{K}\log\sigma(-u_k^\top v), \qquad k \sim P(w) \propto \text{count}(w)^{3/4}$$
#
# $$\frac{\partial\ell}{\partial v} = (\sigma(u_o^\top v) - 1)\,u_o + \sum_k \sigma(u_k^\top v)\,u_k$$
#
# The gradient of each $u$ is its own factor, $\sigma - 1$ for the true word and $\sigma$ for a negative, times $v$.


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def loss_and_gradients(v, u):
    """v (b, d): centers. u (b, 1 + K, d): the true context, then K negatives. Mean loss, its gradients."""
    true = np.array([1] + [0] * (u.shape[1] - 1))
    guess = sigmoid(np.einsum("bd,bkd->bk", v, u))  # (b, 1 + K)
    loss = -np.log(np.where(true, guess, 1 - guess)).sum(axis=1).mean()
    d_score = (guess - true) / len(v)  # (b, 1 + K)
    return loss, np.einsum("bk,bkd->bd", d_score, u), d_score[..., None] * v[:, None]


# %% [markdown]
# Is it right? Three tests. Move one number a little: the loss must move as the gradient says. The package's function, safe for large
# numbers, must agree. And while all $u$ are zero, each of the $1 + K$ guesses is a coin toss: the loss must be $(1 + K)\ln 2$.

# %%
rng = np.random.default_rng(0)
v, u = rng.normal(size=(4, 8)), rng.normal(size=(4, 6, 8))
loss, dv, du = loss_and_gradients(v, u)
change = np.zeros_like(v)
change[2, 3] = 1e-6
difference = (loss_and_gradients(v + change, u)[0] - loss_and_gradients(v - change, u)[0]) / 2e-6
assert abs(difference - dv[2, 3]) < 1e-8
assert all(map(np.allclose, (loss, dv, du), word2vec.loss_and_gradients(v, u)))
print(f"first loss {loss_and_gradients(v, 0 * u)[0]:.3f}, 6 ln 2 = {6 * np.log(2):.3f}")

# %% [markdown]
# ## 4 · The same with a library
# **tokenizers**, the library behind many language models, learns byte pairs too. Train both on all 6,000 captions. A "▁" marks where a word begins,
# so that pieces can be joined again.

# %%
import json

from tokenizers import Tokenizer, models, trainers

lines = [" ".join(text.tokenize(text.normalize(line))) for line in captions]
ours = bpe.BPETokenizer.train(lines, vocab_size=150)
library = Tokenizer(models.BPE())
every = [word for line in lines for word in bpe.split_words(line)]
library.train_from_iterator(every, trainers.BpeTrainer(vocab_size=150, show_progress=False))
merges = [tuple(pair) for pair in json.loads(library.to_str())["model"]["merges"]]
assert merges == ours.merges
print(f"{len(merges)} merges, all equal; the first five: {merges[:5]}")
print(ours.tokenize("a reddish starfish"))

# %% [markdown]
# **PyTorch** finds the gradient by itself. The skip-gram model is two tables and the loss from section 3; same vectors, same gradients.

# %%
import torch
from torch import nn
from torch.nn.functional import logsigmoid


class SkipGram(nn.Module):
    def __init__(self, n_words, dim):
        super().__init__()
        self.center, self.context = nn.Embedding(n_words, dim), nn.Embedding(n_words, dim)
        nn.init.uniform_(self.center.weight, -0.5 / dim, 0.5 / dim)
        nn.init.zeros_(self.context.weight)

    def forward(self, centers, targets):  # (b,), (b, 1 + K)
        score = torch.einsum("bd,bkd->bk", self.center(centers), self.context(targets))
        return -(logsigmoid(score[:, 0]) + logsigmoid(-score[:, 1:]).sum(dim=1)).mean()


# %%
pair = SkipGram(24, 8).double()
pair.center.weight.data[:4] = torch.tensor(v)
pair.context.weight.data[:] = torch.tensor(u).reshape(24, 8)
pair(torch.arange(4), torch.arange(24).reshape(4, 6)).backward()
assert np.allclose(pair.center.weight.grad[:4], dv) and np.allclose(pair.context.weight.grad, du.reshape(24, 8))
print("PyTorch's gradient equals the one by hand")

# %% [markdown]
# ## 5 · At work
# ### From captions to ids
# Each word gets an id, as in the lesson [Text](text.ipynb).

# %%
from mmcourse.datasets.scenes.captions import tokens

sentences = [tokens(caption) for caption in captions]  # lower case, no punctuation
vocabulary = text.Vocabulary.build(sentences)
print(f"{len(vocabulary)} tokens in all")

# %% [markdown]
# ### Word vectors from captions
# Now train, on all captions. The loop is plain gradient descent with a step that shrinks to zero; a word that occurs in many pairs moves by the sum of their gradients.

# %%
encoded = [[vocabulary.id(word) for word in words] for words in sentences]
centers, contexts = word2vec.skip_gram_pairs(encoded, window=2)
noise = word2vec.noise_distribution(contexts, len(vocabulary))
print(f"{len(centers):,} pairs, {len(vocabulary)} words")

# %% tags=["free"]
from tqdm.auto import tqdm


def train(centers, contexts, noise, rng, dim=32, epochs=8, batch_size=256, lr=0.05, negatives=5):
    V, U = rng.uniform(-0.5 / dim, 0.5 / dim, (len(noise), dim)), np.zeros((len(noise), dim))
    losses = []
    n_batches = max(len(centers) // batch_size, 1)
    for epoch in tqdm(range(epochs)):
        total = 0.0
        for i, batch in enumerate(np.array_split(rng.permutation(len(centers)), n_batches)):
            step = lr * (1 - (epoch + i / n_batches) / epochs) * len(batch)
            others = rng.choice(len(noise), (len(batch), negatives), p=noise)
            targets = np.concatenate([contexts[batch, None], others], axis=1)  # (b, 1 + K)
            loss, dv, du = loss_and_gradients(V[centers[batch]], U[targets])
            np.add.at(V, centers[batch], -step * dv)  # add.at: a word may occur twice in a batch
            np.add.at(U, targets, -step * du)
            total += loss * len(batch)
        losses.append(total / len(centers))
    return V, U, losses


vectors, context_vectors, losses = train(centers, contexts, noise, np.random.default_rng(0))

# %% [markdown]
# The package has this loop as `word2vec.train`. Same seed, same vectors:

# %% tags=["free"]
few = encoded[:300]
c, o = word2vec.skip_gram_pairs(few)
mine = train(c, o, word2vec.noise_distribution(o, len(vocabulary)), np.random.default_rng(1), epochs=1)[0]
packaged = word2vec.train(few, len(vocabulary), np.random.default_rng(1), 32, epochs=1, batch_size=256, lr=0.05)[0]
assert np.allclose(mine, packaged)
print("equal")

# %% [markdown]
# And PyTorch, twice: other seeds, larger batches, and Adam, which adapts the step of each number.


# %% tags=["free"]
def train_torch(seed, epochs=5, batch_size=1024, lr=0.02):
    torch.manual_seed(seed)
    model, history = SkipGram(len(vocabulary), 32), []
    adam = torch.optim.Adam(model.parameters(), lr)
    center, context, chances = torch.tensor(centers), torch.tensor(contexts), torch.tensor(noise)
    for epoch in tqdm(range(epochs)):
        others = torch.multinomial(chances, len(center) * 5, replacement=True).view(-1, 5)
        total, batches = 0.0, torch.randperm(len(center)).split(batch_size)
        for i, batch in enumerate(batches):
            adam.param_groups[0]["lr"] = lr * (1 - (epoch + i / len(batches)) / epochs)
            loss = model(center[batch], torch.cat([context[batch, None], others[batch]], dim=1))
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(batch)
        history.append(total / len(center))
    return model.center.weight.detach().double().numpy(), history


runs = [train_torch(seed) for seed in range(2)]

# %%
both = {"NumPy": losses, "PyTorch": [history for _, history in runs]}
fig = plot.curves(both, title="Do both learn the same thing?", levels={"knows nothing": 6 * np.log(2)})
plot.show(fig, alt="Both losses fall from about 2.5 to 2.1; a model that knows nothing has 4.16.")
expect_within("last loss, NumPy", losses[-1], 2.10, 0.03)
expect_within("last loss, PyTorch", np.mean([history[-1] for _, history in runs]), 2.10, 0.03)

# %% [markdown]
# **Neighbors** are the words whose vectors point the same way: the cosine of their angle is near 1 (0 at right angles).


# %% tags=["free"]
def near(word, k=5, table=vectors):
    return [vocabulary.tokens[i] for i, _ in word2vec.most_similar(table, vocabulary.id(word), k)]


for word in ("red", "star", "huge", "above", "striped"):
    print(f"{word:8}", *near(word))

# %% [markdown]
# Nobody said what a color is. Count it: of the five nearest to each color, how many are colors?

# %%
synonym = {"red": "scarlet", "orange": "amber", "yellow": "golden", "green": "emerald"}
synonym |= {"blue": "azure", "purple": "violet"}
colors = {*synonym, *synonym.values(), "white", "black"}
pure = [np.mean([w in colors for c in colors for w in near(c, table=t)]) for t in (vectors, *(r[0] for r in runs))]
expect_within("share of colors among the neighbors of colors", np.mean(pure), 0.99, 0.01)
expect_within("the same by chance", (len(colors) - 1) / (len(vocabulary) - 3), 0.14, 0.01)

# %% [markdown]
# See it. The two directions in which 32-dimensional vectors differ most make a flat map.

# %%
import matplotlib.pyplot as plt

kinds = {
    "colors": sorted(colors),
    "shapes": "circle disc square box triangle diamond rhombus star cross".split(),
    "sizes": "small little tiny large big huge".split(),
    "backgrounds": "plain striped checked dotted shaded".split(),
    "above, below, …": "above over below under beneath".split(),
    "left, right": ["left", "right"],
}
unit = np.stack([vectors[vocabulary.id(word)] for group in kinds.values() for word in group])
unit /= np.linalg.norm(unit, axis=1, keepdims=True)
middle = unit.mean(axis=0)
flat = (unit - middle) @ np.linalg.svd(unit - middle)[2][:2].T  # (n, 32) → (n, 2)
fig, ax = plt.subplots(figsize=(7, 4.6))
places = np.split(flat, np.cumsum([len(group) for group in kinds.values()])[:-1])
for kind, place, color in zip(kinds, places, plot.COLORS, strict=False):
    ax.scatter(*place.T, color=color, s=30, alpha=0.8)
    top = (place[:, 0].mean(), place[:, 1].max())
    ax.annotate(kind, top, (0, 8), textcoords="offset points", color=color, ha="center")
ax.margins(0.12)
ax.set(xlabel="first direction", ylabel="second direction")
fig.suptitle("Which words keep the same company?", x=0.01, ha="left", fontweight="bold")
plot.show(fig, alt="A map of words in which colors, shapes, sizes, backgrounds and places form separate groups.")

# %% [markdown]
# ### Analogies
# *Red is to scarlet as blue is to …?* Walk from red to scarlet, start the same walk at blue, and take the nearest word that is none of these three: $v_\text{scarlet} - v_\text{red} + v_\text{blue}$.


# %%
def analogy(a, b, c, table=vectors):
    return vocabulary.tokens[word2vec.analogy(table, *map(vocabulary.id, (a, b, c)))[0][0]]


for a, b, c in (("red", "scarlet", "blue"), ("blue", "azure", "purple"), ("circle", "disc", "square")):
    print(a, "is to", b, "as", c, "is to", analogy(a, b, c))

# %% [markdown]
# Three good ones prove little. Here are all thirty with colors, for the NumPy vectors and both PyTorch runs. A program that knew only
# "some fancy name" would be right once in five.


# %% tags=["target"]
def share_right(table):
    return np.mean([analogy(a, synonym[a], c, table) == synonym[c] for a in synonym for c in synonym if a != c])


expect_within("analogies right, NumPy", share_right(vectors), 0.94, 0.06)
expect_within("analogies right, PyTorch, mean of two seeds", np.mean([share_right(t) for t, _ in runs]), 0.94, 0.06)

# %% [markdown]
# Are the walks parallel? The sideways axis is their mean direction; upwards is what else tells the plain colors apart most.

# %%
plain, fancy = (np.stack([vectors[vocabulary.id(w)] for w in some]) for some in (synonym, synonym.values()))
walk = (fancy - plain).mean(axis=0)
walk /= np.linalg.norm(walk)
rest = plain - plain.mean(axis=0)
rest -= np.outer(rest @ walk, walk)
axes = np.stack([walk, np.linalg.svd(rest)[2][0]], axis=1)  # (32, 2)
fig, ax = plt.subplots(figsize=(7, 3.6))
for (name, other), start, end in zip(synonym.items(), plain @ axes, fancy @ axes, strict=True):
    ax.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": plot.BLUE})
    ax.annotate(name, start, (-5, 0), textcoords="offset points", ha="right", va="center")
    ax.annotate(other, end, (5, 0), textcoords="offset points", va="center")
ax.update_datalim(np.concatenate([plain, fancy]) @ axes)
ax.margins(0.15)
ax.set(xlabel="along the mean walk", ylabel="across it")
fig.suptitle("Is every walk from plain to fancy the same?", x=0.01, ha="left", fontweight="bold")
plot.show(fig, alt="Six arrows from red to scarlet, blue to azure and so on, all pointing to the right.")

# %% [markdown]
# Nearly, so one walk does for all.
#
# *How* can it know that scarlet is red? Count which color comes directly before which shape. (*Circle*, *square* and *diamond* share
# their counts with *disc*, *box* and *rhombus*.)

# %%
rows = [w for pair in synonym.items() for w in pair]
shapes = ["circle", "square", "triangle", "diamond", "star", "cross"]
met = Counter(pair for words in sentences for pair in zip(words, words[1:], strict=False))
together = np.array([[met[color, shape] for shape in shapes] for color in rows])
fig = plot.matrix(together, "Which color never meets which shape?", rows, shapes)
plot.show(fig, alt="Counts of colors before shapes: red and scarlet never meet star, and so on.")

# %% [markdown]
# This world was made without red stars (so that later lessons can ask for one). So there are no scarlet stars either: red and scarlet
# are shunned by the same company, and that hole is their signature (for orange and amber, having none). The step from plain to fancy name is shared too: only plain names follow *in*, as in "a small star in blue".

# %%
after_in = Counter(b for (a, b), n in met.items() for _ in range(n) if a == "in")
assert all(together[rows.index(w), shapes.index("star")] == 0 for w in ("red", "scarlet"))
assert all(after_in[plain] > 0 == after_in[fancy] for plain, fancy in synonym.items())
print({word: after_in[word] for word in ("red", "scarlet", "blue", "azure")})

# %% [markdown]
# ### What the vectors know
# Levy and Goldberg (2014) showed where this loss leads, given room: $u_o^\top v_c$ becomes the log of how much more often the pair occurs than the noise would make it,
# $\log\frac{p(o \mid c)}{K\,P(o)}$. Check it on all pairs seen 20 times or more.

# %%
n = len(vocabulary)
seen = np.bincount(centers * n + contexts, minlength=n * n).reshape(n, n)
often = seen >= 20
c, o = np.nonzero(often)
theory = np.log(seen[c, o] / seen.sum(axis=1)[c] / (5 * noise[o]))
learned = (vectors @ context_vectors.T)[c, o]
fig, ax = plt.subplots(figsize=(5.2, 4))
ax.scatter(theory, learned, s=6, alpha=0.4, color=plot.BLUE)
ax.axline((0, 0), slope=1, color=plot.GRAY, linestyle=":")
ax.set(xlabel="counted: log [p(o|c) / (5 P(o))]", ylabel="learned: u · v")
fig.suptitle("Do the vectors know more than counts?", x=0.01, ha="left", fontweight="bold")
plot.show(fig, alt="A cloud of points close to the diagonal: what skip-gram learns is nearly the logarithm of counts.")
expect_within("correlation of learned and counted", np.corrcoef(theory, learned)[0, 1], 0.99, 0.01)

# %% [markdown]
# No: they are counts, squeezed from 97 numbers per word into 32. That is why meaning came out, and why it is only *this* world's meaning.
#
# ## 6 · Take it apart
# ### How large should the pieces be?
# One knob of byte pairs: the size of the vocabulary. **Predict** the curve of tokens a caption, in English and Chinese. When do they cross?

# %%
sizes = [70, 90, 120, 160, 220, 300]
texts = {"English": lines[:1000], "Chinese": [text.normalize(line) for line in chinese[:1000]]}
lengths = {
    name: [
        np.mean([len(m.tokenize(line)) for line in some[:200]])
        for m in (bpe.BPETokenizer.train(some, s) for s in sizes)
    ]
    for name, some in texts.items()
}
fig = plot.curves(
    lengths, title="How long is a caption, in tokens?", x=sizes, xlabel="vocabulary size", ylabel="tokens a caption"
)
plot.show(
    fig,
    alt="Tokens a caption fall with vocabulary size: English from about 53 to 20, Chinese from about 32 to 9.",
)
pieces = bpe.BPETokenizer.train(texts["Chinese"], 220)
print(" · ".join(pieces.tokenize(texts["Chinese"][short[0]])))

# %% [markdown]
# They never cross: Chinese starts with some 60 characters, each already a piece of a word. Larger pieces make shorter sequences, but each is seen
# less often and needs a vector of its own.
#
# ## 7 · At full size
# The same calls with the real thing: the 30,522 word pieces of BERT with 768 numbers each, fetched on Colab, or used where you have
# them already; otherwise this cell says so.

# %% tags=["free"]
from transformers import AutoModel, AutoTokenizer

from mmcourse.runtime import on_colab

try:
    local = {"local_files_only": not on_colab()}
    tokenizer = AutoTokenizer.from_pretrained("bert-base-uncased", **local)
    bert = AutoModel.from_pretrained("bert-base-uncased", **local).get_input_embeddings().weight.detach().numpy()
    print(tokenizer.tokenize("a reddish starfish"))
    scarlet = tokenizer.convert_tokens_to_ids("scarlet")
    print(tokenizer.convert_ids_to_tokens([i for i, _ in word2vec.most_similar(bert, scarlet, 5)]))
except OSError:
    print("not run: BERT's files are not here. It would cut 'a reddish starfish' and show scarlet's neighbors")

# %% [markdown]
# ## 8 · What to remember
# - Byte pairs join what is often together: no word is unknown if its characters are known (bytes always are).
# - Skip-gram learns to tell true neighbors from random words; its first loss is $(1 + K)\ln 2$.
# - Skip-gram vectors are counts of company, squeezed; they know the world of their text and no other.
# - Three good analogies prove little. Count them all, over seeds, against chance.
#
# ## 9 · Check yourself
# **1.** Your skip-gram with 10 negatives starts at a loss of 2.0. Is that good news?
# <details><summary>Answer</summary>
#
# It should start at $11 \ln 2 \approx 7.62$. Something is wrong: perhaps negatives are missing from the sum.
# </details>
#
# **2.** *White* has no fancy name here, and no hole: it meets every shape. With which color will it be confused?
# <details><summary>Answer</summary>
#
# Among others with orange, the only other one that meets every shape *and* follows *in*. Company is all that the vectors see.
# </details>

# %%
assert round(11 * np.log(2), 2) == 7.62 and "orange" in near("white", 3)
assert all(met["white", shape] and met["orange", shape] for shape in shapes) and after_in["orange"] > 0

# %% [markdown]
# ## 10 · Exercises
# [One short task](exercises/word_vectors.ipynb), about 7 minutes: the next byte pair.
#
# ## Sources
# - R. Sennrich, B. Haddow, A. Birch, *Neural Machine Translation of Rare Words with Subword Units*, 2016, arXiv 1508.07909: byte pairs for text.
# - T. Mikolov and others, *Efficient Estimation of Word Representations in Vector Space*, 2013, arXiv 1301.3781: skip-gram and analogies; *Distributed Representations of Words and Phrases and their Compositionality*, 2013, arXiv 1310.4546: negative sampling.
# - O. Levy, Y. Goldberg, *Neural Word Embedding as Implicit Matrix Factorization*, NeurIPS 2014: what skip-gram converges to.
