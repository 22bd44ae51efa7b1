"""CLIP's loss with hard negatives, SigLIP's loss, and two spaces to be aligned; two blanks of the lesson."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import call
from mmcourse.check.blanks import blank
from mmcourse.check.verdict import CheckFailed
from mmcourse.exercise import Kept, between, context, edit, example, exercise, one_of, part, right, says


# ---------------------------------------------------------------- 2
def contrastive_loss(image, text, hard_text, log_scale):
    """Mean of both directions; hard_text are further wrong answers for the pictures."""
    u = F.normalize(image, dim=-1)  # (b, d)
    v = F.normalize(text, dim=-1)  # (b, d)
    h = F.normalize(hard_text, dim=-1)  # (n, d)
    scale = log_scale.exp()
    candidates = torch.cat([v, h])  # (b + n, d)
    rows = scale * u @ candidates.T  # (b, b + n)
    columns = scale * v @ u.T  # (b, b)
    labels = torch.arange(len(image))
    image_loss = F.cross_entropy(rows, labels)
    text_loss = F.cross_entropy(columns, labels)
    return (image_loss + text_loss) / 2


def use_loss(probe, answer, image, text, hard_text, log_scale):
    """Loss and its gradients."""
    tensors = {"image": image, "text": text, "hard_text": hard_text, "log_scale": np.array(log_scale)}
    tensors = {name: probe.tensor(array).requires_grad_() for name, array in tensors.items()}
    loss = answer(*tensors.values())
    found = {"the loss": probe.output(loss)}
    loss.backward()
    for name, tensor in tensors.items():
        gradient = tensor.grad
        found[f"the gradient of {name}"] = (
            0 * probe.array(tensor.detach()) if gradient is None else probe.array(gradient)
        )
    yield found


def draw_pairs(g, b, n, d, scale):
    image, text = g.normal(size=(b, d)).round(2), 3 * g.normal(size=(b, d)).round(2)
    return image, text, g.normal(size=(n, d)).round(2), float(np.log(scale).round(2))


loss_with_hard = exercise(
    "clip.2",
    contrastive_loss,
    framework="torch",
    use=use_loss,
    title="CLIP's loss with hard negatives",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        says(
            "**Write** `contrastive_loss(image, text, hard_text, log_scale)` in PyTorch. `image` and `text` are (b, d), and "
            "row i belongs to row i; all vectors count by their direction only.",
            mistake="not normalized",
        ),
        says("The scale of the cosines is e to the power of `log_scale`.", mistake="without exp"),
        says("For each picture, its text is the right one among all `b` texts", mistake="one direction only"),
        says(
            "and the rows of `hard_text` (n, d), which belong to no picture.",
            mistake="hard negatives are not used",
        ),
        says(
            "For each text, its picture is the right one among the `b` pictures: hard texts ask nothing.",
            ignored="columns = (scale * u @ candidates.T).T[: len(text)] * 0.5",
        ),
        says("Return the mean of both cross-entropies, each averaged over the batch.", mistake="added them up"),
        example("""
image = text = torch.ones(4, 3)  # all alike: the model knows nothing
print("ln 4 =", torch.log(torch.tensor(4.0)).item())
"""),
    ],
    hints=[
        "Among what does a picture choose, and among what does a text? The two tables have different shapes.",
        "`torch.cat([text, hard_text])` are the candidates of the pictures; labels are still 0, 1, 2, … Texts choose among "
        "pictures only: the table is (b, b).",
    ],
    draw=draw_pairs,
    parts=[
        part("a few pairs", b=between(3, 5), n=2, d=4, scale=1.0),
        part("a larger scale", b=4, n=3, d=between(3, 5), scale=10.0),
        part("more hard texts than pairs", b=3, n=7, d=4, scale=3.0),
        part("no hard texts", b=5, n=0, d=3, scale=5.0),
        part("a batch of one", b=1, n=between(1, 3), d=4, scale=2.0),
    ],
    own={"b": 2, "n": 1, "d": 2, "scale": 1.0},
    own_says="Vectors and a scale of your own",
    mistakes={
        "Your vectors are not normalized: divide each by its length.": edit(
            "F.normalize(image, dim=-1)",
            "image",
            "F.normalize(text, dim=-1)",
            "text",
            "F.normalize(hard_text, dim=-1)",
            "hard_text",
        ),
        "You normalized over the batch, dim=0: a vector is a row.": edit("dim=-1", "dim=0"),
        "The scale is used without exp: `log_scale` is a logarithm.": "scale = log_scale",
        "This is one direction only: texts choose a picture as well.": "return image_loss",
        "The hard negatives are not used.": "candidates = v",
        "You added them up: take the mean of both directions.": "return image_loss + text_loss",
        "You divided by e to the `log_scale`: it is the logarithm of the scale, which is 1 / temperature.": (
            "scale = (-log_scale).exp()"
        ),
        "Each cross-entropy is a sum over the batch: take the mean.": edit(
            "F.cross_entropy(rows, labels)",
            'F.cross_entropy(rows, labels, reduction="sum")',
            "F.cross_entropy(columns, labels)",
            'F.cross_entropy(columns, labels, reduction="sum")',
        ),
        "No gradient reaches the scale: it was detached.": "scale = log_scale.detach().exp()",
    },
    praise="With this loss, NegCLIP was trained.",
)


@right(loss_with_hard)
def by_logsumexp(image, text, hard_text, log_scale):
    u, v, h = (x / x.norm(dim=1, keepdim=True) for x in (image, text, hard_text))
    scale = torch.exp(log_scale)
    right_ones = scale * (u * v).sum(dim=1)
    rows = torch.cat([scale * u @ v.T, scale * u @ h.T], dim=1).logsumexp(dim=1) - right_ones
    columns = (scale * u @ v.T).logsumexp(dim=0) - right_ones
    return 0.5 * (rows + columns).mean()


@right(loss_with_hard)
def by_log_softmax(image, text, hard_text, log_scale):
    everything = F.normalize(torch.cat([text, hard_text]), dim=1)
    logits = F.normalize(image, dim=1) @ everything.T * log_scale.exp()
    b = len(image)
    i = range(b)
    return -(logits.log_softmax(dim=1)[i, i].mean() + logits[:, :b].log_softmax(dim=0)[i, i].mean()) / 2


# ---------------------------------------------------------------- 3
def sigmoid_loss(image, text, log_scale, bias):
    """SigLIP: every pair by itself."""
    u = F.normalize(image, dim=-1)
    v = F.normalize(text, dim=-1)
    logits = log_scale.exp() * u @ v.T + bias  # (b, b)
    sign = 2 * torch.eye(len(image)) - 1
    losses = -F.logsigmoid(sign * logits)
    return losses.sum() / len(image)


def use_sigmoid(probe, answer, image, text, log_scale, bias):
    """Loss and its gradients."""
    tensors = {"image": image, "text": text, "log_scale": np.array(log_scale), "bias": np.array(bias)}
    tensors = {name: probe.tensor(array).requires_grad_() for name, array in tensors.items()}
    loss = answer(*tensors.values())
    found = {"the loss": probe.output(loss)}
    loss.backward()
    for name, tensor in tensors.items():
        gradient = tensor.grad
        found[f"the gradient of {name}"] = (
            0 * probe.array(tensor.detach()) if gradient is None else probe.array(gradient)
        )
    yield found


def draw_sigmoid(g, b, d, scale, bias):
    return g.normal(size=(b, d)).round(2), 2 * g.normal(size=(b, d)).round(2), float(np.log(scale).round(2)), bias


pairs = exercise(
    "clip.3",
    sigmoid_loss,
    framework="torch",
    use=use_sigmoid,
    title="The sigmoid loss",
    points=2,
    difficulty=2,
    minutes=12,
    statement=[
        says(
            "**Write** SigLIP's `sigmoid_loss(image, text, log_scale, bias)`. The logit of picture i and text j is e to the "
            "`log_scale` times their cosine,",
            mistake="not normalized",
        ),
        says("plus `bias`.", mistake="bias is missing"),
        says("On the diagonal the answer is yes, elsewhere no:", mistake="only the right pairs"),
        says("each pair costs −ln σ(±logit), plus for yes, minus for no.", mistake="sign is turned round"),
        says("Add up all pairs and divide by b, the number of pictures.", mistake="number of pairs"),
        context("A logit may be as large as 1,000: the loss must stay finite."),
    ],
    hints=[
        "How can one table hold plus for yes and minus for no? And which function of PyTorch takes the logarithm of a sigmoid "
        "in one go?",
        "`2 * torch.eye(b) - 1` is 1 on the diagonal and −1 elsewhere; `F.logsigmoid` does not overflow.",
    ],
    draw=draw_sigmoid,
    parts=[
        part("a few pairs", b=between(3, 5), d=4, scale=2.0, bias=-1.5),
        part("SigLIP's start", b=4, d=between(3, 5), scale=10.0, bias=-10.0),
        part("a batch of one", b=1, d=3, scale=3.0, bias=0.5),
        part("large logits", b=3, d=4, scale=1000.0, bias=-2.0),
    ],
    own={"b": 2, "d": 2, "scale": 1.0, "bias": -1.0},
    own_says="Vectors, scale and bias of your own",
    mistakes={
        "Your vectors are not normalized: divide each by its length.": edit(
            "F.normalize(image, dim=-1)", "image", "F.normalize(text, dim=-1)", "text"
        ),
        "The bias is missing.": edit(" + bias", ""),
        "You counted only the right pairs: every wrong pair must cost something as well.": (
            "return losses.diagonal().sum() / len(image)"
        ),
        "A sign is turned round: the diagonal is the right answer.": "sign = 1 - 2 * torch.eye(len(image))",
        "You divided by the number of pairs, b². Divide by b.": "return losses.mean()",
        "The scale is used without exp: `log_scale` is a logarithm.": edit("log_scale.exp()", "log_scale"),
        "Your loss is not finite for large logits: use `F.logsigmoid` in place of log and sigmoid.": (
            "losses = -torch.log(torch.sigmoid(sign * logits))"
        ),
    },
    praise="Each pair counts alone: that is why this loss is easily spread over many machines.",
)


@right(pairs)
def by_softplus(image, text, log_scale, bias):
    u, v = F.normalize(image), F.normalize(text)
    logits = torch.exp(log_scale) * (u @ v.T) + bias
    return (F.softplus(logits).sum() - logits.diagonal().sum()) / len(u)


@right(pairs)
def by_library(image, text, log_scale, bias):
    logits = log_scale.exp() * F.cosine_similarity(image[:, None], text[None], dim=-1) + bias
    target = torch.eye(len(image), dtype=logits.dtype)
    return F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(image)


# ---------------------------------------------------------------- 4
def align(image, text, new_image, new_text):
    """Scores (m, m) of new texts (rows) and new images (columns), by two linear maps trained with InfoNCE."""
    image_head = nn.Linear(image.shape[1], 16)
    text_head = nn.Linear(text.shape[1], 16)
    log_scale = torch.tensor(math.log(10.0), requires_grad=True)
    parameters = [*image_head.parameters(), *text_head.parameters(), log_scale]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    labels = torch.arange(len(image))
    for _ in range(300):
        u = F.normalize(image_head(image), dim=-1)  # (n, 16)
        v = F.normalize(text_head(text), dim=-1)  # (n, 16)
        logits = log_scale.exp() * u @ v.T  # (n, n)
        loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    u = F.normalize(image_head(new_image), dim=-1)
    v = F.normalize(text_head(new_text), dim=-1)
    scores = v @ u.T  # (m, m)
    return scores.detach()


def use_align(probe, answer, image, text, new_image, new_text):
    """The scores; which new image belongs to which new text stays with the judge."""
    probe.seed(0)
    yield {"the scores": probe.output(answer(*(probe.tensor(x) for x in (image, text, new_image, new_text))))}


def draw_spaces(g, n, m, width, other_width):
    """Two views of six hidden numbers, each mixed with louder numbers that the other view does not have."""
    hidden = g.normal(size=(n + m, 6))
    views = []
    for d in (width, other_width):
        own = 3 * g.normal(size=(n + m, d - 6))
        mixed = np.concatenate([hidden + 0.1 * g.normal(size=hidden.shape), own], axis=1)
        views.append((mixed @ np.linalg.qr(g.normal(size=(d, d)))[0]).round(3))
    image, text = views
    partner = g.permutation(m)  # new text i belongs to new image partner[i]
    return image[:n], text[:n], image[n:], text[n:][partner], Kept(partner)


LOTTERY = (
    "Your scores are hardly better than a lottery. Is it trained at all? A few hundred steps with all pairs in each are "
    "enough."
)
TOO_FEW = (
    "It finds some pairs, not enough. Does your loss care about *all* numbers of a vector, the loud ones first? Most of "
    "them are in one view only. A contrastive loss keeps what tells pairs apart."
)
LYING = "New texts go down and new images across: you have the transpose."
NO_NUMBERS = "The scores hold NaN or inf: the training diverged. Is the learning rate too large?"
SHAPE = "The scores should have shape"


def judge_align(answer, args):
    """Recall@1 of at least 0.85, from texts to images."""
    partner = args[-1].value
    way = call(answer, *args, seconds=20)[0]
    if "problem" in way:
        raise CheckFailed(way["problem"])
    scores = np.asarray(way["the scores"])
    if scores.shape != (len(partner), len(partner)):
        raise CheckFailed(f"{SHAPE} {(len(partner), len(partner))}, one row per new text; got {scores.shape}.")
    if not np.isfinite(scores).all():
        raise CheckFailed(NO_NUMBERS)
    recall = (scores.argmax(axis=1) == partner).mean()
    if recall >= 0.85 and np.ptp(scores, axis=1).min() > 0:
        return
    found = f"\nRecall@1 {recall:.2f} among {len(partner)}; 0.85 is asked for."
    if (scores.T.argmax(axis=1) == partner).mean() >= 0.85:
        raise CheckFailed(LYING + found)
    raise CheckFailed((LOTTERY if recall < 0.06 else TOO_FEW) + found)


def by_regression(image, text, new_image, new_text):
    """Least squares from images to texts, then cosines."""
    weights = torch.linalg.lstsq(image, text).solution
    return F.normalize(new_text, dim=1) @ F.normalize(new_image @ weights, dim=1).T


challenge = exercise(
    "clip.4",
    align,
    framework="torch",
    use=use_align,
    judge=judge_align,
    title="Challenge: two spaces that nobody aligned",
    points=4,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "Two encoders of strangers have seen the same things. Each vector holds six numbers about the thing, the same "
            "in both, and louder numbers that only this encoder knows; all of it mixed by a rotation. The widths differ, so "
            "there are no cosines between the two. From pairs, learn to find the partner of a *new* vector."
        ),
        says(
            "**Write** `align(image, text, new_image, new_text)`. `image` (n, d) and `text` (n, e) are pairs: row i belongs "
            "to row i. Train whatever you like on them,",
            ignored=edit("range(300)", "range(0)"),
        ),
        says(
            "and return a table of scores (m, m) for `new_image` (m, d) and `new_text` (m, e),",
            ignored="return scores.argmax(dim=1)",
        ),
        says("one row for each new text, one column for each new image,", mistake="you have the transpose"),
        says("the larger, the better they fit.", ignored="return -scores.detach()"),
        context("New images and new texts are in different orders, and you are not told which belongs to which."),
        says(
            "The score to beat is a recall@1 of 0.85 among the m new images.",
            ignored=by_regression,
        ),
        context(
            "Least squares from one space to the other, and then the nearest, reaches about 0.2. You have 20 seconds; a few "
            "hundred steps take less than five."
        ),
    ],
    hints=[
        "Which loss does not care about numbers that are in one view only? And what would be the smallest network that "
        "undoes a rotation?",
        "Two `nn.Linear` into one width, InfoNCE of all pairs at once with a learned scale, Adam with a rate of about 0.02.",
    ],
    draw=draw_spaces,
    parts=[
        part("400 pairs", n=400, m=one_of(80, 100), width=12, other_width=10),
        part("fewer pairs, wider vectors", weight=2, n=250, m=one_of(90, 110), width=14, other_width=11),
    ],
    mistakes={
        LOTTERY: edit("range(300)", "range(0)"),
        TOO_FEW: by_regression,
        LYING: "return scores.T.detach()",
        NO_NUMBERS: edit("lr=0.02", "lr=1e30"),
    },
    praise="This is how a vision encoder and a text encoder that already exist are joined: two small maps and pairs.",
    seconds=20,
)


@right(challenge)
def by_correlation(image, text, new_image, new_text):
    """Canonical correlation analysis: whiten both, then the directions that agree."""

    def whitening(x):
        values, vectors = torch.linalg.eigh(x.T @ x / len(x))
        return vectors / values.sqrt()

    a, b = whitening(image), whitening(text)
    u, _, v = torch.linalg.svd((image @ a).T @ (text @ b))
    images, texts = new_image @ a @ u[:, :6], new_text @ b @ v[:6].T
    return F.normalize(texts, dim=1) @ F.normalize(images, dim=1).T


# ---------------------------------------------------------------- the lesson's blanks
def batches():
    g = torch.Generator().manual_seed(0)
    for b, scale in ((2, 1.0), (5, 10.0)):
        yield torch.randn(b, 4, generator=g), 3 * torch.randn(b, 4, generator=g), torch.tensor(math.log(scale))


def written(image, text, log_scale, *, normalize=True, both=True, exp=True, mean=True):
    u, v = (F.normalize(image, dim=-1), F.normalize(text, dim=-1)) if normalize else (image, text)
    logits = (log_scale.exp() if exp else log_scale) * u @ v.T
    labels = torch.arange(len(logits))
    rows, columns = F.cross_entropy(logits, labels), F.cross_entropy(logits.T, labels)
    return (rows + columns) / (2 if mean else 1) if both else rows


@blank(
    "clip.blank.2",
    title="CLIP's loss",
    inputs=batches,
    mistakes=[
        (lambda *a: written(*a, both=False), "One direction only: texts choose a picture as well."),
        (lambda *a: written(*a, normalize=False), "Divide the vectors by their lengths first."),
        (lambda *a: written(*a, exp=False), "`log_scale` is a logarithm: use its exp."),
        (lambda *a: written(*a, mean=False), "Take the mean of both directions, not their sum."),
    ],
)
def clip_loss(image, text, log_scale):
    u = F.normalize(image, dim=-1)
    v = F.normalize(text, dim=-1)
    logits = log_scale.exp() * u @ v.T  # (b, b)
    labels = torch.arange(len(logits))
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


class TwoMatrices(nn.Module):
    """A model of the blank's check: two linear maps and a scale."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.image, self.text = nn.Linear(4, 3), nn.Embedding(9, 3)
        self.log_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, pixels, ids, padding_mask):
        return self.image(pixels), (self.text(ids) * padding_mask[..., None]).sum(dim=1)


def after_two_steps(step):
    """Losses and weights after two updates."""
    model = TwoMatrices()
    first, *rest = model.parameters()
    optimizers = [torch.optim.SGD([first], lr=0.5), torch.optim.SGD(rest, lr=0.5)]
    g = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(2):
        pixels = torch.randn(5, 4, generator=g)
        ids = torch.randint(0, 9, (5, 3), generator=g)
        losses.append(step(model, optimizers, pixels, ids, torch.ones(5, 3, dtype=torch.bool)))
    return losses, torch.cat([p.detach().flatten() for p in model.parameters()])


def judge_step(answer, reference):
    """The losses are numbers, and the weights move as with the course's step."""
    losses, weights = after_two_steps(answer)
    want, wanted = after_two_steps(reference)
    start = torch.cat([p.detach().flatten() for p in TwoMatrices().parameters()])
    if any(not isinstance(loss, float) for loss in losses):
        raise CheckFailed("Return the loss as a number: `loss.item()`.")
    if torch.equal(weights, start):
        raise CheckFailed("The weights do not change: call `loss.backward()`, and then `step()` of each optimizer.")
    num_first = next(TwoMatrices().parameters()).numel()
    if torch.equal(weights[num_first:], start[num_first:]):
        raise CheckFailed("Only the first optimizer made a step: `optimizers` is a list, go through all of it.")
    if abs(losses[0] - want[0]) > 1e-5:
        raise CheckFailed(f"The first loss is {losses[0]:.4f}, expected {want[0]:.4f}: use `clip_loss`.")
    if not torch.allclose(weights, wanted, atol=1e-5):
        raise CheckFailed(
            "The second step went elsewhere: old gradients are left. Call `zero_grad()` of each optimizer first."
        )


def train_with(model, optimizers, pixels, ids, padding_mask, *, zero=True, step=True, number=True):
    image, text = model(pixels, ids, padding_mask)
    loss = clip_loss(image, text, model.log_scale)
    for optimizer in optimizers if zero else []:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers if step else []:
        optimizer.step()
    return loss.item() if number else loss


def with_one_optimizer(model, optimizers, *batch):
    return train_with(model, optimizers[:1], *batch)


@blank(
    "clip.blank.3",
    title="One training step",
    judge=judge_step,
    mistakes=[
        (lambda *a: train_with(*a, zero=False), "old gradients are left"),
        (lambda *a: train_with(*a, step=False), "The weights do not change"),
        (lambda *a: train_with(*a, number=False), "Return the loss as a number"),
        (with_one_optimizer, "Only the first optimizer"),
    ],
)
def train_step(model, optimizers, pixels, ids, padding_mask):
    image, text = model(pixels, ids, padding_mask)
    loss = clip_loss(image, text, model.log_scale)
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()
    return loss.item()
