"""Known right and wrong answers to the exercises of lesson attention, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- attention.1
def with_loops(q, k, v, W_q, W_k, w):
    n, m = len(q), len(k)
    weights = [[0.0] * m for _ in range(n)]
    output = [[0.0] * v.shape[1] for _ in range(n)]
    for i in range(n):
        scores = []
        for j in range(m):
            both = [sum(q[i] * W_q[:, c]) + sum(k[j] * W_k[:, c]) for c in range(len(w))]
            scores.append(sum(a * np.tanh(b) for a, b in zip(w, both, strict=True)))
        top = max(scores)
        total = sum(np.exp(s - top) for s in scores)
        for j in range(m):
            weights[i][j] = float(np.exp(scores[j] - top) / total)
            for c in range(v.shape[1]):
                output[i][c] += weights[i][j] * v[j, c]
    return output, weights


def by_einsum(q, k, v, W_q, W_k, w):
    scores = np.einsum("nmh,h->nm", np.tanh((q @ W_q)[:, None] + k @ W_k), w)
    weights = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    return np.einsum("nm,md->nd", weights, v), weights


def attend(join=lambda a, b: np.tanh(a[:, None] + b), read=lambda h, k, w: h @ w, axis=1, stable=True):
    def answer(q, k, v, W_q, W_k, w):
        scores = read(join(q @ W_q, k @ W_k), k, w)
        e = np.exp(scores - scores.max(axis=axis, keepdims=True) if stable else scores)
        weights = e / e.sum(axis=axis, keepdims=True)
        return weights @ v, weights

    return answer


def scores_only(q, k, v, W_q, W_k, w):
    scores = np.tanh((q @ W_q)[:, None] + k @ W_k) @ w
    return scores @ v, scores


# ---------------------------------------------------------------- attention.2
def row_by_row(scores, padding_mask, causal):
    b, n, _ = scores.shape
    weights = np.zeros((b, n, n))
    for s in range(b):
        for i in range(n):
            open_to = [j for j in range(n) if padding_mask[s, j] and (j <= i or not causal)]
            if open_to:
                e = np.exp(scores[s, i, open_to])
                weights[s, i, open_to] = e / e.sum()
    return weights


def by_infinity(scores, padding_mask, causal):
    blocked = np.zeros(scores.shape, bool) | ~padding_mask[:, None, :]
    if causal:
        blocked |= np.triu(np.ones(scores.shape[1:], bool), k=1)
    e = np.exp(np.where(blocked, -np.inf, scores))
    return np.nan_to_num(e / e.sum(axis=-1, keepdims=True))


def keep(padding_mask, causal):
    n = padding_mask.shape[1]
    allowed = np.repeat(padding_mask[:, None, :], n, axis=1)
    return allowed & np.tri(n, dtype=bool) if causal else allowed


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def looks_forward(scores, padding_mask, causal):
    allowed = keep(padding_mask, False)
    e = np.exp(scores) * (allowed & np.triu(np.ones(scores.shape[1:], bool)) if causal else allowed)
    return np.nan_to_num(e / e.sum(axis=-1, keepdims=True))


def not_itself(scores, padding_mask, causal):
    allowed = keep(padding_mask, False)
    e = np.exp(scores) * (allowed & np.tri(scores.shape[1], k=-1, dtype=bool) if causal else allowed)
    return np.nan_to_num(e / e.sum(axis=-1, keepdims=True))


def rows_not_columns(scores, padding_mask, causal):
    allowed = np.repeat(padding_mask[:, :, None], scores.shape[1], axis=2)
    e = np.exp(scores) * (allowed & np.tri(scores.shape[1], dtype=bool) if causal else allowed)
    return np.nan_to_num(e / e.sum(axis=-1, keepdims=True))


def zeroed(scores, padding_mask, causal):
    return softmax(scores) * keep(padding_mask, causal)


def not_a_number(scores, padding_mask, causal):
    e = np.exp(scores) * keep(padding_mask, causal)
    return e / e.sum(axis=-1, keepdims=True)


# ---------------------------------------------------------------- attention.3
def one_by_one(weights, values, readout):
    contributions = [
        float(w * sum(a * b for a, b in zip(v, readout, strict=True))) for w, v in zip(weights, values, strict=True)
    ]
    order = range(len(contributions))
    return contributions, max(order, key=lambda j: weights[j]), max(order, key=lambda j: abs(contributions[j]))


def by_removal(weights, values, readout):
    logit = readout @ (weights @ values)
    left = np.array([readout @ (np.delete(weights, j) @ np.delete(values, j, axis=0)) for j in range(len(weights))])
    change = logit - left
    return change, np.argsort(-weights)[0], np.argmax(change**2)


def but(**parts):
    """The right answer with parts replaced, each by a function of (weights, values, readout)."""

    def answer(*args):
        right = dict(zip(("contributions", "most_attended", "strongest"), one_by_one(*args), strict=True))
        return tuple(parts[name](*args) if name in parts else value for name, value in right.items())

    return answer


def with_the_logit(w, v, u):
    contributions = w * (v @ u)
    return int(max(range(len(w)), key=lambda j: contributions[j] * np.sign(u @ (w @ v))))


ANSWERS = {
    "attention.1": Answers(
        right=[with_loops, by_einsum, attend()],
        wrong=[
            (attend(axis=0), "softmax over the wrong axis"),
            (attend(join=lambda a, b: a[:, None] + b), "The tanh is missing"),
            (attend(join=lambda a, b: np.tanh(a)[:, None] + np.tanh(b)), "tanh of each part"),
            (attend(read=lambda h, k, w: h.sum(-1)), "leave out `w`"),
            (attend(read=lambda h, k, w: h @ w / len(w) ** 0.5), "not divided"),
            (attend(stable=False), "overflows"),
            (lambda *args: attend()(*args)[::-1], "wrong order"),
            (scores_only, "softmax is missing"),
            (lambda *args: attend()(*args)[0], "should be 2 values"),
        ],
    ),
    "attention.2": Answers(
        right=[row_by_row, by_infinity],
        wrong=[
            (lambda s, p, c: softmax(s), "plain softmax"),
            (lambda s, p, c: row_by_row(s, ~p, c), "upside down"),
            (rows_not_columns, "You masked rows"),
            (lambda s, p, c: softmax(s) * keep(p, c), "after the softmax"),
            (lambda s, p, c: softmax(np.where(keep(p, c), s, 0)), "e to the 0 is 1"),
            (looks_forward, "the other triangle"),
            (not_itself, "the diagonal belongs"),
            (lambda s, p, c: row_by_row(s, p, False), "`causal` has no effect"),
            (lambda s, p, c: row_by_row(s, p, True), "even where `causal` is False"),
            (lambda s, p, c: row_by_row(s, np.ones_like(p), c), "padding mask has no effect"),
            (not_a_number, "became NaN"),
            (lambda s, p, c: softmax(np.where(keep(p, c), s, -1e9)), "spreads over everything"),
            (lambda s, p, c: np.nan_to_num(zeroed(s, p, c) / zeroed(s, p, c).sum(-1, keepdims=True)), "already pushed"),
        ],
    ),
    "attention.3": Answers(
        right=[one_by_one, by_removal],
        wrong=[
            (
                but(contributions=lambda w, v, u: v @ u, strongest=lambda w, v, u: int(np.abs(v @ u).argmax())),
                "leave out the weights",
            ),
            (but(strongest=lambda w, v, u: int((w * (v @ u)).argmax())), "largest contribution upwards"),
            (but(strongest=lambda w, v, u: int(w.argmax())), "most attended word"),
            (but(strongest=lambda w, v, u: int((w * np.linalg.norm(v, axis=1)).argmax())), "by the values' size"),
            (but(contributions=lambda w, v, u: np.abs(w * (v @ u))), "lost their sign"),
            (
                but(contributions=lambda w, v, u: w * (v @ u) / (w * (v @ u)).sum()),
                "divided the contributions by their sum",
            ),
            (but(most_attended=lambda w, v, u: int(np.abs(w * (v @ u)).argmax())), "index of the largest weight"),
            (lambda w, v, u: w * (v @ u), "should be 3 values"),
            (but(strongest=with_the_logit), "sign only, that of the logit"),
        ],
    ),
}
