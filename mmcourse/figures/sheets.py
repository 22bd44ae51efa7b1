"""Sheets of samples: what a shipped model says of the first pictures, ten times rightly and ten times wrongly.

Nobody picks them: they are the first ten of each kind, by index, in the test set that the figures are computed on.

::

    from mmcourse.figures.sheets import draw_sheet

    png, summary = draw_sheet("captioning")
"""

from __future__ import annotations

import io
import itertools
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

__all__ = ["LESSONS", "Found", "Sample", "collect", "draw_sheet"]

EACH = 10  # samples of each kind
COLUMNS = 5
WIDTH, PICTURE, LINE = 2.6, 2.1, 0.145  # inches: a column, a picture's height, a line of text
LETTERS = 43  # in a line
BATCH = 50


@dataclass(frozen=True)
class Sample:
    """One picture and what was said of it.

    Attributes
    ----------
    index : its number in the test set
    picture : uint8 (h, w, 3)
    right : bool
    lines : what stands below it
    boxes : (left, top, right, bottom), its name, and whether it is what the model said (else: what it missed)
    """

    index: int
    picture: np.ndarray
    right: bool
    lines: Sequence[str]
    boxes: Sequence[tuple[Sequence[float], str, bool]] = field(default=())


@dataclass(frozen=True)
class Found:
    """The first right and wrong ones, and how many samples were looked at until there were enough of both."""

    right: list[Sample]
    wrong: list[Sample]
    looked: int


def collect(samples: Iterable[Sample], each: int = EACH) -> Found:
    """The first `each` right and the first `each` wrong samples, in their order; fewer where there are no more."""
    kept: dict[bool, list[Sample]] = {True: [], False: []}
    looked = 0
    for sample in samples:
        looked += 1
        if len(kept[sample.right]) < each:
            kept[sample.right].append(sample)
        if min(map(len, kept.values())) == each:
            break
    return Found(kept[True], kept[False], looked)


# ---------------------------------------------------------------- lessons
def _batches(n: int) -> Iterator[slice]:
    return (slice(start, min(n, start + BATCH)) for start in range(0, n, BATCH))


def captioning(n: int) -> Iterator[Sample]:
    """A caption is right when the grammar can say it, every statement is true, and nothing is left out."""
    from mmcourse.datasets.scenes.captions import english
    from mmcourse.figures.captioning import find_faults
    from mmcourse.figures.scenes import draw_scenes
    from mmcourse.torch.captioner import Captioner

    model = Captioner.from_pretrained("captioning")
    scenes, images = draw_scenes(n)
    for rows in _batches(n):
        for i, said in zip(range(rows.start, rows.stop), model.caption(images[rows]), strict=True):
            faults = find_faults(said, scenes[i])
            lines = [f"said: {said}", f"true: {english(scenes[i])}"]
            yield Sample(i, images[i], not faults, [*lines, *([f"wrong: {', '.join(faults)}"] if faults else [])])


def vlm(n: int) -> Iterator[Sample]:
    """An answer is right letter for letter. The kinds of questions take turns."""
    from mmcourse.datasets.scenes.questions import QUESTION_KINDS
    from mmcourse.figures.vlm import Questions, ask_all
    from mmcourse.torch.vlm import VLM

    model = VLM.from_pretrained("vlm")
    asked = Questions(n)
    by_kind = [[row for row, one in enumerate(asked.kind) if one == kind] for kind in QUESTION_KINDS]
    turns = [row for rows in itertools.zip_longest(*by_kind) for row in rows if row is not None]
    for part in _batches(len(turns)):
        rows = turns[part]
        answers = ask_all(model, [asked.text[row] for row in rows], asked.images[rows])
        for row, said in zip(rows, answers, strict=True):
            lines = [asked.text[row], f"said: {said}", f"true: {asked.answer[row]}"]
            yield Sample(row, asked.images[row], said == asked.answer[row], lines)


def detection(n: int) -> Iterator[Sample]:
    """Right: each thing has one box of its shape with IoU of at least 0.5, and there is no box more."""
    from mmcourse.datasets.scenes.world import SHAPES
    from mmcourse.evaluate.detection import match_detections
    from mmcourse.figures.detection import HIT, THRESHOLD, true_objects
    from mmcourse.figures.scenes import draw_scenes
    from mmcourse.numpy.boxes import pairwise_iou
    from mmcourse.torch.detection import Detector

    model = Detector.from_pretrained("detection")
    scenes, images = draw_scenes(n)
    truth = true_objects(scenes)
    for rows in _batches(n):
        for i, found in zip(range(rows.start, rows.stop), model.detect(images[rows], THRESHOLD), strict=True):
            boxes, labels = truth[i]
            missed, extra = np.ones(len(labels), bool), 0
            for label in set(labels.tolist()) | set(found.labels.tolist()):
                true, said = np.flatnonzero(labels == label), np.flatnonzero(found.labels == label)
                matched = match_detections(pairwise_iou(found.boxes[said].astype(float), boxes[true]), HIT)
                missed[true[matched[matched >= 0]]] = False
                extra += int((matched < 0).sum())
            marks = [
                (box, f"{SHAPES[label]} {score:.2f}", True)
                for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True)
            ]
            marks += [(boxes[j], f"{SHAPES[labels[j]]} missed", False) for j in np.flatnonzero(missed)]
            lines = [
                f"said: {', '.join(SHAPES[label] for label in sorted(found.labels)) or 'nothing'}",
                f"true: {', '.join(SHAPES[label] for label in sorted(labels))}",
            ]
            if missed.any() or extra:
                lines.append(f"wrong: {missed.sum()} missed, {extra} too many")
            yield Sample(i, images[i], not missed.any() and not extra, lines, marks)


def clip(n: int) -> Iterator[Sample]:
    """A sentence finds its picture among all n. Where it finds another, that stands left, and its own one right."""
    from mmcourse.datasets.scenes.captions import english
    from mmcourse.figures.scenes import draw_scenes
    from mmcourse.torch.clip import CLIP

    model = CLIP.from_pretrained("clip")
    scenes, images = draw_scenes(n)
    texts = [english(scene) for scene in scenes]
    best = (model.encode_text(texts) @ model.encode_image(images).T).argmax(dim=1).tolist()
    gap = np.full((64, 6, 3), 255, np.uint8)
    for i, (text, found) in enumerate(zip(texts, best, strict=True)):
        right = found == i
        picture = images[i] if right else np.concatenate([images[found], gap, images[i]], axis=1)
        lines = [f"asked for: {text}", f"found: number {found}"]
        yield Sample(i, picture, right, lines if right else [*lines, f"true: number {i} (on the right)"])


def generation(n: int) -> Iterator[Sample]:
    """Right: the exact parser of the known renderer reads the color and the shape that were asked for."""
    import torch

    from mmcourse.datasets.scenes import icons
    from mmcourse.datasets.scenes.world import COLORS, SHAPES
    from mmcourse.figures.generation import GUIDANCE, TEST_SEED, ask
    from mmcourse.torch.generation import Painter

    model = Painter.from_pretrained("generation")
    captions, kinds = ask(icons.SEEN_ICONS, n, TEST_SEED)
    noise = torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(11))
    for rows in _batches(n):
        pictures = model.paint(captions[rows], GUIDANCE, noise=noise[rows])
        parsed = icons.parse(pictures)
        right = parsed.right(kinds[rows])
        for j, i in enumerate(range(rows.start, rows.stop)):
            clean = "" if parsed.is_clean[j] else " (not clean)"
            lines = [f"asked for: {captions[i]}", f"read: {COLORS[parsed.color[j]]} {SHAPES[parsed.shape[j]]}{clean}"]
            yield Sample(i, pictures[j], bool(right[j]), lines)


LESSONS: dict[str, tuple[Callable[[int], Iterator[Sample]], int]] = {  # and how many samples are looked at, at most
    "clip": (clip, 1000),
    "captioning": (captioning, 1000),
    "vlm": (vlm, 1000),
    "detection": (detection, 1000),
    "generation": (generation, 200),
}


# ---------------------------------------------------------------- drawing
def draw_sheet(lesson: str, n: int | None = None, each: int = EACH) -> tuple[bytes, str]:
    """A sheet as PNG, and a sentence on what is on it.

    Parameters
    ----------
    n : how many samples are looked at, at most; clip chooses among all of them

    Raises
    ------
    ValueError
        For a lesson without a sheet, or n < 1.
    """
    if lesson not in LESSONS:
        raise ValueError(f"lesson: expected one of {', '.join(LESSONS)}, got {lesson!r}")
    samples, most = LESSONS[lesson]
    most = most if n is None else n
    if most < 1:
        raise ValueError(f"n: expected 1 or more, got {most}")
    found = collect(samples(most), each)
    return _png(_figure(lesson, " ".join((samples.__doc__ or "").split()), found, each)), say(lesson, found, each)


def _heading(name: str, kept: Sequence[Sample], found: Found, each: int) -> str:
    """Right: the first 10 by index … or how few there are."""
    first = f"the first {len(kept)} by index" if len(kept) == each else f"{len(kept) or 'none'}, and no more"
    return f"{name}: {first}, of {found.looked:,} looked at"


def say(lesson: str, found: Found, each: int = EACH) -> str:
    """What is on a sheet, in a sentence."""
    parts = [_heading(name, kept, found, each) for name, kept in (("right", found.right), ("wrong", found.wrong))]
    return f"{lesson}: {'; '.join(parts)}"


def _wrapped(sample: Sample) -> list[str]:
    first, *rest = sample.lines
    return [line for text in (f"{sample.index} · {first}", *rest) for line in textwrap.wrap(text, LETTERS)]


def _figure(lesson: str, rule: str, found: Found, each: int) -> Figure:
    """The heading, then the right ones, then the wrong ones, from top to bottom."""
    rows: list[tuple[str, list[Sample]]] = []
    for name, kept in (("Right", found.right), ("Wrong", found.wrong)):
        rows.append((_heading(name, kept, found, each), []))
        rows += [("", kept[i : i + COLUMNS]) for i in range(0, len(kept), COLUMNS)]
    texts = [max((len(_wrapped(sample)) for sample in row), default=0) * LINE for _, row in rows]
    heights = [0.45 if heading else PICTURE + text + 0.3 for (heading, _), text in zip(rows, texts, strict=True)]
    tall, wide = sum(heights) + 0.75, COLUMNS * WIDTH + 0.2
    fig = Figure(figsize=(wide, tall), dpi=100, facecolor="white")
    fig.text(0.15 / wide, 1 - 0.28 / tall, f"{lesson}: samples of the shipped model", fontsize=13, weight="bold")
    fig.text(0.15 / wide, 1 - 0.53 / tall, rule, fontsize=9)
    y = tall - 0.75
    for (heading, row), height in zip(rows, heights, strict=True):
        if heading:
            fig.text(0.15 / wide, (y - 0.3) / tall, heading, fontsize=11, weight="bold")
        for column, sample in enumerate(row):
            left = 0.15 + column * WIDTH
            place = (left / wide, (y - PICTURE) / tall, (WIDTH - 0.15) / wide, PICTURE / tall)
            ax = fig.add_axes(place, anchor="SW")
            ax.imshow(sample.picture, interpolation="nearest")
            ax.axis("off")
            taken: list[tuple[float, float]] = []
            for (x0, y0, x1, y1), name, is_said in sample.boxes:
                ends = (x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0
                dash = "-" if is_said else ":"
                ax.add_patch(Rectangle(*ends, fill=False, edgecolor="black", linewidth=2.4, linestyle=dash))
                ax.add_patch(Rectangle(*ends, fill=False, edgecolor="white", linewidth=1.1, linestyle=dash))
                at = _free_place((x0, y0, x1, y1), taken)
                taken.append(at)
                ax.text(*at, name, fontsize=6.5, bbox={"facecolor": "white", "alpha": 0.8, "pad": 0.6, "linewidth": 0})
            below = "\n".join(_wrapped(sample))
            fig.text(left / wide, (y - PICTURE - 0.06) / tall, below, fontsize=7.5, va="top", linespacing=1.25)
        y -= height
    return fig


def _free_place(box: Sequence[float], taken: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where a box's name begins: below it, above it, or further below, whatever no other name covers."""
    left, top, _, bottom = map(float, box)
    x = min(max(left, 0), 42)
    places = [(x, y) for y in (bottom + 3.5, top - 1.5, bottom + 7.5, top - 5.5, (top + bottom) / 2) if 4 <= y <= 63]
    free = [at for at in places if all(abs(at[0] - x) > 21 or abs(at[1] - y) > 3.5 for x, y in taken)]
    return (free or places)[0]


def _png(fig: Figure) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
