# %% [markdown]
# # CLIP, deeper
# *What the temperature does, why batches are large and how to have one without the memory, the sigmoid loss, and the same
# training in Keras.*
#
# {{budget}}
#
# **You will be able to**
# - say what the temperature changes, and what it cannot change;
# - read a contrastive loss as a bound on information, and say what the batch has to do with it;
# - tell why averaging the gradients of small batches is not a large batch here, and do it right;
# - measure what several captions of one picture in a batch cost, and mask them;
# - train with the sigmoid loss, and train CLIP in Keras with `compile` and `fit`;
# - measure what a trained vision encoder is worth for a task that it was not trained for;
# - say how far a model of a grammar gets on sentences that people wrote.
#
# **Before this:** [clip](clip.ipynb). **Time to read:** 45 minutes.

# %%
import copy
import math
from dataclasses import replace

import keras
import numpy as np
import torch
from keras import ops
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from mmcourse import plot
from mmcourse.datasets import results
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.datasets.scenes.phrases import KINDS, NAMES, draw_cut_outs, say_phrases
from mmcourse.evaluate import expect_within
from mmcourse.figures import clip as clip_figures
from mmcourse.keras import contrastive as keras_contrastive
from mmcourse.torch.clip import CLIP, prepare_images, tokenize
from mmcourse.torch.contrastive import contrastive_loss, sigmoid_loss

# %% [markdown]
# ## 1 · Experiments in seconds

# %% [markdown]
# The shipped vision encoder is **frozen** here (its weights no longer change), and the text encoder is left out: a
# sentence is the count of each word. A picture is the mean and the largest value of each of its 128 features over the
# grid: 256 numbers. What is trained are two linear layers that bring both to 64 numbers. That is quick, so that one can
# turn knobs.

# %%
model = CLIP.from_pretrained("clip")


@torch.no_grad()
def picture_features(images, vision=model.vision):
    """Mean and maximum over the grid: float (b, 256)."""
    parts = []
    for part in prepare_images(images).split(250):
        grid = vision(part)  # (b, 64, 128)
        parts.append(torch.cat([grid.mean(dim=1), grid.amax(dim=1)], dim=1))
    return torch.cat(parts)


# 2,000 scenes for training, 500 others for tests
train_scenes = [world.make(88, i) for i in range(2000)]
train_images = np.stack([draw_scene(scene) for scene in train_scenes])
test_scenes, test_images = clip_figures.draw_scenes(500)
train_captions = [english(scene) for scene in train_scenes]
test_captions = [english(scene) for scene in test_scenes]

train_x = picture_features(train_images)
test_x = picture_features(test_images)
mean, std = train_x.mean(dim=0), train_x.std(dim=0) + 1e-6
train_x, test_x = (train_x - mean) / std, (test_x - mean) / std


def words_of(text):
    return text.lower().replace(",", " ").replace(".", " ").split()


WORDS = sorted({word for text in train_captions for word in words_of(text)})
COLUMN = {word: column for column, word in enumerate(WORDS)}


def count_words(texts):
    """float (b, words)."""
    counts = torch.zeros(len(texts), len(WORDS))
    for row, text in enumerate(texts):
        for word in words_of(text):
            if word in COLUMN:  # a new word is left out
                counts[row, COLUMN[word]] += 1
    return counts


train_t, test_t = count_words(train_captions), count_words(test_captions)
print("pictures", tuple(train_x.shape), "  sentences", tuple(train_t.shape))


# %%
class Heads(nn.Module):
    """Two linear maps into one space, and a temperature."""

    def __init__(self, temperature=0.07, learned=True, bias=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Linear(256, 64)
        self.text = nn.Linear(len(WORDS), 64)
        log_scale = torch.tensor(math.log(1 / temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=learned)
        self.bias = nn.Parameter(torch.tensor(bias))


def train_heads(loss_of, heads, batch=128, steps=300, pairs=2000):
    """Adam; returns recall@1 (text → image) among 500 new pairs, and the last loss."""
    trained = [p for p in heads.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    g = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        rows = g.choice(pairs, batch, replace=False)
        loss = loss_of(heads, heads.image(train_x[rows]), heads.text(train_t[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        with torch.no_grad():
            heads.log_scale.clamp_(max=math.log(100))
    u, v = vectors_of(heads)
    return clip_figures.recall_at_1((v @ u.T).double().numpy()), np.mean(losses[-20:])


@torch.no_grad()
def vectors_of(heads):
    """Vectors of length 1 of the 500 test pairs."""
    u = F.normalize(heads.image(test_x), dim=-1)
    v = F.normalize(heads.text(test_t), dim=-1)
    return u, v


def softmax_loss(heads, image, text):
    return contrastive_loss(image, text, heads.log_scale)


# %% [markdown]
# ## 2 · The temperature

# %% [markdown]
# Logits are cosines divided by the **temperature**. It cannot change which picture is nearest, so at test time recall does not feel it. In *training* it decides which negatives
# count: with a high temperature all 127 of them push about equally, with a low one only the few that are near. Keep it fixed at four values, then let it be learned.

# %% tags=["free"]
reached = {}
for temperature in (1.0, 0.3, 0.07, 0.02):
    r1, loss = train_heads(softmax_loss, Heads(temperature, learned=False))
    reached[temperature] = r1
    print(f"temperature fixed at {temperature:4}   recall@1 {r1:.3f}   loss {loss:.2f}")
heads = Heads(0.07)
learned_r1, loss = train_heads(softmax_loss, heads)
final = math.exp(-heads.log_scale.item())
print(f"learned, ends at {final:.3f}       recall@1 {learned_r1:.3f}   loss {loss:.2f}")

# %% [markdown]
# Too high and too low both cost something; the learned one is within 0.02 of the best of the four.

# %%
best_fixed = max(reached.values())
name = "recall@1, learned temperature minus the best fixed one:"
expect_within(name, learned_r1 - best_fixed, 0.0, 0.02)
expect_within("temperature 1 minus best", reached[1.0] - best_fixed, -0.09, 0.04)

# %% [markdown]
# How far can a loss fall when the temperature is 1? Cosines lie between −1 and 1: at best, each right pair has the cosine
# 1, and the other 127 would lie opposite. But they cannot all lie opposite to one another: on average the best is −1/127
# (if their mean is 0). So right pairs are ahead of the others by at most $1 + 1/127 = 128/127$ on average. The mean loss
# is least where all are ahead equally (Jensen's inequality), so whatever is learned, it cannot fall below
# $\ln\,(1 + 127\,e^{-128/127})$:

# %%
floor = math.log(1 + 127 * math.exp(-128 / 127))
print(f"floor at temperature 1: {floor:.2f} nats;  ln 128 = {math.log(128):.2f}")

# %% [markdown]
# The run at temperature 1 came near it, and yet the floor is four fifths of $\ln 128$: such a loss looks bad however good
# the vectors are.
#
# What temperature would suit the shipped model? Its vectors stay as they are; only the number is changed.

# %%
u = model.encode_image(test_images)
v = model.encode_text(test_captions)


def mean_loss(u, v, log_scale, b):
    """Mean InfoNCE of whole batches of b pairs."""
    losses = []
    for start in range(0, len(u) - b + 1, b):
        part = slice(start, start + b)
        losses.append(contrastive_loss(u[part], v[part], log_scale).item())
    return np.mean(losses)


inverse = np.array([1, 2, 5, 10, 20, 35, 50, 70, 100, 200])
curve = [mean_loss(u, v, torch.tensor(math.log(scale)), 125) for scale in inverse]
fig = plot.curves(
    {"new pairs": curve},
    x=inverse,
    title="Which scale suits the shipped vectors?",
    xlabel="scale = 1 / temperature",
    ylabel="InfoNCE at batch 125 (nats)",
    log=True,
)
plot.show(fig, alt="The loss falls with the scale, has a minimum, and rises again.")
learned_scale = model.log_scale.exp().item()
print(f"best of these {inverse[np.argmin(curve)]}, learned {learned_scale:.0f}")

# %% [markdown]
# ### Why it is clipped
#
# Train on only 200 pairs, which the heads soon know by heart. Then change nothing but the scale: what would the training pairs like best, what do new pairs like best, and what does *one* exchange of two
# sentences in a batch cost?

# %%
heads = Heads()
memorized_r1, _ = train_heads(softmax_loss, heads, steps=150, pairs=200)
with torch.no_grad():
    known = F.normalize(heads.image(train_x[:125]), dim=-1)
    said = F.normalize(heads.text(train_t[:125]), dim=-1)
new, new_said = vectors_of(heads)
order = [1, 0, *range(2, 125)]  # two sentences exchanged
price = {}
print(f"recall@1 of new pairs {memorized_r1:.2f}")
print("scale   training pairs   new pairs   one exchange costs")
for scale in (10, 30, 100, 300, 1000):
    log_scale = torch.tensor(math.log(scale))
    easy = contrastive_loss(known, said, log_scale).item()
    fresh = contrastive_loss(new[:125], new_said[:125], log_scale).item()
    exchanged = contrastive_loss(known, said[order], log_scale).item()
    price[scale] = (easy, fresh, exchanged - easy)
    print(f"{scale:5} {easy:16.6f} {fresh:11.2f} {exchanged - easy:20.2f}")

# %% [markdown]
# The loss of pairs that are known by heart goes on falling with the scale, so a learned scale goes on rising, although new pairs have long been worse off. And the price of each mistake grows in proportion: a few wrong
# or ambiguous pairs, of which the web is full, then rule the gradient. So CLIP **clips the scale** at 100, which is the temperature 0.01 (`model.clip_log_scale()` in the lesson).

# %%
assert price[1000][0] <= price[100][0] < price[10][0]
assert price[1000][1] > price[100][1] and price[1000][2] > 5 * price[100][2]

# %% [markdown]
# ## 3 · What the batch has to do with it

# %% [markdown]
# $\ln b - L$ is a lower bound (in expectation) on the **mutual information** between pictures and sentences (van den Oord et al. 2018): what one says about the other, in nats. Since $L \ge 0$, a
# batch of $b$ can show at most $\ln b$. Take the shipped vectors, and as a control the same with the sentences shuffled.

# %%
shuffled = v[torch.from_numpy(np.random.default_rng(0).permutation(500))]
print("batch   ln b   ln b − L     shuffled")
bounds, control = {}, {}
for b in (4, 16, 64, 250):
    log_scale = model.log_scale.detach()
    bounds[b] = math.log(b) - mean_loss(u, v, log_scale, b)
    control[b] = math.log(b) - mean_loss(u, shuffled, log_scale, b)
    print(f"{b:5} {math.log(b):6.2f} {bounds[b]:10.2f} {control[b]:12.2f}")

# %% [markdown]
# The bound grows with the batch as fast as it is allowed to: there is more to know than any of these batches can show. That is one reason for large batches. And in training? The same number of
# pairs for each run, in batches of different sizes:

# %% tags=["free"]
by_batch = {}
for batch in (8, 32, 128, 512):
    r1, _ = train_heads(softmax_loss, Heads(), batch=batch, steps=19_200 // batch)
    by_batch[batch] = r1
    print(f"batch {batch:3}   {19_200 // batch:4} steps   recall@1 {r1:.3f}")

# %% [markdown]
# With a fixed number of pairs a small batch makes more steps, and a large one has more negatives in each. Which weighs more depends on the learning rate and on how long one trains; these are
# single runs with one rate, so read nothing from small differences.

# %% [markdown]
# ## 4 · A large batch in little memory

# %% [markdown]
# When memory is short, people average the gradients of several small batches: **gradient accumulation**. For cross-entropy with fixed classes that *is* the large batch. Here it is not: a
# pair in a half batch has half the negatives.

# %%
log_scale = model.log_scale.detach()
whole = mean_loss(u[:128], v[:128], log_scale, 128)
halves = mean_loss(u[:128], v[:128], log_scale, 64)
print(f"one batch of 128: {whole:.3f}   mean of two of 64: {halves:.3f}")

# %% [markdown]
# **Cached gradients** (GradCache, Gao et al. 2021) do it right, in three passes:
#
# 1. all vectors, in parts, *without* gradients: little memory;
# 2. the loss on the whole table, and its gradient with respect to each *vector*: the table is small;
# 3. the encoders again, part by part, each handed the gradient of its vectors.
#
# By the chain rule that is the same gradient. Is it? In float64, so that rounding cannot hide a mistake:


# %%
def gradients_of(model):
    """All gradients in one vector."""
    return torch.cat([p.grad.flatten() for p in model.parameters()])


exact_model = copy.deepcopy(model).double()
pixels = prepare_images(test_images[:32]).double()
ids, padding_mask = tokenize(test_captions[:32])
parts = [slice(0, 16), slice(16, 32)]

exact_model.zero_grad()
image, text = exact_model(pixels, ids, padding_mask)
contrastive_loss(image, text, exact_model.log_scale).backward()
in_one = gradients_of(exact_model)

exact_model.zero_grad()
with torch.no_grad():  # pass 1
    made = [exact_model(pixels[part], ids[part], padding_mask[part]) for part in parts]
image = torch.cat([image for image, _ in made]).requires_grad_()
text = torch.cat([text for _, text in made]).requires_grad_()
contrastive_loss(image, text, exact_model.log_scale).backward()  # pass 2
for part in parts:  # pass 3
    again = exact_model(pixels[part], ids[part], padding_mask[part])
    torch.autograd.backward(again, [image.grad[part], text.grad[part]])
cached = gradients_of(exact_model)

exact_model.zero_grad()
for part in parts:
    image, text = exact_model(pixels[part], ids[part], padding_mask[part])
    (contrastive_loss(image, text, exact_model.log_scale) / 2).backward()
averaged = gradients_of(exact_model)

length = in_one.norm()
cached_error = ((cached - in_one).norm() / length).item()
averaged_error = ((averaged - in_one).norm() / length).item()
print(f"cached gradients: relative error below 1e-12: {cached_error < 1e-12}")
print(f"average of two halves: relative error {averaged_error:.2f}")

# %% [markdown]
# The model is in evaluation mode here. In training mode, batch normalization would see other batches in the parts, and the gradients would differ for that reason: one
# more argument for layer normalization in large contrastive models. The price of cached gradients is a second forward pass.

# %% [markdown]
# ## 5 · Several captions of one picture

# %% [markdown]
# Many data sets have several captions for each picture (COCO has five). Draw a batch of 128 from all pairs, and two captions of one picture may meet: each is then a **false negative** of the other's
# picture. Three batches, the same number of steps:
#
# - 128 pictures with one caption each;
# - 32 pictures with four captions each, the loss as it is;
# - the same batch, but logits of pairs that belong together are taken out before the softmax, except the one on the diagonal.

# %%
others = []
for speaker in range(4):
    scenes = [replace(scene, seed=(*scene.seed, speaker)) for scene in train_scenes]
    others.append(count_words([english(scene) for scene in scenes]))
four_t = torch.stack(others, dim=1)  # (2000, 4, words)
print(english(replace(train_scenes[0], seed=(1,))), "·", english(train_scenes[0]))


def repeated_loss(heads, rows, per_picture, mask):
    """InfoNCE of a batch in which each picture comes `per_picture` times."""
    image = heads.image(train_x[rows]).repeat_interleave(per_picture, dim=0)
    text = heads.text(four_t[rows, :per_picture].flatten(0, 1))
    owner = torch.arange(len(rows)).repeat_interleave(per_picture)
    u, v = F.normalize(image, dim=-1), F.normalize(text, dim=-1)
    logits = heads.log_scale.exp() * u @ v.T  # (128, 128)
    if mask:
        same = owner[:, None] == owner[None]
        false_negative = same & ~torch.eye(len(owner), dtype=torch.bool)
        logits = logits.masked_fill(false_negative, -torch.inf)
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def train_repeated(pictures, per_picture, mask=False, steps=150, seed=0):
    """Recall@1 among 500 new pairs, and the last loss."""
    heads = Heads()
    optimizer = torch.optim.Adam(heads.parameters(), lr=3e-3)
    g = np.random.default_rng(seed)
    losses = []
    for _ in range(steps):
        rows = g.choice(2000, pictures, replace=False)
        loss = repeated_loss(heads, rows, per_picture, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    u, v = vectors_of(heads)
    return clip_figures.recall_at_1((v @ u.T).double().numpy()), np.mean(losses[-20:])


# %% tags=["free"]
repeated = {}
for name, options in (
    ("128 × 1", (128, 1)),
    ("32 × 4", (32, 4)),
    ("32 × 4, masked", (32, 4, True)),
):
    runs = [train_repeated(*options, seed=seed) for seed in range(3)]
    repeated[name] = [r1 for r1, _ in runs]
    shown = "  ".join(f"{r1:.3f}" for r1 in repeated[name])
    last_loss = np.mean([loss for _, loss in runs])
    print(f"{name:15} recall@1 {shown}   loss {last_loss:.2f}")
print(f"ln 4 = {math.log(4):.2f}")

# %%
plain, repeated_4, masked = (np.mean(runs) for runs in repeated.values())
expect_within("32 × 4 minus 128 × 1", repeated_4 - plain, -0.02, 0.015)
expect_within("masked minus 128 × 1", masked - plain, -0.01, 0.015)

# %% [markdown]
# The loss ends near $\ln 4$, because four captions share each picture's probability and cannot do better. Recall falls by about two hundredths in these three runs, less than one might fear: the four
# are treated alike, and none of them is pushed away more than the others. What is lost for certain is the meaning of the loss, whose distance from 0 now looks like a fault. Masking mends the
# loss, and in these three runs about half of what recall lost. (These are heads on frozen
# features; where false negatives are *not* treated alike, the damage may be larger.)

# %% [markdown]
# ## 6 · The sigmoid loss

# %% [markdown]
# A softmax needs the sum over the whole row. **SigLIP** (Zhai et al. 2023) decides about each pair alone: do these two belong together, yes or no? With $z_{ij} = 1$ on the diagonal and $-1$
# elsewhere, $t$ the logarithm of the scale and $c$ a learned bias, the **sigmoid loss** is
#
# $$L = -\frac1b \sum_{ij} \ln \sigma\big(z_{ij}(e^t u_i^\top v_j + c)\big)$$
#
# Of $128^2$ pairs, 16,256 are wrong ones. What do they cost at the start, where vectors of new models are about at right angles?

# %%
b = 128
apart = torch.eye(2 * b)  # all cosines 0
log_ten = torch.tensor(math.log(10))
starts = {}
for bias in (-10.0, 0.0):
    loss = sigmoid_loss(apart[:b], apart[b:], log_ten, torch.tensor(bias)).item()
    starts[bias] = loss
    print(f"bias {bias:5}   loss {loss:.2f}")

# %% [markdown]
# With bias 0 each of the 16,256 wrong pairs costs $\ln 2$; with $-10$ the model begins by saying *no* to all, and only the 128 right pairs cost anything. Does it matter after
# training?


# %% tags=["free"]
def pairs_loss(heads, image, text):
    return sigmoid_loss(image, text, heads.log_scale, heads.bias)


sigmoid = {}
for bias in (-10.0, 0.0):
    heads = Heads(temperature=0.1, bias=bias)
    sigmoid[bias], _ = train_heads(pairs_loss, heads)
    last = heads.bias.item()
    print(f"sigmoid, bias {bias:5}   recall@1 {sigmoid[bias]:.3f}   ends at {last:.1f}")
print(f"softmax               recall@1 {learned_r1:.3f}")

# %%
expect_within("sigmoid minus softmax", sigmoid[-10.0] - learned_r1, 0.0, 0.03)
expect_within("sigmoid, bias 0", sigmoid[0.0], 0.28, 0.15)

# %% [markdown]
# With bias −10 the two losses differ by a hundredth in one run. With bias 0 it goes badly: Adam moves a number by at most
# about the learning rate per step, 0.003 here. So in 300 steps at this rate the bias cannot get far from 0, and saying
# *no* is left to the cosines.

# %% [markdown]
# Since pairs are independent, the table can be processed tile by tile, and each of many machines needs only one tile at a time. Test it: the sum over four tiles.

# %%
heads = Heads(temperature=0.1, bias=-10.0)
image = F.normalize(heads.image(train_x[:64]), dim=-1)
text = F.normalize(heads.text(train_t[:64]), dim=-1)
total = 0.0
for rows in (slice(0, 32), slice(32, 64)):
    for columns in (slice(0, 32), slice(32, 64)):
        logits = heads.log_scale.exp() * image[rows] @ text[columns].T + heads.bias
        sign = 2 * torch.eye(64)[rows, columns] - 1
        total = total - F.logsigmoid(sign * logits).sum() / 64
whole = sigmoid_loss(image, text, heads.log_scale, heads.bias)
print("tiles and table agree:", torch.allclose(total, whole, rtol=1e-5))

# %% [markdown]
# ## 7 · CLIP in Keras

# %% [markdown]
# Now both encoders, from new weights, in Keras: the same task as in the lesson, cut-outs and phrases, a batch with one of each of the 70 kinds. First the data, as a
# `keras.utils.PyDataset`: it makes one batch when it is asked for it.

# %%
cuts = draw_cut_outs(20, seed=1)  # uint8 (70, 20, 32, 32, 3)
new_cuts = draw_cut_outs(4, seed=2)
LENGTH = 16  # pieces of a phrase, padded


def pad_ids(texts):
    """ids int32 and padding_mask float, both (b, 16)."""
    ids, padding_mask = (array.numpy() for array in tokenize(texts))
    space = ((0, 0), (0, LENGTH - ids.shape[1]))
    ids = np.pad(ids, space).astype("int32")
    return ids, np.pad(padding_mask, space).astype("float32")


class Phrases(keras.utils.PyDataset):
    """Batches of 70: one cut-out and one phrase of each kind."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps  # batches in an epoch
        self.epoch = 0

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        seed = 100 + self.epoch * self.steps + step
        g = np.random.default_rng(seed)
        chosen = g.integers(cuts.shape[1], size=len(KINDS))
        pixels = cuts[np.arange(len(KINDS)), chosen].astype("float32") / 255
        return ((pixels, *pad_ids(say_phrases(seed))),)

    def on_epoch_end(self):
        self.epoch += 1  # other cut-outs, other speakers


# %% [markdown]
# Two encoders, with the functional API. The text encoder is only a bag of words here, the mean of embeddings: a phrase names one thing, so order says nothing.

# %%
layers = keras.layers


def make_vision(width=128):
    """Pixels (32, 32, 3) from 0 to 1 → (width,)."""
    pixels = keras.Input((32, 32, 3))
    x = layers.Rescaling(4.0, offset=-2.0)(pixels)
    for channels, strides in ((32, 2), (64, 2), (64, 1), (64, 2)):
        x = layers.Conv2D(channels, 3, strides, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    x = layers.Flatten()(x)  # 4 × 4 × 64
    return keras.Model(pixels, layers.Dense(width)(x))


def make_text(num_pieces, width=128):
    """ids (16,) and padding_mask (16,) → (width,)."""
    ids = keras.Input((LENGTH,), dtype="int32")
    padding_mask = keras.Input((LENGTH,))
    x = layers.Embedding(num_pieces, width)(ids)
    x = layers.GlobalAveragePooling1D()(x, mask=padding_mask)
    return keras.Model([ids, padding_mask], layers.Dense(width)(x))


# %% [markdown]
# A loss that needs two outputs at once, and the whole batch, does not fit `compile(loss=…)`. The idiomatic place is `compute_loss` of a subclassed model; then `fit` works as
# always. The clip of the scale is a **constraint** of the weight, which Keras applies after each step.


# %%
class AtMost(keras.constraints.Constraint):
    """A weight that stays below a limit."""

    def __init__(self, limit):
        self.limit = limit

    def __call__(self, weight):
        return ops.minimum(weight, self.limit)


class KerasCLIP(keras.Model):
    """Two encoders and a temperature."""

    def __init__(self, vision, text):
        super().__init__()
        self.vision = vision
        self.text = text
        self.log_scale = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(math.log(1 / 0.07)),
            constraint=AtMost(math.log(100)),
            name="log_scale",
        )

    def call(self, inputs, training=None):
        pixels, ids, padding_mask = inputs
        image = self.vision(pixels, training=training)
        return image, self.text([ids, padding_mask])

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        image, text = y_pred
        return keras_contrastive.contrastive_loss(image, text, self.log_scale)


def named_by_keras(model):
    """How often a new cut-out is nearest to its own name among 70."""
    names = ops.normalize(model.text(pad_ids(NAMES)), axis=-1)  # (70, 128)
    right = []
    for i in range(new_cuts.shape[1]):
        pixels = new_cuts[:, i].astype("float32") / 255
        image = ops.normalize(model.vision(pixels, training=False), axis=-1)
        cosines = ops.convert_to_numpy(ops.matmul(image, ops.transpose(names)))
        right.append((cosines.argmax(axis=1) == np.arange(len(KINDS))).mean())
    return np.mean(right)


# %% tags=["free"]
keras.utils.set_random_seed(0)
keras_model = KerasCLIP(make_vision(), make_text(model.config["vocabulary_size"]))
epochs, steps = 8, 30
rate = keras.optimizers.schedules.CosineDecay(
    initial_learning_rate=0.0,
    decay_steps=epochs * steps,
    warmup_target=3e-3,
    warmup_steps=20,
)
keras_model.compile(optimizer=keras.optimizers.Adam(rate))
print(f"before   named {named_by_keras(keras_model):.2f}   ln 70 = {math.log(70):.2f}")
history = keras_model.fit(Phrases(steps), epochs=epochs, shuffle=False, verbose=0)
keras_named = named_by_keras(keras_model)
for epoch, loss in enumerate(history.history["loss"], start=1):
    print(f"epoch {epoch}   loss {loss:.2f}")
print(f"after    named {keras_named:.2f}   chance {1 / len(KINDS):.2f}")

# %%
expect_within("new cut-outs named among 70, in Keras", keras_named, 0.65, 0.15)

# %% [markdown]
# **Two traps.** The last batch of an epoch is usually smaller, and then $\ln b$, the loss of knowing nothing, is another number too: losses of batches of different sizes cannot be compared or averaged. Here every
# batch has 70 pairs; with PyTorch's `DataLoader` it is `drop_last=True`.
#
# And `momentum=0.9` above: in each step, Keras keeps 99 % of the running means of batch normalization by default, PyTorch
# 90 %. In a training as short as this one, the default leaves some of the *initial* values in them (the next cell says how
# much), and a good deal of those from early steps, when the weights were others. At test time the model then normalizes
# with numbers that do not fit, and may name much less than its training loss promises.

# %%
left = 0.99 ** (epochs * steps)
print(f"of the initial values, {left:.3f} would be left after {epochs * steps} steps")

# %% [markdown]
# ## 8 · What the vision encoder is worth elsewhere

# %% [markdown]
# A contrastive encoder is a start for other tasks. Take one that its captions mention only sometimes: *how many things are
# in the picture, one to four?* Freeze the encoder, and train a linear probe on its features (section 1) with few labels. Beside it, the same probe on the same encoder with new, untrained weights, and on pixels.

# %%
train_count = np.array([len(scene.things) for scene in train_scenes])
test_count = np.array([len(scene.things) for scene in test_scenes])
majority = (test_count == np.bincount(train_count).argmax()).mean()


def small_pixels(images):
    """16 × 16 means of color: (b, 768)."""
    blocks = images.reshape(len(images), 16, 4, 16, 4, 3) / 255
    return blocks.mean(axis=(2, 4)).reshape(len(images), -1)


torch.manual_seed(0)
untrained = CLIP().eval()
features = {
    "pixels": (small_pixels(train_images), small_pixels(test_images)),
    "untrained encoder": (
        picture_features(train_images, untrained.vision),
        picture_features(test_images, untrained.vision),
    ),
    "CLIP's encoder": (train_x, test_x),
}


def probe_count(train, test, labels):
    """Accuracy on 500 test scenes of a linear probe with so many labels."""
    train, test = np.asarray(train), np.asarray(test)
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-6
    probe = LogisticRegression(C=0.01, max_iter=300)
    probe.fit((train[:labels] - mean) / std, train_count[:labels])
    return probe.score((test - mean) / std, test_count)


# %% tags=["free"]
worth = {}
print(f"{'labels':18} {'50':>6} {'200':>6} {'2000':>6}")
for name, (train, test) in features.items():
    worth[name] = [probe_count(train, test, labels) for labels in (50, 200, 2000)]
    print(f"{name:18} " + " ".join(f"{accuracy:6.2f}" for accuracy in worth[name]))
print(f"majority class     {majority:6.2f}")

# %%
few, some, many = worth["CLIP's encoder"]
expect_within("CLIP's encoder, 50 labels", few, 0.64, 0.1)
expect_within("CLIP's encoder, 2,000 labels", many, 0.90, 0.06)
assert few > worth["untrained encoder"][2], "50 labels against 2,000"

# %% [markdown]
# 50 labels on its features are worth more than 2,000 on those of the untrained encoder. (Even untrained convolutions beat
# pixels.) Later lessons start from this encoder.

# %% [markdown]
# ## 9 · People's sentences

# %% [markdown]
# All sentences so far came from a grammar. NLVR (Suhr et al. 2017) has pictures of three panels with circles, squares and
# triangles, and sentences that *people* wrote about them: "There are two yellow items touching the wall.". In a stored run
# the shipped model read them, words that it never had left out; the score of a picture is the mean cosine of its panels. Is a
# sentence's own picture above a picture of another sentence? Two **controls**: sentences that are *false* of their picture, and
# pictures that were exchanged.

# %%
nlvr = results("clip")["nlvr"]
print(f"{nlvr['pictures']} pictures; {nlvr['words kept']:.0%} of the words were known")
for name in ("true", "false", "exchanged"):
    row = nlvr[name]
    print(f"{name:10} {row['share']:.2f} ({row['low']:.2f} to {row['high']:.2f})")
assert nlvr["true"]["low"] < nlvr["false"]["share"] < nlvr["true"]["high"]

# %% [markdown]
# Near chance, and for true sentences no better than for false ones: whatever little there is comes from what a sentence is
# *about*, such as a color, and not from its being true. A model of a grammar has not learned people's language. What it lacks
# are words (numbers, *touching*, *tower*), and pictures with three panels and things that touch.

# %% [markdown]
# ## 10 · Check yourself

# %% [markdown]
# <details><summary>1. You double the scale of a trained model. What happens to recall@1, and to the loss?</summary>
#
# Recall stays: order does not change. The loss changes, and near the learned scale it usually gets worse on new pairs.
# </details>
# <details><summary>2. Your loss at batch 32 is 0.5, a colleague's at batch 4,096 is 1.5. Who is better?</summary>
#
# Not to be said from these two: the bounds are ln 32 − 0.5 = 3.0 and ln 4096 − 1.5 = 6.8 nats, and yours could not exceed 3.5. Measure both on batches of one size.
# </details>
# <details><summary>3. Why can gradient accumulation be exact for the sigmoid loss in tiles, and not for two half batches?</summary>
#
# Tiles cover every pair of the table. Two half batches leave out the pairs between the halves.
# </details>
#
# **Back to** [the lesson](clip.ipynb).

# %% [markdown]
# ## Sources
# van den Oord et al. 2018, arXiv 1807.03748 · Radford et al. 2021, arXiv 2103.00020 · Gao et al. 2021, *Scaling deep contrastive learning batch size under memory limited setup*, arXiv
# 2101.06983 · Zhai et al. 2023, *Sigmoid loss for language image pre-training*, arXiv 2303.15343 · Suhr et al. 2017, *A corpus
# of natural language for visual reasoning* (NLVR).
