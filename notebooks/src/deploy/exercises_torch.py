"""The exercises of lesson deploy in PyTorch: label shift from predictions alone, and the maximum mean discrepancy."""

import numpy as np
import torch
from torch.nn import functional as F

from mmcourse.exercise import between, context, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
def correct_prior(old_logits, old_labels, new_logits):
    """Weights q(y) / p(y) of a label shift (k,), and the corrected probabilities of the new samples (n, k)."""
    k = old_logits.shape[1]
    predicted = F.one_hot(old_logits.argmax(dim=1), k).to(old_logits.dtype)
    truth = F.one_hot(old_labels, k).to(old_logits.dtype)
    confusion = predicted.T @ truth / len(old_labels)
    shares = F.one_hot(new_logits.argmax(dim=1), k).to(old_logits.dtype).mean(dim=0)
    solved = torch.linalg.solve(confusion, shares)
    weights = solved.clamp(min=0)
    scaled = new_logits.softmax(dim=1) * weights
    corrected = scaled / scaled.sum(dim=1, keepdim=True)
    return weights, corrected


def use_shift(probe, answer, old_logits, old_labels, new_logits):
    """Weights and probabilities."""
    labels = probe.torch.as_tensor(np.array(old_labels), dtype=probe.torch.int64)
    weights, corrected = answer(probe.tensor(old_logits), labels, probe.tensor(new_logits))
    yield {"the weights": probe.output(weights), "the corrected probabilities": probe.output(corrected)}


def draw_shift(g, n, k, prior, sure):
    """Logits that are right for most samples; a new prior."""
    labels = np.concatenate([np.arange(k).repeat(3), g.integers(k, size=n - 3 * k)])
    shares = {"more": np.arange(1.0, k + 1), "less": np.arange(k, 0.0, -1), "none": (np.arange(k) < k - 1) * 1.0}[prior]
    new = g.choice(k, size=n, p=shares / shares.sum())

    def logits(y):
        made = g.normal(size=(len(y), k)).round(2)
        made[np.arange(len(y)), y] += sure
        return made.astype(np.float32)

    return logits(labels), labels, logits(new)


shift = exercise(
    "deploy.4",
    correct_prior,
    framework="torch",
    use=use_shift,
    title="Label shift, from predictions alone",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "`old_logits` (m, k) and `old_labels` (m,) are labeled samples from before; `new_logits` (n, k) come from today, "
            "without labels. Only the shares of the classes have changed, not what each class looks like."
        ),
        context("**Write** `correct_prior(old_logits, old_labels, new_logits)`, the way of Lipton et al. 2018."),
        says("A prediction is the class with the largest logit.", mistake="largest logit"),
        says(
            "The confusion matrix C has the shares of (predicted i, true j) in row i and column j,",
            mistake="turned round",
        ),
        says("of *all* old samples: it sums to 1.", mistake="sums to 1"),
        says("Solve C w = q̂, q̂ the shares of the predicted classes today.", mistake="today"),
        says("Weights below 0 become 0.", mistake="below 0"),
        says("Multiply the new probabilities (softmax) by the weights,", mistake="not corrected"),
        says("and divide each row by its sum.", mistake="sum to 1 in each row"),
        says("Return the weights (k,) and the corrected probabilities (n, k).", ignored="return corrected, weights"),
        example("""
C = torch.tensor([[0.4, 0.1], [0.1, 0.4]])  # predicted × true
print(torch.linalg.solve(C, torch.tensor([0.65, 0.35])), "is how many times as frequent each class is today")
"""),
    ],
    hints=[
        "`F.one_hot(classes, k)` has one row for each sample; `a.T @ b / m` of two of them is the confusion matrix.",
        "`torch.linalg.solve(confusion, shares).clamp(min=0)`, then `softmax · weights`, then normalize the rows.",
    ],
    draw=draw_shift,
    parts=[
        part("three classes", weight=2, n=between(60, 80), k=3, prior="more", sure=2.0),
        part("two classes", n=between(40, 60), k=2, prior="less", sure=1.5),
        part("a class has disappeared", n=between(70, 90), k=between(3, 4), prior="none", sure=2.5),
    ],
    own={"n": 6, "k": 2, "prior": "more", "sure": 2.0},
    own_says="Samples of your own",
    mistakes={
        "Predictions are the class with the largest logit, not probabilities.": (
            "predicted = old_logits.softmax(dim=1)"
        ),
        "Your confusion matrix is turned round: rows are predictions, columns the truth.": (
            "confusion = truth.T @ predicted / len(old_labels)"
        ),
        "Your confusion matrix sums to 1 only in parts: its entries are shares of all old samples.": [
            "confusion = predicted.T @ truth / truth.sum(dim=0)",
            "confusion = predicted.T @ truth / predicted.sum(dim=0)[:, None]",
        ],
        "q̂ are shares of the classes predicted today: their sum is 1.": [
            "shares = new_logits.softmax(dim=1).mean(dim=0)",
            "shares = F.one_hot(new_logits.argmax(dim=1), k).to(old_logits.dtype).sum(dim=0)",
        ],
        "A weight is below 0: no class is less frequent than never.": "weights = solved",
        "The probabilities are not corrected: multiply them by the weights, before you normalize.": [
            "scaled = new_logits.softmax(dim=1)",
            "scaled = new_logits.softmax(dim=1) / (weights + 0.01)",
        ],
        "Probabilities sum to 1 in each row.": "corrected = scaled",
        "The weights belong to probabilities, not to logits.": "scaled = (new_logits * weights).softmax(dim=1)",
    },
    praise="No label of today was needed, because only the prior has changed. You cannot see from predictions whether that is so.",
)


@right(shift)
def by_counting(old_logits, old_labels, new_logits):
    k, guesses = old_logits.shape[1], old_logits.argmax(1)
    pairs = torch.bincount(guesses * k + old_labels, minlength=k * k).reshape(k, k).to(old_logits) / len(guesses)
    today = torch.bincount(new_logits.argmax(1), minlength=k).to(old_logits) / len(new_logits)
    weights = torch.relu(torch.linalg.inv(pairs) @ today)
    return weights, F.normalize(new_logits.softmax(1) * weights, p=1, dim=1)


# ---------------------------------------------------------------- 5
def mmd_squared(x, y, width):
    """Unbiased squared maximum mean discrepancy with a Gaussian kernel: x (n, d), y (m, d) → a number with gradient."""
    n, m = len(x), len(y)

    def kernel(a, b):
        squared = (a[:, None] - b[None]).square().sum(dim=-1)
        return torch.exp(-squared / (2 * width**2))

    within_x = (kernel(x, x).sum() - n) / (n * (n - 1))
    within_y = (kernel(y, y).sum() - m) / (m * (m - 1))
    between_ = kernel(x, y).mean()
    return within_x + within_y - 2 * between_


def use_mmd(probe, answer, x, y, width):
    """The value and its gradient."""
    given = probe.tensor(x).requires_grad_()
    value = answer(given, probe.tensor(y), float(width))
    yield {"the value": probe.output(value)}
    (gradient,) = probe.torch.autograd.grad(value, given, allow_unused=True)
    found = probe.torch.zeros_like(given) if gradient is None else gradient
    yield {"its gradient": probe.output(found)}


def draw_samples(g, n, m, d, width, apart):
    """Two samples."""
    x = g.normal(size=(n, d)).round(2).astype(np.float32)
    y = (g.normal(size=(m, d)) + apart).round(2).astype(np.float32)
    return x, y, width


mmd = exercise(
    "deploy.5",
    mmd_squared,
    framework="torch",
    use=use_mmd,
    title="Maximum mean discrepancy",
    points=3,
    difficulty=2,
    minutes=25,
    statement=[
        context(
            "Two samples, `x` (n, d) and `y` (m, d): are they from one distribution? With the kernel "
            r"$k(a, b) = \exp(-\lVert a - b \rVert^2 / 2\,width^2)$,"
        ),
        context(
            r"$$\mathrm{MMD}^2 = \frac{\sum_{i \ne j} k(x_i, x_j)}{n(n-1)} + \frac{\sum_{i \ne j} k(y_i, y_j)}{m(m-1)} - "
            r"\frac{2}{nm}\sum_{i,j} k(x_i, y_j).$$"
        ),
        says("**Write** `mmd_squared(x, y, width)`. The kernel has the *squared* distance,", mistake="The kernel has"),
        says("and 2 · width² below it.", mistake="2 · width²"),
        says("A sample and itself are no pair: leave the diagonal out,", mistake="still in it"),
        says("so divide by n(n − 1) pairs.", mistake="as many pairs"),
        says("Between the samples all n · m pairs count, twice.", mistake="twice"),
        says("The value may be below 0, and keeps its gradient.", mistake="below 0"),
        example("""
x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0]])
print((x[:, None] - y[None]).square().sum(dim=-1), "squared distances (2, 1)")
"""),
    ],
    hints=[
        "`(a[:, None] - b[None]).square().sum(dim=-1)` has all squared distances.",
        "The diagonal of k(x, x) is all ones: its sum is n.",
    ],
    draw=draw_samples,
    parts=[
        part("different samples", weight=2, n=between(5, 8), m=between(9, 12), d=3, width=1.5, apart=1.0),
        part("one distribution", n=9, m=between(6, 8), d=between(1, 2), width=0.5, apart=0.0),
        part("two against two", n=2, m=2, d=2, width=between(2, 3), apart=0.5),
    ],
    own={"n": 2, "m": 2, "d": 1, "width": 2, "apart": 1.0},
    own_says="Samples of your own",
    mistakes={
        "The kernel has the squared distance, not the distance.": edit(
            ".square().sum(dim=-1)", ".square().sum(dim=-1).clamp(min=1e-12).sqrt()"
        ),
        "Below the squared distance stands 2 · width².": [
            edit("(2 * width**2)", "(2 * width)"),
            edit("(2 * width**2)", "width**2"),
        ],
        "The diagonal is still in it: a sample and itself are no pair.": [
            edit(
                "within_x = (kernel(x, x).sum() - n) / (n * (n - 1))\n    within_y = (kernel(y, y).sum() - m) / (m * (m - 1))",
                "within_x = kernel(x, x).mean()\n    within_y = kernel(y, y).mean()",
            ),
        ],
        "Without the diagonal there are n(n − 1) pairs: divide by as many pairs as you add.": [
            edit(
                "within_x = (kernel(x, x).sum() - n) / (n * (n - 1))\n    within_y = (kernel(y, y).sum() - m) / (m * (m - 1))",
                "within_x = (kernel(x, x).sum() - n) / (n * n)\n    within_y = (kernel(y, y).sum() - m) / (m * m)",
            ),
        ],
        "The pairs between the samples count twice.": edit("within_y - 2 * between_", "within_y - between_"),
        "The value may be below 0: do not cut it off, and take no root.": edit(
            "return within_x + within_y - 2 * between_", "return (within_x + within_y - 2 * between_).clamp(min=0)"
        ),
    },
    praise="As a loss it pulls two distributions together; as a monitor it sees more than one feature at a time.",
)


@right(mmd)
def by_cdist(x, y, width):
    def mean(a, b, own):
        k = torch.exp(
            -(a @ a.T).diag()[:, None] / (2 * width**2) - (b @ b.T).diag() / (2 * width**2) + a @ b.T / width**2
        )
        return (k * (1 - torch.eye(len(a)))).sum() / (len(a) * (len(a) - 1)) if own else k.mean()

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
