# %% [markdown]
# # Language model: what comes next?
# *You take BERT's blocks, change one mask and the targets, and get a model that writes. Because its texts come from a grammar whose every choice is known, you can say word by word how far it is from the best that is possible.*
#
# {{budget}}
#
# **You will be able to**
# - turn any text into inputs and targets, and train a causal language model on it;
# - compute perplexity, bits per byte and the exact entropy, turn one into another, and say which may be compared;
# - write RMSNorm and SwiGLU, check rotary positions, and run the course's weights in `transformers`' Llama;
# - read a sampling loop, turn temperature and top p, and check a cache and a padded batch against plain code;
# - read a scaling curve, and say what it cannot show.
#
# **Before this:** [attention](attention.ipynb) (masks, rotary positions), [transformers](transformers.ipynb) (the block), [bert](bert.ipynb) (pre-training), [captioning](captioning.ipynb) (decoding, the cache).
#
# **Time to read:** 90 minutes with the four blanks, then 95 for the [exercises](exercises/language_model.ipynb).

# %%
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, results, vocabulary
from mmcourse.datasets.scenes import texts
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.figures.language_model import exact_nats, grammatical, test_texts
from mmcourse.numpy import llama
from mmcourse.preprocess.bpe import BPETokenizer
from mmcourse.preprocess.ngram import InterpolatedNgram
from mmcourse.torch.decoding import KVCache, sampling_probabilities
from mmcourse.torch.gpt import CausalLM, to_llama

card = data_dir() / "models" / "language_model" / "figures.json"
shipped = json.loads(card.read_text(encoding="utf-8"))["figures"]
stored = results("language_model")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## 1 · It goes on

# %% [markdown]
# The course's language model has read short texts about things with shapes and colors. Give it a beginning, and it goes on, one word at a time (`generate` turns text into numbers and back):

# %% tags=["free"]
model = CausalLM.from_pretrained("language_model")
generator = torch.Generator().manual_seed(3)
beginnings = ["a small red star", "there are three", "what", ""]
for text in model.generate(beginnings, method="sample", generator=generator):
    print("·", text)

# %% [markdown]
# (In the texts that it read, *what* begins only a second sentence, never a whole text; so the third text here is a strange one.)
#
# **Your turn.** Put in a beginning of your own, with words that it knows (`texts.vocabulary_words()`).

# %% tags=["free"]
mine = "a huge azure box is over"
print(model.generate([mine])[0])

# %% [markdown]
# The second sentence of a text comes back to a thing of the first. Nobody told the model so. Does it remember correctly? Here is a whole text (`texts.join` puts words together with their signs), with the probability that the model gave to each of the last words when it had read all before, and beside it the exact one (section 5 computes it):

# %% tags=["free"]
first = "there are three things : a red box , a big azure star and a disc"
words = f"{first} that is white . the star is azure .".split()
(nats,) = model.nats([texts.join(words)])
sure = np.exp(texts.log_probs(words))
for word, value, best in list(zip(words, (-nats).exp().tolist(), sure))[-5:]:
    print(f"{word:7} p = {value:.3f}   exact {best:.3f}")

# %% [markdown]
# Whoever has read the first sentence is certain that the star is *azure*. The model nearly is. That was not to be had for nothing: the same network, trained on these texts alone, knows *which* colors were said and guesses *whose* each is, and its average loss hides it. In this lesson you compute the best possible answer for every word, find this weakness exactly in a model of your own, and see what can cure it.

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# **Record three guesses** before you go on.

# %%
forced_guess = widgets.guess(
    "Somebody knows the grammar of these texts exactly. At how many of 100 words can "
    "they name the next word with certainty?",
    ["about 10", "about 40", "about 80"],
)

# %%
copy_guess = widgets.guess(
    "Random symbols (16 kinds), 6 to 14 of them, then the same sequence once more. "
    "Which causal Transformer can learn to say the second copy?",
    ["one layer is enough", "it takes two layers", "none: the symbols are random"],
)

# %%
unit_guess = widgets.guess(
    "The same network is trained on the same film reviews, once byte by byte, once in "
    "pieces of about three letters. Perplexity: 6.6 per byte, 118 per piece. Which is "
    "the better model of the reviews?",
    ["bytes, of course", "pieces", "these numbers do not say"],
)

# %% [markdown]
# ## 3 · One mask and the targets

# %% [markdown]
# BERT hides a few words and guesses them from both sides. A **causal language model** guesses *every* word, from the left side only. What changes is one mask, and the targets: not the hidden words, but the next one at each position. The masks:

# %% tags=["hide-input"]
names = ["a", "red", "star", "."]
both = draw.matrix(np.ones((4, 4), int), title="BERT: attends to all", rows=names, columns=names, heat=True)
left = draw.matrix(
    np.tril(np.ones((4, 4), int)), title="GPT: to itself and before", rows=names, columns=names, heat=True
)
draw.show(
    draw.row(both, left, gap=80),
    alt="Two tables of four queries and four keys. BERT's is all ones; GPT's has ones on and below the diagonal.",
)

# %% [markdown]
# With the causal mask, what comes out at a position depends on nothing to its right. So every position may be asked for the next word, all in one pass: a text of 20 words gives 21 guesses (the end is one), where BERT's 15 % give three. What each position reads, and what it should predict:

# %% tags=["hide-input"]
reads = ["<bos>", "a", "red", "star", "."]
says = ["a", "red", "star", ".", "<eos>"]
canvas = draw.Canvas()
top = canvas.place(draw.tokens(says, highlight=[0, 1, 2, 3, 4]), x=100, y=0)
middle = canvas.place(draw.box("causal Transformer"), x=123, y=75)
bottom = canvas.place(draw.tokens(reads), x=100, y=150)
canvas.arrow(bottom, middle)
canvas.arrow(middle, top)
canvas.text("targets", 50, 22)
canvas.text("inputs", 50, 172)
draw.show(canvas, alt="Inputs: begin, a, red, star, period. Targets, one further: a, red, star, period, end.")

# %% [markdown]
# **Your turn (blank 1).** From the ids of a text, with `<bos>` and `<eos>` around it, make what is read and what is predicted.
# <details><summary>Hint</summary>
#
# The last id is never read, since nothing comes after it; the first one is never predicted.
# </details>


# %%
def inputs_and_targets(ids):
    """Ids (n,) → inputs (n − 1,), targets (n − 1,)."""
    # BEGIN SOLUTION
    return ids[:-1], ids[1:]
    # END SOLUTION


inputs_and_targets = check("language_model.blank.1", inputs_and_targets)
ids = [*model.encode("a red star."), 2]
print("ids", ids, "  inputs and targets", *inputs_and_targets(ids))

# %% [markdown]
# The loss is the mean of −ln p of the targets. With $x_t$ the token at position $t$:
#
# $$L = -\frac{1}{n}\sum_{t=1}^{n} \ln p(x_t \mid x_0, \ldots, x_{t-1})$$
#
# That is all: the probability of a whole text is the product of its words' probabilities given all before, whatever the text is (the chain rule), so $nL$ is −ln p of the text. This is **causal language modeling**; done on much text, before any task, it is the **pre-training** of lesson [bert](bert.ipynb) with another mask and other targets.
#
# Two checks that cost nothing. Before training, the model knows nothing, so the loss must be near ln(number of tokens), a little above it, since its random scores are not all equal. And a word at the end must not change what was said at the beginning:

# %%
torch.manual_seed(0)
pieces = model.config["pieces"]
fresh = CausalLM(pieces, dim=32, num_layers=2, num_heads=4, hidden=88)
rows = torch.tensor([[*model.encode(texts.join(w))][:12] for w in test_texts(64)])
with torch.no_grad():
    logits = fresh(rows[:, :-1])
    first_loss = F.cross_entropy(logits.transpose(1, 2), rows[:, 1:])
    changed = rows.clone()
    changed[:, 8] = 5
    moved = (fresh(changed[:, :-1]) - logits).abs().amax(dim=(0, 2))
print(f"first loss {first_loss:.3f}, ln {len(pieces)} = {math.log(len(pieces)):.3f}")
print("token 8 changed; largest change of the logits by position:")
print(moved.numpy().round(3))
assert moved[:8].max() == 0 and moved[8] > 0.01

# %% [markdown]
# ### What if the targets are not shifted?
# The commonest accident: a position sees the very word that it has to guess. A mask that is off by one does it, and so do targets that are left where they are, as here. A hundred steps, right and wrong:

# %%
rng = np.random.default_rng(0)
train_words = texts.draw_texts(6000, seed=[1, 0])
label = {word: 3 + i for i, word in enumerate(texts.vocabulary_words())}
train_rows = [[1, *(label[word] for word in w), 2] for w in train_words]


def batch_of(size):
    """Labels (b, n) of random training texts, padded with 0 at the end."""
    picked = rng.integers(len(train_rows), size=size)
    chosen = [torch.tensor(train_rows[i]) for i in picked]
    return nn.utils.rnn.pad_sequence(chosen, batch_first=True)


# %% tags=["free"]
leaks = {}
for name in ("shifted", "not shifted"):
    torch.manual_seed(0)
    tiny = CausalLM(pieces, dim=32, num_layers=1, num_heads=4, hidden=88)
    optimizer = torch.optim.AdamW(tiny.parameters(), lr=1e-2)
    for step in range(100):
        ids = batch_of(32)
        inputs, targets = ids[:, :-1], ids[:, 1:]
        if name == "not shifted":
            targets = inputs
        logits = tiny(inputs).transpose(1, 2)
        loss = F.cross_entropy(logits, targets, ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    leaks[name] = loss.item()
    print(f"{name:12} loss after 100 steps {leaks[name]:.3f}")

# %%
assert leaks["not shifted"] < 0.5 < 0.95 < leaks["shifted"]

# %% [markdown]
# A loss on its way to 0 is no triumph: it copies its input. Section 5 computes how low the loss *can* be: on fresh texts, on average, no honest model gets below 0.95. (A single batch may, by luck, and a *training* loss may, by memorizing. Not this far, after 100 steps: something leaks.)

# %% [markdown]
# ## 4 · From text to pieces

# %% [markdown]
# What is a "token"? Lesson [text](text.ipynb) built **byte-pair encoding** (BPE); here is its whole training once more, on five words: count neighbors, join the most frequent pair, again.

# %%
tiny_text = ["low lower lowest newer newest"]
learned = BPETokenizer.train(tiny_text, vocab_size=15)
for number, pair in enumerate(learned.merges, 1):
    print(f"merge {number}: {pair[0]!r} + {pair[1]!r} → {pair[0] + pair[1]!r}")
print(learned.tokenize("slower newest"))

# %% [markdown]
# The marks `▁` are spaces. A word that was never seen is spelled in the pieces that there are. The models of this part share one vocabulary of 1,280 pieces, words and bytes (`mmcourse.datasets.vocabulary`), so that every text can be written. Our texts use few of them, and a softmax over the rest would only cost time: this model numbers its own.

# %%
text = "an azure star is over a box."
as_pieces = vocabulary.encode(text)
as_labels = model.encode(text)
print([vocabulary.pieces()[i] for i in as_pieces])
print("ids of the course's vocabulary:", as_pieces)
print("this model's labels (1 is <bos>):", as_labels, " of", len(pieces))

# %% [markdown]
# ## 5 · The least possible loss

# %% [markdown]
# For real text nobody knows how predictable it is. For ours we do. The texts are written by a **grammar** (`mmcourse/datasets/scenes/texts.py`): at each point a few ways to go on, each with a known probability. Which words can follow "a"? Several ways may be open: a size, a color, or a shape ("a star that is red"). Their probabilities are added up, as the forward algorithm of lesson [speech_to_text](speech_to_text.ipynb) does.

# %%
for beginning in ("a", "an", "a small red star is"):
    following = texts.next_words(beginning.split())
    most = sorted(following.items(), key=lambda item: -item[1])[:6]
    shown = ", ".join(f"{word} {p:.3f}" for word, p in most)
    print(f"{beginning!r}: {len(following)} words; {shown}")

# %% tags=["hide-input"]
canvas = draw.Canvas()
start = canvas.place(draw.box("a", note="what next?"), x=0, y=70)
ways = (
    ("size", "0.5 / 0.925", "small, huge, …", "blue"),
    ("color", "0.225 / 0.925", "red, golden, …", "orange"),
    ("shape", "0.2 / 0.925", "star, box, …", "green"),
)
for i, (name, p, example, color) in enumerate(ways):
    node = canvas.place(draw.box(name, note=example, color=color), x=330, y=80 * i)
    canvas.arrow(start.right, node.left, label=p)
draw.show(
    canvas,
    alt="After the word a, three ways are open: a size with probability 0.5, a color with 0.225, a shape with 0.2, each divided by their sum.",
)

# %% [markdown]
# (0.925 is how often a noun phrase begins with *a*; the other 0.075 begin with *an*.) So every text has an exact probability, word by word:

# %%
some = "a red star lies above an azure box . the star is red .".split()
exact = texts.log_probs(some)
for word, value in zip([*some, "<eos>"], np.exp(exact)):
    print(f"{word}:{value:.3f}", end="  ")
print(f"\nln p of the whole text: {exact.sum():.3f}")

# %% [markdown]
# Where p is 1, the grammar leaves no choice: here at both periods, at *is* and at the end. After *an* only four words are left, 0.25 each. The returning color is certain once the sentence asks for a color; here it is 0.571, since the sentence might also have said where the star is (*is above*, *is over*, *is higher*). The average of −ln p over all texts is the **entropy** of the corpus, and no model can have a lower loss on average than that. It is a sum over all choices of the grammar, so we need no sample:
#
# $$H = -\sum_{\text{texts } x} p(x)\, \ln p(x)$$

# %%
per_text, length = texts.entropy()
floor = per_text / length
print(f"exact: {per_text:.4f} nats per text, {length:.4f} pieces per text", end=", ")
print(f"{floor:.4f} nats per piece")
tests = test_texts(1000)
exact_rows = exact_nats(tests)
sums = np.array([row.sum() for row in exact_rows])
print(f"mean of 1,000 texts: {sums.mean():.3f} ± {1.96 * sums.std() / 1000**0.5:.3f}")
assert abs(sums.mean() - per_text) < 3 * sums.std() / 1000**0.5

# %%
flat = np.concatenate(exact_rows)
forced = (flat < 1e-9).mean()
forced_guess.compare("about 40")
print(f"share of pieces that have no choice: {forced:.3f}")
assert 0.36 < forced < 0.45

# %% [markdown]
# (For the captions of `scenes` the same number is known only nearly, about 25 nats: there it depends on how often things are placed left of or above each other. So this lesson reads texts in which every choice is written down.)
#
# ### Perplexity
# e to the mean of −ln p is the **perplexity**: a model with perplexity 3 is as unsure as if it had to choose among 3 equally likely words each time. **Your turn (blank 2).** `rows` is a list of arrays of −ln p, one per text, of different lengths.
# <details><summary>Hint</summary>
#
# The mean is over all tokens of all texts, not over the texts' means. `np.concatenate` joins arrays.
# </details>


# %%
def perplexity(rows):
    """e to the mean of −ln p over all tokens."""
    # BEGIN SOLUTION
    nats = np.concatenate(rows)
    return float(np.exp(nats.mean()))
    # END SOLUTION


perplexity = check("language_model.blank.2", perplexity)
print(f"the grammar itself on 1,000 texts: {perplexity(exact_rows):.4f}")
print(f"exactly, over all texts:           {math.exp(floor):.4f}")

# %% tags=["target"]
ours = [row.double().numpy() for row in model.nats([texts.join(w) for w in tests])]
excess = perplexity(ours) / perplexity(exact_rows) - 1
expect_within("the shipped model's excess perplexity", excess, 0.007, 0.005)

# %% [markdown]
# That last number is the course's measure for this model: the **excess perplexity**, how far the model's perplexity is above the exact one, on the same texts. (On the same texts the luck of the draw cancels.)
#
# Perplexity per *token* depends on what a token is. With longer pieces there are fewer of them, and each is harder to guess. What does not depend on it is **bits per byte**: −log₂ p of the whole text, divided by its bytes.

# %%
total_nats = sum(row.sum() for row in ours)
num_bytes = sum(len(texts.join(w).encode()) for w in tests)
num_pieces = sum(map(len, ours))
print(f"nats per piece {total_nats / num_pieces:.3f}", end="; ")
print(f"bits per byte {total_nats / math.log(2) / num_bytes:.3f}")

# %% [markdown]
# ## 6 · The block of today

# %% [markdown]
# GPT-2 (Radford et al. 2019) is the pre-norm block of lesson [transformers](transformers.ipynb) with a causal mask. Most open models since Llama (Touvron et al. 2023) exchange three of its parts. Each is a few lines.

# %% tags=["hide-input"]
flow = draw.network(
    ("x", ("n", "d")),
    ("RMSNorm", ("n", "d")),
    ("attention,\nrotary q, k", ("n", "d")),
    ("RMSNorm", ("n", "d")),
    ("SwiGLU", ("n", "d")),
    skip=[(0, 1), (2, 3)],
    colors={"RMSNorm": "orange", "SwiGLU": "green"},
)
draw.show(
    flow,
    alt="A block: RMSNorm, attention with rotary queries and keys, added to x; RMSNorm, SwiGLU, added again.",
)

# %% [markdown]
# ### RMSNorm
# Layer normalization takes the mean away, divides by the standard deviation, scales and shifts. **RMSNorm** (Zhang and Sennrich 2019) only divides by the root of the mean of squares, and scales. By hand:

# %%
x = np.array([3.0, 4.0, 0.0, 0.0])
mean_square = (x**2).mean()
print(f"squares {x**2}, their mean {mean_square}, its root {math.sqrt(mean_square)}")
y = x / math.sqrt(mean_square)
print("x / root:", y, "  mean of squares now", (y**2).mean().round(3))

# %% [markdown]
# $$\mathrm{RMSNorm}(x) = \frac{x}{\sqrt{\frac{1}{d}\sum_i x_i^2 + \varepsilon}} \odot w$$
#
# (⊙ multiplies value by value; $w$ are d learned scales; $\varepsilon$ is a tiny number that keeps a vector of zeros from a division by 0.)
#
# **Your turn (blank 3).** For any array whose last axis holds the vectors.
# <details><summary>Hint</summary>
#
# `np.square(x).mean(axis=-1, keepdims=True)`, then ε, then the root.
# </details>


# %%
def rms_norm(x, weight, eps):
    """x (…, d), weight (d,) → (…, d)."""
    # BEGIN SOLUTION
    mean_square = np.square(x).mean(axis=-1, keepdims=True)
    return x / np.sqrt(mean_square + eps) * weight
    # END SOLUTION


rms_norm = check("language_model.blank.3", rms_norm)

# %% [markdown]
# ### SwiGLU
# The block's MLP was: up, GELU, down. **SwiGLU** (Shazeer 2020) computes two projections of x and multiplies them value by value: values, and a **gate**, a number by which each of them is multiplied and which x itself decides. silu(z) = z · sigmoid(z).
#
# $$\mathrm{SwiGLU}(x) = W_\mathrm{down}\bigl(\mathrm{silu}(W_\mathrm{gate}\,x) \odot W_\mathrm{up}\,x\bigr)$$

# %%
opened = np.array([-3.0, 0.0, 3.0])
values = np.array([5.0, 5.0, 5.0])
gate = opened / (1 + np.exp(-opened))
print("gate", gate, "  times values", gate * values)

# %% tags=["hide-input"]
canvas = draw.Canvas()
source = canvas.place(draw.box("x", note="d"), x=0, y=55)
gate_box = canvas.place(draw.box("gate, silu", note="d → hidden", color="orange"), x=130, y=0)
up_box = canvas.place(draw.box("up", note="d → hidden", color="blue"), x=130, y=110)
product = canvas.place(draw.box("⊙"), x=340, y=55)
down_box = canvas.place(draw.box("down", note="hidden → d", color="green"), x=450, y=55)
for a, b in ((source, gate_box), (source, up_box), (gate_box, product), (up_box, product), (product, down_box)):
    canvas.arrow(a.right, b.left)
draw.show(canvas, alt="x goes through gate and silu, and through up; both are multiplied, then down.")

# %% [markdown]
# **Your turn (blank 4).** The matrices are (hidden, d), (hidden, d) and (d, hidden), as `nn.Linear` keeps them.
# <details><summary>Hint</summary>
#
# `x @ gate.T` is (n, hidden). Multiply it by its own sigmoid, then by `x @ up.T`.
# </details>


# %%
def swiglu(x, gate, up, down):
    """x (n, d) → (n, d)."""
    # BEGIN SOLUTION
    opened = x @ gate.T
    silu = opened / (1 + np.exp(-opened))
    return (silu * (x @ up.T)) @ down.T
    # END SOLUTION


swiglu = check("language_model.blank.4", swiglu)

# %% [markdown]
# ### Rotary positions
# Lesson [attention](attention.ipynb) had them: each query and key is rotated by its position, pair by pair of its values, so that a score depends only on the *offset*. One pair, by hand: a query at position 5 and a key at position 3 score as at 105 and 103.

# %%
q, k = np.array([1.0, 0.5]), np.array([0.8, -0.3])


def turn(vector, position):
    """One pair, rotated by `position` radians."""
    c, s = math.cos(position), math.sin(position)
    a, b = vector
    return np.array([a * c - b * s, b * c + a * s])


for at, of in ((5, 3), (105, 103), (5, 4)):
    print(f"query at {at:3}, key at {of:3}: {turn(q, at) @ turn(k, of):.4f}")


# %% tags=["hide-input"]
def show_rotation(offset=3):
    """Pairs of a key `offset` tokens back, beside the query's: fast pairs turn far, slow ones hardly."""
    fig, axes = plt.subplots(1, 4, figsize=(7.4, 2.1))
    for i, ax in enumerate(axes):
        angle = -offset * 10_000.0 ** (-2 * i / 8)
        ax.add_patch(plt.Circle((0, 0), 1, fill=False, color="0.7"))
        ax.annotate("", (1, 0), (0, 0), arrowprops={"arrowstyle": "->", "color": "#0072B2", "lw": 2})
        end = (math.cos(angle), math.sin(angle))
        ax.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "color": "#D55E00", "lw": 2})
        ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), aspect="equal", xticks=[], yticks=[])
        ax.set_title(f"pair {i}: {math.degrees(angle):.1f}°", fontsize=10)
        ax.grid(False)
    plot.show(fig, alt=f"Four pairs of values of a key {offset} tokens before the query: the first turns most.")


# %% [markdown]
# **Turn it.** A head with 8 values has four pairs, each with its own speed. Blue is where the query points, orange the same vector at a key so many tokens before it. Fast pairs tell near from nearer, slow ones near from far.

# %%
widgets.slider(show_rotation, offset=(0, 60))

# %% [markdown]
# One trap: *which* values form a pair? The paper pairs neighbors (0 with 1); `transformers` pairs value i with value i + d/2 (**half-split**). Both are fine, but weights that were trained with one are wrong with the other, without any error message. Do our three parts say what `transformers`' Llama says?

# %%
from transformers.models.llama.modeling_llama import (
    LlamaConfig,
    LlamaMLP,
    LlamaRMSNorm,
    LlamaRotaryEmbedding,
    apply_rotary_pos_emb,
)

rng_parts = np.random.default_rng(5)
config = LlamaConfig(hidden_size=16, intermediate_size=24, num_attention_heads=2)
x = rng_parts.normal(size=(1, 6, 16)).astype(np.float32)
theirs = LlamaRMSNorm(16)
theirs.weight.data = torch.tensor(rng_parts.normal(size=16).astype(np.float32))
mlp = LlamaMLP(config)
with torch.no_grad():
    ours = rms_norm(x, theirs.weight.numpy(), 1e-6)
    norm_gap = theirs(torch.tensor(x)).numpy() - ours
    layers = (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    matrices = [layer.weight.numpy() for layer in layers]
    mlp_gap = mlp(torch.tensor(x)).numpy() - swiglu(x, *matrices)
    heads = torch.tensor(rng_parts.normal(size=(1, 2, 6, 8)).astype(np.float32))
    positions = torch.arange(4, 10)[None]
    cos, sin = LlamaRotaryEmbedding(config)(heads, positions)
    turned, _ = apply_rotary_pos_emb(heads, heads, cos, sin)
half_split = llama.rotary(heads.numpy(), positions.numpy())
order = [0, 4, 1, 5, 2, 6, 3, 7]  # as if neighbors were pairs
reordered = heads.numpy()[..., np.argsort(order)]
neighbors = llama.rotary(reordered, positions.numpy())[..., order]
for name, gap in (
    ("RMSNorm", norm_gap),
    ("SwiGLU", mlp_gap),
    ("rotary, half-split", turned.numpy() - half_split),
    ("rotary, neighbors", turned.numpy() - neighbors),
):
    said = "below 1e-5" if np.abs(gap).max() < 1e-5 else f"{np.abs(gap).max():.2f}"
    print(f"{name:20} largest difference {said}")
assert np.abs(turned.numpy() - half_split).max() < 1e-5

# %% [markdown]
# ### In Keras, and all three at once

# %%
import keras

from mmcourse.keras import llama as keras_llama
from mmcourse.torch import llama as torch_llama

arrays = [x, *matrices]
as_torch = [torch.tensor(array) for array in arrays]
as_keras = [keras.ops.convert_to_tensor(array) for array in arrays]
by_three = [
    llama.swiglu(*arrays)[0],
    torch_llama.swiglu(*as_torch).numpy(),
    keras.ops.convert_to_numpy(keras_llama.swiglu(*as_keras)),
]
gap = max(np.abs(one - by_three[0]).max() for one in by_three)
layer = keras.layers.RMSNormalization(epsilon=1e-6)
by_layer = keras.ops.convert_to_numpy(layer(x))
gap_norm = np.abs(by_layer - rms_norm(x, np.ones(16), 1e-6)).max()
print("SwiGLU in all three equal to 1e-5:", "yes" if gap < 1e-5 else "no", end="; ")
print("keras.layers.RMSNormalization: equal:", "yes" if gap_norm < 1e-5 else "no")
assert gap < 1e-5 and gap_norm < 1e-5

# %% [markdown]
# ### Weight tying
# At the bottom a table turns each token into a vector; at the top a matrix of the same shape turns a vector into scores of all tokens. **Weight tying** (Press and Wolf 2017) uses one table for both. GPT-2 does so, the larger Llamas do not; section 12 tries it.
#
# ### Put together
# Here is the whole model, as one would write it today. PyTorch has RMSNorm and silu; the rotation is the course's, checked above:


# %%
class Block(nn.Module):
    """Attention, then SwiGLU; each reads a normalized x and is added to x."""

    def __init__(self, dim, num_heads, hidden):
        super().__init__()
        self.num_heads = num_heads
        self.norm1, self.norm2 = nn.RMSNorm(dim, 1e-6), nn.RMSNorm(dim, 1e-6)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.up = nn.Linear(dim, hidden, bias=False)
        self.down = nn.Linear(hidden, dim, bias=False)

    def forward(self, x, positions):
        b, n, d = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, n, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (b, heads, n, d / heads)
        q, k = torch_llama.rotary(q, positions), torch_llama.rotary(k, positions)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, n, d))
        h = self.norm2(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class TinyLlama(nn.Module):
    """Labels (b, n) → logits (b, n, size)."""

    def __init__(self, size, dim=48, num_layers=2, num_heads=4, hidden=128):
        super().__init__()
        self.embedding = nn.Embedding(size, dim)
        nn.init.normal_(self.embedding.weight, std=0.1)
        blocks = [Block(dim, num_heads, hidden) for _ in range(num_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.RMSNorm(dim, 1e-6)

    def forward(self, ids):
        positions = torch.arange(ids.shape[1])[None]
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, positions)
        return self.norm(x) @ self.embedding.weight.T  # tied


# %% [markdown]
# The shipped model is the same with a cache, and an output matrix of its own. Is it really a Llama? Put its weights into `transformers`' own class and compare the logits of whole texts:

# %%
hub_model = to_llama(model)
ids = batch_of(8)
with torch.no_grad():
    gap = (hub_model(ids).logits - model(ids)).abs().max().item()
size = sum(p.numel() for p in hub_model.parameters())
print(f"{type(hub_model).__name__}, {len(model.blocks)} blocks, {size:,} weights")
print("logits equal to 0.001:", end=" ")
print("yes" if gap < 1e-3 else f"no, {gap}")
assert gap < 1e-3

# %% [markdown]
# ## 7 · Train one

# %% [markdown]
# 400 steps of 48 texts that are drawn anew from 6,000, AdamW, a warm-up and a cosine. The texts of a batch are padded at the end; the causal mask keeps real tokens from seeing that, and `ignore_index` keeps it out of the loss. On the way it writes: `write` is the whole art of generation, draw a word, put it at the end, ask again. (On long real texts one **packs** instead: documents stand one after the other, and rows of equal length are cut from the stream. Section 11 does that.)


# %%
@torch.no_grad()
def nats_of(network, found):
    """−ln p of each piece of each text: a list of arrays."""
    rows = [torch.tensor([1, *(label[word] for word in w), 2]) for w in found]
    ids = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    logits = network(ids[:, :-1]).transpose(1, 2)
    nats = F.cross_entropy(logits, ids[:, 1:], reduction="none").double().numpy()
    return [row[: len(one) - 1] for row, one in zip(nats, rows)]


def above_exact(network, number=300):
    """Nats per piece above the exact ones, on the first test texts."""
    found = np.concatenate(nats_of(network, tests[:number])).mean()
    return found - np.concatenate(exact_rows[:number]).mean()


@torch.no_grad()
def write(network, most=30):
    """Draws one word after another, until <eos> or `most` of them."""
    generator = torch.Generator().manual_seed(2)
    ids = [1]  # <bos>
    while ids[-1] != 2 and len(ids) <= most:
        p = network(torch.tensor([ids]))[0, -1].softmax(-1)
        ids.append(int(torch.multinomial(p, 1, generator=generator)))
    return model.decode(ids[1:])


# %% tags=["free", "once"]
torch.manual_seed(0)
small = TinyLlama(len(pieces))
steps, highest = 400, 6e-3
optimizer = torch.optim.AdamW(small.parameters(), lr=highest, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, steps, pct_start=0.1)
curve = []
for step in range(1, steps + 1):
    ids = batch_of(48)
    logits = small(ids[:, :-1]).transpose(1, 2)
    loss = F.cross_entropy(logits, ids[:, 1:], ignore_index=0)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(small.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    curve.append(loss.item())
    if step in (1, 50, 100, 200, 400):
        recent, above = np.mean(curve[-20:]), above_exact(small)
        print(f"step {step:3}  loss {recent:.3f}  above exact {above:.3f}")
        print("   ", write(small))

# %% tags=["hide-input", "free"]
fig, ax = plt.subplots(figsize=(7, 2.8))
ax.plot(curve, lw=1, label="training loss")
ax.axhline(math.log(len(pieces)), color="0.5", ls=":", label="knows nothing: ln V")
ax.axhline(floor, color="#009E73", ls="--", label="exact entropy")
ax.set(xlabel="step", ylabel="nats per piece", ylim=(0, 5))
ax.legend()
plot.show(fig, alt="The training loss falls from ln V towards the exact entropy, and stays above it.")

# %% [markdown]
# The curve flattens above the line. Is that the network's fault, or is the rest not learnable from 6,000 texts? Count instead: an **n-gram model** with **Kneser–Ney** smoothing looks at the last words (an n-gram at n − 1 of them), takes a little from each count, and gives that to the shorter contexts (Kneser and Ney 1995; you need not know how). It reads the same 6,000 texts. That does not answer the question, but it says what counting alone gets from them.

# %% tags=["free"]
stream = [x for row in train_rows for x in row]
counted = {}
for order in (1, 2, 3, 5):
    grams = InterpolatedNgram(stream, len(pieces), order)
    rows = [grams.nats([1, *(label[w] for w in one), 2])[1:] for one in tests[:300]]
    by_grams, by_truth = np.concatenate(rows), np.concatenate(exact_rows[:300])
    counted[order] = by_grams.mean() - by_truth.mean()
    print(f"{order}-gram: {counted[order]:.3f} nats per piece above exact")
mine_above = above_exact(small)
print(f"your model: {mine_above:.3f};  shipped: {above_exact(model):.4f}")

# %%
assert above_exact(model) < mine_above < min(counted.values())

# %% [markdown]
# ### Where does it lose?
# Since the truth is known for each word, the gap can be looked at by kind of word. *Copied* are words of the second sentence that were chosen in the first (the color and the shape that come back); *forced* are other words with no choice.


# %% tags=["hide-input"]
def kinds_of(one):
    """copied, forced or open, for each word and the end."""
    second = one.index(".") + 1
    probabilities = np.exp(texts.log_probs(one))
    found = []
    for at, (word, p) in enumerate(zip([*one, "<eos>"], probabilities)):
        is_name = word in texts.COLOR_WORDS or word in texts.SHAPE_OF
        if at >= second and is_name:
            found.append("copied color" if word in texts.COLOR_WORDS else "copied shape")
        else:
            found.append("forced" if p > 1 - 1e-9 else "open")
    return found


# %% tags=["free"]
kinds = np.concatenate([kinds_of(one) for one in tests[:300]])
truth = np.concatenate(exact_rows[:300])
heads_of = f"{'':14}{'n':>6}{'exact':>8}{'5-gram':>9}{'yours':>8}{'shipped':>9}"
print(heads_of, "  nats per word")
gram_nats = np.concatenate(rows)
by_small = np.concatenate(nats_of(small, tests[:300]))
by_model = np.concatenate(nats_of(model, tests[:300]))
for kind in ("open", "forced", "copied shape", "copied color"):
    at = kinds == kind
    means = [values[at].mean() for values in (truth, gram_nats, by_small, by_model)]
    print(f"{kind:14}{at.sum():6}" + "{:8.3f}{:9.3f}{:8.3f}{:9.3f}".format(*means))

# %%
for kind in ("open", "forced", "copied shape"):
    at = kinds == kind
    assert abs(by_model[at].mean() - truth[at].mean()) < 0.03

# %% [markdown]
# Counting is fine wherever the last words decide. Your network gets most of the rest, but at the *color that comes back* it is far off. Look closer, at all 1,000 test texts in which every thing of the first sentence has a color of its own, by the number of things. Somebody who knows *which* colors were said, but guesses among them, loses ln k above the exact:

# %% tags=["free"]
gap_by_number = {}
for name, network in (("yours", small), ("shipped", model)):
    all_nats = nats_of(network, tests)
    for number in (2, 3):
        gaps = []
        for one, row, best in zip(tests, all_nats, exact_rows):
            second = one.index(".") + 1
            said = [w for w in one[:second] if w in texts.COLOR_WORDS]
            things = sum(w in texts.SHAPE_OF for w in one[:second])
            if things == len(said) == len(set(said)) == number:
                at = [i for i in range(second, len(one)) if one[i] in texts.COLOR_WORDS]
                gaps += [row[i] - best[i] for i in at]
        gap_by_number[name, number] = np.mean(gaps)
        half = 1.96 * np.std(gaps) / len(gaps) ** 0.5
        print(f"{name:8}{number} things: {np.mean(gaps):.3f} ± {half:.3f}", end=" ")
        print(f"above exact, n = {len(gaps)}; ln {number} = {math.log(number):.3f}")

# %%
for k in (2, 3):
    assert gap_by_number["yours", k] > math.log(k) - 0.05
    assert gap_by_number["shipped", k] < 0.5 * math.log(k)

# %% [markdown]
# Your network does no better than the guesser. It has found that a color comes back; it lacks **binding**: keeping together what belongs together, here a color and its thing.
#
# Is it bad luck, too little training, too small a network, or the wrong optimizer? Each was tried, with four blocks of width 64, five minutes of training and 120,000 texts (stored runs: *standard*, and four that each change what they say):

# %%
tried = stored["plateau"]
usual = ["standard", "a second seed", "four times the training"]
usual += ["width 96, twice as long", "Muon"]


def show_tried(name):
    """Excess perplexity of a stored model, and its loss at the colors that return."""
    run = tried[name]
    half = (run["excess_high"] - run["excess_low"]) / 2
    at_colors = [run["color"][number][0] for number in ("2", "3")]
    print(f"{name:32}{run['excess_perplexity']:8.4f} ± {half:.4f}", end="")
    print("{:11.3f}{:10.3f}".format(*at_colors))


heading = f"{'excess perplexity':>18}{'2 things':>10}{'3 things':>10}"
print(f"{'':32}{heading}")
for name in usual:
    show_tried(name)
    for number in (2, 3):
        loss = tried[name]["color"][str(number)][0]
        assert abs(loss - math.log(number)) < 0.08
print(f"{'guessing among the colors':49}{math.log(2):11.3f}{math.log(3):10.3f}")

# %% [markdown]
# All of them guess. A perplexity of 1.04 times the best looks like an almost perfect model; word by word, against the truth, you see one ability that it has not learned. One run each says nothing about which way is better. Together they say that this is a **plateau**, a stretch of training on which the loss hardly falls: not one seed's bad luck, and longer than four times this training.
#
# ### A lesson before the lesson
# Why does it stay there? A likely reason: the color that comes back is one word in 25, and to fetch it takes two steps of which neither pays alone. Each thing must note its color, and the second *star* must look for the first (section 10). So give texts in which this is the only thing to learn, the easiest first: a **curriculum** (Bengio et al. 2009). The shipped model had this one:
#
# 1. Lists of three to six things, then each thing's color in bare words: "an emerald diamond, a blue triangle and a black square. triangle blue. square black. diamond emerald." Only the colors that come back count in the loss.
# 2. The same in sentences: "the triangle is blue."
# 3. These beside the usual texts (*true texts* below).
# 4. The usual texts alone, for most of the time. Only they are what is measured.

# %%
training = json.loads(card.read_text(encoding="utf-8"))["training"]
for stage in training["stages"]:
    print(f"from step {stage['first step']:4}: {stage['name']}")
print(f"{training['steps']:,} steps in all, {training['texts per step']} texts each")
print(f"excess perplexity {shipped['excess_perplexity']:.4f}, ", end="")
lowest = min(tried[name]["excess_perplexity"] for name in usual)
print(f"{lowest / shipped['excess_perplexity']:.1f} times less than the best one above")
assert lowest > 5 * shipped["excess_perplexity"]

# %% [markdown]
# After 137 steps the bare pairs are found, after 61 more the sentences, and what was found stays when the easy texts are gone. But the shipped model also has two heads of 32 values, where the others have four of 16. Was it the heads? The control: two heads and four, with and without easy texts first, three seeds each (stored runs), beside the shipped model's own training. What is drawn is the mean of −ln p of the color that comes back in 200 usual texts.

# %% tags=["hide-input"]
ways = stored["binding"]["runs"]
fig, ax = plt.subplots(figsize=(7, 2.8))
for (name, by_budget), color in zip(ways.items(), ("#E69F00", "#CC79A7", "#009E73", "#56B4E9")):
    for i, run in enumerate(by_budget["1200"]):
        step, _, at_color = np.array(run).T
        ax.plot(step, at_color, color=color, lw=1.2, label=name if i == 0 else None)
recalls = [(row["step"], row["recalled"]) for row in training["curve"] if row["step"] <= 1300]
ax.plot(*np.array(recalls).T, color="#0072B2", lw=2, label="shipped: 2 heads, easy texts first")
ax.axhspan(*stored["binding"]["guessing"], color="0.9", label="guessing among 2 or 3 colors")
ax.set(xlabel="step", ylabel="nats, color that comes back", ylim=(0, 3))
ax.legend(fontsize=8, loc="upper right")
plot.show(
    fig,
    alt="Loss at the color that comes back, by training step. With true texts only, six runs with two or four heads fall to about 0.9, within the band of guessing. With easy texts first, one run of three with two heads and one with four fall below 0.2, the others do not; the shipped model falls to 0.3.",
)

# %%
for name, by_budget in ways.items():
    for steps, several in by_budget.items():
        mean, half = mean_and_interval([run[-1][2] for run in several])
        spread = f"± {half:.3f}" if len(several) > 1 else "(one seed)"
        print(f"{name:28}{int(steps):6,} steps: {mean:.3f} {spread} nats")
print(f"{'shipped':28}{recalls[-1][0]:6,} steps: {recalls[-1][1]:.3f} (one seed)")
for name in ("4 heads, true texts only", "2 heads, true texts only"):
    ends = [run[-1][2] for several in ways[name].values() for run in several]
    assert min(ends) > math.log(2) and recalls[-1][1] < 0.5 * min(ends)

# %% [markdown]
# With true texts only nobody binds: six runs and a longer one guess, with two heads as with four. With easy texts first, one seed of three gets past guessing with two heads, and one of three with four. The other four had not found the pairs after 500 steps, went on to the sentences all the same, and still guess after 1,200. So it is the easy texts that open the way, and whether a seed finds it so soon is luck; that two heads help, these few runs do not show. The shipped model is a seed that was lucky: 137 steps.

# %% [markdown]
# ## 8 · How much is enough?

# %% [markdown]
# ### A scaling curve
# Four sizes of this model, each trained for the same time on one processor, three seeds each (stored run). Equal time is not equal compute: small models spend much of it on overhead, and the processor was shared. A small model reads more text in that time. On the way we noted the loss above the exact entropy:

# %% tags=["hide-input"]
by_size = sorted(stored["scaling"]["runs"].items(), key=lambda item: item[1][0]["weights"])
runs = dict(by_size)
colors = ["#CC79A7", "#E69F00", "#009E73", "#0072B2"]
fig, ax = plt.subplots(figsize=(7.2, 3.4))
for (name, several), color in zip(runs.items(), colors):
    number = several[0]["weights"]
    for i, run in enumerate(several):
        read, gap = np.array(run["points"]).T
        ax.loglog(
            6 * number * read, gap, "o-", ms=3, lw=1, color=color, label=f"{number:,} weights" if i == 0 else None
        )
ax.set(xlabel="training compute: 6 · weights · pieces read", ylabel="nats above exact")
ax.legend(fontsize=8)
plot.show(
    fig,
    alt="Loss above the exact entropy against compute, on two logarithmic axes. Small models are best at little compute, flatten and end early; further right larger ones are lower.",
)

# %%
title = "nats above exact at the end"
print(f"{'weights':>9}{'steps':>8}{'pieces read':>14}{title:>30}")
for name, several in runs.items():
    last = [run["points"][-1] for run in several]
    mean, half = mean_and_interval([gap for _, gap in last])
    read = np.mean([read for read, _ in last])
    number, done = several[0]["weights"], np.mean([run["steps"] for run in several])
    print(f"{number:9,}{done:8,.0f}{read:14,.0f}{mean:21.4f} ± {half:.4f}")

# %% [markdown]
# Why 6 · N · D? In the forward pass each weight costs two operations per token, a multiplication and an addition. The backward pass costs twice that, four more. So training takes about $C \approx 6ND$ operations for N weights and D tokens (attention itself left out). At a given compute, which size is best? Read the lower envelope of the curves: the best of these sizes grows with the budget (the next cell prints it), since a small model stops getting better, and a large one has not read enough yet. (Part of this is the grid's doing: at each budget only two or three of the four sizes have a point at all. A small model's time is over, or a large one was not measured so early.) That is **compute-optimal** training (Hoffmann et al. 2022, "Chinchilla").
#
# ### The law
# Kaplan et al. 2020 found that the loss of language models falls as a **power law** of compute; Hoffmann et al. add a floor that no model gets below, and fit that as well. Here the floor is known, the exact entropy, so we fit only what is left above it. It should be a straight line on two logarithmic axes, $\text{loss} - H = a\, C^{-\alpha}$. Take the best size at each of several budgets, for each seed, and fit:

# %%
budgets = np.geomspace(3e9, 5e10, 6)
slopes, best_sizes, lines = [], [], []
for seed in range(len(next(iter(runs.values())))):
    envelope, sizes = [], []
    for compute in budgets:
        reached = {}
        for several in runs.values():
            number, points = several[seed]["weights"], np.array(several[seed]["points"])
            spent = 6 * number * points[:, 0]
            if spent[0] <= compute <= spent[-1]:
                height = np.log(points[:, 1])
                reached[number] = np.interp(np.log(compute), np.log(spent), height)
        number = min(reached, key=lambda size: reached[size])
        envelope.append(reached[number])
        sizes.append(number)
    lines.append(np.polyfit(np.log(budgets), envelope, 1))
    slopes.append(-lines[-1][0])
    best_sizes.append(sizes)
mean, half = mean_and_interval(slopes)
print(f"α = {mean:.2f} ± {half:.2f} (three seeds, Student's t)")
for compute, *sizes in zip(budgets, *best_sizes):
    print(f"compute {compute:.0e}: best size by seed", sizes)

# %% [markdown]
# A law should predict. The standard model of section 7 was trained on the same texts with far more compute than any of these runs. Extend the line to it:

# %%
compute = 6 * tried["standard"]["weights"] * tried["standard"]["pieces"]
predicted = [math.exp(np.polyval(line, math.log(compute))) for line in lines]
reached = math.log(1 + tried["standard"]["excess_perplexity"])
by_curriculum = shipped["nats_per_piece"] - shipped["exact_nats_per_piece"]
print(f"{compute / budgets[-1]:.0f} times the compute of the largest budget")
print("predicted, by seed:", np.round(predicted, 3), f"  reached: {reached:.3f}")
print(f"with the curriculum: {by_curriculum:.3f}")
assert by_curriculum < reached < min(predicted) < 2 * reached

# %% [markdown]
# What can four sizes and little more than one decade not show? Look at the picture: the curves fall steeply, then flatten near 0.2, then go on. A straight line through that is a line through a bend; the standard model is better than all three lines predict, by less than a factor of two: one point, no proof. And a line belongs to its recipe: it did not know that a curriculum would do what more compute did not. Nor is α a constant of nature: it belongs to this grammar, this network, this learning rate (one rule for all sizes). And each point comes from *one* long run, measured on the way (a constant learning rate after the warm-up, averaged weights), not from a run of its own whose learning rate falls to the end of just that budget. Hoffmann et al. found that this matters; which way it bends our curves, we have not measured. The standard model was trained otherwise: its rate falls, and it has an output matrix of its own. The envelope is only as good as the grid: the "best size" is one of four, and the largest was stopped before it could win. The interval says how much three *seeds* differ, not how wrong the straight line is. And no line in the picture says *what* is still missing: section 7 did.
#
# ### On paper
# Hoffmann et al. found about **20 tokens per weight** for their models and data. With $C = 6ND$ and a GPU that does $4 \cdot 10^{14}$ useful operations per second (an H100 at 40 % of its peak in bfloat16):

# %%
print(f"{'weights':>8}{'tokens':>10}{'compute':>10}{'days on one GPU':>18}{'text':>12}")
for number in (1e8, 1e9, 1e10):
    tokens = 20 * number
    compute = 6 * number * tokens
    days = compute / 4e14 / 86_400
    row = f"{number:8.0e}{tokens:10.0e}{compute:10.1e}{days:18,.2f}"
    print(f"{row}{4 * tokens / 1e9:9,.0f} GB")

# %% [markdown]
# (About four bytes of English per token.) Ten times the weights cost a hundred times as much. What would it buy? Hoffmann et al. fit $L = 1.69 + 406/N^{0.34} + 411/D^{0.28}$ nats per token, on their data and tokenizer:

# %%
for number in (1e8, 1e9, 1e10):
    loss = 1.69 + 406.4 / number**0.34 + 410.7 / (20 * number) ** 0.28
    print(f"{number:.0e} weights: {loss:.2f} nats per token", end=", ")
    print(f"perplexity {math.exp(loss):.1f}")

# %% [markdown]
# The limits of this: the constants are a fit to one family of models (Besiroglu et al. 2024 refit them and got others); "optimal" counts training only, so a model that will be used much is trained smaller and longer (Llama: far more than 20 tokens per weight); text runs out, and repeating it helps less each time; and a lower loss is not by itself a better answer to your question.

# %% [markdown]
# ## 9 · Write

# %% [markdown]
# Lesson [captioning](captioning.ipynb) has the loops: greedy, beam search, **temperature**, **top p**. Another cut is **top k**: only the k most probable words may be drawn. A reminder in one picture, on a real distribution: after "a small red star is". **Turn the knobs.**

# %%
prompt = "a small red star"
with torch.no_grad():
    next_logits = model(torch.tensor([model.encode(prompt)]))[:, -1]


# %% tags=["free"]
def show_next(temperature=1.0, top_p=1.0):
    """The next word's probabilities after temperature and top p."""
    p = sampling_probabilities(next_logits, temperature, None, top_p)[0].numpy()
    best = np.argsort(-next_logits[0].numpy())[:12]
    fig, ax = plt.subplots(figsize=(7, 2.4))
    names = [vocabulary.pieces()[pieces[i]] for i in best]
    ax.bar(names, p[best], color="#0072B2")
    ax.set(ylim=(0, 1), ylabel="probability")
    knobs = f"temperature {temperature}, top p {top_p}"
    plot.show(fig, alt=f"The next word after “{prompt}” at {knobs}.")


widgets.slider(show_next, temperature=(0.2, 3.0), top_p=(0.1, 1.0))

# %% [markdown]
# What does the temperature do to whole texts? The grammar judges: 200 texts per row. Which share of them can it write to the last word, and which share has a right first sentence?


# %%
def first_right(text):
    """Whether the grammar can begin with the first sentence of this text."""
    for sign in texts.SIGNS:
        text = text.replace(sign, f" {sign}")
    found = text.split()
    end = found.index(".") + 1 if "." in found else len(found)
    return bool(np.isfinite(texts.log_probs(found[:end])[:end]).all())


# %% tags=["free"]
judged = {}
for name, options in (
    ("temperature 0.5", {"temperature": 0.5}),
    ("temperature 1", {}),
    ("temperature 2", {"temperature": 2.0}),
    ("2, then top p 0.9", {"temperature": 2.0, "top_p": 0.9}),
    ("top k 3", {"top_k": 3}),
):
    generator = torch.Generator().manual_seed(1)
    options = {"method": "sample", "generator": generator, **options}
    written = model.generate([""] * 200, **options)
    judged[name] = np.mean([first_right(text) for text in written])
    print(f"{name:18} first sentence right {judged[name]:.3f}", end="")
    print(f"   whole text {grammatical(written):.3f}")

# %%
assert judged["temperature 2"] < judged["2, then top p 0.9"]
assert judged["temperature 2"] < judged["temperature 1"] - 0.1
whole = [shipped["sampled_grammatical"]]
whole += [tried[name]["sampled_grammatical"] for name in usual]
print("whole texts right at temperature 1, 500 texts (stored):")
print(f"shipped {whole[0]:.2f}, without its curriculum {np.round(whole[1:], 2)}")
assert whole[0] > 0.8 > 0.5 > max(whole[1:])

# %% [markdown]
# At temperature 1 nearly all first sentences are right, and most whole texts: the second sentence must fit the first, and there more goes wrong. (Models that do not bind, the last line, write fewer than half of their texts right.) The first sentence shows best what the knobs do. Temperature 1 is the only setting that draws from what the model believes. At temperature 2, texts contain errors: an unlikely word anywhere spoils the text. Top p cuts off that tail, *after* the temperature: the nucleus of a flatter distribution is larger, so the order of the two matters (try it in [captioning](captioning.ipynb)'s exercises).
#
# ### The cache
# Each new word needs the keys and values of all before it. They do not change, so they are kept (the **key–value cache** of [captioning](captioning.ipynb)). With rotary positions a key is stored *as it was rotated*. Same logits, fewer positions computed:

# %% tags=["hide-input"]
grid = draw.row(
    draw.matrix([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]], title="all again at every step", heat=True),
    draw.matrix(
        [["k", "", "", ""], ["k", "k", "", ""], ["k", "k", "k", ""], ["k", "k", "k", "q"]],
        title="cached keys, one new query",
        highlight=[(3, 3)],
    ),
    gap=80,
)
draw.show(grid, alt="Without a cache the whole triangle is computed at each step; with it, one new row.")

# %%
ids = torch.tensor([model.encode(texts.join(tests[0]))])
with torch.no_grad():
    at_once = model(ids)[0]
    cache, one_by_one = KVCache(), []
    for t in range(ids.shape[1]):
        one_by_one.append(model.step(ids[:, t : t + 1], cache)[0])
    gap = (torch.stack(one_by_one) - at_once).abs().max().item()
n = ids.shape[1]
equal = "yes" if gap < 1e-4 else "no"
print(f"{n} steps with the cache: logits equal to 1e-4: {equal}", end="; ")
print(f"positions computed: {n} instead of {n * (n + 1) // 2}")
assert gap < 1e-4

# %% [markdown]
# The usual accident: every new token is taken for position 0, since it is the first of its call. Nothing crashes:


# %%
@torch.no_grad()
def text_nats(ids, position_of):
    """Mean −ln p of a text, read one by one; token t is put at position_of(t)."""
    cache, total = KVCache(), 0.0
    for t in range(ids.shape[1] - 1):
        x = model.embedding(ids[:, t : t + 1])
        positions = torch.tensor([[position_of(t)]])
        all_before = torch.ones(1, 1, 1, t + 1, dtype=torch.bool)
        for layer, block in enumerate(model.blocks):
            x = block(x, positions, all_before, layer, cache)
        log_p = model.to_logits(model.norm(x))[0, -1].log_softmax(-1)
        total -= log_p[ids[0, t + 1]].item()
    return total / (ids.shape[1] - 1)


by_position = {"t": text_nats(ids, lambda t: t)}
by_position["always 0"] = text_nats(ids, lambda t: 0)
for name, value in by_position.items():
    print(f"position {name:9} {value:.2f} nats per piece")
assert by_position["always 0"] > by_position["t"] + 0.3

# %% [markdown]
# ### A batch of prompts
# Prompts of different lengths are padded on the **left**, so that all end in the same column, where the next word is chosen. Two things must then be right: nothing attends to the padding, and positions are counted from the first *real* token (exercise 3).

# %% tags=["hide-input"]
canvas = draw.Canvas()
canvas.place(draw.tokens(["<pad>", "<pad>", "<pad>", "<bos>", "what"], ids=[0, 0, 0, 0, 1]), x=0, y=0)
canvas.place(draw.tokens(["<bos>", "a", "red", "star", "is"], ids=[0, 1, 2, 3, 4]), x=105, y=90)
canvas.text("→ next word", 400, 25)
canvas.text("→ next word", 400, 115)
draw.show(
    canvas,
    alt="Two prompts; the short one has three paddings before it. Their positions start at the first real token.",
)

# %%
longest = "there are two shapes: a red box and a star that is"
prompts = ["there are", "a small star", longest]
together = model.generate(prompts)
alone = [model.generate([prompt])[0] for prompt in prompts]
print("batch equal to one by one:", "yes" if together == alone else "no")
assert together == alone


# %% tags=["free"]
@torch.no_grad()
def careless(prompts):
    """Padded on the left, but the padding is attended to, and counted."""
    rows = [model.encode(p) for p in prompts]
    longest = max(map(len, rows))
    ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
    return model(ids)[:, -1].log_softmax(-1)


with torch.no_grad():
    single = [model(torch.tensor([model.encode(p)]))[0, -1] for p in prompts]
    right = torch.stack(single).log_softmax(-1)
off = (right.exp() * (right - careless(prompts))).sum(-1).clamp(min=0)
shown = "  ".join(f"{value:.6f}" for value in off.tolist())
print("nats lost by the careless batch (KL divergence), by prompt:", shown)
assert off[:2].min() > 0.005 and off[2] < 1e-4

# %% [markdown]
# (The **KL divergence** is the mean of ln p of the right distribution minus ln p of the other; 0 if they are the same.) The longest prompt is right: it has no padding. The two others are off: before their first word they read a row of `<pad>`, which they never did in training. More padding does not mean more loss; what is asked matters, too. Nothing crashes, and with one prompt at a time the bug is invisible.
#
# What is refused, and in which words? Text that is not for this model, and settings that mean nothing:

# %%
for wrong in (
    lambda: model.generate(["a red elephant"]),
    lambda: model.generate("a red star"),
    lambda: model.nats("a red star"),
    lambda: model.generate(prompts, method="sample", temperature=0),
    lambda: model.generate(prompts, method="sample", top_p=2),
    lambda: model.generate(prompts, method="nucleus"),
    lambda: texts.next_words(["a", "elephant"]),
):
    try:
        wrong()
    except ValueError as error:
        print("ValueError:", str(error)[:78])

# %% [markdown]
# (A word that is in the vocabulary but cannot stand there, as in "a star star", is no error: it has a small probability, and a loss that says so.)

# %% [markdown]
# ## 10 · Copying in context

# %% [markdown]
# How can *the star is …* find *azure*? The model has to look for an earlier *star*, and see which color stood beside it. The purest case: random symbols, then the same sequence again. In the first copy nothing can be guessed (ln 16 = 2.77 nats); in the second nearly everything can (a symbol that occurs twice leaves a choice), by whoever finds the last occurrence of the symbol just read, and says what came *after* it. A head that does so is an **induction head** (Olsson et al. 2022). It takes two steps: one layer lets each symbol note which symbol was before it, the next layer looks for a note that equals the present symbol.

# %% tags=["hide-input"]
canvas = draw.Canvas()
row = canvas.place(draw.tokens(["k", "b", "q", "…", "k", "b", "?"], highlight=[2, 5]), x=0, y=90)
first = canvas.place(draw.box("layer 1", note="q notes: before me was b", color="blue"), x=20, y=0)
second = canvas.place(draw.box("layer 2", note="I am b: who noted b? q!", color="orange"), x=280, y=0)
canvas.arrow(first.bottom, (75, 86))
canvas.arrow(second.left, (165, 86))
draw.show(canvas, alt="Layer 1 notes at q that b came before it. Layer 2, at the second b, finds that note and says q.")

# %% [markdown]
# If that is how it works, one layer should fail, whatever its training, and two should do. Stored runs, five seeds each; the length of the sequence varies from 6 to 14, so that the rule "look ten back" fails. And the control: with a *fixed* length, looking ten back is all that is needed, so one layer should suffice.

# %%
copying = stored["induction"]
print(f"a guesser: {copying['chance']:.3f} nats per symbol")
print(f"{'':24}{'first copy':>12}{'second copy':>22}")
second_copy = {}
for name in ("1 layer", "2 layers", "1 layer, period fixed"):
    second_copy[name] = [run["second"] for run in copying[name]]
    mean, half = mean_and_interval(second_copy[name])
    first = np.mean([run["first"] for run in copying[name]])
    print(f"{name:24}{first:12.3f}{mean:14.3f} ± {half:.3f}")

# %%
copy_guess.compare("it takes two layers")
assert min(second_copy["1 layer"]) > 4 * max(second_copy["2 layers"])
assert max(second_copy["1 layer, period fixed"]) < 0.01

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7, 2.8))
for name, color in (("1 layer", "#D55E00"), ("2 layers", "#0072B2"), ("1 layer, period fixed", "#CC79A7")):
    for i, run in enumerate(copying[name]):
        step, _, second = np.array(run["curve"]).T
        ax.plot(step, second, color=color, lw=1.2, label=name if i == 0 else None)
ax.axhline(copying["chance"], color="0.5", ls=":", label="guessing")
ax.set(xlabel="step", ylabel="nats, second copy", ylim=(0, 4.6))
ax.legend(fontsize=8, ncol=2, loc="upper right")
plot.show(
    fig,
    alt="Loss on the second copy by training step, five seeds per setting. With one layer it stays above 1; with two it falls to 0.25; with a fixed period one layer goes to 0.",
)

# %% [markdown]
# One layer gets below the guesser, but at this budget no seed of five comes near two layers; and with a fixed length the same layer learns it, so it is not the optimizer alone. That one layer *cannot* do it in general is the argument above, not this table. (In the first copy the models of varying length are a little worse than the guesser: nobody tells them where it ends. What is left of the loss of two layers was not taken apart; a symbol that occurs twice has two continuations.)
#
# (These small networks have learned positions and an output matrix of their own, unlike the models above.)
#
# Finding a pattern in what was just read, without any change of weights, is called **in-context learning**; copying is its simplest case.
#
# ### And our language model?
# To say the star's color it must do what is harder than that: at *is*, know that *star* came just before, find the other *star*, and fetch the color that stood *before* it (or three words after it). A test that could fail: exchange two colors of the first sentence. If a model binds, its best guess must change to the other color.

# %% tags=["free"]
shares = {}
for name, network in (("yours", small), ("shipped", model)):
    followed, trials, among = 0, 0, 0
    for one in test_texts(400, seed=77):
        second = one.index(".") + 1
        if one[second] != "the" or one[second + 3] not in texts.COLOR_WORDS:
            continue
        names = [w for w in one[:second] if w in texts.COLOR_WORDS]
        if len(names) != 2 or len(set(names)) != 2:
            continue
        old = one[second + 3]
        new = names[1] if names[0] == old else names[0]
        exchanged = [{old: new, new: old}.get(w, w) for w in one[: second + 3]]
        with torch.no_grad():
            ids = torch.tensor([[1, *(label[w] for w in exchanged)]])
            said = int(network(ids)[0, -1].argmax())
        followed += said == label[new]
        among += said in (label[old], label[new])
        trials += 1
    shares[name] = share = followed / trials
    half = 1.96 * (share * (1 - share) / trials) ** 0.5
    print(f"{name:8}{trials} texts: one of the two colors in {among}", end=", ")
    print(f"the right one in {followed}: {share:.2f} ± {half:.2f}")
for name in usual:
    counts = tried[name]["exchanged"]
    print(f"{name}, stored: {counts['the right one']} of {counts['texts']}")

# %%
assert shares["shipped"] > 0.85 and shares["yours"] < 0.75

# %% [markdown]
# The shipped model follows the exchange: its answer hangs on the thing that it is asked about. The stored ones of section 7 always say one of the two colors, too, and yours mostly does; but they hit the right one about as a coin would. So they learn the first half of the skill by themselves (which colors were said); the second half (whose) took easier texts first, and stayed when those were gone. Two layers, one that notes and one that looks, would explain it; which heads of the shipped model do it was not looked at.

# %% [markdown]
# ## 11 · On real sentences

# %% [markdown]
# Two corpora that people wrote, and no known entropy: film reviews (Pang and Lee 2005), and dialogue, the turns of a television series (MELD, Poria et al. 2019), split by whole conversations. What is a good result? Compare with what compresses text: a compressor is a language model, too, since −log₂ p bits per text is what an ideal code needs. In **bits per byte**, on test sentences (stored runs, three seeds of each network). The last column is a control: the reviews again, with only as much training text as the dialogue has.

# %%
real, talk, fewer = (stored[name] for name in ("reviews", "dialogue", "fewer_reviews"))
corpora = (real, talk, fewer)


def show_row(title, values):
    """One line of the table: a title and a number per corpus."""
    print(f"{title:32}" + "".join(f"{value:12.3f}" for value in values))


print(f"{'bits per byte':32}{'reviews':>12}{'dialogue':>12}{'reviews, fewer':>16}")
for name in ("gzip", "xz"):
    for when in ("alone", "after training text"):
        show_row(f"{name}, {when}", [one[name][when] for one in corpora])
for order in (1, 3, 5, 6):
    row = f"bytes, {order}-gram"
    show_row(f"{row}, Kneser–Ney", [one[row] for one in corpora])
show_row("pieces, 3-gram, Kneser–Ney", [one["tokens, 3-gram"] for one in (real, talk)])
by_unit, by_talk = {}, {}
for name, title in (("bytes", "bytes"), ("tokens", "pieces")):
    for one, found in ((real, by_unit), (talk, by_talk)):
        several = one[f"{name}, language model"]
        found[name] = [run["bits per byte"] for run in several]
    both = [mean_and_interval(found[name]) for found in (by_unit, by_talk)]
    show_row(f"{title}, language model", [mean for mean, _ in both])
    show_row("   ± (three seeds)", [half for _, half in both])

# %%
unit_guess.compare("these numbers do not say")
assert max(by_unit["tokens"]) < min(by_unit["bytes"]) < real["gzip"]["alone"]
better = max(real["bytes, 5-gram"], real["xz"]["after training text"])
assert better < min(by_unit["tokens"])
per_piece = real["test bytes"] / real["tokens"]["test tokens"]
for name, each in (("bytes", 1.0), ("tokens", per_piece)):
    steps = np.mean([run["steps"] for run in real[f"{name}, language model"]])
    read = steps * 16 * 128 * each / real["train bytes"]
    print(f"{name}: {each:.2f} bytes each, the training text was read {read:.1f} times")
    per = np.mean([run["perplexity"] for run in real[f"{name}, language model"]])
    bits = math.log2(per) / each
    print(f"   bits per byte: log2({per:.1f}) / {each:.2f} = {bits:.2f}")

# %% [markdown]
# First the reviews. The two perplexities alone do not say which is better; with one more number, the bytes per piece, they do. log₂ of the perplexity is bits per piece, divided by its bytes: log₂ 118 / 2.86 = 2.41 bits per byte against log₂ 6.6 = 2.72. So at half a minute of training each, the model of pieces is the better model of these reviews, by about 0.3 bits per byte. (In that time it also *reads* more: a piece is nearly three bytes. And only the blocks of the two networks are the same; their tables of tokens are not.) Both beat gzip, which looks back only 32 kilobytes, so that the training text hardly helps it. And both lose to xz once that has seen the training text (2.33), and to counting: a 5-gram of bytes, which sees four bytes before, reaches 2.01, a 3-gram of pieces 1.86. (All orders that were tried are in the table; a fair choice of one would be made on other text.) Networks that have read a text about once, on a shared laptop processor, are no match for a table of every short sequence in it. How the order turns with more text and compute, this table does not show.

# %%
for name, one in (("a review", real), ("a turn", talk)):
    long = one["test bytes"] / one["lines"]
    print(f"{name:9}{long:4.0f} bytes; {one['lines seen']} of {one['lines']:,}", end="")
    again = one["bytes of lines seen"] / one["test bytes"]
    print(f" are in the training text, too ({again:.1%} of all bytes)")
print("to train on:", *(f"{one['train bytes']:,} bytes;" for one in corpora))
for row in ("bytes, 3-gram", "bytes, 5-gram", "bytes, 6-gram"):
    assert talk[row] < fewer[row] - 0.04
for name in ("bytes", "tokens"):
    assert max(by_talk[name]) < min(by_unit[name]) - 0.15
xz_after = talk["xz"]["after training text"]
assert max(by_talk["tokens"]) < xz_after < min(by_talk["bytes"])
assert talk["tokens, 3-gram"] < talk["bytes, 6-gram"] < min(by_talk["tokens"])

# %% [markdown]
# What differs in dialogue? Turns are short, 43 bytes where a sentence of a review has 113, and one in eight is in the training text word for word (though these are so short that they are 2.5 % of the bytes). It is easier to guess: after as many steps both networks need about a quarter of a bit less per byte, and with as much text to count in, so does the 3-gram of bytes; for the longer n-grams it is less than a tenth. That is no merit of the models: another text has another entropy, and only the rows of *one* column compare them. Within the column one thing changes, too: the network of pieces passes xz, which has less than half as much text to look back into. Counting is ahead in both.

# %% [markdown]
# ## 12 · Take it apart

# %% [markdown]
# ### Which of the new parts matters here?
# One part exchanged at a time, everything else equal (a model of two blocks of width 32, five seeds, two budgets; stored run). Nats above the exact entropy:

# %%
parts = stored["apart"]
for steps in ("80", "240"):
    base = np.array(parts["all new"][steps])
    mean, half = mean_and_interval(base)
    print(f"{steps} steps: all new {mean:.3f} ± {half:.3f}; the others minus that:")
    for name in ("LayerNorm", "learned positions", "GELU", "untied"):
        mean, half = mean_and_interval(np.array(parts[name][steps]) - base)
        weights = parts["weights"][name] - parts["weights"]["all new"]
        seen = "not 0" if abs(mean) > half else "0 is inside"
        print(f"   {name:20}{mean:+.4f} ± {half:.4f} {seen:13}({weights:+,} weights)")

# %% [markdown]
# Read the intervals first. RMSNorm against LayerNorm: no difference that five seeds can see, and RMSNorm does less. Learned against rotary positions: none either, on texts that are all shorter than the table. SwiGLU is perhaps a little ahead of GELU with as many weights: of eight intervals, one that just misses 0 may be luck. Untied weights have a head start at 80 steps, and at 240 the interval holds 0: what one knob "buys" depends on when you look. At 80 steps alone you would have reported a gain (0.063, first block).

# %% [markdown]
# ### Beyond the training length
# Rotary positions have no table that ends. Do they therefore work beyond the length that was trained? Two models of the reviews, trained on rows of 64 bytes, judged on rows of 256 (three seeds, stored). The learned table has 256 rows, of which training has used 64.

# %%
far = stored["lengths"]
spans = sorted(far["rotary"][0], key=lambda span: int(span.split("-")[0]))
print("position   " + "".join(f"{span:>10}" for span in spans))
for kind in ("rotary", "learned"):
    row = [np.mean([run[span] for run in far[kind]]) for span in spans]
    shown = "".join(f"{value:10.3f}" for value in row)
    print(f"{kind:11}{shown}   nats per byte")

# %%
within = np.mean([run["32-64"] for run in far["rotary"]])
beyond = {}
for kind in ("rotary", "learned"):
    beyond[kind] = np.mean([run["192-256"] for run in far[kind]])
assert beyond["rotary"] > beyond["learned"] > within + 0.5

# %% [markdown]
# Within the training length the rotary model is ahead on this text (three seeds, one budget). From 64 to 96, a little beyond, it loses 0.18 nats per byte (19 % more perplexity), the learned table 0.77, whose untrained rows fail at once but then get no worse. Past twice the length the rotary model is the worse of the two. Rotary positions have a formula for every position, but the heads have never seen such offsets. "Rotary extrapolates" is half true at best; what is done in practice is to train on some long texts, or to stretch the angles (Press et al. 2022 show the problem, and another way).

# %% [markdown]
# ## 13 · At full size

# %% [markdown]
# The same calls with a real model of this family, on a machine with a network or a GPU. SmolLM2 (135 million weights, two trillion tokens: 15,000 per weight) is a Llama of this lesson's parts. This cell was not run here.

# %% tags=["free"]
import os

if os.environ.get("MMCOURSE_FULL_SIZE"):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = "HuggingFaceTB/SmolLM2-135M"
    tokenizer = AutoTokenizer.from_pretrained(name, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    large = AutoModelForCausalLM.from_pretrained(name).eval()
    two = ["The star is", "A language model"]
    batch = tokenizer(two, return_tensors="pt", padding=True)
    out = large.generate(**batch, max_new_tokens=20, do_sample=True, top_p=0.9)
    print(tokenizer.batch_decode(out, skip_special_tokens=True))
    review = "a gorgeous, witty, seductive movie."
    # a token before the text, so that its first piece is predicted, too
    start = tokenizer.bos_token or tokenizer.eos_token
    ids = tokenizer(start + review, return_tensors="pt").input_ids
    with torch.no_grad():
        nats = large(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
    print("bits per byte:", nats / math.log(2) / len(review.encode()))
else:
    print("not run: set MMCOURSE_FULL_SIZE=1 where the weights can be downloaded")

# %% [markdown]
# The recipe of this lesson's model is `notebooks/src/language_model/make_results.py`.

# %% [markdown]
# ## 14 · What to remember

# %% [markdown]
# - BERT's blocks with a causal mask and the next token as target are a language model: read ids[:-1], predict ids[1:], every position at once. The first loss is near ln V; an average loss below the entropy on fresh texts is a leak.
# - Perplexity is e to the mean of −ln p over *tokens*; compare it only for one tokenizer and one text. Bits per byte compare models on the same text, whatever their tokenizers: log₂ of the perplexity, divided by the bytes per token.
# - RMSNorm, rotary positions, SwiGLU: a few lines each. Pairs half-split or interleaved: weights know which.
# - The cache and left padding change nothing, if positions and masks are right. Nothing crashes if they are wrong.
# - An average near the best can hide an ability that is missing: look at kinds of words, against the truth. More of the same text need not bring it; easier texts first can.
# - Training costs 6ND. More weights need more text; a straight line on logarithmic axes is a fit, not a promise.

# %% [markdown]
# ## 15 · Check yourself

# %% [markdown]
# <details><summary>1. After ten steps your loss is 0.02. What do you look at first?</summary>
#
# The shift of the targets, and the mask: the model sees what it has to guess.
# </details>
# <details><summary>2. Model A has perplexity 12, model B 20. Which is better?</summary>
#
# It cannot be said before you know that they use the same tokenizer and the same text. Compare bits per byte on the same text.
# </details>
# <details><summary>3. A file of Llama weights loads without an error into your own model, and it writes nonsense. What may it be?</summary>
#
# Rotary pairs: neighbors in one, halves in the other. Or gate and up exchanged, or another ε or base.
# </details>
# <details><summary>4. Why does one layer not learn to copy a sequence of varying length?</summary>
#
# It must find the place *after* the last occurrence of the present symbol. Each position knows only itself in layer 1; that q comes after b is known to q only once a layer has told it.
# </details>
# <details><summary>5. You have ten times the compute. How much larger should the model be?</summary>
#
# By Chinchilla's rule both weights and tokens grow by about √10. If it will be used a lot, rather a smaller model, trained longer.
# </details>
# <details><summary>6. Why can the entropy of film reviews not be computed as we did?</summary>
#
# We know the grammar's probabilities because it was written down. For real text there are only models, and each gives an upper bound.
# </details>

# %% [markdown]
# ## 16 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/language_model.ipynb): bits per byte, rotary positions behind a cache and left padding by hand; half a block of Llama and the loss of packed documents in PyTorch; and an open challenge: a language with a memory.
#
# **Where next:** lesson [chat](chat.ipynb), where a model that continues becomes one that answers. · **Back to:** [bert](bert.ipynb), [captioning](captioning.ipynb), [attention](attention.ipynb).
#
# ## Sources
# Radford et al. 2018, 2019 (GPT, GPT-2) · Touvron et al. 2023, arXiv 2302.13971 (Llama) · Zhang and Sennrich 2019, arXiv 1910.07467 (RMSNorm) · Su et al. 2021, arXiv 2104.09864 (rotary positions) · Shazeer 2020, arXiv 2002.05202 (gated feed-forward) · Press and Wolf 2017, arXiv 1608.05859 (tied embeddings) ·
# Sennrich et al. 2016, arXiv 1508.07909 (byte-pair encoding) · Kneser and Ney 1995; Chen and Goodman 1999 (smoothing) · Shannon 1951 (entropy of English) · Kaplan et al. 2020, arXiv 2001.08361 (scaling laws) · Hoffmann et al. 2022, arXiv 2203.15556 (compute-optimal) · Besiroglu et al. 2024, arXiv 2404.10102 (a second look at it) · Bengio et al. 2009 (curriculum learning) ·
# Olsson et al. 2022, arXiv 2209.11895 (induction heads) · Holtzman et al. 2020, arXiv 1904.09751 (top p) · Press et al. 2022, arXiv 2108.12409 (beyond the training length) · Pang and Lee 2005, arXiv cs/0506075 (film reviews) · Poria et al. 2019, arXiv 1810.02508 (MELD) · Ben Allal et al. 2025, arXiv 2502.02737 (SmolLM2).
