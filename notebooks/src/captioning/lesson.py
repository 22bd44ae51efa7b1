# %% [markdown]
# # Captioning: a model that says what it sees
# *A picture goes in, a sentence comes out, one word after the other. You build the decoder, train it in half a minute, and
# find out when what it says is true, and what the truth of its sentences hides.*
#
# {{budget}}
#
# **You will be able to**
# - write the loss of a text with teacher forcing: shifted, masked, and beside its exact floor;
# - build a decoder that attends to a picture while it writes;
# - decode greedily, with beam search and by sampling, and say what each of them makes of the same model;
# - explain what a key–value cache keeps, and count what it saves;
# - measure truth, and test how much of it BLEU and CIDEr-D notice.
#
# **Before this:** [clip](clip.ipynb) (the vision encoder, and *foils*: captions that are false in one fact), [attention](attention.ipynb) and
# [transformers](transformers.ipynb) (causal mask, cross-attention, decoder block), [evaluate](evaluate.ipynb) (what a score can rest on).
#
# **Time to read:** 75 minutes with the four blanks, then 90 for the [exercises](exercises/captioning.ipynb). The same captioner in Keras, and what
# length costs, are in [a second notebook](captioning_deeper.ipynb).

# %%
import json
import math
from collections import Counter
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, results, vocabulary
from mmcourse.datasets.scenes import foils, truth, world
from mmcourse.datasets.scenes.captions import ENGLISH, INVERSE, english
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.evaluate import expect_within
from mmcourse.evaluate.captions import bleu, cider_d
from mmcourse.figures import captioning as captioning_figures
from mmcourse.figures import clip as clip_figures
from mmcourse.torch.attention import MultiHeadAttention
from mmcourse.torch.captioner import Captioner, encode_captions
from mmcourse.torch.clip import CLIP, prepare_images

# %% [markdown]
# ## 1 · Show it something

# %% [markdown]
# Here are four scenes that the course's captioner has never seen, and what it says about them. The captions use synonyms: *scarlet* is red, *amber* orange, *golden* yellow, *emerald* green, *azure* blue,
# *violet* purple; a *disc* is a circle, a *box* a square, a *rhombus* a diamond; *tiny* and *little* are small, *big* and *huge* are large.

# %% tags=["free"]
scenes, images = clip_figures.draw_scenes(200)  # images: uint8 (200, 64, 64, 3)
model = Captioner.from_pretrained("captioning")
captions = model.caption(images)


def show_captions(rows, said, scenes, images):
    """Pictures with what is said of them, and whether all of it is true."""
    titles = []
    for row in rows:
        words = said[row].split()
        lines = [" ".join(words[i : i + 6]) for i in range(0, len(words), 6)]
        lines += [""] * (3 - len(lines))
        is_true = truth.true_of(said[row], scenes[row])
        titles.append("\n".join([*lines, "true" if is_true else "FALSE"]))
    fig = plot.images([images[row] for row in rows], titles, columns=min(2, len(rows)))
    sentences = " · ".join(said[row] for row in rows)
    plot.show(fig, alt=f"Scenes with their captions: {sentences}")


show_captions(range(4), captions, scenes, images)

# %% [markdown]
# The course can check such a sentence, because it knows what is in a scene. Is it always right? The number of wholly true captions among 200, and the
# first false one, if there is any:

# %% tags=["free"]
is_true = [truth.true_of(said, scene) for said, scene in zip(captions, scenes)]
wrong = [row for row, ok in enumerate(is_true) if not ok]
print(f"wholly true: {sum(is_true)} of {len(is_true)}")
for row in wrong[:1]:
    there = ", ".join(" ".join(thing.names) for thing in scenes[row].things)
    print("said: ", captions[row])
    print("there:", there)
expect_within("share of true captions", np.mean(is_true), 0.985, 0.015)

# %% [markdown]
# Now a scene of your own: up to four things. Sizes are small and large; the colors red, orange, yellow, green, blue, purple, white, black; the shapes circle, square, triangle,
# diamond, star, cross.

# %%
my_things = ["large red circle", "small blue star", "small white square"]


def scene_of(names, seed=0):
    """A scene with these things at random places."""
    kinds = []
    for name in names:
        size, color, shape = name.split()
        for word, known in zip(name.split(), (world.SIZES, world.COLORS, world.SHAPES)):
            if word not in known:
                raise ValueError(f"{word!r}: expected one of {', '.join(known)}")
        kinds.append(
            (
                world.SHAPES.index(shape),
                world.COLORS.index(color),
                world.SIZES.index(size),
            )
        )
    things = world.place(kinds, np.random.default_rng(seed))
    return world.Scene(things, texture=0, seed=(seed,))


# %% tags=["free"]
mine = scene_of(my_things)
my_image = draw_scene(mine)
show_captions([0], model.caption(my_image), [mine], [my_image])

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# **Record two guesses** before you go on.

# %%
liar = widgets.guess(
    "Somebody describes scenes perfectly, except that one thing always gets a wrong "
    "color: not one sentence is true. BLEU, the usual metric, goes from 0 to 1 and "
    "gives an honest speaker 0.43. And the liar?",
    ["about 0.05", "about 0.20", "about 0.37"],
)

# %%
chance = widgets.guess(
    "The captions above take the most probable word each time. Now each next word is "
    "sampled instead: picked at random, with exactly the probabilities that the model "
    "gives to the words. How many of these captions are wholly true?",
    ["about 99 %", "about 90 %", "about 70 %", "about 40 %"],
)

# %% [markdown]
# ## 3 · One piece after the other

# %% [markdown]
# Where do the training captions come from? A small random program writes them, the *grammar*. It picks an opening and the words, and says only what is true. A list names the things in the order in which they were painted. A relation (*left of*, *under*, …) is between the first two of them, and starts from either. A thing is named in one of four forms: *a tiny red star* (half of the time), *a star that is red and tiny*, *a tiny star in red*,
# and *a red star*, without its size (one in six each). Synonyms are equally likely: three for a size, one or two for a color or a shape. One series of such choices is called a *speaker* here. Hence several captions of one scene are right, and the exact probability of each is known.
#
# A **captioner** is a model that says what is in a picture, and it is a classifier. It reads a picture and the beginning of a sentence, and gives a probability to each piece of its vocabulary: which one comes next? A piece is a word or a mark; capital letters and unknown words are written with
# special pieces.

# %%
sentence = "A red star."
ids = vocabulary.encode(sentence)
pieces = ["<bos>", *(vocabulary.pieces()[i] for i in ids), "<eos>"]
print(pieces)

# %% [markdown]
# In training, the right sentence is known. So all positions are trained at once by **teacher forcing**: each one reads the *right* beginning, whatever the model itself would have said. The
# answers are the inputs, shifted by one: `<bos>` (begin) is only read, `<eos>` (end) is only predicted.

# %% tags=["hide-input"]
canvas = draw.Canvas()
for i, (read, predicted) in enumerate(zip(pieces[:-1], pieces[1:])):
    below = canvas.place(draw.box(read, color="blue"), x=110 + 110 * i, y=96)
    box = draw.box(predicted, color="orange")
    above = canvas.place(box, above=below, gap=60)
    canvas.arrow(below, above)
canvas.text("predicts", 50, above.center[1])
canvas.text("reads", 50, below.center[1])
draw.show(
    canvas,
    alt="Two rows of pieces: what each position reads, and above it what it must "
    "predict, which is what the next position reads.",
)

# %% [markdown]
# The cost of a piece is minus the logarithm of its probability, in **nats**: 0 for a certain one, $\ln 2 = 0.69$ for a toss-up between two. Here is the shipped model on a picture and its caption, piece by piece.

# %%
caption = english(scenes[0])
ids, padding_mask = encode_captions([caption])
with torch.no_grad():
    logits = model(prepare_images(images[:1]), ids[:, :-1])  # (1, n − 1, vocabulary)
costs = F.cross_entropy(logits[0], ids[0, 1:], reduction="none")  # (n − 1,)
first_costs = costs.tolist()
for piece, cost in zip(ids[0, 1:].tolist(), first_costs):
    print(f"{vocabulary.pieces()[piece]:12} {cost:6.3f}  {'#' * round(10 * cost)}")

# %% [markdown]
# Some pieces cost nearly nothing: after *Right* comes *of*. Others cost something however well one sees: *tiny*, *small* and *little* are equally
# good. *Right* costs most, because a caption can begin in many ways: the model gives it $e^{-3.8} = 0.022$ (the grammar begins 0.033 of the captions of such a scene with it, which would be 3.4 nats). *a triangle* costs 2.38 in all: the grammar puts the shape first in one of six cases, and that alone is $\ln 6 = 1.79$. The other 0.59 are a riddle for section 8.
#
# No model can do better than the grammar's own entropy, the mean of $-\ln p$ under the exact probabilities. For each caption, the exact $p$ is known here; the mean is over 200 of them, hence the ± (95 %). Two units are in use: a *token* is a word or the end; a *piece* is whatever the model
# predicts, marks and capital letters included. A caption has more pieces than tokens, so its nats per piece are fewer.


# %%
def exact_nats(captions, scenes, order_known=False):
    """−ln p of each caption by the grammar: the least that it can cost, (b,)."""
    log_p = [truth.log_p(c, scene, order_known) for c, scene in zip(captions, scenes)]
    return -np.array(log_p)


true_captions = [english(scene) for scene in scenes]
tokens = np.array([captioning_figures.num_tokens([c]) for c in true_captions])
pieces_of_all = encode_captions(true_captions)[1][:, 1:].sum().item()
exact = exact_nats(true_captions, scenes)
floor = exact.sum() / tokens.sum()  # a ratio; its error: of exact − floor · tokens
error = 1.96 * np.std(exact - floor * tokens, ddof=1) / tokens.mean() / math.sqrt(200)
known = exact_nats(true_captions, scenes, order_known=True).sum() / tokens.sum()
print(f"floor, given only the picture    {floor:.3f} ± {error:.3f} nats per token")
print(f"the same, per piece              {exact.sum() / pieces_of_all:.3f}")
print(f"if the order were known          {known:.3f} nats per token")

# %% [markdown]
# The first of these numbers is the floor here: things overlap at most at their edges, so a picture hardly shows in which order they were painted. A loss clearly *below* the floor, in the same unit, on captions that the model was not trained on, would mean that
# the answer leaks. (On training captions that come again and again, a model can also get there by memorizing.)

# %% [markdown]
# ## 4 · The formula and its name

# %% [markdown]
# The mean cost per piece is the *cross-entropy*, also called the negative log-likelihood per piece. For a picture $x$ and a sentence of pieces $y_0, \dots, y_n$ with $y_0$ = `<bos>` and $y_n$ = `<eos>`:
#
# $$L = -\frac{1}{n}\sum_{t=1}^{n} \ln p(y_t \mid y_0, \dots, y_{t-1}, x)$$
#
# In a batch, the mean is over all real pieces; short sentences are filled with padding, which must cost nothing.
#
# **Your turn (blank 1).** Write it for a batch.
# <details><summary>Hint 1</summary>
#
# `logits[:, t]` belongs to the piece at t + 1. Which slice of each of the three arrays do you need? A piece counts when *it* is real.
# </details>
# <details><summary>Hint 2</summary>
#
# `logits[:, :-1]`, `ids[:, 1:]`, `padding_mask[:, 1:]`; `F.cross_entropy` wants the classes on axis 1: `.transpose(1, 2)`, with `reduction="none"`.
# </details>


# %%
def caption_loss(logits, ids, padding_mask):
    """logits (b, n, vocabulary), ids (b, n), padding_mask (b, n) → mean nats."""
    # BEGIN SOLUTION
    predicted = logits[:, :-1].transpose(1, 2)  # (b, vocabulary, n − 1)
    nats = F.cross_entropy(predicted, ids[:, 1:], reduction="none")  # (b, n − 1)
    real = padding_mask[:, 1:]
    return (nats * real).sum() / real.sum()
    # END SOLUTION


caption_loss = check("captioning.blank.1", caption_loss)

# %% [markdown]
# A model that knows nothing pays the logarithm of the number of pieces. And the same formula in NumPy and Keras, on the same numbers:

# %%
from mmcourse.keras import decoding as keras_decoding
from mmcourse.numpy import decoding as numpy_decoding

size = len(vocabulary.pieces())
nothing = torch.zeros(1, ids.shape[1], size)
know_nothing = caption_loss(nothing, ids, padding_mask).item()
print(f"{know_nothing:.4f} = ln {size} = {math.log(size):.4f}")

with torch.no_grad():
    logits = model(prepare_images(images[:1]), ids)  # (1, n, vocabulary)
arrays = logits.numpy(), ids.numpy(), padding_mask.numpy()
in_numpy, _ = numpy_decoding.token_cross_entropy(*arrays)
in_keras = float(keras_decoding.token_cross_entropy(*arrays))
by_torch = caption_loss(logits, ids, padding_mask).item()
print(f"PyTorch {by_torch:.5f}   NumPy {in_numpy:.5f}   Keras {in_keras:.5f}")

# %% [markdown]
# ## 5 · Build it and train it

# %% [markdown]
# The vision encoder of [clip](clip.ipynb) gives a grid of 8 × 8 vectors. In each block of the decoder, every position first attends to the positions up to its own (causal
# self-attention), then to the 64 cells of the grid (*cross-attention*: queries from the text, keys and values from the picture), then goes through a feed-forward network.

# %% tags=["hide-input"]
canvas = draw.Canvas()
parts = {}
layout = [
    ("picture", "(3, 64, 64)", "blue", 0, 120),
    ("vision encoder", "of clip", "blue", 130, 120),
    ("grid", "(64, 128)", "blue", 329, 120),
    ("pieces so far", "(n,) ids", "orange", 0, 0),
    ("self-attention", "causal", "orange", 145, 0),
    ("cross-attention", "to the grid", "green", 305, 0),
    ("feed-forward", "each alone", "orange", 475, 0),
    ("logits", f"(n, {size})", "orange", 630, 0),
]
for name, note, color, x, y in layout:
    parts[name] = canvas.place(draw.box(name, note=note, color=color), x=x, y=y)
order = ["pieces so far", "self-attention", "cross-attention", "feed-forward", "logits"]
for start, end in zip(order, order[1:]):
    canvas.arrow(parts[start], parts[end])
canvas.arrow(parts["picture"], parts["vision encoder"])
canvas.arrow(parts["vision encoder"], parts["grid"])
canvas.arrow(parts["grid"], parts["cross-attention"])
draw.show(
    canvas,
    alt="Below, a picture goes through the vision encoder of clip to a grid of 64 "
    "vectors. Above, the pieces so far go through causal self-attention, "
    "cross-attention to the grid, and a feed-forward network to logits.",
)

# %% [markdown]
# **Your turn (blank 2).** Write the block's forward pass, pre-norm: each of the three parts gets a *normalized* input, and what it gives is *added* to x (the residual
# connection). `MultiHeadAttention` is the one that you built in [attention](attention.ipynb): `attention(query, context, causal=…)`; without a context it is self-attention.
# <details><summary>Hint 1</summary>
#
# Three lines of the same form, x + part(norm(x)). Which of them may not see the future? Which one gets the grid?
# </details>
# <details><summary>Hint 2</summary>
#
# `x = x + block.self_attention(block.norm1(x), causal=True)`; in the second line the queries are `block.norm2(x)` and the context is `grid`.
# </details>


# %%
class DecoderBlock(nn.Module):
    """Causal self-attention, cross-attention to the picture, feed-forward."""

    def __init__(self, dim=128, num_heads=4):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.norm3 = nn.LayerNorm(dim)
        self.self_attention = MultiHeadAttention(dim, num_heads)
        self.cross_attention = MultiHeadAttention(dim, num_heads)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, 2 * dim),
            nn.GELU(),
            nn.Linear(2 * dim, dim),
        )

    def forward(self, x, grid):
        return block_forward(self, x, grid)


def block_forward(block, x, grid):
    """x (b, n, d), grid (b, 64, d) → (b, n, d)."""
    # BEGIN SOLUTION
    x = x + block.self_attention(block.norm1(x), causal=True)
    x = x + block.cross_attention(block.norm2(x), grid)
    return x + block.feed_forward(block.norm3(x))
    # END SOLUTION


block_forward = check("captioning.blank.2", block_forward)

# %% [markdown]
# Two such blocks between an embedding and the logits are a captioner. The embedding is used twice: its rows turn pieces into vectors, and at the end vectors into
# logits (*how well does this vector agree with each piece?*). That is *weight tying*.


# %%
class SmallCaptioner(nn.Module):
    """Features of a picture and the pieces so far → logits of each next piece."""

    def __init__(self, num_pieces, dim=128, num_layers=2, longest=64):
        super().__init__()
        self.embedding = nn.Embedding(num_pieces, dim)
        nn.init.normal_(self.embedding.weight, std=0.05)
        self.positions = nn.Parameter(0.05 * torch.randn(longest, dim))
        self.to_grid = nn.Sequential(nn.Linear(128, dim), nn.LayerNorm(dim))
        self.blocks = nn.ModuleList(DecoderBlock(dim) for _ in range(num_layers))
        self.norm = nn.LayerNorm(dim)

    def forward(self, features, ids):
        """features (b, 64, 128), ids (b, n) → (b, n, pieces)."""
        grid = self.to_grid(features)
        x = self.embedding(ids) + self.positions[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, grid)
        return self.norm(x) @ self.embedding.weight.T


# %% [markdown]
# To get somewhere in half a minute, it learns from scenes with one or two things only, and from an encoder that is trained already. The encoder stays **frozen**: its features are computed once, and only the decoder learns. In every step other
# speakers describe the pictures, so hardly a sentence comes twice for the same picture. The learning rates rise for 20 steps, then fall to 0.

# %% tags=["free"]
encoder = CLIP.from_pretrained("clip")


@torch.no_grad()
def features_of(images):
    """uint8 (b, 64, 64, 3) → (b, 64, 128)."""
    encoder.eval()
    return torch.cat([encoder.vision(x) for x in prepare_images(images).split(250)])


train_scenes = [world.make(71, i) for i in range(4000)]
train_scenes = [scene for scene in train_scenes if len(scene.things) <= 2]
features = features_of(np.stack([draw_scene(scene) for scene in train_scenes]))
print(features.shape)

# %%
from mmcourse.training.torch.muon import Muon


def make_optimizers(model):
    """Muon for matrices, AdamW for the rest, as in lesson clip."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        is_table = any(word in name for word in ("embedding", "positions"))
        if parameter.ndim > 1 and not is_table:
            matrices.append(parameter)
        else:
            rest.append(parameter)
    adamw = torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(matrices, lr=0.02), adamw]


def new_captions(rows, step):
    """What another speaker says about each of these scenes."""
    speakers = [replace(train_scenes[row], seed=(71, int(row), step)) for row in rows]
    return [english(scene) for scene in speakers]


# %% tags=["free"]
STEPS = 120
torch.manual_seed(0)
g = np.random.default_rng(0)
small = SmallCaptioner(size)
optimizers = make_optimizers(small)
full_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
losses, batches = [], []
for step in range(STEPS):
    rows = g.integers(len(train_scenes), size=64)
    batches.append((rows, new_captions(rows, step)))
    ids, padding_mask = encode_captions(batches[-1][1])
    loss = caption_loss(small(features[rows], ids), ids, padding_mask)
    factor = min(1, (step + 1) / 20) * (1 - step / STEPS)
    for optimizer, rate in zip(optimizers, full_rates):
        optimizer.param_groups[0]["lr"] = rate * factor
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    losses.append(loss.item())
    if step % 30 == 29:
        print(f"step {step + 1:3}   nats per piece {np.mean(losses[-10:]):.3f}")

# %% [markdown]
# Is 0.7 below the floor of section 3? No: these are other captions (one or two things leave less to say), and the unit is the piece. The floor of exactly these captions, those of the last ten steps:

# %% tags=["free"]
least, num_pieces = 0.0, 0
for rows, said in batches[-10:]:
    least += exact_nats(said, [train_scenes[row] for row in rows]).sum()
    num_pieces += encode_captions(said)[1][:, 1:].sum().item()
small_floor = least / num_pieces
shown = set()
for rows, said in batches:
    shown.update(zip(rows.tolist(), said))
print(f"{len(shown):,} of {64 * STEPS:,} pairs of picture and caption are different")
print(f"floor of the last ten batches   {small_floor:.3f} nats per piece")
above = np.mean(losses[-10:]) - small_floor
expect_within("loss above its floor", above, 0.16, 0.08)

# %% tags=["hide-input", "free"]
fig = plot.curves(
    {"loss": losses},
    title="What does half a minute buy?",
    xlabel="step",
    ylabel="nats per piece",
    levels={f"ln {size}": math.log(size), "floor": small_floor},
)
plot.show(fig, alt=f"The loss starts near ln {size}, falls and ends above its floor.")

# %% [markdown]
# The loss says what it costs to *read* true sentences. What does the model *write*? For that we need a loop.

# %% [markdown]
# ## 6 · From probabilities to a sentence

# %% [markdown]
# **Greedy decoding** takes the most probable piece, puts it behind the others, and asks again.
#
# **Your turn (blank 3).** Write the loop. `next_logits(ids)` gives (b, vocabulary) for what follows; after the end (piece 2, `vocabulary.EOS`) comes only padding (piece 0, `vocabulary.PAD`).
# <details><summary>Hint 1</summary>
#
# Which texts have ended? Keep a boolean for each, and let it change the piece that you have chosen.
# </details>
# <details><summary>Hint 2</summary>
#
# `argmax(dim=-1)`, `masked_fill(ended, 0)`, `ended = ended | (piece == 2)`, `torch.cat([ids, piece[:, None]], dim=1)`.
# </details>


# %%
def greedy(next_logits, ids, length):
    """ids (b, n), the beginning → (b, n + length)."""
    # BEGIN SOLUTION
    ended = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(length):
        piece = next_logits(ids).argmax(dim=-1)  # (b,)
        piece = piece.masked_fill(ended, 0)
        ended = ended | (piece == 2)
        ids = torch.cat([ids, piece[:, None]], dim=1)
    return ids
    # END SOLUTION


greedy = check("captioning.blank.3", greedy)

# %% [markdown]
# First your model, on new scenes with one or two things, beside the shipped one:

# %% tags=["free"]
few = [row for row, scene in enumerate(scenes) if len(scene.things) <= 2]
few_scenes = [scenes[row] for row in few]
few_features = features_of(images[few])


@torch.no_grad()
def small_next(ids):
    """Everything is computed again for each piece."""
    return small(few_features, ids)[:, -1]  # (b, pieces)


start = torch.full((len(few), 1), vocabulary.BOS)
written = greedy(small_next, start, 30).numpy()
small_says = [vocabulary.decode(row[1:]) for row in written]
small_found = captioning_figures.truth_of(small_says, few_scenes)
large_found = captioning_figures.truth_of([captions[row] for row in few], few_scenes)
show_captions(range(4), small_says, few_scenes, images[few])

# %% tags=["target"]
n = len(few)
good, true = small_found["grammatical"], small_found["all_true"]
expect_within(f"your captioner, grammatical (share of {n})", good, 0.95, 0.05)
expect_within("your captioner, wholly true", true, 0.65, 0.25)
expect_within("the shipped one, wholly true", large_found["all_true"], 0.98, 0.02)

# %% [markdown]
# Nearly all sentences are well formed, and many of them are false. Fluent output that the input does not support is called a **hallucination**. The shipped model has three blocks,
# its vision encoder was trained together with it, and it was trained on scenes with one to four things. Its curve shows that fluency comes before truth:

# %% tags=["hide-input"]
path = data_dir() / "models" / "captioning" / "figures.json"
stored = json.loads(path.read_text(encoding="utf-8"))
curve = stored["training"]["curve"]
fig = plot.curves(
    {
        "grammatical": [row["grammatical"] for row in curve],
        "wholly true": [row["all_true"] for row in curve],
    },
    x=[row["cpu seconds"] / 60 for row in curve],
    title="What does a quarter of an hour buy?",
    xlabel="minutes of one processor core",
    ylabel="share of 200 captions",
)
plot.show(fig, alt="Grammatical is near 1 from the start; true rises from 0.7 to 0.99.")

# %% [markdown]
# Does your loop give what the course's own gives? For the shipped model, on three pictures:

# %%
pixels = prepare_images(images[:3])


@torch.no_grad()
def next_logits(ids):
    """The shipped model, without a cache."""
    return model(pixels, ids)[:, -1]


start = torch.full((3, 1), vocabulary.BOS)
written = greedy(next_logits, start, 45).numpy()
by_hand = [vocabulary.decode(row[1:]) for row in written]
print("\n".join(by_hand))
assert by_hand == captions[:3]

# %% [markdown]
# **Sampling** picks the next piece at random, by its probability. Three settings change the probabilities first. The *temperature* T divides the logits z, softmax(z / T): below 1, the large get larger. **Top k** keeps the k most probable pieces, whether they have nearly all of the probability together or hardly any. **Top p**, the *nucleus* (Holtzman et al. 2019), keeps the smallest set of most probable pieces that
# has at least p together.
#
# **Your turn (blank 4).** Cut a distribution to its nucleus.
# <details><summary>Hint 1</summary>
#
# Go from the most probable down and add up. The piece that crosses p is the last one that you keep.
# </details>
# <details><summary>Hint 2</summary>
#
# `np.argsort(-p)`; a piece is inside when what the more probable ones have *together* is still below `top_p`. Divide by the sum at the end.
# </details>


# %%
def nucleus(p, top_p):
    """p (vocabulary,), sums to 1 → the same, cut to the nucleus, sums to 1."""
    # BEGIN SOLUTION
    order = np.argsort(-p)
    before = np.cumsum(p[order]) - p[order]  # what the more probable ones have
    kept = np.zeros(len(p))
    inside = order[before < top_p]
    kept[inside] = p[inside]
    return kept / kept.sum()
    # END SOLUTION


nucleus = check("captioning.blank.4", nucleus)

# %% [markdown]
# **Move the sliders.** Which word starts a caption of the first picture? What is left at temperature 0.4, what at top k 3, and what at top p 0.5?

# %%
beginning = encode_captions(["A red star."])[0][:, :2]  # <bos>, capital letter
with torch.no_grad():
    first = model(prepare_images(images[:1]), beginning)[0, -1]  # (vocabulary,)


def show_nucleus(temperature=1.0, top_k=size, top_p=1.0):
    """The most probable first words, and what the settings leave of them."""
    p = (first / temperature).softmax(dim=-1).numpy().astype(float)
    p[np.argsort(-p)[top_k:]] = 0
    left = nucleus(p / p.sum(), top_p)
    best = np.argsort(-p)[:10]
    names = [vocabulary.pieces()[i] for i in best]
    fig, ax = plt.subplots(figsize=(7, 2.8))
    ax.bar(names, left[best])
    ax.set(ylabel="probability", ylim=(0, 1))
    title = f"temperature {temperature:g}, top k {top_k}, top p {top_p:g}"
    ax.set_title(title, loc="left")
    shares = ", ".join(f"{name} {x:.2f}" for name, x in zip(names, left[best]))
    plot.show(fig, alt=f"Probabilities of the first word: {shares}.")


some_k = [1, 2, 3, 5, 10, size]
settings = {"temperature": (0.2, 2.0, 0.2), "top_k": some_k, "top_p": (0.1, 1.0, 0.1)}
widgets.slider(show_nucleus, **settings)

# %% [markdown]
# <details><summary>Answer</summary>
#
# Temperature 0.4 makes the large larger: *There* gets about two thirds, *A* a quarter, all others together less than a tenth. Top k 3 and top p 0.5 keep the same three words here (the two largest have less than 0.5 together, and the third crosses it). With temperature 0.4 they differ: top k 3 still keeps three, top p 0.5 only one.
# </details>
#
# **Beam search** keeps several beginnings (*beams*) at once. In each step, it continues all of them with every piece, sorts all the results by their probability, and cuts: only the best stay. Here is one step with two beams and three pieces each. The numbers are made up, so that you can check them by hand:

# %% tags=["hide-input"]
beams = {"a": 0.50, "an": 0.40}
following = {
    "a": {"red": 0.40, "tiny": 0.35, "big": 0.25},
    "an": {"orange": 0.80, "azure": 0.15, "amber": 0.05},
}
canvas = draw.Canvas()
for title, x in (("beams", 25), ("with each piece", 240), ("sorted, cut", 460)):
    canvas.text(title, x, -28, bold=True)
products = {}
for i, (beam, p) in enumerate(beams.items()):
    box = draw.box(beam, note=f"{p:.2f}", color="blue")
    place = canvas.place(box, x=0, y=60 + 180 * i)
    for j, (piece, q) in enumerate(following[beam].items()):
        product = f"{p:.2f} × {q:.2f} = {p * q:.3f}"
        box = draw.box(f"{beam} {piece}", note=product, color="orange")
        canvas.arrow(place, canvas.place(box, x=160, y=180 * i + 60 * j))
        products[f"{beam} {piece}"] = p * q
ranked = sorted(products, key=products.get, reverse=True)
for i, text in enumerate(ranked):
    color = "green" if i < 2 else "gray"
    box = draw.box(text, note=f"{products[text]:.3f}", color=color)
    canvas.place(box, x=415, y=60 * i)
canvas.arrow((325, 175), (398, 175), label="sort")
canvas.text("kept", 575, 55, bold=True)
canvas.text("dropped", 575, 235)
draw.show(
    canvas,
    alt="One step of beam search. The beams “a” 0.50 and “an” 0.40 with three pieces "
    "each; sorted: " + ", ".join(f"{t} {products[t]:.3f}" for t in ranked) + ". The "
    "first two are kept.",
)

# %% [markdown]
# Greedy decoding would have kept *a* alone, the better beam, and gone on with *a red*, 0.200; beam search also finds *an orange*, 0.320. (A program adds logarithms in place of multiplying.) Of the texts that have ended, it takes the most probable one.
#
# Each further piece makes a text less probable, so this favors short texts. **Length normalization** divides the sum of ln p by $((5 + \text{length}) / 6)^\alpha$ before it sorts (Wu et al. 2016). The *exponent* α says how much a long text is excused; at 0, as here, nothing is divided (exercise 1 builds
# the step).
#
# So greedy decoding and beam search *search* for a probable sentence; sampling does not. Four ways on the same 100 pictures, with the share of true captions, and the mean of ln p, the logarithm of the probability that the model itself gives to its sentence (over those that are grammatical):

# %% tags=["free"]
N = 100
ways = {
    "greedy": {"method": "greedy"},
    "beam search, 5": {"method": "beam", "num_beams": 5},
    "temperature 0.5": {"method": "sample", "temperature": 0.5, "seed": 0},
    "temperature 1": {"method": "sample", "seed": 0},
}
table = {}
for name, options in ways.items():
    said = model.caption(images[:N], **options)
    found = captioning_figures.truth_of(said, scenes[:N])
    good = [row for row in range(N) if truth.parse(said[row]) is not None]
    log_p = model.log_likelihood(images[good], [said[row] for row in good])
    found["log p"] = log_p.mean().item()
    table[name] = said, found

# %% tags=["hide-input", "free"]
print(f"{'':16} wholly true   grammatical   mean ln p")
for name, (said, found) in table.items():
    true, good = found["all_true"], found["grammatical"]
    print(f"{name:16} {true:11.2f} {good:13.2f} {found['log p']:11.2f}")

# %%
found = {name: found["all_true"] for name, (said, found) in table.items()}
apart = table["greedy"][1]["log p"] - table["temperature 1"][1]["log p"]
expect_within("mean ln p, greedy minus temperature 1", apart, 3.0, 0.8)
expect_within("true, greedy", found["greedy"], 0.98, 0.02)
expect_within("true, sampled at temperature 1", found["temperature 1"], 0.70, 0.12)
chance.compare("about 70 %")

# %% [markdown]
# Look at *wholly true*. The same weights: nearly always true, or false in three of ten captions. Is it one unlucky seed? Four more seeds, on the same 100 pictures, and the 95 % interval of the mean of all five (Student's t, for so few values 2.776 in place of 1.96). It covers the seeds, not the pictures; how far another 100 pictures could move the
# mean is the last line. Temperature 0.5 in the table is one seed.

# %% tags=["free"]
at_one = [table["temperature 1"][0]]
at_one += [model.caption(images[:N], "sample", seed=seed) for seed in (1, 2, 3, 4)]
by_seed = [captioning_figures.truth_of(said, scenes[:N])["all_true"] for said in at_one]
mean = np.mean(by_seed)
half_width = 2.776 * np.std(by_seed, ddof=1) / math.sqrt(5)  # t of 4 degrees of freedom
print("by seed:", " ".join(f"{share:.2f}" for share in by_seed))
print(f"mean {mean:.3f} ± {half_width:.3f}")
print(f"other pictures: ± {1.96 * math.sqrt(mean * (1 - mean) / N):.2f}")
expect_within("true, sampled, five seeds", mean, 0.70, 0.06)

# %% [markdown]
# ### Truth against variety
#
# Why sample at all? For **variety**. Seven ways to decode, stored, on all 200 pictures (three seeds where there is chance in it). *Another seed*: what share of the captions another seed changes. *Openings*: with how many different first two words the 200 captions begin. The last row is the grammar, with three speakers in place of seeds. (± 95 % over pictures; of openings over seeds, Student's t.)

# %% tags=["hide-input"]
tables = results("captioning")
names = ["greedy", "beam 5, exponent 0", "beam 5, exponent 0.7", "temperature 0.5"]
names += ["top k 3", "top p 0.9", "temperature 1", "the grammar"]
of_ways = {name: tables["decoding"]["rows"][name] for name in names}
columns = ("wholly true", "another seed", "openings", "words")
print(" " * 21 + "".join(f"{name:>16}" for name in columns))
for name, row in of_ways.items():
    print(f"{name:21}", end="")
    for key, digits in (("true", 2), ("changed", 2), ("openings", 1), ("words", 1)):
        mean, error = row[key]
        print(f"{mean:8.{digits}f} ± {error:<5.{digits}f}", end="")
    print()

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(7, 3.2))
for name, row in of_ways.items():
    x, y = row["openings"][0], row["true"][0]
    ax.plot(x, y, "o", color="C2" if name == "the grammar" else "C0")
    away = (6, -13) if name.startswith("beam") and name.endswith("0") else (6, 5)
    ax.annotate(name, (x, y), away, textcoords="offset points", fontsize=9)
ax.set(xlabel="different openings of 200 captions", ylabel="wholly true")
ax.set(xlim=(0, 44), ylim=(0.6, 1.08))
ax.set_title("Truth against variety", loc="left")
points = ", ".join(f"{name} {row['openings'][0]:.0f} {row['true'][0]:.2f}" for name, row in of_ways.items())
plot.show(fig, alt=f"Openings and share of true captions: {points}.")

# %%
truths = {name: row["true"][0] for name, row in of_ways.items()}
assert truths["greedy"] > truths["temperature 0.5"] > truths["top k 3"]
assert truths["top k 3"] > truths["temperature 1"] and truths["the grammar"] == 1
openings = {name: row["openings"][0] for name, row in of_ways.items()}
assert max(openings[name] for name in names[:3]) < 12
assert openings["top k 3"] < openings["temperature 0.5"] < openings["temperature 1"]
assert abs(openings["temperature 1"] - openings["the grammar"]) < 1

# %% [markdown]
# Greedy captions and those of beams are nearly always true, and begin in about ten ways or fewer; the exponent changes nearly nothing here. Sampled, nearly every caption is another with another seed, and fewer are true. Not every trade is a good one: top k 3 has fewer openings than temperature 0.5 *and* less truth. Temperature 1 is as varied as the grammar, and false in three of ten. It would be easy to say: that is the price, use greedy decoding. But the grammar is varied *and* true. A model whose probabilities were *right* would be true in every single sample, because the grammar says only
# what is true. So each false sample shows something that the model does not know, and that greedy decoding hides. Section 8 finds out what.
#
# ### What does a wider beam buy?
#
# Look at the column *mean ln p* again. Five beams do not find more probable sentences than one. Are five too few? **Record a guess.**

# %%
wider = widgets.guess(
    "The mean ln p of the sentences that 50 beams find, on the same pictures:",
    ["above both", "between the two", "below both"],
)

# %% [markdown]
# Measured once (it takes minutes), beside the greedy caption of each picture:

# %% tags=["hide-input"]
decoding = stored["decoding"]
greedy_row = {"log_p": decoding["greedy_log_p"], "higher": 0, "lower": 0}
greedy_row["that_is"] = decoding["greedy_that_is"]
print("beams   mean ln p   more probable   less probable   with “that is”")
for width, row in {"greedy": greedy_row, **decoding["beams"]}.items():
    print(f"{width:>6}{row['log_p']:12.2f}{row['higher']:16}", end="")
    print(f"{row['lower']:16}{row['that_is']:17}")
assert decoding["beams"]["50"]["log_p"] < decoding["beams"]["5"]["log_p"]
assert decoding["beams"]["50"]["lower"] > decoding["beams"]["50"]["higher"]
wider.compare("below both")

# %% [markdown]
# The wider the beam, the *less* probable its sentences are on average. **Move the sliders**: what does each width find for the first pictures?

# %%
WIDTHS = [1, 2, 5, 10, 50]
beams = [tables["beams"]["widths"][str(width)] for width in WIDTHS]


def show_beams(width=50, picture=1):
    """What beams of this width find, and ln p for all widths (1 is greedy)."""
    said, log_p = beams[WIDTHS.index(width)][picture]
    fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), width_ratios=(1, 2))
    axes[0].imshow(images[picture])
    axes[0].axis("off")
    colors = ["C0" if w == width else "lightgray" for w in WIDTHS]
    heights = [row[picture][1] for row in beams]
    axes[1].barh([str(w) for w in WIDTHS], heights, color=colors)
    axes[1].set(xlabel="ln p of the sentence", ylabel="beams")
    words = said.split()
    lines = [" ".join(words[i : i + 9]) for i in range(0, len(words), 9)]
    axes[1].set_title("\n".join(lines), fontsize=9, loc="left")
    plot.show(fig, alt=f"{width} beams, picture {picture}: ln p {log_p:.2f}, {said}")


widgets.slider(show_beams, width=WIDTHS, picture=(0, 7))

# %%
one, fifty = beams[0], beams[-1]
lost = [i for i in range(8) if fifty[i][1] < one[i][1] - 1e-4]
print(f"50 beams find less than greedy in {len(lost)} of 8 pictures")
for i in lost:
    print("  ", fifty[i][0])
assert all(" that is " in fifty[i][0] for i in lost)
assert all(x[1] >= y[1] - 1e-4 for row in beams[:-1] for x, y in zip(row, one))

# %% [markdown]
# Up to ten beams, a wider search of these eight finds the same or better. Fifty lose in most of them, and each time by a name with *that is*. How can a wider search find less? Here are two ways to name a small blue diamond, with the exact probability of the words up to there:

# %% tags=["hide-input"]
canvas = draw.Canvas()
begin = canvas.place(draw.box("a", note="0.917", color="gray"), x=0, y=55)
direct = [("tiny", "0.222"), ("blue", "0.083"), ("rhombus", "0.042")]
late = [("rhombus", "0.083"), ("that", "0.083"), ("is", "0.083"), ("blue", "0.042")]
late += [("and", "0.042"), ("tiny", "0.014")]
for y, words, color in ((0, direct, "orange"), (110, late, "green")):
    last = begin
    for i, (word, p) in enumerate(words):
        here = canvas.place(draw.box(word, note=p, color=color), x=90 + 111 * i, y=y)
        canvas.arrow(last, here)
        last = here
draw.show(
    canvas,
    alt="Two rows of words after “a” 0.917. Above: tiny 0.222, blue 0.083, rhombus "
    "0.042. Below: rhombus 0.083, that 0.083, is 0.083, blue 0.042, and 0.042, tiny "
    "0.014.",
)

# %% [markdown]
# (*tiny* is 4/6 · 1/3 by the forms of section 3: half of the names, and one in six *in blue*, begin with a size, and it has three words. *A* is not certain: *an azure rhombus* is 1/12.) After three words, *rhombus that is* leads with 0.083 against 0.042, and beam search compares texts of the *same number of pieces*. But the lower text has not paid for the size yet. When it has, it is down to a third of the upper one.
# With several things in a picture there are many such beginnings; they can fill the beam, and one that would have ended well is dropped. That is one way in which it happens, and the last column fits; a run that forbids *that is* was not made. Can one search *everything*? Section 8 does.

# %% [markdown]
# ## 7 · The cache

# %% [markdown]
# `next_logits` above computes everything again for each piece. But a decoder is causal: what a position sees never changes, so neither do its keys and values. The **key–value cache** keeps them. Each
# step then computes one position and attends to the stored rest. For five pieces (each row is a step):

# %% tags=["hide-input"]
steps = 5
without, with_it = [], []
for i in range(steps):
    later = [None] * (steps - i - 1)
    without.append(["computed"] * (i + 1) + later)
    with_it.append(["kept"] * i + ["computed"] + later)
look = {
    "rows": [f"step {i + 1}" for i in range(steps)],
    "columns": [f"piece {j + 1}" for j in range(steps)],
}
flow = draw.column(
    draw.matrix(without, title="without a cache", color="orange", **look),
    draw.matrix(
        with_it,
        title="with a cache",
        highlight=[(i, i) for i in range(steps)],
        **look,
    ),
)
draw.show(
    flow,
    alt="Two triangular tables of five steps and five pieces. Without a cache every "
    "cell is computed; with a cache only the diagonal is, the rest is kept.",
)

# %% [markdown]
# Are the numbers the same, and what is saved? For the second, count how many positions go through the layer that makes keys. (A *forward hook* is a function that PyTorch calls each time a layer has run.)

# %%
ids, _ = encode_captions([english(scenes[0])])
length = ids.shape[1]
positions = []  # one entry per call: how many positions were computed
layer = model.blocks[0].attention.k_proj


def count_positions(layer, inputs, output):
    positions.append(inputs[0].shape[1])


counter = layer.register_forward_hook(count_positions)
with torch.no_grad():
    grid = model.encode_image(prepare_images(images[:1]))
    cache = model.start_cache(grid)
    cached = [model.step(ids[:, t : t + 1], cache) for t in range(length)]
    with_cache = sum(positions)
    positions.clear()
    again = []
    for t in range(length):
        again.append(model.step(ids[:, : t + 1], model.start_cache(grid)))
    without_cache = sum(positions)
counter.remove()

difference = (torch.cat(cached) - torch.cat(again)).abs().max().item()
print(f"largest difference of any logit: {difference:.1e}")
print(f"{length} pieces: {without_cache} positions without, {with_cache} with a cache")
assert difference < 1e-4
assert with_cache == length and without_cache == length * (length + 1) // 2

# %% [markdown]
# For n pieces it is n in place of n(n + 1)/2. Attention itself still looks back at all earlier pieces. A stopwatch shows less than the count here: a step has a fixed cost, and without the cache all positions of a step are computed side by side, which is cheap per position. Measured once when the shipped model was made (one timing each, so neighbors may
# be out of order; the picture's own keys and values were computed once in both cases):

# %%
for n, factor in stored["cache_speedup"].items():
    saved = (int(n) + 1) / 2
    print(f"{n:>4} pieces: positions / {saved:5.1f}, {factor:.1f} times as fast")

# %% [markdown]
# The price is memory: two vectors per piece, block and text; and the same for each of the 64 cells that the cross-attention attends to, once per picture. For the shipped model that is little; for a chat model with thousands of pieces it is one of the things that limit how many people it can serve at once.

# %%
dim, blocks = model.config["dim"], model.config["num_layers"]
for what, vectors in (("text of 60 pieces", 60), ("picture of 64 cells", 64)):
    kilobytes = 2 * vectors * dim * blocks * 4 / 1024  # keys and values, in float32
    print(f"{kilobytes:.0f} kB for each {what}")

# %% [markdown]
# ## 8 · What is false, and what is never said

# %% [markdown]
# `parse` reads a caption with the grammar that wrote the training captions. So each false one can be asked *what* is false: a **thing** that is not there, a wrong **number**, a **relation** (*left of*, *under*, …) that does not hold, the **place** of a lone thing
# (*in the top left corner*), the **background**. The checker needs controls of its own. In captions of the *next* picture, nearly all must have a false *thing*, and most a false *number*. (A relation is judged only if its things are there, a place only for a lone thing, so these columns can say little there.) Where the first two things have exchanged places before the grammar describes them, *every* relation must be false, and
# nothing else.


# %% tags=["free"]
def count_faults(said):
    """Kind of fault → number of captions."""
    counts = Counter()
    for caption, scene in zip(said, scenes):
        counts.update(captioning_figures.find_faults(caption, scene))
    return counts


def count_said(said):
    """How many captions state a relation, a place, a background."""
    parsed = [statement for statement in map(truth.parse, said) if statement]
    return Counter(
        relation=sum(statement.relation is not None for statement in parsed),
        place=sum(statement.place is not None for statement in parsed),
        background=sum(statement.texture is not None for statement in parsed),
    )


def with_sides_exchanged(scene):
    """The scene with the places of its first two things exchanged."""
    if len(scene.things) == 1:
        return scene
    a, b, *rest = scene.things
    a, b = replace(a, x=b.x, y=b.y), replace(b, x=a.x, y=a.y)
    return replace(scene, things=(a, b, *rest))


sampled = model.caption(images, "sample", seed=1)
by_beams = table["beam search, 5"][0] + model.caption(images[N:], "beam", num_beams=5)
speakers = {
    "the grammar": true_captions,
    "sides exchanged": [english(with_sides_exchanged(scene)) for scene in scenes],
    "of the next picture": true_captions[1:] + true_captions[:1],
    "greedy": captions,
    "beam search, 5": by_beams,
    "sampled": sampled,
}
faults = {name: count_faults(said) for name, said in speakers.items()}
stated = {name: count_said(said) for name, said in speakers.items()}

# %% tags=["hide-input", "free"]
kinds = captioning_figures.FAULTS
for title, counts, names in (
    ("number of captions with a fault", faults, kinds),
    ("number of captions that state", stated, ("relation", "place", "background")),
):
    print(f"{title} (of {len(scenes)})")
    print(" " * 20 + "".join(f"{name:>16}" for name in names))
    for speaker, found in counts.items():
        print(f"{speaker:20}" + "".join(f"{found[name]:16}" for name in names))
    print()

# %%
for speaker in ("greedy", "beam search, 5", "sampled"):
    number, false = stated[speaker]["relation"], faults[speaker]["relation"]
    rest = sum(faults[speaker].values()) - false
    print(f"{speaker}: {number} relations, {false} of them false; other faults: {rest}")
    print(f"   {stated[speaker]['background']} backgrounds, ", end="")
    print(f"{faults[speaker]['background']} of them false")
assert faults["sides exchanged"] == {"relation": stated["sides exchanged"]["relation"]}
assert stated["greedy"]["relation"] <= 0.05 * len(scenes)
assert stated["beam search, 5"]["relation"] <= 0.05 * len(scenes)
relations, false = stated["sampled"]["relation"], faults["sampled"]["relation"]
assert false > 0.4 * relations and false > sum(faults["sampled"].values()) - false

# %% [markdown]
# The checker passes its controls. Sampled, the captions state relations about as often as the grammar does (the model has learned *how often*), and about half of them are false. Greedy captions **never say on which side of another a thing is**, nor do those of beam search. Their 99 % comes from leaving it out.
#
# But leaving it out proves no ignorance: greedy captions never state a background either, and there the samples are nearly always right. So: what does the model not know, and would a model that knew it say it?
#
# A temperature between 0 (greedy) and 1 does not mend it. Five seeds each, on 100 pictures. For each false relation, a second question: would the caption be true with the opposite side (*right* for *left*, *under* for *above*)?


# %% tags=["free"]
def count_relations(said):
    """(n, 4): relation stated, false, false by the side alone; another fault."""
    counts = []
    for caption, scene in zip(said, scenes):
        statement = truth.parse(caption)
        found = captioning_figures.find_faults(caption, scene)
        has_relation = statement is not None and statement.relation is not None
        is_false = "relation" in found
        by_side = False
        if is_false:
            opposite = replace(statement, relation=INVERSE[statement.relation])
            by_side = truth.true_of(opposite, scene)
        counts.append((has_relation, is_false, by_side, bool(found) and not is_false))
    return np.array(counts, dtype=float)


at_half = [table["temperature 0.5"][0]]
for seed in (1, 2, 3, 4):
    again = model.caption(images[:N], "sample", temperature=0.5, seed=seed)
    at_half.append(again)
by_temperature = {}
for temperature, of_seeds in ((0.5, at_half), (1.0, at_one)):
    by_temperature[temperature] = sum(count_relations(said) for said in of_seeds)

# %% tags=["hide-input", "free"]
false_share = {}
for temperature, counts in by_temperature.items():  # counts (100 pictures, 4)
    number, false, by_side, others = counts.sum(axis=0)
    share = false / number
    error = np.std(counts[:, 1] - share * counts[:, 0], ddof=1) / counts[:, 0].mean()
    error *= 1.96 / math.sqrt(N)
    false_share[temperature] = share
    print(f"temperature {temperature:g}, {5 * N} captions:")
    print(f"   false {(false + others) / 5 / N:.3f}: ", end="")
    print(f"{false / 5 / N:.3f} by a relation, {others / 5 / N:.3f} otherwise")
    print(f"   {number:.0f} relations, false {share:.2f} ± {error:.2f} (by picture)")
    print(f"   true with the opposite side: {by_side / false:.2f} of the false ones")
lower, higher = (by_temperature[t].sum(axis=0) for t in (0.5, 1.0))
assert lower[0] < 0.8 * higher[0] and lower[3] < 0.5 * higher[3]
assert false_share[0.5] > false_share[1.0] - 0.05
assert higher[2] < 0.7 * higher[1]

# %% [markdown]
# At temperature 0.5 fewer captions are false. About half of that is fewer relations; the other half is that faults of other kinds nearly disappear. Relations did not get truer: of those that are stated, two in three are false. That is *worse* than a toss between two sides, and the last line says why: about half of the false relations, or more, would still be false with the opposite side. So not only the side is wrong.
#
# ### What does it not know?

# %% [markdown]
# Take the grammar's own captions of 600 scenes, those that state a relation, and let it be each of the four: *left of*, *right of*, *above*, *below*, with all other words the same. One is true. How does the model share its probability among the four? Is the *axis* right (beside, or one above the other), and then, is the *side*? By the number of things: with three or four, the caption relates two and lists the rest. (*Below* has four
# wordings and the others three, which is corrected.) Each answer also has a cost, $-\ln$ of its share. And a control: does it know in which of nine places a *lone* thing is?

# %% tags=["free"]
many_scenes, many_images = clip_figures.draw_scenes(600)
RELATIONS = ("left", "right", "above", "below")
MOVED = {"left": (-9, 0), "right": (9, 0), "above": (0, -9), "below": (0, 9)}


def as_if(scene, name):
    """The scene with its first thing moved: now it is left of the second, …"""
    a, b, *rest = scene.things
    a = replace(a, x=b.x + MOVED[name][0], y=b.y + MOVED[name][1])
    return replace(scene, things=(a, b, *rest))


many_captions = [english(scene) for scene in many_scenes]
costs = -model.log_likelihood(many_images, many_captions).numpy()
extra = costs - exact_nats(many_captions, many_scenes)  # above the floor, (600,)
rows = []  # those with a relation that would be false with the opposite side
for row, scene in enumerate(many_scenes):
    statement = truth.parse(many_captions[row])
    if statement.relation:
        opposite = replace(statement, relation=INVERSE[statement.relation])
        if not truth.true_of(opposite, scene):
            rows.append(row)
rows = np.array(rows)
of_four = []
for name in RELATIONS:
    texts = [english(as_if(many_scenes[row], name)) for row in rows]
    wordings = [len(ENGLISH[truth.parse(text).relation]) for text in texts]
    log_p = model.log_likelihood(many_images[rows], texts).numpy()
    of_four.append(log_p + np.log(wordings))
shares = np.exp(of_four - np.logaddexp.reduce(of_four)).T  # (rows, 4)
right = [world.relation(*many_scenes[row].things[:2]) for row in rows]
right = np.array([RELATIONS.index(name) for name in right])
each = np.arange(len(rows))
axis = shares.reshape(-1, 2, 2).sum(axis=2)[each, right // 2]  # share of the true axis
side = shares[each, right] / axis  # of this, the share of the true side
num_things = np.array([len(many_scenes[row].things) for row in rows])

one = [row for row, scene in enumerate(many_scenes) if len(scene.things) == 1][:80]
by_place = []
for place in truth.PLACES:
    things = [" ".join(many_scenes[row].things[0].names) for row in one]
    texts = [f"A {thing} is {place}." for thing in things]
    said_right = -exact_nats(texts, [many_scenes[row] for row in one])
    by_place.append((model.log_likelihood(many_images[one], texts).numpy(), said_right))
model_places, exact_places = np.array(by_place).transpose(1, 2, 0)  # (80, 9) each


# %% tags=["free"]
def interval(values):
    """Mean and half the width of its 95 % interval."""
    return np.mean(values), 1.96 * np.std(values, ddof=1) / math.sqrt(len(values))


print("things    n   axis right   then: side right       a fair coin")
for number in (2, 3, 4):
    here = num_things == number
    known = here & (axis > 0.5)
    coin = 1.96 * math.sqrt(0.25 / known.sum())
    print(f"{number:6}{here.sum():5}{np.mean(axis[here] > 0.5):13.2f}", end="")
    print(f"{np.mean(side[known] > 0.5):12.2f} of {known.sum():3}", end="")
    print(f"       0.50 ± {coin:.2f}")
print("\nnats     all above the floor   the axis        the side        the rest")
for number in (2, 3, 4):
    here = num_things == number
    parts = extra[rows], -np.log(axis), -np.log(side)
    print(f"{number} things", end="      ")
    for values in (*parts, parts[0] - parts[1] - parts[2]):
        print("{:8.2f} ± {:.2f}".format(*interval(values[here])), end="  ")
    print()

# %%
two_things = num_things == 2
place = (model_places.argmax(axis=1) == exact_places.argmax(axis=1)).mean()
known = two_things & (axis > 0.5)
n = two_things.sum()
expect_within(f"place of a lone thing, of {len(one)} (chance 0.11)", place, 0.97, 0.03)
expect_within(f"2 things, axis, of {n}", np.mean(axis[two_things] > 0.5), 0.95, 0.05)
side_right = np.mean(side[known] > 0.5)
expect_within(f"then the side, of {known.sum()}", side_right, 0.52, 0.13)
more = axis[~two_things]
assert np.mean(more > 0.5) < 0.8 and -np.log(more).mean() > 0.4

# %% [markdown]
# It knows where a lone thing is. With two things it also knows whether they are side by side or one above the other. It does not know *which of the two* is on the left: that is a coin toss. With three or four things, it hardly knows the axis either: right in 0.71 and 0.61 of them, where a toss gives 0.5; then the side is a toss again. In nats: the side costs about $\ln 2 = 0.69$ whatever the number; the axis costs little with two things, and nearly another $\ln 2$ with more. These two are most of what these captions cost above their floor.
#
# Let us see it move. Here are a star and a circle; **move the star** from left to right. Does the model ever change its mind?


# %%
def small_thing(color, shape, x):
    """A small thing at (x, 32)."""
    shape, color = world.SHAPES.index(shape), world.COLORS.index(color)
    return world.Thing(shape, color, size=0, x=x, y=32, radius=6.0, turn=0)


def shares_at(x):
    """The star at x: picture, true relation, the model's shares of the four."""
    star, circle = small_thing("yellow", "star", x), small_thing("blue", "circle", 32)
    if x == 32:
        star = replace(star, y=14)  # or it would hide the circle
    scene = world.Scene((star, circle), 0, (3,))
    picture = draw_scene(scene)
    texts, wordings = [], []
    for name in RELATIONS:
        word = ENGLISH[name][0].capitalize()
        texts.append(f"{word} a small blue circle is a small yellow star.")
        wordings.append(len(ENGLISH[name]))
    log_p = model.log_likelihood(np.stack([picture] * 4), texts).numpy()
    p = np.exp(log_p + np.log(wordings) - log_p.max())
    return picture, world.relation(star, circle), p / p.sum()


def show_sides(x=16):
    """The picture with the star at x, and the shares."""
    picture, true_one, p = shares_at(x)
    fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), width_ratios=(1, 2))
    axes[0].imshow(picture)
    axes[0].axis("off")
    axes[1].bar(RELATIONS, p)
    axes[1].set(ylim=(0, 1), ylabel="share of probability")
    axes[1].set_title(f"the star is … the circle (true: {true_one})", loc="left")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(RELATIONS, p))
    plot.show(fig, alt=f"A star at {x} and a circle at 32. The model: {shares}.")


WHERE = [12, 16, 20, 24, 32, 40, 44, 48, 52]
widgets.slider(show_sides, x=WHERE)

# %% [markdown]
# All nine positions in one table. (In the middle, at 32, the star jumps up, so that *above* is true.) And the riddle of section 3, what *a triangle* cost beyond $\ln 6$, as a factor:

# %% tags=["hide-input", "free"]
print("star at   true     left  right  above  below")
for x in WHERE:
    _, true_one, p = shares_at(x)
    print(f"{x:7}   {true_one:6}" + "".join(f"{share:7.2f}" for share in p))
    assert x == 32 or abs(p[0] - p[1]) < 0.1
beyond = first_costs[3] + first_costs[4] - math.log(6)
expect_within("“a triangle”, nats beyond ln 6", beyond, 0.59, 0.1)
print(f"the factor: {math.exp(-beyond):.2f}")

# %% [markdown]
# The star never convinces it: the axis is right everywhere, and *left* has nearly the same share on both sides. And *a triangle*: after *Right of*, the model gave the triangle, which was right, 0.55 of the probability. That was close to a toss too.

# %% [markdown]
# ### Would a model that knew it say it?

# %% [markdown]
# This can be calculated. The *best possible model* gives each sentence the exact probability that the grammar gives it for this picture. A scene has two things, and A is left of B. Here are two ways to begin (which of several names A and B get costs the same in both, and is left out). *There are two things: A and B* must also guess which of the two is mentioned first: the picture does not show it, so ½. *Left of B is A* is one
# of three wordings, and *Right of A is B* is another way: each of them begins with its word in 0.033 of all captions. After *Left of*, the best possible model knows that B must come. A model that knows the axis and not the side has to toss a coin between A and B:

# %% tags=["hide-input"]
canvas = draw.Canvas()
begin = canvas.place(draw.box("<bos>", note="1", color="gray"), x=0, y=65)
upper = [("There", "0.25"), ("are two", "0.2"), ("things:", "0.05")]
upper.append(("A and B", "0.025"))
last = begin
for i, (word, p) in enumerate(upper):
    here = canvas.place(draw.box(word, note=p, color="orange"), x=130 + 125 * i, y=0)
    canvas.arrow(last, here)
    last = here
left = canvas.place(draw.box("Left of", note="0.033", color="green"), x=130, y=110)
canvas.arrow(begin, left)
for y, who, p in ((80, "best possible", "0.033"), (150, "coin toss", "0.017")):
    end = canvas.place(draw.box("B is A", note=p, color="green"), x=380, y=y)
    canvas.arrow(left, end)
    canvas.text(who, 520, end.center[1])
draw.show(
    canvas,
    alt="A tree. Above: There 0.25, are two 0.2, things 0.05, A and B 0.025. Below: "
    "Left of 0.033, then B is A: 0.033 at best, 0.017 for a coin toss.",
)

# %% [markdown]
# **Greedy decoding** takes *There* (0.25), even with the best possible model, and never gets to a relation: other beginnings are split among many words. Of these two *whole sentences*, the best possible model prefers the relation (0.033 against 0.025), and one that tosses a coin the list (0.017
# against 0.025). Are the numbers right? Let 4,000 speakers describe the first scene in which A is left of B:

# %%
two = [row for row, scene in enumerate(many_scenes) if len(scene.things) == 2]
for row in two:
    scene = many_scenes[row]
    if world.relation(*scene.things) == "left":
        break
said = [english(replace(scene, seed=(5, k))) for k in range(4000)]
for beginning, exact_share, band in (
    ("There", 0.25, 0.03),
    ("There are two", 0.2, 0.03),
    ("There are two things", 0.05, 0.015),
    ("Left of", 0.033, 0.012),
    ("Right of", 0.033, 0.012),
):
    share = round(np.mean([text.startswith(beginning) for text in said]), 3)
    expect_within(beginning, share, exact_share, band)

# %% [markdown]
# The grammar has three more wordings. All five for the best possible model, exact, in the scenes with two, three and four different things, as a multiple of *There are two things: A and B*:


# %% tags=["free"]
def five_wordings(things):
    """One sentence of each kind that the grammar has for several things."""
    names = ["a " + " ".join(thing.names) for thing in things]
    a, b, *rest = names
    where = ENGLISH[world.relation(*things[:2])][0]
    also = f" along with {' and '.join(rest)}" if rest else ""
    everything = ", ".join(names[:-1]) + " and " + names[-1]
    number = ENGLISH["count"][len(things) - 2]
    return {
        "Left of B is A": f"{where} {b} is {a}{also}.",
        "A is left of B": f"{a} is {where} {b}{also}.",
        "Here is A left of B": f"here is {a} {where} {b}{also}.",
        "Here is A and B": f"here is {everything}.",
        "There are two things: A and B": f"there are {number} things: {everything}.",
    }


multiples = {}
for number in (2, 3, 4):
    of_number = [scene for scene in many_scenes if len(scene.things) == number]
    exact = []
    for scene in of_number:
        if len({thing.names for thing in scene.things}) == number:
            said = list(five_wordings(scene.things).values())
            exact.append(-exact_nats(said, [scene] * 5))
    exact = np.array(exact)  # (scenes, 5)
    multiples[number] = np.exp(exact - exact[:, -1:])
print(f"{'':30} 2 things  3 things  4 things")
for i, wording in enumerate(five_wordings(many_scenes[two[0]].things)):
    means = [of_number[:, i].mean() for of_number in multiples.values()]
    print(f"{wording:30}" + "".join(f"{mean:10.2f}" for mean in means))
assert (multiples[2].argmax(axis=1) == 0).all() and multiples[2].max() / 2 < 1
assert all((multiples[number].argmax(axis=1) == 4).all() for number in (3, 4))

# %% [markdown]
# With two things, the relation is the most probable of the five in every scene, and half of it, a coin toss, is less than the list. With three or four things the list wins, even for the best possible model.
#
# And what *is* the model's most probable sentence? So far we compared a few wordings. **Exact search** finds it: no sentence gets more probable by going on, so every beginning that is less probable than some whole sentence can be dropped with all that would follow, and all others are kept. Here is one picture, then the first six scenes with two things,
# which were searched once:

# %% tags=["free"]
row = two[0]
found = captioning_figures.most_probable_caption(model, many_images[row])
sentence, log_p, kept = found
print(f"{kept:,} beginnings kept. ln p {log_p:.2f}: {sentence}")
in_greedy = model.caption(many_images[row])[0]
log_p = model.log_likelihood(many_images[row], [in_greedy]).item()
print(f"greedy:                ln p {log_p:.2f}: {in_greedy}")

# %% tags=["hide-input"]
modes = decoding["modes"]
with_relation = 0
for mode in modes:
    with_relation += truth.parse(mode["caption"]).relation is not None
print(f"{len(modes)} scenes, most probable sentence with a relation: {with_relation}")
for name in ("greedy", "beam"):
    short = [mode["log_p"] - mode[name] for mode in modes]
    found_it = sum(gap < 1e-3 for gap in short)
    print(f"{name:6} finds it in {found_it} of {len(modes)}, ", end="")
    print(f"and is {np.mean(short):.2f} nats short on average")
assert with_relation == 0

# %% [markdown]
# The most probable sentence leaves out the sizes too (*a green triangle* and *a tiny green triangle* are equally probable in the grammar). So relations are missing for more than one reason: in greedy decoding the grammar's openings, with three or four things the list, and with two that the model does not know the side. What they share: **the most probable sentence is not a typical one.** What it never says, it
# is never tested on. In translation it can be extreme: there, exact search found that the most probable translation of a sentence is often the empty one (Stahlberg and Byrne 2019).
#
# ### What does the loss say about it?

# %%
lengths = np.array([captioning_figures.num_tokens([text]) for text in many_captions])
gap = extra.sum() / lengths.sum()
error = 1.96 * np.std(extra - gap * lengths, ddof=1) / lengths.mean() / math.sqrt(600)
print(f"loss {costs.sum() / lengths.sum():.3f} nats per token")
print(f"above the floor {gap:.4f} ± {error:.4f}")
for name, p in (("the axis", axis), ("the side", side)):
    print(f"   of it {name} {-np.log(p).sum() / lengths.sum():.4f}")
without = [truth.parse(text).relation is None for text in many_captions]
mean, error = interval(extra[without])
print(f"nats above it per caption, no relation: {mean:.3f} ± {error:.3f}")
share = -np.log(side).sum() / extra.sum()
expect_within("share of the gap that is the side", share, 0.5, 0.1)

# %% [markdown]
# The side is half of all that was left to learn, and about 2 % of the loss; the axis is another quarter or so of that gap. Captions without a relation are nearly at their floor. **A loss near its floor does not say that the rest is unimportant.** In the loss, this fault is a small share; in a test of its own, it is a coin toss.
#
# Why training did not find it, no cell here asks.

# %% [markdown]
# ### The likelihood as a judge

# %% [markdown]
# Lesson [clip](clip.ipynb) ended with fair foils for its two vectors: colors of two things exchanged, left and right exchanged. A captioner has no vector for a sentence. It *reads* it while it looks, and
# $p(\text{sentence} \mid \text{picture})$ judges. On the same foils, both models; and a control without sight, the captioner with gray pictures, which must be a coin toss:

# %% tags=["free"]
clip_vectors = encoder.encode_image(many_images)
gray = np.full_like(many_images, 128)
judged, num_pairs = {}, {}
for kind in foils.KINDS:
    by_vectors, n = clip_figures.foil_accuracy(encoder, many_scenes, clip_vectors, kind)
    judged[kind] = {"clip, nearest vector": by_vectors}
    num_pairs[kind] = n
    for name, pictures in (
        ("captioner, likelihood", many_images),
        ("captioner, gray pictures", gray),
    ):
        share, _ = captioning_figures.foil_accuracy(model, many_scenes, pictures, kind)
        judged[kind][name] = share

# %%
for kind, accuracies in judged.items():
    half_width = 1.96 * math.sqrt(0.25 / num_pairs[kind])
    print(f"{kind}: {num_pairs[kind]} pairs, a coin gives 0.5 ± {half_width:.2f}")
    for name, accuracy in accuracies.items():
        print(f"   {name:26} {accuracy:.3f}")
by_words = {kind: found["captioner, likelihood"] for kind, found in judged.items()}
blind = judged["color"]["captioner, gray pictures"]
expect_within("captioner, exchanged colors", by_words["color"], 0.99, 0.01)
expect_within("captioner, exchanged sides", by_words["relation"], 0.51, 0.1)
expect_within("captioner, exchanged colors, gray pictures", blind, 0.5, 0.1)

# %% [markdown]
# A model that looks while it reads judges exchanged colors without a mistake. Why could clip not? The captioner's encoder was trained further, so perhaps *that* made the difference. Your own captioner decides: its grid comes from clip's encoder, unchanged. It knows scenes with up to two things, so here are the foils of scenes with two:

# %% tags=["free"]
scenes_of_two = [many_scenes[row] for row in two]


@torch.no_grad()
def small_log_p(pictures, captions):
    """ln p of each caption by your captioner, (b,)."""
    ids, padding_mask = encode_captions(captions)
    logits = small(features_of(pictures), ids[:, :-1]).transpose(1, 2)
    nats = F.cross_entropy(logits, ids[:, 1:], reduction="none")
    return -(nats * padding_mask[:, 1:]).sum(dim=1)


of_two = {kind: {} for kind in foils.KINDS}
for kind, accuracies in of_two.items():
    pairs = foils.fair_foils(scenes_of_two, kind)
    seen = many_images[two][[foil.index for foil in pairs]]
    right_ones = [foil.caption for foil in pairs]
    wrong_ones = [foil.foil for foil in pairs]
    for name, pictures in (("", seen), (", gray", np.full_like(seen, 128))):
        wins = small_log_p(pictures, right_ones) > small_log_p(pictures, wrong_ones)
        accuracies[f"your captioner{name}"] = wins.double().mean().item()
    looked_at = scenes_of_two, clip_vectors[two]
    by_vectors, _ = clip_figures.foil_accuracy(encoder, *looked_at, kind)
    accuracies["clip, nearest vector"] = by_vectors
    half_width = 1.96 * math.sqrt(0.25 / len(pairs))
    print(f"{kind}: {len(pairs)} pairs, a coin gives 0.5 ± {half_width:.2f}")
    for name, accuracy in accuracies.items():
        print(f"   {name:22} {accuracy:.3f}")

# %%
found = of_two["color"]["your captioner"]
expect_within("your captioner, exchanged colors", found, 0.9, 0.1)
assert abs(of_two["color"]["your captioner, gray"] - 0.5) < 0.2
assert abs(of_two["relation"]["your captioner"] - 0.5) < 0.2

# %% [markdown]
# So clip's grid holds which thing has which color, and half a minute of training reads it there. What loses it, the picture's one vector, the text's one vector, or their product, this test does not say. Which thing is on which side is a coin toss for clip, for the shipped captioner and for yours.

# %% [markdown]
# ## 9 · Is it good? What the usual metrics say

# %% [markdown]
# Usually nobody can check truth. One compares with what people wrote. **BLEU** counts *n-grams*, runs of n words, that a reference has too (Papineni et al. 2002). By hand, for a sentence with one false color and a reference:

# %%
said = "there is a red star and a tiny blue box".split()
reference = "there is a red star and a tiny green box".split()
shares = []
for n in (1, 2, 3, 4):
    mine = Counter(tuple(said[i : i + n]) for i in range(len(said) - n + 1))
    right = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
    matches, number = (mine & right).total(), mine.total()
    shares.append(matches / number)
    print(f"{n}-grams: {matches} of {number} are in the reference")
print(f"geometric mean {math.prod(shares) ** (1 / 4):.3f}")

# %% [markdown]
# BLEU adds these counts up over a whole corpus before it divides; each n-gram counts at most as often as a reference has it; a penalty for texts that are too short follows (exercise 4 builds it). **CIDEr-D** compares n-grams too, and weighs them by how rare they are; its scale goes from 0 to 10 (Vedantam et al. 2015).
#
# Now several speakers describe the 200 scenes, with five references for each scene by others. Three controls go with the liar, who exchanges one color; they are wholly true. One exchanges a word too, but for a synonym. The others choose the *rarest* and the *commonest* of 20 captions of each scene, by the exact probability.


# %% tags=["free"]
def with_wrong_color(scene):
    """The scene with its first thing in a color that nothing in it has."""
    thing, *rest = scene.things
    used = {other.color for other in scene.things}
    color = next(c for c in range(len(world.COLORS)) if c not in used)
    return replace(scene, things=(replace(thing, color=color), *rest))


def extremes(scene):
    """Of 20 true captions the least and the most probable."""
    said = [english(replace(scene, seed=(*scene.seed, 500 + k))) for k in range(20)]
    nats = exact_nats(said, [scene] * 20)
    return said[nats.argmax()], said[nats.argmin()]


references = []
for scene in scenes:
    others = captioning_figures.other_speakers(scene)
    references.append([captioning_figures.plain(other) for other in others])
another = [english(replace(scene, seed=(*scene.seed, 900))) for scene in scenes]
rarest, commonest = zip(*map(extremes, scenes))
described = {
    "the grammar": true_captions,
    "one synonym": [captioning_figures.with_synonym(c) for c in true_captions],
    "another speaker": another,
    "the rarest wording": rarest,
    "the commonest": commonest,
    "the liar": [english(with_wrong_color(scene)) for scene in scenes],
    "our model, greedy": captions,
    "our model, sampled": sampled,
    "of the next picture": speakers["of the next picture"],
}
scores, each_cider, by_group = {}, {}, {}
for name, said in described.items():
    words = [captioning_figures.plain(sentence) for sentence in said]
    share = captioning_figures.truth_of(said, scenes)["all_true"]
    each_cider[name] = np.array(cider_d(words, references))  # (200,)
    scores[name] = share, bleu(words, references), each_cider[name].mean()
    groups = [bleu(words[i::10], references[i::10]) for i in range(10)]
    by_group[name] = np.array(groups)  # BLEU of ten groups of 20 scenes


# %% tags=["hide-input", "free"]
def difference(first, second):
    """BLEU and CIDEr-D of the first minus the second, each with its 95 % interval."""
    groups = by_group[first] - by_group[second]
    half_width = 2.262 * np.std(groups, ddof=1) / math.sqrt(10)  # Student's t
    mean, error = interval(each_cider[first] - each_cider[second])
    return f"{groups.mean():+.3f} ± {half_width:.3f}   {mean:+.2f} ± {error:.2f}"


columns = f"{'true':>6} {'BLEU':>7} {'CIDEr-D':>8}"
print(f"{'':20} {columns}   minus the grammar's: BLEU, CIDEr-D")
for name, (share, score, rare) in scores.items():
    print(f"{name:20} {share:6.2f} {score:7.3f} {rare:8.2f}", end="   ")
    print("" if name == "the grammar" else difference(name, "the grammar"))
apart = difference("the rarest wording", "the liar")
print(f"{'the rarest wording minus the liar':45}{apart}")

# %%
expect_within("BLEU of the grammar", scores["the grammar"][1], 0.43, 0.02)
expect_within("BLEU of the liar", scores["the liar"][1], 0.37, 0.03)
liar.compare("about 0.37")

# %% [markdown]
# Not one sentence of the liar is true, and it keeps six sevenths of the honest speaker's BLEU. Is a false color then no worse than an unusual wording? The controls answer, and differently for the two metrics. (Intervals at 95 %: of BLEU over ten groups of 20 scenes, of CIDEr-D over 200 scenes.) **BLEU** does notice the lie; a synonym costs nothing that shows (some reference has it). Other honest wordings lose 0.01 or 0.02, in intervals that hold 0. **CIDEr-D** puts the
# speaker with rare words, who is never wrong, *below* the liar. And it gives the greedy model more than the grammar itself. Perhaps because its words are common: the commonest of 20 has more than the grammar too, with an interval that holds 0.
#
# How does that look caption by caption? In how many scenes does a true caption get a higher CIDEr-D than the lie?

# %%
lies = each_cider["the liar"]
for name in ("the grammar", "another speaker", "the rarest wording"):
    wins = np.mean(each_cider[name] > lies)
    print(f"{name:20} higher than the lie in {wins:.2f} of 200 scenes")
wins = {name: np.mean(found > lies) for name, found in each_cider.items()}
expect_within("the same words but one", wins["the grammar"], 0.97, 0.03)
expect_within("a true caption in other words", wins["another speaker"], 0.72, 0.08)
expect_within("a true caption in rare words", wins["the rarest wording"], 0.46, 0.08)

# %% [markdown]
# With all other words equal, CIDEr-D nearly always prefers the truth. When the wording differs, it is right in seven of ten scenes, and when it is rare, in about half. **Neither metric knows what the words are about**: a false word and an unusual one are both words that the references lack. Truth shows in the score when the wording is the same on both sides; a difference between two models can be either.

# %%
assert scores["the liar"][0] == 0 and scores["the rarest wording"][0] == 1
assert scores["the liar"][1] > 0.8 * scores["the grammar"][1]
assert abs(scores["one synonym"][1] - scores["the grammar"][1]) < 0.02
assert scores["the rarest wording"][1] > scores["the liar"][1] + 0.01
assert scores["the rarest wording"][2] < scores["the liar"][2]
assert scores["our model, greedy"][2] > scores["the grammar"][2]
assert scores["of the next picture"][1] < 0.6 * scores["the grammar"][1]

# %% [markdown]
# For photographs, one asks people, or counts the named objects that human annotators did not find in the picture (CHAIR, Rohrbach et al. 2018), or lets a model such as CLIP judge (CLIPScore, Hessel et al. 2021). Lesson [clip](clip.ipynb) tests such a judge with exchanged colors.
#
# The judge of this lesson would not help: it knows one grammar. NLVR (Suhr et al. 2017) has drawn pictures of colored shapes too, and sentences that people wrote about them. Of the 989 sentences of its development set (245 different ones), our grammar can read 0; in only 12 does it know every word. People write of boxes, towers and edges, of *exactly two* and *at least one*. So “99 % true” is about the sentences of one grammar. About a sentence of anybody else this judge says nothing, neither true nor false.

# %% [markdown]
# ## 10 · Take it apart

# %% [markdown]
# ### Which words depend on the picture?

# %% [markdown]
# Read the true captions to the model with their own picture, with another scene's picture, and with a gray one, and see what each kind of word costs. Before you run it: with *another* picture, the cost of which kind will rise by the fewest nats, words of color, shape, size, or all others?

# %% tags=["free"]
COLOR_WORDS = {word for color in world.COLORS for word in ENGLISH[color]}
SHAPE_WORDS = {word for shape in world.SHAPES for word in ENGLISH[shape]}
SIZE_WORDS = {word for size in world.SIZES for word in ENGLISH[size]}
content = {"color": COLOR_WORDS, "shape": SHAPE_WORDS, "size": SIZE_WORDS}
ids, padding_mask = encode_captions(true_captions[:N])


@torch.no_grad()
def cost_of_words(pictures):
    """Mean nats of each kind of word."""
    logits = model(prepare_images(pictures), ids[:, :-1])
    nats = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    costs = {kind: [] for kind in (*content, "other")}
    for row, column in padding_mask[:, 1:].nonzero().tolist():
        word = vocabulary.pieces()[ids[row, column + 1]]
        kind = next((k for k, words in content.items() if word in words), "other")
        costs[kind].append(nats[row, column].item())
    return {kind: np.mean(found) for kind, found in costs.items()}


own = cost_of_words(images[:N])
other = cost_of_words(images[1 : N + 1])
blind = cost_of_words(np.full_like(images[:N], 128))

# %% tags=["hide-input", "free"]
print(f"{'nats per word':14} {'own':>6} {'another':>15} {'gray':>15}")
for kind in own:
    print(f"{kind:14} {own[kind]:6.2f}", end="")
    for costs in (other, blind):
        print(f" {costs[kind]:6.2f} ({costs[kind] - own[kind]:+.2f})", end=" ")
    print()

# %%
rise = {kind: other[kind] - own[kind] for kind in own}
rise_blind = {kind: blind[kind] - own[kind] for kind in own}
assert min(rise, key=rise.get) == "other" and min(rise["color"], rise["shape"]) > 4
assert min(rise_blind, key=rise_blind.get) == "size" and rise_blind["other"] > 1
for kind in content:
    assert other[kind] > blind[kind] > own[kind], kind

# %% [markdown]
# With another picture, the cost of colors and shapes rises most, and that of the other words least. With a gray one it is size that rises least. (The other words include the number of things, places and backgrounds.) For color, shape and size another picture is *worse* than a gray one: the model follows what it sees. (But it has never seen a gray picture.) A check that costs nothing, for every model with
# two inputs: **exchange one of them and see whether the output changes.** If it does not, the model is reading, not looking.
#
# ### Which words could one guess?
#
# A word may cost little because the model sees it, or because the rest of the sentence gives it away. So **erase one word at a time**, and try there every word with which the sentence is still one of the grammar's. The captioner chooses by the likelihood of the whole caption (synonyms are added up), and is right if the sentence says the same as before. Beside it stands who has no picture and knows the grammar perfectly: the best guess by exact probabilities. (Stored, by `make_results.py`: every word of 200 captions; ± 95 % over scenes.)
#
# | right, if erased | words | own picture | gray picture | grammar alone |
# |---|---|---|---|---|
# | color | 496 | 1.00 | 0.15 ± 0.03 | 0.16 ± 0.01 |
# | shape | 496 | 1.00 | 0.18 ± 0.03 | 0.30 ± 0.04 |
# | size | 417 | 1.00 | 0.54 ± 0.05 | 0.66 ± 0.03 |
# | background | 53 | 1.00 | 0.13 ± 0.09 | 0.20 |
# | place of a lone thing | 64 | 1.00 | 0.64 ± 0.10 | 0.64 ± 0.07 |
# | side | 100 | 0.52 ± 0.10 | 0.55 ± 0.10 | 0.53 ± 0.07 |
# | number | 33 | 1.00 | 1.00 | 1.00 |
# | all others | 1861 | 1.00 | 1.00 | 1.00 |
# | all words | 3520 | 0.99 | 0.68 ± 0.01 | 0.71 ± 0.01 |
#
# Color, shape, size, background and place depend on the picture: with it not one is wrong, without it no more than the grammar's guess is right. The side does not: the own picture is worth no more than none, which is the coin toss of section 8, found in another way. A number could have been counted, but the list behind it gives it away. At all other words nothing else could be said (*of*, *are*), or nothing that changes the meaning (*is*, *lies*). So 0.71 of all words need no picture: **a score over all words is mostly a score of language.**
#
# (With a gray picture the model guesses shapes and sizes worse than the grammar alone: it has never seen a gray one.)

# %% [markdown]
# ### Where does it look?

# %% [markdown]
# The cross-attention of the last block, averaged over its heads, while it writes the first words of shape in the greedy caption of the first picture:

# %% tags=["hide-input", "free"]
maps = model.cross_attention(images[0], captions[0])[-1].mean(dim=0)  # (n, 8, 8)
pieces = [vocabulary.pieces()[i] for i in vocabulary.encode(captions[0])]
shown = [t for t, piece in enumerate(pieces) if piece in SHAPE_WORDS][:2]
fig, axes = plt.subplots(1, len(shown) + 1, figsize=(7, 2.7))
axes[0].imshow(images[0])
axes[0].set_title("the picture", fontsize=10)
for ax, t in zip(axes[1:], shown):
    ax.imshow(images[0])
    weights = np.kron(maps[t].numpy(), np.ones((8, 8)))
    ax.imshow(weights, cmap="gray", alpha=0.75)
    ax.set_title(f"as it writes “{pieces[t]}”", fontsize=10)
for ax in axes:
    ax.axis("off")
plot.show(fig, alt="The picture, and for each shape word where the decoder attends.")

# %% [markdown]
# Bright cells get much attention. A map shows where the weights are, not why a word was chosen. The *where* can be tested. Each row of the maps belongs to the position that *predicts* the word, so the word itself is not read yet. The grammar's captions are read, in scenes with two things or more: with a lone thing, every map that finds
# something would be right. A color or a size of the thing may have been read before its shape, so the names that begin with the shape (*a star that is red and tiny*) are also shown alone. How often does the cell with the largest weight lie on the thing whose shape comes next, and how often on *another* one? Beside each, the share of all 64 cells of which that holds. (A cell at a border can belong to two things, so the shares may sum to more than 1.)

# %% tags=["free"]
found = {"the thing": [], "another": []}
comes_first = []  # whether the shape is the first word of its name
chances = {"the thing": [], "another": []}
cells = np.array([(8 * (i % 8) + 4, 8 * (i // 8) + 4) for i in range(64)])  # centers
for row in range(N):
    scene = scenes[row]
    shapes = Counter(thing.shape for thing in scene.things)
    if len(scene.things) == 1:
        continue
    all_maps = model.cross_attention(images[row], true_captions[row])[-1].mean(dim=0)
    words = [vocabulary.pieces()[i] for i in vocabulary.encode(true_captions[row])]
    for t, word in enumerate(words):
        named = [i for i, s in enumerate(world.SHAPES) if word in ENGLISH[s]]
        if not named or shapes[named[0]] != 1:
            continue  # no shape, or two things of this shape
        on = {which: np.zeros(64, dtype=bool) for which in found}
        for thing in scene.things:
            away = np.abs(cells - (thing.x, thing.y)).max(axis=1)
            which = "the thing" if thing.shape == named[0] else "another"
            on[which] |= away < thing.radius + 4
        best = int(all_maps[t].argmax())
        comes_first.append(words[t - 1] in ("a", "an"))
        for which, is_on in on.items():
            found[which].append(is_on[best])
            chances[which].append(is_on.mean())

# %%
print(f"{len(found['the thing'])} words of shape")
for which, expected in (("the thing", 0.84), ("another", 0.26)):
    print(f"any cell, on {which}: {np.mean(chances[which]):.2f}")
    share = np.mean(found[which])
    expect_within(f"the largest weight, on {which}", share, expected, 0.1)
    first_ones = np.array(found[which])[comes_first]
    number = len(first_ones)
    print(f"   where the shape comes first: {first_ones.mean():.2f} of {number}")

# %% [markdown]
# On the thing that comes next far more often than by chance; on another thing as often as any cell is. But where the name begins with its shape, it is on another thing about as often as on the right one. So the map mostly shows the thing that the words before have begun to describe, and not a choice of the next one.

# %% [markdown]
# ### What one would try next

# %% [markdown]
# Training with teacher forcing never shows the model its own mistakes; at test time it continues *its own* beginnings. The difference is called **exposure bias** (Ranzato et al. 2016). And likelihood rewards the words of one reference, not their truth. Where truth can be measured, as here, one can train for it: let the model
# sample a caption, measure how true it is, and make it more probable if it is truer than the greedy one, less probable otherwise. That is **self-critical sequence training** (Rennie et al. 2017), and exercise 2 writes its loss. Rennie et al. took CIDEr as the reward, which compares words with references (section 9). With truth in its place there is another danger. As in the reinforcement learning of chat models, whatever the reward does not measure may get lost. A
# reward of truth alone has nothing against a caption that says less.

# %% [markdown]
# ## 11 · At full size

# %% [markdown]
# The same call with a model for photographs, if its weights are on this machine. The cell downloads nothing. This course was built on a machine without them, so the output says only that it was not run.

# %% tags=["free"]
from huggingface_hub import try_to_load_from_cache

real_name = "Salesforce/blip-image-captioning-base"
if isinstance(try_to_load_from_cache(real_name, "config.json"), str):
    from sklearn.datasets import load_sample_images
    from transformers import BlipForConditionalGeneration, BlipProcessor

    here = {"local_files_only": True}
    processor = BlipProcessor.from_pretrained(real_name, **here)
    real = BlipForConditionalGeneration.from_pretrained(real_name, **here)
    batch = processor(images=load_sample_images().images, return_tensors="pt")
    for options in ({"num_beams": 5}, {"do_sample": True}):
        written = real.generate(**batch, **options)
        print(processor.batch_decode(written, skip_special_tokens=True))
else:
    print(f"not run: {real_name} is not on this machine")

# %% [markdown]
# With a network, load the weights once and give the model ten photographs of your own, in which one thing is beside another. Write down, for greedy and for sampled captions: how many say where something is, and how many of these are right? That is section 8, with you as the checker.

# %% [markdown]
# ## 12 · What to remember

# %% [markdown]
# - A captioner is a classifier of the next piece; with teacher forcing, all positions are trained at once.
# - Shift once, mask padding, and know the floor: on new captions, a loss below it is a leak, and a loss near it can still hide a coin toss.
# - The most probable sentence is not a typical one: what it never says, it is never tested on. Sample, and test each kind of statement by itself.
# - A key–value cache changes the work, not the numbers (up to rounding).
# - BLEU and CIDEr-D compare words: a false word and an unusual one both cost. Whether a sentence is true is another question.

# %% [markdown]
# ## 13 · Check yourself

# %% [markdown]
# <details><summary>1. Your loss falls to 0.02 nats within a minute. What do you check first?</summary>
#
# The shift and the causal mask: the model probably reads the piece that it must predict. (If the same few captions come again and again, it may also have memorized them: look at the loss of new ones.)
# </details>
# <details><summary>2. With the cache, the first piece is right and all later ones are babble. What is wrong?</summary>
#
# Probably the position: each new piece must get the position after the cached ones, not 0.
# </details>
# <details><summary>3. You apply top p first and divide by the temperature afterwards. Is it the same?</summary>
#
# No. The nucleus of a flatter distribution is larger: the order matters.
# </details>
# <details><summary>4. A captioner has a higher CIDEr-D than people have. Is it better?</summary>
#
# Nobody knows from that: the score compares words with references, and here it puts a speaker with rare words, who is never wrong, below a liar. Ask whether it is true, and what it never says.
# </details>
# <details><summary>5. A model's samples are false in 30 % of all cases, its greedy captions in 1 %. Which number describes what it knows?</summary>
#
# Neither alone. A false sample proves a gap, since a model with the right probabilities would be true in all of them. A true one proves nothing about what is not said: a model trained on captions without sides would never be wrong about them, and not know them either. Make a test for each kind of statement, as in section 8.
# </details>
# <details><summary>6. With everybody's pictures exchanged, your captioner's BLEU hardly falls. What has it learned?</summary>
#
# The language of the captions. It is not looking.
# </details>
#
# 7\. Find it: why is the validation loss of this Keras captioner too good?
#
# ```python
# def test_step(self, batch):
#     with tf.GradientTape() as tape:
#         loss = self.loss_of(batch, training=False)
#     gradients = tape.gradient(loss, self.trainable_variables)
#     self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
#     return {"loss": loss}
# ```
# <details><summary>Answer</summary>
#
# It was copied from the training step: `apply_gradients` updates the weights in the *test* step, so the model is trained on the validation pictures. A test step computes loss and metrics, and changes nothing. Keras's own example of a captioner had this until 2021 (keras-io, pull request 557).
# </details>

# %% [markdown]
# ## 14 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/captioning.ipynb): one step of beam search, a loss that rewards truth, a decoding step with a cache, BLEU of a corpus, a choice among three reports, and an open challenge: the judge of left and right that this model is not.
#
# **Where next:** lesson [vlm](vlm.ipynb), in which a language model gets the picture as pieces of its own and answers questions. · **Back to:** [clip](clip.ipynb).
#
# ## Sources
# Captioners: Vinyals et al. 2015, arXiv 1411.4555 (Show and Tell) · Xu et al. 2015, arXiv 1502.03044 (with attention). Training: Williams and Zipser 1989, *Neural Computation* (teacher forcing) · Ranzato et al. 2016, arXiv 1511.06732 (exposure bias) · Rennie et al. 2017, arXiv 1612.00563 (self-critical) · Jordan et al. 2024, *Muon*. Decoding: Holtzman et al. 2019,
# arXiv 1904.09751 (nucleus) · Wu et al. 2016, arXiv 1609.08144 (beam search with a length penalty) · Stahlberg and Byrne 2019, arXiv 1908.10090 (exact search) · Shazeer 2019, arXiv 1911.02150 (what the cache costs). Metrics: Papineni et al. 2002 · Post 2018, arXiv 1804.08771 (BLEU that can be compared) ·
# Vedantam et al. 2015, arXiv 1411.5726 · Rohrbach et al. 2018, arXiv 1809.02156 · Hessel et al. 2021, arXiv 2104.08718 · Suhr et al. 2017, *A Corpus of Natural Language for Visual Reasoning* (NLVR).
