"""Known right and wrong answers to the exercises of lesson medical, as learners write them."""

import numpy as np
from exercise_harness import Answers


# ---------------------------------------------------------------- medical.1
def swept(start=True, down=True, together=True, of_zeros=True, of_ones=True, area="sum", called=True, swap=False):
    """A right answer with places to go wrong."""

    def answer(labels, scores):
        ranked = sorted(zip(scores.tolist(), labels.tolist(), strict=True), key=lambda t: -t[0] if down else t[0])
        steps = [[pair] for pair in ranked]
        if together:
            steps = []
            for pair in ranked:
                if steps and steps[-1][-1][0] == pair[0]:
                    steps[-1].append(pair)
                else:
                    steps.append([pair])
        positives, negatives = sum(labels), len(labels) - sum(labels)
        hits = alarms = 0
        xs, ys, ps = [0.0], [0.0], []
        for step in steps:
            hits += sum(y for _, y in step)
            alarms += sum(1 - y for _, y in step)
            xs.append(alarms / (negatives if of_zeros else len(labels)))
            ys.append(hits / (positives if of_ones else len(labels)))
            ps.append(hits / ((hits + alarms) if called else len(labels)))
        recall = np.array(ys) * (1 if of_ones else len(labels) / positives)
        if area == "sum":
            ap = float(np.dot(np.diff(recall), ps))
        elif area == "trapezoid":
            ap = float(np.trapezoid([ps[0], *ps], recall))
        else:
            ap = float(np.mean(ps))
        if swap:
            xs, ys = ys, xs
        keep = 0 if start else 1
        return np.array(xs[keep:]), np.array(ys[keep:]), ap

    return answer


# ---------------------------------------------------------------- medical.2
def moved(
    ratio=lambda o, n: n * (1 - o) / (o * (1 - n)),
    times=1,
    by="moved",
    at=lambda a, m: a / (a + m),
    crude=False,
    least=True,
):
    """A right answer with places to go wrong."""

    def answer(p, old, new, false_alarm, miss):
        q = np.asarray(p, float)
        for _ in range(times):
            r = ratio(old, new)
            q = np.clip(q * new / old, 0, 1) if crude else q * r / (q * r + 1 - q)
        level = at(false_alarm, miss)
        if by == "margin":
            return q, q - level
        if not least:
            return q, q > level
        return q, (q if by == "moved" else p) >= level

    return answer


# ---------------------------------------------------------------- medical.3
def shipped(record=0.02, loss=0.05, group=0.1, by="other", none=-1, size=lambda x: x, below="other"):
    """A right answer with places to go wrong."""

    def answer(same_site, other_site, record_alone, smallest_group):
        passes = []
        for i in range(len(other_site)):
            one = record is None or other_site[i] > record_alone + record
            two = loss is None or size(same_site[i] - other_site[i]) < loss
            three = group is None or (same_site if below == "same" else other_site)[i] - smallest_group[i] <= group
            if one and two and three:
                passes.append(i)
        if not passes:
            return int(np.argmax(other_site)) if none is None else none
        value = {"same": same_site, "group": smallest_group}.get(by, other_site)
        return passes[0] if by == "first" else max(passes, key=lambda i: value[i])

    return answer


ANSWERS = {
    "medical.1": Answers(
        right=[swept(), lambda *a: [np.asarray(part) for part in swept()(*a)]],
        wrong=[
            (swept(start=False), "begins with nobody"),
            (swept(down=False), "highest score first"),
            (swept(together=False), "equal scores"),
            (swept(of_zeros=False), "share of the 0s"),
            (swept(of_ones=False), "share of the 1s"),
            (swept(area="trapezoid"), "not an area by trapezoids"),
            (swept(area="mean"), "mean of all precisions"),
            (swept(called=False), "those who are called"),
            (swept(swap=True), "exchanged"),
        ],
    ),
    "medical.2": Answers(
        right=[moved(), lambda *a: [np.asarray(part) for part in moved()(*a)]],
        wrong=[
            (moved(ratio=lambda o, n: o * (1 - n) / (n * (1 - o))), "wrong way"),
            (moved(ratio=lambda o, n: n / (1 - n)), "old prior odds"),
            (moved(times=2), "corrected twice"),
            (moved(times=0), "not corrected"),
            (moved(crude=True), "healthy change"),
            (moved(by="p"), "corrected ones"),
            (moved(at=lambda a, m: 0.5), "not 0.5"),
            (moved(at=lambda a, m: m / (a + m)), "exchanged"),
            (moved(at=lambda a, m: a / m), "sum of both costs"),
            (moved(by="margin"), "booleans"),
            (moved(least=False), "exactly at the threshold"),
        ],
    ),
    "medical.3": Answers(
        right=[shipped(), lambda *a: np.int64(shipped()(*a))],
        wrong=[
            (shipped(record=None), "record alone"),
            (shipped(loss=None), "with a shortcut got through"),
            (shipped(group=None), "worst group"),
            (shipped(by="same"), "best of the training hospital"),
            (shipped(by="first"), "first that passes"),
            (shipped(size=abs), "only a loss counts"),
            (shipped(below="same"), "You compare the smallest group"),
            (shipped(by="group"), "best by its smallest group"),
            (shipped(none=None), "ship nothing"),
            (shipped(record=None, loss=None, group=None), "No check at all"),
        ],
    ),
}
