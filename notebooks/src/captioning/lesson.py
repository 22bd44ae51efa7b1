# %% [markdown]
# # Captioning: a model that says what it sees
# *A picture goes in, a sentence comes out, one word after the other. You write the loss and the loop, train a small
# captioner, and find out whether what it says is true, which no usual metric tells you.*
#
# {{budget}}
#
# **You will be able to**
# - write the loss of a text with teacher forcing: shifted, masked, and beside its exact floor;
# - build a decoder that attends to a picture while it writes;
# - decode greedily, with beam search and by sampling, and say what each of them costs;
# - explain what a key–value cache keeps, and show that it changes nothing;
# - measure truth, and show why BLEU and CIDEr-D cannot.
#
# **Before this:** [clip](clip.ipynb) (the picture tower), [attention](attention.ipynb) and [transformers](transformers.ipynb)
# (cross-attention, the decoder block), [evaluate](evaluate.ipynb) (what a score can rest on).
#
# **Time to read:** 60 minutes with the three blanks, then 70 for the [exercises](exercises/captioning.ipynb).

# %%
import json
import math
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir, vocabulary
from mmcourse.datasets.scenes import truth, world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.datasets.scenes.foils import swapped_colors
from mmcourse.evaluate.captions import bleu, cider_d
from mmcourse.figures import captioning as captioning_figures
from mmcourse.figures.clip import draw_scenes
from mmcourse.torch.captioner import Captioner, encode_captions
from mmcourse.torch.clip import CLIP, prepare_images

# %% [markdown]
# ## 1 · Show it something

# %% [markdown]
# Here are four scenes that the course's captioner has never seen, and what it says about them.

# %% tags=["free"]
scenes, images = draw_scenes(300)  # images: uint8 (300, 64, 64, 3)
model = Captioner.from_pretrained("captioning")
captions = model.caption(images)


def show_captions(rows, said):
    """Pictures with what is said of them, and whether all of it is true."""
    titles = []
    for row in rows:
        words = said[row].split()
        half = len(words) // 2
        lines = " ".join(words[:half]) + "\n" + " ".join(words[half:])
        verdict = "true" if truth.true_of(said[row], scenes[row]) else "FALSE"
        titles.append(f"{lines}\n{verdict}")
    fig = plot.images([images[row] for row in rows], titles, columns=2)
    plot.show(fig, alt="Four scenes with their captions and whether these are true.")


show_captions(range(4), captions)

# %% [markdown]
# Look for a mistake yourself: the first false one among these 300, if there is any.

# %% tags=["free"]
is_true = [truth.true_of(said, scene) for said, scene in zip(captions, scenes)]
wrong = [row for row, ok in enumerate(is_true) if not ok]
show_captions((wrong + [0, 1, 2, 3])[:4], captions)

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# **Record two guesses** before you go on.

# %%
liar = widgets.guess(
    "Somebody describes scenes perfectly, but exchanges two colors in every sentence. "
    "BLEU, the usual metric, gives the honest speaker 0.44. What does the liar get?",
    ["about 0.05", "about 0.20", "about 0.40"],
)

# %%
search = widgets.guess(
    "Beam search finds sentences that the model thinks more likely than what greedy decoding finds. What changes most?",
    ["it says more", "it says less", "it is false more often"],
)

# %% [markdown]
# ## 3 · One piece after the other

# %% [markdown]
# A captioner is a classifier. It reads a picture and the beginning of a sentence, and gives a probability to each piece of its vocabulary: which one comes next?

# %%
sentence = "A red star."
ids = vocabulary.encode(sentence)
pieces = ["<bos>", *(vocabulary.pieces()[i] for i in ids), "<eos>"]
print(pieces)

# %% [markdown]
# In training, the right sentence is known. So all positions are trained at once: each one reads the *right* beginning, whatever the model itself would have said. This is **teacher forcing**. The
# answers are the inputs, shifted by one: `<bos>` (begin) is only read, `<eos>` (end) is only predicted.

# %% tags=["hide-input"]
flow = draw.column(
    draw.row(draw.label("reads"), draw.tokens(pieces[:-1])),
    draw.row(draw.label("predicts"), draw.tokens(pieces[1:])),
)
draw.show(
    flow,
    alt="Two rows of pieces: what each position reads, and below it what it must predict, which is the next piece.",
)

# %% [markdown]
# The loss of a piece is minus the logarithm of its probability. Here is the shipped model on a picture and its caption, piece by piece.

# %%
row = 0
caption = english(scenes[row])
ids, padding_mask = encode_captions([caption])
with torch.no_grad():
    logits = model(prepare_images(images[row]), ids[:, :-1])  # (1, n − 1, vocabulary)
nats = F.cross_entropy(logits[0], ids[0, 1:], reduction="none")  # (n − 1,)
for piece, cost in zip(ids[0, 1:].tolist(), nats.tolist()):
    print(f"{vocabulary.pieces()[piece]:12} {cost:6.3f}  {'#' * round(10 * cost)}")

# %% [markdown]
# Some pieces cost nearly nothing: after *in the top* only *left* or *right* can follow, and the picture shows which. Others cost something however well one sees: *small*, *little* and *tiny* are equally
# good. No model can do better than the grammar's own entropy. Per token (a word, or the end), that is

# %%
floors = captioning_figures.floors(300)
print(f"floor for eyes only      {floors['floor']:.4f} nats per token")
print(f"if the order were known  {floors['floor_order_known']:.4f}")

# %% [markdown]
# The grammar mentions things in the order in which they were drawn. The picture does not show that order, so the first of these two is the floor of anybody who only sees. A loss *below* it would mean that the answer leaks.

# %% [markdown]
# ## 4 · The formula and its name

# %% [markdown]
# For a picture $x$ and a sentence $y_0, \dots, y_n$ with $y_0$ = `<bos>` and $y_n$ = `<eos>`:
#
# $$L = -\frac{1}{n}\sum_{t=1}^{n} \ln p(y_t \mid y_0, \dots, y_{t-1}, x)$$
#
# In a batch, the mean is over all real pieces; short sentences are filled with **padding**, which must cost nothing.
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
# A model that knows nothing pays ln of the number of pieces. The same formula is in `mmcourse.numpy.decoding` and `mmcourse.keras.decoding`, and the tests hold the three equal.

# %%
size = len(vocabulary.pieces())
nothing = torch.zeros(1, ids.shape[1], size)
print(f"{caption_loss(nothing, ids, padding_mask):.4f} = ln {size} = {math.log(size):.4f}")

# %% [markdown]
# ## 5 · Build it and train it

# %% [markdown]
# The picture tower of [clip](clip.ipynb) gives a grid of 8 × 8 vectors. In each block of the decoder, every position first attends to the positions before it (causal self-attention), then to the 64 cells of the grid (**cross-attention**:
# queries from the text, keys and values from the picture), then goes through a feed-forward layer.

# %% tags=["hide-input"]
canvas = draw.Canvas()
parts = {}
layout = [
    ("picture", "(3, 64, 64)", "blue", 0, 120),
    ("vision encoder", "of clip", "blue", 130, 120),
    ("grid", "(64, 128)", "blue", 320, 120),
    ("pieces so far", "(n,) ids", "orange", 0, 0),
    ("self-attention", "causal", "orange", 145, 0),
    ("cross-attention", "to the grid", "green", 305, 0),
    ("feed-forward", "", "orange", 475, 0),
    ("logits", "(n, 1280)", "orange", 630, 0),
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
    "cross-attention to the grid, and a feed-forward layer to logits.",
)

# %% [markdown]
# A minute is not enough for four things in a picture. For one or two it goes a long way, because the tower can see already. It stays **frozen** here: its features are computed once, and only the decoder learns.

# %% tags=["free"]
torch.manual_seed(0)
g = np.random.default_rng(0)
small = Captioner(num_layers=2)
small.look_from(CLIP.from_pretrained("clip"))
small.eval()
train_scenes = [world.make(71, i) for i in range(3000)]
train_scenes = [scene for scene in train_scenes if len(scene.things) <= 2]
train_images = np.stack([draw_scene(scene) for scene in train_scenes])
with torch.no_grad():
    features = torch.cat([small.vision(part) for part in prepare_images(train_images).split(250)])  # (scenes, 64, 128)
print(features.shape)

# %%
from mmcourse.training.torch.muon import Muon


def make_optimizers(model):
    """Muon for matrices, AdamW for the rest; the tower stays as it is."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        if name.startswith("vision."):
            continue
        is_table = any(word in name for word in ("embedding", "positions"))
        (matrices if parameter.ndim > 1 and not is_table else rest).append(parameter)
    adamw = torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)
    return [Muon(matrices, lr=0.02), adamw]


def new_captions(rows, step):
    """What another speaker says about each of these scenes."""
    speakers = [replace(train_scenes[row], seed=(71, row, step)) for row in rows]
    return [english(scene) for scene in speakers]


# %% tags=["free"]
STEPS = 120
optimizers = make_optimizers(small)
full_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
losses = []
for step in range(STEPS):
    rows = g.integers(len(train_scenes), size=64)
    ids, padding_mask = encode_captions(new_captions(rows, step))
    grid = small.bridge_norm(small.bridge(features[rows]))
    hidden = small.hidden_states(ids, small.start_cache(grid))  # (64, n, 128)
    loss = caption_loss(small.to_logits(hidden), ids, padding_mask)
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
plot.show(fig, alt="The loss falls from ln 1280 quickly at first, then slowly.")

# %% [markdown]
# What does it say about new scenes with one or two things? And is it true?

# %%
few = [row for row, scene in enumerate(scenes) if len(scene.things) <= 2]
small_says = small.caption(images[few])
few_scenes = [scenes[row] for row in few]
small_truth = captioning_figures.truth_of(small_says, few_scenes)
print(small_truth)

# %% [markdown]
# Fluent before truthful: it learns the grammar first. A sentence that is well formed and false is a **hallucination**. The shipped model is larger, its tower was trained along, and it saw all scenes; its curve shows how truth follows grammar.

# %%
path = data_dir() / "models" / "captioning" / "figures.json"
stored = json.loads(path.read_text(encoding="utf-8"))
for entry in stored["training"]["curve"]:
    print(
        f"step {entry['step']:5}   cpu seconds {entry['cpu seconds']:6.0f}   "
        f"grammatical {entry['grammatical']:.2f}   true {entry['all_true']:.2f}   "
        f"nats per token {entry['nll_per_token']:.3f}"
    )

# %% [markdown]
# ## 6 · From probabilities to a sentence

# %% [markdown]
# **Greedy decoding** takes the most likely piece, puts it behind the others, and asks again.
#
# **Your turn (blank 2).** Write the loop. `next_logits(ids)` gives (b, vocabulary) for what follows; after the end (piece 2) comes only padding (piece 0).
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


greedy = check("captioning.blank.2", greedy)

# %%
pixels = prepare_images(images[:3])


@torch.no_grad()
def next_logits(ids):
    """The shipped model: everything is computed again for each piece."""
    return model(pixels, ids)[:, -1]


start = torch.full((3, 1), vocabulary.BOS)
by_hand = [vocabulary.decode(row) for row in greedy(next_logits, start, 45).numpy()]
print("\n".join(by_hand))
assert by_hand == captions[:3]

# %% [markdown]
# Sampling draws the next piece by chance. Two knobs: the **temperature** divides the logits (below 1: sharper), and **top p**, the nucleus (Holtzman et al. 2019), keeps only the most likely pieces that have p of the probability together.
#
# **Your turn (blank 3).** Cut a distribution to its nucleus.
# <details><summary>Hint 1</summary>
#
# Go from the most likely down and add up. The piece that crosses p is the last one that you keep.
# </details>
# <details><summary>Hint 2</summary>
#
# `np.argsort(-p)`; a piece is inside when what the more likely ones have *together* is still below `top_p`. Divide by the sum at the end.
# </details>


# %%
def nucleus(p, top_p):
    """p (vocabulary,), sums to 1 → the same, cut to the nucleus, sums to 1."""
    # BEGIN SOLUTION
    order = np.argsort(-p)
    before = np.cumsum(p[order]) - p[order]  # what the more likely ones have
    kept = np.zeros(len(p))
    inside = order[before < top_p]
    kept[inside] = p[inside]
    return kept / kept.sum()
    # END SOLUTION


nucleus = check("captioning.blank.3", nucleus)

# %% [markdown]
# **Turn the knobs.** Which word starts a caption of the first picture? What is left at temperature 0.3, and what at top p 0.5?

# %%
with torch.no_grad():
    first = model(prepare_images(images[:1]), torch.tensor([[1, ids[0, 1].item()]]))[0, -1]


def show_nucleus(temperature=1.0, top_p=1.0):
    """The most likely pieces after the capital letter, and what the knobs leave."""
    p = (first / temperature).softmax(dim=-1).numpy().astype(float)
    left = nucleus(p / p.sum(), top_p)
    best = np.argsort(-p)[:8]
    fig, ax = plt.subplots(figsize=(6, 2.8))
    names = [vocabulary.pieces()[i] for i in best]
    ax.bar(names, left[best])
    ax.set(ylabel="probability", ylim=(0, 1))
    ax.set_title(f"temperature {temperature:g}, top p {top_p:g}", loc="left")
    shares = ", ".join(f"{n} {x:.2f}" for n, x in zip(names, left[best]))
    plot.show(fig, alt=f"Probabilities of the first word: {shares}.")


widgets.slider(show_nucleus, temperature=(0.2, 2.0, 0.2), top_p=(0.1, 1.0, 0.1))

# %% [markdown]
# **Beam search** keeps several beginnings and continues them all; exercise 1 builds its step. Now all of them, judged by what matters:

# %%
ways = {
    "greedy": {"method": "greedy"},
    "beam 5": {"method": "beam", "num_beams": 5},
    "beam 5, alpha 0.8": {"method": "beam", "num_beams": 5, "alpha": 0.8},
    "sample": {"method": "sample", "seed": 0},
    "temperature 0.5": {"method": "sample", "temperature": 0.5, "seed": 0},
    "top p 0.9": {"method": "sample", "top_p": 0.9, "seed": 0},
}
print(f"{'':20} true   statements  relations  different")
table = {}
for name, options in ways.items():
    said = model.caption(images, **options)
    found = captioning_figures.truth_of(said, scenes)
    table[name] = found
    print(
        f"{name:20} {found['all_true']:.2f}   {found['statements']:10.2f}  "
        f"{found['relations']:9.2f}  {len(set(said)) / len(said):9.2f}"
    )

# %% [markdown]
# The grammar itself has a relation (*left of*, *under*) in about 45 % of its captions. Search for the most likely sentence leaves them out: there are many ways to say where something is, each of them unlikely, and only one way to say
# nothing. **The most likely sentence is not a typical one.**

# %%
search.compare("it says less")

# %% [markdown]
# ## 7 · The cache

# %% [markdown]
# `next_logits` above computes everything again for each piece. But a decoder is causal: keys and values of past positions never change. The **key–value cache** keeps them, so each step computes one position, and attends to the stored rest. Same numbers:

# %%
ids, _ = encode_captions([english(scenes[0])])
with torch.no_grad():
    grid = model.encode_image(prepare_images(images[:1]))
    cache = model.start_cache(grid)
    steps = [model.step(ids[:, t : t + 1], cache) for t in range(ids.shape[1])]
    whole = model(prepare_images(images[:1]), ids)[0]
difference = (torch.cat(steps) - whole).abs().max().item()
print(f"largest difference of any logit: {difference:.1e}")
assert difference < 1e-4

# %% [markdown]
# And how much time it saves, by the length of the text (measured when the shipped model was made):

# %%
for length, factor in stored["cache_speedup"].items():
    print(f"{length:>4} pieces: {factor:.1f} times as fast")

# %% [markdown]
# ## 8 · Is it good?

# %% [markdown]
# The usual answer: compare with what people wrote. **BLEU** counts n-grams that a reference has too; **CIDEr-D** weighs them by how rare they are. Let four speakers describe the 300 scenes: the grammar itself, a liar who exchanges two colors, our model, and one who speaks of the next picture.

# %%
references = []
for scene in scenes:
    others = captioning_figures.other_speakers(scene)
    references.append([captioning_figures.plain(other) for other in others])
honest = [english(scene) for scene in scenes]
speakers = {
    "the grammar": honest,
    "the liar": [english(swapped_colors(scene) or scene) for scene in scenes],
    "our model": captions,
    "of the next picture": honest[1:] + honest[:1],
}
scores = {}
for name, said in speakers.items():
    words = [captioning_figures.plain(sentence) for sentence in said]
    share = captioning_figures.truth_of(said, scenes)["all_true"]
    scores[name] = bleu(words, references)
    rare = np.mean(cider_d(words, references))
    print(f"{name:20} true {share:.2f}   BLEU {scores[name]:.3f}   CIDEr-D {rare:.2f}")
assert scores["the liar"] > 0.8 * scores["the grammar"]
liar.compare("about 0.40")

# %% [markdown]
# Neither metric knows what the words are about. Here, truth can be checked: `parse` reads a caption with the grammar, and `true_of` compares every statement with the scene. For photographs nobody has that; this is why hallucinations went unnoticed for years.

# %% [markdown]
# ## 9 · Take it apart

# %% [markdown]
# Which words depend on the picture? Give the model a gray picture, and another scene's picture, and see what each word costs.

# %%
content = {
    "color": {word for name in world.COLORS for word in name.split()},
    "shape": {"circle", "disc", "square", "box", "triangle", "diamond", "star", "cross"},
    "size": {"small", "little", "tiny", "large", "big", "huge"},
    "relation": {"left", "right", "above", "over", "below", "under", "beneath"},
    "other": set(),
}
chosen = honest[:100]
ids, padding_mask = encode_captions(chosen)
gray = np.full_like(images[:100], 128)


@torch.no_grad()
def cost_of_words(pictures):
    """Mean nats of each kind of word."""
    logits = model(prepare_images(pictures), ids[:, :-1])
    nats = F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    sums = {name: [] for name in content}
    for row, column in padding_mask[:, 1:].nonzero().tolist():
        word = vocabulary.pieces()[ids[row, column + 1]]
        kind = next((k for k, words in content.items() if word in words), "other")
        sums[kind].append(nats[row, column].item())
    return {kind: np.mean(costs) for kind, costs in sums.items()}


own = cost_of_words(images[:100])
other = cost_of_words(images[1:101])
blind = cost_of_words(gray)
print(f"{'':10} own    another   gray picture")
for kind in content:
    print(f"{kind:10} {own[kind]:.2f}   {other[kind]:7.2f}   {blind[kind]:7.2f}")

# %% [markdown]
# Function words hardly care. Colors, shapes and sizes do, and a *wrong* picture is worse than none: the model believes what it sees. Where does it look? The attention of the last block, averaged over heads, while it writes a shape:

# %% tags=["hide-input", "free"]
maps = model.cross_attention(images[0], captions[0])[-1].mean(dim=0)  # (n, 8, 8)
words = ["<bos>", *(vocabulary.pieces()[i] for i in vocabulary.encode(captions[0]))]
shapes = [t for t, word in enumerate(words) if word in content["shape"]][:3]
panels = [images[0]] + [np.kron(maps[t - 1].numpy() / maps[t - 1].max().item(), np.ones((8, 8))) for t in shapes]
titles = ["the picture"] + [f"as it writes\n{words[t]}" for t in shapes]
fig, axes = plt.subplots(1, len(panels), figsize=(2.4 * len(panels), 2.8))
for ax, panel, title in zip(np.atleast_1d(axes), panels, titles):
    ax.imshow(panel, cmap="viridis")
    ax.set_title(title, fontsize=10)
    ax.axis("off")
plot.show(fig, alt="The picture, and for each shape word where the decoder looks.")

# %% [markdown]
# ## 10 · At full size

# %% [markdown]
# The same call with a model for photographs, if its weights are on this machine. The cell downloads nothing. This course was built on a machine without them, so no output is shown.

# %% tags=["free"]
from huggingface_hub import try_to_load_from_cache

real_name = "Salesforce/blip-image-captioning-base"
if isinstance(try_to_load_from_cache(real_name, "config.json"), str):
    from sklearn.datasets import load_sample_images
    from transformers import BlipForConditionalGeneration, BlipProcessor

    processor = BlipProcessor.from_pretrained(real_name, local_files_only=True)
    real = BlipForConditionalGeneration.from_pretrained(real_name, local_files_only=True)
    batch = processor(images=load_sample_images().images, return_tensors="pt")
    print(processor.batch_decode(real.generate(**batch, num_beams=5)))
else:
    print(f"not run: {real_name} is not on this machine")

# %% [markdown]
# ## 11 · What to remember

# %% [markdown]
# - A captioner is a classifier of the next piece; with teacher forcing, all positions are trained at once.
# - Shift once, mask padding, and know the floor: a loss below it is a leak.
# - The most likely sentence says less than a typical one.
# - A cache changes the time, never the numbers.
# - BLEU and CIDEr-D compare words. Whether a sentence is true is another question.

# %% [markdown]
# ## 12 · Check yourself

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
# <details><summary>4. A captioner has a higher BLEU than the honest speaker. Is it better?</summary>
#
# Nobody knows from that: BLEU rewards the commonest wording. Ask whether it is true, and how much it says.
# </details>

# %% [markdown]
# ## 13 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/captioning.ipynb): one step of beam search, the loss of a batch of texts, a decoding step with a cache, BLEU of a corpus.
#
# **Where next:** lesson *vlm*, in which a language model gets the picture as pieces of its own and answers questions. · **Back to:** [clip](clip.ipynb).
#
# ## Sources
# Vinyals et al. 2015, arXiv 1411.4555 · Xu et al. 2015, arXiv 1502.03044 · Wu et al. 2016, arXiv 1609.08144 (length penalty) · Holtzman et al. 2019, arXiv 1904.09751 ·
# Stahlberg and Byrne 2019, arXiv 1908.10090 (the most likely translation is often empty) · Shazeer 2019, arXiv 1911.02150 · Papineni et al. 2002 · Post 2018, arXiv 1804.08771 ·
# Vedantam et al. 2015, arXiv 1411.5726 · Jordan et al. 2024, *Muon*.
