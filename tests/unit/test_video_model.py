"""The shipped event model: as good as its card says, with the order and without; synchrony, key frames, bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mmcourse.cli import app
from mmcourse.datasets import data_dir
from mmcourse.datasets.scenes import films
from mmcourse.figures import video as video_figures
from mmcourse.preprocess import key_frames, synchrony
from mmcourse.preprocess.errors import InputError
from mmcourse.torch.video import EventModel, moments, prepare_videos

FOLDER = data_dir() / "models" / "video"
STORED = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model() -> EventModel:
    return EventModel.from_pretrained("video")


@pytest.fixture(scope="module")
def clips() -> tuple[np.ndarray, np.ndarray]:
    return video_figures.clips(20_002, 0, 80)


def test_it_is_small_and_described():
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (FOLDER / "model.safetensors").stat().st_size < 4_000_000
    assert STORED["sha256"] in card and f"{STORED['training']['steps']:,} steps" in card
    for name in ("accuracy", "order_blind", "offset_within_1"):
        assert f"**{STORED['figures'][name]:.3f}**" in card


def test_the_aims_are_reached():
    figures = STORED["figures"]
    assert figures["accuracy"] >= 0.95 and figures["offset_within_1"] >= 0.9 and figures["clips"] == 1000
    assert figures["order_blind_limit"] == pytest.approx(0.5, abs=1e-12)
    assert abs(figures["order_blind"] - 0.5) < 3 * math.sqrt(0.25 / 1000)
    assert figures["order_blind"] == pytest.approx(figures["order_blind_shuffled"], abs=0.003)
    assert "Both aims are reached." in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_figures_of_100_clips_are_those_of_the_stored_model():
    result = CliRunner().invoke(app, ["figures", "video", "-n", "100", "--json"])
    assert result.exit_code == 0
    found, stored = json.loads(result.stdout), STORED["figures_100"]
    assert {"accuracy", "order_blind", "order_blind_limit", "offset_within_1"} <= set(found) == set(stored)
    for name, value in stored.items():
        if not isinstance(value, dict):
            assert found[name] == pytest.approx(value, abs=0.02), name


def test_saved_model_comes_back(model: EventModel, tmp_path: Path):
    model.save_pretrained(tmp_path)
    for name in ("model.safetensors", "config.json"):
        assert (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()


def test_it_reads_the_order_and_its_twin_does_not(model: EventModel, clips):
    pixels, labels = clips
    order = np.random.default_rng(1).permutation(12)
    assert (model.probabilities(pixels).argmax(1) == labels).mean() > 0.95
    back = model.probabilities(pixels[:, ::-1]).argmax(1)
    assert (back == video_figures.mirrored(labels)).mean() > 0.95 and (back == labels).mean() < 0.05
    blind, shuffled = (model.probabilities(p, order_blind=True) for p in (pixels, pixels[:, order]))
    assert blind == pytest.approx(shuffled, abs=1e-4)
    assert 0.3 < (blind.argmax(1) == labels).mean() < 0.7
    x = torch.from_numpy(np.random.default_rng(2).normal(size=(1, 3, 5, 4, 4)))
    assert torch.allclose(moments(x), moments(x.flip(2)))


def test_any_number_of_frames_and_no_film_sees_another(model: EventModel, clips):
    pixels, _ = clips
    alone = model.probabilities(pixels[:1])
    assert model.probabilities(pixels[:5])[:1] == pytest.approx(alone, abs=1e-4)
    for t in (2, 3, 7, 24):
        film = np.resize(pixels[0], (t, 32, 32, 3))
        assert model.probabilities([film]).shape == (1, 8)


def test_frames_of_either_size(clips):
    from mmcourse.datasets.scenes import halved, videos

    film = videos.make(20_002, 0).draw()
    large, small = prepare_videos([film]), prepare_videos([halved(film)])
    assert large.shape == small.shape == (1, 3, 12, 32, 32)
    assert (large - small).abs().max() < 0.6 / 255


@pytest.mark.parametrize(
    "bad, message",
    [
        (np.zeros((12, 32, 32, 3), np.uint8), "expected uint8"),
        (np.zeros((1, 12, 32, 32, 3)), "expected uint8"),
        (np.zeros((1, 12, 20, 20, 3), np.uint8), "expected uint8"),
        (np.zeros((1, 1, 32, 32, 3), np.uint8), "2 to 64 frames"),
        ([np.zeros((3, 32, 32, 3), np.uint8), np.zeros((4, 32, 32, 3), np.uint8)], "films of different shapes"),
    ],
)
def test_bad_films(bad, message):
    with pytest.raises(InputError, match=message):
        prepare_videos(bad)


# ---------------------------------------------------------------- picture and sound
def test_the_sign_of_the_offset():
    rng = np.random.default_rng(0)
    world = rng.normal(size=40)
    for offset in (-4, 0, 3):
        seen, heard = world[5:35], world[5 - offset : 35 - offset]
        scores = synchrony.offset_scores(seen, heard, 5)
        assert int(scores.argmax()) - 5 == offset and scores.max() == pytest.approx(1)
    assert synchrony.offset_scores(np.ones(9), np.arange(9.0), 2).tolist() == [0.0] * 5
    with pytest.raises(ValueError, match="most"):
        synchrony.offset_scores(np.ones(5), np.ones(5), 4)


def test_offsets_of_films_are_found():
    made = films.load_films("validation", 40)
    found = [synchrony.find_offset(film.draw(), film.wave(), films.PER_FRAME, films.MOST_OFFSET) for film in made]
    assert np.mean([abs(a - film.offset) <= 1 for a, film in zip(found, made, strict=True)]) > 0.85
    film = made[0]
    with pytest.raises(InputError, match="mono"):
        synchrony.loudness(np.zeros((2, 3000)), films.PER_FRAME)
    with pytest.raises(InputError, match="multiple"):
        synchrony.brightness(film.draw()[:, :60, :60])
    with pytest.raises(ValueError, match="most"):
        synchrony.place_scores(film.draw()[:6], film.wave(), films.PER_FRAME, 4)


def test_flicker_is_no_change():
    film = np.full((3, 8, 8, 3), 100, np.uint8)
    film[1] += 20
    assert synchrony.frame_change(film).tolist() == [0, 0, 0]
    film[2, :2] = 0
    assert synchrony.frame_change(film)[2] > 0


# ---------------------------------------------------------------- key frames
def test_greedy_is_near_the_best():
    rng = np.random.default_rng(3)
    for _ in range(30):
        points = rng.normal(size=(9, 2))
        similarity = np.exp(-np.sqrt(((points[:, None] - points) ** 2).sum(-1)))
        for k in (1, 2, 4, 9):
            greedy = key_frames.coverage(similarity, key_frames.greedy_summary(similarity, k))
            best = key_frames.coverage(similarity, key_frames.best_summary(similarity, k))
            assert (1 - 1 / math.e) * best <= greedy <= best + 1e-12
            assert k not in (1, 9) or greedy == pytest.approx(best)


def test_coverage_by_hand():
    similarity = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]])
    assert key_frames.coverage(similarity, []) == 0
    assert key_frames.coverage(similarity, [1]) == pytest.approx(0.7)
    assert key_frames.greedy_summary(similarity, 2) == [1, 2]
    best = key_frames.best_summary(similarity, 2)
    assert key_frames.coverage(similarity, best) == pytest.approx(key_frames.coverage(similarity, [1, 2]))
    film = np.zeros((4, 8, 8, 3), np.uint8)
    film[2:] = 255
    chosen = key_frames.greedy_summary(key_frames.frame_similarity(film), 3)  # one of each half, then another one
    assert len(set(chosen)) == 3 and {frame // 2 for frame in chosen[:2]} == {0, 1}
    for call in (
        lambda: key_frames.greedy_summary(similarity, 4),
        lambda: key_frames.greedy_summary(-similarity, 1),
        lambda: key_frames.best_summary(np.ones((40, 40)), 9),
    ):
        with pytest.raises(ValueError):
            call()
