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
# - train with the sigmoid loss, and in Keras with `compile` and `fit`.
#
# **Before this:** [clip](clip.ipynb). **Time to read:** 30 minutes.

# %%
import math

import keras
import numpy as np
import torch
from keras import ops
from torch import nn
from torch.nn import functional as F

from mmcourse import plot
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.figures import clip as clip_figures
from mmcourse.keras import contrastive as keras_contrastive
from mmcourse.torch.clip import CLIP, prepare_images, tokenize
from mmcourse.torch.contrastive import contrastive_loss, sigmoid_loss

# %% [markdown]
# ## 1 · Experiments in seconds

# %% [markdown]
# Both encoders of the shipped model are **frozen** here. A picture is the mean and the largest value of each of its 128 features over the grid: 256 numbers. A sentence is
# the count of each word. What is trained are two matrices that bring both to 64 numbers. That is quick, so that one can turn knobs.

# %%
model = CLIP.from_pretrained("clip")


@torch.no_grad()
def picture_features(images):
    """Mean and maximum over the grid: float (b, 256)."""
    parts = []
    for part in prepare_images(images).split(250):
        grid = model.vision(part)  # (b, 64, 128)
        parts.append(torch.cat([grid.mean(dim=1), grid.amax(dim=1)], dim=1))
    return torch.cat(parts)


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


def train_heads(loss_of, heads, batch=128, steps=300):
    """Adam; returns recall@1 (text → image) among 500 new pairs, and the last loss."""
    trained = [p for p in heads.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    g = np.random.default_rng(0)
    losses = []
    for _ in range(steps):
        rows = g.choice(len(train_x), batch, replace=False)
        loss = loss_of(heads, heads.image(train_x[rows]), heads.text(train_t[rows]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        u = F.normalize(heads.image(test_x), dim=-1)
        v = F.normalize(heads.text(test_t), dim=-1)
    return clip_figures.recall_at_1((v @ u.T).double().numpy()), np.mean(losses[-20:])


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
# How far can a loss fall when the temperature is 1? Cosines lie between −1 and 1, so the best a row of 128 can have is $e/(e + 127\,e^{-1})$ for the right one if all others lie
# opposite, and the loss cannot fall below this, whatever is learned:

# %%
best = -math.log(math.e / (math.e + 127 / math.e))
print(f"floor at temperature 1: {best:.2f} nats;  ln 128 = {math.log(128):.2f}")

# %% [markdown]
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
# Nothing keeps a temperature from falling for ever while training pairs get easier; CLIP clips the scale at 100, so that one false negative cannot ruin a step.

# %% [markdown]
# ## 3 · What the batch has to do with it

# %% [markdown]
# $\ln b - L$ is a lower bound (in expectation) on the **mutual information** between pictures and sentences (van den Oord et al. 2018): what one says about the other, in nats. Since $L \ge 0$, a
# batch of $b$ can show at most $\ln b$. Take the shipped vectors, and as a control the same with the pairs torn apart.

# %%
shuffled = v[torch.from_numpy(np.random.default_rng(0).permutation(500))]
print("batch   ln b   ln b − L   torn apart")
bounds, torn = {}, {}
for b in (4, 16, 64, 250):
    log_scale = model.log_scale.detach()
    bounds[b] = math.log(b) - mean_loss(u, v, log_scale, b)
    torn[b] = math.log(b) - mean_loss(u, shuffled, log_scale, b)
    print(f"{b:5} {math.log(b):6.2f} {bounds[b]:10.2f} {torn[b]:12.2f}")

# %% [markdown]
# The bound grows with the batch as fast as it is allowed to: there is more to know than any of these batches can show. That is one reason for large batches. And in training? The same number of
# pairs for each run, in batches of different sizes:

# %% tags=["free"]
by_batch = {}
for batch in (8, 32, 128, 512):
    r1, _ = train_heads(softmax_loss, Heads(), batch=batch, steps=38_400 // batch)
    by_batch[batch] = r1
    print(f"batch {batch:3}   {38_400 // batch:4} steps   recall@1 {r1:.3f}")

# %% [markdown]
# With a fixed number of pairs a small batch makes more steps, and a large one has more negatives in each. Which weighs more depends on the learning rate and on how long one trains; these are
# single runs with one rate, so read nothing from small differences.

# %% [markdown]
# ## 4 · A large batch in little memory

# %% [markdown]
# When memory is short, people average the gradients of several small batches. For cross-entropy with fixed classes that *is* the large batch. Here it is not: a pair in a half batch
# has half the negatives.

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


# %%
def gradients_of(model):
    """All gradients in one vector."""
    return torch.cat([p.grad.flatten() for p in model.parameters()])


pixels = prepare_images(test_images[:32])
ids, padding_mask = tokenize(test_captions[:32])
parts = [slice(0, 16), slice(16, 32)]

model.zero_grad()
contrastive_loss(*model(pixels, ids, padding_mask), model.log_scale).backward()
in_one = gradients_of(model)

model.zero_grad()
with torch.no_grad():  # pass 1
    made = [model(pixels[part], ids[part], padding_mask[part]) for part in parts]
image = torch.cat([image for image, _ in made]).requires_grad_()
text = torch.cat([text for _, text in made]).requires_grad_()
contrastive_loss(image, text, model.log_scale).backward()  # pass 2
for part in parts:  # pass 3
    again = model(pixels[part], ids[part], padding_mask[part])
    torch.autograd.backward(again, [image.grad[part], text.grad[part]])
cached = gradients_of(model)

model.zero_grad()
for part in parts:
    out = model(pixels[part], ids[part], padding_mask[part])
    (contrastive_loss(*out, model.log_scale) / 2).backward()
averaged = gradients_of(model)
model.zero_grad()

length = in_one.norm()
cached_error = ((cached - in_one).norm() / length).item()
averaged_error = ((averaged - in_one).norm() / length).item()
print(f"cached gradients are equal to 1e-4: {cached_error < 1e-4}")
print(f"average of two halves, relative error {averaged_error:.2f}")

# %% [markdown]
# The model is in evaluation mode here. In training mode its batch normalization would see other batches in the parts, and the gradients would differ for that reason: one
# more argument for layer normalization in large contrastive models. The price of cached gradients is a second forward pass.

# %% [markdown]
# ## 5 · The sigmoid loss

# %% [markdown]
# A softmax needs the whole row at once. **SigLIP** (Zhai et al. 2023) decides about each pair alone: do these two belong together, yes or no? With $z_{ij} = 1$ on the diagonal and $-1$
# elsewhere, and a learned bias $c$, the **sigmoid loss** is
#
# $$L = -\frac1b \sum_{ij} \ln \sigma\big(z_{ij}(e^\tau u_i^\top v_j + c)\big)$$
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
    sigmoid[bias], _ = train_heads(pairs_loss, Heads(temperature=0.1, bias=bias))
    print(f"sigmoid, bias {bias:5}   recall@1 {sigmoid[bias]:.3f}")
print(f"softmax               recall@1 {learned_r1:.3f}")

# %% [markdown]
# Since pairs are independent, the table can be worked off in tiles, and each of many machines needs only one tile at a time. Test it: the sum over four tiles.

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
# ## 6 · In Keras

# %% [markdown]
# A loss that needs two outputs at once, and the whole batch, does not fit `compile(loss=…)`. The idiomatic place is `compute_loss` of a subclassed model; then `fit` works as
# always.


# %%
class KerasHeads(keras.Model):
    """Two dense layers into one space, and a temperature."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.image = keras.layers.Dense(64)
        self.text = keras.layers.Dense(64)
        start = keras.initializers.Constant(math.log(1 / 0.07))
        self.log_scale = self.add_weight(shape=(), initializer=start, name="log_scale")

    def call(self, inputs):
        image, text = inputs
        return self.image(image), self.text(text)

    def compute_loss(self, x=None, y=None, y_pred=None, **options):
        image, text = y_pred
        return keras_contrastive.contrastive_loss(image, text, self.log_scale)


keras.utils.set_random_seed(0)
keras_heads = KerasHeads()
keras_heads.compile(optimizer=keras.optimizers.Adam(3e-3))
inputs = (train_x.numpy()[:1920], train_t.numpy()[:1920])  # 15 whole batches
history = keras_heads.fit(inputs, batch_size=128, epochs=20, verbose=0)

# %% tags=["free"]
image, text = keras_heads((test_x.numpy(), test_t.numpy()))
keras_u = ops.convert_to_numpy(ops.normalize(image, axis=-1))
keras_v = ops.convert_to_numpy(ops.normalize(text, axis=-1))
keras_r1 = clip_figures.recall_at_1((keras_v @ keras_u.T).astype(float))
losses = history.history["loss"]
print(f"loss {losses[0]:.2f} → {losses[-1]:.2f}")
print(f"recall@1 in Keras {keras_r1:.3f}, in PyTorch {learned_r1:.3f}")

# %% [markdown]
# **A trap.** The last batch of an epoch is usually smaller, and then $\ln b$, the loss of knowing nothing, is another number too: losses of batches of different sizes cannot be compared or averaged. Hence
# the 1,920 samples above; with PyTorch's `DataLoader` it is `drop_last=True`.

# %% [markdown]
# ## 7 · Check yourself

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
# 2101.06983 · Zhai et al. 2023, *Sigmoid loss for language image pre-training*, arXiv 2303.15343.
