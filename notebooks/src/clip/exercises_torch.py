"""CLIP's loss with hard negatives, SigLIP's loss; two blanks of the lesson."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, edit, example, exercise, part, right, says
from mmcourse.exercise.verdict import CheckFailed


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
