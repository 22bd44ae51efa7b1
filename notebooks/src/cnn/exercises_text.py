# %% [markdown]
# # Exercises · Convolutional networks
#
# *Three tasks: true convolution by hand, the sizes of a whole network, and a gradient that somebody else got wrong.*
#
# {{budget}}
#
# **Lesson**: [Convolutional networks](../cnn.ipynb) · **6 points, about 30 minutes** · NumPy only

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## cnn.1 · True convolution
#
# Difficulty 1 of 3 · 8 minutes · 2 points
#
# $$Y(i,j) = \sum_{m,n} X(i-m,\,j-n)\,K(m,n)$$
#
# Frameworks leave the flip out. You do not: turn the kernel by 180°, then slide it over all places where it fits.
#
# **Example.** The picture has a single bright pixel. True convolution stamps the kernel there *the right way round*.

# %%
picture = np.zeros((5, 5))
picture[2, 2] = 1.0
stamp = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
print("one place, kernel as it is:", (picture[0:3, 0:3] * stamp).sum())
print("one place, kernel turned:  ", (picture[0:3, 0:3] * stamp[::-1, ::-1]).sum(), "= the kernel's first number")

# %% [markdown]
# **Write** `convolve(x, k)` for `x` (h, w) and `k` (kh, kw), which need not be square or symmetric. Return the array
# (h − kh + 1, w − kw + 1).


# %%
def convolve(x, k):
    """True convolution wherever the kernel fits: (h − kh + 1, w − kw + 1)."""
    # BEGIN SOLUTION
    turned = k[::-1, ::-1]
    (h, w), (kh, kw) = x.shape, k.shape
    y = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = (x[i : i + kh, j : j + kw] * turned).sum()
    return y
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# `k[::-1, ::-1]` is the kernel turned by 180°. Both axes: rows *and* columns.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Make `y` of zeros with shape (h − kh + 1, w − kw + 1), loop over its places, and multiply each patch with the turned kernel.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
yours = g.integers(-5, 6, (3, 3)) * 1.0, g.integers(-5, 6, (2, 2)) * 1.0
print("A picture and a kernel of your own to try by hand:", *yours, sep="\n")

# %%
check("cnn.1", convolve)

# %% [markdown]
# ## cnn.2 · The size of everything
#
# Difficulty 2 of 3 · 10 minutes · 2 points
#
# A network is a list of layers, each `(kernel, stride, padding, dilation)`; pooling counts as a layer, too. Its input is `size` pixels
# wide. How wide is the output, and how many pixels has one of its numbers seen?
#
# $$o = \left\lfloor \frac{n + 2p - d(k-1) - 1}{s} \right\rfloor + 1 \qquad
# r \leftarrow r + (k-1)\,d\,j, \quad j \leftarrow j\,s$$
#
# with $r = j = 1$ at the input. (From the first pixel to the last: holes and padding count, so $r$ may be
# more than the picture has.)
#
# **Example.** Two layers, 28 pixels: a 3×3 convolution with stride 2 and padding 1, then another with dilation 2.

# %%
first = (28 + 2 * 1 - 1 * 2 - 1) // 2 + 1  # 14 wide; has seen 1 + 2·1·1 = 3 pixels; the jump is now 2
second = (first + 2 * 0 - 2 * 2 - 1) // 1 + 1
print("width", second, "  seen", 3 + (3 - 1) * 2 * 2)

# %% [markdown]
# **Write** `sizes(layers, size)`. Return two whole numbers: the output's width and its receptive field. (In the example: 10 and 11.)


# %%
def sizes(layers, size):
    """Return (output width, receptive field) of a list of (kernel, stride, padding, dilation)."""
    # BEGIN SOLUTION
    field = jump = 1
    for kernel, stride, padding, dilation in layers:
        size = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        field += (kernel - 1) * dilation * jump
        jump *= stride
    return size, field
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# One loop over the layers, three numbers that change: the width, the field and the jump.
# </details>
#
# <details><summary>Hint 2</summary>
#
# The stride of a layer counts for the layers *after* it: add to the field first, then let the jump grow.
# </details>

# %% tags=["variant"]
kernel = 3  # of: 1 to 5
stride = 2  # of: 1 to 3
size = 28  # of: 24 to 32
yours = [(kernel, stride, 1, 1), (3, 1, 0, 2)], size
print("Layers and an input size of your own:", *yours)

# %%
check("cnn.2", sizes)

# %% [markdown]
# ## cnn.3 · What is wrong with this gradient?
#
# Difficulty 3 of 3 · 12 minutes · 2 points
#
# A colleague wrote a backward pass. You nudged each weight (central differences in float64) and have both arrays: `ours`, from the
# colleague's formula, and `nudged`. Judge it. The error is the largest difference relative to the largest nudged slope:
#
# $$e = \frac{\max |\text{ours} - \text{nudged}|}{\max |\text{nudged}|}$$
#
# The verdict is the first of these that holds, with $e \le 10^{-6}$ as the measure of "equal":
#
# - `"right"`: ours equals nudged;
# - `"flipped"`: it would, if ours were turned by 180°;
# - `"scaled"`: it would, if ours were multiplied by one and the same number (such as a batch size that was forgotten);
# - `"wrong"`: none of these, such as two repairs needed at once.
#
# **Example.** Each number is half of what it should be. The error is one half, and the right name is "scaled".

# %%
nudged = np.array([[1.0, -2.0], [3.0, 4.0]])
ours = nudged / 2
print("error", np.abs(ours - nudged).max() / np.abs(nudged).max(), "  ratios", np.unique(nudged / ours))

# %% [markdown]
# **Write** `verdict(ours, nudged)` for two arrays (kh, kw). Return the error $e$ of the arrays as they are, and one of the four words. Some slopes
# may be 0, and all of `ours` may be 0: then no number repairs it.


# %%
def verdict(ours, nudged):
    """Return (error, "right" | "flipped" | "scaled" | "wrong")."""

    # BEGIN SOLUTION
    def error(a):
        return np.abs(a - nudged).max() / np.abs(nudged).max()

    e = error(ours)
    size = (ours**2).sum()
    factor = (ours * nudged).sum() / size if size > 0 else 0.0  # the multiple of ours that comes closest
    if e <= 1e-6:
        return e, "right"
    if error(ours[::-1, ::-1]) <= 1e-6:
        return e, "flipped"
    return e, "scaled" if error(factor * ours) <= 1e-6 else "wrong"
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Write the error as a small function of one array, and use it three times: as it is, turned, and multiplied.
# </details>
#
# <details><summary>Hint 2</summary>
#
# Which number? Divide at the place where `ours` is largest in size: there nothing is 0 unless everything is.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
g = np.random.default_rng(seed)
nudged = g.integers(1, 50, (2, 2)) * 1.0
yours = [nudged, nudged[::-1, ::-1], nudged / 2, nudged + 1][g.integers(4)], nudged
print("A gradient of your own to judge, and the nudged one:", *yours, sep="\n")

# %%
check("cnn.3", verdict)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top. One way to solve each task is in
# [the solutions](../solutions/cnn.ipynb); another way that passes is just as right.
