"""The loss of a batch of texts, and a decoding step with a cache, in PyTorch; two blanks of the lesson."""

import numpy as np
import torch
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, edit, example, exercise, part, right, says


# ---------------------------------------------------------------- 2
def caption_loss(logits, ids, padding_mask):
    """Mean −ln p of each real piece after the first."""
    predicted = logits[:, :-1]  # (b, n − 1, vocabulary)
    labels = ids[:, 1:]  # (b, n − 1)
    real = padding_mask[:, 1:]
    nats = F.cross_entropy(predicted.flatten(0, 1), labels.flatten(), reduction="none")
    nats = nats * real.flatten()
    return nats.sum() / real.sum()


def use_loss(probe, answer, logits, ids, padding_mask):
    """Loss and its gradient."""
    tensor = probe.tensor(logits).requires_grad_()
    loss = answer(tensor, torch.as_tensor(ids), torch.as_tensor(padding_mask))
    found = {"the loss": probe.output(loss)}
    loss.backward()
    gradient = tensor.grad
    found["the gradient of logits"] = 0 * logits if gradient is None else probe.array(gradient)
    yield found


def draw_texts(g, lengths, size):
    n = max(lengths)
    real = np.arange(n) < np.array(lengths)[:, None]
    ids = g.integers(1, size, (len(lengths), n)) * real
    ids[:, 0] = 1  # <bos>
    return (2 * g.normal(size=(len(lengths), n, size))).round(2), ids, real


loss = exercise(
    "captioning.2",
    caption_loss,
    framework="torch",
    use=use_loss,
    title="The loss of a batch of texts",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "Three texts of different length in one batch: the short ones are padded, and the first piece is `<bos>`."
        ),
        says(
            "**Write** `caption_loss(logits, ids, padding_mask)` in PyTorch. `logits` is (b, n, vocabulary): "
            "`logits[:, t]` says which piece comes *after* piece t,",
            mistake="piece itself",
        ),
        says(
            "so the last position predicts nothing that we know, and `<bos>` is never predicted.", mistake="two apart"
        ),
        says(
            "`ids` is (b, n). The cost of a piece is −ln of the probability that softmax gives it.",
            mistake="not a loss",
        ),
        says("`padding_mask` (b, n) is True where a piece is real: padding costs nothing,", mistake="Padding counts"),
        says(
            "and a piece counts when *it* is real, not the one before it.",
            mistake="mask is not shifted",
        ),
        says("Return the mean over all real pieces of the batch:", mistake="padding in the mean"),
        says("a long text counts more than a short one.", mistake="mean of each text"),
        example("""
ids = torch.tensor([[1, 3, 2], [1, 2, 0]])
logits = torch.zeros(2, 3, 4)  # nothing known: every piece costs ln 4
print("ln 4 =", torch.log(torch.tensor(4.0)).item(), "for", int((ids[:, 1:] > 0).sum()), "pieces")
"""),
    ],
    hints=[
        "Write the ids of one text in a row, and below it what each position must predict. Which columns of `logits`, of "
        "`ids` and of `padding_mask` belong together?",
        '`logits[:, :-1]`, `ids[:, 1:]`, `padding_mask[:, 1:]`. `F.cross_entropy(…, reduction="none")` gives a cost for '
        "each piece; multiply by the mask, add up, divide by the number of real pieces.",
    ],
    draw=draw_texts,
    parts=[
        part("texts of one length", lengths=(4, 4), size=between(5, 7)),
        part("a padded text", weight=2, lengths=(5, 3), size=6),
        part("three lengths", weight=2, lengths=(6, 2, 4), size=between(4, 6)),
        part("one text", lengths=(3,), size=5),
    ],
    own={"lengths": (3, 2), "size": 4},
    own_says="Logits and texts of your own",
    mistakes={
        "Each position predicts the piece itself, which it has read: shift the labels by one.": edit(
            "logits[:, :-1]", "logits[:, 1:]"
        ),
        "Logits and labels are two apart: shift once.": edit(
            "logits[:, :-1]  # (b, n − 1, vocabulary)",
            "torch.cat([logits[:, :1], logits[:, :-2]], dim=1)",
        ),
        "Padding counts: multiply by the mask.": "real = torch.ones_like(padding_mask[:, 1:])",
        "The mask is not shifted: a piece counts when it is real, not the one before it.": "real = padding_mask[:, :-1]",
        "There is padding in the mean: divide by the number of real pieces.": "return nats.sum() / real.numel()",
        "This is the mean of each text's mean: all pieces count the same.": (
            "return (nats.view(len(ids), -1).sum(dim=1) / real.sum(dim=1)).mean()"
        ),
        "The mask is the wrong way round: True means real.": "real = ~padding_mask[:, 1:]",
        "This is not a loss but ln p: put a minus before it.": "return -nats.sum() / real.sum()",
    },
    praise="A loss below the floor of the data would say that the answer leaks: yours cannot.",
)


@right(loss)
def by_ignore_index(logits, ids, padding_mask):
    labels = ids.masked_fill(~padding_mask, -100)[:, 1:]
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels, ignore_index=-100)


@right(loss)
def by_choice(logits, ids, padding_mask):
    kept = padding_mask[:, 1:]
    log_p = logits[:, :-1].log_softmax(dim=-1)[kept]  # (pieces, vocabulary)
    return -log_p.gather(1, ids[:, 1:][kept][:, None]).mean()


# ---------------------------------------------------------------- 3
def decode_step(q, k, v, past_k, past_v):
    """Attention of the new positions, and the longer cache."""
    all_k = torch.cat([past_k, k], dim=1)  # (b, past + n, d)
    all_v = torch.cat([past_v, v], dim=1)
    scores = q @ all_k.transpose(1, 2) / q.shape[-1] ** 0.5  # (b, n, past + n)
    n, m = scores.shape[1:]
    seen = torch.ones(n, m, dtype=torch.bool).tril(m - n)
    weights = scores.masked_fill(~seen, -torch.inf).softmax(dim=-1)
    return weights @ all_v, all_k, all_v


def use_step(probe, answer, q, k, v, cuts):
    """A whole sequence, written in several steps, each with the right cache."""
    q, k, v = (probe.tensor(x) for x in (q, k, v))
    found = {}
    for start, end in zip([0, *cuts], [*cuts, q.shape[1]], strict=True):
        new = [x[:, start:end] for x in (q, k, v)]
        y, keys, values = answer(*new, k[:, :start], v[:, :start])
        found[f"the output at {start} to {end - 1}"] = probe.output(y)
        found[f"the keys for the step after {end}"] = probe.output(keys)
        found[f"the values for the step after {end}"] = probe.output(values)
    yield found


def draw_sequence(g, b, n, d, cuts):
    q, k, v = g.normal(size=(3, b, n, d)).round(2)
    return q, k, v, list(cuts)


cached = exercise(
    "captioning.3",
    decode_step,
    framework="torch",
    use=use_step,
    title="A decoding step with a cache",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        context(
            "While a decoder writes, the keys and values of the past do not change. A cache keeps them, so that each step "
            "computes only what is new."
        ),
        says(
            "**Write** `decode_step(q, k, v, past_k, past_v)` in PyTorch. `q`, `k`, `v` are (b, n, d), of the n new "
            "positions; `past_k`, `past_v` are (b, past, d), and past may be 0. New keys and values come behind the old ones.",
            mistake="before the old",
        ),
        says("Each new position attends to the whole past, to itself,", mistake="past is not used"),
        says("and to no later position of the n.", mistake="sees later positions"),
        says("Scores are divided by the square root of d before the softmax.", mistake="not scaled"),
        says(
            "Return y (b, n, d), and the keys and values that the next step needs, (b, past + n, d).",
            mistake="cache back",
        ),
        example("""
q = k = v = torch.ones(1, 2, 4)  # two new positions, nothing before
nothing = torch.zeros(1, 0, 4)
print("the first sees one key, the second two")
"""),
    ],
    hints=[
        "Which keys may new position i see? Draw the table: n rows, past + n columns. How does it look for n = 1, and how "
        "for past = 0?",
        "`torch.ones(n, m, dtype=torch.bool).tril(m - n)` is that table; fill the rest of the scores with −inf.",
    ],
    draw=draw_sequence,
    parts=[
        part("piece by piece", weight=2, b=2, n=4, d=between(3, 5), cuts=(1, 2, 3)),
        part("a prompt, then pieces", weight=2, b=2, n=5, d=4, cuts=(3, 4)),
        part("several at once behind a past", b=1, n=6, d=between(2, 4), cuts=(2,)),
        part("all at once", b=2, n=3, d=4, cuts=()),
    ],
    own={"b": 1, "n": 2, "d": 2, "cuts": (1,)},
    own_says="A sequence of your own",
    mistakes={
        "Your new keys and values come before the old ones: the order of positions is lost.": edit(
            "torch.cat([past_k, k], dim=1)",
            "torch.cat([k, past_k], dim=1)",
            "torch.cat([past_v, v], dim=1)",
            "torch.cat([v, past_v], dim=1)",
        ),
        "The past is not used: attend to the cached keys as well.": (
            "return F.scaled_dot_product_attention(q, k, v, is_causal=True), all_k, all_v"
        ),
        "A position sees later positions: several new ones need a causal mask.": "weights = scores.softmax(dim=-1)",
        "The mask is shifted: position i sees all of the past, not only the first keys.": edit("tril(m - n)", "tril()"),
        "The scores are not scaled: divide by the square root of d.": edit(" / q.shape[-1] ** 0.5", ""),
        "You give the old cache back: the next step needs the new keys as well.": "return weights @ all_v, past_k, past_v",
        "The values are not cached: only keys are.": "return weights @ all_v, all_k, v",
    },
    praise="The same numbers with a fraction of the work: that is why chat models answer at all.",
)


@right(cached)
def by_library(q, k, v, past_k, past_v):
    all_k, all_v = torch.cat([past_k, k], dim=1), torch.cat([past_v, v], dim=1)
    n, m = q.shape[1], all_k.shape[1]
    seen = torch.arange(m)[None] <= torch.arange(m - n, m)[:, None]
    return F.scaled_dot_product_attention(q, all_k, all_v, attn_mask=seen), all_k, all_v


@right(cached)
def by_loop(q, k, v, past_k, past_v):
    outputs = []
    for i in range(q.shape[1]):
        past_k, past_v = torch.cat([past_k, k[:, i : i + 1]], dim=1), torch.cat([past_v, v[:, i : i + 1]], dim=1)
        scores = torch.einsum("bd,bmd->bm", q[:, i], past_k) / past_k.shape[2] ** 0.5
        outputs.append(torch.einsum("bm,bmd->bd", scores.softmax(dim=-1), past_v))
    return torch.stack(outputs, dim=1), past_k, past_v


# ---------------------------------------------------------------- the lesson's blanks
def texts():
    g = torch.Generator().manual_seed(0)
    for lengths in ((4, 2), (5, 5, 3)):
        n = max(lengths)
        real = torch.arange(n) < torch.tensor(lengths)[:, None]
        ids = torch.randint(1, 6, (len(lengths), n), generator=g) * real
        yield torch.randn(len(lengths), n, 6, generator=g), ids, real


def written(logits, ids, padding_mask, *, shift=True, mask=True, mask_shift=True, mean=True):
    predicted, labels = (logits[:, :-1], ids[:, 1:]) if shift else (logits, ids)
    real = padding_mask[:, 1:] if mask_shift and shift else padding_mask[:, : labels.shape[1]]
    nats = F.cross_entropy(predicted.transpose(1, 2), labels, reduction="none")
    if not mask:
        return nats.mean()
    return (nats * real).sum() / (real.sum() if mean else len(ids))


@blank(
    "captioning.blank.1",
    title="The loss of a caption",
    inputs=texts,
    mistakes=[
        (lambda *a: written(*a, shift=False), "Each position predicts the piece that it has just read: shift by one."),
        (lambda *a: written(*a, mask=False), "Padding counts: leave it out."),
        (lambda *a: written(*a, mask_shift=False), "The mask belongs to the labels: shift it as well."),
        (lambda *a: written(*a, mean=False), "Divide by the number of real pieces."),
    ],
)
def caption_loss_in_lesson(logits, ids, padding_mask):
    nats = F.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")  # (b, n − 1)
    real = padding_mask[:, 1:]
    return (nats * real).sum() / real.sum()


def table(rows):
    """A model that looks at the last piece only."""

    def next_logits(ids):
        return rows[ids[:, -1]]

    return next_logits


def models():
    g = torch.Generator().manual_seed(1)
    for size, length in ((5, 6), (7, 9)):
        rows = torch.randn(size, size, generator=g)
        rows[:, 1] = -9  # <bos> does not come again
        yield table(rows), torch.tensor([[1], [1], [3]]), length


def write_greedily(next_logits, ids, length, *, grow=True, stop=True, smallest=False):
    ended = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(length):
        logits = next_logits(ids)
        piece = logits.argmin(dim=-1) if smallest else logits.argmax(dim=-1)
        if stop:
            piece = piece.masked_fill(ended, 0)
        ended = ended | (piece == 2)
        ids = torch.cat([ids, piece[:, None]], dim=1) if grow else torch.cat([ids[:, :-1], piece[:, None]], dim=1)
    return ids


@blank(
    "captioning.blank.2",
    title="Greedy decoding",
    inputs=models,
    mistakes=[
        (lambda *a: write_greedily(*a, smallest=True), "You took the least likely piece."),
        (lambda *a: write_greedily(*a, grow=False), "The text does not grow: put each piece behind the others."),
        (lambda *a: write_greedily(*a, stop=False), "After the end, 2, comes only padding, 0."),
    ],
)
def greedy(next_logits, ids, length):
    ended = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(length):
        piece = next_logits(ids).argmax(dim=-1)  # (b,)
        piece = piece.masked_fill(ended, 0)
        ended = ended | (piece == 2)
        ids = torch.cat([ids, piece[:, None]], dim=1)
    return ids
