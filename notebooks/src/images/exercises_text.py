# %% [markdown]
# # Exercises · Images
#
# *Three short tasks: shrink a picture by hand, measure its edges, and mirror a scene without telling a lie.*
#
# {{budget}}
#
# **Lesson**: [Images](../images.ipynb) · **6 points, about 35 minutes** · NumPy only
#
# Loops are as welcome as NumPy tricks. Replace the line `raise NotImplementedError("your turn")`, run the cell, then run
# the check below it. It says what is wrong. Try twice before you open the second hint.

# %%
import numpy as np

from mmcourse.check import check

# %% [markdown]
# ## images.1 · Shrink by the mean
#
# Difficulty 1 of 3 · 8 minutes · 1 point
#
# Make a picture `k` times smaller in height and width. Each new pixel is the **mean** of the block of `k` × `k` old pixels
# that it covers, for each colour by itself, rounded to the nearest whole number.
#
# **Example.** One colour, two rows, four columns, `k = 2`.

# %%
tiny = np.array([[[10], [20], [200], [255]], [[30], [42], [255], [250]]], dtype=np.uint8)  # (2, 4, 1)
print("left block ", tiny[:, :2, 0].ravel(), "mean", tiny[:, :2].mean())
print("right block", tiny[:, 2:, 0].ravel(), "mean", tiny[:, 2:].mean())

# %% [markdown]
# The result is 26 and 240, of shape (1, 2, 1). Beware: 200 + 255 is 199 in `uint8`.
#
# **Write** `shrink(picture, k)` for a `uint8` picture `(h, w, c)` whose height and width are multiples of `k`. Return
# whole numbers, shape `(h/k, w/k, c)`; `uint8` is the usual choice.


# %%
def shrink(picture, k):
    """Mean of each k × k block: uint8 (h, w, c) → uint8 (h/k, w/k, c)."""
    # BEGIN SOLUTION
    h, w, c = picture.shape
    blocks = picture.reshape(h // k, k, w // k, k, c)  # row of blocks, row inside, column of blocks, column inside
    return np.round(blocks.mean(axis=(1, 3))).astype(np.uint8)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# With loops: for new row `i` and column `j` the block is `picture[i*k:(i+1)*k, j*k:(j+1)*k]`. What do you do with its
# two first axes, and what with the third?
# </details>
#
# <details><summary>Hint 2</summary>
#
# `.mean(axis=(0, 1))` of a block computes with floats, so nothing wraps round. Round with `np.round` before you turn the
# result into `uint8`, which would cut the digits off.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = np.random.default_rng(seed).integers(0, 63, (2, 4, 1), dtype=np.uint8) * 4 + 3, 2
print("A picture of your own to shrink by hand, and k:", yours[0][..., 0], yours[1], sep="\n")

# %%
check("images.1", shrink)

# %% [markdown]
# ## images.2 · How strong is the edge?
#
# Difficulty 2 of 3 · 12 minutes · 2 points
#
# Sobel's kernel finds what gets brighter towards the right; its transpose, what gets brighter downwards:
#
# $$K = \begin{pmatrix}1&0&-1\\2&0&-2\\1&0&-1\end{pmatrix} \qquad
# \text{strength} = \sqrt{\text{right}^2 + \text{down}^2}$$
#
# The result has the size of the picture: repeat its border pixels once on each side (`np.pad(…, mode="edge")`).

# %%
corner = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1.0]])  # one bright pixel
padded = np.pad(corner, 1, mode="edge")
print(padded)

# %% [markdown]
# **Example.** In the middle of `corner`, only the neighbour at the lower right counts: it adds 1 to *right* and 1 to *down*.
# The strength there is √2 ≈ 1.414. At the lower right pixel itself both are 3, and the strength is √18 ≈ 4.243.
#
# **Write** `edge_strength(grey)` for floats `(h, w)`. Return floats `(h, w)`. (The sign of *right* and *down* does not
# matter: both are squared.)


# %%
def edge_strength(grey):
    """Length of Sobel's gradient, borders repeated: (h, w) → (h, w)."""
    # BEGIN SOLUTION
    h, w = grey.shape
    p = np.pad(grey, 1, mode="edge")
    right, down = np.zeros((h, w)), np.zeros((h, w))
    for i, weight in enumerate((1, 2, 1)):
        right += weight * (p[i : i + h, 2:] - p[i : i + h, :w])
        down += weight * (p[2:, i : i + w] - p[:h, i : i + w])
    return np.sqrt(right**2 + down**2)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# Pad once. Then the neighbours of all pixels at once are slices of the padded picture: `p[0:h, 2:]` holds, for every
# pixel, the one at its upper right.
# </details>
#
# <details><summary>Hint 2</summary>
#
# *right* is the sum over three rows, weighted 1, 2, 1, of right neighbour minus left neighbour. *down* is the same with
# rows and columns exchanged. End with `np.sqrt(right**2 + down**2)`.
# </details>

# %% tags=["variant"]
seed = 1  # of: 1 to 200
yours = (np.random.default_rng(seed).integers(0, 5, (3, 3)) / 4,)
print("A picture of your own to try by hand:", *yours, sep="\n")

# %%
check("images.2", edge_strength)

# %% [markdown]
# ## images.3 · Mirror the whole scene
#
# Difficulty 2 of 3 · 15 minutes · 3 points
#
# A scene is a picture, the boxes round its objects, and a caption. If you mirror the picture alone, the boxes point at empty
# ground and the caption lies. Mirror all three.
#
# A box is (left, top, right, bottom): object pixels are `picture[top:bottom, left:right]`. In the caption only the words *left*
# and *right* depend on the side.

# %%
picture = np.zeros((2, 6, 3), np.uint8)
picture[:, 0:2] = 255
boxes = np.array([[0, 0, 2, 2]])
print(picture[..., 0], "a white thing in the box", boxes[0])

# %% [markdown]
# **Example.** Mirrored, the white thing fills columns 4 and 5. Its box is (4, 0, 6, 2): the first number must stay the smaller
# one. "a box to the left of a star" becomes "a box to the right of a star".
#
# **Write** `mirror_scene(picture, boxes, caption)` for `(h, w, 3)`, `(n, 4)` and text in small letters without commas. Return
# the three, mirrored. Leave the inputs as they are.


# %%
def mirror_scene(picture, boxes, caption):
    """Picture, boxes and caption as seen in a mirror."""
    # BEGIN SOLUTION
    width = picture.shape[1]
    left, top, right, bottom = boxes.T
    turned = np.stack([width - right, top, width - left, bottom], axis=1)
    other = {"left": "right", "right": "left"}
    words = [other.get(word, word) for word in caption.split(" ")]
    return picture[:, ::-1], turned, " ".join(words)
    # END SOLUTION


# %% [markdown]
# <details><summary>Hint 1</summary>
#
# A point at distance `x` from the left edge ends up at distance `x` from the right edge. Which edge of the box is on the left
# afterwards? And what does `caption.replace("left", "right").replace("right", "left")` do to a "left"?
# </details>
#
# <details><summary>Hint 2</summary>
#
# The new left is `width - right`, the new right is `width - left`. Go through the caption word by word with
# `{"left": "right", "right": "left"}`.
# </details>

# %% tags=["variant"]
side = "left"  # of: "left", "right"
seed = 1  # of: 1 to 100
g = np.random.default_rng(seed)
yours = (
    g.integers(0, 256, (2, 7, 3), dtype=np.uint8),
    np.array([[g.integers(0, 3), 0, 5, 2]]),
    f"a bright box {side} of it",
)
print("A scene of your own: its box", *yours[1], "and its caption:", yours[2])

# %%
check("images.3", mirror_scene)

# %% [markdown]
# ## Done?
#
# Run the whole notebook once more from the top (*Run → Restart Kernel and Run All Cells*). One way to solve each task is in
# [the solutions](../solutions/images.ipynb). Another way that passes is just as right.
