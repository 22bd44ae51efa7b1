"""Figures of the shipped captioner: is what it says true of the picture, is it grammatical, how many nats per token."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mmcourse.datasets import vocabulary
from mmcourse.datasets.scenes import foils, world
from mmcourse.datasets.scenes.captions import ENGLISH, english, place_phrase, tokens
from mmcourse.datasets.scenes.truth import Statement, log_p, parse, true_of
from mmcourse.evaluate.captions import bleu, cider_d
from mmcourse.figures.scenes import draw_scenes
from mmcourse.torch.captioner import Captioner
from mmcourse.torch.clip import prepare_images
from mmcourse.torch.decoding import KVCache

SPEAKERS = 5  # reference captions of a scene for BLEU and CIDEr-D
SYNONYM = {
    word: other
    for name in (*world.COLORS, *world.SHAPES, *world.SIZES)
    for word, other in zip(ENGLISH[name], ENGLISH[name][1:] + ENGLISH[name][:1], strict=True)
    if other != word
}
SAMPLE = {"temperature": 1.0, "top_p": 0.9, "seed": 0}


def num_tokens(captions: Sequence[str]) -> int:
    """Words and one end for each caption: what nats are divided by, however a model cuts its text."""
    return sum(len(tokens(caption)) + 1 for caption in captions)


def num_statements(said: Statement | None) -> int:
    """How many things a caption claims: each color, shape and size, a relation, a place, a background, a number."""
    if said is None:
        return 0
    of_things = sum(2 + (thing.size is not None) for thing in said.things)
    others = (said.relation, said.place, said.texture, said.count)
    return of_things + sum(fact is not None for fact in others)


def truth_of(captions: Sequence[str], scenes: Sequence[world.Scene]) -> dict[str, float]:
    """What share is wholly true, grammatical, has a relation; statements per caption beside the grammar's own number.

    A caption is true when the grammar can say it, every statement holds, and no thing is left out.
    """
    said = [parse(caption) for caption in captions]
    grammar = [parse(english(scene)) for scene in scenes]
    true = [true_of(statement, scene) for statement, scene in zip(said, scenes, strict=True)]
    return {
        "all_true": float(np.mean(true)),
        "grammatical": float(np.mean([statement is not None for statement in said])),
        "statements": sum(map(num_statements, said)) / sum(map(num_statements, grammar)),
        "relations": float(np.mean([bool(statement and statement.relation) for statement in said])),
    }


FAULTS = ("not a sentence", "number", "thing", "relation", "place", "background")


def find_faults(caption: str, scene: world.Scene) -> list[str]:
    """What is wrong with a caption, as names from FAULTS; an empty list exactly where `truth.true_of` holds.

    "number": it names more or fewer things than there are, or says a wrong number. "thing": one of its things is not in
    the scene. "relation": its things are there, but not where it says. "place": the only thing is elsewhere.
    """
    said = parse(caption)
    if said is None:
        return ["not a sentence"]
    found = []
    if len(said.things) != len(scene.things) or said.count not in (None, len(scene.things)):
        found.append("number")
    # every way in which what is said may name different things of the scene
    chosen = itertools.permutations(scene.things, min(len(said.things), len(scene.things)))
    ways = [way for way in chosen if all(phrase.fits(t) for phrase, t in zip(said.things, way, strict=False))]
    if len(said.things) > len(scene.things):
        fits = [any(phrase.fits(thing) for thing in scene.things) for phrase in said.things]
        if not all(fits):
            found.append("thing")
    elif not ways:
        found.append("thing")
    if said.relation and ways and len(ways[0]) > 1:
        if not any(world.relation(way[0], way[1]) == said.relation for way in ways):
            found.append("relation")
    if said.place and len(scene.things) == 1 and place_phrase(scene.things[0]) != said.place:
        found.append("place")
    if said.texture not in (None, scene.texture):
        found.append("background")
    return found


def floors(n: int = 1000) -> dict[str, float]:
    """Exact entropy of a caption, in nats per token: for who only sees, and if the order of drawing were known."""
    scenes = [world.make(20_003, index) for index in range(n)]
    captions = [english(scene) for scene in scenes]
    count = num_tokens(captions)
    only_seen = sum(log_p(c, scene, order_known=False) for c, scene in zip(captions, scenes, strict=True))
    known = sum(log_p(c, scene) for c, scene in zip(captions, scenes, strict=True))
    return {"floor": -only_seen / count, "floor_order_known": -known / count}


def other_speakers(scene: world.Scene, number: int = SPEAKERS) -> list[str]:
    """Reference captions of a scene, each with other words; none is the scene's own."""
    return [english(replace(scene, seed=(*scene.seed, 100 + speaker))) for speaker in range(number)]


def foil_accuracy(model: Captioner, scenes: Sequence[world.Scene], images: np.ndarray, kind: str) -> tuple[float, int]:
    """How often the caption is more likely than its fair foil, and of how many. Without the picture: 0.5."""
    found = foils.fair_foils(scenes, kind)
    rows = [foil.index for foil in found]
    if not rows:
        return float("nan"), 0
    right = model.log_likelihood(images[rows], [foil.caption for foil in found])
    wrong = model.log_likelihood(images[rows], [foil.foil for foil in found])
    return float((right > wrong).double().mean()), len(found)


def compute(n: int = 1000, model: Captioner | None = None) -> dict[str, Any]:
    """All figures of a model on `n` test scenes; by default of the shipped one, greedy unless another is named."""
    model = Captioner.from_pretrained("captioning") if model is None else model
    scenes, images = draw_scenes(n)
    captions = [english(scene) for scene in scenes]
    nats = -float(model.log_likelihood(images, captions).sum())
    found: dict[str, Any] = {}
    written = model.caption(images)
    found |= truth_of(written, scenes)
    found["nll_per_token"] = nats / num_tokens(captions)
    found |= floors(n)
    for name, options in (("beam", {"num_beams": 5}), ("sample", SAMPLE)):
        other = truth_of(model.caption(images, name, **options), scenes)
        found |= {f"{key}_{name}": value for key, value in other.items()}
    references = [[plain(c) for c in other_speakers(scene)] for scene in scenes]
    speakers = {"": written, "_perfect": captions}
    for name, sentences in speakers.items():
        said = [plain(sentence) for sentence in sentences]
        found[f"bleu_4{name}"] = bleu(said, references)
        found[f"cider_d{name}"] = float(np.mean(cider_d(said, references)))
    for kind in foils.KINDS:
        found[f"foils_{kind}"], found[f"num_foils_{kind}"] = foil_accuracy(model, scenes, images, kind)
    unseen, unseen_images = draw_scenes(n, "colour-shape")
    found["all_true_unseen_pairs"] = truth_of(model.caption(unseen_images), unseen)["all_true"]
    found["scenes"] = n
    return found


@torch.no_grad()
def most_probable_caption(model: Captioner, image: np.ndarray, most: int = 100_000) -> tuple[str, float, int]:
    """The most probable of all sentences, by exact search: what beam search only tries to find.

    More words make no text more probable. So a beginning that is less probable than some whole sentence can be dropped
    with everything that follows from it; all others are kept. The first such bound is the greedy caption. (The same
    idea as Stahlberg and Byrne 2019, arXiv 1908.10090, level by level instead of depth first.)

    Parameters
    ----------
    model : a captioner
    image : one picture, uint8 (64, 64, 3)
    most : an error where more beginnings of one length than this must be kept

    Returns
    -------
    caption, its log p in nats, and the number of beginnings that were kept, over all lengths

    Raises
    ------
    ValueError
        For more than `most` beginnings: the picture leaves the model too many things to say.
    """
    model.eval()
    best = model.caption(image)[0]
    best_log_p = float(model.log_likelihood(image, [best]))
    pixels = prepare_images(image).to(model.device)  # (1, 3, 64, 64)
    cache = model.start_cache(model.encode_image(pixels))
    ids = torch.full((1, 1), vocabulary.BOS, device=model.device)
    scores = torch.zeros(1, dtype=torch.float64, device=model.device)
    count = 0
    for _ in range(len(model.positions) - 1):
        log_p = model.step(ids[:, -1:], cache).double().log_softmax(dim=-1) + scores[:, None]  # (beginnings, pieces)
        ended = int(log_p[:, vocabulary.EOS].argmax())
        if float(log_p[ended, vocabulary.EOS]) > best_log_p + 1e-4:
            best_log_p = float(log_p[ended, vocabulary.EOS])
            best = vocabulary.decode(ids[ended, 1:].cpu().numpy())
        log_p[:, vocabulary.EOS] = -torch.inf
        parents, pieces = (log_p > best_log_p).nonzero(as_tuple=True)
        if not len(parents):
            break
        if len(parents) > most:
            raise ValueError(f"most: expected at most {most} beginnings of one length, found {len(parents)}; raise it")
        count += len(parents)
        scores = log_p[parents, pieces]
        ids = torch.cat([ids[parents], pieces[:, None]], dim=1)
        cache.past = [(k[parents], v[parents]) for k, v in cache.past]  # all texts share the picture's keys
    return best, best_log_p, count


def decoding(model: Captioner | None = None, n: int = 100, num_modes: int = 6, seeds: int = 5) -> dict[str, Any]:
    """How probable a sentence beam search finds, at several widths; samples at two temperatures; exact search.

    Beams are compared with the greedy caption of the same picture ("lower": it is less probable than that, by more than
    1e-4 nats). Exact search is done on scenes of two things: with more, too many beginnings remain.
    """
    model = Captioner.from_pretrained("captioning") if model is None else model
    started = time.perf_counter()
    scenes, images = draw_scenes(n)
    by_greedy = model.caption(images)
    greedy = model.log_likelihood(images, by_greedy).numpy()
    beams = {}
    for width in (5, 50):
        said = model.caption(images, "beam", num_beams=width, batch_size=1000 // width)
        gain = model.log_likelihood(images, said).numpy() - greedy
        beams[str(width)] = {
            "log_p": float((greedy + gain).mean()),
            "minus_greedy": float(gain.mean()),
            "higher": int((gain > 1e-4).sum()),
            "lower": int((gain < -1e-4).sum()),
            "that_is": sum(" that is " in caption for caption in said),
            "relations": truth_of(said, scenes)["relations"],
        }
    samples: dict[str, list[dict[str, float]]] = {"0.5": [], "1.0": []}
    for temperature, by_seed in samples.items():
        for seed in range(seeds):
            said = model.caption(images, "sample", temperature=float(temperature), seed=seed)
            faults = [find_faults(caption, scene) for caption, scene in zip(said, scenes, strict=True)]
            measured = {
                "all_true": float(np.mean([not found for found in faults])),
                "relations": sum(bool((parsed := parse(caption)) and parsed.relation) for caption in said),
                "false_relations": sum("relation" in found for found in faults),
            }
            by_seed.append(measured)
    scenes, images = draw_scenes(8 * num_modes)
    rows_of_two = [row for row, scene in enumerate(scenes) if len(scene.things) == 2][:num_modes]
    modes = []
    for row in rows_of_two:
        caption, log_p, count = most_probable_caption(model, images[row])
        mode = {"row": row, "caption": caption, "log_p": log_p, "beginnings": count}
        for name, options in (("greedy", {}), ("beam", {"num_beams": 5})):
            other = model.caption(images[row : row + 1], name, **options)
            mode[name] = float(model.log_likelihood(images[row : row + 1], other))
        modes.append(mode)
    return {
        "scenes": n,
        "greedy_log_p": float(greedy.mean()),
        "greedy_that_is": sum(" that is " in caption for caption in by_greedy),
        "beams": beams,
        "samples": samples,
        "modes": modes,
        "seconds": round(time.perf_counter() - started),
    }


def with_synonym(caption: str) -> str:
    """The caption with the first word of color, shape or size that has a synonym exchanged for it: as true as before.

    A caption in which no such word has a synonym comes back as it is.
    """
    words = caption.split()
    for i, word in enumerate(words):
        plain_word = word.strip(".,")
        after_in = i > 0 and words[i - 1] == "in"  # "in red" always takes the plain word
        if plain_word in SYNONYM and not after_in:
            words[i] = word.replace(plain_word, SYNONYM[plain_word])
            return re.sub(r"\b([Aa])n? (\w)", _with_article, " ".join(words))
    return caption


def _with_article(match: re.Match[str]) -> str:
    """ "an azure", "a blue": the article that fits the word behind it."""
    return match[1] + ("n " if match[2] in "aeiou" else " ") + match[2]


def plain(caption: str) -> str:
    """Lower-case words without marks: what BLEU and CIDEr-D count."""
    return " ".join(tokens(caption))


def cache_speedup(lengths: Sequence[int] = (16, 32, 64, 128, 256), batch: int = 8) -> dict[int, float]:
    """How many times faster a caption of each length is written with the key–value cache than without.

    Random weights: what is written does not matter. The end is never chosen.
    """
    model = Captioner(max_length=max(lengths) + 1, vocabulary_size=512).eval()
    grid = torch.zeros(batch, 64, model.config["dim"])
    found = {}
    with torch.no_grad():
        for length in lengths:
            start = time.perf_counter()
            cache = model.start_cache(grid)
            new = torch.full((batch, 1), vocabulary.BOS)
            for _ in range(length):
                new = model.step(new, cache).argmax(dim=-1, keepdim=True)
            with_cache = time.perf_counter() - start
            start = time.perf_counter()
            context = model.start_cache(grid).context
            ids = torch.full((batch, 1), vocabulary.BOS)
            for _ in range(length):  # everything again for each piece
                last = model.step(ids, KVCache(context)).argmax(dim=-1, keepdim=True)
                ids = torch.cat([ids, last], dim=1)
            found[length] = (time.perf_counter() - start) / with_cache
    return found
