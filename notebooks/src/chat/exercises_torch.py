"""The exercises of lesson chat in PyTorch: the masked loss of instruction tuning, DPO with a frozen reference."""

import numpy as np
import torch
from torch.nn import functional as F

from mmcourse.exercise import between, context, drawn_weights, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 4
def sft_loss(logits, ids, trained):
    """Mean of −log p over the trained pieces of the batch; position t predicts piece t + 1."""
    predicted = logits[:, :-1]
    following = ids[:, 1:]
    counts = trained[:, 1:]
    nats = F.cross_entropy(predicted.flatten(0, 1), following.flatten(), reduction="none")
    total = nats[counts.flatten()].sum()
    return total / counts.sum().clamp(min=1)


def mean_of_means(logits, ids, trained):
    """The answer with one mistake."""
    rows = [sft_loss(z[None], i[None], t[None]) for z, i, t in zip(logits, ids, trained, strict=True)]
    return torch.stack(rows).mean()


def use_sft(probe, answer, logits, ids, trained):
    """The loss and the gradient of the logits."""
    logits = probe.tensor(logits).requires_grad_()
    loss = answer(logits, probe.tensor(ids), probe.tensor(trained))
    found = {"the loss": probe.output(loss)}
    (loss + 0 * logits.sum()).backward()
    found["the gradient of the logits"] = probe.array(logits.grad)
    yield found


def draw_dialogues(g, b, n, size, kind):
    """Logits, ids, and which pieces are trained."""
    ids = g.integers(0, size, (b, n))
    trained = np.zeros((b, n), bool)
    for row in range(b):
        start = int(g.integers(1, n - 2))
        trained[row, start : start + 1 + row % 3] = True
    if kind == "to the end":
        trained[:, -1] = True
    if kind == "none":
        trained[:] = False
    if kind == "one has none":
        trained[0] = False
    logits = (2 * g.normal(size=(b, n, size))).round(2).astype(np.float32)
    return logits, ids, trained


sft = exercise(
    "chat.4",
    sft_loss,
    framework="torch",
    use=use_sft,
    title="The loss of instruction tuning",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A batch of dialogues: `ids` (b, n), int64; `trained` (b, n), True where a piece is to be learned (exercise 1 "
            "makes it); `logits` (b, n, v), what the model says. Every dialogue begins with `<bos>`, which nobody predicts."
        ),
        context("**Write** `sft_loss(logits, ids, trained)`."),
        says("Position t predicts the piece at t + 1: shift once,", mistake="no shift"),
        says("the mask along with the pieces.", mistake="mask"),
        says("Only trained pieces count.", mistake="Only trained"),
        says("The loss is their mean over the *whole batch*: each piece counts alike,", mistake="each piece counts"),
        says("not each dialogue.", mistake="each piece counts"),
        says("Without any trained piece it is 0, not NaN.", mistake="NaN"),
        example("""
logits = torch.zeros(1, 3, 4)
print("a model that knows nothing of 4 pieces has the loss ln 4 =", round(float(torch.tensor(4.0).log()), 4))
"""),
    ],
    hints=[
        "`logits[:, :-1]` and `ids[:, 1:]` belong together. Which part of `trained` belongs to `ids[:, 1:]`?",
        '`F.cross_entropy(…, reduction="none")` gives one number per piece; sum where it counts, and divide by how many '
        "these are (`clamp(min=1)`).",
    ],
    draw=draw_dialogues,
    parts=[
        part("several dialogues", weight=2, b=between(3, 4), n=between(6, 8), size=5, kind="usual"),
        part("trained to the end", b=2, n=6, size=between(4, 6), kind="to the end"),
        part("one dialogue", b=1, n=5, size=4, kind="usual"),
        part("one of them has nothing to learn", b=3, n=6, size=4, kind="one has none"),
        part("nothing to learn at all", b=2, n=5, size=3, kind="none"),
    ],
    own={"b": 1, "n": 5, "size": 3, "kind": "usual"},
    own_says="A batch of your own",
    mistakes={
        "There is no shift: position t predicts the piece at t + 1.": (
            lambda logits, ids, trained: masked_mean(logits, ids, trained)
        ),
        "You shift twice: once is enough.": (
            lambda logits, ids, trained: masked_mean(logits[:, :-2], ids[:, 2:], trained[:, 2:])
        ),
        "You shift the wrong way: what comes *after* is predicted.": (
            lambda logits, ids, trained: masked_mean(logits[:, 1:], ids[:, :-1], trained[:, :-1])
        ),
        "The mask is not shifted along with the pieces.": "counts = trained[:, :-1]",
        "Only trained pieces count: yours counts all.": "counts = torch.ones_like(following, dtype=torch.bool)",
        "You divide by all pieces: by the trained ones only.": "return total / counts.numel()",
        "This is the sum: the mean is wanted.": "return total",
        "In the mean each piece counts alike; you took the mean of each dialogue's mean.": mean_of_means,
        "Without a trained piece yours is NaN.": "return total / counts.sum()",
    },
    praise="One number too many in a mask, and a model learns to speak for its user.",
)


def masked_mean(predicted, following, counts):
    """Mean over what counts, of what belongs together."""
    nats = F.cross_entropy(predicted.flatten(0, 1), following.flatten(), reduction="none")
    return nats[counts.flatten()].sum() / counts.sum().clamp(min=1)


@right(sft)
def with_ignored_labels(logits, ids, trained):
    labels = torch.where(trained, ids, -100)[:, 1:]
    loss = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels, ignore_index=-100, reduction="sum")
    return loss / max(1, int((labels != -100).sum()))


# ---------------------------------------------------------------- 5
def dpo_pair_loss(policy, reference, chosen, rejected, chosen_mask, rejected_mask, beta):
    """DPO of a batch of pairs; the reference is frozen, without dropout."""

    def log_p(model, ids, mask):
        log_probs = model(ids)[:, :-1].log_softmax(dim=-1)
        of_next = log_probs.gather(2, ids[:, 1:, None])[..., 0]
        return (of_next * mask[:, 1:]).sum(dim=1)

    reference.eval()
    with torch.no_grad():
        base = log_p(reference, chosen, chosen_mask) - log_p(reference, rejected, rejected_mask)
    margin = log_p(policy, chosen, chosen_mask) - log_p(policy, rejected, rejected_mask)
    return -F.logsigmoid(beta * (margin - base)).mean()


def use_dpo(probe, answer, weights, base, chosen, rejected, chosen_mask, rejected_mask, beta):
    """The loss, the policy's gradients, and whether the reference has any."""
    nn_ = probe.torch.nn
    size, dim = weights["embedding"].shape
    policy = nn_.Sequential(nn_.Embedding(size, dim), nn_.Linear(dim, size))
    reference = nn_.Sequential(nn_.Embedding(size, dim), nn_.Dropout(0.5), nn_.Linear(dim, size))
    with probe.torch.no_grad():
        for model, values in ((policy, weights), (reference, base)):
            model[0].weight.copy_(probe.tensor(values["embedding"]))
            model[-1].weight.copy_(probe.tensor(values["weight"]))
            model[-1].bias.copy_(probe.tensor(values["bias"]))
    probe.seed(0)
    pieces = [probe.tensor(value) for value in (chosen, rejected, chosen_mask, rejected_mask)]
    loss = answer(policy, reference, *pieces, beta)
    found = {"the loss": probe.output(loss)}
    found |= probe.gradients(loss, dict(policy.named_parameters()))
    given = [p.grad is not None for p in reference.parameters()]
    found["how many weights of the reference have a gradient"] = np.array(sum(given))
    yield found


def draw_pairs(g, b, size, dim, longer):
    """Weights of policy and reference, pairs with one prompt each, masks, β."""
    shapes = {"embedding": (size, dim), "weight": (size, dim), "bias": (size,)}
    weights, base = drawn_weights(g, shapes), drawn_weights(g, shapes)
    prompt, n = 3, 6 + longer
    chosen, rejected = g.integers(1, size, (2, b, n))
    rejected[:, :prompt] = chosen[:, :prompt]
    masks = np.zeros((2, b, n), bool)
    for row in range(b):
        for which, ids in enumerate((chosen, rejected)):
            end = prompt + 1 + int(g.integers(0, n - prompt)) if row else (n if which else prompt + 1)
            masks[which, row, prompt:end] = True
            ids[row, end:] = 0
    return weights, base, chosen, rejected, masks[0], masks[1], float(g.choice([0.2, 0.5]))


step = exercise(
    "chat.5",
    dpo_pair_loss,
    framework="torch",
    use=use_dpo,
    title="DPO with a frozen reference",
    points=4,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "`policy` and `reference` are modules that turn ids (b, n) into logits (b, n, v). `chosen` and `rejected` (b, n) "
            "are ids of prompt and answer, padded; `chosen_mask` and `rejected_mask` (b, n) are True on the answer's pieces."
        ),
        context(
            "**Write** `dpo_pair_loss(policy, reference, chosen, rejected, chosen_mask, rejected_mask, beta)`: "
            "$-\\log\\sigma(\\beta\\,[\\log\\pi(y_w)-\\log\\pi(y_l)-\\log\\pi_{ref}(y_w)+\\log\\pi_{ref}(y_l)])$."
        ),
        says("log p of an answer is the *sum* over its masked pieces,", mistake="mean over its pieces"),
        says("where position t predicts the piece at t + 1.", mistake="no shift"),
        says("Padding does not count.", mistake="Padding"),
        says("The reference is subtracted;", mistake="reference is missing"),
        says("it runs without dropout (it may come in training mode)", mistake="dropout"),
        says("and without gradient.", mistake="gradient"),
        says("β stands inside σ.", mistake="inside"),
        says("Return the mean over the pairs.", mistake="mean over pairs"),
        example("""
model = nn.Sequential(nn.Embedding(5, 2), nn.Linear(2, 5))
print("logits of 3 pieces:", tuple(model(torch.tensor([[1, 2, 3]])).shape))
"""),
    ],
    hints=[
        "Write a function log_p(model, ids, mask): `log_softmax` of `logits[:, :-1]`, then `gather` the ids from 1 on, times "
        "the mask from 1 on, then the sum.",
        "`reference.eval()`, and compute its two sums under `torch.no_grad()`. At the end `-F.logsigmoid(…).mean()`.",
    ],
    draw=draw_pairs,
    parts=[
        part("several pairs", weight=2, b=between(2, 3), size=6, dim=3, longer=between(1, 2)),
        part("one pair", b=1, size=between(5, 7), dim=3, longer=1),
        part("longer answers", b=2, size=5, dim=2, longer=4),
    ],
    own={"b": 1, "size": 6, "dim": 2, "longer": 2},
    own_says="A pair of your own",
    mistakes={
        "log p of an answer is a sum; you took the mean over its pieces.": edit(
            "(of_next * mask[:, 1:]).sum(dim=1)", "(of_next * mask[:, 1:]).sum(dim=1) / mask[:, 1:].sum(dim=1)"
        ),
        "log p of an answer is a sum; you took the mean over the padded length.": edit(
            "(of_next * mask[:, 1:]).sum(dim=1)", "(of_next * mask[:, 1:]).mean(dim=1)"
        ),
        "There is no shift: position t predicts the piece at t + 1.": lambda *a: unshifted(*a),
        "Padding counts in yours: use the masks.": edit("of_next * mask[:, 1:]", "of_next"),
        "The mask is not shifted along with the pieces.": edit("mask[:, 1:]", "mask[:, :-1]"),
        "The reference is missing.": edit("(margin - base)", "margin"),
        "The reference is added: subtract it.": edit("(margin - base)", "(margin + base)"),
        "The reference has dropout on: call `reference.eval()`.": edit("    reference.eval()\n", ""),
        "The reference gets a gradient: compute it under `torch.no_grad()`.": edit(
            "with torch.no_grad():", "with torch.enable_grad():"
        ),
        "Preferred and other are exchanged.": edit("beta * (margin - base)", "beta * (base - margin)"),
        "β belongs inside σ.": edit(
            "return -F.logsigmoid(beta * (margin - base))", "return -beta * F.logsigmoid(margin - base)"
        ),
        "This is the sum: the mean over pairs is wanted.": edit(
            "F.logsigmoid(beta * (margin - base)).mean()", "F.logsigmoid(beta * (margin - base)).sum()"
        ),
    },
    praise="That is the whole method: two models, four sums.",
)


def unshifted(policy, reference, chosen, rejected, chosen_mask, rejected_mask, beta):
    """The answer with one mistake."""

    def log_p(model, ids, mask):
        of_same = model(ids).log_softmax(dim=-1).gather(2, ids[..., None])[..., 0]
        return (of_same * mask).sum(dim=1)

    reference.eval()
    with torch.no_grad():
        base = log_p(reference, chosen, chosen_mask) - log_p(reference, rejected, rejected_mask)
    margin = log_p(policy, chosen, chosen_mask) - log_p(policy, rejected, rejected_mask)
    return -F.logsigmoid(beta * (margin - base)).mean()


@right(step)
def by_cross_entropy(policy, reference, chosen, rejected, chosen_mask, rejected_mask, beta):
    def nats(model, ids, mask):
        each = F.cross_entropy(model(ids)[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
        return torch.where(mask[:, 1:], each, 0.0).sum(dim=-1)

    frozen = reference.eval()
    with torch.inference_mode():
        rc, rr = nats(frozen, chosen, chosen_mask), nats(frozen, rejected, rejected_mask)
    m = beta * ((rc.clone() - nats(policy, chosen, chosen_mask)) - (rr.clone() - nats(policy, rejected, rejected_mask)))
    return F.softplus(-m).mean()
