"""Known right and wrong answers to the exercises of lesson chat, as learners write them."""

import numpy as np
from exercise_harness import Answers

ROLES = {12: "user", 13: "assistant", 14: "tool"}


# ---------------------------------------------------------------- chat.1
def labeled(who=("assistant",), end=True, call=True, role=False, shift=0, padding=False):
    """A right answer with places to go wrong."""

    def answer(ids):
        found, now, calls = [], "", False
        for piece in [int(x) for x in ids]:
            if piece in ROLES:
                now, calls = ROLES[piece], False
                found.append(piece if role and now in who else -100)
                continue
            calls = calls or piece == 15
            counts = now in who and (end or piece != 16) and (call or not calls)
            found.append(piece if counts else -100)
            if piece == 16 and not padding:
                now = ""
        if shift:
            found = [*found[shift:], *[-100] * shift]
        return np.array(found)

    return answer


# ---------------------------------------------------------------- chat.2
def four_sums(reference=True, swap=False, inside=True, reduce=np.mean, log=lambda m: np.logaddexp(0.0, -m), power=1):
    """A right answer with places to go wrong."""

    def answer(c, r, rc, rr, beta):
        m = (c - rc) - (r - rr) if reference else c - r
        m = -m if swap else m
        if not inside:
            return float(beta * reduce(log(m)))
        return float(reduce(log(beta**power * m)))

    return answer


def by_logarithm(m):
    with np.errstate(over="ignore", divide="ignore"):
        return -np.log(1 / (1 + np.exp(-m)))


# ---------------------------------------------------------------- chat.3
def centered(axis=1, spread=np.std, subtract=True, sign=1, when=lambda divide: divide, safe=True, **options):
    """A right answer with places to go wrong."""

    def answer(rewards, divide):
        x = sign * (rewards - rewards.mean(axis=axis, keepdims=True)) if subtract else rewards.copy()
        if not when(divide):
            return x
        deviation = spread(rewards, axis=1, keepdims=True, **options)
        if safe:
            deviation = np.where(deviation == 0, 1.0, deviation)
        with np.errstate(invalid="ignore", divide="ignore"):
            return x / deviation

    return answer


ANSWERS = {
    "chat.1": Answers(
        right=[labeled(), lambda ids: labeled()(list(ids)).tolist()],
        wrong=[
            (labeled(who=("assistant", "tool")), "make up results"),
            (labeled(who=("assistant", "user")), "learn to ask"),
            (labeled(end=False), "never stop"),
            (labeled(call=False), "call is the assistant's"),
            (labeled(role=True), "role token"),
            (labeled(shift=1), "not shifted"),
            (labeled(padding=True), "Padding after"),
            (lambda ids: np.array(ids), "Everything is trained"),
        ],
    ),
    "chat.2": Answers(
        right=[four_sums(), lambda *a: np.float64(four_sums()(*a))],
        wrong=[
            (four_sums(reference=False), "reference is missing"),
            (four_sums(swap=True), "exchanged"),
            (four_sums(inside=False), "inside"),
            (four_sums(reduce=np.sum), "This is the sum"),
            (four_sums(power=-1), "does not divide"),
            (four_sums(log=by_logarithm), "thousands"),
            (four_sums(log=lambda m: -np.logaddexp(0.0, -m)), "sign is missing"),
        ],
    ),
    "chat.3": Answers(
        right=[centered(), lambda r, d: np.array([centered()(row[None], d)[0] for row in r])],
        wrong=[
            (centered(axis=None), "whole batch"),
            (centered(axis=0), "axis 0"),
            (centered(subtract=False), "not subtracted"),
            (centered(sign=-1), "sign"),
            (centered(when=lambda divide: False), "division by the deviation"),
            (centered(when=lambda divide: True), "Only where"),
            (centered(spread=np.var), "square root"),
            (centered(ddof=1), "population"),
            (centered(safe=False), "NaN"),
        ],
    ),
}
