"""Unequal shards, a stream resumed, does it fit, the lesson's blanks, and the open challenge; PyTorch has a file."""

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.exercise import (
    Array,
    Drawn,
    between,
    challenge,
    context,
    edit,
    example,
    exercise,
    lesson,
    one_of,
    part,
    right,
    says,
)

lesson(
    "scale",
    promise="Combine gradients of unequal parts, resume a stream at the very sample, say whether a training fits; recompute a "
    "block and synchronize replicas in PyTorch; and a challenge: which activations to keep under a budget of bytes.",
    uses="NumPy; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def global_gradient(gradients, counts, max_norm):
    """Gradient of the whole batch from all ranks' micro-batches, clipped: (r, m, d), (r, m) → (d,)."""
    counts = np.asarray(counts, dtype=float)
    shares = counts / counts.sum()
    whole = (shares[:, :, None] * gradients).sum(axis=(0, 1))
    norm = np.sqrt((whole**2).sum())
    factor = min(1.0, max_norm / norm) if norm > 0 else 1.0
    return whole * factor


def draw_parts(g, ranks, micros, d, counts, limit):
    """Gradients of mean losses, token counts, and a clipping norm that bites (or does not)."""
    gradients = g.normal(size=(ranks, micros, d)).round(2) + g.normal(size=d).round(1)
    if counts == "equal":
        tokens = np.full((ranks, micros), int(g.integers(3, 20)))
    else:
        tokens = g.permutation(np.arange(2, 2 + 3 * ranks * micros, 3)).reshape(ranks, micros)
        if counts == "one empty":
            tokens[-1, -1] = 0
    whole = (tokens[:, :, None] * gradients).sum(axis=(0, 1)) / tokens.sum()
    norm = float(np.sqrt((whole**2).sum()))
    return gradients, tokens, round(norm * (0.3 if limit == "clipped" else 1000.0), 3)


def clipped(vector, max_norm):
    """A vector no longer than `max_norm`."""
    return vector * min(1.0, max_norm / max(np.linalg.norm(vector), 1e-300))


def clip_first(gradients, counts, max_norm):
    """The answer with one mistake."""
    shares = np.asarray(counts) / np.sum(counts)
    short = np.array([[clipped(v, max_norm) for v in row] for row in gradients])
    return (shares[:, :, None] * short).sum(axis=(0, 1))


def clip_ranks(gradients, counts, max_norm):
    """The answer with one mistake."""
    counts = np.asarray(counts, dtype=float)
    of_rank = counts.sum(axis=1)
    parts = (counts[:, :, None] * gradients).sum(axis=1) / np.maximum(of_rank, 1)[:, None]
    short = np.array([clipped(v, max_norm) for v in parts])
    return (of_rank[:, None] * short).sum(axis=0) / of_rank.sum()


unequal = exercise(
    "scale.1",
    global_gradient,
    title="One gradient from unequal parts",
    points=2,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "Each of r ranks has m micro-batches. `gradients` (r, m, d) holds, for each, the gradient of its *mean* loss per "
            "token; `counts` (r, m) how many tokens it has."
        ),
        says(
            "**Write** `global_gradient(gradients, counts, max_norm)`: the gradient of the mean loss over *all* tokens,",
            mistake="mean of means",
        ),
        says("in which each token counts alike.", mistake="of its own rank"),
        says("*Then* clip it:", mistake="Clip after"),
        says("if its norm is above `max_norm`, scale it to that norm;", mistake="not clipped"),
        says("if not, leave it.", mistake="only ever shorter"),
        says(
            "A part with no tokens changes nothing.",
            ignored="shares = np.maximum(counts, 1) / np.maximum(counts, 1).sum()",
        ),
        example("""
gradients = np.array([[[1.0], [4.0]]])  # one rank, two micro-batches, d = 1
counts = np.array([[30, 10]])
print("30/40 · 1 + 10/40 · 4 =", 30 / 40 * 1 + 10 / 40 * 4)
"""),
    ],
    hints=[
        "Divide `counts` by the sum of all of them, over both axes: these are the shares.",
        "`(shares[:, :, None] * gradients).sum(axis=(0, 1))`, then its norm, then a factor of at most 1.",
    ],
    draw=draw_parts,
    parts=[
        part(
            "unequal parts",
            weight=2,
            ranks=between(2, 3),
            micros=between(2, 3),
            d=between(2, 4),
            counts="any",
            limit="free",
        ),
        part("unequal parts, clipped", weight=2, ranks=2, micros=3, d=between(3, 5), counts="any", limit="clipped"),
        part("a part without tokens", ranks=3, micros=2, d=4, counts="one empty", limit=one_of("free", "clipped")),
        part("one rank", ranks=1, micros=between(2, 4), d=3, counts="any", limit="free"),
        part("equal parts", ranks=2, micros=2, d=3, counts="equal", limit="clipped"),
    ],
    own={"ranks": 2, "micros": 2, "d": 1, "counts": "any", "limit": "free"},
    own_says="Two ranks of your own",
    mistakes={
        "This is a mean of means: parts with few tokens count as much as those with many.": (
            "shares = np.full(counts.shape, 1 / counts.size)"
        ),
        "Each part is weighted by its share of its own rank, and then the ranks are averaged.": (
            "shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) / len(counts)"
        ),
        "This is the sum of all gradients: divide by the number of all tokens.": [
            "shares = np.ones_like(counts)",
            "shares = counts",
        ],
        "This divides by the tokens of rank 0: divide by everybody's.": "shares = counts / counts[0].sum()",
        "Clip after the gradients of all ranks are added, by the norm of the whole: no part knows it.": [
            clip_first,
            clip_ranks,
        ],
        "The gradient is not clipped: its norm is above `max_norm`.": "factor = 1.0",
        "Clipping makes a gradient only ever shorter: below `max_norm` it stays.": "factor = max_norm / norm",
        "`max_norm` limits the norm, not each single value.": "return np.clip(whole, -max_norm, max_norm)",
    },
    praise="This is what a distributed loop has to get right, and what so many did not.",
)


@right(unequal)
def by_flat_average(gradients, counts, max_norm):
    flat = np.asarray(gradients).reshape(-1, np.shape(gradients)[-1])
    g = np.average(flat, axis=0, weights=np.ravel(counts))
    size = np.linalg.norm(g)
    return g / size * max_norm if size > max_norm else g


# ---------------------------------------------------------------- 2
def remaining_samples(lengths, seed, epoch, workers, batch, taken):
    """What each loader worker still has to give after `taken` batches: a list with one array of sample numbers each."""
    starts = np.cumsum([0, *lengths[:-1]])
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    rest = []
    for worker in range(workers):
        mine = order[worker::workers]
        own = np.concatenate([starts[s] + np.arange(lengths[s]) for s in mine])
        samples = np.random.default_rng([seed, epoch, worker]).permutation(own)
        given = len(range(worker, taken, workers))
        rest.append(samples[given * batch :])
    return rest


def draw_stream(g, shards, workers, batch, taken, epoch, equal):
    """Lengths of shards, and how far a loop has come; nobody has run out."""
    per = 4 * batch
    lengths = [per if equal else per + int(g.integers(0, 3)) for _ in range(shards)]
    return lengths, int(g.integers(1, 100_000)), epoch, workers, batch, taken


def skip_then_shuffle(lengths, seed, epoch, workers, batch, taken):
    """The answer with one mistake."""
    starts = np.cumsum([0, *lengths[:-1]])
    order = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    rest = []
    for worker in range(workers):
        samples = np.concatenate([starts[s] + np.arange(lengths[s]) for s in order[worker::workers]])
        samples = samples[len(range(worker, taken, workers)) * batch :]
        rest.append(np.random.default_rng([seed, epoch, worker]).permutation(samples))
    return rest


resume = exercise(
    "scale.2",
    remaining_samples,
    title="Resume a stream exactly",
    points=3,
    difficulty=3,
    minutes=30,
    statement=[
        context(
            "A data set lies in shards of `lengths` samples, numbered through: shard 0 holds the samples 0 … lengths[0] − 1, and "
            "so on. In an epoch the shards are taken in the order "
            "`np.random.default_rng([seed, epoch]).permutation(number of shards)`."
        ),
        says(
            "Of this order, worker `w` of `workers` takes every `workers`-th shard, from number `w` on.",
            mistake="same shards",
        ),
        says(
            "Each worker puts the samples of its shards together, in this order, and shuffles them all by "
            "`np.random.default_rng([seed, epoch, w]).permutation(samples)`.",
            mistake="same for each worker",
        ),
        says("The order of the shards changes with the epoch,", mistake="The shards come in the same order"),
        says("and so does the shuffling.", mistake="Each worker shuffles in the same way"),
        context(
            "Then it gives batches of `batch` samples. The loop takes batches from the workers in turn: 0, 1, …, 0, 1, …"
        ),
        says(
            "**Write** `remaining_samples(lengths, seed, epoch, workers, batch, taken)`: after `taken` batches *in all*,",
            mistake="of all workers together",
        ),
        says("what each worker still has to give:", mistake="already given"),
        says("*batches* have been taken, each of `batch` samples.", mistake="batches, not samples"),
        says(
            "a list with an array of sample numbers for each worker, in the order in which they will come.",
            mistake="in the order",
        ),
        example("""
print("4 batches from 3 workers:", [len(range(w, 4, 3)) for w in range(3)])
print("order of 5 shards:", np.random.default_rng([7, 0]).permutation(5))
"""),
    ],
    hints=[
        "`starts = np.cumsum([0, *lengths[:-1]])`: shard s holds `starts[s] + np.arange(lengths[s])`.",
        "Worker w has given `len(range(w, taken, workers))` batches. Cut that many times `batch` samples off its array.",
    ],
    draw=draw_stream,
    parts=[
        part(
            "two workers, an odd number of batches",
            weight=2,
            shards=between(4, 6),
            workers=2,
            batch=3,
            taken=3,
            epoch=between(1, 4),
            equal=False,
        ),
        part(
            "three workers",
            weight=2,
            shards=6,
            workers=3,
            batch=between(2, 4),
            taken=between(4, 5),
            epoch=2,
            equal=False,
        ),
        part("one worker", shards=between(2, 4), workers=1, batch=2, taken=between(1, 3), epoch=1, equal=True),
        part("nothing taken yet", shards=4, workers=2, batch=2, taken=0, epoch=between(1, 3), equal=True),
        part("first epoch", shards=5, workers=2, batch=4, taken=2, epoch=0, equal=False),
    ],
    own={"shards": 4, "workers": 2, "batch": 1, "taken": 3, "epoch": between(1, 9), "equal": False},
    own_says="A stream of your own",
    mistakes={
        "Every worker reads the same shards: each sample comes several times.": "mine = order",
        "The shards are dealt in turn: worker w takes number w, w + workers, … of the order.": (
            "mine = np.array_split(order, workers)[worker]"
        ),
        "The shuffling inside is the same for each worker: w belongs to the seed.": (
            "samples = np.random.default_rng([seed, epoch]).permutation(own)"
        ),
        "The shards come in the same order in every epoch: the epoch belongs to that seed, too.": edit(
            "default_rng([seed, epoch]).permutation(len(", "default_rng([seed, 0]).permutation(len("
        ),
        "Each worker shuffles in the same way in every epoch: the epoch belongs to this seed, too.": (
            "samples = np.random.default_rng([seed, 0, worker]).permutation(own)"
        ),
        "`taken` are the batches of all workers together: worker w gave only every `workers`-th.": "given = taken",
        "The batches do not divide evenly: the first workers gave one more.": "given = taken // workers",
        "These are the samples already given: what comes after them is wanted.": edit(
            "samples[given * batch :]", "samples[: given * batch]"
        ),
        "This skips as many samples as there were batches: batches, not samples, were taken.": edit(
            "given * batch", "given"
        ),
        "Skip first, shuffle after: this is another order, and repeats samples.": (skip_then_shuffle),
        "The right samples, but not in the order in which they come.": edit(
            "samples[given * batch :]", "np.sort(samples[given * batch :])"
        ),
    },
    praise="Seed, epoch and a count: no file of indices was needed.",
)


@right(resume)
def by_playing_the_loop(lengths, seed, epoch, workers, batch, taken):
    numbers = np.split(np.arange(sum(lengths)), np.cumsum(lengths)[:-1])
    deal = np.random.default_rng([seed, epoch]).permutation(len(lengths))
    queues = []
    for w in range(workers):
        own = np.hstack([numbers[s] for i, s in enumerate(deal) if i % workers == w])
        queues.append(np.random.default_rng([seed, epoch, w]).permutation(own))
    for k in range(taken):
        queues[k % workers] = queues[k % workers][batch:]
    return queues


# ---------------------------------------------------------------- 3
def training_bytes(widths, batch, half, shards):
    """Bytes of one process that trains a network of linear layers with ReLU by Adam."""
    num_weights = sum(a * b + b for a, b in zip(widths[:-1], widths[1:], strict=True))
    size = 2 if half else 4
    master = 4 * num_weights if half else 0
    fixed = size * num_weights + size * num_weights + 8 * num_weights + master
    activations = size * batch * sum(widths[:-1])
    return fixed / shards + activations


def draw_sizes(g, layers, half, shards, batch):
    """Widths of layers, a batch, kind of number."""
    return [int(v) for v in g.integers(3, 40, size=layers + 1)], batch, half, shards


fits = exercise(
    "scale.3",
    training_bytes,
    title="Does it fit?",
    points=2,
    difficulty=1,
    minutes=20,
    statement=[
        context(
            "A network of linear layers, each with a bias, and ReLU between them. `widths` are its sizes: (8, 16, 3) has two "
            "layers, 8 → 16 → 3. It is trained by Adam."
        ),
        context("**Write** `training_bytes(widths, batch, half, shards)`: the bytes that one process needs. Count:"),
        says("all weights, biases too,", mistake="biases"),
        says("a gradient for each,", mistake="gradients are missing"),
        says("Adam's *two* means, in float32 (4 bytes);", mistake="not one"),
        says("the input of each layer, kept for every sample of the batch.", mistake="Activations are missing"),
        says(
            "With `half`, weights, gradients and activations are in bfloat16 (2 bytes), else in float32;",
            mistake="takes 2 bytes",
        ),
        says("and then the optimizer also keeps a float32 master copy of the weights.", mistake="12 bytes"),
        says(
            "Weights, gradients and all that the optimizer keeps are cut over `shards` processes,", mistake="cut over"
        ),
        says("activations are not: `batch` is this process's own.", mistake="not cut"),
        example("""
widths = (8, 16, 3)
print("weights:", 8 * 16 + 16 + 16 * 3 + 3, " kept per sample:", 8 + 16)
"""),
    ],
    hints=[
        "Weights of one layer: a · b + b. Sum over `zip(widths[:-1], widths[1:])`.",
        "In float32 it is 16 bytes per weight; with `half` it is 2 + 2 + 8 + 4, also 16.",
    ],
    draw=draw_sizes,
    parts=[
        part("float32", weight=2, layers=between(2, 4), half=False, shards=1, batch=between(5, 40)),
        part("bfloat16", weight=2, layers=between(2, 4), half=True, shards=1, batch=between(5, 40)),
        part("several processes", layers=3, half=one_of(True, False), shards=between(2, 8), batch=between(5, 40)),
        part("one layer", layers=1, half=False, shards=1, batch=between(2, 9)),
    ],
    own={"layers": 2, "half": False, "shards": 1, "batch": 4},
    own_says="A network of your own",
    mistakes={
        "Activations are missing: each layer keeps its input for the backward pass.": "activations = 0",
        "Activations are kept for every sample of the batch.": "activations = size * sum(widths[:-1])",
        "The *inputs* of layers are kept: the last layer's output is no layer's input.": "activations = size * batch * sum(widths)",
        "The first layer keeps its input, too.": "activations = size * batch * sum(widths[1:-1])",
        "The biases are weights, too.": "num_weights = sum(a * b for a, b in zip(widths[:-1], widths[1:], strict=True))",
        "Adam keeps two means for each weight, not one.": (
            "fixed = size * num_weights + size * num_weights + 4 * num_weights + master"
        ),
        "The gradients are missing: one for each weight.": "fixed = size * num_weights + 8 * num_weights + master",
        "With `half`, the optimizer keeps 12 bytes per weight: Adam's means in float32, and a master copy.": [
            "fixed = size * num_weights + size * num_weights + 2 * size * num_weights + master",
            "master = 0",
        ],
        "With `half` a weight takes 2 bytes.": "size = 4",
        "Weights, gradients and the optimizer's numbers are cut over the processes: divide by `shards`.": (
            "return fixed + activations"
        ),
        "Activations are not cut: `batch` is this process's own.": "return (fixed + activations) / shards",
    },
    praise="And now you know why bfloat16 alone does not halve the memory.",
)


@right(fits)
def by_layers(widths, batch, half, shards):
    per_weight = 2 + 2 + 8 + 4 if half else 4 + 4 + 8
    total = 0.0
    for n_in, n_out in zip(widths, widths[1:], strict=False):
        total += per_weight * (n_in + 1) * n_out / shards
        total += (2 if half else 4) * batch * n_in
    return total


# ---------------------------------------------------------------- the lesson's blanks
def run_sizes():
    yield 100, 8, 30
    yield 1, 0, 0
    yield 97_187, 64, 5000
    yield 10, 3, 7


@blank(
    "scale.blank.1",
    title="The bytes of a training run",
    inputs=run_sizes,
    mistakes=[
        (lambda p, b, a: 16 * p, "The activations are missing: 4 · batch · kept_per_sample."),
        (lambda p, b, a: 16 * p + 4 * a, "Activations are kept for every sample: multiply by the batch."),
        (
            lambda p, b, a: 12 * p + 4 * b * a,
            "12 bytes per weight: Adam keeps two means, or the gradients are missing.",
        ),
        (lambda p, b, a: 8 * p + 4 * b * a, "8 bytes per weight: Adam's two means are missing."),
        (lambda p, b, a: 4 * p + b * a, "These are numbers, not bytes: a float32 has 4."),
        (
            lambda p, b, a: 4 * p + 4 * b * a,
            "These are the weights alone, with the activations: add gradients and Adam.",
        ),
        (lambda p, b, a: 16 * p + b * a, "A number that a sample leaves behind takes 4 bytes, too."),
    ],
)
def bytes_of_training(num_weights, batch, kept_per_sample):
    return 16 * num_weights + 4 * batch * kept_per_sample


def unequal_parts():
    g = np.random.default_rng(0)
    for counts, d in (([3, 2], 1), ([21, 20, 4], 3), ([5], 2), ([7, 0, 1], 2)):
        yield g.normal(size=(len(counts), d)).round(2), counts


@blank(
    "scale.blank.2",
    title="The gradient of the whole",
    inputs=unequal_parts,
    mistakes=[
        (lambda g, n: np.mean(g, axis=0), "This is the mean of means: weight each part by its share of the samples."),
        (lambda g, n: np.sum(g, axis=0), "This is the sum: weight each part by its share of the samples."),
        (lambda g, n: np.asarray(n) @ g, "Divide by the number of all samples."),
        (lambda g, n: np.asarray(n) @ g / n[0], "Divide by everybody's number, not by the first part's."),
        (lambda g, n: np.asarray(n) @ g / len(n), "Divide by the number of samples, not of parts."),
    ],
)
def combine(gradients, counts):
    return np.asarray(counts, dtype=float) @ np.asarray(gradients) / np.sum(counts)


def readers():
    yield list(range(20)), 0, 2, 0, 3
    yield list(range(20)), 1, 2, 2, 3
    yield [5, 3, 0, 4, 2, 1, 6], 1, 2, 1, 2
    yield [2, 0, 1], 0, 1, 0, 1
    yield [4, 1, 3, 0, 2], 0, 1, 1, 2


@blank(
    "scale.blank.3",
    title="Which shards are mine?",
    inputs=readers,
    mistakes=[
        (lambda o, r, n, w, k: list(o), "Everybody reads everything: split by rank, then by worker."),
        (lambda o, r, n, w, k: list(o[r::n]), "All workers of a rank read the same: split by worker, too."),
        (lambda o, r, n, w, k: list(o[w::k]), "All ranks read the same: split by rank first."),
        (
            lambda o, r, n, w, k: list(o[r::n][w]) if False else [o[r::n][w]],
            "That is one shard: take every `workers`-th.",
        ),
        (
            lambda o, r, n, w, k: [s for s in o if s % n == r][w::k],
            "Split the *order* by place, not by the number of the shard: the order is shuffled.",
        ),
    ],
)
def shards_of(order, rank, world, worker, workers):
    return list(order[rank::world][worker::workers])


@blank(
    "scale.blank.4",
    title="Operations of a linear layer",
    inputs=[(1, 2, 3), (64, 512, 512), (5, 7, 1)],
    mistakes=[
        (lambda b, i, o: 2 * b * i * o, "This is the forward pass alone: backward costs twice as much again."),
        (lambda b, i, o: 4 * b * i * o, "Backward has two products: for the weights' gradient and for the input's."),
        (lambda b, i, o: 3 * b * i * o, "A product needs a multiplication and an addition: 2 operations."),
        (lambda b, i, o: 6 * i * o, "Once for each sample: multiply by the batch."),
    ],
)
def linear_flops(batch, n_in, n_out):
    return 6 * batch * n_in * n_out


# ---------------------------------------------------------------- challenge
NUM_CHAINS, NUM_LAYERS = 30, 24


def draw_challenge(g):
    """Chains of unequal layers: MB that each layer's input takes, its milliseconds, and a budget."""
    rng = np.random.default_rng(int(g.integers(1 << 31)))
    size = rng.integers(1, 9, size=(NUM_CHAINS, NUM_LAYERS))
    large = rng.random(size.shape) < 0.2
    size = np.where(large, size * 3, size)
    milliseconds = rng.integers(1, 20, size=size.shape)
    budget = np.rint(size.sum(axis=1) * rng.uniform(0.4, 0.6, size=NUM_CHAINS)).astype(int)
    inputs = {"megabytes": size, "milliseconds": milliseconds, "budget": budget}
    return Drawn(inputs, milliseconds.sum(axis=1))


def plan_cost(keep, size, milliseconds):
    """Peak bytes and milliseconds that are computed again, of one chain; the first input is always kept."""
    keep = np.asarray(keep, dtype=bool).copy()
    keep[0] = True
    starts = [*np.flatnonzero(keep), len(keep)]
    inside = again = 0
    for start, end in zip(starts[:-1], starts[1:], strict=True):
        inside = max(inside, int(size[start + 1 : end].sum()))
        if end - start > 1:  # inputs of layers start + 1 … end − 1 come from running start … end − 2
            again += int(milliseconds[start : end - 1].sum())
    return int(size[keep].sum()) + inside, again


def time_saved(arrays, inputs, hidden):
    """Share of the forward time that is not computed twice, mean over the chains; 0 for a plan over its budget."""
    found = []
    for k, keep in enumerate(arrays["keep"]):
        peak, again = plan_cost(keep, inputs["megabytes"][k], inputs["milliseconds"][k])
        found.append(1 - again / hidden[k] if peak <= inputs["budget"][k] else 0.0)
    return float(np.mean(found))


challenge(
    "scale.challenge",
    title="What to keep?",
    statement=[
        f"{NUM_CHAINS} networks of {NUM_LAYERS} layers in a row, all different: `megabytes` (30, 24) is the size of each layer's "
        "input, `milliseconds` (30, 24) the time to run the layer, `budget` (30,) the memory that there is, in MB.",
        "Choose the inputs to keep: `keep`, an integer array (30, 24) of 0 and 1. The first input is always kept. What lies between "
        "two kept inputs is a *segment*: it is computed again in the backward pass, from its first layer to the last but one "
        "(only inputs are needed), and then all of its inputs are there.",
        "The peak of a plan is what is kept, plus the largest segment's inputs that are not kept. Over its budget, a network "
        "counts 0; else its score is the share of the forward time that is *not* computed again. The mean over all networks "
        "is the score.",
        "Equal segments, the best length of them for each network, reach about 0.3. Beat 0.5.",
    ],
    draw=draw_challenge,
    score=time_saved,
    hand_in={"keep": Array((NUM_CHAINS, NUM_LAYERS), "integer")},
    to_beat=0.5,
    points_by_score={0.5: 1, 0.55: 2, 0.6: 3},
    minutes=75,
    score_name="time not computed again",
)
