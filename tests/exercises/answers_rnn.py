"""Known right and wrong answers to the exercises of lesson rnn, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- rnn.1
def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def number_by_number(x, h, c, W, U, b):
    rows, d = c.shape
    new_h, new_c = [[0.0] * d for _ in range(rows)], [[0.0] * d for _ in range(rows)]
    for s in range(rows):
        for j in range(d):
            i, f, g, o = (
                sum(x[s, k] * W[k, j + q * d] for k in range(x.shape[1]))
                + sum(h[s, k] * U[k, j + q * d] for k in range(d))
                + b[j + q * d]
                for q in range(4)
            )
            new_c[s][j] = float(c[s, j] / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i)))
            new_h[s][j] = float(np.tanh(new_c[s][j]) / (1 + np.exp(-o)))
    return new_h, new_c


def by_slices(x, h, c, W, U, b):
    d = c.shape[1]
    sums = np.hstack([x, h]) @ np.vstack([W, U]) + b
    gate = 0.5 * (1 + np.tanh(sums / 2))
    new = gate[:, d : 2 * d] * c + gate[:, :d] * np.tanh(sums[:, 2 * d : 3 * d])
    return gate[:, 3 * d :] * np.tanh(new), new


def step(order="ifgo", candidate=np.tanh, gate=sigmoid, shown=lambda c, new: np.tanh(new), sums=None):
    def lstm_step(x, h, c, W, U, b):
        s = x @ W + h @ U + b if sums is None else sums(x, h, c, W, U, b)
        part = dict(zip(order, np.split(s, 4, axis=1), strict=True))
        new = gate(part["f"]) * c + gate(part["i"]) * candidate(part["g"])
        return gate(part["o"]) * shown(c, new), new

    return lstm_step


# ---------------------------------------------------------------- rnn.2
def by_index(weight_ih, weight_hh, bias_ih, bias_hh):
    d = len(bias_ih) // 3
    places = [*range(d, 2 * d), *range(d), *range(2 * d, 3 * d)]
    kernel = [[weight_ih[row, k] for row in places] for k in range(weight_ih.shape[1])]
    recurrent = [[weight_hh[row, k] for row in places] for k in range(d)]
    return kernel, recurrent, [[bias[row] for row in places] for bias in (bias_ih, bias_hh)]


def rolled(weight_ih, weight_hh, bias_ih, bias_hh):
    def gates(a):
        a = a.reshape(3, -1, a.shape[-1])[[1, 0, 2]]
        return a.reshape(-1, a.shape[-1]).T

    return gates(weight_ih), gates(weight_hh), gates(np.stack([bias_ih, bias_hh], axis=1))


def carry(kernel="zrn", recurrent="zrn", bias="zrn", rows=lambda b, c: np.stack([b, c])):
    def put(a, order):
        part = dict(zip("rzn", np.split(a, 3, axis=-1), strict=True))
        return np.concatenate([part[gate] for gate in order], axis=-1)

    return lambda w, u, b, c: (put(w.T, kernel), put(u.T, recurrent), put(rows(b, c), bias))


def everywhere(order):
    return carry(order, order, order)


def untransposed(w, u, b, c):
    kernel, recurrent, bias = rolled(w, u, b, c)
    return kernel.T, recurrent.T, bias


def reshaped(w, u, b, c):
    kernel, recurrent, bias = rolled(w, u, b, c)
    return kernel.T.reshape(kernel.shape), recurrent.T.reshape(recurrent.shape), bias


# ---------------------------------------------------------------- rnn.3
def by_jacobians(U, h, dlast):
    back, lengths = np.eye(len(U)), [float(np.sqrt(dlast @ dlast))]
    for k in range(len(h) - 1, 0, -1):
        back = back @ np.diag(1 - h[k] ** 2) @ U.T
        lengths.append(float(np.linalg.norm(dlast @ back)))
    rate = float(np.exp((np.log(lengths[-1]) - np.log(lengths[0])) / (len(lengths) - 1)))
    log_left = 100 * np.log10(rate)
    return lengths, rate, "vanishes" if log_left < -2 else "explodes" if log_left > 2 else "holds"


def with_loops(U, h, dlast):
    d, gradient = len(U), list(dlast)
    norms = [sum(v * v for v in gradient) ** 0.5]
    for state in reversed(h[1:]):
        gradient = [sum(U[i, j] * gradient[j] * (1 - state[j] ** 2) for j in range(d)) for i in range(d)]
        norms.append(sum(v * v for v in gradient) ** 0.5)
    rate = np.prod([b / a for a, b in zip(norms, norms[1:], strict=False)]) ** (1 / (len(norms) - 1))
    if rate > 100**0.01:
        return np.array(norms), rate, "explodes"
    return np.array(norms), rate, "vanishes" if rate < 0.01**0.01 else "holds"


def back(one):
    """The right judgment of lengths that come from another step back."""

    def judge(U, h, dlast):
        gradient, norms = dlast, [np.linalg.norm(dlast)]
        for k in range(len(h) - 1, 0, -1):
            gradient = one(U, h, k, gradient)
            norms.append(np.linalg.norm(gradient))
        return judged(np.array(norms))

    return judge


def judged(norms, rate=None):
    rate = (norms[-1] / norms[0]) ** (1 / (len(norms) - 1)) if rate is None else rate
    return norms, rate, "vanishes" if rate**100 < 0.01 else "explodes" if rate**100 > 100 else "holds"


def but(**parts):
    """The right answer with parts replaced, each by a function of (U, h, norms, rate)."""

    def judge(U, h, dlast):
        norms, rate, verdict = with_loops(U, h, dlast)
        right = {"norms": norms, "rate": rate, "verdict": verdict}
        return tuple(parts[name](U, h, norms, rate) if name in parts else value for name, value in right.items())

    return judge


def rated(rate):
    """A verdict that follows another rate."""
    return lambda U, h, dlast: judged(with_loops(U, h, dlast)[0], rate(with_loops(U, h, dlast)[0], U))


ANSWERS = {
    "rnn.1": Answers(
        right=[number_by_number, by_slices, step()],
        wrong=[
            (step("figo"), "i and f for each other"),
            (step("ifog"), "g and o for each other"),
            (step("igfo"), "f and g for each other"),
            (step(candidate=sigmoid), "may be negative"),
            (step(candidate=lambda g: g), "not squeezed"),
            (step(gate=np.tanh), "gates pass through tanh"),
            (step(gate=lambda s: s), "raw sums"),
            (step(shown=lambda c, new: np.tanh(c)), "shows the old cell"),
            (step(shown=lambda c, new: new), "shows c itself"),
            (step(sums=lambda x, h, c, W, U, b: x @ W + b), "do not see the old h"),
            (step(sums=lambda x, h, c, W, U, b: x @ W + h @ U), "left out the bias"),
            (step(sums=lambda x, h, c, W, U, b: x @ W + c @ U + b), "look at the cell"),
            (lambda *args: by_slices(*args)[::-1], "wrong order"),
            (lambda *args: by_slices(*args)[0], "should be 2 values"),
        ],
    ),
    "rnn.2": Answers(
        right=[by_index, rolled],
        wrong=[
            (everywhere("rzn"), "still stand as r, z, n"),
            (carry(bias="rzn"), "The biases have gates too"),
            (carry(recurrent="rzn"), "not the recurrent kernel's"),
            (carry(kernel="rzn", recurrent="rzn"), "not those of the two kernels"),
            (carry(recurrent="rzn", bias="rzn"), "the kernel alone"),
            (everywhere("nzr"), "reversed the gates"),
            (everywhere("rnz"), "swapped z and n"),
            (everywhere("znr"), "moved r to the end"),
            (everywhere("nrz"), "moved n to the front"),
            (carry(rows=lambda b, c: np.stack([c, b])), "upside down"),
            (carry(rows=lambda b, c: b + c), "In an LSTM that is right"),
            (carry(rows=lambda b, c: np.stack([b + c, np.zeros_like(b)])), "into the first row"),
            (untransposed, "Is it transposed?"),
            (reshaped, "You used `reshape`"),
        ],
    ),
    "rnn.3": Answers(
        right=[by_jacobians, with_loops],
        wrong=[
            (back(lambda U, h, k, g: (g * (1 - h[k] ** 2)) @ U), "You multiplied by U"),
            (back(lambda U, h, k, g: g @ U.T), "left out the slope"),
            (back(lambda U, h, k, g: (g * (1 - h[k - 1] ** 2)) @ U.T), "at the earlier state"),
            (back(lambda U, h, k, g: (g * (1 - np.tanh(h[k]) ** 2)) @ U.T), "after the tanh already"),
            (back(lambda U, h, k, g: (g * (1 - h[k])) @ U.T), "Your slope is 1 − h. "),
            (back(lambda U, h, k, g: (g * h[k] * (1 - h[k])) @ U.T), "slope of the sigmoid"),
            (back(lambda U, h, k, g: (g @ U.T) * (1 - h[k] ** 2)), "First the slope"),
            (lambda U, h, dlast: with_loops(U, h[::-1], dlast), "wrong direction"),
            (but(norms=lambda U, h, n, r: n[::-1]), "last state first"),
            (but(norms=lambda U, h, n, r: n**2), "squared lengths"),
            (but(norms=lambda U, h, n, r: n / n[0]), "shares of the first one"),
            (rated(lambda n, U: (n[-1] / n[0]) ** (1 / len(n))), "t-th root"),
            (rated(lambda n, U: (n[0] / n[-1]) ** (1 / (len(n) - 1))), "`rate` is upside down"),
            (rated(lambda n, U: np.mean(n[1:] / n[:-1])), "geometric mean"),
            (rated(lambda n, U: n[-1] / n[0]), "all steps together"),
            (rated(lambda n, U: np.abs(np.linalg.eigvals(U)).max()), "spectral radius"),
            (
                but(verdict=lambda U, h, n, r: "vanishes" if r < 1 else "explodes" if r > 1 else "holds"),
                "below or above 1",
            ),
            (
                but(verdict=lambda U, h, n, r: judged(n, (n[-1] / n[0]) ** 0.01)[2]),
                "looks at this sequence",
            ),
            (but(verdict=lambda U, h, n, r: "vanishes" if r**100 < 0.01 else "holds"), "never say that it explodes"),
            (lambda U, h, dlast: with_loops(U, h, dlast)[:2], "should be 3 values"),
        ],
    ),
}
