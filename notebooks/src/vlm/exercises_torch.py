"""LoRA merged and pixel shuffle, in PyTorch; the three blanks of the lesson."""

import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check.blanks import blank
from mmcourse.exercise import between, context, edit, example, exercise, one_of, part, right, says


# ---------------------------------------------------------------- 2
def merge_lora(linear, lora_a, lora_b, alpha):
    """A plain layer that does what `linear` and its correction do together; `linear` stays as it is."""
    merged = nn.Linear(linear.in_features, linear.out_features, bias=linear.bias is not None)
    with torch.no_grad():
        scale = alpha / len(lora_a)
        merged.weight.copy_(linear.weight + scale * lora_b @ lora_a)
        if linear.bias is not None:
            merged.bias.copy_(linear.bias)
    return merged


def use_merge(probe, answer, weight, bias, lora_a, lora_b, alpha, x):
    """The output of the merged layer, and the old layer afterwards."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        linear.weight.copy_(probe.tensor(weight))
        if bias is not None:
            linear.bias.copy_(probe.tensor(bias))
    merged = answer(linear, probe.tensor(lora_a), probe.tensor(lora_b), alpha)
    found = {"the output of the merged layer": probe.output(merged(probe.tensor(x)))}
    found["the old layer's output afterwards"] = probe.output(linear(probe.tensor(x)))
    yield found


def draw_layer(g, d_in, d_out, rank, alpha, bias):
    weight = g.normal(size=(d_out, d_in)).round(2)
    b = g.normal(size=d_out).round(2) if bias else None
    lora_a, lora_b = g.normal(size=(rank, d_in)).round(2), g.normal(size=(d_out, rank)).round(2)
    return weight, b, lora_a, lora_b, float(alpha), g.normal(size=(3, d_in)).round(2)


merge = exercise(
    "vlm.2",
    merge_lora,
    framework="torch",
    use=use_merge,
    title="LoRA merged",
    points=3,
    difficulty=2,
    minutes=15,
    statement=[
        context("LoRA has been trained: a frozen `nn.Linear` and beside it two thin matrices."),
        says(
            "**Write** `merge_lora(linear, lora_a, lora_b, alpha)` in PyTorch. `lora_a` is (r, d_in), `lora_b` (d_out, r). "
            "Return a new `nn.Linear` whose weight is that of `linear` plus the correction,",
            mistake="only the correction",
        ),
        says("which is the product of the two, B before A,", mistake="product is transposed"),
        says("times alpha / r, where r is the rank.", mistake="alpha / r is missing"),
        says("A bias is kept as it is;", mistake="bias is lost"),
        says("a layer without one stays without.", ignored=edit("bias=linear.bias is not None", "bias=True")),
        says("`linear` itself must not change: others use it.", mistake="old layer has changed"),
        example("""
linear = nn.Linear(3, 2)
lora_a, lora_b = torch.ones(1, 3), torch.tensor([[1.0], [0.0]])  # rank 1
print("the correction at alpha 2 is", (2 * lora_b @ lora_a).tolist())
"""),
    ],
    hints=[
        "Which product of (d_out, r) and (r, d_in) has the shape of `linear.weight`? What is r here?",
        "`linear.weight + alpha / len(lora_a) * lora_b @ lora_a` is the new weight. Copy it into a new layer under "
        "`torch.no_grad()`.",
    ],
    draw=draw_layer,
    parts=[
        part("with a bias", weight=2, d_in=between(3, 5), d_out=between(3, 5), rank=2, alpha=6, bias=True),
        part("without a bias", d_in=4, d_out=3, rank=2, alpha=one_of(1, 3), bias=False),
        part("rank 1", d_in=3, d_out=4, rank=1, alpha=2, bias=True),
        part("a square layer", weight=2, d_in=4, d_out=4, rank=3, alpha=12, bias=True),
    ],
    own={"d_in": 2, "d_out": 2, "rank": 1, "alpha": 2, "bias": True},
    own_says="A layer of your own",
    mistakes={
        "This is only the correction: add the frozen weight.": "merged.weight.copy_(scale * lora_b @ lora_a)",
        "The product is transposed: B before A, (d_out, r) times (r, d_in).": (
            lambda linear, lora_a, lora_b, alpha: merged_with(linear, lora_a, lora_b, alpha, turn=True)
        ),
        "The factor alpha / r is missing.": "scale = 1.0",
        "The factor is alpha / r, not alpha: divide by the rank.": "scale = alpha",
        "The factor is the wrong way up: alpha / r.": "scale = len(lora_a) / alpha",
        "r is the rank, the number of rows of A, not the width.": "scale = alpha / lora_a.shape[1]",
        "The bias is lost.": edit("merged.bias.copy_(linear.bias)", "merged.bias.zero_()"),
        "The old layer has changed: make a new one.": (
            lambda linear, lora_a, lora_b, alpha: merged_with(linear, lora_a, lora_b, alpha, in_place=True)
        ),
        "The correction was added twice.": ("merged.weight.copy_(linear.weight + 2 * scale * lora_b @ lora_a)"),
    },
    praise="Same answers, no second path, and the old layer is still there for the next task.",
)


def merged_with(linear, lora_a, lora_b, alpha, turn=False, in_place=False):
    """The answer with one mistake."""
    merged = linear if in_place else nn.Linear(linear.in_features, linear.out_features, bias=linear.bias is not None)
    correction = lora_b @ lora_a
    if turn:
        correction = correction.T.reshape(correction.shape)
    with torch.no_grad():
        merged.weight.copy_(linear.weight + alpha / len(lora_a) * correction)
        if linear.bias is not None:
            merged.bias.copy_(linear.bias)
    return merged


@right(merge)
def by_outer_products(linear, lora_a, lora_b, alpha):
    weight = linear.weight.detach().clone()
    for row, column in zip(lora_a, lora_b.T, strict=True):
        weight += alpha / len(lora_a) * torch.outer(column, row)
    merged = nn.Linear(*reversed(weight.shape), bias=linear.bias is not None)
    merged.load_state_dict({**linear.state_dict(), "weight": weight})
    return merged


# ---------------------------------------------------------------- 3
def pixel_shuffle(grid, size):
    """Each size × size block of cells becomes one token, row by row."""
    b, rows, columns, d = grid.shape
    blocks = grid.reshape(b, rows // size, size, columns // size, size, d)
    blocks = blocks.permute(0, 1, 3, 2, 4, 5)  # (b, rows/size, columns/size, size, size, d)
    return blocks.reshape(b, (rows // size) * (columns // size), size * size * d)


def use_shuffle(probe, answer, grid, size):
    """The tokens, and the gradient of the grid."""
    tensor = probe.tensor(grid).requires_grad_()
    tokens = answer(tensor, size)
    found = {"the tokens": probe.output(tokens)}
    weights = torch.arange(tokens.numel(), dtype=tokens.dtype).reshape(tokens.shape) / 7
    (tokens * weights).sum().backward()
    found["the gradient of the grid"] = 0 * grid if tensor.grad is None else probe.array(tensor.grad)
    yield found


def draw_grid(g, b, rows, columns, d, size):
    return g.normal(size=(b, rows, columns, d)).round(2), size


shuffle = exercise(
    "vlm.3",
    pixel_shuffle,
    framework="torch",
    use=use_shuffle,
    title="Pixel shuffle",
    points=3,
    difficulty=3,
    minutes=20,
    statement=[
        says(
            "**Write** `pixel_shuffle(grid, size)` in PyTorch. `grid` is (b, rows, columns, d). Each block of size × size "
            "*neighboring* cells becomes one token:",
            mistake="not neighbors",
        ),
        says("return (b, rows/size · columns/size, size · size · d).", ignored="return blocks"),
        says("Tokens come row by row, as one reads,", mistake="Tokens come column by column"),
        says("and so do the cells inside a token.", mistake="cells of a block"),
        says("Rows and columns may differ in number.", mistake="square"),
        context("`size` divides both; it may be 1."),
        example("""
grid = torch.arange(16.0).reshape(1, 4, 4, 1)  # cells 0 to 15
print("the first token at size 2 has the cells 0, 1, 4 and 5")
"""),
    ],
    hints=[
        "Give the grid two more axes: which block, and where in the block, for rows and for columns. In which order must "
        "the six axes be before you flatten them?",
        "`grid.reshape(b, rows // size, size, columns // size, size, d)`, then `permute(0, 1, 3, 2, 4, 5)`.",
    ],
    draw=draw_grid,
    parts=[
        part("a square grid", weight=2, b=2, rows=4, columns=4, d=between(2, 3), size=2),
        part("more columns than rows", weight=2, b=1, rows=4, columns=6, d=2, size=2),
        part("more rows than columns", b=2, rows=6, columns=3, d=2, size=3),
        part("size 1", b=2, rows=2, columns=3, d=2, size=1),
        part("all in one", b=1, rows=3, columns=3, d=2, size=3),
    ],
    own={"b": 1, "rows": 2, "columns": 4, "d": 1, "size": 2},
    own_says="A grid of your own",
    mistakes={
        "These are not neighbors: rows of the grid were cut into pieces instead of blocks.": (
            "return grid.reshape(b, (rows // size) * (columns // size), size * size * d)"
        ),
        "Tokens come column by column: read row by row.": edit(
            "permute(0, 1, 3, 2, 4, 5)", "permute(0, 3, 1, 2, 4, 5)"
        ),
        "The cells of a block are in the wrong order: read them row by row, too.": edit(
            "permute(0, 1, 3, 2, 4, 5)", "permute(0, 1, 3, 4, 2, 5)"
        ),
        "The features inside a token are mixed: each cell's d values stay together.": edit(
            "permute(0, 1, 3, 2, 4, 5)", "permute(0, 1, 3, 5, 2, 4)"
        ),
        "Your function takes the grid for a square: rows and columns may differ.": (
            lambda grid, size: (
                grid.reshape(len(grid), grid.shape[1] // size, size, grid.shape[1] // size, size, -1)
                .permute(0, 1, 3, 2, 4, 5)
                .flatten(3)
                .flatten(1, 2)
            )
        ),
        "The block's mean is not enough: a token keeps all of its cells, one behind the other.": (
            "return blocks.mean(dim=(3, 4)).flatten(1, 2).repeat(1, 1, size * size)"
        ),
    },
    praise="A quarter of the tokens, a sixteenth of the comparisons, and nothing lost.",
)


@right(shuffle)
def by_slices(grid, size):
    parts = [grid[:, i::size, j::size] for i in range(size) for j in range(size)]
    return torch.cat(parts, dim=-1).flatten(1, 2)


@right(shuffle)
def by_unfold(grid, size):
    blocks = grid.unfold(1, size, size).unfold(2, size, size)  # (b, rows/size, columns/size, d, size, size)
    return blocks.permute(0, 1, 2, 4, 5, 3).flatten(3).flatten(1, 2)


# ---------------------------------------------------------------- the lesson's blanks
def texts_with_places():
    g = torch.Generator().manual_seed(0)
    for where, n in ((((1, 2), (0, 4)), 5), (((2,), (0,), (1,)), 3), (((0, 1, 2),), 4)):
        is_image = torch.zeros(len(where), n, dtype=torch.bool)
        for row, positions in enumerate(where):
            is_image[row, list(positions)] = True
        m = len(where[0])
        yield (
            torch.randn(len(where), n, 3, generator=g),
            is_image,
            torch.randn(len(where), m, 3, generator=g),
        )


def placed_with(embeddings, is_image, visual, *, first=False, turn=False, add=False):
    placed = embeddings.clone()
    if first:  # always behind <bos>
        placed[:, 1 : 1 + visual.shape[1]] = visual[:, : placed.shape[1] - 1]
        return placed
    rows = visual.flip(1) if turn else visual
    rows = rows.reshape(-1, visual.shape[-1])
    placed[is_image] = placed[is_image] + rows if add else rows
    return placed


@blank(
    "vlm.blank.1",
    title="Visual tokens in a text",
    inputs=texts_with_places,
    mistakes=[
        (lambda *a: placed_with(*a, first=True), "The places differ from text to text: use `is_image`."),
        (
            lambda *a: placed_with(*a, turn=True),
            "The order of the tokens is lost: the first place gets the first token.",
        ),
        (lambda *a: placed_with(*a, add=True), "A token replaces the embedding of `<image>`; nothing is added."),
        (lambda embeddings, is_image, visual: embeddings, "The text is unchanged: put the tokens in."),
    ],
)
def insert_visual_tokens(embeddings, is_image, visual):
    placed = embeddings.clone()
    placed[is_image] = visual.reshape(-1, visual.shape[-1])
    return placed


def answers_of_texts():
    g = torch.Generator().manual_seed(0)
    for spans, n in ((((3, 5), (2, 5)), 6), (((1, 2), (2, 3), (3, 4)), 4), (((0, 0),), 3)):
        labels = torch.full((len(spans), n), -100)
        for row, (start, end) in enumerate(spans):
            labels[row, start:end] = torch.randint(0, 7, (end - start,), generator=g)
        yield torch.randn(len(spans), n, 7, generator=g), labels


def answered(logits, labels, *, shift=True, guard=True, mean="labels", other_way=False):
    predicted, following = (logits[:, :-1], labels[:, 1:]) if shift else (logits, labels)
    if other_way:
        predicted, following = logits[:, 1:], labels[:, :-1]
    counts = following != -100
    nats = F.cross_entropy(predicted[counts], following[counts], reduction="sum")
    number = {"labels": counts.sum(), "positions": torch.tensor(counts.numel()), "texts": torch.tensor(len(labels))}[
        mean
    ]
    return nats / (number.clamp(min=1) if guard else number)


@blank(
    "vlm.blank.2",
    title="The loss of an answer",
    inputs=answers_of_texts,
    mistakes=[
        (
            lambda *a: answered(*a, shift=False),
            "Each position is asked for the piece that it has just read: shift by one.",
        ),
        (lambda *a: answered(*a, other_way=True), "You shifted the other way: position t predicts the label at t + 1."),
        (lambda *a: answered(*a, guard=False), "Without any label this is 0 / 0, NaN: the loss is 0 then."),
        (lambda *a: answered(*a, mean="positions"), "Divide by the number of labels that count, not by all positions."),
        (
            lambda *a: answered(*a, mean="texts"),
            "Divide by the number of labels that count, not by the number of texts.",
        ),
    ],
)
def answer_loss(logits, labels):
    following = labels[:, 1:]
    counts = following != -100
    nats = F.cross_entropy(logits[:, :-1][counts], following[counts], reduction="sum")
    return nats / counts.sum().clamp(min=1)


def corrected_layers():
    g = torch.Generator().manual_seed(0)
    for d_in, d_out, rank, alpha in ((4, 3, 2, 6.0), (5, 5, 1, 3.0), (3, 4, 3, 1.0)):
        yield (
            torch.randn(2, 3, d_in, generator=g),
            torch.randn(d_out, d_in, generator=g),
            torch.randn(rank, d_in, generator=g),
            torch.randn(d_out, rank, generator=g),
            alpha,
        )


def corrected(x, weight, lora_a, lora_b, alpha, *, scale=None, base=True):
    factor = alpha / len(lora_a) if scale is None else scale(alpha, lora_a)
    return (x @ weight.T if base else 0) + factor * (x @ lora_a.T) @ lora_b.T


@blank(
    "vlm.blank.3",
    title="LoRA",
    inputs=corrected_layers,
    mistakes=[
        (lambda *a: corrected(*a, base=False), "The frozen part is missing: add `x @ weight.T`."),
        (lambda x, weight, *rest: x @ weight.T, "The correction is missing."),
        (lambda *a: corrected(*a, scale=lambda alpha, lora_a: 1.0), "The factor α/r is missing."),
        (
            lambda *a: corrected(*a, scale=lambda alpha, lora_a: alpha),
            "Divide α by the rank r, the number of rows of A.",
        ),
        (
            lambda *a: corrected(*a, scale=lambda alpha, lora_a: alpha / lora_a.shape[1]),
            "r is the number of rows of A, not its width.",
        ),
    ],
)
def lora_linear(x, weight, lora_a, lora_b, alpha):
    hidden = x @ lora_a.T  # (…, r)
    return x @ weight.T + alpha / len(lora_a) * hidden @ lora_b.T
