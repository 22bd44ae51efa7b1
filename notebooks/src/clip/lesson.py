# %% [markdown]
# # CLIP: pictures and sentences in one space
# *Type a sentence and a model finds the picture. You write its loss, train a small one in half a minute, and then find
# the question that the big one cannot answer.*
#
# {{budget}}
#
# **You will be able to**
# - compute the contrastive loss (InfoNCE) of a batch by hand, and write it in PyTorch;
# - train two encoders so that a picture and its sentence get similar vectors;
# - classify without a single labelled example (zero-shot), and measure retrieval against its exact limit;
# - say what the temperature, the batch and hard negatives do;
# - test whether such a model knows *who* has which color, with foils that cannot be told without looking.
#
# **Before this:** [attention](attention.ipynb) and [transformers](transformers.ipynb) (what an encoder is),
# the lesson *neural_networks* (cross-entropy, training).
#
# **Time to read:** 60 minutes, then 40 for the [exercises](exercises/clip.ipynb).

# %%
import json
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import data_dir
from mmcourse.datasets.scenes import foils, truth, world
from mmcourse.datasets.scenes.captions import english
from mmcourse.evaluate import expect_within
from mmcourse.figures import clip as clip_figures
from mmcourse.torch.clip import CLIP, prepare_images, tokenize

# %% [markdown]
# ## 1 · Say it, and it finds it
# The course's CLIP was trained on 60,000 drawn scenes and sentences about them. Here are 500 scenes that it has never
# seen. Write a sentence; the model shows the four pictures that fit best. It reads Chinese too: try 一个红色的星形.

# %% tags=["free"]
scenes, images = clip_figures.draw_scenes(500)  # images: uint8 (500, 64, 64, 3)
model = CLIP.from_pretrained("clip")
image_vectors = model.encode_image(images)  # (500, 256), each of length 1


def search(sentence, count=4):
    """The pictures whose vectors are nearest to the sentence's."""
    sentence_vector = model.encode_text([sentence])[0]  # (256,)
    cosines = image_vectors @ sentence_vector  # (500,)
    best = cosines.argsort(descending=True)[:count].tolist()
    titles = [f"cosine {cosines[row]:.2f}" for row in best]
    fig = plot.images([images[row] for row in best], titles)
    plot.show(fig, alt=f"The {count} scenes that fit best to: {sentence}")


search("a large green star and a small blue circle")

# %%
my_sentence = "一个黄色的圆形在左边"  # a yellow circle on the left

# %% tags=["free"]
search(my_sentence)

# %% [markdown]
# Nobody gave the model labels. All it ever saw were pictures with a sentence each, as they lie about on the web by the
# billion. How do you train on that?
#
# ## 2 · The question
# Before you look inside, **record two guesses.**

# %%
first_loss = widgets.guess(
    "A model that knows nothing picks one of 128 sentences for each picture. Its loss is…",
    ["0", "ln 2 = 0.69", "ln 128 = 4.85", "128"],
)

# %%
swapped = widgets.guess(
    "The model finds the right picture among 1,000 for most sentences. Now it has only "
    "two sentences to choose from: “a red circle and a blue square”, and the same "
    "with the colors exchanged. How often is it right?",
    ["about 50 %", "about 75 %", "over 90 %"],
)

# %% [markdown]
# ## 3 · The idea by hand
# Two **encoders**, often called **towers**: one turns a picture into a vector, the other turns a sentence into a
# vector of the same width. Training pulls the two vectors of a pair together and pushes all others apart. That is
# **contrastive learning**.

# %% tags=["hide-input"]
canvas = draw.Canvas()
picture = canvas.place(draw.box("picture", note="(64, 64, 3)", color="blue"), x=0, y=0)
words = draw.box("sentence", note="(n,) ids", color="orange")
sentence = canvas.place(words, x=0, y=110)
tower = draw.box("vision encoder", note="convolutions", color="blue")
vision = canvas.place(tower, x=170, y=0)
tower = draw.box("text encoder", note="Transformer", color="orange")
text = canvas.place(tower, x=170, y=110)
u = canvas.place(draw.box("u", note="length 1", color="blue"), x=400, y=0)
v = canvas.place(draw.box("v", note="length 1", color="orange"), x=400, y=110)
score = canvas.place(draw.box("u · v", note="cosine", color="green"), x=560, y=55)
for start, end in (
    (picture, vision),
    (sentence, text),
    (vision, u),
    (text, v),
    (u, score),
    (v, score),
):
    canvas.arrow(start, end)
draw.show(
    canvas,
    alt="A picture goes through the vision encoder to u, a sentence through the text "
    "encoder to v; both have length 1, and their dot product is a cosine.",
)

# %% [markdown]
# Three pairs with two numbers each, small enough to check. Row $i$ of `image` belongs to row $i$ of `text`.

# %%
image = np.array([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]])  # (3 pictures, 2)
text = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 2.0]])  # (3 sentences, 2)

# %% [markdown]
# **Step 1: cosines.** Divide each vector by its length, so that only its direction counts. Then one dot product for
# each pair gives a table: pictures down, sentences across.
#
# **Your turn (blank 1).** Write the table of cosines.
# <details><summary>Hint</summary>
#
# `np.linalg.norm(x, axis=1, keepdims=True)` is the length of each row; `@` with the transpose gives all dot products.
# </details>


# %%
def cosine_table(image, text):
    """image (b, d) and text (m, d) → cosines (b, m)."""
    # BEGIN SOLUTION
    u = image / np.linalg.norm(image, axis=1, keepdims=True)
    v = text / np.linalg.norm(text, axis=1, keepdims=True)
    return u @ v.T
    # END SOLUTION


cosine_table = check("clip.blank.1", cosine_table)

# %%
cosines = cosine_table(image, text)
print(cosines.round(2))

# %% [markdown]
# **Step 2: sharpen.** Cosines lie between −1 and 1, too near each other for a softmax to decide. Multiply them by a
# scale. Its inverse is the **temperature**. The model learns it, as a logarithm, so that it stays positive.
#
# **Step 3: two questions.** Each *row* asks: which sentence belongs to this picture? Each *column*: which picture
# belongs to this sentence? Both are classifications, and the right answers lie on the diagonal.

# %% tags=["hide-input"]
scale = 5.0
logits = scale * cosines  # (3, 3)
rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
columns = np.exp(logits) / np.exp(logits).sum(axis=0, keepdims=True)
diagonal = [(i, i) for i in range(3)]
pictures, sentences = ["pic 1", "pic 2", "pic 3"], ["text 1", "text 2", "text 3"]
look = {"form": ".2f", "rows": pictures, "columns": sentences, "highlight": diagonal}
flow = draw.row(
    draw.matrix(logits, title="logits", color="gray", **look),
    draw.matrix(rows, title="softmax of rows", heat=True, **look),
    draw.matrix(columns, title="softmax of columns", heat=True, **look),
)
draw.show(
    flow,
    alt="Three tables: logits, their softmax along rows, their softmax along columns; the diagonal is framed.",
)

# %% [markdown]
# **Step 4: the loss.** Minus the logarithm of each framed number, averaged over rows, averaged over columns, and the
# mean of both.

# %%
row_loss = -np.log(np.diag(rows)).mean()
column_loss = -np.log(np.diag(columns)).mean()
by_hand = (row_loss + column_loss) / 2
print(f"rows {row_loss:.3f}   columns {column_loss:.3f}   loss {by_hand:.3f}")

# %% [markdown]
# **Turn the knob.** At which scale is picture 3 sure of its sentence? What happens to the loss when it is too large?


# %%
def show_scale(scale=5.0):
    logits = torch.tensor(scale * cosines)
    labels = torch.arange(3)
    loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    table = logits.softmax(dim=1).numpy()
    drawn = draw.matrix(
        table,
        title=f"scale {scale:g}, loss {loss:.3f}",
        form=".2f",
        rows=pictures,
        columns=sentences,
        heat=True,
    )
    draw.show(drawn, alt=f"Softmax of rows at scale {scale:g}; loss {loss:.3f}.")


widgets.slider(show_scale, scale=(0.0, 30.0, 1.0))

# %% [markdown]
# ## 4 · The formula and its name
# With vectors $u_i$ of pictures and $v_j$ of sentences, all of length 1, and a learned $\tau$,
#
# $$s_{ij} = e^{\tau}\, u_i^\top v_j, \qquad
# L = -\frac{1}{2b}\sum_{i=1}^{b} \left[\ln \frac{e^{s_{ii}}}{\sum_j e^{s_{ij}}} +
# \ln \frac{e^{s_{ii}}}{\sum_j e^{s_{ji}}}\right]$$
#
# This is the **InfoNCE** loss (van den Oord et al. 2018), used in both directions by **CLIP**, *contrastive
# language–image pre-training* (Radford et al. 2021). The other $b-1$ sentences of the batch are the **negatives**.
#
# **Your turn (blank 2).** Write it in PyTorch. `log_scale` is $\tau$.
# <details><summary>Hint</summary>
#
# `F.normalize(x, dim=-1)` divides by lengths. `F.cross_entropy(logits, labels)` does softmax and logarithm for rows;
# give it `logits.T` for columns. The labels are 0, 1, 2, …
# </details>


# %%
def clip_loss(image, text, log_scale):
    """image, text (b, d), log_scale () → mean InfoNCE of both directions."""
    # BEGIN SOLUTION
    u = F.normalize(image, dim=-1)
    v = F.normalize(text, dim=-1)
    logits = log_scale.exp() * u @ v.T  # (b, b)
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    # END SOLUTION


clip_loss = check("clip.blank.2", clip_loss)

# %%
log_scale = torch.tensor(math.log(scale))
by_torch = clip_loss(torch.tensor(image), torch.tensor(text), log_scale)
print(f"by hand {by_hand:.6f}   in PyTorch {by_torch:.6f}")

# %% [markdown]
# The same formula in Keras and NumPy, and the loss of `transformers`' own CLIP on the same numbers:

# %%
from keras import ops
from transformers.models.clip.modeling_clip import image_text_contrastive_loss

from mmcourse.keras import contrastive as keras_contrastive
from mmcourse.numpy import contrastive as numpy_contrastive

arrays = (image, text, math.log(scale))
tensors = [ops.convert_to_tensor(array, dtype="float64") for array in arrays]
in_keras = float(keras_contrastive.contrastive_loss(*tensors))
in_numpy, _ = numpy_contrastive.contrastive_loss(image, text, math.log(scale))
reference = image_text_contrastive_loss(torch.tensor(logits)).item()
print(f"Keras {in_keras:.6f}   NumPy {in_numpy:.6f}   transformers {reference:.6f}")

# %% [markdown]
# What does a model lose that knows nothing? All its vectors point the same way, every row is a fair lottery among $b$
# sentences, and the loss is $\ln b$. **If your first loss is far from $\ln b$, something is wrong.**

# %%
for b in (2, 32, 128):
    same = torch.ones(b, 8)
    loss = clip_loss(same, same, torch.tensor(2.0)).item()
    print(f"batch {b:3}   loss {loss:.3f}   ln {b} = {math.log(b):.3f}")
first_loss.compare("ln 128 = 4.85")

# %% [markdown]
# ## 5 · Build it and train it
# A vision encoder of the kind you know from [cnn](cnn.ipynb), a text encoder from [transformers](transformers.ipynb):

# %% tags=["hide-input"]
layers = draw.network(
    ("pixels", (3, 64, 64)),
    ("conv ×4", (128, 8, 8)),
    ("+ position", (128, 8, 8)),
    ("residual conv ×2", (64, 128)),
    ("attention pooling", (256,)),
)
draw.show(
    layers,
    alt="Pixels, four convolutions to a grid of 8 by 8, positions, two residual convolutions, pooling.",
)

# %% [markdown]
# In half a minute, whole scenes are too much. So the small model learns **phrases**: a cut-out with one thing, and what one
# says of it ("a tiny red disc"). There are 70 kinds of things; each batch has one of each.

# %% tags=["hide-input", "free"]
from mmcourse.datasets.scenes.captions import ENGLISH, Voice, noun_phrase
from mmcourse.datasets.scenes.drawing import draw as draw_scene

KINDS = sorted(set(world.SEEN))  # (shape, color, size)


def draw_cut_outs(per_kind, seed):
    """uint8 (70, per_kind, 32, 32, 3), one thing in each, somewhere; and the things."""
    g = np.random.default_rng(seed)
    cuts = np.empty((len(KINDS), per_kind, 32, 32, 3), np.uint8)
    for k, kind in enumerate(KINDS):
        for i in range(per_kind):
            things = world.place([kind], g)
            thing = things[0]
            picture = draw_scene(world.Scene(things, int(g.integers(5)), (seed, k, i)))
            center = np.array([thing.y, thing.x])
            low = np.ceil(center + thing.radius - 30).astype(int).clip(0, 32)
            high = (center - thing.radius - 1).astype(int).clip(0, 32)
            top, left = g.integers(low, np.maximum(low, high) + 1)
            cuts[k, i] = picture[top : top + 32, left : left + 32]
    return cuts


def say_phrases(seed):
    """A noun phrase for each kind, by a new speaker each."""
    things = [world.Thing(*kind, 32, 32, 6.0, 0) for kind in KINDS]
    speakers = [Voice(ENGLISH, (seed, k)) for k in range(len(KINDS))]
    return [noun_phrase(thing, speaker) for thing, speaker in zip(things, speakers)]


train_cuts, test_cuts = draw_cut_outs(30, seed=1), draw_cut_outs(4, seed=2)
shown = [5, 20, 47, 65]
phrases = say_phrases(0)
fig = plot.images([train_cuts[k, 0] for k in shown], [phrases[k] for k in shown])
plot.show(fig, alt="Four cut-outs of 32 by 32 pixels with the phrase of each.")

# %% [markdown]
# **Your turn (blank 3).** One training step: vectors of both towers, loss, gradients, update. `model(pixels, ids, padding_mask)`
# returns both matrices of vectors.
# <details><summary>Hint</summary>
#
# Five lines: call the model, compute `clip_loss` with `model.log_scale`, `optimizer.zero_grad()`, `loss.backward()`,
# `optimizer.step()`.
# </details>


# %%
def train_step(model, optimizer, pixels, ids, padding_mask):
    """One update; returns the loss as a number."""
    # BEGIN SOLUTION
    image, text = model(pixels, ids, padding_mask)
    loss = clip_loss(image, text, model.log_scale)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
    # END SOLUTION


train_step = check("clip.blank.3", train_step)

# %% [markdown]
# Weights that are matrices are trained by **Muon** (Jordan et al. 2024), which makes every direction of an update about as long; the
# rest by AdamW. With AdamW alone this takes three times as long.

# %% tags=["hide-input"]
from mmcourse.training.torch.muon import Muon


class Optimizers:
    """Muon for matrices, AdamW for the rest, behind one face."""

    def __init__(self, model):
        named = dict(model.named_parameters())
        tables = ("embedding", "positions", "queries")
        matrices = [name for name, p in named.items() if p.ndim > 1]
        matrices = [n for n in matrices if not any(word in n for word in tables)]
        rest = [p for n, p in named.items() if n not in matrices]
        self.both = [
            Muon([named[n] for n in matrices], lr=0.02),
            torch.optim.AdamW(rest, lr=3e-3),
        ]

    def zero_grad(self):
        for optimizer in self.both:
            optimizer.zero_grad()

    def step(self):
        for optimizer in self.both:
            optimizer.step()


def pixels_of(cuts):
    return torch.from_numpy(cuts).permute(0, 3, 1, 2).float() / 255


NAMES = [f"a {world.SIZES[size]} {world.COLORS[color]} {world.SHAPES[shape]}" for shape, color, size in KINDS]


def name_accuracy(model):
    """How often a new cut-out is nearest to its own name among 70."""
    model.eval()
    names = model.encode_text(NAMES)
    with torch.no_grad():
        grids = [model.vision(pixels_of(test_cuts[:, i])) for i in range(4)]
        found = [F.normalize(model.pooling(grid), dim=-1) for grid in grids]
    model.train()
    right = [(u @ names.T).argmax(dim=1) == torch.arange(len(KINDS)) for u in found]
    return torch.stack(right).float().mean().item()


# %% tags=["free"]
torch.manual_seed(0)
g = np.random.default_rng(0)
small = CLIP()
optimizers = Optimizers(small)
losses, accuracies = [], []
for step in range(150):
    chosen = g.integers(30, size=len(KINDS))
    pixels = pixels_of(train_cuts[np.arange(len(KINDS)), chosen])
    ids, padding_mask = tokenize(say_phrases(100 + step))
    for optimizer, rate in zip(optimizers.both, (0.02, 3e-3)):
        factor = min(1, (step + 1) / 20) * (1 - step / 150)
        optimizer.param_groups[0]["lr"] = rate * factor
    losses.append(train_step(small, optimizers, pixels, ids, padding_mask))
    if step % 30 == 29:
        accuracies.append(name_accuracy(small))
        recent = np.mean(losses[-10:])
        print(f"step {step + 1:3}   loss {recent:.2f}   named {accuracies[-1]:.2f}")

# %% tags=["target"]
expect_within("first loss (ln 70 = 4.25)", losses[0], 4.4, 0.4)
expect_within("new cut-outs named among 70", accuracies[-1], 0.80, 0.15)

# %% tags=["hide-input", "free"]
fig = plot.curves(
    {"loss": losses},
    title="What does half a minute buy?",
    xlabel="step",
    ylabel="InfoNCE (nats)",
)
plot.show(fig, alt="The loss falls from about 4.5 to below 1 in 150 steps.")

# %% [markdown]
# ## 6 · Zero-shot: naming without labels
# You have just classified pictures into 70 classes, and no output layer with 70 numbers was ever trained. Each class was
# a *sentence*; the answer is the nearest one. That is **zero-shot classification**. The sentence around the name is the
# **prompt**, and several prompts may be averaged. The shipped model, on scenes with one thing, among 48 names:

# %%
one_prompt = clip_figures.zero_shot_accuracy(model, scenes, images, "there is a {}")
four_prompts = clip_figures.zero_shot_accuracy(model, scenes, images)
expect_within("zero-shot, one prompt", one_prompt, 0.98, 0.02)
expect_within("zero-shot, four prompts", four_prompts, 0.98, 0.02)
print(f"chance {1 / 48:.3f}")

# %% [markdown]
# ## 7 · Retrieval, and how good it can be
# **Recall at 1 (R@1)**: for how many sentences is the right picture the nearest of all? Several pictures may fit one sentence ("a red star
# on the left"), so even perfect eyes are not always right. For our scenes the limit is known: the grammar tells
# p(caption | scene) exactly.
#
# **Your turn (blank 4).** Recall at 1 from a table of scores, right pairs on the diagonal.
# <details><summary>Hint</summary>
#
# `scores.argmax(axis=1)` is the best column of each row; compare it with 0, 1, 2, …
# </details>


# %%
def recall_at_1(scores):
    """scores (n, n), right pairs on the diagonal → share of rows that are right."""
    # BEGIN SOLUTION
    return (scores.argmax(axis=1) == np.arange(len(scores))).mean()
    # END SOLUTION


recall_at_1 = check("clip.blank.4", recall_at_1)

# %%
captions = [english(scene) for scene in scenes]
caption_vectors = model.encode_text(captions)
scores = (caption_vectors @ image_vectors.T).numpy()  # (500 sentences, 500 pictures)
exact = truth.exact_scores(captions, scenes)  # ln p(caption | scene) − ln p(caption)
found = {
    "text → image": (recall_at_1(scores), clip_figures.recall_at_1(exact)),
    "image → text": (recall_at_1(scores.T), clip_figures.recall_at_1(exact.T)),
}
for name, (reached, limit) in found.items():
    print(f"{name}   R@1 {reached:.3f}   exact limit {limit:.3f}   chance 0.002")

# %%
path = data_dir() / "models" / "clip" / "figures.json"
stored = json.loads(path.read_text(encoding="utf-8"))
figures, limits = stored["figures"], stored["limits"]
print("among 1,000, as stored with the weights:")
for name in ("text_to_image_r1", "image_to_text_r1", "infonce_128"):
    print(f"{name:18} {figures[name]:.3f}   limit {limits[name]:.3f}")

# %% tags=["hide-input"]
curve = stored["training"]["curve"]
names = [key for key in curve[0] if "R@1" in key]
fig, ax = plt.subplots(figsize=(7, 3.2))
minutes = [row["cpu seconds"] / 60 for row in curve]
ax.plot(minutes, [row[names[0]] for row in curve], marker="o")
ax.axhline(limits["text_to_image_r1"], color=plot.ORANGE, label="exact limit")
ax.set(xlabel="minutes of one processor", ylabel="R@1", ylim=(0, 1))
ax.legend()
plot.show(
    fig,
    alt="Recall at 1 against minutes of training: steep first, then slow, below the exact limit.",
)

# %% [markdown]
# ## 8 · The sigmoid loss
# A softmax over the batch needs the whole batch at once. **SigLIP** (Zhai et al. 2023) asks of each pair alone: do these two belong together, yes or
# no? With $z_{ij} = 1$ on the diagonal and $-1$ elsewhere, and a learned bias $c$,
#
# $$L = -\frac1b \sum_{ij} \ln \sigma\big(z_{ij}(e^\tau u_i^\top v_j + c)\big)$$

# %%
from mmcourse.torch.contrastive import sigmoid_loss

b = 128
apart = torch.eye(2 * b)  # all cosines 0
log_ten = torch.tensor(math.log(10))
start = sigmoid_loss(apart[:b], apart[b:], log_ten, torch.tensor(-10.0)).item()
zero_bias = sigmoid_loss(apart[:b], apart[b:], log_ten, torch.tensor(0.0)).item()
print(f"at the start with bias −10: {start:.2f}   with bias 0: {zero_bias:.2f}")

# %% [markdown]
# Of $128^2$ pairs, 16,256 are wrong ones. With bias 0 each of them costs $\ln 2$ at the start; with $-10$ the model begins by saying "no" to all, and
# only the 128 right pairs cost anything.
#
# ## 9 · Take it apart
# ### Does it know who has which color?
# Here is a picture with its caption, and a **foil**: what the same speaker would say if the two colors were exchanged. Foils
# must be fair: *exactly as likely* a sentence as the caption. Otherwise a model that never looks can tell
# them, and many published benchmarks had this fault.

# %%
color_foils = foils.fair_foils(scenes, "color")
first = color_foils[0]  # the first one, not the prettiest
print("caption:", first.caption)
print("foil:   ", first.foil)
fig = plot.images([images[first.index]])
plot.show(fig, alt=f"A scene. Caption: {first.caption}")

# %%
sides = {}
for kind in foils.KINDS:
    right, n = clip_figures.foil_accuracy(model, scenes, image_vectors, kind)
    spread = 1.96 * math.sqrt(0.25 / n)
    sides[kind] = right
    print(f"{kind:9} right {right:.3f} of {n} pairs   chance 0.500 ± {spread:.3f}")

# %% [markdown]
# A coin toss, behind a fine retrieval score. And this model *was* trained with such sentences as **hard negatives**. Why does retrieval not
# notice? Among random pictures hardly any has the same things with colors exchanged, so nothing is lost by not knowing. A
# **bag of words** would do as well. Put it to the test: shuffle the words of all captions.

# %%
g = np.random.default_rng(0)
plain_captions = [caption.lower().rstrip(".") for caption in captions]
shuffled = [" ".join(g.permutation(caption.split())) for caption in plain_captions]
shuffled_scores = (model.encode_text(shuffled) @ image_vectors.T).numpy()
print(f"R@1 among 500: words in order {recall_at_1(scores):.3f}")
print(f"               words shuffled {recall_at_1(shuffled_scores):.3f}")

# %% [markdown]
# ### A cure that is none
# Now make foils carelessly: always with the plain color word, never *scarlet* or *azure*. A judge that sees **no picture at all** learns to tell
# them, by their style.


# %%
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from mmcourse.datasets.scenes.captions import ENGLISH as WORDS

PLAIN = {word: color for color in world.COLORS for word in WORDS[color]}


def careless(foil):
    return " ".join(PLAIN.get(word, word) for word in foil.split())


def judge_without_eyes(make_foil):
    """Trained on caption against foil of other scenes; share of right answers here."""
    others = foils.fair_foils([world.make(77, i) for i in range(2000)], "color")
    vectorizer = CountVectorizer(ngram_range=(1, 2), min_df=3)
    sentences = [f.caption for f in others] + [make_foil(f.foil) for f in others]
    labels = np.repeat([1, 0], len(others))
    counts = vectorizer.fit_transform(sentences)
    judge = LogisticRegression(max_iter=300).fit(counts, labels)
    here = [f.caption for f in color_foils]
    true = judge.decision_function(vectorizer.transform(here))
    here = [make_foil(f.foil) for f in color_foils]
    false = judge.decision_function(vectorizer.transform(here))
    return (true > false).mean()


blind_careless = judge_without_eyes(careless)
blind_fair = judge_without_eyes(lambda foil: foil)
expect_within("judge without eyes, careless foils", blind_careless, 0.87, 0.06)
expect_within("judge without eyes, fair foils", blind_fair, 0.50, 0.07)

# %% [markdown]
# Train CLIP on careless foils and its score on careless foils rises: it learns how foils are *written*. Always ask what a judge without eyes
# would reach.

# %%
swapped.compare("about 50 %")

# %% [markdown]
# ### The modality gap
# Are pictures and sentences mixed in the common space? Compare the mean cosine within pictures, within sentences, and of *right pairs*.


# %%
def mean_cosine(a, b):
    """Of different rows."""
    table = a @ b.T
    return ((table.sum() - table.diagonal().sum()) / (len(a) * (len(a) - 1))).item()


within_images = mean_cosine(image_vectors, image_vectors)
within_texts = mean_cosine(caption_vectors, caption_vectors)
between = mean_cosine(image_vectors, caption_vectors)
pairs = (image_vectors * caption_vectors).sum(dim=1).mean().item()
gap = (image_vectors.mean(dim=0) - caption_vectors.mean(dim=0)).norm().item()
print(f"within pictures {within_images:.2f}, within sentences {within_texts:.2f}")
print(f"between the two {between:.2f}, right pairs {pairs:.2f}")
print(f"distance of the two mean vectors: {gap:.2f}")

# %% [markdown]
# ### Two half batches are not one batch
# When memory is short, people average the gradients of several small batches. For cross-entropy with fixed classes that gives the same as one
# large batch. Here it does not: a half batch has half the negatives.

# %%
u, v = image_vectors[:128], caption_vectors[:128]
whole = clip_loss(u, v, model.log_scale.detach()).item()
log_scale = model.log_scale.detach()
halves = [clip_loss(u[:64], v[:64], log_scale), clip_loss(u[64:], v[64:], log_scale)]
print(f"one batch of 128: {whole:.3f}   mean of two of 64: {np.mean(halves):.3f}")

# %% [markdown]
# The way out: compute all vectors first, *without* gradients; the loss on the whole table gives the gradient of each vector; then go through the
# towers again in parts and hand each part its gradient (**cached gradients**, GradCache: Gao et al. 2021). The gradients are equal:


# %%
def gradients_of(model):
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    return torch.cat([g.flatten() for g in found])


small.eval()  # batch norm would see other batches in the parts
pixels = prepare_images(images[:32])
ids, padding_mask = tokenize(captions[:32])
clip_loss(*small(pixels, ids, padding_mask), small.log_scale).backward()
in_one = gradients_of(small)

with torch.no_grad():
    vectors = small(pixels, ids, padding_mask)
leaves = [vector.clone().requires_grad_() for vector in vectors]
clip_loss(*leaves, small.log_scale).backward()  # also the gradient of the scale
for part in (slice(16), slice(16, None)):
    again = small(pixels[part], ids[part], padding_mask[part])
    torch.autograd.backward(again, [leaf.grad[part] for leaf in leaves])
cached = gradients_of(small)
difference = (in_one - cached).abs().max()
print(f"largest difference {difference:.1e} of {in_one.abs().max():.2f}")

# %% [markdown]
# ### False negatives
# Two pictures of a batch may fit the same sentence. The loss then punishes what is right. How many pairs of a batch of 128 are such **false negatives**? The
# grammar knows.

# %%
fits = np.isfinite(exact[:128, :128])
false_negatives = fits.sum() - 128
print(f"{false_negatives} of {128 * 127:,} negative pairs are true")

# %% [markdown]
# Few, in a world as rich as this one; in a batch of 128 cut-outs of 70 kinds it would be many, so section 5 drew each kind once.
#
# ## 10 · At full size
# The real CLIP was trained on 400 million pairs. The cell asks it for the two photographs that scikit-learn brings, where its weights are on this
# machine; it downloads nothing, and this course has not run it on a machine that had them.

# %% tags=["free"]
from huggingface_hub import try_to_load_from_cache

real_name = "openai/clip-vit-base-patch32"
if isinstance(try_to_load_from_cache(real_name, "config.json"), str):
    from sklearn.datasets import load_sample_images
    from transformers import CLIPModel, CLIPProcessor

    real = CLIPModel.from_pretrained(real_name, local_files_only=True).eval()
    processor = CLIPProcessor.from_pretrained(real_name, local_files_only=True)
    prompts = ["a photo of a palace", "a photo of a flower", "a photo of a dog"]
    batch = processor(
        text=prompts,
        images=load_sample_images().images,
        return_tensors="pt",
        padding=True,
    )
    with torch.no_grad():
        print(real(**batch).logits_per_image.softmax(dim=1).numpy().round(2))
else:
    print(f"not run: {real_name} is not on this machine")

# %% [markdown]
# ## 11 · What to remember
# - CLIP's loss is a classification among the batch, both ways: which sentence for this picture, which picture for this sentence.
# - A model that knows nothing has the loss ln b; if your first loss is far from it, look for a mistake.
# - Any sentence can be a class: zero-shot classification is retrieval among prompts.
# - Two half batches are not one batch: the negatives are part of the loss.
# - High retrieval does not mean that it knows who has which color. Test with foils that a judge without eyes cannot tell.
#
# ## 12 · Check yourself
# <details><summary>1. Your first loss at batch 256 is 11.9. What should it be, and what may be wrong?</summary>
#
# About ln 256 = 5.5. Vectors that were not normalized, or a scale that is far too large.
# </details>
# <details><summary>2. Why is the temperature learned as a logarithm, and clipped?</summary>
#
# So that the scale stays positive; and so that it cannot grow until the softmax is all or nothing and training becomes unstable.
# </details>
# <details><summary>3. A benchmark's foils contain pairs of color and shape that training never had. What is wrong with it?</summary>
#
# A model can reject the foil because the pair is strange, without looking at the picture.
# </details>
# <details><summary>4. Perfect eyes have R@1 of 0.954 among 1,000. Why not 1?</summary>
#
# Some sentences fit several pictures.
# </details>
# <details><summary>5. Which of the two losses would you take if your batch is spread over many machines?</summary>
#
# The sigmoid loss: each pair counts alone, so tables can be worked off in parts.
# </details>
#
# ## 13 · Exercises and where next
# [The exercises](exercises/clip.ipynb) · **Where next:** captioning, where a decoder looks at the grid of features instead of one vector · **Back
# to:** [attention](attention.ipynb).
#
# ## Sources
# van den Oord et al. 2018, arXiv 1807.03748 · Radford et al. 2021, arXiv 2103.00020 · Zhai et al. 2023, arXiv 2303.15343 · Yuksekgonul et al. 2022,
# arXiv 2210.01936 (bags of words) · Hsieh et al. 2023, *SugarCrepe*, arXiv 2306.14610 (foils that can be told without looking) · Liang et al. 2022,
# arXiv 2203.02053 (modality gap) · Gao et al. 2021, *GradCache*, arXiv 2101.06983 · Jordan et al. 2024, *Muon*.
