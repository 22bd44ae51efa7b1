"""GIoU, the best matching and average precision by hand, and the open challenge; PyTorch has a file of its own."""

import itertools

import numpy as np

from mmcourse.check.blanks import blank
from mmcourse.datasets.scenes import world
from mmcourse.datasets.scenes.drawing import box as box_of
from mmcourse.datasets.scenes.drawing import draw as draw_scene
from mmcourse.evaluate.detection import mean_average_precision
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
    "detection",
    promise="GIoU, the best matching and average precision by hand, a matched loss and a detector's head in PyTorch, and a "
    "challenge: detection in the dark.",
    uses="NumPy and Python; two PyTorch",
    setup="""
import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check
""",
)


# ---------------------------------------------------------------- 1
def generalized_iou(a, b):
    """GIoU of each row of `a` with the same row of `b`, xyxy: (n, 4), (n, 4) → (n,)."""
    inner = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    intersection = np.maximum(inner, 0).prod(axis=1)
    areas = (a[:, 2:] - a[:, :2]).prod(axis=1) + (b[:, 2:] - b[:, :2]).prod(axis=1)
    union = areas - intersection
    outer = np.maximum(a[:, 2:], b[:, 2:]) - np.minimum(a[:, :2], b[:, :2])
    enclosing = outer.prod(axis=1)
    return intersection / union - (enclosing - union) / enclosing


def draw_boxes(g, n, how):
    """Pairs of boxes that overlap, lie apart, inside each other, or are equal."""
    corner = g.integers(0, 9, (n, 2))
    size = g.integers(4, 9, (n, 2))
    a = np.concatenate([corner, corner + size], axis=1).astype(float)
    other = g.integers(4, 9, (n, 2))
    sign = g.choice([-1, 1], (n, 2))
    if how == "overlap":
        first = corner + g.integers(1, 4, (n, 2))
    elif how == "aside":  # apart in one direction
        first = corner + np.stack([size[:, 0] + g.integers(1, 6, n), g.integers(0, 3, n)], axis=1)
        first = first if g.random() < 0.5 else corner + np.stack([g.integers(0, 3, n), size[:, 1] + 3], axis=1)
    elif how == "apart":  # in both
        first = np.where(sign > 0, corner + size + g.integers(1, 5, (n, 2)), corner - other - g.integers(1, 5, (n, 2)))
    elif how == "inside":
        first, other = corner + 1, size - g.integers(2, 4, (n, 2))
    else:
        first, other = corner, size
    b = np.concatenate([first, first + other], axis=1).astype(float)
    return (a, b) if g.random() < 0.5 else (b, a)


giou = exercise(
    "detection.1",
    generalized_iou,
    title="GIoU",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(r"$$\mathrm{GIoU} = \frac{I}{U} - \frac{C - U}{C}$$"),
        context(
            "I is the area that two boxes share, U what they cover together, C the area of the smallest box around both."
        ),
        says(
            "**Write** `generalized_iou(a, b)`. Each row of `a` and of `b`, both (n, 4), is a box: left, top, right, bottom.",
            mistake="center and size",
        ),
        says("Compare row i with row i: the result has shape (n,).", mistake="only the first row"),
        says("Boxes may lie apart, in one direction or in both: then I is 0.", mistake="lie apart"),
        says("What both share counts once in U.", mistake="counts twice"),
        says("C is the area of the box around both.", mistake="takes the inner corners"),
        says("The second term is subtracted,", mistake="Subtract the empty share"),
        says("and its denominator is C.", mistake="divided by C"),
        example("""
a = np.array([[0.0, 0.0, 4.0, 4.0]])
b = np.array([[6.0, 0.0, 10.0, 4.0]])
print("they share nothing; together 32, around both", 10 * 4)
"""),
    ],
    hints=[
        "The inner corners: the larger of the two lefts and tops, the smaller of the two rights and bottoms. For the box "
        "around both it is the other way round.",
        "`np.maximum(inner, 0).prod(axis=1)` is the shared area, also where the boxes lie apart.",
    ],
    draw=draw_boxes,
    parts=[
        part("boxes that overlap", weight=2, n=between(2, 4), how="overlap"),
        part("apart in one direction", n=between(2, 3), how="aside"),
        part("apart in both directions", weight=2, n=between(2, 3), how="apart"),
        part("one inside the other", n=2, how="inside"),
        part("equal boxes", n=2, how="equal"),
        part("one pair", n=1, how=one_of("overlap", "apart")),
    ],
    own={"n": 1, "how": "overlap"},
    own_says="Two boxes of your own",
    mistakes={
        "You read the boxes as center and size; they are corners: left, top, right, bottom.": (
            lambda a, b: generalized_iou(*(np.c_[x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2] for x in (a, b)))
        ),
        "This is the value of only the first row: give one for each.": (lambda a, b: generalized_iou(a, b)[:1]),
        "Boxes that lie apart get an intersection: set negative sides to 0 before you multiply.": edit(
            "np.maximum(inner, 0).prod(axis=1)", "inner.prod(axis=1)"
        ),
        "What the two share counts twice in your union: subtract it once.": "union = areas",
        "Your outer box is not the box around both: it takes the inner corners.": (
            "outer = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])"
        ),
        "This is IoU only: the second term is missing.": "return intersection / union",
        "Subtract the empty share of the outer box, do not add it.": (
            "return intersection / union + (enclosing - union) / enclosing"
        ),
        "The empty part is divided by C, the box around both, not by the union.": (
            "return intersection / union - (enclosing - union) / union"
        ),
    },
    praise="The same boxes, and a gradient even where they do not touch.",
)


@right(giou)
def by_sides(a, b):
    found = []
    for (al, at, ar, ab), (bl, bt, br, bb) in zip(a, b, strict=True):
        wide, high = max(min(ar, br) - max(al, bl), 0), max(min(ab, bb) - max(at, bt), 0)
        shared = wide * high
        union = (ar - al) * (ab - at) + (br - bl) * (bb - bt) - shared
        around = (max(ar, br) - min(al, bl)) * (max(ab, bb) - min(at, bt))
        found.append(shared / union - 1 + union / around)
    return np.array(found)


# ---------------------------------------------------------------- 2
def best_matching(cost):
    """For each object the number of its query, at the least total cost: (q, m) → (m,)."""
    q, m = cost.shape
    best, least = None, np.inf
    for chosen in itertools.permutations(range(q), m):
        total = sum(cost[query, number] for number, query in enumerate(chosen))
        if total < least:
            best, least = chosen, total
    return np.array(best, dtype=int)


def draw_costs(g, q, m, trap):
    """Random costs; with a trap, the cheapest pair is not in the best matching."""
    cost = g.uniform(0, 2, (q, m)).round(3)
    if trap:
        first, second = g.permutation(q)[:2]
        a, b = g.permutation(m)[:2]
        cost[:, b] += 1
        cost[first, a], cost[first, b] = -1.0, -0.9 + g.uniform(0, 0.05)
        cost[second, a] = -0.8 - g.uniform(0, 0.05)
    return (cost.round(3),)


def greedily(cost):
    """The answer with one mistake."""
    left, found = cost.astype(float), np.zeros(cost.shape[1], int)
    for _ in range(cost.shape[1]):
        query, number = np.unravel_index(left.argmin(), left.shape)
        found[number] = query
        left[query, :] = np.inf
        left[:, number] = np.inf
    return found


def by_turns(cost):
    """The answer with one mistake."""
    left, found = cost.astype(float), []
    for number in range(cost.shape[1]):
        found.append(int(left[:, number].argmin()))
        left[found[-1], :] = np.inf
    return np.array(found, int)


def per_query(cost):
    """The answer with one mistake."""
    found = np.full(len(cost), -1)
    found[best_matching(cost)] = np.arange(cost.shape[1])
    return found


matching = exercise(
    "detection.2",
    best_matching,
    title="Who is to find what?",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "`cost` (q, m) says what it costs to match query i with object j. There are at least as many queries as objects."
        ),
        says(
            "**Write** `best_matching(cost)` without SciPy: for each object, the number of its query, as integers (m,).",
            mistake="number of its object",
        ),
        says("Every object gets a query of its own: no query twice.", mistake="same query"),
        says("The *sum* of the costs is the least possible,", mistake="cheapest pair first"),
        says("not the largest.", mistake="largest sum"),
        says("Some queries stay free, and they may be any of the q.", mistake="first m queries"),
        context("For up to 6 queries you may try all ways. Without objects the result is empty."),
        example("""
cost = np.array([[0.1, 0.2], [0.2, 1.0]])
print("first pair cheapest:", 0.1 + 1.0, "  the other way:", 0.2 + 0.2)
"""),
    ],
    hints=[
        "`itertools.permutations(range(q), m)` gives all ways to choose m different queries, in all orders. What does one of "
        "them cost?",
        "Keep the best choice and its total so far; begin with a total of `np.inf`.",
    ],
    draw=draw_costs,
    parts=[
        part("as many queries as objects", weight=2, q=3, m=3, trap=True),
        part("more queries", weight=2, q=between(5, 6), m=3, trap=True),
        part("any costs", q=5, m=between(2, 4), trap=False),
        part("one object", q=4, m=1, trap=False),
        part("no object", q=3, m=0, trap=False),
    ],
    own={"q": 3, "m": 2, "trap": True},
    own_says="Costs of your own",
    mistakes={
        "You give for each query the number of its object. For each object, the number of its query is wanted.": per_query,
        "Two objects have the same query: that is the cheapest one for each, not a matching.": (
            lambda cost: cost.argmin(axis=0)
        ),
        "The cheapest pair first is not always best: it may force an expensive one later.": greedily,
        "One object after the other takes what is cheapest for it: the sum may be smaller if an early one gives way.": (
            by_turns
        ),
        "This is the matching with the largest sum: costs are to be small.": (lambda cost: best_matching(-cost)),
        "You only use the first m queries: any of the q may be chosen.": (
            lambda cost: best_matching(cost[: cost.shape[1]])
        ),
    },
    praise="SciPy's `linear_sum_assignment` finds the same without trying them all.",
)


@right(matching)
def by_recursion(cost):
    q, m = cost.shape

    def best(number, free):
        if number == m:
            return 0.0, []
        options = []
        for query in free:
            rest, chosen = best(number + 1, [one for one in free if one != query])
            options.append((cost[query, number] + rest, [query, *chosen]))
        return min(options)

    return np.array(best(0, list(range(q)))[1], dtype=int)


# ---------------------------------------------------------------- 3
def ranked_precision(scores, objects, num_objects):
    """Average precision of boxes of one class, of which `objects` says what each has found."""
    order = np.argsort(-scores)
    ranked = objects[order].tolist()
    is_right = np.array([one >= 0 and one not in ranked[:i] for i, one in enumerate(ranked)], dtype=bool)
    precision = np.cumsum(is_right) / np.arange(1, len(ranked) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[is_right].sum() / num_objects)


def draw_ranking(g, boxes, num_objects, kind):
    scores = g.permutation(np.linspace(0.05, 0.95, boxes)).round(3) if boxes else np.zeros(0)
    found = g.permutation(num_objects)
    if kind == "nothing":
        objects = np.full(boxes, -1)
    elif kind == "all":
        objects = np.r_[found, np.full(boxes - num_objects, -1)]
    elif kind == "once":
        n = max(num_objects - 2, 1)
        objects = np.r_[found[:n], np.full(boxes - n, -1)]
    else:  # duplicates, some right ones, some wrong
        n = max(num_objects - 2, 1)
        again = g.choice(found[:n], 2)
        objects = np.r_[found[:n], again, np.full(boxes - n - 2, -1)]
    objects = g.permutation(objects)
    if boxes and kind == "duplicates":  # the best box is wrong, so that precision rises
        best = int(scores.argmax())
        wrong = np.flatnonzero(objects < 0)
        if len(wrong):
            objects[[best, wrong[0]]] = objects[[wrong[0], best]]
    return scores, objects.astype(int), num_objects


def without_duplicates(scores, objects, num_objects):
    """The answer with one mistake."""
    order = np.argsort(-scores)
    ranked = objects[order].tolist()
    keep = [i for i, one in enumerate(ranked) if one < 0 or one not in ranked[:i]]
    return ranked_precision(scores[order][keep], objects[order][keep], num_objects)


ranking = exercise(
    "detection.3",
    ranked_precision,
    title="Average precision",
    points=3,
    difficulty=3,
    minutes=25,
    statement=[
        context(
            "A detector drew boxes of one class in many pictures. `scores` (d,) are different; `objects` (d,) says which object "
            "a box lies on, as numbers that are different for all objects of all pictures, or −1 if it lies on none. There are "
            "`num_objects` objects."
        ),
        says(
            "**Write** `ranked_precision(scores, objects, num_objects)`. Take the boxes from the best score down.",
            mistake="The boxes are not sorted",
        ),
        says("The first box on an object is right.", mistake="only the first box counts"),
        says("Every later one on it is wrong, and stays in the list.", mistake="thrown out"),
        says("A box on no object is wrong.", mistake="lies on no object"),
        says(
            "Precision after k boxes is the share of right ones among them; replace it by the best precision from there on.",
            mistake="Precision is not made monotone",
        ),
        says(
            "Add up this value at each right box, and divide by the number of *all* objects.",
            mistake="not of those that were found",
        ),
        says(
            "Return a float; without boxes it is 0.",
            ignored="return float(best[is_right].sum() / num_objects) if len(scores) else 1.0",
        ),
        example("""
scores = np.array([0.9, 0.8, 0.7])
objects = np.array([4, -1, 2])  # the first and the third lie on objects 4 and 2
print("precision 1, 1/2, 2/3; with 4 objects", (1 + 2 / 3) / 4)
"""),
    ],
    hints=[
        "Sort `objects` by score first. A box is right if its object is not −1 and did not come before in the sorted list.",
        "`np.maximum.accumulate(precision[::-1])[::-1]` gives the best precision from each place on.",
    ],
    draw=draw_ranking,
    parts=[
        part("with duplicates", weight=3, boxes=between(9, 11), num_objects=between(4, 6), kind="duplicates"),
        part("each found once", weight=2, boxes=between(7, 9), num_objects=between(4, 6), kind="once"),
        part("all are found", boxes=7, num_objects=between(3, 4), kind="all"),
        part("none is found", boxes=4, num_objects=3, kind="nothing"),
        part("no boxes", boxes=0, num_objects=3, kind="nothing"),
    ],
    own={"boxes": 6, "num_objects": 4, "kind": "duplicates"},
    own_says="A ranking of your own",
    mistakes={
        "The boxes are not sorted: take the best score first.": "ranked = objects.tolist()",
        "You begin with the worst score: take the best one first.": "order = np.argsort(scores)",
        "Of several boxes on one object only the first box counts as right.": (
            "is_right = np.array([one >= 0 for one in ranked], dtype=bool)"
        ),
        "Duplicates were thrown out: they stay in the list, as wrong ones.": without_duplicates,
        "A box that lies on no object is wrong, and so not among the right ones.": (
            "is_right = np.array([one not in ranked[:i] for i, one in enumerate(ranked)], dtype=bool)"
        ),
        "Precision is not made monotone: take the best one from each place on.": "best = precision",
        "Your monotone precision takes the best one *up to* a place: it is the best *from there on*.": (
            "best = np.maximum.accumulate(precision)"
        ),
        "Divide by the number of all objects, not of those that were found.": (
            "return float(best[is_right].sum() / max(is_right.sum(), 1))"
        ),
        "Divide by the number of objects, not of boxes.": "return float(best[is_right].sum() / max(len(ranked), 1))",
    },
    praise="COCO's own program does the same, at 101 recalls and ten thresholds.",
)


@right(ranking)
def by_walking(scores, objects, num_objects):
    seen, hits, points = set(), 0, []
    for k, (_, one) in enumerate(sorted(zip(-scores, objects.tolist(), strict=True)), start=1):
        fresh = one != -1 and one not in seen
        if fresh:
            seen.add(one)
            hits += 1
        points.append((fresh, hits / k))
    total = 0.0
    for i, (fresh, _) in enumerate(points):
        if fresh:
            total += max(p for _, p in points[i:])
    return total / num_objects


# ---------------------------------------------------------------- the lesson's blanks
def box_pairs():
    g = np.random.default_rng(0)
    for how in ("overlap", "overlap", "aside", "apart", "apart", "inside", "equal"):
        a, b = draw_boxes(g, 1, how)
        yield a[0], b[0]


def overlapped(a, b, *, clamp=True, once=True, cxcywh=False):
    if cxcywh:
        a, b = (np.r_[x[:2] - x[2:] / 2, x[:2] + x[2:] / 2] for x in (a, b))
    inner = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    intersection = (np.maximum(inner, 0) if clamp else inner).prod()
    areas = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()
    return intersection / (areas - intersection if once else areas)


@blank(
    "detection.blank.1",
    title="Intersection over union",
    inputs=box_pairs,
    mistakes=[
        (
            lambda a, b: overlapped(a, b, clamp=False),
            "Boxes that lie apart share nothing: set negative sides to 0 before you multiply.",
        ),
        (lambda a, b: overlapped(a, b, once=False), "The shared part is in both areas: subtract it once."),
        (lambda a, b: overlapped(a, b, cxcywh=True), "The boxes are corners: left, top, right, bottom."),
        (lambda a, b: 1 - overlapped(a, b), "This is the share that they do *not* have in common."),
    ],
)
def iou(a, b):
    return overlapped(a, b)


def cost_tables():
    g = np.random.default_rng(1)
    for q, m in ((4, 2), (3, 3), (5, 1)):
        p = g.dirichlet(np.ones(6), q)
        yield p, g.random((q, 4)), g.integers(0, 6, m), g.random((m, 4)), g.uniform(-1, 1, (q, m))


def priced(p, boxes, labels, targets, giou, *, sign=-1.0, log=False, mean=False, minus=True):
    of_class = sign * (np.log(p[:, labels]) if log else p[:, labels])
    difference = np.abs(boxes[:, None] - targets[None])
    distance = difference.mean(axis=-1) if mean else difference.sum(axis=-1)
    return of_class + 5 * distance + (-2 if minus else 2) * giou


@blank(
    "detection.blank.2",
    title="What a pair costs",
    inputs=cost_tables,
    mistakes=[
        (
            lambda *x: priced(*x, sign=1.0),
            "The class has the wrong sign: a query that is sure of the right class is cheap.",
        ),
        (lambda *x: priced(*x, log=True), "The probability itself is taken, not its logarithm."),
        (lambda *x: priced(*x, mean=True), "L1 is the sum over the four numbers, not their mean."),
        (lambda *x: priced(*x, minus=False), "GIoU has the wrong sign: boxes that agree are cheap."),
    ],
)
def pair_cost(p, boxes, labels, targets, giou):
    return priced(p, boxes, labels, targets, giou)


def heaps():
    g = np.random.default_rng(2)
    for n in (1, 4, 6, 8):
        near = g.uniform(0, 1, (n, n))
        overlap = np.maximum((near + near.T) / 2, np.eye(n))
        yield g.permutation(np.linspace(0.1, 0.9, n)), overlap, 0.5
    chain = np.array([[1.0, 0.6, 0.1], [0.6, 1.0, 0.6], [0.1, 0.6, 1.0]])  # the last meets only what was dropped
    yield np.array([0.9, 0.8, 0.7]), chain, 0.5
    yield np.array([0.2, 0.8, 0.7]), np.array([[1.0, 0.4, 0.1], [0.4, 1.0, 0.35], [0.1, 0.35, 1.0]]), 0.3


def kept_of(scores, overlap, threshold, *, worst=False, dropped=False, below=False):
    kept, gone = [], []
    for i in np.argsort(scores if worst else -scores, kind="stable"):
        others = kept + gone if dropped else kept
        meets = [overlap[i, j] > threshold for j in others]
        (gone if (not all(meets) if below else any(meets)) else kept).append(int(i))
    return kept


@blank(
    "detection.blank.4",
    title="Non-maximum suppression",
    inputs=heaps,
    mistakes=[
        (lambda *x: kept_of(*x, worst=True), "Begin with the best score, not with the worst."),
        (
            lambda *x: kept_of(*x, dropped=True),
            "A box is dropped for overlapping one that was *kept*; a dropped box drops nobody.",
        ),
        (
            lambda scores, overlap, threshold: np.argsort(-scores, kind="stable").tolist(),
            "Nothing is dropped: leave out boxes that overlap a kept one by more than the threshold.",
        ),
        (lambda *x: sorted(kept_of(*x)), "Give them in the order of their scores, the best first."),
    ],
)
def suppress(scores, overlap, threshold=0.5):
    return kept_of(scores, overlap, threshold)


# ---------------------------------------------------------------- an open challenge
NUM_PICTURES = 150
MOST_BOXES = 12
DARKER, NOISE = 0.25, 20.0


def in_the_dark(image, g):
    """The picture at a quarter of its brightness, with noise on each pixel and channel."""
    return np.clip(DARKER * image + g.normal(0, NOISE, image.shape), 0, 255).round().astype(np.uint8)


def draw_night(g):
    """Dark pictures, and the boxes and shapes of their things."""
    seed = int(g.integers(1 << 40, 1 << 50))  # far from every seed of the course
    scenes = [world.make(seed, i) for i in range(NUM_PICTURES)]
    images = np.stack([in_the_dark(draw_scene(scene), g) for scene in scenes])
    objects = np.full((NUM_PICTURES, world.MOST, 5), -1.0)
    for row, scene in enumerate(scenes):
        for i, thing in enumerate(scene.things):
            objects[row, i] = [*box_of(thing), thing.shape]
    return Drawn({"images": images}, objects)


def map_of(handed_in, inputs, objects):
    """COCO's mAP of the boxes handed in; a score of 0 or less means that there is no box."""
    predictions, targets = [], []
    for boxes, labels, scores, things in zip(
        handed_in["boxes"], handed_in["labels"], handed_in["scores"], objects, strict=True
    ):
        valid = (boxes[:, 2:] >= boxes[:, :2]).all(axis=1) & (labels >= 0) & (labels < len(world.SHAPES))
        use = valid & (scores > 0)
        predictions.append((boxes[use], labels[use].astype(int), scores[use]))
        there = things[:, 4] >= 0
        targets.append((things[there, :4], things[there, 4].astype(int)))
    return mean_average_precision(predictions, targets, len(world.SHAPES))["map"]


challenge(
    "detection.challenge",
    title="Detection in the dark",
    statement=[
        "`images` (150, 64, 64, 3), uint8, are scenes at a quarter of their brightness, with noise: each value was multiplied",
        "by 0.25, normal noise with standard deviation 20 was added, and the result clipped to 0 … 255 and rounded. Find the",
        "things. Hand in `boxes` (150, 12, 4), floats: left, top, right, bottom in pixels; `labels` (150, 12), integers: the row of",
        "the shape in `world.SHAPES` (`from mmcourse.datasets.scenes import world`); `scores` (150, 12), floats, 0 where you have",
        "no box. The score is mAP over IoU 0.50 to 0.95. The lesson's shipped detector, given these pictures as they are, is",
        "blind: 0.00. Brightened and smoothed by a Gaussian of about a pixel, it reaches 0.41. Make as many dark pictures of",
        "your own as you like (`world.make`, `drawing.draw`), and train on them.",
    ],
    draw=draw_night,
    score=map_of,
    hand_in={
        "boxes": Array((NUM_PICTURES, MOST_BOXES, 4), "float"),
        "labels": Array((NUM_PICTURES, MOST_BOXES), "integer"),
        "scores": Array((NUM_PICTURES, MOST_BOXES), "float"),
    },
    to_beat=0.45,
    points_by_score={0.45: 1, 0.5: 2, 0.6: 3},
    minutes=90,
    score_name="mAP",
)
