"""Word vectors by skip-gram with negative sampling (Mikolov et al. 2013, arXiv 1310.4546), in NumPy."""

from collections.abc import Sequence

import numpy as np

from mmcourse.preprocess.arguments import check_generator, check_integer, check_number
from mmcourse.preprocess.errors import InputError


def skip_gram_pairs(sentences: Sequence[Sequence[int]], window: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Every word with each word at most `window` positions away: centers (n,) and contexts (n,), int64."""
    window = check_integer("window", window)
    pairs = [
        (center, ids[j])
        for ids in sentences
        for i, center in enumerate(ids)
        for j in range(max(0, i - window), min(len(ids), i + window + 1))
        if j != i
    ]
    centers, contexts = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return centers, contexts


def noise_distribution(contexts: np.ndarray, vocab_size: int) -> np.ndarray:
    """Probabilities of the negatives, proportional to count^(3/4), which favors rare words: float64 (vocab_size,)."""
    weights = np.bincount(contexts, minlength=vocab_size) ** 0.75
    return weights / weights.sum()


def loss_and_gradients(v: np.ndarray, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Mean of -log σ(u₀·v) - Σ_k log σ(-u_k·v), and its gradients.

    Parameters
    ----------
    v : (b, d), the center words' vectors
    u : (b, 1 + k, d), the true context's vector, then k negatives'

    Returns
    -------
    loss, gradient to v (b, d), gradient to u (b, 1 + k, d)
    """
    sign = np.where(np.arange(u.shape[1]) == 0, 1, -1)
    score = sign * np.einsum("bd,bkd->bk", v, u)
    loss = np.logaddexp(0, -score).sum(axis=1).mean()
    grad_score = -sign * np.exp(-np.logaddexp(0, score)) / len(v)  # d loss / d (u·v) = -sign · σ(-score) / b
    return float(loss), np.einsum("bk,bkd->bd", grad_score, u), grad_score[..., None] * v[:, None]


def train(
    sentences: Sequence[Sequence[int]],
    vocab_size: int,
    rng: np.random.Generator,
    dim: int = 16,
    window: int = 2,
    num_negatives: int = 5,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float = 0.1,
) -> tuple[np.ndarray, list[float]]:
    """Train both tables by plain gradient descent whose step falls linearly to zero, as in the authors' program.

    Parameters
    ----------
    sentences : lists of word ids below `vocab_size`
    lr : float
        First step for each pair, not for the batch's mean: a word's vector moves by the sum over its pairs. Of a
        small vocabulary a large batch holds the same word many times: make it smaller if the loss grows.

    Returns
    -------
    vectors : float64 (vocab_size, dim), of the words as centers
    losses : list of float, the mean of each epoch; it starts near (1 + num_negatives) ln 2
    """
    rng, lr = check_generator(rng), check_number("lr", lr, above=0)
    vocab_size, dim = check_integer("vocab_size", vocab_size), check_integer("dim", dim)
    num_negatives = check_integer("num_negatives", num_negatives)
    epochs, batch_size = check_integer("epochs", epochs), check_integer("batch_size", batch_size)
    centers, contexts = skip_gram_pairs(sentences, window)
    if not len(centers):
        raise InputError("sentences", "no word has a neighbor", "pass sentences of two words or more")
    if centers.min() < 0 or centers.max() >= vocab_size:
        problem = f"expected ids from 0 to {vocab_size - 1}, got {centers.min()} to {centers.max()}"
        raise InputError("sentences", problem, "pass the size of their vocabulary")
    noise = noise_distribution(contexts, vocab_size)
    V, U = rng.uniform(-0.5 / dim, 0.5 / dim, (vocab_size, dim)), np.zeros((vocab_size, dim))
    losses, n_batches = [], max(len(centers) // batch_size, 1)
    for epoch in range(epochs):
        total = 0.0
        for i, batch in enumerate(np.array_split(rng.permutation(len(centers)), n_batches)):
            step = lr * (1 - (epoch + i / n_batches) / epochs)
            others = rng.choice(vocab_size, (len(batch), num_negatives), p=noise)
            targets = np.concatenate([contexts[batch, None], others], axis=1)  # (b, 1 + k)
            loss, dv, du = loss_and_gradients(V[centers[batch]], U[targets])
            np.add.at(V, centers[batch], -step * len(batch) * dv)
            np.add.at(U, targets, -step * len(batch) * du)
            total += loss * len(batch)
        losses.append(total / len(centers))
    return V, losses


def most_similar(vectors: np.ndarray, query, k: int = 5, exclude: Sequence[int] = ()) -> list[tuple[int, float]]:
    """The `k` rows whose direction is nearest to `query` (a row's number, or a vector): (row, cosine)."""
    if np.ndim(query) == 0:
        query, exclude = vectors[query], [*exclude, int(query)]
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    cosine = vectors @ query / np.where(norms == 0, 1, norms)
    cosine[list(exclude)] = -np.inf
    best = np.argsort(-cosine, kind="stable")[: min(k, len(vectors) - len(set(exclude)))]
    return [(int(i), float(cosine[i])) for i in best]


def analogy(vectors: np.ndarray, a: int, b: int, c: int, k: int = 1) -> list[tuple[int, float]]:
    """`a` is to `b` as `c` is to …: the rows nearest to b - a + c, other than these three."""
    return most_similar(vectors, vectors[b] - vectors[a] + vectors[c], k, exclude=(a, b, c))
