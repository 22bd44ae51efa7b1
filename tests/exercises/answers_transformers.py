"""Known right and wrong answers to the exercises of lesson transformers, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- transformers.1
def norm(x, axis=-1):
    x = x - x.mean(axis=axis, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=axis, keepdims=True) + 1e-12)


def word_by_word(x, look, w1, w2):
    out = []
    for i in range(len(x)):
        h = x[i] + sum(look[i, j] * x[j] for j in range(len(x)))
        h = (h - h.mean()) / np.sqrt(h.var() + 1e-12)
        y = h + np.maximum(0, w1.T @ h) @ w2
        out.append((y - y.mean()) / np.sqrt(y.var() + 1e-12))
    return np.stack(out)


def with_identity(x, look, w1, w2):
    h = norm((np.eye(len(x)) + look) @ x)
    wide = h @ w1
    return norm(h + (wide * (wide > 0)) @ w2)


def think(h, w1, w2):
    return np.maximum(0, h @ w1) @ w2


def pre_norm(x, look, w1, w2):
    x = x + look @ norm(x)
    return x + think(norm(x), w1, w2)


def last_norm_forgotten(x, look, w1, w2):
    h = norm(x + look @ x)
    return h + think(h, w1, w2)


def over_words(x, look, w1, w2):
    h = norm(x + look @ x, 0)
    return norm(h + think(h, w1, w2), 0)


# ---------------------------------------------------------------- transformers.2
def over(x, axes, eps, center=True, root=np.sqrt, ddof=0):
    m = np.mean(x, axes, keepdims=True)
    v = np.var(x, axes, keepdims=True, ddof=ddof) if center else np.mean(np.square(x), axes, keepdims=True)
    return (x - m if center else x) / root(v + eps)


def norms_of(layer=(2,), batch=(0, 1), rms=None, outside=False):
    """A right answer with places to go wrong."""

    def answer(x, eps):
        inside, late = (0.0, eps) if outside else (eps, 0.0)

        def root(v):
            return np.sqrt(v) + late

        middle = rms(x, eps) if rms else over(x, (2,), inside, False, root)
        return over(x, layer, inside, True, root), middle, over(x, batch, inside, True, root)

    return answer


def norms_in_a_list(x, eps):
    return [over(x, (-1,), eps), x / (np.linalg.norm(x, axis=-1, keepdims=True) ** 2 / x.shape[-1] + eps) ** 0.5,
            over(x.reshape(-1, x.shape[-1]), (0,), eps).reshape(x.shape)]  # fmt: skip


# ---------------------------------------------------------------- transformers.3
def count_vit(channels=1, cls=1, projections=4, up_only=False, width=None, norms=4, last=2, head=1, layers=None):
    """A right answer with places to go wrong: counts by layer."""

    def answer(side, patch_size, c, d, hidden, num_layers, num_classes):
        h = 4 * d if width else hidden
        n = side * side // patch_size**2
        total = (patch_size**2 * (c if channels else 1) + 1) * d + cls * d + (n + 1) * d
        block = projections * d * (d + 1) + h * (d + 1) + (0 if up_only else d * (h + 1)) + norms * d
        return int(total + (num_layers if layers is None else layers) * block + last * d + head * num_classes * (d + 1))

    return answer


# ---------------------------------------------------------------- transformers.4
def put_back(turn=False, first="rows", swap=True, size=None, channels_last=True):
    """A right answer with places to go wrong."""

    def answer(patches, height, width, channels):
        s = size or int(round((patches.shape[1] / channels) ** 0.5))
        picture = np.empty((height, width, channels))
        across = width // s
        for k, patch in enumerate(patches):
            i, j = divmod(k, across) if first == "rows" else divmod(k, height // s)[::-1]
            square = (
                patch.reshape(s, s, channels) if channels_last else patch.reshape(channels, s, s).transpose(1, 2, 0)
            )
            picture[i * s : (i + 1) * s, j * s : (j + 1) * s] = square.swapaxes(0, 1) if turn else square
        return picture if swap else patches.reshape(height, width, channels)

    return answer


def by_stacking(patches, height, width, channels):
    s = int((patches.shape[1] / channels) ** 0.5 + 0.5)
    squares = patches.reshape(-1, s, s, channels)
    across = width // s
    return np.concatenate([np.concatenate(list(squares[i : i + across]), 1) for i in range(0, len(squares), across)], 0)


ANSWERS = {
    "transformers.2": Answers(
        right=[norms_of(), norms_in_a_list],
        wrong=[
            (norms_of(layer=(1, 2)), "over all tokens of a sentence"),
            (norms_of(layer=(1,)), "for each feature"),
            (norms_of(batch=(0,)), "takes each position by itself"),
            (norms_of(batch=(1,)), "takes each sentence by itself"),
            (norms_of(batch=(0, 1, 2)), "one mean for everything"),
            (norms_of(rms=lambda x, eps: over(x, (2,), eps)), "subtracted the mean in `rms`"),
            (norms_of(rms=lambda x, eps: x / np.sqrt((x**2).sum(2, keepdims=True) + eps)), "root of the *sum*"),
            (norms_of(outside=True), "outside the root"),
            (lambda x, eps: norms_of()(x, 1e-5), "has no effect"),
        ],
    ),
    "transformers.3": Answers(
        right=[count_vit(), lambda *sizes: np.int64(count_vit()(*sizes)).item()],
        wrong=[
            (count_vit(channels=0), "channels are missing"),
            (count_vit(cls=0), "short by d"),
            (count_vit(projections=3), "four projections"),
            (count_vit(up_only=True), "only goes up"),
            (count_vit(width=4), "whatever `hidden` says"),
            (count_vit(norms=2), "two norms"),
            (count_vit(norms=0), "short by 4d per block"),
            (count_vit(last=0), "last norm is missing"),
            (count_vit(head=0), "head is missing"),
            (count_vit(layers=1), "one block only"),
        ],
    ),
    "transformers.4": Answers(
        right=[put_back(), by_stacking],
        wrong=[
            (put_back(turn=True), "turned within each patch"),
            (put_back(first="columns"), "column by column"),
            (put_back(swap=False), "did not swap"),
            (put_back(channels_last=False), "channels of a pixel stand together"),
        ],
    ),
    "transformers.1": Answers(
        right=[word_by_word, with_identity],
        wrong=[
            (pre_norm, "pre-norm block"),
            (lambda x, look, w1, w2: norm(think(norm(look @ x), w1, w2)), "Both residuals are missing"),
            (lambda x, look, w1, w2: norm(think(norm(x + look @ x), w1, w2)), "second residual is missing"),
            (last_norm_forgotten, "second norm is missing"),
            (over_words, "normalized over the words"),
            (lambda x, look, w1, w2: with_identity(x, look.T, w1, w2), "`look` transposed"),
            (lambda x, look, w1, w2: norm(norm(x + look @ x) + think(x, w1, w2)), "feed-forward part reads `x`"),
        ],
    ),
}
