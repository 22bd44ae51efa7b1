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
# - measure truth, and show why BLEU and CIDEr-D cannot.
#
# **Before this:** [clip](clip.ipynb) (the vision encoder, and fair foils), [attention](attention.ipynb) and
# [transformers](transformers.ipynb) (causal mask, cross-attention, decoder block), [evaluate](evaluate.ipynb) (what a score can rest on).
#
# **Time to read:** 70 minutes with the four blanks, then 80 for the [exercises](exercises/captioning.ipynb). The same captioner in Keras, and what
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
from mmcourse.datasets import data_dir, vocabulary
from mmcourse.datasets.scenes import foils, truth, world
from mmcourse.datasets.scenes.captions import ENGLISH, english
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
# Here are four scenes that the course's captioner has never seen, and what it says about them.

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
    told = " · ".join(said[row] for row in rows)
    plot.show(fig, alt=f"Scenes with their captions: {told}")


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
    "color: not one sentence is true. BLEU, the usual metric, gives an honest speaker "
    "0.43. And the liar?",
    ["about 0.05", "about 0.20", "about 0.37"],
)

# %%
chance = widgets.guess(
    "The captions above take the most probable word each time. Now each next word is "
    "drawn by chance instead, with exactly the probabilities that the model gives to "
    "the words. How many of these captions are wholly true?",
    ["about 99 %", "about 90 %", "about 70 %", "about 40 %"],
)

# %% [markdown]
# ## 3 · One piece after the other

# %% [markdown]
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
nats = F.cross_entropy(logits[0], ids[0, 1:], reduction="none")  # (n − 1,)
for piece, cost in zip(ids[0, 1:].tolist(), nats.tolist()):
    print(f"{vocabulary.pieces()[piece]:12} {cost:6.3f}  {'#' * round(10 * cost)}")

# %% [markdown]
# Some pieces cost nearly nothing: after *Right* comes *of*. Others cost something however well one sees: *tiny*, *small* and *little* are equally
# good, and so are several ways to begin. No model can do better than the grammar's own entropy, the mean of $-\ln p$ under the exact probabilities. They are known here; per token (a word, or the end):

# %%
floors = captioning_figures.floors(200)
print(f"floor for whoever sees   {floors['floor']:.4f} nats per token")
print(f"if the order were known  {floors['floor_order_known']:.4f}")

# %% [markdown]
# The grammar mentions things in the order in which they were drawn. The picture does not show that order, so the first of these two is the floor of anybody who only sees. A loss clearly *below* it would mean that
# the answer leaks.

# %% [markdown]
# ## 4 · The formula and its name

# %% [markdown]
# For a picture $x$ and a sentence $y_0, \dots, y_n$ with $y_0$ = `<bos>` and $y_n$ = `<eos>`:
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
# logits (*how well does this vector agree with each piece?*).


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
# Half a minute is not enough for four things in a picture; for one or two it goes a long way, because the encoder can see already. It stays **frozen** here: its features are computed once, and only the decoder learns. In every step other
# speakers describe the pictures, so no sentence comes twice in the same words, or hardly ever.

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
losses = []
for step in range(STEPS):
    rows = g.integers(len(train_scenes), size=64)
    ids, padding_mask = encode_captions(new_captions(rows, step))
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

# %% tags=["hide-input", "free"]
fig = plot.curves(
    {"loss": losses},
    title="What does half a minute buy?",
    xlabel="step",
    ylabel="nats per piece",
    levels={f"ln {size}": math.log(size)},
)
plot.show(fig, alt=f"The loss starts near ln {size}, falls fast, then slowly.")

# %% [markdown]
# The loss says what it costs to *read* true sentences. What does the model *write*? For that we need a loop.

# %% [markdown]
# ## 6 · From probabilities to a sentence

# %% [markdown]
# **Greedy decoding** takes the most probable piece, puts it behind the others, and asks again.
#
# **Your turn (blank 3).** Write the loop. `next_logits(ids)` gives (b, vocabulary) for what follows; after the end (piece 2) comes only padding (piece 0).
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
expect_within(f"grammatical, of {n}", small_found["grammatical"], 0.95, 0.05)
expect_within(f"wholly true, of {n}", small_found["all_true"], 0.65, 0.25)
expect_within("the shipped model, wholly true", large_found["all_true"], 0.98, 0.02)

# %% [markdown]
# Fluent before truthful: nearly all sentences are well formed, and about a third of them are false. Fluent output that the input does not support is called a **hallucination**. The shipped model has three blocks,
# its vision encoder was trained along, and it saw all scenes; its curve shows how truth follows grammar:

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
# **Sampling** draws the next piece by chance. Two knobs: the *temperature* divides the logits (below 1: sharper), and **top p**, the *nucleus* (Holtzman et al. 2019), keeps only the most probable pieces that
# have p of the probability together.
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
# **Turn the knobs.** Which word starts a caption of the first picture? What is left at temperature 0.4, and what at top p 0.5?

# %%
beginning = encode_captions(["A red star."])[0][:, :2]  # <bos>, capital letter
with torch.no_grad():
    first = model(prepare_images(images[:1]), beginning)[0, -1]  # (vocabulary,)


def show_nucleus(temperature=1.0, top_p=1.0):
    """The most probable first words, and what the knobs leave of them."""
    p = (first / temperature).softmax(dim=-1).numpy().astype(float)
    left = nucleus(p / p.sum(), top_p)
    best = np.argsort(-p)[:10]
    names = [vocabulary.pieces()[i] for i in best]
    fig, ax = plt.subplots(figsize=(7, 2.8))
    ax.bar(names, left[best])
    ax.set(ylabel="probability", ylim=(0, 1))
    ax.set_title(f"temperature {temperature:g}, top p {top_p:g}", loc="left")
    shares = ", ".join(f"{name} {x:.2f}" for name, x in zip(names, left[best]))
    plot.show(fig, alt=f"Probabilities of the first word: {shares}.")


widgets.slider(show_nucleus, temperature=(0.2, 2.0, 0.2), top_p=(0.1, 1.0, 0.1))

# %% [markdown]
# **Beam search** keeps several beginnings at once, continues each of them with every piece, and keeps the best of all. Of the texts that it finds it takes the most probable one (exercise 1 builds
# its step). So greedy decoding and beam search *search* for a probable sentence; sampling does not. All of them on the same 100 pictures, with the share of true captions, and the mean of ln p, the logarithm of the probability that the model itself gives to its sentence:

# %% tags=["free"]
N = 100
ways = {
    "greedy": {"method": "greedy"},
    "beam search, 5": {"method": "beam", "num_beams": 5},
    "temperature 0.5": {"method": "sample", "temperature": 0.5, "seed": 0},
    "top p 0.9": {"method": "sample", "top_p": 0.9, "seed": 0},
    "temperature 1": {"method": "sample", "seed": 0},
}
table = {}
for name, options in ways.items():
    said = model.caption(images[:N], **options)
    found = captioning_figures.truth_of(said, scenes[:N])
    log_p = np.nan
    if found["grammatical"] == 1 or options["method"] != "sample":
        log_p = model.log_likelihood(images[:N], said).mean().item()
    found["log p"] = log_p
    table[name] = said, found

# %% tags=["hide-input", "free"]
print(f"{'':16} wholly true   grammatical   mean ln p")
for name, (said, found) in table.items():
    log_p = "" if math.isnan(found["log p"]) else f"{found['log p']:12.2f}"
    true, good = found["all_true"], found["grammatical"]
    print(f"{name:16} {true:11.2f} {good:13.2f}{log_p:>12}")

# %%
found = {name: found["all_true"] for name, (said, found) in table.items()}
gain = table["beam search, 5"][1]["log p"] - table["greedy"][1]["log p"]
expect_within("mean ln p, beam search minus greedy:", gain, -0.2, 0.3)
expect_within("true, greedy", found["greedy"], 0.98, 0.02)
expect_within("true, drawn by chance", found["temperature 1"], 0.70, 0.12)
chance.compare("about 70 %")

# %% [markdown]
# Keeping five beginnings found no more probable sentences here than greedy decoding did: a beginning that would have ended well may be dropped before its good part comes. Beam search is no guarantee.
#
# But the truth! The same weights: nearly always true, or false in three of ten captions. Is it one unlucky draw? Four more seeds, on the same 100 pictures, and the 95 % interval of the mean of all five (Student's t):

# %% tags=["free"]
by_seed = [table["temperature 1"][1]["all_true"]]
for seed in (1, 2, 3, 4):
    said = model.caption(images[:N], "sample", seed=seed)
    by_seed.append(captioning_figures.truth_of(said, scenes[:N])["all_true"])
half_width = 2.776 * np.std(by_seed, ddof=1) / math.sqrt(5)  # t of 4 degrees of freedom
print("by seed:", " ".join(f"{share:.2f}" for share in by_seed))
print(f"mean {np.mean(by_seed):.3f} ± {half_width:.3f}")
expect_within("true, drawn by chance, five seeds", np.mean(by_seed), 0.70, 0.06)

# %% [markdown]
# It would be easy to say: sampling is noisy, use greedy decoding. That is what nearly everyone does. But a model whose probabilities were *right* would be true in every single sample, because the grammar says only
# what is true. So each false sample shows something that the model does not know, and that greedy decoding hides. Section 8 finds out what.

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
# Two things must be shown: that the numbers are the same, and what is saved. For the second, count how many positions really go through the layer that makes keys, instead of trusting a stopwatch.

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
# For n pieces it is n in place of n(n + 1)/2. Attention itself still looks back at all earlier pieces. A stopwatch shows less than the count for short texts, since a step has a fixed cost too; measured once when the shipped model was made:

# %%
for n, factor in stored["cache_speedup"].items():
    saved = (int(n) + 1) / 2
    print(f"{n:>4} pieces: positions / {saved:5.1f}, {factor:.1f} times as fast")

# %% [markdown]
# The price is memory: two vectors per piece, block and text. For the shipped model and 60 pieces that is little; for a chat model with thousands of pieces it is what limits how many people it can serve at once.

# %%
dim, blocks = model.config["dim"], model.config["num_layers"]
kilobytes = 2 * 60 * dim * blocks * 4 / 1024
print(f"{kilobytes:.0f} kB for each text of 60 pieces, in float32")

# %% [markdown]
# ## 8 · What is false, and what is never said

# %% [markdown]
# `parse` reads a caption with the grammar that wrote the training captions. So each false one can be asked *what* is false: a **thing** that is not there, a wrong **number**, a **relation** (*left of*, *under*, …) that does not hold, the **place** of a lone thing
# (*in the top left corner*), the **background**. As a control, captions of the *next* picture, in which nearly everything must be found false:


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


sampled = model.caption(images, "sample", seed=1)
speakers = {
    "the grammar": [english(scene) for scene in scenes],
    "greedy": captions,
    "drawn by chance": sampled,
    "of the next picture": captions[1:] + captions[:1],
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
relations = stated["drawn by chance"]["relation"]
false_relations = faults["drawn by chance"]["relation"]
others = sum(faults["drawn by chance"].values()) - false_relations
print(f"greedy: {stated['greedy']['relation']} relations in {len(scenes)} captions")
print(f"drawn by chance: {relations} relations, {false_relations} of them false;")
print(f"all other faults together: {others}")
assert stated["greedy"]["relation"] <= 0.05 * len(scenes)
assert false_relations > 0.4 * relations and false_relations > others

# %% [markdown]
# There it is. Drawn by chance, the captions state relations as often as the grammar does (the model has learned *how often*), and about half of them are false. The greedy captions are true because they **never say where one thing is
# beside another**. A truth of 99 % that comes from silence.
#
# Two questions: what exactly does the model not know? And why is it silent about just that?

# %% [markdown]
# ### What does it not know?

# %% [markdown]
# Take scenes with exactly two things A and B, and four sentences that differ in one word: *Left of B is A*, *right of*, *above*, *below*. One is true. Which one does the model think most probable? (*Below* has four synonyms and the others three, which
# is corrected.) And a control: lone things, and nine sentences that put them in one of nine places. Does it know where *one* thing is?

# %% tags=["free"]
many_scenes, many_images = clip_figures.draw_scenes(600)
two = [row for row, scene in enumerate(many_scenes) if len(scene.things) == 2]
one = [row for row, scene in enumerate(many_scenes) if len(scene.things) == 1][:80]
RELATIONS = ("left", "right", "above", "below")


def phrase(thing):
    """For instance: a small red circle."""
    return "a " + " ".join(thing.names)


def most_probable(rows, sentences, synonyms):
    """ln p of each sentence by the model and by perfect eyes, (rows, sentences)."""
    by_model, by_eyes = [], []
    for texts, count in zip(zip(*sentences), synonyms):
        log_p = model.log_likelihood(many_images[rows], texts).numpy()
        exact = []
        for text, row in zip(texts, rows):
            exact.append(truth.log_p(text, many_scenes[row], order_known=False))
        by_model.append(log_p + math.log(count))
        by_eyes.append(np.array(exact) + math.log(count))
    return np.stack(by_model, axis=1), np.stack(by_eyes, axis=1)


sides = []
for row in two:
    a, b = (phrase(thing) for thing in many_scenes[row].things)
    words = [ENGLISH[name][0] for name in RELATIONS]
    sides.append([f"{word.capitalize()} {b} is {a}." for word in words])
places = []
for row in one:
    a = phrase(many_scenes[row].things[0])
    places.append([f"{a.capitalize()} is {place}." for place in truth.PLACES])

synonyms = [len(ENGLISH[name]) for name in RELATIONS]
model_sides, exact_sides = most_probable(two, sides, synonyms)
model_places, exact_places = most_probable(one, places, [1] * 9)

# %%
right_side = exact_sides.argmax(axis=1)  # 0 left, 1 right, 2 above, 3 below
chosen = model_sides.argmax(axis=1)
is_vertical, says_vertical = right_side >= 2, chosen >= 2
axis = (is_vertical == says_vertical).mean()
direction = (chosen == right_side)[is_vertical == says_vertical]
place = (model_places.argmax(axis=1) == exact_places.argmax(axis=1)).mean()
n = len(direction)
expect_within(f"place of a lone thing, of {len(one)} (chance 0.11)", place, 0.97, 0.03)
expect_within(f"beside or above, of {len(two)} (chance 0.5)", axis, 0.95, 0.05)
expect_within(f"then: on which side, of {n}", direction.mean(), 0.52, 0.13)
half_width = 1.96 * math.sqrt(0.25 / n)
print(f"a fair coin, {n} tosses: 0.5 ± {half_width:.2f} in 95 % of all cases")

# %% [markdown]
# It knows where a lone thing is. It knows whether two things are side by side or one above the other. It does not know *which of the two* is on the left. Both things are there, the axis is right, and
# who is where is a coin toss. Let us see it move. Here are a star and a circle; **move the star** from left to right, and see when the model changes its mind.


# %%
def show_sides(x=16):
    """The star at x; shares of the four relations by the model."""
    star = world.Thing(4, world.COLORS.index("yellow"), 0, x, 32, 6.0, 0)
    circle = world.Thing(0, world.COLORS.index("blue"), 0, 32, 32, 6.0, 0)
    if x == 32:
        star = replace(star, y=14)
    scene = world.Scene((star, circle), 0, (3,))
    picture = draw_scene(scene)
    words = [ENGLISH[name][0] for name in RELATIONS]
    texts = [f"{w.capitalize()} {phrase(circle)} is {phrase(star)}." for w in words]
    log_p = model.log_likelihood(np.stack([picture] * 4), texts).numpy()
    log_p = log_p + np.log(synonyms)
    p = np.exp(log_p - log_p.max())
    p = p / p.sum()
    true_one = world.relation(star, circle)
    fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), width_ratios=(1, 2))
    axes[0].imshow(picture)
    axes[0].axis("off")
    axes[1].bar(RELATIONS, p)
    axes[1].set(ylim=(0, 1), ylabel="share of probability")
    axes[1].set_title(f"the star is … the circle (true: {true_one})", loc="left")
    shares = ", ".join(f"{name} {share:.2f}" for name, share in zip(RELATIONS, p))
    plot.show(fig, alt=f"A star at {x} and a circle at 32. The model: {shares}.")


widgets.slider(show_sides, x=[12, 16, 20, 24, 32, 40, 44, 48, 52])

# %% [markdown]
# Does the star ever convince it? Compare *left* and *right* at the two ends of the slider.

# %% [markdown]
# ### Why is it silent?

# %% [markdown]
# Because greedy decoding and beam search look for a probable sentence, and a speaker who does not know the side has to share the probability of a relation between two sides. This can be calculated. Here are two beginnings for a scene with two things, with the *exact* probabilities of the grammar for somebody who sees that A is left of B (*left of* is one of three ways to
# say it; what follows, the two things, costs the same in both):

# %% tags=["hide-input"]
canvas = draw.Canvas()
begin = canvas.place(draw.box("<bos>", note="1", color="gray"), x=0, y=55)
upper = [("There", "0.25"), ("are two", "0.2"), ("things:", "0.05")]
lower = [("Left", "0.067"), ("of", "0.067")]
for y, words, color in ((0, upper, "orange"), (110, lower, "green")):
    last = begin
    for i, (word, p) in enumerate(words):
        box = draw.box(word, note=p, color=color)
        here = canvas.place(box, x=140 + 130 * i, y=y)
        canvas.arrow(last, here)
        last = here
draw.show(
    canvas,
    alt="A tree. Above: There 0.25, are two 0.2, things 0.05. Below: Left 0.067, of "
    "0.067. Under each word is the probability of the text up to there.",
)

# %% [markdown]
# **Greedy decoding**, even with perfect eyes, takes *There* (0.25), ends at 0.05, and never speaks of a relation: other beginnings are split among many words. Is the 0.25 right? Let 4,000 speakers describe one scene with two things:

# %%
scene = many_scenes[two[0]]
said = [english(replace(scene, seed=(5, k))) for k in range(4000)]
firsts = Counter(sentence.split()[0] for sentence in said)
for word, count in firsts.most_common(5):
    print(f"{word:8} {count / len(said):.3f}")
expect_within("There", firsts["There"] / len(said), 0.25, 0.02)
after_there = [sentence for sentence in said if sentence.startswith("There")]
are = np.mean([sentence.startswith("There are two") for sentence in after_there])
expect_within("are two, after There", are, 0.80, 0.04)

# %% [markdown]
# The **most probable sentence** itself, which a thorough search would find, starts with *Left of*, for perfect eyes: 0.067 against 0.05. For a speaker who knows the axis and not the side, *Left* and *Right* get 0.033 each, and the silent sentence wins. The prediction: the best relation of our model is
# ln 2 below that of perfect eyes, in comparison with *There are two things: …*. Measured:

# %% tags=["free"]
silent = []
for row in two:
    a, b = (phrase(thing) for thing in many_scenes[row].things)
    silent.append([f"There are two things: {a} and {b}."])
model_silent, exact_silent = most_probable(two, silent, [1])
spoken = np.log(synonyms)  # one wording only, as in a sentence that is written
model_gap = (model_sides - spoken).max(axis=1) - model_silent[:, 0]
exact_gap = (exact_sides - spoken).max(axis=1) - exact_silent[:, 0]

# %%
predicted = exact_gap.mean() - math.log(2)
print("ln p(relation) − ln p(silent):")
expect_within("perfect eyes", exact_gap.mean(), 0.2, 0.05)
expect_within("predicted for a coin toss", predicted, -0.49, 0.05)
expect_within("our model", model_gap.mean(), -0.45, 0.15)
wins = (exact_gap > -1e-9).mean(), (model_gap > 0).mean()
print(f"the relation wins or ties: perfect eyes {wins[0]:.2f}, our model {wins[1]:.2f}")

# %% [markdown]
# So there are two reasons. Greedy decoding is silent because of the grammar's beginnings, whoever speaks. And the most probable sentence is silent because the model does not know the side. **The most probable sentence is not a typical one**, and it says least about what the model is least sure of. That is a good habit
# of a speaker, and a bad one of a test: it hid the fault from the score.
#
# ### Why did it not learn it?

# %% [markdown]
# What would it have gained? In a caption with a relation, the side costs ln 2 when it is a coin toss. Per token of all captions:

# %%
share = stated["the grammar"]["relation"] / len(scenes)
num_tokens = captioning_figures.num_tokens(speakers["the grammar"])
tokens_per_caption = num_tokens / len(scenes)
worth = share * math.log(2) / tokens_per_caption
gap = stored["figures"]["nll_per_token"] - stored["figures"]["floor"]
print(f"{share:.2f} of captions state one, {tokens_per_caption:.1f} tokens each")
print(f"loss of the shipped model    {stored['figures']['nll_per_token']:.3f}")
print(f"not knowing the side costs   {worth:.4f} nats per token")
print(f"loss above the floor in all  {gap:.4f} nats per token")
expect_within("what the side is worth", worth, 0.017, 0.003)

# %% [markdown]
# The loss is 0.754 nats per token, and the side is worth 0.017 of them: two percent. It is also half of all that was left to learn. **A loss near its floor does not say that the rest is unimportant.** With the loss alone, that fault is a rounding error; with a test of its own, it is a coin toss.
#
# Why training did not find it in its quarter of an hour, we do not know. Finding out who is on the left takes two looks and a comparison, where a color takes one look; this fits what we saw, and no cell here shows that it is the reason.

# %% [markdown]
# ### The likelihood as a judge

# %% [markdown]
# Lesson [clip](clip.ipynb) ended with fair foils for its two vectors: colors of two things exchanged, left and right exchanged. A captioner has no vector for a sentence. It *reads* it while it looks, and
# $p(\text{sentence} \mid \text{picture})$ judges. On the same foils, both models:

# %% tags=["free"]
clip_vectors = encoder.encode_image(many_images)
judged = {}
for kind in foils.KINDS:
    looked_at = many_scenes, many_images
    by_words, n = captioning_figures.foil_accuracy(model, *looked_at, kind)
    by_vectors, _ = clip_figures.foil_accuracy(encoder, many_scenes, clip_vectors, kind)
    judged[kind] = by_vectors, by_words, n

# %% tags=["target"]
for kind, (by_vectors, by_words, n) in judged.items():
    half_width = 1.96 * math.sqrt(0.25 / n)
    print(f"{kind}: {n} pairs, a coin gives 0.5 ± {half_width:.2f}")
    print(f"   clip, nearest vector         {by_vectors:.3f}")
    print(f"   captioner, larger likelihood {by_words:.3f}")
expect_within("captioner, exchanged colors", judged["color"][1], 0.99, 0.01)
expect_within("captioner, exchanged sides", judged["relation"][1], 0.51, 0.1)

# %% [markdown]
# A model that looks while it reads judges exchanged colors without a mistake: *who has which color* is in the grid of features, cell by cell. *Who is on which side* is a coin toss, here too. So reading while looking is enough for one binding
# and, in this model, not for the other. (Compare with the lines of clip.)

# %% [markdown]
# ## 9 · Is it good? What the usual metrics say

# %% [markdown]
# Usually nobody can check truth. One compares with what people wrote. **BLEU** counts *n-grams*, runs of n words, that a reference has too (Papineni et al. 2002). By hand, for a false sentence and a reference:

# %%
said = "a red star and a blue box".split()
reference = "a blue star and a red box".split()
for n in (1, 2, 3, 4):
    mine = Counter(tuple(said[i : i + n]) for i in range(len(said) - n + 1))
    right = Counter(tuple(reference[i : i + n]) for i in range(len(reference) - n + 1))
    print(f"{n}-grams: {(mine & right).total()} of {mine.total()} are in the reference")

# %% [markdown]
# BLEU is the geometric mean of the four shares over a whole corpus, each n-gram counted at most as often as a reference has it, times a penalty for texts that are too short (exercise 4 builds it). **CIDEr-D** compares n-grams too, and weighs them by how rare they are (Vedantam et al. 2015). Let five speakers describe the 200
# scenes, with five references for each scene by others:


# %% tags=["free"]
def with_wrong_color(scene):
    """The scene with its first thing in a color that nothing in it has."""
    thing, *rest = scene.things
    used = {other.color for other in scene.things}
    color = next(c for c in range(len(world.COLORS)) if c not in used)
    return replace(scene, things=(replace(thing, color=color), *rest))


references = []
for scene in scenes:
    others = captioning_figures.other_speakers(scene)
    references.append([captioning_figures.plain(other) for other in others])
honest = speakers["the grammar"]
described = {
    "the grammar": honest,
    "the liar": [english(with_wrong_color(scene)) for scene in scenes],
    "our model, greedy": captions,
    "our model, drawn": sampled,
    "of the next picture": honest[1:] + honest[:1],
}
scores = {}
for name, said in described.items():
    words = [captioning_figures.plain(sentence) for sentence in said]
    share = captioning_figures.truth_of(said, scenes)["all_true"]
    rare = np.mean(cider_d(words, references))
    scores[name] = share, bleu(words, references), rare

# %% tags=["hide-input", "free"]
print(f"{'':20} {'true':>6} {'BLEU':>7} {'CIDEr-D':>8}")
for name, (share, score, rare) in scores.items():
    print(f"{name:20} {share:6.2f} {score:7.3f} {rare:8.2f}")

# %%
expect_within("BLEU of the grammar", scores["the grammar"][1], 0.43, 0.02)
expect_within("BLEU of the liar", scores["the liar"][1], 0.37, 0.03)
liar.compare("about 0.37")

# %% [markdown]
# Not one sentence of the liar is true, and it keeps most of the honest speaker's BLEU: a false color costs no more than an unusual wording. And the greedy model gets a *higher* CIDEr-D than the grammar itself, a speaker who is never wrong: it prefers common wordings. **Neither metric knows what
# the words are about.** They notice when somebody speaks of another picture; they hardly notice a lie about one word.

# %%
assert scores["the liar"][0] == 0
assert scores["the liar"][1] > 0.8 * scores["the grammar"][1]
assert scores["our model, greedy"][2] > scores["the grammar"][2]
assert scores["of the next picture"][1] < 0.6 * scores["the grammar"][1]

# %% [markdown]
# For photographs, one asks people, or counts things that a detector does not find (CHAIR, Rohrbach et al. 2018), or lets a model such as CLIP judge (CLIPScore, Hessel et al. 2021). Lesson [clip](clip.ipynb) tests such a judge with exchanged colors.

# %% [markdown]
# ## 10 · Take it apart

# %% [markdown]
# ### Which words depend on the picture?

# %% [markdown]
# Read the true captions to the model with their own picture, with another scene's picture, and with a gray one, and see what each kind of word costs. Before you run it: which kind will suffer least?

# %% tags=["free"]
COLOR_WORDS = {word for color in world.COLORS for word in ENGLISH[color]}
SHAPE_WORDS = {word for shape in world.SHAPES for word in ENGLISH[shape]}
SIZE_WORDS = {word for size in world.SIZES for word in ENGLISH[size]}
content = {"color": COLOR_WORDS, "shape": SHAPE_WORDS, "size": SIZE_WORDS}
ids, padding_mask = encode_captions(honest[:N])


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
another = cost_of_words(images[1 : N + 1])
blind = cost_of_words(np.full_like(images[:N], 128))

# %% tags=["hide-input", "free"]
print(f"{'nats per word':14} {'own':>6} {'another':>9} {'gray':>6}")
for kind in own:
    print(f"{kind:14} {own[kind]:6.2f} {another[kind]:9.2f} {blind[kind]:6.2f}")

# %%
for kind in ("color", "shape", "size"):
    assert another[kind] > blind[kind] > own[kind], kind
    assert another[kind] - own[kind] > another["other"] - own["other"], kind

# %% [markdown]
# Colors and shapes suffer most; the words between them least. And another picture is *worse* than none for all three kinds: the model believes what it sees. (A gray picture is something that it has never seen, so its column is a guess of its own kind.) A check that costs nothing, for every model with
# two inputs: **exchange one of them and see whether the output cares.** If it does not, the model is reading, not looking.

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
# Bright cells get much attention. A map shows where the weights are, not why a word was chosen; here one can at least test it. How often does the cell with the largest weight lie on the thing whose shape is
# being written? Beside it, the share for cells of *another* thing, and for a cell drawn by chance:

# %% tags=["free"]
on_it, on_other, by_chance = [], [], []
for row in range(60):
    scene = scenes[row]
    kinds = Counter(thing.shape for thing in scene.things)
    all_maps = model.cross_attention(images[row], honest[row])[-1].mean(dim=0)
    words = [vocabulary.pieces()[i] for i in vocabulary.encode(honest[row])]
    for t, word in enumerate(words):
        named = [i for i, s in enumerate(world.SHAPES) if word in ENGLISH[s]]
        if not named or kinds[named[0]] != 1:
            continue  # no shape, or two things of this shape
        best = int(all_maps[t].argmax())
        x, y = 8 * (best % 8) + 4, 8 * (best // 8) + 4  # center of the cell in pixels
        hit = []
        for thing in scene.things:
            away = max(abs(x - thing.x), abs(y - thing.y))
            if away < thing.radius + 4:
                hit.append(thing.shape == named[0])
            if thing.shape == named[0]:
                by_chance.append((2 * thing.radius + 8) ** 2 / 64**2)
        on_it.append(any(hit))
        on_other.append(not all(hit))

# %%
print(f"{len(on_it)} words of shape, chance {np.mean(by_chance):.2f}")
expect_within("on the thing that is being named", np.mean(on_it), 0.88, 0.1)
expect_within("on another thing", np.mean(on_other), 0.2, 0.1)

# %% [markdown]
# ### What one would try next

# %% [markdown]
# Training with teacher forcing never shows the model its own mistakes; at test time it continues *its own* beginnings. The difference is called **exposure bias**. And likelihood rewards the words of one reference, not their truth. Where truth can be measured, as here, one can train for it: let the model
# draw a caption, measure how true it is, and make it more probable if it is truer than the greedy one, less probable otherwise. That is **self-critical sequence training** (Rennie et al. 2017), and exercise 2 writes its loss. It shares its idea, and its danger, with the reinforcement learning of chat models: whatever the reward does not measure is free to go. A
# reward of truth alone is perfectly content with silence.

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
# With a network, load both parts once and give it your own photographs. Ask for greedy and for sampled captions. Which of the two says where things are? And who checks it?

# %% [markdown]
# ## 12 · What to remember

# %% [markdown]
# - A captioner is a classifier of the next piece; with teacher forcing, all positions are trained at once.
# - Shift once, mask padding, and know the floor: a loss below it is a leak, and a loss near it can still hide a coin toss.
# - The most probable sentence is not a typical one: it leaves out what the model is unsure of. Sample to find out.
# - A key–value cache changes the work, never the numbers.
# - BLEU and CIDEr-D compare words. Whether a sentence is true is another question.

# %% [markdown]
# ## 13 · Check yourself

# %% [markdown]
# <details><summary>1. Your loss falls to 0.02 nats within a minute. What do you check first?</summary>
#
# The shift and the causal mask: the model probably reads the piece that it must predict.
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
# Nobody knows from that: the score rewards the commonest wording. Ask whether it is true, and what it never says.
# </details>
# <details><summary>5. A model's samples are false in 30 % of all cases, its greedy captions in 1 %. Which number describes what it knows?</summary>
#
# The samples: a model with the right probabilities would be true in all of them. Greedy captions avoid what it does not know.
# </details>
# <details><summary>6. With everybody's pictures exchanged, your captioner's BLEU hardly falls. What has it learned?</summary>
#
# The language of the captions. It is not looking.
# </details>

# %% [markdown]
# ## 14 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/captioning.ipynb): one step of beam search, a loss that rewards truth, a decoding step with a cache, BLEU of a corpus, and an open challenge: the judge of left and right that this model is not.
#
# **Where next:** lesson *vlm*, in which a language model gets the picture as pieces of its own and answers questions. · **Back to:** [clip](clip.ipynb).
#
# ## Sources
# Vinyals et al. 2015, arXiv 1411.4555 · Xu et al. 2015, arXiv 1502.03044 · Wu et al. 2016, arXiv 1609.08144 (length penalty) · Rennie et al. 2017, arXiv 1612.00563 · Holtzman et al. 2019, arXiv 1904.09751 ·
# Stahlberg and Byrne 2019, arXiv 1908.10090 (the most probable translation is often empty) · Shazeer 2019, arXiv 1911.02150 · Papineni et al. 2002 · Post 2018, arXiv 1804.08771 ·
# Vedantam et al. 2015, arXiv 1411.5726 · Rohrbach et al. 2018, arXiv 1809.02156 · Hessel et al. 2021, arXiv 2104.08718 · Jordan et al. 2024, *Muon*.
