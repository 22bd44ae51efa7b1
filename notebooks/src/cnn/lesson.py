# %% [markdown]
# # Convolutional networks
# *Build the layer that looks for the same stroke everywhere in a picture, forwards and backwards, and measure how far
# "everywhere" carries.*
#
# {{budget}}
#
# **You will be able to**
# - compute a convolution by hand, and say where the literature and the frameworks differ and why learning does not mind;
# - work out the size of every output, and how many pixels one number has seen;
# - write the backward pass, and prove it right by finite differences;
# - train a small convolutional network, and say when it is the wrong tool.
#
# **Before this:** lessons [start_here](start_here.ipynb) and [images](images.ipynb). What a derivative is.
#
# **Time to read:** 55 minutes, then 30 for the [exercises](exercises/cnn.ipynb).

# %%
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import convolve2d, correlate2d
from sklearn.linear_model import LogisticRegression

from mmcourse import plot
from mmcourse.datasets import load
from mmcourse.evaluate import expect_within
from mmcourse.numpy.convolution import avg_pool2d, conv2d_loop

g = np.random.default_rng(0)

# %% [markdown]
# ## 1 · The question
# Real handwriting again, the clear version. We halve each digit (the mean of every 2×2 pixels) and place it
# in a larger empty picture, wherever we like.


# %%
def digits(split):
    """Each different image once, halved: float32 (n, 14, 14, 1), and its label (n,)."""
    ds = load("avdigits", split, difficulty="easy")
    _, first = np.unique(ds.meta["image_index"], return_index=True)
    return avg_pool2d(ds.column("image")[first] / np.float32(255))[0], ds.labels[first]


# %%
def place(small, down=7, right=7):
    """Each digit at its place in an empty picture, by default in the middle: (n, 28, 28, 1)."""
    pictures = np.zeros((len(small), 28, 28, 1), np.float32)
    for n, i, j in np.broadcast(np.arange(len(small)), down, right):
        pictures[n, i : i + 14, j : j + 14] = small[n]
    return pictures


(small, label), (small_test, label_test) = digits("train"), digits("test")
print(small.shape, small_test.shape)  # (images, height, width, channels)

# %%
five = [int(np.argmax(label_test == digit)) for digit in (2, 3, 5, 6, 9)]
pictures = [*place(small_test[five]), *place(small_test[five], down=3)]
title = "Is it harder to read four pixels higher?"
fig = plot.images(pictures, ["middle"] * 5 + ["4 up"] * 5, title=title, columns=5, size=1.35)
plot.show(fig, alt="Five handwritten digits in the middle of black squares; below them the same, four pixels higher.")

# %% [markdown]
# A **linear model** has one weight for each pixel and class. We train it on digits in the middle.
#
# **Predict:** how often is it right on new digits in the middle? And on the same digits, moved by 1, 2, 4 pixels?


# %%
def by_distance(predict):
    """Accuracy on test digits moved by 0 to 7 pixels, mean over four directions; `predict`: pictures → digits."""
    moves = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    right = [[predict(place(small_test, 7 + d * i, 7 + d * j)) == label_test for i, j in moves] for d in range(8)]
    return np.mean(right, axis=(1, 2))


flat = LogisticRegression(max_iter=300).fit(place(small).reshape(-1, 784), label)
linear = by_distance(lambda pictures: flat.predict(pictures.reshape(-1, 784)))

# %% tags=["free"]
print("moved by   ", *(f"{d:5}" for d in range(8)))
print("linear     ", *(f"{a:5.2f}" for a in linear))
expect_within("linear, in the middle", linear[0], 0.97, 0.02)
expect_within("linear, moved by 4 pixels", linear[4], 0.10, 0.06)

# %% [markdown]
# From nearly perfect to chance, 0.1, within four pixels. The weight of a pixel knows only that pixel: what it learned about a stroke
# *here* is no use *there*. Would a layer help that looks for the same stroke everywhere? Section 6 returns to these curves.
#
# ## 2 · The idea by hand
# Take a 4×4 picture, dark on the left and bright on the right, and a 2×2 stencil of weights, called a **kernel**. Lay it on a
# corner, multiply what lies on each other, add up.

# %%
x = np.array([[0.0, 0, 1, 1]] * 4)  # (4, 4): brightness
k = np.array([[-1.0, 1], [-1, 1]])  # (2, 2): right column minus left column
print("top left corner:", (x[0:2, 0:2] * k).sum(), "   one place further:", (x[0:2, 1:3] * k).sum())

# %% [markdown]
# No change under the stencil gives 0; an edge gives 2. Now slide it over all nine places where it fits. **Predict** the output before
# you look.


# %%
def slide(x, k):
    """y[i, j] = sum over m, n of x[i + m, j + n] · k[m, n], wherever the kernel fits."""
    y = np.zeros(np.array(x.shape) - k.shape + 1)
    for i, j in np.ndindex(*y.shape):
        y[i, j] = (x[i : i + len(k), j : j + len(k[0])] * k).sum()
    return y


y = slide(x, k)  # (4, 4) and (2, 2) → (3, 3)
print(y)

# %% [markdown]
# The output is a map of *where the edge is*, a **feature map**. Move the picture by one, and the map moves by one: this is
# **translation equivariance**, and it is what the linear model lacked.

# %%
moved = np.roll(x, -1, axis=1)
moved[:, -1] = 1  # the bright part reaches further left
print(slide(moved, k))
assert np.array_equal(slide(moved, k)[:, :2], y[:, 1:])

# %% [markdown]
# Four weights, shared by all places (**weight sharing**), do it, whatever the size of the picture. A linear layer from these 16
# pixels to 9 outputs has 144.
#
# If it matters *whether* there is an edge and not exactly where, keep the largest number of each 2×2 block: **max
# pooling**. A move inside the block then changes nothing. (**Mean pooling** keeps the mean; it halved our digits.)

# %%
found = np.array([[0.0, 2, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [3, 0, 0, 0]])  # (4, 4): some feature map
blocks = found.reshape(2, 2, 2, 2)  # (row of blocks, row in block, column of blocks, column in block)
print(blocks.max(axis=(1, 3)), blocks.mean(axis=(1, 3)), sep="\n\n")  # each (2, 2): the largest, and the mean
assert np.array_equal(avg_pool2d(found[None, ..., None])[0][0, ..., 0], blocks.mean(axis=(1, 3)))
shifted = found[:, [1, 0, 2, 3]]  # the 2 moves inside its block, and so does the 3
assert np.array_equal(shifted.reshape(2, 2, 2, 2).max(axis=(1, 3)), blocks.max(axis=(1, 3)))

# %% [markdown]
# ## 3 · The formula
# Let $X$ be the picture, $K$ the kernel, $Y$ the output. Books on signals write **convolution** with a minus (Goodfellow, Bengio and
# Courville 2016, chapter 9):
#
# $$Y(i,j) = \sum_{m,n} X(i-m,\,j-n)\,K(m,n)$$
#
# What we did, and what every framework does under that name, has a plus. Its right name is **cross-correlation**:
#
# $$Y(i,j) = \sum_{m,n} X(i+m,\,j+n)\,K(m,n)$$
#
# A minus reads the picture backwards, which is the same as turning the kernel by 180°: the **flip**. With it, picture and kernel may
# change places (convolution **commutes**), and proofs get easy. SciPy has both.

# %%
by_torch = F.conv2d(torch.tensor(x)[None, None], torch.tensor(k)[None, None])[0, 0].numpy()
for name, operation in (("cross-correlation", correlate2d), ("convolution", convolve2d)):
    same = np.array_equal(by_torch, operation(x, k, "valid"))
    print(f"{name:17} is PyTorch's conv2d: {same!s:5}  commutes:", np.array_equal(operation(x, k), operation(k, x)))
assert np.array_equal(convolve2d(x, k, "valid"), slide(x, k[::-1, ::-1]))  # the flip, written out

# %% [markdown]
# ### Learning hides the flip
# Lesson [images](images.ipynb) had Sobel's kernel and true convolution. Two learners shall find it from an example, a noise picture and its
# convolution. One slides as frameworks do; the other flips first. **Predict:** which one learns better?

# %%
sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=torch.float64)
noise = torch.tensor(g.normal(size=(30, 30)))
wanted = torch.tensor(convolve2d(noise, sobel, mode="valid"))  # (28, 28)


def learn(flips):
    kernel, losses = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True), []
    for _ in range(100):
        y = F.conv2d(noise[None, None], (kernel.flip(0, 1) if flips else kernel)[None, None])[0, 0]
        losses.append(((y - wanted) ** 2).mean())
        kernel.data -= 0.1 * torch.autograd.grad(losses[-1], kernel)[0]  # a step against the gradient of the loss
    return kernel.detach().numpy(), torch.stack(losses).detach().numpy()


# %%
(flips, losses_flip), (slides, losses_slide) = learn(flips=True), learn(flips=False)
assert np.allclose(losses_flip, losses_slide) and np.allclose(slides, flips[::-1, ::-1])
assert np.allclose(flips, sobel, atol=1e-4)
print("loss by loss equal; the last one is below 1e-6:", losses_slide[-1] < 1e-6)
order = "number of the kernel, from top left to bottom right"
rows = np.round([flips.ravel(), slides.ravel()], 2) + 0.0  # each kernel as one row
fig = plot.matrix(rows, "Which kernel does each learner find?", ["with the flip", "without"], xlabel=order, form="g")
plot.show(fig, alt="With the flip: 1 0 −1 2 0 −2 1 0 −1, which is Sobel's kernel. Without: the same numbers backwards.")

# %% [markdown]
# Neither: their losses are the same, and one row is the other read backwards, a kernel turned by 180°. Only who
# *copies* a kernel from a book must flip it. From here on we say convolution and mean the plus.
#
# ### Channels
# A color picture has three **channels** per pixel, a layer's output often more. A kernel $W$ looks at all of them, $c$; several
# kernels make several output channels, $c'$. With stride $s$ and dilation $d$ (next section) and a bias $b$:
#
# $$Y_{i,j,c'} = b_{c'} + \sum_{m,n,c} X_{i s+m d,\; j s+n d,\; c}\; W_{m,n,c,c'}$$

# %%
X, W, b = g.normal(size=(2, 7, 7, 3)), g.normal(size=(3, 3, 3, 4)), g.normal(size=4)
Y = conv2d_loop(X, W, b)  # (b, 7, 7, 3) → (b, 5, 5, 4)
print(Y.shape, "from", W.size + b.size, "weights")
assert np.isclose(Y[1, 2, 3, 0], b[0] + (X[1, 2:5, 3:6] * W[..., 0]).sum())  # one output, read off the formula
assert np.array_equal(conv2d_loop(x[None, ..., None], k[..., None, None])[0, ..., 0], y)  # one channel: `slide`

# %% [markdown]
# ### Padding, stride, dilation
# - **Padding** $p$ adds a rim of zeros, so that the kernel may hang over the border.
# - **Stride** $s$ moves it $s$ pixels at a time: a smaller output.
# - **Dilation** $d$ spreads its weights: each is $d$ pixels from the next.
#
# To see what one output reads, poke each of the 49 pixels of a picture in turn, and note who moves it.

# %%
poked, ones = np.eye(49).reshape(49, 7, 7, 1), np.ones((3, 3, 1, 1))  # 49 pictures, each with a single bright pixel
settings = {"plain": {}, "padding 1": {"padding": 1}, "stride 2": {"stride": 2}, "dilation 2": {"dilation": 2}}
reads = [conv2d_loop(poked, ones, **how)[:, 0, 1, 0].reshape(7, 7) for how in settings.values()]
reads = [np.maximum(read, np.indices((7, 7)).sum(axis=0) % 2 / 4) for read in reads]  # on a checkerboard, to count
fig = plot.images(reads, list(settings), title="Which pixels does the output at row 0, column 1 read?", size=1.6)
plot.show(
    fig, alt="White pixels on 7×7: a 3×3 block; the same hanging over the top; two columns in; spread out with gaps."
)

# %% [markdown]
# So how wide is the output, $o$? A kernel of width $k$ spans $d(k-1)+1$ pixels, a picture of width $n$ has room for it in $n+2p$,
# and it stops every $s$ ($\lfloor\ \rfloor$ rounds down):
#
# $$o = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1$$
#
# (Dumoulin and Visin 2016, arXiv 1603.07285.) **Predict** $o$ for $n = 28$, $k = 3$, $p = 1$, $s = 2$, $d = 1$.


# %%
def output_size(n, k, s=1, p=0, d=1):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


print(output_size(28, 3, s=2, p=1))
cases = [c for c in product(range(4, 10), range(1, 5), (1, 2, 3), (0, 1, 2), (1, 2)) if output_size(*c) > 0]
for n, size, s, p, d in cases:
    out = F.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, size, size), stride=s, padding=p, dilation=d)
    assert out.shape[-1] == output_size(n, size, s, p, d)
print(f"the formula and PyTorch agree in all {len(cases)} cases")

# %% [markdown]
# ### Backwards, by hand
# How does the loss $L$ move with each weight? Say the layer above sends $\delta_{ij} = \partial L/\partial Y_{ij}$. Weight
# $K_{mn}$ touched pixel $X_{i+m,j+n}$ for each output $(i,j)$, so add those up. Pixel $X_{ab}$ was touched by $K_{mn}$ for the output
# $(a-m, b-n)$, if there is one:
#
# $$\frac{\partial L}{\partial K_{mn}} = \sum_{i,j} \delta_{ij}\, X_{i+m,\,j+n} \qquad
# \frac{\partial L}{\partial X_{ab}} = \sum_{m,n} \delta_{a-m,\,b-n}\, K_{mn}$$
#
# Look at the signs. The first is our sliding; the second is a **true convolution**: the flip that frameworks leave out comes back.

# %%
picture, kernel, delta = g.normal(size=(5, 5)), g.normal(size=(3, 3)), g.normal(size=(3, 3))
d_kernel = slide(picture, delta)  # (3, 3)
d_picture = convolve2d(delta, kernel)  # full: wherever they overlap at all, (5, 5)
print(d_kernel.shape, d_picture.shape)

# %% [markdown]
# Is it right? Never believe a gradient without a **gradient check**: change one number a little up, a little down, and see what
# the loss $\sum \delta_{ij} Y_{ij}$ does. These are **finite differences** (central ones), and float64 makes it sharp.
#
# First our two formulas; then the package's `conv2d` with all it has; then pooling, where the gradient goes to the winner of each
# window alone (the mean shares it).


# %%
def numerical_gradient(f, a, delta, h=1e-5):
    """Gradient of (f(a) · delta).sum() with respect to each number of a, by central differences."""
    gradient = np.zeros_like(a)
    for i, step in enumerate(h * np.eye(a.size).reshape(-1, *a.shape)):  # each number in turn
        gradient.flat[i] = ((f(a + step) - f(a - step)) * delta).sum() / (2 * h)
    return gradient


def error(ours, numerical):
    """Largest difference, relative to the largest entry of the numerical gradient."""
    return np.abs(ours - numerical).max() / np.abs(numerical).max()


print(
    "gradient to the kernel right: ",
    error(d_kernel, numerical_gradient(lambda a: slide(picture, a), kernel, delta)) < 1e-6,
)
print(
    "gradient to the picture right:",
    error(d_picture, numerical_gradient(lambda a: slide(a, kernel), picture, delta)) < 1e-6,
)

# %%
from mmcourse.numpy import convolution, weight_conversion

how = {"stride": 2, "padding": 1, "dilation": 2}
Y, cache = convolution.conv2d(X, W, b, **how)  # (2, 7, 7, 3) → (2, 3, 3, 4)
delta = g.normal(size=Y.shape)
dX, dW, db = convolution.conv2d_backward(delta, cache)
print("pixels right: ", error(dX, numerical_gradient(lambda a: convolution.conv2d(a, W, b, **how)[0], X, delta)) < 1e-6)
print("weights right:", error(dW, numerical_gradient(lambda a: convolution.conv2d(X, a, b, **how)[0], W, delta)) < 1e-6)
print("biases right: ", error(db, numerical_gradient(lambda a: convolution.conv2d(X, W, a, **how)[0], b, delta)) < 1e-6)

# %%
for name in ("max_pool2d", "avg_pool2d"):
    pool, pool_backward = getattr(convolution, name), getattr(convolution, f"{name}_backward")
    pooled, cache = pool(X)  # (2, 7, 7, 3) → (2, 3, 3, 3): the last row and column fill no window
    delta = g.normal(size=pooled.shape)
    by_differences = numerical_gradient(lambda a: pool(a)[0], X, delta)  # noqa: B023
    print(f"{name} right:", error(pool_backward(delta, cache), by_differences) < 1e-6)

# %% [markdown]
# ### Making it fast: patches as rows
# Python loops are slow; matrix products are the fastest thing a computer does. So write each patch under the kernel as a row
# of a matrix, and the sliding becomes *one* product. This is **im2col** (Chellapilla, Puri and Simard 2006).
#
# How fast is that, for 64 pictures of the sizes of section 5, on one processor core? **Predict** the factor between our NumPy and PyTorch.

# %%
tiny = np.arange(9.0).reshape(1, 3, 3, 1)
rows = convolution.windows(tiny, (2, 2)).reshape(4, 4)  # four places, four numbers under the kernel
print(rows)
assert np.array_equal((rows @ k.ravel()).reshape(2, 2), slide(tiny[0, ..., 0], k))
assert np.allclose(convolution.conv2d(X, W, b)[0], conv2d_loop(X, W, b))  # the package's way, and the loop

# %%
import timeit


def milliseconds(size, in_channels, out_channels):
    """Best time of each way, and (in brackets) of its parts, for 64 pictures."""
    x, w = (
        g.normal(size=s).astype("float32") for s in ((64, size, size, in_channels), (3, 3, in_channels, out_channels))
    )
    x_first, w_first = weight_conversion.channels_first(x), weight_conversion.kernel_to_torch(w).copy()
    tensors = [torch.tensor(a, requires_grad=True) for a in (x_first, w_first)]
    (y, cache), y_torch = convolution.conv2d(x, w, padding=1), F.conv2d(*tensors, padding=1)
    patches = convolution.windows(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), (3, 3))
    assert cache["rows"].size == 9 * x.size  # each pixel is copied nine times
    planes = np.zeros((3, 3, in_channels, 64, size, size), "float32")  # what comes back for each place under the kernel
    work = {
        "loop": lambda: conv2d_loop(x, w, padding=1),
        "im2col": lambda: convolution.conv2d(x, w, padding=1),
        "(copy": lambda: patches.reshape(-1, 9 * in_channels),
        "product)": lambda: cache["rows"] @ w.reshape(-1, out_channels),
        "backward": lambda: convolution.conv2d_backward(y, cache),
        "(adding up)": lambda: convolution.windows_backward(planes, cache["padded"]),
        "PyTorch": lambda: F.conv2d(*tensors, padding=1),
        "with backward": lambda: torch.autograd.grad(F.conv2d(*tensors, padding=1), tensors, y_torch),
    }
    return {name: 1000 * min(timeit.repeat(f, number=1, repeat=5)) for name, f in work.items()}


# %% tags=["free"]
threads = torch.get_num_threads()
torch.set_num_threads(1)
for sizes in ((28, 1, 8), (14, 8, 16), (7, 16, 32)):
    ms = milliseconds(*sizes)
    factor = (ms["im2col"] + ms["backward"]) / ms["with backward"]
    print(f"{sizes[0]:2} pixels:", ", ".join(f"{name} {t:.1f}" for name, t in ms.items()), f"ms; factor {factor:.1f}")
    assert factor < 10
torch.set_num_threads(threads)

# %% [markdown]
# The loop is the slow one. The factor that remains, forward and backward, is small, never above ten. Where does it go? On the first
# layer into the *copy*, longer than the product: each pixel is written nine times. Later into the way back: nine gradients for each
# pixel are *added up*, plane by plane. Compare "(product)" with "PyTorch": the product alone takes about as long as its whole
# forward pass.
#
# ## 4 · The same in PyTorch and Keras
# Same formula, different furniture. PyTorch wants channels first and kernels as (out, in, height, width); Keras keeps our order.
# Copy the weights, and all agree.
#
# The package has its own layers in all three. One table compares outputs, gradients, and weights after five steps of training: the
# largest difference, relative to the largest value.

# %%
import keras

from mmcourse.parity import compare, copy_weights, parity_cases

# %%
by_numpy, _ = convolution.conv2d(X, W, b)  # (b, h, w, c)
torch_own = torch.nn.Conv2d(3, 4, 3).double()
weights = {"weight": torch.tensor(weight_conversion.kernel_to_torch(W).copy()), "bias": torch.tensor(b)}
torch_own.load_state_dict(weights)
by_torch = torch_own(torch.tensor(weight_conversion.channels_first(X))).detach().numpy()  # (b, c, h, w)
print("nn.Conv2d equal:", np.allclose(weight_conversion.channels_last(by_torch), by_numpy, atol=1e-10))

# %%
keras_own = keras.layers.Conv2D(4, 3, dtype="float64")
keras_own.build(X.shape)
keras_own.set_weights([W, b])
print("keras.layers.Conv2D equal:", np.allclose(keras_own(X), by_numpy, atol=1e-10))

# %% tags=["free"]
chosen = ("convolution, channels", "convolution, stride and padding", "max pooling")
chosen += ("batch norm, training",)  # explained below, at trap 2
reports = [report for formula in parity_cases() if formula.name in chosen for report in compare(formula)]
for r in reports:
    steps = "no weights" if np.isnan(r.sgd) else f"5 steps {r.sgd:.0e}"
    print(f"{r.name:32}{r.pair:13} output {r.forward:.0e}, gradient {r.gradient:.0e}, {steps}")
assert len(reports) == 8 and not any(report.faults() for report in reports)
print("no difference above 1e-10")

# %% [markdown]
# ### Trap 1: "same" is not the same
# `padding="same"` promises as many outputs as inputs. With stride 2 there are half as many, and an odd rim is left to give to one
# side; PyTorch refuses, so people write `padding=1`. Watch a kernel that copies its middle pixel, on the row 0 1 2 3 4 5.

# %%
ramp, middle = np.tile(np.arange(6.0), (6, 1)), np.zeros((3, 3))  # (6, 6) and (3, 3)
middle[1, 1] = 1
by_torch = F.conv2d(torch.tensor(ramp)[None, None], torch.tensor(middle)[None, None], stride=2, padding=1)
by_keras = keras.ops.conv(ramp[None, ..., None], middle[..., None, None], strides=2, padding="same")
print("PyTorch, padding=1:    ", by_torch[0, 0, 0].numpy())
print("Keras, padding='same': ", np.array(by_keras)[0, 0, :, 0])

# %% [markdown]
# PyTorch pads both sides and keeps pixels 0, 2, 4; Keras pads only the end and keeps 1, 3, 5. Equal shapes, no error, other
# numbers. The remedy is to pad by hand:

# %%
before, after = convolution.same_padding(6, kernel=3, stride=2)
padded = F.pad(torch.tensor(ramp)[None, None], (before, after, before, after))
again = F.conv2d(padded, torch.tensor(middle)[None, None], stride=2)
print("before, after:", (before, after), "  PyTorch now:", again[0, 0, 0].numpy())
assert np.array_equal(again[0, 0], np.array(by_keras)[0, ..., 0])

# %% [markdown]
# ### Trap 2: batch norm
# While training, **batch norm** (Ioffe and Szegedy 2015, arXiv 1502.03167) brings each channel to mean 0 and variance 1 over the batch
# (then a learned scale and shift), and keeps running averages for later. Both frameworks call a number *momentum*, and mean opposite
# things: the weight of the **new** batch in PyTorch, of the **old** average in Keras. Feed both one batch; their means start at 0.

# %%
eight = g.normal(5, 2, size=(8, 1, 1, 1)).astype("float32")  # one channel, eight values, mean near 5
in_torch, in_keras = torch.nn.BatchNorm2d(1), keras.layers.BatchNormalization()
in_torch(torch.tensor(eight))
in_keras(eight, training=True)
kept = in_torch.running_mean.item(), float(in_keras.moving_mean[0])

# %%
for name, layer, mean in (("PyTorch", in_torch, kept[0]), ("Keras", in_keras, kept[1])):
    epsilon = layer.eps if name == "PyTorch" else layer.epsilon
    print(f"{name:8} momentum {layer.momentum}, ε {epsilon}, took over {mean / eight.mean():.2f} of the batch's mean")

# %% [markdown]
# So Keras needs ten times as many batches to forget its start. The remedy: `momentum = 1 − momentum`, and one
# $\varepsilon$ (added to the variance) for both. A third difference has no switch: PyTorch's running variance divides by $n-1$.

# %%
alike = keras.layers.BatchNormalization(momentum=weight_conversion.other_momentum(0.1), epsilon=1e-5)
alike(eight, training=True)
print("running mean equal:", np.isclose(float(alike.moving_mean[0]), in_torch.running_mean.item()))
variances = in_torch.running_var[0], alike.moving_variance[0]
given = [float(variance) - 0.9 for variance in variances]  # they start at 1, which still counts 0.9
print(f"variance that the batch gave, PyTorch's over Keras's: {given[0] / given[1]:.3f}; 8/7 is {8 / 7:.3f}")

# %% [markdown]
# ## 5 · At work
# Now let the digits **wander**: each training image at four random places, each test image at one. First the linear model.

# %%
wandering = np.concatenate([place(small, *g.integers(0, 15, size=(2, len(small)))) for _ in range(4)])
wandering_label = np.tile(label, 4)
wandering_test = place(small_test, *g.integers(0, 15, size=(2, len(small_test))))
print(wandering.shape, wandering_test.shape)

# %%
flat = LogisticRegression(C=0.01, max_iter=1000).fit(wandering.reshape(-1, 784), wandering_label)
linear_wandering = flat.score(wandering_test.reshape(-1, 784), label_test)
expect_within("linear model on wandering digits", linear_wandering, 0.14, 0.06)

# %% [markdown]
# Hardly better than chance, although it has seen digits in every place: one weight per pixel says little when anything can be
# anywhere.
#
# The network: three convolutions, with pooling between them. At the end it takes the largest value of each map: how well
# something fitted, and not where. (LeCun and others 1998 read checks with one of this kind.) The first loss must be that of ten equal
# guesses, $\log 10$; then three seeds train, since one may be lucky.

# %%
from torch import nn


class Cnn(nn.Module):
    def __init__(self, channels=(8, 16, 32), keeps_place=False):
        super().__init__()
        self.keeps_place = keeps_place
        pairs = zip((1, *channels), channels, strict=False)  # (1, 8), (8, 16), (16, 32): channels in and out
        self.convolutions = nn.ModuleList(nn.Conv2d(*pair, 3, padding=1) for pair in pairs)
        self.out = nn.Linear(channels[-1] * (49 if keeps_place else 1), 10)

    def maps(self, x):
        first, second, third = self.convolutions
        x = F.max_pool2d(first(x).relu(), 2)  # relu: below 0 becomes 0. (b, 1, 28, 28) → (b, 8, 14, 14)
        x = F.max_pool2d(second(x).relu(), 2)  # → (b, 16, 7, 7)
        return third(x).relu()  # → (b, 32, 7, 7)

    def forward(self, batch):
        maps = self.maps(batch["inputs"]["image"])
        found = maps.flatten(1) if self.keeps_place else maps.amax((2, 3))  # (b, 1568) or (b, 32)
        return self.out(found)  # (b, 10)


# %%
def batches(pictures, labels, size=64):
    """What `fit` takes: batches as dicts, images channels-first, in an order drawn once."""
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = torch.tensor(weight_conversion.channels_first(pictures)[order]), torch.tensor(labels[order])
    parts = zip(x.split(size), y.split(size), strict=True)
    return [{"inputs": {"image": images}, "target": labels} for images, labels in parts]


def logits(model, pictures):
    with torch.no_grad():
        images = torch.tensor(weight_conversion.channels_first(pictures))  # (b, 1, 28, 28)
        return model({"inputs": {"image": images}}).numpy()  # (b, 10)


def accuracy(model, pictures, labels):
    return (logits(model, pictures).argmax(axis=1) == labels).mean()


# %%
torch.manual_seed(0)
untrained = Cnn()
print(f"{sum(p.numel() for p in untrained.parameters()):,} weights; the linear model has {784 * 10 + 10:,}")
first_loss = F.cross_entropy(torch.tensor(logits(untrained, wandering)), torch.tensor(wandering_label))
expect_within("loss before training", first_loss, 2.30, 0.05)
assert round(np.log(10), 2) == 2.30

# %% tags=["free"]
from mmcourse.training.torch import fit  # the course's training loop; lesson train_pytorch opens it

networks, curves, wandering_batches = [], [], batches(wandering, wandering_label)
for seed in range(3):
    torch.manual_seed(seed)
    networks.append(Cnn())
    curves.append([epoch["accuracy"] for epoch in fit(networks[-1], wandering_batches, epochs=6, progress=False)])
reached = [accuracy(network, wandering_test, label_test) for network in networks]
print("test accuracy by seed:", np.round(reached, 3))

# %% tags=["target"]
expect_within("CNN on wandering digits, mean of 3 seeds", np.mean(reached), 0.98, 0.015)

# %% [markdown]
# The network reads nearly all, with a fifth fewer weights than the linear model. There is no exact ceiling: nobody knows how many of
# these digits can be read at all.
#
# ### In Keras, from the same weights
# Stride 1 and an odd kernel: here "same" does mean `padding=1`. And a maximum over all places spares us a flatten, whose order differs (PyTorch
# goes channel by channel, Keras pixel by pixel).


# %%
class KerasCnn(keras.Model):
    def __init__(self, channels=(8, 16, 32)):
        super().__init__()
        self.convolutions = [keras.layers.Conv2D(c, 3, padding="same", activation="relu") for c in channels]
        self.out = keras.layers.Dense(10)

    def call(self, batch):
        first, second, third = self.convolutions
        x = keras.ops.max_pool(first(batch["inputs"]["image"]), 2)  # (b, 28, 28, 1) → (b, 14, 14, 8)
        x = keras.ops.max_pool(second(x), 2)  # → (b, 7, 7, 16)
        return self.out(keras.ops.max(third(x), axis=(1, 2)))  # → (b, 32) → (b, 10)


keras_cnn = KerasCnn()
keras_cnn({"inputs": {"image": wandering_test}})  # the first call makes the weights
copied = copy_weights(untrained, keras_cnn)
gap = np.abs(np.array(keras_cnn({"inputs": {"image": wandering_test}})) - logits(untrained, wandering_test)).max()
print(f"{copied:,} weights copied; logits equal to five decimals: {gap < 1e-5}")

# %% tags=["free"]
import tensorflow as tf

import mmcourse.training.keras as keras_train

x_all = torch.cat([part["inputs"]["image"] for part in wandering_batches]).numpy()  # (n, 1, 28, 28)
y_all = torch.cat([part["target"] for part in wandering_batches]).numpy()
x_keras = {"inputs": {"image": weight_conversion.channels_last(x_all)}}
flow = tf.data.Dataset.from_tensor_slices((x_keras, y_all)).batch(64)  # pairs, as Keras wants them
keras_history = keras_train.fit(keras_cnn, flow, epochs=6, progress=False)
both = {"PyTorch": curves[0], "Keras": [epoch["accuracy"] for epoch in keras_history]}
title, levels = "Do both learn to find a wandering digit?", {"linear, test": linear_wandering, "chance": 0.1}
fig = plot.curves(both, title=title, ylabel="training accuracy", levels=levels)
plot.show(
    fig,
    alt="Training accuracy by epoch: PyTorch and Keras on one another, up to nearly 1; the linear model near chance.",
)

# %%
by_keras = np.array(keras_cnn({"inputs": {"image": wandering_test}})).argmax(axis=1)
expect_within("Keras CNN on wandering digits", (by_keras == label_test).mean(), 0.98, 0.025)

# %% [markdown]
# ### A short training, and a rival that knows how the pictures were made
# The course's digits are usually the *hard* ones of lesson [start_here](start_here.ipynb): what the three **principal components** (the numbers that tell most about
# an image) keep of it, and noise. Each fills its picture. Train the same network on them, and a version that keeps the place of what it
# found (`flatten` in the end).
#
# One more competitor is no network, but uses how these images were made: it finds three components again, and lets the 40 nearest
# training images vote. The networks train for three epochs, three seeds each. **Predict** the order of the four.

# %%
hard = {split: load("avdigits", split) for split in ("train", "test")}
x_hard, x_hard_test = (ds.column("image")[:] / np.float32(255) for ds in hard.values())
y_hard, y_hard_test = (ds.labels for ds in hard.values())
flat = LogisticRegression(C=0.01, max_iter=300).fit(x_hard.reshape(-1, 784), y_hard)
scores = {"linear": [flat.score(x_hard_test.reshape(-1, 784), y_hard_test)]}

# %%
shown = [x_hard_test[np.argmax(y_hard_test == digit)] for digit in (2, 3, 5, 6, 9)]
fig = plot.images(shown, list("23569"), title="What do the hard digits look like?", columns=5, size=1.35)
plot.show(fig, alt="Five blurred and noisy handwritten digits, 2, 3, 5, 6 and 9, each filling its picture.")

# %% tags=["free"]
kinds = {"CNN, place forgotten": False, "CNN, place kept": True}
for (name, keeps), seed in product(kinds.items(), range(3)):
    torch.manual_seed(seed)
    network = Cnn(keeps_place=keeps)
    fit(network, batches(x_hard, y_hard), epochs=3, progress=False)
    scores.setdefault(name, []).append(accuracy(network, x_hard_test, y_hard_test))

# %%
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

three = PCA(3, random_state=0).fit(x_hard.reshape(-1, 784))
near = KNeighborsClassifier(40).fit(three.transform(x_hard.reshape(-1, 784)), y_hard)
rival = near.score(three.transform(x_hard_test.reshape(-1, 784)), y_hard_test)
scores["3 components, 40 neighbors"] = [rival]

# %% tags=["free"]
means = [np.mean(values) for values in scores.values()]
title = "Who reads the hard digits, the networks after three epochs?"
fig = plot.bar_with_ceiling(list(scores), means, [None] * len(scores), title=title, chance=0.1)
plot.show(fig, alt="Accuracy: " + ", ".join(f"{name} {value:.2f}" for name, value in zip(scores, means, strict=True)))

# %%
for name, target in zip(scores, (0.675, 0.75, 0.76, 0.80), strict=True):
    expect_within(f"{name}, on hard digits", np.mean(scores[name]), target, 0.025)
luck = np.sqrt(rival * (1 - rival) / len(y_hard_test))  # standard error of one accuracy on this test set
print(f"1,000 test pictures leave a standard error of {luck:.3f}")

# %% [markdown]
# After *three epochs* the neighbors are ahead of both networks. Is that about the methods, or about the three? Set `epochs=8` in the
# cell above and compare with the standard error, before you call one method better. That the neighbors' assumption fits is no
# discovery: these pictures *are* three components plus noise. It saved them the training.
#
# And the lead of the networks over the linear model is seven to nine points here; on wandering digits it was eighty. A convolution
# assumes that *what counts is local, and may be anywhere*; here every digit fills its picture. Ask what a model assumes before you
# ask how many layers.
#
# ## 6 · Take it apart
# ### How far does it carry?
# Back to the first question: train on digits in the **middle only**, test on moved ones. **Predict** three curves: linear, place kept,
# place forgotten. The last one has a surprise.

# %% tags=["free"]
carried = {"linear": linear}
for (name, keeps), seed in product(kinds.items(), range(3)):
    torch.manual_seed(seed)
    network = Cnn(keeps_place=keeps)
    fit(network, batches(place(small), label), epochs=10, progress=False)
    by_shift = by_distance(lambda pictures: logits(network, pictures).argmax(axis=1))  # noqa: B023
    carried.setdefault(name, []).append(by_shift)
labels = {"xlabel": "digit moved by … pixels, mean of four directions", "ylabel": "test accuracy"}
title = "Trained in the middle: how far from it can they read?"
fig = plot.curves(carried, title=title, x=range(8), levels={"chance": 0.1}, **labels)
plot.show(
    fig,
    alt="Accuracy against distance. Linear and place-kept are near chance from four pixels on. Place-forgotten dips "
    "to about two thirds at two pixels, is back at 0.97 at four, and dips again at six.",
)

# %%
kept, forgotten = (np.mean(carried[name], axis=0) for name in ("CNN, place kept", "CNN, place forgotten"))
expect_within("place kept, moved by 4", kept[4], 0.15, 0.08)
expect_within("place forgotten, moved by 2", forgotten[2], 0.67, 0.11)
expect_within("place forgotten, lost from not moved to moved by 4", forgotten[0] - forgotten[4], 0.0, 0.025)

# %% [markdown]
# Weight sharing alone is not enough: after `flatten`, the last layer has a weight for each place again. Forgetting the place
# repairs nearly all of the loss at 4 pixels, and a part of it at 2. So not even this network knows a digit everywhere. Why?
#
# After two poolings of stride 2, one step in the last maps is four pixels. Move by 4, and each block gets what its neighbor had. Move
# by 2, and pixels are dealt into other blocks.


# %%
def last_maps(down):
    """A trained network's last maps (32, 7, 7) of one digit, so many pixels further down."""
    with torch.no_grad():
        return networks[0].maps(torch.tensor(place(small_test[:1], 7 + down)).permute(0, 3, 1, 2))[0].numpy()


for down in (4, 2):
    before, after = last_maps(0), last_maps(down)
    still = np.allclose(after[:, 3:5], before[:, 3:5], atol=1e-5)  # two rows away from the border
    one_row = np.allclose(after[:, 3:5], before[:, 2:4], atol=1e-5)
    print(f"digit moved by {down} pixels: did the maps stay? {still}. Did they move by one row? {one_row}")

# %% [markdown]
# So **equivariance holds for multiples of the total stride**, and away from borders. Zhang (2019, arXiv 1904.11486) eases it by
# blurring before each stride; training on moved digits, as in section 5, is the everyday cure.
#
# ### What does it look at?
# Feature maps are pictures, so look. One wandering digit, and what the first layer of a trained network makes of it.

# %% tags=["free"]
seen = torch.tensor(weight_conversion.channels_first(wandering_test[:1]))  # (1, 1, 28, 28)
with torch.no_grad():
    maps = networks[0].convolutions[0](seen).relu()[0].numpy()  # (8, 28, 28)
pictures, names = [seen[0, 0], *(m / max(m.max(), 1e-6) for m in maps)], [f"map {i}" for i in range(8)]
fig = plot.images(pictures, ["input", *names], title="What does the first layer see?", columns=5, size=1.35)
plot.show(fig, alt="A digit and eight maps of it: one side of its strokes, the other, its body, the background.")

# %% [markdown]
# Each map is bright where its own kernel fits: here one side of a stroke, its body, the dark around it. Nobody asked for edges.
#
# ### How much has one number seen?
# An output of layer 1 saw 3×3 pixels, its **receptive field**. One of layer 3 looks at outputs that looked at outputs. Count the field's
# width $r$ from the input on: a layer adds $(k-1)\,d$ steps, and one step is as many pixels as the product of all strides before, the
# **jump** $j$:
#
# $$r \leftarrow r + (k-1)\,d\,j, \qquad j \leftarrow j\,s, \qquad \text{from } r = j = 1$$
#
# To test it, ask the gradient: a pixel was seen if changing it moves the output. First with all weights 1 and mean pooling, so that
# nothing hides; then for the trained network, averaged over the training digits.

# %%
stack = {"convolution 1": (3, 1, 1), "pooling 1": (2, 2, 1), "convolution 2": (3, 1, 1)}  # kernel, stride, dilation
stack |= {"pooling 2": (2, 2, 1), "convolution 3": (3, 1, 1)}
layers = list(stack.values())
print({name: convolution.receptive_field(layers[: i + 1]) for i, name in enumerate(stack)})


# %%
def footprint(network, pool, pictures):
    """Mean size of the gradient of the middle of the last map with respect to each pixel."""
    x = torch.tensor(weight_conversion.channels_first(pictures), requires_grad=True)
    h = x
    for convolution_layer, after in zip(network.convolutions, (pool, pool, nn.Identity()), strict=True):
        h = after(convolution_layer(h).relu())
    h[:, :, 3, 3].sum().backward()
    return x.grad.abs().mean((0, 1)).numpy()


all_ones = Cnn()
for parameter in all_ones.convolutions.parameters():
    nn.init.ones_(parameter)
everything = footprint(all_ones, nn.AvgPool2d(2), np.ones((1, 28, 28, 1), "float32"))
print("measured:", (everything > 0).any(axis=1).sum(), "×", (everything > 0).any(axis=0).sum())

# %% tags=["free"]
trained = footprint(networks[0], nn.MaxPool2d(2), wandering)
both, title = [everything, trained], "Which pixels move the middle of the last map?"
fig = plot.images([a / a.max() for a in both], ["weights all 1", "trained"], title=title)
plot.show(
    fig, alt="Two squares of 18×18 pixels, brightest in the middle: an even one, and the trained network's, uneven."
)
assert trained[everything == 0].max() == 0
expect_within(
    "share of the gradient in the middle quarter of the square", trained[9:18, 9:18].sum() / trained.sum(), 0.5, 0.1
)

# %% [markdown]
# Formula and measurement agree: 18. But not all of the field counts alike. Many paths lead to its middle and few to a corner, so a quarter
# of the area has half of the say (Luo and others 2016, arXiv 1701.04128, call this the *effective* receptive field). 18 pixels
# cover a digit of 14; with fewer than 14, no number could have seen one whole.
#
# ## 7 · At full size
# The same class on real MNIST, and on a GPU eight times as wide. Both are skipped where they cannot run.

# %% tags=["free"]
from mmcourse.datasets import sources

needed = [source for source in sources() if source.name.startswith(("mnist", "fsdd"))]
missing = [source.name for source in needed if not source.present()]
if not missing:
    real = {split: load("avdigits", split, source="real", difficulty="easy") for split in ("train", "test")}
    x_real, x_real_test = (ds.column("image")[:] / np.float32(255) for ds in real.values())
    torch.manual_seed(0)
    network = Cnn()
    fit(network, batches(x_real, real["train"].labels), epochs=5, progress=False)
    print(f"MNIST, 8,000 to learn from: {accuracy(network, x_real_test, real['test'].labels):.3f}")
else:
    print(f"not run: {', '.join(missing)} not fetched here (mmcourse data fetch).")
    print("It would have printed the accuracy on 1,000 MNIST digits.")

if profile == "gpu":  # noqa: F821 — the set-up cell defines it
    torch.manual_seed(0)
    wide = Cnn(channels=(64, 128, 256)).to("cuda")
    fit(wide, wandering_batches, epochs=30, learning_rate=3e-3)
    print(f"wide, on the GPU: {accuracy(wide.cpu(), wandering_test, label_test):.3f}")
else:
    print("not run: no GPU here. It would have trained a network eight times as wide, five times as long.")

# %% [markdown]
# ## 8 · What to remember
# - A convolution looks for the same small pattern everywhere: few weights, and its map moves with the picture.
# - Books flip the kernel, frameworks do not; learning does not notice, and the backward pass brings the flip back.
# - $o = \lfloor (n + 2p - d(k-1) - 1)/s \rfloor + 1$; check every gradient you write by finite differences, in float64.
# - "same" under stride 2 and batch norm's momentum and ε differ between PyTorch and Keras.
# - A maximum over places forgets where; strides keep equivariance only for their multiples.
# - Before you say that one method beats another, give both more time, and look at the standard error.

# %% [markdown]
# ## 9 · Check yourself
# <details><summary>1. You copy an edge kernel from a signal-processing book into `nn.Conv2d`. What must you do first?</summary>
#
# Turn it by 180°: the book means true convolution. A symmetric kernel, such as a blur, stays as it is.
# </details>
# <details><summary>2. A 32×32 picture, kernel 5, stride 2, padding 2. How large is the output?</summary>
#
# ⌊(32 + 4 − 4 − 1)/2⌋ + 1 = 16.
# </details>
# <details><summary>3. Weights moved from PyTorch to Keras give equal shapes and other outputs. Name three suspects.</summary>
#
# "same" padding under a stride of 2, the order of flatten, and batch norm's ε or running averages.
# </details>
# <details><summary>4. Your network reads X-rays, where the heart lies on the left. Do you end in a maximum over all places?</summary>
#
# Not alone: place carries meaning there, and the maximum forgets it. A heart on the right would read much the same.
# </details>
# <details><summary>5. Three 3×3 convolutions in a row, stride 1. How many pixels has one output seen, and with dilation 1, 2, 4?</summary>
#
# 7×7; with dilations 1, 2, 4 it is 1 + 2 + 4 + 8 = 15.
# </details>

# %%
assert output_size(32, 5, s=2, p=2) == 16
assert [convolution.receptive_field([(3, 1, d) for d in ds]) for ds in ((1, 1, 1), (1, 2, 4))] == [7, 15]
pixels = np.arange(4).reshape(1, 1, 2, 2)  # flatten: channels last or first
assert not np.array_equal(pixels.ravel(), weight_conversion.channels_first(pixels).ravel())

# %% [markdown]
# ## 10 · Exercises
# [Three exercises](exercises/cnn.ipynb), about 30 minutes: true convolution by hand, the sizes and fields of a whole network, and a gradient
# that somebody else got wrong.
#
# ## Sources
# - I. Goodfellow, Y. Bengio, A. Courville, *Deep Learning*, MIT Press 2016, chapter 9.
# - V. Dumoulin, F. Visin, *A guide to convolution arithmetic for deep learning*, 2016, arXiv 1603.07285.
# - Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, *Gradient-based learning applied to document recognition*, 1998.
# - K. Chellapilla, S. Puri, P. Simard, *High performance convolutional neural networks for document processing*, 2006.
# - S. Ioffe, C. Szegedy, *Batch normalization*, 2015, arXiv 1502.03167.
# - W. Luo and others, *Understanding the effective receptive field*, 2016, arXiv 1701.04128.
# - R. Zhang, *Making convolutional networks shift-invariant again*, 2019, arXiv 1904.11486.
