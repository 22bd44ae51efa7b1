"""Answers that the first edition's checks accepted, or could not name: each is refused by its own name, or accepted."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest

from mmcourse.check import judge


# ---------------------------------------------------------------- sentiment
def vote_by_multiplying(p, modality_mask, prior):
    there = modality_mask.T[:, :, None]
    q = (p * there + (1 - there)).prod(0) / prior ** (there.sum(0) - 1.0)
    return q / q.sum(1, keepdims=True)


def choose_by_place(models, there):
    subsets = [s for k in range(4) for s in combinations(range(3), k)]
    chances = list(there.values())

    def value(name):
        weights = [np.prod([chances[m] if m in s else 1 - chances[m] for m in range(3)]) for s in subsets]
        return np.dot(weights, list(models[name].values()))

    return max(models, key=value)


def choose_between_two(models, there):
    def value(accuracy):
        return sum(np.prod([p if m in s else 1 - p for m, p in there.items()]) * a for s, a in accuracy.items())

    first, second = list(models)[:2]
    return first if value(models[first]) > value(models[second]) else second


# ---------------------------------------------------------------- multimodal_data
def pictures_by_seconds(n, hop, sample_rate, fps, pictures):
    return np.minimum((np.arange(n) * hop / sample_rate * fps).astype(int), pictures - 1)


def pictures_rounded(n, hop, sample_rate, fps, pictures):
    return np.minimum(np.round(np.arange(n) * hop / sample_rate * fps).astype(int), pictures - 1)


def split_by_set(groups, share, seed):
    names = list(set(groups.tolist()))
    order = np.random.default_rng(seed).permutation(len(names))
    chosen = {names[k] for k in order[: max(1, round(share * len(names)))]}
    return np.array([name in chosen for name in groups.tolist()])


# ---------------------------------------------------------------- tune, evaluate
def reports_validation(validation, test):
    k = validation.mean(1).argmax()
    return k, validation[k].mean(), validation[k].mean() - test[k].mean()


def f1_without_hits(labels, predictions, n_classes):
    """Guards classes that are never called or never true, but not those without a hit."""
    f1 = []
    for k in range(n_classes):
        called, true, hits = (predictions == k).sum(), (labels == k).sum(), ((labels == k) & (predictions == k)).sum()
        p, r = (hits / called, hits / true) if called and true else (0.5, 0)
        f1.append(2 * p * r / (p + r))
    return np.mean(f1)


# ---------------------------------------------------------------- train_pytorch
def clip_by_plain_numbers(gradients, largest):
    length = float(np.sqrt(sum((g**2).sum() for g in gradients)))
    return [g * min(1.0, largest / length) for g in gradients]


def diagnose_at_the_line(loss, val_loss, classes):
    ignorant = np.log(classes)
    if not np.isfinite(loss + val_loss).all():
        return "diverged"
    if abs(loss[0] - ignorant) > 0.5:
        return "bad start"
    if loss[-1] > 0.95 * ignorant:
        return "learned nothing"
    return "overfits" if val_loss[-1] >= 1.1 * min(val_loss) else "healthy"


# ---------------------------------------------------------------- attention
def attend_with(exponentials):
    def answer(q, k, v, W_q, W_k, w):
        e = exponentials(np.tanh((q @ W_q)[:, None] + k @ W_k) @ w)
        weights = e / e.sum(axis=1, keepdims=True)
        return weights @ v, weights

    return answer


one_maximum = attend_with(lambda scores: np.exp(scores - scores.max()))
clipped = attend_with(lambda scores: np.exp(np.minimum(scores, 700)))
clipped_at_50 = attend_with(lambda scores: np.exp(np.clip(scores, -50, 50)))


# ---------------------------------------------------------------- text, bert, transformers
def words_stay_removed(sentences, labels, stop_words):
    found, current = [], [s.split() for s in sentences]
    for word in stop_words:
        short = [[w for w in s if w != word] for s in current]
        for i, j in combinations(range(len(short)), 2):
            if short[i] == short[j] and labels[i] != labels[j] and current[i] != current[j]:
                found.append(word)
        current = short
    return sorted(set(found))


def fixed_vocabulary(first_loss, vocab_size, accuracy, counting):
    gain = accuracy - counting.max()
    return ("leak" if first_loss < np.log(668) - 0.5 else "reads" if gain > 0 else "counts"), gain


def base_ten(first_loss, vocab_size, accuracy, counting):
    gain = accuracy - counting.max()
    return ("leak" if first_loss < np.log10(vocab_size) - 0.5 else "reads" if gain > 0 else "counts"), gain


def block_without_epsilon(x, look, w1, w2):
    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)

    h = norm(x + look @ x)
    return norm(h + np.maximum(0, h @ w1) @ w2)


# ---------------------------------------------------------------- images
def mirrored_with(caption_of):
    def mirror_scene(picture, boxes, caption):
        width = picture.shape[1]
        turned = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
        return picture[:, ::-1], turned, caption_of(caption)

    return mirror_scene


one_side_only = mirrored_with(
    lambda text: text.replace("left", "right") if "left" in text else text.replace("right", "left")
)
longer_only = mirrored_with(
    lambda text: " ".join({"left": "right"}.get(word, word) for word in text.split()) if len(text) > 50 else text
)


# ---------------------------------------------------------------- audio
def power_rounded(whole):
    def choose(rate, hz_apart, ms_apart):
        n_fft = 2 ** int(whole(np.log2(2 * rate / hz_apart)))
        return n_fft if 1000 * n_fft / rate <= ms_apart else 0

    return choose


def silence_is_infinite(spectrum, bank):
    level = 10 * np.log10(np.abs(spectrum) ** 2 @ bank.T)
    return np.maximum(level, level.max() - 80)


# ---------------------------------------------------------------- cnn
def gradient_verdict(factor=None, equal=None):
    """A right verdict with another ratio, or another measure of equal."""

    def relative(a, nudged):
        return np.abs(a - nudged).max() / np.abs(nudged).max()

    def verdict(ours, nudged):
        ratio = (ours * nudged).sum() / (ours**2).sum() if ours.any() else 0
        ratio = factor(ours, nudged) if factor else ratio
        for word, a in (("right", ours), ("flipped", ours[::-1, ::-1]), ("scaled", ratio * ours)):
            if equal(a, nudged) if equal else relative(a, nudged) <= 1e-6:
                return relative(ours, nudged), word
        return relative(ours, nudged), "wrong"

    return verdict


def squared_error(ours, nudged):
    return ((ours - nudged) ** 2).max() / (nudged**2).max(), gradient_verdict()(ours, nudged)[1]


# ---------------------------------------------------------------- found by others, from the notebooks alone
def convolve_in(dtype_of):
    """True convolution with the dtype of one of its inputs."""

    def convolve(x, k):
        (h, w), (kh, kw) = x.shape, k.shape
        y = np.zeros((h - kh + 1, w - kw + 1), dtype=dtype_of(x, k).dtype)
        for i, j in np.ndindex(*y.shape):
            y[i, j] = (x[i : i + kh, j : j + kw] * k[::-1, ::-1]).sum()
        return y

    return convolve


def four_bins(labels, probabilities, bins):
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    number = np.ceil(4 * confidence).astype(int)
    return np.abs(np.bincount(number, correct - confidence)).sum() / len(labels)


def pictures_in_32_bits(n, hop, sample_rate, fps, pictures):
    moments = np.arange(n).astype(np.int32) * hop * fps
    return np.minimum(moments // sample_rate, pictures - 1)


def stopping_with_min_delta(losses, patience, min_delta=0.01):
    best, lowest, waited = 0, losses[0], 0
    for epoch in range(1, len(losses)):
        if lowest - losses[epoch] > min_delta:
            best, lowest, waited = epoch, losses[epoch], 0
        else:
            waited += 1
        if waited == patience:
            return best, epoch + 1
    return best, len(losses)


def clip_with_an_epsilon(gradients, largest):
    length = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, largest / (length + 1e-6)) for g in gradients]


def chosen_by_both(validation, test):
    k = (validation + test).mean(axis=1).argmax()
    return k, test[k].mean(), validation[k].mean() - test[k].mean()


def mid_p(labels, a, b):
    n_a, n_b = int(((a == labels) & (b != labels)).sum()), int(((b == labels) & (a != labels)).sum())
    n, m = n_a + n_b, min(n_a, n_b)
    p = min(1.0, (2 * sum(comb(n, k) for k in range(m + 1)) - comb(n, m)) / 2**n)
    return n_a, n_b, p, "not shown" if p >= 0.05 else "A" if n_a > n_b else "B"


def by_fft(x, k):
    full = np.fft.ifft2(np.fft.fft2(x) * np.fft.fft2(k, s=x.shape)).real
    return full[: x.shape[0] - k.shape[0] + 1, : x.shape[1] - k.shape[1] + 1]


def folds_once(hz, rate):
    hz = hz - rate if hz > rate else hz
    return rate - hz if hz > rate / 2 else hz


# ---------------------------------------------------------------- train_keras
def reshaped(w_input, w_hidden, b_input, b_hidden):
    def reorder(weight):
        return weight.reshape(3, -1)[[1, 0, 2]].reshape(weight.shape[::-1])

    return reorder(w_input), reorder(w_hidden), np.array([reorder(b_input), reorder(b_hidden)])


def always_stopped(val_losses, patience):
    best = 0
    for epoch, loss in enumerate(val_losses):
        if loss < val_losses[best]:
            best = epoch
        elif epoch - best == patience:
            break
    return best + patience + 1, best


WRONG = [
    ("cnn.1", convolve_in(lambda x, k: k), "Your numbers lost their fractions"),
    ("cnn.1", convolve_in(lambda x, k: x), "Your numbers lost their fractions"),
    ("cnn.1", by_fft, "so does an FFT"),
    ("evaluate.2", four_bins, "You always cut into the same number of bins"),
    ("evaluate.3", mid_p, "the mid-p value"),
    ("multimodal_data.2", pictures_in_32_bits, "Your whole numbers overflow"),
    ("neural_networks.2", stopping_with_min_delta, "no minimum difference"),
    ("train_keras.3", lambda *run: stopping_with_min_delta(*run)[::-1], "by however little"),
    ("train_pytorch.2", clip_with_an_epsilon, "a small number to the length"),
    ("tune.1", chosen_by_both, "You let the test set take part"),
    ("audio.1", folds_once, "You took the rate away only once"),
    ("train_keras.2", reshaped, "did not transpose them"),
    ("train_keras.3", always_stopped, "Not every run is stopped"),
    (
        "cnn.3",
        gradient_verdict(equal=lambda a, n: np.allclose(a, n, 1e-6, 0)),
        "You compare each difference with its own",
    ),
    ("cnn.3", gradient_verdict(factor=lambda ours, n: np.mean(n / ours)), "the mean or median of all ratios"),
    ("cnn.3", squared_error, "Your error compares squares"),
    ("audio.3", power_rounded(np.floor), "You took the power of two below"),  # was taken for one bin
    ("audio.3", power_rounded(np.round), "You rounded to the nearest power of two"),  # so was this
    ("audio.2", silence_is_infinite, "You lift nothing"),
    ("images.3", one_side_only, "A caption may hold both words"),
    ("images.3", lambda picture, boxes, caption: (picture, boxes, caption), "Nothing is mirrored"),
    ("images.3", longer_only, "The result (caption)"),  # on the first scene as if the caption had stayed
    ("attention.1", one_maximum, "one maximum for the whole table"),
    ("attention.1", clipped, "You clipped the scores"),
    ("attention.1", clipped_at_50, "You clipped the scores"),
    ("sentiment.3", vote_by_multiplying, "NaN times 0 is NaN"),
    ("sentiment.4", choose_by_place, ""),
    ("sentiment.4", choose_between_two, "You compared the first two models only"),
    ("multimodal_data.2", pictures_by_seconds, "You went by seconds"),
    ("multimodal_data.2", pictures_rounded, "You rounded to the nearest picture"),
    ("multimodal_data.4", split_by_set, "the order of a `set`"),
    ("tune.1", reports_validation, "You report the validation accuracy"),
    ("text.2", words_stay_removed, "Your words stay removed"),
    ("bert.2", fixed_vocabulary, "668 tokens of the example"),
    ("bert.2", base_ten, "to base 10"),
    ("transformers.1", block_without_epsilon, "The 1e-12 under the root is missing"),
    ("train_pytorch.2", clip_by_plain_numbers, "ZeroDivisionError"),
    ("train_pytorch.3", diagnose_at_the_line, "at exactly 1.1 times"),
    ("evaluate.1", f1_without_hits, "a class without a hit"),
]


@pytest.mark.parametrize(("id", "answer", "fragment"), WRONG, ids=lambda x: getattr(x, "__name__", str(x)))
def test_a_hole_is_closed(id, answer, fragment):
    result = judge(id, answer)
    assert result.status == "wrong" and fragment in result.message, result.message
