# %% [markdown]
# # Images
# *You will turn any picture file into numbers that a network can trust, and know what was lost on the way.*
#
# {{budget}}
#
# **You will be able to**
# - open photographs as they really come (turned, see-through, 16-bit, broken) and get the right array or a clear error;
# - shrink a picture by hand, and say why a careless shrink draws patterns that never were;
# - find edges with a convolution, from Sobel to Canny;
# - decide by measuring whether gray, a mirror or new colors help a task or spoil it.
#
# **Before this:** [Start here](start_here.ipynb). The mathematics is weighted means, nothing more.
#
# **Time to read:** 50 minutes, then 35 for the [exercises](exercises/images.ipynb).

# %% [markdown]
# Two photographs travel inside scikit-learn: `china.jpg` by danielbuechele and `flower.jpg` by vultilion, both CC BY 2.0.
# Matplotlib brings a third, a portrait of the computing pioneer Grace Hopper in the public domain. Nothing is downloaded.

# %%
import io
from importlib.resources import files

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image
from PIL.Image import Resampling

from mmcourse import plot
from mmcourse.preprocess.image import grayscale, normalize, read, resize, to_float

jpeg = (files("sklearn.datasets.images") / "china.jpg").read_bytes()
china = read(jpeg)
flower = read(files("sklearn.datasets.images") / "flower.jpg")
hopper = read(get_sample_data("grace_hopper.jpg"))
china.shape, flower.shape, hopper.shape

# %%
fig = plot.images([china, flower, hopper], ["china.jpg", "flower.jpg", "grace_hopper.jpg"])
plot.show(fig, alt="Three photographs: a Chinese pavilion by a lake, an orange flower, and a portrait of Grace Hopper.")

# %% [markdown]
# ## 1 · The question
# Here is the roof of the pavilion twice. Both pictures were made from the same photograph, and both are a fifth of its
# width and height. Only the way of shrinking differs.

# %%
small = {"A": resize(china, (85, 128), "nearest"), "B": resize(china, (85, 128), "bilinear")}
roofs = [picture[30:80, 10:70] for picture in small.values()]
fig = plot.images(roofs, list(small), title="Which roof is real?", size=3.2)
plot.show(fig, alt="Two small pictures of tiled roofs. A has bold black and orange stripes, B is an even orange.")

# %% [markdown]
# **Predict before you go on.** A looks sharper, and its roof has bold stripes. Count them in your mind against the
# photograph above. Does A show more of the truth, or something that was never there? You have the answer by section 6.

# %% [markdown]
# ## 2 · The idea by hand
# A picture is a block of numbers. Here is the smallest useful one: four rows, four columns, dark and light stripes.

# %%
stripes = np.array([[0, 200, 0, 200]] * 4, dtype=np.uint8)  # (h, w)
print(stripes)
print("shape", stripes.shape, "type", stripes.dtype)

# %% [markdown]
# The type `uint8` holds whole numbers from 0 (no light) to 255. It saves room, and it has a trap: beyond 255 it starts
# again at 0, and nobody warns you. Make pictures brighter as floats.

# %%
print("as uint8:", stripes[0] + np.uint8(100))
print("as float:", np.clip(stripes[0] / 255 + 100 / 255, 0, 1).round(2))

# %% [markdown]
# Now halve the picture. You have two choices for each new pixel: **pick** one of the four old pixels that it covers, or
# take their **mean**.

# %%
picked = stripes[1::2, 1::2]  # (4, 4) → (2, 2)
mean = stripes.reshape(2, 2, 2, 2).mean(axis=(1, 3))  # rows, their halves, columns, their halves
print("picked\n", picked, "\nmean\n", mean)

# %% [markdown]
# Picking gives a picture of pure light: all dark stripes are gone. The mean gives an even gray. Stripes this fine cannot be
# shown with two pixels; the mean admits it, the pick pretends.
#
# It gets worse when old and new pixels nearly fit. Two dark, two light, and so on; keep every third.

# %%
fine = (np.arange(24) // 2 % 2).astype(float)[None]  # (1, 24)
print("old   ", *fine[0].astype(int))
for method in ("nearest", "area", "bilinear"):
    print(f"{method:9}", *resize(fine, (1, 8), method)[0].round(2))

# %% [markdown]
# The `nearest` row shows two dark, two light. Each new pixel is three old ones wide, so these are stripes of *three times*
# the true width. A pattern that appears because you looked at too few places is called **aliasing**; in pictures, moiré.
# The mean (`area`) still shows them, with a third of the contrast (0.67 − 0.33); `bilinear` shows an eighth (0.56 − 0.44).

# %% [markdown]
# ### Three colors, two orders
# A color picture has three numbers for each pixel: red, green, blue. NumPy, Pillow and Keras keep them last,
# `(h, w, c)`; PyTorch wants them first, `(c, h, w)`. Moving between the two is a change of *axes*. A `reshape` gives the
# same shape, and nonsense.

# %%
first = np.moveaxis(hopper, -1, 0)  # (600, 512, 3) → (3, 600, 512)
wrong = hopper.reshape(3, 600, 512)  # the same shape!
fig = plot.images([first[0], wrong[0]], ["moveaxis", "reshape"], title="What is in the red channel?", size=3.0)
plot.show(
    fig, alt="Left the portrait in gray. Right, by reshape, a dark striped jumble of her cap and stars, without a face."
)

# %% [markdown]
# No error tells you. A network trained on the right-hand picture learns something, badly. Look at your data *after* the
# last step before the network, not at the file.

# %% [markdown]
# ## 3 · The formula
# ### Resizing is a weighted mean
# Shrink or enlarge $n$ old pixels to $n'$ new ones. The center of new pixel $i$ lies at $c_i$, measured in old pixels, and
# each old pixel $j$ counts by how near it is:
#
# $$c_i = \left(i + \tfrac12\right)\frac{n}{n'} \qquad w_{ij} \propto f\!\left(\frac{j + \frac12 - c_i}{s}\right) \qquad
# y_i = \sum_j w_{ij}\, x_j$$
#
# Here $x$ is the old row, $y$ the new one; $\propto$ means "in proportion to", scaled so that each row of $w$ sums to 1. The filter $f$ is a triangle from −1 to 1
# (bilinear) or a box from −½ to ½ (area). The width $s$ is $n/n'$ when you shrink and 1 when you enlarge: that widening is
# **anti-aliasing**.


# %%
def weights(n, new):
    center = (np.arange(new)[:, None] + 0.5) * n / new  # (new, 1)
    s = max(n / new, 1)
    w = np.maximum(0, 1 - np.abs((np.arange(n) + 0.5 - center) / s))  # triangle, (new, n)
    return w / w.sum(axis=1, keepdims=True)


# %%
fig = plot.matrix(
    weights(8, 4), "How much of each old pixel is in each new one?", xlabel="old pixel", ylabel="new pixel"
)
plot.show(fig, alt="A 4 by 8 table of weights: each row holds about four positive numbers round its center.")

# %% [markdown]
# That is all of bilinear resizing: one such matrix along the rows, one down the columns. On a photograph it should give
# what Pillow gives, up to Pillow's rounding to whole numbers after each of the two steps.

# %%
across = np.einsum("ij,hjc->hic", weights(640, 128), china)  # (427, 128, 3)
both = np.einsum("ij,jwc->iwc", weights(427, 85), across)  # (85, 128, 3)
pillow = np.asarray(Image.fromarray(china).resize((128, 85), Resampling.BILINEAR))
assert np.abs(both - pillow).max() <= 1.001  # of 255
print("largest difference at most", np.ceil(np.abs(both - pillow).max()).astype(int) + 0, "of 255 levels")

# %% [markdown]
# Mind the order: Pillow says (width, height), arrays say (height, width). The course's `resize` also repeats Pillow's
# rounding, so it is equal *bit by bit*, for all three filters.

# %%
filters = {"nearest": Resampling.NEAREST, "bilinear": Resampling.BILINEAR, "area": Resampling.BOX}
for name, pillow_filter in filters.items():
    theirs = np.asarray(Image.fromarray(china).resize((128, 85), pillow_filter))
    assert (resize(china, (85, 128), name) == theirs).all()
    print(f"{name:9}equal in all {theirs.size:,} numbers")

# %% [markdown]
# ### Gray is a weighted mean of colors
# Eyes see green as brighter than blue. The usual weights come from television (ITU-R BT.601):
#
# $$\text{gray} = 0.299\,R + 0.587\,G + 0.114\,B$$

# %%
gray = grayscale(china)  # (427, 640)
assert (gray == np.asarray(Image.fromarray(china).convert("L"))).all()
by_hand = china @ [0.299, 0.587, 0.114]
print("furthest from Pillow's rounded gray:", np.abs(by_hand - gray).max().round(2))

# %% [markdown]
# Three colors went in and one number came out, so different colors share one gray. Keep that in mind; it comes back.
#
# **Normalizing** moves the numbers to where networks learn well: $(x-\mu)/\sigma$ for each channel, with the mean $\mu$ and
# spread $\sigma$ of the *training* pictures.

# %%
x = to_float(china)  # 0..255 to 0..1
mean, spread = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
z = normalize(china, mean, spread)
print("before: mean", x.mean(axis=(0, 1)).round(2), "spread", x.std(axis=(0, 1)).round(2))
print("after:  mean", (z.mean(axis=(0, 1)).round(2) + 0.0), "spread", z.std(axis=(0, 1)).round(2))

# %% [markdown]
# A **pretrained** network (trained by others, before) expects the numbers of *its* training pictures. Those of ImageNet, a famous collection, (0.485, 0.456, 0.406) and
# (0.229, 0.224, 0.225), are in every manual; they are no law of nature.
#
# ### Edges are a convolution
# Slide a small table $K$ of numbers, the **kernel**, over the picture $X$; at each place multiply and add:
#
# $$Y_{ij} = \sum_{m,n} K_{mn}\, X_{i-m,\,j-n}$$
#
# The indices run from the middle of $K$, and the minus signs flip it. (Frameworks leave out the flip; lesson [cnn](cnn.ipynb) shows why
# that is harmless.)


# %%
def convolve(X, K):
    """Same size as X; border pixels are repeated."""
    (h, w), P = X.shape, np.pad(X, 1, mode="edge")
    near = (-1, 0, 1)
    return sum(K[m + 1, n + 1] * P[1 - m : 1 - m + h, 1 - n : 1 - n + w] for m in near for n in near)


# %% [markdown]
# Sobel's kernel compares what is right of a pixel with what is left of it, the middle row counting twice. Try it on a picture
# that is dark on the left and light on the right.

# %%
sobel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
step = np.array([[0, 0, 0, 1, 1, 1]] * 3, dtype=float)
print(step)
print(convolve(step, sobel))

# %% [markdown]
# Zero where nothing changes, 4 on both sides of the step: 1 + 2 + 1. The transposed kernel finds changes from top to bottom.
# Together they are an arrow, the **gradient**; its length is the strength of the edge.

# %%
g = gray[:, 40:400] / 255  # the pavilion, (427, 360)
right, down = convolve(g, sobel), convolve(g, sobel.T)
strength = np.hypot(right, down)  # √(right² + down²)
shown = [np.clip(np.abs(change) / 2, 0, 1) for change in (right, down, strength)]
fig = plot.images(shown, ["change to the right", "change downwards", "strength"], title="Where does the light change?")
plot.show(fig, alt="Three dark pictures: columns light up in the first, roof lines in the second, both in the third.")

# %% [markdown]
# ## 4 · The same with a library
# SciPy has the convolution, and Sobel's on top of it. Both agree with yours to the last digits.

# %%
from scipy import ndimage

assert np.allclose(right, ndimage.sobel(g, axis=1, mode="nearest"), atol=1e-12)
assert np.allclose(right, ndimage.convolve(g, sobel, mode="nearest"), atol=1e-12)
print("equal to scipy.ndimage.sobel and scipy.ndimage.convolve")

# %% [markdown]
# PyTorch and Keras resize too, on batches and on the GPU. Compare three calls with the course's own bilinear filter, with
# and without anti-aliasing. **Predict**: which of the two does a plain call give?

# %%
import keras
import torch
from torch.nn.functional import interpolate

batch = torch.from_numpy(np.moveaxis(x, -1, 0)[None].copy())  # (1, 3, 427, 640)
ours = {a: resize(x, (85, 128), "bilinear", antialias=a) for a in (True, False)}
plain = interpolate(batch, (85, 128), mode="bilinear")[0].permute(1, 2, 0).numpy()
smooth = interpolate(batch, (85, 128), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()
in_keras = np.asarray(keras.ops.image.resize(x[None], (85, 128), data_format="channels_last"))[0]
for name, theirs in {"torch": plain, "torch antialias=True": smooth, "keras": in_keras}.items():
    gap = {a: np.abs(theirs - ours[a]).max() for a in ours}
    print(f"{name:21} is ours with antialias={min(gap, key=gap.get)}", min(gap.values()) < 1e-4)
print("the plain call differs from Pillow by", np.abs(plain * 255 - pillow).mean().round(), "of 255 levels on average")

# %% [markdown]
# Both frameworks leave anti-aliasing **off** unless you ask; Pillow has it on. Train with one and serve with the other, and
# the network meets pictures unlike any it has seen. (Parmar, Zhang and Zhu 2022 found that this alone moves published
# image-quality scores.)

# %% [markdown]
# ## 5 · At work
# ### Files as they come
# Phones, scanners and web pages save pictures in ways that surprise code written for plain JPEGs. Make one file of each kind
# from the photographs, in memory.


# %%
def saved(picture, kind, **options):
    """The bytes of a file."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


exif = Image.Exif()
exif[0x0112] = 6  # "turn me a quarter to the right before you show me"
person = Image.fromarray(resize(hopper, (150, 128)))
cutout = Image.fromarray(resize(flower[:, 70:570], (128, 150)))
rows, columns = np.mgrid[:128, :150]
cutout.putalpha(Image.fromarray(((rows - 64) ** 2 + (columns - 75) ** 2 < 50**2).astype(np.uint8) * 255))

# %%
lake = Image.fromarray(resize(china[:, 20:520], (128, 150)))
scan = Image.fromarray(grayscale(np.asarray(lake)).astype(np.uint16) * 257)  # 0..65,535
odd = {
    "phone, turned": saved(person.rotate(90, expand=True), "JPEG", exif=exif),
    "cut-out, alpha": saved(cutout, "PNG"),
    "scan, 16-bit": saved(scan, "PNG"),
    "animation": saved(lake.quantize(64), "GIF", save_all=True, append_images=[person.resize(lake.size).quantize(64)]),
    "print, CMYK": saved(lake.convert("CMYK"), "TIFF"),
    "fax, 1-bit": saved(lake.convert("1"), "PNG"),
}
for name, data in odd.items():
    opened = Image.open(io.BytesIO(data))
    raw = np.asarray(opened)
    print(f"{name:15}mode {opened.mode:5}raw {raw.shape!s:15}{raw.dtype!s:7}read {read(data).shape} {read(data).dtype}")

# %% [markdown]
# The raw arrays have three shapes and three types. A palette's numbers are not even colors, only places in a list. The usual
# cure is `.convert("RGB")`. **Predict** where it goes wrong.

# %%
looked = ["phone, turned", "cut-out, alpha", "scan, 16-bit"]
naive = [np.asarray(Image.open(io.BytesIO(odd[name])).convert("RGB")) for name in looked]
right_ones = [read(odd[name]) for name in looked]
names = [f'{name}\nconvert("RGB")' for name in looked] + [f"{name}\nread" for name in looked]
fig = plot.images(naive + right_ones, names, title='What does convert("RGB") get wrong?', columns=3, size=2.0)
fig.set_facecolor("lightgray")  # or a white picture would not be seen
plot.show(fig, alt="Above: a portrait on its side, a flower with its background, plain white. Below: all as wanted.")

# %% [markdown]
# It ignores the turn that the camera wrote beside the pixels (EXIF). It drops alpha (a fourth number: how solid the pixel is), so the cut-away background is back.
# And it clips 16 bits: everything above 255 is white. `read` turns, lays on white, and scales.
#
# An animation becomes its first frame; its other frames are a video's business (lesson [multimodal_data](multimodal_data.ipynb)). And some files are no pictures at
# all. Each must end in a sentence that says what to do, not in a crash or half a picture.

# %%
from mmcourse.preprocess import InputError

bomb = saved(Image.new("1", (9000, 6000)), "PNG")
broken = {
    "empty": b"",
    "cut in half": jpeg[: len(jpeg) // 2],
    "a letter": b"Dear Ada, see the photo." * 9,
    "a bomb": bomb,
}
for name, data in broken.items():
    try:
        read(data)
    except InputError as error:
        print(f"{name}: {error.problem[:75]}\n    → {error.remedy[:75]}")
print(f"(the bomb has {len(bomb) / 1000:.0f} kB, and {9000 * 6000 * 3 / 1e6:.0f} MB as an array)")

# %% [markdown]
# The bomb is a tiny file that unfolds to 54 million pixels. `read` looks at the size that the file claims *before* it decodes a
# pixel. Do the same with anything that strangers may send you.

# %% [markdown]
# ### From Sobel to Canny
# Sobel's edges are thick and noisy. Canny (1986) makes them one pixel thin, in four steps: blur, gradient, keep only the
# crest, and keep weak pixels only where they touch a strong one.

# %%
from mmcourse.preprocess.edges import canny, convolve2d, gaussian_kernel, non_maximum_suppression

blurred = convolve2d(g, gaussian_kernel(1.0))
right, down = convolve(blurred, sobel), convolve(blurred, sobel.T)
force = np.hypot(right, down) / np.hypot(right, down).max()
crest = non_maximum_suppression(force, right, down)  # stronger than both neighbors across the edge
weak, strong = crest & (force > 0.1), crest & (force > 0.4)

# %%
chains, count = ndimage.label(weak, structure=np.ones((3, 3)))  # pixels that touch get one number
alive = np.unique(chains[strong])
kept = np.isin(chains, alive) & weak
assert (canny(g, 0.1, 0.4) == kept).all()  # the course's canny is these steps
steps = [blurred, force, crest & (force > 0.02), weak, strong, kept]
names = ["1 blurred", "2 strength", "3 crests", "weak (> 0.1)", "strong (> 0.4)", "4 weak that touch strong"]
fig = plot.images(
    [s.astype(float) for s in steps], names, title="What does each step of Canny keep?", columns=3, size=2.3
)
plot.show(fig, alt="Six pictures of the pavilion, from a blurred photograph to thin white lines along its roofs.")
print(f"{count} chains of weak pixels, {len(alive)} of them hold a strong one")

# %% [markdown]
# ### Is gray better?
# Many recipes begin with "convert to gray: less data, and form is what counts". Test it. From the course's drawn world `scenes`,
# cut out every object and resize it to 24 × 24. Two tasks: name the **color**, name the **shape**.

# %%
from mmcourse.datasets import load, scenes


def things(split, n):
    """Every object of n scenes: pictures (k, 24, 24, 3), colors (k,), shapes (k,)."""
    ds, cut = load("scenes", split, n=n), []
    whole = ds.column("image")[:]  # (n, 64, 64, 3)
    there = ds.meta["shape"] >= 0  # (n, 4); -1: no such object
    for i, k in np.argwhere(there):  # scene i, object k
        left, top, right, bottom = ds.meta["boxes"][i, k].astype(int)
        piece = whole[i, max(top - 2, 0) : bottom + 3, max(left - 2, 0) : right + 3]
        cut.append(resize(piece, (24, 24)))
    return np.stack(cut), ds.meta["colour"][there], ds.meta["shape"][there]


pictures, colors, shapes = things("train", 1500)
test_pictures, test_colors, test_shapes = things("test", 400)
pictures.shape, test_pictures.shape

# %%
wanted = [np.flatnonzero(colors == c)[0] for c in range(8)]
shown = [pictures[i] for i in wanted] + [grayscale(pictures[i]) for i in wanted]
names = [*scenes.COLORS, *[""] * 8]
fig = plot.images(shown, names, title="What is left of eight colors in gray?", columns=8, size=0.9)
plot.show(fig, alt="Eight objects, one of each color, above the same in gray, where the green one almost disappears.")

# %% [markdown]
# **Predict** for each task: does gray help, hurt, or make no difference? Color is easy. For shape, most people say "no
# difference, or better".
#
# The judge is a small convolutional network from the course; lesson [cnn](cnn.ipynb) builds one by hand. In the table ± is a 95 % interval over three seeds. All that matters here is that both
# sides get the same one, the same pictures and the same number of steps.

# %%
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from mmcourse.evaluate import accuracy, expect_within, mean_and_interval
from mmcourse.torch.encoders import ImageEncoder
from mmcourse.training.torch import fit, predict


class Looker(nn.Module):
    def __init__(self, side, channels, classes):
        super().__init__()
        self.net = nn.Sequential(ImageEncoder(32, side, channels), nn.ReLU(), nn.Linear(32, classes))

    def forward(self, batch):
        return self.net(batch["inputs"]["image"])  # (b, c, h, w) → (b, classes)


# %%
def loader(pictures, labels, seed=None):
    x = torch.from_numpy(np.moveaxis(to_float(pictures), -1, 1).copy())  # (n, c, h, w)
    pairs = zip(x, torch.from_numpy(labels), strict=True)
    samples = [{"inputs": {"image": image}, "target": label} for image, label in pairs]
    order = torch.Generator().manual_seed(seed or 0)
    return DataLoader(samples, batch_size=64, shuffle=seed is not None, generator=order)


def score(train, test, seed, epochs=8):
    """Accuracy on `test` after training on `train`; each is (pictures, labels)."""
    torch.manual_seed(seed)
    model = Looker(train[0].shape[1], train[0].shape[-1], int(train[1].max()) + 1)
    fit(model, loader(*train, seed), epochs, learning_rate=3e-3, seed=seed, progress=False)
    return accuracy(test[1], predict(model, loader(*test)))


# %% [markdown]
# A third task is a trap. In training every shape wears *one favorite color*: all circles are red, all squares blue, and
# so on. In the test any shape may have any color.

# %%
favorite = np.array([0, 4, 1, 5, 2, 3])  # color of circle, square, triangle, diamond, star, cross
loyal = favorite[shapes] == colors
tasks = {
    "color": (pictures[:1000], colors[:1000], test_colors),
    "shape": (pictures[:1000], shapes[:1000], test_shapes),
    "shape, trap": (pictures[loyal], shapes[loyal], test_shapes),
}
print(loyal.sum(), "objects in their favorite color")

# %% tags=["free"]
looks = {"in color": lambda p: p, "in gray": lambda p: grayscale(p)[..., None]}
runs = [(task, look, seed) for task in tasks for look in looks for seed in range(3)]
result = {}
for task, look, seed in tqdm(runs):
    x, y, test_y = tasks[task]
    a = score((looks[look](x), y), (looks[look](test_pictures), test_y), seed)
    result.setdefault((task, look), []).append(a)
for (task, look), values in result.items():
    print(f"{task:12} {look:10} {np.mean(values):.3f} ± {mean_and_interval(values)[1]:.3f}")

# %%
bars = {f"{task}, {look}": mean_and_interval(values) for (task, look), values in result.items()}
means, errors = np.transpose(list(bars.values()))
fig = plot.bar_with_ceiling(list(bars), means, None, errors, title="Does gray help?")
plot.show(fig, alt="Bars: color 1.0 against about 0.8 in gray; shape 0.98 against 0.84; trap about 0.2 against 0.3.")

# %% tags=["target"]
average = {key: np.mean(values) for key, values in result.items()}
expect_within("color named in gray", average["color", "in gray"], 0.82, 0.05)
expect_within("shape named in gray", average["shape", "in gray"], 0.85, 0.05)
for task, sign in {"color": 1, "shape": 1, "shape, trap": -1}.items():
    assert sign * (average[task, "in color"] - average[task, "in gray"]) > 0

# %% [markdown]
# Gray costs the color task much, as it must. It costs the *shape* task nearly as much, which is easy to miss. It helps only
# where color was a false friend, and both are poor there (chance is 1/6). Find out why shape suffers: split the errors by color.

# %% tags=["free"]
torch.manual_seed(0)
model = Looker(24, 1, 6)
gray_train, gray_test = grayscale(pictures[:1000])[..., None], grayscale(test_pictures)[..., None]
fit(model, loader(gray_train, shapes[:1000], 0), 8, learning_rate=3e-3, progress=False)
hit = predict(model, loader(gray_test, test_shapes)).argmax(1) == test_shapes
middle = gray_test[:, 10:14, 10:14].mean(axis=(1, 2, 3))
right_share = [hit[test_colors == c].mean() for c in range(8)]
for c, name in enumerate(scenes.COLORS):
    print(f"{name:7} brightness {middle[test_colors == c].mean():4.0f}   shape right {right_share[c]:.2f}")
print(f"background brightness {np.median(gray_test[:, 0]):.0f}")
assert np.argmin(right_share) == scenes.COLORS.index("green")

# %% [markdown]
# Green has nearly the brightness of the background, so in gray a green star is hardly there. No network gets back what the
# first line of the program threw away. Gray is a *claim* about your task. Test it; never start with it.

# %% [markdown]
# ## 6 · Take it apart
# ### Which roof was real?
# Shrink the photograph by different factors, picking and averaging. True tiles look alike at all sizes; false stripes
# change with every factor.

# %%
views = [(method, k) for method in ("nearest", "bilinear") for k in (3, 5, 6)]
shrunk = [resize(china, (427 // k, 640 // k), method) for method, k in views]
cuts = [p[len(p) * 52 // 100 : len(p) * 95 // 100, len(p) // 7 : len(p) * 62 // 100] for p in shrunk]
names = [f"{method}, 1/{k}" for method, k in views]
fig = plot.images(cuts, names, title="Which stripes change with the size?", columns=3, size=2.3)
plot.show(fig, alt="Above, the roof's stripes change width and slope from size to size. Below, the roof stays even.")

# %% [markdown]
# So A lied. The tiles of the photograph are finer than two pixels of A, the limit of what pixels can show. A took every fifth
# pixel and hit crests and gaps by turns. B shows no tiles because at this size there are none to show.
#
# Anti-aliasing means: remove what the new size cannot show, *then* look. The limit is the sampling theorem (Shannon 1949):
# detail needs more than two samples per period. Lesson [audio](audio.ipynb) lets you hear the same fault in sound.

# %% [markdown]
# ### When augmentation lies
# **Augmentation** makes new training pictures from old ones (mirrored, turned, recolored) and keeps the label. That is a promise:
# *the change does not alter the answer*. Here are four changes. Which promises hold?

# %%
from mmcourse.preprocess.augment import random_crop, random_horizontal_flip

digits = load("avdigits", "train", difficulty="easy")
six = digits.column("image")[np.flatnonzero(digits.labels == 6)[0]]
mood = load("mood", "train")
smirk = mood.column("face")[np.flatnonzero(mood.meta["face_cue"] == "smirk")[0]]


def hue(picture, shift):
    """Turn the color circle by shift/256 of its length."""
    hsv = np.array(Image.fromarray(picture).convert("HSV"))
    hsv[..., 0] += np.uint8(shift)  # it is a circle: for once the wrap-around at 256 is wanted
    return np.asarray(Image.fromarray(hsv, "HSV").convert("RGB"))


# %%
star, crop = pictures[wanted[3]], random_crop(china, (300, 300), np.random.default_rng(4))
pairs = [(six, six[::-1, ::-1]), (smirk, smirk[:, ::-1]), (star, hue(star, 110)), (china, crop)]
names = "a six|turned: six?|a smirk|mirrored: smirk?|green|new hue: green?|a pavilion|cropped: pavilion?".split("|")
fig = plot.images([p for pair in pairs for p in pair], names, title="Is the answer still true?", columns=4, size=1.7)
plot.show(
    fig, alt="Four pairs: a 6, upside down like a 9; a smirk; a star, green and purple; a pavilion cut by a crop."
)

# %% [markdown]
# A mirrored smirk is still a smirk, but no longer on the same *side*. A crop can cut away the very thing that was asked for.
# Whether a change lies depends on the question, never on the picture alone. Four questions, four changes:


# %%
def sides(split):
    """Scenes with one object; is it in the right half?"""
    ds = load("scenes", split)
    one = ds.labels == 0
    boxes = ds.meta["boxes"][one, 0]
    return resize(ds.column("image")[:][one], (24, 24))[:500], (boxes[:, 0] + boxes[:, 2] > 64).astype(int)[:500]


def six_or_nine(split, source="embedded"):
    ds = load("avdigits", split, difficulty="easy", source=source)
    either = np.isin(ds.labels, (6, 9))
    return ds.column("image")[:][either][:500], (ds.labels[either] == 9).astype(int)[:500]


questions = {
    "left or right?": (sides("train"), sides("test")),
    "6 or 9?": (six_or_nine("train"), six_or_nine("test")),
    "which color?": ((pictures[:500], colors[:500]), (test_pictures, test_colors)),
    "which shape?": ((pictures[:500], shapes[:500]), (test_pictures, test_shapes)),
}

# %%
changes = {
    "none": lambda p, rng: p,
    "mirror": random_horizontal_flip,  # a coin decides: mirror or not
    "half turn": lambda p, rng: p[::-1, ::-1] if rng.random() < 0.5 else p,
    "new hue": lambda p, rng: hue(p, rng.integers(256)) if p.shape[-1] == 3 else p,
}


def changed(pictures, change, seed):
    rng = np.random.default_rng(seed)
    return np.stack([change(p, rng) for p in pictures])


# %% tags=["free"]
table = np.zeros((4, 4, 3))  # (question, change, seed)
cells = [(q, c, s) for q in range(4) for c in range(4) for s in range(3)]
for q, c, s in tqdm(cells):
    (x, y), test = list(questions.values())[q]
    table[q, c, s] = score((changed(x, list(changes.values())[c], s), y), test, s)
print(f"widest spread of three seeds {np.ptp(table, axis=2).max():.2f}")

# %%
means = table.mean(axis=2)
fig = plot.matrix(means, "Which change spoils which question?", list(questions), list(changes), limits=(0.4, 1))
plot.show(
    fig,
    alt="A table of accuracies: about 0.55 for left or right with mirror or half turn, below 0.8 for color with new hues and shape with a half turn, else above 0.9.",
)
side, number, color, shape = means
assert max(side[1], side[2]) < 0.65 < 0.95 < min(side[0], side[3])
assert shape[2] < shape[0] - 0.03 and number[2] > 0.85
expect_within("color, trained with new hues", color[3], 0.75, 0.09)
expect_within("left or right, trained with mirrored or turned pictures", (side[1] + side[2]) / 2, 0.53, 0.1)

# %% [markdown]
# Mirror and half turn reduce "left or right" to a coin toss: half of its labels are lies. New hues spoil color and leave
# shape alone. A half turn hurts shape without a lie: no test triangle stands on its head, so the effort is wasted. One cell
# should surprise you: a half turn costs "6 or 9" very little. Is a turned 6 not a 9?

# %% tags=["free"]
(x, y), (test_x, test_y) = questions["6 or 9?"]
other = [1 - score((x, y), (test_x[:, ::-1, ::-1], test_y), seed) for seed in range(3)]
print("called by the other name:", np.round(other, 2))

# %%
expect_within("turned sixes and nines called by the other name", np.mean(other), 0.97, 0.03)

# %% [markdown]
# It is, to whoever learned from upright digits. But a hand draws a 6 and a 9 differently, perhaps with another slant, so a network that must tell
# a turned 6 from a true 9 finds *something*. The promise was false and the accuracy still looks fine. Look at the pictures, not only
# at the score.
#
# And a promise that holds? With only 120 training objects, mirrored copies for "which shape?" cost nothing and teach that left and
# right do not matter. Both sides make the same number of steps.

# %% tags=["free"]
gain = {"as they are": [], "with mirrored copies": []}
for seed in tqdm(range(4)):
    few = np.random.default_rng(seed).permutation(len(pictures))[:120]
    x, y = pictures[few], shapes[few]
    gain["as they are"].append(score((x, y), (test_pictures, test_shapes), seed, epochs=60))
    doubled = np.concatenate([x, x[:, :, ::-1]]), np.tile(y, 2)
    gain["with mirrored copies"].append(score(doubled, (test_pictures, test_shapes), seed, epochs=30))
for name, values in gain.items():
    print(f"{name:21} {np.mean(values):.3f}   seeds {np.round(values, 2)}")

# %%
difference = np.mean(gain["with mirrored copies"]) - np.mean(gain["as they are"])
expect_within("gain from mirrored copies", difference, 0.04, 0.03)

# %% [markdown]
# ## 7 · At full size
# On a GPU, a hundred photographs are resized in one call. And real handwriting, MNIST, can answer the 6-or-9 question better than
# a few hundred small digits. Both run below where the machine has them.

# %% tags=["free"]
from time import perf_counter

if torch.cuda.is_available():
    photographs = batch.cuda().expand(100, -1, -1, -1)  # (100, 3, 427, 640)
    torch.cuda.synchronize()
    start = perf_counter()
    interpolate(photographs, (224, 224), mode="bilinear", antialias=True)
    torch.cuda.synchronize()
    print(f"{100 / (perf_counter() - start):,.0f} photographs a second on the GPU")
else:
    print("Did not run: no GPU. It would have shown how many photographs a second one call resizes to 224 × 224.")

# %% tags=["free"]
from mmcourse.datasets import sources

if all(source.present() for source in sources()):
    (x, y), (test_x, test_y) = (six_or_nine(split, "real") for split in ("train", "test"))
    upright = score((x, y), (test_x[:, ::-1, ::-1], test_y), 0)
    both_ways = score((changed(x, changes["half turn"], 0), y), (test_x, test_y), 0)
    print(f"MNIST: turned digits called by the other name {1 - upright:.2f}; trained with half turns {both_ways:.2f}")
else:
    print("Did not run: the public digits are not on this machine (the command `mmcourse data fetch` gets them).")
    print("It would have shown that MNIST's turned sixes are called nine too, as those above are.")

# %% [markdown]
# ## 8 · What to remember
# 1. A file is not an array: turn, alpha, palette, 16 bits and damage come between. Decode with one careful function, then look.
# 2. Shrinking is a weighted mean. Without anti-aliasing it invents patterns, and PyTorch and Keras leave it off by default.
# 3. Channels move by `moveaxis`, never by `reshape`; normalize with the training pictures' numbers.
# 4. An edge is a convolution that compares neighbors; Canny thins it and keeps what hangs together.
# 5. Gray and augmentation are claims about the task. Measure them.

# %% [markdown]
# ## 9 · Check yourself
# <details><summary>1. Your model works on the training machine and loses ten points in the phone app. Both "resize to 224".
# What do you look at first?</summary>
#
# Which filter each uses, and whether anti-aliasing is on. Then channel order, the range 0–255 or 0–1, and EXIF rotation.
# </details>
#
# <details><summary>2. Why does a picture of shape (3, 224, 224) prove nothing about its channel order?</summary>
#
# A `reshape` gives that shape too. Show one channel as a picture.
# </details>
#
# <details><summary>3. Sobel's kernel sums to zero. What would happen in a flat sky if it did not?</summary>
#
# The sky would answer with its own brightness times that sum: flat regions would look like edges.
# </details>
#
# <details><summary>4. You sort X-rays, and a letter L marks the left side of each. May you mirror them?</summary>
#
# Not blindly. The letter turns round, and the heart changes sides: a rare, serious condition is what the mirrored picture shows.
# </details>
#
# <details><summary>5. Gray helped in the "trap". Would you use gray there?</summary>
#
# Better to collect shapes in other colors, or to recolor them (new hues): in gray, brightness is still a false friend.
# </details>

# %% [markdown]
# ## 10 · Exercises
# Three tasks, about 35 minutes in all, each checked by the machine: shrink a picture by hand, measure edges, and mirror a scene together with
# its boxes and its caption. They are in [the exercise notebook](exercises/images.ipynb).
#
# ## Sources
# - J. Canny (1986), *A computational approach to edge detection*, IEEE PAMI 8(6).
# - C. Shannon (1949), *Communication in the presence of noise*, Proceedings of the IRE 37(1).
# - G. Parmar, R. Zhang, J.-Y. Zhu (2022), *On aliased resizing and surprising subtleties in GAN evaluation*, arXiv 2104.11222.
# - R. Geirhos and others (2020), *Shortcut learning in deep neural networks*, arXiv 2004.07780: why a false friend such as color wins.
# - C. Shorten, T. Khoshgoftaar (2019), *A survey on image data augmentation for deep learning*, Journal of Big Data 6.
# - Photographs: china.jpg © danielbuechele, flower.jpg © vultilion, both CC BY 2.0; grace_hopper.jpg, US Navy, public domain.
