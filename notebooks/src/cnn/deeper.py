# %% [markdown]
# # Convolutional networks, deeper
# *Where the time goes, three ways to pay less, the way back up from small maps to large ones, and the numbers in which two frameworks differ without a word.*
#
# {{budget}}
#
# **You will be able to**
# - take the time of a convolution apart, forwards and backwards;
# - count what grouped, depthwise and 1 × 1 convolutions save;
# - write a transposed convolution, and say where its checkerboard comes from;
# - compute a large kernel by Fourier transforms;
# - carry batch normalization and flattened layers from one framework to the other.
#
# **Before this:** [cnn](cnn.ipynb). **Time to read:** 30 minutes.

# %%
import timeit

import keras
import numpy as np
import torch
import torch.nn.functional as F
from scipy.signal import convolve2d
from torch import nn

from mmcourse import draw, plot, widgets
from mmcourse.numpy import convolution, weight_conversion
from mmcourse.numpy.convolution import conv2d_loop

np.set_printoptions(precision=3, suppress=True)
g = np.random.default_rng(0)

# %% [markdown]
# ## 1 · Where the time goes

# %% [markdown]
# The lesson's network has three convolutions. Here they are for 64 pictures, on one processor core: the definition as a loop over positions, im2col with its parts in brackets, and PyTorch.

# %%
factor_guess = widgets.guess(
    "Forward and backward: how many times slower than PyTorch is im2col in NumPy?",
    ["less than 10 times", "10 to 100 times", "more than 100 times"],
)


# %%
def best_of_five(f):
    """Milliseconds."""
    return 1000 * min(timeit.repeat(f, number=1, repeat=5))


def milliseconds(size, in_channels, out_channels):
    """Best of five times of each way, for 64 pictures."""
    x = g.normal(size=(64, size, size, in_channels)).astype("float32")
    w = g.normal(size=(3, 3, in_channels, out_channels)).astype("float32")
    x_first = weight_conversion.channels_first(x)
    w_first = weight_conversion.kernel_to_torch(w).copy()
    tensors = [torch.tensor(a, requires_grad=True) for a in (x_first, w_first)]
    y, cache = convolution.conv2d(x, w, padding=1)
    y_torch = F.conv2d(*tensors, padding=1)
    rim = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    patches = convolution.windows(rim, (3, 3))  # a view: nothing is copied yet
    assert cache["rows"].size == 9 * x.size  # each pixel is copied nine times
    # what comes back for each place under the kernel
    planes = np.zeros((3, 3, in_channels, 64, size, size), "float32")

    def torch_both_ways():
        y = F.conv2d(*tensors, padding=1)
        return torch.autograd.grad(y, tensors, y_torch)

    work = {
        "loop": lambda: conv2d_loop(x, w, padding=1),
        "im2col": lambda: convolution.conv2d(x, w, padding=1),
        "(copy": lambda: patches.reshape(-1, 9 * in_channels),
        "product)": lambda: cache["rows"] @ w.reshape(-1, out_channels),
        "backward": lambda: convolution.conv2d_backward(y, cache),
        "(adding up)": lambda: convolution.windows_backward(planes, cache["padded"]),
        "PyTorch": lambda: F.conv2d(*tensors, padding=1),
        "with backward": torch_both_ways,
    }
    return {name: best_of_five(f) for name, f in work.items()}


# %% tags=["free"]
threads = torch.get_num_threads()
torch.set_num_threads(1)
factors = []
for sizes in ((28, 1, 8), (14, 8, 16), (7, 16, 32)):
    ms = milliseconds(*sizes)
    factor = (ms["im2col"] + ms["backward"]) / ms["with backward"]
    factors.append(factor)
    parts = ", ".join(f"{name} {t:.1f}" for name, t in ms.items())
    print(f"{sizes[0]:2} pixels: {parts} ms; factor {factor:.1f}")
torch.set_num_threads(threads)
assert np.median(factors) < 10
factor_guess.compare("less than 10 times")

# %% [markdown]
# The loop is the slow one; the factor that remains is small. Where does it go? On the first layer most of the way there is the *copy*: each pixel is written nine times. On the way back, nine gradients for each pixel are *added up*, plane by plane. The product
# alone takes about as long as PyTorch's whole forward pass.

# %% [markdown]
# ## 2 · Fewer products

# %% [markdown]
# An output of a 3 × 3 convolution with $c$ channels in costs $9c$ multiplications. Two ways out are in nearly every small network.
#
# - A **grouped** convolution cuts the channels into groups, and no kernel looks beyond its group. With as many groups as channels it is a **depthwise** convolution: each channel has a kernel of its own.
# - A 1 × 1 convolution then mixes the channels. Both together are a *depthwise separable* convolution.

# %% tags=["hide-input"]
flow = draw.row(
    draw.tensor((4, 5, 5), "channels", color="gray"),
    draw.box("depthwise\n3 × 3", note="one kernel\nper channel", color="blue"),
    draw.tensor((4, 5, 5), color="blue"),
    draw.box("1 × 1", note="mixes\nchannels", color="orange"),
    draw.tensor((6, 5, 5), color="orange"),
    arrows=True,
    gap=22,
)
draw.show(
    flow,
    alt="Four channels; a depthwise convolution filters each by itself; a 1 by 1 convolution mixes them into six.",
)

# %%
layers = {
    "3 × 3, all channels": nn.Conv2d(64, 64, 3, padding=1),
    "4 groups": nn.Conv2d(64, 64, 3, padding=1, groups=4),
    "depthwise": nn.Conv2d(64, 64, 3, padding=1, groups=64),
    "1 × 1": nn.Conv2d(64, 64, 1),
}
print(f"{'64 channels → 64':20} {'weights':>8}  multiplications per position")
for name, layer in layers.items():
    weights = layer.weight.numel()
    print(f"{name:20} {weights:8,} {weights:12,}")
separable = sum(layers[name].weight.numel() for name in ("depthwise", "1 × 1"))
whole = layers["3 × 3, all channels"].weight.numel()
print(f"depthwise and 1 × 1: {separable:,}, one part in {whole / separable:.1f}")

# %% [markdown]
# Is a depthwise convolution really a loop over channels? And a separable one is a *special* 3 × 3 convolution: multiply its two steps out, and every kernel slice is a multiple of one and the same pattern.

# %%
depthwise = nn.Conv2d(4, 4, 3, groups=4, bias=False).double()
pointwise = nn.Conv2d(4, 6, 1, bias=False).double()
x = torch.tensor(g.normal(size=(2, 4, 8, 8)))
by_channel = [F.conv2d(x[:, c : c + 1], depthwise.weight[c : c + 1]) for c in range(4)]
gap = (depthwise(x) - torch.cat(by_channel, dim=1)).abs().max()
print(f"a loop over channels: differs by at most {gap:.10f}")
patterns = depthwise.weight[:, 0]  # (4, 3, 3)
mixing = pointwise.weight[:, :, 0, 0]  # (6, 4)
full = mixing[:, :, None, None] * patterns[None]  # (6, 4, 3, 3)
gap = (pointwise(depthwise(x)) - F.conv2d(x, full)).abs().max()
print(f"as one convolution:   differs by at most {gap:.10f}")

# %% [markdown]
# So it can do less than a full convolution, in exchange for an eighth of the products. Whether that is a good bargain is a question of accuracy at equal cost, which a table of counts does not answer. EfficientNet (lesson [vision](vision.ipynb)) consists of such layers.

# %% [markdown]
# ## 3 · The way up: transposed convolution

# %% [markdown]
# A convolution with stride 2 makes maps smaller. To draw a picture from a small map (segmentation, generation) one needs the other direction. The lesson wrote a convolution as a matrix, $y = T x$. The **transposed convolution** is $T^\top$: each number of the small map *stamps* the kernel, times itself,
# into the large one, and stamps that overlap are added. It is what the backward pass of a convolution does. It is *not* an inverse: it does not bring the old picture back.

# %%
small = np.array([1.0, 2, 3])
kernel = np.array([1.0, 10, 100])
large = np.zeros(2 * (3 - 1) + 3)  # stride 2
for i, value in enumerate(small):
    stamp = value * kernel
    large[2 * i : 2 * i + 3] += stamp
    print(f"number {i} stamps {stamp} from position {2 * i} on")
rows = [torch.tensor(a)[None, None] for a in (small, kernel)]  # each (1, 1, 3)
by_torch = F.conv_transpose1d(*rows, stride=2)
print("together", large)
print("PyTorch  ", by_torch[0, 0].numpy())
assert np.allclose(large, by_torch)

# %%
g = np.random.default_rng(1)
x = torch.zeros(1, 1, 7, 7, dtype=torch.float64, requires_grad=True)
w = torch.tensor(g.normal(size=(1, 1, 3, 3)))
y = F.conv2d(x, w, stride=2)  # (1, 1, 3, 3)
delta = torch.tensor(g.normal(size=(1, 1, 3, 3)))
(back,) = torch.autograd.grad(y, x, delta)
up = F.conv_transpose2d(delta, w, stride=2)
print("shape", tuple(up.shape))
print("gradient of the convolution:", back[0, 0, 0].detach().numpy().round(3))
print("transposed convolution:     ", up[0, 0, 0].numpy().round(3))
print(f"largest difference anywhere: {(back - up).abs().max():.10f}")

# %% [markdown]
# **Predict:** an *even* map of ones, a kernel of ones, stride 2. Is the large map even, too, with kernels of 2, 3 and 4?

# %%
ones = torch.ones(1, 1, 4, 4)
for size in (2, 3, 4):
    up = F.conv_transpose2d(ones, torch.ones(1, 1, size, size), stride=2)[0, 0]
    inside = up[size - 1 : 1 - size, size - 1 : 1 - size]
    print(f"kernel {size}: numbers inside: {inside.unique().tolist()}")

# %% tags=["hide-input"]
ups = [F.conv_transpose2d(torch.ones(1, 1, 6, 6), torch.ones(1, 1, k, k), stride=2)[0, 0].numpy() for k in (2, 3, 4)]
fig = plot.images([up / 4 for up in ups], [f"kernel {k}" for k in (2, 3, 4)], size=2.0)
plot.show(
    fig,
    alt="Three maps made from ones with stride 2: even with kernel 2, a checkerboard with kernel 3, even inside with 4.",
)

# %% [markdown]
# With kernel 3 neighbors get 1, 2 or 4 stamps: a **checkerboard**. It comes from overlaps that differ, so it vanishes when the stride divides the kernel size. (Odena, Dumoulin and Olah 2016; their other remedy is to enlarge the map first, and then convolve.) Training can learn weights that even it out, but it starts uneven.

# %% [markdown]
# ## 4 · A convolution is a product of spectra

# %% [markdown]
# The Fourier transform turns true convolution into multiplication, frequency by frequency (lesson [audio](audio.ipynb) has the transform). A kernel of $k \times k$ costs $k^2$ products per pixel by sliding, and by Fourier transforms a number that hardly depends on $k$.

# %%
picture = g.normal(size=(64, 64))
kernel = g.normal(size=(31, 31))
# room for the full convolution, so that nothing wraps round
shape = (64 + 31 - 1, 64 + 31 - 1)
spectra = np.fft.rfft2(picture, shape) * np.fft.rfft2(kernel, shape)
by_spectra = np.fft.irfft2(spectra, shape)
gap = abs(by_spectra - convolve2d(picture, kernel)).max()
print(f"{by_spectra.shape}, differs from scipy's convolve2d by at most {gap:.10f}")

# %% tags=["free"]
print("kernel   sliding      spectra")
for k in (3, 7, 15, 31):
    kernel = g.normal(size=(k, k))
    shape = (64 + k - 1, 64 + k - 1)

    def by_sliding(kernel=kernel):
        return convolve2d(picture, kernel)

    def by_spectra(kernel=kernel, shape=shape):
        product = np.fft.rfft2(picture, shape) * np.fft.rfft2(kernel, shape)
        return np.fft.irfft2(product, shape)

    times = [best_of_five(f) for f in (by_sliding, by_spectra)]
    print(f"{k:2} × {k:<2} {times[0]:8.2f} ms {times[1]:8.2f} ms")
assert times[0] > times[1]  # at 31 × 31

# %% [markdown]
# For kernels of 3 × 3, which nearly all networks have, the spectra gain nothing. For large ones they win by far.

# %% [markdown]
# ## 5 · Why the middle of a receptive field counts more

# %% [markdown]
# Count paths. In one dimension, with kernels of 3 and stride 1, a pixel reaches a unit $n$ layers further by as many paths as there are ways to write its distance as $n$ steps of −1, 0 or 1. These numbers are convolutions of (1, 1, 1) with itself.

# %%
paths = np.ones(1, int)
fields, spreads = [], []
for num_layers in range(1, 17):
    paths = np.convolve(paths, [1, 1, 1])
    distance = np.arange(-num_layers, num_layers + 1)  # from the middle
    share = paths / paths.sum()
    spread = np.sqrt((share * distance**2).sum())  # standard deviation
    fields.append(len(paths))
    spreads.append(spread)
    if num_layers <= 3:
        print(f"{num_layers} layers: paths {paths}")
for num_layers in (1, 4, 16):
    field, spread = fields[num_layers - 1], spreads[num_layers - 1]
    print(f"{num_layers:2} layers: field {field:2} pixels, spread {spread:.2f} pixels")
assert np.allclose(spreads, np.sqrt(2 / 3 * np.arange(1, 17)))

# %% [markdown]
# Four times as many layers give a field that is nearly four times as wide, but only twice the spread. The curve of the paths comes near to a bell, whose width grows with the *root* of the number of layers (Luo et al. 2016). Strides and dilation widen it.

# %% [markdown]
# ## 6 · Two frameworks, two batch normalizations

# %% [markdown]
# In training, batch normalization (lesson [vision](vision.ipynb) derives it) uses the batch's mean and variance, and keeps running averages for later. Both frameworks call a number *momentum*, and mean opposite things by it. Feed both one batch whose mean is near 5; their running means start at 0.

# %%
momentum_guess = widgets.guess(
    "After one batch with default settings: whose running mean is nearer to 5?",
    ["PyTorch's", "Keras's", "both the same"],
)

# %%
eight = g.normal(5, 2, size=(8, 1, 1, 1)).astype("float32")  # one channel, eight values
in_torch, in_keras = nn.BatchNorm2d(1), keras.layers.BatchNormalization()
in_torch(torch.tensor(eight))
in_keras(eight, training=True)
torch_mean = in_torch.running_mean.item()
keras_mean = float(in_keras.moving_mean[0])
print(f"PyTorch: momentum {in_torch.momentum}, ε {in_torch.eps}", end=", ")
print(f"took over {torch_mean / eight.mean():.2f} of the batch's mean")
print(f"Keras:   momentum {in_keras.momentum}, ε {in_keras.epsilon}", end=", ")
print(f"took over {keras_mean / eight.mean():.2f}")
momentum_guess.compare("PyTorch's")

# %% [markdown]
# The momentum is the weight of the **new** batch in PyTorch, of the **old** average in Keras. So Keras needs ten times as many batches to forget its start. The remedy: `momentum = 1 − momentum`, and one $\varepsilon$ (added to the variance) for both. A third difference has no switch: PyTorch's
# running variance divides by $n - 1$.

# %%
momentum = weight_conversion.other_momentum(0.1)  # 0.9
alike = keras.layers.BatchNormalization(momentum=momentum, epsilon=1e-5)
alike(eight, training=True)
print(f"running mean: Keras {float(alike.moving_mean[0]):.4f}", end=", ")
print(f"PyTorch {in_torch.running_mean.item():.4f}")
variances = in_torch.running_var[0], alike.moving_variance[0]
# they start at 1, which still counts 0.9
given = [float(variance) - 0.9 for variance in variances]
ratio = given[0] / given[1]
print(f"the batch's variance, PyTorch's over Keras's: {ratio:.3f}; 8/7 is {8 / 7:.3f}")
assert abs(given[0] / given[1] - 8 / 7) < 0.01

# %% [markdown]
# ## 7 · A flattened layer moves

# %% [markdown]
# Behind a `flatten`, a linear layer has a weight for each channel *and* position. PyTorch flattens (c, h, w), Keras (h, w, c). Copied as they are, the weights have the right shape and meet the wrong numbers. The remedy is to give the weights their three axes back, move them, and flatten again.

# %%
g = np.random.default_rng(2)
torch.manual_seed(0)
c, h, w = 4, 3, 5
maps = g.normal(size=(2, c, h, w)).astype("float32")
linear = nn.Linear(c * h * w, 6)
wanted = linear(torch.tensor(maps).flatten(1)).detach().numpy()

maps_last = np.moveaxis(maps, 1, -1)  # (2, h, w, c)
dense = keras.layers.Dense(6)
dense.build((None, c * h * w))
weight = linear.weight.detach().numpy()  # (6, c · h · w)
ways = {
    "copied as they are": weight.T,
    "axes moved": weight.reshape(6, c, h, w).transpose(2, 3, 1, 0).reshape(-1, 6),
}
for name, kernel in ways.items():
    dense.set_weights([kernel, linear.bias.detach().numpy()])
    found = np.array(dense(maps_last.reshape(2, -1)))
    print(f"{name:20} differs by at most {abs(found - wanted).max():.2f}")

# %% [markdown]
# ## What to remember

# %% [markdown]
# 1. im2col pays with memory on the way there and with additions on the way back; the product itself is as fast as a library's.
# 2. Depthwise and 1 × 1 convolutions together are a full convolution with fewer weights, and can do less.
# 3. A transposed convolution is the backward pass of a convolution, not its inverse. If the stride does not divide the kernel size, it starts with a checkerboard.
# 4. Large kernels are cheaper by Fourier transforms; kernels of 3 × 3 are not.
# 5. Equal shapes prove nothing: momentum, ε, $n - 1$, padding and the order of flatten differ between frameworks.
#
# ## Sources
# - A. Howard et al. (2017), *MobileNets*, arXiv 1704.04861: depthwise separable convolutions.
# - A. Odena, V. Dumoulin, C. Olah (2016), *Deconvolution and checkerboard artifacts*, Distill.
# - W. Luo et al. (2016), *Understanding the effective receptive field in deep convolutional neural networks*, arXiv 1701.04128.
# - S. Ioffe, C. Szegedy (2015), *Batch normalization*, arXiv 1502.03167.
