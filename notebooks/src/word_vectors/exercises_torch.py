"""fastText's loss as a PyTorch module, and the check of the lesson's skip-gram."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, drawn_weights, exercise, in_turn, part, right, says
from mmcourse.exercise.verdict import CheckFailed


# ---------------------------------------------------------------- 3
class SubwordSkipGram(nn.Module):
    """Pieces of the center (b, p), their mask, targets (b, 1 + K) → mean loss of negative sampling."""

    def __init__(self, num_pieces, num_words, width):
        super().__init__()
        self.pieces = nn.Embedding(num_pieces, width)
        self.contexts = nn.Embedding(num_words, width)

    def forward(self, piece_ids, padding_mask, targets):
        vectors = self.pieces(piece_ids)  # (b, p, width)
        real = vectors * padding_mask[:, :, None]  # padding adds nothing
        v = real.sum(dim=1)  # (b, width)
        u = self.contexts(targets)  # (b, 1 + K, width)
        scores = torch.einsum("bd,bkd->bk", v, u)  # (b, 1 + K)
        losses = -F.logsigmoid(-scores[:, 1:])  # (b, K)
        is_true = targets[:, 1:] == targets[:, :1]  # a negative that happens to be the true word
        negatives = losses.masked_fill(is_true, 0).sum(dim=1)  # (b,)
        positive = -F.logsigmoid(scores[:, 0])  # (b,)
        return (positive + negatives).mean()


def use_subwords(probe, answer, num_pieces, num_words, width, piece_ids, padding_mask, targets, weights):
    """Loss and gradients with copied tables."""
    model = answer(num_pieces, num_words, width)
    for parameters in probe.load_ways(model, weights):
        loss = model(probe.tensor(piece_ids), probe.tensor(padding_mask), probe.tensor(targets))
        yield {"the loss": probe.output(loss), **probe.gradients(loss, parameters)}


def draw_words(g, b, p, k, width, padding="", repeated=False):
    """Padding holds any id; with `repeated`, some negatives are the true word."""
    num_pieces, num_words = int(g.integers(8, 11)), int(g.integers(5, 8))
    piece_ids = g.integers(0, num_pieces, (b, p))
    lengths = g.integers(1, p, (b, 1)) if padding else np.full((b, 1), p)
    padding_mask = np.arange(p) < lengths  # (b, p)
    if padding == "left":
        padding_mask = padding_mask[:, ::-1].copy()
    true = g.integers(0, num_words, (b, 1))
    others = (true + g.integers(1, num_words, (b, k))) % num_words  # never the true word
    if repeated:
        others[: max(1, b // 2), 0] = true[: max(1, b // 2), 0]
    shapes = {"pieces.weight": (num_pieces, width), "contexts.weight": (num_words, width)}
    targets = np.concatenate([true, others], axis=1)
    return num_pieces, num_words, width, piece_ids, padding_mask, targets, drawn_weights(g, shapes)


class InAList(nn.Module):
    """Tables in a plain list, which the module does not see."""

    def __init__(self, num_pieces, num_words, width):
        super().__init__()
        self.tables = [nn.Embedding(num_pieces, width), nn.Embedding(num_words, width)]


subwords = exercise(
    "word_vectors.3",
    SubwordSkipGram,
    framework="torch",
    use=use_subwords,
    title="Vectors for words never seen, in PyTorch",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "Skip-gram has no vector for a word that was not in its text. fastText has: it learns vectors of *pieces* of words, "
            "and adds them up. A new word is made of known pieces."
        ),
        says(
            "**Write** the class `SubwordSkipGram(num_pieces, num_words, width)`, an `nn.Module` with two tables of vectors of "
            "that width, whose names are yours: `num_pieces` for the pieces of center words, and `num_words` for whole context "
            "words.",
            mistake="Tables in a plain list",
        ),
        says(
            "`forward(piece_ids, padding_mask, targets)` takes the pieces of each center word (b, p), a mask (b, p), and context "
            "words (b, 1 + K), the true one first; it returns one number, the mean of the loss over the batch.",
            mistake="sum over the batch",
        ),
        says("The vector of a center word is the **sum** of its pieces' vectors.", mistake="took their mean"),
        says(
            "`padding_mask` is True where a piece is **real**; padding may hold any id and adds nothing.",
            mistake="no effect",
        ),
        context(r"The loss of a word is that of the lesson, $-\ln\sigma(u_0\cdot v) - \sum_k \ln\sigma(-u_k\cdot v)$,"),
        says("where the first target is real", mistake="taken for a negative"),
        says("and all others are made up and are **added up**.", mistake="mean over the negatives"),
        says(
            "Negatives are drawn blindly, so one may happen to be the true word: such a negative is left out.",
            mistake="happens to be the true word",
        ),
        says(
            "Large scores must not give infinity or NaN.", ignored="positive = -torch.log(torch.sigmoid(scores[:, 0]))"
        ),
        context("The check copies weights into your tables and compares loss and gradients."),
    ],
    hints=[
        "Four steps: look up, sum without padding, scores, loss. Where do you compare targets with one another?",
        "`vectors * padding_mask[:, :, None]` before the sum. `targets[:, 1:] == targets[:, :1]` is True where a negative is the "
        "true word; fill its loss with 0. `F.logsigmoid` is safe.",
    ],
    draw=draw_words,
    parts=[
        part("whole words", b=2, p=1, k=2, width=between(2, 4)),
        part("several pieces", b=3, p=between(2, 4), k=between(1, 4), width=3),
        part("padding", weight=2, b=3, p=4, k=3, width=3, padding=in_turn("right", "left")),
        part("a negative that is the true word", b=4, p=2, k=2, width=3, repeated=True),
        part("a batch of one", b=1, p=3, k=between(1, 3), width=2, padding="right"),
        part("large scores", draw=lambda g: large(draw_words(g, 3, 2, 3, 3))),
    ],
    mistakes={
        "Tables in a plain list are hidden from the module, their parameters too: make them attributes.": InAList,
        "You took the largest number over the pieces. A word's vector is the sum of its pieces.": (
            "v = real.max(dim=1).values"
        ),
        "This is the sum over the batch: take the mean.": "return (positive + negatives).sum()",
        "You took their mean: a word's vector is the *sum* of its pieces' vectors.": (
            "v = real.sum(dim=1) / padding_mask.sum(dim=1, keepdim=True)"
        ),
        "The mask has no effect: padding adds its vectors.": "real = vectors",
        "Your mask is upside down: True is real.": "real = vectors * ~padding_mask[:, :, None]",
        "You took ids of 0 for padding. Only the mask says what is padding.": "real = vectors * (piece_ids != 0)[:, :, None]",
        "The real pair is taken for a negative: its score has no minus.": "positive = -F.logsigmoid(-scores[:, 0])",
        "The negatives are taken for real pairs: their scores need a minus.": "losses = -F.logsigmoid(scores[:, 1:])",
        "This is the mean over the negatives: add them up.": "negatives = losses.masked_fill(is_true, 0).mean(dim=1)",
        "A negative that happens to be the true word must be left out of the loss.": "negatives = losses.sum(dim=1)",
        "You left out all negatives of a word as soon as one of them is the true word. Leave out only that one.": (
            "negatives = losses.sum(dim=1) * ~is_true.any(dim=1)"
        ),
        "Without `F.logsigmoid` a large score gives infinity: the sigmoid becomes 0, and its logarithm is −∞.": [
            "positive = -torch.log(torch.sigmoid(scores[:, 0]))",
            "losses = -torch.log(1 - torch.sigmoid(scores[:, 1:]))",
        ],
        "The negatives are missing from the loss.": "return positive.mean()",
        "The sign is wrong: the loss is positive.": "return -(positive + negatives).mean()",
    },
    praise="With bags of letters as pieces, this is fastText.",
)


def large(drawn):
    """The same with tables forty times as large."""
    *given, weights = drawn
    return (*given, {name: 40 * table for name, table in weights.items()})


@right(subwords)
class ByCrossEntropy(nn.Module):
    """Binary cross-entropy with a weight per target; EmbeddingBag sums the pieces; other names and another order."""

    def __init__(self, num_pieces, num_words, width):
        super().__init__()
        self.out = nn.Embedding(num_words, width)
        self.bag = nn.EmbeddingBag(num_pieces, width, mode="sum")

    def forward(self, piece_ids, padding_mask, targets):
        v = self.bag(piece_ids, per_sample_weights=padding_mask.to(self.bag.weight.dtype))
        scores = (self.out(targets) @ v[:, :, None])[:, :, 0]
        labels = torch.zeros_like(scores)
        labels[:, 0] = 1
        kept = torch.ones_like(scores)
        kept[:, 1:] = (targets[:, 1:] != targets[:, :1]).to(scores.dtype)
        return F.binary_cross_entropy_with_logits(scores, labels, kept, reduction="sum") / len(scores)


# ---------------------------------------------------------------- the lesson's blank
class LessonSkipGram(nn.Module):
    """The lesson's class: centers (b,), targets (b, 1 + K) → mean loss."""

    def __init__(self, num_words, width):
        super().__init__()
        self.center = nn.Embedding(num_words, width)
        self.context = nn.Embedding(num_words, width)
        nn.init.uniform_(self.center.weight, -0.5 / width, 0.5 / width)
        nn.init.zeros_(self.context.weight)

    def forward(self, centers, targets):
        v = self.center(centers)  # (b, d)
        u = self.context(targets)  # (b, 1 + K, d)
        return self.loss_of(torch.einsum("bd,bkd->bk", v, u))

    def loss_of(self, scores):
        return -(F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).sum(dim=1)).mean()


class NegativesAsReal(LessonSkipGram):
    def loss_of(self, scores):
        return -F.logsigmoid(scores).sum(dim=1).mean()


class MeanOfNegatives(LessonSkipGram):
    def loss_of(self, scores):
        return -(F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).mean(dim=1)).mean()


class SumOfBatch(LessonSkipGram):
    def loss_of(self, scores):
        return len(scores) * super().loss_of(scores)


class WrongSign(LessonSkipGram):
    def loss_of(self, scores):
        return -super().loss_of(scores)


class PerSample(LessonSkipGram):
    def loss_of(self, scores):
        return -(F.logsigmoid(scores[:, 0]) + F.logsigmoid(-scores[:, 1:]).sum(dim=1))


class NoLogarithm(LessonSkipGram):
    def loss_of(self, scores):
        return -(scores[:, 0].sigmoid() + (-scores[:, 1:]).sigmoid().sum(dim=1)).mean()


class BySoftmax(LessonSkipGram):
    def loss_of(self, scores):
        return F.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))


class Unsafe(LessonSkipGram):
    def loss_of(self, scores):
        return -(scores[:, 0].sigmoid().log() + (1 - scores[:, 1:].sigmoid()).log().sum(dim=1)).mean()


NAMED = (
    (NegativesAsReal, "The negatives are treated as real pairs: take minus their scores."),
    (MeanOfNegatives, "You took the mean over the negatives: add them up along `dim=1`."),
    (SumOfBatch, "This is the sum over the batch: take the mean."),
    (WrongSign, "The sign is wrong: the loss is minus the sum of logarithms."),
    (NoLogarithm, "The logarithm is missing: use `F.logsigmoid`."),
    (BySoftmax, "That is the softmax over the targets. Here each target is a question of its own."),
)


def judge_skip_gram(answer, reference):
    """Same parameters; same loss and gradients with copied tables."""
    if not (isinstance(answer, type) and issubclass(answer, nn.Module)):
        raise CheckFailed("Expected a class that inherits from `nn.Module`.")
    torch.manual_seed(0)
    wanted, made = reference(6, 3), answer(6, 3)
    nn.init.normal_(wanted.context.weight)
    nn.init.normal_(wanted.center.weight)
    names = {name: tuple(value.shape) for name, value in wanted.named_parameters()}
    have = {name: tuple(value.shape) for name, value in made.named_parameters()}
    if have != names:
        raise CheckFailed(f"Its parameters are {have}; expected {names}. Leave `__init__` as it is.")
    made.load_state_dict(wanted.state_dict())
    for b, k in ((4, 2), (1, 3), (3, 1)):
        centers, targets = torch.randint(6, (b,)), torch.randint(6, (b, 1 + k))
        _compare(made, wanted, centers, targets)
    with torch.no_grad():
        for model in (made, wanted):
            model.center.weight *= 200
    if not torch.isfinite(made(centers, targets)):
        raise CheckFailed("Large scores give infinity: use `F.logsigmoid` in place of a logarithm of a sigmoid.")


def _compare(made, wanted, centers, targets):
    """The loss, with the usual mistakes named, and then the gradients."""
    loss, right_loss = made(centers, targets), wanted(centers, targets)
    if not torch.is_tensor(loss):
        raise CheckFailed(f"`forward` returned {type(loss).__name__}; expected a tensor with one number, the loss.")
    if loss.shape != ():
        raise CheckFailed(
            f"The loss has the shape {tuple(loss.shape)}; expected one number: take the mean of the batch."
        )
    if not torch.allclose(loss, right_loss, atol=1e-5):
        for kind, message in NAMED:
            other = kind(6, 3)
            other.load_state_dict(wanted.state_dict())
            if torch.allclose(loss, other(centers, targets), atol=1e-5):
                raise CheckFailed(message)
        raise CheckFailed(f"The loss is {loss.item():.4f}; expected {right_loss.item():.4f}.")
    for model in (made, wanted):
        model.zero_grad()
    if not loss.requires_grad:
        raise CheckFailed("The loss is right, but no gradient flows through it. Is something detached?")
    loss.backward()
    right_loss.backward()
    for name, parameter in wanted.named_parameters():
        gradient = dict(made.named_parameters())[name].grad
        if gradient is None or not torch.allclose(gradient, parameter.grad, atol=1e-5):
            raise CheckFailed(f"The loss is right, but the gradient of `{name}` is not. Is something detached?")


@blank(
    "word_vectors.blank.4",
    title="Skip-gram in PyTorch",
    value=True,
    judge=judge_skip_gram,
    mistakes=[(lambda kind=kind: kind, message) for kind, message in NAMED]
    + [(lambda: PerSample, "take the mean of the batch"), (lambda: Unsafe, "Large scores give infinity")],
)
def skip_gram():
    return LessonSkipGram
