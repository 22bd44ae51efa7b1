"""A loss that rewards truth, and a decoding step with a cache, in PyTorch; three blanks of the lesson."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, edit, example, exercise, part, right, says
from mmcourse.torch.attention import MultiHeadAttention


# ---------------------------------------------------------------- 2
def scst_loss(log_p, padding_mask, reward, greedy_reward):
    """Minus the mean of (reward − reward of the greedy caption) · log p of the caption that was drawn."""
    advantage = reward - greedy_reward  # (b,)
    log_p_caption = (log_p * padding_mask).sum(dim=1)  # (b,)
    return -(advantage * log_p_caption).mean()


def use_loss(probe, answer, log_p, padding_mask, reward, greedy_reward):
    """Loss and its gradient."""
    tensor = probe.tensor(log_p).requires_grad_()
    loss = answer(tensor, torch.as_tensor(padding_mask), probe.tensor(reward), probe.tensor(greedy_reward))
    found = {"the loss": probe.output(loss)}
    loss.backward()
    gradient = tensor.grad
    found["the gradient of log_p"] = 0 * log_p if gradient is None else probe.array(gradient)
    yield found


def draw_captions(g, lengths, better):
    b, n = len(lengths), max(lengths)
    padding_mask = np.arange(n) < np.array(lengths)[:, None]
    log_p = -(0.1 + 2 * g.random((b, n))).round(2)
    greedy_reward = g.integers(2, 7, b) / 8
    difference = g.integers(1, 3, b) / 8
    signs = {"all": np.ones(b), "none": -np.ones(b), "some": (-1.0) ** np.arange(b), "same": np.zeros(b)}[better]
    return log_p, padding_mask, greedy_reward + signs * difference, greedy_reward


loss = exercise(
    "captioning.2",
    scst_loss,
    framework="torch",
    use=use_loss,
    title="A loss that rewards truth",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "Self-critical sequence training: for each picture the model draws a caption by chance. Somebody gives it a "
            "reward, for instance the share of its statements that are true, and gives one to the greedy caption too."
        ),
        says(
            "**Write** `scst_loss(log_p, padding_mask, reward, greedy_reward)` in PyTorch. `log_p` (b, n) holds ln p of each "
            "piece of the drawn captions: the sum over a caption is its ln p.",
            mistake="mean over the pieces",
        ),
        says(
            "`padding_mask` (b, n) is True where a piece is real: padding counts for nothing.", mistake="Padding counts"
        ),
        says(
            "`reward` (b,) belongs to the drawn captions; what counts is how much *better* than `greedy_reward` (b,) it is.",
            mistake="reward of the greedy caption is not used",
        ),
        says(
            "A caption that is better than the greedy one becomes more probable when the loss is made smaller,",
            mistake="wrong sign",
        ),
        says("one that is worse becomes less probable:", mistake="worse captions"),
        says("the loss of a caption is minus the difference of the rewards times its ln p.", mistake="its sign only"),
        says("Return the mean over the b captions.", mistake="added the captions up"),
        example("""
log_p = torch.log(torch.tensor([[0.5, 0.5], [0.5, 1.0]]))
print("ln p of the captions:", log_p.sum(dim=1))  # −1.39 and −0.69
"""),
    ],
    hints=[
        "First two vectors (b,): how much better was each caption, and how probable was it as a whole? What may the padded "
        "positions of `log_p` not do?",
        "`(log_p * padding_mask).sum(dim=1)` is ln p of each caption. Multiply by `reward - greedy_reward`, take the mean, "
        "put a minus before it.",
    ],
    draw=draw_captions,
    parts=[
        part("better than greedy", lengths=(4, 4), better="all"),
        part("a padded caption", weight=2, lengths=(5, 2, 4), better="all"),
        part("some are worse", weight=2, lengths=(3, 5, 4, 2), better="some"),
        part("all are worse", lengths=(4, 3), better="none"),
        part("as good as greedy", lengths=(3, 4), better="same"),
        part("one caption", lengths=(3,), better="all"),
    ],
    own={"lengths": (3, 2), "better": "some"},
    own_says="Captions and rewards of your own",
    mistakes={
        "This is the mean over the pieces: ln p of a caption is the sum, or short captions count more per piece.": (
            "log_p_caption = (log_p * padding_mask).sum(dim=1) / padding_mask.sum(dim=1)"
        ),
        "Padding counts: multiply by the mask.": "log_p_caption = log_p.sum(dim=1)",
        "The reward of the greedy caption is not used: subtract it.": "advantage = reward",
        "The loss has the wrong sign: as it is, better captions become less probable.": (
            "return (advantage * log_p_caption).mean()"
        ),
        "The worse captions are left out: they must become less probable.": "advantage = (reward - greedy_reward).clamp(min=0)",
        "The difference of the rewards counts, not its sign only.": "advantage = (reward - greedy_reward).sign()",
        "You added the captions up: take their mean.": "return -(advantage * log_p_caption).sum()",
        "You used p of the caption: it is ln p that is multiplied.": "return -(advantage * log_p_caption.exp()).mean()",
        "You divided by the number of pieces: take the mean over captions.": (
            "return -(advantage * log_p_caption).sum() / padding_mask.sum()"
        ),
    },
    praise="With rewards of people in place of a parser, this is how chat models learn what is liked.",
)


@right(loss)
def by_weights(log_p, padding_mask, reward, greedy_reward):
    weight = (reward - greedy_reward)[:, None] * padding_mask / len(reward)
    return -(weight * log_p).sum()


@right(loss)
def by_loop(log_p, padding_mask, reward, greedy_reward):
    losses = []
    for pieces, real, mine, other in zip(log_p, padding_mask, reward, greedy_reward, strict=True):
        losses.append((other - mine) * pieces[real].sum())
    return torch.stack(losses).mean()


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
def one_by_one(q, k, v, past_k, past_v):
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


class Block(nn.Module):
    """The lesson's decoder block, small."""

    def __init__(self, dim=8, num_heads=2):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.self_attention = MultiHeadAttention(dim, num_heads)
        self.cross_attention = MultiHeadAttention(dim, num_heads)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))


def block_inputs():
    state = torch.get_rng_state()
    torch.manual_seed(3)
    try:
        block = Block()
        for norm in (block.norm1, block.norm2, block.norm3):
            nn.init.normal_(norm.weight, mean=1.0, std=0.3)
        for b, n, m in ((2, 4, 5), (1, 1, 3), (3, 6, 6)):
            yield block, 2 * torch.randn(b, n, 8), torch.randn(b, m, 8)
    finally:
        torch.set_rng_state(state)


def block_with(block, x, grid, *, causal=True, add=True, norm=True, context=True, cross=True, feed=True, own_norm=True):
    """The blank's answer with one mistake."""
    norms = (block.norm1, block.norm2, block.norm3) if own_norm else (block.norm1,) * 3
    norms = norms if norm else (nn.Identity(),) * 3
    kept = 1 if add else 0
    x = kept * x + block.self_attention(norms[0](x), causal=causal)
    if cross:
        x = kept * x + block.cross_attention(norms[1](x), grid if context else None)
    return kept * x + block.feed_forward(norms[2](x)) if feed else x


@blank(
    "captioning.blank.2",
    title="The decoder block",
    inputs=block_inputs,
    mistakes=[
        (lambda *a: block_with(*a, causal=False), "The self-attention sees the future: `causal=True`."),
        (
            lambda *a: block_with(*a, add=False),
            "The residual connections are missing: what a part gives is added to x.",
        ),
        (lambda *a: block_with(*a, norm=False), "Each part gets a normalized input: `block.norm1(x)` and so on."),
        (lambda *a: block_with(*a, own_norm=False), "Each part has its own norm: `norm1`, `norm2`, `norm3`."),
        (lambda *a: block_with(*a, context=False), "The cross-attention does not see the picture: give it `grid`."),
        (lambda *a: block_with(*a, cross=False), "The cross-attention is missing: nothing of the picture comes in."),
        (lambda *a: block_with(*a, feed=False), "The feed-forward network is missing."),
    ],
)
def block_forward(block, x, grid):
    x = x + block.self_attention(block.norm1(x), causal=True)
    x = x + block.cross_attention(block.norm2(x), grid)
    return x + block.feed_forward(block.norm3(x))


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
        for piece, after in ((1, size - 1), (size - 1, 3), (3, 2), (2, size - 1), (0, 3)):
            rows[piece, after] = 6  # ends after three pieces, and would go on behind the end
        yield table(rows), torch.tensor([[1], [size - 1], [3]]), length


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
    "captioning.blank.3",
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
