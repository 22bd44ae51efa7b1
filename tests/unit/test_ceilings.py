"""Information and accuracies against cases whose answer is known."""

import numpy as np
import pytest
from scipy.optimize import linprog

from mmcourse import ceilings as info


def table(rows, p=None):
    """Joint table from outcomes (y, x1, x2), equally likely by default."""
    joint = np.zeros([max(c) + 1 for c in zip(*rows, strict=True)])
    for i, row in enumerate(rows):
        joint[row] += 1 / len(rows) if p is None else p[i]
    return joint


BITS = [(a, b) for a in (0, 1) for b in (0, 1)]
KNOWN = {
    "xor": (table([(a ^ b, a, b) for a, b in BITS]), (0, 0, 0, 1)),
    "copy": (table([(a, a, a) for a in (0, 1)]), (1, 0, 0, 0)),
    "only the first": (table([(a, a, b) for a, b in BITS]), (0, 1, 0, 0)),
    "one bit each": (table([(2 * a + b, a, b) for a, b in BITS]), (0, 1, 1, 0)),
    # Bertschinger et al. 2014, table 1: for AND, nothing is unique.
    "and": (table([(a & b, a, b) for a, b in BITS]), (0.311, 0, 0, 0.5)),
}


def random_joint(seed, shape=(3, 4, 3)):
    return np.random.default_rng(seed).dirichlet(np.full(np.prod(shape), 0.3)).reshape(shape)


@pytest.mark.parametrize("name", KNOWN)
def test_decomposition_of_known_cases(name):
    joint, expected = KNOWN[name]
    np.testing.assert_allclose(list(info.decompose(joint).values()), expected, atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_parts_add_up_and_are_not_negative(seed):
    joint = random_joint(seed)
    parts = info.decompose(joint)
    assert min(parts.values()) > -1e-6
    assert sum(parts.values()) == pytest.approx(info.mutual_information(joint), abs=1e-9)
    first = info.mutual_information(info.marginal(joint, [0]))
    assert parts["redundancy"] + parts["unique1"] == pytest.approx(first, abs=1e-9)
    swapped = info.decompose(joint.swapaxes(1, 2))
    assert swapped["synergy"] == pytest.approx(parts["synergy"], abs=1e-6)


@pytest.mark.parametrize("seed", range(9))
def test_no_table_with_the_same_pairs_has_less_information(seed):
    """A general optimizer, from several starts, finds nothing below the proven minimum, and comes near it."""
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 4, 3))
    joint = rng.dirichlet(np.full(np.prod(shape), rng.choice([0.3, 1, 5]))).reshape(shape)
    if seed % 3 == 0:
        joint[rng.random(shape) < 0.3] = 0
        joint /= joint.sum()
    least = info._least_information(joint)
    kept = _marginals(shape).astype(float)
    first, second = joint.sum(axis=2), joint.sum(axis=1)
    start = np.einsum("ya,yb->yab", first, second / np.maximum(first.sum(axis=1), 1e-300)[:, None])
    found = [info.mutual_information(start / start.sum()), info.mutual_information(joint)]
    for _ in range(300):  # steps towards corners of the set of tables, by the tangent's linear program
        slope = np.log2(np.maximum(start, 1e-15) / np.maximum(start.sum(axis=0), 1e-15)).ravel()
        corner = linprog(slope, A_eq=kept, b_eq=kept @ joint.ravel(), bounds=(0, None)).x.reshape(shape)
        sizes = np.linspace(0, 1, 101)
        values = [info.mutual_information(_whole(start + s * (corner - start))) for s in sizes]
        start = start + sizes[int(np.argmin(values))] * (corner - start)
        found.append(min(values))
        if len(found) > 12 and found[-10] - found[-1] < 1e-7:
            break
    assert min(found) > least - 1e-6
    assert min(found) < least + 5e-3


def _whole(table):
    table = np.maximum(table, 0)
    return table / table.sum()


def _marginals(shape):
    """Rows that add up a flat table to p(y, x1) and to p(y, x2)."""
    cells = np.indices(shape).reshape(3, -1)
    codes = [cells[0] * shape[k] + cells[k] for k in (1, 2)]
    return np.vstack([np.arange(shape[0] * shape[k])[:, None] == code for k, code in zip((1, 2), codes, strict=True)])


def test_mutual_information_of_known_cases():
    assert info.mutual_information(KNOWN["xor"][0]) == pytest.approx(1)
    assert info.mutual_information(info.marginal(KNOWN["xor"][0], [0])) == pytest.approx(0, abs=1e-12)
    assert info.mutual_information(np.full((2, 3), 1 / 6)) == pytest.approx(0, abs=1e-12)


def test_accuracies_of_xor():
    xor = KNOWN["xor"][0]
    assert info.bayes_accuracy(xor) == pytest.approx(1)
    assert info.bayes_accuracy(info.marginal(xor, [0])) == pytest.approx(0.5)
    assert info.additive_accuracy(xor) == pytest.approx(0.75)  # three of four corners can be separated by a line
    assert info.loglinear_accuracy(xor) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(5))
def test_additive_accuracy_against_every_rule(seed):
    """All rules that one threshold on a sum can make of two bits are tried."""
    joint = random_joint(seed, (2, 2, 2))
    rules = [r for r in np.ndindex(2, 2, 2, 2) if r not in ((0, 1, 1, 0), (1, 0, 0, 1))]
    best = max(sum(joint[y, *x] for y, x in zip(r, BITS, strict=True)) for r in rules)
    assert info.additive_accuracy(joint) == pytest.approx(best)


def test_additive_is_enough_for_independent_cues():
    rng = np.random.default_rng(0)
    y, a, b = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4), 3), rng.dirichlet(np.ones(3), 3)
    joint = np.einsum("y,ya,yb->yab", y, a, b)
    best = info.bayes_accuracy(joint)
    assert info.additive_accuracy(joint) == pytest.approx(best)
    assert info.loglinear_accuracy(joint) == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("bad", [np.ones(3) / 3, np.ones((2, 2)), np.array([[1.5, -0.5]]), np.full((2, 2), np.nan)])
def test_what_is_no_joint_table_is_refused(bad):
    with pytest.raises(ValueError, match="joint"):
        info.bayes_accuracy(bad)


def test_decomposition_takes_two_sources():
    with pytest.raises(ValueError, match="2 axes of sources"):
        info.decompose(np.full((2, 2, 2, 2), 1 / 16))
