# %% [markdown]
# # Captioning, deeper
# *The same captioner in Keras, trained with `compile` and `fit`; a trap in the mean of a masked loss; and what a decoder
# costs that computes everything again.*
#
# {{budget}}
#
# **You will be able to**
# - read the decoder block in Keras layers, and train it from a `PyDataset`;
# - give padding no weight in Keras, and say what its mean then divides by;
# - decode with a compiled model, whose inputs must keep their shape;
# - count what length costs, with and without a cache.
#
# **Before this:** [captioning](captioning.ipynb). **Time to read:** 25 minutes.

# %%
import math
from dataclasses import replace

import keras
import numpy as np
import torch
from keras import ops

from mmcourse import plot
from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.evaluate import expect_within
from mmcourse.figures import captioning as captioning_figures
from mmcourse.figures import clip as clip_figures
from mmcourse.keras.decoding import token_cross_entropy
from mmcourse.torch.captioner import encode_captions
from mmcourse.torch.clip import CLIP, prepare_images

# %% [markdown]
# ## 1 · The data, once per epoch in other words

# %% [markdown]
# As in the lesson, the vision encoder of [clip](clip.ipynb) is frozen and its features are computed once; the scenes have one or two things. It is written in PyTorch, and that does not matter: what the decoder gets
# are arrays.

# %% tags=["free"]
encoder = CLIP.from_pretrained("clip")


@torch.no_grad()
def features_of(images):
    """uint8 (b, 64, 64, 3) → float32 (b, 64, 128)."""
    encoder.eval()
    parts = [encoder.vision(part) for part in prepare_images(images).split(250)]
    return torch.cat(parts).numpy()


scenes = [world.make(71, i) for i in range(3000)]
scenes = [scene for scene in scenes if len(scene.things) <= 2]
features = features_of(np.stack([draw_scene(scene) for scene in scenes]))
print(features.shape)

# %% [markdown]
# A `keras.utils.PyDataset` makes one batch when it is asked for it: inputs, labels, and a **sample weight** for each label. Inputs and labels are the same ids, shifted by one; the weight is 1 for a real label and 0 for padding. All batches have the same
# length, so that a compiled training step is compiled once.

# %%
LENGTH = 36  # pieces of a caption of two things, begin and end included


def pad_ids(captions):
    """ids int32 and padding_mask float32, both (b, 36)."""
    ids, padding_mask = (array.numpy() for array in encode_captions(captions))
    space = ((0, 0), (0, LENGTH - ids.shape[1]))
    ids = np.pad(ids, space).astype("int32")
    return ids, np.pad(padding_mask, space).astype("float32")


class Captions(keras.utils.PyDataset):
    """Batches of 48 pictures, each described by a new speaker."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps  # batches in an epoch
        self.epoch = 0

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        number = self.epoch * self.steps + step
        rows = np.random.default_rng(number).integers(len(scenes), size=48)
        speakers = [replace(scenes[row], seed=(71, int(row), number)) for row in rows]
        ids, padding_mask = pad_ids([english(scene) for scene in speakers])
        return (features[rows], ids[:, :-1]), ids[:, 1:], padding_mask[:, 1:]

    def on_epoch_end(self):
        self.epoch += 1  # other pictures, other speakers


(some_features, some_ids), some_labels, some_weights = Captions(1)[0]
print(some_features.shape, some_ids.shape, some_labels.shape, some_weights.shape)

# %% [markdown]
# ## 2 · The decoder, with layers that Keras has

# %% [markdown]
# `keras.layers.MultiHeadAttention` takes the query first and the value second; `use_causal_mask=True` is the causal mask. Block and model are subclassed. Logits come from the embedding's own weights, as in the lesson: `Pieces.call` turns ids
# into vectors, and `Pieces.to_logits` uses the same table the other way.

# %%
layers = keras.layers


class Block(layers.Layer):
    """Causal self-attention, cross-attention to the picture, feed-forward; pre-norm."""

    def __init__(self, dim=128, num_heads=4):
        super().__init__()
        self.norms = [layers.LayerNormalization(epsilon=1e-5) for _ in range(3)]
        self.self_attention = layers.MultiHeadAttention(num_heads, dim // num_heads)
        self.cross_attention = layers.MultiHeadAttention(num_heads, dim // num_heads)
        self.up = layers.Dense(2 * dim, activation="gelu")
        self.down = layers.Dense(dim)

    def call(self, x, grid):
        h = self.norms[0](x)
        x = x + self.self_attention(h, h, use_causal_mask=True)
        x = x + self.cross_attention(self.norms[1](x), grid)
        return x + self.down(self.up(self.norms[2](x)))


class Pieces(layers.Layer):
    """Ids → vectors with positions; and vectors → logits, with the same table."""

    def __init__(self, num_pieces, dim=128, longest=64):
        super().__init__()
        small = keras.initializers.RandomNormal(stddev=0.05)
        self.table = self.add_weight(shape=(num_pieces, dim), initializer=small)
        self.positions = self.add_weight(shape=(longest, dim), initializer=small)

    def call(self, ids):
        return ops.take(self.table, ids, axis=0) + self.positions[: ids.shape[1]]

    def to_logits(self, x):
        return ops.matmul(x, ops.transpose(self.table))


class KerasCaptioner(keras.Model):
    """Features (b, 64, 128) and ids (b, n) → logits (b, n, pieces)."""

    def __init__(self, num_pieces, dim=128, num_layers=2):
        super().__init__()
        self.pieces = Pieces(num_pieces, dim)
        self.to_grid = layers.Dense(dim)
        self.grid_norm = layers.LayerNormalization(epsilon=1e-5)
        self.blocks = [Block(dim) for _ in range(num_layers)]
        self.norm = layers.LayerNormalization(epsilon=1e-5)

    def call(self, inputs):
        picture, ids = inputs
        grid = self.grid_norm(self.to_grid(picture))
        x = self.pieces(ids)
        for block in self.blocks:
            x = block(x, grid)
        return self.pieces.to_logits(self.norm(x))


# %% [markdown]
# ## 3 · What does the mean divide by?

# %% [markdown]
# With a sample weight of 0, padding adds nothing to the sum. But the mean? By default Keras divides by the *number of labels*, padding included, and not by the sum of the weights. **Predict** before you run it: the share of real labels in
# this batch is printed first. How do the two losses compare?

# %%
keras.utils.set_random_seed(0)
model = KerasCaptioner(len(vocabulary.pieces()))
logits = model((some_features, some_ids))

by_default = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
of_real = keras.losses.SparseCategoricalCrossentropy(
    from_logits=True,
    reduction="mean_with_sample_weight",
)
size = len(vocabulary.pieces())
real = some_weights.mean()
print(f"real labels: {real:.3f} of all")
first = float(by_default(some_labels, logits, some_weights))
second = float(of_real(some_labels, logits, some_weights))
print(f"default                   {first:.4f}")
print(f"mean_with_sample_weight   {second:.4f}   ln {size} = {math.log(size):.4f}")
assert abs(first - real * second) < 1e-3

# %% [markdown]
# The default loss is smaller by a factor, the share of real labels. One can train on it (Adam hardly notices a factor), but the factor changes from batch to batch, so that batches of long texts weigh more. And it is no number that could be compared with a floor, and it changes with the padding: the same texts in a longer batch have a smaller loss. The second one is the mean over the real pieces, and equal to the course's formula. (It is above the logarithm of the number of pieces: a fresh model is not ignorant, it is sure of something wrong at random.)

# %%
ids, padding_mask = pad_ids([english(scene) for scene in scenes[:8]])
all_logits = model((features[:8], ids))
ours = float(token_cross_entropy(all_logits, ids, padding_mask > 0))
theirs = float(of_real(ids[:, 1:], all_logits[:, :-1], padding_mask[:, 1:]))
print(f"course {ours:.6f}   Keras {theirs:.6f}")
assert abs(ours - theirs) < 1e-4

# %% [markdown]
# ## 4 · Train it

# %% tags=["free"]
keras.utils.set_random_seed(0)
model = KerasCaptioner(len(vocabulary.pieces()))
EPOCHS, STEPS = 4, 20
rate = keras.optimizers.schedules.CosineDecay(
    initial_learning_rate=0.0,
    decay_steps=EPOCHS * STEPS,
    warmup_target=3e-3,
    warmup_steps=20,
)
model.compile(
    optimizer=keras.optimizers.Adam(rate, beta_2=0.98),
    loss=keras.losses.SparseCategoricalCrossentropy(
        from_logits=True,
        reduction="mean_with_sample_weight",
    ),
)
history = model.fit(Captions(STEPS), epochs=EPOCHS, shuffle=False, verbose=0)
for epoch, loss in enumerate(history.history["loss"], start=1):
    print(f"epoch {epoch}   nats per piece {loss:.3f}")

# %% tags=["hide-input", "free"]
fig = plot.curves(
    {"loss": history.history["loss"]},
    title="How does the loss of a real piece fall?",
    ylabel="nats per piece",
)
plot.show(fig, alt="The loss of the Keras captioner over four epochs: falling.")

# %% [markdown]
# ## 5 · Decode with fixed shapes

# %% [markdown]
# In PyTorch, the loop of the lesson makes the text longer at each step. In Keras with a compiling backend, each new length may be compiled again. So the ids keep their full length from the start: the part that is not written yet holds padding, and since the
# decoder is causal, it cannot be seen. At step t, the logits at position t are read.


# %%
def write(pictures):
    """Greedy captions for features (b, 64, 128)."""
    ids = np.zeros((len(pictures), LENGTH), dtype="int32")
    ids[:, 0] = vocabulary.BOS
    ended = np.zeros(len(pictures), dtype=bool)
    for t in range(LENGTH - 1):
        logits = model.predict_on_batch((pictures, ids))
        piece = logits[:, t].argmax(axis=-1)
        piece[ended] = vocabulary.PAD
        ended |= piece == vocabulary.EOS
        ids[:, t + 1] = piece
        if ended.all():
            break
    return [vocabulary.decode(row[1:]) for row in ids]


test_scenes, test_images = clip_figures.draw_scenes(120)
few = [row for row, scene in enumerate(test_scenes) if len(scene.things) <= 2]
said = write(features_of(test_images[few]))
found = captioning_figures.truth_of(said, [test_scenes[row] for row in few])
print("\n".join(said[:4]))

# %%
n = len(few)
expect_within("nats per piece, last epoch", history.history["loss"][-1], 1.15, 0.3)
expect_within(f"grammatical, of {n}", found["grammatical"], 0.7, 0.3)
expect_within(f"wholly true, of {n}", found["all_true"], 0.15, 0.15)
assert found["grammatical"] > found["all_true"] + 0.2

# %% [markdown]
# As in the lesson: it learns to speak before it learns to see. This run is shorter than that of the lesson, and trains everything by Adam, where the lesson had Muon for matrices. More epochs bring it further. Try `EPOCHS = 20`.

# %% [markdown]
# ## 6 · What length costs

# %% [markdown]
# A decoder without a cache computes all positions again for each piece. What does that cost in multiplications, and where? Count one block. Per position, the four projections of self-attention, the query and output of the cross-attention, its look at the 64 cells and the feed-forward network cost a *fixed* number; attention to the past *grows* with the length. Two things are left out: the
# keys and values of the picture (2 · 64 · 128² = 2.1 million, once per picture), and the logits (128 · 1280 = 0.16 million per piece, nearly as much as a block).


# %%
def multiplications(n, dim=128, hidden=256, cells=64, cached=True):
    """Of one block while n pieces are written: the fixed part and the growing one."""
    per_position = 4 * dim**2 + 2 * dim**2 + 2 * dim * hidden + 2 * cells * dim
    fixed, growing = 0, 0
    for step in range(1, n + 1):
        positions = [step] if cached else range(1, step + 1)  # how many keys each sees
        fixed += per_position * len(positions)
        growing += sum(2 * dim * keys for keys in positions)
    return fixed, growing


lengths = [1, 8, 16, 32, 64, 128, 256, 512]
parts_cached = [multiplications(n) for n in lengths]
parts_again = [multiplications(n, cached=False) for n in lengths]
print("millions        with a cache            everything again")
print("pieces      fixed  growing        fixed     growing")
for i, n in enumerate(lengths):
    parts = [part / 1e6 for part in (*parts_cached[i], *parts_again[i])]
    print("{:6}{:11.1f}{:9.1f}{:13.1f}{:12.1f}".format(n, *parts))
cached = [sum(parts) for parts in parts_cached]
again = [sum(parts) for parts in parts_again]
share = parts_cached[-1][1] / cached[-1]
print(f"share of attention to the past, {lengths[-1]} pieces, cached: {share:.2f}")
assert again[0] == cached[0] and again[-1] > 200 * cached[-1]
assert 0.2 < share < 0.35

# %% [markdown]
# So the cache saves in both columns, and at 512 pieces most of what is left is still the fixed part: a quarter goes into attention. In longer texts the growing part wins, since it alone grows with the square of the length.

# %% tags=["hide-input"]
fig = plot.curves(
    {"everything again": again, "with a cache": cached},
    x=lengths,
    title="What does it cost to write n pieces?",
    xlabel="pieces",
    ylabel="multiplications in one block",
    log=True,
)
plot.show(fig, alt="Two curves on a log scale: without a cache far steeper.")

# %% [markdown]
# ## 7 · Check yourself

# %% [markdown]
# <details><summary>1. Your Keras loss is 0.31, and the floor of the same captions is 0.54 nats per piece. What do you check?</summary>
#
# What the mean divides by. With padding in the number of labels, the loss is too small by the share of real labels. If that is not it, look for a leak.
# </details>
# <details><summary>2. Why may the ids behind position t hold anything while piece t + 1 is chosen?</summary>
#
# The causal mask: no position up to t attends to them.
# </details>
# <details><summary>3. Half of a batch is padding. Which part of the work is wasted?</summary>
#
# About half of it: padded positions are computed like all others. Batches of texts of similar length waste less.
# </details>
#
# **Back to** [the lesson](captioning.ipynb).

# %% [markdown]
# ## Sources
# Vaswani et al. 2017, arXiv 1706.03762 · Shazeer 2019, arXiv 1911.02150 · Vinyals et al. 2015, arXiv 1411.4555.
