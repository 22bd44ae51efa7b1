"""Figures of the shipped vision–language model: right answers of each kind, and whether it looks before it answers.

Questions are `balanced`: each is asked about as many pictures as it has answers, and each answer is right once. So
whoever does not look is right once in each group, and the limit of language alone is exact on these very questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcourse.datasets.scenes import foils, questions, world
from mmcourse.datasets.scenes.captions import english
from mmcourse.datasets.scenes.drawing import draw
from mmcourse.datasets.scenes.truth import parse
from mmcourse.figures.captioning import num_tokens, truth_of
from mmcourse.figures.scenes import SEED, UNSEEN_SEED, draw_scenes
from mmcourse.torch.vlm import DESCRIBE, VLM

LONGEST_ANSWER = 8  # pieces; the longest answer has one, and one is its end
GRAY = 128
RELATION_SEED = 57  # of the questions for sides that are asked beside the test set


def wilson_interval(right: int, number: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); unlike ± 1.96 standard errors it stays inside 0 to 1.

    Raises
    ------
    ValueError
        For no observations, or more right ones than there are.
    """
    if not 0 <= right <= number or number < 1:
        raise ValueError(f"right: expected 0 to {number} of at least one, got {right} of {number}")
    share = right / number
    center = share + z**2 / (2 * number)
    half = z * math.sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    scale = 1 + z**2 / number
    return max(0.0, (center - half) / scale), min(1.0, (center + half) / scale)


class Questions:
    """Balanced questions with their pictures.

    Attributes
    ----------
    text, answer, kind : lists of n strings
    scenes : n scenes; images : uint8 (n, 64, 64, 3)
    group : int (n,), equal for one question about several pictures
    """

    def __init__(self, n: int, seed: int = SEED, unseen: str | None = None) -> None:
        groups = questions.balanced(seed, n, unseen=unseen)
        asked = [one for group in groups for one in group]
        self.text = [text for _, text, _, _ in asked]
        self.answer = [answer for _, _, answer, _ in asked]
        self.kind = [question.kind for question, _, _, _ in asked]
        self.scenes = [scene for _, _, _, scene in asked]
        self.images = np.stack([draw(scene) for scene in self.scenes])
        self.group = np.repeat(np.arange(len(groups)), [len(group) for group in groups])

    def __len__(self) -> int:
        return len(self.text)

    def right(self, answers: Sequence[str]) -> np.ndarray:
        """Which answers are right, bool (n,): letter for letter, for a model that babbles has not answered."""
        return np.array([said == true for said, true in zip(answers, self.answer, strict=True)])

    def by_kind(self, right: np.ndarray) -> dict[str, float]:
        """Share of right answers of each kind."""
        kinds = np.array(self.kind)
        return {kind: float(right[kinds == kind].mean()) for kind in questions.QUESTION_KINDS}

    def language_only(self) -> dict[str, float]:
        """The best that is possible without looking, on these questions, in all and for each kind: exact."""
        kinds = np.array(self.kind)
        found = {"all": len(set(self.group.tolist())) / len(self)}
        for kind in questions.QUESTION_KINDS:
            of_kind = self.group[kinds == kind]
            found[kind] = len(set(of_kind.tolist())) / len(of_kind)
        return found

    def exchanged(self, seed: int = 0) -> np.ndarray:
        """For each question a picture of another group, int (n,): the same pictures, none where it belongs."""
        order = np.random.default_rng(seed).permutation(len(self))
        partner = np.empty(len(self), np.int64)
        partner[order] = np.roll(order, 1)
        for row in range(len(self)):  # a few drew their own group: exchange with whom it suits
            if self.group[partner[row]] == self.group[row]:
                other = next(
                    r
                    for r in range(len(self))
                    if self.group[partner[r]] != self.group[row] and self.group[partner[row]] != self.group[r]
                )
                partner[row], partner[other] = partner[other], partner[row]
        return partner


def ask_all(model: VLM, texts: Sequence[str], images: np.ndarray) -> list[str]:
    """Greedy answers."""
    return model.answer(images, texts, max_length=LONGEST_ANSWER)


# ---------------------------------------------------------------- hallucination
def false_yes(model: VLM, n: int, seed: int = SEED) -> dict[str, float]:
    """How often "yes" is said to what is not there: by what of it is there. 0 for a model that sees.

    conjunction : its color and its shape are both there, on different things
    half : only one of them is
    neither : nothing of it is
    """
    every = questions.questions("existence")
    rows: dict[str, list[tuple[str, np.ndarray]]] = {"conjunction": [], "half": [], "neither": []}
    index = 0
    while min(map(len, rows.values())) < n and index < 20 * n:
        scene = world.make(seed, index)
        rng = np.random.default_rng([seed, index, 8])
        index += 1
        image = None
        for place in rng.permutation(len(every)).tolist():
            question = every[place]
            if questions.solve(question, scene) == "yes":
                continue
            shape, color = question.about[0]
            has_shape = any(thing.shape == shape for thing in scene.things)
            has_color = any(thing.color == color for thing in scene.things)
            name = "conjunction" if has_shape and has_color else "half" if has_shape or has_color else "neither"
            if len(rows[name]) < n:
                image = draw(scene) if image is None else image
                rows[name].append((questions.words(question, rng), image))
            if name == "conjunction":  # the rarest; one more question about this scene would be much like it
                break
    found = {}
    for name, asked in rows.items():
        if asked:
            said = ask_all(model, [text for text, _ in asked], np.stack([image for _, image in asked]))
            found[f"false_yes_{name}"] = float(np.mean([answer == "yes" for answer in said]))
    return found


def false_premises(n: int, seed: int = SEED) -> tuple[list[str], list[questions.Question], list[world.Scene]]:
    """What color is the star, where there is no star? n questions in words, what is asked, and the scenes."""
    texts, asked, scenes = [], [], []
    for index in range(n):
        scene = world.make(seed, index)
        rng = np.random.default_rng([seed, index, 9])
        absent = [
            q for q in questions.questions("colour") if not any(questions.matches(t, q.about[0]) for t in scene.things)
        ]
        question = absent[int(rng.integers(len(absent)))]  # at most four of six shapes are there
        texts.append(questions.words(question, rng))
        asked.append(question)
        scenes.append(scene)
    return texts, asked, scenes


def false_premise(model: VLM, n: int, seed: int = SEED) -> dict[str, float]:
    """Share of answers that name a color for a thing that is not there.

    No training question has a false premise, so nothing taught the model to say so.
    """
    texts, _, scenes = false_premises(n, seed)
    present = [{world.COLORS[thing.color] for thing in scene.things} for scene in scenes]
    said = ask_all(model, texts, np.stack([draw(scene) for scene in scenes]))
    return {
        "false_premise_color": float(np.mean([answer in world.COLORS for answer in said])),
        "false_premise_color_of_another": float(
            np.mean([answer in colors for answer, colors in zip(said, present, strict=True)])
        ),
    }


def mentioned_but_absent(captions: Sequence[str], scenes: Sequence[world.Scene]) -> float:
    """Share of the things in captions that are not in the picture (CHAIR, arXiv 1809.02156), by the exact grammar.

    A thing is there when one of that color, shape and, if it is said, size is. What cannot be parsed is left out.
    """
    absent = number = 0
    for caption, scene in zip(captions, scenes, strict=True):
        said = parse(caption)
        for thing in said.things if said else ():
            number += 1
            absent += not any(thing.fits(other) for other in scene.things)
    return absent / number if number else float("nan")


def foil_accuracy(model: VLM, scenes: Sequence[world.Scene], images: np.ndarray, kind: str) -> tuple[float, int]:
    """How often the caption is more likely than its fair foil, and of how many. Without the picture: 0.5."""
    found = foils.fair_foils(scenes, kind)
    rows = [foil.index for foil in found]
    if not rows:
        return float("nan"), 0
    right = model.log_likelihood(images[rows], DESCRIBE, [foil.caption for foil in found])
    wrong = model.log_likelihood(images[rows], DESCRIBE, [foil.foil for foil in found])
    return float((right > wrong).double().mean()), len(found)


def side_asked(model: VLM, scenes: Sequence[world.Scene], images: np.ndarray) -> tuple[float, int]:
    """How often the caption's side is the more likely answer, of it and the foil's, and of how many.

    The foils of `foil_accuracy` with left and right exchanged. Each becomes a question, "Where is the red star, seen
    from the blue circle?", whose two answers are compared by their likelihood. Without the picture: 0.5.
    """
    found = foils.fair_foils(scenes, "relation")
    right = []
    for foil in found:
        true, false = parse(foil.caption), parse(foil.foil)
        if true is None or false is None or true.relation is None or false.relation is None:
            raise ValueError(f"foil: the grammar cannot read {foil}")
        first, second = (f"{world.COLORS[thing.color]} {world.SHAPES[thing.shape]}" for thing in true.things[:2])
        text = f"Where is the {first}, seen from the {second}?"
        nats = model.log_likelihood(images[[foil.index] * 2], text, [true.relation, false.relation])
        right.append(float(nats[0] > nats[1]))
    return (float(np.mean(right)) if right else float("nan")), len(right)


def relation_by_color(model: VLM, n: int, seed: int = RELATION_SEED) -> dict[str, float]:
    """Sides again, on `n` more questions: in all, and by whether the two things that are compared have one color.

    Whoever finds a thing by its color alone cannot tell apart two things of one color.
    """
    asked = [one for group in questions.balanced(seed, n, kinds=("relation",)) for one in group]
    images = np.stack([draw(scene) for _, _, _, scene in asked])
    said = ask_all(model, [text for _, text, _, _ in asked], images)
    right = np.array([answer == true for answer, (_, _, true, _) in zip(said, asked, strict=True)])
    same = np.array([question.about[0][1] == question.about[1][1] for question, _, _, _ in asked])
    found: dict[str, float] = {}
    for name, rows in (("more", same | True), ("same_color", same), ("two_colors", ~same)):
        low, high = wilson_interval(int(right[rows].sum()), int(rows.sum()))
        found |= {f"relation_{name}": float(right[rows].mean()), f"relation_{name}_n": int(rows.sum())}
        found |= {f"relation_{name}_low": low, f"relation_{name}_high": high}
    return found


# ---------------------------------------------------------------- all
def compute(n: int = 1000, model: VLM | None = None) -> dict[str, Any]:
    """All figures of a model on about `n` test questions and `n` / 2 scenes; by default of the shipped one."""
    model = VLM.from_pretrained("vlm") if model is None else model
    asked = Questions(n)
    right = asked.right(ask_all(model, asked.text, asked.images))
    by_kind = asked.by_kind(right)
    low, high = wilson_interval(int(right.sum()), len(asked))
    found: dict[str, Any] = {
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "worst_kind": min(by_kind.values()),
    }
    kinds = np.array(asked.kind)
    for kind, share in by_kind.items():
        of_kind = right[kinds == kind]
        found[kind] = share
        found[f"{kind}_low"], found[f"{kind}_high"] = wilson_interval(int(of_kind.sum()), len(of_kind))
    partner = asked.exchanged()
    exchanged = asked.right(ask_all(model, asked.text, asked.images[partner]))
    found["exchanged_pictures"] = float(exchanged.mean())
    found["exchanged_low"], found["exchanged_high"] = wilson_interval(int(exchanged.sum()), len(asked))
    gray = asked.right(ask_all(model, asked.text, np.full_like(asked.images, GRAY)))
    found["gray_pictures"] = float(gray.mean())
    limits = asked.language_only()
    found["language_only"] = limits["all"]
    found |= {f"language_only_{kind}": limits[kind] for kind in questions.QUESTION_KINDS}
    found["language_only_endless"] = questions.language_only_accuracy()["all"]
    unseen = Questions(max(100, n // 2), UNSEEN_SEED, "colour-shape")
    found["accuracy_unseen_pairs"] = float(unseen.right(ask_all(model, unseen.text, unseen.images)).mean())
    found |= false_yes(model, max(20, n // 5))
    found |= false_premise(model, max(50, n // 5))
    scenes, images = draw_scenes(max(100, n // 2))
    captions = model.describe(images)
    found["mentioned_but_absent"] = mentioned_but_absent(captions, scenes)
    found |= {f"captions_{key}": value for key, value in truth_of(captions, scenes).items()}
    own = [english(scene) for scene in scenes]
    found["captions_nll_per_token"] = -float(model.log_likelihood(images, DESCRIBE, own).sum()) / num_tokens(own)
    for kind in foils.KINDS:
        found[f"foils_{kind}"], found[f"num_foils_{kind}"] = foil_accuracy(model, scenes, images, kind)
    found["foils_relation_asked"], _ = side_asked(model, scenes, images)
    found |= relation_by_color(model, 2 * n)
    found["questions"] = len(asked)
    found["scenes"] = len(scenes)
    return found
