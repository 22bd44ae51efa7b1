"""The mask of a dialogue, DPO from four sums and group advantages by hand, and the open challenge; PyTorch has a file."""

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
from mmcourse.numpy.preferences import kl_divergence, optimal_policy

USER, ASSISTANT, TOOL, CALL, END = 12, 13, 14, 15, 16

lesson(
    "chat",
    promise="The mask of a dialogue with a tool, the loss of DPO and the advantages of GRPO by hand, the masked loss and a "
    "DPO step with a frozen reference in PyTorch, and a challenge: the best policy from few judgments.",
    uses="NumPy and Python; two PyTorch",
    setup="""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcourse.check import check

USER, ASSISTANT, TOOL, CALL, END = 12, 13, 14, 15, 16  # ids of the role tokens
""",
)


# ---------------------------------------------------------------- 1
def dialogue_labels(ids):
    """Labels of a dialogue: what the assistant says and its end; −100 elsewhere. ids (n,) → int (n,)."""
    labels = np.full(len(ids), -100)
    speaker = None
    for i, piece in enumerate(ids):
        if piece in (USER, ASSISTANT, TOOL):
            speaker = piece
            continue
        if speaker == ASSISTANT:
            labels[i] = piece
        if piece == END:
            speaker = None
    return labels


def draw_dialogue(g, plot, picture, padding):
    """A dialogue of a kind as ids."""

    def said(most=3):
        return g.integers(20, 60, int(g.integers(1, most + 1))).tolist()

    turns = {
        "short": [(USER, said()), (ASSISTANT, said())],
        "two": [(USER, said()), (ASSISTANT, said()), (USER, said()), (ASSISTANT, said())],
        "tool": [(USER, said()), (ASSISTANT, [CALL, *said(2)]), (TOOL, said(2)), (ASSISTANT, said())],
        "long": [
            (USER, said()),
            (ASSISTANT, [CALL, *said(2)]),
            (TOOL, said()),
            (ASSISTANT, said()),
            (USER, said()),
            (ASSISTANT, said()),
        ],
        "question": [(USER, said())],
    }[plot]
    ids = [1, *[7] * picture]
    for role, words in turns:
        ids += [role, *words, END]
    return (np.array([*ids, *[0] * padding]),)


labels = exercise(
    "chat.1",
    dialogue_labels,
    title="Who is trained?",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            "A dialogue as ids (n,): `<bos>` (1), places for the picture (7), then turns. Each turn is a role token (`USER`, "
            "`ASSISTANT` or `TOOL`), what is said, and `END`. After the last turn there may be padding (0). An assistant's "
            "turn that begins with `CALL` calls the tool."
        ),
        says(
            "**Write** `dialogue_labels(ids)`. Where the assistant speaks, the label is the id itself",
            mistake="not shifted",
        ),
        says("(no shift: the loss does that);", mistake="not shifted"),
        says("its `END` is trained, too, or it would never stop,", mistake="never stop"),
        says("and so is a call.", mistake="call"),
        says("Everywhere else the label is −100: what the user says,", mistake="user"),
        says("what the tool says,", mistake="tool"),
        says("role tokens, which the program writes,", mistake="role"),
        says("the picture's places and the padding.", mistake="Padding after"),
        says(
            "A dialogue without an assistant has no label at all.",
            ignored="return np.array([i if s else -100 for i, s in zip(ids, labels != -100)]) if (labels != -100).any() else ids",
        ),
        example("""
ids = np.array([1, 7, USER, 40, END, ASSISTANT, 41, END])
print("of these, 41 and the last END are trained")
"""),
    ],
    hints=[
        "Go through the ids and remember who speaks. Who speaks before the first role token, and after an `END`?",
        "A role token changes `speaker` and gets no label. Any other piece gets its own id if the speaker is the assistant. "
        "After `END`, `speaker = None`.",
    ],
    draw=draw_dialogue,
    parts=[
        part("one question", plot="short", picture=between(0, 3), padding=0),
        part("two questions", plot="two", picture=2, padding=between(1, 3)),
        part("a tool call", weight=2, plot="tool", picture=between(1, 3), padding=between(1, 2)),
        part("a tool call, and on it goes", weight=2, plot="long", picture=1, padding=2),
        part("nobody has answered", plot="question", picture=1, padding=1),
    ],
    own={"plot": "tool", "picture": 1, "padding": 1},
    own_says="A dialogue of your own",
    mistakes={
        "What the tool says is trained: the model would learn to make up results.": edit(
            "if speaker == ASSISTANT:", "if speaker in (ASSISTANT, TOOL):"
        ),
        "What the user says is trained: it would learn to ask, too.": edit(
            "if speaker == ASSISTANT:", "if speaker in (ASSISTANT, USER):"
        ),
        "The assistant's END is not trained: it would never stop.": edit(
            "if speaker == ASSISTANT:", "if speaker == ASSISTANT and piece != END:"
        ),
        "A call is the assistant's, too: train it.": lambda ids: without_calls(ids),
        "Labels are not shifted here: label i is id i.": [
            "return np.append(labels[1:], -100)",
            "return np.append(-100, labels[:-1])",
        ],
        "A role token is written by the program, not by the model.": edit(
            "            speaker = piece\n            continue", "            speaker = piece"
        ),
        "Padding after the last END is trained.": edit("if piece == END:", "if piece == -1:"),
        "Everything is trained.": "return np.array(ids)",
        "This is a mask; the labels are wanted.": "return labels != -100",
    },
    praise="Every chat model that was ever trained has this function somewhere.",
)


def without_calls(ids):
    """The answer with one mistake."""
    found = dialogue_labels(ids)
    inside = False
    for i, piece in enumerate(ids):
        inside = piece == CALL or (inside and piece not in (USER, ASSISTANT, TOOL))
        if inside:
            found[i] = -100
    return found


@right(labels)
def by_turns(ids):
    ids = np.asarray(ids)
    found = np.full(ids.shape, -100)
    for start in np.flatnonzero(ids == ASSISTANT):
        end = start + int(np.flatnonzero(ids[start:] == END)[0])
        found[start + 1 : end + 1] = ids[start + 1 : end + 1]
    return found


# ---------------------------------------------------------------- 2
def dpo(chosen, rejected, reference_chosen, reference_rejected, beta):
    """DPO: mean of −log σ(β (Δ log π − Δ log π_ref)). Sums of log p, (b,) each → float."""
    policy = chosen - rejected
    reference = reference_chosen - reference_rejected
    margin = beta * (policy - reference)
    losses = np.logaddexp(0, -margin)
    return float(losses.mean())


def draw_sums(g, b, scale):
    """Sums of log p of answers, and β."""
    sums = -g.uniform(1, 20, (4, b)).round(2) * scale
    return (*sums, float(g.choice([0.1, 0.3, 0.7])))


preference = exercise(
    "chat.2",
    dpo,
    title="DPO from four sums",
    points=3,
    difficulty=2,
    minutes=20,
    statement=[
        context(
            r"$$\text{loss} = -\log \sigma\Bigl(\beta \bigl[\log \tfrac{\pi(y_w)}{\pi_{\text{ref}}(y_w)} - \log "
            r"\tfrac{\pi(y_l)}{\pi_{\text{ref}}(y_l)}\bigr]\Bigr)$$"
        ),
        context(
            "For b pairs you have the log-probabilities of whole answers, (b,) each: of the preferred and the other one under "
            "the policy (`chosen`, `rejected`) and under the reference (`reference_chosen`, `reference_rejected`)."
        ),
        says(
            "**Write** `dpo(chosen, rejected, reference_chosen, reference_rejected, beta)`: the loss above,",
            mistake="exchanged",
        ),
        says("with the reference subtracted,", mistake="reference is missing"),
        says("β inside σ,", mistake="inside"),
        says("as the mean over all pairs, a float.", mistake="mean over"),
        says("It must be finite where margins are in the thousands.", mistake="thousands"),
        example("""
print("a policy that is its own reference has the loss ln 2 =", np.log(2).round(4))
"""),
    ],
    hints=[
        "First the margin: β times (chosen minus its reference, minus the same for rejected).",
        "−log σ(m) = log(1 + e^−m) = `np.logaddexp(0, -m)`, which never overflows.",
    ],
    draw=draw_sums,
    parts=[
        part("several pairs", weight=2, b=between(3, 6), scale=1),
        part("one pair", b=1, scale=1),
        part("margins in the thousands", b=between(2, 4), scale=3000),
    ],
    own={"b": 2, "scale": 1},
    own_says="Sums of your own",
    mistakes={
        "The reference is missing.": "margin = beta * policy",
        "Preferred and other are exchanged.": "losses = np.logaddexp(0, margin)",
        "The reference is added: subtract it.": "margin = beta * (policy + reference)",
        "β belongs inside σ.": lambda c, r, rc, rr, beta: float(beta * np.logaddexp(0, -(c - r - rc + rr)).mean()),
        "β multiplies the margin, it does not divide it.": "margin = (policy - reference) / beta",
        "This is the sum: the mean over all pairs is wanted.": "return float(losses.sum())",
        "The mean is wanted over pairs, of their losses: you took the loss of the mean margin.": (
            "losses = np.logaddexp(0, -margin.mean())"
        ),
        "The sign is missing: −log σ is positive.": "losses = -np.logaddexp(0, -margin)",
        "This is σ: its negative logarithm is wanted.": "losses = np.exp(-np.logaddexp(0, -margin))",
        "With margins in the thousands it is infinite: do not take the logarithm of σ.": (
            lambda c, r, rc, rr, beta: naive_dpo(c, r, rc, rr, beta)
        ),
    },
    praise="No reward model and no sampling: four numbers per pair.",
)


def naive_dpo(c, r, rc, rr, beta):
    """The answer with one mistake."""
    with np.errstate(over="ignore", divide="ignore"):
        return float(np.mean(-np.log(1 / (1 + np.exp(-beta * (c - rc - r + rr))))))


@right(preference)
def as_bradley_terry(chosen, rejected, reference_chosen, reference_rejected, beta):
    rewards = beta * (chosen - reference_chosen), beta * (rejected - reference_rejected)
    m = rewards[0] - rewards[1]
    return np.mean(np.where(m > 0, np.log1p(np.exp(-np.abs(m))), -m + np.log1p(np.exp(-np.abs(m)))))


# ---------------------------------------------------------------- 3
def advantages(rewards, divide):
    """Rewards minus their group's mean, perhaps over its deviation: (groups, size) → (groups, size)."""
    mean = rewards.mean(axis=1, keepdims=True)
    centered = rewards - mean
    if not divide:
        return centered
    deviation = rewards.std(axis=1, keepdims=True)
    return np.where(deviation > 0, centered / np.where(deviation > 0, deviation, 1), 0.0)


def draw_rewards(g, groups, size, divide, alike):
    rewards = g.normal(size=(groups, size)).round(2) + 3 * np.arange(1, groups + 1)[:, None]
    rewards *= 1 + np.arange(groups)[:, None]
    if alike:
        rewards[0] = float(g.integers(1, 5))
    return rewards, divide


group = exercise(
    "chat.3",
    advantages,
    title="Better than its group",
    points=2,
    difficulty=2,
    minutes=15,
    statement=[
        context(
            "In GRPO each question is answered several times. `rewards` (groups, size) are the rewards of these answers, one "
            "row per question."
        ),
        says(
            "**Write** `advantages(rewards, divide)`: each reward minus the mean *of its own group*.",
            mistake="own group",
        ),
        says("A better answer has a positive advantage.", mistake="sign"),
        says(
            "Where `divide` is true, divide by the group's standard deviation as well;",
            mistake="division by the deviation",
        ),
        says("(that of the population: NumPy's default).", mistake="population"),
        says("where it is false, do not.", mistake="Only where"),
        says("A group of equal rewards teaches nothing: zeros, never NaN.", mistake="NaN"),
        example("""
rewards = np.array([[1.0, 2.0, 3.0], [10.0, 10.0, 40.0]])
print("the first group's advantages are −1, 0, 1, the second's −10, −10, 20")
"""),
    ],
    hints=[
        "`rewards.mean(axis=1, keepdims=True)` has one number per group.",
        "Where the deviation is 0, divide by 1 instead: the numerator is 0 there anyway.",
    ],
    draw=draw_rewards,
    parts=[
        part("not divided", weight=2, groups=between(2, 3), size=between(3, 5), divide=False, alike=False),
        part("divided", weight=2, groups=between(2, 3), size=between(3, 5), divide=True, alike=False),
        part("a group of equal rewards", groups=2, size=3, divide=one_of(True, True), alike=True),
        part("one group", groups=1, size=between(2, 4), divide=one_of(True, False), alike=False),
    ],
    own={"groups": 2, "size": 3, "divide": False, "alike": False},
    own_says="Rewards of your own",
    mistakes={
        "Each group has a mean of its own: yours is over the whole batch.": "mean = rewards.mean()",
        "This is the mean over questions (axis 0): its own group is a row.": "mean = rewards.mean(axis=0, keepdims=True)",
        "The mean is not subtracted.": "centered = rewards",
        "The sign: a better answer has a positive advantage.": "centered = mean - rewards",
        "The division by the deviation is missing where `divide` is true.": "deviation = np.ones_like(mean)",
        "The deviation is of the group, not of the batch.": "deviation = np.full_like(mean, rewards.std())",
        "You divide by the variance: take its square root.": "deviation = rewards.var(axis=1, keepdims=True)",
        "The deviation of the population is wanted (`ddof=0`).": "deviation = rewards.std(axis=1, ddof=1, keepdims=True)",
        "Only where `divide` is true is it divided.": lambda rewards, divide: advantages(rewards, True),
        "NaN: a group of equal rewards has deviation 0.": lambda rewards, divide: divided_by_zero(rewards, divide),
    },
    praise="No value network: the group is its own baseline.",
)


def divided_by_zero(rewards, divide):
    """The answer with one mistake."""
    centered = rewards - rewards.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return centered / rewards.std(axis=1, keepdims=True) if divide else centered


@right(group)
def row_by_row(rewards, divide):
    rows = []
    for row in np.asarray(rewards, float):
        row = row - row.mean()
        spread = np.sqrt((row**2).mean())
        rows.append(row / spread if divide and spread > 0 else row)
    return rows


# ---------------------------------------------------------------- the lesson's blanks
@blank(
    "chat.blank.1",
    title="Which pieces of a turn are trained?",
    inputs=[("user", 3), ("assistant", 2), ("tool", 1), ("assistant", 0), ("user", 1), ("assistant", 4)],
    mistakes=[
        (lambda role, n: [True] * (n + 2), "Everything is trained: the user's words and the tool's, too."),
        (
            lambda role, n: [role == "assistant"] * (n + 2),
            "The role token is trained: the program writes it, so nobody needs to learn it.",
        ),
        (
            lambda role, n: [False, *[role == "assistant"] * n, False],
            "The end is not trained: the model would never stop.",
        ),
        (
            lambda role, n: [False, *[role != "user"] * (n + 1)],
            "The tool's words are trained: the model would learn to make up results.",
        ),
    ],
)
def marks(role, n):
    return [False, *[role == "assistant"] * (n + 1)]


@blank(
    "chat.blank.2",
    title="Bradley–Terry",
    inputs=[(0.0, 0.0), (-3.0, -4.0), (-7.0, -3.0), (2.0, -1.5), (0.5, 0.4)],
    mistakes=[
        (lambda a, b: float(a > b), "The better one does not always win: use σ."),
        (lambda a, b: 1 / (1 + np.exp(a - b)), "The other way round: a larger first reward wins more often."),
        (lambda a, b: a - b, "This is the difference; put it into σ to get a probability."),
        (lambda a, b: 1 / (1 + np.exp(-a)), "The second reward has no effect: only the difference counts."),
    ],
)
def preferred(first, second):
    return 1 / (1 + np.exp(second - first))


def small_worlds():
    rng = np.random.default_rng(0)
    for n, beta in ((3, 1.0), (5, 0.5), (4, 2.0), (2, 1.0)):
        yield np.log(rng.dirichlet(np.ones(n))), -rng.integers(2, 8, n).astype(float), beta


def scaled(score):
    p = np.exp(score - np.max(score))
    return p / p.sum()


@blank(
    "chat.blank.3",
    title="The optimum in closed form",
    inputs=small_worlds,
    mistakes=[
        (lambda lr, r, b: scaled(r / b), "The reference is missing: multiply by π_ref, or add its logarithm."),
        (lambda lr, r, b: scaled(lr + r * b), "The reward is divided by β, not multiplied."),
        (lambda lr, r, b: np.exp(lr + r / b), "Scale it, so that the probabilities sum to 1."),
        (lambda lr, r, b: scaled(np.exp(lr) + r / b), "Add the *logarithm* of the reference: inside the exponential."),
        (lambda lr, r, b: scaled(lr - r / b), "The sign: a larger reward makes an answer more probable."),
    ],
)
def optimum(log_reference, reward, beta):
    return scaled(log_reference + reward / beta)


@blank(
    "chat.blank.4",
    title="The margin of DPO",
    inputs=[(-2.0, -3.0, -2.5, -2.5, 1.0), (-7.0, -4.0, -6.0, -5.0, 0.5), (-1.0, -1.0, -3.0, -1.0, 2.0)],
    mistakes=[
        (lambda c, r, rc, rr, b: b * (c - r), "Where is the reference? Only what changed against it counts."),
        (lambda c, r, rc, rr, b: c - rc - r + rr, "β is missing."),
        (lambda c, r, rc, rr, b: -b * (c - rc - r + rr), "The other way round: chosen minus rejected."),
        (lambda c, r, rc, rr, b: b * (c - r + rc - rr), "Subtract the reference, do not add it."),
        (lambda c, r, rc, rr, b: (c - rc - r + rr) / b, "β multiplies."),
    ],
)
def margin(chosen, rejected, reference_chosen, reference_rejected, beta):
    return beta * ((chosen - reference_chosen) - (rejected - reference_rejected))


@blank(
    "chat.blank.5",
    title="Better than its group",
    inputs=[(np.array([1.0, 2.0, 3.0]),), (np.array([-4.0, -4.0]),), (np.array([5.0, 0.0, 0.0, -1.0]),)],
    mistakes=[
        (lambda r: r, "Subtract the mean of the group."),
        (lambda r: r - r.max(), "Subtract the mean, not the best: half of the answers should gain."),
        (lambda r: r.mean() - r, "The sign: better answers have a positive advantage."),
        (lambda r: (r - r.mean()) / (r.std() + 1e-9), "Without division here."),
    ],
)
def above_mean(rewards):
    return rewards - rewards.mean()


# ---------------------------------------------------------------- challenge
NUM_QUESTIONS, NUM_ANSWERS, NUM_FEATURES, PAIRS, BETA = 40, 20, 6, 30, 0.5


def draw_challenge(g):
    """Answers with features; their true reward depends on the features in the same way for every question."""
    rng = np.random.default_rng(g.integers(1 << 31))
    weights = rng.normal(size=NUM_FEATURES)
    features = rng.normal(size=(NUM_QUESTIONS, NUM_ANSWERS, NUM_FEATURES))
    reward = features @ weights / 1.5 + 0.3 * rng.normal(size=(NUM_QUESTIONS, NUM_ANSWERS))
    log_reference = rng.normal(size=(NUM_QUESTIONS, NUM_ANSWERS))
    log_reference -= np.log(np.exp(log_reference).sum(axis=1, keepdims=True))
    pairs = np.zeros((NUM_QUESTIONS, PAIRS, 2), np.int16)
    for question in range(NUM_QUESTIONS):
        for number in range(PAIRS):
            a, b = rng.choice(NUM_ANSWERS, 2, replace=False, p=np.exp(log_reference[question]))
            wins = rng.random() < 1 / (1 + np.exp(reward[question, b] - reward[question, a]))
            pairs[question, number] = (a, b) if wins else (b, a)
    inputs = {
        "log_reference": log_reference.astype(np.float32),
        "features": features.astype(np.float32),
        "pairs": pairs,
    }
    return Drawn(inputs, reward.astype(np.float32))


def gain(arrays, inputs, hidden):
    """Share of what can be gained over the reference: E[reward] − β KL, 1 for the optimum."""
    reached = possible = 0.0
    policy = np.asarray(arrays["policy"], float)
    if not np.isfinite(policy).all() or (policy < 0).any():
        return 0.0
    policy = policy / np.maximum(policy.sum(axis=1, keepdims=True), 1e-12)
    for p, log_reference, reward in zip(
        policy, inputs["log_reference"].astype(float), hidden.astype(float), strict=True
    ):
        reference = np.exp(log_reference) / np.exp(log_reference).sum()
        best = optimal_policy(log_reference, reward, BETA)
        start = reference @ reward
        reached += p @ reward - BETA * kl_divergence(p, reference) - start
        possible += best @ reward - BETA * kl_divergence(best, reference) - start
    return float(max(0.0, reached / possible))


challenge(
    "chat.challenge",
    title="The best policy from few judgments",
    statement=[
        f"{NUM_QUESTIONS} questions have {NUM_ANSWERS} possible answers each. `log_reference` (40, 20) is what a model says "
        f"now. `features` (40, 20, 6) describe the answers; `pairs` (40, {PAIRS}, 2) are judgments: the first answer was "
        "preferred to the second, with noise as in Bradley–Terry. The true reward is hidden; it depends on the features, "
        "in the same way for all questions, and on some more.",
        f"Hand in `policy` (40, 20), probabilities, with as much E[reward] − β KL(policy ‖ reference) as possible, β = {BETA}.",
        "The score is the share of what the best policy gains over the reference. A reward fitted for each answer alone "
        "reaches about 0.5; what the questions share helps.",
    ],
    draw=draw_challenge,
    score=gain,
    hand_in={"policy": Array((NUM_QUESTIONS, NUM_ANSWERS), "float")},
    to_beat=0.65,
    points_by_score={0.65: 1, 0.8: 2, 0.9: 3},
    minutes=60,
    score_name="share of the possible gain",
)
