"""Known right and wrong answers to the exercises of lesson detection, as learners write them."""

import itertools

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- detection.1
def compare(clamp=True, once=True, hull=(np.minimum, np.maximum), sign=-1, over="hull", corners=True):
    """A right answer with places to go wrong."""

    def answer(a, b):
        if not corners:
            a, b = (np.hstack([x[:, :2] - x[:, 2:] / 2, x[:, :2] + x[:, 2:] / 2]) for x in (a, b))
        x0, y0, x1, y1 = np.maximum(a[:, 0], b[:, 0]), np.maximum(a[:, 1], b[:, 1]), *np.minimum(a[:, 2:], b[:, 2:]).T
        w, h = x1 - x0, y1 - y0
        shared = np.clip(w, 0, None) * np.clip(h, 0, None) if clamp else w * h
        area = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
        union = area[0] + area[1] - (shared if once else 0)
        near, far = hull[0](a[:, :2], b[:, :2]), hull[1](a[:, 2:], b[:, 2:])
        outer = np.prod(far - near, axis=1)
        return shared / union + sign * (outer - union) / (outer if over == "hull" else union)

    return answer


# ---------------------------------------------------------------- detection.2
def search(
    better=lambda total, best: total < best, rows=lambda cost: range(len(cost)), give=lambda chosen, cost: chosen
):
    """A right answer with places to go wrong."""

    def answer(cost):
        best, found = None, ()
        for chosen in itertools.permutations(rows(cost), cost.shape[1]):
            total = float(cost[list(chosen), np.arange(cost.shape[1])].sum())
            if best is None or better(total, best):
                best, found = total, chosen
        return np.asarray(give(list(found), cost), dtype=np.int64)

    return answer


def of_queries(chosen, cost):
    found = [-1] * len(cost)
    for number, query in enumerate(chosen):
        found[query] = number
    return found


def cheapest_pairs(cost):
    pairs = sorted((cost[i, j], i, j) for i in range(cost.shape[0]) for j in range(cost.shape[1]))
    used, found = set(), {}
    for _, i, j in pairs:
        if i not in used and j not in found:
            used.add(i)
            found[j] = i
    return np.array([found[j] for j in range(cost.shape[1])], dtype=int)


def in_turn(cost):
    free, found = list(range(len(cost))), []
    for j in range(cost.shape[1]):
        found.append(min(free, key=lambda i: cost[i, j]))
        free.remove(found[-1])
    return np.array(found, dtype=int)


# ---------------------------------------------------------------- detection.3
def rank(key=lambda s: -s, again="wrong", none=-1, smooth="after", by="all"):
    """A right answer with places to go wrong."""

    def answer(scores, objects, num_objects):
        order = range(len(scores)) if key is None else sorted(range(len(scores)), key=lambda i: key(scores[i]))
        seen, flags = set(), []
        for i in order:
            one = int(objects[i])
            if one in seen and one != -1:
                if again == "drop":
                    continue
                flags.append(again == "right")
            else:
                flags.append(one != -1 if none == -1 else one not in seen)
                seen.add(one)
        right, curve = 0, []
        for k, flag in enumerate(flags, 1):
            right += flag
            curve.append(right / k)
        total = 0.0
        for k, flag in enumerate(flags):
            if flag:
                total += {"after": max(curve[k:]), "none": curve[k], "before": max(curve[: k + 1])}[smooth]
        return total / {"all": num_objects, "found": max(right, 1), "boxes": max(len(flags), 1)}[by]

    return answer


ANSWERS = {
    "detection.1": Answers(
        right=[compare(), lambda a, b: compare()(b, a)],
        wrong=[
            (compare(clamp=False), "set negative sides to 0"),
            (compare(once=False), "counts twice"),
            (compare(hull=(np.maximum, np.minimum)), "takes the inner corners"),
            (compare(sign=0), "IoU only"),
            (compare(sign=1), "do not add it"),
            (compare(over="union"), "divided by C"),
            (compare(corners=False), "center and size"),
        ],
    ),
    "detection.2": Answers(
        right=[search(), lambda cost: search()(cost + 1.0)],
        wrong=[
            (search(better=lambda total, best: total > best), "largest sum"),
            (search(rows=lambda cost: range(cost.shape[1])), "first m queries"),
            (search(give=of_queries), "number of its object"),
            (lambda cost: np.array([int(np.argmin(column)) for column in cost.T], dtype=int), "same query"),
            (cheapest_pairs, "cheapest pair first"),
            (in_turn, "One object after the other"),
        ],
    ),
    "detection.3": Answers(
        right=[rank(), lambda scores, objects, num_objects: float(np.float64(rank()(scores, objects, num_objects)))],
        wrong=[
            (rank(key=None), "not sorted"),
            (rank(key=lambda s: s), "worst score"),
            (rank(again="right"), "only the first box counts"),
            (rank(again="drop"), "thrown out"),
            (rank(none=None), "lies on no object"),
            (rank(smooth="none"), "not made monotone"),
            (rank(smooth="before"), "from there on"),
            (rank(by="found"), "not of those that were found"),
            (rank(by="boxes"), "not of boxes"),
        ],
    ),
}
